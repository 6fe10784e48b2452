/* Sampling against a plain reference that sorts everything in double precision. */
#include "engine/llm/sample.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "t/support/tap.h"

#define MOST 3000

static weir_sampler_t *open_sampler(uint32_t n)
{
    weir_sampler_t *s;
    weir_error_t err = {0};
    if (weir_sampler_open(n, &s, &err) != WEIR_OK) {
        abort();
    }
    return s;
}

static int32_t pick(weir_sampler_t *s, const weir_sampling_t *how, uint64_t seed,
                    const float *logits)
{
    weir_history_t history = {NULL, 0, 0};
    return weir_sample(s, how, seed, &history, logits);
}

typedef struct {
    double logit;
    int32_t token;
    double p;
} entry_t;

static int by_logit(const void *a, const void *b)
{
    const entry_t *x = a;
    const entry_t *y = b;
    if (x->logit != y->logit) {
        return x->logit < y->logit ? 1 : -1;
    }
    return x->token - y->token;
}

/* Bias and penalties as documented, one token at a time. */
static double reference_logit(const weir_sampling_t *how, const weir_history_t *h, int32_t token,
                              double l)
{
    uint32_t in_all = 0;
    uint32_t in_answer = 0;
    for (uint32_t i = 0; i < how->n_bias; i++) {
        l += how->bias[i].token == token ? (double)how->bias[i].bias : 0.0;
    }
    for (uint32_t i = 0; i < h->n_tokens; i++) {
        in_all += h->tokens[i] == token;
        in_answer += h->tokens[i] == token && i >= h->n_prompt;
    }
    if (in_all > 0) {
        l = l > 0 ? l / (double)how->repetition_penalty : l * (double)how->repetition_penalty;
    }
    l -= (double)how->frequency_penalty * in_answer;
    return in_answer > 0 ? l - (double)how->presence_penalty : l;
}

/* The kept tokens with their probabilities, best first; returns how many. slack widens (or, when
 * negative, narrows) the borders of top_p and min_p, where rounding decides. */
static uint32_t reference(const weir_sampling_t *how, const weir_history_t *h, const float *logits,
                          uint32_t n, double slack, entry_t *e)
{
    for (uint32_t i = 0; i < n; i++) {
        e[i] = (entry_t){reference_logit(how, h, (int32_t)i, (double)logits[i]), (int32_t)i, 0};
    }
    qsort(e, n, sizeof(*e), by_logit);
    if (how->temperature == 0) {
        e[0].p = 1;
        return 1;
    }
    uint32_t kept = how->top_k > 0 && (uint32_t)how->top_k < n ? (uint32_t)how->top_k : n;
    double sum = 0;
    for (uint32_t i = 0; i < kept; i++) {
        e[i].p = exp((e[i].logit - e[0].logit) / (double)how->temperature);
        sum += e[i].p;
    }
    uint32_t m = 0;
    double mass = 0;
    double final = 0;
    while (m < kept && (m == 0 || how->top_p >= 1 || mass < ((double)how->top_p + slack) * sum) &&
           e[m].p >= (double)how->min_p - slack) {
        mass += e[m++].p;
    }
    m = m > 0 ? m : 1;
    for (uint32_t i = 0; i < m; i++) {
        final += e[i].p;
    }
    for (uint32_t i = 0; i < m; i++) {
        e[i].p /= final;
    }
    return m;
}

static void random_sampling(rng_t *rng, uint32_t n, weir_sampling_t *how)
{
    static const float temperatures[] = {0.0f, 0.2f, 0.7f, 1.0f, 2.0f};
    static const float top_ps[] = {1.0f, 0.99f, 0.9f, 0.5f, 0.01f, 0.0f};
    static const float min_ps[] = {0.0f, 0.0f, 0.01f, 0.1f, 1.0f};
    weir_sampling_defaults(how);
    how->temperature = temperatures[rng_below(rng, 5)];
    how->top_k = rng_below(rng, 2) ? 0 : (int32_t)rng_below(rng, n + 5);
    how->top_p = top_ps[rng_below(rng, 6)];
    how->min_p = min_ps[rng_below(rng, 5)];
    how->repetition_penalty = rng_below(rng, 2) ? 1.0f : 1.3f;
    how->frequency_penalty = rng_below(rng, 2) ? 0.0f : 0.6f;
    how->presence_penalty = rng_below(rng, 2) ? 0.0f : -0.7f;
    how->n_bias = rng_below(rng, 4);
    for (uint32_t i = 0; i < how->n_bias; i++) {
        how->bias[i].token = (int32_t)rng_below(rng, n);
        how->bias[i].bias = 5 * rng_float(rng);
    }
}

static bool one_draw_is_allowed(rng_t *rng)
{
    static float logits[MOST];
    static entry_t entries[MOST];
    uint32_t n = 1 + rng_below(rng, rng_below(rng, 2) ? 20 : MOST);
    float spread = rng_below(rng, 2) ? 3.0f : 15.0f;
    int32_t tokens[30];
    weir_history_t h = {tokens, rng_below(rng, 31), 0};
    h.n_prompt = rng_below(rng, h.n_tokens + 1);
    for (uint32_t i = 0; i < n; i++) {
        logits[i] = rng_float(rng) * spread;
    }
    for (uint32_t i = 0; i < h.n_tokens; i++) {
        tokens[i] = (int32_t)rng_below(rng, n);
    }
    weir_sampling_t how;
    random_sampling(rng, n, &how);
    weir_sampler_t *s = open_sampler(n);
    int32_t got = weir_sample(s, &how, rng_u64(rng), &h, logits);
    weir_sampler_close(s);
    uint32_t kept = reference(&how, &h, logits, n, 1e-5, entries);
    bool found = false;
    for (uint32_t i = 0; i < kept; i++) {
        found = found || entries[i].token == got;
    }
    if (!found) {
        diag("n %u temperature %g top_k %d top_p %g min_p %g: got %d, best is %d", n,
             (double)how.temperature, how.top_k, (double)how.top_p, (double)how.min_p, got,
             entries[0].token);
    }
    return found;
}

static void test_allowed(void)
{
    rng_t rng;
    rng_init(&rng);
    uint32_t good = 0;
    for (uint32_t i = 0; i < 3000; i++) {
        good += one_draw_is_allowed(&rng);
    }
    is_int(good, 3000, "every draw lies in the set that the settings allow");
}

/* Frequencies over many seeds against the probabilities, within five standard deviations. */
static void test_frequencies(const char *name, const weir_sampling_t *how, uint32_t n)
{
    static float logits[MOST];
    static entry_t entries[MOST];
    static uint32_t counts[MOST];
    const uint32_t draws = 20000;
    weir_history_t h = {NULL, 0, 0};
    for (uint32_t i = 0; i < n; i++) {
        logits[i] = 4.0f * sinf((float)i * 1.7f);
        counts[i] = 0;
    }
    weir_sampler_t *s = open_sampler(n);
    for (uint32_t i = 0; i < draws; i++) {
        counts[pick(s, how, i, logits)]++;
    }
    weir_sampler_close(s);
    uint32_t kept = reference(how, &h, logits, n, 0, entries);
    uint32_t good = 0;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < kept; i++) {
        double want = entries[i].p * draws;
        double sigma = sqrt(want * (1 - entries[i].p)) + 1e-9;
        double off = fabs(counts[entries[i].token] - want);
        good += off <= 5 * sigma + 1;
        seen += counts[entries[i].token];
    }
    ok(good == kept && seen == draws, "%s: frequencies are the probabilities (%u of %u tokens)",
       name, good, kept);
}

static void test_distributions(void)
{
    weir_sampling_t how;
    weir_sampling_defaults(&how);
    test_frequencies("temperature 1", &how, 50);
    how.temperature = 0.5f;
    test_frequencies("temperature 0.5", &how, 50);
    how.top_k = 7;
    test_frequencies("top_k", &how, 50);
    how.top_p = 0.8f;
    test_frequencies("top_k and top_p", &how, 50);
    how.top_k = 0;
    how.temperature = 1.5f;
    test_frequencies("top_p", &how, 1000);
    how.min_p = 0.3f;
    test_frequencies("top_p and min_p", &how, 1000);
    how.top_p = 1.0f;
    test_frequencies("min_p", &how, 1000);
}

static void test_bad_numbers(void)
{
    float logits[] = {NAN,  1.0f, -INFINITY, 3.0f, NAN,    2.0f, -5.0f, NAN, 0.0f,
                      0.5f, NAN,  0.25f,     NAN,  0.125f, NAN,  -1.0f, NAN, 1.5f};
    const uint32_t n = sizeof(logits) / sizeof(*logits);
    weir_sampler_t *s = open_sampler(n);
    weir_sampling_t how;
    weir_sampling_defaults(&how);
    how.temperature = 0;
    is_int(pick(s, &how, 1, logits), 3, "NaN is never the best");
    how.temperature = 2;
    bool good = true;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        how.top_k = (int32_t)(seed % 3) * 8;
        how.top_p = seed % 2 ? 0.9f : 1.0f;
        int32_t t = pick(s, &how, seed, logits);
        good = good && t >= 0 && !isnan(logits[t]) && logits[t] > -FLT_MAX;
    }
    ok(good, "NaN and minus infinity are never drawn");
    logits[5] = INFINITY;
    good = true;
    for (uint64_t seed = 0; seed < 100; seed++) {
        good = good && pick(s, &how, seed, logits) == 5;
    }
    ok(good, "plus infinity always is");
    uint32_t found;
    ok(isfinite(weir_logprobs(logits, n, 5, NULL, 0, &found)), "and has a finite probability");
    for (uint32_t i = 0; i < n; i++) {
        logits[i] = i % 2 ? NAN : -INFINITY;
    }
    is_int(pick(s, &how, 1, logits), -1, "nothing to draw gives -1");
    weir_logprob_t top[3];
    ok(weir_logprobs(logits, n, 2, top, 3, &found) == -INFINITY && found == 0, "and no top");
    for (uint32_t i = 0; i < n; i++) {
        logits[i] = 7.0f;
    }
    how.temperature = 0;
    is_int(pick(s, &how, 1, logits), 0, "of equals the lowest id is taken");
    weir_sampler_close(s);
}

static void test_penalties(void)
{
    float logits[] = {1.0f, 2.0f, 3.0f, -1.0f, 2.5f};
    int32_t tokens[] = {2, 2, 4};
    weir_sampler_t *s = open_sampler(5);
    weir_sampling_t how;
    weir_sampling_defaults(&how);
    how.temperature = 0;
    weir_history_t h = {tokens, 3, 0};
    is_int(weir_sample(s, &how, 0, &h, logits), 2, "without penalties the best");
    how.repetition_penalty = 2;
    is_int(weir_sample(s, &how, 0, &h, logits), 1, "repetition halves what occurred");
    how.repetition_penalty = 1;
    how.frequency_penalty = 0.3f;
    is_int(weir_sample(s, &how, 0, &h, logits), 2, "0.6 off leaves token 2 the best");
    how.frequency_penalty = 0.45f;
    is_int(weir_sample(s, &how, 0, &h, logits), 2, "0.9 off against 0.45 off: still");
    how.presence_penalty = 0.3f;
    how.frequency_penalty = 0.6f;
    is_int(weir_sample(s, &how, 0, &h, logits), 1, "1.5 and 0.9 off: no more");
    h.n_prompt = 3;
    is_int(weir_sample(s, &how, 0, &h, logits), 2, "the prompt does not count for these two");
    how.n_bias = 2;
    how.bias[0].token = 3;
    how.bias[0].bias = 100;
    how.bias[1].token = 2;
    how.bias[1].bias = -100;
    is_int(weir_sample(s, &how, 0, &h, logits), 3, "a bias of 100 forces a token");
    weir_sampler_close(s);
}

static void test_logprobs(void)
{
    static float logits[MOST];
    double sum = 0;
    for (uint32_t i = 0; i < MOST; i++) {
        logits[i] = 8.0f * cosf((float)i * 0.37f) - 100.0f;
        sum += exp((double)logits[i]);
    }
    weir_logprob_t top[20];
    uint32_t found;
    float got = weir_logprobs(logits, MOST, 1234, top, 20, &found);
    ok(fabs((double)got - ((double)logits[1234] - log(sum))) < 1e-5, "log-softmax");
    bool sorted = found == 20;
    for (uint32_t i = 1; i < found; i++) {
        sorted = sorted && top[i - 1].logprob >= top[i].logprob;
    }
    uint32_t better = 0;
    for (uint32_t i = 0; i < MOST; i++) {
        better += logits[i] > logits[top[19].token];
    }
    ok(sorted && better <= 19, "the twenty best, in order");
    ok(fabs((double)top[0].logprob - ((double)logits[top[0].token] - log(sum))) < 1e-5,
       "with their own log-probabilities");
    weir_logprobs(logits, 3, 0, top, 20, &found);
    is_int(found, 3, "no more than there are");
}

/* The draw depends on the position in the sequence, or every token would repeat the first draw. */
static void test_positions(void)
{
    static const float logits[64] = {0};
    int32_t tokens[40] = {0};
    weir_sampler_t *s = open_sampler(64);
    weir_sampling_t how;
    weir_sampling_defaults(&how);
    uint64_t seen = 0;
    for (uint32_t n = 0; n < 40; n++) {
        weir_history_t h = {tokens, n, 0};
        seen |= 1ull << weir_sample(s, &how, 3, &h, logits);
    }
    ok(__builtin_popcountll(seen) > 20, "of 64 equal tokens, 40 positions draw many");
    weir_sampler_close(s);
}

static void test_uniform(void)
{
    double sum = 0;
    uint32_t low = 0;
    bool inside = true;
    for (uint64_t i = 0; i < 10000; i++) {
        double u = weir_sample_uniform(i % 100, i / 100);
        inside = inside && u >= 0 && u < 1;
        sum += u;
        low += u < 0.1;
    }
    ok(inside && fabs(sum / 10000 - 0.5) < 0.02 && abs((int)low - 1000) < 150,
       "draws over seeds and positions are uniform (mean %.4f)", sum / 10000);
    ok(weir_sample_uniform(1, 2) == weir_sample_uniform(1, 2) &&
           weir_sample_uniform(1, 2) != weir_sample_uniform(2, 1),
       "and a function of the two");
}

int main(void)
{
    test_penalties();
    test_bad_numbers();
    test_logprobs();
    test_uniform();
    test_positions();
    test_distributions();
    test_allowed();
    return done_testing();
}

#include "engine/llm/sample.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Candidates are first counted in buckets of 1/16 nat below the best, so that only those near the
 * border of top_k or top_p need sorting. */
#define N_BUCKETS            256
#define BUCKETS_PER_NAT      16.0f
#define SMALLEST_TEMPERATURE 1e-6f

typedef struct {
    float below; /* nats below the best, after temperature; the best has 0 */
    float weight;
    int32_t token;
} candidate_t;

struct weir_sampler {
    uint32_t n_vocab;
    float *logits; /* after bias and penalties */
    float *below;
    float *weights;
    uint32_t *counts; /* per token, all 0 between calls */
    candidate_t *candidates;
};

void weir_sampling_defaults(weir_sampling_t *s)
{
    memset(s, 0, sizeof(*s));
    s->temperature = 1.0f;
    s->top_p = 1.0f;
    s->repetition_penalty = 1.0f;
}

weir_status_t weir_sampler_open(uint32_t n_vocab, weir_sampler_t **out, weir_error_t *err)
{
    *out = NULL;
    if (n_vocab == 0) {
        return weir_error(err, WEIR_ERR_INVALID, "the vocabulary is empty");
    }
    weir_sampler_t *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for the sampler");
    }
    s->n_vocab = n_vocab;
    s->logits = calloc(n_vocab, sizeof(*s->logits));
    s->below = calloc(n_vocab, sizeof(*s->below));
    s->weights = calloc(n_vocab, sizeof(*s->weights));
    s->counts = calloc(n_vocab, sizeof(*s->counts));
    s->candidates = calloc(n_vocab, sizeof(*s->candidates));
    if (s->logits == NULL || s->below == NULL || s->weights == NULL || s->counts == NULL ||
        s->candidates == NULL) {
        weir_sampler_close(s);
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for a sampler of %u tokens", n_vocab);
    }
    *out = s;
    return WEIR_OK;
}

void weir_sampler_close(weir_sampler_t *s)
{
    if (s != NULL) {
        free(s->logits);
        free(s->below);
        free(s->weights);
        free(s->counts);
        free(s->candidates);
        free(s);
    }
}

double weir_sample_uniform(uint64_t seed, uint64_t position)
{
    /* Two rounds of the splitmix64 finaliser over a Weyl sequence: a counter-based generator. */
    uint64_t x = seed * 0x9e3779b97f4a7c15ull + 0x632be59bd9b4e019ull;
    for (int round = 0; round < 2; round++) {
        x += (position + 1) * 0x9e3779b97f4a7c15ull;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
        x ^= x >> 31;
    }
    return (double)(x >> 11) * 0x1.0p-53;
}

/* Four values at a time, by the vector types that GCC and Clang share: every x86-64 has these. */
typedef float v4f_t __attribute__((vector_size(16)));
typedef int32_t v4i_t __attribute__((vector_size(16)));

static inline v4f_t splat(float x)
{
    return (v4f_t){x, x, x, x};
}

/* Where mask is set (all bits) a, else b. */
static inline v4f_t choose(v4i_t mask, v4f_t a, v4f_t b)
{
    return (v4f_t)(((v4i_t)a & mask) | ((v4i_t)b & ~mask));
}

/* e^-d for d >= 0, relative error below 2e-7: Cody-Waite reduction, then a Taylor polynomial. From
 * 87 on the result is 0. */
static inline v4f_t exp_minus(v4f_t d)
{
    v4i_t near = d < splat(87.0f);
    v4f_t x = choose(near, -d, splat(0));
    v4f_t k = (x * 1.44269504f + 12582912.0f) - 12582912.0f; /* rounds to the nearest integer */
    v4f_t r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
    v4f_t p = r * (1.0f / 720.0f) + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    v4i_t exponent = (__builtin_convertvector(k, v4i_t) + 127) << 23;
    return choose(near, p * (v4f_t)exponent, splat(0));
}

/* Distances below the best and weights of up to four logits, NaN and plus infinity read as the
 * header says. */
static inline void weigh4(const float *logits, uint32_t n, float best, float per_t, v4f_t *below,
                          v4f_t *weights)
{
    v4f_t l = splat(-INFINITY);
    memcpy(&l, logits, n * sizeof(*logits));
    l = choose(l >= splat(-FLT_MAX), l, splat(-INFINITY));
    l = choose(l > splat(best), splat(best), l);
    *below = (splat(best) - l) * per_t;
    *weights = exp_minus(*below);
}

/* The largest value, NaN and plus infinity read as the header says. */
static float max_of(const float *x, uint32_t n)
{
    float lane[16];
    for (uint32_t j = 0; j < 16; j++) {
        lane[j] = -INFINITY;
    }
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        for (uint32_t j = 0; j < 16; j++) {
            lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
        }
    }
    float best = -INFINITY;
    for (uint32_t j = 0; j < 16; j++) {
        best = lane[j] > best ? lane[j] : best;
    }
    for (; i < n; i++) {
        best = x[i] > best ? x[i] : best;
    }
    return best > FLT_MAX ? FLT_MAX : best;
}

static int32_t first_at_least(const float *x, uint32_t n, float best)
{
    for (uint32_t i = 0; i < n; i++) {
        if (x[i] >= best) {
            return (int32_t)i;
        }
    }
    return -1;
}

static bool has_penalties(const weir_sampling_t *how)
{
    return how->repetition_penalty != 1.0f || how->frequency_penalty != 0.0f ||
           how->presence_penalty != 0.0f;
}

static void apply_penalties(weir_sampler_t *s, const weir_sampling_t *how,
                            const weir_history_t *history)
{
    for (uint32_t i = history->n_prompt; i < history->n_tokens; i++) {
        s->counts[history->tokens[i]]++;
    }
    /* Each distinct token once: its count is marked as done by the top bit. */
    for (uint32_t i = 0; i < history->n_tokens; i++) {
        int32_t t = history->tokens[i];
        uint32_t count = s->counts[t];
        if (count & 1u << 31) {
            continue;
        }
        float l = s->logits[t];
        l = l > 0 ? l / how->repetition_penalty : l * how->repetition_penalty;
        l -= how->frequency_penalty * (float)count;
        l -= count > 0 ? how->presence_penalty : 0.0f;
        s->logits[t] = l;
        s->counts[t] = count | 1u << 31;
    }
    for (uint32_t i = 0; i < history->n_tokens; i++) {
        s->counts[history->tokens[i]] = 0;
    }
}

/* Steps 1 to 3; returns the logits to go on with. */
static const float *adjusted_logits(weir_sampler_t *s, const weir_sampling_t *how,
                                    const weir_history_t *history, const float *logits)
{
    if (how->n_bias == 0 && !has_penalties(how)) {
        return logits;
    }
    memcpy(s->logits, logits, s->n_vocab * sizeof(*logits));
    for (uint32_t i = 0; i < how->n_bias; i++) {
        s->logits[how->bias[i].token] += how->bias[i].bias;
    }
    if (has_penalties(how)) {
        apply_penalties(s, how, history);
    }
    return s->logits;
}

/* Fills below and weights for every token and returns the sum of the weights. */
static double weigh(weir_sampler_t *s, const float *logits, float best, float temperature)
{
    float t = temperature > SMALLEST_TEMPERATURE ? temperature : SMALLEST_TEMPERATURE;
    float per_t = 1.0f / t;
    double sum[4] = {0};
    for (uint32_t i = 0; i < s->n_vocab; i += 4) {
        uint32_t n = s->n_vocab - i < 4 ? s->n_vocab - i : 4;
        v4f_t below;
        v4f_t weights;
        if (n == 4) {
            weigh4(logits + i, 4, best, per_t, &below, &weights);
        } else {
            weigh4(logits + i, n, best, per_t, &below, &weights);
        }
        memcpy(s->below + i, &below, n * sizeof(float));
        memcpy(s->weights + i, &weights, n * sizeof(float));
        for (uint32_t j = 0; j < 4; j++) {
            sum[j] += (double)weights[j]; /* 0 behind the last */
        }
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* Draws in order of ids among the tokens at most max_below under the best. */
static int32_t draw_unsorted(const weir_sampler_t *s, double sum, float max_below, double u)
{
    if (max_below < INFINITY) {
        sum = 0;
        for (uint32_t i = 0; i < s->n_vocab; i++) {
            sum += s->below[i] <= max_below ? (double)s->weights[i] : 0.0;
        }
    }
    double left = u * sum;
    int32_t last = -1;
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        if (s->weights[i] <= 0.0f || s->below[i] > max_below) {
            continue;
        }
        last = (int32_t)i;
        left -= (double)s->weights[i];
        if (left < 0) {
            break;
        }
    }
    return last; /* rounding may leave a trifle: then the last one that had a chance */
}

static uint32_t bucket_of(float below)
{
    float b = below * BUCKETS_PER_NAT;
    return b < (float)(N_BUCKETS - 1) ? (uint32_t)b : N_BUCKETS - 1;
}

/* The last bucket that the k best, or the best with that mass, can reach into. */
static uint32_t border_bucket(const weir_sampler_t *s, uint32_t k, double mass)
{
    uint32_t counts[N_BUCKETS] = {0};
    double masses[N_BUCKETS] = {0};
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        if (s->below[i] < (N_BUCKETS - 1) / BUCKETS_PER_NAT) { /* the last bucket needs no sums */
            uint32_t b = bucket_of(s->below[i]);
            counts[b]++;
            masses[b] += (double)s->weights[i];
        }
    }
    uint32_t count = 0;
    double sum = 0;
    for (uint32_t b = 0; b + 1 < N_BUCKETS; b++) {
        count += counts[b];
        sum += masses[b];
        if (k > 0 ? count >= k : sum >= mass) {
            return b;
        }
    }
    return N_BUCKETS - 1;
}

static bool comes_before(const candidate_t *a, const candidate_t *b)
{
    return a->below < b->below || (a->below == b->below && a->token < b->token);
}

static void sift_down(candidate_t *c, uint32_t root, uint32_t n)
{
    candidate_t moved = c[root];
    for (;;) {
        uint32_t child = 2 * root + 1;
        if (child >= n) {
            break;
        }
        if (child + 1 < n && comes_before(&c[child], &c[child + 1])) {
            child++;
        }
        if (!comes_before(&moved, &c[child])) {
            break;
        }
        c[root] = c[child];
        root = child;
    }
    c[root] = moved;
}

/* Heapsort: no recursion, no allocation, no bad case. */
static void sort_candidates(candidate_t *c, uint32_t n)
{
    for (uint32_t i = n / 2; i-- > 0;) {
        sift_down(c, i, n);
    }
    for (uint32_t end = n; end > 1; end--) {
        candidate_t last = c[0];
        c[0] = c[end - 1];
        c[end - 1] = last;
        sift_down(c, 0, end - 1);
    }
}

/* Steps 5 to 8 when top_k or top_p is on. */
static int32_t draw_sorted(weir_sampler_t *s, const weir_sampling_t *how, double sum,
                           float max_below, double u)
{
    uint32_t k = how->top_k > 0 && (uint32_t)how->top_k < s->n_vocab ? (uint32_t)how->top_k : 0;
    double top_p = how->top_p < 1.0f ? (double)how->top_p : 2.0;
    uint32_t border = border_bucket(s, k, top_p * sum * (1 + 1e-9));
    candidate_t *c = s->candidates;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        if (bucket_of(s->below[i]) <= border && s->weights[i] > 0.0f) {
            c[n++] = (candidate_t){s->below[i], s->weights[i], (int32_t)i};
        }
    }
    sort_candidates(c, n);
    if (k > 0) {
        n = n < k ? n : k;
        sum = 0;
        for (uint32_t i = 0; i < n; i++) {
            sum += (double)c[i].weight;
        }
    }
    double kept = 0;
    uint32_t n_kept = 0;
    while (n_kept < n && c[n_kept].below <= max_below && (n_kept == 0 || kept < top_p * sum)) {
        kept += (double)c[n_kept++].weight;
    }
    double left = u * kept;
    for (uint32_t i = 0; i + 1 < n_kept; i++) {
        left -= (double)c[i].weight;
        if (left < 0) {
            return c[i].token;
        }
    }
    return c[n_kept - 1].token;
}

int32_t weir_sample(weir_sampler_t *s, const weir_sampling_t *how, uint64_t seed,
                    const weir_history_t *history, const float *logits)
{
    logits = adjusted_logits(s, how, history, logits);
    float best = max_of(logits, s->n_vocab);
    if (best < -FLT_MAX) {
        return -1;
    }
    if (how->temperature <= 0.0f) {
        return first_at_least(logits, s->n_vocab, best);
    }
    double u = weir_sample_uniform(seed, history->n_tokens);
    double sum = weigh(s, logits, best, how->temperature);
    float max_below = how->min_p > 0.0f ? -logf(how->min_p) : INFINITY;
    if (how->top_k <= 0 && how->top_p >= 1.0f) {
        return draw_unsorted(s, sum, max_below, u);
    }
    return draw_sorted(s, how, sum, max_below, u);
}

/* Keeps the n_top best seen so far, best first. */
static void keep_top(weir_logprob_t *top, uint32_t n_top, uint32_t *found, int32_t token, float l)
{
    uint32_t at = *found;
    while (at > 0 && l > top[at - 1].logprob) {
        at--;
    }
    if (at >= n_top) {
        return;
    }
    if (*found < n_top) {
        (*found)++;
    }
    memmove(&top[at + 1], &top[at], (*found - 1 - at) * sizeof(*top));
    top[at] = (weir_logprob_t){token, l};
}

static float clean(float l)
{
    return l >= -FLT_MAX ? (l > FLT_MAX ? FLT_MAX : l) : -INFINITY;
}

float weir_logprobs(const float *logits, uint32_t n_vocab, int32_t token, weir_logprob_t *top,
                    uint32_t n_top, uint32_t *found)
{
    *found = 0;
    float best = max_of(logits, n_vocab);
    if (best < -FLT_MAX) {
        return -INFINITY;
    }
    double sums[4] = {0};
    for (uint32_t i = 0; i < n_vocab; i += 4) {
        v4f_t below;
        v4f_t weights;
        if (n_vocab - i >= 4) {
            weigh4(logits + i, 4, best, 1.0f, &below, &weights);
        } else {
            weigh4(logits + i, n_vocab - i, best, 1.0f, &below, &weights);
        }
        for (uint32_t j = 0; j < 4; j++) {
            sums[j] += (double)weights[j];
        }
    }
    double sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    double lse = (double)best + log(sum);
    float worst = -INFINITY;
    for (uint32_t i = 0; n_top > 0 && i < n_vocab; i++) {
        float l = clean(logits[i]);
        if (l > worst || (*found < n_top && l >= -FLT_MAX)) {
            keep_top(top, n_top, found, (int32_t)i, l);
            worst = *found == n_top ? top[n_top - 1].logprob : -INFINITY;
        }
    }
    for (uint32_t i = 0; i < *found; i++) {
        top[i].logprob = (float)((double)top[i].logprob - lse);
    }
    return (float)((double)clean(logits[token]) - lse);
}

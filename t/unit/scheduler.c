/*
 * The scheduler over a back end whose logits depend on every cached position: whatever else runs,
 * is cancelled, preempted or found in the prefix cache, a request must get exactly the tokens and
 * the text that a plain loop over its own tokens gives.
 */
#include "engine/llm/scheduler.h"

#include <math.h>
#include <stdlib.h>

#include "engine/llm/sample.h"
#include "t/support/fake_backend.h"
#include "t/support/tap.h"

#define VOCAB     48
#define EOG       0
#define SPECIAL   1
#define MAX_CTX   160
#define MAX_SLOTS 64
#define MAX_TEXT  4096

/* Whole characters, pieces of characters, and texts that make up the stop strings below. */
static weir_str_t token_bytes(const void *ctx, int32_t id)
{
    static const char *const texts[] = {
        "<eog>", "<special>", "a",    "b",  "ab",   "ba",       "\xe2", "\x82", "\xac",
        "\xf0",  "\x9f",      "\x98", " ",  "stop", "st",       "op",   "\n",   "\xe2\x82\xac",
        "aa",    "bb",        "x",    "yy", "zzz",  "\xc3\xa9", "",     "q",
    };
    (void)ctx;
    size_t n = sizeof(texts) / sizeof(*texts);
    const char *text = texts[(size_t)id < n ? (size_t)id : 2 + (size_t)id % (n - 2)];
    return weir_str(text, strlen(text));
}

static bool token_is_eog(const void *ctx, int32_t id)
{
    (void)ctx;
    return id == EOG;
}

static bool token_is_special(const void *ctx, int32_t id)
{
    (void)ctx;
    return id <= SPECIAL;
}

typedef struct {
    int32_t tokens[MAX_CTX];
    float logprobs[MAX_CTX];
    uint32_t n_tokens;
    char text[MAX_TEXT];
    uint32_t n_text;
    weir_finish_t finish;
    uint32_t stop;
    uint32_t n_finish;
    uint32_t completion_tokens;
} answer_t;

typedef struct {
    bool used;
    bool cancelled;
    bool released;
    uint64_t id;
    weir_generate_t params;
    int32_t prompt[MAX_CTX];
    answer_t answers[WEIR_ENGINE_MAX_CHOICES];
    uint32_t n_started;
    uint32_t cached_tokens;
    uint32_t n_prompt_events;
    float prompt_logprobs[MAX_CTX];
} record_t;

typedef struct {
    weir_scheduler_t *s;
    weir_scheduler_config_t config;
    weir_backend_t *backend;
    record_t *records; /* by slot */
    uint64_t serial;
    uint32_t n_bad; /* events that must not be */
    uint64_t clock;
} world_t;

static world_t *clock_world;

/* Every look at the clock takes a while, so that there are speeds to measure. */
static uint64_t fake_clock(void)
{
    clock_world->clock += 3000000;
    return clock_world->clock;
}

static void on_event(void *ctx, const weir_event_t *ev)
{
    world_t *w = ctx;
    record_t *r = &w->records[ev->request & 0xffff];
    if (!r->used || r->id != ev->request || r->released || ev->choice >= r->params.n) {
        w->n_bad++;
        return;
    }
    answer_t *a = &r->answers[ev->choice];
    if (a->n_finish > 0 || a->n_text + ev->text_len > MAX_TEXT || ev->text_len > WEIR_EVENT_TEXT ||
        weir_utf8_valid(ev->text, ev->text_len) != ev->text_len) {
        w->n_bad++;
        return;
    }
    if (ev->type == WEIR_EVENT_STARTED) {
        r->n_started++;
        r->cached_tokens = ev->cached_tokens;
        return;
    }
    if (ev->type == WEIR_EVENT_PROMPT_TOKEN) {
        w->n_bad += ev->token != r->prompt[r->n_prompt_events];
        r->prompt_logprobs[r->n_prompt_events++] = ev->logprob;
        return;
    }
    memcpy(a->text + a->n_text, ev->text, ev->text_len);
    a->n_text += ev->text_len;
    if (ev->type == WEIR_EVENT_TOKEN && ev->token >= 0) {
        a->logprobs[a->n_tokens] = ev->logprob;
        a->tokens[a->n_tokens++] = ev->token;
        w->n_bad += ev->completion_tokens != a->n_tokens;
    }
    if (ev->type == WEIR_EVENT_FINISH) {
        a->finish = ev->finish;
        a->stop = ev->stop;
        a->n_finish++;
        a->completion_tokens = ev->completion_tokens;
        w->n_bad += ev->prompt_tokens != r->params.n_prompt;
    }
}

static void on_release(void *ctx, uint32_t slot)
{
    world_t *w = ctx;
    w->n_bad += !w->records[slot].used || w->records[slot].released;
    w->records[slot].released = true;
}

static void open_world(world_t *w, weir_scheduler_config_t config)
{
    memset(w, 0, sizeof(*w));
    weir_error_t err = {0};
    config.ops = fake_backend();
    config.vocab = (weir_vocab_t){NULL, VOCAB, token_bytes, token_is_eog, token_is_special};
    config.n_vocab = VOCAB + 3; /* models pad their rows */
    config.max_logits = config.max_running + 5;
    config.now_ns = fake_clock;
    config.emit = on_event;
    config.release = on_release;
    config.ctx = w;
    weir_backend_options_t options = {
        .n_kv_blocks = config.n_kv_blocks,
        .max_rows = config.step_tokens,
        .max_logits = config.max_logits,
    };
    w->backend = fake_backend_open(config.n_vocab, &options);
    config.backend = w->backend;
    w->config = config;
    w->records = calloc(MAX_SLOTS, sizeof(*w->records));
    clock_world = w;
    if (weir_scheduler_open(&config, &w->s, &err) != WEIR_OK) {
        diag("open: %s", err.message);
        abort();
    }
}

static void close_world(world_t *w)
{
    weir_scheduler_close(w->s);
    fake_backend()->close(w->backend);
    free(w->records);
}

/* Submits; returns the slot or -1 when the queue is full. */
static int submit(world_t *w, const weir_generate_t *params)
{
    weir_error_t err = {0};
    if (weir_scheduler_check(w->s, params, &err) != WEIR_OK) {
        diag("submit: %s", err.message);
        abort();
    }
    if (!weir_scheduler_reserve(w->s)) {
        return -1;
    }
    uint32_t slot = 0;
    while (w->records[slot].used && !w->records[slot].released) {
        slot++;
    }
    if (slot >= weir_scheduler_slots(w->config.max_running, w->config.max_queue)) {
        abort(); /* reserve must have said no */
    }
    record_t *r = &w->records[slot];
    memset(r, 0, sizeof(*r));
    r->used = true;
    r->id = ++w->serial << 16 | slot;
    r->params = *params;
    memcpy(r->prompt, params->prompt, params->n_prompt * sizeof(*r->prompt));
    r->params.prompt = r->prompt;
    weir_scheduler_fill(w->s, slot, r->id, 12345, params);
    weir_scheduler_add(w->s, slot);
    return (int)slot;
}

static void reference_text(const weir_generate_t *p, answer_t *a, weir_arena_t *arena)
{
    weir_buf_t bytes;
    weir_buf_init(&bytes, arena);
    for (uint32_t i = 0; i < a->n_tokens; i++) {
        bool hidden = a->tokens[i] <= SPECIAL || a->tokens[i] == p->stop_tokens[0];
        if (!(hidden && (a->tokens[i] <= SPECIAL || p->n_stop_tokens > 0))) {
            weir_buf_append_str(&bytes, token_bytes(NULL, a->tokens[i]));
        }
    }
    weir_str_t text = {0};
    weir_utf8_sanitize(weir_str(bytes.data, bytes.len), arena, &text);
    a->n_text = (uint32_t)text.len;
    if (text.len > 0) {
        memcpy(a->text, text.data, text.len);
    }
}

/* Cuts the text where the first stop string begins; true if there is one. */
static bool reference_stop(const weir_generate_t *p, answer_t *a)
{
    uint32_t first = a->n_text;
    for (uint32_t i = 0; i < p->n_stops && a->n_text > 0; i++) {
        char *at = memmem(a->text, a->n_text, p->stops[i].data, p->stops[i].len);
        if (at != NULL && (uint32_t)(at - a->text) < first) {
            first = (uint32_t)(at - a->text);
            a->stop = i + 1;
        }
    }
    bool found = first < a->n_text;
    a->n_text = first;
    return found;
}

/* The answer by a plain loop: no batch, no cache, no incremental text. */
static void reference(const record_t *r, uint32_t choice, uint32_t context, answer_t *a)
{
    const weir_generate_t *p = &r->params;
    int32_t tokens[MAX_CTX + 1];
    float logits[VOCAB + 3];
    weir_sampler_t *sampler;
    weir_error_t err;
    weir_sampler_open(VOCAB, &sampler, &err);
    memset(a, 0, sizeof(*a));
    uint32_t n = (uint32_t)p->n_prompt;
    memcpy(tokens, r->prompt, n * sizeof(*tokens));
    uint32_t max = p->max_tokens == 0 || p->max_tokens > context - n ? context - n : p->max_tokens;
    uint64_t seed = (p->sampling.has_seed ? p->sampling.seed : 12345) + choice;
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    a->finish = WEIR_FINISH_LENGTH;
    while (a->n_tokens < max && a->finish == WEIR_FINISH_LENGTH && !p->no_generate) {
        fake_backend_logits(tokens, n, VOCAB + 3, logits);
        weir_history_t history = {tokens, n, (uint32_t)p->n_prompt};
        int32_t t = weir_sample(sampler, &p->sampling, seed, &history, logits);
        uint32_t found;
        a->logprobs[a->n_tokens] = weir_logprobs(logits, VOCAB, t, NULL, 0, &found);
        tokens[n++] = t;
        a->tokens[a->n_tokens++] = t;
        bool ends = (t == EOG && !p->ignore_eos) || (p->n_stop_tokens && t == p->stop_tokens[0]);
        reference_text(p, a, &arena);
        if (reference_stop(p, a) || ends) {
            a->finish = WEIR_FINISH_STOP;
        }
        weir_arena_reset(&arena);
    }
    weir_arena_free(&arena);
    weir_sampler_close(sampler);
}

static bool same_answer(const record_t *r, uint32_t choice, uint32_t context)
{
    const answer_t *got = &r->answers[choice];
    answer_t *want = malloc(sizeof(*want));
    reference(r, choice, context, want);
    bool same = got->n_finish == 1 && got->finish == want->finish &&
                got->stop == (want->finish == WEIR_FINISH_STOP ? want->stop : 0) &&
                got->n_tokens == want->n_tokens && got->completion_tokens == want->n_tokens &&
                memcmp(got->tokens, want->tokens, want->n_tokens * sizeof(*want->tokens)) == 0 &&
                got->n_text == want->n_text && memcmp(got->text, want->text, want->n_text) == 0;
    for (uint32_t i = 0; same && r->params.logprobs && i < want->n_tokens; i++) {
        same = got->logprobs[i] == want->logprobs[i];
    }
    if (!same) {
        diag("request %llu choice %u: %u tokens, finish %d, '%.*s'", (unsigned long long)r->id,
             choice, got->n_tokens, got->finish, (int)got->n_text, got->text);
        diag("reference: %u tokens, finish %d, '%.*s'", want->n_tokens, want->finish,
             (int)want->n_text, want->text);
    }
    free(want);
    return same;
}

static bool is_prefix(const record_t *r, uint32_t choice, uint32_t context)
{
    const answer_t *got = &r->answers[choice];
    answer_t *want = malloc(sizeof(*want));
    reference(r, choice, context, want);
    bool prefix = got->n_finish == 1 && got->n_tokens <= want->n_tokens &&
                  memcmp(got->tokens, want->tokens, got->n_tokens * sizeof(*got->tokens)) == 0;
    free(want);
    return prefix;
}

static bool same_scores(const record_t *r)
{
    float logits[VOCAB + 3];
    if (!r->params.prompt_logprobs) {
        return r->n_prompt_events == 0;
    }
    if (r->n_prompt_events != r->params.n_prompt || !isnan(r->prompt_logprobs[0])) {
        return false;
    }
    for (uint32_t i = 1; i < r->params.n_prompt; i++) {
        uint32_t found;
        fake_backend_logits(r->prompt, i, VOCAB + 3, logits);
        if (r->prompt_logprobs[i] != weir_logprobs(logits, VOCAB, r->prompt[i], NULL, 0, &found)) {
            return false;
        }
    }
    return true;
}

static void run_to_end(world_t *w)
{
    for (uint32_t i = 0; weir_scheduler_busy(w->s) && i < 100000; i++) {
        weir_scheduler_step(w->s);
    }
}

static weir_generate_t plain_request(const int32_t *prompt, uint32_t n)
{
    weir_generate_t p = {.prompt = prompt, .n_prompt = n, .n = 1};
    weir_sampling_defaults(&p.sampling);
    p.sampling.has_seed = true;
    p.sampling.seed = 7;
    return p;
}

static void fill_prompt(int32_t *prompt, uint32_t n, uint32_t salt)
{
    for (uint32_t i = 0; i < n; i++) {
        prompt[i] = (int32_t)((i * 7 + salt) % VOCAB);
    }
}

static weir_scheduler_config_t roomy(void)
{
    return (weir_scheduler_config_t){
        .context = 128,
        .n_kv_blocks = 64,
        .max_running = 4,
        .max_queue = 4,
        .step_tokens = 32,
    };
}

static void test_one(void)
{
    world_t w;
    open_world(&w, roomy());
    int32_t prompt[40];
    fill_prompt(prompt, 40, 3);
    weir_generate_t p = plain_request(prompt, 40);
    p.logprobs = true;
    p.ignore_eos = true;
    p.max_tokens = 20;
    int slot = submit(&w, &p);
    run_to_end(&w);
    record_t *r = &w.records[slot];
    ok(same_answer(r, 0, 128), "one request gives the reference's answer");
    is_int(r->answers[0].n_tokens, 20, "max_tokens tokens");
    is_int(r->answers[0].finish, WEIR_FINISH_LENGTH, "finish is length");
    is_int(r->n_started, 1, "started once");
    is_int(r->cached_tokens, 0, "nothing was cached");
    ok(r->released, "the slot is given back");

    int again = submit(&w, &p);
    run_to_end(&w);
    ok(same_answer(&w.records[again], 0, 128), "a warm prefix changes nothing");
    is_int(w.records[again].cached_tokens, 32, "two full blocks came from the cache");
    p.cache_scope = 9;
    again = submit(&w, &p);
    run_to_end(&w);
    is_int(w.records[again].cached_tokens, 0, "another scope shares nothing");

    p.n_prompt = 32;
    p.cache_scope = 0;
    again = submit(&w, &p);
    run_to_end(&w);
    ok(same_answer(&w.records[again], 0, 128), "a prompt that is cached as a whole is right");
    is_int(w.records[again].cached_tokens, 31, "its last token is computed again");
    p.prompt_logprobs = true;
    again = submit(&w, &p);
    run_to_end(&w);
    ok(same_scores(&w.records[again]), "scores of every prompt token");
    is_int(w.records[again].cached_tokens, 0, "scoring bypasses the cache");
    is_int(w.n_bad, 0, "no event out of place");
    ok(weir_scheduler_consistent(w.s), "nothing is left over");
    close_world(&w);
}

static void test_context(void)
{
    world_t w;
    open_world(&w, roomy());
    int32_t prompt[128];
    fill_prompt(prompt, 128, 1);
    weir_generate_t p = plain_request(prompt, 127);
    int slot = submit(&w, &p);
    run_to_end(&w);
    is_int(w.records[slot].answers[0].n_tokens, 1, "the context leaves one token");
    ok(same_answer(&w.records[slot], 0, 128), "and it is right");
    weir_error_t err = {0};
    p.n_prompt = 128;
    is_int(weir_scheduler_check(w.s, &p, &err), WEIR_ERR_INVALID, "a full context is refused");
    is_str(err.code, strlen(err.code), "context_length_exceeded", "with its code");
    p.no_generate = true;
    p.prompt_logprobs = true;
    slot = submit(&w, &p);
    run_to_end(&w);
    ok(same_scores(&w.records[slot]), "but may be scored");
    is_int(w.records[slot].answers[0].n_tokens, 0, "without an answer");
    is_int(w.records[slot].answers[0].n_finish, 1, "and is finished");
    close_world(&w);
}

static void test_choices(void)
{
    world_t w;
    open_world(&w, roomy());
    int32_t prompt[50];
    fill_prompt(prompt, 50, 5);
    weir_generate_t p = plain_request(prompt, 50);
    p.n = 9; /* more than run at once */
    p.max_tokens = 12;
    int slot = submit(&w, &p);
    run_to_end(&w);
    bool same = true;
    for (uint32_t i = 0; i < p.n; i++) {
        same = same_answer(&w.records[slot], i, 128) && same;
    }
    ok(same, "each of nine choices gives what its own seed gives");
    ok(w.records[slot].released && w.n_bad == 0, "and the request ends once");
    weir_engine_stats_t stats;
    weir_scheduler_stats(w.s, &stats);
    is_int((long long)stats.prompt_tokens, 50, "the prompt counts once");
    close_world(&w);
}

static void test_queue(void)
{
    world_t w;
    weir_scheduler_config_t c = roomy();
    c.max_running = 1;
    c.max_queue = 2;
    open_world(&w, c);
    int32_t prompt[20];
    fill_prompt(prompt, 20, 5);
    weir_generate_t p = plain_request(prompt, 20);
    p.ignore_eos = true;
    p.max_tokens = 10;
    int taken = 0;
    for (int i = 0; i < 3; i++) {
        taken += submit(&w, &p) >= 0;
    }
    is_int(taken, 3, "one running and two waiting are taken, even before the first step");
    is_int(submit(&w, &p), -1, "the next is refused");
    weir_scheduler_step(w.s);
    is_int(submit(&w, &p), -1, "also when the first runs");
    weir_engine_stats_t stats;
    weir_scheduler_stats(w.s, &stats);
    is_int(stats.waiting, 2, "two wait");
    is_int(stats.running, 1, "one runs");
    is_int((long long)stats.requests_rejected, 2, "two refusals are counted");
    uint32_t before = weir_scheduler_retry_after_ms(w.s);
    ok(before >= 1 && before < 1000, "a guess from the first step: %u ms", before);
    run_to_end(&w);
    ok(submit(&w, &p) >= 0, "afterwards there is room again");
    ok(weir_scheduler_retry_after_ms(w.s) >= 25, "ten steps of 3 ms make at least 25 ms: %u",
       weir_scheduler_retry_after_ms(w.s));
    run_to_end(&w);
    close_world(&w);
}

static void test_cancel(void)
{
    world_t w;
    weir_scheduler_config_t c = roomy();
    c.max_running = 2;
    open_world(&w, c);
    int32_t prompt[60];
    fill_prompt(prompt, 60, 5);
    weir_generate_t p = plain_request(prompt, 60);
    p.ignore_eos = true;
    p.n = 3;
    int a = submit(&w, &p);
    int b = submit(&w, &p);
    weir_scheduler_step(w.s); /* in the middle of the prompt */
    weir_scheduler_cancel(w.s, (uint32_t)a, w.records[a].id + (1 << 16));
    weir_scheduler_reap(w.s);
    is_int(w.records[a].answers[0].n_finish, 0, "a stale id cancels nothing");
    weir_scheduler_cancel(w.s, (uint32_t)a, w.records[a].id);
    weir_scheduler_cancel(w.s, (uint32_t)b, w.records[b].id);
    weir_scheduler_reap(w.s);
    int n = 0;
    for (int i = 0; i < 3; i++) {
        n += w.records[a].answers[i].finish == WEIR_FINISH_CANCELLED;
        n += w.records[b].answers[i].finish == WEIR_FINISH_CANCELLED;
    }
    is_int(n, 6, "running, forking and waiting choices all end as cancelled");
    ok(!weir_scheduler_busy(w.s) && weir_scheduler_consistent(w.s), "and nothing is left");
    weir_engine_stats_t stats;
    weir_scheduler_stats(w.s, &stats);
    is_int(stats.running + stats.waiting + stats.kv_blocks_used, 0, "the numbers agree");
    close_world(&w);
}

static void test_failure(void)
{
    world_t w;
    open_world(&w, roomy());
    int32_t prompt[60];
    fill_prompt(prompt, 60, 5);
    weir_generate_t p = plain_request(prompt, 60);
    p.n = 2;
    int a = submit(&w, &p);
    fake_backend_fail(w.backend, 1);
    run_to_end(&w);
    is_int(w.records[a].answers[0].finish, WEIR_FINISH_ERROR, "a failing step ends the request");
    is_int(w.records[a].answers[1].finish, WEIR_FINISH_ERROR, "with all its choices");
    int b = submit(&w, &p);
    run_to_end(&w);
    ok(same_answer(&w.records[b], 1, 128), "the next request is served");
    close_world(&w);
}

static void test_fair_prompts(void)
{
    world_t w;
    open_world(&w, roomy());
    int32_t prompt[120];
    fill_prompt(prompt, 120, 5);
    weir_generate_t longer = plain_request(prompt, 120);
    longer.max_tokens = 2;
    int32_t other[14];
    fill_prompt(other, 14, 11);
    weir_generate_t shorter = plain_request(other, 14);
    shorter.max_tokens = 2;
    int a = submit(&w, &longer);
    int b = submit(&w, &shorter);
    weir_scheduler_step(w.s);
    is_int(w.records[b].answers[0].n_tokens, 1, "a short prompt is not held up by a long one");
    is_int(w.records[a].answers[0].n_tokens, 0, "which takes more steps");
    run_to_end(&w);
    ok(same_answer(&w.records[a], 0, 128) && same_answer(&w.records[b], 0, 128), "both are right");
    close_world(&w);
}

static void random_request(rng_t *rng, uint32_t context, weir_generate_t *p, int32_t *prompt)
{
    static const char *const stops[] = {"stop", "ab", "\xe2\x82\xac", "bab", "aa", "sto", "xyy"};
    uint32_t room = context - 1 < 100 ? context - 1 : 100;
    uint32_t n = 1 + rng_below(rng, rng_below(rng, 3) == 0 ? room : (room + 3) / 4);
    fill_prompt(prompt, n, rng_below(rng, 3));
    for (uint32_t i = rng_below(rng, n + 40); i < n; i++) {
        prompt[i] = (int32_t)rng_below(rng, VOCAB); /* leave a common beginning */
    }
    *p = plain_request(prompt, n);
    p->n = rng_below(rng, 4) == 0 ? 1 + rng_below(rng, 5) : 1;
    p->max_tokens = rng_below(rng, 4) == 0 ? 0 : 1 + rng_below(rng, 40);
    p->sampling.seed = rng_below(rng, 3);
    p->sampling.temperature = rng_below(rng, 2) ? 0.0f : 1.5f;
    p->sampling.top_k = (int32_t)(rng_below(rng, 2) * rng_below(rng, 20));
    p->sampling.top_p = rng_below(rng, 2) ? 1.0f : 0.8f;
    p->sampling.frequency_penalty = rng_below(rng, 3) == 0 ? 1.5f : 0.0f;
    p->sampling.repetition_penalty = rng_below(rng, 3) == 0 ? 1.2f : 1.0f;
    p->ignore_eos = rng_below(rng, 2);
    p->n_stops = rng_below(rng, 3);
    for (uint32_t i = 0; i < p->n_stops; i++) {
        const char *stop = stops[rng_below(rng, 7)];
        p->stops[i] = weir_str(stop, strlen(stop));
    }
    p->n_stop_tokens = rng_below(rng, 5) == 0;
    p->stop_tokens[0] = 20;
    p->logprobs = rng_below(rng, 3) == 0;
    p->prompt_logprobs = rng_below(rng, 6) == 0;
    p->cache_scope = rng_below(rng, 2);
}

static bool check_record(world_t *w, record_t *r)
{
    bool good = true;
    for (uint32_t i = 0; good && i < r->params.n; i++) {
        if (r->cancelled) {
            good = is_prefix(r, i, w->config.context);
        } else {
            good = same_answer(r, i, w->config.context);
        }
    }
    return good && (r->cancelled || (same_scores(r) && r->n_started == 1));
}

/* One random world; true when everything came out as alone. */
static bool random_world(rng_t *rng, uint64_t *preemptions, uint64_t *cached)
{
    world_t w;
    uint32_t context = 20 + rng_below(rng, MAX_CTX - 20);
    weir_scheduler_config_t c = {
        .context = context,
        .n_kv_blocks = (context + 15) / 16 + rng_below(rng, 12),
        .max_running = 1 + rng_below(rng, 6),
        .max_queue = 1 + rng_below(rng, 8),
        .no_prefix_cache = rng_below(rng, 6) == 0,
        .hash_key = rng_u64(rng),
    };
    c.step_tokens = c.max_running + rng_below(rng, 60);
    open_world(&w, c);
    bool good = true;
    uint32_t to_submit = 5 + rng_below(rng, 20);
    for (uint32_t turn = 0; good && turn < 20000; turn++) {
        if (to_submit > 0 && rng_below(rng, 3) == 0) {
            weir_generate_t p;
            int32_t prompt[MAX_CTX];
            random_request(rng, context, &p, prompt);
            uint32_t slot = 0;
            while (w.records[slot].used && !w.records[slot].released) {
                slot++;
            }
            if (w.records[slot].used) {
                good = check_record(&w, &w.records[slot]); /* before it is used again */
            }
            to_submit -= submit(&w, &p) >= 0;
        }
        if (rng_below(rng, 30) == 0) {
            uint32_t slot = rng_below(rng, weir_scheduler_slots(c.max_running, c.max_queue));
            record_t *r = &w.records[slot];
            if (r->used && !r->released) {
                r->cancelled = true;
                weir_scheduler_cancel(w.s, slot, r->id);
                weir_scheduler_reap(w.s);
            }
        }
        weir_scheduler_step(w.s);
        good = good && weir_scheduler_consistent(w.s) && w.n_bad == 0;
        if (to_submit == 0 && !weir_scheduler_busy(w.s)) {
            break;
        }
    }
    good = good && to_submit == 0 && !weir_scheduler_busy(w.s);
    for (uint32_t i = 0; good && i < MAX_SLOTS; i++) {
        if (w.records[i].used) {
            good = w.records[i].released && check_record(&w, &w.records[i]);
        }
    }
    weir_engine_stats_t stats;
    weir_scheduler_stats(w.s, &stats);
    *preemptions += stats.preemptions;
    *cached += stats.cached_tokens;
    good = good && stats.running == 0 && stats.waiting == 0 && stats.kv_blocks_used == 0;
    close_world(&w);
    return good;
}

static void test_random(void)
{
    rng_t rng;
    rng_init(&rng);
    uint64_t preemptions = 0;
    uint64_t cached = 0;
    uint32_t n_good = 0;
    for (uint32_t i = 0; i < 300; i++) {
        n_good += random_world(&rng, &preemptions, &cached);
    }
    is_int(n_good, 300, "random loads: every request gets what it would get alone");
    ok(preemptions > 50, "there were preemptions: %llu", (unsigned long long)preemptions);
    ok(cached > 1000, "and hits of the prefix cache: %llu tokens", (unsigned long long)cached);
}

static void test_checks(void)
{
    world_t w;
    open_world(&w, roomy());
    int32_t prompt[4] = {1, 2, 3, 4};
    const weir_generate_t good = plain_request(prompt, 4);
    struct {
        const char *field;
        weir_generate_t p;
    } cases[17];
    for (size_t i = 0; i < 17; i++) {
        cases[i].p = good;
    }
    size_t n = 0;
#define BAD(name, change)                 \
    do {                                  \
        weir_generate_t *p = &cases[n].p; \
        cases[n++].field = (name);        \
        change;                           \
    } while (0)
    BAD("prompt", p->n_prompt = 0);
    BAD("n", p->n = 0);
    BAD("n", p->n = 17);
    BAD("temperature", p->sampling.temperature = NAN);
    BAD("temperature", p->sampling.temperature = -0.1f);
    BAD("top_k", p->sampling.top_k = -1);
    BAD("top_p", p->sampling.top_p = 1.1f);
    BAD("min_p", p->sampling.min_p = INFINITY);
    BAD("repetition_penalty", p->sampling.repetition_penalty = 0.0f);
    BAD("frequency_penalty", p->sampling.frequency_penalty = 2.5f);
    BAD("presence_penalty", p->sampling.presence_penalty = -3.0f);
    BAD("logit_bias", p->sampling.n_bias = 1; p->sampling.bias[0].token = VOCAB);
    BAD("stop", p->n_stops = 1; p->stops[0] = weir_str("", 0));
    BAD("stop", p->n_stops = 1; p->stops[0] = weir_str("\xff", 1));
    BAD("stop_token_ids", p->n_stop_tokens = 1; p->stop_tokens[0] = -1);
    BAD("top_logprobs", p->logprobs = true; p->top_logprobs = 21);
    BAD("top_logprobs", p->top_logprobs = 1);
    for (size_t i = 0; i < n; i++) {
        weir_error_t err = {0};
        bool refused = weir_scheduler_check(w.s, &cases[i].p, &err) == WEIR_ERR_INVALID;
        ok(refused && strcmp(err.field, cases[i].field) == 0, "refused: %s (%s)", cases[i].field,
           err.message);
    }
    prompt[2] = VOCAB;
    weir_error_t err = {0};
    ok(weir_scheduler_check(w.s, &good, &err) == WEIR_ERR_INVALID, "refused: %s", err.message);
    close_world(&w);
}

int main(void)
{
    test_one();
    test_context();
    test_choices();
    test_queue();
    test_cancel();
    test_failure();
    test_fair_prompts();
    test_checks();
    test_random();
    return done_testing();
}

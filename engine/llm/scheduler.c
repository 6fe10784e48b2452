#include "engine/llm/scheduler.h"

#include <math.h>
#include <stdlib.h>

#include "engine/llm/sched_internal.h"

static weir_str_t tokenizer_bytes(const void *ctx, int32_t id)
{
    return weir_tokenizer_token_bytes(ctx, id);
}

static bool tokenizer_is_eog(const void *ctx, int32_t id)
{
    return weir_tokenizer_is_eog(ctx, id);
}

static bool tokenizer_is_special(const void *ctx, int32_t id)
{
    return weir_tokenizer_is_special(ctx, id);
}

weir_vocab_t weir_vocab_of_tokenizer(const weir_tokenizer_t *tok)
{
    return (weir_vocab_t){
        .ctx = tok,
        .size = weir_tokenizer_vocab_size(tok),
        .bytes = tokenizer_bytes,
        .is_eog = tokenizer_is_eog,
        .is_special = tokenizer_is_special,
    };
}

static weir_status_t check_config(const weir_scheduler_config_t *c, weir_error_t *err)
{
    if (c->vocab.size == 0 || c->n_vocab < c->vocab.size) {
        return weir_error(err, WEIR_ERR_INVALID, "the vocabulary has %u tokens and the model %u",
                          c->vocab.size, c->n_vocab);
    }
    if (c->context < 2 || c->max_running < 1 || c->max_queue < 1) {
        return weir_error(err, WEIR_ERR_INVALID,
                          "context must be at least 2, max_running and max_queue at least 1");
    }
    if (c->n_kv_blocks < weir_blocks_for(c->context)) {
        return weir_error(err, WEIR_ERR_INVALID,
                          "the KV cache holds %llu tokens, fewer than one context of %u",
                          (unsigned long long)c->n_kv_blocks * WEIR_KV_BLOCK, c->context);
    }
    if (c->step_tokens < c->max_running || c->max_logits <= c->max_running) {
        return weir_error(err, WEIR_ERR_INVALID,
                          "a step of %u tokens is too small for %u running sequences",
                          c->step_tokens, c->max_running);
    }
    return WEIR_OK;
}

static uint32_t longest_token(const weir_vocab_t *vocab)
{
    size_t longest = 0;
    for (uint32_t i = 0; i < vocab->size; i++) {
        size_t n = vocab->bytes(vocab->ctx, (int32_t)i).len;
        longest = n > longest ? n : longest;
    }
    return longest < 1u << 24 ? (uint32_t)longest : 1u << 24;
}

/* Requests, sequences and step arrays; false when out of memory. */
static bool allocate(weir_scheduler_t *s)
{
    const weir_scheduler_config_t *c = &s->config;
    uint32_t text_cap = WEIR_TEXT_SLACK + 3 * longest_token(&c->vocab);
    s->slots = weir_arena_calloc(&s->arena, s->n_slots, sizeof(*s->slots));
    s->live = weir_arena_calloc(&s->arena, s->n_slots, sizeof(*s->live));
    s->seqs = weir_arena_calloc(&s->arena, c->max_running, sizeof(*s->seqs));
    s->order = weir_arena_calloc(&s->arena, c->max_running, sizeof(weir_seq_t *));
    s->shares = weir_arena_calloc(&s->arena, c->max_running, sizeof(*s->shares));
    s->batch = weir_arena_calloc(&s->arena, c->max_running, sizeof(*s->batch));
    s->logits = malloc((size_t)c->max_logits * c->n_vocab * sizeof(float));
    if (s->slots == NULL || s->live == NULL || s->seqs == NULL || s->order == NULL ||
        s->shares == NULL || s->batch == NULL || s->logits == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < s->n_slots; i++) {
        s->slots[i].prompt = weir_arena_calloc(&s->arena, c->context, sizeof(int32_t));
        if (s->slots[i].prompt == NULL) {
            return false;
        }
    }
    for (uint32_t i = 0; i < c->max_running; i++) {
        weir_seq_t *seq = &s->seqs[i];
        seq->tokens = weir_arena_calloc(&s->arena, c->context, sizeof(int32_t));
        seq->blocks = weir_arena_calloc(&s->arena, weir_blocks_for(c->context), sizeof(uint32_t));
        seq->text.held = weir_arena_calloc(&s->arena, text_cap, 1);
        seq->text.cap = text_cap;
        if (seq->tokens == NULL || seq->blocks == NULL || seq->text.held == NULL) {
            return false;
        }
    }
    /* Grown once to the longest text of one token, then reused. */
    weir_buf_init(&s->scratch, &s->arena);
    for (uint32_t i = 0; i < text_cap; i++) {
        weir_buf_append_char(&s->scratch, ' ');
    }
    return !s->scratch.failed;
}

weir_status_t weir_scheduler_open(const weir_scheduler_config_t *config, weir_scheduler_t **out,
                                  weir_error_t *err)
{
    *out = NULL;
    weir_status_t status = check_config(config, err);
    if (status != WEIR_OK) {
        return status;
    }
    weir_scheduler_t *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for the scheduler");
    }
    s->config = *config;
    s->n_slots = weir_scheduler_slots(config->max_running, config->max_queue);
    weir_arena_init(&s->arena, 1 << 20, 0);
    if (!allocate(s)) {
        weir_scheduler_close(s);
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for requests of %u tokens",
                          config->context);
    }
    status = weir_kv_cache_open(config->n_kv_blocks, config->hash_key, &s->kv, err);
    if (status == WEIR_OK) {
        status = weir_sampler_open(config->vocab.size, &s->sampler, err);
    }
    if (status != WEIR_OK) {
        weir_scheduler_close(s);
        return status;
    }
    *out = s;
    return WEIR_OK;
}

void weir_scheduler_close(weir_scheduler_t *s)
{
    if (s != NULL) {
        weir_kv_cache_close(s->kv);
        weir_sampler_close(s->sampler);
        free(s->logits);
        weir_arena_free(&s->arena);
        free(s);
    }
}

void weir_scheduler_add(weir_scheduler_t *s, uint32_t slot)
{
    weir_request_t *req = &s->slots[slot];
    s->live[slot] = true;
    if (s->queue_tail != NULL) {
        s->queue_tail->next = req;
    } else {
        s->queue_head = req;
    }
    s->queue_tail = req;
}

static void unqueue(weir_scheduler_t *s, weir_request_t *req)
{
    weir_request_t *before = NULL;
    for (weir_request_t *r = s->queue_head; r != NULL; before = r, r = r->next) {
        if (r != req) {
            continue;
        }
        if (before != NULL) {
            before->next = r->next;
        } else {
            s->queue_head = r->next;
        }
        if (s->queue_tail == r) {
            s->queue_tail = before;
        }
        r->next = NULL;
        return;
    }
}

static void load_sub(weir_scheduler_t *s, uint32_t waiting, uint32_t running)
{
    atomic_fetch_sub(&s->load, ((uint64_t)waiting << 32) + running);
}

void weir_sched_drop_blocks(weir_scheduler_t *s, weir_seq_t *seq)
{
    while (seq->n_blocks > 0) {
        weir_kv_cache_unref(s->kv, seq->blocks[--seq->n_blocks]);
    }
    seq->n_published = 0;
}

/* The last choice has ended: the slot goes back to the submitter and is not ours any more. */
static void release(weir_scheduler_t *s, weir_request_t *req, weir_finish_t finish)
{
    s->live[req - s->slots] = false;
    if (finish != WEIR_FINISH_CANCELLED) {
        uint64_t old = atomic_load_explicit(&s->stats.finish_interval_ns, memory_order_relaxed);
        uint64_t smoothed = old == 0 ? s->busy_ns : old - old / 4 + s->busy_ns / 4;
        atomic_store_explicit(&s->stats.finish_interval_ns, smoothed, memory_order_relaxed);
        s->busy_ns = 0;
    }
    s->config.release(s->config.ctx, (uint32_t)(req - s->slots));
}

static void end_choice(weir_scheduler_t *s, weir_request_t *req, weir_event_t *ev,
                       weir_finish_t finish)
{
    ev->finish = finish;
    s->config.emit(s->config.ctx, ev);
    weir_stat_add(&s->stats.finished[finish], 1);
    if (--req->open_choices == 0) {
        release(s, req, finish);
    }
}

void weir_sched_finish(weir_scheduler_t *s, weir_seq_t *seq, weir_finish_t finish)
{
    weir_request_t *req = seq->req;
    weir_event_t *ev = weir_sched_event(s, req, seq->choice, WEIR_EVENT_FINISH);
    ev->completion_tokens = seq->n_tokens - (uint32_t)req->params.n_prompt;
    if (finish != WEIR_FINISH_ERROR) {
        uint32_t n = weir_text_finish(&seq->text, &s->scratch);
        n = weir_text_cut(seq->text.held, n, WEIR_EVENT_TEXT);
        memcpy(ev->text, seq->text.held, n);
        ev->text_len = n;
    }
    ev->stop = finish == WEIR_FINISH_STOP ? seq->text.found : 0;
    weir_sched_drop_blocks(s, seq);
    seq->state = WEIR_SEQ_FREE;
    if (req->leader == seq) {
        req->leader = NULL;
    }
    end_choice(s, req, ev, finish);
}

void weir_sched_end_request(weir_scheduler_t *s, weir_request_t *req, weir_finish_t finish)
{
    uint32_t n = req->params.n;
    if (req->next_choice < n) {
        unqueue(s, req);
        if (req->next_choice == 0) {
            load_sub(s, 1, 0);
        }
    }
    /* Those without a sequence first, so that the request lives until its sequences are gone. */
    uint32_t first = req->next_choice;
    req->next_choice = n;
    uint32_t n_running = req->open_choices - (n - first);
    for (uint32_t choice = first; choice < n; choice++) {
        end_choice(s, req, weir_sched_event(s, req, choice, WEIR_EVENT_FINISH), finish);
    }
    for (uint32_t i = 0; n_running > 0 && i < s->n_order; i++) {
        weir_seq_t *seq = s->order[i];
        if (seq->state != WEIR_SEQ_FREE && seq->req == req) {
            n_running--;
            weir_sched_finish(s, seq, finish);
        }
    }
}

/* Takes ended sequences out of the order. */
static void compact(weir_scheduler_t *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_order; i++) {
        if (s->order[i]->state != WEIR_SEQ_FREE) {
            s->order[n++] = s->order[i];
        }
    }
    load_sub(s, 0, s->n_order - n);
    s->n_order = n;
    atomic_store_explicit(&s->stats.kv_used, weir_kv_cache_used(s->kv), memory_order_relaxed);
}

void weir_scheduler_reap(weir_scheduler_t *s)
{
    for (uint32_t i = 0; i < s->n_slots; i++) {
        weir_request_t *req = &s->slots[i];
        if (s->live[i] && atomic_load(&req->cancel)) {
            weir_sched_end_request(s, req, WEIR_FINISH_CANCELLED);
        }
    }
    compact(s);
}

bool weir_scheduler_busy(const weir_scheduler_t *s)
{
    return s->queue_head != NULL || s->n_order > 0;
}

/* A sequence for the request's next choice, at the end of the order. */
static weir_seq_t *open_seq(weir_scheduler_t *s, weir_request_t *req)
{
    weir_seq_t *seq = s->seqs;
    while (seq->state != WEIR_SEQ_FREE) {
        seq++;
    }
    const weir_generate_t *params = &req->params;
    seq->req = req;
    seq->choice = req->next_choice;
    seq->seed = params->sampling.seed + seq->choice;
    memcpy(seq->tokens, req->prompt, params->n_prompt * sizeof(*seq->tokens));
    seq->n_tokens = (uint32_t)params->n_prompt;
    seq->n_computed = 0;
    seq->n_blocks = 0;
    seq->n_published = 0;
    seq->n_scored = 0;
    seq->text.utf8 = (weir_utf8_stream_t){.n = 0};
    seq->text.stops = params->stops;
    seq->text.n_stops = params->n_stops;
    seq->text.found = 0;
    seq->text.n_held = 0;
    return seq;
}

static void report_start(weir_scheduler_t *s, weir_seq_t *seq)
{
    weir_request_t *req = seq->req;
    req->started = true;
    req->cached_tokens = seq->n_computed;
    weir_stat_add(&s->stats.prompt_tokens, req->params.n_prompt);
    weir_stat_add(&s->stats.cached_tokens, seq->n_computed);
    s->config.emit(s->config.ctx, weir_sched_event(s, req, seq->choice, WEIR_EVENT_STARTED));
    if (req->params.prompt_logprobs) {
        weir_event_t *ev = weir_sched_event(s, req, seq->choice, WEIR_EVENT_PROMPT_TOKEN);
        ev->token = seq->tokens[0];
        ev->logprob = NAN;
        s->config.emit(s->config.ctx, ev);
        seq->n_scored = 1;
    }
}

/* Starts the next choice of the request at the head of the queue; false when it must wait. */
static bool start_choice(weir_scheduler_t *s)
{
    weir_request_t *req = s->queue_head;
    weir_seq_t *seq = open_seq(s, req);
    if (req->leader != NULL) {
        seq->state = WEIR_SEQ_FORK;
    } else if (weir_sched_place(s, seq)) {
        req->leader = seq;
    } else {
        return false;
    }
    s->order[s->n_order++] = seq;
    if (req->next_choice == 0) {
        atomic_fetch_sub(&s->load, (1ull << 32) - 1); /* waiting - 1, running + 1 */
    } else {
        atomic_fetch_add(&s->load, 1);
    }
    if (++req->next_choice == req->params.n) {
        unqueue(s, req);
    }
    if (!req->started) {
        report_start(s, seq);
    }
    return true;
}

static void admit(weir_scheduler_t *s)
{
    for (uint32_t i = 0; i < s->n_order; i++) {
        if (s->order[i]->state == WEIR_SEQ_PREEMPTED && !weir_sched_place(s, s->order[i])) {
            return;
        }
    }
    while (s->queue_head != NULL && s->n_order < s->config.max_running && start_choice(s)) {
    }
}

static void smooth(_Atomic uint64_t *stat, uint64_t ns)
{
    uint64_t old = atomic_load_explicit(stat, memory_order_relaxed);
    atomic_store_explicit(stat, old == 0 ? ns : old - old / 8 + ns / 8, memory_order_relaxed);
}

static void account(weir_scheduler_t *s, uint64_t ns, uint32_t n_prompt_rows)
{
    weir_stat_add(&s->stats.steps, 1);
    weir_stat_add(n_prompt_rows > 0 ? &s->stats.prefill_ns : &s->stats.decode_ns, ns);
    smooth(&s->stats.step_ns, ns);
    s->busy_ns += ns;
    /* Only steps that are mostly prompt tell what a prompt row costs. */
    if (n_prompt_rows >= 2 * WEIR_KV_BLOCK) {
        double row_ns = (double)ns / n_prompt_rows;
        s->prompt_row_ns = s->prompt_row_ns == 0 ? row_ns : 0.75 * s->prompt_row_ns + 0.25 * row_ns;
    }
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < s->n_order; i++) {
        const weir_seq_t *seq = s->order[i];
        uint32_t left =
            seq->req->max_tokens - (seq->n_tokens - (uint32_t)seq->req->params.n_prompt);
        least = left < least ? left : least;
    }
    if (least != UINT32_MAX) {
        atomic_store_explicit(&s->stats.least_left, least, memory_order_relaxed);
    }
}

void weir_scheduler_step(weir_scheduler_t *s)
{
    admit(s);
    uint32_t n_prompt_rows = 0;
    uint32_t n = weir_sched_build(s, &n_prompt_rows);
    if (n == 0) {
        return;
    }
    uint64_t start = s->config.now_ns();
    weir_batch_t batch = {s->batch, n};
    weir_error_t err;
    weir_status_t status = s->config.ops->forward(s->config.backend, &batch, s->logits, &err);
    const float *rows = s->logits;
    for (uint32_t i = 0; i < n; i++) {
        if (status == WEIR_OK) {
            rows = weir_sched_output(s, &s->shares[i], rows);
        } else if (s->shares[i].seq->state == WEIR_SEQ_RUNNING) {
            weir_sched_end_request(s, s->shares[i].seq->req, WEIR_FINISH_ERROR);
        }
    }
    compact(s);
    account(s, s->config.now_ns() - start, n_prompt_rows);
}

static uint64_t get(const _Atomic uint64_t *stat)
{
    return atomic_load_explicit(stat, memory_order_relaxed);
}

void weir_scheduler_stats(const weir_scheduler_t *s, weir_engine_stats_t *out)
{
    uint64_t load = atomic_load(&s->load);
    *out = (weir_engine_stats_t){
        .running = (uint32_t)load,
        .waiting = (uint32_t)(load >> 32),
        .kv_blocks_used = atomic_load_explicit(&s->stats.kv_used, memory_order_relaxed),
        .kv_blocks = s->config.n_kv_blocks,
        .prompt_tokens = get(&s->stats.prompt_tokens),
        .cached_tokens = get(&s->stats.cached_tokens),
        .generated_tokens = get(&s->stats.generated_tokens),
        .requests_rejected = get(&s->stats.rejected),
        .steps = get(&s->stats.steps),
        .prefill_ns = get(&s->stats.prefill_ns),
        .decode_ns = get(&s->stats.decode_ns),
        .preemptions = get(&s->stats.preemptions),
    };
    for (int i = 0; i < 5; i++) {
        out->requests_finished[i] = get(&s->stats.finished[i]);
    }
}

bool weir_scheduler_consistent(const weir_scheduler_t *s)
{
    uint32_t refs = 0;
    for (uint32_t i = 0; i < s->n_order; i++) {
        const weir_seq_t *seq = s->order[i];
        bool placed = seq->state == WEIR_SEQ_RUNNING;
        if (seq->state == WEIR_SEQ_FREE || (seq->n_blocks > 0) != placed ||
            (placed && seq->n_computed >= seq->n_tokens) ||
            seq->n_published * WEIR_KV_BLOCK > seq->n_computed + WEIR_KV_BLOCK) {
            return false;
        }
        refs += seq->n_blocks;
    }
    uint64_t load = atomic_load(&s->load);
    return weir_kv_cache_check(s->kv) && refs >= weir_kv_cache_used(s->kv) &&
           (uint32_t)load == s->n_order && (s->n_order > 0 || weir_kv_cache_used(s->kv) == 0);
}

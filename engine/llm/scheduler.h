/*
 * The scheduler: which sequences run in the next step, with how many tokens each, on which KV
 * blocks; and what becomes of the logits. It owns the request slots, the sequences, the KV
 * bookkeeping and the sampler, drives a back end that it is given, and reports through callbacks.
 *
 * Every call but those marked "submitter" belongs to one thread. All memory is taken at open:
 * weir_scheduler_step allocates nothing.
 *
 * Rules of a step:
 *  - requests start first come, first served; a started sequence keeps its place until it ends;
 *  - each sequence that is decoding gets its one row first; what the budget leaves is shared
 *    evenly among prompts (max-min), and while others decode, prompt rows are held to about
 *    WEIR_SCHEDULER_PROMPT_NS of measured work so that no prompt stalls running answers;
 *  - a prompt's blocks are taken as a whole when it starts, an answer's one by one; when none is
 *    left, the youngest sequence gives up its blocks and later computes them again from its
 *    tokens: nothing it has produced changes. The oldest can always go on, since the cache holds
 *    at least one sequence of full length: there is no deadlock.
 */
#ifndef WEIR_LLM_SCHEDULER_H
#define WEIR_LLM_SCHEDULER_H

#include "engine/llm/engine.h"

#define WEIR_SCHEDULER_PROMPT_NS 100000000ull

typedef struct weir_scheduler weir_scheduler_t;

/* What the scheduler must know of tokens. */
typedef struct {
    const void *ctx;
    uint32_t size;
    weir_str_t (*bytes)(const void *ctx, int32_t id);
    bool (*is_eog)(const void *ctx, int32_t id);
    bool (*is_special)(const void *ctx, int32_t id);
} weir_vocab_t;

weir_vocab_t weir_vocab_of_tokenizer(const weir_tokenizer_t *tok);

typedef struct {
    const weir_backend_ops_t *ops;
    weir_backend_t *backend; /* stays the caller's */
    weir_vocab_t vocab;
    uint32_t n_vocab;     /* values of a logit row; at least vocab.size */
    uint32_t context;     /* at least 2 */
    uint32_t n_kv_blocks; /* at least what one sequence of `context` tokens needs */
    uint32_t max_running;
    uint32_t max_queue;
    uint32_t step_tokens; /* at least max_running */
    uint32_t max_logits;  /* at least max_running + 1 */
    bool no_prefix_cache;
    uint64_t hash_key;
    uint64_t (*now_ns)(void); /* monotonic */
    void (*emit)(void *ctx, const weir_event_t *event);
    void (*release)(void *ctx, uint32_t slot); /* the request's last event has been emitted */
    void *ctx;
} weir_scheduler_config_t;

/* Copies the configuration. Errors: INVALID, NOMEM. */
weir_status_t weir_scheduler_open(const weir_scheduler_config_t *config, weir_scheduler_t **out,
                                  weir_error_t *err);
void weir_scheduler_close(weir_scheduler_t *s);

/*
 * Slots for requests, numbered from 0: as many as may wait and run, and one more, since of the
 * choices of the queue's head some may have ended and the others not begun. One is always free
 * after a successful reserve.
 */
static inline uint32_t weir_scheduler_slots(uint32_t max_running, uint32_t max_queue)
{
    return max_running + max_queue + 1;
}

/*
 * Submitter: checks every field. Errors: INVALID with the field; a prompt that leaves no room for
 * an answer has the code context_length_exceeded.
 */
weir_status_t weir_scheduler_check(const weir_scheduler_t *s, const weir_generate_t *request,
                                   weir_error_t *err);

/* Submitter: takes a place in the queue for one request; false when it is full. */
bool weir_scheduler_reserve(weir_scheduler_t *s);

/* Submitter: a guess, from measured speed, when a place will be free; in ms, at least 1. */
uint32_t weir_scheduler_retry_after_ms(const weir_scheduler_t *s);

/* Submitter: copies a checked request into a slot that is not in use. seed: used when the request
 * brings none. */
void weir_scheduler_fill(weir_scheduler_t *s, uint32_t slot, uint64_t id, uint64_t seed,
                         const weir_generate_t *request);

/* Submitter: asks for the end of the request in slot if it is `id`; weir_scheduler_reap then acts
 * on it. */
void weir_scheduler_cancel(weir_scheduler_t *s, uint32_t slot, uint64_t id);

/* Puts a reserved and filled slot at the end of the queue. */
void weir_scheduler_add(weir_scheduler_t *s, uint32_t slot);

/* Ends all requests that were asked to end. */
void weir_scheduler_reap(weir_scheduler_t *s);

/* True while anything waits or runs. */
bool weir_scheduler_busy(const weir_scheduler_t *s);

/* One step. A back end's failure ends the requests of the batch, each with ERROR. */
void weir_scheduler_step(weir_scheduler_t *s);

/* Any thread; numbers may be of slightly different moments. */
void weir_scheduler_stats(const weir_scheduler_t *s, weir_engine_stats_t *out);

/* Checks the invariants of sequences and blocks; for tests, between steps. */
bool weir_scheduler_consistent(const weir_scheduler_t *s);

#endif

/*
 * The scheduler's own structures, shared by its source files only:
 *   scheduler.c     slots, queue, placing and ending sequences, the step
 *   sched_request.c checking and copying requests, the queue's bound (submitting thread)
 *   sched_batch.c   KV blocks for the next step, preemption, sharing of the token budget
 *   sched_output.c  logits to tokens, texts and events
 */
#ifndef WEIR_LLM_SCHED_INTERNAL_H
#define WEIR_LLM_SCHED_INTERNAL_H

#include <stdatomic.h>

#include "engine/llm/kv_cache.h"
#include "engine/llm/sample.h"
#include "engine/llm/sched_text.h"
#include "engine/llm/scheduler.h"

typedef struct weir_seq weir_seq_t;

/* A request in its slot. The submitter writes it while the slot is not in use, the engine thread
 * afterwards; `cancel` is the only field that both touch. */
typedef struct weir_request {
    uint64_t id;
    weir_generate_t params; /* prompt and stops point into the slot */
    int32_t *prompt;        /* room for `context` tokens */
    char stop_bytes[WEIR_ENGINE_MAX_STOPS][WEIR_ENGINE_MAX_STOP_BYTES];
    uint32_t max_tokens; /* resolved against the context */
    _Atomic bool cancel;

    bool started;         /* STARTED was emitted */
    uint32_t next_choice; /* the first one without a sequence */
    uint32_t open_choices;
    uint32_t cached_tokens;
    weir_seq_t *leader; /* computes the prompt that later choices will share, or NULL */
    struct weir_request *next;
} weir_request_t;

typedef enum {
    WEIR_SEQ_FREE,
    WEIR_SEQ_FORK,      /* waits for the leader's prompt; has no blocks */
    WEIR_SEQ_PREEMPTED, /* has no blocks; computes its tokens again when there is room */
    WEIR_SEQ_RUNNING
} weir_seq_state_t;

struct weir_seq {
    weir_seq_state_t state;
    weir_request_t *req;
    uint32_t choice;
    uint64_t seed;
    int32_t *tokens; /* prompt and answer; room for `context` */
    uint32_t n_tokens;
    uint32_t n_computed; /* whose K and V are in the cache; below n_tokens between steps */
    uint32_t *blocks;    /* room for a full context */
    uint32_t n_blocks;
    uint32_t n_published; /* leading blocks that the prefix cache knows */
    uint32_t n_scored;    /* prompt tokens reported (prompt_logprobs) */
    weir_text_t text;
};

/* One sequence's share of the step. */
typedef struct {
    weir_seq_t *seq;
    uint32_t n_tokens;
    uint32_t n_logits;
} weir_share_t;

typedef struct {
    _Atomic uint64_t prompt_tokens, cached_tokens, generated_tokens;
    _Atomic uint64_t finished[5];
    _Atomic uint64_t rejected, steps, prefill_ns, decode_ns, preemptions;
    _Atomic uint32_t kv_used;
    _Atomic uint64_t finish_interval_ns; /* smoothed busy time between two ends of requests */
    _Atomic uint64_t step_ns;            /* smoothed */
    _Atomic uint32_t least_left;         /* fewest tokens that a running answer may still get */
} weir_sched_stats_t;

struct weir_scheduler {
    weir_scheduler_config_t config;
    /* High half: requests waiting, counted by the submitter; low half: sequences started. */
    _Atomic uint64_t load;
    weir_sched_stats_t stats;

    uint32_t n_slots;
    weir_request_t *slots;
    bool *live; /* by slot: in the queue or running; only then may the engine thread look into it */
    weir_request_t *queue_head, *queue_tail;

    weir_seq_t *seqs;   /* max_running */
    weir_seq_t **order; /* those in use, oldest first */
    uint32_t n_order;

    weir_kv_cache_t *kv;
    weir_sampler_t *sampler;
    weir_arena_t arena; /* everything above and below */
    weir_buf_t scratch; /* text of one token */
    weir_share_t *shares;
    weir_batch_seq_t *batch;
    float *logits; /* max_logits rows */
    weir_event_t event;

    double prompt_row_ns; /* smoothed cost of one prompt row; 0: not measured yet */
    uint64_t busy_ns;     /* since a request last ended */
};

static inline uint32_t weir_blocks_for(uint32_t n_tokens)
{
    return (n_tokens + WEIR_KV_BLOCK - 1) / WEIR_KV_BLOCK;
}

static inline void weir_stat_add(_Atomic uint64_t *stat, uint64_t n)
{
    atomic_fetch_add_explicit(stat, n, memory_order_relaxed);
}

/* scheduler.c: emits FINISH, gives blocks and place back. The sequence leaves `order` at the end
 * of the step. */
void weir_sched_finish(weir_scheduler_t *s, weir_seq_t *seq, weir_finish_t finish);

/* scheduler.c: ends all choices of the request. */
void weir_sched_end_request(weir_scheduler_t *s, weir_request_t *req, weir_finish_t finish);

/* scheduler.c: gives all blocks back, the last one first. */
void weir_sched_drop_blocks(weir_scheduler_t *s, weir_seq_t *seq);

/* sched_batch.c: takes the blocks for all tokens of the sequence, reusing cached ones; false when
 * there are too few. */
bool weir_sched_place(weir_scheduler_t *s, weir_seq_t *seq);

/* sched_batch.c: fills shares and batch; returns the number of sequences, *n_prompt_rows the rows
 * that are not decoding. */
uint32_t weir_sched_build(weir_scheduler_t *s, uint32_t *n_prompt_rows);

/* sched_output.c: takes in the logits of one share; returns the row behind its last one. */
const float *weir_sched_output(weir_scheduler_t *s, const weir_share_t *share, const float *rows);

/* sched_output.c: a cleared event of the sequence's request and choice. */
weir_event_t *weir_sched_event(weir_scheduler_t *s, const weir_request_t *req, uint32_t choice,
                               weir_event_type_t type);

#endif

/*
 * The inference engine: one thread owns the back end and the scheduler; one other thread (an NGINX
 * worker's event loop, or a tool's main thread) submits requests and receives events through
 * lock-free rings and an eventfd. Nothing here blocks the submitting thread.
 *
 * Scheduling: continuous batching with a token budget per step, running sequences first, prompts in
 * chunks; a paged KV cache with a tenant-scoped prefix cache; a bounded queue.
 */
#ifndef WEIR_LLM_ENGINE_H
#define WEIR_LLM_ENGINE_H

#include "engine/llm/backend.h"
#include "engine/llm/chat.h"
#include "engine/llm/tokenizer.h"

#define WEIR_ENGINE_MAX_STOPS        4
#define WEIR_ENGINE_MAX_STOP_BYTES   128
#define WEIR_ENGINE_MAX_TOP_LOGPROBS 20
#define WEIR_ENGINE_MAX_BIAS         300
#define WEIR_ENGINE_MAX_CHOICES      16

typedef struct weir_engine weir_engine_t;

typedef struct {
    const char *model_path; /* or */
    int model_fd;           /* an open file when model_path is NULL */
    uint32_t threads;       /* compute threads; 0: cores allowed to the process */
    uint32_t context;       /* longest sequence in tokens; 0: the model's, at most 8192 */
    uint32_t kv_tokens;     /* size of the KV cache in tokens; 0: 4 * context */
    uint32_t max_running;   /* sequences decoded at once [16] */
    uint32_t max_queue;     /* requests waiting [64] */
    uint32_t step_tokens;   /* token budget of one step [512] */
    weir_activations_t activations;
    const char *isa; /* as weir_backend_options_t */
    bool no_prefix_cache;
    /* Called on the engine thread while it loads; may be NULL. */
    void (*progress)(void *ctx, float fraction);
    void *progress_ctx;
} weir_engine_options_t;

typedef enum { WEIR_ENGINE_LOADING, WEIR_ENGINE_READY, WEIR_ENGINE_FAILED } weir_engine_state_t;

typedef struct {
    float temperature;        /* 0: greedy; 0..2 */
    int32_t top_k;            /* 0: off */
    float top_p;              /* 1: off */
    float min_p;              /* 0: off */
    float repetition_penalty; /* 1: off; over prompt and answer, as in the CTRL paper */
    float frequency_penalty;  /* 0: off; over the answer, as OpenAI documents it */
    float presence_penalty;
    bool has_seed;
    uint64_t seed;
    uint32_t n_bias;
    struct {
        int32_t token;
        float bias;
    } bias[WEIR_ENGINE_MAX_BIAS];
} weir_sampling_t;

/* Fills the neutral values above with temperature 1. */
void weir_sampling_defaults(weir_sampling_t *s);

typedef struct {
    const int32_t *prompt; /* copied at submit */
    size_t n_prompt;       /* at least 1 */
    uint32_t max_tokens;   /* most tokens of each answer; 0: what the context leaves */
    uint32_t n;            /* choices, 1..WEIR_ENGINE_MAX_CHOICES; choice i samples with seed + i */
    weir_sampling_t sampling;
    uint32_t n_stops;
    weir_str_t stops[WEIR_ENGINE_MAX_STOPS]; /* copied; never part of the text */
    uint32_t n_stop_tokens;
    int32_t stop_tokens[WEIR_ENGINE_MAX_STOPS];
    bool ignore_eos;
    bool logprobs;         /* of the sampled tokens: log-softmax of the raw logits */
    uint32_t top_logprobs; /* alternatives per token, 0..WEIR_ENGINE_MAX_TOP_LOGPROBS */
    bool prompt_logprobs;  /* PROMPT_TOKEN events for the whole prompt; bypasses the prefix cache */
    bool no_generate;      /* with prompt_logprobs: score the prompt only */
    uint64_t cache_scope;  /* prefix cache entries are shared only within one scope (a tenant) */
} weir_generate_t;

typedef enum {
    WEIR_EVENT_STARTED, /* once per request: the prompt is being computed; cached_tokens is set */
    WEIR_EVENT_PROMPT_TOKEN, /* token, logprob and top of one prompt token (the first has none: its
                                logprob is NAN) */
    WEIR_EVENT_TOKEN,        /* token and, in text, the characters that became certain with it
                                (none while a stop string may still match or a character is
                                incomplete) */
    WEIR_EVENT_FINISH        /* the choice is complete: finish, counts; text may hold a last rest */
} weir_event_type_t;

typedef enum {
    WEIR_FINISH_NONE,
    WEIR_FINISH_STOP,   /* end-of-generation token, stop token or stop string */
    WEIR_FINISH_LENGTH, /* max_tokens or the context */
    WEIR_FINISH_CANCELLED,
    WEIR_FINISH_ERROR /* the back end failed; the request is lost, the engine goes on */
} weir_finish_t;

typedef struct {
    int32_t token;
    float logprob;
} weir_logprob_t;

/* Longest text of one event. A token's text and stop hold-back fit: longer tokens come as several
 * TOKEN events with token -1 from the second on. */
#define WEIR_EVENT_TEXT 256

typedef struct {
    uint64_t request; /* as submit returned it */
    uint32_t choice;
    weir_event_type_t type;
    int32_t token;
    float logprob;
    weir_finish_t finish;
    uint32_t stop; /* FINISH: which of the request's stop strings ended it, from 1; 0: none */
    uint32_t prompt_tokens;     /* FINISH and STARTED */
    uint32_t cached_tokens;     /* prompt tokens taken from the prefix cache */
    uint32_t completion_tokens; /* so far, this choice; the end-of-generation token counts */
    uint32_t n_top;
    weir_logprob_t top[WEIR_ENGINE_MAX_TOP_LOGPROBS]; /* most likely first */
    uint32_t text_len;
    char text[WEIR_EVENT_TEXT]; /* whole UTF-8 characters */
} weir_event_t;

typedef struct {
    uint32_t running, waiting;          /* sequences; requests */
    uint32_t kv_blocks_used, kv_blocks; /* cached but unreferenced blocks are not used */
    uint64_t prompt_tokens, cached_tokens, generated_tokens; /* totals of started requests; the
                                             prompt tokens include the cached ones */
    uint64_t requests_finished[5];                           /* by weir_finish_t, choices */
    uint64_t requests_rejected;                              /* queue full */
    uint64_t steps;
    uint64_t prefill_ns, decode_ns; /* busy time of steps with and without prompt tokens */
    uint64_t preemptions;
} weir_engine_stats_t;

/*
 * Starts the engine thread, which loads the model; returns at once. Errors: INVALID options, IO,
 * NOMEM. Use weir_engine_state to see when it is ready.
 */
weir_status_t weir_engine_open(const weir_engine_options_t *options, weir_engine_t **out,
                               weir_error_t *err);

/* Cancels everything, ends the thread, frees. Undelivered events are dropped. Waits for the step
 * or the loading that is under way. NULL is allowed. */
void weir_engine_close(weir_engine_t *engine);

/* The state; with FAILED, *err (may be NULL) says why. Any thread. */
weir_engine_state_t weir_engine_state(const weir_engine_t *engine, weir_error_t *err);

/* 0..1 while loading. Any thread. */
float weir_engine_load_progress(const weir_engine_t *engine);

/* Readable when events wait or the state changed; level-triggered until weir_engine_poll has
 * emptied the ring. Owned by the engine. */
int weir_engine_event_fd(const weir_engine_t *engine);

/* Valid once READY, until close; immutable, any thread. The template is NULL when the file has
 * none. */
const weir_model_t *weir_engine_model(const weir_engine_t *engine);
const weir_tokenizer_t *weir_engine_tokenizer(const weir_engine_t *engine);
const weir_chat_template_t *weir_engine_chat_template(const weir_engine_t *engine);

/* Why there is no chat template although the file has one (a construct that is not supported), or
 * NULL. Valid as the three above. */
const char *weir_engine_chat_problem(const weir_engine_t *engine);

void weir_engine_backend_info(const weir_engine_t *engine, weir_backend_info_t *out);

/* Longest sequence in tokens (prompt and answer) that the engine accepts; 0 until READY. */
uint32_t weir_engine_context(const weir_engine_t *engine);

/*
 * Queues a request; copies everything. *id is unique in the engine's life and never 0. Errors:
 * STATE (not ready), BUSY (queue full; retry_after_ms, which may be NULL, gets an honest guess),
 * INVALID (a field, named in err->field; a prompt too long has code context_length_exceeded).
 */
weir_status_t weir_engine_submit(weir_engine_t *engine, const weir_generate_t *request,
                                 uint64_t *id, uint32_t *retry_after_ms, weir_error_t *err);

/* Ends the request before the next step; each open choice still gets a FINISH event with
 * CANCELLED. An unknown or finished id is ignored. */
void weir_engine_cancel(weir_engine_t *engine, uint64_t id);

/* Moves up to max events out of the ring; returns how many. Submitting thread only. */
size_t weir_engine_poll(weir_engine_t *engine, weir_event_t *events, size_t max);

/* Waits up to timeout_ms (-1: for ever) for events or a change of state: for tools and tests. */
bool weir_engine_wait(weir_engine_t *engine, int timeout_ms);

void weir_engine_stats(const weir_engine_t *engine, weir_engine_stats_t *out);

#endif

/*
 * The engine thread and its two rings. What sleeps and who wakes it:
 *   - the engine thread waits on wake_fd when it has nothing to do, or when the event ring is full;
 *     the submitter writes to it after a push, a pop, a cancel or a close, if `asleep` is set;
 *   - the submitter's loop watches event_fd; the engine thread writes to it at most once until the
 *     submitter has found the ring empty (`signalled`).
 * Each side announces itself before it looks a last time, and all these accesses are sequentially
 * consistent: one of the two always sees the other.
 */
#include "engine/llm/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "engine/llm/engine_internal.h"
#include "engine/llm/ring.h"
#include "engine/llm/scheduler.h"

#define EVENT_RING    2048
#define EXTRA_LOGITS  64 /* rows for prompt_logprobs beyond one per sequence */
#define MOST_SLOTS    65535u
#define DEFAULT_LIMIT 8192u /* tokens of context unless asked for more */

struct weir_engine {
    weir_ring_t submitted; /* slot numbers, submitter to engine */
    weir_ring_t released;  /* slot numbers, engine to submitter */
    weir_ring_t events;

    /* Written at open. */
    weir_engine_options_t options;
    const weir_backend_ops_t *ops;
    char *name; /* of the model file, for messages */
    int model_fd;
    int wake_fd;
    int event_fd;
    pthread_t thread;

    _Atomic bool closing;
    _Atomic bool asleep;
    _Atomic bool signalled;
    _Atomic uint32_t cancels; /* counts calls of cancel */
    _Atomic int state;
    _Atomic uint32_t progress; /* of a million */

    /* Written by the engine thread before READY or FAILED. */
    weir_error_t error;
    weir_arena_t arena;
    weir_gguf_t *gguf;
    weir_model_t *model;
    weir_tokenizer_t *tokenizer;
    weir_chat_template_t *chat;
    weir_error_t chat_error;
    weir_backend_t *backend;
    weir_scheduler_t *scheduler;
    uint32_t context;

    /* The engine thread's own. */
    bool unsignalled; /* events pushed since the last signal */
    uint32_t cancels_seen;

    /* The submitter's own. */
    uint64_t serial;
    uint32_t *free_slots; /* a stack */
    uint32_t n_free;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t random_u64(void)
{
    uint64_t x = 0;
    if (getrandom(&x, sizeof(x), GRND_NONBLOCK) != (ssize_t)sizeof(x)) {
        x = now_ns() * 0x9e3779b97f4a7c15ull;
    }
    return x;
}

static void write_event(int fd)
{
    uint64_t one = 1;
    while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
}

/* ---- the engine thread ---- */

static void signal_events(weir_engine_t *e)
{
    e->unsignalled = false;
    if (!atomic_exchange(&e->signalled, true)) {
        write_event(e->event_fd);
    }
}

static bool has_work(weir_engine_t *e)
{
    return atomic_load(&e->closing) || weir_ring_count(&e->submitted) > 0 ||
           atomic_load(&e->cancels) != e->cancels_seen;
}

static bool has_space(weir_engine_t *e)
{
    return atomic_load(&e->closing) || !weir_ring_full(&e->events);
}

static void sleep_until(weir_engine_t *e, bool (*condition)(weir_engine_t *))
{
    while (!condition(e)) {
        atomic_store(&e->asleep, true);
        if (!condition(e)) {
            uint64_t n;
            if (read(e->wake_fd, &n, sizeof(n)) < 0 && errno != EINTR) {
                usleep(1000); /* cannot happen with an eventfd; then at least no spin */
            }
        }
        atomic_store(&e->asleep, false);
    }
}

static void emit(void *ctx, const weir_event_t *event)
{
    weir_engine_t *e = ctx;
    while (!weir_ring_push(&e->events, event)) {
        if (atomic_load(&e->closing)) {
            return;
        }
        signal_events(e);
        sleep_until(e, has_space);
    }
    e->unsignalled = true;
}

static void release_slot(void *ctx, uint32_t slot)
{
    weir_engine_t *e = ctx;
    weir_ring_push(&e->released, &slot); /* never full: it has room for every slot */
}

static void set_progress(weir_engine_t *e, float fraction)
{
    atomic_store(&e->progress, (uint32_t)(fraction * 1e6f));
    if (e->options.progress != NULL) {
        e->options.progress(e->options.progress_ctx, fraction);
    }
}

/* The weights' packing is nearly all of the loading. */
static void backend_progress(void *ctx, float fraction)
{
    set_progress(ctx, 0.1f + 0.89f * fraction);
}

static weir_status_t read_model(weir_engine_t *e, weir_error_t *err)
{
    weir_status_t status = weir_gguf_open_fd(e->model_fd, e->name, &e->gguf, err);
    if (status == WEIR_OK) {
        status = weir_model_load(e->gguf, &e->arena, &e->model, err);
    }
    if (status == WEIR_OK) {
        status = weir_tokenizer_open(e->gguf, &e->tokenizer, err);
    }
    if (status != WEIR_OK) {
        return status;
    }
    status = weir_chat_template_from_gguf(e->gguf, e->tokenizer, &e->chat, &e->chat_error);
    if (status == WEIR_ERR_NOT_FOUND) {
        e->chat_error.message[0] = '\0';
    }
    return WEIR_OK;
}

/* Turns zeros into defaults, now that the model is known. */
static weir_status_t resolve_sizes(weir_engine_t *e, uint32_t *kv_blocks, weir_error_t *err)
{
    weir_engine_options_t *o = &e->options;
    uint32_t own = e->model->n_ctx;
    if (o->context > own) {
        return weir_error_at(err, WEIR_ERR_INVALID, "context", NULL,
                             "a context of %u tokens is more than the model's %u", o->context, own);
    }
    uint32_t context = o->context;
    if (context == 0) {
        context = own < DEFAULT_LIMIT ? own : DEFAULT_LIMIT;
        context = o->kv_tokens > 0 && o->kv_tokens < context ? o->kv_tokens : context;
    }
    uint64_t kv_tokens = o->kv_tokens > 0 ? o->kv_tokens : 4ull * context;
    if (kv_tokens < context) {
        return weir_error_at(err, WEIR_ERR_INVALID, "kv_tokens", NULL,
                             "a KV cache of %u tokens is smaller than the context of %u",
                             o->kv_tokens, context);
    }
    e->context = context;
    *kv_blocks = (uint32_t)((kv_tokens + WEIR_KV_BLOCK - 1) / WEIR_KV_BLOCK);
    return WEIR_OK;
}

static weir_status_t open_backend(weir_engine_t *e, weir_error_t *err)
{
    uint32_t kv_blocks = 0;
    weir_status_t status = resolve_sizes(e, &kv_blocks, err);
    if (status != WEIR_OK) {
        return status;
    }
    const weir_engine_options_t *o = &e->options;
    weir_backend_options_t backend = {
        .threads = o->threads,
        .n_kv_blocks = kv_blocks,
        .max_rows = o->step_tokens,
        .max_logits = o->max_running + EXTRA_LOGITS,
        .activations = o->activations,
        .isa = o->isa,
        .progress = backend_progress,
        .progress_ctx = e,
    };
    status = e->ops->open(e->model, &backend, &e->backend, err);
    if (status != WEIR_OK) {
        return status;
    }
    weir_vocab_t vocab = weir_vocab_of_tokenizer(e->tokenizer);
    vocab.size = vocab.size < e->model->n_vocab ? vocab.size : e->model->n_vocab;
    weir_scheduler_config_t config = {
        .ops = e->ops,
        .backend = e->backend,
        .vocab = vocab,
        .n_vocab = e->model->n_vocab,
        .context = e->context,
        .n_kv_blocks = kv_blocks,
        .max_running = o->max_running,
        .max_queue = o->max_queue,
        .step_tokens = o->step_tokens,
        .max_logits = backend.max_logits,
        .no_prefix_cache = o->no_prefix_cache,
        .hash_key = random_u64(),
        .now_ns = now_ns,
        .emit = emit,
        .release = release_slot,
        .ctx = e,
    };
    return weir_scheduler_open(&config, &e->scheduler, err);
}

static weir_status_t load(weir_engine_t *e)
{
    set_progress(e, 0);
    weir_status_t status = read_model(e, &e->error);
    if (status == WEIR_OK) {
        set_progress(e, 0.1f);
        status = open_backend(e, &e->error);
    }
    if (status == WEIR_OK) {
        set_progress(e, 1.0f);
    }
    atomic_store(&e->state, status == WEIR_OK ? WEIR_ENGINE_READY : WEIR_ENGINE_FAILED);
    signal_events(e);
    return status;
}

static void *engine_main(void *ctx)
{
    weir_engine_t *e = ctx;
    if (load(e) != WEIR_OK) {
        return NULL;
    }
    while (!atomic_load(&e->closing)) {
        uint32_t cancels = atomic_load(&e->cancels);
        uint32_t slot;
        while (weir_ring_pop(&e->submitted, &slot)) {
            weir_scheduler_add(e->scheduler, slot);
        }
        if (cancels != e->cancels_seen) {
            e->cancels_seen = cancels;
            weir_scheduler_reap(e->scheduler);
        }
        if (weir_scheduler_busy(e->scheduler)) {
            weir_scheduler_step(e->scheduler);
        }
        if (e->unsignalled) {
            signal_events(e);
        }
        if (!weir_scheduler_busy(e->scheduler)) {
            sleep_until(e, has_work);
        }
    }
    return NULL;
}

/* ---- the submitting thread ---- */

static void wake(weir_engine_t *e)
{
    if (atomic_load(&e->asleep)) {
        write_event(e->wake_fd);
    }
}

static weir_status_t check_options(weir_engine_options_t *o, weir_error_t *err)
{
    o->max_running = o->max_running == 0 ? 16 : o->max_running;
    o->max_queue = o->max_queue == 0 ? 64 : o->max_queue;
    o->step_tokens = o->step_tokens == 0 ? 512 : o->step_tokens;
    if (o->max_running > 1024) {
        return weir_error_at(err, WEIR_ERR_INVALID, "max_running", NULL,
                             "max_running is %u; at most 1024", o->max_running);
    }
    if (o->max_queue >= MOST_SLOTS - o->max_running) {
        return weir_error_at(err, WEIR_ERR_INVALID, "max_queue", NULL,
                             "max_queue is %u; at most %u", o->max_queue,
                             MOST_SLOTS - o->max_running - 1);
    }
    if (o->step_tokens < o->max_running || o->step_tokens > 65536) {
        return weir_error_at(err, WEIR_ERR_INVALID, "step_tokens", NULL,
                             "step_tokens is %u; it must be from max_running (%u) to 65536",
                             o->step_tokens, o->max_running);
    }
    if (o->context == 1) {
        return weir_error_at(err, WEIR_ERR_INVALID, "context", NULL,
                             "a context of one token leaves no room for an answer");
    }
    return WEIR_OK;
}

static weir_status_t open_file(weir_engine_t *e, weir_error_t *err)
{
    const weir_engine_options_t *o = &e->options;
    char from_fd[32];
    snprintf(from_fd, sizeof(from_fd), "descriptor %d", o->model_fd);
    e->name = strdup(o->model_path != NULL ? o->model_path : from_fd);
    if (e->name == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for the engine");
    }
    e->model_fd = o->model_path != NULL ? open(o->model_path, O_RDONLY | O_CLOEXEC)
                                        : fcntl(o->model_fd, F_DUPFD_CLOEXEC, 0);
    if (e->model_fd < 0) {
        return weir_error(err, WEIR_ERR_IO, "cannot open the model %s: %s", e->name,
                          strerror(errno));
    }
    e->options.model_path = NULL;
    return WEIR_OK;
}

static weir_status_t open_parts(weir_engine_t *e, weir_error_t *err)
{
    uint32_t n_slots = weir_scheduler_slots(e->options.max_running, e->options.max_queue);
    e->free_slots = malloc(n_slots * sizeof(*e->free_slots));
    if (e->free_slots == NULL || !weir_ring_open(&e->submitted, n_slots, sizeof(uint32_t)) ||
        !weir_ring_open(&e->released, n_slots, sizeof(uint32_t)) ||
        !weir_ring_open(&e->events, EVENT_RING, sizeof(weir_event_t))) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for the engine's rings");
    }
    for (uint32_t i = 0; i < n_slots; i++) {
        e->free_slots[e->n_free++] = n_slots - 1 - i;
    }
    e->wake_fd = eventfd(0, EFD_CLOEXEC);
    e->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (e->wake_fd < 0 || e->event_fd < 0) {
        return weir_error(err, WEIR_ERR_IO, "eventfd: %s", strerror(errno));
    }
    return open_file(e, err);
}

static weir_status_t start_thread(weir_engine_t *e, weir_error_t *err)
{
    /* The host's signals are for its own threads. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&e->thread, NULL, engine_main, e);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        return weir_error(err, WEIR_ERR_IO, "cannot start the engine thread: %s", strerror(rc));
    }
    pthread_setname_np(e->thread, "weir-engine");
    return WEIR_OK;
}

static void destroy(weir_engine_t *e)
{
    weir_scheduler_close(e->scheduler);
    if (e->backend != NULL) {
        e->ops->close(e->backend);
    }
    weir_chat_template_close(e->chat);
    weir_tokenizer_close(e->tokenizer);
    weir_arena_free(&e->arena);
    weir_gguf_close(e->gguf);
    weir_ring_close(&e->submitted);
    weir_ring_close(&e->released);
    weir_ring_close(&e->events);
    int fds[] = {e->model_fd, e->wake_fd, e->event_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    free(e->free_slots);
    free(e->name);
    free(e);
}

weir_status_t weir_engine_open_with(const weir_engine_options_t *options,
                                    const weir_backend_ops_t *ops, weir_engine_t **out,
                                    weir_error_t *err)
{
    *out = NULL;
    weir_engine_options_t checked = *options;
    weir_status_t status = check_options(&checked, err);
    if (status != WEIR_OK) {
        return status;
    }
    weir_engine_t *e = aligned_alloc(alignof(weir_engine_t), sizeof(*e));
    if (e == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for the engine");
    }
    memset(e, 0, sizeof(*e));
    e->options = checked;
    e->ops = ops;
    e->model_fd = -1;
    e->wake_fd = -1;
    e->event_fd = -1;
    weir_arena_init(&e->arena, 0, 0);
    status = open_parts(e, err);
    if (status == WEIR_OK) {
        status = start_thread(e, err);
    }
    if (status != WEIR_OK) {
        destroy(e);
        return status;
    }
    *out = e;
    return WEIR_OK;
}

weir_status_t weir_engine_open(const weir_engine_options_t *options, weir_engine_t **out,
                               weir_error_t *err)
{
    return weir_engine_open_with(options, weir_cpu_backend(), out, err);
}

void weir_engine_close(weir_engine_t *e)
{
    if (e == NULL) {
        return;
    }
    atomic_store(&e->closing, true);
    wake(e);
    pthread_join(e->thread, NULL);
    destroy(e);
}

weir_engine_state_t weir_engine_state(const weir_engine_t *e, weir_error_t *err)
{
    weir_engine_state_t state = (weir_engine_state_t)atomic_load(&e->state);
    if (state == WEIR_ENGINE_FAILED && err != NULL) {
        *err = e->error;
    }
    return state;
}

float weir_engine_load_progress(const weir_engine_t *e)
{
    return (float)atomic_load(&e->progress) / 1e6f;
}

int weir_engine_event_fd(const weir_engine_t *e)
{
    return e->event_fd;
}

static bool is_ready(const weir_engine_t *e)
{
    return atomic_load(&e->state) == WEIR_ENGINE_READY;
}

const weir_model_t *weir_engine_model(const weir_engine_t *e)
{
    return is_ready(e) ? e->model : NULL;
}

const weir_tokenizer_t *weir_engine_tokenizer(const weir_engine_t *e)
{
    return is_ready(e) ? e->tokenizer : NULL;
}

const weir_chat_template_t *weir_engine_chat_template(const weir_engine_t *e)
{
    return is_ready(e) ? e->chat : NULL;
}

const char *weir_engine_chat_problem(const weir_engine_t *e)
{
    bool has = is_ready(e) && e->chat == NULL && e->chat_error.message[0] != '\0';
    return has ? e->chat_error.message : NULL;
}

void weir_engine_backend_info(const weir_engine_t *e, weir_backend_info_t *out)
{
    *out = (weir_backend_info_t){.name = e->ops->name, .isa = ""};
    if (is_ready(e)) {
        e->ops->info(e->backend, out);
    }
}

uint32_t weir_engine_context(const weir_engine_t *e)
{
    return is_ready(e) ? e->context : 0;
}

weir_status_t weir_engine_submit(weir_engine_t *e, const weir_generate_t *request, uint64_t *id,
                                 uint32_t *retry_after_ms, weir_error_t *err)
{
    *id = 0;
    if (!is_ready(e)) {
        return weir_error(err, WEIR_ERR_STATE, "the model is not loaded");
    }
    weir_status_t status = weir_scheduler_check(e->scheduler, request, err);
    if (status != WEIR_OK) {
        return status;
    }
    uint32_t slot;
    while (weir_ring_pop(&e->released, &slot)) {
        e->free_slots[e->n_free++] = slot;
    }
    if (e->n_free == 0 || !weir_scheduler_reserve(e->scheduler)) {
        uint32_t ms = weir_scheduler_retry_after_ms(e->scheduler);
        if (retry_after_ms != NULL) {
            *retry_after_ms = ms;
        }
        return weir_error_at(err, WEIR_ERR_BUSY, NULL, "queue_full",
                             "the queue of %u requests is full; try again in about %u ms",
                             e->options.max_queue, ms);
    }
    slot = e->free_slots[--e->n_free];
    *id = ++e->serial << 16 | slot;
    weir_scheduler_fill(e->scheduler, slot, *id, random_u64(), request);
    weir_ring_push(&e->submitted, &slot); /* never full: it has room for every slot */
    wake(e);
    return WEIR_OK;
}

void weir_engine_cancel(weir_engine_t *e, uint64_t id)
{
    if (is_ready(e)) {
        weir_scheduler_cancel(e->scheduler, (uint32_t)(id & MOST_SLOTS), id);
        atomic_fetch_add(&e->cancels, 1);
        wake(e);
    }
}

size_t weir_engine_poll(weir_engine_t *e, weir_event_t *events, size_t max)
{
    size_t n = 0;
    while (n < max && weir_ring_pop(&e->events, &events[n])) {
        n++;
    }
    if (n > 0) {
        wake(e); /* it may wait for space */
    }
    if (weir_ring_count(&e->events) == 0) {
        uint64_t drained;
        ssize_t got = read(e->event_fd, &drained, sizeof(drained));
        (void)got; /* nothing to read is as good */
        atomic_store(&e->signalled, false);
        if (weir_ring_count(&e->events) > 0 && !atomic_exchange(&e->signalled, true)) {
            write_event(e->event_fd);
        }
    }
    return n;
}

bool weir_engine_wait(weir_engine_t *e, int timeout_ms)
{
    struct pollfd p = {.fd = e->event_fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) > 0;
}

void weir_engine_stats(const weir_engine_t *e, weir_engine_stats_t *out)
{
    *out = (weir_engine_stats_t){0};
    if (is_ready(e)) {
        weir_scheduler_stats(e->scheduler, out);
    }
}

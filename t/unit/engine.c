/* The engine with its thread: loading, rings, wake-ups, back-pressure, cancel and close, over a
 * fake back end; and one answer from the real one. */
#include "engine/llm/engine.h"

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/llm/engine_internal.h"
#include "t/support/fake_backend.h"
#include "t/support/tap.h"
#include "t/support/tiny_model.h"

static char model_path[64];
static tiny_model_t spec;
static _Atomic uint32_t delay_us;

static weir_status_t slow_forward(weir_backend_t *backend, const weir_batch_t *batch, float *logits,
                                  weir_error_t *err)
{
    usleep(atomic_load(&delay_us));
    return fake_backend()->forward(backend, batch, logits, err);
}

static weir_backend_ops_t slow_backend;

static void write_model(void)
{
    weir_error_t err = {0};
    tiny_model_defaults(&spec);
    snprintf(model_path, sizeof(model_path), "/tmp/weir-engine-test-%d.gguf", (int)getpid());
    if (tiny_model_write(&spec, model_path, &err) != WEIR_OK) {
        diag("%s", err.message);
        exit(1);
    }
    slow_backend = *fake_backend();
    slow_backend.forward = slow_forward;
}

static weir_engine_t *open_engine(weir_engine_options_t options)
{
    weir_engine_t *e;
    weir_error_t err = {0};
    if (options.model_fd == 0) {
        options.model_path = model_path;
    }
    if (weir_engine_open_with(&options, &slow_backend, &e, &err) != WEIR_OK) {
        diag("open: %s", err.message);
        exit(1);
    }
    while (weir_engine_state(e, &err) == WEIR_ENGINE_LOADING) {
        weir_engine_wait(e, 1000);
    }
    if (weir_engine_state(e, &err) != WEIR_ENGINE_READY) {
        diag("load: %s", err.message);
        exit(1);
    }
    return e;
}

static bool readable(const weir_engine_t *e)
{
    struct pollfd p = {.fd = weir_engine_event_fd(e), .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static weir_generate_t request_of(const int32_t *prompt, uint32_t n, uint32_t max_tokens)
{
    weir_generate_t r = {
        .prompt = prompt, .n_prompt = n, .n = 1, .max_tokens = max_tokens, .ignore_eos = true};
    weir_sampling_defaults(&r.sampling);
    r.sampling.temperature = 0;
    return r;
}

static uint64_t submit(weir_engine_t *e, const weir_generate_t *r)
{
    weir_error_t err = {0};
    uint64_t id;
    if (weir_engine_submit(e, r, &id, NULL, &err) != WEIR_OK) {
        diag("submit: %s", err.message);
        exit(1);
    }
    return id;
}

static void on_progress(void *ctx, float fraction)
{
    _Atomic uint32_t *best = ctx;
    if ((uint32_t)(fraction * 100) >= atomic_load(best)) {
        atomic_store(best, (uint32_t)(fraction * 100));
    }
}

static void test_open_errors(void)
{
    weir_engine_t *e = NULL;
    weir_error_t err = {0};
    weir_engine_options_t o = {.model_path = "/nonexistent/model.gguf"};
    is_int(weir_engine_open(&o, &e, &err), WEIR_ERR_IO, "no such file: %s", err.message);
    ok(e == NULL, "and no engine");
    o.model_path = model_path;
    o.step_tokens = 4;
    is_int(weir_engine_open(&o, &e, &err), WEIR_ERR_INVALID, "a step too small");
    is_str(err.field, strlen(err.field), "step_tokens", "names the field");
    o = (weir_engine_options_t){.model_path = "/dev/null"};
    is_int(weir_engine_open(&o, &e, &err), WEIR_OK, "an empty file opens");
    while (weir_engine_state(e, &err) == WEIR_ENGINE_LOADING) {
        weir_engine_wait(e, 1000);
    }
    is_int(weir_engine_state(e, &err), WEIR_ENGINE_FAILED, "and fails to load: %s", err.message);
    uint64_t id;
    int32_t token = 5;
    weir_generate_t r = request_of(&token, 1, 1);
    is_int(weir_engine_submit(e, &r, &id, NULL, &err), WEIR_ERR_STATE, "nothing can be submitted");
    ok(weir_engine_model(e) == NULL, "there is no model");
    weir_engine_close(e);
    o = (weir_engine_options_t){.model_path = model_path, .context = 513};
    weir_engine_open_with(&o, &slow_backend, &e, &err);
    while (weir_engine_state(e, &err) == WEIR_ENGINE_LOADING) {
        weir_engine_wait(e, 1000);
    }
    is_str(err.field, strlen(err.field), "context", "a context beyond the model's: %s",
           err.message);
    weir_engine_close(e);
    o.context = 100;
    weir_engine_open_with(&o, &slow_backend, &e, &err);
    weir_engine_close(e);
    ok(true, "an engine may be closed while it loads");
}

static void test_answer(void)
{
    _Atomic uint32_t progress = 0;
    int fd = open(model_path, O_RDONLY);
    weir_engine_options_t o = {.model_fd = fd, .progress = on_progress, .progress_ctx = &progress};
    weir_engine_t *e = open_engine(o);
    close(fd);
    is_int(atomic_load(&progress), 100, "the progress came to its end");
    ok(weir_engine_load_progress(e) == 1.0f, "also for who asks");
    is_int(weir_engine_context(e), 512, "the model's context");
    ok(weir_engine_tokenizer(e) != NULL && weir_engine_chat_template(e) != NULL,
       "tokenizer and template are there");
    weir_event_t ev[64];
    is_int((long long)weir_engine_poll(e, ev, 64), 0, "no event yet");
    ok(!readable(e), "the descriptor is quiet");

    int32_t tokens[64] = {60, 61, 62};
    uint32_t n = 3;
    weir_generate_t r = request_of(tokens, 3, 10);
    uint64_t id = submit(e, &r);
    ok(id != 0, "ids are not 0");
    bool good = true;
    uint32_t count = 0;
    uint32_t started = 0;
    static float logits[4096];
    while (n < 64) {
        weir_engine_wait(e, 10000);
        size_t got = weir_engine_poll(e, ev, 1); /* one at a time: still readable until empty */
        if (got == 0) {
            continue;
        }
        good = good && ev[0].request == id && ev[0].choice == 0;
        if (ev[0].type == WEIR_EVENT_STARTED) {
            started++;
        } else if (ev[0].type == WEIR_EVENT_TOKEN) {
            fake_backend_logits(tokens, n, spec.n_vocab, logits);
            uint32_t best = 0;
            for (uint32_t i = 0; i < spec.n_vocab; i++) {
                best = logits[i] > logits[best] ? i : best;
            }
            good = good && ev[0].token == (int32_t)best;
            tokens[n++] = ev[0].token;
            count++;
        } else {
            good = good && ev[0].finish == WEIR_FINISH_LENGTH && ev[0].completion_tokens == 10;
            break;
        }
    }
    ok(good && count == 10 && started == 1, "ten tokens, as the back end's logits say");
    weir_engine_poll(e, ev, 64);
    ok(!readable(e), "afterwards the descriptor is quiet again");
    weir_engine_cancel(e, id);
    weir_engine_cancel(e, 0);
    weir_engine_cancel(e, 999999999);
    ok(true, "finished and unknown ids may be cancelled");
    weir_engine_close(e);
}

/* Polls until `finishes` choices have ended; counts tokens. */
static bool drain(weir_engine_t *e, uint32_t finishes, uint64_t *tokens, uint32_t by_reason[5])
{
    weir_event_t ev[32];
    while (finishes > 0) {
        if (!weir_engine_wait(e, 20000)) {
            diag("%u choices did not end", finishes);
            return false;
        }
        size_t n = weir_engine_poll(e, ev, 32);
        for (size_t i = 0; i < n; i++) {
            *tokens += ev[i].type == WEIR_EVENT_TOKEN && ev[i].token >= 0;
            if (ev[i].type == WEIR_EVENT_FINISH) {
                by_reason[ev[i].finish]++;
                finishes--;
            }
        }
    }
    return true;
}

/* Waits until the engine stands still. */
static void settle(weir_engine_t *e)
{
    weir_engine_stats_t before;
    weir_engine_stats_t after;
    weir_engine_stats(e, &after);
    do {
        before = after;
        usleep(50000);
        weir_engine_stats(e, &after);
    } while (after.steps != before.steps || after.generated_tokens != before.generated_tokens);
}

static void test_back_pressure(void)
{
    int32_t prompt[4] = {70, 71, 72, 73};
    weir_engine_t *e = open_engine((weir_engine_options_t){0});
    weir_generate_t r = request_of(prompt, 4, 300);
    r.n = 16;
    submit(e, &r);
    settle(e);
    weir_engine_stats_t stats;
    weir_engine_stats(e, &stats);
    ok(stats.generated_tokens < 16 * 300 && stats.running == 16,
       "the engine pauses when nobody takes its events (%llu tokens)",
       (unsigned long long)stats.generated_tokens);
    uint64_t tokens = 0;
    uint32_t reasons[5] = {0};
    ok(drain(e, 16, &tokens, reasons), "and goes on when somebody does");
    is_int((long long)tokens, 16 * 300, "nothing was lost");
    is_int(reasons[WEIR_FINISH_LENGTH], 16, "all came to their end");

    uint64_t id = submit(e, &r);
    settle(e);
    weir_engine_cancel(e, id);
    tokens = 0;
    ok(drain(e, 16, &tokens, reasons), "a cancel while it pauses is obeyed");
    is_int(reasons[WEIR_FINISH_CANCELLED], 16, "by all choices");
    submit(e, &r);
    settle(e);
    weir_engine_close(e);
    ok(true, "so is a close");
}

static void test_busy_and_cancel(void)
{
    int32_t prompt[4] = {70, 71, 72, 73};
    weir_engine_t *e = open_engine((weir_engine_options_t){.max_running = 1, .max_queue = 2});
    atomic_store(&delay_us, 3000);
    weir_generate_t r = request_of(prompt, 4, 400);
    uint64_t ids[3];
    for (int i = 0; i < 3; i++) {
        ids[i] = submit(e, &r);
    }
    uint64_t id = 7;
    uint32_t retry = 0;
    weir_error_t err = {0};
    is_int(weir_engine_submit(e, &r, &id, &retry, &err), WEIR_ERR_BUSY, "the fourth: %s",
           err.message);
    ok(id == 0 && retry >= 1, "no id, and a time to wait");
    r.n = 0;
    is_int(weir_engine_submit(e, &r, &id, NULL, &err), WEIR_ERR_INVALID, "a wrong field");
    for (int i = 0; i < 3; i++) {
        weir_engine_cancel(e, ids[i]);
    }
    uint64_t tokens = 0;
    uint32_t reasons[5] = {0};
    ok(drain(e, 3, &tokens, reasons) && reasons[WEIR_FINISH_CANCELLED] == 3,
       "all three end as cancelled");
    ok(tokens < 400, "long before their length");
    r.n = 1;
    r.max_tokens = 3;
    for (int i = 0; i < 20; i++) {
        submit(e, &r);
        drain(e, 1, &tokens, reasons);
    }
    is_int(reasons[WEIR_FINISH_LENGTH], 20, "slots are used again and again");
    atomic_store(&delay_us, 0);
    weir_engine_close(e);
}

/* Requests and cancels at random; everything submitted must end exactly once. */
static void test_stress(void)
{
    rng_t rng;
    rng_init(&rng);
    weir_engine_t *e = open_engine((weir_engine_options_t){
        .max_running = 5, .max_queue = 10, .context = 200, .kv_tokens = 400, .step_tokens = 40});
    uint32_t submitted = 0;
    uint32_t ended = 0;
    uint64_t last[8] = {0};
    int32_t prompt[150];
    weir_event_t ev[7];
    while (submitted < 1500 || ended < submitted) {
        if (submitted < 1500 && rng_below(&rng, 3) > 0) {
            uint32_t n = 1 + rng_below(&rng, 150);
            for (uint32_t i = 0; i < n; i++) {
                prompt[i] = (int32_t)(i < 40 ? i : rng_below(&rng, spec.n_vocab));
            }
            weir_generate_t r = request_of(prompt, n, 1 + rng_below(&rng, 40));
            uint64_t id;
            if (weir_engine_submit(e, &r, &id, NULL, NULL) == WEIR_OK) {
                last[submitted++ % 8] = id;
            }
        }
        if (rng_below(&rng, 4) == 0) {
            weir_engine_cancel(e, last[rng_below(&rng, 8)]);
        }
        size_t n = weir_engine_poll(e, ev, 7);
        for (size_t i = 0; i < n; i++) {
            ended += ev[i].type == WEIR_EVENT_FINISH;
        }
        if (n == 0 && (submitted == 1500 || rng_below(&rng, 2)) && ended < submitted &&
            !weir_engine_wait(e, 20000)) {
            break;
        }
    }
    is_int(ended, submitted, "1,500 requests, some cancelled: each ends once");
    weir_engine_stats_t stats;
    settle(e);
    weir_engine_stats(e, &stats);
    is_int(stats.running + stats.waiting + stats.kv_blocks_used, 0, "and leaves nothing");
    weir_engine_close(e);
}

static void collect(weir_engine_t *e, uint32_t n_choices, int32_t tokens[][32])
{
    uint32_t at[4] = {0};
    weir_event_t ev[16];
    while (n_choices > 0 && weir_engine_wait(e, 20000)) {
        size_t n = weir_engine_poll(e, ev, 16);
        for (size_t i = 0; i < n; i++) {
            if (ev[i].type == WEIR_EVENT_TOKEN && ev[i].token >= 0) {
                tokens[ev[i].choice][at[ev[i].choice]++] = ev[i].token;
            }
            n_choices -= ev[i].type == WEIR_EVENT_FINISH;
        }
    }
}

static void test_cpu(void)
{
    weir_engine_t *e;
    weir_error_t err = {0};
    weir_engine_options_t o = {.model_path = model_path, .threads = 2};
    weir_engine_open(&o, &e, &err);
    while (weir_engine_state(e, &err) == WEIR_ENGINE_LOADING) {
        weir_engine_wait(e, 1000);
    }
    is_int(weir_engine_state(e, &err), WEIR_ENGINE_READY, "the CPU back end loads");
    int32_t prompt[40];
    for (int i = 0; i < 40; i++) {
        prompt[i] = 10 + i * 5;
    }
    static int32_t together[4][32];
    static int32_t alone[4][32];
    weir_generate_t r = request_of(prompt, 40, 30);
    r.sampling.temperature = 1;
    r.sampling.has_seed = true;
    r.sampling.seed = 5;
    r.n = 3;
    submit(e, &r);
    collect(e, 3, together);
    bool same = true;
    r.n = 1;
    for (uint32_t i = 0; i < 3; i++) {
        r.sampling.seed = 5 + i;
        submit(e, &r);
        collect(e, 1, &alone[i]);
        same = same && memcmp(alone[i], together[i], sizeof(alone[i])) == 0;
    }
    ok(same, "three choices in one batch give what each gives alone, from a warm cache");
    ok(memcmp(together[0], together[1], sizeof(together[0])) != 0, "and differ by their seeds");
    weir_engine_close(e);
}

int main(void)
{
    write_model();
    test_open_errors();
    test_answer();
    test_back_pressure();
    test_busy_and_cancel();
    test_stress();
    test_cpu();
    unlink(model_path);
    return done_testing();
}

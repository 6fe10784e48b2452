#include "engine/tools/tool.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define MOST_TEXT (64u << 20)

int tool_error(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("weir-llm: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    return TOOL_FAILED;
}

double tool_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

const char *tool_model_path(const char *option)
{
    const char *path = option != NULL ? option : getenv("WEIR_MODEL");
    if (path == NULL || path[0] == '\0') {
        tool_error("no model: give --model FILE.gguf or set WEIR_MODEL (./quickstart fetches a "
                   "small model and prints where it lies)");
        return NULL;
    }
    return path;
}

static bool read_all(FILE *f, weir_buf_t *buf)
{
    char part[65536];
    size_t n;
    while ((n = fread(part, 1, sizeof(part), f)) > 0) {
        weir_buf_append(buf, part, n);
        if (buf->len > MOST_TEXT) {
            errno = EFBIG;
            return false;
        }
    }
    if (buf->failed) {
        errno = ENOMEM;
    }
    return !ferror(f) && !buf->failed;
}

bool tool_read_text(const char *path, weir_arena_t *arena, weir_str_t *out)
{
    bool from_stdin = strcmp(path, "-") == 0;
    FILE *f = from_stdin ? stdin : fopen(path, "rb");
    if (f == NULL) {
        tool_error("cannot open %s: %s", path, strerror(errno));
        return false;
    }
    weir_buf_t buf;
    weir_buf_init(&buf, arena);
    bool read = read_all(f, &buf);
    if (!read) {
        tool_error("cannot read %s: %s", from_stdin ? "standard input" : path, strerror(errno));
    }
    if (!from_stdin) {
        fclose(f);
    }
    if (read && weir_utf8_sanitize(weir_str(buf.data, buf.len), arena, out) != WEIR_OK) {
        tool_error("no memory for %zu bytes of text", buf.len);
        return false;
    }
    return read;
}

cli_option_t tool_context_option(tool_engine_t *e)
{
    return (cli_option_t){.name = "context",
                          .letter = 'c',
                          .kind = CLI_U32,
                          .target = &e->context,
                          .min = 2,
                          .max = 16777216,
                          .value = "N",
                          .help = "longest sequence in tokens [the model's, at most 8192]"};
}

size_t tool_engine_options(cli_option_t *o, tool_engine_t *e)
{
    size_t n = 0;
    o[n++] = (cli_option_t){.name = "model",
                            .letter = 'm',
                            .kind = CLI_STRING,
                            .target = &e->model,
                            .value = "FILE",
                            .help = "model in GGUF [$WEIR_MODEL]"};
    o[n++] = (cli_option_t){.name = "threads",
                            .letter = 't',
                            .kind = CLI_U32,
                            .target = &e->threads,
                            .min = 1,
                            .max = 1024,
                            .value = "N",
                            .help = "compute threads [all cores]"};
    o[n++] = (cli_option_t){.name = "isa",
                            .kind = CLI_STRING,
                            .target = &e->isa,
                            .value = "NAME",
                            .help = "scalar, avx2 or avx512 [the best there is]"};
    o[n++] = (cli_option_t){.name = "float",
                            .kind = CLI_FLAG,
                            .target = &e->float_activations,
                            .help = "float activations: slower, exacter"};
    o[n++] = (cli_option_t){.name = "quiet",
                            .letter = 'q',
                            .kind = CLI_FLAG,
                            .target = &e->quiet,
                            .help = "no progress, no report"};
    return n;
}

static cli_option_t float_option(const char *name, float *target, double min, double max,
                                 const char *help)
{
    return (cli_option_t){.name = name,
                          .kind = CLI_FLOAT,
                          .target = target,
                          .min = min,
                          .max = max,
                          .value = "X",
                          .help = help};
}

size_t tool_sampling_options(cli_option_t *o, tool_sampling_t *s)
{
    weir_sampling_t *p = &s->params;
    size_t n = 0;
    o[n++] = (cli_option_t){.name = "max-tokens",
                            .letter = 'n',
                            .kind = CLI_U32,
                            .target = &s->max_tokens,
                            .min = 1,
                            .max = 16777216,
                            .value = "N",
                            .help = "longest answer [what the context leaves]"};
    o[n++] = float_option("temperature", &p->temperature, 0, 2, "0: always the likeliest [0.7]");
    o[n++] = (cli_option_t){.name = "top-k",
                            .kind = CLI_U32,
                            .target = &s->top_k,
                            .max = 16777216,
                            .value = "N",
                            .help = "only the N likeliest; 0: off [0]"};
    o[n++] = float_option("top-p", &p->top_p, 0, 1, "smallest set of this probability [1]");
    o[n++] = float_option("min-p", &p->min_p, 0, 1, "at least X times the likeliest [0]");
    o[n++] = float_option("repetition-penalty", &p->repetition_penalty, 0.01, 100, "[1: off]");
    o[n++] = float_option("frequency-penalty", &p->frequency_penalty, -2, 2, "[0: off]");
    o[n++] = float_option("presence-penalty", &p->presence_penalty, -2, 2, "[0: off]");
    o[n++] = (cli_option_t){.name = "seed",
                            .kind = CLI_U64,
                            .target = &s->seed,
                            .max = 18446744073709551615.0,
                            .given = &s->has_seed,
                            .value = "N",
                            .help = "same seed, same answer [random]"};
    o[n++] = (cli_option_t){.name = "stop",
                            .kind = CLI_LIST,
                            .target = &s->stops,
                            .max = WEIR_ENGINE_MAX_STOPS,
                            .value = "TEXT",
                            .help = "end before this text; up to 4 times"};
    o[n++] = (cli_option_t){.name = "ignore-eos",
                            .kind = CLI_FLAG,
                            .target = &s->ignore_eos,
                            .help = "go on after the model's end"};
    return n;
}

void tool_sampling_defaults(tool_sampling_t *s)
{
    memset(s, 0, sizeof(*s));
    weir_sampling_defaults(&s->params);
    s->params.temperature = 0.7f;
}

void tool_fill_request(tool_sampling_t *s, weir_generate_t *request)
{
    if (!s->has_seed &&
        getrandom(&s->seed, sizeof(s->seed), GRND_NONBLOCK) != (ssize_t)sizeof(s->seed)) {
        s->seed = (uint64_t)(tool_now() * 1e9);
    }
    if (!s->has_seed) {
        s->seed &= 0xffffffff; /* short enough to be typed again */
        s->has_seed = true;
    }
    request->n = 1;
    request->max_tokens = s->max_tokens;
    request->sampling = s->params;
    request->sampling.top_k = (int32_t)s->top_k;
    request->sampling.has_seed = true;
    request->sampling.seed = s->seed;
    request->ignore_eos = s->ignore_eos;
    request->n_stops = s->stops.n;
    for (uint32_t i = 0; i < s->stops.n; i++) {
        request->stops[i] = weir_str(s->stops.items[i], strlen(s->stops.items[i]));
    }
}

static void show_progress(const char *path, float fraction, bool terminal)
{
    if (terminal) {
        fprintf(stderr, "\rloading %s %3.0f %%", path, (double)fraction * 100);
        fflush(stderr);
    }
}

weir_engine_t *tool_open_engine(const tool_engine_t *e, weir_engine_options_t settings)
{
    settings.model_path = tool_model_path(e->model);
    if (settings.model_path == NULL) {
        return NULL;
    }
    settings.threads = e->threads;
    settings.context = settings.context != 0 ? settings.context : e->context;
    settings.isa = e->isa;
    settings.activations = e->float_activations ? WEIR_ACTIVATIONS_FLOAT : WEIR_ACTIVATIONS_INT8;
    bool terminal = !e->quiet && isatty(STDERR_FILENO);
    double start = tool_now();
    weir_error_t err = {0};
    weir_engine_t *engine;
    if (weir_engine_open(&settings, &engine, &err) != WEIR_OK) {
        tool_error("%s", err.message);
        return NULL;
    }
    if (!e->quiet && !terminal) {
        fprintf(stderr, "loading %s\n", settings.model_path);
    }
    weir_engine_state_t state;
    while ((state = weir_engine_state(engine, &err)) == WEIR_ENGINE_LOADING) {
        show_progress(settings.model_path, weir_engine_load_progress(engine), terminal);
        weir_engine_wait(engine, 100);
    }
    if (terminal) {
        fputs("\r\033[K", stderr);
    }
    if (state == WEIR_ENGINE_FAILED) {
        weir_engine_close(engine);
        tool_error("%s", err.message);
        return NULL;
    }
    if (!e->quiet) {
        weir_backend_info_t info;
        weir_engine_backend_info(engine, &info);
        fprintf(stderr, "loaded in %.2f s: %s %s, %u thread%s, %.1f MB of weights, context %u\n",
                tool_now() - start, info.name, info.isa, info.threads, info.threads == 1 ? "" : "s",
                (double)info.weight_bytes / 1e6, weir_engine_context(engine));
    }
    return engine;
}

static void end_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

int tool_signal_fd(void)
{
    sigset_t set;
    end_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void tool_let_signals_end(bool end)
{
    sigset_t set;
    end_signals(&set);
    pthread_sigmask(end ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL);
}

/* Waits for events; true when a signal came. */
static bool wait_for_events(const weir_engine_t *engine, int signal_fd)
{
    struct pollfd fds[2] = {
        {.fd = weir_engine_event_fd(engine), .events = POLLIN},
        {.fd = signal_fd, .events = POLLIN}, /* poll ignores -1 */
    };
    struct signalfd_siginfo info;
    return poll(fds, 2, -1) > 0 && (fds[1].revents & POLLIN) != 0 &&
           read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info);
}

bool tool_generate(weir_engine_t *engine, int signal_fd, const weir_generate_t *request,
                   tool_event_fn on_event, void *ctx, tool_result_t *result)
{
    *result = (tool_result_t){0};
    weir_error_t err = {0};
    uint64_t id;
    double start = tool_now();
    if (weir_engine_submit(engine, request, &id, NULL, &err) != WEIR_OK) {
        tool_error("%s", err.message);
        return false;
    }
    weir_event_t events[16];
    while (result->finish == WEIR_FINISH_NONE) {
        if (wait_for_events(engine, signal_fd)) {
            result->interrupted = true;
            weir_engine_cancel(engine, id);
        }
        size_t n = weir_engine_poll(engine, events, 16);
        for (size_t i = 0; i < n; i++) {
            const weir_event_t *ev = &events[i];
            if (ev->type == WEIR_EVENT_TOKEN && result->completion_tokens == 0) {
                result->first_token_s = tool_now() - start;
            }
            result->completion_tokens = ev->completion_tokens;
            result->prompt_tokens = ev->prompt_tokens;
            result->cached_tokens = ev->cached_tokens;
            on_event(ctx, ev);
            if (ev->type == WEIR_EVENT_FINISH) {
                result->finish = ev->finish;
            }
        }
    }
    result->total_s = tool_now() - start;
    if (result->finish == WEIR_FINISH_ERROR) {
        tool_error("the back end failed on this request");
        return false;
    }
    return true;
}

void tool_report(const tool_result_t *r)
{
    uint32_t computed = r->prompt_tokens - r->cached_tokens;
    double decode_s = r->total_s - r->first_token_s;
    fprintf(stderr, "prompt: %u tokens (%u cached)", r->prompt_tokens, r->cached_tokens);
    if (r->first_token_s > 0) {
        fprintf(stderr, ", %.1f tokens/s, first token after %.0f ms",
                (double)computed / r->first_token_s, r->first_token_s * 1e3);
    }
    fprintf(stderr, "; answer: %u token%s", r->completion_tokens,
            r->completion_tokens == 1 ? "" : "s");
    if (r->completion_tokens > 1 && decode_s > 0) {
        fprintf(stderr, ", %.1f tokens/s", (double)(r->completion_tokens - 1) / decode_s);
    }
    fprintf(stderr, "; %s\n",
            r->interrupted                    ? "interrupted"
            : r->finish == WEIR_FINISH_LENGTH ? "length reached"
                                              : "complete");
}

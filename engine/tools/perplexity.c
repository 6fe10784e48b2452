/* weir-llm perplexity: how well the model predicts a text, window by window. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/base/json.h"
#include "engine/tools/tool.h"

typedef struct {
    tool_engine_t engine;
    uint32_t window;
    uint32_t stride;
    uint32_t max_tokens;
    bool per_token;
    bool json;
} perplexity_options_t;

typedef struct {
    const weir_tokenizer_t *tok;
    bool per_token;
    size_t base;   /* text index of the window's token 0; may be "minus one" with a bos */
    size_t bos;    /* 1 when the window has a bos in front */
    size_t scored; /* text tokens below this index have been scored */
    size_t at;     /* index in the window of the next event */
    double sum;    /* of negative log-likelihoods, in nats */
    double sum_squares;
    uint64_t n;
} score_t;

static void print_token(const score_t *s, size_t index, const weir_event_t *ev)
{
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    weir_buf_t text;
    weir_buf_init(&text, &arena);
    weir_json_write_string(&text, weir_tokenizer_token_bytes(s->tok, ev->token));
    printf("%zu\t%d\t%.6f\t%.*s\n", index, ev->token, (double)ev->logprob, (int)text.len,
           text.data);
    weir_arena_free(&arena);
}

static void on_event(void *ctx, const weir_event_t *ev)
{
    score_t *s = ctx;
    if (ev->type != WEIR_EVENT_PROMPT_TOKEN) {
        return;
    }
    size_t in_window = s->at++;
    if (in_window == 0) {
        return; /* nothing before it predicts it */
    }
    size_t index = s->base + in_window - s->bos;
    if (index < s->scored) {
        return;
    }
    double nll = -(double)ev->logprob;
    s->sum += nll;
    s->sum_squares += nll * nll;
    s->n++;
    if (s->per_token) {
        print_token(s, index, ev);
    }
}

static double perplexity_of(const score_t *s)
{
    return s->n > 0 ? exp(s->sum / (double)s->n) : NAN;
}

/* Standard error of the perplexity, from that of the mean log-likelihood. */
static double error_of(const score_t *s)
{
    if (s->n < 2) {
        return NAN;
    }
    double mean = s->sum / (double)s->n;
    double variance = s->sum_squares / (double)s->n - mean * mean;
    variance = variance > 0 ? variance : 0;
    return perplexity_of(s) * sqrt(variance / (double)(s->n - 1));
}

static void show_progress(const score_t *s, size_t done, size_t all, uint32_t *tenth)
{
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r%zu of %zu tokens, perplexity %.3f ", done, all, perplexity_of(s));
        fputs(done == all ? "\n" : "", stderr);
    } else if (done * 10 / all > *tenth) {
        *tenth = (uint32_t)(done * 10 / all);
        fprintf(stderr, "%zu of %zu tokens, perplexity %.3f\n", done, all, perplexity_of(s));
    }
}

/* Scores all windows; the ids of the text are ids[0..n). */
static bool score_text(const perplexity_options_t *o, weir_engine_t *engine, int signal_fd,
                       const int32_t *ids, size_t n, weir_arena_t *arena, score_t *s)
{
    int32_t bos = weir_tokenizer_bos(s->tok);
    s->bos = weir_tokenizer_adds_bos(s->tok) && bos >= 0 ? 1 : 0;
    size_t room = o->window - s->bos;
    size_t stride = o->stride < room ? o->stride : room;
    int32_t *window = weir_arena_calloc(arena, o->window, sizeof(*window));
    if (window == NULL) {
        tool_error("no memory for a window of %u tokens", o->window);
        return false;
    }
    uint32_t tenth = 0;
    for (size_t start = 0;; start += stride) {
        size_t end = start + room < n ? start + room : n;
        window[0] = bos;
        memcpy(window + s->bos, ids + start, (end - start) * sizeof(*ids));
        weir_generate_t request = {.prompt = window,
                                   .n_prompt = end - start + s->bos,
                                   .n = 1,
                                   .prompt_logprobs = true,
                                   .no_generate = true};
        weir_sampling_defaults(&request.sampling);
        s->base = start;
        s->at = 0;
        tool_result_t result;
        if (!tool_generate(engine, signal_fd, &request, on_event, s, &result)) {
            return false;
        }
        if (result.interrupted) {
            tool_error("interrupted");
            return false;
        }
        s->scored = end;
        if (!o->engine.quiet) {
            show_progress(s, end, n, &tenth);
        }
        if (end == n) {
            return true;
        }
    }
}

static void print_result(const perplexity_options_t *o, const score_t *s, double seconds,
                         weir_arena_t *arena)
{
    double mean = s->sum / (double)s->n;
    if (!o->json) {
        printf("perplexity %.4f +- %.4f over %llu tokens (%.4f nats, %.4f bits per token), window "
               "%u, stride %u, %.1f tokens/s\n",
               perplexity_of(s), error_of(s), (unsigned long long)s->n, mean, mean / log(2),
               o->window, o->stride, (double)s->n / seconds);
        return;
    }
    weir_buf_t b;
    weir_buf_init(&b, arena);
    weir_buf_append_z(&b, "{\"perplexity\":");
    weir_json_write_double(&b, perplexity_of(s));
    weir_buf_append_z(&b, ",\"standard_error\":");
    weir_json_write_double(&b, error_of(s));
    weir_buf_append_z(&b, ",\"nats_per_token\":");
    weir_json_write_double(&b, mean);
    weir_buf_printf(&b, ",\"tokens\":%llu,\"window\":%u,\"stride\":%u,\"seconds\":",
                    (unsigned long long)s->n, o->window, o->stride);
    weir_json_write_double(&b, seconds);
    weir_buf_append_z(&b, "}\n");
    fwrite(b.data, 1, b.len, stdout);
}

static int perplexity(const perplexity_options_t *o, weir_engine_t *engine, int signal_fd,
                      weir_str_t text, weir_arena_t *arena)
{
    score_t score = {.tok = weir_engine_tokenizer(engine), .per_token = o->per_token};
    weir_error_t err = {0};
    int32_t *ids;
    size_t n;
    if (weir_tokenizer_encode(score.tok, text, NULL, 0, false, 0, arena, &ids, &n, &err) !=
        WEIR_OK) {
        return tool_error("%s", err.message);
    }
    n = o->max_tokens > 0 && o->max_tokens < n ? o->max_tokens : n;
    if (n < 2) {
        return tool_error("the text has %zu tokens; at least 2 are needed", n);
    }
    double start = tool_now();
    if (!score_text(o, engine, signal_fd, ids, n, arena, &score)) {
        return TOOL_FAILED;
    }
    print_result(o, &score, tool_now() - start, arena);
    return TOOL_OK;
}

static int open_and_score(perplexity_options_t *o, const char *path)
{
    weir_arena_t arena;
    weir_arena_init(&arena, 1 << 20, 0);
    weir_str_t text;
    int rc = TOOL_FAILED;
    if (tool_read_text(path, &arena, &text)) {
        weir_engine_options_t settings = {
            .max_running = 1,
            .context = o->window,
            .kv_tokens = o->window,
            .no_prefix_cache = true,
        };
        weir_engine_t *engine = tool_open_engine(&o->engine, settings);
        if (engine != NULL) {
            int signal_fd = tool_signal_fd();
            rc = perplexity(o, engine, signal_fd, text, &arena);
            weir_engine_close(engine);
            close(signal_fd);
        }
    }
    weir_arena_free(&arena);
    return rc;
}

int tool_perplexity(int argc, char **argv)
{
    perplexity_options_t o = {.window = 512};
    cli_option_t options[TOOL_ENGINE_OPTIONS + 5];
    size_t n = tool_engine_options(options, &o.engine);
    options[n++] = (cli_option_t){.name = "window",
                                  .kind = CLI_U32,
                                  .target = &o.window,
                                  .min = 3,
                                  .max = 1 << 20,
                                  .value = "N",
                                  .help = "tokens scored together [512]"};
    options[n++] = (cli_option_t){.name = "stride",
                                  .kind = CLI_U32,
                                  .target = &o.stride,
                                  .min = 1,
                                  .max = 1 << 20,
                                  .value = "N",
                                  .help = "tokens from window to window [the window]"};
    options[n++] = (cli_option_t){.name = "max-tokens",
                                  .letter = 'n',
                                  .kind = CLI_U32,
                                  .target = &o.max_tokens,
                                  .min = 2,
                                  .max = 1 << 30,
                                  .value = "N",
                                  .help = "only the text's first N tokens"};
    options[n++] = (cli_option_t){.name = "per-token",
                                  .kind = CLI_FLAG,
                                  .target = &o.per_token,
                                  .help = "a line per token: index, id, log-probability, text"};
    options[n++] = (cli_option_t){
        .name = "json", .kind = CLI_FLAG, .target = &o.json, .help = "the result as JSON"};
    const char *arguments[1] = {"-"};
    cli_t cli = {.command = "weir-llm perplexity",
                 .usage = "[options] [FILE]",
                 .about = "Scores the text of FILE (or of standard input): the exponential of the "
                          "mean negative\nlog-likelihood per token. The first token of a window "
                          "is not scored.",
                 .options = options,
                 .n_options = n,
                 .arguments = arguments,
                 .max_arguments = 1};
    cli_outcome_t outcome = cli_parse(&cli, argc, argv);
    if (outcome != CLI_GO_ON) {
        return outcome == CLI_DONE ? TOOL_OK : TOOL_USAGE;
    }
    o.stride = o.stride == 0 ? o.window : o.stride;
    if (o.stride > o.window) {
        fputs("weir-llm perplexity: --stride must not be more than --window\n", stderr);
        return TOOL_USAGE;
    }
    return open_and_score(&o, arguments[0]);
}

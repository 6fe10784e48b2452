/* weir-llm bench: speed of the back end alone, prefill and decode apart. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/json.h"
#include "engine/tools/tool.h"

#define MOST_REPEATS   1000
#define MOST_SEQUENCES 256

typedef struct {
    tool_engine_t engine;
    uint32_t prefill;
    uint32_t decode;
    uint32_t depth;
    uint32_t sequences;
    uint32_t batch;
    uint32_t repeat;
    bool json;
} bench_options_t;

typedef struct {
    weir_gguf_t *gguf;
    weir_model_t *model;
    weir_arena_t arena;
    const weir_backend_ops_t *ops;
    weir_backend_t *backend;
    weir_backend_info_t info;
    double load_s;
    uint32_t blocks_each; /* KV blocks of one sequence */
    uint32_t *blocks;
    int32_t *tokens;
    float *logits;
    weir_batch_seq_t seqs[MOST_SEQUENCES];
} bench_t;

typedef struct {
    double median, min, max; /* tokens per second */
} speed_t;

static bool open_model(bench_t *b, const bench_options_t *o, weir_error_t *err)
{
    const char *path = tool_model_path(o->engine.model);
    return path != NULL && weir_gguf_open(path, &b->gguf, err) == WEIR_OK &&
           weir_model_load(b->gguf, &b->arena, &b->model, err) == WEIR_OK;
}

static bool open_backend(bench_t *b, const bench_options_t *o, weir_error_t *err)
{
    uint32_t longest = o->depth + o->decode;
    longest = longest > o->prefill ? longest : o->prefill;
    uint32_t rows = o->batch > o->sequences ? o->batch : o->sequences;
    b->blocks_each = (longest + WEIR_KV_BLOCK - 1) / WEIR_KV_BLOCK;
    weir_backend_options_t options = {
        .threads = o->engine.threads,
        .n_kv_blocks = b->blocks_each * o->sequences,
        .max_rows = rows,
        .max_logits = o->sequences,
        .activations = o->engine.float_activations ? WEIR_ACTIVATIONS_FLOAT : WEIR_ACTIVATIONS_INT8,
        .isa = o->engine.isa,
    };
    b->ops = weir_cpu_backend();
    b->blocks = weir_arena_calloc(&b->arena, options.n_kv_blocks, sizeof(*b->blocks));
    b->tokens = weir_arena_calloc(&b->arena, longest, sizeof(*b->tokens));
    b->logits =
        weir_arena_calloc(&b->arena, (size_t)o->sequences * b->model->n_vocab, sizeof(*b->logits));
    if (b->blocks == NULL || b->tokens == NULL || b->logits == NULL) {
        weir_error(err, WEIR_ERR_NOMEM, "no memory for %u tokens in %u sequences", longest,
                   o->sequences);
        return false;
    }
    for (uint32_t i = 0; i < options.n_kv_blocks; i++) {
        b->blocks[i] = i;
    }
    for (uint32_t i = 0; i < longest; i++) {
        b->tokens[i] = (int32_t)((i * 7919u + 13u) % b->model->n_vocab);
    }
    return b->ops->open(b->model, &options, &b->backend, err) == WEIR_OK;
}

/* Computes tokens [from, to) of every sequence in steps of at most `rows` rows each. */
static bool advance(bench_t *b, uint32_t n_seqs, uint32_t from, uint32_t to, uint32_t rows,
                    weir_error_t *err)
{
    for (uint32_t at = from; at < to; at += rows) {
        uint32_t n = to - at < rows ? to - at : rows;
        for (uint32_t i = 0; i < n_seqs; i++) {
            b->seqs[i] = (weir_batch_seq_t){
                .tokens = b->tokens + at,
                .n_tokens = n,
                .position = at,
                .blocks = b->blocks + (size_t)i * b->blocks_each,
                .n_logits = at + n == to || rows == 1 ? 1 : 0,
            };
        }
        weir_batch_t batch = {b->seqs, n_seqs};
        if (b->ops->forward(b->backend, &batch, b->logits, err) != WEIR_OK) {
            return false;
        }
    }
    return true;
}

static bool run_prefill(bench_t *b, const bench_options_t *o, double *rate, weir_error_t *err)
{
    double start = tool_now();
    bool good = advance(b, 1, 0, o->prefill, o->batch, err);
    *rate = o->prefill / (tool_now() - start);
    return good;
}

/* The context of o->depth tokens lies in the cache already. */
static bool run_decode(bench_t *b, const bench_options_t *o, double *rate, weir_error_t *err)
{
    double start = tool_now();
    bool good = advance(b, o->sequences, o->depth, o->depth + o->decode, 1, err);
    *rate = (double)o->decode * o->sequences / (tool_now() - start);
    return good;
}

static bool fill_context(bench_t *b, const bench_options_t *o, weir_error_t *err)
{
    uint32_t rows = o->batch / o->sequences > 0 ? o->batch / o->sequences : 1;
    return advance(b, o->sequences, 0, o->depth, rows, err);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static speed_t summarise(double *rates, uint32_t n)
{
    qsort(rates, n, sizeof(*rates), compare);
    double median = n % 2 == 1 ? rates[n / 2] : (rates[n / 2 - 1] + rates[n / 2]) / 2;
    return (speed_t){median, rates[0], rates[n - 1]};
}

static bool measure(bench_t *b, const bench_options_t *o, speed_t *prefill, speed_t *decode,
                    weir_error_t *err)
{
    static const uint32_t warm_up = 1;
    double prefill_rates[MOST_REPEATS];
    double decode_rates[MOST_REPEATS];
    for (uint32_t i = 0; i < o->repeat + warm_up; i++) {
        uint32_t at = i < warm_up ? 0 : i - warm_up;
        if ((o->prefill > 0 && !run_prefill(b, o, &prefill_rates[at], err)) ||
            (o->decode > 0 &&
             (!fill_context(b, o, err) || !run_decode(b, o, &decode_rates[at], err)))) {
            return false;
        }
        if (!o->engine.quiet && i >= warm_up) {
            fprintf(stderr, "run %u of %u: prefill %.1f, decode %.1f tokens/s\n", at + 1, o->repeat,
                    o->prefill > 0 ? prefill_rates[at] : 0.0,
                    o->decode > 0 ? decode_rates[at] : 0.0);
        }
    }
    *prefill = o->prefill > 0 ? summarise(prefill_rates, o->repeat) : (speed_t){0};
    *decode = o->decode > 0 ? summarise(decode_rates, o->repeat) : (speed_t){0};
    return true;
}

static void print_text(const bench_t *b, const bench_options_t *o, speed_t prefill, speed_t decode,
                       double bandwidth)
{
    double limit = bandwidth / (double)b->info.bytes_per_token;
    printf("%.*s, %.2f MB, %s %s, %u thread%s, %s activations; loaded in %.2f s\n",
           (int)b->model->name.len, b->model->name.data, (double)b->model->weight_bytes / 1e6,
           b->info.name, b->info.isa, b->info.threads, b->info.threads == 1 ? "" : "s",
           o->engine.float_activations ? "float" : "int8", b->load_s);
    printf("prefill %5u tokens            %10.1f tokens/s (%.1f to %.1f in %u runs)\n", o->prefill,
           prefill.median, prefill.min, prefill.max, o->repeat);
    printf("decode  %5u tokens at %-5u x%-3u%9.1f tokens/s (%.1f to %.1f)\n", o->decode, o->depth,
           o->sequences, decode.median, decode.min, decode.max);
    printf("memory  %.2f MB read per step, %.1f GB/s measured: at most %.1f steps/s",
           (double)b->info.bytes_per_token / 1e6, bandwidth / 1e9, limit);
    if (o->decode > 0 && limit > 0) {
        printf("; decode reaches %.0f %% of that", 100 * decode.median / o->sequences / limit);
    }
    putchar('\n');
}

static void put_number(weir_buf_t *out, const char *name, double value)
{
    weir_buf_printf(out, ",\"%s\":", name);
    weir_json_write_double(out, value);
}

static void print_json(bench_t *b, const bench_options_t *o, speed_t prefill, speed_t decode,
                       double bandwidth)
{
    weir_buf_t out;
    weir_buf_init(&out, &b->arena);
    double limit = bandwidth / (double)b->info.bytes_per_token;
    weir_buf_append_z(&out, "{\"model\":");
    weir_json_write_string(&out, b->model->name);
    weir_buf_printf(&out, ",\"backend\":\"%s\",\"isa\":\"%s\",\"activations\":\"%s\"", b->info.name,
                    b->info.isa, o->engine.float_activations ? "float" : "int8");
    weir_buf_printf(&out, ",\"threads\":%u,\"prefill_tokens\":%u,\"decode_tokens\":%u",
                    b->info.threads, o->prefill, o->decode);
    weir_buf_printf(&out, ",\"depth\":%u,\"sequences\":%u,\"batch\":%u,\"repeat\":%u", o->depth,
                    o->sequences, o->batch, o->repeat);
    put_number(&out, "prefill_tokens_per_second", prefill.median);
    put_number(&out, "prefill_tokens_per_second_min", prefill.min);
    put_number(&out, "prefill_tokens_per_second_max", prefill.max);
    put_number(&out, "decode_tokens_per_second", decode.median);
    put_number(&out, "decode_tokens_per_second_min", decode.min);
    put_number(&out, "decode_tokens_per_second_max", decode.max);
    put_number(&out, "load_seconds", b->load_s);
    put_number(&out, "weight_bytes", (double)b->info.weight_bytes);
    put_number(&out, "bytes_per_token", (double)b->info.bytes_per_token);
    put_number(&out, "kv_bytes_per_token", (double)b->info.kv_bytes_per_token);
    put_number(&out, "read_bytes_per_second", bandwidth);
    put_number(&out, "decode_limit_tokens_per_second", limit * o->sequences);
    put_number(&out, "decode_share_of_limit",
               limit > 0 ? decode.median / o->sequences / limit : 0.0);
    weir_buf_append_z(&out, "}\n");
    fwrite(out.data, 1, out.len, stdout);
}

static int bench(const bench_options_t *o)
{
    bench_t *b = calloc(1, sizeof(*b));
    if (b == NULL) {
        return tool_error("no memory");
    }
    weir_arena_init(&b->arena, 1 << 16, 0);
    weir_error_t err = {0};
    speed_t prefill;
    speed_t decode;
    int rc = TOOL_FAILED;
    double start = tool_now();
    if (open_model(b, o, &err) && open_backend(b, o, &err)) {
        b->load_s = tool_now() - start;
        b->ops->info(b->backend, &b->info);
        double bandwidth = tool_read_bandwidth(b->info.threads);
        if (measure(b, o, &prefill, &decode, &err)) {
            (o->json ? print_json(b, o, prefill, decode, bandwidth)
                     : print_text(b, o, prefill, decode, bandwidth));
            rc = TOOL_OK;
        }
    }
    if (err.status != WEIR_OK) {
        tool_error("%s", err.message);
    }
    if (b->backend != NULL) {
        b->ops->close(b->backend);
    }
    weir_arena_free(&b->arena);
    weir_gguf_close(b->gguf);
    free(b);
    return rc;
}

static cli_option_t number(const char *name, uint32_t *target, double min, double max,
                           const char *help)
{
    return (cli_option_t){.name = name,
                          .kind = CLI_U32,
                          .target = target,
                          .min = min,
                          .max = max,
                          .value = "N",
                          .help = help};
}

int tool_bench(int argc, char **argv)
{
    bench_options_t o = {.prefill = 512, .decode = 128, .sequences = 1, .batch = 512, .repeat = 5};
    cli_option_t options[TOOL_ENGINE_OPTIONS + 7];
    size_t n = tool_engine_options(options, &o.engine);
    options[n++] = number("prefill", &o.prefill, 0, 1 << 20, "prompt tokens; 0: none [512]");
    options[n++] = number("decode", &o.decode, 0, 1 << 20, "tokens to generate; 0: none [128]");
    options[n++] = number("depth", &o.depth, 0, 1 << 20, "tokens before the decoded ones [0]");
    options[n++] = number("sequences", &o.sequences, 1, MOST_SEQUENCES, "decoded at once [1]");
    options[n++] = number("batch", &o.batch, 1, 65536, "prompt tokens of one step [512]");
    options[n++] = number("repeat", &o.repeat, 1, MOST_REPEATS, "runs, after one to warm up [5]");
    options[n++] = (cli_option_t){
        .name = "json", .kind = CLI_FLAG, .target = &o.json, .help = "one JSON object"};
    cli_t cli = {.command = "weir-llm bench",
                 .usage = "[options]",
                 .about =
                     "Measures prefill and decode speed of the back end, and how near decoding "
                     "comes to\nwhat the memory can deliver.",
                 .options = options,
                 .n_options = n};
    cli_outcome_t outcome = cli_parse(&cli, argc, argv);
    if (outcome != CLI_GO_ON) {
        return outcome == CLI_DONE ? TOOL_OK : TOOL_USAGE;
    }
    if (o.prefill == 0 && o.decode == 0) {
        fputs("weir-llm bench: --prefill and --decode are both 0: nothing to measure\n", stderr);
        return TOOL_USAGE;
    }
    return bench(&o);
}

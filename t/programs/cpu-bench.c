/*
 * Times the CPU back end by itself, without tokenizer, sampling and scheduler:
 *
 *   cpu-bench MODEL [--threads N] [--isa NAME] [--prefill N] [--chunk N] [--decode N] [--batch N]
 *             [--rounds N] [--float]
 *
 * Each round prefills `prefill` tokens in chunks and then decodes `decode` tokens on each of
 * `batch` sequences at once, behind that context. Prints every round and the best.
 */
#include "engine/llm/backend.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct {
    const char *model_path;
    weir_backend_options_t backend;
    uint32_t prefill, chunk, decode, batch, rounds;
    weir_model_t *model;
    weir_backend_t *handle;
    int32_t *tokens;
    uint32_t *blocks; /* [batch][blocks of a sequence] */
    uint32_t seq_blocks;
    float *logits;
} bench_t;

static void fail(const char *what)
{
    fprintf(stderr, "cpu-bench: %s\n", what);
    exit(1);
}

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void parse(int argc, char **argv, bench_t *b)
{
    static const struct option known[] = {
        {"threads", required_argument, NULL, 't'},
        {"isa", required_argument, NULL, 'i'},
        {"prefill", required_argument, NULL, 'p'},
        {"chunk", required_argument, NULL, 'c'},
        {"decode", required_argument, NULL, 'd'},
        {"batch", required_argument, NULL, 'b'},
        {"rounds", required_argument, NULL, 'r'},
        {"float", no_argument, NULL, 'f'},
        {NULL, 0, NULL, 0},
    };
    uint32_t *const values[] = {
        ['t'] = &b->backend.threads, ['p'] = &b->prefill, ['c'] = &b->chunk,
        ['d'] = &b->decode,          ['b'] = &b->batch,   ['r'] = &b->rounds};

    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (option == 'i') {
            b->backend.isa = optarg;
        } else if (option == 'f') {
            b->backend.activations = WEIR_ACTIVATIONS_FLOAT;
        } else if (option != '?') {
            *values[option] = (uint32_t)strtoul(optarg, NULL, 10);
        } else {
            exit(2);
        }
    }
    if (optind + 1 != argc || b->chunk == 0 || b->batch == 0) {
        fail("usage: cpu-bench MODEL [--threads N] [--isa NAME] [--prefill N] [--chunk N] "
             "[--decode N] [--batch N] [--rounds N] [--float]");
    }
    b->model_path = argv[optind];
}

static void open_model(bench_t *b, weir_arena_t *arena)
{
    weir_error_t err;
    weir_gguf_t *gguf;
    weir_backend_info_t info;
    double start = now();

    if (weir_gguf_open(b->model_path, &gguf, &err) != WEIR_OK ||
        weir_model_load(gguf, arena, &b->model, &err) != WEIR_OK) {
        fail(err.message);
    }
    double mapped = now();
    b->seq_blocks = (b->prefill + b->decode) / WEIR_KV_BLOCK + 1;
    b->backend.n_kv_blocks = b->seq_blocks * b->batch;
    b->backend.max_rows = b->chunk > b->batch ? b->chunk : b->batch;
    b->backend.max_logits = b->batch;
    if (weir_cpu_backend()->open(b->model, &b->backend, &b->handle, &err) != WEIR_OK) {
        fail(err.message);
    }
    weir_cpu_backend()->info(b->handle, &info);
    printf("%s, %u threads, %.1f MB read per token; file %.3f s, packing %.3f s\n", info.isa,
           info.threads, (double)info.bytes_per_token * 1e-6, mapped - start, now() - mapped);
    b->blocks = calloc(b->backend.n_kv_blocks, sizeof(*b->blocks));
    b->tokens = calloc(b->prefill + 1, sizeof(*b->tokens));
    b->logits = calloc((size_t)b->batch * b->model->n_vocab, sizeof(float));
    if (b->blocks == NULL || b->tokens == NULL || b->logits == NULL) {
        fail("out of memory");
    }
    for (uint32_t i = 0; i < b->backend.n_kv_blocks; i++) {
        b->blocks[i] = i;
    }
    for (uint32_t i = 0; i <= b->prefill; i++) {
        b->tokens[i] = (int32_t)((i * 2654435761u) % b->model->n_vocab);
    }
}

static void forward(bench_t *b, const weir_batch_seq_t *seqs, uint32_t n)
{
    weir_error_t err;
    weir_batch_t batch = {seqs, n};

    if (weir_cpu_backend()->forward(b->handle, &batch, b->logits, &err) != WEIR_OK) {
        fail(err.message);
    }
}

/* Prefills sequence s; returns the seconds. */
static double prefill(bench_t *b, uint32_t s)
{
    double start = now();

    for (uint32_t at = 0; at < b->prefill; at += b->chunk) {
        uint32_t n = b->prefill - at < b->chunk ? b->prefill - at : b->chunk;
        weir_batch_seq_t seq = {b->tokens + at, n, at, b->blocks + (size_t)s * b->seq_blocks,
                                at + n == b->prefill};
        forward(b, &seq, 1);
    }
    return now() - start;
}

static double decode(bench_t *b)
{
    weir_batch_seq_t *seqs = calloc(b->batch, sizeof(*seqs));
    double start = now();

    if (seqs == NULL) {
        fail("out of memory");
    }
    for (uint32_t i = 0; i < b->decode; i++) {
        for (uint32_t s = 0; s < b->batch; s++) {
            seqs[s] = (weir_batch_seq_t){&b->tokens[(i + s) % (b->prefill + 1)], 1, b->prefill + i,
                                         b->blocks + (size_t)s * b->seq_blocks, 1};
        }
        forward(b, seqs, b->batch);
    }
    free(seqs);
    return now() - start;
}

int main(int argc, char **argv)
{
    bench_t b = {.prefill = 512, .chunk = 512, .decode = 128, .batch = 1, .rounds = 3};
    weir_arena_t arena;
    double best_prefill = 0, best_decode = 0;

    b.backend.threads = 1;
    parse(argc, argv, &b);
    weir_arena_init(&arena, 0, 0);
    open_model(&b, &arena);
    for (uint32_t round = 0; round < b.rounds; round++) {
        double p = 0, d;
        for (uint32_t s = 0; s < b.batch && b.prefill > 0; s++) {
            p = prefill(&b, s);
        }
        d = decode(&b);
        double prefill_rate = p > 0 ? b.prefill / p : 0;
        double decode_rate = d > 0 ? (double)b.decode * b.batch / d : 0;
        printf("round %u: prefill %.1f tok/s, decode %.1f tok/s\n", round + 1, prefill_rate,
               decode_rate);
        best_prefill = prefill_rate > best_prefill ? prefill_rate : best_prefill;
        best_decode = decode_rate > best_decode ? decode_rate : best_decode;
    }
    printf("best: prefill %.1f tok/s, decode %.1f tok/s\n", best_prefill, best_decode);
    weir_cpu_backend()->close(b.handle);
    weir_arena_free(&arena);
    free(b.blocks);
    free(b.tokens);
    free(b.logits);
    return 0;
}

/*
 * The CPU back end as the engine sees it: logits of a row are the same bits for every cut of a
 * prompt into chunks, every company in the batch and every number of threads; cached context counts
 * as computed; what lies in the cache beyond a sequence does not matter; bad batches are refused.
 * That the numbers are right is t/engine's business.
 */
#include "engine/llm/backend.h"
#include "t/support/tap.h"
#include "t/support/tiny_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N_TOKENS   160 /* more than an attention partition */
#define SEQ_BLOCKS 20
#define N_BLOCKS   100

typedef struct {
    weir_arena_t arena;
    weir_gguf_t *gguf;
    weir_model_t *model;
    void *file;
} loaded_t;

static const weir_backend_ops_t *cpu(void)
{
    return weir_cpu_backend();
}

static bool load(loaded_t *l, const tiny_model_t *spec)
{
    weir_error_t err;
    weir_buf_t buf;

    weir_arena_init(&l->arena, 0, 0);
    weir_buf_init(&buf, &l->arena);
    if (tiny_model_build(spec, &buf, &err) != WEIR_OK) {
        diag("%s", err.message);
        return false;
    }
    l->file = aligned_alloc(64, (buf.len + 63) / 64 * 64);
    if (l->file == NULL) {
        return false;
    }
    memcpy(l->file, buf.data, buf.len);
    if (weir_gguf_open_memory(l->file, buf.len, &l->gguf, &err) != WEIR_OK ||
        weir_model_load(l->gguf, &l->arena, &l->model, &err) != WEIR_OK) {
        diag("%s", err.message);
        return false;
    }
    return true;
}

static void unload(loaded_t *l)
{
    weir_gguf_close(l->gguf);
    weir_arena_free(&l->arena);
    free(l->file);
}

static weir_backend_t *open_backend(const loaded_t *l, uint32_t threads, const char *isa,
                                    weir_activations_t activations)
{
    weir_backend_options_t o = {.threads = threads,
                                .n_kv_blocks = N_BLOCKS,
                                .max_rows = N_TOKENS + 32,
                                .max_logits = N_TOKENS + 32,
                                .activations = activations,
                                .isa = isa};
    weir_backend_t *b = NULL;
    weir_error_t err;

    if (cpu()->open(l->model, &o, &b, &err) != WEIR_OK) {
        diag("%s", err.message);
        return NULL;
    }
    return b;
}

static void make_tokens(rng_t *rng, const loaded_t *l, int32_t *tokens)
{
    for (uint32_t i = 0; i < N_TOKENS; i++) {
        tokens[i] = (int32_t)rng_below(rng, l->model->n_vocab);
    }
}

static void make_blocks(uint32_t *blocks, uint32_t first, uint32_t step)
{
    for (uint32_t i = 0; i < SEQ_BLOCKS; i++) {
        blocks[i] = (first + i * step) % N_BLOCKS;
    }
}

static bool forward(weir_backend_t *b, const weir_batch_seq_t *seqs, uint32_t n, float *logits)
{
    weir_batch_t batch = {seqs, n};
    weir_error_t err;

    if (cpu()->forward(b, &batch, logits, &err) != WEIR_OK) {
        diag("%s", err.message);
        return false;
    }
    return true;
}

/* All logits of the tokens in random chunks of at most most tokens. */
static bool in_chunks(weir_backend_t *b, rng_t *rng, const int32_t *tokens, const uint32_t *blocks,
                      uint32_t most, uint32_t n_vocab, float *logits)
{
    for (uint32_t at = 0; at < N_TOKENS;) {
        uint32_t n = 1 + rng_below(rng, most);
        n = n < N_TOKENS - at ? n : N_TOKENS - at;
        weir_batch_seq_t seq = {tokens + at, n, at, blocks, n};
        if (!forward(b, &seq, 1, logits + (size_t)at * n_vocab)) {
            return false;
        }
        at += n;
    }
    return true;
}

/* The same tokens as two sequences at once, the second ahead or behind and in pieces. */
static bool in_company(weir_backend_t *b, rng_t *rng, const int32_t *tokens, uint32_t n_vocab,
                       const float *want)
{
    uint32_t blocks[3][SEQ_BLOCKS], at[3] = {0, 0, 0};
    float *logits = malloc((N_TOKENS + 32) * (size_t)n_vocab * sizeof(float));
    bool same = logits != NULL;

    for (uint32_t s = 0; s < 3; s++) {
        make_blocks(blocks[s], s * 33, 1);
    }
    while (same && at[0] < N_TOKENS) {
        weir_batch_seq_t seqs[3];
        uint32_t n_seqs = 0, start[3];
        for (uint32_t s = 0; s < 3; s++) {
            uint32_t n = 1 + rng_below(rng, s == 0 ? 20 : 60);
            n = n < N_TOKENS - at[s] ? n : N_TOKENS - at[s];
            if (n > 0) {
                start[n_seqs] = at[s];
                seqs[n_seqs++] = (weir_batch_seq_t){tokens + at[s], n, at[s], blocks[s], n};
                at[s] += n;
            }
        }
        same = forward(b, seqs, n_seqs, logits);
        const float *row = logits;
        for (uint32_t s = 0; same && s < n_seqs; s++) {
            size_t values = (size_t)seqs[s].n_tokens * n_vocab;
            same = memcmp(row, want + (size_t)start[s] * n_vocab, values * sizeof(float)) == 0;
            row += values;
        }
    }
    free(logits);
    return same;
}

static bool all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            return false;
        }
    }
    return true;
}

static void check_invariance(rng_t *rng, const loaded_t *l, const char *isa,
                             weir_activations_t activations)
{
    static const uint32_t threads[] = {1, 3};
    uint32_t n_vocab = l->model->n_vocab, blocks[SEQ_BLOCKS];
    size_t bytes = (size_t)N_TOKENS * n_vocab * sizeof(float);
    float *want = malloc(bytes), *got = malloc(bytes);
    int32_t tokens[N_TOKENS];
    const char *how = activations == WEIR_ACTIVATIONS_INT8 ? "int8" : "float";
    const char *name = weir_dtype_name(l->model->layers[0].wq.type);

    make_tokens(rng, l, tokens);
    for (size_t t = 0; want != NULL && got != NULL && t < 2; t++) {
        weir_backend_t *b = open_backend(l, threads[t], isa, activations);
        if (!ok(b != NULL, "%s %s %s: opens with %u threads", isa, name, how, threads[t])) {
            continue;
        }
        if (t == 0) {
            make_blocks(blocks, 3, 1);
            weir_batch_seq_t all = {tokens, N_TOKENS, 0, blocks, N_TOKENS};
            memset(want, 0xff, bytes);
            ok(forward(b, &all, 1, want) && all_finite(want, bytes / sizeof(float)),
               "%s %s %s: a prompt in one piece gives finite logits", isa, name, how);
        }
        make_blocks(blocks, 7, 37);
        for (uint32_t most = 4; most <= 49; most += 45) {
            memset(got, 0xff, bytes);
            bool same = in_chunks(b, rng, tokens, blocks, most, n_vocab, got) &&
                        memcmp(got, want, bytes) == 0;
            ok(same, "%s %s %s: %u threads, chunks up to %u: the same bits", isa, name, how,
               threads[t], most);
        }
        ok(in_company(b, rng, tokens, n_vocab, want),
           "%s %s %s: %u threads, three sequences at once: the same bits", isa, name, how,
           threads[t]);
        cpu()->close(b);
    }
    free(want);
    free(got);
}

static void check_logit_rows(rng_t *rng, const loaded_t *l)
{
    weir_backend_t *b = open_backend(l, 2, NULL, WEIR_ACTIVATIONS_INT8);
    uint32_t n_vocab = l->model->n_vocab, blocks[2][SEQ_BLOCKS];
    size_t row = n_vocab * sizeof(float);
    float *all = malloc(60 * row), *some = malloc(8 * row);
    int32_t tokens[N_TOKENS];

    make_tokens(rng, l, tokens);
    make_blocks(blocks[0], 0, 1);
    make_blocks(blocks[1], 50, 1);
    weir_batch_seq_t full = {tokens, 60, 0, blocks[0], 60};
    bool good = b != NULL && all != NULL && some != NULL && forward(b, &full, 1, all);
    for (size_t i = 0; good && i < 8 * (size_t)n_vocab; i++) {
        some[i] = NAN;
    }
    weir_batch_seq_t parts[] = {{tokens, 40, 0, blocks[1], 0}, {tokens + 30, 30, 30, blocks[0], 3}};
    good = good && forward(b, parts, 2, some) && memcmp(some, all + 57 * n_vocab, 3 * row) == 0 &&
           isnan(some[3 * n_vocab]);
    ok(good, "only the logit rows asked for are written, and they are the same");
    weir_batch_seq_t rest[] = {{tokens + 40, 20, 40, blocks[1], 1}};
    good = good && forward(b, rest, 1, some) && memcmp(some, all + 59 * n_vocab, row) == 0;
    ok(good, "a chunk without logits fills the cache all the same");
    weir_batch_seq_t none = {tokens, 0, 0, blocks[0], 0};
    ok(good && forward(b, &none, 1, some) && forward(b, NULL, 0, some), "empty batches are fine");
    if (b != NULL) {
        cpu()->close(b);
    }
    free(all);
    free(some);
}

static void check_copy(rng_t *rng, const loaded_t *l)
{
    weir_backend_t *b = open_backend(l, 1, NULL, WEIR_ACTIVATIONS_INT8);
    uint32_t n_vocab = l->model->n_vocab, from[SEQ_BLOCKS], to[SEQ_BLOCKS];
    size_t row = n_vocab * sizeof(float);
    float *want = malloc(row), *got = malloc(row);
    int32_t tokens[N_TOKENS];

    make_tokens(rng, l, tokens);
    make_blocks(from, 0, 1);
    make_blocks(to, 60, 1);
    weir_batch_seq_t prompt = {tokens, 40, 0, from, 0}, next = {tokens + 40, 1, 40, from, 1};
    bool good = b != NULL && want != NULL && got != NULL && forward(b, &prompt, 1, want) &&
                forward(b, &next, 1, want);
    to[0] = from[0]; /* shared; the two others copied */
    for (uint32_t i = 1; good && i < 3; i++) {
        cpu()->copy_block(b, to[i], from[i]);
    }
    next.blocks = to;
    good = good && forward(b, &next, 1, got) && memcmp(want, got, row) == 0;
    ok(good, "copied blocks are as good as the first");
    if (b != NULL) {
        cpu()->close(b);
    }
    free(want);
    free(got);
}

/* A token of NaN weights poisons its own sequence; its blocks, used again, harm no other. */
static void check_poison(rng_t *rng, tiny_model_t spec)
{
    loaded_t l;
    uint32_t blocks[SEQ_BLOCKS];
    int32_t tokens[N_TOKENS], bad[40];

    spec.embd_type = WEIR_DTYPE_F32;
    spec.untied = true;
    if (!load(&l, &spec)) {
        ok(false, "a model for the poison test");
        return;
    }
    size_t row = l.model->n_vocab * sizeof(float);
    float *want = malloc(30 * row), *got = malloc(40 * row);
    uint32_t n_embd = l.model->n_embd, nan_token = 5;
    size_t offset = (size_t)((const uint8_t *)l.model->token_embd.data - (uint8_t *)l.file);
    float *embd = (float *)(void *)((uint8_t *)l.file + offset) + (size_t)nan_token * n_embd;
    for (uint32_t i = 0; i < n_embd; i++) {
        embd[i] = NAN;
    }
    weir_backend_t *b = open_backend(&l, 1, NULL, WEIR_ACTIVATIONS_INT8);
    make_tokens(rng, &l, tokens);
    for (uint32_t i = 0; i < 40; i++) {
        tokens[i] = tokens[i] == (int32_t)nan_token ? 6 : tokens[i];
        bad[i] = (int32_t)nan_token;
    }
    make_blocks(blocks, 0, 1);
    weir_batch_seq_t good_seq = {tokens, 30, 0, blocks, 30}, bad_seq = {bad, 40, 0, blocks, 40};
    bool good = b != NULL && want != NULL && got != NULL && forward(b, &good_seq, 1, want) &&
                forward(b, &bad_seq, 1, got) && isnan(got[0]) && forward(b, &good_seq, 1, got) &&
                memcmp(want, got, 30 * row) == 0 && all_finite(got, 30 * (size_t)l.model->n_vocab);
    ok(good, "blocks full of NaN from another sequence do no harm");
    if (b != NULL) {
        cpu()->close(b);
    }
    free(want);
    free(got);
    unload(&l);
}

static void refuse(weir_backend_t *b, const weir_batch_seq_t *seqs, uint32_t n, float *logits,
                   const char *what)
{
    weir_batch_t batch = {seqs, n};
    weir_error_t err = {.message = ""};
    weir_status_t status = cpu()->forward(b, &batch, logits, &err);

    ok(status == WEIR_ERR_INVALID && err.message[0] != '\0', "%s: %s", what, err.message);
}

static void check_refusals(const loaded_t *l)
{
    weir_backend_options_t o = {.threads = 1, .n_kv_blocks = 4, .max_rows = 8, .max_logits = 2};
    uint32_t blocks[4] = {0, 1, 2, 3}, beyond[4] = {0, 4, 2, 3};
    int32_t tokens[9] = {0}, bad[1] = {-1}, high[1] = {(int32_t)l->model->n_vocab};
    weir_backend_t *b = NULL;
    weir_error_t err;
    float *logits = malloc(9 * (size_t)l->model->n_vocab * sizeof(float));

    if (logits == NULL ||
        !ok(cpu()->open(l->model, &o, &b, &err) == WEIR_OK, "a small one opens")) {
        free(logits);
        return;
    }
    refuse(b, &(weir_batch_seq_t){bad, 1, 0, blocks, 1}, 1, logits, "token below 0");
    refuse(b, &(weir_batch_seq_t){high, 1, 0, blocks, 1}, 1, logits, "token too high");
    refuse(b, &(weir_batch_seq_t){tokens, 9, 0, blocks, 1}, 1, logits, "too many rows");
    refuse(b, &(weir_batch_seq_t){tokens, 3, 0, blocks, 3}, 1, logits, "too many logits");
    refuse(b, &(weir_batch_seq_t){tokens, 1, 0, blocks, 2}, 1, logits, "more logits than tokens");
    refuse(b, &(weir_batch_seq_t){tokens, 2, 63, blocks, 1}, 1, logits, "beyond the cache");
    refuse(b, &(weir_batch_seq_t){tokens, 1, UINT32_MAX, blocks, 1}, 1, logits, "far beyond it");
    refuse(b, &(weir_batch_seq_t){tokens, 1, 17, beyond, 1}, 1, logits, "no such block");
    weir_batch_seq_t two[] = {{tokens, 5, 0, blocks, 1}, {tokens, 5, 0, blocks + 2, 1}};
    refuse(b, two, 2, logits, "too many rows in all");
    cpu()->close(b);
    o.n_kv_blocks = 0;
    ok(cpu()->open(l->model, &o, &b, &err) == WEIR_ERR_INVALID, "no blocks: %s", err.message);
    o.n_kv_blocks = 4;
    o.isa = "sse9";
    ok(cpu()->open(l->model, &o, &b, &err) == WEIR_ERR_UNSUPPORTED, "isa: %s", err.message);
    o.isa = NULL;
    o.threads = 100000;
    ok(cpu()->open(l->model, &o, &b, &err) == WEIR_ERR_LIMIT, "threads: %s", err.message);
    free(logits);
}

static void count_progress(void *ctx, float fraction)
{
    float *last = ctx;

    *last = fraction >= *last && fraction <= 1.0f ? fraction : 2.0f;
}

static void check_info(const loaded_t *l)
{
    float last = 0.0f;
    weir_backend_options_t o = {.threads = 2,
                                .n_kv_blocks = 4,
                                .max_rows = 8,
                                .max_logits = 2,
                                .isa = "scalar",
                                .progress = count_progress,
                                .progress_ctx = &last};
    weir_backend_t *b = NULL;
    weir_backend_info_t info;
    weir_error_t err;

    if (ok(cpu()->open(l->model, &o, &b, &err) == WEIR_OK, "the scalar kernels run anywhere")) {
        cpu()->info(b, &info);
        is_str(info.isa, strlen(info.isa), "scalar", "info names the instruction set");
        is_int(info.threads, 2, "and the threads");
        is_int((long long)info.kv_bytes_per_token,
               2LL * 2 * l->model->n_layers * l->model->n_kv_heads * l->model->head_dim,
               "and the cache's bytes per token");
        ok(info.bytes_per_token > 0 && info.weight_bytes >= info.bytes_per_token,
           "and the bytes read per token");
        ok(last == 1.0f, "progress rises to 1");
        cpu()->close(b);
    }
}

int main(void)
{
    static const struct {
        const char *type, *arch;
        uint32_t n_embd, n_heads, n_kv_heads, head_dim, n_ff;
    } shapes[] = {{"Q4_1", "llama", 64, 4, 2, 0, 96},
                  {"Q8_0", "qwen2", 96, 6, 1, 16, 160},
                  {"Q6_K", "qwen3", 256, 4, 4, 32, 256},
                  {"BF16", "llama", 72, 6, 2, 20, 100},
                  {"Q4_K", "llama", 256, 8, 2, 0, 512}};
    static const char *const isas[] = {"scalar", "avx2", "avx512"};
    tiny_model_t spec;
    loaded_t l;
    rng_t rng;

    rng_init(&rng);
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        tiny_model_defaults(&spec);
        spec.type = (weir_dtype_t)tiny_model_type(shapes[i].type);
        spec.embd_type = i % 2 == 0 ? WEIR_DTYPE_Q8_0 : WEIR_DTYPE_F16;
        spec.arch = shapes[i].arch;
        spec.n_embd = shapes[i].n_embd;
        spec.n_heads = shapes[i].n_heads;
        spec.n_kv_heads = shapes[i].n_kv_heads;
        spec.head_dim = shapes[i].head_dim;
        spec.n_ff = shapes[i].n_ff;
        if (!load(&l, &spec)) {
            ok(false, "model %s", shapes[i].type);
            continue;
        }
        for (size_t k = 0; k < 3; k++) {
            weir_backend_t *b = open_backend(&l, 1, isas[k], WEIR_ACTIVATIONS_INT8);
            if (b == NULL) {
                skip_test("%s: not on this machine", isas[k]);
                continue;
            }
            cpu()->close(b);
            check_invariance(&rng, &l, isas[k], WEIR_ACTIVATIONS_INT8);
            if (i == 4) {
                check_invariance(&rng, &l, isas[k], WEIR_ACTIVATIONS_FLOAT);
            }
        }
        unload(&l);
    }
    tiny_model_defaults(&spec);
    if (ok(load(&l, &spec), "a model of defaults")) {
        check_logit_rows(&rng, &l);
        check_copy(&rng, &l);
        check_refusals(&l);
        check_info(&l);
        unload(&l);
    }
    check_poison(&rng, spec);
    return done_testing();
}

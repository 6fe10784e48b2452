#include "t/support/fake_backend.h"

#include <stdlib.h>

struct weir_backend {
    weir_backend_options_t options;
    uint32_t n_vocab;
    uint32_t fail;
    uint64_t *kv; /* n_kv_blocks * WEIR_KV_BLOCK */
};

static uint64_t mix(uint64_t x)
{
    x ^= x >> 31;
    x *= 0x9e3779b97f4a7c15ull;
    x ^= x >> 29;
    x *= 0xd6e8feb86659fd93ull;
    return x ^ (x >> 32);
}

/* What attention over the earlier positions gives. */
static uint64_t fold(uint64_t state, uint64_t kv)
{
    return mix(state * 3 + kv);
}

static uint64_t kv_of(uint64_t before, int32_t token, uint32_t position)
{
    return mix(before + mix((uint64_t)(uint32_t)token << 20 | position));
}

static void logits_of(uint64_t state, uint32_t n_vocab, float *logits)
{
    for (uint32_t i = 0; i < n_vocab; i++) {
        logits[i] = (float)(mix(state + i * 0x632be59bd9b4e019ull) >> 40) / 2097152.0f;
    }
}

void fake_backend_logits(const int32_t *tokens, uint32_t n, uint32_t n_vocab, float *logits)
{
    uint64_t state = 0;
    for (uint32_t p = 0; p < n; p++) {
        state = fold(state, kv_of(state, tokens[p], p));
    }
    logits_of(state, n_vocab, logits);
}

weir_backend_t *fake_backend_open(uint32_t n_vocab, const weir_backend_options_t *options)
{
    weir_backend_t *b = calloc(1, sizeof(*b));
    b->options = *options;
    b->n_vocab = n_vocab;
    size_t n = (size_t)options->n_kv_blocks * WEIR_KV_BLOCK;
    b->kv = malloc(n * sizeof(*b->kv));
    for (size_t i = 0; i < n; i++) {
        b->kv[i] = mix(i + 77); /* nothing that a sequence should ever read */
    }
    return b;
}

static weir_status_t fake_open(const weir_model_t *model, const weir_backend_options_t *options,
                               weir_backend_t **out, weir_error_t *err)
{
    (void)err;
    if (options->progress != NULL) {
        options->progress(options->progress_ctx, 0.5f);
    }
    *out = fake_backend_open(model->n_vocab, options);
    return WEIR_OK;
}

static void fake_close(weir_backend_t *b)
{
    free(b->kv);
    free(b);
}

static void fake_info(const weir_backend_t *b, weir_backend_info_t *out)
{
    *out = (weir_backend_info_t){.name = "fake", .isa = "none", .threads = b->options.threads};
}

static uint64_t *kv_at(weir_backend_t *b, const weir_batch_seq_t *seq, uint32_t position)
{
    uint32_t block = seq->blocks[position / WEIR_KV_BLOCK];
    if (block >= b->options.n_kv_blocks) {
        abort();
    }
    return &b->kv[(size_t)block * WEIR_KV_BLOCK + position % WEIR_KV_BLOCK];
}

static weir_status_t fake_forward(weir_backend_t *b, const weir_batch_t *batch, float *logits,
                                  weir_error_t *err)
{
    uint32_t rows = 0;
    uint32_t n_logits = 0;
    if (b->fail > 0) {
        b->fail--;
        return weir_error(err, WEIR_ERR_INTERNAL, "told to fail");
    }
    for (uint32_t i = 0; i < batch->n_seqs; i++) {
        const weir_batch_seq_t *seq = &batch->seqs[i];
        rows += seq->n_tokens;
        n_logits += seq->n_logits;
        if (seq->n_tokens == 0 || seq->n_logits > seq->n_tokens || rows > b->options.max_rows ||
            n_logits > b->options.max_logits) {
            return weir_error(err, WEIR_ERR_INVALID, "batch over its bounds");
        }
        uint64_t state = 0;
        for (uint32_t p = 0; p < seq->position; p++) {
            state = fold(state, *kv_at(b, seq, p));
        }
        for (uint32_t j = 0; j < seq->n_tokens; j++) {
            uint64_t *kv = kv_at(b, seq, seq->position + j);
            *kv = kv_of(state, seq->tokens[j], seq->position + j);
            state = fold(state, *kv);
            if (j + seq->n_logits >= seq->n_tokens) {
                logits_of(state, b->n_vocab, logits);
                logits += b->n_vocab;
            }
        }
    }
    return WEIR_OK;
}

static void fake_copy_block(weir_backend_t *b, uint32_t dst, uint32_t src)
{
    memcpy(b->kv + (size_t)dst * WEIR_KV_BLOCK, b->kv + (size_t)src * WEIR_KV_BLOCK,
           WEIR_KV_BLOCK * sizeof(*b->kv));
}

void fake_backend_fail(weir_backend_t *b, uint32_t steps)
{
    b->fail = steps;
}

const weir_backend_ops_t *fake_backend(void)
{
    static const weir_backend_ops_t ops = {
        .name = "fake",
        .open = fake_open,
        .close = fake_close,
        .info = fake_info,
        .forward = fake_forward,
        .copy_block = fake_copy_block,
    };
    return &ops;
}

#include "engine/cpu/cpu.h"

#include <math.h>
#include <string.h>

/* Rows from which on work on single rows is worth handing to the pool. */
#define PARALLEL_ROWS 8

#define TILE_PAIR (2 * WEIR_TILE_ROWS)

/* One of the matrices that read the same activations. */
typedef struct {
    const weir_packed_t *w;
    float *out;
    size_t stride;
} product_t;

typedef struct {
    weir_backend_t *backend;
    weir_xrows_t x;
    product_t products[3];
    uint32_t n_products;
    bool add;
} products_t;

/* Rows to normalise and to prepare as input of products. */
typedef struct {
    weir_backend_t *backend;
    const float *src;
    size_t stride;
    size_t cols;
    const float *weight; /* of the norm; NULL: no norm */
    bool quantize;
} prepare_t;

static uint32_t pairs(const weir_packed_t *w)
{
    return (w->n_tiles + 1) / 2;
}

static bool reads_int8(const weir_backend_t *b, const weir_packed_t *w)
{
    return b->int8 && weir_dtype_is_quantized(w->type);
}

/* Runs fn over n rows, on the pool when that pays. */
static void for_rows(weir_backend_t *b, uint32_t n, weir_pool_fn_t fn, void *ctx)
{
    if (n < PARALLEL_ROWS) {
        fn(ctx, 0, 0, n);
    } else {
        weir_pool_run(b->pool, n, fn, ctx);
    }
}

static void prepare_rows(void *ctx, uint32_t thread, uint32_t first, uint32_t last)
{
    const prepare_t *p = ctx;
    weir_backend_t *b = p->backend;

    (void)thread;
    for (uint32_t i = first; i < last; i++) {
        const float *row = p->src + i * p->stride;
        if (p->weight != NULL) {
            float *out = b->norm + i * p->cols;
            b->kernels->rms_norm(row, p->weight, out, p->cols, b->model->norm_eps);
            row = out;
        }
        if (p->quantize) {
            b->kernels->quantize(row, b->q8 + i * b->q8_stride,
                                 b->q8_blocks + i * (b->q8_stride / WEIR_BLOCK), p->cols);
        }
    }
}

/* The activations for products from n rows of src, normalised when weight is given. */
static weir_xrows_t prepare(weir_backend_t *b, const prepare_t *what, uint32_t n)
{
    prepare_t p = *what;

    p.backend = b;
    if (p.quantize || p.weight != NULL) {
        for_rows(b, n, prepare_rows, &p);
    }
    return (weir_xrows_t){
        .f = p.weight != NULL ? b->norm : p.src,
        .q = b->q8,
        .b = b->q8_blocks,
        .f_stride = p.weight != NULL ? p.cols : p.stride,
        .q_stride = b->q8_stride,
        .b_stride = b->q8_stride / WEIR_BLOCK,
        .n_rows = n,
    };
}

static void products_units(void *ctx, uint32_t thread, uint32_t first, uint32_t last)
{
    const products_t *p = ctx;
    weir_backend_t *b = p->backend;

    for (uint32_t i = 0; i < p->n_products && first < last; i++) {
        const product_t *product = &p->products[i];
        const weir_packed_t *w = product->w;
        uint32_t n = pairs(w);
        if (first < n) {
            uint32_t end = last < n ? last : n, t0 = first * 2, t1 = end * 2;
            b->kernels->matmul(w, &p->x, b->int8, t0, t1 < w->n_tiles ? t1 : w->n_tiles,
                               product->out + (size_t)t0 * WEIR_TILE_ROWS, product->stride, p->add,
                               b->threads[thread].matmul);
            first = end;
        }
        first -= n < first ? n : first;
        last -= n < last ? n : last;
    }
}

static void run_products(products_t *p)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->n_products; i++) {
        n += pairs(p->products[i].w);
    }
    weir_pool_run(p->backend->pool, n, products_units, p);
}

/* Gate and up of the same outputs, then silu(gate) * up, a pair of tiles at a time. */
static void gated_units(void *ctx, uint32_t thread, uint32_t first, uint32_t last)
{
    const products_t *p = ctx;
    weir_backend_t *b = p->backend;
    const weir_packed_t *gate = p->products[0].w, *up = p->products[1].w;
    weir_cpu_thread_t *t = &b->threads[thread];
    size_t stride = p->products[0].stride;

    for (uint32_t u = first; u < last; u++) {
        uint32_t t0 = 2 * u, t1 = t0 + 2 < gate->n_tiles ? t0 + 2 : gate->n_tiles;
        float *out = p->products[0].out + (size_t)u * TILE_PAIR;
        uint32_t left = gate->rows - u * TILE_PAIR;
        b->kernels->matmul(gate, &p->x, b->int8, t0, t1, out, stride, false, t->matmul);
        b->kernels->matmul(up, &p->x, b->int8, t0, t1, t->up, TILE_PAIR, false, t->matmul);
        for (uint32_t r = 0; r < p->x.n_rows; r++) {
            b->kernels->silu_mul(out + r * stride, t->up + (size_t)r * TILE_PAIR,
                                 left < TILE_PAIR ? left : TILE_PAIR);
        }
    }
}

static void add_bias(const weir_backend_t *b, float *x, const float *bias, size_t n)
{
    if (bias != NULL) {
        b->kernels->add(x, bias, n);
    }
}

/* Norm, rotation and scale of one head's vector. */
static void finish_head(const weir_backend_t *b, float *x, const float *norm, uint32_t row)
{
    const weir_model_t *m = b->model;
    size_t half = m->rope.dims / 2;

    if (norm != NULL) {
        b->kernels->rms_norm(x, norm, x, m->head_dim, m->norm_eps);
    }
    b->kernels->rope(x, b->cos + row * half, b->sin + row * half, m->rope.dims, m->rope.style);
}

/* From products to queries, keys and values: biases, norms, rotation, and the cache. */
static void qkv_rows(void *ctx, uint32_t thread, uint32_t first, uint32_t last)
{
    weir_backend_t *b = ctx;
    const weir_model_t *m = b->model;
    const weir_cpu_layer_t *layer = &b->layers[b->layer];
    size_t n_q = (size_t)m->n_heads * m->head_dim, n_kv = (size_t)m->n_kv_heads * m->head_dim;

    (void)thread;
    for (uint32_t r = first; r < last; r++) {
        float *q = b->qkv + r * (n_q + 2 * n_kv), *k = q + n_q, *v = k + n_kv;
        const weir_cpu_row_t *row = &b->rows[r];
        add_bias(b, q, layer->bq, n_q);
        add_bias(b, k, layer->bk, n_kv);
        add_bias(b, v, layer->bv, n_kv);
        for (uint32_t h = 0; h < m->n_heads; h++) {
            finish_head(b, q + (size_t)h * m->head_dim, layer->q_norm, r);
        }
        for (size_t i = 0; i < n_q; i++) {
            q[i] *= b->q_scale;
        }
        for (uint32_t h = 0; h < m->n_kv_heads; h++) {
            size_t at = (size_t)h * m->head_dim;
            uint32_t block = row->blocks[row->position / WEIR_KV_BLOCK];
            finish_head(b, k + at, layer->k_norm, r);
            b->kernels->kv_write(&b->shape, k + at, v + at, weir_cpu_kv(b, b->layer, block, h),
                                 row->position % WEIR_KV_BLOCK);
        }
    }
}

/* The rows' embeddings and the rotations at their positions. */
static void start_rows(void *ctx, uint32_t thread, uint32_t first, uint32_t last)
{
    weir_backend_t *b = ctx;
    const weir_model_t *m = b->model;
    size_t row_bytes = weir_dtype_row_bytes(m->token_embd.type, m->n_embd);
    size_t half = m->rope.dims / 2;

    (void)thread;
    for (uint32_t r = first; r < last; r++) {
        const uint8_t *embd = m->token_embd.data;
        weir_dequantize(m->token_embd.type, embd + (size_t)b->rows[r].token * row_bytes,
                        b->x + (size_t)r * m->n_embd, m->n_embd);
        for (size_t i = 0; i < half; i++) {
            double angle = b->rows[r].position * b->rope_frequencies[i];
            b->cos[r * half + i] = (float)(cos(angle) * b->rope_scale);
            b->sin[r * half + i] = (float)(sin(angle) * b->rope_scale);
        }
    }
}

/* Keeps only the rows whose logits are wanted: the last layer needs no others behind its keys
 * and values. */
static void keep_logit_rows(weir_backend_t *b)
{
    const weir_model_t *m = b->model;
    size_t n_qkv = (size_t)(m->n_heads + 2 * m->n_kv_heads) * m->head_dim;

    for (uint32_t i = 0; i < b->n_logit_rows; i++) {
        uint32_t r = b->logit_rows[i];
        if (r != i) {
            b->rows[i] = b->rows[r];
            memcpy(b->x + (size_t)i * m->n_embd, b->x + (size_t)r * m->n_embd,
                   m->n_embd * sizeof(float));
            memcpy(b->qkv + i * n_qkv, b->qkv + r * n_qkv, n_qkv * sizeof(float));
        }
    }
    b->n_rows = b->n_logit_rows;
}

static void attention_half(weir_backend_t *b, const weir_cpu_layer_t *layer)
{
    const weir_model_t *m = b->model;
    size_t n_q = (size_t)m->n_heads * m->head_dim, n_kv = (size_t)m->n_kv_heads * m->head_dim;
    size_t stride = n_q + 2 * n_kv;
    products_t p = {.backend = b, .n_products = 3};

    p.x = prepare(b,
                  &(prepare_t){.src = b->x,
                               .stride = m->n_embd,
                               .cols = m->n_embd,
                               .weight = layer->attn_norm,
                               .quantize = reads_int8(b, &layer->wq) || reads_int8(b, &layer->wk) ||
                                           reads_int8(b, &layer->wv)},
                  b->n_rows);
    p.products[0] = (product_t){&layer->wq, b->qkv, stride};
    p.products[1] = (product_t){&layer->wk, b->qkv + n_q, stride};
    p.products[2] = (product_t){&layer->wv, b->qkv + n_q + n_kv, stride};
    run_products(&p);
    for_rows(b, b->n_rows, qkv_rows, b);
    if (b->layer + 1 == m->n_layers) {
        keep_logit_rows(b);
        if (b->n_rows == 0) {
            return;
        }
    }
    weir_cpu_attention(b);
    p.x = prepare(
        b,
        &(prepare_t){
            .src = b->attn, .stride = n_q, .cols = n_q, .quantize = reads_int8(b, &layer->wo)},
        b->n_rows);
    p.products[0] = (product_t){&layer->wo, b->x, m->n_embd};
    p.n_products = 1;
    p.add = true;
    run_products(&p);
}

static void feed_forward_half(weir_backend_t *b, const weir_cpu_layer_t *layer)
{
    const weir_model_t *m = b->model;
    products_t p = {.backend = b, .n_products = 2};

    p.x = prepare(
        b,
        &(prepare_t){.src = b->x,
                     .stride = m->n_embd,
                     .cols = m->n_embd,
                     .weight = layer->ffn_norm,
                     .quantize = reads_int8(b, &layer->w_gate) || reads_int8(b, &layer->w_up)},
        b->n_rows);
    p.products[0] = (product_t){&layer->w_gate, b->ff, m->n_ff};
    p.products[1] = (product_t){&layer->w_up, NULL, 0};
    weir_pool_run(b->pool, pairs(&layer->w_gate), gated_units, &p);
    p.x = prepare(b,
                  &(prepare_t){.src = b->ff,
                               .stride = m->n_ff,
                               .cols = m->n_ff,
                               .quantize = reads_int8(b, &layer->w_down)},
                  b->n_rows);
    p.products[0] = (product_t){&layer->w_down, b->x, m->n_embd};
    p.n_products = 1;
    p.add = true;
    run_products(&p);
}

static weir_status_t check_seq(const weir_backend_t *b, const weir_batch_seq_t *seq, uint32_t i,
                               weir_error_t *err)
{
    uint64_t end = (uint64_t)seq->position + seq->n_tokens;

    if (seq->n_logits > seq->n_tokens) {
        return weir_error(err, WEIR_ERR_INVALID, "sequence %u wants %u logit rows of %u tokens", i,
                          seq->n_logits, seq->n_tokens);
    }
    if (end > (uint64_t)b->n_kv_blocks * WEIR_KV_BLOCK) {
        return weir_error(err, WEIR_ERR_INVALID,
                          "sequence %u reaches position %llu, beyond the cache of %u blocks", i,
                          (unsigned long long)end, b->n_kv_blocks);
    }
    for (uint32_t t = 0; t < seq->n_tokens; t++) {
        if (seq->tokens[t] < 0 || (uint32_t)seq->tokens[t] >= b->model->n_vocab) {
            return weir_error(err, WEIR_ERR_INVALID,
                              "token %d of sequence %u is outside the vocabulary of %u",
                              (int)seq->tokens[t], i, b->model->n_vocab);
        }
    }
    for (uint64_t k = 0; seq->n_tokens > 0 && k < (end + WEIR_KV_BLOCK - 1) / WEIR_KV_BLOCK; k++) {
        if (seq->blocks[k] >= b->n_kv_blocks) {
            return weir_error(err, WEIR_ERR_INVALID, "block %u of sequence %u is not below %u",
                              seq->blocks[k], i, b->n_kv_blocks);
        }
    }
    return WEIR_OK;
}

/* Lays the batch out as rows. */
static weir_status_t take_batch(weir_backend_t *b, const weir_batch_t *batch, weir_error_t *err)
{
    uint64_t n_rows = 0, n_logits = 0;

    for (uint32_t i = 0; i < batch->n_seqs; i++) {
        weir_status_t status = check_seq(b, &batch->seqs[i], i, err);
        if (status != WEIR_OK) {
            return status;
        }
        n_rows += batch->seqs[i].n_tokens;
        n_logits += batch->seqs[i].n_logits;
    }
    if (n_rows > b->max_rows || n_logits > b->max_logits) {
        return weir_error(
            err, WEIR_ERR_INVALID, "a batch of %llu rows and %llu logit rows; at most %u and %u",
            (unsigned long long)n_rows, (unsigned long long)n_logits, b->max_rows, b->max_logits);
    }
    b->n_rows = 0;
    b->n_logit_rows = 0;
    for (uint32_t i = 0; i < batch->n_seqs; i++) {
        const weir_batch_seq_t *seq = &batch->seqs[i];
        for (uint32_t t = 0; t < seq->n_tokens; t++) {
            if (t >= seq->n_tokens - seq->n_logits) {
                b->logit_rows[b->n_logit_rows++] = b->n_rows;
            }
            b->rows[b->n_rows++] = (weir_cpu_row_t){seq->tokens[t], seq->position + t, seq->blocks};
        }
    }
    return WEIR_OK;
}

weir_status_t weir_cpu_forward(weir_backend_t *b, const weir_batch_t *batch, float *logits,
                               weir_error_t *err)
{
    const weir_model_t *m = b->model;
    weir_status_t status = take_batch(b, batch, err);

    if (status != WEIR_OK || b->n_rows == 0) {
        return status;
    }
    for_rows(b, b->n_rows, start_rows, b);
    for (b->layer = 0; b->layer < m->n_layers; b->layer++) {
        attention_half(b, &b->layers[b->layer]);
        if (b->n_rows == 0) {
            return WEIR_OK;
        }
        feed_forward_half(b, &b->layers[b->layer]);
    }
    products_t p = {.backend = b, .n_products = 1};
    p.x = prepare(b,
                  &(prepare_t){.src = b->x,
                               .stride = m->n_embd,
                               .cols = m->n_embd,
                               .weight = b->output_norm,
                               .quantize = reads_int8(b, &b->head)},
                  b->n_rows);
    p.products[0] = (product_t){&b->head, logits, m->n_vocab};
    run_products(&p);
    return WEIR_OK;
}

#include "engine/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGNMENT 64

/* Carves aligned pieces out of one mapping; with base NULL it only counts. */
typedef struct {
    uint8_t *base;
    size_t used;
    bool overflow;
} carver_t;

static void *carve(carver_t *c, size_t count, size_t size)
{
    size_t bytes, end;

    if (__builtin_mul_overflow(count, size, &bytes) ||
        __builtin_add_overflow(bytes, ALIGNMENT - 1, &bytes) ||
        __builtin_add_overflow(c->used, bytes / ALIGNMENT * ALIGNMENT, &end)) {
        c->overflow = true;
        return NULL;
    }
    void *at = c->base != NULL ? c->base + c->used : NULL;
    c->used = end;
    return at;
}

/*
 * Zeroed memory, in huge pages where the system gives them: all weights are read for every token
 * and the whole context for every layer, and page walks would cost as much as the reading. Pages
 * that are never used take no memory.
 */
static weir_status_t map(size_t bytes, const char *what, uint8_t **out, size_t *out_bytes,
                         weir_error_t *err)
{
    const size_t huge = (size_t)2 << 20;
    size_t size;

    if (__builtin_add_overflow(bytes, huge - 1, &size)) {
        return weir_error(err, WEIR_ERR_LIMIT, "%s would need more memory than can be addressed",
                          what);
    }
    size = size / huge * huge;
    size = size > 0 ? size : huge;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for %s: %zu MiB", what, size >> 20);
    }
    (void)madvise(p, size, MADV_HUGEPAGE);
    *out = p;
    *out_bytes = size;
    return WEIR_OK;
}

/* The matrices of the model and where their packed forms are kept. */
typedef struct {
    const weir_weight_t *src;
    weir_packed_t *dst;
} matrix_t;

static uint32_t layer_matrices(const weir_layer_t *l, weir_cpu_layer_t *c, matrix_t out[7])
{
    const matrix_t all[7] = {
        {&l->wq, &c->wq},         {&l->wk, &c->wk},     {&l->wv, &c->wv},        {&l->wo, &c->wo},
        {&l->w_gate, &c->w_gate}, {&l->w_up, &c->w_up}, {&l->w_down, &c->w_down}};

    memcpy(out, all, sizeof(all));
    return 7;
}

static const float *copy_vector(carver_t *c, const weir_weight_t *w)
{
    if (w->data == NULL) {
        return NULL;
    }
    float *v = carve(c, w->cols, sizeof(float));
    if (v != NULL) {
        memcpy(v, w->data, w->cols * sizeof(float));
    }
    return v;
}

static void place_matrix(carver_t *c, const matrix_t *m)
{
    weir_packed_shape(m->dst, m->src);
    m->dst->data = carve(c, m->dst->n_tiles, m->dst->tile_bytes);
}

/* Places, and with memory copies, everything but the matrices' contents. */
static void place_weights(weir_backend_t *b, carver_t *c)
{
    for (uint32_t i = 0; i < b->model->n_layers; i++) {
        const weir_layer_t *src = &b->model->layers[i];
        weir_cpu_layer_t *dst = &b->layers[i];
        matrix_t matrices[7];
        uint32_t n = layer_matrices(src, dst, matrices);
        dst->attn_norm = copy_vector(c, &src->attn_norm);
        dst->ffn_norm = copy_vector(c, &src->ffn_norm);
        dst->bq = copy_vector(c, &src->bq);
        dst->bk = copy_vector(c, &src->bk);
        dst->bv = copy_vector(c, &src->bv);
        dst->q_norm = copy_vector(c, &src->q_norm);
        dst->k_norm = copy_vector(c, &src->k_norm);
        for (uint32_t k = 0; k < n; k++) {
            place_matrix(c, &matrices[k]);
        }
    }
    b->output_norm = copy_vector(c, &b->model->output_norm);
    place_matrix(c, &(matrix_t){&b->model->output, &b->head});
}

typedef struct {
    matrix_t matrix;
    uint8_t *data;
} pack_job_t;

static void pack_units(void *ctx, uint32_t thread, uint32_t first, uint32_t last)
{
    const pack_job_t *job = ctx;

    (void)thread;
    weir_pack_tiles(job->matrix.dst, job->matrix.src, job->data, first, last);
}

static void pack_matrix(weir_backend_t *b, const matrix_t *m)
{
    size_t offset = (size_t)(m->dst->data - b->weights);
    pack_job_t job = {*m, b->weights + offset};

    weir_pool_run(b->pool, m->dst->n_tiles, pack_units, &job);
    b->bytes_per_token += weir_packed_bytes(m->dst);
}

static void report(const weir_backend_options_t *options, float fraction)
{
    if (options->progress != NULL) {
        options->progress(options->progress_ctx, fraction);
    }
}

static weir_status_t load_weights(weir_backend_t *b, const weir_backend_options_t *options,
                                  weir_error_t *err)
{
    carver_t c = {NULL, 0, false};

    place_weights(b, &c);
    if (c.overflow) {
        return weir_error(err, WEIR_ERR_LIMIT,
                          "the weights need more memory than can be addressed");
    }
    weir_status_t status = map(c.used, "the weights", &b->weights, &b->weights_bytes, err);
    if (status != WEIR_OK) {
        return status;
    }
    c = (carver_t){b->weights, 0, false};
    place_weights(b, &c);
    size_t total = c.used, done = 0;
    report(options, 0.0f);
    for (uint32_t i = 0; i < b->model->n_layers; i++) {
        matrix_t matrices[7];
        uint32_t n = layer_matrices(&b->model->layers[i], &b->layers[i], matrices);
        for (uint32_t k = 0; k < n; k++) {
            pack_matrix(b, &matrices[k]);
            done += weir_packed_bytes(matrices[k].dst);
        }
        report(options, (float)done / (float)total);
    }
    pack_matrix(b, &(matrix_t){&b->model->output, &b->head});
    report(options, 1.0f);
    return WEIR_OK;
}

static weir_status_t open_kv(weir_backend_t *b, weir_error_t *err)
{
    const weir_model_t *m = b->model;
    size_t values;

    b->shape.head_dim = m->head_dim;
    b->shape.v_stride = (m->head_dim + 15) / 16 * 16;
    b->kv_head_values = (size_t)(b->shape.head_dim + b->shape.v_stride) * WEIR_KV_BLOCK;
    if (__builtin_mul_overflow(b->kv_head_values, m->n_kv_heads, &b->kv_block_values) ||
        __builtin_mul_overflow(b->kv_block_values, (size_t)m->n_layers * 2, &values) ||
        __builtin_mul_overflow(values, b->n_kv_blocks, &values)) {
        return weir_error(err, WEIR_ERR_LIMIT, "a KV cache of %u blocks cannot be addressed",
                          b->n_kv_blocks);
    }
    return map(values, "the KV cache", &b->kv, &b->kv_bytes, err);
}

static size_t widest_input(const weir_model_t *m)
{
    size_t widest = m->n_embd, q = (size_t)m->n_heads * m->head_dim;

    widest = q > widest ? q : widest;
    return m->n_ff > widest ? m->n_ff : widest;
}

static weir_attn_state_t *place_states(const weir_backend_t *b, carver_t *c, size_t n)
{
    weir_attn_state_t *states = carve(c, n, sizeof(*states));
    float *acc = carve(c, n, b->shape.v_stride * sizeof(float));

    for (size_t i = 0; states != NULL && i < n; i++) {
        states[i].acc = acc + i * b->shape.v_stride;
    }
    return states;
}

static void place_thread(const weir_backend_t *b, carver_t *c, weir_cpu_thread_t *t)
{
    t->matmul = carve(c, 1, weir_matmul_scratch(widest_input(b->model)));
    t->up = carve(c, b->max_rows, 2 * WEIR_TILE_ROWS * sizeof(float));
    t->scores = carve(c, b->unit_queries, WEIR_ATTN_PARTITION * sizeof(float));
    t->states = place_states(b, c, (size_t)2 * b->unit_queries);
    t->queries = carve(c, b->unit_queries, sizeof(*t->queries));
    t->limits = carve(c, b->unit_queries, sizeof(*t->limits));
}

static void place_work(weir_backend_t *b, carver_t *c)
{
    const weir_model_t *m = b->model;
    size_t rows = b->max_rows, half = m->rope.dims / 2;
    uint32_t n_threads = weir_pool_threads(b->pool);

    b->q8_stride = (widest_input(m) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    b->rows = carve(c, rows, sizeof(*b->rows));
    b->tiles = carve(c, rows, sizeof(*b->tiles));
    b->logit_rows = carve(c, rows, sizeof(*b->logit_rows));
    b->x = carve(c, rows, m->n_embd * sizeof(float));
    b->norm = carve(c, rows, m->n_embd * sizeof(float));
    b->qkv = carve(c, rows * m->head_dim, (m->n_heads + 2 * (size_t)m->n_kv_heads) * sizeof(float));
    b->attn = carve(c, rows * m->head_dim, m->n_heads * sizeof(float));
    b->ff = carve(c, rows, m->n_ff * sizeof(float));
    b->cos = carve(c, rows, half * sizeof(float));
    b->sin = carve(c, rows, half * sizeof(float));
    b->rope_frequencies = carve(c, half, sizeof(double));
    b->q8 = carve(c, rows, b->q8_stride);
    b->q8_blocks = carve(c, rows, b->q8_stride / WEIR_BLOCK * sizeof(weir_xblock_t));
    b->split = place_states(b, c, WEIR_ATTN_SPLIT_STATES);
    weir_cpu_thread_t *threads = carve(c, n_threads, sizeof(*threads));
    for (uint32_t i = 0; i < n_threads; i++) {
        weir_cpu_thread_t unused;
        place_thread(b, c, threads != NULL ? &threads[i] : &unused);
    }
    b->threads = threads;
}

static weir_status_t open_work(weir_backend_t *b, weir_error_t *err)
{
    const weir_model_t *m = b->model;
    uint32_t group = m->n_heads / m->n_kv_heads;
    carver_t c = {NULL, 0, false};

    b->unit_queries = group > WEIR_ATTN_UNIT_QUERIES ? group : WEIR_ATTN_UNIT_QUERIES;
    b->q_scale = 1.0f / sqrtf((float)m->head_dim);
    place_work(b, &c);
    if (c.overflow) {
        return weir_error(err, WEIR_ERR_LIMIT, "batches of %u rows cannot be addressed",
                          b->max_rows);
    }
    weir_status_t status = map(c.used, "working memory", &b->work, &b->work_bytes, err);
    if (status != WEIR_OK) {
        return status;
    }
    c = (carver_t){b->work, 0, false};
    place_work(b, &c);
    weir_rope_frequencies(&m->rope, b->rope_frequencies, &b->rope_scale);
    return WEIR_OK;
}

static void cpu_close(weir_backend_t *b)
{
    if (b == NULL) {
        return;
    }
    weir_pool_destroy(b->pool);
    if (b->weights != NULL) {
        munmap(b->weights, b->weights_bytes);
    }
    if (b->kv != NULL) {
        munmap(b->kv, b->kv_bytes);
    }
    if (b->work != NULL) {
        munmap(b->work, b->work_bytes);
    }
    free(b->layers);
    free(b);
}

static weir_status_t open_parts(weir_backend_t *b, const weir_backend_options_t *options,
                                weir_error_t *err)
{
    weir_status_t status = weir_pool_create(options->threads, &b->pool, err);

    if (status == WEIR_OK) {
        status = open_kv(b, err);
    }
    if (status == WEIR_OK) {
        status = open_work(b, err);
    }
    if (status == WEIR_OK) {
        status = load_weights(b, options, err);
    }
    return status;
}

static weir_status_t cpu_open(const weir_model_t *model, const weir_backend_options_t *options,
                              weir_backend_t **out, weir_error_t *err)
{
    const weir_kernels_t *kernels = weir_kernels(options->isa);

    if (kernels == NULL) {
        return weir_error(err, WEIR_ERR_UNSUPPORTED,
                          "instruction set \"%s\": this machine lacks it, or it is none of "
                          "avx512, avx2 and scalar",
                          options->isa);
    }
    if (options->n_kv_blocks == 0 || options->max_rows == 0) {
        return weir_error(err, WEIR_ERR_INVALID, "a back end needs KV blocks and batch rows");
    }
    weir_backend_t *b = calloc(1, sizeof(*b));
    if (b != NULL) {
        b->layers = calloc(model->n_layers > 0 ? model->n_layers : 1, sizeof(*b->layers));
    }
    if (b == NULL || b->layers == NULL) {
        free(b);
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for %u layers", model->n_layers);
    }
    b->model = model;
    b->kernels = kernels;
    b->int8 = options->activations == WEIR_ACTIVATIONS_INT8;
    b->n_kv_blocks = options->n_kv_blocks;
    b->max_rows = options->max_rows;
    b->max_logits = options->max_logits;
    weir_status_t status = open_parts(b, options, err);
    if (status != WEIR_OK) {
        cpu_close(b);
        return status;
    }
    *out = b;
    return WEIR_OK;
}

static void cpu_info(const weir_backend_t *b, weir_backend_info_t *out)
{
    *out = (weir_backend_info_t){
        .name = "cpu",
        .isa = b->kernels->name,
        .threads = weir_pool_threads(b->pool),
        .weight_bytes = b->bytes_per_token,
        .bytes_per_token = b->bytes_per_token,
        .kv_bytes_per_token = b->kv_block_values * 2 / WEIR_KV_BLOCK * (uint64_t)b->model->n_layers,
    };
}

static void cpu_copy_block(weir_backend_t *b, uint32_t dst, uint32_t src)
{
    if (dst != src) {
        memcpy(weir_cpu_kv(b, 0, dst, 0), weir_cpu_kv(b, 0, src, 0),
               b->kv_block_values * sizeof(uint16_t) * b->model->n_layers);
    }
}

static const weir_backend_ops_t ops = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .info = cpu_info,
    .forward = weir_cpu_forward,
    .copy_block = cpu_copy_block,
};

const weir_backend_ops_t *weir_cpu_backend(void)
{
    return &ops;
}

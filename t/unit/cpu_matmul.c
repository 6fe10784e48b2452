/*
 * Products of the CPU back end: every weight type, instruction set and kind of activation, over
 * shapes with odd rows, few columns and each number of activation rows that has a kernel of its
 * own, against a reference in double precision over weir_dequantize.
 */
#include "engine/cpu/kernels.h"
#include "t/support/tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROWS 16 /* of activations */
#define GUARD    8  /* floats behind the outputs that must stay */

static const char *const isas[] = {"scalar", "avx2", "avx512"};
static const weir_dtype_t types[] = {WEIR_DTYPE_F32,  WEIR_DTYPE_F16,  WEIR_DTYPE_BF16,
                                     WEIR_DTYPE_Q8_0, WEIR_DTYPE_Q4_0, WEIR_DTYPE_Q4_1,
                                     WEIR_DTYPE_Q5_0, WEIR_DTYPE_Q4_K, WEIR_DTYPE_Q6_K};

/* One matrix in the file's form, as floats, and packed. */
typedef struct {
    weir_weight_t weight;
    weir_packed_t packed;
    void *blocks;
    float *values;
    uint8_t *data;
} matrix_t;

typedef struct {
    float *f;
    int8_t *q;
    weir_xblock_t *b;
    weir_xrows_t view;
} input_t;

static void *allocate(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);

    if (p == NULL) {
        diag("out of memory");
        exit(1);
    }
    return p;
}

static matrix_t make_matrix(rng_t *rng, weir_dtype_t type, uint32_t rows, uint32_t cols)
{
    matrix_t m = {.weight = {NULL, type, rows, cols}};
    size_t n = (size_t)rows * cols;

    m.values = allocate(n * sizeof(float));
    m.blocks = allocate(rows * weir_dtype_row_bytes(type, cols));
    for (size_t i = 0; i < n; i++) {
        m.values[i] = rng_float(rng);
    }
    weir_quantize(type, m.values, m.blocks, n);
    weir_dequantize(type, m.blocks, m.values, n);
    m.weight.data = m.blocks;
    weir_packed_shape(&m.packed, &m.weight);
    m.data = allocate(weir_packed_bytes(&m.packed));
    memset(m.data, 0xff, weir_packed_bytes(&m.packed));
    m.packed.data = m.data;
    /* In two calls: tiles are independent. */
    uint32_t half = m.packed.n_tiles / 2;
    weir_pack_tiles(&m.packed, &m.weight, m.data, half, m.packed.n_tiles);
    weir_pack_tiles(&m.packed, &m.weight, m.data, 0, half);
    return m;
}

static void free_matrix(matrix_t *m)
{
    free(m->values);
    free(m->blocks);
    free(m->data);
}

static input_t make_input(const weir_kernels_t *k, rng_t *rng, uint32_t cols, bool int8)
{
    input_t x;
    size_t stride = cols + 3, q_stride = (cols + 63) / 64 * 64;

    x.f = allocate(MAX_ROWS * stride * sizeof(float));
    x.q = allocate(MAX_ROWS * q_stride);
    x.b = allocate(MAX_ROWS * (q_stride / WEIR_BLOCK) * sizeof(*x.b));
    for (size_t i = 0; i < MAX_ROWS * stride; i++) {
        x.f[i] = rng_float(rng) * 3.0f;
    }
    for (uint32_t r = 0; int8 && r < MAX_ROWS; r++) {
        k->quantize(x.f + r * stride, x.q + r * q_stride, x.b + r * (q_stride / WEIR_BLOCK), cols);
    }
    x.view = (weir_xrows_t){x.f, x.q, x.b, stride, q_stride, q_stride / WEIR_BLOCK, MAX_ROWS};
    return x;
}

static void free_input(input_t *x)
{
    free(x->f);
    free(x->q);
    free(x->b);
}

/* The activation that the kernel is to see. */
static double activation(const input_t *x, bool int8, uint32_t r, uint32_t c)
{
    if (!int8) {
        return (double)x->f[r * x->view.f_stride + c];
    }
    return (double)x->q[r * x->view.q_stride + c] *
           (double)x->b[r * x->view.b_stride + c / WEIR_BLOCK].d;
}

/* Largest error of n_rows rows of out, relative to the sum of the products' magnitudes. */
static double worst_error(const matrix_t *m, const input_t *x, bool int8, uint32_t n_rows,
                          const float *out, size_t stride, bool added)
{
    double worst = 0;

    for (uint32_t r = 0; r < n_rows; r++) {
        for (uint32_t i = 0; i < m->weight.rows; i++) {
            double sum = added ? 1.0 : 0.0, size = 1.0;
            for (uint32_t c = 0; c < m->weight.cols; c++) {
                double w = (double)m->values[(size_t)i * m->weight.cols + c];
                double p = w * activation(x, int8, r, c);
                sum += p;
                size += fabs(p);
            }
            double error = fabs((double)out[r * stride + i] - sum) / size;
            worst = error > worst || error != error ? (error != error ? 1e9 : error) : worst;
        }
    }
    return worst;
}

static void fill(float *out, size_t n, float value)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = value;
    }
}

static bool guards_whole(const float *out, uint32_t rows, size_t stride, uint32_t n_rows)
{
    for (size_t i = 0; i < MAX_ROWS * stride; i++) {
        bool inside = i / stride < n_rows && i % stride < rows;
        if (!inside && out[i] == out[i]) {
            return false;
        }
    }
    return true;
}

/* All row counts and ways to cut the tiles give the same bits as one row at a time. */
static bool same_as_single(const weir_kernels_t *k, const matrix_t *m, const input_t *x, bool int8,
                           const float *single, float *out, size_t stride, void *scratch)
{
    bool same = true;

    for (uint32_t n = 1; n <= MAX_ROWS; n++) {
        weir_xrows_t view = x->view;
        uint32_t cut = n % (m->packed.n_tiles + 1);
        view.n_rows = n;
        fill(out, MAX_ROWS * stride, NAN);
        k->matmul(&m->packed, &view, int8, cut, m->packed.n_tiles, out + cut * WEIR_TILE_ROWS,
                  stride, false, scratch);
        k->matmul(&m->packed, &view, int8, 0, cut, out, stride, false, scratch);
        same = same && guards_whole(out, m->weight.rows, stride, n);
        for (uint32_t r = 0; r < n; r++) {
            same = same && memcmp(out + r * stride, single + r * stride,
                                  m->weight.rows * sizeof(float)) == 0;
        }
    }
    return same;
}

static void check(const weir_kernels_t *k, rng_t *rng, weir_dtype_t type, uint32_t rows,
                  uint32_t cols, bool int8)
{
    matrix_t m = make_matrix(rng, type, rows, cols);
    input_t x = make_input(k, rng, cols, int8);
    size_t stride = (size_t)m.packed.n_tiles * WEIR_TILE_ROWS + GUARD;
    float *single = allocate(MAX_ROWS * stride * sizeof(float));
    float *out = allocate(MAX_ROWS * stride * sizeof(float));
    void *scratch = allocate(weir_matmul_scratch(cols));
    bool read8 = int8 && weir_dtype_is_quantized(type);

    fill(single, MAX_ROWS * stride, NAN);
    for (uint32_t r = 0; r < MAX_ROWS; r++) {
        weir_xrows_t one = {x.view.f + r * x.view.f_stride,
                            x.view.q + r * x.view.q_stride,
                            x.view.b + r * x.view.b_stride,
                            x.view.f_stride,
                            x.view.q_stride,
                            x.view.b_stride,
                            1};
        k->matmul(&m.packed, &one, int8, 0, m.packed.n_tiles, single + r * stride, stride, false,
                  scratch);
    }
    double error = worst_error(&m, &x, read8, MAX_ROWS, single, stride, false);
    bool same = same_as_single(k, &m, &x, int8, single, out, stride, scratch);
    fill(out, MAX_ROWS * stride, 1.0f);
    k->matmul(&m.packed, &x.view, int8, 0, m.packed.n_tiles, out, stride, true, scratch);
    double add_error = worst_error(&m, &x, read8, MAX_ROWS, out, stride, true);
    ok(error < 2e-6 && add_error < 2e-6 && same && guards_whole(single, rows, stride, MAX_ROWS),
       "%s %s %s %ux%u: error %.1e, added %.1e, %s", k->name, weir_dtype_name(type),
       read8 ? "int8" : "float", rows, cols, error, add_error,
       same ? "equal for all row counts" : "row counts differ");
    free(single);
    free(out);
    free(scratch);
    free_input(&x);
    free_matrix(&m);
}

static void check_type(const weir_kernels_t *k, rng_t *rng, weir_dtype_t type)
{
    static const uint32_t rows[] = {1, 15, 16, 17, 33, 64, 83};
    uint32_t block = weir_dtype_block_values(type);
    uint32_t cols[] = {block, 3 * block, block == 1 ? 37 : 5 * block};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t c = cols[i % 3];
        check(k, rng, type, rows[i], c, false);
        if (weir_dtype_is_quantized(type)) {
            check(k, rng, type, rows[i], c, true);
        }
    }
}

/* Every bit pattern of the weights' bytes, scales aside: the extremes that the rounding of
 * weir_quantize never makes. */
static void check_extremes(const weir_kernels_t *k, rng_t *rng)
{
    for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
        if (!weir_dtype_is_quantized(types[t])) {
            continue;
        }
        uint32_t cols = 2 * WEIR_SUPER_BLOCK, rows = 32;
        matrix_t m = make_matrix(rng, types[t], rows, cols);
        input_t x = make_input(k, rng, cols, true);
        size_t bytes = rows * weir_dtype_row_bytes(types[t], cols);
        uint32_t block = weir_dtype_block_bytes(types[t]);
        uint8_t *p = m.blocks;
        /* Bytes 4.. of most types are weights; Q6_K has its fp16 at the end. */
        for (size_t i = 0; i < bytes; i++) {
            bool weight = types[t] == WEIR_DTYPE_Q6_K ? i % block < 208 : i % block >= 4;
            p[i] = weight ? (uint8_t)rng_below(rng, 256) : p[i];
        }
        for (uint32_t i = 0; i < cols; i++) {
            x.f[i] = i % 2 != 0 ? 1.0f : -1.0f; /* +-127 */
        }
        k->quantize(x.f, x.q, x.b, cols);
        weir_dequantize(types[t], m.blocks, m.values, (size_t)rows * cols);
        weir_pack_tiles(&m.packed, &m.weight, m.data, 0, m.packed.n_tiles);
        float out[32 * MAX_ROWS];
        void *scratch = allocate(weir_matmul_scratch(cols));
        k->matmul(&m.packed, &x.view, true, 0, m.packed.n_tiles, out, 32, false, scratch);
        double error = worst_error(&m, &x, true, MAX_ROWS, out, 32, false);
        ok(error < 2e-6, "%s %s int8: random weight bytes, error %.1e", k->name,
           weir_dtype_name(types[t]), error);
        free(scratch);
        free_input(&x);
        free_matrix(&m);
    }
}

/* 255 times 127 in all four products of a lane: vpmaddubsw would saturate. */
static void check_saturation(const weir_kernels_t *k)
{
    enum { COLS = 64 };
    struct {
        uint16_t d;
        int8_t q[32];
    } __attribute__((packed)) blocks[16][COLS / 32];
    float x[COLS], out[16];
    int8_t q[COLS];
    weir_xblock_t b[COLS / 32];
    weir_weight_t w = {blocks, WEIR_DTYPE_Q8_0, 16, COLS};
    weir_packed_t packed;

    for (int r = 0; r < 16; r++) {
        for (int i = 0; i < COLS / 32; i++) {
            blocks[r][i].d = weir_f32_to_f16(1.0f);
            memset(blocks[r][i].q, r % 2 != 0 ? 127 : -128, 32);
        }
    }
    for (int i = 0; i < COLS; i++) {
        x[i] = 127.0f;
    }
    weir_packed_shape(&packed, &w);
    uint8_t *data = allocate(weir_packed_bytes(&packed));
    void *scratch = allocate(weir_matmul_scratch(COLS));
    packed.data = data;
    weir_pack_tiles(&packed, &w, data, 0, 1);
    k->quantize(x, q, b, COLS);
    weir_xrows_t rows = {x, q, b, COLS, COLS, COLS / 32, 1};
    k->matmul(&packed, &rows, true, 0, 1, out, 16, false, scratch);
    bool good = true;
    for (int r = 0; r < 16; r++) {
        good = good && out[r] == (r % 2 != 0 ? 127.0f : -128.0f) * 127.0f * COLS;
    }
    ok(good, "%s: the largest products of Q8_0 are exact (%g, %g)", k->name, (double)out[0],
       (double)out[1]);
    free(data);
    free(scratch);
}

int main(void)
{
    rng_t rng;

    rng_init(&rng);
    ok(weir_kernels("sse9") == NULL, "an unknown instruction set has no kernels");
    ok(weir_kernels(NULL) != NULL, "every machine has kernels");
    for (size_t i = 0; i < sizeof(isas) / sizeof(isas[0]); i++) {
        const weir_kernels_t *k = weir_kernels(isas[i]);
        if (k == NULL) {
            skip_test("%s: not on this machine", isas[i]);
            continue;
        }
        for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
            check_type(k, &rng, types[t]);
        }
        check_extremes(k, &rng);
        check_saturation(k);
    }
    return done_testing();
}

/*
 * The CPU back end's work on single rows: norms, quantisation, activation, rotation and attention
 * over KV blocks, for every instruction set, against plain loops in double precision.
 */
#include "engine/cpu/kernels.h"
#include "engine/llm/backend.h"
#include "t/support/tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DIM       160
#define MAX_QUERIES   13
#define MAX_POSITIONS (3 * WEIR_ATTN_PARTITION)
#define MAX_BLOCKS    (MAX_POSITIONS / WEIR_KV_BLOCK)

static double difference(float got, double want)
{
    double d = fabs((double)got - want) / (1.0 + fabs(want));

    return d == d ? d : 1e9;
}

static void check_norm(const weir_kernels_t *k, rng_t *rng)
{
    static const size_t sizes[] = {1, 8, 16, 24, 64, 100, 576};
    double worst = 0;
    bool guarded = true;

    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        size_t n = sizes[s];
        float x[577], w[577], out[577];
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            x[i] = rng_float(rng) * 4.0f;
            w[i] = rng_float(rng);
            sum += (double)x[i] * (double)x[i];
        }
        out[n] = 42.0f;
        k->rms_norm(x, w, out, n, 1e-5f);
        for (size_t i = 0; i < n; i++) {
            double want = (double)x[i] / sqrt(sum / (double)n + 1e-5) * (double)w[i];
            double d = difference(out[i], want);
            worst = d > worst ? d : worst;
        }
        guarded = guarded && out[n] == 42.0f;
        k->rms_norm(x, w, x, n, 1e-5f);
        guarded = guarded && memcmp(x, out, n * sizeof(float)) == 0;
    }
    ok(worst < 1e-6 && guarded, "%s: RMS norm, error %.1e, in place too", k->name, worst);
}

static void check_quantize(const weir_kernels_t *k, rng_t *rng)
{
    float x[128];
    int8_t q[128];
    weir_xblock_t b[4];
    bool good = true;

    for (size_t i = 0; i < 128; i++) {
        x[i] = rng_float(rng) * (i < 32 ? 1e-3f : i < 64 ? 1e4f : 0.0f);
    }
    x[96] = INFINITY;
    k->quantize(x, q, b, 128);
    for (size_t i = 0; i < 64; i++) {
        float d = b[i / 32].d;
        good = good && fabs((double)d * q[i] - (double)x[i]) <= 0.5001 * (double)d && q[i] >= -127;
    }
    for (size_t i = 0; i < 2; i++) {
        int32_t low = 0, high = 0;
        for (size_t j = 0; j < 16; j++) {
            low += q[i * 32 + j];
            high += q[i * 32 + 16 + j];
        }
        good = good && b[i].neg_half[0] == -low && b[i].neg_half[1] == -high &&
               b[i].neg_sum == -low - high && b[i].s == b[i].d * (float)(low + high);
    }
    ok(good, "%s: quantisation is within half a step and its sums are right", k->name);
    ok(b[2].d == 0.0f && b[2].s == 0.0f && q[64] == 0, "%s: a block of zeros is zero", k->name);
    ok(b[3].d != b[3].d, "%s: a block with infinity is not a number", k->name);
    x[0] = NAN;
    k->quantize(x, q, b, 32);
    ok(b[0].d != b[0].d && b[0].s != b[0].s, "%s: neither is one with NaN", k->name);
}

static void check_silu(const weir_kernels_t *k)
{
    enum { N = 2003 };
    static float g[N + 1], up[N];
    double worst = 0;
    const int middle = N / 2;

    for (int i = 0; i < N; i++) {
        g[i] = (float)(i - middle) * 0.1f; /* -100 .. 100 */
        up[i] = 1.0f + (float)(i % 7);
    }
    g[N] = 42.0f;
    k->silu_mul(g, up, N);
    for (int i = 0; i < N; i++) {
        double x = (double)((float)(i - middle) * 0.1f);
        double d = difference(g[i], x / (1.0 + exp(-x)) * (double)up[i]);
        worst = d > worst ? d : worst;
    }
    ok(worst < 1e-6 && g[N] == 42.0f, "%s: silu(gate) * up, error %.1e", k->name, worst);
    g[0] = NAN;
    k->silu_mul(g, up, 1);
    ok(g[0] != g[0], "%s: silu keeps NaN", k->name);
}

static void check_rope(const weir_kernels_t *k, rng_t *rng)
{
    double worst = 0;
    bool rest = true;

    for (uint32_t dims = 2; dims <= 64; dims += 6) {
        for (int style = 0; style < 2; style++) {
            float x[64], y[64], c[32], s[32];
            for (uint32_t i = 0; i < 64; i++) {
                x[i] = y[i] = rng_float(rng);
                c[i / 2] = rng_float(rng);
                s[i / 2] = rng_float(rng);
            }
            k->rope(y, c, s, dims, (weir_rope_style_t)style);
            for (uint32_t i = 0; i < dims / 2; i++) {
                uint32_t a = style == WEIR_ROPE_SPLIT ? i : 2 * i;
                uint32_t b = style == WEIR_ROPE_SPLIT ? i + dims / 2 : 2 * i + 1;
                double xa = (double)x[a], xb = (double)x[b], ci = (double)c[i], si = (double)s[i];
                double da = difference(y[a], xa * ci - xb * si);
                double db = difference(y[b], xa * si + xb * ci);
                worst = fmax(worst, fmax(da, db));
            }
            rest = rest && memcmp(x + dims, y + dims, (64 - dims) * sizeof(float)) == 0;
        }
    }
    ok(worst < 1e-6 && rest, "%s: rotation in both styles, error %.1e", k->name, worst);
}

/* A cache of one head whose blocks lie in random order, full of NaN where nothing was written. */
typedef struct {
    weir_attn_shape_t shape;
    uint16_t *cache;
    const uint16_t *blocks[MAX_BLOCKS];
    float k[MAX_POSITIONS][MAX_DIM], v[MAX_POSITIONS][MAX_DIM]; /* as stored: f16 values */
    float q[MAX_QUERIES][MAX_DIM];
} attn_case_t;

static void fill_cache(attn_case_t *c, const weir_kernels_t *k, rng_t *rng, uint32_t n)
{
    size_t block_values = (size_t)(c->shape.head_dim + c->shape.v_stride) * WEIR_KV_BLOCK;

    c->cache = malloc(MAX_BLOCKS * block_values * sizeof(uint16_t));
    if (c->cache == NULL) {
        exit(1);
    }
    memset(c->cache, 0xff, MAX_BLOCKS * block_values * sizeof(uint16_t)); /* NaN */
    for (uint32_t i = 0; i < MAX_BLOCKS; i++) {
        c->blocks[i] = c->cache + (MAX_BLOCKS - 1 - i) * block_values;
    }
    for (uint32_t p = 0; p < n; p++) {
        uint16_t *block = c->cache + (MAX_BLOCKS - 1 - p / WEIR_KV_BLOCK) * block_values;
        for (uint32_t d = 0; d < c->shape.head_dim; d++) {
            c->k[p][d] = weir_f16_to_f32(weir_f32_to_f16(rng_float(rng) * 2.0f));
            c->v[p][d] = weir_f16_to_f32(weir_f32_to_f16(rng_float(rng)));
        }
        k->kv_write(&c->shape, c->k[p], c->v[p], block, p % WEIR_KV_BLOCK);
    }
}

static double reference_error(const attn_case_t *c, uint32_t query, uint32_t n, const float *out)
{
    double scores[MAX_POSITIONS], max = -1e300, sum = 0, worst = 0;

    for (uint32_t p = 0; p < n; p++) {
        scores[p] = 0;
        for (uint32_t d = 0; d < c->shape.head_dim; d++) {
            scores[p] += (double)c->q[query][d] * (double)c->k[p][d];
        }
        max = fmax(max, scores[p]);
    }
    for (uint32_t p = 0; p < n; p++) {
        scores[p] = exp(scores[p] - max);
        sum += scores[p];
    }
    for (uint32_t d = 0; d < c->shape.head_dim; d++) {
        double want = 0;
        for (uint32_t p = 0; p < n; p++) {
            want += scores[p] / sum * (double)c->v[p][d];
        }
        worst = fmax(worst, difference(out[d], want));
    }
    return worst;
}

/* Runs queries first .. last - 1 over all their positions, as the back end does. */
static void run_queries(const weir_kernels_t *k, const attn_case_t *c, uint32_t first,
                        uint32_t last, const uint32_t *seen, float out[][MAX_DIM])
{
    static float acc[2][MAX_QUERIES][MAX_DIM];
    static float scores[MAX_QUERIES * WEIR_ATTN_PARTITION];
    weir_attn_state_t total[MAX_QUERIES], part[MAX_QUERIES];

    for (uint32_t i = 0; i < MAX_QUERIES; i++) {
        total[i].acc = acc[0][i];
        part[i].acc = acc[1][i];
    }
    uint32_t start = first;
    for (uint32_t at = 0; at < seen[last - 1]; at += WEIR_ATTN_PARTITION) {
        const float *q[MAX_QUERIES];
        uint32_t limit[MAX_QUERIES], n = 0;
        while (seen[start] <= at) {
            start++;
        }
        for (uint32_t i = start; i < last; i++, n++) {
            q[n] = c->q[i];
            limit[n] = seen[i] - at < WEIR_ATTN_PARTITION ? seen[i] - at : WEIR_ATTN_PARTITION;
        }
        k->attend(&c->shape, c->blocks + at / WEIR_KV_BLOCK, n, q, limit, at == 0 ? total : part,
                  scores);
        for (uint32_t i = 0; at > 0 && i < n; i++) {
            k->attn_merge(&c->shape, &total[start - first + i], &part[i]);
        }
    }
    for (uint32_t i = first; i < last; i++) {
        k->attn_finish(&c->shape, &total[i - first], out[i]);
    }
}

static void check_attention(const weir_kernels_t *k, rng_t *rng, uint32_t head_dim)
{
    attn_case_t *c = calloc(1, sizeof(*c));
    float together[MAX_QUERIES][MAX_DIM], alone[MAX_QUERIES][MAX_DIM];
    uint32_t seen[MAX_QUERIES], at = 1 + rng_below(rng, 4), n = MAX_QUERIES;
    double worst = 0;
    bool same = true;

    if (c == NULL) {
        exit(1);
    }
    c->shape = (weir_attn_shape_t){head_dim, (head_dim + 15) / 16 * 16};
    for (uint32_t i = 0; i < n; i++) {
        seen[i] = at;
        at += i % 3 == 0 ? 0 : rng_below(rng, 40); /* equal limits in runs, like heads of a row */
        at = at < MAX_POSITIONS ? at : MAX_POSITIONS;
        for (uint32_t d = 0; d < head_dim; d++) {
            c->q[i][d] = rng_float(rng);
        }
    }
    fill_cache(c, k, rng, seen[n - 1]);
    memset(together, 0xff, sizeof(together));
    run_queries(k, c, 0, n, seen, together);
    for (uint32_t i = 0; i < n; i++) {
        run_queries(k, c, i, i + 1, seen, alone);
        same = same && memcmp(together[i], alone[i], head_dim * sizeof(float)) == 0;
        worst = fmax(worst, reference_error(c, i, seen[i], together[i]));
    }
    ok(worst < 3e-5 && same, "%s: attention, heads of %u, up to %u positions, error %.1e, %s",
       k->name, head_dim, seen[n - 1], worst,
       same ? "each query alone the same" : "queries depend on each other");
    free(c->cache);
    free(c);
}

static void check_kv_range(const weir_kernels_t *k)
{
    weir_attn_shape_t shape = {16, 16};
    uint16_t block[2 * 16 * 16] = {0};
    float big[16], nan[16];

    for (int i = 0; i < 16; i++) {
        big[i] = i % 2 != 0 ? 1e6f : -1e6f;
        nan[i] = NAN;
    }
    k->kv_write(&shape, big, nan, block, 3);
    ok(weir_f16_to_f32(block[16 + 3]) == 65504.0f && weir_f16_to_f32(block[3]) == -65504.0f,
       "%s: keys beyond the range of f16 are held at its ends", k->name);
    float v = weir_f16_to_f32(block[16 * 16 + 3 * 16]);
    ok(v != v, "%s: NaN in a value stays", k->name);
}

int main(void)
{
    static const char *const isas[] = {"scalar", "avx2", "avx512"};
    static const uint32_t head_dims[] = {8, 16, 20, 64, 80, 128, 160};
    rng_t rng;

    rng_init(&rng);
    for (size_t i = 0; i < sizeof(isas) / sizeof(isas[0]); i++) {
        const weir_kernels_t *k = weir_kernels(isas[i]);
        if (k == NULL) {
            skip_test("%s: not on this machine", isas[i]);
            continue;
        }
        check_norm(k, &rng);
        check_quantize(k, &rng);
        check_silu(k);
        check_rope(k, &rng);
        for (size_t h = 0; h < sizeof(head_dims) / sizeof(head_dims[0]); h++) {
            check_attention(k, &rng, head_dims[h]);
        }
        check_kv_range(k);
    }
    return done_testing();
}

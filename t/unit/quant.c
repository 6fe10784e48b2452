/* Weight types: sizes, layouts by hand-made blocks, conversions, and the generator's quantiser. */
#include "engine/llm/quant.h"

#include <math.h>
#include <string.h>

#include "t/support/tap.h"

static const weir_dtype_t types[] = {WEIR_DTYPE_F32,  WEIR_DTYPE_F16,  WEIR_DTYPE_BF16,
                                     WEIR_DTYPE_Q8_0, WEIR_DTYPE_Q4_0, WEIR_DTYPE_Q4_1,
                                     WEIR_DTYPE_Q5_0, WEIR_DTYPE_Q4_K, WEIR_DTYPE_Q6_K};
#define N_TYPES (sizeof(types) / sizeof(types[0]))

static void test_sizes(void)
{
    static const uint32_t bytes[] = {4, 2, 2, 34, 18, 20, 22, 144, 210};
    static const uint32_t values[] = {1, 1, 1, 32, 32, 32, 32, 256, 256};
    for (size_t i = 0; i < N_TYPES; i++) {
        ok(weir_dtype_supported(types[i]) && weir_dtype_block_bytes(types[i]) == bytes[i] &&
               weir_dtype_block_values(types[i]) == values[i] &&
               weir_dtype_row_bytes(types[i], 512) == (size_t)512 / values[i] * bytes[i],
           "%s has %u bytes for %u values", weir_dtype_name(types[i]), bytes[i], values[i]);
    }
    ok(!weir_dtype_supported(4) && weir_dtype_block_bytes(4) == 0 &&
           strcmp(weir_dtype_name(4), "?") == 0,
       "others are unknown");
}

/* Blocks of known content; f16 0x3800 is 0.5, 0x3C00 1, 0xC000 -2. */
static void test_layouts(void)
{
    float y[256];
    uint8_t q4_0[18] = {0x00, 0x38, 0x0F, 0x80};
    weir_dequantize(WEIR_DTYPE_Q4_0, q4_0, y, 32);
    ok(y[0] == 3.5f && y[16] == -4 && y[1] == -4 && y[17] == 0 && y[31] == -4, "Q4_0");

    uint8_t q4_1[20] = {0x00, 0x38, 0x00, 0xC0, 0x0F, 0x80};
    weir_dequantize(WEIR_DTYPE_Q4_1, q4_1, y, 32);
    ok(y[0] == 5.5f && y[16] == -2 && y[1] == -2 && y[17] == 2, "Q4_1");

    uint8_t q5_0[22] = {0x00, 0x38, 0x01, 0x00, 0x02, 0x00, 0x0F, 0x80};
    weir_dequantize(WEIR_DTYPE_Q5_0, q5_0, y, 32);
    ok(y[0] == 7.5f && y[16] == -8 && y[1] == -8 && y[17] == 4, "Q5_0");

    uint8_t q8_0[34] = {0x00, 0x38, 0x7F, 0x80};
    weir_dequantize(WEIR_DTYPE_Q8_0, q8_0, y, 32);
    ok(y[0] == 63.5f && y[1] == -64 && y[2] == 0, "Q8_0");

    /* d 1, dmin 0.5; sub-block 0 has scale 3, minimum 2; sub-block 5 scale 0x2A, minimum 0x15,
     * both split over two places; sub-block 5 is the high nibbles of bytes 64..95. */
    uint8_t q4_k[144] = {0x00, 0x3C, 0x00, 0x38};
    q4_k[4] = 3;
    q4_k[8] = 2;
    q4_k[5] = 0x2 << 6;           /* upper bits of scale 5 above scale 1 */
    q4_k[9] = 0x1 << 6;           /* upper bits of minimum 5 above minimum 1 */
    q4_k[4 + 9] = 0xA | 0x5 << 4; /* lower nibbles of both */
    q4_k[16] = 0x0B;              /* value 0: 11 */
    q4_k[16 + 64] = 0xC0;         /* value 160: 12 */
    weir_dequantize(WEIR_DTYPE_Q4_K, q4_k, y, 256);
    ok(y[0] == 3 * 11 - 0.5f * 2 && y[1] == -1 && y[32] == 0, "Q4_K, first sub-block");
    ok(y[160] == 42 * 12 - 0.5f * 21 && y[161] == -10.5f, "Q4_K, a split scale");

    uint8_t q6_k[210] = {0};
    q6_k[208] = 0x00;
    q6_k[209] = 0x38;
    memset(q6_k + 192, 1, 16);
    q6_k[192 + 3] = 0xFE; /* scale of values 48..63: -2 */
    q6_k[0] = 0x0F;       /* value 0, low nibble */
    q6_k[128] = 0x02;     /* value 0, high bits 2: 47 */
    q6_k[33] = 0x05;      /* value 33 (second quarter), low nibble 5 */
    q6_k[64 + 32] = 0x70; /* value 224 (second half, last quarter), low nibble 7 */
    q6_k[160] = 0xC0;     /* value 224, high bits 3: 55 */
    weir_dequantize(WEIR_DTYPE_Q6_K, q6_k, y, 256);
    ok(y[0] == 7.5f && y[1] == -16, "Q6_K, first values");
    ok(y[33] == 0.5f * (5 - 32) && y[224] == 0.5f * 23 && y[48] == 32, "Q6_K, other quarters");
}

static void test_f16(void)
{
    bool same = true;
    bool nan_kept = true;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = weir_f16_to_f32((uint16_t)h);
        if (isnan(f)) {
            nan_kept = nan_kept && isnan(weir_f16_to_f32(weir_f32_to_f16(f)));
        } else {
            same = same && weir_f32_to_f16(f) == h;
        }
    }
    ok(same, "every f16 survives the way to f32 and back");
    ok(nan_kept, "NaN stays NaN");
    static const struct {
        float f;
        uint16_t h;
    } cases[] = {
        {1.0f, 0x3C00},         {65504, 0x7BFF},         {65519.996f, 0x7BFF}, {65520, 0x7C00},
        {1e30f, 0x7C00},        {INFINITY, 0x7C00},      {-INFINITY, 0xFC00},  {-0.0f, 0x8000},
        {0x1p-24f, 0x0001},     {0x1p-25f, 0x0000},      {0x1.8p-25f, 0x0001}, {0x1.8p-24f, 0x0002},
        {0x1.ff8p-15f, 0x03FF}, {0x1.ffcp-15f, 0x0400},  {0x1.002p0f, 0x3C00}, {0x1.006p0f, 0x3C02},
        {1e-30f, 0x0000},       {0x1.002002p0f, 0x3C01},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        is_int(weir_f32_to_f16(cases[i].f), cases[i].h, "%a to f16", (double)cases[i].f);
    }
    same = true;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = weir_bf16_to_f32((uint16_t)h);
        same = same &&
               (isnan(f) ? isnan(weir_bf16_to_f32(weir_f32_to_bf16(f))) : weir_f32_to_bf16(f) == h);
    }
    ok(same, "every bf16 survives the way to f32 and back");
    ok(weir_f32_to_bf16(0x1.01p0f) == 0x3F80 && weir_f32_to_bf16(0x1.03p0f) == 0x3F82,
       "bf16 rounds halves to even");
}

/* The error that rounding to the type may cost, as a part of the block's largest magnitude. */
static float bound(weir_dtype_t type)
{
    switch (type) {
    case WEIR_DTYPE_F32:
        return 0;
    case WEIR_DTYPE_F16:
        return 0x1p-11f;
    case WEIR_DTYPE_BF16:
        return 0x1p-8f;
    case WEIR_DTYPE_Q8_0:
        return 0.6f / 127;
    case WEIR_DTYPE_Q5_0:
        return 1.1f / 16;
    case WEIR_DTYPE_Q6_K:
        return 1.5f / 32;
    case WEIR_DTYPE_Q4_0:
        return 1.1f / 8;
    default:
        return 2.5f / 15;
    }
}

static void test_quantize(rng_t *rng)
{
    for (size_t i = 0; i < N_TYPES; i++) {
        float worst = 0;
        for (int round = 0; round < 200; round++) {
            float x[512];
            float y[512];
            uint8_t blocks[2048];
            float scale = ldexpf(1, (int)rng_below(rng, 16) - 8);
            float shift = rng_below(rng, 2) == 0 ? 0 : scale * rng_float(rng);
            float most = 0;
            for (int j = 0; j < 512; j++) {
                x[j] = scale * rng_float(rng) + shift;
                most = fabsf(x[j]) > most ? fabsf(x[j]) : most;
            }
            weir_quantize(types[i], x, blocks, 512);
            weir_dequantize(types[i], blocks, y, 512);
            for (int j = 0; j < 512; j++) {
                float error = fabsf(x[j] - y[j]) / most;
                worst = error > worst ? error : worst;
            }
        }
        ok(worst <= bound(types[i]), "%s rounds to within %.4f of the largest value (worst %.4f)",
           weir_dtype_name(types[i]), (double)bound(types[i]), (double)worst);
    }
    bool zero = true;
    for (size_t i = 0; i < N_TYPES; i++) {
        float x[256] = {0};
        float y[256];
        uint8_t blocks[1024];
        weir_quantize(types[i], x, blocks, 256);
        weir_dequantize(types[i], blocks, y, 256);
        for (int j = 0; j < 256; j++) {
            zero = zero && y[j] == 0;
        }
    }
    ok(zero, "zeros stay zeros in every type");
}

int main(void)
{
    rng_t rng;
    rng_init(&rng);
    test_sizes();
    test_layouts();
    test_f16();
    test_quantize(&rng);
    return done_testing();
}

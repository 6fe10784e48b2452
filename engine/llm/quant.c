/*
 * Block layouts as facts of the format (ggml-common.h of ggml-org/ggml):
 *   Q4_0  f16 d, 16 bytes of nibbles                       w = d (q - 8)
 *   Q4_1  f16 d, f16 m, 16 bytes of nibbles                w = d q + m
 *   Q5_0  f16 d, 32 high bits, 16 bytes of nibbles         w = d (q - 16)
 *   Q8_0  f16 d, 32 int8                                   w = d q
 *   Q4_K  f16 d, f16 dmin, 12 bytes of 6-bit scales and minima of 8 sub-blocks of 32,
 *         128 bytes of nibbles                             w = d s q - dmin m
 *   Q6_K  128 bytes of low nibbles, 64 of high bit pairs, 16 int8 scales of sub-blocks of 16,
 *         f16 d                                            w = d s (q - 32)
 * In the 32-value types the low nibbles are values 0..15, the high ones 16..31.
 */
#include "engine/llm/quant.h"

#include <math.h>
#include <string.h>

typedef struct {
    uint32_t type;
    uint32_t values;
    uint32_t bytes;
    const char *name;
} layout_t;

static const layout_t layouts[] = {
    {WEIR_DTYPE_F32, 1, 4, "F32"},       {WEIR_DTYPE_F16, 1, 2, "F16"},
    {WEIR_DTYPE_Q4_0, 32, 18, "Q4_0"},   {WEIR_DTYPE_Q4_1, 32, 20, "Q4_1"},
    {WEIR_DTYPE_Q5_0, 32, 22, "Q5_0"},   {WEIR_DTYPE_Q8_0, 32, 34, "Q8_0"},
    {WEIR_DTYPE_Q4_K, 256, 144, "Q4_K"}, {WEIR_DTYPE_Q6_K, 256, 210, "Q6_K"},
    {WEIR_DTYPE_BF16, 1, 2, "BF16"},
};

static const layout_t *find_layout(uint32_t type)
{
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
        if (layouts[i].type == type) {
            return &layouts[i];
        }
    }
    return NULL;
}

bool weir_dtype_supported(uint32_t type)
{
    return find_layout(type) != NULL;
}

const char *weir_dtype_name(uint32_t type)
{
    const layout_t *l = find_layout(type);
    return l == NULL ? "?" : l->name;
}

uint32_t weir_dtype_block_values(uint32_t type)
{
    const layout_t *l = find_layout(type);
    return l == NULL ? 0 : l->values;
}

uint32_t weir_dtype_block_bytes(uint32_t type)
{
    const layout_t *l = find_layout(type);
    return l == NULL ? 0 : l->bytes;
}

size_t weir_dtype_row_bytes(weir_dtype_t type, size_t cols)
{
    const layout_t *l = find_layout(type);
    return l == NULL ? 0 : cols / l->values * l->bytes;
}

static float float_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof(f));
    return f;
}

static uint32_t bits_of_float(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof(bits));
    return bits;
}

float weir_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = h >> 10 & 0x1F;
    uint32_t mantissa = h & 0x3FF;
    if (exponent == 0x1F) {
        return float_of_bits(sign | 0x7F800000 | mantissa << 13);
    }
    if (exponent != 0) {
        return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    }
    /* Zero and subnormals: mantissa x 2^-24, exact in float32. */
    float value = (float)mantissa * 0x1p-24f;
    return sign != 0 ? -value : value;
}

uint16_t weir_f32_to_f16(float f)
{
    uint32_t bits = bits_of_float(f);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) {
        return (uint16_t)(sign | 0x7E00);
    }
    if (magnitude >= 0x477FF000) { /* rounds to 65536 or more */
        return (uint16_t)(sign | 0x7C00);
    }
    if (magnitude < 0x38800000) { /* below 2^-14: a multiple of 2^-24 */
        /* Adding 0.5 makes 2^-24 the unit in the last place, so the addition itself rounds. */
        uint32_t rounded = bits_of_float(float_of_bits(magnitude) + 0.5f);
        return (uint16_t)(sign | (rounded - 0x3F000000));
    }
    uint32_t odd = magnitude >> 13 & 1;
    return (uint16_t)(sign | ((magnitude - 0x38000000 + 0xFFF + odd) >> 13));
}

float weir_bf16_to_f32(uint16_t h)
{
    return float_of_bits((uint32_t)h << 16);
}

uint16_t weir_f32_to_bf16(float f)
{
    uint32_t bits = bits_of_float(f);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) {
        return (uint16_t)(bits >> 16 | 0x40);
    }
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static uint16_t read_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static float read_f16(const uint8_t *p)
{
    return weir_f16_to_f32(read_u16(p));
}

static void write_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void dequantize_f32(const uint8_t *b, float *y)
{
    memcpy(y, b, sizeof(*y));
}

static void dequantize_f16(const uint8_t *b, float *y)
{
    *y = read_f16(b);
}

static void dequantize_bf16(const uint8_t *b, float *y)
{
    *y = weir_bf16_to_f32(read_u16(b));
}

static void dequantize_q4_0(const uint8_t *b, float *y)
{
    float d = read_f16(b);
    for (int i = 0; i < 16; i++) {
        y[i] = (float)((b[2 + i] & 15) - 8) * d;
        y[i + 16] = (float)((b[2 + i] >> 4) - 8) * d;
    }
}

static void dequantize_q4_1(const uint8_t *b, float *y)
{
    float d = read_f16(b);
    float m = read_f16(b + 2);
    for (int i = 0; i < 16; i++) {
        y[i] = (float)(b[4 + i] & 15) * d + m;
        y[i + 16] = (float)(b[4 + i] >> 4) * d + m;
    }
}

static void dequantize_q5_0(const uint8_t *b, float *y)
{
    float d = read_f16(b);
    uint32_t high = (uint32_t)read_u16(b + 2) | (uint32_t)read_u16(b + 4) << 16;
    for (int i = 0; i < 16; i++) {
        int low_bit = (int)(high >> i & 1);
        int high_bit = (int)(high >> (i + 16) & 1);
        y[i] = (float)((b[6 + i] & 15) + low_bit * 16 - 16) * d;
        y[i + 16] = (float)((b[6 + i] >> 4) + high_bit * 16 - 16) * d;
    }
}

static void dequantize_q8_0(const uint8_t *b, float *y)
{
    float d = read_f16(b);
    for (int i = 0; i < 32; i++) {
        y[i] = (float)(int8_t)b[2 + i] * d;
    }
}

/* Six-bit scale and minimum of sub-block j: the first four stand whole in bytes 0-7, the others in
 * the nibbles of bytes 8-11 with their upper two bits on top of bytes 0-7. */
static void read_k4_scale(const uint8_t *s, int j, unsigned *scale, unsigned *min)
{
    if (j < 4) {
        *scale = s[j] & 63u;
        *min = s[j + 4] & 63u;
    } else {
        *scale = (s[j + 4] & 15u) | (unsigned)(s[j - 4] >> 6) << 4;
        *min = (unsigned)(s[j + 4] >> 4) | (unsigned)(s[j] >> 6) << 4;
    }
}

static void write_k4_scale(uint8_t *s, int j, unsigned scale, unsigned min)
{
    if (j < 4) {
        s[j] = (uint8_t)((s[j] & 0xC0u) | scale);
        s[j + 4] = (uint8_t)((s[j + 4] & 0xC0u) | min);
    } else {
        s[j + 4] = (uint8_t)((scale & 15u) | (min & 15u) << 4);
        s[j - 4] = (uint8_t)((s[j - 4] & 63u) | scale >> 4 << 6);
        s[j] = (uint8_t)((s[j] & 63u) | min >> 4 << 6);
    }
}

static void dequantize_q4_k(const uint8_t *b, float *y)
{
    float d = read_f16(b);
    float dmin = read_f16(b + 2);
    const uint8_t *q = b + 16;
    for (int j = 0; j < 8; j++) {
        unsigned scale;
        unsigned min;
        read_k4_scale(b + 4, j, &scale, &min);
        float s = d * (float)scale;
        float m = dmin * (float)min;
        int shift = j % 2 * 4;
        for (int i = 0; i < 32; i++) {
            y[32 * j + i] = s * (float)(q[j / 2 * 32 + i] >> shift & 15) - m;
        }
    }
}

/* Where value i (0..255) of a Q6_K block lies: byte and shift of its nibble and of its two bits. */
static void q6_k_position(int i, int *low, int *low_shift, int *high, int *high_shift)
{
    int half = i / 128;
    int quarter = i % 128 / 32;
    *low = half * 64 + quarter % 2 * 32 + i % 32;
    *low_shift = quarter / 2 * 4;
    *high = half * 32 + i % 32;
    *high_shift = quarter * 2;
}

static void dequantize_q6_k(const uint8_t *b, float *y)
{
    const uint8_t *ql = b;
    const uint8_t *qh = b + 128;
    const int8_t *scales = (const int8_t *)(b + 192);
    float d = read_f16(b + 208);
    for (int i = 0; i < 256; i++) {
        int low, low_shift, high, high_shift;
        int sub_block = i / 16;
        q6_k_position(i, &low, &low_shift, &high, &high_shift);
        int q = (ql[low] >> low_shift & 15) | (qh[high] >> high_shift & 3) << 4;
        y[i] = d * (float)scales[sub_block] * (float)(q - 32);
    }
}

typedef void (*dequantize_fn)(const uint8_t *block, float *y);

static dequantize_fn dequantizer(weir_dtype_t type)
{
    switch (type) {
    case WEIR_DTYPE_F32:
        return dequantize_f32;
    case WEIR_DTYPE_F16:
        return dequantize_f16;
    case WEIR_DTYPE_Q4_0:
        return dequantize_q4_0;
    case WEIR_DTYPE_Q4_1:
        return dequantize_q4_1;
    case WEIR_DTYPE_Q5_0:
        return dequantize_q5_0;
    case WEIR_DTYPE_Q8_0:
        return dequantize_q8_0;
    case WEIR_DTYPE_Q4_K:
        return dequantize_q4_k;
    case WEIR_DTYPE_Q6_K:
        return dequantize_q6_k;
    case WEIR_DTYPE_BF16:
        return dequantize_bf16;
    }
    return NULL;
}

void weir_dequantize(weir_dtype_t type, const void *src, float *dst, size_t n)
{
    dequantize_fn f = dequantizer(type);
    size_t values = weir_dtype_block_values(type);
    size_t bytes = weir_dtype_block_bytes(type);
    const uint8_t *b = src;
    for (size_t i = 0; f != NULL && i < n; i += values, b += bytes) {
        f(b, dst + i);
    }
}

static int clamp_round(float v, int low, int high)
{
    float r = roundf(v);
    return !(r > (float)low) ? low : r > (float)high ? high : (int)r; /* NaN gives low */
}

static float inverse(float d)
{
    return d == 0 ? 0 : 1 / d;
}

/* The value of largest magnitude, with its sign. */
static float extreme(const float *x, int n)
{
    float best = 0;
    for (int i = 0; i < n; i++) {
        best = fabsf(x[i]) > fabsf(best) ? x[i] : best;
    }
    return best;
}

static void min_max(const float *x, int n, float *min, float *max)
{
    *min = *max = x[0];
    for (int i = 1; i < n; i++) {
        *min = x[i] < *min ? x[i] : *min;
        *max = x[i] > *max ? x[i] : *max;
    }
}

static void quantize_q4_0(const float *x, uint8_t *b)
{
    uint16_t h = weir_f32_to_f16(extreme(x, 32) / -8);
    float id = inverse(weir_f16_to_f32(h));
    write_u16(b, h);
    for (int i = 0; i < 16; i++) {
        int low = clamp_round(x[i] * id + 8, 0, 15);
        int high = clamp_round(x[i + 16] * id + 8, 0, 15);
        b[2 + i] = (uint8_t)(low | high << 4);
    }
}

static void quantize_q4_1(const float *x, uint8_t *b)
{
    float min, max;
    min_max(x, 32, &min, &max);
    uint16_t d = weir_f32_to_f16((max - min) / 15);
    uint16_t m = weir_f32_to_f16(min);
    float id = inverse(weir_f16_to_f32(d));
    float base = weir_f16_to_f32(m);
    write_u16(b, d);
    write_u16(b + 2, m);
    for (int i = 0; i < 16; i++) {
        int low = clamp_round((x[i] - base) * id, 0, 15);
        int high = clamp_round((x[i + 16] - base) * id, 0, 15);
        b[4 + i] = (uint8_t)(low | high << 4);
    }
}

static void quantize_q5_0(const float *x, uint8_t *b)
{
    uint16_t h = weir_f32_to_f16(extreme(x, 32) / -16);
    float id = inverse(weir_f16_to_f32(h));
    uint32_t bits = 0;
    write_u16(b, h);
    for (int i = 0; i < 16; i++) {
        unsigned low = (unsigned)clamp_round(x[i] * id + 16, 0, 31);
        unsigned high = (unsigned)clamp_round(x[i + 16] * id + 16, 0, 31);
        b[6 + i] = (uint8_t)((low & 15) | (high & 15) << 4);
        bits |= low >> 4 << i | high >> 4 << (i + 16);
    }
    write_u16(b + 2, (uint16_t)bits);
    write_u16(b + 4, (uint16_t)(bits >> 16));
}

static void quantize_q8_0(const float *x, uint8_t *b)
{
    uint16_t h = weir_f32_to_f16(fabsf(extreme(x, 32)) / 127);
    float id = inverse(weir_f16_to_f32(h));
    write_u16(b, h);
    for (int i = 0; i < 32; i++) {
        b[2 + i] = (uint8_t)(int8_t)clamp_round(x[i] * id, -127, 127);
    }
}

static void quantize_q4_k(const float *x, uint8_t *b)
{
    float scale[8], min[8], max_scale = 0, max_min = 0;
    for (int j = 0; j < 8; j++) {
        float low, high;
        min_max(x + 32 * j, 32, &low, &high);
        low = low > 0 ? 0 : low; /* the minimum is subtracted, so it cannot lie above zero */
        high = high < low ? low : high;
        scale[j] = (high - low) / 15;
        min[j] = -low;
        max_scale = scale[j] > max_scale ? scale[j] : max_scale;
        max_min = min[j] > max_min ? min[j] : max_min;
    }
    uint16_t d = weir_f32_to_f16(max_scale / 63);
    uint16_t dmin = weir_f32_to_f16(max_min / 63);
    float fd = weir_f16_to_f32(d);
    float fdmin = weir_f16_to_f32(dmin);
    memset(b, 0, 144);
    write_u16(b, d);
    write_u16(b + 2, dmin);
    for (int j = 0; j < 8; j++) {
        int s = clamp_round(scale[j] * inverse(fd), 0, 63);
        int m = clamp_round(min[j] * inverse(fdmin), 0, 63);
        write_k4_scale(b + 4, j, (unsigned)s, (unsigned)m);
        float id = inverse(fd * (float)s);
        float base = fdmin * (float)m;
        for (int i = 0; i < 32; i++) {
            int q = clamp_round((x[32 * j + i] + base) * id, 0, 15);
            b[16 + j / 2 * 32 + i] |= (uint8_t)(q << (j % 2 * 4));
        }
    }
}

static void quantize_q6_k(const float *x, uint8_t *b)
{
    float scale[16], max_scale = 0;
    for (int j = 0; j < 16; j++) {
        scale[j] = extreme(x + 16 * j, 16) / -32;
        max_scale = fabsf(scale[j]) > fabsf(max_scale) ? scale[j] : max_scale;
    }
    uint16_t d = weir_f32_to_f16(max_scale / -128);
    float fd = weir_f16_to_f32(d);
    memset(b, 0, 210);
    write_u16(b + 208, d);
    for (int j = 0; j < 16; j++) {
        int s = clamp_round(scale[j] * inverse(fd), -128, 127);
        b[192 + j] = (uint8_t)(int8_t)s;
        float id = inverse(fd * (float)s);
        for (int i = 16 * j; i < 16 * j + 16; i++) {
            int low, low_shift, high, high_shift;
            q6_k_position(i, &low, &low_shift, &high, &high_shift);
            int q = clamp_round(x[i] * id + 32, 0, 63);
            b[low] |= (uint8_t)((q & 15) << low_shift);
            b[128 + high] |= (uint8_t)(q >> 4 << high_shift);
        }
    }
}

static void quantize_block(weir_dtype_t type, const float *x, uint8_t *b)
{
    switch (type) {
    case WEIR_DTYPE_F32:
        memcpy(b, x, sizeof(*x));
        break;
    case WEIR_DTYPE_F16:
        write_u16(b, weir_f32_to_f16(*x));
        break;
    case WEIR_DTYPE_BF16:
        write_u16(b, weir_f32_to_bf16(*x));
        break;
    case WEIR_DTYPE_Q4_0:
        quantize_q4_0(x, b);
        break;
    case WEIR_DTYPE_Q4_1:
        quantize_q4_1(x, b);
        break;
    case WEIR_DTYPE_Q5_0:
        quantize_q5_0(x, b);
        break;
    case WEIR_DTYPE_Q8_0:
        quantize_q8_0(x, b);
        break;
    case WEIR_DTYPE_Q4_K:
        quantize_q4_k(x, b);
        break;
    case WEIR_DTYPE_Q6_K:
        quantize_q6_k(x, b);
        break;
    }
}

void weir_quantize(weir_dtype_t type, const float *src, void *dst, size_t n)
{
    size_t values = weir_dtype_block_values(type);
    size_t bytes = weir_dtype_block_bytes(type);
    uint8_t *b = dst;
    for (size_t i = 0; values > 0 && i + values <= n; i += values, b += bytes) {
        quantize_block(type, src + i, b);
    }
}

/* The choice among the vector loops, and the portable ones. */
#include "guardrails/vector.h"

#include <stdbool.h>
#include <string.h>

static bool is_digit(unsigned char c)
{
    return (unsigned)(c - '0') < 10;
}

static bool is_upper(unsigned char c)
{
    return (unsigned)(c - 'A') < 26;
}

static bool is_alpha(unsigned char c)
{
    return (unsigned)((c | 0x20) - 'a') < 26;
}

static void classify(const char *text, size_t blocks, weir_guard_bits_t *bits)
{
    for (size_t b = 0; b < blocks; b++) {
        bits[b] = (weir_guard_bits_t){0};
        for (unsigned i = 0; i < WEIR_BLOCK; i++) {
            unsigned char c = (unsigned char)text[b * WEIR_BLOCK + i];
            unsigned char next = (unsigned char)text[b * WEIR_BLOCK + i + 1];
            bool mark = c == '@' || c == ':' || (c == '.' && next > ' ');
            bits[b].digit |= (uint64_t)is_digit(c) << i;
            bits[b].mark |= (uint64_t)mark << i;
            bits[b].upper |= (uint64_t)is_upper(c) << i;
            bits[b].alpha |= (uint64_t)is_alpha(c) << i;
        }
    }
}

static void literals(const weir_guard_filter_t *filter, const char *text, size_t blocks,
                     uint64_t *found)
{
    for (size_t b = 0; b < blocks; b++) {
        uint64_t all = 0;
        for (unsigned i = 0; i < WEIR_BLOCK; i++) {
            const unsigned char *t = (const unsigned char *)text + b * WEIR_BLOCK + i;
            unsigned any = 0;
            for (unsigned half = 0; half < WEIR_FILTER_BUCKETS / 8; half++) {
                any |= filter->table[half][0][t[0] & 0x7f] & filter->table[half][1][t[1] & 0x7f] &
                       filter->table[half][2][t[2] & 0x7f];
            }
            all |= (uint64_t)(any != 0) << i;
        }
        found[b] = all;
    }
}

static unsigned survey(const char *text, size_t blocks)
{
    unsigned found = 0;
    unsigned eights = 0; /* of base64 characters that ended here, at multiples of eight */
    for (size_t i = 0; i < blocks * WEIR_BLOCK; i += 8) {
        bool whole = true;
        for (size_t k = i; k < i + 8; k++) {
            unsigned char c = (unsigned char)text[k];
            found |= c >= 0x80 ? WEIR_SURVEY_HIGH : 0;
            found |= c == '%' || c == '&' || c == '\\' ? WEIR_SURVEY_ESCAPE : 0;
            whole = whole &&
                    (is_alpha(c) || is_digit(c) || c == '/' || c == '+' || c == '-' || c == '_');
        }
        eights = whole ? eights + 1 : 0;
        found |= eights >= 2 ? WEIR_SURVEY_BASE64 : 0;
    }
    return found;
}

static void lower(char *out, const char *text, size_t blocks)
{
    for (size_t i = 0; i < blocks * WEIR_BLOCK; i++) {
        unsigned char c = (unsigned char)text[i];
        out[i] = (char)(c | (is_upper(c) ? 0x20 : 0));
    }
}

static const weir_guard_vector_t scalar = {"scalar", classify, literals, survey, lower};

static bool asked_for(const char *name, const char *set)
{
    return name == NULL || strcmp(name, set) == 0;
}

const weir_guard_vector_t *weir_guard_vector(const char *name)
{
    const weir_guard_vector_t *found = NULL;
    if (asked_for(name, "avx512")) {
        found = weir_guard_vector_avx512();
    }
    if (found == NULL && asked_for(name, "avx2")) {
        found = weir_guard_vector_avx2();
    }
    return found == NULL && asked_for(name, "scalar") ? &scalar : found;
}

unsigned weir_guard_survey(const char *text, size_t len)
{
    const weir_guard_vector_t *vector = weir_guard_vector(NULL);
    size_t blocks = len / WEIR_BLOCK;
    unsigned found = blocks > 0 ? vector->survey(text, blocks) : 0;
    size_t rest = len % WEIR_BLOCK;
    if (rest > 0) {
        /* With the block before it, so that a run across the border is seen. */
        char last[2 * WEIR_BLOCK] = {0};
        size_t from = blocks > 0 ? (blocks - 1) * WEIR_BLOCK : 0;
        memcpy(last, text + from, len - from);
        found |= vector->survey(last, len - from > WEIR_BLOCK ? 2 : 1);
    }
    return found;
}

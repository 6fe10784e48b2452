/*
 * The loops that look at every byte of a text, in blocks of 64: written in portable C, for AVX2 and
 * for AVX-512 with VBMI. All give the same bits; the processor decides which one runs.
 */
#ifndef WEIR_GUARDRAILS_VECTOR_H
#define WEIR_GUARDRAILS_VECTOR_H

#include <stddef.h>
#include <stdint.h>

#define WEIR_BLOCK       64
#define WEIR_BLOCKS      32 /* that the callers ask for at once */
#define WEIR_BLOCK_AHEAD 2  /* bytes behind the last block that are read */

/* What stands at each byte of a block, the lowest bit its first one. */
typedef struct {
    uint64_t digit;
    uint64_t mark; /* '@', ':', and '.' unless a byte up to ' ' follows */
    uint64_t upper;
    uint64_t alpha;
} weir_guard_bits_t;

/*
 * Where a literal's three lead bytes may stand: each literal is in one of 16 buckets, and each
 * table tells, for a byte without its bits 0x80 and 0x20, in which buckets a literal has it at that
 * place (both halves of the table are alike). The bits of three bytes in a row, anded, are 0 where
 * no literal can be. [low or high eight buckets][place][byte]
 */
#define WEIR_FILTER_BUCKETS 16
typedef struct {
    _Alignas(64) uint8_t table[WEIR_FILTER_BUCKETS / 8][3][128];
} weir_guard_filter_t;

/* What a text holds at all. BASE64: there may be a run of 24 characters of its alphabets. */
enum { WEIR_SURVEY_HIGH = 1, WEIR_SURVEY_ESCAPE = 2, WEIR_SURVEY_BASE64 = 4 };

typedef struct {
    const char *name;
    /* Reads 64 * blocks + 1 bytes. */
    void (*classify)(const char *text, size_t blocks, weir_guard_bits_t *bits);
    /* Bit i of found[b]: a literal's lead may stand at text[64 * b + i]. Reads 2 bytes more. */
    void (*literals)(const weir_guard_filter_t *filter, const char *text, size_t blocks,
                     uint64_t *found);
    /* The WEIR_SURVEY bits of 64 * blocks bytes. */
    unsigned (*survey)(const char *text, size_t blocks);
    /* Lower-cases ASCII letters of 64 * blocks bytes; out may be text. */
    void (*lower)(char *out, const char *text, size_t blocks);
} weir_guard_vector_t;

/* The best that this processor runs, or the one of that name ("scalar", "avx2", "avx512"): NULL
 * where it cannot run. */
const weir_guard_vector_t *weir_guard_vector(const char *name);

/* The survey of any length. */
unsigned weir_guard_survey(const char *text, size_t len);

/* For the table of names: NULL where the compiler does not know the processor. */
const weir_guard_vector_t *weir_guard_vector_avx2(void);
const weir_guard_vector_t *weir_guard_vector_avx512(void);

#endif

/*
 * Names with wildcards: * stands for any bytes, ? for one. Exact names are found by hash, patterns
 * one after the other. Private to this folder; immutable once built.
 */
#ifndef WEIR_POLICIES_PATTERNS_H
#define WEIR_POLICIES_PATTERNS_H

#include "engine/base/arena.h"

#define WEIR_PATTERN_MAX 256 /* bytes of a pattern or name; longer names match nothing but "*" */

typedef struct {
    weir_str_t text;
    uint32_t value;
} weir_pattern_t;

typedef struct {
    weir_pattern_t *exact;
    size_t n_exact;
    uint32_t *slots; /* index into exact + 1; a power of two of them */
    size_t n_slots;
    weir_pattern_t *globs; /* in the order given */
    size_t n_globs;
    bool fold; /* ASCII letters match whatever their case */
} weir_patterns_t;

/* Builds from n patterns; their texts must outlive *out. Of two equal exact names the first counts.
 * False: out of memory. */
bool weir_patterns_build(weir_patterns_t *out, const weir_pattern_t *patterns, size_t n, bool fold,
                         weir_arena_t *arena);

/* What matches name, one a call: the exact name first, then patterns in order. Begin with *cursor
 * = 0; NULL behind the last. */
const weir_pattern_t *weir_patterns_next(const weir_patterns_t *p, weir_str_t name, size_t *cursor);

static inline bool weir_patterns_match(const weir_patterns_t *p, weir_str_t name)
{
    size_t cursor = 0;
    return weir_patterns_next(p, name, &cursor) != NULL;
}

static inline bool weir_pattern_has_wildcard(weir_str_t text)
{
    return memchr(text.data, '*', text.len) != NULL || memchr(text.data, '?', text.len) != NULL;
}

bool weir_glob_match(weir_str_t pattern, weir_str_t name, bool fold);

#endif

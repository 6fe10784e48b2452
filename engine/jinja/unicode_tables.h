/* The shape of the tables in unicode_tables.c; see gen_unicode.py. */
#ifndef WEIR_JINJA_UNICODE_TABLES_H
#define WEIR_JINJA_UNICODE_TABLES_H

#include <stdint.h>

typedef struct {
    uint32_t first;
    uint32_t last;
} weir_ju_range_t;

/* Every stride-th character of first..last maps to itself + delta. */
typedef struct {
    uint32_t first;
    uint32_t last;
    uint32_t stride;
    int32_t delta;
} weir_ju_run_t;

/* One character that maps to two or three. */
typedef struct {
    uint32_t cp;
    uint32_t to[3];
} weir_ju_long_t;

#define WEIR_JU_RANGES(name)                       \
    extern const weir_ju_range_t weir_ju_##name[]; \
    extern const unsigned weir_ju_##name##_count
#define WEIR_JU_MAPPING(name)                            \
    extern const weir_ju_run_t weir_ju_##name[];         \
    extern const unsigned weir_ju_##name##_count;        \
    extern const weir_ju_long_t weir_ju_##name##_long[]; \
    extern const unsigned weir_ju_##name##_long_count

WEIR_JU_RANGES(printable);
WEIR_JU_RANGES(alpha);
WEIR_JU_RANGES(digit);
WEIR_JU_RANGES(numeric);
WEIR_JU_RANGES(upper);
WEIR_JU_RANGES(lower);
WEIR_JU_RANGES(cased);
WEIR_JU_RANGES(ignorable);
WEIR_JU_MAPPING(to_lower_runs);
WEIR_JU_MAPPING(to_upper_runs);
WEIR_JU_MAPPING(to_title_runs);

#endif

/*
 * A rule that is data: literal keywords that bring the matcher's attention to a place, and an
 * expression that is tried on a window around it. The secrets group is made of these, and so are
 * custom expressions. Tables are constant; the matcher compiles them.
 */
#ifndef WEIR_GUARDRAILS_PATTERN_H
#define WEIR_GUARDRAILS_PATTERN_H

#include "engine/base/arena.h"

/*
 * How far a match can reach once text goes on, which decides what a stream must hold back.
 * TOKEN: the entity has no byte <= 0x20 in it, and nothing behind the first such byte after it is
 * looked at; the keyword stands in the same token or before it. BLOCK: the keyword begins the
 * entity, the expression matches its first line only ("-----BEGIN ... KEY-----"), and the matcher
 * extends it over the body (base64 lines, headers) to the END line, or as far as the body goes.
 */
typedef enum { WEIR_GUARD_SPAN_TOKEN, WEIR_GUARD_SPAN_BLOCK } weir_guard_span_t;

#define WEIR_GUARD_KEYWORDS 16

typedef struct {
    const char *id;   /* "github_pat" */
    const char *type; /* "SECRET" */
    /*
     * At least one (3 to 31 bytes, lower-case ASCII; compared without case) must stand in the
     * text for the rule to be tried. Choose the rarest that every match has.
     */
    const char *keywords[WEIR_GUARD_KEYWORDS];
    /*
     * PCRE2 (JIT; no UTF: bytes); group 1, if it has one and it took part, is the entity, else the
     * whole match. Write \b or lookarounds of one byte for borders. The match must begin at most
     * `before` bytes before the keyword's first byte and end at most `after` bytes behind it.
     */
    const char *expression;
    /*
     * Instead of an expression, for a value that is only recognised by the name it is given to
     * (named_value.c): expressions of the name, without case, at most 64 bytes long, and of the
     * value, which is the entity. Borders of the value need not be written.
     */
    const char *name;
    const char *value;
    uint16_t before; /* [32]  at most 128 */
    uint16_t after;  /* [200] at most 4096 */
    float score;     /* [0.9] */
    float entropy;   /* least Shannon entropy of the entity in bits per byte; 0: no gate */
    uint8_t span;    /* weir_guard_span_t */
    bool stop_words; /* refuse entities that hold example, placeholder, xxxx, ... */
    /* A further test of the entity (checksum, structure), or NULL. */
    bool (*check)(const char *text, size_t len);
} weir_guard_pattern_t;

/* The secrets group: guardrails/secrets defines it. */
extern const weir_guard_pattern_t *const weir_guard_secret_tables[];
extern const size_t *const weir_guard_secret_table_sizes[]; /* points to the rows of each table */
extern const size_t weir_guard_secret_table_count;

/* Shannon entropy of bytes, in bits per byte. */
float weir_guard_entropy(const char *text, size_t len);

#endif

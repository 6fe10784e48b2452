/*
 * Tokens of a template, with jinja2's white space control applied. Internal to this folder.
 */
#ifndef WEIR_JINJA_LEXER_H
#define WEIR_JINJA_LEXER_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

typedef enum {
    WEIR_JT_DATA, /* text between tags */
    WEIR_JT_PRINT_BEGIN,
    WEIR_JT_PRINT_END,
    WEIR_JT_TAG_BEGIN,
    WEIR_JT_TAG_END,
    WEIR_JT_NAME,
    WEIR_JT_STRING, /* text: with its quotes and escapes */
    WEIR_JT_INT,
    WEIR_JT_FLOAT,
    WEIR_JT_OP,
    WEIR_JT_END
} weir_jtoken_type_t;

/* An operator's one or two characters as one number. */
#define WEIR_JOPCHAR(a, b) ((uint16_t)((uint8_t)(a) | ((uint16_t)(uint8_t)(b) << 8)))

typedef struct {
    uint8_t type;
    uint16_t op; /* WEIR_JT_OP */
    uint32_t line;
    uint32_t col; /* in bytes, from 1 */
    weir_str_t text;
} weir_jtoken_t;

/* CRLF and CR become LF and one trailing newline goes, as jinja2 reads a source. */
weir_status_t weir_jlex_normalise(weir_str_t source, weir_arena_t *arena, weir_str_t *out);

/* All tokens of a normalised source; the last one is WEIR_JT_END. */
weir_status_t weir_jlex(weir_str_t source, weir_arena_t *arena, weir_jtoken_t **tokens,
                        size_t *count, weir_error_t *err);

#endif

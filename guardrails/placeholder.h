/*
 * Reversible placeholders: entities of a prompt are replaced by names such as <EMAIL_ADDRESS_1>,
 * and the names that come back in the answer by the entities again. One map serves a whole request,
 * so that a name stands for one value everywhere: numbers never start again in another message.
 *
 * Names are made either by counting, or from the value with a tenant's key (HMAC-SHA-256, RFC
 * 2104), which gives the same value the same name in every request of the tenant and tells nothing
 * of the value to who has no key.
 */
#ifndef WEIR_GUARDRAILS_PLACEHOLDER_H
#define WEIR_GUARDRAILS_PLACEHOLDER_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

#define WEIR_PLACEHOLDER_KEY_LEN 32
#define WEIR_PLACEHOLDER_MAX     65536 /* names in one map */
#define WEIR_PLACEHOLDER_TYPE    40    /* longest type */
#define WEIR_PLACEHOLDER_NAME    80    /* longest name, without brackets */

typedef struct weir_placeholders weir_placeholders_t;

/* Makes an empty map in arena, which must outlive it. key: WEIR_PLACEHOLDER_KEY_LEN bytes, copied,
 * or NULL to count. Errors: NOMEM. Not thread-safe. */
weir_status_t weir_placeholders_open(weir_arena_t *arena, const uint8_t *key,
                                     weir_placeholders_t **out);

/*
 * Names that stand in the client's own text are never given: call it for every stretch of the
 * request's texts that stays, from one entity to the next, before the first
 * weir_placeholders_name(). Errors: LIMIT (too many of them), NOMEM.
 */
weir_status_t weir_placeholders_avoid(weir_placeholders_t *map, const char *text, size_t len);

/*
 * The name of a value, with its brackets; the same one for the same type and value. type is
 * [A-Z][A-Z0-9_]*, of at most WEIR_PLACEHOLDER_TYPE bytes; the value is copied. The view lives as
 * long as the arena. Errors: INVALID (type), LIMIT (too many names), NOMEM, INTERNAL (the digest).
 */
weir_status_t weir_placeholders_name(weir_placeholders_t *map, const char *type, weir_str_t value,
                                     weir_str_t *name);

/* How many names were given. */
size_t weir_placeholders_count(const weir_placeholders_t *map);

/*
 * Restores names in a text that comes in pieces. A name counts also when its brackets are lost or
 * written as entities (&lt;), when its case is changed, and when Markdown has put backslashes
 * before underscores or brackets. It must stand alone: EMAIL_ADDRESS_1 is not in EMAIL_ADDRESS_12,
 * and without brackets not in MYEMAIL_ADDRESS_1.
 */
typedef struct {
    const weir_placeholders_t *map;
    char held[6 * WEIR_PLACEHOLDER_NAME]; /* what may be the beginning of a name */
    size_t held_len;
    bool after_word; /* the last byte given out was a letter, digit or underscore */
    uint64_t restored;
} weir_restorer_t;

void weir_restorer_init(weir_restorer_t *r, const weir_placeholders_t *map);

/*
 * Called for every value that is put back, to write it as the place requires (escaped in JSON, for
 * one). NULL: the value as it is.
 */
typedef void (*weir_restore_write_pt)(void *ctx, weir_buf_t *out, weir_str_t value);

/*
 * Appends the restored piece to out; keeps back at most the beginning of a name. last: nothing
 * follows, nothing is kept. What leaves does not depend on how the text was cut. Errors: NOMEM.
 */
weir_status_t weir_restorer_feed(weir_restorer_t *r, const char *text, size_t len, bool last,
                                 weir_buf_t *out, weir_restore_write_pt write, void *ctx);

#endif

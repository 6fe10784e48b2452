/*
 * Errors as values: every fallible function of the pure-C folders returns a weir_status_t and, on
 * failure, fills the weir_error_t that the caller passed in.
 */
#ifndef WEIR_BASE_ERROR_H
#define WEIR_BASE_ERROR_H

#include <stddef.h>

typedef enum {
    WEIR_OK = 0,
    WEIR_ERR_INVALID,     /* the input breaks its format or a documented rule */
    WEIR_ERR_LIMIT,       /* the input is well formed but over a limit */
    WEIR_ERR_UNSUPPORTED, /* well formed, legal, and not implemented here */
    WEIR_ERR_NOMEM,       /* an allocation failed or an arena's cap was reached */
    WEIR_ERR_IO,          /* a system call failed; the message names the path and errno text */
    WEIR_ERR_BUSY,        /* a bounded queue or pool is full; try again later */
    WEIR_ERR_NOT_FOUND,   /* the named thing does not exist */
    WEIR_ERR_STATE,       /* not now: loading, closing, or already done */
    WEIR_ERR_INTERNAL     /* a broken invariant; a bug of ours */
} weir_status_t;

/*
 * message: one line of UTF-8, NUL-terminated, cut to fit: what is wrong, where, what to do.
 * field: the request field or document path at fault ("messages[0].content"), or empty.
 * code: a stable snake_case name for programs ("context_length_exceeded"), or empty.
 */
typedef struct {
    weir_status_t status;
    char message[256];
    char field[64];
    char code[48];
} weir_error_t;

/*
 * Fills *err (which may be NULL) and returns status, so that a caller can write
 * `return weir_error(err, WEIR_ERR_INVALID, "...", ...);`. field and code become empty.
 */
weir_status_t weir_error(weir_error_t *err, weir_status_t status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, with the field and the code; either may be NULL for empty. */
weir_status_t weir_error_at(weir_error_t *err, weir_status_t status, const char *field,
                            const char *code, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* A constant lower-case name of the status ("invalid", "limit", ...), never NULL. */
const char *weir_status_name(weir_status_t status);

#endif

/*
 * Walking over the bytes that a JSON string stands for, for those to whom copying it is too much.
 * The string's text has been validated by the scanner.
 */
#ifndef WEIR_BASE_JSON_TEXT_H
#define WEIR_BASE_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *p; /* text between the quotes that is still to read */
    const char *end;
    char pending[4]; /* rest of the UTF-8 of an escape */
    uint8_t n_pending;
    uint8_t i_pending;
} weir_json_bytes_t;

/* Starts on the text between the quotes. */
weir_json_bytes_t weir_json_bytes(const char *p, const char *end);

/* The next byte after unescaping (0..255), or -1 at the end. */
int weir_json_next_byte(weir_json_bytes_t *it);

/* The value of four hexadecimal digits, or -1. */
int32_t weir_json_hex4(const char *p);

#endif

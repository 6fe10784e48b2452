/*
 * What Python's str methods know about characters (Unicode 14, as in Python 3.11). Internal to
 * this folder. The tables are in unicode_tables.c, made by gen_unicode.py.
 */
#ifndef WEIR_JINJA_UNICODE_H
#define WEIR_JINJA_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool weir_ju_is_space(uint32_t cp);
bool weir_ju_is_line_break(uint32_t cp); /* str.splitlines */
bool weir_ju_is_printable(uint32_t cp);  /* else repr escapes it */
bool weir_ju_is_alpha(uint32_t cp);
bool weir_ju_is_digit(uint32_t cp);   /* str.isdigit */
bool weir_ju_is_numeric(uint32_t cp); /* str.isnumeric */
bool weir_ju_is_cased(uint32_t cp);
bool weir_ju_is_case_ignorable(uint32_t cp);
bool weir_ju_is_upper(uint32_t cp);
bool weir_ju_is_lower(uint32_t cp);

/* The full mapping of one character: up to three code points in out; returns how many. */
int weir_ju_to_lower(uint32_t cp, uint32_t out[3]);
int weir_ju_to_upper(uint32_t cp, uint32_t out[3]);
int weir_ju_to_title(uint32_t cp, uint32_t out[3]);

#endif

/*
 * Numbers of JSON that may be somebody's: a card, an account or a telephone number without quotes.
 */
#ifndef WEIR_FILTERS_JSON_NUMBERS_H
#define WEIR_FILTERS_JSON_NUMBERS_H

#include "engine/base/arena.h"

/* Digits of the shortest number that could be an entity. */
#define WEIR_JSON_NUMBER_DIGITS 7

/* What of a number is looked at: all of it, but for a fraction that is zero (4111111111111111.0),
 * which would hide where the digits end. */
static inline weir_str_t weir_json_number_text(weir_str_t raw)
{
    const char *point = memchr(raw.data, '.', raw.len);
    if (point == NULL)
        return raw;
    const char *at = point + 1;
    while (at < raw.data + raw.len && *at == '0')
        at++;
    return at < raw.data + raw.len ? raw : weir_str(raw.data, (size_t)(point - raw.data));
}

/* Whether it has so many digits in front of its point. */
static inline bool weir_json_number_is_text(weir_str_t raw)
{
    size_t at = raw.len > 0 && raw.data[0] == '-' ? 1 : 0;
    size_t digits = 0;
    while (at < raw.len && raw.data[at] >= '0' && raw.data[at] <= '9') {
        at++;
        digits++;
    }
    return digits >= WEIR_JSON_NUMBER_DIGITS;
}

#endif

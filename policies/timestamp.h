/*
 * UTC times as documents and ledgers write them: RFC 3339 with a Z.
 */
#ifndef WEIR_POLICIES_TIMESTAMP_H
#define WEIR_POLICIES_TIMESTAMP_H

#include "engine/base/arena.h"

/* "YYYY-MM-DDTHH:MM:SS.mmmZ" and a NUL. */
#define WEIR_TIMESTAMP_MAX 32

/* Writes ms (Unix time in milliseconds, years 0-9999) with milliseconds; returns the length.
 * Outside of these years out is empty and the result 0. */
size_t weir_timestamp_format(int64_t ms, char out[WEIR_TIMESTAMP_MAX]);

/*
 * Reads "YYYY-MM-DD" (midnight) or "YYYY-MM-DDTHH:MM:SS[.fraction]Z" into Unix milliseconds; false
 * for anything else, impossible dates included. A leap second counts as the next minute's first.
 */
bool weir_timestamp_parse(weir_str_t text, int64_t *ms);

#endif

/*
 * Reader of delimited tables as data sets come: RFC 4180 CSV (quoted fields may hold separators,
 * line breaks and doubled quotes; CRLF or LF), also with tabs. Records are parsed from memory; a
 * field's bytes are the arena's.
 */
#ifndef WEIR_GUARD_TRAINING_TABLE_H
#define WEIR_GUARD_TRAINING_TABLE_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

#define WEIR_TABLE_MAX_COLUMNS 32
#define WEIR_TABLE_MAX_FIELD   ((size_t)1 << 20)

typedef struct {
    const char *data;
    size_t len;
    size_t at;
    char separator;
    size_t record; /* number of the record read last, from 1 */
} weir_table_t;

typedef struct {
    weir_str_t field[WEIR_TABLE_MAX_COLUMNS];
    size_t count;
} weir_record_t;

/* data must outlive the table. A byte-order mark is skipped. */
void weir_table_open(weir_table_t *table, const char *data, size_t len, char separator);

/*
 * Reads the next record; *end is set true (and record is empty) when there is none. Empty lines
 * are skipped. Errors: INVALID (a quote that does not close, or text behind a closing quote),
 * LIMIT (columns, field length), NOMEM.
 */
weir_status_t weir_table_next(weir_table_t *table, weir_arena_t *arena, weir_record_t *record,
                              bool *end, weir_error_t *err);

/* Index of the named column in a header record, or SIZE_MAX. */
size_t weir_table_column(const weir_record_t *header, const char *name);

#endif

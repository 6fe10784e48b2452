#include "guardrails/training/table.h"

void weir_table_open(weir_table_t *t, const char *data, size_t len, char separator)
{
    bool mark = len >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0;
    *t = (weir_table_t){.data = data, .len = len, .at = mark ? 3 : 0, .separator = separator};
}

static bool at_line_end(const weir_table_t *t)
{
    return t->at >= t->len || t->data[t->at] == '\n' ||
           (t->data[t->at] == '\r' && (t->at + 1 >= t->len || t->data[t->at + 1] == '\n'));
}

static weir_status_t quoted(weir_table_t *t, weir_buf_t *buf, weir_error_t *err)
{
    t->at++;
    for (;;) {
        const char *from = t->data + t->at;
        const char *quote = memchr(from, '"', t->len - t->at);
        if (quote == NULL) {
            return weir_error(err, WEIR_ERR_INVALID, "record %zu: a quoted field does not end",
                              t->record);
        }
        weir_buf_append(buf, from, (size_t)(quote - from));
        t->at += (size_t)(quote - from) + 1;
        if (t->at >= t->len || t->data[t->at] != '"') {
            break;
        }
        weir_buf_append_char(buf, '"');
        t->at++;
    }
    if (!at_line_end(t) && t->data[t->at] != t->separator) {
        return weir_error(err, WEIR_ERR_INVALID, "record %zu: text behind a closing quote",
                          t->record);
    }
    return WEIR_OK;
}

static weir_status_t read_field(weir_table_t *t, weir_arena_t *arena, weir_str_t *out,
                                weir_error_t *err)
{
    if (t->at < t->len && t->data[t->at] == '"') {
        weir_buf_t buf;
        weir_buf_init(&buf, arena);
        weir_status_t status = quoted(t, &buf, err);
        if (status != WEIR_OK) {
            return status;
        }
        if (buf.failed) {
            return weir_error(err, WEIR_ERR_NOMEM, "record %zu: out of memory", t->record);
        }
        *out = weir_str(buf.data, buf.len);
    } else {
        size_t start = t->at;
        while (!at_line_end(t) && t->data[t->at] != t->separator) {
            t->at++;
        }
        *out = weir_str(t->data + start, t->at - start);
    }
    if (out->len > WEIR_TABLE_MAX_FIELD) {
        return weir_error(err, WEIR_ERR_LIMIT, "record %zu: a field of %zu bytes is over %zu",
                          t->record, out->len, WEIR_TABLE_MAX_FIELD);
    }
    return WEIR_OK;
}

static void skip_line_end(weir_table_t *t)
{
    if (t->at < t->len && t->data[t->at] == '\r') {
        t->at++;
    }
    if (t->at < t->len) {
        t->at++;
    }
}

weir_status_t weir_table_next(weir_table_t *t, weir_arena_t *arena, weir_record_t *record,
                              bool *end, weir_error_t *err)
{
    record->count = 0;
    while (t->at < t->len && at_line_end(t)) {
        skip_line_end(t);
    }
    *end = t->at >= t->len;
    if (*end) {
        return WEIR_OK;
    }
    t->record++;
    for (;;) {
        if (record->count == WEIR_TABLE_MAX_COLUMNS) {
            return weir_error(err, WEIR_ERR_LIMIT, "record %zu has more than %d columns", t->record,
                              WEIR_TABLE_MAX_COLUMNS);
        }
        weir_status_t status = read_field(t, arena, &record->field[record->count], err);
        if (status != WEIR_OK) {
            return status;
        }
        record->count++;
        if (at_line_end(t)) {
            break;
        }
        t->at++;
    }
    skip_line_end(t);
    return WEIR_OK;
}

size_t weir_table_column(const weir_record_t *header, const char *name)
{
    for (size_t i = 0; i < header->count; i++) {
        if (weir_str_is(header->field[i], name)) {
            return i;
        }
    }
    return SIZE_MAX;
}

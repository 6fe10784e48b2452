/* Writing JSON next to spans that are copied as they stand. Commas are set by looking at the last
 * byte: none behind what opens a value, a key or a frame, one behind everything else. */
#ifndef WEIR_FILTERS_TRANSLATE_JSON_OUT_H
#define WEIR_FILTERS_TRANSLATE_JSON_OUT_H

#include "engine/base/json.h"

static inline void jo_comma(weir_buf_t *out)
{
    if (out->len == 0) {
        return;
    }
    char last = out->data[out->len - 1];
    if (last != '{' && last != '[' && last != ':' && last != '\n' && last != ',') {
        weir_buf_append_char(out, ',');
    }
}

/* '{' or '[' */
static inline void jo_open(weir_buf_t *out, char bracket)
{
    jo_comma(out);
    weir_buf_append_char(out, bracket);
}

static inline void jo_close(weir_buf_t *out, char bracket)
{
    weir_buf_append_char(out, bracket);
}

static inline void jo_key(weir_buf_t *out, const char *key)
{
    jo_comma(out);
    weir_buf_append_char(out, '"');
    weir_buf_append_z(out, key);
    weir_buf_append(out, "\":", 2);
}

/* A value that is JSON already. */
static inline void jo_raw(weir_buf_t *out, weir_str_t raw)
{
    jo_comma(out);
    weir_buf_append_str(out, raw);
}

static inline void jo_z(weir_buf_t *out, const char *json)
{
    jo_comma(out);
    weir_buf_append_z(out, json);
}

static inline void jo_string(weir_buf_t *out, weir_str_t text)
{
    jo_comma(out);
    weir_json_write_string(out, text);
}

static inline void jo_int(weir_buf_t *out, int64_t value)
{
    jo_comma(out);
    weir_json_write_int64(out, value);
}

static inline void jo_kraw(weir_buf_t *out, const char *key, weir_str_t raw)
{
    jo_key(out, key);
    weir_buf_append_str(out, raw);
}

static inline void jo_kz(weir_buf_t *out, const char *key, const char *json)
{
    jo_key(out, key);
    weir_buf_append_z(out, json);
}

static inline void jo_kstring(weir_buf_t *out, const char *key, weir_str_t text)
{
    jo_key(out, key);
    weir_json_write_string(out, text);
}

static inline void jo_kint(weir_buf_t *out, const char *key, int64_t value)
{
    jo_key(out, key);
    weir_json_write_int64(out, value);
}

static inline void jo_kbool(weir_buf_t *out, const char *key, bool value)
{
    jo_kz(out, key, value ? "true" : "false");
}

static inline void jo_kopen(weir_buf_t *out, const char *key, char bracket)
{
    jo_key(out, key);
    weir_buf_append_char(out, bracket);
}

/* A string that is put together from the inside of others: "begin", pieces, "end". */
static inline void jo_begin_string(weir_buf_t *out)
{
    jo_comma(out);
    weir_buf_append_char(out, '"');
}

static inline void jo_end_string(weir_buf_t *out)
{
    weir_buf_append_char(out, '"');
}

/* The text between a string node's quotes, escapes and all. */
static inline weir_str_t jo_inner(const weir_json_doc_t *doc, uint32_t node)
{
    const weir_json_node_t *n = &doc->nodes[node];
    return weir_str(doc->text + n->start + 1, n->end - n->start - 2);
}

/* Takes back what was written since mark. */
static inline void jo_rewind(weir_buf_t *out, size_t mark)
{
    if (mark <= out->len) {
        out->len = mark;
    }
}

#endif

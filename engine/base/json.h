/*
 * JSON without trees: a validating span scanner (RFC 8259) that records where every value lies,
 * and a writer. The scanner never allocates: the caller passes the node array. Every byte of the
 * text stays where the sender put it, so an edit can splice bytes and leave the rest untouched.
 */
#ifndef WEIR_BASE_JSON_H
#define WEIR_BASE_JSON_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

typedef enum {
    WEIR_JSON_NULL,
    WEIR_JSON_FALSE,
    WEIR_JSON_TRUE,
    WEIR_JSON_NUMBER,
    WEIR_JSON_STRING,
    WEIR_JSON_ARRAY,
    WEIR_JSON_OBJECT
} weir_json_type_t;

/*
 * One value, in document (pre-)order. Node 0 is the root. In an object, members are pairs: a
 * STRING node for the key, then the value's node(s). An array's or object's first child is the
 * node right behind it (if size > 0); a node's next sibling is `next` (one past the last
 * descendant), so iterating needs no recursion.
 */
typedef struct {
    uint32_t start;  /* offset of the first byte, for strings the opening quote */
    uint32_t end;    /* offset behind the last byte, for strings behind the closing quote */
    uint32_t next;   /* index of the node behind this value's last descendant */
    uint32_t size;   /* members of an object, elements of an array, else 0 */
    uint8_t type;    /* weir_json_type_t */
    uint8_t escaped; /* string: it contains a backslash; number: it has '.', 'e' or 'E' */
} weir_json_node_t;

/* Limits; 0 in a field means the default in brackets. */
typedef struct {
    uint32_t max_depth;        /* nesting of arrays and objects [64] */
    uint32_t max_bytes;        /* length of the text [64 MiB]; never over 2^32-1 */
    uint32_t max_members;      /* members of one object [no limit]; looking a member up and finding
                                  equal keys take time that grows with it */
    bool allow_duplicate_keys; /* false: two equal keys (after unescaping) in one object are an
                                  error, because two parsers may then read two requests */
} weir_json_limits_t;

typedef struct {
    const char *text;
    size_t len;
    const weir_json_node_t *nodes;
    uint32_t count;
} weir_json_doc_t;

/*
 * Scans text[0..len) into nodes[0..cap). The text must be one JSON value with optional white
 * space around it, in valid UTF-8, without a byte-order mark; string escapes are checked (\u
 * surrogates must pair). limits may be NULL for the defaults. On success *doc refers to text and
 * nodes, which must outlive it. Errors: INVALID (message with the byte offset), LIMIT (depth,
 * bytes, members, or nodes: then field is "nodes" and the caller may retry with a larger array;
 * len/2 + 1 nodes always suffice). Thread-safe.
 */
weir_status_t weir_json_scan(const char *text, size_t len, const weir_json_limits_t *limits,
                             weir_json_node_t *nodes, uint32_t cap, weir_json_doc_t *doc,
                             weir_error_t *err);

/* The same, with the node array taken (and grown as needed) from the arena. */
weir_status_t weir_json_parse(const char *text, size_t len, const weir_json_limits_t *limits,
                              weir_arena_t *arena, weir_json_doc_t *doc, weir_error_t *err);

#define WEIR_JSON_NONE UINT32_MAX

/* Index of the value of member key of the object node, or WEIR_JSON_NONE (also when the node is
 * no object). Keys compare after unescaping. */
uint32_t weir_json_get(const weir_json_doc_t *doc, uint32_t object, const char *key);

/* Index of element i of an array node, or WEIR_JSON_NONE. Linear in i. */
uint32_t weir_json_at(const weir_json_doc_t *doc, uint32_t array, uint32_t i);

/* The node's type; node must be below doc->count. */
weir_json_type_t weir_json_type(const weir_json_doc_t *doc, uint32_t node);

/* The value's bytes as they stand in the text (strings with quotes and escapes). */
weir_str_t weir_json_raw(const weir_json_doc_t *doc, uint32_t node);

/*
 * The unescaped string. Without escapes *out points into the text, else into the arena.
 * Errors: INVALID when the node is no string, NOMEM. The result may contain NUL bytes.
 */
weir_status_t weir_json_string(const weir_json_doc_t *doc, uint32_t node, weir_arena_t *arena,
                               weir_str_t *out);

/* True when the node is a string equal to z after unescaping. */
bool weir_json_string_is(const weir_json_doc_t *doc, uint32_t node, const char *z);

/*
 * The number as an integer: true only when the node is a number whose exact value is an integer
 * in the int64 range ("3", "3.0" and "3e0" are; "3.5" and 1e30 are not).
 */
bool weir_json_int64(const weir_json_doc_t *doc, uint32_t node, int64_t *out);

/* The number as a double, correctly rounded; false when no number or when it overflows. */
bool weir_json_double(const weir_json_doc_t *doc, uint32_t node, double *out);

/* Appends s as a JSON string with quotes; invalid UTF-8 becomes U+FFFD; also escapes U+2028,
 * U+2029 and DEL so that no reader of lines sees a break. */
void weir_json_write_string(weir_buf_t *buf, weir_str_t s);

/* Appends the shortest decimal that reads back as the same double; NaN and infinities as null. */
void weir_json_write_double(weir_buf_t *buf, double value);

void weir_json_write_int64(weir_buf_t *buf, int64_t value);

#endif

/*
 * Reading documents: JSON with jansson, and errors that say file, line, JSON path, what was
 * expected and what was found. Private to this folder.
 */
#ifndef WEIR_POLICIES_DOCUMENT_H
#define WEIR_POLICIES_DOCUMENT_H

#include <jansson.h>

#include "engine/base/arena.h"
#include "engine/base/error.h"

/* The text that something was read from; lives as long as what was read. */
typedef struct {
    const char *name;
    const char *text;
    size_t len;
} weir_source_t;

typedef struct {
    const weir_source_t *source;
    weir_arena_t *arena; /* what is read goes here */
    weir_error_t *err;
    json_t *root;
} weir_document_t;

/* A place in a document: "tenants[0].keys[2].hash". Longer ones are cut. */
typedef struct {
    char text[192];
} weir_path_t;

/* Parses the text and copies name into arena. The text must outlive what is read. On success the
 * caller ends with weir_document_close. */
weir_status_t weir_document_open(weir_document_t *doc, const char *text, size_t len,
                                 const char *name, weir_arena_t *arena, weir_error_t *err);
void weir_document_close(weir_document_t *doc);

/* A regular file of at most 64 MiB into the arena. */
weir_status_t weir_document_read(const char *path, weir_arena_t *arena, weir_str_t *text,
                                 weir_error_t *err);

/* The line of the value at path, or of its nearest ancestor. */
unsigned weir_source_line(const weir_source_t *source, const char *path);

/* "FILE:LINE: PATH: what"; returns INVALID. */
weir_status_t weir_document_fail(const weir_document_t *doc, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
weir_status_t weir_document_nomem(const weir_document_t *doc);

/* A member's and an element's path. */
weir_path_t weir_path_member(const char *object, const char *name);
weir_path_t weir_path_at(const char *object, const char *name, size_t index);

/* "a string", "nothing", ... */
const char *weir_document_type(const json_t *value);

/* All of these: path is the object's. An absent member gives the default and OK, a value of another
 * type an error. */

/* The object must be one and have no members but those (NULL-terminated). */
weir_status_t weir_document_members(const weir_document_t *doc, json_t *object, const char *path,
                                    const char *const *known);
/* "version" must be the number 1. */
weir_status_t weir_document_version(const weir_document_t *doc);
/* At most max bytes without NUL, copied into the arena; absent: "". */
weir_status_t weir_document_text(const weir_document_t *doc, json_t *object, const char *path,
                                 const char *name, size_t max, weir_str_t *out);
weir_status_t weir_document_bool(const weir_document_t *doc, json_t *object, const char *path,
                                 const char *name, bool absent, bool *out);
weir_status_t weir_document_int(const weir_document_t *doc, json_t *object, const char *path,
                                const char *name, int64_t min, int64_t max, int64_t absent,
                                int64_t *out);
/* One of the words (NULL-terminated); absent: 0. */
weir_status_t weir_document_word(const weir_document_t *doc, json_t *object, const char *path,
                                 const char *name, const char *const *words, int *out);
/* 2n lower-case hexadecimal digits; required. */
weir_status_t weir_document_hex(const weir_document_t *doc, json_t *object, const char *path,
                                const char *name, uint8_t *out, size_t n);
/* A time or null; absent and null: 0. Never 0 for a time. */
weir_status_t weir_document_time(const weir_document_t *doc, json_t *object, const char *path,
                                 const char *name, int64_t *seconds);
/* An array, or NULL when absent. */
weir_status_t weir_document_array(const weir_document_t *doc, json_t *object, const char *path,
                                  const char *name, json_t **out);
/* An array of strings of 1 to max bytes, copied; absent: none. */
weir_status_t weir_document_texts(const weir_document_t *doc, json_t *object, const char *path,
                                  const char *name, size_t max, const weir_str_t **items,
                                  size_t *n);

/* [a-z0-9][a-z0-9._-]{0,63}: ids of tenants, teams, targets, named policies. */
bool weir_document_id_ok(weir_str_t id);
/* [A-Za-z0-9._@|:+=/-]{1,128}: ids of users. */
bool weir_document_user_id_ok(weir_str_t id);

/* FNV-1a. */
static inline uint32_t weir_hash_bytes(uint32_t h, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        h = (h ^ (uint8_t)data[i]) * 16777619u;
    }
    return h;
}
#define WEIR_HASH_START 2166136261u

#endif

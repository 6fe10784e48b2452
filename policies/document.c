#include "policies/document.h"

#include "engine/base/hex.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/json.h"
#include "policies/timestamp.h"

#define MAX_DOCUMENT ((size_t)64 << 20)

/* jansson keeps no positions, so they are looked up when an error needs one. */
unsigned weir_source_line(const weir_source_t *source, const char *path)
{
    weir_arena_t arena;
    weir_json_doc_t doc;
    unsigned line = 1;

    weir_arena_init(&arena, 0, 0);
    if (weir_json_parse(source->text, source->len, NULL, &arena, &doc, NULL) == WEIR_OK) {
        uint32_t node = 0;
        while (*path != '\0') {
            uint32_t child;
            char part[192];
            size_t n = strcspn(path, ".[]");
            if (*path == '[') {
                child = weir_json_at(&doc, node, (uint32_t)strtoul(path + 1, NULL, 10));
                path += strcspn(path, "]"); /* an unknown member's name may hold a lone bracket */
                path += *path == ']';
            } else {
                snprintf(part, sizeof(part), "%.*s", (int)n, path);
                child = weir_json_get(&doc, node, part);
                path += n;
            }
            path += *path == '.';
            if (child == WEIR_JSON_NONE) {
                break;
            }
            node = child;
        }
        for (uint32_t i = 0; i < doc.nodes[node].start; i++) {
            line += source->text[i] == '\n';
        }
    }
    weir_arena_free(&arena);
    return line;
}

weir_status_t weir_document_fail(const weir_document_t *doc, const char *path, const char *fmt, ...)
{
    char what[240];
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    return weir_error_at(doc->err, WEIR_ERR_INVALID, path, "invalid_document", "%s:%u: %s: %s",
                         doc->source->name, weir_source_line(doc->source, path),
                         *path == '\0' ? "the document" : path, what);
}

weir_status_t weir_document_nomem(const weir_document_t *doc)
{
    return weir_error(doc->err, WEIR_ERR_NOMEM, "%s: out of memory", doc->source->name);
}

weir_path_t weir_path_member(const char *object, const char *name)
{
    weir_path_t path;
    int n =
        snprintf(path.text, sizeof(path.text), "%s%s%s", object, *object == '\0' ? "" : ".", name);
    if (n < 0) {
        path.text[0] = '\0';
    }
    return path;
}

weir_path_t weir_path_at(const char *object, const char *name, size_t index)
{
    weir_path_t path;
    int n = snprintf(path.text, sizeof(path.text), "%s%s%s[%zu]", object,
                     *object == '\0' || *name == '\0' ? "" : ".", name, index);
    if (n < 0) {
        path.text[0] = '\0';
    }
    return path;
}

const char *weir_document_type(const json_t *value)
{
    if (value == NULL) {
        return "nothing";
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        break;
    }
    return "null";
}

weir_status_t weir_document_open(weir_document_t *doc, const char *text, size_t len,
                                 const char *name, weir_arena_t *arena, weir_error_t *err)
{
    json_error_t why;
    weir_source_t *source = weir_arena_calloc(arena, 1, sizeof(*source));
    const char *copy = weir_arena_strndup(arena, name, strlen(name));

    *doc = (weir_document_t){.arena = arena, .err = err};
    if (source == NULL || copy == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "%s: out of memory", name);
    }
    *source = (weir_source_t){.name = copy, .text = text, .len = len};
    doc->source = source;
    doc->root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (doc->root == NULL) {
        return weir_error_at(err, WEIR_ERR_INVALID, "", "invalid_json", "%s:%d:%d: %s", name,
                             why.line, why.column, why.text);
    }
    return WEIR_OK;
}

void weir_document_close(weir_document_t *doc)
{
    json_decref(doc->root);
    doc->root = NULL;
}

static weir_status_t read_all(int fd, const char *path, weir_arena_t *arena, weir_str_t *out,
                              weir_error_t *err)
{
    struct stat st;
    size_t got = 0;
    char *data;

    if (fstat(fd, &st) != 0) {
        return weir_error(err, WEIR_ERR_IO, "%s: %s", path, strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return weir_error(err, WEIR_ERR_IO, "%s: not a regular file", path);
    }
    if ((uint64_t)st.st_size > MAX_DOCUMENT) {
        return weir_error(err, WEIR_ERR_LIMIT, "%s: larger than 64 MiB", path);
    }
    data = weir_arena_alloc(arena, (size_t)st.st_size);
    if (data == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "%s: out of memory", path);
    }
    while (got < (size_t)st.st_size) {
        ssize_t n = read(fd, data + got, (size_t)st.st_size - got);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return weir_error(err, WEIR_ERR_IO, "%s: %s", path, strerror(errno));
        }
        if (n == 0) {
            break;
        }
        got += (size_t)n;
    }
    *out = weir_str(data, got);
    return WEIR_OK;
}

weir_status_t weir_document_read(const char *path, weir_arena_t *arena, weir_str_t *text,
                                 weir_error_t *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    *text = WEIR_STR("");
    if (fd < 0) {
        return weir_error(err, WEIR_ERR_IO, "%s: %s", path, strerror(errno));
    }
    weir_status_t rc = read_all(fd, path, arena, text, err);
    close(fd);
    return rc;
}

weir_status_t weir_document_members(const weir_document_t *doc, json_t *object, const char *path,
                                    const char *const *known)
{
    const char *key;
    json_t *value;

    if (!json_is_object(object)) {
        return weir_document_fail(doc, path, "expected an object, found %s",
                                  weir_document_type(object));
    }
    json_object_foreach(object, key, value)
    {
        size_t i = 0;
        while (known[i] != NULL && strcmp(known[i], key) != 0) {
            i++;
        }
        if (known[i] == NULL) {
            return weir_document_fail(doc, weir_path_member(path, key).text,
                                      "unknown member \"%.64s\"", key);
        }
    }
    return WEIR_OK;
}

weir_status_t weir_document_version(const weir_document_t *doc)
{
    json_t *version = json_object_get(doc->root, "version");

    if (!json_is_integer(version) || json_integer_value(version) != 1) {
        return weir_document_fail(doc, "version", "expected the number 1, found %s",
                                  json_is_integer(version) ? "another number"
                                                           : weir_document_type(version));
    }
    return WEIR_OK;
}

static weir_status_t copy_text(const weir_document_t *doc, json_t *value, const char *path,
                               size_t max, weir_str_t *out)
{
    if (!json_is_string(value)) {
        return weir_document_fail(doc, path, "expected a string, found %s",
                                  weir_document_type(value));
    }
    if (json_string_length(value) > max) {
        return weir_document_fail(doc, path, "expected at most %zu bytes, found %zu", max,
                                  json_string_length(value));
    }
    out->len = json_string_length(value);
    out->data = weir_arena_strndup(doc->arena, json_string_value(value), out->len);
    return out->data == NULL ? weir_document_nomem(doc) : WEIR_OK;
}

weir_status_t weir_document_text(const weir_document_t *doc, json_t *object, const char *path,
                                 const char *name, size_t max, weir_str_t *out)
{
    json_t *value = json_object_get(object, name);

    *out = WEIR_STR("");
    return value == NULL ? WEIR_OK
                         : copy_text(doc, value, weir_path_member(path, name).text, max, out);
}

weir_status_t weir_document_bool(const weir_document_t *doc, json_t *object, const char *path,
                                 const char *name, bool absent, bool *out)
{
    json_t *value = json_object_get(object, name);

    *out = absent;
    if (value == NULL) {
        return WEIR_OK;
    }
    if (!json_is_boolean(value)) {
        return weir_document_fail(doc, weir_path_member(path, name).text,
                                  "expected true or false, found %s", weir_document_type(value));
    }
    *out = json_is_true(value);
    return WEIR_OK;
}

weir_status_t weir_document_int(const weir_document_t *doc, json_t *object, const char *path,
                                const char *name, int64_t min, int64_t max, int64_t absent,
                                int64_t *out)
{
    json_t *value = json_object_get(object, name);

    *out = absent;
    if (value == NULL) {
        return WEIR_OK;
    }
    if (!json_is_integer(value) || json_integer_value(value) < min ||
        json_integer_value(value) > max) {
        return weir_document_fail(doc, weir_path_member(path, name).text,
                                  "expected an integer from %" PRId64 " to %" PRId64 ", found %s",
                                  min, max,
                                  json_is_integer(value) ? "another number"
                                  : json_is_real(value)  ? "a number with a fraction or exponent"
                                                         : weir_document_type(value));
    }
    *out = json_integer_value(value);
    return WEIR_OK;
}

weir_status_t weir_document_word(const weir_document_t *doc, json_t *object, const char *path,
                                 const char *name, const char *const *words, int *out)
{
    json_t *value = json_object_get(object, name);
    const char *text = json_string_value(value);
    char list[128] = "";
    size_t n = 0;

    *out = 0;
    if (value == NULL) {
        return WEIR_OK;
    }
    for (int i = 0; words[i] != NULL; i++) {
        if (text != NULL && strcmp(text, words[i]) == 0) {
            *out = i;
            return WEIR_OK;
        }
        if (n < sizeof(list)) {
            n += (size_t)snprintf(list + n, sizeof(list) - n, "%s\"%s\"", i == 0 ? "" : ", ",
                                  words[i]);
        }
    }
    return weir_document_fail(doc, weir_path_member(path, name).text,
                              "expected one of %s, found %s", list,
                              text != NULL ? "another text" : weir_document_type(value));
}

weir_status_t weir_document_hex(const weir_document_t *doc, json_t *object, const char *path,
                                const char *name, uint8_t *out, size_t n)
{
    const weir_path_t at = weir_path_member(path, name);
    json_t *value = json_object_get(object, name);
    const char *text = json_string_value(value);

    if (text == NULL || json_string_length(value) != 2 * n) {
        return weir_document_fail(doc, at.text,
                                  "expected %zu lower-case hexadecimal digits, found %s", 2 * n,
                                  text == NULL ? weir_document_type(value) : "another length");
    }
    for (size_t i = 0; i < n; i++) {
        int high = weir_hex_digit_lower(text[2 * i]);
        int low = weir_hex_digit_lower(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return weir_document_fail(
                doc, at.text, "expected %zu lower-case hexadecimal digits, found another character",
                2 * n);
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return WEIR_OK;
}

weir_status_t weir_document_time(const weir_document_t *doc, json_t *object, const char *path,
                                 const char *name, int64_t *seconds)
{
    int64_t ms;
    json_t *value = json_object_get(object, name);

    *seconds = 0;
    if (value == NULL || json_is_null(value)) {
        return WEIR_OK;
    }
    if (!json_is_string(value) ||
        !weir_timestamp_parse(weir_str(json_string_value(value), json_string_length(value)), &ms)) {
        return weir_document_fail(
            doc, weir_path_member(path, name).text,
            "expected a time such as \"2030-01-31T12:00:00Z\" or null, found %s",
            json_is_string(value) ? "another text" : weir_document_type(value));
    }
    *seconds = ms / 1000 == 0 ? 1 : ms / 1000; /* 0 means never: 1970 must not become that */
    return WEIR_OK;
}

weir_status_t weir_document_array(const weir_document_t *doc, json_t *object, const char *path,
                                  const char *name, json_t **out)
{
    *out = json_object_get(object, name);
    if (*out != NULL && !json_is_array(*out)) {
        return weir_document_fail(doc, weir_path_member(path, name).text,
                                  "expected an array, found %s", weir_document_type(*out));
    }
    return WEIR_OK;
}

weir_status_t weir_document_texts(const weir_document_t *doc, json_t *object, const char *path,
                                  const char *name, size_t max, const weir_str_t **items, size_t *n)
{
    json_t *array;
    weir_status_t rc = weir_document_array(doc, object, path, name, &array);
    weir_str_t *copy;

    *items = NULL;
    *n = json_array_size(array);
    if (rc != WEIR_OK || *n == 0) {
        return rc;
    }
    copy = weir_arena_calloc(doc->arena, *n, sizeof(*copy));
    if (copy == NULL) {
        return weir_document_nomem(doc);
    }
    *items = copy;
    for (size_t i = 0; i < *n; i++) {
        const weir_path_t at = weir_path_at(path, name, i);
        rc = copy_text(doc, json_array_get(array, i), at.text, max, &copy[i]);
        if (rc == WEIR_OK && copy[i].len == 0) {
            rc = weir_document_fail(doc, at.text, "expected 1 to %zu bytes, found an empty string",
                                    max);
        }
        if (rc != WEIR_OK) {
            return rc;
        }
    }
    return WEIR_OK;
}

static bool all_of(weir_str_t text, size_t from, const char *more)
{
    for (size_t i = from; i < text.len; i++) {
        char c = text.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!plain && (c == '\0' || strchr(more, c) == NULL)) {
            return false;
        }
    }
    return true;
}

bool weir_document_id_ok(weir_str_t id)
{
    return id.len > 0 && id.len <= 64 && all_of(weir_str(id.data, 1), 0, "") &&
           all_of(id, 1, "._-");
}

bool weir_document_user_id_ok(weir_str_t id)
{
    return id.len > 0 && id.len <= 128 && all_of(id, 0, "ABCDEFGHIJKLMNOPQRSTUVWXYZ._@|:+=/-");
}

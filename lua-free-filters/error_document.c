#include "lua-free-filters/error_document.h"

#include <stdbool.h>
#include <string.h>

typedef struct {
    const char *at;
    const char *end;
} text_t;

static bool skip_blanks(text_t *t)
{
    while (t->at < t->end && strchr(" \t\r\n", *t->at) != NULL && *t->at != '\0') {
        t->at++;
    }
    return t->at < t->end;
}

/* Takes the literal, as far as there are bytes; blanks may stand before it. */
static weir_error_document_t take(text_t *t, const char *literal)
{
    if (!skip_blanks(t)) {
        return WEIR_ERROR_DOCUMENT_MORE;
    }
    size_t n = strlen(literal);
    size_t have = (size_t)(t->end - t->at);
    if (memcmp(t->at, literal, have < n ? have : n) != 0) {
        return WEIR_ERROR_DOCUMENT_NO;
    }
    if (have < n) {
        return WEIR_ERROR_DOCUMENT_MORE;
    }
    t->at += n;
    return WEIR_ERROR_DOCUMENT_YES;
}

static weir_error_document_t take_member(text_t t, const char *key, const char *value)
{
    weir_error_document_t rc = take(&t, key);

    if (rc == WEIR_ERROR_DOCUMENT_YES) {
        rc = take(&t, ":");
    }
    return rc == WEIR_ERROR_DOCUMENT_YES ? take(&t, value) : rc;
}

weir_error_document_t weir_error_document(const char *data, size_t len)
{
    static const struct {
        const char *key;
        const char *value;
    } members[] = {{"\"error\"", "{"},
                   {"\"error\"", "\""},
                   {"\"type\"", "\"error\""},
                   {"\"object\"", "\"error\""}};
    bool short_of = len < WEIR_ERROR_DOCUMENT_BYTES;
    text_t t = {data, data + (short_of ? len : WEIR_ERROR_DOCUMENT_BYTES)};
    weir_error_document_t rc = take(&t, "{");
    bool more = false;

    for (size_t i = 0; rc == WEIR_ERROR_DOCUMENT_YES && i < sizeof(members) / sizeof(*members);
         i++) {
        weir_error_document_t got = take_member(t, members[i].key, members[i].value);
        if (got == WEIR_ERROR_DOCUMENT_YES) {
            return got;
        }
        more = more || got == WEIR_ERROR_DOCUMENT_MORE;
    }
    more = more || rc == WEIR_ERROR_DOCUMENT_MORE;
    return more && short_of ? WEIR_ERROR_DOCUMENT_MORE : WEIR_ERROR_DOCUMENT_NO;
}

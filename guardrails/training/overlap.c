#include "guardrails/training/overlap.h"

#include "engine/base/hex.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

extern const unsigned char weir_excluded_rows[];
extern const unsigned long weir_excluded_rows_len;

bool weir_text_digest(weir_str_t text, uint8_t digest[WEIR_DIGEST])
{
    char *kept = malloc(text.len + 1);
    size_t n = 0;
    for (size_t i = 0; kept != NULL && i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        c = (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 0x80) {
            kept[n++] = (char)c;
        }
    }
    if (n > 0) {
        SHA256((const unsigned char *)kept, n, digest);
    }
    free(kept);
    return n > 0;
}

static int by_digest(const void *a, const void *b)
{
    return memcmp(a, b, WEIR_DIGEST);
}

static bool read_digest(weir_str_t line, uint8_t out[WEIR_DIGEST])
{
    for (size_t i = 0; line.len == 2 * WEIR_DIGEST && i < WEIR_DIGEST; i++) {
        int high = weir_hex_digit_lower(line.data[2 * i]),
            low = weir_hex_digit_lower(line.data[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return line.len == 2 * WEIR_DIGEST;
}

weir_status_t weir_excluded_read(weir_excluded_t *list, weir_str_t text, weir_arena_t *arena,
                                 weir_error_t *err)
{
    list->count = 0;
    list->digest = weir_arena_calloc(arena, text.len / (2 * WEIR_DIGEST) + 1, WEIR_DIGEST);
    if (list->digest == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for the list of rows left out");
    }
    size_t number = 1;
    for (size_t at = 0; at < text.len; number++) {
        const char *newline = memchr(text.data + at, '\n', text.len - at);
        size_t end = newline == NULL ? text.len : (size_t)(newline - text.data);
        weir_str_t line = weir_str(text.data + at, end - at);
        at = end + 1;
        if (line.len == 0 || line.data[0] == '#') {
            continue;
        }
        if (!read_digest(line, list->digest[list->count])) {
            return weir_error(err, WEIR_ERR_INVALID,
                              "excluded.txt: line %zu is no SHA-256 in hexadecimal", number);
        }
        list->count++;
    }
    qsort(list->digest, list->count, WEIR_DIGEST, by_digest);
    return WEIR_OK;
}

weir_str_t weir_excluded_builtin(void)
{
    return weir_str((const char *)weir_excluded_rows, weir_excluded_rows_len);
}

bool weir_excluded_has(const weir_excluded_t *list, const uint8_t digest[WEIR_DIGEST])
{
    return bsearch(digest, list->digest, list->count, WEIR_DIGEST, by_digest) != NULL;
}

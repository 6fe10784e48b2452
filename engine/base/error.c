#include "engine/base/error.h"

#include "engine/base/utf8.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/*
 * Messages quote names from files and requests. Whatever those hold, the message stays one line of
 * valid UTF-8, also where it was cut in the middle of a character.
 */
static void make_one_line(char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        int n = weir_utf8_decode(text + i, len - i, &cp);
        if (n < 0 && i + (size_t)-n == len) {
            text[i] = '\0';
            return;
        }
        if (n < 0 || cp < 0x20 || cp == 0x7F) {
            size_t bad = (size_t)(n < 0 ? -n : n);
            memset(text + i, '?', bad);
            i += bad;
        } else {
            i += (size_t)n;
        }
    }
}

static void finish(weir_error_t *err, weir_status_t status, const char *field, const char *code)
{
    err->status = status;
    make_one_line(err->message);
    snprintf(err->field, sizeof(err->field), "%s", field);
    make_one_line(err->field);
    snprintf(err->code, sizeof(err->code), "%s", code);
}

weir_status_t weir_error(weir_error_t *err, weir_status_t status, const char *fmt, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(err->message, sizeof(err->message), fmt, args);
        va_end(args);
        finish(err, status, "", "");
    }
    return status;
}

weir_status_t weir_error_at(weir_error_t *err, weir_status_t status, const char *field,
                            const char *code, const char *fmt, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(err->message, sizeof(err->message), fmt, args);
        va_end(args);
        finish(err, status, field == NULL ? "" : field, code == NULL ? "" : code);
    }
    return status;
}

const char *weir_status_name(weir_status_t status)
{
    switch (status) {
    case WEIR_OK:
        return "ok";
    case WEIR_ERR_INVALID:
        return "invalid";
    case WEIR_ERR_LIMIT:
        return "limit";
    case WEIR_ERR_UNSUPPORTED:
        return "unsupported";
    case WEIR_ERR_NOMEM:
        return "out_of_memory";
    case WEIR_ERR_IO:
        return "io";
    case WEIR_ERR_BUSY:
        return "busy";
    case WEIR_ERR_NOT_FOUND:
        return "not_found";
    case WEIR_ERR_STATE:
        return "state";
    case WEIR_ERR_INTERNAL:
        return "internal";
    }
    return "unknown";
}

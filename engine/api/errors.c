#include "engine/api/errors.h"

int weir_api_error_status(const weir_error_t *err)
{
    switch (err->status) {
    case WEIR_ERR_INVALID:
    case WEIR_ERR_LIMIT:
    case WEIR_ERR_UNSUPPORTED:
        return 400;
    case WEIR_ERR_NOT_FOUND:
        return 404;
    case WEIR_ERR_BUSY:
        return 429;
    case WEIR_ERR_STATE:
        return 503;
    case WEIR_OK:
    case WEIR_ERR_NOMEM:
    case WEIR_ERR_IO:
    case WEIR_ERR_INTERNAL:
        break;
    }
    return 500;
}

const char *weir_api_error_type(int status)
{
    if (status == 429) {
        return "rate_limit_error";
    }
    return status >= 500 ? "server_error" : "invalid_request_error";
}

/* The name for programs when the error itself brings none; NULL for a plain bad request. */
static const char *default_code(int status)
{
    switch (status) {
    case 404:
        return "not_found";
    case 429:
        return "rate_limit_exceeded";
    case 503:
        return "unavailable";
    default:
        return status >= 500 ? "internal_error" : NULL;
    }
}

static void write_or_null(weir_buf_t *out, const char *z)
{
    if (z == NULL || z[0] == '\0') {
        weir_buf_append_z(out, "null");
    } else {
        weir_json_write_string(out, weir_str(z, strlen(z)));
    }
}

void weir_api_write_error_text(weir_buf_t *out, int status, const char *message, const char *field,
                               const char *code)
{
    if (code == NULL || code[0] == '\0') {
        code = default_code(status);
    }
    weir_buf_append_z(out, "{\"error\":{\"message\":");
    weir_json_write_string(out, weir_str(message, strlen(message)));
    weir_buf_append_z(out, ",\"type\":");
    write_or_null(out, weir_api_error_type(status));
    weir_buf_append_z(out, ",\"param\":");
    write_or_null(out, field);
    weir_buf_append_z(out, ",\"code\":");
    write_or_null(out, code);
    weir_buf_append_z(out, "}}");
}

void weir_api_write_error(weir_buf_t *out, const weir_error_t *err)
{
    weir_api_write_error_text(out, weir_api_error_status(err), err->message, err->field, err->code);
}

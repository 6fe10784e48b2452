#include "lua-free-filters/http_response.h"

/* More digits than 2^60 bytes need are an attack or a mistake. */
#define MAX_SIZE_DIGITS 15

void weir_http_response_init(weir_http_response_t *r, weir_arena_t *arena,
                             const weir_http_limits_t *limits)
{
    memset(r, 0, sizeof(*r));
    r->arena = arena;
    r->limits = *limits;
    weir_buf_init(&r->head, arena);
    weir_buf_init(&r->body, arena);
}

static bool is_token_char(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) {
        return true;
    }
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool same_name(weir_str_t a, const char *lower)
{
    size_t n = strlen(lower);
    if (a.len != n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        char c = a.data[i];
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != lower[i]) {
            return false;
        }
    }
    return true;
}

static weir_str_t trim(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t')) {
        p++;
    }
    while (end > p && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    return weir_str(p, (size_t)(end - p));
}

/* Whether a comma-separated list holds the token. */
static bool has_token(weir_str_t list, const char *token)
{
    const char *p = list.data;
    const char *end = p + list.len;
    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma == NULL ? end : comma;
        if (same_name(trim(p, stop), token)) {
            return true;
        }
        p = stop + 1;
    }
    return false;
}

/* "HTTP/1.x NNN reason", where the reason and the blank before it may be missing. */
static weir_status_t parse_status_line(weir_http_response_t *r, const char *p, const char *end,
                                       weir_error_t *err)
{
    if (end - p < 12 || memcmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1') ||
        p[8] != ' ') {
        return weir_error(err, WEIR_ERR_INVALID, "what came is not an HTTP/1.1 response");
    }
    r->http10 = p[7] == '0';
    r->status = 0;
    for (int i = 9; i < 12; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return weir_error(err, WEIR_ERR_INVALID, "the response has no status of three digits");
        }
        r->status = r->status * 10 + (uint32_t)(p[i] - '0');
    }
    if (r->status < 100 || r->status > 599 || (end - p > 12 && p[12] != ' ')) {
        return weir_error(err, WEIR_ERR_INVALID, "the response's status is not from 100 to 599");
    }
    return WEIR_OK;
}

static weir_status_t parse_field(weir_http_field_t *field, const char *p, const char *end,
                                 weir_error_t *err)
{
    const char *colon = memchr(p, ':', (size_t)(end - p));
    if (colon == NULL || colon == p) {
        return weir_error(err, WEIR_ERR_INVALID, "a header line of the response has no name");
    }
    for (const char *c = p; c < colon; c++) {
        if (!is_token_char((unsigned char)*c)) {
            return weir_error(err, WEIR_ERR_INVALID,
                              "a header name of the response holds a byte that no name may have");
        }
    }
    field->name = weir_str(p, (size_t)(colon - p));
    field->value = trim(colon + 1, end);
    for (size_t i = 0; i < field->value.len; i++) {
        unsigned char c = (unsigned char)field->value.data[i];
        if ((c < ' ' && c != '\t') || c == 127) {
            return weir_error(err, WEIR_ERR_INVALID,
                              "a header value of the response holds a control character");
        }
    }
    return WEIR_OK;
}

/* The end of the line that starts at p: its LF. Folded lines (RFC 9112, 5.2) are joined in place.
 */
static char *line_end(char *p, const char *end, bool may_fold)
{
    char *lf = memchr(p, '\n', (size_t)(end - p));
    while (may_fold && lf != NULL && lf + 1 < end && (lf[1] == ' ' || lf[1] == '\t')) {
        *lf = ' ';
        if (lf > p && lf[-1] == '\r') {
            lf[-1] = ' ';
        }
        lf = memchr(lf + 1, '\n', (size_t)(end - lf - 1));
    }
    return lf;
}

static weir_status_t parse_fields(weir_http_response_t *r, char *p, const char *end,
                                  weir_error_t *err)
{
    uint32_t cap = 0;
    r->n_fields = 0;
    for (;;) {
        char *lf = line_end(p, end, true);
        char *stop = lf > p && lf[-1] == '\r' ? lf - 1 : lf;
        if (stop == p) {
            return WEIR_OK;
        }
        if (r->n_fields == r->limits.max_fields) {
            return weir_error(err, WEIR_ERR_LIMIT, "the response has more than %u header fields",
                              (unsigned)r->limits.max_fields);
        }
        if (r->n_fields == cap) {
            cap = cap == 0 ? 16 : cap * 2;
            weir_http_field_t *more = weir_arena_calloc(r->arena, cap, sizeof(*more));
            if (more == NULL) {
                return weir_error(err, WEIR_ERR_NOMEM, "no memory for the response's header");
            }
            if (r->n_fields > 0) {
                memcpy(more, r->fields, r->n_fields * sizeof(*more));
            }
            r->fields = more;
        }
        if (parse_field(&r->fields[r->n_fields], p, stop, err) != WEIR_OK) {
            return WEIR_ERR_INVALID;
        }
        r->n_fields++;
        p = lf + 1;
    }
}

static weir_status_t parse_length(weir_str_t value, uint64_t *length, weir_error_t *err)
{
    uint64_t n = 0;
    for (size_t i = 0; i < value.len; i++) {
        unsigned digit = (unsigned char)value.data[i] - (unsigned)'0';
        if (digit > 9 || n > (UINT64_MAX - digit) / 10) {
            value.len = 0;
            break;
        }
        n = n * 10 + digit;
    }
    if (value.len == 0) {
        return weir_error(err, WEIR_ERR_INVALID, "the response's Content-Length is not a number");
    }
    *length = n;
    return WEIR_OK;
}

typedef struct {
    bool has_length;
    bool chunked;
    bool closes;
    bool keeps;
    uint64_t length;
} framing_t;

/* RFC 9112, 6.3: what says two things about where the body ends is refused. */
static weir_status_t read_framing(weir_http_response_t *r, framing_t *f, weir_error_t *err)
{
    memset(f, 0, sizeof(*f));
    for (uint32_t i = 0; i < r->n_fields; i++) {
        weir_str_t name = r->fields[i].name;
        weir_str_t value = r->fields[i].value;
        if (same_name(name, "content-length")) {
            uint64_t length = 0;
            if (parse_length(value, &length, err) != WEIR_OK) {
                return WEIR_ERR_INVALID;
            }
            if (f->has_length && f->length != length) {
                return weir_error(err, WEIR_ERR_INVALID,
                                  "the response has two Content-Length fields that differ");
            }
            f->has_length = true;
            f->length = length;
        } else if (same_name(name, "transfer-encoding")) {
            if (f->chunked || !same_name(value, "chunked")) {
                return weir_error(err, WEIR_ERR_UNSUPPORTED,
                                  "the response has a transfer coding other than chunked");
            }
            f->chunked = true;
        } else if (same_name(name, "connection")) {
            f->closes = f->closes || has_token(value, "close");
            f->keeps = f->keeps || has_token(value, "keep-alive");
        }
    }
    if (f->chunked && (f->has_length || r->http10)) {
        return weir_error(err, WEIR_ERR_INVALID,
                          "the response says in two ways where its body ends");
    }
    return WEIR_OK;
}

static weir_status_t too_large(const weir_http_response_t *r, weir_error_t *err)
{
    return weir_error(err, WEIR_ERR_LIMIT, "the response's body is larger than %zu bytes",
                      r->limits.max_body);
}

static void finish(weir_http_response_t *r)
{
    r->state = WEIR_HTTP_DONE;
    r->complete = true;
}

/* The header in r->head is whole: an interim response is forgotten, a final one tells what follows.
 */
static weir_status_t end_header(weir_http_response_t *r, weir_error_t *err)
{
    char *p = r->head.data;
    const char *end = p + r->head.len;
    char *lf = line_end(p, end, false);
    weir_status_t status = parse_status_line(r, p, lf > p && lf[-1] == '\r' ? lf - 1 : lf, err);
    if (status == WEIR_OK) {
        status = parse_fields(r, lf + 1, end, err);
    }
    if (status != WEIR_OK) {
        return status;
    }
    if (r->status == 101) {
        return weir_error(err, WEIR_ERR_UNSUPPORTED, "the server switched protocols unasked");
    }
    if (r->status < 200) {
        weir_buf_init(&r->head, r->arena);
        return WEIR_OK;
    }
    framing_t f;
    status = read_framing(r, &f, err);
    if (status != WEIR_OK) {
        return status;
    }
    r->keep_alive = !f.closes && (!r->http10 || f.keeps);
    if (r->limits.head || r->status == 204 || r->status == 304 || (f.has_length && f.length == 0)) {
        finish(r);
    } else if (f.chunked) {
        r->state = WEIR_HTTP_CHUNK_SIZE;
    } else if (!f.has_length) {
        r->state = WEIR_HTTP_TO_CLOSE;
        r->keep_alive = false;
    } else if (f.length > r->limits.max_body) {
        return too_large(r, err);
    } else {
        r->state = WEIR_HTTP_BY_LENGTH;
        r->remaining = f.length;
        r->body.data = weir_arena_alloc(r->arena, (size_t)f.length);
        r->body.cap = r->body.data == NULL ? 0 : (size_t)f.length;
    }
    return WEIR_OK;
}

static weir_status_t count_header(weir_http_response_t *r, size_t n, weir_error_t *err)
{
    r->header_bytes += n;
    if (r->header_bytes > r->limits.max_header) {
        return weir_error(err, WEIR_ERR_LIMIT, "the response's header is larger than %zu bytes",
                          r->limits.max_header);
    }
    return WEIR_OK;
}

/* One line, or the part of it that has come; an empty line ends the header. */
static weir_status_t feed_header(weir_http_response_t *r, const char **p, const char *end,
                                 weir_error_t *err)
{
    const char *lf = memchr(*p, '\n', (size_t)(end - *p));
    size_t n = lf == NULL ? (size_t)(end - *p) : (size_t)(lf - *p) + 1;
    weir_status_t status = count_header(r, n, err);
    if (status != WEIR_OK) {
        return status;
    }
    /* What is not HTTP should not be read until a limit is reached. */
    size_t before = r->head.len;
    weir_buf_append(&r->head, *p, n);
    if (r->head.failed) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for the response's header");
    }
    if (before < 5 && memcmp(r->head.data, "HTTP/", r->head.len < 5 ? r->head.len : 5) != 0) {
        return weir_error(err, WEIR_ERR_INVALID, "what came is not an HTTP/1.1 response");
    }
    *p += n;
    r->line += n;
    if (lf == NULL) {
        return WEIR_OK;
    }
    bool empty = r->line == 1 || (r->line == 2 && r->head.data[r->head.len - 2] == '\r');
    r->line = 0;
    return empty ? end_header(r, err) : WEIR_OK;
}

static weir_status_t take_body(weir_http_response_t *r, const char **p, size_t n, weir_error_t *err)
{
    if (n > r->limits.max_body - r->body.len) {
        return too_large(r, err);
    }
    weir_buf_append(&r->body, *p, n);
    if (r->body.failed) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for the response's body");
    }
    *p += n;
    return WEIR_OK;
}

static weir_status_t feed_counted(weir_http_response_t *r, const char **p, const char *end,
                                  weir_error_t *err)
{
    size_t n = (size_t)(end - *p);
    if (n > r->remaining) {
        n = (size_t)r->remaining;
    }
    weir_status_t status = take_body(r, p, n, err);
    if (status != WEIR_OK) {
        return status;
    }
    r->remaining -= n;
    if (r->remaining == 0) {
        if (r->state == WEIR_HTTP_BY_LENGTH) {
            finish(r);
        } else {
            r->state = WEIR_HTTP_CHUNK_CR;
        }
    }
    return WEIR_OK;
}

static weir_status_t bad_chunk(weir_error_t *err)
{
    return weir_error(err, WEIR_ERR_INVALID, "the response's chunks are broken");
}

static weir_status_t end_chunk_size(weir_http_response_t *r, weir_error_t *err)
{
    if (r->size_digits == 0) {
        return bad_chunk(err);
    }
    r->size_digits = 0;
    r->last_cr = false;
    r->line = 0;
    if (r->remaining > r->limits.max_body - r->body.len) {
        return too_large(r, err);
    }
    r->state = r->remaining == 0 ? WEIR_HTTP_TRAILER : WEIR_HTTP_CHUNK_DATA;
    return WEIR_OK;
}

/* A byte of "1a;name=value CRLF". An extension is skipped, but counted as header. */
static weir_status_t feed_chunk_size(weir_http_response_t *r, unsigned char c, weir_error_t *err)
{
    if (c == '\n') {
        return end_chunk_size(r, err);
    }
    if (r->last_cr) {
        return bad_chunk(err);
    }
    if (c == '\r') {
        r->last_cr = true;
        return WEIR_OK;
    }
    if (r->state == WEIR_HTTP_CHUNK_EXTENSION) {
        return c < ' ' && c != '\t' ? bad_chunk(err) : count_header(r, 1, err);
    }
    if (c == ';' || c == ' ' || c == '\t') {
        r->state = WEIR_HTTP_CHUNK_EXTENSION;
        return WEIR_OK;
    }
    unsigned digit = c >= '0' && c <= '9'   ? c - (unsigned)'0'
                     : c >= 'a' && c <= 'f' ? c - (unsigned)'a' + 10
                     : c >= 'A' && c <= 'F' ? c - (unsigned)'A' + 10
                                            : 16;
    if (digit == 16 || r->size_digits == MAX_SIZE_DIGITS) {
        return bad_chunk(err);
    }
    r->size_digits++;
    r->remaining = r->remaining * 16 + digit;
    return WEIR_OK;
}

/* Trailers are dropped: nobody asked for any. */
static weir_status_t feed_trailer(weir_http_response_t *r, unsigned char c, weir_error_t *err)
{
    weir_status_t status = count_header(r, 1, err);
    if (status != WEIR_OK) {
        return status;
    }
    if (c == '\n') {
        if (r->line == 0) {
            finish(r);
        }
        r->line = 0;
        r->last_cr = false;
    } else if (r->last_cr) {
        return bad_chunk(err);
    } else if (c == '\r') {
        r->last_cr = true;
    } else {
        r->line++;
    }
    return WEIR_OK;
}

static weir_status_t feed_chunk_end(weir_http_response_t *r, unsigned char c, weir_error_t *err)
{
    if (r->state == WEIR_HTTP_CHUNK_CR && c == '\r') {
        r->state = WEIR_HTTP_CHUNK_LF;
        return WEIR_OK;
    }
    if (c != '\n') {
        return bad_chunk(err);
    }
    r->state = WEIR_HTTP_CHUNK_SIZE;
    return WEIR_OK;
}

static weir_status_t feed_some(weir_http_response_t *r, const char **p, const char *end,
                               weir_error_t *err)
{
    switch (r->state) {
    case WEIR_HTTP_HEADER:
        return feed_header(r, p, end, err);
    case WEIR_HTTP_BY_LENGTH:
    case WEIR_HTTP_CHUNK_DATA:
        return feed_counted(r, p, end, err);
    case WEIR_HTTP_TO_CLOSE:
        return take_body(r, p, (size_t)(end - *p), err);
    case WEIR_HTTP_CHUNK_SIZE:
    case WEIR_HTTP_CHUNK_EXTENSION:
        return feed_chunk_size(r, (unsigned char)*(*p)++, err);
    case WEIR_HTTP_CHUNK_CR:
    case WEIR_HTTP_CHUNK_LF:
        return feed_chunk_end(r, (unsigned char)*(*p)++, err);
    case WEIR_HTTP_TRAILER:
        return feed_trailer(r, (unsigned char)*(*p)++, err);
    case WEIR_HTTP_DONE:
        r->keep_alive = false;
        *p = end;
        return WEIR_OK;
    default:
        return weir_error(err, WEIR_ERR_STATE, "the response has already failed");
    }
}

weir_status_t weir_http_response_feed(weir_http_response_t *r, const void *data, size_t len,
                                      weir_error_t *err)
{
    const char *p = data;
    const char *end = p + len;
    if (len == 0) {
        return WEIR_OK;
    }
    r->started = true;
    while (p < end) {
        weir_status_t status = feed_some(r, &p, end, err);
        if (status != WEIR_OK) {
            r->state = WEIR_HTTP_FAILED;
            r->keep_alive = false;
            return status;
        }
    }
    return WEIR_OK;
}

weir_status_t weir_http_response_eof(weir_http_response_t *r, weir_error_t *err)
{
    r->keep_alive = false;
    if (r->state == WEIR_HTTP_TO_CLOSE) {
        finish(r);
    }
    if (r->complete) {
        return WEIR_OK;
    }
    r->state = WEIR_HTTP_FAILED;
    return weir_error(err, WEIR_ERR_INVALID,
                      "the connection was closed before the response was whole");
}

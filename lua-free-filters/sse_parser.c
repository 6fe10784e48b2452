#include "lua-free-filters/sse_parser.h"

#define MIN_EVENT 64

void weir_sse_parser_init(weir_sse_parser_t *p, weir_arena_t *arena, size_t max_event,
                          weir_sse_handler_pt handler, void *ctx)
{
    memset(p, 0, sizeof(*p));
    p->handler = handler;
    p->ctx = ctx;
    p->max_event = max_event < MIN_EVENT ? MIN_EVENT : max_event;
    weir_buf_init(&p->held, arena);
    weir_buf_init(&p->joined, arena);
    weir_buf_init(&p->fields, arena);
}

static void reset(weir_sse_parser_t *p)
{
    p->held.len = 0;
    p->fields.len = 0;
    p->line = 0;
    p->mark = 0;
    p->data_len = 0;
    p->name_len = 0;
    p->data_lines = 0;
    p->other = false;
    p->oversized = false;
    p->comment = false;
}

static weir_status_t tell(weir_sse_parser_t *p, weir_sse_kind_t kind, weir_str_t raw)
{
    weir_sse_event_t event = {.kind = kind, .raw = raw};
    return p->handler(p->ctx, &event);
}

/* The event in base[0..end) is complete. */
static weir_status_t dispatch(weir_sse_parser_t *p, const char *base, size_t end, bool unended)
{
    weir_sse_event_t event = {
        .kind = WEIR_SSE_EVENT,
        .raw = weir_str(base + p->mark, end - p->mark),
        .name = weir_str(p->name_len > 0 ? base + p->name_at : NULL, p->name_len),
        .fields = weir_str(p->fields.data, p->fields.len),
        .plain = !p->other && p->fields.len == 0 && !unended,
        .standard = !p->other && !unended,
        .unended = unended,
    };
    if (p->data_lines > 1) {
        event.data = weir_str(p->joined.data, p->joined.len);
    } else if (p->data_lines == 1) {
        event.data = weir_str(base + p->data_at, p->data_len);
    }
    if (event.data.len == 0) {
        event.kind = WEIR_SSE_EMPTY;
    }
    weir_status_t rc = p->handler(p->ctx, &event);
    reset(p);
    return rc;
}

static void add_data(weir_sse_parser_t *p, const char *base, size_t at, size_t len)
{
    p->data_lines++;
    if (p->data_lines == 1) {
        p->data_at = at;
        p->data_len = len;
        return;
    }
    if (p->data_lines == 2) {
        p->joined.len = 0;
        weir_buf_append(&p->joined, base + p->data_at, p->data_len);
    }
    weir_buf_append_char(&p->joined, '\n');
    weir_buf_append(&p->joined, base + at, len);
}

static void take_field(weir_sse_parser_t *p, const char *base, size_t at, size_t stop)
{
    const char *line = base + at;
    size_t len = stop - at;
    const char *colon = memchr(line, ':', len);
    size_t name_len = colon == NULL ? len : (size_t)(colon - line);
    size_t value = colon == NULL ? stop : at + name_len + 1;

    if (value < stop && base[value] == ' ') {
        value++;
    }
    if (name_len == 4 && memcmp(line, "data", 4) == 0) {
        add_data(p, base, value, stop - value);
    } else if (name_len == 5 && memcmp(line, "event", 5) == 0) {
        p->name_at = value;
        p->name_len = stop - value;
    } else if ((name_len == 2 && memcmp(line, "id", 2) == 0) ||
               (name_len == 5 && memcmp(line, "retry", 5) == 0)) {
        weir_buf_append(&p->fields, line, name_len);
        weir_buf_append_z(&p->fields, ": ");
        weir_buf_append(&p->fields, base + value, stop - value);
        weir_buf_append_char(&p->fields, '\n');
    } else if (name_len > 0) {
        p->other = true;
    }
}

/* The line base[p->line..stop); its line end reaches to end. *done: it ended an item. */
static weir_status_t take_line(weir_sse_parser_t *p, const char *base, size_t stop, size_t end,
                               bool *done)
{
    size_t at = p->line;

    if (!p->started) {
        p->started = true;
        if (stop >= 3 && memcmp(base, "\xef\xbb\xbf", 3) == 0) {
            p->mark = 3;
            at = 3;
        }
    }
    bool first = at == p->mark;
    *done = true;
    if (stop == at && !first) {
        return dispatch(p, base, end, false);
    }
    if (first && (stop == at || base[at] == ':')) {
        weir_sse_event_t event = {
            .kind = WEIR_SSE_COMMENT, .raw = weir_str(base + at, end - at), .unended = stop == end};
        reset(p);
        return p->handler(p->ctx, &event);
    }
    *done = false;
    take_field(p, base, at, stop);
    p->line = end;
    return p->joined.failed || p->fields.failed ? WEIR_ERR_NOMEM : WEIR_OK;
}

/*
 * The end of the line at data, or end. *lf remembers the next LF from call to call: in a text full
 * of CRs every byte is still looked at only twice.
 */
static const char *line_end(const char *data, const char *end, const char **lf)
{
    const char *cr;

    if (*lf == NULL || *lf < data) {
        *lf = memchr(data, '\n', (size_t)(end - data));
        *lf = *lf == NULL ? end : *lf;
    }
    cr = memchr(data, '\r', (size_t)(*lf - data));
    return cr == NULL ? *lf : cr;
}

/* What lies in held and in rest[0..len) belongs to an item over the limit: it leaves as it is. */
static weir_status_t begin_oversized(weir_sse_parser_t *p, const char *rest, size_t len)
{
    weir_status_t rc = WEIR_OK;
    const char *base = p->held.len > 0 ? p->held.data : rest;
    size_t n = p->held.len > 0 ? p->held.len : len;
    size_t mark = !p->started && n >= 3 && memcmp(base, "\xef\xbb\xbf", 3) == 0 ? 3 : p->mark;
    bool comment = p->line <= mark && base[mark] == ':';

    if (p->held.len > 0) {
        rc = tell(p, WEIR_SSE_PIECE, weir_str(base + mark, n - mark));
        mark = 0;
    }
    if (rc == WEIR_OK && len > mark) {
        rc = tell(p, WEIR_SSE_PIECE, weir_str(rest + mark, len - mark));
    }
    reset(p);
    p->started = true;
    p->oversized = true;
    p->comment = comment;
    return rc;
}

static weir_status_t end_oversized(weir_sse_parser_t *p)
{
    bool comment = p->comment;

    reset(p);
    return comment ? WEIR_OK : tell(p, WEIR_SSE_OVERSIZED, weir_str(NULL, 0));
}

/*
 * Goes on in an item over the limit; *at moves behind what belongs to it.
 */
static weir_status_t feed_oversized(weir_sse_parser_t *p, const char **at, const char *end,
                                    const char **lf)
{
    const char *start = *at;
    bool over = false;

    while (*at < end && !over) {
        if (p->skip_lf) {
            p->skip_lf = false;
            if (**at == '\n') {
                ++*at;
                continue;
            }
        }
        const char *stop = line_end(*at, end, lf);
        p->blank = p->blank && stop == *at;
        *at = stop;
        if (stop < end) {
            over = p->comment || p->blank;
            p->blank = true;
            p->skip_lf = *stop == '\r';
            ++*at;
        }
    }
    weir_status_t rc = tell(p, WEIR_SSE_PIECE, weir_str(start, (size_t)(*at - start)));
    return rc == WEIR_OK && over ? end_oversized(p) : rc;
}

/*
 * One line that ends at stop. The event that it belongs to starts at *start, or in held. *start
 * moves when the line ends an item or was moved into held.
 */
static weir_status_t feed_line(weir_sse_parser_t *p, const char **start, const char *stop)
{
    size_t len = (size_t)(stop + 1 - *start);
    bool done;
    weir_status_t rc;

    p->skip_lf = *stop == '\r';
    if (p->held.len + len > p->max_event) {
        bool blank_line = p->held.len + len - 1 == p->line && p->line > p->mark;
        rc = begin_oversized(p, *start, len);
        *start = stop + 1;
        p->blank = true;
        return rc == WEIR_OK && (blank_line || p->comment) ? end_oversized(p) : rc;
    }
    if (p->held.len == 0) {
        rc = take_line(p, *start, len - 1, len, &done);
        *start = done ? stop + 1 : *start;
        return rc;
    }
    weir_buf_append(&p->held, *start, len);
    *start = stop + 1;
    if (p->held.failed) {
        return WEIR_ERR_NOMEM;
    }
    return take_line(p, p->held.data, p->held.len - 1, p->held.len, &done);
}

/* Keeps the start of an event whose end has not come yet. */
static weir_status_t keep(weir_sse_parser_t *p, const char *start, const char *end, bool line_begun)
{
    size_t len = (size_t)(end - start);

    if (p->held.len + len > p->max_event) {
        weir_status_t rc = begin_oversized(p, start, len);
        p->blank = !line_begun;
        return rc;
    }
    weir_buf_append(&p->held, start, len);
    return p->held.failed ? WEIR_ERR_NOMEM : WEIR_OK;
}

weir_status_t weir_sse_parser_feed(weir_sse_parser_t *p, const char *data, size_t len)
{
    if (len == 0) {
        return WEIR_OK;
    }
    const char *at = data;
    const char *start = data; /* of the event at hand, as far as it is not in held */
    const char *end = data + len;
    const char *lf = NULL;
    bool line_begun = false; /* the piece ends inside a line */
    weir_status_t rc = WEIR_OK;

    while (at < end && rc == WEIR_OK) {
        if (p->oversized) {
            rc = feed_oversized(p, &at, end, &lf);
            start = at;
            line_begun = false;
            continue;
        }
        if (p->skip_lf) {
            p->skip_lf = false;
            if (*at == '\n') {
                at++;
                if (p->line == 0) {
                    rc = tell(p, WEIR_SSE_LINE_FEED, weir_str(start, 1));
                    start = at;
                } else {
                    p->line++;
                }
                continue;
            }
        }
        const char *stop = line_end(at, end, &lf);
        if (stop == end) {
            line_begun = true;
            break;
        }
        rc = feed_line(p, &start, stop);
        at = stop + 1;
        line_begun = false;
    }
    if (rc == WEIR_OK && start < end && !p->oversized) {
        rc = keep(p, start, end, line_begun);
    }
    return rc;
}

weir_status_t weir_sse_parser_finish(weir_sse_parser_t *p)
{
    weir_status_t rc = WEIR_OK;

    p->skip_lf = false;
    if (p->oversized) {
        weir_sse_event_t event = {.kind = WEIR_SSE_OVERSIZED, .unended = true};
        reset(p);
        return p->handler(p->ctx, &event);
    }
    if (p->held.len == 0) {
        return WEIR_OK;
    }
    if (p->held.len > p->line) {
        bool done;
        rc = take_line(p, p->held.data, p->held.len, p->held.len, &done);
        if (rc != WEIR_OK || done) {
            return rc;
        }
    }
    return dispatch(p, p->held.data, p->held.len, true);
}

#include "lua-free-filters/sse_parser.h"

/* More than "data", the colon and a space. */
#define LINE_SLACK 64

void weir_sse_parser_init(weir_sse_parser_t *p, weir_arena_t *arena, size_t max_data,
                          weir_sse_handler_pt handler, void *ctx)
{
    memset(p, 0, sizeof(*p));
    p->handler = handler;
    p->ctx = ctx;
    p->max_data = max_data;
    weir_buf_init(&p->line, arena);
    weir_buf_init(&p->data, arena);
}

static void dispatch(weir_sse_parser_t *p)
{
    if (p->has_data) {
        weir_sse_event_t event = {
            .name = weir_str(p->name, p->name_len),
            .data = p->oversized ? WEIR_STR("") : weir_str(p->data.data, p->data.len),
            .oversized = p->oversized,
        };
        p->handler(p->ctx, &event);
    }
    p->data.len = 0;
    p->name_len = 0;
    p->has_data = false;
    p->oversized = false;
}

static void add_data(weir_sse_parser_t *p, weir_str_t value)
{
    if (p->has_data && !p->oversized) {
        weir_buf_append_char(&p->data, '\n');
    }
    p->has_data = true;
    if (p->oversized || p->data.len + value.len > p->max_data) {
        p->oversized = true;
        return;
    }
    weir_buf_append_str(&p->data, value);
}

static void take_line(weir_sse_parser_t *p, weir_str_t line)
{
    if (!p->started) {
        p->started = true;
        if (line.len >= 3 && memcmp(line.data, "\xef\xbb\xbf", 3) == 0) {
            line = weir_str(line.data + 3, line.len - 3);
        }
    }
    if (line.len == 0) {
        dispatch(p);
        return;
    }

    const char *colon = memchr(line.data, ':', line.len);
    weir_str_t name = line;
    weir_str_t value = WEIR_STR("");
    if (colon != NULL) {
        name.len = (size_t)(colon - line.data);
        value = weir_str(colon + 1, line.len - name.len - 1);
        if (value.len > 0 && value.data[0] == ' ') {
            value = weir_str(value.data + 1, value.len - 1);
        }
    }
    if (weir_str_is(name, "data")) {
        add_data(p, value);
    } else if (weir_str_is(name, "event")) {
        p->name_len = value.len < sizeof(p->name) ? value.len : sizeof(p->name);
        memcpy(p->name, value.data, p->name_len);
    }
}

/* Keeps the start of a line whose end has not come yet. What is cut off is not missed: a data line
 * that long is over max_data with or without its rest. */
static void keep_partial(weir_sse_parser_t *p, const char *data, size_t len)
{
    size_t room = p->max_data + LINE_SLACK - p->line.len;
    len = len < room ? len : room;
    weir_buf_append(&p->line, data, len);
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

weir_status_t weir_sse_parser_feed(weir_sse_parser_t *p, const char *data, size_t len)
{
    const char *end = data + len;
    const char *lf = NULL;

    if (len > 0 && p->skip_lf) {
        p->skip_lf = false;
        data += *data == '\n';
    }
    while (data < end) {
        const char *stop = line_end(data, end, &lf);
        if (stop == end) {
            keep_partial(p, data, (size_t)(stop - data));
            break;
        }
        if (p->line.len > 0) {
            keep_partial(p, data, (size_t)(stop - data));
            take_line(p, weir_str(p->line.data, p->line.len));
            p->line.len = 0;
        } else {
            take_line(p, weir_str(data, (size_t)(stop - data)));
        }
        data = stop + 1;
        if (*stop == '\r') {
            if (data == end) {
                p->skip_lf = true;
            } else {
                data += *data == '\n';
            }
        }
    }
    return p->line.failed || p->data.failed ? WEIR_ERR_NOMEM : WEIR_OK;
}

weir_status_t weir_sse_parser_finish(weir_sse_parser_t *p)
{
    if (p->line.len > 0) {
        take_line(p, weir_str(p->line.data, p->line.len));
        p->line.len = 0;
    }
    dispatch(p);
    return p->line.failed || p->data.failed ? WEIR_ERR_NOMEM : WEIR_OK;
}

#include "lua-free-filters/pipeline.h"

#include "lua-free-filters/ending.h"
#include "lua-free-filters/pipeline_scratch.h"
#include "lua-free-filters/sse_from_json.h"
#include "lua-free-filters/sse_parser.h"

#define DEFAULT_MAX_EVENT    ((size_t)1 << 20)
#define DEFAULT_MAX_DOCUMENT ((size_t)16 << 20)
#define DEFAULT_MAX_NODES    ((uint32_t)256 << 10)

#define FIRST_BLOCK ((size_t)8 << 10)
#define LAST_BLOCK  ((size_t)128 << 10)

/* A part of a document: it grows without being copied. */
typedef struct block_s {
    struct block_s *next;
    size_t len;
    size_t cap;
    char data[];
} block_t;

struct weir_sink {
    weir_pipeline_t *p;
    uint32_t next; /* the filter that it leads to; n: the writer */
};

struct weir_pipeline {
    weir_pipeline_config_t config;
    weir_arena_t *arena;
    weir_scratch_t *scratch;
    const weir_filter_t *filters;
    weir_sink_t *sinks; /* n + 1: sinks[i] leads to filter i */
    uint32_t n;
    uint32_t closed; /* sinks below this number take nothing any more */
    uint32_t ending_at;
    weir_end_t end;
    weir_stop_t stop;
    weir_sse_parser_t parser;
    block_t *document;
    block_t *document_end;
    size_t document_len;
    weir_ending_t ending;
    const char *input; /* the piece at hand */
    size_t input_len;
    const char *slice; /* output that is put off because more of the input may follow it */
    size_t slice_len;
    char last;      /* the last byte written */
    bool collect;   /* in is JSON and must be whole before anything leaves */
    bool must_see;  /* a filter says so */
    bool written;   /* anything has left */
    bool finishing; /* finish has begun */
    bool finished;  /* nothing is read or written any more */
    bool passing;   /* the document is over the limit: its bytes pass */
    bool broken;
};

static weir_status_t on_event(void *ctx, const weir_sse_event_t *event);

/* --- output --- */

static weir_status_t write_out(weir_pipeline_t *p, const char *data, size_t len, bool stable)
{
    p->written = true;
    return p->config.write(p->config.write_ctx, data, len, stable);
}

static weir_status_t flush_slice(weir_pipeline_t *p)
{
    size_t len = p->slice_len;

    p->slice_len = 0;
    return len == 0 ? WEIR_OK : write_out(p, p->slice, len, true);
}

static bool in_input(const weir_pipeline_t *p, const char *data)
{
    return (uintptr_t)data >= (uintptr_t)p->input &&
           (uintptr_t)data < (uintptr_t)p->input + p->input_len;
}

static weir_status_t emit(weir_pipeline_t *p, const char *data, size_t len)
{
    if (len == 0 || p->config.tap) {
        return WEIR_OK;
    }
    p->last = data[len - 1];
    if (in_input(p, data)) {
        if (p->slice_len > 0 && p->slice + p->slice_len == data) {
            p->slice_len += len;
            return WEIR_OK;
        }
        weir_status_t rc = flush_slice(p);
        p->slice = data;
        p->slice_len = len;
        return rc;
    }
    weir_status_t rc = flush_slice(p);
    return rc == WEIR_OK ? write_out(p, data, len, false) : rc;
}

/* Appends "field: value" lines, one for each line of the value: what is in it can make no fields.
 */
static void frame_lines(weir_buf_t *out, const char *field, weir_str_t value)
{
    const char *at = value.data;
    const char *end = value.data + value.len;

    for (;;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop == NULL ? end : stop;
        const char *cr = memchr(at, '\r', (size_t)(stop - at));
        stop = cr == NULL ? stop : cr;
        weir_buf_append_z(out, field);
        weir_buf_append(out, at, (size_t)(stop - at));
        weir_buf_append_char(out, '\n');
        if (stop == end) {
            return;
        }
        at = stop + (end - stop > 1 && stop[0] == '\r' && stop[1] == '\n' ? 2 : 1);
    }
}

static weir_status_t write_event(weir_pipeline_t *p, const weir_item_t *item)
{
    /* The last event's LF may come too late. */
    bool half = p->ending.done && item->raw.len > 0 && item->raw.data[item->raw.len - 1] == '\r';

    if (item->raw.len > 0 && !half) {
        return emit(p, item->raw.data, item->raw.len);
    }
    if (item->data.len == 0) {
        return WEIR_OK;
    }
    weir_buf_t *frame = weir_scratch_frame(p->scratch);
    weir_buf_append_str(frame, item->fields);
    if (item->name.len > 0) {
        size_t n = 0;
        while (n < item->name.len && item->name.data[n] != '\n' && item->name.data[n] != '\r') {
            n++;
        }
        frame_lines(frame, "event: ", weir_str(item->name.data, n));
    }
    frame_lines(frame, "data: ", item->data);
    weir_buf_append_char(frame, '\n');
    return frame->failed ? WEIR_ERR_NOMEM : emit(p, frame->data, frame->len);
}

/* The end of the chain. */
static weir_status_t write_item(weir_pipeline_t *p, weir_item_t *item)
{
    weir_status_t rc;

    switch (item->kind) {
    case WEIR_ITEM_COMMENT:
        return p->ending.done ? WEIR_OK : emit(p, item->raw.data, item->raw.len);
    case WEIR_ITEM_EVENT:
    case WEIR_ITEM_DONE:
        if (p->ending.done) {
            return WEIR_OK;
        }
        rc = weir_ending_follow(&p->ending, item, &p->sinks[p->n]);
        return rc == WEIR_OK ? write_event(p, item) : rc;
    case WEIR_ITEM_DOCUMENT:
        if (item->raw.len > 0) {
            return emit(p, item->raw.data, item->raw.len);
        }
        return emit(p, item->data.data, item->data.len);
    case WEIR_ITEM_OVERSIZED:
        break;
    }
    return WEIR_OK;
}

/* --- the chain --- */

/* Whether filter i is not fed items of this kind. */
static bool skips(const weir_filter_table_t *table, weir_item_kind_t kind)
{
    switch (kind) {
    case WEIR_ITEM_DOCUMENT:
        return table->piece != NULL;
    case WEIR_ITEM_OVERSIZED:
        return (table->flags & WEIR_FILTER_WATCHES) == 0;
    default:
        return false;
    }
}

weir_status_t weir_sink_pass(weir_sink_t *sink, weir_item_t *item)
{
    weir_pipeline_t *p = sink->p;
    uint32_t i = sink->next;

    if (i < p->closed) {
        return WEIR_OK;
    }
    while (i < p->n && skips(p->filters[i].table, item->kind)) {
        i++;
    }
    weir_scratch_mark_t mark = weir_scratch_mark(p->scratch);
    bool scanned = item->scan == WEIR_SCAN_OK;
    weir_status_t rc = i == p->n
                           ? write_item(p, item)
                           : p->filters[i].table->feed(p->filters[i].self, item, &p->sinks[i + 1]);
    /* What was scanned behind the caller is gone with its place on the stack. */
    weir_scratch_fall_back(p->scratch, mark);
    if (!scanned && item->scan == WEIR_SCAN_OK) {
        item->scan = WEIR_SCAN_NOT_TRIED;
        item->found = false;
    }
    return rc;
}

weir_status_t weir_sink_event(weir_sink_t *sink, weir_str_t name, weir_str_t data)
{
    weir_item_t item = {.kind = WEIR_ITEM_EVENT, .name = name, .data = data};

    if (weir_str_is(data, "[DONE]")) {
        item.kind = WEIR_ITEM_DONE;
    }
    return weir_sink_pass(sink, &item);
}

void weir_sink_stop(weir_sink_t *sink, const weir_stop_t *stop)
{
    weir_pipeline_t *p = sink->p;

    if (p->stop.reason == WEIR_STOP_NONE && !p->finished) {
        p->stop = *stop;
        /* What this filter still passes on leaves; what those in front of it pass on does not. A
         * tapped body leaves up to the end of the piece at hand. */
        p->closed = p->config.tap ? 0 : sink->next;
    }
}

weir_arena_t *weir_sink_arena(weir_sink_t *sink)
{
    return weir_scratch_arena(sink->p->scratch);
}

const weir_json_doc_t *weir_item_json(weir_sink_t *sink, weir_item_t *item)
{
    weir_pipeline_t *p = sink->p;

    if (item->scan == WEIR_SCAN_NOT_TRIED) {
        bool good = item->data.len > 0 &&
                    weir_scratch_scan(p->scratch, item->data, p->config.max_nodes, &item->doc);
        item->scan = good ? WEIR_SCAN_OK : WEIR_SCAN_BAD;
    }
    return item->scan == WEIR_SCAN_OK ? &item->doc : NULL;
}

/* --- endings --- */

/* Writes what ends the answer, and lets nothing be read or written behind it. */
static weir_status_t write_ending(weir_pipeline_t *p)
{
    weir_buf_t *frame = weir_scratch_frame(p->scratch);
    const weir_stop_t *stop = p->stop.reason == WEIR_STOP_NONE ? NULL : &p->stop;
    bool sse = p->config.out == WEIR_BODY_SSE;
    weir_status_t rc = WEIR_OK;

    p->finished = true;
    if (p->end == WEIR_END_ABORT) {
        p->slice_len = 0;
        return WEIR_OK;
    }
    if (p->config.tap && !weir_sse_parser_between(&p->parser)) {
        p->broken = true;
    }
    if (!p->broken && sse) {
        p->broken = !weir_ending_write(&p->ending, p->end, stop, p->config.usage,
                                       p->config.usage_asked, frame);
    } else if (!p->broken && (stop != NULL || p->end != WEIR_END_COMPLETE)) {
        static const weir_stop_t cut = {.reason = WEIR_STOP_ERROR};
        p->broken = p->written || p->config.tap;
        if (!p->broken) {
            weir_ending_document(p->config.protocol, stop == NULL ? &cut : stop,
                                 p->config.usage == NULL ? WEIR_STR("") : p->config.usage->model,
                                 p->config.request_id, p->config.now, p->config.anthropic, frame);
        }
    }
    rc = flush_slice(p);
    if (rc == WEIR_OK && frame->failed) {
        rc = WEIR_ERR_NOMEM;
    }
    return rc == WEIR_OK && frame->len > 0 ? write_out(p, frame->data, frame->len, false) : rc;
}

/* Behind a stop: what the filters behind it hold, then the ending. */
static weir_status_t run_stop(weir_pipeline_t *p)
{
    weir_status_t rc = WEIR_OK;

    p->end = WEIR_END_STOPPED;
    p->finishing = true;
    for (uint32_t i = p->closed; i < p->n && rc == WEIR_OK; i++) {
        const weir_filter_t *f = &p->filters[i];
        p->closed = i + 1;
        rc = f->table->end == NULL ? WEIR_OK : f->table->end(f->self, p->end, &p->sinks[i + 1]);
        rc = rc == WEIR_ERR_BUSY ? WEIR_OK : rc;
    }
    p->ending_at = p->n;
    return rc == WEIR_OK ? write_ending(p) : rc;
}

/* The protocol's last event has left: the filters are told, but can say no more. */
static weir_status_t run_done(weir_pipeline_t *p)
{
    p->closed = p->n + 1;
    p->finished = true;
    for (; p->ending_at < p->n; p->ending_at++) {
        const weir_filter_t *f = &p->filters[p->ending_at];
        weir_status_t rc = f->table->end == NULL ? WEIR_OK
                                                 : f->table->end(f->self, WEIR_END_COMPLETE,
                                                                 &p->sinks[p->ending_at + 1]);
        if (rc != WEIR_OK && rc != WEIR_ERR_BUSY) {
            return rc;
        }
    }
    return WEIR_OK;
}

/* Behind every step: did a filter stop, is the protocol's stream over? */
static weir_status_t settle(weir_pipeline_t *p, weir_status_t rc)
{
    weir_scratch_item_done(p->scratch);
    if (rc != WEIR_OK || p->finished) {
        return rc;
    }
    if (p->stop.reason != WEIR_STOP_NONE) {
        return p->config.tap && p->input != NULL ? WEIR_OK : run_stop(p);
    }
    return p->ending.done ? run_done(p) : WEIR_OK;
}

/* --- input --- */

static weir_status_t stop_oversized(weir_pipeline_t *p)
{
    static const weir_stop_t stop = {
        .reason = WEIR_STOP_ERROR,
        .status = 502,
        .code = "upstream_too_large",
        .message = "the upstream sent an event or a document over the gateway's limit",
    };
    p->stop = stop;
    return settle(p, WEIR_OK);
}

/* An event without its blank line is worth something only when it is whole. */
static bool whole(weir_pipeline_t *p, weir_item_t *item)
{
    if (item->kind == WEIR_ITEM_DONE || weir_item_json(&p->sinks[0], item) != NULL) {
        return true;
    }
    return p->config.upstream == WEIR_PROTOCOL_OTHER && p->end == WEIR_END_COMPLETE;
}

static weir_status_t take_event(weir_pipeline_t *p, const weir_sse_event_t *event)
{
    weir_item_t item = {.kind = WEIR_ITEM_EVENT, .name = event->name, .data = event->data};

    if (event->data.len == 6 && memcmp(event->data.data, "[DONE]", 6) == 0) {
        item.kind = WEIR_ITEM_DONE;
    }
    /* Clients of the known APIs choke on them; others may need them to go on where they were. */
    if (p->config.protocol == WEIR_PROTOCOL_OTHER) {
        item.fields = event->fields;
    }
    if (event->plain || (event->standard && item.fields.len > 0)) {
        item.raw = event->raw;
    }
    if (event->unended && !whole(p, &item)) {
        p->broken = p->config.tap;
        return WEIR_OK;
    }
    weir_status_t rc = weir_sink_pass(&p->sinks[0], &item);
    if (rc == WEIR_OK && event->unended && p->config.tap) {
        rc = write_out(p, "\n\n", 2, false);
    }
    return settle(p, rc);
}

/* The body ended inside a comment: what follows must not become a part of it. */
static weir_status_t take_torn_comment(weir_pipeline_t *p)
{
    return p->config.tap && !p->broken ? write_out(p, "\n", 1, false) : WEIR_OK;
}

static weir_status_t on_event(void *ctx, const weir_sse_event_t *event)
{
    weir_pipeline_t *p = ctx;
    weir_item_t item = {.kind = WEIR_ITEM_COMMENT, .raw = event->raw};

    if (p->finished) {
        return WEIR_OK;
    }
    switch (event->kind) {
    case WEIR_SSE_EVENT:
        return take_event(p, event);
    case WEIR_SSE_COMMENT:
        return event->unended ? take_torn_comment(p)
                              : settle(p, weir_sink_pass(&p->sinks[0], &item));
    case WEIR_SSE_EMPTY:
        /* Tapped, the start of an event has left; an ending would become a part of it. */
        p->broken = p->broken || (event->unended && p->config.tap);
        break;
    case WEIR_SSE_LINE_FEED:
        return p->last == '\r' ? emit(p, event->raw.data, event->raw.len) : WEIR_OK;
    case WEIR_SSE_PIECE:
        return p->must_see ? stop_oversized(p) : emit(p, event->raw.data, event->raw.len);
    case WEIR_SSE_OVERSIZED:
        p->broken = p->broken || event->unended;
        item.kind = WEIR_ITEM_OVERSIZED;
        item.raw.len = 0;
        return settle(p, weir_sink_pass(&p->sinks[0], &item));
    }
    return WEIR_OK;
}

static weir_status_t collect(weir_pipeline_t *p, const char *data, size_t len)
{
    while (len > 0) {
        block_t *b = p->document_end;
        if (b == NULL || b->len == b->cap) {
            size_t cap = b == NULL ? FIRST_BLOCK : b->cap < LAST_BLOCK ? 2 * b->cap : b->cap;
            block_t *next = weir_arena_alloc(p->arena, sizeof(*next) + cap);
            if (next == NULL) {
                return WEIR_ERR_NOMEM;
            }
            *next = (block_t){.cap = cap};
            *(b == NULL ? &p->document : &b->next) = next;
            p->document_end = b = next;
        }
        size_t n = len < b->cap - b->len ? len : b->cap - b->len;
        memcpy(b->data + b->len, data, n);
        b->len += n;
        p->document_len += n;
        data += n;
        len -= n;
    }
    return WEIR_OK;
}

/* The document in one piece. */
static weir_status_t join(weir_pipeline_t *p, weir_str_t *text)
{
    *text = weir_str(NULL, 0);
    if (p->document == NULL || p->document->next == NULL) {
        if (p->document != NULL) {
            *text = weir_str(p->document->data, p->document_len);
        }
        return WEIR_OK;
    }
    char *whole = weir_arena_alloc(p->arena, p->document_len);
    if (whole == NULL) {
        return WEIR_ERR_NOMEM;
    }
    *text = weir_str(whole, p->document_len);
    for (const block_t *b = p->document; b != NULL; b = b->next) {
        memcpy(whole, b->data, b->len);
        whole += b->len;
    }
    return WEIR_OK;
}

static weir_status_t feed_document(weir_pipeline_t *p, const char *data, size_t len)
{
    for (uint32_t i = 0; i < p->n; i++) {
        const weir_filter_t *f = &p->filters[i];
        weir_status_t rc = f->table->piece == NULL ? WEIR_OK : f->table->piece(f->self, data, len);
        if (rc != WEIR_OK) {
            return rc;
        }
    }
    if (!p->collect || p->passing) {
        return emit(p, data, len);
    }
    if (len <= p->config.max_document - p->document_len) {
        return collect(p, data, len);
    }
    if (p->must_see || p->config.out == WEIR_BODY_SSE) {
        return stop_oversized(p);
    }
    p->passing = true;
    weir_status_t rc = WEIR_OK;
    for (const block_t *b = p->document; b != NULL && rc == WEIR_OK; b = b->next) {
        rc = emit(p, b->data, b->len);
    }
    return rc == WEIR_OK ? emit(p, data, len) : rc;
}

static weir_status_t finish_document(weir_pipeline_t *p)
{
    weir_item_t item = {.kind = WEIR_ITEM_DOCUMENT};

    if (p->end == WEIR_END_CUT) {
        p->broken = !p->collect || p->passing;
        return WEIR_OK;
    }
    if (p->passing) {
        item.kind = WEIR_ITEM_OVERSIZED;
        return settle(p, weir_sink_pass(&p->sinks[0], &item));
    }
    if (!p->collect) {
        return WEIR_OK;
    }
    if (join(p, &item.data) != WEIR_OK) {
        return WEIR_ERR_NOMEM;
    }
    item.raw = item.data;
    if (p->config.out == WEIR_BODY_SSE) {
        return settle(
            p, weir_sse_from_json(p->config.upstream, &item, p->config.request_id, &p->sinks[0]));
    }
    return settle(p, weir_sink_pass(&p->sinks[0], &item));
}

/* --- the interface --- */

weir_status_t weir_pipeline_open(weir_arena_t *arena, weir_scratch_t *scratch,
                                 const weir_pipeline_config_t *config, const weir_filter_t *filters,
                                 uint32_t n, weir_pipeline_t **out)
{
    weir_pipeline_t *p = weir_arena_calloc(arena, 1, sizeof(*p));
    weir_sink_t *sinks = weir_arena_calloc(arena, (size_t)n + 1, sizeof(*sinks));
    weir_filter_t *copy = weir_arena_calloc(arena, n, sizeof(*copy));

    if (p == NULL || sinks == NULL || copy == NULL) {
        return WEIR_ERR_NOMEM;
    }
    if (config->in == WEIR_BODY_SSE && config->out == WEIR_BODY_JSON) {
        return WEIR_ERR_UNSUPPORTED;
    }
    p->config = *config;
    p->arena = arena;
    p->scratch = scratch;
    p->filters = copy;
    p->sinks = sinks;
    p->n = n;
    p->collect = config->in == WEIR_BODY_JSON && config->out == WEIR_BODY_SSE;
    for (uint32_t i = 0; i <= n; i++) {
        sinks[i] = (weir_sink_t){p, i};
    }
    for (uint32_t i = 0; i < n; i++) {
        const weir_filter_table_t *table = filters[i].table;
        bool watches = (table->flags & WEIR_FILTER_WATCHES) != 0;
        if (config->tap && (!watches || config->in != config->out)) {
            return WEIR_ERR_INVALID;
        }
        copy[i] = filters[i];
        p->must_see = p->must_see || (table->flags & WEIR_FILTER_MUST_SEE) != 0;
        p->collect = p->collect || (config->in == WEIR_BODY_JSON && table->piece == NULL);
    }
    if (p->config.max_event == 0) {
        p->config.max_event = DEFAULT_MAX_EVENT;
    }
    if (p->config.max_document == 0) {
        p->config.max_document = DEFAULT_MAX_DOCUMENT;
    }
    if (p->config.max_nodes == 0) {
        p->config.max_nodes = DEFAULT_MAX_NODES;
    }
    const char *id = config->request_id == NULL ? "" : config->request_id;
    p->config.request_id = weir_arena_strndup(arena, id, strlen(id));
    if (p->config.request_id == NULL) {
        return WEIR_ERR_NOMEM;
    }
    weir_sse_parser_init(&p->parser, arena, p->config.max_event, on_event, p);
    weir_ending_init(&p->ending, config->protocol, arena, p->config.request_id, config->now);
    *out = p;
    return WEIR_OK;
}

weir_status_t weir_pipeline_feed(weir_pipeline_t *p, const char *data, size_t len)
{
    weir_status_t rc;

    if (p->finished || p->finishing || len == 0) {
        return WEIR_OK;
    }
    p->input = data;
    p->input_len = len;
    rc = p->config.in == WEIR_BODY_SSE ? weir_sse_parser_feed(&p->parser, data, len)
                                       : feed_document(p, data, len);
    p->input = NULL;
    p->input_len = 0;
    if (rc == WEIR_OK) {
        rc = flush_slice(p);
    }
    rc = settle(p, rc);
    weir_scratch_call_done(p->scratch);
    return rc;
}

/* Tells the filters that have not been told, then ends. */
static weir_status_t run_end(weir_pipeline_t *p)
{
    while (p->ending_at < p->n && !p->finished) {
        const weir_filter_t *f = &p->filters[p->ending_at];
        weir_status_t rc = WEIR_OK;
        if (f->table->end != NULL) {
            rc = f->table->end(f->self, p->end, &p->sinks[p->ending_at + 1]);
        }
        if (rc == WEIR_ERR_BUSY && p->end != WEIR_END_ABORT && p->stop.reason == WEIR_STOP_NONE) {
            rc = flush_slice(p);
            return rc == WEIR_OK ? WEIR_ERR_BUSY : rc;
        }
        p->ending_at++;
        rc = settle(p, rc == WEIR_ERR_BUSY ? WEIR_OK : rc);
        if (rc != WEIR_OK) {
            return rc;
        }
    }
    return p->finished ? flush_slice(p) : write_ending(p);
}

weir_status_t weir_pipeline_finish(weir_pipeline_t *p, weir_end_t why)
{
    weir_status_t rc = WEIR_OK;

    if (p->finished || p->finishing) {
        return WEIR_OK;
    }
    p->finishing = true;
    p->end = why;
    if (why == WEIR_END_ABORT) {
        p->closed = p->n + 1;
    } else if (p->config.in == WEIR_BODY_SSE) {
        /* What has been tapped of an event has left already. */
        if (p->config.tap && why == WEIR_END_CUT && !weir_sse_parser_between(&p->parser)) {
            p->broken = true;
        }
        rc = weir_sse_parser_finish(&p->parser);
    } else {
        rc = finish_document(p);
    }
    if (rc == WEIR_OK) {
        rc = run_end(p);
    }
    weir_scratch_call_done(p->scratch);
    return rc;
}

weir_status_t weir_pipeline_stop(weir_pipeline_t *p, const weir_stop_t *stop)
{
    weir_status_t rc;

    if (p->finished || p->stop.reason != WEIR_STOP_NONE) {
        return WEIR_OK;
    }
    p->stop = *stop;
    p->closed = p->closed < p->ending_at ? p->ending_at : p->closed;
    rc = run_stop(p);
    weir_scratch_call_done(p->scratch);
    return rc;
}

weir_status_t weir_pipeline_wake(weir_pipeline_t *p)
{
    weir_status_t rc = WEIR_OK;

    for (uint32_t i = 0; i < p->n && !p->finished && rc == WEIR_OK; i++) {
        const weir_filter_t *f = &p->filters[i];
        if (f->table->wake != NULL && i >= p->ending_at) {
            rc = settle(p, f->table->wake(f->self, &p->sinks[i + 1]));
        }
    }
    if (rc == WEIR_OK && p->finishing && !p->finished) {
        rc = run_end(p);
    }
    if (rc == WEIR_OK) {
        rc = flush_slice(p);
    }
    weir_scratch_call_done(p->scratch);
    return rc;
}

bool weir_pipeline_ended(const weir_pipeline_t *p)
{
    return p->finished && !p->broken && p->end != WEIR_END_ABORT;
}

const weir_stop_t *weir_pipeline_stopped(const weir_pipeline_t *p)
{
    return p->stop.reason == WEIR_STOP_NONE ? NULL : &p->stop;
}

bool weir_pipeline_broken(const weir_pipeline_t *p)
{
    return p->broken;
}

bool weir_pipeline_cut(const weir_pipeline_t *p)
{
    bool document = p->config.out == WEIR_BODY_JSON;

    return p->stop.reason == WEIR_STOP_NONE &&
           (p->ending.cut || p->broken || (document && p->end == WEIR_END_CUT));
}

size_t weir_pipeline_held(const weir_pipeline_t *p)
{
    return weir_sse_parser_held(&p->parser) + (p->passing ? 0 : p->document_len);
}

size_t weir_pipeline_load(const weir_pipeline_t *p, bool finish)
{
    bool document = p->config.in == WEIR_BODY_JSON;
    size_t load = document && (!finish || p->passing) ? 0 : weir_pipeline_held(p);

    for (uint32_t i = 0; i < p->n && !p->finished; i++) {
        const weir_filter_t *f = &p->filters[i];
        load += f->table->held == NULL ? 0 : f->table->held(f->self);
    }
    return p->finished ? 0 : load;
}

bool weir_pipeline_waiting(const weir_pipeline_t *p)
{
    for (uint32_t i = 0; i < p->n && !p->finished; i++) {
        const weir_filter_t *f = &p->filters[i];
        if (f->table->waiting != NULL && f->table->waiting(f->self)) {
            return true;
        }
    }
    return false;
}

bool weir_pipeline_movable(const weir_pipeline_t *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        if ((p->filters[i].table->flags & WEIR_FILTER_AT_HOME) != 0) {
            return false;
        }
    }
    return true;
}

void weir_pipeline_move(weir_pipeline_t *p, weir_scratch_t *scratch)
{
    p->scratch = scratch;
}

void weir_pipeline_landed(weir_pipeline_t *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        const weir_filter_t *f = &p->filters[i];
        if (f->table->landed != NULL) {
            f->table->landed(f->self);
        }
    }
}

bool weir_pipeline_may_ping(const weir_pipeline_t *p)
{
    return p->config.out == WEIR_BODY_SSE && !p->finished && !p->parser.oversized &&
           (!p->config.tap || weir_sse_parser_between(&p->parser));
}

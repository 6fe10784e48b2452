#include "lua-free-filters/request_guard.h"

#include <stdlib.h>

#include "lua-free-filters/json_numbers.h"

/* What a name at the border of two slices may reach over. */
#define NAME_OVERLAP (2 * (size_t)WEIR_PLACEHOLDER_NAME)

/* Where a slice had to be ended without a decision, so much of it is looked at again. */
#define FORCED_OVERLAP ((size_t)4096)

/* A splice takes as long as scanning so many bytes. */
#define SPLICE_COST 32

/* To score a text, however short, takes as long as scanning so many bytes. */
#define SCORE_COST 64

/* A JSON text and where it stands in the body: itself, or within a string of it. */
typedef struct {
    const char *text;
    size_t outer; /* body offset of the string's first byte; used when inner */
    size_t outer_end;
    bool inner;
} layer_t;

/* Where a decoded byte stands in a layer; only ever goes forward. */
typedef struct {
    size_t raw;
    size_t decoded;
} cursor_t;

/* One string or number that is scanned on its own. */
typedef struct {
    layer_t layer;
    size_t begin; /* in the layer, inside the quotes */
    size_t end;
    size_t whole; /* the value's end: behind `end` where that is a number's fraction */
    bool bare;    /* a number: what takes its place needs quotes */
    bool open;    /* there is one */
    size_t left;  /* the next slice's first byte, */
    size_t from;  /* and the first that is not decided */
    size_t size;  /* of the next slice */
    size_t base;  /* decoded bytes in front of left */
    size_t fresh; /* the first byte that is not in the page or one before it */
} segment_t;

typedef struct {
    size_t start; /* in the body */
    size_t end;
    uint32_t text;
    weir_request_action_t action;
    bool inner;
    bool bare;
    const char *type;
    weir_str_t value;
    weir_str_t replacement;
} found_t;

struct weir_request_guard {
    weir_arena_t *arena;
    const weir_json_doc_t *doc;
    const weir_request_text_t *texts;
    uint32_t count;
    uint32_t at; /* the text that is scanned */
    weir_request_guard_options_t options;
    segment_t segment;
    weir_json_doc_t inner; /* of text `at`, when inner_next is below its count */
    uint32_t inner_next;
    found_t *found;
    uint32_t found_count;
    uint32_t found_cap;
    char *buffer; /* a decoded slice */
    size_t buffer_cap;
    char *page; /* of the segment, so far; a byte longer than one can be */
    size_t page_len;
    uint64_t scanned;
    bool truncated;
    bool needs_names;
    bool unsorted;  /* found is not by start */
    uint32_t shown; /* names(): the next string, and how far it is shown */
    size_t shown_to;
    uint32_t shown_found;
    uint32_t spliced; /* edit(): the next finding, and where the last one ended */
    size_t spliced_to;
};

weir_status_t weir_request_guard_open(weir_arena_t *arena, const weir_json_doc_t *doc,
                                      const weir_request_text_t *texts, uint32_t count,
                                      const weir_request_guard_options_t *options,
                                      weir_request_guard_t **out)
{
    weir_request_guard_t *g = weir_arena_calloc(arena, 1, sizeof *g);
    if (g == NULL)
        return WEIR_ERR_NOMEM;
    g->arena = arena;
    g->doc = doc;
    g->texts = texts;
    g->count = count;
    g->options = *options;
    *out = g;
    return WEIR_OK;
}

bool weir_request_guard_truncated(const weir_request_guard_t *g)
{
    return g->truncated;
}

uint64_t weir_request_guard_scanned(const weir_request_guard_t *g)
{
    return g->scanned;
}

bool weir_request_guard_edits(const weir_request_guard_t *g)
{
    return g->found_count > 0;
}

bool weir_request_guard_needs_names(const weir_request_guard_t *g)
{
    return g->needs_names;
}

/* --- escapes --- */

static unsigned hex4(const char *p)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        unsigned digit = c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
        value = value * 16 + digit;
    }
    return value;
}

/* The character at p, which the scanner has found to be good: its raw length and, in out, its
 * UTF-8 bytes. */
static size_t unescape(const char *p, char out[4], size_t *n)
{
    static const char names[] = "bfnrt\"\\/";
    static const char values[] = "\b\f\n\r\t\"\\/";
    if (p[0] != '\\') {
        out[0] = p[0];
        *n = 1;
        return 1;
    }
    if (p[1] != 'u') {
        const char *name = strchr(names, p[1]);
        out[0] = name == NULL ? p[1] : values[name - names];
        *n = 1;
        return 2;
    }
    unsigned code = hex4(p + 2);
    size_t raw = 6;
    if (code >= 0xd800 && code < 0xdc00) {
        code = 0x10000 + ((code - 0xd800) << 10) + (hex4(p + 8) - 0xdc00);
        raw = 12;
    }
    if (code < 0x80) {
        out[0] = (char)code;
        *n = 1;
    } else if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        *n = 2;
    } else if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        *n = 3;
    } else {
        out[0] = (char)(0xf0 | code >> 18);
        out[1] = (char)(0x80 | (code >> 12 & 0x3f));
        out[2] = (char)(0x80 | (code >> 6 & 0x3f));
        out[3] = (char)(0x80 | (code & 0x3f));
        *n = 4;
    }
    return raw;
}

static size_t escape_length(const char *p)
{
    char out[4];
    size_t n;
    return unescape(p, out, &n);
}

/* Decodes text[begin..end), cut anywhere but in an escape. Without escapes nothing is copied. */
static bool decode(weir_request_guard_t *g, const char *text, size_t begin, size_t end,
                   weir_str_t *out)
{
    size_t len = end - begin;
    if (len == 0 || memchr(text + begin, '\\', len) == NULL) {
        *out = weir_str(text + begin, len);
        return true;
    }
    if (g->buffer_cap < len) {
        size_t cap = len < WEIR_REQUEST_MAX_SLICE ? WEIR_REQUEST_MAX_SLICE : len;
        g->buffer = weir_arena_alloc(g->arena, cap + 4);
        g->buffer_cap = g->buffer == NULL ? 0 : cap;
        if (g->buffer == NULL)
            return false;
    }
    char *to = g->buffer;
    for (size_t i = begin; i < end;) {
        size_t n;
        i += unescape(text + i, to, &n);
        to += n;
    }
    *out = weir_str(g->buffer, (size_t)(to - g->buffer));
    return true;
}

static void advance(cursor_t *c, const char *text, size_t decoded)
{
    while (c->decoded < decoded) {
        char out[4];
        size_t n;
        c->raw += unescape(text + c->raw, out, &n);
        c->decoded += n;
    }
}

/* The first place at or behind `at` where a slice may end: outside of escapes and characters. An
 * escape is found by going forward from `safe`, which is outside of one. */
static size_t border(const char *text, size_t safe, size_t at, size_t end)
{
    size_t i = safe;
    while (i < at) {
        const char *slash = memchr(text + i, '\\', at - i);
        if (slash == NULL) {
            i = at;
            break;
        }
        i = (size_t)(slash - text);
        i += escape_length(text + i);
    }
    while (i < end && ((unsigned char)text[i] & 0xc0) == 0x80)
        i++;
    return i;
}

/* --- segments --- */

static void begin_segment(segment_t *s, const layer_t *layer, const weir_json_node_t *node)
{
    bool string = node->type == WEIR_JSON_STRING;
    *s = (segment_t){.layer = *layer,
                     .begin = node->start + (string ? 1 : 0),
                     .end = node->end - (string ? 1 : 0),
                     .bare = !string,
                     .open = true,
                     .size = WEIR_REQUEST_SLICE};
    s->whole = s->end;
    if (s->bare)
        s->end = s->begin +
                 weir_json_number_text(weir_str(layer->text + s->begin, s->whole - s->begin)).len;
    s->left = s->from = s->fresh = s->begin;
}

/* The arguments of a tool call: JSON in a string. False: read them as plain text. */
static bool open_inner(weir_request_guard_t *g, uint32_t node)
{
    weir_str_t text;
    const weir_json_limits_t limits = {.allow_duplicate_keys = true};
    if (g->doc->nodes[node].end - g->doc->nodes[node].start > WEIR_REQUEST_MAX_JSON)
        return false;
    if (weir_json_string(g->doc, node, g->arena, &text) != WEIR_OK ||
        weir_json_parse(text.data, text.len, &limits, g->arena, &g->inner, NULL) != WEIR_OK)
        return false;
    weir_json_type_t type = weir_json_type(&g->inner, 0);
    g->inner_next = 0;
    return type == WEIR_JSON_OBJECT || type == WEIR_JSON_ARRAY;
}

static bool next_inner(weir_request_guard_t *g)
{
    const weir_json_node_t *outer = &g->doc->nodes[g->texts[g->at].node];
    const layer_t layer = {g->inner.text, outer->start + 1, outer->end - 1, true};
    while (g->inner_next < g->inner.count) {
        const weir_json_node_t *node = &g->inner.nodes[g->inner_next++];
        size_t len = node->end - node->start;
        if ((node->type == WEIR_JSON_STRING && len > 2) ||
            (node->type == WEIR_JSON_NUMBER && len >= 7)) {
            begin_segment(&g->segment, &layer, node);
            return true;
        }
    }
    g->inner.count = 0;
    g->at++;
    return false;
}

static bool next_segment(weir_request_guard_t *g)
{
    const layer_t body = {.text = g->doc->text};
    for (;;) {
        if (g->inner.count > 0) {
            if (next_inner(g))
                return true;
            continue;
        }
        while (g->at < g->count && (g->options.parts >> g->texts[g->at].part & 1) == 0)
            g->at++;
        if (g->at == g->count)
            return false;
        const weir_request_text_t *t = &g->texts[g->at];
        if (t->json && open_inner(g, t->node))
            continue;
        g->inner.count = 0;
        begin_segment(&g->segment, &body, &g->doc->nodes[t->node]);
        return true;
    }
}

static void end_segment(weir_request_guard_t *g)
{
    g->segment.open = false;
    if (g->inner.count == 0)
        g->at++;
}

/* --- findings --- */

static found_t *add_found(weir_request_guard_t *g)
{
    if (g->found_count == g->found_cap) {
        uint32_t cap = g->found_cap == 0 ? 16 : g->found_cap * 2;
        found_t *more = weir_arena_alloc(g->arena, cap * sizeof *more);
        if (more == NULL)
            return NULL;
        if (g->found_count > 0)
            memcpy(more, g->found, g->found_count * sizeof *more);
        g->found = more;
        g->found_cap = cap;
    }
    return &g->found[g->found_count++];
}

/* The entity stands at [start, end) of the segment's layer. */
static weir_status_t take_finding(weir_request_guard_t *g, const weir_guard_finding_t *f,
                                  weir_str_t value, size_t start, size_t end)
{
    const segment_t *s = &g->segment;
    weir_str_t replacement = {NULL, 0};
    weir_guard_finding_t seen = *f;
    seen.start += (uint32_t)s->base;
    seen.end += (uint32_t)s->base;
    weir_request_action_t action =
        g->options.decide(g->options.ctx, &seen, value, g->texts[g->at].part, g->at, &replacement);
    if (action == WEIR_REQUEST_STOP)
        return WEIR_ERR_STATE;
    if (action == WEIR_REQUEST_KEEP)
        return WEIR_OK;
    found_t *found = add_found(g);
    if (found == NULL)
        return WEIR_ERR_NOMEM;
    *found = (found_t){.start = start,
                       .end = end,
                       .text = g->at,
                       .action = action,
                       .inner = s->layer.inner,
                       .bare = s->bare,
                       .type = f->type,
                       .replacement = replacement};
    if (s->bare) {
        found->start = s->begin; /* half a number cannot be quoted */
        found->end = s->whole;
    }
    if (s->layer.inner) {
        cursor_t c = {s->layer.outer, 0};
        advance(&c, g->doc->text, found->start);
        found->start = c.raw;
        advance(&c, g->doc->text, s->bare ? s->whole : end);
        found->end = c.raw;
    }
    if (g->found_count > 1 && found->start < found[-1].start)
        g->unsorted = true;
    if (action == WEIR_REQUEST_NAME) {
        g->needs_names = true;
        found->value.len = value.len;
        found->value.data = weir_arena_strndup(g->arena, value.data, value.len);
        if (found->value.data == NULL)
            return WEIR_ERR_NOMEM;
    }
    return WEIR_OK;
}

/* --- slices --- */

typedef struct {
    weir_str_t text; /* decoded */
    size_t from;     /* the first byte that is not decided */
    size_t end;      /* raw */
    bool more;
} slice_t;

/* How long it is, but for its left context. */
static size_t next_slice(const segment_t *s)
{
    return s->end - s->from > s->size ? s->size : s->end - s->from;
}

static bool cut_slice(weir_request_guard_t *g, slice_t *slice)
{
    const segment_t *s = &g->segment;
    const char *text = s->layer.text;
    slice->more = s->end - s->from > s->size;
    slice->end = slice->more ? border(text, s->from, s->from + s->size, s->end) : s->end;
    slice->more = slice->end < s->end;
    if (!decode(g, text, s->left, slice->end, &slice->text))
        return false;
    cursor_t c = {s->left, 0};
    while (c.raw < s->from)
        advance(&c, text, c.decoded + 1);
    slice->from = c.decoded;
    return true;
}

/* What follows is scanned with so much left context as matters. */
static void move_on(segment_t *s, const slice_t *slice, size_t decided)
{
    size_t left = decided > WEIR_GUARD_LEFT_CODED ? decided - WEIR_GUARD_LEFT_CODED : 0;
    while (left > 0 && left < slice->text.len &&
           ((unsigned char)slice->text.data[left] & 0xc0) == 0x80)
        left--;
    cursor_t c = {s->left, 0};
    advance(&c, s->layer.text, left);
    size_t raw_left = c.raw;
    size_t base = c.decoded;
    advance(&c, s->layer.text, decided);
    s->from = c.raw;
    s->left = raw_left;
    s->base += base;
    s->size = WEIR_REQUEST_SLICE;
}

static weir_status_t classify(weir_request_guard_t *g, weir_guard_fold_t *fold,
                              const slice_t *slice, size_t *cost, weir_error_t *err);

static weir_status_t take_all(weir_request_guard_t *g, const slice_t *slice,
                              const weir_guard_result_t *found, size_t limit)
{
    cursor_t c = {g->segment.left, 0};
    for (size_t i = 0; i < found->count; i++) {
        const weir_guard_finding_t *f = &found->findings[i];
        if (f->start < slice->from || f->start >= limit)
            continue;
        advance(&c, g->segment.layer.text, f->start);
        size_t start = c.raw;
        advance(&c, g->segment.layer.text, f->end);
        weir_status_t rc = take_finding(
            g, f, weir_str(slice->text.data + f->start, f->end - f->start), start, c.raw);
        if (rc != WEIR_OK)
            return rc;
    }
    return WEIR_OK;
}

/* How far the slice is decided; 0 of one that is not the last: a longer one is needed. */
static size_t decided_to(const segment_t *s, const slice_t *slice, const weir_guard_result_t *found)
{
    if (!slice->more)
        return slice->text.len;
    size_t hold = found->hold < slice->text.len ? found->hold : slice->text.len;
    if (hold > slice->from)
        return hold;
    if (s->size < WEIR_REQUEST_MAX_SLICE)
        return 0;
    hold = slice->text.len - FORCED_OVERLAP;
    for (size_t i = 0; i < found->count; i++)
        if (found->findings[i].start < hold && found->findings[i].end > hold)
            hold = found->findings[i].end;
    while (hold < slice->text.len && ((unsigned char)slice->text.data[hold] & 0xc0) == 0x80)
        hold++;
    return hold;
}

static weir_status_t scan_slice(weir_request_guard_t *g, weir_guard_scratch_t *scratch,
                                weir_guard_fold_t *fold, size_t *cost, weir_error_t *err)
{
    segment_t *s = &g->segment;
    slice_t slice;
    weir_guard_result_t found = {0};
    weir_status_t rc;
    if (!cut_slice(g, &slice))
        return WEIR_ERR_NOMEM;
    *cost += slice.text.len;
    g->scanned += slice.text.len;
    found.hold = slice.text.len;
    if (g->options.rules != NULL) {
        weir_guard_scan_options_t options = {.from = slice.from, .more = slice.more};
        rc = weir_guard_scan(g->options.rules, scratch, slice.text.data, slice.text.len, &options,
                             &found, err);
        if (rc != WEIR_OK)
            return rc;
        g->truncated |= found.truncated;
    }
    size_t decided = decided_to(s, &slice, &found);
    if (slice.more && decided == 0) {
        s->size *= 2;
        return WEIR_OK;
    }
    rc = take_all(g, &slice, &found, slice.more ? decided : slice.text.len + 1);
    if (rc == WEIR_OK && g->options.model != NULL && !s->bare)
        rc = classify(g, fold, &slice, cost, err);
    if (rc != WEIR_OK)
        return rc;
    if (slice.more)
        move_on(s, &slice, decided);
    else
        end_segment(g);
    return WEIR_OK;
}

/* Scores the pages that the buffer holds whole. */
static weir_status_t score_pages(weir_request_guard_t *g, weir_guard_fold_t *fold, bool more,
                                 size_t *cost, weir_error_t *err)
{
    size_t n;
    while (g->page_len > 0 && (n = weir_classify_page(g->page, g->page_len, more)) > 0) {
        weir_scores_t scores;
        *cost += SCORE_COST;
        weir_status_t rc = weir_classify_text(g->options.model, fold, g->page, n, &scores, err);
        if (rc != WEIR_OK)
            return rc;
        if (!g->options.scored(g->options.ctx, &scores, weir_str(g->page, n), g->texts[g->at].part,
                               g->at))
            return WEIR_ERR_STATE;
        g->page_len -= n;
        memmove(g->page, g->page + n, g->page_len);
    }
    return WEIR_OK;
}

/* Each byte is classified once, in the pages that the whole text has (classifier/text.h). */
static weir_status_t classify(weir_request_guard_t *g, weir_guard_fold_t *fold,
                              const slice_t *slice, size_t *cost, weir_error_t *err)
{
    const segment_t *s = &g->segment;
    cursor_t c = {s->left, 0};
    if (g->page == NULL && (g->page = weir_arena_alloc(g->arena, WEIR_CLASSIFY_PAGE + 1)) == NULL)
        return WEIR_ERR_NOMEM;
    if (s->fresh == s->begin)
        g->page_len = 0;
    while (c.raw < s->fresh)
        advance(&c, s->layer.text, c.decoded + 1);
    g->segment.fresh = slice->end > s->fresh ? slice->end : s->fresh;
    for (size_t at = c.decoded; at < slice->text.len;) {
        size_t room = WEIR_CLASSIFY_PAGE + 1 - g->page_len;
        size_t n = slice->text.len - at < room ? slice->text.len - at : room;
        memcpy(g->page + g->page_len, slice->text.data + at, n);
        g->page_len += n;
        at += n;
        weir_status_t rc = score_pages(g, fold, true, cost, err);
        if (rc != WEIR_OK)
            return rc;
    }
    return slice->more ? WEIR_OK : score_pages(g, fold, false, cost, err);
}

weir_status_t weir_request_guard_step(weir_request_guard_t *g, weir_guard_scratch_t *scratch,
                                      weir_guard_fold_t *fold, size_t budget, weir_error_t *err)
{
    size_t cost = 0;
    while (cost < budget) {
        if (!g->segment.open && !next_segment(g))
            return WEIR_OK;
        if (cost > 0 && cost + next_slice(&g->segment) > budget)
            return WEIR_ERR_BUSY;
        weir_status_t rc = scan_slice(g, scratch, fold, &cost, err);
        if (rc != WEIR_OK)
            return rc;
        cost += 16;
    }
    return WEIR_ERR_BUSY;
}

/* --- names --- */

static int compare_found(const void *a, const void *b)
{
    const found_t *x = a;
    const found_t *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

static void sort_found(weir_request_guard_t *g)
{
    if (g->unsorted)
        qsort(g->found, g->found_count, sizeof *g->found, compare_found);
    g->unsorted = false;
}

/* A stretch of a string that stays. What is JSON in it may have escapes of its own. */
static weir_status_t show(weir_request_guard_t *g, weir_placeholders_t *map, size_t begin,
                          size_t end)
{
    weir_str_t text;
    if (begin >= end)
        return WEIR_OK;
    if (!decode(g, g->doc->text, begin, end, &text))
        return WEIR_ERR_NOMEM;
    weir_status_t rc = weir_placeholders_avoid(map, text.data, text.len);
    if (rc != WEIR_OK || memmem(text.data, text.len, "\\u00", 4) == NULL)
        return rc;
    char *twice = weir_arena_alloc(g->arena, text.len);
    if (twice == NULL)
        return WEIR_ERR_NOMEM;
    size_t len = 0;
    for (size_t i = 0; i < text.len;) {
        if (i + 6 <= text.len && memcmp(text.data + i, "\\u00", 4) == 0) {
            twice[len++] = (char)(hex4(text.data + i + 2) & 0x7f);
            i += 6;
        } else {
            twice[len++] = text.data[i++];
        }
    }
    return weir_placeholders_avoid(map, twice, len);
}

/* The next stretch of the string at `shown` that stays; false: it has no more. */
static bool next_stretch(weir_request_guard_t *g, size_t *begin, size_t *end)
{
    const weir_json_node_t *node = &g->doc->nodes[g->shown];
    size_t last = node->end - 1;
    *begin = g->shown_to > node->start ? g->shown_to : node->start + 1;
    while (g->shown_found < g->found_count && g->found[g->shown_found].end <= *begin)
        g->shown_found++;
    const found_t *f = g->shown_found < g->found_count ? &g->found[g->shown_found] : NULL;
    if (f != NULL && f->start <= *begin && f->end > *begin)
        *begin = f->end;
    if (*begin >= last)
        return false;
    if (f != NULL && f->start <= *begin)
        f = g->shown_found + 1 < g->found_count ? f + 1 : NULL;
    *end = f != NULL && f->start < last ? f->start : last;
    return true;
}

weir_status_t weir_request_guard_names(weir_request_guard_t *g, weir_placeholders_t *map,
                                       size_t budget)
{
    const char *text = g->doc->text;
    size_t cost = 0;
    sort_found(g);
    for (; g->shown < g->doc->count; g->shown++) {
        size_t begin;
        size_t end;
        if (g->doc->nodes[g->shown].type != WEIR_JSON_STRING)
            continue;
        while (next_stretch(g, &begin, &end)) {
            size_t to = end;
            if (end - begin > WEIR_REQUEST_SLICE)
                to = border(text, begin, begin + WEIR_REQUEST_SLICE, end);
            weir_status_t rc = show(g, map, begin, to);
            if (rc != WEIR_OK)
                return rc;
            cost += to - begin + 16;
            /* A border may go through a name: it is shown once more as a whole. */
            if (to < end) {
                size_t around = border(text, begin, to - NAME_OVERLAP, end);
                size_t behind = to + NAME_OVERLAP < end ? to + NAME_OVERLAP : end;
                rc = show(g, map, around, border(text, to, behind, end));
                if (rc != WEIR_OK)
                    return rc;
            }
            g->shown_to = to;
            if (cost >= budget)
                return WEIR_ERR_BUSY;
        }
        g->shown_to = 0;
    }
    return WEIR_OK;
}

/* --- splices --- */

/* Without quotes and escapes of its own a name or a replacement needs none; that of a policy may
 * be any text. */
static weir_status_t escaped(weir_request_guard_t *g, weir_str_t text, bool quote, weir_str_t *out)
{
    weir_buf_t b;
    weir_buf_init(&b, g->arena);
    weir_json_write_string(&b, text);
    if (b.failed)
        return WEIR_ERR_NOMEM;
    *out = quote ? weir_str(b.data, b.len) : weir_str(b.data + 1, b.len - 2);
    return WEIR_OK;
}

static weir_status_t splice(weir_request_guard_t *g, const found_t *f, weir_placeholders_t *map,
                            weir_edit_t *edit, weir_error_t *err)
{
    weir_str_t with = f->replacement;
    weir_status_t rc = WEIR_OK;
    if (f->action == WEIR_REQUEST_NAME)
        rc = weir_placeholders_name(map, f->type, f->value, &with);
    if (rc == WEIR_OK)
        rc = escaped(g, with, f->bare, &with);
    if (rc == WEIR_OK && f->inner)
        rc = escaped(g, with, false, &with);
    if (rc != WEIR_OK)
        return weir_error(err, rc, "a replacement could not be made");
    return weir_edit_splice(edit, g->doc->len, f->start, f->end, with, err);
}

weir_status_t weir_request_guard_edit(weir_request_guard_t *g, weir_placeholders_t *map,
                                      weir_edit_t *edit, size_t budget, weir_error_t *err)
{
    size_t cost = 0;
    sort_found(g);
    for (; g->spliced < g->found_count; g->spliced++) {
        const found_t *f = &g->found[g->spliced];
        if (f->start < g->spliced_to)
            continue; /* a second one in the same number */
        if (cost >= budget)
            return WEIR_ERR_BUSY;
        weir_status_t rc = splice(g, f, map, edit, err);
        if (rc != WEIR_OK)
            return rc;
        g->spliced_to = f->end;
        cost += SPLICE_COST + (f->end - f->start);
    }
    return WEIR_OK;
}

#include "lua-free-filters/pipeline_scratch.h"

#include <stdlib.h>

#define FIRST_NODES 512u
/* What an idle worker may keep. */
#define KEEP_NODES 16384u
#define KEEP_ARENA ((size_t)256 * 1024)

weir_scratch_t *weir_scratch_new(void)
{
    weir_scratch_t *s = calloc(1, sizeof(*s));

    if (s != NULL) {
        weir_arena_init(&s->arena, 0, 0);
        weir_buf_init(&s->frame, &s->arena);
    }
    return s;
}

static void free_segments(weir_scratch_t *s)
{
    for (uint32_t i = 0; i < s->n_segments; i++) {
        free(s->segments[i].nodes);
    }
    s->n_segments = 0;
    s->segment = 0;
    s->used = 0;
}

void weir_scratch_free(weir_scratch_t *s)
{
    if (s != NULL) {
        free_segments(s);
        weir_arena_free(&s->arena);
        free(s);
    }
}

/* Makes a further segment of at least want nodes the top; the old ones stay where they are, because
 * documents point into them. */
static bool grow(weir_scratch_t *s, uint32_t want)
{
    while (s->segment + 1 < s->n_segments) {
        if (s->segments[s->segment + 1].cap >= want) {
            s->segment++;
            s->used = 0;
            return true;
        }
        s->n_segments--;
        free(s->segments[s->n_segments].nodes);
    }
    if (s->n_segments == WEIR_SCRATCH_SEGMENTS) {
        return false;
    }
    weir_json_node_t *nodes = malloc((size_t)want * sizeof(*nodes));
    if (nodes == NULL) {
        return false;
    }
    s->segments[s->n_segments] = (weir_segment_t){nodes, want};
    s->segment = s->n_segments;
    s->n_segments++;
    s->used = 0;
    return true;
}

bool weir_scratch_scan(weir_scratch_t *s, weir_str_t text, uint32_t max_nodes, weir_json_doc_t *doc)
{
    static const weir_json_limits_t limits = {.max_depth = 64, .allow_duplicate_keys = true};

    if (s->n_segments == 0 && !grow(s, FIRST_NODES)) {
        return false;
    }
    for (;;) {
        weir_error_t err;
        weir_segment_t *top = &s->segments[s->segment];
        uint32_t cap = top->cap - s->used;
        weir_status_t rc = weir_json_scan(text.data, text.len, &limits, top->nodes + s->used,
                                          cap < max_nodes ? cap : max_nodes, doc, &err);
        if (rc == WEIR_OK) {
            s->used += doc->count;
            return true;
        }
        if (rc != WEIR_ERR_LIMIT || strcmp(err.field, "nodes") != 0 || cap >= max_nodes) {
            return false;
        }
        uint32_t want = cap < FIRST_NODES ? FIRST_NODES : cap * 4;
        if (!grow(s, want < max_nodes ? want : max_nodes)) {
            return false;
        }
    }
}

void weir_scratch_item_done(weir_scratch_t *s)
{
    s->segment = 0;
    s->used = 0;
    if (s->dirty) {
        s->dirty = false;
        weir_arena_reset(&s->arena);
        weir_buf_init(&s->frame, &s->arena);
    }
}

void weir_scratch_call_done(weir_scratch_t *s)
{
    uint32_t total = 0;

    weir_scratch_item_done(s);
    if (s->n_segments == 1 && s->segments[0].cap <= KEEP_NODES && s->arena.total <= KEEP_ARENA) {
        return;
    }
    if (s->arena.total > KEEP_ARENA) {
        weir_arena_free(&s->arena);
    }
    for (uint32_t i = 0; i < s->n_segments; i++) {
        total += s->segments[i].cap;
    }
    if (total > KEEP_NODES) {
        free_segments(s);
    }
}

/* --- cutting a member out of a scanned item --- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The member's bytes with one comma: the one behind it, or for the last member the one before. */
static void member_span(const weir_json_doc_t *doc, uint32_t value, size_t *start, size_t *end)
{
    const char *text = doc->text;

    *start = doc->nodes[value - 1].start;
    *end = doc->nodes[value].end;
    size_t at = *end;
    while (is_space(text[at])) {
        at++;
    }
    if (text[at] == ',') {
        *end = at + 1;
        return;
    }
    at = *start;
    while (is_space(text[at - 1])) {
        at--;
    }
    *start = text[at - 1] == ',' ? at - 1 : *start;
}

/* The scan without the member: the nodes behind it move up, and all offsets behind it. */
static void cut_nodes(weir_json_doc_t *doc, uint32_t value, uint32_t bytes)
{
    /* They lie in the scratch of the pipeline, which made them. */
    weir_json_node_t *nodes = (weir_json_node_t *)doc->nodes;
    uint32_t first = value - 1;
    uint32_t behind = nodes[value].next;
    uint32_t gone = behind - first;

    nodes[0].end -= bytes;
    nodes[0].next -= gone;
    nodes[0].size--;
    for (uint32_t i = behind; i < doc->count; i++) {
        weir_json_node_t n = nodes[i];
        n.start -= bytes;
        n.end -= bytes;
        n.next -= gone;
        nodes[i - gone] = n;
    }
    doc->count -= gone;
}

weir_status_t weir_item_cut_member(weir_sink_t *sink, weir_item_t *item, uint32_t value)
{
    /* Data of one line lies in raw: then the frame around it stays as well. */
    bool framed =
        (uintptr_t)item->data.data >= (uintptr_t)item->raw.data &&
        (uintptr_t)item->data.data + item->data.len <= (uintptr_t)item->raw.data + item->raw.len;
    weir_str_t text = framed ? item->raw : item->data;
    size_t shift = framed ? (size_t)(item->data.data - item->raw.data) : 0;
    size_t start;
    size_t end;

    member_span(&item->doc, value, &start, &end);
    size_t bytes = end - start;
    char *copy = weir_arena_alloc(weir_sink_arena(sink), text.len);
    if (copy == NULL) {
        return WEIR_ERR_NOMEM;
    }
    memcpy(copy, text.data, shift + start);
    memcpy(copy + shift + start, text.data + shift + end, text.len - shift - end);
    /* The name may lie in raw. */
    if (framed && item->name.len > 0 && (uintptr_t)item->name.data >= (uintptr_t)text.data &&
        (uintptr_t)item->name.data < (uintptr_t)text.data + shift) {
        item->name.data = copy + (item->name.data - text.data);
    }
    item->raw = weir_str(framed ? copy : NULL, framed ? text.len - bytes : 0);
    item->data = weir_str(copy + shift, item->data.len - bytes);
    cut_nodes(&item->doc, value, (uint32_t)bytes);
    item->doc.text = item->data.data;
    item->doc.len = item->data.len;
    item->found = false;
    return WEIR_OK;
}

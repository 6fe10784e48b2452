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
    if (s->arena.head != NULL) {
        weir_arena_reset(&s->arena);
        weir_buf_init(&s->frame, &s->arena);
    }
}

void weir_scratch_call_done(weir_scratch_t *s)
{
    uint32_t total = 0;

    weir_scratch_item_done(s);
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

/*
 * What pipelines share: node arrays for scans, used as a stack (an item that a filter passes on is
 * scanned above the items of the filters in front of it), and an arena that lasts for one item.
 */
#ifndef WEIR_FILTERS_PIPELINE_SCRATCH_H
#define WEIR_FILTERS_PIPELINE_SCRATCH_H

#include "lua-free-filters/pipeline.h"

#define WEIR_SCRATCH_SEGMENTS 24

typedef struct {
    weir_json_node_t *nodes;
    uint32_t cap;
} weir_segment_t;

struct weir_scratch {
    weir_segment_t segments[WEIR_SCRATCH_SEGMENTS];
    uint32_t n_segments;
    uint32_t segment; /* top of the stack: nodes [used, cap) of this segment are free */
    uint32_t used;
    weir_arena_t arena; /* use it through weir_scratch_arena() */
    weir_buf_t frame;   /* where the writer frames an event; in the arena */
    bool dirty;         /* the arena has been used for the item at hand */
};

static inline weir_arena_t *weir_scratch_arena(weir_scratch_t *s)
{
    s->dirty = true;
    return &s->arena;
}

/* The frame, empty. */
static inline weir_buf_t *weir_scratch_frame(weir_scratch_t *s)
{
    s->dirty = true;
    s->frame.len = 0;
    return &s->frame;
}

/* A place on the stack, to fall back to. */
typedef struct {
    uint32_t segment;
    uint32_t used;
} weir_scratch_mark_t;

static inline weir_scratch_mark_t weir_scratch_mark(const weir_scratch_t *s)
{
    return (weir_scratch_mark_t){s->segment, s->used};
}

static inline void weir_scratch_fall_back(weir_scratch_t *s, weir_scratch_mark_t mark)
{
    s->segment = mark.segment;
    s->used = mark.used;
}

/* Scans text into nodes on the stack. False: no JSON, too many nodes, or out of memory. */
bool weir_scratch_scan(weir_scratch_t *s, weir_str_t text, uint32_t max_nodes,
                       weir_json_doc_t *doc);

/* Behind each item: the arena starts anew. */
void weir_scratch_item_done(weir_scratch_t *s);

/* Behind each call: what one large item needed is given back. */
void weir_scratch_call_done(weir_scratch_t *s);

#endif

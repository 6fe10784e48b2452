/*
 * The members of an answer's event that more than one filter looks for, found in one walk over the
 * object and kept with the item.
 */
#ifndef WEIR_FILTERS_FILTER_MEMBERS_H
#define WEIR_FILTERS_FILTER_MEMBERS_H

#include "engine/base/json.h"

/* Nodes of the values, WEIR_JSON_NONE where the object has no such member. */
typedef struct {
    uint32_t id, type, model, delta, usage, error, index, object, status, choices, message, created;
    uint32_t response, created_at, tool_usage, background, content_block, sequence_number;
    uint32_t incomplete_details;
    uint32_t other; /* some member that is not named above */
} weir_members_t;

/* The text between a string's quotes as it stands; empty for other values and WEIR_JSON_NONE. */
static inline weir_str_t weir_members_text(const weir_json_doc_t *doc, uint32_t node)
{
    if (node == WEIR_JSON_NONE || doc->nodes[node].type != WEIR_JSON_STRING) {
        return weir_str(NULL, 0);
    }
    const weir_json_node_t *n = &doc->nodes[node];
    return weir_str(doc->text + n->start + 1, n->end - n->start - 2);
}

/* Whether the member is there and not null. */
static inline bool weir_members_set(const weir_json_doc_t *doc, uint32_t node)
{
    return node != WEIR_JSON_NONE && doc->nodes[node].type != WEIR_JSON_NULL;
}

static inline bool weir_members_is(const weir_json_doc_t *doc, uint32_t node, weir_json_type_t type)
{
    return node != WEIR_JSON_NONE && doc->nodes[node].type == (uint8_t)type;
}

/* Fills *m for an object node; for anything else there are no members. Of equal keys the first
 * counts; a key written with escapes is not found. */
void weir_members_find(const weir_json_doc_t *doc, uint32_t object, weir_members_t *m);

#endif

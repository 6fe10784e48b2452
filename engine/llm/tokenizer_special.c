#include "engine/llm/tokenizer_special.h"

weir_status_t weir_trie_init(weir_trie_t *trie, size_t total_bytes, weir_arena_t *arena)
{
    *trie = (weir_trie_t){.n = 1};
    if (total_bytes >= UINT32_MAX) {
        return WEIR_ERR_NOMEM;
    }
    trie->nodes = weir_arena_calloc(arena, total_bytes + 1, sizeof(*trie->nodes));
    if (trie->nodes == NULL) {
        return WEIR_ERR_NOMEM;
    }
    trie->nodes[0].id = -1;
    return WEIR_OK;
}

static uint32_t child_of(const weir_trie_t *trie, uint32_t node, uint8_t byte)
{
    uint32_t i = trie->nodes[node].child;
    while (i != 0 && trie->nodes[i].byte != byte) {
        i = trie->nodes[i].sibling;
    }
    return i;
}

void weir_trie_add(weir_trie_t *trie, weir_str_t text, int32_t id)
{
    uint32_t node = 0;
    trie->starts[(uint8_t)text.data[0]] = true;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        uint32_t child = child_of(trie, node, byte);
        if (child == 0) {
            child = trie->n++;
            trie->nodes[child] =
                (weir_trie_node_t){.sibling = trie->nodes[node].child, .id = -1, .byte = byte};
            trie->nodes[node].child = child;
        }
        node = child;
    }
    if (trie->nodes[node].id < 0) {
        trie->nodes[node].id = id;
    }
}

int32_t weir_trie_match(const weir_trie_t *trie, weir_str_t text, size_t *len)
{
    int32_t best = -1;
    uint32_t node = 0;
    for (size_t i = 0; i < text.len; i++) {
        node = child_of(trie, node, (uint8_t)text.data[i]);
        if (node == 0) {
            break;
        }
        if (trie->nodes[node].id >= 0) {
            best = trie->nodes[node].id;
            *len = i + 1;
        }
    }
    return best;
}

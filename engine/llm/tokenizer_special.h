/*
 * The special tokens of a vocabulary as a byte trie: longest match at a position. Built once, then
 * immutable.
 */
#ifndef WEIR_LLM_TOKENIZER_SPECIAL_H
#define WEIR_LLM_TOKENIZER_SPECIAL_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

typedef struct {
    uint32_t child; /* index of the first child, 0 for none */
    uint32_t sibling;
    int32_t id; /* the token that ends here, or -1 */
    uint8_t byte;
} weir_trie_node_t;

typedef struct {
    weir_trie_node_t *nodes; /* 0 is the root */
    uint32_t n;
    bool starts[256]; /* whether a token starts with that byte */
} weir_trie_t;

/* An empty trie with room for tokens of total_bytes together. Errors: NOMEM. */
weir_status_t weir_trie_init(weir_trie_t *trie, size_t total_bytes, weir_arena_t *arena);

/* Adds a token, not empty; a text that is already there keeps its first id. */
void weir_trie_add(weir_trie_t *trie, weir_str_t text, int32_t id);

/* The id of the longest token that text starts with, its length in *len; -1 when there is none. */
int32_t weir_trie_match(const weir_trie_t *trie, weir_str_t text, size_t *len);

#endif

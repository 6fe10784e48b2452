/*
 * Pre-tokenizers: cut a text into the pieces inside which byte-pair merges may happen. Hand-written
 * scanners for four published splits (the regular expressions stand in pretokenizer.c). Pure
 * functions over the caller's text; linear time; no allocation.
 */
#ifndef WEIR_LLM_PRETOKENIZER_H
#define WEIR_LLM_PRETOKENIZER_H

#include "engine/base/arena.h"

typedef enum {
    WEIR_PRETOKENIZER_GPT2,
    WEIR_PRETOKENIZER_SMOLLM, /* every digit by itself first, then as GPT-2 */
    WEIR_PRETOKENIZER_LLAMA3,
    WEIR_PRETOKENIZER_QWEN2
} weir_pretokenizer_kind_t;

/* What a name in tokenizer.ggml.pre stands for. */
typedef struct {
    const char *name;
    weir_pretokenizer_kind_t kind;
    bool ignore_merges; /* a piece that is a vocabulary entry as a whole is that token */
    bool add_bos;       /* when tokenizer.ggml.add_bos_token is missing */
} weir_pretokenizer_t;

/* The entry of that name or NULL. Only names whose published split is one of the four. */
const weir_pretokenizer_t *weir_pretokenizer_find(weir_str_t name);

/* A comma-separated list of the names, for messages. */
const char *weir_pretokenizer_names(void);

typedef struct {
    const char *text;
    size_t len;
    size_t pos;         /* where the next piece starts */
    size_t segment_end; /* SMOLLM: the next digit at or behind pos, as far as known */
    weir_pretokenizer_kind_t kind;
} weir_pieces_t;

/* text must be valid UTF-8 and outlive the iteration. */
void weir_pieces_init(weir_pieces_t *pieces, weir_pretokenizer_kind_t kind, weir_str_t text);

/* The next piece, never empty; false at the end. The pieces cover the text without gaps. */
bool weir_pieces_next(weir_pieces_t *pieces, weir_str_t *piece);

#endif

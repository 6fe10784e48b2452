/*
 * Inside of the tokenizer, for its own files and for tests that build a vocabulary without a model
 * file. Everything else uses tokenizer.h.
 */
#ifndef WEIR_LLM_TOKENIZER_INTERNAL_H
#define WEIR_LLM_TOKENIZER_INTERNAL_H

#include "engine/llm/bpe.h"
#include "engine/llm/pretokenizer.h"
#include "engine/llm/tokenizer.h"
#include "engine/llm/tokenizer_special.h"

/* Limits on what a file may ask for. */
#define WEIR_TOKENIZER_MAX_TOKENS        (1u << 22)
#define WEIR_TOKENIZER_MAX_MERGES        (1u << 23)
#define WEIR_TOKENIZER_MAX_TOKEN_BYTES   65536u
#define WEIR_TOKENIZER_MAX_SPECIAL_BYTES 1024u      /* one special token */
#define WEIR_TOKENIZER_MAX_TRIE_BYTES    (4u << 20) /* all of them together */

/* Values of tokenizer.ggml.token_type. */
typedef enum {
    WEIR_TOKEN_NORMAL = 1,
    WEIR_TOKEN_UNKNOWN,
    WEIR_TOKEN_CONTROL,
    WEIR_TOKEN_USER_DEFINED,
    WEIR_TOKEN_UNUSED,
    WEIR_TOKEN_BYTE
} weir_token_type_t;

/* A vocabulary as a file describes it; everything is copied by weir_tokenizer_build. */
typedef struct {
    const weir_str_t *tokens; /* normal ones in the byte-level alphabet */
    const uint8_t *types;     /* weir_token_type_t; NULL: all normal */
    uint32_t n_tokens;
    const weir_str_t *merges; /* "left right", best first */
    uint32_t n_merges;
    weir_pretokenizer_kind_t kind;
    bool ignore_merges;
    bool add_bos;
    int32_t bos; /* -1: none */
    int32_t eos;
    int32_t eot;
    int32_t eom;
} weir_vocabulary_t;

/* Errors: INVALID, LIMIT, NOMEM. */
weir_status_t weir_tokenizer_build(const weir_vocabulary_t *vocab, weir_tokenizer_t **out,
                                   weir_error_t *err);

/* As weir_tokenizer_open with another pre-tokenizer than the file's (NULL: the file's), and
 * ignore_merges 0 or 1 (-1: as the name says). */
weir_status_t weir_tokenizer_open_as(const weir_gguf_t *gguf, const char *pre, int ignore_merges,
                                     weir_tokenizer_t **out, weir_error_t *err);

enum {
    WEIR_TOKEN_FLAG_SPECIAL = 1, /* control or unknown: never shown, matched in trusted text */
    WEIR_TOKEN_FLAG_USER = 2,    /* user-defined: shown, matched in trusted text */
    WEIR_TOKEN_FLAG_EOG = 4,
    WEIR_TOKEN_FLAG_WHOLE = 8 /* a piece with exactly these bytes becomes this one token */
};

typedef struct {
    uint32_t hash;
    uint32_t id; /* UINT32_MAX: empty */
} weir_vocab_slot_t;

struct weir_tokenizer {
    weir_arena_t arena; /* holds all below */
    uint32_t n_tokens;
    weir_str_t *bytes; /* per token */
    uint8_t *flags;
    weir_vocab_slot_t *slots; /* ordinary tokens by their bytes; linear probing */
    uint32_t slot_mask;
    uint64_t seed;
    size_t longest; /* bytes of the longest ordinary token */
    weir_trie_t special;
    weir_bpe_t bpe;
    weir_pretokenizer_kind_t kind;
    bool add_bos;
    int32_t bos;
    int32_t eos;
};

/* The ordinary (not special, not user-defined) token with these bytes, or UINT32_MAX. */
uint32_t weir_tokenizer_ordinary(const weir_tokenizer_t *tok, weir_str_t bytes);

#endif

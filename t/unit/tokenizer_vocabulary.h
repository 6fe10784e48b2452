/*
 * Small vocabularies for tests: special tokens, the 256 bytes, and the tokens that merges make.
 */
#ifndef WEIR_T_TOKENIZER_VOCABULARY_H
#define WEIR_T_TOKENIZER_VOCABULARY_H

#include "engine/base/utf8.h"
#include "engine/llm/tokenizer_internal.h"

#define TEST_VOCABULARY_MAX 1024

typedef struct {
    weir_vocabulary_t vocab; /* refers to the arrays below */
    weir_str_t tokens[TEST_VOCABULARY_MAX];
    uint8_t types[TEST_VOCABULARY_MAX];
    weir_str_t merges[TEST_VOCABULARY_MAX];
    weir_arena_t *arena;
} test_vocabulary_t;

/* The character of the byte-level alphabet for a byte: bytes that do not print as Latin-1 stand
 * from U+0100 on in ascending order. */
static inline uint32_t test_alphabet(uint8_t byte)
{
    uint32_t next = 256;
    for (uint32_t b = 0; b < 256; b++) {
        bool prints = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        uint32_t cp = prints ? b : next++;
        if (b == byte) {
            return cp;
        }
    }
    return 0;
}

/* bytes in the byte-level alphabet. */
static inline weir_str_t test_byte_level(weir_arena_t *arena, weir_str_t bytes)
{
    weir_buf_t out;
    weir_buf_init(&out, arena);
    for (size_t i = 0; i < bytes.len; i++) {
        char utf8[4];
        int n = weir_utf8_encode(test_alphabet((uint8_t)bytes.data[i]), utf8);
        weir_buf_append(&out, utf8, (size_t)n);
    }
    return weir_str(out.data, out.len);
}

/* Adds a token whose text stands in the file like this; returns its id. */
static inline int32_t test_add_token(test_vocabulary_t *v, weir_str_t text, weir_token_type_t type)
{
    v->types[v->vocab.n_tokens] = (uint8_t)type;
    v->tokens[v->vocab.n_tokens] = text;
    return (int32_t)v->vocab.n_tokens++;
}

/* Adds a merge of two byte strings, and the token that it makes unless that exists. */
static inline void test_add_merge(test_vocabulary_t *v, weir_str_t left, weir_str_t right)
{
    weir_str_t a = test_byte_level(v->arena, left);
    weir_str_t b = test_byte_level(v->arena, right);
    weir_buf_t text;
    weir_buf_t merge;
    weir_buf_init(&text, v->arena);
    weir_buf_init(&merge, v->arena);
    weir_buf_append_str(&text, a);
    weir_buf_append_str(&text, b);
    weir_buf_append_str(&merge, a);
    weir_buf_append_char(&merge, ' ');
    weir_buf_append_str(&merge, b);
    v->merges[v->vocab.n_merges++] = weir_str(merge.data, merge.len);
    for (uint32_t i = 0; i < v->vocab.n_tokens; i++) {
        if (weir_str_eq(v->tokens[i], weir_str(text.data, text.len))) {
            return;
        }
    }
    test_add_token(v, weir_str(text.data, text.len), WEIR_TOKEN_NORMAL);
}

/* A vocabulary of the 256 bytes, ids 0 to 255; more may be added before it is built. */
static inline void test_vocabulary_init(test_vocabulary_t *v, weir_arena_t *arena)
{
    memset(&v->vocab, 0, sizeof(v->vocab));
    v->arena = arena;
    v->vocab.tokens = v->tokens;
    v->vocab.types = v->types;
    v->vocab.merges = v->merges;
    v->vocab.bos = v->vocab.eos = v->vocab.eot = v->vocab.eom = -1;
    for (int b = 0; b < 256; b++) {
        char byte = (char)b;
        test_add_token(v, test_byte_level(arena, weir_str(&byte, 1)), WEIR_TOKEN_NORMAL);
    }
}

#endif

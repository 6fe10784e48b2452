/*
 * Byte-level BPE (GPT-2 style merges) with the pre-tokenizers of GPT-2, SmolLM/StarCoder, Llama 3
 * and Qwen 2, as a GGUF file carries it. Immutable after open and safe to share among threads;
 * scratch memory comes from the caller's arena. Text is not normalised: a file does not say whether
 * its model was trained on normalised text.
 */
#ifndef WEIR_LLM_TOKENIZER_H
#define WEIR_LLM_TOKENIZER_H

#include "engine/llm/gguf.h"

typedef struct weir_tokenizer weir_tokenizer_t;

/*
 * A stretch of a text and whether special tokens (control, unknown and user-defined ones) may be
 * recognised in it. Text that a user wrote is never trusted: "<|im_end|>" in it is ten ordinary
 * characters. Neighbouring trusted spans are one.
 */
typedef struct {
    uint32_t start; /* byte offsets into the text; spans are ascending and cover it without gaps */
    uint32_t end;
    bool trusted;
} weir_text_span_t;

/* Reads tokenizer.ggml.* of the file. *out is independent of gguf afterwards. Errors: UNSUPPORTED
 * (model or pre-tokenizer), INVALID (vocabulary or merges malformed), NOMEM. */
weir_status_t weir_tokenizer_open(const weir_gguf_t *gguf, weir_tokenizer_t **out,
                                  weir_error_t *err);
void weir_tokenizer_close(weir_tokenizer_t *tok);

uint32_t weir_tokenizer_vocab_size(const weir_tokenizer_t *tok);

/* Ids, or -1 when the file names none. */
int32_t weir_tokenizer_bos(const weir_tokenizer_t *tok);
int32_t weir_tokenizer_eos(const weir_tokenizer_t *tok);

/* Whether encoding with special tokens puts bos first (tokenizer.ggml.add_bos_token). */
bool weir_tokenizer_adds_bos(const weir_tokenizer_t *tok);

/* True for every token that ends generation (eos, eot, eom, and the known control texts). */
bool weir_tokenizer_is_eog(const weir_tokenizer_t *tok, int32_t id);

/* True for control tokens, whose text never goes to a client. */
bool weir_tokenizer_is_special(const weir_tokenizer_t *tok, int32_t id);

/* The id of the token whose text is exactly this (special tokens by their literal text,
 * others in their byte-decoded form), or -1. */
int32_t weir_tokenizer_find(const weir_tokenizer_t *tok, weir_str_t text);

/*
 * Encodes text. Special tokens are recognised only inside trusted spans; spans NULL means one
 * untrusted span. Pre-tokenisation runs over the whole text between special tokens, whatever the
 * span borders. add_bos: put bos first if the file wants it. text must be valid UTF-8 (INVALID
 * otherwise, with the offset): see weir_utf8_sanitize. A byte that has no token in the vocabulary
 * is left out. *ids lies in arena; on an error *count is 0. max_tokens bounds the work: LIMIT when
 * more would come out (0: no bound). The time is O(n log n), the memory at most about 100 bytes per
 * byte of the longest piece (a word or a run of white space, say) and 12 per token.
 */
weir_status_t weir_tokenizer_encode(const weir_tokenizer_t *tok, weir_str_t text,
                                    const weir_text_span_t *spans, size_t n_spans, bool add_bos,
                                    size_t max_tokens, weir_arena_t *arena, int32_t **ids,
                                    size_t *count, weir_error_t *err);

/* The bytes of one token: byte-decoded text, or the literal text of a special token. May be part
 * of a character. Out-of-range ids give an empty string. */
weir_str_t weir_tokenizer_token_bytes(const weir_tokenizer_t *tok, int32_t id);

/* Decodes ids; special tokens are written only if with_special. Invalid UTF-8 in the result
 * becomes U+FFFD per maximal subpart (Unicode 15, 3.9). */
weir_status_t weir_tokenizer_decode(const weir_tokenizer_t *tok, const int32_t *ids, size_t count,
                                    bool with_special, weir_buf_t *out);

/*
 * Incremental decoding: push bytes, get whole characters out. Holds at most 3 pending bytes.
 */
typedef struct {
    uint8_t pending[4];
    uint8_t n;
} weir_utf8_stream_t;

/* Appends the complete characters of pending + bytes to out; invalid parts become U+FFFD. */
void weir_utf8_stream_push(weir_utf8_stream_t *s, weir_str_t bytes, weir_buf_t *out);

/* Ends the stream: a pending incomplete character becomes one U+FFFD. */
void weir_utf8_stream_finish(weir_utf8_stream_t *s, weir_buf_t *out);

/* Offset of the first byte that is not valid UTF-8, or len when all is valid. */
size_t weir_utf8_valid(const char *data, size_t len);

/* A copy with each maximal invalid subpart replaced by U+FFFD. */
weir_status_t weir_utf8_sanitize(weir_str_t text, weir_arena_t *arena, weir_str_t *out);

#endif

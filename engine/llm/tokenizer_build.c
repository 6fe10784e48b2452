/*
 * From a vocabulary to the tables that encoding uses. Nothing of the file is trusted: ids, texts
 * and merges are checked here once, so that encoding need not.
 */
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "engine/base/utf8.h"
#include "engine/llm/tokenizer_internal.h"

__extension__ typedef unsigned __int128 uint128_t;

static uint32_t hash_bytes(uint64_t seed, weir_str_t s)
{
    uint64_t h = seed ^ s.len;
    for (size_t i = 0; i < s.len; i += 8) {
        uint64_t word = 0;
        memcpy(&word, s.data + i, s.len - i < 8 ? s.len - i : 8);
        uint128_t product = (uint128_t)(h ^ word) * (0x9E3779B97F4A7C15u + 2 * seed);
        h = (uint64_t)(product >> 64) ^ (uint64_t)product;
    }
    return (uint32_t)(h ^ h >> 32);
}

uint32_t weir_tokenizer_ordinary(const weir_tokenizer_t *tok, weir_str_t bytes)
{
    uint32_t hash = hash_bytes(tok->seed, bytes);
    for (uint32_t i = hash & tok->slot_mask;; i = (i + 1) & tok->slot_mask) {
        const weir_vocab_slot_t *slot = &tok->slots[i];
        if (slot->id == UINT32_MAX) {
            return UINT32_MAX;
        }
        if (slot->hash == hash && weir_str_eq(tok->bytes[slot->id], bytes)) {
            return slot->id;
        }
    }
}

/* Of two tokens with the same bytes the first one is found. */
static void add_ordinary(weir_tokenizer_t *tok, uint32_t id)
{
    if (weir_tokenizer_ordinary(tok, tok->bytes[id]) != UINT32_MAX) {
        return;
    }
    uint32_t hash = hash_bytes(tok->seed, tok->bytes[id]);
    uint32_t i = hash & tok->slot_mask;
    while (tok->slots[i].id != UINT32_MAX) {
        i = (i + 1) & tok->slot_mask;
    }
    tok->slots[i] = (weir_vocab_slot_t){hash, id};
}

/*
 * The byte-level alphabet of GPT-2 (openai/gpt-2, encoder.py, bytes_to_unicode): printable Latin-1
 * stands for itself, the other 68 bytes for U+0100 onwards in ascending order. -1: not in it.
 */
static int byte_of(uint32_t cp)
{
    if ((cp >= 33 && cp <= 126) || (cp >= 161 && cp <= 172) || (cp >= 174 && cp <= 255)) {
        return (int)cp;
    }
    if (cp >= 256 && cp < 256 + 33) {
        return (int)cp - 256;
    }
    if (cp >= 256 + 33 && cp < 256 + 67) {
        return (int)cp - 256 - 33 + 127;
    }
    return cp == 256 + 67 ? 173 : -1;
}

/* Writes the bytes that text stands for to out (text.len suffices); false when a character is not
 * in the alphabet. text is valid UTF-8. */
static bool decode_alphabet(weir_str_t text, char *out, size_t *len)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len;) {
        uint32_t cp;
        int step = weir_utf8_decode(text.data + i, text.len - i, &cp);
        int byte = step < 0 ? -1 : byte_of(cp);
        if (byte < 0) {
            return false;
        }
        out[n++] = (char)byte;
        i += (size_t)step;
    }
    *len = n;
    return true;
}

static weir_token_type_t type_of(const weir_vocabulary_t *vocab, uint32_t id)
{
    return vocab->types == NULL ? WEIR_TOKEN_NORMAL : (weir_token_type_t)vocab->types[id];
}

static bool is_trie_type(weir_token_type_t type)
{
    return type == WEIR_TOKEN_CONTROL || type == WEIR_TOKEN_UNKNOWN ||
           type == WEIR_TOKEN_USER_DEFINED;
}

static weir_status_t check_sizes(const weir_vocabulary_t *vocab, size_t *text_bytes,
                                 size_t *trie_bytes, weir_error_t *err)
{
    if (vocab->n_tokens == 0) {
        return weir_error(err, WEIR_ERR_INVALID, "the vocabulary has no tokens");
    }
    if (vocab->n_tokens > WEIR_TOKENIZER_MAX_TOKENS ||
        vocab->n_merges > WEIR_TOKENIZER_MAX_MERGES) {
        return weir_error(err, WEIR_ERR_LIMIT,
                          "the vocabulary has %u tokens and %u merges; the limits are %u and %u",
                          vocab->n_tokens, vocab->n_merges, WEIR_TOKENIZER_MAX_TOKENS,
                          WEIR_TOKENIZER_MAX_MERGES);
    }
    for (uint32_t i = 0; i < vocab->n_tokens; i++) {
        weir_str_t text = vocab->tokens[i];
        bool special = is_trie_type(type_of(vocab, i));
        size_t limit = special ? WEIR_TOKENIZER_MAX_SPECIAL_BYTES : WEIR_TOKENIZER_MAX_TOKEN_BYTES;
        if (text.len > limit) {
            return weir_error(err, WEIR_ERR_LIMIT,
                              "tokenizer.ggml.tokens[%u] is %zu bytes long; the limit is %zu", i,
                              text.len, limit);
        }
        if (weir_utf8_valid(text.data, text.len) != text.len) {
            return weir_error(err, WEIR_ERR_INVALID, "tokenizer.ggml.tokens[%u] is not valid UTF-8",
                              i);
        }
        *text_bytes += text.len;
        *trie_bytes += special ? text.len : 0;
    }
    if (*trie_bytes > WEIR_TOKENIZER_MAX_TRIE_BYTES) {
        return weir_error(err, WEIR_ERR_LIMIT,
                          "the special tokens are %zu bytes long together; the limit is %u",
                          *trie_bytes, WEIR_TOKENIZER_MAX_TRIE_BYTES);
    }
    return WEIR_OK;
}

static weir_status_t no_memory(weir_error_t *err)
{
    return weir_error(err, WEIR_ERR_NOMEM, "out of memory while building the tokenizer");
}

static weir_status_t allocate(weir_tokenizer_t *tok, const weir_vocabulary_t *vocab,
                              size_t text_bytes, size_t trie_bytes, char **text, weir_error_t *err)
{
    uint32_t n = vocab->n_tokens;
    uint32_t n_slots = 16;
    while (n_slots / 2 < n) {
        n_slots *= 2;
    }
    *text = weir_arena_alloc(&tok->arena, text_bytes);
    tok->bytes = weir_arena_calloc(&tok->arena, n, sizeof(*tok->bytes));
    tok->flags = weir_arena_calloc(&tok->arena, n, sizeof(*tok->flags));
    tok->slots = weir_arena_alloc(&tok->arena, n_slots * sizeof(*tok->slots));
    if (*text == NULL || tok->bytes == NULL || tok->flags == NULL || tok->slots == NULL ||
        weir_trie_init(&tok->special, trie_bytes, &tok->arena) != WEIR_OK ||
        weir_bpe_init(&tok->bpe, vocab->n_merges, tok->seed, &tok->arena) != WEIR_OK) {
        return no_memory(err);
    }
    memset(tok->slots, 0xFF, n_slots * sizeof(*tok->slots));
    tok->slot_mask = n_slots - 1;
    tok->n_tokens = n;
    return WEIR_OK;
}

/*
 * Copies the texts: special and user-defined ones as they are, others as the bytes they stand for.
 * An ordinary text with a character outside the alphabet can never come out of encoding; decoding
 * gives it as it is, as the tokenizers package does.
 */
static void add_tokens(weir_tokenizer_t *tok, const weir_vocabulary_t *vocab, char *text)
{
    for (uint32_t id = 0; id < vocab->n_tokens; id++) {
        weir_str_t from = vocab->tokens[id];
        weir_token_type_t type = type_of(vocab, id);
        size_t len = 0;
        bool ordinary = !is_trie_type(type) && decode_alphabet(from, text, &len);
        if (!ordinary) {
            len = from.len;
            if (len > 0) {
                memcpy(text, from.data, len);
            }
        }
        tok->bytes[id] = weir_str(text, len);
        text += len;
        if (is_trie_type(type)) {
            tok->flags[id] =
                type == WEIR_TOKEN_USER_DEFINED ? WEIR_TOKEN_FLAG_USER : WEIR_TOKEN_FLAG_SPECIAL;
            if (len > 0) {
                weir_trie_add(&tok->special, tok->bytes[id], (int32_t)id);
            }
        } else if (ordinary && type != WEIR_TOKEN_UNUSED && len > 0) {
            add_ordinary(tok, id);
            tok->longest = len > tok->longest ? len : tok->longest;
            if (len == 1 && tok->bpe.bytes[(uint8_t)tok->bytes[id].data[0]] == WEIR_BPE_NONE) {
                tok->bpe.bytes[(uint8_t)tok->bytes[id].data[0]] = id;
            }
        }
    }
}

/* Whether one of the texts belongs to a special token: such a merge can never be applied. */
static bool names_special(const weir_tokenizer_t *tok, weir_str_t merge, size_t left_len)
{
    weir_str_t parts[2] = {weir_str(merge.data, left_len),
                           weir_str(merge.data + left_len + 1, merge.len - left_len - 1)};
    char joined[WEIR_TOKENIZER_MAX_SPECIAL_BYTES];
    size_t len;
    for (int i = 0; i < 2; i++) {
        if (weir_trie_match(&tok->special, parts[i], &len) >= 0 && len == parts[i].len) {
            return true;
        }
    }
    if (parts[0].len + parts[1].len > sizeof(joined)) {
        return false;
    }
    memcpy(joined, parts[0].data, parts[0].len);
    memcpy(joined + parts[0].len, parts[1].data, parts[1].len);
    weir_str_t whole = weir_str(joined, parts[0].len + parts[1].len);
    return weir_trie_match(&tok->special, whole, &len) >= 0 && len == whole.len;
}

static weir_status_t add_merge(weir_tokenizer_t *tok, weir_str_t merge, uint32_t rank, char *buffer,
                               weir_error_t *err)
{
    const char *space = merge.len == 0 ? NULL : memchr(merge.data, ' ', merge.len);
    size_t left_len = space == NULL ? 0 : (size_t)(space - merge.data);
    if (left_len == 0 || left_len + 1 == merge.len ||
        memchr(space + 1, ' ', merge.len - left_len - 1) != NULL) {
        return weir_error(err, WEIR_ERR_INVALID,
                          "tokenizer.ggml.merges[%u] is not two tokens with one space between",
                          rank);
    }
    if (merge.len > 2 * WEIR_TOKENIZER_MAX_TOKEN_BYTES) {
        return weir_error(err, WEIR_ERR_INVALID, "tokenizer.ggml.merges[%u] is longer than a token",
                          rank);
    }
    size_t a = 0;
    size_t b = 0;
    weir_str_t right_text = weir_str(space + 1, merge.len - left_len - 1);
    bool known = decode_alphabet(weir_str(merge.data, left_len), buffer, &a) &&
                 decode_alphabet(right_text, buffer + a, &b);
    uint32_t left = known ? weir_tokenizer_ordinary(tok, weir_str(buffer, a)) : UINT32_MAX;
    uint32_t right = known ? weir_tokenizer_ordinary(tok, weir_str(buffer + a, b)) : UINT32_MAX;
    uint32_t merged = known ? weir_tokenizer_ordinary(tok, weir_str(buffer, a + b)) : UINT32_MAX;
    if (left == UINT32_MAX || right == UINT32_MAX || merged == UINT32_MAX) {
        if (names_special(tok, merge, left_len)) {
            return WEIR_OK;
        }
        return weir_error(err, WEIR_ERR_INVALID,
                          "tokenizer.ggml.merges[%u] names a token that is not in the vocabulary",
                          rank);
    }
    weir_bpe_add(&tok->bpe, left, right, rank, merged);
    return WEIR_OK;
}

/*
 * Marks the tokens that their own bytes encode to. Most pieces of a text are such tokens, which one
 * look-up then settles.
 */
static weir_status_t mark_whole(weir_tokenizer_t *tok, bool ignore_merges, weir_arena_t *temp,
                                weir_error_t *err)
{
    weir_bpe_scratch_t scratch;
    weir_bpe_scratch_init(&scratch, temp);
    for (uint32_t i = 0; i <= tok->slot_mask; i++) {
        uint32_t id = tok->slots[i].id;
        if (id == UINT32_MAX) {
            continue;
        }
        size_t count = 1;
        if (!ignore_merges) {
            weir_status_t status =
                weir_bpe_encode(&tok->bpe, tok->bytes[id], SIZE_MAX, &scratch, &count);
            if (status != WEIR_OK) {
                return no_memory(err);
            }
        }
        if (count == 1 && (ignore_merges || scratch.ids[0] == id)) {
            tok->flags[id] |= WEIR_TOKEN_FLAG_WHOLE;
        }
    }
    return WEIR_OK;
}

static weir_status_t mark_eog(weir_tokenizer_t *tok, const weir_vocabulary_t *vocab,
                              weir_error_t *err)
{
    static const char *const ends[] = {"<|im_end|>",      "<|endoftext|>",
                                       "<|eot_id|>",      "<|eom_id|>",
                                       "<|end_of_text|>", "</s>",
                                       "<|end|>",         "<|return|>",
                                       "<|endofturn|>",   "<end_of_turn>",
                                       "<|EOT|>",         "<EOT>",
                                       "<|eot|>",         "<|END_OF_TURN_TOKEN|>",
                                       "<|user_end|>"};
    const struct {
        const char *key;
        int32_t id;
    } named[] = {
        {"bos", vocab->bos}, {"eos", vocab->eos}, {"eot", vocab->eot}, {"eom", vocab->eom}};
    for (int i = 0; i < 4; i++) {
        if (named[i].id < -1 || named[i].id >= (int64_t)vocab->n_tokens) {
            return weir_error(err, WEIR_ERR_INVALID,
                              "tokenizer.ggml.%s_token_id is %d, but the vocabulary has %u tokens",
                              named[i].key, named[i].id, vocab->n_tokens);
        }
        if (i > 0 && named[i].id >= 0) {
            tok->flags[named[i].id] |= WEIR_TOKEN_FLAG_EOG;
        }
    }
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        size_t len;
        weir_str_t text = weir_str(ends[i], strlen(ends[i]));
        int32_t id = weir_trie_match(&tok->special, text, &len);
        if (id >= 0 && len == text.len && tok->flags[id] & WEIR_TOKEN_FLAG_SPECIAL) {
            tok->flags[id] |= WEIR_TOKEN_FLAG_EOG;
        }
    }
    return WEIR_OK;
}

static weir_status_t fill(weir_tokenizer_t *tok, const weir_vocabulary_t *vocab, weir_arena_t *temp,
                          weir_error_t *err)
{
    size_t text_bytes = 0;
    size_t trie_bytes = 0;
    char *text = NULL;
    weir_status_t status = check_sizes(vocab, &text_bytes, &trie_bytes, err);
    if (status == WEIR_OK) {
        status = allocate(tok, vocab, text_bytes, trie_bytes, &text, err);
    }
    char *buffer = weir_arena_alloc(temp, 2 * WEIR_TOKENIZER_MAX_TOKEN_BYTES);
    if (status == WEIR_OK && buffer == NULL) {
        status = no_memory(err);
    }
    if (status != WEIR_OK) {
        return status;
    }
    add_tokens(tok, vocab, text);
    for (uint32_t i = 0; i < vocab->n_merges; i++) {
        status = add_merge(tok, vocab->merges[i], i, buffer, err);
        if (status != WEIR_OK) {
            return status;
        }
    }
    status = mark_whole(tok, vocab->ignore_merges, temp, err);
    return status == WEIR_OK ? mark_eog(tok, vocab, err) : status;
}

weir_status_t weir_tokenizer_build(const weir_vocabulary_t *vocab, weir_tokenizer_t **out,
                                   weir_error_t *err)
{
    weir_tokenizer_t *tok = calloc(1, sizeof(*tok));
    if (tok == NULL) {
        return no_memory(err);
    }
    weir_arena_init(&tok->arena, 0, 0);
    tok->kind = vocab->kind;
    tok->add_bos = vocab->add_bos;
    tok->bos = vocab->bos;
    tok->eos = vocab->eos;
    if (getrandom(&tok->seed, sizeof(tok->seed), GRND_NONBLOCK) != (ssize_t)sizeof(tok->seed)) {
        tok->seed = (uint64_t)time(NULL) ^ (uint64_t)(uintptr_t)tok;
    }
    weir_arena_t temp;
    weir_arena_init(&temp, 0, 0);
    weir_status_t status = fill(tok, vocab, &temp, err);
    weir_arena_free(&temp);
    if (status != WEIR_OK) {
        weir_tokenizer_close(tok);
        return status;
    }
    *out = tok;
    return WEIR_OK;
}

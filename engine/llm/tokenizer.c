/* Reading the vocabulary from a model file, and questions about single tokens. */
#include "engine/llm/tokenizer.h"

#include <stdlib.h>

#include "engine/llm/tokenizer_internal.h"

#define KEY "tokenizer.ggml."

/* Reads a string array, which must be there, into temp. */
static weir_status_t read_strings(const weir_gguf_t *gguf, const char *key, uint64_t limit,
                                  weir_arena_t *temp, const weir_str_t **out, uint32_t *count,
                                  weir_error_t *err)
{
    weir_gguf_type_t type;
    uint64_t n;
    *count = 0;
    *out = NULL;
    weir_status_t status = weir_gguf_array(gguf, key, &type, &n);
    if (status == WEIR_ERR_NOT_FOUND) {
        return weir_error(err, WEIR_ERR_INVALID, "the metadata key %s is missing", key);
    }
    if (status != WEIR_OK || type != WEIR_GGUF_STRING) {
        return weir_error(err, WEIR_ERR_INVALID, "%s is not an array of strings", key);
    }
    if (n > limit) {
        return weir_error(err, WEIR_ERR_LIMIT, "%s has %llu entries; the limit is %llu", key,
                          (unsigned long long)n, (unsigned long long)limit);
    }
    weir_str_t *strings = weir_arena_calloc(temp, n, sizeof(*strings));
    if (strings == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory while reading %s", key);
    }
    for (uint64_t i = 0; i < n; i++) {
        if (weir_gguf_array_str(gguf, key, i, &strings[i]) != WEIR_OK) {
            return weir_error(err, WEIR_ERR_INVALID, "%s[%llu] cannot be read", key,
                              (unsigned long long)i);
        }
    }
    *out = strings;
    *count = (uint32_t)n;
    return WEIR_OK;
}

static weir_status_t read_types(const weir_gguf_t *gguf, uint32_t n_tokens, weir_arena_t *temp,
                                const uint8_t **out, weir_error_t *err)
{
    static const char key[] = KEY "token_type";
    weir_gguf_type_t type;
    uint64_t n;
    *out = NULL;
    weir_status_t status = weir_gguf_array(gguf, key, &type, &n);
    if (status == WEIR_ERR_NOT_FOUND) {
        return WEIR_OK;
    }
    if (status != WEIR_OK || n != n_tokens) {
        return weir_error(err, WEIR_ERR_INVALID, "%s is not an array of %u numbers, one per token",
                          key, n_tokens);
    }
    uint8_t *types = weir_arena_alloc(temp, n_tokens);
    if (types == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory while reading %s", key);
    }
    for (uint32_t i = 0; i < n_tokens; i++) {
        double value;
        if (weir_gguf_array_f64(gguf, key, i, &value) != WEIR_OK ||
            !(value >= WEIR_TOKEN_NORMAL && value <= WEIR_TOKEN_BYTE)) {
            return weir_error(err, WEIR_ERR_INVALID, "%s[%u] is not a token type (1 to 6)", key, i);
        }
        types[i] = (uint8_t)value;
    }
    *out = types;
    return WEIR_OK;
}

/* The id under that key, -1 when there is none; its range is checked by weir_tokenizer_build. */
static weir_status_t read_id(const weir_gguf_t *gguf, const char *key, int32_t *out,
                             weir_error_t *err)
{
    uint32_t value;
    *out = -1;
    weir_status_t status = weir_gguf_u32(gguf, key, &value);
    if (status == WEIR_ERR_NOT_FOUND) {
        return WEIR_OK;
    }
    if (status != WEIR_OK || value > INT32_MAX) {
        return weir_error(err, WEIR_ERR_INVALID, "%s is not a token id", key);
    }
    *out = (int32_t)value;
    return WEIR_OK;
}

static weir_status_t read_kind(const weir_gguf_t *gguf, const char *pre, int ignore_merges,
                               weir_vocabulary_t *vocab, weir_error_t *err)
{
    weir_str_t name;
    weir_status_t status = weir_gguf_str(gguf, KEY "model", &name);
    if (status != WEIR_OK) {
        return weir_error(err, WEIR_ERR_UNSUPPORTED,
                          "the file carries no tokenizer (" KEY "model is missing)");
    }
    if (!weir_str_is(name, "gpt2")) {
        return weir_error(
            err, WEIR_ERR_UNSUPPORTED,
            "tokenizer model '%.*s' is not supported; only 'gpt2' (byte-level BPE) is",
            (int)(name.len < 40 ? name.len : 40), name.data);
    }
    if (pre != NULL) {
        name = weir_str(pre, strlen(pre));
    } else if (weir_gguf_str(gguf, KEY "pre", &name) != WEIR_OK) {
        return weir_error(err, WEIR_ERR_UNSUPPORTED,
                          "the file does not name its pre-tokenizer (" KEY "pre); known: %s",
                          weir_pretokenizer_names());
    }
    const weir_pretokenizer_t *known = weir_pretokenizer_find(name);
    if (known == NULL) {
        return weir_error(
            err, WEIR_ERR_UNSUPPORTED, "pre-tokenizer '%.*s' is not supported; known: %s",
            (int)(name.len < 40 ? name.len : 40), name.data, weir_pretokenizer_names());
    }
    vocab->kind = known->kind;
    vocab->ignore_merges = ignore_merges < 0 ? known->ignore_merges : ignore_merges != 0;
    vocab->add_bos = known->add_bos;
    status = weir_gguf_bool(gguf, KEY "add_bos_token", &vocab->add_bos);
    if (status != WEIR_OK && status != WEIR_ERR_NOT_FOUND) {
        return weir_error(err, WEIR_ERR_INVALID, KEY "add_bos_token is not a boolean");
    }
    return WEIR_OK;
}

static weir_status_t read_vocabulary(const weir_gguf_t *gguf, weir_arena_t *temp,
                                     weir_vocabulary_t *vocab, weir_error_t *err)
{
    weir_status_t status = read_strings(gguf, KEY "tokens", WEIR_TOKENIZER_MAX_TOKENS, temp,
                                        &vocab->tokens, &vocab->n_tokens, err);
    if (status == WEIR_OK) {
        status = read_strings(gguf, KEY "merges", WEIR_TOKENIZER_MAX_MERGES, temp, &vocab->merges,
                              &vocab->n_merges, err);
    }
    if (status == WEIR_OK) {
        status = read_types(gguf, vocab->n_tokens, temp, &vocab->types, err);
    }
    if (status == WEIR_OK) {
        status = read_id(gguf, KEY "bos_token_id", &vocab->bos, err);
    }
    if (status == WEIR_OK) {
        status = read_id(gguf, KEY "eos_token_id", &vocab->eos, err);
    }
    if (status == WEIR_OK) {
        status = read_id(gguf, KEY "eot_token_id", &vocab->eot, err);
    }
    if (status == WEIR_OK) {
        status = read_id(gguf, KEY "eom_token_id", &vocab->eom, err);
    }
    return status;
}

weir_status_t weir_tokenizer_open_as(const weir_gguf_t *gguf, const char *pre, int ignore_merges,
                                     weir_tokenizer_t **out, weir_error_t *err)
{
    weir_arena_t temp;
    weir_vocabulary_t vocab = {0};
    weir_arena_init(&temp, 0, 0);
    weir_status_t status = read_kind(gguf, pre, ignore_merges, &vocab, err);
    if (status == WEIR_OK) {
        status = read_vocabulary(gguf, &temp, &vocab, err);
    }
    if (status == WEIR_OK) {
        status = weir_tokenizer_build(&vocab, out, err);
    }
    weir_arena_free(&temp);
    return status;
}

weir_status_t weir_tokenizer_open(const weir_gguf_t *gguf, weir_tokenizer_t **out,
                                  weir_error_t *err)
{
    return weir_tokenizer_open_as(gguf, NULL, -1, out, err);
}

void weir_tokenizer_close(weir_tokenizer_t *tok)
{
    if (tok != NULL) {
        weir_arena_free(&tok->arena);
        free(tok);
    }
}

uint32_t weir_tokenizer_vocab_size(const weir_tokenizer_t *tok)
{
    return tok->n_tokens;
}

int32_t weir_tokenizer_bos(const weir_tokenizer_t *tok)
{
    return tok->bos;
}

int32_t weir_tokenizer_eos(const weir_tokenizer_t *tok)
{
    return tok->eos;
}

bool weir_tokenizer_adds_bos(const weir_tokenizer_t *tok)
{
    return tok->add_bos && tok->bos >= 0;
}

static bool has_flag(const weir_tokenizer_t *tok, int32_t id, uint8_t flag)
{
    return id >= 0 && (uint32_t)id < tok->n_tokens && (tok->flags[id] & flag) != 0;
}

bool weir_tokenizer_is_eog(const weir_tokenizer_t *tok, int32_t id)
{
    return has_flag(tok, id, WEIR_TOKEN_FLAG_EOG);
}

bool weir_tokenizer_is_special(const weir_tokenizer_t *tok, int32_t id)
{
    return has_flag(tok, id, WEIR_TOKEN_FLAG_SPECIAL);
}

int32_t weir_tokenizer_find(const weir_tokenizer_t *tok, weir_str_t text)
{
    size_t len;
    int32_t id = weir_trie_match(&tok->special, text, &len);
    if (id >= 0 && len == text.len) {
        return id;
    }
    uint32_t ordinary = weir_tokenizer_ordinary(tok, text);
    return ordinary == UINT32_MAX ? -1 : (int32_t)ordinary;
}

weir_str_t weir_tokenizer_token_bytes(const weir_tokenizer_t *tok, int32_t id)
{
    return id >= 0 && (uint32_t)id < tok->n_tokens ? tok->bytes[id] : WEIR_STR("");
}

weir_status_t weir_tokenizer_decode(const weir_tokenizer_t *tok, const int32_t *ids, size_t count,
                                    bool with_special, weir_buf_t *out)
{
    weir_utf8_stream_t stream = {.n = 0};
    for (size_t i = 0; i < count; i++) {
        if (with_special || !weir_tokenizer_is_special(tok, ids[i])) {
            weir_utf8_stream_push(&stream, weir_tokenizer_token_bytes(tok, ids[i]), out);
        }
    }
    weir_utf8_stream_finish(&stream, out);
    return out->failed ? WEIR_ERR_NOMEM : WEIR_OK;
}

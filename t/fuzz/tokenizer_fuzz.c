/*
 * Encoding and decoding any text with any small vocabulary. The first byte chooses the split, the
 * second how the text is cut into spans, the third how much of the rest describes merges; what is
 * left is the text. Checked: decoding gives the text back, spans of untrusted text change nothing,
 * pieces cover the text, streams agree with whole texts, no special token comes from untrusted
 * text.
 */
#include <stdlib.h>

#include "t/unit/tokenizer_vocabulary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool cond)
{
    if (!cond) {
        abort();
    }
}

/* Merges of tokens that are named by two bytes each, later ones also of what earlier ones made. */
static weir_tokenizer_t *build(test_vocabulary_t *v, const uint8_t *data, size_t size)
{
    weir_tokenizer_t *tok = NULL;
    for (size_t i = 0; i + 3 < size && v->vocab.n_tokens < TEST_VOCABULARY_MAX - 8; i += 4) {
        uint32_t left = (data[i] | (uint32_t)data[i + 1] << 8) % v->vocab.n_tokens;
        uint32_t right = (data[i + 2] | (uint32_t)data[i + 3] << 8) % v->vocab.n_tokens;
        if (v->types[left] != WEIR_TOKEN_NORMAL || v->types[right] != WEIR_TOKEN_NORMAL ||
            v->tokens[left].len + v->tokens[right].len > 256) {
            continue;
        }
        weir_buf_t merge;
        weir_buf_init(&merge, v->arena);
        weir_buf_append_str(&merge, v->tokens[left]);
        weir_buf_append_str(&merge, v->tokens[right]);
        weir_str_t made = weir_str(merge.data, merge.len);
        test_add_token(v, made, WEIR_TOKEN_NORMAL);
        weir_buf_init(&merge, v->arena);
        weir_buf_append_str(&merge, v->tokens[left]);
        weir_buf_append_char(&merge, ' ');
        weir_buf_append_str(&merge, v->tokens[right]);
        v->merges[v->vocab.n_merges++] = weir_str(merge.data, merge.len);
    }
    check(weir_tokenizer_build(&v->vocab, &tok, NULL) == WEIR_OK);
    return tok;
}

static void check_vocabulary_bytes(weir_arena_t *arena, const uint8_t *data, size_t size)
{
    weir_str_t parts[8];
    uint8_t types[4];
    size_t n = 0;
    for (size_t i = 0; i < 8; i++) {
        size_t len = size - n < 7 ? size - n : 7;
        parts[i] = weir_str((const char *)data + n, len);
        n += len;
    }
    for (size_t i = 0; i < 4; i++) {
        types[i] = (uint8_t)(1 + (parts[i].len > 0 ? (uint8_t)parts[i].data[0] % 6 : 0));
    }
    weir_vocabulary_t vocab = {.tokens = parts,
                               .types = types,
                               .n_tokens = 4,
                               .merges = parts + 4,
                               .n_merges = 4,
                               .bos = -1,
                               .eos = -1,
                               .eot = -1,
                               .eom = -1};
    weir_tokenizer_t *tok;
    weir_error_t err;
    if (weir_tokenizer_build(&vocab, &tok, &err) == WEIR_OK) {
        weir_str_t text;
        int32_t *ids;
        size_t count;
        weir_text_span_t span = {.trusted = true};
        check(weir_utf8_sanitize(weir_str((const char *)data, size), arena, &text) == WEIR_OK);
        span.end = (uint32_t)text.len;
        check(weir_tokenizer_encode(tok, text, &span, 1, true, 0, arena, &ids, &count, &err) ==
              WEIR_OK);
        weir_tokenizer_close(tok);
    }
}

static size_t cut(weir_str_t text, uint32_t seed, bool trusted, weir_text_span_t spans[16])
{
    size_t n = 0;
    uint32_t at = 0;
    while (n < 15 && at < text.len) {
        seed = seed * 1664525u + 1013904223u;
        uint32_t end = at + (seed >> 20) % 17;
        end = end > text.len ? (uint32_t)text.len : end;
        spans[n++] = (weir_text_span_t){at, end, trusted && seed & 1};
        at = end;
    }
    spans[n++] = (weir_text_span_t){at, (uint32_t)text.len, trusted};
    return n;
}

static void check_stream(weir_arena_t *arena, weir_str_t bytes, uint32_t seed)
{
    weir_str_t whole;
    weir_buf_t out;
    weir_utf8_stream_t stream = {.n = 0};
    check(weir_utf8_sanitize(bytes, arena, &whole) == WEIR_OK);
    check(weir_utf8_valid(whole.data, whole.len) == whole.len);
    weir_buf_init(&out, arena);
    for (size_t at = 0; at < bytes.len;) {
        seed = seed * 1664525u + 1013904223u;
        size_t n = 1 + (seed >> 24) % 5;
        n = n < bytes.len - at ? n : bytes.len - at;
        weir_utf8_stream_push(&stream, weir_str(bytes.data + at, n), &out);
        check(stream.n <= 3 && weir_utf8_valid(out.data, out.len) == out.len);
        at += n;
    }
    weir_utf8_stream_finish(&stream, &out);
    check(weir_str_eq(weir_str(out.data, out.len), whole));
}

static void check_text(const weir_tokenizer_t *tok, weir_arena_t *arena, weir_str_t text,
                       uint32_t seed)
{
    weir_text_span_t spans[16];
    int32_t *ids;
    int32_t *again;
    size_t count;
    size_t n;
    weir_buf_t out;
    check(weir_tokenizer_encode(tok, text, NULL, 0, false, 0, arena, &ids, &count, NULL) ==
          WEIR_OK);
    for (size_t i = 0; i < count; i++) {
        check(!weir_tokenizer_is_special(tok, ids[i]));
    }
    weir_buf_init(&out, arena);
    check(weir_tokenizer_decode(tok, ids, count, false, &out) == WEIR_OK);
    check(weir_str_eq(weir_str(out.data, out.len), text));
    size_t n_spans = cut(text, seed, false, spans);
    check(weir_tokenizer_encode(tok, text, spans, n_spans, false, 0, arena, &again, &n, NULL) ==
          WEIR_OK);
    check(n == count && (n == 0 || memcmp(ids, again, n * sizeof(*ids)) == 0));
    weir_status_t bound = count == 0 ? WEIR_OK
                                     : weir_tokenizer_encode(tok, text, NULL, 0, false, count,
                                                             arena, &again, &n, NULL);
    check(bound == WEIR_OK);
    if (count > 1) {
        check(weir_tokenizer_encode(tok, text, NULL, 0, false, count - 1, arena, &again, &n,
                                    NULL) == WEIR_ERR_LIMIT);
    }
    n_spans = cut(text, seed, true, spans);
    check(weir_tokenizer_encode(tok, text, spans, n_spans, true, 0, arena, &ids, &count, NULL) ==
          WEIR_OK);
    weir_buf_init(&out, arena);
    check(weir_tokenizer_decode(tok, ids, count, true, &out) == WEIR_OK);
    check(weir_str_eq(weir_str(out.data, out.len), text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3) {
        return 0;
    }
    weir_arena_t arena;
    weir_arena_init(&arena, 1u << 16, 0);
    size_t merges = data[2] < size - 3 ? data[2] : size - 3;
    weir_str_t bytes = weir_str((const char *)data + 3 + merges, size - 3 - merges);
    weir_str_t text;
    test_vocabulary_t *v = weir_arena_alloc(&arena, sizeof(*v));
    test_vocabulary_init(v, &arena);
    v->vocab.kind = (weir_pretokenizer_kind_t)(data[0] & 3);
    v->vocab.ignore_merges = (data[0] & 4) != 0;
    test_add_token(v, WEIR_STR("<|im_end|>"), WEIR_TOKEN_CONTROL);
    test_add_token(v, WEIR_STR("<|"), WEIR_TOKEN_CONTROL);
    test_add_token(v, WEIR_STR("\xEF\xBD\x9C"), WEIR_TOKEN_USER_DEFINED);
    weir_tokenizer_t *tok = build(v, data + 3, merges);
    check(weir_utf8_sanitize(bytes, &arena, &text) == WEIR_OK);
    check_stream(&arena, bytes, data[1]);
    check_text(tok, &arena, text, data[1]);
    check_vocabulary_bytes(&arena, data + 3, size - 3);
    weir_tokenizer_close(tok);
    weir_arena_free(&arena);
    return 0;
}

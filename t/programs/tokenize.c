/*
 * Drives the tokenizer for scripts: tokenize MODEL [--pre NAME] [--ignore-merges 0|1]
 *
 * Reads requests from standard input and writes one reply each to standard output, all numbers
 * little-endian u32:
 *   1 encode    n_spans {start end trusted}* add_bos max_tokens len bytes -> status count id*
 *   2 decode    with_special count id*                                    -> status len bytes
 *   3 sanitize  chunk len bytes (0: at once, else a stream by chunks)     -> status len bytes
 *   4 find      len bytes                                                 -> id (-1: none)
 *   5 token     id                      -> flags (1 special, 2 ends generation) len bytes
 *   6 pieces    len bytes                                                 -> count end*
 */
#include <stdio.h>
#include <stdlib.h>

#include "engine/llm/tokenizer_internal.h"

static void die(const char *message)
{
    fprintf(stderr, "tokenize: %s\n", message);
    exit(2);
}

static uint32_t get_u32(void)
{
    uint32_t value;
    if (fread(&value, sizeof(value), 1, stdin) != 1) {
        die("the request is cut short");
    }
    return value;
}

static void put_u32(uint32_t value)
{
    fwrite(&value, sizeof(value), 1, stdout);
}

static void *get_block(weir_arena_t *arena, size_t bytes)
{
    void *data = weir_arena_alloc(arena, bytes);
    if (data == NULL || fread(data, 1, bytes, stdin) != bytes) {
        die("the request is cut short");
    }
    return data;
}

static weir_str_t get_text(weir_arena_t *arena)
{
    uint32_t len = get_u32();
    return weir_str(get_block(arena, len), len);
}

static void put_text(weir_status_t status, weir_str_t text)
{
    put_u32(status);
    put_u32((uint32_t)text.len);
    fwrite(text.data == NULL ? "" : text.data, 1, text.len, stdout);
}

static void encode(const weir_tokenizer_t *tok, weir_arena_t *arena)
{
    uint32_t n_spans = get_u32();
    weir_text_span_t *spans = weir_arena_calloc(arena, n_spans, sizeof(*spans));
    for (uint32_t i = 0; i < n_spans; i++) {
        spans[i].start = get_u32();
        spans[i].end = get_u32();
        spans[i].trusted = get_u32() != 0;
    }
    bool add_bos = get_u32() != 0;
    size_t max = get_u32();
    weir_str_t text = get_text(arena);
    int32_t *ids = NULL;
    size_t count = 0;
    weir_status_t status = weir_tokenizer_encode(tok, text, n_spans == 0 ? NULL : spans, n_spans,
                                                 add_bos, max, arena, &ids, &count, NULL);
    put_u32(status);
    put_u32((uint32_t)count);
    if (count > 0) {
        fwrite(ids, sizeof(*ids), count, stdout);
    }
}

static void decode(const weir_tokenizer_t *tok, weir_arena_t *arena)
{
    bool with_special = get_u32() != 0;
    uint32_t count = get_u32();
    const int32_t *ids = get_block(arena, count * sizeof(*ids));
    weir_buf_t out;
    weir_buf_init(&out, arena);
    weir_status_t status = weir_tokenizer_decode(tok, ids, count, with_special, &out);
    put_text(status, weir_str(out.data, out.len));
}

static void sanitize(weir_arena_t *arena)
{
    size_t chunk = get_u32();
    weir_str_t text = get_text(arena);
    if (chunk == 0) {
        weir_str_t clean = {0};
        weir_status_t status = weir_utf8_sanitize(text, arena, &clean);
        put_text(status, clean);
        return;
    }
    weir_utf8_stream_t stream = {.n = 0};
    weir_buf_t out;
    weir_buf_init(&out, arena);
    for (size_t i = 0; i < text.len; i += chunk) {
        size_t n = text.len - i < chunk ? text.len - i : chunk;
        weir_utf8_stream_push(&stream, weir_str(text.data + i, n), &out);
        if (weir_utf8_valid(out.data, out.len) != out.len) {
            die("the stream let a partial character out");
        }
    }
    weir_utf8_stream_finish(&stream, &out);
    put_text(WEIR_OK, weir_str(out.data, out.len));
}

static void pieces(const weir_tokenizer_t *tok, weir_arena_t *arena)
{
    weir_str_t text = get_text(arena);
    weir_str_t piece;
    weir_pieces_t it;
    uint32_t *ends = weir_arena_alloc(arena, text.len * sizeof(*ends));
    uint32_t n = 0;
    weir_pieces_init(&it, tok->kind, text);
    while (weir_pieces_next(&it, &piece)) {
        ends[n++] = (uint32_t)it.pos;
    }
    put_u32(n);
    fwrite(ends, sizeof(*ends), n, stdout);
}

static void token(const weir_tokenizer_t *tok)
{
    int32_t id = (int32_t)get_u32();
    uint32_t flags = weir_tokenizer_is_special(tok, id) ? 1 : 0;
    flags |= weir_tokenizer_is_eog(tok, id) ? 2 : 0;
    put_text((weir_status_t)flags, weir_tokenizer_token_bytes(tok, id));
}

static void serve(const weir_tokenizer_t *tok)
{
    weir_arena_t arena;
    uint32_t op;
    weir_arena_init(&arena, 1u << 20, 0);
    while (fread(&op, sizeof(op), 1, stdin) == 1) {
        switch (op) {
        case 1:
            encode(tok, &arena);
            break;
        case 2:
            decode(tok, &arena);
            break;
        case 3:
            sanitize(&arena);
            break;
        case 4:
            put_u32((uint32_t)weir_tokenizer_find(tok, get_text(&arena)));
            break;
        case 5:
            token(tok);
            break;
        case 6:
            pieces(tok, &arena);
            break;
        default:
            die("unknown request");
        }
        fflush(stdout);
        weir_arena_reset(&arena);
    }
    weir_arena_free(&arena);
}

int main(int argc, char **argv)
{
    const char *pre = NULL;
    int ignore_merges = -1;
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--pre") == 0) {
            pre = argv[i + 1];
        } else if (strcmp(argv[i], "--ignore-merges") == 0) {
            ignore_merges = atoi(argv[i + 1]);
        }
    }
    weir_gguf_t *gguf = NULL;
    weir_tokenizer_t *tok = NULL;
    weir_error_t err;
    if (argc < 2 || weir_gguf_open(argv[1], &gguf, &err) != WEIR_OK) {
        die(argc < 2 ? "usage: tokenize MODEL [--pre NAME] [--ignore-merges 0|1]" : err.message);
    }
    if (weir_tokenizer_open_as(gguf, pre, ignore_merges, &tok, &err) != WEIR_OK) {
        die(err.message);
    }
    weir_gguf_close(gguf);
    serve(tok);
    weir_tokenizer_close(tok);
    return 0;
}

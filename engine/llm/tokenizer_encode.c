/* Text to token ids: special tokens of trusted spans first, then pieces, then merges. */
#include "engine/llm/tokenizer_internal.h"

typedef struct {
    const weir_tokenizer_t *tok;
    weir_arena_t *arena;
    int32_t *ids;
    size_t count;
    size_t cap;
    size_t max; /* SIZE_MAX: no bound */
    weir_bpe_scratch_t scratch;
    weir_error_t *err;
} encoder_t;

static weir_status_t too_many(const encoder_t *e)
{
    return weir_error(e->err, WEIR_ERR_LIMIT, "the text has more than %zu tokens", e->max);
}

static weir_status_t no_memory(const encoder_t *e)
{
    return weir_error(e->err, WEIR_ERR_NOMEM, "out of memory while encoding text to tokens");
}

/* Makes room for n more ids within the bound. */
static weir_status_t reserve(encoder_t *e, size_t n)
{
    if (n > e->max - e->count) {
        return too_many(e);
    }
    if (n <= e->cap - e->count) {
        return WEIR_OK;
    }
    size_t cap = e->cap * 2 > e->count + n ? e->cap * 2 : e->count + n;
    int32_t *ids = weir_arena_alloc(e->arena, cap * sizeof(*ids));
    if (ids == NULL) {
        return no_memory(e);
    }
    if (e->count > 0) {
        memcpy(ids, e->ids, e->count * sizeof(*ids));
    }
    e->ids = ids;
    e->cap = cap;
    return WEIR_OK;
}

static weir_status_t emit(encoder_t *e, int32_t id)
{
    weir_status_t status = reserve(e, 1);
    if (status == WEIR_OK) {
        e->ids[e->count++] = id;
    }
    return status;
}

static weir_status_t encode_piece(encoder_t *e, weir_str_t piece)
{
    const weir_tokenizer_t *tok = e->tok;
    if (piece.len <= tok->longest) {
        uint32_t id = weir_tokenizer_ordinary(tok, piece);
        if (id != UINT32_MAX && tok->flags[id] & WEIR_TOKEN_FLAG_WHOLE) {
            return emit(e, (int32_t)id);
        }
    }
    /* More bytes than the tokens that are left could hold need not be merged to be refused. */
    size_t most;
    if (__builtin_mul_overflow(e->max - e->count, tok->longest, &most)) {
        most = SIZE_MAX;
    }
    size_t n;
    weir_status_t status = weir_bpe_encode(&tok->bpe, piece, most, &e->scratch, &n);
    if (status == WEIR_OK) {
        status = reserve(e, n);
    } else {
        status = status == WEIR_ERR_LIMIT ? too_many(e) : no_memory(e);
    }
    for (size_t i = 0; status == WEIR_OK && i < n; i++) {
        e->ids[e->count++] = (int32_t)e->scratch.ids[i];
    }
    return status;
}

static weir_status_t encode_plain(encoder_t *e, weir_str_t text)
{
    weir_pieces_t pieces;
    weir_str_t piece;
    weir_status_t status = WEIR_OK;
    weir_pieces_init(&pieces, e->tok->kind, text);
    while (status == WEIR_OK && weir_pieces_next(&pieces, &piece)) {
        status = encode_piece(e, piece);
    }
    return status;
}

/*
 * Encodes up to the last special token inside the trusted text [start, end); *done is where the
 * plain text that has not been encoded yet begins.
 */
static weir_status_t encode_trusted(encoder_t *e, weir_str_t text, size_t start, size_t end,
                                    size_t *done)
{
    const weir_trie_t *special = &e->tok->special;
    weir_status_t status = WEIR_OK;
    size_t pos = start;
    while (status == WEIR_OK && pos < end) {
        size_t len = 0;
        int32_t id = special->starts[(uint8_t)text.data[pos]]
                         ? weir_trie_match(special, weir_str(text.data + pos, end - pos), &len)
                         : -1;
        if (id < 0) {
            pos++;
            continue;
        }
        status = encode_plain(e, weir_str(text.data + *done, pos - *done));
        if (status == WEIR_OK) {
            status = emit(e, id);
        }
        pos += len;
        *done = pos;
    }
    return status;
}

static weir_status_t check_text(weir_str_t text, const weir_text_span_t *spans, size_t n_spans,
                                weir_error_t *err)
{
    if (text.len > UINT32_MAX) {
        return weir_error(err, WEIR_ERR_LIMIT, "the text is longer than 4 GiB");
    }
    size_t valid = weir_utf8_valid(text.data, text.len);
    if (valid != text.len) {
        return weir_error(err, WEIR_ERR_INVALID, "the text is not valid UTF-8 at byte %zu", valid);
    }
    if (spans == NULL) {
        return WEIR_OK;
    }
    size_t at = 0;
    for (size_t i = 0; i < n_spans; i++) {
        if (spans[i].start != at || spans[i].end < at) {
            at = SIZE_MAX;
            break;
        }
        at = spans[i].end;
    }
    return at == text.len ? WEIR_OK
                          : weir_error(err, WEIR_ERR_INVALID,
                                       "the spans do not cover the text in order without gaps");
}

weir_status_t weir_tokenizer_encode(const weir_tokenizer_t *tok, weir_str_t text,
                                    const weir_text_span_t *spans, size_t n_spans, bool add_bos,
                                    size_t max_tokens, weir_arena_t *arena, int32_t **ids,
                                    size_t *count, weir_error_t *err)
{
    *ids = NULL;
    *count = 0;
    weir_status_t status = check_text(text, spans, n_spans, err);
    if (status != WEIR_OK) {
        return status;
    }
    encoder_t e = {
        .tok = tok, .arena = arena, .max = max_tokens == 0 ? SIZE_MAX : max_tokens, .err = err};
    weir_bpe_scratch_init(&e.scratch, arena);
    size_t guess = text.len / 4 + 16;
    status = reserve(&e, guess < e.max ? guess : e.max);
    if (status == WEIR_OK && add_bos && weir_tokenizer_adds_bos(tok)) {
        status = emit(&e, tok->bos);
    }
    size_t done = 0;
    for (size_t i = 0; spans != NULL && status == WEIR_OK && i < n_spans; i++) {
        if (spans[i].trusted) {
            size_t start = spans[i].start;
            /* Neighbouring trusted spans are one text: a token may be written in two parts. */
            while (i + 1 < n_spans && spans[i + 1].trusted) {
                i++;
            }
            status = encode_trusted(&e, text, start, spans[i].end, &done);
        }
    }
    if (status == WEIR_OK && done < text.len) {
        status = encode_plain(&e, weir_str(text.data + done, text.len - done));
    }
    *ids = e.ids;
    *count = status == WEIR_OK ? e.count : 0;
    return status;
}

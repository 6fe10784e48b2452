/* The tokenizer on small vocabularies: merging, special tokens, bounds, and files that are wrong.
 */
#include "engine/llm/tokenizer.h"

#include <stdlib.h>

#include "t/support/tap.h"
#include "t/support/tiny_model.h"
#include "t/unit/tokenizer_vocabulary.h"

static weir_arena_t arena;

static weir_tokenizer_t *build(const test_vocabulary_t *v)
{
    weir_tokenizer_t *tok = NULL;
    weir_error_t err;
    if (weir_tokenizer_build(&v->vocab, &tok, &err) != WEIR_OK) {
        diag("%s", err.message);
        abort();
    }
    return tok;
}

static test_vocabulary_t *vocabulary(void)
{
    test_vocabulary_t *v = weir_arena_alloc(&arena, sizeof(*v));
    test_vocabulary_init(v, &arena);
    return v;
}

static void merge(test_vocabulary_t *v, const char *left, const char *right)
{
    test_add_merge(v, weir_str(left, strlen(left)), weir_str(right, strlen(right)));
}

/* The tokens of an untrusted text, their bytes joined by '|'. */
static weir_str_t split(const weir_tokenizer_t *tok, const char *text)
{
    int32_t *ids = NULL;
    size_t count = 0;
    weir_buf_t out;
    weir_buf_init(&out, &arena);
    weir_tokenizer_encode(tok, weir_str(text, strlen(text)), NULL, 0, false, 0, &arena, &ids,
                          &count, NULL);
    for (size_t i = 0; i < count; i++) {
        weir_buf_append_z(&out, i == 0 ? "" : "|");
        weir_buf_append_str(&out, weir_tokenizer_token_bytes(tok, ids[i]));
    }
    return weir_str(out.data, out.len);
}

static void is_split(const weir_tokenizer_t *tok, const char *text, const char *want,
                     const char *name)
{
    weir_str_t got = split(tok, text);
    is_str(got.data, got.len, want, "%s", name);
}

static void test_merging(void)
{
    test_vocabulary_t *v = vocabulary();
    merge(v, "b", "c");
    merge(v, "a", "b");
    merge(v, "a", "a");
    merge(v, "aa", "aa");
    merge(v, " ", "x");
    merge(v, "\xC3", "\xA9");
    merge(v, "b", "c"); /* again, with a worse rank */
    weir_tokenizer_t *tok = build(v);
    bool found = true;
    for (int b = 0; b < 256; b++) {
        char byte = (char)b;
        found = found && weir_tokenizer_find(tok, weir_str(&byte, 1)) == b;
    }
    ok(found, "every byte's character is read");
    is_split(tok, "", "", "no text, no tokens");
    is_split(tok, "q", "q", "one byte");
    is_split(tok, "abc", "a|bc", "the better rank goes first, also to the right");
    is_split(tok, "abab", "ab|ab", "every place of a pair is merged");
    is_split(tok, "aaa", "aa|a", "the leftmost of equals goes first");
    is_split(tok, "aaaaaaa", "aaaa|aa|a", "merges of merges");
    is_split(tok, "a x", "a| x", "the space belongs to the word");
    is_split(tok, "\xC3\xA9\xC3\xA8", "\xC3\xA9|\xC3|\xA8", "bytes of characters merge");
    is_split(tok, "a\xF0\x9F\x98\x80", "a|\xF0|\x9F|\x98|\x80", "others stay bytes");
    weir_tokenizer_close(tok);

    v->vocab.ignore_merges = true;
    test_add_token(v, test_byte_level(&arena, WEIR_STR("abc")), WEIR_TOKEN_NORMAL);
    tok = build(v);
    is_split(tok, "abc", "abc", "ignore_merges: a whole piece that is a token");
    is_split(tok, "abcq", "a|bc|q", "ignore_merges: other pieces are merged");
    weir_tokenizer_close(tok);
    v->vocab.ignore_merges = false;
    tok = build(v);
    is_split(tok, "abc", "a|bc", "without it a token that no merge reaches stays out");
    weir_tokenizer_close(tok);
}

/* Merging as the definition says, by search from the left each time. */
static size_t merge_by_definition(const weir_bpe_merge_t *merges, uint32_t n_merges, uint32_t *ids,
                                  size_t n)
{
    for (;;) {
        size_t at = SIZE_MAX;
        uint32_t best = n_merges;
        for (size_t i = 0; i + 1 < n; i++) {
            for (uint32_t m = 0; m < best; m++) {
                if (merges[m].left == ids[i] && merges[m].right == ids[i + 1]) {
                    best = m;
                    at = i;
                }
            }
        }
        if (at == SIZE_MAX) {
            return n;
        }
        ids[at] = merges[best].merged;
        memmove(ids + at + 1, ids + at + 2, (n - at - 2) * sizeof(*ids));
        n--;
    }
}

/* Random merges over three letters, pieces of every length around the switch to the heap. */
static void test_merging_by_definition(rng_t *rng)
{
    bool same = true;
    for (int round = 0; round < 60 && same; round++) {
        weir_bpe_t bpe;
        weir_bpe_merge_t merges[24];
        uint32_t n_merges = 1 + rng_below(rng, 24);
        weir_bpe_init(&bpe, n_merges, rng_u64(rng), &arena);
        for (uint32_t i = 0; i < 3; i++) {
            bpe.bytes['a' + i] = i;
        }
        for (uint32_t m = 0; m < n_merges; m++) {
            uint32_t left = rng_below(rng, 3 + m);
            uint32_t right = rng_below(rng, 3 + m);
            merges[m] = (weir_bpe_merge_t){left, right, m, 3 + m};
            weir_bpe_add(&bpe, left, right, m, 3 + m);
        }
        weir_bpe_scratch_t scratch;
        weir_bpe_scratch_init(&scratch, &arena);
        for (int i = 0; i < 40 && same; i++) {
            char text[200];
            uint32_t want[200];
            size_t n = 1 + rng_below(rng, i < 20 ? 40 : 199);
            size_t count = 0;
            for (size_t k = 0; k < n; k++) {
                want[k] = rng_below(rng, 3);
                text[k] = (char)('a' + want[k]);
            }
            weir_bpe_encode(&bpe, weir_str(text, n), SIZE_MAX, &scratch, &count);
            n = merge_by_definition(merges, n_merges, want, n);
            same = count == n && memcmp(scratch.ids, want, n * sizeof(*want)) == 0;
        }
    }
    ok(same, "merging agrees with its definition on random merges");
}

static void test_long_piece(void)
{
    test_vocabulary_t *v = vocabulary();
    merge(v, "a", "a");
    merge(v, "aa", "aa");
    merge(v, "aaaa", "aaaa");
    weir_tokenizer_t *tok = build(v);
    size_t len = 3000001;
    char *text = weir_arena_alloc(&arena, len);
    memset(text, 'a', len);
    int32_t *ids;
    size_t count;
    weir_status_t status = weir_tokenizer_encode(tok, weir_str(text, len), NULL, 0, false, 0,
                                                 &arena, &ids, &count, NULL);
    ok(status == WEIR_OK && count == len / 8 + 1 && ids[count - 1] == 'a',
       "a piece of three million letters");
    weir_error_t err;
    status = weir_tokenizer_encode(tok, weir_str(text, len), NULL, 0, false, 100, &arena, &ids,
                                   &count, &err);
    ok(status == WEIR_ERR_LIMIT && strstr(err.message, "100 tokens") != NULL,
       "a bound refuses it: %s", err.message);
    weir_arena_t small;
    weir_arena_init(&small, 0, 100000);
    status = weir_tokenizer_encode(tok, weir_str(text, len), NULL, 0, false, 0, &small, &ids,
                                   &count, &err);
    is_int(status, WEIR_ERR_NOMEM, "an arena's limit is an error");
    weir_arena_free(&small);
    weir_arena_init(&small, 0, 100000);
    status = weir_tokenizer_encode(tok, weir_str(text, len), NULL, 0, false, 10000, &small, &ids,
                                   &count, NULL);
    is_int(status, WEIR_ERR_LIMIT, "what cannot fit its bound is refused before memory is taken");
    weir_arena_free(&small);
    status = weir_tokenizer_encode(tok, weir_str(text, 16), NULL, 0, false, 2, &arena, &ids, &count,
                                   NULL);
    ok(status == WEIR_OK && count == 2, "a bound that just suffices");
    status = weir_tokenizer_encode(tok, weir_str(text, 17), NULL, 0, false, 2, &arena, &ids, &count,
                                   NULL);
    ok(status == WEIR_ERR_LIMIT && count == 0, "one token more is over it");
    weir_tokenizer_close(tok);
}

/* Encodes text whose first `trusted` bytes are trusted; the ids in decimal. */
static void is_ids(const weir_tokenizer_t *tok, const char *text, uint32_t trusted, bool bos,
                   const char *want, const char *name)
{
    uint32_t len = (uint32_t)strlen(text);
    weir_text_span_t spans[2] = {{0, trusted, true}, {trusted, len, false}};
    int32_t *ids = NULL;
    size_t count = 0;
    weir_buf_t out;
    weir_buf_init(&out, &arena);
    weir_status_t status = weir_tokenizer_encode(tok, weir_str(text, len), spans, 2, bos, 0, &arena,
                                                 &ids, &count, NULL);
    for (size_t i = 0; i < count; i++) {
        weir_buf_printf(&out, "%s%d", i == 0 ? "" : " ", ids[i]);
    }
    ok(status == WEIR_OK, "%s: encoded", name);
    is_str(out.data, out.len, want, "%s", name);
}

static void test_special(void)
{
    test_vocabulary_t *v = vocabulary();
    test_add_token(v, WEIR_STR("<s>"), WEIR_TOKEN_CONTROL);          /* 256 */
    test_add_token(v, WEIR_STR("<s>>"), WEIR_TOKEN_CONTROL);         /* 257 */
    test_add_token(v, WEIR_STR("<tool>"), WEIR_TOKEN_USER_DEFINED);  /* 258 */
    test_add_token(v, WEIR_STR("<|eot_id|>"), WEIR_TOKEN_CONTROL);   /* 259 */
    test_add_token(v, WEIR_STR("<unk>"), WEIR_TOKEN_UNKNOWN);        /* 260 */
    test_add_token(v, WEIR_STR("\xEF\xBD\x9C"), WEIR_TOKEN_CONTROL); /* 261 */
    test_add_token(v, WEIR_STR("[PAD]"), WEIR_TOKEN_UNUSED);         /* 262 */
    test_add_token(v, WEIR_STR("<s>"), WEIR_TOKEN_CONTROL);          /* 263: a duplicate */
    test_add_token(v, WEIR_STR(""), WEIR_TOKEN_CONTROL);             /* 264 */
    test_add_token(v, WEIR_STR("two words"), WEIR_TOKEN_NORMAL);     /* 265: not byte-level */
    v->vocab.bos = 256;
    v->vocab.eos = 258;
    v->vocab.add_bos = true;
    weir_tokenizer_t *tok = build(v);
    is_ids(tok, "a<s>b", 5, false, "97 256 98", "a special token in trusted text");
    is_ids(tok, "a<s>b", 0, false, "97 60 115 62 98", "none in untrusted text");
    is_ids(tok, "a<s>b", 4, false, "97 256 98", "one that ends with the trusted span");
    is_ids(tok, "a<s>b", 3, false, "97 60 115 62 98", "none that goes beyond it");
    is_ids(tok, "<s>>", 4, false, "257", "the longest match");
    is_ids(tok, "<s>>", 3, false, "256 62", "the longest that is trusted");
    is_ids(tok, "<s><s>>>", 8, false, "256 257 62", "neighbours");
    is_ids(tok, "<tool><unk>", 11, false, "258 260", "user-defined and unknown tokens");
    is_ids(tok, "\xEF\xBD\x9C", 3, false, "261", "a special token that is no ASCII");
    is_ids(tok, "[PAD]", 5, false, "91 80 65 68 93", "unused tokens are not recognised");
    is_ids(tok, "x", 0, true, "256 120", "bos first");
    is_ids(tok, "", 0, true, "256", "bos alone");
    is_int(weir_tokenizer_bos(tok), 256, "bos");
    is_int(weir_tokenizer_eos(tok), 258, "eos");
    ok(weir_tokenizer_adds_bos(tok), "the file asks for bos");
    ok(weir_tokenizer_is_eog(tok, 258), "eos ends generation");
    ok(weir_tokenizer_is_eog(tok, 259), "so does a control token known for it");
    ok(!weir_tokenizer_is_eog(tok, 256) && !weir_tokenizer_is_eog(tok, -1), "others do not");
    ok(weir_tokenizer_is_special(tok, 256), "control tokens are special");
    ok(!weir_tokenizer_is_special(tok, 258) && !weir_tokenizer_is_special(tok, 97),
       "user-defined and normal ones are not");
    is_int(weir_tokenizer_find(tok, WEIR_STR("<s>>")), 257, "find a special token");
    is_int(weir_tokenizer_find(tok, WEIR_STR("b")), 98, "find a byte");
    is_int(weir_tokenizer_find(tok, WEIR_STR("<s")), -1, "find nothing");
    is_int(weir_tokenizer_find(tok, WEIR_STR("")), -1, "find no text");
    int32_t ids[] = {256, 97, 258, 265, 9999, -5, 0xF0, 0x9F, 259, 0x98, 0x80, 0xC3};
    weir_buf_t out;
    weir_buf_init(&out, &arena);
    weir_tokenizer_decode(tok, ids, 12, false, &out);
    is_str(out.data, out.len, "a<tool>two words\xF0\x9F\x98\x80\xEF\xBF\xBD", "decoding");
    weir_buf_init(&out, &arena);
    weir_tokenizer_decode(tok, ids, 3, true, &out);
    is_str(out.data, out.len, "<s>a<tool>", "decoding with special tokens");
    weir_tokenizer_close(tok);
}

static void test_spans(void)
{
    static const struct {
        weir_text_span_t spans[3];
        weir_status_t want;
    } cases[] = {
        {{{0, 2, true}, {2, 2, false}, {2, 4, true}}, WEIR_OK},
        {{{0, 2, true}, {2, 3, false}, {3, 3, true}}, WEIR_ERR_INVALID},
        {{{0, 2, true}, {3, 3, false}, {3, 4, true}}, WEIR_ERR_INVALID},
        {{{0, 3, true}, {3, 2, false}, {2, 4, true}}, WEIR_ERR_INVALID},
        {{{0, 2, true}, {2, 4, false}, {4, 5, true}}, WEIR_ERR_INVALID},
        {{{1, 2, true}, {2, 4, false}, {4, 4, true}}, WEIR_ERR_INVALID},
    };
    weir_tokenizer_t *tok = build(vocabulary());
    int32_t *ids;
    size_t count;
    weir_error_t err;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_status_t got = weir_tokenizer_encode(tok, WEIR_STR("abcd"), cases[i].spans, 3, false,
                                                  0, &arena, &ids, &count, &err);
        is_int(got, cases[i].want, "spans, case %zu", i);
    }
    weir_tokenizer_close(tok);
    test_vocabulary_t *v = vocabulary();
    test_add_token(v, WEIR_STR("bc"), WEIR_TOKEN_CONTROL);
    tok = build(v);
    weir_tokenizer_encode(tok, WEIR_STR("abcd"), cases[0].spans, 3, false, 0, &arena, &ids, &count,
                          NULL);
    is_int((long long)count, 4, "a special token over an untrusted border is none");
    weir_text_span_t trusted[2] = {{0, 2, true}, {2, 4, true}};
    weir_tokenizer_encode(tok, WEIR_STR("abcd"), trusted, 2, false, 0, &arena, &ids, &count, NULL);
    ok(count == 3 && ids[1] == 256, "over neighbouring trusted spans it is one");
    weir_status_t got = weir_tokenizer_encode(tok, WEIR_STR("ab\xC3 c"), NULL, 0, false, 0, &arena,
                                              &ids, &count, &err);
    ok(got == WEIR_ERR_INVALID && strstr(err.message, "at byte 2") != NULL, "invalid UTF-8: %s",
       err.message);
    weir_tokenizer_close(tok);
}

static void is_refused(const test_vocabulary_t *v, weir_status_t want, const char *part,
                       const char *name)
{
    weir_tokenizer_t *tok = NULL;
    weir_error_t err = {0};
    weir_status_t got = weir_tokenizer_build(&v->vocab, &tok, &err);
    ok(got == want && strstr(err.message, part) != NULL && tok == NULL, "%s: %s", name,
       err.message);
    weir_tokenizer_close(tok);
}

static void test_bad_vocabularies(void)
{
    static const char *const bad_merges[] = {
        "", " ", "a", "a ", " a", "a  b", "a b c", "\xC4\xA0 \xE5\xAD\x97", "a zz", "a b"};
    for (size_t i = 0; i < sizeof(bad_merges) / sizeof(bad_merges[0]); i++) {
        test_vocabulary_t *v = vocabulary();
        v->merges[v->vocab.n_merges++] = weir_str(bad_merges[i], strlen(bad_merges[i]));
        is_refused(v, WEIR_ERR_INVALID, "merges[0]", "a merge that is wrong");
    }
    test_vocabulary_t *v = vocabulary();
    v->vocab.n_tokens = 0;
    is_refused(v, WEIR_ERR_INVALID, "no tokens", "no tokens");
    v = vocabulary();
    v->vocab.n_tokens = WEIR_TOKENIZER_MAX_TOKENS + 1;
    is_refused(v, WEIR_ERR_LIMIT, "the limits are", "too many tokens");
    v = vocabulary();
    v->vocab.eos = 256;
    is_refused(v, WEIR_ERR_INVALID, "eos_token_id is 256", "an id out of range");
    v = vocabulary();
    test_add_token(v, WEIR_STR("\xFFx"), WEIR_TOKEN_NORMAL);
    is_refused(v, WEIR_ERR_INVALID, "tokens[256] is not valid UTF-8", "a token that is no text");
    char *text = weir_arena_calloc(&arena, 1, WEIR_TOKENIZER_MAX_TOKEN_BYTES + 1);
    memset(text, 'x', WEIR_TOKENIZER_MAX_TOKEN_BYTES + 1);
    v = vocabulary();
    test_add_token(v, weir_str(text, WEIR_TOKENIZER_MAX_TOKEN_BYTES + 1), WEIR_TOKEN_NORMAL);
    is_refused(v, WEIR_ERR_LIMIT, "tokens[256] is 65537 bytes", "a token that is too long");
    v = vocabulary();
    test_add_token(v, weir_str(text, WEIR_TOKENIZER_MAX_SPECIAL_BYTES + 1), WEIR_TOKEN_CONTROL);
    is_refused(v, WEIR_ERR_LIMIT, "tokens[256] is 1025 bytes", "a special token that is too long");
}

/* Odd vocabularies that are usable all the same. */
static void test_odd_vocabularies(void)
{
    test_vocabulary_t *v = vocabulary();
    test_add_token(v, WEIR_STR("ab"), WEIR_TOKEN_CONTROL);
    merge(v, "a", "b");
    merge(v, "c", "d");
    weir_tokenizer_t *tok = build(v);
    is_split(tok, "abcd", "a|b|cd", "a merge to a special token is never applied");
    weir_tokenizer_close(tok);

    v = vocabulary();
    v->types['q'] = WEIR_TOKEN_CONTROL; /* the byte q has no token then */
    merge(v, "a", "b");
    tok = build(v);
    is_split(tok, "aqb", "ab", "a byte without a token is left out before merging");
    is_split(tok, "qqq", "", "and may be all of the text");
    weir_tokenizer_close(tok);

    v = vocabulary();
    v->vocab.types = NULL;
    test_add_token(v, WEIR_STR("a"), WEIR_TOKEN_NORMAL);
    tok = build(v);
    is_int(weir_tokenizer_find(tok, WEIR_STR("a")), 'a', "the first of equal tokens counts");
    weir_tokenizer_close(tok);
}

enum { SOUND, TYPE_7, TYPES_ARE_STRINGS, TYPES_TOO_SHORT, NO_MERGES };

static weir_status_t open_file(const char *model, const char *pre, int fault, weir_error_t *err)
{
    weir_str_t tokens[2] = {WEIR_STR("a"), WEIR_STR("b")};
    int32_t numbers[2] = {WEIR_TOKEN_NORMAL, fault == TYPE_7 ? 7 : WEIR_TOKEN_NORMAL};
    gguf_write_t w;
    weir_buf_t file;
    weir_gguf_t *gguf = NULL;
    weir_tokenizer_t *tok = NULL;
    gguf_write_init(&w, &arena);
    gguf_write_str(&w, "tokenizer.ggml.model", weir_str(model, strlen(model)));
    if (pre != NULL) {
        gguf_write_str(&w, "tokenizer.ggml.pre", weir_str(pre, strlen(pre)));
    }
    gguf_write_str_array(&w, "tokenizer.ggml.tokens", tokens, 2);
    if (fault != NO_MERGES) {
        gguf_write_str_array(&w, "tokenizer.ggml.merges", NULL, 0);
    }
    if (fault == TYPES_ARE_STRINGS) {
        gguf_write_str_array(&w, "tokenizer.ggml.token_type", tokens, 2);
    } else {
        gguf_write_i32_array(&w, "tokenizer.ggml.token_type", numbers,
                             fault == TYPES_TOO_SHORT ? 1 : 2);
    }
    weir_buf_init(&file, &arena);
    gguf_write_finish(&w, &file);
    char *aligned = aligned_alloc(32, (file.len + 31) & ~(size_t)31);
    memcpy(aligned, file.data, file.len);
    weir_status_t status = weir_gguf_open_memory(aligned, file.len, &gguf, err);
    if (status == WEIR_OK) {
        status = weir_tokenizer_open(gguf, &tok, err);
    }
    weir_tokenizer_close(tok);
    weir_gguf_close(gguf);
    free(aligned);
    return status;
}

static void test_files(void)
{
    static const struct {
        const char *model;
        const char *pre;
        int fault;
        weir_status_t want;
        const char *part;
    } cases[] = {
        {"gpt2", "smollm", SOUND, WEIR_OK, ""},
        {"llama", "smollm", SOUND, WEIR_ERR_UNSUPPORTED, "'llama' is not supported"},
        {"gpt2", "tekken", SOUND, WEIR_ERR_UNSUPPORTED, "'tekken' is not supported"},
        {"gpt2", NULL, SOUND, WEIR_ERR_UNSUPPORTED, "does not name its pre-tokenizer"},
        {"gpt2", "smollm", TYPE_7, WEIR_ERR_INVALID, "token_type[1]"},
        {"gpt2", "smollm", TYPES_ARE_STRINGS, WEIR_ERR_INVALID, "token_type[0]"},
        {"gpt2", "smollm", TYPES_TOO_SHORT, WEIR_ERR_INVALID, "one per token"},
        {"gpt2", "smollm", NO_MERGES, WEIR_ERR_INVALID, "tokenizer.ggml.merges is missing"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_error_t err = {0};
        weir_status_t got = open_file(cases[i].model, cases[i].pre, cases[i].fault, &err);
        ok(got == cases[i].want && strstr(err.message, cases[i].part) != NULL, "file %zu: %s", i,
           err.message);
    }
}

static void test_tiny_model(void)
{
    tiny_model_t spec;
    weir_buf_t file;
    weir_gguf_t *gguf = NULL;
    weir_tokenizer_t *tok = NULL;
    weir_error_t err = {0};
    tiny_model_defaults(&spec);
    weir_buf_init(&file, &arena);
    tiny_model_build(&spec, &file, &err);
    char *aligned = aligned_alloc(32, (file.len + 31) & ~(size_t)31);
    memcpy(aligned, file.data, file.len);
    ok(weir_gguf_open_memory(aligned, file.len, &gguf, &err) == WEIR_OK &&
           weir_tokenizer_open(gguf, &tok, &err) == WEIR_OK,
       "a tiny model's tokenizer opens %s", err.message);
    weir_gguf_close(gguf);
    memset(aligned, 0xA5, file.len);
    free(aligned);
    int32_t *ids;
    size_t count;
    weir_buf_t out;
    weir_buf_init(&out, &arena);
    weir_str_t text = WEIR_STR("It outlives the file: 42 \xF0\x9F\x98\x80!");
    weir_tokenizer_encode(tok, text, NULL, 0, false, 0, &arena, &ids, &count, NULL);
    weir_tokenizer_decode(tok, ids, count, false, &out);
    ok(weir_str_eq(weir_str(out.data, out.len), text), "and encodes and decodes without the file");
    ok(weir_tokenizer_is_eog(tok, TINY_MODEL_IM_END), "its eos ends generation");
    weir_tokenizer_close(tok);
}

int main(void)
{
    rng_t rng;
    rng_init(&rng);
    weir_arena_init(&arena, 1u << 20, 0);
    test_merging();
    test_merging_by_definition(&rng);
    test_long_piece();
    test_special();
    test_spans();
    test_bad_vocabularies();
    test_odd_vocabularies();
    test_files();
    test_tiny_model();
    weir_arena_free(&arena);
    return done_testing();
}

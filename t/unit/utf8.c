/* UTF-8 in the tools: validity, replacement of maximal subparts, streams. */
#include <string.h>

#include "engine/base/utf8.h"
#include "engine/llm/tokenizer.h"
#include "t/support/tap.h"

#define R "\xEF\xBF\xBD"

/* Input and what it becomes: the examples of Unicode 15, section 3.9, and the borders of table 3-7.
 */
static const struct {
    const char *in;
    const char *out;
} cases[] = {
    {"", ""},
    {"plain", "plain"},
    {"\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80", "\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"},
    {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", R R R R R R R R "A"},
    {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", R R R R R R R R "A"},
    {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", R R R R R "A" R R "B"},
    {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", R R R R "A"},
    {"\xF0\x9F\x98", R},
    {"\xF0\x9F\x98\xF0\x9F\x98\x80", R "\xF0\x9F\x98\x80"},
    {"\xC2", R},
    {"\xC2\xC2\xA9", R "\xC2\xA9"},
    {"\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80", "\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80"},
    {"\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"},
    {"\xF5\x80\x80\x80", R R R R},
};

static weir_str_t by_chunks(weir_str_t text, size_t chunk, weir_arena_t *arena, bool *whole)
{
    weir_utf8_stream_t stream = {.n = 0};
    weir_buf_t out;
    weir_buf_init(&out, arena);
    for (size_t i = 0; i < text.len; i += chunk) {
        size_t n = text.len - i < chunk ? text.len - i : chunk;
        weir_utf8_stream_push(&stream, weir_str(text.data + i, n), &out);
        *whole = *whole && weir_utf8_valid(out.data, out.len) == out.len && stream.n <= 3;
    }
    weir_utf8_stream_finish(&stream, &out);
    return weir_str(out.data, out.len);
}

static void test_cases(weir_arena_t *arena)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_str_t in = weir_str(cases[i].in, strlen(cases[i].in));
        weir_str_t out;
        ok(weir_utf8_sanitize(in, arena, &out) == WEIR_OK, "case %zu is sanitized", i);
        is_str(out.data, out.len, cases[i].out, "case %zu: each maximal subpart is replaced", i);
        bool same = true;
        bool whole = true;
        for (size_t chunk = 1; chunk <= 5; chunk++) {
            same = same && weir_str_is(by_chunks(in, chunk, arena, &whole), cases[i].out);
        }
        ok(same, "case %zu: a stream gives the same however it is cut", i);
        ok(whole, "case %zu: only whole characters come out of it", i);
    }
}

/* What can no longer become a character is not held back. */
static void test_held_back(weir_arena_t *arena)
{
    static const struct {
        const char *in;
        int held;
    } ends[] = {{"a", 0},        {"\xC3", 1},     {"\xE2\x82", 2}, {"\xF0\x9F\x98", 3},
                {"\xF5", 0},     {"\xC0", 0},     {"\x80", 0},     {"\xE0\x80", 0},
                {"\xED\xA0", 0}, {"\xF4\x90", 0}, {"\xC3\xA9", 0}, {"\xE2\x82\xAC", 0}};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        weir_utf8_stream_t stream = {.n = 0};
        weir_buf_t out;
        weir_buf_init(&out, arena);
        weir_utf8_stream_push(&stream, weir_str(ends[i].in, strlen(ends[i].in)), &out);
        is_int(stream.n, ends[i].held, "end %zu: the bytes held back", i);
    }
}

static void test_valid(void)
{
    is_int((long long)weir_utf8_valid("abc", 3), 3, "all of a valid text");
    is_int((long long)weir_utf8_valid("abcdefgh\xFFijk", 12), 8, "the first bad byte");
    is_int((long long)weir_utf8_valid("abcdefghi\xC3", 10), 9,
           "a cut character begins the bad part");
    is_int((long long)weir_utf8_valid("\0a\0", 3), 3, "NUL is a character");
    is_int((long long)weir_utf8_valid(NULL, 0), 0, "no text");
}

/* Every code point is valid; every surrogate is not. */
static void test_code_points(void)
{
    bool good = true;
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        char text[4];
        size_t n = (size_t)weir_utf8_encode(cp, text);
        bool surrogate = cp >= 0xD800 && cp < 0xE000;
        good = good && weir_utf8_valid(text, n) == (surrogate ? 0 : n);
    }
    ok(good, "all code points but the surrogates are valid");
}

int main(void)
{
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    test_cases(&arena);
    test_held_back(&arena);
    test_valid();
    test_code_points();
    weir_arena_free(&arena);
    weir_arena_init(&arena, 64, 64);
    weir_str_t out;
    ok(weir_utf8_sanitize(WEIR_STR("a text that does not fit the arena's limit"), &arena, &out) ==
           WEIR_ERR_NOMEM,
       "no memory is an error");
    weir_arena_free(&arena);
    return done_testing();
}

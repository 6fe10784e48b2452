/* The four splits, on texts that show each rule. Pieces are joined by '|' for comparison. */
#include "engine/llm/pretokenizer.h"
#include "engine/llm/unicode.h"
#include "t/support/tap.h"

enum { GPT2, SMOLLM, LLAMA3, QWEN2 };

static const struct {
    const char *text;
    const char *want[4]; /* NULL: as the one before */
} cases[] = {
    {"", {""}},
    {"Hello world!", {"Hello| world|!"}},
    {"we'll don't I'VE", {"we|'ll| don|'t| I|'|VE", NULL, "we|'ll| don|'t| I|'VE", NULL}},
    {"x'\xC5\xBFy", {"x|'|\xC5\xBFy", NULL, "x|'\xC5\xBF|y", NULL}},
    {" 's", {" '|s"}},
    {"1234567", {"1234567", "1|2|3|4|5|6|7", "123|456|7", "1|2|3|4|5|6|7"}},
    {"a 12 b", {"a| 12| b", "a| |1|2| b", "a| |12| b", "a| |1|2| b"}},
    {"\xC2\xBD\xD9\xA3",
     {"\xC2\xBD\xD9\xA3", "\xC2\xBD|\xD9\xA3", "\xC2\xBD\xD9\xA3", "\xC2\xBD|\xD9\xA3"}},
    {"a   b", {"a|  | b"}},
    {"a   ", {"a|   "}},
    {"a  1", {"a| | 1", "a|  |1", "a| | |1", NULL}},
    {"a\n\nb", {"a|\n|\n|b", NULL, "a|\n\n|b", NULL}},
    {"a\nb", {"a|\n|b"}},
    {"a \n \nb", {"a| \n |\n|b", NULL, "a| \n \n|b", NULL}},
    {"a\n  b", {"a|\n | b", NULL, "a|\n| | b", NULL}},
    {"a\n\n  ", {"a|\n\n  ", NULL, "a|\n\n|  ", NULL}},
    {"a\tb", {"a|\t|b", NULL, "a|\tb", NULL}},
    {"(a)", {"(|a|)", NULL, "(a|)", NULL}},
    {"a!\n\nb", {"a|!|\n|\n|b", NULL, "a|!\n\n|b", NULL}},
    {" !\r\n x", {" !|\r\n| x", NULL, " !\r\n| x", NULL}},
    {"e\xCC\x81"
     "a",
     {"e|\xCC\x81|a", NULL,
      "e|\xCC\x81"
      "a",
      NULL}},
    {"\xE3\x80\x80\xE3\x80\x80x",
     {"\xE3\x80\x80|\xE3\x80\x80|x", NULL, "\xE3\x80\x80|\xE3\x80\x80x", NULL}},
    {"\xF0\x9F\x99\x82\xF0\x9F\x99\x82", {"\xF0\x9F\x99\x82\xF0\x9F\x99\x82"}},
    {"\xE4\xBD\xA0\xE5\xA5\xBD\xEF\xBC\x8C", {"\xE4\xBD\xA0\xE5\xA5\xBD|\xEF\xBC\x8C"}},
    /* A number of Unicode 17: only the step that isolates digits knows it. */
    {"!\xF0\x91\xB7\xA0!",
     {"!\xF0\x91\xB7\xA0!", "!|\xF0\x91\xB7\xA0|!", "!\xF0\x91\xB7\xA0!", NULL}},
};

static weir_str_t join(weir_pretokenizer_kind_t kind, const char *text, weir_arena_t *arena)
{
    weir_pieces_t pieces;
    weir_str_t piece;
    weir_buf_t out;
    weir_buf_init(&out, arena);
    weir_pieces_init(&pieces, kind, weir_str(text, strlen(text)));
    while (weir_pieces_next(&pieces, &piece)) {
        weir_buf_append_z(&out, out.len == 0 ? "" : "|");
        weir_buf_append_str(&out, piece);
    }
    return weir_str(out.data, out.len);
}

static void test_names(void)
{
    static const struct {
        const char *name;
        int kind;
        bool ignore_merges;
    } names[] = {{"gpt-2", GPT2, false},
                 {"smollm", SMOLLM, false},
                 {"starcoder", SMOLLM, false},
                 {"llama-bpe", LLAMA3, true},
                 {"llama3", LLAMA3, true},
                 {"qwen2", QWEN2, false},
                 {"deepseek-r1-qwen", QWEN2, false}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        weir_str_t name = weir_str(names[i].name, strlen(names[i].name));
        const weir_pretokenizer_t *found = weir_pretokenizer_find(name);
        ok(found != NULL && (int)found->kind == names[i].kind &&
               found->ignore_merges == names[i].ignore_merges &&
               strstr(weir_pretokenizer_names(), names[i].name) != NULL,
           "the name %s", names[i].name);
    }
    ok(weir_pretokenizer_find(WEIR_STR("tekken")) == NULL, "a name with another split is unknown");
    ok(weir_pretokenizer_find(WEIR_STR("")) == NULL, "no name is unknown");
}

static void test_classes(void)
{
    is_int(weir_unicode_class('a'), WEIR_UNICODE_LETTER, "a letter");
    is_int(weir_unicode_class('7'), WEIR_UNICODE_NUMBER, "a number");
    is_int(weir_unicode_class('_'), WEIR_UNICODE_OTHER, "neither");
    is_int(weir_unicode_class(0x3000), WEIR_UNICODE_SPACE, "the ideographic space");
    is_int(weir_unicode_class(0x200B), WEIR_UNICODE_OTHER, "the zero-width space is none");
    is_int(weir_unicode_class(0x2460), WEIR_UNICODE_NUMBER, "a circled digit");
    is_int(weir_unicode_class(0x1C89), WEIR_UNICODE_LETTER, "a letter of Unicode 16");
    is_int(weir_unicode_class(0x10FFFF), WEIR_UNICODE_OTHER, "the last code point");
    is_int(weir_unicode_class(0xFFFFFFFF), WEIR_UNICODE_OTHER, "no code point");
}

int main(void)
{
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    static const char *const kinds[] = {"gpt2", "smollm", "llama3", "qwen2"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *want = NULL;
        for (int kind = GPT2; kind <= QWEN2; kind++) {
            want = cases[i].want[kind] != NULL ? cases[i].want[kind] : want;
            weir_str_t got = join((weir_pretokenizer_kind_t)kind, cases[i].text, &arena);
            is_str(got.data, got.len, want, "%s: case %zu", kinds[kind], i);
        }
    }
    test_names();
    test_classes();
    weir_arena_free(&arena);
    return done_testing();
}

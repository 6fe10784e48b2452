/* Splices: what is not spliced stays, whatever the order in which they are made. */
#include "lua-free-filters/edit.h"
#include "t/support/tap.h"

#include <stdio.h>
#include <stdlib.h>

static weir_arena_t arena;

static void scan(const char *text, weir_json_doc_t *doc)
{
    if (weir_json_parse(text, strlen(text), NULL, &arena, doc, NULL) != WEIR_OK) {
        abort();
    }
}

static void is_edited(const weir_edit_t *edit, const char *text, const char *want, const char *name)
{
    size_t len = weir_edit_length(edit, strlen(text));
    char *out = weir_arena_alloc(&arena, len + 1);
    weir_edit_apply(edit, text, strlen(text), out);
    is_str(out, len, want, "%s", name);
}

static void test_values(void)
{
    const char *text = "{\"model\" : \"gpt\\u002d4\", \"n\":1e0,\"x\":[1, 2.50]}";
    weir_json_doc_t doc;
    weir_edit_t edit;
    weir_error_t err;

    scan(text, &doc);
    weir_edit_init(&edit, &arena);
    is_edited(&edit, text, text, "no splice, no change");
    ok(weir_edit_value(&edit, &doc, weir_json_get(&doc, 0, "n"), WEIR_STR("4"), &err) == WEIR_OK &&
           weir_edit_string(&edit, &doc, weir_json_get(&doc, 0, "model"), WEIR_STR("a\"b\n"),
                            &err) == WEIR_OK &&
           weir_edit_member(&edit, &doc, 0, "s", WEIR_STR("{}"), &err) == WEIR_OK &&
           weir_edit_member(&edit, &doc, 0, "t", WEIR_STR("[]"), &err) == WEIR_OK,
       "values, strings and members");
    is_edited(&edit, text, "{\"s\":{},\"t\":[],\"model\" : \"a\\\"b\\n\", \"n\":4,\"x\":[1, 2.50]}",
              "only they change");
    ok(weir_edit_value(&edit, &doc, weir_json_get(&doc, 0, "n"), WEIR_STR("5"), &err) ==
           WEIR_ERR_INVALID,
       "two hands in one value are refused");
    ok(weir_edit_value(&edit, &doc, 0, WEIR_STR("5"), &err) == WEIR_ERR_INVALID,
       "so is one around another");
    ok(weir_edit_splice(&edit, doc.len, 1, doc.len + 1, WEIR_STR(""), &err) == WEIR_ERR_INVALID &&
           weir_edit_splice(&edit, doc.len, 3, 2, WEIR_STR(""), &err) == WEIR_ERR_INVALID,
       "so is what lies outside");
    is_edited(&edit, text, "{\"s\":{},\"t\":[],\"model\" : \"a\\\"b\\n\", \"n\":4,\"x\":[1, 2.50]}",
              "a refused edit changes nothing");
    ok(weir_edit_member(&edit, &doc, weir_json_get(&doc, 0, "x"), "s", WEIR_STR("1"), &err) ==
           WEIR_ERR_INVALID,
       "an array has no members");
}

static void test_empty_object(void)
{
    weir_json_doc_t doc;
    weir_edit_t edit;

    scan("{ }", &doc);
    weir_edit_init(&edit, &arena);
    weir_edit_member(&edit, &doc, 0, "a", WEIR_STR("1"), NULL);
    is_edited(&edit, "{ }", "{\"a\":1 }", "a member of an empty object has no comma");
    weir_edit_member(&edit, &doc, 0, "b", WEIR_STR("2"), NULL);
    weir_edit_member(&edit, &doc, 0, "c", WEIR_STR("3"), NULL);
    size_t len = weir_edit_length(&edit, 3);
    char out[64];
    weir_edit_apply(&edit, "{ }", 3, out);
    weir_json_doc_t again;
    out[len] = '\0';
    scan(out, &again);
    ok(again.nodes[0].size == 3, "three of them are JSON: %s", out);
}

static void test_remove(void)
{
    static const struct {
        const char *text;
        const char *key;
        const char *want;
    } cases[] = {
        {"{\"a\":1}", "a", "{}"},
        {"{\"a\":1, \"b\":2}", "a", "{\"b\":2}"},
        {"{\"a\":1, \"b\":[2]}", "b", "{\"a\":1}"},
        {"{\"a\":1 ,\"b\":{} , \"c\":3 }", "b", "{\"a\":1 ,\"c\":3 }"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_json_doc_t doc;
        weir_edit_t edit;
        scan(cases[i].text, &doc);
        weir_edit_init(&edit, &arena);
        ok(weir_edit_remove(&edit, &doc, 0, weir_json_get(&doc, 0, cases[i].key) - 1, NULL) ==
               WEIR_OK,
           "%s without %s", cases[i].text, cases[i].key);
        is_edited(&edit, cases[i].text, cases[i].want, "with its comma");
        ok(weir_edit_remove(&edit, &doc, 0, doc.count, NULL) == WEIR_ERR_INVALID,
           "what is not there is not removed");
    }
}

typedef struct {
    size_t start;
    size_t end;
    char with[8];
} range_t;

/* Ranges that do not touch, made in any order, against the text put together by hand. */
static void test_any_order(void)
{
    rng_t rng;
    rng_init(&rng);
    bool good = true;
    for (int round = 0; round < 2000 && good; round++) {
        char text[200];
        char want[1000];
        range_t ranges[20] = {{0}};
        uint32_t n = 0;
        size_t len = rng_below(&rng, sizeof(text));
        size_t out = 0;
        size_t at = 0;
        for (size_t i = 0; i < len; i++) {
            text[i] = (char)('a' + rng_below(&rng, 26));
        }
        while (n < 20) {
            size_t start = at + rng_below(&rng, 12);
            size_t end = start + rng_below(&rng, 5);
            if (end > len) {
                break;
            }
            memcpy(want + out, text + at, start - at);
            out += start - at;
            snprintf(ranges[n].with, sizeof(ranges[n].with), "%.*s", (int)rng_below(&rng, 6),
                     "XYZUVW");
            memcpy(want + out, ranges[n].with, strlen(ranges[n].with));
            out += strlen(ranges[n].with);
            ranges[n].start = start;
            ranges[n++].end = end;
            at = end + (start == end); /* two insertions at one place have an order of their own */
            if (at > len) {
                at = len;
                break;
            }
            if (at > end) {
                want[out++] = text[end];
            }
        }
        memcpy(want + out, text + at, len - at);
        out += len - at;

        weir_edit_t edit;
        weir_edit_init(&edit, &arena);
        for (uint32_t left = n; left > 0; left--) {
            uint32_t i = rng_below(&rng, left);
            range_t r = ranges[i];
            char *with = weir_arena_strndup(&arena, r.with, strlen(r.with));
            good = good && weir_edit_splice(&edit, len, r.start, r.end,
                                            weir_str(with, strlen(with)), NULL) == WEIR_OK;
            ranges[i] = ranges[left - 1];
        }
        char got[1000];
        good = good && weir_edit_length(&edit, len) == out;
        if (good) {
            weir_edit_apply(&edit, text, len, got);
            good = memcmp(got, want, out) == 0;
        }
        weir_arena_reset(&arena);
    }
    ok(good, "any order gives the same text");
}

int main(void)
{
    weir_arena_init(&arena, 0, 0);
    test_values();
    test_empty_object();
    test_remove();
    test_any_order();
    weir_arena_free(&arena);
    return done_testing();
}

/* The JSON scanner, reader and writer. */
#include "engine/base/json.h"
#include "t/support/tap.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

static weir_arena_t arena;

static weir_status_t parse(const char *text, size_t len, weir_json_doc_t *doc, weir_error_t *err)
{
    return weir_json_parse(text, len, NULL, &arena, doc, err);
}

static void test_accepts(void)
{
    static const char *const texts[] = {
        "null",
        "true",
        " false ",
        "0",
        "-0",
        "1.5",
        "-1.5e+10",
        "1E-2",
        "123456789012345678901234567890",
        "\"\"",
        "\"a\\u0041\\n\\\"\\\\\\/\\b\\f\\r\\t\"",
        "\"\\ud83d\\ude00\"",
        "\"\xF0\x9F\x98\x80\"",
        "[]",
        "[ ]",
        "{}",
        "{ }",
        "[1,2,3]",
        "[[],[[]],{}]",
        "{\"a\":1}",
        "{\"a\":{\"b\":[1,{\"c\":null}]}}",
        "\t[1 , 2]\r\n",
        "{\"\":0}",
        "\"\\u0000\"",
        "\"\x7F\"",
        "1e9999",
        "[\"\xEE\x80\x80\"]",
        "{\"a\":1,\"b\":1,\"A\":2}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        weir_json_doc_t doc;
        weir_error_t err = {0};
        weir_status_t status = parse(texts[i], strlen(texts[i]), &doc, &err);
        ok(status == WEIR_OK, "accepts %zu: %s", i, err.message);
    }
}

static void test_rejects(void)
{
    static const char *const texts[] = {
        "",
        " ",
        "nul",
        "truee",
        "nullx",
        "True",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x10",
        "-01",
        "NaN",
        "Infinity",
        "--1",
        "1 2",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\ud83d\"",
        "\"\\ude00\"",
        "\"\\ud83d\\u0041\"",
        "\"\\ud83dx\"",
        "\"a\nb\"",
        "\"\x01\"",
        "\"\xFF\"",
        "\"\xC0\x80\"",
        "\"\xED\xA0\x80\"",
        "\"\xE2\x82\"",
        "\"\xF4\x90\x80\x80\"",
        "'a'",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "{",
        "}",
        "{]",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{,}",
        "{\"a\" 1}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1 \"b\":2}",
        "\xEF\xBB\xBF{}",
        "{}{}",
        "[1]x",
        "\342\200\2501",
        "[1]\x0B",
        "\"\\",
        "\"\\u",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "[{\"x\":{\"k\":1,\"l\":2,\"k\":3}}]",
        "/**/1",
        "[1,/**/2]",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        weir_json_doc_t doc;
        weir_error_t err = {0};
        weir_status_t status = parse(texts[i], strlen(texts[i]), &doc, &err);
        ok(status == WEIR_ERR_INVALID && strstr(err.message, "at byte ") != NULL, "rejects %zu: %s",
           i, err.message);
    }
    weir_json_doc_t doc;
    ok(parse("[1\0,2]", 6, &doc, NULL) == WEIR_ERR_INVALID, "rejects a NUL byte outside");
    ok(parse("\"a\0\"", 4, &doc, NULL) == WEIR_ERR_INVALID, "rejects a NUL byte in a string");
    ok(parse("\"\\\0\"", 4, &doc, NULL) == WEIR_ERR_INVALID, "rejects an escaped NUL byte");
}

static void test_structure(void)
{
    const char *text = " {\"a\": [1, {\"b\": \"x\"}, []], \"c\\u0064\": {}, \"e\": -2.5} ";
    weir_json_doc_t doc;
    ok(parse(text, strlen(text), &doc, NULL) == WEIR_OK, "a nested document");
    is_int(doc.count, 12, "every value is a node");
    is_int(doc.nodes[0].size, 3, "members of the root");
    is_int(doc.nodes[0].next, doc.count, "the root spans all nodes");
    uint32_t a = weir_json_get(&doc, 0, "a");
    is_int(doc.nodes[a].size, 3, "elements of an array");
    weir_str_t raw = weir_json_raw(&doc, a);
    is_str(raw.data, raw.len, "[1, {\"b\": \"x\"}, []]", "raw bytes of an array");
    uint32_t object = weir_json_at(&doc, a, 1);
    ok(weir_json_type(&doc, object) == WEIR_JSON_OBJECT, "an element by index");
    ok(weir_json_string_is(&doc, weir_json_get(&doc, object, "b"), "x"), "a string compares");
    ok(weir_json_get(&doc, 0, "cd") != WEIR_JSON_NONE, "an escaped key is found by its meaning");
    ok(weir_json_get(&doc, 0, "c\\u0064") == WEIR_JSON_NONE, "and not by its spelling");
    ok(weir_json_get(&doc, a, "a") == WEIR_JSON_NONE, "an array has no members");
    ok(weir_json_at(&doc, a, 3) == WEIR_JSON_NONE, "no element behind the last");
    ok(weir_json_at(&doc, 0, 0) == WEIR_JSON_NONE, "an object has no elements");
    double d = 0;
    ok(weir_json_double(&doc, weir_json_get(&doc, 0, "e"), &d) && d == -2.5, "a number");
    ok(!weir_json_double(&doc, a, &d), "an array is no number");
}

static void test_strings(void)
{
    const char *text = "[\"plain\",\"\\ud83d\\ude00\\u00e9\\n\\u0000z\",7]";
    weir_json_doc_t doc;
    parse(text, strlen(text), &doc, NULL);
    weir_str_t s = {0};
    weir_json_string(&doc, 1, &arena, &s);
    ok(s.data == text + 2 && s.len == 5, "a string without escapes is a view of the text");
    weir_json_string(&doc, 2, &arena, &s);
    ok(weir_str_eq(s, weir_str("\xF0\x9F\x98\x80\xC3\xA9\n\0z", 9)), "escapes are resolved");
    ok(weir_json_string(&doc, 3, &arena, &s) == WEIR_ERR_INVALID, "a number is no string");
    ok(!weir_json_string_is(&doc, 3, "7"), "nor equal to one");
}

static void test_int64(void)
{
    static const struct {
        const char *text;
        bool is_int;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"-0.0e5", true, 0},
        {"3", true, 3},
        {"3.0", true, 3},
        {"3e0", true, 3},
        {"300e-2", true, 3},
        {"0.3e1", true, 3},
        {"30.5e1", true, 305},
        {"0.00000000000000000003e20", true, 3},
        {"3.5", false, 0},
        {"1e30", false, 0},
        {"1e-1", false, 0},
        {"1e18", true, 1000000000000000000},
        {"9223372036854775807", true, INT64_MAX},
        {"9223372036854775808", false, 0},
        {"-9223372036854775808", true, INT64_MIN},
        {"-9223372036854775809", false, 0},
        {"9223372036854775807.0", true, INT64_MAX},
        {"9223372036854775807.5", false, 0},
        {"18446744073709551616", false, 0},
        {"1e99999999999999999999", false, 0},
        {"0e99999999999999999999", true, 0},
        {"1e-99999999999999999999", false, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_json_doc_t doc;
        int64_t value = -77;
        parse(cases[i].text, strlen(cases[i].text), &doc, NULL);
        bool got = weir_json_int64(&doc, 0, &value);
        ok(got == cases[i].is_int && (!got || value == cases[i].value), "%s %s an int64",
           cases[i].text, cases[i].is_int ? "is" : "is not");
    }
}

static void test_double_reading(rng_t *rng)
{
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"0.1", 0.1},
        {"123.456e-7", 123.456e-7},
        {"1e-400", 0},
        {"5e-324", 5e-324},
        {"2.4703282292062328e-324", 5e-324},
        {"2.4703282292062327e-324", 0},
        {"1.7976931348623157e308", DBL_MAX},
        {"0.0000001", 1e-7},
        {"1e400", INFINITY},
        {"-1e309", INFINITY},
        {"1.7976931348623159e308", INFINITY},
        {"0e999999999999", 0},
        {"9007199254740993", 9007199254740992.0},
        {"9007199254740993.00000000000000000000001", 9007199254740994.0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_json_doc_t doc;
        double value = 0;
        parse(cases[i].text, strlen(cases[i].text), &doc, NULL);
        bool got = weir_json_double(&doc, 0, &value);
        bool finite = isfinite(cases[i].value);
        ok(got == finite && (!got || value == cases[i].value), "%s", cases[i].text);
    }
    /* Halfway between two doubles, decided by the 2000th digit. */
    static char text[3000];
    int n = sprintf(text, "9007199254740993.");
    memset(text + n, '0', 2000);
    text[n + 2000] = '1';
    weir_json_doc_t doc;
    double value = 0;
    parse(text, (size_t)n + 2001, &doc, NULL);
    ok(weir_json_double(&doc, 0, &value) && value == 9007199254740994.0, "no digit is forgotten");
    bool same = true;
    for (int i = 0; i < 20000; i++) {
        n = sprintf(text, "%llu.%llue%d", (unsigned long long)(rng_u64(rng) >> rng_below(rng, 64)),
                    (unsigned long long)rng_u64(rng), (int)rng_below(rng, 660) - 345);
        parse(text, (size_t)n, &doc, NULL);
        double want = strtod(text, NULL);
        bool got = weir_json_double(&doc, 0, &value);
        same = same && (isfinite(want) ? got && value == want : !got);
        weir_arena_reset(&arena);
    }
    ok(same, "20000 random numbers read as strtod reads them");
}

static void test_limits(void)
{
    static char text[400];
    weir_json_doc_t doc;
    weir_error_t err;
    memset(text, '[', 100);
    memset(text + 100, ']', 100);
    ok(parse(text + 36, 128, &doc, &err) == WEIR_OK, "64 levels are allowed");
    ok(parse(text + 35, 130, &doc, &err) == WEIR_ERR_LIMIT, "65 are not: %s", err.message);
    weir_json_limits_t limits = {.max_depth = 3};
    ok(weir_json_parse("[[[1]]]", 7, &limits, &arena, &doc, &err) == WEIR_OK, "depth 3");
    ok(weir_json_parse("[[[{}]]]", 8, &limits, &arena, &doc, &err) == WEIR_ERR_LIMIT, "depth 4");
    limits = (weir_json_limits_t){.max_bytes = 5};
    ok(weir_json_parse("[1,2]", 5, &limits, &arena, &doc, &err) == WEIR_OK, "5 bytes of 5");
    ok(weir_json_parse("[1,2] ", 6, &limits, &arena, &doc, &err) == WEIR_ERR_LIMIT, "6 of 5");
    limits = (weir_json_limits_t){.max_members = 2};
    const char *two = "[{\"a\":1,\"b\":{\"c\":1,\"d\":2}},1,2,3]";
    const char *three = "[{\"a\":1,\"b\":{\"c\":1,\"d\":2,\"e\":3}}]";
    ok(weir_json_parse(two, strlen(two), &limits, &arena, &doc, &err) == WEIR_OK, "2 members of 2");
    ok(weir_json_parse(three, strlen(three), &limits, &arena, &doc, &err) == WEIR_ERR_LIMIT &&
           strcmp(err.code, "json_object_too_large") == 0 && strstr(err.message, "byte 25") != NULL,
       "3 of 2: %s", err.message);
    limits = (weir_json_limits_t){.allow_duplicate_keys = true};
    ok(weir_json_parse("{\"a\":1,\"a\":2}", 13, &limits, &arena, &doc, &err) == WEIR_OK,
       "duplicates may be allowed");
    weir_json_node_t nodes[4];
    ok(weir_json_scan("[1,2,3]", 7, NULL, nodes, 4, &doc, &err) == WEIR_OK, "just enough nodes");
    ok(weir_json_scan("[1,2,3]", 7, NULL, nodes, 3, &doc, &err) == WEIR_ERR_LIMIT &&
           strcmp(err.field, "nodes") == 0,
       "one node too few is told apart");
    weir_arena_t small;
    weir_arena_init(&small, 0, 64);
    ok(weir_json_parse("[1,2,3]", 7, NULL, &small, &doc, &err) == WEIR_ERR_NOMEM, "no memory");
    weir_arena_free(&small);
}

/* An object of n members; member `twice` gets the key of member 0, spelt with an escape. */
static weir_str_t many_keys(uint32_t n, uint32_t twice, rng_t *rng)
{
    weir_buf_t buf;
    weir_buf_init(&buf, &arena);
    for (uint32_t i = 0; i < n; i++) {
        weir_buf_append_z(&buf, i == 0 ? "{" : ",");
        if (i == twice) {
            weir_buf_append_z(&buf, "\"\\u006b0-\"");
        } else if (rng_below(rng, 4) == 0) {
            weir_buf_printf(&buf, "\"\\u006b%u-\"", i);
        } else {
            weir_buf_printf(&buf, "\"k%u-\"", i);
        }
        weir_buf_append_z(&buf, rng_below(rng, 2) == 0 ? ":0" : ":{}");
    }
    weir_buf_append_char(&buf, '}');
    return weir_str(buf.data, buf.len);
}

static void test_duplicate_keys(rng_t *rng)
{
    static const uint32_t sizes[] = {2, 15, 16, 17, 18, 19, 20, 40, 1000, 100000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint32_t n = sizes[i];
        weir_json_doc_t doc;
        weir_error_t err = {0};
        weir_str_t text = many_keys(n, UINT32_MAX, rng);
        ok(parse(text.data, text.len, &doc, &err) == WEIR_OK, "%u different keys%s", n,
           err.message);
        text = many_keys(n, 1 + rng_below(rng, n - 1), rng);
        ok(parse(text.data, text.len, &doc, &err) == WEIR_ERR_INVALID &&
               strcmp(err.code, "duplicate_key") == 0,
           "%u keys, one of them twice: %s", n, err.message);
        weir_arena_reset(&arena);
    }
    bool enough = true;
    /* The shortest objects that a text can hold, with exactly the promised number of nodes. */
    for (uint32_t n = 1; n < 128; n++) {
        static char text[2000];
        size_t len = 0;
        for (uint32_t i = 0; i < n; i++) {
            len +=
                (size_t)sprintf(text + len, "%c\"%c%s\":0", i == 0 ? '{' : ',', 35 + (int)(i % 57),
                                i < 57    ? ""
                                : i < 114 ? "#"
                                          : "$");
        }
        text[len++] = '}';
        weir_json_doc_t doc;
        weir_error_t err;
        weir_json_node_t *nodes = malloc((len / 2 + 1) * sizeof(*nodes));
        weir_status_t status =
            weir_json_scan(text, len, NULL, nodes, (uint32_t)(len / 2 + 1), &doc, &err);
        free(nodes);
        if (status != WEIR_OK) {
            diag("%u members: %s", n, err.message);
            enough = false;
        }
    }
    ok(enough, "len/2 + 1 nodes suffice for the shortest objects of 1 to 127 members");
}

static void write_random(weir_buf_t *buf, rng_t *rng, int depth)
{
    static const char *const scalars[] = {"null",
                                          "true",
                                          "0",
                                          "-1.25e3",
                                          "\"\"",
                                          "\"x\\u00e9\\\"\"",
                                          "\"\342\202\254uro \\ud83d\\ude00\"",
                                          "123456"};
    static const char *const spaces[] = {"", "", "", " ", "\n", "\t \r"};
    uint32_t kind = rng_below(rng, depth > 5 ? 1 : 3);
    weir_buf_append_z(buf, spaces[rng_below(rng, 6)]);
    if (kind == 0) {
        weir_buf_append_z(buf, scalars[rng_below(rng, 8)]);
    } else {
        uint32_t n = rng_below(rng, 5);
        weir_buf_append_char(buf, kind == 1 ? '[' : '{');
        for (uint32_t i = 0; i < n; i++) {
            weir_buf_append_z(buf, i == 0 ? "" : ",");
            if (kind == 2) {
                weir_buf_printf(buf, "%s\"%c%u\"%s:", spaces[rng_below(rng, 6)],
                                'a' + (int)rng_below(rng, 3), rng_below(rng, 6),
                                spaces[rng_below(rng, 6)]);
            }
            write_random(buf, rng, depth + 1);
        }
        weir_buf_append_char(buf, kind == 1 ? ']' : '}');
    }
    weir_buf_append_z(buf, spaces[rng_below(rng, 6)]);
}

/* The scanned tree must say the same as jansson's. */
static bool same_value(const weir_json_doc_t *doc, uint32_t node, const json_t *want)
{
    const weir_json_node_t *n = &doc->nodes[node];
    switch (weir_json_type(doc, node)) {
    case WEIR_JSON_NULL:
        return json_is_null(want);
    case WEIR_JSON_TRUE:
        return json_is_true(want);
    case WEIR_JSON_FALSE:
        return json_is_false(want);
    case WEIR_JSON_NUMBER: {
        double d = 0;
        return weir_json_double(doc, node, &d) && d == json_number_value(want);
    }
    case WEIR_JSON_STRING: {
        weir_str_t s;
        return json_is_string(want) && weir_json_string(doc, node, &arena, &s) == WEIR_OK &&
               weir_str_eq(s, weir_str(json_string_value(want), json_string_length(want)));
    }
    case WEIR_JSON_ARRAY: {
        bool same = json_is_array(want) && json_array_size(want) == n->size;
        uint32_t at = node + 1;
        for (uint32_t i = 0; i < n->size && same; i++, at = doc->nodes[at].next) {
            same = same_value(doc, at, json_array_get(want, i));
        }
        return same && at == n->next;
    }
    case WEIR_JSON_OBJECT: {
        bool same = json_is_object(want) && json_object_size(want) == n->size;
        uint32_t at = node + 1;
        for (uint32_t i = 0; i < n->size && same; i++, at = doc->nodes[at + 1].next) {
            weir_str_t key = {0};
            weir_json_string(doc, at, &arena, &key);
            char *z = weir_arena_strndup(&arena, key.data, key.len);
            const json_t *member = json_object_get(want, z);
            same = member != NULL && weir_json_get(doc, node, z) == at + 1 &&
                   same_value(doc, at + 1, member);
        }
        return same && at == n->next;
    }
    }
    return false;
}

/* What jansson decides otherwise on purpose: NUL in keys, numbers out of range. */
static bool comparable(const char *text, size_t len)
{
    size_t digits = 0;
    for (size_t i = 0; i < len; i++) {
        digits = text[i] >= '0' && text[i] <= '9' ? digits + 1 : 0;
        if (digits > 15 || (i + 6 <= len && memcmp(text + i, "\\u0000", 6) == 0) ||
            (digits > 2 && digits <= i &&
             (text[i - digits] == 'e' || text[i - digits] == 'E' || text[i - digits] == '+' ||
              text[i - digits] == '-'))) {
            return false;
        }
    }
    return true;
}

static void test_against_jansson(rng_t *rng)
{
    int agreed = 0, accepted = 0, compared = 0;
    for (int i = 0; i < 20000; i++) {
        static const char alphabet[] = "{}[]\",:\\u09eE+-. \ntfn/\x01\x80\xC3\xA9";
        weir_arena_reset(&arena);
        weir_buf_t buf;
        weir_buf_init(&buf, &arena);
        write_random(&buf, rng, 0);
        for (uint32_t m = rng_below(rng, 3); m > 0; m--) {
            buf.data[rng_below(rng, (uint32_t)buf.len)] =
                alphabet[rng_below(rng, sizeof(alphabet) - 1)];
        }
        if (!comparable(buf.data, buf.len)) {
            continue;
        }
        compared++;
        weir_json_doc_t doc;
        weir_error_t err;
        bool ours = parse(buf.data, buf.len, &doc, &err) == WEIR_OK;
        json_t *want = json_loadb(buf.data, buf.len,
                                  JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        bool same = ours == (want != NULL) && (!ours || same_value(&doc, 0, want));
        agreed += same;
        accepted += ours;
        if (!same) {
            diag("differs: %.*s", (int)buf.len, buf.data);
        }
        json_decref(want);
    }
    is_int(agreed, compared, "jansson agrees about random documents, sound and spoilt");
    ok(accepted > compared / 4 && accepted < compared * 3 / 4, "of which %d are sound", accepted);
}

static void test_write_strings(rng_t *rng)
{
    weir_buf_t buf;
    weir_buf_init(&buf, &arena);
    weir_json_write_string(&buf, weir_str("a\"\\\n\t\x01\x7F/\xC3\xA9\xE2\x80\xA8\0", 14));
    is_str(buf.data, buf.len, "\"a\\\"\\\\\\n\\t\\u0001\\u007f/\xC3\xA9\\u2028\\u0000\"",
           "what must be escaped is");
    weir_buf_init(&buf, &arena);
    weir_json_write_string(&buf, WEIR_STR("\xF0\x9F\x98\xE2\x82"));
    is_str(buf.data, buf.len, "\"\xEF\xBF\xBD\xEF\xBF\xBD\"", "invalid parts become U+FFFD");
    bool round_trip = true;
    for (int i = 0; i < 5000; i++) {
        weir_arena_reset(&arena);
        char text[40];
        size_t n = rng_below(rng, sizeof(text));
        for (size_t j = 0; j < n; j++) {
            text[j] = (char)rng_below(rng, 128);
        }
        weir_buf_init(&buf, &arena);
        weir_json_write_string(&buf, weir_str(text, n));
        weir_json_doc_t doc;
        weir_str_t back = {0};
        round_trip = round_trip && parse(buf.data, buf.len, &doc, NULL) == WEIR_OK &&
                     weir_json_string(&doc, 0, &arena, &back) == WEIR_OK &&
                     weir_str_eq(back, weir_str(text, n));
    }
    ok(round_trip, "5000 random strings read back");
}

static void test_write_numbers(rng_t *rng)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-1.5, "-1.5"},
        {0.1, "0.1"},
        {1e21, "1e21"},
        {1e20, "100000000000000000000"},
        {123456789, "123456789"},
        {1e-6, "0.000001"},
        {1.5e-7, "1.5e-7"},
        {5e-324, "5e-324"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {DBL_MAX, "1.7976931348623157e308"},
        {5.684341886080802e-14, "5.684341886080802e-14"},
        {(double)9007199254740993, "9007199254740992"},
        {0.30000000000000004, "0.30000000000000004"},
        {NAN, "null"},
        {INFINITY, "null"},
    };
    weir_buf_t buf;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_buf_init(&buf, &arena);
        weir_json_write_double(&buf, cases[i].value);
        is_str(buf.data, buf.len, cases[i].text, "writes %s", cases[i].text);
    }
    bool same = true;
    for (int i = 0; i < 20000; i++) {
        weir_arena_reset(&arena);
        uint64_t bits = rng_u64(rng);
        bits = i % 4 == 0 ? bits & 0xFFF0000000000000u : bits; /* powers of two among them */
        double value;
        memcpy(&value, &bits, sizeof(value));
        if (!isfinite(value)) {
            continue;
        }
        weir_buf_init(&buf, &arena);
        weir_json_write_double(&buf, value);
        weir_json_doc_t doc;
        double back = 0;
        same = same && parse(buf.data, buf.len, &doc, NULL) == WEIR_OK &&
               weir_json_double(&doc, 0, &back) && back == value;
    }
    ok(same, "20000 random doubles read back the same");
    weir_buf_init(&buf, &arena);
    weir_json_write_int64(&buf, INT64_MIN);
    is_str(buf.data, buf.len, "-9223372036854775808", "the least int64");
}

int main(void)
{
    rng_t rng;
    rng_init(&rng);
    weir_arena_init(&arena, 1 << 16, 0);
    test_accepts();
    test_rejects();
    test_structure();
    test_strings();
    test_int64();
    test_double_reading(&rng);
    test_limits();
    test_duplicate_keys(&rng);
    test_against_jansson(&rng);
    test_write_strings(&rng);
    test_write_numbers(&rng);
    weir_arena_free(&arena);
    return done_testing();
}

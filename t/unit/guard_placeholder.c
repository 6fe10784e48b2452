#include "guardrails/placeholder.h"

#include <stdio.h>

#include "t/support/tap.h"

static weir_str_t name_of(weir_placeholders_t *map, const char *type, const char *value)
{
    weir_str_t name = weir_str("", 0);
    weir_status_t rc = weir_placeholders_name(map, type, weir_str(value, strlen(value)), &name);
    return rc == WEIR_OK ? name : weir_str("", 0);
}

/* Restores text in pieces of the given size (0: random ones from rng). */
static weir_str_t restore(weir_arena_t *arena, const weir_placeholders_t *map, weir_str_t text,
                          size_t piece, rng_t *rng)
{
    weir_restorer_t r;
    weir_buf_t out;
    weir_restorer_init(&r, map);
    weir_buf_init(&out, arena);
    for (size_t at = 0; at < text.len;) {
        size_t n = piece != 0 ? piece : 1 + rng_below(rng, 30);
        n = n > text.len - at ? text.len - at : n;
        weir_restorer_feed(&r, text.data + at, n, false, &out, NULL, NULL);
        at += n;
    }
    weir_restorer_feed(&r, "", 0, true, &out, NULL, NULL);
    return weir_str(out.data == NULL ? "" : out.data, out.len);
}

static void is_name(weir_str_t got, const char *want, const char *what)
{
    is_str(got.data, got.len, want, "%s", what);
}

static void test_names(weir_arena_t *arena)
{
    weir_placeholders_t *map;
    weir_placeholders_open(arena, NULL, &map);
    is_name(name_of(map, "EMAIL_ADDRESS", "a@x.org"), "<EMAIL_ADDRESS_1>", "the first name");
    is_name(name_of(map, "EMAIL_ADDRESS", "b@x.org"), "<EMAIL_ADDRESS_2>", "the second");
    is_name(name_of(map, "PERSON", "Ann"), "<PERSON_1>", "types count apart");
    is_name(name_of(map, "EMAIL_ADDRESS", "a@x.org"), "<EMAIL_ADDRESS_1>",
            "a value keeps its name");
    is_name(name_of(map, "PERSON", "a@x.org"), "<PERSON_2>", "the same text of another type");
    is_int((long long)weir_placeholders_count(map), 4, "four names");

    weir_str_t name;
    is_int(weir_placeholders_name(map, "person", WEIR_STR("x"), &name), WEIR_ERR_INVALID,
           "a type in small letters");
    is_int(weir_placeholders_name(map, "", WEIR_STR("x"), &name), WEIR_ERR_INVALID, "no type");
    is_int(weir_placeholders_name(map, "A-B", WEIR_STR("x"), &name), WEIR_ERR_INVALID,
           "a type with a hyphen");

    weir_placeholders_open(arena, NULL, &map);
    weir_str_t text = WEIR_STR("I wrote <PERSON_1> and person\\_3, snake_case_2 and A_B.");
    weir_placeholders_avoid(map, text.data, text.len);
    is_name(name_of(map, "PERSON", "Ann"), "<PERSON_2>",
            "a name in the client's text is not given");
    is_name(name_of(map, "PERSON", "Bob"), "<PERSON_4>", "nor one with a backslash");
    weir_str_t back = restore(arena, map, WEIR_STR("<PERSON_1> <PERSON_2>"), 3, NULL);
    is_str(back.data, back.len, "<PERSON_1> Ann", "the client's own stays as it is");
}

static void test_keyed(weir_arena_t *arena)
{
    uint8_t key[WEIR_PLACEHOLDER_KEY_LEN] = {1, 2, 3};
    weir_placeholders_t *first;
    weir_placeholders_t *second;
    weir_placeholders_t *other;
    weir_placeholders_open(arena, key, &first);
    weir_placeholders_open(arena, key, &second);
    key[0] = 9;
    weir_placeholders_open(arena, key, &other);
    (void)name_of(second, "PERSON", "Bob");
    weir_str_t a = name_of(first, "PERSON", "Ann");
    weir_str_t b = name_of(second, "PERSON", "Ann");
    weir_str_t c = name_of(other, "PERSON", "Ann");
    ok(a.len == strlen("<PERSON_01234567>") && weir_str_eq(a, b),
       "a value has one name in all requests of a tenant");
    ok(!weir_str_eq(a, c), "and another one with another key");
    ok(memmem(a.data, a.len, "Ann", 3) == NULL, "the name does not tell the value");
    weir_str_t back = restore(arena, second, a, 1, NULL);
    is_str(back.data, back.len, "Ann", "it is restored");

    weir_placeholders_t *taken;
    key[0] = 1;
    weir_placeholders_open(arena, key, &taken);
    weir_placeholders_avoid(taken, a.data, a.len);
    weir_str_t longer = name_of(taken, "PERSON", "Ann");
    ok(longer.len == a.len + 1, "a name that the client wrote gets one more digit");
}

static void test_lenient(weir_arena_t *arena)
{
    static const struct {
        const char *text;
        const char *want;
        const char *what;
    } cases[] = {
        {"Dear <PERSON_1>,", "Dear Ann Lee,", "as it was given"},
        {"Dear PERSON_1,", "Dear Ann Lee,", "without brackets"},
        {"Dear <PERSON_1,", "Dear Ann Lee,", "without the closing bracket"},
        {"Dear PERSON_1>,", "Dear Ann Lee,", "without the opening bracket"},
        {"Dear <person_1>,", "Dear Ann Lee,", "in small letters"},
        {"Dear <Person_1>,", "Dear Ann Lee,", "in mixed letters"},
        {"Dear <PERSON\\_1>,", "Dear Ann Lee,", "with a Markdown escape"},
        {"Dear \\<PERSON\\_1\\>,", "Dear Ann Lee,", "with escaped brackets"},
        {"Dear &lt;PERSON_1&gt;,", "Dear Ann Lee,", "with entities"},
        {"Dear \\u003cPERSON_1\\u003e,", "Dear Ann Lee,", "with JSON escapes"},
        {"**PERSON_1**", "**Ann Lee**", "in bold"},
        {"[PERSON_1]", "[Ann Lee]", "in square brackets"},
        {"<PERSON_1><PERSON_2>", "Ann LeeBob", "side by side"},
        {"PERSON_10", "Zoe", "the longest wins"},
        {"PERSON_1 PERSON_2", "Ann Lee Bob", "two"},
        {"PERSON_12", "PERSON_12", "an unknown number"},
        {"PERSON_1x", "PERSON_1x", "a letter behind"},
        {"MYPERSON_1", "MYPERSON_1", "a letter in front"},
        {"my_PERSON_1", "my_PERSON_1", "an underscore in front"},
        {"<PERSON_99>", "<PERSON_99>", "a name that was not given"},
        {"x < PERSON", "x < PERSON", "the beginning of a name"},
        {"a \\ b &l &lt; <", "a \\ b &l &lt; <", "beginnings of brackets"},
        {"PERSON_", "PERSON_", "a name without its number"},
        {"", "", "nothing"},
    };
    weir_placeholders_t *map;
    weir_placeholders_open(arena, NULL, &map);
    (void)name_of(map, "PERSON", "Ann Lee");
    (void)name_of(map, "PERSON", "Bob");
    for (int i = 3; i <= 9; i++) {
        char value[16];
        snprintf(value, sizeof value, "P%d", i);
        (void)name_of(map, "PERSON", value);
    }
    (void)name_of(map, "PERSON", "Zoe");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_str_t text = weir_str(cases[i].text, strlen(cases[i].text));
        weir_str_t whole = restore(arena, map, text, text.len + 1, NULL);
        weir_str_t bytes = restore(arena, map, text, 1, NULL);
        is_str(whole.data, whole.len, cases[i].want, "%s", cases[i].what);
        is_str(bytes.data, bytes.len, cases[i].want, "%s, byte by byte", cases[i].what);
    }
}

static void test_hold(weir_arena_t *arena)
{
    weir_placeholders_t *map;
    weir_placeholders_open(arena, NULL, &map);
    (void)name_of(map, "PERSON", "Ann");
    weir_restorer_t r;
    weir_restorer_init(&r, map);
    weir_buf_t out;
    weir_buf_init(&out, arena);
    weir_restorer_feed(&r, "Hello dear ", 11, false, &out, NULL, NULL);
    is_int((long long)out.len, 11, "what is no beginning of a name leaves at once");
    weir_restorer_feed(&r, "PERS", 4, false, &out, NULL, NULL);
    is_int((long long)out.len, 11, "the beginning of a name waits");
    weir_restorer_feed(&r, "UADE", 4, false, &out, NULL, NULL);
    is_str(out.data, out.len, "Hello dear PERSUADE", "and leaves when it is none");
    weir_restorer_feed(&r, " <PERSON_1>", 11, false, &out, NULL, NULL);
    is_str(out.data, out.len, "Hello dear PERSUADE Ann", "a whole name is restored at once");
    is_int((long long)r.restored, 1, "and counted");
}

static void escape(void *ctx, weir_buf_t *out, weir_str_t value)
{
    (void)ctx;
    weir_buf_printf(out, "[%.*s]", (int)value.len, value.data);
}

/* restore(mask(x)) = x for texts of names, near-names and noise, whatever the cuts. */
static void test_round_trip(weir_arena_t *arena, rng_t *rng)
{
    static const char *const pieces[] = {
        "PERSON_1", "<PERSON_2>", "PERSON\\_3",      "<", ">",        "&lt;", "\\",    "_",
        " ",        "a",          "EMAIL_ADDRESS_1", "1", "\xc3\xa9", "&g",   "PERSON"};
    static const char *const values[] = {"Ann", "Bob", "<PERSON_1>", "EMAIL_ADDRESS_2", "x"};
    int wrong = 0;
    int uneven = 0;
    for (int round = 0; round < 3000; round++) {
        weir_arena_reset(arena);
        weir_placeholders_t *map;
        uint8_t key[WEIR_PLACEHOLDER_KEY_LEN] = {7};
        weir_placeholders_open(arena, round % 2 == 0 ? NULL : key, &map);
        /* The text is noise with entities between blanks; the noise is known beforehand. */
        weir_buf_t original;
        weir_buf_t masked;
        weir_buf_init(&original, arena);
        weir_buf_init(&masked, arena);
        const char *parts[24];
        bool entity[24];
        uint32_t n = 1 + rng_below(rng, 24);
        for (uint32_t i = 0; i < n; i++) {
            entity[i] = rng_below(rng, 3) == 0;
            parts[i] = entity[i] ? values[rng_below(rng, 5)] : pieces[rng_below(rng, 15)];
        }
        for (uint32_t i = 0; i < n; i++) {
            weir_buf_append_z(&original, parts[i]);
            weir_buf_append_z(&original, entity[i] ? " " : "");
        }
        size_t from = 0;
        for (uint32_t i = 0, at = 0; i <= n; i++) {
            if (i == n || entity[i])
                weir_placeholders_avoid(map, original.data + from, at - from);
            if (i < n)
                at += (uint32_t)strlen(parts[i]);
            if (i < n && entity[i])
                from = at++;
        }
        for (uint32_t i = 0; i < n; i++) {
            if (!entity[i]) {
                weir_buf_append_z(&masked, parts[i]);
                continue;
            }
            weir_buf_append_str(
                &masked, name_of(map, rng_below(rng, 2) ? "PERSON" : "EMAIL_ADDRESS", parts[i]));
            weir_buf_append_z(&masked, " ");
        }
        weir_str_t text = weir_str(masked.data, masked.len);
        weir_str_t whole = restore(arena, map, text, text.len, NULL);
        weir_str_t cut = restore(arena, map, text, 0, rng);
        if (!weir_str_eq(whole, weir_str(original.data, original.len)) && wrong++ == 0)
            diag("original %.*s masked %.*s restored %.*s", (int)original.len, original.data,
                 (int)text.len, text.data, (int)whole.len, whole.data);
        if (!weir_str_eq(whole, cut) && uneven++ == 0)
            diag("masked %.*s whole %.*s cut %.*s", (int)text.len, text.data, (int)whole.len,
                 whole.data, (int)cut.len, cut.data);
    }
    is_int(wrong, 0, "restoring what was masked gives the text back");
    is_int(uneven, 0, "however it is cut");
}

int main(void)
{
    weir_arena_t arena;
    rng_t rng;
    weir_arena_init(&arena, 0, 0);
    rng_init(&rng);
    test_names(&arena);
    test_keyed(&arena);
    test_lenient(&arena);
    test_hold(&arena);

    weir_placeholders_t *map;
    weir_placeholders_open(&arena, NULL, &map);
    (void)name_of(map, "PERSON", "Ann");
    weir_restorer_t r;
    weir_restorer_init(&r, map);
    weir_buf_t out;
    weir_buf_init(&out, &arena);
    weir_restorer_feed(&r, "<PERSON_1>", 10, true, &out, escape, NULL);
    is_str(out.data, out.len, "[Ann]", "a value is written as its place requires");

    test_round_trip(&arena, &rng);
    weir_arena_free(&arena);
    return done_testing();
}

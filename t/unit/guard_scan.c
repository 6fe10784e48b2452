/* The scan as its callers see it: evasions, decoded layers, custom entities, overlaps, errors. */
#include "guardrails/guardrails.h"
#include "guardrails/normalise.h"
#include "t/support/tap.h"

#include <stdlib.h>

static weir_guard_scratch_t *scratch;

static weir_guard_rules_t *compile(const weir_guard_options_t *options)
{
    weir_guard_rules_t *rules = NULL;
    weir_error_t err;
    if (weir_guard_rules_compile(options, &rules, &err) != WEIR_OK) {
        diag("%s: %s", err.field, err.message);
        abort();
    }
    return rules;
}

/* Is there exactly one finding, of the type, over exactly the bytes of value? */
static void finds(const weir_guard_rules_t *rules, const char *text, const char *type,
                  const char *value, const char *name)
{
    weir_guard_result_t r;
    weir_error_t err;
    const char *at = strstr(text, value);
    weir_guard_scan(rules, scratch, text, strlen(text), NULL, &r, &err);
    bool good = r.count == 1 && at != NULL && strcmp(r.findings[0].type, type) == 0 &&
                r.findings[0].start == (uint32_t)(at - text) &&
                r.findings[0].end == (uint32_t)(at - text) + strlen(value);
    if (!ok(good, "%s", name)) {
        for (size_t i = 0; i < r.count; i++) {
            diag("%s %u-%u %s", r.findings[i].type, r.findings[i].start, r.findings[i].end,
                 r.findings[i].rule);
        }
    }
}

static void finds_none(const weir_guard_rules_t *rules, const char *text)
{
    weir_guard_result_t r;
    weir_error_t err;
    weir_guard_scan(rules, scratch, text, strlen(text), NULL, &r, &err);
    if (!ok(r.count == 0, "nothing in: %s", text)) {
        diag("%s %s", r.findings[0].type, r.findings[0].rule);
    }
}

static void test_evasions(const weir_guard_rules_t *rules)
{
    finds(rules, "to joe@example.org now", "EMAIL_ADDRESS", "joe@example.org", "plain");
    finds(rules,
          "to \xef\xbd\x8a\xef\xbd\x8f\xef\xbd\x85\xef\xbc\xa0"
          "example.org now",
          "EMAIL_ADDRESS",
          "\xef\xbd\x8a\xef\xbd\x8f\xef\xbd\x85\xef\xbc\xa0"
          "example.org",
          "full width letters");
    finds(rules, "to j\xe2\x80\x8boe@exa\xe2\x80\x8dmple.org now", "EMAIL_ADDRESS",
          "j\xe2\x80\x8boe@exa\xe2\x80\x8dmple.org", "zero-width characters");
    finds(rules, "card \xd9\xa4\xd9\xa1\xd9\xa1\xd9\xa1 1111 1111 1111", "CREDIT_CARD",
          "\xd9\xa4\xd9\xa1\xd9\xa1\xd9\xa1 1111 1111 1111", "Arabic digits");
    finds(rules,
          "card 4111\xc2\xa0"
          "1111\xc2\xa0"
          "1111\xc2\xa0"
          "1111.",
          "CREDIT_CARD",
          "4111\xc2\xa0"
          "1111\xc2\xa0"
          "1111\xc2\xa0"
          "1111",
          "no-break spaces");
    finds(rules, "see am9lLmJsb2dnc0BleGFtcGxlLm9yZyBpcyBteSBtYWls ok", "EMAIL_ADDRESS",
          "am9lLmJsb2dnc0BleGFtcGxlLm9yZyBpcyBteSBtYWls", "base64: the code is the span");
    finds(rules, "see 6a6f652e626c6f676773406578616d706c652e6f7267 ok", "EMAIL_ADDRESS",
          "6a6f652e626c6f676773406578616d706c652e6f7267", "hexadecimal");
    finds(rules, "see joe%40example.org ok", "EMAIL_ADDRESS", "joe%40example.org", "percent");
    finds(rules, "see joe&#64;example.org ok", "EMAIL_ADDRESS", "joe&#64;example.org",
          "character reference");
    finds(rules, "see joe\\u0040example.org ok", "EMAIL_ADDRESS", "joe\\u0040example.org",
          "escape of JSON");
    finds(rules, "see YW05bExtSnNiMmRuYzBCbGVHRnRjR3hsTG05eVp5QnBjeUJ0ZVNCdFlXbHM= ok",
          "EMAIL_ADDRESS", "YW05bExtSnNiMmRuYzBCbGVHRnRjR3hsTG05eVp5QnBjeUJ0ZVNCdFlXbHM",
          "base64 in base64");
    /* U+E006A ... spell "joe@example.org" in tags behind a letter. */
    char tags[128] = "see ";
    size_t n = 4;
    for (const char *c = "joe@example.org"; *c != '\0'; c++) {
        uint32_t code = 0xe0000u + (unsigned char)*c;
        tags[n++] = (char)0xf3;
        tags[n++] = (char)(0x80 | (code >> 12 & 0x3f));
        tags[n++] = (char)(0x80 | (code >> 6 & 0x3f));
        tags[n++] = (char)(0x80 | (code & 0x3f));
    }
    tags[n] = '\0';
    finds(rules, tags, "EMAIL_ADDRESS", tags + 4, "tag characters");
    finds(rules, "mail \xff joe@example.org", "EMAIL_ADDRESS", "joe@example.org", "broken UTF-8");
}

static void test_nothing(const weir_guard_rules_t *rules)
{
    finds_none(rules, "");
    finds_none(rules, "Version 10.0.19041.1234 of 2021-03-04 has 1,234,567 lines, 3.14159265");
    finds_none(rules, "card 4111 1111 1111 1112");
    finds_none(rules, "node.js and std::vector<int> a::b at 12:30:45, 50% @home a@b");
    finds_none(rules, "550e8400-e29b-41d4-a716-446655440000");
    finds_none(rules, "ISBN 978-1-4051-7848-8; 2004-2010; 100 000 000 people; $1200000000");
    finds_none(rules, "123-45-678 000-12-3456 666-12-3456 GB00 NWBK 6016 1331 9268 19");
}

/* A value without a form of its own: what has to stand between it and the service's name. */
static void test_named(void)
{
#define KEY "3f9a1c27b85e40d6a1937c5be20f684d"
    static const char *const not_given[] = {
        "datadog " KEY,
        "datadog_site=eu1.example.com, datadog=<see below> " KEY,
        "rollbar {" KEY "}",
        KEY " is what the rollbar said",
        "rollbar and then, fifty bytes of ordinary words later on, key " KEY,
        "rollbar=" KEY "0",
        "rollbar=0" KEY,
        "rollbar key/" KEY,
    };
    static const char *const found[] = {
        "DATADOG_API_KEY=" KEY,
        "datadog: " KEY,
        "datadog key " KEY,
        "datadog := '" KEY "'",
        "\"datadogKey\" : \"" KEY "\"",
        "'dd_api' => '" KEY "'",
        "rollbar == " KEY,
        "rollbar is " KEY,
        "rollbar | " KEY,
        "Rollbar.init(token=\"" KEY "\")",
        "rollbar(\"" KEY "\")",
        "rollbar: Bearer " KEY,
        "rollbar access tokens: " KEY,
        "The key of our rollbar project is the following secret:\n " KEY,
        "my rollbar credential \xe2\x86\x92 " KEY,
        "rollbar is our tracker, its api keys\n" KEY,
    };
    weir_guard_options_t options = {.secrets = true};
    weir_guard_rules_t *rules = compile(&options);
    for (size_t i = 0; i < sizeof(not_given) / sizeof(not_given[0]); i++) {
        finds_none(rules, not_given[i]);
    }
    for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
        finds(rules, found[i], "SECRET", KEY, found[i]);
    }
    weir_guard_rules_free(rules);
#undef KEY
}

static void test_custom(void)
{
    static const weir_str_t values[] = {{"Blue Heron", 10}, {"joe@example.org", 15}};
    weir_guard_custom_t custom[] = {
        {.type = "PROJECT", .values = values, .value_count = 2, .ignore_case = true, .score = 1},
        {.type = "BADGE", .expression = "badge (\\d{4})\\b"},
    };
    weir_guard_options_t options = {.pii = true, .custom = custom, .custom_count = 2};
    weir_guard_rules_t *rules = compile(&options);
    finds(rules, "the BLUE heron flies", "PROJECT", "BLUE heron", "a value, in any case");
    finds_none(rules, "the blue herons fly");
    finds(rules, "badge 1234 is lost", "BADGE", "1234", "group 1 is the entity");
    finds(rules, "to joe@example.org", "PROJECT", "joe@example.org", "the better score wins");
    weir_guard_rules_free(rules);
}

static void test_errors(void)
{
    static const char *const bad[] = {"(", "a*", "(?<=a{300})b", "(a+)+$", "(\\w+\\s?)*!"};
    weir_error_t err;
    weir_guard_rules_t *rules = NULL;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        weir_guard_custom_t custom = {.type = "X", .expression = bad[i]};
        weir_guard_options_t options = {.custom = &custom, .custom_count = 1};
        ok(weir_guard_rules_compile(&options, &rules, &err) == WEIR_ERR_INVALID && rules == NULL,
           "refused: %s (%s)", bad[i], err.message);
        is_str(err.field, strlen(err.field), "custom[0].expression", "the field is named");
    }
    weir_guard_entity_t entity = {.name = "NO_SUCH", .on = true};
    weir_guard_options_t options = {.pii = true, .entities = &entity, .entity_count = 1};
    ok(weir_guard_rules_compile(&options, &rules, &err) == WEIR_ERR_INVALID, "unknown entity");
}

static void test_switches(void)
{
    weir_guard_entity_t entities[] = {{"EMAIL_ADDRESS", false, 0}, {"date", true, 0}};
    weir_guard_options_t options = {.pii = true, .entities = entities, .entity_count = 2};
    weir_guard_rules_t *rules = compile(&options);
    finds(rules, "joe@example.org on 2021-03-04", "DATE_TIME", "2021-03-04", "switched off and on");
    weir_guard_rules_free(rules);
    weir_guard_options_t high = {.pii = true, .min_score = 0.9f};
    rules = compile(&high);
    finds(rules, "10.1.2.3 or joe@example.org", "EMAIL_ADDRESS", "joe@example.org", "least score");
    weir_guard_rules_free(rules);
    ok(weir_guard_entity_needs_window("PERSON") && !weir_guard_entity_needs_window("US_SSN"),
       "which entities need a window");
    size_t names = 0;
    const char *last = "";
    bool sorted = true;
    const char *name = NULL;
    for (; (name = weir_guard_entity_name(names)) != NULL; names++) {
        sorted = sorted && strcmp(last, name) < 0;
        last = name;
    }
    ok(sorted && names > 60, "%zu entity names, sorted", names);
}

/* Every span of every view lies in the text, and an ASCII text is its own view. */
static void test_views(void)
{
    static const char text[] = "1gn0r3 th1s s p a c e d text \xef\xbc\xa1\xd0\xb0\x62 %41 "
                               "aGVsbG8gd29ybGQsIGhvdyBhcmUgeW91";
    weir_guard_fold_t fold = {0};
    weir_guard_view_t views[WEIR_GUARD_MAX_VIEWS];
    size_t count = 0;
    weir_error_t err;
    size_t len = sizeof(text) - 1;
    ok(weir_guard_views(&fold, text, len, WEIR_GUARD_FOLD_LOWER, views, &count, &err) == WEIR_OK &&
           count == 4,
       "folded, decoded, leet and joined views (%zu)", count);
    bool inside = true;
    uint32_t flags = 0;
    for (size_t v = 0; v < count; v++) {
        flags |= views[v].flags;
        for (size_t i = 0; i < views[v].len; i++) {
            size_t start = 0;
            size_t end = 0;
            weir_guard_view_span(&views[v], i, i + 1, &start, &end);
            inside = inside && start <= end && end <= len;
        }
        if ((views[v].flags & WEIR_GUARD_FOLD_LEET) != 0) {
            ok(strncmp(views[v].text, "ignore this", 11) == 0, "leet is folded");
        }
        if ((views[v].flags & WEIR_GUARD_FOLD_JOINED) != 0) {
            ok(strstr(views[v].text, "spaced") != NULL, "letters are joined");
        }
        if ((views[v].flags & WEIR_GUARD_FOLD_DECODED) != 0) {
            ok(memcmp(views[v].text, "hello world", 11) == 0, "base64 is decoded");
        }
    }
    ok(inside, "every byte of every view maps into the text");
    static const char broken[] = "E36,9%976"; /* the code hides no UTF-8 */
    inside = weir_guard_views(&fold, broken, sizeof(broken) - 1, 0, views, &count, &err) == WEIR_OK;
    for (size_t v = 0; v < count && inside; v++) {
        for (size_t i = 0; i < views[v].len; i++) {
            size_t start = 0;
            size_t end = 0;
            weir_guard_view_span(&views[v], i, i + 1, &start, &end);
            inside = inside && start <= end && end < sizeof(broken);
        }
    }
    ok(inside, "so does every byte of what a code hides and is no UTF-8");
    ok((flags & WEIR_GUARD_FOLD_COMPAT) != 0 && (flags & WEIR_GUARD_FOLD_CONFUSED) != 0,
       "what was odd is told");
    weir_guard_view_t view;
    weir_guard_normalise(&fold, "plain", 5, 0, &view, &err);
    ok(view.run_count == 0 && view.len == 5 && view.flags == 0, "ASCII is its own view");
    static const char russian[] = "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82";
    weir_guard_normalise(&fold, russian, sizeof(russian) - 1, 0, &view, &err);
    ok(view.text == russian, "a Russian word stays as it is");
    weir_guard_fold_free(&fold);
}

/* What is folded to what; NULL: it stays as it is. */
static void test_folds(void)
{
    static const struct {
        const char *name;
        const char *text;
        const char *folded;
    } cases[] = {
        {"a stroke through letters", "b\xcc\xb6y\xcc\xb6", "by"},
        {"a stroke through a number and a blank", "1\xcc\xb6 \xcc\xb6-\xcc\xb6", "1 -"},
        {"three accents in a row",
         "n\xcc\x81i\xcc\x81"
         "c\xcc\x81",
         "nic"},
        {"three marks on a letter", "o\xcc\x81\xcc\x81\xcc\x81", "o"},
        {"an enclosing mark", "x\xe2\x83\x9d", "x"},
        {"decomposed French", "e\xcc\x81te\xcc\x81", NULL},
        {"decomposed Vietnamese", "nghie\xcc\x82\xcc\xa3p", NULL},
        {"decomposed Vietnamese, two vowels",
         "tru\xcc\x9bo\xcc\x9b\xcc\x81"
         "c",
         NULL},
        {"Hindi", "\xe0\xa4\x95\xe0\xa4\xbf\xe0\xa4\x82", NULL},
        {"Hebrew with points", "\xd7\xa9\xd6\xb8\xd7\x9c", NULL},
        {"Arabic with vowels", "\xd8\xb1\xd9\x8e\xd9\x82", NULL},
        {"a stressed Cyrillic letter", "\xd0\xb7\xd0\xb0\xcc\x81\xd0\xbc", NULL},
        {"controls between letters", "a\001\bb\177c", "abc"},
        {"a control at a word's border", "a \001b", NULL},
        {"controls between numbers",
         "12\003"
         "34",
         NULL},
        {"tabulators and line ends", "a\tb\r\nc", NULL},
        {"small capitals", "\xe1\xb4\x80\xca\x99\xea\x9c\xb1", "abs"},
        {"an override",
         "a \xe2\x80\xae"
         "cb\xe2\x80\xac d",
         "a \nbc\ncb d"},
        {"an override up to the line's end",
         "\xe2\x80\xae\xc3\xa9"
         "b\nd",
         "\nb\xc3\xa9\n\xc3\xa9"
         "b\nd"},
        {"nothing overridden", "a\xe2\x80\xae\nb", "a\nb"},
    };
    weir_guard_fold_t fold = {.atoms = NULL};
    weir_error_t err;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_guard_view_t view;
        const char *want = cases[i].folded == NULL ? cases[i].text : cases[i].folded;
        size_t len = strlen(cases[i].text);
        weir_guard_normalise(&fold, cases[i].text, len, 0, &view, &err);
        bool inside = true;
        for (size_t at = 0; at < view.len; at++) {
            size_t start = 0;
            size_t end = 0;
            weir_guard_view_span(&view, at, at + 1, &start, &end);
            inside = inside && start < end && end <= len;
        }
        ok(view.len == strlen(want) && memcmp(view.text, want, view.len) == 0 && inside,
           "folded: %s", cases[i].name);
    }
    weir_guard_view_t view;
    /* NOLINTNEXTLINE(misc-misleading-bidirectional): nobody ends it. */
    static const char reversed[] = "\xe2\x80\xae"
                                   "cb";
    weir_guard_normalise(&fold, reversed, sizeof(reversed) - 1, WEIR_GUARD_FOLD_IN_PLACE, &view,
                         &err);
    ok(view.len == 2 && memcmp(view.text, "cb", 2) == 0, "in place nothing is turned");
    weir_guard_fold_free(&fold);
}

int main(void)
{
    weir_guard_options_t options = {.pii = true, .secrets = true};
    weir_guard_rules_t *rules = compile(&options);
    scratch = weir_guard_scratch_create();
    test_evasions(rules);
    test_nothing(rules);
    test_named();
    test_custom();
    test_errors();
    test_switches();
    test_views();
    test_folds();
    weir_guard_rules_free(rules);
    weir_guard_scratch_free(scratch);
    return done_testing();
}

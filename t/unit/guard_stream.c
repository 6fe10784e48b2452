/*
 * The hold of a scan: whatever a text is cut into, deciding up to the hold finds what a scan of the
 * whole finds. Texts are put together at random from entities, their beginnings, and prose.
 */
#include "guardrails/guardrails.h"
#include "t/support/tap.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_TEXT  1200
#define MAX_FOUND 256

static const char *const pieces[] = {
    "joe.bloggs@example.org",
    "mail",
    "call",
    "phone",
    "card",
    "+1 212-555-0199",
    "(212) 555-0142",
    "020 7946 0958",
    "4111 1111 1111 1111",
    "4111111111111111",
    "5555-5555-5555-4444",
    "GB29 NWBK 6016 1331 9268 19",
    "DE89370400440532013000",
    "MT84 MALT 0110 0012 345M TLCA ST00 1S",
    "219-09-9999",
    "ssn",
    "AB 12 34 56 C",
    "ab 12 34 56 c",
    "AB 12",
    "national insurance",
    "driving licence",
    "MORGA 657054 SM9IJ",
    "MORGA",
    "657054 SM9IJ",
    "passport",
    "licence number",
    "ABC 123456",
    "AB 123456",
    "A 1234567 B",
    "ABCD 123456 7XY",
    "CHE 123.456.788",
    "vat",
    "CHE-123.456.788",
    "943 476 5919",
    "nhs",
    "10.20.30.40",
    "2001:db8::8a2e:370:7334",
    "00:1A:2b:3c:4d:5e",
    "https://example.com/a?b=c",
    "www.example.com",
    "ftp://user:secret@example.net/x",
    "example.org",
    "site",
    "born",
    "1980-02-29",
    "03/04/1975",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
    "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
    "AKIAIOSFODNN7ABCDEFG",
    "ghp_0123456789abcdefABCDEF0123456789abcd",
    "Project Blue Heron",
    "Project Blue",
    "Project",
    "TICKET-1234",
    "TICKET-",
    "ticket 12 of 34",
    "the",
    "of",
    "to",
    "a",
    "house",
    "12",
    "7",
    "2004",
    "x",
    "no.",
    "number",
    "12 345 678",
    "3.14159",
    "1,000,000",
    "\xc3\xa9t\xc3\xa9",
    "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82",
    "\xe4\xb8\xad\xe6\x96\x87",
    "\xef\xbc\x91\xef\xbc\x92",
    "j\342\200\213oe@ex\342\200\213ample.com",
    "p\xd0\xb0ypal.com",
    ("j\xcc\x81o\xcc\x81"
     "e\xcc\x81@e\xcc\x81x\xcc\x81"
     "a\xcc\x81mple.com"),
    ("4\xcc\xb6"
     "111 1111 1111 111\xcc\xb6"
     "1"),
    "i\001ban",
    "jo\001e@ex\177ample.com",
    "\001",
    "\033[1m",
    "e\xcc\x81",
    "\xcc\xb6",
    ("\xe2\x80\xae"
     "moc.elpmaxe@eoj\xe2\x80\xac"),
    "\xe2\x80\xae", /* NOLINT(misc-misleading-bidirectional): an override that nobody ends */
    "5422-22-635",
    "3208 3848 4488 5128 5768 6408 7048",
    "32 32 85",
    "DE 136 695 976",
    "NL123456782B90",
    "MTA4MjM4NDU3NDYyMzQ1Njc4.GaBcDe.aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5zA",
    "\xff",
    "\xf0\x9f\x98\x80",
    "key",
    "password",
    "secret",
    "Authorization: Bearer",
    "api_key",
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7f3gGk2m9w1QzXyTq0aB\n-----END RSA PRIVATE "
     "KEY-----"),
    "-----BEGIN RSA PRIVATE",
    "110105 19491231 002X",
    "2 55 08 14 168 025 38",
    "4111  1111  1111  1111",
    "4111.1111.1111.1111",
    "gb82 west 1234 5698 7654 32",
    "west",
    "536\xe2\x80\x91\x32\x32\xe2\x80\x91\x38\x31\x34\x35",
    "212\xe2\x80\x93\x35\x35\x35\xe2\x80\x93\x30\x31\x39\x39",
    "4111\xc2\xa0\x31\x31\x31\x31\xc2\xa0\x31\x31\x31\x31\xe2\x80\xaf\x31\x31\x31\x31",
    "\xe2\x80\x93",
    "(+57) 6086003390",
    "+33 (0)2 31 74 68 14",
    "212-555-0199/212-555-0198",
    "1,4111111111111111,12/27",
    "7,536-22-8145,12",
    "10.0.0.1-10.0.0.255",
    "my number is",
    "030 1234567",
    "12.ABC.345/01DE-35",
    "\xd0\x98\xd0\x9d\xd0\x9d",
    "500100732259",
    "::1.",
    "1:2:3:4:5:6:7:8",
    "011 44 20 7946 0958",
    "ext. 12",
    "http://[2001:db8::1]/x",
    "icon@2x.png",
};

static const char *const joins[] = {" ", " ", " ", " ", "\n", ", ", ". ", ": ", "-",
                                    "",  "",  "=", "(", ") ", "/",  "\"", "  ", "\t"};

typedef struct {
    weir_guard_finding_t found[MAX_FOUND];
    size_t count;
} found_t;

static weir_guard_scratch_t *scratch;
static weir_guard_scratch_t *other;

static size_t make_text(rng_t *rng, char *text)
{
    size_t len = 0;
    unsigned n = 1 + rng_below(rng, 24);
    for (unsigned i = 0; i < n; i++) {
        const char *piece = pieces[rng_below(rng, sizeof(pieces) / sizeof(pieces[0]))];
        const char *join = joins[rng_below(rng, sizeof(joins) / sizeof(joins[0]))];
        size_t take = strlen(piece);
        /* Now and then only its beginning. */
        take = rng_below(rng, 6) == 0 ? rng_below(rng, (uint32_t)take + 1) : take;
        if (len + take + 4 > MAX_TEXT) {
            break;
        }
        memcpy(text + len, piece, take);
        len += take;
        for (const char *j = join; *j != '\0'; j++) {
            text[len++] = *j;
        }
    }
    return len;
}

static bool same(const weir_guard_finding_t *a, const weir_guard_finding_t *b)
{
    return a->start == b->start && a->end == b->end && strcmp(a->rule, b->rule) == 0;
}

static void show(const char *what, const char *text, size_t len, const found_t *f)
{
    char line[4 * MAX_TEXT + 8];
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        n += (size_t)snprintf(line + n, sizeof(line) - n,
                              c >= 0x20 && c < 0x7f && c != '\\' ? "%c" : "\\x%02x", c);
    }
    line[n] = '\0';
    diag("%s of \"%s\":", what, line);
    for (size_t i = 0; i < f->count; i++) {
        diag("  %u-%u %s", f->found[i].start, f->found[i].end, f->found[i].rule);
    }
}

static void scan_whole(const weir_guard_rules_t *rules, const char *text, size_t len, found_t *out)
{
    weir_guard_result_t result;
    weir_error_t err;
    out->count = 0;
    if (weir_guard_scan(rules, scratch, text, len, NULL, &result, &err) == WEIR_OK) {
        out->count = result.count < MAX_FOUND ? result.count : MAX_FOUND;
        for (size_t i = 0; i < out->count; i++) {
            out->found[i] = result.findings[i];
        }
    }
}

/* Feeds of random size, each scanned from what has been released with its left context. */
static void scan_fed(const weir_guard_rules_t *rules, rng_t *rng, const char *text, size_t len,
                     unsigned most, found_t *out)
{
    size_t released = 0;
    size_t fed = 0;
    out->count = 0;
    while (fed < len) {
        size_t step = 1 + rng_below(rng, most);
        fed = fed + step < len ? fed + step : len;
        size_t base = released > WEIR_GUARD_LEFT ? released - WEIR_GUARD_LEFT : 0;
        /* A copy of exactly the bytes that are there, so that a sanitizer sees a look beyond. */
        char *window = malloc(fed - base + 1);
        if (window == NULL) {
            return;
        }
        memcpy(window, text + base, fed - base);
        weir_guard_scan_options_t options = {.from = released - base, .more = fed < len};
        weir_guard_result_t result;
        weir_error_t err;
        if (weir_guard_scan(rules, other, window, fed - base, &options, &result, &err) != WEIR_OK) {
            free(window);
            return;
        }
        for (size_t i = 0; i < result.count && out->count < MAX_FOUND; i++) {
            if (result.findings[i].start < result.hold || fed == len) {
                out->found[out->count] = result.findings[i];
                out->found[out->count].start += (uint32_t)base;
                out->found[out->count++].end += (uint32_t)base;
            }
        }
        released = base + result.hold > released ? base + result.hold : released;
        free(window);
    }
}

static bool equal(const found_t *a, const found_t *b)
{
    bool all = a->count == b->count;
    for (size_t i = 0; all && i < a->count; i++) {
        all = same(&a->found[i], &b->found[i]);
    }
    return all;
}

/* The contract word for word, at every prefix. */
static bool holds_at(const weir_guard_rules_t *rules, const char *text, size_t cut,
                     const found_t *whole)
{
    weir_guard_result_t result;
    weir_guard_scan_options_t options = {.more = true};
    weir_error_t err;
    size_t w = 0;
    if (weir_guard_scan(rules, other, text, cut, &options, &result, &err) != WEIR_OK ||
        result.hold > cut) {
        return false;
    }
    for (size_t i = 0; i < result.count && result.findings[i].start < result.hold; i++, w++) {
        if (w >= whole->count || !same(&result.findings[i], &whole->found[w]) ||
            result.findings[i].end > result.hold) {
            return false;
        }
    }
    return w >= whole->count || whole->found[w].start >= result.hold;
}

static void test_rules(const char *name, const weir_guard_rules_t *rules, rng_t *rng, int rounds)
{
    char text[MAX_TEXT];
    found_t whole;
    found_t fed;
    int wrong_prefix = 0;
    int wrong_fed = 0;
    size_t entities = 0;
    for (int round = 0; round < rounds; round++) {
        size_t len = make_text(rng, text);
        scan_whole(rules, text, len, &whole);
        entities += whole.count;
        for (size_t cut = 0; cut <= len && wrong_prefix < 3; cut++) {
            if (!holds_at(rules, text, cut, &whole)) {
                diag("at cut %zu", cut);
                show("whole", text, len, &whole);
                wrong_prefix++;
                break;
            }
        }
        scan_fed(rules, rng, text, len, round % 3 == 0 ? 1 : 40, &fed);
        if (!equal(&whole, &fed) && wrong_fed++ < 3) {
            show("whole", text, len, &whole);
            show("fed", text, len, &fed);
        }
    }
    ok(wrong_prefix == 0, "%s: the hold keeps its promise at every prefix", name);
    ok(wrong_fed == 0, "%s: fed in pieces, the findings are those of the whole text", name);
    ok(entities > (size_t)rounds, "%s: the texts hold entities (%zu)", name, entities);
}

static void test_ordinary(const weir_guard_rules_t *rules)
{
    static const char prose[] =
        "The committee met in the spring of 2004 and talked about the bridge for a long time. "
        "Nobody wanted to pay for it, although the river had flooded three times in 12 years, and "
        "the mayor said: we shall see. In the end 7 of the 9 members voted for a ferry, which was "
        "built by a company from the coast and carries about 300 people a day. ";
    size_t len = sizeof(prose) - 1;
    size_t held = 0;
    size_t most = 0;
    for (size_t cut = 1; cut <= len; cut++) {
        size_t hold = cut - weir_guard_hold(rules, scratch, prose, cut);
        held += hold;
        most = hold > most ? hold : most;
    }
    ok(held <= 4 * len, "ordinary text: at most 4 bytes held in the mean (%.2f)",
       (double)held / (double)len);
    ok(most <= 32, "ordinary text: never more than 32 bytes held (%zu)", most);
}

int main(void)
{
    static const weir_str_t projects[] = {{"Project Blue Heron", 18}, {"Blue House", 10}};
    weir_guard_custom_t custom[] = {
        {.type = "PROJECT", .values = projects, .value_count = 2, .ignore_case = true},
        {.type = "TICKET", .expression = "\\bTICKET-\\d{3,6}\\b"},
        {.type = "PAGES", .expression = "ticket \\d+ of \\d+"},
        {.type = "SITE", .expression = "(?:from )?\\w{1,12}@\\w{1,12}\\.\\w{2,3}", .score = 1},
    };
    static const weir_guard_weight_t weights[] = {
        {"SITE", 1, 0}, {"EMAIL_ADDRESS", WEIR_GUARD_HEAVIEST, 0}, {NULL, WEIR_GUARD_CHANGES, 0}};
    weir_guard_options_t options = {.pii = true,
                                    .secrets = true,
                                    .streaming = true,
                                    .custom = custom,
                                    .custom_count = sizeof custom / sizeof *custom,
                                    .weights = weights,
                                    .weight_count = sizeof weights / sizeof *weights};
    weir_guard_rules_t *rules = NULL;
    weir_error_t err;
    rng_t rng;
    rng_init(&rng);
    scratch = weir_guard_scratch_create();
    other = weir_guard_scratch_create();
    if (!ok(weir_guard_rules_compile(&options, &rules, &err) == WEIR_OK,
            "streaming rules compile")) {
        diag("%s", err.message);
        return done_testing();
    }
    test_rules("streaming", rules, &rng, 600);
    test_ordinary(rules);
    weir_guard_rules_free(rules);
    options.streaming = false;
    ok(weir_guard_rules_compile(&options, &rules, &err) == WEIR_OK, "windowed rules compile");
    test_rules("windowed", rules, &rng, 150);
    weir_guard_rules_free(rules);
    weir_guard_scratch_free(scratch);
    weir_guard_scratch_free(other);
    return done_testing();
}

/*
 * What is long in a stream: keys without an end, tokens of the greatest length, texts that hold
 * more than they may, and how the work grows with the text. Also how much is held back of ordinary
 * text.
 */
#include "lua-free-filters/redact_text.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/json.h"
#include "t/support/guard_rules.h"
#include "t/support/tap.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static weir_guard_rules_t *streaming;
static weir_guard_rules_t *all_rules;
static weir_guard_scratch_t *scratch;

typedef struct {
    weir_redact_action_t action;
    unsigned entities;
    uint64_t checks; /* a digest of what the check was shown */
    unsigned shown;
} verdicts_t;

static weir_redact_action_t decide(void *ctx, const weir_guard_finding_t *f, weir_str_t value,
                                   bool repeat, weir_str_t *replacement)
{
    verdicts_t *v = ctx;
    (void)value;
    (void)repeat;
    v->entities++;
    *replacement = weir_str(f->type, strlen(f->type));
    return v->action;
}

static weir_check_t check(void *ctx, const char *text, size_t len, size_t fresh, bool last)
{
    verdicts_t *v = ctx;
    uint64_t h = v->checks ^ (fresh * 4 + last) ^ (uint64_t)len << 32;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    v->checks = h;
    v->shown++;
    return WEIR_CHECK_PASS;
}

typedef struct {
    weir_redact_mode_t mode;
    size_t piece; /* 0: random */
    bool json;
    bool check;
    size_t max_held;
    const weir_guard_rules_t *rules; /* NULL: those of the mode */
    size_t room;                     /* out: bytes that the text took in memory */
    size_t held;                     /* out: most that was held */
    uint64_t scanned;                /* out */
    weir_status_t status;            /* out */
} feed_t;

static weir_str_t stream(weir_arena_t *arena, weir_str_t text, feed_t *how, verdicts_t *v,
                         rng_t *rng)
{
    weir_redact_rules_t shared = {.rules = how->rules != NULL                  ? how->rules
                                           : how->mode == WEIR_REDACT_HOLDBACK ? streaming
                                                                               : all_rules,
                                  .scratch = scratch,
                                  .mode = how->mode,
                                  .max_held = how->max_held,
                                  .decide = decide,
                                  .check = how->check ? check : NULL,
                                  .ctx = v};
    weir_redact_text_t t;
    weir_buf_t out;
    weir_buf_init(&out, arena);
    weir_redact_text_init(&t, &shared, how->json, false);
    how->status = WEIR_OK;
    how->held = 0;
    for (size_t at = 0; at < text.len && how->status == WEIR_OK;) {
        size_t n = how->piece != 0 ? how->piece : 1 + rng_below(rng, 700);
        n = n > text.len - at ? text.len - at : n;
        while (at + n < text.len && ((unsigned char)text.data[at + n] & 0xc0) == 0x80)
            n++;
        how->status = weir_redact_text_feed(&t, text.data + at, n, false, &out);
        at += n;
        size_t held = weir_redact_text_held(&t);
        how->held = held > how->held ? held : how->held;
    }
    if (how->status == WEIR_OK)
        how->status = weir_redact_text_feed(&t, "", 0, true, &out);
    how->room = t.cap;
    how->scanned = t.scanned;
    weir_redact_text_free(&t);
    return weir_str(out.data == NULL ? "" : out.data, out.len);
}

static void key_lines(weir_buf_t *out, rng_t *rng, size_t lines, const char *end)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t line = 0; line < lines; line++) {
        size_t n = line + 1 < lines || lines == 1 ? 64 : 1 + rng_below(rng, 64);
        for (size_t i = 0; i < n; i++)
            weir_buf_append_char(out, set[rng_below(rng, 64)]);
        weir_buf_append_z(out, end);
    }
}

/* A private key of any length, with headers or without, on one line or on many. */
static void test_keys(weir_arena_t *arena, rng_t *rng)
{
    static const size_t lines[] = {1, 2, 5, 14, 26, 40, 800, 3000};
    static const char *const ends[] = {"\n", "\r\n", "\\n", ""};
    unsigned wrong = 0;
    unsigned runs = 0;
    size_t room = 0;
    for (size_t l = 0; l < COUNT(lines); l++) {
        for (unsigned round = 0; round < 24; round++, runs++) {
            weir_buf_t key;
            weir_buf_t want;
            weir_arena_reset(arena);
            weir_buf_init(&key, arena);
            weir_buf_init(&want, arena);
            bool closed = rng_below(rng, 4) != 0;
            bool keep = rng_below(rng, 3) == 0;
            const char *end = ends[rng_below(rng, COUNT(ends))];
            weir_buf_append_z(&key, "-----BEGIN RSA PRIVATE KEY-----\n");
            if (rng_below(rng, 3) == 0)
                weir_buf_append_z(&key, "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123\n\n");
            key_lines(&key, rng, lines[l], end);
            if (closed)
                weir_buf_append_z(&key, "-----END RSA PRIVATE KEY-----");
            weir_buf_append_z(&want, "The key:\n");
            if (keep)
                weir_buf_append(&want, key.data, key.len);
            else
                weir_buf_append_z(&want, "SECRET");
            if (closed)
                weir_buf_append_z(&want, "\nand {more} of it, jane at home\n");
            weir_buf_t text;
            weir_buf_init(&text, arena);
            weir_buf_append_z(&text, "The key:\n");
            weir_buf_append(&text, key.data, key.len);
            if (closed)
                weir_buf_append_z(&text, "\nand {more} of it, jane at home\n");
            else
                while (!keep && (unsigned char)text.data[text.len - 1] <= ' ')
                    text.len--;
            static const size_t pieces[] = {0, 0, 1, 4, 50};
            feed_t how = {.mode =
                              rng_below(rng, 3) == 0 ? WEIR_REDACT_WINDOW : WEIR_REDACT_HOLDBACK,
                          .piece = pieces[rng_below(rng, lines[l] > 100 ? 2 : COUNT(pieces))]};
            verdicts_t v = {.action = keep ? WEIR_REDACT_KEEP : WEIR_REDACT_REPLACE};
            weir_str_t got = stream(arena, weir_str(text.data, text.len), &how, &v, rng);
            room = how.room > room ? how.room : room;
            if (!weir_str_eq(got, weir_str(want.data, want.len)) || v.entities != 1) {
                if (wrong++ < 3) {
                    diag("%zu lines ending in \"%s\", %s, %s, mode %d, pieces of %zu: %u entities",
                         lines[l],
                         end[0] == '\\'   ? "backslash n"
                         : end[0] == '\0' ? ""
                                          : "line end",
                         closed ? "closed" : "open", keep ? "kept" : "replaced", (int)how.mode,
                         how.piece, v.entities);
                    diag("want %zu bytes, got %zu: %.200s", want.len, got.len,
                         got.len > 0 ? got.data : "");
                }
            }
        }
    }
    is_int(wrong, 0, "%u keys of up to 3000 lines leave as in the whole text", runs);
    ok(room <= 16384, "and take no more than %zu bytes of memory", room);
}

/* Tokens as long as their rules allow are held, and not let out in part. */
static void test_tokens(weir_arena_t *arena, rng_t *rng)
{
    static const char letters[] =
        "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789aBcDeFgHiJkLmNoPqRsTuVwXyZ_-9876543210";
    const struct {
        const char *what;
        const char *head;
        size_t first; /* characters of the letters */
        const char *middle;
        size_t second;
        const char *tail;
        size_t third;
    } cases[] = {
        /* {"alg":"HS256"} and {"sub":"1234567890" ... */
        {"a long JWT", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwi", 1900, ".", 43, "", 0},
        {"a connection string", "postgres://user:", 100, "@", 60, ".example.org:5432/base", 0},
        {"a URL", "https://example.org/", 1900, "?q=", 80, "", 0},
        {"an address", "", 60, "@", 60, ".example.org", 0},
    };
    for (size_t c = 0; c < COUNT(cases); c++) {
        weir_buf_t token;
        weir_arena_reset(arena);
        weir_buf_init(&token, arena);
        weir_buf_append_z(&token, cases[c].head);
        for (size_t i = 0; i < cases[c].first; i++)
            weir_buf_append_char(&token, letters[(i * 7 + 3) % 62]);
        weir_buf_append_z(&token, cases[c].middle);
        for (size_t i = 0; i < cases[c].second; i++)
            weir_buf_append_char(&token, letters[(i * 5 + 1) % 62]);
        weir_buf_append_z(&token, cases[c].tail);
        weir_buf_t text;
        weir_buf_init(&text, arena);
        weir_buf_printf(&text, "It is %.*s and that is all.", (int)token.len, token.data);
        unsigned bad = 0;
        for (unsigned round = 0; round < 12; round++) {
            feed_t how = {.mode = round % 2 == 0 ? WEIR_REDACT_HOLDBACK : WEIR_REDACT_WINDOW,
                          .piece = round < 2   ? 1
                                   : round < 4 ? 4
                                               : 0};
            verdicts_t v = {.action = WEIR_REDACT_REPLACE};
            weir_str_t got = stream(arena, weir_str(text.data, text.len), &how, &v, rng);
            bool leaks = memmem(got.data, got.len, token.data + strlen(cases[c].head), 20) != NULL;
            bad += leaks || memmem(got.data, got.len, "and that is all.", 16) == NULL ||
                   v.entities != 1;
            if (bad == 1)
                diag("%.*s", got.len > 100 ? 100 : (int)got.len, got.data);
        }
        is_int(bad, 0, "%s of %zu bytes is held and replaced", cases[c].what, token.len);
    }
}

/* More than may be held ends a text, at the same place however it is cut; a text whose parts are
 * decided in time may have any length. */
static void test_limits(weir_arena_t *arena, rng_t *rng)
{
    weir_guard_custom_t custom = {.type = "OPEN", .expression = "<<(?s:.*?)>>"};
    weir_guard_options_t options = {.streaming = true, .custom = &custom, .custom_count = 1};
    weir_guard_rules_t *open = NULL;
    weir_buf_t text;
    weir_arena_reset(arena);
    weir_buf_init(&text, arena);
    ok(weir_guard_rules_compile(&options, &open, NULL) == WEIR_OK, "an entity without a limit");
    for (int i = 0; i < 100; i++)
        weir_buf_append_z(&text, "words and words ");
    weir_buf_append_z(&text, "<<");
    for (int i = 0; i < 100; i++)
        weir_buf_append_z(&text, "never ends ");
    static const size_t pieces[] = {1, 3, 64, 5000, 0, 0};
    unsigned wrong = 0;
    for (size_t i = 0; i < COUNT(pieces); i++) {
        feed_t how = {
            .mode = WEIR_REDACT_HOLDBACK, .piece = pieces[i], .max_held = 400, .rules = open};
        verdicts_t v = {.action = WEIR_REDACT_REPLACE};
        weir_str_t got = stream(arena, weir_str(text.data, text.len), &how, &v, rng);
        wrong += how.status != WEIR_ERR_STATE || got.len != 1600;
    }
    is_int(wrong, 0, "what is held too long ends the text there");
    wrong = 0;
    for (size_t i = 0; i < COUNT(pieces); i++) {
        feed_t how = {.mode = WEIR_REDACT_HOLDBACK, .piece = pieces[i], .max_held = 400};
        verdicts_t v = {.action = WEIR_REDACT_REPLACE};
        weir_str_t got = stream(arena, weir_str(text.data, text.len), &how, &v, rng);
        wrong += how.status != WEIR_OK || !weir_str_eq(got, weir_str(text.data, text.len));
    }
    is_int(wrong, 0, "pieces may be longer than what may be held");
    weir_guard_rules_free(open);
}

/* A check of a window sees the same stretches in every chunking. */
static void test_checks(weir_arena_t *arena, rng_t *rng)
{
    weir_buf_t text;
    weir_arena_reset(arena);
    weir_buf_init(&text, arena);
    for (int i = 0; i < 400; i++)
        weir_buf_append_z(&text, i % 40 == 7 ? "write to jane.doe@example.org caf\xc3\xa9 "
                                             : "some words of prose ");
    uint64_t first = 0;
    unsigned shown = 0;
    unsigned wrong = 0;
    for (unsigned round = 0; round < 8; round++) {
        feed_t how = {.mode = WEIR_REDACT_WINDOW,
                      .piece = round == 0   ? 1
                               : round == 1 ? 4000
                                            : 0,
                      .check = true};
        verdicts_t v = {.action = WEIR_REDACT_REPLACE};
        stream(arena, weir_str(text.data, text.len), &how, &v, rng);
        first = round == 0 ? v.checks : first;
        shown = round == 0 ? v.shown : shown;
        wrong += v.checks != first || v.shown != shown;
    }
    is_int(wrong, 0, "a check sees the same %u stretches however the text is cut", shown);
}

/* In the arguments of a tool no entity takes the end of its string with it. */
static void test_arguments(weir_arena_t *arena, rng_t *rng)
{
    static const char text[] =
        "{\"pem\": \"-----BEGIN RSA PRIVATE KEY-----\\nMIIEowIBAAKCAQEA7f3gGk2m9w1QzXyTq0aB\\n\", "
        "\"to\": \"jane.doe@example.org\", \"n\": [1, 4111111111111111]}";
    static const char want[] =
        "{\"pem\": \"SECRET\", \"to\": \"EMAIL_ADDRESS\", \"n\": [1, \"CREDIT_CARD\"]}";
    unsigned wrong = 0;
    unsigned broken = 0;
    for (unsigned mode = WEIR_REDACT_HOLDBACK; mode <= WEIR_REDACT_BUFFER; mode++) {
        for (size_t piece = 0; piece < sizeof text; piece++) {
            weir_arena_reset(arena);
            feed_t how = {.mode = (weir_redact_mode_t)mode, .piece = piece, .json = true};
            verdicts_t v = {.action = WEIR_REDACT_REPLACE};
            weir_str_t got = stream(arena, weir_str(text, sizeof text - 1), &how, &v, rng);
            if (!weir_str_eq(got, weir_str(want, sizeof want - 1)) && wrong++ < 2)
                diag("mode %u, pieces of %zu: %.*s", mode, piece, (int)got.len, got.data);
        }
    }
    is_int(wrong, 0, "an open key in one string of the arguments ends with it");

    /* Base64 of "the address that was agreed on is jane.doe@example.org", in two lines. */
    static const char lines[] =
        "{\"data\": \"dGhlIGFkZHJlc3MgdGhhdCB3YXMgYWdyZWVkIG9uIGlzIGph\\r\\n"
        "bmUuZG9lQGV4YW1wbGUub3Jn\\r\\n\", \"n\": 1}";
    wrong = 0;
    for (size_t piece = 0; piece < sizeof lines; piece++) {
        weir_arena_reset(arena);
        feed_t how = {.mode = WEIR_REDACT_WINDOW, .piece = piece, .json = true};
        verdicts_t v = {.action = WEIR_REDACT_REPLACE};
        weir_str_t got = stream(arena, weir_str(lines, sizeof lines - 1), &how, &v, rng);
        wrong += !weir_str_eq(got, WEIR_STR("{\"data\": \"EMAIL_ADDRESS\\r\\n\", \"n\": 1}"));
    }
    is_int(wrong, 0, "base64 in lines is found in arguments");

    /* Escapes of all kinds around an address. */
    static const char *const bits[] = {"\\\\",  "\\\"",     "\\n", "\\/", " ",
                                       "word ", "\\u00e9 ", "\\t", "12 "};
    wrong = 0;
    for (unsigned round = 0; round < 300; round++) {
        weir_buf_t json;
        weir_json_doc_t doc;
        weir_arena_reset(arena);
        weir_buf_init(&json, arena);
        weir_buf_append_z(&json, "{\"k\":\"");
        for (unsigned n = 1 + rng_below(rng, 6); n > 0; n--) {
            const char *bit = bits[rng_below(rng, COUNT(bits))];
            for (unsigned k = rng_below(rng, rng_below(rng, 4) == 0 ? 3000 : 20); k > 0; k--)
                weir_buf_append_z(&json, rng_below(rng, 50) == 0 ? bits[rng_below(rng, COUNT(bits))]
                                                                 : bit);
            weir_buf_append_z(&json, "jane.doe@example.org ");
        }
        weir_buf_append_z(&json, "\"}");
        feed_t how = {.mode = (weir_redact_mode_t)rng_below(rng, 3),
                      .piece = rng_below(rng, 3),
                      .json = true,
                      .rules = rng_below(rng, 2) == 0 ? NULL : all_rules};
        if (how.mode == WEIR_REDACT_HOLDBACK)
            how.rules = NULL;
        feed_t one = {.mode = how.mode, .piece = json.len, .json = true, .rules = how.rules};
        verdicts_t v = {.action = WEIR_REDACT_REPLACE};
        weir_str_t got = stream(arena, weir_str(json.data, json.len), &how, &v, rng);
        weir_str_t all = stream(arena, weir_str(json.data, json.len), &one, &v, rng);
        bool leak = memmem(got.data, got.len, "ane.doe", 7) != NULL;
        if ((leak || !weir_str_eq(got, all) ||
             weir_json_parse(got.data, got.len, NULL, arena, &doc, NULL) != WEIR_OK) &&
            wrong++ < 2)
            diag("mode %d, pieces of %zu: %zu bytes, %s", (int)how.mode, how.piece, json.len,
                 leak ? "leak" : "not the same");
    }
    is_int(wrong, 0, "escapes do not hide an address, nor break the arguments");

    /* A long key in a string, in pieces, whatever stands behind it. */
    for (unsigned round = 0; round < 40; round++) {
        weir_buf_t json;
        weir_arena_reset(arena);
        weir_buf_init(&json, arena);
        weir_buf_append_z(&json, "{\"a\":\"-----BEGIN PRIVATE KEY-----\\n");
        key_lines(&json, rng, 1 + rng_below(rng, 60), "\\n");
        weir_buf_append_z(&json, rng_below(rng, 2) == 0 ? "-----END PRIVATE KEY-----\\n" : "");
        weir_buf_append_z(&json, "\",\"b\":\"jane.doe@example.org\"}");
        feed_t how = {.mode = (weir_redact_mode_t)rng_below(rng, 3), .json = true};
        feed_t one = {.mode = how.mode, .piece = json.len, .json = true};
        verdicts_t v = {.action = WEIR_REDACT_REPLACE};
        weir_str_t got = stream(arena, weir_str(json.data, json.len), &how, &v, rng);
        weir_str_t all = stream(arena, weir_str(json.data, json.len), &one, &v, rng);
        weir_json_doc_t doc;
        if (weir_json_parse(got.data, got.len, NULL, arena, &doc, NULL) != WEIR_OK ||
            !weir_str_eq(got, all) || memmem(got.data, got.len, "jane", 4) != NULL)
            if (broken++ < 2)
                diag("mode %d: %.*s / %.*s", (int)how.mode, (int)got.len, got.data, (int)all.len,
                     all.data);
    }
    is_int(broken, 0, "arguments with long keys stay JSON, the same however they are cut");
}

/* Work in pieces of four characters: what is scanned grows with the text, not with its square, also
 * where everything stays open. */
static void test_linear(weir_arena_t *arena, rng_t *rng)
{
    static const struct {
        const char *what;
        const char *head;
        const char *unit;
    } texts[] = {
        {"prose", "",
         "Write to jane.doe@example.org or call +1 415 555 2671 about 12 of 34. The rest is prose "
         "without a number or a name, as most text is. "},
        {"one token", "", "abcDEF123+/xyz"},
        {"an open key", "-----BEGIN RSA PRIVATE KEY-----\n",
         "MIIEowIBAAKCAQEA7f3gGk2m9w1QzXyTq0aBMIIEowIBAAKCAQEA7f3gGk2m9w1\n"},
        {"percent escapes", "", "%41%62%20%6a"},
        {"numbers", "", "12 345 678 90 "},
        {"base64 of text", "", "cGxhaW4gd29yZHMgYW5kIG1vcmUg"},
    };
    static const char *const modes[] = {"hold-back", "window", "buffer"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        for (unsigned mode = WEIR_REDACT_HOLDBACK; mode <= WEIR_REDACT_BUFFER; mode++) {
            uint64_t scanned[3];
            for (size_t k = 0; k < 3; k++) {
                weir_buf_t text;
                weir_arena_reset(arena);
                weir_buf_init(&text, arena);
                weir_buf_append_z(&text, texts[i].head);
                while (text.len < (size_t)4096 << (2 * k))
                    weir_buf_append_z(&text, texts[i].unit);
                feed_t how = {.mode = (weir_redact_mode_t)mode, .piece = 4};
                verdicts_t v = {.action = WEIR_REDACT_REPLACE};
                stream(arena, weir_str(text.data, text.len), &how, &v, rng);
                scanned[k] = how.scanned;
            }
            /* Four times the text; the beginning is cheaper, as long as nothing is open yet. */
            ok(scanned[2] < scanned[1] * 5 && scanned[2] < (uint64_t)65536 * 400,
               "%s, %s: 4, 16 and 64 KB scan %.1f, %.1f and %.1f bytes a byte", texts[i].what,
               modes[mode], (double)scanned[0] / 4096, (double)scanned[1] / 16384,
               (double)scanned[2] / 65536);
        }
    }
}

static int by_size(const void *a, const void *b)
{
    size_t x = *(const size_t *)a;
    size_t y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

/* Lines of English: none with code, names of files or cells of a table. Returns the new length. */
static size_t keep_prose(char *text, size_t len)
{
    size_t to = 0;
    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t n = end == NULL ? len - at : (size_t)(end - text) + 1 - at;
        bool prose = n > 20;
        for (size_t i = at; i < at + n; i++)
            prose = prose && strchr("`|<>/_{}=[]$", text[i]) == NULL;
        if (prose) {
            memmove(text + to, text + at, n);
            to += n;
        }
        at += n;
    }
    return to;
}

/* How much is held after each piece of four characters, over the sentences of this repository's
 * documentation. */
static void test_held(weir_arena_t *arena)
{
    glob_t files = {0};
    if (glob("docs/*.md", 0, NULL, &files) != 0 || files.gl_pathc < 5) {
        skip_test("no documentation in docs/ here");
        globfree(&files);
        return;
    }
    size_t *held = NULL;
    size_t count = 0;
    size_t cap = 0;
    size_t sum = 0;
    for (size_t f = 0; f < files.gl_pathc; f++) {
        weir_arena_reset(arena);
        FILE *file = fopen(files.gl_pathv[f], "rb");
        char *text = weir_arena_alloc(arena, 1 << 20);
        size_t len = file == NULL || text == NULL ? 0 : fread(text, 1, 1 << 20, file);
        if (file != NULL)
            fclose(file);
        if (text == NULL)
            break;
        len = keep_prose(text, len);
        verdicts_t v = {.action = WEIR_REDACT_REPLACE};
        weir_redact_rules_t shared = {.rules = streaming,
                                      .scratch = scratch,
                                      .mode = WEIR_REDACT_HOLDBACK,
                                      .decide = decide,
                                      .ctx = &v};
        weir_redact_text_t t;
        weir_buf_t out;
        weir_buf_init(&out, arena);
        weir_redact_text_init(&t, &shared, false, false);
        for (size_t at = 0; at < len;) {
            size_t n = len - at < 4 ? len - at : 4;
            while (at + n < len && ((unsigned char)text[at + n] & 0xc0) == 0x80)
                n++;
            weir_redact_text_feed(&t, text + at, n, false, &out);
            at += n;
            if (count == cap) {
                cap = cap * 2 + 65536;
                size_t *grown = realloc(held, cap * sizeof *held);
                if (grown == NULL)
                    break;
                held = grown;
            }
            held[count++] = weir_redact_text_held(&t);
            sum += held[count - 1];
        }
        weir_redact_text_free(&t);
    }
    if (count > 0) {
        qsort(held, count, sizeof *held, by_size);
        ok((double)sum / (double)count <= 5.0,
           "documentation is held back by %.2f bytes in the mean", (double)sum / (double)count);
        ok(held[count * 99 / 100] <= 32, "by %zu at the 99th percentile, %zu at the 99.9th of %zu",
           held[count * 99 / 100], held[count * 999 / 1000], count);
    }
    free(held);
    globfree(&files);
}

int main(void)
{
    weir_arena_t arena;
    rng_t rng;
    weir_arena_init(&arena, 0, 0);
    rng_init(&rng);
    if (!guard_rules_open(&streaming, &all_rules))
        return 1;
    scratch = weir_guard_scratch_create();
    test_keys(&arena, &rng);
    test_tokens(&arena, &rng);
    test_limits(&arena, &rng);
    test_checks(&arena, &rng);
    test_arguments(&arena, &rng);
    test_linear(&arena, &rng);
    test_held(&arena);
    weir_guard_scratch_free(scratch);
    weir_guard_rules_free(streaming);
    weir_guard_rules_free(all_rules);
    weir_arena_free(&arena);
    return done_testing();
}

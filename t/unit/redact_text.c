#include "lua-free-filters/redact_text.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/base/json.h"
#include "t/support/guard_rules.h"
#include "t/support/tap.h"

static weir_guard_rules_t *streaming;
static weir_guard_rules_t *all_rules;
static weir_guard_scratch_t *scratch;

typedef struct {
    weir_redact_action_t action;
    unsigned entities;
    unsigned stops_at; /* the entity that is blocked, counted from 1; 0: none */
    char names[4096];
} verdicts_t;

static weir_redact_action_t decide(void *ctx, const weir_guard_finding_t *f, weir_str_t value,
                                   bool repeat, weir_str_t *replacement)
{
    static _Thread_local char room[96];
    verdicts_t *v = ctx;
    (void)repeat;
    v->entities++;
    size_t used = strlen(v->names);
    snprintf(v->names + used, sizeof v->names - used, "%s@%u ", f->type, f->start);
    (void)value;
    int n = snprintf(room, sizeof room, "<%s>", f->type);
    *replacement = weir_str(room, (size_t)n);
    if (v->stops_at != 0 && v->entities == v->stops_at)
        return WEIR_REDACT_STOP;
    return v->action;
}

static weir_redact_rules_t rules_of(verdicts_t *v, weir_redact_mode_t mode)
{
    return (weir_redact_rules_t){.rules = mode == WEIR_REDACT_HOLDBACK ? streaming : all_rules,
                                 .scratch = scratch,
                                 .mode = mode,
                                 .decide = decide,
                                 .ctx = v};
}

/* Feeds text in pieces that end at character borders; piece 0: random lengths; split: two pieces.
 */
static weir_status_t run(weir_arena_t *arena, const weir_redact_rules_t *rules, weir_str_t text,
                         size_t piece, size_t split, rng_t *rng, bool json, weir_str_t *got)
{
    weir_redact_text_t t;
    weir_buf_t out;
    weir_status_t rc = WEIR_OK;
    weir_redact_text_init(&t, rules, json, false);
    weir_buf_init(&out, arena);
    for (size_t at = 0; at < text.len && rc == WEIR_OK;) {
        size_t n = split != 0   ? (at == 0 ? split : text.len - at)
                   : piece != 0 ? piece
                                : 1 + rng_below(rng, 12);
        while (at + n < text.len && ((unsigned char)text.data[at + n] & 0xc0) == 0x80)
            n++;
        n = n > text.len - at ? text.len - at : n;
        rc = weir_redact_text_feed(&t, text.data + at, n, false, &out);
        at += n;
    }
    if (rc == WEIR_OK)
        rc = weir_redact_text_feed(&t, "", 0, true, &out);
    weir_redact_text_free(&t);
    *got = weir_str(out.data == NULL ? "" : out.data, out.len);
    return rc;
}

static const char *const entities[] = {
    "jane.doe@example.org",
    "4111 1111 1111 1111",
    "4111111111111111",
    "GB82 WEST 1234 5698 7654 32",
    "192.168.10.25",
    "+1 415 555 2671",
    "https://user:secret99@host.example.org/x",
    "ghp_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5",
    "AKIAQ4XJ7ZM2N5P6R7S3",
    "2001:db8:85a3::8a2e:370:7334",
    "00:1B:44:11:3A:B7",
    ("-----BEGIN PRIVATE KEY-----\nMIIBVgIBADANBgkqhkiG9w0BAQEFAASCAUAwggE8AgEAAkEAq7BFUpkGp3\n"
     "LQmlQYx2eqzDV+xeG8kx/sQFV18S5JhzGeIJNA72wSeukEPojtqUyX2J0CciPBh7eqclQ2zpAswQ==\n"
     "-----END PRIVATE KEY-----")};

static const char *const fillers[] = {"Hello",
                                      " ",
                                      " ",
                                      "\n",
                                      ", ",
                                      ". ",
                                      " my number is ",
                                      " write to ",
                                      " the card ",
                                      " caf\xc3\xa9 ",
                                      " 12 ",
                                      " 2024 ",
                                      "x",
                                      "-",
                                      "@",
                                      ":",
                                      " sk-",
                                      " ghp",
                                      " key: ",
                                      " \xe4\xb8\xad\xe6\x96\x87 ",
                                      " price 3.50 ",
                                      "(",
                                      ")",
                                      " version 1.2.3 ",
                                      " =",
                                      "\xf0\x9f\x98\x80"};

static weir_str_t make_text(weir_arena_t *arena, rng_t *rng, unsigned parts)
{
    weir_buf_t out;
    weir_buf_init(&out, arena);
    for (unsigned i = 0; i < parts; i++) {
        if (rng_below(rng, 4) == 0) {
            weir_buf_append_char(&out, ' ');
            weir_buf_append_z(&out, entities[rng_below(rng, sizeof entities / sizeof *entities)]);
            weir_buf_append_char(&out, ' ');
        } else {
            weir_buf_append_z(&out, fillers[rng_below(rng, sizeof fillers / sizeof *fillers)]);
        }
    }
    return weir_str(out.data == NULL ? "" : out.data, out.len);
}

/* What redaction of the whole text at once gives. */
static weir_str_t whole(weir_arena_t *arena, weir_str_t text, const weir_guard_rules_t *rules)
{
    weir_guard_result_t found;
    weir_buf_t out;
    weir_buf_init(&out, arena);
    weir_guard_scan(rules, scratch, text.data, text.len, NULL, &found, NULL);
    size_t at = 0;
    for (size_t i = 0; i < found.count; i++) {
        weir_buf_append(&out, text.data + at, found.findings[i].start - at);
        weir_buf_printf(&out, "<%s>", found.findings[i].type);
        at = found.findings[i].end;
    }
    weir_buf_append(&out, text.data + at, text.len - at);
    return weir_str(out.data == NULL ? "" : out.data, out.len);
}

static bool check_same(weir_str_t text, weir_str_t want, weir_str_t got, const char *how)
{
    if (weir_str_eq(want, got))
        return true;
    diag("%s: text %.*s", how, (int)text.len, text.data);
    diag("  want %.*s", (int)want.len, want.data);
    diag("  got  %.*s", (int)got.len, got.data);
    return false;
}

static void test_every_split(weir_arena_t *arena)
{
    unsigned wrong = 0;
    unsigned splits = 0;
    for (size_t e = 0; e < sizeof entities / sizeof *entities; e++) {
        char text[800];
        int n = snprintf(text, sizeof text, "See my %s and call, or %s.", entities[e], entities[e]);
        weir_str_t s = weir_str(text, (size_t)n);
        verdicts_t v = {.action = WEIR_REDACT_REPLACE};
        weir_redact_rules_t rules = rules_of(&v, WEIR_REDACT_HOLDBACK);
        weir_str_t want = whole(arena, s, streaming);
        ok(memmem(want.data, want.len, entities[e], strlen(entities[e])) == NULL, "%.24s is found",
           entities[e]);
        for (size_t split = 1; split < s.len; split++, splits++) {
            weir_str_t got;
            run(arena, &rules, s, 0, split, NULL, false, &got);
            wrong += !check_same(s, want, got, "split") && wrong < 5;
        }
        weir_str_t bytes;
        run(arena, &rules, s, 1, 0, NULL, false, &bytes);
        wrong += !check_same(s, want, bytes, "bytes");
    }
    is_int(wrong, 0, "redaction is the same at all of %u splits", splits);
}

static void test_random(weir_arena_t *arena, rng_t *rng)
{
    unsigned wrong = 0;
    unsigned uneven = 0;
    for (int round = 0; round < 1500 && wrong < 3; round++) {
        weir_arena_reset(arena);
        weir_str_t text = make_text(arena, rng, 2 + rng_below(rng, 30));
        verdicts_t one = {.action = WEIR_REDACT_REPLACE};
        verdicts_t two = {.action = WEIR_REDACT_REPLACE};
        weir_redact_rules_t rules = rules_of(&one, WEIR_REDACT_HOLDBACK);
        weir_str_t want = whole(arena, text, streaming);
        weir_str_t got;
        run(arena, &rules, text, 0, 0, rng, false, &got);
        wrong += !check_same(text, want, got, "random pieces");
        rules = rules_of(&two, WEIR_REDACT_HOLDBACK);
        run(arena, &rules, text, 1, 0, NULL, false, &got);
        uneven += one.entities != two.entities || strcmp(one.names, two.names) != 0;
    }
    is_int(wrong, 0, "what leaves is what redacting the whole text gives");
    is_int(uneven, 0, "and the decisions are the same, however the text is cut");
}

static void test_modes(weir_arena_t *arena, rng_t *rng)
{
    unsigned wrong = 0;
    for (int round = 0; round < 300 && wrong < 3; round++) {
        weir_arena_reset(arena);
        weir_str_t text = make_text(arena, rng, 2 + rng_below(rng, 60));
        verdicts_t v = {.action = WEIR_REDACT_REPLACE};
        weir_redact_rules_t rules = rules_of(&v, WEIR_REDACT_BUFFER);
        weir_str_t want = whole(arena, text, all_rules);
        weir_str_t got;
        run(arena, &rules, text, 0, 0, rng, false, &got);
        wrong += !check_same(text, want, got, "buffer");
        rules = rules_of(&v, WEIR_REDACT_OBSERVE);
        run(arena, &rules, text, 0, 0, rng, false, &got);
        wrong += !check_same(text, text, got, "observe");
    }
    is_int(wrong, 0, "a buffered text is redacted as a whole, an observed one not at all");

    weir_buf_t filler;
    weir_buf_init(&filler, arena);
    for (int i = 0; i < 300; i++)
        weir_buf_append_z(&filler, "plain words here ");
    weir_buf_append_z(&filler, "jane.doe@example.org");
    for (int i = 0; i < 300; i++)
        weir_buf_append_z(&filler, " and more of them");
    verdicts_t v = {.action = WEIR_REDACT_REPLACE};
    weir_redact_rules_t rules = rules_of(&v, WEIR_REDACT_WINDOW);
    weir_redact_text_t t;
    weir_buf_t out;
    weir_redact_text_init(&t, &rules, false, false);
    weir_buf_init(&out, arena);
    size_t most = 0;
    for (size_t at = 0; at < filler.len; at += 7) {
        size_t n = filler.len - at < 7 ? filler.len - at : 7;
        weir_redact_text_feed(&t, filler.data + at, n, false, &out);
        size_t held = weir_redact_text_held(&t);
        most = held > most ? held : most;
    }
    weir_redact_text_feed(&t, "", 0, true, &out);
    weir_redact_text_free(&t);
    ok(most <= 512 + 128 + 7, "a window holds no more than itself and a quarter: %zu", most);
    ok(memmem(out.data, out.len, "jane", 4) == NULL &&
           memmem(out.data, out.len, "<EMAIL_ADDRESS>", 15) != NULL,
       "and redacts");
}

static weir_check_t check_word(void *ctx, const char *text, size_t len, size_t fresh, bool last)
{
    verdicts_t *v = ctx;
    (void)fresh;
    (void)last;
    if (v->stops_at == 99 && v->entities++ < 2)
        return WEIR_CHECK_WAIT;
    return memmem(text, len, "forbidden", 9) != NULL ? WEIR_CHECK_STOP : WEIR_CHECK_PASS;
}

static void test_stops(weir_arena_t *arena)
{
    weir_str_t got;
    weir_str_t text = WEIR_STR("First a@example.org then b@example.org and then more");
    verdicts_t v = {.action = WEIR_REDACT_REPLACE, .stops_at = 2};
    weir_redact_rules_t rules = rules_of(&v, WEIR_REDACT_HOLDBACK);
    is_int(run(arena, &rules, text, 3, 0, NULL, false, &got), WEIR_ERR_STATE, "an entity blocks");
    is_str(got.data, got.len, "First <EMAIL_ADDRESS> then ", "what stood before it has left");

    v = (verdicts_t){.action = WEIR_REDACT_KEEP};
    rules = rules_of(&v, WEIR_REDACT_HOLDBACK);
    is_int(run(arena, &rules, text, 1, 0, NULL, false, &got), WEIR_OK, "kept entities");
    is_str(got.data, got.len, text.data, "leave as they are");
    is_int(v.entities, 2, "and are reported once each");

    text = WEIR_STR("some words that are forbidden here");
    v = (verdicts_t){0};
    rules = rules_of(&v, WEIR_REDACT_BUFFER);
    rules.check = check_word;
    is_int(run(arena, &rules, text, 4, 0, NULL, false, &got), WEIR_ERR_STATE, "the check blocks");
    is_int((long long)got.len, 0, "nothing of a buffered text has left");

    text = WEIR_STR("some words that are fine");
    v = (verdicts_t){.stops_at = 99};
    weir_redact_text_t t;
    weir_buf_t out;
    weir_buf_init(&out, arena);
    weir_redact_text_init(&t, &rules, false, false);
    is_int(weir_redact_text_feed(&t, text.data, text.len, true, &out), WEIR_ERR_BUSY,
           "a verdict is awaited");
    is_int(weir_redact_text_feed(&t, "", 0, true, &out), WEIR_ERR_BUSY, "still");
    is_int(weir_redact_text_feed(&t, "", 0, true, &out), WEIR_OK, "it is there");
    is_str(out.data, out.len, "some words that are fine", "and nothing was lost");
    weir_redact_text_free(&t);

    v = (verdicts_t){.action = WEIR_REDACT_REPLACE};
    rules = rules_of(&v, WEIR_REDACT_BUFFER);
    rules.max_held = 10;
    is_int(run(arena, &rules, text, 4, 0, NULL, false, &got), WEIR_ERR_STATE,
           "more than may be held is not let out");

    rules = rules_of(&v, WEIR_REDACT_HOLDBACK);
    weir_redact_text_init(&t, &rules, false, false);
    weir_buf_init(&out, arena);
    weir_redact_text_feed(&t, "mail jane.doe@example.or", 24, false, &out);
    v.entities = 0;
    weir_redact_text_abandon(&t);
    is_int(v.entities, 1, "the verdict on held text counts when the client goes");
    weir_redact_text_free(&t);
}

static void test_hold(weir_arena_t *arena)
{
    static const char prose[] =
        "The river runs slowly through the old town, and in the morning the market opens. People "
        "buy bread, fish and flowers; children run to school. In 1998 the bridge was rebuilt for "
        "about 3.5 million, which took two years. Nobody remembers the ferry any more (it sank). ";
    verdicts_t v = {.action = WEIR_REDACT_REPLACE};
    weir_redact_rules_t rules = rules_of(&v, WEIR_REDACT_HOLDBACK);
    weir_redact_text_t t;
    weir_buf_t out;
    weir_redact_text_init(&t, &rules, false, false);
    weir_buf_init(&out, arena);
    size_t held[4096] = {0};
    size_t n = 0;
    for (int round = 0; round < 20; round++)
        for (size_t at = 0; at + 4 < sizeof prose && n < 4096; at += 4) {
            weir_redact_text_feed(&t, prose + at, 4, false, &out);
            held[n++] = weir_redact_text_held(&t);
        }
    weir_redact_text_free(&t);
    size_t sum = 0;
    size_t over = 0;
    for (size_t i = 0; i < n; i++) {
        sum += held[i];
        over += held[i] > 32;
    }
    ok((double)sum / (double)n <= 4.0, "prose is held back by %.2f bytes on average",
       (double)sum / (double)n);
    ok(over * 100 <= n, "and by more than 32 in %zu of %zu pieces", over, n);
}

/* Cost in pieces of four characters: what is scanned grows with the text, not with its square. */
static void test_linear(weir_arena_t *arena)
{
    static const char unit[] =
        "Write to jane.doe@example.org or call +1 415 555 2671 about 12 of 34. "
        "The rest is prose without a number or a name, as most text is. ";
    static const weir_redact_mode_t modes[] = {WEIR_REDACT_HOLDBACK, WEIR_REDACT_WINDOW,
                                               WEIR_REDACT_BUFFER};
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
        uint64_t scanned[3];
        for (size_t k = 0; k < 3; k++) {
            size_t size = (size_t)4096 << (2 * k);
            verdicts_t v = {.action = WEIR_REDACT_REPLACE};
            weir_redact_rules_t rules = rules_of(&v, modes[m]);
            weir_redact_text_t t;
            weir_buf_t out;
            weir_arena_reset(arena);
            weir_buf_init(&out, arena);
            weir_redact_text_init(&t, &rules, false, false);
            for (size_t at = 0; at < size; at += 4) {
                char piece[4];
                for (size_t i = 0; i < 4; i++)
                    piece[i] = unit[(at + i) % (sizeof unit - 1)];
                v.names[0] = '\0';
                weir_redact_text_feed(&t, piece, 4, at + 4 >= size, &out);
            }
            scanned[k] = t.scanned;
            weir_redact_text_free(&t);
        }
        ok(scanned[1] < scanned[0] * 9 / 2 && scanned[2] < scanned[1] * 9 / 2,
           "mode %zu: 4, 16 and 64 KB scan %llu, %llu and %llu bytes", m,
           (unsigned long long)scanned[0], (unsigned long long)scanned[1],
           (unsigned long long)scanned[2]);
    }
}

static void test_json(weir_arena_t *arena, rng_t *rng)
{
    static const char *const values[] = {"jane.doe@example.org",
                                         "jane.doe\\u0040example.org",
                                         "call\\njane.doe@example.org\\tnow",
                                         "say \\\"jane.doe@example.org\\\"",
                                         "C:\\\\dir\\\\jane.doe@example.org",
                                         "\\ud83d\\ude00 jane.doe@example.org",
                                         "\\u006aane.doe@example.org",
                                         "caf\xc3\xa9"};
    unsigned broken = 0;
    unsigned leaks = 0;
    unsigned uneven = 0;
    for (int round = 0; round < 1000; round++) {
        weir_arena_reset(arena);
        weir_buf_t json;
        weir_buf_init(&json, arena);
        weir_buf_append_char(&json, '{');
        unsigned n = 1 + rng_below(rng, 5);
        for (unsigned i = 0; i < n; i++)
            weir_buf_printf(&json, "%s\"k%u\": [\"%s\", %s]", i == 0 ? "" : ", ", i,
                            values[rng_below(rng, sizeof values / sizeof *values)],
                            rng_below(rng, 2) ? "4111111111111111" : "17");
        weir_buf_append_char(&json, '}');
        weir_str_t text = weir_str(json.data, json.len);
        verdicts_t v = {.action = WEIR_REDACT_REPLACE};
        weir_redact_rules_t rules = rules_of(&v, WEIR_REDACT_HOLDBACK);
        weir_str_t one;
        weir_str_t two;
        run(arena, &rules, text, 1, 0, NULL, true, &one);
        run(arena, &rules, text, 0, 0, rng, true, &two);
        uneven += !check_same(text, one, two, "json") && uneven < 3;
        weir_json_doc_t doc;
        weir_error_t err;
        if (weir_json_parse(one.data, one.len, NULL, arena, &doc, &err) != WEIR_OK && broken++ < 3)
            diag("%s: %.*s", err.message, (int)one.len, one.data);
        leaks += memmem(one.data, one.len, "ane.doe", 7) != NULL ||
                 memmem(one.data, one.len, "41111111", 8) != NULL;
    }
    is_int(broken, 0, "redacted arguments are still JSON");
    is_int(leaks, 0, "nothing hides behind escapes");
    is_int(uneven, 0, "however they are cut");
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

    test_every_split(&arena);
    test_stops(&arena);
    test_hold(&arena);
    test_linear(&arena);
    test_random(&arena, &rng);
    test_modes(&arena, &rng);
    test_json(&arena, &rng);

    weir_guard_scratch_free(scratch);
    weir_guard_rules_free(streaming);
    weir_guard_rules_free(all_rules);
    weir_arena_free(&arena);
    return done_testing();
}

/*
 * Speed of the guardrails on one core: guard-bench FILE SECONDS [MEASURE]. Prints a line of JSON a
 * measure: name, MB/s (median, best and worst of the rounds). bitmap is the bare prefilter that the
 * others are judged against. 0 seconds and a measure's name do one pass of it, for a counter of
 * instructions; the line then tells the bytes. guard-bench --search SECONDS SEED looks for texts
 * that are scanned slower than the hostile ones below, and prints the slowest.
 */
#include "engine/base/arena.h"
#include "guardrails/classifier/text.h"
#include "guardrails/guardrails.h"
#include "guardrails/normalise.h"
#include "guardrails/pattern.h"
#include "lua-free-filters/redact_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BLOCK  2048
#define ROUNDS 9

typedef struct {
    weir_guard_rules_t *rules;
    weir_guard_scratch_t *scratch;
    weir_guard_fold_t fold;
    weir_classifier_t classifier;
    uint64_t *bitmap;
    uint64_t found; /* kept, so that no work is optimised away */
    double seconds;
    const char *only;
    double *events; /* microseconds of each, when not NULL */
    size_t event_count;
} bench_t;

#define MAX_EVENTS 100000

typedef void (*work_t)(bench_t *bench, const char *text, size_t len);

static double clock_seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Of an event: the thread's own clock costs a system call, more than the event. */
static double now(void)
{
    return clock_seconds(CLOCK_MONOTONIC);
}

/* Of a round: what other processes take of the core does not count. */
static double used(void)
{
    return clock_seconds(CLOCK_THREAD_CPUTIME_ID);
}

static void bitmap_work(bench_t *b, const char *text, size_t len)
{
    for (size_t i = 0; i + 4 <= len; i++) {
        uint32_t four;
        memcpy(&four, text + i, 4);
        uint32_t hash = ((four & 0xffffff) | 0x202020) * 0x9e3779b1u >> 16;
        if ((b->bitmap[hash / 64] >> hash % 64 & 1) != 0) {
            b->found++;
        }
    }
}

static void scan_work(bench_t *b, const char *text, size_t len)
{
    weir_guard_result_t result;
    weir_error_t err;
    if (weir_guard_scan(b->rules, b->scratch, text, len, NULL, &result, &err) != WEIR_OK) {
        fprintf(stderr, "guard-bench: %s\n", err.message);
        exit(1);
    }
    b->found += result.count;
}

static void fold_work(bench_t *b, const char *text, size_t len)
{
    weir_guard_view_t views[WEIR_GUARD_MAX_VIEWS];
    size_t count = 0;
    weir_error_t err;
    weir_guard_views(&b->fold, text, len, WEIR_GUARD_FOLD_LOWER, views, &count, &err);
    b->found += count;
}

/* Feeds of four characters, as a stream of tokens comes; the text so far is scanned from what has
 * been released. Counts events as bytes / 4. */
static void stream_work(bench_t *b, const char *text, size_t len)
{
    size_t released = 0;
    for (size_t fed = 4; fed <= len; fed += 4) {
        size_t base = released > WEIR_GUARD_LEFT ? released - WEIR_GUARD_LEFT : 0;
        weir_guard_scan_options_t options = {.from = released - base, .more = fed < len};
        weir_guard_result_t result;
        weir_error_t err;
        double start = now();
        if (weir_guard_scan(b->rules, b->scratch, text + base, fed - base, &options, &result,
                            &err) == WEIR_OK) {
            released = base + result.hold;
            b->found += result.count;
        }
        if (b->event_count < MAX_EVENTS) {
            b->events[b->event_count++] = (now() - start) * 1e6;
        }
    }
}

static weir_redact_action_t decide(void *ctx, const weir_guard_finding_t *finding, weir_str_t value,
                                   bool repeat, weir_str_t *replacement)
{
    (void)ctx;
    (void)value;
    (void)repeat;
    *replacement = weir_str(finding->type, strlen(finding->type));
    return WEIR_REDACT_REPLACE;
}

/* The same feeds through the redactor in hold-back mode. */
static void redact_work(bench_t *b, const char *text, size_t len)
{
    weir_redact_rules_t shared = {
        .rules = b->rules, .scratch = b->scratch, .mode = WEIR_REDACT_HOLDBACK, .decide = decide};
    weir_redact_text_t t;
    weir_arena_t arena;
    weir_buf_t out;
    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&out, &arena);
    weir_redact_text_init(&t, &shared, false, false);
    for (size_t at = 0; at + 4 <= len; at += 4) {
        double start = now();
        if (weir_redact_text_feed(&t, text + at, 4, at + 8 > len, &out) != WEIR_OK) {
            break;
        }
        if (b->event_count < MAX_EVENTS) {
            b->events[b->event_count++] = (now() - start) * 1e6;
        }
    }
    b->found += out.len;
    weir_redact_text_free(&t);
    weir_arena_free(&arena);
}

static void classify_work(bench_t *b, const char *text, size_t len)
{
    weir_scores_t scores;
    weir_error_t err;
    weir_classify_text(&b->classifier, &b->fold, text, len, &scores, &err);
    b->found += scores.p[0] > 0.5f;
}

static void all_work(bench_t *b, const char *text, size_t len)
{
    scan_work(b, text, len);
    classify_work(b, text, len);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Kept whole, so that a profiler can count what happens inside it. */
__attribute__((noinline)) static void measure(const char *name, bench_t *b, work_t work,
                                              const char *text, size_t len)
{
    double speeds[ROUNDS];
    size_t rounds = b->seconds > 0 ? ROUNDS : 1;
    if (b->only != NULL && strcmp(b->only, name) != 0) {
        return;
    }
    for (size_t r = 0; r < rounds; r++) {
        double start = used();
        size_t done = 0;
        do {
            for (size_t at = 0; at < len; at += BLOCK) {
                work(b, text + at, len - at < BLOCK ? len - at : BLOCK);
            }
            done += len;
        } while (used() - start < b->seconds / ROUNDS);
        speeds[r] = (double)done / (used() - start) / 1e6;
    }
    qsort(speeds, rounds, sizeof(speeds[0]), by_value);
    printf("{\"name\": \"%s\", \"median\": %.1f, \"best\": %.1f, \"worst\": %.1f, "
           "\"bytes\": %zu}\n",
           name, speeds[rounds / 2], speeds[rounds - 1], speeds[0], len);
    fflush(stdout);
}

static void with_rules(bench_t *b, const char *name, const weir_guard_options_t *options,
                       work_t work, const char *text, size_t len)
{
    weir_error_t err;
    if (b->only != NULL && strcmp(b->only, name) != 0) {
        return;
    }
    if (weir_guard_rules_compile(options, &b->rules, &err) != WEIR_OK) {
        fprintf(stderr, "guard-bench: %s\n", err.message);
        exit(1);
    }
    measure(name, b, work, text, len);
    weir_guard_rules_free(b->rules);
}

/* Texts that make the matcher work: what draws attention everywhere and leads nowhere. The longer
 * ones are what --search found. */
static const char *const hostile[] = {
    "1 2 3 4 ",
    "12 12 12 12 ",
    "123-45-678 ",
    "4111 1111 1111 1112 ",
    "a@b.",
    "a@",
    "x://y",
    "1.2.3.4.",
    "ab:cd:",
    "http://a:b@c ",
    "call 123 4567 ",
    "key=secret token ",
    "AB12 CD34 ",
    "Mr A Mr B ",
    "%41%42",
    "&#65;",
    "\320\260a",
    "\xef\xbc\xa1",
    "GB29 NWBK ",
    "-----BEGIN RSA PRIVATE KEY-----",
    "QUJD",
    "eyJhbGciOi.",
    "12 Main A ",
    "999999999 ",
    "%25www.http://",
    "http://\320\260%2541%aaaaaaaaaaaaaaaaaaaaaaaaya29.EAAC-",
    "12 32 412 112 3",
    ("http://"
     "\320\260541%aa2541%aasnykaa.auth0EAAC-aaask2541-aaa1%aaaaaa%aaa_test_aaa.aut%25Aeyja.123 "
     "4567 "
     "aoktaXa29.nvapi-1GBaa\260moGB29"),
    ("hta@e.EA%@a.atl.pdl.EA%@a.ta@e.EA%@a.atl.latl.pdl.25.Eh@a.det%25ta@e.EAK.pdl.25ta@e.EAa.Ba."
     "Aimgur%25aEa12.3@2."
     "dea.dR%@a.atl."),
    ("\\uEAAC-0041254.EAAC-2541%29.EAA+T1%aaaazoomaa1.aGlp://"
     "\320\260%2541%aaacarp.eyjeya241\200aa1.2./3\213assAC-"
     "twilioae9.s://am9.E\320\260E"),
    ("pi-keyssb_secrixaalogglya.alogglyaa5aaaaaaaaalogglya12logglykeysavlooke"
     "rngrokkeysCsplunklyapi-keysm_sat_svoyage-%25419.A"),
    ("\\uEAAC-0-2mo120141-0\320\260lAAC-0ab:1541252-0\320500141245\3205125001"
     "450<C-2mob#2-0\3205001412500145\320500145259.uEAwname is LD-t :x41\260%"
     "2541%a6s"),
    ("tokensuY://cfat_12p.eyjt-skyAlboaa1cfacebookfplpe%2554-tovercel41e_afas"
     "tlyaK1ccodacy-ovauth0apwdnexmo=.E\320pwd="),
    ("httLB29/J\3202\260mp://\320\26054@a.dex.xb-AC-aaasW2541-aau\342\200\213"
     "a1aaasut%25Ae%aaaPpi-2_apikey=4%api-test%accsdjango-insecure-apikey=4;G"
     "B"),
};

#define HOSTILE (sizeof(hostile) / sizeof(hostile[0]))
#define TEXT    65536

static void adversarial(bench_t *b)
{
    weir_guard_options_t options = {.pii = true, .secrets = true};
    char *text = malloc(TEXT);
    for (size_t u = 0; text != NULL && u < HOSTILE; u++) {
        size_t n = strlen(hostile[u]);
        char name[64];
        for (size_t i = 0; i < TEXT; i++) {
            text[i] = hostile[u][i % n];
        }
        snprintf(name, sizeof(name), "adversarial %zu", u);
        with_rules(b, name, &options, scan_work, text, TEXT);
    }
    free(text);
}

/* --- the search for slower texts: hill climbing over units that are repeated --- */

#define UNIT    128  /* longest unit */
#define KEPT    24   /* units that are kept */
#define TRIED   8192 /* bytes of text of each */
#define PRINTED 8

typedef struct {
    char text[UNIT];
    size_t len;
    double nanoseconds; /* a byte */
} unit_t;

static uint32_t roll(uint64_t *state, size_t below)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((*state >> 33) % below);
}

/* A keyword of the secrets, a fragment of what the parsers look for, or any character. */
static const char *fragment(uint64_t *state, char any[2])
{
    static const char *const fragments[] = {"http://",
                                            "://",
                                            "www.",
                                            ".com",
                                            "@a.de",
                                            "%41",
                                            "%25",
                                            "%2541",
                                            "&#64;",
                                            "&amp;",
                                            "\\u0041",
                                            "\\x41",
                                            "QUJDREVG",
                                            "1 2 ",
                                            "4111",
                                            " 1111",
                                            "12.",
                                            "1.2.3",
                                            "::",
                                            "ab:",
                                            "0x",
                                            "1A1zP1eP",
                                            "GB29",
                                            " NWBK",
                                            "Mr ",
                                            " St ",
                                            "call ",
                                            "name is ",
                                            "born ",
                                            "card ",
                                            "ssn ",
                                            "\320\260",
                                            "\357\274\241",
                                            "\342\200\213",
                                            "-----BEGIN ",
                                            "aaaaaaaa",
                                            "\n",
                                            " ",
                                            "=",
                                            "+"};
    switch (roll(state, 4)) {
    case 0: {
        size_t table = roll(state, weir_guard_secret_table_count);
        size_t row = roll(state, *weir_guard_secret_table_sizes[table]);
        const char *const *words = weir_guard_secret_tables[table][row].keywords;
        size_t count = 0;
        while (count < WEIR_GUARD_KEYWORDS && words[count] != NULL) {
            count++;
        }
        return count > 0 ? words[roll(state, count)] : "";
    }
    case 1:
        any[0] = (char)(' ' + roll(state, 95));
        any[1] = '\0';
        return any;
    default:
        return fragments[roll(state, sizeof(fragments) / sizeof(fragments[0]))];
    }
}

/* Puts text into a unit at a place, as far as it fits. */
static void insert(unit_t *unit, size_t at, const char *text, size_t len)
{
    len = len < UNIT - unit->len ? len : UNIT - unit->len;
    memmove(unit->text + at + len, unit->text + at, unit->len - at);
    memcpy(unit->text + at, text, len);
    unit->len += len;
}

static void cut(unit_t *unit, size_t at, size_t len)
{
    len = len < unit->len - at ? len : unit->len - at;
    memmove(unit->text + at, unit->text + at + len, unit->len - at - len);
    unit->len -= len;
}

static void change(unit_t *unit, const unit_t *other, uint64_t *state)
{
    char any[2] = {0};
    size_t at = roll(state, unit->len + 1);
    size_t some = 1 + roll(state, 8);
    unit_t part = *other;
    switch (roll(state, 4)) {
    case 0:
        cut(unit, at, some);
        break;
    case 1: /* part of another, or of itself again */
        cut(&part, 0, roll(state, part.len));
        insert(unit, at, part.text, part.len < some * 4 ? part.len : some * 4);
        break;
    default: {
        const char *text = fragment(state, any);
        if (roll(state, 2) == 0) {
            cut(unit, at, strlen(text));
        }
        insert(unit, at < unit->len ? at : unit->len, text, strlen(text));
    }
    }
}

/* The least time of three: others take the core now and then, nobody gives it twice. */
static void rate(bench_t *b, unit_t *unit)
{
    char text[TRIED];
    for (size_t i = 0; i < TRIED; i++) {
        text[i] = unit->text[i % unit->len];
    }
    for (int round = 0; round < 3; round++) {
        double start = used();
        for (size_t at = 0; at < TRIED; at += BLOCK) {
            scan_work(b, text + at, BLOCK);
        }
        double each = (used() - start) * 1e9 / TRIED;
        unit->nanoseconds = round == 0 || each < unit->nanoseconds ? each : unit->nanoseconds;
    }
}

static int by_time(const void *a, const void *b)
{
    const unit_t *x = a;
    const unit_t *y = b;
    return (x->nanoseconds < y->nanoseconds) - (x->nanoseconds > y->nanoseconds);
}

static void print_unit(const unit_t *unit)
{
    printf("%6.1f MB/s  \"", 1e3 / unit->nanoseconds);
    for (size_t i = 0; i < unit->len; i++) {
        unsigned char c = (unsigned char)unit->text[i];
        if (c < ' ' || c > '~') {
            printf("\\%03o", c);
        } else {
            printf(c == '"' || c == '\\' ? "\\%c" : "%c", c);
        }
    }
    printf("\"\n");
}

static int search(bench_t *b, double seconds, uint64_t seed)
{
    weir_guard_options_t options = {.pii = true, .secrets = true};
    weir_error_t err;
    unit_t units[KEPT + HOSTILE + 1];
    size_t count = 0;
    unsigned long tried = 0;
    if (weir_guard_rules_compile(&options, &b->rules, &err) != WEIR_OK) {
        fprintf(stderr, "guard-bench: %s\n", err.message);
        return 1;
    }
    for (; count < HOSTILE; count++) {
        size_t len = strlen(hostile[count]);
        units[count] = (unit_t){.len = len < UNIT ? len : UNIT};
        memcpy(units[count].text, hostile[count], units[count].len);
        rate(b, &units[count]);
    }
    qsort(units, count, sizeof(units[0]), by_time);
    for (double start = used(); used() - start < seconds; tried++) {
        unit_t *next = &units[count < KEPT ? count : KEPT];
        size_t known = count < KEPT ? count : KEPT;
        *next = units[roll(&seed, known)];
        for (uint32_t changes = 1 + roll(&seed, 3); changes > 0; changes--) {
            change(next, &units[roll(&seed, known)], &seed);
        }
        if (next->len == 0) {
            continue;
        }
        rate(b, next);
        count = known + 1;
        qsort(units, count, sizeof(units[0]), by_time);
    }
    fprintf(stderr, "%lu units tried\n", tried);
    for (size_t u = 0; u < PRINTED && u < count; u++) {
        rate(b, &units[u]);
        print_unit(&units[u]);
    }
    weir_guard_rules_free(b->rules);
    return 0;
}

static void print_events(bench_t *b, const char *name)
{
    if (b->event_count == 0) {
        return;
    }
    qsort(b->events, b->event_count, sizeof(b->events[0]), by_value);
    printf("{\"name\": \"%s\", \"p50\": %.2f, \"p99\": %.2f, \"p999\": %.2f}\n", name,
           b->events[b->event_count / 2], b->events[b->event_count * 99 / 100],
           b->events[b->event_count * 999 / 1000]);
    b->event_count = 0;
}

static int search_main(double seconds, uint64_t seed)
{
    bench_t b = {.scratch = weir_guard_scratch_create()};
    int status = b.scratch == NULL ? 1 : search(&b, seconds, seed);
    weir_guard_scratch_free(b.scratch);
    return status;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--search") == 0) {
        return search_main(strtod(argv[2], NULL), strtoull(argv[3], NULL, 10));
    }
    FILE *file = argc > 2 ? fopen(argv[1], "rb") : NULL;
    bench_t b = {.scratch = weir_guard_scratch_create(),
                 .bitmap = calloc(65536 / 64, sizeof(uint64_t)),
                 .seconds = argc > 2 ? strtod(argv[2], NULL) : 0,
                 .only = argc > 3 ? argv[3] : NULL,
                 .events = calloc(MAX_EVENTS, sizeof(double))};
    char *text = malloc(1 << 20);
    if (file == NULL || text == NULL || b.scratch == NULL || b.bitmap == NULL || b.events == NULL) {
        fprintf(stderr, "usage: guard-bench FILE SECONDS [MEASURE]\n"
                        "       guard-bench --search SECONDS SEED\n");
        exit(2);
    }
    size_t len = fread(text, 1, 1 << 20, file);
    fclose(file);
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t hash = i * 0x9e3779b1u >> 16;
        b.bitmap[hash / 64] |= 1ull << hash % 64;
    }
    weir_guard_options_t pii = {.pii = true};
    weir_guard_options_t both = {.pii = true, .secrets = true};
    weir_guard_options_t stream = {.pii = true, .secrets = true, .streaming = true};
    measure("bitmap", &b, bitmap_work, text, len);
    with_rules(&b, "pii", &pii, scan_work, text, len);
    with_rules(&b, "pii+secrets", &both, scan_work, text, len);
    measure("views", &b, fold_work, text, len);
    weir_error_t err;
    if (weir_classifier_open_builtin(&b.classifier, &err) != WEIR_OK) {
        fprintf(stderr, "guard-bench: %s\n", err.message);
        exit(1);
    }
    measure("classifiers", &b, classify_work, text, len);
    with_rules(&b, "everything", &both, all_work, text, len);
    with_rules(&b, "stream", &stream, stream_work, text, len);
    print_events(&b, "event");
    with_rules(&b, "redactor", &stream, redact_work, text, len);
    print_events(&b, "redacted event");
    adversarial(&b);
    fprintf(stderr, "%llu found\n", (unsigned long long)b.found);
    weir_guard_scratch_free(b.scratch);
    weir_guard_fold_free(&b.fold);
    free(b.events);
    free(b.bitmap);
    free(text);
    return 0;
}

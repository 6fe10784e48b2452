/*
 * Speed of the guardrails on one core: guard-bench FILE [SECONDS]. Prints a line of JSON a measure:
 * name, MB/s (best and median of the rounds), instructions per byte where the system counts them.
 * bitmap is the bare prefilter that the others are judged against.
 */
#include "engine/base/arena.h"
#include "guardrails/guardrails.h"
#include "guardrails/normalise.h"

#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BLOCK  2048
#define ROUNDS 9

typedef struct {
    weir_guard_rules_t *rules;
    weir_guard_scratch_t *scratch;
    weir_guard_fold_t fold;
    uint64_t *bitmap;
    uint64_t found; /* kept, so that no work is optimised away */
} bench_t;

typedef void (*work_t)(bench_t *bench, const char *text, size_t len);

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int open_counter(void)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_HARDWARE,
                                   .size = sizeof(attr),
                                   .config = PERF_COUNT_HW_INSTRUCTIONS,
                                   .exclude_kernel = 1,
                                   .exclude_hv = 1};
    return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static uint64_t read_counter(int fd)
{
    uint64_t value = 0;
    return fd >= 0 && read(fd, &value, sizeof(value)) == (ssize_t)sizeof(value) ? value : 0;
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
        if (weir_guard_scan(b->rules, b->scratch, text + base, fed - base, &options, &result,
                            &err) == WEIR_OK) {
            released = base + result.hold;
            b->found += result.count;
        }
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, bench_t *b, work_t work, const char *text, size_t len,
                    double seconds)
{
    double speeds[ROUNDS];
    uint64_t instructions = 0;
    uint64_t bytes = 0;
    int counter = open_counter();
    for (int r = 0; r < ROUNDS; r++) {
        double start = now();
        uint64_t before = read_counter(counter);
        size_t done = 0;
        do {
            for (size_t at = 0; at < len; at += BLOCK) {
                work(b, text + at, len - at < BLOCK ? len - at : BLOCK);
            }
            done += len;
        } while (now() - start < seconds / ROUNDS);
        speeds[r] = (double)done / (now() - start) / 1e6;
        instructions += read_counter(counter) - before;
        bytes += done;
    }
    if (counter >= 0) {
        close(counter);
    }
    qsort(speeds, ROUNDS, sizeof(speeds[0]), by_value);
    printf("{\"name\": \"%s\", \"median\": %.1f, \"best\": %.1f, \"worst\": %.1f, "
           "\"instructions_per_byte\": ",
           name, speeds[ROUNDS / 2], speeds[ROUNDS - 1], speeds[0]);
    if (instructions > 0) {
        printf("%.2f}\n", (double)instructions / (double)bytes);
    } else {
        printf("null}\n");
    }
    fflush(stdout);
}

static void with_rules(bench_t *b, const char *name, const weir_guard_options_t *options,
                       work_t work, const char *text, size_t len, double seconds)
{
    weir_error_t err;
    if (weir_guard_rules_compile(options, &b->rules, &err) != WEIR_OK) {
        fprintf(stderr, "guard-bench: %s\n", err.message);
        exit(1);
    }
    measure(name, b, work, text, len, seconds);
    weir_guard_rules_free(b->rules);
}

/* Texts that make the matcher work: what draws attention everywhere and leads nowhere. */
static void adversarial(bench_t *b, double seconds)
{
    static const char *const units[] = {
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
        "\xd0\xb0"
        "a",
        "\xef\xbc\xa1",
        "GB29 NWBK ",
        "-----BEGIN RSA PRIVATE KEY-----",
        "QUJD",
        "eyJhbGciOi.",
        "12 Main A ",
        "999999999 ",
    };
    weir_guard_options_t options = {.pii = true, .secrets = true};
    char *text = malloc(65536);
    for (size_t u = 0; text != NULL && u < sizeof(units) / sizeof(units[0]); u++) {
        size_t n = strlen(units[u]);
        char name[64];
        for (size_t i = 0; i < 65536; i++) {
            text[i] = units[u][i % n];
        }
        snprintf(name, sizeof(name), "adversarial %zu", u);
        with_rules(b, name, &options, scan_work, text, 65536, seconds / 4);
    }
    free(text);
}

int main(int argc, char **argv)
{
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 1.0;
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
    bench_t b = {.scratch = weir_guard_scratch_create(),
                 .bitmap = calloc(65536 / 64, sizeof(uint64_t))};
    char *text = malloc(1 << 20);
    if (file == NULL || text == NULL || b.scratch == NULL || b.bitmap == NULL) {
        fprintf(stderr, "usage: guard-bench FILE [SECONDS]\n");
        return 2;
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
    measure("bitmap", &b, bitmap_work, text, len, seconds);
    with_rules(&b, "pii", &pii, scan_work, text, len, seconds);
    with_rules(&b, "pii+secrets", &both, scan_work, text, len, seconds);
    with_rules(&b, "stream of 4 bytes", &stream, stream_work, text, len, seconds);
    measure("views", &b, fold_work, text, len, seconds);
    adversarial(&b, seconds);
    fprintf(stderr, "%llu found\n", (unsigned long long)b.found);
    weir_guard_scratch_free(b.scratch);
    weir_guard_fold_free(&b.fold);
    free(b.bitmap);
    free(text);
    return 0;
}

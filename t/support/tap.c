#include "t/support/tap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int n_run;
static int n_failed;

static void print_result(bool cond, const char *name, va_list args)
{
    n_run++;
    if (!cond) {
        n_failed++;
    }
    printf("%sok %d - ", cond ? "" : "not ", n_run);
    vprintf(name, args);
    putchar('\n');
    fflush(stdout);
}

bool ok(bool cond, const char *name, ...)
{
    va_list args;
    va_start(args, name);
    print_result(cond, name, args);
    va_end(args);
    return cond;
}

bool is_int(long long got, long long want, const char *name, ...)
{
    va_list args;
    va_start(args, name);
    print_result(got == want, name, args);
    va_end(args);
    if (got != want) {
        diag("got %lld, expected %lld", got, want);
    }
    return got == want;
}

bool is_str(const char *got, size_t got_len, const char *want, const char *name, ...)
{
    size_t want_len = strlen(want);
    bool same = got_len == want_len && (want_len == 0 || memcmp(got, want, want_len) == 0);
    va_list args;
    va_start(args, name);
    print_result(same, name, args);
    va_end(args);
    if (!same) {
        diag("got      '%.*s'", (int)got_len, got == NULL ? "" : got);
        diag("expected '%s'", want);
    }
    return same;
}

void diag(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("# ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
}

void skip_test(const char *reason, ...)
{
    va_list args;
    va_start(args, reason);
    n_run++;
    printf("ok %d # SKIP ", n_run);
    vprintf(reason, args);
    putchar('\n');
    va_end(args);
}

int done_testing(void)
{
    printf("1..%d\n", n_run);
    if (n_failed > 0) {
        diag("%d of %d tests failed", n_failed, n_run);
    }
    return n_failed > 0 ? 1 : 0;
}

void rng_init(rng_t *rng)
{
    const char *env = getenv("WEIR_SEED");
    uint64_t seed = env != NULL ? strtoull(env, NULL, 0)
                                : (uint64_t)time(NULL) * 2654435761u + (uint64_t)clock();
    printf("# seed: WEIR_SEED=%llu\n", (unsigned long long)seed);
    rng->s[0] = seed ^ 0x9e3779b97f4a7c15ull;
    rng->s[1] = seed * 0xbf58476d1ce4e5b9ull + 1;
    for (int i = 0; i < 16; i++) {
        rng_u64(rng);
    }
}

/* xorshift128+ (Vigna, 2014). */
uint64_t rng_u64(rng_t *rng)
{
    uint64_t a = rng->s[0];
    uint64_t b = rng->s[1];
    rng->s[0] = b;
    a ^= a << 23;
    rng->s[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return rng->s[1] + b;
}

uint32_t rng_below(rng_t *rng, uint32_t n)
{
    return (uint32_t)(((rng_u64(rng) >> 32) * n) >> 32);
}

float rng_float(rng_t *rng)
{
    return (float)(int32_t)(rng_u64(rng) >> 32) / 2147483648.0f;
}

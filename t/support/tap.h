/*
 * TAP for C tests: ok() lines on standard output, diagnostics on standard error, and done_testing()
 * as the last call of main. One test program is one process with one thread doing the reporting.
 */
#ifndef WEIR_T_TAP_H
#define WEIR_T_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One assertion; returns cond. The name is printf-style. */
bool ok(bool cond, const char *name, ...) __attribute__((format(printf, 2, 3)));

/* Integer and string equality, with both values in the diagnostics on failure. */
bool is_int(long long got, long long want, const char *name, ...)
    __attribute__((format(printf, 3, 4)));
bool is_str(const char *got, size_t got_len, const char *want, const char *name, ...)
    __attribute__((format(printf, 4, 5)));

void diag(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Counts one test as skipped, with the reason. */
void skip_test(const char *reason, ...) __attribute__((format(printf, 1, 2)));

/* Prints the plan; returns main's exit status. */
int done_testing(void);

/*
 * Seeded generator for property tests. The seed comes from WEIR_SEED or the clock and is printed by
 * rng_init, so that a failure can be repeated.
 */
typedef struct {
    uint64_t s[2];
} rng_t;

void rng_init(rng_t *rng);
uint64_t rng_u64(rng_t *rng);
/* Uniform in 0..n-1; n > 0. */
uint32_t rng_below(rng_t *rng, uint32_t n);
/* Uniform in [-1, 1). */
float rng_float(rng_t *rng);

#endif

/* The vector loops against the portable ones on random text, and the limit on work. */
#include "guardrails/guardrails.h"
#include "guardrails/normalise.h"
#include "guardrails/vector.h"
#include "t/support/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 5
#define ROUNDS 400

/* Mostly what the loops tell apart, some of all bytes. */
static void fill(rng_t *rng, char *text, size_t len)
{
    static const char some[] = "aZz@:. %&\\09/+-_=\n";
    unsigned kind = rng_below(rng, 3);
    for (size_t i = 0; i < len; i++) {
        text[i] = kind == 0   ? (char)rng_below(rng, 256)
                  : kind == 1 ? some[rng_below(rng, sizeof(some) - 1)]
                              : (char)('a' + rng_below(rng, 26));
    }
    if (kind == 2 && rng_below(rng, 2) == 0) {
        text[rng_below(rng, (uint32_t)len)] = (char)rng_below(rng, 256);
    }
}

/* As literals make it: a byte with and without its bit 0x20 is the same. */
static void fill_filter(rng_t *rng, weir_guard_filter_t *filter)
{
    for (unsigned half = 0; half < WEIR_FILTER_BUCKETS / 8; half++) {
        for (unsigned place = 0; place < 3; place++) {
            for (unsigned c = 0; c < 128; c++) {
                uint64_t two = rng_u64(rng);
                uint8_t bits = (uint8_t)(two & two >> 32);
                filter->table[half][place][c] = bits;
                filter->table[half][place][c ^ 0x20] = bits;
            }
        }
    }
}

static void test_same(const char *name, rng_t *rng)
{
    const weir_guard_vector_t *vector = weir_guard_vector(name);
    const weir_guard_vector_t *scalar = weir_guard_vector("scalar");
    static weir_guard_filter_t filter;
    unsigned wrong = 0;
    if (vector == NULL) {
        skip_test("this processor has no %s", name);
        return;
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t blocks = 1 + rng_below(rng, BLOCKS);
        size_t shift = rng_below(rng, WEIR_BLOCK); /* alignment must not matter */
        size_t len = blocks * WEIR_BLOCK + WEIR_BLOCK_AHEAD;
        char *memory = malloc(shift + len); /* exact, for the address sanitizer */
        if (memory == NULL) {
            abort();
        }
        char *text = memory + shift;
        weir_guard_bits_t bits[2][BLOCKS];
        uint64_t found[2][BLOCKS];
        char lower[2][BLOCKS * WEIR_BLOCK];
        fill(rng, text, len);
        fill_filter(rng, &filter);
        vector->classify(text, blocks, bits[0]);
        scalar->classify(text, blocks, bits[1]);
        vector->literals(&filter, text, blocks, found[0]);
        scalar->literals(&filter, text, blocks, found[1]);
        vector->lower(lower[0], text, blocks);
        scalar->lower(lower[1], text, blocks);
        wrong += memcmp(bits[0], bits[1], blocks * sizeof(bits[0][0])) != 0 ||
                 memcmp(found[0], found[1], blocks * sizeof(found[0][0])) != 0 ||
                 memcmp(lower[0], lower[1], blocks * WEIR_BLOCK) != 0 ||
                 vector->survey(text, blocks) != scalar->survey(text, blocks);
        free(memory);
    }
    is_int(wrong, 0, "%s gives what the portable loops give", name);
}

/* The survey must not miss what the decoder would take. */
static void test_survey(rng_t *rng)
{
    unsigned missed = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        char text[300];
        size_t len = 24 + rng_below(rng, sizeof(text) - 24);
        memset(text, ' ', len);
        size_t at = rng_below(rng, (uint32_t)(len - 24 + 1));
        for (size_t i = 0; i < 24; i++) {
            text[at + i] = "ABCabc019+/-_"[rng_below(rng, 13)];
        }
        unsigned want = WEIR_SURVEY_BASE64;
        missed += (weir_guard_survey(text, len) & want) == 0;
        text[at] = "%&\\"[rng_below(rng, 3)];
        missed += (weir_guard_survey(text, len) & WEIR_SURVEY_ESCAPE) == 0;
        text[at] = (char)(0x80 + rng_below(rng, 128));
        missed += (weir_guard_survey(text, len) & WEIR_SURVEY_HIGH) == 0;
    }
    is_int(missed, 0, "a survey sees 24 characters of base64, an escape or a high byte anywhere");
    is_int(weir_guard_survey("Understanding governmental information.", 39), 0,
           "and nothing in prose");
}

static void scan(const weir_guard_rules_t *rules, weir_guard_scratch_t *scratch, const char *text,
                 size_t len, weir_guard_result_t *result)
{
    weir_error_t err;
    if (weir_guard_scan(rules, scratch, text, len, NULL, result, &err) != WEIR_OK) {
        diag("%s", err.message);
        abort();
    }
}

/* Codes inside codes of numbers and keywords, an address behind them in plain. */
static void test_limit(void)
{
    static const char unit[] =
        "http://541%aa2541%aasnykaa.auth0EAAC-aaask2541-aaa1%aaaaaa%aaa_test_aaa.aut%25Aeyja.123 "
        "4567 "
        "aoktaXa29.nvapi-1GBaamoGB29";
    static const char address[] = " jane.doe@example.org";
    static char text[64 * 1024];
    weir_guard_options_t options = {.pii = true, .secrets = true};
    weir_guard_rules_t *rules = NULL;
    weir_guard_scratch_t *scratch = weir_guard_scratch_create();
    weir_guard_result_t result;
    weir_error_t err;
    if (scratch == NULL || weir_guard_rules_compile(&options, &rules, &err) != WEIR_OK) {
        abort();
    }
    size_t len = 0;
    while (len + sizeof(unit) + sizeof(address) < sizeof(text)) {
        memcpy(text + len, unit, sizeof(unit) - 1);
        len += sizeof(unit) - 1;
    }
    memcpy(text + len, address, sizeof(address) - 1);
    len += sizeof(address) - 1;
    scan(rules, scratch, text, len, &result);
    const weir_guard_finding_t *last = result.count > 0 ? &result.findings[result.count - 1] : NULL;
    ok(last != NULL && strcmp(last->type, "EMAIL_ADDRESS") == 0 && last->end == len,
       "a hostile text is scanned to its end");
    ok(result.truncated && (result.fold_flags & WEIR_GUARD_FOLD_TRUNCATED) != 0,
       "and says that its layers were not");
    len = 0;
    while (len + 64 < sizeof(text)) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "the%%20river%%20was%%20old %s",
                                "dGhlIHJpdmVyIHdhcyBvbGQgYW5kIGxvbmc= ");
    }
    scan(rules, scratch, text, len, &result);
    ok(!result.truncated, "prose in codes is scanned whole");
    weir_guard_rules_free(rules);
    weir_guard_scratch_free(scratch);
}

int main(void)
{
    rng_t rng;
    rng_init(&rng);
    test_same("avx2", &rng);
    test_same("avx512", &rng);
    test_survey(&rng);
    test_limit();
    return done_testing();
}

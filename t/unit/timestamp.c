#include "policies/timestamp.h"

#include "t/support/tap.h"

static void test_format(void)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {951827696789, "2000-02-29T12:34:56.789Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {-62135596800000, "0001-01-01T00:00:00.000Z"},
        {-62167219200000, "0000-01-01T00:00:00.000Z"},
        {253402300800000, ""},
        {-62167219200001, ""},
        {INT64_MAX, ""},
        {INT64_MIN, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[WEIR_TIMESTAMP_MAX];
        int64_t back;
        size_t n = weir_timestamp_format(cases[i].ms, out);
        is_str(out, n, cases[i].text, "%lld ms", (long long)cases[i].ms);
        if (n > 0) {
            ok(weir_timestamp_parse(weir_str(out, n), &back) && back == cases[i].ms,
               "%s reads back", out);
        }
    }
}

static void test_parse(void)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } cases[] = {
        {"1970-01-02", 86400000},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"1970-01-01T00:00:00.5Z", 500},
        {"1970-01-01T00:00:00.123456789Z", 123},
        {"1970-01-01T00:00:60Z", 60000}, /* a leap second */
        {"1970-01-01", 0},
        {"2024-02-29T12:00:00Z", 1709208000000},
        {"", -1},
        {"tomorrow", -1},
        {"2023-1-1", -1},
        {"2023-02-29", -1},
        {"1970", -1},
        {"1970-01", -1},
        {"1970-00-01", -1},
        {"1970-13-01", -1},
        {"1970-01-00", -1},
        {"1970-04-31", -1},
        {"1900-02-29", -1},
        {"1970-01-01T", -1},
        {"1970-01-01T00:00Z", -1},
        {"1970-01-01T00:00:00", -1},
        {"1970-01-01T00:00:00.Z", -1},
        {"1970-01-01T24:00:00Z", -1},
        {"1970-01-01T00:60:00Z", -1},
        {"1970-01-01T00:00:61Z", -1},
        {"1970-01-01T00:00:00+01:00", -1},
        {"1970-01-01T00:00:00Z ", -1},
        {" 1970-01-01", -1},
        {"+970-01-01", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t ms = -1;
        bool good = weir_timestamp_parse(weir_str(cases[i].text, strlen(cases[i].text)), &ms);
        ok(good == (cases[i].ms >= 0) && ms == cases[i].ms, "'%s'", cases[i].text);
    }
}

static void test_round_trip(void)
{
    rng_t rng;
    bool same = true;
    rng_init(&rng);
    for (int i = 0; i < 2000; i++) {
        char text[WEIR_TIMESTAMP_MAX];
        int64_t ms = (int64_t)(rng_u64(&rng) % 253402300800000ull);
        int64_t back = -1;
        size_t n = weir_timestamp_format(ms, text);
        same = same && weir_timestamp_parse(weir_str(text, n), &back) && back == ms;
    }
    ok(same, "written times read back the same");
}

int main(void)
{
    test_format();
    test_parse();
    test_round_trip();
    return done_testing();
}

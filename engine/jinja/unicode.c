#include "engine/jinja/unicode.h"

#include "engine/jinja/unicode_tables.h"

static bool in_ranges(const weir_ju_range_t *ranges, unsigned n, uint32_t cp)
{
    unsigned low = 0;
    unsigned high = n;
    while (low < high) {
        unsigned mid = low + (high - low) / 2;
        if (ranges[mid].last < cp) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < n && ranges[low].first <= cp;
}

bool weir_ju_is_space(uint32_t cp)
{
    return (cp >= 9 && cp <= 13) || (cp >= 28 && cp <= 32) || cp == 0x85 || cp == 0xA0 ||
           cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 ||
           cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

bool weir_ju_is_line_break(uint32_t cp)
{
    return (cp >= 10 && cp <= 13) || (cp >= 28 && cp <= 30) || cp == 0x85 || cp == 0x2028 ||
           cp == 0x2029;
}

bool weir_ju_is_printable(uint32_t cp)
{
    return (cp >= 0x20 && cp < 0x7F) || in_ranges(weir_ju_printable, weir_ju_printable_count, cp);
}

bool weir_ju_is_alpha(uint32_t cp)
{
    return in_ranges(weir_ju_alpha, weir_ju_alpha_count, cp);
}

bool weir_ju_is_digit(uint32_t cp)
{
    return in_ranges(weir_ju_digit, weir_ju_digit_count, cp);
}

bool weir_ju_is_numeric(uint32_t cp)
{
    return in_ranges(weir_ju_numeric, weir_ju_numeric_count, cp);
}

bool weir_ju_is_upper(uint32_t cp)
{
    return in_ranges(weir_ju_upper, weir_ju_upper_count, cp);
}

bool weir_ju_is_lower(uint32_t cp)
{
    return in_ranges(weir_ju_lower, weir_ju_lower_count, cp);
}

bool weir_ju_is_cased(uint32_t cp)
{
    return in_ranges(weir_ju_cased, weir_ju_cased_count, cp);
}

bool weir_ju_is_case_ignorable(uint32_t cp)
{
    return in_ranges(weir_ju_ignorable, weir_ju_ignorable_count, cp);
}

static int map(const weir_ju_run_t *runs, unsigned n, const weir_ju_long_t *longs, unsigned n_longs,
               uint32_t cp, uint32_t out[3])
{
    out[0] = cp;
    for (unsigned i = 0; cp >= 0x80 && i < n_longs; i++) {
        if (longs[i].cp == cp) {
            out[0] = longs[i].to[0];
            out[1] = longs[i].to[1];
            out[2] = longs[i].to[2];
            return out[2] == 0 ? 2 : 3;
        }
    }
    unsigned low = 0;
    unsigned high = n;
    while (low < high) {
        unsigned mid = low + (high - low) / 2;
        if (runs[mid].last < cp) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    /* Runs of stride 2 may interleave: the next ones can hold the character too. */
    for (unsigned i = low; i < n && i < low + 3; i++) {
        if (runs[i].first <= cp && cp <= runs[i].last &&
            (cp - runs[i].first) % runs[i].stride == 0) {
            out[0] = (uint32_t)((int64_t)cp + runs[i].delta);
            break;
        }
    }
    return 1;
}

int weir_ju_to_lower(uint32_t cp, uint32_t out[3])
{
    return map(weir_ju_to_lower_runs, weir_ju_to_lower_runs_count, weir_ju_to_lower_runs_long,
               weir_ju_to_lower_runs_long_count, cp, out);
}

int weir_ju_to_upper(uint32_t cp, uint32_t out[3])
{
    return map(weir_ju_to_upper_runs, weir_ju_to_upper_runs_count, weir_ju_to_upper_runs_long,
               weir_ju_to_upper_runs_long_count, cp, out);
}

int weir_ju_to_title(uint32_t cp, uint32_t out[3])
{
    return map(weir_ju_to_title_runs, weir_ju_to_title_runs_count, weir_ju_to_title_runs_long,
               weir_ju_to_title_runs_long_count, cp, out);
}

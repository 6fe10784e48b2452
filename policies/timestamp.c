#include "policies/timestamp.h"

#include <time.h>

static char *put_digits(char *out, unsigned value, int n)
{
    for (int i = n; i-- > 0; value /= 10) {
        out[i] = (char)('0' + value % 10);
    }
    return out + n;
}

/* The date of a day since 1970-01-01 in the proleptic Gregorian calendar, by eras of 400 years that
 * begin on 1 March, so that the leap day is a year's last. */
static void civil_date(int64_t day, int64_t *year, unsigned *month, unsigned *mday)
{
    day += 719468; /* from 0000-03-01 */
    int64_t era = (day >= 0 ? day : day - 146096) / 146097;
    unsigned of_era = (unsigned)(day - era * 146097);
    unsigned years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * years + years / 4 - years / 100);
    unsigned from_march = (5 * of_year + 2) / 153;
    *mday = of_year - (153 * from_march + 2) / 5 + 1;
    *month = from_march < 10 ? from_march + 3 : from_march - 9;
    *year = era * 400 + years + (*month <= 2);
}

size_t weir_timestamp_format(int64_t ms, char out[WEIR_TIMESTAMP_MAX])
{
    int64_t seconds = ms / 1000 - (ms % 1000 < 0);
    int64_t day = seconds / 86400 - (seconds % 86400 < 0);
    unsigned rest = (unsigned)(seconds - day * 86400);
    int64_t year;
    unsigned month;
    unsigned mday;

    civil_date(day, &year, &month, &mday);
    if (year < 0 || year > 9999) {
        out[0] = '\0';
        return 0;
    }
    char *p = put_digits(out, (unsigned)year, 4);
    *p++ = '-';
    p = put_digits(p, month, 2);
    *p++ = '-';
    p = put_digits(p, mday, 2);
    *p++ = 'T';
    p = put_digits(p, rest / 3600, 2);
    *p++ = ':';
    p = put_digits(p, rest / 60 % 60, 2);
    *p++ = ':';
    p = put_digits(p, rest % 60, 2);
    *p++ = '.';
    p = put_digits(p, (unsigned)(ms - seconds * 1000), 3);
    *p++ = 'Z';
    *p = '\0';
    return (size_t)(p - out);
}

/* Reads exactly n digits. */
static bool digits(const char **p, const char *end, int n, int *out)
{
    int value = 0;
    for (int i = 0; i < n; i++) {
        if (*p == end || **p < '0' || **p > '9') {
            return false;
        }
        value = value * 10 + (*(*p)++ - '0');
    }
    *out = value;
    return true;
}

static bool literal(const char **p, const char *end, char c)
{
    if (*p == end || **p != c) {
        return false;
    }
    (*p)++;
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

static bool parse_time(const char **p, const char *end, struct tm *tm, int *ms)
{
    if (!digits(p, end, 2, &tm->tm_hour) || !literal(p, end, ':') ||
        !digits(p, end, 2, &tm->tm_min) || !literal(p, end, ':') ||
        !digits(p, end, 2, &tm->tm_sec)) {
        return false;
    }
    if (tm->tm_hour > 23 || tm->tm_min > 59 || tm->tm_sec > 60) {
        return false;
    }
    if (literal(p, end, '.')) {
        int scale = 100;
        if (*p == end || **p < '0' || **p > '9') {
            return false;
        }
        for (; *p != end && **p >= '0' && **p <= '9'; (*p)++, scale /= 10) {
            *ms += (**p - '0') * scale;
        }
    }
    return literal(p, end, 'Z');
}

bool weir_timestamp_parse(weir_str_t text, int64_t *ms)
{
    struct tm tm = {0};
    const char *p = text.data;
    const char *end = p + text.len;
    int year;
    int month;
    int fraction = 0;

    if (!digits(&p, end, 4, &year) || !literal(&p, end, '-') || !digits(&p, end, 2, &month) ||
        !literal(&p, end, '-') || !digits(&p, end, 2, &tm.tm_mday)) {
        return false;
    }
    if (month < 1 || month > 12 || tm.tm_mday < 1 || tm.tm_mday > days_in_month(year, month)) {
        return false;
    }
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    if (p != end && (!literal(&p, end, 'T') || !parse_time(&p, end, &tm, &fraction))) {
        return false;
    }
    if (p != end) {
        return false;
    }
    *ms = (int64_t)timegm(&tm) * 1000 + fraction;
    return true;
}

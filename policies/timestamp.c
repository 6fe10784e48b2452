#include "policies/timestamp.h"

#include <stdio.h>
#include <time.h>

size_t weir_timestamp_format(int64_t ms, char out[WEIR_TIMESTAMP_MAX])
{
    struct tm tm;
    time_t seconds = (time_t)(ms / 1000);
    int rest = (int)(ms % 1000);

    if (rest < 0) {
        rest += 1000;
        seconds--;
    }
    if (gmtime_r(&seconds, &tm) == NULL || tm.tm_year < -1900 || tm.tm_year > 8099) {
        out[0] = '\0';
        return 0;
    }
    /* strftime's %Y writes years below 1000 with fewer than four digits. */
    size_t n = (size_t)snprintf(out, WEIR_TIMESTAMP_MAX, "%04d", tm.tm_year + 1900);
    n += strftime(out + n, WEIR_TIMESTAMP_MAX - n, "-%m-%dT%H:%M:%S", &tm);
    return n + (size_t)snprintf(out + n, WEIR_TIMESTAMP_MAX - n, ".%03dZ", rest);
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

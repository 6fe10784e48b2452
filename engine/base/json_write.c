/* Writing JSON values into a buffer. */
#include "engine/base/json.h"
#include "engine/base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void write_escape(weir_buf_t *buf, uint32_t cp)
{
    static const char from[] = "\"\\\b\f\n\r\t";
    static const char to[] = "\"\\bfnrt";
    const char *found = cp < 0x80 && cp != 0 ? strchr(from, (int)cp) : NULL;
    if (found != NULL) {
        char pair[2] = {'\\', to[found - from]};
        weir_buf_append(buf, pair, 2);
    } else {
        weir_buf_printf(buf, "\\u%04x", (unsigned)cp);
    }
}

void weir_json_write_string(weir_buf_t *buf, weir_str_t s)
{
    weir_buf_append_char(buf, '"');
    size_t done = 0; /* everything before is written */
    for (size_t i = 0; i < s.len;) {
        uint8_t c = (uint8_t)s.data[i];
        if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') {
            i++;
            continue;
        }
        uint32_t cp;
        int n = weir_utf8_decode(s.data + i, s.len - i, &cp);
        size_t step = (size_t)(n < 0 ? -n : n);
        bool plain = n > 1 && cp != 0x2028 && cp != 0x2029;
        if (!plain) {
            weir_buf_append(buf, s.data + done, i - done);
            done = i + step;
            if (n < 0) {
                weir_buf_append_z(buf, "\xEF\xBF\xBD");
            } else {
                write_escape(buf, cp);
            }
        }
        i += step;
    }
    if (done < s.len) { /* an empty string's data may be NULL */
        weir_buf_append(buf, s.data + done, s.len - done);
    }
    weir_buf_append_char(buf, '"');
}

void weir_json_write_int64(weir_buf_t *buf, int64_t value)
{
    char text[20]; /* 19 digits and the sign; printf would cost a ledger line a third of its time */
    char *p = text + sizeof(text);
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    do {
        *--p = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0) {
        *--p = '-';
    }
    weir_buf_append(buf, p, (size_t)(text + sizeof(text) - p));
}

/* digits[0..n) x 10^exponent, read back. */
static double read_back(const char *digits, int n, int exponent)
{
    char text[48];
    snprintf(text, sizeof(text), "%.*se%d", n, digits, exponent);
    return strtod(text, NULL);
}

/* The n significant digits nearest to value (positive); returns the power of ten of the last. */
static int round_to_digits(double value, int n, char *digits)
{
    char text[40];
    snprintf(text, sizeof(text), "%.*e", n - 1, value);
    int got = 0;
    const char *p = text;
    for (; *p != 'e'; p++) {
        if (*p >= '0' && *p <= '9' && got < n) {
            digits[got++] = *p;
        }
    }
    return atoi(p + 1) - (n - 1);
}

/* Adds one unit in the last place, unless all digits are nines. */
static bool increment(char *digits, int n)
{
    for (int i = n - 1; i >= 0; i--) {
        if (digits[i] != '9') {
            digits[i]++;
            memset(digits + i + 1, '0', (size_t)(n - 1 - i));
            return true;
        }
    }
    return false;
}

/*
 * The fewest digits that read back as value. The nearest n-digit decimal is tried for n = 1, 2,
 * ...; at a power of two the interval that reads back reaches further up than down, so there the
 * next higher decimal may do where the nearest does not.
 */
static int shortest_digits(double value, char *digits, int *exponent)
{
    int unused;
    bool power_of_two = frexp(value, &unused) == 0.5;
    /* 15 digits hold every short decimal of a normal number; trailing zeros then go. */
    for (int n = value >= 2.3e-308 ? 15 : 1; n < 17; n++) {
        *exponent = round_to_digits(value, n, digits);
        if (read_back(digits, n, *exponent) == value) {
            return n;
        }
        if (power_of_two && increment(digits, n) && read_back(digits, n, *exponent) == value) {
            return n;
        }
    }
    *exponent = round_to_digits(value, 17, digits);
    return 17;
}

void weir_json_write_double(weir_buf_t *buf, double value)
{
    if (!isfinite(value)) {
        weir_buf_append_z(buf, "null");
        return;
    }
    if (signbit(value)) {
        weir_buf_append_char(buf, '-');
        value = -value;
    }
    if (value == 0) {
        weir_buf_append_char(buf, '0');
        return;
    }
    char digits[24];
    int exponent;
    int n = shortest_digits(value, digits, &exponent);
    while (n > 1 && digits[n - 1] == '0') {
        n--;
        exponent++;
    }
    int point = n + exponent; /* digits in front of the decimal point */
    if (exponent >= 0 && point <= 21) {
        weir_buf_append(buf, digits, (size_t)n);
        weir_buf_append(buf, "000000000000000000000", (size_t)exponent);
    } else if (point > 0 && point <= 21) {
        weir_buf_printf(buf, "%.*s.%.*s", point, digits, n - point, digits + point);
    } else if (point > -6 && point <= 0) {
        weir_buf_append_z(buf, "0.");
        weir_buf_append(buf, "000000", (size_t)-point);
        weir_buf_append(buf, digits, (size_t)n);
    } else if (n == 1) {
        weir_buf_printf(buf, "%ce%d", digits[0], point - 1);
    } else {
        weir_buf_printf(buf, "%c.%.*se%d", digits[0], n - 1, digits + 1, point - 1);
    }
}

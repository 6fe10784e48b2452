/* Check digits and borders; each function's header names the standard. */
#include "guardrails/pii/checks.h"

bool weir_guard_luhn(const char *digits, size_t len)
{
    unsigned sum = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned d = (unsigned)(digits[len - 1 - i] - '0');
        if (i % 2 == 1) {
            d = d * 2 > 9 ? d * 2 - 9 : d * 2;
        }
        sum += d;
    }
    return sum % 10 == 0;
}

bool weir_guard_same_digits(const char *digits, size_t len)
{
    for (size_t i = 1; i < len; i++) {
        if (digits[i] != digits[0]) {
            return false;
        }
    }
    return true;
}

unsigned weir_guard_weighted(const char *digits, const int8_t *weights, size_t len)
{
    unsigned sum = 0;
    for (size_t i = 0; i < len; i++) {
        sum += (unsigned)(digits[i] - '0') * (unsigned)weights[i];
    }
    return sum;
}

uint32_t weir_guard_mod(const char *digits, size_t len, uint32_t m)
{
    uint32_t r = 0;
    for (size_t i = 0; i < len; i++) {
        r = (r * 10 + (uint32_t)(digits[i] - '0')) % m;
    }
    return r;
}

uint32_t weir_guard_mod97(const char *text, size_t len)
{
    uint32_t r = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c >= '0' && c <= '9') {
            r = (r * 10 + (uint32_t)(c - '0')) % 97;
        } else {
            r = (r * 100 + (uint32_t)((c & 0x5f) - 'A' + 10)) % 97;
        }
    }
    return r;
}

bool weir_guard_mod11_10(const char *digits, size_t len)
{
    unsigned p = 10;
    for (size_t i = 0; i + 1 < len; i++) {
        unsigned s = (p + (unsigned)(digits[i] - '0')) % 10;
        p = (s == 0 ? 10 : s) * 2 % 11;
    }
    return (p + (unsigned)(digits[len - 1] - '0')) % 10 == 1;
}

bool weir_guard_verhoeff(const char *digits, size_t len)
{
    /* Multiplication in the dihedral group D5: rotations 0-4, reflections 5-9. */
    static const uint8_t permuted[8][10] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 5, 7, 6, 2, 8, 3, 0, 9, 4},
        {5, 8, 0, 3, 7, 9, 6, 1, 4, 2}, {8, 9, 1, 6, 0, 4, 3, 5, 2, 7},
        {9, 4, 5, 3, 1, 2, 6, 8, 7, 0}, {4, 2, 8, 6, 5, 7, 3, 9, 0, 1},
        {2, 7, 9, 3, 8, 0, 6, 4, 1, 5}, {7, 0, 4, 6, 9, 1, 3, 2, 5, 8}};
    unsigned c = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned d = permuted[i % 8][digits[len - 1 - i] - '0'];
        if (c < 5) {
            c = d < 5 ? (c + d) % 5 : (c + d - 5) % 5 + 5;
        } else {
            c = d < 5 ? (c - 5 + 5 - d) % 5 + 5 : (c - 5 + 5 - (d - 5)) % 5;
        }
    }
    return c == 0;
}

bool weir_guard_is_date(unsigned year, unsigned month, unsigned day)
{
    static const uint8_t days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (month < 1 || month > 12 || day < 1 || day > days[month - 1]) {
        return false;
    }
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month != 2 || day < 29 || leap;
}

bool weir_guard_free_left(const weir_guard_scan_t *scan, size_t start)
{
    if (start == 0) {
        return true;
    }
    char c = scan->text[start - 1];
    if (weir_is(c, WEIR_C_NO_LEFT)) {
        return false;
    }
    return !weir_is(c, WEIR_C_JOIN_LEFT) || start < 2 ||
           !weir_is(scan->text[start - 2], WEIR_C_DIGIT);
}

bool weir_guard_free_right(const weir_guard_scan_t *scan, size_t end)
{
    if (end >= scan->len) {
        return true;
    }
    char c = scan->text[end];
    if (weir_is(c, WEIR_C_NO_RIGHT)) {
        return false;
    }
    return !weir_is(c, WEIR_C_JOIN_RIGHT) || end + 1 >= scan->len ||
           !weir_is(scan->text[end + 1], WEIR_C_DIGIT);
}

static size_t digits_before(const weir_guard_scan_t *scan, size_t at)
{
    size_t n = 0;
    while (n < at && n < 8 && weir_is(scan->text[at - 1 - n], WEIR_C_DIGIT)) {
        n++;
    }
    return n;
}

static size_t digits_behind(const weir_guard_scan_t *scan, size_t at)
{
    size_t n = 0;
    while (at + n < scan->len && n < 8 && weir_is(scan->text[at + n], WEIR_C_DIGIT)) {
        n++;
    }
    return n;
}

bool weir_guard_column_left(const weir_guard_scan_t *scan, size_t start)
{
    if (weir_guard_free_left(scan, start)) {
        return true;
    }
    char c = scan->text[start - 1];
    if (start < 2 || !weir_one_of(c, ",/") || !weir_is(scan->text[start - 2], WEIR_C_DIGIT)) {
        return false;
    }
    /* "1,299 000", "0,4111": thousands and fractions; "12/2027/4111" and paths: no columns. */
    size_t n = digits_before(scan, start - 1);
    size_t own = digits_behind(scan, start);
    bool amount = own == 3 && n <= 3 &&
                  (start + 3 >= scan->len || !weir_one_of(scan->text[start + 3], "-./"));
    bool fraction = n == 1 && scan->text[start - 2] == '0';
    return c == ',' ? !amount && !fraction : n >= 4;
}

bool weir_guard_column_right(const weir_guard_scan_t *scan, size_t end, bool cents)
{
    if (weir_guard_free_right(scan, end)) {
        return true;
    }
    char c = scan->text[end];
    if (!weir_one_of(c, ",/:")) {
        return false;
    }
    size_t n = digits_behind(scan, end + 1);
    char next = end + 1 + n < scan->len ? scan->text[end + 1 + n] : ' ';
    /* "1234567,50": cents. */
    return !cents || c != ',' || n > 2 || weir_one_of(next, ",/:-|;");
}

/*
 * IP addresses: dotted quads (RFC 1123 section 2.1, no leading zeros as RFC 6943 section 3.1.1
 * warns of them), IPv6 text (RFC 4291 section 2.2, RFC 5952). MAC addresses: IEEE 802-2014 section
 * 8 (six pairs of hexadecimal digits with hyphens or, by custom, colons; or three groups of four
 * with dots).
 */
#include "guardrails/matcher.h"

/* Reads a dotted quad at text[at..end): returns the offset behind it, or at. */
static size_t quad_end(const weir_guard_scan_t *scan, size_t at)
{
    size_t i = at;
    for (int part = 0; part < 4; part++) {
        unsigned value = 0;
        size_t digits = 0;
        for (; i < scan->len && digits < 4 && weir_is(scan->text[i], WEIR_C_DIGIT); i++) {
            value = value * 10 + (unsigned)(scan->text[i] - '0');
            digits++;
        }
        if (digits == 0 || digits > 3 || value > 255 ||
            (digits > 1 && scan->text[i - digits] == '0')) {
            return at;
        }
        if (part < 3 && (i >= scan->len || scan->text[i++] != '.')) {
            return at;
        }
    }
    return i;
}

/* Does a dotted quad end at end? "10.0.0.1-10.0.0.255" is a range. */
static bool quad_before(const weir_guard_scan_t *scan, size_t end)
{
    size_t start = end;
    while (start > 0 && end - start < 16 &&
           (weir_is(scan->text[start - 1], WEIR_C_DIGIT) || scan->text[start - 1] == '.')) {
        start--;
    }
    return quad_end(scan, start) == end;
}

/*
 * "nginx/1.25.3.1", "7.5.1.2": behind a product's name, or small numbers throughout, which one
 * address in 4000 has; the resolvers that everybody knows aside.
 */
static bool like_version(const weir_guard_scan_t *scan, size_t start, size_t end)
{
    static const char *const known[] = {"1.1.1.1", "8.8.8.8", "9.9.9.9", "8.8.4.4", "1.0.0.1"};
    const char *t = scan->text + start;
    size_t n = end - start;
    if (start > 1 && t[-1] == '/' && weir_is(t[-2], WEIR_C_ALPHA)) {
        return true;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (n == 7 && memcmp(t, known[i], 7) == 0) {
            return false;
        }
    }
    size_t run = 0;
    for (size_t i = 0; i < n; i++) {
        run = t[i] == '.' ? 0 : run + 1;
        if (run > 2) {
            return false;
        }
    }
    return t[1] == '.';
}

void weir_guard_find_ipv4(weir_guard_scan_t *scan, size_t start)
{
    size_t end = quad_end(scan, start);
    if (end == start) {
        return;
    }
    if (start > 0 &&
        (weir_one_of(scan->text[start - 1], "._") ||
         (scan->text[start - 1] == '-' && start > 1 &&
          weir_is(scan->text[start - 2], WEIR_C_DIGIT) && !quad_before(scan, start - 1)))) {
        return;
    }
    if (end < scan->len && (weir_is(scan->text[end], WEIR_C_ALNUM) || scan->text[end] == '_' ||
                            (scan->text[end] == '.' && end + 1 < scan->len &&
                             weir_is(scan->text[end + 1], WEIR_C_ALNUM)))) {
        return;
    }
    float score = 0.8f;
    if ((weir_guard_near(scan, start, end, WEIR_CONTEXT_VERSION) ||
         like_version(scan, start, end)) &&
        !weir_guard_near(scan, start, end, WEIR_CONTEXT_IP)) {
        score = 0.3f;
    }
    weir_guard_emit(scan, WEIR_RULE_IPV4, start, end, score);
}

/* Checks text[at..end) as IPv6: eight groups, or fewer around one "::", or with a quad behind. */
static bool is_ipv6(const weir_guard_scan_t *scan, size_t at, size_t end)
{
    unsigned groups = 0;
    bool gap = false;
    bool digit = false;
    size_t i = at;
    while (i < end) {
        if (scan->text[i] == ':') {
            if (i + 1 < end && scan->text[i + 1] == ':') {
                if (gap || (i + 2 < end && scan->text[i + 2] == ':')) {
                    return false;
                }
                gap = true;
                i += 2;
                continue;
            }
            if (i == at || i + 1 == end) {
                return false;
            }
            i++;
            continue;
        }
        size_t start = i;
        while (i < end && weir_is(scan->text[i], WEIR_C_HEX)) {
            digit |= weir_is(scan->text[i], WEIR_C_DIGIT);
            i++;
        }
        if (i < end && scan->text[i] == '.') {
            groups += 2;
            if (quad_end(scan, start) != end) {
                return false;
            }
            break;
        }
        if (i == start || i - start > 4) {
            return false;
        }
        groups++;
    }
    return digit && (gap ? groups >= 1 && groups <= 7 : groups == 8);
}

static bool is_mac(const weir_guard_scan_t *scan, size_t at, size_t end, char separator)
{
    if (end - at != 17) {
        return false;
    }
    for (size_t i = 0; i < 17; i++) {
        char c = scan->text[at + i];
        if (i % 3 == 2 ? c != separator : !weir_is(c, WEIR_C_HEX)) {
            return false;
        }
    }
    return true;
}

/* "::1." begins an item, "rows[1::2]" is a slice, "Oct 15 2000:: " a heading, "1:2:3:4:5:6:7:8"
 * counts. */
static bool like_list(const weir_guard_scan_t *scan, size_t start, size_t end)
{
    const char *t = scan->text;
    char next = end < scan->len ? t[end] : ' ';
    if (end - start <= 6 && (next == '.' || t[end - 1] == ':')) {
        bool address = next == '/' || next == ']';
        return next == '.' ? end - start <= 4 : !address;
    }
    bool bracket = end - start <= 8 && (next == ']' || (start > 0 && t[start - 1] == '['));
    if (bracket && !(next == ']' && end + 1 < scan->len && weir_one_of(t[end + 1], ":/")) &&
        !(start > 1 && t[start - 1] == '[' && weir_one_of(t[start - 2], "/@"))) {
        return true;
    }
    size_t run = 0;
    for (size_t i = start; i < end; i++) {
        run = scan->text[i] == ':' ? 0 : run + 1;
        if (run > 2 || weir_is(scan->text[i], WEIR_C_ALPHA)) {
            return false;
        }
    }
    return end - start > 6;
}

/* At a colon: the run of hexadecimal digits, colons and dots around it, if it is an address. */
void weir_guard_find_colon_address(weir_guard_scan_t *scan, size_t at)
{
    size_t limit = at > 48 ? at - 48 : 0;
    size_t start = at;
    while (start > limit &&
           (weir_is(scan->text[start - 1], WEIR_C_HEX) || scan->text[start - 1] == ':')) {
        start--;
    }
    size_t end = at;
    while (end < scan->len && (weir_is(scan->text[end], WEIR_C_HEX) ||
                               (scan->text[end] == ':' || scan->text[end] == '.'))) {
        end++;
    }
    scan->colon_cursor = end;
    while (end > at && (scan->text[end - 1] == '.' ||
                        (scan->text[end - 1] == ':' && end > 1 && scan->text[end - 2] != ':'))) {
        end--;
    }
    /* "address:fe80::1": letters of a word in front that happen to be hexadecimal. */
    bool word =
        start > 0 && (weir_is(scan->text[start - 1], WEIR_C_ALNUM) || scan->text[start - 1] == '_');
    if (word) {
        while (start < at && scan->text[start] != ':') {
            start++;
        }
        if (start < at || (start + 1 < scan->len && scan->text[start + 1] != ':')) {
            start++;
        } else {
            return;
        }
    } else if (scan->text[start] == ':' && start + 1 < end && scan->text[start + 1] != ':') {
        start++;
    }
    if (end <= start + 2 || end - start > 45 ||
        (end < scan->len && (weir_is(scan->text[end], WEIR_C_ALNUM) || scan->text[end] == '_'))) {
        return;
    }
    if (is_mac(scan, start, end, ':')) {
        weir_guard_emit(scan, WEIR_RULE_MAC, start, end, 0.9f);
    } else if (is_ipv6(scan, start, end)) {
        float score = end - start > 6 ? 0.9f : 0.6f;
        if (like_list(scan, start, end) && !weir_guard_near(scan, start, end, WEIR_CONTEXT_IP)) {
            score = 0.3f;
        }
        weir_guard_emit(scan, WEIR_RULE_IPV6, start, end, score);
    }
}

/* At an alphanumeric group: pairs with hyphens, or fours with dots. */
void weir_guard_find_mac(weir_guard_scan_t *scan, size_t start, size_t end)
{
    size_t whole = end - start == 2 ? 17 : 14;
    if (start > 0 && weir_one_of(scan->text[start - 1], ":-._")) {
        return;
    }
    /* The group need not be the first one: a digit may come late. */
    size_t stop = start + whole;
    if (stop > scan->len || (stop < scan->len && (weir_is(scan->text[stop], WEIR_C_ALNUM) ||
                                                  weir_one_of(scan->text[stop], "-_")))) {
        return;
    }
    if (whole == 14 && stop + 1 < scan->len && scan->text[stop] == '.' &&
        weir_is(scan->text[stop + 1], WEIR_C_ALNUM)) {
        return; /* a fourth group: an IBAN, a serial number */
    }
    if (whole == 17) {
        if (is_mac(scan, start, stop, '-')) {
            weir_guard_emit(scan, WEIR_RULE_MAC, start, stop, 0.85f);
        }
        return;
    }
    bool letter = false;
    for (size_t i = 0; i < 14; i++) {
        char c = scan->text[start + i];
        if (i % 5 == 4 ? c != '.' : !weir_is(c, WEIR_C_HEX)) {
            return;
        }
        letter |= weir_is(c, WEIR_C_ALPHA);
    }
    if (letter) {
        weir_guard_emit(scan, WEIR_RULE_MAC, start, stop, 0.8f);
    }
}

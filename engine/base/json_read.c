/* Looking at scanned values: members, strings and exact numbers. */
#include "engine/base/json.h"
#include "engine/base/json_text.h"
#include "engine/base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* No double needs more significant digits than these to be rounded right, given that a non-zero
 * rest is kept as one more digit (the longest exact midpoint has 767). */
#define MAX_DIGITS 800

weir_json_bytes_t weir_json_bytes(const char *p, const char *end)
{
    return (weir_json_bytes_t){.p = p, .end = end};
}

int32_t weir_json_hex4(const char *p)
{
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit;
        if (c >= '0' && c <= '9') {
            digit = c - '0';
        } else if (c >= 'a' && c <= 'f') {
            digit = c - 'a' + 10;
        } else if (c >= 'A' && c <= 'F') {
            digit = c - 'A' + 10;
        } else {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

/* Decodes the escape at it->p into it->pending. */
static void read_escape(weir_json_bytes_t *it)
{
    char c = it->p[1];
    it->i_pending = 0;
    if (c == 'u') {
        uint32_t cp = (uint32_t)weir_json_hex4(it->p + 2);
        it->p += 6;
        if (cp >= 0xD800 && cp <= 0xDBFF) {
            uint32_t low = (uint32_t)weir_json_hex4(it->p + 2);
            it->p += 6;
            cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
        }
        it->n_pending = (uint8_t)weir_utf8_encode(cp, it->pending);
        return;
    }
    static const char from[] = "bfnrt";
    static const char to[] = "\b\f\n\r\t";
    const char *found = strchr(from, c);
    it->pending[0] = found == NULL ? c : to[found - from];
    it->n_pending = 1;
    it->p += 2;
}

int weir_json_next_byte(weir_json_bytes_t *it)
{
    if (it->i_pending == it->n_pending) {
        if (it->p == it->end) {
            return -1;
        }
        if (*it->p != '\\') {
            return (uint8_t)*it->p++;
        }
        read_escape(it);
    }
    return (uint8_t)it->pending[it->i_pending++];
}

weir_json_type_t weir_json_type(const weir_json_doc_t *doc, uint32_t node)
{
    return (weir_json_type_t)doc->nodes[node].type;
}

weir_str_t weir_json_raw(const weir_json_doc_t *doc, uint32_t node)
{
    const weir_json_node_t *n = &doc->nodes[node];
    return weir_str(doc->text + n->start, n->end - n->start);
}

/* The text between a string's quotes. */
static weir_str_t inner(const weir_json_doc_t *doc, uint32_t node)
{
    const weir_json_node_t *n = &doc->nodes[node];
    return weir_str(doc->text + n->start + 1, n->end - n->start - 2);
}

static bool text_is(const weir_json_doc_t *doc, uint32_t node, const char *z, size_t len)
{
    weir_str_t text = inner(doc, node);
    if (!doc->nodes[node].escaped) {
        return weir_str_eq(text, weir_str(z, len));
    }
    weir_json_bytes_t it = weir_json_bytes(text.data, text.data + text.len);
    for (size_t i = 0; i < len; i++) {
        if (weir_json_next_byte(&it) != (uint8_t)z[i]) {
            return false;
        }
    }
    return weir_json_next_byte(&it) < 0;
}

uint32_t weir_json_get(const weir_json_doc_t *doc, uint32_t object, const char *key)
{
    if (object >= doc->count || doc->nodes[object].type != WEIR_JSON_OBJECT) {
        return WEIR_JSON_NONE;
    }
    size_t len = strlen(key);
    uint32_t at = object + 1;
    for (uint32_t i = 0; i < doc->nodes[object].size; i++) {
        if (text_is(doc, at, key, len)) {
            return at + 1;
        }
        at = doc->nodes[at + 1].next;
    }
    return WEIR_JSON_NONE;
}

uint32_t weir_json_at(const weir_json_doc_t *doc, uint32_t array, uint32_t i)
{
    if (array >= doc->count || doc->nodes[array].type != WEIR_JSON_ARRAY ||
        i >= doc->nodes[array].size) {
        return WEIR_JSON_NONE;
    }
    uint32_t at = array + 1;
    while (i-- > 0) {
        at = doc->nodes[at].next;
    }
    return at;
}

weir_status_t weir_json_string(const weir_json_doc_t *doc, uint32_t node, weir_arena_t *arena,
                               weir_str_t *out)
{
    if (node >= doc->count || doc->nodes[node].type != WEIR_JSON_STRING) {
        return WEIR_ERR_INVALID;
    }
    weir_str_t text = inner(doc, node);
    if (!doc->nodes[node].escaped) {
        *out = text;
        return WEIR_OK;
    }
    /* No escape is shorter than what it stands for. */
    char *copy = weir_arena_alloc(arena, text.len);
    if (copy == NULL) {
        return WEIR_ERR_NOMEM;
    }
    weir_json_bytes_t it = weir_json_bytes(text.data, text.data + text.len);
    size_t n = 0;
    for (int c; (c = weir_json_next_byte(&it)) >= 0;) {
        copy[n++] = (char)c;
    }
    *out = weir_str(copy, n);
    return WEIR_OK;
}

bool weir_json_string_is(const weir_json_doc_t *doc, uint32_t node, const char *z)
{
    return node < doc->count && doc->nodes[node].type == WEIR_JSON_STRING &&
           text_is(doc, node, z, strlen(z));
}

/* A number as 0.d1 d2 d3 ... x 10^exponent with d1 != 0, or n = 0 for zero. */
typedef struct {
    bool negative;
    bool cut; /* non-zero digits behind MAX_DIGITS were dropped */
    int n;
    int64_t exponent;
    char digits[MAX_DIGITS];
} decimal_t;

static void add_digit(decimal_t *d, char c)
{
    if (d->n < MAX_DIGITS) {
        d->digits[d->n++] = c;
    } else if (c != '0') {
        d->cut = true;
    }
}

static void read_decimal(weir_str_t text, decimal_t *d)
{
    const char *p = text.data;
    const char *end = p + text.len;
    d->negative = *p == '-';
    d->cut = false;
    d->n = 0;
    d->exponent = 0;
    p += d->negative;
    bool fraction = false;
    for (; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') {
            fraction = true;
            continue;
        }
        bool leading_zero = d->n == 0 && *p == '0';
        if (!leading_zero) {
            add_digit(d, *p);
        }
        /* The first digit that counts is tenths: whole digits move the point, leading zeros of the
         * fraction move it back. */
        if (!fraction && !leading_zero) {
            d->exponent++;
        } else if (fraction && leading_zero) {
            d->exponent--;
        }
    }
    if (p < end) {
        p++;
        bool minus = *p == '-';
        p += *p == '-' || *p == '+';
        int64_t e = 0;
        for (; p < end; p++) {
            /* Far over what any text of 4 GiB could outweigh. */
            e = e > INT64_C(1000000000000) ? e : e * 10 + (*p - '0');
        }
        d->exponent += minus ? -e : e;
    }
    while (d->n > 0 && !d->cut && d->digits[d->n - 1] == '0') {
        d->n--;
    }
}

bool weir_json_int64(const weir_json_doc_t *doc, uint32_t node, int64_t *out)
{
    if (node >= doc->count || doc->nodes[node].type != WEIR_JSON_NUMBER) {
        return false;
    }
    decimal_t d;
    weir_str_t raw = weir_json_raw(doc, node);
    if (raw.len <= 18 && raw.data[0] != '-' && !doc->nodes[node].escaped) {
        int64_t plain = 0;
        for (size_t i = 0; i < raw.len; i++) {
            plain = plain * 10 + (raw.data[i] - '0');
        }
        *out = plain;
        return true;
    }
    read_decimal(raw, &d);
    if (d.n == 0) {
        *out = 0;
        return true;
    }
    if (d.cut || d.exponent > 19 || d.exponent < d.n) {
        return false;
    }
    uint64_t value = 0;
    for (int i = 0; i < d.exponent; i++) {
        unsigned digit = i < d.n ? (unsigned)(d.digits[i] - '0') : 0;
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return false;
        }
    }
    uint64_t most = (uint64_t)INT64_MAX + (d.negative ? 1 : 0);
    if (value > most) {
        return false;
    }
    *out = d.negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

bool weir_json_double(const weir_json_doc_t *doc, uint32_t node, double *out)
{
    if (node >= doc->count || doc->nodes[node].type != WEIR_JSON_NUMBER) {
        return false;
    }
    decimal_t d;
    read_decimal(weir_json_raw(doc, node), &d);
    double value = 0;
    if (d.n > 0 && d.exponent > 400) {
        return false;
    }
    if (d.n > 0 && d.exponent > -400) {
        /* An integer and an exponent: no decimal point, so the locale does not matter. */
        char text[MAX_DIGITS + 32];
        memcpy(text, d.digits, (size_t)d.n);
        size_t n = (size_t)d.n;
        if (d.cut) {
            text[n++] = '1';
        }
        long long exponent = (long long)(d.exponent - (int64_t)n);
        snprintf(text + n, sizeof(text) - n, "e%lld", exponent);
        value = strtod(text, NULL);
        if (!isfinite(value)) {
            return false;
        }
    }
    *out = d.negative ? -value : value;
    return true;
}

/* Filters on numbers and on any value. */
#include "engine/jinja/filters.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/jinja/unicode.h"

/* The number in s as Python reads it (white space around, underscores between digits), copied
 * to z without them; false when z is too small or an underscore stands elsewhere. */
static bool number_text(weir_ji_t *in, const weir_js_t *s, char *z, size_t size)
{
    weir_jv_t t;
    if (!weir_jstr_strip(in, s, NULL, WEIR_JSTRIP_LEFT | WEIR_JSTRIP_RIGHT, &t)) {
        return false;
    }
    size_t n = 0;
    const weir_js_t *p = t.u.s;
    for (uint32_t i = 0; i < p->len; i++) {
        char c = p->data[i];
        if (c == '_') {
            bool between = i > 0 && i + 1 < p->len && p->data[i - 1] != '_' &&
                           p->data[i + 1] != '_' && p->data[i - 1] != '.' && p->data[i + 1] != '.';
            if (!between) {
                return false;
            }
            continue;
        }
        if (c == '\0' || n + 1 >= size) {
            return false;
        }
        z[n++] = c;
    }
    z[n] = '\0';
    return n > 0;
}

/* float(text) of Python: decimal forms, inf and nan; no hexadecimal. */
static bool parse_float(const char *z, double *out)
{
    for (const char *c = z; *c != '\0'; c++) {
        if (strchr("0123456789+-.eEinfatyINFATY", *c) == NULL) {
            return false;
        }
    }
    char *end;
    *out = strtod(z, &end);
    return end != z && *end == '\0' && strchr(z, '(') == NULL;
}

static bool parse_int(const char *z, int base, int64_t *out, bool *over)
{
    const char *p = z + (*z == '-' || *z == '+');
    int prefix = p[0] == '0' && (p[1] | 0x20) == 'x'   ? 16
                 : p[0] == '0' && (p[1] | 0x20) == 'o' ? 8
                 : p[0] == '0' && (p[1] | 0x20) == 'b' ? 2
                                                       : 0;
    if (base == 0) {
        base = prefix == 0 ? 10 : prefix;
    }
    if (prefix == base) {
        p += 2;
    }
    if (*p == '\0' || *p == '-' || *p == '+') {
        return false;
    }
    for (const char *c = p; *c != '\0'; c++) {
        char low = (char)(*c | 0x20);
        int digit = *c >= '0' && *c <= '9'     ? *c - '0'
                    : low >= 'a' && low <= 'z' ? low - 'a' + 10
                                               : 99;
        if (digit >= base) {
            return false;
        }
    }
    errno = 0;
    long long value = strtoll(p, NULL, base);
    *over = errno != 0;
    *out = *z == '-' ? -value : value;
    return true;
}

static bool int_of_double(weir_ji_t *in, double f, bool trusted, weir_jv_t *out)
{
    if (fabs(f) >= 9.2e18) {
        return weir_ji_fail(in, WEIR_ERR_LIMIT, "an integer beyond 64 bits");
    }
    *out = weir_jv_int((int64_t)f, trusted);
    return true;
}

static bool int_of_string(weir_ji_t *in, const weir_js_t *s, int base, bool *good, weir_jv_t *out)
{
    char z[512];
    int64_t i;
    bool over = false;
    double f;
    *good = number_text(in, s, z, sizeof(z));
    if (!*good) {
        return in->status == WEIR_OK;
    }
    if (parse_int(z, base, &i, &over)) {
        if (over) {
            return weir_ji_fail(in, WEIR_ERR_LIMIT, "an integer beyond 64 bits");
        }
        *out = weir_jv_int(i, weir_js_all_trusted(s));
        return true;
    }
    *good = parse_float(z, &f) && !isnan(f) && !isinf(f);
    return !*good || int_of_double(in, f, weir_js_all_trusted(s), out);
}

WEIR_JFILTER(int)
{
    int64_t base;
    int64_t i;
    weir_jv_t fallback = weir_jgiven(args[0]) ? args[0] : weir_jv_int(0, true);
    bool good = true;
    if (!weir_jarg_int(in, args[1], 10, &base)) {
        return false;
    }
    if (base != 0 && (base < 2 || base > 36)) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "int() base must be >= 2 and <= 36, or 0");
    }
    if (weir_jv_is(v, WEIR_JV_UNDEFINED)) {
        return weir_jv_fail_undefined(in, v);
    }
    if (weir_jv_is(v, WEIR_JV_BIGINT)) {
        *out = v;
        return true;
    }
    if (weir_jv_as_int(v, &i)) {
        *out = weir_jv_int(i, v.trusted);
        return true;
    }
    if (weir_jv_is(v, WEIR_JV_FLOAT)) {
        good = !isnan(v.u.f) && !isinf(v.u.f);
        if (isinf(v.u.f)) {
            return weir_ji_fail(in, WEIR_ERR_INVALID, "cannot convert float infinity to integer");
        }
        if (good) {
            return int_of_double(in, v.u.f, v.trusted, out);
        }
    } else if (weir_jv_is(v, WEIR_JV_STRING)) {
        if (!int_of_string(in, v.u.s, (int)base, &good, out)) {
            return false;
        }
    } else {
        good = false;
    }
    if (!good) {
        *out = fallback;
    }
    return true;
}

WEIR_JFILTER(float)
{
    double f;
    char z[512];
    weir_jv_t fallback = weir_jgiven(args[0]) ? args[0] : weir_jv_float(0, true);
    if (weir_jv_is(v, WEIR_JV_UNDEFINED)) {
        return weir_jv_fail_undefined(in, v);
    }
    if (weir_jv_as_double(v, &f)) {
        *out = weir_jv_float(f, v.trusted);
        return true;
    }
    bool good =
        weir_jv_is(v, WEIR_JV_STRING) && number_text(in, v.u.s, z, sizeof(z)) && parse_float(z, &f);
    *out = good ? weir_jv_float(f, weir_js_all_trusted(v.u.s)) : fallback;
    return in->status == WEIR_OK;
}

WEIR_JFILTER(abs)
{
    int64_t i;
    (void)args;
    if (weir_jv_is(v, WEIR_JV_UNDEFINED)) {
        return weir_jv_fail_undefined(in, v);
    }
    if (weir_jv_is(v, WEIR_JV_FLOAT)) {
        *out = weir_jv_float(fabs(v.u.f), v.trusted);
        return true;
    }
    if (!weir_jv_as_int(v, &i)) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "bad operand type for abs(): '%s'",
                            weir_jv_type_name(v));
    }
    if (i == INT64_MIN) {
        return weir_ji_fail(in, WEIR_ERR_LIMIT, "an integer beyond 64 bits");
    }
    *out = weir_jv_int(i < 0 ? -i : i, v.trusted);
    return true;
}

/* Python's round(f, digits): correct rounding of the decimal expansion, half to even. */
static double round_decimal(double f, int64_t digits)
{
    if (isnan(f) || isinf(f) || digits > 300) {
        return f;
    }
    if (digits < 0) {
        double unit = pow(10, (double)(digits < -310 ? 310 : -digits));
        return digits < -308 ? copysign(0, f) : nearbyint(f / unit) * unit;
    }
    char z[700];
    snprintf(z, sizeof(z), "%.*f", (int)digits, f);
    return strtod(z, NULL);
}

WEIR_JFILTER(round)
{
    int64_t digits;
    int64_t i;
    double f;
    bool common = !weir_jgiven(args[1]) ||
                  (weir_jv_is(args[1], WEIR_JV_STRING) && weir_js_is(args[1].u.s, "common"));
    bool ceil_it =
        !common && weir_jv_is(args[1], WEIR_JV_STRING) && weir_js_is(args[1].u.s, "ceil");
    bool floor_it =
        !common && weir_jv_is(args[1], WEIR_JV_STRING) && weir_js_is(args[1].u.s, "floor");
    if (!common && !ceil_it && !floor_it) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "method must be common, ceil or floor");
    }
    if (!weir_jarg_int(in, args[0], 0, &digits)) {
        return false;
    }
    if (weir_jv_is(v, WEIR_JV_UNDEFINED)) {
        return weir_jv_fail_undefined(in, v);
    }
    if (!weir_jv_as_double(v, &f)) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "type %s doesn't define __round__ method",
                            weir_jv_type_name(v));
    }
    if (common && weir_jv_as_int(v, &i)) {
        if (digits < 0) {
            return weir_ji_fail(in, WEIR_ERR_UNSUPPORTED, "round of an integer to tens");
        }
        *out = weir_jv_int(i, v.trusted);
        return true;
    }
    if (common) {
        *out = weir_jv_float(round_decimal(f, digits), v.trusted);
        return true;
    }
    if (digits < -300 || digits > 300) {
        return weir_ji_fail(in, WEIR_ERR_LIMIT, "round to %lld digits", (long long)digits);
    }
    /* jinja2 multiplies and divides; with a negative precision by a float power. */
    double unit = pow(10, (double)digits);
    f = ceil_it ? ceil(f * unit) / unit : floor(f * unit) / unit;
    *out = weir_jv_float(f, v.trusted);
    return true;
}

WEIR_JFILTER(default)
{
    bool boolean = weir_jgiven(args[1]) && weir_jv_truth(args[1]);
    bool use = weir_jv_is(v, WEIR_JV_UNDEFINED) || (boolean && !weir_jv_truth(v));
    *out = v;
    if (use && !weir_jgiven(args[0])) {
        return weir_jv_stringz(in, "", true, out);
    }
    *out = use ? args[0] : v;
    return true;
}

WEIR_JFILTER(length)
{
    int64_t n;
    (void)args;
    if (!weir_jv_len(in, v, &n)) {
        return false;
    }
    *out = weir_jv_int(n, false);
    return true;
}

/* attr looks at attributes only, never at keys: of the values here, methods and loop fields. */
WEIR_JFILTER(attr)
{
    const weir_js_t *name;
    if (weir_jv_is(v, WEIR_JV_UNDEFINED)) {
        return weir_jv_fail_undefined(in, v);
    }
    if (!weir_jv_to_string(in, args[0], &name)) {
        return false;
    }
    if (weir_jv_is(v, WEIR_JV_DICT)) {
        bool found = false;
        if (!weir_jmethod_get(in, v, name, out, &found)) {
            return false;
        }
        return found || weir_jv_missing(in, v, weir_jv_str(name), out);
    }
    return weir_ji_attr(in, v, name, out);
}

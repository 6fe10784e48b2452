/* "%s" % x and "{}".format(x). */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/utf8.h"
#include "engine/jinja/interp.h"

/* A conversion's layout. */
typedef struct {
    uint32_t fill;
    char align; /* '<', '>', '^', '=' or 0 */
    char sign;  /* '+', ' ' or 0 */
    bool alternate;
    bool comma;
    int width;
    int precision; /* -1: none */
    char type;     /* 0: none */
} spec_t;

static void pad(weir_jb_t *b, uint32_t fill, int64_t n)
{
    char utf8[4];
    size_t len = (size_t)weir_utf8_encode(fill, utf8);
    for (int64_t i = 0; i < n && !b->failed; i++) {
        weir_jb_add(b, utf8, len, false);
    }
}

/* Appends s within the width; `text` says that it aligns left by default. */
static void add_padded(weir_jb_t *b, const weir_js_t *s, const spec_t *spec, bool text)
{
    uint32_t end = s->len;
    uint32_t chars = s->chars;
    if (text && spec->precision >= 0 && (uint32_t)spec->precision < chars) {
        chars = (uint32_t)spec->precision;
        end = weir_js_offset(s, chars);
    }
    int64_t space = (int64_t)spec->width - chars;
    char align = spec->align != 0 ? spec->align : text ? '<' : '>';
    uint32_t sign = align == '=' && s->len > 0 && strchr("+- ", s->data[0]) != NULL;
    weir_jb_sub(b, s, 0, sign);
    int64_t left = space <= 0 || align == '<' ? 0 : align == '^' ? space / 2 : space;
    pad(b, spec->fill, left);
    weir_jb_sub(b, s, sign, end);
    pad(b, spec->fill, space - left);
}

/* Digits with a comma between thousands; text has at most 400 bytes. */
static void add_commas(const char *text, char *out, size_t size)
{
    size_t sign = text[0] == '-' || text[0] == '+' || text[0] == ' ';
    size_t digits = strspn(text + sign, "0123456789");
    size_t n = 0;
    for (size_t i = 0; text[i] != '\0' && n + 2 < size; i++) {
        if (i > sign && i < sign + digits && (sign + digits - i) % 3 == 0) {
            out[n++] = ',';
        }
        out[n++] = text[i];
    }
    out[n] = '\0';
}

static bool format_int(weir_ji_t *in, int64_t value, const spec_t *spec, char *out, size_t size)
{
    uint64_t magnitude = value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value;
    char digits[80];
    const char *prefix = "";
    size_t n = sizeof(digits);
    unsigned base = spec->type == 'x' || spec->type == 'X' ? 16
                    : spec->type == 'o'                    ? 8
                    : spec->type == 'b'                    ? 2
                                                           : 10;
    digits[--n] = '\0';
    do {
        digits[--n] =
            (spec->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[magnitude % base];
        magnitude /= base;
    } while (magnitude > 0);
    if (spec->alternate) {
        prefix = spec->type == 'x'   ? "0x"
                 : spec->type == 'X' ? "0X"
                 : base == 8         ? "0o"
                 : base == 2         ? "0b"
                                     : "";
    }
    char sign[2] = {value < 0 ? '-' : spec->sign, '\0'};
    if (snprintf(out, size, "%s%s%s", sign, prefix, digits + n) < 0) {
        return weir_ji_fail(in, WEIR_ERR_INTERNAL, "formatting failed");
    }
    return true;
}

static bool format_float(weir_ji_t *in, double f, const spec_t *spec, char *out, size_t size)
{
    char plain[400];
    char sign[2] = {signbit(f) && !isnan(f) ? '-' : spec->sign, '\0'};
    double magnitude = fabs(f);
    int precision = spec->precision < 0 ? 6 : spec->precision;
    if (precision > 60) {
        return weir_ji_fail(in, WEIR_ERR_LIMIT, "a precision of %d digits", precision);
    }
    bool percent = spec->type == '%';
    magnitude *= percent ? 100 : 1;
    if (isnan(f) || isinf(f)) {
        snprintf(plain, sizeof(plain), "%s", isnan(f) ? "nan" : "inf");
    } else if (spec->type == 0 && spec->precision < 0) {
        weir_jv_float_repr(magnitude, plain);
    } else if (spec->type == 'e' || spec->type == 'E') {
        snprintf(plain, sizeof(plain), spec->type == 'e' ? "%.*e" : "%.*E", precision, magnitude);
    } else if (spec->type == 'g' || spec->type == 'G' || spec->type == 0) {
        snprintf(plain, sizeof(plain), spec->type == 'G' ? "%.*G" : "%.*g", precision, magnitude);
    } else {
        snprintf(plain, sizeof(plain), "%.*f", precision, magnitude);
    }
    snprintf(out, size, "%s%s%s", sign, plain, percent ? "%" : "");
    return true;
}

/* A number by a conversion of either kind of formatting. */
static bool add_number(weir_jb_t *b, weir_jv_t v, const spec_t *spec)
{
    char text[480];
    char grouped[700];
    int64_t i;
    double f = 0;
    bool as_float = spec->type != 0 && strchr("eEfFgG%", spec->type) != NULL;
    if (!as_float && weir_jv_as_int(v, &i)) {
        if (!format_int(b->in, i, spec, text, sizeof(text))) {
            return false;
        }
    } else if (!weir_jv_as_double(v, &f) || (!as_float && spec->type != 0) ||
               weir_jv_is(v, WEIR_JV_BIGINT)) {
        return weir_ji_fail(b->in, WEIR_ERR_INVALID,
                            "Unknown format code '%c' for object of type '%s'",
                            spec->type == 0 ? 'd' : spec->type, weir_jv_type_name(v));
    } else if (!format_float(b->in, f, spec, text, sizeof(text))) {
        return false;
    }
    if (spec->comma) {
        add_commas(text, grouped, sizeof(grouped));
    }
    weir_jv_t s;
    if (!weir_jv_stringz(b->in, spec->comma ? grouped : text, v.trusted, &s)) {
        return false;
    }
    weir_jv_t copy;
    weir_jb_t c;
    weir_jb_init(&c, b->in); /* text lies on the stack: copy before it is kept */
    weir_jb_str(&c, s.u.s);
    if (!weir_jb_finish(&c, &copy)) {
        return false;
    }
    add_padded(b, copy.u.s, spec, false);
    return !b->failed;
}

/* --- percent ---------------------------------------------------------------------------- */

typedef struct {
    const weir_js_t *format;
    uint32_t at;
    weir_jv_t args;
    uint32_t next; /* of positional arguments */
    bool named;
} percent_t;

/* The value of the next conversion without a name. */
static bool next_value(weir_ji_t *in, percent_t *p, weir_jv_t *out)
{
    bool tuple = weir_jv_is(p->args, WEIR_JV_TUPLE);
    if (tuple ? p->next >= p->args.u.list->n : p->next > 0) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "not enough arguments for format string");
    }
    *out = tuple ? p->args.u.list->items[p->next] : p->args;
    p->next++;
    return true;
}

/* "(name)" at p->at. */
static bool named_value(weir_ji_t *in, percent_t *p, weir_jv_t *out)
{
    const weir_js_t *f = p->format;
    uint32_t start = ++p->at;
    while (p->at < f->len && f->data[p->at] != ')') {
        p->at++;
    }
    if (p->at == f->len) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "incomplete format key");
    }
    weir_jv_t key;
    bool found = false;
    if (!weir_jv_is(p->args, WEIR_JV_DICT)) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "format requires a mapping");
    }
    if (!weir_js_slice(in, f, start, p->at++, &key) ||
        !weir_jdict_get(in, p->args.u.dict, key, out, &found)) {
        return false;
    }
    p->named = true;
    return found || weir_ji_fail(in, WEIR_ERR_INVALID, "no such key in a format string");
}

static bool read_count(weir_ji_t *in, const weir_js_t *f, uint32_t *at, int *out)
{
    *out = 0;
    while (*at < f->len && isdigit((unsigned char)f->data[*at]) != 0) {
        *out = *out * 10 + (f->data[(*at)++] - '0');
        if (*out > 1000000) {
            return weir_ji_fail(in, WEIR_ERR_LIMIT, "a width over 1000000");
        }
    }
    return true;
}

static bool percent_flags(weir_ji_t *in, percent_t *p, spec_t *spec)
{
    const weir_js_t *f = p->format;
    bool zero = false;
    for (; p->at < f->len && f->data[p->at] != '\0' && strchr("-+ #0", f->data[p->at]) != NULL;
         p->at++) {
        char c = f->data[p->at];
        spec->align = c == '-' ? '<' : spec->align;
        spec->sign = c == '+' ? '+' : c == ' ' && spec->sign == 0 ? ' ' : spec->sign;
        spec->alternate |= c == '#';
        zero |= c == '0';
    }
    if (p->at < f->len && f->data[p->at] == '*') {
        return weir_ji_fail(in, WEIR_ERR_UNSUPPORTED, "'*' in a format string is unsupported");
    }
    if (!read_count(in, f, &p->at, &spec->width)) {
        return false;
    }
    if (p->at < f->len && f->data[p->at] == '.') {
        p->at++;
        if (!read_count(in, f, &p->at, &spec->precision)) {
            return false;
        }
    }
    if (zero && spec->align == 0) {
        spec->align = '=';
        spec->fill = '0';
    }
    return true;
}

static bool percent_conversion(weir_jb_t *b, percent_t *p)
{
    weir_ji_t *in = b->in;
    const weir_js_t *f = p->format;
    spec_t spec = {.fill = ' ', .precision = -1};
    weir_jv_t v = {.type = WEIR_JV_UNDEFINED};
    bool named = p->at < f->len && f->data[p->at] == '(';
    if ((named && !named_value(in, p, &v)) || !percent_flags(in, p, &spec)) {
        return false;
    }
    if (p->at == f->len) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "incomplete format");
    }
    char c = f->data[p->at++];
    if (c == '%') {
        weir_jb_add(b, "%", 1, weir_js_trusted_at(f, p->at - 1));
        return !b->failed;
    }
    if (!named && !next_value(in, p, &v)) {
        return false;
    }
    if (c == 's' || c == 'r') {
        const weir_js_t *s;
        weir_jb_t text;
        weir_jb_init(&text, in);
        weir_jv_t printed;
        if (!(c == 's' ? weir_jv_print(&text, v) : weir_jv_repr(&text, v, 0)) ||
            !weir_jb_finish(&text, &printed)) {
            return false;
        }
        s = printed.u.s;
        spec.align = spec.align == '<' ? '<' : '>';
        spec.fill = ' ';
        add_padded(b, s, &spec, true);
        return !b->failed;
    }
    if (strchr("diuxXofFeEgG", c) == NULL) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "unsupported format character '%c'", c);
    }
    double d;
    if (!weir_jv_as_double(v, &d)) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "%%%c format: a real number is required, not %s",
                            c, weir_jv_type_name(v));
    }
    spec.type = c == 'i' || c == 'u' ? 'd' : c;
    if (weir_jv_is(v, WEIR_JV_FLOAT) && spec.type == 'd') {
        if (fabs(d) > 9e18 || isnan(d)) {
            return weir_ji_fail(in, WEIR_ERR_LIMIT, "an integer beyond 64 bits");
        }
        v = weir_jv_int((int64_t)d, v.trusted);
    }
    return add_number(b, v, &spec);
}

bool weir_jformat_percent(weir_ji_t *in, const weir_js_t *format, weir_jv_t args, weir_jv_t *out)
{
    percent_t p = {.format = format, .args = args};
    weir_jb_t b;
    weir_jb_init(&b, in);
    b.markup = format->markup;
    while (p.at < format->len) {
        const char *hit = memchr(format->data + p.at, '%', format->len - p.at);
        uint32_t end = hit == NULL ? format->len : (uint32_t)(hit - format->data);
        weir_jb_sub(&b, format, p.at, end);
        p.at = end;
        if (hit != NULL) {
            p.at++;
            if (!percent_conversion(&b, &p)) {
                return false;
            }
        }
    }
    bool tuple = weir_jv_is(args, WEIR_JV_TUPLE);
    bool unused = tuple ? p.next < args.u.list->n : p.next == 0;
    bool mapping = weir_jv_is(args, WEIR_JV_DICT) || weir_jv_is(args, WEIR_JV_LIST);
    if (unused && !p.named && !mapping) {
        return weir_ji_fail(in, WEIR_ERR_INVALID,
                            "not all arguments converted during string formatting");
    }
    return weir_jb_finish(&b, out);
}

/* --- str.format ------------------------------------------------------------------------- */

/* "[[fill]align][sign][#][0][width][,][.precision][type]" in s[at..end). */
static bool read_spec(weir_ji_t *in, const weir_js_t *s, uint32_t at, uint32_t end, spec_t *spec)
{
    uint32_t cp = 0;
    int n = at < end ? weir_utf8_decode(s->data + at, end - at, &cp) : 0;
    weir_js_t view = {.data = s->data, .len = end};
    if (n > 0 && at + (uint32_t)n < end && strchr("<>^=", s->data[at + (uint32_t)n]) != NULL) {
        spec->fill = cp;
        spec->align = s->data[at + (uint32_t)n];
        at += (uint32_t)n + 1;
    } else if (at < end && s->data[at] != '\0' && strchr("<>^=", s->data[at]) != NULL) {
        spec->align = s->data[at++];
    }
    if (at < end && (s->data[at] == '+' || s->data[at] == ' ' || s->data[at] == '-')) {
        spec->sign = s->data[at] == '-' ? 0 : s->data[at];
        at++;
    }
    if (at < end && s->data[at] == '#') {
        spec->alternate = true;
        at++;
    }
    if (at < end && s->data[at] == '0') {
        spec->fill = spec->align == 0 ? '0' : spec->fill;
        spec->align = spec->align == 0 ? '=' : spec->align;
        at++;
    }
    if (!read_count(in, &view, &at, &spec->width)) {
        return false;
    }
    if (at < end && s->data[at] == ',') {
        spec->comma = true;
        at++;
    }
    if (at < end && s->data[at] == '.') {
        at++;
        if (!read_count(in, &view, &at, &spec->precision)) {
            return false;
        }
    }
    if (at < end) {
        spec->type = s->data[at++];
    }
    return at == end ||
           weir_ji_fail(in, WEIR_ERR_INVALID, "Invalid format specifier in str.format");
}

static bool add_formatted(weir_jb_t *b, weir_jv_t v, char conversion, const spec_t *spec,
                          bool has_spec)
{
    weir_jb_t text;
    weir_jv_t printed;
    double d;
    bool number = weir_jv_as_double(v, &d) && conversion == 0;
    if (has_spec && number && !(weir_jv_is(v, WEIR_JV_BOOL) && spec->type == 0)) {
        return add_number(b, v, spec);
    }
    if (has_spec && conversion == 0 && !number && !weir_jv_is(v, WEIR_JV_STRING)) {
        return weir_ji_fail(b->in, WEIR_ERR_INVALID,
                            "unsupported format string passed to %s.__format__",
                            weir_jv_type_name(v));
    }
    weir_jb_init(&text, b->in);
    if (!(conversion == 'r' ? weir_jv_repr(&text, v, 0) : weir_jv_print(&text, v)) ||
        !weir_jb_finish(&text, &printed)) {
        return false;
    }
    if (has_spec && (spec->align == '=' || (spec->type != 0 && spec->type != 's'))) {
        return weir_ji_fail(b->in, WEIR_ERR_INVALID,
                            "Unknown format code '%c' for object of type 'str'",
                            spec->type == 0 ? '=' : spec->type);
    }
    add_padded(b, printed.u.s, spec, true);
    return !b->failed;
}

/* The argument that a field names: "", "0", "name", then ".attr" and "[key]". */
static bool field_value(weir_ji_t *in, const weir_js_t *s, uint32_t from, uint32_t to,
                        const weir_jcall_t *call, int64_t *next, weir_jv_t *out)
{
    uint32_t at = from;
    while (at < to && s->data[at] != '.' && s->data[at] != '[') {
        at++;
    }
    weir_jv_t name;
    if (!weir_js_slice(in, s, from, at, &name)) {
        return false;
    }
    bool digits = at > from && at - from < 6;
    int64_t index = 0;
    for (uint32_t i = from; i < at; i++) {
        digits = digits && isdigit((unsigned char)s->data[i]) != 0;
        index = index * 10 + (digits ? s->data[i] - '0' : 0);
    }
    if (at == from || digits) {
        index = digits ? index : (*next)++;
        if (index >= call->n_pos) {
            return weir_ji_fail(in, WEIR_ERR_INVALID,
                                "Replacement index %lld out of range for positional args tuple",
                                (long long)index);
        }
        *out = call->pos[index];
    } else {
        uint32_t k = 0;
        while (k < call->n_kw && !weir_js_equal(call->kw_names[k], name.u.s)) {
            k++;
        }
        if (k == call->n_kw) {
            return weir_ji_fail(in, WEIR_ERR_INVALID, "'%.*s' is no argument of str.format",
                                (int)name.u.s->len, name.u.s->data);
        }
        *out = call->kw[k];
    }
    while (at < to) {
        bool item = s->data[at] == '[';
        uint32_t start = ++at;
        while (at < to && (item ? s->data[at] != ']' : s->data[at] != '.' && s->data[at] != '[')) {
            at++;
        }
        if (!weir_js_slice(in, s, start, at, &name)) {
            return false;
        }
        at += item && at < to;
        char *end;
        char z[24] = "";
        snprintf(z, sizeof(z), "%.*s", (int)(name.u.s->len < 20 ? name.u.s->len : 20),
                 name.u.s->data);
        long number = strtol(z, &end, 10);
        if (item && end != z && *end == '\0' && isdigit((unsigned char)z[0]) != 0) {
            name = weir_jv_int(number, false);
        }
        if (!(item ? weir_ji_item(in, *out, name, out) : weir_ji_attr(in, *out, name.u.s, out))) {
            return false;
        }
    }
    return true;
}

/* One "{...}" whose inside is s[from..to). */
static bool format_field(weir_jb_t *b, const weir_js_t *s, uint32_t from, uint32_t to,
                         const weir_jcall_t *call, int64_t *next)
{
    spec_t spec = {.fill = ' ', .precision = -1};
    uint32_t name_end = from;
    char conversion = 0;
    weir_jv_t v;
    while (name_end < to && s->data[name_end] != ':' && s->data[name_end] != '!') {
        name_end++;
    }
    uint32_t at = name_end;
    if (at < to && s->data[at] == '!') {
        if (at + 1 >= to || strchr("rs", s->data[at + 1]) == NULL) {
            return weir_ji_fail(b->in, WEIR_ERR_INVALID, "Unknown conversion specifier");
        }
        conversion = s->data[at + 1];
        at += 2;
    }
    bool has_spec = at + 1 < to;
    if (at < to && (s->data[at] != ':' || !read_spec(b->in, s, at + 1, to, &spec))) {
        return weir_ji_fail(b->in, WEIR_ERR_INVALID, "expected ':' in a str.format field");
    }
    return field_value(b->in, s, from, name_end, call, next, &v) &&
           add_formatted(b, v, conversion, &spec, has_spec);
}

bool weir_jformat_method(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, weir_jv_t *out)
{
    const weir_js_t *s = self.u.s;
    int64_t next = 0;
    weir_jb_t b;
    weir_jb_init(&b, in);
    for (uint32_t i = 0; i < s->len;) {
        char c = s->data[i];
        if ((c == '{' || c == '}') && i + 1 < s->len && s->data[i + 1] == c) {
            weir_jb_sub(&b, s, i, i + 1);
            i += 2;
            continue;
        }
        if (c == '}') {
            return weir_ji_fail(in, WEIR_ERR_INVALID, "Single '}' encountered in format string");
        }
        if (c != '{') {
            uint32_t end = i;
            while (end < s->len && s->data[end] != '{' && s->data[end] != '}') {
                end++;
            }
            weir_jb_sub(&b, s, i, end);
            i = end;
            continue;
        }
        uint32_t end = i + 1;
        while (end < s->len && s->data[end] != '}' && s->data[end] != '{') {
            end++;
        }
        if (end == s->len) {
            return weir_ji_fail(in, WEIR_ERR_INVALID, "expected '}' before end of string");
        }
        if (s->data[end] == '{') {
            return weir_ji_fail(in, WEIR_ERR_UNSUPPORTED,
                                "nested fields in str.format are unsupported");
        }
        if (!format_field(&b, s, i + 1, end, call, &next)) {
            return false;
        }
        i = end + 1;
    }
    return weir_jb_finish(&b, out);
}

/* str(), repr() and json.dumps() as Python writes them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/utf8.h"
#include "engine/jinja/interp.h"
#include "engine/jinja/unicode.h"

#define MAX_NESTING 200u

int weir_jv_float_repr(double f, char out[40])
{
    if (isnan(f) || isinf(f)) {
        return snprintf(out, 40, "%s", isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
    }
    char digits[40];
    int precision = 0;
    do {
        snprintf(digits, sizeof(digits), "%.*e", precision, f);
    } while (strtod(digits, NULL) != f && ++precision < 17);
    char *e = strchr(digits, 'e');
    int exponent = (int)strtol(e + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16) {
        *e = '\0';
        return snprintf(out, 40, "%se%c%02d", digits, exponent < 0 ? '-' : '+', abs(exponent));
    }
    int decimals = precision - exponent;
    return snprintf(out, 40, "%.*f", decimals < 1 ? 1 : decimals, f);
}

static void repr_string(weir_jb_t *b, const weir_js_t *s)
{
    bool single = memchr(s->data, '\'', s->len) != NULL;
    bool twice = memchr(s->data, '"', s->len) != NULL;
    char quote = single && !twice ? '"' : '\'';
    weir_jb_add(b, &quote, 1, false);
    for (uint32_t i = 0; i < s->len;) {
        uint32_t cp;
        int n = weir_utf8_decode(s->data + i, s->len - i, &cp);
        uint32_t step = (uint32_t)(n < 0 ? -n : n);
        char text[16];
        text[0] = '\0';
        if (cp == (uint8_t)quote || cp == '\\') {
            snprintf(text, sizeof(text), "\\%c", (char)cp);
        } else if (cp == '\n' || cp == '\r' || cp == '\t') {
            snprintf(text, sizeof(text), "\\%c", cp == '\n' ? 'n' : cp == '\r' ? 'r' : 't');
        } else if (!weir_ju_is_printable(cp)) {
            snprintf(text, sizeof(text),
                     cp < 0x100     ? "\\x%02x"
                     : cp < 0x10000 ? "\\u%04x"
                                    : "\\U%08x",
                     cp);
        }
        if (text[0] == '\0') {
            weir_jb_sub(b, s, i, i + step);
        } else {
            weir_jb_addz(b, text, false);
        }
        i += step;
    }
    weir_jb_add(b, &quote, 1, false);
}

static bool repr_items(weir_jb_t *b, const weir_jlist_t *list, uint32_t depth)
{
    for (uint32_t i = 0; i < list->n; i++) {
        if (i > 0) {
            weir_jb_addz(b, ", ", false);
        }
        if (!weir_jv_repr(b, list->items[i], depth + 1)) {
            return false;
        }
    }
    return true;
}

static bool repr_dict(weir_jb_t *b, const weir_jdict_t *d, uint32_t depth)
{
    weir_jb_addz(b, "{", false);
    for (uint32_t i = 0; i < d->n; i++) {
        if (i > 0) {
            weir_jb_addz(b, ", ", false);
        }
        if (!weir_jv_repr(b, d->entries[i].key, depth + 1)) {
            return false;
        }
        weir_jb_addz(b, ": ", false);
        if (!weir_jv_repr(b, d->entries[i].value, depth + 1)) {
            return false;
        }
    }
    weir_jb_addz(b, "}", false);
    return true;
}

static bool repr_view(weir_jb_t *b, weir_jv_t v, uint32_t depth)
{
    const weir_jlist_t *list;
    weir_jb_addz(b, weir_jv_type_name(v), false);
    weir_jb_addz(b, "([", false);
    if (!weir_jv_iterate(b->in, v, &list) || !repr_items(b, list, depth)) {
        return false;
    }
    weir_jb_addz(b, "])", false);
    return true;
}

static void repr_range(weir_jb_t *b, const weir_jrange_t *r)
{
    char text[96];
    int n = r->step == 1 ? snprintf(text, sizeof(text), "range(%lld, %lld)", (long long)r->start,
                                    (long long)r->stop)
                         : snprintf(text, sizeof(text), "range(%lld, %lld, %lld)",
                                    (long long)r->start, (long long)r->stop, (long long)r->step);
    weir_jb_add(b, text, (size_t)n, false);
}

static void print_number(weir_jb_t *b, weir_jv_t v)
{
    char text[48];
    int n;
    if (weir_jv_is(v, WEIR_JV_INT)) {
        n = snprintf(text, sizeof(text), "%lld", (long long)v.u.i);
    } else {
        n = weir_jv_float_repr(v.u.f, text);
    }
    weir_jb_add(b, text, (size_t)n, v.trusted);
}

static bool repr_sequence(weir_jb_t *b, weir_jv_t v, uint32_t depth)
{
    bool is_list = weir_jv_is(v, WEIR_JV_LIST);
    weir_jb_addz(b, is_list ? "[" : "(", false);
    if (!repr_items(b, v.u.list, depth)) {
        return false;
    }
    weir_jb_addz(b, is_list ? "]" : v.u.list->n == 1 ? ",)" : ")", false);
    return true;
}

bool weir_jv_repr(weir_jb_t *b, weir_jv_t v, uint32_t depth)
{
    if (depth > MAX_NESTING) {
        return weir_ji_fail(b->in, WEIR_ERR_LIMIT, "values nested more than %u deep", MAX_NESTING);
    }
    if (b->failed || !weir_ji_work(b->in, 1)) {
        return false;
    }
    switch ((weir_jtype_t)v.type) {
    case WEIR_JV_UNDEFINED:
        weir_jb_addz(b, "Undefined", false);
        break;
    case WEIR_JV_NONE:
        weir_jb_addz(b, "None", v.trusted);
        break;
    case WEIR_JV_BOOL:
        weir_jb_addz(b, v.u.b ? "True" : "False", v.trusted);
        break;
    case WEIR_JV_INT:
    case WEIR_JV_FLOAT:
        print_number(b, v);
        break;
    case WEIR_JV_BIGINT:
        weir_jb_str(b, v.u.s);
        break;
    case WEIR_JV_STRING:
        if (v.u.s->markup) {
            weir_jb_addz(b, "Markup(", false);
        }
        repr_string(b, v.u.s);
        if (v.u.s->markup) {
            weir_jb_addz(b, ")", false);
        }
        break;
    case WEIR_JV_LIST:
    case WEIR_JV_TUPLE:
        return repr_sequence(b, v, depth);
    case WEIR_JV_DICT:
        return repr_dict(b, v.u.dict, depth);
    case WEIR_JV_VIEW:
        return repr_view(b, v, depth);
    case WEIR_JV_RANGE:
        repr_range(b, v.u.range);
        break;
    case WEIR_JV_NAMESPACE:
        weir_jb_addz(b, "<Namespace ", false);
        if (!repr_dict(b, v.u.dict, depth)) {
            return false;
        }
        weir_jb_addz(b, ">", false);
        break;
    default:
        weir_jb_addz(b, "<", false);
        weir_jb_addz(b, weir_jv_type_name(v), false);
        weir_jb_addz(b, " object>", false);
        break;
    }
    return !b->failed;
}

bool weir_jv_print(weir_jb_t *b, weir_jv_t v)
{
    if (weir_jv_is(v, WEIR_JV_STRING)) {
        weir_jb_str(b, v.u.s);
        return !b->failed;
    }
    return weir_jv_is(v, WEIR_JV_UNDEFINED) || weir_jv_repr(b, v, 0);
}

bool weir_jv_to_string(weir_ji_t *in, weir_jv_t v, const weir_js_t **out)
{
    if (!weir_jv_is(v, WEIR_JV_STRING)) {
        weir_jb_t b;
        weir_jb_init(&b, in);
        if (!weir_jv_print(&b, v) || !weir_jb_finish(&b, &v)) {
            return false;
        }
    }
    *out = v.u.s;
    return true;
}

/* --- JSON ------------------------------------------------------------------------------- */

static void json_escape(char text[16], uint32_t cp, bool ascii)
{
    static const char from[] = "\"\\\n\r\t\f\b";
    static const char to[] = "\"\\nrtfb";
    const char *simple = cp == 0 || cp > 0x7F ? NULL : strchr(from, (char)cp);
    if (simple != NULL) {
        snprintf(text, 16, "\\%c", to[simple - from]);
    } else if (cp < 0x20 || (ascii && cp > 0x7E && cp < 0x10000)) {
        snprintf(text, 16, "\\u%04x", cp);
    } else if (ascii && cp >= 0x10000) {
        snprintf(text, 16, "\\u%04x\\u%04x", 0xD800 + ((cp - 0x10000) >> 10),
                 0xDC00 + ((cp - 0x10000) & 0x3FF));
    } else {
        text[0] = '\0';
    }
}

static void json_string(weir_jb_t *b, const weir_js_t *s, bool ascii)
{
    weir_jb_add(b, "\"", 1, false);
    uint32_t plain = 0;
    for (uint32_t i = 0; i < s->len;) {
        uint32_t cp;
        int n = weir_utf8_decode(s->data + i, s->len - i, &cp);
        uint32_t step = (uint32_t)(n < 0 ? -n : n);
        char text[16];
        json_escape(text, cp, ascii);
        if (text[0] != '\0') {
            weir_jb_sub(b, s, plain, i);
            weir_jb_addz(b, text, false);
            plain = i + step;
        }
        i += step;
    }
    weir_jb_sub(b, s, plain, s->len);
    weir_jb_add(b, "\"", 1, false);
}

static void json_newline(weir_jb_t *b, const weir_jjson_t *how, uint32_t level)
{
    if (how->indent != NULL) {
        weir_jb_add(b, "\n", 1, false);
        for (uint32_t i = 0; i < level; i++) {
            weir_jb_str(b, how->indent);
        }
    }
}

static bool json_list(weir_jb_t *b, const weir_jlist_t *list, const weir_jjson_t *how,
                      uint32_t depth)
{
    weir_jb_add(b, "[", 1, false);
    for (uint32_t i = 0; i < list->n; i++) {
        if (i > 0) {
            weir_jb_str(b, how->item_sep);
        }
        json_newline(b, how, depth + 1);
        if (!weir_jv_to_json(b, list->items[i], how, depth + 1)) {
            return false;
        }
    }
    if (list->n > 0) {
        json_newline(b, how, depth);
    }
    weir_jb_add(b, "]", 1, false);
    return !b->failed;
}

/* Keys become strings as json.dumps makes them. */
static bool json_key(weir_jb_t *b, weir_jv_t key, const weir_jjson_t *how)
{
    if (weir_jv_is(key, WEIR_JV_STRING)) {
        json_string(b, key.u.s, how->ensure_ascii);
        return true;
    }
    bool scalar = key.type == WEIR_JV_NONE || key.type == WEIR_JV_BOOL || key.type == WEIR_JV_INT ||
                  key.type == WEIR_JV_BIGINT || key.type == WEIR_JV_FLOAT;
    if (!scalar) {
        return weir_ji_fail(b->in, WEIR_ERR_INVALID,
                            "keys must be str, int, float, bool or None, not %s",
                            weir_jv_type_name(key));
    }
    weir_jb_add(b, "\"", 1, false);
    bool good = weir_jv_to_json(b, key, how, 0);
    weir_jb_add(b, "\"", 1, false);
    return good;
}

static bool json_dict(weir_jb_t *b, weir_jv_t v, const weir_jjson_t *how, uint32_t depth)
{
    const weir_jdict_t *d = v.u.dict;
    weir_jlist_t *order = weir_jlist_new(b->in, d->n);
    weir_jlist_t *keys = weir_jlist_new(b->in, d->n);
    if (order == NULL || keys == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < d->n; i++) {
        if (!weir_jlist_push(b->in, order, weir_jv_int(i, false)) ||
            !weir_jlist_push(b->in, keys, d->entries[i].key)) {
            return false;
        }
    }
    if (how->sort_keys && !weir_jsort(b->in, order, keys->items, false)) {
        return false;
    }
    weir_jb_add(b, "{", 1, false);
    for (uint32_t i = 0; i < d->n; i++) {
        const weir_jentry_t *entry = &d->entries[order->items[i].u.i];
        if (i > 0) {
            weir_jb_str(b, how->item_sep);
        }
        json_newline(b, how, depth + 1);
        if (!json_key(b, entry->key, how)) {
            return false;
        }
        weir_jb_str(b, how->key_sep);
        if (!weir_jv_to_json(b, entry->value, how, depth + 1)) {
            return false;
        }
    }
    if (d->n > 0) {
        json_newline(b, how, depth);
    }
    weir_jb_add(b, "}", 1, false);
    return !b->failed;
}

bool weir_jv_to_json(weir_jb_t *b, weir_jv_t v, const weir_jjson_t *how, uint32_t depth)
{
    if (depth > MAX_NESTING) {
        return weir_ji_fail(b->in, WEIR_ERR_LIMIT, "values nested more than %u deep", MAX_NESTING);
    }
    if (b->failed || !weir_ji_work(b->in, 1)) {
        return false;
    }
    switch ((weir_jtype_t)v.type) {
    case WEIR_JV_NONE:
        weir_jb_addz(b, "null", v.trusted);
        return true;
    case WEIR_JV_BOOL:
        weir_jb_addz(b, v.u.b ? "true" : "false", v.trusted);
        return true;
    case WEIR_JV_FLOAT:
        if (isnan(v.u.f) || isinf(v.u.f)) {
            weir_jb_addz(b, isnan(v.u.f) ? "NaN" : v.u.f < 0 ? "-Infinity" : "Infinity", v.trusted);
            return true;
        }
        print_number(b, v);
        return true;
    case WEIR_JV_INT:
        print_number(b, v);
        return true;
    case WEIR_JV_BIGINT:
        weir_jb_str(b, v.u.s);
        return true;
    case WEIR_JV_STRING:
        json_string(b, v.u.s, how->ensure_ascii);
        return true;
    case WEIR_JV_LIST:
    case WEIR_JV_TUPLE:
        return json_list(b, v.u.list, how, depth);
    case WEIR_JV_DICT:
        return json_dict(b, v, how, depth);
    default:
        return weir_ji_fail(b->in, WEIR_ERR_INVALID, "Object of type %s is not JSON serializable",
                            weir_jv_is(v, WEIR_JV_UNDEFINED) ? "Undefined" : weir_jv_type_name(v));
    }
}

/* --- from JSON -------------------------------------------------------------------------- */

static bool number_from_json(weir_ji_t *in, const weir_json_doc_t *doc, uint32_t node, bool trusted,
                             weir_jv_t *out)
{
    weir_str_t raw = weir_json_raw(doc, node);
    int64_t i;
    double f;
    if (doc->nodes[node].escaped) {
        if (!weir_json_double(doc, node, &f)) {
            f = raw.data[0] == '-' ? -INFINITY : INFINITY;
        }
        *out = weir_jv_float(f, trusted);
        return true;
    }
    if (weir_json_int64(doc, node, &i)) {
        *out = weir_jv_int(i, trusted);
        return true;
    }
    if (raw.len > 4300) {
        return weir_ji_fail(in, WEIR_ERR_LIMIT, "an integer of more than 4300 digits");
    }
    if (!weir_jv_string(in, raw.data, raw.len, trusted, out)) {
        return false;
    }
    out->type = WEIR_JV_BIGINT;
    out->trusted = trusted;
    return true;
}

static bool string_from_json(weir_ji_t *in, const weir_json_doc_t *doc, uint32_t node, bool trusted,
                             weir_jv_t *out)
{
    weir_str_t s;
    if (weir_json_string(doc, node, &in->arena, &s) != WEIR_OK) {
        return weir_ji_nomem(in);
    }
    return weir_jv_string(in, s.data, s.len, trusted, out);
}

static bool from_json(weir_ji_t *in, const weir_json_doc_t *doc, uint32_t node, bool trusted,
                      uint32_t depth, weir_jv_t *out);

static bool object_from_json(weir_ji_t *in, const weir_json_doc_t *doc, uint32_t node, bool trusted,
                             uint32_t depth, weir_jv_t *out)
{
    weir_jdict_t *d = weir_jdict_new(in);
    if (d == NULL) {
        return false;
    }
    uint32_t at = node + 1;
    for (uint32_t i = 0; i < doc->nodes[node].size; i++) {
        weir_jv_t key;
        weir_jv_t value;
        uint32_t child = doc->nodes[at].next;
        if (!string_from_json(in, doc, at, trusted, &key) ||
            !from_json(in, doc, child, trusted, depth + 1, &value) ||
            !weir_jdict_set(in, d, key, value)) {
            return false;
        }
        at = doc->nodes[child].next;
    }
    *out = weir_jv_dict(d);
    return true;
}

static bool array_from_json(weir_ji_t *in, const weir_json_doc_t *doc, uint32_t node, bool trusted,
                            uint32_t depth, weir_jv_t *out)
{
    weir_jlist_t *list = weir_jlist_new(in, doc->nodes[node].size);
    if (list == NULL) {
        return false;
    }
    uint32_t at = node + 1;
    for (uint32_t i = 0; i < doc->nodes[node].size; i++) {
        weir_jv_t item;
        if (!from_json(in, doc, at, trusted, depth + 1, &item) ||
            !weir_jlist_push(in, list, item)) {
            return false;
        }
        at = doc->nodes[at].next;
    }
    *out = weir_jv_list(list);
    return true;
}

static bool from_json(weir_ji_t *in, const weir_json_doc_t *doc, uint32_t node, bool trusted,
                      uint32_t depth, weir_jv_t *out)
{
    if (depth > MAX_NESTING) {
        return weir_ji_fail(in, WEIR_ERR_LIMIT, "JSON nested more than %u deep", MAX_NESTING);
    }
    switch (weir_json_type(doc, node)) {
    case WEIR_JSON_NULL:
        *out = (weir_jv_t){.type = WEIR_JV_NONE, .trusted = trusted};
        return true;
    case WEIR_JSON_FALSE:
    case WEIR_JSON_TRUE:
        *out = weir_jv_bool(weir_json_type(doc, node) == WEIR_JSON_TRUE);
        out->trusted = trusted;
        return true;
    case WEIR_JSON_NUMBER:
        return number_from_json(in, doc, node, trusted, out);
    case WEIR_JSON_STRING:
        return string_from_json(in, doc, node, trusted, out);
    case WEIR_JSON_ARRAY:
        return array_from_json(in, doc, node, trusted, depth, out);
    case WEIR_JSON_OBJECT:
        return object_from_json(in, doc, node, trusted, depth, out);
    }
    return weir_ji_fail(in, WEIR_ERR_INTERNAL, "unknown JSON node");
}

bool weir_jv_from_json(weir_ji_t *in, const weir_json_doc_t *doc, uint32_t node, bool trusted,
                       weir_jv_t *out)
{
    return from_json(in, doc, node, trusted, 0, out);
}

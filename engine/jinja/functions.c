/* Argument binding and the global functions. */
#include <stdio.h>

#include "engine/jinja/methods.h"

#define MAX_RANGE 100000 /* as jinja2's sandbox has it */

bool weir_jbind(weir_ji_t *in, const weir_jbuiltin_t *b, const weir_jcall_t *call,
                weir_jv_t args[5])
{
    uint32_t n_params = 0;
    for (int i = 0; i < 5; i++) {
        args[i] = (weir_jv_t){.type = WEIR_JV_UNDEFINED};
        n_params += b->params[i] != NULL;
    }
    if (call->n_pos > n_params) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "%s() takes at most %u arguments (%u given)",
                            b->name, n_params, call->n_pos);
    }
    for (uint32_t i = 0; i < call->n_pos; i++) {
        args[i] = call->pos[i];
    }
    for (uint32_t k = 0; k < call->n_kw; k++) {
        uint32_t i = 0;
        while (i < n_params && !weir_js_is(call->kw_names[k], b->params[i])) {
            i++;
        }
        if (i == n_params) {
            return weir_ji_fail(in, WEIR_ERR_INVALID,
                                "%s() got an unexpected keyword argument '%.*s'", b->name,
                                (int)call->kw_names[k]->len, call->kw_names[k]->data);
        }
        if (weir_jgiven(args[i])) {
            return weir_ji_fail(in, WEIR_ERR_INVALID, "%s() got multiple values for argument '%s'",
                                b->name, b->params[i]);
        }
        args[i] = call->kw[k];
    }
    for (uint32_t i = 0; i < b->min; i++) {
        if (!weir_jgiven(args[i])) {
            return weir_ji_fail(in, WEIR_ERR_INVALID, "%s() missing required argument: '%s'",
                                b->name, b->params[i]);
        }
    }
    return true;
}

bool weir_jarg_int(weir_ji_t *in, weir_jv_t v, int64_t fallback, int64_t *out)
{
    *out = fallback;
    if (!weir_jgiven(v)) {
        return true;
    }
    return weir_jv_as_int(v, out) ||
           weir_ji_fail(in, WEIR_ERR_INVALID, "'%s' object cannot be interpreted as an integer",
                        weir_jv_type_name(v));
}

bool weir_jarg_str(weir_ji_t *in, weir_jv_t v, const weir_js_t **out)
{
    if (!weir_jv_is(v, WEIR_JV_STRING)) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "expected a string, got '%s'",
                            weir_jv_type_name(v));
    }
    *out = v.u.s;
    return true;
}

/* --- dict and namespace ----------------------------------------------------------------- */

/* One pair of a sequence of pairs. */
static bool add_pair(weir_ji_t *in, weir_jdict_t *d, weir_jv_t pair)
{
    const weir_jlist_t *two;
    if (!weir_jv_iterate(in, pair, &two)) {
        return false;
    }
    if (two->n != 2) {
        return weir_ji_fail(in, WEIR_ERR_INVALID,
                            "dictionary update sequence element has length %u; 2 is required",
                            two->n);
    }
    return weir_jdict_set(in, d, two->items[0], two->items[1]);
}

bool weir_jdict_update(weir_ji_t *in, weir_jdict_t *d, const weir_jcall_t *call)
{
    if (call->n_pos > 1) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "expected at most 1 argument, got %u",
                            call->n_pos);
    }
    if (call->n_pos == 1 && (weir_jv_is(call->pos[0], WEIR_JV_DICT))) {
        const weir_jdict_t *from = call->pos[0].u.dict;
        for (uint32_t i = 0; i < from->n; i++) {
            if (!weir_jdict_set(in, d, from->entries[i].key, from->entries[i].value)) {
                return false;
            }
        }
    } else if (call->n_pos == 1) {
        const weir_jlist_t *items;
        if (!weir_jv_iterate(in, call->pos[0], &items)) {
            return false;
        }
        for (uint32_t i = 0; i < items->n; i++) {
            if (!add_pair(in, d, items->items[i])) {
                return false;
            }
        }
    }
    for (uint32_t k = 0; k < call->n_kw; k++) {
        if (!weir_jdict_set(in, d, weir_jv_str(call->kw_names[k]), call->kw[k])) {
            return false;
        }
    }
    return true;
}

static bool fn_dict(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, weir_jv_t *out)
{
    (void)self;
    weir_jdict_t *d = weir_jdict_new(in);
    if (d == NULL || !weir_jdict_update(in, d, call)) {
        return false;
    }
    *out = weir_jv_dict(d);
    return true;
}

static bool fn_namespace(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, weir_jv_t *out)
{
    if (!fn_dict(in, self, call, out)) {
        return false;
    }
    out->type = WEIR_JV_NAMESPACE;
    return true;
}

/* --- the others ------------------------------------------------------------------------- */

static bool fn_raise(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, weir_jv_t *out)
{
    static const weir_jbuiltin_t spec = {"raise_exception", NULL, 1, {"message"}};
    weir_jv_t args[5];
    const weir_js_t *text;
    (void)self;
    (void)out;
    if (!weir_jbind(in, &spec, call, args) || !weir_jv_to_string(in, args[0], &text)) {
        return false;
    }
    if (in->status == WEIR_OK) {
        in->status = weir_error_at(&in->error, WEIR_ERR_INVALID, NULL, "template_exception", "%.*s",
                                   (int)(text->len < 1000 ? text->len : 1000), text->data);
    }
    return false;
}

static bool fn_range(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, weir_jv_t *out)
{
    int64_t v[3] = {0, 0, 1};
    (void)self;
    if (call->n_kw > 0 || call->n_pos < 1 || call->n_pos > 3) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "range expected 1 to 3 arguments, got %u",
                            call->n_pos + call->n_kw);
    }
    bool trusted = true;
    for (uint32_t i = 0; i < call->n_pos; i++) {
        uint32_t slot = call->n_pos == 1 ? 1 : i;
        if (weir_jv_is(call->pos[i], WEIR_JV_UNDEFINED)) {
            return weir_jv_fail_undefined(in, call->pos[i]);
        }
        if (!weir_jarg_int(in, call->pos[i], 0, &v[slot])) {
            return false;
        }
        trusted &= call->pos[i].trusted;
    }
    if (v[2] == 0) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "range() arg 3 must not be zero");
    }
    __int128 span = v[2] > 0 ? (__int128)v[1] - v[0] : (__int128)v[0] - v[1];
    __int128 stride = v[2] > 0 ? v[2] : -(__int128)v[2];
    __int128 n = span <= 0 ? 0 : (span + stride - 1) / stride;
    if (n > MAX_RANGE) {
        return weir_ji_fail(in, WEIR_ERR_LIMIT,
                            "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).",
                            MAX_RANGE);
    }
    weir_jrange_t *r = weir_ji_alloc(in, sizeof(*r));
    if (r == NULL) {
        return false;
    }
    *r = (weir_jrange_t){.start = v[0], .stop = v[1], .step = v[2], .n = (int64_t)n};
    *out = (weir_jv_t){.type = WEIR_JV_RANGE, .trusted = trusted, .u.range = r};
    return true;
}

static void append_time(weir_buf_t *b, char c, bool pad, const struct tm *tm)
{
    static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
    static const char *const months[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    const char *d = days[tm->tm_wday];
    const char *m = months[tm->tm_mon];
    int hour12 = tm->tm_hour % 12 == 0 ? 12 : tm->tm_hour % 12;
    const struct {
        char c;
        int width;
        int value;
    } numbers[] = {{'d', 2, tm->tm_mday},
                   {'m', 2, tm->tm_mon + 1},
                   {'y', 2, tm->tm_year % 100},
                   {'H', 2, tm->tm_hour},
                   {'I', 2, hour12},
                   {'M', 2, tm->tm_min},
                   {'S', 2, tm->tm_sec},
                   {'j', 3, tm->tm_yday + 1},
                   {'w', 1, tm->tm_wday},
                   {'Y', 4, tm->tm_year + 1900},
                   {'f', 6, 0}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (numbers[i].c == c) {
            weir_buf_printf(b, "%0*d", pad ? numbers[i].width : 1, numbers[i].value);
            return;
        }
    }
    switch (c) {
    case 'A':
        weir_buf_append_z(b, d);
        break;
    case 'a':
        weir_buf_append(b, d, 3);
        break;
    case 'B':
        weir_buf_append_z(b, m);
        break;
    case 'b':
    case 'h':
        weir_buf_append(b, m, 3);
        break;
    case 'p':
        weir_buf_append_z(b, tm->tm_hour < 12 ? "AM" : "PM");
        break;
    case 'e':
        weir_buf_printf(b, "%*d", pad ? 2 : 1, tm->tm_mday);
        break;
    default:
        break;
    }
}

static void append_format(weir_buf_t *b, const weir_js_t *format, const struct tm *tm)
{
    static const struct {
        char c;
        const char *is;
    } composed[] = {{'F', "%Y-%m-%d"},
                    {'T', "%H:%M:%S"},
                    {'D', "%m/%d/%y"},
                    {'R', "%H:%M"},
                    {'x', "%m/%d/%y"},
                    {'X', "%H:%M:%S"},
                    {'c', "%a %b %e %H:%M:%S %Y"}};
    for (uint32_t i = 0; i < format->len; i++) {
        char c = format->data[i];
        if (c != '%' || i + 1 == format->len) {
            weir_buf_append_char(b, c);
            continue;
        }
        c = format->data[++i];
        bool pad = c != '-' || i + 1 == format->len;
        c = pad ? c : format->data[++i];
        const char *parts = NULL;
        for (size_t k = 0; k < sizeof(composed) / sizeof(composed[0]); k++) {
            parts = composed[k].c == c ? composed[k].is : parts;
        }
        for (; parts != NULL && *parts != '\0'; parts++) {
            if (*parts == '%') {
                append_time(b, *++parts, true, tm);
            } else {
                weir_buf_append_char(b, *parts);
            }
        }
        if (c == '%' || c == 'n' || c == 't') {
            weir_buf_append_char(b, c == 'n' ? '\n' : c == 't' ? '\t' : '%');
        } else if (strchr("dmyHIMSjwYfAaBbhpeFTDRxXcZz", c) == NULL) {
            weir_buf_append_char(b, '%');
            weir_buf_append_char(b, c);
        } else {
            append_time(b, c, pad, tm);
        }
    }
}

static bool fn_strftime_now(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, weir_jv_t *out)
{
    static const weir_jbuiltin_t spec = {"strftime_now", NULL, 1, {"format"}};
    weir_jv_t args[5];
    const weir_js_t *format;
    struct tm tm;
    (void)self;
    if (!weir_jbind(in, &spec, call, args) || !weir_jarg_str(in, args[0], &format)) {
        return false;
    }
    if (gmtime_r(&in->now, &tm) == NULL) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "the time is out of range");
    }
    weir_buf_t b;
    weir_buf_init(&b, &in->arena);
    append_format(&b, format, &tm);
    if (b.failed) {
        return weir_ji_nomem(in);
    }
    return weir_jv_string(in, b.data, b.len, weir_js_all_trusted(format), out);
}

static bool fn_joiner(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, weir_jv_t *out)
{
    static const weir_jbuiltin_t spec = {"joiner", NULL, 0, {"sep"}};
    weir_jv_t args[5];
    (void)self;
    weir_jjoiner_t *j = weir_ji_alloc(in, sizeof(*j));
    if (j == NULL || !weir_jbind(in, &spec, call, args)) {
        return false;
    }
    *j = (weir_jjoiner_t){.sep = args[0]};
    *out = (weir_jv_t){.type = WEIR_JV_JOINER, .u.joiner = j};
    return weir_jgiven(args[0]) || weir_jv_stringz(in, ", ", true, &j->sep);
}

static bool fn_cycler(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, weir_jv_t *out)
{
    (void)self;
    weir_jlist_t *list = weir_jlist_new(in, call->n_pos);
    if (list == NULL) {
        return false;
    }
    if (call->n_pos == 0) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "at least one item has to be provided");
    }
    for (uint32_t i = 0; i < call->n_pos; i++) {
        if (!weir_jlist_push(in, list, call->pos[i])) {
            return false;
        }
    }
    *out = (weir_jv_t){.type = WEIR_JV_CYCLER, .u.list = list};
    return true;
}

static const weir_jbuiltin_t functions[] = {{"namespace", fn_namespace, 0, {NULL}},
                                            {"dict", fn_dict, 0, {NULL}},
                                            {"raise_exception", fn_raise, 0, {NULL}},
                                            {"range", fn_range, 0, {NULL}},
                                            {"strftime_now", fn_strftime_now, 0, {NULL}},
                                            {"joiner", fn_joiner, 0, {NULL}},
                                            {"cycler", fn_cycler, 0, {NULL}}};

const weir_jbuiltin_t *weir_jfunction(uint32_t index)
{
    return index < sizeof(functions) / sizeof(functions[0]) ? &functions[index] : NULL;
}

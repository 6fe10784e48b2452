/* Arithmetic, membership and slices. */
#include <math.h>

#include "engine/jinja/interp.h"

static const char *const symbols[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};

static bool type_error(weir_ji_t *in, weir_jop_t op, weir_jv_t a, weir_jv_t b)
{
    if (weir_jv_is(a, WEIR_JV_UNDEFINED)) {
        return weir_jv_fail_undefined(in, a);
    }
    if (weir_jv_is(b, WEIR_JV_UNDEFINED)) {
        return weir_jv_fail_undefined(in, b);
    }
    bool sequence = weir_jv_is(a, WEIR_JV_STRING) || weir_jv_is(a, WEIR_JV_LIST) ||
                    weir_jv_is(a, WEIR_JV_TUPLE);
    if (op == WEIR_JOP_ADD && sequence) {
        const char *name = weir_jv_type_name(a);
        return weir_ji_fail(in, WEIR_ERR_INVALID, "can only concatenate %s (not \"%s\") to %s",
                            name, weir_jv_type_name(b), name);
    }
    return weir_ji_fail(in, WEIR_ERR_INVALID, "unsupported operand type(s) for %s: '%s' and '%s'",
                        symbols[op], weir_jv_type_name(a), weir_jv_type_name(b));
}

static bool too_big(weir_ji_t *in)
{
    return weir_ji_fail(in, WEIR_ERR_LIMIT, "an integer beyond 64 bits");
}

static bool zero_division(weir_ji_t *in)
{
    return weir_ji_fail(in, WEIR_ERR_INVALID, "division by zero");
}

static bool int_power(weir_ji_t *in, int64_t base, int64_t exponent, bool trusted, weir_jv_t *out)
{
    if (exponent < 0) {
        if (base == 0) {
            return weir_ji_fail(in, WEIR_ERR_INVALID, "0.0 cannot be raised to a negative power");
        }
        *out = weir_jv_float(pow((double)base, (double)exponent), trusted);
        return true;
    }
    int64_t result = 1;
    if (base == 0 || base == 1 || base == -1) {
        result = exponent == 0 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : base;
        exponent = 0;
    }
    for (; exponent > 0; exponent--) {
        if (__builtin_mul_overflow(result, base, &result)) {
            return too_big(in);
        }
    }
    *out = weir_jv_int(result, trusted);
    return true;
}

static bool int_op(weir_ji_t *in, weir_jop_t op, int64_t a, int64_t b, bool trusted, weir_jv_t *out)
{
    int64_t r = 0;
    bool over = false;
    switch (op) {
    case WEIR_JOP_ADD:
        over = __builtin_add_overflow(a, b, &r);
        break;
    case WEIR_JOP_SUB:
        over = __builtin_sub_overflow(a, b, &r);
        break;
    case WEIR_JOP_MUL:
        over = __builtin_mul_overflow(a, b, &r);
        break;
    case WEIR_JOP_POW:
        return int_power(in, a, b, trusted, out);
    default:
        if (b == 0) {
            return op == WEIR_JOP_DIV
                       ? zero_division(in)
                       : weir_ji_fail(in, WEIR_ERR_INVALID, "integer division or modulo by zero");
        }
        if (op == WEIR_JOP_DIV) {
            *out = weir_jv_float((double)a / (double)b, trusted);
            return true;
        }
        if (b == -1) {
            over = op == WEIR_JOP_FLOORDIV && a == INT64_MIN;
            r = op == WEIR_JOP_FLOORDIV && !over ? -a : 0;
            break;
        }
        /* Python rounds down, and the remainder has the divisor's sign. */
        r = op == WEIR_JOP_FLOORDIV ? a / b : a % b;
        if (a % b != 0 && (a % b < 0) != (b < 0)) {
            r += op == WEIR_JOP_FLOORDIV ? -1 : b;
        }
        break;
    }
    if (over) {
        return too_big(in);
    }
    *out = weir_jv_int(r, trusted);
    return true;
}

static bool float_op(weir_ji_t *in, weir_jop_t op, double a, double b, bool trusted, weir_jv_t *out)
{
    double r;
    bool divides = op == WEIR_JOP_DIV || op == WEIR_JOP_FLOORDIV || op == WEIR_JOP_MOD;
    if (divides && b == 0) {
        return op == WEIR_JOP_DIV
                   ? weir_ji_fail(in, WEIR_ERR_INVALID, "float division by zero")
                   : weir_ji_fail(in, WEIR_ERR_INVALID, "float floor division by zero");
    }
    switch (op) {
    case WEIR_JOP_ADD:
        r = a + b;
        break;
    case WEIR_JOP_SUB:
        r = a - b;
        break;
    case WEIR_JOP_MUL:
        r = a * b;
        break;
    case WEIR_JOP_DIV:
        r = a / b;
        break;
    case WEIR_JOP_POW:
        if ((a < 0 && b != floor(b)) || (a == 0 && b < 0)) {
            return weir_ji_fail(in, WEIR_ERR_UNSUPPORTED, "a power that is no real number");
        }
        r = pow(a, b);
        break;
    default: {
        double mod = fmod(a, b);
        double whole = (a - mod) / b;
        if (mod != 0 && (mod < 0) != (b < 0)) {
            mod += b;
            whole -= 1;
        } else if (mod == 0) {
            mod = copysign(0, b);
        }
        double down = floor(whole);
        down += whole - down > 0.5 ? 1 : 0;
        r = op == WEIR_JOP_MOD ? mod : whole == 0 ? copysign(0, a / b) : down;
        break;
    }
    }
    *out = weir_jv_float(r, trusted);
    return true;
}

static bool add_strings(weir_ji_t *in, weir_jv_t a, weir_jv_t b, weir_jv_t *out)
{
    weir_jb_t text;
    weir_jb_init(&text, in);
    text.markup = a.u.s->markup || b.u.s->markup;
    if (text.markup && !a.u.s->markup && !weir_jstr_escape(in, a, &a)) {
        return false;
    }
    if (text.markup && !b.u.s->markup && !weir_jstr_escape(in, b, &b)) {
        return false;
    }
    weir_jb_str(&text, a.u.s);
    weir_jb_str(&text, b.u.s);
    return weir_jb_finish(&text, out);
}

static bool repeat(weir_ji_t *in, weir_jv_t v, int64_t times, weir_jv_t *out)
{
    if (weir_jv_is(v, WEIR_JV_STRING)) {
        weir_jb_t b;
        weir_jb_init(&b, in);
        b.markup = v.u.s->markup;
        if (v.u.s->len == 0) {
            times = 0;
        }
        for (int64_t i = 0; i < times && !b.failed; i++) {
            weir_jb_str(&b, v.u.s);
            b.failed |= !weir_ji_work(in, 1);
        }
        return weir_jb_finish(&b, out);
    }
    const weir_jlist_t *from = v.u.list;
    weir_jlist_t *list = weir_jlist_new(in, 0);
    if (list == NULL) {
        return false;
    }
    if (from->n == 0) {
        times = 0;
    }
    for (int64_t i = 0; i < times; i++) {
        for (uint32_t k = 0; k < from->n; k++) {
            if (!weir_jlist_push(in, list, from->items[k])) {
                return false;
            }
        }
    }
    *out = weir_jv_is(v, WEIR_JV_LIST) ? weir_jv_list(list) : weir_jv_tuple(list);
    return true;
}

static bool add_lists(weir_ji_t *in, weir_jv_t a, weir_jv_t b, weir_jv_t *out)
{
    weir_jlist_t *list = weir_jlist_new(in, a.u.list->n + b.u.list->n);
    if (list == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < a.u.list->n + b.u.list->n; i++) {
        weir_jv_t item = i < a.u.list->n ? a.u.list->items[i] : b.u.list->items[i - a.u.list->n];
        if (!weir_jlist_push(in, list, item)) {
            return false;
        }
    }
    *out = weir_jv_is(a, WEIR_JV_LIST) ? weir_jv_list(list) : weir_jv_tuple(list);
    return true;
}

static bool is_sequence(weir_jv_t v)
{
    return weir_jv_is(v, WEIR_JV_STRING) || weir_jv_is(v, WEIR_JV_LIST) ||
           weir_jv_is(v, WEIR_JV_TUPLE);
}

bool weir_ji_binary(weir_ji_t *in, weir_jop_t op, weir_jv_t a, weir_jv_t b, weir_jv_t *out)
{
    int64_t i;
    int64_t k;
    double x;
    double y;
    bool trusted = a.trusted && b.trusted;
    if (weir_jv_as_int(a, &i) && weir_jv_as_int(b, &k)) {
        return int_op(in, op, i, k, trusted, out);
    }
    if (weir_jv_is(a, WEIR_JV_BIGINT) || weir_jv_is(b, WEIR_JV_BIGINT)) {
        if (weir_jv_as_double(a, &x) && weir_jv_as_double(b, &y) && !weir_jv_is(a, WEIR_JV_FLOAT) &&
            !weir_jv_is(b, WEIR_JV_FLOAT)) {
            return too_big(in);
        }
    }
    if (weir_jv_as_double(a, &x) && weir_jv_as_double(b, &y)) {
        return float_op(in, op, x, y, trusted, out);
    }
    if (op == WEIR_JOP_MOD && weir_jv_is(a, WEIR_JV_STRING)) {
        return weir_jformat_percent(in, a.u.s, b, out);
    }
    if (op == WEIR_JOP_ADD && a.type == b.type && is_sequence(a)) {
        return weir_jv_is(a, WEIR_JV_STRING) ? add_strings(in, a, b, out)
                                             : add_lists(in, a, b, out);
    }
    if (op == WEIR_JOP_MUL && is_sequence(a) && weir_jv_as_int(b, &k)) {
        return repeat(in, a, k, out);
    }
    if (op == WEIR_JOP_MUL && is_sequence(b) && weir_jv_as_int(a, &k)) {
        return repeat(in, b, k, out);
    }
    return type_error(in, op, a, b);
}

/* --- membership ------------------------------------------------------------------------- */

bool weir_jv_contains(weir_ji_t *in, weir_jv_t item, weir_jv_t container, bool *out)
{
    *out = false;
    if (weir_jv_is(container, WEIR_JV_STRING)) {
        if (!weir_jv_is(item, WEIR_JV_STRING)) {
            return weir_ji_fail(
                in, WEIR_ERR_INVALID, "'in <string>' requires string as left operand, not %s",
                weir_jv_is(item, WEIR_JV_UNDEFINED) ? "Undefined" : weir_jv_type_name(item));
        }
        *out = weir_js_find(container.u.s, item.u.s, 0) != UINT32_MAX;
        return weir_ji_work(in, container.u.s->len / 64);
    }
    if (weir_jv_is(container, WEIR_JV_DICT) ||
        (weir_jv_is(container, WEIR_JV_VIEW) && container.aux == WEIR_JVIEW_KEYS)) {
        weir_jv_t value;
        return weir_jdict_get(in, container.u.dict, item, &value, out);
    }
    if (weir_jv_is(container, WEIR_JV_GENERATOR) || weir_jv_is(container, WEIR_JV_UNDEFINED) ||
        weir_jv_is(container, WEIR_JV_RANGE) || weir_jv_is(container, WEIR_JV_VIEW) ||
        weir_jv_is(container, WEIR_JV_LIST) || weir_jv_is(container, WEIR_JV_TUPLE)) {
        const weir_jlist_t *items;
        if (!weir_jv_iterate(in, container, &items)) {
            return false;
        }
        for (uint32_t i = 0; i < items->n && !*out; i++) {
            if (!weir_jv_equal(in, items->items[i], item, out)) {
                return false;
            }
        }
        return true;
    }
    return weir_ji_fail(in, WEIR_ERR_INVALID, "argument of type '%s' is not iterable",
                        weir_jv_type_name(container));
}

/* --- slices ----------------------------------------------------------------------------- */

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
    return v < low ? low : v > high ? high : v;
}

/* start, stop and step of obj[a:b:c] over n elements, as slice.indices. */
static bool slice_bounds(weir_ji_t *in, const weir_jv_t parts[3], int64_t n, int64_t *start,
                         int64_t *stop, int64_t *step)
{
    int64_t v[3] = {0, 0, 1};
    bool given[3];
    for (int i = 0; i < 3; i++) {
        given[i] = !weir_jv_is(parts[i], WEIR_JV_NONE);
        if (given[i] && !weir_jv_as_int(parts[i], &v[i])) {
            return weir_ji_fail(in, WEIR_ERR_INVALID,
                                "slice indices must be integers or None or have an __index__ "
                                "method");
        }
    }
    if (v[2] == 0) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "slice step cannot be zero");
    }
    *step = clamp(v[2], -INT32_MAX, INT32_MAX);
    int64_t low = *step < 0 ? -1 : 0;
    int64_t high = *step < 0 ? n - 1 : n;
    for (int i = 0; i < 2; i++) {
        v[i] = clamp(v[i], -INT32_MAX * (int64_t)2, INT32_MAX * (int64_t)2);
        v[i] = clamp(v[i] < 0 ? v[i] + n : v[i], low, high);
    }
    *start = given[0] ? v[0] : *step < 0 ? high : low;
    *stop = given[1] ? v[1] : *step < 0 ? low : high;
    return true;
}

static bool slice_string(weir_ji_t *in, const weir_js_t *s, int64_t start, int64_t stop,
                         int64_t step, weir_jv_t *out)
{
    if (step == 1) {
        uint32_t from = weir_js_offset(s, (uint32_t)start);
        uint32_t to = start < stop ? weir_js_offset(s, (uint32_t)stop) : from;
        return weir_ji_work(in, s->len / 64) && weir_js_slice(in, s, from, to, out);
    }
    const weir_jlist_t *chars;
    weir_jb_t b;
    weir_jb_init(&b, in);
    b.markup = s->markup;
    if (!weir_jv_iterate(in, weir_jv_str(s), &chars)) {
        return false;
    }
    for (int64_t i = start; step > 0 ? i < stop : i > stop; i += step) {
        weir_jb_str(&b, chars->items[i].u.s);
    }
    return weir_jb_finish(&b, out);
}

static bool slice_range(weir_ji_t *in, weir_jv_t obj, const int64_t bounds[2], int64_t count,
                        int64_t step, weir_jv_t *out)
{
    weir_jrange_t *r = weir_ji_alloc(in, sizeof(*r));
    if (r == NULL) {
        return false;
    }
    *r = (weir_jrange_t){.start = obj.u.range->start + bounds[0] * obj.u.range->step,
                         .stop = obj.u.range->start + bounds[1] * obj.u.range->step,
                         .step = obj.u.range->step * step,
                         .n = count};
    *out = (weir_jv_t){.type = WEIR_JV_RANGE, .trusted = obj.trusted, .u.range = r};
    return true;
}

bool weir_ji_slice(weir_ji_t *in, weir_jv_t obj, const weir_jv_t parts[3], weir_jv_t *out)
{
    int64_t start = 0;
    int64_t stop = 0;
    int64_t step = 1;
    int64_t n;
    if (weir_jv_is(obj, WEIR_JV_UNDEFINED)) {
        return weir_jv_fail_undefined(in, obj);
    }
    if (!is_sequence(obj) && !weir_jv_is(obj, WEIR_JV_RANGE)) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "'%s' object is not subscriptable",
                            weir_jv_type_name(obj));
    }
    if (!weir_jv_len(in, obj, &n) || !slice_bounds(in, parts, n, &start, &stop, &step)) {
        return false;
    }
    if (weir_jv_is(obj, WEIR_JV_STRING)) {
        return slice_string(in, obj.u.s, start, stop, step, out);
    }
    int64_t span = step > 0 ? stop - start : start - stop;
    int64_t stride = step > 0 ? step : -step;
    int64_t count = span <= 0 ? 0 : (span + stride - 1) / stride;
    if (weir_jv_is(obj, WEIR_JV_RANGE)) {
        const int64_t bounds[2] = {start, stop};
        return slice_range(in, obj, bounds, count, step, out);
    }
    weir_jlist_t *list = weir_jlist_new(in, (uint32_t)count);
    if (list == NULL) {
        return false;
    }
    for (int64_t i = 0; i < count; i++) {
        if (!weir_jlist_push(in, list, obj.u.list->items[start + i * step])) {
            return false;
        }
    }
    *out = weir_jv_is(obj, WEIR_JV_LIST) ? weir_jv_list(list) : weir_jv_tuple(list);
    return true;
}

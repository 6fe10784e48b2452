/* The tests behind `is`. */
#include <math.h>

#include "engine/base/utf8.h"
#include "engine/jinja/interp.h"
#include "engine/jinja/unicode.h"

#define TEST(name) \
    static bool test_##name(weir_ji_t *in, weir_jv_t v, const weir_jcall_t *call, weir_jv_t *out)
#define PLAIN_TEST(name, holds)     \
    TEST(name)                      \
    {                               \
        (void)call;                 \
        (void)in;                   \
        *out = weir_jv_bool(holds); \
        return true;                \
    }

static bool is(weir_jv_t v, weir_jtype_t type)
{
    return weir_jv_is(v, type);
}

static bool is_integer(weir_jv_t v)
{
    return is(v, WEIR_JV_INT) || is(v, WEIR_JV_BIGINT);
}

static bool is_iterable(weir_jv_t v)
{
    return is(v, WEIR_JV_STRING) || is(v, WEIR_JV_LIST) || is(v, WEIR_JV_TUPLE) ||
           is(v, WEIR_JV_DICT) || is(v, WEIR_JV_VIEW) || is(v, WEIR_JV_GENERATOR) ||
           is(v, WEIR_JV_RANGE) || is(v, WEIR_JV_UNDEFINED) || is(v, WEIR_JV_LOOP) ||
           is(v, WEIR_JV_CYCLER);
}

/* Has len() and an index, as jinja2 looks; Undefined has both. */
static bool is_sequence(weir_jv_t v)
{
    return is(v, WEIR_JV_STRING) || is(v, WEIR_JV_LIST) || is(v, WEIR_JV_TUPLE) ||
           is(v, WEIR_JV_DICT) || is(v, WEIR_JV_RANGE) || is(v, WEIR_JV_UNDEFINED);
}

static bool is_callable(weir_jv_t v)
{
    return is(v, WEIR_JV_MACRO) || is(v, WEIR_JV_FUNCTION) || is(v, WEIR_JV_METHOD) ||
           is(v, WEIR_JV_JOINER) || is(v, WEIR_JV_UNDEFINED) || is(v, WEIR_JV_LOOP);
}

PLAIN_TEST(defined, !is(v, WEIR_JV_UNDEFINED))
PLAIN_TEST(undefined, is(v, WEIR_JV_UNDEFINED))
PLAIN_TEST(none, is(v, WEIR_JV_NONE))
PLAIN_TEST(boolean, is(v, WEIR_JV_BOOL))
PLAIN_TEST(is_true, is(v, WEIR_JV_BOOL) && v.u.b)
PLAIN_TEST(is_false, is(v, WEIR_JV_BOOL) && !v.u.b)
PLAIN_TEST(integer, is_integer(v))
PLAIN_TEST(float, is(v, WEIR_JV_FLOAT))
PLAIN_TEST(number, is_integer(v) || is(v, WEIR_JV_FLOAT) || is(v, WEIR_JV_BOOL))
PLAIN_TEST(string, is(v, WEIR_JV_STRING))
PLAIN_TEST(mapping, is(v, WEIR_JV_DICT))
PLAIN_TEST(iterable, is_iterable(v))
PLAIN_TEST(sequence, is_sequence(v))
PLAIN_TEST(callable, is_callable(v))
PLAIN_TEST(escaped, is(v, WEIR_JV_STRING) && v.u.s->markup)

/* v % divisor for the tests on integers. */
static bool remainder_of(weir_ji_t *in, weir_jv_t v, weir_jv_t divisor, double *out)
{
    weir_jv_t r;
    if (is(v, WEIR_JV_STRING) || !weir_ji_binary(in, WEIR_JOP_MOD, v, divisor, &r)) {
        return weir_ji_fail(in, WEIR_ERR_INVALID,
                            "not all arguments converted during string formatting");
    }
    return weir_jv_as_double(r, out);
}

TEST(odd)
{
    double r;
    (void)call;
    if (!remainder_of(in, v, weir_jv_int(2, true), &r)) {
        return false;
    }
    *out = weir_jv_bool(r == 1);
    return true;
}

TEST(even)
{
    double r;
    (void)call;
    if (!remainder_of(in, v, weir_jv_int(2, true), &r)) {
        return false;
    }
    *out = weir_jv_bool(r == 0);
    return true;
}

static bool one_argument(weir_ji_t *in, const weir_jcall_t *call, weir_jv_t *arg)
{
    if (call->n_pos != 1 || call->n_kw != 0) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "the test takes one argument");
    }
    *arg = call->pos[0];
    return true;
}

TEST(divisibleby)
{
    double r;
    weir_jv_t arg;
    if (!one_argument(in, call, &arg) || !remainder_of(in, v, arg, &r)) {
        return false;
    }
    *out = weir_jv_bool(r == 0);
    return true;
}

static bool test_equality(weir_ji_t *in, weir_jv_t v, const weir_jcall_t *call, bool want,
                          weir_jv_t *out)
{
    weir_jv_t arg;
    bool same;
    if (!one_argument(in, call, &arg) || !weir_jv_equal(in, v, arg, &same)) {
        return false;
    }
    *out = weir_jv_bool(same == want);
    return true;
}

TEST(eq)
{
    return test_equality(in, v, call, true, out);
}

TEST(ne)
{
    return test_equality(in, v, call, false, out);
}

/* holds_below, _equal, _above: for which orders the test is true. */
static bool test_order(weir_ji_t *in, weir_jv_t v, const weir_jcall_t *call, const char *op,
                       weir_jv_t *out)
{
    weir_jv_t arg;
    int c;
    if (!one_argument(in, call, &arg) || !weir_jv_order(in, v, arg, op, &c)) {
        return false;
    }
    bool strict = op[1] == '\0';
    *out = weir_jv_bool(c != 2 && ((!strict && c == 0) || (op[0] == '<' ? c < 0 : c > 0)));
    return true;
}

TEST(lt)
{
    return test_order(in, v, call, "<", out);
}

TEST(le)
{
    return test_order(in, v, call, "<=", out);
}

TEST(gt)
{
    return test_order(in, v, call, ">", out);
}

TEST(ge)
{
    return test_order(in, v, call, ">=", out);
}

TEST(in)
{
    weir_jv_t arg;
    bool found;
    if (!one_argument(in, call, &arg) || !weir_jv_contains(in, v, arg, &found)) {
        return false;
    }
    *out = weir_jv_bool(found);
    return true;
}

/* Identity: of containers the same object, of constants the same value. */
TEST(sameas)
{
    weir_jv_t arg;
    if (!one_argument(in, call, &arg)) {
        return false;
    }
    bool same = v.type == arg.type;
    if (same && (is(v, WEIR_JV_BOOL) || is(v, WEIR_JV_NONE) || is(v, WEIR_JV_INT))) {
        return weir_jv_equal(in, v, arg, &same) && (*out = weir_jv_bool(same), true);
    }
    *out = weir_jv_bool(same && v.u.list == arg.u.list);
    return true;
}

static bool test_case(weir_ji_t *in, weir_jv_t v, bool upper, weir_jv_t *out)
{
    const weir_js_t *s;
    bool cased = false;
    bool good = true;
    if (!weir_jv_to_string(in, v, &s)) {
        return false;
    }
    for (uint32_t i = 0; i < s->len;) {
        uint32_t cp;
        int n = weir_utf8_decode(s->data + i, s->len - i, &cp);
        i += (uint32_t)(n < 0 ? -n : n);
        uint32_t title[3];
        bool is_title = weir_ju_is_cased(cp) && !weir_ju_is_upper(cp) && !weir_ju_is_lower(cp) &&
                        weir_ju_to_title(cp, title) == 1;
        good &= upper ? !weir_ju_is_lower(cp) : !weir_ju_is_upper(cp);
        good &= !is_title;
        cased |= upper ? weir_ju_is_upper(cp) : weir_ju_is_lower(cp);
    }
    *out = weir_jv_bool(good && cased);
    return true;
}

TEST(lower)
{
    (void)call;
    return test_case(in, v, false, out);
}

TEST(upper)
{
    (void)call;
    return test_case(in, v, true, out);
}

TEST(filter)
{
    (void)call;
    (void)in;
    *out = weir_jv_bool(is(v, WEIR_JV_STRING) &&
                        weir_jfilter_find(weir_str(v.u.s->data, v.u.s->len)) >= 0);
    return true;
}

TEST(test)
{
    (void)call;
    (void)in;
    *out = weir_jv_bool(is(v, WEIR_JV_STRING) &&
                        weir_jtest_find(weir_str(v.u.s->data, v.u.s->len)) >= 0);
    return true;
}

static const weir_jbuiltin_t tests[] = {{"defined", test_defined, 0, {NULL}},
                                        {"undefined", test_undefined, 0, {NULL}},
                                        {"none", test_none, 0, {NULL}},
                                        {"boolean", test_boolean, 0, {NULL}},
                                        {"true", test_is_true, 0, {NULL}},
                                        {"false", test_is_false, 0, {NULL}},
                                        {"integer", test_integer, 0, {NULL}},
                                        {"float", test_float, 0, {NULL}},
                                        {"number", test_number, 0, {NULL}},
                                        {"string", test_string, 0, {NULL}},
                                        {"mapping", test_mapping, 0, {NULL}},
                                        {"iterable", test_iterable, 0, {NULL}},
                                        {"sequence", test_sequence, 0, {NULL}},
                                        {"callable", test_callable, 0, {NULL}},
                                        {"escaped", test_escaped, 0, {NULL}},
                                        {"odd", test_odd, 0, {NULL}},
                                        {"even", test_even, 0, {NULL}},
                                        {"divisibleby", test_divisibleby, 1, {NULL}},
                                        {"eq", test_eq, 1, {NULL}},
                                        {"equalto", test_eq, 1, {NULL}},
                                        {"==", test_eq, 1, {NULL}},
                                        {"ne", test_ne, 1, {NULL}},
                                        {"!=", test_ne, 1, {NULL}},
                                        {"lt", test_lt, 1, {NULL}},
                                        {"lessthan", test_lt, 1, {NULL}},
                                        {"<", test_lt, 1, {NULL}},
                                        {"le", test_le, 1, {NULL}},
                                        {"<=", test_le, 1, {NULL}},
                                        {"gt", test_gt, 1, {NULL}},
                                        {"greaterthan", test_gt, 1, {NULL}},
                                        {">", test_gt, 1, {NULL}},
                                        {"ge", test_ge, 1, {NULL}},
                                        {">=", test_ge, 1, {NULL}},
                                        {"in", test_in, 1, {NULL}},
                                        {"sameas", test_sameas, 1, {NULL}},
                                        {"lower", test_lower, 0, {NULL}},
                                        {"upper", test_upper, 0, {NULL}},
                                        {"filter", test_filter, 0, {NULL}},
                                        {"test", test_test, 0, {NULL}}};

int weir_jtest_find(weir_str_t name)
{
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        if (weir_str_is(name, tests[i].name)) {
            return (int)i;
        }
    }
    return -1;
}

const weir_jbuiltin_t *weir_jtest(int id)
{
    return &tests[id];
}

/* Expressions, attributes and calls. */
#include <stdio.h>

#include "engine/jinja/interp.h"

static bool eval_list(weir_ji_t *in, const weir_jn_t *node, weir_jv_t *out)
{
    weir_jlist_t *list = weir_jlist_new(in, node->n);
    if (list == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < node->n; i++) {
        weir_jv_t v;
        if (!weir_ji_eval(in, node->list[i], &v) || !weir_jlist_push(in, list, v)) {
            return false;
        }
    }
    *out = node->kind == WEIR_JN_TUPLE ? weir_jv_tuple(list) : weir_jv_list(list);
    return true;
}

static bool eval_dict(weir_ji_t *in, const weir_jn_t *node, weir_jv_t *out)
{
    weir_jdict_t *dict = weir_jdict_new(in);
    if (dict == NULL) {
        return false;
    }
    for (uint32_t i = 0; i + 1 < node->n; i += 2) {
        weir_jv_t key;
        weir_jv_t value;
        if (!weir_ji_eval(in, node->list[i], &key) ||
            !weir_ji_eval(in, node->list[i + 1], &value) || !weir_jdict_set(in, dict, key, value)) {
            return false;
        }
    }
    *out = weir_jv_dict(dict);
    return true;
}

static bool eval_name(weir_ji_t *in, const weir_jn_t *node, weir_jv_t *out)
{
    const weir_jv_t *v = weir_ji_lookup(in, node->sym);
    if (v != NULL) {
        *out = *v;
        return true;
    }
    if (!weir_jv_undefined(in, NULL, out)) {
        return false;
    }
    out->u.undef->name = weir_jv_str(in->tmpl->symbols[node->sym]);
    return true;
}

static bool eval_cond(weir_ji_t *in, const weir_jn_t *node, weir_jv_t *out)
{
    weir_jv_t cond;
    if (!weir_ji_eval(in, node->a, &cond)) {
        return false;
    }
    if (weir_jv_truth(cond)) {
        return weir_ji_eval(in, node->b, out);
    }
    if (node->c != NULL) {
        return weir_ji_eval(in, node->c, out);
    }
    char text[120];
    snprintf(text, sizeof(text),
             "the inline if-expression on line %u evaluated to false and no else section was "
             "defined.",
             node->line);
    char *hint = weir_arena_strndup(&in->arena, text, strlen(text));
    return hint == NULL ? weir_ji_nomem(in) : weir_jv_undefined(in, hint, out);
}

static bool compare_one(weir_ji_t *in, weir_jop_t op, weir_jv_t a, weir_jv_t b, bool *out)
{
    static const char *const names[] = {"<", "<=", ">", ">="};
    if (op == WEIR_JOP_EQ || op == WEIR_JOP_NE) {
        if (!weir_jv_equal(in, a, b, out)) {
            return false;
        }
        *out = *out == (op == WEIR_JOP_EQ);
        return true;
    }
    if (op == WEIR_JOP_IN || op == WEIR_JOP_NOTIN) {
        if (!weir_jv_contains(in, a, b, out)) {
            return false;
        }
        *out = *out == (op == WEIR_JOP_IN);
        return true;
    }
    int c;
    if (!weir_jv_order(in, a, b, names[op - WEIR_JOP_LT], &c)) {
        return false;
    }
    *out = c != 2 && (op == WEIR_JOP_LT   ? c < 0
                      : op == WEIR_JOP_LE ? c <= 0
                      : op == WEIR_JOP_GT ? c > 0
                                          : c >= 0);
    return true;
}

static bool eval_compare(weir_ji_t *in, const weir_jn_t *node, weir_jv_t *out)
{
    weir_jv_t left;
    if (!weir_ji_eval(in, node->a, &left)) {
        return false;
    }
    bool holds = true;
    for (uint32_t i = 0; holds && i < node->n; i++) {
        weir_jv_t right;
        if (!weir_ji_eval(in, node->list[i], &right) ||
            !compare_one(in, (weir_jop_t)node->x.ops[i], left, right, &holds)) {
            return false;
        }
        left = right;
    }
    *out = weir_jv_bool(holds);
    return true;
}

static bool eval_concat(weir_ji_t *in, const weir_jn_t *node, weir_jv_t *out)
{
    weir_jb_t b;
    weir_jb_init(&b, in);
    weir_jlist_t *parts = weir_jlist_new(in, node->n);
    for (uint32_t i = 0; parts != NULL && i < node->n; i++) {
        weir_jv_t v;
        if (!weir_ji_eval(in, node->list[i], &v) || !weir_jlist_push(in, parts, v)) {
            return false;
        }
    }
    for (uint32_t i = 0; parts != NULL && i < parts->n; i++) {
        if (!weir_jv_print(&b, parts->items[i])) {
            return false;
        }
    }
    return parts != NULL && weir_jb_finish(&b, out);
}

static bool eval_sign(weir_ji_t *in, const weir_jn_t *node, weir_jv_t *out)
{
    weir_jv_t v;
    int64_t i;
    if (!weir_ji_eval(in, node->a, &v)) {
        return false;
    }
    bool neg = node->kind == WEIR_JN_NEG;
    if (weir_jv_is(v, WEIR_JV_FLOAT)) {
        *out = weir_jv_float(neg ? -v.u.f : v.u.f, v.trusted);
        return true;
    }
    if (weir_jv_as_int(v, &i)) {
        if (neg && i == INT64_MIN) {
            return weir_ji_fail(in, WEIR_ERR_LIMIT, "an integer beyond 64 bits");
        }
        *out = weir_jv_int(neg ? -i : i, v.trusted);
        return true;
    }
    if (weir_jv_is(v, WEIR_JV_UNDEFINED)) {
        return weir_jv_fail_undefined(in, v);
    }
    return weir_ji_fail(in, WEIR_ERR_INVALID, "bad operand type for unary %s: '%s'",
                        neg ? "-" : "+", weir_jv_type_name(v));
}

static bool eval_slice(weir_ji_t *in, const weir_jn_t *node, weir_jv_t *out)
{
    weir_jv_t obj;
    weir_jv_t parts[3];
    if (!weir_ji_eval(in, node->a, &obj)) {
        return false;
    }
    for (int i = 0; i < 3; i++) {
        parts[i] = weir_jv_none();
        if (node->list[i] != NULL && !weir_ji_eval(in, node->list[i], &parts[i])) {
            return false;
        }
    }
    return weir_ji_slice(in, obj, parts, out);
}

static bool eval_logical(weir_ji_t *in, const weir_jn_t *node, weir_jv_t *out)
{
    if (!weir_ji_eval(in, node->a, out)) {
        return false;
    }
    bool decided = weir_jv_truth(*out) == (node->kind == WEIR_JN_OR);
    return decided || weir_ji_eval(in, node->b, out);
}

static bool eval_builtin(weir_ji_t *in, const weir_jn_t *node, weir_jv_t *out)
{
    weir_jv_t input;
    weir_jcall_t call;
    if (!weir_ji_eval(in, node->a, &input) || !weir_ji_args(in, node->x.args, &call)) {
        return false;
    }
    in->where = node;
    const weir_jbuiltin_t *b =
        node->kind == WEIR_JN_FILTER ? weir_jfilter(node->op) : weir_jtest(node->op);
    return weir_ji_call_builtin(in, b, input, &call, out);
}

static bool eval_call(weir_ji_t *in, const weir_jn_t *node, weir_jv_t *out)
{
    weir_jv_t callee;
    weir_jcall_t call;
    if (!weir_ji_eval(in, node->a, &callee) || !weir_ji_args(in, node->x.args, &call)) {
        return false;
    }
    in->where = node;
    return weir_ji_call(in, callee, &call, out);
}

static bool eval_access(weir_ji_t *in, const weir_jn_t *node, weir_jv_t *out)
{
    weir_jv_t obj;
    weir_jv_t key;
    if (!weir_ji_eval(in, node->a, &obj)) {
        return false;
    }
    if (node->kind == WEIR_JN_ATTR) {
        in->where = node;
        return weir_ji_attr(in, obj, node->str, out);
    }
    if (!weir_ji_eval(in, node->b, &key)) {
        return false;
    }
    in->where = node;
    return weir_ji_item(in, obj, key, out);
}

static bool eval_operator(weir_ji_t *in, const weir_jn_t *node, weir_jv_t *out)
{
    weir_jv_t a;
    weir_jv_t b;
    if (!weir_ji_eval(in, node->a, &a) || !weir_ji_eval(in, node->b, &b)) {
        return false;
    }
    in->where = node;
    return weir_ji_binary(in, (weir_jop_t)node->op, a, b, out);
}

static bool eval_not(weir_ji_t *in, const weir_jn_t *node, weir_jv_t *out)
{
    weir_jv_t v;
    if (!weir_ji_eval(in, node->a, &v)) {
        return false;
    }
    *out = weir_jv_bool(!weir_jv_truth(v));
    return true;
}

static bool eval_inner(weir_ji_t *in, const weir_jn_t *node, weir_jv_t *out)
{
    switch ((weir_jnode_kind_t)node->kind) {
    case WEIR_JN_CONST:
        *out = *node->x.value;
        return true;
    case WEIR_JN_NAME:
        return eval_name(in, node, out);
    case WEIR_JN_PIPED:
        *out = in->piped;
        return true;
    case WEIR_JN_LIST:
    case WEIR_JN_TUPLE:
        return eval_list(in, node, out);
    case WEIR_JN_DICT:
        return eval_dict(in, node, out);
    case WEIR_JN_ATTR:
    case WEIR_JN_ITEM:
        return eval_access(in, node, out);
    case WEIR_JN_SLICE:
        return eval_slice(in, node, out);
    case WEIR_JN_CALL:
        return eval_call(in, node, out);
    case WEIR_JN_FILTER:
    case WEIR_JN_TEST:
        return eval_builtin(in, node, out);
    case WEIR_JN_NOT:
        return eval_not(in, node, out);
    case WEIR_JN_AND:
    case WEIR_JN_OR:
        return eval_logical(in, node, out);
    case WEIR_JN_COND:
        return eval_cond(in, node, out);
    case WEIR_JN_COMPARE:
        return eval_compare(in, node, out);
    case WEIR_JN_CONCAT:
        return eval_concat(in, node, out);
    case WEIR_JN_BINARY:
        return eval_operator(in, node, out);
    case WEIR_JN_NEG:
    case WEIR_JN_POS:
        return eval_sign(in, node, out);
    default:
        return weir_ji_fail(in, WEIR_ERR_INTERNAL, "not an expression");
    }
}

bool weir_ji_eval(weir_ji_t *in, const weir_jn_t *node, weir_jv_t *out)
{
    in->where = node;
    if (!weir_ji_enter(in)) {
        return false;
    }
    bool good = eval_inner(in, node, out);
    weir_ji_leave(in);
    return good;
}

/* --- attributes ------------------------------------------------------------------------- */

static bool loop_neighbour(weir_ji_t *in, const weir_jloop_t *loop, bool next, weir_jv_t *out)
{
    if (next ? loop->i + 1 < loop->items->n : loop->i > 0) {
        *out = loop->items->items[next ? loop->i + 1 : loop->i - 1];
        return true;
    }
    return weir_jv_undefined(in, next ? "there is no next item" : "there is no previous item", out);
}

/* Attributes of the loop variable; *found false when there is none of that name. */
static bool loop_attr(weir_ji_t *in, weir_jv_t obj, const weir_js_t *name, weir_jv_t *out,
                      bool *found)
{
    const weir_jloop_t *l = obj.u.loop;
    int64_t n = l->items->n;
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"index", (int64_t)l->i + 1}, {"index0", l->i}, {"revindex", n - l->i},
                   {"revindex0", n - l->i - 1},  {"length", n},    {"depth", (int64_t)l->depth + 1},
                   {"depth0", l->depth}};
    *found = true;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (weir_js_is(name, numbers[i].name)) {
            *out = weir_jv_int(numbers[i].value, true);
            return true;
        }
    }
    if (weir_js_is(name, "first") || weir_js_is(name, "last")) {
        *out = weir_jv_bool(weir_js_is(name, "first") ? l->i == 0 : l->i + 1 == l->items->n);
        return true;
    }
    if (weir_js_is(name, "previtem") || weir_js_is(name, "nextitem")) {
        return loop_neighbour(in, l, weir_js_is(name, "nextitem"), out);
    }
    return weir_jmethod_get(in, obj, name, out, found);
}

static bool macro_attr(weir_ji_t *in, const weir_jmacro_t *m, const weir_js_t *name, weir_jv_t *out,
                       bool *found)
{
    *found = weir_js_is(name, "name") || weir_js_is(name, "arguments");
    if (weir_js_is(name, "name")) {
        *out = weir_jv_str(m->fn->name);
    } else if (*found) {
        weir_jlist_t *list = weir_jlist_new(in, m->fn->n_params);
        for (uint32_t i = 0; list != NULL && i < m->fn->n_params; i++) {
            if (!weir_jlist_push(in, list, weir_jv_str(in->tmpl->symbols[m->fn->params[i]]))) {
                return false;
            }
        }
        *out = weir_jv_tuple(list);
        return list != NULL;
    }
    return true;
}

/* What Python's getattr gives; *found false for AttributeError. */
static bool plain_attr(weir_ji_t *in, weir_jv_t obj, const weir_js_t *name, weir_jv_t *out,
                       bool *found)
{
    switch ((weir_jtype_t)obj.type) {
    case WEIR_JV_NAMESPACE:
        return weir_jdict_get(in, obj.u.dict, weir_jv_str(name), out, found);
    case WEIR_JV_LOOP:
        return loop_attr(in, obj, name, out, found);
    case WEIR_JV_MACRO:
        return macro_attr(in, obj.u.macro, name, out, found);
    case WEIR_JV_CYCLER:
        if (weir_js_is(name, "current")) {
            *out = obj.u.list->items[obj.u.list->pos];
            *found = true;
            return true;
        }
        return weir_jmethod_get(in, obj, name, out, found);
    default:
        return weir_jmethod_get(in, obj, name, out, found);
    }
}

/* obj[key] proper; *found false for LookupError and TypeError. */
static bool plain_item(weir_ji_t *in, weir_jv_t obj, weir_jv_t key, weir_jv_t *out, bool *found)
{
    int64_t i;
    int64_t n;
    *found = false;
    if (weir_jv_is(obj, WEIR_JV_DICT)) {
        bool hashable = !weir_jv_is(key, WEIR_JV_LIST) && !weir_jv_is(key, WEIR_JV_DICT);
        return !hashable || weir_jdict_get(in, obj.u.dict, key, out, found);
    }
    bool sequence = weir_jv_is(obj, WEIR_JV_STRING) || weir_jv_is(obj, WEIR_JV_LIST) ||
                    weir_jv_is(obj, WEIR_JV_TUPLE) || weir_jv_is(obj, WEIR_JV_RANGE);
    if (!sequence || !weir_jv_as_int(key, &i)) {
        return true;
    }
    if (!weir_jv_len(in, obj, &n)) {
        return false;
    }
    i += i < 0 ? n : 0;
    if (i < 0 || i >= n) {
        return true;
    }
    *found = true;
    if (weir_jv_is(obj, WEIR_JV_RANGE)) {
        *out = weir_jv_int(obj.u.range->start + i * obj.u.range->step, obj.trusted);
        return true;
    }
    if (!weir_jv_is(obj, WEIR_JV_STRING)) {
        *out = obj.u.list->items[i];
        return true;
    }
    uint32_t from = weir_js_offset(obj.u.s, (uint32_t)i);
    uint32_t to = weir_js_offset(obj.u.s, (uint32_t)i + 1);
    return weir_ji_work(in, to / 64) && weir_js_slice(in, obj.u.s, from, to, out);
}

static bool private_name(const weir_js_t *name)
{
    return name->len > 0 && name->data[0] == '_';
}

bool weir_ji_attr(weir_ji_t *in, weir_jv_t obj, const weir_js_t *name, weir_jv_t *out)
{
    bool found = false;
    if (weir_jv_is(obj, WEIR_JV_UNDEFINED)) {
        return weir_jv_fail_undefined(in, obj);
    }
    if (!private_name(name) && !plain_attr(in, obj, name, out, &found)) {
        return false;
    }
    if (!found && !plain_item(in, obj, weir_jv_str(name), out, &found)) {
        return false;
    }
    return found || weir_jv_missing(in, obj, weir_jv_str(name), out);
}

bool weir_ji_item(weir_ji_t *in, weir_jv_t obj, weir_jv_t key, weir_jv_t *out)
{
    bool found = false;
    if (weir_jv_is(obj, WEIR_JV_UNDEFINED)) {
        return weir_jv_fail_undefined(in, obj);
    }
    if (!plain_item(in, obj, key, out, &found)) {
        return false;
    }
    if (!found && weir_jv_is(key, WEIR_JV_STRING) && !private_name(key.u.s) &&
        !plain_attr(in, obj, key.u.s, out, &found)) {
        return false;
    }
    return found || weir_jv_missing(in, obj, key, out);
}

/* --- calls ------------------------------------------------------------------------------ */

static bool spread_keywords(weir_ji_t *in, const weir_jn_t *node, const weir_js_t **names,
                            weir_jv_t *values, uint32_t *n, uint32_t cap)
{
    weir_jv_t v;
    if (!weir_ji_eval(in, node, &v)) {
        return false;
    }
    if (!weir_jv_is(v, WEIR_JV_DICT) || v.u.dict->n > cap - *n) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "** needs a dict of at most %u names", cap - *n);
    }
    for (uint32_t i = 0; i < v.u.dict->n; i++) {
        if (!weir_jv_is(v.u.dict->entries[i].key, WEIR_JV_STRING)) {
            return weir_ji_fail(in, WEIR_ERR_INVALID, "keywords must be strings");
        }
        names[*n] = v.u.dict->entries[i].key.u.s;
        values[(*n)++] = v.u.dict->entries[i].value;
    }
    return true;
}

bool weir_ji_args(weir_ji_t *in, const weir_jargs_t *args, weir_jcall_t *call)
{
    *call = (weir_jcall_t){0};
    weir_jlist_t *pos = NULL;
    if ((args->n_pos > 0 || args->star != NULL) &&
        (pos = weir_jlist_new(in, args->n_pos)) == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < args->n_pos; i++) {
        weir_jv_t v;
        if (!weir_ji_eval(in, args->pos[i], &v) || !weir_jlist_push(in, pos, v)) {
            return false;
        }
    }
    if (args->star != NULL) {
        weir_jv_t rest;
        const weir_jlist_t *items;
        if (!weir_ji_eval(in, args->star, &rest) || !weir_jv_iterate(in, rest, &items)) {
            return false;
        }
        for (uint32_t i = 0; i < items->n; i++) {
            if (!weir_jlist_push(in, pos, items->items[i])) {
                return false;
            }
        }
    }
    if (pos != NULL) {
        call->pos = pos->items;
        call->n_pos = pos->n;
    }
    if (args->n_kw == 0 && args->star_star == NULL) {
        return true;
    }
    uint32_t cap = args->n_kw + (args->star_star == NULL ? 0 : 64);
    const weir_js_t **names = weir_ji_alloc(in, cap * sizeof(const weir_js_t *));
    weir_jv_t *values = weir_ji_alloc(in, cap * sizeof(*values));
    if (names == NULL || values == NULL) {
        return false;
    }
    uint32_t n = 0;
    for (; n < args->n_kw; n++) {
        names[n] = args->kw_names[n];
        if (!weir_ji_eval(in, args->kw[n], &values[n])) {
            return false;
        }
    }
    if (args->star_star != NULL && !spread_keywords(in, args->star_star, names, values, &n, cap)) {
        return false;
    }
    call->kw_names = names;
    call->kw = values;
    call->n_kw = n;
    return true;
}

bool weir_ji_call_builtin(weir_ji_t *in, const weir_jbuiltin_t *b, weir_jv_t self,
                          const weir_jcall_t *call, weir_jv_t *out)
{
    return weir_ji_work(in, 1) && b->fn(in, self, call, out);
}

bool weir_ji_call(weir_ji_t *in, weir_jv_t callee, const weir_jcall_t *call, weir_jv_t *out)
{
    weir_jv_t self;
    const weir_jbuiltin_t *b;
    switch ((weir_jtype_t)callee.type) {
    case WEIR_JV_UNDEFINED:
        return weir_jv_fail_undefined(in, callee);
    case WEIR_JV_MACRO:
        return weir_ji_macro(in, callee.u.macro, call, out);
    case WEIR_JV_FUNCTION:
        return weir_ji_call_builtin(in, weir_jfunction(callee.aux), callee, call, out);
    case WEIR_JV_METHOD:
        b = weir_jmethod_of(callee.u.method, &self);
        return weir_ji_call_builtin(in, b, self, call, out);
    case WEIR_JV_JOINER:
        if (callee.u.joiner->used) {
            *out = callee.u.joiner->sep;
            return true;
        }
        callee.u.joiner->used = true;
        return weir_jv_stringz(in, "", true, out);
    default:
        return weir_ji_fail(in, WEIR_ERR_INVALID, "'%s' object is not callable",
                            weir_jv_type_name(callee));
    }
}

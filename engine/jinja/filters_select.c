/* map, select and reject, which apply other filters and tests. */
#include "engine/jinja/filters.h"

static const weir_jv_t *keyword(const weir_jcall_t *call, const char *name)
{
    for (uint32_t i = 0; i < call->n_kw; i++) {
        if (weir_js_is(call->kw_names[i], name)) {
            return &call->kw[i];
        }
    }
    return NULL;
}

/* call without its first n positional arguments. */
static weir_jcall_t rest(const weir_jcall_t *call, uint32_t n)
{
    weir_jcall_t r = *call;
    r.pos += n;
    r.n_pos -= n;
    return r;
}

static bool map_attribute(weir_ji_t *in, const weir_jlist_t *items, const weir_jcall_t *call,
                          weir_jlist_t *mapped)
{
    const weir_jv_t *fallback = keyword(call, "default");
    weir_jv_t none = {.type = WEIR_JV_UNDEFINED};
    if (call->n_kw > (fallback == NULL ? 1u : 2u)) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "map() got an unexpected keyword argument");
    }
    for (uint32_t i = 0; i < items->n; i++) {
        weir_jv_t item;
        if (!weir_jattr_path(in, items->items[i], *keyword(call, "attribute"),
                             fallback == NULL ? none : *fallback, &item) ||
            !weir_jlist_push(in, mapped, item)) {
            return false;
        }
    }
    return true;
}

bool weir_jf_map(weir_ji_t *in, weir_jv_t v, const weir_jcall_t *call, weir_jv_t *out)
{
    const weir_jlist_t *items;
    weir_jlist_t *mapped = weir_jlist_new(in, 0);
    if (mapped == NULL || !weir_jv_iterate(in, v, &items)) {
        return false;
    }
    if (call->n_pos == 0 && keyword(call, "attribute") != NULL) {
        return map_attribute(in, items, call, mapped) && weir_jv_generator(in, mapped, out);
    }
    if (call->n_pos == 0 || !weir_jv_is(call->pos[0], WEIR_JV_STRING)) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "map requires a filter argument");
    }
    const weir_js_t *name = call->pos[0].u.s;
    int id = weir_jfilter_find(weir_str(name->data, name->len));
    if (id < 0) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "No filter named '%.*s'.", (int)name->len,
                            name->data);
    }
    weir_jcall_t args = rest(call, 1);
    if (!weir_ji_enter(in)) {
        return false;
    }
    for (uint32_t i = 0; i < items->n; i++) {
        weir_jv_t item;
        if (!weir_ji_call_builtin(in, weir_jfilter(id), items->items[i], &args, &item) ||
            !weir_jlist_push(in, mapped, item)) {
            return false;
        }
    }
    weir_ji_leave(in);
    return weir_jv_generator(in, mapped, out);
}

/* Items whose value (or attribute, the first argument then) passes a test, or is true. */
static bool choose(weir_ji_t *in, weir_jv_t v, const weir_jcall_t *call, bool by_attribute,
                   bool wanted, weir_jv_t *out)
{
    const weir_jlist_t *items;
    weir_jlist_t *kept = weir_jlist_new(in, 0);
    weir_jv_t attribute = {.type = WEIR_JV_UNDEFINED};
    weir_jcall_t args = *call;
    int test = -1;
    if (kept == NULL || !weir_jv_iterate(in, v, &items)) {
        return false;
    }
    if (by_attribute) {
        if (args.n_pos == 0) {
            return weir_ji_fail(in, WEIR_ERR_INVALID, "Missing parameter for attribute name");
        }
        attribute = args.pos[0];
        args = rest(&args, 1);
    }
    if (args.n_pos > 0) {
        const weir_js_t *name;
        if (!weir_jarg_str(in, args.pos[0], &name)) {
            return false;
        }
        test = weir_jtest_find(weir_str(name->data, name->len));
        if (test < 0) {
            return weir_ji_fail(in, WEIR_ERR_INVALID, "No test named '%.*s'.", (int)name->len,
                                name->data);
        }
        args = rest(&args, 1);
    }
    weir_jv_t none = {.type = WEIR_JV_UNDEFINED};
    for (uint32_t i = 0; i < items->n; i++) {
        weir_jv_t item;
        if (!weir_jattr_path(in, items->items[i], attribute, none, &item) ||
            (test >= 0 && !weir_ji_call_builtin(in, weir_jtest(test), item, &args, &item))) {
            return false;
        }
        if (weir_jv_truth(item) == wanted && !weir_jlist_push(in, kept, items->items[i])) {
            return false;
        }
    }
    return weir_jv_generator(in, kept, out);
}

bool weir_jf_select(weir_ji_t *in, weir_jv_t v, const weir_jcall_t *call, weir_jv_t *out)
{
    return choose(in, v, call, false, true, out);
}

bool weir_jf_reject(weir_ji_t *in, weir_jv_t v, const weir_jcall_t *call, weir_jv_t *out)
{
    return choose(in, v, call, false, false, out);
}

bool weir_jf_selectattr(weir_ji_t *in, weir_jv_t v, const weir_jcall_t *call, weir_jv_t *out)
{
    return choose(in, v, call, true, true, out);
}

bool weir_jf_rejectattr(weir_ji_t *in, weir_jv_t v, const weir_jcall_t *call, weir_jv_t *out)
{
    return choose(in, v, call, true, false, out);
}

bool weir_jf_format(weir_ji_t *in, weir_jv_t v, const weir_jcall_t *call, weir_jv_t *out)
{
    const weir_js_t *format;
    if (!weir_jv_to_string(in, v, &format)) {
        return false;
    }
    if (call->n_kw > 0 && call->n_pos > 0) {
        return weir_ji_fail(in, WEIR_ERR_INVALID,
                            "can't handle positional and keyword arguments at the same time");
    }
    if (call->n_kw == 0) {
        weir_jlist_t *args = weir_jlist_new(in, call->n_pos);
        for (uint32_t i = 0; args != NULL && i < call->n_pos; i++) {
            if (!weir_jlist_push(in, args, call->pos[i])) {
                return false;
            }
        }
        return args != NULL && weir_jformat_percent(in, format, weir_jv_tuple(args), out);
    }
    weir_jdict_t *named = weir_jdict_new(in);
    for (uint32_t i = 0; named != NULL && i < call->n_kw; i++) {
        if (!weir_jdict_set(in, named, weir_jv_str(call->kw_names[i]), call->kw[i])) {
            return false;
        }
    }
    return named != NULL && weir_jformat_percent(in, format, weir_jv_dict(named), out);
}

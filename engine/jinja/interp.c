/* Statements, scopes and calls. */
#include "engine/jinja/interp.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_MAX_STEPS  8000000u
#define DEFAULT_MAX_MEMORY (256u << 20)
#define DEFAULT_MAX_OUTPUT (32u << 20)
#define DEFAULT_MAX_DEPTH  400u

typedef enum { FLOW_ERROR, FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE } flow_t;

static flow_t execute(weir_ji_t *in, const weir_jn_t *node);

void weir_ji_set_error(weir_ji_t *in, weir_status_t status, const char *fmt, ...)
{
    if (in->status == WEIR_OK) {
        char text[200];
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        in->status =
            weir_error_at(&in->error, status, NULL, "template_error", "%s (chat template, line %u)",
                          text, in->where == NULL ? 0 : in->where->line);
    }
}

weir_arena_t *weir_ji_arena(weir_ji_t *in)
{
    return &in->arena;
}

void weir_ji_set_nomem(weir_ji_t *in)
{
    weir_ji_set_error(in, WEIR_ERR_LIMIT, "the template needs more than %zu bytes of memory",
                      in->limits.max_memory);
}

bool weir_ji_work(weir_ji_t *in, uint64_t n)
{
    if (n > in->steps) {
        in->steps = 0;
        return weir_ji_fail(in, WEIR_ERR_LIMIT, "the template takes more than %llu steps",
                            (unsigned long long)in->limits.max_steps);
    }
    in->steps -= n;
    return true;
}

bool weir_ji_enter(weir_ji_t *in)
{
    if (++in->depth > in->limits.max_depth) {
        return weir_ji_fail(in, WEIR_ERR_LIMIT, "evaluation nested more than %u deep",
                            in->limits.max_depth);
    }
    return weir_ji_work(in, 1);
}

void weir_ji_leave(weir_ji_t *in)
{
    in->depth--;
}

void *weir_ji_alloc(weir_ji_t *in, size_t size)
{
    void *p = weir_arena_alloc(&in->arena, size);
    if (p == NULL) {
        weir_ji_set_nomem(in);
    }
    return p;
}

/* --- variables -------------------------------------------------------------------------- */

bool weir_ji_push_scope(weir_ji_t *in)
{
    weir_jscope_t *scope = weir_ji_alloc(in, sizeof(*scope));
    if (scope == NULL) {
        return false;
    }
    *scope = (weir_jscope_t){.outer = in->scope};
    in->scope = scope;
    return true;
}

bool weir_ji_set(weir_ji_t *in, uint32_t sym, weir_jv_t value)
{
    weir_jscope_t *scope = in->scope;
    for (uint32_t i = 0; i < scope->n; i++) {
        if (scope->vars[i].sym == sym) {
            scope->vars[i].value = value;
            return true;
        }
    }
    if (scope->n == scope->cap) {
        uint32_t cap = scope->cap == 0 ? 4 : scope->cap * 2;
        weir_jvar_t *grown = weir_ji_alloc(in, cap * sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        if (scope->n > 0) {
            memcpy(grown, scope->vars, scope->n * sizeof(*grown));
        }
        scope->vars = grown;
        scope->cap = cap;
    }
    scope->vars[scope->n++] = (weir_jvar_t){.sym = sym, .value = value};
    return true;
}

const weir_jv_t *weir_ji_lookup(const weir_ji_t *in, uint32_t sym)
{
    for (const weir_jscope_t *s = in->scope; s != NULL; s = s->outer) {
        for (uint32_t i = 0; i < s->n; i++) {
            if (s->vars[i].sym == sym) {
                return &s->vars[i].value;
            }
        }
    }
    return NULL;
}

static bool assign_attribute(weir_ji_t *in, const weir_jn_t *target, weir_jv_t value)
{
    const weir_jv_t *ns = weir_ji_lookup(in, target->sym);
    weir_jv_t name = weir_jv_str(target->str);
    if (ns == NULL || !weir_jv_is(*ns, WEIR_JV_NAMESPACE)) {
        return weir_ji_fail(in, WEIR_ERR_INVALID,
                            "cannot assign attribute on non-namespace object");
    }
    return weir_jdict_set(in, ns->u.dict, name, value);
}

static bool assign(weir_ji_t *in, const weir_jn_t *target, weir_jv_t value)
{
    in->where = target;
    if (target->kind == WEIR_JN_NAME) {
        return weir_ji_set(in, target->sym, value);
    }
    if (target->kind == WEIR_JN_NSREF) {
        return assign_attribute(in, target, value);
    }
    const weir_jlist_t *items;
    if (weir_jv_is(value, WEIR_JV_UNDEFINED)) {
        return weir_jv_fail_undefined(in, value);
    }
    if (!weir_jv_iterate(in, value, &items)) {
        return false;
    }
    if (items->n < target->n) {
        return weir_ji_fail(in, WEIR_ERR_INVALID,
                            "not enough values to unpack (expected %u, got %u)", target->n,
                            items->n);
    }
    if (items->n > target->n) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "too many values to unpack (expected %u)",
                            target->n);
    }
    for (uint32_t i = 0; i < target->n; i++) {
        if (!assign(in, target->list[i], items->items[i])) {
            return false;
        }
    }
    return true;
}

/* --- statements ------------------------------------------------------------------------- */

static flow_t as_flow(bool good)
{
    return good ? FLOW_NEXT : FLOW_ERROR;
}

static flow_t execute_if(weir_ji_t *in, const weir_jn_t *node)
{
    for (uint32_t i = 0; i + 1 < node->n; i += 2) {
        weir_jv_t cond;
        if (!weir_ji_eval(in, node->list[i], &cond)) {
            return FLOW_ERROR;
        }
        if (weir_jv_truth(cond)) {
            return execute(in, node->list[i + 1]);
        }
    }
    return node->a == NULL ? FLOW_NEXT : execute(in, node->a);
}

/* The items of the loop that pass its filter. */
static bool filter_items(weir_ji_t *in, const weir_jn_t *node, const weir_jlist_t **items)
{
    if (node->c == NULL) {
        return true;
    }
    weir_jlist_t *kept = weir_jlist_new(in, 0);
    weir_jscope_t *outer = in->scope;
    if (kept == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < (*items)->n; i++) {
        weir_jv_t cond;
        in->scope = outer;
        if (!weir_ji_push_scope(in) || !assign(in, node->a, (*items)->items[i]) ||
            !weir_ji_eval(in, node->c, &cond)) {
            return false;
        }
        if (weir_jv_truth(cond) && !weir_jlist_push(in, kept, (*items)->items[i])) {
            return false;
        }
    }
    in->scope = outer;
    *items = kept;
    return true;
}

static flow_t execute_for(weir_ji_t *in, const weir_jn_t *node)
{
    weir_jv_t iterable;
    const weir_jlist_t *items;
    if (!weir_ji_eval(in, node->b, &iterable) || !weir_jv_iterate(in, iterable, &items) ||
        !filter_items(in, node, &items)) {
        return FLOW_ERROR;
    }
    weir_jloop_t *loop = weir_ji_alloc(in, sizeof(*loop));
    if (loop == NULL) {
        return FLOW_ERROR;
    }
    *loop = (weir_jloop_t){.items = items, .depth = in->loop_depth++};
    weir_jscope_t *outer = in->scope;
    weir_jv_t value = {.type = WEIR_JV_LOOP, .u.loop = loop};
    flow_t flow = FLOW_NEXT;
    /* else runs when no iteration came to its end, as jinja2 clears its flag behind the body. */
    bool completed = false;
    for (; loop->i < items->n && flow != FLOW_BREAK; loop->i++) {
        in->scope = outer;
        if (!weir_ji_push_scope(in) || !weir_ji_set(in, in->sym_loop, value) ||
            !assign(in, node->a, items->items[loop->i])) {
            return FLOW_ERROR;
        }
        flow = execute(in, node->list[0]);
        if (flow == FLOW_ERROR) {
            return FLOW_ERROR;
        }
        completed |= flow == FLOW_NEXT;
    }
    in->scope = outer;
    in->loop_depth--;
    if (node->list[1] == NULL || completed) {
        return FLOW_NEXT;
    }
    if (!weir_ji_push_scope(in)) {
        return FLOW_ERROR;
    }
    flow = execute(in, node->list[1]);
    in->scope = outer;
    return flow;
}

/* Runs body in a scope of its own and captures what it prints. */
static flow_t capture(weir_ji_t *in, const weir_jn_t *body, weir_jv_t *out)
{
    weir_jb_t b;
    weir_jb_t *outer = in->out;
    weir_jscope_t *scope = in->scope;
    weir_jb_init(&b, in);
    if (!weir_ji_push_scope(in)) {
        return FLOW_ERROR;
    }
    in->out = &b;
    flow_t flow = execute(in, body);
    in->out = outer;
    in->scope = scope;
    if (flow != FLOW_ERROR && !weir_jb_finish(&b, out)) {
        return FLOW_ERROR;
    }
    return flow;
}

/* Applies a filter chain over PIPED to text. */
static bool apply_filters(weir_ji_t *in, const weir_jn_t *chain, weir_jv_t *text)
{
    weir_jv_t outer = in->piped;
    in->piped = *text;
    bool good = weir_ji_eval(in, chain, text);
    in->piped = outer;
    return good;
}

static flow_t execute_set_block(weir_ji_t *in, const weir_jn_t *node)
{
    weir_jv_t text;
    flow_t flow = capture(in, node->b, &text);
    if (flow != FLOW_NEXT) {
        return flow;
    }
    if (node->c != NULL && !apply_filters(in, node->c, &text)) {
        return FLOW_ERROR;
    }
    return as_flow(assign(in, node->a, text));
}

static flow_t execute_filter_block(weir_ji_t *in, const weir_jn_t *node)
{
    weir_jv_t text;
    flow_t flow = capture(in, node->b, &text);
    if (flow != FLOW_NEXT) {
        return flow;
    }
    return as_flow(apply_filters(in, node->a, &text) && weir_jv_print(in->out, text));
}

static flow_t execute_with(weir_ji_t *in, const weir_jn_t *node)
{
    weir_jscope_t *outer = in->scope;
    weir_jlist_t *values = weir_jlist_new(in, node->n / 2);
    if (values == NULL) {
        return FLOW_ERROR;
    }
    /* All values are evaluated outside before the first is assigned. */
    for (uint32_t i = 0; i + 1 < node->n; i += 2) {
        weir_jv_t v;
        if (!weir_ji_eval(in, node->list[i + 1], &v) || !weir_jlist_push(in, values, v)) {
            return FLOW_ERROR;
        }
    }
    if (!weir_ji_push_scope(in)) {
        return FLOW_ERROR;
    }
    for (uint32_t i = 0; i + 1 < node->n; i += 2) {
        if (!assign(in, node->list[i], values->items[i / 2])) {
            return FLOW_ERROR;
        }
    }
    flow_t flow = execute(in, node->list[node->n - 1]);
    in->scope = outer;
    return flow;
}

static flow_t execute_scope(weir_ji_t *in, const weir_jn_t *node)
{
    weir_jscope_t *outer = in->scope;
    if (!weir_ji_push_scope(in)) {
        return FLOW_ERROR;
    }
    flow_t flow = execute(in, node->a);
    in->scope = outer;
    return flow;
}

static bool make_macro(weir_ji_t *in, const weir_jfn_t *fn, weir_jv_t *out)
{
    weir_jmacro_t *macro = weir_ji_alloc(in, sizeof(*macro));
    if (macro == NULL) {
        return false;
    }
    *macro = (weir_jmacro_t){.fn = fn, .scope = in->scope};
    *out = (weir_jv_t){.type = WEIR_JV_MACRO, .u.macro = macro};
    return true;
}

/* {% call(...) f(...) %}: f(..., caller=macro of the body). */
static bool execute_call_block(weir_ji_t *in, const weir_jn_t *node)
{
    weir_jv_t callee;
    weir_jv_t caller;
    weir_jv_t result;
    weir_jcall_t call;
    if (!weir_ji_eval(in, node->a->a, &callee) || !weir_ji_args(in, node->a->x.args, &call) ||
        !make_macro(in, node->x.fn, &caller)) {
        return false;
    }
    const weir_js_t **names = weir_ji_alloc(in, (call.n_kw + 1) * sizeof(const weir_js_t *));
    weir_jv_t *values = weir_ji_alloc(in, (call.n_kw + 1) * sizeof(*values));
    if (names == NULL || values == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < call.n_kw; i++) {
        names[i] = call.kw_names[i];
        values[i] = call.kw[i];
    }
    names[call.n_kw] = node->x.fn->name;
    values[call.n_kw] = caller;
    call.kw_names = names;
    call.kw = values;
    call.n_kw++;
    return weir_ji_call(in, callee, &call, &result) && weir_jv_print(in->out, result);
}

static flow_t execute_block(weir_ji_t *in, const weir_jn_t *node)
{
    for (uint32_t i = 0; i < node->n; i++) {
        flow_t flow = execute(in, node->list[i]);
        if (flow != FLOW_NEXT) {
            return flow;
        }
    }
    return FLOW_NEXT;
}

static flow_t execute_simple(weir_ji_t *in, const weir_jn_t *node)
{
    weir_jv_t v;
    switch ((weir_jnode_kind_t)node->kind) {
    case WEIR_JN_TEXT:
        weir_jb_str(in->out, node->str);
        return as_flow(!in->out->failed);
    case WEIR_JN_PRINT:
        return as_flow(weir_ji_eval(in, node->a, &v) && weir_jv_print(in->out, v));
    case WEIR_JN_SET:
        return as_flow(weir_ji_eval(in, node->b, &v) && assign(in, node->a, v));
    case WEIR_JN_MACRO:
        return as_flow(make_macro(in, node->x.fn, &v) && weir_ji_set(in, node->x.fn->sym, v));
    case WEIR_JN_CALLBLOCK:
        return as_flow(execute_call_block(in, node));
    case WEIR_JN_BREAK:
        return FLOW_BREAK;
    case WEIR_JN_CONTINUE:
        return FLOW_CONTINUE;
    default:
        weir_ji_set_error(in, WEIR_ERR_INTERNAL, "not a statement");
        return FLOW_ERROR;
    }
}

static flow_t execute_inner(weir_ji_t *in, const weir_jn_t *node)
{
    switch ((weir_jnode_kind_t)node->kind) {
    case WEIR_JN_BLOCK:
        return execute_block(in, node);
    case WEIR_JN_IF:
        return execute_if(in, node);
    case WEIR_JN_FOR:
        return execute_for(in, node);
    case WEIR_JN_SETBLOCK:
        return execute_set_block(in, node);
    case WEIR_JN_FILTERBLOCK:
        return execute_filter_block(in, node);
    case WEIR_JN_WITH:
        return execute_with(in, node);
    case WEIR_JN_SCOPE:
        return execute_scope(in, node);
    default:
        return execute_simple(in, node);
    }
}

static flow_t execute(weir_ji_t *in, const weir_jn_t *node)
{
    in->where = node;
    if (!weir_ji_enter(in)) {
        return FLOW_ERROR;
    }
    flow_t flow = execute_inner(in, node);
    weir_ji_leave(in);
    return flow;
}

/* --- macros ----------------------------------------------------------------------------- */

static bool undefined_parameter(weir_ji_t *in, const weir_js_t *name, weir_jv_t *out)
{
    char text[160];
    snprintf(text, sizeof(text), "parameter '%.*s' was not provided",
             (int)(name->len < 100 ? name->len : 100), name->data);
    char *copy = weir_arena_strndup(&in->arena, text, strlen(text));
    return copy == NULL ? weir_ji_nomem(in) : weir_jv_undefined(in, copy, out);
}

/* A keyword argument that is no parameter: caller, **kwargs, or an error. */
static bool extra_keyword(weir_ji_t *in, const weir_jfn_t *fn, const weir_js_t *name,
                          weir_jv_t value, weir_jdict_t *kwargs)
{
    if (weir_js_is(name, "caller") && fn->uses_caller) {
        return weir_ji_set(in, in->sym_caller, value);
    }
    if (fn->uses_kwargs) {
        return weir_jdict_set(in, kwargs, weir_jv_str(name), value);
    }
    return weir_ji_fail(in, WEIR_ERR_INVALID, "macro '%.*s' takes no keyword argument '%.*s'",
                        (int)fn->name->len, fn->name->data, (int)name->len, name->data);
}

static bool extra_positional(weir_ji_t *in, const weir_jfn_t *fn, const weir_jcall_t *call)
{
    weir_jlist_t *rest = weir_jlist_new(in, 0);
    if (rest == NULL) {
        return false;
    }
    for (uint32_t i = fn->n_params; i < call->n_pos; i++) {
        if (!weir_jlist_push(in, rest, call->pos[i])) {
            return false;
        }
    }
    if (fn->uses_varargs) {
        return weir_ji_set(in, in->sym_varargs, weir_jv_tuple(rest));
    }
    if (rest->n > 0) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "macro '%.*s' takes not more than %u argument(s)",
                            (int)fn->name->len, fn->name->data, fn->n_params);
    }
    return true;
}

static const weir_jv_t *keyword(const weir_jcall_t *call, const weir_js_t *name)
{
    for (uint32_t i = 0; i < call->n_kw; i++) {
        if (weir_js_equal(call->kw_names[i], name)) {
            return &call->kw[i];
        }
    }
    return NULL;
}

static bool bind_parameters(weir_ji_t *in, const weir_jfn_t *fn, const weir_jcall_t *call)
{
    for (uint32_t i = 0; i < fn->n_params; i++) {
        const weir_js_t *name = in->tmpl->symbols[fn->params[i]];
        const weir_jv_t *given = i < call->n_pos ? &call->pos[i] : keyword(call, name);
        weir_jv_t value;
        if (given != NULL) {
            value = *given;
        } else if (i + fn->n_defaults >= fn->n_params) {
            uint32_t k = i + fn->n_defaults - fn->n_params;
            if (!weir_ji_eval(in, fn->defaults[k], &value)) {
                return false;
            }
        } else if (!undefined_parameter(in, name, &value)) {
            return false;
        }
        if (!weir_ji_set(in, fn->params[i], value)) {
            return false;
        }
    }
    return true;
}

static bool bind_extras(weir_ji_t *in, const weir_jfn_t *fn, const weir_jcall_t *call)
{
    weir_jdict_t *kwargs = weir_jdict_new(in);
    weir_jv_t none;
    if (kwargs == NULL || !weir_jv_undefined(in, "No caller defined", &none) ||
        (fn->uses_caller && !weir_ji_set(in, in->sym_caller, none))) {
        return false;
    }
    for (uint32_t k = 0; k < call->n_kw; k++) {
        bool known = false;
        for (uint32_t i = 0; i < fn->n_params && !known; i++) {
            known = weir_js_equal(in->tmpl->symbols[fn->params[i]], call->kw_names[k]);
            if (known && i < call->n_pos) {
                return weir_ji_fail(in, WEIR_ERR_INVALID,
                                    "macro '%.*s' got multiple values for argument '%.*s'",
                                    (int)fn->name->len, fn->name->data, (int)call->kw_names[k]->len,
                                    call->kw_names[k]->data);
            }
        }
        if (!known && !extra_keyword(in, fn, call->kw_names[k], call->kw[k], kwargs)) {
            return false;
        }
    }
    if (fn->uses_kwargs && !weir_ji_set(in, in->sym_kwargs, weir_jv_dict(kwargs))) {
        return false;
    }
    return extra_positional(in, fn, call);
}

bool weir_ji_macro(weir_ji_t *in, const weir_jmacro_t *macro, const weir_jcall_t *call,
                   weir_jv_t *out)
{
    weir_jscope_t *scope = in->scope;
    weir_jb_t *outer = in->out;
    const weir_jn_t *where = in->where;
    weir_jb_t b;
    weir_jb_init(&b, in);
    if (!weir_ji_enter(in)) {
        return false;
    }
    in->scope = macro->scope;
    if (!weir_ji_push_scope(in) || !bind_extras(in, macro->fn, call) ||
        !bind_parameters(in, macro->fn, call)) {
        return false;
    }
    // cppcheck-suppress autoVariables
    in->out = &b;
    bool good = execute(in, macro->fn->body) != FLOW_ERROR;
    in->out = outer;
    if (!good) {
        return false;
    }
    in->scope = scope;
    in->where = where;
    weir_ji_leave(in);
    return weir_jb_finish(&b, out);
}

/* --- a rendering ------------------------------------------------------------------------ */

static void set_limits(weir_jinja_limits_t *l, const weir_jinja_limits_t *wanted)
{
    if (wanted != NULL) {
        *l = *wanted;
    }
    l->max_steps = l->max_steps == 0 ? DEFAULT_MAX_STEPS : l->max_steps;
    l->max_memory = l->max_memory == 0 ? DEFAULT_MAX_MEMORY : l->max_memory;
    l->max_output = l->max_output == 0 ? DEFAULT_MAX_OUTPUT : l->max_output;
    l->max_depth = l->max_depth == 0 ? DEFAULT_MAX_DEPTH : l->max_depth;
}

static bool find_symbol(const weir_jinja_template_t *t, weir_str_t name, uint32_t *sym)
{
    for (uint32_t i = 0; i < t->n_symbols; i++) {
        if (weir_str_eq(weir_str(t->symbols[i]->data, t->symbols[i]->len), name)) {
            *sym = i;
            return true;
        }
    }
    return false;
}

/* Symbols that the template does not mention get a number that no node has. */
static uint32_t special_symbol(const weir_jinja_template_t *t, const char *name)
{
    uint32_t sym;
    return find_symbol(t, weir_str(name, strlen(name)), &sym) ? sym : UINT32_MAX;
}

static bool set_globals(weir_ji_t *in)
{
    for (uint32_t i = 0; weir_jfunction(i) != NULL; i++) {
        const char *name = weir_jfunction(i)->name;
        uint32_t sym;
        weir_jv_t fn = {.type = WEIR_JV_FUNCTION, .aux = (uint16_t)i};
        if (find_symbol(in->tmpl, weir_str(name, strlen(name)), &sym) &&
            !weir_ji_set(in, sym, fn)) {
            return false;
        }
    }
    return true;
}

weir_status_t weir_jinja_status(const weir_jinja_t *in, weir_error_t *err)
{
    if (in->status != WEIR_OK && err != NULL) {
        *err = in->error;
    }
    return in->status;
}

weir_status_t weir_jinja_begin(const weir_jinja_template_t *tmpl, const weir_jinja_limits_t *limits,
                               weir_jinja_t **out, weir_error_t *err)
{
    weir_ji_t *in = calloc(1, sizeof(*in));
    if (in == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory for rendering a template");
    }
    in->tmpl = tmpl;
    set_limits(&in->limits, limits);
    weir_arena_init(&in->arena, 64 * 1024, in->limits.max_memory);
    in->steps = in->limits.max_steps;
    in->sym_loop = special_symbol(tmpl, "loop");
    in->sym_caller = special_symbol(tmpl, "caller");
    in->sym_varargs = special_symbol(tmpl, "varargs");
    in->sym_kwargs = special_symbol(tmpl, "kwargs");
    /* Functions lie in a scope around the variables, so that these hide them. */
    if (!weir_ji_push_scope(in) || !set_globals(in) || !weir_ji_push_scope(in)) {
        weir_status_t status = weir_jinja_status(in, err);
        weir_jinja_end(in);
        return status;
    }
    *out = in;
    return WEIR_OK;
}

void weir_jinja_end(weir_jinja_t *in)
{
    if (in != NULL) {
        weir_arena_free(&in->arena);
        free(in);
    }
}

void weir_jinja_set_now(weir_jinja_t *in, time_t now)
{
    in->now = now;
}

weir_status_t weir_jinja_set_value(weir_jinja_t *in, weir_str_t name, weir_jv_t value,
                                   weir_error_t *err)
{
    uint32_t sym;
    if (in->status == WEIR_OK && find_symbol(in->tmpl, name, &sym)) {
        weir_ji_set(in, sym, value);
    }
    return weir_jinja_status(in, err);
}

weir_status_t weir_jinja_set_json(weir_jinja_t *in, const char *name, const weir_json_doc_t *doc,
                                  uint32_t node, weir_error_t *err)
{
    weir_jv_t v;
    if (!weir_jv_from_json(in, doc, node, false, &v)) {
        return weir_jinja_status(in, err);
    }
    return weir_jinja_set_value(in, weir_str(name, strlen(name)), v, err);
}

weir_status_t weir_jinja_set_string(weir_jinja_t *in, const char *name, weir_str_t value,
                                    bool trusted, weir_error_t *err)
{
    weir_jv_t v;
    if (!weir_jv_string(in, value.data, value.len, trusted, &v)) {
        return weir_jinja_status(in, err);
    }
    return weir_jinja_set_value(in, weir_str(name, strlen(name)), v, err);
}

weir_status_t weir_jinja_set_bool(weir_jinja_t *in, const char *name, bool value, weir_error_t *err)
{
    return weir_jinja_set_value(in, weir_str(name, strlen(name)), weir_jv_bool(value), err);
}

weir_status_t weir_jinja_set_none(weir_jinja_t *in, const char *name, weir_error_t *err)
{
    return weir_jinja_set_value(in, weir_str(name, strlen(name)), weir_jv_none(), err);
}

static weir_status_t copy_output(const weir_jb_t *b, weir_arena_t *arena, weir_jinja_output_t *out,
                                 weir_error_t *err)
{
    char *text = weir_arena_strndup(arena, b->buf.data, b->buf.len);
    weir_jinja_span_t *spans = weir_arena_calloc(arena, b->n_segs, sizeof(*spans));
    if (text == NULL || spans == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory for a rendered template");
    }
    uint32_t start = 0;
    for (uint32_t i = 0; i < b->n_segs; i++) {
        spans[i] = (weir_jinja_span_t){start, b->segs[i].end, b->segs[i].trusted};
        start = b->segs[i].end;
    }
    *out = (weir_jinja_output_t){weir_str(text, b->buf.len), spans, b->n_segs};
    return WEIR_OK;
}

weir_status_t weir_jinja_render(weir_jinja_t *in, weir_arena_t *arena, weir_jinja_output_t *out,
                                weir_error_t *err)
{
    weir_jb_t b;
    weir_jb_init(&b, in);
    // cppcheck-suppress autoVariables
    in->out = &b;
    if (in->status == WEIR_OK) {
        execute(in, in->tmpl->root);
    }
    in->out = NULL;
    return in->status == WEIR_OK ? copy_output(&b, arena, out, err) : weir_jinja_status(in, err);
}

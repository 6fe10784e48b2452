/* Methods of lists, dicts, loops and cyclers, and finding a method by its name. */
#include "engine/jinja/methods.h"

#define METHOD(name) \
    static bool name(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, weir_jv_t *out)

/* --- dict ------------------------------------------------------------------------------- */

static bool no_arguments(weir_ji_t *in, const weir_jcall_t *call, const char *name)
{
    return (call->n_pos == 0 && call->n_kw == 0) ||
           weir_ji_fail(in, WEIR_ERR_INVALID, "%s() takes no arguments (%u given)", name,
                        call->n_pos + call->n_kw);
}

static bool positional(weir_ji_t *in, const weir_jcall_t *call, const char *name, uint32_t min,
                       uint32_t max)
{
    return (call->n_kw == 0 && call->n_pos >= min && call->n_pos <= max) ||
           weir_ji_fail(in, WEIR_ERR_INVALID, "%s() takes %u to %u arguments (%u given)", name, min,
                        max, call->n_pos + call->n_kw);
}

static bool view(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, uint16_t kind,
                 weir_jv_t *out)
{
    *out = self;
    out->type = WEIR_JV_VIEW;
    out->aux = kind;
    return no_arguments(in, call,
                        kind == WEIR_JVIEW_KEYS     ? "keys"
                        : kind == WEIR_JVIEW_VALUES ? "values"
                                                    : "items");
}

METHOD(dict_keys)
{
    return view(in, self, call, WEIR_JVIEW_KEYS, out);
}

METHOD(dict_values)
{
    return view(in, self, call, WEIR_JVIEW_VALUES, out);
}

METHOD(dict_items)
{
    return view(in, self, call, WEIR_JVIEW_ITEMS, out);
}

METHOD(dict_get)
{
    bool found = false;
    if (!positional(in, call, "get", 1, 2) ||
        !weir_jdict_get(in, self.u.dict, call->pos[0], out, &found)) {
        return false;
    }
    if (!found) {
        *out = call->n_pos > 1 ? call->pos[1] : weir_jv_none();
    }
    return true;
}

METHOD(dict_pop)
{
    bool found = false;
    if (!positional(in, call, "pop", 1, 2) ||
        !weir_jdict_pop(in, self.u.dict, call->pos[0], out, &found)) {
        return false;
    }
    if (!found && call->n_pos > 1) {
        *out = call->pos[1];
        return true;
    }
    return found || weir_ji_fail(in, WEIR_ERR_INVALID, "pop(): there is no such key");
}

METHOD(dict_update)
{
    *out = weir_jv_none();
    return weir_jdict_update(in, self.u.dict, call);
}

METHOD(dict_setdefault)
{
    bool found = false;
    if (!positional(in, call, "setdefault", 1, 2) ||
        !weir_jdict_get(in, self.u.dict, call->pos[0], out, &found)) {
        return false;
    }
    if (found) {
        return true;
    }
    *out = call->n_pos > 1 ? call->pos[1] : weir_jv_none();
    return weir_jdict_set(in, self.u.dict, call->pos[0], *out);
}

METHOD(dict_copy)
{
    weir_jdict_t *d = weir_jdict_new(in);
    weir_jcall_t from = {.pos = &self, .n_pos = 1};
    if (d == NULL || !no_arguments(in, call, "copy") || !weir_jdict_update(in, d, &from)) {
        return false;
    }
    *out = weir_jv_dict(d);
    return true;
}

/* --- list ------------------------------------------------------------------------------- */

METHOD(list_append)
{
    *out = weir_jv_none();
    return positional(in, call, "append", 1, 1) && weir_jlist_push(in, self.u.list, call->pos[0]);
}

METHOD(list_extend)
{
    const weir_jlist_t *items;
    *out = weir_jv_none();
    if (!positional(in, call, "extend", 1, 1) || !weir_jv_iterate(in, call->pos[0], &items)) {
        return false;
    }
    uint32_t n = items->n; /* extending a list by itself doubles it */
    for (uint32_t i = 0; i < n; i++) {
        if (!weir_jlist_push(in, self.u.list, items->items[i])) {
            return false;
        }
    }
    return true;
}

METHOD(list_copy)
{
    weir_jv_t parts[3] = {weir_jv_none(), weir_jv_none(), weir_jv_none()};
    return no_arguments(in, call, "copy") && weir_ji_slice(in, self, parts, out);
}

METHOD(list_pop)
{
    weir_jlist_t *list = self.u.list;
    int64_t i = -1;
    if (!positional(in, call, "pop", 0, 1) ||
        (call->n_pos == 1 && !weir_jarg_int(in, call->pos[0], -1, &i))) {
        return false;
    }
    i += i < 0 ? list->n : 0;
    if (i < 0 || i >= list->n) {
        return weir_ji_fail(in, WEIR_ERR_INVALID,
                            list->n == 0 ? "pop from empty list" : "pop index out of range");
    }
    *out = list->items[i];
    memmove(&list->items[i], &list->items[i + 1],
            (size_t)(list->n - (uint32_t)i - 1) * sizeof(*list->items));
    list->n--;
    return weir_ji_work(in, list->n / 8);
}

METHOD(list_insert)
{
    weir_jlist_t *list = self.u.list;
    int64_t i;
    *out = weir_jv_none();
    if (!positional(in, call, "insert", 2, 2) || !weir_jarg_int(in, call->pos[0], 0, &i) ||
        !weir_jlist_push(in, list, call->pos[1])) {
        return false;
    }
    int64_t n = (int64_t)list->n - 1;
    i = i < -n ? 0 : i < 0 ? i + n : i > n ? n : i;
    memmove(&list->items[i + 1], &list->items[i], (size_t)(n - i) * sizeof(*list->items));
    list->items[i] = call->pos[1];
    return weir_ji_work(in, list->n / 8);
}

METHOD(sequence_index)
{
    bool same = false;
    if (!positional(in, call, "index", 1, 1)) {
        return false;
    }
    for (uint32_t i = 0; i < self.u.list->n; i++) {
        if (!weir_jv_equal(in, self.u.list->items[i], call->pos[0], &same)) {
            return false;
        }
        if (same) {
            *out = weir_jv_int(i, false);
            return true;
        }
    }
    return weir_ji_fail(in, WEIR_ERR_INVALID, "index(): the value is not in the list");
}

METHOD(sequence_count)
{
    int64_t n = 0;
    if (!positional(in, call, "count", 1, 1)) {
        return false;
    }
    for (uint32_t i = 0; i < self.u.list->n; i++) {
        bool same = false;
        if (!weir_jv_equal(in, self.u.list->items[i], call->pos[0], &same)) {
            return false;
        }
        n += same;
    }
    *out = weir_jv_int(n, false);
    return true;
}

/* --- loop and cycler -------------------------------------------------------------------- */

METHOD(loop_cycle)
{
    if (call->n_pos == 0 || call->n_kw > 0) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "no items for cycling given");
    }
    *out = call->pos[self.u.loop->i % call->n_pos];
    return true;
}

METHOD(loop_changed)
{
    weir_jlist_t *now = weir_jlist_new(in, call->n_pos);
    bool same = false;
    for (uint32_t i = 0; now != NULL && i < call->n_pos; i++) {
        if (!weir_jlist_push(in, now, call->pos[i])) {
            return false;
        }
    }
    if (now == NULL ||
        (self.u.loop->last_changed != NULL &&
         !weir_jv_equal(in, weir_jv_list(now), weir_jv_list(self.u.loop->last_changed), &same))) {
        return false;
    }
    self.u.loop->last_changed = now;
    *out = weir_jv_bool(!same);
    return true;
}

METHOD(cycler_next)
{
    *out = self.u.list->items[self.u.list->pos];
    self.u.list->pos = (self.u.list->pos + 1) % self.u.list->n;
    return no_arguments(in, call, "next");
}

METHOD(cycler_reset)
{
    self.u.list->pos = 0;
    *out = weir_jv_none();
    return no_arguments(in, call, "reset");
}

/* --- finding ---------------------------------------------------------------------------- */

static const weir_jbuiltin_t dict_methods[] = {{"items", dict_items, 0, {NULL}},
                                               {"keys", dict_keys, 0, {NULL}},
                                               {"values", dict_values, 0, {NULL}},
                                               {"get", dict_get, 0, {NULL}},
                                               {"pop", dict_pop, 0, {NULL}},
                                               {"update", dict_update, 0, {NULL}},
                                               {"setdefault", dict_setdefault, 0, {NULL}},
                                               {"copy", dict_copy, 0, {NULL}},
                                               {NULL, NULL, 0, {NULL}}};
static const weir_jbuiltin_t list_methods[] = {
    {"append", list_append, 0, {NULL}},   {"pop", list_pop, 0, {NULL}},
    {"extend", list_extend, 0, {NULL}},   {"insert", list_insert, 0, {NULL}},
    {"index", sequence_index, 0, {NULL}}, {"count", sequence_count, 0, {NULL}},
    {"copy", list_copy, 0, {NULL}},       {NULL, NULL, 0, {NULL}}};
static const weir_jbuiltin_t tuple_methods[] = {{"index", sequence_index, 0, {NULL}},
                                                {"count", sequence_count, 0, {NULL}},
                                                {NULL, NULL, 0, {NULL}}};
static const weir_jbuiltin_t loop_methods[] = {{"cycle", loop_cycle, 0, {NULL}},
                                               {"changed", loop_changed, 0, {NULL}},
                                               {NULL, NULL, 0, {NULL}}};
static const weir_jbuiltin_t cycler_methods[] = {
    {"next", cycler_next, 0, {NULL}}, {"reset", cycler_reset, 0, {NULL}}, {NULL, NULL, 0, {NULL}}};
static const weir_jbuiltin_t no_methods[] = {{NULL, NULL, 0, {NULL}}};

/* What Python has and this component has not; a call is refused when the template is compiled. The
 * sandbox hides those that change a dict or list: such an attribute is undefined. */
static const char *const foreign_str[] = {"casefold",  "encode",       "expandtabs",  "format_map",
                                          "isdecimal", "isidentifier", "isprintable", "istitle",
                                          "maketrans", "translate",    NULL};
static const char *const foreign_dict[] = {"clear", "fromkeys", "popitem", NULL};
static const char *const foreign_list[] = {"clear", "remove", "reverse", "sort", NULL};
static const char *const foreign_none[] = {NULL};

static const weir_jbuiltin_t *methods_of(weir_jv_t v, const char *const **foreign)
{
    *foreign = foreign_none;
    switch ((weir_jtype_t)v.type) {
    case WEIR_JV_STRING:
        *foreign = foreign_str;
        return weir_jmethods_str;
    case WEIR_JV_DICT:
        *foreign = foreign_dict;
        return dict_methods;
    case WEIR_JV_LIST:
        *foreign = foreign_list;
        return list_methods;
    case WEIR_JV_TUPLE:
        return tuple_methods;
    case WEIR_JV_LOOP:
        return loop_methods;
    case WEIR_JV_CYCLER:
        return cycler_methods;
    default:
        return no_methods;
    }
}

static bool listed(const char *const *names, const weir_js_t *name)
{
    for (; *names != NULL; names++) {
        if (weir_js_is(name, *names)) {
            return true;
        }
    }
    return false;
}

static bool known(const weir_jbuiltin_t *methods, const weir_js_t *name)
{
    for (; methods->name != NULL; methods++) {
        if (weir_js_is(name, methods->name)) {
            return true;
        }
    }
    return false;
}

bool weir_jmethod_unsupported(const weir_js_t *name)
{
    if (known(weir_jmethods_str, name) || known(dict_methods, name) || known(list_methods, name)) {
        return false;
    }
    return listed(foreign_str, name) || listed(foreign_dict, name) || listed(foreign_list, name);
}

static bool call_foreign(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, weir_jv_t *out)
{
    (void)call;
    (void)out;
    return weir_ji_fail(in, WEIR_ERR_UNSUPPORTED, "this method of %s is unsupported",
                        weir_jv_type_name(self));
}

static const weir_jbuiltin_t foreign_method = {"unsupported", call_foreign, 0, {NULL}};

bool weir_jmethod_get(weir_ji_t *in, weir_jv_t v, const weir_js_t *name, weir_jv_t *out,
                      bool *found)
{
    const char *const *foreign;
    const weir_jbuiltin_t *b = methods_of(v, &foreign);
    while (b->name != NULL && !weir_js_is(name, b->name)) {
        b++;
    }
    if (b->name == NULL && listed(foreign, name)) {
        *found = true;
        if (foreign != foreign_str) {
            return weir_jv_undefined(in, "access to this attribute is unsafe.", out);
        }
        b = &foreign_method;
    }
    *found = b->name != NULL;
    if (!*found) {
        return true;
    }
    weir_jmethod_t *m = weir_ji_alloc(in, sizeof(*m));
    if (m == NULL) {
        return false;
    }
    *m = (weir_jmethod_t){.self = v, .builtin = b};
    *out = (weir_jv_t){.type = WEIR_JV_METHOD, .u.method = m};
    return true;
}

const weir_jbuiltin_t *weir_jmethod_of(const weir_jmethod_t *m, weir_jv_t *self)
{
    *self = m->self;
    return m->builtin;
}

/* Filters that walk over a sequence. */
#include "engine/jinja/filters.h"

static bool copy_list(weir_ji_t *in, weir_jv_t v, weir_jlist_t **out)
{
    const weir_jlist_t *items;
    if (!weir_jv_iterate(in, v, &items) || (*out = weir_jlist_new(in, items->n)) == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < items->n; i++) {
        if (!weir_jlist_push(in, *out, items->items[i])) {
            return false;
        }
    }
    return true;
}

WEIR_JFILTER(list)
{
    weir_jlist_t *list;
    (void)args;
    if (!copy_list(in, v, &list)) {
        return false;
    }
    *out = weir_jv_list(list);
    return true;
}

WEIR_JFILTER(items)
{
    const weir_jlist_t *items;
    (void)args;
    if (weir_jv_is(v, WEIR_JV_UNDEFINED)) {
        weir_jlist_t *none = weir_jlist_new(in, 0);
        return none != NULL && weir_jv_generator(in, none, out);
    }
    if (!weir_jv_is(v, WEIR_JV_DICT)) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "Can only get item pairs from a mapping.");
    }
    v.type = WEIR_JV_VIEW;
    v.aux = WEIR_JVIEW_ITEMS;
    return weir_jv_iterate(in, v, &items) &&
           weir_jv_generator(in, (weir_jlist_t *)(uintptr_t)items, out);
}

WEIR_JFILTER(join)
{
    const weir_jlist_t *items;
    const weir_js_t *sep = NULL;
    weir_jb_t b;
    weir_jb_init(&b, in);
    if (!weir_jv_iterate(in, v, &items) ||
        (weir_jgiven(args[0]) && !weir_jv_to_string(in, args[0], &sep))) {
        return false;
    }
    bool by_attribute = weir_jgiven(args[1]) && !weir_jv_is(args[1], WEIR_JV_NONE);
    weir_jv_t no_fallback = {.type = WEIR_JV_UNDEFINED};
    for (uint32_t i = 0; i < items->n; i++) {
        weir_jv_t item = items->items[i];
        if (by_attribute && !weir_jattr_path(in, item, args[1], no_fallback, &item)) {
            return false;
        }
        if (i > 0 && sep != NULL) {
            weir_jb_str(&b, sep);
        }
        if (!weir_jv_print(&b, item)) {
            return false;
        }
    }
    return weir_jb_finish(&b, out);
}

WEIR_JFILTER(first)
{
    (void)args;
    if (weir_jv_is(v, WEIR_JV_GENERATOR)) {
        weir_jgen_t *gen = v.u.gen;
        if (gen->pos < gen->list->n) {
            *out = gen->list->items[gen->pos++];
            return true;
        }
        return weir_jv_undefined(in, "No first item, sequence was empty.", out);
    }
    const weir_jlist_t *items;
    if (!weir_jv_iterate(in, v, &items)) {
        return false;
    }
    if (items->n == 0) {
        return weir_jv_undefined(in, "No first item, sequence was empty.", out);
    }
    *out = items->items[0];
    return true;
}

static bool reversible(weir_ji_t *in, weir_jv_t v)
{
    if (weir_jv_is(v, WEIR_JV_GENERATOR) || weir_jv_is(v, WEIR_JV_UNDEFINED)) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "'%s' object is not reversible",
                            weir_jv_is(v, WEIR_JV_UNDEFINED) ? "Undefined" : "generator");
    }
    return true;
}

WEIR_JFILTER(last)
{
    const weir_jlist_t *items;
    (void)args;
    if (!reversible(in, v) || !weir_jv_iterate(in, v, &items)) {
        return false;
    }
    if (items->n == 0) {
        return weir_jv_undefined(in, "No last item, sequence was empty.", out);
    }
    *out = items->items[items->n - 1];
    return true;
}

WEIR_JFILTER(reverse)
{
    (void)args;
    if (weir_jv_is(v, WEIR_JV_STRING)) {
        weir_jv_t parts[3] = {weir_jv_none(), weir_jv_none(), weir_jv_int(-1, true)};
        return weir_ji_slice(in, v, parts, out);
    }
    weir_jlist_t *list;
    if (!copy_list(in, v, &list)) {
        return false;
    }
    for (uint32_t i = 0; i < list->n / 2; i++) {
        weir_jv_t swap = list->items[i];
        list->items[i] = list->items[list->n - 1 - i];
        list->items[list->n - 1 - i] = swap;
    }
    return weir_jv_generator(in, list, out);
}

WEIR_JFILTER(batch)
{
    const weir_jlist_t *items;
    int64_t size;
    weir_jlist_t *rows = weir_jlist_new(in, 0);
    weir_jlist_t *row = NULL;
    if (rows == NULL || !weir_jarg_int(in, args[0], 1, &size) || !weir_jv_iterate(in, v, &items)) {
        return false;
    }
    for (uint32_t i = 0; i < items->n; i++) {
        if (row == NULL || row->n == size) {
            row = weir_jlist_new(in, 0);
            if (row == NULL || !weir_jlist_push(in, rows, weir_jv_list(row))) {
                return false;
            }
        }
        if (!weir_jlist_push(in, row, items->items[i])) {
            return false;
        }
    }
    bool fill = weir_jgiven(args[1]) && !weir_jv_is(args[1], WEIR_JV_NONE);
    while (fill && row != NULL && row->n < size) {
        if (!weir_jlist_push(in, row, args[1])) {
            return false;
        }
    }
    return weir_jv_generator(in, rows, out);
}

WEIR_JFILTER(slice)
{
    const weir_jlist_t *items;
    int64_t n;
    weir_jlist_t *columns = weir_jlist_new(in, 0);
    if (columns == NULL || !weir_jarg_int(in, args[0], 1, &n) || !weir_jv_iterate(in, v, &items)) {
        return false;
    }
    if (n == 0) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "integer division or modulo by zero");
    }
    bool fill = weir_jgiven(args[1]) && !weir_jv_is(args[1], WEIR_JV_NONE);
    uint32_t next = 0;
    for (int64_t k = 0; k < n; k++) {
        weir_jlist_t *column = weir_jlist_new(in, 0);
        bool extra = k < items->n % n;
        int64_t size = items->n / n + extra;
        for (int64_t i = 0; column != NULL && i < size; i++) {
            if (!weir_jlist_push(in, column, items->items[next++])) {
                return false;
            }
        }
        if (column == NULL || (fill && !extra && !weir_jlist_push(in, column, args[1])) ||
            !weir_jlist_push(in, columns, weir_jv_list(column))) {
            return false;
        }
    }
    return weir_jv_generator(in, columns, out);
}

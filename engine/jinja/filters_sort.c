/* Filters that compare the items of a sequence. */
#include "engine/jinja/filters.h"

#include <stdlib.h>

#include "engine/base/utf8.h"

bool weir_jignore_case(weir_ji_t *in, weir_jv_t v, weir_jv_t *out)
{
    *out = v;
    return !weir_jv_is(v, WEIR_JV_STRING) || weir_jstr_case(in, v.u.s, WEIR_JCASE_LOWER, out);
}

/* One step of a dotted path: a name, or an index when it is digits. */
static bool path_step(weir_ji_t *in, weir_jv_t item, const weir_js_t *path, uint32_t from,
                      uint32_t to, weir_jv_t *out)
{
    weir_jv_t key;
    bool digits = from < to;
    int64_t index = 0;
    for (uint32_t i = from; i < to; i++) {
        digits = digits && path->data[i] >= '0' && path->data[i] <= '9' && to - from < 10;
        index = digits ? index * 10 + (path->data[i] - '0') : 0;
    }
    if (digits) {
        key = weir_jv_int(index, false);
    } else if (!weir_js_slice(in, path, from, to, &key)) {
        return false;
    }
    return weir_ji_item(in, item, key, out);
}

bool weir_jattr_path(weir_ji_t *in, weir_jv_t item, weir_jv_t attribute, weir_jv_t fallback,
                     weir_jv_t *out)
{
    *out = item;
    if (!weir_jgiven(attribute) || weir_jv_is(attribute, WEIR_JV_NONE)) {
        return true;
    }
    bool has_fallback = weir_jgiven(fallback) && weir_jv_truth(fallback);
    if (!weir_jv_is(attribute, WEIR_JV_STRING)) {
        if (!weir_ji_item(in, item, attribute, out)) {
            return false;
        }
    } else {
        const weir_js_t *path = attribute.u.s;
        uint32_t from = 0;
        for (uint32_t i = 0; i <= path->len; i++) {
            if (i < path->len && path->data[i] != '.') {
                continue;
            }
            if (!path_step(in, *out, path, from, i, out)) {
                return false;
            }
            if (has_fallback && weir_jv_is(*out, WEIR_JV_UNDEFINED)) {
                *out = fallback;
            }
            from = i + 1;
        }
    }
    if (has_fallback && weir_jv_is(*out, WEIR_JV_UNDEFINED)) {
        *out = fallback;
    }
    return true;
}

/* --- sorting ---------------------------------------------------------------------------- */

typedef struct {
    weir_ji_t *in;
    const weir_jv_t *keys;
    uint32_t *order;
    uint32_t *spare;
    bool reverse;
} sorter_t;

/* Whether item b must come before item a (else the order stays: a stable sort). */
static bool comes_before(sorter_t *s, uint32_t b, uint32_t a, bool *out)
{
    int c;
    /* sorted() only asks "<"; reversed it keeps equal items in their order too. */
    bool good = s->reverse ? weir_jv_order(s->in, s->keys[a], s->keys[b], "<", &c)
                           : weir_jv_order(s->in, s->keys[b], s->keys[a], "<", &c);
    *out = good && c == -1;
    return good;
}

/* Bottom-up merge sort: no recursion, and any order relation is safe. */
static bool merge_runs(sorter_t *s, uint32_t from, uint32_t mid, uint32_t to)
{
    uint32_t a = from;
    uint32_t b = mid;
    for (uint32_t i = from; i < to; i++) {
        bool take_b = a == mid;
        if (!take_b && b < to && !comes_before(s, s->order[b], s->order[a], &take_b)) {
            return false;
        }
        s->spare[i] = take_b ? s->order[b++] : s->order[a++];
    }
    return true;
}

bool weir_jsort(weir_ji_t *in, weir_jlist_t *list, const weir_jv_t *keys, bool reverse)
{
    uint32_t n = list->n;
    uint32_t *order = weir_ji_alloc(in, (size_t)n * sizeof(*order));
    uint32_t *spare = weir_ji_alloc(in, (size_t)n * sizeof(*spare));
    weir_jv_t *copy = weir_ji_alloc(in, (size_t)n * sizeof(*copy));
    if (order == NULL || spare == NULL || copy == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        order[i] = i;
        copy[i] = list->items[i];
    }
    sorter_t s = {.in = in, .keys = keys, .order = order, .spare = spare, .reverse = reverse};
    for (uint64_t width = 1; width < n; width *= 2) {
        for (uint64_t from = 0; from < n; from += 2 * width) {
            uint64_t mid = from + width < n ? from + width : n;
            uint64_t to = from + 2 * width < n ? from + 2 * width : n;
            if (!merge_runs(&s, (uint32_t)from, (uint32_t)mid, (uint32_t)to)) {
                return false;
            }
        }
        uint32_t *swap = s.order;
        s.order = s.spare;
        s.spare = swap;
    }
    for (uint32_t i = 0; i < n; i++) {
        list->items[i] = copy[s.order[i]];
    }
    return true;
}

/* The key of one item: its attribute (or several, "a,b"), without case unless told so. */
static bool sort_key(weir_ji_t *in, weir_jv_t item, weir_jv_t attribute, bool case_sensitive,
                     bool several, weir_jv_t *out)
{
    weir_jv_t none = {.type = WEIR_JV_UNDEFINED};
    if (several && weir_jgiven(attribute) && weir_jv_is(attribute, WEIR_JV_STRING) &&
        memchr(attribute.u.s->data, ',', attribute.u.s->len) != NULL) {
        const weir_js_t *names = attribute.u.s;
        weir_jlist_t *keys = weir_jlist_new(in, 2);
        uint32_t from = 0;
        for (uint32_t i = 0; keys != NULL && i <= names->len; i++) {
            weir_jv_t name;
            weir_jv_t key;
            if (i < names->len && names->data[i] != ',') {
                continue;
            }
            if (!weir_js_slice(in, names, from, i, &name) ||
                !sort_key(in, item, name, case_sensitive, false, &key) ||
                !weir_jlist_push(in, keys, key)) {
                return false;
            }
            from = i + 1;
        }
        *out = weir_jv_list(keys);
        return keys != NULL;
    }
    return weir_jattr_path(in, item, attribute, none, out) &&
           (case_sensitive || weir_jignore_case(in, *out, out));
}

/* A copy of v's items and the keys of each. */
static bool keyed(weir_ji_t *in, weir_jv_t v, weir_jv_t attribute, weir_jv_t case_sensitive,
                  weir_jlist_t **list, weir_jlist_t **keys)
{
    const weir_jlist_t *items;
    bool sensitive = weir_jgiven(case_sensitive) && weir_jv_truth(case_sensitive);
    if (!weir_jv_iterate(in, v, &items) || (*list = weir_jlist_new(in, items->n)) == NULL ||
        (*keys = weir_jlist_new(in, items->n)) == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < items->n; i++) {
        weir_jv_t key;
        if (!sort_key(in, items->items[i], attribute, sensitive, true, &key) ||
            !weir_jlist_push(in, *keys, key) || !weir_jlist_push(in, *list, items->items[i])) {
            return false;
        }
    }
    return true;
}

WEIR_JFILTER(sort)
{
    weir_jlist_t *list;
    weir_jlist_t *keys;
    bool reverse = weir_jgiven(args[0]) && weir_jv_truth(args[0]);
    if (!keyed(in, v, args[2], args[1], &list, &keys) ||
        !weir_jsort(in, list, keys->items, reverse)) {
        return false;
    }
    *out = weir_jv_list(list);
    return true;
}

WEIR_JFILTER(dictsort)
{
    weir_jlist_t *list;
    weir_jlist_t *keys;
    bool by_value = weir_jgiven(args[1]) && weir_jv_is(args[1], WEIR_JV_STRING) &&
                    weir_js_is(args[1].u.s, "value");
    bool by_key = !weir_jgiven(args[1]) ||
                  (weir_jv_is(args[1], WEIR_JV_STRING) && weir_js_is(args[1].u.s, "key"));
    bool reverse = weir_jgiven(args[2]) && weir_jv_truth(args[2]);
    if (!by_key && !by_value) {
        return weir_ji_fail(in, WEIR_ERR_INVALID,
                            "You can only sort by either \"key\" or \"value\"");
    }
    if (weir_jv_is(v, WEIR_JV_UNDEFINED)) {
        return weir_jv_fail_undefined(in, v);
    }
    if (!weir_jv_is(v, WEIR_JV_DICT)) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "'%s' object has no attribute 'items'",
                            weir_jv_type_name(v));
    }
    v.type = WEIR_JV_VIEW;
    v.aux = WEIR_JVIEW_ITEMS;
    if (!keyed(in, v, weir_jv_int(by_value, true), args[0], &list, &keys) ||
        !weir_jsort(in, list, keys->items, reverse)) {
        return false;
    }
    *out = weir_jv_list(list);
    return true;
}

WEIR_JFILTER(unique)
{
    weir_jlist_t *list;
    weir_jlist_t *keys;
    weir_jlist_t *kept = weir_jlist_new(in, 0);
    weir_jdict_t *seen = weir_jdict_new(in);
    if (kept == NULL || seen == NULL || !keyed(in, v, args[1], args[0], &list, &keys)) {
        return false;
    }
    for (uint32_t i = 0; i < list->n; i++) {
        weir_jv_t ignored;
        bool found;
        if (!weir_jdict_get(in, seen, keys->items[i], &ignored, &found)) {
            return false;
        }
        if (!found && (!weir_jdict_set(in, seen, keys->items[i], keys->items[i]) ||
                       !weir_jlist_push(in, kept, list->items[i]))) {
            return false;
        }
    }
    return weir_jv_generator(in, kept, out);
}

static bool extreme(weir_ji_t *in, weir_jv_t v, const weir_jv_t args[5], bool max, weir_jv_t *out)
{
    weir_jlist_t *list;
    weir_jlist_t *keys;
    if (!keyed(in, v, args[1], args[0], &list, &keys)) {
        return false;
    }
    if (list->n == 0) {
        return weir_jv_undefined(in, "No aggregated item, sequence was empty.", out);
    }
    uint32_t best = 0;
    for (uint32_t i = 1; i < list->n; i++) {
        int c;
        if (!weir_jv_order(in, keys->items[i], keys->items[best], max ? ">" : "<", &c)) {
            return false;
        }
        if (max ? c == 1 : c == -1) {
            best = i;
        }
    }
    *out = list->items[best];
    return true;
}

WEIR_JFILTER(min)
{
    return extreme(in, v, args, false, out);
}

WEIR_JFILTER(max)
{
    return extreme(in, v, args, true, out);
}

WEIR_JFILTER(sum)
{
    const weir_jlist_t *items;
    weir_jv_t none = {.type = WEIR_JV_UNDEFINED};
    *out = weir_jgiven(args[1]) ? args[1] : weir_jv_int(0, true);
    if (!weir_jv_iterate(in, v, &items)) {
        return false;
    }
    for (uint32_t i = 0; i < items->n; i++) {
        weir_jv_t item;
        if (!weir_jattr_path(in, items->items[i], args[0], none, &item) ||
            !weir_ji_binary(in, WEIR_JOP_ADD, *out, item, out)) {
            return false;
        }
    }
    return true;
}

/* Pairs of (value, items with it), by sorted value. */
WEIR_JFILTER(groupby)
{
    const weir_jlist_t *items;
    bool sensitive = weir_jgiven(args[2]) && weir_jv_truth(args[2]);
    weir_jlist_t *list = weir_jlist_new(in, 0);
    weir_jlist_t *keys = weir_jlist_new(in, 0);
    weir_jlist_t *groups = weir_jlist_new(in, 0);
    if (list == NULL || keys == NULL || groups == NULL || !weir_jv_iterate(in, v, &items)) {
        return false;
    }
    for (uint32_t i = 0; i < items->n; i++) {
        weir_jv_t key;
        weir_jv_t pair;
        weir_jv_t plain;
        if (!weir_jattr_path(in, items->items[i], args[0], args[1], &plain)) {
            return false;
        }
        key = plain;
        if ((!sensitive && !weir_jignore_case(in, plain, &key)) ||
            !weir_jv_pair(in, plain, items->items[i], &pair) || !weir_jlist_push(in, keys, key) ||
            !weir_jlist_push(in, list, pair)) {
            return false;
        }
    }
    weir_jlist_t *order = weir_jlist_new(in, list->n);
    for (uint32_t i = 0; order != NULL && i < list->n; i++) {
        weir_jlist_push(in, order, weir_jv_int(i, false));
    }
    if (order == NULL || !weir_jsort(in, order, keys->items, false)) {
        return false;
    }
    weir_jlist_t *group = NULL;
    weir_jv_t last = weir_jv_none();
    for (uint32_t i = 0; i < order->n; i++) {
        int64_t at = order->items[i].u.i;
        const weir_jlist_t *pair = list->items[at].u.list;
        bool same = false;
        if (group != NULL && !weir_jv_equal(in, keys->items[at], last, &same)) {
            return false;
        }
        if (!same) {
            weir_jv_t row;
            group = weir_jlist_new(in, 0);
            if (group == NULL || !weir_jv_pair(in, pair->items[0], weir_jv_list(group), &row) ||
                !weir_jlist_push(in, groups, row)) {
                return false;
            }
        }
        last = keys->items[at];
        if (!weir_jlist_push(in, group, pair->items[1])) {
            return false;
        }
    }
    *out = weir_jv_list(groups);
    return true;
}

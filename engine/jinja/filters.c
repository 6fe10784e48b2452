/* The table of filters. */
#include "engine/jinja/filters.h"

/* A filter with parameters: binds the arguments, then calls. */
#define BOUND(name, min, ...)                                                                     \
    static bool call_##name(weir_ji_t *in, weir_jv_t v, const weir_jcall_t *call, weir_jv_t *out) \
    {                                                                                             \
        static const weir_jbuiltin_t spec = {#name, NULL, min, {__VA_ARGS__}};                    \
        weir_jv_t args[5];                                                                        \
        return weir_jbind(in, &spec, call, args) && weir_jf_##name(in, v, args, out);             \
    }

BOUND(abs, 0, NULL)
BOUND(attr, 1, "name")
BOUND(batch, 1, "linecount", "fill_with")
BOUND(capitalize, 0, NULL)
BOUND(center, 0, "width")
BOUND(default, 0, "default_value", "boolean")
BOUND(dictsort, 0, "case_sensitive", "by", "reverse")
BOUND(escape, 0, NULL)
BOUND(first, 0, NULL)
BOUND(float, 0, "default")
BOUND(forceescape, 0, NULL)
BOUND(from_json, 0, NULL)
BOUND(groupby, 1, "attribute", "default", "case_sensitive")
BOUND(indent, 0, "width", "first", "blank")
BOUND(int, 0, "default", "base")
BOUND(items, 0, NULL)
BOUND(join, 0, "d", "attribute")
BOUND(last, 0, NULL)
BOUND(length, 0, NULL)
BOUND(list, 0, NULL)
BOUND(lower, 0, NULL)
BOUND(max, 0, "case_sensitive", "attribute")
BOUND(min, 0, "case_sensitive", "attribute")
BOUND(replace, 2, "old", "new", "count")
BOUND(reverse, 0, NULL)
BOUND(round, 0, "precision", "method")
BOUND(safe, 0, NULL)
BOUND(slice, 1, "slices", "fill_with")
BOUND(sort, 0, "reverse", "case_sensitive", "attribute")
BOUND(string, 0, NULL)
BOUND(sum, 0, "attribute", "start")
BOUND(title, 0, NULL)
BOUND(tojson, 0, "ensure_ascii", "indent", "separators", "sort_keys")
BOUND(trim, 0, "chars")
BOUND(truncate, 0, "length", "killwords", "end", "leeway")
BOUND(unique, 0, "case_sensitive", "attribute")
BOUND(upper, 0, NULL)
BOUND(wordcount, 0, NULL)

static const weir_jbuiltin_t filters[] = {{"abs", call_abs, 0, {NULL}},
                                          {"attr", call_attr, 0, {NULL}},
                                          {"batch", call_batch, 0, {NULL}},
                                          {"capitalize", call_capitalize, 0, {NULL}},
                                          {"center", call_center, 0, {NULL}},
                                          {"count", call_length, 0, {NULL}},
                                          {"d", call_default, 0, {NULL}},
                                          {"default", call_default, 0, {NULL}},
                                          {"dictsort", call_dictsort, 0, {NULL}},
                                          {"e", call_escape, 0, {NULL}},
                                          {"escape", call_escape, 0, {NULL}},
                                          {"first", call_first, 0, {NULL}},
                                          {"float", call_float, 0, {NULL}},
                                          {"forceescape", call_forceescape, 0, {NULL}},
                                          {"format", weir_jf_format, 0, {NULL}},
                                          {"from_json", call_from_json, 0, {NULL}},
                                          {"groupby", call_groupby, 0, {NULL}},
                                          {"indent", call_indent, 0, {NULL}},
                                          {"int", call_int, 0, {NULL}},
                                          {"items", call_items, 0, {NULL}},
                                          {"join", call_join, 0, {NULL}},
                                          {"last", call_last, 0, {NULL}},
                                          {"length", call_length, 0, {NULL}},
                                          {"list", call_list, 0, {NULL}},
                                          {"lower", call_lower, 0, {NULL}},
                                          {"map", weir_jf_map, 0, {NULL}},
                                          {"max", call_max, 0, {NULL}},
                                          {"min", call_min, 0, {NULL}},
                                          {"reject", weir_jf_reject, 0, {NULL}},
                                          {"rejectattr", weir_jf_rejectattr, 0, {NULL}},
                                          {"replace", call_replace, 0, {NULL}},
                                          {"reverse", call_reverse, 0, {NULL}},
                                          {"round", call_round, 0, {NULL}},
                                          {"safe", call_safe, 0, {NULL}},
                                          {"select", weir_jf_select, 0, {NULL}},
                                          {"selectattr", weir_jf_selectattr, 0, {NULL}},
                                          {"slice", call_slice, 0, {NULL}},
                                          {"sort", call_sort, 0, {NULL}},
                                          {"string", call_string, 0, {NULL}},
                                          {"sum", call_sum, 0, {NULL}},
                                          {"title", call_title, 0, {NULL}},
                                          {"tojson", call_tojson, 0, {NULL}},
                                          {"trim", call_trim, 0, {NULL}},
                                          {"truncate", call_truncate, 0, {NULL}},
                                          {"unique", call_unique, 0, {NULL}},
                                          {"upper", call_upper, 0, {NULL}},
                                          {"wordcount", call_wordcount, 0, {NULL}}};

int weir_jfilter_find(weir_str_t name)
{
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
        if (weir_str_is(name, filters[i].name)) {
            return (int)i;
        }
    }
    return -1;
}

const weir_jbuiltin_t *weir_jfilter(int id)
{
    return &filters[id];
}

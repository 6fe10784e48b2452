/* The filters, by file. Internal to this folder. */
#ifndef WEIR_JINJA_FILTERS_H
#define WEIR_JINJA_FILTERS_H

#include "engine/jinja/interp.h"

/* Every filter takes its arguments already bound to its parameters. */
typedef bool (*weir_jfilter_fn)(weir_ji_t *in, weir_jv_t v, const weir_jv_t args[5],
                                weir_jv_t *out);
#define WEIR_JFILTER(name) \
    bool weir_jf_##name(weir_ji_t *in, weir_jv_t v, const weir_jv_t args[5], weir_jv_t *out)

/* filters_text.c */
WEIR_JFILTER(string);
WEIR_JFILTER(safe);
WEIR_JFILTER(escape);
WEIR_JFILTER(forceescape);
WEIR_JFILTER(lower);
WEIR_JFILTER(upper);
WEIR_JFILTER(capitalize);
WEIR_JFILTER(title);
WEIR_JFILTER(trim);
WEIR_JFILTER(replace);
WEIR_JFILTER(indent);
WEIR_JFILTER(center);
WEIR_JFILTER(truncate);
WEIR_JFILTER(wordcount);
WEIR_JFILTER(tojson);
WEIR_JFILTER(from_json);
/* filters_number.c */
WEIR_JFILTER(int);
WEIR_JFILTER(float);
WEIR_JFILTER(abs);
WEIR_JFILTER(round);
WEIR_JFILTER(default);
WEIR_JFILTER(length);
WEIR_JFILTER(attr);
/* filters_list.c */
WEIR_JFILTER(list);
WEIR_JFILTER(items);
WEIR_JFILTER(join);
WEIR_JFILTER(first);
WEIR_JFILTER(last);
WEIR_JFILTER(reverse);
WEIR_JFILTER(batch);
WEIR_JFILTER(slice);
/* filters_sort.c */
WEIR_JFILTER(sort);
WEIR_JFILTER(dictsort);
WEIR_JFILTER(unique);
WEIR_JFILTER(min);
WEIR_JFILTER(max);
WEIR_JFILTER(sum);
WEIR_JFILTER(groupby);
/* filters_select.c: these take any arguments */
bool weir_jf_map(weir_ji_t *in, weir_jv_t v, const weir_jcall_t *call, weir_jv_t *out);
bool weir_jf_select(weir_ji_t *in, weir_jv_t v, const weir_jcall_t *call, weir_jv_t *out);
bool weir_jf_reject(weir_ji_t *in, weir_jv_t v, const weir_jcall_t *call, weir_jv_t *out);
bool weir_jf_selectattr(weir_ji_t *in, weir_jv_t v, const weir_jcall_t *call, weir_jv_t *out);
bool weir_jf_rejectattr(weir_ji_t *in, weir_jv_t v, const weir_jcall_t *call, weir_jv_t *out);
bool weir_jf_format(weir_ji_t *in, weir_jv_t v, const weir_jcall_t *call, weir_jv_t *out);

/* item at the dotted path `attribute` ("a.b.0", or an integer), as jinja2's make_attrgetter;
 * missing parts become fallback unless that is not given. */
bool weir_jattr_path(weir_ji_t *in, weir_jv_t item, weir_jv_t attribute, weir_jv_t fallback,
                     weir_jv_t *out);
/* Lower case when v is a string: how filters compare unless told to be case-sensitive. */
bool weir_jignore_case(weir_ji_t *in, weir_jv_t v, weir_jv_t *out);

#endif

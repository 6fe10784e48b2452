/* Methods of values, by file. Internal to this folder. */
#ifndef WEIR_JINJA_METHODS_H
#define WEIR_JINJA_METHODS_H

#include "engine/jinja/interp.h"

extern const weir_jbuiltin_t weir_jmethods_str[]; /* methods_str.c; both end with a NULL name */
bool weir_jdict_update(weir_ji_t *in, weir_jdict_t *d, const weir_jcall_t *call);

#endif

/* Codes in a view, decoded into a layer. Inside the library only. */
#ifndef WEIR_GUARDRAILS_CODES_H
#define WEIR_GUARDRAILS_CODES_H

#include "guardrails/views.h"

typedef struct {
    const weir_guard_view_t *from; /* the view that is searched */
    size_t wanted; /* first byte of the original at which something is to be found */
    bool more;     /* the view goes on: open codes are told */
    bool atoms;    /* parts that no hold may cut are told */
    bool nested;   /* the view is a layer itself */
    bool apart;    /* a separator stands behind what each code hides */
    size_t room;   /* bytes that may be decoded; goes down */

    weir_guard_build_t build; /* the layer */
    size_t hold;              /* of the view: the first byte that is not decoded yet, or SIZE_MAX */
    size_t open; /* of the layer: beginning of what goes on with the view, or SIZE_MAX */
    bool cut;    /* there was no room for all */
} weir_guard_codes_t;

/* False: the view has no codes, or there is no memory (build.failed). */
bool weir_guard_decode_codes(weir_guard_codes_t *codes, weir_guard_fold_t *fold, unsigned slot);

#endif

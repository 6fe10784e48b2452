/* Layers under codes, and second views. Inside the library only. */
#ifndef WEIR_GUARDRAILS_DECODE_H
#define WEIR_GUARDRAILS_DECODE_H

#include "guardrails/normalise.h"

/* What is decoded, and how. */
typedef struct {
    size_t from; /* first byte of the original at which something is to be found */
    size_t room; /* bytes that may be decoded in all */
    bool more;   /* the text goes on */
    bool apart;  /* no entity shall go from one code to the next */
} weir_guard_decoding_t;

/* Where a view and the layer of its codes end while the text goes on; SIZE_MAX: nowhere. */
typedef struct {
    size_t hold; /* of the view: the first byte that is not decoded yet */
    size_t open; /* of the layer: beginning of what goes on */
} weir_guard_ends_t;

/*
 * The folded view and what its codes hide; without leet and joined views. ends[i] belongs to
 * views[i] and the layer of its codes, which is views[i + 1] if it has any. With how->more the
 * parts of the original that no hold may cut are left in fold->atoms.
 */
weir_status_t weir_guard_decoded_views(weir_guard_fold_t *fold, const char *text, size_t len,
                                       unsigned options, const weir_guard_decoding_t *how,
                                       weir_guard_view_t views[WEIR_GUARD_MAX_VIEWS],
                                       weir_guard_ends_t ends[WEIR_GUARD_MAX_DEPTH], size_t *count,
                                       weir_error_t *err);

#endif

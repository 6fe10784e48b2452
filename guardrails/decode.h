/* Layers under codes, and second views. Inside the library only. */
#ifndef WEIR_GUARDRAILS_DECODE_H
#define WEIR_GUARDRAILS_DECODE_H

#include "guardrails/normalise.h"

/* The folded view and what its codes hide; without leet and joined views. */
weir_status_t weir_guard_decoded_views(weir_guard_fold_t *fold, const char *text, size_t len,
                                       unsigned options,
                                       weir_guard_view_t views[WEIR_GUARD_MAX_VIEWS], size_t *count,
                                       weir_error_t *err);

#endif

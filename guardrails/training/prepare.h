/* Brings rows into the form in which texts are classified later. */
#ifndef WEIR_GUARD_TRAINING_PREPARE_H
#define WEIR_GUARD_TRAINING_PREPARE_H

#include "guardrails/training/corpus.h"
#include "guardrails/training/overlap.h"

/*
 * Replaces every row's text by its folded view (guardrails/normalise.h), and adds the second views
 * (leet folded, letters joined) of a text that calls for them as rows of their own at the same
 * label and half the weight, and the pieces of long harmless texts at the full one: of what is
 * harmless, every sentence is. Rows on the list get weight 0, which leaves them out with the
 * duplicates, and count in *excluded. Errors: NOMEM, LIMIT.
 */
weir_status_t weir_corpus_prepare(weir_corpus_t *corpus, const weir_excluded_t *list,
                                  size_t *excluded, weir_error_t *err);

#endif

/*
 * Scores a text as it came: in every view that the normaliser makes of it (folded, leet folded,
 * spaced letters joined, decoded layers), and, where its letters are distributed like English
 * shifted by 13, in clear. A head's score is the largest of the views'.
 */
#ifndef WEIR_GUARD_CLASSIFY_TEXT_H
#define WEIR_GUARD_CLASSIFY_TEXT_H

#include "guardrails/classifier/classifier.h"
#include "guardrails/normalise.h"

/* Decoded layers below this many bytes are too short to judge. */
#define WEIR_CLASSIFY_MIN_LAYER 12

/*
 * fold is the caller's and keeps its memory between calls, so that a warm call allocates nothing.
 * text may be any bytes. Errors: those of weir_guard_views (LIMIT, NOMEM); scores are then 0.
 */
weir_status_t weir_classify_text(const weir_classifier_t *model, weir_guard_fold_t *fold,
                                 const char *text, size_t len, weir_scores_t *scores,
                                 weir_error_t *err);

/* The same for views that the caller has made already (weir_guard_views). */
void weir_classify_views(const weir_classifier_t *model, const weir_guard_view_t *views,
                         size_t count, weir_scores_t *scores);

/*
 * Whether a view is scored: short layers are not, and not the folded text itself where there is a
 * view of it with spaced letters joined, since single letters say nothing but that they are spaced.
 */
bool weir_classify_view_counts(const weir_guard_view_t *views, size_t count, size_t view);

#endif

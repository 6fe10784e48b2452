/*
 * Scores a text as it came: in every view that the normaliser makes of it (folded, leet folded,
 * spaced letters joined, decoded layers), and, where its letters are distributed like English
 * shifted by 13, in clear. A head's score is the largest of the views' and of the pages'.
 */
#ifndef WEIR_GUARD_CLASSIFY_TEXT_H
#define WEIR_GUARD_CLASSIFY_TEXT_H

#include "guardrails/classifier/classifier.h"
#include "guardrails/normalise.h"

/* Decoded layers below this many bytes are too short to judge. */
#define WEIR_CLASSIFY_MIN_LAYER 12

/*
 * Long texts are scored in pages, whose borders depend on nothing but the text: whoever reads a
 * text in pieces and scores each page as it is complete gets what weir_classify_text gives for the
 * whole, which is the largest of its pages' scores.
 */
#define WEIR_CLASSIFY_PAGE ((size_t)8192)

/*
 * Length of the first page of text[0..len), at most WEIR_CLASSIFY_PAGE; 0 if that cannot be told,
 * which happens only where more says that the text goes on behind len, and len is at most a page.
 */
size_t weir_classify_page(const char *text, size_t len, bool more);

/*
 * fold is the caller's and keeps its memory between calls, so that a warm call allocates nothing.
 * text may be any bytes. Errors: those of weir_guard_views (LIMIT, NOMEM); scores are then 0.
 */
weir_status_t weir_classify_text(const weir_classifier_t *model, weir_guard_fold_t *fold,
                                 const char *text, size_t len, weir_scores_t *scores,
                                 weir_error_t *err);

/* The same for a page whose views the caller has made already (weir_guard_views). */
void weir_classify_views(const weir_classifier_t *model, const weir_guard_view_t *views,
                         size_t count, weir_scores_t *scores);

/*
 * Whether a view is scored: short layers are not, and not the folded text itself where there is a
 * view of it with spaced letters joined, since single letters say nothing but that they are spaced.
 */
bool weir_classify_view_counts(const weir_guard_view_t *views, size_t count, size_t view);

#endif

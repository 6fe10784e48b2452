/* The parts of the evaluation; each adds its tables and bars to the report. */
#ifndef WEIR_GUARD_TRAINING_EVAL_PARTS_H
#define WEIR_GUARD_TRAINING_EVAL_PARTS_H

#include "guardrails/classifier/text.h"
#include "guardrails/training/eval_report.h"
#include "guardrails/training/eval_sets.h"

typedef struct {
    const weir_eval_sets_t *sets;
    const weir_classifier_t *model;
    weir_guard_fold_t fold;
    weir_scores_t *scores[WEIR_SETS]; /* per case of each set */
    weir_arena_t *arena;
    weir_report_t report;
    weir_error_t *err;
} weir_evaluation_t;

weir_status_t weir_eval_classifiers(weir_evaluation_t *e);
weir_status_t weir_eval_evasion(weir_evaluation_t *e);
weir_status_t weir_eval_padded(weir_evaluation_t *e);
weir_status_t weir_eval_pii(weir_evaluation_t *e);
weir_status_t weir_eval_stream(weir_evaluation_t *e);

#endif

/*
 * What an evaluation found: bars with their outcome, and tables in Markdown.
 */
#ifndef WEIR_GUARD_TRAINING_EVAL_REPORT_H
#define WEIR_GUARD_TRAINING_EVAL_REPORT_H

#include "engine/base/arena.h"

typedef struct {
    weir_buf_t bars; /* rows of the bars' table */
    weir_buf_t body; /* everything below it */
    size_t missed;
    size_t checked;
} weir_report_t;

void weir_report_init(weir_report_t *report, weir_arena_t *arena);

/* A figure that must be at least, or at most, the bound. */
void weir_report_at_least(weir_report_t *report, const char *what, double value, double bound);
void weir_report_at_most(weir_report_t *report, const char *what, double value, double bound);

/* Counts of one class. */
typedef struct {
    size_t true_positives;
    size_t false_positives;
    size_t false_negatives;
    size_t true_negatives;
} weir_confusion_t;

double weir_precision(const weir_confusion_t *c);
double weir_recall(const weir_confusion_t *c);
double weir_f_score(const weir_confusion_t *c, double beta);
double weir_false_positive_rate(const weir_confusion_t *c);

/* The head of the table that weir_report_class fills; title stands in its first column. */
void weir_report_classes(weir_report_t *report, const char *title);
/* One row; auc below 0 leaves that column empty, and so does a class without true negatives for
 * the false positive rate. */
void weir_report_class(weir_report_t *report, const char *name, const weir_confusion_t *c,
                       double auc);

#endif

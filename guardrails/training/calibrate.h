/*
 * From cross-validated logits to probabilities and thresholds.
 */
#ifndef WEIR_GUARD_TRAINING_CALIBRATE_H
#define WEIR_GUARD_TRAINING_CALIBRATE_H

#include "guardrails/training/learn.h"

/* One row's held-out logits for one head. */
typedef struct {
    float top;
    float mean;
    float weight;
    bool positive;
} weir_sample_t;

/* Area under the ROC curve of value[0..n), ties at half; 0.5 when a class is missing. */
double weir_auc(const double *value, const bool *positive, size_t n);

/* The share of the maximum (0, 0.25 .. 1) with the best AUC; the smaller one on a tie. */
float weir_best_max_part(const weir_sample_t *samples, size_t n);

/*
 * Platt's sigmoid with his prior-smoothed targets, by Newton's method with step halving (Lin, Lin,
 * Weng 2007). a is at least 0.05.
 */
void weir_platt(const double *logit, const weir_sample_t *samples, size_t n, float *a, float *b);

/* The smallest value that at most share of the n values reach; values are sorted in place. */
double weir_upper_quantile(double *value, size_t n, double share);

#endif

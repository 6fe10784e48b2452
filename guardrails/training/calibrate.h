/*
 * From cross-validated logits to probabilities and thresholds.
 */
#ifndef WEIR_GUARD_TRAINING_CALIBRATE_H
#define WEIR_GUARD_TRAINING_CALIBRATE_H

#include "guardrails/training/learn.h"

/* One row of a head's. */
typedef struct {
    float weight;
    bool positive;
    bool counts; /* is harmless, and of those that set the thresholds */
} weir_sample_t;

/* Area under the ROC curve of value[0..n), ties at half; 0.5 when a class is missing. */
double weir_auc(const double *value, const bool *positive, size_t n);

/*
 * Platt's sigmoid with his prior-smoothed targets, by Newton's method with step halving (Lin, Lin,
 * Weng 2007). a is at least 0.05.
 */
void weir_platt(const double *logit, const weir_sample_t *samples, size_t n, float *a, float *b);

/* The smallest value that at most share of the n values reach; values are sorted in place. */
double weir_upper_quantile(double *value, size_t n, double share);

#endif

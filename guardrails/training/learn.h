/*
 * Logistic regression of all heads at once over hashed presence features: AdaGrad (Duchi, Hazan,
 * Singer 2011) on one thread, with dropout (Hinton and others 2012) of features, the weights
 * averaged over the last half of the epochs, with a fixed order, so that the same corpus gives the
 * same weights bit for bit. Arithmetic is IEEE double and float without contraction; exp is our
 * own.
 */
#ifndef WEIR_GUARD_TRAINING_LEARN_H
#define WEIR_GUARD_TRAINING_LEARN_H

#include "guardrails/training/corpus.h"

typedef struct {
    uint32_t buckets;
    uint32_t epochs;
    float rate;
    float decay[WEIR_HEADS]; /* L2 on the touched weights, per step */
    float drop;              /* share of a window's features that a step does not see */
    uint64_t seed;
} weir_learn_options_t;

/* A row's windows: distinct buckets of each, one behind the other. */
typedef struct {
    uint32_t first; /* window */
    uint32_t count;
} weir_row_windows_t;

typedef struct {
    weir_row_windows_t *row; /* per corpus row */
    uint64_t *start;         /* window -> first of its buckets; one more at the end */
    uint16_t *bucket;
    size_t windows;
    size_t buckets;
} weir_feature_table_t;

/* Computes the features of all rows; freed with weir_features_free. Errors: NOMEM, LIMIT. */
weir_status_t weir_features_build(const weir_corpus_t *corpus, uint32_t buckets,
                                  weir_feature_table_t *table, weir_error_t *err);
void weir_features_free(weir_feature_table_t *table);

typedef struct {
    float (*weight)[WEIR_HEADS]; /* [buckets], malloc'd */
    float bias[WEIR_HEADS];
    uint32_t buckets;
} weir_linear_t;

/*
 * Trains on the rows whose fold[row] differs from skip (fold NULL: all). The model is freed with
 * weir_linear_free. Errors: NOMEM.
 */
weir_status_t weir_learn(const weir_corpus_t *corpus, const weir_feature_table_t *table,
                         const weir_learn_options_t *options, const uint8_t *fold, uint8_t skip,
                         weir_linear_t *model, weir_error_t *err);
void weir_linear_free(weir_linear_t *model);

/* 1 / (1 + exp(-x)) from basic operations only: the same on every IEEE machine. */
double weir_sigmoid(double x);

/* A fixed generator (SplitMix64, Steele and others 2014). */
uint64_t weir_random(uint64_t *state);

#endif

/*
 * From bytes to hashed features, shared by scoring and training so that both see the same. A text
 * is cut into words (runs of letters, digits and bytes over 0x7F) and marks (runs of other
 * printable characters). Features are a word's character 3- to 5-grams with one space on each
 * side, the word itself, the pair with the word before, and each mark. A pair counts under two
 * hashes, so that what it says outweighs what its two words say by themselves, and is not lost
 * where one of its buckets is shared. Internal to guardrails/classifier and guardrails/training.
 */
#ifndef WEIR_GUARD_FEATURES_H
#define WEIR_GUARD_FEATURES_H

#include "guardrails/classifier/classifier.h"

/* A window with few features is not trusted as one with many: see weir_window_norm. */
#define WEIR_CLASSIFY_DAMPING 48

/* The most features of a window: three grams a byte, three of each word, marks; some slack. */
#define WEIR_WINDOW_FEATURES (6 * (WEIR_CLASSIFY_WINDOW + 2 * WEIR_CLASSIFY_WORD))

/*
 * Distinct buckets of the stream's open window, in no particular order: writes them to out, which
 * has room for WEIR_WINDOW_FEATURES, and returns their number. An open word counts as ended.
 * *previous becomes the hash of the window's last word.
 */
uint32_t weir_window_buckets(const weir_classify_stream_t *stream, uint64_t *previous,
                             uint16_t *out);

#define WEIR_WINDOW_PARTS \
    ((WEIR_CLASSIFY_WINDOW + 4 * WEIR_CLASSIFY_WORD + WEIR_CLASSIFY_PART) / WEIR_CLASSIFY_PART)

/*
 * A window's buckets by the part in which a word ends, or a gram or mark begins; those that one of
 * the parts of a span before it holds too are left out.
 */
typedef struct {
    uint16_t bucket[WEIR_WINDOW_FEATURES];
    uint32_t count;                  /* of parts */
    uint16_t end[WEIR_WINDOW_PARTS]; /* index behind the part's last bucket */
} weir_window_parts_t;

/* Of the stream's open window. */
void weir_window_parts(const weir_classify_stream_t *stream, weir_window_parts_t *parts);

/* Called with each window that closes; buckets as above. */
typedef void (*weir_window_fn)(void *context, const uint16_t *buckets, uint32_t count);

/* The windows of a whole text, as weir_classify would score them. */
void weir_each_window(const weir_classifier_t *model, const char *text, size_t len,
                      weir_window_fn fn, void *context);

/* What a text's probability is made of, per head; see weir_head_params_t. */
typedef struct {
    uint32_t windows; /* that held a feature; 0: all logits are the bias */
    float top[WEIR_HEADS];
    double mean[WEIR_HEADS];
    float span[WEIR_HEADS]; /* the largest of a span, without the margin */
} weir_logits_t;

/* Of what the stream was fed so far; see weir_classify_scores. */
void weir_classify_logits(const weir_classify_stream_t *stream, weir_logits_t *logits);

/* What a weight sum is multiplied with: one over the length of its feature vector. */
static inline float weir_window_norm(uint32_t features)
{
    float n = (float)(features + WEIR_CLASSIFY_DAMPING);
    return 1.0f / __builtin_sqrtf(n);
}

#endif

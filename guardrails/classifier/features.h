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

/* Called with each window that closes; buckets as above. */
typedef void (*weir_window_fn)(void *context, const uint16_t *buckets, uint32_t count);

/* The windows of a whole text, as weir_classify would score them. */
void weir_each_window(const weir_classifier_t *model, const char *text, size_t len,
                      weir_window_fn fn, void *context);

/* What a window's weight sum is multiplied with: one over the length of its feature vector. */
static inline float weir_window_norm(uint32_t features)
{
    float n = (float)(features + WEIR_CLASSIFY_DAMPING);
    return 1.0f / __builtin_sqrtf(n);
}

#endif

/*
 * Hashed n-gram linear classifier: eight heads over one table of int8 weights, scored per window
 * of about 512 bytes, and where a window is not plainly harmless per span of about 96, so that a
 * sentence is found inside a page. A text's score joins its windows' maximum and mean, or is its
 * largest span's less a margin where that is more; then a Platt sigmoid (Platt 1999) makes it a
 * probability. Nothing here allocates; everything is thread-safe as long
 * as a stream has one owner at a time.
 *
 * Texts are given in the normaliser's folded view (guardrails/normalise.h): valid UTF-8, NFKC,
 * invisible characters gone. Letters' case does not matter.
 */
#ifndef WEIR_GUARD_CLASSIFIER_H
#define WEIR_GUARD_CLASSIFIER_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    WEIR_HEAD_TOXICITY,
    WEIR_HEAD_INSULT,
    WEIR_HEAD_THREAT,
    WEIR_HEAD_SEXUAL,
    WEIR_HEAD_IDENTITY_ATTACK,
    WEIR_HEAD_SELF_HARM,
    WEIR_HEAD_INJECTION,
    WEIR_HEAD_JAILBREAK
} weir_head_t;

#define WEIR_HEADS 8

/* Probability per head, 0 to 1, indexed by weir_head_t. */
typedef struct {
    float p[WEIR_HEADS];
} weir_scores_t;

typedef enum {
    WEIR_ZONE_PASS,   /* below the review threshold */
    WEIR_ZONE_REVIEW, /* between the two: ask tier 2 where there is one */
    WEIR_ZONE_BLOCK   /* at or above the block threshold */
} weir_zone_t;

/* One head's numbers; see weir_classifier_scores for how they are used. */
typedef struct {
    float scale;    /* int8 weight times scale = logit share; not negative */
    float bias;     /* added to each window's logit */
    float max_part; /* share of the largest window in the text's logit; the mean has the rest */
    float gate;     /* a window whose logit reaches this for any head is scored by spans too */
    float margin;   /* what a span's logit must have over the text's to count instead */
    float platt_a;  /* p = 1 / (1 + exp(-(platt_a * logit + platt_b))) */
    float platt_b;
    float review; /* shipped thresholds on p */
    float block;
} weir_head_params_t;

/* Sets of instructions. All give the same scores, to the last bit. */
typedef enum {
    WEIR_PATH_SCALAR,
    WEIR_PATH_AVX2,  /* with BMI2, as all that have it */
    WEIR_PATH_AVX512 /* with VBMI and VBMI2 */
} weir_classify_path_t;

/* The widest that this machine has. */
weir_classify_path_t weir_classify_best_path(void);

/* A model. Filled by the open functions; immutable afterwards; refers to the bytes given. */
typedef struct {
    uint32_t buckets;
    weir_classify_path_t path; /* the machine's best; a narrower one may be asked for */
    const int8_t *weights;     /* [buckets][WEIR_HEADS] */
    weir_head_params_t head[WEIR_HEADS];
} weir_classifier_t;

#define WEIR_CLASSIFIER_MAX_BUCKETS 32768

/*
 * Reads a weights file's bytes (format: guardrails/classifier/model_format.h), which must outlive
 * the model. Errors: INVALID (not such a file, or cut, or a number out of range), UNSUPPORTED
 * (another version).
 */
weir_status_t weir_classifier_open(weir_classifier_t *model, const void *data, size_t len,
                                   weir_error_t *err);

/* Opens the weights that are part of the library. */
weir_status_t weir_classifier_open_builtin(weir_classifier_t *model, weir_error_t *err);

/* Scores text[0..len). An empty text, or one without a word, scores 0 on every head. */
void weir_classify(const weir_classifier_t *model, const char *text, size_t len,
                   weir_scores_t *scores);

/*
 * The same fed in pieces cut anywhere; the scores are the ones of weir_classify over the whole,
 * whatever the cuts. The struct is the caller's (about 3 KB), may be copied, and its fields are
 * private.
 */
#define WEIR_CLASSIFY_WORD 32 /* longest run scored as one word, in bytes */
#define WEIR_CLASSIFY_PART 32 /* bytes of a window's words that are summed together */
#define WEIR_CLASSIFY_SPAN 3  /* parts behind one another that are scored together */
#define WEIR_CLASSIFY_WINDOW                                            \
    512 /* a word that begins behind this many bytes opens a new window \
         */

typedef struct {
    const weir_classifier_t *model;
    uint32_t windows;         /* closed ones that held a feature */
    float top[WEIR_HEADS];    /* largest logit of the closed windows */
    double total[WEIR_HEADS]; /* sum of their logits */
    float span[WEIR_HEADS];   /* largest sum of weights, over its length, of their spans */
    int32_t tail[WEIR_CLASSIFY_SPAN - 1][WEIR_HEADS]; /* sums of the last parts so far, */
    uint16_t tail_features[WEIR_CLASSIFY_SPAN - 1];   /* and how many features they hold */
    uint64_t previous;   /* hash of the last closed window's last word, 0: none */
    uint32_t len;        /* of text; always ends in a space, but for an open word */
    uint32_t word;       /* bytes of the open word, in text or mark; 0: none */
    uint32_t mark_bytes; /* what marks add to the window's length */
    uint32_t marks;
    bool mark_open;                                              /* the open word is a mark */
    uint8_t mark[WEIR_CLASSIFY_WORD + 8];                        /* the open mark */
    uint16_t mark_bucket[WEIR_CLASSIFY_WINDOW];                  /* buckets of the window's marks */
    uint8_t mark_part[WEIR_CLASSIFY_WINDOW];                     /* the part that each stands in */
    uint8_t text[WEIR_CLASSIFY_WINDOW + 4 * WEIR_CLASSIFY_WORD]; /* its words between spaces */
} weir_classify_stream_t;

void weir_classify_begin(weir_classify_stream_t *stream, const weir_classifier_t *model);
void weir_classify_feed(weir_classify_stream_t *stream, const char *text, size_t len);

/* Scores of what was fed so far, a word cut at the end included; the stream may go on. */
void weir_classify_scores(const weir_classify_stream_t *stream, weir_scores_t *scores);

weir_zone_t weir_classify_zone(const weir_classifier_t *model, weir_head_t head, float p);

/* "toxicity", "insult", "threat", "sexual", "identity_attack", "self_harm", "injection",
 * "jailbreak". */
const char *weir_head_name(weir_head_t head);

#endif

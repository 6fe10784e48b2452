/*
 * The public evaluation sets by file name: texts with the set's own label, and the PII set's spans.
 */
#ifndef WEIR_GUARD_TRAINING_EVAL_SETS_H
#define WEIR_GUARD_TRAINING_EVAL_SETS_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

typedef enum {
    WEIR_SET_JIGSAW,
    WEIR_SET_WIKI,
    WEIR_SET_MODERATION,
    WEIR_SET_GSM8K,
    WEIR_SET_XSTEST,
    WEIR_SET_INJECTION,
    WEIR_SET_NOTINJECT,
    WEIR_SET_MITRE,
    WEIR_SETS
} weir_set_t;

/* Categories of the moderation set, in the order of its documentation. */
#define WEIR_MODERATION_LABELS 8
extern const char *const weir_moderation_label[WEIR_MODERATION_LABELS];

typedef struct {
    weir_str_t text;
    bool positive;                           /* toxic, flagged, unsafe, attack */
    int8_t category[WEIR_MODERATION_LABELS]; /* moderation set: 0, 1, or -1 not labelled */
} weir_case_t;

typedef struct {
    weir_case_t *cases;
    size_t count;
    size_t cap;
} weir_cases_t;

typedef struct {
    weir_str_t type;
    size_t start; /* bytes, converted from the file's code points */
    size_t end;
} weir_gold_span_t;

typedef struct {
    weir_str_t text;
    weir_gold_span_t *spans;
    size_t count;
} weir_pii_case_t;

typedef struct {
    weir_arena_t *arena;
    weir_cases_t set[WEIR_SETS];
    weir_pii_case_t *pii;
    size_t pii_count;
} weir_eval_sets_t;

const char *weir_set_name(weir_set_t set);

/* Reads all sets of the folder, or of "public" in it where there is that. Errors: NOT_FOUND (a file
 * is missing), INVALID, IO, LIMIT, NOMEM; the message names the file. */
weir_status_t weir_eval_sets_read(weir_eval_sets_t *sets, const char *folder, weir_arena_t *arena,
                                  weir_error_t *err);

#endif

/*
 * Rows that also stand in public sets are kept out of training by a list of digests, so that
 * training reads no evaluation file. `weir-guard overlaps` makes the list.
 */
#ifndef WEIR_GUARD_TRAINING_OVERLAP_H
#define WEIR_GUARD_TRAINING_OVERLAP_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

#include <stdbool.h>

#define WEIR_DIGEST 32

/* Digests in ascending order. */
typedef struct {
    uint8_t (*digest)[WEIR_DIGEST];
    size_t count;
} weir_excluded_t;

/*
 * SHA-256 of a folded text's letters, digits and bytes over 0x7F, lower-cased. False: it has none,
 * and counts as nobody's copy.
 */
bool weir_text_digest(weir_str_t text, uint8_t digest[WEIR_DIGEST]);

/*
 * Reads a list: 64 hexadecimal digits a line; empty lines and those that begin with '#' are
 * skipped. Errors: INVALID (with the line), NOMEM.
 */
weir_status_t weir_excluded_read(weir_excluded_t *list, weir_str_t text, weir_arena_t *arena,
                                 weir_error_t *err);

/* The list that is part of the program: guardrails/training/excluded.txt. */
weir_str_t weir_excluded_builtin(void);

bool weir_excluded_has(const weir_excluded_t *list, const uint8_t digest[WEIR_DIGEST]);

#endif

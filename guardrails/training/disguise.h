/*
 * Texts hidden the way attackers hide them, for training: a harmless text in leet is as harmless
 * as in plain. The evaluation's transforms are other code (evasion.h): these differ from row to
 * row, in signs, separators and how much of a text they touch.
 */
#ifndef WEIR_GUARD_TRAINING_DISGUISE_H
#define WEIR_GUARD_TRAINING_DISGUISE_H

#include "engine/base/arena.h"

#include <stdint.h>

typedef enum {
    WEIR_DISGUISE_LEET,
    WEIR_DISGUISE_SPACED,
    WEIR_DISGUISE_CODED, /* base64 or hexadecimal, at times behind some words */
    WEIR_DISGUISES
} weir_disguise_t;

/* Appends the text hidden so. seed alone decides the details. */
void weir_disguise(weir_disguise_t disguise, weir_str_t text, uint64_t seed, weir_buf_t *out);

#endif

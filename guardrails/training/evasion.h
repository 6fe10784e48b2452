/*
 * Ways to hide a text from a filter, as the measure of the filter: none of this is used to find.
 */
#ifndef WEIR_GUARD_TRAINING_EVASION_H
#define WEIR_GUARD_TRAINING_EVASION_H

#include "engine/base/arena.h"

typedef enum {
    WEIR_EVADE_PLAIN,      /* the text as it is */
    WEIR_EVADE_HOMOGLYPH,  /* a c e i o p s x y as Cyrillic letters that look the same */
    WEIR_EVADE_ZERO_WIDTH, /* U+200B behind every letter */
    WEIR_EVADE_FULL_WIDTH, /* ASCII as U+FF01 to U+FF5E */
    WEIR_EVADE_LEET,       /* 4 3 1 0 5 7 for a e i o s t */
    WEIR_EVADE_SPACING,    /* a space between all characters */
    WEIR_EVADE_BASE64,     /* all of it */
    WEIR_EVADE_ROT13,
    WEIR_EVADE_TAGS,  /* ASCII as tag characters, U+E0020 to U+E007E */
    WEIR_EVADE_MIXED, /* word by word the first three in turn, each with an invisible character */
    WEIR_EVASIONS
} weir_evasion_t;

const char *weir_evasion_name(weir_evasion_t evasion);

/* Appends the hidden text to out. */
void weir_evade(weir_evasion_t evasion, weir_str_t text, weir_buf_t *out);

#endif

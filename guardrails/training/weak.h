/*
 * Weak labels: a row known to be toxic, but not how, gets sub-head labels from words (distant
 * supervision). Rows that remain in doubt stay unknown.
 */
#ifndef WEIR_GUARD_TRAINING_WEAK_H
#define WEIR_GUARD_TRAINING_WEAK_H

#include "guardrails/training/corpus.h"

/*
 * Fills the unknown insult, threat, sexual, identity attack and self-harm labels of toxic rows:
 * YES where the head's words stand in the sentence form of the head, NO where none of its words
 * stands in the text.
 */
void weir_corpus_weak_labels(weir_corpus_t *corpus);

#endif

/*
 * Grammars of example sentences. A grammar text is a list of sets; lines that begin with '#' are
 * comments:
 *
 *   set NAME rows=N weight=X [HEAD=0|1]...    begins a set; heads not named are unknown
 *   word = alternative | alternative | ...    a word of this set
 *   common word = ...                         the same for all sets behind it
 *   > A sentence with {word} and {word}.      a pattern
 *
 * A line that ends in '\' goes on in the next. Alternatives may hold {words} in turn; {open},
 * {close}, {bar} and {backslash} are the characters {, }, | and \. A word that may hold itself has
 * an alternative without itself first, which deep ones take. A set yields at most N distinct
 * sentences, each from a pattern drawn evenly, by a generator with a fixed seed, so that a grammar
 * always gives the same sentences.
 */
#ifndef WEIR_GUARD_TRAINING_GRAMMAR_H
#define WEIR_GUARD_TRAINING_GRAMMAR_H

#include "guardrails/training/corpus.h"

#define WEIR_GRAMMAR_MAX_WORDS    400
#define WEIR_GRAMMAR_MAX_PATTERNS 800
#define WEIR_GRAMMAR_DEEP         8 /* from here on a word is its first alternative */
#define WEIR_GRAMMAR_MAX_DEPTH    16
#define WEIR_GRAMMAR_MAX_SENTENCE 4096

/*
 * Adds the grammar's sentences to the corpus as one source. Errors: INVALID (message with the
 * line: an unknown word, a head's name, a number), LIMIT, NOMEM.
 */
weir_status_t weir_grammar_add(weir_corpus_t *corpus, const char *name, weir_str_t text,
                               uint64_t seed, weir_error_t *err);

/* A grammar that is part of the program. */
typedef struct {
    const char *name;
    const unsigned char *data;
    unsigned long len;
} weir_builtin_grammar_t;

/* The index-th one; false behind the last. */
bool weir_builtin_grammar(size_t index, weir_builtin_grammar_t *out);

#endif

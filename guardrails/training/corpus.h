/*
 * A corpus: texts with what is known of them for each head. Sources are the data sets' files,
 * read by name, and the grammars of guardrails/training/templates.
 */
#ifndef WEIR_GUARD_TRAINING_CORPUS_H
#define WEIR_GUARD_TRAINING_CORPUS_H

#include "engine/base/arena.h"
#include "guardrails/classifier/classifier.h"

#define WEIR_CORPUS_MAX_ROWS    400000
#define WEIR_CORPUS_MAX_SOURCES 48
#define WEIR_CORPUS_MAX_FILE    ((size_t)256 << 20)

enum { WEIR_LABEL_UNKNOWN = -1, WEIR_LABEL_NO = 0, WEIR_LABEL_YES = 1 };

/* How a row's text came about. All but the first are for learning only. */
typedef enum {
    WEIR_FORM_FOUND,  /* as the source has it, or a view of that */
    WEIR_FORM_PIECE,  /* a piece of such a text */
    WEIR_FORM_HIDDEN, /* a view of a text that training hid (disguise.h) */
    WEIR_FORM_SPACED  /* the same with letters apart, which no folding makes the same text */
} weir_form_t;

typedef struct {
    weir_str_t text;
    int8_t label[WEIR_HEADS];
    uint8_t source; /* index into sources */
    weir_form_t form;
    uint32_t family; /* the same for all forms of one text; 0 until it is prepared */
    float weight;
} weir_row_t;

/* One file or grammar, as the manifest lists it. */
typedef struct {
    const char *name;
    uint8_t sha256[32];
    uint32_t records; /* found in it */
    uint32_t used;    /* rows made of them */
} weir_source_t;

typedef struct {
    weir_arena_t *arena;
    weir_row_t *rows;
    size_t count;
    size_t cap;
    weir_source_t sources[WEIR_CORPUS_MAX_SOURCES];
    size_t source_count;
} weir_corpus_t;

void weir_corpus_init(weir_corpus_t *corpus, weir_arena_t *arena);

/* Opens a source; rows added afterwards are its rows. data is hashed. Errors: LIMIT. */
weir_status_t weir_corpus_source(weir_corpus_t *corpus, const char *name, weir_str_t data,
                                 weir_error_t *err);

/* Adds a row of the open source; text must live as long as the corpus. Errors: LIMIT, NOMEM. */
weir_status_t weir_corpus_add(weir_corpus_t *corpus, weir_str_t text,
                              const int8_t label[WEIR_HEADS], float weight, weir_error_t *err);

/* Reads a whole file into the arena. Errors: IO, NOT_FOUND, LIMIT, NOMEM. */
weir_status_t weir_read_file(const char *path, weir_arena_t *arena, weir_str_t *out,
                             weir_error_t *err);

/*
 * Reads every known training file of the folder (the list is in sources.c); a missing one is an
 * error, an unknown one is left alone.
 */
weir_status_t weir_corpus_read_folder(weir_corpus_t *corpus, const char *folder, weir_error_t *err);

/*
 * Leaves out rows whose text, lower-cased and without anything but letters and digits, occurred
 * before in a row that is as spaced; returns how many. The first occurrence stays; when labels
 * differ, both go.
 */
size_t weir_corpus_distinct(weir_corpus_t *corpus);

#endif

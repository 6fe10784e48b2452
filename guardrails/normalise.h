/*
 * Folds text into a shadow in which an evasion looks like what it hides: compatibility forms
 * (NFKC per code point, no re-ordering or composition), invisible and bidi characters, controls
 * between letters, combining marks that hide letters, tags, confusables, digits of all scripts,
 * base64 and other codes. Each view maps back to the original.
 */
#ifndef WEIR_GUARDRAILS_NORMALISE_H
#define WEIR_GUARDRAILS_NORMALISE_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

/* What to do (options) beyond NFKC, stripping, tags, digits and confusables in mixed words. */
enum {
    WEIR_GUARD_FOLD_LOWER = 1,       /* lower-case: ASCII, and simple one-to-one mappings */
    WEIR_GUARD_FOLD_CONFUSABLES = 2, /* confusables to Latin in every word (deny, injection) */
    WEIR_GUARD_FOLD_KEEP_DIGITS = 4, /* leave Nd digits of other scripts alone */
    WEIR_GUARD_FOLD_IN_PLACE = 8     /* do not turn reversed text: nothing behind a word counts */
};

/* What was met (flags of a view). */
enum {
    WEIR_GUARD_FOLD_NON_ASCII = 1,
    WEIR_GUARD_FOLD_BROKEN = 2,      /* invalid UTF-8, now U+FFFD */
    WEIR_GUARD_FOLD_INVISIBLE = 4,   /* zero-width, controls, marks that hide letters stripped */
    WEIR_GUARD_FOLD_BIDI = 8,        /* direction controls stripped, reversed text turned */
    WEIR_GUARD_FOLD_TAGS = 16,       /* tag characters turned into ASCII */
    WEIR_GUARD_FOLD_COMPAT = 32,     /* compatibility forms (full width, mathematical, ...) */
    WEIR_GUARD_FOLD_CONFUSED = 64,   /* confusable letters in a mixed-script word */
    WEIR_GUARD_FOLD_DIGITS = 128,    /* digits of another script */
    WEIR_GUARD_FOLD_LEET = 256,      /* view with 4 for a, 0 for o, ... */
    WEIR_GUARD_FOLD_JOINED = 512,    /* view with s p a c e d letters joined */
    WEIR_GUARD_FOLD_DECODED = 1024,  /* view of what base64, percent, hex or entities hide */
    WEIR_GUARD_FOLD_TRUNCATED = 2048 /* a layer was cut at its limit */
};

/*
 * A run of view bytes with one rule: step n > 0: view byte i of the run came from the n original
 * bytes at origin + i * n; step 0: all bytes of the run came from [origin, origin_end).
 */
typedef struct {
    uint32_t view; /* first byte in the view */
    uint32_t origin;
    uint32_t origin_end; /* only for step 0 */
    uint32_t step;
} weir_guard_run_t;

/* runs in ascending order of view, without gaps; none: the view is the original, byte for byte. */
typedef struct {
    const char *text;
    size_t len;
    const weir_guard_run_t *runs;
    size_t run_count;
    uint32_t flags;
} weir_guard_view_t;

/* Most views of one text: the folded text itself, its second views, decoded layers. */
#define WEIR_GUARD_MAX_VIEWS  12
#define WEIR_GUARD_MAX_LAYER  (16 * 1024) /* bytes decoded for the classifiers, all layers */
#define WEIR_GUARD_MAX_DEPTH  2           /* codes inside codes */
#define WEIR_GUARD_MIN_BASE64 24          /* shorter runs are not decoded */

/* Part of an original that is decoded as a whole. */
typedef struct {
    uint32_t start;
    uint32_t end;
} weir_guard_atom_t;

/* Buffers of the views; memory is kept for the next text. Zeroed is empty. */
typedef struct {
    struct {
        char *data;
        size_t cap;
        weir_guard_run_t *runs;
        size_t run_cap;
    } slots[WEIR_GUARD_MAX_VIEWS + 2];
    weir_guard_atom_t *atoms;
    size_t atom_count;
    size_t atom_cap;
} weir_guard_fold_t;

void weir_guard_fold_free(weir_guard_fold_t *fold);

/*
 * Makes the folded view. With plain ASCII and no LOWER the view is the text itself, which must then
 * outlive it; else it lies in fold until the next call. Errors: LIMIT (over 1 GiB), NOMEM.
 */
weir_status_t weir_guard_normalise(weir_guard_fold_t *fold, const char *text, size_t len,
                                   unsigned options, weir_guard_view_t *view, weir_error_t *err);

/*
 * Makes all views that the text calls for: views[0] as weir_guard_normalise, then, each only where
 * its pattern shows: leet folded, spaced letters joined, and decoded layers (normalised in turn
 * with the same options). count is at least 1 on success. All map to the original text.
 */
weir_status_t weir_guard_views(weir_guard_fold_t *fold, const char *text, size_t len,
                               unsigned options, weir_guard_view_t views[WEIR_GUARD_MAX_VIEWS],
                               size_t *count, weir_error_t *err);

/* The original span of view bytes [start, end), start < end <= view->len. */
void weir_guard_view_span(const weir_guard_view_t *view, size_t start, size_t end,
                          size_t *origin_start, size_t *origin_end);

/* The original byte that view byte `at` begins at; at = view->len gives original_len. */
size_t weir_guard_view_origin(const weir_guard_view_t *view, size_t at, size_t original_len);

/* The first byte of a view without codes that came from original byte `origin` or one behind it. */
size_t weir_guard_view_at(const weir_guard_view_t *view, size_t origin);

#endif

/* Building views: text and its offset map, piece by piece. Inside the library only. */
#ifndef WEIR_GUARDRAILS_VIEWS_H
#define WEIR_GUARDRAILS_VIEWS_H

#include "guardrails/normalise.h"

/* A view under construction in one slot of the buffers. */
typedef struct {
    weir_guard_fold_t *fold;
    unsigned slot;
    size_t len;
    size_t run_count;
    bool failed; /* out of memory: later calls do nothing */
} weir_guard_build_t;

/* Begins a view; room for `expect` bytes is made at once. */
void weir_guard_build_begin(weir_guard_build_t *build, weir_guard_fold_t *fold, unsigned slot,
                            size_t expect);

/* len bytes that came one for one from the original at origin. */
void weir_guard_build_copy(weir_guard_build_t *build, const char *text, size_t len, size_t origin);

/* len bytes that all came from [origin, origin_end). */
void weir_guard_build_replace(weir_guard_build_t *build, const char *text, size_t len,
                              size_t origin, size_t origin_end);

/* The view; valid until the slot is used again. */
void weir_guard_build_end(const weir_guard_build_t *build, uint32_t flags, weir_guard_view_t *view);

/* Normalises into a slot of the caller's choice. */
weir_status_t weir_guard_normalise_into(weir_guard_fold_t *fold, unsigned slot, const char *text,
                                        size_t len, unsigned options, weir_guard_view_t *view,
                                        weir_error_t *err);

/* Spans of one view in ascending order, or nearly so: remembers the run of the last one. */
typedef struct {
    const weir_guard_view_t *view;
    size_t run;
} weir_guard_cursor_t;

/* As weir_guard_view_span, in constant time where start lies in or behind the last one's run. */
void weir_guard_cursor_span(weir_guard_cursor_t *cursor, size_t start, size_t end,
                            size_t *origin_start, size_t *origin_end);

/*
 * len bytes that came one for one from bytes [start, start + len) of the cursor's view: they map to
 * where those do.
 */
void weir_guard_build_mapped(weir_guard_build_t *build, const char *text, size_t len,
                             weir_guard_cursor_t *cursor, size_t start);

/* Lower-cases ASCII letters; out may be text. */
void weir_guard_lower_ascii(char *out, const char *text, size_t len);

/* A mark that no language puts on what it stands on, at text[at], whose code point is given. */
bool weir_guard_is_mark(uint32_t code);
bool weir_guard_mark_hides(const char *text, size_t len, size_t at, uint32_t code);

/* True when no byte is above 0x7f. */
bool weir_guard_is_ascii(const char *text, size_t len);

#endif

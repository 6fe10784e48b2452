/*
 * Guards a request: scans its texts one by one, never joined over the borders of fields, the
 * arguments of tool calls as the JSON in JSON that they are, and replaces entities by splices
 * that change nothing else. The work is cut into steps, so that a large body does not stop an
 * event loop: call step() until it is done, then names() if a name was asked for, then edit().
 */
#ifndef WEIR_FILTERS_REQUEST_GUARD_H
#define WEIR_FILTERS_REQUEST_GUARD_H

#include "guardrails/classifier/text.h"
#include "guardrails/guardrails.h"
#include "guardrails/normalise.h"
#include "guardrails/placeholder.h"
#include "lua-free-filters/edit.h"
#include "lua-free-filters/request_texts.h"

/* A text is scanned in slices of so many bytes; longer ones only where a rule has not decided. */
#define WEIR_REQUEST_SLICE     ((size_t)8 << 10)
#define WEIR_REQUEST_MAX_SLICE ((size_t)32 << 10)

/* A tool call's arguments up to so many bytes are read as JSON, longer ones as text. */
#define WEIR_REQUEST_MAX_JSON ((size_t)256 << 10)

typedef enum {
    WEIR_REQUEST_KEEP,
    WEIR_REQUEST_REPLACE, /* put *replacement in its place */
    WEIR_REQUEST_NAME,    /* put a placeholder in its place */
    WEIR_REQUEST_STOP     /* the request is refused: nothing more is scanned */
} weir_request_action_t;

/*
 * What becomes of a finding. Called once for each, in the order of the texts; offsets are those of
 * the unescaped text number `text` (of its string, where that is JSON). value is valid during the
 * call; *replacement must outlive the edit.
 */
typedef weir_request_action_t (*weir_request_decide_pt)(void *ctx,
                                                        const weir_guard_finding_t *finding,
                                                        weir_str_t value, weir_request_part_t part,
                                                        uint32_t text, weir_str_t *replacement);

/* The scores of a text's page (classifier/text.h), valid during the call. False: as STOP. */
typedef bool (*weir_request_scored_pt)(void *ctx, const weir_scores_t *scores, weir_str_t page,
                                       weir_request_part_t part, uint32_t text);

typedef struct {
    const weir_guard_rules_t *rules; /* NULL: no entities are looked for */
    const weir_classifier_t *model;  /* NULL: nothing is classified */
    uint32_t parts;                  /* bits 1 << weir_request_part_t that are looked at */
    weir_request_decide_pt decide;
    weir_request_scored_pt scored;
    void *ctx;
} weir_request_guard_options_t;

typedef struct weir_request_guard weir_request_guard_t;

/* doc, texts and arena must outlive the guard. Errors: NOMEM. */
weir_status_t weir_request_guard_open(weir_arena_t *arena, const weir_json_doc_t *doc,
                                      const weir_request_text_t *texts, uint32_t count,
                                      const weir_request_guard_options_t *options,
                                      weir_request_guard_t **out);

/*
 * Scans about `budget` bytes more. OK: all is scanned; BUSY: call again; STATE: stopped by decide()
 * or scored(). scratch and fold are needed during the call only. Other errors: NOMEM, LIMIT.
 */
weir_status_t weir_request_guard_step(weir_request_guard_t *guard, weir_guard_scratch_t *scratch,
                                      weir_guard_fold_t *fold, size_t budget, weir_error_t *err);

/* Whether decide() has asked for any replacement or name. */
bool weir_request_guard_edits(const weir_request_guard_t *guard);

/* Whether decide() has asked for a name. */
bool weir_request_guard_needs_names(const weir_request_guard_t *guard);

/*
 * Shows the map about `budget` bytes more of what stays in the request, all of it, also what was
 * not scanned, so that no name is given that the client has written itself. As step().
 */
weir_status_t weir_request_guard_names(weir_request_guard_t *guard, weir_placeholders_t *map,
                                       size_t budget);

/* Adds about `budget` bytes' worth of splices. map may be NULL when no names are needed. As step();
 * other errors: those of weir_edit_splice() and weir_placeholders_name(). */
weir_status_t weir_request_guard_edit(weir_request_guard_t *guard, weir_placeholders_t *map,
                                      weir_edit_t *edit, size_t budget, weir_error_t *err);

/* Whether a text scanned so far held more than could be found or decoded within the limits. */
bool weir_request_guard_truncated(const weir_request_guard_t *guard);

/* Bytes handed to the scanner so far. */
uint64_t weir_request_guard_scanned(const weir_request_guard_t *guard);

#endif

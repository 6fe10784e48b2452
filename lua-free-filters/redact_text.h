/*
 * Redaction of one text that comes in pieces: a message's content, a reasoning, the arguments of a
 * tool call. A byte leaves as soon as no rule can still make it part of an entity, and never
 * before; what leaves does not depend on how the text was cut. The work grows with the text: what
 * is held for long is looked at again when an eighth has been added.
 */
#ifndef WEIR_FILTERS_REDACT_TEXT_H
#define WEIR_FILTERS_REDACT_TEXT_H

#include "guardrails/guardrails.h"
#include "guardrails/placeholder.h"

typedef enum {
    WEIR_REDACT_HOLDBACK, /* rules compiled with options.streaming: released by live matcher state
                           */
    WEIR_REDACT_WINDOW,   /* any rules and a check: released once `window` bytes follow, and what no
                             rule has decided then as soon as one has */
    WEIR_REDACT_BUFFER,   /* any rules and a check: released at the text's end */
    WEIR_REDACT_OBSERVE   /* nothing is held or changed; findings are reported */
} weir_redact_mode_t;

typedef enum {
    WEIR_REDACT_KEEP,    /* leave it as it is: flagged, allowed, or shadow mode */
    WEIR_REDACT_REPLACE, /* put *replacement in its place */
    WEIR_REDACT_STOP     /* block: this and all that follows is dropped */
} weir_redact_action_t;

/*
 * Called exactly once for every entity, in order, when it is decided (also when the client has
 * gone: then the answer of the callback has no effect). value is its text, valid during the call;
 * *replacement must live until the feed returns to its caller, and holds no line ends, quotes or
 * backslashes.
 */
typedef weir_redact_action_t (*weir_redact_decide_pt)(void *ctx,
                                                      const weir_guard_finding_t *finding,
                                                      weir_str_t value, bool repeat,
                                                      weir_str_t *replacement);

typedef enum { WEIR_CHECK_PASS, WEIR_CHECK_STOP, WEIR_CHECK_WAIT } weir_check_t;

/*
 * Called with text that is about to leave, as it came (WINDOW: left context included; BUFFER: all
 * of it), for verdicts over more than entities: classifiers, an endpoint elsewhere. fresh: where
 * the part begins that was not checked before. WAIT: the caller feeds again (with nothing) when a
 * verdict is there. NULL passes. Not called in mode HOLDBACK; in mode OBSERVE the answer has no
 * effect.
 */
typedef weir_check_t (*weir_redact_check_pt)(void *ctx, const char *text, size_t len, size_t fresh,
                                             bool last);

/* What all texts of one answer share; immutable while any of them is fed. */
typedef struct {
    const weir_guard_rules_t *rules; /* NULL: no entities are looked for */
    weir_guard_scratch_t *scratch;   /* the worker's */
    weir_redact_mode_t mode;
    size_t window;   /* [512] */
    size_t step;     /* WINDOW: so much more is looked at together [a quarter of the window] */
    size_t max_held; /* [1 MiB]: more cannot be held: the text is stopped */
    weir_redact_decide_pt decide;
    weir_redact_check_pt check;
    void *ctx;
    const weir_placeholders_t *restore; /* NULL: no names are restored */
} weir_redact_rules_t;

typedef struct {
    const weir_redact_rules_t *rules;
    bool json;    /* the text is JSON in pieces: what stands in its strings is what is matched, and
                     replacements keep it JSON */
    bool restore; /* names of placeholders are restored in it */
    bool repeat;  /* handed on to decide() */

    char *data; /* malloc: left context, what is held, and what waits behind a verdict */
    size_t len; /* of context and held text */
    size_t end; /* of all */
    size_t cap;
    size_t from;    /* what stands before it has left, or was dropped */
    size_t checked; /* the check has seen what stands before it */
    size_t base;    /* bytes of the text that stood before data */
    char *view;     /* malloc, json only: data with its escapes made harmless */
    size_t view_cap;
    size_t next;     /* held bytes at which the text is looked at again */
    bool waiting;    /* the check was not ready */
    bool in_string;  /* json: data[from] lies in a string */
    bool swallowing; /* an open-ended entity begins at from; its replacement has left, */
    bool passing;    /* or it stays as it is, and what stands before sent has left */
    size_t sent;
    bool again; /* an entity was cut: what stands behind it is to be looked at again */
    bool stopped;
    bool ended;   /* in order: it may be opened again */
    bool crossed; /* opened again: what stands from live on may go on behind junction, where the
                     text had ended and all had left */
    size_t live;
    size_t junction;
    uint64_t held_sum; /* sum over feeds of the bytes held afterwards, for measuring */
    uint64_t feeds;
    uint64_t scanned;          /* bytes given to the scanner, left context and repeats included */
    weir_restorer_t *restorer; /* malloc, made when needed */
} weir_redact_text_t;

/* rules must outlive the text. Ends with weir_redact_text_free. */
void weir_redact_text_init(weir_redact_text_t *t, const weir_redact_rules_t *rules, bool json,
                           bool restore);
void weir_redact_text_free(weir_redact_text_t *t);

/*
 * The next piece, whole characters of UTF-8; appends what may leave to out. last: the text ends
 * here. Errors: NOMEM; BUSY: the check is not ready: nothing is lost, feed again with an empty
 * piece; STATE: the text is stopped (a decision, the check, more than max_held, or a scan that
 * failed: closed) and out has what left before it.
 */
weir_status_t weir_redact_text_feed(weir_redact_text_t *t, const char *piece, size_t len, bool last,
                                    weir_buf_t *out);

/*
 * The same in steps, for what was held until its end: rewind() takes other rules of mode WINDOW,
 * which outlive the text; step() then reads on in at most `size` bytes of what left() tells.
 */
void weir_redact_text_rewind(weir_redact_text_t *t, const weir_redact_rules_t *rules);
weir_status_t weir_redact_text_step(weir_redact_text_t *t, size_t size, bool last, weir_buf_t *out);
size_t weir_redact_text_left(const weir_redact_text_t *t);

/*
 * More comes behind a text's end, which has left: an entity that began in front of it is found all
 * the same, and what stands of it behind the end is decided as if it were all of it. rules: as at
 * the beginning. A text that was stopped stays so.
 */
void weir_redact_text_reopen(weir_redact_text_t *t, const weir_redact_rules_t *rules);

/* The client has gone: what is held is decided (decide() hears of it) and dropped. */
void weir_redact_text_abandon(weir_redact_text_t *t);

/* Bytes held now. */
size_t weir_redact_text_held(const weir_redact_text_t *t);

#endif

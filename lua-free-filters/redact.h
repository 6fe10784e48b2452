/*
 * The streaming redactor: a filter that redacts every text of an answer, each choice and each
 * channel (content, reasoning, refusal, tool arguments) with a state of its own. Whole answers and
 * whole texts in events go the same way. Repeated texts (response.completed, logprobs) are redacted
 * or taken out as well, so that nothing comes back under another name.
 */
#ifndef WEIR_FILTERS_REDACT_H
#define WEIR_FILTERS_REDACT_H

#include "lua-free-filters/filter.h"
#include "lua-free-filters/redact_text.h"
#include "lua-free-filters/text_fields.h"

#define WEIR_REDACT_SLICE ((size_t)16 << 10)

typedef struct {
    weir_redact_rules_t text; /* mode, rules, callbacks */
    weir_protocol_t protocol; /* of the answer as it comes to this filter */
    uint32_t restore_kinds;   /* bit i: names are restored in texts of weir_text_kind_t i */
    uint32_t skip_kinds;      /* bit i: texts of that kind are not looked at */
    weir_stop_t on_block;     /* how a blocked answer ends */
    size_t max_queued;        /* bytes of items that wait for a verdict [1 MiB] */
    /*
     * Long texts are read in slices of WEIR_REDACT_SLICE bytes: may the next one be read now?
     * False: the filter waits, and is to be woken (weir_pipeline_wake()) to ask again. Called with
     * the text's ctx. NULL: texts are read at once.
     */
    bool (*turn)(void *ctx, size_t size);
    /*
     * The scratch of the thread that the filter is called on, with the text's ctx; NULL when out of
     * memory. *elsewhere: it is another thread than the event loop's, which has time: then a text
     * that is held until its end is looked at at once, else slice by slice. NULL: that of `text`.
     */
    weir_guard_scratch_t *(*scratch)(void *ctx, bool *elsewhere);
    void (*landed)(void *ctx); /* as the filter's; may be NULL */
    void (*closed)(void *ctx); /* the scratch is not needed any more, on whatever thread; may be
                                  NULL */
} weir_redact_options_t;

typedef struct {
    uint64_t texts;    /* texts seen */
    uint64_t held_sum; /* bytes held after each piece, summed, and how many pieces */
    uint64_t pieces;
    uint64_t restored; /* names of placeholders put back */
    uint64_t scanned;  /* bytes handed to the scanner, those seen again included */
    bool stopped;      /* blocked, or something could not be read */
} weir_redact_stats_t;

typedef struct weir_redact weir_redact_t;

/*
 * Makes a filter; its state lies in arena, its texts in malloc until weir_redact_close(). Errors:
 * NOMEM, INVALID (HOLDBACK with a check or with rules that were not compiled for streams is the
 * caller's fault and not seen here).
 */
weir_status_t weir_redact_open(weir_arena_t *arena, const weir_redact_options_t *options,
                               weir_redact_t **out);

/* Decides what is still held (decide() hears of it) and frees; at most once, at the latest when the
 * request ends. Statistics stay readable as long as the arena. */
void weir_redact_close(weir_redact_t *r);

weir_filter_t weir_redact_filter(weir_redact_t *r);

const weir_redact_stats_t *weir_redact_stats(const weir_redact_t *r);

#endif

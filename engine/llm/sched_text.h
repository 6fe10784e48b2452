/*
 * From tokens' bytes to text that may be shown: whole UTF-8 characters, and nothing that may turn
 * out to be the beginning of a stop string.
 */
#ifndef WEIR_LLM_SCHED_TEXT_H
#define WEIR_LLM_SCHED_TEXT_H

#include "engine/llm/tokenizer.h"

/* The longest stop string, in bytes, plus the longest character. */
#define WEIR_TEXT_SLACK 136

typedef struct {
    weir_utf8_stream_t utf8;
    const weir_str_t *stops; /* none empty; set by the owner */
    uint32_t n_stops;
    uint32_t found; /* number of the stop string that ended the text, from 1; 0: none yet */
    char *held;     /* characters not yet released */
    uint32_t n_held;
    uint32_t cap; /* at least WEIR_TEXT_SLACK + 3 * the longest token's bytes */
} weir_text_t;

/*
 * Adds the bytes of one token, using scratch (emptied first). Returns how many bytes at the
 * beginning of `held` may be shown now; the caller shows them and calls weir_text_drop. *stopped:
 * a stop string was found; the text ends before it. Of two, the one that begins first counts.
 */
uint32_t weir_text_push(weir_text_t *t, weir_str_t bytes, weir_buf_t *scratch, bool *stopped);

/* Ends the text: an incomplete character becomes U+FFFD, and all that was held back may be shown,
 * up to a stop string if that completes one. */
uint32_t weir_text_finish(weir_text_t *t, weir_buf_t *scratch);

/* Forgets the first n bytes of held. */
void weir_text_drop(weir_text_t *t, uint32_t n);

/* The longest prefix of text, at most max bytes (4 or more), that ends between characters. */
uint32_t weir_text_cut(const char *text, uint32_t len, uint32_t max);

#endif

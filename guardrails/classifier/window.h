/* Fills windows with words and marks. Internal to guardrails/classifier. */
#ifndef WEIR_GUARD_WINDOW_H
#define WEIR_GUARD_WINDOW_H

#include "guardrails/classifier/classifier.h"

#include <stddef.h>

/* Begins an empty window. */
void weir_window_open(weir_classify_stream_t *stream);

/*
 * Takes bytes of text[0..len) up to the first that begins a new window, and returns how many; less
 * than len means that the window is full and must be closed before the rest is given.
 */
size_t weir_window_take(weir_classify_stream_t *stream, const char *text, size_t len);

/* The bucket of a mark of len bytes; 7 bytes behind it may be read. */
uint16_t weir_mark_bucket(const uint8_t *mark, uint32_t len, uint32_t buckets);

#endif

#include "engine/llm/sched_text.h"

static void append(weir_text_t *t, const weir_buf_t *text)
{
    size_t n = text->len;
    if (n > t->cap - t->n_held) {
        n = t->cap - t->n_held; /* not reached: cap covers the longest token */
    }
    if (n > 0) {
        memcpy(t->held + t->n_held, text->data, n);
        t->n_held += (uint32_t)n;
    }
}

/* Offset of the first stop string in held, or n_held. */
static uint32_t find_stop(weir_text_t *t)
{
    uint32_t first = t->n_held;
    for (uint32_t i = 0; i < t->n_stops; i++) {
        const char *at = memmem(t->held, t->n_held, t->stops[i].data, t->stops[i].len);
        if (at != NULL && (uint32_t)(at - t->held) < first) {
            first = (uint32_t)(at - t->held);
            t->found = i + 1;
        }
    }
    return first;
}

/* Length of the longest end of held that begins a stop string. */
static uint32_t hold_back(const weir_text_t *t)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i < t->n_stops; i++) {
        uint32_t n = (uint32_t)t->stops[i].len - 1;
        n = n < t->n_held ? n : t->n_held;
        while (n > longest && memcmp(t->held + t->n_held - n, t->stops[i].data, n) != 0) {
            n--;
        }
        longest = n > longest ? n : longest;
    }
    return longest;
}

uint32_t weir_text_push(weir_text_t *t, weir_str_t bytes, weir_buf_t *scratch, bool *stopped)
{
    scratch->len = 0;
    weir_utf8_stream_push(&t->utf8, bytes, scratch);
    append(t, scratch);
    uint32_t stop = find_stop(t);
    *stopped = stop < t->n_held;
    return *stopped ? stop : t->n_held - hold_back(t);
}

uint32_t weir_text_finish(weir_text_t *t, weir_buf_t *scratch)
{
    scratch->len = 0;
    weir_utf8_stream_finish(&t->utf8, scratch);
    append(t, scratch);
    return find_stop(t);
}

void weir_text_drop(weir_text_t *t, uint32_t n)
{
    memmove(t->held, t->held + n, t->n_held - n);
    t->n_held -= n;
}

uint32_t weir_text_cut(const char *text, uint32_t len, uint32_t max)
{
    if (len <= max) {
        return len;
    }
    uint32_t n = max;
    while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) {
        n--;
    }
    return n > 0 ? n : max;
}

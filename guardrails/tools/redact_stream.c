/*
 * weir-guard redact --stream: the input is read as it comes, fed so many bytes at a time, and what
 * a feed decides is written before more is waited for. What is written depends neither on the size
 * of the feeds nor on when the input came.
 */
#include "guardrails/tools/tool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ    65536
#define STRETCH 65536 /* of text without entities that is looked through for names at a time */

/* Offsets are of data, from whose front goes what nothing needs any more. */
typedef struct {
    weir_guard_session_t *session;
    weir_placeholders_t *map;
    char *data;
    size_t len;
    size_t cap;
    size_t fed;
    size_t released; /* written, or an entity for which a name was */
    size_t avoided;  /* looked through for names of the text's own */
    weir_buf_t *out;
    bool truncated;
} stream_t;

/* Names in the text before end are not given; whole: up to end, else in whole stretches only. The
 * borders follow from the text alone. */
static weir_status_t avoid(stream_t *t, size_t end, bool whole)
{
    weir_status_t status = WEIR_OK;
    while (status == WEIR_OK && (end - t->avoided >= STRETCH || (whole && end > t->avoided))) {
        size_t cut = end;
        if (end - t->avoided >= STRETCH) {
            cut = t->avoided + STRETCH;
            while (cut > t->avoided && (unsigned char)t->data[cut - 1] > ' ') {
                cut--;
            }
            cut = cut > t->avoided ? cut : t->avoided + STRETCH;
        }
        status = weir_placeholders_avoid(t->map, t->data + t->avoided, cut - t->avoided);
        t->avoided = cut;
    }
    return status;
}

/* Writes what a scan from base on has decided. Each entity is named before what stands behind it is
 * looked through, however much one feed decides. */
static weir_status_t release(stream_t *t, size_t base, const weir_guard_result_t *result,
                             weir_error_t *err)
{
    weir_str_t text = weir_str(t->data, t->len);
    weir_guard_result_t one = *result;
    size_t hold = base + result->hold;
    for (size_t i = 0; i < result->count; i++) {
        const weir_guard_finding_t *f = &result->findings[i];
        if (base + f->start < t->released || base + f->end > hold) {
            continue;
        }
        if (avoid(t, base + f->start, true) != WEIR_OK) {
            return weir_error(err, WEIR_ERR_LIMIT, "no room for the names of entities");
        }
        one.findings = f;
        one.count = 1;
        weir_status_t status = weir_guard_write_redacted(t->map, text, t->released, base + f->end,
                                                         &one, base, t->out, err);
        if (status != WEIR_OK) {
            return status;
        }
        t->released = base + f->end;
        t->avoided = t->released;
    }
    if (avoid(t, hold, false) != WEIR_OK) {
        return weir_error(err, WEIR_ERR_LIMIT, "no room for the names of entities");
    }
    weir_buf_append(t->out, t->data + t->released, hold - t->released);
    t->released = hold;
    return WEIR_OK;
}

static size_t context_of(const stream_t *t)
{
    size_t base = t->released > WEIR_GUARD_LEFT_CODED ? t->released - WEIR_GUARD_LEFT_CODED : 0;
    while (base > 0 && ((unsigned char)t->data[base] & 0xc0) == 0x80) {
        base--;
    }
    return base;
}

static weir_status_t feed(stream_t *t, bool more, weir_error_t *err)
{
    size_t base = context_of(t);
    weir_guard_scan_options_t options = {.from = t->released - base, .more = more};
    weir_guard_result_t result;
    weir_status_t status = weir_guard_scan(t->session->rules, t->session->scratch, t->data + base,
                                           t->fed - base, &options, &result, err);
    if (status != WEIR_OK) {
        return status;
    }
    t->truncated |= result.truncated;
    return base + result.hold > t->released ? release(t, base, &result, err) : WEIR_OK;
}

/* Room for a read: what neither a scan nor the names need goes. */
static bool make_room(stream_t *t)
{
    size_t base = context_of(t);
    size_t drop = base < t->avoided ? base : t->avoided;
    if (t->cap - t->len >= READ) {
        return true;
    }
    if (drop >= READ) {
        memmove(t->data, t->data + drop, t->len - drop);
        t->len -= drop;
        t->fed -= drop;
        t->released -= drop;
        t->avoided -= drop;
        return true;
    }
    size_t cap = 2 * t->cap + 4 * (size_t)READ;
    char *grown = realloc(t->data, cap);
    if (grown == NULL) {
        return false;
    }
    t->data = grown;
    t->cap = cap;
    return true;
}

/* One read, its feeds, and what they decide. *end: there was nothing more. */
static weir_status_t turn(stream_t *t, int fd, size_t size, bool *end, weir_error_t *err)
{
    ssize_t n;
    if (!make_room(t)) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory");
    }
    do {
        n = read(fd, t->data + t->len, READ);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return weir_error(err, WEIR_ERR_IO, "%s", strerror(errno));
    }
    *end = n == 0;
    t->len += (size_t)n;
    weir_status_t status = WEIR_OK;
    while (status == WEIR_OK && t->fed < t->len) {
        t->fed = t->len - t->fed < size ? t->len : t->fed + size;
        status = feed(t, true, err);
    }
    if (status == WEIR_OK && *end) {
        status = feed(t, false, err);
    }
    if (status == WEIR_OK && t->out->failed) {
        status = weir_error(err, WEIR_ERR_NOMEM, "no memory");
    }
    return status;
}

weir_status_t weir_guard_redact_stream(weir_guard_session_t *session, weir_placeholders_t *map,
                                       int fd, size_t size, bool *truncated, weir_error_t *err)
{
    stream_t t = {.session = session, .map = map};
    weir_arena_t arena;
    weir_status_t status = WEIR_OK;
    weir_arena_init(&arena, 1 << 18, 0);
    for (bool end = false; !end && status == WEIR_OK;) {
        weir_buf_t out;
        weir_arena_reset(&arena);
        weir_buf_init(&out, &arena);
        t.out = &out;
        status = turn(&t, fd, size, &end, err);
        bool written = status != WEIR_OK || fwrite(out.data, 1, out.len, stdout) == out.len;
        if (!written || fflush(stdout) != 0) {
            status = weir_error(err, WEIR_ERR_IO, "cannot be written: %s", strerror(errno));
        }
    }
    *truncated = t.truncated;
    weir_arena_free(&arena);
    free(t.data);
    return status;
}

/* Strings with provenance: building, cutting and searching. */
#include "engine/base/utf8.h"
#include "engine/jinja/interp.h"

static uint32_t count_chars(const char *data, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        n += ((uint8_t)data[i] & 0xC0) != 0x80;
    }
    return (uint32_t)n;
}

bool weir_jv_string(weir_ji_t *in, const char *data, size_t len, bool trusted, weir_jv_t *out)
{
    if (len > UINT32_MAX / 2) {
        return weir_ji_fail(in, WEIR_ERR_LIMIT, "a string of %zu bytes is too long", len);
    }
    weir_js_t *s = weir_ji_alloc(in, sizeof(*s));
    if (s == NULL) {
        return false;
    }
    *s = (weir_js_t){.data = len == 0 ? "" : data,
                     .len = (uint32_t)len,
                     .chars = count_chars(data, len),
                     .trusted = trusted};
    *out = weir_jv_str(s);
    return weir_ji_work(in, len / 64);
}

bool weir_jv_stringz(weir_ji_t *in, const char *z, bool trusted, weir_jv_t *out)
{
    return weir_jv_string(in, z, strlen(z), trusted, out);
}

void weir_jb_init(weir_jb_t *b, weir_ji_t *in)
{
    *b = (weir_jb_t){.in = in};
    weir_buf_init(&b->buf, &in->arena);
}

static bool note_segment(weir_jb_t *b, bool trusted)
{
    uint32_t end = (uint32_t)b->buf.len;
    if (b->n_segs > 0 && b->segs[b->n_segs - 1].trusted == trusted) {
        b->segs[b->n_segs - 1].end = end;
        return true;
    }
    if (b->n_segs == b->cap_segs) {
        uint32_t cap = b->cap_segs == 0 ? 4 : b->cap_segs * 2;
        weir_jseg_t *grown = weir_ji_alloc(b->in, cap * sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        if (b->n_segs > 0) {
            memcpy(grown, b->segs, b->n_segs * sizeof(*grown));
        }
        b->segs = grown;
        b->cap_segs = cap;
    }
    b->segs[b->n_segs++] = (weir_jseg_t){.end = end, .trusted = trusted};
    return true;
}

void weir_jb_add(weir_jb_t *b, const char *data, size_t len, bool trusted)
{
    if (b->failed || len == 0) {
        return;
    }
    if (len > b->in->limits.max_output || b->buf.len > b->in->limits.max_output - len) {
        weir_ji_set_error(b->in, WEIR_ERR_LIMIT, "a text longer than %zu bytes",
                          b->in->limits.max_output);
        b->failed = true;
        return;
    }
    weir_buf_append(&b->buf, data, len);
    if (b->buf.failed) {
        weir_ji_set_nomem(b->in);
        b->failed = true;
    } else if (!note_segment(b, trusted) || !weir_ji_work(b->in, len / 64)) {
        b->failed = true;
    }
}

void weir_jb_addz(weir_jb_t *b, const char *z, bool trusted)
{
    weir_jb_add(b, z, strlen(z), trusted);
}

/* The first segment that ends behind `at`. */
static uint32_t segment_at(const weir_js_t *s, uint32_t at)
{
    uint32_t low = 0;
    uint32_t high = s->n_segs;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (s->segs[mid].end > at) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return low;
}

void weir_jb_sub(weir_jb_t *b, const weir_js_t *s, uint32_t from, uint32_t to)
{
    if (s->n_segs == 0) {
        weir_jb_add(b, s->data + from, to - from, s->trusted);
        return;
    }
    for (uint32_t k = segment_at(s, from); from < to && k < s->n_segs; k++) {
        uint32_t end = s->segs[k].end < to ? s->segs[k].end : to;
        weir_jb_add(b, s->data + from, end - from, s->segs[k].trusted);
        from = end;
    }
}

void weir_jb_str(weir_jb_t *b, const weir_js_t *s)
{
    weir_jb_sub(b, s, 0, s->len);
}

void weir_jb_char_like(weir_jb_t *b, uint32_t cp, const weir_js_t *s, uint32_t at)
{
    char utf8[4];
    size_t n = (size_t)weir_utf8_encode(cp, utf8);
    weir_jb_add(b, utf8, n, weir_js_trusted_at(s, at));
}

bool weir_jb_finish(weir_jb_t *b, weir_jv_t *out)
{
    if (b->failed) {
        return false;
    }
    if (!weir_jv_string(b->in, b->buf.data, b->buf.len, true, out)) {
        return false;
    }
    weir_js_t *s = (weir_js_t *)(uintptr_t)out->u.s; /* made just now: still ours to fill in */
    s->markup = b->markup;
    if (b->n_segs == 1) {
        s->trusted = b->segs[0].trusted;
    } else if (b->n_segs > 1) {
        s->segs = b->segs;
        s->n_segs = b->n_segs;
        s->trusted = false;
    }
    return true;
}

bool weir_js_trusted_at(const weir_js_t *s, uint32_t at)
{
    if (s->n_segs == 0) {
        return s->trusted;
    }
    uint32_t k = segment_at(s, at);
    return k < s->n_segs && s->segs[k].trusted;
}

bool weir_js_all_trusted(const weir_js_t *s)
{
    return s->n_segs == 0 && s->trusted;
}

bool weir_js_is(const weir_js_t *s, const char *z)
{
    return weir_str_is(weir_str(s->data, s->len), z);
}

bool weir_js_equal(const weir_js_t *a, const weir_js_t *b)
{
    return a == b || (a->len == b->len && memcmp(a->data, b->data, a->len) == 0);
}

bool weir_js_slice(weir_ji_t *in, const weir_js_t *s, uint32_t from, uint32_t to, weir_jv_t *out)
{
    if (s->n_segs > 0) {
        weir_jb_t b;
        weir_jb_init(&b, in);
        weir_jb_sub(&b, s, from, to);
        b.markup = s->markup;
        return weir_jb_finish(&b, out);
    }
    if (!weir_jv_string(in, s->data + from, to - from, s->trusted, out)) {
        return false;
    }
    ((weir_js_t *)(uintptr_t)out->u.s)->markup = s->markup;
    return true;
}

uint32_t weir_js_offset(const weir_js_t *s, uint32_t c)
{
    if (s->chars == s->len) {
        return c < s->len ? c : s->len;
    }
    uint32_t i = 0;
    for (; i < s->len; i++) {
        if (((uint8_t)s->data[i] & 0xC0) != 0x80 && c-- == 0) {
            break;
        }
    }
    return i;
}

uint32_t weir_js_find(const weir_js_t *s, const weir_js_t *needle, uint32_t from)
{
    if (from > s->len || needle->len > s->len - from) {
        return UINT32_MAX;
    }
    if (needle->len == 0) {
        return from;
    }
    const char *hit = memmem(s->data + from, s->len - from, needle->data, needle->len);
    return hit == NULL ? UINT32_MAX : (uint32_t)(hit - s->data);
}

uint32_t weir_js_rfind(const weir_js_t *s, const weir_js_t *needle, uint32_t to)
{
    if (to > s->len || needle->len > to) {
        return UINT32_MAX;
    }
    for (uint32_t i = to - needle->len + 1; i-- > 0;) {
        if (memcmp(s->data + i, needle->data, needle->len) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

#include "lua-free-filters/redact_text.h"

#include "engine/base/hex.h"
#include "engine/base/utf8.h"

#include <stdlib.h>

#define DEFAULT_WINDOW   512
#define DEFAULT_MAX_HELD ((size_t)1 << 20)

/* While an open-ended entity is swallowed, so much of it is kept at most. */
#define SWALLOW_KEEP 1024

/* Left context is cut off when more than so much has left. */
#define COMPACT_AT 512

void weir_redact_text_init(weir_redact_text_t *t, const weir_redact_rules_t *rules, bool json,
                           bool restore)
{
    memset(t, 0, sizeof *t);
    t->rules = rules;
    t->json = json;
    t->restore = restore && rules->restore != NULL;
}

void weir_redact_text_free(weir_redact_text_t *t)
{
    free(t->data);
    free(t->view);
    free(t->restorer);
    t->data = NULL;
    t->view = NULL;
    t->restorer = NULL;
}

size_t weir_redact_text_held(const weir_redact_text_t *t)
{
    size_t held = t->swallowing || t->stopped ? 0 : t->len - t->from;
    return held + (t->restorer != NULL ? t->restorer->held_len : 0);
}

static bool append(weir_redact_text_t *t, const char *piece, size_t len)
{
    if (len == 0)
        return true;
    if (t->len + len > t->cap) {
        size_t cap = t->cap == 0 ? 512 : t->cap;
        while (cap < t->len + len)
            cap *= 2;
        char *data = realloc(t->data, cap);
        if (data == NULL)
            return false;
        t->data = data;
        t->cap = cap;
    }
    memcpy(t->data + t->len, piece, len);
    t->len += len;
    return true;
}

/* --- JSON in pieces --- */

/* Length of the escape at p, 0 when it is cut. */
static size_t escape_len(const char *p, size_t len)
{
    if (len < 2)
        return 0;
    size_t need = p[1] == 'u' ? 6 : 2;
    return len < need ? 0 : need;
}

/*
 * A copy of the same length in which escapes cannot pass for letters: \n is two blanks, and a
 * \u escape of an ASCII character is that character in blanks, so that offsets stay.
 */
static const char *scan_view(weir_redact_text_t *t)
{
    if (!t->json)
        return t->data;
    if (t->view_cap < t->cap) {
        char *view = realloc(t->view, t->cap);
        if (view == NULL)
            return NULL;
        t->view = view;
        t->view_cap = t->cap;
    }
    if (t->len > 0)
        memcpy(t->view, t->data, t->len);
    for (size_t i = 0; i + 1 < t->len; i++) {
        if (t->view[i] != '\\')
            continue;
        t->view[i] = ' ';
        char c = t->view[i + 1];
        if (c != '"' && c != '/')
            t->view[i + 1] = ' ';
        i++;
    }
    return t->view;
}

static int hex4(const char *p)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = weir_hex_digit(p[i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/*
 * Writes \u escapes of printable characters behind `at` as the characters themselves, which is the
 * same JSON, so that u\u0040example.org is seen as what it is. Returns where an escape is cut that
 * the next piece goes on with (or len).
 */
static size_t plain_escapes(weir_redact_text_t *t, size_t at)
{
    char *data = t->data;
    size_t to = at;
    size_t i = at;
    while (i < t->len) {
        if (data[i] != '\\') {
            data[to++] = data[i++];
            continue;
        }
        size_t n = escape_len(data + i, t->len - i);
        if (n == 0)
            break;
        int code = n == 6 ? hex4(data + i + 2) : -1;
        unsigned value = code < 0 ? 0 : (unsigned)code;
        if (value >= 0xd800 && value < 0xdc00) {
            size_t low_len = t->len - i - n;
            if (low_len < 6 && (low_len == 0 || data[i + n] == '\\'))
                break;
            int low = low_len >= 6 && data[i + n] == '\\' && data[i + n + 1] == 'u'
                          ? hex4(data + i + n + 2)
                          : -1;
            if (low >= 0xdc00 && low < 0xe000) {
                value = 0x10000 + ((value - 0xd800) << 10) + ((unsigned)low - 0xdc00);
                n += 6;
            } else {
                value = 0;
            }
        }
        bool plain = value >= 0x20 && value != '"' && value != '\\' && value != 0x7f &&
                     !(value >= 0xd800 && value < 0xe000);
        if (plain) {
            to += (size_t)weir_utf8_encode(value, data + to);
        } else {
            memmove(data + to, data + i, n);
            to += n;
        }
        i += n;
    }
    size_t whole = to;
    memmove(data + to, data + i, t->len - i);
    t->len = to + (t->len - i);
    return whole;
}

/* Follows the strings of the JSON from data[from] to data[end). */
static void walk_json(weir_redact_text_t *t, size_t end)
{
    if (!t->json)
        return;
    for (size_t i = t->from; i < end; i++) {
        if (t->data[i] == '\\' && t->in_string)
            i++;
        else if (t->data[i] == '"')
            t->in_string = !t->in_string;
    }
}

/* --- what leaves --- */

static void write_value(void *ctx, weir_buf_t *out, weir_str_t value)
{
    const weir_redact_text_t *t = ctx;
    if (!t->json) {
        weir_buf_append_str(out, value);
        return;
    }
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if (c == '"' || c == '\\')
            weir_buf_append_char(out, '\\');
        if (c < 0x20)
            weir_buf_printf(out, "\\u%04x", c);
        else
            weir_buf_append_char(out, (char)c);
    }
}

static weir_status_t emit(weir_redact_text_t *t, const char *data, size_t len, bool last,
                          weir_buf_t *out)
{
    if (!t->restore) {
        weir_buf_append(out, data, len);
        return out->failed ? WEIR_ERR_NOMEM : WEIR_OK;
    }
    if (t->restorer == NULL) {
        t->restorer = malloc(sizeof *t->restorer);
        if (t->restorer == NULL)
            return WEIR_ERR_NOMEM;
        weir_restorer_init(t->restorer, t->rules->restore);
    }
    return weir_restorer_feed(t->restorer, data, len, last, out, write_value, t);
}

static weir_status_t emit_replacement(weir_redact_text_t *t, weir_str_t text, weir_buf_t *out)
{
    bool quote = t->json && !t->in_string;
    weir_status_t rc = WEIR_OK;
    if (quote)
        rc = emit(t, "\"", 1, false, out);
    if (rc == WEIR_OK)
        rc = emit(t, text.data, text.len, false, out);
    if (rc == WEIR_OK && quote)
        rc = emit(t, "\"", 1, false, out);
    return rc;
}

/* Plain text up to `end` leaves. */
static weir_status_t release(weir_redact_text_t *t, size_t end, weir_buf_t *out)
{
    if (end <= t->from)
        return WEIR_OK;
    weir_status_t rc = emit(t, t->data + t->from, end - t->from, false, out);
    walk_json(t, end);
    t->from = end;
    return rc;
}

static weir_status_t stop(weir_redact_text_t *t)
{
    t->stopped = true;
    t->len = t->from;
    return WEIR_ERR_STATE;
}

/* One entity; drop: nothing leaves any more. */
static weir_status_t entity(weir_redact_text_t *t, const weir_guard_finding_t *f, bool drop,
                            weir_buf_t *out)
{
    weir_status_t rc = drop ? WEIR_OK : release(t, f->start, out);
    if (rc != WEIR_OK)
        return rc;
    if (t->swallowing) {
        /* Its beginning was decided and replaced; now its end is known. */
        t->swallowing = false;
        walk_json(t, f->end);
        t->from = f->end;
        return WEIR_OK;
    }
    weir_str_t replacement = weir_str("", 0);
    weir_guard_finding_t seen = *f;
    seen.start += (uint32_t)t->base;
    seen.end += (uint32_t)t->base;
    weir_redact_action_t action =
        t->rules->decide(t->rules->ctx, &seen, weir_str(t->data + f->start, f->end - f->start),
                         t->repeat, &replacement);
    if (drop)
        return WEIR_OK;
    if (action == WEIR_REDACT_STOP)
        return stop(t);
    if (action == WEIR_REDACT_KEEP || t->rules->mode == WEIR_REDACT_OBSERVE)
        return release(t, f->end, out);
    rc = emit_replacement(t, replacement, out);
    walk_json(t, f->end);
    t->from = f->end;
    return rc;
}

/*
 * An entity without a greatest length is live from `from` on (a private key whose end has not
 * come). Its replacement leaves now; of the rest only what tells its end is kept.
 */
static weir_status_t swallow(weir_redact_text_t *t, const weir_guard_finding_t *f, weir_buf_t *out)
{
    if (!t->swallowing) {
        weir_status_t rc = entity(t, f, false, out);
        if (rc != WEIR_OK || t->from != f->end)
            return rc;
        /* Kept by decision: it leaves as it comes, which is what hold-back does anyway. */
        t->from = f->start;
        t->swallowing = true;
    }
    if (t->len - t->from <= SWALLOW_KEEP)
        return WEIR_OK;
    /* Whole lines in the middle do not matter: the first line names it, the last may end it. */
    const char *first = memchr(t->data + t->from, '\n', t->len - t->from);
    const char *last = memrchr(t->data + t->from, '\n', t->len - t->from);
    if (first != NULL && last > first) {
        size_t to = (size_t)(first - t->data);
        size_t rest = (size_t)(last - t->data);
        memmove(t->data + to, t->data + rest, t->len - rest);
        t->base += rest - to;
        t->len -= rest - to;
    }
    return WEIR_OK;
}

static void compact(weir_redact_text_t *t)
{
    size_t keep = t->rules->mode == WEIR_REDACT_BUFFER ? 0 : WEIR_GUARD_LEFT;
    if (t->from < COMPACT_AT || t->from <= keep)
        return;
    size_t cut = t->from - keep;
    if (t->rules->mode == WEIR_REDACT_OBSERVE && t->rules->check != NULL && cut > t->checked)
        cut = t->checked;
    /* Not inside a character: what stands in front is read as text. */
    while (cut < t->from && ((unsigned char)t->data[cut] & 0xc0) == 0x80)
        cut++;
    memmove(t->data, t->data + cut, t->len - cut);
    t->len -= cut;
    t->from -= cut;
    t->checked -= t->checked < cut ? t->checked : cut;
    t->base += cut;
}

/* The first byte that must stay. */
static size_t limit_of(const weir_redact_text_t *t, const weir_guard_result_t *found, size_t whole,
                       bool last)
{
    size_t window = t->rules->window == 0 ? DEFAULT_WINDOW : t->rules->window;
    size_t limit = whole;
    if (last)
        return t->len;
    switch (t->rules->mode) {
    case WEIR_REDACT_HOLDBACK:
    case WEIR_REDACT_OBSERVE:
        limit = found != NULL ? found->hold : whole;
        break;
    case WEIR_REDACT_WINDOW:
        limit = whole > window ? whole - window : 0;
        break;
    case WEIR_REDACT_BUFFER:
        limit = 0;
    }
    limit = limit < whole ? limit : whole;
    limit = limit > t->from ? limit : t->from;
    for (size_t i = 0; found != NULL && i < found->count; i++)
        if (found->findings[i].start < limit && found->findings[i].end > limit)
            limit = found->findings[i].start;
    while (limit > t->from && limit < t->len && ((unsigned char)t->data[limit] & 0xc0) == 0x80)
        limit--;
    return limit > t->from ? limit : t->from;
}

static weir_status_t run_check(weir_redact_text_t *t, size_t limit, bool last)
{
    if (t->rules->check == NULL || t->rules->mode == WEIR_REDACT_HOLDBACK)
        return WEIR_OK;
    if (t->rules->mode == WEIR_REDACT_OBSERVE) {
        size_t window = t->rules->window == 0 ? DEFAULT_WINDOW : t->rules->window;
        if (t->len > t->checked && (last || t->len - t->checked >= window)) {
            (void)t->rules->check(t->rules->ctx, t->data, t->len, t->checked, last);
            t->checked = t->len;
        }
        return WEIR_OK;
    }
    if (limit <= t->checked && !last)
        return WEIR_OK;
    size_t to = t->rules->mode == WEIR_REDACT_WINDOW ? t->len : limit;
    switch (t->rules->check(t->rules->ctx, t->data, to, t->checked, last)) {
    case WEIR_CHECK_STOP:
        return stop(t);
    case WEIR_CHECK_WAIT:
        return WEIR_ERR_BUSY;
    case WEIR_CHECK_PASS:
        break;
    }
    t->checked = to;
    return WEIR_OK;
}

/* Nothing to decide yet: a buffered text, or one of which the window is not full. */
static bool too_early(const weir_redact_text_t *t, bool last)
{
    size_t window = t->rules->window == 0 ? DEFAULT_WINDOW : t->rules->window;
    if (last)
        return false;
    if (t->rules->mode == WEIR_REDACT_BUFFER)
        return true;
    /* A quarter of the window at a time: each byte is scanned five times at most. */
    return t->rules->mode == WEIR_REDACT_WINDOW && t->len - t->from < window + window / 4;
}

/* whole: what stands behind it is an escape that is cut. */
static weir_status_t scan(weir_redact_text_t *t, bool more, size_t whole,
                          weir_guard_result_t *found)
{
    memset(found, 0, sizeof *found);
    found->hold = whole;
    if (t->rules->rules == NULL)
        return WEIR_OK;
    const char *view = scan_view(t);
    if (view == NULL && t->len > 0)
        return WEIR_ERR_NOMEM;
    weir_guard_scan_options_t options = {.from = t->from, .more = more};
    t->scanned += whole;
    return weir_guard_scan(t->rules->rules, t->rules->scratch, view == NULL ? "" : view, whole,
                           &options, found, NULL);
}

/* Releases and replaces what is decided. */
static weir_status_t decide(weir_redact_text_t *t, const weir_guard_result_t *found, size_t limit,
                            bool last, weir_buf_t *out)
{
    for (size_t i = 0; i < found->count; i++) {
        const weir_guard_finding_t *f = &found->findings[i];
        if (f->start < t->from)
            continue;
        if ((f->flags & WEIR_GUARD_OPEN) != 0 && !last && f->start >= limit)
            return f->start == limit && t->rules->mode == WEIR_REDACT_HOLDBACK
                       ? swallow(t, f, out)
                       : release(t, limit, out);
        if (f->start >= limit && !last)
            break;
        weir_status_t rc = entity(t, f, false, out);
        if (rc != WEIR_OK)
            return rc;
    }
    if (t->swallowing) {
        if (!last)
            return WEIR_OK;
        t->from = t->len; /* it never ended */
        t->swallowing = false;
    }
    return release(t, limit, out);
}

weir_status_t weir_redact_text_feed(weir_redact_text_t *t, const char *piece, size_t len, bool last,
                                    weir_buf_t *out)
{
    if (t->stopped)
        return WEIR_ERR_STATE;
    size_t old = t->len;
    if (!append(t, piece, len))
        return WEIR_ERR_NOMEM;
    size_t whole = t->len;
    if (t->json) {
        /* An escape that the last piece cut begins at most eleven bytes before it. */
        size_t at = old - (old - t->from < 12 ? old - t->from : 12);
        while (at > t->from && t->data[at - 1] == '\\')
            at--;
        whole = plain_escapes(t, at);
    }
    size_t max_held = t->rules->max_held == 0 ? DEFAULT_MAX_HELD : t->rules->max_held;
    if (t->len - t->from > max_held)
        return stop(t);
    t->feeds++;
    if (too_early(t, last))
        return WEIR_OK;
    weir_guard_result_t found;
    weir_status_t rc = scan(t, !last, last ? t->len : whole, &found);
    if (rc != WEIR_OK)
        return rc == WEIR_ERR_NOMEM ? rc : stop(t);
    size_t limit = limit_of(t, &found, whole, last);
    rc = run_check(t, limit, last);
    if (rc == WEIR_OK)
        rc = decide(t, &found, limit, last, out);
    if (rc != WEIR_OK)
        return rc;
    if (last) {
        rc = emit(t, "", 0, true, out);
        t->stopped = true;
    }
    t->held_sum += weir_redact_text_held(t);
    compact(t);
    return rc;
}

void weir_redact_text_abandon(weir_redact_text_t *t)
{
    weir_guard_result_t found;
    if (t->stopped || t->swallowing || t->rules->rules == NULL ||
        scan(t, false, t->len, &found) != WEIR_OK)
        return;
    for (size_t i = 0; i < found.count; i++)
        if (found.findings[i].start >= t->from)
            (void)entity(t, &found.findings[i], true, NULL);
    t->stopped = true;
}

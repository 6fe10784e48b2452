#include "lua-free-filters/redact_text.h"

#include "engine/base/hex.h"
#include "engine/base/utf8.h"

#include <stdlib.h>

#define DEFAULT_WINDOW   512
#define DEFAULT_MAX_HELD ((size_t)1 << 20)

/*
 * While a key block is swallowed, its head up to so many characters of a key is kept, and the end
 * of what has come, where its last line may have begun; the middle goes when there is more.
 */
#define SWALLOW_RUN  24
#define SWALLOW_TAIL 256
#define SWALLOW_KEEP 1024

/* Left context is cut off when so much more has left. */
#define COMPACT_AT 512

#define PIECE 4096

/* So much is looked at again behind a text's end when it had been opened again before. */
#define CROSSED 4096

#define LONG_HELD   256  /* more is not looked at with every piece, */
#define MAX_WATCHED 2048 /* and up to here when white space has come */

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
    size_t held = t->swallowing || t->stopped ? 0 : t->end - t->from;
    return held + (t->restorer != NULL ? t->restorer->held_len : 0);
}

static bool append(weir_redact_text_t *t, const char *piece, size_t len)
{
    if (len == 0)
        return true;
    if (t->end + len > t->cap) {
        size_t cap = t->cap == 0 ? 512 : t->cap;
        while (cap < t->end + len)
            cap *= 2;
        char *data = realloc(t->data, cap);
        if (data == NULL)
            return false;
        t->data = data;
        t->cap = cap;
    }
    memcpy(t->data + t->end, piece, len);
    t->end += len;
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
 * A copy of the same length in which escapes cannot pass for letters: \t is two blanks, and a
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
        char c = t->view[i + 1];
        t->view[i] = c == 'n' ? '\n' : ' ';
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
    t->end = t->from;
    return WEIR_ERR_STATE;
}

/* No entity goes on behind the string that it begins in. */
static size_t string_end(const weir_redact_text_t *t, size_t at, size_t end)
{
    for (size_t i = at; i < end; i++) {
        if (t->data[i] == '\\')
            i++;
        else if (t->data[i] == '"')
            return i;
    }
    return end;
}

/* One entity; drop: nothing leaves any more. */
static weir_status_t entity(weir_redact_text_t *t, const weir_guard_finding_t *f, bool drop,
                            weir_buf_t *out)
{
    weir_status_t rc = drop ? WEIR_OK : release(t, f->start, out);
    if (rc != WEIR_OK)
        return rc;
    size_t end = f->end;
    /* Of what goes on behind a text's end only this is left. */
    size_t start = f->start > t->from ? f->start : t->from;
    if (t->json && t->in_string) {
        end = string_end(t, start, f->end);
        t->again = t->again || end < f->end;
        t->crossed = t->crossed && !t->again;
        if (end == start)
            return drop ? WEIR_OK : release(t, end + 1, out);
    }
    if (t->swallowing) {
        /* Its beginning was decided and replaced; now its end is known. */
        if (t->passing && end > t->sent)
            rc = emit(t, t->data + t->sent, end - t->sent, false, out);
        t->swallowing = false;
        walk_json(t, end);
        t->from = end;
        return rc;
    }
    weir_str_t replacement = weir_str("", 0);
    weir_guard_finding_t seen = *f;
    seen.start = (uint32_t)(start + t->base);
    seen.end = (uint32_t)(end + t->base);
    weir_redact_action_t action = t->rules->decide(
        t->rules->ctx, &seen, weir_str(t->data + start, end - start), t->repeat, &replacement);
    if (drop)
        return WEIR_OK;
    if (action == WEIR_REDACT_STOP)
        return stop(t);
    t->passing = action == WEIR_REDACT_KEEP || t->rules->mode == WEIR_REDACT_OBSERVE;
    if (t->passing)
        return release(t, end, out);
    rc = emit_replacement(t, replacement, out);
    walk_json(t, end);
    t->from = end;
    return rc;
}

/* Where the head of a key block ends that shows that it is one: its first line, and a line of a
 * key. */
static size_t head_end(const weir_redact_text_t *t)
{
    size_t run = 0;
    for (size_t i = t->from; i < t->len; i++) {
        char c = t->data[i];
        bool key = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                   c == '+' || c == '/' || c == '=';
        run = key ? run + 1 : 0;
        if (run == SWALLOW_RUN)
            return i + 1;
    }
    return t->len;
}

/*
 * An entity without a greatest length is live from `from` on (a private key whose end has not
 * come). Its replacement leaves now; of the rest only what tells its end is kept. One that stays
 * leaves as it comes.
 */
static weir_status_t swallow(weir_redact_text_t *t, const weir_guard_finding_t *f, weir_buf_t *out)
{
    weir_status_t rc = WEIR_OK;
    if (!t->swallowing) {
        rc = release(t, f->start, out);
        bool in_string = t->in_string;
        if (rc == WEIR_OK)
            rc = entity(t, f, false, out);
        if (rc != WEIR_OK || t->again)
            return rc;
        t->sent = t->from;
        t->from = f->start;
        t->in_string = in_string;
        t->swallowing = true;
    } else if (t->json && t->in_string && string_end(t, t->from, t->len) < t->len) {
        return entity(t, f, false, out);
    }
    size_t decided = t->len > SWALLOW_TAIL / 2 ? t->len - SWALLOW_TAIL / 2 : 0;
    while (decided > t->sent && ((unsigned char)t->data[decided] & 0xc0) == 0x80)
        decided--;
    if (t->passing && decided > t->sent) {
        rc = emit(t, t->data + t->sent, decided - t->sent, false, out);
        t->sent = decided;
    }
    if (rc != WEIR_OK || t->len - t->from <= SWALLOW_KEEP)
        return rc;
    size_t head = head_end(t);
    size_t tail = t->len - SWALLOW_TAIL;
    while (tail > head && t->data[tail - 1] == '\\')
        tail--;
    if (head < tail) {
        size_t cut = tail - head;
        memmove(t->data + head, t->data + tail, t->end - tail);
        t->base += cut;
        t->len -= cut;
        t->end -= cut;
        t->sent -= t->passing ? cut : 0;
        t->checked = t->checked < head         ? t->checked
                     : t->checked - head < cut ? head
                                               : t->checked - cut;
    }
    return WEIR_OK;
}

static size_t left_context(const weir_redact_text_t *t)
{
    return t->rules->mode == WEIR_REDACT_HOLDBACK ? WEIR_GUARD_LEFT : WEIR_GUARD_LEFT_CODED;
}

static void compact(weir_redact_text_t *t)
{
    size_t keep = left_context(t);
    size_t live = t->crossed ? t->live : t->from;
    if (live < keep + COMPACT_AT)
        return;
    size_t cut = live - keep;
    if (t->rules->mode == WEIR_REDACT_OBSERVE && t->rules->check != NULL && cut > t->checked)
        cut = t->checked;
    /* Not inside a character or an escape: what stands in front is read as text. */
    size_t slashes = 0;
    while (t->json && slashes < cut && t->data[cut - slashes - 1] == '\\')
        slashes++;
    cut += slashes % 2;
    while (cut < t->from && ((unsigned char)t->data[cut] & 0xc0) == 0x80)
        cut++;
    memmove(t->data, t->data + cut, t->end - cut);
    t->len -= cut;
    t->end -= cut;
    t->from -= cut;
    t->live -= t->crossed ? cut : 0;
    t->junction -= t->crossed ? cut : 0;
    t->checked -= t->checked < cut ? t->checked : cut;
    t->base += cut;
}

static size_t window_of(const weir_redact_text_t *t)
{
    return t->rules->window == 0 ? DEFAULT_WINDOW : t->rules->window;
}

/* The first byte that must stay. whole: what stands behind it is an escape that is cut. */
static size_t limit_of(const weir_redact_text_t *t, const weir_guard_result_t *found, size_t whole,
                       bool last)
{
    size_t limit = t->rules->rules != NULL ? found->hold : whole;
    if (last)
        return t->len;
    if (t->rules->mode == WEIR_REDACT_WINDOW && t->rules->rules == NULL) {
        limit = whole > window_of(t) ? whole - window_of(t) : 0;
        while (limit > t->from && ((unsigned char)t->data[limit] & 0xc0) == 0x80)
            limit--;
    }
    /* An escape stays in one piece. */
    for (size_t i = t->from; t->json && i < limit; i++) {
        if (t->data[i] == '\\' && ++i == limit)
            limit--;
    }
    return limit > t->from ? limit : t->from;
}

static weir_status_t run_check(weir_redact_text_t *t, size_t limit, bool last)
{
    if (t->rules->check == NULL || t->rules->mode == WEIR_REDACT_HOLDBACK)
        return WEIR_OK;
    size_t context = t->from > WEIR_GUARD_LEFT ? t->from - WEIR_GUARD_LEFT : 0;
    if (t->rules->mode == WEIR_REDACT_OBSERVE) {
        if (t->len > t->checked && (last || t->len - t->checked >= window_of(t))) {
            context = context < t->checked ? context : t->checked;
            (void)t->rules->check(t->rules->ctx, t->data + context, t->len - context,
                                  t->checked - context, last);
            t->checked = t->len;
        }
        return WEIR_OK;
    }
    if (limit <= t->checked && !last)
        return WEIR_OK;
    while (context < t->from && ((unsigned char)t->data[context] & 0xc0) == 0x80)
        context++;
    context = context < t->checked ? context : t->checked;
    size_t to = t->rules->mode == WEIR_REDACT_WINDOW ? t->len : limit;
    weir_check_t said =
        t->rules->check(t->rules->ctx, t->data + context, to - context, t->checked - context, last);
    t->waiting = said == WEIR_CHECK_WAIT;
    if (said == WEIR_CHECK_STOP)
        return stop(t);
    if (said == WEIR_CHECK_WAIT)
        return WEIR_ERR_BUSY;
    t->checked = to;
    return WEIR_OK;
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
    size_t from = t->crossed ? t->live : t->from;
    weir_guard_scan_options_t options = {.from = from, .more = more, .thorough = true};
    if (t->rules->mode == WEIR_REDACT_WINDOW)
        options.keep = window_of(t);
    /* What is only left context is not gone through again, but for so much of it. */
    t->scanned += whole - (from > WEIR_GUARD_LEFT ? from - WEIR_GUARD_LEFT : 0);
    return weir_guard_scan(t->rules->rules, t->rules->scratch, view == NULL ? "" : view, whole,
                           &options, found, NULL);
}

/* Releases and replaces what is decided. */
static weir_status_t decide(weir_redact_text_t *t, const weir_guard_result_t *found, size_t limit,
                            bool last, weir_buf_t *out)
{
    weir_status_t rc = WEIR_OK;
    t->again = false;
    for (size_t i = 0; i < found->count && rc == WEIR_OK && !t->again; i++) {
        const weir_guard_finding_t *f = &found->findings[i];
        if (f->start < t->from && (!t->crossed || f->end <= t->from))
            continue;
        if (t->crossed && f->start >= found->hold && !last)
            break;
        if ((f->flags & (WEIR_GUARD_OPEN | WEIR_GUARD_DECODED)) == WEIR_GUARD_OPEN && !last &&
            f->start >= limit) {
            rc = f->start == limit ? swallow(t, f, out) : release(t, limit, out);
            return rc;
        }
        if (f->start >= limit && !last)
            break;
        rc = entity(t, f, false, out);
    }
    if (rc != WEIR_OK || t->again)
        return rc;
    if (t->swallowing) {
        if (!last)
            return WEIR_OK;
        if (t->passing && t->len > t->sent)
            rc = emit(t, t->data + t->sent, t->len - t->sent, false, out);
        t->from = t->len; /* it never ended */
        t->swallowing = false;
        return rc;
    }
    return release(t, limit, out);
}

/*
 * How many held bytes call for the next look. A window is looked at when it is full and a quarter
 * more has come, wherever the pieces end, so that a check sees the same stretches in every
 * chunking. What is held for long is looked at when an eighth has been added: so the work grows
 * with the text, not with its square.
 */
static void set_next(weir_redact_text_t *t)
{
    size_t held = t->len - t->from;
    size_t window = window_of(t);
    size_t quarter = t->rules->step > 0 ? t->rules->step : window / 4 > 0 ? window / 4 : 1;
    switch (t->rules->mode) {
    case WEIR_REDACT_WINDOW:
        t->next = held + (held / 8 > quarter ? held / 8 : quarter);
        t->next = t->next < window + quarter ? window + quarter : t->next;
        break;
    case WEIR_REDACT_BUFFER:
        t->next = SIZE_MAX;
        break;
    default:
        t->next = held < LONG_HELD ? 0 : held + held / 8;
    }
}

static size_t max_held(const weir_redact_text_t *t)
{
    return t->rules->max_held == 0 ? DEFAULT_MAX_HELD : t->rules->max_held;
}

/* Moves what waits to what is held, as far as the next look and `size` bytes at most; returns where
 * an escape is cut. */
static size_t take_some(weir_redact_text_t *t, bool all, size_t size)
{
    size_t old = t->len;
    size_t most = max_held(t) + 1;
    size_t due = t->rules->mode == WEIR_REDACT_WINDOW && t->next < most ? t->next : most;
    size_t held = t->len - t->from;
    size_t take = t->end - t->len;
    if (!all && take > 0 && held + take > due)
        take = held < due ? due - held : 1;
    take = take < size ? take : size;
    while (t->len + take < t->end && ((unsigned char)t->data[t->len + take] & 0xc0) == 0x80)
        take++;
    t->len += take;
    if (!t->json || t->len == 0)
        return t->len;
    /* An escape that the last piece cut begins at most eleven bytes before it. */
    size_t at = old - (old - t->from < 12 ? old - t->from : 12);
    while (at > t->from && t->data[at - 1] == '\\')
        at--;
    size_t to = t->len;
    size_t whole = plain_escapes(t, at);
    if (t->len < to && t->end > to)
        memmove(t->data + t->len, t->data + to, t->end - to);
    t->end -= to - t->len;
    return whole;
}

/* Could the bytes that came since the text was looked at end what is held? */
static bool due(const weir_redact_text_t *t, size_t seen, size_t whole, bool last)
{
    size_t held = whole - t->from;
    if (last || t->waiting)
        return true;
    switch (t->rules->mode) {
    case WEIR_REDACT_BUFFER:
        return false;
    case WEIR_REDACT_WINDOW:
        return held >= t->next;
    default:
        break;
    }
    if (held >= t->next)
        return true;
    for (size_t i = seen; i < t->len && held < MAX_WATCHED; i++)
        if ((unsigned char)t->data[i] <= ' ')
            return true;
    return false;
}

/* Looks at what is held, and lets out what is decided. */
static weir_status_t look(weir_redact_text_t *t, size_t whole, bool last, weir_buf_t *out)
{
    weir_status_t rc;
    size_t start = t->from;
    weir_guard_result_t found;
    do {
        rc = scan(t, !last, last ? t->len : whole, &found);
        if (rc != WEIR_OK)
            return rc == WEIR_ERR_NOMEM ? rc : stop(t);
        size_t limit = limit_of(t, &found, whole, last);
        rc = run_check(t, limit, last);
        if (rc == WEIR_OK)
            rc = decide(t, &found, limit, last, out);
    } while (rc == WEIR_OK && t->again);
    if (last && !t->crossed)
        t->live = start;
    else if (rc == WEIR_OK && !last && t->crossed && found.hold > t->junction)
        t->crossed = false;
    set_next(t);
    return rc;
}

/* Reads on, in at most about `size` bytes of what waits. all: in one look. */
static weir_status_t advance(weir_redact_text_t *t, bool all, size_t size, bool last,
                             weir_buf_t *out)
{
    weir_status_t rc = WEIR_OK;
    size_t left = t->end - t->len;
    size_t start = left;
    do {
        size_t seen = t->len;
        size_t whole = take_some(t, all, size - (start - left));
        left = t->end - t->len;
        bool end = last && t->len == t->end;
        bool full = t->len - t->from > max_held(t);
        if (full && (all || t->rules->mode == WEIR_REDACT_BUFFER))
            return stop(t);
        if (full || due(t, seen, whole, end))
            rc = look(t, whole, end, out);
        if (rc == WEIR_OK && !end && !t->swallowing && t->len - t->from > max_held(t))
            rc = stop(t);
        if (rc != WEIR_OK)
            return rc;
        if (end) {
            rc = emit(t, "", 0, true, out);
            t->stopped = true;
            t->ended = true;
        } else {
            compact(t);
        }
    } while (left > 0 && start - left < size);
    return rc;
}

weir_status_t weir_redact_text_feed(weir_redact_text_t *t, const char *piece, size_t len, bool last,
                                    weir_buf_t *out)
{
    weir_status_t rc = WEIR_OK;
    if (t->stopped)
        return WEIR_ERR_STATE;
    /* A text that comes in one piece is looked at once. */
    bool all = last && t->feeds == 0;
    if (t->feeds++ == 0)
        set_next(t);
    /* What waits is moved up whenever a part of it has left: there is to be little of it. */
    while (rc == WEIR_OK && !all && t->rules->mode == WEIR_REDACT_WINDOW && len > PIECE) {
        size_t some = PIECE;
        while (some < len && ((unsigned char)piece[some] & 0xc0) == 0x80)
            some++;
        if (!append(t, piece, some))
            return WEIR_ERR_NOMEM;
        piece += some;
        len -= some;
        rc = advance(t, false, SIZE_MAX, false, out);
    }
    if (rc != WEIR_OK && rc != WEIR_ERR_BUSY)
        return rc;
    if (!append(t, piece, len))
        return WEIR_ERR_NOMEM;
    if (rc == WEIR_OK)
        rc = advance(t, all, SIZE_MAX, last, out);
    if (rc == WEIR_OK)
        t->held_sum += weir_redact_text_held(t);
    return rc;
}

void weir_redact_text_rewind(weir_redact_text_t *t, const weir_redact_rules_t *rules)
{
    t->rules = rules;
    t->len = t->from;
    t->next = 0;
    set_next(t);
}

size_t weir_redact_text_left(const weir_redact_text_t *t)
{
    return t->end - t->len;
}

weir_status_t weir_redact_text_step(weir_redact_text_t *t, size_t size, bool last, weir_buf_t *out)
{
    return t->stopped ? WEIR_ERR_STATE : advance(t, false, size, last, out);
}

void weir_redact_text_reopen(weir_redact_text_t *t, const weir_redact_rules_t *rules)
{
    if (!t->ended)
        return;
    t->ended = false;
    t->stopped = false;
    t->rules = rules;
    if (t->crossed && t->from - t->live > CROSSED) {
        t->live = t->from - CROSSED;
        while (t->live < t->from && ((unsigned char)t->data[t->live] & 0xc0) == 0x80)
            t->live++;
    }
    t->crossed = true;
    t->junction = t->from;
    compact(t);
    set_next(t);
}

void weir_redact_text_abandon(weir_redact_text_t *t)
{
    weir_guard_result_t found;
    if (t->stopped)
        return;
    t->stopped = true;
    t->len = t->end;
    if (t->swallowing || t->rules->rules == NULL || scan(t, false, t->len, &found) != WEIR_OK)
        return;
    for (size_t i = 0; i < found.count; i++)
        if (found.findings[i].start >= t->from)
            (void)entity(t, &found.findings[i], true, NULL);
}

#include "engine/base/utf8.h"

#include "engine/llm/tokenizer.h"

static const char replacement[3] = {'\xEF', '\xBF', '\xBD'};

size_t weir_utf8_valid(const char *data, size_t len)
{
    size_t pos = 0;
    while (pos < len) {
        uint64_t word;
        while (len - pos >= sizeof(word)) {
            memcpy(&word, data + pos, sizeof(word));
            if (word & 0x8080808080808080u) {
                break;
            }
            pos += sizeof(word);
        }
        if (pos == len) {
            break;
        }
        uint32_t cp;
        int n = weir_utf8_decode(data + pos, len - pos, &cp);
        if (n < 0) {
            return pos;
        }
        pos += (size_t)n;
    }
    return pos;
}

/* Appends data with each maximal ill-formed subpart replaced. */
static void append_sanitized(weir_buf_t *out, const char *data, size_t len)
{
    while (len > 0) {
        size_t good = weir_utf8_valid(data, len);
        weir_buf_append(out, data, good);
        data += good;
        len -= good;
        if (len > 0) {
            uint32_t cp;
            int n = weir_utf8_decode(data, len, &cp);
            weir_buf_append(out, replacement, sizeof(replacement));
            data += -n;
            len -= (size_t)-n;
        }
    }
}

weir_status_t weir_utf8_sanitize(weir_str_t text, weir_arena_t *arena, weir_str_t *out)
{
    weir_buf_t buf;
    weir_buf_init(&buf, arena);
    append_sanitized(&buf, text.data, text.len);
    *out = weir_str(buf.data, buf.len);
    return buf.failed ? WEIR_ERR_NOMEM : WEIR_OK;
}

/* Length of the incomplete character that ends the data and that more bytes may complete: 0..3. */
static size_t incomplete_tail(const char *data, size_t len)
{
    for (size_t n = 1; n <= 3 && n <= len; n++) {
        uint8_t byte = (uint8_t)data[len - n];
        if (byte < 0x80) {
            return 0;
        }
        if (byte >= 0xC0) {
            uint32_t cp;
            size_t want = byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
            return n < want && weir_utf8_decode(data + len - n, n, &cp) == -(int)n &&
                           byte >= 0xC2 && byte <= 0xF4
                       ? n
                       : 0;
        }
    }
    return 0;
}

void weir_utf8_stream_push(weir_utf8_stream_t *s, weir_str_t bytes, weir_buf_t *out)
{
    const char *data = bytes.data;
    size_t len = bytes.len;
    /* Byte by byte until the pending character is complete or broken. */
    while (s->n > 0 && len > 0) {
        uint32_t cp;
        s->pending[s->n] = (uint8_t)data[0];
        int n = weir_utf8_decode((const char *)s->pending, s->n + 1u, &cp);
        if (n == -(int)s->n) {
            /* The new byte does not continue it; look at that byte afresh below. */
            weir_buf_append(out, replacement, sizeof(replacement));
            s->n = 0;
            break;
        }
        data++;
        len--;
        if (n > 0) {
            weir_buf_append(out, s->pending, (size_t)n);
            s->n = 0;
        } else {
            s->n++;
        }
    }
    size_t tail = incomplete_tail(data, len);
    append_sanitized(out, data, len - tail);
    for (size_t i = 0; i < tail; i++) {
        s->pending[i] = (uint8_t)data[len - tail + i];
        s->n = (uint8_t)(i + 1);
    }
}

void weir_utf8_stream_finish(weir_utf8_stream_t *s, weir_buf_t *out)
{
    if (s->n > 0) {
        weir_buf_append(out, replacement, sizeof(replacement));
        s->n = 0;
    }
}

#include "policies/ledger.h"

#include "engine/base/json.h"
#include "policies/timestamp.h"

static void write_text(weir_buf_t *out, const char *name, weir_str_t value)
{
    weir_buf_append_z(out, ",\"");
    weir_buf_append_z(out, name);
    weir_buf_append_z(out, "\":");
    if (value.len == 0) {
        weir_buf_append_z(out, "null");
    } else {
        weir_json_write_string(out, value);
    }
}

static void write_present(weir_buf_t *out, const char *name, weir_str_t value)
{
    if (value.len > 0) {
        write_text(out, name, value);
    }
}

static void write_number(weir_buf_t *out, const char *name, int64_t value)
{
    weir_buf_append_z(out, ",\"");
    weir_buf_append_z(out, name);
    weir_buf_append_z(out, "\":");
    weir_json_write_int64(out, value);
}

static const char *source_name(weir_usage_source_t source)
{
    switch (source) {
    case WEIR_USAGE_REPORTED:
        return "reported";
    case WEIR_USAGE_COUNTED:
        return "counted";
    case WEIR_USAGE_ESTIMATED:
        return "estimated";
    case WEIR_USAGE_NONE:
        break;
    }
    return "none";
}

static void write_any(weir_buf_t *out, const weir_ledger_row_t *row)
{
    char ts[WEIR_TIMESTAMP_MAX];
    size_t ts_len = weir_timestamp_format(row->ts_ms, ts);

    weir_buf_append_z(out, "{\"ts\":\"");
    weir_buf_append(out, ts, ts_len);
    weir_buf_append_char(out, '"');
    write_text(out, "request_id", row->request_id);
    write_text(out, "tenant", row->tenant);
    write_present(out, "team", row->team);
    write_present(out, "user", row->user);
    write_text(out, "key_id", row->key_id);
    write_text(out, "model", row->model);
    write_text(out, "path", row->path);
    weir_buf_append_z(out, row->stream ? ",\"stream\":true" : ",\"stream\":false");
    weir_buf_append_z(out, row->aborted ? ",\"aborted\":true" : ",\"aborted\":false");
    if (row->upstream_error) {
        weir_buf_append_z(out, ",\"upstream_error\":true");
    }
    write_number(out, "prompt_tokens", (int64_t)row->prompt_tokens);
    write_number(out, "cached_tokens", (int64_t)row->cached_tokens);
    if (row->cache_write_tokens > 0) {
        write_number(out, "cache_write_tokens", (int64_t)row->cache_write_tokens);
    }
    write_number(out, "completion_tokens", (int64_t)row->completion_tokens);
    if (row->reasoning_tokens > 0) {
        write_number(out, "reasoning_tokens", (int64_t)row->reasoning_tokens);
    }
    write_text(out, "usage_source",
               weir_str(source_name(row->source), strlen(source_name(row->source))));
    write_number(out, "status", row->status);
    write_number(out, "latency_ms", row->latency_ms);
    if (row->ttft_ms < 0) {
        weir_buf_append_z(out, ",\"ttft_ms\":null");
    } else {
        write_number(out, "ttft_ms", row->ttft_ms);
    }
    weir_buf_append_z(out, "}\n");
}

/* --- the line as it is as a rule: short names without anything to escape --- */

#define FAST_TEXT 256
#define FAST_LINE 3072 /* eight texts, thirteen numbers, the names */

/* Nonzero when a byte of the word is below 0x20, over 0x7E, a quote or a backslash. Borrows may
 * find one too many, never one too few. */
static uint64_t odd_bytes(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101u;

    return (w | (w + ones) | (w - ones * 0x20) | ((w ^ ones * '"') - ones) |
            ((w ^ ones * '\\') - ones)) &
           ones * 0x80;
}

/* Whether s can stand between quotes as it is. */
static bool is_plain(weir_str_t s)
{
    uint64_t odd = 0;
    uint64_t w;

    if (s.len < sizeof(w)) {
        memset(&w, 'x', sizeof(w));
        for (size_t i = 0; i < s.len; i++) {
            w = w << 8 | (uint8_t)s.data[i];
        }
        return odd_bytes(w) == 0;
    }
    if (s.len > FAST_TEXT) {
        return false;
    }
    for (size_t i = 0; i + sizeof(w) < s.len; i += sizeof(w)) {
        memcpy(&w, s.data + i, sizeof(w));
        odd |= odd_bytes(w);
    }
    memcpy(&w, s.data + s.len - sizeof(w), sizeof(w));
    return (odd | odd_bytes(w)) == 0;
}

#define PUT(p, literal) (memcpy((p), (literal), sizeof(literal) - 1), (p) + sizeof(literal) - 1)

static char *put_text(char *p, weir_str_t s)
{
    if (s.len == 0) {
        return PUT(p, "null");
    }
    *p++ = '"';
    memcpy(p, s.data, s.len);
    p[s.len] = '"';
    return p + s.len + 1;
}

static char *put_number(char *p, uint64_t value)
{
    char digits[20];
    size_t n = sizeof(digits);
    do {
        digits[--n] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    memcpy(p, digits + n, sizeof(digits) - n);
    return p + sizeof(digits) - n;
}

static void write_plain(weir_buf_t *out, const weir_ledger_row_t *row)
{
    char line[FAST_LINE];
    const char *source = source_name(row->source);
    char *p = PUT(line, "{\"ts\":\"");
    p += weir_timestamp_format(row->ts_ms, p);
    p = PUT(p, "\",\"request_id\":");
    p = put_text(p, row->request_id);
    p = PUT(p, ",\"tenant\":");
    p = put_text(p, row->tenant);
    if (row->team.len > 0) {
        p = PUT(p, ",\"team\":");
        p = put_text(p, row->team);
    }
    if (row->user.len > 0) {
        p = PUT(p, ",\"user\":");
        p = put_text(p, row->user);
    }
    p = PUT(p, ",\"key_id\":");
    p = put_text(p, row->key_id);
    p = PUT(p, ",\"model\":");
    p = put_text(p, row->model);
    p = PUT(p, ",\"path\":");
    p = put_text(p, row->path);
    p = PUT(p, ",\"stream\":");
    p = row->stream ? PUT(p, "true") : PUT(p, "false");
    p = PUT(p, ",\"aborted\":");
    p = row->aborted ? PUT(p, "true") : PUT(p, "false");
    if (row->upstream_error) {
        p = PUT(p, ",\"upstream_error\":true");
    }
    p = PUT(p, ",\"prompt_tokens\":");
    p = put_number(p, row->prompt_tokens);
    p = PUT(p, ",\"cached_tokens\":");
    p = put_number(p, row->cached_tokens);
    if (row->cache_write_tokens > 0) {
        p = PUT(p, ",\"cache_write_tokens\":");
        p = put_number(p, row->cache_write_tokens);
    }
    p = PUT(p, ",\"completion_tokens\":");
    p = put_number(p, row->completion_tokens);
    if (row->reasoning_tokens > 0) {
        p = PUT(p, ",\"reasoning_tokens\":");
        p = put_number(p, row->reasoning_tokens);
    }
    p = PUT(p, ",\"usage_source\":");
    p = put_text(p, weir_str(source, strlen(source)));
    p = PUT(p, ",\"status\":");
    p = put_number(p, row->status);
    p = PUT(p, ",\"latency_ms\":");
    p = put_number(p, (uint64_t)row->latency_ms);
    p = PUT(p, ",\"ttft_ms\":");
    p = row->ttft_ms < 0 ? PUT(p, "null") : put_number(p, (uint64_t)row->ttft_ms);
    p = PUT(p, "}\n");
    weir_buf_append(out, line, (size_t)(p - line));
}

void weir_ledger_write(weir_buf_t *out, const weir_ledger_row_t *row)
{
    bool counts = row->prompt_tokens <= INT64_MAX && row->cached_tokens <= INT64_MAX &&
                  row->completion_tokens <= INT64_MAX && row->cache_write_tokens <= INT64_MAX &&
                  row->reasoning_tokens <= INT64_MAX && row->latency_ms >= 0;

    if (counts && is_plain(row->request_id) && is_plain(row->tenant) && is_plain(row->team) &&
        is_plain(row->user) && is_plain(row->key_id) && is_plain(row->model) &&
        is_plain(row->path)) {
        write_plain(out, row);
    } else {
        write_any(out, row);
    }
}

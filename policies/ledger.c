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

void weir_ledger_write(weir_buf_t *out, const weir_ledger_row_t *row)
{
    char ts[WEIR_TIMESTAMP_MAX];
    size_t ts_len = weir_timestamp_format(row->ts_ms, ts);

    weir_buf_append_z(out, "{\"ts\":\"");
    weir_buf_append(out, ts, ts_len);
    weir_buf_append_char(out, '"');
    write_text(out, "request_id", row->request_id);
    write_text(out, "tenant", row->tenant);
    write_text(out, "key_id", row->key_id);
    write_text(out, "model", row->model);
    write_text(out, "path", row->path);
    weir_buf_append_z(out, row->stream ? ",\"stream\":true" : ",\"stream\":false");
    weir_buf_append_z(out, row->aborted ? ",\"aborted\":true" : ",\"aborted\":false");
    write_number(out, "prompt_tokens", (int64_t)row->prompt_tokens);
    write_number(out, "cached_tokens", (int64_t)row->cached_tokens);
    write_number(out, "completion_tokens", (int64_t)row->completion_tokens);
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

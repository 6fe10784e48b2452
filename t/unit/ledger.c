#include "policies/ledger.h"

#include "engine/base/json.h"
#include "t/support/tap.h"

static void test_row(void)
{
    weir_arena_t arena;
    weir_buf_t out;
    weir_ledger_row_t row = {
        .ts_ms = 1767225600123,
        .request_id = WEIR_STR("req-1"),
        .tenant = WEIR_STR("demo"),
        .key_id = WEIR_STR("0123456789ab"),
        .model = WEIR_STR("m\"1\n"),
        .path = WEIR_STR("/v1/chat/completions"),
        .stream = true,
        .prompt_tokens = 11,
        .cached_tokens = 4,
        .completion_tokens = 7,
        .source = WEIR_USAGE_REPORTED,
        .status = 200,
        .latency_ms = 250,
        .ttft_ms = 40,
    };

    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&out, &arena);
    weir_ledger_write(&out, &row);
    is_str(out.data, out.len,
           "{\"ts\":\"2026-01-01T00:00:00.123Z\",\"request_id\":\"req-1\",\"tenant\":\"demo\","
           "\"key_id\":\"0123456789ab\",\"model\":\"m\\\"1\\n\",\"path\":\"/v1/chat/completions\","
           "\"stream\":true,\"aborted\":false,\"prompt_tokens\":11,\"cached_tokens\":4,"
           "\"completion_tokens\":7,\"usage_source\":\"reported\",\"status\":200,"
           "\"latency_ms\":250,\"ttft_ms\":40}\n",
           "a row is one line with every member");

    row.model = WEIR_STR("");
    row.source = WEIR_USAGE_NONE;
    row.ttft_ms = -1;
    row.aborted = true;
    out.len = 0;
    weir_ledger_write(&out, &row);
    weir_buf_append_char(&out, '\0');
    ok(strstr(out.data, "\"model\":null") != NULL && strstr(out.data, "\"ttft_ms\":null") != NULL &&
           strstr(out.data, "\"usage_source\":\"none\"") != NULL &&
           strstr(out.data, "\"aborted\":true") != NULL,
       "what is unknown is null");
    weir_arena_free(&arena);
}

static void test_longest_row(void)
{
    char nasty[256] = {0};
    weir_arena_t arena;
    weir_buf_t out;
    weir_str_t text = weir_str(nasty, sizeof(nasty));
    weir_ledger_row_t row = {.request_id = text,
                             .tenant = text,
                             .key_id = text,
                             .model = text,
                             .path = text,
                             .prompt_tokens = UINT64_MAX >> 1,
                             .cached_tokens = UINT64_MAX >> 1,
                             .completion_tokens = UINT64_MAX >> 1,
                             .status = UINT32_MAX,
                             .latency_ms = INT64_MAX,
                             .ttft_ms = INT64_MAX};

    memset(nasty, 1, sizeof(nasty));
    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&out, &arena);
    weir_ledger_write(&out, &row);
    ok(!out.failed && out.len <= WEIR_LEDGER_MAX_LINE,
       "the longest row (%zu bytes) fits the documented bound", out.len);
    weir_arena_free(&arena);
}

int main(void)
{
    test_row();
    test_longest_row();
    return done_testing();
}

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

    row.team = WEIR_STR("search");
    row.user = WEIR_STR("alice@example.com");
    row.cache_write_tokens = 5;
    row.reasoning_tokens = 6;
    out.len = 0;
    weir_ledger_write(&out, &row);
    weir_buf_append_char(&out, '\0');
    ok(strstr(out.data, "\"tenant\":\"demo\",\"team\":\"search\",\"user\":\"alice@example.com\","
                        "\"key_id\":") != NULL &&
           strstr(out.data, "\"cached_tokens\":4,\"cache_write_tokens\":5,"
                            "\"completion_tokens\":7,\"reasoning_tokens\":6,") != NULL,
       "what few requests have is there when it is");

    ok(strstr(out.data, "upstream_error") == NULL, "no error of the upstream's, no word of it");
    row.upstream_error = true;
    out.len = 0;
    weir_ledger_write(&out, &row);
    row.path = WEIR_STR("/v1/chat/\"completions"); /* the other way of writing */
    weir_ledger_write(&out, &row);
    weir_buf_append_char(&out, '\0');
    const char *first = strstr(out.data, ",\"aborted\":false,\"upstream_error\":true,\"prompt");
    ok(first != NULL && strstr(first + 1, ",\"upstream_error\":true,\"prompt") != NULL,
       "one is told, by both ways of writing");
    row.upstream_error = false;

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

/* The usual line is written by another way than one with something to escape: both are JSON and
 * hold the same, whatever byte stands wherever. */
static void test_every_byte(void)
{
    weir_arena_t arena;
    unsigned wrong = 0;

    weir_arena_init(&arena, 0, 0);
    for (unsigned c = 0; c < 0x80; c++) {
        for (size_t len = 1; len <= 20; len++) {
            for (size_t at = 0; at < len; at++) {
                char text[20];
                weir_buf_t out;
                weir_json_doc_t doc;
                weir_str_t model;
                weir_ledger_row_t row = {.ts_ms = 1, .model = weir_str(text, len), .status = 200};
                memset(text, 'a', sizeof(text));
                text[at] = (char)c;
                weir_arena_reset(&arena);
                weir_buf_init(&out, &arena);
                weir_ledger_write(&out, &row);
                if (weir_json_parse(out.data, out.len, NULL, &arena, &doc, NULL) != WEIR_OK ||
                    weir_json_string(&doc, weir_json_get(&doc, 0, "model"), &arena, &model) !=
                        WEIR_OK ||
                    !weir_str_eq(model, row.model) || memchr(out.data, '\n', out.len - 1) != NULL) {
                    wrong++;
                }
            }
        }
    }
    is_int(wrong, 0, "any byte in any place of a text comes back");
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
                             .team = text,
                             .user = text,
                             .key_id = text,
                             .model = text,
                             .path = text,
                             .prompt_tokens = UINT64_MAX >> 1,
                             .cached_tokens = UINT64_MAX >> 1,
                             .cache_write_tokens = UINT64_MAX >> 1,
                             .completion_tokens = UINT64_MAX >> 1,
                             .reasoning_tokens = UINT64_MAX >> 1,
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
    test_every_byte();
    test_longest_row();
    return done_testing();
}

#include "lua-free-filters/translate/translate.h"

#include "t/support/tap.h"

/* A request and what must become of it. */
typedef struct {
    weir_status_t status;
    weir_str_t body;
    weir_translation_t *translation;
    weir_error_t err;
} result_t;

static result_t translate(weir_arena_t *arena, weir_protocol_t client, weir_protocol_t upstream,
                          const char *request, const weir_translate_options_t *options)
{
    result_t r = {.err = {0}};
    weir_json_doc_t doc;
    weir_buf_t out;
    weir_buf_init(&out, arena);
    if (weir_json_parse(request, strlen(request), NULL, arena, &doc, &r.err) != WEIR_OK) {
        ok(false, "the test's request is JSON: %s", r.err.message);
        return r;
    }
    r.status = weir_translate_request(client, upstream, &doc, options, arena, &out, &r.translation,
                                      &r.err);
    r.body = weir_str(out.data, out.len);
    return r;
}

static void becomes(weir_protocol_t client, weir_protocol_t upstream, const char *request,
                    const weir_translate_options_t *options, const char *want, const char *name)
{
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    result_t r = translate(&arena, client, upstream, request, options);
    ok(r.status == WEIR_OK, "%s: is translated%s%s", name, r.status == WEIR_OK ? "" : ": ",
       r.status == WEIR_OK ? "" : r.err.message);
    is_str(r.body.data, r.body.len, want, "%s", name);
    weir_arena_free(&arena);
}

#define TO_CHAT(request, want, name) \
    becomes(WEIR_PROTOCOL_MESSAGES, WEIR_PROTOCOL_CHAT, request, NULL, want, name)
#define TO_MESSAGES(request, want, name) \
    becomes(WEIR_PROTOCOL_CHAT, WEIR_PROTOCOL_MESSAGES, request, NULL, want, name)
#define FROM_RESPONSES(request, want, name) \
    becomes(WEIR_PROTOCOL_RESPONSES, WEIR_PROTOCOL_CHAT, request, NULL, want, name)

static void refused(weir_protocol_t client, weir_protocol_t upstream, const char *request,
                    weir_status_t status, const char *field, const char *name)
{
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    result_t r = translate(&arena, client, upstream, request, NULL);
    is_int(r.status, status, "%s: is refused (%s)", name, r.err.message);
    is_str(r.err.field, strlen(r.err.field), field, "%s: the field", name);
    ok(r.err.code[0] != '\0' && strstr(r.err.message, field) != NULL,
       "%s: a code, and the field in the message", name);
    weir_arena_free(&arena);
}

static void losses(weir_protocol_t client, weir_protocol_t upstream, const char *request,
                   const char *want, const char *name)
{
    weir_arena_t arena;
    weir_buf_t text;
    uint32_t n = 0;
    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&text, &arena);
    result_t r = translate(&arena, client, upstream, request, NULL);
    ok(r.status == WEIR_OK, "%s: is translated", name);
    if (r.status == WEIR_OK) {
        const weir_translate_loss_t *loss = weir_translation_losses(r.translation, &n);
        for (uint32_t i = 0; i < n; i++) {
            weir_buf_printf(&text, "%s%s.%s=%u", i > 0 ? " " : "", loss[i].object, loss[i].field,
                            loss[i].count);
        }
    }
    is_str(text.data == NULL ? "" : text.data, text.len, want, "%s", name);
    weir_arena_free(&arena);
}

#define M "\"model\":\"m\",\"max_tokens\":5"
#define U "{\"role\":\"user\",\"content\":\"x\"}"

static void test_messages_text(void)
{
    TO_CHAT("{" M ",\"messages\":[" U "]}",
            "{\"model\":\"m\",\"messages\":[" U "],\"max_completion_tokens\":5}", "one message");
    TO_CHAT("{" M ",\"system\":\"S\\u00e9\",\"messages\":[{\"role\":\"user\",\"content\":"
            "[{\"type\":\"text\",\"text\":\"a\\/b\"}]}],\"temperature\":0.70,\"top_p\":1e-1,"
            "\"top_k\":5,\"stop_sequences\":[\"a\",\"b\"],\"stream\":true}",
            "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"S\\u00e9\"},"
            "{\"role\":\"user\",\"content\":\"a\\/b\"}],\"temperature\":0.70,\"top_p\":1e-1,"
            "\"top_k\":5,\"stop\":[\"a\",\"b\"],\"max_completion_tokens\":5,\"stream\":true,"
            "\"stream_options\":{\"include_usage\":true}}",
            "numbers and escapes stay as they were sent");
    TO_CHAT("{" M ",\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":\"text\","
            "\"text\":\"a\",\"cache_control\":{\"type\":\"ephemeral\"}},{\"type\":\"text\","
            "\"text\":\"b\"}]}," U "]}",
            "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":\"text\","
            "\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}," U
            "],\"max_completion_tokens\":5}",
            "a system message in the middle");
    TO_CHAT("{" M ",\"messages\":[" U ",{\"role\":\"assistant\",\"content\":[{\"type\":"
            "\"thinking\",\"thinking\":\"t\",\"signature\":\"\"},{\"type\":\"text\",\"text\":"
            "\"a\"},{\"type\":\"redacted_thinking\",\"data\":\"z\"},{\"type\":\"text\",\"text\":"
            "\"b\"}]}," U "]}",
            "{\"model\":\"m\",\"messages\":[" U ",{\"role\":\"assistant\",\"content\":\"ab\","
            "\"reasoning_content\":\"t\"}," U "],\"max_completion_tokens\":5}",
            "thinking becomes reasoning_content");
}

static void test_messages_parts(void)
{
    TO_CHAT("{" M ",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":"
            "{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"QQ==\"}},"
            "{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://x/y\"}},"
            "{\"type\":\"document\",\"title\":\"T\",\"source\":{\"type\":\"text\",\"media_type\":"
            "\"text/plain\",\"data\":\"D\"}},{\"type\":\"document\",\"source\":{\"type\":"
            "\"base64\",\"media_type\":\"application/pdf\",\"data\":\"UA==\"}}]}]}",
            "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
            "\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,QQ==\"}},{\"type\":"
            "\"image_url\",\"image_url\":{\"url\":\"https://x/y\"}},{\"type\":\"text\",\"text\":"
            "\"T\"},{\"type\":\"text\",\"text\":\"D\"},{\"type\":\"file\",\"file\":{\"filename\":"
            "\"document.pdf\",\"file_data\":\"data:application/pdf;base64,UA==\"}}]}],"
            "\"max_completion_tokens\":5}",
            "images and documents");
    TO_CHAT("{" M ",\"messages\":[" U ",{\"role\":\"assistant\",\"content\":[{\"type\":"
            "\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{\"a\": 1.0, \"b\":\"\\u2028\"}},"
            "{\"type\":\"tool_use\",\"id\":\"t2\",\"name\":\"g\",\"input\":{}}]},"
            "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t1\","
            "\"content\":\"r1\"},{\"type\":\"tool_result\",\"tool_use_id\":\"t2\",\"is_error\":"
            "true,\"content\":[{\"type\":\"text\",\"text\":\"r2\"},{\"type\":\"image\",\"source\":"
            "{\"type\":\"url\",\"url\":\"u\"}}]},{\"type\":\"text\",\"text\":\"next\"}]}]}",
            "{\"model\":\"m\",\"messages\":[" U ",{\"role\":\"assistant\",\"content\":null,"
            "\"tool_calls\":[{\"id\":\"t1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
            "\"arguments\":\"{\\\"a\\\": 1.0, \\\"b\\\":\\\"\\\\u2028\\\"}\"}},{\"id\":\"t2\","
            "\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},"
            "{\"role\":\"tool\",\"tool_call_id\":\"t1\",\"content\":\"r1\"},{\"role\":\"tool\","
            "\"tool_call_id\":\"t2\",\"content\":\"Error: r2\"},{\"role\":\"user\",\"content\":"
            "[{\"type\":\"text\",\"text\":\"From the result of tool call t2:\"},{\"type\":"
            "\"image_url\",\"image_url\":{\"url\":\"u\"}},{\"type\":\"text\",\"text\":\"next\"}]}],"
            "\"max_completion_tokens\":5}",
            "tool calls and results, one an error with an image");
}

static void test_messages_tools(void)
{
    TO_CHAT("{" M ",\"messages\":[" U "],\"tools\":[{\"name\":\"f\",\"description\":\"d\","
            "\"input_schema\":{\"type\":\"object\", \"x\":1e2},\"strict\":true}],\"tool_choice\":"
            "{\"type\":\"tool\",\"name\":\"f\",\"disable_parallel_tool_use\":true}}",
            "{\"model\":\"m\",\"messages\":[" U "],\"tools\":[{\"type\":\"function\",\"function\":"
            "{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\", \"x\":1e2},"
            "\"strict\":true}}],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\""
            "}},\"parallel_tool_calls\":false,\"max_completion_tokens\":5}",
            "tools and the choice of one");
    TO_CHAT("{" M ",\"messages\":[" U "],\"output_config\":{\"effort\":\"high\",\"format\":"
            "{\"type\":\"json_schema\",\"schema\":{\"type\":\"object\"}}},\"metadata\":"
            "{\"user_id\":\"u\"},\"service_tier\":\"standard_only\"}",
            "{\"model\":\"m\",\"messages\":[" U "],\"reasoning_effort\":\"high\","
            "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"output\","
            "\"strict\":true,\"schema\":{\"type\":\"object\"}}},\"user\":\"u\",\"service_tier\":"
            "\"default\",\"max_completion_tokens\":5}",
            "effort, format, user, tier");
    weir_translate_options_t strict = {
        .strict_openai = true, .legacy_max_tokens = true, .model = WEIR_STR("o\"ther")};
    becomes(WEIR_PROTOCOL_MESSAGES, WEIR_PROTOCOL_CHAT,
            "{" M ",\"top_k\":3,\"messages\":[" U ",{\"role\":\"assistant\",\"content\":"
            "[{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"\"},{\"type\":\"text\","
            "\"text\":\"a\"}]}," U "]}",
            &strict,
            "{\"model\":\"o\\\"ther\",\"messages\":[" U ",{\"role\":\"assistant\",\"content\":"
            "\"a\"}," U "],\"max_tokens\":5}",
            "a strict upstream gets no extensions");
}

static void test_messages_refused(void)
{
    weir_protocol_t from = WEIR_PROTOCOL_MESSAGES;
    weir_protocol_t to = WEIR_PROTOCOL_CHAT;
    refused(from, to, "{\"model\":\"m\",\"messages\":[]}", WEIR_ERR_INVALID, "max_tokens",
            "no max_tokens");
    refused(from, to, "{" M "}", WEIR_ERR_INVALID, "messages", "no messages");
    refused(from, to, "{\"max_tokens\":5,\"messages\":[]}", WEIR_ERR_INVALID, "model", "no model");
    refused(from, to, "{" M ",\"messages\":[" U "],\"inference_geo\":\"eu\"}", WEIR_ERR_UNSUPPORTED,
            "inference_geo", "a place of computation");
    refused(from, to,
            "{" M ",\"messages\":[" U ",{\"role\":\"user\",\"content\":[{\"type\":\"text\","
            "\"text\":\"a\"},{\"type\":\"image\",\"source\":{\"type\":\"file\",\"file_id\":\"f\""
            "}}]}]}",
            WEIR_ERR_UNSUPPORTED, "messages[1].content[1].source", "a file at Anthropic");
    refused(from, to,
            "{" M ",\"messages\":[" U "],\"tools\":[{\"type\":\"web_search_20250305\",\"name\":"
            "\"web_search\"}]}",
            WEIR_ERR_UNSUPPORTED, "tools[0]", "a tool of the server");
    refused(from, to, "{" M ",\"messages\":[{\"role\":\"king\",\"content\":\"x\"}]}",
            WEIR_ERR_UNSUPPORTED, "messages[0]", "an unknown role");
    refused(from, to, "{" M ",\"messages\":[{\"role\":\"user\",\"content\":5}]}", WEIR_ERR_INVALID,
            "messages[0].content", "a number as content");
    losses(from, to,
           "{" M ",\"messages\":[" U "],\"thinking\":{\"type\":\"adaptive\"},\"speed\":\"fast\","
           "\"new_thing\":1,\"other\":null,\"container\":null,\"temperature\":0}",
           "request.speed=1 request.(unknown)=1 request.thinking=1",
           "what is lost is named; null and what says nothing is not");
}

static void test_chat(void)
{
    TO_MESSAGES("{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
                "{\"role\":\"developer\",\"content\":[{\"type\":\"text\",\"text\":\"d\"}]}," U
                ",{\"role\":\"user\",\"content\":\"y\"}],\"max_completion_tokens\":7,\"stop\":"
                "[\"a\",\"\\n\"],\"temperature\":0.50}",
                "{\"model\":\"m\",\"system\":[{\"type\":\"text\",\"text\":\"s\"},{\"type\":"
                "\"text\",\"text\":\"d\"}],\"messages\":[{\"role\":\"user\",\"content\":"
                "[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"text\",\"text\":\"y\"}]}],"
                "\"stop_sequences\":[\"a\"],\"max_tokens\":7,\"temperature\":0.50}",
                "system and user messages are gathered");
    TO_MESSAGES("{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"a\"},"
                "{\"role\":\"system\",\"content\":\"b\"}]}",
                "{\"model\":\"m\",\"system\":[{\"type\":\"text\",\"text\":\"a\"}],\"messages\":"
                "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"b\"}]}],"
                "\"max_tokens\":4096}",
                "only system messages: the last one becomes the user's");
    TO_MESSAGES(
        "{\"model\":\"m\",\"messages\":[" U ",{\"role\":\"assistant\",\"content\":\"\","
        "\"reasoning_content\":\"t\",\"thinking_blocks\":[{\"type\":\"thinking\",\"thinking\":"
        "\"t\",\"signature\":\"s\"}],\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\","
        "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 1.0}\"}},{\"id\":\"d\",\"type\":"
        "\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]},{\"role\":\"tool\","
        "\"tool_call_id\":\"c\",\"content\":\"1\"},{\"role\":\"tool\",\"tool_call_id\":\"d\","
        "\"content\":[{\"type\":\"text\",\"text\":\"2\"}]}]}",
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
        "\"text\":\"x\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\","
        "\"thinking\":\"t\",\"signature\":\"s\"},{\"type\":\"tool_use\",\"id\":\"c\",\"name\":"
        "\"f\",\"input\":{\"a\": 1.0}},{\"type\":\"tool_use\",\"id\":\"d\",\"name\":\"g\","
        "\"input\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
        "\"tool_use_id\":\"c\",\"content\":\"1\"},{\"type\":\"tool_result\",\"tool_use_id\":\"d\","
        "\"content\":[{\"type\":\"text\",\"text\":\"2\"}]}]}],\"max_tokens\":4096}",
        "a tool loop with thinking");
    TO_MESSAGES("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
                "\"image_url\",\"image_url\":{\"url\":\"data:image\\/png;base64,QQ==\"}},"
                "{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x\"}},{\"type\":\"file\","
                "\"file\":{\"filename\":\"p\",\"file_data\":\"data:application/pdf;base64,UA==\"}}"
                "]}]}",
                "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
                "\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":"
                "\"QQ==\"}},{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":"
                "\"https://x\"}},{\"type\":\"document\",\"source\":{\"type\":\"base64\","
                "\"media_type\":\"application/pdf\",\"data\":\"UA==\"},\"title\":\"p\"}]}],"
                "\"max_tokens\":4096}",
                "images and a PDF");
}

static void test_chat_options(void)
{
    TO_MESSAGES("{\"model\":\"m\",\"messages\":[" U "],\"tools\":[{\"type\":\"function\","
                "\"function\":{\"name\":\"f\"}},{\"type\":\"function\",\"function\":{\"name\":"
                "\"g\",\"parameters\":{\"x\":1}}}],\"tool_choice\":{\"type\":\"allowed_tools\","
                "\"allowed_tools\":{\"mode\":\"required\",\"tools\":[{\"type\":\"function\","
                "\"function\":{\"name\":\"g\"}}]}},\"parallel_tool_calls\":false}",
                "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
                "\"text\",\"text\":\"x\"}]}],\"tools\":[{\"name\":\"g\",\"input_schema\":{\"x\":1}}"
                "],\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":true},"
                "\"max_tokens\":4096}",
                "only the allowed tools are sent");
    TO_MESSAGES("{\"model\":\"m\",\"messages\":[" U "],\"reasoning_effort\":\"low\","
                "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\","
                "\"schema\":{\"a\":1}}},\"temperature\":1}",
                "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
                "\"text\",\"text\":\"x\"}]}],\"thinking\":{\"type\":\"adaptive\"},"
                "\"output_config\":{\"effort\":\"low\",\"format\":{\"type\":\"json_schema\","
                "\"schema\":{\"a\":1}}},\"max_tokens\":4096}",
                "effort and a schema; no temperature beside thinking");
    weir_translate_options_t budget = {.thinking = WEIR_THINKING_BUDGET,
                                       .default_max_tokens = 2000};
    becomes(WEIR_PROTOCOL_CHAT, WEIR_PROTOCOL_MESSAGES,
            "{\"model\":\"m\",\"messages\":[" U "],\"reasoning_effort\":\"high\"}", &budget,
            "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
            "\"text\":\"x\"}]}],\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1999},"
            "\"max_tokens\":2000}",
            "a budget stays under max_tokens");
    refused(WEIR_PROTOCOL_CHAT, WEIR_PROTOCOL_MESSAGES,
            "{\"model\":\"m\",\"messages\":[" U ",{\"role\":\"assistant\",\"tool_calls\":[{\"id\":"
            "\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}]}",
            WEIR_ERR_INVALID, "messages[1].tool_calls[0].function.arguments",
            "arguments that are no object");
    refused(WEIR_PROTOCOL_CHAT, WEIR_PROTOCOL_MESSAGES,
            "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
            "\"image_url\",\"image_url\":{\"url\":\"ftp://x\"}}]}]}",
            WEIR_ERR_UNSUPPORTED, "messages[0].content[0].image_url.url", "another address");
    losses(WEIR_PROTOCOL_CHAT, WEIR_PROTOCOL_MESSAGES,
           "{\"model\":\"m\",\"messages\":[" U ",{\"role\":\"system\",\"content\":\"s\"}],\"seed\":"
           "5,\"frequency_penalty\":0,\"n\":1,\"response_format\":{\"type\":\"json_object\"}}",
           "request.seed=1 messages.system=1 response_format.json_object=1",
           "a seed, a late system message and json_object are counted");
}

static void test_responses(void)
{
    FROM_RESPONSES("{\"model\":\"m\",\"input\":\"x\",\"max_output_tokens\":9,\"store\":false}",
                   "{\"model\":\"m\",\"messages\":[" U "],\"max_completion_tokens\":9}", "a text");
    FROM_RESPONSES(
        "{\"model\":\"m\",\"instructions\":\"i\",\"input\":[{\"role\":\"developer\",\"content\":"
        "\"d\"},{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\","
        "\"text\":\"x\"},{\"type\":\"input_image\",\"image_url\":\"u\",\"detail\":\"low\"}]},"
        "{\"type\":\"reasoning\",\"id\":\"r\",\"summary\":[{\"type\":\"summary_text\",\"text\":"
        "\"t\"}]},{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":"
        "\"output_text\",\"text\":\"a\",\"annotations\":[]}]},{\"type\":\"function_call\","
        "\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"},{\"type\":\"function_call\","
        "\"call_id\":\"d\",\"name\":\"g\",\"arguments\":\"{}\"},{\"type\":"
        "\"function_call_output\",\"call_id\":\"c\",\"output\":\"1\"},{\"type\":"
        "\"function_call_output\",\"call_id\":\"d\",\"output\":[{\"type\":\"input_text\",\"text\":"
        "\"2\"},{\"type\":\"input_image\",\"image_url\":\"v\"}]}],\"tools\":[{\"type\":"
        "\"function\",\"name\":\"f\",\"parameters\":{\"x\":1},\"strict\":true},{\"type\":"
        "\"custom\",\"name\":\"p\"}],\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"},"
        "\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\",\"schema\":{\"y\":2}}},"
        "\"reasoning\":{\"effort\":\"low\"}}",
        "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"i\"},{\"role\":"
        "\"system\",\"content\":\"d\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\","
        "\"text\":\"x\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"u\",\"detail\":\"low\"}}"
        "]},{\"role\":\"assistant\",\"content\":\"a\",\"reasoning_content\":\"t\",\"tool_calls\":"
        "[{\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},"
        "{\"id\":\"d\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]}"
        ",{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"1\"},{\"role\":\"tool\","
        "\"tool_call_id\":\"d\",\"content\":\"2\"},{\"role\":\"user\",\"content\":[{\"type\":"
        "\"text\",\"text\":\"From the result of tool call d:\"},{\"type\":\"image_url\","
        "\"image_url\":{\"url\":\"v\"}}]}],\"tool_choice\":{\"type\":\"function\",\"function\":"
        "{\"name\":\"f\"}},\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"parameters\":{\"x\":1},\"strict\":true}},{\"type\":\"function\",\"function\":{\"name\":"
        "\"p\",\"parameters\":{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}"
        "},\"required\":[\"input\"],\"additionalProperties\":false}}}],\"reasoning_effort\":"
        "\"low\",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\","
        "\"schema\":{\"y\":2}}}}",
        "a conversation with calls, reasoning, images and a schema");
    FROM_RESPONSES(
        "{\"model\":\"m\",\"input\":[" U ",{\"role\":\"assistant\",\"content\":\"a\"},{\"type\":"
        "\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"},{\"role\":"
        "\"assistant\",\"content\":\"b\"}]}",
        "{\"model\":\"m\",\"messages\":[" U ",{\"role\":\"assistant\",\"content\":\"a\","
        "\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{}\"}}]},{\"role\":\"assistant\",\"content\":\"b\"}]}",
        "a message behind a call is another message");
    refused(WEIR_PROTOCOL_RESPONSES, WEIR_PROTOCOL_CHAT,
            "{\"model\":\"m\",\"input\":[{\"type\":\"item_reference\",\"id\":\"i\"}]}",
            WEIR_ERR_UNSUPPORTED, "input[0]", "a reference to a stored item");
    refused(WEIR_PROTOCOL_RESPONSES, WEIR_PROTOCOL_CHAT,
            "{\"model\":\"m\",\"input\":\"x\",\"background\":true}", WEIR_ERR_UNSUPPORTED,
            "background", "background");
}

static void count_is(weir_protocol_t client, weir_protocol_t upstream, const char *request,
                     const char *want_path, const char *want, const char *name)
{
    weir_arena_t arena;
    weir_json_doc_t doc;
    weir_buf_t out;
    weir_error_t err = {0};
    const char *path = "";
    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&out, &arena);
    weir_json_parse(request, strlen(request), NULL, &arena, &doc, &err);
    is_int(weir_translate_count_request(client, upstream, &doc, NULL, &arena, &out, &path, &err),
           WEIR_OK, "%s: is translated", name);
    is_str(path, strlen(path), want_path, "%s: the path", name);
    is_str(out.data, out.len, want, "%s", name);
    weir_arena_free(&arena);
}

static void test_count(void)
{
    weir_arena_t arena;
    weir_json_doc_t doc;
    weir_buf_t out;
    weir_error_t err;
    static const char counted[] = "{\"count\":12,\"max_model_len\":99}";
    static const char none[] = "{\"count\":-1}";
    count_is(WEIR_PROTOCOL_MESSAGES, WEIR_PROTOCOL_CHAT, "{\"model\":\"m\",\"messages\":[" U "]}",
             "/tokenize", "{\"model\":\"m\",\"messages\":[" U "],\"add_generation_prompt\":true}",
             "count_tokens on a chat server");
    count_is(WEIR_PROTOCOL_RESPONSES, WEIR_PROTOCOL_MESSAGES,
             "{\"model\":\"m\",\"input\":\"x\",\"instructions\":\"i\"}",
             "/v1/messages/count_tokens",
             "{\"model\":\"m\",\"system\":[{\"type\":\"text\",\"text\":\"i\"}],\"messages\":"
             "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}]}",
             "input_tokens on an Anthropic upstream");
    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&out, &arena);
    weir_json_parse(counted, sizeof(counted) - 1, NULL, &arena, &doc, &err);
    weir_translate_count_answer(WEIR_PROTOCOL_MESSAGES, &doc, &out, &err);
    is_str(out.data, out.len, "{\"input_tokens\":12}", "the count for a messages client");
    weir_buf_init(&out, &arena);
    weir_translate_count_answer(WEIR_PROTOCOL_RESPONSES, &doc, &out, &err);
    is_str(out.data, out.len, "{\"object\":\"response.input_tokens\",\"input_tokens\":12}",
           "the count for a responses client");
    weir_json_parse(none, sizeof(none) - 1, NULL, &arena, &doc, &err);
    is_int(weir_translate_count_answer(WEIR_PROTOCOL_MESSAGES, &doc, &out, &err), WEIR_ERR_INVALID,
           "a negative count is none");
    weir_arena_free(&arena);
}

static void test_small_memory(void)
{
    static const char request[] =
        "{" M ",\"system\":\"s\",\"messages\":[" U "],\"tools\":[{\"name\":\"f\",\"input_schema\":"
        "{\"type\":\"object\"}}],\"stop_sequences\":[\"a\"]}";
    weir_arena_t scratch;
    weir_json_doc_t doc;
    weir_error_t err;
    bool right = true;
    weir_arena_init(&scratch, 0, 0);
    weir_json_parse(request, sizeof(request) - 1, NULL, &scratch, &doc, &err);
    for (size_t limit = 1; limit < 20000; limit += 400) {
        weir_arena_t arena;
        weir_buf_t out;
        weir_translation_t *tr;
        weir_arena_init(&arena, 256, limit);
        weir_buf_init(&out, &arena);
        weir_status_t s = weir_translate_request(WEIR_PROTOCOL_MESSAGES, WEIR_PROTOCOL_CHAT, &doc,
                                                 NULL, &arena, &out, &tr, &err);
        right = right && (s == WEIR_OK ? tr != NULL : s == WEIR_ERR_NOMEM && tr == NULL);
        weir_arena_free(&arena);
    }
    ok(right, "too little memory is an error, whatever the limit");
    weir_arena_free(&scratch);
}

int main(void)
{
    test_messages_text();
    test_messages_parts();
    test_messages_tools();
    test_messages_refused();
    test_chat();
    test_chat_options();
    test_responses();
    test_count();
    test_small_memory();
    return done_testing();
}

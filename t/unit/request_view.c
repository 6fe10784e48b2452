/* What a request asks for, for every call, however its members are written. */
#include "lua-free-filters/request.h"
#include "t/support/tap.h"

#include <stdlib.h>

static weir_arena_t arena;
static weir_json_doc_t doc;
static weir_request_view_t view;
static weir_error_t err;

static weir_status_t read(weir_endpoint_t endpoint, const char *text)
{
    weir_error_t none = {0};
    err = none;
    if (weir_json_parse(text, strlen(text), NULL, &arena, &doc, &err) != WEIR_OK) {
        diag("%s", err.message);
        abort();
    }
    return weir_request_read(endpoint, &doc, &arena, &view, &err);
}

static void test_chat(void)
{
    ok(read(WEIR_ENDPOINT_CHAT,
            "{\"model\":\"a\\u002fb\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"},"
            "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},"
            "{\"type\":\"image_url\",\"image_url\":{\"url\":\"u\"}}]}],\"stream\":true,"
            "\"max_tokens\":5,\"max_completion_tokens\":7,\"n\":3,\"best_of\":2,"
            "\"stream_options\":{\"include_usage\":true},\"tools\":[{\"type\":\"function\"}],"
            "\"functions\":[{\"name\":\"f\"}],\"user\":\"u\",\"extra\":null}") == WEIR_OK,
       "a chat");
    is_str(view.model.data, view.model.len, "a/b", "the model, unescaped");
    ok(view.stream && view.include_usage && view.include_usage_node != WEIR_JSON_NONE,
       "a stream that asks for usage");
    ok(view.max_tokens == 7 && view.max_tokens_node != WEIR_JSON_NONE &&
           view.max_tokens_node2 != WEIR_JSON_NONE,
       "the larger of two limits, and where both stand");
    is_int(view.n, 3, "n");
    ok(view.inputs == 2 && view.input_node == weir_json_get(&doc, 0, "messages"), "two messages");
    ok(view.tools_node != WEIR_JSON_NONE && view.functions_node != WEIR_JSON_NONE,
       "tools by both names");
    is_int(view.images, 1, "one image");
    ok(view.text_bytes >= 5 + 1 && view.token_ids == 0, "text is bounded by its bytes");

    ok(read(WEIR_ENDPOINT_CHAT, "{\"\\u006dodel\":\"x\",\"st\\u0072eam\":true}") == WEIR_OK &&
           weir_str_is(view.model, "x") && view.stream,
       "keys may be written with escapes");
    ok(read(WEIR_ENDPOINT_CHAT,
            "{\"model\":null,\"stream\":null,\"max_tokens\":null,\"n\":null,\"tools\":null,"
            "\"stream_options\":null,\"messages\":null}") == WEIR_OK,
       "null is absent");
    ok(view.model.len == 0 && view.model_node == WEIR_JSON_NONE && !view.stream &&
           view.max_tokens == -1 && view.n == 1 && view.tools_node == WEIR_JSON_NONE &&
           view.input_node == WEIR_JSON_NONE && view.inputs == 0,
       "everywhere");
    ok(read(WEIR_ENDPOINT_CHAT, "{\"stream_options\":{\"include_usage\":null}}") == WEIR_OK &&
           !view.include_usage && view.include_usage_node != WEIR_JSON_NONE,
       "also in stream_options");
    ok(read(WEIR_ENDPOINT_CHAT, "{\"max_tokens\":3.0,\"n\":2e0}") == WEIR_OK &&
           view.max_tokens == 3 && view.n == 2,
       "an integer may be written with a point");
}

static void test_others(void)
{
    static const struct {
        weir_endpoint_t endpoint;
        const char *text;
        const char *input;
        uint32_t inputs;
        uint32_t ids;
    } cases[] = {
        {WEIR_ENDPOINT_COMPLETIONS, "{\"prompt\":\"x\"}", "prompt", 1, 0},
        {WEIR_ENDPOINT_COMPLETIONS, "{\"prompt\":[\"x\",\"y\"]}", "prompt", 2, 0},
        {WEIR_ENDPOINT_COMPLETIONS, "{\"prompt\":[1,2,3]}", "prompt", 1, 3},
        {WEIR_ENDPOINT_COMPLETIONS, "{\"prompt\":[[1,2],[3]]}", "prompt", 2, 3},
        {WEIR_ENDPOINT_EMBEDDINGS, "{\"input\":[\"x\",\"y\",\"z\"]}", "input", 3, 0},
        {WEIR_ENDPOINT_EMBEDDINGS, "{\"input\":[]}", "input", 0, 0},
        {WEIR_ENDPOINT_MODERATIONS, "{\"input\":\"x\"}", "input", 1, 0},
        {WEIR_ENDPOINT_RERANK, "{\"query\":\"q\",\"documents\":[\"x\",\"y\"]}", "documents", 2, 0},
        {WEIR_ENDPOINT_RESPONSES, "{\"instructions\":\"i\",\"input\":\"x\"}", "input", 1, 0},
        {WEIR_ENDPOINT_MESSAGES, "{\"system\":\"s\",\"messages\":[{\"content\":\"x\"}]}",
         "messages", 1, 0},
        {WEIR_ENDPOINT_COUNT_TOKENS, "{\"messages\":[]}", "messages", 0, 0},
        {WEIR_ENDPOINT_TOKENIZE, "{\"content\":\"x\"}", "content", 1, 0},
        {WEIR_ENDPOINT_DETOKENIZE, "{\"tokens\":[1,2]}", "tokens", 1, 2},
        {WEIR_ENDPOINT_SCORE, "{\"text_1\":\"x\",\"text_2\":[\"y\",\"z\"]}", "text_2", 2, 0},
        {WEIR_ENDPOINT_GENERATE, "{\"inputs\":\"x\"}", "inputs", 1, 0},
        {WEIR_ENDPOINT_CHAT, "{\"input\":\"y\",\"messages\":[],\"prompt\":\"z\"}", "messages", 0,
         0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ok(read(cases[i].endpoint, cases[i].text) == WEIR_OK &&
               view.input_node == weir_json_get(&doc, 0, cases[i].input) &&
               view.inputs == cases[i].inputs && view.token_ids == cases[i].ids,
           "%s: %s", weir_endpoint_name(cases[i].endpoint), cases[i].text);
    }
    ok(read(WEIR_ENDPOINT_RESPONSES,
            "{\"max_output_tokens\":9,\"previous_response_id\":\"r\",\"background\":true,"
            "\"store\":false}") == WEIR_OK &&
           view.max_tokens == 9 && view.previous_node != WEIR_JSON_NONE && view.background &&
           !view.store,
       "what only responses have");
    ok(read(WEIR_ENDPOINT_MESSAGES, "{\"mcp_servers\":[{\"url\":\"u\"}],\"tools\":[]}") ==
               WEIR_OK &&
           view.mcp_node != WEIR_JSON_NONE && view.tools_node == WEIR_JSON_NONE,
       "servers of tools");
    ok(read(WEIR_ENDPOINT_GENERATE, "{\"n_predict\":-1}") == WEIR_OK &&
           view.max_tokens_node == WEIR_JSON_NONE && view.no_limit_node == 2,
       "llama.cpp's \"no limit\"");
    ok(read(WEIR_ENDPOINT_GENERATE, "{\"n_predict\":12}") == WEIR_OK && view.max_tokens == 12,
       "and its limit");
}

/* Servers whose decoder does not mind case take the last of two such members. */
static void test_case(void)
{
    static const char *const bad[] = {
        "{\"model\":\"a\",\"Model\":\"b\"}",
        "{\"MODEL\":\"b\"}",
        "{\"\\u004dodel\":\"b\"}",
        "{\"\\u017ftream\":true}",
        "{\"me\xC5\xBF\xC5\xBF"
        "ages\":[]}",
        "{\"max_to\xE2\x84\xAA"
        "ens\":1}",
        "{\"N\":100}",
        "{\"Tools\":[]}",
    };
    static const char *const good[] = {
        "{\"Models\":1}", "{\"mode\xC5\xBF\":1}", "{\"\xE2\x84\":1}", "{\"modeL2\":1}", "{\"X\":1}",
        "{\"\":1}",       "{\"TopK\":1}",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(read(WEIR_ENDPOINT_CHAT, bad[i]) == WEIR_ERR_INVALID &&
               strcmp(err.code, "invalid_request") == 0,
           "another case is refused: %zu", i);
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (weir_json_parse(good[i], strlen(good[i]), NULL, &arena, &doc, &err) == WEIR_OK) {
            ok(read(WEIR_ENDPOINT_CHAT, good[i]) == WEIR_OK, "an unknown name passes: %zu", i);
        }
    }
}

static void test_refused(void)
{
    static const struct {
        const char *text;
        const char *field;
    } cases[] = {
        {"{\"model\":1}", "model"},
        {"{\"model\":\"\"}", "model"},
        {"{\"model\":[\"x\"]}", "model"},
        {"{\"stream\":1}", "stream"},
        {"{\"stream\":\"true\"}", "stream"},
        {"{\"n\":0}", "n"},
        {"{\"n\":1.5}", "n"},
        {"{\"n\":\"1\"}", "n"},
        {"{\"best_of\":-1}", "best_of"},
        {"{\"max_tokens\":-1}", "max_tokens"},
        {"{\"max_tokens\":1e30}", "max_tokens"},
        {"{\"max_completion_tokens\":{}}", "max_completion_tokens"},
        {"{\"max_tokens\":1,\"max_output_tokens\":1,\"max_new_tokens\":1}", "max_tokens"},
        {"{\"tools\":{}}", "tools"},
        {"{\"tools\":\"x\"}", "tools"},
        {"{\"functions\":1}", "functions"},
        {"{\"stream_options\":[]}", "stream_options"},
        {"{\"stream_options\":{\"include_usage\":1}}", "stream_options.include_usage"},
        {"{\"Model\":\"m\"}", "model"},
        {"{\"model\":\"m\",\"MAX_TO\xE2\x84\xAA"
         "ENS\":1}",
         "max_tokens"},
        {"{\"background\":0}", "background"},
        {"{\"store\":\"no\"}", "store"},
        {"[]", ""},
        {"\"x\"", ""},
        {"null", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_status_t rc = read(WEIR_ENDPOINT_CHAT, cases[i].text);
        is_int(rc, WEIR_ERR_INVALID, "%s: refused", cases[i].text);
        is_str(err.field, strlen(err.field), cases[i].field, "names the member");
        ok(err.message[0] != '\0' && err.code[0] != '\0', "and says why");
    }
}

int main(void)
{
    weir_arena_init(&arena, 0, 0);
    test_chat();
    test_others();
    test_case();
    test_refused();
    weir_arena_free(&arena);
    return done_testing();
}

/*
 * A chat template and the request that it renders from one input: the bytes before the first NUL
 * are the template, those behind it JSON with messages, tools and further variables; without a NUL
 * a fixed conversation is rendered. The spans must cover the text, the text must be UTF-8, and
 * rendering twice must give the same.
 */
#include <stdlib.h>

#include "engine/jinja/jinja.h"
#include "engine/llm/chat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char conversation[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"a <b> "
    "\\u00e9\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"123456789\","
    "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":[1,2.5]}\"}}]},"
    "{\"role\":\"tool\",\"content\":[{\"type\":\"text\",\"text\":\"t\"}]}],\"tools\":[{\"type\":"
    "\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"properties\":{\"x\":{\"type\":"
    "\"array\"}}}}}],\"kwargs\":{\"n\":7,\"l\":[3,1,2],\"d\":{\"b\":1,\"a\":2},\"f\":2.5}}";

static const weir_jinja_limits_t limits = {
    .max_source = 1 << 16, .max_steps = 50000, .max_memory = 8 << 20, .max_output = 1 << 20};

static void check_output(const weir_jinja_output_t *out)
{
    uint32_t end = 0;
    for (size_t i = 0; i < out->n_spans; i++) {
        if (out->spans[i].start != end || out->spans[i].end <= end) {
            abort();
        }
        end = out->spans[i].end;
    }
    if (end != out->text.len || weir_utf8_valid(out->text.data, out->text.len) != out->text.len) {
        abort();
    }
}

static weir_status_t render(const weir_jinja_template_t *tmpl, const weir_json_doc_t *doc,
                            weir_arena_t *arena, weir_jinja_output_t *out)
{
    weir_jinja_t *in;
    weir_error_t err;
    weir_status_t status = weir_jinja_begin(tmpl, &limits, &in, &err);
    if (status != WEIR_OK) {
        return status;
    }
    uint32_t kwargs = weir_json_get(doc, 0, "kwargs");
    static const char *const names[] = {"messages", "tools"};
    for (size_t i = 0; i < 2 && status == WEIR_OK; i++) {
        uint32_t node = weir_json_get(doc, 0, names[i]);
        status =
            node == WEIR_JSON_NONE ? WEIR_OK : weir_jinja_set_json(in, names[i], doc, node, &err);
    }
    static const char *const more[] = {"n", "l", "d", "f"};
    for (size_t i = 0; i < 4 && status == WEIR_OK && kwargs != WEIR_JSON_NONE; i++) {
        uint32_t node = weir_json_get(doc, kwargs, more[i]);
        status =
            node == WEIR_JSON_NONE ? WEIR_OK : weir_jinja_set_json(in, more[i], doc, node, &err);
    }
    if (status == WEIR_OK) {
        status = weir_jinja_render(in, arena, out, &err);
    }
    if (status != WEIR_OK && err.message[0] == '\0' && err.code[0] == '\0') {
        abort();
    }
    weir_jinja_end(in);
    return status;
}

static void fuzz_jinja(weir_str_t source, const weir_json_doc_t *doc, weir_arena_t *arena)
{
    weir_jinja_template_t *tmpl;
    weir_jinja_output_t first;
    weir_jinja_output_t second;
    weir_error_t err;
    if (weir_jinja_compile(source, &limits, &tmpl, &err) != WEIR_OK) {
        return;
    }
    weir_jinja_iterates(tmpl, "content");
    weir_status_t status = render(tmpl, doc, arena, &first);
    if (status == WEIR_OK) {
        check_output(&first);
    }
    if (render(tmpl, doc, arena, &second) != status) {
        abort();
    }
    if (status == WEIR_OK && !weir_str_eq(first.text, second.text)) {
        abort();
    }
    weir_jinja_free(tmpl);
}

/* Chat rendering has no limits of its own to lower: only templates without loops. */
static void fuzz_chat(weir_str_t source, const weir_json_doc_t *doc, weir_arena_t *arena)
{
    weir_chat_template_t *tmpl;
    weir_prompt_t prompt;
    weir_error_t err;
    uint32_t messages = weir_json_get(doc, 0, "messages");
    if (messages == WEIR_JSON_NONE || memmem(source.data, source.len, "for", 3) != NULL ||
        memmem(source.data, source.len, "macro", 5) != NULL || source.len > 2000 ||
        weir_chat_template_open(source, WEIR_STR("<s>"), WEIR_STR("</s>"), &tmpl, &err) !=
            WEIR_OK) {
        return;
    }
    weir_chat_request_t req = {.doc = doc,
                               .messages = messages,
                               .tools = weir_json_get(doc, 0, "tools"),
                               .kwargs = weir_json_get(doc, 0, "kwargs"),
                               .add_generation_prompt = true};
    weir_chat_render(tmpl, &req, arena, &prompt, &err);
    weir_chat_template_close(tmpl);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *nul = size == 0 ? NULL : memchr(text, '\0', size);
    weir_str_t source = weir_str(text, nul == NULL ? size : (size_t)(nul - text));
    weir_str_t json = nul == NULL ? weir_str(conversation, sizeof(conversation) - 1)
                                  : weir_str(nul + 1, size - source.len - 1);
    weir_arena_t arena;
    weir_json_doc_t doc;
    weir_arena_init(&arena, 0, 64u << 20);
    if (weir_json_parse(json.data, json.len, NULL, &arena, &doc, NULL) == WEIR_OK) {
        fuzz_jinja(source, &doc, &arena);
        fuzz_chat(source, &doc, &arena);
    }
    weir_arena_free(&arena);
    return 0;
}

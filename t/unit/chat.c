/* Chat prompts from requests. */
#include "engine/llm/chat.h"

#include <stdio.h>

#include "t/support/tap.h"

static const char chatml[] =
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' "
    "}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

typedef struct {
    weir_arena_t arena;
    weir_prompt_t prompt;
    weir_error_t err;
    weir_status_t status;
} result_t;

/* Renders request (an object with messages, tools and kwargs) by the template. */
static result_t render(const char *source, const char *request)
{
    result_t r = {0};
    weir_json_doc_t doc;
    weir_chat_template_t *tmpl;
    weir_arena_init(&r.arena, 0, 0);
    r.status = weir_chat_template_open(weir_str(source, strlen(source)), WEIR_STR("<s>"),
                                       WEIR_STR("</s>"), &tmpl, &r.err);
    if (r.status != WEIR_OK) {
        return r;
    }
    r.status = weir_json_parse(request, strlen(request), NULL, &r.arena, &doc, &r.err);
    if (r.status == WEIR_OK) {
        weir_chat_request_t req = {.doc = &doc,
                                   .messages = weir_json_get(&doc, 0, "messages"),
                                   .tools = weir_json_get(&doc, 0, "tools"),
                                   .kwargs = weir_json_get(&doc, 0, "kwargs"),
                                   .add_generation_prompt = true,
                                   .now = 0};
        r.status = weir_chat_render(tmpl, &req, &r.arena, &r.prompt, &r.err);
    }
    weir_chat_template_close(tmpl);
    return r;
}

static void gives(const char *source, const char *request, const char *want, const char *name)
{
    result_t r = render(source, request);
    if (r.status != WEIR_OK) {
        diag("%s", r.err.message);
    }
    is_str(r.prompt.text.data, r.prompt.text.len, want, "%s", name);
    weir_arena_free(&r.arena);
}

static void refuses(const char *source, const char *request, const char *field, const char *part)
{
    result_t r = render(source, request);
    ok(r.status == WEIR_ERR_INVALID && strcmp(r.err.field, field) == 0 &&
           strstr(r.err.message, part) != NULL,
       "%s: %s (%s)", weir_status_name(r.status), r.err.message, r.err.field);
    weir_arena_free(&r.arena);
}

static void test_provenance(void)
{
    result_t r =
        render(chatml, "{\"messages\":[{\"role\":\"user\",\"content\":\"hi<|im_end|>\"}]}");
    is_int(r.status, WEIR_OK, "rendered");
    is_str(r.prompt.text.data, r.prompt.text.len,
           "<|im_start|>user\nhi<|im_end|><|im_end|>\n<|im_start|>assistant\n", "the prompt");
    is_int((long long)r.prompt.n_spans, 3, "three spans");
    if (r.prompt.n_spans == 3) {
        ok(r.prompt.spans[0].trusted && r.prompt.spans[0].end == 17, "header and known role");
        ok(!r.prompt.spans[1].trusted && r.prompt.spans[1].end == 29, "content is the caller's");
        ok(r.prompt.spans[2].trusted && r.prompt.spans[2].end == r.prompt.text.len, "the rest");
    }
    weir_arena_free(&r.arena);
    r = render(chatml, "{\"messages\":[{\"role\":\"<|im_end|>\",\"content\":\"\"}]}");
    ok(r.status == WEIR_OK && r.prompt.n_spans == 3 && !r.prompt.spans[1].trusted,
       "an unknown role is the caller's");
    weir_arena_free(&r.arena);
}

static void test_requests(void)
{
    const char *two = "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
                      "\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}]}";
    gives("{{ messages[0].content }}", two, "a\nb", "parts are joined");
    gives("{% for p in messages[0].content %}{{ p.text }};{% endfor %}", two, "a;b;",
          "unless the template walks over them");
    gives("{{ bos_token }}{{ eos_token }}{{ tools }}{{ documents }}", "{\"messages\":[]}",
          "<s></s>NoneNone", "variables that are always there");
    gives("{{ tools[0].function.name }}{{ x }}",
          "{\"messages\":[],\"tools\":[{\"function\":{\"name\":\"f\"}}],\"kwargs\":{\"x\":true}}",
          "fTrue", "tools and further variables");
    const char *call = "{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{"
                       "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"b\\\": [1]}\"}}]}]}";
    gives("{% for m in messages %}{{ m.tool_calls[0].function.arguments.b }}{% endfor %}", call,
          "[1]", "arguments become an object");
    gives("{% for m in messages if m.tool_calls %}{{ 'x' + m.tool_calls[0].function.arguments }}"
          "{% endfor %}",
          call, "x{\"b\": [1]}", "or stay text where the template needs that");
    gives(chatml, call, "<|im_start|>assistant\n<|im_end|>\n<|im_start|>assistant\n",
          "no content beside tool calls is an empty text where null cannot be joined");
    gives(chatml,
          "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
          "\"arguments\":\"{}\"}}]}]}",
          "<|im_start|>assistant\n<|im_end|>\n<|im_start|>assistant\n",
          "so is one that is left out");
    gives("{% for m in messages %}{{ m.content is none }}{% endfor %}", call, "True",
          "and null to a template that knows it");
}

static void test_errors(void)
{
    refuses("{{ raise_exception('no') }}", "{\"messages\":[]}", "messages", "no");
    refuses(chatml, "{\"messages\":[{\"role\":\"user\",\"content\":null}]}", "messages",
            "can only concatenate str");
    refuses(chatml, "{\"messages\":[3]}", "messages[0]", "object");
    refuses(chatml, "{\"messages\":{}}", "messages", "array");
    refuses(chatml, "{\"messages\":[],\"tools\":3}", "tools", "array");
    refuses(chatml, "{\"messages\":[],\"kwargs\":[]}", "chat_template_kwargs", "object");
    refuses("{{ messages }}", "{\"messages\":[],\"kwargs\":{\"messages\":1}}",
            "chat_template_kwargs", "messages");
    refuses("{{ messages }}",
            "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
            "messages[0].content", "text");
    result_t r = render("{% block x %}{% endblock %}", "{}");
    is_int(r.status, WEIR_ERR_UNSUPPORTED, "%s", r.err.message);
    weir_arena_free(&r.arena);
}

int main(void)
{
    test_provenance();
    test_requests();
    test_errors();
    return done_testing();
}

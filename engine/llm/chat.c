#include "engine/llm/chat.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/llm/chat_internal.h"

struct weir_chat_template {
    weir_jinja_template_t *jinja;
    weir_arena_t arena;
    weir_str_t bos;
    weir_str_t eos;
    weir_chat_shape_t shape;
};

static weir_status_t copy_text(weir_arena_t *arena, weir_str_t text, weir_str_t *out,
                               weir_error_t *err)
{
    if (weir_utf8_sanitize(text, arena, out) != WEIR_OK) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory for a chat template");
    }
    if (out->data == text.data) {
        char *copy = weir_arena_strndup(arena, text.data, text.len);
        *out = weir_str(copy, text.len);
        if (copy == NULL) {
            return weir_error(err, WEIR_ERR_NOMEM, "out of memory for a chat template");
        }
    }
    return WEIR_OK;
}

/* Whether a small conversation with a tool call renders; content is the call's, as JSON. */
static bool renders(const weir_chat_template_t *tmpl, const weir_chat_shape_t *shape,
                    const char *content)
{
    static const char text[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":"
        "%s,\"tool_calls\":[{\"id\":\"call00001\",\"type\":\"function\",\"function\":{\"name\":"
        "\"f\",\"arguments\":{\"x\":1}}}]},{\"role\":\"tool\",\"tool_call_id\":\"call00001\","
        "\"name\":\"f\",\"content\":\"b\"},{\"role\":\"assistant\",\"content\":\"c\"},"
        "{\"role\":\"user\",\"content\":\"d\"}],\"tools\":[{\"type\":\"function\",\"function\":{"
        "\"name\":\"f\",\"description\":\"g\",\"parameters\":{\"type\":\"object\",\"properties\":{"
        "\"x\":{\"type\":\"integer\",\"description\":\"h\"}},\"required\":[\"x\"]}}}]}";
    char filled[sizeof(text) + 8];
    weir_arena_t arena;
    weir_json_doc_t doc;
    weir_prompt_t prompt;
    weir_error_t err;
    weir_chat_template_t probe = *tmpl;
    probe.shape = *shape;
    weir_arena_init(&arena, 0, 64u << 20);
    int len = snprintf(filled, sizeof(filled), text, content);
    bool good = weir_json_parse(filled, (size_t)len, NULL, &arena, &doc, &err) == WEIR_OK;
    if (good) {
        weir_chat_request_t req = {.doc = &doc,
                                   .messages = weir_json_get(&doc, 0, "messages"),
                                   .tools = weir_json_get(&doc, 0, "tools"),
                                   .kwargs = WEIR_JSON_NONE};
        good = weir_chat_render(&probe, &req, &arena, &prompt, &err) == WEIR_OK;
    }
    weir_arena_free(&arena);
    return good;
}

/*
 * Templates differ in the form of tool_calls[].function.arguments: tried out, as other engines do.
 * Objects unless only text works. Clients give null as the content of a message that calls tools;
 * to a template that cannot take it, it is the empty text.
 */
static void find_shape(weir_chat_template_t *tmpl)
{
    weir_chat_shape_t as_text = {.takes_json_string = true};
    tmpl->shape.takes_parts = weir_jinja_iterates(tmpl->jinja, "content");
    as_text.takes_parts = tmpl->shape.takes_parts;
    if (weir_jinja_mentions(tmpl->jinja, "arguments") && !renders(tmpl, &tmpl->shape, "\"\"") &&
        renders(tmpl, &as_text, "\"\"")) {
        tmpl->shape = as_text;
    }
    tmpl->shape.takes_no_null =
        !renders(tmpl, &tmpl->shape, "null") && renders(tmpl, &tmpl->shape, "\"\"");
}

weir_status_t weir_chat_template_open(weir_str_t source, weir_str_t bos, weir_str_t eos,
                                      weir_chat_template_t **out, weir_error_t *err)
{
    weir_chat_template_t *tmpl = calloc(1, sizeof(*tmpl));
    if (tmpl == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory for a chat template");
    }
    weir_arena_init(&tmpl->arena, 256, 0);
    weir_status_t status = weir_jinja_compile(source, NULL, &tmpl->jinja, err);
    status = status != WEIR_OK ? status : copy_text(&tmpl->arena, bos, &tmpl->bos, err);
    status = status != WEIR_OK ? status : copy_text(&tmpl->arena, eos, &tmpl->eos, err);
    if (status != WEIR_OK) {
        weir_chat_template_close(tmpl);
        return status;
    }
    find_shape(tmpl);
    *out = tmpl;
    return WEIR_OK;
}

void weir_chat_template_close(weir_chat_template_t *tmpl)
{
    if (tmpl != NULL) {
        weir_jinja_free(tmpl->jinja);
        weir_arena_free(&tmpl->arena);
        free(tmpl);
    }
}

static weir_status_t take_output(const weir_jinja_output_t *from, weir_arena_t *arena,
                                 weir_prompt_t *out, weir_error_t *err)
{
    weir_text_span_t *spans = weir_arena_calloc(arena, from->n_spans, sizeof(*spans));
    if (spans == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory for a prompt");
    }
    for (size_t i = 0; i < from->n_spans; i++) {
        spans[i] = (weir_text_span_t){.start = from->spans[i].start,
                                      .end = from->spans[i].end,
                                      .trusted = from->spans[i].trusted};
    }
    *out = (weir_prompt_t){.text = from->text, .spans = spans, .n_spans = from->n_spans};
    return WEIR_OK;
}

/* A template's own complaint is about the messages that it was given. */
static weir_status_t blame_messages(weir_status_t status, weir_error_t *err)
{
    if (status == WEIR_ERR_INVALID && err->field[0] == '\0') {
        memcpy(err->field, "messages", sizeof("messages"));
    }
    return status;
}

static weir_status_t render(const weir_chat_template_t *tmpl, weir_jinja_t *in,
                            const weir_chat_request_t *req, weir_arena_t *arena, weir_prompt_t *out,
                            weir_error_t *err)
{
    weir_jinja_output_t text;
    weir_jinja_set_now(in, req->now);
    weir_status_t status = weir_chat_set_values(in, req, &tmpl->shape, err);
    status =
        status != WEIR_OK ? status : weir_jinja_set_string(in, "bos_token", tmpl->bos, true, err);
    status =
        status != WEIR_OK ? status : weir_jinja_set_string(in, "eos_token", tmpl->eos, true, err);
    status = status != WEIR_OK ? status : weir_jinja_render(in, arena, &text, err);
    return status != WEIR_OK ? blame_messages(status, err) : take_output(&text, arena, out, err);
}

weir_status_t weir_chat_render(const weir_chat_template_t *tmpl, const weir_chat_request_t *req,
                               weir_arena_t *arena, weir_prompt_t *out, weir_error_t *err)
{
    weir_jinja_t *in;
    weir_error_t ignored;
    if (err == NULL) {
        err = &ignored;
    }
    weir_status_t status = weir_jinja_begin(tmpl->jinja, NULL, &in, err);
    if (status != WEIR_OK) {
        return status;
    }
    status = render(tmpl, in, req, arena, out, err);
    weir_jinja_end(in);
    return status;
}

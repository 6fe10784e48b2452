/*
 * Renders templates: one JSON request per line on standard input, one JSON answer per line.
 *
 * {"template": T, "vars": {...}, "now": N}: T over the variables; bos_token and eos_token in vars
 * are trusted. {"template": T, "chat": {...}, "bos": B, "eos": E, "now": N}: weir_chat_render over
 * messages, tools, kwargs and add_generation_prompt of the object. {"gguf": PATH}: the model
 * file's own template as {"ok": true, "template": ..., "bos": ..., "eos": ...}.
 * Answers: {"ok": true, "text": ..., "spans": [[start, end, trusted], ...]} or
 * {"ok": false, "status": ..., "code": ..., "field": ..., "error": ...}.
 */
#include <stdio.h>
#include <stdlib.h>

#include "engine/jinja/jinja.h"
#include "engine/llm/chat.h"

typedef struct {
    weir_arena_t arena; /* of one line */
    weir_json_doc_t doc;
    weir_buf_t answer;
    weir_error_t err;
} line_t;

static weir_str_t string_of(line_t *l, uint32_t object, const char *key)
{
    weir_str_t s = WEIR_STR("");
    uint32_t node = weir_json_get(&l->doc, object, key);
    if (node != WEIR_JSON_NONE) {
        weir_json_string(&l->doc, node, &l->arena, &s);
    }
    return s;
}

static time_t now_of(const line_t *l)
{
    int64_t now = 0;
    uint32_t node = weir_json_get(&l->doc, 0, "now");
    if (node != WEIR_JSON_NONE) {
        weir_json_int64(&l->doc, node, &now);
    }
    return (time_t)now;
}

static weir_status_t set_variables(line_t *l, weir_jinja_t *in)
{
    uint32_t vars = weir_json_get(&l->doc, 0, "vars");
    uint32_t at = vars + 1;
    weir_jinja_set_now(in, now_of(l));
    for (uint32_t i = 0; vars != WEIR_JSON_NONE && i < l->doc.nodes[vars].size; i++) {
        weir_str_t name;
        uint32_t value = l->doc.nodes[at].next;
        weir_status_t status = weir_json_string(&l->doc, at, &l->arena, &name);
        char *z = weir_arena_strndup(&l->arena, name.data, name.len);
        if (weir_str_is(name, "bos_token") || weir_str_is(name, "eos_token")) {
            weir_str_t text = WEIR_STR("");
            weir_json_string(&l->doc, value, &l->arena, &text);
            status = weir_jinja_set_string(in, z, text, true, &l->err);
        } else if (status == WEIR_OK) {
            status = weir_jinja_set_json(in, z, &l->doc, value, &l->err);
        }
        if (status != WEIR_OK) {
            return status;
        }
        at = l->doc.nodes[value].next;
    }
    return WEIR_OK;
}

static weir_status_t render_vars(line_t *l, weir_prompt_t *out)
{
    weir_jinja_template_t *tmpl;
    weir_jinja_t *in;
    weir_jinja_output_t text;
    weir_status_t status = weir_jinja_compile(string_of(l, 0, "template"), NULL, &tmpl, &l->err);
    if (status != WEIR_OK) {
        return status;
    }
    status = weir_jinja_begin(tmpl, NULL, &in, &l->err);
    if (status == WEIR_OK) {
        status = set_variables(l, in);
        status = status != WEIR_OK ? status : weir_jinja_render(in, &l->arena, &text, &l->err);
        weir_jinja_end(in);
    }
    weir_jinja_free(tmpl);
    if (status == WEIR_OK) {
        weir_text_span_t *spans = weir_arena_calloc(&l->arena, text.n_spans, sizeof(*spans));
        for (size_t i = 0; i < text.n_spans; i++) {
            spans[i] =
                (weir_text_span_t){text.spans[i].start, text.spans[i].end, text.spans[i].trusted};
        }
        *out = (weir_prompt_t){text.text, spans, text.n_spans};
    }
    return status;
}

static weir_status_t render_chat(line_t *l, uint32_t chat, weir_prompt_t *out)
{
    weir_chat_template_t *tmpl;
    weir_status_t status =
        weir_chat_template_open(string_of(l, 0, "template"), string_of(l, 0, "bos"),
                                string_of(l, 0, "eos"), &tmpl, &l->err);
    if (status != WEIR_OK) {
        return status;
    }
    uint32_t prompt = weir_json_get(&l->doc, chat, "add_generation_prompt");
    weir_chat_request_t req = {.doc = &l->doc,
                               .messages = weir_json_get(&l->doc, chat, "messages"),
                               .tools = weir_json_get(&l->doc, chat, "tools"),
                               .kwargs = weir_json_get(&l->doc, chat, "kwargs"),
                               .add_generation_prompt =
                                   prompt != WEIR_JSON_NONE &&
                                   weir_json_type(&l->doc, prompt) == WEIR_JSON_TRUE,
                               .now = now_of(l)};
    status = weir_chat_render(tmpl, &req, &l->arena, out, &l->err);
    weir_chat_template_close(tmpl);
    return status;
}

static void answer_prompt(line_t *l, const weir_prompt_t *prompt)
{
    weir_buf_append_z(&l->answer, "{\"ok\": true, \"text\": ");
    weir_json_write_string(&l->answer, prompt->text);
    weir_buf_append_z(&l->answer, ", \"spans\": [");
    for (size_t i = 0; i < prompt->n_spans; i++) {
        weir_buf_printf(&l->answer, "%s[%u, %u, %s]", i == 0 ? "" : ", ", prompt->spans[i].start,
                        prompt->spans[i].end, prompt->spans[i].trusted ? "true" : "false");
    }
    weir_buf_append_z(&l->answer, "]}");
}

static void answer_error(line_t *l, weir_status_t status)
{
    const char *fields[] = {"code", l->err.code, "field", l->err.field, "error", l->err.message};
    weir_buf_printf(&l->answer, "{\"ok\": false, \"status\": \"%s\"", weir_status_name(status));
    for (int i = 0; i < 6; i += 2) {
        weir_buf_printf(&l->answer, ", \"%s\": ", fields[i]);
        weir_json_write_string(&l->answer, weir_str(fields[i + 1], strlen(fields[i + 1])));
    }
    weir_buf_append_z(&l->answer, "}");
}

static weir_status_t answer_gguf(line_t *l, weir_str_t path)
{
    weir_gguf_t *gguf;
    weir_tokenizer_t *tok;
    weir_str_t text = WEIR_STR("");
    char *z = weir_arena_strndup(&l->arena, path.data, path.len);
    weir_status_t status = weir_gguf_open(z, &gguf, &l->err);
    if (status != WEIR_OK) {
        return status;
    }
    status = weir_tokenizer_open(gguf, &tok, &l->err);
    if (status == WEIR_OK) {
        weir_gguf_str(gguf, "tokenizer.chat_template", &text);
        weir_buf_append_z(&l->answer, "{\"ok\": true, \"template\": ");
        weir_json_write_string(&l->answer, text);
        weir_buf_append_z(&l->answer, ", \"bos\": ");
        weir_json_write_string(&l->answer,
                               weir_tokenizer_token_bytes(tok, weir_tokenizer_bos(tok)));
        weir_buf_append_z(&l->answer, ", \"eos\": ");
        weir_json_write_string(&l->answer,
                               weir_tokenizer_token_bytes(tok, weir_tokenizer_eos(tok)));
        weir_buf_append_z(&l->answer, "}");
        weir_tokenizer_close(tok);
    }
    weir_gguf_close(gguf);
    return status;
}

static void answer_line(line_t *l, const char *text, size_t len)
{
    weir_prompt_t prompt = {0};
    weir_json_limits_t limits = {.max_depth = 300, .allow_duplicate_keys = true};
    weir_status_t status = weir_json_parse(text, len, &limits, &l->arena, &l->doc, &l->err);
    if (status == WEIR_OK) {
        uint32_t chat = weir_json_get(&l->doc, 0, "chat");
        uint32_t gguf = weir_json_get(&l->doc, 0, "gguf");
        if (gguf != WEIR_JSON_NONE) {
            status = answer_gguf(l, string_of(l, 0, "gguf"));
        } else {
            status =
                chat == WEIR_JSON_NONE ? render_vars(l, &prompt) : render_chat(l, chat, &prompt);
            if (status == WEIR_OK) {
                answer_prompt(l, &prompt);
            }
        }
    }
    if (status != WEIR_OK) {
        answer_error(l, status);
    }
}

int main(void)
{
    char *text = NULL;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&text, &cap, stdin)) > 0) {
        line_t l = {0};
        weir_arena_init(&l.arena, 64 * 1024, 0);
        weir_buf_init(&l.answer, &l.arena);
        answer_line(&l, text, (size_t)n);
        fwrite(l.answer.data, 1, l.answer.len, stdout);
        putchar('\n');
        fflush(stdout);
        weir_arena_free(&l.arena);
    }
    free(text);
    return 0;
}

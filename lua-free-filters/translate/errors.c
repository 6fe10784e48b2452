/* An upstream's error, of any shape, in the client's envelope. */
#include "lua-free-filters/translate/translation.h"

#include <stdio.h>

/* Anthropic's error types and the statuses that go with them. */
static const struct {
    unsigned status;
    const char *anthropic;
    const char *openai; /* type */
    const char *code;   /* where the upstream gives none */
} kinds[] = {
    {400, "invalid_request_error", "invalid_request_error", ""},
    {401, "authentication_error", "authentication_error", "invalid_api_key"},
    {402, "billing_error", "insufficient_quota", "insufficient_quota"},
    {403, "permission_error", "permission_error", "permission_denied"},
    {404, "not_found_error", "not_found_error", "not_found"},
    {409, "conflict_error", "conflict_error", "conflict"},
    {413, "request_too_large", "invalid_request_error", "request_too_large"},
    {429, "rate_limit_error", "rate_limit_error", "rate_limit_exceeded"},
    {504, "timeout_error", "server_error", "timeout"},
    {529, "overloaded_error", "server_error", "overloaded"},
    {503, "overloaded_error", "server_error", "overloaded"},
    {500, "api_error", "server_error", "server_error"},
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static size_t kind_of(unsigned status)
{
    for (size_t i = 0; i < N_KINDS; i++) {
        if (kinds[i].status == status) {
            return i;
        }
    }
    return status >= 400 && status < 500 ? 0 : N_KINDS - 1;
}

static bool truthy(const weir_json_doc_t *doc, uint32_t node)
{
    return weir_has_text(doc, node) ||
           (weir_is(doc, node, WEIR_JSON_OBJECT) && doc->nodes[node].size > 0);
}

bool weir_is_error(const weir_json_doc_t *doc, uint32_t *error)
{
    uint32_t node = weir_member(doc, 0, "error");
    if (truthy(doc, node)) {
        *error = node;
        return true;
    }
    if (weir_json_string_is(doc, weir_member(doc, 0, "object"), "error") ||
        weir_json_string_is(doc, weir_member(doc, 0, "type"), "error")) {
        *error = 0;
        return true;
    }
    return false;
}

/* A NUL-terminated copy of a string member; otherwise when there is none. */
static const char *text(const weir_json_doc_t *doc, uint32_t object, const char *key,
                        weir_arena_t *arena, const char *otherwise)
{
    weir_str_t s = {NULL, 0};
    uint32_t node = key == NULL ? object : weir_member(doc, object, key);
    if (weir_json_string(doc, node, arena, &s) != WEIR_OK || s.len == 0) {
        return otherwise;
    }
    const char *copy = weir_arena_strndup(arena, s.data, s.len);
    return copy == NULL ? otherwise : copy;
}

/* Servers say it in many ways; clients look for OpenAI's code. */
static bool is_overflow(const char *message)
{
    return strstr(message, "prompt is too long") != NULL ||
           strstr(message, "maximum context length") != NULL ||
           strstr(message, "context window") != NULL ||
           strstr(message, "exceeds the available context size") != NULL ||
           strstr(message, "context_length_exceeded") != NULL;
}

static void name_overflow(weir_upstream_error_t *out, weir_arena_t *arena)
{
    static const char code[] = "context_length_exceeded";
    if (!is_overflow(out->message)) {
        return;
    }
    out->code = code;
    if (strstr(out->message, code) == NULL) {
        size_t n = strlen(out->message) + sizeof(code) + 3;
        char *message = weir_arena_alloc(arena, n);
        if (message != NULL) {
            snprintf(message, n, "%s: %s", code, out->message);
            out->message = message;
        }
    }
}

void weir_read_error(const weir_json_doc_t *doc, uint32_t node, unsigned status,
                     weir_arena_t *arena, weir_upstream_error_t *out)
{
    *out = (weir_upstream_error_t){"", "", "the upstream answered with an error", {NULL, 0}};
    if (weir_is(doc, node, WEIR_JSON_STRING)) {
        out->message = text(doc, node, NULL, arena, out->message);
    } else {
        out->type = text(doc, node, "type", arena, "");
        out->code = text(doc, node, "code", arena,
                         text(doc, weir_member(doc, node, "details"), "error_code", arena, ""));
        out->message =
            text(doc, node, "message", arena, text(doc, node, "detail", arena, out->message));
        uint32_t param = weir_member(doc, node, "param");
        if (weir_has_text(doc, param)) {
            out->param_raw = weir_json_raw(doc, param);
        }
    }
    if (strcmp(out->type, "error") == 0) {
        out->type = "";
    }
    if (status < 500) {
        name_overflow(out, arena);
    }
}

unsigned weir_error_status_of(const weir_upstream_error_t *error)
{
    for (size_t i = 0; i < N_KINDS; i++) {
        if (strcmp(kinds[i].anthropic, error->type) == 0) {
            return kinds[i].status;
        }
    }
    if (strcmp(error->code, "rate_limit_exceeded") == 0) {
        return 429;
    }
    return strcmp(error->code, "context_length_exceeded") == 0 ? 400 : 500;
}

void weir_write_error(weir_protocol_t client, unsigned status, const weir_upstream_error_t *error,
                      const char *request_id, weir_buf_t *out)
{
    size_t kind = kind_of(status);
    weir_str_t message = weir_str(error->message, strlen(error->message));
    const char *code = error->code[0] != '\0' ? error->code : kinds[kind].code;
    if (client == WEIR_PROTOCOL_MESSAGES) {
        const char *named = code[0] != '\0' ? code : "upstream_error";
        jo_open(out, '{');
        jo_kz(out, "type", "\"error\"");
        jo_kopen(out, "error", '{');
        jo_kstring(out, "type", weir_str(kinds[kind].anthropic, strlen(kinds[kind].anthropic)));
        jo_kstring(out, "message", message);
        jo_kopen(out, "details", '{');
        jo_kstring(out, "error_code", weir_str(named, strlen(named)));
        jo_close(out, '}');
        jo_close(out, '}');
        if (request_id != NULL) {
            jo_kstring(out, "request_id", weir_str(request_id, strlen(request_id)));
        }
        jo_close(out, '}');
        return;
    }
    jo_open(out, '{');
    jo_kopen(out, "error", '{');
    jo_kstring(out, "message", message);
    jo_kstring(out, "type", weir_str(kinds[kind].openai, strlen(kinds[kind].openai)));
    jo_kraw(out, "param", error->param_raw.len > 0 ? error->param_raw : WEIR_STR("null"));
    if (code[0] != '\0') {
        jo_kstring(out, "code", weir_str(code, strlen(code)));
    } else {
        jo_kz(out, "code", "null");
    }
    jo_close(out, '}');
    jo_close(out, '}');
}

unsigned weir_client_status(weir_protocol_t client, unsigned status)
{
    return status == 529 && client != WEIR_PROTOCOL_MESSAGES ? 503 : status;
}

unsigned weir_translate_error(weir_protocol_t client, unsigned status, weir_str_t body,
                              const char *request_id, weir_arena_t *arena, weir_buf_t *out)
{
    weir_json_doc_t doc;
    weir_json_limits_t limits = {.allow_duplicate_keys = true};
    weir_upstream_error_t error = {"", "", "the upstream answered with an error", {NULL, 0}};
    char plain[80];
    uint32_t node = 0;
    if (status < 400 || status > 599) {
        status = 502;
    }
    if (weir_json_parse(body.data, body.len, &limits, arena, &doc, NULL) == WEIR_OK &&
        (weir_is_error(&doc, &node) || weir_is(&doc, 0, WEIR_JSON_OBJECT))) {
        weir_read_error(&doc, node, status, arena, &error);
    } else {
        /* Pages of proxies in between tell nothing that a client could use. */
        snprintf(plain, sizeof(plain), "the upstream answered with status %u", status);
        error.message = plain;
    }
    weir_write_error(client, status, &error, request_id, out);
    return weir_client_status(client, status);
}

weir_status_t weir_stop_with_error(weir_translation_t *tr, const weir_json_doc_t *doc,
                                   uint32_t error, weir_sink_t *sink)
{
    weir_upstream_error_t e;
    weir_read_error(doc, error, 400, tr->arena, &e);
    unsigned status = weir_error_status_of(&e);
    size_t kind = kind_of(status);
    weir_stop_t stop = {.reason = WEIR_STOP_ERROR,
                        .status = status,
                        .type = kinds[kind].openai,
                        .code = e.code[0] != '\0' ? e.code : kinds[kind].code,
                        .message = e.message};
    if (stop.code[0] == '\0') {
        stop.code = NULL;
    }
    weir_sink_stop(sink, &stop);
    return WEIR_OK;
}

void weir_stop_with(weir_sink_t *sink, const char *message)
{
    weir_stop_t stop = {.reason = WEIR_STOP_ERROR,
                        .status = 502,
                        .type = "server_error",
                        .code = "upstream_error",
                        .message = message};
    weir_sink_stop(sink, &stop);
}

typedef struct {
    weir_protocol_t client;
    unsigned status;
    const char *request_id;
} error_filter_t;

/* Anthropic's has a type beside the error. */
static bool has_shape(weir_protocol_t client, const weir_json_doc_t *doc)
{
    bool anthropic = weir_json_string_is(doc, weir_member(doc, 0, "type"), "error");

    return weir_is(doc, weir_member(doc, 0, "error"), WEIR_JSON_OBJECT) &&
           anthropic == (client == WEIR_PROTOCOL_MESSAGES);
}

static weir_status_t error_feed(void *self, weir_item_t *item, weir_sink_t *sink)
{
    const error_filter_t *f = self;
    const weir_json_doc_t *doc;
    uint32_t error;
    weir_buf_t out;

    if (item->kind != WEIR_ITEM_DOCUMENT || (doc = weir_item_json(sink, item)) == NULL ||
        has_shape(f->client, doc) || !weir_is_error(doc, &error)) {
        return weir_sink_pass(sink, item);
    }
    weir_buf_init(&out, weir_sink_arena(sink));
    weir_translate_error(f->client, f->status, item->data, f->request_id, weir_sink_arena(sink),
                         &out);
    if (out.failed) {
        return WEIR_ERR_NOMEM;
    }
    weir_item_replace(item, weir_str(out.data, out.len));
    return weir_sink_pass(sink, item);
}

weir_status_t weir_error_filter(weir_protocol_t client, unsigned status, const char *request_id,
                                weir_arena_t *arena, weir_filter_t *out)
{
    static const weir_filter_table_t table = {.name = "error", .feed = error_feed};
    error_filter_t *f = weir_arena_alloc(arena, sizeof(*f));

    if (f == NULL) {
        return WEIR_ERR_NOMEM;
    }
    *f = (error_filter_t){client, status, request_id};
    *out = (weir_filter_t){&table, f};
    return WEIR_OK;
}

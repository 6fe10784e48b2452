/* A request of chat completions as one of Anthropic's messages API: the messages. */
#include "lua-free-filters/translate/chat_to_messages.h"

/* Anthropic's turns: the one that is being written. */
typedef struct {
    const weir_tctx_t *c;
    enum { TURN_NONE, TURN_USER, TURN_ASSISTANT } turn;
    size_t start; /* of the open message in out */
    uint32_t blocks;
    uint32_t messages;
} turns_t;

static void turn_close(turns_t *t)
{
    weir_buf_t *out = t->c->out;
    if (t->turn == TURN_NONE) {
        return;
    }
    if (t->blocks == 0) {
        jo_rewind(out, t->start);
        weir_loss(t->c->tr, "messages.*", "content");
    } else {
        jo_close(out, ']');
        jo_close(out, '}');
        t->messages++;
    }
    t->turn = TURN_NONE;
}

static void turn_open(turns_t *t, bool user)
{
    weir_buf_t *out = t->c->out;
    if (user && t->turn == TURN_USER) {
        return;
    }
    turn_close(t);
    t->turn = user ? TURN_USER : TURN_ASSISTANT;
    t->start = out->len;
    t->blocks = 0;
    jo_open(out, '{');
    jo_kz(out, "role", user ? "\"user\"" : "\"assistant\"");
    jo_kopen(out, "content", '[');
}

static bool text_block(const weir_tctx_t *c, uint32_t text)
{
    if (!weir_has_text(c->doc, text)) {
        return false;
    }
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"text\"");
    jo_kraw(c->out, "text", weir_json_raw(c->doc, text));
    jo_close(c->out, '}');
    return true;
}

static weir_status_t image_block(const weir_tctx_t *c, uint32_t part, const weir_tpath_t *at)
{
    uint32_t image;
    uint32_t url;
    weir_status_t s = weir_check_members(c, part, &weir_c_image, at);
    if (s != WEIR_OK ||
        (s = weir_need(c, part, "image_url", WEIR_JSON_OBJECT, at, &image)) != WEIR_OK) {
        return s;
    }
    weir_tpath_t here = {at, "image_url", -1};
    s = weir_check_members(c, image, &weir_c_image_url, &here);
    if (s != WEIR_OK ||
        (s = weir_need(c, image, "url", WEIR_JSON_STRING, &here, &url)) != WEIR_OK) {
        return s;
    }
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"image\"");
    jo_key(c->out, "source");
    if (!weir_write_source(c->out, weir_text_of(c, url))) {
        return weir_refuse(c, &here, "url", "must be a data: URL in base64 or an http(s): address");
    }
    jo_close(c->out, '}');
    return WEIR_OK;
}

static weir_status_t file_block(const weir_tctx_t *c, uint32_t part, const weir_tpath_t *at)
{
    static const char pdf[] = "data:application/pdf;base64,";
    uint32_t file;
    uint32_t data;
    weir_status_t s = weir_check_members(c, part, &weir_c_file_part, at);
    if (s != WEIR_OK || (s = weir_need(c, part, "file", WEIR_JSON_OBJECT, at, &file)) != WEIR_OK) {
        return s;
    }
    weir_tpath_t here = {at, "file", -1};
    s = weir_check_members(c, file, &weir_c_file, &here);
    if (s != WEIR_OK ||
        (s = weir_need(c, file, "file_data", WEIR_JSON_STRING, &here, &data)) != WEIR_OK) {
        return s;
    }
    weir_str_t inner = weir_text_of(c, data);
    if (inner.len < sizeof(pdf) || memcmp(inner.data, pdf, sizeof(pdf) - 1) != 0) {
        return weir_refuse(c, &here, "file_data",
                           "must be \"data:application/pdf;base64,...\": Anthropic reads PDF only");
    }
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"document\"");
    jo_kopen(c->out, "source", '{');
    jo_kz(c->out, "type", "\"base64\"");
    jo_kz(c->out, "media_type", "\"application/pdf\"");
    jo_kstring(c->out, "data",
               weir_str(inner.data + sizeof(pdf) - 1, inner.len - (sizeof(pdf) - 1)));
    jo_close(c->out, '}');
    weir_copy_as(c, file, "filename", "title");
    jo_close(c->out, '}');
    return WEIR_OK;
}

/* One content part as a block; *n grows by what was written. */
static weir_status_t part_block(const weir_tctx_t *c, uint32_t part, const weir_tpath_t *at,
                                uint32_t *n)
{
    weir_status_t s;
    uint32_t text;
    uint32_t type = weir_member(c->doc, part, "type");
    if (weir_kind_of(c, type, &weir_c_content, at, &s) == NULL) {
        return s;
    }
    if (weir_json_string_is(c->doc, type, "text")) {
        s = weir_check_members(c, part, &weir_c_text, at);
        if (s == WEIR_OK &&
            (s = weir_need(c, part, "text", WEIR_JSON_STRING, at, &text)) == WEIR_OK) {
            *n += text_block(c, text);
        }
        return s;
    }
    if (weir_json_string_is(c->doc, type, "refusal")) {
        s = weir_need(c, part, "refusal", WEIR_JSON_STRING, at, &text);
        *n += s == WEIR_OK && text_block(c, text);
        return s;
    }
    ++*n;
    return weir_json_string_is(c->doc, type, "file") ? file_block(c, part, at)
                                                     : image_block(c, part, at);
}

/* content: a string or parts. */
static weir_status_t content_blocks(const weir_tctx_t *c, uint32_t content, const weir_tpath_t *at,
                                    uint32_t *n)
{
    if (content == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    if (weir_is(c->doc, content, WEIR_JSON_STRING)) {
        *n += text_block(c, content);
        return WEIR_OK;
    }
    if (!weir_is(c->doc, content, WEIR_JSON_ARRAY)) {
        return weir_malformed(c, at, "content", "must be a string or an array of parts");
    }
    uint32_t part = content + 1;
    for (uint32_t i = 0; i < c->doc->nodes[content].size; i++) {
        weir_tpath_t here = {at, "content", i};
        weir_status_t s = part_block(c, part, &here, n);
        if (s != WEIR_OK) {
            return s;
        }
        part = c->doc->nodes[part].next;
    }
    return WEIR_OK;
}

static weir_status_t tool_use_block(const weir_tctx_t *c, uint32_t call, const weir_tpath_t *at)
{
    uint32_t id;
    uint32_t function;
    uint32_t name;
    weir_status_t s;
    weir_str_t input;
    uint32_t type = weir_member(c->doc, call, "type");
    if (type != WEIR_JSON_NONE && weir_kind_of(c, type, &weir_c_tool_calls, at, &s) == NULL) {
        return s;
    }
    weir_tpath_t here = {at, "function", -1};
    if ((s = weir_check_members(c, call, &weir_c_tool_call, at)) != WEIR_OK ||
        (s = weir_need(c, call, "id", WEIR_JSON_STRING, at, &id)) != WEIR_OK ||
        (s = weir_need(c, call, "function", WEIR_JSON_OBJECT, at, &function)) != WEIR_OK ||
        (s = weir_need(c, function, "name", WEIR_JSON_STRING, &here, &name)) != WEIR_OK ||
        (s = weir_check_members(c, function, &weir_c_call_function, &here)) != WEIR_OK) {
        return s;
    }
    uint32_t arguments = weir_member(c->doc, function, "arguments");
    if (!weir_arguments_object(c, weir_text_of(c, arguments), &input)) {
        return weir_malformed(c, &here, "arguments",
                              "must be the text of a JSON object: the upstream takes objects only");
    }
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"tool_use\"");
    jo_kraw(c->out, "id", weir_json_raw(c->doc, id));
    jo_kraw(c->out, "name", weir_json_raw(c->doc, name));
    jo_kraw(c->out, "input", input);
    jo_close(c->out, '}');
    return WEIR_OK;
}

static bool thinking_block(const weir_tctx_t *c, uint32_t block)
{
    uint32_t signature = weir_member(c->doc, block, "signature");
    uint32_t thinking = weir_member(c->doc, block, "thinking");
    uint32_t data = weir_member(c->doc, block, "data");
    bool redacted =
        weir_json_string_is(c->doc, weir_member(c->doc, block, "type"), "redacted_thinking");
    if (redacted
            ? !weir_has_text(c->doc, data)
            : !weir_has_text(c->doc, signature) || !weir_is(c->doc, thinking, WEIR_JSON_STRING)) {
        return false;
    }
    jo_open(c->out, '{');
    jo_kz(c->out, "type", redacted ? "\"redacted_thinking\"" : "\"thinking\"");
    if (redacted) {
        jo_kraw(c->out, "data", weir_json_raw(c->doc, data));
    } else {
        jo_kraw(c->out, "thinking", weir_json_raw(c->doc, thinking));
        jo_kraw(c->out, "signature", weir_json_raw(c->doc, signature));
    }
    jo_close(c->out, '}');
    return true;
}

static void thinking_blocks(const weir_tctx_t *c, uint32_t message, uint32_t *n)
{
    uint32_t blocks = weir_member(c->doc, message, "thinking_blocks");
    if (!weir_is(c->doc, blocks, WEIR_JSON_ARRAY)) {
        return;
    }
    uint32_t block = blocks + 1;
    for (uint32_t i = 0; i < c->doc->nodes[blocks].size; i++) {
        if (thinking_block(c, block)) {
            ++*n;
        } else {
            weir_loss(c->tr, "messages.assistant", "thinking_blocks");
        }
        block = c->doc->nodes[block].next;
    }
}

static weir_status_t assistant_message(turns_t *t, uint32_t message, const weir_tpath_t *at)
{
    const weir_tctx_t *c = t->c;
    weir_status_t s = weir_check_members(c, message, &weir_c_assistant, at);
    if (s != WEIR_OK) {
        return s;
    }
    turn_open(t, false);
    thinking_blocks(c, message, &t->blocks);
    s = content_blocks(c, weir_member(c->doc, message, "content"), at, &t->blocks);
    t->blocks += s == WEIR_OK && text_block(c, weir_member(c->doc, message, "refusal"));
    uint32_t calls = weir_member(c->doc, message, "tool_calls");
    if (s != WEIR_OK || calls == WEIR_JSON_NONE) {
        return s;
    }
    if (!weir_is(c->doc, calls, WEIR_JSON_ARRAY)) {
        return weir_malformed(c, at, "tool_calls", "must be an array");
    }
    uint32_t call = calls + 1;
    for (uint32_t i = 0; i < c->doc->nodes[calls].size; i++) {
        weir_tpath_t here = {at, "tool_calls", i};
        if ((s = tool_use_block(c, call, &here)) != WEIR_OK) {
            return s;
        }
        t->blocks++;
        call = c->doc->nodes[call].next;
    }
    return WEIR_OK;
}

static weir_status_t tool_message(turns_t *t, uint32_t message, const weir_tpath_t *at)
{
    const weir_tctx_t *c = t->c;
    uint32_t id;
    uint32_t n = 0;
    weir_status_t s = weir_check_members(c, message, &weir_c_tool_message, at);
    if (s != WEIR_OK ||
        (s = weir_need(c, message, "tool_call_id", WEIR_JSON_STRING, at, &id)) != WEIR_OK) {
        return s;
    }
    uint32_t content = weir_member(c->doc, message, "content");
    turn_open(t, true);
    t->blocks++;
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"tool_result\"");
    jo_kraw(c->out, "tool_use_id", weir_json_raw(c->doc, id));
    if (weir_is(c->doc, content, WEIR_JSON_STRING)) {
        jo_kraw(c->out, "content", weir_json_raw(c->doc, content));
    } else {
        jo_kopen(c->out, "content", '[');
        s = content_blocks(c, content, at, &n);
        jo_close(c->out, ']');
    }
    jo_close(c->out, '}');
    return s;
}

static bool is_system(const weir_tctx_t *c, uint32_t message)
{
    uint32_t role = weir_member(c->doc, message, "role");
    return weir_json_string_is(c->doc, role, "system") ||
           weir_json_string_is(c->doc, role, "developer");
}

static weir_status_t message(turns_t *t, uint32_t node, const weir_tpath_t *at)
{
    const weir_tctx_t *c = t->c;
    weir_status_t s;
    uint32_t role = weir_member(c->doc, node, "role");
    if (weir_kind_of(c, role, &weir_c_messages, at, &s) == NULL || is_system(c, node)) {
        return s;
    }
    if (weir_json_string_is(c->doc, role, "assistant")) {
        return assistant_message(t, node, at);
    }
    if (weir_json_string_is(c->doc, role, "tool")) {
        return tool_message(t, node, at);
    }
    s = weir_check_members(c, node, &weir_c_message, at);
    if (s == WEIR_OK && weir_member(c->doc, node, "content") == WEIR_JSON_NONE) {
        s = weir_malformed(c, at, "content", "is missing");
    }
    turn_open(t, true);
    return s != WEIR_OK ? s
                        : content_blocks(c, weir_member(c->doc, node, "content"), at, &t->blocks);
}

/* What asks for JSON where Anthropic has no switch for it. */
static bool wants_json_object(const weir_tctx_t *c)
{
    uint32_t format = weir_member(c->doc, 0, "response_format");
    return weir_json_string_is(c->doc, weir_member(c->doc, format, "type"), "json_object");
}

/* The top-level system, of all system messages but the one at index except (-1: none). */
static weir_status_t write_system(const weir_tctx_t *c, uint32_t list, int64_t except)
{
    uint32_t n = 0;
    size_t start = c->out->len;
    jo_kopen(c->out, "system", '[');
    uint32_t node = list + 1;
    bool behind = false; /* a message of another role came before */
    for (uint32_t i = 0; i < c->doc->nodes[list].size; i++) {
        weir_tpath_t here = {NULL, "messages", i};
        if (is_system(c, node) && i != except) {
            weir_status_t s = weir_check_members(c, node, &weir_c_message, &here);
            s = s != WEIR_OK ? s
                             : content_blocks(c, weir_member(c->doc, node, "content"), &here, &n);
            if (s != WEIR_OK) {
                return s;
            }
            if (behind) {
                weir_loss(c->tr, "messages", "system");
            }
        }
        behind = behind || !is_system(c, node);
        node = c->doc->nodes[node].next;
    }
    if (wants_json_object(c)) {
        weir_loss(c->tr, "response_format", "json_object");
        jo_z(c->out, "{\"type\":\"text\",\"text\":\"Answer with one JSON object and nothing "
                     "else.\"}");
        n++;
    }
    jo_close(c->out, ']');
    if (n == 0) {
        jo_rewind(c->out, start);
    }
    return WEIR_OK;
}

/* The last message when all are system messages, else -1. */
static int64_t only_system(const weir_tctx_t *c, uint32_t list)
{
    uint32_t node = list + 1;
    uint32_t n = c->doc->nodes[list].size;
    for (uint32_t i = 0; i < n; i++) {
        if (!is_system(c, node)) {
            return -1;
        }
        node = c->doc->nodes[node].next;
    }
    return (int64_t)n - 1;
}

static weir_status_t write_messages(const weir_tctx_t *c)
{
    uint32_t list;
    weir_status_t s = weir_need(c, 0, "messages", WEIR_JSON_ARRAY, NULL, &list);
    if (s != WEIR_OK) {
        return s;
    }
    int64_t last = only_system(c, list);
    turns_t turns = {.c = c, .turn = TURN_NONE};
    if ((s = write_system(c, list, last)) != WEIR_OK) {
        return s;
    }
    jo_kopen(c->out, "messages", '[');
    uint32_t node = list + 1;
    for (uint32_t i = 0; s == WEIR_OK && i < c->doc->nodes[list].size; i++) {
        weir_tpath_t here = {NULL, "messages", i};
        if (i == last) {
            weir_loss(c->tr, "messages", "system");
            turn_open(&turns, true);
            s = content_blocks(c, weir_member(c->doc, node, "content"), &here, &turns.blocks);
        } else {
            s = message(&turns, node, &here);
        }
        node = c->doc->nodes[node].next;
    }
    if (s == WEIR_OK) {
        turn_close(&turns);
    }
    jo_close(c->out, ']');
    return s;
}

weir_status_t weir_chat_to_messages(weir_tctx_t *c)
{
    weir_status_t s = weir_check_members(c, 0, &weir_c_request, NULL);
    if (s != WEIR_OK) {
        return s;
    }
    jo_open(c->out, '{');
    jo_kraw(c->out, "model", c->tr->model_raw);
    if ((s = write_messages(c)) != WEIR_OK || (s = weir_chat_tools(c)) != WEIR_OK ||
        (s = weir_chat_options(c)) != WEIR_OK) {
        return s;
    }
    jo_close(c->out, '}');
    return WEIR_OK;
}

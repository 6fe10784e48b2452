/* A request of Anthropic's messages API as one of chat completions. */
#include "lua-free-filters/translate/messages_to_chat.h"

/* Appends the inside of a string node to the string that is being written. */
static void inside(const weir_tctx_t *c, uint32_t node)
{
    if (weir_is(c->doc, node, WEIR_JSON_STRING)) {
        weir_buf_append_str(c->out, jo_inner(c->doc, node));
    }
}

static void text_part(const weir_tctx_t *c, uint32_t text)
{
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"text\"");
    jo_kraw(c->out, "text", weir_json_raw(c->doc, text));
    jo_close(c->out, '}');
}

static weir_status_t image_part(const weir_tctx_t *c, uint32_t block, const weir_tpath_t *at)
{
    uint32_t source;
    weir_status_t s = weir_need(c, block, "source", WEIR_JSON_OBJECT, at, &source);
    if (s != WEIR_OK) {
        return s;
    }
    uint32_t type = weir_member(c->doc, source, "type");
    weir_tpath_t here = {at, "source", -1};
    if (weir_kind_of(c, type, &weir_m_image_source, &here, &s) == NULL) {
        return s;
    }
    bool is_url = weir_json_string_is(c->doc, type, "url");
    uint32_t media = WEIR_JSON_NONE;
    uint32_t data;
    s = weir_need(c, source, is_url ? "url" : "data", WEIR_JSON_STRING, &here, &data);
    if (s == WEIR_OK && !is_url) {
        s = weir_need(c, source, "media_type", WEIR_JSON_STRING, &here, &media);
    }
    if (s != WEIR_OK) {
        return s;
    }
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"image_url\"");
    jo_kopen(c->out, "image_url", '{');
    jo_key(c->out, "url");
    jo_begin_string(c->out);
    if (!is_url) {
        weir_buf_append_z(c->out, "data:");
        inside(c, media);
        weir_buf_append_z(c->out, ";base64,");
    }
    inside(c, data);
    jo_end_string(c->out);
    jo_close(c->out, '}');
    jo_close(c->out, '}');
    return WEIR_OK;
}

/* Where parts go: what the caller needs to know about them. */
typedef struct {
    uint32_t n;
    uint32_t first_text; /* the string node, when the first part is a text; else NONE */
    bool other;          /* not just texts */
} parts_t;

static weir_status_t write_parts(const weir_tctx_t *c, uint32_t list, const weir_tpath_t *at,
                                 bool images, parts_t *parts);

static void pdf_part(const weir_tctx_t *c, uint32_t data, uint32_t media, uint32_t title)
{
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"file\"");
    jo_kopen(c->out, "file", '{');
    jo_kraw(c->out, "filename",
            weir_has_text(c->doc, title) ? weir_json_raw(c->doc, title)
                                         : WEIR_STR("\"document.pdf\""));
    jo_key(c->out, "file_data");
    jo_begin_string(c->out);
    weir_buf_append_z(c->out, "data:");
    inside(c, media);
    weir_buf_append_z(c->out, ";base64,");
    inside(c, data);
    jo_end_string(c->out);
    jo_close(c->out, '}');
    jo_close(c->out, '}');
}

static weir_status_t document_source(const weir_tctx_t *c, uint32_t source, uint32_t title,
                                     const weir_tpath_t *at, parts_t *parts)
{
    uint32_t data;
    if (weir_json_string_is(c->doc, weir_member(c->doc, source, "type"), "content")) {
        uint32_t content = weir_member(c->doc, source, "content");
        weir_tpath_t here = {at, "content", -1};
        if (weir_is(c->doc, content, WEIR_JSON_STRING)) {
            text_part(c, content);
            parts->n++;
            return WEIR_OK;
        }
        return write_parts(c, content, &here, true, parts);
    }
    weir_status_t s = weir_need(c, source, "data", WEIR_JSON_STRING, at, &data);
    if (s != WEIR_OK) {
        return s;
    }
    if (weir_json_string_is(c->doc, weir_member(c->doc, source, "type"), "text")) {
        text_part(c, data);
    } else {
        uint32_t media;
        s = weir_need(c, source, "media_type", WEIR_JSON_STRING, at, &media);
        if (s != WEIR_OK) {
            return s;
        }
        pdf_part(c, data, media, title);
        parts->other = true;
    }
    parts->n++;
    return WEIR_OK;
}

static weir_status_t document_parts(const weir_tctx_t *c, uint32_t block, const weir_tpath_t *at,
                                    parts_t *parts)
{
    uint32_t source;
    weir_status_t s = weir_need(c, block, "source", WEIR_JSON_OBJECT, at, &source);
    if (s != WEIR_OK) {
        return s;
    }
    weir_tpath_t here = {at, "source", -1};
    uint32_t type = weir_member(c->doc, source, "type");
    if (weir_kind_of(c, type, &weir_m_document_source, &here, &s) == NULL) {
        return s;
    }
    weir_loss(c->tr, "content", "document");
    uint32_t title = weir_member(c->doc, block, "title");
    uint32_t context = weir_member(c->doc, block, "context");
    bool pdf = weir_json_string_is(c->doc, type, "base64");
    if (weir_has_text(c->doc, title) && !pdf) {
        text_part(c, title);
        parts->n++;
    }
    if (weir_has_text(c->doc, context)) {
        text_part(c, context);
        parts->n++;
    }
    parts->other = parts->other || parts->n > 0;
    return document_source(c, source, title, &here, parts);
}

/* Title, source and texts of a search result, as one text. */
static weir_status_t search_result_part(const weir_tctx_t *c, uint32_t block,
                                        const weir_tpath_t *at)
{
    uint32_t content;
    weir_status_t s = weir_need(c, block, "content", WEIR_JSON_ARRAY, at, &content);
    if (s != WEIR_OK) {
        return s;
    }
    weir_loss(c->tr, "content", "search_result");
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"text\"");
    jo_key(c->out, "text");
    jo_begin_string(c->out);
    inside(c, weir_member(c->doc, block, "title"));
    weir_buf_append_z(c->out, "\\n");
    inside(c, weir_member(c->doc, block, "source"));
    uint32_t at_node = content + 1;
    for (uint32_t i = 0; i < c->doc->nodes[content].size; i++) {
        weir_buf_append_z(c->out, "\\n");
        inside(c, weir_member(c->doc, at_node, "text"));
        at_node = c->doc->nodes[at_node].next;
    }
    jo_end_string(c->out);
    jo_close(c->out, '}');
    return WEIR_OK;
}

/* One block as a part. Tool results, tool calls and thinking are the caller's. */
static weir_status_t write_part(const weir_tctx_t *c, uint32_t block, const weir_tpath_t *at,
                                bool images, parts_t *parts)
{
    weir_status_t s;
    uint32_t type = weir_member(c->doc, block, "type");
    if (weir_kind_of(c, type, &weir_m_content, at, &s) == NULL) {
        return s;
    }
    if (weir_json_string_is(c->doc, type, "text")) {
        uint32_t text;
        s = weir_need(c, block, "text", WEIR_JSON_STRING, at, &text);
        if (s == WEIR_OK) {
            s = weir_check_members(c, block, &weir_m_text, at);
        }
        if (s == WEIR_OK) {
            text_part(c, text);
            parts->first_text = parts->n++ == 0 ? text : parts->first_text;
        }
        return s;
    }
    parts->other = true;
    if (weir_json_string_is(c->doc, type, "image")) {
        s = weir_check_members(c, block, &weir_m_image, at);
        if (s == WEIR_OK && images) {
            parts->n++;
            s = image_part(c, block, at);
        }
        return s;
    }
    if (weir_json_string_is(c->doc, type, "document")) {
        s = weir_check_members(c, block, &weir_m_document, at);
        return s == WEIR_OK ? document_parts(c, block, at, parts) : s;
    }
    if (weir_json_string_is(c->doc, type, "search_result")) {
        s = weir_check_members(c, block, &weir_m_search_result, at);
        parts->n++;
        return s == WEIR_OK ? search_result_part(c, block, at) : s;
    }
    return weir_malformed(c, at, NULL, "a block of this type cannot stand here");
}

static weir_status_t write_parts(const weir_tctx_t *c, uint32_t list, const weir_tpath_t *at,
                                 bool images, parts_t *parts)
{
    if (!weir_is(c->doc, list, WEIR_JSON_ARRAY)) {
        return weir_malformed(c, at, NULL, "must be a string or an array of blocks");
    }
    uint32_t block = list + 1;
    for (uint32_t i = 0; i < c->doc->nodes[list].size; i++) {
        weir_tpath_t here = {at->up, at->name, i};
        weir_status_t s = write_part(c, block, &here, images, parts);
        if (s != WEIR_OK) {
            return s;
        }
        block = c->doc->nodes[block].next;
    }
    return WEIR_OK;
}

static bool is_block(const weir_tctx_t *c, uint32_t block, const char *type)
{
    return weir_json_string_is(c->doc, weir_member(c->doc, block, "type"), type);
}

/* The value of a tool message's content: the texts of a result, joined by line breaks. */
static weir_status_t result_text(const weir_tctx_t *c, uint32_t content, bool is_error,
                                 const weir_tpath_t *at)
{
    jo_begin_string(c->out);
    if (is_error) {
        weir_buf_append_z(c->out, "Error: ");
    }
    if (weir_is(c->doc, content, WEIR_JSON_STRING)) {
        inside(c, content);
    } else if (weir_is(c->doc, content, WEIR_JSON_ARRAY)) {
        uint32_t block = content + 1;
        bool first = true;
        for (uint32_t i = 0; i < c->doc->nodes[content].size; i++) {
            weir_tpath_t here = {at, "content", i};
            weir_status_t s;
            uint32_t type = weir_member(c->doc, block, "type");
            if (weir_kind_of(c, type, &weir_m_content, &here, &s) == NULL && s != WEIR_OK) {
                return s;
            }
            if (is_block(c, block, "text")) {
                weir_buf_append_z(c->out, first ? "" : "\\n");
                inside(c, weir_member(c->doc, block, "text"));
                first = false;
            }
            block = c->doc->nodes[block].next;
        }
    } else if (content != WEIR_JSON_NONE) {
        return weir_malformed(c, at, "content", "must be a string or an array of blocks");
    }
    jo_end_string(c->out);
    return WEIR_OK;
}

static weir_status_t tool_message(const weir_tctx_t *c, uint32_t block, const weir_tpath_t *at)
{
    uint32_t id;
    weir_status_t s = weir_need(c, block, "tool_use_id", WEIR_JSON_STRING, at, &id);
    if (s == WEIR_OK) {
        s = weir_check_members(c, block, &weir_m_tool_result, at);
    }
    if (s != WEIR_OK) {
        return s;
    }
    bool is_error = weir_is_true(c->doc, weir_member(c->doc, block, "is_error"));
    if (is_error) {
        weir_loss(c->tr, "content.tool_result", "is_error");
    }
    jo_open(c->out, '{');
    jo_kz(c->out, "role", "\"tool\"");
    jo_kraw(c->out, "tool_call_id", weir_json_raw(c->doc, id));
    jo_key(c->out, "content");
    s = result_text(c, weir_member(c->doc, block, "content"), is_error, at);
    jo_close(c->out, '}');
    return s;
}

/* What a tool message cannot hold goes into the user message behind it: images and documents. */
static weir_status_t result_extras(const weir_tctx_t *c, uint32_t result, const weir_tpath_t *at,
                                   parts_t *parts)
{
    uint32_t content = weir_member(c->doc, result, "content");
    if (!weir_is(c->doc, content, WEIR_JSON_ARRAY)) {
        return WEIR_OK;
    }
    uint32_t block = content + 1;
    bool said = false;
    for (uint32_t i = 0; i < c->doc->nodes[content].size; i++) {
        weir_tpath_t here = {at, "content", i};
        if (is_block(c, block, "image") || is_block(c, block, "document") ||
            is_block(c, block, "search_result")) {
            if (!said) {
                weir_loss(c->tr, "content.tool_result", "content");
                jo_open(c->out, '{');
                jo_kz(c->out, "type", "\"text\"");
                jo_key(c->out, "text");
                jo_begin_string(c->out);
                weir_buf_append_z(c->out, "From the result of tool call ");
                inside(c, weir_member(c->doc, result, "tool_use_id"));
                weir_buf_append_z(c->out, ":");
                jo_end_string(c->out);
                jo_close(c->out, '}');
                parts->n++;
                said = true;
            }
            weir_status_t s = write_part(c, block, &here, true, parts);
            if (s != WEIR_OK) {
                return s;
            }
        }
        block = c->doc->nodes[block].next;
    }
    return WEIR_OK;
}

static weir_status_t tool_messages(const weir_tctx_t *c, uint32_t content, const weir_tpath_t *at)
{
    uint32_t block = content + 1;
    for (uint32_t i = 0; i < c->doc->nodes[content].size; i++) {
        weir_tpath_t here = {at, "content", i};
        if (is_block(c, block, "tool_result")) {
            weir_status_t s = tool_message(c, block, &here);
            if (s != WEIR_OK) {
                return s;
            }
        }
        block = c->doc->nodes[block].next;
    }
    return WEIR_OK;
}

static weir_status_t user_parts(const weir_tctx_t *c, uint32_t content, const weir_tpath_t *at,
                                parts_t *parts)
{
    uint32_t block = content + 1;
    for (uint32_t i = 0; i < c->doc->nodes[content].size; i++) {
        weir_tpath_t here = {at, "content", i};
        weir_status_t s = is_block(c, block, "tool_result")
                              ? result_extras(c, block, &here, parts)
                              : write_part(c, block, &here, true, parts);
        if (s != WEIR_OK) {
            return s;
        }
        block = c->doc->nodes[block].next;
    }
    return WEIR_OK;
}

static weir_status_t user_message(const weir_tctx_t *c, uint32_t content, const weir_tpath_t *at)
{
    weir_buf_t *out = c->out;
    parts_t parts = {0, WEIR_JSON_NONE, false};
    if (weir_is(c->doc, content, WEIR_JSON_STRING)) {
        jo_open(out, '{');
        jo_kz(out, "role", "\"user\"");
        jo_kraw(out, "content", weir_json_raw(c->doc, content));
        jo_close(out, '}');
        return WEIR_OK;
    }
    weir_status_t s = tool_messages(c, content, at);
    if (s != WEIR_OK) {
        return s;
    }
    size_t start = out->len;
    jo_open(out, '{');
    jo_kz(out, "role", "\"user\"");
    size_t mark = out->len;
    jo_kopen(out, "content", '[');
    s = user_parts(c, content, at, &parts);
    jo_close(out, ']');
    if (parts.n == 0) {
        jo_rewind(out, start);
        return s;
    }
    if (parts.n == 1 && !parts.other && parts.first_text != WEIR_JSON_NONE) {
        jo_rewind(out, mark);
        jo_kraw(out, "content", weir_json_raw(c->doc, parts.first_text));
    }
    jo_close(out, '}');
    return s;
}

/* Texts of an assistant's blocks, or their thinking, joined; writes nothing when there is none. */
static void joined(const weir_tctx_t *c, uint32_t content, const char *type, const char *key)
{
    size_t start = c->out->len;
    jo_key(c->out, key);
    jo_begin_string(c->out);
    size_t mark = c->out->len;
    uint32_t block = content + 1;
    for (uint32_t i = 0; i < c->doc->nodes[content].size; i++) {
        if (is_block(c, block, type)) {
            inside(c, weir_member(c->doc, block, type));
        }
        block = c->doc->nodes[block].next;
    }
    if (c->out->len == mark) {
        jo_rewind(c->out, start);
    } else {
        jo_end_string(c->out);
    }
}

static weir_status_t tool_call(const weir_tctx_t *c, uint32_t block, const weir_tpath_t *at)
{
    uint32_t id;
    uint32_t name;
    uint32_t input;
    weir_status_t s = weir_check_members(c, block, &weir_m_tool_use, at);
    if (s != WEIR_OK || (s = weir_need(c, block, "id", WEIR_JSON_STRING, at, &id)) != WEIR_OK ||
        (s = weir_need(c, block, "name", WEIR_JSON_STRING, at, &name)) != WEIR_OK ||
        (s = weir_need(c, block, "input", WEIR_JSON_OBJECT, at, &input)) != WEIR_OK) {
        return s;
    }
    jo_open(c->out, '{');
    jo_kraw(c->out, "id", weir_json_raw(c->doc, id));
    jo_kz(c->out, "type", "\"function\"");
    jo_kopen(c->out, "function", '{');
    jo_kraw(c->out, "name", weir_json_raw(c->doc, name));
    jo_kstring(c->out, "arguments", weir_json_raw(c->doc, input));
    jo_close(c->out, '}');
    jo_close(c->out, '}');
    return WEIR_OK;
}

/* Checks an assistant's blocks; *calls: how many are tool calls. */
static weir_status_t assistant_blocks(const weir_tctx_t *c, uint32_t content,
                                      const weir_tpath_t *at, uint32_t *calls)
{
    uint32_t block = content + 1;
    *calls = 0;
    for (uint32_t i = 0; i < c->doc->nodes[content].size; i++) {
        weir_tpath_t here = {at, "content", i};
        weir_status_t s;
        uint32_t unused;
        uint32_t type = weir_member(c->doc, block, "type");
        const weir_translate_row_t *row = weir_kind_of(c, type, &weir_m_content, &here, &s);
        if (row != NULL && weir_json_string_is(c->doc, type, "text")) {
            s = weir_check_members(c, block, &weir_m_text, &here);
            s = s != WEIR_OK ? s : weir_need(c, block, "text", WEIR_JSON_STRING, &here, &unused);
        } else if (row != NULL && weir_json_string_is(c->doc, type, "thinking")) {
            s = weir_check_members(c, block, &weir_m_thinking, &here);
            if (c->tr->options.strict_openai) {
                weir_loss(c->tr, "content", "thinking");
            }
        } else if (row != NULL && weir_json_string_is(c->doc, type, "tool_use")) {
            ++*calls;
        } else if (row != NULL) {
            s = weir_malformed(c, &here, NULL,
                               "a block of this type cannot stand in an assistant message");
        }
        if (s != WEIR_OK) {
            return s;
        }
        block = c->doc->nodes[block].next;
    }
    return WEIR_OK;
}

static weir_status_t assistant_message(const weir_tctx_t *c, uint32_t content,
                                       const weir_tpath_t *at)
{
    weir_buf_t *out = c->out;
    uint32_t calls = 0;
    if (!weir_is(c->doc, content, WEIR_JSON_STRING)) {
        weir_status_t s = assistant_blocks(c, content, at, &calls);
        if (s != WEIR_OK) {
            return s;
        }
    }
    jo_open(out, '{');
    jo_kz(out, "role", "\"assistant\"");
    if (weir_is(c->doc, content, WEIR_JSON_STRING)) {
        jo_kraw(out, "content", weir_json_raw(c->doc, content));
        jo_close(out, '}');
        return WEIR_OK;
    }
    size_t mark = out->len;
    joined(c, content, "text", "content");
    if (out->len == mark) {
        jo_kz(out, "content", calls > 0 ? "null" : "\"\"");
    }
    if (!c->tr->options.strict_openai) {
        joined(c, content, "thinking", "reasoning_content");
    }
    if (calls > 0) {
        jo_kopen(out, "tool_calls", '[');
        uint32_t block = content + 1;
        for (uint32_t i = 0; i < c->doc->nodes[content].size; i++) {
            weir_tpath_t here = {at, "content", i};
            weir_status_t s = is_block(c, block, "tool_use") ? tool_call(c, block, &here) : WEIR_OK;
            if (s != WEIR_OK) {
                return s;
            }
            block = c->doc->nodes[block].next;
        }
        jo_close(out, ']');
    }
    jo_close(out, '}');
    return WEIR_OK;
}

/* system, at the top or as a message. */
static weir_status_t system_message(const weir_tctx_t *c, uint32_t content, const weir_tpath_t *at)
{
    weir_buf_t *out = c->out;
    parts_t parts = {0, WEIR_JSON_NONE, false};
    size_t start = out->len;
    weir_status_t s = WEIR_OK;
    jo_open(out, '{');
    jo_kz(out, "role", "\"system\"");
    size_t mark = out->len;
    if (weir_is(c->doc, content, WEIR_JSON_STRING)) {
        parts = (parts_t){1, content, false};
    } else {
        jo_kopen(out, "content", '[');
        s = write_parts(c, content, at, true, &parts);
        jo_close(out, ']');
    }
    if (s == WEIR_OK && parts.other) {
        return weir_malformed(c, at, NULL, "a system prompt holds text blocks only");
    }
    if (parts.n == 0) {
        jo_rewind(out, start);
        return s;
    }
    if (parts.n == 1) {
        jo_rewind(out, mark);
        jo_kraw(out, "content", weir_json_raw(c->doc, parts.first_text));
    }
    jo_close(out, '}');
    return s;
}

static weir_status_t message(const weir_tctx_t *c, uint32_t node, const weir_tpath_t *at)
{
    weir_status_t s;
    uint32_t role = weir_member(c->doc, node, "role");
    if (weir_kind_of(c, role, &weir_m_messages, at, &s) == NULL) {
        return s;
    }
    s = weir_check_members(c, node, &weir_m_user, at);
    if (s != WEIR_OK) {
        return s;
    }
    uint32_t content = weir_member(c->doc, node, "content");
    if (!weir_is(c->doc, content, WEIR_JSON_STRING) && !weir_is(c->doc, content, WEIR_JSON_ARRAY)) {
        return weir_malformed(c, at, "content", "must be a string or an array of blocks");
    }
    if (weir_json_string_is(c->doc, role, "assistant")) {
        return assistant_message(c, content, at);
    }
    if (weir_json_string_is(c->doc, role, "system")) {
        weir_tpath_t here = {at, "content", -1};
        return system_message(c, content, &here);
    }
    return user_message(c, content, at);
}

static weir_status_t write_messages(const weir_tctx_t *c)
{
    uint32_t list;
    weir_status_t s = weir_need(c, 0, "messages", WEIR_JSON_ARRAY, NULL, &list);
    if (s != WEIR_OK) {
        return s;
    }
    jo_kopen(c->out, "messages", '[');
    uint32_t system = weir_member(c->doc, 0, "system");
    if (system != WEIR_JSON_NONE) {
        weir_tpath_t here = {NULL, "system", -1};
        s = system_message(c, system, &here);
    }
    uint32_t node = list + 1;
    for (uint32_t i = 0; s == WEIR_OK && i < c->doc->nodes[list].size; i++) {
        weir_tpath_t here = {NULL, "messages", i};
        s = message(c, node, &here);
        if (i + 1 == c->doc->nodes[list].size &&
            weir_json_string_is(c->doc, weir_member(c->doc, node, "role"), "assistant")) {
            /* Anthropic goes on with such a message; most chat servers begin a new one. */
            weir_loss(c->tr, "messages", "assistant");
        }
        node = c->doc->nodes[node].next;
    }
    jo_close(c->out, ']');
    return s;
}

weir_status_t weir_messages_to_chat(weir_tctx_t *c)
{
    uint32_t max_tokens;
    bool legacy = c->tr->options.legacy_max_tokens;
    weir_status_t s = weir_check_members(c, 0, &weir_m_request, NULL);
    if (s == WEIR_OK && !c->tr->asked_count) {
        s = weir_need(c, 0, "max_tokens", WEIR_JSON_NUMBER, NULL, &max_tokens);
    }
    if (s != WEIR_OK) {
        return s;
    }
    jo_open(c->out, '{');
    jo_kraw(c->out, "model", c->tr->model_raw);
    s = write_messages(c);
    if (s == WEIR_OK) {
        s = weir_messages_tools(c);
    }
    if (s == WEIR_OK && c->tr->asked_count) {
        jo_kz(c->out, "add_generation_prompt", "true");
        jo_close(c->out, '}');
        return WEIR_OK;
    }
    if (s != WEIR_OK || (s = weir_messages_options(c)) != WEIR_OK) {
        return s;
    }
    weir_copy_as(c, 0, "max_tokens", legacy ? "max_tokens" : "max_completion_tokens");
    if (c->tr->stream) {
        jo_kz(c->out, "stream", "true");
        jo_kz(c->out, "stream_options", "{\"include_usage\":true}");
    }
    jo_close(c->out, '}');
    return WEIR_OK;
}

/* The variables of a chat template, made from a request. */
#include <stdio.h>

#include "engine/jinja/value.h"
#include "engine/llm/chat_internal.h"

/* Variables that a request's further variables must not replace. */
static const char *const reserved[] = {"messages",  "tools",        "add_generation_prompt",
                                       "bos_token", "eos_token",    "raise_exception",
                                       "namespace", "strftime_now", "range",
                                       "dict",      "joiner",       "cycler",
                                       "loop",      "caller"};

/* Roles are a closed set: they choose among texts of the template's, as in '<|' + role + '|>', and
 * count as its own. Any other role is data. */
static const char *const roles[] = {"system", "developer", "user", "assistant", "tool", "function"};

typedef struct {
    weir_jinja_t *in;
    const weir_json_doc_t *doc;
    const weir_chat_shape_t *shape;
    weir_error_t *err;
    weir_status_t status; /* of errors that are ours, not the interpreter's */
    uint32_t message;
    bool calls; /* the message calls tools, so that its content may be null */
} builder_t;

static bool bad(builder_t *b, const char *what, const char *message)
{
    char field[64];
    snprintf(field, sizeof(field), "messages[%u]%s", b->message, what);
    b->status = weir_error_at(b->err, WEIR_ERR_INVALID, field, NULL, "%s: %s", field, message);
    return false;
}

static bool role_value(builder_t *b, uint32_t node, weir_jv_t *out)
{
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (weir_json_string_is(b->doc, node, roles[i])) {
            return weir_jv_stringz(b->in, roles[i], true, out);
        }
    }
    return weir_jv_from_json(b->in, b->doc, node, false, out);
}

/* The texts of an array of parts, one line break between two. */
static bool joined_parts(builder_t *b, uint32_t node, weir_jv_t *out)
{
    weir_jb_t text;
    weir_jb_init(&text, b->in);
    uint32_t part = node + 1;
    for (uint32_t i = 0; i < b->doc->nodes[node].size; i++) {
        uint32_t type = weir_json_get(b->doc, part, "type");
        uint32_t value = weir_json_get(b->doc, part, "text");
        if (type == WEIR_JSON_NONE || !weir_json_string_is(b->doc, type, "text") ||
            value == WEIR_JSON_NONE || weir_json_type(b->doc, value) != WEIR_JSON_STRING) {
            return bad(b, ".content", "only parts of type \"text\" are supported by this model");
        }
        weir_jv_t s;
        if (!weir_jv_from_json(b->in, b->doc, value, false, &s)) {
            return false;
        }
        if (i > 0) {
            weir_jb_add(&text, "\n", 1, false);
        }
        weir_jb_str(&text, s.u.s);
        part = b->doc->nodes[part].next;
    }
    return weir_jb_finish(&text, out);
}

/* Arguments of a tool call are JSON text in the protocol and objects for most templates. */
static bool arguments_value(builder_t *b, uint32_t node, weir_jv_t *out)
{
    if (!weir_jv_from_json(b->in, b->doc, node, false, out)) {
        return false;
    }
    if (b->shape->takes_json_string) {
        weir_jjson_t how = {0};
        weir_jv_t comma;
        weir_jv_t colon;
        weir_jb_t text;
        weir_jb_init(&text, b->in);
        if (weir_jv_is(*out, WEIR_JV_STRING)) {
            return true;
        }
        if (!weir_jv_stringz(b->in, ", ", false, &comma) ||
            !weir_jv_stringz(b->in, ": ", false, &colon)) {
            return false;
        }
        how.item_sep = comma.u.s;
        how.key_sep = colon.u.s;
        return weir_jv_to_json(&text, *out, &how, 0) && weir_jb_finish(&text, out);
    }
    if (!weir_jv_is(*out, WEIR_JV_STRING)) {
        return true;
    }
    weir_json_doc_t inner;
    const weir_js_t *s = out->u.s;
    if (weir_json_parse(s->data, s->len, NULL, weir_ji_arena(b->in), &inner, NULL) != WEIR_OK ||
        weir_json_type(&inner, 0) != WEIR_JSON_OBJECT) {
        return true;
    }
    return weir_ji_work(b->in, s->len / 8) && weir_jv_from_json(b->in, &inner, 0, false, out);
}

typedef bool (*member_fn)(builder_t *b, weir_str_t key, uint32_t node, weir_jv_t *out);

/* An object whose members are made by `member`. */
static bool object_value(builder_t *b, uint32_t node, member_fn member, weir_jv_t *out)
{
    weir_jdict_t *d = weir_jdict_new(b->in);
    if (weir_json_type(b->doc, node) != WEIR_JSON_OBJECT || d == NULL) {
        return d != NULL && weir_jv_from_json(b->in, b->doc, node, false, out);
    }
    uint32_t at = node + 1;
    for (uint32_t i = 0; i < b->doc->nodes[node].size; i++) {
        uint32_t value = b->doc->nodes[at].next;
        weir_jv_t key;
        weir_jv_t v;
        if (!weir_jv_from_json(b->in, b->doc, at, false, &key) ||
            !member(b, weir_str(key.u.s->data, key.u.s->len), value, &v) ||
            !weir_jdict_set(b->in, d, key, v)) {
            return false;
        }
        at = b->doc->nodes[value].next;
    }
    *out = weir_jv_dict(d);
    return true;
}

static bool array_value(builder_t *b, uint32_t node, member_fn member, weir_jv_t *out)
{
    weir_jlist_t *list = weir_jlist_new(b->in, b->doc->nodes[node].size);
    uint32_t at = node + 1;
    for (uint32_t i = 0; list != NULL && i < b->doc->nodes[node].size; i++) {
        weir_jv_t v;
        if (!object_value(b, at, member, &v) || !weir_jlist_push(b->in, list, v)) {
            return false;
        }
        at = b->doc->nodes[at].next;
    }
    *out = weir_jv_list(list);
    return list != NULL;
}

static bool function_member(builder_t *b, weir_str_t key, uint32_t node, weir_jv_t *out)
{
    return weir_str_is(key, "arguments") ? arguments_value(b, node, out)
                                         : weir_jv_from_json(b->in, b->doc, node, false, out);
}

static bool call_member(builder_t *b, weir_str_t key, uint32_t node, weir_jv_t *out)
{
    return weir_str_is(key, "function") ? object_value(b, node, function_member, out)
                                        : weir_jv_from_json(b->in, b->doc, node, false, out);
}

static bool message_member(builder_t *b, weir_str_t key, uint32_t node, weir_jv_t *out)
{
    bool array = weir_json_type(b->doc, node) == WEIR_JSON_ARRAY;
    if (weir_str_is(key, "role")) {
        return role_value(b, node, out);
    }
    if (weir_str_is(key, "content") && array && !b->shape->takes_parts) {
        return joined_parts(b, node, out);
    }
    if (weir_str_is(key, "content") && b->shape->takes_no_null && b->calls &&
        weir_json_type(b->doc, node) == WEIR_JSON_NULL) {
        return weir_jv_stringz(b->in, "", false, out);
    }
    if (weir_str_is(key, "tool_calls") && array) {
        return array_value(b, node, call_member, out);
    }
    return weir_jv_from_json(b->in, b->doc, node, false, out);
}

/* A message that calls tools may leave its content out, which is null, too. */
static bool add_content(builder_t *b, uint32_t node, weir_jv_t message)
{
    weir_jv_t key;
    weir_jv_t none;
    if (!b->calls || !b->shape->takes_no_null ||
        weir_json_get(b->doc, node, "content") != WEIR_JSON_NONE) {
        return true;
    }
    return weir_jv_stringz(b->in, "content", true, &key) &&
           weir_jv_stringz(b->in, "", false, &none) &&
           weir_jdict_set(b->in, message.u.dict, key, none);
}

static bool messages_value(builder_t *b, uint32_t node, weir_jv_t *out)
{
    weir_jlist_t *list = weir_jlist_new(b->in, b->doc->nodes[node].size);
    uint32_t at = node + 1;
    for (; list != NULL && b->message < b->doc->nodes[node].size; b->message++) {
        weir_jv_t v;
        if (weir_json_type(b->doc, at) != WEIR_JSON_OBJECT) {
            return bad(b, "", "a message must be an object");
        }
        uint32_t calls = weir_json_get(b->doc, at, "tool_calls");
        b->calls = calls != WEIR_JSON_NONE && weir_json_type(b->doc, calls) == WEIR_JSON_ARRAY;
        if (!object_value(b, at, message_member, &v) || !add_content(b, at, v) ||
            !weir_jlist_push(b->in, list, v)) {
            return false;
        }
        at = b->doc->nodes[at].next;
    }
    *out = weir_jv_list(list);
    return list != NULL;
}

static weir_status_t set_kwargs(weir_jinja_t *in, const weir_chat_request_t *req, weir_error_t *err)
{
    const weir_json_doc_t *doc = req->doc;
    if (req->kwargs == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    if (weir_json_type(doc, req->kwargs) != WEIR_JSON_OBJECT) {
        return weir_error_at(err, WEIR_ERR_INVALID, "chat_template_kwargs", NULL,
                             "chat_template_kwargs must be an object");
    }
    uint32_t at = req->kwargs + 1;
    for (uint32_t i = 0; i < doc->nodes[req->kwargs].size; i++) {
        uint32_t value = doc->nodes[at].next;
        for (size_t k = 0; k < sizeof(reserved) / sizeof(reserved[0]); k++) {
            if (weir_json_string_is(doc, at, reserved[k])) {
                return weir_error_at(err, WEIR_ERR_INVALID, "chat_template_kwargs", NULL,
                                     "chat_template_kwargs must not set %s", reserved[k]);
            }
        }
        weir_jv_t name;
        weir_jv_t v;
        if (!weir_jv_from_json(in, doc, at, false, &name) ||
            !weir_jv_from_json(in, doc, value, false, &v)) {
            return weir_jinja_status(in, err);
        }
        weir_status_t status =
            weir_jinja_set_value(in, weir_str(name.u.s->data, name.u.s->len), v, err);
        if (status != WEIR_OK) {
            return status;
        }
        at = doc->nodes[value].next;
    }
    return WEIR_OK;
}

static weir_status_t set_tools(weir_jinja_t *in, const weir_chat_request_t *req, weir_error_t *err)
{
    if (req->tools == WEIR_JSON_NONE || weir_json_type(req->doc, req->tools) == WEIR_JSON_NULL) {
        return weir_jinja_set_none(in, "tools", err);
    }
    if (weir_json_type(req->doc, req->tools) != WEIR_JSON_ARRAY) {
        return weir_error_at(err, WEIR_ERR_INVALID, "tools", NULL, "tools must be an array");
    }
    if (req->doc->nodes[req->tools].size == 0) {
        return weir_jinja_set_none(in, "tools", err);
    }
    return weir_jinja_set_json(in, "tools", req->doc, req->tools, err);
}

weir_status_t weir_chat_set_values(weir_jinja_t *in, const weir_chat_request_t *req,
                                   const weir_chat_shape_t *shape, weir_error_t *err)
{
    builder_t b = {.in = in, .doc = req->doc, .shape = shape, .err = err};
    weir_jv_t messages;
    if (weir_json_type(req->doc, req->messages) != WEIR_JSON_ARRAY) {
        return weir_error_at(err, WEIR_ERR_INVALID, "messages", NULL, "messages must be an array");
    }
    /* documents is an argument of the common stack's renderer: none unless the request has it. */
    weir_status_t status = weir_jinja_set_none(in, "documents", err);
    status = status != WEIR_OK ? status : set_kwargs(in, req, err);
    status = status != WEIR_OK ? status : set_tools(in, req, err);
    if (status != WEIR_OK) {
        return status;
    }
    if (!messages_value(&b, req->messages, &messages)) {
        return b.status != WEIR_OK ? b.status : weir_jinja_status(in, err);
    }
    status = weir_jinja_set_value(in, WEIR_STR("messages"), messages, err);
    return status != WEIR_OK
               ? status
               : weir_jinja_set_bool(in, "add_generation_prompt", req->add_generation_prompt, err);
}

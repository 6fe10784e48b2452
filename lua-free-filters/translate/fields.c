/* Looking members up in the tables, and the small readers that all parts use. */
#include "lua-free-filters/translate/translation.h"

#include <stdio.h>

const char *weir_fate_name(weir_fate_t fate)
{
    static const char *const names[] = {"mapped", "approximated", "ignored", "dropped", "refused"};
    return (unsigned)fate < sizeof(names) / sizeof(names[0]) ? names[fate] : "unknown";
}

void weir_loss(weir_translation_t *tr, const char *object, const char *field)
{
    for (uint32_t i = 0; i < tr->n_losses; i++) {
        if (strcmp(tr->losses[i].object, object) == 0 && strcmp(tr->losses[i].field, field) == 0) {
            tr->losses[i].count++;
            return;
        }
    }
    if (tr->n_losses < WEIR_MAX_LOSSES) {
        tr->losses[tr->n_losses++] = (weir_translate_loss_t){object, field, 1};
    }
}

/* "messages[3].content[1].source"; cut to fit. */
static void render(const weir_tpath_t *at, const char *member, char *buf, size_t cap)
{
    const weir_tpath_t *parts[16] = {NULL};
    size_t n = 0;
    size_t len = 0;
    for (; at != NULL && n < 16; at = at->up) {
        parts[n++] = at;
    }
    buf[0] = '\0';
    while (n-- > 0 && len < cap) {
        const char *dot = len == 0 || parts[n]->name[0] == '\0' ? "" : ".";
        int put = parts[n]->index < 0 ? snprintf(buf + len, cap - len, "%s%s", dot, parts[n]->name)
                                      : snprintf(buf + len, cap - len, "%s%s[%lld]", dot,
                                                 parts[n]->name, (long long)parts[n]->index);
        len += put > 0 ? (size_t)put : 0;
    }
    if (member != NULL && len < cap) {
        snprintf(buf + len, cap - len, "%s%s", len == 0 ? "" : ".", member);
    }
}

static weir_status_t complain(const weir_tctx_t *c, weir_status_t status, const char *code,
                              const weir_tpath_t *at, const char *member, const char *why)
{
    char field[64];
    render(at, member, field, sizeof(field));
    return weir_error_at(c->err, status, field, code, "%s: %s", field[0] != '\0' ? field : "body",
                         why);
}

weir_status_t weir_refuse(const weir_tctx_t *c, const weir_tpath_t *at, const char *member,
                          const char *why)
{
    return complain(c, WEIR_ERR_UNSUPPORTED, "unsupported_parameter", at, member, why);
}

weir_status_t weir_malformed(const weir_tctx_t *c, const weir_tpath_t *at, const char *member,
                             const char *why)
{
    return complain(c, WEIR_ERR_INVALID, "invalid_request", at, member, why);
}

/* null, false, 0, "", [] and {} say nothing. */
static bool says_nothing(const weir_json_doc_t *doc, uint32_t node)
{
    switch (weir_json_type(doc, node)) {
    case WEIR_JSON_NULL:
    case WEIR_JSON_FALSE:
        return true;
    case WEIR_JSON_NUMBER: {
        double value;
        return weir_json_double(doc, node, &value) && value == 0;
    }
    case WEIR_JSON_STRING:
        return jo_inner(doc, node).len == 0;
    case WEIR_JSON_ARRAY:
    case WEIR_JSON_OBJECT:
        return doc->nodes[node].size == 0;
    case WEIR_JSON_TRUE:
        break;
    }
    return false;
}

/* The string is the row's name; a name that ends in '*' stands for all that begin so. */
static bool is_named(const weir_json_doc_t *doc, uint32_t node, const char *name)
{
    size_t n = strlen(name);
    if (n < 2 || name[n - 1] != '*') {
        return weir_json_string_is(doc, node, name);
    }
    weir_str_t text = jo_inner(doc, node);
    return text.len >= n - 1 && memcmp(text.data, name, n - 1) == 0;
}

static const weir_translate_row_t *find(const weir_json_doc_t *doc, uint32_t key,
                                        const weir_translate_object_t *object)
{
    for (uint32_t i = 0; i < object->n; i++) {
        if (is_named(doc, key, object->rows[i].name)) {
            return &object->rows[i];
        }
    }
    return NULL;
}

weir_status_t weir_check_members(const weir_tctx_t *c, uint32_t node,
                                 const weir_translate_object_t *object, const weir_tpath_t *at)
{
    if (!weir_is(c->doc, node, WEIR_JSON_OBJECT)) {
        return weir_malformed(c, at, NULL, "must be an object");
    }
    uint32_t key = node + 1;
    for (uint32_t i = 0; i < c->doc->nodes[node].size; i++) {
        const weir_translate_row_t *row = find(c->doc, key, object);
        bool nothing = says_nothing(c->doc, key + 1);
        if (row == NULL && !nothing) {
            weir_loss(c->tr, object->name, "(unknown)");
        } else if (row != NULL && row->fate == WEIR_FATE_REFUSED && !nothing) {
            return weir_refuse(c, at, row->name, row->note);
        } else if (row != NULL && row->fate == WEIR_FATE_DROPPED && !nothing) {
            weir_loss(c->tr, object->name, row->name);
        }
        key = c->doc->nodes[key + 1].next;
    }
    return WEIR_OK;
}

void weir_note_members(const weir_tctx_t *c, uint32_t node, const weir_translate_object_t *object)
{
    if (!weir_is(c->doc, node, WEIR_JSON_OBJECT)) {
        return;
    }
    uint32_t key = node + 1;
    for (uint32_t i = 0; i < c->doc->nodes[node].size; i++) {
        const weir_translate_row_t *row = find(c->doc, key, object);
        if (row != NULL && row->fate == WEIR_FATE_DROPPED && !says_nothing(c->doc, key + 1)) {
            weir_loss(c->tr, object->name, row->name);
        }
        key = c->doc->nodes[key + 1].next;
    }
}

const weir_translate_row_t *weir_kind_of(const weir_tctx_t *c, uint32_t node,
                                         const weir_translate_object_t *kinds,
                                         const weir_tpath_t *at, weir_status_t *status)
{
    *status = WEIR_OK;
    if (!weir_is(c->doc, node, WEIR_JSON_STRING)) {
        *status = weir_malformed(c, at, NULL, "needs a type (or role) that is a string");
        return NULL;
    }
    const weir_translate_row_t *row = find(c->doc, node, kinds);
    if (row == NULL || row->fate == WEIR_FATE_REFUSED) {
        char why[200];
        weir_str_t name = weir_text_of(c, node);
        snprintf(why, sizeof(why), "\"%.*s\" %s%s", (int)(name.len > 64 ? 64 : name.len),
                 name.len > 0 ? name.data : "",
                 row == NULL ? "is not known here and cannot be translated"
                             : "cannot be translated: ",
                 row == NULL ? "" : row->note);
        *status = weir_refuse(c, at, NULL, why);
        return NULL;
    }
    if (row->fate == WEIR_FATE_DROPPED) {
        weir_loss(c->tr, kinds->name, row->name);
        return NULL;
    }
    return row;
}

uint32_t weir_member(const weir_json_doc_t *doc, uint32_t object, const char *key)
{
    uint32_t node = weir_json_get(doc, object, key);
    return weir_is(doc, node, WEIR_JSON_NULL) ? WEIR_JSON_NONE : node;
}

bool weir_is(const weir_json_doc_t *doc, uint32_t node, weir_json_type_t type)
{
    return node < doc->count && doc->nodes[node].type == type;
}

bool weir_is_true(const weir_json_doc_t *doc, uint32_t node)
{
    return weir_is(doc, node, WEIR_JSON_TRUE);
}

bool weir_has_text(const weir_json_doc_t *doc, uint32_t node)
{
    return weir_is(doc, node, WEIR_JSON_STRING) && jo_inner(doc, node).len > 0;
}

weir_str_t weir_text_of(const weir_tctx_t *c, uint32_t node)
{
    weir_str_t text = {NULL, 0};
    if (weir_json_string(c->doc, node, c->arena, &text) != WEIR_OK) {
        return weir_str("", 0);
    }
    return text;
}

weir_status_t weir_need(const weir_tctx_t *c, uint32_t object, const char *key,
                        weir_json_type_t type, const weir_tpath_t *at, uint32_t *node)
{
    static const char *const names[] = {"null",
                                        "false",
                                        "true",
                                        "must be a number",
                                        "must be a string",
                                        "must be an array",
                                        "must be an object"};
    *node = weir_member(c->doc, object, key);
    if (*node == WEIR_JSON_NONE) {
        return weir_malformed(c, at, key, "is missing");
    }
    return weir_is(c->doc, *node, type) ? WEIR_OK : weir_malformed(c, at, key, names[type]);
}

void weir_copy_as(const weir_tctx_t *c, uint32_t object, const char *key, const char *name)
{
    uint32_t node = weir_member(c->doc, object, key);
    if (node != WEIR_JSON_NONE) {
        jo_kraw(c->out, name, weir_json_raw(c->doc, node));
    }
}

bool weir_arguments_object(const weir_tctx_t *c, weir_str_t text, weir_str_t *object)
{
    weir_json_doc_t doc;
    weir_json_limits_t limits = {.allow_duplicate_keys = true};
    bool blank = true;
    for (size_t i = 0; i < text.len; i++) {
        blank = blank && strchr(" \t\r\n", text.data[i]) != NULL && text.data[i] != '\0';
    }
    if (blank) {
        *object = WEIR_STR("{}");
        return true;
    }
    if (weir_json_parse(text.data, text.len, &limits, c->arena, &doc, NULL) != WEIR_OK ||
        !weir_is(&doc, 0, WEIR_JSON_OBJECT)) {
        return false;
    }
    *object = weir_json_raw(&doc, 0);
    return true;
}

weir_str_t weir_keep(weir_translation_t *tr, weir_str_t s)
{
    char *copy = s.len == 0 ? NULL : weir_arena_strndup(tr->arena, s.data, s.len);
    return copy == NULL ? weir_str("", 0) : weir_str(copy, s.len);
}

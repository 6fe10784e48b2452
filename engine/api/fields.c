#include "engine/api/fields.h"

#include <stdarg.h>
#include <stdio.h>

weir_status_t weir_field_error(const weir_fields_t *f, const char *field, const char *fmt, ...)
{
    char reason[192];
    va_list args;
    va_start(args, fmt);
    vsnprintf(reason, sizeof(reason), fmt, args);
    va_end(args);
    return weir_error_at(f->err, WEIR_ERR_INVALID, field, "invalid_value", "%s: %s", field, reason);
}

weir_status_t weir_field_unsupported(const weir_fields_t *f, const char *field, bool value,
                                     const char *what)
{
    return weir_error_at(f->err, WEIR_ERR_UNSUPPORTED, field,
                         value ? "unsupported_value" : "unsupported_parameter",
                         "%s: %s is not supported by this engine", field, what);
}

uint32_t weir_field(const weir_fields_t *f, uint32_t object, const char *name)
{
    uint32_t node = weir_json_get(f->doc, object, name);
    if (node != WEIR_JSON_NONE && weir_json_type(f->doc, node) == WEIR_JSON_NULL) {
        return WEIR_JSON_NONE;
    }
    return node;
}

weir_status_t weir_field_bool(const weir_fields_t *f, uint32_t object, const char *name, bool *out)
{
    uint32_t node = weir_field(f, object, name);
    if (node == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    weir_json_type_t type = weir_json_type(f->doc, node);
    if (type != WEIR_JSON_TRUE && type != WEIR_JSON_FALSE) {
        return weir_field_error(f, name, "must be true or false");
    }
    *out = type == WEIR_JSON_TRUE;
    return WEIR_OK;
}

weir_status_t weir_field_int(const weir_fields_t *f, const char *name, int64_t min, int64_t max,
                             bool clamp, int64_t *out)
{
    uint32_t node = weir_field(f, 0, name);
    int64_t value;
    if (node == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    if (!weir_json_int64(f->doc, node, &value)) {
        return weir_field_error(f, name, "must be an integer");
    }
    if (value > max && clamp) {
        value = max;
    }
    if (value < min || value > max) {
        return weir_field_error(f, name, "must be an integer between %lld and %lld, not %lld",
                                (long long)min, (long long)max, (long long)value);
    }
    *out = value;
    return WEIR_OK;
}

weir_status_t weir_field_float(const weir_fields_t *f, const char *name, double min, double max,
                               float *out)
{
    uint32_t node = weir_field(f, 0, name);
    double value;
    if (node == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    if (!weir_json_double(f->doc, node, &value) || !(value >= min && value <= max)) {
        return weir_field_error(f, name, "must be a number between %g and %g", min, max);
    }
    *out = (float)value;
    return WEIR_OK;
}

weir_status_t weir_field_string(const weir_fields_t *f, const char *name, weir_str_t *out)
{
    uint32_t node = weir_field(f, 0, name);
    if (node == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    if (weir_json_type(f->doc, node) != WEIR_JSON_STRING) {
        return weir_field_error(f, name, "must be a string");
    }
    if (weir_json_string(f->doc, node, f->arena, out) != WEIR_OK) {
        return weir_error(f->err, WEIR_ERR_NOMEM, "out of memory for \"%s\"", name);
    }
    return WEIR_OK;
}

weir_status_t weir_field_node(const weir_fields_t *f, const char *name, weir_json_type_t type,
                              uint32_t *out)
{
    *out = weir_field(f, 0, name);
    if (*out != WEIR_JSON_NONE && weir_json_type(f->doc, *out) != type) {
        return weir_field_error(f, name, "must be %s",
                                type == WEIR_JSON_ARRAY    ? "an array"
                                : type == WEIR_JSON_OBJECT ? "an object"
                                                           : "a string");
    }
    return WEIR_OK;
}

/* The model's name as a client may have sent it, short enough for a message. */
static weir_status_t check_model(const weir_fields_t *f, const weir_api_names_t *names,
                                 bool required)
{
    weir_str_t model = {NULL, 0};
    weir_status_t rc = weir_field_string(f, "model", &model);
    if (rc != WEIR_OK) {
        return rc;
    }
    if (weir_field(f, 0, "model") == WEIR_JSON_NONE) {
        return required ? weir_field_error(f, "model", "is required: \"%.*s\" is served here",
                                           (int)names->id.len, names->id.data)
                        : WEIR_OK;
    }
    if (weir_str_eq(model, names->id)) {
        return WEIR_OK;
    }
    for (size_t i = 0; i < names->n_aliases; i++) {
        if (weir_str_eq(model, names->aliases[i])) {
            return WEIR_OK;
        }
    }
    return weir_error_at(f->err, WEIR_ERR_NOT_FOUND, "model", "model_not_found",
                         "The model \"%.*s\" does not exist here; \"%.*s\" is served",
                         (int)(model.len > 64 ? 64 : model.len), model.data, (int)names->id.len,
                         names->id.data);
}

weir_status_t weir_request_memory(weir_status_t rc, const weir_arena_t *arena, weir_error_t *err)
{
    if (rc != WEIR_ERR_NOMEM || arena->limit == 0) {
        return rc;
    }
    return weir_error_at(err, WEIR_ERR_LIMIT, NULL, "request_memory_exceeded",
                         "The request takes more than the %zu bytes of memory that one may take; "
                         "send it in parts",
                         arena->limit);
}

weir_status_t weir_fields_scan(const weir_fields_t *f, weir_str_t body, weir_json_doc_t *doc)
{
    static const weir_json_limits_t limits = {.max_members = WEIR_API_MAX_MEMBERS};
    return weir_json_parse(body.data, body.len, &limits, f->arena, doc, f->err);
}

weir_status_t weir_fields_open(weir_fields_t *f, weir_str_t body, const weir_api_names_t *names,
                               bool require_model, weir_json_doc_t *doc)
{
    if (body.len == 0) {
        return weir_error(f->err, WEIR_ERR_INVALID, "The request has no body: send a JSON object");
    }
    weir_status_t rc = weir_fields_scan(f, body, doc);
    if (rc != WEIR_OK) {
        if (f->err != NULL && rc == WEIR_ERR_INVALID) {
            char why[sizeof(f->err->message)];
            memcpy(why, f->err->message, sizeof(why));
            weir_error_at(f->err, rc, NULL, "invalid_json", "The body is not valid JSON: %.200s",
                          why);
        }
        return rc;
    }
    f->doc = doc;
    if (weir_json_type(doc, 0) != WEIR_JSON_OBJECT) {
        return weir_error(f->err, WEIR_ERR_INVALID, "The body must be a JSON object");
    }
    return check_model(f, names, require_model);
}

weir_status_t weir_field_ids(const weir_fields_t *f, uint32_t array, const char *name,
                             uint32_t n_vocab, size_t max, int32_t **ids, size_t *count)
{
    uint32_t n = f->doc->nodes[array].size;
    uint32_t node = array + 1;
    int64_t limit = n_vocab == 0 ? INT32_MAX : (int64_t)n_vocab - 1;
    if (n > max) {
        return weir_error_at(f->err, WEIR_ERR_LIMIT, name, "array_above_max_length",
                             "%s: has %u token ids, at most %zu are taken", name, (unsigned)n, max);
    }
    *ids = weir_arena_alloc(f->arena, (n == 0 ? 1 : n) * sizeof(**ids));
    if (*ids == NULL) {
        return weir_error(f->err, WEIR_ERR_NOMEM, "out of memory for \"%s\"", name);
    }
    for (uint32_t i = 0; i < n; i++, node = f->doc->nodes[node].next) {
        int64_t id;
        if (!weir_json_int64(f->doc, node, &id) || id < 0 || id > limit) {
            char field[64];
            snprintf(field, sizeof(field), "%.40s[%u]", name, (unsigned)i);
            return weir_field_error(f, field, "must be a token id between 0 and %lld",
                                    (long long)limit);
        }
        (*ids)[i] = (int32_t)id;
    }
    *count = n;
    return WEIR_OK;
}

/* The members that all generating requests share. */
#include "engine/api/fields.h"

#include <stdio.h>

static weir_status_t parse_numbers(const weir_fields_t *f, weir_generate_t *g)
{
    weir_sampling_t *s = &g->sampling;
    weir_status_t rc;
    int64_t top_k = 0;
    int64_t seed = 0;

    if ((rc = weir_field_float(f, "temperature", 0, 2, &s->temperature)) != WEIR_OK ||
        (rc = weir_field_float(f, "top_p", 0, 1, &s->top_p)) != WEIR_OK ||
        (rc = weir_field_float(f, "min_p", 0, 1, &s->min_p)) != WEIR_OK ||
        (rc = weir_field_float(f, "repetition_penalty", 0.01, 10, &s->repetition_penalty)) !=
            WEIR_OK ||
        (rc = weir_field_float(f, "frequency_penalty", -2, 2, &s->frequency_penalty)) != WEIR_OK ||
        (rc = weir_field_float(f, "presence_penalty", -2, 2, &s->presence_penalty)) != WEIR_OK ||
        (rc = weir_field_int(f, "top_k", -1, INT32_MAX, true, &top_k)) != WEIR_OK ||
        (rc = weir_field_int(f, "seed", INT64_MIN, INT64_MAX, false, &seed)) != WEIR_OK) {
        return rc;
    }
    s->top_k = top_k < 0 ? 0 : (int32_t)top_k; /* -1 is vLLM's "off" */
    s->has_seed = weir_field(f, 0, "seed") != WEIR_JSON_NONE;
    s->seed = (uint64_t)seed;
    return WEIR_OK;
}

/* Token ids as object keys: digits without sign or leading zero. */
static bool parse_id(weir_str_t s, int32_t *out)
{
    int64_t value = 0;
    if (s.len == 0 || s.len > 10 || (s.len > 1 && s.data[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9') {
            return false;
        }
        value = value * 10 + (s.data[i] - '0');
    }
    *out = (int32_t)value;
    return value <= INT32_MAX;
}

static weir_status_t parse_bias(const weir_fields_t *f, weir_sampling_t *s)
{
    uint32_t object;
    weir_status_t rc = weir_field_node(f, "logit_bias", WEIR_JSON_OBJECT, &object);
    if (rc != WEIR_OK || object == WEIR_JSON_NONE) {
        return rc;
    }
    uint32_t n = f->doc->nodes[object].size;
    if (n > WEIR_ENGINE_MAX_BIAS) {
        return weir_field_error(f, "logit_bias", "has %u entries, at most %d are taken",
                                (unsigned)n, WEIR_ENGINE_MAX_BIAS);
    }
    uint32_t key = object + 1;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t node = f->doc->nodes[key].next;
        weir_str_t name;
        double value;
        if (weir_json_string(f->doc, key, f->arena, &name) != WEIR_OK) {
            return weir_error(f->err, WEIR_ERR_NOMEM, "out of memory for \"logit_bias\"");
        }
        if (!parse_id(name, &s->bias[i].token)) {
            return weir_field_error(f, "logit_bias", "its keys must be token ids");
        }
        if (!weir_json_double(f->doc, node, &value) || !(value >= -100 && value <= 100)) {
            return weir_field_error(f, "logit_bias",
                                    "its values must be numbers between -100 and "
                                    "100");
        }
        s->bias[i].bias = (float)value;
        key = f->doc->nodes[node].next;
    }
    s->n_bias = n;
    return WEIR_OK;
}

static weir_status_t add_stop(const weir_fields_t *f, uint32_t node, weir_generate_t *g)
{
    weir_str_t text;
    if (weir_json_type(f->doc, node) != WEIR_JSON_STRING) {
        return weir_field_error(f, "stop", "must be a string or an array of 1 to %d strings",
                                WEIR_ENGINE_MAX_STOPS);
    }
    if (weir_json_string(f->doc, node, f->arena, &text) != WEIR_OK) {
        return weir_error(f->err, WEIR_ERR_NOMEM, "out of memory for \"stop\"");
    }
    if (text.len > WEIR_ENGINE_MAX_STOP_BYTES) {
        return weir_field_error(f, "stop", "a string has %zu bytes, at most %d are taken", text.len,
                                WEIR_ENGINE_MAX_STOP_BYTES);
    }
    if (text.len > 0) { /* an empty one occurs nowhere and everywhere: no stop at all */
        g->stops[g->n_stops++] = text;
    }
    return WEIR_OK;
}

static weir_status_t parse_stop(const weir_fields_t *f, weir_generate_t *g)
{
    uint32_t node = weir_field(f, 0, "stop");
    if (node == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    if (weir_json_type(f->doc, node) != WEIR_JSON_ARRAY) {
        return add_stop(f, node, g);
    }
    uint32_t n = f->doc->nodes[node].size;
    if (n > WEIR_ENGINE_MAX_STOPS) {
        return weir_field_error(f, "stop", "has %u strings, at most %d are taken", (unsigned)n,
                                WEIR_ENGINE_MAX_STOPS);
    }
    node++;
    for (uint32_t i = 0; i < n; i++, node = f->doc->nodes[node].next) {
        weir_status_t rc = add_stop(f, node, g);
        if (rc != WEIR_OK) {
            return rc;
        }
    }
    return WEIR_OK;
}

static weir_status_t parse_stop_tokens(const weir_fields_t *f, weir_generate_t *g)
{
    uint32_t node;
    int32_t *ids;
    size_t n;
    weir_status_t rc = weir_field_node(f, "stop_token_ids", WEIR_JSON_ARRAY, &node);
    if (rc != WEIR_OK || node == WEIR_JSON_NONE) {
        return rc;
    }
    rc = weir_field_ids(f, node, "stop_token_ids", 0, WEIR_ENGINE_MAX_STOPS, &ids, &n);
    if (rc == WEIR_OK) {
        memcpy(g->stop_tokens, ids, n * sizeof(*ids));
        g->n_stop_tokens = (uint32_t)n;
    }
    return rc;
}

static weir_status_t parse_n(const weir_fields_t *f, weir_generate_t *g)
{
    int64_t n = 1;
    weir_status_t rc = weir_field_int(f, "n", 1, 128, false, &n);
    if (rc != WEIR_OK) {
        return rc;
    }
    if (n > WEIR_ENGINE_MAX_CHOICES) {
        char what[64];
        snprintf(what, sizeof(what), "more than %d choices of one prompt", WEIR_ENGINE_MAX_CHOICES);
        return weir_field_unsupported(f, "n", true, what);
    }
    g->n = (uint32_t)n;
    return WEIR_OK;
}

weir_status_t weir_parse_sampling(const weir_fields_t *f, weir_generate_t *g)
{
    weir_status_t rc;
    weir_sampling_defaults(&g->sampling);
    if ((rc = parse_numbers(f, g)) != WEIR_OK || (rc = parse_bias(f, &g->sampling)) != WEIR_OK ||
        (rc = parse_stop(f, g)) != WEIR_OK || (rc = parse_stop_tokens(f, g)) != WEIR_OK ||
        (rc = parse_n(f, g)) != WEIR_OK) {
        return rc;
    }
    return weir_field_bool(f, 0, "ignore_eos", &g->ignore_eos);
}

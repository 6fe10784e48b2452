/*
 * Readers of single request fields. Each leaves *out alone when the member is absent or null, and
 * fails with the field's name and what it must be. Internal to engine/api.
 */
#ifndef WEIR_API_FIELDS_H
#define WEIR_API_FIELDS_H

#include "engine/api/request.h"

typedef struct {
    const weir_json_doc_t *doc;
    weir_arena_t *arena;
    weir_error_t *err;
} weir_fields_t;

/* Most members of one object in a body: far over any real request, and little enough that a body
 * full of keys cannot hold up the event loop for seconds. */
#define WEIR_API_MAX_MEMBERS 4096

/* The member's node, or WEIR_JSON_NONE when absent or null. */
uint32_t weir_field(const weir_fields_t *f, uint32_t object, const char *name);

weir_status_t weir_field_bool(const weir_fields_t *f, uint32_t object, const char *name, bool *out);

/* An integer in min..max; clamp: a larger one counts as max. */
weir_status_t weir_field_int(const weir_fields_t *f, const char *name, int64_t min, int64_t max,
                             bool clamp, int64_t *out);

/* A number in min..max, both ends included. */
weir_status_t weir_field_float(const weir_fields_t *f, const char *name, double min, double max,
                               float *out);

weir_status_t weir_field_string(const weir_fields_t *f, const char *name, weir_str_t *out);

/* The member's node if it has this type, else WEIR_JSON_NONE or INVALID. */
weir_status_t weir_field_node(const weir_fields_t *f, const char *name, weir_json_type_t type,
                              uint32_t *out);

/* INVALID for field, with a formatted reason. */
weir_status_t weir_field_error(const weir_fields_t *f, const char *field, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* UNSUPPORTED for field: code unsupported_parameter, or unsupported_value. */
weir_status_t weir_field_unsupported(const weir_fields_t *f, const char *field, bool value,
                                     const char *what);

/* rc, but where it says NOMEM and the arena is bounded, LIMIT: then the request is too much, not
 * the machine too small. */
weir_status_t weir_request_memory(weir_status_t rc, const weir_arena_t *arena, weir_error_t *err);

/* weir_json_parse with the limits of a body. */
weir_status_t weir_fields_scan(const weir_fields_t *f, weir_str_t body, weir_json_doc_t *doc);

/* Scans body (which must be an object) and, when it names a model, checks the name; require: it
 * must name one. */
weir_status_t weir_fields_open(weir_fields_t *f, weir_str_t body, const weir_api_names_t *names,
                               bool require_model, weir_json_doc_t *doc);

/* Reads an array of token ids, each below n_vocab (0: any int32). name is for messages. */
weir_status_t weir_field_ids(const weir_fields_t *f, uint32_t array, const char *name,
                             uint32_t n_vocab, size_t max, int32_t **ids, size_t *count);

/* messages, tools, tool_choice and what else only chat has. */
weir_status_t weir_parse_chat(const weir_fields_t *f, weir_api_request_t *out);

/* Sampling, stops, limits: the members that all generating requests share. */
weir_status_t weir_parse_sampling(const weir_fields_t *f, weir_generate_t *g);

/* Refuses, by name, members that would change the answer and are not done here. */
weir_status_t weir_refuse_unsupported(const weir_fields_t *f, weir_api_kind_t kind);

/* A text with "developer" roles written as "system", which is what chat templates know; body itself
 * when there are none. */
weir_status_t weir_rewrite_roles(const weir_fields_t *f, weir_str_t body, weir_str_t *out);

#endif

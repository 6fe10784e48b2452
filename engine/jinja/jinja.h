/*
 * Chat templates in the subset of Jinja that model files use, with the meaning that jinja2 3.1
 * gives them in an immutable sandbox with trim_blocks, lstrip_blocks and loop controls, and with
 * the provenance of every byte of the result: written by the template (and by values that the
 * caller calls trusted), or taken from data.
 *
 * A template is compiled once and is immutable then; any number of threads may render it, each
 * with its own rendering. Strings are UTF-8 throughout. Nothing recurses without a bound, and
 * source size, nesting, steps, memory and output are limited.
 */
#ifndef WEIR_JINJA_JINJA_H
#define WEIR_JINJA_JINJA_H

#include <time.h>

#include "engine/base/json.h"

typedef struct weir_jinja_template weir_jinja_template_t;
typedef struct weir_ji weir_jinja_t; /* one rendering */
struct weir_jv;

/* Limits; 0 in a field means the default in brackets. */
typedef struct {
    size_t max_source;  /* bytes of template [1 MiB] */
    uint32_t max_nodes; /* syntax nodes of a template [200,000] */
    uint64_t max_steps; /* evaluated nodes, and one per 64 bytes moved [8,000,000] */
    size_t max_memory;  /* bytes of scratch memory of a rendering [256 MiB] */
    size_t max_output;  /* bytes of the result [32 MiB] */
    uint32_t max_depth; /* nested evaluations, macro calls included [400] */
} weir_jinja_limits_t;

/*
 * Compiles source (copied). Errors: INVALID with line and column when jinja2 would not take it
 * either, UNSUPPORTED naming a construct outside the subset, LIMIT, NOMEM. limits may be NULL.
 */
weir_status_t weir_jinja_compile(weir_str_t source, const weir_jinja_limits_t *limits,
                                 weir_jinja_template_t **out, weir_error_t *err);
void weir_jinja_free(weir_jinja_template_t *tmpl);

/* Whether the template mentions this variable, attribute or string literal at all. */
bool weir_jinja_mentions(const weir_jinja_template_t *tmpl, const char *word);

/*
 * Whether the template walks over the parts of a message's content: a for loop over, or an index
 * into, an attribute named `attr` of something ("content"), or a variable set from one.
 */
bool weir_jinja_iterates(const weir_jinja_template_t *tmpl, const char *attr);

/* Begins a rendering; end frees it. Values made for it live until then. limits may be NULL. */
weir_status_t weir_jinja_begin(const weir_jinja_template_t *tmpl, const weir_jinja_limits_t *limits,
                               weir_jinja_t **out, weir_error_t *err);
void weir_jinja_end(weir_jinja_t *in);

/* The status of the rendering so far: after a function of value.h has failed. Fills *err. */
weir_status_t weir_jinja_status(const weir_jinja_t *in, weir_error_t *err);

/* The time that strftime_now prints, in UTC; without this call it is 1970-01-01. */
void weir_jinja_set_now(weir_jinja_t *in, time_t now);

/* Sets variables. Bytes of strings and JSON documents must outlive the rendering. */
weir_status_t weir_jinja_set_json(weir_jinja_t *in, const char *name, const weir_json_doc_t *doc,
                                  uint32_t node, weir_error_t *err);
weir_status_t weir_jinja_set_string(weir_jinja_t *in, const char *name, weir_str_t value,
                                    bool trusted, weir_error_t *err);
weir_status_t weir_jinja_set_bool(weir_jinja_t *in, const char *name, bool value,
                                  weir_error_t *err);
weir_status_t weir_jinja_set_none(weir_jinja_t *in, const char *name, weir_error_t *err);
/* A variable from a value built with engine/jinja/value.h. */
weir_status_t weir_jinja_set_value(weir_jinja_t *in, weir_str_t name, struct weir_jv value,
                                   weir_error_t *err);

typedef struct {
    uint32_t start; /* bytes; spans are ascending and cover the text without gaps */
    uint32_t end;
    bool trusted;
} weir_jinja_span_t;

typedef struct {
    weir_str_t text;
    const weir_jinja_span_t *spans;
    size_t n_spans;
} weir_jinja_output_t;

/*
 * Renders; text and spans lie in arena. Once per rendering. Errors: INVALID (code
 * "template_exception" with just the text of raise_exception, or "template_error" with what went
 * wrong and the line), UNSUPPORTED, LIMIT, NOMEM.
 */
weir_status_t weir_jinja_render(weir_jinja_t *in, weir_arena_t *arena, weir_jinja_output_t *out,
                                weir_error_t *err);

#endif

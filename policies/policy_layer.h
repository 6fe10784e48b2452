/*
 * Policies while they are put together: a layer is one "policy" object of a document, a merge the
 * sum of layers from the base down, and a compiler turns merges into weir_policy_t. Private to this
 * folder.
 */
#ifndef WEIR_POLICIES_POLICY_LAYER_H
#define WEIR_POLICIES_POLICY_LAYER_H

#include "policies/document.h"
#include "policies/policy.h"

typedef enum {
    WEIR_FIELD_MODELS_ALLOW,
    WEIR_FIELD_MODELS_DENY,
    WEIR_FIELD_ALIASES,
    WEIR_FIELD_ENDPOINTS,
    WEIR_FIELD_PASS_THROUGH,
    WEIR_FIELD_ADDRESSES,
    WEIR_FIELD_MAX_TOKENS,
    WEIR_FIELD_DEFAULT_MAX_TOKENS,
    WEIR_FIELD_N,
    WEIR_FIELD_CONTEXT_TOKENS,
    WEIR_FIELD_MODEL_CAPS,
    WEIR_FIELD_OVER_CAP,
    WEIR_FIELD_TOOLS_ALLOW,
    WEIR_FIELD_TOOLS_DENY,
    WEIR_FIELD_TOOLS_MAX,
    WEIR_FIELD_UNKNOWN_PRICE,
    WEIR_POLICY_FIELDS
} weir_policy_field_t;

typedef enum {
    WEIR_LEVEL_DEFAULT, /* nobody set it */
    WEIR_LEVEL_BASE,
    WEIR_LEVEL_TENANT,
    WEIR_LEVEL_TEAM,
    WEIR_LEVEL_USER,
    WEIR_LEVEL_KEY
} weir_policy_level_t;

/* "models.allow"; "base". */
const char *weir_policy_field_name(int field);
const char *weir_policy_level_name(weir_policy_level_t level);

/* Values are canonical JSON (keys and lists sorted, no blanks), so that equal means equal bytes;
 * data NULL: not set. "null" is a value: back to the default. */
typedef struct {
    weir_str_t values[WEIR_POLICY_FIELDS];
    uint32_t locked; /* bit per field */
    weir_policy_level_t level;
    const weir_source_t *source;
    const char *path; /* of the policy object in its source */
} weir_policy_layer_t;

/* Reads and checks object at path into the document's arena. */
weir_status_t weir_policy_layer_parse(const weir_document_t *doc, json_t *object, const char *path,
                                      weir_policy_level_t level, weir_policy_layer_t **out);

typedef struct {
    weir_str_t values[WEIR_POLICY_FIELDS];
    const weir_policy_layer_t *from[WEIR_POLICY_FIELDS];
    const weir_policy_layer_t *locked_by[WEIR_POLICY_FIELDS];
} weir_policy_merge_t;

/* Lays layer over *merge. Errors: INVALID with code policy_locked, both places named. */
weir_status_t weir_policy_merge(weir_policy_merge_t *merge, const weir_policy_layer_t *layer,
                                weir_arena_t *arena, weir_error_t *err);

/* The policies compiled so far, found by the hash of their content. */
typedef struct {
    weir_arena_t *arena;
    const weir_policy_t **slots;
    size_t n_slots;
    size_t n;
} weir_policy_table_t;

/* The policy of the merge: an equal one from the table or a new one in arena. add false: a new one
 * is left out of the table, which then is only read. */
weir_status_t weir_policy_compile(weir_policy_table_t *table, const weir_policy_merge_t *merge,
                                  weir_arena_t *arena, bool add, const weir_policy_t **out,
                                  weir_error_t *err);

/* Named policies and the base: policies/schema/policies.schema.json. */
typedef struct {
    weir_policy_layer_t *base; /* NULL: none */
    json_t *names;             /* name -> index of a layer; NULL without a document */
    weir_policy_layer_t **layers;
    size_t n_layers;
} weir_policy_names_t;

weir_status_t weir_policy_names_parse(const char *text, size_t len, const char *name,
                                      weir_arena_t *arena, weir_policy_names_t *out,
                                      weir_error_t *err);
void weir_policy_names_close(weir_policy_names_t *names);

/*
 * The member "policy" of object: absent gives NULL, an object a layer, a text the named policy.
 * names NULL: a name is only checked for its form and *out becomes NULL.
 */
weir_status_t weir_policy_member(const weir_document_t *doc, json_t *object, const char *path,
                                 weir_policy_level_t level, const weir_policy_names_t *names,
                                 weir_policy_layer_t **out);

#endif

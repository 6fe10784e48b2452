/* What the files of the guards document share. Private to this folder. */
#ifndef WEIR_POLICIES_GUARDS_PRIVATE_H
#define WEIR_POLICIES_GUARDS_PRIVATE_H

#include <jansson.h>

#include "policies/document.h"
#include "policies/guards.h"

#define WEIR_GUARD_MAX_ALLOW  4096 /* values, hashes and patterns of one policy */
#define WEIR_GUARD_MAX_CUSTOM 256  /* custom entities, deny entries and topics together */
#define WEIR_GUARD_MAX_CHAIN  16   /* policies that extend one another */

typedef struct {
    const char *type; /* NULL: all others */
    weir_guard_entity_rule_t rule;
} weir_guard_type_rule_t;

typedef struct {
    const char *type;
    unsigned least;
} weir_guard_topic_t;

struct weir_guard_policy_private {
    const weir_guard_type_rule_t *types;
    size_t type_count;
    weir_guard_entity_rule_t otherwise; /* of types that the policy does not name */
    weir_guard_entity_rule_t secret;
    const weir_guard_topic_t *topics;
    size_t topic_count;
    const weir_str_t *allow_values;
    size_t allow_value_count;
    const uint8_t (*allow_hashes)[32];
    size_t allow_hash_count;
    const weir_guard_rules_t *allow_patterns; /* custom entities that excuse a value */
};

typedef struct {
    weir_str_t id; /* tenant, "tenant/team" or key id */
    const weir_guard_policy_t *policy;
} weir_guard_assignment_t;

struct weir_guards {
    weir_guard_policy_t *policies;
    size_t count;
    weir_guard_rules_t **compiled; /* malloc: every rule set, for free */
    size_t compiled_count;
    size_t compiled_cap;
    const weir_guard_policy_t *otherwise;            /* NULL: none */
    weir_guard_assignment_t *tenants, *teams, *keys; /* by id */
    size_t tenant_count, team_count, key_count;
};

/* The order of allow-lists, for qsort and bsearch: of weir_str_t, and of 32-byte digests. */
int weir_guards_compare_value(const void *a, const void *b);
int weir_guards_compare_hash(const void *a, const void *b);

/* The policy as one object: its parents' members under its own. New reference, or NULL after an
 * error (a cycle, an unknown parent, a locked member). */
json_t *weir_guards_merge(const weir_document_t *doc, json_t *policies, const char *name);

/* What the direction makes of an action: in answers some become others. */
weir_guard_action_t weir_guards_effective(weir_guard_action_t action,
                                          weir_guard_direction_t direction);

/* Reads a merged policy and compiles it. */
weir_status_t weir_guards_read_policy(const weir_document_t *doc, weir_guards_t *guards,
                                      const char *name, json_t *merged, const char *folder,
                                      weir_guard_policy_t *out);

/* Compiles rules and remembers them for weir_guards_free. path: for messages. */
weir_status_t weir_guards_compile(const weir_document_t *doc, weir_guards_t *guards,
                                  const char *path, const weir_guard_options_t *options,
                                  const weir_guard_rules_t **out);

#endif

/* The guards document: assignments, lookups, and what becomes of a finding. */
#include "policies/guards.h"

#include <openssl/sha.h>
#include <stdlib.h>

#include "policies/guards_private.h"

const char *weir_guard_action_name(weir_guard_action_t action)
{
    static const char *const names[] = {"allow", "flag",        "redact", "replace",
                                        "mask",  "placeholder", "route",  "block"};
    return names[action];
}

/* --- requests --- */

static int compare_id(const void *a, const void *b)
{
    const weir_guard_assignment_t *x = a;
    const weir_guard_assignment_t *y = b;
    return weir_guards_compare_value(&x->id, &y->id);
}

static const weir_guard_policy_t *assigned(const weir_guard_assignment_t *list, size_t n,
                                           weir_str_t id)
{
    weir_guard_assignment_t key = {id, NULL};
    if (n == 0 || id.len == 0)
        return NULL;
    const weir_guard_assignment_t *hit = bsearch(&key, list, n, sizeof *list, compare_id);
    return hit == NULL ? NULL : hit->policy;
}

const weir_guard_policy_t *weir_guards_find(const weir_guards_t *g, weir_str_t tenant,
                                            weir_str_t team, weir_str_t key_id)
{
    char both[160];
    const weir_guard_policy_t *p = assigned(g->keys, g->key_count, key_id);
    if (p == NULL && team.len > 0 && tenant.len + team.len + 1 <= sizeof both) {
        memcpy(both, tenant.data, tenant.len);
        both[tenant.len] = '/';
        memcpy(both + tenant.len + 1, team.data, team.len);
        p = assigned(g->teams, g->team_count, weir_str(both, tenant.len + team.len + 1));
    }
    if (p == NULL)
        p = assigned(g->tenants, g->tenant_count, tenant);
    return p != NULL ? p : g->otherwise;
}

size_t weir_guards_count(const weir_guards_t *g)
{
    return g->count;
}

const weir_guard_policy_t *weir_guards_at(const weir_guards_t *g, size_t i)
{
    return &g->policies[i];
}

int weir_guards_compare_value(const void *a, const void *b)
{
    const weir_str_t *x = a;
    const weir_str_t *y = b;
    size_t n = x->len < y->len ? x->len : y->len;
    int order = n == 0 ? 0 : memcmp(x->data, y->data, n);
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

int weir_guards_compare_hash(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

static bool excused(const weir_guard_policy_private_t *own, weir_str_t value,
                    weir_guard_scratch_t *spare)
{
    if (own->allow_value_count > 0 && bsearch(&value, own->allow_values, own->allow_value_count,
                                              sizeof value, weir_guards_compare_value) != NULL)
        return true;
    if (own->allow_hash_count > 0) {
        uint8_t digest[32];
        SHA256((const unsigned char *)value.data, value.len, digest);
        if (bsearch(digest, own->allow_hashes, own->allow_hash_count, 32,
                    weir_guards_compare_hash) != NULL)
            return true;
    }
    if (own->allow_patterns == NULL)
        return false;
    weir_guard_scratch_t *scratch = spare != NULL ? spare : weir_guard_scratch_create();
    weir_guard_result_t found;
    bool hit = scratch != NULL &&
               weir_guard_scan(own->allow_patterns, scratch, value.data, value.len, NULL, &found,
                               NULL) == WEIR_OK &&
               found.count == 1 && found.findings[0].start == 0 &&
               found.findings[0].end == value.len;
    if (spare == NULL)
        weir_guard_scratch_free(scratch);
    return hit;
}

static const weir_guard_entity_rule_t *rule_of(const weir_guard_policy_private_t *own,
                                               const char *type)
{
    for (size_t i = 0; i < own->type_count; i++)
        if (strcmp(own->types[i].type, type) == 0)
            return &own->types[i].rule;
    return strcmp(type, "SECRET") == 0 ? &own->secret : &own->otherwise;
}

weir_guard_action_t weir_guards_effective(weir_guard_action_t action,
                                          weir_guard_direction_t direction)
{
    if (direction == WEIR_GUARD_OUTPUT && action == WEIR_GUARD_PLACEHOLDER)
        return WEIR_GUARD_REDACT;
    if (direction == WEIR_GUARD_OUTPUT && action == WEIR_GUARD_ROUTE)
        return WEIR_GUARD_FLAG;
    return action;
}

weir_guard_action_t weir_guard_policy_action(const weir_guard_policy_t *policy,
                                             weir_guard_direction_t direction,
                                             const weir_guard_finding_t *finding, weir_str_t value,
                                             weir_str_t *replacement)
{
    return weir_guard_policy_judge(policy, direction, finding, value, NULL, replacement);
}

weir_guard_action_t weir_guard_policy_judge(const weir_guard_policy_t *policy,
                                            weir_guard_direction_t direction,
                                            const weir_guard_finding_t *finding, weir_str_t value,
                                            weir_guard_scratch_t *spare, weir_str_t *replacement)
{
    const weir_guard_entity_rule_t *rule = rule_of(policy->own, finding->type);
    weir_guard_action_t action = rule->action[direction];
    *replacement = rule->replacement;
    if (action == WEIR_GUARD_ALLOW || finding->score < rule->min_score ||
        excused(policy->own, value, spare))
        return WEIR_GUARD_ALLOW;
    return weir_guards_effective(action, direction);
}

int weir_guard_policy_topic(const weir_guard_policy_t *policy, const weir_guard_finding_t *finding,
                            unsigned *least)
{
    for (size_t i = 0; i < policy->own->topic_count; i++) {
        if (strcmp(policy->own->topics[i].type, finding->type) == 0) {
            *least = policy->own->topics[i].least;
            return (int)i;
        }
    }
    return -1;
}

/* --- loading --- */

void weir_guards_free(weir_guards_t *g)
{
    if (g == NULL)
        return;
    for (size_t i = 0; i < g->compiled_count; i++)
        weir_guard_rules_free(g->compiled[i]);
    free(g->compiled);
    g->compiled = NULL;
    g->compiled_count = 0;
}

/* Entries of custom, deny and topics are the library's "custom", a parent's among them: what tells
 * them is their type. */
static weir_status_t compile_fails(const weir_document_t *doc, const char *path,
                                   const weir_guard_options_t *options, const weir_error_t *why)
{
    size_t i;
    if (sscanf(why->field, "custom[%zu]", &i) == 1 && i < options->custom_count)
        return weir_document_fail(doc, path, "%s, in the entry of the type \"%s\"", why->message,
                                  options->custom[i].type);
    return weir_document_fail(doc, path, "%s%s%s", why->message, why->field[0] ? ", at " : "",
                              why->field);
}

weir_status_t weir_guards_compile(const weir_document_t *doc, weir_guards_t *g, const char *path,
                                  const weir_guard_options_t *options,
                                  const weir_guard_rules_t **out)
{
    weir_error_t why;
    weir_guard_rules_t *rules;
    if (g->compiled_count == g->compiled_cap) {
        size_t cap = g->compiled_cap == 0 ? 16 : g->compiled_cap * 2;
        weir_guard_rules_t **more = realloc(g->compiled, cap * sizeof(weir_guard_rules_t *));
        if (more == NULL)
            return weir_document_nomem(doc);
        g->compiled = more;
        g->compiled_cap = cap;
    }
    weir_status_t rc = weir_guard_rules_compile(options, &rules, &why);
    if (rc == WEIR_ERR_NOMEM)
        return weir_document_nomem(doc);
    if (rc != WEIR_OK)
        return compile_fails(doc, path, options, &why);
    g->compiled[g->compiled_count++] = rules;
    *out = rules;
    return WEIR_OK;
}

static weir_status_t find_named(const weir_document_t *doc, const weir_guards_t *g,
                                const char *path, json_t *name, const weir_guard_policy_t **out)
{
    if (!json_is_string(name))
        return weir_document_fail(doc, path, "expected a policy's name, found %s",
                                  weir_document_type(name));
    for (size_t i = 0; i < g->count; i++) {
        if (weir_str_is(g->policies[i].name, json_string_value(name))) {
            *out = &g->policies[i];
            return WEIR_OK;
        }
    }
    return weir_document_fail(doc, path, "expected the name of a policy, found \"%.64s\"",
                              json_string_value(name));
}

static weir_status_t read_assignments(const weir_document_t *doc, const weir_guards_t *g,
                                      const char *member, weir_guard_assignment_t **list, size_t *n)
{
    const char *id;
    json_t *name;
    json_t *object = json_object_get(doc->root, member);
    if (object == NULL)
        return WEIR_OK;
    if (!json_is_object(object))
        return weir_document_fail(doc, member, "expected an object, found %s",
                                  weir_document_type(object));
    *list = weir_arena_calloc(doc->arena, json_object_size(object) + 1, sizeof **list);
    if (*list == NULL)
        return weir_document_nomem(doc);
    json_object_foreach(object, id, name)
    {
        weir_guard_assignment_t *a = &(*list)[*n];
        weir_status_t rc = find_named(doc, g, weir_path_member(member, id).text, name, &a->policy);
        if (rc != WEIR_OK)
            return rc;
        a->id.len = strlen(id);
        a->id.data = weir_arena_strndup(doc->arena, id, a->id.len);
        if (a->id.data == NULL)
            return weir_document_nomem(doc);
        ++*n;
    }
    qsort(*list, *n, sizeof **list, compare_id);
    return WEIR_OK;
}

static weir_status_t read_policies(const weir_document_t *doc, weir_guards_t *g, const char *folder)
{
    const char *name;
    json_t *policy;
    json_t *policies = json_object_get(doc->root, "policies");
    if (!json_is_object(policies) || json_object_size(policies) == 0)
        return weir_document_fail(doc, "policies", "expected an object of policies, found %s",
                                  json_is_object(policies) ? "none" : weir_document_type(policies));
    g->policies = weir_arena_calloc(doc->arena, json_object_size(policies), sizeof *g->policies);
    if (g->policies == NULL)
        return weir_document_nomem(doc);
    json_object_foreach(policies, name, policy)
    {
        (void)policy;
        json_t *merged = weir_guards_merge(doc, policies, name);
        if (merged == NULL)
            return doc->err != NULL ? doc->err->status : WEIR_ERR_INVALID;
        weir_status_t rc =
            weir_guards_read_policy(doc, g, name, merged, folder, &g->policies[g->count]);
        json_decref(merged);
        if (rc != WEIR_OK)
            return rc;
        g->count++;
    }
    return WEIR_OK;
}

static weir_status_t read_all(const weir_document_t *doc, weir_guards_t *g, const char *folder)
{
    static const char *const known[] = {"$schema", "version", "policies", "default",
                                        "tenants", "teams",   "keys",     NULL};
    weir_status_t rc = weir_document_members(doc, doc->root, "", known);
    if (rc == WEIR_OK)
        rc = weir_document_version(doc);
    if (rc == WEIR_OK)
        rc = read_policies(doc, g, folder);
    json_t *otherwise = json_object_get(doc->root, "default");
    if (rc == WEIR_OK && otherwise != NULL)
        rc = find_named(doc, g, "default", otherwise, &g->otherwise);
    if (rc == WEIR_OK)
        rc = read_assignments(doc, g, "tenants", &g->tenants, &g->tenant_count);
    if (rc == WEIR_OK)
        rc = read_assignments(doc, g, "teams", &g->teams, &g->team_count);
    if (rc == WEIR_OK)
        rc = read_assignments(doc, g, "keys", &g->keys, &g->key_count);
    return rc;
}

weir_status_t weir_guards_parse(const char *text, size_t len, const char *name, const char *folder,
                                weir_arena_t *arena, weir_guards_t **out, weir_error_t *err)
{
    weir_document_t doc;
    weir_error_t own;
    weir_status_t rc = weir_document_open(&doc, text, len, name, arena, err != NULL ? err : &own);
    if (rc != WEIR_OK)
        return rc;
    weir_guards_t *g = weir_arena_calloc(arena, 1, sizeof *g);
    rc = g == NULL ? weir_document_nomem(&doc) : read_all(&doc, g, folder);
    weir_document_close(&doc);
    if (rc != WEIR_OK) {
        weir_guards_free(g);
        return rc;
    }
    *out = g;
    return WEIR_OK;
}

weir_status_t weir_guards_load(const char *path, weir_arena_t *arena, weir_guards_t **out,
                               weir_error_t *err)
{
    weir_str_t text;
    weir_status_t rc = weir_document_read(path, arena, &text, err);
    if (rc != WEIR_OK)
        return rc;
    const char *slash = strrchr(path, '/');
    const char *folder = NULL;
    if (slash != NULL) {
        folder = weir_arena_strndup(arena, path, slash == path ? 1 : (size_t)(slash - path));
        if (folder == NULL)
            return weir_error(err, WEIR_ERR_NOMEM, "out of memory for %s", path);
    }
    return weir_guards_parse(text.data, text.len, path, folder, arena, out, err);
}

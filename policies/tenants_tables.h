/* The inside of weir_tenants_t, for those who put policies to it. Private to this folder. */
#ifndef WEIR_POLICIES_TENANTS_TABLES_H
#define WEIR_POLICIES_TENANTS_TABLES_H

#include "policies/policy_layer.h"
#include "policies/tenants.h"

/* Open addressing; an entry is an index + 1, 0 is empty. A power of two, at most half full. */
typedef struct {
    uint32_t *slots;
    size_t n;
} weir_slots_t;

struct weir_tenants {
    weir_tenant_t *tenants;
    size_t n_tenants;
    weir_team_t *teams;
    size_t n_teams;
    weir_user_t *users;
    size_t n_users;
    weir_api_key_t *keys;
    size_t n_keys;
    /* Beside each: its own policy object or NULL; and for all but keys, after merging, the sum from
     * the base down (shared with the level above where there is none of its own). */
    weir_policy_layer_t **tenant_layers;
    weir_policy_layer_t **team_layers;
    weir_policy_layer_t **user_layers;
    weir_policy_layer_t **key_layers;
    const weir_policy_merge_t **tenant_merges;
    const weir_policy_merge_t **team_merges;
    const weir_policy_merge_t **user_merges;
    weir_slots_t tenant_slots;
    weir_slots_t team_slots;
    weir_slots_t user_slots;
    weir_slots_t key_slots;
};

/* As weir_tenants_parse, with the policies that names may refer to. */
weir_status_t weir_tenants_parse_with(const char *text, size_t len, const char *name,
                                      const weir_policy_names_t *names, weir_arena_t *arena,
                                      weir_tenants_t **out, weir_error_t *err);

/* Merges all policies from the base down and compiles them into table. */
weir_status_t weir_tenants_compile(weir_tenants_t *t, const weir_policy_merge_t *base,
                                   weir_policy_table_t *table, weir_error_t *err);

/* The merge that a key of this tenant, team and user starts from. */
const weir_policy_merge_t *weir_tenants_merge_of(const weir_tenants_t *t,
                                                 const weir_tenant_t *tenant,
                                                 const weir_team_t *team, const weir_user_t *user);

/* *above with the layer (may be NULL) on top; a copy in arena only when there is one. */
weir_status_t weir_policy_merge_over(const weir_policy_merge_t *above,
                                     const weir_policy_layer_t *layer, weir_arena_t *arena,
                                     const weir_policy_merge_t **out, weir_error_t *err);

uint32_t *weir_tenants_slot(const weir_tenants_t *t, weir_str_t id);
uint32_t *weir_teams_slot(const weir_tenants_t *t, uint32_t tenant, weir_str_t id);
uint32_t *weir_users_slot(const weir_tenants_t *t, uint32_t tenant, const weir_team_t *team,
                          weir_str_t id);
uint32_t *weir_keys_slot(const weir_tenants_t *t, const char *id);

/* FNV-1a of a key's id. Key ids are ours and random, so nobody can aim at collisions through a
 * request: a probe stops at the first empty slot and tables are at most half full. */
static inline uint32_t weir_key_id_hash(const char *id)
{
    return weir_hash_bytes(WEIR_HASH_START, id, WEIR_KEY_ID_LEN);
}

/* The verdict on a presented key, found (or not: NULL) by its id. */
weir_auth_verdict_t weir_key_check(weir_key_hasher_t *hasher, weir_str_t presented,
                                   const weir_api_key_t *found, int64_t now,
                                   const weir_api_key_t **key);

#endif

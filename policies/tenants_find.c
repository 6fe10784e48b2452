/* Finding in the tenants document, and the policies of what is found. */
#include "policies/tenants_tables.h"

size_t weir_tenants_count(const weir_tenants_t *t)
{
    return t->n_tenants;
}

const weir_tenant_t *weir_tenants_at(const weir_tenants_t *t, size_t i)
{
    return &t->tenants[i];
}

size_t weir_tenants_team_count(const weir_tenants_t *t)
{
    return t->n_teams;
}

const weir_team_t *weir_tenants_team_at(const weir_tenants_t *t, size_t i)
{
    return &t->teams[i];
}

size_t weir_tenants_user_count(const weir_tenants_t *t)
{
    return t->n_users;
}

const weir_user_t *weir_tenants_user_at(const weir_tenants_t *t, size_t i)
{
    return &t->users[i];
}

size_t weir_tenants_key_count(const weir_tenants_t *t)
{
    return t->n_keys;
}

const weir_api_key_t *weir_tenants_key_at(const weir_tenants_t *t, size_t i)
{
    return &t->keys[i];
}

uint32_t *weir_tenants_slot(const weir_tenants_t *t, weir_str_t id)
{
    size_t i = weir_hash_bytes(WEIR_HASH_START, id.data, id.len) & (t->tenant_slots.n - 1);
    uint32_t *slots = t->tenant_slots.slots;

    while (slots[i] != 0 && !weir_str_eq(t->tenants[slots[i] - 1].id, id)) {
        i = (i + 1) & (t->tenant_slots.n - 1);
    }
    return &slots[i];
}

static uint32_t hash_below(uint32_t owner, weir_str_t id)
{
    return weir_hash_bytes(WEIR_HASH_START ^ owner * 2654435769u, id.data, id.len);
}

uint32_t *weir_teams_slot(const weir_tenants_t *t, uint32_t tenant, weir_str_t id)
{
    size_t i = hash_below(tenant, id) & (t->team_slots.n - 1);
    uint32_t *slots = t->team_slots.slots;

    while (slots[i] != 0 && (t->teams[slots[i] - 1].tenant->index != tenant ||
                             !weir_str_eq(t->teams[slots[i] - 1].id, id))) {
        i = (i + 1) & (t->team_slots.n - 1);
    }
    return &slots[i];
}

uint32_t *weir_users_slot(const weir_tenants_t *t, uint32_t tenant, const weir_team_t *team,
                          weir_str_t id)
{
    uint32_t owner = team == NULL ? tenant : ~team->index;
    size_t i = hash_below(owner, id) & (t->user_slots.n - 1);
    uint32_t *slots = t->user_slots.slots;

    while (slots[i] != 0 &&
           (t->users[slots[i] - 1].tenant->index != tenant || t->users[slots[i] - 1].team != team ||
            !weir_str_eq(t->users[slots[i] - 1].id, id))) {
        i = (i + 1) & (t->user_slots.n - 1);
    }
    return &slots[i];
}

uint32_t *weir_keys_slot(const weir_tenants_t *t, const char *id)
{
    size_t i = weir_key_id_hash(id) & (t->key_slots.n - 1);
    uint32_t *slots = t->key_slots.slots;

    while (slots[i] != 0 && memcmp(t->keys[slots[i] - 1].id, id, WEIR_KEY_ID_LEN) != 0) {
        i = (i + 1) & (t->key_slots.n - 1);
    }
    return &slots[i];
}

const weir_tenant_t *weir_tenants_find(const weir_tenants_t *t, weir_str_t id)
{
    uint32_t slot = *weir_tenants_slot(t, id);
    return slot == 0 ? NULL : &t->tenants[slot - 1];
}

const weir_team_t *weir_tenants_find_team(const weir_tenants_t *t, const weir_tenant_t *tenant,
                                          weir_str_t id)
{
    uint32_t slot = *weir_teams_slot(t, tenant->index, id);
    return slot == 0 ? NULL : &t->teams[slot - 1];
}

const weir_user_t *weir_tenants_find_user(const weir_tenants_t *t, const weir_tenant_t *tenant,
                                          const weir_team_t *team, weir_str_t id)
{
    uint32_t slot = *weir_users_slot(t, tenant->index, team, id);
    return slot == 0 ? NULL : &t->users[slot - 1];
}

const weir_api_key_t *weir_tenants_find_key(const weir_tenants_t *t, weir_str_t id)
{
    uint32_t slot = id.len == WEIR_KEY_ID_LEN ? *weir_keys_slot(t, id.data) : 0;
    return slot == 0 ? NULL : &t->keys[slot - 1];
}

weir_auth_verdict_t weir_key_verdict(const weir_api_key_t *key, int64_t now)
{
    if (key->revoked) {
        return WEIR_AUTH_KEY_REVOKED;
    }
    if (key->expires != 0 && now >= key->expires) {
        return WEIR_AUTH_EXPIRED;
    }
    if (!key->enabled) {
        return WEIR_AUTH_KEY_DISABLED;
    }
    if (!key->tenant->enabled) {
        return WEIR_AUTH_TENANT_DISABLED;
    }
    if (key->team != NULL && !key->team->enabled) {
        return WEIR_AUTH_TEAM_DISABLED;
    }
    return key->user != NULL && !key->user->enabled ? WEIR_AUTH_USER_DISABLED : WEIR_AUTH_OK;
}

/* Both secrets share the salt, so one hash serves both; both comparisons are always made, and an
 * unknown key is compared with zeros, so that time tells nothing. */
weir_auth_verdict_t weir_key_check(weir_key_hasher_t *hasher, weir_str_t presented,
                                   const weir_api_key_t *found, int64_t now,
                                   const weir_api_key_t **key)
{
    static const weir_api_key_t nobody;
    const weir_api_key_t *against = found == NULL ? &nobody : found;
    uint8_t hash[WEIR_KEY_HASH_LEN];
    bool current;
    bool previous;

    *key = NULL;
    if (weir_key_hash_with(hasher, presented, against->salt, hash) != WEIR_OK) {
        return WEIR_AUTH_ERROR;
    }
    current = weir_key_hash_equal(hash, against->hash);
    previous = weir_key_hash_equal(hash, against->previous_hash) && against->has_previous;
    if (found == NULL || (!current && !previous)) {
        return WEIR_AUTH_INVALID;
    }
    *key = found;
    if (!current && found->previous_expires != 0 && now >= found->previous_expires &&
        !found->revoked) {
        return WEIR_AUTH_EXPIRED;
    }
    return weir_key_verdict(found, now);
}

weir_auth_verdict_t weir_tenants_authenticate(const weir_tenants_t *t, weir_str_t presented,
                                              int64_t now, const weir_api_key_t **key)
{
    weir_str_t id;

    *key = NULL;
    if (!weir_key_parse(presented, &id)) {
        return WEIR_AUTH_INVALID;
    }
    return weir_key_check(NULL, presented, weir_tenants_find_key(t, id), now, key);
}

weir_status_t weir_policy_merge_over(const weir_policy_merge_t *above,
                                     const weir_policy_layer_t *layer, weir_arena_t *arena,
                                     const weir_policy_merge_t **out, weir_error_t *err)
{
    weir_policy_merge_t *sum;

    *out = above;
    if (layer == NULL) {
        return WEIR_OK;
    }
    sum = weir_arena_alloc(arena, sizeof(*sum));
    if (sum == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    *sum = *above;
    *out = sum;
    return weir_policy_merge(sum, layer, arena, err);
}

const weir_policy_merge_t *weir_tenants_merge_of(const weir_tenants_t *t,
                                                 const weir_tenant_t *tenant,
                                                 const weir_team_t *team, const weir_user_t *user)
{
    return user != NULL   ? t->user_merges[user->index]
           : team != NULL ? t->team_merges[team->index]
                          : t->tenant_merges[tenant->index];
}

static weir_status_t compile_level(weir_policy_table_t *table, const weir_policy_merge_t *above,
                                   const weir_policy_t *above_policy,
                                   const weir_policy_layer_t *layer,
                                   const weir_policy_merge_t **merge, const weir_policy_t **policy,
                                   weir_error_t *err)
{
    weir_status_t rc = weir_policy_merge_over(above, layer, table->arena, merge, err);

    if (rc == WEIR_OK && *merge == above && above_policy != NULL) {
        *policy = above_policy;
        return WEIR_OK;
    }
    return rc == WEIR_OK ? weir_policy_compile(table, *merge, table->arena, true, policy, err) : rc;
}

static weir_status_t compile_keys(weir_tenants_t *t, weir_policy_table_t *table, weir_error_t *err)
{
    weir_status_t rc = WEIR_OK;

    for (size_t i = 0; rc == WEIR_OK && i < t->n_keys; i++) {
        weir_api_key_t *key = &t->keys[i];
        const weir_policy_t *above = key->user != NULL   ? key->user->policy
                                     : key->team != NULL ? key->team->policy
                                                         : key->tenant->policy;
        const weir_policy_merge_t *merge;
        rc = compile_level(table, weir_tenants_merge_of(t, key->tenant, key->team, key->user),
                           above, t->key_layers[i], &merge, &key->policy, err);
    }
    return rc;
}

weir_status_t weir_tenants_compile(weir_tenants_t *t, const weir_policy_merge_t *base,
                                   weir_policy_table_t *table, weir_error_t *err)
{
    weir_status_t rc = WEIR_OK;

    for (size_t i = 0; rc == WEIR_OK && i < t->n_tenants; i++) {
        rc = compile_level(table, base, NULL, t->tenant_layers[i], &t->tenant_merges[i],
                           &t->tenants[i].policy, err);
    }
    for (size_t i = 0; rc == WEIR_OK && i < t->n_teams; i++) {
        const weir_tenant_t *tenant = t->teams[i].tenant;
        rc = compile_level(table, t->tenant_merges[tenant->index], tenant->policy,
                           t->team_layers[i], &t->team_merges[i], &t->teams[i].policy, err);
    }
    for (size_t i = 0; rc == WEIR_OK && i < t->n_users; i++) {
        const weir_user_t *user = &t->users[i];
        rc = compile_level(table, weir_tenants_merge_of(t, user->tenant, user->team, NULL),
                           user->team != NULL ? user->team->policy : user->tenant->policy,
                           t->user_layers[i], &t->user_merges[i], &t->users[i].policy, err);
    }
    return rc == WEIR_OK ? compile_keys(t, table, err) : rc;
}

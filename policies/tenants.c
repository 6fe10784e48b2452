/* Reading the tenants document. */
#include "policies/tenants.h"

#include <stdio.h>

#include "policies/tenants_tables.h"

typedef struct {
    const weir_document_t *doc;
    const weir_policy_names_t *names;
    weir_tenants_t *t;
} loader_t;

/* Where an object stands: those above it that keys and users refer to. */
typedef struct {
    const weir_tenant_t *tenant;
    const weir_team_t *team;
    const weir_user_t *user;
} owner_t;

/* The secret before the last rotation: {"hash": ..., "expires": ...}. */
static weir_status_t load_previous(const loader_t *l, json_t *object, const char *path,
                                   weir_api_key_t *key)
{
    static const char *const known[] = {"hash", "expires", NULL};
    const weir_path_t at = weir_path_member(path, "previous");
    json_t *previous = json_object_get(object, "previous");
    weir_status_t rc;

    if (previous == NULL) {
        return WEIR_OK;
    }
    key->has_previous = true;
    if ((rc = weir_document_members(l->doc, previous, at.text, known)) != WEIR_OK ||
        (rc = weir_document_hex(l->doc, previous, at.text, "hash", key->previous_hash,
                                WEIR_KEY_HASH_LEN)) != WEIR_OK) {
        return rc;
    }
    return weir_document_time(l->doc, previous, at.text, "expires", &key->previous_expires);
}

static weir_status_t load_key_id(const loader_t *l, json_t *object, const char *path,
                                 weir_api_key_t *key)
{
    weir_str_t id;
    weir_status_t rc = weir_document_text(l->doc, object, path, "id", 64, &id);

    if (rc != WEIR_OK) {
        return rc;
    }
    if (id.len != WEIR_KEY_ID_LEN ||
        strspn(id.data, "0123456789abcdefghijklmnopqrstuvwxyz") != id.len) {
        return weir_document_fail(l->doc, weir_path_member(path, "id").text,
                                  "expected %d characters of 0-9 and a-z", WEIR_KEY_ID_LEN);
    }
    memcpy(key->id, id.data, WEIR_KEY_ID_LEN + 1);
    return WEIR_OK;
}

static weir_status_t load_key(const loader_t *l, json_t *object, const char *path, owner_t owner)
{
    static const char *const known[] = {"id",      "label",   "salt",     "hash",   "enabled",
                                        "created", "expires", "previous", "policy", NULL};
    const weir_document_t *doc = l->doc;
    weir_api_key_t *key = &l->t->keys[l->t->n_keys];
    weir_status_t rc;

    if ((rc = weir_document_members(doc, object, path, known)) != WEIR_OK ||
        (rc = load_key_id(l, object, path, key)) != WEIR_OK) {
        return rc;
    }
    key->tenant = owner.tenant;
    key->team = owner.team;
    key->user = owner.user;
    if ((rc = weir_document_text(doc, object, path, "label", 256, &key->label)) != WEIR_OK ||
        (rc = weir_document_hex(doc, object, path, "salt", key->salt, WEIR_KEY_SALT_LEN)) !=
            WEIR_OK ||
        (rc = weir_document_hex(doc, object, path, "hash", key->hash, WEIR_KEY_HASH_LEN)) !=
            WEIR_OK ||
        (rc = load_previous(l, object, path, key)) != WEIR_OK ||
        (rc = weir_document_bool(doc, object, path, "enabled", true, &key->enabled)) != WEIR_OK ||
        (rc = weir_document_time(doc, object, path, "created", &key->created)) != WEIR_OK ||
        (rc = weir_document_time(doc, object, path, "expires", &key->expires)) != WEIR_OK ||
        (rc = weir_policy_member(doc, object, path, WEIR_LEVEL_KEY, l->names,
                                 &l->t->key_layers[l->t->n_keys])) != WEIR_OK) {
        return rc;
    }
    uint32_t *slot = weir_keys_slot(l->t, key->id);
    if (*slot != 0) {
        return weir_document_fail(doc, weir_path_member(path, "id").text,
                                  "the key id %s occurs twice", key->id);
    }
    *slot = (uint32_t)++l->t->n_keys;
    return WEIR_OK;
}

static weir_status_t load_keys(const loader_t *l, json_t *object, const char *path, owner_t owner)
{
    json_t *keys;
    weir_status_t rc = weir_document_array(l->doc, object, path, "keys", &keys);

    for (size_t i = 0; rc == WEIR_OK && i < json_array_size(keys); i++) {
        rc = load_key(l, json_array_get(keys, i), weir_path_at(path, "keys", i).text, owner);
    }
    return rc;
}

/* What tenants, teams and users have in common. */
static weir_status_t load_names(const loader_t *l, json_t *object, const char *path,
                                weir_policy_level_t level, weir_str_t *id, weir_str_t *name,
                                bool *enabled, weir_policy_layer_t **layer)
{
    const weir_document_t *doc = l->doc;
    bool is_user = level == WEIR_LEVEL_USER;
    weir_status_t rc;

    if ((rc = weir_document_text(doc, object, path, "id", 256, id)) != WEIR_OK ||
        (rc = weir_document_text(doc, object, path, "name", 256, name)) != WEIR_OK ||
        (rc = weir_document_bool(doc, object, path, "enabled", true, enabled)) != WEIR_OK) {
        return rc;
    }
    if (is_user ? !weir_document_user_id_ok(*id) : !weir_document_id_ok(*id)) {
        return weir_document_fail(
            doc, weir_path_member(path, "id").text,
            is_user ? "expected 1 to 128 of A-Z a-z 0-9 . _ @ | : + = / -"
                    : "expected 1 to 64 of a-z 0-9 . _ -, the first a letter or digit");
    }
    return weir_policy_member(doc, object, path, level, l->names, layer);
}

static weir_status_t load_user(const loader_t *l, json_t *object, const char *path, owner_t owner)
{
    static const char *const known[] = {"id", "name", "enabled", "policy", "keys", NULL};
    weir_user_t *user = &l->t->users[l->t->n_users];
    weir_status_t rc;
    uint32_t *slot;

    if ((rc = weir_document_members(l->doc, object, path, known)) != WEIR_OK ||
        (rc = load_names(l, object, path, WEIR_LEVEL_USER, &user->id, &user->name, &user->enabled,
                         &l->t->user_layers[l->t->n_users])) != WEIR_OK) {
        return rc;
    }
    user->tenant = owner.tenant;
    user->team = owner.team;
    user->index = (uint32_t)l->t->n_users;
    slot = weir_users_slot(l->t, owner.tenant->index, owner.team, user->id);
    if (*slot != 0) {
        return weir_document_fail(l->doc, weir_path_member(path, "id").text,
                                  "the user %s occurs twice", user->id.data);
    }
    *slot = (uint32_t)++l->t->n_users;
    owner.user = user;
    return load_keys(l, object, path, owner);
}

static weir_status_t load_users(const loader_t *l, json_t *object, const char *path, owner_t owner)
{
    json_t *users;
    weir_status_t rc = weir_document_array(l->doc, object, path, "users", &users);

    for (size_t i = 0; rc == WEIR_OK && i < json_array_size(users); i++) {
        rc = load_user(l, json_array_get(users, i), weir_path_at(path, "users", i).text, owner);
    }
    return rc;
}

static weir_status_t load_team(const loader_t *l, json_t *object, const char *path, owner_t owner)
{
    static const char *const known[] = {"id", "name", "enabled", "policy", "users", "keys", NULL};
    weir_team_t *team = &l->t->teams[l->t->n_teams];
    weir_status_t rc;
    uint32_t *slot;

    if ((rc = weir_document_members(l->doc, object, path, known)) != WEIR_OK ||
        (rc = load_names(l, object, path, WEIR_LEVEL_TEAM, &team->id, &team->name, &team->enabled,
                         &l->t->team_layers[l->t->n_teams])) != WEIR_OK) {
        return rc;
    }
    team->tenant = owner.tenant;
    team->index = (uint32_t)l->t->n_teams;
    slot = weir_teams_slot(l->t, owner.tenant->index, team->id);
    if (*slot != 0) {
        return weir_document_fail(l->doc, weir_path_member(path, "id").text,
                                  "the team %s occurs twice", team->id.data);
    }
    *slot = (uint32_t)++l->t->n_teams;
    owner.team = team;
    rc = load_keys(l, object, path, owner);
    return rc == WEIR_OK ? load_users(l, object, path, owner) : rc;
}

static weir_status_t load_tenant(const loader_t *l, json_t *object, size_t index)
{
    static const char *const known[] = {"id",    "name",  "enabled", "policy",
                                        "teams", "users", "keys",    NULL};
    const weir_path_t path = weir_path_at("", "tenants", index);
    weir_tenant_t *tenant = &l->t->tenants[index];
    owner_t owner = {.tenant = tenant};
    json_t *teams;
    weir_status_t rc;
    uint32_t *slot;

    if ((rc = weir_document_members(l->doc, object, path.text, known)) != WEIR_OK ||
        (rc = load_names(l, object, path.text, WEIR_LEVEL_TENANT, &tenant->id, &tenant->name,
                         &tenant->enabled, &l->t->tenant_layers[index])) != WEIR_OK) {
        return rc;
    }
    tenant->index = (uint32_t)index;
    slot = weir_tenants_slot(l->t, tenant->id);
    if (*slot != 0) {
        return weir_document_fail(l->doc, weir_path_member(path.text, "id").text,
                                  "the tenant %s occurs twice", tenant->id.data);
    }
    *slot = (uint32_t)++l->t->n_tenants;
    if ((rc = load_keys(l, object, path.text, owner)) != WEIR_OK ||
        (rc = load_users(l, object, path.text, owner)) != WEIR_OK ||
        (rc = weir_document_array(l->doc, object, path.text, "teams", &teams)) != WEIR_OK) {
        return rc;
    }
    for (size_t i = 0; rc == WEIR_OK && i < json_array_size(teams); i++) {
        rc =
            load_team(l, json_array_get(teams, i), weir_path_at(path.text, "teams", i).text, owner);
    }
    return rc;
}

typedef struct {
    size_t teams;
    size_t users;
    size_t keys;
} counts_t;

/* Counts are taken before types are checked: jansson's accessors give nothing for other types. */
static void count_users(json_t *object, counts_t *n)
{
    json_t *users = json_object_get(object, "users");

    n->keys += json_array_size(json_object_get(object, "keys"));
    n->users += json_array_size(users);
    for (size_t i = 0; i < json_array_size(users); i++) {
        n->keys += json_array_size(json_object_get(json_array_get(users, i), "keys"));
    }
}

static bool make_slots(weir_arena_t *arena, size_t n, weir_slots_t *out)
{
    out->n = 4;
    while (out->n < 2 * n) {
        out->n *= 2;
    }
    out->slots = weir_arena_calloc(arena, out->n, sizeof(uint32_t));
    return out->slots != NULL;
}

static weir_status_t allocate(const loader_t *l, json_t *tenants)
{
    counts_t n = {0};
    size_t n_tenants = json_array_size(tenants);
    weir_arena_t *arena = l->doc->arena;
    weir_tenants_t *t = l->t;

    for (size_t i = 0; i < n_tenants; i++) {
        json_t *tenant = json_array_get(tenants, i);
        json_t *teams = json_object_get(tenant, "teams");
        count_users(tenant, &n);
        n.teams += json_array_size(teams);
        for (size_t k = 0; k < json_array_size(teams); k++) {
            count_users(json_array_get(teams, k), &n);
        }
    }
    t->tenants = weir_arena_calloc(arena, n_tenants, sizeof(*t->tenants));
    t->teams = weir_arena_calloc(arena, n.teams, sizeof(*t->teams));
    t->users = weir_arena_calloc(arena, n.users, sizeof(*t->users));
    t->keys = weir_arena_calloc(arena, n.keys, sizeof(*t->keys));
    t->tenant_layers = weir_arena_calloc(arena, n_tenants, sizeof(weir_policy_layer_t *));
    t->team_layers = weir_arena_calloc(arena, n.teams, sizeof(weir_policy_layer_t *));
    t->user_layers = weir_arena_calloc(arena, n.users, sizeof(weir_policy_layer_t *));
    t->key_layers = weir_arena_calloc(arena, n.keys, sizeof(weir_policy_layer_t *));
    t->tenant_merges = weir_arena_calloc(arena, n_tenants, sizeof(const weir_policy_merge_t *));
    t->team_merges = weir_arena_calloc(arena, n.teams, sizeof(const weir_policy_merge_t *));
    t->user_merges = weir_arena_calloc(arena, n.users, sizeof(const weir_policy_merge_t *));
    if (t->tenants == NULL || t->teams == NULL || t->users == NULL || t->keys == NULL ||
        t->tenant_layers == NULL || t->team_layers == NULL || t->user_layers == NULL ||
        t->key_layers == NULL || t->tenant_merges == NULL || t->team_merges == NULL ||
        t->user_merges == NULL || !make_slots(arena, n_tenants, &t->tenant_slots) ||
        !make_slots(arena, n.teams, &t->team_slots) ||
        !make_slots(arena, n.users, &t->user_slots) || !make_slots(arena, n.keys, &t->key_slots)) {
        return weir_document_nomem(l->doc);
    }
    return WEIR_OK;
}

static weir_status_t load_document(const loader_t *l)
{
    static const char *const known[] = {"$schema", "version", "tenants", NULL};
    json_t *root = l->doc->root;
    json_t *tenants;
    weir_status_t rc;

    if ((rc = weir_document_members(l->doc, root, "", known)) != WEIR_OK ||
        (rc = weir_document_version(l->doc)) != WEIR_OK) {
        return rc;
    }
    tenants = json_object_get(root, "tenants");
    if (!json_is_array(tenants)) {
        return weir_document_fail(l->doc, "tenants", "expected an array, found %s",
                                  weir_document_type(tenants));
    }
    rc = allocate(l, tenants);
    for (size_t i = 0; rc == WEIR_OK && i < json_array_size(tenants); i++) {
        rc = load_tenant(l, json_array_get(tenants, i), i);
    }
    return rc;
}

weir_status_t weir_tenants_parse_with(const char *text, size_t len, const char *name,
                                      const weir_policy_names_t *names, weir_arena_t *arena,
                                      weir_tenants_t **out, weir_error_t *err)
{
    weir_document_t doc;
    weir_status_t rc = weir_document_open(&doc, text, len, name, arena, err);

    if (rc == WEIR_OK) {
        loader_t l = {.doc = &doc, .names = names};
        l.t = weir_arena_calloc(arena, 1, sizeof(weir_tenants_t));
        rc = l.t == NULL ? weir_document_nomem(&doc) : load_document(&l);
        if (rc == WEIR_OK) {
            *out = l.t;
        }
    }
    weir_document_close(&doc);
    return rc;
}

weir_status_t weir_tenants_parse(const char *text, size_t len, const char *name,
                                 weir_arena_t *arena, weir_tenants_t **out, weir_error_t *err)
{
    return weir_tenants_parse_with(text, len, name, NULL, arena, out, err);
}

weir_status_t weir_tenants_load(const char *path, weir_arena_t *arena, weir_tenants_t **out,
                                weir_error_t *err)
{
    weir_str_t text;
    weir_status_t rc = weir_document_read(path, arena, &text, err);

    return rc == WEIR_OK ? weir_tenants_parse(text.data, text.len, path, arena, out, err) : rc;
}

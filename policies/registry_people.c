/* Snapshots as JSON, for operators. */
#include <openssl/evp.h>
#include <stdio.h>

#include "engine/base/json.h"
#include "policies/registry_snapshot.h"
#include "policies/timestamp.h"

static void member(weir_buf_t *out, const char *name, weir_str_t text)
{
    weir_buf_printf(out, ",\"%s\":", name);
    if (text.len == 0) {
        weir_buf_append_z(out, "null");
    } else {
        weir_json_write_string(out, text);
    }
}

static void flag(weir_buf_t *out, const char *name, bool value)
{
    weir_buf_printf(out, ",\"%s\":%s", name, value ? "true" : "false");
}

static void time_member(weir_buf_t *out, const char *name, int64_t seconds)
{
    char text[WEIR_TIMESTAMP_MAX] = "";
    size_t n = seconds == 0 ? 0 : weir_timestamp_format(seconds * 1000, text);
    member(out, name, weir_str(text, n));
}

static void place(weir_buf_t *out, const weir_policy_layer_t *layer, const char *name)
{
    const weir_path_t at = weir_path_member(layer->path, name);
    char text[512];
    int n = snprintf(text, sizeof(text), "%s:%u: %s", layer->source->name,
                     weir_source_line(layer->source, at.text), at.text);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    weir_json_write_string(out, weir_str(text, len));
}

static void explain_field(weir_buf_t *out, const weir_policy_merge_t *merge, int f)
{
    const weir_policy_layer_t *from = merge->from[f];
    const weir_policy_layer_t *lock = merge->locked_by[f];

    weir_buf_printf(out, "%s\"%s\":{\"value\":", f == 0 ? "" : ",", weir_policy_field_name(f));
    weir_buf_append_str(out, merge->values[f].data == NULL ? WEIR_STR("null") : merge->values[f]);
    weir_buf_printf(out, ",\"level\":\"%s\",\"place\":",
                    weir_policy_level_name(from == NULL ? WEIR_LEVEL_DEFAULT : from->level));
    if (from == NULL) {
        weir_buf_append_z(out, "null");
    } else {
        place(out, from, weir_policy_field_name(f));
    }
    weir_buf_printf(out, ",\"locked_by\":");
    if (lock == NULL) {
        weir_buf_append_z(out, "null");
    } else {
        weir_buf_printf(out, "\"%s\",\"lock\":", weir_policy_level_name(lock->level));
        place(out, lock, "locked");
    }
    weir_buf_append_char(out, '}');
}

static void key_members(weir_buf_t *out, const weir_api_key_t *key)
{
    weir_buf_printf(out, "{\"id\":\"%s\"", key->id);
    member(out, "label", key->label);
    member(out, "tenant", key->tenant->id);
    member(out, "team", key->team == NULL ? WEIR_STR("") : key->team->id);
    member(out, "user", key->user == NULL ? WEIR_STR("") : key->user->id);
    flag(out, "enabled", key->enabled);
    flag(out, "revoked", key->revoked);
    flag(out, "at_runtime", key->at_runtime);
    time_member(out, "expires", key->expires);
    flag(out, "two_secrets", key->has_previous);
    time_member(out, "previous_expires", key->previous_expires);
    member(out, "policy", weir_str(key->policy->hash, strlen(key->policy->hash)));
}

weir_status_t weir_registry_explain(const weir_registry_t *registry, weir_str_t key_id,
                                    weir_buf_t *out, weir_error_t *err)
{
    const weir_api_key_t *key = weir_registry_find_key(registry, key_id);
    const weir_policy_merge_t *merge;
    weir_arena_t arena;
    weir_status_t rc;

    if (key == NULL) {
        return weir_error_at(err, WEIR_ERR_NOT_FOUND, "key", "unknown_key",
                             "no key has the id %.*s", (int)key_id.len, key_id.data);
    }
    weir_arena_init(&arena, 0, 0);
    rc = weir_policy_merge_over(
        weir_tenants_merge_of(registry->base->tenants, key->tenant, key->team, key->user),
        weir_registry_key_layer(registry, key), &arena, &merge, err);
    if (rc == WEIR_OK) {
        weir_buf_append_z(out, "{\"key\":");
        key_members(out, key);
        weir_buf_append_z(out, "},\"fields\":{");
        for (int f = 0; f < WEIR_POLICY_FIELDS; f++) {
            explain_field(out, merge, f);
        }
        weir_buf_append_z(out, "}}");
        rc = out->failed ? weir_error(err, WEIR_ERR_NOMEM, "out of memory") : WEIR_OK;
    }
    weir_arena_free(&arena);
    return rc;
}

/* Tells one secret from another and gives neither away: both inputs are random already. */
static void fingerprint(weir_buf_t *out, const weir_api_key_t *key)
{
    uint8_t digest[EVP_MAX_MD_SIZE] = {0};
    uint8_t all[WEIR_KEY_SALT_LEN + WEIR_KEY_HASH_LEN];

    memcpy(all, key->salt, WEIR_KEY_SALT_LEN);
    memcpy(all + WEIR_KEY_SALT_LEN, key->hash, WEIR_KEY_HASH_LEN);
    EVP_Digest(all, sizeof(all), digest, NULL, EVP_sha256(), NULL);
    weir_buf_printf(out, ",\"secret\":\"%02x%02x%02x%02x\"", digest[0], digest[1], digest[2],
                    digest[3]);
}

static void policy_member(weir_buf_t *out, const weir_policy_t *policy)
{
    member(out, "policy", weir_str(policy->hash, strlen(policy->hash)));
}

static void describe_owners(const weir_tenants_t *t, weir_buf_t *out)
{
    weir_buf_append_z(out, ",\"tenants\":[");
    for (size_t i = 0; i < t->n_tenants; i++) {
        weir_buf_append_z(out, i == 0 ? "{\"id\":" : ",{\"id\":");
        weir_json_write_string(out, t->tenants[i].id);
        member(out, "name", t->tenants[i].name);
        flag(out, "enabled", t->tenants[i].enabled);
        policy_member(out, t->tenants[i].policy);
        weir_buf_append_char(out, '}');
    }
    weir_buf_append_z(out, "],\"teams\":[");
    for (size_t i = 0; i < t->n_teams; i++) {
        weir_buf_append_z(out, i == 0 ? "{\"id\":" : ",{\"id\":");
        weir_json_write_string(out, t->teams[i].id);
        member(out, "tenant", t->teams[i].tenant->id);
        flag(out, "enabled", t->teams[i].enabled);
        policy_member(out, t->teams[i].policy);
        weir_buf_append_char(out, '}');
    }
    weir_buf_append_z(out, "],\"users\":[");
    for (size_t i = 0; i < t->n_users; i++) {
        const weir_user_t *user = &t->users[i];
        weir_buf_append_z(out, i == 0 ? "{\"id\":" : ",{\"id\":");
        weir_json_write_string(out, user->id);
        member(out, "tenant", user->tenant->id);
        member(out, "team", user->team == NULL ? WEIR_STR("") : user->team->id);
        flag(out, "enabled", user->enabled);
        policy_member(out, user->policy);
        weir_buf_append_char(out, '}');
    }
    weir_buf_append_char(out, ']');
}

static void describe_targets(const weir_routes_t *routes, weir_buf_t *out)
{
    weir_buf_append_z(out, ",\"targets\":[");
    for (size_t i = 0; routes != NULL && i < weir_routes_target_count(routes); i++) {
        const weir_target_t *target = weir_routes_target_at(routes, i);
        weir_buf_append_z(out, i == 0 ? "{\"id\":" : ",{\"id\":");
        weir_json_write_string(out, target->name);
        member(out, "upstream", target->upstream);
        member(out, "host", target->host);
        member(out, "prefix", target->prefix);
        flag(out, "tls", target->tls);
        member(out, "protocol",
               target->protocol == WEIR_TARGET_OPENAI ? WEIR_STR("openai") : WEIR_STR("anthropic"));
        weir_buf_append_char(out, '}');
    }
    weir_buf_append_char(out, ']');
}

weir_status_t weir_registry_describe(const weir_registry_t *registry, weir_buf_t *out,
                                     weir_error_t *err)
{
    const weir_registry_base_t *base = registry->base;
    const weir_api_key_t *key;
    size_t cursor = 0;
    bool first = true;

    weir_buf_printf(out, "{\"weir_state\":1,\"documents\":\"%s\",\"seq\":%llu", base->hash,
                    (unsigned long long)registry->seq);
    time_member(out, "loaded_at", base->loaded_at);
    member(out, "prices", weir_str(base->price_hash, strlen(base->price_hash)));
    policy_member(out, base->base_policy);
    describe_owners(base->tenants, out);
    weir_buf_append_z(out, ",\"keys\":[");
    while (weir_registry_next_key(registry, &cursor, &key)) {
        if (!first) {
            weir_buf_append_char(out, ',');
        }
        first = false;
        key_members(out, key);
        fingerprint(out, key);
        weir_buf_append_char(out, '}');
    }
    weir_buf_append_char(out, ']');
    describe_targets(base->routes, out);
    weir_buf_append_char(out, '}');
    return out->failed ? weir_error(err, WEIR_ERR_NOMEM, "out of memory") : WEIR_OK;
}

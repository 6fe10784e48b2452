/*
 * The tenants document: tenants, their teams, users and API keys, read from JSON into an immutable
 * object. Format: policies/schema/tenants.schema.json; example: policies/examples/tenants.json.
 */
#ifndef WEIR_POLICIES_TENANTS_H
#define WEIR_POLICIES_TENANTS_H

#include "policies/keys.h"
#include "policies/policy.h"

/*
 * In all of these, policy is the effective one for whoever belongs here without a key of his own;
 * NULL while only the tenants document has been read (weir_tenants_load).
 */
typedef struct {
    weir_str_t id;   /* [a-z0-9][a-z0-9._-]{0,63} */
    weir_str_t name; /* for people; may be empty */
    bool enabled;
    const weir_policy_t *policy;
    uint32_t index; /* place in the document */
} weir_tenant_t;

typedef struct {
    weir_str_t id; /* as a tenant's; unique in its tenant */
    weir_str_t name;
    bool enabled;
    const weir_tenant_t *tenant;
    const weir_policy_t *policy;
    uint32_t index;
} weir_team_t;

typedef struct {
    weir_str_t id; /* 1 to 128 of A-Z a-z 0-9 . _ @ | : + = / -; unique in its team or tenant */
    weir_str_t name;
    bool enabled;
    const weir_tenant_t *tenant;
    const weir_team_t *team; /* NULL: directly in the tenant */
    const weir_policy_t *policy;
    uint32_t index;
} weir_user_t;

typedef struct {
    char id[WEIR_KEY_ID_LEN + 1];
    weir_str_t label; /* for people; may be empty */
    const weir_tenant_t *tenant;
    const weir_team_t *team; /* NULL: none */
    const weir_user_t *user; /* NULL: none */
    const weir_policy_t *policy;
    uint8_t salt[WEIR_KEY_SALT_LEN]; /* of both secrets */
    uint8_t hash[WEIR_KEY_HASH_LEN];
    uint8_t previous_hash[WEIR_KEY_HASH_LEN]; /* the secret before the last rotation */
    bool has_previous;
    int64_t previous_expires; /* Unix seconds; 0: never */
    bool enabled;
    bool revoked;    /* refused for good: also cuts what runs */
    bool at_runtime; /* made or changed by the journal, not by the document alone */
    int64_t created; /* Unix seconds; 0: unknown */
    int64_t expires; /* Unix seconds; 0: never */
} weir_api_key_t;

typedef struct weir_tenants weir_tenants_t;

/*
 * Loads the document from memory; name is its path, for messages. Unknown members, duplicate
 * tenants or key ids, and malformed values are errors, with the JSON path in err->field and line
 * in the message. Policies are checked for their form, not merged. The result is immutable, may be
 * read by any thread, and lives in arena.
 */
weir_status_t weir_tenants_parse(const char *text, size_t len, const char *name,
                                 weir_arena_t *arena, weir_tenants_t **out, weir_error_t *err);

/* The same from a file of at most 64 MiB. */
weir_status_t weir_tenants_load(const char *path, weir_arena_t *arena, weir_tenants_t **out,
                                weir_error_t *err);

size_t weir_tenants_count(const weir_tenants_t *t);
const weir_tenant_t *weir_tenants_at(const weir_tenants_t *t, size_t i);
size_t weir_tenants_team_count(const weir_tenants_t *t);
const weir_team_t *weir_tenants_team_at(const weir_tenants_t *t, size_t i);
size_t weir_tenants_user_count(const weir_tenants_t *t);
const weir_user_t *weir_tenants_user_at(const weir_tenants_t *t, size_t i);
size_t weir_tenants_key_count(const weir_tenants_t *t);
const weir_api_key_t *weir_tenants_key_at(const weir_tenants_t *t, size_t i);

/* By id; NULL when there is none. team NULL: a user directly in the tenant. */
const weir_tenant_t *weir_tenants_find(const weir_tenants_t *t, weir_str_t id);
const weir_team_t *weir_tenants_find_team(const weir_tenants_t *t, const weir_tenant_t *tenant,
                                          weir_str_t id);
const weir_user_t *weir_tenants_find_user(const weir_tenants_t *t, const weir_tenant_t *tenant,
                                          const weir_team_t *team, weir_str_t id);
const weir_api_key_t *weir_tenants_find_key(const weir_tenants_t *t, weir_str_t id);

typedef enum {
    WEIR_AUTH_OK,
    WEIR_AUTH_INVALID,         /* no such key, malformed, or wrong secret: indistinguishable */
    WEIR_AUTH_EXPIRED,         /* right secret, past its or the key's expiry */
    WEIR_AUTH_KEY_DISABLED,    /* right secret, key switched off */
    WEIR_AUTH_TENANT_DISABLED, /* right secret, tenant switched off */
    WEIR_AUTH_ERROR,           /* the digest failed: answer 500, never let through */
    WEIR_AUTH_KEY_REVOKED,     /* right secret, key revoked for good */
    WEIR_AUTH_TEAM_DISABLED,   /* right secret, the key's team switched off */
    WEIR_AUTH_USER_DISABLED    /* right secret, the key's user switched off */
} weir_auth_verdict_t;

/*
 * Looks the presented key up and compares in constant time; an unknown id costs the same hash. now
 * is Unix seconds. *key is set for every verdict but INVALID and ERROR (for the log), else NULL.
 * A gateway asks weir_registry_authenticate, which knows changes made at run time too.
 */
weir_auth_verdict_t weir_tenants_authenticate(const weir_tenants_t *t, weir_str_t presented,
                                              int64_t now, const weir_api_key_t **key);

/* The verdict on a key whose secret was right. */
weir_auth_verdict_t weir_key_verdict(const weir_api_key_t *key, int64_t now);

#endif

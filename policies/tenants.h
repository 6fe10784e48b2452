/*
 * The tenants document: tenants and their API keys, read from JSON into an immutable registry.
 * Format: policies/schema/tenants.schema.json; example: policies/examples/tenants.json.
 */
#ifndef WEIR_POLICIES_TENANTS_H
#define WEIR_POLICIES_TENANTS_H

#include "policies/keys.h"

typedef struct {
    weir_str_t id;   /* [a-z0-9][a-z0-9._-]{0,63} */
    weir_str_t name; /* for people; may be empty */
    bool enabled;
} weir_tenant_t;

typedef struct {
    char id[WEIR_KEY_ID_LEN + 1];
    weir_str_t label; /* for people; may be empty */
    const weir_tenant_t *tenant;
    uint8_t salt[WEIR_KEY_SALT_LEN];
    uint8_t hash[WEIR_KEY_HASH_LEN];
    bool enabled;
    int64_t expires; /* Unix seconds; 0: never */
} weir_api_key_t;

typedef struct weir_tenants weir_tenants_t;

/*
 * Loads the document from memory; name is its path, for messages. Unknown members, duplicate
 * tenants or key ids, and malformed values are errors, with the JSON path in err->field and line
 * in the message. The registry is immutable, may be read by any thread, and lives in arena.
 */
weir_status_t weir_tenants_parse(const char *text, size_t len, const char *name,
                                 weir_arena_t *arena, weir_tenants_t **out, weir_error_t *err);

/* The same from a file of at most 64 MiB. */
weir_status_t weir_tenants_load(const char *path, weir_arena_t *arena, weir_tenants_t **out,
                                weir_error_t *err);

size_t weir_tenants_count(const weir_tenants_t *t);
const weir_tenant_t *weir_tenants_at(const weir_tenants_t *t, size_t i);
size_t weir_tenants_key_count(const weir_tenants_t *t);
const weir_api_key_t *weir_tenants_key_at(const weir_tenants_t *t, size_t i);

typedef enum {
    WEIR_AUTH_OK,
    WEIR_AUTH_INVALID,         /* no such key, malformed, or wrong secret: indistinguishable */
    WEIR_AUTH_EXPIRED,         /* right secret, past its expiry */
    WEIR_AUTH_KEY_DISABLED,    /* right secret, key switched off */
    WEIR_AUTH_TENANT_DISABLED, /* right secret, tenant switched off */
    WEIR_AUTH_ERROR            /* the digest failed: answer 500, never let through */
} weir_auth_verdict_t;

/*
 * Looks the presented key up and compares in constant time; an unknown id costs the same hash. now
 * is Unix seconds. *key is set for every verdict but INVALID and ERROR (for the log), else NULL.
 */
weir_auth_verdict_t weir_tenants_authenticate(const weir_tenants_t *t, weir_str_t presented,
                                              int64_t now, const weir_api_key_t **key);

#endif

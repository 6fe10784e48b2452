/*
 * All documents and the journal together: an immutable, reference-counted snapshot that says who
 * may do what. A change gives a new snapshot; a request keeps the one it began with.
 */
#ifndef WEIR_POLICIES_REGISTRY_H
#define WEIR_POLICIES_REGISTRY_H

#include "policies/identity.h"
#include "policies/journal.h"
#include "policies/prices.h"
#include "policies/routes.h"
#include "policies/tenants.h"

/* Paths of the documents; NULL: none. Without a policies document everything that the gateway
 * understands is allowed. */
typedef struct {
    const char *tenants;
    const char *policies;
    const char *identity;
    const char *routes;
    const char *prices;
} weir_registry_paths_t;

typedef struct weir_registry weir_registry_t;

/*
 * Loads everything or nothing. now is Unix seconds. The snapshot holds one reference; taking and
 * giving back references is safe in any thread. Errors: the first fault, with file, line, JSON
 * path, what was expected and what was found.
 */
weir_status_t weir_registry_load(const weir_registry_paths_t *paths, int64_t now,
                                 weir_registry_t **out, weir_error_t *err);

weir_registry_t *weir_registry_ref(const weir_registry_t *registry);
void weir_registry_unref(const weir_registry_t *registry); /* NULL is allowed */

/*
 * A new snapshot with the change on top of an older one, which stays as it is: one small object
 * and a table of the keys changed at run time. Errors: NOT_FOUND for a key, tenant, team or user
 * that does not exist, INVALID (a key id in use, a policy against a lock, a revoked key). Whoever
 * changes something applies it first, appends it to the journal next and then follows the journal.
 */
weir_status_t weir_registry_apply(const weir_registry_t *registry, const weir_change_t *change,
                                  weir_registry_t **out, weir_error_t *err);

/*
 * Reads what is new in the journal and applies it: *out is a new snapshot, or registry itself with
 * one more reference when nothing changed. Changes that no longer fit the documents (their tenant
 * is gone) have no effect and are counted in *orphans (may be NULL).
 */
weir_status_t weir_registry_follow(const weir_registry_t *registry, weir_journal_t *journal,
                                   weir_registry_t **out, size_t *orphans, weir_error_t *err);

/* --- what a request asks; no allocation, any thread --- */

/* As weir_tenants_authenticate. hasher: the caller's own, or NULL (slower). */
weir_auth_verdict_t weir_registry_authenticate(const weir_registry_t *registry,
                                               weir_key_hasher_t *hasher, weir_str_t presented,
                                               int64_t now, const weir_api_key_t **key);

/* The key of that id as it is now, NULL when unknown or deleted. For a running request:
 * weir_key_verdict on it says whether it may go on. */
const weir_api_key_t *weir_registry_find_key(const weir_registry_t *registry, weir_str_t id);

/* The principal of a verified token, certificate (subject: RFC 4514 text) or of nobody. */
weir_principal_verdict_t weir_registry_from_claims(const weir_registry_t *registry,
                                                   const weir_identity_issuer_t *issuer,
                                                   weir_claim_fn claim, void *data,
                                                   weir_principal_t *out);
weir_principal_verdict_t weir_registry_from_certificate(const weir_registry_t *registry,
                                                        const weir_certificate_t *got,
                                                        weir_principal_t *out);
weir_principal_verdict_t weir_registry_anonymous(const weir_registry_t *registry,
                                                 weir_principal_t *out);

/* The documents; NULL where none was given, except tenants. */
const weir_tenants_t *weir_registry_tenants(const weir_registry_t *registry);
const weir_identity_t *weir_registry_identity(const weir_registry_t *registry);
const weir_routes_t *weir_registry_routes(const weir_registry_t *registry);
const weir_prices_t *weir_registry_prices(const weir_registry_t *registry);
const weir_policy_t *weir_registry_base_policy(const weir_registry_t *registry);

/* Every key, with run-time changes, in no order; false behind the last. O(1) a call: begin with
 * *cursor = 0. */
bool weir_registry_next_key(const weir_registry_t *registry, size_t *cursor,
                            const weir_api_key_t **key);

/* SHA-256 over all documents' bytes, hexadecimal; and over the price document alone (empty without
 * one). seq: the journal's last change in it. */
const char *weir_registry_hash(const weir_registry_t *registry);
const char *weir_registry_price_hash(const weir_registry_t *registry);
uint64_t weir_registry_seq(const weir_registry_t *registry);
int64_t weir_registry_loaded_at(const weir_registry_t *registry);

/* --- for people --- */

/* Appends the effective policy of a key as one JSON object: every field with value, level, place
 * and whether it is locked. NOT_FOUND: no such key. */
weir_status_t weir_registry_explain(const weir_registry_t *registry, weir_str_t key_id,
                                    weir_buf_t *out, weir_error_t *err);

/* Appends the state as one JSON object: tenants, teams, users, keys with the hashes of their
 * policies, targets. No salts, no hashes of keys. `weir check --state` compares with it. */
weir_status_t weir_registry_describe(const weir_registry_t *registry, weir_buf_t *out,
                                     weir_error_t *err);

/* --- last good: what a gateway holds --- */

typedef struct {
    weir_registry_t *current; /* NULL until the first good load; one reference */
    bool ok;                  /* the last load was good; otherwise current is older */
    char error[256];          /* why not */
    int64_t tried_at;         /* Unix seconds of the last load */
    uint64_t loads;           /* good ones */
    uint64_t failures;
} weir_registry_state_t;

/*
 * Loads the documents and follows the journal (NULL: none). On success the new snapshot replaces
 * state->current, whose reference is given back; on failure state says why and current stays.
 */
weir_status_t weir_registry_reload(weir_registry_state_t *state, const weir_registry_paths_t *paths,
                                   weir_journal_t *journal, int64_t now, weir_error_t *err);

#endif

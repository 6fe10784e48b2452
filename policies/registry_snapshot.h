/* The inside of a snapshot. Private to this folder. */
#ifndef WEIR_POLICIES_REGISTRY_SNAPSHOT_H
#define WEIR_POLICIES_REGISTRY_SNAPSHOT_H

#include <stdatomic.h>

#include "policies/registry.h"
#include "policies/tenants_tables.h"

/* The documents of one load; all snapshots on top of it share it. */
typedef struct {
    atomic_size_t references;
    weir_arena_t arena;
    weir_tenants_t *tenants;
    weir_identity_t *identity;
    weir_routes_t *routes;
    weir_prices_t *prices;
    weir_policy_merge_t merge; /* of the base policy */
    weir_policy_table_t table; /* only read once loaded */
    const weir_policy_t *base_policy;
    char hash[65];
    char price_hash[65];
    int64_t loaded_at;
} weir_registry_base_t;

/* What a key made at run time owns; shared by all later states of that key. */
typedef struct {
    atomic_size_t references;
    weir_arena_t arena;
    weir_policy_layer_t *layer; /* NULL: no policy of its own */
} weir_key_origin_t;

/* A key's state that differs from the document's. Immutable; shared by snapshots. */
typedef struct {
    atomic_size_t references;
    weir_key_origin_t *origin; /* NULL: the key is the document's */
    bool deleted;
    weir_api_key_t key;
} weir_key_state_t;

struct weir_registry {
    atomic_size_t references;
    weir_registry_base_t *base;
    weir_key_state_t **slots; /* open addressing by key id; a power of two, at most half full */
    size_t n_slots;
    size_t n;
    uint64_t seq;
};

/* A snapshot of base (takes one more reference to it) without changes; NULL: out of memory. */
weir_registry_t *weir_registry_make(weir_registry_base_t *base);
void weir_registry_base_unref(weir_registry_base_t *base);

/* The state of a key that differs from the document's, or NULL. */
weir_key_state_t *weir_registry_state_of(const weir_registry_t *registry, const char *id);

/* The policy object of the key itself, or NULL. */
const weir_policy_layer_t *weir_registry_key_layer(const weir_registry_t *registry,
                                                   const weir_api_key_t *key);

#endif

/*
 * Policies: what a tenant, team, user or key may ask for. Layers of JSON are merged in the order
 * base, tenant, team, user, key into one immutable object, compiled when documents are loaded.
 * Everything below that takes a weir_policy_t neither allocates nor blocks; any thread may call it.
 * Format: policies/schema/policies.schema.json; merge rules: docs/documents.md.
 */
#ifndef WEIR_POLICIES_POLICY_H
#define WEIR_POLICIES_POLICY_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

#define WEIR_POLICY_HASH_LEN 32

/* Output, prompt and choice limits; -1: no limit. */
typedef struct {
    int64_t max_tokens;         /* most output tokens that a request may ask for */
    int64_t default_max_tokens; /* written into a request that names no maximum; -1: none is */
    int64_t n;                  /* most choices (n, best_of) */
    int64_t context_tokens;     /* most prompt tokens */
} weir_policy_caps_t;

/* What happens to a request whose max_tokens or n is over the cap. */
typedef enum {
    WEIR_OVER_CAP_REFUSE,
    WEIR_OVER_CAP_LOWER /* the cap is written into the request instead */
} weir_over_cap_t;

/* What happens when no price is known for the model that would run. */
typedef enum {
    WEIR_UNKNOWN_PRICE_DENY,
    WEIR_UNKNOWN_PRICE_ASSUME_MAX, /* the dearest price of the table */
    WEIR_UNKNOWN_PRICE_ZERO
} weir_unknown_price_t;

typedef struct weir_policy_rules weir_policy_rules_t;

/* An effective policy. Lives as long as the registry snapshot that it came from. */
typedef struct {
    char hash[2 * WEIR_POLICY_HASH_LEN + 1]; /* SHA-256 of the merged content, hexadecimal */
    uint64_t endpoints;                      /* bit i: endpoint i is allowed */
    uint64_t pass_through;                   /* bit i: group i passes through, metered only */
    weir_policy_caps_t caps;                 /* for models that model_caps does not name */
    int64_t tools_max;                       /* most tools in a request; -1: no limit */
    weir_over_cap_t over_cap;
    weir_unknown_price_t unknown_price;
    bool limits_models;    /* false: every model is allowed as it is named */
    bool limits_tools;     /* false: every tool is allowed, any number */
    bool limits_addresses; /* false: every address is allowed */
    bool limits_caps;      /* false: no cap of any model */
    bool needs_body;       /* some rule needs the request's body: models, tools or caps */
    const weir_policy_rules_t *rules; /* private */
} weir_policy_t;

/*
 * Endpoints and pass-through groups have names in documents and bit numbers here. Map names to
 * numbers once, at configuration: -1 for an unknown one. The numbers may change between builds.
 *
 * Endpoints (understood in full): chat completions responses input_tokens embeddings moderations
 * rerank messages count_tokens models (one model too, as "model") tokenize detokenize
 * apply_template score classify pooling generate. Groups: other engine_state stored conversations
 * audio images videos files uploads batches vector_stores containers skills evals fine_tuning
 * assistants realtime agents safety webhooks administration. A hyphen reads as an underscore.
 */
int weir_policy_endpoint(weir_str_t name);
const char *weir_policy_endpoint_name(int i); /* NULL behind the last */
int weir_policy_group(weir_str_t name);
const char *weir_policy_group_name(int i); /* NULL behind the last */

static inline bool weir_policy_endpoint_allowed(const weir_policy_t *policy, int endpoint)
{
    return endpoint >= 0 && endpoint < 64 && (policy->endpoints >> endpoint & 1) != 0;
}

static inline bool weir_policy_group_allowed(const weir_policy_t *policy, int group)
{
    return group >= 0 && group < 64 && (policy->pass_through >> group & 1) != 0;
}

/*
 * Looks the model that the client named up: *runs becomes the alias's target or the name itself (a
 * view into the policy or into asked). The result is whether the model that runs is allowed; deny
 * beats allow. An empty name is allowed only where no list limits models.
 */
bool weir_policy_model(const weir_policy_t *policy, weir_str_t asked, weir_str_t *runs);

/* The alias number i, for lists of models; false behind the last. */
bool weir_policy_alias_at(const weir_policy_t *policy, size_t i, weir_str_t *name,
                          weir_str_t *target);

/* The caps for a model, by the name that runs: the first entry of model_caps that matches, its
 * absent members filled from caps; else caps. */
const weir_policy_caps_t *weir_policy_caps(const weir_policy_t *policy, weir_str_t model);

/* Whether a tool of this name (a server tool: its type, such as web_search) may be offered. */
bool weir_policy_tool_allowed(const weir_policy_t *policy, weir_str_t name);

/* Whether the client's address is allowed: len is 4 (IPv4) or 16 (IPv6; mapped IPv4 counts as
 * IPv4), in network order. Any other length (a Unix socket) passes only without a list. */
bool weir_policy_address_allowed(const weir_policy_t *policy, const uint8_t *address, size_t len);

#endif

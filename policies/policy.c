#include "policies/policy.h"

#include "policies/policy_rules.h"

static const char *const endpoints[] = {
    "chat",           "completions", "responses",    "input_tokens", "embeddings", "moderations",
    "rerank",         "messages",    "count_tokens", "models",       "tokenize",   "detokenize",
    "apply_template", "score",       "classify",     "pooling",      "generate",   NULL};

static const char *const groups[] = {"other",          "engine_state",
                                     "stored",         "conversations",
                                     "audio",          "images",
                                     "videos",         "files",
                                     "uploads",        "batches",
                                     "vector_stores",  "containers",
                                     "skills",         "evals",
                                     "fine_tuning",    "assistants",
                                     "realtime",       "agents",
                                     "safety",         "webhooks",
                                     "administration", NULL};

static int find_name(const char *const *names, weir_str_t name)
{
    for (int i = 0; names[i] != NULL; i++) {
        size_t n = strlen(names[i]);
        size_t k = 0;
        while (n == name.len && k < n &&
               names[i][k] == (name.data[k] == '-' ? '_' : name.data[k])) {
            k++;
        }
        if (n == name.len && k == n) {
            return i;
        }
    }
    return -1;
}

int weir_policy_endpoint(weir_str_t name)
{
    return find_name(endpoints, weir_str_is(name, "model") ? WEIR_STR("models") : name);
}

const char *weir_policy_endpoint_name(int i)
{
    return i >= 0 && (size_t)i < sizeof(endpoints) / sizeof(endpoints[0]) ? endpoints[i] : NULL;
}

int weir_policy_group(weir_str_t name)
{
    return find_name(groups, name);
}

const char *weir_policy_group_name(int i)
{
    return i >= 0 && (size_t)i < sizeof(groups) / sizeof(groups[0]) ? groups[i] : NULL;
}

bool weir_policy_model(const weir_policy_t *policy, weir_str_t asked, weir_str_t *runs)
{
    const weir_policy_rules_t *rules = policy->rules;
    const weir_pattern_t *alias;
    size_t cursor = 0;

    *runs = asked;
    if (!policy->limits_models && rules->aliases.n_exact == 0) {
        return true;
    }
    alias = weir_patterns_next(&rules->aliases, asked, &cursor);
    if (alias != NULL) {
        *runs = rules->alias_targets[alias->value];
    }
    if (!policy->limits_models) {
        return true;
    }
    if (runs->len == 0 || weir_patterns_match(&rules->models_deny, *runs)) {
        return false;
    }
    return !rules->models_listed || weir_patterns_match(&rules->models_allow, *runs);
}

bool weir_policy_alias_at(const weir_policy_t *policy, size_t i, weir_str_t *name,
                          weir_str_t *target)
{
    const weir_policy_rules_t *rules = policy->rules;

    if (i >= rules->aliases.n_exact) {
        return false;
    }
    *name = rules->aliases.exact[i].text;
    *target = rules->alias_targets[rules->aliases.exact[i].value];
    return true;
}

const weir_policy_caps_t *weir_policy_caps(const weir_policy_t *policy, weir_str_t model)
{
    const weir_policy_rules_t *rules = policy->rules;
    const weir_pattern_t *best = NULL;
    const weir_pattern_t *match;
    size_t cursor = 0;

    /* The first entry counts, whether it names the model or a pattern. */
    while ((match = weir_patterns_next(&rules->caps_models, model, &cursor)) != NULL) {
        if (best == NULL || match->value < best->value) {
            best = match;
        }
    }
    return best == NULL ? &policy->caps : &rules->caps[best->value];
}

bool weir_policy_tool_allowed(const weir_policy_t *policy, weir_str_t name)
{
    const weir_policy_rules_t *rules = policy->rules;

    if (!policy->limits_tools) {
        return true;
    }
    if (weir_patterns_match(&rules->tools_deny, name)) {
        return false;
    }
    return !rules->tools_listed || weir_patterns_match(&rules->tools_allow, name);
}

bool weir_policy_address_allowed(const weir_policy_t *policy, const uint8_t *address, size_t len)
{
    return !policy->limits_addresses ||
           weir_addresses_contain(&policy->rules->addresses, address, len);
}

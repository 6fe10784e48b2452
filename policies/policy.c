#include "policies/policy.h"

#include "policies/policy_rules.h"

/* Lengths stand beside the names: every request asks. */
#define NAME(literal)                \
    {                                \
        literal, sizeof(literal) - 1 \
    }

static const weir_str_t endpoints[] = {
    NAME("chat"),           NAME("completions"), NAME("responses"),
    NAME("input_tokens"),   NAME("embeddings"),  NAME("moderations"),
    NAME("rerank"),         NAME("messages"),    NAME("count_tokens"),
    NAME("models"),         NAME("tokenize"),    NAME("detokenize"),
    NAME("apply_template"), NAME("score"),       NAME("classify"),
    NAME("pooling"),        NAME("generate"),    {NULL, 0}};

static const weir_str_t groups[] = {NAME("other"),          NAME("engine_state"),
                                    NAME("stored"),         NAME("conversations"),
                                    NAME("audio"),          NAME("images"),
                                    NAME("videos"),         NAME("files"),
                                    NAME("uploads"),        NAME("batches"),
                                    NAME("vector_stores"),  NAME("containers"),
                                    NAME("skills"),         NAME("evals"),
                                    NAME("fine_tuning"),    NAME("assistants"),
                                    NAME("realtime"),       NAME("agents"),
                                    NAME("safety"),         NAME("webhooks"),
                                    NAME("administration"), {NULL, 0}};

static int find_name(const weir_str_t *names, weir_str_t name)
{
    for (int i = 0; names[i].data != NULL; i++) {
        size_t k = 0;
        if (names[i].len != name.len) {
            continue;
        }
        while (k < name.len && names[i].data[k] == (name.data[k] == '-' ? '_' : name.data[k])) {
            k++;
        }
        if (k == name.len) {
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
    return i >= 0 && (size_t)i < sizeof(endpoints) / sizeof(endpoints[0]) ? endpoints[i].data
                                                                          : NULL;
}

int weir_policy_group(weir_str_t name)
{
    return find_name(groups, name);
}

const char *weir_policy_group_name(int i)
{
    return i >= 0 && (size_t)i < sizeof(groups) / sizeof(groups[0]) ? groups[i].data : NULL;
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

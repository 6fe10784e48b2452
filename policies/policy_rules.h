/* What a compiled policy looks its answers up in. Private to this folder. */
#ifndef WEIR_POLICIES_POLICY_RULES_H
#define WEIR_POLICIES_POLICY_RULES_H

#include "policies/addresses.h"
#include "policies/patterns.h"
#include "policies/policy.h"

struct weir_policy_rules {
    uint8_t digest[WEIR_POLICY_HASH_LEN];
    bool models_listed; /* an allow-list is there, maybe empty */
    bool tools_listed;
    weir_patterns_t models_allow;
    weir_patterns_t models_deny; /* whatever the case: some upstreams do not tell it apart */
    weir_patterns_t tools_allow;
    weir_patterns_t tools_deny;
    weir_patterns_t aliases; /* value: index into alias_targets */
    weir_str_t *alias_targets;
    weir_patterns_t caps_models; /* value: index into caps */
    weir_policy_caps_t *caps;
    weir_addresses_t addresses;
};

#endif

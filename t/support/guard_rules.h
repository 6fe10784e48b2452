/* The guard's rules for tests: what a stream in hold-back mode can decide, and all of them. */
#ifndef WEIR_T_SUPPORT_GUARD_RULES_H
#define WEIR_T_SUPPORT_GUARD_RULES_H

#include "guardrails/guardrails.h"

/* Personal data and secrets, compiled; the caller frees both. False after a diag(). */
bool guard_rules_open(weir_guard_rules_t **streaming, weir_guard_rules_t **all);

#endif

/* What `weir check` looks at. */
#ifndef WEIR_POLICIES_TOOLS_WEIR_CHECK_H
#define WEIR_POLICIES_TOOLS_WEIR_CHECK_H

#include "policies/registry.h"

/* Prints the effective policy of a key; an exit status. */
int weir_tool_explain(const weir_registry_t *registry, const char *key_id, bool json);

/* Prints what loading would change against the state in the file; an exit status. */
int weir_tool_compare(const weir_registry_t *registry, const char *state_path);

/* Writes the state for a later comparison; an exit status. */
int weir_tool_save_state(const weir_registry_t *registry, const char *state_path);

#endif

/* Any policies document gives layers or an error; layers merge and compile; what is compiled
 * answers, and a merge of a layer with itself changes nothing. */
#include "policies/policy_layer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const weir_policy_t *policy, const uint8_t *data, size_t size)
{
    weir_str_t name = weir_str((const char *)data, size < 40 ? size : 40);
    weir_str_t runs;
    weir_str_t target;

    weir_policy_model(policy, name, &runs);
    if (weir_policy_caps(policy, runs) == NULL) {
        abort();
    }
    weir_policy_tool_allowed(policy, name);
    weir_policy_address_allowed(policy, (const uint8_t *)"\x0a\x01\x02\x03", 4);
    for (size_t i = 0; weir_policy_alias_at(policy, i, &name, &target); i++) {
        weir_policy_model(policy, name, &runs);
        if (!weir_str_eq(runs, target)) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    weir_arena_t arena;
    weir_policy_names_t names = {0};
    weir_policy_table_t table = {.arena = &arena};
    weir_policy_merge_t merge = {0};
    weir_error_t err = {0};

    weir_arena_init(&arena, 0, (size_t)64 << 20);
    if (weir_policy_names_parse((const char *)data, size, "fuzz", &arena, &names, &err) !=
        WEIR_OK) {
        if (err.message[0] == '\0') {
            abort();
        }
        weir_arena_free(&arena);
        return 0;
    }
    if (names.base != NULL) {
        weir_policy_merge(&merge, names.base, &arena, &err);
    }
    for (size_t i = 0; i < names.n_layers; i++) {
        weir_policy_merge_t sum = merge;
        const weir_policy_t *first = NULL;
        const weir_policy_t *again = NULL;
        if (weir_policy_merge(&sum, names.layers[i], &arena, &err) != WEIR_OK) {
            continue;
        }
        if (weir_policy_compile(&table, &sum, &arena, true, &first, &err) != WEIR_OK) {
            break;
        }
        ask(first, data, size);
        if (weir_policy_merge(&sum, names.layers[i], &arena, &err) == WEIR_OK &&
            weir_policy_compile(&table, &sum, &arena, true, &again, &err) == WEIR_OK &&
            again != first) {
            abort();
        }
    }
    weir_policy_names_close(&names);
    weir_arena_free(&arena);
    return 0;
}

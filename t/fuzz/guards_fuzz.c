/* Any guards document gives policies or an error that says something; what is loaded answers. */
#include "policies/guards.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const weir_guard_policy_t *policy, weir_guard_scratch_t *scratch, weir_str_t text)
{
    for (int d = 0; d < WEIR_GUARD_DIRECTIONS; d++) {
        weir_guard_result_t found;
        weir_error_t err;
        if (policy->rules[d] == NULL) {
            continue;
        }
        if (weir_guard_scan(policy->rules[d], scratch, text.data, text.len, NULL, &found, &err) !=
            WEIR_OK) {
            abort();
        }
        for (size_t i = 0; i < found.count; i++) {
            const weir_guard_finding_t *f = &found.findings[i];
            weir_str_t replacement;
            unsigned least = 0;
            weir_guard_action_t action = weir_guard_policy_action(
                policy, (weir_guard_direction_t)d, f,
                weir_str(text.data + f->start, f->end - f->start), &replacement);
            if (weir_guard_action_name(action) == NULL) {
                abort();
            }
            weir_guard_policy_topic(policy, f, &least);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static weir_guard_scratch_t *scratch;
    weir_arena_t arena;
    weir_guards_t *guards = NULL;
    weir_error_t err = {0};
    weir_str_t text = weir_str((const char *)data, size);

    if (scratch == NULL && (scratch = weir_guard_scratch_create()) == NULL) {
        abort();
    }
    weir_arena_init(&arena, 0, (size_t)64 << 20);
    if (weir_guards_parse(text.data, text.len, "fuzz", "/nonexistent", &arena, &guards, &err) !=
        WEIR_OK) {
        if (err.message[0] == '\0') {
            abort();
        }
        weir_arena_free(&arena);
        return 0;
    }
    weir_guards_find(guards, WEIR_STR("search-team"), WEIR_STR("research"), WEIR_STR("k"));
    for (size_t i = 0; i < weir_guards_count(guards); i++) {
        ask(weir_guards_at(guards, i), scratch, text);
    }
    weir_guards_free(guards);
    weir_arena_free(&arena);
    return 0;
}

/* The tap's result does not depend on how its input was cut. The first byte chooses the kind, the
 * second seeds the cuts. */
#include <stdlib.h>

#include "lua-free-filters/usage_tap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static weir_tap_result_t run(weir_arena_t *arena, weir_tap_kind_t kind, const char *text,
                             size_t len, uint32_t seed)
{
    weir_usage_tap_t *tap;
    if (weir_usage_tap_open(arena, kind, 512, &tap) != WEIR_OK) {
        abort();
    }
    for (size_t at = 0; at < len;) {
        seed = seed * 1664525u + 1013904223u;
        size_t n = seed == 0 ? len : 1 + (seed >> 24) % 23;
        n = n < len - at ? n : len - at;
        weir_usage_tap_feed(tap, text + at, n);
        at += n;
    }
    weir_usage_tap_finish(tap);
    return *weir_usage_tap_result(tap);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    weir_arena_t arena;

    if (size < 2) {
        return 0;
    }
    weir_tap_kind_t kind = data[0] & 1 ? WEIR_TAP_JSON : WEIR_TAP_SSE;
    const char *text = (const char *)data + 2;
    weir_arena_init(&arena, 0, 0);
    weir_tap_result_t a = run(&arena, kind, text, size - 2, data[1]);
    weir_tap_result_t b = run(&arena, kind, text, size - 2, data[1] * 7919u + 1);
    if (a.has_usage != b.has_usage || a.prompt_tokens != b.prompt_tokens ||
        a.cached_tokens != b.cached_tokens || a.completion_tokens != b.completion_tokens ||
        a.content_deltas != b.content_deltas || a.done != b.done || a.error != b.error ||
        a.skipped != b.skipped || !weir_str_eq(a.model, b.model)) {
        abort();
    }
    weir_arena_free(&arena);
    return 0;
}

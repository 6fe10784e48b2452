/*
 * redact-cost MODE BYTES: one text of so many bytes through the streaming redactor, four characters
 * at a time; MODE is holdback, window or buffer. For counting its instructions.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lua-free-filters/redact_text.h"

static weir_redact_action_t decide(void *ctx, const weir_guard_finding_t *finding, weir_str_t value,
                                   bool repeat, weir_str_t *replacement)
{
    (void)ctx;
    (void)value;
    (void)repeat;
    *replacement = weir_str(finding->type, strlen(finding->type));
    return WEIR_REDACT_REPLACE;
}

int main(int argc, char **argv)
{
    static const char unit[] =
        "Write to jane.doe@example.org or call +1 415 555 2671 about 12 of 34. "
        "The rest is prose without a number or a name, as most text is. ";
    const char *mode = argc > 2 ? argv[1] : "";
    size_t size = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    weir_guard_options_t options = {.pii = true, .secrets = true};
    weir_redact_rules_t shared = {.scratch = weir_guard_scratch_create(), .decide = decide};
    weir_guard_rules_t *rules = NULL;
    weir_arena_t arena;
    weir_redact_text_t text;
    weir_buf_t out;
    shared.mode = strcmp(mode, "window") == 0   ? WEIR_REDACT_WINDOW
                  : strcmp(mode, "buffer") == 0 ? WEIR_REDACT_BUFFER
                                                : WEIR_REDACT_HOLDBACK;
    options.streaming = shared.mode == WEIR_REDACT_HOLDBACK;
    if (argc != 3 || shared.scratch == NULL ||
        weir_guard_rules_compile(&options, &rules, NULL) != WEIR_OK) {
        fputs("usage: redact-cost holdback|window|buffer BYTES\n", stderr);
        return 2;
    }
    weir_arena_init(&arena, (size_t)1 << 20, 0);
    weir_buf_init(&out, &arena);
    shared.rules = rules;
    weir_redact_text_init(&text, &shared, false, false);
    for (size_t at = 0; at < size; at += 4) {
        char piece[4];
        for (size_t i = 0; i < sizeof piece; i++) {
            piece[i] = unit[(at + i) % (sizeof unit - 1)];
        }
        weir_redact_text_feed(&text, piece, sizeof piece, at + 4 >= size, &out);
    }
    printf("%zu\n", out.len);
    weir_redact_text_free(&text);
    weir_guard_rules_free(rules);
    weir_guard_scratch_free(shared.scratch);
    weir_arena_free(&arena);
    return 0;
}

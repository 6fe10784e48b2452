/*
 * Scans any bytes: the findings lie in the text, in order, apart from each other, and the hold of
 * every cut keeps its promise. The first byte chooses the rule set and the cut.
 */
#include "guardrails/guardrails.h"
#include "guardrails/normalise.h"

#include <stdlib.h>

static weir_guard_rules_t *make(bool streaming)
{
    static const weir_str_t values[] = {{"Blue Heron", 10},
                                        {"\xe4\xb8\xad\xe6\x96\x87\xe4\xb8\xad", 9}};
    weir_guard_custom_t custom[] = {
        {.type = "PROJECT", .values = values, .value_count = 2, .ignore_case = true},
        {.type = "TICKET", .expression = "T-\\d+ of \\d+"},
    };
    weir_guard_options_t options = {
        .pii = true, .secrets = true, .streaming = streaming, .custom = custom, .custom_count = 2};
    weir_guard_rules_t *rules = NULL;
    weir_error_t err;
    if (weir_guard_rules_compile(&options, &rules, &err) != WEIR_OK) {
        abort();
    }
    return rules;
}

static void check(const weir_guard_result_t *result, size_t len)
{
    size_t end = 0;
    for (size_t i = 0; i < result->count; i++) {
        const weir_guard_finding_t *f = &result->findings[i];
        if (f->start < end || f->end <= f->start || f->end > len || f->score < 0 || f->score > 1) {
            abort();
        }
        end = f->end;
    }
    if (result->hold > len) {
        abort();
    }
}

static void check_hold(const weir_guard_rules_t *rules, weir_guard_scratch_t *a,
                       weir_guard_scratch_t *b, const char *text, size_t len, size_t cut)
{
    weir_guard_scan_options_t more = {.more = true};
    weir_guard_result_t part;
    weir_guard_result_t whole;
    weir_error_t err;
    if (weir_guard_scan(rules, a, text, cut, &more, &part, &err) != WEIR_OK ||
        weir_guard_scan(rules, b, text, len, NULL, &whole, &err) != WEIR_OK) {
        return;
    }
    check(&part, cut);
    check(&whole, len);
    size_t w = 0;
    for (size_t i = 0; i < part.count && part.findings[i].start < part.hold; i++, w++) {
        if (w >= whole.count || whole.findings[w].start != part.findings[i].start ||
            whole.findings[w].end != part.findings[i].end || part.findings[i].end > part.hold) {
            abort();
        }
    }
    if (w < whole.count && whole.findings[w].start < part.hold) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static weir_guard_rules_t *rules[2];
    static weir_guard_scratch_t *scratch[2];
    if (rules[0] == NULL) {
        for (int i = 0; i < 2; i++) {
            rules[i] = make(i == 1);
            scratch[i] = weir_guard_scratch_create();
        }
    }
    if (size < 2 || size > 4000) {
        return 0;
    }
    const char *text = (const char *)data + 2;
    size_t len = size - 2;
    check_hold(rules[data[0] & 1], scratch[0], scratch[1], text, len, len * data[1] / 255);
    weir_guard_fold_t fold = {0};
    weir_guard_view_t views[WEIR_GUARD_MAX_VIEWS];
    size_t count = 0;
    weir_error_t err;
    if (weir_guard_views(&fold, text, len, data[0] >> 1 & 7, views, &count, &err) == WEIR_OK) {
        for (size_t v = 0; v < count; v++) {
            for (size_t i = 0; i < views[v].len; i++) {
                size_t start = 0;
                size_t end = 0;
                weir_guard_view_span(&views[v], i, i + 1, &start, &end);
                if (start > end || end > len) {
                    abort();
                }
            }
        }
    }
    weir_guard_fold_free(&fold);
    return 0;
}

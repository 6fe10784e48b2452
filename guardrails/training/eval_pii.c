#include "guardrails/guardrails.h"
#include "guardrails/training/eval_parts.h"

#include <stdio.h>

/* A type of the set, the name it goes by here, and the F1 wanted (0: reported only). */
typedef struct {
    const char *gold;
    const char *ours;
    double bar;
} weir_pii_class_t;

static const weir_pii_class_t CLASSES[] = {
    {"EMAIL_ADDRESS", "EMAIL_ADDRESS", 0.99},
    {"DOMAIN_NAME", "URL", 0.99},
    {"US_SSN", "US_SSN", 0.99},
    {"CREDIT_CARD", "CREDIT_CARD", 0.98},
    {"IBAN_CODE", "IBAN_CODE", 0.97},
    {"IP_ADDRESS", "IP_ADDRESS", 0.95},
    {"PHONE_NUMBER", "PHONE_NUMBER", 0.85},
    {"US_DRIVER_LICENSE", "US_DRIVER_LICENSE", 0},
    {"PERSON", "PERSON", 0},
    {"STREET_ADDRESS", "STREET_ADDRESS", 0},
    {"DATE_TIME", "DATE_TIME", 0},
};
#define CLASS_COUNT (sizeof(CLASSES) / sizeof(CLASSES[0]))

/* Heuristic types, which are not structured and have no bar. */
static bool is_heuristic(const char *type)
{
    static const char *const names[] = {"PERSON", "STREET_ADDRESS", "LOCATION", "DATE_TIME",
                                        "DATE_OF_BIRTH"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(type, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool overlaps(const weir_gold_span_t *gold, const weir_guard_finding_t *found)
{
    return gold->start < found->end && found->start < gold->end;
}

/* Overlap of one shared byte; every gold span and every finding counts once. */
static void count_class(const weir_pii_class_t *kind, const weir_pii_case_t *one,
                        const weir_guard_result_t *result, weir_confusion_t *c)
{
    for (size_t g = 0; g < one->count; g++) {
        bool hit = false;
        if (!weir_str_is(one->spans[g].type, kind->gold)) {
            continue;
        }
        for (size_t f = 0; f < result->count && !hit; f++) {
            hit = strcmp(result->findings[f].type, kind->ours) == 0 &&
                  overlaps(&one->spans[g], &result->findings[f]);
        }
        c->true_positives += hit;
        c->false_negatives += !hit;
    }
    for (size_t f = 0; f < result->count; f++) {
        bool hit = false;
        if (strcmp(result->findings[f].type, kind->ours) != 0) {
            continue;
        }
        for (size_t g = 0; g < one->count && !hit; g++) {
            hit = weir_str_is(one->spans[g].type, kind->gold) &&
                  overlaps(&one->spans[g], &result->findings[f]);
        }
        c->false_positives += !hit;
    }
}

static weir_status_t pii_set(weir_evaluation_t *e, const weir_guard_rules_t *rules,
                             weir_guard_scratch_t *scratch)
{
    weir_confusion_t confusion[CLASS_COUNT] = {{0}};
    for (size_t i = 0; i < e->sets->pii_count; i++) {
        const weir_pii_case_t *one = &e->sets->pii[i];
        weir_guard_result_t result;
        weir_status_t status =
            weir_guard_scan(rules, scratch, one->text.data, one->text.len, NULL, &result, e->err);
        if (status != WEIR_OK) {
            return status;
        }
        for (size_t k = 0; k < CLASS_COUNT; k++) {
            count_class(&CLASSES[k], one, &result, &confusion[k]);
        }
    }
    weir_buf_printf(&e->report.body,
                    "\n## Personal data\n\n%zu texts; a span counts as found when "
                    "a finding of its type shares a byte with it.\n",
                    e->sets->pii_count);
    weir_report_classes(&e->report, "Type");
    for (size_t k = 0; k < CLASS_COUNT; k++) {
        char name[64];
        weir_report_class(&e->report, CLASSES[k].ours, &confusion[k], -1);
        if (CLASSES[k].bar > 0) {
            snprintf(name, sizeof(name), "F1, %s", CLASSES[k].ours);
            weir_report_at_least(&e->report, name, weir_f_score(&confusion[k], 1), CLASSES[k].bar);
        }
    }
    return WEIR_OK;
}

/* Prompts of a set's harmless rows with a structured finding, and those with a secret. */
static weir_status_t benign_set(weir_evaluation_t *e, weir_set_t set,
                                const weir_guard_rules_t *rules, weir_guard_scratch_t *scratch,
                                size_t *structured, size_t *secrets)
{
    const weir_cases_t *cases = &e->sets->set[set];
    size_t rows = 0, with_pii = 0, with_secret = 0;
    for (size_t i = 0; i < cases->count; i++) {
        weir_guard_result_t result;
        weir_str_t text = cases->cases[i].text;
        bool pii = false, secret = false;
        if (cases->cases[i].positive) {
            continue;
        }
        weir_status_t status =
            weir_guard_scan(rules, scratch, text.data, text.len, NULL, &result, e->err);
        if (status != WEIR_OK) {
            return status;
        }
        for (size_t f = 0; f < result.count; f++) {
            bool is_secret = strcmp(result.findings[f].type, "SECRET") == 0;
            secret = secret || is_secret;
            pii = pii || (!is_secret && !is_heuristic(result.findings[f].type));
        }
        rows++;
        with_pii += pii;
        with_secret += secret;
    }
    weir_buf_printf(&e->report.body, "| %s | %zu | %zu | %zu |\n", weir_set_name(set), rows,
                    with_pii, with_secret);
    *structured += with_pii;
    *secrets += with_secret;
    return WEIR_OK;
}

static weir_status_t benign_sets(weir_evaluation_t *e, const weir_guard_rules_t *rules,
                                 weir_guard_scratch_t *scratch)
{
    static const weir_set_t sets[] = {WEIR_SET_GSM8K, WEIR_SET_NOTINJECT, WEIR_SET_XSTEST,
                                      WEIR_SET_MITRE};
    size_t structured = 0, secrets = 0;
    weir_buf_append_z(&e->report.body, "\n| Harmless prompts | rows | with personal data | with a "
                                       "secret |\n|---|---:|---:|---:|\n");
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        weir_status_t status = benign_set(e, sets[i], rules, scratch, &structured, &secrets);
        if (status != WEIR_OK) {
            return status;
        }
    }
    weir_report_at_most(&e->report, "harmless prompts flagged (structured types, secrets)",
                        (double)(structured + secrets), 1);
    weir_report_at_most(&e->report, "secrets found in harmless prompts", (double)secrets, 0);
    return WEIR_OK;
}

static weir_status_t with_rules(weir_evaluation_t *e, bool heuristics,
                                weir_status_t (*part)(weir_evaluation_t *,
                                                      const weir_guard_rules_t *,
                                                      weir_guard_scratch_t *))
{
    static const weir_guard_entity_t on[] = {
        {"PERSON", true, 0}, {"STREET_ADDRESS", true, 0}, {"DATE_TIME", true, 0}};
    weir_guard_options_t options = {.pii = true, .secrets = true};
    weir_guard_rules_t *rules = NULL;
    if (heuristics) {
        options.entities = on;
        options.entity_count = sizeof(on) / sizeof(on[0]);
    }
    weir_status_t status = weir_guard_rules_compile(&options, &rules, e->err);
    if (status != WEIR_OK) {
        return status;
    }
    weir_guard_scratch_t *scratch = weir_guard_scratch_create();
    status = scratch == NULL ? weir_error(e->err, WEIR_ERR_NOMEM, "no memory for a scratch")
                             : part(e, rules, scratch);
    weir_guard_scratch_free(scratch);
    weir_guard_rules_free(rules);
    return status;
}

weir_status_t weir_eval_pii(weir_evaluation_t *e)
{
    weir_status_t status = with_rules(e, true, pii_set);
    return status == WEIR_OK ? with_rules(e, false, benign_sets) : status;
}

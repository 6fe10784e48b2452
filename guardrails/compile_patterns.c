/*
 * Compiling patterns: PCRE2 with JIT for the secrets group and for custom expressions (these with a
 * cost check), the bitmap and the chains of literals that lead to them, and lists of values.
 */
#include "guardrails/matcher.h"
#include "guardrails/views.h"

#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_BEFORE 32
#define DEFAULT_AFTER  256
#define MAX_LITERAL    512
#define COST_LIMIT     200000 /* match steps from one place of a probe */
#define PROBE_LEN      512

static weir_status_t compile_expression(const char *expression, uint32_t flags, bool partial,
                                        const char *field, pcre2_code **code, weir_error_t *err)
{
    int error = 0;
    PCRE2_SIZE at = 0;
    *code = pcre2_compile((PCRE2_SPTR)expression, PCRE2_ZERO_TERMINATED, flags, &error, &at, NULL);
    if (*code == NULL) {
        char why[128];
        pcre2_get_error_message(error, (PCRE2_UCHAR *)why, sizeof(why));
        return weir_error_at(err, WEIR_ERR_INVALID, field, "bad_expression",
                             "the expression is wrong at character %zu: %s", at, why);
    }
    /* Without JIT (another architecture) PCRE2 interprets: slower, the same result. */
    pcre2_jit_compile(*code, PCRE2_JIT_COMPLETE | (partial ? PCRE2_JIT_PARTIAL_HARD : 0));
    return WEIR_OK;
}

static char lower(char c)
{
    return weir_is(c, WEIR_C_UPPER) ? (char)(c | 0x20) : c;
}

static weir_status_t add_literal(weir_guard_rules_t *rules, const char *text, size_t len,
                                 uint32_t rule, uint32_t pattern, const char *exact, float score)
{
    weir_guard_literal_t *literal = &rules->literals[rules->literal_count];
    char *copy = weir_arena_strndup(&rules->arena, text, len);
    if (copy == NULL) {
        return WEIR_ERR_NOMEM;
    }
    for (size_t i = 0; i < len; i++) {
        copy[i] = lower(copy[i]);
    }
    *literal = (weir_guard_literal_t){.text = copy,
                                      .len = (uint32_t)len,
                                      .rule = rule,
                                      .pattern = pattern,
                                      .exact = exact,
                                      .score = score};
    rules->literal_count++;
    return WEIR_OK;
}

/* A value, with its borders, and its name. */
static weir_status_t compile_named(weir_guard_compiled_t *c, const weir_guard_pattern_t *p,
                                   weir_error_t *err)
{
    char value[512];
    int n =
        snprintf(value, sizeof(value), "(?<![A-Za-z0-9_/+])(?:%s)(?![A-Za-z0-9_/+-])", p->value);
    if (n < 0 || (size_t)n >= sizeof(value)) {
        return weir_error_at(err, WEIR_ERR_INTERNAL, p->id, "value", "the expression is too long");
    }
    weir_status_t status = compile_expression(value, 0, false, p->id, &c->code, err);
    if (status == WEIR_OK) {
        status = compile_expression(p->name, PCRE2_CASELESS, false, p->id, &c->name, err);
    }
    c->run = weir_guard_value_run(p->value);
    return status;
}

static weir_status_t compile_secret(weir_guard_rules_t *rules, const weir_guard_pattern_t *p,
                                    uint32_t rule, weir_error_t *err)
{
    weir_guard_compiled_t *c = &rules->patterns[rules->pattern_count];
    bool block = p->span == WEIR_GUARD_SPAN_BLOCK;
    weir_status_t status = p->name != NULL
                               ? compile_named(c, p, err)
                               : compile_expression(p->expression, 0, block, p->id, &c->code, err);
    if (status != WEIR_OK) {
        pcre2_code_free(c->code);
        c->code = NULL;
        return status;
    }
    c->source = p;
    c->rule = rule;
    c->before = p->before == 0 ? DEFAULT_BEFORE : p->before;
    c->after = p->after == 0 ? DEFAULT_AFTER : p->after;
    c->score = p->score > 0 ? p->score : 0.9f;
    for (size_t k = 0; k < WEIR_GUARD_KEYWORDS && p->keywords[k] != NULL; k++) {
        size_t len = strlen(p->keywords[k]);
        if (len < 3) {
            return weir_error_at(err, WEIR_ERR_INTERNAL, p->id, "keyword",
                                 "the keyword \"%s\" is too short", p->keywords[k]);
        }
        if (add_literal(rules, p->keywords[k], len, rule, (uint32_t)rules->pattern_count, NULL,
                        c->score) != WEIR_OK) {
            return weir_error(err, WEIR_ERR_NOMEM, "no memory for keywords");
        }
    }
    rules->pattern_count++;
    return WEIR_OK;
}

/* Fills a probe: kind 0 to 7 runs of one character, 8 and 9 the expression's own letters. The last
 * byte is one that hardly an expression asks for, so that a match that wants the end fails there.
 */
#define PROBE_KINDS 10

static void fill_probe(char *probe, unsigned kind, const char *expression)
{
    static const char fill[] = "a1 A-.@\"";
    size_t n = 0;
    for (const char *e = expression; n < PROBE_LEN - 1; e = *e == '\0' ? expression : e + 1) {
        if (kind < sizeof(fill) - 1) {
            probe[n++] = fill[kind];
        } else if (weir_is(*e, kind == PROBE_KINDS - 1 ? WEIR_C_ALNUM : WEIR_C_LOWER)) {
            probe[n++] = *e;
        } else if (*e == '\0') {
            probe[n++] = kind == PROBE_KINDS - 1 ? '!' : '0';
        }
    }
    probe[n] = '\1';
}

/* Tries the expression, without the shortcuts that hide its cost, on texts that lead backtracking
 * astray. */
static weir_status_t check_cost(const char *expression, uint32_t flags, const char *field,
                                weir_error_t *err)
{
    char probe[PROBE_LEN];
    pcre2_code *code = NULL;
    weir_status_t status =
        compile_expression(expression, flags | PCRE2_NO_START_OPTIMIZE, false, field, &code, err);
    if (status != WEIR_OK) {
        return status;
    }
    pcre2_match_data *match = pcre2_match_data_create(16, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    int rc = match == NULL || limits == NULL ? PCRE2_ERROR_NOMEMORY : 0;
    if (rc == 0) {
        pcre2_set_match_limit(limits, COST_LIMIT);
        pcre2_set_heap_limit(limits, 4096);
    }
    for (unsigned kind = 0; kind < PROBE_KINDS && rc >= PCRE2_ERROR_NOMATCH; kind++) {
        fill_probe(probe, kind, expression);
        rc = pcre2_match(code, (PCRE2_SPTR)probe, PROBE_LEN, 0, PCRE2_NO_JIT, match, limits);
    }
    pcre2_match_context_free(limits);
    pcre2_match_data_free(match);
    pcre2_code_free(code);
    if (rc == PCRE2_ERROR_NOMEMORY) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory to try an expression");
    }
    if (rc < PCRE2_ERROR_NOMATCH) {
        return weir_error_at(err, WEIR_ERR_INVALID, field, "expensive_expression",
                             "the expression backtracks too much: over %d steps on %d bytes; bound "
                             "its repeats or make them possessive",
                             COST_LIMIT, PROBE_LEN);
    }
    return WEIR_OK;
}

static weir_status_t compile_custom_expression(weir_guard_rules_t *rules,
                                               const weir_guard_custom_t *custom, uint32_t rule,
                                               const char *field, weir_error_t *err)
{
    weir_guard_compiled_t *c = &rules->patterns[rules->pattern_count];
    uint32_t flags = PCRE2_UTF | PCRE2_UCP | (custom->ignore_case ? PCRE2_CASELESS : 0);
    weir_status_t status =
        compile_expression(custom->expression, flags, true, field, &c->code, err);
    if (status != WEIR_OK) {
        return status;
    }
    /* Counted from here on, so that it is freed whatever comes. */
    rules->pattern_count++;
    c->rule = rule;
    c->custom = true;
    c->score = custom->score > 0 ? custom->score : 0.85f;
    uint32_t least = 0;
    uint32_t behind = 0;
    pcre2_pattern_info(c->code, PCRE2_INFO_MATCHEMPTY, &least);
    pcre2_pattern_info(c->code, PCRE2_INFO_MAXLOOKBEHIND, &behind);
    if (least != 0) {
        return weir_error_at(err, WEIR_ERR_INVALID, field, "matches_empty",
                             "the expression matches the empty string");
    }
    if (behind > WEIR_GUARD_LEFT - 1) {
        return weir_error_at(err, WEIR_ERR_INVALID, field, "lookbehind",
                             "the expression looks %u characters behind; at most %d", behind,
                             WEIR_GUARD_LEFT - 1);
    }
    return check_cost(custom->expression, flags, field, err);
}

#define MAX_VARIANTS 11 /* spellings of a value that is looked for in any case */

/* The upper case of a two-byte letter in lower case, the letter itself where there is none. */
static void upper_two(const char text[2], char upper[2])
{
    /* It lies before it, less than 81 code points away. */
    uint32_t code = ((unsigned char)text[0] & 0x1fu) << 6 | ((unsigned char)text[1] & 0x3fu);
    memcpy(upper, text, 2);
    for (uint32_t up = code - 1; up >= 0xc0 && code - up <= 0x50; up--) {
        char letter[2] = {(char)(0xc0 | up >> 6), (char)(0x80 | (up & 0x3f))};
        char lowered[2];
        weir_guard_lower_two(letter, lowered);
        if (memcmp(lowered, text, 2) == 0) {
            memcpy(upper, letter, 2);
            return;
        }
    }
}

/*
 * Spelling n of a value as for the case of letters above ASCII, which literals do not fold: 0 as it
 * is, 1 lower case, 2 upper case, 3 capitals at the beginnings of words, 4 to 10 the combinations
 * of the first three such letters. False: it has no such letter, or this is what it is anyway.
 */
static bool spell(const char *value, size_t len, unsigned n, char *out)
{
    unsigned seen = 0;
    memcpy(out, value, len);
    for (size_t i = 0; i + 1 < len && n > 0; i++) {
        unsigned char lead = (unsigned char)value[i];
        if (lead < 0xc3 || lead > 0xd3) {
            continue;
        }
        char lower_case[2];
        weir_guard_lower_two(value + i, lower_case);
        bool begins = i == 0 || (unsigned char)value[i - 1] <= ' ' || value[i - 1] == '-';
        bool is_upper = memcmp(lower_case, value + i, 2) != 0;
        bool up = n == 2 || (n == 3 && begins) ||
                  (n > 3 && is_upper != (seen < 3 && ((n - 3) >> seen & 1) != 0));
        memcpy(out + i, lower_case, 2);
        if (up) {
            upper_two(lower_case, out + i);
        }
        seen++;
        i++;
    }
    return n == 0 || memcmp(out, value, len) != 0;
}

static weir_status_t compile_list(weir_guard_rules_t *rules, const weir_guard_custom_t *custom,
                                  uint32_t rule, const char *field, weir_error_t *err)
{
    weir_guard_fold_t fold = {0};
    weir_status_t status = WEIR_OK;
    for (size_t v = 0; v < custom->value_count && status == WEIR_OK; v++) {
        weir_guard_view_t view;
        status = weir_guard_normalise(&fold, custom->values[v].data, custom->values[v].len, 0,
                                      &view, err);
        if (status == WEIR_OK && (view.len < 3 || view.len > MAX_LITERAL)) {
            status = weir_error_at(err, WEIR_ERR_INVALID, field, "value_length",
                                   "value %zu has %zu bytes; a value has 3 to %d", v, view.len,
                                   MAX_LITERAL);
        }
        if (status != WEIR_OK) {
            break;
        }
        const char *exact = NULL;
        if (!custom->ignore_case) {
            exact = weir_arena_strndup(&rules->arena, view.text, view.len);
        }
        float score = custom->score > 0 ? custom->score : 0.85f;
        char spelling[MAX_LITERAL];
        bool failed = exact == NULL && !custom->ignore_case;
        for (unsigned n = 0; !failed && n < (custom->ignore_case ? MAX_VARIANTS : 1); n++) {
            failed =
                spell(view.text, view.len, n, spelling) &&
                add_literal(rules, spelling, view.len, rule, UINT32_MAX, exact, score) != WEIR_OK;
        }
        if (failed) {
            status = weir_error(err, WEIR_ERR_NOMEM, "no memory for a list of values");
        }
    }
    weir_guard_fold_free(&fold);
    return status;
}

static weir_status_t compile_custom(weir_guard_rules_t *rules, const weir_guard_options_t *options,
                                    weir_error_t *err)
{
    for (size_t i = 0; i < options->custom_count; i++) {
        const weir_guard_custom_t *custom = &options->custom[i];
        char field[40];
        bool list = custom->expression == NULL;
        snprintf(field, sizeof(field), "custom[%zu].%s", i, list ? "values" : "expression");
        if (custom->type == NULL || (list && custom->value_count == 0)) {
            return weir_error_at(err, WEIR_ERR_INVALID, field, "incomplete",
                                 "a custom entity needs a type and an expression or values");
        }
        uint32_t rule = (uint32_t)rules->rule_count;
        const char *id = custom->rule == NULL ? custom->type : custom->rule;
        weir_guard_rule_t *r = &rules->rule[rules->rule_count++];
        r->type = weir_arena_strndup(&rules->arena, custom->type, strlen(custom->type));
        r->id = weir_arena_strndup(&rules->arena, id, strlen(id));
        r->on = true;
        r->kind = list ? WEIR_KIND_LIST : WEIR_KIND_PATTERN;
        if (r->type == NULL || r->id == NULL) {
            return weir_error(err, WEIR_ERR_NOMEM, "no memory for a custom entity");
        }
        weir_status_t status = list ? compile_list(rules, custom, rule, field, err)
                                    : compile_custom_expression(rules, custom, rule, field, err);
        if (status != WEIR_OK) {
            return status;
        }
    }
    return WEIR_OK;
}

static int by_text(const void *a, const void *b)
{
    const weir_guard_literal_t *x = ((const weir_guard_beginning_t *)a)->literal;
    const weir_guard_literal_t *y = ((const weir_guard_beginning_t *)b)->literal;
    size_t n = x->len < y->len ? x->len : y->len;
    int order = memcmp(x->text, y->text, n);
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

/* Entities that begin with a literal that holds white space: their beginnings are live. */
static weir_status_t collect_blocks(weir_guard_rules_t *rules, weir_error_t *err)
{
    rules->beginnings =
        weir_arena_calloc(&rules->arena, rules->literal_count + 1, sizeof(*rules->beginnings));
    if (rules->beginnings == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for the list of values");
    }
    for (size_t i = 0; i < rules->literal_count; i++) {
        const weir_guard_literal_t *l = &rules->literals[i];
        const weir_guard_pattern_t *source =
            l->pattern == UINT32_MAX ? NULL : rules->patterns[l->pattern].source;
        bool begins = source == NULL || source->span == WEIR_GUARD_SPAN_BLOCK;
        bool spaced = false;
        for (size_t k = 0; k < l->len; k++) {
            spaced |= (unsigned char)l->text[k] <= ' ' || (unsigned char)l->text[k] >= 0xe0;
        }
        if (begins && spaced) {
            rules->beginnings[rules->beginning_count++].literal = l;
            rules->longest_literal =
                l->len > rules->longest_literal ? l->len : rules->longest_literal;
        }
    }
    qsort(rules->beginnings, rules->beginning_count, sizeof(*rules->beginnings), by_text);
    return WEIR_OK;
}

weir_status_t weir_guard_compile_patterns(weir_guard_rules_t *rules,
                                          const weir_guard_options_t *options, weir_error_t *err)
{
    size_t patterns = options->custom_count;
    size_t literals = 0;
    for (size_t t = 0; t < weir_guard_secret_table_count; t++) {
        patterns += *weir_guard_secret_table_sizes[t];
    }
    literals = patterns * WEIR_GUARD_KEYWORDS;
    for (size_t i = 0; i < options->custom_count; i++) {
        for (size_t v = 0; v < options->custom[i].value_count; v++) {
            const weir_str_t *value = &options->custom[i].values[v];
            bool ascii = weir_guard_is_ascii(value->data, value->len);
            literals += ascii || !options->custom[i].ignore_case ? 1 : MAX_VARIANTS;
        }
    }
    if (patterns > WEIR_MAX_PATTERNS) {
        return weir_error_at(err, WEIR_ERR_LIMIT, "custom", "too_many", "too many expressions");
    }
    rules->patterns = weir_arena_calloc(&rules->arena, patterns, sizeof(*rules->patterns));
    rules->literals = weir_arena_calloc(&rules->arena, literals, sizeof(*rules->literals));
    if (rules->patterns == NULL || rules->literals == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for %zu patterns", patterns);
    }
    size_t rule = rules->rule_count;
    for (size_t t = 0; t < weir_guard_secret_table_count; t++) {
        rule -= *weir_guard_secret_table_sizes[t];
    }
    for (size_t t = 0; t < weir_guard_secret_table_count; t++) {
        for (size_t i = 0; i < *weir_guard_secret_table_sizes[t]; i++, rule++) {
            if (!rules->rule[rule].on) {
                continue;
            }
            weir_status_t status =
                compile_secret(rules, &weir_guard_secret_tables[t][i], (uint32_t)rule, err);
            if (status != WEIR_OK) {
                return status;
            }
        }
    }
    rules->custom_from = rules->pattern_count;
    weir_status_t status = compile_custom(rules, options, err);
    if (status == WEIR_OK) {
        status = weir_guard_place_literals(rules, err);
    }
    return status == WEIR_OK ? collect_blocks(rules, err) : status;
}

void weir_guard_free_patterns(weir_guard_rules_t *rules)
{
    for (size_t i = 0; rules->patterns != NULL && i < rules->pattern_count; i++) {
        pcre2_code_free(rules->patterns[i].code);
        pcre2_code_free(rules->patterns[i].name);
    }
}

/*
 * Compiling a rule set: which built-in rules are on, the layouts of identity numbers in buckets,
 * the table of context words; the patterns are pattern.c's.
 */
#include "guardrails/matcher.h"
#include "guardrails/pii/words.h"

#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_MIN_SCORE 0.5f

const weir_guard_parser_rule_t weir_guard_parser_rules[WEIR_RULE_PARSERS] = {
    [WEIR_RULE_EMAIL] = {"email", "EMAIL_ADDRESS", false, false, false, false},
    [WEIR_RULE_PHONE] = {"phone", "PHONE_NUMBER", false, false, true, false},
    [WEIR_RULE_CARD] = {"payment_card", "CREDIT_CARD", false, false, true, false},
    [WEIR_RULE_IBAN] = {"iban", "IBAN_CODE", false, false, true, false},
    [WEIR_RULE_IPV4] = {"ipv4", "IP_ADDRESS", false, false, true, false},
    [WEIR_RULE_IPV6] = {"ipv6", "IP_ADDRESS", false, false, false, false},
    [WEIR_RULE_MAC] = {"mac", "MAC_ADDRESS", false, false, true, false},
    [WEIR_RULE_URL] = {"url", "URL", false, false, false, false},
    [WEIR_RULE_URL_CREDENTIALS] = {"url_credentials", "URL", false, false, false, false},
    [WEIR_RULE_DOMAIN] = {"domain", "URL", false, false, false, false},
    [WEIR_RULE_BITCOIN] = {"bitcoin", "CRYPTO", false, false, true, false},
    [WEIR_RULE_BECH32] = {"bech32", "CRYPTO", false, false, true, false},
    [WEIR_RULE_ETHEREUM] = {"ethereum", "CRYPTO", false, false, true, false},
    [WEIR_RULE_BASE58] = {"base58_wallet", "CRYPTO", false, false, true, false},
    [WEIR_RULE_MONERO] = {"monero", "CRYPTO", false, false, true, false},
    [WEIR_RULE_BIRTH] = {"date_of_birth", "DATE_OF_BIRTH", false, false, true, false},
    [WEIR_RULE_DATE] = {"date", "DATE_TIME", false, true, true, false},
    [WEIR_RULE_PERSON] = {"person", "PERSON", true, false, false, false},
    [WEIR_RULE_ADDRESS] = {"street_address", "STREET_ADDRESS", true, false, true, false},
    [WEIR_RULE_BOT_TOKEN] = {"discord_token", "SECRET", false, false, false, true},
};

static size_t number_count(void)
{
    size_t n = 0;
    for (size_t t = 0; t < weir_guard_id_table_count; t++) {
        n += weir_guard_id_tables[t]->count;
    }
    return n;
}

static size_t secret_count(void)
{
    size_t n = 0;
    for (size_t t = 0; t < weir_guard_secret_table_count; t++) {
        n += *weir_guard_secret_table_sizes[t];
    }
    return n;
}

/* Type of the built-in rule at index i and its id, NULL behind the last. */
static const char *rule_at(size_t i, const char **id)
{
    if (i < WEIR_RULE_PARSERS) {
        *id = weir_guard_parser_rules[i].id;
        return weir_guard_parser_rules[i].type;
    }
    i -= WEIR_RULE_PARSERS;
    for (size_t t = 0; t < weir_guard_id_table_count; t++) {
        if (i < weir_guard_id_tables[t]->count) {
            *id = weir_guard_id_tables[t]->ids[i].id;
            return weir_guard_id_tables[t]->ids[i].type;
        }
        i -= weir_guard_id_tables[t]->count;
    }
    for (size_t t = 0; t < weir_guard_secret_table_count; t++) {
        if (i < *weir_guard_secret_table_sizes[t]) {
            *id = weir_guard_secret_tables[t][i].id;
            return weir_guard_secret_tables[t][i].type;
        }
        i -= *weir_guard_secret_table_sizes[t];
    }
    return NULL;
}

#define MAX_TYPES 256 /* more than there are */

const char *weir_guard_entity_name(size_t index)
{
    const char *types[MAX_TYPES]; /* sorted, each once */
    const char *type = NULL;
    const char *id = NULL;
    size_t count = 0;
    for (size_t i = 0; count < MAX_TYPES && (type = rule_at(i, &id)) != NULL; i++) {
        size_t low = 0;
        size_t high = count;
        while (low < high) {
            size_t mid = low + (high - low) / 2;
            if (strcmp(types[mid], type) < 0) {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        if (low == count || strcmp(types[low], type) != 0) {
            memmove(&types[low + 1], &types[low], (count - low) * sizeof(types[0]));
            types[low] = type;
            count++;
        }
    }
    return index < count ? types[index] : NULL;
}

const char *weir_guard_rule_name(const char *type, size_t index)
{
    const char *id = NULL;
    const char *of = NULL;
    for (size_t i = 0; (of = rule_at(i, &id)) != NULL; i++) {
        if (strcmp(of, type) == 0 && index-- == 0) {
            return id;
        }
    }
    return NULL;
}

bool weir_guard_entity_needs_window(const char *type)
{
    bool any = false;
    for (size_t i = 0; i < WEIR_RULE_PARSERS; i++) {
        if (strcmp(weir_guard_parser_rules[i].type, type) == 0) {
            if (!weir_guard_parser_rules[i].window) {
                return false;
            }
            any = true;
        }
    }
    return any;
}

static void add_rule(weir_guard_rules_t *rules, const char *type, const char *id, bool on,
                     weir_guard_kind_t kind)
{
    weir_guard_rule_t *rule = &rules->rule[rules->rule_count++];
    *rule = (weir_guard_rule_t){.type = type, .id = id, .on = on, .kind = (uint8_t)kind};
}

static void add_builtin(weir_guard_rules_t *rules, const weir_guard_options_t *options)
{
    for (size_t i = 0; i < WEIR_RULE_PARSERS; i++) {
        const weir_guard_parser_rule_t *p = &weir_guard_parser_rules[i];
        bool group = p->secret ? options->secrets : options->pii;
        add_rule(rules, p->type, p->id, group && !p->off, WEIR_KIND_PARSER);
    }
    rules->number_base = (uint16_t)rules->rule_count;
    for (size_t t = 0; t < weir_guard_id_table_count; t++) {
        for (size_t i = 0; i < weir_guard_id_tables[t]->count; i++) {
            const weir_guard_id_t *id = &weir_guard_id_tables[t]->ids[i];
            add_rule(rules, id->type, id->id, options->pii, WEIR_KIND_NUMBER);
            weir_guard_rule_t *rule = &rules->rule[rules->rule_count - 1];
            rule->number = id;
            rule->context =
                (uint16_t)(WEIR_CONTEXT_PARSERS + (rules->rule_count - 1 - rules->number_base));
        }
    }
    for (size_t t = 0; t < weir_guard_secret_table_count; t++) {
        for (size_t i = 0; i < *weir_guard_secret_table_sizes[t]; i++) {
            const weir_guard_pattern_t *p = &weir_guard_secret_tables[t][i];
            add_rule(rules, p->type, p->id, options->secrets, WEIR_KIND_PATTERN);
        }
    }
}

/* Applies the caller's switches to the built-in rules, and the limits that hold for all. */
static weir_status_t apply_entities(weir_guard_rules_t *rules, const weir_guard_options_t *options,
                                    weir_error_t *err)
{
    float least = options->min_score > 0 ? options->min_score : DEFAULT_MIN_SCORE;
    for (size_t i = 0; i < rules->rule_count; i++) {
        rules->rule[i].min_score = least;
    }
    for (size_t e = 0; e < options->entity_count; e++) {
        const weir_guard_entity_t *entity = &options->entities[e];
        bool known = false;
        for (size_t i = 0; i < rules->rule_count; i++) {
            weir_guard_rule_t *rule = &rules->rule[i];
            if (entity->name != NULL &&
                (strcmp(rule->type, entity->name) == 0 || strcmp(rule->id, entity->name) == 0)) {
                known = true;
                rule->on = entity->on;
                rule->min_score = entity->min_score > 0 ? entity->min_score : least;
            }
        }
        if (!known) {
            char field[48];
            snprintf(field, sizeof(field), "entities[%zu].name", e);
            return weir_error_at(err, WEIR_ERR_INVALID, field, "unknown_entity",
                                 "there is no entity type or rule \"%s\"; weir-guard rules lists "
                                 "them",
                                 entity->name == NULL ? "" : entity->name);
        }
    }
    for (size_t i = 0; i < WEIR_RULE_PARSERS && rules->streaming; i++) {
        rules->rule[i].on &= !weir_guard_parser_rules[i].window;
    }
    return WEIR_OK;
}

/* Where the rules are all there, those of the caller among them. */
static void apply_weights(weir_guard_rules_t *rules, const weir_guard_options_t *options)
{
    for (size_t i = 0; i < rules->rule_count; i++) {
        weir_guard_rule_t *rule = &rules->rule[i];
        const weir_guard_weight_t *found = NULL;
        for (size_t w = 0; w < options->weight_count; w++) {
            const weir_guard_weight_t *weight = &options->weights[w];
            if (weight->type == NULL) {
                found = found == NULL ? weight : found;
            } else if (strcmp(weight->type, rule->type) == 0) {
                found = weight;
                break;
            }
        }
        if (found != NULL) {
            rule->weight =
                found->weight < WEIR_GUARD_HEAVIEST ? found->weight : WEIR_GUARD_HEAVIEST;
            rule->weight_least = found->least;
        }
    }
}

/* Reads one layout ("3-2-4") into *layout; returns what follows it. */
static const char *read_layout(const char *at, weir_guard_layout_t *layout)
{
    layout->groups = 0;
    char separator = '\0';
    while (*at != '\0' && *at != '|') {
        unsigned n = 0;
        while (*at >= '0' && *at <= '9') {
            n = n * 10 + (unsigned)(*at++ - '0');
        }
        layout->separator[layout->groups] = separator;
        layout->len[layout->groups++] = (uint8_t)n;
        if (*at != '\0' && *at != '|') {
            separator = *at++;
        }
    }
    return *at == '|' ? at + 1 : at;
}

/* The layout's groups and what its characters must be, as bits. */
static void know_shape(weir_guard_layout_t *layout, const char *shape)
{
    for (unsigned g = 0; g < layout->groups; g++) {
        layout->characters = (uint8_t)(layout->characters + layout->len[g]);
        layout->lens |= (uint64_t)layout->len[g] << 8 * g;
        layout->care |= (uint64_t)0xff << 8 * g;
    }
    for (unsigned i = 0; i < WEIR_MAX_SHAPE && shape[i] != '\0'; i++) {
        layout->shape |= (uint64_t)(shape[i] == '9') << i;
        layout->shape_care |= (uint64_t)(shape[i] != 'X') << i;
    }
}

/* Is its first group one of letters, or can it be, with a blank behind it? */
static bool may_be_front(const weir_guard_layout_t *layout, const char *shape)
{
    return layout->groups > 1 && (layout->separator[1] == ' ' || layout->separator[1] == '~') &&
           memchr(shape, '9', strnlen(shape, layout->len[0])) == NULL;
}

static bool same_shape(const weir_guard_layout_t *a, const weir_guard_layout_t *b)
{
    return a->lens == b->lens && a->care == b->care && a->shape == b->shape &&
           a->shape_care == b->shape_care;
}

/* Layouts of the same shape stand together in their bucket: most texts fit none of them. */
static void add_to_bucket(weir_guard_rules_t *rules, uint16_t index)
{
    weir_guard_layout_t *layout = &rules->layouts[index];
    uint16_t *head = &rules->buckets[layout->len[0]][layout->groups > 1 ? layout->len[1] : 0];
    uint16_t like = *head;
    while (like != WEIR_NO_LAYOUT && !same_shape(&rules->layouts[like], layout)) {
        like = rules->layouts[like].other;
    }
    if (like == WEIR_NO_LAYOUT) {
        layout->next = *head;
        layout->other = *head;
        *head = index;
        return;
    }
    layout->next = rules->layouts[like].next;
    layout->other = rules->layouts[like].other;
    rules->layouts[like].next = index;
}

static weir_status_t add_layouts(weir_guard_rules_t *rules, weir_error_t *err)
{
    memset(rules->buckets, 0xff, sizeof(rules->buckets));
    size_t count = 0;
    for (size_t i = rules->number_base; i < rules->rule_count; i++) {
        const weir_guard_id_t *id = rules->rule[i].number;
        count += id != NULL;
        for (const char *c = id == NULL ? "" : id->layouts; *c != '\0'; c++) {
            count += *c == '|';
        }
    }
    rules->layouts = weir_arena_calloc(&rules->arena, count, sizeof(*rules->layouts));
    if (rules->layouts == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for the layouts of numbers");
    }
    for (size_t i = rules->number_base; i < rules->rule_count; i++) {
        const weir_guard_id_t *id = rules->rule[i].number;
        const char *at = id == NULL || !rules->rule[i].on ? "" : id->layouts;
        while (*at != '\0') {
            weir_guard_layout_t *layout = &rules->layouts[rules->layout_count];
            at = read_layout(at, layout);
            layout->rule = (uint16_t)i;
            know_shape(layout, id->shape);
            if (may_be_front(layout, id->shape) && rules->front_count < WEIR_MAX_FRONTS) {
                rules->fronts[rules->front_count++] = (uint16_t)rules->layout_count;
            }
            add_to_bucket(rules, (uint16_t)rules->layout_count++);
        }
    }
    return WEIR_OK;
}

static weir_status_t add_context(weir_guard_rules_t *rules, weir_error_t *err)
{
    rules->context = weir_arena_calloc(&rules->arena, WEIR_CONTEXT_SLOTS, sizeof(*rules->context));
    if (rules->context == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for the context words");
    }
    bool fits = true;
    for (unsigned s = 0; s < WEIR_CONTEXT_PARSERS; s++) {
        fits = fits && weir_guard_context_add(rules, s, weir_guard_parser_context[s]);
    }
    for (size_t i = rules->number_base; i < rules->rule_count; i++) {
        const weir_guard_rule_t *rule = &rules->rule[i];
        if (rule->number != NULL && rule->on) {
            fits = fits && rule->context < WEIR_CONTEXT_SETS &&
                   weir_guard_context_add(rules, rule->context, rule->number->context);
        }
    }
    return fits ? WEIR_OK
                : weir_error(err, WEIR_ERR_INTERNAL, "the table of context words is full");
}

static weir_status_t fill(weir_guard_rules_t *rules, const weir_guard_options_t *options,
                          weir_error_t *err)
{
    size_t builtin = WEIR_RULE_PARSERS + number_count() + secret_count();
    if (options->custom_count > 10000 || builtin + options->custom_count > UINT16_MAX) {
        return weir_error_at(err, WEIR_ERR_LIMIT, "custom", "too_many",
                             "at most 10000 custom entities in one rule set");
    }
    rules->rule =
        weir_arena_calloc(&rules->arena, builtin + options->custom_count, sizeof(*rules->rule));
    if (rules->rule == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for %zu rules", builtin);
    }
    rules->streaming = options->streaming;
    rules->no_prefilter = options->no_prefilter;
    add_builtin(rules, options);
    weir_status_t status = apply_entities(rules, options, err);
    if (status == WEIR_OK) {
        status = add_layouts(rules, err);
    }
    if (status == WEIR_OK) {
        status = add_context(rules, err);
    }
    rules->custom_base = rules->rule_count;
    if (status == WEIR_OK) {
        status = weir_guard_compile_patterns(rules, options, err);
    }
    if (status == WEIR_OK) {
        apply_weights(rules, options);
    }
    if (status == WEIR_OK && !weir_guard_words_build(rules)) {
        status = weir_error(err, WEIR_ERR_NOMEM, "no memory for the lists of words");
    }
    for (size_t i = 0; i < rules->rule_count; i++) {
        const weir_guard_rule_t *rule = &rules->rule[i];
        rules->digits |= rule->on && (rule->kind == WEIR_KIND_NUMBER ||
                                      (i < WEIR_RULE_PARSERS && weir_guard_parser_rules[i].digits));
    }
    rules->words = rules->rule[WEIR_RULE_PERSON].on;
    return status;
}

weir_status_t weir_guard_rules_compile(const weir_guard_options_t *options,
                                       weir_guard_rules_t **rules, weir_error_t *err)
{
    weir_guard_rules_t *made = calloc(1, sizeof(*made));
    *rules = NULL;
    if (made == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for a rule set");
    }
    weir_arena_init(&made->arena, 64 * 1024, 0);
    weir_status_t status = fill(made, options, err);
    if (status != WEIR_OK) {
        weir_guard_rules_free(made);
        return status;
    }
    *rules = made;
    return WEIR_OK;
}

void weir_guard_rules_free(weir_guard_rules_t *rules)
{
    if (rules == NULL) {
        return;
    }
    weir_guard_free_patterns(rules);
    weir_arena_free(&rules->arena);
    free(rules);
}

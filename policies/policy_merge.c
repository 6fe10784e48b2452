/* Layers into a merge, merges into compiled policies. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "policies/policy_layer.h"
#include "policies/policy_rules.h"

#define NULL_VALUE WEIR_STR("null")

static json_t *parse(weir_str_t value)
{
    return json_loadb(value.data, value.len, JSON_DECODE_ANY, NULL);
}

/* Entries of the lower level are added to those above and replace equal names. */
static weir_status_t merge_aliases(weir_str_t above, weir_str_t below, weir_arena_t *arena,
                                   weir_str_t *out, weir_error_t *err)
{
    json_t *sum;
    json_t *more;
    char *text = NULL;

    *out = below;
    if (above.data == NULL || weir_str_is(above, "null") || weir_str_is(below, "null")) {
        return WEIR_OK;
    }
    sum = parse(above);
    more = parse(below);
    if (sum != NULL && more != NULL && json_object_update(sum, more) == 0) {
        text = json_dumps(sum, JSON_COMPACT | JSON_SORT_KEYS);
    }
    json_decref(sum);
    json_decref(more);
    if (text != NULL) {
        out->len = strlen(text);
        out->data = weir_arena_strndup(arena, text, out->len);
    }
    if (text == NULL || out->data == NULL) {
        free(text);
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    free(text);
    return WEIR_OK;
}

static weir_status_t locked(const weir_policy_merge_t *merge, const weir_policy_layer_t *layer,
                            int f, weir_error_t *err)
{
    const weir_policy_layer_t *by = merge->locked_by[f];
    const weir_path_t at = weir_path_member(layer->path, weir_policy_field_name(f));
    const weir_path_t lock = weir_path_member(by->path, "locked");
    weir_str_t held = merge->values[f].data == NULL ? NULL_VALUE : merge->values[f];

    return weir_error_at(err, WEIR_ERR_INVALID, at.text, "policy_locked",
                         "%s:%u: %s: is locked by %s:%u: %s, expected %.*s or nothing, found %.*s",
                         layer->source->name, weir_source_line(layer->source, at.text), at.text,
                         by->source->name, weir_source_line(by->source, lock.text), lock.text,
                         held.len > 32 ? 32 : (int)held.len, held.data,
                         layer->values[f].len > 32 ? 32 : (int)layer->values[f].len,
                         layer->values[f].data);
}

/* A cap that is locked above must not be lifted for some models either. */
static weir_status_t check_model_caps(const weir_policy_merge_t *merge,
                                      const weir_policy_layer_t *layer, weir_error_t *err)
{
    static const struct {
        const char *member;
        int field;
    } caps[] = {{"max_tokens", WEIR_FIELD_MAX_TOKENS},
                {"default_max_tokens", WEIR_FIELD_DEFAULT_MAX_TOKENS},
                {"n", WEIR_FIELD_N},
                {"context_tokens", WEIR_FIELD_CONTEXT_TOKENS}};
    json_t *list = parse(layer->values[WEIR_FIELD_MODEL_CAPS]);
    weir_status_t rc = list == NULL ? weir_error(err, WEIR_ERR_NOMEM, "out of memory") : WEIR_OK;

    for (size_t i = 0; rc == WEIR_OK && i < json_array_size(list); i++) {
        for (size_t k = 0; rc == WEIR_OK && k < sizeof(caps) / sizeof(caps[0]); k++) {
            const weir_policy_layer_t *by = merge->locked_by[caps[k].field];
            if (by != NULL && json_object_get(json_array_get(list, i), caps[k].member) != NULL) {
                const weir_path_t at = weir_path_at(layer->path, "model_caps", i);
                const weir_path_t lock = weir_path_member(by->path, "locked");
                rc = weir_error_at(err, WEIR_ERR_INVALID, at.text, "policy_locked",
                                   "%s:%u: %s: %s is locked by %s:%u: %s, expected it absent",
                                   layer->source->name, weir_source_line(layer->source, at.text),
                                   at.text, weir_policy_field_name(caps[k].field), by->source->name,
                                   weir_source_line(by->source, lock.text), lock.text);
            }
        }
    }
    json_decref(list);
    return rc;
}

weir_status_t weir_policy_merge(weir_policy_merge_t *merge, const weir_policy_layer_t *layer,
                                weir_arena_t *arena, weir_error_t *err)
{
    if (layer->values[WEIR_FIELD_MODEL_CAPS].data != NULL) {
        weir_status_t rc = check_model_caps(merge, layer, err);
        if (rc != WEIR_OK) {
            return rc;
        }
    }
    for (int f = 0; f < WEIR_POLICY_FIELDS; f++) {
        weir_str_t value = layer->values[f];
        if (value.data != NULL) {
            weir_status_t rc = f == WEIR_FIELD_ALIASES
                                   ? merge_aliases(merge->values[f], value, arena, &value, err)
                                   : WEIR_OK;
            if (rc != WEIR_OK) {
                return rc;
            }
            if (merge->locked_by[f] == NULL) {
                merge->values[f] = value;
                merge->from[f] = layer;
            } else if (!weir_str_eq(value, merge->values[f].data == NULL ? NULL_VALUE
                                                                         : merge->values[f])) {
                return locked(merge, layer, f, err);
            }
        }
        if ((layer->locked >> f & 1) != 0 && merge->locked_by[f] == NULL) {
            merge->locked_by[f] = layer;
        }
    }
    return WEIR_OK;
}

static bool digest_merge(const weir_policy_merge_t *merge, uint8_t digest[WEIR_POLICY_HASH_LEN])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned int n = 0;
    bool good = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

    for (int f = 0; good && f < WEIR_POLICY_FIELDS; f++) {
        const char *name = weir_policy_field_name(f);
        weir_str_t value = merge->values[f];
        if (value.data != NULL && !weir_str_is(value, "null")) {
            good = EVP_DigestUpdate(ctx, name, strlen(name)) == 1 &&
                   EVP_DigestUpdate(ctx, "=", 1) == 1 &&
                   EVP_DigestUpdate(ctx, value.data, value.len) == 1 &&
                   EVP_DigestUpdate(ctx, "\n", 1) == 1;
        }
    }
    good = good && EVP_DigestFinal_ex(ctx, digest, &n) == 1 && n == WEIR_POLICY_HASH_LEN;
    EVP_MD_CTX_free(ctx);
    return good;
}

typedef struct {
    weir_arena_t *arena;
    weir_policy_t *policy;
    weir_policy_rules_t *rules;
} build_t;

static weir_str_t copy_text(weir_arena_t *arena, const json_t *value)
{
    size_t n = json_string_length(value);
    return weir_str(weir_arena_strndup(arena, json_string_value(value), n), n);
}

static bool build_patterns(const build_t *b, const json_t *list, bool fold, weir_patterns_t *out)
{
    size_t n = json_array_size(list);
    weir_pattern_t *patterns = weir_arena_calloc(b->arena, n, sizeof(*patterns));

    for (size_t i = 0; patterns != NULL && i < n; i++) {
        patterns[i].text = copy_text(b->arena, json_array_get(list, i));
        if (patterns[i].text.data == NULL) {
            return false;
        }
    }
    return patterns != NULL && weir_patterns_build(out, patterns, n, fold, b->arena);
}

static bool build_aliases(const build_t *b, json_t *object)
{
    size_t n = json_object_size(object);
    weir_pattern_t *names = weir_arena_calloc(b->arena, n, sizeof(*names));
    const char *key;
    json_t *value;
    uint32_t i = 0;

    b->rules->alias_targets = weir_arena_calloc(b->arena, n, sizeof(weir_str_t));
    if (names == NULL || b->rules->alias_targets == NULL) {
        return false;
    }
    json_object_foreach(object, key, value)
    {
        size_t len = strlen(key);
        names[i].text = weir_str(weir_arena_strndup(b->arena, key, len), len);
        names[i].value = i;
        b->rules->alias_targets[i] = copy_text(b->arena, value);
        if (names[i].text.data == NULL || b->rules->alias_targets[i].data == NULL) {
            return false;
        }
        i++;
    }
    return weir_patterns_build(&b->rules->aliases, names, n, false, b->arena);
}

static bool build_addresses(const build_t *b, const json_t *list)
{
    size_t n = json_array_size(list);
    weir_address_range_t *ranges = weir_arena_calloc(b->arena, n, sizeof(*ranges));

    for (size_t i = 0; ranges != NULL && i < n; i++) {
        const json_t *item = json_array_get(list, i);
        if (!weir_address_range_parse(weir_str(json_string_value(item), json_string_length(item)),
                                      &ranges[i])) {
            return false;
        }
    }
    if (ranges != NULL) {
        weir_addresses_build(&b->rules->addresses, ranges, n);
    }
    return ranges != NULL;
}

static int64_t count_of(const json_t *value, int64_t absent)
{
    return value == NULL ? absent : json_is_null(value) ? -1 : json_integer_value(value);
}

static void clamp_default(weir_policy_caps_t *caps)
{
    if (caps->max_tokens >= 0 && caps->default_max_tokens > caps->max_tokens) {
        caps->default_max_tokens = caps->max_tokens;
    }
}

static bool has_cap(const weir_policy_caps_t *caps)
{
    return caps->max_tokens >= 0 || caps->default_max_tokens >= 0 || caps->n >= 0 ||
           caps->context_tokens >= 0;
}

/* Entries are filled from the general caps, so it runs behind those. */
static bool build_model_caps(const build_t *b, const json_t *list)
{
    size_t n = json_array_size(list);
    size_t n_names = 0;
    size_t k = 0;
    weir_pattern_t *names;

    for (size_t i = 0; i < n; i++) {
        n_names += json_array_size(json_object_get(json_array_get(list, i), "models"));
    }
    names = weir_arena_calloc(b->arena, n_names, sizeof(*names));
    b->rules->caps = weir_arena_calloc(b->arena, n, sizeof(weir_policy_caps_t));
    if (names == NULL || b->rules->caps == NULL) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *entry = json_array_get(list, i);
        const json_t *models = json_object_get(entry, "models");
        weir_policy_caps_t *caps = &b->rules->caps[i];
        caps->max_tokens =
            count_of(json_object_get(entry, "max_tokens"), b->policy->caps.max_tokens);
        caps->default_max_tokens = count_of(json_object_get(entry, "default_max_tokens"),
                                            b->policy->caps.default_max_tokens);
        caps->n = count_of(json_object_get(entry, "n"), b->policy->caps.n);
        caps->context_tokens =
            count_of(json_object_get(entry, "context_tokens"), b->policy->caps.context_tokens);
        clamp_default(caps);
        b->policy->limits_caps = b->policy->limits_caps || has_cap(caps);
        for (size_t m = 0; m < json_array_size(models); m++) {
            names[k].text = copy_text(b->arena, json_array_get(models, m));
            names[k].value = (uint32_t)i;
            if (names[k++].text.data == NULL) {
                return false;
            }
        }
    }
    return weir_patterns_build(&b->rules->caps_models, names, n_names, false, b->arena);
}

static uint64_t build_bits(const json_t *list, int (*number)(weir_str_t))
{
    uint64_t bits = 0;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        bits |= UINT64_C(1) << number(weir_str(json_string_value(item), json_string_length(item)));
    }
    return bits;
}

static bool build_field(const build_t *b, int f, json_t *value)
{
    weir_policy_t *p = b->policy;
    weir_policy_rules_t *rules = b->rules;
    const char *word = json_string_value(value);

    switch ((weir_policy_field_t)f) {
    case WEIR_FIELD_MODELS_ALLOW:
        p->limits_models = rules->models_listed = true;
        return build_patterns(b, value, false, &rules->models_allow);
    case WEIR_FIELD_MODELS_DENY:
        p->limits_models = p->limits_models || json_array_size(value) > 0;
        return build_patterns(b, value, true, &rules->models_deny);
    case WEIR_FIELD_ALIASES:
        return build_aliases(b, value);
    case WEIR_FIELD_ENDPOINTS:
        p->endpoints = build_bits(value, weir_policy_endpoint);
        return true;
    case WEIR_FIELD_PASS_THROUGH:
        p->pass_through = build_bits(value, weir_policy_group);
        return true;
    case WEIR_FIELD_ADDRESSES:
        p->limits_addresses = true;
        return build_addresses(b, value);
    case WEIR_FIELD_MAX_TOKENS:
        p->caps.max_tokens = json_integer_value(value);
        return true;
    case WEIR_FIELD_DEFAULT_MAX_TOKENS:
        p->caps.default_max_tokens = json_integer_value(value);
        return true;
    case WEIR_FIELD_N:
        p->caps.n = json_integer_value(value);
        return true;
    case WEIR_FIELD_CONTEXT_TOKENS:
        p->caps.context_tokens = json_integer_value(value);
        return true;
    case WEIR_FIELD_MODEL_CAPS: /* the fields of caps have lower numbers: they are read by now */
        return build_model_caps(b, value);
    case WEIR_FIELD_OVER_CAP:
        p->over_cap = strcmp(word, "lower") == 0 ? WEIR_OVER_CAP_LOWER : WEIR_OVER_CAP_REFUSE;
        return true;
    case WEIR_FIELD_TOOLS_ALLOW:
        p->limits_tools = rules->tools_listed = true;
        return build_patterns(b, value, false, &rules->tools_allow);
    case WEIR_FIELD_TOOLS_DENY:
        p->limits_tools = p->limits_tools || json_array_size(value) > 0;
        return build_patterns(b, value, true, &rules->tools_deny);
    case WEIR_FIELD_TOOLS_MAX:
        p->limits_tools = true;
        p->tools_max = json_integer_value(value);
        return true;
    case WEIR_FIELD_UNKNOWN_PRICE:
        p->unknown_price = strcmp(word, "zero") == 0         ? WEIR_UNKNOWN_PRICE_ZERO
                           : strcmp(word, "assume_max") == 0 ? WEIR_UNKNOWN_PRICE_ASSUME_MAX
                                                             : WEIR_UNKNOWN_PRICE_DENY;
        return true;
    case WEIR_POLICY_FIELDS:
        break;
    }
    return true;
}

static bool build(const build_t *b, const weir_policy_merge_t *merge)
{
    weir_policy_t *p = b->policy;
    bool good = true;

    p->rules = b->rules;
    p->endpoints = ~UINT64_C(0);
    p->caps = (weir_policy_caps_t){-1, -1, -1, -1};
    p->tools_max = -1;
    for (int f = 0; good && f < WEIR_POLICY_FIELDS; f++) {
        if (f == WEIR_FIELD_MODEL_CAPS) {
            clamp_default(&p->caps);
            p->limits_caps = has_cap(&p->caps);
        }
        if (merge->values[f].data != NULL && !weir_str_is(merge->values[f], "null")) {
            json_t *value = parse(merge->values[f]);
            good = value != NULL && build_field(b, f, value);
            json_decref(value);
        }
    }
    p->needs_body =
        p->limits_models || p->limits_tools || p->limits_caps || b->rules->aliases.n_exact > 0;
    for (size_t i = 0; i < WEIR_POLICY_HASH_LEN; i++) {
        static const char digits[] = "0123456789abcdef";
        p->hash[2 * i] = digits[b->rules->digest[i] >> 4];
        p->hash[2 * i + 1] = digits[b->rules->digest[i] & 15];
    }
    return good;
}

static size_t table_slot(const weir_policy_table_t *table,
                         const uint8_t digest[WEIR_POLICY_HASH_LEN])
{
    size_t i;

    memcpy(&i, digest, sizeof(i));
    i &= table->n_slots - 1;
    while (table->slots[i] != NULL &&
           memcmp(table->slots[i]->rules->digest, digest, WEIR_POLICY_HASH_LEN) != 0) {
        i = (i + 1) & (table->n_slots - 1);
    }
    return i;
}

static bool table_grow(weir_policy_table_t *table)
{
    weir_policy_table_t bigger = *table;

    bigger.n_slots = table->n_slots == 0 ? 64 : 2 * table->n_slots;
    bigger.slots = weir_arena_calloc(table->arena, bigger.n_slots, sizeof(const weir_policy_t *));
    if (bigger.slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < table->n_slots; i++) {
        if (table->slots[i] != NULL) {
            bigger.slots[table_slot(&bigger, table->slots[i]->rules->digest)] = table->slots[i];
        }
    }
    *table = bigger;
    return true;
}

weir_status_t weir_policy_compile(weir_policy_table_t *table, const weir_policy_merge_t *merge,
                                  weir_arena_t *arena, bool add, const weir_policy_t **out,
                                  weir_error_t *err)
{
    uint8_t digest[WEIR_POLICY_HASH_LEN];
    build_t b = {.arena = arena};
    size_t slot;

    if (!digest_merge(merge, digest)) {
        return weir_error(err, WEIR_ERR_INTERNAL, "SHA-256 failed");
    }
    if (add && 2 * (table->n + 1) > table->n_slots && !table_grow(table)) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    slot = table->n_slots == 0 ? 0 : table_slot(table, digest);
    if (table->n_slots > 0 && table->slots[slot] != NULL) {
        *out = table->slots[slot];
        return WEIR_OK;
    }
    b.policy = weir_arena_calloc(arena, 1, sizeof(*b.policy));
    b.rules = weir_arena_calloc(arena, 1, sizeof(*b.rules));
    if (b.policy == NULL || b.rules == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    memcpy(b.rules->digest, digest, sizeof(digest));
    if (!build(&b, merge)) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    if (add) {
        table->slots[slot] = b.policy;
        table->n++;
    }
    *out = b.policy;
    return WEIR_OK;
}

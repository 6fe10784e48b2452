#include "policies/policy_layer.h"

#include <stdio.h>
#include <stdlib.h>

#include "policies/addresses.h"
#include "policies/patterns.h"

typedef enum {
    KIND_PATTERNS,
    KIND_ALIASES,
    KIND_ENDPOINTS,
    KIND_GROUPS,
    KIND_ADDRESSES,
    KIND_COUNT,
    KIND_MODEL_CAPS,
    KIND_WORD
} kind_t;

static const char *const over_cap_words[] = {"refuse", "lower", NULL};
static const char *const unknown_price_words[] = {"deny", "assume_max", "zero", NULL};

static const struct {
    const char *name;
    const char *group; /* the object that holds it; NULL: the policy itself */
    const char *member;
    kind_t kind;
    const char *const *words;
} fields[WEIR_POLICY_FIELDS] = {
    [WEIR_FIELD_MODELS_ALLOW] = {"models.allow", "models", "allow", KIND_PATTERNS, NULL},
    [WEIR_FIELD_MODELS_DENY] = {"models.deny", "models", "deny", KIND_PATTERNS, NULL},
    [WEIR_FIELD_ALIASES] = {"aliases", NULL, "aliases", KIND_ALIASES, NULL},
    [WEIR_FIELD_ENDPOINTS] = {"endpoints", NULL, "endpoints", KIND_ENDPOINTS, NULL},
    [WEIR_FIELD_PASS_THROUGH] = {"pass_through", NULL, "pass_through", KIND_GROUPS, NULL},
    [WEIR_FIELD_ADDRESSES] = {"addresses", NULL, "addresses", KIND_ADDRESSES, NULL},
    [WEIR_FIELD_MAX_TOKENS] = {"caps.max_tokens", "caps", "max_tokens", KIND_COUNT, NULL},
    [WEIR_FIELD_DEFAULT_MAX_TOKENS] = {"caps.default_max_tokens", "caps", "default_max_tokens",
                                       KIND_COUNT, NULL},
    [WEIR_FIELD_N] = {"caps.n", "caps", "n", KIND_COUNT, NULL},
    [WEIR_FIELD_CONTEXT_TOKENS] = {"caps.context_tokens", "caps", "context_tokens", KIND_COUNT,
                                   NULL},
    [WEIR_FIELD_MODEL_CAPS] = {"model_caps", NULL, "model_caps", KIND_MODEL_CAPS, NULL},
    [WEIR_FIELD_OVER_CAP] = {"over_cap", NULL, "over_cap", KIND_WORD, over_cap_words},
    [WEIR_FIELD_TOOLS_ALLOW] = {"tools.allow", "tools", "allow", KIND_PATTERNS, NULL},
    [WEIR_FIELD_TOOLS_DENY] = {"tools.deny", "tools", "deny", KIND_PATTERNS, NULL},
    [WEIR_FIELD_TOOLS_MAX] = {"tools.max", "tools", "max", KIND_COUNT, NULL},
    [WEIR_FIELD_UNKNOWN_PRICE] = {"unknown_price", NULL, "unknown_price", KIND_WORD,
                                  unknown_price_words},
};

/* Small enough that sums and products with prices stay far from the end of 64 bits. */
#define MAX_COUNT INT64_C(1000000000)
#define MAX_LIST  10000

const char *weir_policy_field_name(int field)
{
    return fields[field].name;
}

const char *weir_policy_level_name(weir_policy_level_t level)
{
    static const char *const names[] = {"default", "base", "tenant", "team", "user", "key"};
    return names[level];
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The list's strings, sorted and each once, as a new array; NULL: out of memory. */
static json_t *sorted_list(const json_t *list)
{
    size_t n = json_array_size(list);
    const char **texts = calloc(n + 1, sizeof(*texts));
    json_t *out = json_array();

    for (size_t i = 0; texts != NULL && i < n; i++) {
        texts[i] = json_string_value(json_array_get(list, i));
    }
    if (texts != NULL && n > 0) {
        qsort(texts, n, sizeof(*texts), compare_texts);
    }
    for (size_t i = 0; texts != NULL && out != NULL && i < n; i++) {
        if ((i == 0 || strcmp(texts[i], texts[i - 1]) != 0) &&
            json_array_append_new(out, json_string(texts[i])) != 0) {
            json_decref(out);
            out = NULL;
        }
    }
    if (texts == NULL) {
        json_decref(out);
        out = NULL;
    }
    free(texts);
    return out;
}

static weir_status_t check_text(const weir_document_t *doc, const json_t *value, const char *path,
                                kind_t kind)
{
    weir_str_t text = weir_str(json_string_value(value), json_string_length(value));
    weir_address_range_t range;

    if (!json_is_string(value) || text.len == 0 || text.len > WEIR_PATTERN_MAX) {
        return weir_document_fail(doc, path, "expected a string of 1 to %d bytes, found %s",
                                  WEIR_PATTERN_MAX,
                                  !json_is_string(value) ? weir_document_type(value)
                                  : text.len == 0        ? "an empty one"
                                                         : "a longer one");
    }
    if (kind == KIND_ENDPOINTS && weir_policy_endpoint(text) < 0) {
        return weir_document_fail(doc, path, "no endpoint is called \"%.64s\"", text.data);
    }
    if (kind == KIND_GROUPS && weir_policy_group(text) < 0) {
        return weir_document_fail(doc, path, "no pass-through group is called \"%.64s\"",
                                  text.data);
    }
    if (kind == KIND_ADDRESSES && !weir_address_range_parse(text, &range)) {
        return weir_document_fail(doc, path,
                                  "expected an address or block such as 10.0.0.0/8 or "
                                  "2001:db8::/32 with no bits behind the prefix, found \"%.64s\"",
                                  text.data);
    }
    return WEIR_OK;
}

static weir_status_t check_list(const weir_document_t *doc, const json_t *list, const char *path,
                                kind_t kind, json_t **canonical)
{
    if (!json_is_array(list)) {
        return weir_document_fail(doc, path, "expected an array or null, found %s",
                                  weir_document_type(list));
    }
    if (json_array_size(list) > MAX_LIST) {
        return weir_document_fail(doc, path, "expected at most %d entries, found %zu", MAX_LIST,
                                  json_array_size(list));
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        weir_status_t rc =
            check_text(doc, json_array_get(list, i), weir_path_at(path, "", i).text, kind);
        if (rc != WEIR_OK) {
            return rc;
        }
    }
    *canonical = sorted_list(list);
    return *canonical == NULL ? weir_document_nomem(doc) : WEIR_OK;
}

/* Aliases are one step: a chain would hide which model runs. */
static weir_status_t check_aliases(const weir_document_t *doc, json_t *object, const char *path,
                                   json_t **canonical)
{
    const char *key;
    json_t *value;

    if (!json_is_object(object)) {
        return weir_document_fail(doc, path, "expected an object or null, found %s",
                                  weir_document_type(object));
    }
    json_object_foreach(object, key, value)
    {
        const weir_path_t at = weir_path_member(path, key);
        weir_status_t rc = check_text(doc, value, at.text, KIND_PATTERNS);
        if (rc != WEIR_OK) {
            return rc;
        }
        if (key[0] == '\0' || strlen(key) > WEIR_PATTERN_MAX ||
            weir_pattern_has_wildcard(weir_str(key, strlen(key))) ||
            weir_pattern_has_wildcard(
                weir_str(json_string_value(value), json_string_length(value)))) {
            return weir_document_fail(
                doc, at.text, "expected names of 1 to %d bytes without * and ?", WEIR_PATTERN_MAX);
        }
    }
    *canonical = json_incref(object);
    return WEIR_OK;
}

static weir_status_t check_count(const weir_document_t *doc, json_t *value, const char *path)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) > MAX_COUNT) {
        return weir_document_fail(doc, path, "expected an integer from 0 to %lld or null, found %s",
                                  (long long)MAX_COUNT,
                                  json_is_integer(value) ? "another number"
                                  : json_is_real(value)  ? "a number with a fraction or exponent"
                                                         : weir_document_type(value));
    }
    return WEIR_OK;
}

static weir_status_t check_model_caps(const weir_document_t *doc, json_t *list, const char *path,
                                      json_t **canonical)
{
    static const char *const known[] = {"models", "max_tokens",     "default_max_tokens",
                                        "n",      "context_tokens", NULL};
    weir_status_t rc = WEIR_OK;

    if (!json_is_array(list)) {
        return weir_document_fail(doc, path, "expected an array or null, found %s",
                                  weir_document_type(list));
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const weir_path_t at = weir_path_at(path, "", i);
        json_t *entry = json_array_get(list, i);
        json_t *names = json_object_get(entry, "models");
        json_t *sorted = NULL;
        rc = weir_document_members(doc, entry, at.text, known);
        if (rc == WEIR_OK) {
            rc = check_list(doc, names, weir_path_member(at.text, "models").text, KIND_PATTERNS,
                            &sorted);
            json_decref(sorted);
        }
        for (size_t k = 1; rc == WEIR_OK && known[k] != NULL; k++) {
            json_t *value = json_object_get(entry, known[k]);
            if (value != NULL && !json_is_null(value)) {
                rc = check_count(doc, value, weir_path_member(at.text, known[k]).text);
            }
        }
        if (rc != WEIR_OK) {
            return rc;
        }
    }
    *canonical = json_incref(list);
    return WEIR_OK;
}

static weir_status_t check_value(const weir_document_t *doc, int f, json_t *holder,
                                 const char *holder_path, json_t *value, json_t **canonical)
{
    const weir_path_t at = weir_path_member(holder_path, fields[f].member);
    weir_status_t rc;
    int word;

    if (json_is_null(value)) {
        *canonical = json_null();
        return WEIR_OK;
    }
    switch (fields[f].kind) {
    case KIND_ALIASES:
        return check_aliases(doc, value, at.text, canonical);
    case KIND_MODEL_CAPS:
        return check_model_caps(doc, value, at.text, canonical);
    case KIND_COUNT:
        rc = check_count(doc, value, at.text);
        break;
    case KIND_WORD:
        rc = weir_document_word(doc, holder, holder_path, fields[f].member, fields[f].words, &word);
        break;
    case KIND_PATTERNS:
    case KIND_ENDPOINTS:
    case KIND_GROUPS:
    case KIND_ADDRESSES:
    default:
        return check_list(doc, value, at.text, fields[f].kind, canonical);
    }
    *canonical = json_incref(value);
    return rc;
}

static weir_status_t set_field(const weir_document_t *doc, weir_policy_layer_t *layer, int f,
                               json_t *holder, const char *holder_path)
{
    json_t *value = json_object_get(holder, fields[f].member);
    json_t *canonical = NULL;
    weir_status_t rc;

    if (value == NULL) {
        return WEIR_OK;
    }
    rc = check_value(doc, f, holder, holder_path, value, &canonical);
    if (rc == WEIR_OK) {
        char *text = json_dumps(canonical, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        size_t len = text == NULL ? 0 : strlen(text);
        layer->values[f].data = text == NULL ? NULL : weir_arena_strndup(doc->arena, text, len);
        layer->values[f].len = len;
        free(text);
        rc = layer->values[f].data == NULL ? weir_document_nomem(doc) : WEIR_OK;
    }
    json_decref(canonical);
    return rc;
}

static weir_status_t set_locks(const weir_document_t *doc, weir_policy_layer_t *layer,
                               json_t *object, const char *path)
{
    json_t *locked;
    weir_status_t rc = weir_document_array(doc, object, path, "locked", &locked);

    for (size_t i = 0; rc == WEIR_OK && i < json_array_size(locked); i++) {
        const char *name = json_string_value(json_array_get(locked, i));
        uint32_t bits = 0;
        for (int f = 0; name != NULL && f < WEIR_POLICY_FIELDS; f++) {
            if (strcmp(name, fields[f].name) == 0 ||
                (fields[f].group != NULL && strcmp(name, fields[f].group) == 0)) {
                bits |= 1u << f;
            }
        }
        if (bits == 0) {
            return weir_document_fail(doc, weir_path_at(path, "locked", i).text,
                                      "expected a field such as \"models.allow\" or \"caps\", "
                                      "found %s",
                                      name != NULL ? "another text"
                                                   : weir_document_type(json_array_get(locked, i)));
        }
        layer->locked |= bits;
    }
    return rc;
}

static weir_status_t check_groups(const weir_document_t *doc, json_t *object, const char *path)
{
    static const char *const known[] = {
        "description", "models",   "aliases", "endpoints",     "pass_through", "addresses", "caps",
        "model_caps",  "over_cap", "tools",   "unknown_price", "locked",       NULL};
    static const char *const models[] = {"allow", "deny", NULL};
    static const char *const caps[] = {"max_tokens", "default_max_tokens", "n", "context_tokens",
                                       NULL};
    static const char *const tools[] = {"allow", "deny", "max", NULL};
    const struct {
        const char *name;
        const char *const *known;
    } groups[] = {{"models", models}, {"caps", caps}, {"tools", tools}};
    weir_status_t rc = weir_document_members(doc, object, path, known);

    for (size_t i = 0; rc == WEIR_OK && i < sizeof(groups) / sizeof(groups[0]); i++) {
        json_t *group = json_object_get(object, groups[i].name);
        if (group != NULL) {
            rc = weir_document_members(doc, group, weir_path_member(path, groups[i].name).text,
                                       groups[i].known);
        }
    }
    return rc;
}

weir_status_t weir_policy_layer_parse(const weir_document_t *doc, json_t *object, const char *path,
                                      weir_policy_level_t level, weir_policy_layer_t **out)
{
    weir_policy_layer_t *layer = weir_arena_calloc(doc->arena, 1, sizeof(*layer));
    weir_str_t description;
    weir_status_t rc;

    if (layer == NULL ||
        (layer->path = weir_arena_strndup(doc->arena, path, strlen(path))) == NULL) {
        return weir_document_nomem(doc);
    }
    layer->level = level;
    layer->source = doc->source;
    if ((rc = check_groups(doc, object, path)) != WEIR_OK ||
        (rc = weir_document_text(doc, object, path, "description", 1024, &description)) !=
            WEIR_OK) {
        return rc;
    }
    for (int f = 0; f < WEIR_POLICY_FIELDS; f++) {
        const char *group = fields[f].group;
        json_t *holder = group == NULL ? object : json_object_get(object, group);
        const weir_path_t at =
            group == NULL ? weir_path_member("", path) : weir_path_member(path, group);
        rc = set_field(doc, layer, f, holder, at.text);
        if (rc != WEIR_OK) {
            return rc;
        }
    }
    rc = set_locks(doc, layer, object, path);
    if (rc == WEIR_OK) {
        *out = layer;
    }
    return rc;
}

weir_status_t weir_policy_member(const weir_document_t *doc, json_t *object, const char *path,
                                 weir_policy_level_t level, const weir_policy_names_t *names,
                                 weir_policy_layer_t **out)
{
    const weir_path_t at = weir_path_member(path, "policy");
    json_t *policy = json_object_get(object, "policy");
    const json_t *index;
    weir_policy_layer_t *copy;

    *out = NULL;
    if (policy == NULL) {
        return WEIR_OK;
    }
    if (json_is_object(policy)) {
        return weir_policy_layer_parse(doc, policy, at.text, level, out);
    }
    if (!json_is_string(policy) ||
        !weir_document_id_ok(weir_str(json_string_value(policy), json_string_length(policy)))) {
        return weir_document_fail(doc, at.text, "expected an object or a policy's name, found %s",
                                  json_is_string(policy) ? "another text"
                                                         : weir_document_type(policy));
    }
    if (names == NULL) {
        return WEIR_OK;
    }
    index = json_object_get(names->names, json_string_value(policy));
    if (index == NULL) {
        return weir_document_fail(
            doc, at.text, "no policy is called \"%s\" in %s", json_string_value(policy),
            names->names == NULL ? "any document: none was given" : "the policies document");
    }
    copy = weir_arena_alloc(doc->arena, sizeof(*copy));
    if (copy == NULL) {
        return weir_document_nomem(doc);
    }
    *copy = *names->layers[json_integer_value(index)];
    copy->level = level;
    *out = copy;
    return WEIR_OK;
}

/* Reading one policy of the guards document, its parents' members already below its own. */
#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/hex.h"
#include "policies/guards_private.h"

typedef struct {
    const weir_document_t *doc;
    weir_guards_t *guards;
    const char *path; /* policies.NAME */
    json_t *object;
    weir_guard_policy_t *out;
    weir_guard_policy_private_t *own;
    weir_guard_type_rule_t *types;
    size_t type_cap;
    weir_guard_custom_t custom[WEIR_GUARD_MAX_CUSTOM];
    size_t custom_count;
    weir_guard_topic_t topics[WEIR_GUARD_MAX_CUSTOM];
    bool others; /* "*" has an action */
} reader_t;

#define TRY(call)                   \
    do {                            \
        weir_status_t rc_ = (call); \
        if (rc_ != WEIR_OK)         \
            return rc_;             \
    } while (0)

static const char *const action_words[] = {"allow",       "flag",  "redact", "replace", "mask",
                                           "placeholder", "route", "block",  NULL};

static weir_status_t read_real(const reader_t *r, json_t *object, const char *path,
                               const char *name, float *out)
{
    json_t *value = json_object_get(object, name);
    if (value == NULL)
        return WEIR_OK;
    double number = json_number_value(value);
    if (!json_is_number(value) || number < 0 || number > 1)
        return weir_document_fail(r->doc, weir_path_member(path, name).text,
                                  "expected a number from 0 to 1, found %s",
                                  json_is_number(value) ? "another" : weir_document_type(value));
    *out = (float)number;
    return WEIR_OK;
}

static weir_status_t read_action(const reader_t *r, json_t *object, const char *path,
                                 const char *name, weir_guard_action_t *out)
{
    int word;
    if (json_object_get(object, name) == NULL)
        return WEIR_OK;
    TRY(weir_document_word(r->doc, object, path, name, action_words, &word));
    *out = (weir_guard_action_t)word;
    return WEIR_OK;
}

/* --- parts of requests and answers --- */

static weir_status_t read_parts(const reader_t *r, json_t *object, const char *path,
                                const char *name, const char *const *words, const uint32_t *bits,
                                uint32_t *out)
{
    json_t *list;
    size_t i;
    json_t *value;
    TRY(weir_document_array(r->doc, object, path, name, &list));
    if (list == NULL)
        return WEIR_OK;
    *out = 0;
    json_array_foreach(list, i, value)
    {
        size_t k = 0;
        const char *word = json_string_value(value);
        while (words[k] != NULL && (word == NULL || strcmp(words[k], word) != 0))
            k++;
        if (words[k] == NULL)
            return weir_document_fail(r->doc, weir_path_at(path, name, i).text,
                                      "expected a part such as \"%s\", found %s%.40s", words[0],
                                      word == NULL ? weir_document_type(value) : "",
                                      word == NULL ? "" : word);
        *out |= bits[k];
    }
    return WEIR_OK;
}

static weir_status_t read_scope(reader_t *r)
{
    static const char *const known[] = {"input", "output", NULL};
    static const char *const in[] = {
        "system", "user", "assistant", "tool_arguments", "tool_results", "tool_definitions", NULL};
    static const uint32_t in_bits[] = {WEIR_GUARD_SYSTEM,       WEIR_GUARD_USER,
                                       WEIR_GUARD_ASSISTANT,    WEIR_GUARD_TOOL_ARGUMENTS,
                                       WEIR_GUARD_TOOL_RESULTS, WEIR_GUARD_TOOL_DEFINITIONS};
    static const char *const out[] = {"content", "reasoning", "tool_arguments", NULL};
    static const uint32_t out_bits[] = {WEIR_GUARD_CONTENT, WEIR_GUARD_REASONING,
                                        WEIR_GUARD_TOOL_ARGUMENTS};
    json_t *scope = json_object_get(r->object, "scope");
    const weir_path_t path = weir_path_member(r->path, "scope");
    r->out->scope[WEIR_GUARD_INPUT] = WEIR_GUARD_USER | WEIR_GUARD_ASSISTANT |
                                      WEIR_GUARD_TOOL_ARGUMENTS | WEIR_GUARD_TOOL_RESULTS;
    r->out->scope[WEIR_GUARD_OUTPUT] =
        WEIR_GUARD_CONTENT | WEIR_GUARD_REASONING | WEIR_GUARD_TOOL_ARGUMENTS;
    if (scope == NULL)
        return WEIR_OK;
    TRY(weir_document_members(r->doc, scope, path.text, known));
    TRY(read_parts(r, scope, path.text, "input", in, in_bits, &r->out->scope[WEIR_GUARD_INPUT]));
    return read_parts(r, scope, path.text, "output", out, out_bits,
                      &r->out->scope[WEIR_GUARD_OUTPUT]);
}

/* --- actions of types --- */

/* "redact", or an object with more to say. */
static weir_status_t read_rule(const reader_t *r, json_t *object, const char *path,
                               const char *name, weir_guard_entity_rule_t *out)
{
    static const char *const known[] = {"action",    "input",       "output",
                                        "min_score", "replacement", NULL};
    json_t *value = json_object_get(object, name);
    const weir_path_t at = weir_path_member(path, name);
    memset(out, 0, sizeof *out);
    weir_guard_action_t action = WEIR_GUARD_ALLOW;
    if (value == NULL)
        return WEIR_OK;
    if (json_is_string(value)) {
        TRY(read_action(r, object, path, name, &action));
        out->action[WEIR_GUARD_INPUT] = out->action[WEIR_GUARD_OUTPUT] = action;
    } else {
        TRY(weir_document_members(r->doc, value, at.text, known));
        TRY(read_action(r, value, at.text, "action", &action));
        out->action[WEIR_GUARD_INPUT] = out->action[WEIR_GUARD_OUTPUT] = action;
        TRY(read_action(r, value, at.text, "input", &out->action[WEIR_GUARD_INPUT]));
        TRY(read_action(r, value, at.text, "output", &out->action[WEIR_GUARD_OUTPUT]));
        TRY(read_real(r, value, at.text, "min_score", &out->min_score));
        TRY(weir_document_text(r->doc, value, at.text, "replacement", 128, &out->replacement));
    }
    bool replaces = out->action[WEIR_GUARD_INPUT] == WEIR_GUARD_REPLACE ||
                    out->action[WEIR_GUARD_OUTPUT] == WEIR_GUARD_REPLACE;
    if (replaces && (json_is_string(value) || json_object_get(value, "replacement") == NULL))
        return weir_document_fail(r->doc, at.text,
                                  "expected a \"replacement\" beside the action \"replace\", found "
                                  "none");
    for (size_t i = 0; i < out->replacement.len; i++)
        if ((unsigned char)out->replacement.data[i] < 0x20 || out->replacement.data[i] == '"' ||
            out->replacement.data[i] == '\\')
            return weir_document_fail(r->doc, weir_path_member(at.text, "replacement").text,
                                      "expected text without quotes, backslashes and control "
                                      "characters");
    return WEIR_OK;
}

static bool acts(const weir_guard_entity_rule_t *rule, weir_guard_direction_t direction)
{
    return rule->action[direction] != WEIR_GUARD_ALLOW;
}

static weir_status_t add_type(reader_t *r, const char *type, const weir_guard_entity_rule_t *rule)
{
    char *copy = weir_arena_strndup(r->doc->arena, type, strlen(type));
    if (r->types == NULL || r->own->type_count == r->type_cap) {
        size_t cap = r->type_cap == 0 ? 32 : r->type_cap * 2;
        weir_guard_type_rule_t *more = weir_arena_alloc(r->doc->arena, cap * sizeof *more);
        if (more == NULL)
            return weir_document_nomem(r->doc);
        if (r->types != NULL)
            memcpy(more, r->types, r->own->type_count * sizeof *more);
        r->types = more;
        r->type_cap = cap;
    }
    if (copy == NULL)
        return weir_document_nomem(r->doc);
    r->types[r->own->type_count++] = (weir_guard_type_rule_t){copy, *rule};
    r->own->types = r->types;
    return WEIR_OK;
}

static bool is_known_type(const reader_t *r, const char *type)
{
    if (weir_guard_rule_name(type, 0) != NULL)
        return true;
    for (size_t i = 0; i < r->custom_count; i++)
        if (strcmp(r->custom[i].type, type) == 0)
            return true;
    return false;
}

static weir_status_t read_entities(reader_t *r)
{
    const char *type;
    json_t *value;
    json_t *entities = json_object_get(r->object, "entities");
    const weir_path_t path = weir_path_member(r->path, "entities");
    if (entities != NULL && !json_is_object(entities))
        return weir_document_fail(r->doc, path.text, "expected an object, found %s",
                                  weir_document_type(entities));
    json_object_foreach(entities, type, value)
    {
        weir_guard_entity_rule_t rule;
        (void)value;
        TRY(read_rule(r, entities, path.text, type, &rule));
        if (strcmp(type, "*") == 0) {
            r->own->otherwise = rule;
            r->others = acts(&rule, WEIR_GUARD_INPUT) || acts(&rule, WEIR_GUARD_OUTPUT);
            continue;
        }
        if (!is_known_type(r, type))
            return weir_document_fail(r->doc, weir_path_member(path.text, type).text,
                                      "expected a built-in type, one of \"custom\", or \"*\"");
        TRY(add_type(r, type, &rule));
    }
    TRY(read_rule(r, r->object, r->path, "secrets", &r->own->secret));
    if (json_object_get(entities, "SECRET") != NULL)
        TRY(read_rule(r, entities, path.text, "SECRET", &r->own->secret));
    return WEIR_OK;
}

/* --- entities of the operator's --- */

/* PREFIX_ID in capitals, as names of types are. */
static weir_status_t type_of(const reader_t *r, const char *prefix, weir_str_t id, const char *path,
                             const char **out)
{
    char type[64];
    int n = snprintf(type, sizeof type, "%s_%.*s", prefix, (int)id.len, id.data);
    if (id.len == 0 || n < 0 || (size_t)n >= 40)
        return weir_document_fail(r->doc, path, "expected an id of 1 to 32 bytes");
    for (char *p = type; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && *p != '_' && *p != '-' && *p != '.')
            return weir_document_fail(r->doc, path, "expected an id of A-Z a-z 0-9 . _ -");
        *p = isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '_';
    }
    *out = weir_arena_strndup(r->doc->arena, type, strlen(type));
    return *out == NULL ? weir_document_nomem(r->doc) : WEIR_OK;
}

/* What to look for: an expression or words. */
static weir_status_t read_search(reader_t *r, json_t *entry, const char *path, const char *words,
                                 weir_guard_custom_t *c)
{
    weir_str_t expression;
    TRY(weir_document_text(r->doc, entry, path, "expression", 1024, &expression));
    TRY(weir_document_texts(r->doc, entry, path, words, 256, &c->values, &c->value_count));
    TRY(weir_document_bool(r->doc, entry, path, "ignore_case", true, &c->ignore_case));
    TRY(read_real(r, entry, path, "score", &c->score));
    if ((expression.len > 0) == (c->value_count > 0))
        return weir_document_fail(r->doc, path, "expected either \"expression\" or \"%s\"", words);
    if (expression.len > 0) {
        c->expression = weir_arena_strndup(r->doc->arena, expression.data, expression.len);
        if (c->expression == NULL)
            return weir_document_nomem(r->doc);
    }
    if (r->custom_count == WEIR_GUARD_MAX_CUSTOM)
        return weir_document_fail(r->doc, path, "expected at most %d entries in all",
                                  WEIR_GUARD_MAX_CUSTOM);
    r->custom[r->custom_count++] = *c;
    return WEIR_OK;
}

static weir_status_t read_custom(reader_t *r)
{
    static const char *const known[] = {"type",        "expression", "values",
                                        "ignore_case", "score",      NULL};
    json_t *list;
    size_t i;
    json_t *entry;
    TRY(weir_document_array(r->doc, r->object, r->path, "custom", &list));
    json_array_foreach(list, i, entry)
    {
        const weir_path_t at = weir_path_at(r->path, "custom", i);
        weir_guard_custom_t c = {0};
        weir_str_t type;
        TRY(weir_document_members(r->doc, entry, at.text, known));
        TRY(weir_document_text(r->doc, entry, at.text, "type", 40, &type));
        bool good = type.len > 0 && type.data[0] >= 'A' && type.data[0] <= 'Z';
        for (size_t k = 0; k < type.len; k++)
            good = good && (isupper((unsigned char)type.data[k]) ||
                            isdigit((unsigned char)type.data[k]) || type.data[k] == '_');
        if (!good)
            return weir_document_fail(r->doc, weir_path_member(at.text, "type").text,
                                      "expected 1 to 40 of A-Z 0-9 _, the first a letter");
        /* Its rule would be that of an entry, which a parent may have locked. */
        if (strncmp(type.data, "DENY_", 5) == 0 || strncmp(type.data, "TOPIC_", 6) == 0)
            return weir_document_fail(r->doc, weir_path_member(at.text, "type").text,
                                      "expected a type that does not begin with DENY_ or TOPIC_, "
                                      "as those of deny and topics do");
        c.type = weir_arena_strndup(r->doc->arena, type.data, type.len);
        if (c.type == NULL)
            return weir_document_nomem(r->doc);
        TRY(read_search(r, entry, at.text, "values", &c));
    }
    return WEIR_OK;
}

static weir_status_t read_denied(reader_t *r, const char *member, const char *prefix, bool topics)
{
    static const char *const deny[] = {"id", "expression", "words", "ignore_case", "action", NULL};
    static const char *const topic[] = {"id",     "expression", "words", "ignore_case",
                                        "action", "least",      NULL};
    json_t *list;
    size_t i;
    json_t *entry;
    TRY(weir_document_array(r->doc, r->object, r->path, member, &list));
    json_array_foreach(list, i, entry)
    {
        const weir_path_t at = weir_path_at(r->path, member, i);
        weir_guard_custom_t c = {.score = 1.0F};
        weir_guard_entity_rule_t rule = {0};
        weir_guard_action_t action = WEIR_GUARD_BLOCK;
        weir_str_t id;
        TRY(weir_document_members(r->doc, entry, at.text, topics ? topic : deny));
        TRY(weir_document_text(r->doc, entry, at.text, "id", 32, &id));
        TRY(type_of(r, prefix, id, weir_path_member(at.text, "id").text, &c.type));
        TRY(read_action(r, entry, at.text, "action", &action));
        if (action == WEIR_GUARD_REPLACE ||
            (topics && action != WEIR_GUARD_BLOCK && action != WEIR_GUARD_FLAG &&
             action != WEIR_GUARD_ROUTE))
            return weir_document_fail(r->doc, weir_path_member(at.text, "action").text,
                                      topics ? "expected \"block\", \"route\" or \"flag\""
                                             : "expected any action but \"replace\"");
        TRY(read_search(r, entry, at.text, "words", &c));
        rule.action[WEIR_GUARD_INPUT] = rule.action[WEIR_GUARD_OUTPUT] = action;
        TRY(add_type(r, c.type, &rule));
        if (topics) {
            int64_t least;
            TRY(weir_document_int(r->doc, entry, at.text, "least", 1, 100, 2, &least));
            r->topics[r->own->topic_count++] = (weir_guard_topic_t){c.type, (unsigned)least};
        }
    }
    return WEIR_OK;
}

/* --- allow-lists --- */

static weir_status_t read_hashes(reader_t *r, json_t *allow, const char *path)
{
    const weir_str_t *items;
    size_t n;
    TRY(weir_document_texts(r->doc, allow, path, "hashes", 64, &items, &n));
    uint8_t(*hashes)[32] = weir_arena_calloc(r->doc->arena, n + 1, 32);
    if (hashes == NULL)
        return weir_document_nomem(r->doc);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < 64; k++) {
            int digit = k < items[i].len ? weir_hex_digit_lower(items[i].data[k]) : -1;
            if (digit < 0)
                return weir_document_fail(r->doc, weir_path_at(path, "hashes", i).text,
                                          "expected the SHA-256 of a value, 64 of 0-9 a-f");
            hashes[i][k / 2] = (uint8_t)(hashes[i][k / 2] << 4 | digit);
        }
    }
    qsort(hashes, n, 32, weir_guards_compare_hash);
    r->own->allow_hashes = (const uint8_t(*)[32])hashes;
    r->own->allow_hash_count = n;
    return WEIR_OK;
}

static weir_status_t read_allow(reader_t *r)
{
    static const char *const known[] = {"values", "hashes", "patterns", NULL};
    json_t *allow = json_object_get(r->object, "allow");
    const weir_path_t path = weir_path_member(r->path, "allow");
    const weir_str_t *patterns;
    size_t n;
    if (allow == NULL)
        return WEIR_OK;
    TRY(weir_document_members(r->doc, allow, path.text, known));
    TRY(weir_document_texts(r->doc, allow, path.text, "values", 512, &r->own->allow_values,
                            &r->own->allow_value_count));
    if (r->own->allow_value_count > 0)
        qsort((void *)(uintptr_t)r->own->allow_values, r->own->allow_value_count,
              sizeof(weir_str_t), weir_guards_compare_value);
    TRY(read_hashes(r, allow, path.text));
    TRY(weir_document_texts(r->doc, allow, path.text, "patterns", 1024, &patterns, &n));
    if (n > WEIR_GUARD_MAX_CUSTOM)
        return weir_document_fail(r->doc, weir_path_member(path.text, "patterns").text,
                                  "expected at most %d", WEIR_GUARD_MAX_CUSTOM);
    if (n == 0)
        return WEIR_OK;
    weir_guard_custom_t *custom = weir_arena_calloc(r->doc->arena, n, sizeof *custom);
    if (custom == NULL)
        return weir_document_nomem(r->doc);
    for (size_t i = 0; i < n; i++) {
        custom[i].type = "ALLOWED";
        custom[i].expression = patterns[i].data;
        custom[i].score = 1.0F;
    }
    weir_guard_options_t options = {.custom = custom, .custom_count = n};
    return weir_guards_compile(r->doc, r->guards, weir_path_member(path.text, "patterns").text,
                               &options, &r->own->allow_patterns);
}

/* --- classifiers, streams, and the rest --- */

static weir_status_t read_classifiers(reader_t *r)
{
    static const char *const known[] = {"block", "review", "action", NULL};
    static const char *const directions[] = {"input", "output", NULL};
    static const uint32_t bits[] = {1, 2};
    const char *name;
    json_t *value;
    weir_classifier_t model;
    weir_error_t err;
    uint32_t where = 1;
    json_t *heads = json_object_get(r->object, "classifiers");
    const weir_path_t path = weir_path_member(r->path, "classifiers");
    TRY(read_parts(r, r->object, r->path, "classify", directions, bits, &where));
    if (heads == NULL)
        return WEIR_OK;
    if (!json_is_object(heads))
        return weir_document_fail(r->doc, path.text, "expected an object, found %s",
                                  weir_document_type(heads));
    if (weir_classifier_open_builtin(&model, &err) != WEIR_OK)
        return weir_document_fail(r->doc, path.text, "%s", err.message);
    json_object_foreach(heads, name, value)
    {
        const weir_path_t at = weir_path_member(path.text, name);
        unsigned head = 0;
        while (head < WEIR_HEADS && strcmp(weir_head_name((weir_head_t)head), name) != 0)
            head++;
        if (head == WEIR_HEADS)
            return weir_document_fail(r->doc, at.text,
                                      "expected a classifier's name such as \"toxicity\"");
        weir_guard_head_rule_t *rule = &r->out->head[head];
        rule->on = true;
        rule->block = model.head[head].block;
        rule->review = model.head[head].review;
        rule->action = WEIR_GUARD_BLOCK;
        TRY(weir_document_members(r->doc, value, at.text, known));
        TRY(read_real(r, value, at.text, "block", &rule->block));
        TRY(read_real(r, value, at.text, "review", &rule->review));
        TRY(read_action(r, value, at.text, "action", &rule->action));
        if (rule->action != WEIR_GUARD_BLOCK && rule->action != WEIR_GUARD_FLAG &&
            rule->action != WEIR_GUARD_ROUTE)
            return weir_document_fail(r->doc, weir_path_member(at.text, "action").text,
                                      "expected \"block\", \"route\" or \"flag\"");
        if (rule->review > rule->block)
            return weir_document_fail(r->doc, weir_path_member(at.text, "review").text,
                                      "expected at most \"block\" (%.3f), found %.3f",
                                      (double)rule->block, (double)rule->review);
        r->out->classifies[WEIR_GUARD_INPUT] |= (where & 1) != 0;
        r->out->classifies[WEIR_GUARD_OUTPUT] |= (where & 2) != 0;
    }
    return WEIR_OK;
}

static weir_status_t read_streaming(reader_t *r)
{
    static const char *const known[] = {"mode", "window", "max_held", NULL};
    static const char *const modes[] = {"holdback", "window", "buffer", "observe", NULL};
    json_t *streaming = json_object_get(r->object, "streaming");
    const weir_path_t path = weir_path_member(r->path, "streaming");
    int mode = 0;
    int64_t window = 512;
    int64_t max_held = 1 << 20;
    if (streaming != NULL) {
        TRY(weir_document_members(r->doc, streaming, path.text, known));
        TRY(weir_document_word(r->doc, streaming, path.text, "mode", modes, &mode));
        TRY(weir_document_int(r->doc, streaming, path.text, "window", 64, 65536, window, &window));
        TRY(weir_document_int(r->doc, streaming, path.text, "max_held", 4096, 64 << 20, max_held,
                              &max_held));
    }
    r->out->mode = (weir_guard_stream_t)mode;
    r->out->window = (size_t)window;
    r->out->max_held = (size_t)max_held;
    return WEIR_OK;
}

/* A file beside the document, whose text lasts as long as the arena. */
static weir_status_t read_file(reader_t *r, weir_str_t file, const char *path, const char *folder,
                               weir_str_t *text)
{
    char *name = weir_arena_alloc(r->doc->arena, file.len + 4096);
    weir_error_t err;
    if (name == NULL)
        return weir_document_nomem(r->doc);
    snprintf(name, file.len + 4096, "%s%s%.*s", file.data[0] == '/' || folder == NULL ? "" : folder,
             file.data[0] == '/' || folder == NULL ? "" : "/", (int)file.len, file.data);
    if (weir_document_read(name, r->doc->arena, text, &err) != WEIR_OK)
        return weir_document_fail(r->doc, path, "%s", err.message);
    return WEIR_OK;
}

/* At least 32 bytes of key, hashed to 32. */
static weir_status_t read_key(reader_t *r, weir_str_t file, const char *path, const char *folder)
{
    weir_str_t text = {NULL, 0};
    unsigned n = 0;
    TRY(read_file(r, file, path, folder, &text));
    if (text.len < 32)
        return weir_document_fail(r->doc, path, "expected a file of at least 32 bytes, found %zu",
                                  text.len);
    if (EVP_Digest(text.data, text.len, r->out->key, &n, EVP_sha256(), NULL) != 1)
        return weir_document_fail(r->doc, path, "the digest failed");
    return WEIR_OK;
}

static weir_status_t read_placeholders(reader_t *r, const char *folder)
{
    static const char *const known[] = {"names", "key_file", "restore", NULL};
    static const char *const names[] = {"counted", "keyed", NULL};
    static const char *const parts[] = {"content", "reasoning", "tool_arguments", NULL};
    static const uint32_t bits[] = {WEIR_GUARD_CONTENT, WEIR_GUARD_REASONING,
                                    WEIR_GUARD_TOOL_ARGUMENTS};
    json_t *object = json_object_get(r->object, "placeholders");
    const weir_path_t path = weir_path_member(r->path, "placeholders");
    int word = 0;
    weir_str_t file;
    r->out->restore = WEIR_GUARD_CONTENT;
    if (object == NULL)
        return WEIR_OK;
    TRY(weir_document_members(r->doc, object, path.text, known));
    TRY(weir_document_word(r->doc, object, path.text, "names", names, &word));
    TRY(weir_document_text(r->doc, object, path.text, "key_file", 4096, &file));
    TRY(read_parts(r, object, path.text, "restore", parts, bits, &r->out->restore));
    r->out->names = (weir_guard_names_t)word;
    if (word == WEIR_GUARD_NAMES_COUNTED)
        return WEIR_OK;
    if (file.len == 0)
        return weir_document_fail(r->doc, weir_path_member(path.text, "key_file").text,
                                  "expected a file with the key of keyed names, found nothing");
    return read_key(r, file, weir_path_member(path.text, "key_file").text, folder);
}

static weir_status_t read_tier2(reader_t *r, const char *folder)
{
    static const char *const known[] = {"url",        "model",    "api_key_file",
                                        "timeout_ms", "on_error", NULL};
    static const char *const errors[] = {"closed", "open", NULL};
    json_t *object = json_object_get(r->object, "tier2");
    const weir_path_t path = weir_path_member(r->path, "tier2");
    weir_guard_tier2_t *t = &r->out->tier2;
    weir_str_t file;
    int word;
    if (object == NULL)
        return WEIR_OK;
    TRY(weir_document_members(r->doc, object, path.text, known));
    TRY(weir_document_text(r->doc, object, path.text, "url", 1024, &t->url));
    TRY(weir_document_text(r->doc, object, path.text, "model", 128, &t->model));
    TRY(weir_document_int(r->doc, object, path.text, "timeout_ms", 1, 60000, 1000, &t->timeout_ms));
    TRY(weir_document_word(r->doc, object, path.text, "on_error", errors, &word));
    t->open = word == 1;
    TRY(weir_document_text(r->doc, object, path.text, "api_key_file", 4096, &file));
    if (file.len > 0) {
        const weir_path_t at = weir_path_member(path.text, "api_key_file");
        TRY(read_file(r, file, at.text, folder, &t->api_key));
        while (t->api_key.len > 0 && strchr(" \t\r\n", t->api_key.data[t->api_key.len - 1]) != NULL)
            t->api_key.len--;
        for (size_t i = 0; i < t->api_key.len; i++)
            if (t->api_key.data[i] <= ' ' || t->api_key.data[i] == 0x7f)
                return weir_document_fail(r->doc, at.text, "expected one key on one line");
        if (t->api_key.len == 0)
            return weir_document_fail(r->doc, at.text, "expected a file with a key, found nothing");
    }
    if (t->url.len == 0)
        return weir_document_fail(r->doc, weir_path_member(path.text, "url").text,
                                  "expected the URL of a moderations endpoint, found nothing");
    return WEIR_OK;
}

static weir_status_t read_block(reader_t *r)
{
    static const char *const known[] = {"status", "message", "stream", NULL};
    static const char *const endings[] = {"ending", "error", NULL};
    json_t *object = json_object_get(r->object, "block");
    const weir_path_t path = weir_path_member(r->path, "block");
    int64_t status = 400;
    int word = 0;
    r->out->block_message = WEIR_STR("The request was blocked by a content policy.");
    if (object != NULL) {
        TRY(weir_document_members(r->doc, object, path.text, known));
        TRY(weir_document_int(r->doc, object, path.text, "status", 400, 499, status, &status));
        if (json_object_get(object, "message") != NULL)
            TRY(weir_document_text(r->doc, object, path.text, "message", 512,
                                   &r->out->block_message));
        TRY(weir_document_word(r->doc, object, path.text, "stream", endings, &word));
    }
    r->out->block_status = (unsigned)status;
    r->out->block_in_band = word == 1;
    return WEIR_OK;
}

static weir_status_t read_opaque(reader_t *r)
{
    static const char *const known[] = {"input", "output", NULL};
    static const char *const words[] = {"block", "allow", NULL};
    json_t *object = json_object_get(r->object, "opaque");
    const weir_path_t path = weir_path_member(r->path, "opaque");
    if (object == NULL)
        return WEIR_OK;
    TRY(weir_document_members(r->doc, object, path.text, known));
    for (int i = 0; i < WEIR_GUARD_DIRECTIONS; i++) {
        int word = 0;
        TRY(weir_document_word(r->doc, object, path.text, known[i], words, &word));
        r->out->opaque[i] = word == 1;
    }
    return WEIR_OK;
}

/* --- what is compiled --- */

/* A stream cannot be held back by rules that look ahead: names, addresses, decoded layers,
 * classifiers and verdicts of others. */
static weir_status_t check_mode(const reader_t *r)
{
    const weir_path_t at = weir_path_member(r->path, "streaming");
    const char *path = weir_path_member(at.text, "mode").text;
    char copy[200];
    snprintf(copy, sizeof copy, "%s", path);
    if (r->out->mode != WEIR_GUARD_HOLDBACK)
        return WEIR_OK;
    for (size_t i = 0; r->types != NULL && i < r->own->type_count; i++) {
        if (acts(&r->types[i].rule, WEIR_GUARD_OUTPUT) &&
            weir_guard_entity_needs_window(r->types[i].type))
            return weir_document_fail(r->doc, copy,
                                      "expected \"window\" or \"buffer\", because %s cannot be "
                                      "decided by what stands before it (or set its \"output\" to "
                                      "\"allow\")",
                                      r->types[i].type);
    }
    if (r->out->classifies[WEIR_GUARD_OUTPUT])
        return weir_document_fail(r->doc, copy,
                                  "expected \"window\" or \"buffer\", because classifiers need "
                                  "more than a word");
    return WEIR_OK;
}

/* Requests that are to go elsewhere need to know where. */
static weir_status_t check_route(const reader_t *r)
{
    bool routes = (r->others && r->own->otherwise.action[WEIR_GUARD_INPUT] == WEIR_GUARD_ROUTE) ||
                  r->own->secret.action[WEIR_GUARD_INPUT] == WEIR_GUARD_ROUTE;
    for (size_t i = 0; r->types != NULL && i < r->own->type_count; i++)
        routes = routes || r->types[i].rule.action[WEIR_GUARD_INPUT] == WEIR_GUARD_ROUTE;
    for (size_t i = 0; i < WEIR_HEADS; i++)
        routes = routes || (r->out->head[i].on && r->out->head[i].action == WEIR_GUARD_ROUTE);
    if (routes && r->out->route_target.len == 0)
        return weir_document_fail(r->doc, weir_path_member(r->path, "route_target").text,
                                  "expected a name, because an action is \"route\", found nothing");
    return WEIR_OK;
}

_Static_assert(WEIR_GUARD_REDACT == WEIR_GUARD_CHANGES && WEIR_GUARD_BLOCK == WEIR_GUARD_HEAVIEST,
               "the actions are the library's weights");

/* Findings weigh what their actions do; a topic's, of which one alone does nothing, as a flag. */
static weir_status_t weigh(const reader_t *r, weir_guard_direction_t direction,
                           weir_guard_options_t *options)
{
    size_t n = 0;
    weir_guard_weight_t *weights =
        weir_arena_calloc(r->doc->arena, r->own->type_count + 2, sizeof *weights);
    if (weights == NULL)
        return weir_document_nomem(r->doc);
    for (size_t i = 0; i < r->own->type_count + 2; i++) {
        bool listed = r->types != NULL && i < r->own->type_count;
        const weir_guard_entity_rule_t *rule = listed                    ? &r->types[i].rule
                                               : i == r->own->type_count ? &r->own->secret
                                                                         : &r->own->otherwise;
        weights[n++] = (weir_guard_weight_t){
            listed                    ? r->types[i].type
            : i == r->own->type_count ? "SECRET"
                                      : NULL,
            (uint8_t)weir_guards_effective(rule->action[direction], direction), rule->min_score};
        for (size_t k = 0; listed && k < r->own->topic_count; k++)
            if (strcmp(r->topics[k].type, r->types[i].type) == 0 && r->topics[k].least > 1)
                weights[i].weight = WEIR_GUARD_FLAG;
    }
    options->weights = weights;
    options->weight_count = n;
    return WEIR_OK;
}

static weir_status_t compile(reader_t *r, weir_guard_direction_t direction)
{
    weir_guard_entity_t switches[256];
    size_t n = 0;
    bool any = r->others && acts(&r->own->otherwise, direction);
    bool all = any;
    const char *type = NULL;
    for (size_t i = 0; n < 256 && (type = weir_guard_entity_name(i)) != NULL; i++) {
        const weir_guard_entity_rule_t *rule = NULL;
        for (size_t k = 0; r->types != NULL && k < r->own->type_count; k++)
            if (strcmp(r->types[k].type, type) == 0)
                rule = &r->types[k].rule;
        if (strcmp(type, "SECRET") == 0)
            continue;
        bool on = rule != NULL ? acts(rule, direction) : all;
        bool seen = on && !(direction == WEIR_GUARD_OUTPUT && r->out->mode == WEIR_GUARD_HOLDBACK &&
                            weir_guard_entity_needs_window(type));
        /* A type that no policy names keeps what the library does by default. */
        if (rule == NULL && seen)
            continue;
        switches[n++] = (weir_guard_entity_t){type, seen, rule != NULL ? rule->min_score : 0};
        any = any || seen;
    }
    weir_guard_options_t options = {.pii = any,
                                    .secrets = acts(&r->own->secret, direction),
                                    .streaming = direction == WEIR_GUARD_OUTPUT &&
                                                 r->out->mode == WEIR_GUARD_HOLDBACK,
                                    .entities = switches,
                                    .entity_count = any ? n : 0,
                                    .custom = r->custom,
                                    .custom_count = r->custom_count};
    if (!options.pii && !options.secrets && r->custom_count == 0)
        return WEIR_OK;
    TRY(weigh(r, direction, &options));
    return weir_guards_compile(r->doc, r->guards, r->path, &options, &r->out->rules[direction]);
}

static weir_status_t hash_policy(reader_t *r)
{
    uint8_t digest[32];
    unsigned n = 0;
    char *text = json_dumps(r->object, JSON_COMPACT | JSON_SORT_KEYS);
    if (text == NULL)
        return weir_document_nomem(r->doc);
    int good = EVP_Digest(text, strlen(text), digest, &n, EVP_sha256(), NULL);
    free(text);
    if (good != 1)
        return weir_document_fail(r->doc, r->path, "the digest failed");
    for (int i = 0; i < 32; i++)
        snprintf(r->out->hash + (size_t)2 * i, 3, "%02x", digest[i]);
    return WEIR_OK;
}

static weir_status_t read_members(reader_t *r, const char *folder)
{
    static const char *const known[] = {"extends",      "locked",       "scope",       "entities",
                                        "secrets",      "custom",       "deny",        "topics",
                                        "allow",        "classify",     "classifiers", "streaming",
                                        "placeholders", "tier2",        "block",       "shadow",
                                        "explain",      "route_target", "opaque",      NULL};
    weir_str_t name;
    const weir_str_t *locked;
    size_t n;
    TRY(weir_document_members(r->doc, r->object, r->path, known));
    TRY(weir_document_texts(r->doc, r->object, r->path, "locked", 96, &locked, &n));
    TRY(read_scope(r));
    TRY(read_custom(r));
    TRY(read_entities(r));
    TRY(read_denied(r, "deny", "DENY", false));
    TRY(read_denied(r, "topics", "TOPIC", true));
    TRY(read_allow(r));
    TRY(read_classifiers(r));
    TRY(read_streaming(r));
    TRY(read_placeholders(r, folder));
    TRY(read_tier2(r, folder));
    TRY(read_block(r));
    TRY(read_opaque(r));
    TRY(weir_document_bool(r->doc, r->object, r->path, "shadow", false, &r->out->shadow));
    TRY(weir_document_bool(r->doc, r->object, r->path, "explain", false, &r->out->explain));
    TRY(weir_document_text(r->doc, r->object, r->path, "route_target", 64, &name));
    r->out->route_target = name;
    TRY(check_mode(r));
    TRY(check_route(r));
    TRY(compile(r, WEIR_GUARD_INPUT));
    TRY(compile(r, WEIR_GUARD_OUTPUT));
    return hash_policy(r);
}

weir_status_t weir_guards_read_policy(const weir_document_t *doc, weir_guards_t *guards,
                                      const char *name, json_t *merged, const char *folder,
                                      weir_guard_policy_t *out)
{
    const weir_path_t path = weir_path_member("policies", name);
    reader_t *r = calloc(1, sizeof *r);
    if (r == NULL)
        return weir_document_nomem(doc);
    *r = (reader_t){.doc = doc, .guards = guards, .path = path.text, .object = merged, .out = out};
    r->own = weir_arena_calloc(doc->arena, 1, sizeof *r->own);
    char *copy = weir_arena_strndup(doc->arena, name, strlen(name));
    if (r->own == NULL || copy == NULL) {
        free(r);
        return weir_document_nomem(doc);
    }
    out->name = weir_str(copy, strlen(copy));
    out->own = r->own;
    weir_status_t rc =
        weir_document_id_ok(out->name)
            ? read_members(r, folder)
            : weir_document_fail(doc, path.text, "expected a name of 1 to 64 of a-z 0-9 . _ -");
    if (rc == WEIR_OK && r->own->topic_count > 0) {
        weir_guard_topic_t *topics =
            weir_arena_alloc(doc->arena, r->own->topic_count * sizeof *topics);
        if (topics == NULL)
            rc = weir_document_nomem(doc);
        else
            memcpy(topics, r->topics, r->own->topic_count * sizeof *topics);
        r->own->topics = topics;
    }
    free(r);
    return rc;
}

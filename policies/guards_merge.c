/* Policies that extend others: one object of all members, the child's before its parents'. */
#include "policies/guards_private.h"

/* Lists of which a child's entries come on top of its parent's. */
static bool adds_up(const char *member)
{
    return strcmp(member, "deny") == 0 || strcmp(member, "topics") == 0 ||
           strcmp(member, "custom") == 0 || strcmp(member, "values") == 0 ||
           strcmp(member, "hashes") == 0 || strcmp(member, "patterns") == 0 ||
           strcmp(member, "locked") == 0;
}

/* Lays `over` onto target; values are shared, not copied. Members of a policy are joined if they
 * are objects; what stands in those (the rule of a type, of a classifier) is the child's or the
 * parent's as a whole. */
static bool lay(json_t *target, json_t *over, bool joins)
{
    const char *key;
    json_t *value;
    json_object_foreach(over, key, value)
    {
        json_t *old = json_object_get(target, key);
        if (joins && json_is_object(old) && json_is_object(value)) {
            json_t *joined = json_copy(old);
            if (joined == NULL || !lay(joined, value, false) ||
                json_object_set_new(target, key, joined) != 0)
                return false;
        } else if (json_is_array(old) && json_is_array(value) && adds_up(key)) {
            json_t *joined = json_copy(old);
            if (joined == NULL || json_array_extend(joined, value) != 0 ||
                json_object_set_new(target, key, joined) != 0)
                return false;
        } else if (json_object_set(target, key, value) != 0) {
            return false;
        }
    }
    return true;
}

/* Does the object have the member, or one below or above it, of a dotted path? */
static bool touches(json_t *object, const char *dotted)
{
    const char *dot = strchr(dotted, '.');
    char first[96];
    size_t n = dot == NULL ? strlen(dotted) : (size_t)(dot - dotted);
    if (n >= sizeof first)
        return false;
    memcpy(first, dotted, n);
    first[n] = '\0';
    json_t *value = json_object_get(object, first);
    if (value == NULL)
        return false;
    return dot == NULL || !json_is_object(value) || touches(value, dot + 1);
}

/* Does the child give any type a rule, secrets among them? Its name. */
static bool names_type(json_t *child, char *name, size_t size)
{
    const char *type = json_object_iter_key(json_object_iter(json_object_get(child, "entities")));
    if (type == NULL) {
        snprintf(name, size, "secrets");
        return touches(child, name);
    }
    snprintf(name, size, "entities.%s", type);
    return true;
}

/* Does the child give what decides the locked member by another name? Secrets are the type SECRET,
 * and "*" decides of the types that the parent does not name. */
static bool decides_too(json_t *parent, json_t *child, const char *locked, const char **other)
{
    if (strcmp(locked, "secrets") == 0 || strncmp(locked, "secrets.", 8) == 0) {
        *other = "entities.SECRET";
        return touches(child, *other);
    }
    if (strncmp(locked, "entities.", 9) != 0)
        return false;
    *other = "secrets";
    if (strcmp(locked + 9, "SECRET") == 0 && touches(child, *other))
        return true;
    *other = "entities.*";
    return !touches(parent, locked) && touches(child, *other);
}

static weir_status_t check_locks(const weir_document_t *doc, json_t *parent, json_t *child,
                                 const char *parent_name, const char *child_name)
{
    size_t i;
    json_t *path;
    const weir_path_t at = weir_path_member("policies", child_name);
    json_array_foreach(json_object_get(parent, "locked"), i, path)
    {
        if (!json_is_string(path))
            continue;
        const char *locked = json_string_value(path);
        const char *given = locked;
        char type[96];
        bool all = strcmp(locked, "entities") == 0 || strcmp(locked, "entities.*") == 0;
        if (all && names_type(child, type, sizeof type))
            given = type;
        if (given != locked || touches(child, locked) || decides_too(parent, child, locked, &given))
            return weir_document_fail(
                doc, weir_path_member(at.text, given).text,
                "expected no value, because policy \"%s\" or one that it extends has locked %s",
                parent_name, given == locked ? "it" : locked);
    }
    return WEIR_OK;
}

static bool lists(json_t *array, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach(array, i, item)
    {
        if (json_is_string(item) && strcmp(json_string_value(item), name) == 0)
            return true;
    }
    return false;
}

/* Parts that the child's list leaves out though the parent looks at them. */
static weir_status_t check_parts(const weir_document_t *doc, json_t *parent, json_t *child,
                                 const char *member, const char *const *usual, const char *path,
                                 const char *parent_name)
{
    json_t *before = json_object_get(parent, member);
    json_t *after = json_object_get(child, member);
    if (!json_is_array(after))
        return WEIR_OK;
    size_t count = json_is_array(before) ? json_array_size(before) : SIZE_MAX;
    for (size_t i = 0; i < count && (json_is_array(before) || usual[i] != NULL); i++) {
        const char *part =
            json_is_array(before) ? json_string_value(json_array_get(before, i)) : usual[i];
        if (part != NULL && !lists(after, part))
            return weir_document_fail(doc, weir_path_member(path, member).text,
                                      "expected every part that policy \"%s\", which locks "
                                      "members, looks at, found no \"%s\"",
                                      parent_name, part);
    }
    return WEIR_OK;
}

/* What would undo any locked member: a policy that locks something locks these, too. */
static weir_status_t check_ways_out(const weir_document_t *doc, json_t *parent, json_t *child,
                                    const char *parent_name, const char *child_name)
{
    static const char *const members[] = {"shadow", "allow", "opaque"};
    static const char *const input[] = {"user", "assistant", "tool_arguments", "tool_results",
                                        NULL};
    static const char *const output[] = {"content", "reasoning", "tool_arguments", NULL};
    static const char *const classify[] = {"input", NULL};
    const weir_path_t at = weir_path_member("policies", child_name);
    if (json_array_size(json_object_get(parent, "locked")) == 0)
        return WEIR_OK;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        json_t *value = json_object_get(child, members[i]);
        if (value != NULL && !json_is_false(value))
            return weir_document_fail(doc, weir_path_member(at.text, members[i]).text,
                                      "expected no value, because it could undo what policy "
                                      "\"%s\" or one that it extends has locked",
                                      parent_name);
    }
    json_t *mode = json_object_get(json_object_get(child, "streaming"), "mode");
    if (json_is_string(mode) && strcmp(json_string_value(mode), "observe") == 0) {
        const weir_path_t streaming = weir_path_member(at.text, "streaming");
        return weir_document_fail(doc, weir_path_member(streaming.text, "mode").text,
                                  "expected a mode that acts, because policy \"%s\" or one that "
                                  "it extends has locked members",
                                  parent_name);
    }
    const weir_path_t scope = weir_path_member(at.text, "scope");
    json_t *before = json_object_get(parent, "scope");
    json_t *after = json_object_get(child, "scope");
    weir_status_t rc = check_parts(doc, before, after, "input", input, scope.text, parent_name);
    if (rc == WEIR_OK)
        rc = check_parts(doc, before, after, "output", output, scope.text, parent_name);
    if (rc == WEIR_OK && json_object_get(parent, "classifiers") != NULL)
        rc = check_parts(doc, parent, child, "classify", classify, at.text, parent_name);
    return rc;
}

static json_t *merge(const weir_document_t *doc, json_t *policies, const char *name, unsigned depth)
{
    const weir_path_t at = weir_path_member("policies", name);
    json_t *own = json_object_get(policies, name);
    if (!json_is_object(own)) {
        weir_document_fail(doc, at.text, "expected an object, found %s", weir_document_type(own));
        return NULL;
    }
    json_t *parent = json_object_get(own, "extends");
    if (parent == NULL)
        return json_copy(own);
    const weir_path_t extends = weir_path_member(at.text, "extends");
    const char *parent_name = json_string_value(parent);
    if (parent_name == NULL || json_object_get(policies, parent_name) == NULL) {
        weir_document_fail(doc, extends.text, "expected the name of a policy, found %s",
                           parent_name == NULL ? weir_document_type(parent) : parent_name);
        return NULL;
    }
    if (depth == WEIR_GUARD_MAX_CHAIN) {
        weir_document_fail(doc, extends.text,
                           "expected at most %d policies in a row that extend one another, and no "
                           "circle",
                           WEIR_GUARD_MAX_CHAIN);
        return NULL;
    }
    json_t *below = merge(doc, policies, parent_name, depth + 1);
    if (below == NULL || check_locks(doc, below, own, parent_name, name) != WEIR_OK ||
        check_ways_out(doc, below, own, parent_name, name) != WEIR_OK) {
        json_decref(below);
        return NULL;
    }
    if (!lay(below, own, true)) {
        weir_document_nomem(doc);
        json_decref(below);
        return NULL;
    }
    return below;
}

json_t *weir_guards_merge(const weir_document_t *doc, json_t *policies, const char *name)
{
    return merge(doc, policies, name, 0);
}

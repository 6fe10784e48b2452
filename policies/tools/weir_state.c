/* `weir check`: the effective policy of a key, and a state against an older one. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/tools/weir_check.h"
#include "policies/tools/weir_tool.h"

static void print_field(const char *name, json_t *field)
{
    const char *place = json_string_value(json_object_get(field, "place"));
    const char *lock = json_string_value(json_object_get(field, "lock"));
    char *value = json_dumps(json_object_get(field, "value"), JSON_ENCODE_ANY);

    printf("%-24s %-40s %-8s", name, value == NULL ? "?" : value,
           json_string_value(json_object_get(field, "level")));
    if (place != NULL) {
        printf("  %s", place);
    }
    if (lock != NULL) {
        printf("  locked by %s", lock);
    }
    putchar('\n');
    free(value);
}

int weir_tool_explain(const weir_registry_t *registry, const char *key_id, bool json)
{
    weir_arena_t arena;
    weir_buf_t text;
    weir_error_t err;
    json_t *root = NULL;
    const char *name;
    json_t *value;
    int result = WEIR_EXIT_OK;

    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&text, &arena);
    if (weir_registry_explain(registry, weir_str(key_id, strlen(key_id)), &text, &err) != WEIR_OK) {
        result = weir_tool_fail(WEIR_EXIT_FAILED, "%s", err.message);
    } else if (json) {
        printf("%.*s\n", (int)text.len, text.data);
    } else if ((root = json_loadb(text.data, text.len, 0, NULL)) != NULL) {
        json_object_foreach(json_object_get(root, "key"), name, value)
        {
            char *shown = json_dumps(value, JSON_ENCODE_ANY);
            printf("%-24s %s\n", name, shown == NULL ? "?" : shown);
            free(shown);
        }
        printf("\n%-24s %-40s %-8s  %s\n", "FIELD", "VALUE", "LEVEL", "PLACE");
        json_object_foreach(json_object_get(root, "fields"), name, value)
        {
            print_field(name, value);
        }
        json_decref(root);
    }
    weir_arena_free(&arena);
    return result;
}

static json_t *describe(const weir_registry_t *registry)
{
    weir_arena_t arena;
    weir_buf_t text;
    json_t *root = NULL;

    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&text, &arena);
    if (weir_registry_describe(registry, &text, NULL) == WEIR_OK) {
        root = json_loadb(text.data, text.len, 0, NULL);
    }
    weir_arena_free(&arena);
    return root;
}

int weir_tool_save_state(const weir_registry_t *registry, const char *state_path)
{
    json_t *state = describe(registry);
    int rc = state == NULL || json_dump_file(state, state_path, JSON_INDENT(1)) != 0
                 ? weir_tool_fail(WEIR_EXIT_FAILED, "%s: cannot be written: %s", state_path,
                                  strerror(errno))
                 : WEIR_EXIT_OK;
    json_decref(state);
    return rc;
}

static const char *text_of(json_t *entry, const char *name)
{
    const char *text = json_string_value(json_object_get(entry, name));
    return text == NULL ? "" : text;
}

/* "acme/search/ada": unique among the entries of one list. */
static void full_name(json_t *entry, bool is_key, char out[512])
{
    const char *tenant = text_of(entry, "tenant");
    const char *team = text_of(entry, "team");
    const char *user = is_key ? text_of(entry, "user") : "";

    if (is_key) {
        snprintf(out, 512, "%s", text_of(entry, "id"));
        return;
    }
    snprintf(out, 512, "%s%s%s%s%s%s%s", tenant, tenant[0] ? "/" : "", team, team[0] ? "/" : "",
             user, user[0] ? "/" : "", text_of(entry, "id"));
}

/* The entries by their names; NULL: out of memory. */
static json_t *by_name(json_t *list, bool is_key)
{
    json_t *out = json_object();
    json_t *entry;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        char name[512];
        full_name(entry, is_key, name);
        json_object_set(out, name, entry);
    }
    return out;
}

static size_t changed_members(json_t *before, json_t *after, char out[256])
{
    const char *name;
    json_t *value;
    size_t n = 0;

    out[0] = '\0';
    json_object_foreach(after, name, value)
    {
        if (!json_equal(value, json_object_get(before, name))) {
            size_t used = strlen(out);
            snprintf(out + used, 256 - used, "%s%s", n++ == 0 ? "" : ", ", name);
        }
    }
    return n;
}

/* Prints +, - and ~ lines of one list; the number of them. */
static size_t compare_list(json_t *before, json_t *after, const char *list, const char *kind)
{
    bool is_key = strcmp(list, "keys") == 0;
    json_t *old = by_name(json_object_get(before, list), is_key);
    json_t *new = by_name(json_object_get(after, list), is_key);
    const char *name;
    json_t *entry;
    size_t n = 0;

    json_object_foreach(old, name, entry)
    {
        if (json_object_get(new, name) == NULL) {
            printf("- %s %s vanishes\n", kind, name);
            n++;
        }
    }
    json_object_foreach(new, name, entry)
    {
        char members[256];
        json_t *was = json_object_get(old, name);
        if (was == NULL) {
            printf("+ %s %s appears\n", kind, name);
            n++;
        } else if (changed_members(was, entry, members) > 0) {
            printf("~ %s %s changes: %s\n", kind, name, members);
            n++;
        }
    }
    json_decref(old);
    json_decref(new);
    return n;
}

int weir_tool_compare(const weir_registry_t *registry, const char *state_path)
{
    static const struct {
        const char *list;
        const char *kind;
    } lists[] = {{"tenants", "tenant"},
                 {"teams", "team"},
                 {"users", "user"},
                 {"keys", "key"},
                 {"targets", "target"}};
    json_error_t why;
    json_t *before = json_load_file(state_path, 0, &why);
    json_t *after;
    size_t n = 0;

    if (before == NULL || json_integer_value(json_object_get(before, "weir_state")) != 1) {
        int rc = weir_tool_fail(WEIR_EXIT_FAILED, "%s: %s", state_path,
                                before == NULL ? why.text : "no state of weir check --save-state");
        json_decref(before);
        return rc;
    }
    after = describe(registry);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        n += compare_list(before, after, lists[i].list, lists[i].kind);
    }
    if (!json_equal(json_object_get(before, "policy"), json_object_get(after, "policy"))) {
        printf("~ the base policy changes\n");
        n++;
    }
    if (!json_equal(json_object_get(before, "prices"), json_object_get(after, "prices"))) {
        printf("~ the price document changes\n");
        n++;
    }
    if (n == 0) {
        bool same =
            json_equal(json_object_get(before, "documents"), json_object_get(after, "documents"));
        printf(same ? "nothing changes\n" : "documents differ, but nothing of this changes\n");
    }
    json_decref(before);
    json_decref(after);
    return WEIR_EXIT_OK;
}

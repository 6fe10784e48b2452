#include "policies/tools/weir_tool.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policies/tenants.h"
#include "policies/timestamp.h"
#include "policies/tools/weir_document.h"

static const char help[] =
    "Usage: weir keys create  --tenants FILE --tenant ID [--team ID] [--user ID] [--label TEXT]\n"
    "                         [--expires TIME] [--policy TEXT] [--policies FILE]\n"
    "       weir keys list    --tenants FILE [--tenant ID] [--json]\n"
    "       weir keys rotate  --tenants FILE [--until TIME] KEY_ID\n"
    "       weir keys retire  --tenants FILE KEY_ID\n"
    "       weir keys disable --tenants FILE KEY_ID\n"
    "       weir keys enable  --tenants FILE KEY_ID\n"
    "       weir keys delete  --tenants FILE KEY_ID\n"
    "\n"
    "  --tenants FILE   the tenants document; create makes it when it is missing\n"
    "  --tenant ID      the tenant; create adds it when it is missing\n"
    "  --team ID        the team in the tenant; create adds it when it is missing\n"
    "  --user ID        the user in the team, or in the tenant without a team; likewise\n"
    "  --label TEXT     a note for people, kept with the key\n"
    "  --expires TIME   such as 2030-01-31 or 2030-01-31T12:00:00Z [never]\n"
    "  --policy TEXT    the key's own policy: a policy's name, or a JSON object\n"
    "  --policies FILE  the policies document, which the new key is checked with; a name needs it\n"
    "  --until TIME     rotate: how long the secret in force stays good [seven days]\n"
    "  --json           one JSON object a line\n"
    "\n"
    "create prints the key once, on standard output; the document keeps only a salted hash.\n"
    "rotate gives a key a new secret and prints it; the one before it stays good for a while.\n"
    "retire ends that while now.\n"
    "A running gateway sees a change after its next reload (nginx -s reload).\n";

#define ROTATION_SECONDS (7 * 86400)

typedef struct {
    const char *path;
    const char *tenant;
    const char *team;
    const char *user;
    const char *label;
    const char *expires;
    const char *policy;
    const char *policies;
    const char *until;
    const char *key_id;
    bool json;
} options_t;

static void to_hex(const uint8_t *in, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++) {
        sprintf(out + 2 * i, "%02x", in[i]);
    }
}

static void from_hex(const char *in, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        unsigned byte = 0;
        sscanf(in + 2 * i, "%2x", &byte);
        out[i] = (uint8_t)byte;
    }
}

/* A name as it is, an object as JSON; NULL when it is neither. */
static json_t *policy_value(const char *text)
{
    return text[0] == '{' ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : json_string(text);
}

/* NULL when a text is not valid UTF-8 or memory is short. */
static json_t *make_key_entry(const options_t *o, const char *id, const char *salt,
                              const char *hash)
{
    char now[WEIR_TIMESTAMP_MAX];
    json_t *key;

    weir_timestamp_format((int64_t)time(NULL) * 1000, now);
    key = json_pack("{s:s,s:s,s:s,s:b,s:s}", "id", id, "salt", salt, "hash", hash, "enabled", 1,
                    "created", now);
    bool good = key != NULL;
    if (good && o->label != NULL) {
        good = json_object_set_new(key, "label", json_string(o->label)) == 0;
    }
    if (good && o->expires != NULL) {
        good = json_object_set_new(key, "expires", json_string(o->expires)) == 0;
    }
    if (good && o->policy != NULL) {
        good = json_object_set_new(key, "policy", policy_value(o->policy)) == 0;
    }
    if (!good) {
        json_decref(key);
        return NULL;
    }
    return key;
}

/* The member's array, made when missing. */
static json_t *array_of(json_t *object, const char *member)
{
    if (json_object_get(object, member) == NULL) {
        json_object_set_new(object, member, json_array());
    }
    return json_object_get(object, member);
}

/* The entry of that id in the member's array, made when missing. */
static json_t *entry_of(json_t *object, const char *member, const char *id)
{
    size_t index;
    json_t *array = array_of(object, member);
    json_t *entry = weir_tool_find(array, id, &index);

    if (entry == NULL) {
        entry = json_pack("{s:s,s:b}", "id", id, "enabled", 1);
        json_array_append_new(array, entry);
    }
    return entry;
}

/* The array for a new key of this tenant, team and user, all made when missing. */
static json_t *owner_keys(json_t *root, const options_t *o)
{
    json_t *owner = entry_of(root, "tenants", o->tenant);

    if (o->team != NULL) {
        owner = entry_of(owner, "teams", o->team);
    }
    if (o->user != NULL) {
        owner = entry_of(owner, "users", o->user);
    }
    return array_of(owner, "keys");
}

static int check_and_save(const weir_tool_document_t *doc)
{
    int rc = weir_tool_document_check(doc);
    return rc == WEIR_EXIT_OK ? weir_tool_document_save(doc) : rc;
}

static int show_key(const char *key, const char *id)
{
    if (printf("%s\n", key) >= 0 && fflush(stdout) == 0) {
        return WEIR_EXIT_OK;
    }
    return weir_tool_fail(WEIR_EXIT_FAILED,
                          "key %s is in the document but could not be shown: %s; delete it and "
                          "create another (weir keys delete)",
                          id, strerror(errno));
}

static int create_key(const options_t *o)
{
    char key[WEIR_KEY_LEN + 1];
    char id[WEIR_KEY_ID_LEN + 1] = {0};
    uint8_t salt[WEIR_KEY_SALT_LEN];
    uint8_t hash[WEIR_KEY_HASH_LEN];
    char salt_hex[2 * WEIR_KEY_SALT_LEN + 1];
    char hash_hex[2 * WEIR_KEY_HASH_LEN + 1];
    weir_str_t id_view;
    weir_error_t err;
    weir_tool_document_t doc;
    int rc;

    if (weir_key_generate(key, salt, hash, &err) != WEIR_OK) {
        return weir_tool_fail(WEIR_EXIT_FAILED, "%s", err.message);
    }
    weir_key_parse(weir_str(key, WEIR_KEY_LEN), &id_view);
    memcpy(id, id_view.data, id_view.len);
    to_hex(salt, sizeof(salt), salt_hex);
    to_hex(hash, sizeof(hash), hash_hex);

    rc = weir_tool_document_open(&doc, o->path, true);
    if (rc == WEIR_EXIT_OK) {
        json_t *entry = make_key_entry(o, id, salt_hex, hash_hex);
        if (entry == NULL || json_array_append_new(owner_keys(doc.root, o), entry) != 0) {
            rc = weir_tool_fail(WEIR_EXIT_FAILED,
                                "tenant, team, user, label, expiry and policy must be valid UTF-8, "
                                "and a policy a name or a JSON object");
        }
    }
    if (rc == WEIR_EXIT_OK && o->policies != NULL) {
        rc = weir_tool_document_check_policies(&doc, o->policies);
    }
    if (rc == WEIR_EXIT_OK) {
        rc = check_and_save(&doc);
    }
    weir_tool_document_close(&doc);
    if (rc == WEIR_EXIT_OK) {
        rc = show_key(key, id);
    }
    if (rc == WEIR_EXIT_OK) {
        fprintf(
            stderr,
            "weir: key %s for tenant %s added to %s; it is shown only this once, and works after "
            "the gateway's next reload\n",
            id, o->tenant, o->path);
    }
    return rc;
}

/* The secret in force becomes the previous one, good until the time given. */
static bool rotate_entry(json_t *entry, const char *hash_hex, const char *until)
{
    json_t *previous =
        json_pack("{s:O,s:s}", "hash", json_object_get(entry, "hash"), "expires", until);
    return previous != NULL && json_object_set_new(entry, "previous", previous) == 0 &&
           json_object_set_new(entry, "hash", json_string(hash_hex)) == 0;
}

static int rotate_key(const options_t *o)
{
    char key[WEIR_KEY_LEN + 1];
    uint8_t salt[WEIR_KEY_SALT_LEN];
    uint8_t hash[WEIR_KEY_HASH_LEN];
    char hash_hex[2 * WEIR_KEY_HASH_LEN + 1];
    char until[WEIR_TIMESTAMP_MAX];
    weir_error_t err;
    weir_tool_document_t doc;
    json_t *keys;
    size_t index;
    int rc = weir_tool_document_open(&doc, o->path, false);

    weir_timestamp_format(((int64_t)time(NULL) + ROTATION_SECONDS) * 1000, until);
    if (rc == WEIR_EXIT_OK) {
        json_t *entry = weir_tool_find_key(doc.root, o->key_id, &keys, &index);
        if (entry == NULL) {
            rc = weir_tool_fail(WEIR_EXIT_FAILED, "%s: no key has the id %s (weir keys list)",
                                o->path, o->key_id);
        } else {
            from_hex(json_string_value(json_object_get(entry, "salt")), sizeof(salt), salt);
            if (weir_key_regenerate(o->key_id, salt, key, hash, &err) != WEIR_OK) {
                rc = weir_tool_fail(WEIR_EXIT_FAILED, "%s", err.message);
            } else {
                to_hex(hash, sizeof(hash), hash_hex);
                if (!rotate_entry(entry, hash_hex, o->until != NULL ? o->until : until)) {
                    rc = weir_tool_fail(WEIR_EXIT_FAILED, "--until must be valid UTF-8");
                }
            }
        }
    }
    if (rc == WEIR_EXIT_OK) {
        rc = check_and_save(&doc);
    }
    weir_tool_document_close(&doc);
    if (rc == WEIR_EXIT_OK) {
        rc = show_key(key, o->key_id);
    }
    if (rc == WEIR_EXIT_OK) {
        fprintf(stderr,
                "weir: key %s has a new secret, shown only this once; after the gateway's next "
                "reload it works beside the one before, which ends at %s\n",
                o->key_id, o->until != NULL ? o->until : until);
    }
    return rc;
}

static const char *key_state(const weir_api_key_t *key, int64_t now)
{
    if (!key->tenant->enabled) {
        return "tenant disabled";
    }
    if (key->team != NULL && !key->team->enabled) {
        return "team disabled";
    }
    if (key->user != NULL && !key->user->enabled) {
        return "user disabled";
    }
    if (!key->enabled) {
        return "disabled";
    }
    return key->expires != 0 && key->expires <= now ? "expired" : "usable";
}

static json_t *text_or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? json_string(text) : json_null();
}

static void print_key(const weir_api_key_t *key, bool as_json, int64_t now)
{
    const char *team = key->team != NULL ? key->team->id.data : "";
    const char *user = key->user != NULL ? key->user->id.data : "";
    bool two = key->has_previous && (key->previous_expires == 0 || key->previous_expires > now);
    char expires[WEIR_TIMESTAMP_MAX] = "never";

    if (key->expires != 0) {
        weir_timestamp_format(key->expires * 1000, expires);
    }
    if (!as_json) {
        char owner[288];
        snprintf(owner, sizeof(owner), "%s%s%s%s%s", key->tenant->id.data, team[0] ? "/" : "", team,
                 user[0] ? "/" : "", user);
        printf("%-12s  %-15s  %-24s  %-24s  %s%s\n", key->id, key_state(key, now), expires, owner,
               key->label.len > 0 ? key->label.data : "", two ? " (two secrets)" : "");
        return;
    }
    json_t *row = json_pack(
        "{s:s,s:s,s:o,s:o,s:s,s:s,s:o,s:i}", "id", key->id, "tenant", key->tenant->id.data, "team",
        text_or_null(team), "user", text_or_null(user), "state", key_state(key, now), "label",
        key->label.len > 0 ? key->label.data : "", "expires",
        key->expires != 0 ? json_string(expires) : json_null(), "secrets", two ? 2 : 1);
    char *text = json_dumps(row, JSON_COMPACT | JSON_PRESERVE_ORDER);
    if (text != NULL) {
        puts(text);
    }
    free(text);
    json_decref(row);
}

static int list_keys(const options_t *o)
{
    weir_arena_t arena;
    weir_tenants_t *tenants;
    weir_error_t err;
    int64_t now = (int64_t)time(NULL);

    weir_arena_init(&arena, 0, 0);
    if (weir_tenants_load(o->path, &arena, &tenants, &err) != WEIR_OK) {
        weir_arena_free(&arena);
        return weir_tool_fail(WEIR_EXIT_FAILED, "%s", err.message);
    }
    if (!o->json) {
        printf("%-12s  %-15s  %-24s  %-24s  %s\n", "KEY", "STATE", "EXPIRES", "TENANT/TEAM/USER",
               "LABEL");
    }
    for (size_t i = 0; i < weir_tenants_key_count(tenants); i++) {
        const weir_api_key_t *key = weir_tenants_key_at(tenants, i);
        if (o->tenant == NULL || weir_str_is(key->tenant->id, o->tenant)) {
            print_key(key, o->json, now);
        }
    }
    weir_arena_free(&arena);
    return WEIR_EXIT_OK;
}

static int change_key(const options_t *o, const char *verb)
{
    weir_tool_document_t doc;
    json_t *keys = NULL;
    size_t index = 0;
    int rc = weir_tool_document_open(&doc, o->path, false);

    if (rc == WEIR_EXIT_OK) {
        json_t *key = weir_tool_find_key(doc.root, o->key_id, &keys, &index);
        if (key == NULL) {
            rc = weir_tool_fail(WEIR_EXIT_FAILED, "%s: no key has the id %s (weir keys list)",
                                o->path, o->key_id);
        } else if (strcmp(verb, "delete") == 0) {
            json_array_remove(keys, index);
        } else if (strcmp(verb, "retire") == 0) {
            if (json_object_del(key, "previous") != 0) {
                rc = weir_tool_fail(WEIR_EXIT_FAILED, "key %s has only one secret", o->key_id);
            }
        } else {
            json_object_set_new(key, "enabled", json_boolean(strcmp(verb, "enable") == 0));
        }
    }
    if (rc == WEIR_EXIT_OK) {
        rc = weir_tool_document_save(&doc);
    }
    weir_tool_document_close(&doc);
    if (rc == WEIR_EXIT_OK) {
        fprintf(stderr, "weir: key %s: %sd; in force after the gateway's next reload\n", o->key_id,
                verb);
    }
    return rc;
}

static bool parse_options(int argc, char **argv, options_t *o, bool *want_help)
{
    static const struct option options[] = {
        {"tenants", required_argument, NULL, 'f'}, {"tenant", required_argument, NULL, 't'},
        {"team", required_argument, NULL, 'm'},    {"user", required_argument, NULL, 'u'},
        {"label", required_argument, NULL, 'l'},   {"expires", required_argument, NULL, 'e'},
        {"policy", required_argument, NULL, 'p'},  {"policies", required_argument, NULL, 'P'},
        {"until", required_argument, NULL, 'n'},   {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    const struct {
        int c;
        const char **value;
    } values[] = {{'f', &o->path},   {'t', &o->tenant},   {'m', &o->team},
                  {'u', &o->user},   {'l', &o->label},    {'e', &o->expires},
                  {'p', &o->policy}, {'P', &o->policies}, {'n', &o->until}};
    int c;

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        bool known = false;
        if (c == 'h') {
            *want_help = true;
            return true;
        }
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
            if (values[i].c == c) {
                *values[i].value = optarg;
                known = true;
            }
        }
        o->json = o->json || c == 'j';
        if (!known && c != 'j') {
            return false;
        }
    }
    if (optind < argc) {
        o->key_id = argv[optind++];
    }
    return optind == argc;
}

/* No option of creation was given. */
static bool bare(const options_t *o)
{
    return o->team == NULL && o->user == NULL && o->label == NULL && o->expires == NULL &&
           o->policy == NULL && o->policies == NULL;
}

static int run_verb(const char *verb, const options_t *o)
{
    bool of_key = o->key_id != NULL && o->tenant == NULL && bare(o) && !o->json;

    if (strcmp(verb, "create") == 0 && o->key_id == NULL && !o->json && o->until == NULL) {
        if (o->tenant == NULL) {
            return weir_tool_fail(WEIR_EXIT_USAGE, "keys create needs --tenant ID");
        }
        if (o->policy != NULL && o->policy[0] != '{' && o->policies == NULL) {
            return weir_tool_fail(WEIR_EXIT_USAGE,
                                  "keys create: --policy %s names a policy: --policies FILE, the "
                                  "document that defines it, is needed to know that it exists",
                                  o->policy);
        }
        return create_key(o);
    }
    if (strcmp(verb, "list") == 0 && o->key_id == NULL && bare(o) && o->until == NULL) {
        return list_keys(o);
    }
    if (strcmp(verb, "rotate") == 0 && of_key) {
        return rotate_key(o);
    }
    if ((strcmp(verb, "disable") == 0 || strcmp(verb, "enable") == 0 ||
         strcmp(verb, "delete") == 0 || strcmp(verb, "retire") == 0) &&
        of_key && o->until == NULL) {
        return change_key(o, verb);
    }
    fputs(help, stderr);
    return WEIR_EXIT_USAGE;
}

int weir_tool_keys(int argc, char **argv)
{
    options_t o = {0};
    bool want_help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    const char *verb = argc > 1 ? argv[1] : "";

    if (!want_help && (argc < 2 || !parse_options(argc - 1, argv + 1, &o, &want_help))) {
        fputs(help, stderr);
        return WEIR_EXIT_USAGE;
    }
    if (want_help) {
        fputs(help, stdout);
        return WEIR_EXIT_OK;
    }
    if (o.path == NULL) {
        return weir_tool_fail(WEIR_EXIT_USAGE, "keys %s needs --tenants FILE", verb);
    }
    return run_verb(verb, &o);
}

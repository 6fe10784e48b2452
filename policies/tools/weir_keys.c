#include "policies/tools/weir_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "policies/tenants.h"
#include "policies/timestamp.h"

static const char help[] =
    "Usage: weir keys create  --tenants FILE --tenant ID [--label TEXT] [--expires TIME]\n"
    "       weir keys list    --tenants FILE [--tenant ID] [--json]\n"
    "       weir keys disable --tenants FILE KEY_ID\n"
    "       weir keys enable  --tenants FILE KEY_ID\n"
    "       weir keys delete  --tenants FILE KEY_ID\n"
    "\n"
    "  --tenants FILE   the tenants document; create makes it when it is missing\n"
    "  --tenant ID      the tenant; create adds it when it is missing\n"
    "  --label TEXT     a note for people, kept with the key\n"
    "  --expires TIME   such as 2030-01-31 or 2030-01-31T12:00:00Z [never]\n"
    "  --json           one JSON object a line\n"
    "\n"
    "create prints the key once, on standard output; the document keeps only a salted hash.\n"
    "A running gateway sees a change after its next reload (nginx -s reload).\n";

typedef struct {
    const char *path;
    const char *tenant;
    const char *label;
    const char *expires;
    const char *key_id;
    bool json;
} options_t;

/* The document open for change: an exclusive lock on its folder makes concurrent runs wait, since
 * a lock on the file itself would not survive the rename. */
typedef struct {
    char path[PATH_MAX]; /* behind symbolic links, which the rename would else replace */
    int folder;
    json_t *root;
    mode_t mode;
    bool exists;
    uid_t owner;
    gid_t group;
} document_t;

static void close_document(document_t *doc)
{
    json_decref(doc->root);
    if (doc->folder >= 0) {
        close(doc->folder);
    }
}

static int open_folder(const char *path)
{
    char copy[PATH_MAX];

    snprintf(copy, sizeof(copy), "%s", path);
    return open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The document's path without symbolic links; one that is not there yet as it was given. */
static bool resolve_path(const char *path, char out[PATH_MAX])
{
    if (realpath(path, out) != NULL) {
        return true;
    }
    if (errno != ENOENT) {
        return false;
    }
    if (snprintf(out, PATH_MAX, "%s", path) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return false;
    }
    return true;
}

static int open_document(document_t *doc, const char *path, bool may_create)
{
    weir_arena_t arena;
    weir_tenants_t *tenants;
    weir_error_t err;
    struct stat st;
    weir_status_t rc;

    *doc = (document_t){.folder = -1, .mode = 0600};
    if (!resolve_path(path, doc->path)) {
        return weir_tool_fail(WEIR_EXIT_FAILED, "%s: %s", path, strerror(errno));
    }
    doc->folder = open_folder(doc->path);
    if (doc->folder < 0 || flock(doc->folder, LOCK_EX) != 0) {
        return weir_tool_fail(WEIR_EXIT_FAILED, "%s: its folder: %s", path, strerror(errno));
    }
    if (may_create && stat(doc->path, &st) != 0 && errno == ENOENT) {
        doc->root = json_pack("{s:i,s:[]}", "version", 1, "tenants");
        return doc->root != NULL ? WEIR_EXIT_OK : weir_tool_fail(WEIR_EXIT_FAILED, "out of memory");
    }
    weir_arena_init(&arena, 0, 0);
    rc = weir_tenants_load(doc->path, &arena, &tenants, &err);
    weir_arena_free(&arena);
    if (rc != WEIR_OK) {
        return weir_tool_fail(WEIR_EXIT_FAILED, "%s", err.message);
    }
    doc->root = json_load_file(doc->path, JSON_REJECT_DUPLICATES, NULL);
    if (doc->root == NULL || stat(doc->path, &st) != 0) {
        return weir_tool_fail(WEIR_EXIT_FAILED, "%s: cannot be read", path);
    }
    doc->exists = true;
    doc->mode = st.st_mode & 07777;
    doc->owner = st.st_uid;
    doc->group = st.st_gid;
    return WEIR_EXIT_OK;
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* Gives the new file the old one's owner and mode, or fails: who could read the document still
 * can, and nobody else. */
static bool keep_access(const document_t *doc, int fd)
{
    struct stat st;
    bool same =
        !doc->exists || (fstat(fd, &st) == 0 && st.st_uid == doc->owner && st.st_gid == doc->group);
    return (same || fchown(fd, doc->owner, doc->group) == 0) && fchmod(fd, doc->mode) == 0;
}

/* Replaces the file in one step: a reader, a crash or a full disk never sees half a document. */
static int save_document(const document_t *doc)
{
    char temp[PATH_MAX];
    char *text = json_dumps(doc->root, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    bool good = false;
    int fd;

    if (text == NULL) {
        return weir_tool_fail(WEIR_EXIT_FAILED, "out of memory");
    }
    if (snprintf(temp, sizeof(temp), "%s.XXXXXX", doc->path) >= (int)sizeof(temp)) {
        free(text);
        return weir_tool_fail(WEIR_EXIT_FAILED, "%s: path too long", doc->path);
    }
    fd = mkstemp(temp);
    if (fd >= 0) {
        good = keep_access(doc, fd) && write_all(fd, text, strlen(text)) &&
               write_all(fd, "\n", 1) && fsync(fd) == 0;
        close(fd);
        good = good && rename(temp, doc->path) == 0 && fsync(doc->folder) == 0;
    }
    free(text);
    if (!good) {
        int why = errno;
        if (fd >= 0) {
            unlink(temp);
        }
        return weir_tool_fail(WEIR_EXIT_FAILED, "%s: cannot be written: %s", doc->path,
                              strerror(why));
    }
    return WEIR_EXIT_OK;
}

static json_t *find_by_id(json_t *array, const char *id, size_t *index)
{
    size_t i;
    json_t *item;

    json_array_foreach(array, i, item)
    {
        const char *text = json_string_value(json_object_get(item, "id"));
        if (text != NULL && strcmp(text, id) == 0) {
            *index = i;
            return item;
        }
    }
    return NULL;
}

static json_t *find_key(json_t *root, const char *id, json_t **keys, size_t *index)
{
    json_t *tenant;
    size_t i;

    json_array_foreach(json_object_get(root, "tenants"), i, tenant)
    {
        *keys = json_object_get(tenant, "keys");
        json_t *key = find_by_id(*keys, id, index);
        if (key != NULL) {
            return key;
        }
    }
    return NULL;
}

static void to_hex(const uint8_t *in, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++) {
        sprintf(out + 2 * i, "%02x", in[i]);
    }
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
    if (!good) {
        json_decref(key);
        return NULL;
    }
    return key;
}

/* The tenant's key array, with the tenant or the array made when missing. */
static json_t *tenant_keys(json_t *root, const char *tenant_id)
{
    size_t index;
    json_t *tenants = json_object_get(root, "tenants");
    json_t *tenant = find_by_id(tenants, tenant_id, &index);

    if (tenant == NULL) {
        tenant = json_pack("{s:s,s:b,s:[]}", "id", tenant_id, "enabled", 1, "keys");
        json_array_append_new(tenants, tenant);
    }
    if (json_object_get(tenant, "keys") == NULL) {
        json_object_set_new(tenant, "keys", json_array());
    }
    return json_object_get(tenant, "keys");
}

/* Proves the changed document before it replaces the old one, so that a bad tenant id or label
 * can never lock the gateway out of its next reload. */
static int validate(const document_t *doc)
{
    weir_arena_t arena;
    weir_tenants_t *tenants;
    weir_error_t err;
    weir_status_t rc;
    char *text = json_dumps(doc->root, JSON_INDENT(2) | JSON_PRESERVE_ORDER);

    if (text == NULL) {
        return weir_tool_fail(WEIR_EXIT_FAILED, "out of memory");
    }
    weir_arena_init(&arena, 0, 0);
    rc = weir_tenants_parse(text, strlen(text), doc->path, &arena, &tenants, &err);
    weir_arena_free(&arena);
    free(text);
    return rc == WEIR_OK ? WEIR_EXIT_OK : weir_tool_fail(WEIR_EXIT_FAILED, "%s", err.message);
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
    document_t doc;
    int rc;

    if (weir_key_generate(key, salt, hash, &err) != WEIR_OK) {
        return weir_tool_fail(WEIR_EXIT_FAILED, "%s", err.message);
    }
    weir_key_parse(weir_str(key, WEIR_KEY_LEN), &id_view);
    memcpy(id, id_view.data, id_view.len);
    to_hex(salt, sizeof(salt), salt_hex);
    to_hex(hash, sizeof(hash), hash_hex);

    rc = open_document(&doc, o->path, true);
    if (rc == WEIR_EXIT_OK) {
        json_t *entry = make_key_entry(o, id, salt_hex, hash_hex);
        if (entry == NULL || json_array_append_new(tenant_keys(doc.root, o->tenant), entry) != 0) {
            rc = weir_tool_fail(WEIR_EXIT_FAILED,
                                "the tenant, label and expiry must be valid UTF-8");
        }
    }
    if (rc == WEIR_EXIT_OK) {
        rc = validate(&doc);
    }
    if (rc == WEIR_EXIT_OK) {
        rc = save_document(&doc);
    }
    close_document(&doc);
    if (rc == WEIR_EXIT_OK && (printf("%s\n", key) < 0 || fflush(stdout) != 0)) {
        rc = weir_tool_fail(WEIR_EXIT_FAILED,
                            "key %s is in the document but could not be shown: %s; delete it and "
                            "create another (weir keys delete)",
                            id, strerror(errno));
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

static void print_key(const weir_api_key_t *key, bool as_json, int64_t now)
{
    char expires[WEIR_TIMESTAMP_MAX] = "never";
    const char *state = "usable";

    if (key->expires != 0) {
        weir_timestamp_format(key->expires * 1000, expires);
    }
    if (!key->tenant->enabled) {
        state = "tenant disabled";
    } else if (!key->enabled) {
        state = "disabled";
    } else if (key->expires != 0 && key->expires <= now) {
        state = "expired";
    }
    if (!as_json) {
        printf("%-12s  %-15s  %-24s  %-20s  %s\n", key->id, state, expires, key->tenant->id.data,
               key->label.len > 0 ? key->label.data : "");
        return;
    }
    json_t *row = json_pack("{s:s,s:s,s:s,s:s,s:o}", "id", key->id, "tenant", key->tenant->id.data,
                            "state", state, "label", key->label.len > 0 ? key->label.data : "",
                            "expires", key->expires != 0 ? json_string(expires) : json_null());
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
        printf("%-12s  %-15s  %-24s  %-20s  %s\n", "KEY", "STATE", "EXPIRES", "TENANT", "LABEL");
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
    document_t doc;
    json_t *keys = NULL;
    size_t index = 0;
    int rc = open_document(&doc, o->path, false);

    if (rc == WEIR_EXIT_OK) {
        json_t *key = find_key(doc.root, o->key_id, &keys, &index);
        if (key == NULL) {
            rc = weir_tool_fail(WEIR_EXIT_FAILED, "%s: no key has the id %s (weir keys list)",
                                o->path, o->key_id);
        } else if (strcmp(verb, "delete") == 0) {
            json_array_remove(keys, index);
        } else {
            json_object_set_new(key, "enabled", json_boolean(strcmp(verb, "enable") == 0));
        }
    }
    if (rc == WEIR_EXIT_OK) {
        rc = save_document(&doc);
    }
    close_document(&doc);
    if (rc == WEIR_EXIT_OK) {
        fprintf(stderr, "weir: key %s: %sd; in force after the gateway's next reload\n", o->key_id,
                verb);
    }
    return rc;
}

static bool parse_options(int argc, char **argv, options_t *o, bool *want_help)
{
    static const struct option options[] = {
        {"tenants", required_argument, NULL, 'f'},
        {"tenant", required_argument, NULL, 't'},
        {"label", required_argument, NULL, 'l'},
        {"expires", required_argument, NULL, 'e'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 'f':
            o->path = optarg;
            break;
        case 't':
            o->tenant = optarg;
            break;
        case 'l':
            o->label = optarg;
            break;
        case 'e':
            o->expires = optarg;
            break;
        case 'j':
            o->json = true;
            break;
        case 'h':
            *want_help = true;
            return true;
        default:
            return false;
        }
    }
    if (optind < argc) {
        o->key_id = argv[optind++];
    }
    return optind == argc;
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
    if (strcmp(verb, "create") == 0 && o.key_id == NULL && !o.json) {
        if (o.tenant == NULL) {
            return weir_tool_fail(WEIR_EXIT_USAGE, "keys create needs --tenant ID");
        }
        return create_key(&o);
    }
    if (strcmp(verb, "list") == 0 && o.key_id == NULL && o.label == NULL && o.expires == NULL) {
        return list_keys(&o);
    }
    if ((strcmp(verb, "disable") == 0 || strcmp(verb, "enable") == 0 ||
         strcmp(verb, "delete") == 0) &&
        o.key_id != NULL && o.tenant == NULL && o.label == NULL && o.expires == NULL && !o.json) {
        return change_key(&o, verb);
    }
    fputs(help, stderr);
    return WEIR_EXIT_USAGE;
}

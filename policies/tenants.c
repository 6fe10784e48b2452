#include "policies/tenants.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/json.h"
#include "policies/timestamp.h"

#define MAX_DOCUMENT ((size_t)64 << 20)

struct weir_tenants {
    weir_tenant_t *tenants;
    size_t n_tenants;
    weir_api_key_t *keys;
    size_t n_keys;
    uint32_t *slots; /* open addressing by key id; key index + 1, 0 is empty */
    size_t n_slots;  /* a power of two, at least twice n_keys */
};

typedef struct {
    const char *text;
    size_t len;
    const char *name;
    weir_arena_t *arena;
    weir_error_t *err;
    weir_tenants_t *out;
    json_t *tenant_ids; /* those seen so far, as an object's keys */
} loader_t;

/* The line of the value at path ("tenants[0].keys[2].hash"), or of its nearest ancestor. jansson
 * keeps no positions, so they are looked up when an error needs one. */
static unsigned line_of(const loader_t *l, const char *path)
{
    weir_arena_t arena;
    weir_json_doc_t doc;
    unsigned line = 1;

    weir_arena_init(&arena, 0, 0);
    if (weir_json_parse(l->text, l->len, NULL, &arena, &doc, NULL) == WEIR_OK) {
        uint32_t node = 0;
        while (*path != '\0') {
            uint32_t child;
            char part[64];
            size_t n = strcspn(path, ".[]");
            if (*path == '[') {
                child = weir_json_at(&doc, node, (uint32_t)strtoul(path + 1, NULL, 10));
                path += strcspn(path, "]"); /* an unknown member's name may hold a lone bracket */
                path += *path == ']';
            } else {
                snprintf(part, sizeof(part), "%.*s", (int)n, path);
                child = weir_json_get(&doc, node, part);
                path += n;
            }
            path += *path == '.';
            if (child == WEIR_JSON_NONE) {
                break;
            }
            node = child;
        }
        for (uint32_t i = 0; i < doc.nodes[node].start; i++) {
            line += l->text[i] == '\n';
        }
    }
    weir_arena_free(&arena);
    return line;
}

static weir_status_t fail(const loader_t *l, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static weir_status_t fail(const loader_t *l, const char *path, const char *fmt, ...)
{
    char what[160];
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    return weir_error_at(l->err, WEIR_ERR_INVALID, path, "invalid_document", "%s:%u: %s: %s",
                         l->name, line_of(l, path), *path == '\0' ? "the document" : path, what);
}

/* A member's path: "tenants[0]" and "id" give "tenants[0].id". */
typedef struct {
    char text[128];
} member_path_t;

static member_path_t member_path(const char *object, const char *name)
{
    member_path_t path;
    int n =
        snprintf(path.text, sizeof(path.text), "%s%s%s", object, *object == '\0' ? "" : ".", name);
    if (n < 0) {
        path.text[0] = '\0';
    }
    return path;
}

static const char *type_name(const json_t *value)
{
    if (value == NULL) {
        return "nothing";
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        break;
    }
    return "null";
}

static weir_status_t check_members(const loader_t *l, json_t *object, const char *path,
                                   const char *const *known)
{
    const char *key;
    json_t *value;

    if (!json_is_object(object)) {
        return fail(l, path, "expected an object, found %s", type_name(object));
    }
    json_object_foreach(object, key, value)
    {
        size_t i = 0;
        while (known[i] != NULL && strcmp(known[i], key) != 0) {
            i++;
        }
        if (known[i] == NULL) {
            return fail(l, member_path(path, key).text, "unknown member \"%.64s\"", key);
        }
    }
    return WEIR_OK;
}

/* Copies an optional string member of at most max bytes into the arena; absent gives "". */
static weir_status_t get_text(const loader_t *l, json_t *object, const char *path, const char *name,
                              size_t max, weir_str_t *out)
{
    const member_path_t at = member_path(path, name);
    json_t *value = json_object_get(object, name);

    *out = WEIR_STR("");
    if (value == NULL) {
        return WEIR_OK;
    }
    if (!json_is_string(value)) {
        return fail(l, at.text, "expected a string, found %s", type_name(value));
    }
    if (json_string_length(value) > max) {
        return fail(l, at.text, "expected at most %zu bytes, found %zu", max,
                    json_string_length(value));
    }
    out->len = json_string_length(value);
    out->data = weir_arena_strndup(l->arena, json_string_value(value), out->len);
    return out->data == NULL ? weir_error(l->err, WEIR_ERR_NOMEM, "out of memory") : WEIR_OK;
}

static weir_status_t get_bool(const loader_t *l, json_t *object, const char *path, const char *name,
                              bool *out)
{
    json_t *value = json_object_get(object, name);

    *out = true;
    if (value == NULL) {
        return WEIR_OK;
    }
    if (!json_is_boolean(value)) {
        return fail(l, member_path(path, name).text, "expected true or false, found %s",
                    type_name(value));
    }
    *out = json_is_true(value);
    return WEIR_OK;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static weir_status_t get_hex(const loader_t *l, json_t *object, const char *path, const char *name,
                             uint8_t *out, size_t n)
{
    const member_path_t at = member_path(path, name);
    json_t *value = json_object_get(object, name);
    const char *text = json_string_value(value);

    if (text == NULL || json_string_length(value) != 2 * n) {
        return fail(l, at.text, "expected %zu lower-case hexadecimal digits, found %s", 2 * n,
                    text == NULL ? type_name(value) : "another length");
    }
    for (size_t i = 0; i < n; i++) {
        int high = hex_digit(text[2 * i]);
        int low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return fail(l, at.text,
                        "expected %zu lower-case hexadecimal digits, found another character",
                        2 * n);
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return WEIR_OK;
}

/* Reads an optional time or null; absent gives 0. */
static weir_status_t get_time(const loader_t *l, json_t *object, const char *path, const char *name,
                              int64_t *seconds)
{
    const member_path_t at = member_path(path, name);
    int64_t ms;
    json_t *value = json_object_get(object, name);

    *seconds = 0;
    if (value == NULL || json_is_null(value)) {
        return WEIR_OK;
    }
    if (!json_is_string(value) ||
        !weir_timestamp_parse(weir_str(json_string_value(value), json_string_length(value)), &ms)) {
        return fail(l, at.text,
                    "expected a time such as \"2030-01-31T12:00:00Z\" or null, found %s",
                    json_is_string(value) ? "another text" : type_name(value));
    }
    *seconds = ms / 1000 == 0 ? 1 : ms / 1000; /* 0 means never: 1970 must not become that */
    return WEIR_OK;
}

static bool tenant_id_ok(weir_str_t id)
{
    static const char head[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    static const char tail[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";

    if (id.len == 0 || id.len > 64 || memchr(head, id.data[0], sizeof(head) - 1) == NULL) {
        return false;
    }
    for (size_t i = 1; i < id.len; i++) {
        if (memchr(tail, id.data[i], sizeof(tail) - 1) == NULL) {
            return false;
        }
    }
    return true;
}

/* FNV-1a. Key ids are ours and random, so nobody can aim at collisions through a request: a probe
 * stops at the first empty slot and the table is at most half full. */
static uint32_t hash_id(const char *id)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < WEIR_KEY_ID_LEN; i++) {
        h = (h ^ (uint8_t)id[i]) * 16777619u;
    }
    return h;
}

static uint32_t *find_slot(const weir_tenants_t *t, const char *id)
{
    size_t i = hash_id(id) & (t->n_slots - 1);
    while (t->slots[i] != 0 && memcmp(t->keys[t->slots[i] - 1].id, id, WEIR_KEY_ID_LEN) != 0) {
        i = (i + 1) & (t->n_slots - 1);
    }
    return &t->slots[i];
}

static weir_status_t load_key(const loader_t *l, json_t *object, const char *path,
                              const weir_tenant_t *tenant)
{
    static const char *const known[] = {"id",      "label",   "salt",    "hash",
                                        "enabled", "created", "expires", NULL};
    const member_path_t at = member_path(path, "id");
    weir_str_t id;
    int64_t created;
    weir_api_key_t *key = &l->out->keys[l->out->n_keys];
    weir_status_t rc = check_members(l, object, path, known);

    if (rc != WEIR_OK || (rc = get_text(l, object, path, "id", 64, &id)) != WEIR_OK) {
        return rc;
    }
    if (id.len != WEIR_KEY_ID_LEN ||
        strspn(id.data, "0123456789abcdefghijklmnopqrstuvwxyz") != id.len) {
        return fail(l, at.text, "expected %d characters of 0-9 and a-z", WEIR_KEY_ID_LEN);
    }
    memcpy(key->id, id.data, WEIR_KEY_ID_LEN + 1);
    key->tenant = tenant;
    if ((rc = get_text(l, object, path, "label", 256, &key->label)) != WEIR_OK ||
        (rc = get_hex(l, object, path, "salt", key->salt, WEIR_KEY_SALT_LEN)) != WEIR_OK ||
        (rc = get_hex(l, object, path, "hash", key->hash, WEIR_KEY_HASH_LEN)) != WEIR_OK ||
        (rc = get_bool(l, object, path, "enabled", &key->enabled)) != WEIR_OK ||
        (rc = get_time(l, object, path, "created", &created)) != WEIR_OK ||
        (rc = get_time(l, object, path, "expires", &key->expires)) != WEIR_OK) {
        return rc;
    }
    uint32_t *slot = find_slot(l->out, key->id);
    if (*slot != 0) {
        return fail(l, at.text, "the key id %s occurs twice", key->id);
    }
    *slot = (uint32_t)++l->out->n_keys;
    return WEIR_OK;
}

static weir_status_t load_tenant(const loader_t *l, json_t *object, size_t index)
{
    static const char *const known[] = {"id", "name", "enabled", "keys", NULL};
    char path[64];
    char key_path[128];
    member_path_t at;
    weir_tenant_t *tenant = &l->out->tenants[index];
    json_t *keys = json_object_get(object, "keys");
    weir_status_t rc;

    snprintf(path, sizeof(path), "tenants[%zu]", index);
    if ((rc = check_members(l, object, path, known)) != WEIR_OK ||
        (rc = get_text(l, object, path, "id", 256, &tenant->id)) != WEIR_OK ||
        (rc = get_text(l, object, path, "name", 256, &tenant->name)) != WEIR_OK ||
        (rc = get_bool(l, object, path, "enabled", &tenant->enabled)) != WEIR_OK) {
        return rc;
    }
    at = member_path(path, "id");
    if (!tenant_id_ok(tenant->id)) {
        return fail(l, at.text, "expected 1 to 64 of a-z 0-9 . _ -, the first a letter or digit");
    }
    l->out->n_tenants = index + 1;
    if (json_object_get(l->tenant_ids, tenant->id.data) != NULL) {
        return fail(l, at.text, "the tenant %s occurs twice", tenant->id.data);
    }
    if (json_object_set_new(l->tenant_ids, tenant->id.data, json_true()) != 0) {
        return weir_error(l->err, WEIR_ERR_NOMEM, "%s: out of memory", l->name);
    }
    at = member_path(path, "keys");
    if (keys != NULL && !json_is_array(keys)) {
        return fail(l, at.text, "expected an array, found %s", type_name(keys));
    }
    for (size_t i = 0; i < json_array_size(keys); i++) {
        snprintf(key_path, sizeof(key_path), "%s.keys[%zu]", path, i);
        rc = load_key(l, json_array_get(keys, i), key_path, tenant);
        if (rc != WEIR_OK) {
            return rc;
        }
    }
    return WEIR_OK;
}

static weir_status_t allocate(const loader_t *l, json_t *tenants)
{
    size_t n_keys = 0;
    size_t i;
    json_t *tenant;

    json_array_foreach(tenants, i, tenant)
    {
        n_keys += json_array_size(json_object_get(tenant, "keys"));
    }
    l->out->n_slots = 4;
    while (l->out->n_slots < 2 * n_keys) {
        l->out->n_slots *= 2;
    }
    l->out->tenants = weir_arena_calloc(l->arena, json_array_size(tenants), sizeof(weir_tenant_t));
    l->out->keys = weir_arena_calloc(l->arena, n_keys, sizeof(weir_api_key_t));
    l->out->slots = weir_arena_calloc(l->arena, l->out->n_slots, sizeof(uint32_t));
    if (l->out->tenants == NULL || l->out->keys == NULL || l->out->slots == NULL) {
        return weir_error(l->err, WEIR_ERR_NOMEM, "%s: out of memory", l->name);
    }
    return WEIR_OK;
}

static weir_status_t load_document(const loader_t *l, json_t *root)
{
    static const char *const known[] = {"$schema", "version", "tenants", NULL};
    json_t *version;
    json_t *tenants;
    weir_status_t rc = check_members(l, root, "", known);

    if (rc != WEIR_OK) {
        return rc;
    }
    version = json_object_get(root, "version");
    if (!json_is_integer(version) || json_integer_value(version) != 1) {
        return fail(l, "version", "expected the number 1, found %s",
                    json_is_integer(version) ? "another number" : type_name(version));
    }
    tenants = json_object_get(root, "tenants");
    if (!json_is_array(tenants)) {
        return fail(l, "tenants", "expected an array, found %s", type_name(tenants));
    }
    rc = allocate(l, tenants);
    for (size_t i = 0; rc == WEIR_OK && i < json_array_size(tenants); i++) {
        rc = load_tenant(l, json_array_get(tenants, i), i);
    }
    return rc;
}

weir_status_t weir_tenants_parse(const char *text, size_t len, const char *name,
                                 weir_arena_t *arena, weir_tenants_t **out, weir_error_t *err)
{
    json_error_t why;
    weir_status_t rc;
    loader_t l = {.text = text, .len = len, .name = name, .arena = arena, .err = err};
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);

    if (root == NULL) {
        return weir_error_at(err, WEIR_ERR_INVALID, "", "invalid_json", "%s:%d:%d: %s", name,
                             why.line, why.column, why.text);
    }
    l.out = weir_arena_calloc(arena, 1, sizeof(weir_tenants_t));
    l.tenant_ids = json_object();
    rc = l.out == NULL || l.tenant_ids == NULL
             ? weir_error(err, WEIR_ERR_NOMEM, "%s: out of memory", name)
             : load_document(&l, root);
    json_decref(l.tenant_ids);
    json_decref(root);
    if (rc == WEIR_OK) {
        *out = l.out;
    }
    return rc;
}

static weir_status_t read_all(int fd, const char *path, weir_arena_t *arena, weir_str_t *out,
                              weir_error_t *err)
{
    struct stat st;
    size_t got = 0;
    char *data;

    if (fstat(fd, &st) != 0) {
        return weir_error(err, WEIR_ERR_IO, "%s: %s", path, strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return weir_error(err, WEIR_ERR_IO, "%s: not a regular file", path);
    }
    if ((uint64_t)st.st_size > MAX_DOCUMENT) {
        return weir_error(err, WEIR_ERR_LIMIT, "%s: larger than 64 MiB", path);
    }
    data = weir_arena_alloc(arena, (size_t)st.st_size);
    if (data == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "%s: out of memory", path);
    }
    while (got < (size_t)st.st_size) {
        ssize_t n = read(fd, data + got, (size_t)st.st_size - got);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return weir_error(err, WEIR_ERR_IO, "%s: %s", path, strerror(errno));
        }
        if (n == 0) {
            break;
        }
        got += (size_t)n;
    }
    *out = weir_str(data, got);
    return WEIR_OK;
}

weir_status_t weir_tenants_load(const char *path, weir_arena_t *arena, weir_tenants_t **out,
                                weir_error_t *err)
{
    weir_str_t text = WEIR_STR("");
    weir_status_t rc;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return weir_error(err, WEIR_ERR_IO, "%s: %s", path, strerror(errno));
    }
    rc = read_all(fd, path, arena, &text, err);
    close(fd);
    if (rc != WEIR_OK) {
        return rc;
    }
    return weir_tenants_parse(text.data, text.len, path, arena, out, err);
}

size_t weir_tenants_count(const weir_tenants_t *t)
{
    return t->n_tenants;
}

const weir_tenant_t *weir_tenants_at(const weir_tenants_t *t, size_t i)
{
    return &t->tenants[i];
}

size_t weir_tenants_key_count(const weir_tenants_t *t)
{
    return t->n_keys;
}

const weir_api_key_t *weir_tenants_key_at(const weir_tenants_t *t, size_t i)
{
    return &t->keys[i];
}

weir_auth_verdict_t weir_tenants_authenticate(const weir_tenants_t *t, weir_str_t presented,
                                              int64_t now, const weir_api_key_t **key)
{
    /* Stands in for an unknown key, so that it costs the same hash and comparison. */
    static const weir_api_key_t nobody;
    const weir_api_key_t *found = &nobody;
    uint8_t hash[WEIR_KEY_HASH_LEN];
    weir_str_t id;
    bool equal;

    *key = NULL;
    if (!weir_key_parse(presented, &id)) {
        return WEIR_AUTH_INVALID;
    }
    uint32_t slot = *find_slot(t, id.data);
    if (slot != 0) {
        found = &t->keys[slot - 1];
    }
    if (weir_key_hash(presented, found->salt, hash) != WEIR_OK) {
        return WEIR_AUTH_ERROR;
    }
    equal = weir_key_hash_equal(hash, found->hash);
    if (!equal || found == &nobody) {
        return WEIR_AUTH_INVALID;
    }
    *key = found;
    if (found->expires != 0 && now >= found->expires) {
        return WEIR_AUTH_EXPIRED;
    }
    if (!found->enabled) {
        return WEIR_AUTH_KEY_DISABLED;
    }
    return found->tenant->enabled ? WEIR_AUTH_OK : WEIR_AUTH_TENANT_DISABLED;
}

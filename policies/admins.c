#include "policies/admins.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "policies/document.h"

static const char *const roles[] = {"viewer", "operator", "admin", NULL};

const char *weir_admin_role_name(weir_admin_role_t role)
{
    return (unsigned)role < 3 ? roles[role] : "none";
}

static weir_status_t read_admin(const weir_document_t *doc, json_t *object, const char *path,
                                weir_admin_t *admin)
{
    static const char *const known[] = {"name",    "role",    "sha256", "enabled",
                                        "expires", "comment", NULL};
    weir_str_t comment;
    int role = 0;

    weir_status_t rc = weir_document_members(doc, object, path, known);
    if (rc == WEIR_OK) {
        rc = weir_document_text(doc, object, path, "name", 64, &admin->name);
    }
    if (rc == WEIR_OK && !weir_document_id_ok(admin->name)) {
        rc = weir_document_fail(doc, weir_path_member(path, "name").text,
                                "expected a name of [a-z0-9._-], which begins with a letter or "
                                "digit");
    }
    if (rc == WEIR_OK && json_object_get(object, "role") == NULL) {
        rc = weir_document_fail(doc, weir_path_member(path, "role").text,
                                "expected \"viewer\", \"operator\" or \"admin\", found nothing");
    }
    if (rc == WEIR_OK) {
        rc = weir_document_word(doc, object, path, "role", roles, &role);
        admin->role = (weir_admin_role_t)role;
    }
    if (rc == WEIR_OK) {
        rc = weir_document_hex(doc, object, path, "sha256", admin->hash, WEIR_ADMIN_HASH_LEN);
    }
    if (rc == WEIR_OK) {
        rc = weir_document_bool(doc, object, path, "enabled", true, &admin->enabled);
    }
    if (rc == WEIR_OK) {
        rc = weir_document_time(doc, object, path, "expires", &admin->expires);
    }
    return rc == WEIR_OK ? weir_document_text(doc, object, path, "comment", 256, &comment) : rc;
}

static weir_status_t check_unique(const weir_document_t *doc, const weir_admin_t *admins, size_t i)
{
    const weir_path_t at = weir_path_at("", "admins", i);

    for (size_t k = 0; k < i; k++) {
        if (weir_str_eq(admins[k].name, admins[i].name)) {
            return weir_document_fail(doc, at.text, "the name \"%s\" is in use",
                                      admins[i].name.data);
        }
        /* Two names for one token would make the log say who it was at random. */
        if (CRYPTO_memcmp(admins[k].hash, admins[i].hash, WEIR_ADMIN_HASH_LEN) == 0) {
            return weir_document_fail(doc, at.text, "has the same token as \"%s\"",
                                      admins[k].name.data);
        }
    }
    return WEIR_OK;
}

static weir_status_t read_admins(const weir_document_t *doc, weir_admins_t *admins)
{
    static const char *const known[] = {"$schema", "version", "admins", NULL};
    json_t *array = NULL;

    weir_status_t rc = weir_document_members(doc, doc->root, "", known);
    if (rc == WEIR_OK) {
        rc = weir_document_version(doc);
    }
    if (rc == WEIR_OK) {
        rc = weir_document_array(doc, doc->root, "", "admins", &array);
    }
    if (rc != WEIR_OK) {
        return rc;
    }
    size_t n = json_array_size(array);
    if (n == 0 || n > 1000) {
        return weir_document_fail(doc, "admins", "expected 1 to 1000 admins, found %zu", n);
    }
    weir_admin_t *list = weir_arena_calloc(doc->arena, n, sizeof(*list));
    if (list == NULL) {
        return weir_document_nomem(doc);
    }
    for (size_t i = 0; rc == WEIR_OK && i < n; i++) {
        rc =
            read_admin(doc, json_array_get(array, i), weir_path_at("", "admins", i).text, &list[i]);
        if (rc == WEIR_OK) {
            rc = check_unique(doc, list, i);
        }
    }
    *admins = (weir_admins_t){.admins = list, .n = n};
    return rc;
}

weir_status_t weir_admins_parse(const char *text, size_t len, const char *name, weir_arena_t *arena,
                                weir_admins_t **out, weir_error_t *err)
{
    weir_document_t doc;
    weir_admins_t *admins = weir_arena_calloc(arena, 1, sizeof(*admins));

    *out = NULL;
    if (admins == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "%s: out of memory", name);
    }
    weir_status_t rc = weir_document_open(&doc, text, len, name, arena, err);
    if (rc != WEIR_OK) {
        return rc;
    }
    rc = read_admins(&doc, admins);
    weir_document_close(&doc);
    if (rc == WEIR_OK) {
        *out = admins;
    }
    return rc;
}

weir_status_t weir_admins_load(const char *path, weir_arena_t *arena, weir_admins_t **out,
                               weir_error_t *err)
{
    weir_str_t text;
    weir_status_t rc = weir_document_read(path, arena, &text, err);

    *out = NULL;
    return rc == WEIR_OK ? weir_admins_parse(text.data, text.len, path, arena, out, err) : rc;
}

const weir_admin_t *weir_admins_authenticate(const weir_admins_t *admins, weir_str_t token,
                                             int64_t now)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    const weir_admin_t *found = NULL;

    if (token.len < WEIR_ADMIN_MIN_TOKEN || token.len > WEIR_ADMIN_MAX_TOKEN ||
        EVP_Digest(token.data, token.len, hash, NULL, EVP_sha256(), NULL) != 1) {
        return NULL;
    }
    for (size_t i = 0; i < admins->n; i++) {
        if (CRYPTO_memcmp(hash, admins->admins[i].hash, WEIR_ADMIN_HASH_LEN) == 0) {
            found = &admins->admins[i];
        }
    }
    if (found == NULL || !found->enabled || (found->expires != 0 && now >= found->expires)) {
        return NULL;
    }
    return found;
}

#include "policies/registry.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "policies/registry_snapshot.h"

typedef struct {
    weir_registry_base_t *base;
    weir_error_t *err;
    EVP_MD_CTX *digest; /* over all documents */
} loader_t;

static void finish_hex(EVP_MD_CTX *ctx, char hex[65])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[EVP_MAX_MD_SIZE] = {0};

    EVP_DigestFinal_ex(ctx, digest, NULL);
    for (size_t i = 0; i < 32; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[64] = '\0';
}

/* Lengths go in as well: bytes moved from one document to the next are another content. */
static bool digest_document(const loader_t *l, weir_str_t text)
{
    uint64_t len = text.len;
    return EVP_DigestUpdate(l->digest, &len, sizeof(len)) == 1 &&
           EVP_DigestUpdate(l->digest, text.data, text.len) == 1;
}

/* An absent path gives an empty text with data NULL. */
static weir_status_t read_document(const loader_t *l, const char *path, weir_str_t *text)
{
    weir_status_t rc = WEIR_OK;

    *text = (weir_str_t){NULL, 0};
    if (path != NULL) {
        rc = weir_document_read(path, &l->base->arena, text, l->err);
    }
    if (rc == WEIR_OK && !digest_document(l, *text)) {
        rc = weir_error(l->err, WEIR_ERR_INTERNAL, "SHA-256 failed");
    }
    return rc;
}

static weir_status_t check_owner(const loader_t *l, const weir_document_t *doc, const char *path,
                                 weir_str_t tenant, weir_str_t team)
{
    const weir_tenants_t *tenants = l->base->tenants;
    const weir_tenant_t *found;

    if (tenant.len == 0) {
        return WEIR_OK;
    }
    found = weir_tenants_find(tenants, tenant);
    if (found == NULL) {
        return weir_document_fail(doc, weir_path_member(path, "tenant").text,
                                  "the tenants document has no tenant \"%s\"", tenant.data);
    }
    if (team.len > 0 && weir_tenants_find_team(tenants, found, team) == NULL) {
        return weir_document_fail(doc, weir_path_member(path, "team").text,
                                  "the tenant %s has no team \"%s\"", tenant.data, team.data);
    }
    return WEIR_OK;
}

static weir_status_t check_identity(const loader_t *l, const weir_document_t *doc)
{
    const weir_identity_t *identity = l->base->identity;
    weir_status_t rc =
        check_owner(l, doc, "anonymous", identity->anonymous_tenant, identity->anonymous_team);

    for (size_t i = 0; rc == WEIR_OK && i < identity->n_issuers; i++) {
        const weir_identity_issuer_t *issuer = &identity->issuers[i];
        const weir_path_t at = weir_path_at("", "issuers", i);
        rc = check_owner(l, doc, at.text, issuer->tenant, issuer->team);
        for (size_t k = 0; rc == WEIR_OK && k < issuer->tenants.n; k++) {
            if (weir_tenants_find(l->base->tenants, issuer->tenants.items[k]) == NULL) {
                rc = weir_document_fail(doc, weir_path_at(at.text, "tenants", k).text,
                                        "the tenants document has no tenant \"%s\"",
                                        issuer->tenants.items[k].data);
            }
        }
        for (size_t k = 0; rc == WEIR_OK && k < issuer->n_rules; k++) {
            const weir_identity_rule_t *rule = &issuer->rules[k];
            rc = check_owner(l, doc, weir_path_at(at.text, "rules", k).text,
                             rule->tenant.len > 0 ? rule->tenant : issuer->tenant, rule->team);
        }
    }
    for (size_t i = 0; rc == WEIR_OK && i < identity->n_certificates; i++) {
        rc = check_owner(l, doc, weir_path_at("", "certificates", i).text,
                         identity->certificates[i].tenant, identity->certificates[i].team);
    }
    return rc;
}

static weir_status_t load_policies(const loader_t *l, const weir_registry_paths_t *paths,
                                   weir_policy_names_t *names)
{
    weir_registry_base_t *base = l->base;
    weir_str_t text;
    weir_status_t rc = read_document(l, paths->policies, &text);

    if (rc == WEIR_OK && text.data != NULL) {
        rc = weir_policy_names_parse(text.data, text.len, paths->policies, &base->arena, names,
                                     l->err);
    }
    if (rc == WEIR_OK && names->base != NULL) {
        rc = weir_policy_merge(&base->merge, names->base, &base->arena, l->err);
    }
    base->table.arena = &base->arena;
    return rc == WEIR_OK ? weir_policy_compile(&base->table, &base->merge, &base->arena, true,
                                               &base->base_policy, l->err)
                         : rc;
}

static weir_status_t load_tenants(const loader_t *l, const weir_registry_paths_t *paths,
                                  const weir_policy_names_t *names)
{
    weir_registry_base_t *base = l->base;
    weir_str_t text;
    weir_status_t rc;

    if (paths->tenants == NULL) {
        return weir_error(l->err, WEIR_ERR_INVALID, "no tenants document is given");
    }
    rc = read_document(l, paths->tenants, &text);
    if (rc == WEIR_OK) {
        rc = weir_tenants_parse_with(text.data, text.len, paths->tenants, names, &base->arena,
                                     &base->tenants, l->err);
    }
    return rc == WEIR_OK ? weir_tenants_compile(base->tenants, &base->merge, &base->table, l->err)
                         : rc;
}

static weir_status_t load_identity(const loader_t *l, const weir_registry_paths_t *paths)
{
    weir_source_t source = {.name = paths->identity};
    const weir_document_t doc = {.source = &source, .err = l->err};
    weir_str_t text;
    weir_status_t rc = read_document(l, paths->identity, &text);

    if (rc != WEIR_OK || text.data == NULL) {
        return rc;
    }
    source.text = text.data;
    source.len = text.len;
    rc = weir_identity_parse(text.data, text.len, paths->identity, &l->base->arena,
                             &l->base->identity, l->err);
    return rc == WEIR_OK ? check_identity(l, &doc) : rc;
}

static weir_status_t load_routes_and_prices(const loader_t *l, const weir_registry_paths_t *paths)
{
    weir_registry_base_t *base = l->base;
    weir_str_t text;
    weir_status_t rc = read_document(l, paths->routes, &text);

    if (rc == WEIR_OK && text.data != NULL) {
        rc = weir_routes_parse(text.data, text.len, paths->routes, &base->arena, &base->routes,
                               l->err);
    }
    if (rc == WEIR_OK) {
        rc = read_document(l, paths->prices, &text);
    }
    if (rc == WEIR_OK && text.data != NULL) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        rc = weir_prices_parse(text.data, text.len, paths->prices, &base->arena, &base->prices,
                               l->err);
        if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 ||
            EVP_DigestUpdate(ctx, text.data, text.len) != 1) {
            rc = weir_error(l->err, WEIR_ERR_INTERNAL, "SHA-256 failed");
        } else {
            finish_hex(ctx, base->price_hash);
        }
        EVP_MD_CTX_free(ctx);
    }
    return rc;
}

static weir_status_t load_all(loader_t *l, const weir_registry_paths_t *paths)
{
    weir_policy_names_t names = {0};
    weir_status_t rc = WEIR_OK;

    l->digest = EVP_MD_CTX_new();
    if (l->digest == NULL || EVP_DigestInit_ex(l->digest, EVP_sha256(), NULL) != 1) {
        rc = weir_error(l->err, WEIR_ERR_INTERNAL, "SHA-256 failed");
    }
    if (rc == WEIR_OK && (rc = load_policies(l, paths, &names)) == WEIR_OK &&
        (rc = load_tenants(l, paths, &names)) == WEIR_OK &&
        (rc = load_identity(l, paths)) == WEIR_OK) {
        rc = load_routes_and_prices(l, paths);
    }
    if (rc == WEIR_OK) {
        finish_hex(l->digest, l->base->hash);
    }
    weir_policy_names_close(&names);
    EVP_MD_CTX_free(l->digest);
    return rc;
}

weir_status_t weir_registry_load(const weir_registry_paths_t *paths, int64_t now,
                                 weir_registry_t **out, weir_error_t *err)
{
    loader_t l = {.base = calloc(1, sizeof(weir_registry_base_t)), .err = err};
    weir_status_t rc;

    if (l.base == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    atomic_init(&l.base->references, 1);
    weir_arena_init(&l.base->arena, 0, 0);
    l.base->loaded_at = now;
    rc = load_all(&l, paths);
    if (rc == WEIR_OK) {
        *out = weir_registry_make(l.base);
        rc = *out == NULL ? weir_error(err, WEIR_ERR_NOMEM, "out of memory") : WEIR_OK;
    }
    weir_registry_base_unref(l.base);
    return rc;
}

weir_status_t weir_registry_reload(weir_registry_state_t *state, const weir_registry_paths_t *paths,
                                   weir_journal_t *journal, int64_t now, weir_error_t *err)
{
    weir_registry_t *loaded = NULL;
    weir_registry_t *followed = NULL;
    weir_error_t why = {0};
    weir_status_t rc = weir_registry_load(paths, now, &loaded, &why);

    if (rc == WEIR_OK && journal != NULL) {
        weir_journal_rewind(journal);
        rc = weir_registry_follow(loaded, journal, &followed, NULL, &why);
        weir_registry_unref(loaded);
        loaded = followed;
    }
    state->tried_at = now;
    state->ok = rc == WEIR_OK;
    if (rc == WEIR_OK) {
        weir_registry_unref(state->current);
        state->current = loaded;
        state->error[0] = '\0';
        state->loads++;
    } else {
        snprintf(state->error, sizeof(state->error), "%s", why.message);
        state->failures++;
        if (err != NULL) {
            *err = why;
        }
        if (journal != NULL) {
            weir_journal_rewind(journal);
        }
    }
    return rc;
}

const weir_tenants_t *weir_registry_tenants(const weir_registry_t *registry)
{
    return registry->base->tenants;
}

const weir_identity_t *weir_registry_identity(const weir_registry_t *registry)
{
    return registry->base->identity;
}

const weir_routes_t *weir_registry_routes(const weir_registry_t *registry)
{
    return registry->base->routes;
}

const weir_prices_t *weir_registry_prices(const weir_registry_t *registry)
{
    return registry->base->prices;
}

const weir_policy_t *weir_registry_base_policy(const weir_registry_t *registry)
{
    return registry->base->base_policy;
}

const char *weir_registry_hash(const weir_registry_t *registry)
{
    return registry->base->hash;
}

const char *weir_registry_price_hash(const weir_registry_t *registry)
{
    return registry->base->price_hash;
}

uint64_t weir_registry_seq(const weir_registry_t *registry)
{
    return registry->seq;
}

int64_t weir_registry_loaded_at(const weir_registry_t *registry)
{
    return registry->base->loaded_at;
}

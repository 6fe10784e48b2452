/* Reading the identity document. */
#include "policies/identity.h"

#include "policies/document.h"

#define YEAR ((int64_t)366 * 86400)

typedef struct {
    const weir_document_t *doc;
    weir_identity_t *out;
} loader_t;

static weir_status_t load_list(const weir_document_t *doc, json_t *object, const char *path,
                               const char *name, size_t max, weir_str_list_t *out)
{
    return weir_document_texts(doc, object, path, name, max, &out->items, &out->n);
}

static weir_status_t load_roles(const weir_document_t *doc, json_t *object, const char *path,
                                weir_str_list_t *out)
{
    weir_status_t rc = load_list(doc, object, path, "roles", 64, out);

    if (rc == WEIR_OK && out->n > 16) {
        rc = weir_document_fail(doc, weir_path_member(path, "roles").text,
                                "expected at most 16 roles, found %zu", out->n);
    }
    return rc;
}

/* An optional id of a tenant or team. */
static weir_status_t load_id(const weir_document_t *doc, json_t *object, const char *path,
                             const char *name, weir_str_t *out)
{
    weir_status_t rc = weir_document_text(doc, object, path, name, 256, out);

    if (rc == WEIR_OK && json_object_get(object, name) != NULL && !weir_document_id_ok(*out)) {
        rc = weir_document_fail(doc, weir_path_member(path, name).text,
                                "expected 1 to 64 of a-z 0-9 . _ -, the first a letter or digit");
    }
    return rc;
}

static weir_status_t load_user(const weir_document_t *doc, json_t *object, const char *path,
                               weir_str_t *out)
{
    weir_status_t rc = weir_document_text(doc, object, path, "user", 256, out);

    if (rc == WEIR_OK && json_object_get(object, "user") != NULL &&
        !weir_document_user_id_ok(*out)) {
        rc = weir_document_fail(doc, weir_path_member(path, "user").text,
                                "expected 1 to 128 of A-Z a-z 0-9 . _ @ | : + = / -");
    }
    return rc;
}

static weir_status_t required(const weir_document_t *doc, const char *path, const char *name,
                              weir_str_t value)
{
    return value.len > 0
               ? WEIR_OK
               : weir_document_fail(doc, weir_path_member(path, name).text,
                                    "expected a string of at least 1 byte, found %s", "none");
}

static weir_status_t load_rule(const weir_document_t *doc, json_t *object, const char *path,
                               weir_identity_rule_t *rule)
{
    static const char *const known[] = {"claim", "value", "tenant", "team", "user", "roles", NULL};
    weir_status_t rc;

    if ((rc = weir_document_members(doc, object, path, known)) != WEIR_OK ||
        (rc = weir_document_text(doc, object, path, "claim", 256, &rule->claim)) != WEIR_OK ||
        (rc = required(doc, path, "claim", rule->claim)) != WEIR_OK ||
        (rc = weir_document_text(doc, object, path, "value", 256, &rule->value)) != WEIR_OK ||
        (rc = required(doc, path, "value", rule->value)) != WEIR_OK ||
        (rc = load_id(doc, object, path, "tenant", &rule->tenant)) != WEIR_OK ||
        (rc = load_id(doc, object, path, "team", &rule->team)) != WEIR_OK ||
        (rc = load_user(doc, object, path, &rule->user)) != WEIR_OK) {
        return rc;
    }
    return load_roles(doc, object, path, &rule->roles);
}

static weir_status_t load_rules(const weir_document_t *doc, json_t *object, const char *path,
                                weir_identity_issuer_t *issuer)
{
    json_t *array;
    weir_identity_rule_t *rules;
    weir_status_t rc = weir_document_array(doc, object, path, "rules", &array);

    if (rc != WEIR_OK || array == NULL) {
        return rc;
    }
    rules = weir_arena_calloc(doc->arena, json_array_size(array), sizeof(*rules));
    if (rules == NULL) {
        return weir_document_nomem(doc);
    }
    issuer->rules = rules;
    for (size_t i = 0; rc == WEIR_OK && i < json_array_size(array); i++) {
        rc = load_rule(doc, json_array_get(array, i), weir_path_at(path, "rules", i).text,
                       &rules[i]);
        issuer->n_rules = i + 1;
    }
    return rc;
}

static weir_status_t load_algorithms(const weir_document_t *doc, json_t *object, const char *path,
                                     uint32_t *out)
{
    static const char *const names[] = {"RS256", "PS256", "ES256", "EdDSA"};
    static const uint32_t bits[] = {WEIR_JWT_RS256, WEIR_JWT_PS256, WEIR_JWT_ES256, WEIR_JWT_EDDSA};
    weir_str_list_t list;
    weir_status_t rc = load_list(doc, object, path, "algorithms", 16, &list);

    *out = 0;
    for (size_t i = 0; rc == WEIR_OK && i < list.n; i++) {
        uint32_t bit = 0;
        for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
            bit |= weir_str_is(list.items[i], names[k]) ? bits[k] : 0;
        }
        if (bit == 0) {
            return weir_document_fail(doc, weir_path_at(path, "algorithms", i).text,
                                      "expected RS256, PS256, ES256 or EdDSA, found \"%s\"",
                                      list.items[i].data);
        }
        *out |= bit;
    }
    if (rc == WEIR_OK && *out == 0) {
        rc = weir_document_fail(doc, weir_path_member(path, "algorithms").text,
                                "expected at least one of RS256, PS256, ES256 and EdDSA, found "
                                "none");
    }
    return rc;
}

static weir_status_t load_jwks(const weir_document_t *doc, json_t *object, const char *path,
                               weir_identity_issuer_t *issuer)
{
    static const char *const known[] = {"file", "url", "refresh", "stale", NULL};
    const weir_path_t at = weir_path_member(path, "jwks");
    json_t *jwks = json_object_get(object, "jwks");
    weir_status_t rc;

    if ((rc = weir_document_members(doc, jwks, at.text, known)) != WEIR_OK ||
        (rc = weir_document_text(doc, jwks, at.text, "file", 1024, &issuer->jwks_file)) !=
            WEIR_OK ||
        (rc = weir_document_text(doc, jwks, at.text, "url", 1024, &issuer->jwks_url)) != WEIR_OK ||
        (rc = weir_document_int(doc, jwks, at.text, "refresh", 10, YEAR, 300,
                                &issuer->jwks_refresh)) != WEIR_OK ||
        (rc = weir_document_int(doc, jwks, at.text, "stale", 0, YEAR, 3600, &issuer->jwks_stale)) !=
            WEIR_OK) {
        return rc;
    }
    if ((issuer->jwks_file.len > 0) == (issuer->jwks_url.len > 0)) {
        return weir_document_fail(doc, at.text, "expected either \"file\" or \"url\", found %s",
                                  issuer->jwks_file.len > 0 ? "both" : "none");
    }
    if (issuer->jwks_url.len > 0 &&
        (issuer->jwks_url.len < 9 || (memcmp(issuer->jwks_url.data, "https://", 8) != 0 &&
                                      memcmp(issuer->jwks_url.data, "http://", 7) != 0))) {
        return weir_document_fail(doc, weir_path_member(at.text, "url").text,
                                  "expected a URL that begins with https:// or http://");
    }
    return WEIR_OK;
}

static weir_status_t load_claims(const weir_document_t *doc, json_t *object, const char *path,
                                 weir_identity_issuer_t *issuer)
{
    static const char *const known[] = {"tenant", "team", "user", "roles", NULL};
    const weir_path_t at = weir_path_member(path, "claims");
    json_t *claims = json_object_get(object, "claims");
    weir_status_t rc;

    issuer->user_claim = WEIR_STR("sub");
    if (claims == NULL) {
        return WEIR_OK;
    }
    if ((rc = weir_document_members(doc, claims, at.text, known)) != WEIR_OK ||
        (rc = weir_document_text(doc, claims, at.text, "tenant", 256, &issuer->tenant_claim)) !=
            WEIR_OK ||
        (rc = weir_document_text(doc, claims, at.text, "team", 256, &issuer->team_claim)) !=
            WEIR_OK ||
        (rc = weir_document_text(doc, claims, at.text, "roles", 256, &issuer->roles_claim)) !=
            WEIR_OK) {
        return rc;
    }
    return json_object_get(claims, "user") == NULL
               ? WEIR_OK
               : weir_document_text(doc, claims, at.text, "user", 256, &issuer->user_claim);
}

/* A token that no path leads to a tenant is a slip of the document, not of the sender. */
static weir_status_t check_tenant_source(const weir_document_t *doc, const char *path,
                                         const weir_identity_issuer_t *issuer)
{
    bool some = issuer->tenant.len > 0 || issuer->tenant_claim.len > 0;

    for (size_t i = 0; i < issuer->n_rules; i++) {
        some = some || issuer->rules[i].tenant.len > 0;
    }
    return some ? WEIR_OK
                : weir_document_fail(doc, path,
                                     "expected \"tenant\", \"claims.tenant\" or a rule that names "
                                     "a tenant, found none");
}

static weir_status_t load_issuer(const loader_t *l, json_t *object, size_t index,
                                 weir_identity_issuer_t *issuer)
{
    static const char *const known[] = {
        "issuer", "audiences", "algorithms", "jwks",  "leeway", "max_lifetime", "token_type",
        "claims", "tenant",    "team",       "roles", "rules",  "tenants",      NULL};
    const weir_document_t *doc = l->doc;
    const weir_path_t at = weir_path_at("", "issuers", index);
    const char *path = at.text;
    weir_status_t rc;

    if ((rc = weir_document_members(doc, object, path, known)) != WEIR_OK ||
        (rc = weir_document_text(doc, object, path, "issuer", 1024, &issuer->issuer)) != WEIR_OK ||
        (rc = required(doc, path, "issuer", issuer->issuer)) != WEIR_OK ||
        (rc = load_list(doc, object, path, "audiences", 256, &issuer->audiences)) != WEIR_OK ||
        (rc = load_algorithms(doc, object, path, &issuer->algorithms)) != WEIR_OK ||
        (rc = load_jwks(doc, object, path, issuer)) != WEIR_OK ||
        (rc = weir_document_int(doc, object, path, "leeway", 0, 600, 30, &issuer->leeway)) !=
            WEIR_OK ||
        (rc = weir_document_int(doc, object, path, "max_lifetime", 0, YEAR, 0,
                                &issuer->max_lifetime)) != WEIR_OK ||
        (rc = weir_document_text(doc, object, path, "token_type", 64, &issuer->token_types)) !=
            WEIR_OK ||
        (rc = load_claims(doc, object, path, issuer)) != WEIR_OK ||
        (rc = load_id(doc, object, path, "tenant", &issuer->tenant)) != WEIR_OK ||
        (rc = load_id(doc, object, path, "team", &issuer->team)) != WEIR_OK ||
        (rc = load_roles(doc, object, path, &issuer->roles)) != WEIR_OK ||
        (rc = load_list(doc, object, path, "tenants", 64, &issuer->tenants)) != WEIR_OK ||
        (rc = load_rules(doc, object, path, issuer)) != WEIR_OK) {
        return rc;
    }
    if (issuer->audiences.n == 0) {
        return weir_document_fail(doc, weir_path_member(path, "audiences").text,
                                  "expected at least one audience, found none");
    }
    for (size_t i = 0; i < index; i++) {
        if (weir_str_eq(l->out->issuers[i].issuer, issuer->issuer)) {
            return weir_document_fail(doc, weir_path_member(path, "issuer").text,
                                      "the issuer %s occurs twice", issuer->issuer.data);
        }
    }
    return check_tenant_source(doc, path, issuer);
}

static weir_status_t load_attributes(const weir_document_t *doc, json_t *object, const char *path,
                                     weir_identity_certificate_t *certificate)
{
    const weir_path_t at = weir_path_member(path, "attributes");
    json_t *attributes = json_object_get(object, "attributes");
    weir_str_t *pairs;
    const char *name;
    json_t *value;

    if (attributes != NULL && certificate->subject.len > 0) {
        return weir_document_fail(doc, path,
                                  "expected either \"subject\" or \"attributes\", found both");
    }
    if (attributes == NULL) {
        return WEIR_OK;
    }
    if (!json_is_object(attributes) || json_object_size(attributes) == 0) {
        return weir_document_fail(doc, at.text, "expected an object with members, found %s",
                                  json_is_object(attributes) ? "an empty one"
                                                             : weir_document_type(attributes));
    }
    pairs = weir_arena_calloc(doc->arena, 2 * json_object_size(attributes), sizeof(*pairs));
    if (pairs == NULL) {
        return weir_document_nomem(doc);
    }
    certificate->attributes = pairs;
    json_object_foreach(attributes, name, value)
    {
        weir_str_t *pair = &pairs[2 * certificate->n_attributes++];
        weir_status_t rc = weir_document_text(doc, attributes, at.text, name, 256, &pair[1]);
        if (rc != WEIR_OK || (rc = required(doc, at.text, name, pair[1])) != WEIR_OK) {
            return rc;
        }
        pair[0].len = strlen(name);
        pair[0].data = weir_arena_strndup(doc->arena, name, pair[0].len);
        if (pair[0].data == NULL) {
            return weir_document_nomem(doc);
        }
    }
    return WEIR_OK;
}

/* Alternative names, behind subject and attributes: one of the three there must be. */
static weir_status_t load_names(const weir_document_t *doc, json_t *object, const char *path,
                                weir_identity_certificate_t *certificate)
{
    static const char *const known[] = {"uri", "dns", "email", NULL};
    const weir_path_t at = weir_path_member(path, "names");
    json_t *names = json_object_get(object, "names");
    weir_status_t rc;

    if (names == NULL) {
        return certificate->subject.len > 0 || certificate->n_attributes > 0
                   ? WEIR_OK
                   : weir_document_fail(doc, path,
                                        "expected \"subject\", \"attributes\" or \"names\", "
                                        "found none of them");
    }
    if ((rc = weir_document_members(doc, names, at.text, known)) != WEIR_OK) {
        return rc;
    }
    if (json_object_size(names) == 0) {
        return weir_document_fail(doc, at.text,
                                  "expected an object with members, found an empty one");
    }
    for (int kind = 0; kind < WEIR_CERTIFICATE_KINDS; kind++) {
        weir_str_t *name = &certificate->names[kind];
        rc = weir_document_text(doc, names, at.text, known[kind], WEIR_CERTIFICATE_NAME_MAX, name);
        if (rc == WEIR_OK && json_object_get(names, known[kind]) != NULL) {
            rc = required(doc, at.text, known[kind], *name);
        }
        if (rc != WEIR_OK) {
            return rc;
        }
    }
    return WEIR_OK;
}

static weir_status_t load_certificate(const loader_t *l, json_t *object, size_t index,
                                      weir_identity_certificate_t *certificate)
{
    static const char *const known[] = {"subject", "attributes", "names", "tenant", "team",
                                        "user",    "user_from",  "roles", NULL};
    const weir_document_t *doc = l->doc;
    const weir_path_t at = weir_path_at("", "certificates", index);
    const char *path = at.text;
    weir_status_t rc;

    if ((rc = weir_document_members(doc, object, path, known)) != WEIR_OK ||
        (rc = weir_document_text(doc, object, path, "subject", 1024, &certificate->subject)) !=
            WEIR_OK ||
        (rc = load_attributes(doc, object, path, certificate)) != WEIR_OK ||
        (rc = load_names(doc, object, path, certificate)) != WEIR_OK ||
        (rc = load_id(doc, object, path, "tenant", &certificate->tenant)) != WEIR_OK ||
        (rc = required(doc, path, "tenant", certificate->tenant)) != WEIR_OK ||
        (rc = load_id(doc, object, path, "team", &certificate->team)) != WEIR_OK ||
        (rc = load_user(doc, object, path, &certificate->user)) != WEIR_OK ||
        (rc = weir_document_text(doc, object, path, "user_from", 64, &certificate->user_from)) !=
            WEIR_OK) {
        return rc;
    }
    return load_roles(doc, object, path, &certificate->roles);
}

static weir_status_t load_anonymous(const loader_t *l)
{
    static const char *const known[] = {"tenant", "team", NULL};
    json_t *anonymous = json_object_get(l->doc->root, "anonymous");
    weir_status_t rc;

    if (anonymous == NULL || json_is_null(anonymous)) {
        return WEIR_OK;
    }
    l->out->has_anonymous = true;
    if ((rc = weir_document_members(l->doc, anonymous, "anonymous", known)) != WEIR_OK ||
        (rc = load_id(l->doc, anonymous, "anonymous", "tenant", &l->out->anonymous_tenant)) !=
            WEIR_OK ||
        (rc = required(l->doc, "anonymous", "tenant", l->out->anonymous_tenant)) != WEIR_OK) {
        return rc;
    }
    return load_id(l->doc, anonymous, "anonymous", "team", &l->out->anonymous_team);
}

static weir_status_t load_document(const loader_t *l)
{
    static const char *const known[] = {"$schema",      "version",   "issuers",
                                        "certificates", "anonymous", NULL};
    const weir_document_t *doc = l->doc;
    weir_identity_issuer_t *issuers;
    weir_identity_certificate_t *certificates;
    json_t *list;
    json_t *subjects;
    weir_status_t rc;

    if ((rc = weir_document_members(doc, doc->root, "", known)) != WEIR_OK ||
        (rc = weir_document_version(doc)) != WEIR_OK ||
        (rc = weir_document_array(doc, doc->root, "", "issuers", &list)) != WEIR_OK ||
        (rc = weir_document_array(doc, doc->root, "", "certificates", &subjects)) != WEIR_OK) {
        return rc;
    }
    issuers = weir_arena_calloc(doc->arena, json_array_size(list), sizeof(*issuers));
    certificates = weir_arena_calloc(doc->arena, json_array_size(subjects), sizeof(*certificates));
    if (issuers == NULL || certificates == NULL) {
        return weir_document_nomem(doc);
    }
    l->out->issuers = issuers;
    l->out->certificates = certificates;
    for (size_t i = 0; rc == WEIR_OK && i < json_array_size(list); i++) {
        rc = load_issuer(l, json_array_get(list, i), i, &issuers[i]);
        l->out->n_issuers = i + 1;
    }
    for (size_t i = 0; rc == WEIR_OK && i < json_array_size(subjects); i++) {
        rc = load_certificate(l, json_array_get(subjects, i), i, &certificates[i]);
        l->out->n_certificates = i + 1;
    }
    return rc == WEIR_OK ? load_anonymous(l) : rc;
}

weir_status_t weir_identity_parse(const char *text, size_t len, const char *name,
                                  weir_arena_t *arena, weir_identity_t **out, weir_error_t *err)
{
    weir_document_t doc;
    weir_status_t rc = weir_document_open(&doc, text, len, name, arena, err);

    if (rc == WEIR_OK) {
        loader_t l = {.doc = &doc, .out = weir_arena_calloc(arena, 1, sizeof(weir_identity_t))};
        rc = l.out == NULL ? weir_document_nomem(&doc) : load_document(&l);
        if (rc == WEIR_OK) {
            *out = l.out;
        }
    }
    weir_document_close(&doc);
    return rc;
}

const weir_identity_issuer_t *weir_identity_find_issuer(const weir_identity_t *identity,
                                                        weir_str_t issuer)
{
    for (size_t i = 0; identity != NULL && i < identity->n_issuers; i++) {
        if (weir_str_eq(identity->issuers[i].issuer, issuer)) {
            return &identity->issuers[i];
        }
    }
    return NULL;
}

/* From claims, a certificate's subject or nothing to a principal. */
#include "policies/distinguished_name.h"
#include "policies/document.h"
#include "policies/registry.h"

#define MAX_ROLES (sizeof(((weir_principal_t *)0)->roles) / sizeof(weir_str_t))

static void add_role(weir_principal_t *p, weir_str_t role)
{
    for (size_t i = 0; i < p->n_roles; i++) {
        if (weir_str_eq(p->roles[i], role)) {
            return;
        }
    }
    if (p->n_roles < MAX_ROLES) {
        p->roles[p->n_roles++] = role;
    }
}

static void add_roles(weir_principal_t *p, weir_str_list_t roles)
{
    for (size_t i = 0; i < roles.n; i++) {
        add_role(p, roles.items[i]);
    }
}

/* Finds the ids; a team that is named must exist, a user need not. */
static weir_principal_verdict_t resolve(const weir_registry_t *registry, weir_str_t tenant,
                                        weir_str_t team, weir_principal_t *p)
{
    const weir_tenants_t *t = weir_registry_tenants(registry);

    p->tenant = tenant.len == 0 ? NULL : weir_tenants_find(t, tenant);
    if (p->tenant == NULL) {
        return WEIR_PRINCIPAL_NO_TENANT;
    }
    if (team.len > 0 && (p->team = weir_tenants_find_team(t, p->tenant, team)) == NULL) {
        return WEIR_PRINCIPAL_NO_TEAM;
    }
    p->policy = p->team != NULL ? p->team->policy : p->tenant->policy;
    if (p->user_id.len > 0) {
        p->user = weir_tenants_find_user(t, p->tenant, p->team, p->user_id);
        if (p->user != NULL) {
            p->policy = p->user->policy;
        }
    }
    return p->tenant->enabled && (p->team == NULL || p->team->enabled) &&
                   (p->user == NULL || p->user->enabled)
               ? WEIR_PRINCIPAL_OK
               : WEIR_PRINCIPAL_DISABLED;
}

static bool claim_holds(weir_claim_fn claim, void *data, const weir_identity_rule_t *rule)
{
    weir_str_t value;

    for (size_t i = 0; i < 1024 && claim(data, rule->claim, i, &value); i++) {
        if (weir_str_eq(value, rule->value)) {
            return true;
        }
    }
    return false;
}

/* The first of the claim's values that names a team of the tenant: people are in many groups. */
static weir_str_t team_of_claim(const weir_registry_t *registry, weir_str_t tenant, weir_str_t path,
                                weir_claim_fn claim, void *data)
{
    const weir_tenants_t *t = weir_registry_tenants(registry);
    const weir_tenant_t *found = tenant.len == 0 ? NULL : weir_tenants_find(t, tenant);
    weir_str_t value;

    for (size_t i = 0; found != NULL && path.len > 0 && i < 1024 && claim(data, path, i, &value);
         i++) {
        const weir_team_t *team = weir_tenants_find_team(t, found, value);
        if (team != NULL) {
            return team->id;
        }
    }
    return WEIR_STR("");
}

static bool may_lead_to(const weir_identity_issuer_t *issuer, weir_str_t tenant)
{
    for (size_t i = 0; i < issuer->tenants.n; i++) {
        if (weir_str_eq(issuer->tenants.items[i], tenant)) {
            return true;
        }
    }
    return issuer->tenants.n == 0;
}

weir_principal_verdict_t weir_registry_from_claims(const weir_registry_t *registry,
                                                   const weir_identity_issuer_t *issuer,
                                                   weir_claim_fn claim, void *data,
                                                   weir_principal_t *out)
{
    weir_str_t tenant = issuer->tenant;
    weir_str_t team = issuer->team;
    weir_str_t value;

    *out = (weir_principal_t){0};
    if (tenant.len == 0 && issuer->tenant_claim.len > 0 &&
        claim(data, issuer->tenant_claim, 0, &value)) {
        tenant = value;
    }
    if (issuer->user_claim.len > 0 && claim(data, issuer->user_claim, 0, &value)) {
        out->user_id = value;
    }
    add_roles(out, issuer->roles);
    for (size_t i = 0; issuer->roles_claim.len > 0 && i < MAX_ROLES &&
                       claim(data, issuer->roles_claim, i, &value);
         i++) {
        add_role(out, value);
    }
    /* In the document's order: a later rule overrides an earlier one and the claims. */
    for (size_t i = 0; i < issuer->n_rules; i++) {
        const weir_identity_rule_t *rule = &issuer->rules[i];
        if (claim_holds(claim, data, rule)) {
            tenant = rule->tenant.len > 0 ? rule->tenant : tenant;
            team = rule->team.len > 0 ? rule->team : team;
            out->user_id = rule->user.len > 0 ? rule->user : out->user_id;
            add_roles(out, rule->roles);
        }
    }
    if (!may_lead_to(issuer, tenant)) {
        return WEIR_PRINCIPAL_NO_TENANT;
    }
    if (team.len == 0) {
        team = team_of_claim(registry, tenant, issuer->team_claim, claim, data);
    }
    return resolve(registry, tenant, team, out);
}

static bool matches(const weir_identity_certificate_t *certificate, const weir_certificate_t *got)
{
    const weir_str_t subject = got->subject;
    char value[WEIR_DN_VALUE_MAX + 1];
    size_t len;
    bool named = false;

    for (int kind = 0; kind < WEIR_CERTIFICATE_KINDS; kind++) {
        if (certificate->names[kind].len > 0) {
            named = true;
            if (!weir_certificate_has(got, (weir_certificate_kind_t)kind,
                                      certificate->names[kind])) {
                return false;
            }
        }
    }
    if (certificate->subject.len > 0) {
        return weir_str_eq(certificate->subject, subject);
    }
    for (size_t i = 0; i < certificate->n_attributes; i++) {
        if (!weir_dn_attribute(subject, certificate->attributes[2 * i], value, &len) ||
            !weir_str_eq(certificate->attributes[2 * i + 1], weir_str(value, len))) {
            return false;
        }
    }
    return named || certificate->n_attributes > 0;
}

/* What names the user; *value may be the room. */
static weir_str_t user_from(const weir_certificate_t *got, weir_str_t from,
                            char room[WEIR_DN_VALUE_MAX + 1])
{
    size_t len;

    for (int kind = 0; kind < WEIR_CERTIFICATE_KINDS; kind++) {
        const char *name = weir_certificate_kind_name((weir_certificate_kind_t)kind);
        if (from.len == strlen("names.") + strlen(name) && memcmp(from.data, "names.", 6) == 0 &&
            memcmp(from.data + 6, name, strlen(name)) == 0) {
            return weir_certificate_only(got, (weir_certificate_kind_t)kind);
        }
    }
    return weir_dn_attribute(got->subject, from, room, &len) ? weir_str(room, len)
                                                             : weir_str(NULL, 0);
}

weir_principal_verdict_t weir_registry_from_certificate(const weir_registry_t *registry,
                                                        const weir_certificate_t *got,
                                                        weir_principal_t *out)
{
    const weir_identity_t *identity = weir_registry_identity(registry);
    char room[WEIR_DN_VALUE_MAX + 1];

    *out = (weir_principal_t){0};
    for (size_t i = 0; identity != NULL && i < identity->n_certificates; i++) {
        const weir_identity_certificate_t *certificate = &identity->certificates[i];
        if (!matches(certificate, got)) {
            continue;
        }
        out->user_id = certificate->user;
        if (certificate->user_from.len > 0) {
            weir_str_t user = user_from(got, certificate->user_from, room);
            if (user.len > 0 && weir_document_user_id_ok(user)) {
                memcpy(out->user_room, user.data, user.len);
                out->user_id = weir_str(out->user_room, user.len);
            }
        }
        add_roles(out, certificate->roles);
        return resolve(registry, certificate->tenant, certificate->team, out);
    }
    return WEIR_PRINCIPAL_NO_TENANT;
}

weir_principal_verdict_t weir_registry_anonymous(const weir_registry_t *registry,
                                                 weir_principal_t *out)
{
    const weir_identity_t *identity = weir_registry_identity(registry);

    *out = (weir_principal_t){0};
    return identity == NULL || !identity->has_anonymous
               ? WEIR_PRINCIPAL_NO_TENANT
               : resolve(registry, identity->anonymous_tenant, identity->anonymous_team, out);
}

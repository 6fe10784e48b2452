/*
 * The identity document: how a verified token, a client certificate or nobody at all becomes a
 * tenant, team, user and roles. It verifies nothing: who calls has checked signature, issuer,
 * audience and times, or the certificate's chain.
 * Format: policies/schema/identity.schema.json; example: policies/examples/identity.json.
 */
#ifndef WEIR_POLICIES_IDENTITY_H
#define WEIR_POLICIES_IDENTITY_H

#include "policies/certificate_names.h"
#include "policies/tenants.h"

typedef struct {
    const weir_str_t *items;
    size_t n;
} weir_str_list_t;

/* Bits of weir_identity_issuer_t.algorithms (RFC 7518, RFC 8037). */
#define WEIR_JWT_RS256 1u
#define WEIR_JWT_PS256 2u
#define WEIR_JWT_ES256 4u
#define WEIR_JWT_EDDSA 8u

/* If the claim holds the value (a string, or one of an array's), the rest applies. */
typedef struct {
    weir_str_t claim;
    weir_str_t value;
    weir_str_t tenant; /* empty members leave what claims and earlier rules said */
    weir_str_t team;
    weir_str_t user;
    weir_str_list_t roles; /* added */
} weir_identity_rule_t;

typedef struct {
    weir_str_t issuer;         /* iss, compared byte by byte */
    weir_str_list_t audiences; /* at least one; one of them must be in aud */
    uint32_t algorithms;       /* WEIR_JWT_*: what its keys may sign with; never 0 */
    weir_str_t jwks_file;      /* one of the two is set */
    weir_str_t jwks_url;
    int64_t jwks_refresh;   /* seconds between fetches [300] */
    int64_t jwks_stale;     /* seconds that an old set may serve when fetching fails [3600] */
    int64_t leeway;         /* seconds for exp and nbf [30] */
    int64_t max_lifetime;   /* most seconds from iat to exp; 0: no limit */
    weir_str_t token_types; /* typ that is required ("at+jwt"); empty: any */
    /* Claims by path: "sub", "realm_access.roles"; a URL-like claim with dots is looked up whole
     * first. Empty: not taken from a claim. */
    weir_str_t tenant_claim;
    weir_str_t team_claim;
    weir_str_t user_claim; /* [sub] */
    weir_str_t roles_claim;
    weir_str_t tenant; /* fixed; empty: from the claim or a rule */
    weir_str_t team;
    weir_str_list_t roles;
    const weir_identity_rule_t *rules;
    size_t n_rules;
    weir_str_list_t tenants; /* the only ones that its tokens may lead to; empty: any */
} weir_identity_issuer_t;

/* A client certificate by its subject, as RFC 4514 text: either the whole, or attributes that must
 * all be there with exactly these values; and by alternative names that it must have. */
typedef struct {
    weir_str_t subject;                       /* empty: any, or by attributes */
    const weir_str_t *attributes;             /* name, value, name, value, ... */
    size_t n_attributes;                      /* pairs */
    weir_str_t names[WEIR_CERTIFICATE_KINDS]; /* empty: any */
    weir_str_t tenant;
    weir_str_t team;
    weir_str_t user;
    weir_str_t user_from; /* what names the user: an attribute ("CN") or the only alternative name
                             of a kind ("names.email"); empty: nothing */
    weir_str_list_t roles;
} weir_identity_certificate_t;

typedef struct {
    const weir_identity_issuer_t *issuers;
    size_t n_issuers;
    const weir_identity_certificate_t *certificates;
    size_t n_certificates;
    bool has_anonymous;
    weir_str_t anonymous_tenant;
    weir_str_t anonymous_team;
} weir_identity_t;

/* Loads the document into arena, which must outlive it; errors as those of weir_tenants_parse. */
weir_status_t weir_identity_parse(const char *text, size_t len, const char *name,
                                  weir_arena_t *arena, weir_identity_t **out, weir_error_t *err);

/* By iss; NULL when the document does not name it. */
const weir_identity_issuer_t *weir_identity_find_issuer(const weir_identity_t *identity,
                                                        weir_str_t issuer);

/* Who somebody is. The views live as long as the snapshot; user_id and roles from claims as long as
 * what they were read from, a user_id from a certificate as long as this struct stays in place. */
typedef struct {
    const weir_tenant_t *tenant;
    const weir_team_t *team;     /* NULL: none */
    const weir_user_t *user;     /* NULL: not in the document */
    weir_str_t user_id;          /* also without an entry in the document; may be empty */
    const weir_policy_t *policy; /* of the user, else team, else tenant */
    weir_str_t roles[16];
    size_t n_roles;
    char user_room[128];
} weir_principal_t;

typedef enum {
    WEIR_PRINCIPAL_OK,
    WEIR_PRINCIPAL_NO_TENANT, /* nothing names a tenant, or none of that id exists */
    WEIR_PRINCIPAL_NO_TEAM,   /* a rule or the document names a team that does not exist */
    WEIR_PRINCIPAL_DISABLED   /* tenant, team or user is switched off */
} weir_principal_verdict_t;

/*
 * A claim's value number i: true and *value for a string, or for string i of an array; false when
 * there is none. path as in weir_identity_issuer_t.
 */
typedef bool (*weir_claim_fn)(void *data, weir_str_t path, size_t i, weir_str_t *value);

#endif

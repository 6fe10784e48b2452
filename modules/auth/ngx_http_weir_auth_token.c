
/*
 * Weir: JSON Web Tokens.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_auth.h"


/* claims and header of a token of 16 kB, with their nodes */

#define NGX_HTTP_WEIR_AUTH_ARENA  (2 * 1024 * 1024)


/*
 * What a token came to, as it is kept in the cache; the pointers are into the
 * snapshot in force, the cache is cleared when that changes.  Texts follow.
 */

typedef struct {
    const weir_tenant_t           *tenant;
    const weir_team_t             *team;
    const weir_user_t             *user;
    const weir_policy_t           *policy;
    size_t                         user_len;
    size_t                         nroles;
    size_t                         role_len[NGX_HTTP_WEIR_AUTH_ROLES];
} ngx_http_weir_auth_decision_t;


typedef struct {
    const weir_jwt_t              *jwt;
    weir_arena_t                  *arena;
} ngx_http_weir_auth_claims_t;


static ngx_int_t ngx_http_weir_auth_check_token(
    ngx_http_weir_auth_ctx_t *actx, const uint8_t *digest, ngx_uint_t waited,
    weir_arena_t *arena);
static ngx_int_t ngx_http_weir_auth_keys(ngx_http_weir_auth_ctx_t *actx,
    ngx_http_weir_source_t *source, weir_str_t kid, ngx_uint_t waited);
static bool ngx_http_weir_auth_claim(void *data, weir_str_t path, size_t i,
    weir_str_t *value);
static ngx_int_t ngx_http_weir_auth_refuse_token(
    ngx_http_weir_auth_ctx_t *actx, weir_jwt_verdict_t verdict,
    weir_error_t *err);
static ngx_int_t ngx_http_weir_auth_recall(ngx_http_weir_auth_ctx_t *actx,
    const uint8_t *digest);
static void ngx_http_weir_auth_remember(ngx_http_weir_auth_ctx_t *actx,
    const uint8_t *digest, const weir_principal_t *who, int64_t expires);


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_bad_token =
    ngx_http_weir_refusal(NGX_HTTP_UNAUTHORIZED, "invalid_request_error",
                          "invalid_token", "", "invalid_token");


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_expired_token =
    ngx_http_weir_refusal(NGX_HTTP_UNAUTHORIZED, "invalid_request_error",
                          "token_expired", "", "expired_token");


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_no_keys = {
    NGX_HTTP_SERVICE_UNAVAILABLE,
    ngx_string("server_error"),
    ngx_string("identity_unavailable"),
    ngx_string("The keys that verify your token cannot be had at the moment. "
               "Try again."),
    ngx_string("keys_unavailable"),
    ngx_null_string,
    NGX_HTTP_WEIR_RETRY_YES,
    2
};


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_token_failed =
    ngx_http_weir_refusal(NGX_HTTP_INTERNAL_SERVER_ERROR, "server_error",
                          "internal_error",
                          "The gateway could not check the token, so the "
                          "request was not forwarded.",
                          "internal_error");


/* waited: for the issuer's keys; the token waits for them once */

ngx_int_t
ngx_http_weir_auth_token(ngx_http_weir_auth_ctx_t *actx, ngx_uint_t waited)
{
    uint8_t                          digest[WEIR_KEY_HASH_LEN];
    ngx_int_t                        rc;
    weir_arena_t                     arena;
    weir_registry_t                 *old;
    ngx_http_weir_auth_main_conf_t  *wamcf;

    wamcf = actx->wamcf;

    if (actx->registry != wamcf->state.current) {
        old = actx->registry;
        actx->registry = weir_registry_ref(wamcf->state.current);
        weir_registry_unref(old);
    }

    if (weir_key_hash_with(wamcf->hasher,
                           weir_str((char *) actx->token.data,
                                    actx->token.len),
                           wamcf->salt, digest)
        != WEIR_OK)
    {
        actx->ctx->refusal = &ngx_http_weir_auth_token_failed;
        return NGX_ABORT;
    }

    rc = ngx_http_weir_auth_recall(actx, digest);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    weir_arena_init(&arena, 0, NGX_HTTP_WEIR_AUTH_ARENA);

    rc = ngx_http_weir_auth_check_token(actx, digest, waited, &arena);

    weir_arena_free(&arena);

    return rc;
}


static ngx_int_t
ngx_http_weir_auth_check_token(ngx_http_weir_auth_ctx_t *actx,
    const uint8_t *digest, ngx_uint_t waited, weir_arena_t *arena)
{
    int64_t                        now, expires;
    ngx_int_t                      rc;
    weir_jwt_t                     jwt;
    weir_error_t                   err;
    weir_jwt_rules_t               rules;
    weir_principal_t               who;
    weir_jwt_verdict_t             verdict;
    ngx_http_weir_source_t        *source;
    weir_principal_verdict_t       known;
    ngx_http_weir_auth_claims_t    claims;
    const weir_identity_issuer_t  *issuer;

    now = ngx_time();

    verdict = weir_jwt_parse(weir_str((char *) actx->token.data,
                                      actx->token.len),
                             arena, &jwt, &err);

    if (verdict != WEIR_JWT_OK) {
        return ngx_http_weir_auth_refuse_token(actx, verdict, &err);
    }

    issuer = weir_identity_find_issuer(
                         weir_registry_identity(actx->registry), jwt.issuer);
    source = NULL;

    if (issuer) {
        source = ngx_http_weir_auth_find_source(actx->wamcf, jwt.issuer);
    }

    if (source == NULL) {
        (void) weir_error(&err, WEIR_ERR_INVALID,
                          "The token is from an issuer that is not trusted "
                          "here (iss).");
        return ngx_http_weir_auth_refuse_token(actx, WEIR_JWT_WRONG_ISSUER,
                                               &err);
    }

    rc = ngx_http_weir_auth_keys(actx, source, jwt.kid, waited);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_memzero(&rules, sizeof(weir_jwt_rules_t));

    rules.issuer = issuer->issuer;
    rules.audiences = issuer->audiences.items;
    rules.n_audiences = issuer->audiences.n;
    rules.type = issuer->token_types;
    rules.algorithms = issuer->algorithms;
    rules.leeway = issuer->leeway;
    rules.max_lifetime = issuer->max_lifetime;

    verdict = weir_jwt_verify(&jwt, source->keys.keys, &rules, now, arena,
                              &expires, &err);

    if (verdict != WEIR_JWT_OK) {
        return ngx_http_weir_auth_refuse_token(actx, verdict, &err);
    }

    claims.jwt = &jwt;
    claims.arena = arena;

    known = weir_registry_from_claims(actx->registry, issuer,
                                      ngx_http_weir_auth_claim, &claims,
                                      &who);

    /*
     * Not for longer than the keys are fresh: a key that its issuer withdraws
     * must not live on in here.
     */

    if (known == WEIR_PRINCIPAL_OK) {
        expires = ngx_min(expires + issuer->leeway,
                          now + issuer->jwks_refresh);
        ngx_http_weir_auth_remember(actx, digest, &who, expires);
    }

    return ngx_http_weir_auth_principal(actx, &who, known);
}


/* NGX_OK: source->keys.keys are the ones to verify with */

static ngx_int_t
ngx_http_weir_auth_keys(ngx_http_weir_auth_ctx_t *actx,
    ngx_http_weir_source_t *source, weir_str_t kid, ngx_uint_t waited)
{
    ngx_uint_t  fetch;

    for ( ;; ) {
        fetch = 0;

        switch (weir_jwks_state_step(&source->keys, kid, waited, ngx_time()))
        {

        case WEIR_JWKS_USE:
            return NGX_OK;

        case WEIR_JWKS_USE_AND_FETCH:
            ngx_http_weir_auth_fetch(source, 1);

            /* a file has been read when it returns */

            return NGX_OK;

        case WEIR_JWKS_FETCH_AND_WAIT:
            fetch = 1;

            /* fall through */

        case WEIR_JWKS_WAIT:
            break;

        default: /* WEIR_JWKS_UNAVAILABLE */
            actx->ctx->refusal = &ngx_http_weir_auth_no_keys;
            return NGX_ABORT;
        }

        if (fetch) {
            ngx_http_weir_auth_fetch(source, 0);

            if (!source->keys.fetching) {
                waited = 1;
                continue;
            }
        }

        ngx_queue_insert_tail(&source->waiting, &actx->queue);
        actx->waiting = 1;

        return NGX_AGAIN;
    }
}


static bool
ngx_http_weir_auth_claim(void *data, weir_str_t path, size_t i,
    weir_str_t *value)
{
    ngx_http_weir_auth_claims_t *claims = data;

    return weir_jwt_claim(claims->jwt, claims->arena, path, i, value);
}


static ngx_int_t
ngx_http_weir_auth_refuse_token(ngx_http_weir_auth_ctx_t *actx,
    weir_jwt_verdict_t verdict, weir_error_t *err)
{
    const ngx_http_weir_refusal_t  *why;

    switch (verdict) {

    case WEIR_JWT_ERROR:
        actx->ctx->refusal = &ngx_http_weir_auth_token_failed;
        return NGX_ABORT;

    case WEIR_JWT_EXPIRED:
        why = &ngx_http_weir_auth_expired_token;
        break;

    default:
        why = &ngx_http_weir_auth_bad_token;
    }

    ngx_log_error(NGX_LOG_INFO, actx->request->connection->log, 0,
                  "token refused: %s", weir_jwt_verdict_name(verdict));

    return actx->wamcf->weir->deny(actx->ctx, why, "%s", err->message);
}


static ngx_int_t
ngx_http_weir_auth_recall(ngx_http_weir_auth_ctx_t *actx,
    const uint8_t *digest)
{
    size_t                                i, len;
    const char                           *p;
    weir_principal_t                      who;
    const ngx_http_weir_auth_decision_t  *d;

    if (actx->wamcf->cache == NULL) {
        return NGX_DECLINED;
    }

    d = weir_jwt_cache_get(actx->wamcf->cache, digest, ngx_time(), &len);
    if (d == NULL) {
        return NGX_DECLINED;
    }

    ngx_memzero(&who, sizeof(weir_principal_t));

    who.tenant = d->tenant;
    who.team = d->team;
    who.user = d->user;
    who.policy = d->policy;

    p = (const char *) &d[1];

    who.user_id = weir_str(p, d->user_len);
    p += d->user_len;

    who.n_roles = d->nroles;

    for (i = 0; i < d->nroles; i++) {
        who.roles[i] = weir_str(p, d->role_len[i]);
        p += d->role_len[i];
    }

    return ngx_http_weir_auth_principal(actx, &who, WEIR_PRINCIPAL_OK);
}


static void
ngx_http_weir_auth_remember(ngx_http_weir_auth_ctx_t *actx,
    const uint8_t *digest, const weir_principal_t *who, int64_t expires)
{
    char                           *p;
    size_t                          i, len;
    ngx_http_weir_auth_decision_t  *d;

    if (actx->wamcf->cache == NULL
        || who->n_roles > NGX_HTTP_WEIR_AUTH_ROLES)
    {
        return;
    }

    len = sizeof(ngx_http_weir_auth_decision_t) + who->user_id.len;

    for (i = 0; i < who->n_roles; i++) {
        len += who->roles[i].len;
    }

    d = ngx_pcalloc(actx->request->pool, len);
    if (d == NULL) {
        return;
    }

    d->tenant = who->tenant;
    d->team = who->team;
    d->user = who->user;
    d->policy = who->policy;
    d->user_len = who->user_id.len;
    d->nroles = who->n_roles;

    p = (char *) &d[1];

    if (who->user_id.len) {
        p = (char *) ngx_cpymem(p, who->user_id.data, who->user_id.len);
    }

    for (i = 0; i < who->n_roles; i++) {
        d->role_len[i] = who->roles[i].len;
        p = (char *) ngx_cpymem(p, who->roles[i].data, who->roles[i].len);
    }

    weir_jwt_cache_put(actx->wamcf->cache, digest, expires, d, len);
}

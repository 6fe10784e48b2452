
/*
 * Weir: who asks?  Credentials, certificates and nobody, and what each may do.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_auth.h"


typedef enum {
    NGX_HTTP_WEIR_AUTHORIZATION = 0,
    NGX_HTTP_WEIR_X_API_KEY,
    NGX_HTTP_WEIR_API_KEY,
    NGX_HTTP_WEIR_CREDENTIALS
} ngx_http_weir_credential_e;


static ngx_http_weir_auth_ctx_t *ngx_http_weir_auth_ctx(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, ngx_http_weir_auth_main_conf_t *wamcf);
static void ngx_http_weir_auth_cleanup(void *data);
static const ngx_http_weir_refusal_t *ngx_http_weir_auth_find_key(
    ngx_http_request_t *r, ngx_str_t *key);
static ngx_int_t ngx_http_weir_auth_bearer(ngx_str_t *value, ngx_str_t *key);
static ngx_int_t ngx_http_weir_auth_key(ngx_http_weir_auth_ctx_t *actx,
    ngx_str_t *presented);
static ngx_int_t ngx_http_weir_auth_keyless(ngx_http_weir_auth_ctx_t *actx,
    const ngx_http_weir_refusal_t *missing);
static ngx_int_t ngx_http_weir_auth_certificate(
    ngx_http_weir_auth_ctx_t *actx, weir_certificate_t *certificate);
static void ngx_http_weir_auth_place(ngx_http_weir_ctx_t *ctx,
    const weir_tenant_t *tenant, const weir_team_t *team,
    const weir_policy_t *policy);
static ngx_int_t ngx_http_weir_auth_allowed(ngx_http_weir_auth_ctx_t *actx);


static ngx_str_t  ngx_http_weir_credentials[] = {
    ngx_string("authorization"),
    ngx_string("x-api-key"),
    ngx_string("api-key")
};


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_missing =
    ngx_http_weir_refusal(NGX_HTTP_UNAUTHORIZED, "invalid_request_error",
                          "invalid_api_key",
                          "You did not provide an API key. Send it in "
                          "the header Authorization: Bearer YOUR_KEY.",
                          "missing_key");


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_scheme =
    ngx_http_weir_refusal(NGX_HTTP_UNAUTHORIZED, "invalid_request_error",
                          "invalid_api_key",
                          "The Authorization header must read: Bearer "
                          "YOUR_KEY.",
                          "bad_scheme");


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_conflict =
    ngx_http_weir_refusal(NGX_HTTP_BAD_REQUEST, "invalid_request_error",
                          "conflicting_credentials",
                          "The request carries more than one API key. "
                          "Send one, in the header Authorization: "
                          "Bearer YOUR_KEY.",
                          "conflicting_keys");


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_invalid =
    ngx_http_weir_refusal(NGX_HTTP_UNAUTHORIZED, "invalid_request_error",
                          "invalid_api_key",
                          "Incorrect API key provided.",
                          "invalid_key");


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_expired =
    ngx_http_weir_refusal(NGX_HTTP_UNAUTHORIZED, "invalid_request_error",
                          "invalid_api_key",
                          "This API key has expired. Ask for a new one.",
                          "expired_key");


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_revoked =
    ngx_http_weir_refusal(NGX_HTTP_UNAUTHORIZED, "invalid_request_error",
                          "api_key_revoked",
                          "This API key has been revoked. Ask for a new "
                          "one.",
                          "revoked_key");


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_key_disabled =
    ngx_http_weir_refusal(NGX_HTTP_FORBIDDEN, "permission_error",
                          "api_key_disabled",
                          "This API key is disabled.",
                          "disabled_key");


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_tenant_disabled =
    ngx_http_weir_refusal(NGX_HTTP_FORBIDDEN, "permission_error",
                          "tenant_disabled",
                          "The account that this API key belongs to is "
                          "disabled.",
                          "disabled_tenant");


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_team_disabled =
    ngx_http_weir_refusal(NGX_HTTP_FORBIDDEN, "permission_error",
                          "team_disabled",
                          "The team that this API key belongs to is "
                          "disabled.",
                          "disabled_team");


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_user_disabled =
    ngx_http_weir_refusal(NGX_HTTP_FORBIDDEN, "permission_error",
                          "user_disabled",
                          "The user that this API key belongs to is "
                          "disabled.",
                          "disabled_user");


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_no_tenant =
    ngx_http_weir_refusal(NGX_HTTP_FORBIDDEN, "permission_error",
                          "unknown_tenant",
                          "You are known, but to no account of this "
                          "gateway. Ask its operator to be added.",
                          "unknown_tenant");


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_no_team =
    ngx_http_weir_refusal(NGX_HTTP_FORBIDDEN, "permission_error",
                          "unknown_team",
                          "You are known, but as a member of a team "
                          "that this gateway does not know. Ask its "
                          "operator.",
                          "unknown_team");


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_disabled =
    ngx_http_weir_refusal(NGX_HTTP_FORBIDDEN, "permission_error",
                          "account_disabled",
                          "Your account, team or user is disabled.",
                          "disabled_tenant");


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_address =
    ngx_http_weir_refusal(NGX_HTTP_FORBIDDEN, "permission_error",
                          "address_not_allowed",
                          "Requests from your network address are not "
                          "allowed.",
                          "address");


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_failed =
    ngx_http_weir_refusal(NGX_HTTP_INTERNAL_SERVER_ERROR, "server_error",
                          "internal_error",
                          "The gateway could not check who you are, so "
                          "the request was not forwarded.",
                          "internal_error");

static const ngx_http_weir_refusal_t  ngx_http_weir_auth_unknown =
    ngx_http_weir_refusal(NGX_HTTP_SERVICE_UNAVAILABLE, "server_error",
                          "identity_unavailable",
                          "The gateway cannot read who may use it at the "
                          "moment. Try again.",
                          "journal_unreadable");


ngx_int_t
ngx_http_weir_auth_admit(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    void *data)
{
    ngx_http_weir_auth_main_conf_t *wamcf = data;

    ngx_str_t                       presented;
    const weir_identity_t          *identity;
    ngx_http_weir_auth_ctx_t       *actx;
    const ngx_http_weir_refusal_t  *why;

    ngx_http_weir_auth_follow(wamcf);

    if (!wamcf->known) {
        ctx->refusal = &ngx_http_weir_auth_unknown;
        return NGX_ABORT;
    }

    actx = ngx_http_weir_auth_ctx(r, ctx, wamcf);
    if (actx == NULL) {
        return NGX_ERROR;
    }

    why = ngx_http_weir_auth_find_key(r, &presented);

    if (why) {

        if (why == &ngx_http_weir_auth_missing) {
            return ngx_http_weir_auth_keyless(actx, why);
        }

        ctx->refusal = why;
        return NGX_ABORT;
    }

    identity = weir_registry_identity(actx->registry);

    if (identity
        && identity->n_issuers
        && weir_jwt_has_form(weir_str((char *) presented.data,
                                      presented.len)))
    {
        actx->token = presented;
        return ngx_http_weir_auth_token(actx, 0);
    }

    return ngx_http_weir_auth_key(actx, &presented);
}


static ngx_http_weir_auth_ctx_t *
ngx_http_weir_auth_ctx(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    ngx_http_weir_auth_main_conf_t *wamcf)
{
    void                      **slot;
    ngx_pool_cleanup_t         *cln, **last;
    ngx_http_weir_auth_ctx_t   *actx;

    slot = wamcf->weir->slot(ctx, &wamcf->plugin);

    actx = *slot;

    if (actx) {
        return actx;
    }

    actx = ngx_pcalloc(r->pool, sizeof(ngx_http_weir_auth_ctx_t));
    if (actx == NULL) {
        return NULL;
    }

    cln = ngx_palloc(r->pool, sizeof(ngx_pool_cleanup_t));
    if (cln == NULL) {
        return NULL;
    }

    actx->request = r;
    actx->ctx = ctx;
    actx->wamcf = wamcf;
    actx->registry = weir_registry_ref(wamcf->state.current);

    /*
     * The last one to run: until the core has settled the request, which it
     * may do in its own cleanup, all that ctx points to must live.
     */

    cln->handler = ngx_http_weir_auth_cleanup;
    cln->data = actx;
    cln->next = NULL;

    for (last = &r->pool->cleanup; *last; last = &(*last)->next) {
        /* void */
    }

    *last = cln;

    *slot = actx;

    return actx;
}


static void
ngx_http_weir_auth_cleanup(void *data)
{
    ngx_http_weir_auth_ctx_t *actx = data;

    if (actx->waiting) {
        ngx_queue_remove(&actx->queue);
        actx->waiting = 0;
    }

    weir_registry_unref(actx->registry);
    actx->registry = NULL;
}


/* a hold of the core's has ended without us */

void
ngx_http_weir_auth_cancel(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    void *data)
{
    ngx_http_weir_auth_main_conf_t *wamcf = data;

    ngx_http_weir_auth_ctx_t  *actx;

    actx = *wamcf->weir->slot(ctx, &wamcf->plugin);

    if (actx && actx->waiting) {
        ngx_queue_remove(&actx->queue);
        actx->waiting = 0;
    }
}


/*
 * All headers are looked at: what NGINX keeps of a repeated header depends on
 * its version, and an upstream may keep another one.  Some clients send one
 * key in two headers; that is no conflict.
 */

static const ngx_http_weir_refusal_t *
ngx_http_weir_auth_find_key(ngx_http_request_t *r, ngx_str_t *key)
{
    ngx_str_t         sent[NGX_HTTP_WEIR_CREDENTIALS];
    ngx_uint_t        i, n;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    ngx_memzero(sent, sizeof(sent));

    part = &r->headers_in.headers.part;
    header = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            header = part->elts;
            i = 0;
        }

        switch (header[i].key.len) {

        case sizeof("authorization") - 1:
        case sizeof("x-api-key") - 1:
        case sizeof("api-key") - 1:
            break;

        default: /* as most are */
            continue;
        }

        for (n = 0; n < NGX_HTTP_WEIR_CREDENTIALS; n++) {

            if (header[i].key.len != ngx_http_weir_credentials[n].len
                || ngx_memcmp(header[i].lowcase_key,
                              ngx_http_weir_credentials[n].data,
                              header[i].key.len)
                   != 0)
            {
                continue;
            }

            if (sent[n].data) {
                return &ngx_http_weir_auth_conflict;
            }

            sent[n] = header[i].value;

            if (n == NGX_HTTP_WEIR_AUTHORIZATION
                && ngx_http_weir_auth_bearer(&header[i].value, &sent[n])
                   != NGX_OK)
            {
                return &ngx_http_weir_auth_scheme;
            }

            break;
        }
    }

    ngx_str_null(key);

    for (n = 0; n < NGX_HTTP_WEIR_CREDENTIALS; n++) {

        if (sent[n].data == NULL) {
            continue;
        }

        if (key->data == NULL) {
            *key = sent[n];
            continue;
        }

        if (key->len != sent[n].len
            || ngx_memcmp(key->data, sent[n].data, key->len) != 0)
        {
            return &ngx_http_weir_auth_conflict;
        }
    }

    return (key->len == 0) ? &ngx_http_weir_auth_missing : NULL;
}


/* RFC 9110, section 11.4: the scheme's case does not matter, blanks may be */

static ngx_int_t
ngx_http_weir_auth_bearer(ngx_str_t *value, ngx_str_t *key)
{
    u_char  *p, *last;

    if (value->len < sizeof("Bearer ") - 1) {
        return NGX_DECLINED;
    }

    if (ngx_memcmp(value->data, "Bearer ", sizeof("Bearer ") - 1) != 0
        && ngx_strncasecmp(value->data, (u_char *) "Bearer ",
                           sizeof("Bearer ") - 1)
           != 0)
    {
        return NGX_DECLINED;
    }

    p = value->data + sizeof("Bearer ") - 1;
    last = value->data + value->len;

    while (p < last && *p == ' ') {
        p++;
    }

    if (p == last) {
        return NGX_DECLINED;
    }

    key->data = p;
    key->len = last - p;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_auth_key(ngx_http_weir_auth_ctx_t *actx, ngx_str_t *presented)
{
    weir_auth_verdict_t     verdict;
    ngx_http_weir_ctx_t    *ctx;
    const weir_api_key_t   *key;

    ctx = actx->ctx;

    verdict = weir_registry_authenticate(actx->registry, actx->wamcf->hasher,
                                         weir_str((char *) presented->data,
                                                  presented->len),
                                         ngx_time(), &key);

    if (key) {
        ctx->key_id.data = (u_char *) key->id;
        ctx->key_id.len = ngx_strlen(key->id);

        ngx_http_weir_auth_place(ctx, key->tenant, key->team, key->policy);

        if (key->user) {
            ctx->user.data = (u_char *) key->user->id.data;
            ctx->user.len = key->user->id.len;
        }
    }

    switch (verdict) {

    case WEIR_AUTH_OK:
        return ngx_http_weir_auth_allowed(actx);

    case WEIR_AUTH_INVALID:
        ctx->refusal = &ngx_http_weir_auth_invalid;
        break;

    case WEIR_AUTH_EXPIRED:
        ctx->refusal = &ngx_http_weir_auth_expired;
        break;

    case WEIR_AUTH_KEY_REVOKED:
        ctx->refusal = &ngx_http_weir_auth_revoked;
        break;

    case WEIR_AUTH_KEY_DISABLED:
        ctx->refusal = &ngx_http_weir_auth_key_disabled;
        break;

    case WEIR_AUTH_TENANT_DISABLED:
        ctx->refusal = &ngx_http_weir_auth_tenant_disabled;
        break;

    case WEIR_AUTH_TEAM_DISABLED:
        ctx->refusal = &ngx_http_weir_auth_team_disabled;
        break;

    case WEIR_AUTH_USER_DISABLED:
        ctx->refusal = &ngx_http_weir_auth_user_disabled;
        break;

    default: /* WEIR_AUTH_ERROR */
        ctx->refusal = &ngx_http_weir_auth_failed;
    }

    return NGX_ABORT;
}


/* no credential in any header: a certificate, or the anonymous tenant */

static ngx_int_t
ngx_http_weir_auth_keyless(ngx_http_weir_auth_ctx_t *actx,
    const ngx_http_weir_refusal_t *missing)
{
    ngx_int_t                 rc;
    weir_principal_t          who;
    weir_certificate_t        certificate;
    const weir_identity_t    *identity;
    weir_principal_verdict_t  verdict;

    identity = weir_registry_identity(actx->registry);

    if (identity == NULL) {
        actx->ctx->refusal = missing;
        return NGX_ABORT;
    }

    /* a certificate that no entry names is as good as none */

    rc = identity->n_certificates
             ? ngx_http_weir_auth_certificate(actx, &certificate)
             : NGX_DECLINED;

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK) {
        verdict = weir_registry_from_certificate(actx->registry, &certificate,
                                                 &who);

        if (verdict != WEIR_PRINCIPAL_NO_TENANT
            || !identity->has_anonymous)
        {
            return ngx_http_weir_auth_principal(actx, &who, verdict);
        }
    }

    if (!identity->has_anonymous) {
        actx->ctx->refusal = missing;
        return NGX_ABORT;
    }

    verdict = weir_registry_anonymous(actx->registry, &who);

    return ngx_http_weir_auth_principal(actx, &who, verdict);
}


/*
 * When NGINX has verified it: its subject as NGINX writes it, and its
 * alternative names, for which NGINX has no variable.
 */

static ngx_int_t
ngx_http_weir_auth_certificate(ngx_http_weir_auth_ctx_t *actx,
    weir_certificate_t *certificate)
{
#if (NGX_HTTP_SSL)

    X509                       *cert;
    weir_status_t               rc;
    ngx_http_request_t         *r;
    ngx_http_variable_value_t  *verified, *name;

    r = actx->request;

    if (r->connection->ssl == NULL) {
        return NGX_DECLINED;
    }

    verified = ngx_http_get_indexed_variable(r, actx->wamcf->client_verify);
    name = ngx_http_get_indexed_variable(r, actx->wamcf->client_subject);

    if (verified == NULL || verified->not_found
        || verified->len != sizeof("SUCCESS") - 1
        || ngx_memcmp(verified->data, "SUCCESS", sizeof("SUCCESS") - 1) != 0
        || name == NULL)
    {
        return NGX_DECLINED;
    }

    cert = SSL_get_peer_certificate(r->connection->ssl->connection);
    if (cert == NULL) {
        return NGX_DECLINED;
    }

    ngx_memzero(certificate, sizeof(weir_certificate_t));

    /* a workload's certificate may have names only */

    if (!name->not_found) {
        certificate->subject = weir_str((char *) name->data, name->len);
    }

    rc = weir_certificate_names(cert, actx->wamcf->weir->arena(actx->ctx),
                                certificate);

    X509_free(cert);

    return (rc == WEIR_OK) ? NGX_OK : NGX_ERROR;

#else

    return NGX_DECLINED;

#endif
}


/* what a token, a certificate or nobody at all came to */

ngx_int_t
ngx_http_weir_auth_principal(ngx_http_weir_auth_ctx_t *actx,
    const weir_principal_t *who, weir_principal_verdict_t verdict)
{
    u_char               *p;
    size_t                i, len;
    ngx_str_t            *role;
    ngx_http_weir_ctx_t  *ctx;

    ctx = actx->ctx;

    switch (verdict) {

    case WEIR_PRINCIPAL_OK:
        break;

    case WEIR_PRINCIPAL_NO_TENANT:
        ctx->refusal = &ngx_http_weir_auth_no_tenant;
        return NGX_ABORT;

    case WEIR_PRINCIPAL_NO_TEAM:
        ctx->refusal = &ngx_http_weir_auth_no_team;
        return NGX_ABORT;

    default: /* WEIR_PRINCIPAL_DISABLED */
        ctx->refusal = &ngx_http_weir_auth_disabled;
        return NGX_ABORT;
    }

    ngx_http_weir_auth_place(ctx, who->tenant, who->team, who->policy);

    /* the rest may lie in what is freed soon */

    len = who->user_id.len;

    for (i = 0; i < who->n_roles; i++) {
        len += who->roles[i].len;
    }

    role = ngx_palloc(actx->request->pool,
                      who->n_roles * sizeof(ngx_str_t) + len + 1);
    if (role == NULL) {
        return NGX_ERROR;
    }

    p = (u_char *) &role[who->n_roles];

    ctx->user.data = p;
    ctx->user.len = who->user_id.len;

    if (who->user_id.len) {
        p = ngx_cpymem(p, who->user_id.data, who->user_id.len);
    }

    ctx->roles = role;
    ctx->nroles = who->n_roles;

    for (i = 0; i < who->n_roles; i++) {
        role[i].data = p;
        role[i].len = who->roles[i].len;

        p = ngx_cpymem(p, who->roles[i].data, who->roles[i].len);
    }

    return ngx_http_weir_auth_allowed(actx);
}


static void
ngx_http_weir_auth_place(ngx_http_weir_ctx_t *ctx,
    const weir_tenant_t *tenant, const weir_team_t *team,
    const weir_policy_t *policy)
{
    ctx->tenant.data = (u_char *) tenant->id.data;
    ctx->tenant.len = tenant->id.len;

    if (team) {
        ctx->team.data = (u_char *) team->id.data;
        ctx->team.len = team->id.len;
    }

    ctx->policy = policy;
}


/*
 * From where may he ask?  The rest of his policy is the core's business, when
 * the call and its body are known.
 */

static ngx_int_t
ngx_http_weir_auth_allowed(ngx_http_weir_auth_ctx_t *actx)
{
    size_t                len;
    const uint8_t        *address;
    struct sockaddr      *sa;
    const weir_policy_t  *policy;

    policy = actx->ctx->policy;

    if (policy == NULL || !policy->limits_addresses) {
        return NGX_OK;
    }

    sa = actx->request->connection->sockaddr;
    address = NULL;
    len = 0;

    switch (sa->sa_family) {

    case AF_INET:
        address = (uint8_t *) &((struct sockaddr_in *) sa)->sin_addr;
        len = 4;
        break;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        address = (uint8_t *) &((struct sockaddr_in6 *) sa)->sin6_addr;
        len = 16;
        break;
#endif
    }

    if (!weir_policy_address_allowed(policy, address, len)) {
        actx->ctx->refusal = &ngx_http_weir_auth_address;
        return NGX_ABORT;
    }

    return NGX_OK;
}


/* after a change: what a revoked key runs ends */

void
ngx_http_weir_auth_cut(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    void *data)
{
    ngx_http_weir_auth_main_conf_t *wamcf = data;

    const weir_api_key_t  *key;

    if (!ctx->admitted || ctx->key_id.len == 0) {
        return;
    }

    key = weir_registry_find_key(wamcf->state.current,
                                 weir_str((char *) ctx->key_id.data,
                                          ctx->key_id.len));

    if (key && key->revoked) {
        wamcf->weir->stop(ctx, WEIR_STOP_ERROR, &ngx_http_weir_auth_revoked);
    }
}

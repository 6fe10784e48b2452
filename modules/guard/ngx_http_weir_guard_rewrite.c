
/*
 * Weir's guard: what takes the place of findings in a request.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_guard.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>


static ngx_int_t ngx_http_weir_guard_make_body(
    ngx_http_weir_guard_ctx_t *gctx);
static ngx_int_t ngx_http_weir_guard_open_names(
    ngx_http_weir_guard_ctx_t *gctx);


/* a part of the edits */

ngx_int_t
ngx_http_weir_guard_rewrite(ngx_http_weir_guard_ctx_t *gctx)
{
    weir_edit_t                      *edit;
    weir_error_t                      err;
    weir_status_t                     rc;
    ngx_http_weir_guard_main_conf_t  *wgmcf;

    wgmcf = gctx->wgmcf;

    if (weir_request_guard_needs_names(gctx->scan)) {

        if (gctx->names == NULL
            && ngx_http_weir_guard_open_names(gctx) != NGX_OK)
        {
            return NGX_ERROR;
        }

        rc = weir_request_guard_names(gctx->scan, gctx->names,
                                      4 * NGX_HTTP_WEIR_GUARD_STEP);

        if (rc == WEIR_ERR_BUSY) {
            return NGX_AGAIN;
        }

        if (rc != WEIR_OK) {
            return NGX_ERROR;
        }
    }

    edit = gctx->own_body ? &gctx->edits : wgmcf->weir->edit(gctx->ctx);

    err.message[0] = '\0';

    rc = (edit == NULL) ? WEIR_ERR_STATE
         : weir_request_guard_edit(gctx->scan, gctx->names, edit,
                                   4 * NGX_HTTP_WEIR_GUARD_STEP, &err);

    if (rc == WEIR_ERR_BUSY) {
        return NGX_AGAIN;
    }

    if (rc != WEIR_OK) {
        ngx_log_error(NGX_LOG_ERR, gctx->request->connection->log, 0,
                      "guard: request \"%V\" could not be edited: %s",
                      &gctx->ctx->request_id, err.message);
        return NGX_ERROR;
    }

    return gctx->own_body ? ngx_http_weir_guard_make_body(gctx) : NGX_OK;
}


/* of a call that the core does not understand */

static ngx_int_t
ngx_http_weir_guard_make_body(ngx_http_weir_guard_ctx_t *gctx)
{
    size_t   len;
    u_char  *p;

    len = weir_edit_length(&gctx->edits, gctx->ctx->body.len);

    p = weir_arena_alloc(gctx->arena, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    weir_edit_apply(&gctx->edits, (char *) gctx->ctx->body.data,
                    gctx->ctx->body.len, (char *) p);

    gctx->made.data = p;
    gctx->made.len = len;

    return NGX_OK;
}


/* the key of a tenant's names is the policy's key, mixed with the tenant */

static ngx_int_t
ngx_http_weir_guard_open_names(ngx_http_weir_guard_ctx_t *gctx)
{
    u_char                     *key, digest[EVP_MAX_MD_SIZE];
    unsigned                    len;
    const weir_guard_policy_t  *policy;

    policy = gctx->policy;
    key = NULL;

    if (policy->names == WEIR_GUARD_NAMES_KEYED) {

        key = HMAC(EVP_sha256(), policy->key, sizeof(policy->key),
                   gctx->ctx->tenant.data, gctx->ctx->tenant.len, digest,
                   &len);

        if (key == NULL || len < WEIR_PLACEHOLDER_KEY_LEN) {
            return NGX_ERROR;
        }
    }

    if (weir_placeholders_open(gctx->arena, key, &gctx->names) != WEIR_OK) {
        return NGX_ERROR;
    }

    return NGX_OK;
}

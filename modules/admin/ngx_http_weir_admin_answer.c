
/*
 * Weir: the admin's answers, and the log of what he did.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_admin.h"

#include "policies/timestamp.h"


static ngx_int_t ngx_http_weir_admin_allow(ngx_http_request_t *r,
    ngx_uint_t methods);
static ngx_uint_t ngx_http_weir_admin_status(weir_status_t status);


/* nothing here shows a salt or a hash */

void
ngx_http_weir_admin_append_key(weir_buf_t *out, const weir_api_key_t *key,
    time_t now)
{
    const char  *state;

    switch (weir_key_verdict(key, now)) {

    case WEIR_AUTH_OK:
        state = "active";
        break;

    case WEIR_AUTH_EXPIRED:
        state = "expired";
        break;

    case WEIR_AUTH_KEY_DISABLED:
        state = "disabled";
        break;

    case WEIR_AUTH_KEY_REVOKED:
        state = "revoked";
        break;

    case WEIR_AUTH_TENANT_DISABLED:
        state = "tenant_disabled";
        break;

    case WEIR_AUTH_TEAM_DISABLED:
        state = "team_disabled";
        break;

    case WEIR_AUTH_USER_DISABLED:
        state = "user_disabled";
        break;

    default: /* WEIR_AUTH_INVALID, WEIR_AUTH_ERROR */
        state = "unknown";
    }

    weir_buf_append_char(out, '{');
    ngx_http_weir_admin_append_member(out, "id",
                                      weir_str(key->id, strlen(key->id)));
    weir_buf_append_char(out, ',');
    ngx_http_weir_admin_append_member(out, "tenant", key->tenant->id);
    weir_buf_append_char(out, ',');
    ngx_http_weir_admin_append_member(out, "team",
                                      key->team ? key->team->id
                                                : weir_str(NULL, 0));
    weir_buf_append_char(out, ',');
    ngx_http_weir_admin_append_member(out, "user",
                                      key->user ? key->user->id
                                                : weir_str(NULL, 0));
    weir_buf_append_char(out, ',');
    ngx_http_weir_admin_append_member(out, "label",
                                      key->label.len ? key->label
                                                     : weir_str(NULL, 0));
    weir_buf_append_char(out, ',');
    ngx_http_weir_admin_append_member(out, "state",
                                      weir_str(state, strlen(state)));
    weir_buf_append_z(out, key->enabled ? ",\"enabled\":true"
                                        : ",\"enabled\":false");
    weir_buf_append_z(out, key->revoked ? ",\"revoked\":true,"
                                        : ",\"revoked\":false,");
    ngx_http_weir_admin_append_time(out, "created", key->created);
    weir_buf_append_char(out, ',');
    ngx_http_weir_admin_append_time(out, "expires", key->expires);
    weir_buf_append_char(out, ',');

    /* the secret before the last rotation, while it still opens */

    if (key->has_previous
        && (key->previous_expires == 0 || key->previous_expires > now))
    {
        weir_buf_append_z(out, "\"previous_secret\":true,");

    } else {
        weir_buf_append_z(out, "\"previous_secret\":false,");
    }

    ngx_http_weir_admin_append_time(out, "previous_expires",
                              key->has_previous ? key->previous_expires : 0);
    weir_buf_append_z(out, key->at_runtime ? ",\"at_runtime\":true}"
                                           : ",\"at_runtime\":false}");
}


/* value.data NULL: null */

void
ngx_http_weir_admin_append_member(weir_buf_t *out, const char *name,
    weir_str_t value)
{
    weir_buf_append_char(out, '"');
    weir_buf_append_z(out, name);
    weir_buf_append_z(out, "\":");

    if (value.data) {
        weir_json_write_string(out, value);

    } else {
        weir_buf_append_z(out, "null");
    }
}


/* 0: null */

void
ngx_http_weir_admin_append_time(weir_buf_t *out, const char *name,
    int64_t seconds)
{
    char        text[WEIR_TIMESTAMP_MAX];
    weir_str_t  value;

    value = weir_str(NULL, 0);

    if (seconds > 0 && weir_timestamp_format(seconds * 1000, text)) {
        value = weir_str(text, strlen(text));
    }

    ngx_http_weir_admin_append_member(out, name, value);
}


static ngx_int_t
ngx_http_weir_admin_allow(ngx_http_request_t *r, ngx_uint_t methods)
{
    u_char           *p;
    ngx_uint_t        i;
    ngx_table_elt_t  *h;

    static const struct {
        ngx_uint_t    method;
        ngx_str_t     name;
    } names[] = {
        { NGX_HTTP_GET, ngx_string("GET") },
        { NGX_HTTP_POST, ngx_string("POST") },
        { NGX_HTTP_DELETE, ngx_string("DELETE") }
    };

    h = ngx_list_push(&r->headers_out.headers);
    p = ngx_pnalloc(r->pool, sizeof("GET, POST, DELETE") - 1);

    if (h == NULL || p == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif
    ngx_str_set(&h->key, "Allow");
    h->value.data = p;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {

        if (!(methods & names[i].method)) {
            continue;
        }

        if (p != h->value.data) {
            p = ngx_cpymem(p, ", ", 2);
        }

        p = ngx_cpymem(p, names[i].name.data, names[i].name.len);
    }

    h->value.len = p - h->value.data;

    return NGX_OK;
}


/* what a content handler returns: the answer is actx->answer */

ngx_int_t
ngx_http_weir_admin_answer(ngx_http_weir_admin_ctx_t *actx, ngx_uint_t status)
{
    ngx_int_t            rc;
    ngx_buf_t           *b;
    ngx_chain_t          out;
    ngx_table_elt_t     *h;
    ngx_http_request_t  *r;

    r = actx->request;

    weir_buf_append_char(&actx->answer, '\n');

    if (actx->answer.failed) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    h->hash = 1;
    ngx_str_set(&h->key, "Cache-Control");
    ngx_str_set(&h->value, "no-store");

    if (status == NGX_HTTP_NOT_ALLOWED
        && ngx_http_weir_admin_allow(r, actx->methods) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (status == NGX_HTTP_UNAUTHORIZED) {
        h = ngx_list_push(&r->headers_out.headers);
        if (h == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        h->hash = 1;
        ngx_str_set(&h->key, "WWW-Authenticate");
        ngx_str_set(&h->value, "Bearer realm=\"weir-admin\"");
#if (nginx_version >= 1023000)
        h->next = NULL;
#endif
        r->headers_out.www_authenticate = h;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->pos = (u_char *) actx->answer.data;
    b->last = b->pos + actx->answer.len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    r->headers_out.status = status;
    r->headers_out.content_length_n = actx->answer.len;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_weir_admin_error(ngx_http_weir_admin_ctx_t *actx, ngx_uint_t status,
    const char *code, const char *message, const char *field)
{
    weir_buf_t  *out;

    out = &actx->answer;
    out->len = 0;

    weir_buf_append_z(out, "{\"error\":{");
    ngx_http_weir_admin_append_member(out, "code",
                                      weir_str(code, strlen(code)));
    weir_buf_append_char(out, ',');
    ngx_http_weir_admin_append_member(out, "message",
                                      weir_str(message, strlen(message)));
    weir_buf_append_char(out, ',');

    if (field && field[0]) {
        ngx_http_weir_admin_append_member(out, "field",
                                          weir_str(field, strlen(field)));

    } else {
        ngx_http_weir_admin_append_member(out, "field", weir_str(NULL, 0));
    }

    weir_buf_append_z(out, "}}");

    /* the rest of a body that is not read would be the next request */

    if (status == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE) {
        actx->request->keepalive = 0;
    }

    return ngx_http_weir_admin_answer(actx, status);
}


ngx_int_t
ngx_http_weir_admin_failed(ngx_http_weir_admin_ctx_t *actx, weir_error_t *err)
{
    ngx_uint_t   status;
    const char  *code;

    status = ngx_http_weir_admin_status(err->status);
    code = err->code[0] ? err->code : weir_status_name(err->status);

    if (actx->verb->change) {
        ngx_http_weir_admin_log(actx, status, code);
    }

    return ngx_http_weir_admin_error(actx, status, code, err->message,
                                     err->field);
}


static ngx_uint_t
ngx_http_weir_admin_status(weir_status_t status)
{
    switch (status) {

    case WEIR_ERR_NOT_FOUND:
        return NGX_HTTP_NOT_FOUND;

    case WEIR_ERR_INVALID:
    case WEIR_ERR_LIMIT:
    case WEIR_ERR_UNSUPPORTED:
        return NGX_HTTP_BAD_REQUEST;

    case WEIR_ERR_STATE:
        return NGX_HTTP_CONFLICT;

    case WEIR_ERR_BUSY:
        return NGX_HTTP_SERVICE_UNAVAILABLE;

    default:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
}


/*
 * Every change, and everything that was denied: who, what, to what, from
 * where, with what result.  A line goes to the error log and, as JSON, to
 * "weir_admin_log".
 */

void
ngx_http_weir_admin_log(ngx_http_weir_admin_ctx_t *actx, ngx_uint_t status,
    const char *result)
{
    char                 now[WEIR_TIMESTAMP_MAX];
    ssize_t              n;
    ngx_str_t            none = ngx_string("-");
    ngx_str_t            who, what, id;
    ngx_time_t          *tp;
    weir_buf_t           line;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = actx->request;
    c = r->connection;

    who = none;
    what = none;
    id = none;

    if (actx->admin) {
        who.data = (u_char *) actx->admin->name.data;
        who.len = actx->admin->name.len;
    }

    if (actx->verb) {
        what = actx->verb->name;
    }

    if (actx->change.key_id[0]) {
        id.data = (u_char *) actx->change.key_id;
        id.len = ngx_strlen(actx->change.key_id);

    } else if (actx->id.len) {
        id = actx->id;
    }

    ngx_log_error(NGX_LOG_NOTICE, c->log, 0,
                  "weir admin: \"%V\" asked for \"%V\" of \"%V\": %ui %s",
                  &who, &what, &id, status, result);

    if (actx->wamcf->log == NULL) {
        return;
    }

    tp = ngx_timeofday();

    (void) weir_timestamp_format((int64_t) tp->sec * 1000 + tp->msec, now);

    weir_buf_init(&line, &actx->arena);

    weir_buf_append_char(&line, '{');
    ngx_http_weir_admin_append_member(&line, "ts",
                                      weir_str(now, strlen(now)));
    weir_buf_append_char(&line, ',');
    ngx_http_weir_admin_append_member(&line, "admin",
                        weir_str(actx->admin ? (char *) who.data : NULL,
                                 actx->admin ? who.len : 0));
    weir_buf_append_char(&line, ',');
    ngx_http_weir_admin_append_member(&line, "verb",
                        weir_str(actx->verb ? (char *) what.data : NULL,
                                 actx->verb ? what.len : 0));
    weir_buf_append_char(&line, ',');
    ngx_http_weir_admin_append_member(&line, "target",
                        weir_str(id.data == none.data ? NULL
                                                      : (char *) id.data,
                                 id.len));
    weir_buf_append_char(&line, ',');
    ngx_http_weir_admin_append_member(&line, "address",
                        weir_str((char *) c->addr_text.data,
                                 c->addr_text.len));
    weir_buf_printf(&line, ",\"status\":%u,\"seq\":%llu,",
                    (unsigned) status, (unsigned long long) actx->seq);
    ngx_http_weir_admin_append_member(&line, "result",
                                      weir_str(result, strlen(result)));
    weir_buf_append_z(&line, "}\n");

    if (line.failed) {
        return;
    }

    n = ngx_write_fd(actx->wamcf->log->fd, line.data, line.len);

    if (n != (ssize_t) line.len) {
        ngx_log_error(NGX_LOG_CRIT, c->log, (n == -1) ? ngx_errno : 0,
                      ngx_write_fd_n " to admin log \"%V\" failed",
                      &actx->wamcf->log->name);
    }
}

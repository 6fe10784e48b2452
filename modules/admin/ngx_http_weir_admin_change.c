
/*
 * Weir: changes at run time.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_admin.h"

#include "policies/timestamp.h"


/* another change may be under way: two seconds in all */

#define NGX_HTTP_WEIR_ADMIN_PAUSE   20
#define NGX_HTTP_WEIR_ADMIN_TRIES   100

/* how long the secret before a rotation opens, unless the admin says so */

#define NGX_HTTP_WEIR_ADMIN_GRACE   86400
#define NGX_HTTP_WEIR_ADMIN_MAX     (366 * 86400)


static ngx_int_t ngx_http_weir_admin_known_members(
    ngx_http_weir_admin_ctx_t *actx, const char *const *known);
static ngx_int_t ngx_http_weir_admin_text(ngx_http_weir_admin_ctx_t *actx,
    const char *name, size_t max, weir_str_t *out);
static ngx_int_t ngx_http_weir_admin_wrong(ngx_http_weir_admin_ctx_t *actx,
    const char *field, const char *message);
static ngx_int_t ngx_http_weir_admin_change(ngx_http_weir_admin_ctx_t *actx);
static weir_status_t ngx_http_weir_admin_new_secret(
    ngx_http_weir_admin_ctx_t *actx, const weir_api_key_t *key);
static void ngx_http_weir_admin_again(ngx_event_t *ev);
static ngx_int_t ngx_http_weir_admin_append(ngx_http_weir_admin_ctx_t *actx);
static ngx_int_t ngx_http_weir_admin_done(ngx_http_weir_admin_ctx_t *actx);
#if (NGX_THREADS)
static void ngx_http_weir_admin_in_thread(void *data, ngx_log_t *log);
static void ngx_http_weir_admin_thread_done(ngx_event_t *ev);
#endif


static ngx_int_t
ngx_http_weir_admin_known_members(ngx_http_weir_admin_ctx_t *actx,
    const char *const *known)
{
    uint32_t    i, node;
    ngx_uint_t  n;

    node = 1;

    for (i = 0; i < actx->body.nodes[0].size; i++) {

        for (n = 0; known[n]; n++) {
            if (weir_json_string_is(&actx->body, node, known[n])) {
                break;
            }
        }

        if (known[n] == NULL) {
            return NGX_ERROR;
        }

        node = actx->body.nodes[node + 1].next;
    }

    return NGX_OK;
}


/* absent or null: empty */

static ngx_int_t
ngx_http_weir_admin_text(ngx_http_weir_admin_ctx_t *actx, const char *name,
    size_t max, weir_str_t *out)
{
    size_t    i;
    uint32_t  node;

    *out = weir_str("", 0);

    node = weir_json_get(&actx->body, 0, name);

    if (node == WEIR_JSON_NONE
        || weir_json_type(&actx->body, node) == WEIR_JSON_NULL)
    {
        return NGX_OK;
    }

    if (weir_json_string(&actx->body, node, &actx->arena, out) != WEIR_OK
        || out->len > max)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < out->len; i++) {
        if ((u_char) out->data[i] < 0x20 || (u_char) out->data[i] == 0x7f) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_admin_wrong(ngx_http_weir_admin_ctx_t *actx, const char *field,
    const char *message)
{
    weir_error_t  err;

    (void) weir_error_at(&err, WEIR_ERR_INVALID, field, "invalid_member",
                         "%s", message);

    return ngx_http_weir_admin_failed(actx, &err);
}


ngx_int_t
ngx_http_weir_admin_create(ngx_http_weir_admin_ctx_t *actx)
{
    static const char *const  known[] = { "tenant", "team", "user", "label",
                                          "expires", "policy", NULL };

    int64_t         ms;
    uint32_t        node;
    weir_str_t      expires;
    weir_change_t  *change;

    change = &actx->change;
    change->op = WEIR_CHANGE_KEY_CREATED;

    if (ngx_http_weir_admin_known_members(actx, known) != NGX_OK) {
        return ngx_http_weir_admin_wrong(actx, NULL,
                                         "Known members are tenant, team, "
                                         "user, label, expires and policy.");
    }

    if (ngx_http_weir_admin_text(actx, "tenant", 64, &change->tenant)
        != NGX_OK
        || change->tenant.len == 0)
    {
        return ngx_http_weir_admin_wrong(actx, "tenant",
                                         "\"tenant\" must be the id of a "
                                         "tenant.");
    }

    if (ngx_http_weir_admin_text(actx, "team", 64, &change->team) != NGX_OK) {
        return ngx_http_weir_admin_wrong(actx, "team",
                                         "\"team\" must be the id of a "
                                         "team.");
    }

    if (ngx_http_weir_admin_text(actx, "user", 128, &change->user) != NGX_OK)
    {
        return ngx_http_weir_admin_wrong(actx, "user",
                                         "\"user\" must be the id of a "
                                         "user.");
    }

    if (ngx_http_weir_admin_text(actx, "label", NGX_HTTP_WEIR_ADMIN_LABEL,
                                 &change->label)
        != NGX_OK)
    {
        return ngx_http_weir_admin_wrong(actx, "label",
                                         "\"label\" must be a text of at "
                                         "most 256 bytes.");
    }

    if (ngx_http_weir_admin_text(actx, "expires", 64, &expires) != NGX_OK
        || (expires.len && !weir_timestamp_parse(expires, &ms)))
    {
        return ngx_http_weir_admin_wrong(actx, "expires",
                                         "\"expires\" must be a time such as "
                                         "2030-01-31T12:00:00Z, or null.");
    }

    if (expires.len) {
        change->expires = ms / 1000;

        if (change->expires <= ngx_time()) {
            return ngx_http_weir_admin_wrong(actx, "expires",
                                             "\"expires\" must be in the "
                                             "future.");
        }
    }

    node = weir_json_get(&actx->body, 0, "policy");

    if (node != WEIR_JSON_NONE) {

        if (weir_json_type(&actx->body, node) != WEIR_JSON_OBJECT) {
            return ngx_http_weir_admin_wrong(actx, "policy",
                                             "\"policy\" must be an object.");
        }

        change->policy = weir_json_raw(&actx->body, node);
    }

    return ngx_http_weir_admin_change(actx);
}


ngx_int_t
ngx_http_weir_admin_rotate(ngx_http_weir_admin_ctx_t *actx)
{
    static const char *const  known[] = { "grace", NULL };

    int64_t   grace;
    uint32_t  node;

    actx->change.op = WEIR_CHANGE_KEY_ROTATED;

    if (ngx_http_weir_admin_known_members(actx, known) != NGX_OK) {
        return ngx_http_weir_admin_wrong(actx, NULL,
                                         "The only known member is grace.");
    }

    grace = NGX_HTTP_WEIR_ADMIN_GRACE;
    node = weir_json_get(&actx->body, 0, "grace");

    if (node != WEIR_JSON_NONE
        && (!weir_json_int64(&actx->body, node, &grace)
            || grace < 0
            || grace > NGX_HTTP_WEIR_ADMIN_MAX))
    {
        return ngx_http_weir_admin_wrong(actx, "grace",
                                         "\"grace\" must be the number of "
                                         "seconds for which the old secret "
                                         "still opens, at most 31622400; 0: "
                                         "not at all.");
    }

    if (grace) {
        actx->change.has_previous = 1;
        actx->change.previous_expires = ngx_time() + grace;
    }

    return ngx_http_weir_admin_change(actx);
}


ngx_int_t
ngx_http_weir_admin_switch(ngx_http_weir_admin_ctx_t *actx)
{
    switch (actx->verb->name.data[0]) {

    case 'e':
        actx->change.op = WEIR_CHANGE_KEY_ENABLED;
        break;

    case 'r':
        actx->change.op = WEIR_CHANGE_KEY_REVOKED;
        break;

    default:
        actx->change.op = (actx->request->method == NGX_HTTP_DELETE)
                          ? WEIR_CHANGE_KEY_DELETED
                          : WEIR_CHANGE_KEY_DISABLED;
    }

    return ngx_http_weir_admin_change(actx);
}


/* NGX_DONE: goes on by itself, and holds the request until then */

static ngx_int_t
ngx_http_weir_admin_change(ngx_http_weir_admin_ctx_t *actx)
{
    ngx_time_t                          *tp;
    weir_error_t                         err;
    weir_change_t                       *change;
    weir_status_t                        rc;
    const weir_api_key_t                *key;
    const weir_registry_t               *registry;
    const ngx_http_weir_registry_api_t  *api;

    api = actx->wamcf->registry;
    change = &actx->change;

    registry = api->registry();

    if (registry == NULL) {
        (void) weir_error_at(&err, WEIR_ERR_STATE, NULL, "no_documents",
                             "The gateway has no documents: set "
                             "\"weir_tenants\".");
        return ngx_http_weir_admin_failed(actx, &err);
    }

    tp = ngx_timeofday();

    change->ts_ms = (int64_t) tp->sec * 1000 + tp->msec;
    change->by = actx->admin->name;

    key = NULL;

    if (change->op == WEIR_CHANGE_KEY_CREATED) {
        rc = weir_key_generate(actx->key, change->salt, change->hash, &err);

        if (rc == WEIR_OK) {
            ngx_memcpy(change->key_id, actx->key + 3, WEIR_KEY_ID_LEN);
        }

    } else {
        ngx_memcpy(change->key_id, actx->id.data, WEIR_KEY_ID_LEN);

        key = weir_registry_find_key(registry,
                                     weir_str((char *) actx->id.data,
                                              actx->id.len));
        rc = WEIR_OK;

        if (key == NULL) {
            rc = weir_error_at(&err, WEIR_ERR_NOT_FOUND, NULL, "unknown_key",
                               "No key has this id.");

        } else if (change->op == WEIR_CHANGE_KEY_ROTATED) {
            rc = ngx_http_weir_admin_new_secret(actx, key);
            err = actx->err;
        }
    }

    if (rc == WEIR_OK) {
        rc = api->begin(change, &err);

        /* rotated by somebody else in between: not from this secret */

        if (rc == WEIR_OK && change->op == WEIR_CHANGE_KEY_ROTATED) {
            registry = api->registry();
            key = weir_registry_find_key(registry,
                                         weir_str((char *) actx->id.data,
                                                  actx->id.len));

            if (key == NULL
                || !weir_key_hash_equal(key->hash, change->previous_hash))
            {
                api->end(0);
                rc = weir_error_at(&err, WEIR_ERR_BUSY, NULL, "busy",
                                   "another change is under way: try again");
            }
        }
    }

    if (rc == WEIR_ERR_BUSY
        && ++actx->tries < NGX_HTTP_WEIR_ADMIN_TRIES
        && !ngx_exiting && !ngx_terminate)
    {
        actx->retry.handler = ngx_http_weir_admin_again;
        actx->retry.data = actx;
        actx->retry.log = actx->request->connection->log;

        ngx_add_timer(&actx->retry, NGX_HTTP_WEIR_ADMIN_PAUSE);

        return NGX_DONE;
    }

    if (rc != WEIR_OK) {
        return ngx_http_weir_admin_failed(actx, &err);
    }

    return ngx_http_weir_admin_append(actx);
}


/* the old secret opens until previous_expires, if it shall */

static weir_status_t
ngx_http_weir_admin_new_secret(ngx_http_weir_admin_ctx_t *actx,
    const weir_api_key_t *key)
{
    weir_change_t  *change;

    change = &actx->change;

    ngx_memcpy(change->salt, key->salt, WEIR_KEY_SALT_LEN);
    ngx_memcpy(change->previous_hash, key->hash, WEIR_KEY_HASH_LEN);

    return weir_key_regenerate(key->id, change->salt, actx->key, change->hash,
                               &actx->err);
}


static void
ngx_http_weir_admin_again(ngx_event_t *ev)
{
    ngx_http_weir_admin_ctx_t *actx = ev->data;

    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = actx->request->connection;

    rc = ngx_http_weir_admin_change(actx);

    if (rc != NGX_DONE) {
        ngx_http_finalize_request(actx->request, rc);
    }

    ngx_http_run_posted_requests(c);
}


/*
 * The wait for the disk: in a thread where "weir_admin_threads" names a pool,
 * else in the worker, which does nothing else meanwhile.
 */

static ngx_int_t
ngx_http_weir_admin_append(ngx_http_weir_admin_ctx_t *actx)
{
#if (NGX_THREADS)
    ngx_thread_task_t  *task;

    if (actx->wamcf->threads) {
        task = ngx_thread_task_alloc(actx->request->pool,
                                     sizeof(ngx_http_weir_admin_ctx_t *));

        if (task) {
            *(ngx_http_weir_admin_ctx_t **) task->ctx = actx;

            task->handler = ngx_http_weir_admin_in_thread;
            task->event.handler = ngx_http_weir_admin_thread_done;
            task->event.data = actx;

            if (ngx_thread_task_post(actx->wamcf->threads, task) == NGX_OK) {
                return NGX_DONE;
            }
        }
    }
#endif

    actx->status = actx->wamcf->registry->append(&actx->change, &actx->seq,
                                                 &actx->err);

    return ngx_http_weir_admin_done(actx);
}


#if (NGX_THREADS)

static void
ngx_http_weir_admin_in_thread(void *data, ngx_log_t *log)
{
    ngx_http_weir_admin_ctx_t *actx = *(ngx_http_weir_admin_ctx_t **) data;

    actx->status = actx->wamcf->registry->append(&actx->change, &actx->seq,
                                                 &actx->err);
}


static void
ngx_http_weir_admin_thread_done(ngx_event_t *ev)
{
    ngx_http_weir_admin_ctx_t *actx = ev->data;

    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = actx->request->connection;

    rc = ngx_http_weir_admin_done(actx);

    ngx_http_finalize_request(actx->request, rc);
    ngx_http_run_posted_requests(c);
}

#endif


/* the only place that shows a secret, and the only time */

static ngx_int_t
ngx_http_weir_admin_done(ngx_http_weir_admin_ctx_t *actx)
{
    weir_buf_t            *out;
    const weir_api_key_t  *key;

    actx->wamcf->registry->end(actx->status == WEIR_OK);

    if (actx->status != WEIR_OK) {
        return ngx_http_weir_admin_failed(actx, &actx->err);
    }

    ngx_http_weir_admin_log(actx, NGX_HTTP_OK, "done");

    out = &actx->answer;

    weir_buf_printf(out, "{\"seq\":%llu,\"id\":\"%s\"",
                    (unsigned long long) actx->seq, actx->change.key_id);

    if (actx->key[0]) {
        weir_buf_append_char(out, ',');
        ngx_http_weir_admin_append_member(out, "secret",
                                          weir_str(actx->key,
                                                   strlen(actx->key)));
    }

    key = weir_registry_find_key(actx->wamcf->registry->registry(),
                                 weir_str(actx->change.key_id,
                                          WEIR_KEY_ID_LEN));

    if (key) {
        weir_buf_append_z(out, ",\"key\":");
        ngx_http_weir_admin_append_key(out, key, ngx_time());
    }

    weir_buf_append_char(out, '}');

    ngx_explicit_memzero(actx->key, sizeof(actx->key));

    return ngx_http_weir_admin_answer(actx,
                         (actx->change.op == WEIR_CHANGE_KEY_CREATED)
                         ? NGX_HTTP_CREATED : NGX_HTTP_OK);
}


ngx_int_t
ngx_http_weir_admin_reload(ngx_http_weir_admin_ctx_t *actx)
{
    weir_buf_t             *out;
    weir_error_t            err;
    const weir_registry_t  *registry;

    if (actx->wamcf->registry->registry() == NULL) {
        (void) weir_error_at(&err, WEIR_ERR_STATE, NULL, "no_documents",
                             "The gateway has no documents: set "
                             "\"weir_tenants\".");
        return ngx_http_weir_admin_failed(actx, &err);
    }

    if (actx->wamcf->registry->reload(&err) != WEIR_OK) {
        return ngx_http_weir_admin_failed(actx, &err);
    }

    ngx_http_weir_admin_log(actx, NGX_HTTP_OK, "done");

    registry = actx->wamcf->registry->registry();
    out = &actx->answer;

    weir_buf_append_char(out, '{');
    ngx_http_weir_admin_append_member(out, "hash",
                          weir_str(weir_registry_hash(registry),
                                   strlen(weir_registry_hash(registry))));
    weir_buf_append_char(out, ',');
    ngx_http_weir_admin_append_time(out, "loaded",
                                    weir_registry_loaded_at(registry));
    weir_buf_append_char(out, '}');

    return ngx_http_weir_admin_answer(actx, NGX_HTTP_OK);
}


ngx_int_t
ngx_http_weir_admin_compact(ngx_http_weir_admin_ctx_t *actx)
{
    weir_error_t            err;
    const weir_registry_t  *registry;

    if (actx->wamcf->registry->registry() == NULL) {
        (void) weir_error_at(&err, WEIR_ERR_STATE, NULL, "no_documents",
                             "The gateway has no documents: set "
                             "\"weir_tenants\".");
        return ngx_http_weir_admin_failed(actx, &err);
    }

    if (actx->wamcf->registry->compact(&err) != WEIR_OK) {
        return ngx_http_weir_admin_failed(actx, &err);
    }

    ngx_http_weir_admin_log(actx, NGX_HTTP_OK, "done");

    registry = actx->wamcf->registry->registry();

    weir_buf_printf(&actx->answer, "{\"journal_seq\":%llu}",
                    (unsigned long long) weir_registry_seq(registry));

    return ngx_http_weir_admin_answer(actx, NGX_HTTP_OK);
}

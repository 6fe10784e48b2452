
/*
 * Weir: connections of outgoing calls, and those that are kept for the next
 * call.  A kept connection is idle in NGINX's sense and its timer can be
 * cancelled: it keeps no worker from ending.
 */


#include "ngx_http_weir_client_module.h"


static void ngx_http_weir_client_idle_handler(ngx_event_t *ev);


/*
 * NGX_OK connected, NGX_AGAIN connecting, NGX_DECLINED not reached,
 * NGX_ERROR no memory; with the first two call->connection is set
 */

ngx_int_t
ngx_http_weir_client_open(ngx_http_weir_client_call_t *call, ngx_addr_t *addr)
{
    ngx_int_t                           rc;
    ngx_pool_t                         *pool;
    ngx_connection_t                   *c;
    ngx_peer_connection_t               peer;
    ngx_http_weir_client_connection_t  *kc;

    ngx_memzero(&peer, sizeof(ngx_peer_connection_t));

    peer.sockaddr = addr->sockaddr;
    peer.socklen = addr->socklen;
    peer.name = &call->where;
    peer.get = ngx_event_get_peer;
    peer.log = ngx_cycle->log;
    peer.log_error = NGX_ERROR_ERR;

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    kc = ngx_pcalloc(pool, sizeof(ngx_http_weir_client_connection_t));
    if (kc == NULL) {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    kc->key.len = call->key.len;
    kc->key.data = ngx_pstrdup(pool, &call->key);
    if (kc->key.data == NULL) {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    ngx_memcpy(&kc->sockaddr, addr->sockaddr, addr->socklen);
    kc->socklen = addr->socklen;

    rc = ngx_event_connect_peer(&peer);

    c = peer.connection;

    if (rc == NGX_ERROR || rc == NGX_BUSY || rc == NGX_DECLINED) {
        if (c) {
            ngx_close_connection(c);
        }

        ngx_destroy_pool(pool);
        return NGX_DECLINED;
    }

    c->pool = pool;
    c->data = kc;
    c->requests = 0;

    /* of the idle time: calls have timers of their own */

    c->read->cancelable = 1;
    c->write->cancelable = call->background;

    kc->connection = c;
    kc->wmcf = call->wmcf;
    kc->call = call;
    call->connection = kc;

    return rc;
}


/* NGX_OK with a kept connection, NGX_DECLINED without */

ngx_int_t
ngx_http_weir_client_reuse(ngx_http_weir_client_call_t *call)
{
    ngx_queue_t                        *q;
    ngx_connection_t                   *c;
    ngx_http_weir_client_connection_t  *kc;
    ngx_http_weir_client_main_conf_t   *wmcf;

    wmcf = call->wmcf;

    for (q = ngx_queue_head(&wmcf->idle);
         q != ngx_queue_sentinel(&wmcf->idle);
         q = ngx_queue_next(q))
    {
        kc = ngx_queue_data(q, ngx_http_weir_client_connection_t, queue);

        if (kc->key.len != call->key.len
            || ngx_memcmp(kc->key.data, call->key.data, call->key.len) != 0)
        {
            continue;
        }

        /* made by a call that may go further than this one */

        if (call->guarded
            && !ngx_http_weir_client_is_allowed(wmcf, &kc->sockaddr.sockaddr))
        {
            continue;
        }

        ngx_queue_remove(q);
        wmcf->nidle--;

        c = kc->connection;

        if (c->read->timer_set) {
            ngx_del_timer(c->read);
        }

        c->idle = 0;
        c->write->cancelable = call->background;

        kc->call = call;
        call->connection = kc;

        return NGX_OK;
    }

    return NGX_DECLINED;
}


/* the connection's call has ended well: for the next one */

void
ngx_http_weir_client_keep(ngx_http_weir_client_connection_t *kc)
{
    ngx_queue_t                        *q;
    ngx_connection_t                   *c;
    ngx_http_weir_client_connection_t  *oldest;
    ngx_http_weir_client_main_conf_t   *wmcf;

    c = kc->connection;
    wmcf = kc->wmcf;

    kc->call = NULL;

    if (wmcf->keepalive == 0
        || ngx_exiting || ngx_terminate
        || c->error || c->read->eof || c->read->error)
    {
        ngx_http_weir_client_close(kc);
        return;
    }

    if (wmcf->nidle >= wmcf->keepalive) {
        q = ngx_queue_last(&wmcf->idle);
        oldest = ngx_queue_data(q, ngx_http_weir_client_connection_t, queue);

        ngx_queue_remove(q);
        wmcf->nidle--;

        ngx_http_weir_client_close(oldest);
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    c->idle = 1;
    c->read->handler = ngx_http_weir_client_idle_handler;
    c->write->handler = ngx_http_weir_client_empty_handler;

    ngx_queue_insert_head(&wmcf->idle, &kc->queue);
    wmcf->nidle++;

    ngx_add_timer(c->read, wmcf->keepalive_timeout);

    if (c->read->ready) {
        ngx_http_weir_client_idle_handler(c->read);

    } else if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_queue_remove(&kc->queue);
        wmcf->nidle--;

        ngx_http_weir_client_close(kc);
    }
}


/*
 * What an idle connection brings is its end, or TLS's own messages (a session
 * ticket), which come out as NGX_AGAIN.
 */

static void
ngx_http_weir_client_idle_handler(ngx_event_t *ev)
{
    u_char                              byte;
    ngx_connection_t                   *c;
    ngx_http_weir_client_connection_t  *kc;

    c = ev->data;
    kc = c->data;

    if (!c->close && !ev->timedout
        && c->recv(c, &byte, 1) == NGX_AGAIN
        && ngx_handle_read_event(ev, 0) == NGX_OK)
    {
        return;
    }

    ngx_queue_remove(&kc->queue);
    kc->wmcf->nidle--;

    ngx_http_weir_client_close(kc);
}


void
ngx_http_weir_client_close(ngx_http_weir_client_connection_t *kc)
{
    ngx_pool_t        *pool;
    ngx_connection_t  *c;

    c = kc->connection;

    if (kc->call) {
        kc->call->connection = NULL;
    }

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;

        if (!c->ssl->handshaked || c->error) {
            c->ssl->no_send_shutdown = 1;
        }

        /* what cannot be written at once is not waited for */

        if (ngx_ssl_shutdown(c) == NGX_AGAIN) {
            SSL_free(c->ssl->connection);
            c->ssl = NULL;
        }
    }

    pool = c->pool;

    ngx_close_connection(c);
    ngx_destroy_pool(pool);
}


void
ngx_http_weir_client_empty_handler(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ev->log, 0, "weir client: event");
}


/*
 * Weir: a call's way over the wire: names, connections, TLS, bytes out and
 * bytes in.  A function that may end the call is the last thing that its
 * caller does.
 */


#include "ngx_http_weir_client_module.h"


static void ngx_http_weir_client_resolve(ngx_http_weir_client_call_t *call);
static void ngx_http_weir_client_resolved(ngx_resolver_ctx_t *ctx);
static ngx_int_t ngx_http_weir_client_take_addrs(
    ngx_http_weir_client_call_t *call, ngx_resolver_ctx_t *ctx);
static ngx_int_t ngx_http_weir_client_guard(ngx_http_weir_client_call_t *call);
static void ngx_http_weir_client_connect_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_weir_client_test_connect(ngx_connection_t *c);
static void ngx_http_weir_client_connected(ngx_http_weir_client_call_t *call);
static void ngx_http_weir_client_handshake(ngx_http_weir_client_call_t *call);
static void ngx_http_weir_client_server_name(ngx_http_weir_client_call_t *call,
    ngx_str_t *name);
static ngx_uint_t ngx_http_weir_client_is_address(ngx_str_t *name);
static void ngx_http_weir_client_handshaked(ngx_connection_t *c);
static ngx_int_t ngx_http_weir_client_verify(ngx_http_weir_client_call_t *call,
    ngx_connection_t *c);
static ngx_int_t ngx_http_weir_client_check_address(ngx_connection_t *c,
    ngx_str_t *address);
static void ngx_http_weir_client_send(ngx_http_weir_client_call_t *call);
static void ngx_http_weir_client_write_handler(ngx_event_t *ev);
static void ngx_http_weir_client_read_handler(ngx_event_t *ev);
static void ngx_http_weir_client_receive(ngx_http_weir_client_call_t *call);
static void ngx_http_weir_client_ended(ngx_http_weir_client_call_t *call);


void
ngx_http_weir_client_begin(ngx_http_weir_client_call_t *call)
{
    if (!call->once && ngx_http_weir_client_reuse(call) == NGX_OK) {
        call->reused = 1;
        ngx_http_weir_client_send(call);
        return;
    }

    if (call->naddrs) {
        if (ngx_http_weir_client_guard(call) != NGX_OK) {
            return;
        }

        ngx_http_weir_client_connect(call);
        return;
    }

    ngx_http_weir_client_resolve(call);
}


static void
ngx_http_weir_client_resolve(ngx_http_weir_client_call_t *call)
{
    ngx_resolver_ctx_t  *ctx;

    ctx = ngx_resolve_start(call->wmcf->resolver, NULL);

    if (ctx == NULL) {
        ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_MEMORY,
                                  "no memory to resolve the name");
        return;
    }

    if (ctx == NGX_NO_RESOLVER) {
        ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_RESOLVE,
                                  "the name cannot be resolved: no resolver "
                                  "is set (weir_client_resolver)");
        return;
    }

    ctx->name.data = (u_char *) call->url.host.data;
    ctx->name.len = call->url.host.len;
    ctx->handler = ngx_http_weir_client_resolved;
    ctx->data = call;
    ctx->cancelable = call->background;

    /* the call's own timer ends it first */

    ctx->timeout = call->deadline + 1000;

    call->resolving = ctx;
    call->state = NGX_HTTP_WEIR_CLIENT_RESOLVING;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        call->resolving = NULL;
        ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_RESOLVE,
                                  "the name could not be looked up");
    }
}


static void
ngx_http_weir_client_resolved(ngx_resolver_ctx_t *ctx)
{
    ngx_int_t                     rc, state;
    ngx_http_weir_client_call_t  *call;

    call = ctx->data;
    state = ctx->state;

    rc = state ? NGX_DECLINED : ngx_http_weir_client_take_addrs(call, ctx);

    ngx_resolve_name_done(ctx);
    call->resolving = NULL;

    if (rc == NGX_DECLINED) {
        ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_RESOLVE,
                                  "the name could not be resolved: %s",
                                  ngx_resolver_strerror(state));
        return;
    }

    if (rc != NGX_OK) {
        ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_MEMORY,
                                  "no memory for the addresses");
        return;
    }

    if (ngx_http_weir_client_guard(call) != NGX_OK) {
        return;
    }

    ngx_http_weir_client_connect(call);
}


/* the addresses of this answer are the call's: nothing asks again */

static ngx_int_t
ngx_http_weir_client_take_addrs(ngx_http_weir_client_call_t *call,
    ngx_resolver_ctx_t *ctx)
{
    ngx_uint_t        i;
    struct sockaddr  *sockaddr;

    call->addrs = ngx_pcalloc(call->pool, ctx->naddrs * sizeof(ngx_addr_t));
    if (call->addrs == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < ctx->naddrs; i++) {
        sockaddr = ngx_palloc(call->pool, ctx->addrs[i].socklen);
        if (sockaddr == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(sockaddr, ctx->addrs[i].sockaddr, ctx->addrs[i].socklen);
        ngx_inet_set_port(sockaddr, call->url.port);

        call->addrs[i].sockaddr = sockaddr;
        call->addrs[i].socklen = ctx->addrs[i].socklen;
    }

    call->naddrs = ctx->naddrs;

    return NGX_OK;
}


/* leaves the addresses that this call may reach; NGX_DECLINED: it has ended */

static ngx_int_t
ngx_http_weir_client_guard(ngx_http_weir_client_call_t *call)
{
    ngx_uint_t   i, n;
    ngx_addr_t  *addrs;

    if (!call->guarded) {
        return NGX_OK;
    }

    addrs = ngx_palloc(call->pool, call->naddrs * sizeof(ngx_addr_t));
    if (addrs == NULL) {
        ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_MEMORY,
                                  "no memory for the addresses");
        return NGX_DECLINED;
    }

    n = 0;

    for (i = 0; i < call->naddrs; i++) {
        if (ngx_http_weir_client_is_allowed(call->wmcf,
                                            call->addrs[i].sockaddr))
        {
            addrs[n++] = call->addrs[i];
        }
    }

    call->addrs = addrs;
    call->naddrs = n;

    if (n) {
        return NGX_OK;
    }

    ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_FORBIDDEN,
                              "the address is not public; "
                              "\"weir_client_allow\" names networks that may "
                              "be reached nevertheless");
    return NGX_DECLINED;
}


/* the next address; an address that cannot be reached is passed over */

void
ngx_http_weir_client_connect(ngx_http_weir_client_call_t *call)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    while (call->next_addr < call->naddrs) {

        rc = ngx_http_weir_client_open(call, &call->addrs[call->next_addr++]);

        if (rc == NGX_DECLINED) {
            continue;
        }

        if (rc == NGX_ERROR) {
            ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_MEMORY,
                                      "no memory for a connection");
            return;
        }

        c = call->connection->connection;
        call->state = NGX_HTTP_WEIR_CLIENT_CONNECTING;

        c->read->handler = ngx_http_weir_client_connect_handler;
        c->write->handler = ngx_http_weir_client_connect_handler;

        /* of connecting and of TLS's handshake */

        ngx_add_timer(c->write, call->wmcf->connect_timeout);

        if (rc == NGX_OK) {
            ngx_http_weir_client_connected(call);
        }

        return;
    }

    ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_CONNECT,
                              "no connection: none of %ui address(es) "
                              "answered; the error log says why",
                              call->naddrs);
}


static void
ngx_http_weir_client_connect_handler(ngx_event_t *ev)
{
    ngx_connection_t                   *c;
    ngx_http_weir_client_connection_t  *kc;
    ngx_http_weir_client_call_t        *call;

    c = ev->data;
    kc = c->data;
    call = kc->call;

    if (c->close) {
        ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_CLOSED,
                                  "the worker has to end");
        return;
    }

    if (c->write->timedout) {
        ngx_log_error(NGX_LOG_ERR, c->log, NGX_ETIMEDOUT,
                      "weir client: connecting to %V timed out",
                      &call->where);

    } else if (ngx_http_weir_client_test_connect(c) == NGX_OK) {
        ngx_http_weir_client_connected(call);
        return;
    }

    ngx_http_weir_client_close(kc);
    ngx_http_weir_client_connect(call);
}


static ngx_int_t
ngx_http_weir_client_test_connect(ngx_connection_t *c)
{
    int        err;
    socklen_t  len;

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        (void) ngx_connection_error(c, err, "connect() failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_weir_client_connected(ngx_http_weir_client_call_t *call)
{
    ngx_connection_t  *c;

    c = call->connection->connection;

    /* small requests, each waited for */

    if (c->sockaddr == NULL
        || call->connection->sockaddr.sockaddr.sa_family != AF_UNIX)
    {
        (void) ngx_tcp_nodelay(c);
    }

    if (call->url.tls) {
        ngx_http_weir_client_handshake(call);
        return;
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    ngx_http_weir_client_send(call);
}


static void
ngx_http_weir_client_handshake(ngx_http_weir_client_call_t *call)
{
    ngx_str_t          name;
    ngx_connection_t  *c;

    c = call->connection->connection;
    call->state = NGX_HTTP_WEIR_CLIENT_HANDSHAKING;

    if (ngx_ssl_create_connection(&call->profile->ssl, c,
                                  NGX_SSL_CLIENT)
        != NGX_OK)
    {
        ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_MEMORY,
                                  "no memory for TLS");
        return;
    }

    ngx_http_weir_client_server_name(call, &name);

    /* RFC 6066, 3: no addresses */

    if (name.len && !ngx_http_weir_client_is_address(&name)
        && SSL_set_tlsext_host_name(c->ssl->connection, (char *) name.data)
           == 0)
    {
        ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_TLS,
                                  "the server's name cannot be sent");
        return;
    }

    c->ssl->handler = ngx_http_weir_client_handshaked;

    if (ngx_ssl_handshake(c) != NGX_AGAIN) {
        ngx_http_weir_client_handshaked(c);
    }
}


/* with a NUL behind it */

static void
ngx_http_weir_client_server_name(ngx_http_weir_client_call_t *call,
    ngx_str_t *name)
{
    *name = call->profile->options.server_name;

    if (name->len) {
        return;
    }

    if (call->url.host.len == 0) {
        ngx_str_set(name, "localhost");
        return;
    }

    name->len = call->url.host.len;
    name->data = ngx_pnalloc(call->pool, name->len + 1);

    if (name->data == NULL) {
        name->len = 0;
        return;
    }

    ngx_strlow(name->data, (u_char *) call->url.host.data, name->len);
    name->data[name->len] = '\0';
}


static ngx_uint_t
ngx_http_weir_client_is_address(ngx_str_t *name)
{
    return ngx_inet_addr(name->data, name->len) != INADDR_NONE
           || ngx_strlchr(name->data, name->data + name->len, ':') != NULL;
}


static void
ngx_http_weir_client_handshaked(ngx_connection_t *c)
{
    ngx_http_weir_client_call_t        *call;
    ngx_http_weir_client_connection_t  *kc;

    kc = c->data;
    call = kc->call;

    if (!c->ssl->handshaked) {
        c->ssl->no_send_shutdown = 1;

        if (c->write->timedout) {
            ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_TIMEOUT,
                                      "the TLS handshake took too long");
            return;
        }

        ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_TLS,
                                  "the TLS handshake failed; the error log "
                                  "says why");
        return;
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    if (!call->profile->options.no_verify
        && ngx_http_weir_client_verify(call, c) != NGX_OK)
    {
        return;
    }

    ngx_http_weir_client_send(call);
}


/* NGX_DECLINED: the call has ended */

static ngx_int_t
ngx_http_weir_client_verify(ngx_http_weir_client_call_t *call,
    ngx_connection_t *c)
{
    long       result;
    ngx_int_t  rc;
    ngx_str_t  name;

    result = SSL_get_verify_result(c->ssl->connection);

    if (result != X509_V_OK) {
        ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_TLS,
                                  "the server's certificate is not trusted: "
                                  "%s", X509_verify_cert_error_string(result));
        return NGX_DECLINED;
    }

    ngx_http_weir_client_server_name(call, &name);

    if (name.len == 0) {
        rc = NGX_ERROR;

    } else if (ngx_http_weir_client_is_address(&name)) {
        rc = ngx_http_weir_client_check_address(c, &name);

    } else {
        rc = ngx_ssl_check_host(c, &name);
    }

    if (rc != NGX_OK) {
        ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_TLS,
                                  "the server's certificate is for another "
                                  "host");
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* ngx_ssl_check_host() looks at names only */

static ngx_int_t
ngx_http_weir_client_check_address(ngx_connection_t *c, ngx_str_t *address)
{
    int    rc;
    X509  *cert;

    cert = SSL_get_peer_certificate(c->ssl->connection);
    if (cert == NULL) {
        return NGX_ERROR;
    }

    rc = X509_check_ip_asc(cert, (char *) address->data, 0);

    X509_free(cert);

    return (rc == 1) ? NGX_OK : NGX_ERROR;
}


/* from the first byte on, over a new connection or a kept one */

static void
ngx_http_weir_client_send(ngx_http_weir_client_call_t *call)
{
    ngx_connection_t  *c;

    c = call->connection->connection;

    c->requests++;

    c->read->handler = ngx_http_weir_client_read_handler;
    c->write->handler = ngx_http_weir_client_write_handler;

    call->request->pos = call->request->start;
    call->state = NGX_HTTP_WEIR_CLIENT_SENDING;

    weir_http_response_init(&call->response, &call->arena, &call->limits);

    ngx_http_weir_client_write_handler(c->write);
}


static void
ngx_http_weir_client_write_handler(ngx_event_t *ev)
{
    ssize_t                             n;
    ngx_buf_t                          *b;
    ngx_connection_t                   *c;
    ngx_http_weir_client_connection_t  *kc;
    ngx_http_weir_client_call_t        *call;

    c = ev->data;
    kc = c->data;
    call = kc->call;

    if (call->state != NGX_HTTP_WEIR_CLIENT_SENDING) {
        return;
    }

    b = call->request;

    while (b->pos < b->last) {

        n = c->send(c, b->pos, b->last - b->pos);

        if (n == NGX_AGAIN) {
            if (ngx_handle_write_event(ev, 0) != NGX_OK) {
                ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_MEMORY,
                                          "no event for the connection");
                return;
            }

            /* a server may answer before it has all */

            ngx_http_weir_client_receive(call);
            return;
        }

        if (n == NGX_ERROR) {

            /*
             * an answer may lie there nevertheless ("413", for one), and if
             * not, the end of the connection is an event
             */

            break;
        }

        b->pos += n;
    }

    call->state = NGX_HTTP_WEIR_CLIENT_WAITING;

    ngx_http_weir_client_receive(call);
}


static void
ngx_http_weir_client_read_handler(ngx_event_t *ev)
{
    ngx_connection_t                   *c;
    ngx_http_weir_client_connection_t  *kc;

    c = ev->data;
    kc = c->data;

    if (c->close) {
        ngx_http_weir_client_fail(kc->call, NGX_HTTP_WEIR_CLIENT_CLOSED,
                                  "the worker has to end");
        return;
    }

    ngx_http_weir_client_receive(kc->call);
}


static void
ngx_http_weir_client_receive(ngx_http_weir_client_call_t *call)
{
    ssize_t                            n;
    weir_error_t                       err;
    weir_status_t                      status;
    ngx_connection_t                  *c;
    ngx_http_weir_client_main_conf_t  *wmcf;

    wmcf = call->wmcf;
    c = call->connection->connection;

    for ( ;; ) {
        n = c->recv(c, wmcf->buffer, NGX_HTTP_WEIR_CLIENT_BUFFER);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == NGX_ERROR || n == 0) {
            c->error = (n == NGX_ERROR) || c->error;
            ngx_http_weir_client_ended(call);
            return;
        }

        status = weir_http_response_feed(&call->response, wmcf->buffer, n,
                                         &err);

        if (status != WEIR_OK) {
            ngx_http_weir_client_fail(call,
                status == WEIR_ERR_LIMIT ? NGX_HTTP_WEIR_CLIENT_TOO_LARGE
                : status == WEIR_ERR_NOMEM ? NGX_HTTP_WEIR_CLIENT_MEMORY
                : NGX_HTTP_WEIR_CLIENT_PROTOCOL, "%s", err.message);
            return;
        }

        if (call->response.complete) {
            ngx_http_weir_client_finish(call);
            return;
        }
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_MEMORY,
                                  "no event for the connection");
    }
}


/* the server has closed the connection */

static void
ngx_http_weir_client_ended(ngx_http_weir_client_call_t *call)
{
    ngx_uint_t    started;
    weir_error_t  err;

    started = call->response.started;

    if (!call->connection->connection->error
        && weir_http_response_eof(&call->response, &err) == WEIR_OK)
    {
        ngx_http_weir_client_finish(call);
        return;
    }

    /* the server gave up a connection that lay idle, not this request */

    if (call->reused && !call->repeated && !started) {
        call->repeated = 1;
        call->reused = 0;
        call->once = 1;                 /* a new connection */

        ngx_http_weir_client_close(call->connection);
        ngx_http_weir_client_begin(call);
        return;
    }

    ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_CLOSED,
                              started
                              ? "the server closed the connection in the "
                                "middle of its answer"
                              : "the server closed the connection without "
                                "an answer");
}

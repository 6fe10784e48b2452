
/*
 * Weir: the keys of token issuers, from files and URLs.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_auth.h"


static ngx_http_weir_source_t *ngx_http_weir_auth_same_source(
    ngx_http_weir_auth_main_conf_t *wamcf,
    const weir_identity_issuer_t *issuer);
static ngx_http_weir_source_t *ngx_http_weir_auth_add_source(
    ngx_http_weir_auth_main_conf_t *wamcf,
    const weir_identity_issuer_t *issuer);
static size_t ngx_http_weir_auth_folder(ngx_str_t *document,
    const weir_identity_issuer_t *issuer);
static void ngx_http_weir_auth_drop_source(ngx_http_weir_source_t *source,
    ngx_uint_t resume);
static void ngx_http_weir_auth_call(ngx_http_weir_source_t *source,
    ngx_uint_t background);
static void ngx_http_weir_auth_called(
    const ngx_http_weir_client_answer_t *answer, void *data);
static void ngx_http_weir_auth_fetched(ngx_http_weir_source_t *source,
    weir_jwks_t *keys);
static void ngx_http_weir_auth_options(ngx_http_weir_source_t *source,
    weir_jwks_options_t *options);
static void ngx_http_weir_auth_wake(ngx_queue_t *waiting);
static ngx_uint_t ngx_http_weir_auth_equal(ngx_str_t *one, weir_str_t two);


ngx_http_weir_source_t *
ngx_http_weir_auth_find_source(ngx_http_weir_auth_main_conf_t *wamcf,
    weir_str_t issuer)
{
    ngx_queue_t             *q;
    ngx_http_weir_source_t  *source;

    for (q = ngx_queue_head(&wamcf->sources);
         q != ngx_queue_sentinel(&wamcf->sources);
         q = ngx_queue_next(q))
    {
        source = ngx_queue_data(q, ngx_http_weir_source_t, queue);

        if (ngx_http_weir_auth_equal(&source->issuer, issuer)) {
            return source;
        }
    }

    return NULL;
}


/* keys that are there stay while the document names the same place for them */

void
ngx_http_weir_auth_sync_sources(ngx_http_weir_auth_main_conf_t *wamcf)
{
    size_t                         i;
    ngx_queue_t                   *q, dropped;
    const weir_identity_t         *identity;
    ngx_http_weir_source_t        *source;
    const weir_identity_issuer_t  *issuer;

    for (q = ngx_queue_head(&wamcf->sources);
         q != ngx_queue_sentinel(&wamcf->sources);
         q = ngx_queue_next(q))
    {
        source = ngx_queue_data(q, ngx_http_weir_source_t, queue);
        source->wanted = 0;
    }

    identity = weir_registry_identity(wamcf->state.current);

    for (i = 0; identity && i < identity->n_issuers; i++) {
        issuer = &identity->issuers[i];

        source = ngx_http_weir_auth_same_source(wamcf, issuer);

        if (source == NULL) {
            source = ngx_http_weir_auth_add_source(wamcf, issuer);

            if (source == NULL) {
                continue;
            }
        }

        source->wanted = 1;
        source->keys.refresh = issuer->jwks_refresh;
        source->keys.stale = issuer->jwks_stale;
    }

    /* who waits for one of those may end while another one is dropped */

    ngx_queue_init(&dropped);

    q = ngx_queue_head(&wamcf->sources);

    while (q != ngx_queue_sentinel(&wamcf->sources)) {
        source = ngx_queue_data(q, ngx_http_weir_source_t, queue);
        q = ngx_queue_next(q);

        if (!source->wanted) {
            ngx_queue_remove(&source->queue);
            ngx_queue_insert_tail(&dropped, &source->queue);
        }
    }

    q = ngx_queue_head(&dropped);

    while (q != ngx_queue_sentinel(&dropped)) {
        source = ngx_queue_data(q, ngx_http_weir_source_t, queue);
        q = ngx_queue_next(q);

        ngx_http_weir_auth_drop_source(source, 1);
    }
}


static ngx_http_weir_source_t *
ngx_http_weir_auth_same_source(ngx_http_weir_auth_main_conf_t *wamcf,
    const weir_identity_issuer_t *issuer)
{
    ngx_queue_t             *q;
    ngx_http_weir_source_t  *source;

    for (q = ngx_queue_head(&wamcf->sources);
         q != ngx_queue_sentinel(&wamcf->sources);
         q = ngx_queue_next(q))
    {
        source = ngx_queue_data(q, ngx_http_weir_source_t, queue);

        if (ngx_http_weir_auth_equal(&source->issuer, issuer->issuer)
            && ngx_http_weir_auth_equal(&source->file, issuer->jwks_file)
            && ngx_http_weir_auth_equal(&source->url, issuer->jwks_url)
            && source->algorithms == issuer->algorithms)
        {
            return source;
        }
    }

    return NULL;
}


static ngx_http_weir_source_t *
ngx_http_weir_auth_add_source(ngx_http_weir_auth_main_conf_t *wamcf,
    const weir_identity_issuer_t *issuer)
{
    u_char                  *p;
    size_t                   folder;
    ngx_str_t               *document;
    ngx_http_weir_source_t  *source;

    document = &wamcf->files[NGX_HTTP_WEIR_IDENTITY];
    folder = ngx_http_weir_auth_folder(document, issuer);

    source = ngx_calloc(sizeof(ngx_http_weir_source_t) + issuer->issuer.len
                        + issuer->jwks_url.len + folder
                        + issuer->jwks_file.len + 1,
                        ngx_cycle->log);
    if (source == NULL) {
        return NULL;
    }

    p = (u_char *) &source[1];

    source->issuer.data = p;
    source->issuer.len = issuer->issuer.len;
    p = ngx_cpymem(p, issuer->issuer.data, issuer->issuer.len);

    if (issuer->jwks_url.len) {
        source->url.data = p;
        source->url.len = issuer->jwks_url.len;
        p = ngx_cpymem(p, issuer->jwks_url.data, issuer->jwks_url.len);
    }

    if (issuer->jwks_file.len) {
        source->path = (char *) p;
        p = ngx_cpymem(p, document->data, folder);

        source->file.data = p;
        source->file.len = issuer->jwks_file.len;
        p = ngx_cpymem(p, issuer->jwks_file.data, issuer->jwks_file.len);
        *p = '\0';
    }

    source->wamcf = wamcf;
    source->algorithms = issuer->algorithms;

    weir_jwks_state_init(&source->keys, issuer->jwks_refresh,
                         issuer->jwks_stale);

    ngx_queue_init(&source->waiting);
    ngx_queue_insert_tail(&wamcf->sources, &source->queue);

    return source;
}


/* a relative name begins in the document's folder: so many bytes of its name */

static size_t
ngx_http_weir_auth_folder(ngx_str_t *document,
    const weir_identity_issuer_t *issuer)
{
    size_t  len;

    if (issuer->jwks_file.len == 0 || issuer->jwks_file.data[0] == '/') {
        return 0;
    }

    len = document->len;

    while (len && document->data[len - 1] != '/') {
        len--;
    }

    return len;
}


/*
 * "nginx -t" says what is wrong with key files.  They are no reason to refuse
 * a configuration: whoever writes them may start later.
 */

void
ngx_http_weir_auth_try_files(ngx_conf_t *cf,
    ngx_http_weir_auth_main_conf_t *wamcf)
{
    u_char                        *p, *path;
    size_t                         i, folder;
    ngx_str_t                     *document;
    weir_jwks_t                   *keys;
    weir_error_t                   err;
    const weir_identity_t         *identity;
    const weir_identity_issuer_t  *issuer;

    identity = weir_registry_identity(wamcf->state.current);
    document = &wamcf->files[NGX_HTTP_WEIR_IDENTITY];

    for (i = 0; identity && i < identity->n_issuers; i++) {
        issuer = &identity->issuers[i];

        if (issuer->jwks_file.len == 0) {
            continue;
        }

        folder = ngx_http_weir_auth_folder(document, issuer);

        path = ngx_pnalloc(cf->temp_pool, folder + issuer->jwks_file.len + 1);
        if (path == NULL) {
            return;
        }

        p = ngx_cpymem(path, document->data, folder);
        p = ngx_cpymem(p, issuer->jwks_file.data, issuer->jwks_file.len);
        *p = '\0';

        if (weir_jwks_load((char *) path, NULL, &keys, &err) != WEIR_OK) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "keys of issuer \"%*s\": %s; its tokens are "
                          "answered with 503 until that is mended",
                          issuer->issuer.len, issuer->issuer.data,
                          err.message);
            continue;
        }

        weir_jwks_free(keys);
    }
}


/* the source is in no queue any more */

static void
ngx_http_weir_auth_drop_source(ngx_http_weir_source_t *source,
    ngx_uint_t resume)
{
    if (source->call) {
        source->wamcf->client->cancel(source->call);
        source->call = NULL;
    }

    if (resume) {
        ngx_http_weir_auth_wake(&source->waiting);
    }

    weir_jwks_state_free(&source->keys);

    ngx_free(source);
}


/* a worker that exits has no requests, or ends them at once */

void
ngx_http_weir_auth_free_sources(ngx_http_weir_auth_main_conf_t *wamcf)
{
    ngx_queue_t               *q, *w;
    ngx_http_weir_source_t    *source;
    ngx_http_weir_auth_ctx_t  *actx;

    q = ngx_queue_head(&wamcf->sources);

    while (q != ngx_queue_sentinel(&wamcf->sources)) {
        source = ngx_queue_data(q, ngx_http_weir_source_t, queue);
        q = ngx_queue_next(q);

        for (w = ngx_queue_head(&source->waiting);
             w != ngx_queue_sentinel(&source->waiting);
             w = ngx_queue_next(w))
        {
            actx = ngx_queue_data(w, ngx_http_weir_auth_ctx_t, queue);
            actx->waiting = 0;
        }

        /* the client's calls have ended with its own exit_process */

        source->call = NULL;

        ngx_http_weir_auth_drop_source(source, 0);
    }

    ngx_queue_init(&wamcf->sources);
}


/*
 * A file has been read when it returns.  Reading one blocks as any local file
 * does; it happens once in "refresh".  background: no token waits for it.
 */

void
ngx_http_weir_auth_fetch(ngx_http_weir_source_t *source,
    ngx_uint_t background)
{
    weir_jwks_t          *keys;
    weir_error_t          err;
    weir_jwks_options_t   options;

    weir_jwks_state_begin(&source->keys);

    if (source->url.len) {
        ngx_http_weir_auth_call(source, background);
        return;
    }

    ngx_http_weir_auth_options(source, &options);

    if (weir_jwks_load(source->path, &options, &keys, &err)
        != WEIR_OK)
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "keys of issuer \"%V\": %s", &source->issuer,
                      err.message);
        keys = NULL;
    }

    ngx_http_weir_auth_fetched(source, keys);
}


static void
ngx_http_weir_auth_call(ngx_http_weir_source_t *source, ngx_uint_t background)
{
    ngx_http_weir_client_header_t    accept;
    ngx_http_weir_client_request_t   call;
    ngx_http_weir_auth_main_conf_t  *wamcf;

    wamcf = source->wamcf;

    if (wamcf->client == NULL) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "keys of issuer \"%V\" are at a URL: load "
                      NGX_HTTP_WEIR_CLIENT, &source->issuer);
        ngx_http_weir_auth_fetched(source, NULL);
        return;
    }

    ngx_str_set(&accept.name, "Accept");
    ngx_str_set(&accept.value, "application/jwk-set+json, application/json");

    ngx_memzero(&call, sizeof(ngx_http_weir_client_request_t));

    call.url = source->url;
    call.headers = &accept;
    call.nheaders = 1;
    call.deadline = wamcf->jwks_timeout;
    call.max_body = WEIR_JWKS_MAX_BYTES;

    /* the URL is the operator's word, and may be inside his network */

    call.trusted = 1;

    /* a worker that shuts down waits for tokens, not for fresh keys */

    call.background = background;

    source->call = wamcf->client->start(&call, ngx_http_weir_auth_called,
                                        source);

    if (source->call == NULL) {
        ngx_http_weir_auth_fetched(source, NULL);
    }
}


static void
ngx_http_weir_auth_called(const ngx_http_weir_client_answer_t *answer,
    void *data)
{
    ngx_http_weir_source_t *source = data;

    weir_jwks_t          *keys;
    weir_error_t          err;
    weir_jwks_options_t   options;

    keys = NULL;
    source->call = NULL;

    if (answer->error != NGX_HTTP_WEIR_CLIENT_OK) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "keys of issuer \"%V\" from \"%V\": %V",
                      &source->issuer, &source->url, &answer->text);

    } else if (answer->status != NGX_HTTP_OK) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "keys of issuer \"%V\" from \"%V\": status %ui",
                      &source->issuer, &source->url, answer->status);

    } else {
        ngx_http_weir_auth_options(source, &options);

        if (weir_jwks_parse((char *) answer->body.data, answer->body.len,
                            &options, &keys, &err)
            != WEIR_OK)
        {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "keys of issuer \"%V\" from \"%V\": %s",
                          &source->issuer, &source->url, err.message);
            keys = NULL;
        }
    }

    ngx_http_weir_auth_fetched(source, keys);
}


/* keys: NULL when there are none to be had */

static void
ngx_http_weir_auth_fetched(ngx_http_weir_source_t *source, weir_jwks_t *keys)
{
    ngx_queue_t  waiting;

    weir_jwks_state_end(&source->keys, keys, ngx_time());

    /* who wakes up may lead to another fetch, and wait for that */

    ngx_queue_init(&waiting);
    ngx_queue_add(&waiting, &source->waiting);
    ngx_queue_init(&source->waiting);

    ngx_http_weir_auth_wake(&waiting);
}


static void
ngx_http_weir_auth_options(ngx_http_weir_source_t *source,
    weir_jwks_options_t *options)
{
    options->algorithms = source->algorithms;
    options->rsa = (source->algorithms & WEIR_JWT_RS256) ? WEIR_JWA_RS256
                                                         : WEIR_JWA_PS256;
}


/* a request that goes on may end others of the queue, which leave it then */

static void
ngx_http_weir_auth_wake(ngx_queue_t *waiting)
{
    ngx_int_t                  rc;
    ngx_queue_t               *q;
    ngx_http_weir_auth_ctx_t  *actx;

    while (!ngx_queue_empty(waiting)) {
        q = ngx_queue_head(waiting);
        ngx_queue_remove(q);

        actx = ngx_queue_data(q, ngx_http_weir_auth_ctx_t, queue);
        actx->waiting = 0;

        rc = ngx_http_weir_auth_token(actx, 1);

        actx->wamcf->weir->resume(actx->ctx, rc);
    }
}


static ngx_uint_t
ngx_http_weir_auth_equal(ngx_str_t *one, weir_str_t two)
{
    return one->len == two.len
           && (two.len == 0 || ngx_memcmp(one->data, two.data, two.len) == 0);
}

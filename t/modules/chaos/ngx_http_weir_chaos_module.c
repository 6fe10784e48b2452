
/*
 * For tests only: cuts the body of an answer at random places and lets parts of
 * it wait, in front of the core's filter.  To be loaded behind the core: the
 * filter of the module that was loaded last sees an answer first.
 *
 *     weir_chaos <seed> [<largest piece> [<longest delay>]]
 *         the seed may hold variables; empty: the answer passes as it comes
 *
 * $weir_chaos_pieces is how many pieces the answer was cut into.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "lua-free-filters/chaos.h"


/* in r->buffered; SSI's, which no test uses together with this */

#define NGX_HTTP_WEIR_CHAOS_BUFFERED  0x01


typedef struct {
    ngx_http_complex_value_t      *seed;
    ngx_int_t                      piece;
    ngx_msec_t                     delay;
} ngx_http_weir_chaos_loc_conf_t;


typedef struct ngx_http_weir_chaos_part_s  ngx_http_weir_chaos_part_t;

/* a copy of a buffer */

struct ngx_http_weir_chaos_part_s {
    ngx_http_weir_chaos_part_t    *next;
    u_char                        *pos;
    u_char                        *last;
    unsigned                       waited:1;    /* for the piece below */
    unsigned                       flush:1;
    unsigned                       sync:1;
    unsigned                       last_buf:1;
    unsigned                       last_in_chain:1;
};


typedef struct {
    ngx_http_request_t            *request;
    weir_chaos_t                   chaos;
    ngx_http_weir_chaos_part_t    *first;
    ngx_http_weir_chaos_part_t   **last;
    size_t                         piece;
    ngx_uint_t                     pieces;
    ngx_event_t                    timer;
    unsigned                       sending:1;
} ngx_http_weir_chaos_ctx_t;


static ngx_int_t ngx_http_weir_chaos_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_chaos_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_weir_chaos_take(ngx_http_weir_chaos_ctx_t *ctx,
    ngx_buf_t *b);
static ngx_int_t ngx_http_weir_chaos_send(ngx_http_weir_chaos_ctx_t *ctx);
static ngx_int_t ngx_http_weir_chaos_next(ngx_http_weir_chaos_ctx_t *ctx);
static void ngx_http_weir_chaos_handler(ngx_event_t *ev);
static void ngx_http_weir_chaos_cleanup(void *data);
static ngx_int_t ngx_http_weir_chaos_pieces(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_chaos_preconf(ngx_conf_t *cf);
static void *ngx_http_weir_chaos_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_weir_chaos_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_weir_chaos(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_weir_chaos_init(ngx_conf_t *cf);


static ngx_command_t  ngx_http_weir_chaos_commands[] = {

    { ngx_string("weir_chaos"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_weir_chaos,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_chaos_module_ctx = {
    ngx_http_weir_chaos_preconf,           /* preconfiguration */
    ngx_http_weir_chaos_init,              /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_weir_chaos_create_loc_conf,   /* create location configuration */
    ngx_http_weir_chaos_merge_loc_conf     /* merge location configuration */
};


ngx_module_t  ngx_http_weir_chaos_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_chaos_module_ctx,       /* module context */
    ngx_http_weir_chaos_commands,          /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static ngx_int_t
ngx_http_weir_chaos_header_filter(ngx_http_request_t *r)
{
    ngx_int_t                        seed;
    ngx_str_t                        value;
    ngx_pool_cleanup_t              *cln;
    ngx_http_weir_chaos_ctx_t       *ctx;
    ngx_http_weir_chaos_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_chaos_module);

    if (clcf->seed == NULL || r != r->main
        || ngx_http_get_module_ctx(r, ngx_http_weir_chaos_module))
    {
        return ngx_http_next_header_filter(r);
    }

    if (ngx_http_complex_value(r, clcf->seed, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (value.len == 0) {
        return ngx_http_next_header_filter(r);
    }

    seed = ngx_atoi(value.data, value.len);
    if (seed == NGX_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                      "\"%V\" is no seed", &value);
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_weir_chaos_ctx_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_weir_chaos_ctx_t));

    cln->handler = ngx_http_weir_chaos_cleanup;

    ctx->request = r;
    ctx->last = &ctx->first;

    ctx->timer.handler = ngx_http_weir_chaos_handler;
    ctx->timer.data = ctx;
    ctx->timer.log = r->connection->log;

    weir_chaos_init(&ctx->chaos, seed, clcf->piece, clcf->delay);

    ngx_http_set_ctx(r, ctx, ngx_http_weir_chaos_module);

    r->filter_need_in_memory = 1;

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_weir_chaos_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_weir_chaos_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_chaos_module);

    if (ctx == NULL || r != r->main) {
        return ngx_http_next_body_filter(r, in);
    }

    for ( /* void */ ; in; in = in->next) {
        if (ngx_http_weir_chaos_take(ctx, in->buf) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (ctx->sending || ctx->timer.timer_set || ctx->first == NULL) {
        return ngx_http_next_body_filter(r, NULL);
    }

    return ngx_http_weir_chaos_send(ctx);
}


/* the buffer is free again, as it is after any filter that copies */

static ngx_int_t
ngx_http_weir_chaos_take(ngx_http_weir_chaos_ctx_t *ctx, ngx_buf_t *b)
{
    size_t                       size;
    ngx_uint_t                   cut;
    ngx_http_request_t          *r;
    ngx_http_weir_chaos_part_t  *part;

    r = ctx->request;
    size = ngx_buf_in_memory(b) ? b->last - b->pos : 0;

    /*
     * An upstream that broke off is finalized, then a flush is sent.  Another
     * one must not arrive after the upstream's end: it would look like that.
     */

    cut = r->upstream && r->upstream->cleanup == NULL;

    if (size == 0 && !b->last_buf
        && (!(b->flush || b->sync) || (ctx->first && !cut)))
    {
        return NGX_OK;
    }

    part = ngx_pcalloc(r->pool, sizeof(ngx_http_weir_chaos_part_t));
    if (part == NULL) {
        return NGX_ERROR;
    }

    part->flush = b->flush;
    part->sync = b->sync;
    part->last_buf = b->last_buf;
    part->last_in_chain = b->last_in_chain;

    if (size) {
        part->pos = ngx_pnalloc(r->pool, size);
        if (part->pos == NULL) {
            return NGX_ERROR;
        }

        part->last = ngx_cpymem(part->pos, b->pos, size);

        b->pos = b->last;
        b->file_pos = b->file_last;
    }

    *ctx->last = part;
    ctx->last = &part->next;

    return NGX_OK;
}


/* until the next delay; what calls back from below does not start another */

static ngx_int_t
ngx_http_weir_chaos_send(ngx_http_weir_chaos_ctx_t *ctx)
{
    ngx_int_t            rc;
    uint32_t             delay;
    ngx_http_request_t  *r;

    r = ctx->request;
    rc = NGX_OK;

    ctx->sending = 1;

    while (ctx->first) {

        if (ctx->first->pos < ctx->first->last && !ctx->first->waited) {

            ctx->piece = weir_chaos_next(&ctx->chaos,
                                         ctx->first->last - ctx->first->pos,
                                         &delay);
            ctx->first->waited = 1;

            if (delay) {
                ngx_add_timer(&ctx->timer, delay);
                break;
            }
        }

        rc = ngx_http_weir_chaos_next(ctx);

        if (rc == NGX_ERROR) {
            break;
        }
    }

    ctx->sending = 0;

    if (ctx->first && rc != NGX_ERROR) {
        r->buffered |= NGX_HTTP_WEIR_CHAOS_BUFFERED;

    } else {
        r->buffered &= ~NGX_HTTP_WEIR_CHAOS_BUFFERED;
    }

    return rc;
}


static ngx_int_t
ngx_http_weir_chaos_next(ngx_http_weir_chaos_ctx_t *ctx)
{
    ngx_buf_t                   *b;
    ngx_chain_t                  out;
    ngx_http_request_t          *r;
    ngx_http_weir_chaos_part_t  *part;

    r = ctx->request;
    part = ctx->first;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    if (part->pos < part->last) {
        b->memory = 1;
        b->flush = 1;
        b->pos = part->pos;
        b->last = part->pos + ctx->piece;

        part->pos = b->last;
        part->waited = 0;

        ctx->pieces++;
    }

    if (part->pos == part->last) {
        b->flush |= part->flush;
        b->sync = part->sync;
        b->last_buf = part->last_buf;
        b->last_in_chain = part->last_in_chain;

        ctx->first = part->next;

        if (ctx->first == NULL) {
            ctx->last = &ctx->first;

            /* what is below decides by it whether the answer is out */

            r->buffered &= ~NGX_HTTP_WEIR_CHAOS_BUFFERED;
        }
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_next_body_filter(r, &out);
}


static void
ngx_http_weir_chaos_handler(ngx_event_t *ev)
{
    ngx_http_weir_chaos_ctx_t *ctx = ev->data;

    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ctx->request;
    c = r->connection;

    if (ngx_http_weir_chaos_send(ctx) == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_ERROR);

    } else {

        /* who waits for the output to be gone finds it so */

        r->write_event_handler(r);
    }

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_weir_chaos_cleanup(void *data)
{
    ngx_http_weir_chaos_ctx_t *ctx = data;

    if (ctx->timer.timer_set) {
        ngx_del_timer(&ctx->timer);
    }
}


static ngx_int_t
ngx_http_weir_chaos_pieces(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_weir_chaos_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r->main, ngx_http_weir_chaos_module);

    v->data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (v->data == NULL) {
        return NGX_ERROR;
    }

    v->len = ngx_sprintf(v->data, "%ui", ctx ? ctx->pieces : 0) - v->data;
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_chaos_preconf(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var;

    static ngx_str_t  name = ngx_string("weir_chaos_pieces");

    var = ngx_http_add_variable(cf, &name, NGX_HTTP_VAR_NOCACHEABLE);
    if (var == NULL) {
        return NGX_ERROR;
    }

    var->get_handler = ngx_http_weir_chaos_pieces;

    return NGX_OK;
}


static void *
ngx_http_weir_chaos_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_weir_chaos_loc_conf_t  *clcf;

    clcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_chaos_loc_conf_t));
    if (clcf == NULL) {
        return NULL;
    }

    clcf->seed = NGX_CONF_UNSET_PTR;
    clcf->piece = NGX_CONF_UNSET;
    clcf->delay = NGX_CONF_UNSET_MSEC;

    return clcf;
}


static char *
ngx_http_weir_chaos_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_weir_chaos_loc_conf_t *prev = parent;
    ngx_http_weir_chaos_loc_conf_t *conf = child;

    ngx_conf_merge_ptr_value(conf->seed, prev->seed, NULL);
    ngx_conf_merge_value(conf->piece, prev->piece, 0);
    ngx_conf_merge_msec_value(conf->delay, prev->delay, 0);

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_chaos(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_chaos_loc_conf_t *clcf = conf;

    ngx_str_t                         *value;
    ngx_http_compile_complex_value_t   ccv;

    if (clcf->seed != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    clcf->seed = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (clcf->seed == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &value[1];
    ccv.complex_value = clcf->seed;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts > 2) {
        clcf->piece = ngx_atoi(value[2].data, value[2].len);
        if (clcf->piece == NGX_ERROR) {
            return "needs a number of bytes";
        }
    }

    if (cf->args->nelts > 3) {
        clcf->delay = ngx_parse_time(&value[3], 0);
        if (clcf->delay == (ngx_msec_t) NGX_ERROR) {
            return "needs a time";
        }
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_chaos_init(ngx_conf_t *cf)
{
    ngx_uint_t  i;

    for (i = ngx_http_weir_chaos_module.index; cf->cycle->modules[i]; i++) {
        if (ngx_strcmp(cf->cycle->modules[i]->name,
                       "ngx_http_weir_core_module")
            == 0)
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "chaos must be loaded behind the core");
            return NGX_ERROR;
        }
    }

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_weir_chaos_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_weir_chaos_body_filter;

    return NGX_OK;
}

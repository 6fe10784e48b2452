
/*
 * Weir: the interface between its NGINX modules.
 *
 * No module calls a symbol of another, because NGINX resolves every symbol
 * when it opens a file and the order of load_module lines is the operator's.
 * Instead a module finds the core by name during preconfiguration, with
 * ngx_http_weir_find_core(), and calls through the table that it gets.
 *
 * A request's way: in preaccess every plugin's admit(); in precontent the
 * body is read and scanned once if anybody needs it, then every plugin's
 * request(), then every plugin's route(); before the answer's header every
 * plugin's response_headers(), then its open_filter(); at the end settled().
 * Plugins run in the order of their stages.
 */


#ifndef _NGX_HTTP_WEIR_H_INCLUDED_
#define _NGX_HTTP_WEIR_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "lua-free-filters/edit.h"
#include "lua-free-filters/endpoint.h"
#include "lua-free-filters/filter.h"
#include "lua-free-filters/request.h"
#include "lua-free-filters/translate/translate.h"


#define NGX_HTTP_WEIR_VERSION  "0.1.0"

/* changes with any change below that an older module cannot live with */

#define NGX_HTTP_WEIR_ABI   3

#define NGX_HTTP_WEIR_CORE  "ngx_http_weir_core_module"


typedef struct ngx_http_weir_ctx_s     ngx_http_weir_ctx_t;
typedef struct ngx_http_weir_plugin_s  ngx_http_weir_plugin_t;


/* what clients that retry by themselves are told to do */

typedef enum {
    NGX_HTTP_WEIR_RETRY_BY_STATUS = 0, /* the core's table: docs/errors.md */
    NGX_HTTP_WEIR_RETRY_NO,            /* x-should-retry: false */
    NGX_HTTP_WEIR_RETRY_YES            /* x-should-retry: true */
} ngx_http_weir_retry_e;


/*
 * A refusal.  It and its strings live as long as the request's pool.  All may
 * hold any bytes: they are escaped where they go into JSON.  "type" is
 * OpenAI's; the type that Anthropic clients get follows from the status.
 * "reason" is a label of metrics: a constant of few, at most 32 characters of
 * [a-z_].
 */

typedef struct {
    ngx_uint_t                     status;
    ngx_str_t                      type;
    ngx_str_t                      code;
    ngx_str_t                      message;
    ngx_str_t                      reason;
    ngx_str_t                      param;          /* empty: null */
    ngx_uint_t                     retry;          /* ngx_http_weir_retry_e */
    ngx_uint_t                     retry_after;    /* seconds; 0: none */
} ngx_http_weir_refusal_t;

/* initializes the fields that most refusals have */

#define ngx_http_weir_refusal(status, type, code, message, reason)            \
    { status, ngx_string(type), ngx_string(code), ngx_string(message),        \
      ngx_string(reason), ngx_null_string, NGX_HTTP_WEIR_RETRY_BY_STATUS, 0 }

/* the same where a repeat is vain, whatever the status */

#define ngx_http_weir_final_refusal(status, type, code, message, reason)      \
    { status, ngx_string(type), ngx_string(code), ngx_string(message),        \
      ngx_string(reason), ngx_null_string, NGX_HTTP_WEIR_RETRY_NO, 0 }


/*
 * The order of plugins, whatever the order of load_module lines; equal stages
 * run by name.  Requests go up the stages, answers down: a filter of TRANSLATE
 * sees the upstream's protocol, one of GUARD the client's.
 */

typedef enum {
    NGX_HTTP_WEIR_STAGE_IDENTITY = 100,     /* key, token, certificate */
    NGX_HTTP_WEIR_STAGE_ADDRESS = 200,      /* country, network */
    NGX_HTTP_WEIR_STAGE_RATE = 300,         /* requests, concurrency */
    NGX_HTTP_WEIR_STAGE_POLICY = 400,       /* models, caps */
    NGX_HTTP_WEIR_STAGE_CUSTOM = 450,       /* weir_plugin.h, as a rule */
    NGX_HTTP_WEIR_STAGE_GUARD = 500,
    NGX_HTTP_WEIR_STAGE_CACHE = 600,
    NGX_HTTP_WEIR_STAGE_RESERVE = 700,      /* tokens, money */
    NGX_HTTP_WEIR_STAGE_ROUTE = 800,
    NGX_HTTP_WEIR_STAGE_TRANSLATE = 900,
    NGX_HTTP_WEIR_STAGE_AUDIT = 1000
} ngx_http_weir_stage_e;


/*
 * Needs.  A request whose body nobody needs is not buffered, an answer whose
 * items nobody needs is not re-framed.
 */

/* ctx->body: the whole body in memory */
#define NGX_HTTP_WEIR_NEEDS_BODY       0x01

/* ctx->view: the body is JSON of an understood call, scanned and read */
#define NGX_HTTP_WEIR_NEEDS_VIEW       0x02

/* as VIEW, with all edits of earlier plugins applied and scanned again */
#define NGX_HTTP_WEIR_NEEDS_EDITED     0x04

/* open_filter() is called for answers that are events or JSON */
#define NGX_HTTP_WEIR_NEEDS_RESPONSE   0x08


typedef enum {
    NGX_HTTP_WEIR_FAIL_CLOSED = 0,
    NGX_HTTP_WEIR_FAIL_OPEN
} ngx_http_weir_on_failure_e;


/*
 * What a hook of a request returns.
 *
 *   NGX_OK        go on.  From admit(): admitted, ctx->tenant and ctx->key_id
 *                 are set
 *   NGX_DECLINED  not my business, go on.  A request that no admit() hook
 *                 admits is refused with 500
 *   NGX_ABORT     refuse: ctx->refusal is set (api->deny() does both).
 *                 Without a refusal: as NGX_ERROR
 *   NGX_AGAIN     hold: the request waits until api->resume(ctx, rc) is
 *                 called, with rc as if the hook had returned it; the hook is
 *                 not called again.  Past plugin->timeout, or when the client
 *                 goes, cancel() is called and resume() must not be any more;
 *                 past the timeout the request goes on as after NGX_ERROR,
 *                 but with status 504 where it is refused
 *   NGX_DONE      answered: the hook has called api->respond(); nothing else
 *                 is asked and no upstream reached.  Not from admit()
 *   NGX_ERROR     failed.  By plugin->on_failure the request is refused with
 *                 500 (CLOSED), or goes on as after NGX_DECLINED with
 *                 ctx->failed_open set and a line in the error log (OPEN)
 *
 * Any other value is treated as NGX_ERROR.
 */

typedef ngx_int_t (*ngx_http_weir_hook_pt)(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);

typedef void (*ngx_http_weir_notice_pt)(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);

typedef ngx_uint_t (*ngx_http_weir_wants_pt)(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);


/*
 * NGX_OK: *filter (lua-free-filters/filter.h) is put into the answer's
 * pipeline; its state lives as long as the request, for instance in
 * api->arena().  NGX_DECLINED: not this answer.  NGX_ABORT, NGX_ERROR: as for
 * hooks; the refusal replaces the answer.
 */

typedef ngx_int_t (*ngx_http_weir_open_filter_pt)(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, weir_filter_t *filter, void *data);


/*
 * A plugin, constant once it is added.  Every callback may be NULL.  r is
 * always the main request.
 */

struct ngx_http_weir_plugin_s {
    ngx_str_t                      name;
    ngx_uint_t                     stage;          /* ngx_http_weir_stage_e */
    ngx_uint_t                     needs;          /* the most it ever needs */
    size_t                         max_body;       /* 0: no limit of its own;
                                                    * longer: 413 when CLOSED,
                                                    * request() is skipped when
                                                    * OPEN */
    ngx_msec_t                     timeout;        /* of a hold; 0: 1000 */
    ngx_uint_t                     on_failure;
    void                          *data;           /* passed to callbacks */

    /*
     * What of its needs this request has, for instance by the configuration
     * of its location; asked once, in precontent, when all are admitted.
     * NULL: all of "needs".  Without VIEW or BODY request() is still called.
     */
    ngx_http_weir_wants_pt         wants;

    /*
     * Who asks, and may he?  Once per main request, in the preaccess phase of
     * the first governed location that it or a subrequest of it enters, before
     * the body is read.  ctx->endpoint is known.
     */
    ngx_http_weir_hook_pt          admit;

    /*
     * The request with its body: once per main request, in precontent.
     */
    ngx_http_weir_hook_pt          request;

    /*
     * Where to?  Once per main request, after all request() hooks; sets
     * ctx->route, which $weir_route shows.
     */
    ngx_http_weir_hook_pt          route;

    /*
     * The answer's header is about to go out, r->headers_out may be changed.
     * NGX_AGAIN and NGX_DONE are not possible here.  For each header that
     * NGINX sends, error pages included.
     */
    ngx_http_weir_hook_pt          response_headers;

    ngx_http_weir_open_filter_pt   open_filter;

    /*
     * A hold ended without resume(): forget the request.
     */
    ngx_http_weir_notice_pt        cancel;

    /*
     * The request has ended and its usage line is written: all fields of ctx
     * have their last value.  Exactly once per governed request, maybe while
     * its pool is being destroyed: nothing may be allocated from r->pool.
     */
    ngx_http_weir_notice_pt        settled;
};


typedef enum {
    NGX_HTTP_WEIR_USAGE_NONE = 0,
    NGX_HTTP_WEIR_USAGE_REPORTED,
    NGX_HTTP_WEIR_USAGE_COUNTED,    /* pieces of a stream that was cut */
    NGX_HTTP_WEIR_USAGE_ESTIMATED   /* from bytes of text: the upstream told
                                     * nothing */
} ngx_http_weir_usage_e;


/* one per main request; survives internal redirects and named locations */

struct ngx_http_weir_ctx_s {
    ngx_str_t                      request_id;

    /* who: set by IDENTITY */

    ngx_str_t                      tenant;
    ngx_str_t                      team;
    ngx_str_t                      user;
    ngx_str_t                      key_id;
    ngx_str_t                     *roles;
    ngx_uint_t                     nroles;
    const void                    *policy;     /* const weir_policy_t *,
                                                * policies/policy.h; NULL:
                                                * nothing is restricted */
    const ngx_http_weir_refusal_t *refusal;

    /* what: from the request line and headers, before admit() */

    weir_endpoint_info_t           endpoint;
    ngx_str_t                      path;       /* as sent, without query */

    /* what: from the body, for request() hooks that need it */

    ngx_str_t                      body;
    const weir_request_view_t     *view;       /* NULL: not read, or the call
                                                * is not understood; after the
                                                * route() hooks view->doc is
                                                * NULL, values stay */
    ngx_str_t                      model_asked;

    /* where to: what the upstream speaks, set by TRANSLATE's request() */

    ngx_str_t                      route;
    weir_protocol_t                upstream;   /* at first the client's,
                                                * endpoint.protocol */

    /* as the answer has told so far */

    ngx_str_t                      model;
    uint64_t                       prompt_tokens;      /* cached and cache
                                                        * writes included */
    uint64_t                       cached_tokens;
    uint64_t                       cache_write_tokens;
    uint64_t                       completion_tokens;  /* reasoning included */
    uint64_t                       reasoning_tokens;
    ngx_uint_t                     usage;      /* ngx_http_weir_usage_e */

    /* milliseconds since the request's first byte; ttft is -1 without text */

    ngx_msec_int_t                 latency;
    ngx_msec_int_t                 ttft;

    ngx_uint_t                     status;

    /* what translation has lost, for settled() of later stages */

    const weir_translate_loss_t   *losses;
    ngx_uint_t                     nlosses;

    unsigned                       governed:1;
    unsigned                       decided:1;
    unsigned                       admitted:1;
    unsigned                       stream:1;       /* the answer is events */
    unsigned                       complete:1;
    unsigned                       aborted:1;
    unsigned                       unrecorded:1;
    unsigned                       settled:1;
    unsigned                       failed_open:1;
    unsigned                       passed_through:1; /* not understood, but
                                                      * allowed */
    unsigned                       stopped:1;      /* by api->stop() */
    unsigned                       responded:1;    /* by api->respond(), or a
                                                    * handler of ours: there
                                                    * is no usage to read */
    unsigned                       upstream_error:1; /* told inside an answer
                                                      * that was none by its
                                                      * status */
    unsigned                       cut:1;          /* the upstream broke the
                                                    * answer off; known to
                                                    * settled() */

    /* of api->work() */

    ngx_atomic_t                   unwanted;   /* nobody waits any more for
                                                * what the thread makes */
    ngx_uint_t                     works;      /* done by threads so far */
    ngx_uint_t                     on_thread;  /* one calls the filters of the
                                                * answer: those stay away from
                                                * r, as work() does */
};


typedef void (*ngx_http_weir_work_pt)(void *data);


typedef struct {
    ngx_uint_t                     abi;
    size_t                         size;

    /*
     * Adds a plugin, which must live as long as the cycle; only during
     * preconfiguration or while directives are read.  NGX_ERROR after a
     * message: out of memory, two of one name, no name.
     */
    ngx_int_t                    (*add_plugin)(ngx_conf_t *cf,
                                       const ngx_http_weir_plugin_t *plugin);

    /*
     * The context of the request's main request, made when there is none;
     * NULL when out of memory.
     */
    ngx_http_weir_ctx_t         *(*get_ctx)(ngx_http_request_t *r);

    /*
     * The plugin's own pointer of this request, NULL at first.  Never fails
     * for a plugin that was added.
     */
    void                       **(*slot)(ngx_http_weir_ctx_t *ctx,
                                       const ngx_http_weir_plugin_t *plugin);

    /*
     * The arena of the request: freed after settled().  NULL is never
     * returned.
     */
    weir_arena_t                *(*arena)(ngx_http_weir_ctx_t *ctx);

    /*
     * Answers a main request with the refusal, in the error shape of the API
     * called.  A content handler returns the result; a phase handler passes
     * it to ngx_http_finalize_request() and returns NGX_DONE.  For a
     * subrequest the result is the status.  Hooks do not call it: they return
     * NGX_ABORT.
     */
    ngx_int_t                    (*refuse)(ngx_http_request_t *r,
                                       const ngx_http_weir_refusal_t *why);

    /*
     * Sets ctx->refusal to a copy of *why whose message is made from the
     * format (of ngx_sprintf(), at most 1024 bytes), and returns NGX_ABORT;
     * NGX_ERROR when out of memory.  Of *why itself only the strings must
     * live on.
     */
    ngx_int_t                    (*deny)(ngx_http_weir_ctx_t *ctx,
                                       const ngx_http_weir_refusal_t *why,
                                       const char *fmt, ...);

    /*
     * The whole answer, sent at once, from request() or route(), which then
     * returns what this returns: NGX_DONE, or NGX_ERROR.  type is its
     * content type; body must live as long as the request.
     */
    ngx_int_t                    (*respond)(ngx_http_weir_ctx_t *ctx,
                                       ngx_uint_t status, ngx_str_t *type,
                                       ngx_str_t *body);

    /*
     * The splices of the body that ctx->view shows; add to it with
     * weir_edit_splice() and its sisters.  They take effect before the next
     * plugin that needs EDITED, and when the request leaves: until then all
     * see the same text and nodes.  NULL without a view.
     */
    weir_edit_t                 *(*edit)(ngx_http_weir_ctx_t *ctx);

    /*
     * Another body in place of the client's, edits so far included; it must
     * live as long as the request and is not scanned again, unless a later
     * plugin needs EDITED.  NGX_OK or NGX_ERROR.
     */
    ngx_int_t                    (*replace_body)(ngx_http_weir_ctx_t *ctx,
                                       ngx_str_t *body);

    /*
     * Ends a hold; from any event handler of the worker, not from within the
     * hook itself.  The request may be gone when it returns.
     */
    void                         (*resume)(ngx_http_weir_ctx_t *ctx,
                                       ngx_int_t rc);

    /*
     * Ends an answer.  Before its header the request is refused with *why;
     * within it the client sees the end that "how" says in its protocol, with
     * why's message and code for WEIR_STOP_ERROR.  The upstream connection is
     * closed.  From any event handler of the worker, not from hooks (which
     * refuse) nor filters (which have weir_sink_stop()); *why must live as
     * long as the request.  The request may be gone when it returns.
     */
    void                         (*stop)(ngx_http_weir_ctx_t *ctx,
                                       weir_stop_reason_t how,
                                       const ngx_http_weir_refusal_t *why);

    /*
     * Wakes the filters of the answer: a verdict that one waits for is there
     * (weir_pipeline_wake()).  From any event handler of the worker.  The
     * request may be gone when it returns.
     */
    void                         (*wake)(ngx_http_weir_ctx_t *ctx);

    /*
     * Calls the visitor for each governed request of this worker that is not
     * settled.  The visitor may stop() the one that it is called for.
     */
    void                         (*walk)(ngx_http_weir_notice_pt visitor,
                                       void *data);

    /*
     * A tag of the request, shown as $weir_tag_<name> (lower case letters,
     * digits and "_"); a later one of the same name wins.  Copied.  NGX_OK or
     * NGX_ERROR.
     */
    ngx_int_t                    (*tag)(ngx_http_weir_ctx_t *ctx,
                                       ngx_str_t *name, ngx_str_t *value);

    /*
     * Work that may take a millisecond, so that it must not be done in the
     * event loop.  NGX_AGAIN: a thread calls work(data), then the
     * event loop done(data); the request lives until then, and hooks return
     * NGX_AGAIN, too.  Nobody else may touch meanwhile what work() does: it
     * has the request's arena and body for itself, but must stay away from
     * r, its pool and bits of ctx.  Long work looks at ctx->unwanted now and
     * then.  Past the hold's deadline, or when the request was stopped,
     * cancel() is called instead of done() when work() has returned.
     * NGX_DECLINED: there are no threads, or too much waits for them; the
     * caller does it himself.
     */
    ngx_int_t                    (*work)(ngx_http_weir_ctx_t *ctx,
                                       ngx_http_weir_work_pt work,
                                       ngx_http_weir_work_pt done,
                                       void *data);

    /*
     * Adds a header to the answer; name and value live as long as the
     * request.  NGX_OK or NGX_ERROR.
     */
    ngx_int_t                    (*add_header)(ngx_http_request_t *r,
                                       ngx_str_t *name, ngx_str_t *value);
} ngx_http_weir_api_t;


/*
 * What a module of this name offers to others: the first member of its main
 * configuration, or NULL when it is not loaded.  Its header says what type
 * that has, and begins it with an ABI number.
 */

static ngx_inline void *
ngx_http_weir_find_module(ngx_conf_t *cf, const char *name)
{
    void                 **mcf;
    ngx_uint_t             i;
    ngx_module_t          *module;
    ngx_http_conf_ctx_t   *ctx;

    ctx = cf->ctx;

    for (i = 0; cf->cycle->modules[i]; i++) {
        module = cf->cycle->modules[i];

        if (module->type != NGX_HTTP_MODULE
            || ngx_strcmp(module->name, name) != 0)
        {
            continue;
        }

        mcf = ctx->main_conf[module->ctx_index];

        return (mcf == NULL) ? NULL : *mcf;
    }

    return NULL;
}


/* the configuration that a module has given its zone, or NULL */

static ngx_inline void *
ngx_http_weir_zone_data(ngx_cycle_t *cycle, void *tag)
{
    ngx_uint_t        i;
    ngx_shm_zone_t   *zone;
    ngx_list_part_t  *part;

    if (cycle == NULL) {
        return NULL;
    }

    for (part = &cycle->shared_memory.part; part; part = part->next) {
        zone = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (zone[i].tag == tag) {
                return zone[i].data;
            }
        }
    }

    return NULL;
}


/* the core's table, or NULL after a message that says what to do */

static ngx_inline const ngx_http_weir_api_t *
ngx_http_weir_find_core(ngx_conf_t *cf, const char *who)
{
    const ngx_http_weir_api_t   *api;

    api = ngx_http_weir_find_module(cf, NGX_HTTP_WEIR_CORE);

    if (api == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s needs " NGX_HTTP_WEIR_CORE ": add "
                           "\"load_module modules/" NGX_HTTP_WEIR_CORE
                           ".so;\"",
                           who);
        return NULL;
    }

    if (api->abi != NGX_HTTP_WEIR_ABI
        || api->size < sizeof(ngx_http_weir_api_t))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s and " NGX_HTTP_WEIR_CORE " are of "
                           "different releases: install both from one",
                           who);
        return NULL;
    }

    return api;
}


#endif /* _NGX_HTTP_WEIR_H_INCLUDED_ */

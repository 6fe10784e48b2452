
/*
 * Weir: the interface to its one outgoing HTTP/1.1 client.
 *
 * A module finds the client by name while the configuration is read, with
 * ngx_http_weir_find_client(), and calls through the table that it gets; no
 * symbol is shared, and the order of load_module lines does not matter.
 *
 *     static void done(const ngx_http_weir_client_answer_t *a, void *data);
 *
 *     target = client->parse(cf, &url, NULL);             while reading
 *
 *     ngx_memzero(&call, sizeof(call));                   in a worker
 *     call.target = target;
 *     ngx_str_set(&call.method, "GET");
 *     handle = client->start(&call, done, data);
 */


#ifndef _NGX_HTTP_WEIR_CLIENT_H_INCLUDED_
#define _NGX_HTTP_WEIR_CLIENT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* changes with any change below that an older module cannot live with */

#define NGX_HTTP_WEIR_CLIENT_ABI  1

#define NGX_HTTP_WEIR_CLIENT      "ngx_http_weir_client_module"


/* where to and how: made while the configuration is read, lives as long */

typedef struct ngx_http_weir_client_target_s  ngx_http_weir_client_target_t;
typedef struct ngx_http_weir_client_profile_s ngx_http_weir_client_profile_t;

/* a call under way: known until its handler is called or it is cancelled */

typedef struct ngx_http_weir_client_call_s    ngx_http_weir_client_call_t;


/*
 * How connections are made.  Zeroed, with every name empty, it means what the
 * weir_client_* directives say; a member that is set goes before them.
 */

typedef struct {
    ngx_str_t                      ca_file;      /* PEM, verifies the server */
    ngx_str_t                      certificate;  /* PEM, of the client */
    ngx_str_t                      certificate_key;
    ngx_str_t                      server_name;  /* SNI and host name check
                                                    instead of the URL's */
    unsigned                       no_verify:1;  /* only for a directive that
                                                    says so */
} ngx_http_weir_client_options_t;


typedef struct {
    ngx_str_t                      name;
    ngx_str_t                      value;
} ngx_http_weir_client_header_t;


/*
 * One call.  Everything is copied before start() returns.  Host, Connection,
 * Content-Length and User-Agent are the client's; a header of the caller's
 * with one of the first three names, or with bytes that no header may have,
 * makes the call fail with class INVALID.
 */

typedef struct {
    /* either a target or a URL, "http://", "https://" or "http://unix:";
       a URL given here comes from data: addresses that are not public are
       refused (class FORBIDDEN) unless "weir_client_allow" names them or
       "trusted" is set; a target is the operator's word and may be anywhere */

    ngx_http_weir_client_target_t *target;
    ngx_str_t                      url;
    ngx_http_weir_client_profile_t *profile;     /* for url; NULL: default */

    /* appended to the target's path, as it is: "/usage/" + "req_1"; must be
       ASCII without blanks and control characters */

    ngx_str_t                      suffix;

    ngx_str_t                      method;       /* empty: GET */
    ngx_http_weir_client_header_t *headers;
    ngx_uint_t                     nheaders;
    ngx_str_t                      body;         /* none if empty, but POST,
                                                    PUT and PATCH then say
                                                    Content-Length: 0 */

    ngx_msec_t                     deadline;     /* from start() to the end of
                                                    the answer's body; 0:
                                                    weir_client_timeout */
    size_t                         max_body;     /* 0: weir_client_max_body */

    unsigned                       trusted:1;

    /* never over a kept connection, hence never sent twice: a request on a
       kept connection that the server closed without a byte of answer is
       repeated once on a new one */

    unsigned                       once:1;

    /* a worker that shuts down does not wait for the call; its handler may
       then never be called */

    unsigned                       background:1;
} ngx_http_weir_client_request_t;


typedef enum {
    NGX_HTTP_WEIR_CLIENT_OK = 0,
    NGX_HTTP_WEIR_CLIENT_INVALID,    /* the request is wrong */
    NGX_HTTP_WEIR_CLIENT_FORBIDDEN,  /* the address is not public */
    NGX_HTTP_WEIR_CLIENT_BUSY,       /* weir_client_max_calls are under way */
    NGX_HTTP_WEIR_CLIENT_RESOLVE,
    NGX_HTTP_WEIR_CLIENT_CONNECT,
    NGX_HTTP_WEIR_CLIENT_TLS,
    NGX_HTTP_WEIR_CLIENT_TIMEOUT,
    NGX_HTTP_WEIR_CLIENT_TOO_LARGE,
    NGX_HTTP_WEIR_CLIENT_PROTOCOL,   /* what came is not HTTP/1.1 */
    NGX_HTTP_WEIR_CLIENT_CLOSED,     /* by the server, or the worker ends */
    NGX_HTTP_WEIR_CLIENT_MEMORY,
    NGX_HTTP_WEIR_CLIENT_ERRORS
} ngx_http_weir_client_error_e;


/*
 * The end of a call.  With error OK there is an answer, whatever its status:
 * 404 and 500 are answers, and a redirect is one too, it is not followed.
 * With an error, text says what happened, to whom, and what may help; it is
 * printable ASCII without what the server sent.  All of it ends when the
 * handler returns.
 */

typedef struct {
    ngx_uint_t                     error;        /* ..._error_e */
    ngx_str_t                      name;         /* of error: "timeout" */
    ngx_str_t                      text;

    ngx_uint_t                     status;
    ngx_http_weir_client_header_t *headers;      /* as sent; repeated ones
                                                    are repeated */
    ngx_uint_t                     nheaders;
    ngx_str_t                      body;

    ngx_msec_t                     elapsed;
    unsigned                       reused:1;     /* a kept connection */
} ngx_http_weir_client_answer_t;


/*
 * Called exactly once for each call that is not cancelled, from the event
 * loop, never from within start().  It may start and cancel calls; cancelling
 * its own does nothing, and when it returns the handle is gone.  A worker that
 * is told to end at once calls nothing: a module that must write something has
 * its own exit_process.
 */

typedef void (*ngx_http_weir_client_handler_pt)(
    const ngx_http_weir_client_answer_t *answer, void *data);


typedef struct {
    ngx_uint_t                     abi;
    size_t                         size;

    /*
     * Only while the configuration is read.  Both answer NULL after a message
     * at level emerg that names the value.  Strings are copied.  parse():
     * profile may be NULL.  Names are resolved when a call is made, by
     * weir_client_resolver or the http block's resolver; without one they are
     * resolved once, when the configuration has been read.
     */
    ngx_http_weir_client_profile_t
                                *(*profile)(ngx_conf_t *cf,
                                    const ngx_http_weir_client_options_t *o);
    ngx_http_weir_client_target_t
                                *(*parse)(ngx_conf_t *cf, ngx_str_t *url,
                                    ngx_http_weir_client_profile_t *profile);

    /*
     * Only in a worker.  NULL when out of memory; every other failure is told
     * to the handler.
     */
    ngx_http_weir_client_call_t *(*start)(
                                    const ngx_http_weir_client_request_t *rq,
                                    ngx_http_weir_client_handler_pt handler,
                                    void *data);

    /*
     * The handler is not called; all of the call's memory is given back.
     * Whoever waits with memory of a request cancels in the cleanup of the
     * request's pool.
     */
    void                         (*cancel)(ngx_http_weir_client_call_t *call);
} ngx_http_weir_client_api_t;


/* the first header of that name, in any case; NULL when there is none */

static ngx_inline ngx_str_t *
ngx_http_weir_client_find_header(const ngx_http_weir_client_answer_t *answer,
    const char *name)
{
    size_t      len;
    ngx_uint_t  i;

    len = ngx_strlen(name);

    for (i = 0; i < answer->nheaders; i++) {
        if (answer->headers[i].name.len == len
            && ngx_strncasecmp(answer->headers[i].name.data, (u_char *) name,
                               len)
               == 0)
        {
            return &answer->headers[i].value;
        }
    }

    return NULL;
}


/*
 * The client's table, or NULL after a message that says what to do: to be
 * called where a directive needs the client, at any time while the
 * configuration is read.  The first member of the client's main configuration
 * points to the table.
 */

static ngx_inline const ngx_http_weir_client_api_t *
ngx_http_weir_find_client(ngx_conf_t *cf, const char *who)
{
    void                             **mcf;
    ngx_uint_t                         i;
    ngx_module_t                      *module;
    ngx_http_conf_ctx_t               *ctx;
    const ngx_http_weir_client_api_t  *api;

    ctx = cf->ctx;

    for (i = 0; cf->cycle->modules[i]; i++) {
        module = cf->cycle->modules[i];

        if (module->type != NGX_HTTP_MODULE
            || ngx_strcmp(module->name, NGX_HTTP_WEIR_CLIENT) != 0)
        {
            continue;
        }

        mcf = ctx->main_conf[module->ctx_index];
        api = (mcf == NULL) ? NULL : *mcf;

        if (api == NULL
            || api->abi != NGX_HTTP_WEIR_CLIENT_ABI
            || api->size < sizeof(ngx_http_weir_client_api_t))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "%s and " NGX_HTTP_WEIR_CLIENT " are of "
                               "different releases: install both from one",
                               who);
            return NULL;
        }

        return api;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "%s needs " NGX_HTTP_WEIR_CLIENT ": add "
                       "\"load_module modules/" NGX_HTTP_WEIR_CLIENT ".so;\"",
                       who);
    return NULL;
}


#endif /* _NGX_HTTP_WEIR_CLIENT_H_INCLUDED_ */

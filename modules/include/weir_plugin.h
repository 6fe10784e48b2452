/*
 * Weir: the interface of plugins that are not part of Weir.
 *
 * A plugin is a shared object in plain C. It needs this header and nothing
 * else: no header or symbol of NGINX or Weir, so it survives upgrades of both.
 * The gateway opens it (RTLD_LOCAL) for
 *
 *     weir_plugin /path/to/plugin.so key=value ...;
 *
 * and calls its one exported function, weir_plugin_entry(), which returns a
 * table. docs/plugins.md is the guide, t/plugins/business_unit.c a complete
 * example.
 *
 * One process, one thread: every function of the table is called on the event
 * loop of one worker, for one request at a time, and must return soon: nothing
 * may block there. Work that takes longer goes to a thread of the plugin's own,
 * with a hold (see WEIR_PLUGIN_HOLD).
 *
 * Ownership, everywhere in this header: what a function is given belongs to the
 * caller and ends when the function returns. What a plugin passes to a function
 * of the host is copied before that returns. The texts of a decision are copied
 * right after the function that decides has returned: they must still be there,
 * so not on its stack; host->alloc() has memory for them. Texts have a length
 * and need not end with a NUL, except where the type is const char *.
 */
#ifndef WEIR_PLUGIN_H
#define WEIR_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Changes when a plugin that was built before would misbehave. Members are only
 * ever added at the end of structures, whose size tells which are there.
 */
#define WEIR_PLUGIN_ABI 1

typedef struct {
    const char *data;
    size_t len;
} weir_plugin_text_t;

/* A request, as the gateway knows it. Valid in the functions that get it, until
 * log() returns. */
typedef struct weir_plugin_request weir_plugin_request_t;

typedef struct weir_plugin_host weir_plugin_host_t;

/*
 * What a function decides. Any other value counts as WEIR_PLUGIN_FAIL, and so
 * does one that the function does not list.
 */
typedef enum {
    /* Nothing to object to: the next plugin is asked. Everything of the
       decision is ignored. */
    WEIR_PLUGIN_CONTINUE = 0,

    /*
     * Not decided yet. The function has called host->hold() and has handed the
     * handle to somebody (a thread, as a rule) who will call host->resume()
     * with it. Until then the request waits, other requests do not. After
     * needs.timeout_ms without an answer the request goes on as after
     * WEIR_PLUGIN_FAIL (a refusal then has status 504). When the hold ends in
     * another way, because of that time or because the client has left,
     * cancelled() is called.
     */
    WEIR_PLUGIN_HOLD,

    /* decision->text takes the place of what the function was shown. */
    WEIR_PLUGIN_REPLACE,

    /*
     * The request or the answer ends here. Before the answer has begun the
     * client gets decision->status (400 to 599; 0: 403) with decision->message
     * in the error shape of its API. Later it is a response_item() that denies:
     * see there.
     */
    WEIR_PLUGIN_DENY,

    /*
     * The plugin could not decide. needs.on_failure says what happens:
     * WEIR_PLUGIN_CLOSED, the request is refused with status 500, or the answer
     * ends with an error; WEIR_PLUGIN_OPEN, it goes on as if the plugin had not
     * been asked. Both are in the error log.
     */
    WEIR_PLUGIN_FAIL
} weir_plugin_verdict_t;

/*
 * Zeroed before each call; only what the verdict needs is looked at. type is
 * OpenAI's error type (NULL: "invalid_request_error"), code is stable, for
 * programs (NULL: "denied_by_plugin"), message is a sentence for people, of at
 * most 1024 bytes.
 */
typedef struct {
    weir_plugin_text_t text; /* REPLACE */

    unsigned status; /* DENY, and all below */
    const char *type;
    const char *code;
    weir_plugin_text_t message;
} weir_plugin_decision_t;

/* For host->get(). What is not known (yet) is empty. */
typedef enum {
    WEIR_PLUGIN_REQUEST_ID = 0, /* as in X-Request-Id and the usage ledger */
    WEIR_PLUGIN_METHOD,         /* "POST" */
    WEIR_PLUGIN_PATH,           /* as the client sent it, without the query */
    WEIR_PLUGIN_QUERY,
    WEIR_PLUGIN_CLIENT,   /* the client's address, as text */
    WEIR_PLUGIN_ENDPOINT, /* "chat", "embeddings", ... or "other" */
    WEIR_PLUGIN_TENANT,
    WEIR_PLUGIN_TEAM,
    WEIR_PLUGIN_USER,
    WEIR_PLUGIN_KEY_ID,
    WEIR_PLUGIN_MODEL, /* that the client asks for; from request_body() on, if a
                          body was read */
    WEIR_PLUGIN_ROUTE
} weir_plugin_fact_t;

typedef enum {
    WEIR_PLUGIN_LOG_INFO = 0,
    WEIR_PLUGIN_LOG_WARN,
    WEIR_PLUGIN_LOG_ERROR
} weir_plugin_level_t;

/*
 * What a plugin may ask of the gateway. The table lives as long as the plugin.
 * Functions that get a request may only be called from within a function that
 * got that request; resume() from any thread, between start() and the end of
 * stop(); log() only on the event loop.
 */
struct weir_plugin_host {
    uint32_t abi;  /* WEIR_PLUGIN_ABI of the gateway */
    uint32_t size; /* of this structure */

    weir_plugin_text_t (*get)(weir_plugin_request_t *request,
                              weir_plugin_fact_t fact);

    /* The value of the request's header number n (from 0) of that name, in any
     * case; data is NULL when there is none. The client's key is never shown.
     */
    weir_plugin_text_t (*header)(weir_plugin_request_t *request,
                                 const char *name, unsigned n);

    /* The same of the answer, in response_headers() only. */
    weir_plugin_text_t (*response_header)(weir_plugin_request_t *request,
                                          const char *name, unsigned n);

    /* In response_headers() only: sets a header of the answer in place of all
     * of that name. Content-Length, Transfer-Encoding, Connection and
     * Content-Type are the gateway's own. 0, or -1 when it cannot be set. */
    int (*set_response_header)(weir_plugin_request_t *request, const char *name,
                               weir_plugin_text_t value);

    /* A tag, shown in NGINX as $weir_tag_<name> (lower case letters, digits,
     * "_"), for logs, maps and other plugins; a later one of the same name
     * wins. 0, or -1. */
    int (*tag)(weir_plugin_request_t *request, const char *name,
               weir_plugin_text_t value);

    /* In route() only: where the request goes, shown as $weir_route. 0, or -1.
     */
    int (*set_route)(weir_plugin_request_t *request, weir_plugin_text_t route);

    /* The plugin's own pointer of this request, NULL at first. What hangs there
     * is freed in log(), which is called for every request that any function
     * was called for. */
    void **(*state)(weir_plugin_request_t *request);

    /* Memory of the request, freed after log(); aligned for any type, not
     * zeroed. NULL: none left. */
    void *(*alloc)(weir_plugin_request_t *request, size_t size);

    /* A handle for a hold, never 0, to be called right before WEIR_PLUGIN_HOLD
     * is returned; 0 when none can be had: return WEIR_PLUGIN_FAIL then. */
    uint64_t (*hold)(weir_plugin_request_t *request);

    /* Ends the hold with any verdict but WEIR_PLUGIN_HOLD, as if the function
     * that held had returned it. decision may be NULL for CONTINUE and FAIL.
     * From any thread; a handle of a hold that has ended already is ignored.
     * The decision's texts are copied. host is the table itself. */
    void (*resume)(const weir_plugin_host_t *host, uint64_t handle,
                   weir_plugin_verdict_t verdict,
                   const weir_plugin_decision_t *decision);

    /* A line in NGINX's error log. request may be NULL. */
    void (*log)(const weir_plugin_host_t *host, weir_plugin_request_t *request,
                weir_plugin_level_t level, const char *text);
};

typedef enum {
    WEIR_PLUGIN_NO_BODY = 0,
    WEIR_PLUGIN_WHOLE_BODY,
    WEIR_PLUGIN_BODY_PIECES
} weir_plugin_body_t;

typedef enum {
    WEIR_PLUGIN_CLOSED = 0,
    WEIR_PLUGIN_OPEN
} weir_plugin_on_failure_t;

/*
 * What the plugin needs; zeroed before open(), which fills it. A request whose
 * body nobody needs is not buffered, an answer that nobody reads is not taken
 * apart.
 */
typedef struct {
    weir_plugin_body_t body; /* how request_body() is called */
    int response;            /* not 0: response_item() is called */
    size_t max_body; /* a longer request body: 413, or when OPEN not shown; 0:
                        no limit */
    size_t max_held; /* bytes of an answer kept while one of its items is held,
                        then as after the timeout; 0: 1 MiB */
    unsigned timeout_ms; /* of a hold; 0: 1000 */
    weir_plugin_on_failure_t on_failure;
} weir_plugin_needs_t;

/* A parameter key=value of the directive. Both end with a NUL. */
typedef struct {
    weir_plugin_text_t key;
    weir_plugin_text_t value;
} weir_plugin_setting_t;

typedef enum {
    WEIR_PLUGIN_ITEM_EVENT = 0, /* an event of a stream */
    WEIR_PLUGIN_ITEM_DOCUMENT   /* a whole JSON answer */
} weir_plugin_item_kind_t;

typedef struct {
    weir_plugin_item_kind_t kind;
    weir_plugin_text_t name; /* of an event; empty as a rule */
    weir_plugin_text_t data; /* JSON, as the client would get it */
} weir_plugin_item_t;

typedef enum {
    WEIR_PLUGIN_END_COMPLETE = 0,
    WEIR_PLUGIN_END_CUT,    /* the upstream broke off */
    WEIR_PLUGIN_END_ABORT,  /* the client left */
    WEIR_PLUGIN_END_STOPPED /* by the gateway or a plugin */
} weir_plugin_end_t;

/* What the usage ledger gets. */
typedef struct {
    weir_plugin_text_t model; /* as the answer named it */
    uint64_t prompt_tokens;
    uint64_t cached_tokens; /* of the prompt's */
    uint64_t completion_tokens;
    int estimated; /* the upstream told nothing */
    unsigned status;
    int stream;
    int aborted; /* the client left */
    int64_t latency_ms;
    int64_t ttft_ms; /* to the first text; -1: none */
} weir_plugin_usage_t;

/*
 * The plugin. It is not copied and must stay as it is. Every function may be
 * NULL, except open. Plugins are asked in the order of their names, after keys
 * and policies and before guards, caches and limits of tokens; answers pass
 * them in the reverse order.
 */
typedef struct {
    uint32_t abi;     /* WEIR_PLUGIN_ABI */
    uint32_t size;    /* sizeof(weir_plugin_t) */
    const char *name; /* 1 to 32 of a-z, 0-9, "_" and "-"; for logs */
    const char *version;

    /*
     * While the configuration is read, in the master process, also for `nginx
     * -t` and once for each reload (the old one lives on until its last request
     * has ended). Checks the settings, fills *needs, and leaves in *self what
     * the other functions get. No threads: they would not exist in the workers.
     * 0, or not 0 after writing the reason into error[0..error_size): the
     * configuration is refused with it.
     */
    int (*open)(const weir_plugin_host_t *host,
                const weir_plugin_setting_t *settings, size_t n_settings,
                weir_plugin_needs_t *needs, void **self, char *error,
                size_t error_size);

    /* The end of what open() began: in the master, and in each worker after
     * stop(). */
    void (*close)(void *self);

    /* A worker begins: threads, connections. 0, or not 0: each call fails then
     * (on_failure). */
    int (*start)(void *self);

    /* A worker ends: all of its threads must have ended when this returns.
     * Holds are over. */
    void (*stop)(void *self);

    /*
     * The caller is known, the body is not read yet. CONTINUE, HOLD, DENY,
     * FAIL. For each request that keys and policies let pass, once.
     */
    weir_plugin_verdict_t (*request_headers)(void *self,
                                             weir_plugin_request_t *request,
                                             weir_plugin_decision_t *decision);

    /*
     * The request's body, with all that policies and earlier plugins have
     * changed in it. For WHOLE_BODY one call; for BODY_PIECES calls with at
     * most 64 KiB, of which the last has last set. Not called without a body.
     * CONTINUE, DENY, FAIL; with the last piece also HOLD and REPLACE: text is
     * the whole new body. A call whose body the gateway understands must stay
     * one: a replacement that is no valid request counts as FAIL.
     */
    weir_plugin_verdict_t (*request_body)(void *self,
                                          weir_plugin_request_t *request,
                                          weir_plugin_text_t piece, int last,
                                          weir_plugin_decision_t *decision);

    /* Where to: may call host->set_route(). CONTINUE, HOLD, DENY, FAIL. */
    weir_plugin_verdict_t (*route)(void *self, weir_plugin_request_t *request,
                                   weir_plugin_decision_t *decision);

    /*
     * The answer's header is about to leave; also those of refusals and errors,
     * with their status. CONTINUE, DENY (the answer is dropped and the refusal
     * sent in its place), FAIL.
     */
    weir_plugin_verdict_t (*response_headers)(void *self,
                                              weir_plugin_request_t *request,
                                              unsigned status,
                                              weir_plugin_decision_t *decision);

    /*
     * An event of a stream, or a whole JSON answer; not comments and not
     * [DONE], nor error answers of the upstream. CONTINUE, HOLD (what follows
     * waits in order), REPLACE (text takes the place of data; an empty text
     * drops an event), DENY (what has passed stays, the HTTP status too; with
     * decision->status the answer ends with an error in its protocol's shape,
     * without one with the finish reason content_filter), FAIL. An item over
     * the gateway's limits ends the answer when CLOSED and is not shown when
     * OPEN.
     */
    weir_plugin_verdict_t (*response_item)(void *self,
                                           weir_plugin_request_t *request,
                                           const weir_plugin_item_t *item,
                                           weir_plugin_decision_t *decision);

    /* No more items come. Once, if response_item() could be called. */
    void (*response_end)(void *self, weir_plugin_request_t *request,
                         weir_plugin_end_t how);

    /* A hold of this request has ended without resume(): drop the work. */
    void (*cancelled)(void *self, weir_plugin_request_t *request,
                      uint64_t handle);

    /* The last function called for a request, exactly once, after its usage
     * line. The client may have gone long ago. */
    void (*log)(void *self, weir_plugin_request_t *request,
                const weir_plugin_usage_t *usage);
} weir_plugin_t;

/* The one symbol that a plugin exports. gateway_abi is the gateway's
 * WEIR_PLUGIN_ABI; a plugin that knows several may choose. NULL counts as
 * another ABI. */
const weir_plugin_t *weir_plugin_entry(uint32_t gateway_abi);

#ifdef __cplusplus
}
#endif

#endif

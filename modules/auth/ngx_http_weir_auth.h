
/*
 * Weir: what the files of the auth module share.
 */


#ifndef _NGX_HTTP_WEIR_AUTH_H_INCLUDED_
#define _NGX_HTTP_WEIR_AUTH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir.h"
#include "ngx_http_weir_client.h"
#include "ngx_http_weir_registry.h"

#include "policies/jwks_state.h"
#include "policies/jwt.h"
#include "policies/jwt_cache.h"
#include "policies/registry.h"


/* how long a change may take to reach a worker without requests */

#define NGX_HTTP_WEIR_AUTH_TICK     250

/* how long a start or reload waits for who holds the journal's lock */

#define NGX_HTTP_WEIR_AUTH_PATIENCE  2000

#define NGX_HTTP_WEIR_AUTH_ROLES    16

/* largest decision that is kept */

#define NGX_HTTP_WEIR_AUTH_ENTRY    8192


typedef enum {
    NGX_HTTP_WEIR_TENANTS = 0,
    NGX_HTTP_WEIR_POLICIES,
    NGX_HTTP_WEIR_IDENTITY,
    NGX_HTTP_WEIR_ROUTES,
    NGX_HTTP_WEIR_PRICES,
    NGX_HTTP_WEIR_FILES
} ngx_http_weir_file_e;


/*
 * Shared by all workers, the shutting down ones of older configurations
 * included.  The texts are written and read under the zone's mutex, which
 * nobody holds for longer than a copy.
 */

typedef struct {
    ngx_uint_t                     size;        /* of this: its version */

    /* raised after each change that was appended to the journal */

    ngx_atomic_t                   changes;

    /* raised after documents were read again without a new configuration */

    ngx_atomic_t                   reloads;

    /* the process that is changing something, or 0 */

    ngx_atomic_t                   writer;

    ngx_http_weir_documents_t      documents;
} ngx_http_weir_auth_shm_t;


typedef struct {
    const ngx_http_weir_registry_api_t *api;    /* must be first */

    const ngx_http_weir_api_t     *weir;
    const ngx_http_weir_client_api_t *client;
    ngx_http_weir_plugin_t         plugin;

    ngx_str_t                      files[NGX_HTTP_WEIR_FILES];
    ngx_str_t                      journal_file;
    ngx_msec_t                     jwks_timeout;
    ngx_int_t                      cache_entries;
    ngx_int_t                      client_verify;   /* index of variable */
    ngx_int_t                      client_subject;

    weir_registry_paths_t          paths;
    weir_registry_state_t          state;

    ngx_shm_zone_t                *zone;
    ngx_http_weir_auth_shm_t      *sh;
    ngx_slab_pool_t               *shpool;

    /* how far the state is */

    ngx_atomic_uint_t              changes;
    ngx_atomic_uint_t              reloads;

    /* of this worker */

    ngx_pid_t                      pid;
    weir_journal_t                *journal;
    weir_journal_t                *writer;
    uint64_t                       tidy_at;     /* lines of the journal */
    weir_key_hasher_t             *hasher;
    weir_jwt_cache_t              *cache;
    u_char                         salt[WEIR_KEY_SALT_LEN];
    ngx_queue_t                    sources;
    ngx_event_t                    tick;
    ngx_uint_t                     ticks;

    /* all changes up to now could be read */
    ngx_uint_t                     known;
} ngx_http_weir_auth_main_conf_t;


/* the keys of one issuer, in this worker */

typedef struct {
    ngx_queue_t                    queue;
    ngx_queue_t                    waiting;     /* ..._auth_ctx_t */
    ngx_http_weir_auth_main_conf_t *wamcf;

    ngx_str_t                      issuer;
    ngx_str_t                      file;        /* as in the document */
    char                          *path;
    ngx_str_t                      url;
    ngx_uint_t                     algorithms;

    weir_jwks_state_t              keys;
    ngx_http_weir_client_call_t   *call;

    unsigned                       wanted:1;
} ngx_http_weir_source_t;


/* one per request that the module has admitted or holds */

typedef struct {
    ngx_http_request_t            *request;
    ngx_http_weir_ctx_t           *ctx;
    ngx_http_weir_auth_main_conf_t *wamcf;

    /* a reference: ctx points into it */
    weir_registry_t               *registry;

    /* while it waits for keys */

    ngx_queue_t                    queue;
    ngx_str_t                      token;
    unsigned                       waiting:1;
} ngx_http_weir_auth_ctx_t;


/* credentials and their verdicts: ngx_http_weir_auth_admit.c */

ngx_int_t ngx_http_weir_auth_admit(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);
void ngx_http_weir_auth_cancel(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);
ngx_int_t ngx_http_weir_auth_principal(ngx_http_weir_auth_ctx_t *actx,
    const weir_principal_t *who, weir_principal_verdict_t verdict);
void ngx_http_weir_auth_cut(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    void *data);

/* tokens: ngx_http_weir_auth_token.c */

ngx_int_t ngx_http_weir_auth_token(ngx_http_weir_auth_ctx_t *actx,
    ngx_uint_t waited);

/* their issuers' keys: ngx_http_weir_auth_jwks.c */

ngx_http_weir_source_t *ngx_http_weir_auth_find_source(
    ngx_http_weir_auth_main_conf_t *wamcf, weir_str_t issuer);
void ngx_http_weir_auth_sync_sources(ngx_http_weir_auth_main_conf_t *wamcf);
void ngx_http_weir_auth_free_sources(ngx_http_weir_auth_main_conf_t *wamcf);
void ngx_http_weir_auth_fetch(ngx_http_weir_source_t *source,
    ngx_uint_t background);
void ngx_http_weir_auth_try_files(ngx_conf_t *cf,
    ngx_http_weir_auth_main_conf_t *wamcf);

/* what others may ask and change: ngx_http_weir_auth_change.c */

extern const ngx_http_weir_registry_api_t  ngx_http_weir_auth_api;

/* documents and the journal: ngx_http_weir_auth_state.c */

ngx_int_t ngx_http_weir_auth_load(ngx_conf_t *cf,
    ngx_http_weir_auth_main_conf_t *wamcf);
ngx_int_t ngx_http_weir_auth_init_zone(ngx_shm_zone_t *zone, void *data);
ngx_int_t ngx_http_weir_auth_in_force(ngx_cycle_t *cycle,
    ngx_http_weir_auth_main_conf_t *wamcf);
ngx_int_t ngx_http_weir_auth_start(ngx_cycle_t *cycle,
    ngx_http_weir_auth_main_conf_t *wamcf);
void ngx_http_weir_auth_stop(ngx_http_weir_auth_main_conf_t *wamcf);
void ngx_http_weir_auth_follow(ngx_http_weir_auth_main_conf_t *wamcf);
void ngx_http_weir_auth_read_journal(ngx_http_weir_auth_main_conf_t *wamcf);
weir_status_t ngx_http_weir_auth_read_again(
    ngx_http_weir_auth_main_conf_t *wamcf, weir_error_t *err);
void ngx_http_weir_auth_tell(ngx_http_weir_auth_main_conf_t *wamcf,
    const char *error);


extern ngx_module_t  ngx_http_weir_auth_module;


#endif /* _NGX_HTTP_WEIR_AUTH_H_INCLUDED_ */

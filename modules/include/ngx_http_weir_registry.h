
/*
 * Weir: what modules/auth offers to other modules: the documents in force, and
 * changes to them at run time.
 *
 * A module finds it with ngx_http_weir_find_registry() in init_main_conf() or
 * later; NULL when the auth module is not loaded.  All functions below are for
 * workers only.
 */


#ifndef _NGX_HTTP_WEIR_REGISTRY_H_INCLUDED_
#define _NGX_HTTP_WEIR_REGISTRY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir.h"

#include "policies/registry.h"


#define NGX_HTTP_WEIR_REGISTRY_ABI    1

#define NGX_HTTP_WEIR_AUTH            "ngx_http_weir_auth_module"

#define NGX_HTTP_WEIR_DOCUMENT_ERROR  256


/* the same for all workers */

typedef struct {

    /* the documents and the journal could be read when it was last tried;
       otherwise older ones are in force and "error" says why */
    ngx_uint_t                     ok;

    time_t                         tried;
    time_t                         loaded;
    ngx_uint_t                     loads;
    ngx_uint_t                     failures;
    u_char                         hash[65];    /* NUL-terminated */
    u_char                         error[NGX_HTTP_WEIR_DOCUMENT_ERROR];
} ngx_http_weir_documents_t;


typedef struct {
    ngx_uint_t                     abi;
    size_t                         size;

    /*
     * The snapshot in force in this worker, with all changes made anywhere; it
     * stays until the caller returns to the event loop.  NULL without
     * documents.
     */
    const weir_registry_t       *(*registry)(void);

    void                         (*documents)(ngx_http_weir_documents_t *out);

    /*
     * One change at run time, in three steps.  begin() locks out other
     * writers and checks the change against what is in force.  Errors: BUSY
     * (somebody else is changing something, try again in a moment), STATE (no
     * "weir_journal"), and those of weir_registry_apply().
     *
     * append() writes the change to the journal and waits for the disk; it
     * blocks, and may be called in another thread.
     *
     * end() must follow every begin() that answered WEIR_OK.  appended says
     * whether append() did.  From then on this worker knows the change, others
     * know it with their next request, at the latest after a quarter of a
     * second, when they also cut what a revoked key runs.
     */
    weir_status_t                (*begin)(const weir_change_t *change,
                                       weir_error_t *err);
    weir_status_t                (*append)(const weir_change_t *change,
                                       uint64_t *seq, weir_error_t *err);
    void                         (*end)(ngx_uint_t appended);

    /*
     * Reads all documents again.  They replace those in force in all workers,
     * or none: then the old ones stay and err says why.  Blocks for as long
     * as reading them takes.
     */
    weir_status_t                (*reload)(weir_error_t *err);

    /*
     * Writes the journal anew in as few lines as have the same effect.  Needs
     * a folder that the workers may write to.  Blocks.  Errors: BUSY, STATE,
     * IO.
     */
    weir_status_t                (*compact)(weir_error_t *err);
} ngx_http_weir_registry_api_t;


/* NULL when it is not there or of another release */

static ngx_inline const ngx_http_weir_registry_api_t *
ngx_http_weir_find_registry(ngx_conf_t *cf)
{
    const ngx_http_weir_registry_api_t  *api;

    api = ngx_http_weir_find_module(cf, NGX_HTTP_WEIR_AUTH);

    if (api == NULL
        || api->abi != NGX_HTTP_WEIR_REGISTRY_ABI
        || api->size < sizeof(ngx_http_weir_registry_api_t))
    {
        return NULL;
    }

    return api;
}


#endif /* _NGX_HTTP_WEIR_REGISTRY_H_INCLUDED_ */


/*
 * Weir: the documents in force, and following changes to them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_auth.h"

#include <openssl/rand.h>


static void ngx_http_weir_auth_blame(ngx_cycle_t *old, const char *error);
static weir_status_t ngx_http_weir_auth_make_journal(ngx_conf_t *cf,
    ngx_http_weir_auth_main_conf_t *wamcf, weir_error_t *err);
static void ngx_http_weir_auth_give_journal(ngx_cycle_t *cycle,
    ngx_http_weir_auth_main_conf_t *wamcf);
static void ngx_http_weir_auth_tick(ngx_event_t *ev);
static void ngx_http_weir_auth_reread(ngx_http_weir_auth_main_conf_t *wamcf);
static void ngx_http_weir_auth_changed(ngx_http_weir_auth_main_conf_t *wamcf);


/*
 * Reads everything while the configuration is read: a fault fails "nginx -t"
 * and a reload, and what was in force stays.
 */

ngx_int_t
ngx_http_weir_auth_load(ngx_conf_t *cf, ngx_http_weir_auth_main_conf_t *wamcf)
{
    weir_error_t     err;
    weir_status_t    rc;
    weir_journal_t  *journal;

    journal = NULL;

    wamcf->paths.tenants = (char *) wamcf->files[NGX_HTTP_WEIR_TENANTS].data;
    wamcf->paths.policies = (char *) wamcf->files[NGX_HTTP_WEIR_POLICIES].data;
    wamcf->paths.identity = (char *) wamcf->files[NGX_HTTP_WEIR_IDENTITY].data;
    wamcf->paths.routes = (char *) wamcf->files[NGX_HTTP_WEIR_ROUTES].data;
    wamcf->paths.prices = (char *) wamcf->files[NGX_HTTP_WEIR_PRICES].data;

    rc = weir_registry_reload(&wamcf->state, &wamcf->paths, NULL, ngx_time(),
                              &err);

    /* opening it checks it; the workers add it to the documents themselves */

    if (rc == WEIR_OK && wamcf->journal_file.len) {
        rc = weir_journal_open((char *) wamcf->journal_file.data, 0, &journal,
                               &err);
        weir_journal_close(journal);
    }

    if (rc == WEIR_OK && wamcf->journal_file.len) {
        rc = ngx_http_weir_auth_make_journal(cf, wamcf, &err);
    }

    if (rc == WEIR_OK) {
        return NGX_OK;
    }

    ngx_http_weir_auth_blame(cf->cycle->old_cycle, err.message);

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%s", err.message);

    return NGX_ERROR;
}


/* the gateway that goes on with its old documents shows why */

static void
ngx_http_weir_auth_blame(ngx_cycle_t *old, const char *error)
{
    ngx_http_weir_auth_main_conf_t  *wamcf;

    wamcf = ngx_http_weir_zone_data(old, &ngx_http_weir_auth_module);

    if (wamcf && wamcf->sh) {
        ngx_http_weir_auth_tell(wamcf, error);
    }
}


/* error: NULL when all is well */

void
ngx_http_weir_auth_tell(ngx_http_weir_auth_main_conf_t *wamcf,
    const char *error)
{
    ngx_http_weir_documents_t  *d;

    d = &wamcf->sh->documents;

    ngx_shmtx_lock(&wamcf->shpool->mutex);

    d->tried = ngx_time();

    if (error) {
        d->ok = 0;
        d->failures++;
        ngx_cpystrn(d->error, (u_char *) error, NGX_HTTP_WEIR_DOCUMENT_ERROR);

    } else {
        d->ok = 1;
        d->loaded = d->tried;
        d->loads++;
        d->error[0] = '\0';
        ngx_cpystrn(d->hash,
                    (u_char *) weir_registry_hash(wamcf->state.current),
                    sizeof(d->hash));
    }

    ngx_shmtx_unlock(&wamcf->shpool->mutex);
}


ngx_int_t
ngx_http_weir_auth_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_weir_auth_main_conf_t *old = data;

    ngx_http_weir_auth_main_conf_t  *wamcf;

    wamcf = zone->data;
    wamcf->shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (old) {
        wamcf->sh = old->sh;

    } else if (zone->shm.exists) {
        wamcf->sh = wamcf->shpool->data;

    } else {
        wamcf->sh = ngx_slab_calloc(wamcf->shpool,
                                    sizeof(ngx_http_weir_auth_shm_t));
        if (wamcf->sh == NULL) {
            return NGX_ERROR;
        }

        wamcf->shpool->data = wamcf->sh;
        wamcf->sh->size = sizeof(ngx_http_weir_auth_shm_t);
    }

    if (wamcf->sh->size != sizeof(ngx_http_weir_auth_shm_t)) {
        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                      "shared memory zone \"%V\" is of another release: "
                      "restart NGINX instead of reloading it",
                      &zone->shm.name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* the configuration is good and about to be in force */

ngx_int_t
ngx_http_weir_auth_in_force(ngx_cycle_t *cycle,
    ngx_http_weir_auth_main_conf_t *wamcf)
{
    if (wamcf->journal_file.len) {
        ngx_http_weir_auth_give_journal(cycle, wamcf);
    }

    wamcf->reloads = wamcf->sh->reloads;

    ngx_http_weir_auth_tell(wamcf, NULL);

    return NGX_OK;
}


/*
 * While the configuration may still be refused: what fails once it is in force
 * ends the master.
 */

static weir_status_t
ngx_http_weir_auth_make_journal(ngx_conf_t *cf,
    ngx_http_weir_auth_main_conf_t *wamcf, weir_error_t *err)
{
    weir_status_t    rc;
    weir_journal_t  *journal;

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return WEIR_OK;
    }

    rc = weir_journal_open_patient((char *) wamcf->journal_file.data,
                                   NGX_HTTP_WEIR_AUTH_PATIENCE, &journal, err);

    if (rc == WEIR_ERR_BUSY) {

        /* it is there, and can be read */

        ngx_log_error(NGX_LOG_ERR, cf->log, 0,
                      "\"%V\" has been locked by another process for %d ms: "
                      "nothing can be changed at run time until that lets go "
                      "of it", &wamcf->journal_file,
                      NGX_HTTP_WEIR_AUTH_PATIENCE);
        return WEIR_OK;
    }

    if (rc != WEIR_OK) {
        return rc;
    }

    if (!ngx_test_config
        && weir_journal_tidy(journal, NULL, err) != WEIR_OK)
    {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "the journal cannot be written anew, it goes on as it "
                      "is: %s", err->message);
    }

    weir_journal_close(journal);

    return WEIR_OK;
}


/* the workers write it, and they are not root */

static void
ngx_http_weir_auth_give_journal(ngx_cycle_t *cycle,
    ngx_http_weir_auth_main_conf_t *wamcf)
{
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    if (geteuid() == 0
        && ccf->user != (ngx_uid_t) NGX_CONF_UNSET_UINT
        && chown((char *) wamcf->journal_file.data, ccf->user, (gid_t) -1)
           == -1)
    {
        ngx_log_error(NGX_LOG_CRIT, cycle->log, ngx_errno,
                      "chown(\"%V\", %ui) failed: nothing can be changed at "
                      "run time", &wamcf->journal_file,
                      (ngx_uint_t) ccf->user);
    }
}


ngx_int_t
ngx_http_weir_auth_start(ngx_cycle_t *cycle,
    ngx_http_weir_auth_main_conf_t *wamcf)
{
    wamcf->pid = ngx_pid;
    wamcf->hasher = weir_key_hasher_new();

    if (wamcf->hasher == NULL
        || RAND_bytes(wamcf->salt, sizeof(wamcf->salt)) != 1)
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "OpenSSL gives no SHA-256 or no random numbers");
        return NGX_ERROR;
    }

    if (wamcf->cache_entries) {
        wamcf->cache = weir_jwt_cache_new(wamcf->cache_entries,
                                          NGX_HTTP_WEIR_AUTH_ENTRY);
        if (wamcf->cache == NULL) {
            return NGX_ERROR;
        }
    }

    ngx_http_weir_auth_sync_sources(wamcf);

    wamcf->known = 1;

    if (wamcf->journal_file.len == 0) {
        return NGX_OK;
    }

    wamcf->changes = wamcf->sh->changes;
    ngx_http_weir_auth_read_journal(wamcf);

    wamcf->tick.handler = ngx_http_weir_auth_tick;
    wamcf->tick.data = wamcf;
    wamcf->tick.log = cycle->log;
    wamcf->tick.cancelable = 1;

    ngx_add_timer(&wamcf->tick, NGX_HTTP_WEIR_AUTH_TICK);

    return NGX_OK;
}


void
ngx_http_weir_auth_stop(ngx_http_weir_auth_main_conf_t *wamcf)
{
    if (wamcf->pid != ngx_pid) {
        return;
    }

    if (wamcf->tick.timer_set) {
        ngx_del_timer(&wamcf->tick);
    }

    ngx_http_weir_auth_free_sources(wamcf);

    weir_journal_close(wamcf->journal);
    wamcf->journal = NULL;

    weir_jwt_cache_free(wamcf->cache);
    wamcf->cache = NULL;

    weir_key_hasher_free(wamcf->hasher);
    wamcf->hasher = NULL;
}


/* a worker without requests must still cut what runs */

static void
ngx_http_weir_auth_tick(ngx_event_t *ev)
{
    ngx_http_weir_auth_main_conf_t *wamcf = ev->data;

    ngx_http_weir_auth_follow(wamcf);

    /* the operator's command writes the journal too, and raises nothing */

    if (!wamcf->known
        || (++wamcf->ticks % 4 == 0
            && weir_journal_changed(wamcf->journal)))
    {
        ngx_http_weir_auth_read_journal(wamcf);
    }

    ngx_add_timer(ev, NGX_HTTP_WEIR_AUTH_TICK);
}


/* at the beginning of each request: two reads of memory as a rule */

void
ngx_http_weir_auth_follow(ngx_http_weir_auth_main_conf_t *wamcf)
{
    ngx_atomic_uint_t  changes;

    if (wamcf->sh->reloads != wamcf->reloads) {
        ngx_http_weir_auth_reread(wamcf);
    }

    changes = wamcf->sh->changes;

    if (changes != wamcf->changes) {

        /* first: a change while the journal is read is read again */

        wamcf->changes = changes;

        if (wamcf->journal_file.len) {
            ngx_http_weir_auth_read_journal(wamcf);
        }
    }
}


/*
 * Nobody is admitted while changes are known to be there and cannot be read:
 * one may be a revocation.  Each tick tries again.
 */

void
ngx_http_weir_auth_read_journal(ngx_http_weir_auth_main_conf_t *wamcf)
{
    size_t            orphans;
    weir_error_t      err;
    weir_status_t     rc;
    weir_registry_t  *next;

    rc = WEIR_OK;
    orphans = 0;

    /* each process has a file description of its own */

    if (wamcf->journal == NULL) {
        rc = weir_journal_open((char *) wamcf->journal_file.data, 0,
                               &wamcf->journal, &err);
    }

    if (rc == WEIR_OK) {
        rc = weir_registry_follow(wamcf->state.current, wamcf->journal, &next,
                                  &orphans, &err);
    }

    if (rc != WEIR_OK) {

        if (wamcf->known || wamcf->ticks % 40 == 0) {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "nobody is admitted, changes made at run time "
                          "cannot be read: %s", err.message);
        }

        wamcf->known = 0;
        ngx_http_weir_auth_tell(wamcf, err.message);
        return;
    }

    if (!wamcf->known) {
        wamcf->known = 1;
        ngx_http_weir_auth_tell(wamcf, NULL);
    }

    if (orphans) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "%uz changes in \"%V\" do not fit the documents and "
                      "have no effect", orphans, &wamcf->journal_file);
    }

    if (next == wamcf->state.current) {
        weir_registry_unref(next);
        return;
    }

    weir_registry_unref(wamcf->state.current);
    wamcf->state.current = next;

    ngx_http_weir_auth_changed(wamcf);
}


/* what was decided by older documents is decided again */

static void
ngx_http_weir_auth_changed(ngx_http_weir_auth_main_conf_t *wamcf)
{
    if (wamcf->cache) {
        weir_jwt_cache_clear(wamcf->cache);
    }

    ngx_http_weir_auth_sync_sources(wamcf);

    wamcf->weir->walk(ngx_http_weir_auth_cut, wamcf);
}


weir_status_t
ngx_http_weir_auth_read_again(ngx_http_weir_auth_main_conf_t *wamcf,
    weir_error_t *err)
{
    weir_status_t    rc;
    weir_journal_t  *journal;

    journal = NULL;
    rc = WEIR_OK;

    /* read from its beginning, on top of the new documents */

    if (wamcf->journal_file.len) {
        rc = weir_journal_open((char *) wamcf->journal_file.data, 0, &journal,
                               err);
    }

    if (rc == WEIR_OK) {
        rc = weir_registry_reload(&wamcf->state, &wamcf->paths, journal,
                                  ngx_time(), err);
    }

    if (rc != WEIR_OK) {
        weir_journal_close(journal);
        return rc;
    }

    weir_journal_close(wamcf->journal);
    wamcf->journal = journal;
    wamcf->known = 1;

    ngx_http_weir_auth_changed(wamcf);

    return WEIR_OK;
}


/* another worker has read good documents */

static void
ngx_http_weir_auth_reread(ngx_http_weir_auth_main_conf_t *wamcf)
{
    ngx_uint_t     same;
    weir_error_t   err;
    weir_status_t  rc;

    wamcf->reloads = wamcf->sh->reloads;

    rc = ngx_http_weir_auth_read_again(wamcf, &err);

    if (rc != WEIR_OK) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "documents are not in force in this worker: %s",
                      err.message);
        ngx_http_weir_auth_tell(wamcf, err.message);
        return;
    }

    ngx_shmtx_lock(&wamcf->shpool->mutex);

    same = ngx_strcmp(wamcf->sh->documents.hash,
                      weir_registry_hash(wamcf->state.current))
           == 0;

    ngx_shmtx_unlock(&wamcf->shpool->mutex);

    if (!same) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "the documents were changed while they were read: "
                      "reload them once more");
        ngx_http_weir_auth_tell(wamcf, "the documents were changed while "
                                "they were read: reload them once more");
    }
}

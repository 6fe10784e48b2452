
/*
 * Weir: what the auth module offers to others: the documents in force, and
 * changes to them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_auth.h"


static ngx_http_weir_auth_main_conf_t *ngx_http_weir_auth_conf(void);
static const weir_registry_t *ngx_http_weir_auth_registry(void);
static void ngx_http_weir_auth_documents(ngx_http_weir_documents_t *out);
static weir_status_t ngx_http_weir_auth_begin(const weir_change_t *change,
    weir_error_t *err);
static weir_status_t ngx_http_weir_auth_append(const weir_change_t *change,
    uint64_t *seq, weir_error_t *err);
static void ngx_http_weir_auth_end(ngx_uint_t appended);
static void ngx_http_weir_auth_tidy(ngx_http_weir_auth_main_conf_t *wamcf);
static weir_status_t ngx_http_weir_auth_reload(weir_error_t *err);
static weir_status_t ngx_http_weir_auth_compact(weir_error_t *err);
static weir_status_t ngx_http_weir_auth_may_write(
    ngx_http_weir_auth_main_conf_t *wamcf, weir_error_t *err);
static ngx_uint_t ngx_http_weir_auth_lock(
    ngx_http_weir_auth_main_conf_t *wamcf);
static void ngx_http_weir_auth_unlock(ngx_http_weir_auth_main_conf_t *wamcf);


const ngx_http_weir_registry_api_t  ngx_http_weir_auth_api = {
    NGX_HTTP_WEIR_REGISTRY_ABI,
    sizeof(ngx_http_weir_registry_api_t),
    ngx_http_weir_auth_registry,
    ngx_http_weir_auth_documents,
    ngx_http_weir_auth_begin,
    ngx_http_weir_auth_append,
    ngx_http_weir_auth_end,
    ngx_http_weir_auth_reload,
    ngx_http_weir_auth_compact
};


static ngx_http_weir_auth_main_conf_t *
ngx_http_weir_auth_conf(void)
{
    return ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_weir_auth_module);
}


static const weir_registry_t *
ngx_http_weir_auth_registry(void)
{
    ngx_http_weir_auth_main_conf_t  *wamcf;

    wamcf = ngx_http_weir_auth_conf();

    if (wamcf->state.current == NULL) {
        return NULL;
    }

    ngx_http_weir_auth_follow(wamcf);

    return wamcf->state.current;
}


static void
ngx_http_weir_auth_documents(ngx_http_weir_documents_t *out)
{
    ngx_http_weir_auth_main_conf_t  *wamcf;

    wamcf = ngx_http_weir_auth_conf();

    if (wamcf->sh == NULL) {
        ngx_memzero(out, sizeof(ngx_http_weir_documents_t));
        return;
    }

    ngx_shmtx_lock(&wamcf->shpool->mutex);
    *out = wamcf->sh->documents;
    ngx_shmtx_unlock(&wamcf->shpool->mutex);
}


static weir_status_t
ngx_http_weir_auth_begin(const weir_change_t *change, weir_error_t *err)
{
    weir_status_t                    rc;
    weir_registry_t                 *next;
    ngx_http_weir_auth_main_conf_t  *wamcf;

    wamcf = ngx_http_weir_auth_conf();

    rc = ngx_http_weir_auth_may_write(wamcf, err);

    if (rc != WEIR_OK) {
        return rc;
    }

    rc = weir_registry_apply(wamcf->state.current, change, &next, err);

    if (rc == WEIR_OK) {
        weir_registry_unref(next);

        rc = weir_journal_open_patient((char *) wamcf->journal_file.data, 0,
                                       &wamcf->writer, err);
    }

    if (rc != WEIR_OK) {
        ngx_http_weir_auth_unlock(wamcf);
    }

    return rc;
}


static weir_status_t
ngx_http_weir_auth_append(const weir_change_t *change, uint64_t *seq,
    weir_error_t *err)
{
    ngx_http_weir_auth_main_conf_t  *wamcf;

    wamcf = ngx_http_weir_auth_conf();

    return weir_journal_append(wamcf->writer, change, seq, err);
}


static void
ngx_http_weir_auth_end(ngx_uint_t appended)
{
    ngx_http_weir_auth_main_conf_t  *wamcf;

    wamcf = ngx_http_weir_auth_conf();

    if (appended) {
        ngx_http_weir_auth_tidy(wamcf);
    }

    weir_journal_close(wamcf->writer);
    wamcf->writer = NULL;

    if (appended) {
        (void) ngx_atomic_fetch_add(&wamcf->sh->changes, 1);
    }

    ngx_http_weir_auth_unlock(wamcf);

    if (appended) {
        ngx_http_weir_auth_follow(wamcf);
    }
}


/*
 * A journal that has grown far beyond what it says is written anew: a matter
 * of milliseconds, once in hundreds of changes.  Where a worker must not make
 * files the next start or reload does it.
 */

static void
ngx_http_weir_auth_tidy(ngx_http_weir_auth_main_conf_t *wamcf)
{
    uint64_t       lines, left;
    weir_error_t   err;

    lines = weir_journal_lines(wamcf->writer);

    if (lines < wamcf->tidy_at) {
        return;
    }

    wamcf->tidy_at = lines + WEIR_JOURNAL_TIDY_LINES;

    if (weir_journal_tidy(wamcf->writer, &left, &err) != WEIR_OK) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "the journal cannot be written anew, it goes on as it "
                      "is: %s", err.message);
        return;
    }

    wamcf->tidy_at = ngx_max(left * WEIR_JOURNAL_TIDY_FACTOR,
                             WEIR_JOURNAL_TIDY_LINES);
}


static weir_status_t
ngx_http_weir_auth_reload(weir_error_t *err)
{
    weir_status_t                    rc;
    ngx_http_weir_auth_main_conf_t  *wamcf;

    wamcf = ngx_http_weir_auth_conf();

    if (!ngx_http_weir_auth_lock(wamcf)) {
        return weir_error_at(err, WEIR_ERR_BUSY, NULL, "busy",
                             "another change is under way: try again");
    }

    rc = ngx_http_weir_auth_read_again(wamcf, err);

    if (rc == WEIR_OK) {
        ngx_http_weir_auth_tell(wamcf, NULL);

        wamcf->reloads = ngx_atomic_fetch_add(&wamcf->sh->reloads, 1) + 1;

    } else {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "documents are not in force, older ones are: %s",
                      err->message);
        ngx_http_weir_auth_tell(wamcf, err->message);
    }

    ngx_http_weir_auth_unlock(wamcf);

    return rc;
}


static weir_status_t
ngx_http_weir_auth_compact(weir_error_t *err)
{
    weir_status_t                    rc;
    weir_journal_t                  *journal;
    ngx_http_weir_auth_main_conf_t  *wamcf;

    wamcf = ngx_http_weir_auth_conf();

    rc = ngx_http_weir_auth_may_write(wamcf, err);

    if (rc != WEIR_OK) {
        return rc;
    }

    journal = NULL;

    rc = weir_journal_open_patient((char *) wamcf->journal_file.data, 0,
                                   &journal, err);

    if (rc == WEIR_OK) {
        rc = weir_journal_compact(journal, err);
    }

    weir_journal_close(journal);

    if (rc == WEIR_OK) {
        (void) ngx_atomic_fetch_add(&wamcf->sh->changes, 1);
    }

    ngx_http_weir_auth_unlock(wamcf);

    ngx_http_weir_auth_follow(wamcf);

    return rc;
}


/* WEIR_OK: locked, and all that others have changed is known */

static weir_status_t
ngx_http_weir_auth_may_write(ngx_http_weir_auth_main_conf_t *wamcf,
    weir_error_t *err)
{
    if (wamcf->journal_file.len == 0) {
        return weir_error_at(err, WEIR_ERR_STATE, NULL, "no_journal",
                             "nothing can be changed at run time: set "
                             "\"weir_journal\" to the path of a file that "
                             "the workers may write");
    }

    if (!ngx_http_weir_auth_lock(wamcf)) {
        return weir_error_at(err, WEIR_ERR_BUSY, NULL, "busy",
                             "another change is under way: try again");
    }

    ngx_http_weir_auth_follow(wamcf);
    ngx_http_weir_auth_read_journal(wamcf);

    if (!wamcf->known) {
        ngx_http_weir_auth_unlock(wamcf);
        return weir_error_at(err, WEIR_ERR_IO, NULL, "journal_unreadable",
                             "the journal \"%s\" cannot be read: see the "
                             "error log",
                             (char *) wamcf->journal_file.data);
    }

    return WEIR_OK;
}


/* a lock that dies with its owner */

static ngx_uint_t
ngx_http_weir_auth_lock(ngx_http_weir_auth_main_conf_t *wamcf)
{
    ngx_atomic_t       *writer;
    ngx_atomic_uint_t   owner;

    writer = &wamcf->sh->writer;

    if (ngx_atomic_cmp_set(writer, 0, (ngx_atomic_uint_t) ngx_pid)) {
        return 1;
    }

    owner = *writer;

    if (owner == 0
        || owner == (ngx_atomic_uint_t) ngx_pid
        || kill((ngx_pid_t) owner, 0) == 0
        || ngx_errno != NGX_ESRCH)
    {
        return 0;
    }

    return ngx_atomic_cmp_set(writer, owner, (ngx_atomic_uint_t) ngx_pid);
}


static void
ngx_http_weir_auth_unlock(ngx_http_weir_auth_main_conf_t *wamcf)
{
    (void) ngx_atomic_cmp_set(&wamcf->sh->writer,
                              (ngx_atomic_uint_t) ngx_pid, 0);
}

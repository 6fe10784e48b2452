
/*
 * Weir's core: opens the shared objects of "weir_plugin", and brings what
 * their threads say to the event loop.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <dlfcn.h>
#include <sys/eventfd.h>

#include "ngx_http_weir_plugin.h"


typedef const weir_plugin_t *(*ngx_http_weir_entry_pt)(uint32_t abi);


static ngx_int_t ngx_http_weir_foreign_load(ngx_conf_t *cf,
    ngx_http_weir_foreign_t *foreign);
static ngx_int_t ngx_http_weir_foreign_open(ngx_conf_t *cf,
    ngx_http_weir_foreign_t *foreign);
static ngx_int_t ngx_http_weir_foreign_settings(ngx_conf_t *cf,
    ngx_http_weir_foreign_t *foreign, ngx_array_t *settings);
static ngx_int_t ngx_http_weir_foreign_name(ngx_conf_t *cf,
    ngx_http_weir_foreign_t *foreign, ngx_str_t *name);
static void ngx_http_weir_foreign_close(void *data);
static ngx_http_weir_foreign_worker_t *ngx_http_weir_foreign_worker(
    ngx_cycle_t *cycle);
static void ngx_http_weir_foreign_notify(ngx_event_t *ev);
static void ngx_http_weir_foreign_heard(ngx_http_weir_foreign_worker_t *w,
    ngx_http_weir_said_t *said);
static void ngx_http_weir_foreign_no_write(ngx_event_t *ev);


/* weir_plugin <file> [key=value ...] */

char *
ngx_http_weir_foreign_plugin(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_core_main_conf_t *wmcf = conf;

    ngx_str_t                 *value;
    ngx_pool_cleanup_t        *cln;
    ngx_http_weir_foreign_t   *foreign, **slot;

    value = cf->args->elts;

    if (wmcf->foreign == NULL) {
        wmcf->foreign = ngx_array_create(cf->pool, 4,
                                         sizeof(ngx_http_weir_foreign_t *));
        if (wmcf->foreign == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    foreign = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_foreign_t));
    cln = ngx_pool_cleanup_add(cf->pool, 0);
    slot = ngx_array_push(wmcf->foreign);

    if (foreign == NULL || cln == NULL || slot == NULL) {
        return NGX_CONF_ERROR;
    }

    *slot = foreign;

    foreign->wmcf = wmcf;
    foreign->file = value[1];

    cln->handler = ngx_http_weir_foreign_close;
    cln->data = foreign;

    if (ngx_conf_full_name(cf->cycle, &foreign->file, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    ngx_http_weir_foreign_host(&foreign->host);

    if (ngx_http_weir_foreign_load(cf, foreign) != NGX_OK
        || ngx_http_weir_foreign_open(cf, foreign) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_http_weir_foreign_hooks(foreign);

    if (ngx_http_weir_add_plugin(cf, &foreign->plugin) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_foreign_load(ngx_conf_t *cf, ngx_http_weir_foreign_t *foreign)
{
    const weir_plugin_t     *table;
    ngx_http_weir_entry_pt   entry;

    /* a name of the plugin's own must not meet one of NGINX's */

    foreign->handle = dlopen((char *) foreign->file.data,
                             RTLD_NOW|RTLD_LOCAL);

    if (foreign->handle == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "plugin \"%V\" cannot be opened: %s",
                           &foreign->file, dlerror());
        return NGX_ERROR;
    }

    *(void **) &entry = dlsym(foreign->handle, "weir_plugin_entry");

    if (entry == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is no Weir plugin: it has no symbol "
                           "\"weir_plugin_entry\" (weir_plugin.h)",
                           &foreign->file);
        return NGX_ERROR;
    }

    table = entry(WEIR_PLUGIN_ABI);

    if (table == NULL || table->abi != WEIR_PLUGIN_ABI) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "plugin \"%V\" is made for interface %ui, this "
                           "gateway has %ui: build the plugin with this "
                           "gateway's weir_plugin.h", &foreign->file,
                           table ? (ngx_uint_t) table->abi : 0,
                           (ngx_uint_t) WEIR_PLUGIN_ABI);
        return NGX_ERROR;
    }

    if (table->size < sizeof(weir_plugin_t)
        || table->name == NULL || table->open == NULL)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "plugin \"%V\" has an incomplete table: size, name "
                           "and open() must be set", &foreign->file);
        return NGX_ERROR;
    }

    foreign->table = table;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_foreign_open(ngx_conf_t *cf, ngx_http_weir_foreign_t *foreign)
{
    ngx_str_t     name;
    ngx_array_t   settings;
    char          error[512];

    name.data = (u_char *) foreign->table->name;
    name.len = ngx_strlen(name.data);

    if (ngx_http_weir_foreign_name(cf, foreign, &name) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_array_init(&settings, cf->pool, 8, sizeof(weir_plugin_setting_t))
        != NGX_OK
        || ngx_http_weir_foreign_settings(cf, foreign, &settings) != NGX_OK)
    {
        return NGX_ERROR;
    }

    error[0] = '\0';

    if (foreign->table->open(&foreign->host, settings.elts, settings.nelts,
                             &foreign->needs, &foreign->self, error,
                             sizeof(error))
        != 0)
    {
        error[sizeof(error) - 1] = '\0';

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "plugin \"%V\": %s",
                           &foreign->plugin.name,
                           error[0] ? error : "it refuses without a reason");
        return NGX_ERROR;
    }

    foreign->opened = 1;

    if ((ngx_uint_t) foreign->needs.body > WEIR_PLUGIN_BODY_PIECES
        || (ngx_uint_t) foreign->needs.on_failure > WEIR_PLUGIN_OPEN)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "plugin \"%V\" declares needs that do not exist",
                           &foreign->plugin.name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* "name" is the gateway's, so that one file can be opened twice */

static ngx_int_t
ngx_http_weir_foreign_settings(ngx_conf_t *cf,
    ngx_http_weir_foreign_t *foreign, ngx_array_t *settings)
{
    u_char                 *p, *key;
    ngx_str_t              *value, name;
    ngx_uint_t              i;
    weir_plugin_setting_t  *setting;

    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {

        p = ngx_strlchr(value[i].data, value[i].data + value[i].len, '=');

        if (p == NULL || p == value[i].data) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" of a plugin: write "
                               "key=value", &value[i]);
            return NGX_ERROR;
        }

        if (ngx_strncmp(value[i].data, "name=", 5) == 0) {
            name.data = p + 1;
            name.len = value[i].data + value[i].len - name.data;

            if (ngx_http_weir_foreign_name(cf, foreign, &name) != NGX_OK) {
                return NGX_ERROR;
            }

            continue;
        }

        key = ngx_pnalloc(cf->pool, p - value[i].data + 1);
        setting = ngx_array_push(settings);

        if (key == NULL || setting == NULL) {
            return NGX_ERROR;
        }

        (void) ngx_cpystrn(key, value[i].data, p - value[i].data + 1);

        setting->key.data = (char *) key;
        setting->key.len = p - value[i].data;
        setting->value.data = (char *) p + 1;
        setting->value.len = value[i].data + value[i].len - p - 1;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_foreign_name(ngx_conf_t *cf, ngx_http_weir_foreign_t *foreign,
    ngx_str_t *name)
{
    u_char  ch;
    size_t  i;

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];

        if ((ch < 'a' || ch > 'z') && (ch < '0' || ch > '9')
            && ch != '_' && ch != '-')
        {
            break;
        }
    }

    if (i < name->len || name->len == 0 || name->len > 32) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "plugin \"%V\" has the name \"%V\", which is not 1 "
                           "to 32 of a-z, 0-9, \"_\" and \"-\"",
                           &foreign->file, name);
        return NGX_ERROR;
    }

    foreign->plugin.name = *name;

    return NGX_OK;
}


static void
ngx_http_weir_foreign_close(void *data)
{
    ngx_http_weir_foreign_t *foreign = data;

    if (foreign->opened && foreign->table->close) {
        foreign->table->close(foreign->self);
    }

    if (foreign->handle) {
        (void) dlclose(foreign->handle);
    }
}


/* a plugin that cannot start fails call by call, as it has declared */

ngx_int_t
ngx_http_weir_foreign_start(ngx_cycle_t *cycle)
{
    ngx_uint_t                        i;
    ngx_http_weir_foreign_t         **foreign;
    ngx_http_weir_core_main_conf_t   *wmcf;

    wmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_core_module);

    if (wmcf == NULL || wmcf->foreign == NULL
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    wmcf->foreign_worker = ngx_http_weir_foreign_worker(cycle);
    if (wmcf->foreign_worker == NULL) {
        return NGX_ERROR;
    }

    foreign = wmcf->foreign->elts;

    for (i = 0; i < wmcf->foreign->nelts; i++) {

        if (foreign[i]->table->start == NULL
            || foreign[i]->table->start(foreign[i]->self) == 0)
        {
            foreign[i]->started = 1;
            continue;
        }

        ngx_log_error(NGX_LOG_ERR, cycle->log, 0,
                      "plugin \"%V\" could not start in this worker",
                      &foreign[i]->plugin.name);
    }

    return NGX_OK;
}


static ngx_http_weir_foreign_worker_t *
ngx_http_weir_foreign_worker(ngx_cycle_t *cycle)
{
    ngx_uint_t                       i;
    ngx_connection_t                *c;
    ngx_http_weir_foreign_worker_t  *w;

    w = ngx_calloc(sizeof(ngx_http_weir_foreign_worker_t), cycle->log);
    if (w == NULL) {
        return NULL;
    }

    w->fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (w->fd == -1) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "eventfd() failed");
        ngx_free(w);
        return NULL;
    }

    (void) pthread_mutex_init(&w->lock, NULL);
    w->last = &w->said;

    for (i = 0; i < NGX_HTTP_WEIR_HOLDS; i++) {
        ngx_queue_init(&w->held[i]);
    }

    c = ngx_get_connection(w->fd, cycle->log);
    if (c == NULL) {
        return NULL;
    }

    c->data = w;
    c->log = cycle->log;
    c->read->handler = ngx_http_weir_foreign_notify;
    c->read->log = cycle->log;
    c->write->handler = ngx_http_weir_foreign_no_write;
    c->write->log = cycle->log;

    w->notify = c;

    if (ngx_add_event(c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT) != NGX_OK) {
        return NULL;
    }

    return w;
}


/* behind the last log() of the last request */

void
ngx_http_weir_foreign_stop(ngx_http_weir_core_main_conf_t *wmcf)
{
    ngx_uint_t                        i;
    ngx_connection_t                 *c;
    ngx_http_weir_said_t             *said, *next;
    ngx_http_weir_foreign_t         **foreign;
    ngx_http_weir_foreign_worker_t   *w;

    w = wmcf->foreign_worker;

    if (w == NULL) {
        return;
    }

    foreign = wmcf->foreign->elts;

    for (i = 0; i < wmcf->foreign->nelts; i++) {
        if (foreign[i]->started && foreign[i]->table->stop) {
            foreign[i]->table->stop(foreign[i]->self);
        }

        foreign[i]->started = 0;
    }

    wmcf->foreign_worker = NULL;

    for (said = w->said; said; said = next) {
        next = said->next;
        ngx_free(said);
    }

    c = w->notify;

    if (c->read->active) {
        (void) ngx_del_event(c->read, NGX_READ_EVENT, 0);
    }

    ngx_free_connection(c);
    c->fd = (ngx_socket_t) -1;

    (void) close(w->fd);
    (void) pthread_mutex_destroy(&w->lock);

    ngx_free(w);
}


static void
ngx_http_weir_foreign_notify(ngx_event_t *ev)
{
    uint64_t                         count;
    ngx_connection_t                *c;
    ngx_http_weir_said_t            *said, *next;
    ngx_http_weir_foreign_worker_t  *w;

    c = ev->data;
    w = c->data;

    if (read(w->fd, &count, sizeof(count)) != sizeof(count)) {
        return;
    }

    (void) pthread_mutex_lock(&w->lock);

    said = w->said;
    w->said = NULL;
    w->last = &w->said;

    (void) pthread_mutex_unlock(&w->lock);

    for ( /* void */ ; said; said = next) {
        next = said->next;

        ngx_http_weir_foreign_heard(w, said);
        ngx_free(said);
    }
}


/* the request may be gone afterwards */

static void
ngx_http_weir_foreign_heard(ngx_http_weir_foreign_worker_t *w,
    ngx_http_weir_said_t *said)
{
    ngx_int_t               rc;
    ngx_queue_t            *q, *bucket;
    ngx_connection_t       *c;
    weir_plugin_request_t  *rq;

    bucket = &w->held[said->hold % NGX_HTTP_WEIR_HOLDS];

    for (q = ngx_queue_head(bucket);
         q != ngx_queue_sentinel(bucket);
         q = ngx_queue_next(q))
    {
        rq = ngx_queue_data(q, weir_plugin_request_t, queue);

        if (rq->hold != said->hold) {
            continue;
        }

        ngx_http_weir_foreign_unhold(rq);

        c = rq->ctx->request->connection;
        ngx_http_set_log_request(c->log, rq->ctx->request);

        if (rq->item) {
            ngx_http_weir_foreign_item_said(rq, said->verdict,
                                            &said->decision);
            return;
        }

        rc = ngx_http_weir_foreign_decide(rq, said->verdict, &said->decision);

        /* a hold is over: it cannot be answered by another */

        ngx_http_weir_resume(&rq->ctx->public,
                             (rc == NGX_AGAIN) ? NGX_ERROR : rc);
        return;
    }
}


static void
ngx_http_weir_foreign_no_write(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ev->log, 0, "weir plugin: write event");
}

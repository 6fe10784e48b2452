
/*
 * Weir: the inference engine as a content handler.  One engine lives in one
 * worker process; this file has the directives and the processes' life.
 */


#include "ngx_http_weir_engine.h"


static ngx_int_t ngx_http_weir_engine_log_handler(ngx_http_request_t *r);
static void *ngx_http_weir_engine_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_weir_engine_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_weir_engine_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_weir_engine_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_weir_engine(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_engine_parameter(ngx_conf_t *cf,
    ngx_http_weir_engine_main_conf_t *wmcf, ngx_str_t *arg);
static char *ngx_http_weir_engine_number(ngx_conf_t *cf, ngx_str_t *arg,
    ngx_str_t *value, uint32_t *field);
static char *ngx_http_weir_engine_name(ngx_conf_t *cf,
    ngx_http_weir_engine_main_conf_t *wmcf, ngx_str_t *arg, ngx_str_t *value,
    ngx_uint_t alias);
static char *ngx_http_weir_engine_open(ngx_conf_t *cf,
    ngx_http_weir_engine_main_conf_t *wmcf);
static ngx_int_t ngx_http_weir_engine_check_model(ngx_conf_t *cf,
    ngx_http_weir_engine_main_conf_t *wmcf);
static void ngx_http_weir_engine_close_file(void *data);
static char *ngx_http_weir_engine_api(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_weir_engine_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_engine_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_weir_engine_init_process(ngx_cycle_t *cycle);
static void ngx_http_weir_engine_exit_process(ngx_cycle_t *cycle);


typedef struct {
    ngx_str_t   name;
    size_t      offset;
} ngx_http_weir_engine_number_t;


static ngx_http_weir_engine_number_t  ngx_http_weir_engine_numbers[] = {
    { ngx_string("threads="), offsetof(weir_engine_options_t, threads) },
    { ngx_string("context="), offsetof(weir_engine_options_t, context) },
    { ngx_string("kv_tokens="), offsetof(weir_engine_options_t, kv_tokens) },
    { ngx_string("max_running="),
      offsetof(weir_engine_options_t, max_running) },
    { ngx_string("max_queue="), offsetof(weir_engine_options_t, max_queue) },
    { ngx_string("step_tokens="),
      offsetof(weir_engine_options_t, step_tokens) },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_weir_engine_commands[] = {

    { ngx_string("weir_engine"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_weir_engine,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_engine_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_weir_engine_api,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_engine_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_weir_engine_init,             /* postconfiguration */

    ngx_http_weir_engine_create_main_conf, /* create main configuration */
    ngx_http_weir_engine_init_main_conf,   /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_weir_engine_create_loc_conf,  /* create location configuration */
    ngx_http_weir_engine_merge_loc_conf    /* merge location configuration */
};


ngx_module_t  ngx_http_weir_engine_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_engine_module_ctx,      /* module context */
    ngx_http_weir_engine_commands,         /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_weir_engine_init_module,      /* init module */
    ngx_http_weir_engine_init_process,     /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_weir_engine_exit_process,     /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_weir_engine_log_handler(ngx_http_request_t *r)
{
    ngx_uint_t                   status;
    ngx_http_weir_engine_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_engine_module);

    if (ctx == NULL || ctx->request == NULL) {
        return NGX_OK;
    }

    if (r->err_status) {
        status = r->err_status;

    } else if (r->headers_out.status) {
        status = r->headers_out.status;

    } else {
        status = NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }

    ngx_http_weir_engine_count(ctx, status);

    return NGX_OK;
}


static void *
ngx_http_weir_engine_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_weir_engine_main_conf_t  *wmcf;

    wmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_engine_main_conf_t));
    if (wmcf == NULL) {
        return NULL;
    }

    /*
     * zeroed by pcalloc: everything else, and with it the engine's defaults
     */

    if (ngx_array_init(&wmcf->aliases, cf->pool, 2, sizeof(weir_str_t))
        != NGX_OK)
    {
        return NULL;
    }

    wmcf->fd = NGX_INVALID_FILE;
    wmcf->request_memory = 64 * 1024 * 1024;

    return wmcf;
}


static char *
ngx_http_weir_engine_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_weir_engine_main_conf_t *wmcf = conf;

    if (wmcf->used && wmcf->path.len == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"weir_engine_api\" needs a model: add \"weir_engine "
                      "<file.gguf>;\" to the http block");
        return NGX_CONF_ERROR;
    }

    wmcf->names.aliases = wmcf->aliases.elts;
    wmcf->names.n_aliases = wmcf->aliases.nelts;

    return NGX_CONF_OK;
}


static void *
ngx_http_weir_engine_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_engine_loc_conf_t));
}


static char *
ngx_http_weir_engine_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_weir_engine_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    if (!conf->api) {
        return NGX_CONF_OK;
    }

    /* bodies are read into one buffer; no file is ever read on the loop */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->client_max_body_size == 0
        || clcf->client_max_body_size > 256 * 1024 * 1024)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"weir_engine_api\" keeps request bodies in memory: "
                      "\"client_max_body_size\" must be set, to 256m at most");
        return NGX_CONF_ERROR;
    }

    if (clcf->client_body_in_file_only) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"weir_engine_api\" keeps request bodies in memory: "
                      "\"client_body_in_file_only\" must be off");
        return NGX_CONF_ERROR;
    }

    if (clcf->client_body_buffer_size < (size_t) clcf->client_max_body_size) {
        clcf->client_body_buffer_size = (size_t) clcf->client_max_body_size;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_engine(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_engine_main_conf_t *wmcf = conf;

    char        *rv;
    u_char      *p, *last;
    ngx_str_t   *value;
    ngx_uint_t   i;

    if (wmcf->path.len) {
        return "is duplicate: one worker runs one model";
    }

    value = cf->args->elts;

    wmcf->path = value[1];

    if (wmcf->path.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "empty model path");
        return NGX_CONF_ERROR;
    }

    if (ngx_conf_full_name(cf->cycle, &wmcf->path, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_weir_engine_parameter(cf, wmcf, &value[i]);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (wmcf->id.len == 0) {

        /* the file's name without its folder and ending */

        last = wmcf->path.data + wmcf->path.len;

        for (p = last; p > wmcf->path.data && p[-1] != '/'; p--) {
            /* void */
        }

        if (last - p > 5 && ngx_strncmp(last - 5, ".gguf", 5) == 0) {
            last -= 5;
        }

        wmcf->id.data = p;
        wmcf->id.len = last - p;
        wmcf->names.id = weir_str((char *) p, last - p);
    }

    return ngx_http_weir_engine_open(cf, wmcf);
}


static char *
ngx_http_weir_engine_parameter(ngx_conf_t *cf,
    ngx_http_weir_engine_main_conf_t *wmcf, ngx_str_t *arg)
{
    u_char                         *p;
    ssize_t                         size;
    ngx_str_t                       name, value;
    ngx_http_weir_engine_number_t  *number;

    p = ngx_strlchr(arg->data, arg->data + arg->len, '=');

    if (p == NULL) {
        goto invalid;
    }

    name.data = arg->data;
    name.len = p + 1 - arg->data;

    value.data = p + 1;
    value.len = arg->len - name.len;

    for (number = ngx_http_weir_engine_numbers; number->name.len; number++) {

        if (name.len == number->name.len
            && ngx_strncmp(name.data, number->name.data, name.len) == 0)
        {
            return ngx_http_weir_engine_number(cf, arg, &value,
                       (uint32_t *) ((u_char *) &wmcf->options
                                     + number->offset));
        }
    }

    if (ngx_strncmp(arg->data, "id=", 3) == 0) {
        return ngx_http_weir_engine_name(cf, wmcf, arg, &value, 0);
    }

    if (ngx_strncmp(arg->data, "alias=", 6) == 0) {
        return ngx_http_weir_engine_name(cf, wmcf, arg, &value, 1);
    }

    if (ngx_strncmp(arg->data, "isa=", 4) == 0 && value.len) {
        wmcf->options.isa = (char *) value.data;   /* ends with a NUL */
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(arg->data, "activations=int8") == 0) {
        wmcf->options.activations = WEIR_ACTIVATIONS_INT8;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(arg->data, "activations=float") == 0) {
        wmcf->options.activations = WEIR_ACTIVATIONS_FLOAT;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(arg->data, "prefix_cache=on") == 0) {
        wmcf->options.no_prefix_cache = false;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(arg->data, "prefix_cache=off") == 0) {
        wmcf->options.no_prefix_cache = true;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(arg->data, "request_memory=", 15) == 0) {
        size = ngx_parse_size(&value);

        if (size < 1024 * 1024) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid \"%V\": at least 1m is needed", arg);
            return NGX_CONF_ERROR;
        }

        wmcf->request_memory = size;

        return NGX_CONF_OK;
    }

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"", arg);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_weir_engine_number(ngx_conf_t *cf, ngx_str_t *arg, ngx_str_t *value,
    uint32_t *field)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n == NGX_ERROR || n == 0 || n > 1024 * 1024 * 1024) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid \"%V\": a positive number is needed", arg);
        return NGX_CONF_ERROR;
    }

    *field = (uint32_t) n;

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_engine_name(ngx_conf_t *cf,
    ngx_http_weir_engine_main_conf_t *wmcf, ngx_str_t *arg, ngx_str_t *value,
    ngx_uint_t alias)
{
    size_t       i;
    weir_str_t  *name;

    if (value->len == 0 || value->len > 200) {
        goto invalid;
    }

    for (i = 0; i < value->len; i++) {
        if (value->data[i] <= ' ' || value->data[i] > '~'
            || value->data[i] == '"' || value->data[i] == '\\')
        {
            goto invalid;
        }
    }

    if (!alias) {
        wmcf->id = *value;
        wmcf->names.id = weir_str((char *) value->data, value->len);
        return NGX_CONF_OK;
    }

    name = ngx_array_push(&wmcf->aliases);
    if (name == NULL) {
        return NGX_CONF_ERROR;
    }

    *name = weir_str((char *) value->data, value->len);

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid \"%V\": 1 to 200 printable ASCII characters "
                       "are needed", arg);

    return NGX_CONF_ERROR;
}


/*
 * The master opens the file, often as root: a worker may be unable to pass
 * the folders on the way to it.  The descriptor lives as long as the cycle.
 */

static char *
ngx_http_weir_engine_open(ngx_conf_t *cf,
    ngx_http_weir_engine_main_conf_t *wmcf)
{
    ngx_file_info_t      fi;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    wmcf->fd = ngx_open_file(wmcf->path.data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                             NGX_FILE_OPEN, 0);

    if (wmcf->fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", &wmcf->path);
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_http_weir_engine_close_file;
    cln->data = wmcf;

    /* not for programs that NGINX executes, its own upgrade included */

    if (fcntl(wmcf->fd, F_SETFD, FD_CLOEXEC) == -1
        || ngx_fd_info(wmcf->fd, &fi) == NGX_FILE_ERROR)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", &wmcf->path);
        return NGX_CONF_ERROR;
    }

    if (!ngx_is_file(&fi)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is not a regular file", &wmcf->path);
        return NGX_CONF_ERROR;
    }

    wmcf->created = ngx_file_mtime(&fi);
    wmcf->options.model_fd = wmcf->fd;

    if (ngx_http_weir_engine_check_model(cf, wmcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* a broken file is better refused here than by a worker */

static ngx_int_t
ngx_http_weir_engine_check_model(ngx_conf_t *cf,
    ngx_http_weir_engine_main_conf_t *wmcf)
{
    weir_gguf_t    *gguf;
    weir_arena_t    arena;
    weir_error_t    err;
    weir_model_t   *model;
    weir_status_t   status;

    ngx_memzero(&err, sizeof(weir_error_t));
    weir_arena_init(&arena, 0, 0);

    status = weir_gguf_open_fd(wmcf->fd, (char *) wmcf->path.data, &gguf, &err);

    if (status == WEIR_OK) {
        status = weir_model_load(gguf, &arena, &model, &err);
        weir_gguf_close(gguf);
    }

    weir_arena_free(&arena);

    if (status != WEIR_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "model \"%V\": %s",
                           &wmcf->path, err.message);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_weir_engine_close_file(void *data)
{
    ngx_http_weir_engine_main_conf_t *wmcf = data;

    if (wmcf->fd != NGX_INVALID_FILE) {
        (void) ngx_close_file(wmcf->fd);
        wmcf->fd = NGX_INVALID_FILE;
    }
}


static char *
ngx_http_weir_engine_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_engine_loc_conf_t *wlcf = conf;

    ngx_http_core_loc_conf_t          *clcf;
    ngx_http_weir_engine_main_conf_t  *wmcf;

    if (wlcf->api) {
        return "is duplicate";
    }

    wlcf->api = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_weir_engine_handler;

    wmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_engine_module);
    wmcf->used = 1;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_engine_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_weir_engine_log_handler;

    ngx_http_weir_engine_filter_init(cf);

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_engine_init_module(ngx_cycle_t *cycle)
{
    ngx_core_conf_t                   *ccf;
    ngx_http_weir_engine_main_conf_t  *wmcf;

    wmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_engine_module);

    if (wmcf == NULL || wmcf->path.len == 0) {
        return NGX_OK;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    if (ccf->master && ccf->worker_processes > 1) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"weir_engine\" needs \"worker_processes 1;\", not %i: "
                      "each worker would load the model and cut the machine's "
                      "cores in pieces; the engine has threads of its own",
                      ccf->worker_processes);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_engine_init_process(ngx_cycle_t *cycle)
{
    ngx_http_weir_engine_main_conf_t  *wmcf;

    /* the cache manager comes here, too */

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    wmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_engine_module);

    if (wmcf == NULL || wmcf->path.len == 0) {
        return NGX_OK;
    }

    return ngx_http_weir_engine_start(cycle, wmcf);
}


static void
ngx_http_weir_engine_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_weir_engine_main_conf_t  *wmcf;

    wmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_engine_module);

    if (wmcf != NULL) {
        ngx_http_weir_engine_stop(wmcf);
    }
}


/*
 * Weir: health and metrics of the engine.
 */


#include "ngx_http_weir_engine.h"


#define NGX_HTTP_WEIR_ENGINE_DEGRADED  60    /* seconds after a failed step */


static void ngx_http_weir_engine_write_state(weir_buf_t *out,
    ngx_http_weir_engine_main_conf_t *wmcf, weir_engine_state_t state);
static void ngx_http_weir_engine_write_info(weir_buf_t *out,
    weir_arena_t *arena, ngx_http_weir_engine_main_conf_t *wmcf);
static void ngx_http_weir_engine_write_stats(weir_buf_t *out,
    weir_engine_stats_t *stats);
static void ngx_http_weir_engine_write_requests(weir_buf_t *out,
    ngx_http_weir_engine_metrics_t *m);
static void ngx_http_weir_engine_write_histograms(weir_buf_t *out,
    weir_arena_t *arena, ngx_http_weir_engine_main_conf_t *wmcf);
static void ngx_http_weir_engine_write_histogram(weir_buf_t *out,
    weir_arena_t *arena, ngx_http_weir_engine_main_conf_t *wmcf, char *name,
    char *help, weir_histogram_t *h);


static char  *ngx_http_weir_engine_route_names[] = {
    "/v1/models", "/v1/models/{id}", "/v1/chat/completions",
    "/v1/completions", "/generate", "/tokenize", "/detokenize", "/health",
    "/metrics", "/usage/{id}", "other"
};


static ngx_uint_t  ngx_http_weir_engine_statuses[] = {
    200, 400, 404, 405, 413, 415, 429, 499, 500, 503
};


static char  *ngx_http_weir_engine_finishes[] = {
    "none", "stop", "length", "cancelled", "error"
};


ngx_int_t
ngx_http_weir_engine_health(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx)
{
    char                              *name, *why;
    uint32_t                           max_queue;
    ngx_uint_t                         status;
    weir_buf_t                         out;
    weir_error_t                       err;
    weir_engine_state_t                state;
    weir_engine_stats_t                stats;
    ngx_http_weir_engine_main_conf_t  *wmcf;

    wmcf = ctx->wmcf;
    status = NGX_HTTP_SERVICE_UNAVAILABLE;
    why = NULL;
    err = wmcf->failure;

    ngx_memzero(&stats, sizeof(weir_engine_stats_t));

    state = wmcf->engine ? weir_engine_state(wmcf->engine, &err)
                         : WEIR_ENGINE_FAILED;

    switch (state) {

    case WEIR_ENGINE_READY:
        status = NGX_HTTP_OK;
        name = "ready";
        weir_engine_stats(wmcf->engine, &stats);

        if (stats.requests_finished[WEIR_FINISH_ERROR] != wmcf->seen_errors) {
            wmcf->seen_errors = stats.requests_finished[WEIR_FINISH_ERROR];
            wmcf->last_error = ngx_time();
        }

        max_queue = wmcf->options.max_queue ? wmcf->options.max_queue : 64;

        if (stats.waiting >= max_queue) {
            name = "degraded";
            why = "the queue is full";

        } else if (wmcf->last_error
                   && ngx_time() - wmcf->last_error
                      < NGX_HTTP_WEIR_ENGINE_DEGRADED)
        {
            name = "degraded";
            why = "an answer failed within the last minute";
        }

        break;

    case WEIR_ENGINE_LOADING:
        name = "loading";
        break;

    default:
        name = "failed";
        why = err.message;
    }

    weir_buf_init(&out, &ctx->arena);
    weir_buf_printf(&out, "{\"status\":\"%s\",\"model\":", name);
    weir_json_write_string(&out, wmcf->names.id);

    if (state == WEIR_ENGINE_LOADING) {
        weir_buf_append_z(&out, ",\"progress\":");
        weir_json_write_double(&out,
                               weir_engine_load_progress(wmcf->engine));
    }

    if (state == WEIR_ENGINE_READY) {
        weir_buf_printf(&out, ",\"running\":%u,\"waiting\":%u",
                        (unsigned) stats.running, (unsigned) stats.waiting);
    }

    if (why) {
        weir_buf_append_z(&out, ",\"reason\":");
        weir_json_write_string(&out, weir_str(why, strlen(why)));
    }

    weir_buf_append_char(&out, '}');

    if (state == WEIR_ENGINE_LOADING
        && ngx_http_weir_engine_add_number(r, "Retry-After", 1) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_weir_engine_send(r, status, &out);
}


ngx_int_t
ngx_http_weir_engine_metrics(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx)
{
    weir_buf_t                         out;
    weir_engine_state_t                state;
    weir_engine_stats_t                stats;
    ngx_http_weir_engine_main_conf_t  *wmcf;

    wmcf = ctx->wmcf;

    state = wmcf->engine ? weir_engine_state(wmcf->engine, NULL)
                         : WEIR_ENGINE_FAILED;

    weir_buf_init(&out, &ctx->arena);

    ngx_http_weir_engine_write_state(&out, wmcf, state);

    if (state == WEIR_ENGINE_READY) {
        weir_engine_stats(wmcf->engine, &stats);

        ngx_http_weir_engine_write_info(&out, &ctx->arena, wmcf);
        ngx_http_weir_engine_write_stats(&out, &stats);
    }

    ngx_http_weir_engine_write_requests(&out, &wmcf->metrics);
    ngx_http_weir_engine_write_histograms(&out, &ctx->arena, wmcf);

    ngx_str_set(&r->headers_out.content_type,
                "text/plain; version=0.0.4; charset=utf-8");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    return ngx_http_weir_engine_send(r, NGX_HTTP_OK, &out);
}


static void
ngx_http_weir_engine_write_state(weir_buf_t *out,
    ngx_http_weir_engine_main_conf_t *wmcf, weir_engine_state_t state)
{
    weir_metrics_family(out, "weir_engine_ready", "gauge",
                        "1 when the model answers.");
    weir_metrics_u64(out, "weir_engine_ready", NULL,
                     state == WEIR_ENGINE_READY);

    weir_metrics_family(out, "weir_engine_load_progress_ratio", "gauge",
                        "How much of the model is loaded.");
    weir_metrics_double(out, "weir_engine_load_progress_ratio", NULL,
                        state == WEIR_ENGINE_READY ? 1
                        : state == WEIR_ENGINE_LOADING
                        ? weir_engine_load_progress(wmcf->engine) : 0);
}


static void
ngx_http_weir_engine_write_info(weir_buf_t *out, weir_arena_t *arena,
    ngx_http_weir_engine_main_conf_t *wmcf)
{
    weir_buf_t            labels;
    const weir_model_t   *model;
    weir_backend_info_t   info;

    model = weir_engine_model(wmcf->engine);
    weir_engine_backend_info(wmcf->engine, &info);

    weir_buf_init(&labels, arena);
    weir_metrics_label(&labels, "model", wmcf->names.id);
    weir_metrics_label(&labels, "architecture", model->architecture);
    weir_metrics_label(&labels, "backend",
                       weir_str(info.name, strlen(info.name)));
    weir_metrics_label(&labels, "isa", weir_str(info.isa, strlen(info.isa)));
    weir_buf_printf(&labels, ",threads=\"%u\"", (unsigned) info.threads);
    weir_buf_append(&labels, "", 1);

    weir_metrics_family(out, "weir_engine_info", "gauge",
                        "What runs here; always 1.");
    weir_metrics_u64(out, "weir_engine_info",
                     labels.failed ? NULL : labels.data, 1);

    weir_metrics_family(out, "weir_engine_weight_bytes", "gauge",
                        "Size of the packed weights.");
    weir_metrics_u64(out, "weir_engine_weight_bytes", NULL, info.weight_bytes);

    weir_metrics_family(out, "weir_engine_context_tokens", "gauge",
                        "Longest prompt and answer together.");
    weir_metrics_u64(out, "weir_engine_context_tokens", NULL,
                     weir_engine_context(wmcf->engine));
}


static void
ngx_http_weir_engine_write_stats(weir_buf_t *out, weir_engine_stats_t *stats)
{
    char        label[32];
    double      usage;
    ngx_uint_t  i;

    struct {
        char      *name;
        char      *type;
        char      *help;
        uint64_t   value;
    } plain[] = {
        { "weir_engine_sequences_running", "gauge",
          "Sequences that are decoded now.", stats->running },
        { "weir_engine_requests_waiting", "gauge",
          "Requests in the queue.", stats->waiting },
        { "weir_engine_kv_blocks", "gauge",
          "Blocks of the KV cache.", stats->kv_blocks },
        { "weir_engine_kv_blocks_used", "gauge",
          "Blocks that running sequences hold.", stats->kv_blocks_used },
        { "weir_engine_prompt_tokens_total", "counter",
          "Prompt tokens, cached ones included.", stats->prompt_tokens },
        { "weir_engine_cached_tokens_total", "counter",
          "Prompt tokens taken from the prefix cache.",
          stats->cached_tokens },
        { "weir_engine_generated_tokens_total", "counter",
          "Tokens generated.", stats->generated_tokens },
        { "weir_engine_requests_rejected_total", "counter",
          "Requests refused because the queue was full.",
          stats->requests_rejected },
        { "weir_engine_steps_total", "counter",
          "Steps of the scheduler.", stats->steps },
        { "weir_engine_preemptions_total", "counter",
          "Sequences stopped for lack of cache and resumed.",
          stats->preemptions },
    };

    for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        weir_metrics_family(out, plain[i].name, plain[i].type, plain[i].help);
        weir_metrics_u64(out, plain[i].name, NULL, plain[i].value);
    }

    usage = stats->kv_blocks
            ? (double) stats->kv_blocks_used / stats->kv_blocks : 0;

    weir_metrics_family(out, "weir_engine_kv_usage_ratio", "gauge",
                        "Share of the KV cache in use.");
    weir_metrics_double(out, "weir_engine_kv_usage_ratio", NULL, usage);

    weir_metrics_family(out, "weir_engine_step_seconds_total", "counter",
                        "Busy time of steps, by what they did.");
    weir_metrics_double(out, "weir_engine_step_seconds_total",
                        "phase=\"prefill\"", (double) stats->prefill_ns / 1e9);
    weir_metrics_double(out, "weir_engine_step_seconds_total",
                        "phase=\"decode\"", (double) stats->decode_ns / 1e9);

    weir_metrics_family(out, "weir_engine_choices_finished_total", "counter",
                        "Finished choices, by reason.");

    for (i = WEIR_FINISH_STOP; i <= WEIR_FINISH_ERROR; i++) {
        snprintf(label, sizeof(label), "reason=\"%s\"",
                 ngx_http_weir_engine_finishes[i]);
        weir_metrics_u64(out, "weir_engine_choices_finished_total", label,
                         stats->requests_finished[i]);
    }
}


static void
ngx_http_weir_engine_write_requests(weir_buf_t *out,
    ngx_http_weir_engine_metrics_t *m)
{
    char        labels[96], status[8];
    ngx_uint_t  i, k;

    weir_metrics_family(out, "weir_engine_http_requests_total", "counter",
                        "Answers, by path and status.");

    for (i = 0; i < NGX_HTTP_WEIR_ENGINE_ROUTES; i++) {
        for (k = 0; k < NGX_HTTP_WEIR_ENGINE_STATUSES; k++) {

            if (m->requests[i][k] == 0) {
                continue;
            }

            if (k == NGX_HTTP_WEIR_ENGINE_STATUSES - 1) {
                snprintf(status, sizeof(status), "other");

            } else {
                snprintf(status, sizeof(status), "%u",
                         (unsigned) ngx_http_weir_engine_statuses[k]);
            }

            snprintf(labels, sizeof(labels), "path=\"%s\",status=\"%s\"",
                     ngx_http_weir_engine_route_names[i], status);
            weir_metrics_u64(out, "weir_engine_http_requests_total", labels,
                             m->requests[i][k]);
        }
    }

    weir_metrics_family(out, "weir_engine_client_disconnects_total", "counter",
                        "Clients that went away before their answer was "
                        "complete.");
    weir_metrics_u64(out, "weir_engine_client_disconnects_total", NULL,
                     m->disconnects);

    weir_metrics_family(out, "weir_engine_slow_clients_total", "counter",
                        "Streams cut because the client read too slowly.");
    weir_metrics_u64(out, "weir_engine_slow_clients_total", NULL,
                     m->slow_clients);
}


static void
ngx_http_weir_engine_write_histograms(weir_buf_t *out, weir_arena_t *arena,
    ngx_http_weir_engine_main_conf_t *wmcf)
{
    ngx_http_weir_engine_metrics_t *m = &wmcf->metrics;

    ngx_http_weir_engine_write_histogram(out, arena, wmcf,
        "gen_ai_server_time_to_first_token_seconds",
        "Arrival of the request to its first token.", m->first_token);

    ngx_http_weir_engine_write_histogram(out, arena, wmcf,
        "gen_ai_server_time_per_output_token_seconds",
        "Mean time between the tokens of a choice after its first.",
        m->output_token);

    ngx_http_weir_engine_write_histogram(out, arena, wmcf,
        "gen_ai_server_request_duration_seconds",
        "Arrival of the request to the end of its answer.", m->duration);
}


static void
ngx_http_weir_engine_write_histogram(weir_buf_t *out, weir_arena_t *arena,
    ngx_http_weir_engine_main_conf_t *wmcf, char *name, char *help,
    weir_histogram_t *h)
{
    ngx_uint_t  i;
    weir_buf_t  labels;

    weir_metrics_family(out, name, "histogram", help);

    for (i = 0; i < 2; i++) {
        weir_buf_init(&labels, arena);
        weir_metrics_label(&labels, "gen_ai_operation_name",
                           i == 0 ? WEIR_STR("chat")
                                  : WEIR_STR("text_completion"));
        weir_metrics_label(&labels, "gen_ai_provider_name", WEIR_STR("weir"));
        weir_metrics_label(&labels, "gen_ai_request_model", wmcf->names.id);
        weir_buf_append(&labels, "", 1);

        if (!labels.failed) {
            weir_metrics_histogram(out, name, labels.data, &h[i]);
        }
    }
}


void
ngx_http_weir_engine_metrics_init(ngx_http_weir_engine_metrics_t *m)
{
    ngx_uint_t  i;

    ngx_memzero(m, sizeof(ngx_http_weir_engine_metrics_t));

    for (i = 0; i < 2; i++) {
        weir_histogram_init(&m->first_token[i], weir_bounds_first_token,
                            sizeof(weir_bounds_first_token) / sizeof(double));
        weir_histogram_init(&m->output_token[i], weir_bounds_output_token,
                            sizeof(weir_bounds_output_token) / sizeof(double));
        weir_histogram_init(&m->duration[i], weir_bounds_duration,
                            sizeof(weir_bounds_duration) / sizeof(double));
    }
}


/* the end of a request */

void
ngx_http_weir_engine_count(ngx_http_weir_engine_ctx_t *ctx, ngx_uint_t status)
{
    ngx_uint_t                       i;
    ngx_http_weir_engine_metrics_t  *m;

    m = &ctx->wmcf->metrics;

    for (i = 0; i < NGX_HTTP_WEIR_ENGINE_STATUSES - 1; i++) {
        if (ngx_http_weir_engine_statuses[i] == status) {
            break;
        }
    }

    m->requests[ctx->route][i]++;

    if (ctx->generating && ctx->done && !ctx->failed && status == NGX_HTTP_OK) {
        weir_histogram_add(&m->duration[ctx->req.kind == WEIR_API_CHAT ? 0 : 1],
                           (double) (ngx_current_msec - ctx->start) / 1000);
    }
}

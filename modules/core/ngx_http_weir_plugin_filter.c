
/*
 * Weir's core: items of an answer on their way through a foreign plugin.
 * While one is held, those behind it are kept in their order.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_plugin.h"


#define NGX_HTTP_WEIR_KEPT  (1024 * 1024)

/* items of nothing take memory, too */

#define NGX_HTTP_WEIR_KEPT_COST(item)  ((item)->data.len + 64)


static weir_status_t ngx_http_weir_foreign_feed(void *self, weir_item_t *item,
    weir_sink_t *sink);
static weir_status_t ngx_http_weir_foreign_end(void *self, weir_end_t why,
    weir_sink_t *sink);
static weir_status_t ngx_http_weir_foreign_wake(void *self,
    weir_sink_t *sink);
static weir_status_t ngx_http_weir_foreign_item(weir_plugin_request_t *rq,
    weir_item_t *item, weir_sink_t *sink);
static weir_status_t ngx_http_weir_foreign_apply(weir_plugin_request_t *rq,
    weir_item_t *item, weir_sink_t *sink, weir_plugin_verdict_t verdict,
    const weir_plugin_decision_t *decision);
static weir_status_t ngx_http_weir_foreign_change(weir_plugin_request_t *rq,
    weir_item_t *item, weir_sink_t *sink,
    const weir_plugin_decision_t *decision);
static weir_status_t ngx_http_weir_foreign_fail(weir_plugin_request_t *rq,
    weir_item_t *item, weir_sink_t *sink);
static void ngx_http_weir_foreign_stop_answer(weir_plugin_request_t *rq,
    weir_sink_t *sink, const weir_plugin_decision_t *decision);
static weir_status_t ngx_http_weir_foreign_keep(weir_plugin_request_t *rq,
    weir_item_t *item);
static weir_str_t ngx_http_weir_foreign_take(char **p, weir_str_t text);
static void ngx_http_weir_foreign_deadline(ngx_event_t *ev);
static void ngx_http_weir_foreign_ready(weir_plugin_request_t *rq,
    weir_plugin_verdict_t verdict, const weir_plugin_decision_t *decision);


static const weir_filter_table_t  ngx_http_weir_foreign_open_filter = {
    .name = "plugin",
    .flags = WEIR_FILTER_AT_HOME,
    .feed = ngx_http_weir_foreign_feed,
    .end = ngx_http_weir_foreign_end,
    .wake = ngx_http_weir_foreign_wake
};


static const weir_filter_table_t  ngx_http_weir_foreign_closed_filter = {
    .name = "plugin",
    .flags = WEIR_FILTER_MUST_SEE|WEIR_FILTER_AT_HOME,
    .feed = ngx_http_weir_foreign_feed,
    .end = ngx_http_weir_foreign_end,
    .wake = ngx_http_weir_foreign_wake
};


ngx_int_t
ngx_http_weir_foreign_filter(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *public, weir_filter_t *filter, void *data)
{
    weir_plugin_request_t    *rq;
    ngx_http_weir_foreign_t  *foreign = data;

    rq = ngx_http_weir_foreign_request(foreign, public);

    if (rq == NULL || !foreign->started) {
        return NGX_ERROR;
    }

    rq->timer.handler = ngx_http_weir_foreign_deadline;
    rq->timer.data = rq;
    rq->timer.log = r->connection->log;

    filter->self = rq;
    filter->table = (foreign->needs.on_failure == WEIR_PLUGIN_OPEN)
                    ? &ngx_http_weir_foreign_open_filter
                    : &ngx_http_weir_foreign_closed_filter;

    return NGX_OK;
}


static weir_status_t
ngx_http_weir_foreign_feed(void *self, weir_item_t *item, weir_sink_t *sink)
{
    size_t                  max;
    weir_status_t           status;
    weir_plugin_request_t  *rq = self;

    if (rq->stopped) {
        return WEIR_OK;
    }

    /* keep-alives are for the connection */

    if (item->kind == WEIR_ITEM_COMMENT) {
        return weir_sink_pass(sink, item);
    }

    if (!ngx_queue_empty(&rq->kept)) {

        max = rq->foreign->needs.max_held ? rq->foreign->needs.max_held
                                          : NGX_HTTP_WEIR_KEPT;

        if (rq->kept_size + NGX_HTTP_WEIR_KEPT_COST(item) <= max) {
            return ngx_http_weir_foreign_keep(rq, item);
        }

        ngx_log_error(NGX_LOG_ERR, rq->ctx->request->connection->log, 0,
                      "plugin \"%V\" holds an item of an answer for too long: "
                      "more than %uz bytes wait behind it",
                      &rq->foreign->plugin.name, max);

        ngx_http_weir_foreign_cancelled(rq);
        ngx_http_weir_foreign_ready(rq, WEIR_PLUGIN_FAIL, NULL);

        status = ngx_http_weir_foreign_wake(rq, sink);

        if (status != WEIR_OK || rq->stopped) {
            return status;
        }

        if (!ngx_queue_empty(&rq->kept)) {
            return ngx_http_weir_foreign_keep(rq, item);
        }
    }

    status = ngx_http_weir_foreign_item(rq, item, sink);

    if (status == WEIR_OK && rq->hold) {
        return ngx_http_weir_foreign_keep(rq, item);
    }

    return status;
}


/* what is kept goes on as far as it can */

static weir_status_t
ngx_http_weir_foreign_wake(void *self, weir_sink_t *sink)
{
    ngx_queue_t            *q, *next;
    weir_status_t           status;
    ngx_http_weir_kept_t   *kept;
    weir_plugin_request_t  *rq = self;

    status = WEIR_OK;

    for (q = ngx_queue_head(&rq->kept);
         q != ngx_queue_sentinel(&rq->kept)
         && status == WEIR_OK && rq->hold == 0 && !rq->stopped;
         q = next)
    {
        next = ngx_queue_next(q);
        kept = ngx_queue_data(q, ngx_http_weir_kept_t, queue);

        if (rq->ready) {
            rq->ready = 0;
            status = ngx_http_weir_foreign_apply(rq, &kept->item, sink,
                                                 rq->verdict, &rq->decision);

        } else {
            status = ngx_http_weir_foreign_item(rq, &kept->item, sink);
        }

        /* held again: it stays the first */

        if (rq->hold) {
            break;
        }

        ngx_queue_remove(q);
        rq->kept_size -= kept->size;
        ngx_free(kept);
    }

    if (rq->stopped) {
        ngx_http_weir_foreign_drop(rq);
    }

    return status;
}


static weir_status_t
ngx_http_weir_foreign_end(void *self, weir_end_t why, weir_sink_t *sink)
{
    weir_plugin_end_t         how;
    weir_plugin_request_t    *rq = self;
    ngx_http_weir_foreign_t  *foreign;

    foreign = rq->foreign;

    switch (why) {

    case WEIR_END_COMPLETE:
        how = WEIR_PLUGIN_END_COMPLETE;
        break;

    case WEIR_END_CUT:
        how = WEIR_PLUGIN_END_CUT;
        break;

    case WEIR_END_ABORT:
        how = WEIR_PLUGIN_END_ABORT;
        break;

    default:
        how = WEIR_PLUGIN_END_STOPPED;
    }

    if (!ngx_queue_empty(&rq->kept)) {

        if (how == WEIR_PLUGIN_END_COMPLETE || how == WEIR_PLUGIN_END_CUT) {
            return WEIR_ERR_BUSY;
        }

        ngx_http_weir_foreign_cancelled(rq);
        ngx_http_weir_foreign_drop(rq);
    }

    if (!rq->ended) {
        rq->ended = 1;

        if (foreign->table->response_end) {
            foreign->table->response_end(foreign->self, rq, how);
        }
    }

    return WEIR_OK;
}


/* shows an item; with rq->hold set it is held, and the caller keeps it */

static weir_status_t
ngx_http_weir_foreign_item(weir_plugin_request_t *rq, weir_item_t *item,
    weir_sink_t *sink)
{
    weir_plugin_item_t        shown;
    weir_plugin_verdict_t     verdict;
    weir_plugin_decision_t    decision;
    ngx_http_weir_foreign_t  *foreign;

    if (item->kind != WEIR_ITEM_EVENT && item->kind != WEIR_ITEM_DOCUMENT) {
        return weir_sink_pass(sink, item);
    }

    foreign = rq->foreign;

    shown.kind = (item->kind == WEIR_ITEM_EVENT)
                 ? WEIR_PLUGIN_ITEM_EVENT : WEIR_PLUGIN_ITEM_DOCUMENT;
    shown.name.data = item->name.data;
    shown.name.len = item->name.len;
    shown.data.data = item->data.data;
    shown.data.len = item->data.len;

    ngx_memzero(&decision, sizeof(weir_plugin_decision_t));

    verdict = foreign->table->response_item(foreign->self, rq, &shown,
                                            &decision);

    if (verdict == WEIR_PLUGIN_HOLD && rq->hold) {
        rq->item = 1;
        ngx_add_timer(&rq->timer, foreign->plugin.timeout);
        return WEIR_OK;
    }

    ngx_http_weir_foreign_unhold(rq);

    return ngx_http_weir_foreign_apply(rq, item, sink, verdict, &decision);
}


static weir_status_t
ngx_http_weir_foreign_apply(weir_plugin_request_t *rq, weir_item_t *item,
    weir_sink_t *sink, weir_plugin_verdict_t verdict,
    const weir_plugin_decision_t *decision)
{
    switch (verdict) {

    case WEIR_PLUGIN_CONTINUE:
        return weir_sink_pass(sink, item);

    case WEIR_PLUGIN_REPLACE:
        return ngx_http_weir_foreign_change(rq, item, sink, decision);

    case WEIR_PLUGIN_DENY:
        ngx_http_weir_foreign_stop_answer(rq, sink, decision);
        return WEIR_OK;

    default: /* WEIR_PLUGIN_FAIL, and what is none */
        return ngx_http_weir_foreign_fail(rq, item, sink);
    }
}


static weir_status_t
ngx_http_weir_foreign_change(weir_plugin_request_t *rq, weir_item_t *item,
    weir_sink_t *sink, const weir_plugin_decision_t *decision)
{
    char  *text;

    if (decision->text.len == 0) {

        if (item->kind == WEIR_ITEM_EVENT) {
            return WEIR_OK;
        }

        return ngx_http_weir_foreign_fail(rq, item, sink);
    }

    text = weir_arena_strndup(weir_sink_arena(sink), decision->text.data,
                              decision->text.len);
    if (text == NULL) {
        return WEIR_ERR_NOMEM;
    }

    weir_item_replace(item, weir_str(text, decision->text.len));

    return weir_sink_pass(sink, item);
}


static weir_status_t
ngx_http_weir_foreign_fail(weir_plugin_request_t *rq, weir_item_t *item,
    weir_sink_t *sink)
{
    weir_plugin_decision_t  decision;

    ngx_log_error(NGX_LOG_ERR, rq->ctx->request->connection->log, 0,
                  "plugin \"%V\" failed in the answer to request \"%V\", "
                  "which %s", &rq->foreign->plugin.name,
                  &rq->ctx->public.request_id,
                  rq->foreign->needs.on_failure == WEIR_PLUGIN_OPEN
                      ? "goes on without it" : "ends");

    if (rq->foreign->needs.on_failure == WEIR_PLUGIN_OPEN) {
        rq->ctx->public.failed_open = 1;
        return weir_sink_pass(sink, item);
    }

    ngx_memzero(&decision, sizeof(weir_plugin_decision_t));

    decision.status = NGX_HTTP_INTERNAL_SERVER_ERROR;
    decision.type = "server_error";
    decision.code = "internal_error";
    decision.message.data = "The gateway could not check this answer.";
    decision.message.len = sizeof("The gateway could not check this answer.")
                           - 1;

    ngx_http_weir_foreign_stop_answer(rq, sink, &decision);

    return WEIR_OK;
}


/* a stop's strings live as long as the pipeline */

static void
ngx_http_weir_foreign_stop_answer(weir_plugin_request_t *rq,
    weir_sink_t *sink, const weir_plugin_decision_t *decision)
{
    char         *message;
    weir_stop_t   stop;

    ngx_memzero(&stop, sizeof(weir_stop_t));

    stop.reason = WEIR_STOP_CONTENT_FILTER;

    if (decision->status) {
        stop.reason = WEIR_STOP_ERROR;
        stop.status = (decision->status >= 400 && decision->status <= 599)
                      ? decision->status : NGX_HTTP_FORBIDDEN;
    }

    stop.type = ngx_http_weir_foreign_copy(&rq->ctx->arena, decision->type,
                                           "invalid_request_error");
    stop.code = ngx_http_weir_foreign_copy(&rq->ctx->arena, decision->code,
                                           "denied_by_plugin");

    message = NULL;

    if (decision->message.len) {
        message = weir_arena_strndup(&rq->ctx->arena, decision->message.data,
                                     ngx_min(decision->message.len, 1024));
    }

    stop.message = message ? message
                           : "A plugin of the gateway has ended this answer.";

    rq->stopped = 1;

    weir_sink_stop(sink, &stop);
}


static weir_status_t
ngx_http_weir_foreign_keep(weir_plugin_request_t *rq, weir_item_t *item)
{
    char                  *p;
    ngx_http_weir_kept_t  *kept;

    kept = ngx_alloc(sizeof(ngx_http_weir_kept_t) + item->raw.len
                     + item->name.len + item->data.len + item->fields.len,
                     ngx_cycle->log);

    if (kept == NULL) {
        ngx_http_weir_foreign_cancelled(rq);
        return WEIR_ERR_NOMEM;
    }

    ngx_memzero(&kept->item, sizeof(weir_item_t));

    p = (char *) kept + sizeof(ngx_http_weir_kept_t);

    kept->item.kind = item->kind;
    kept->item.raw = ngx_http_weir_foreign_take(&p, item->raw);
    kept->item.name = ngx_http_weir_foreign_take(&p, item->name);
    kept->item.data = ngx_http_weir_foreign_take(&p, item->data);
    kept->item.fields = ngx_http_weir_foreign_take(&p, item->fields);

    /* what it is replaced by may be longer */

    kept->size = NGX_HTTP_WEIR_KEPT_COST(item);
    rq->kept_size += kept->size;

    ngx_queue_insert_tail(&rq->kept, &kept->queue);

    return WEIR_OK;
}


static weir_str_t
ngx_http_weir_foreign_take(char **p, weir_str_t text)
{
    char  *start;

    start = *p;

    if (text.len) {
        ngx_memcpy(start, text.data, text.len);
    }

    *p = start + text.len;

    return weir_str(start, text.len);
}


/* the request ends, or its answer does: nothing that is kept leaves */

void
ngx_http_weir_foreign_drop(weir_plugin_request_t *rq)
{
    ngx_queue_t  *q, *next;

    if (rq->timer.timer_set) {
        ngx_del_timer(&rq->timer);
    }

    rq->ready = 0;
    rq->kept_size = 0;

    for (q = ngx_queue_head(&rq->kept);
         q != ngx_queue_sentinel(&rq->kept);
         q = next)
    {
        next = ngx_queue_next(q);
        ngx_free(ngx_queue_data(q, ngx_http_weir_kept_t, queue));
    }

    ngx_queue_init(&rq->kept);
}


static void
ngx_http_weir_foreign_deadline(ngx_event_t *ev)
{
    weir_plugin_request_t  *rq;

    rq = ev->data;

    ngx_http_set_log_request(rq->ctx->request->connection->log,
                             rq->ctx->request);

    ngx_http_weir_foreign_cancelled(rq);
    ngx_http_weir_foreign_ready(rq, WEIR_PLUGIN_FAIL, NULL);

    ngx_http_weir_wake(&rq->ctx->public);
}


/* resume() of an item; the request may be gone afterwards */

void
ngx_http_weir_foreign_item_said(weir_plugin_request_t *rq,
    weir_plugin_verdict_t verdict, const weir_plugin_decision_t *decision)
{
    ngx_http_weir_foreign_ready(rq, verdict, decision);

    ngx_http_weir_wake(&rq->ctx->public);
}


static void
ngx_http_weir_foreign_ready(weir_plugin_request_t *rq,
    weir_plugin_verdict_t verdict, const weir_plugin_decision_t *decision)
{
    char          *text;
    weir_arena_t  *arena;

    if (rq->timer.timer_set) {
        ngx_del_timer(&rq->timer);
    }

    arena = &rq->ctx->arena;

    ngx_memzero(&rq->decision, sizeof(weir_plugin_decision_t));

    rq->verdict = verdict;
    rq->ready = 1;

    if (decision == NULL) {
        return;
    }

    rq->decision = *decision;

    /* the texts outlast the pipeline's arena, but not the answer's */

    if (decision->text.len) {
        text = weir_arena_strndup(arena, decision->text.data,
                                  decision->text.len);
        rq->decision.text.data = text;

        if (text == NULL) {
            rq->verdict = WEIR_PLUGIN_FAIL;
        }
    }

    if (decision->message.len) {
        text = weir_arena_strndup(arena, decision->message.data,
                                  decision->message.len);
        rq->decision.message.data = text;
        rq->decision.message.len = text ? decision->message.len : 0;
    }

    rq->decision.type = decision->type
                        ? ngx_http_weir_foreign_copy(arena, decision->type, "")
                        : NULL;
    rq->decision.code = decision->code
                        ? ngx_http_weir_foreign_copy(arena, decision->code, "")
                        : NULL;
}

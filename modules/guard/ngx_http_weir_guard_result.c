
/*
 * Weir's guard: the answers of its endpoint.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_guard_endpoint.h"


#define NGX_HTTP_WEIR_GUARD_MODEL  "weir-guard-1"


typedef struct {
    const char                         *name;
    int                                 head;       /* -1: nothing tells */
    int                                 and;        /* the lesser counts */
} ngx_http_weir_guard_category_t;


static void ngx_http_weir_guard_write_moderation(
    ngx_http_weir_guard_call_t *call, weir_buf_t *buf);
static float ngx_http_weir_guard_category_score(
    const ngx_http_weir_guard_category_t *c, const weir_scores_t *scores);
static ngx_uint_t ngx_http_weir_guard_category_flag(
    ngx_http_weir_guard_call_t *call,
    const ngx_http_weir_guard_category_t *c, const weir_scores_t *scores);
static void ngx_http_weir_guard_write_scan(ngx_http_weir_guard_call_t *call,
    weir_buf_t *buf, uint32_t i);


/*
 * OpenAI's thirteen.  What no head of the classifier was trained on is told
 * as 0 and never flagged: docs/guard.md.
 */

static const ngx_http_weir_guard_category_t
    ngx_http_weir_guard_categories[] =
{
    { "harassment", WEIR_HEAD_INSULT, -1 },
    { "harassment/threatening", WEIR_HEAD_THREAT, WEIR_HEAD_TOXICITY },
    { "hate", WEIR_HEAD_IDENTITY_ATTACK, -1 },
    { "hate/threatening", WEIR_HEAD_IDENTITY_ATTACK, WEIR_HEAD_THREAT },
    { "illicit", -1, -1 },
    { "illicit/violent", -1, -1 },
    { "self-harm", WEIR_HEAD_SELF_HARM, -1 },
    { "self-harm/intent", -1, -1 },
    { "self-harm/instructions", -1, -1 },
    { "sexual", WEIR_HEAD_SEXUAL, -1 },
    { "sexual/minors", -1, -1 },
    { "violence", WEIR_HEAD_THREAT, -1 },
    { "violence/graphic", -1, -1 }
};

#define NGX_HTTP_WEIR_GUARD_CATEGORIES                                        \
    (sizeof(ngx_http_weir_guard_categories)                                   \
     / sizeof(ngx_http_weir_guard_category_t))


void
ngx_http_weir_guard_write(ngx_http_weir_guard_call_t *call, weir_buf_t *buf)
{
    uint32_t  i;

    if (call->moderation) {
        ngx_http_weir_guard_write_moderation(call, buf);

    } else if (!call->list) {
        ngx_http_weir_guard_write_scan(call, buf, 0);

    } else {
        weir_buf_append_z(buf, "{\"results\":[");

        for (i = 0; i < call->nresults; i++) {
            weir_buf_append_z(buf, i ? "," : "");
            ngx_http_weir_guard_write_scan(call, buf, i);
        }

        weir_buf_append_z(buf, "]}");
    }
}


static void
ngx_http_weir_guard_write_moderation(ngx_http_weir_guard_call_t *call,
    weir_buf_t *buf)
{
    uint32_t                               i;
    ngx_uint_t                             k, flagged;
    weir_buf_t                             flags, scores, types;
    ngx_http_weir_guard_result_t          *result;
    const ngx_http_weir_guard_category_t  *c;

    weir_buf_printf(buf, "{\"id\":\"modr-%.*s\",\"model\":\"%s\","
                    "\"results\":[", (int) call->ctx->request_id.len,
                    (char *) call->ctx->request_id.data,
                    NGX_HTTP_WEIR_GUARD_MODEL);

    for (i = 0; i < call->nresults; i++) {
        result = &call->results[i];
        flagged = 0;

        weir_buf_init(&flags, call->arena);
        weir_buf_init(&scores, call->arena);
        weir_buf_init(&types, call->arena);

        for (k = 0; k < NGX_HTTP_WEIR_GUARD_CATEGORIES; k++) {
            c = &ngx_http_weir_guard_categories[k];

            flagged |= ngx_http_weir_guard_category_flag(call, c,
                                                         &result->scores);

            weir_buf_printf(&flags, "%s\"%s\":%s", k ? "," : "", c->name,
                            ngx_http_weir_guard_category_flag(call, c,
                                                          &result->scores)
                                ? "true" : "false");
            weir_buf_printf(&scores, "%s\"%s\":%.7f", k ? "," : "", c->name,
                            (double) ngx_http_weir_guard_category_score(c,
                                                          &result->scores));
            weir_buf_printf(&types, "%s\"%s\":[%s]", k ? "," : "", c->name,
                            (result->texts && c->head >= 0) ? "\"text\""
                                                            : "");
        }

        weir_buf_printf(buf, "%s{\"flagged\":%s,\"categories\":{",
                        i ? "," : "", flagged ? "true" : "false");
        weir_buf_append(buf, flags.data, flags.len);
        weir_buf_append_z(buf, "},\"category_scores\":{");
        weir_buf_append(buf, scores.data, scores.len);
        weir_buf_append_z(buf, "},\"category_applied_input_types\":{");
        weir_buf_append(buf, types.data, types.len);
        weir_buf_append_z(buf, "}}");
    }

    weir_buf_append_z(buf, "]}");
}


static float
ngx_http_weir_guard_category_score(const ngx_http_weir_guard_category_t *c,
    const weir_scores_t *scores)
{
    if (c->head < 0) {
        return 0;
    }

    if (c->and < 0) {
        return scores->p[c->head];
    }

    return ngx_min(scores->p[c->head], scores->p[c->and]);
}


/* each head at its own threshold: the policy's, else the shipped one */

static ngx_uint_t
ngx_http_weir_guard_category_flag(ngx_http_weir_guard_call_t *call,
    const ngx_http_weir_guard_category_t *c, const weir_scores_t *scores)
{
    int         heads[2];
    float       block;
    ngx_uint_t  i;

    if (c->head < 0) {
        return 0;
    }

    heads[0] = c->head;
    heads[1] = c->and;

    for (i = 0; i < 2 && heads[i] >= 0; i++) {
        block = (call->policy && call->policy->head[heads[i]].on)
                ? call->policy->head[heads[i]].block
                : call->wgmcf->model.head[heads[i]].block;

        if (scores->p[heads[i]] < block) {
            return 0;
        }
    }

    return 1;
}


static void
ngx_http_weir_guard_write_scan(ngx_http_weir_guard_call_t *call,
    weir_buf_t *buf, uint32_t i)
{
    ngx_uint_t                     k;
    ngx_http_weir_guard_hit_t     *hit;
    ngx_http_weir_guard_result_t  *result;

    result = &call->results[i];

    weir_buf_append_z(buf, "{\"findings\":[");

    for (hit = result->hits; hit; hit = hit->next) {
        weir_buf_printf(buf, "%s{\"type\":\"%s\",\"start\":%u,\"end\":%u,"
                        "\"score\":%.3f,\"rule\":\"%s\",\"action\":\"%s\"}",
                        (hit == result->hits) ? "" : ",", hit->finding.type,
                        hit->finding.start, hit->finding.end,
                        (double) hit->finding.score, hit->finding.rule,
                        weir_guard_action_name(hit->action));
    }

    weir_buf_append_z(buf, "],\"scores\":{");

    for (k = 0; k < WEIR_HEADS; k++) {
        weir_buf_printf(buf, "%s\"%s\":%.4f", k ? "," : "", weir_head_name(k),
                        (double) result->scores.p[k]);
    }

    weir_buf_printf(buf, "},\"action\":\"%s\"}",
                    weir_guard_action_name(result->action));
}

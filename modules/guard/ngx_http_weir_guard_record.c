
/*
 * Weir's guard: what becomes of a finding, and what is told of it: types,
 * rules, counts and hashes, never a value.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_guard.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>


/* of a value that is masked, so many characters stay */

#define NGX_HTTP_WEIR_GUARD_SHOWN  4


static ngx_uint_t ngx_http_weir_guard_topic(ngx_http_weir_guard_ctx_t *gctx,
    ngx_uint_t direction, ngx_int_t topic, weir_str_t value,
    ngx_uint_t least);
static ngx_int_t ngx_http_weir_guard_redaction(
    ngx_http_weir_guard_ctx_t *gctx, const char *type,
    weir_str_t *replacement);
static ngx_int_t ngx_http_weir_guard_mask(ngx_http_weir_guard_ctx_t *gctx,
    weir_str_t value, weir_str_t *replacement);
static void ngx_http_weir_guard_hash(ngx_http_weir_guard_main_conf_t *wgmcf,
    weir_str_t value, u_char *hash);


/*
 * The action as it is to be done: in shadow mode nothing is.  *replacement is
 * set for all that put a text in place of the value.
 */

weir_guard_action_t
ngx_http_weir_guard_judge(ngx_http_weir_guard_ctx_t *gctx,
    ngx_uint_t direction, const weir_guard_finding_t *f, weir_str_t value,
    ngx_uint_t repeat, weir_str_t *replacement)
{
    unsigned                    least;
    ngx_int_t                   rc, topic;
    weir_guard_action_t         action;
    const weir_guard_policy_t  *policy;

    policy = gctx->policy;

    action = weir_guard_policy_judge(policy, direction, f, value, gctx->spare,
                                     replacement);

    topic = weir_guard_policy_topic(policy, f, &least);

    if (topic >= 0
        && ngx_http_weir_guard_topic(gctx, direction, topic, value, least)
           < least)
    {
        return WEIR_GUARD_ALLOW;
    }

    if (action == WEIR_GUARD_ALLOW) {
        return WEIR_GUARD_ALLOW;
    }

    if (!repeat) {
        ngx_http_weir_guard_note(gctx, direction, f->type, f->rule, action,
                                 -1, value);
    }

    if (policy->shadow) {
        return WEIR_GUARD_ALLOW;
    }

    rc = NGX_OK;

    switch (action) {

    case WEIR_GUARD_REDACT:
        rc = ngx_http_weir_guard_redaction(gctx, f->type, replacement);
        break;

    case WEIR_GUARD_MASK:
        rc = ngx_http_weir_guard_mask(gctx, value, replacement);
        break;

    default:
        break;
    }

    /* without memory nothing passes */

    return (rc == NGX_OK) ? action : WEIR_GUARD_BLOCK;
}


/* how many distinct words of the topic there have been, "least" at most */

static ngx_uint_t
ngx_http_weir_guard_topic(ngx_http_weir_guard_ctx_t *gctx,
    ngx_uint_t direction, ngx_int_t topic, weir_str_t value, ngx_uint_t least)
{
    size_t                       i;
    uint64_t                     hash;
    ngx_uint_t                   n, known;
    ngx_http_weir_guard_word_t  *word;

    hash = 0xcbf29ce484222325u;

    for (i = 0; i < value.len; i++) {
        hash = (hash ^ ngx_tolower((u_char) value.data[i]))
               * 0x100000001b3u;
    }

    n = 0;
    known = 0;

    for (word = gctx->words; word; word = word->next) {

        if (word->topic != topic || word->direction != direction) {
            continue;
        }

        n++;

        if (word->hash == hash) {
            known = 1;
        }
    }

    if (known || n >= least) {
        return n;
    }

    word = weir_arena_alloc(gctx->arena, sizeof(ngx_http_weir_guard_word_t));
    if (word == NULL) {
        return NGX_MAX_INT_T_VALUE;
    }

    word->topic = topic;
    word->direction = direction;
    word->hash = hash;
    word->next = gctx->words;

    gctx->words = word;

    return n + 1;
}


static ngx_int_t
ngx_http_weir_guard_redaction(ngx_http_weir_guard_ctx_t *gctx,
    const char *type, weir_str_t *replacement)
{
    char    *p;
    size_t   len;

    len = ngx_strlen(type) + 2;

    p = weir_arena_alloc(gctx->arena, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p[0] = '<';
    ngx_memcpy(p + 1, type, len - 2);
    p[len - 1] = '>';

    *replacement = weir_str(p, len);

    return NGX_OK;
}


/* one star for a character; what stays must be harmless in JSON and events */

static ngx_int_t
ngx_http_weir_guard_mask(ngx_http_weir_guard_ctx_t *gctx, weir_str_t value,
    weir_str_t *replacement)
{
    char        *p;
    u_char       ch;
    size_t       i, n, chars;
    ngx_uint_t   shown;

    chars = 0;

    for (i = 0; i < value.len; i++) {
        chars += (((u_char) value.data[i] & 0xc0) != 0x80);
    }

    p = weir_arena_alloc(gctx->arena, value.len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    *replacement = weir_str(p, 0);

    n = 0;
    shown = 0;

    for (i = 0; i < value.len; i++) {
        ch = value.data[i];

        if ((ch & 0xc0) != 0x80) {
            n++;

            /* of short values nothing stays */

            shown = chars > 2 * NGX_HTTP_WEIR_GUARD_SHOWN
                    && n + NGX_HTTP_WEIR_GUARD_SHOWN > chars
                    && ch >= 0x20 && ch != '"' && ch != '\\' && ch != 0x7f;

            *p++ = shown ? ch : '*';
            continue;
        }

        if (shown) {
            *p++ = ch;
        }
    }

    replacement->len = p - replacement->data;

    return NGX_OK;
}


/* *grey: no head says block, but one is to be asked about elsewhere */

weir_guard_action_t
ngx_http_weir_guard_judge_scores(ngx_http_weir_guard_ctx_t *gctx,
    ngx_uint_t direction, const weir_scores_t *scores, ngx_uint_t *grey)
{
    float                          p;
    ngx_uint_t                     i;
    weir_guard_action_t            action;
    const weir_guard_policy_t     *policy;
    const weir_guard_head_rule_t  *rule;

    policy = gctx->policy;
    action = WEIR_GUARD_ALLOW;

    *grey = 0;

    for (i = 0; i < WEIR_HEADS; i++) {
        rule = &policy->head[i];
        p = scores->p[i];

        if (!rule->on || p < rule->review) {
            continue;
        }

        if (p >= rule->block) {
            ngx_http_weir_guard_note(gctx, direction, weir_head_name(i),
                                     "tier1", rule->action, p,
                                     weir_str("", 0));
            action = ngx_max(action, rule->action);
            continue;
        }

        /* what only looks on does not ask */

        if (gctx->tier2 == NULL || gctx->tier2->target == NULL
            || policy->shadow
            || (direction == WEIR_GUARD_OUTPUT
                && policy->mode == WEIR_GUARD_OBSERVE))
        {
            ngx_http_weir_guard_note(gctx, direction, weir_head_name(i),
                                     "tier1", WEIR_GUARD_FLAG, p,
                                     weir_str("", 0));
            action = ngx_max(action, WEIR_GUARD_FLAG);
            continue;
        }

        /* the verdict counts for the head with the heaviest action */

        if (gctx->grey_score == 0
            || rule->action > policy->head[gctx->grey_head].action)
        {
            gctx->grey_head = i;
            gctx->grey_score = p;
        }

        *grey = 1;
    }

    if (policy->shadow) {
        action = WEIR_GUARD_ALLOW;
    }

    if (direction == WEIR_GUARD_OUTPUT && action == WEIR_GUARD_ROUTE) {
        action = WEIR_GUARD_FLAG;
    }

    if (action == WEIR_GUARD_BLOCK) {
        *grey = 0;
    }

    return action;
}


void
ngx_http_weir_guard_note(ngx_http_weir_guard_ctx_t *gctx,
    ngx_uint_t direction, const char *type, const char *rule,
    weir_guard_action_t action, float score, weir_str_t value)
{
    ngx_http_weir_guard_note_t    *note;
    ngx_http_weir_guard_series_t  *series;

    for (note = gctx->notes; note; note = note->next) {

        if (note->action == (ngx_uint_t) action
            && note->direction == direction
            && ngx_strcmp(note->type.data, type) == 0)
        {
            ngx_http_weir_guard_count(gctx->wgmcf, note->series);

            note->count++;
            note->score = ngx_max(note->score, score);
            return;
        }
    }

    series = ngx_http_weir_guard_series(gctx->wgmcf, type, action, direction,
                                        gctx->policy->shadow);

    ngx_http_weir_guard_count(gctx->wgmcf, series);

    note = weir_arena_alloc(gctx->arena, sizeof(ngx_http_weir_guard_note_t));
    if (note == NULL) {
        return;
    }

    note->series = series;

    note->type.data = (u_char *) type;
    note->type.len = ngx_strlen(type);
    note->rule.data = (u_char *) rule;
    note->rule.len = ngx_strlen(rule);
    note->action = action;
    note->direction = direction;
    note->count = 1;
    note->score = score;
    note->next = NULL;

    note->hash[0] = '\0';

    if (value.len) {
        ngx_http_weir_guard_hash(gctx->wgmcf, value, note->hash);
    }

    *gctx->last = note;
    gctx->last = &note->next;
}


/* two requests with the same value can be told by it, the value cannot */

static void
ngx_http_weir_guard_hash(ngx_http_weir_guard_main_conf_t *wgmcf,
    weir_str_t value, u_char *hash)
{
    u_char    digest[EVP_MAX_MD_SIZE];
    unsigned  len;

    if (HMAC(EVP_sha256(), wgmcf->salt, sizeof(wgmcf->salt),
             (u_char *) value.data, value.len, digest, &len)
        == NULL)
    {
        return;
    }

    *ngx_hex_dump(hash, digest, 4) = '\0';
}


void
ngx_http_weir_guard_failed(ngx_http_weir_guard_ctx_t *gctx,
    ngx_uint_t failure)
{
    if (gctx->wgmcf->sh) {
        (void) ngx_atomic_fetch_add(&gctx->wgmcf->sh->failures[failure], 1);
    }
}


/* NGX_DECLINED: there is nothing to tell */

ngx_int_t
ngx_http_weir_guard_explain(ngx_http_weir_guard_ctx_t *gctx, ngx_str_t *text)
{
    weir_buf_t                   buf;
    ngx_http_weir_guard_note_t  *note;

    weir_buf_init(&buf, gctx->arena);

    for (note = gctx->notes; note && buf.len < 1024; note = note->next) {

        weir_buf_append_z(&buf, buf.len ? ", " : "");
        weir_buf_append(&buf, note->type.data, note->type.len);

        if (note->score >= 0) {
            weir_buf_printf(&buf, "=%.2f;%s", note->score,
                            weir_guard_action_name(note->action));

        } else {
            weir_buf_printf(&buf, "=%s;n=%u",
                            weir_guard_action_name(note->action),
                            (unsigned) note->count);
        }

        if (gctx->policy->shadow) {
            weir_buf_append_z(&buf, ";shadow");
        }
    }

    if (buf.failed) {
        return NGX_ERROR;
    }

    text->data = (u_char *) buf.data;
    text->len = buf.len;

    return buf.len ? NGX_OK : NGX_DECLINED;
}


void
ngx_http_weir_guard_log(ngx_http_weir_guard_ctx_t *gctx)
{
    ngx_str_t                    text;
    weir_buf_t                   buf;
    ngx_http_weir_guard_note_t  *note;

    if (gctx->notes == NULL) {
        return;
    }

    weir_buf_init(&buf, gctx->arena);

    for (note = gctx->notes; note && buf.len < 1200; note = note->next) {

        weir_buf_printf(&buf, "%s%s %s=%s n=%u rule=%s",
                        buf.len ? ", " : "",
                        (note->direction == WEIR_GUARD_INPUT) ? "input"
                                                              : "output",
                        (char *) note->type.data,
                        weir_guard_action_name(note->action),
                        (unsigned) note->count, (char *) note->rule.data);

        if (note->score >= 0) {
            weir_buf_printf(&buf, " score=%.3f", note->score);
        }

        if (note->hash[0]) {
            weir_buf_printf(&buf, " value=%s", (char *) note->hash);
        }
    }

    if (buf.failed) {
        return;
    }

    text.data = (u_char *) buf.data;
    text.len = buf.len;

    ngx_log_error(NGX_LOG_NOTICE, gctx->request->connection->log, 0,
                  "guard: request \"%V\", policy \"%*s\" %*s%s: %V",
                  &gctx->ctx->request_id,
                  gctx->policy->name.len, gctx->policy->name.data,
                  (size_t) 8, gctx->policy->hash,
                  gctx->policy->shadow ? " in shadow mode" : "", &text);
}

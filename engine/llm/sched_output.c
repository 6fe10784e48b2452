/* From logits to tokens, texts and events. */
#include "engine/llm/sched_internal.h"

#include <math.h>

weir_event_t *weir_sched_event(weir_scheduler_t *s, const weir_request_t *req, uint32_t choice,
                               weir_event_type_t type)
{
    weir_event_t *ev = &s->event;
    ev->request = req->id;
    ev->choice = choice;
    ev->type = type;
    ev->token = -1;
    ev->logprob = 0;
    ev->finish = WEIR_FINISH_NONE;
    ev->prompt_tokens = (uint32_t)req->params.n_prompt;
    ev->cached_tokens = req->cached_tokens;
    ev->completion_tokens = 0;
    ev->n_top = 0;
    ev->text_len = 0;
    return ev;
}

/* Emits ev with the first n bytes of the held text, in as many events as that takes. */
static void emit_text(weir_scheduler_t *s, weir_text_t *text, weir_event_t *ev, uint32_t n)
{
    do {
        uint32_t part = weir_text_cut(text->held, n, WEIR_EVENT_TEXT);
        memcpy(ev->text, text->held, part);
        ev->text_len = part;
        weir_text_drop(text, part);
        n -= part;
        s->config.emit(s->config.ctx, ev);
        ev->token = -1;
        ev->n_top = 0;
        ev->logprob = 0;
    } while (n > 0);
}

/* Tells the prefix cache about the blocks that have become full. */
static void publish(weir_scheduler_t *s, weir_seq_t *seq)
{
    if (s->config.no_prefix_cache) {
        return;
    }
    while ((seq->n_published + 1) * WEIR_KV_BLOCK <= seq->n_computed) {
        uint32_t i = seq->n_published++;
        seq->blocks[i] = weir_kv_cache_publish(s->kv, seq->req->params.cache_scope,
                                               i == 0 ? WEIR_KV_NONE : seq->blocks[i - 1],
                                               seq->tokens + i * WEIR_KV_BLOCK, seq->blocks[i]);
    }
}

/* Reports prompt tokens whose probability rows[0..n) give; rows[0] predicts the token at `at`. */
static void report_prompt(weir_scheduler_t *s, weir_seq_t *seq, const float *rows, uint32_t n,
                          uint32_t at)
{
    const weir_generate_t *params = &seq->req->params;
    for (uint32_t i = 0; i < n; i++, at++) {
        if (at != seq->n_scored || at >= params->n_prompt) {
            continue;
        }
        weir_event_t *ev = weir_sched_event(s, seq->req, seq->choice, WEIR_EVENT_PROMPT_TOKEN);
        ev->token = seq->tokens[at];
        ev->logprob = weir_logprobs(rows + (size_t)i * s->config.n_vocab, s->config.vocab.size,
                                    ev->token, ev->top, params->top_logprobs, &ev->n_top);
        s->config.emit(s->config.ctx, ev);
        seq->n_scored++;
    }
}

static bool ends_answer(const weir_scheduler_t *s, const weir_generate_t *params, int32_t token)
{
    for (uint32_t i = 0; i < params->n_stop_tokens; i++) {
        if (params->stop_tokens[i] == token) {
            return true;
        }
    }
    return !params->ignore_eos && s->config.vocab.is_eog(s->config.vocab.ctx, token);
}

/* Samples the sequence's next token and reports it; ends the sequence if that is the last. */
static void take_token(weir_scheduler_t *s, weir_seq_t *seq, const float *row)
{
    weir_request_t *req = seq->req;
    const weir_generate_t *params = &req->params;
    const weir_vocab_t *vocab = &s->config.vocab;
    weir_history_t history = {seq->tokens, seq->n_tokens, (uint32_t)params->n_prompt};
    int32_t token = weir_sample(s->sampler, &params->sampling, seq->seed, &history, row);
    if (token < 0) {
        weir_sched_end_request(s, req, WEIR_FINISH_ERROR);
        return;
    }
    weir_event_t *ev = weir_sched_event(s, req, seq->choice, WEIR_EVENT_TOKEN);
    ev->token = token;
    if (params->logprobs) {
        ev->logprob =
            weir_logprobs(row, vocab->size, token, ev->top, params->top_logprobs, &ev->n_top);
    }
    seq->tokens[seq->n_tokens++] = token;
    ev->completion_tokens = seq->n_tokens - (uint32_t)params->n_prompt;
    weir_stat_add(&s->stats.generated_tokens, 1);

    bool ended = ends_answer(s, params, token);
    bool stopped = false;
    uint32_t n = 0;
    if (!ended && !vocab->is_special(vocab->ctx, token)) {
        n = weir_text_push(&seq->text, vocab->bytes(vocab->ctx, token), &s->scratch, &stopped);
    }
    uint32_t completion = ev->completion_tokens;
    emit_text(s, &seq->text, ev, n);
    if (stopped) {
        seq->text.n_held = 0;
        seq->text.utf8.n = 0;
    }
    if (ended || stopped) {
        weir_sched_finish(s, seq, WEIR_FINISH_STOP);
    } else if (completion >= req->max_tokens) {
        weir_sched_finish(s, seq, WEIR_FINISH_LENGTH);
    }
}

/* Gives the leader's prompt to the choices that wait for it; returns how many. */
static uint32_t fork_choices(weir_scheduler_t *s, weir_seq_t *leader)
{
    uint32_t n = 0;
    leader->req->leader = NULL;
    for (uint32_t i = 0; i < s->n_order; i++) {
        weir_seq_t *seq = s->order[i];
        if (seq->state != WEIR_SEQ_FORK || seq->req != leader->req) {
            continue;
        }
        for (uint32_t b = 0; b < leader->n_blocks; b++) {
            weir_kv_cache_ref(s->kv, leader->blocks[b]);
            seq->blocks[b] = leader->blocks[b];
        }
        seq->n_blocks = leader->n_blocks;
        seq->n_published = leader->n_published;
        seq->n_computed = leader->n_computed;
        seq->state = WEIR_SEQ_RUNNING;
        n++;
    }
    return n;
}

/* The sequence's tokens are computed; row predicts the next one (NULL with no_generate, which needs
 * none). */
static void complete(weir_scheduler_t *s, weir_seq_t *seq, const float *row)
{
    weir_request_t *req = seq->req;
    if (req->params.no_generate) {
        weir_sched_finish(s, seq, WEIR_FINISH_LENGTH);
        return;
    }
    uint32_t forks = req->leader == seq ? fork_choices(s, seq) : 0;
    take_token(s, seq, row);
    /* The request cannot be over before its forks are; without any it may be, and is not touched.
     * Those just forked are the ones that have no token of their own yet. */
    for (uint32_t i = 0; forks > 0 && i < s->n_order; i++) {
        weir_seq_t *fork = s->order[i];
        if (fork->state == WEIR_SEQ_RUNNING && fork != seq && fork->req == req &&
            fork->n_computed == fork->n_tokens) {
            take_token(s, fork, row);
            forks--;
        }
    }
}

const float *weir_sched_output(weir_scheduler_t *s, const weir_share_t *share, const float *rows)
{
    const float *end = rows + (size_t)share->n_logits * s->config.n_vocab;
    weir_seq_t *seq = share->seq;
    if (seq->state != WEIR_SEQ_RUNNING) {
        return end; /* ended by the failure of another choice of its request in this step */
    }
    const weir_generate_t *params = &seq->req->params;
    seq->n_computed += share->n_tokens;
    publish(s, seq);
    if (params->prompt_logprobs && seq->choice == 0) {
        report_prompt(s, seq, rows, share->n_logits, seq->n_computed - share->n_logits + 1);
    }
    if (seq->n_computed == seq->n_tokens) {
        complete(s, seq, share->n_logits > 0 ? end - s->config.n_vocab : NULL);
    }
    return end;
}

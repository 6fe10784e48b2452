/* What the submitting thread does with the scheduler: check, reserve, copy, cancel. */
#include "engine/llm/sched_internal.h"

#include <math.h>

static weir_status_t bad(weir_error_t *err, const char *field, const char *what)
{
    return weir_error_at(err, WEIR_ERR_INVALID, field, NULL, "%s %s", field, what);
}

/* NaN is outside every range. */
static bool within(float x, float low, float high)
{
    return x >= low && x <= high;
}

static weir_status_t check_sampling(const weir_sampling_t *p, uint32_t n_vocab, weir_error_t *err)
{
    if (!within(p->temperature, 0.0f, 2.0f)) {
        return bad(err, "temperature", "must be between 0 and 2");
    }
    if (p->top_k < 0) {
        return bad(err, "top_k", "must be 0 (off) or more");
    }
    if (!within(p->top_p, 0.0f, 1.0f)) {
        return bad(err, "top_p", "must be between 0 and 1");
    }
    if (!within(p->min_p, 0.0f, 1.0f)) {
        return bad(err, "min_p", "must be between 0 and 1");
    }
    if (!within(p->repetition_penalty, 0.01f, 100.0f)) {
        return bad(err, "repetition_penalty", "must be between 0.01 and 100");
    }
    if (!within(p->frequency_penalty, -2.0f, 2.0f)) {
        return bad(err, "frequency_penalty", "must be between -2 and 2");
    }
    if (!within(p->presence_penalty, -2.0f, 2.0f)) {
        return bad(err, "presence_penalty", "must be between -2 and 2");
    }
    if (p->n_bias > WEIR_ENGINE_MAX_BIAS) {
        return bad(err, "logit_bias", "has too many tokens");
    }
    for (uint32_t i = 0; i < p->n_bias; i++) {
        if (p->bias[i].token < 0 || (uint32_t)p->bias[i].token >= n_vocab) {
            return bad(err, "logit_bias", "names a token that the model does not have");
        }
        if (!within(p->bias[i].bias, -1e9f, 1e9f)) {
            return bad(err, "logit_bias", "has a bias that is not a usable number");
        }
    }
    return WEIR_OK;
}

static weir_status_t check_stops(const weir_generate_t *r, uint32_t n_vocab, weir_error_t *err)
{
    if (r->n_stops > WEIR_ENGINE_MAX_STOPS) {
        return weir_error_at(err, WEIR_ERR_INVALID, "stop", NULL, "stop has more than %d strings",
                             WEIR_ENGINE_MAX_STOPS);
    }
    for (uint32_t i = 0; i < r->n_stops; i++) {
        if (r->stops[i].len == 0) {
            return bad(err, "stop", "has an empty string");
        }
        if (r->stops[i].len > WEIR_ENGINE_MAX_STOP_BYTES) {
            return weir_error_at(err, WEIR_ERR_INVALID, "stop", NULL,
                                 "stop has a string over %d bytes", WEIR_ENGINE_MAX_STOP_BYTES);
        }
        if (weir_utf8_valid(r->stops[i].data, r->stops[i].len) != r->stops[i].len) {
            return bad(err, "stop", "is not valid UTF-8");
        }
    }
    if (r->n_stop_tokens > WEIR_ENGINE_MAX_STOPS) {
        return weir_error_at(err, WEIR_ERR_INVALID, "stop_token_ids", NULL,
                             "stop_token_ids has more than %d tokens", WEIR_ENGINE_MAX_STOPS);
    }
    for (uint32_t i = 0; i < r->n_stop_tokens; i++) {
        if (r->stop_tokens[i] < 0 || (uint32_t)r->stop_tokens[i] >= n_vocab) {
            return bad(err, "stop_token_ids", "names a token that the model does not have");
        }
    }
    return WEIR_OK;
}

static weir_status_t check_prompt(const weir_scheduler_t *s, const weir_generate_t *r,
                                  weir_error_t *err)
{
    uint32_t room = s->config.context - (r->no_generate ? 0 : 1);
    if (r->n_prompt == 0 || r->prompt == NULL) {
        return bad(err, "prompt", "is empty: at least one token is needed");
    }
    if (r->n_prompt > room) {
        return weir_error_at(err, WEIR_ERR_INVALID, "prompt", "context_length_exceeded",
                             "the prompt has %zu tokens and the context only %u%s", r->n_prompt,
                             s->config.context,
                             r->no_generate ? "" : ", of which one is kept for the answer");
    }
    for (size_t i = 0; i < r->n_prompt; i++) {
        if (r->prompt[i] < 0 || (uint32_t)r->prompt[i] >= s->config.vocab.size) {
            return weir_error_at(err, WEIR_ERR_INVALID, "prompt", NULL,
                                 "the prompt's token %zu is %d, but the model has only %u", i,
                                 r->prompt[i], s->config.vocab.size);
        }
    }
    return WEIR_OK;
}

weir_status_t weir_scheduler_check(const weir_scheduler_t *s, const weir_generate_t *r,
                                   weir_error_t *err)
{
    weir_status_t status = check_prompt(s, r, err);
    if (status == WEIR_OK) {
        status = check_sampling(&r->sampling, s->config.vocab.size, err);
    }
    if (status == WEIR_OK) {
        status = check_stops(r, s->config.vocab.size, err);
    }
    if (status != WEIR_OK) {
        return status;
    }
    if (r->n < 1 || r->n > WEIR_ENGINE_MAX_CHOICES) {
        return weir_error_at(err, WEIR_ERR_INVALID, "n", NULL, "n must be between 1 and %d",
                             WEIR_ENGINE_MAX_CHOICES);
    }
    if (r->no_generate && r->n != 1) {
        return bad(err, "n", "must be 1 when nothing is generated");
    }
    if (r->top_logprobs > WEIR_ENGINE_MAX_TOP_LOGPROBS) {
        return weir_error_at(err, WEIR_ERR_INVALID, "top_logprobs", NULL,
                             "top_logprobs must be between 0 and %d", WEIR_ENGINE_MAX_TOP_LOGPROBS);
    }
    if (r->top_logprobs > 0 && !r->logprobs && !r->prompt_logprobs) {
        return bad(err, "top_logprobs", "needs logprobs to be true");
    }
    return WEIR_OK;
}

bool weir_scheduler_reserve(weir_scheduler_t *s)
{
    /* A waiting request that finds a free place at the next step does not count: a burst that an
     * idle engine can take on is not refused because its thread has not looked yet. */
    uint64_t load = atomic_load(&s->load);
    uint32_t waiting = (uint32_t)(load >> 32);
    uint32_t running = (uint32_t)load;
    uint32_t places = s->config.max_running - running;
    if (waiting >= places && waiting - places >= s->config.max_queue) {
        weir_stat_add(&s->stats.rejected, 1);
        return false;
    }
    atomic_fetch_add(&s->load, 1ull << 32);
    return true;
}

uint32_t weir_scheduler_retry_after_ms(const weir_scheduler_t *s)
{
    uint64_t ns = atomic_load_explicit(&s->stats.finish_interval_ns, memory_order_relaxed);
    if (ns == 0) {
        ns = atomic_load_explicit(&s->stats.step_ns, memory_order_relaxed) *
             atomic_load_explicit(&s->stats.least_left, memory_order_relaxed);
    }
    uint64_t ms = ns == 0 ? 1000 : ns / 1000000;
    return ms < 1 ? 1 : ms > 600000 ? 600000 : (uint32_t)ms;
}

void weir_scheduler_fill(weir_scheduler_t *s, uint32_t slot, uint64_t id, uint64_t seed,
                         const weir_generate_t *request)
{
    weir_request_t *r = &s->slots[slot];
    r->id = id;
    r->params = *request;
    memcpy(r->prompt, request->prompt, request->n_prompt * sizeof(*r->prompt));
    r->params.prompt = r->prompt;
    for (uint32_t i = 0; i < request->n_stops; i++) {
        memcpy(r->stop_bytes[i], request->stops[i].data, request->stops[i].len);
        r->params.stops[i].data = r->stop_bytes[i];
    }
    if (!request->sampling.has_seed) {
        r->params.sampling.seed = seed;
    }
    uint32_t room = s->config.context - (uint32_t)request->n_prompt;
    r->max_tokens =
        request->max_tokens == 0 || request->max_tokens > room ? room : request->max_tokens;
    atomic_store(&r->cancel, false);
    r->started = false;
    r->next_choice = 0;
    r->open_choices = request->n;
    r->cached_tokens = 0;
    r->leader = NULL;
    r->next = NULL;
}

void weir_scheduler_cancel(weir_scheduler_t *s, uint32_t slot, uint64_t id)
{
    if (slot < s->n_slots && s->slots[slot].id == id) {
        atomic_store(&s->slots[slot].cancel, true);
    }
}

/* Blocks and rows of the next step. */
#include "engine/llm/sched_internal.h"

static bool caches(const weir_scheduler_t *s, const weir_seq_t *seq)
{
    return !s->config.no_prefix_cache && !seq->req->params.prompt_logprobs;
}

/* Sequences that hold blocks. */
static uint32_t holders(const weir_scheduler_t *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_order; i++) {
        n += s->order[i]->n_blocks > 0;
    }
    return n;
}

bool weir_sched_place(weir_scheduler_t *s, weir_seq_t *seq)
{
    uint32_t others = holders(s); /* each keeps one block in reserve, or it would soon be evicted */
    uint32_t hits = 0;
    if (caches(s, seq)) {
        hits = weir_kv_cache_match(s->kv, seq->req->params.cache_scope, seq->tokens, seq->n_tokens,
                                   seq->blocks);
    }
    uint32_t want = weir_blocks_for(seq->n_tokens);
    seq->n_blocks = hits;
    if (weir_kv_cache_available(s->kv) < want - hits + others) {
        weir_sched_drop_blocks(s, seq);
        return false;
    }
    while (seq->n_blocks < want) {
        seq->blocks[seq->n_blocks++] = weir_kv_cache_alloc(s->kv);
    }
    seq->n_published = hits;
    /* The last token is always computed again: its logits are needed. */
    seq->n_computed = hits * WEIR_KV_BLOCK;
    if (seq->n_computed >= seq->n_tokens) {
        seq->n_computed = seq->n_tokens - 1;
    }
    seq->state = WEIR_SEQ_RUNNING;
    return true;
}

/* The youngest sequence that holds blocks. */
static weir_seq_t *youngest(const weir_scheduler_t *s)
{
    for (uint32_t i = s->n_order; i-- > 0;) {
        if (s->order[i]->n_blocks > 0) {
            return s->order[i];
        }
    }
    return NULL;
}

static void preempt(weir_scheduler_t *s, weir_seq_t *seq)
{
    weir_sched_drop_blocks(s, seq);
    seq->n_computed = 0;
    seq->state = WEIR_SEQ_PREEMPTED;
    weir_stat_add(&s->stats.preemptions, 1);
}

/* Appends a block, at the cost of younger sequences if need be; false when seq is the youngest. */
static bool grow(weir_scheduler_t *s, weir_seq_t *seq)
{
    for (;;) {
        uint32_t block = weir_kv_cache_alloc(s->kv);
        if (block != WEIR_KV_NONE) {
            seq->blocks[seq->n_blocks++] = block;
            return true;
        }
        weir_seq_t *victim = youngest(s);
        if (victim == NULL || victim == seq) {
            return false;
        }
        preempt(s, victim);
    }
}

/* Makes block i the sequence's own: copy on write. False when seq is the youngest and there is
 * no block for the copy. */
static bool own(weir_scheduler_t *s, weir_seq_t *seq, uint32_t i)
{
    while (!weir_kv_cache_writable(s->kv, seq->blocks[i])) {
        uint32_t copy = weir_kv_cache_alloc(s->kv);
        if (copy != WEIR_KV_NONE) {
            s->config.ops->copy_block(s->config.backend, copy, seq->blocks[i]);
            weir_kv_cache_unref(s->kv, seq->blocks[i]);
            seq->blocks[i] = copy;
        } else if (weir_kv_cache_refcount(s->kv, seq->blocks[i]) == 1) {
            weir_kv_cache_forget(s->kv, seq->blocks[i]);
        } else {
            weir_seq_t *victim = youngest(s);
            if (victim == NULL || victim == seq) {
                return false;
            }
            preempt(s, victim);
        }
    }
    if (seq->n_published > i) {
        seq->n_published = i;
    }
    return true;
}

/* Every running sequence gets a block of its own for its next token. From the oldest on, so that
 * the ones that lose their blocks are always younger than those served. */
static void secure_blocks(weir_scheduler_t *s)
{
    for (uint32_t i = 0; i < s->n_order; i++) {
        weir_seq_t *seq = s->order[i];
        if (seq->state != WEIR_SEQ_RUNNING) {
            continue;
        }
        uint32_t at = seq->n_computed / WEIR_KV_BLOCK;
        bool secured = at < seq->n_blocks ? own(s, seq, at) : grow(s, seq);
        if (!secured) {
            preempt(s, seq);
        }
    }
}

/* Rows of the step that prompts may take. */
static uint32_t prompt_budget(const weir_scheduler_t *s, uint32_t n_decoding, uint32_t n_prompts)
{
    uint32_t budget = s->config.step_tokens - n_decoding;
    if (n_decoding > 0 && s->prompt_row_ns > 0) {
        double rows = (double)WEIR_SCHEDULER_PROMPT_NS / s->prompt_row_ns;
        uint32_t least = 2 * WEIR_KV_BLOCK;
        uint32_t limit = rows < (double)least ? least : rows > 1e9 ? 1000000000u : (uint32_t)rows;
        budget = budget < limit ? budget : limit;
    }
    return budget < n_prompts ? n_prompts : budget;
}

/* Shares rows among the prompts: nobody gets less than another unless it needs less. */
static void share_rows(weir_share_t *shares, uint32_t n, uint32_t rows)
{
    uint32_t open = n;
    for (uint32_t i = 0; i < n; i++) {
        shares[i].n_tokens = 0;
    }
    while (open > 0 && rows > 0) {
        uint32_t each = rows / open > 0 ? rows / open : 1;
        open = 0;
        for (uint32_t i = 0; i < n && rows > 0; i++) {
            weir_share_t *sh = &shares[i];
            uint32_t left = sh->seq->n_tokens - sh->seq->n_computed - sh->n_tokens;
            uint32_t take = left < each ? left : each;
            take = take < rows ? take : rows;
            sh->n_tokens += take;
            rows -= take;
            open += left > take;
        }
    }
}

/* How many logit rows the share needs: the last one when the tokens become complete, and for
 * prompt_logprobs each row whose next token has not been reported. */
static uint32_t logits_of(const weir_share_t *sh)
{
    const weir_seq_t *seq = sh->seq;
    const weir_generate_t *params = &seq->req->params;
    uint32_t end = seq->n_computed + sh->n_tokens;
    uint32_t n = end == seq->n_tokens && !params->no_generate ? 1 : 0;
    if (params->prompt_logprobs && seq->choice == 0 && seq->n_scored < params->n_prompt) {
        uint32_t first = seq->n_scored - 1;
        first = first > seq->n_computed ? first : seq->n_computed;
        uint32_t scoring = end > first ? end - first : 0;
        n = n > scoring ? n : scoring;
    }
    return n;
}

/* Cuts a scoring share down to the logit rows that are left for it. */
static void fit_logits(weir_share_t *sh, uint32_t limit)
{
    sh->n_logits = logits_of(sh);
    if (sh->n_logits > limit) {
        sh->n_tokens -= sh->n_logits - limit;
        sh->n_logits = logits_of(sh);
    }
}

static bool is_decoding(const weir_seq_t *seq)
{
    return seq->n_tokens - seq->n_computed == 1;
}

uint32_t weir_sched_build(weir_scheduler_t *s, uint32_t *n_prompt_rows)
{
    secure_blocks(s);
    uint32_t n = 0;
    for (int prompts = 0; prompts <= 1; prompts++) {
        for (uint32_t i = 0; i < s->n_order; i++) {
            weir_seq_t *seq = s->order[i];
            if (seq->state == WEIR_SEQ_RUNNING && is_decoding(seq) == (prompts == 0)) {
                s->shares[n++] = (weir_share_t){.seq = seq, .n_tokens = 1};
            }
        }
        if (prompts == 0) {
            *n_prompt_rows = n; /* for the moment: where the prompts begin */
        }
    }
    uint32_t n_decoding = *n_prompt_rows;
    uint32_t n_prompts = n - n_decoding;
    *n_prompt_rows = 0;
    if (n_prompts > 0) {
        share_rows(s->shares + n_decoding, n_prompts, prompt_budget(s, n_decoding, n_prompts));
    }
    /* Every share gets one row for its last token; scoring shares divide what is left. */
    uint32_t extra = (s->config.max_logits - n) / (n_prompts > 0 ? n_prompts : 1);
    for (uint32_t i = 0; i < n; i++) {
        weir_share_t *sh = &s->shares[i];
        weir_seq_t *seq = sh->seq;
        fit_logits(sh, i < n_decoding ? 1 : 1 + extra);
        *n_prompt_rows += i < n_decoding ? 0 : sh->n_tokens;
        s->batch[i] = (weir_batch_seq_t){
            .tokens = seq->tokens + seq->n_computed,
            .n_tokens = sh->n_tokens,
            .position = seq->n_computed,
            .blocks = seq->blocks,
            .n_logits = sh->n_logits,
        };
    }
    return n;
}

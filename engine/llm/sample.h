/*
 * Choosing the next token. Order of operations, each on the result of the one before:
 *
 *   1. logit_bias is added to the raw logits;
 *   2. repetition penalty p over all tokens of prompt and answer: a positive logit is divided by p,
 *      a negative one multiplied (CTRL, Keskar et al., 2019);
 *   3. frequency penalty times the token's count in the answer, then the presence penalty if it
 *      occurs there at all, are subtracted (OpenAI's definition);
 *   4. temperature divides; 0 takes the best logit and ends here (ties: the lowest id);
 *   5. top_k keeps the k best;
 *   6. top_p keeps the smallest set of the best whose share of what is left reaches top_p;
 *   7. min_p drops what is less likely than min_p times the best;
 *   8. one draw by a number that is a function of (seed, position) alone, so that the answer does
 *      not depend on what else runs.
 *
 * NaN counts as minus infinity and plus infinity as the largest number.
 */
#ifndef WEIR_LLM_SAMPLE_H
#define WEIR_LLM_SAMPLE_H

#include "engine/llm/engine.h"

typedef struct weir_sampler weir_sampler_t;

/* Scratch memory for one vocabulary; used by one thread at a time. Errors: NOMEM, INVALID. */
weir_status_t weir_sampler_open(uint32_t n_vocab, weir_sampler_t **out, weir_error_t *err);
void weir_sampler_close(weir_sampler_t *sampler);

/* The tokens so far: prompt and answer. */
typedef struct {
    const int32_t *tokens;
    uint32_t n_tokens;
    uint32_t n_prompt;
} weir_history_t;

/*
 * Picks the token at position history->n_tokens from its logits (n_vocab, unchanged). Returns -1
 * when no logit is a number above minus infinity. Allocates nothing.
 */
int32_t weir_sample(weir_sampler_t *sampler, const weir_sampling_t *how, uint64_t seed,
                    const weir_history_t *history, const float *logits);

/*
 * Log-softmax of the raw logits: of token, and the n_top most likely (best first; ties: lowest id)
 * with the number found in *found. A token without probability has -INFINITY.
 */
float weir_logprobs(const float *logits, uint32_t n_vocab, int32_t token, weir_logprob_t *top,
                    uint32_t n_top, uint32_t *found);

/* The draw of (seed, position), uniform in [0, 1). */
double weir_sample_uniform(uint64_t seed, uint64_t position);

#endif

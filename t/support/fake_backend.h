/*
 * A back end without a model, for tests of the scheduler and the engine: "K and V" of a position is
 * a hash of its token and of everything before it, read back through the block table, and the
 * logits follow from it. A wrong block table, a missing copy on write or a false hit of the prefix
 * cache therefore changes the logits.
 */
#ifndef WEIR_T_FAKE_BACKEND_H
#define WEIR_T_FAKE_BACKEND_H

#include "engine/llm/backend.h"

const weir_backend_ops_t *fake_backend(void);

/* As ops->open, without a model; n_vocab values per logit row. */
weir_backend_t *fake_backend_open(uint32_t n_vocab, const weir_backend_options_t *options);

/* The logits after tokens[0..n), computed without any cache. */
void fake_backend_logits(const int32_t *tokens, uint32_t n, uint32_t n_vocab, float *logits);

/* The next `steps` calls of forward fail. */
void fake_backend_fail(weir_backend_t *backend, uint32_t steps);

#endif

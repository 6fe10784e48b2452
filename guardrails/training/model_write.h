/* Writes a trained model: int8 weights, one scale per head (format: classifier/model_format.h). */
#ifndef WEIR_GUARD_TRAINING_MODEL_WRITE_H
#define WEIR_GUARD_TRAINING_MODEL_WRITE_H

#include "guardrails/training/learn.h"

/*
 * Encodes the model into arena memory; params' scale and bias are taken from m, the
 * rest as given. Weights beyond the largest 0.02 % of a head are cut there, which leaves finer
 * steps to the others. Errors: NOMEM.
 */
weir_status_t weir_model_encode(const weir_linear_t *m, const weir_head_params_t params[WEIR_HEADS],
                                weir_arena_t *arena, weir_str_t *out, weir_error_t *err);

/* Writes the bytes to path by way of a temporary file beside it. Errors: IO, LIMIT. */
weir_status_t weir_write_file(const char *path, weir_str_t data, weir_error_t *err);

#endif

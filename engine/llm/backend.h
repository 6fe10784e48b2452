/*
 * What a back end (cpu, cuda) does for the engine: upload weights once, then run batches over a
 * paged KV cache. One thread (the engine's) calls it; a back end may have threads of its own.
 * Results for a row do not depend on what else is in the batch, on how a prompt was cut into
 * chunks, or on the number of threads.
 */
#ifndef WEIR_LLM_BACKEND_H
#define WEIR_LLM_BACKEND_H

#include "engine/llm/model.h"

/* Tokens per KV block: the unit of allocation and of the prefix cache. */
#define WEIR_KV_BLOCK 16

typedef struct weir_backend weir_backend_t;

typedef enum {
    WEIR_ACTIVATIONS_INT8 = 0, /* activations quantised to int8 in blocks of 32 for products with
                                  quantised weights */
    WEIR_ACTIVATIONS_FLOAT     /* float32 activations throughout: slower, for checking */
} weir_activations_t;

typedef struct {
    uint32_t threads;     /* compute threads, the caller's included; 0: all cores allowed */
    uint32_t n_kv_blocks; /* blocks of WEIR_KV_BLOCK tokens in the cache */
    uint32_t max_rows;    /* most token rows of one batch */
    uint32_t max_logits;  /* most logit rows of one batch */
    weir_activations_t activations;
    const char *isa; /* NULL: the best this machine has; or "scalar", "avx2", "avx512" */
    /* Called now and then while weights are packed; fraction 0..1. May be NULL. */
    void (*progress)(void *ctx, float fraction);
    void *progress_ctx;
} weir_backend_options_t;

/* One sequence's part of a batch: n_tokens consecutive tokens from position on. */
typedef struct {
    const int32_t *tokens;
    uint32_t n_tokens;
    uint32_t position;      /* of tokens[0]; all earlier positions are in the cache already */
    const uint32_t *blocks; /* block table: position p lies in blocks[p / WEIR_KV_BLOCK] */
    uint32_t n_logits;      /* logits wanted for the last n_logits tokens (0, 1, ..., n_tokens) */
} weir_batch_seq_t;

typedef struct {
    const weir_batch_seq_t *seqs;
    uint32_t n_seqs;
} weir_batch_t;

typedef struct {
    const char *name; /* "cpu" */
    const char *isa;  /* "avx512-vnni", "avx2", "scalar" */
    uint32_t threads;
    uint64_t weight_bytes;    /* of the packed weights */
    uint64_t bytes_per_token; /* read per decoded token at context 0: the bandwidth floor */
    uint64_t kv_bytes_per_token;
} weir_backend_info_t;

typedef struct {
    const char *name;
    /* Packs the weights and allocates all memory that forward will use. model must outlive it. */
    weir_status_t (*open)(const weir_model_t *model, const weir_backend_options_t *options,
                          weir_backend_t **out, weir_error_t *err);
    void (*close)(weir_backend_t *backend);
    void (*info)(const weir_backend_t *backend, weir_backend_info_t *out);
    /*
     * Runs the batch: writes K and V of every row into the blocks and logits row by row, in the
     * order of seqs and of tokens, to logits[i * n_vocab]. Rows in total at most max_rows.
     * Allocates nothing. Errors: INVALID for a batch over its bounds or a token id out of range.
     */
    weir_status_t (*forward)(weir_backend_t *backend, const weir_batch_t *batch, float *logits,
                             weir_error_t *err);
    /* Copies the KV content of block src to dst (copy on write). */
    void (*copy_block)(weir_backend_t *backend, uint32_t dst, uint32_t src);
} weir_backend_ops_t;

/* The CPU back end (engine/cpu). */
const weir_backend_ops_t *weir_cpu_backend(void);

#endif

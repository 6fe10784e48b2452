/*
 * Generates tiny random models as GGUF files: every architecture, weight type, shape and kind of
 * RoPE that the engine supports, with a small byte-level BPE vocabulary and a chat template. The
 * same description gives the same bytes on every machine.
 */
#ifndef WEIR_T_TINY_MODEL_H
#define WEIR_T_TINY_MODEL_H

#include "t/support/gguf_write.h"

/* Ids of the special tokens; the 256 bytes follow, then tokens made by merges. */
#define TINY_MODEL_ENDOFTEXT 0
#define TINY_MODEL_IM_START  1 /* bos */
#define TINY_MODEL_IM_END    2 /* eos */
#define TINY_MODEL_SPECIALS  3
#define TINY_MODEL_MIN_VOCAB (TINY_MODEL_SPECIALS + 256)

typedef struct {
    const char *arch; /* "llama", "qwen2", "qwen3" */
    const char *name;
    weir_dtype_t type;      /* of the matrices; a matrix whose rows do not fit the block falls back:
                               Q4_K to Q5_0, Q6_K to Q8_0, and these to F16 */
    weir_dtype_t embd_type; /* of embedding and head */
    uint32_t n_embd;
    uint32_t n_heads;
    uint32_t n_kv_heads;
    uint32_t head_dim; /* 0: n_embd / n_heads */
    uint32_t n_layers;
    uint32_t n_ff;
    uint32_t n_vocab; /* at least TINY_MODEL_MIN_VOCAB */
    uint32_t n_ctx;
    bool untied;      /* with an output.weight of its own */
    bool bias;        /* biases of q, k, v; qwen2 always has them */
    const char *rope; /* "none", "linear", "yarn", "divisors" (rope_freqs.weight) */
    float rope_factor;
    float rope_base;
    uint32_t rope_dims; /* 0: head_dim */
    uint32_t rope_original;
    uint32_t alignment;
    const char *pre; /* tokenizer.ggml.pre */
    bool add_bos;
    const char *chat_template; /* NULL: ChatML; "": none */
    uint64_t seed;
} tiny_model_t;

/* A llama of 2 layers, width 64, 4 heads over 2, F32, vocabulary 384, context 512. */
void tiny_model_defaults(tiny_model_t *spec);

/* Appends the file to out. INVALID when the description contradicts itself. */
weir_status_t tiny_model_build(const tiny_model_t *spec, weir_buf_t *out, weir_error_t *err);

/* The same without the last step, so that a test can spoil parts before gguf_write_finish. */
weir_status_t tiny_model_prepare(const tiny_model_t *spec, gguf_write_t *w, weir_error_t *err);

/* Writes the file to path. */
weir_status_t tiny_model_write(const tiny_model_t *spec, const char *path, weir_error_t *err);

/* The type of that name in any case ("q4_k"), or -1. */
int tiny_model_type(const char *name);

#endif

/*
 * A model as data: hyper-parameters and a table of layers with views of the weights. A family is
 * a set of flags here; the back ends write the forward pass once over this table.
 */
#ifndef WEIR_LLM_MODEL_H
#define WEIR_LLM_MODEL_H

#include "engine/llm/gguf.h"

/* A matrix [rows][cols], row-major: y = W x has `rows` outputs from `cols` inputs. A vector has
 * rows 1. data NULL means absent. */
typedef struct {
    const void *data;
    weir_dtype_t type;
    uint32_t rows;
    uint32_t cols;
} weir_weight_t;

typedef enum {
    WEIR_ROPE_ADJACENT, /* pairs (2i, 2i+1): GGUF's llama */
    WEIR_ROPE_SPLIT     /* pairs (i, i + d/2): qwen2, qwen3 */
} weir_rope_style_t;

typedef enum {
    WEIR_ROPE_SCALING_NONE,
    WEIR_ROPE_SCALING_LINEAR,
    WEIR_ROPE_SCALING_YARN
} weir_rope_scaling_t;

typedef struct {
    weir_rope_style_t style;
    weir_rope_scaling_t scaling;
    uint32_t dims; /* leading dimensions of a head that rotate; even, <= head_dim */
    float base;
    float factor; /* linear and yarn: context extension; 1 for none */
    uint32_t original_context;
    float yarn_attn_factor; /* on top of YaRN's own 1 + 0.1 ln(factor); usually 1 */
    float yarn_beta_fast;
    float yarn_beta_slow;
    const float *freq_divisors; /* rope_freqs.weight (Llama 3.1 scaling), dims/2 values, or NULL */
} weir_rope_t;

typedef struct {
    weir_weight_t attn_norm;      /* [1][n_embd] */
    weir_weight_t wq, wk, wv, wo; /* wq [n_heads*head_dim][n_embd], wk and wv
                                     [n_kv_heads*head_dim][n_embd], wo [n_embd][n_heads*hd] */
    weir_weight_t bq, bk, bv;     /* optional biases, [1][rows of the matrix] */
    weir_weight_t q_norm, k_norm; /* optional RMS norm per head (qwen3), [1][head_dim] */
    weir_weight_t ffn_norm;       /* [1][n_embd] */
    weir_weight_t w_gate, w_up;   /* [n_ff][n_embd] */
    weir_weight_t w_down;         /* [n_embd][n_ff] */
} weir_layer_t;

typedef struct {
    weir_str_t architecture; /* "llama", "qwen2", "qwen3" */
    weir_str_t name;         /* general.name or empty */
    uint32_t n_layers;
    uint32_t n_embd;
    uint32_t n_heads;
    uint32_t n_kv_heads; /* divides n_heads */
    uint32_t head_dim;
    uint32_t n_ff;
    uint32_t n_vocab;
    uint32_t n_ctx; /* the context that the file declares, in tokens */
    float norm_eps;
    weir_rope_t rope;
    weir_weight_t token_embd;  /* [n_vocab][n_embd] */
    weir_weight_t output_norm; /* [1][n_embd] */
    weir_weight_t output;      /* [n_vocab][n_embd]; the same data as token_embd when tied */
    bool tied;
    weir_layer_t *layers; /* n_layers */
    uint64_t n_params;    /* values in all tensors used, a tied head once */
    uint64_t weight_bytes;
    const weir_gguf_t *gguf;
} weir_model_t;

/*
 * The rotation as data, with every kind of scaling applied: pair i (0 .. dims/2 - 1) of a head
 * turns by position * frequencies[i] radians, and cosine and sine are both multiplied by *scale (1
 * except with YaRN).
 */
void weir_rope_frequencies(const weir_rope_t *rope, double *frequencies, double *scale);

/*
 * Reads hyper-parameters and finds, checks (shape, type) and links every tensor. The table lives
 * in arena, the weights in gguf: both must outlive it. Norms and biases must be F32. Errors:
 * UNSUPPORTED (architecture), INVALID (a missing or misshapen tensor, by name), LIMIT, NOMEM.
 */
weir_status_t weir_model_load(const weir_gguf_t *gguf, weir_arena_t *arena, weir_model_t **out,
                              weir_error_t *err);

#endif

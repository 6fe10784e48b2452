/* The CPU back end's own structures: backend.c builds them, forward.c and attention.c use them. */
#ifndef WEIR_CPU_CPU_H
#define WEIR_CPU_CPU_H

#include "engine/cpu/kernels.h"
#include "engine/cpu/pool.h"
#include "engine/llm/backend.h"

#define WEIR_PARTITION_BLOCKS (WEIR_ATTN_PARTITION / WEIR_KV_BLOCK)

/* Queries of one attention unit, at least one row's group of heads. */
#define WEIR_ATTN_UNIT_QUERIES 12

/* Partition states kept when few rows' attention is split over threads. */
#define WEIR_ATTN_SPLIT_STATES 8192

typedef struct {
    const float *attn_norm, *ffn_norm;
    const float *bq, *bk, *bv, *q_norm, *k_norm; /* NULL when absent */
    weir_packed_t wq, wk, wv, wo, w_gate, w_up, w_down;
} weir_cpu_layer_t;

/* A token row of the batch. */
typedef struct {
    int32_t token;
    uint32_t position;
    const uint32_t *blocks;
} weir_cpu_row_t;

/* Consecutive rows of one sequence whose queries go through attention together. */
typedef struct {
    uint32_t first;
    uint32_t n_rows;
} weir_cpu_tile_t;

/* One thread's working memory. */
typedef struct {
    void *matmul;              /* weir_matmul_scratch bytes */
    float *up;                 /* [max_rows][2 tiles] */
    float *scores;             /* [unit queries][WEIR_ATTN_PARTITION] */
    weir_attn_state_t *states; /* [2][unit queries], acc set */
    const float **queries;     /* [unit queries] */
    uint32_t *limits;          /* [unit queries] */
} weir_cpu_thread_t;

struct weir_backend {
    const weir_model_t *model;
    const weir_kernels_t *kernels;
    weir_pool_t *pool;
    bool int8;
    uint32_t n_kv_blocks, max_rows, max_logits;

    weir_cpu_layer_t *layers;
    weir_packed_t head;
    const float *output_norm;
    uint64_t bytes_per_token;

    /* Mappings: packed weights, KV cache, working memory. */
    uint8_t *weights, *kv, *work;
    size_t weights_bytes, kv_bytes, work_bytes;

    weir_attn_shape_t shape;
    size_t kv_head_values;  /* f16 values of one head of one block */
    size_t kv_block_values; /* of one layer's block */
    float q_scale;
    double *rope_frequencies; /* [dims / 2] */
    double rope_scale;

    /* Working memory of a step; strides in elements are those of the widest use. */
    weir_cpu_row_t *rows;
    weir_cpu_tile_t *tiles;
    uint32_t *logit_rows;
    float *x;    /* [max_rows][n_embd], the residual stream */
    float *norm; /* [max_rows][n_embd] */
    float *qkv;  /* [max_rows][q, k, v] */
    float *attn; /* [max_rows][n_heads * head_dim] */
    float *ff;   /* [max_rows][n_ff] */
    float *cos;  /* [max_rows][dims / 2] */
    float *sin;
    int8_t *q8; /* [max_rows][q8_stride] */
    weir_xblock_t *q8_blocks;
    size_t q8_stride;
    weir_attn_state_t *split; /* WEIR_ATTN_SPLIT_STATES, acc set */
    weir_cpu_thread_t *threads;
    uint32_t unit_queries;

    /* The step under way. */
    uint32_t n_rows, n_tiles, n_logit_rows, layer;
};

/* The KV block of one head, in f16 values. All layers of a block lie together: the cache fills
 * huge pages one after the other, and a long context touches few of them. */
static inline uint16_t *weir_cpu_kv(const weir_backend_t *b, uint32_t layer, uint32_t block,
                                    uint32_t kv_head)
{
    size_t index = (size_t)block * b->model->n_layers + layer;
    return (uint16_t *)(void *)b->kv + index * b->kv_block_values + kv_head * b->kv_head_values;
}

/* Attention of all rows in the current layer: reads the queries in qkv, writes attn. */
void weir_cpu_attention(weir_backend_t *backend);

/* weir_backend_ops_t.forward */
weir_status_t weir_cpu_forward(weir_backend_t *backend, const weir_batch_t *batch, float *logits,
                               weir_error_t *err);

#endif

#include "engine/cpu/cpu.h"

#include <string.h>

/*
 * Two ways to divide the work, with equal results: a unit is a tile of rows and a KV head and
 * walks the partitions in order; or, for few rows (decoding), a unit is one partition of one row
 * and KV head, and the partitions are merged in order afterwards.
 */

static uint32_t partitions(uint32_t position)
{
    return position / WEIR_ATTN_PARTITION + 1;
}

static size_t qkv_stride(const weir_model_t *m)
{
    return (size_t)(m->n_heads + 2 * m->n_kv_heads) * m->head_dim;
}

/* The blocks of a partition; those behind the last needed one stay unset. */
static void partition_blocks(const weir_backend_t *b, const weir_cpu_row_t *row, uint32_t kv_head,
                             uint32_t partition, const uint16_t **blocks)
{
    uint32_t first = partition * WEIR_PARTITION_BLOCKS;
    uint32_t end = row->position / WEIR_KV_BLOCK + 1;

    for (uint32_t i = 0; i < WEIR_PARTITION_BLOCKS && first + i < end; i++) {
        blocks[i] = weir_cpu_kv(b, b->layer, row->blocks[first + i], kv_head);
    }
}

/* Fills the queries and limits of rows first .. last - 1 for one KV head; returns their count. */
static uint32_t gather_queries(const weir_backend_t *b, uint32_t first, uint32_t last,
                               uint32_t kv_head, uint32_t partition, weir_cpu_thread_t *thread)
{
    const weir_model_t *m = b->model;
    uint32_t group = m->n_heads / m->n_kv_heads, n = 0;

    for (uint32_t r = first; r < last; r++) {
        uint32_t left = b->rows[r].position + 1 - partition * WEIR_ATTN_PARTITION;
        const float *q = b->qkv + r * qkv_stride(m) + (size_t)kv_head * group * m->head_dim;
        for (uint32_t g = 0; g < group; g++, n++) {
            thread->queries[n] = q + (size_t)g * m->head_dim;
            thread->limits[n] = left < WEIR_ATTN_PARTITION ? left : WEIR_ATTN_PARTITION;
        }
    }
    return n;
}

static void tile_unit(weir_backend_t *b, weir_cpu_thread_t *thread, const weir_cpu_tile_t *tile,
                      uint32_t kv_head)
{
    const weir_model_t *m = b->model;
    uint32_t group = m->n_heads / m->n_kv_heads;
    uint32_t first = tile->first, last = tile->first + tile->n_rows;
    uint32_t n_partitions = partitions(b->rows[last - 1].position);
    weir_attn_state_t *total = thread->states, *part = thread->states + b->unit_queries;

    for (uint32_t p = 0; p < n_partitions; p++) {
        const uint16_t *blocks[WEIR_PARTITION_BLOCKS];
        while (partitions(b->rows[first].position) <= p) {
            first++;
        }
        partition_blocks(b, &b->rows[last - 1], kv_head, p, blocks);
        uint32_t n = gather_queries(b, first, last, kv_head, p, thread);
        weir_attn_state_t *into = total + (size_t)(first - tile->first) * group;
        b->kernels->attend(&b->shape, blocks, n, thread->queries, thread->limits,
                           p == 0 ? into : part, thread->scores);
        for (uint32_t i = 0; p > 0 && i < n; i++) {
            b->kernels->attn_merge(&b->shape, &into[i], &part[i]);
        }
    }
    for (uint32_t i = 0; i < tile->n_rows * group; i++) {
        uint32_t head = kv_head * group + i % group;
        float *out =
            b->attn + ((size_t)(tile->first + i / group) * m->n_heads + head) * m->head_dim;
        b->kernels->attn_finish(&b->shape, &total[i], out);
    }
}

static void tile_units(void *ctx, uint32_t thread, uint32_t first, uint32_t last)
{
    weir_backend_t *b = ctx;
    uint32_t n_kv = b->model->n_kv_heads;

    for (uint32_t u = first; u < last; u++) {
        tile_unit(b, &b->threads[thread], &b->tiles[u / n_kv], u % n_kv);
    }
}

/* The split states lie by row, KV head, partition, head of the group. */
static void split_units(void *ctx, uint32_t thread, uint32_t first, uint32_t last)
{
    weir_backend_t *b = ctx;
    const weir_model_t *m = b->model;
    uint32_t group = m->n_heads / m->n_kv_heads, row = 0, base = 0;

    for (uint32_t u = first; u < last; u++) {
        while (u - base >= m->n_kv_heads * partitions(b->rows[row].position)) {
            base += m->n_kv_heads * partitions(b->rows[row].position);
            row++;
        }
        const uint16_t *blocks[WEIR_PARTITION_BLOCKS];
        uint32_t count = partitions(b->rows[row].position);
        uint32_t kv_head = (u - base) / count, p = (u - base) % count;
        weir_cpu_thread_t *t = &b->threads[thread];
        partition_blocks(b, &b->rows[row], kv_head, p, blocks);
        uint32_t n = gather_queries(b, row, row + 1, kv_head, p, t);
        b->kernels->attend(&b->shape, blocks, n, t->queries, t->limits,
                           b->split + (size_t)u * group, t->scores);
    }
}

static void merge_split(weir_backend_t *b)
{
    const weir_model_t *m = b->model;
    uint32_t group = m->n_heads / m->n_kv_heads;
    weir_attn_state_t *states = b->split;

    for (uint32_t r = 0; r < b->n_rows; r++) {
        uint32_t count = partitions(b->rows[r].position);
        for (uint32_t head = 0; head < m->n_heads; head++) {
            weir_attn_state_t *s = states + (size_t)(head / group) * count * group + head % group;
            for (uint32_t p = 1; p < count; p++) {
                b->kernels->attn_merge(&b->shape, s, s + (size_t)p * group);
            }
            b->kernels->attn_finish(&b->shape, s,
                                    b->attn + ((size_t)r * m->n_heads + head) * m->head_dim);
        }
        states += (size_t)m->n_kv_heads * count * group;
    }
}

/* Cuts the rows into tiles of one sequence, positions ascending. */
static void make_tiles(weir_backend_t *b)
{
    uint32_t group = b->model->n_heads / b->model->n_kv_heads;
    uint32_t most = b->unit_queries / group;

    b->n_tiles = 0;
    for (uint32_t r = 0; r < b->n_rows;) {
        uint32_t n = 1;
        while (n < most && r + n < b->n_rows && b->rows[r + n].blocks == b->rows[r].blocks &&
               b->rows[r + n].position > b->rows[r + n - 1].position) {
            n++;
        }
        b->tiles[b->n_tiles++] = (weir_cpu_tile_t){r, n};
        r += n;
    }
}

void weir_cpu_attention(weir_backend_t *b)
{
    const weir_model_t *m = b->model;
    uint64_t n_units = 0;

    make_tiles(b);
    for (uint32_t r = 0; r < b->n_rows; r++) {
        n_units += (uint64_t)m->n_kv_heads * partitions(b->rows[r].position);
    }
    bool few = (uint64_t)b->n_tiles * m->n_kv_heads < 4 * (uint64_t)weir_pool_threads(b->pool);
    if (few && n_units * (m->n_heads / m->n_kv_heads) <= WEIR_ATTN_SPLIT_STATES) {
        weir_pool_run(b->pool, (uint32_t)n_units, split_units, b);
        merge_split(b);
    } else {
        weir_pool_run(b->pool, b->n_tiles * m->n_kv_heads, tile_units, b);
    }
}

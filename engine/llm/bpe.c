#include "engine/llm/bpe.h"

/* Up to this many symbols a plain search for the lowest rank beats the heap. */
#define SHORT_PIECE 24u

__extension__ typedef unsigned __int128 uint128_t;

static inline uint32_t slot_of(const weir_bpe_t *bpe, uint32_t left, uint32_t right)
{
    uint64_t key = ((uint64_t)left << 32 | right) ^ bpe->seed;
    uint128_t product = (uint128_t)key * (0x9E3779B97F4A7C15u + 2 * bpe->seed);
    return (uint32_t)((uint64_t)(product >> 64) ^ (uint64_t)product) & bpe->mask;
}

weir_status_t weir_bpe_init(weir_bpe_t *bpe, uint32_t n, uint64_t seed, weir_arena_t *arena)
{
    uint32_t size = 16;
    while (size / 2 < n) {
        if (size > UINT32_MAX / 2) {
            return WEIR_ERR_NOMEM;
        }
        size *= 2;
    }
    bpe->slots = weir_arena_alloc(arena, (size_t)size * sizeof(*bpe->slots));
    if (bpe->slots == NULL) {
        return WEIR_ERR_NOMEM;
    }
    memset(bpe->slots, 0xFF, (size_t)size * sizeof(*bpe->slots));
    memset(bpe->bytes, 0xFF, sizeof(bpe->bytes));
    bpe->mask = size - 1;
    bpe->seed = seed;
    return WEIR_OK;
}

static const weir_bpe_merge_t *find(const weir_bpe_t *bpe, uint32_t left, uint32_t right)
{
    for (uint32_t i = slot_of(bpe, left, right);; i = (i + 1) & bpe->mask) {
        const weir_bpe_merge_t *m = &bpe->slots[i];
        if (m->left == left && m->right == right) {
            return m;
        }
        if (m->left == WEIR_BPE_NONE) {
            return NULL;
        }
    }
}

void weir_bpe_add(weir_bpe_t *bpe, uint32_t left, uint32_t right, uint32_t rank, uint32_t merged)
{
    uint32_t i = slot_of(bpe, left, right);
    while (bpe->slots[i].left != WEIR_BPE_NONE) {
        if (bpe->slots[i].left == left && bpe->slots[i].right == right) {
            return;
        }
        i = (i + 1) & bpe->mask;
    }
    bpe->slots[i] = (weir_bpe_merge_t){left, right, rank, merged};
}

void weir_bpe_scratch_init(weir_bpe_scratch_t *scratch, weir_arena_t *arena)
{
    *scratch = (weir_bpe_scratch_t){.arena = arena};
}

/* At least doubles, so that all growth together takes no more than twice the last size. */
static weir_status_t scratch_reserve(weir_bpe_scratch_t *s, size_t n)
{
    if (n <= s->cap) {
        return WEIR_OK;
    }
    size_t cap = s->cap < 128 ? 256 : s->cap * 2;
    cap = cap < n ? n : cap;
    size_t bytes;
    if (__builtin_mul_overflow(cap, 5 * sizeof(uint32_t) + 2 * sizeof(uint64_t), &bytes)) {
        return WEIR_ERR_NOMEM;
    }
    char *block = weir_arena_alloc(s->arena, bytes);
    if (block == NULL) {
        return WEIR_ERR_NOMEM;
    }
    /* Every merge takes one entry from the heap and puts back at most two: 2n bound it. */
    s->heap = (uint64_t *)(void *)block;
    s->ids = (uint32_t *)(void *)(s->heap + 2 * cap);
    s->prev = s->ids + cap;
    s->next = s->prev + cap;
    s->rank = s->next + cap;
    s->merged = s->rank + cap;
    s->cap = cap;
    return WEIR_OK;
}

/* Looks up the pair (left, right) and notes rank and result at position i. */
static inline void note_pair(const weir_bpe_t *bpe, weir_bpe_scratch_t *s, size_t i, uint32_t left,
                             uint32_t right)
{
    const weir_bpe_merge_t *m = find(bpe, left, right);
    s->rank[i] = m == NULL ? WEIR_BPE_NONE : m->rank;
    s->merged[i] = m == NULL ? WEIR_BPE_NONE : m->merged;
}

static size_t merge_short(const weir_bpe_t *bpe, weir_bpe_scratch_t *s, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++) {
        note_pair(bpe, s, i, s->ids[i], s->ids[i + 1]);
    }
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++) {
            if (s->rank[i] < s->rank[best]) {
                best = i;
            }
        }
        if (s->rank[best] == WEIR_BPE_NONE) {
            break;
        }
        s->ids[best] = s->merged[best];
        size_t moved = n - best - 2;
        memmove(s->ids + best + 1, s->ids + best + 2, moved * sizeof(*s->ids));
        memmove(s->rank + best + 1, s->rank + best + 2, moved * sizeof(*s->rank));
        memmove(s->merged + best + 1, s->merged + best + 2, moved * sizeof(*s->merged));
        n--;
        if (best > 0) {
            note_pair(bpe, s, best - 1, s->ids[best - 1], s->ids[best]);
        }
        if (best + 1 < n) {
            note_pair(bpe, s, best, s->ids[best], s->ids[best + 1]);
        }
    }
    return n;
}

static void heap_push(uint64_t *heap, size_t *n, uint64_t key)
{
    size_t i = (*n)++;
    while (i > 0 && heap[(i - 1) / 2] > key) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = key;
}

static uint64_t heap_pop(uint64_t *heap, size_t *n)
{
    uint64_t top = heap[0];
    uint64_t key = heap[--(*n)];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= *n) {
            break;
        }
        if (child + 1 < *n && heap[child + 1] < heap[child]) {
            child++;
        }
        if (heap[child] >= key) {
            break;
        }
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = key;
    return top;
}

/* The pair that starts at i, entered into the heap when it merges. */
static void push_pair(const weir_bpe_t *bpe, weir_bpe_scratch_t *s, size_t *heap_len, uint32_t i)
{
    s->rank[i] = WEIR_BPE_NONE;
    if (s->next[i] != WEIR_BPE_NONE) {
        note_pair(bpe, s, i, s->ids[i], s->ids[s->next[i]]);
        if (s->rank[i] != WEIR_BPE_NONE) {
            heap_push(s->heap, heap_len, (uint64_t)s->rank[i] << 32 | i);
        }
    }
}

/*
 * A doubly linked list of symbols and a heap of candidate pairs. Entries are not removed when a
 * neighbour changes; an entry is stale when its rank is no longer the one noted at its position.
 */
static size_t merge_long(const weir_bpe_t *bpe, weir_bpe_scratch_t *s, size_t n)
{
    size_t heap_len = 0;
    for (size_t i = 0; i < n; i++) {
        s->prev[i] = i == 0 ? WEIR_BPE_NONE : (uint32_t)i - 1;
        s->next[i] = i + 1 == n ? WEIR_BPE_NONE : (uint32_t)i + 1;
    }
    for (size_t i = 0; i < n; i++) {
        push_pair(bpe, s, &heap_len, (uint32_t)i);
    }
    while (heap_len > 0) {
        uint64_t top = heap_pop(s->heap, &heap_len);
        uint32_t i = (uint32_t)top;
        if (s->rank[i] != top >> 32) {
            continue;
        }
        uint32_t gone = s->next[i];
        s->ids[i] = s->merged[i];
        s->next[i] = s->next[gone];
        s->rank[gone] = WEIR_BPE_NONE;
        s->ids[gone] = WEIR_BPE_NONE;
        if (s->next[i] != WEIR_BPE_NONE) {
            s->prev[s->next[i]] = i;
        }
        push_pair(bpe, s, &heap_len, i);
        if (s->prev[i] != WEIR_BPE_NONE) {
            push_pair(bpe, s, &heap_len, s->prev[i]);
        }
    }
    size_t count = 0;
    for (uint32_t i = 0; i != WEIR_BPE_NONE; i = s->next[i]) {
        s->ids[count++] = s->ids[i];
    }
    return count;
}

/* Bytes of the piece that take part, counted no further than one over max. */
static size_t count_symbols(const weir_bpe_t *bpe, weir_str_t piece, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < piece.len && n <= max; i++) {
        n += bpe->bytes[(uint8_t)piece.data[i]] != WEIR_BPE_NONE;
    }
    return n;
}

weir_status_t weir_bpe_encode(const weir_bpe_t *bpe, weir_str_t piece, size_t max_symbols,
                              weir_bpe_scratch_t *scratch, size_t *count)
{
    size_t most = piece.len;
    if (most > max_symbols || most >= WEIR_BPE_NONE) {
        max_symbols = max_symbols < WEIR_BPE_NONE ? max_symbols : WEIR_BPE_NONE - 1;
        most = count_symbols(bpe, piece, max_symbols);
        if (most > max_symbols) {
            return WEIR_ERR_LIMIT; /* before any memory is asked for */
        }
    }
    weir_status_t status = scratch_reserve(scratch, most);
    if (status != WEIR_OK) {
        return status;
    }
    size_t n = 0;
    for (size_t i = 0; i < piece.len; i++) {
        uint32_t id = bpe->bytes[(uint8_t)piece.data[i]];
        if (id != WEIR_BPE_NONE) {
            scratch->ids[n++] = id;
        }
    }
    if (n > 1) {
        n = n <= SHORT_PIECE ? merge_short(bpe, scratch, n) : merge_long(bpe, scratch, n);
    }
    *count = n;
    return WEIR_OK;
}

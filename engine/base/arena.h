/*
 * Arena allocator: chunks from malloc, freed together. Not thread-safe; one owner at a time.
 * Also weir_str_t, the (pointer, length) string of all pure-C folders, and weir_buf_t, a byte
 * buffer that grows inside an arena.
 */
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A view of bytes; not NUL-terminated unless said so. Never owns its memory. */
typedef struct {
    const char *data;
    size_t len;
} weir_str_t;

#define WEIR_STR(literal) ((weir_str_t){(literal), sizeof(literal) - 1})

static inline weir_str_t weir_str(const char *data, size_t len)
{
    return (weir_str_t){data, len};
}

static inline bool weir_str_eq(weir_str_t a, weir_str_t b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool weir_str_is(weir_str_t a, const char *z)
{
    size_t n = strlen(z);
    return a.len == n && (n == 0 || memcmp(a.data, z, n) == 0);
}

typedef struct weir_arena_chunk weir_arena_chunk_t;

typedef struct {
    weir_arena_chunk_t *head;
    size_t chunk_size; /* bytes asked of malloc at a time */
    size_t limit;      /* most bytes the arena may take from malloc in all; 0: no limit */
    size_t total;      /* bytes taken from malloc now */
} weir_arena_t;

/*
 * Makes an empty arena; allocates nothing yet. chunk_size 0 means 16 KiB; limit 0 means none.
 * The caller ends it with weir_arena_free.
 */
void weir_arena_init(weir_arena_t *arena, size_t chunk_size, size_t limit);

/*
 * Returns size bytes aligned to 16, not zeroed, or NULL when malloc fails or the limit would be
 * passed. size 0 gives a valid unique pointer. The memory lives until reset or free.
 */
void *weir_arena_alloc(weir_arena_t *arena, size_t size);

/* As weir_arena_alloc for count * size bytes, zeroed; NULL also when the product overflows. */
void *weir_arena_calloc(weir_arena_t *arena, size_t count, size_t size);

/* Copies len bytes and adds a NUL behind them; NULL when out of memory. */
char *weir_arena_strndup(weir_arena_t *arena, const char *data, size_t len);

/* Forgets all allocations; keeps the largest chunk for reuse. */
void weir_arena_reset(weir_arena_t *arena);

/* Gives everything back to malloc; the arena may be used again as after init. */
void weir_arena_free(weir_arena_t *arena);

/*
 * A growing byte buffer. data is NULL while empty. When an allocation fails, `failed` becomes
 * true, later appends do nothing, and the caller checks once at the end.
 */
typedef struct {
    weir_arena_t *arena;
    char *data;
    size_t len;
    size_t cap;
    bool failed;
} weir_buf_t;

/* Makes an empty buffer that grows inside arena (which must outlive it). */
void weir_buf_init(weir_buf_t *buf, weir_arena_t *arena);

void weir_buf_append(weir_buf_t *buf, const void *data, size_t len);
void weir_buf_append_str(weir_buf_t *buf, weir_str_t s);
void weir_buf_append_z(weir_buf_t *buf, const char *z);
void weir_buf_append_char(weir_buf_t *buf, char c);
void weir_buf_printf(weir_buf_t *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif

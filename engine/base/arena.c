#include "engine/base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ALIGNMENT          16u
#define DEFAULT_CHUNK_SIZE (16u * 1024u)

/*
 * Under AddressSanitizer every allocation is followed by a poisoned gap, so that overruns inside a
 * chunk are seen as they would be with malloc.
 */
#if defined(__SANITIZE_ADDRESS__)
#define WEIR_ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_ARENA_ASAN 1
#endif
#endif

#ifdef WEIR_ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define RED_ZONE             ALIGNMENT
#define POISON(data, size)   ASAN_POISON_MEMORY_REGION(data, size)
#define UNPOISON(data, size) ASAN_UNPOISON_MEMORY_REGION(data, size)
#else
#define RED_ZONE             0u
#define POISON(data, size)   ((void)0)
#define UNPOISON(data, size) ((void)0)
#endif

struct weir_arena_chunk {
    weir_arena_chunk_t *next;
    size_t size; /* of data */
    size_t used;
    size_t unused; /* keeps data aligned to 16 */
    char data[];
};

_Static_assert(sizeof(weir_arena_chunk_t) % ALIGNMENT == 0, "chunk data must be aligned");

void weir_arena_init(weir_arena_t *arena, size_t chunk_size, size_t limit)
{
    *arena = (weir_arena_t){.chunk_size = chunk_size == 0 ? DEFAULT_CHUNK_SIZE : chunk_size,
                            .limit = limit};
}

/* A new chunk with room for at least need bytes, or NULL; the caller links it. */
static weir_arena_chunk_t *new_chunk(weir_arena_t *arena, size_t need)
{
    size_t header = sizeof(weir_arena_chunk_t);
    if (need > SIZE_MAX - header) {
        return NULL;
    }
    size_t bytes = need + header > arena->chunk_size ? need + header : arena->chunk_size;
    if (arena->limit != 0) {
        size_t left = arena->limit > arena->total ? arena->limit - arena->total : 0;
        if (need + header > left) {
            return NULL;
        }
        bytes = bytes < left ? bytes : left;
    }
    weir_arena_chunk_t *chunk = malloc(bytes);
    if (chunk == NULL) {
        return NULL;
    }
    chunk->size = bytes - header;
    chunk->used = 0;
    arena->total += bytes;
    POISON(chunk->data, chunk->size);
    return chunk;
}

static void *take(weir_arena_chunk_t *chunk, size_t size, size_t rounded)
{
    void *p = chunk->data + chunk->used;
    chunk->used += rounded;
    UNPOISON(p, size);
    (void)size;
    return p;
}

void *weir_arena_alloc(weir_arena_t *arena, size_t size)
{
    if (size > SIZE_MAX - 4 * ALIGNMENT) {
        return NULL;
    }
    size_t rounded = ((size == 0 ? 1 : size) + RED_ZONE + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    weir_arena_chunk_t *head = arena->head;
    if (head != NULL && head->size - head->used >= rounded) {
        return take(head, size, rounded);
    }
    weir_arena_chunk_t *chunk = new_chunk(arena, rounded);
    if (chunk == NULL) {
        return NULL;
    }
    /* A chunk for one big piece goes behind the head, whose free space is still wanted. */
    if (head != NULL && rounded > arena->chunk_size / 2) {
        chunk->next = head->next;
        head->next = chunk;
    } else {
        chunk->next = head;
        arena->head = chunk;
    }
    return take(chunk, size, rounded);
}

void *weir_arena_calloc(weir_arena_t *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    void *p = weir_arena_alloc(arena, bytes);
    if (p != NULL && bytes > 0) {
        memset(p, 0, bytes);
    }
    return p;
}

char *weir_arena_strndup(weir_arena_t *arena, const char *data, size_t len)
{
    if (len == SIZE_MAX) {
        return NULL;
    }
    char *copy = weir_arena_alloc(arena, len + 1);
    if (copy != NULL) {
        if (len > 0) {
            memcpy(copy, data, len);
        }
        copy[len] = '\0';
    }
    return copy;
}

static void release(weir_arena_t *arena, weir_arena_chunk_t *chunk)
{
    arena->total -= chunk->size + sizeof(*chunk);
    UNPOISON(chunk->data, chunk->size);
    free(chunk);
}

void weir_arena_reset(weir_arena_t *arena)
{
    weir_arena_chunk_t *keep = NULL;
    for (weir_arena_chunk_t *c = arena->head, *next; c != NULL; c = next) {
        next = c->next;
        if (keep == NULL || c->size > keep->size) {
            if (keep != NULL) {
                release(arena, keep);
            }
            keep = c;
        } else {
            release(arena, c);
        }
    }
    if (keep != NULL) {
        keep->next = NULL;
        keep->used = 0;
        POISON(keep->data, keep->size);
    }
    arena->head = keep;
}

void weir_arena_free(weir_arena_t *arena)
{
    for (weir_arena_chunk_t *c = arena->head, *next; c != NULL; c = next) {
        next = c->next;
        release(arena, c);
    }
    arena->head = NULL;
}

void weir_buf_init(weir_buf_t *buf, weir_arena_t *arena)
{
    *buf = (weir_buf_t){.arena = arena};
}

/* Grows in place when the buffer is the arena's last allocation: long appends then cost no copy. */
static bool extend_in_place(weir_buf_t *buf, size_t cap)
{
    weir_arena_chunk_t *head = buf->arena->head;
    if (RED_ZONE != 0 || head == NULL || buf->data == NULL ||
        buf->data + buf->cap != head->data + head->used ||
        cap - buf->cap > head->size - head->used) {
        return false;
    }
    head->used += cap - buf->cap;
    buf->cap = cap;
    return true;
}

static bool reserve(weir_buf_t *buf, size_t more)
{
    if (buf->failed) {
        return false;
    }
    if (more <= buf->cap - buf->len) {
        return true;
    }
    size_t need;
    if (__builtin_add_overflow(buf->len, more, &need) || need > SIZE_MAX / 4) {
        buf->failed = true;
        return false;
    }
    size_t cap = buf->cap < 32 ? 64 : buf->cap * 2;
    cap = cap < need ? need : cap;
    cap = (cap + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (extend_in_place(buf, cap)) {
        return true;
    }
    char *data = weir_arena_alloc(buf->arena, cap);
    if (data == NULL) {
        buf->failed = true;
        return false;
    }
    if (buf->len > 0) {
        memcpy(data, buf->data, buf->len);
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

void weir_buf_append(weir_buf_t *buf, const void *data, size_t len)
{
    if (len > 0 && reserve(buf, len)) {
        memcpy(buf->data + buf->len, data, len);
        buf->len += len;
    }
}

void weir_buf_append_str(weir_buf_t *buf, weir_str_t s)
{
    weir_buf_append(buf, s.data, s.len);
}

void weir_buf_append_z(weir_buf_t *buf, const char *z)
{
    weir_buf_append(buf, z, strlen(z));
}

void weir_buf_append_char(weir_buf_t *buf, char c)
{
    weir_buf_append(buf, &c, 1);
}

void weir_buf_printf(weir_buf_t *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0) {
        buf->failed = true;
        return;
    }
    /* vsnprintf wants room for its NUL, which is not part of the content. */
    if (!reserve(buf, (size_t)len + 1)) {
        return;
    }
    va_start(args, fmt);
    vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, args);
    va_end(args);
    buf->len += (size_t)len;
}

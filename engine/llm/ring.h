/*
 * A bounded queue between exactly one producing and one consuming thread, lock-free: each side
 * owns one index and reads the other's (Lamport, 1983). Elements are copied in and out. The
 * indices are sequentially consistent so that "push, then look whether the other side sleeps" and
 * "announce sleep, then look whether anything was pushed" cannot both miss.
 */
#ifndef WEIR_LLM_RING_H
#define WEIR_LLM_RING_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    alignas(64) _Atomic uint32_t head; /* next to pop; written by the consumer */
    alignas(64) _Atomic uint32_t tail; /* next to push; written by the producer */
    alignas(64) uint32_t mask;         /* constant after open */
    uint32_t element;                  /* bytes */
    unsigned char *data;
} weir_ring_t;

/* Room for at least `capacity` elements (1..2^20) of `element` bytes; false when out of memory. */
static inline bool weir_ring_open(weir_ring_t *ring, uint32_t capacity, uint32_t element)
{
    uint32_t n = 1;
    while (n < capacity) {
        n *= 2;
    }
    atomic_init(&ring->head, 0);
    atomic_init(&ring->tail, 0);
    ring->mask = n - 1;
    ring->element = element;
    ring->data = calloc(n, element);
    return ring->data != NULL;
}

static inline void weir_ring_close(weir_ring_t *ring)
{
    free(ring->data);
    ring->data = NULL;
}

static inline uint32_t weir_ring_count(weir_ring_t *ring)
{
    uint32_t head = atomic_load(&ring->head);
    return atomic_load(&ring->tail) - head;
}

static inline bool weir_ring_full(weir_ring_t *ring)
{
    return weir_ring_count(ring) > ring->mask;
}

/* Producer only; false when full. */
static inline bool weir_ring_push(weir_ring_t *ring, const void *element)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail - atomic_load(&ring->head) > ring->mask) {
        return false;
    }
    memcpy(ring->data + (size_t)(tail & ring->mask) * ring->element, element, ring->element);
    atomic_store(&ring->tail, tail + 1);
    return true;
}

/* Consumer only; false when empty. */
static inline bool weir_ring_pop(weir_ring_t *ring, void *element)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head == atomic_load(&ring->tail)) {
        return false;
    }
    memcpy(element, ring->data + (size_t)(head & ring->mask) * ring->element, ring->element);
    atomic_store(&ring->head, head + 1);
    return true;
}

#endif

/* The queue between two threads: order, bounds, nothing lost. */
#include "engine/llm/ring.h"

#include <pthread.h>
#include <sched.h>

#include "t/support/tap.h"

#define N 200000u

typedef struct {
    uint64_t number;
    uint64_t check;
} item_t;

static void *produce(void *ctx)
{
    weir_ring_t *ring = ctx;
    for (uint64_t i = 0; i < N; i++) {
        item_t item = {i, ~i * 3};
        while (!weir_ring_push(ring, &item)) {
            sched_yield();
        }
    }
    return NULL;
}

static void test_threads(void)
{
    weir_ring_t ring;
    pthread_t producer;
    weir_ring_open(&ring, 7, sizeof(item_t));
    pthread_create(&producer, NULL, produce, &ring);
    uint64_t next = 0;
    bool good = true;
    while (next < N && good) {
        item_t item;
        if (weir_ring_pop(&ring, &item)) {
            good = item.number == next && item.check == ~next * 3;
            next++;
        } else {
            sched_yield();
        }
    }
    ok(good, "200,000 items cross in order and whole");
    pthread_join(producer, NULL);
    weir_ring_close(&ring);
}

int main(void)
{
    weir_ring_t ring;
    ok(weir_ring_open(&ring, 3, sizeof(int)), "open");
    /* The indices wrap at 2^32; the ring must not notice. */
    atomic_store(&ring.head, UINT32_MAX - 5);
    atomic_store(&ring.tail, UINT32_MAX - 5);
    bool good = true;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 4; i++) {
            good = good && weir_ring_push(&ring, &i);
        }
        int extra = 99;
        good = good && !weir_ring_push(&ring, &extra) && weir_ring_full(&ring);
        for (int i = 0; i < 4; i++) {
            int got = -1;
            good = good && weir_ring_pop(&ring, &got) && got == i;
        }
        good = good && !weir_ring_pop(&ring, &extra) && weir_ring_count(&ring) == 0;
    }
    ok(good, "four fit, a fifth does not, also where the indices wrap");
    weir_ring_close(&ring);
    test_threads();
    return done_testing();
}

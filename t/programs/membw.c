/*
 * Memory read bandwidth, the limit of decoding: sums a buffer much larger than the caches.
 *
 *   membw [THREADS] [MIB] [ROUNDS]
 *
 * Each thread reads its part of the buffer front to back; a round is timed from the first thread's
 * start to the last one's end. Prints the best round in GB/s (10^9 bytes).
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define MAX_THREADS 64

typedef uint64_t wide_t __attribute__((vector_size(64)));

typedef struct {
    const wide_t *data;
    size_t n; /* a multiple of 8 */
    uint32_t rounds;
    pthread_barrier_t *barrier;
    uint64_t sum;
    double start, end; /* of the last round, by the thread's own watch */
} reader_t;

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* One instruction set per clone, chosen at start: the widest loads this machine has. */
__attribute__((target_clones("avx512f", "avx2", "default"))) static uint64_t
read_all(const wide_t *p, size_t n)
{
    wide_t s[8];

    memset(s, 0, sizeof(s));
    for (size_t i = 0; i < n; i += 8) {
        for (int k = 0; k < 8; k++) {
            __builtin_prefetch(&p[i + (size_t)k + 64]);
            s[k] ^= p[i + (size_t)k];
        }
    }
    uint64_t sum = 0;
    for (int k = 0; k < 8; k++) {
        for (int j = 0; j < 8; j++) {
            sum += s[k][j];
        }
    }
    return sum;
}

static void *reader_main(void *arg)
{
    reader_t *r = arg;

    for (uint32_t i = 0; i < r->rounds; i++) {
        pthread_barrier_wait(r->barrier);
        r->start = now();
        r->sum += read_all(r->data, r->n);
        r->end = now();
        pthread_barrier_wait(r->barrier);
    }
    return NULL;
}

static double round_seconds(const reader_t *readers, uint32_t threads)
{
    double start = readers[0].start;
    double end = readers[0].end;

    for (uint32_t i = 1; i < threads; i++) {
        start = readers[i].start < start ? readers[i].start : start;
        end = readers[i].end > end ? readers[i].end : end;
    }
    return end - start;
}

int main(int argc, char **argv)
{
    uint32_t threads = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1;
    size_t mib = argc > 2 ? strtoul(argv[2], NULL, 10) : 512;
    uint32_t rounds = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 12;
    reader_t readers[MAX_THREADS];
    pthread_t ids[MAX_THREADS];
    pthread_barrier_t barrier;

    if (threads == 0 || threads > MAX_THREADS || mib == 0 || mib > 65536 || rounds == 0) {
        fprintf(stderr, "usage: membw [THREADS 1..%d] [MIB] [ROUNDS]\n", MAX_THREADS);
        return 2;
    }
    size_t bytes = mib << 20;
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
        perror("membw");
        return 1;
    }
    (void)madvise(data, bytes, MADV_HUGEPAGE);
    memset(data, 1, bytes);
    pthread_barrier_init(&barrier, NULL, threads + 1);
    size_t part = bytes / sizeof(wide_t) / threads / 8 * 8;
    for (uint32_t i = 0; i < threads; i++) {
        readers[i] = (reader_t){(const wide_t *)data + i * part, part, rounds, &barrier, 0, 0, 0};
        if (pthread_create(&ids[i], NULL, reader_main, &readers[i]) != 0) {
            fprintf(stderr, "membw: no thread\n");
            return 1;
        }
    }
    double best = 0;
    for (uint32_t i = 0; i < rounds; i++) {
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        double rate =
            (double)(part * sizeof(wide_t) * threads) / round_seconds(readers, threads) * 1e-9;
        best = rate > best ? rate : best;
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        sum += readers[i].sum;
    }
    printf("%.2f GB/s with %u threads (%zu MiB, best of %u, check %llu)\n", best, threads, mib,
           rounds, (unsigned long long)sum);
    return 0;
}

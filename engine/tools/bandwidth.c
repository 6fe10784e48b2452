/* Measures how fast this machine can read memory: the floor under every decoded token. */
#include <pthread.h>
#include <stdlib.h>

#include "engine/tools/tool.h"

#define BYTES_IN_ALL ((size_t)384 << 20) /* well beyond any cache */
#define PASSES       5
#define MOST_THREADS 256

typedef struct {
    const uint64_t *data;
    size_t words;
    uint64_t sum; /* keeps the reads from being optimised away */
} reader_t;

static uint64_t read_words(const uint64_t *p, size_t n)
{
    uint64_t lane[8] = {0};
    for (size_t i = 0; i + 8 <= n; i += 8) {
        for (size_t j = 0; j < 8; j++) {
            lane[j] += p[i + j];
        }
    }
    uint64_t sum = 0;
    for (size_t j = 0; j < 8; j++) {
        sum += lane[j];
    }
    return sum;
}

static void *read_part(void *ctx)
{
    reader_t *r = ctx;
    r->sum += read_words(r->data, r->words);
    return NULL;
}

/* One pass over everything, each thread over its part; in seconds. */
static double read_once(reader_t *readers, pthread_t *ids, uint32_t threads)
{
    double start = tool_now();
    uint32_t started = 1;
    while (started < threads &&
           pthread_create(&ids[started], NULL, read_part, &readers[started]) == 0) {
        started++;
    }
    read_part(&readers[0]);
    for (uint32_t i = started; i < threads; i++) {
        read_part(&readers[i]); /* no thread to be had: slower, but right */
    }
    for (uint32_t i = 1; i < started; i++) {
        pthread_join(ids[i], NULL);
    }
    return tool_now() - start;
}

double tool_read_bandwidth(uint32_t threads)
{
    threads = threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
    size_t words = BYTES_IN_ALL / sizeof(uint64_t) / threads / 8 * 8;
    size_t bytes = words * threads * sizeof(uint64_t);
    uint64_t *data = malloc(bytes);
    reader_t *readers = calloc(threads, sizeof(*readers));
    pthread_t *ids = calloc(threads, sizeof(*ids));
    double rate = 0;
    if (data != NULL && readers != NULL && ids != NULL) {
        memset(data, 1, bytes);
        for (uint32_t i = 0; i < threads; i++) {
            readers[i] = (reader_t){.data = data + i * words, .words = words};
        }
        for (int pass = 0; pass < PASSES; pass++) {
            double seconds = read_once(readers, ids, threads);
            rate = (double)bytes / seconds > rate ? (double)bytes / seconds : rate;
        }
    }
    free(data);
    free(readers);
    free(ids);
    return rate;
}

/*
 * Preloaded under NGINX: how much of a processor's time each turn of an event loop takes, from one
 * epoll_wait() to the next. At its exit a process writes into a file LOOP_TURNS.<pid>, where
 * LOOP_TURNS names a path, a line for each of its longest turns, the longest first: microseconds of
 * the thread's own time, page faults, and how often the thread lost its processor to another.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define KEPT 64

typedef int (*epoll_wait_pt)(int, struct epoll_event *, int, int);

typedef struct {
    long us;
    long faults;
    long lost;
} turn_t;

static epoll_wait_pt real;
static char path[4000];
static turn_t began = {-1, 0, 0};
static turn_t longest[KEPT]; /* the longest first */

static turn_t now(void)
{
    struct timespec t;
    struct rusage usage;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    getrusage(RUSAGE_THREAD, &usage);
    return (turn_t){t.tv_sec * 1000000 + t.tv_nsec / 1000, usage.ru_minflt, usage.ru_nivcsw};
}

static void keep(turn_t took)
{
    size_t at = KEPT;
    while (at > 0 && longest[at - 1].us < took.us)
        at--;
    if (at == KEPT)
        return;
    memmove(longest + at + 1, longest + at, (KEPT - at - 1) * sizeof *longest);
    longest[at] = took;
}

/* In place of the C library's. */
int counted_wait(int fd, struct epoll_event *events, int max, int timeout) __asm__("epoll_wait");

int counted_wait(int fd, struct epoll_event *events, int max, int timeout)
{
    if (real == NULL)
        real = (epoll_wait_pt)dlsym(RTLD_NEXT, "epoll_wait");
    if (began.us >= 0) {
        turn_t end = now();
        keep((turn_t){end.us - began.us, end.faults - began.faults, end.lost - began.lost});
    }
    int n = real(fd, events, max, timeout);
    /* A worker that starts asks for one event, to see what epoll can do. */
    if (max > 1)
        began = now();
    return n;
}

/* NGINX takes its workers' environment away. */
__attribute__((constructor)) static void see(void)
{
    const char *value = getenv("LOOP_TURNS");
    snprintf(path, sizeof path, "%s", value == NULL ? "" : value);
}

__attribute__((destructor)) static void tell(void)
{
    char name[4096];
    if (path[0] == '\0' || longest[0].us == 0)
        return;
    snprintf(name, sizeof name, "%s.%d", path, (int)getpid());
    FILE *f = fopen(name, "w");
    if (f == NULL)
        return;
    for (size_t i = 0; i < KEPT && longest[i].us > 0; i++)
        fprintf(f, "%ld %ld %ld\n", longest[i].us, longest[i].faults, longest[i].lost);
    fclose(f);
}

/*
 * Preloaded under NGINX: how much of a processor's time each turn of an event loop takes, from one
 * epoll_wait() to the next. At its exit a process writes "turns longest_us over_2ms" into a file
 * LOOP_TURNS.<pid>, where LOOP_TURNS names a path.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

typedef int (*epoll_wait_pt)(int, struct epoll_event *, int, int);

static epoll_wait_pt real;
static char path[4000];
static long began = -1;
static unsigned long turns;
static long longest;
static unsigned long over;

static long now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* In place of the C library's. */
int counted_wait(int fd, struct epoll_event *events, int max, int timeout) __asm__("epoll_wait");

int counted_wait(int fd, struct epoll_event *events, int max, int timeout)
{
    if (real == NULL)
        real = (epoll_wait_pt)dlsym(RTLD_NEXT, "epoll_wait");
    if (began >= 0) {
        long took = now_us() - began;
        turns++;
        longest = took > longest ? took : longest;
        over += took > 2000;
    }
    int n = real(fd, events, max, timeout);
    began = now_us();
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
    if (path[0] == '\0' || turns == 0)
        return;
    snprintf(name, sizeof name, "%s.%d", path, (int)getpid());
    FILE *f = fopen(name, "w");
    if (f == NULL)
        return;
    fprintf(f, "%lu %ld %lu\n", turns, longest, over);
    fclose(f);
}

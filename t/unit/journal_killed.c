/* Compacting a journal that is killed at any step: the old file is there or the new one, with the
 * same effect, and the next compaction goes through. The functions that change files are this
 * program's own: they count, and end the process before or behind the one that is asked for. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policies/journal.h"
#include "t/support/registry_files.h"
#include "t/support/tap.h"

enum { CHANGES = 300 };

static int steps;   /* taken */
static int kill_at; /* 2n: before step n, 2n + 1: behind it; negative: never */

static void at_step(int half)
{
    if (2 * steps + half == kill_at) {
        kill(getpid(), SIGKILL);
    }
    steps += half;
}

/* The C library's names, under which the journal calls them. */
int step_unlink(const char *path) __asm__("unlink");
int step_open(const char *path, int flags, ...) __asm__("open");
int step_fchmod(int fd, mode_t mode) __asm__("fchmod");
ssize_t step_pwrite(int fd, const void *data, size_t len, off_t at) __asm__("pwrite");
int step_fsync(int fd) __asm__("fsync");
int step_ftruncate(int fd, off_t len) __asm__("ftruncate");
int step_rename(const char *from, const char *to) __asm__("rename");

#define STEP(call)    \
    at_step(0);       \
    long rc = (call); \
    at_step(1);       \
    return (int)rc

int step_unlink(const char *path)
{
    STEP(syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}

int step_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    unsigned mode = (flags & O_CREAT) != 0 ? va_arg(args, unsigned) : 0;
    va_end(args);
    STEP(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

int step_fchmod(int fd, mode_t mode)
{
    STEP(syscall(SYS_fchmod, fd, mode));
}

ssize_t step_pwrite(int fd, const void *data, size_t len, off_t at)
{
    /* Half of it may be written, too. */
    at_step(0);
    ssize_t half = (ssize_t)syscall(SYS_pwrite64, fd, data, len / 2, at);
    at_step(1);
    at_step(0);
    ssize_t rest = (ssize_t)syscall(SYS_pwrite64, fd, (const char *)data + half, len - (size_t)half,
                                    at + half);
    at_step(1);
    return half + rest;
}

int step_fsync(int fd)
{
    STEP(syscall(SYS_fsync, fd));
}

int step_ftruncate(int fd, off_t len)
{
    STEP(syscall(SYS_ftruncate, fd, len));
}

int step_rename(const char *from, const char *to)
{
    STEP(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

typedef struct {
    size_t changes;
    bool enabled;
    uint64_t seq;
} effect_t;

static weir_status_t take(void *data, const weir_change_t *change, weir_error_t *err)
{
    effect_t *e = data;
    (void)err;
    e->changes++;
    e->seq = change->seq;
    if (change->op == WEIR_CHANGE_KEY_DISABLED || change->op == WEIR_CHANGE_KEY_ENABLED) {
        e->enabled = change->op == WEIR_CHANGE_KEY_ENABLED;
    }
    return WEIR_OK;
}

static bool effect_of(const char *path, effect_t *e, weir_error_t *err)
{
    weir_journal_t *j = NULL;
    *e = (effect_t){0};
    bool good = weir_journal_open(path, false, &j, err) == WEIR_OK &&
                weir_journal_read(j, NULL, take, e, err) == WEIR_OK;
    weir_journal_close(j);
    return good;
}

static bool fill(const char *path, weir_error_t *err)
{
    weir_journal_t *j = NULL;
    weir_change_t c = {.key_id = "0123456789ab", .ts_ms = 1900000000000, .by = WEIR_STR("ops")};
    bool good = weir_journal_open(path, true, &j, err) == WEIR_OK;
    for (int i = 0; good && i < CHANGES; i++) {
        c.op = i % 2 == 0 ? WEIR_CHANGE_KEY_ENABLED : WEIR_CHANGE_KEY_DISABLED;
        good = weir_journal_append(j, &c, NULL, err) == WEIR_OK;
    }
    weir_journal_close(j);
    return good;
}

/* How the child ended: 0 when it was not killed. */
static int compact_in_child(const char *path, int at)
{
    int status = -1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        weir_journal_t *j = NULL;
        weir_error_t err;
        bool good = weir_journal_open_patient(path, 1000, &j, &err) == WEIR_OK;
        steps = 0;
        kill_at = at;
        good = good && weir_journal_tidy(j, NULL, &err) == WEIR_OK;
        _exit(good ? 0 : 1);
    }
    waitpid(child, &status, 0);
    return status;
}

int main(void)
{
    registry_files_t files;
    weir_error_t err = {0};
    effect_t e = {0};
    char left[512];
    struct stat st;

    e = (effect_t){0};
    kill_at = -1;
    if (!registry_files_open(&files)) {
        return 1;
    }
    const char *path = registry_files_path(&files, "journal");
    snprintf(left, sizeof(left), "%s.new", path);
    int at = 0;
    int old = 0;
    for (;; at++) {
        registry_files_write(&files, "journal", NULL);
        if (!fill(path, &err)) {
            ok(false, "made: %s", err.message);
            break;
        }
        int status = compact_in_child(path, at);
        if (status == 0) {
            break;
        }
        bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        bool good = killed && effect_of(path, &e, &err);
        good = good && !e.enabled && (e.changes == CHANGES || e.changes == 1) && e.seq == CHANGES;
        old += good && e.changes == CHANGES;
        good = good && compact_in_child(path, -1) == 0 && effect_of(path, &e, &err) &&
               e.changes == 1 && !e.enabled && e.seq == CHANGES;
        if (!ok(good && stat(left, &st) != 0, "killed at %d: the same effect, then and later",
                at)) {
            diag("status %d, %zu changes: %s", status, e.changes, err.message);
        }
    }
    ok(at > 12 && old > 8 && old < at, "%d places, the old file is there at %d of them", at, old);
    ok(effect_of(path, &e, &err) && e.changes == 1, "not killed, it is done");

    weir_journal_t *j = NULL;
    uint64_t lines = 0;
    ok(weir_journal_open(path, true, &j, &err) == WEIR_OK && weir_journal_lines(j) == 2 &&
           weir_journal_tidy(j, &lines, &err) == WEIR_OK && lines == 2,
       "a short journal stays as it is");
    weir_change_t c = {
        .op = WEIR_CHANGE_KEY_DISABLED, .ts_ms = 1900000000000, .by = WEIR_STR("ops")};
    for (int i = 0; i < CHANGES; i++) {
        snprintf(c.key_id, sizeof(c.key_id), "%012d", i);
        weir_journal_append(j, &c, NULL, &err);
    }
    uint64_t before = weir_journal_lines(j);
    ok(before == CHANGES + 2 && weir_journal_tidy(j, &lines, &err) == WEIR_OK && lines == before &&
           effect_of(path, &e, &err) && e.changes == CHANGES + 1,
       "nor is one written anew of which everything counts");
    weir_journal_close(j);
    registry_files_close(&files);
    return done_testing();
}

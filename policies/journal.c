/*
 * The journal's file. Two places in it are kept: how far changes were passed on (weir_journal_read)
 * and how far the file was checked (weir_journal_append looks at what others wrote before it).
 */
#include "policies/journal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static weir_status_t io_error(const weir_journal_t *j, weir_error_t *err)
{
    return weir_error(err, WEIR_ERR_IO, "%s: %s", j->path, strerror(errno));
}

weir_status_t weir_journal_sync_folder(const char *path, weir_error_t *err)
{
    char copy[PATH_MAX];
    int folder;
    bool good;

    snprintf(copy, sizeof(copy), "%s", path);
    folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    good = folder >= 0 && fsync(folder) == 0;
    if (!good) {
        weir_error(err, WEIR_ERR_IO, "%s: its folder: %s", path, strerror(errno));
    }
    if (folder >= 0) {
        close(folder);
    }
    return good ? WEIR_OK : WEIR_ERR_IO;
}

bool weir_journal_pwrite(int fd, const char *data, size_t len, uint64_t at)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, (off_t)at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return false;
        }
        data += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

/* Bytes at..at+cap of the file; the number read, -1 on error. */
static ssize_t read_at(int fd, char *data, size_t cap, uint64_t at)
{
    size_t got = 0;

    while (got < cap) {
        ssize_t n = pread(fd, data + got, cap - got, (off_t)(at + got));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        got += (size_t)n;
    }
    return (ssize_t)got;
}

static weir_status_t damaged(const weir_journal_t *j, uint64_t line, const char *what,
                             weir_error_t *err)
{
    return weir_error_at(err, WEIR_ERR_INVALID, "", "damaged_journal",
                         "%s:%llu: %s; restore the file from a copy, or move it away and make the "
                         "changes again",
                         j->path, (unsigned long long)line, what);
}

/* One complete line: checks the chain, and passes a change on. */
static weir_status_t take_line(const weir_journal_t *j, weir_journal_place_t *place,
                               weir_str_t line, weir_change_fn visit, void *data, weir_error_t *err)
{
    weir_arena_t arena;
    weir_change_t change;
    weir_error_t why;
    weir_journal_sum_t sum = place->sum;
    uint64_t number = place->line + 1;
    weir_status_t rc;

    if (!weir_journal_check_sum(line, &sum)) {
        return damaged(j, number, "the line is damaged: its sum does not fit", err);
    }
    if (place->line == 0) {
        if (!weir_journal_read_header(line, &place->seq)) {
            return damaged(j, number, "expected {\"weir_journal\":1,...", err);
        }
        rc = WEIR_OK;
    } else {
        weir_arena_init(&arena, 0, 0);
        rc = weir_journal_read_line(line, &arena, &change, &why);
        if (rc != WEIR_OK) {
            rc = rc == WEIR_ERR_NOMEM ? weir_error(err, rc, "%s: out of memory", j->path)
                                      : damaged(j, number, why.message, err);
        } else if (visit != NULL) {
            rc = visit(data, &change, err);
        }
        /* A compacted file begins with a number above those of the changes that it keeps. */
        if (rc == WEIR_OK && change.seq > place->seq) {
            place->seq = change.seq;
        }
        weir_arena_free(&arena);
    }
    if (rc == WEIR_OK) {
        place->sum = sum;
        place->line = number;
        place->offset += line.len + 1;
    }
    return rc;
}

static bool is_last(const weir_journal_t *j, const weir_journal_place_t *place, weir_str_t line)
{
    struct stat st;
    return fstat(j->fd, &st) == 0 && place->offset + line.len + 1 >= (uint64_t)st.st_size;
}

/*
 * Changes must not vanish while somebody holds the journal: one of them may be a revocation. One
 * may, the last: its writer took it back, because it did not reach the disk, and told nobody of it.
 */
static weir_status_t check_seen(weir_journal_t *j, uint64_t seq, weir_error_t *err)
{
    if (seq + 1 < j->seen) {
        return weir_error_at(
            err, WEIR_ERR_INVALID, "", "damaged_journal",
            "%s: ends at change %llu, and change %llu was in it: put the file back, "
            "or begin anew with a restart",
            j->path, (unsigned long long)seq, (unsigned long long)j->seen);
    }
    j->seen = seq > j->seen ? seq : j->seen;
    return WEIR_OK;
}

/* All complete lines behind *place; *torn: bytes behind the last of them. */
weir_status_t weir_journal_walk(weir_journal_t *j, weir_journal_place_t *place,
                                weir_change_fn visit, void *data, bool *torn, weir_error_t *err)
{
    size_t cap = (size_t)64 << 10;
    char *buffer = malloc(cap);
    weir_status_t rc = WEIR_OK;
    bool more = true;

    *torn = false;
    while (buffer != NULL && rc == WEIR_OK && more) {
        size_t used = 0;
        ssize_t n = read_at(j->fd, buffer, cap, place->offset);
        if (n < 0) {
            rc = io_error(j, err);
            break;
        }
        for (const char *end;
             rc == WEIR_OK && (end = memchr(buffer + used, '\n', (size_t)n - used)) != NULL;) {
            weir_str_t line = weir_str(buffer + used, (size_t)(end - buffer) - used);
            /* A crash may leave blocks of zeros of the last append, and only of that. */
            if (memchr(line.data, '\0', line.len) != NULL && is_last(j, place, line)) {
                break;
            }
            rc = take_line(j, place, line, visit, data, err);
            used += line.len + 1;
        }
        *torn = rc == WEIR_OK && used < (size_t)n;
        more = (size_t)n == cap && used > 0;
        if (rc == WEIR_OK && (size_t)n == cap && used == 0) {
            char *grown = cap > 2 * WEIR_JOURNAL_MAX_LINE ? NULL : realloc(buffer, 2 * cap);
            if (grown == NULL) {
                rc = damaged(j, place->line + 1, "the line is too long", err);
            } else {
                buffer = grown;
                cap *= 2;
                more = true;
            }
        }
    }
    if (buffer == NULL) {
        rc = weir_error(err, WEIR_ERR_NOMEM, "%s: out of memory", j->path);
    }
    free(buffer);
    return rc;
}

static bool same_file(int fd, const char *path)
{
    struct stat a;
    struct stat b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

static void forget(weir_journal_t *j)
{
    if (j->fd >= 0) {
        close(j->fd);
    }
    j->fd = -1;
    j->restarted = j->restarted || j->read.line > 1;
    j->read = j->checked = (weir_journal_place_t){0};
}

/* Opens the file that the path names now; a missing one is fine for readers. */
static weir_status_t open_file(weir_journal_t *j, weir_error_t *err)
{
    if (j->fd >= 0 && same_file(j->fd, j->path)) {
        return WEIR_OK;
    }
    forget(j);
    j->fd = open(j->path, (j->writable ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC, 0600);
    return j->fd >= 0 || (errno == ENOENT && !j->writable) ? WEIR_OK : io_error(j, err);
}

/* Waits for the lock as long as it may. */
static weir_status_t wait_for_lock(const weir_journal_t *j, weir_error_t *err)
{
    const struct timespec nap = {.tv_nsec = 10 * 1000000L};

    for (int waited = 0;; waited += 10) {
        if (flock(j->fd, j->patience >= 0 ? LOCK_EX | LOCK_NB : LOCK_EX) == 0) {
            return WEIR_OK;
        }
        if (errno != EINTR && errno != EWOULDBLOCK) {
            return io_error(j, err);
        }
        if (errno == EWOULDBLOCK && waited >= j->patience) {
            return weir_error_at(err, WEIR_ERR_BUSY, NULL, "busy",
                                 "%s: another is writing it: try again", j->path);
        }
        if (errno == EWOULDBLOCK) {
            nanosleep(&nap, NULL);
        }
    }
}

/* Locks the file that the path names: one that was replaced meanwhile is nobody's. */
weir_status_t weir_journal_lock(weir_journal_t *j, weir_error_t *err)
{
    for (;;) {
        weir_status_t rc = open_file(j, err);
        if (rc != WEIR_OK) {
            return rc;
        }
        rc = wait_for_lock(j, err);
        if (rc != WEIR_OK) {
            return rc;
        }
        if (same_file(j->fd, j->path)) {
            return WEIR_OK;
        }
        flock(j->fd, LOCK_UN);
    }
}

void weir_journal_unlock(weir_journal_t *j)
{
    if (j->fd >= 0) {
        flock(j->fd, LOCK_UN);
    }
}

/* With the lock held: checks what others wrote, cuts what a dead writer left, and writes the first
 * line of an empty file. */
weir_status_t weir_journal_settle(weir_journal_t *j, weir_error_t *err)
{
    struct stat st;
    weir_buf_t head;
    weir_arena_t arena;
    bool torn;
    weir_status_t rc;

    if (fstat(j->fd, &st) != 0) {
        return io_error(j, err);
    }
    if ((uint64_t)st.st_size < j->checked.offset) {
        j->restarted = j->restarted || j->read.line > 1;
        j->read = j->checked = (weir_journal_place_t){0};
    }
    rc = weir_journal_walk(j, &j->checked, NULL, NULL, &torn, err);
    if (rc == WEIR_OK && torn) {
        rc = ftruncate(j->fd, (off_t)j->checked.offset) == 0 && fsync(j->fd) == 0
                 ? WEIR_OK
                 : io_error(j, err);
    }
    if (rc == WEIR_OK) {
        rc = check_seen(j, j->checked.seq, err);
    }
    if (rc != WEIR_OK || j->checked.line > 0) {
        return rc;
    }
    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&head, &arena);
    rc = weir_journal_write_header(&head, 0, &j->checked.sum, err);
    if (rc == WEIR_OK &&
        (!weir_journal_pwrite(j->fd, head.data, head.len, 0) || fsync(j->fd) != 0)) {
        rc = io_error(j, err);
    }
    if (rc == WEIR_OK) {
        rc = weir_journal_sync_folder(j->path, err);
    }
    if (rc == WEIR_OK) {
        j->checked.offset = head.len;
        j->checked.line = 1;
    } else {
        j->checked = (weir_journal_place_t){0};
    }
    weir_arena_free(&arena);
    return rc;
}

static weir_status_t open_journal(const char *path, bool writable, int patience,
                                  weir_journal_t **out, weir_error_t *err)
{
    weir_journal_t *j = calloc(1, sizeof(*j));
    weir_status_t rc;
    bool torn;

    if (j == NULL || (j->path = strdup(path)) == NULL) {
        free(j);
        return weir_error(err, WEIR_ERR_NOMEM, "%s: out of memory", path);
    }
    j->fd = -1;
    j->writable = writable;
    j->patience = patience;
    if (writable) {
        rc = weir_journal_lock(j, err);
        if (rc == WEIR_OK) {
            rc = weir_journal_settle(j, err);
            weir_journal_unlock(j);
        }
    } else {
        rc = open_file(j, err);
        if (rc == WEIR_OK && j->fd >= 0) {
            rc = weir_journal_walk(j, &j->checked, NULL, NULL, &torn, err);
        }
    }
    if (rc != WEIR_OK) {
        weir_journal_close(j);
        return rc;
    }
    *out = j;
    return WEIR_OK;
}

weir_status_t weir_journal_open(const char *path, bool writable, weir_journal_t **out,
                                weir_error_t *err)
{
    return open_journal(path, writable, -1, out, err);
}

weir_status_t weir_journal_open_patient(const char *path, unsigned wait_ms, weir_journal_t **out,
                                        weir_error_t *err)
{
    return open_journal(path, true, wait_ms > INT_MAX / 2 ? INT_MAX / 2 : (int)wait_ms, out, err);
}

void weir_journal_close(weir_journal_t *j)
{
    if (j != NULL) {
        if (j->fd >= 0) {
            close(j->fd);
        }
        free(j->path);
        free(j);
    }
}

weir_status_t weir_journal_read(weir_journal_t *j, bool *restarted, weir_change_fn visit,
                                void *data, weir_error_t *err)
{
    struct stat st;
    bool torn;
    weir_status_t rc = open_file(j, err);

    if (rc == WEIR_OK && j->fd >= 0 && fstat(j->fd, &st) == 0 &&
        (uint64_t)st.st_size < j->read.offset) {
        j->restarted = j->restarted || j->read.line > 1;
        j->read = j->checked = (weir_journal_place_t){0};
    }
    if (restarted != NULL) {
        *restarted = j->restarted;
    }
    if (rc == WEIR_OK && j->fd < 0) {
        rc = j->seen == 0 ? WEIR_OK
                          : weir_error(err, WEIR_ERR_IO,
                                       "%s: the file is gone: put it back, or begin anew with a "
                                       "restart",
                                       j->path);
    }
    if (rc != WEIR_OK || j->fd < 0) {
        return rc;
    }
    rc = weir_journal_walk(j, &j->read, visit, data, &torn, err);
    if (rc == WEIR_OK && (rc = check_seen(j, j->read.seq, err)) != WEIR_OK) {
        weir_journal_rewind(j);
    }
    if (rc == WEIR_OK) {
        j->restarted = false;
        if (j->read.offset > j->checked.offset) {
            j->checked = j->read;
        }
    }
    return rc;
}

void weir_journal_rewind(weir_journal_t *j)
{
    j->read = (weir_journal_place_t){0};
    j->restarted = true;
}

static weir_status_t append_locked(weir_journal_t *j, const weir_change_t *change, uint64_t *seq,
                                   weir_error_t *err)
{
    weir_change_t numbered = *change;
    weir_journal_sum_t sum;
    weir_arena_t arena;
    weir_buf_t line;
    weir_status_t rc = weir_journal_settle(j, err);

    if (rc != WEIR_OK) {
        return rc;
    }
    numbered.seq = j->checked.seq + 1;
    sum = j->checked.sum;
    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&line, &arena);
    rc = weir_journal_write_line(&line, &numbered, &sum, err);
    if (rc == WEIR_OK && (!weir_journal_pwrite(j->fd, line.data, line.len, j->checked.offset) ||
                          fdatasync(j->fd) != 0)) {
        rc = io_error(j, err);
        /* Nobody was told that it happened, so it must not come back with the next start. */
        if (ftruncate(j->fd, (off_t)j->checked.offset) != 0) {
            weir_error(err, WEIR_ERR_IO, "%s: neither written nor taken back: %s", j->path,
                       strerror(errno));
        }
    }
    if (rc == WEIR_OK) {
        j->checked.sum = sum;
        j->checked.offset += line.len;
        j->checked.line++;
        j->checked.seq = numbered.seq;
        j->seen = numbered.seq;
        *seq = numbered.seq;
    }
    weir_arena_free(&arena);
    return rc;
}

weir_status_t weir_journal_append(weir_journal_t *j, const weir_change_t *change, uint64_t *seq,
                                  weir_error_t *err)
{
    uint64_t unused;
    weir_status_t rc;

    if (!j->writable) {
        return weir_error(err, WEIR_ERR_STATE, "%s: opened for reading only", j->path);
    }
    rc = weir_journal_lock(j, err);
    if (rc == WEIR_OK) {
        rc = append_locked(j, change, seq == NULL ? &unused : seq, err);
        weir_journal_unlock(j);
    }
    return rc;
}

uint64_t weir_journal_lines(const weir_journal_t *j)
{
    return j->read.line > j->checked.line ? j->read.line : j->checked.line;
}

uint64_t weir_journal_seq(const weir_journal_t *j)
{
    return j->read.seq;
}

bool weir_journal_changed(const weir_journal_t *j)
{
    struct stat st;
    struct stat held;

    if (stat(j->path, &st) != 0) {
        return j->fd >= 0;
    }
    return j->restarted || j->fd < 0 || fstat(j->fd, &held) != 0 || st.st_ino != held.st_ino ||
           st.st_dev != held.st_dev || (uint64_t)st.st_size != j->read.offset;
}

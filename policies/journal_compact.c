/* A new journal with the same effect in fewer lines. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policies/document.h"
#include "policies/journal_file.h"

/* What is left of one key's changes; each kept with its own number. */
typedef struct {
    bool has[WEIR_CHANGE_OPS];
    weir_change_t changes[WEIR_CHANGE_OPS];
} key_changes_t;

typedef struct {
    weir_arena_t arena;
    json_t *ids; /* key id -> index */
    key_changes_t **keys;
    size_t n;
    size_t cap;
} fold_t;

static bool keep_text(weir_arena_t *arena, weir_str_t *text)
{
    text->data = weir_arena_strndup(arena, text->data == NULL ? "" : text->data, text->len);
    return text->data != NULL;
}

static key_changes_t *find_key(fold_t *fold, const char *id)
{
    const json_t *index = json_object_get(fold->ids, id);
    key_changes_t *key;

    if (index != NULL) {
        return fold->keys[json_integer_value(index)];
    }
    if (fold->n == fold->cap) {
        size_t cap = fold->cap == 0 ? 64 : 2 * fold->cap;
        key_changes_t **grown = realloc(fold->keys, cap * sizeof(key_changes_t *));
        if (grown == NULL) {
            return NULL;
        }
        fold->keys = grown;
        fold->cap = cap;
    }
    key = weir_arena_calloc(&fold->arena, 1, sizeof(*key));
    if (key == NULL || json_object_set_new(fold->ids, id, json_integer((json_int_t)fold->n)) != 0) {
        return NULL;
    }
    fold->keys[fold->n++] = key;
    return key;
}

/* The last change of a kind counts; a deletion makes those before it needless. */
static weir_status_t fold_change(void *data, const weir_change_t *change, weir_error_t *err)
{
    fold_t *fold = data;
    key_changes_t *key = find_key(fold, change->key_id);
    weir_change_t *kept;
    bool created;
    bool deleted;

    if (key == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    created = key->has[WEIR_CHANGE_KEY_CREATED];
    deleted = key->has[WEIR_CHANGE_KEY_DELETED]; /* then, if created, first: a document's key */
    switch (change->op) {
    case WEIR_CHANGE_KEY_DELETED:
        memset(key->has, 0, sizeof(key->has));
        if (created && !deleted) {
            return WEIR_OK; /* made and unmade here: no trace is needed */
        }
        break;
    case WEIR_CHANGE_KEY_DISABLED:
    case WEIR_CHANGE_KEY_ENABLED:
        key->has[WEIR_CHANGE_KEY_DISABLED] = key->has[WEIR_CHANGE_KEY_ENABLED] = false;
        break;
    case WEIR_CHANGE_KEY_CREATED:
    case WEIR_CHANGE_KEY_ROTATED:
    case WEIR_CHANGE_KEY_REVOKED: /* the last secret still decides who is told of it */
    case WEIR_CHANGE_OPS:
        break;
    }
    kept = &key->changes[change->op];
    *kept = *change;
    key->has[change->op] = true;
    if (!keep_text(&fold->arena, &kept->by) || !keep_text(&fold->arena, &kept->tenant) ||
        !keep_text(&fold->arena, &kept->team) || !keep_text(&fold->arena, &kept->user) ||
        !keep_text(&fold->arena, &kept->label) || !keep_text(&fold->arena, &kept->policy)) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    return WEIR_OK;
}

static int compare_seq(const void *a, const void *b)
{
    uint64_t x = (*(const weir_change_t *const *)a)->seq;
    uint64_t y = (*(const weir_change_t *const *)b)->seq;
    return x < y ? -1 : x > y;
}

/* *lines: the header and the changes that are left. */
static weir_status_t write_lines(const fold_t *fold, uint64_t seq, weir_buf_t *out, uint64_t *lines,
                                 weir_error_t *err)
{
    const weir_change_t **sorted =
        calloc(fold->n * WEIR_CHANGE_OPS + 1, sizeof(const weir_change_t *));
    weir_journal_sum_t sum;
    size_t n = 0;
    weir_status_t rc;

    if (sorted == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < fold->n; i++) {
        for (int op = 0; op < WEIR_CHANGE_OPS; op++) {
            if (fold->keys[i]->has[op]) {
                sorted[n++] = &fold->keys[i]->changes[op];
            }
        }
    }
    if (n > 0) {
        qsort(sorted, n, sizeof(const weir_change_t *), compare_seq);
    }
    rc = weir_journal_write_header(out, seq, &sum, err);
    for (size_t i = 0; rc == WEIR_OK && i < n; i++) {
        rc = weir_journal_write_line(out, sorted[i], &sum, err);
    }
    free(sorted);
    *lines = n + 1;
    return rc;
}

/* Written beside it, synced, renamed: a crash leaves the old file or the new one. */
static weir_status_t replace_file(const weir_journal_t *j, const weir_buf_t *text,
                                  weir_error_t *err)
{
    char temp[PATH_MAX];
    struct stat st;
    bool good;
    int fd;

    if (snprintf(temp, sizeof(temp), "%s.new", j->path) >= (int)sizeof(temp)) {
        return weir_error(err, WEIR_ERR_IO, "%s: path too long", j->path);
    }
    /* With the lock held, one that is there is what a crash has left. */
    unlink(temp);
    fd = open(temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return weir_error(err, WEIR_ERR_IO, "%s: %s", temp, strerror(errno));
    }
    good = fstat(j->fd, &st) == 0 && fchmod(fd, st.st_mode & 07777) == 0 &&
           (st.st_uid == geteuid() || fchown(fd, st.st_uid, st.st_gid) == 0) &&
           weir_journal_pwrite(fd, text->data, text->len, 0) && fsync(fd) == 0 &&
           rename(temp, j->path) == 0;
    if (!good) {
        weir_error(err, WEIR_ERR_IO, "%s: %s", j->path, strerror(errno));
        unlink(temp);
    }
    close(fd);
    return good ? weir_journal_sync_folder(j->path, err) : WEIR_ERR_IO;
}

/* factor: only if at most one line in so many is left. */
static weir_status_t compact_locked(weir_journal_t *j, fold_t *fold, uint64_t factor,
                                    uint64_t *left, weir_error_t *err)
{
    weir_journal_place_t place = {0};
    weir_buf_t text;
    bool torn;
    weir_status_t rc = weir_journal_settle(j, err);

    if (rc == WEIR_OK) {
        rc = weir_journal_walk(j, &place, fold_change, fold, &torn, err);
    }
    weir_buf_init(&text, &fold->arena);
    if (rc == WEIR_OK) {
        rc = write_lines(fold, place.seq, &text, left, err);
    }
    if (rc != WEIR_OK || place.line < factor * *left) {
        return rc;
    }
    return replace_file(j, &text, err);
}

static weir_status_t compact(weir_journal_t *j, uint64_t factor, uint64_t *left, weir_error_t *err)
{
    fold_t fold = {.ids = json_object()};
    weir_status_t rc;

    if (!j->writable || fold.ids == NULL) {
        json_decref(fold.ids);
        return weir_error(err, WEIR_ERR_STATE, "%s: opened for reading only", j->path);
    }
    weir_arena_init(&fold.arena, 0, 0);
    rc = weir_journal_lock(j, err);
    if (rc == WEIR_OK) {
        rc = compact_locked(j, &fold, factor, left, err);
        weir_journal_unlock(j); /* the old file's: whoever waits for it finds it replaced */
    }
    json_decref(fold.ids);
    free(fold.keys);
    weir_arena_free(&fold.arena);
    return rc;
}

weir_status_t weir_journal_compact(weir_journal_t *j, weir_error_t *err)
{
    uint64_t left;
    return compact(j, 0, &left, err);
}

weir_status_t weir_journal_tidy(weir_journal_t *j, uint64_t *left, weir_error_t *err)
{
    uint64_t lines = weir_journal_lines(j);
    weir_status_t rc = WEIR_OK;

    if (lines >= WEIR_JOURNAL_TIDY_LINES) {
        rc = compact(j, WEIR_JOURNAL_TIDY_FACTOR, &lines, err);
    }
    if (left != NULL) {
        *left = lines;
    }
    return rc;
}

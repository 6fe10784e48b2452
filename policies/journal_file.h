/* What journal.c and journal_compact.c share. Private to this folder. */
#ifndef WEIR_POLICIES_JOURNAL_FILE_H
#define WEIR_POLICIES_JOURNAL_FILE_H

#include "policies/journal_line.h"

typedef struct {
    uint64_t offset; /* of the next line */
    uint64_t line;   /* lines before it */
    uint64_t seq;    /* the last change before it */
    weir_journal_sum_t sum;
} weir_journal_place_t;

struct weir_journal {
    char *path;
    int fd; /* -1: no file yet */
    bool writable;
    int patience;   /* milliseconds that it waits for a lock; -1: for ever */
    bool restarted; /* the file was replaced since the last read */
    uint64_t seen;  /* the last change that was ever seen through here */
    weir_journal_place_t read;
    weir_journal_place_t checked;
};

weir_status_t weir_journal_lock(weir_journal_t *j, weir_error_t *err);
void weir_journal_unlock(weir_journal_t *j);
weir_status_t weir_journal_settle(weir_journal_t *j, weir_error_t *err);
weir_status_t weir_journal_walk(weir_journal_t *j, weir_journal_place_t *place,
                                weir_change_fn visit, void *data, bool *torn, weir_error_t *err);
bool weir_journal_pwrite(int fd, const char *data, size_t len, uint64_t at);
weir_status_t weir_journal_sync_folder(const char *path, weir_error_t *err);

#endif

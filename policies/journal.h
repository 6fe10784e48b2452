/*
 * Changes made at run time: an append-only file of JSON lines beside the documents, replayed on top
 * of them. Each line ends in a digest chained to the line before; a line is on the disk before
 * append returns. Secrets are never in it, only salt and hash. Format: docs/documents.md.
 */
#ifndef WEIR_POLICIES_JOURNAL_H
#define WEIR_POLICIES_JOURNAL_H

#include "policies/keys.h"

typedef enum {
    WEIR_CHANGE_KEY_CREATED,
    WEIR_CHANGE_KEY_ROTATED,
    WEIR_CHANGE_KEY_DISABLED,
    WEIR_CHANGE_KEY_ENABLED,
    WEIR_CHANGE_KEY_DELETED, /* as if it had never been: refused as unknown */
    WEIR_CHANGE_KEY_REVOKED, /* refused for good, and what runs is cut */
    WEIR_CHANGE_OPS
} weir_change_op_t;

/* Members that an operation does not use stay zero. */
typedef struct {
    weir_change_op_t op;
    uint64_t seq;  /* set by append and read: 1, 2, 3, ... */
    int64_t ts_ms; /* Unix milliseconds */
    weir_str_t by; /* who asked: an admin's name; at most 128 bytes */
    char key_id[WEIR_KEY_ID_LEN + 1];
    /* created and rotated */
    uint8_t salt[WEIR_KEY_SALT_LEN];
    uint8_t hash[WEIR_KEY_HASH_LEN];
    int64_t expires; /* created: Unix seconds of the key's end; 0: never */
    /* rotated: the secret that was in force before, valid until previous_expires (0: no end) */
    bool has_previous;
    uint8_t previous_hash[WEIR_KEY_HASH_LEN];
    int64_t previous_expires;
    /* created */
    weir_str_t tenant;
    weir_str_t team; /* empty: none */
    weir_str_t user; /* empty: none */
    weir_str_t label;
    weir_str_t policy; /* a JSON object, or empty */
} weir_change_t;

const char *weir_change_op_name(weir_change_op_t op);

typedef struct weir_journal weir_journal_t;

/*
 * Opens the journal. writable: makes a missing file (mode 0600) and cuts a torn last line off.
 * Read-only: a missing file reads as empty. One owner at a time; many processes may use the same
 * file, each with its own weir_journal_open (behind a fork: the lock is the open file's). Errors:
 * IO; INVALID for a damaged line, with its number: nothing is skipped silently.
 */
weir_status_t weir_journal_open(const char *path, bool writable, weir_journal_t **out,
                                weir_error_t *err);

/*
 * The same, writable, for who cannot wait for ever: where another holds the lock for longer than
 * wait_ms, opening, appending and compacting return BUSY. 0, for an event loop: at once.
 */
weir_status_t weir_journal_open_patient(const char *path, unsigned wait_ms, weir_journal_t **out,
                                        weir_error_t *err);

void weir_journal_close(weir_journal_t *journal);

/* Called per change in order; the views live during the call. Not WEIR_OK ends the reading. */
typedef weir_status_t (*weir_change_fn)(void *data, const weir_change_t *change, weir_error_t *err);

/*
 * Passes on what was appended since the last read, by anybody. When the file was replaced by a
 * compaction since then, *restarted becomes true before the first call and everything is passed on
 * again: the caller starts from the documents' snapshot (restarted may be NULL only on the first
 * read of a journal). A torn last line is left for its writer. INVALID or IO also when changes that
 * were there are gone (the file removed, cut or exchanged for an older one): whoever wants that
 * closes the journal and opens it again.
 */
weir_status_t weir_journal_read(weir_journal_t *journal, bool *restarted, weir_change_fn visit,
                                void *data, weir_error_t *err);

/* The next read begins at the beginning again and says *restarted: for new documents. */
void weir_journal_rewind(weir_journal_t *journal);

/*
 * Appends the change (seq is ignored and told) and waits for the disk: when it returns OK, the
 * change survives a crash. Holds a lock against other processes meanwhile. Blocks for an fsync.
 * What it appends is read by weir_journal_read like everybody's.
 */
weir_status_t weir_journal_append(weir_journal_t *journal, const weir_change_t *change,
                                  uint64_t *seq, weir_error_t *err);

/*
 * Replaces the file by one that has the same effect in as few lines as possible; sequence numbers
 * go on. Crash-safe: either the old or the new file is there.
 */
weir_status_t weir_journal_compact(weir_journal_t *journal, weir_error_t *err);

/* A journal is worth compacting from so many lines on, when no more than one in so many would be
 * left. */
#define WEIR_JOURNAL_TIDY_LINES  256
#define WEIR_JOURNAL_TIDY_FACTOR 4

/* Compacts the journal if that is worth it. *left (may be NULL): its lines now, or those that it
 * would have. Errors as for compact. */
weir_status_t weir_journal_tidy(weir_journal_t *journal, uint64_t *left, weir_error_t *err);

/* The lines that were read or written through here. */
uint64_t weir_journal_lines(const weir_journal_t *journal);

/* The sequence number of the last change that was read; 0: none. */
uint64_t weir_journal_seq(const weir_journal_t *journal);

/* Whether a read would find something: one stat, no lock. */
bool weir_journal_changed(const weir_journal_t *journal);

#endif

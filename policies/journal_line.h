/*
 * One line of the journal. It ends in ,"sum":"<16 hex digits>"}: the first eight bytes of SHA-256
 * over the sum of the line before and all bytes of this line before that member. Private to this
 * folder.
 */
#ifndef WEIR_POLICIES_JOURNAL_LINE_H
#define WEIR_POLICIES_JOURNAL_LINE_H

#include "policies/journal.h"

#define WEIR_JOURNAL_SUM_LEN  16
#define WEIR_JOURNAL_MAX_LINE ((size_t)1 << 20)

typedef struct {
    char text[WEIR_JOURNAL_SUM_LEN + 1]; /* empty: before the first line */
} weir_journal_sum_t;

/* Appends the file's first line; seq is the last one that the file stands for. */
weir_status_t weir_journal_write_header(weir_buf_t *out, uint64_t seq, weir_journal_sum_t *sum,
                                        weir_error_t *err);

/* Appends the change as a line chained to *sum, which becomes this line's. INVALID for a member
 * that is too long, not UTF-8, or a policy that is no object. */
weir_status_t weir_journal_write_line(weir_buf_t *out, const weir_change_t *change,
                                      weir_journal_sum_t *sum, weir_error_t *err);

/* Checks the sum of a line (without its newline) against *sum, which becomes this line's. */
bool weir_journal_check_sum(weir_str_t line, weir_journal_sum_t *sum);

/* Both read a line whose sum is good. Views go to the arena. */
bool weir_journal_read_header(weir_str_t line, uint64_t *seq);
weir_status_t weir_journal_read_line(weir_str_t line, weir_arena_t *arena, weir_change_t *out,
                                     weir_error_t *err);

#endif

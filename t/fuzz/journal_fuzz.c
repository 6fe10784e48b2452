/* Any bytes as a journal's line: a change or an error; a change that was read is written and read
 * back as the same line. */
#include "policies/journal_line.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_and_read(const weir_change_t *change, weir_arena_t *arena)
{
    weir_journal_sum_t sum = {{0}};
    weir_journal_sum_t check = {{0}};
    weir_journal_sum_t again = {{0}};
    weir_change_t back;
    weir_buf_t first;
    weir_buf_t second;
    weir_error_t err;

    weir_buf_init(&first, arena);
    weir_buf_init(&second, arena);
    if (weir_journal_write_line(&first, change, &sum, &err) != WEIR_OK) {
        return;
    }
    weir_str_t line = weir_str(first.data, first.len - 1);
    if (first.data[line.len] != '\n' || memchr(line.data, '\n', line.len) != NULL ||
        !weir_journal_check_sum(line, &check) ||
        weir_journal_read_line(line, arena, &back, &err) != WEIR_OK ||
        weir_journal_write_line(&second, &back, &again, &err) != WEIR_OK ||
        first.len != second.len || memcmp(first.data, second.data, first.len) != 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    weir_arena_t arena;
    weir_change_t change;
    weir_journal_sum_t sum = {{0}};
    weir_error_t err = {0};
    weir_str_t line = weir_str((const char *)data, size);
    uint64_t seq;

    weir_arena_init(&arena, 0, (size_t)64 << 20);
    weir_journal_check_sum(line, &sum);
    weir_journal_read_header(line, &seq);
    if (weir_journal_read_line(line, &arena, &change, &err) == WEIR_OK) {
        write_and_read(&change, &arena);
    } else if (err.message[0] == '\0') {
        abort();
    }
    weir_arena_free(&arena);
    return 0;
}

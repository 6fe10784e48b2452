/* Words of the name and address heuristics. */
#include "guardrails/pii/words.h"

size_t weir_guard_word_end(const weir_guard_scan_t *scan, size_t start, size_t limit)
{
    size_t end = start;
    limit = start + limit < scan->len ? start + limit : scan->len;
    while (end < limit) {
        char c = scan->text[end];
        if (weir_guard_letter(c) || ((c == '\'' || c == '-') && end > start && end + 1 < limit &&
                                     weir_guard_letter(scan->text[end + 1]))) {
            end++;
            continue;
        }
        break;
    }
    return end;
}

bool weir_guard_word_in(const char *text, size_t len, const char *list)
{
    char word[26];
    if (len == 0 || len > sizeof(word) - 3) {
        return false;
    }
    word[0] = '|';
    for (size_t i = 0; i < len; i++) {
        word[i + 1] = weir_is(text[i], WEIR_C_UPPER) ? (char)(text[i] | 0x20) : text[i];
        if (text[i] == '|') {
            return false;
        }
    }
    word[len + 1] = '|';
    word[len + 2] = '\0';
    return strstr(list, word) != NULL;
}

/*
 * A named secret's value mostly has a run of so many characters of one set: "[0-9a-f]{40}". Where a
 * window has no such run nothing in it can match, and that is seen with a look at every fortieth
 * byte.
 */
#include "guardrails/matcher.h"

static void add(weir_guard_value_run_t *run, unsigned char c)
{
    run->set[c / 64] |= 1ull << c % 64;
}

static bool has(const weir_guard_value_run_t *run, char c)
{
    return (run->set[(unsigned char)c / 64] >> (unsigned char)c % 64 & 1) != 0;
}

/* Reads a set without negation, escapes or named classes at '['; returns what follows it, or NULL.
 */
static const char *read_set(const char *at, weir_guard_value_run_t *run)
{
    const char *first = ++at;
    for (; *at != '\0' && (*at != ']' || at == first); at++) {
        if (*at == '^' || *at == '\\' || *at == '[') {
            return NULL;
        }
        if (at[1] == '-' && at[2] != ']' && at[2] != '\0') {
            for (unsigned c = (unsigned char)at[0]; c <= (unsigned char)at[2]; c++) {
                add(run, (unsigned char)c);
            }
            at += 2;
        } else {
            add(run, (unsigned char)*at);
        }
    }
    return *at == ']' ? at + 1 : NULL;
}

/* The least count of "{n}" or "{n,m}" at text; 0 for anything else. */
static size_t read_count(const char *at)
{
    size_t n = 0;
    if (*at != '{') {
        return 0;
    }
    for (at++; *at >= '0' && *at <= '9' && n < 10000; at++) {
        n = n * 10 + (size_t)(*at - '0');
    }
    return *at == '}' || *at == ',' ? n : 0;
}

/* Behind the character, escape or set at text; NULL: the set is not closed. */
static const char *step(const char *at)
{
    if (*at == '\\') {
        return at[1] == '\0' ? at + 1 : at + 2;
    }
    if (*at != '[') {
        return at + 1;
    }
    at += at[1] == '^' ? 2 : 1;
    at += *at == ']';
    while (*at != '\0' && *at != ']') {
        at += *at == '\\' && at[1] != '\0' ? 2 : 1;
    }
    return *at == ']' ? at + 1 : NULL;
}

weir_guard_value_run_t weir_guard_value_run(const char *value)
{
    static const weir_guard_value_run_t none = {0};
    weir_guard_value_run_t best = {0};
    int depth = 0;
    for (const char *at = value; at != NULL && *at != '\0';) {
        /* An alternative of all of it: nothing must be there. */
        if (*at == '|' && depth == 0) {
            return none;
        }
        weir_guard_value_run_t run = {0};
        const char *behind = depth == 0 && *at == '[' ? read_set(at, &run) : NULL;
        if (behind != NULL) {
            run.len = read_count(behind);
            best = run.len > best.len ? run : best;
        }
        depth += *at == '(' ? 1 : *at == ')' ? -1 : 0;
        at = step(at);
        if (at == NULL) {
            return none;
        }
    }
    return depth == 0 ? best : none;
}

bool weir_guard_has_run(const weir_guard_value_run_t *run, const char *text, size_t len)
{
    for (size_t from = 0; len - from >= run->len;) {
        size_t at = from + run->len;
        while (at > from && has(run, text[at - 1])) {
            at--;
        }
        if (at == from) {
            return true;
        }
        from = at;
    }
    return false;
}

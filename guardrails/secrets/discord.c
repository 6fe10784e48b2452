/*
 * Bot tokens of Discord (developer documentation, "Authentication"): three parts with dots between
 * them, the first the base64 of the bot's id, which is a number. They have no letters in common, so
 * a dot is what draws attention to them.
 */
#include "guardrails/matcher.h"
#include "guardrails/secrets/secrets.h"

#include "engine/base/base64.h"

#define LEAST_ID 23 /* seventeen digits */
#define MOST_ID  28
#define SECOND   6
#define LEAST    27
#define MOST     40

static bool word_byte(char c)
{
    return weir_is(c, WEIR_C_ALNUM) || c == '_' || c == '-';
}

static bool decodes_to_digits(const char *text, size_t len)
{
    unsigned bits = 0;
    int have = 0;
    for (size_t i = 0; i < len; i++) {
        bits = (bits << 6 | (unsigned)weir_base64_value(text[i])) & 0xffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            unsigned c = bits >> have & 0xff;
            if (c < '0' || c > '9') {
                return false;
            }
        }
    }
    return true;
}

/* at is the first dot. */
void weir_guard_find_bot_token(weir_guard_scan_t *scan, size_t at)
{
    const char *text = scan->text;
    size_t second = at + 1 + SECOND;
    if (at < LEAST_ID || scan->len - at <= 1 + SECOND + LEAST || text[second] != '.') {
        return;
    }
    size_t start = at;
    while (start > 0 && at - start <= MOST_ID && word_byte(text[start - 1])) {
        start--;
    }
    size_t end = second + 1;
    while (end < scan->len && end - second <= MOST + 1 && word_byte(text[end])) {
        end++;
    }
    size_t id = at - start;
    size_t key = end - second - 1;
    for (size_t i = at + 1; i < second; i++) {
        if (!word_byte(text[i])) {
            return;
        }
    }
    if (id < LEAST_ID || id > MOST_ID || key < LEAST || key > MOST ||
        !weir_one_of(text[start], "MNO")) {
        return;
    }
    if (decodes_to_digits(text + start, id)) {
        weir_guard_emit(scan, WEIR_RULE_BOT_TOKEN, start, end, 0.95f);
    } else if (weir_secret_is_random(text + start, id) &&
               weir_secret_is_random(text + second + 1, key)) {
        weir_guard_emit(scan, WEIR_RULE_BOT_TOKEN, start, end, 0.7f);
    }
}

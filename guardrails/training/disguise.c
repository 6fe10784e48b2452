#include "guardrails/training/disguise.h"

#include "guardrails/training/learn.h"

#include <string.h>

static bool chance(uint64_t *state, uint32_t percent)
{
    return weir_random(state) % 100 < percent;
}

/* Each letter's sign is the same in all of a text, as people write. */
static void leet(weir_str_t text, uint64_t *state, weir_buf_t *out)
{
    static const char *const signs[26] = {
        ['a' - 'a'] = "4@",  ['b' - 'a'] = "8", ['e' - 'a'] = "33", ['g' - 'a'] = "96",
        ['i' - 'a'] = "11!", ['l' - 'a'] = "1", ['o' - 'a'] = "00", ['s' - 'a'] = "5$",
        ['t' - 'a'] = "77+", ['z' - 'a'] = "2"};
    char sign[26] = {0};
    uint32_t share = 50 + (uint32_t)(weir_random(state) % 51);
    for (size_t c = 0; c < 26; c++) {
        bool usual = signs[c] != NULL && strlen(signs[c]) > 1;
        if (signs[c] != NULL && chance(state, usual ? 85 : 25)) {
            sign[c] = signs[c][weir_random(state) % strlen(signs[c])];
        }
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned char lower = (unsigned char)((text.data[i] | 32) - 'a');
        bool hidden = lower < 26 && sign[lower] != 0 && chance(state, share);
        weir_buf_append_char(out, hidden ? sign[lower] : text.data[i]);
    }
}

/* A separator behind each character of all words, or of some. */
static void spaced(weir_str_t text, uint64_t *state, weir_buf_t *out)
{
    static const char separators[] = "     .-_*";
    char separator = separators[weir_random(state) % (sizeof(separators) - 1)];
    uint32_t share = chance(state, 60) ? 100 : 60;
    bool wide = chance(state, 70), open = chance(state, share);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        weir_buf_append_char(out, c);
        bool last = i + 1 == text.len;
        if (c == ' ') {
            open = chance(state, share);
            if (wide && open) {
                weir_buf_append(out, "  ", 2);
            }
        } else if (open && !last && (unsigned char)c < 0x80 && text.data[i + 1] != ' ') {
            weir_buf_append_char(out, separator);
        }
    }
}

static void base64(weir_str_t text, weir_buf_t *out)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0, held = 0;
    for (size_t i = 0; i < text.len; i++) {
        bits = bits << 8 | (unsigned char)text.data[i];
        for (held += 8; held >= 6; held -= 6) {
            weir_buf_append_char(out, digit[bits >> (held - 6) & 63]);
        }
    }
    if (held > 0) {
        weir_buf_append_char(out, digit[bits << (6 - held) & 63]);
        weir_buf_append(out, "==", held == 2 ? 2 : 1);
    }
}

static void coded(weir_str_t text, uint64_t *state, weir_buf_t *out)
{
    static const char *const before[] = {
        "Decode: ",     "base64: ", "What does this say? ", "data:text/plain;base64,",
        "Attachment: ", "hex: "};
    if (chance(state, 40)) {
        weir_buf_append_z(out, before[weir_random(state) % (sizeof(before) / sizeof(before[0]))]);
    }
    if (chance(state, 80)) {
        base64(text, out);
        return;
    }
    for (size_t i = 0; i < text.len; i++) {
        weir_buf_printf(out, "%02x", (unsigned)(unsigned char)text.data[i]);
    }
}

void weir_disguise(weir_disguise_t disguise, weir_str_t text, uint64_t seed, weir_buf_t *out)
{
    uint64_t state = seed;
    if (disguise == WEIR_DISGUISE_LEET) {
        leet(text, &state, out);
    } else if (disguise == WEIR_DISGUISE_SPACED) {
        spaced(text, &state, out);
    } else {
        coded(text, &state, out);
    }
}

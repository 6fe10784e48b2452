#include "guardrails/training/evasion.h"

const char *weir_evasion_name(weir_evasion_t evasion)
{
    static const char *const names[WEIR_EVASIONS] = {
        "plain",          "homoglyphs", "zero-width", "full width", "leet",
        "letter spacing", "base64",     "ROT13",      "tags",       "mixed"};
    return (unsigned)evasion < WEIR_EVASIONS ? names[evasion] : "";
}

static void put_point(weir_buf_t *out, uint32_t point)
{
    char b[4];
    if (point < 0x800) {
        b[0] = (char)(0xC0 | point >> 6);
        b[1] = (char)(0x80 | (point & 0x3F));
        weir_buf_append(out, b, 2);
    } else if (point < 0x10000) {
        b[0] = (char)(0xE0 | point >> 12);
        b[1] = (char)(0x80 | (point >> 6 & 0x3F));
        b[2] = (char)(0x80 | (point & 0x3F));
        weir_buf_append(out, b, 3);
    } else {
        b[0] = (char)(0xF0 | point >> 18);
        b[1] = (char)(0x80 | (point >> 12 & 0x3F));
        b[2] = (char)(0x80 | (point >> 6 & 0x3F));
        b[3] = (char)(0x80 | (point & 0x3F));
        weir_buf_append(out, b, 4);
    }
}

static void homoglyph(weir_buf_t *out, char c)
{
    static const char latin[] = "aceiopsxyABCEHKMOPTX";
    static const uint16_t looks[] = {0x430, 0x441, 0x435, 0x456, 0x43E, 0x440, 0x455,
                                     0x445, 0x443, 0x410, 0x412, 0x421, 0x415, 0x41D,
                                     0x41A, 0x41C, 0x41E, 0x420, 0x422, 0x425};
    const char *at = c == 0 ? NULL : strchr(latin, c);
    if (at == NULL) {
        weir_buf_append_char(out, c);
    } else {
        put_point(out, looks[at - latin]);
    }
}

static void full_width(weir_buf_t *out, char c)
{
    if (c > ' ' && c < 127) {
        put_point(out, 0xFF00u + (uint32_t)(c - ' '));
    } else {
        weir_buf_append_char(out, c);
    }
}

static bool is_letter(char c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static char leet(char c)
{
    static const char from[] = "aeiostAEIOST";
    static const char to[] = "431057431057";
    const char *at = c == 0 ? NULL : strchr(from, c);
    return at == NULL ? c : to[at - from];
}

static char rot13(char c)
{
    return !is_letter(c) ? c : (char)((c | 32) < 'n' ? c + 13 : c - 13);
}

static void base64(weir_str_t text, weir_buf_t *out)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)text.data;
    for (size_t i = 0; i < text.len; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16;
        v |= i + 1 < text.len ? (uint32_t)p[i + 1] << 8 : 0;
        v |= i + 2 < text.len ? p[i + 2] : 0;
        weir_buf_append_char(out, digit[v >> 18]);
        weir_buf_append_char(out, digit[v >> 12 & 63]);
        weir_buf_append_char(out, i + 1 < text.len ? digit[v >> 6 & 63] : '=');
        weir_buf_append_char(out, i + 2 < text.len ? digit[v & 63] : '=');
    }
}

static void mixed(weir_str_t text, weir_buf_t *out)
{
    size_t word = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        word += c == ' ';
        if (word % 3 == 0) {
            homoglyph(out, c);
        } else if (word % 3 == 1) {
            full_width(out, c);
        } else {
            weir_buf_append_char(out, c);
        }
        if (is_letter(c) && i % 3 == 0) {
            put_point(out, 0x200D);
        }
    }
}

static void by_character(weir_evasion_t evasion, char c, bool last, weir_buf_t *out)
{
    switch (evasion) {
    case WEIR_EVADE_HOMOGLYPH:
        homoglyph(out, c);
        break;
    case WEIR_EVADE_ZERO_WIDTH:
        weir_buf_append_char(out, c);
        if (is_letter(c)) {
            put_point(out, 0x200B);
        }
        break;
    case WEIR_EVADE_FULL_WIDTH:
        full_width(out, c);
        break;
    case WEIR_EVADE_LEET:
        weir_buf_append_char(out, leet(c));
        break;
    case WEIR_EVADE_SPACING:
        weir_buf_append_char(out, c);
        /* never inside a character: UTF-8 bytes stay together */
        if (!last && (unsigned char)c < 0x80) {
            weir_buf_append_char(out, ' ');
        }
        break;
    case WEIR_EVADE_ROT13:
        weir_buf_append_char(out, rot13(c));
        break;
    case WEIR_EVADE_TAGS:
        if (c >= ' ' && c < 127) {
            put_point(out, 0xE0000u + (uint32_t)c);
        } else {
            weir_buf_append_char(out, c);
        }
        break;
    default:
        weir_buf_append_char(out, c);
    }
}

void weir_evade(weir_evasion_t evasion, weir_str_t text, weir_buf_t *out)
{
    if (evasion == WEIR_EVADE_BASE64) {
        base64(text, out);
        return;
    }
    if (evasion == WEIR_EVADE_MIXED) {
        mixed(text, out);
        return;
    }
    for (size_t i = 0; i < text.len; i++) {
        by_character(evasion, text.data[i], i + 1 == text.len, out);
    }
}

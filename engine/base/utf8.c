#include "engine/base/utf8.h"

int weir_utf8_decode(const char *data, size_t len, uint32_t *cp)
{
    const uint8_t *p = (const uint8_t *)data;
    uint8_t lead = p[0];
    if (lead < 0x80) {
        *cp = lead;
        return 1;
    }
    *cp = 0xFFFD;
    if (lead < 0xC2 || lead > 0xF4) {
        return -1;
    }
    int want = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    /* Table 3-7: the second byte's range shuts out overlong forms, surrogates and > U+10FFFF. */
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    uint32_t value = lead & (0xFFu >> (want + 1));
    for (int i = 1; i < want; i++) {
        if ((size_t)i >= len || p[i] < low || p[i] > high) {
            return -i;
        }
        value = value << 6 | (p[i] & 0x3F);
        low = 0x80;
        high = 0xBF;
    }
    *cp = value;
    return want;
}

int weir_utf8_encode(uint32_t cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

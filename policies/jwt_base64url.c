#include "policies/jwks.h"

static int digit(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool weir_base64url_decode(weir_str_t in, uint8_t *out, size_t cap, size_t *len)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t o = 0;

    /* One character alone cannot hold a byte. */
    if (in.len % 4 == 1) {
        return false;
    }
    for (size_t i = 0; i < in.len; i++) {
        int d = digit((unsigned char)in.data[i]);
        if (d < 0) {
            return false;
        }
        bits = (bits << 6 | (uint32_t)d) & 0xfff;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            if (o == cap) {
                return false;
            }
            out[o++] = (uint8_t)(bits >> n_bits);
        }
    }
    /* Unused bits must be zero, or two texts would mean one token. */
    if ((bits & ((1U << n_bits) - 1)) != 0) {
        return false;
    }
    *len = o;
    return true;
}

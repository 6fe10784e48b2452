/* Keccak-f[1600] with rate 1088: The Keccak reference, version 3.0, sections 1.2 and 1.3. */
#include "guardrails/pii/digest.h"

#include <string.h>

#define RATE 136

static uint64_t rotate(uint64_t v, unsigned n)
{
    return n == 0 ? v : v << n | v >> (64 - n);
}

static void permute(uint64_t a[25])
{
    /* The round constants and the rotations come from the specification's two recurrences. */
    uint8_t lfsr = 1;
    for (int round = 0; round < 24; round++) {
        uint64_t c[5];
        uint64_t b[25];
        for (int x = 0; x < 5; x++) {
            c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        }
        for (int x = 0; x < 5; x++) {
            uint64_t d = c[(x + 4) % 5] ^ rotate(c[(x + 1) % 5], 1);
            for (int y = 0; y < 25; y += 5) {
                a[x + y] ^= d;
            }
        }
        int x = 1;
        int y = 0;
        b[0] = a[0];
        for (unsigned t = 0; t < 24; t++) {
            int from = x + 5 * y;
            int next = (2 * x + 3 * y) % 5;
            x = y;
            y = next;
            b[x + 5 * y] = rotate(a[from], (t + 1) * (t + 2) / 2 % 64);
        }
        for (int row = 0; row < 25; row += 5) {
            for (int i = 0; i < 5; i++) {
                a[row + i] = b[row + i] ^ (~b[row + (i + 1) % 5] & b[row + (i + 2) % 5]);
            }
        }
        for (int j = 0; j < 7; j++) {
            if ((lfsr & 1) != 0) {
                a[0] ^= 1ull << ((1u << j) - 1);
            }
            lfsr = (uint8_t)(lfsr << 1 ^ ((lfsr & 0x80) != 0 ? 0x71 : 0));
        }
    }
}

void weir_guard_keccak256(const uint8_t *data, size_t len, uint8_t hash[32])
{
    uint64_t state[25] = {0};
    uint8_t block[RATE];
    for (;;) {
        size_t n = len < RATE ? len : RATE;
        memcpy(block, data, n);
        if (n < RATE) {
            memset(block + n, 0, RATE - n);
            block[n] = 0x01;
            block[RATE - 1] |= 0x80;
        }
        for (size_t i = 0; i < RATE; i++) {
            state[i / 8] ^= (uint64_t)block[i] << 8 * (i % 8);
        }
        permute(state);
        if (n < RATE) {
            break;
        }
        data += n;
        len -= n;
    }
    for (size_t i = 0; i < 32; i++) {
        hash[i] = (uint8_t)(state[i / 8] >> 8 * (i % 8));
    }
}

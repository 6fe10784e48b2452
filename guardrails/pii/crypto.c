/*
 * Wallet addresses. Bitcoin's Base58Check (version byte, hash, first four bytes of the double
 * SHA-256); its version bytes for Bitcoin, Litecoin, Dogecoin, Dash, Tron (chainparams of the
 * reference clients, SLIP-0132, TIP-01). Bech32 and Bech32m (BIP 173, BIP 350; SLIP-0173 prefixes;
 * CIP-5 for Cardano). Ethereum's mixed-case checksum (EIP-55). Ripple's base 58 (XRPL "Base58
 * Encodings"). Monero's base 58 blocks with a Keccak checksum (Monero Research Lab, "Zero to
 * Monero", chapter 2).
 */
#include "guardrails/matcher.h"
#include "guardrails/pii/digest.h"

#include <openssl/evp.h>
#include <strings.h>

/* The digits of base 58 and their values, one more; 0: no digit. */
static const uint8_t bitcoin_digits[128] = {
    ['1'] = 1,  ['2'] = 2,  ['3'] = 3,  ['4'] = 4,  ['5'] = 5,  ['6'] = 6,  ['7'] = 7,  ['8'] = 8,
    ['9'] = 9,  ['A'] = 10, ['B'] = 11, ['C'] = 12, ['D'] = 13, ['E'] = 14, ['F'] = 15, ['G'] = 16,
    ['H'] = 17, ['J'] = 18, ['K'] = 19, ['L'] = 20, ['M'] = 21, ['N'] = 22, ['P'] = 23, ['Q'] = 24,
    ['R'] = 25, ['S'] = 26, ['T'] = 27, ['U'] = 28, ['V'] = 29, ['W'] = 30, ['X'] = 31, ['Y'] = 32,
    ['Z'] = 33, ['a'] = 34, ['b'] = 35, ['c'] = 36, ['d'] = 37, ['e'] = 38, ['f'] = 39, ['g'] = 40,
    ['h'] = 41, ['i'] = 42, ['j'] = 43, ['k'] = 44, ['m'] = 45, ['n'] = 46, ['o'] = 47, ['p'] = 48,
    ['q'] = 49, ['r'] = 50, ['s'] = 51, ['t'] = 52, ['u'] = 53, ['v'] = 54, ['w'] = 55, ['x'] = 56,
    ['y'] = 57, ['z'] = 58};

static const uint8_t ripple_digits[128] = {
    ['1'] = 51, ['2'] = 34, ['3'] = 8,  ['4'] = 22, ['5'] = 42, ['6'] = 41, ['7'] = 28, ['8'] = 46,
    ['9'] = 9,  ['A'] = 55, ['B'] = 11, ['C'] = 39, ['D'] = 13, ['E'] = 15, ['F'] = 48, ['G'] = 16,
    ['H'] = 17, ['J'] = 18, ['K'] = 19, ['L'] = 20, ['M'] = 21, ['N'] = 14, ['P'] = 23, ['Q'] = 24,
    ['R'] = 25, ['S'] = 26, ['T'] = 27, ['U'] = 12, ['V'] = 29, ['W'] = 30, ['X'] = 31, ['Y'] = 32,
    ['Z'] = 33, ['a'] = 6,  ['b'] = 35, ['c'] = 36, ['d'] = 37, ['e'] = 38, ['f'] = 7,  ['g'] = 40,
    ['h'] = 4,  ['i'] = 50, ['j'] = 43, ['k'] = 44, ['m'] = 45, ['n'] = 5,  ['o'] = 47, ['p'] = 2,
    ['q'] = 49, ['r'] = 1,  ['s'] = 3,  ['t'] = 52, ['u'] = 53, ['v'] = 54, ['w'] = 10, ['x'] = 56,
    ['y'] = 57, ['z'] = 58};

/*
 * Decodes base 58 into exactly size bytes, at most 32; false when it does not fit or has other
 * characters. Five characters at a time: 58^5 fits 30 bits.
 */
static bool base58(const char *text, size_t len, const uint8_t digits[128], uint8_t *out,
                   size_t size)
{
    uint32_t limbs[8] = {0}; /* the least first */
    size_t count = (size + 3) / 4;
    for (size_t i = 0; i < len;) {
        uint32_t factor = 1;
        uint32_t add = 0;
        for (unsigned k = 0; k < 5 && i < len; k++, i++) {
            unsigned char c = (unsigned char)text[i];
            if (c >= 128 || digits[c] == 0) {
                return false;
            }
            factor *= 58;
            add = add * 58 + digits[c] - 1u;
        }
        uint64_t carry = add;
        for (size_t l = 0; l < count; l++) {
            carry += (uint64_t)limbs[l] * factor;
            limbs[l] = (uint32_t)carry;
            carry >>= 32;
        }
        if (carry != 0) {
            return false;
        }
    }
    for (size_t b = 0; b < count * 4; b++) {
        uint8_t byte = (uint8_t)(limbs[b / 4] >> b % 4 * 8);
        if (b < size) {
            out[size - 1 - b] = byte;
        } else if (byte != 0) {
            return false;
        }
    }
    return true;
}

static bool double_sha(weir_guard_scan_t *scan, const uint8_t *data, size_t len,
                       const uint8_t *checksum)
{
    EVP_MD_CTX *sha = scan->scratch->sha256;
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    scan->work += WEIR_WORK_DIGEST;
    /* Without a type the context's own digest begins anew. */
    return EVP_DigestInit_ex(sha, NULL, NULL) == 1 && EVP_DigestUpdate(sha, data, len) == 1 &&
           EVP_DigestFinal_ex(sha, hash, &size) == 1 && EVP_DigestInit_ex(sha, NULL, NULL) == 1 &&
           EVP_DigestUpdate(sha, hash, size) == 1 && EVP_DigestFinal_ex(sha, hash, &size) == 1 &&
           memcmp(hash, checksum, 4) == 0;
}

static bool known_version(uint8_t version)
{
    /* P2PKH and P2SH of Bitcoin, Litecoin, Dogecoin, Dash; Tron. */
    static const uint8_t versions[] = {0x00, 0x05, 0x30, 0x32, 0x1e, 0x16, 0x4c, 0x10, 0x41};
    return memchr(versions, version, sizeof(versions)) != NULL;
}

static bool bech32_checks(const char *text, size_t len, size_t one)
{
    static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    static const uint32_t generator[] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd,
                                         0x2a1462b3};
    uint32_t sum = 1;
    size_t steps = one * 2 + 1 + (len - one - 1);
    for (size_t i = 0; i < steps; i++) {
        uint32_t value = 0;
        if (i < one) {
            value = (uint32_t)(text[i] | 0x20) >> 5;
        } else if (i > one && i <= 2 * one) {
            value = (uint32_t)(text[i - one - 1] | 0x20) & 31;
        } else if (i > 2 * one) {
            char c = text[i - one];
            c = weir_is(c, WEIR_C_UPPER) ? (char)(c | 0x20) : c;
            const char *at = c == '\0' ? NULL : strchr(alphabet, c);
            if (at == NULL) {
                return false;
            }
            value = (uint32_t)(at - alphabet);
        }
        uint32_t top = sum >> 25;
        sum = (sum & 0x1ffffff) << 5 ^ value;
        for (int g = 0; g < 5; g++) {
            sum ^= (top >> g & 1) != 0 ? generator[g] : 0;
        }
    }
    return sum == 1 || sum == 0x2bc830a3;
}

static void find_bech32(weir_guard_scan_t *scan, size_t start, size_t end)
{
    static const char *const prefixes[] = {"bc1", "tb1", "ltc1", "addr1", "stake1", "cosmos1"};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        size_t n = strlen(prefixes[i]);
        if (end - start > n + 20 && (scan->text[start] | 0x20) == prefixes[i][0] &&
            strncasecmp(scan->text + start, prefixes[i], n) == 0 &&
            bech32_checks(scan->text + start, end - start, n - 1)) {
            weir_guard_emit(scan, WEIR_RULE_BECH32, start, end, 0.98f);
            return;
        }
    }
}

/* EIP-55: a letter is upper-case where the nibble of the lower-case address' hash is 8 or more. */
static bool ethereum_case(const char *hex)
{
    char lower[40];
    uint8_t hash[32];
    bool up = false;
    bool low = false;
    for (size_t i = 0; i < 40; i++) {
        lower[i] = weir_is(hex[i], WEIR_C_UPPER) ? (char)(hex[i] | 0x20) : hex[i];
        up |= weir_is(hex[i], WEIR_C_UPPER);
        low |= weir_is(hex[i], WEIR_C_LOWER);
    }
    if (!up || !low) {
        return true;
    }
    weir_guard_keccak256((const uint8_t *)lower, 40, hash);
    for (size_t i = 0; i < 40; i++) {
        unsigned nibble = i % 2 == 0 ? hash[i / 2] >> 4 : hash[i / 2] & 15;
        if (weir_is(hex[i], WEIR_C_ALPHA) && weir_is(hex[i], WEIR_C_UPPER) != (nibble >= 8)) {
            return false;
        }
    }
    return true;
}

static void find_ethereum(weir_guard_scan_t *scan, size_t start, size_t end)
{
    const char *text = scan->text + start;
    if (end - start != 42 || text[0] != '0' || (text[1] | 0x20) != 'x') {
        return;
    }
    for (size_t i = 2; i < 42; i++) {
        if (!weir_is(text[i], WEIR_C_HEX)) {
            return;
        }
    }
    /* The zero address, and other fillers. */
    size_t same = 1;
    while (same < 39 && text[2 + same] == text[2]) {
        same++;
    }
    if (same < 30 && ethereum_case(text + 2)) {
        weir_guard_emit(scan, WEIR_RULE_ETHEREUM, start, end, 0.95f);
    }
}

static void find_base58(weir_guard_scan_t *scan, size_t start, size_t end)
{
    uint8_t raw[25];
    const char *text = scan->text + start;
    size_t len = end - start;
    if (len >= 26 && len <= 35 && base58(text, len, bitcoin_digits, raw, 25) &&
        known_version(raw[0]) && (raw[0] != 0 || text[0] == '1') &&
        double_sha(scan, raw, 21, raw + 21)) {
        bool bitcoin = raw[0] == 0x00 || raw[0] == 0x05;
        weir_guard_emit(scan, bitcoin ? WEIR_RULE_BITCOIN : WEIR_RULE_BASE58, start, end, 0.98f);
        return;
    }
    if (len >= 25 && len <= 35 && text[0] == 'r' && base58(text, len, ripple_digits, raw, 25) &&
        raw[0] == 0 && double_sha(scan, raw, 21, raw + 21)) {
        weir_guard_emit(scan, WEIR_RULE_BASE58, start, end, 0.98f);
        return;
    }
    /* Solana: 32 bytes without a checksum: only words near it tell it from another key. */
    uint8_t key[32];
    if (len >= 43 && len <= 44 && base58(text, len, bitcoin_digits, key, 32) &&
        weir_guard_near(scan, start, end, WEIR_CONTEXT_CRYPTO)) {
        weir_guard_emit(scan, WEIR_RULE_BASE58, start, end, 0.6f);
    }
}

/* Eleven characters carry eight bytes; the last seven carry five. 69 bytes or, integrated, 77. */
static void find_monero(weir_guard_scan_t *scan, size_t start, size_t end)
{
    uint8_t raw[80];
    uint8_t hash[32];
    size_t len = end - start;
    const char *text = scan->text + start;
    if ((len != 95 && len != 106) || (text[0] != '4' && text[0] != '8')) {
        return;
    }
    size_t blocks = len / 11;
    for (size_t b = 0; b < blocks; b++) {
        if (!base58(text + b * 11, 11, bitcoin_digits, raw + b * 8, 8)) {
            return;
        }
    }
    if (!base58(text + blocks * 11, 7, bitcoin_digits, raw + blocks * 8, 5)) {
        return;
    }
    size_t size = blocks * 8 + 5 - 4;
    scan->work += WEIR_WORK_DIGEST;
    weir_guard_keccak256(raw, size, hash);
    if (memcmp(hash, raw + size, 4) == 0) {
        weir_guard_emit(scan, WEIR_RULE_MONERO, start, end, 0.98f);
    }
}

void weir_guard_find_crypto(weir_guard_scan_t *scan, size_t start, size_t end)
{
    if ((start > 0 && scan->text[start - 1] == '_') ||
        (end < scan->len && scan->text[end] == '_')) {
        return;
    }
    find_ethereum(scan, start, end);
    find_bech32(scan, start, end);
    if (end - start <= 44) {
        find_base58(scan, start, end);
    } else {
        find_monero(scan, start, end);
    }
}

#include "policies/keys.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>

static const char key_mark[] = "wk_";
static const char id_alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyz";
static const char secret_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#define MARK_LEN     (sizeof(key_mark) - 1)
#define SECRET_BYTES 32

static weir_status_t random_bytes(uint8_t *out, int n, weir_error_t *err)
{
    if (RAND_bytes(out, n) != 1) {
        return weir_error(err, WEIR_ERR_IO, "the system's random generator failed (OpenSSL %#lx)",
                          ERR_peek_last_error());
    }
    return WEIR_OK;
}

/* Rejection keeps the characters uniform: 252 is the largest multiple of 36 below 256. */
static weir_status_t random_id(char out[WEIR_KEY_ID_LEN], weir_error_t *err)
{
    for (size_t i = 0; i < WEIR_KEY_ID_LEN;) {
        uint8_t byte;
        weir_status_t rc = random_bytes(&byte, 1, err);
        if (rc != WEIR_OK) {
            return rc;
        }
        if (byte < 252) {
            out[i++] = id_alphabet[byte % 36];
        }
    }
    return WEIR_OK;
}

/* Base64url without padding (RFC 4648, part 5): 32 bytes give 43 characters. */
static void encode_secret(const uint8_t in[SECRET_BYTES], char out[WEIR_KEY_SECRET_LEN])
{
    uint32_t bits = 0;
    int n_bits = 0;
    size_t o = 0;

    for (size_t i = 0; i < SECRET_BYTES; i++) {
        bits = bits << 8 | in[i];
        n_bits += 8;
        while (n_bits >= 6) {
            n_bits -= 6;
            out[o++] = secret_alphabet[bits >> n_bits & 63];
        }
    }
    out[o] = secret_alphabet[bits << (6 - n_bits) & 63];
}

/* The whole key from its id and a fresh secret, and its hash. */
static weir_status_t make_secret(const uint8_t salt[WEIR_KEY_SALT_LEN], char key[WEIR_KEY_LEN + 1],
                                 uint8_t hash[WEIR_KEY_HASH_LEN], weir_error_t *err)
{
    uint8_t secret[SECRET_BYTES];
    weir_status_t rc = random_bytes(secret, SECRET_BYTES, err);

    if (rc != WEIR_OK) {
        return rc;
    }
    memcpy(key, key_mark, MARK_LEN);
    key[MARK_LEN + WEIR_KEY_ID_LEN] = '_';
    encode_secret(secret, key + MARK_LEN + WEIR_KEY_ID_LEN + 1);
    OPENSSL_cleanse(secret, sizeof(secret));
    key[WEIR_KEY_LEN] = '\0';
    rc = weir_key_hash(weir_str(key, WEIR_KEY_LEN), salt, hash);
    if (rc != WEIR_OK) {
        return weir_error(err, rc, "SHA-256 failed (OpenSSL %#lx)", ERR_peek_last_error());
    }
    return WEIR_OK;
}

weir_status_t weir_key_generate(char key[WEIR_KEY_LEN + 1], uint8_t salt[WEIR_KEY_SALT_LEN],
                                uint8_t hash[WEIR_KEY_HASH_LEN], weir_error_t *err)
{
    weir_status_t rc = random_id(key + MARK_LEN, err);

    if (rc == WEIR_OK) {
        rc = random_bytes(salt, WEIR_KEY_SALT_LEN, err);
    }
    return rc == WEIR_OK ? make_secret(salt, key, hash, err) : rc;
}

weir_status_t weir_key_regenerate(const char id[WEIR_KEY_ID_LEN],
                                  const uint8_t salt[WEIR_KEY_SALT_LEN], char key[WEIR_KEY_LEN + 1],
                                  uint8_t hash[WEIR_KEY_HASH_LEN], weir_error_t *err)
{
    memcpy(key + MARK_LEN, id, WEIR_KEY_ID_LEN);
    return make_secret(salt, key, hash, err);
}

/* Which alphabets a byte is in: 1 an id's, 2 a secret's. A table, because every request asks. */
static const uint8_t classes[256] = {
    ['0'] = 3, ['1'] = 3, ['2'] = 3, ['3'] = 3, ['4'] = 3, ['5'] = 3, ['6'] = 3, ['7'] = 3,
    ['8'] = 3, ['9'] = 3, ['a'] = 3, ['b'] = 3, ['c'] = 3, ['d'] = 3, ['e'] = 3, ['f'] = 3,
    ['g'] = 3, ['h'] = 3, ['i'] = 3, ['j'] = 3, ['k'] = 3, ['l'] = 3, ['m'] = 3, ['n'] = 3,
    ['o'] = 3, ['p'] = 3, ['q'] = 3, ['r'] = 3, ['s'] = 3, ['t'] = 3, ['u'] = 3, ['v'] = 3,
    ['w'] = 3, ['x'] = 3, ['y'] = 3, ['z'] = 3, ['A'] = 2, ['B'] = 2, ['C'] = 2, ['D'] = 2,
    ['E'] = 2, ['F'] = 2, ['G'] = 2, ['H'] = 2, ['I'] = 2, ['J'] = 2, ['K'] = 2, ['L'] = 2,
    ['M'] = 2, ['N'] = 2, ['O'] = 2, ['P'] = 2, ['Q'] = 2, ['R'] = 2, ['S'] = 2, ['T'] = 2,
    ['U'] = 2, ['V'] = 2, ['W'] = 2, ['X'] = 2, ['Y'] = 2, ['Z'] = 2, ['-'] = 2, ['_'] = 2,
};

static bool in_alphabet(const char *s, size_t n, uint8_t alphabet)
{
    uint8_t all = alphabet;
    size_t i = 0;

    for (; i + 4 <= n; i += 4) {
        all &= classes[(uint8_t)s[i]] & classes[(uint8_t)s[i + 1]] & classes[(uint8_t)s[i + 2]] &
               classes[(uint8_t)s[i + 3]];
    }
    for (; i < n; i++) {
        all &= classes[(uint8_t)s[i]];
    }
    return all != 0;
}

bool weir_key_parse(weir_str_t key, weir_str_t *id)
{
    if (key.len != WEIR_KEY_LEN || memcmp(key.data, key_mark, MARK_LEN) != 0 ||
        key.data[MARK_LEN + WEIR_KEY_ID_LEN] != '_' ||
        !in_alphabet(key.data + MARK_LEN, WEIR_KEY_ID_LEN, 1) ||
        !in_alphabet(key.data + MARK_LEN + WEIR_KEY_ID_LEN + 1, WEIR_KEY_SECRET_LEN, 2)) {
        return false;
    }
    *id = weir_str(key.data + MARK_LEN, WEIR_KEY_ID_LEN);
    return true;
}

struct weir_key_hasher {
    EVP_MD *md; /* fetched once: a lookup by name costs more than the hash */
    EVP_MD_CTX *ctx;
};

weir_key_hasher_t *weir_key_hasher_new(void)
{
    weir_key_hasher_t *hasher = calloc(1, sizeof(*hasher));

    if (hasher == NULL) {
        return NULL;
    }
    hasher->md = EVP_MD_fetch(NULL, "SHA256", NULL);
    hasher->ctx = EVP_MD_CTX_new();
    if (hasher->md == NULL || hasher->ctx == NULL) {
        weir_key_hasher_free(hasher);
        return NULL;
    }
    return hasher;
}

void weir_key_hasher_free(weir_key_hasher_t *hasher)
{
    if (hasher != NULL) {
        EVP_MD_CTX_free(hasher->ctx);
        EVP_MD_free(hasher->md);
        free(hasher);
    }
}

static bool digest(EVP_MD_CTX *ctx, const EVP_MD *md, weir_str_t key,
                   const uint8_t salt[WEIR_KEY_SALT_LEN], uint8_t hash[WEIR_KEY_HASH_LEN])
{
    unsigned int len = 0;

    return EVP_DigestInit_ex(ctx, md, NULL) == 1 &&
           EVP_DigestUpdate(ctx, salt, WEIR_KEY_SALT_LEN) == 1 &&
           EVP_DigestUpdate(ctx, key.data, key.len) == 1 &&
           EVP_DigestFinal_ex(ctx, hash, &len) == 1 && len == WEIR_KEY_HASH_LEN;
}

weir_status_t weir_key_hash_with(weir_key_hasher_t *hasher, weir_str_t key,
                                 const uint8_t salt[WEIR_KEY_SALT_LEN],
                                 uint8_t hash[WEIR_KEY_HASH_LEN])
{
    EVP_MD_CTX *ctx;
    bool good;

    if (hasher != NULL) {
        return digest(hasher->ctx, hasher->md, key, salt, hash) ? WEIR_OK : WEIR_ERR_INTERNAL;
    }
    ctx = EVP_MD_CTX_new();
    good = ctx != NULL && digest(ctx, EVP_sha256(), key, salt, hash);
    EVP_MD_CTX_free(ctx);
    return good ? WEIR_OK : WEIR_ERR_INTERNAL;
}

weir_status_t weir_key_hash(weir_str_t key, const uint8_t salt[WEIR_KEY_SALT_LEN],
                            uint8_t hash[WEIR_KEY_HASH_LEN])
{
    return weir_key_hash_with(NULL, key, salt, hash);
}

bool weir_key_hash_equal(const uint8_t a[WEIR_KEY_HASH_LEN], const uint8_t b[WEIR_KEY_HASH_LEN])
{
    uint64_t different = 0;

    /* All words are looked at, so that time tells nothing; CRYPTO_memcmp() goes by bytes. */
    for (size_t i = 0; i < WEIR_KEY_HASH_LEN; i += sizeof(uint64_t)) {
        uint64_t wa;
        uint64_t wb;
        memcpy(&wa, a + i, sizeof(wa));
        memcpy(&wb, b + i, sizeof(wb));
        different |= wa ^ wb;
        /* The compiler may know nothing of it in between, lest it leaves early. */
        __asm__("" : "+r"(different));
    }
    return different == 0;
}

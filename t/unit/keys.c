#include "policies/keys.h"

#include <ctype.h>

#include "t/support/tap.h"

static void test_generated_keys(void)
{
    char keys[64][WEIR_KEY_LEN + 1];
    uint8_t salt[WEIR_KEY_SALT_LEN];
    uint8_t hash[WEIR_KEY_HASH_LEN];
    uint8_t again[WEIR_KEY_HASH_LEN];
    weir_error_t err;
    weir_str_t id;
    bool form = true;
    bool hashes = true;
    bool differ = true;

    for (int i = 0; i < 64; i++) {
        if (weir_key_generate(keys[i], salt, hash, &err) != WEIR_OK) {
            form = false;
            break;
        }
        weir_str_t key = weir_str(keys[i], strlen(keys[i]));
        form = form && key.len == WEIR_KEY_LEN && weir_key_parse(key, &id) &&
               id.data == keys[i] + 3 && id.len == WEIR_KEY_ID_LEN;
        hashes = hashes && weir_key_hash(key, salt, again) == WEIR_OK &&
                 weir_key_hash_equal(hash, again);
        for (int j = 0; j < i; j++) {
            differ = differ && strcmp(keys[i], keys[j]) != 0 &&
                     memcmp(keys[i] + 3, keys[j] + 3, WEIR_KEY_ID_LEN) != 0;
        }
    }
    ok(form, "generated keys have the documented form");
    ok(hashes, "the stored hash is reproduced from salt and key");
    ok(differ, "64 keys and their ids all differ");
}

static void test_refused_forms(void)
{
    static const char good[] = "wk_0123456789ab_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmno-_";
    char key[WEIR_KEY_LEN + 2];
    weir_str_t id;
    bool all_refused = true;

    ok(weir_key_parse(weir_str(good, WEIR_KEY_LEN), &id), "a well-formed key parses");
    for (size_t i = 0; i < WEIR_KEY_LEN; i++) {
        memcpy(key, good, sizeof(good));
        key[i] = '!';
        all_refused = all_refused && !weir_key_parse(weir_str(key, WEIR_KEY_LEN), &id);
        key[i] = '\0';
        all_refused = all_refused && !weir_key_parse(weir_str(key, WEIR_KEY_LEN), &id);
    }
    ok(all_refused, "one foreign character or NUL at any place is refused");
    ok(!weir_key_parse(weir_str(good, WEIR_KEY_LEN - 1), &id), "a short key is refused");
    ok(!weir_key_parse(weir_str("", 0), &id), "an empty key is refused");
    memcpy(key, good, sizeof(good));
    key[3] = (char)toupper('a');
    ok(!weir_key_parse(weir_str(key, WEIR_KEY_LEN), &id), "capitals in the id are refused");
}

static void test_hash_vector(void)
{
    /* SHA-256 of sixteen zero bytes and "abc", computed with sha256sum. */
    static const uint8_t salt[WEIR_KEY_SALT_LEN];
    static const char want[] = "277e7ff6d232b9763f4a66e8d05d210da32dac9c6dbce1026ad4cc98acb5fefe";
    uint8_t hash[WEIR_KEY_HASH_LEN];
    char hex[2 * WEIR_KEY_HASH_LEN + 1];

    weir_key_hash(WEIR_STR("abc"), salt, hash);
    for (size_t i = 0; i < sizeof(hash); i++) {
        static const char digits[] = "0123456789abcdef";
        hex[2 * i] = digits[hash[i] >> 4];
        hex[2 * i + 1] = digits[hash[i] & 15];
    }
    is_str(hex, sizeof(hex) - 1, want, "the hash is SHA-256 of salt and key");
    hash[31] ^= 1;
    uint8_t other[WEIR_KEY_HASH_LEN];
    weir_key_hash(WEIR_STR("abc"), salt, other);
    ok(!weir_key_hash_equal(hash, other), "one flipped bit is noticed");
}

static void test_hasher(void)
{
    weir_key_hasher_t *hasher = weir_key_hasher_new();
    char key[WEIR_KEY_LEN + 1];
    char again[WEIR_KEY_LEN + 1];
    uint8_t salt[WEIR_KEY_SALT_LEN];
    uint8_t hash[WEIR_KEY_HASH_LEN];
    uint8_t other[WEIR_KEY_HASH_LEN];
    weir_error_t err;
    bool same = hasher != NULL;

    for (int i = 0; i < 10 && same; i++) {
        same = weir_key_generate(key, salt, hash, &err) == WEIR_OK &&
               weir_key_hash_with(hasher, weir_str(key, WEIR_KEY_LEN), salt, other) == WEIR_OK &&
               weir_key_hash_equal(hash, other);
    }
    ok(same, "a hasher that is used again gives the same hashes");
    ok(weir_key_regenerate(key + 3, salt, again, other, &err) == WEIR_OK &&
           memcmp(key, again, 3 + WEIR_KEY_ID_LEN + 1) == 0 && strcmp(key, again) != 0 &&
           !weir_key_hash_equal(hash, other),
       "a new secret keeps the id");
    weir_key_hasher_free(hasher);
    weir_key_hasher_free(NULL);
}

int main(void)
{
    test_hasher();
    test_generated_keys();
    test_refused_forms();
    test_hash_vector();
    return done_testing();
}

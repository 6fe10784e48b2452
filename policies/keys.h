/*
 * API keys: making, parsing, hashing, comparing. A key reads wk_<id>_<secret>: id is 12 characters
 * of [0-9a-z] that index it and may be logged; secret is 43 characters of base64url (256 random
 * bits). Only SHA-256(salt || whole key) is stored: the secret has full entropy, so a slow hash
 * would add cost and no safety.
 */
#ifndef WEIR_POLICIES_KEYS_H
#define WEIR_POLICIES_KEYS_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

#define WEIR_KEY_ID_LEN     12
#define WEIR_KEY_SECRET_LEN 43
#define WEIR_KEY_LEN        (3 + WEIR_KEY_ID_LEN + 1 + WEIR_KEY_SECRET_LEN)
#define WEIR_KEY_SALT_LEN   16
#define WEIR_KEY_HASH_LEN   32

/* Makes a key from the system's random generator. key gets WEIR_KEY_LEN characters and a NUL; salt
 * and hash are what a document stores. Errors: IO when the generator fails. */
weir_status_t weir_key_generate(char key[WEIR_KEY_LEN + 1], uint8_t salt[WEIR_KEY_SALT_LEN],
                                uint8_t hash[WEIR_KEY_HASH_LEN], weir_error_t *err);

/* Checks the form and gives the id as a view into key; false for anything else. */
bool weir_key_parse(weir_str_t key, weir_str_t *id);

/*
 * A digest context made once and used for many keys: making one costs more than the hash. One owner
 * at a time (a worker process, a thread); NULL from new: out of memory or no SHA-256.
 */
typedef struct weir_key_hasher weir_key_hasher_t;

weir_key_hasher_t *weir_key_hasher_new(void);
void weir_key_hasher_free(weir_key_hasher_t *hasher);

/* hash = SHA-256(salt || key); hasher NULL makes one for this call. INTERNAL: the digest failed. */
weir_status_t weir_key_hash_with(weir_key_hasher_t *hasher, weir_str_t key,
                                 const uint8_t salt[WEIR_KEY_SALT_LEN],
                                 uint8_t hash[WEIR_KEY_HASH_LEN]);

/*
 * A new secret for a key that exists: key gets wk_<id>_<new secret>, hash its digest with the key's
 * own salt (both secrets of a key share the salt, so that checking two costs one hash).
 */
weir_status_t weir_key_regenerate(const char id[WEIR_KEY_ID_LEN],
                                  const uint8_t salt[WEIR_KEY_SALT_LEN], char key[WEIR_KEY_LEN + 1],
                                  uint8_t hash[WEIR_KEY_HASH_LEN], weir_error_t *err);

/* hash = SHA-256(salt || key). Errors: INTERNAL when the digest fails. */
weir_status_t weir_key_hash(weir_str_t key, const uint8_t salt[WEIR_KEY_SALT_LEN],
                            uint8_t hash[WEIR_KEY_HASH_LEN]);

/* Constant-time comparison of two hashes. */
bool weir_key_hash_equal(const uint8_t a[WEIR_KEY_HASH_LEN], const uint8_t b[WEIR_KEY_HASH_LEN]);

#endif

/*
 * JSON Web Key Sets (RFC 7517): the public keys of one issuer, read into an immutable set. A key is
 * pinned to exactly one algorithm, by its "alg" or by its type, and verifies nothing else.
 */
#ifndef WEIR_POLICIES_JWKS_H
#define WEIR_POLICIES_JWKS_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

/* The algorithms that exist here (RFC 7518); everything else (none, HS256, ...) is no algorithm.
 * WEIR_JWT_BIT() of one is the bit of the same name in policies/identity.h. */
typedef enum {
    WEIR_JWA_RS256,
    WEIR_JWA_PS256,
    WEIR_JWA_ES256,
    WEIR_JWA_EDDSA, /* Ed25519 only (RFC 8037) */
    WEIR_JWA_ALGORITHMS
} weir_jwt_algorithm_t;

/* The name in "alg", a constant. */
const char *weir_jwt_algorithm_name(weir_jwt_algorithm_t alg);

/* False when the name (case counts) is no algorithm that exists here. */
bool weir_jwt_algorithm_find(weir_str_t name, weir_jwt_algorithm_t *alg);

#define WEIR_JWT_BIT(alg)           (1U << (unsigned)(alg))
#define WEIR_JWT_ALL                ((1U << (unsigned)WEIR_JWA_ALGORITHMS) - 1)
#define WEIR_JWKS_MAX_BYTES         262144 /* longest document */
#define WEIR_JWKS_MAX_KEYS          64     /* most keys in one document, skipped ones included */
#define WEIR_JWKS_MAX_KID           128    /* longest key id */
#define WEIR_JWKS_MIN_MODULUS_BITS  2048
#define WEIR_JWKS_MAX_MODULUS_BITS  8192
#define WEIR_JWKS_MAX_EXPONENT_BITS 64

typedef struct {
    /* Algorithms that keys may be pinned to, WEIR_JWT_BIT()s; 0 means all. */
    unsigned algorithms;
    /* What an RSA key without "alg" is pinned to: WEIR_JWA_RS256 or WEIR_JWA_PS256. */
    weir_jwt_algorithm_t rsa;
} weir_jwks_options_t;

typedef struct weir_jwks_key {
    weir_str_t kid; /* empty: the document gave none */
    weir_jwt_algorithm_t alg;
    void *pkey;             /* an EVP_PKEY of the set */
    uint32_t signature_len; /* bytes that a signature has */
} weir_jwks_key_t;

typedef struct weir_jwks weir_jwks_t;

/*
 * Reads a document. options may be NULL: all algorithms, RSA keys without "alg" are RS256. Skipped
 * and counted, as RFC 7517 part 5 asks: keys of other types, curves or algorithms, keys for
 * encryption ("use", "key_ops"), odd key ids, and every key whose id occurs twice. Errors: INVALID
 * for no JSON object with "keys", for broken or weak key material (RSA below 2048 bits, a point
 * that is not on its curve, non-canonical base64url) and for private keys, which must never be
 * published; LIMIT (bytes, keys); NOT_FOUND when no usable key is left; NOMEM. The set owns its
 * memory, outlives text, is immutable and may be used by any thread; weir_jwks_free() ends it.
 */
weir_status_t weir_jwks_parse(const char *text, size_t len, const weir_jwks_options_t *options,
                              weir_jwks_t **out, weir_error_t *err);

/* The same from a file. IO errors name the path. Blocks. */
weir_status_t weir_jwks_load(const char *path, const weir_jwks_options_t *options,
                             weir_jwks_t **out, weir_error_t *err);

/* NULL is allowed. */
void weir_jwks_free(weir_jwks_t *jwks);

size_t weir_jwks_count(const weir_jwks_t *jwks);
size_t weir_jwks_skipped(const weir_jwks_t *jwks);
const weir_jwks_key_t *weir_jwks_at(const weir_jwks_t *jwks, size_t i);

/*
 * The key with this id, or NULL. An empty kid (the token has none) finds a key only when the set
 * has exactly one. The caller compares the algorithms.
 */
const weir_jwks_key_t *weir_jwks_find(const weir_jwks_t *jwks, weir_str_t kid);

/*
 * Base64url (RFC 4648 part 5) as RFC 7515 wants it: no padding, no white space, no foreign
 * character, unused bits zero. Decodes into out[0..cap); false when the text is anything else or
 * does not fit. cap of in.len / 4 * 3 + 2 always suffices.
 */
bool weir_base64url_decode(weir_str_t in, uint8_t *out, size_t cap, size_t *len);

#endif

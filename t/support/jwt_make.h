/* Keys, key sets and tokens for tests, made at run time: whatever a test wants, valid or not. */
#ifndef WEIR_T_JWT_MAKE_H
#define WEIR_T_JWT_MAKE_H

#include "engine/base/arena.h"

typedef enum { MAKE_RSA, MAKE_RSA_SMALL, MAKE_P256, MAKE_P384, MAKE_ED25519 } make_key_t;

/* SIGN_PSS_UNSALTED: a salt of no bytes, which RFC 7518 does not allow. */
typedef enum { SIGN_PKCS1, SIGN_PSS, SIGN_PSS_UNSALTED, SIGN_ECDSA, SIGN_ED25519 } make_sign_t;

/* A fresh EVP_PKEY, or NULL. */
void *jwt_make_key(make_key_t kind);
void jwt_free_key(void *pkey);

/* The public key as one JWK; more (may be "") is put in front of its members: "\"kid\":\"a\",". */
weir_str_t jwt_make_jwk(weir_arena_t *arena, void *pkey, make_key_t kind, const char *more);

weir_str_t jwt_base64url(weir_arena_t *arena, const void *data, size_t len);

/* header.claims.signature by the key; texts go in as they are. */
weir_str_t jwt_make(weir_arena_t *arena, const char *header, const char *claims, void *pkey,
                    make_sign_t how);

/* The same with HMAC-SHA-256 over a secret. */
weir_str_t jwt_make_hmac(weir_arena_t *arena, const char *header, const char *claims,
                         weir_str_t secret);

/* The same with a signature of the caller's. */
weir_str_t jwt_make_with(weir_arena_t *arena, const char *header, const char *claims,
                         const void *signature, size_t len);

#endif

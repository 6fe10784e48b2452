/* Between jwt.c and jwt_claims.c; nobody else includes it. */
#ifndef WEIR_POLICIES_JWT_CLAIMS_H
#define WEIR_POLICIES_JWT_CLAIMS_H

#include "policies/jwt.h"

/* Fills *err with a message for the sender and the verdict's name as code; returns the verdict. */
weir_jwt_verdict_t weir_jwt_say(weir_error_t *err, weir_jwt_verdict_t verdict, const char *message);

/* WEIR_JWT_OK, BAD_SIGNATURE or ERROR. The key's algorithm is used, not the token's. */
weir_jwt_verdict_t weir_jwt_check_signature(const weir_jwt_t *jwt, const weir_jwks_key_t *key,
                                            weir_error_t *err);

#endif

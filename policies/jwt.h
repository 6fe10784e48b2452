/*
 * JSON Web Tokens (RFC 7519) in the compact serialization of signed tokens (RFC 7515), checked as
 * RFC 8725 (best current practices) asks: the key decides the algorithm, never the token.
 *
 *     weir_jwt_parse()   takes the token apart; nothing in it is believed
 *     (the caller picks rules and keys by the unverified issuer)
 *     weir_jwt_verify()  signature, then claims
 *
 * Nothing of a token may be used for a decision before weir_jwt_verify() has said WEIR_JWT_OK.
 */
#ifndef WEIR_POLICIES_JWT_H
#define WEIR_POLICIES_JWT_H

#include "policies/jwks.h"

#include "engine/base/json.h"

#define WEIR_JWT_MAX_BYTES  16384 /* longest token */
#define WEIR_JWT_MAX_HEADER 2048  /* longest header, decoded */
#define WEIR_JWT_MAX_CLAIM  256   /* longest text that weir_jwt_claim() gives */

typedef enum {
    WEIR_JWT_OK,
    WEIR_JWT_MALFORMED,     /* no compact JWS, bad base64url or JSON, forbidden header, too long */
    WEIR_JWT_ALGORITHM,     /* an algorithm that does not exist here or is not the key's */
    WEIR_JWT_UNKNOWN_KEY,   /* no key of that id: new keys may help */
    WEIR_JWT_BAD_SIGNATURE, /* everything below is said of correctly signed tokens only */
    WEIR_JWT_WRONG_TYPE,
    WEIR_JWT_MISSING_CLAIM, /* exp, iss or aud is missing or of a wrong type or size */
    WEIR_JWT_WRONG_ISSUER,
    WEIR_JWT_WRONG_AUDIENCE,
    WEIR_JWT_EXPIRED,
    WEIR_JWT_NOT_YET, /* nbf or iat is in the future */
    WEIR_JWT_TOO_LONG_LIVED,
    WEIR_JWT_ERROR /* out of memory or a failure in OpenSSL: answer 500, never let through */
} weir_jwt_verdict_t;

/* A constant snake_case name: "ok", "malformed", "expired", ... */
const char *weir_jwt_verdict_name(weir_jwt_verdict_t verdict);

/* A token taken apart. Views point into the token or the arena. Nothing here is verified. */
typedef struct {
    weir_jwt_algorithm_t alg;
    weir_str_t kid;    /* empty: none */
    weir_str_t type;   /* "typ"; empty: none */
    weir_str_t issuer; /* "iss"; empty: none or no string */
    weir_str_t signing_input;
    const uint8_t *signature;
    size_t signature_len;
    weir_json_doc_t claims;
} weir_jwt_t;

/* What a token must have. */
typedef struct {
    weir_str_t issuer;           /* exact; required */
    const weir_str_t *audiences; /* one of them must be in "aud"; required, at least one */
    size_t n_audiences;
    weir_str_t type;      /* "typ", where ASCII case and a leading "application/" do not count;
                             empty: "JWT", "at+jwt" and no "typ" are accepted */
    unsigned algorithms;  /* WEIR_JWT_BIT()s; 0: all */
    int64_t leeway;       /* seconds of difference between clocks, for exp, nbf and iat */
    int64_t max_lifetime; /* most seconds from iat (without one: from now) to exp; 0: no limit */
} weir_jwt_rules_t;

/*
 * True when the text has the form of a compact JWS: three parts of base64url with dots between, the
 * first beginning as '{"' does. Anything else is an API key or nonsense. Reads the text once.
 */
bool weir_jwt_has_form(weir_str_t token);

/*
 * Takes the token apart: WEIR_JWT_OK, MALFORMED, ALGORITHM or ERROR, with the reason in *err (never
 * the token's text). token must outlive *jwt. Refused: the headers jwk, jku, x5u, x5c, crit, b64,
 * zip, epk and enc, an odd kid, and any member that occurs twice.
 */
weir_jwt_verdict_t weir_jwt_parse(weir_str_t token, weir_arena_t *arena, weir_jwt_t *jwt,
                                  weir_error_t *err);

/*
 * Verifies signature and claims; now is Unix seconds. *claims is set only with WEIR_JWT_OK. err
 * gets a message that may be shown to the one who sent the token. keys may be NULL: UNKNOWN_KEY.
 */
weir_jwt_verdict_t weir_jwt_verify(const weir_jwt_t *jwt, const weir_jwks_t *keys,
                                   const weir_jwt_rules_t *rules, int64_t now, weir_arena_t *arena,
                                   int64_t *expires, weir_error_t *err);

/*
 * A claim's value number i: true and *value for a string (i 0), for string i of an array, and for
 * word i of "scope" and "scp" (RFC 8693 part 4.2). path is a member's name, looked up whole first,
 * then as names with dots between ("realm_access.roles"). False when there is none, or when it is
 * empty, longer than WEIR_JWT_MAX_CLAIM, or has control characters. Only for verified tokens.
 */
bool weir_jwt_claim(const weir_jwt_t *jwt, weir_arena_t *arena, weir_str_t path, size_t i,
                    weir_str_t *value);

#endif

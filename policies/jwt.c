/* Tokens taken apart, and their signatures. What they claim is checked in jwt_claims.c. */
#include "policies/jwt.h"
#include "policies/jwt_claims.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#define MAX_HEADER_NODES  64
#define MAX_SIGNATURE     (WEIR_JWKS_MAX_MODULUS_BITS / 8)
#define P256_BYTES        32
#define MAX_P256_DER      72
#define MAX_CLAIM_MEMBERS 128
#define MAX_CLAIM_DEPTH   8
#define MAX_TYPE          64

const char *weir_jwt_verdict_name(weir_jwt_verdict_t verdict)
{
    static const char *const names[] = {
        [WEIR_JWT_OK] = "ok",
        [WEIR_JWT_MALFORMED] = "malformed",
        [WEIR_JWT_ALGORITHM] = "algorithm",
        [WEIR_JWT_UNKNOWN_KEY] = "unknown_key",
        [WEIR_JWT_BAD_SIGNATURE] = "bad_signature",
        [WEIR_JWT_WRONG_TYPE] = "wrong_type",
        [WEIR_JWT_MISSING_CLAIM] = "missing_claim",
        [WEIR_JWT_WRONG_ISSUER] = "wrong_issuer",
        [WEIR_JWT_WRONG_AUDIENCE] = "wrong_audience",
        [WEIR_JWT_EXPIRED] = "expired",
        [WEIR_JWT_NOT_YET] = "not_yet",
        [WEIR_JWT_TOO_LONG_LIVED] = "too_long_lived",
        [WEIR_JWT_ERROR] = "error",
    };
    return (unsigned)verdict < sizeof(names) / sizeof(names[0]) ? names[verdict] : "error";
}

weir_jwt_verdict_t weir_jwt_say(weir_error_t *err, weir_jwt_verdict_t verdict, const char *message)
{
    weir_status_t status = verdict == WEIR_JWT_ERROR ? WEIR_ERR_INTERNAL : WEIR_ERR_INVALID;
    (void)weir_error_at(err, status, NULL, weir_jwt_verdict_name(verdict), "%s", message);
    return verdict;
}

static bool is_base64url(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

bool weir_jwt_has_form(weir_str_t token)
{
    unsigned dots = 0;

    /* {" and {<white space>" begin so; an API key begins otherwise. */
    if (token.len < 8 || token.data[0] != 'e') {
        return false;
    }
    for (size_t i = 0; i < token.len; i++) {
        if (token.data[i] == '.') {
            dots++;
        } else if (!is_base64url((unsigned char)token.data[i])) {
            return false;
        }
    }
    return dots == 2;
}

/* The three parts; false when there are not exactly two dots. */
static bool split(weir_str_t token, weir_str_t part[3])
{
    const char *end = token.data + token.len;
    const char *first = memchr(token.data, '.', token.len);
    if (first == NULL) {
        return false;
    }
    const char *second = memchr(first + 1, '.', (size_t)(end - first - 1));
    if (second == NULL || memchr(second + 1, '.', (size_t)(end - second - 1)) != NULL) {
        return false;
    }
    part[0] = weir_str(token.data, (size_t)(first - token.data));
    part[1] = weir_str(first + 1, (size_t)(second - first - 1));
    part[2] = weir_str(second + 1, (size_t)(end - second - 1));
    return part[0].len > 0 && part[1].len > 0;
}

/* Decodes one part into the arena. */
static weir_jwt_verdict_t decode(weir_str_t part, weir_arena_t *arena, weir_str_t *out,
                                 weir_error_t *err)
{
    size_t cap = part.len / 4 * 3 + 2;
    size_t len;
    uint8_t *bytes = weir_arena_alloc(arena, cap);

    if (bytes == NULL) {
        return weir_jwt_say(err, WEIR_JWT_ERROR, "out of memory for a token");
    }
    if (!weir_base64url_decode(part, bytes, cap, &len)) {
        return weir_jwt_say(err, WEIR_JWT_MALFORMED, "The token is no proper base64url.");
    }
    *out = weir_str((const char *)bytes, len);
    return WEIR_JWT_OK;
}

/* Headers that bring their own key, change what is signed, or belong to encrypted tokens. */
static bool forbidden_header(const weir_json_doc_t *doc)
{
    static const char *const names[] = {"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "epk",
                                        "enc", "apu", "apv", "p2s", "p2c",  "iv",  "tag"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (weir_json_get(doc, 0, names[i]) != WEIR_JSON_NONE) {
            return true;
        }
    }
    return false;
}

/* A header's string member of printable ASCII; empty when there is none; false when it is odd. */
static bool header_string(const weir_json_doc_t *doc, const char *name, size_t max,
                          weir_arena_t *arena, weir_str_t *out)
{
    uint32_t node = weir_json_get(doc, 0, name);

    *out = weir_str("", 0);
    if (node == WEIR_JSON_NONE) {
        return true;
    }
    if (weir_json_string(doc, node, arena, out) != WEIR_OK || out->len == 0 || out->len > max) {
        return false;
    }
    for (size_t i = 0; i < out->len; i++) {
        if (out->data[i] <= ' ' || out->data[i] > '~') {
            return false;
        }
    }
    return true;
}

static weir_jwt_verdict_t read_header(weir_str_t text, weir_arena_t *arena, weir_jwt_t *jwt,
                                      weir_error_t *err)
{
    static const weir_json_limits_t limits = {
        .max_depth = 4, .max_bytes = WEIR_JWT_MAX_HEADER, .max_members = 32};
    weir_json_node_t nodes[MAX_HEADER_NODES];
    weir_json_doc_t doc;
    weir_str_t alg;

    if (weir_json_scan(text.data, text.len, &limits, nodes, MAX_HEADER_NODES, &doc, NULL) !=
            WEIR_OK ||
        weir_json_type(&doc, 0) != WEIR_JSON_OBJECT) {
        return weir_jwt_say(err, WEIR_JWT_MALFORMED,
                            "The token's header is no proper JSON object.");
    }
    if (forbidden_header(&doc)) {
        return weir_jwt_say(err, WEIR_JWT_MALFORMED,
                            "The token's header has a member that is not accepted here (jwk, jku, "
                            "x5u, x5c, crit, b64 or a member of encrypted tokens).");
    }
    if (!header_string(&doc, "alg", 16, arena, &alg) || alg.len == 0 ||
        !header_string(&doc, "kid", WEIR_JWKS_MAX_KID, arena, &jwt->kid) ||
        !header_string(&doc, "typ", MAX_TYPE, arena, &jwt->type)) {
        return weir_jwt_say(err, WEIR_JWT_MALFORMED,
                            "The token's header has no proper alg, kid or typ.");
    }
    if (!weir_jwt_algorithm_find(alg, &jwt->alg)) {
        return weir_jwt_say(err, WEIR_JWT_ALGORITHM,
                            "The token is signed by an algorithm that is not accepted here; "
                            "RS256, PS256, ES256 and EdDSA are.");
    }
    return WEIR_JWT_OK;
}

static weir_jwt_verdict_t read_claims(weir_str_t text, weir_arena_t *arena, weir_jwt_t *jwt,
                                      weir_error_t *err)
{
    static const weir_json_limits_t limits = {.max_depth = MAX_CLAIM_DEPTH,
                                              .max_bytes = WEIR_JWT_MAX_BYTES,
                                              .max_members = MAX_CLAIM_MEMBERS};

    weir_status_t rc = weir_json_parse(text.data, text.len, &limits, arena, &jwt->claims, NULL);
    if (rc == WEIR_ERR_NOMEM) {
        return weir_jwt_say(err, WEIR_JWT_ERROR, "out of memory for a token");
    }
    if (rc != WEIR_OK || weir_json_type(&jwt->claims, 0) != WEIR_JSON_OBJECT) {
        return weir_jwt_say(err, WEIR_JWT_MALFORMED,
                            "The token's claims are no proper JSON object.");
    }
    uint32_t iss = weir_json_get(&jwt->claims, 0, "iss");
    if (iss == WEIR_JSON_NONE ||
        weir_json_string(&jwt->claims, iss, arena, &jwt->issuer) != WEIR_OK) {
        jwt->issuer = weir_str("", 0);
    }
    return WEIR_JWT_OK;
}

weir_jwt_verdict_t weir_jwt_parse(weir_str_t token, weir_arena_t *arena, weir_jwt_t *jwt,
                                  weir_error_t *err)
{
    weir_str_t part[3];
    weir_str_t header;
    weir_str_t claims;
    weir_str_t signature;

    memset(jwt, 0, sizeof(*jwt));
    if (token.len > WEIR_JWT_MAX_BYTES) {
        return weir_jwt_say(err, WEIR_JWT_MALFORMED, "The token is longer than 16384 bytes.");
    }
    if (!split(token, part)) {
        return weir_jwt_say(err, WEIR_JWT_MALFORMED,
                            "The token is no signed token of three parts (compact JWS).");
    }
    if (part[2].len == 0) {
        return weir_jwt_say(err, WEIR_JWT_MALFORMED, "The token has no signature.");
    }
    if (part[0].len > WEIR_JWT_MAX_HEADER * 4 / 3 || part[2].len > MAX_SIGNATURE * 4 / 3 + 2) {
        return weir_jwt_say(err, WEIR_JWT_MALFORMED,
                            "The token's header or signature is too long.");
    }
    weir_jwt_verdict_t verdict = decode(part[0], arena, &header, err);
    if (verdict == WEIR_JWT_OK) {
        verdict = decode(part[1], arena, &claims, err);
    }
    if (verdict == WEIR_JWT_OK) {
        verdict = decode(part[2], arena, &signature, err);
    }
    if (verdict == WEIR_JWT_OK) {
        verdict = read_header(header, arena, jwt, err);
    }
    if (verdict == WEIR_JWT_OK) {
        verdict = read_claims(claims, arena, jwt, err);
    }
    if (verdict != WEIR_JWT_OK) {
        return verdict;
    }
    jwt->signature = (const uint8_t *)signature.data;
    jwt->signature_len = signature.len;
    jwt->signing_input = weir_str(token.data, part[0].len + 1 + part[1].len);
    return WEIR_JWT_OK;
}

/*
 * A raw ECDSA signature, r then s of 32 bytes each (RFC 7518 part 3.4), as DER. Zero values verify
 * for every text in broken implementations (CVE-2022-21449), so they end here. Returns the length,
 * or 0.
 */
static size_t p256_to_der(const uint8_t raw[2 * P256_BYTES], uint8_t der[MAX_P256_DER])
{
    size_t len = 0;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, P256_BYTES, NULL);
    BIGNUM *s = BN_bin2bn(raw + P256_BYTES, P256_BYTES, NULL);

    if (sig != NULL && r != NULL && s != NULL && !BN_is_zero(r) && !BN_is_zero(s) &&
        ECDSA_SIG_set0(sig, r, s) == 1) {
        /* the signature owns them now */
        r = NULL;
        s = NULL;
        if (i2d_ECDSA_SIG(sig, NULL) <= MAX_P256_DER) {
            unsigned char *p = der;
            int n = i2d_ECDSA_SIG(sig, &p);
            len = n > 0 ? (size_t)n : 0;
        }
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return len;
}

static bool digest_verify(const weir_jwt_t *jwt, const weir_jwks_key_t *key, EVP_MD_CTX *ctx,
                          const uint8_t *signature, size_t len)
{
    EVP_PKEY_CTX *pctx = NULL; /* belongs to ctx */
    const EVP_MD *md = key->alg == WEIR_JWA_EDDSA ? NULL : EVP_sha256();

    if (EVP_DigestVerifyInit(ctx, &pctx, md, NULL, key->pkey) != 1) {
        return false;
    }
    if (key->alg == WEIR_JWA_RS256 && EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PADDING) != 1) {
        return false;
    }
    /* RFC 7518 part 3.5: the salt is as long as the hash. */
    if (key->alg == WEIR_JWA_PS256 &&
        (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) != 1 ||
         EVP_PKEY_CTX_set_rsa_mgf1_md(pctx, EVP_sha256()) != 1 ||
         EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) != 1)) {
        return false;
    }
    return EVP_DigestVerify(ctx, signature, len, (const unsigned char *)jwt->signing_input.data,
                            jwt->signing_input.len) == 1;
}

weir_jwt_verdict_t weir_jwt_check_signature(const weir_jwt_t *jwt, const weir_jwks_key_t *key,
                                            weir_error_t *err)
{
    uint8_t der[MAX_P256_DER];
    const uint8_t *signature = jwt->signature;
    size_t len = jwt->signature_len;
    bool good = false;

    if (len == key->signature_len) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        if (ctx == NULL) {
            return weir_jwt_say(err, WEIR_JWT_ERROR, "out of memory for a signature");
        }
        if (key->alg == WEIR_JWA_ES256) {
            len = p256_to_der(signature, der);
            signature = der;
        }
        good = len > 0 && digest_verify(jwt, key, ctx, signature, len);
        EVP_MD_CTX_free(ctx);
        /* What OpenSSL leaves in its queue would be taken for an error of the next TLS call. */
        ERR_clear_error();
    }
    return good ? WEIR_JWT_OK
                : weir_jwt_say(err, WEIR_JWT_BAD_SIGNATURE, "The token's signature is wrong.");
}

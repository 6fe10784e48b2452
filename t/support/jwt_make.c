#include "t/support/jwt_make.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#define MAX_BYTES 1024

void *jwt_make_key(make_key_t kind)
{
    switch (kind) {
    case MAKE_RSA:
        return EVP_RSA_gen(2048);
    case MAKE_RSA_SMALL:
        return EVP_RSA_gen(1024);
    case MAKE_P256:
        return EVP_EC_gen("P-256");
    case MAKE_P384:
        return EVP_EC_gen("P-384");
    default:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
}

void jwt_free_key(void *pkey)
{
    EVP_PKEY_free(pkey);
}

weir_str_t jwt_base64url(weir_arena_t *arena, const void *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *p = data;
    weir_buf_t out;
    uint32_t bits = 0;
    unsigned n = 0;

    weir_buf_init(&out, arena);
    for (size_t i = 0; i < len; i++) {
        bits = (bits << 8 | p[i]) & 0xffff;
        for (n += 8; n >= 6; n -= 6) {
            weir_buf_append_char(&out, digits[bits >> (n - 6) & 63]);
        }
    }
    if (n > 0) {
        weir_buf_append_char(&out, digits[bits << (6 - n) & 63]);
    }
    return weir_str(out.data, out.len);
}

static void append_number(weir_buf_t *out, const char *name, void *pkey, const char *param,
                          int width)
{
    uint8_t bytes[MAX_BYTES];
    BIGNUM *n = NULL;

    if (EVP_PKEY_get_bn_param(pkey, param, &n) == 1) {
        int len = width > 0 ? width : BN_num_bytes(n);
        if (BN_bn2binpad(n, bytes, len) == len) {
            weir_str_t text = jwt_base64url(out->arena, bytes, (size_t)len);
            weir_buf_printf(out, ",\"%s\":\"%.*s\"", name, (int)text.len, text.data);
        }
    }
    BN_free(n);
}

weir_str_t jwt_make_jwk(weir_arena_t *arena, void *pkey, make_key_t kind, const char *more)
{
    static const char *const types[] = {"\"RSA\"", "\"RSA\"", "\"EC\",\"crv\":\"P-256\"",
                                        "\"EC\",\"crv\":\"P-384\"", "\"OKP\",\"crv\":\"Ed25519\""};
    weir_buf_t out;

    weir_buf_init(&out, arena);
    weir_buf_printf(&out, "{%s\"kty\":%s", more, types[kind]);
    if (kind == MAKE_RSA || kind == MAKE_RSA_SMALL) {
        append_number(&out, "n", pkey, OSSL_PKEY_PARAM_RSA_N, 0);
        append_number(&out, "e", pkey, OSSL_PKEY_PARAM_RSA_E, 0);
    } else if (kind == MAKE_P256 || kind == MAKE_P384) {
        append_number(&out, "x", pkey, OSSL_PKEY_PARAM_EC_PUB_X, kind == MAKE_P256 ? 32 : 48);
        append_number(&out, "y", pkey, OSSL_PKEY_PARAM_EC_PUB_Y, kind == MAKE_P256 ? 32 : 48);
    } else {
        uint8_t raw[32];
        size_t len = sizeof(raw);
        if (EVP_PKEY_get_raw_public_key(pkey, raw, &len) == 1) {
            weir_str_t text = jwt_base64url(arena, raw, len);
            weir_buf_printf(&out, ",\"x\":\"%.*s\"", (int)text.len, text.data);
        }
    }
    weir_buf_append_char(&out, '}');
    return weir_str(out.data, out.len);
}

static weir_str_t signing_input(weir_arena_t *arena, const char *header, const char *claims)
{
    weir_str_t h = jwt_base64url(arena, header, strlen(header));
    weir_str_t c = jwt_base64url(arena, claims, strlen(claims));
    weir_buf_t out;

    weir_buf_init(&out, arena);
    weir_buf_append_str(&out, h);
    weir_buf_append_char(&out, '.');
    weir_buf_append_str(&out, c);
    return weir_str(out.data, out.len);
}

weir_str_t jwt_make_with(weir_arena_t *arena, const char *header, const char *claims,
                         const void *signature, size_t len)
{
    weir_str_t input = signing_input(arena, header, claims);
    weir_str_t tail = jwt_base64url(arena, signature, len);
    weir_buf_t out;

    weir_buf_init(&out, arena);
    weir_buf_append_str(&out, input);
    weir_buf_append_char(&out, '.');
    weir_buf_append_str(&out, tail);
    return weir_str(out.data, out.len);
}

weir_str_t jwt_make_hmac(weir_arena_t *arena, const char *header, const char *claims,
                         weir_str_t secret)
{
    weir_str_t input = signing_input(arena, header, claims);
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    (void)HMAC(EVP_sha256(), secret.data, (int)secret.len, (const uint8_t *)input.data, input.len,
               mac, &len);
    return jwt_make_with(arena, header, claims, mac, len);
}

/* DER to r then s, 32 bytes each. */
static size_t raw_ecdsa(uint8_t *signature, size_t len)
{
    const unsigned char *p = signature;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)len);
    const BIGNUM *r = ECDSA_SIG_get0_r(sig);
    const BIGNUM *s = ECDSA_SIG_get0_s(sig);

    (void)BN_bn2binpad(r, signature, 32);
    (void)BN_bn2binpad(s, signature + 32, 32);
    ECDSA_SIG_free(sig);
    return 64;
}

weir_str_t jwt_make(weir_arena_t *arena, const char *header, const char *claims, void *pkey,
                    make_sign_t how)
{
    weir_str_t input = signing_input(arena, header, claims);
    uint8_t signature[MAX_BYTES];
    size_t len = sizeof(signature);
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    bool pss = how == SIGN_PSS || how == SIGN_PSS_UNSALTED;
    int salt = how == SIGN_PSS ? RSA_PSS_SALTLEN_DIGEST : 0;

    if (EVP_DigestSignInit(ctx, &pctx, how == SIGN_ED25519 ? NULL : EVP_sha256(), NULL, pkey) !=
            1 ||
        (pss && (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) != 1 ||
                 EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salt) != 1)) ||
        EVP_DigestSign(ctx, signature, &len, (const uint8_t *)input.data, input.len) != 1) {
        len = 0;
    } else if (how == SIGN_ECDSA && EVP_PKEY_get_bits(pkey) == 256) {
        len = raw_ecdsa(signature, len);
    }
    EVP_MD_CTX_free(ctx);
    return jwt_make_with(arena, header, claims, signature, len);
}

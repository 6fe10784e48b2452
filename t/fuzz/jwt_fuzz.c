/* Nothing that is fed here may verify: the key set's owner is not asked. The first byte says
 * whether the rest is a token, a key set, or the JSON of a header and of claims. */
#include <stdlib.h>

#include "policies/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A public key of RFC 8037, appendix A.2. */
static const char key_set[] = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\",\"x\":"
                              "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

static void append_base64url(weir_buf_t *out, const uint8_t *p, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    unsigned n = 0;

    for (size_t i = 0; i < len; i++) {
        bits = (bits << 8 | p[i]) & 0xffff;
        for (n += 8; n >= 6; n -= 6) {
            weir_buf_append_char(out, digits[bits >> (n - 6) & 63]);
        }
    }
    if (n > 0) {
        weir_buf_append_char(out, digits[bits << (6 - n) & 63]);
    }
}

static void verify(weir_str_t token, const weir_jwks_t *keys, weir_arena_t *arena)
{
    static const weir_str_t audience = {"weir", 4};
    static const weir_str_t paths[] = {{"sub", 3}, {"a.b", 3}, {"scope", 5}, {"", 0}};
    weir_jwt_rules_t rules = {
        .issuer = WEIR_STR("https://login.example/"), .audiences = &audience, .n_audiences = 1};
    weir_error_t err = {0};
    weir_jwt_t jwt;
    int64_t expires = 0;

    (void)weir_jwt_has_form(token);
    if (weir_jwt_parse(token, arena, &jwt, &err) != WEIR_JWT_OK) {
        if (err.message[0] == '\0') {
            abort();
        }
        return;
    }
    if (weir_jwt_verify(&jwt, keys, &rules, 1800000000, arena, &expires, &err) == WEIR_JWT_OK) {
        abort();
    }
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        weir_str_t value;
        for (size_t k = 0; k < 3; k++) {
            if (weir_jwt_claim(&jwt, arena, paths[i], k, &value) &&
                (value.len == 0 || value.len > WEIR_JWT_MAX_CLAIM)) {
                abort();
            }
        }
    }
}

/* Header and claims, with a zero byte between, are put into a token. */
static void wrap(const uint8_t *data, size_t size, const weir_jwks_t *keys, weir_arena_t *arena)
{
    static const uint8_t signature[64] = {1};
    const uint8_t *zero = size == 0 ? NULL : memchr(data, 0, size);
    size_t header = zero == NULL ? size : (size_t)(zero - data);
    weir_buf_t token;

    weir_buf_init(&token, arena);
    append_base64url(&token, data, header);
    weir_buf_append_char(&token, '.');
    if (zero != NULL) {
        append_base64url(&token, zero + 1, size - header - 1);
    }
    weir_buf_append_char(&token, '.');
    append_base64url(&token, signature, sizeof(signature));
    verify(weir_str(token.data, token.len), keys, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    weir_arena_t arena;
    weir_jwks_t *keys = NULL;
    weir_error_t err = {0};

    if (size == 0) {
        return 0;
    }
    weir_arena_init(&arena, 0, (size_t)64 << 20);
    if (data[0] % 3 == 1) {
        weir_status_t rc = weir_jwks_parse((const char *)data + 1, size - 1, NULL, &keys, &err);
        if ((rc == WEIR_OK) != (keys != NULL) || (rc != WEIR_OK && err.message[0] == '\0')) {
            abort();
        }
    } else if (weir_jwks_parse(key_set, sizeof(key_set) - 1, NULL, &keys, &err) != WEIR_OK) {
        abort();
    } else if (data[0] % 3 == 0) {
        verify(weir_str((const char *)data + 1, size - 1), keys, &arena);
    } else {
        wrap(data + 1, size - 1, keys, &arena);
    }
    weir_jwks_free(keys);
    weir_arena_free(&arena);
    return 0;
}

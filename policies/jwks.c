#include "policies/jwks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "engine/base/json.h"

#define P256_BYTES      32
#define ED25519_BYTES   32
#define MAX_ARENA_BYTES ((size_t)16 << 20)

struct weir_jwks {
    weir_arena_t arena;
    weir_jwks_key_t *keys;
    size_t n_keys;
    size_t n_skipped;
};

/* What is needed while one document is read. */
typedef struct {
    const weir_json_doc_t *doc;
    weir_jwks_t *jwks;
    unsigned algorithms;
    weir_jwt_algorithm_t rsa;
    weir_error_t *err;
} reader_t;

static const char *const algorithm_names[WEIR_JWA_ALGORITHMS] = {
    [WEIR_JWA_RS256] = "RS256",
    [WEIR_JWA_PS256] = "PS256",
    [WEIR_JWA_ES256] = "ES256",
    [WEIR_JWA_EDDSA] = "EdDSA",
};

const char *weir_jwt_algorithm_name(weir_jwt_algorithm_t alg)
{
    return (unsigned)alg < WEIR_JWA_ALGORITHMS ? algorithm_names[alg] : "unknown";
}

bool weir_jwt_algorithm_find(weir_str_t name, weir_jwt_algorithm_t *alg)
{
    for (unsigned i = 0; i < WEIR_JWA_ALGORITHMS; i++) {
        if (weir_str_is(name, algorithm_names[i])) {
            *alg = (weir_jwt_algorithm_t)i;
            return true;
        }
    }
    return false;
}

static weir_status_t bad_key(reader_t *r, uint32_t index, const char *what)
{
    char field[32];
    (void)snprintf(field, sizeof(field), "keys[%u]", index);
    ERR_clear_error();
    return weir_error_at(r->err, WEIR_ERR_INVALID, field, "bad_jwks", "the key set's keys[%u] %s",
                         index, what);
}

/* The bytes of a base64url member, in the arena. *len is 0 when the member is missing or bad. */
static weir_status_t member_bytes(reader_t *r, uint32_t key, const char *name, uint8_t **out,
                                  size_t *len)
{
    uint32_t node = weir_json_get(r->doc, key, name);
    weir_str_t text;

    *len = 0;
    if (node == WEIR_JSON_NONE || weir_json_type(r->doc, node) != WEIR_JSON_STRING) {
        return WEIR_OK;
    }
    weir_status_t rc = weir_json_string(r->doc, node, &r->jwks->arena, &text);
    if (rc != WEIR_OK) {
        return weir_error(r->err, rc, "out of memory for a key set");
    }
    size_t cap = text.len / 4 * 3 + 2;
    *out = weir_arena_alloc(&r->jwks->arena, cap);
    if (*out == NULL) {
        return weir_error(r->err, WEIR_ERR_NOMEM, "out of memory for a key set");
    }
    if (!weir_base64url_decode(text, *out, cap, len)) {
        *len = 0;
    }
    return WEIR_OK;
}

static EVP_PKEY *pkey_from(const char *type, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *pkey = NULL;

    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return pkey;
}

static EVP_PKEY *rsa_pkey(const BIGNUM *n, const BIGNUM *e)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey = NULL;

    if (build != NULL && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1) {
        pkey = pkey_from("RSA", build);
    }
    OSSL_PARAM_BLD_free(build);
    return pkey;
}

/* Returns what is wrong with the numbers, or NULL. */
static const char *rsa_fault(const BIGNUM *n, const BIGNUM *e)
{
    int bits = BN_num_bits(n);

    if (bits < WEIR_JWKS_MIN_MODULUS_BITS) {
        return "is an RSA key of less than 2048 bits: ask the issuer for a stronger one";
    }
    if (bits > WEIR_JWKS_MAX_MODULUS_BITS) {
        return "is an RSA key of more than 8192 bits";
    }
    if (!BN_is_odd(n) || !BN_is_odd(e) || BN_is_one(e) ||
        BN_num_bits(e) > WEIR_JWKS_MAX_EXPONENT_BITS) {
        return "has an RSA modulus or exponent that no key can have";
    }
    return NULL;
}

static weir_status_t read_rsa(reader_t *r, uint32_t node, uint32_t index, weir_jwks_key_t *key)
{
    uint8_t *n_bytes = NULL;
    uint8_t *e_bytes = NULL;
    size_t n_len;
    size_t e_len;

    weir_status_t rc = member_bytes(r, node, "n", &n_bytes, &n_len);
    if (rc == WEIR_OK) {
        rc = member_bytes(r, node, "e", &e_bytes, &e_len);
    }
    if (rc != WEIR_OK) {
        return rc;
    }
    if (n_len == 0 || e_len == 0 || n_len > WEIR_JWKS_MAX_MODULUS_BITS / 8 + 1) {
        return bad_key(r, index, "has no proper base64url in \"n\" or \"e\"");
    }

    BIGNUM *n = BN_bin2bn(n_bytes, (int)n_len, NULL);
    BIGNUM *e = BN_bin2bn(e_bytes, (int)e_len, NULL);
    const char *fault = NULL;

    if (n == NULL || e == NULL) {
        rc = weir_error(r->err, WEIR_ERR_NOMEM, "out of memory for a key set");
    } else if ((fault = rsa_fault(n, e)) != NULL) {
        rc = bad_key(r, index, fault);
    } else if ((key->pkey = rsa_pkey(n, e)) == NULL) {
        rc = bad_key(r, index, "is refused as an RSA key by OpenSSL");
    } else {
        key->signature_len = (uint32_t)BN_num_bytes(n);
    }
    BN_free(n);
    BN_free(e);
    return rc;
}

/* Point decoding and the public check see to it that the point lies on the curve. */
static EVP_PKEY *p256_pkey(const uint8_t point[1 + 2 * P256_BYTES])
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey = NULL;

    if (build != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point,
                                         1 + 2 * P256_BYTES) == 1) {
        pkey = pkey_from("EC", build);
    }
    OSSL_PARAM_BLD_free(build);
    if (pkey != NULL) {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
        if (ctx == NULL || EVP_PKEY_public_check(ctx) != 1) {
            EVP_PKEY_free(pkey);
            pkey = NULL;
        }
        EVP_PKEY_CTX_free(ctx);
    }
    return pkey;
}

static weir_status_t read_p256(reader_t *r, uint32_t node, uint32_t index, weir_jwks_key_t *key)
{
    uint8_t point[1 + 2 * P256_BYTES];
    uint8_t *x = NULL;
    uint8_t *y = NULL;
    size_t x_len;
    size_t y_len;

    weir_status_t rc = member_bytes(r, node, "x", &x, &x_len);
    if (rc == WEIR_OK) {
        rc = member_bytes(r, node, "y", &y, &y_len);
    }
    if (rc != WEIR_OK) {
        return rc;
    }
    if (x_len != P256_BYTES || y_len != P256_BYTES) {
        return bad_key(r, index, "has no 32 bytes of base64url in \"x\" or \"y\"");
    }
    point[0] = 4; /* uncompressed (SEC 1, part 2.3.3) */
    memcpy(point + 1, x, P256_BYTES);
    memcpy(point + 1 + P256_BYTES, y, P256_BYTES);
    key->pkey = p256_pkey(point);
    key->signature_len = 2 * P256_BYTES;
    return key->pkey == NULL ? bad_key(r, index, "is no point of the curve P-256") : WEIR_OK;
}

static weir_status_t read_ed25519(reader_t *r, uint32_t node, uint32_t index, weir_jwks_key_t *key)
{
    uint8_t *x = NULL;
    size_t x_len;

    weir_status_t rc = member_bytes(r, node, "x", &x, &x_len);
    if (rc != WEIR_OK) {
        return rc;
    }
    if (x_len != ED25519_BYTES) {
        return bad_key(r, index, "has no 32 bytes of base64url in \"x\"");
    }
    key->pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, x_len);
    key->signature_len = 2 * ED25519_BYTES;
    return key->pkey == NULL ? bad_key(r, index, "is refused as an Ed25519 key by OpenSSL")
                             : WEIR_OK;
}

static bool member_is(const reader_t *r, uint32_t object, const char *name, const char *value)
{
    uint32_t node = weir_json_get(r->doc, object, name);
    return node != WEIR_JSON_NONE && weir_json_string_is(r->doc, node, value);
}

static bool meant_for_signatures(const reader_t *r, uint32_t key)
{
    uint32_t ops = weir_json_get(r->doc, key, "key_ops");

    if (weir_json_get(r->doc, key, "use") != WEIR_JSON_NONE && !member_is(r, key, "use", "sig")) {
        return false;
    }
    if (ops == WEIR_JSON_NONE) {
        return true;
    }
    if (weir_json_type(r->doc, ops) == WEIR_JSON_ARRAY) {
        uint32_t node = ops + 1;
        for (uint32_t i = 0; i < r->doc->nodes[ops].size; i++, node = r->doc->nodes[node].next) {
            if (weir_json_string_is(r->doc, node, "verify")) {
                return true;
            }
        }
    }
    return false;
}

/* The one algorithm of the key; false when it is of no type that exists here. */
static bool pinned_algorithm(const reader_t *r, uint32_t key, weir_jwt_algorithm_t *alg)
{
    uint32_t named = weir_json_get(r->doc, key, "alg");
    bool fits = false;

    if (member_is(r, key, "kty", "RSA")) {
        *alg = r->rsa;
        if (member_is(r, key, "alg", "RS256")) {
            *alg = WEIR_JWA_RS256;
        } else if (member_is(r, key, "alg", "PS256")) {
            *alg = WEIR_JWA_PS256;
        } else if (named != WEIR_JSON_NONE) {
            return false;
        }
        fits = true;
    } else if (member_is(r, key, "kty", "EC") && member_is(r, key, "crv", "P-256")) {
        *alg = WEIR_JWA_ES256;
        fits = named == WEIR_JSON_NONE || weir_json_string_is(r->doc, named, "ES256");
    } else if (member_is(r, key, "kty", "OKP") && member_is(r, key, "crv", "Ed25519")) {
        /* RFC 9864 also names the algorithm by its curve. */
        *alg = WEIR_JWA_EDDSA;
        fits = named == WEIR_JSON_NONE || weir_json_string_is(r->doc, named, "EdDSA") ||
               weir_json_string_is(r->doc, named, "Ed25519");
    }
    return fits && (r->algorithms & WEIR_JWT_BIT(*alg)) != 0;
}

/* True when the id is one that a token may name; a missing one becomes empty. */
static weir_status_t read_kid(reader_t *r, uint32_t key, weir_str_t *kid, bool *usable)
{
    uint32_t node = weir_json_get(r->doc, key, "kid");

    *kid = weir_str("", 0);
    *usable = true;
    if (node == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    *usable = false;
    if (weir_json_type(r->doc, node) != WEIR_JSON_STRING) {
        return WEIR_OK;
    }
    weir_str_t text;
    weir_status_t rc = weir_json_string(r->doc, node, &r->jwks->arena, &text);
    char *copy = rc == WEIR_OK ? weir_arena_strndup(&r->jwks->arena, text.data, text.len) : NULL;
    if (copy == NULL) {
        return weir_error(r->err, WEIR_ERR_NOMEM, "out of memory for a key set");
    }
    if (text.len == 0 || text.len > WEIR_JWKS_MAX_KID) {
        return WEIR_OK;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (copy[i] <= ' ' || copy[i] > '~') {
            return WEIR_OK;
        }
    }
    *kid = weir_str(copy, text.len);
    *usable = true;
    return WEIR_OK;
}

static weir_status_t read_key(reader_t *r, uint32_t node, uint32_t index)
{
    weir_jwks_t *jwks = r->jwks;
    weir_jwks_key_t key = {0};
    bool usable = false;

    if (weir_json_type(r->doc, node) != WEIR_JSON_OBJECT) {
        return bad_key(r, index, "is no object");
    }
    if (!member_is(r, node, "kty", "oct") && weir_json_get(r->doc, node, "d") != WEIR_JSON_NONE) {
        return bad_key(r, index,
                       "holds a private key (\"d\"): whoever reads this set can sign "
                       "tokens; replace the key");
    }
    weir_status_t rc = read_kid(r, node, &key.kid, &usable);
    if (rc != WEIR_OK) {
        return rc;
    }
    if (!usable || !meant_for_signatures(r, node) || !pinned_algorithm(r, node, &key.alg)) {
        jwks->n_skipped++;
        return WEIR_OK;
    }
    switch (key.alg) {
    case WEIR_JWA_ES256:
        rc = read_p256(r, node, index, &key);
        break;
    case WEIR_JWA_EDDSA:
        rc = read_ed25519(r, node, index, &key);
        break;
    default:
        rc = read_rsa(r, node, index, &key);
    }
    if (rc == WEIR_OK) {
        jwks->keys[jwks->n_keys++] = key;
    }
    return rc;
}

/* Of keys with one id none can be meant; nothing tells which the issuer used. */
static void drop_ambiguous(weir_jwks_t *jwks)
{
    bool twice[WEIR_JWKS_MAX_KEYS] = {false};
    size_t kept = 0;

    for (size_t i = 0; i < jwks->n_keys; i++) {
        for (size_t j = 0; j < jwks->n_keys; j++) {
            if (i != j && jwks->keys[i].kid.len > 0 &&
                weir_str_eq(jwks->keys[i].kid, jwks->keys[j].kid)) {
                twice[i] = true;
            }
        }
    }
    for (size_t i = 0; i < jwks->n_keys; i++) {
        if (twice[i]) {
            EVP_PKEY_free(jwks->keys[i].pkey);
            jwks->n_skipped++;
        } else {
            jwks->keys[kept++] = jwks->keys[i];
        }
    }
    jwks->n_keys = kept;
}

static weir_status_t read_keys(reader_t *r)
{
    uint32_t keys = weir_json_get(r->doc, 0, "keys");

    if (keys == WEIR_JSON_NONE || weir_json_type(r->doc, keys) != WEIR_JSON_ARRAY) {
        return weir_error_at(r->err, WEIR_ERR_INVALID, "keys", "bad_jwks",
                             "the key set is no object with an array \"keys\" (RFC 7517)");
    }
    uint32_t n = r->doc->nodes[keys].size;
    if (n > WEIR_JWKS_MAX_KEYS) {
        return weir_error_at(r->err, WEIR_ERR_LIMIT, "keys", "bad_jwks",
                             "the key set has %u keys; at most %d are read", n, WEIR_JWKS_MAX_KEYS);
    }
    r->jwks->keys = weir_arena_calloc(&r->jwks->arena, n + 1, sizeof(weir_jwks_key_t));
    if (r->jwks->keys == NULL) {
        return weir_error(r->err, WEIR_ERR_NOMEM, "out of memory for a key set");
    }
    uint32_t node = keys + 1;
    for (uint32_t i = 0; i < n; i++, node = r->doc->nodes[node].next) {
        weir_status_t rc = read_key(r, node, i);
        if (rc != WEIR_OK) {
            return rc;
        }
    }
    drop_ambiguous(r->jwks);
    if (r->jwks->n_keys == 0) {
        return weir_error_at(r->err, WEIR_ERR_NOT_FOUND, "keys", "bad_jwks",
                             "the key set has no usable key: of %u, all are of other types, "
                             "algorithms or uses, or share an id",
                             n);
    }
    return WEIR_OK;
}

weir_status_t weir_jwks_parse(const char *text, size_t len, const weir_jwks_options_t *options,
                              weir_jwks_t **out, weir_error_t *err)
{
    static const weir_json_limits_t limits = {
        .max_depth = 6, .max_bytes = WEIR_JWKS_MAX_BYTES, .max_members = 64};
    weir_arena_t scratch;
    weir_json_doc_t doc;

    *out = NULL;
    weir_jwks_t *jwks = calloc(1, sizeof(*jwks));
    if (jwks == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory for a key set");
    }
    weir_arena_init(&jwks->arena, 4096, MAX_ARENA_BYTES);
    weir_arena_init(&scratch, 0, MAX_ARENA_BYTES);

    reader_t r = {.doc = &doc, .jwks = jwks, .algorithms = WEIR_JWT_ALL, .err = err};
    if (options != NULL) {
        r.algorithms = options->algorithms == 0 ? WEIR_JWT_ALL : options->algorithms;
        r.rsa = options->rsa == WEIR_JWA_PS256 ? WEIR_JWA_PS256 : WEIR_JWA_RS256;
    }
    weir_status_t rc = weir_json_parse(text, len, &limits, &scratch, &doc, err);
    if (rc == WEIR_OK) {
        rc = read_keys(&r);
    }
    weir_arena_free(&scratch);
    if (rc != WEIR_OK) {
        weir_jwks_free(jwks);
        return rc;
    }
    *out = jwks;
    return WEIR_OK;
}

static weir_status_t io_error(weir_error_t *err, const char *what, const char *path)
{
    return weir_error(err, WEIR_ERR_IO, "cannot %s \"%s\": %s", what, path, strerror(errno));
}

weir_status_t weir_jwks_load(const char *path, const weir_jwks_options_t *options,
                             weir_jwks_t **out, weir_error_t *err)
{
    struct stat st;
    size_t len = 0;

    *out = NULL;
    /* NONBLOCK: opening a FIFO without a writer must not hang. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return io_error(err, "open", path);
    }
    char *text = NULL;
    weir_status_t rc = WEIR_OK;
    if (fstat(fd, &st) != 0) {
        rc = io_error(err, "stat", path);
    } else if (!S_ISREG(st.st_mode)) {
        rc = weir_error(err, WEIR_ERR_IO, "\"%s\" is no regular file", path);
    } else if ((text = malloc(WEIR_JWKS_MAX_BYTES + 1)) == NULL) {
        rc = weir_error(err, WEIR_ERR_NOMEM, "out of memory for a key set");
    }
    while (rc == WEIR_OK && len <= WEIR_JWKS_MAX_BYTES) {
        ssize_t n = read(fd, text + len, WEIR_JWKS_MAX_BYTES + 1 - len);
        if (n == 0) {
            break;
        }
        if (n > 0) {
            len += (size_t)n;
        } else if (errno != EINTR) {
            rc = io_error(err, "read", path);
        }
    }
    (void)close(fd);
    if (rc == WEIR_OK) {
        rc = weir_jwks_parse(text, len, options, out, err);
    }
    free(text);
    return rc;
}

void weir_jwks_free(weir_jwks_t *jwks)
{
    if (jwks == NULL) {
        return;
    }
    for (size_t i = 0; i < jwks->n_keys; i++) {
        EVP_PKEY_free(jwks->keys[i].pkey);
    }
    weir_arena_free(&jwks->arena);
    free(jwks);
}

size_t weir_jwks_count(const weir_jwks_t *jwks)
{
    return jwks->n_keys;
}

size_t weir_jwks_skipped(const weir_jwks_t *jwks)
{
    return jwks->n_skipped;
}

const weir_jwks_key_t *weir_jwks_at(const weir_jwks_t *jwks, size_t i)
{
    return &jwks->keys[i];
}

const weir_jwks_key_t *weir_jwks_find(const weir_jwks_t *jwks, weir_str_t kid)
{
    if (kid.len == 0) {
        return jwks->n_keys == 1 ? &jwks->keys[0] : NULL;
    }
    for (size_t i = 0; i < jwks->n_keys; i++) {
        if (weir_str_eq(jwks->keys[i].kid, kid)) {
            return &jwks->keys[i];
        }
    }
    return NULL;
}

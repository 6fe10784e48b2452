/* Key sets: what is taken, skipped and refused, and base64url. */
#include "policies/jwks.h"

#include "t/support/jwt_make.h"
#include "t/support/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static weir_arena_t arena;

/* The status of a set with these keys; count and skipped when it is read. */
static weir_status_t read_set(weir_str_t keys, const weir_jwks_options_t *options, int *count,
                              int *skipped)
{
    weir_buf_t text;
    weir_error_t err = {0};
    weir_jwks_t *set = NULL;

    weir_buf_init(&text, &arena);
    weir_buf_append_z(&text, "{\"keys\":[");
    weir_buf_append_str(&text, keys);
    weir_buf_append_z(&text, "]}");
    weir_status_t rc = weir_jwks_parse(text.data, text.len, options, &set, &err);
    *count = set == NULL ? -1 : (int)weir_jwks_count(set);
    *skipped = set == NULL ? -1 : (int)weir_jwks_skipped(set);
    if ((rc == WEIR_OK) != (set != NULL) || (rc != WEIR_OK && err.message[0] == '\0')) {
        rc = WEIR_ERR_INTERNAL;
    }
    weir_jwks_free(set);
    return rc;
}

static void expect(const char *keys, weir_status_t want, const char *name)
{
    int count;
    int skipped;
    weir_status_t rc = read_set(weir_str(keys, strlen(keys)), NULL, &count, &skipped);
    const char *got = weir_status_name(rc);
    is_str(got, strlen(got), weir_status_name(want), "%s", name);
}

static weir_str_t list(weir_str_t a, weir_str_t b)
{
    weir_buf_t out;
    weir_buf_init(&out, &arena);
    weir_buf_append_str(&out, a);
    weir_buf_append_char(&out, ',');
    weir_buf_append_str(&out, b);
    return weir_str(out.data, out.len);
}

/* The JWK with member replaced; both without quotes. */
static const char *with(weir_str_t jwk, const char *member, const char *value)
{
    char name[16];
    (void)snprintf(name, sizeof(name), "\"%s\":\"", member);
    char *copy = weir_arena_strndup(&arena, jwk.data, jwk.len);
    char *at = strstr(copy, name);
    weir_buf_t out;

    weir_buf_init(&out, &arena);
    weir_buf_append(&out, copy, (size_t)(at - copy) + strlen(name));
    weir_buf_append_z(&out, value);
    const char *rest = strchr(at + strlen(name), '"');
    weir_buf_append(&out, rest, strlen(rest) + 1);
    return out.data;
}

static void test_kept_and_skipped(void)
{
    static const char *const skipped_for[] = {
        "\"use\":\"enc\",",
        "\"use\":7,",
        "\"key_ops\":[\"sign\"],",
        "\"key_ops\":\"verify\",",
        "\"alg\":\"RS512\",",
        "\"alg\":\"HS256\",",
        "\"alg\":\"none\",",
        "\"alg\":\"ES256\",",
        "\"alg\":null,",
        "\"kid\":7,",
        "\"kid\":\"\",",
        "\"kid\":\"two words\",",
        "\"kid\":\"line\\nbreak\",",
    };
    static const char *const kept_for[] = {
        "",
        "\"use\":\"sig\",",
        "\"key_ops\":[\"sign\",\"verify\"],",
        "\"alg\":\"RS256\",",
        "\"alg\":\"PS256\",",
        "\"kid\":\"https://x.example/key?1\",",
        "\"x5c\":[\"AAAA\"],",
    };
    void *rsa = jwt_make_key(MAKE_RSA);
    void *p256 = jwt_make_key(MAKE_P256);
    weir_str_t good = jwt_make_jwk(&arena, p256, MAKE_P256, "\"kid\":\"good\",");
    int count;
    int skipped;

    for (size_t i = 0; i < sizeof(skipped_for) / sizeof(skipped_for[0]); i++) {
        weir_str_t jwk = jwt_make_jwk(&arena, rsa, MAKE_RSA, skipped_for[i]);
        (void)read_set(list(good, jwk), NULL, &count, &skipped);
        ok(count == 1 && skipped == 1, "skipped for %s", skipped_for[i]);
    }
    for (size_t i = 0; i < sizeof(kept_for) / sizeof(kept_for[0]); i++) {
        weir_str_t jwk = jwt_make_jwk(&arena, rsa, MAKE_RSA, kept_for[i]);
        (void)read_set(list(good, jwk), NULL, &count, &skipped);
        ok(count == 2 && skipped == 0, "kept with %s", kept_for[i]);
    }

    weir_jwks_options_t only_ec = {.algorithms = WEIR_JWT_BIT(WEIR_JWA_ES256)};
    (void)read_set(list(good, jwt_make_jwk(&arena, rsa, MAKE_RSA, "")), &only_ec, &count, &skipped);
    ok(count == 1 && skipped == 1, "a key of an algorithm that the options leave out is skipped");
    jwt_free_key(rsa);
    jwt_free_key(p256);
}

static void test_duplicates(void)
{
    void *p256 = jwt_make_key(MAKE_P256);
    void *ed = jwt_make_key(MAKE_ED25519);
    weir_str_t a = jwt_make_jwk(&arena, p256, MAKE_P256, "\"kid\":\"a\",");
    weir_str_t a2 = jwt_make_jwk(&arena, ed, MAKE_ED25519, "\"kid\":\"\\u0061\",");
    weir_str_t b = jwt_make_jwk(&arena, ed, MAKE_ED25519, "\"kid\":\"b\",");
    int count;
    int skipped;

    (void)read_set(list(list(a, a2), b), NULL, &count, &skipped);
    ok(count == 1 && skipped == 2, "of two keys with one id none is kept");
    is_int(read_set(list(a, a2), NULL, &count, &skipped), WEIR_ERR_NOT_FOUND,
           "and when nothing is left the set is refused");
    jwt_free_key(p256);
    jwt_free_key(ed);
}

static void test_find(void)
{
    void *p256 = jwt_make_key(MAKE_P256);
    weir_str_t one = jwt_make_jwk(&arena, p256, MAKE_P256, "\"kid\":\"a\",");
    weir_buf_t text;
    weir_jwks_t *set = NULL;

    weir_buf_init(&text, &arena);
    weir_buf_append_z(&text, " {\"keys\" : [");
    weir_buf_append_str(&text, one);
    weir_buf_append_z(&text, "], \"more\":1}\n");
    is_int(weir_jwks_parse(text.data, text.len, NULL, &set, NULL), WEIR_OK, "a set of one key");
    if (set != NULL) {
        ok(weir_jwks_find(set, WEIR_STR("a")) == weir_jwks_at(set, 0), "found by its id");
        ok(weir_jwks_find(set, weir_str("", 0)) == weir_jwks_at(set, 0), "and by no id");
        ok(weir_jwks_find(set, WEIR_STR("b")) == NULL, "not by another");
        is_int(weir_jwks_at(set, 0)->alg, WEIR_JWA_ES256, "pinned to its curve's algorithm");
    }
    weir_jwks_free(set);
    jwt_free_key(p256);
}

static void test_refused(void)
{
    void *rsa = jwt_make_key(MAKE_RSA);
    void *small = jwt_make_key(MAKE_RSA_SMALL);
    void *p256 = jwt_make_key(MAKE_P256);
    void *ed = jwt_make_key(MAKE_ED25519);
    weir_str_t r = jwt_make_jwk(&arena, rsa, MAKE_RSA, "");
    weir_str_t e = jwt_make_jwk(&arena, p256, MAKE_P256, "");
    weir_str_t o = jwt_make_jwk(&arena, ed, MAKE_ED25519, "");
    static const char zero32[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    expect(with(r, "e", "AQAB"), WEIR_OK, "RSA: the usual exponent");
    expect(with(r, "e", "Aw"), WEIR_OK, "RSA: exponent 3");
    expect(with(r, "e", "AQ"), WEIR_ERR_INVALID, "RSA: exponent 1");
    expect(with(r, "e", "Ag"), WEIR_ERR_INVALID, "RSA: exponent 2");
    expect(with(r, "e", ""), WEIR_ERR_INVALID, "RSA: no exponent");
    expect(with(r, "e", "AQAB="), WEIR_ERR_INVALID, "RSA: padding");
    expect(with(r, "e", "AQAAAAAAAAAAAQ"), WEIR_ERR_INVALID, "RSA: a huge exponent");
    expect(with(r, "n", "AQAB"), WEIR_ERR_INVALID, "RSA: a tiny modulus");
    expect(with(jwt_make_jwk(&arena, small, MAKE_RSA_SMALL, ""), "e", "AQAB"), WEIR_ERR_INVALID,
           "RSA: 1024 bits");
    expect(with(r, "kty", "EC"), WEIR_ERR_NOT_FOUND, "EC without a curve");
    expect(with(e, "x", zero32), WEIR_ERR_INVALID, "EC: a point that is not on the curve");
    expect(with(e, "y", "AAAA"), WEIR_ERR_INVALID, "EC: a short coordinate");
    expect(with(e, "x", "not base64url, is it?"), WEIR_ERR_INVALID, "EC: no base64url");
    expect(with(o, "x", "AAAA"), WEIR_ERR_INVALID, "Ed25519: a short key");
    expect(with(o, "crv", "X25519"), WEIR_ERR_NOT_FOUND, "a key for key agreement");
    const char *d = jwt_make_jwk(&arena, ed, MAKE_ED25519, "\"d\":\"AAAA\",").data;
    expect(weir_arena_strndup(&arena, d, strchr(d, '}') - d + 1), WEIR_ERR_INVALID,
           "a private key");
    expect("7", WEIR_ERR_INVALID, "a key that is no object");
    expect("", WEIR_ERR_NOT_FOUND, "no key");
    expect("{}", WEIR_ERR_NOT_FOUND, "a key of no type");
    expect("{\"kty\":\"EC\",\"kty\":\"RSA\"}", WEIR_ERR_INVALID, "a member twice");
    expect("[[[[[[]]]]]]", WEIR_ERR_LIMIT, "nested too deep");
    expect("{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}", WEIR_ERR_NOT_FOUND, "a secret");
    jwt_free_key(rsa);
    jwt_free_key(small);
    jwt_free_key(p256);
    jwt_free_key(ed);
}

static void test_documents(void)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "null",
                                      "{}",
                                      "{\"keys\":{}}",
                                      "{\"keys\":1}",
                                      "<html>",
                                      "{\"keys\":[],\"keys\":[]}"};
    weir_jwks_t *set;
    weir_buf_t many;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(weir_jwks_parse(bad[i], strlen(bad[i]), NULL, &set, NULL) == WEIR_ERR_INVALID &&
               set == NULL,
           "refused: %s", bad[i]);
    }
    weir_buf_init(&many, &arena);
    weir_buf_append_z(&many, "{}");
    for (int i = 0; i < WEIR_JWKS_MAX_KEYS; i++) {
        weir_buf_append_z(&many, ",{}");
    }
    int count;
    int skipped;
    is_int(read_set(weir_str(many.data, many.len), NULL, &count, &skipped), WEIR_ERR_LIMIT,
           "65 keys");

    char *blanks = malloc(WEIR_JWKS_MAX_BYTES + 1);
    if (blanks != NULL) {
        memset(blanks, ' ', WEIR_JWKS_MAX_BYTES + 1);
        is_int(weir_jwks_parse(blanks, WEIR_JWKS_MAX_BYTES + 1, NULL, &set, NULL), WEIR_ERR_LIMIT,
               "a document that is too long");
        free(blanks);
    }
}

static void test_files(void)
{
    char path[] = "/tmp/weir-jwks-XXXXXX";
    weir_jwks_t *set = NULL;
    weir_error_t err = {0};
    void *ed = jwt_make_key(MAKE_ED25519);
    int fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

    if (f == NULL) {
        ok(false, "a temporary file");
    } else {
        weir_str_t jwk = jwt_make_jwk(&arena, ed, MAKE_ED25519, "");
        (void)fprintf(f, "{\"keys\":[%.*s]}", (int)jwk.len, jwk.data);
        (void)fclose(f);
        is_int(weir_jwks_load(path, NULL, &set, &err), WEIR_OK, "a set from a file");
        weir_jwks_free(set);
        (void)unlink(path);
    }
    is_int(weir_jwks_load(path, NULL, &set, &err), WEIR_ERR_IO, "a file that is not there");
    ok(strstr(err.message, path) != NULL, "the message names it");
    is_int(weir_jwks_load("/tmp", NULL, &set, &err), WEIR_ERR_IO, "a folder");
    jwt_free_key(ed);
}

static void test_base64url(void)
{
    static const struct {
        const char *in;
        int len; /* -1: refused */
    } cases[] = {
        {"", 0},       {"AA", 1},    {"AAA", 2},   {"AAAA", 3},      {"-_-_", 3}, {"A", -1},
        {"AAAAA", -1}, {"AB", -1},   {"AAB", -1},  {"AA==", -1},     {"AA=", -1}, {"A A", -1},
        {"AA\n", -1},  {"+/+/", -1}, {"AA.A", -1}, {"\xc3\xa4", -1},
    };
    uint8_t out[16];
    size_t len;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool good = weir_base64url_decode(weir_str(cases[i].in, strlen(cases[i].in)), out,
                                          sizeof(out), &len);
        is_int(good ? (int)len : -1, cases[i].len, "base64url, case %zu", i);
    }
    ok(!weir_base64url_decode(WEIR_STR("AAAA"), out, 2, &len), "what does not fit is refused");

    rng_t rng;
    rng_init(&rng);
    bool all = true;
    for (int i = 0; i < 2000; i++) {
        uint8_t bytes[64];
        uint8_t back[64 + 2];
        size_t n = rng_below(&rng, sizeof(bytes) + 1);
        for (size_t k = 0; k < n; k++) {
            bytes[k] = (uint8_t)rng_u64(&rng);
        }
        weir_str_t text = jwt_base64url(&arena, bytes, n);
        all = all && weir_base64url_decode(text, back, sizeof(back), &len) && len == n &&
              (n == 0 || memcmp(bytes, back, n) == 0);
    }
    ok(all, "what is encoded is decoded");
}

static void test_algorithms(void)
{
    static const char *const none[] = {"", "none", "HS256", "rs256", "RS256 ", "RS384", "ES256K"};
    weir_jwt_algorithm_t alg;
    bool all = true;

    for (unsigned i = 0; i < WEIR_JWA_ALGORITHMS; i++) {
        const char *name = weir_jwt_algorithm_name((weir_jwt_algorithm_t)i);
        all = all && weir_jwt_algorithm_find(weir_str(name, strlen(name)), &alg) && alg == i;
    }
    ok(all, "algorithms are found by their names");
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        ok(!weir_jwt_algorithm_find(weir_str(none[i], strlen(none[i])), &alg), "\"%s\" is none",
           none[i]);
    }
}

int main(void)
{
    weir_arena_init(&arena, 1 << 16, 0);
    test_kept_and_skipped();
    test_duplicates();
    test_find();
    test_refused();
    test_documents();
    test_files();
    test_base64url();
    test_algorithms();
    weir_arena_free(&arena);
    return done_testing();
}

/* Tokens: valid ones of every algorithm, and a corpus of hostile ones, each with its verdict. */
#include "policies/jwt.h"

#include "t/support/jwt_make.h"
#include "t/support/tap.h"

#include <stdio.h>

#define NOW INT64_C(1800000000)

static weir_arena_t arena;
static void *rsa;
static void *other_rsa;
static void *p256;
static void *p384;
static void *ed25519;
static weir_str_t rsa_jwk;
static weir_jwks_t *keys;

static const weir_str_t audiences[] = {{"weir", 4}, {"https://api.example", 19}};

static weir_jwt_rules_t rules(void)
{
    return (weir_jwt_rules_t){.issuer = WEIR_STR("https://login.example/"),
                              .audiences = audiences,
                              .n_audiences = 2,
                              .leeway = 30};
}

#define CLAIMS                                                                                   \
    "{\"iss\":\"https://login.example/\",\"aud\":\"weir\",\"sub\":\"alice\",\"exp\":1800000600," \
    "\"iat\":1799999990,\"tenant\":\"acme\",\"realm_access\":{\"roles\":[\"dev\",\"ops\"]}}"

static const char rs256[] = "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"JWT\"}";

static weir_jwt_verdict_t check_with(weir_str_t token, const weir_jwks_t *set,
                                     const weir_jwt_rules_t *r)
{
    weir_jwt_t jwt;
    weir_error_t err = {0};
    int64_t expires = -1;

    weir_jwt_verdict_t verdict = weir_jwt_parse(token, &arena, &jwt, &err);
    if (verdict == WEIR_JWT_OK) {
        verdict = weir_jwt_verify(&jwt, set, r, NOW, &arena, &expires, &err);
    }
    if ((verdict == WEIR_JWT_OK) != (expires > 0)) {
        diag("the expiry is told for verified tokens only");
        return WEIR_JWT_ERROR;
    }
    if (verdict != WEIR_JWT_OK && err.message[0] == '\0') {
        diag("a refused token has a message");
        return WEIR_JWT_ERROR;
    }
    return verdict;
}

static weir_jwt_verdict_t check(weir_str_t token)
{
    weir_jwt_rules_t r = rules();
    return check_with(token, keys, &r);
}

static void expect(weir_str_t token, weir_jwt_verdict_t want, const char *name)
{
    weir_jwt_verdict_t got = check(token);
    const char *said = weir_jwt_verdict_name(got);
    is_str(said, strlen(said), weir_jwt_verdict_name(want), "%s", name);
}

static weir_str_t signed_rs256(const char *header, const char *claims)
{
    return jwt_make(&arena, header, claims, rsa, SIGN_PKCS1);
}

static void make_keys(void)
{
    weir_buf_t set;
    weir_error_t err = {0};

    rsa = jwt_make_key(MAKE_RSA);
    other_rsa = jwt_make_key(MAKE_RSA);
    p256 = jwt_make_key(MAKE_P256);
    p384 = jwt_make_key(MAKE_P384);
    ed25519 = jwt_make_key(MAKE_ED25519);
    rsa_jwk = jwt_make_jwk(&arena, rsa, MAKE_RSA, "\"kid\":\"rsa\",");

    weir_buf_init(&set, &arena);
    weir_buf_append_z(&set, "{\"keys\":[");
    weir_buf_append_str(&set, rsa_jwk);
    weir_buf_append_char(&set, ',');
    weir_buf_append_str(&set,
                        jwt_make_jwk(&arena, rsa, MAKE_RSA, "\"kid\":\"pss\",\"alg\":\"PS256\","));
    weir_buf_append_char(&set, ',');
    weir_buf_append_str(&set, jwt_make_jwk(&arena, p256, MAKE_P256, "\"kid\":\"p256\","));
    weir_buf_append_char(&set, ',');
    weir_buf_append_str(&set, jwt_make_jwk(&arena, p384, MAKE_P384, "\"kid\":\"p384\","));
    weir_buf_append_char(&set, ',');
    weir_buf_append_str(
        &set, jwt_make_jwk(&arena, ed25519, MAKE_ED25519, "\"kid\":\"ed\",\"use\":\"sig\","));
    weir_buf_append_z(&set, ",{\"kty\":\"oct\",\"kid\":\"hmac\",\"k\":\"c2VjcmV0\",\"d\":\"x\"}");
    weir_buf_append_z(&set, ",{\"kty\":\"quantum\",\"kid\":\"q\"}]}");
    ok(weir_jwks_parse(set.data, set.len, NULL, &keys, &err) == WEIR_OK,
       "a key set of all types is read (%s)", err.message);
    is_int(keys == NULL ? 0 : (long long)weir_jwks_count(keys), 4, "its keys of known types");
    is_int(keys == NULL ? 0 : (long long)weir_jwks_skipped(keys), 3, "the others are skipped");
}

static void test_valid(void)
{
    expect(signed_rs256(rs256, CLAIMS), WEIR_JWT_OK, "RS256");
    expect(jwt_make(&arena, "{\"alg\":\"PS256\",\"kid\":\"pss\"}", CLAIMS, rsa, SIGN_PSS),
           WEIR_JWT_OK, "PS256");
    for (int i = 0; i < 16; i++) {
        weir_str_t token =
            jwt_make(&arena, "{\"alg\":\"ES256\",\"kid\":\"p256\"}", CLAIMS, p256, SIGN_ECDSA);
        if (check(token) != WEIR_JWT_OK) {
            ok(false, "ES256, signature %d", i);
            return;
        }
    }
    ok(true, "ES256, 16 signatures");
    expect(jwt_make(&arena, "{\"alg\":\"EdDSA\",\"kid\":\"ed\",\"typ\":\"at+jwt\"}", CLAIMS,
                    ed25519, SIGN_ED25519),
           WEIR_JWT_OK, "EdDSA");
    expect(signed_rs256("{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"application/JWT\","
                        "\"x5t\":\"abc\",\"unknown\":{\"a\":[1]}}",
                        CLAIMS),
           WEIR_JWT_OK, "a media type, a thumbprint and an unknown header");
    expect(signed_rs256(rs256, "{\"iss\":\"https://login.example/\",\"aud\":[\"x\","
                               "\"https://api.example\"],\"exp\":1800000000.5}"),
           WEIR_JWT_OK, "a list of audiences, a fraction of a second");
    expect(signed_rs256(rs256, "{\"iss\":\"https://login.example/\",\"aud\":\"weir\","
                               "\"exp\":1799999971,\"nbf\":1800000030}"),
           WEIR_JWT_OK, "within the leeway, at both ends");
    expect(signed_rs256(rs256, "{\"iss\":\"https:\\/\\/login.example/\",\"aud\":\"we\\u0069r\","
                               "\"exp\":18e8}"),
           WEIR_JWT_OK, "escapes and an exponent");
}

/* Each is signed properly; what it says is wrong. */
static void test_claims(void)
{
    static const struct {
        const char *name;
        const char *claims;
        weir_jwt_verdict_t want;
    } cases[] = {
        {"expired", "{\"iss\":\"https://login.example/\",\"aud\":\"weir\",\"exp\":1799999970}",
         WEIR_JWT_EXPIRED},
        {"expired long ago", "{\"iss\":\"https://login.example/\",\"aud\":\"weir\",\"exp\":0}",
         WEIR_JWT_EXPIRED},
        {"no exp", "{\"iss\":\"https://login.example/\",\"aud\":\"weir\"}", WEIR_JWT_MISSING_CLAIM},
        {"exp as text",
         "{\"iss\":\"https://login.example/\",\"aud\":\"weir\",\"exp\":\"1800000600\"}",
         WEIR_JWT_MISSING_CLAIM},
        {"exp null", "{\"iss\":\"https://login.example/\",\"aud\":\"weir\",\"exp\":null}",
         WEIR_JWT_MISSING_CLAIM},
        {"exp huge", "{\"iss\":\"https://login.example/\",\"aud\":\"weir\",\"exp\":1e400}",
         WEIR_JWT_MISSING_CLAIM},
        {"exp over 64 bits",
         "{\"iss\":\"https://login.example/\",\"aud\":\"weir\",\"exp\":18446744073709551617}",
         WEIR_JWT_MISSING_CLAIM},
        {"exp in the year 10000",
         "{\"iss\":\"https://login.example/\",\"aud\":\"weir\",\"exp\":253402300800}",
         WEIR_JWT_MISSING_CLAIM},
        {"exp negative", "{\"iss\":\"https://login.example/\",\"aud\":\"weir\",\"exp\":-1}",
         WEIR_JWT_MISSING_CLAIM},
        {"nbf in the future",
         "{\"iss\":\"https://login.example/\",\"aud\":\"weir\",\"exp\":1800000600,"
         "\"nbf\":1800000031}",
         WEIR_JWT_NOT_YET},
        {"nbf as text",
         "{\"iss\":\"https://login.example/\",\"aud\":\"weir\",\"exp\":1800000600,"
         "\"nbf\":\"0\"}",
         WEIR_JWT_MISSING_CLAIM},
        {"iat in the future",
         "{\"iss\":\"https://login.example/\",\"aud\":\"weir\",\"exp\":1800000600,"
         "\"iat\":1800000031}",
         WEIR_JWT_NOT_YET},
        {"no iss", "{\"aud\":\"weir\",\"exp\":1800000600}", WEIR_JWT_MISSING_CLAIM},
        {"iss of another",
         "{\"iss\":\"https://login.example\",\"aud\":\"weir\",\"exp\":1800000600}",
         WEIR_JWT_WRONG_ISSUER},
        {"iss with a tail",
         "{\"iss\":\"https://login.example/\\u0000\",\"aud\":\"weir\",\"exp\":1800000600}",
         WEIR_JWT_WRONG_ISSUER},
        {"iss as a list",
         "{\"iss\":[\"https://login.example/\"],\"aud\":\"weir\",\"exp\":1800000600}",
         WEIR_JWT_MISSING_CLAIM},
        {"no aud", "{\"iss\":\"https://login.example/\",\"exp\":1800000600}",
         WEIR_JWT_MISSING_CLAIM},
        {"aud of another",
         "{\"iss\":\"https://login.example/\",\"aud\":\"billing\",\"exp\":1800000600}",
         WEIR_JWT_WRONG_AUDIENCE},
        {"aud in capitals",
         "{\"iss\":\"https://login.example/\",\"aud\":\"Weir\",\"exp\":1800000600}",
         WEIR_JWT_WRONG_AUDIENCE},
        {"aud of a longer name",
         "{\"iss\":\"https://login.example/\",\"aud\":\"weir-2\",\"exp\":1800000600}",
         WEIR_JWT_WRONG_AUDIENCE},
        {"aud empty list", "{\"iss\":\"https://login.example/\",\"aud\":[],\"exp\":1800000600}",
         WEIR_JWT_MISSING_CLAIM},
        {"aud a list with a number",
         "{\"iss\":\"https://login.example/\",\"aud\":[\"weir\",1],\"exp\":1800000600}",
         WEIR_JWT_MISSING_CLAIM},
        {"aud an object",
         "{\"iss\":\"https://login.example/\",\"aud\":{\"weir\":1},\"exp\":1800000600}",
         WEIR_JWT_MISSING_CLAIM},
        {"a claim twice",
         "{\"iss\":\"https://login.example/\",\"aud\":\"weir\",\"exp\":1,\"exp\":1800000600}",
         WEIR_JWT_MALFORMED},
        {"a claim twice, once escaped",
         "{\"iss\":\"https://login.example/\",\"aud\":\"weir\",\"exp\":1,\"\\u0065xp\":1800000600}",
         WEIR_JWT_MALFORMED},
        {"a nested claim twice",
         "{\"iss\":\"https://login.example/\",\"aud\":\"weir\",\"exp\":1800000600,"
         "\"a\":{\"b\":1,\"b\":2}}",
         WEIR_JWT_MALFORMED},
        {"claims that are a list", "[]", WEIR_JWT_MALFORMED},
        {"claims that are text", "\"a\"", WEIR_JWT_MALFORMED},
        {"claims with a tail",
         "{\"iss\":\"https://login.example/\",\"aud\":\"weir\",\"exp\":1800000600}{}",
         WEIR_JWT_MALFORMED},
        {"claims with a byte-order mark",
         "\xef\xbb\xbf{\"iss\":\"https://login.example/\",\"aud\":\"weir\",\"exp\":1800000600}",
         WEIR_JWT_MALFORMED},
        {"claims that nest deep", "{\"a\":[[[[[[[[[[[]]]]]]]]]]]}", WEIR_JWT_MALFORMED},
        {"claims that are no UTF-8", "{\"a\":\"\xff\"}", WEIR_JWT_MALFORMED},
        {"bound to its holder's key",
         "{\"iss\":\"https://login.example/\",\"aud\":\"weir\",\"exp\":1800000600,"
         "\"cnf\":{\"jkt\":\"x\"}}",
         WEIR_JWT_WRONG_TYPE},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect(signed_rs256(rs256, cases[i].claims), cases[i].want, cases[i].name);
    }
}

/* Good claims, signed properly; the header lies. */
static void test_headers(void)
{
    static const struct {
        const char *name;
        const char *header;
        weir_jwt_verdict_t want;
    } cases[] = {
        {"alg none", "{\"alg\":\"none\",\"kid\":\"rsa\"}", WEIR_JWT_ALGORITHM},
        {"alg None", "{\"alg\":\"None\",\"kid\":\"rsa\"}", WEIR_JWT_ALGORITHM},
        {"alg HS256", "{\"alg\":\"HS256\",\"kid\":\"rsa\"}", WEIR_JWT_ALGORITHM},
        {"alg RS1", "{\"alg\":\"RS1\",\"kid\":\"rsa\"}", WEIR_JWT_ALGORITHM},
        {"alg rs256", "{\"alg\":\"rs256\",\"kid\":\"rsa\"}", WEIR_JWT_ALGORITHM},
        {"alg RS512", "{\"alg\":\"RS512\",\"kid\":\"rsa\"}", WEIR_JWT_ALGORITHM},
        {"alg of another key", "{\"alg\":\"ES256\",\"kid\":\"rsa\"}", WEIR_JWT_ALGORITHM},
        {"alg PS256 for a key of RS256", "{\"alg\":\"PS256\",\"kid\":\"rsa\"}", WEIR_JWT_ALGORITHM},
        {"RS256 for a key of PS256", "{\"alg\":\"RS256\",\"kid\":\"pss\"}", WEIR_JWT_ALGORITHM},
        {"no alg", "{\"kid\":\"rsa\"}", WEIR_JWT_MALFORMED},
        {"alg empty", "{\"alg\":\"\",\"kid\":\"rsa\"}", WEIR_JWT_MALFORMED},
        {"alg a number", "{\"alg\":256,\"kid\":\"rsa\"}", WEIR_JWT_MALFORMED},
        {"alg a list", "{\"alg\":[\"RS256\"],\"kid\":\"rsa\"}", WEIR_JWT_MALFORMED},
        {"alg twice", "{\"alg\":\"none\",\"alg\":\"RS256\",\"kid\":\"rsa\"}", WEIR_JWT_MALFORMED},
        {"kid twice", "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"kid\":\"rsa\"}", WEIR_JWT_MALFORMED},
        {"kid unknown", "{\"alg\":\"RS256\",\"kid\":\"new\"}", WEIR_JWT_UNKNOWN_KEY},
        {"kid of a skipped key", "{\"alg\":\"RS256\",\"kid\":\"hmac\"}", WEIR_JWT_UNKNOWN_KEY},
        {"no kid, several keys", "{\"alg\":\"RS256\"}", WEIR_JWT_UNKNOWN_KEY},
        {"kid a path", "{\"alg\":\"RS256\",\"kid\":\"../../../dev/null\"}", WEIR_JWT_UNKNOWN_KEY},
        {"kid an injection", "{\"alg\":\"RS256\",\"kid\":\"rsa'||'1'='1\"}", WEIR_JWT_UNKNOWN_KEY},
        {"kid with blanks", "{\"alg\":\"RS256\",\"kid\":\"rsa \"}", WEIR_JWT_MALFORMED},
        {"kid with NUL", "{\"alg\":\"RS256\",\"kid\":\"rsa\\u0000\"}", WEIR_JWT_MALFORMED},
        {"kid with a line", "{\"alg\":\"RS256\",\"kid\":\"rsa\\nX\"}", WEIR_JWT_MALFORMED},
        {"kid empty", "{\"alg\":\"RS256\",\"kid\":\"\"}", WEIR_JWT_MALFORMED},
        {"kid a number", "{\"alg\":\"RS256\",\"kid\":1}", WEIR_JWT_MALFORMED},
        {"kid not ASCII", "{\"alg\":\"RS256\",\"kid\":\"rsa\xc3\xa4\"}", WEIR_JWT_MALFORMED},
        {"jku", "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"jku\":\"https://evil.example/\"}",
         WEIR_JWT_MALFORMED},
        {"x5u", "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"x5u\":\"https://evil.example/\"}",
         WEIR_JWT_MALFORMED},
        {"x5c", "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"x5c\":[\"AAAA\"]}", WEIR_JWT_MALFORMED},
        {"crit", "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"crit\":[\"exp\"],\"exp\":1}",
         WEIR_JWT_MALFORMED},
        {"b64", "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"b64\":false}", WEIR_JWT_MALFORMED},
        {"zip", "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"zip\":\"DEF\"}", WEIR_JWT_MALFORMED},
        {"a name of a forbidden header, escaped",
         "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"j\\u006bu\":\"https://evil.example/\"}",
         WEIR_JWT_MALFORMED},
        {"typ of another use", "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"logout+jwt\"}",
         WEIR_JWT_WRONG_TYPE},
        {"a header that is a list", "[\"RS256\"]", WEIR_JWT_MALFORMED},
        {"a header that is cut", "{\"alg\":\"RS256\"", WEIR_JWT_MALFORMED},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect(signed_rs256(cases[i].header, CLAIMS), cases[i].want, cases[i].name);
    }

    char long_kid[400];
    (void)snprintf(long_kid, sizeof(long_kid), "{\"alg\":\"RS256\",\"kid\":\"%0200d\"}", 1);
    expect(signed_rs256(long_kid, CLAIMS), WEIR_JWT_MALFORMED, "kid too long");

    weir_buf_t header;
    weir_buf_init(&header, &arena);
    weir_buf_append_z(&header, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"jwk\":");
    weir_buf_append_str(&header, jwt_make_jwk(&arena, other_rsa, MAKE_RSA, ""));
    weir_buf_append(&header, "}", 2);
    expect(jwt_make(&arena, header.data, CLAIMS, other_rsa, SIGN_PKCS1), WEIR_JWT_MALFORMED,
           "a key in the header");
}

static void test_signatures(void)
{
    static const uint8_t zeros[256];
    static const char es256[] = "{\"alg\":\"ES256\",\"kid\":\"p256\"}";
    static const char eddsa[] = "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}";
    uint8_t bytes[256] = {0};

    expect(jwt_make_hmac(&arena, "{\"alg\":\"HS256\",\"kid\":\"rsa\"}", CLAIMS, rsa_jwk),
           WEIR_JWT_ALGORITHM, "HMAC by the public key, said so");
    expect(jwt_make_hmac(&arena, rs256, CLAIMS, rsa_jwk), WEIR_JWT_BAD_SIGNATURE,
           "HMAC by the public key, called RS256");
    expect(
        jwt_make_hmac(&arena, "{\"alg\":\"HS256\",\"kid\":\"hmac\"}", CLAIMS, WEIR_STR("secret")),
        WEIR_JWT_ALGORITHM, "HMAC by a secret of the key set");
    expect(jwt_make(&arena, rs256, CLAIMS, other_rsa, SIGN_PKCS1), WEIR_JWT_BAD_SIGNATURE,
           "another key's signature");
    expect(jwt_make(&arena, rs256, CLAIMS, rsa, SIGN_PSS), WEIR_JWT_BAD_SIGNATURE,
           "the other padding");
    expect(jwt_make(&arena, "{\"alg\":\"PS256\",\"kid\":\"pss\"}", CLAIMS, rsa, SIGN_PSS_UNSALTED),
           WEIR_JWT_BAD_SIGNATURE, "PSS: no salt");
    expect(jwt_make_with(&arena, rs256, CLAIMS, zeros, 256), WEIR_JWT_BAD_SIGNATURE,
           "RSA: all zeros");
    expect(jwt_make_with(&arena, rs256, CLAIMS, zeros, 1), WEIR_JWT_BAD_SIGNATURE, "RSA: one byte");
    expect(jwt_make_with(&arena, rs256, CLAIMS, "", 0), WEIR_JWT_MALFORMED, "no signature");
    expect(jwt_make_with(&arena, es256, CLAIMS, zeros, 64), WEIR_JWT_BAD_SIGNATURE,
           "ECDSA: r and s zero");
    bytes[31] = 1;
    expect(jwt_make_with(&arena, es256, CLAIMS, bytes, 64), WEIR_JWT_BAD_SIGNATURE,
           "ECDSA: s zero");
    memset(bytes, 0xff, 64);
    expect(jwt_make_with(&arena, es256, CLAIMS, bytes, 64), WEIR_JWT_BAD_SIGNATURE,
           "ECDSA: r and s over the order");
    expect(jwt_make(&arena, es256, CLAIMS, p384, SIGN_ECDSA), WEIR_JWT_BAD_SIGNATURE,
           "ECDSA: another curve, in DER");
    expect(jwt_make(&arena, "{\"alg\":\"ES256\",\"kid\":\"p384\"}", CLAIMS, p384, SIGN_ECDSA),
           WEIR_JWT_UNKNOWN_KEY, "ECDSA: a key of another curve is not there");
    expect(jwt_make_with(&arena, eddsa, CLAIMS, zeros, 64), WEIR_JWT_BAD_SIGNATURE,
           "Ed25519: all zeros");
    expect(jwt_make(&arena, eddsa, CLAIMS, p256, SIGN_ECDSA), WEIR_JWT_BAD_SIGNATURE,
           "Ed25519: an ECDSA signature");
}

/* Bytes behind a good signature are no part of it. */
static void test_longer_signature(void)
{
    static const char es256[] = "{\"alg\":\"ES256\",\"kid\":\"p256\"}";
    weir_str_t token = jwt_make(&arena, es256, CLAIMS, p256, SIGN_ECDSA);
    uint8_t bytes[70] = {0};
    size_t len = 0;
    const char *last = memrchr(token.data, '.', token.len);

    if (last != NULL) {
        weir_str_t tail = weir_str(last + 1, (size_t)(token.data + token.len - last - 1));
        (void)weir_base64url_decode(tail, bytes, sizeof(bytes), &len);
    }
    is_int((long long)len, 64, "an ECDSA signature has 64 bytes");
    expect(jwt_make_with(&arena, es256, CLAIMS, bytes, 64), WEIR_JWT_OK, "it is good");
    expect(jwt_make_with(&arena, es256, CLAIMS, bytes, 65), WEIR_JWT_BAD_SIGNATURE,
           "with one byte more it is not");
    expect(jwt_make_with(&arena, es256, CLAIMS, bytes, 63), WEIR_JWT_BAD_SIGNATURE,
           "nor with one byte less");
}

/* Every single bit of a token counts. */
static void test_changed(void)
{
    weir_str_t token =
        jwt_make(&arena, "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}", CLAIMS, ed25519, SIGN_ED25519);
    char *copy = weir_arena_strndup(&arena, token.data, token.len);
    bool all = true;

    for (size_t i = 0; i < token.len && all; i++) {
        copy[i] = copy[i] == 'A' ? 'B' : 'A';
        all = check(weir_str(copy, token.len)) != WEIR_JWT_OK;
        copy[i] = '.';
        all = all && (token.data[i] == '.' || check(weir_str(copy, token.len)) != WEIR_JWT_OK);
        copy[i] = token.data[i];
        all = all && check(weir_str(copy, i)) != WEIR_JWT_OK;
        if (!all) {
            diag("byte %zu", i);
        }
    }
    ok(all, "no byte may change, and none may be missing");
    expect(weir_str(copy, token.len), WEIR_JWT_OK, "unchanged it is good");
}

static weir_str_t joined(weir_str_t token, const char *before, const char *after)
{
    weir_buf_t out;
    weir_buf_init(&out, &arena);
    weir_buf_append_z(&out, before);
    weir_buf_append_str(&out, token);
    weir_buf_append_z(&out, after);
    return weir_str(out.data, out.len);
}

static void test_forms(void)
{
    weir_str_t token = signed_rs256(rs256, CLAIMS);

    ok(weir_jwt_has_form(token), "a token has the form");
    ok(!weir_jwt_has_form(WEIR_STR("wk_0123456789ab_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmno-_")),
       "an API key has it not");
    ok(!weir_jwt_has_form(WEIR_STR("eyJ.eyJ")), "nor have two parts");
    ok(!weir_jwt_has_form(joined(token, "", ".x")), "nor four");
    ok(!weir_jwt_has_form(joined(token, "", "=")), "nor padding");
    ok(!weir_jwt_has_form(weir_str("", 0)), "nor nothing");

    expect(joined(token, "", "="), WEIR_JWT_MALFORMED, "padding");
    expect(joined(token, "", "\n"), WEIR_JWT_MALFORMED, "a line end behind it");
    expect(joined(token, " ", ""), WEIR_JWT_MALFORMED, "a blank before it");
    expect(joined(token, "", ".AAAA"), WEIR_JWT_MALFORMED, "a fourth part");
    expect(joined(token, ".", ""), WEIR_JWT_MALFORMED, "an empty first part");
    expect(joined(token, "AAAA", ""), WEIR_JWT_MALFORMED, "bytes before the header");
    expect(WEIR_STR(".."), WEIR_JWT_MALFORMED, "dots");
    expect(weir_str("", 0), WEIR_JWT_MALFORMED, "nothing");
    expect(WEIR_STR("{\"payload\":\"e30\",\"signatures\":[]}"), WEIR_JWT_MALFORMED,
           "the JSON serialization");
    expect(WEIR_STR("eyJhbGciOiJub25lIn0.e30."), WEIR_JWT_MALFORMED, "an empty signature");
    expect(WEIR_STR("eyJhbGciOiJSUzI1NiJ+.e30.AAAA"), WEIR_JWT_MALFORMED, "ordinary base64");
    expect(WEIR_STR("eyJhbGciOiJSUzI1NiJ9.e31.AAAA"), WEIR_JWT_MALFORMED,
           "base64url with unused bits set");

    char *huge = weir_arena_alloc(&arena, 20000);
    memset(huge, 'A', 20000);
    memcpy(huge, token.data, token.len);
    expect(weir_str(huge, 20000), WEIR_JWT_MALFORMED, "20,000 bytes");
}

static void test_rules(void)
{
    weir_jwt_rules_t r = rules();
    weir_str_t token = signed_rs256(rs256, CLAIMS);

    is_int(check_with(token, NULL, &r), WEIR_JWT_UNKNOWN_KEY, "no key set: an unknown key");
    r.algorithms = WEIR_JWT_BIT(WEIR_JWA_ES256);
    is_int(check_with(token, keys, &r), WEIR_JWT_ALGORITHM,
           "an algorithm that the rules leave out");
    r = rules();
    r.max_lifetime = 609;
    is_int(check_with(token, keys, &r), WEIR_JWT_TOO_LONG_LIVED, "living longer than allowed");
    r.max_lifetime = 610;
    is_int(check_with(token, keys, &r), WEIR_JWT_OK, "living exactly as long as allowed");
    r = rules();
    r.type = WEIR_STR("at+jwt");
    is_int(check_with(token, keys, &r), WEIR_JWT_WRONG_TYPE, "a type that the rules do not name");
    is_int(check_with(signed_rs256("{\"alg\":\"RS256\",\"kid\":\"rsa\"}", CLAIMS), keys, &r),
           WEIR_JWT_WRONG_TYPE, "no type where the rules name one");
    is_int(check_with(signed_rs256("{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":"
                                   "\"application/AT+JWT\"}",
                                   CLAIMS),
                      keys, &r),
           WEIR_JWT_OK, "the type that the rules name");
    r = rules();
    r.issuer = WEIR_STR("https://other.example/");
    is_int(check_with(token, keys, &r), WEIR_JWT_WRONG_ISSUER, "another issuer's rules");
    r = rules();
    r.n_audiences = 0;
    is_int(check_with(token, keys, &r), WEIR_JWT_WRONG_AUDIENCE, "no audience in the rules");
}

static void claim_is(const weir_jwt_t *jwt, const char *path, size_t i, const char *want)
{
    weir_str_t value = {0};
    bool found = weir_jwt_claim(jwt, &arena, weir_str(path, strlen(path)), i, &value);

    if (want == NULL) {
        ok(!found, "claim \"%s\", %zu: none", path, i);
    } else {
        is_str(found ? value.data : "", found ? value.len : 0, want, "claim \"%s\", %zu", path, i);
    }
}

static void test_mapping(void)
{
    weir_jwt_t jwt;
    weir_str_t token = signed_rs256(
        rs256, "{\"sub\":\"al\\u0069ce\",\"https://x.example/tenant\":\"acme\",\"a\":{\"b\":{\"c\":"
               "[\"one\",\"two\",3]}},\"scope\":\"read  write \",\"n\":1,\"bad\":\"a\\u000ab\","
               "\"sep\":\"a\\u2028b\",\"c1\":\"a\\u0085b\",\"empty\":\"\"}");

    is_int(weir_jwt_parse(token, &arena, &jwt, NULL), WEIR_JWT_OK, "a token with many claims");
    claim_is(&jwt, "sub", 0, "alice");
    claim_is(&jwt, "sub", 1, NULL);
    claim_is(&jwt, "https://x.example/tenant", 0, "acme");
    claim_is(&jwt, "a.b.c", 0, "one");
    claim_is(&jwt, "a.b.c", 1, "two");
    claim_is(&jwt, "a.b.c", 2, NULL);
    claim_is(&jwt, "a.b.c", 3, NULL);
    claim_is(&jwt, "a.b", 0, NULL);
    claim_is(&jwt, "a..c", 0, NULL);
    claim_is(&jwt, "", 0, NULL);
    claim_is(&jwt, ".", 0, NULL);
    claim_is(&jwt, "scope", 0, "read");
    claim_is(&jwt, "scope", 1, "write");
    claim_is(&jwt, "scope", 2, NULL);
    claim_is(&jwt, "n", 0, NULL);
    claim_is(&jwt, "bad", 0, NULL);
    claim_is(&jwt, "sep", 0, NULL);
    claim_is(&jwt, "c1", 0, NULL);
    claim_is(&jwt, "empty", 0, NULL);
}

int main(void)
{
    weir_arena_init(&arena, 1 << 20, 0);
    make_keys();
    if (keys != NULL) {
        test_valid();
        test_claims();
        test_headers();
        test_signatures();
        test_longer_signature();
        test_changed();
        test_forms();
        test_rules();
        test_mapping();
    }
    weir_jwks_free(keys);
    jwt_free_key(rsa);
    jwt_free_key(other_rsa);
    jwt_free_key(p256);
    jwt_free_key(p384);
    jwt_free_key(ed25519);
    weir_arena_free(&arena);
    return done_testing();
}

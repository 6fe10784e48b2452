/* Does a token say what the rules ask for, and what else does it say? */
#include "policies/jwt_claims.h"
#include "policies/jwt.h"

#include <strings.h>

#define MAX_TIME      INT64_C(253402300799) /* the end of the year 9999 */
#define MAX_AUDIENCES 32
#define MAX_NAME      128 /* one step of a claim's path */
#define MAX_STEPS     8

static const char media_type[] = "application/";

typedef struct {
    const weir_jwt_t *jwt;
    const weir_jwt_rules_t *rules;
    weir_arena_t *arena;
    weir_error_t *err;
} check_t;

static bool name_is(weir_str_t a, weir_str_t b)
{
    return a.len == b.len && strncasecmp(a.data, b.data, a.len) == 0;
}

static weir_str_t without_media_type(weir_str_t type)
{
    size_t n = sizeof(media_type) - 1;
    if (type.len > n && strncasecmp(type.data, media_type, n) == 0) {
        return weir_str(type.data + n, type.len - n);
    }
    return type;
}

/* RFC 8725 part 3.11: a token made for one purpose must not serve another. */
static weir_jwt_verdict_t check_type(const check_t *c)
{
    weir_str_t type = without_media_type(c->jwt->type);
    bool good;

    if (c->rules->type.len == 0) {
        good = type.len == 0 || name_is(type, WEIR_STR("JWT")) || name_is(type, WEIR_STR("at+jwt"));
    } else {
        good = name_is(type, without_media_type(c->rules->type));
    }
    if (!good) {
        return weir_jwt_say(c->err, WEIR_JWT_WRONG_TYPE,
                            "The token's type (typ) is not the one accepted here.");
    }
    /* Whoever presents such a token must prove possession of a key, which is not checked here. */
    if (weir_json_get(&c->jwt->claims, 0, "cnf") != WEIR_JSON_NONE) {
        return weir_jwt_say(c->err, WEIR_JWT_WRONG_TYPE,
                            "The token is bound to a key of its holder (cnf), which is not "
                            "supported here; use a bearer token.");
    }
    return WEIR_JWT_OK;
}

/* A NumericDate (RFC 7519 part 2), rounded down; false when it is no sane time. */
static bool read_time(const weir_json_doc_t *doc, uint32_t node, int64_t *out)
{
    double value;

    if (weir_json_int64(doc, node, out)) {
        return *out >= 0 && *out <= MAX_TIME;
    }
    if (!weir_json_double(doc, node, &value) || !(value >= 0) || value > (double)MAX_TIME) {
        return false;
    }
    *out = (int64_t)value;
    return true;
}

static weir_jwt_verdict_t check_times(const check_t *c, int64_t now, int64_t *expires)
{
    const weir_json_doc_t *doc = &c->jwt->claims;
    const weir_jwt_rules_t *rules = c->rules;
    static const char *const starts[] = {"nbf", "iat"};
    int64_t start = now;

    uint32_t node = weir_json_get(doc, 0, "exp");
    if (node == WEIR_JSON_NONE || !read_time(doc, node, expires)) {
        return weir_jwt_say(c->err, WEIR_JWT_MISSING_CLAIM,
                            "The token has no proper expiry time (exp).");
    }
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        node = weir_json_get(doc, 0, starts[i]);
        if (node == WEIR_JSON_NONE) {
            start = now;
            continue;
        }
        if (!read_time(doc, node, &start)) {
            return weir_jwt_say(c->err, WEIR_JWT_MISSING_CLAIM,
                                "The token has no proper start time (nbf or iat).");
        }
        if (start > now + rules->leeway) {
            return weir_jwt_say(c->err, WEIR_JWT_NOT_YET,
                                "The token is not valid yet (nbf or iat); compare the clocks.");
        }
    }
    if (now >= *expires + rules->leeway) {
        return weir_jwt_say(c->err, WEIR_JWT_EXPIRED, "The token has expired. Ask for a new one.");
    }
    /* start is now what "iat" says, or now */
    if (rules->max_lifetime > 0 && *expires - start > rules->max_lifetime) {
        return weir_jwt_say(c->err, WEIR_JWT_TOO_LONG_LIVED,
                            "The token is valid for longer than is accepted here.");
    }
    return WEIR_JWT_OK;
}

static bool known_audience(const check_t *c, weir_str_t audience)
{
    for (size_t i = 0; i < c->rules->n_audiences; i++) {
        if (weir_str_eq(audience, c->rules->audiences[i])) {
            return true;
        }
    }
    return false;
}

/* RFC 7519 part 4.1.3: one string, or an array of strings. */
static weir_jwt_verdict_t check_audience(const check_t *c)
{
    const weir_json_doc_t *doc = &c->jwt->claims;
    uint32_t node = weir_json_get(doc, 0, "aud");
    uint32_t n = 1;
    bool proper = node != WEIR_JSON_NONE;
    bool good = false;

    if (proper && weir_json_type(doc, node) == WEIR_JSON_ARRAY) {
        n = doc->nodes[node].size;
        proper = n > 0 && n <= MAX_AUDIENCES;
        node++;
    }
    for (uint32_t i = 0; i < n && proper; i++, node = doc->nodes[node].next) {
        weir_str_t audience;
        weir_status_t rc = weir_json_string(doc, node, c->arena, &audience);
        if (rc == WEIR_ERR_NOMEM) {
            return weir_jwt_say(c->err, WEIR_JWT_ERROR, "out of memory for a token");
        }
        proper = rc == WEIR_OK;
        good = good || (proper && known_audience(c, audience));
    }
    if (!proper) {
        return weir_jwt_say(c->err, WEIR_JWT_MISSING_CLAIM,
                            "The token has no proper audience (aud).");
    }
    return good ? WEIR_JWT_OK
                : weir_jwt_say(c->err, WEIR_JWT_WRONG_AUDIENCE,
                               "The token is meant for another service (aud).");
}

/* Where the member lies whose name is name[0..len), or WEIR_JSON_NONE. */
static uint32_t find_member(const weir_json_doc_t *doc, uint32_t object, const char *name,
                            size_t len)
{
    char z[MAX_NAME + 1];

    if (len == 0 || len > MAX_NAME || memchr(name, '\0', len) != NULL) {
        return WEIR_JSON_NONE;
    }
    memcpy(z, name, len);
    z[len] = '\0';
    return weir_json_get(doc, object, z);
}

static uint32_t find_claim(const weir_json_doc_t *doc, weir_str_t path)
{
    uint32_t node = find_member(doc, 0, path.data, path.len);
    const char *p = path.data;
    const char *end = p + path.len;

    if (node != WEIR_JSON_NONE) {
        return node;
    }
    node = 0;
    for (int i = 0; i < MAX_STEPS; i++) {
        const char *dot = memchr(p, '.', (size_t)(end - p));
        node = find_member(doc, node, p, (size_t)((dot == NULL ? end : dot) - p));
        if (node == WEIR_JSON_NONE || dot == NULL) {
            return node;
        }
        p = dot + 1;
    }
    return WEIR_JSON_NONE;
}

/* Text that may stand in a log line, a header or a metrics label. */
static bool presentable(weir_str_t s)
{
    if (s.len == 0 || s.len > WEIR_JWT_MAX_CLAIM) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c < ' ' || c == 0x7f) {
            return false;
        }
        /* U+0080 to U+009F, and the line separators U+2028 and U+2029 */
        if (c == 0xc2 && i + 1 < s.len && (unsigned char)s.data[i + 1] < 0xa0) {
            return false;
        }
        if (c == 0xe2 && i + 2 < s.len && (unsigned char)s.data[i + 1] == 0x80 &&
            ((unsigned char)s.data[i + 2] & 0xfe) == 0xa8) {
            return false;
        }
    }
    return true;
}

static bool word_at(weir_str_t text, size_t i, weir_str_t *word)
{
    const char *p = text.data;
    const char *end = p + text.len;

    while (p < end) {
        const char *blank = memchr(p, ' ', (size_t)(end - p));
        const char *stop = blank == NULL ? end : blank;
        if (stop > p && i-- == 0) {
            *word = weir_str(p, (size_t)(stop - p));
            return true;
        }
        p = stop + 1;
    }
    return false;
}

bool weir_jwt_claim(const weir_jwt_t *jwt, weir_arena_t *arena, weir_str_t path, size_t i,
                    weir_str_t *value)
{
    const weir_json_doc_t *doc = &jwt->claims;
    uint32_t node = path.len == 0 ? WEIR_JSON_NONE : find_claim(doc, path);
    weir_str_t text;

    if (node == WEIR_JSON_NONE) {
        return false;
    }
    if (weir_json_type(doc, node) == WEIR_JSON_ARRAY) {
        node = i < doc->nodes[node].size ? weir_json_at(doc, node, (uint32_t)i) : WEIR_JSON_NONE;
        if (node == WEIR_JSON_NONE) {
            return false;
        }
        i = 0;
    }
    if (weir_json_string(doc, node, arena, &text) != WEIR_OK) {
        return false;
    }
    if (weir_str_is(path, "scope") || weir_str_is(path, "scp")) {
        if (!word_at(text, i, &text)) {
            return false;
        }
    } else if (i > 0) {
        return false;
    }
    if (!presentable(text)) {
        return false;
    }
    *value = text;
    return true;
}

static weir_jwt_verdict_t check_issuer(const check_t *c)
{
    if (c->jwt->issuer.len == 0) {
        return weir_jwt_say(c->err, WEIR_JWT_MISSING_CLAIM,
                            "The token has no proper issuer (iss).");
    }
    if (!weir_str_eq(c->jwt->issuer, c->rules->issuer)) {
        return weir_jwt_say(c->err, WEIR_JWT_WRONG_ISSUER,
                            "The token is from an issuer that is not trusted here (iss).");
    }
    return WEIR_JWT_OK;
}

weir_jwt_verdict_t weir_jwt_verify(const weir_jwt_t *jwt, const weir_jwks_t *keys,
                                   const weir_jwt_rules_t *rules, int64_t now, weir_arena_t *arena,
                                   int64_t *expires, weir_error_t *err)
{
    check_t c = {.jwt = jwt, .rules = rules, .arena = arena, .err = err};
    unsigned allowed = rules->algorithms == 0 ? WEIR_JWT_ALL : rules->algorithms;
    const weir_jwks_key_t *key = keys == NULL ? NULL : weir_jwks_find(keys, jwt->kid);

    if (key == NULL) {
        return weir_jwt_say(err, WEIR_JWT_UNKNOWN_KEY,
                            "The token is signed by a key (kid) that its issuer does not publish.");
    }
    /* The key decides: a token cannot choose how it is checked. */
    if (key->alg != jwt->alg || (allowed & WEIR_JWT_BIT(key->alg)) == 0) {
        return weir_jwt_say(err, WEIR_JWT_ALGORITHM,
                            "The token is not signed by the algorithm of its key.");
    }
    int64_t end = 0;
    weir_jwt_verdict_t verdict = weir_jwt_check_signature(jwt, key, err);
    if (verdict == WEIR_JWT_OK) {
        verdict = check_type(&c);
    }
    if (verdict == WEIR_JWT_OK) {
        verdict = check_issuer(&c);
    }
    if (verdict == WEIR_JWT_OK) {
        verdict = check_audience(&c);
    }
    if (verdict == WEIR_JWT_OK) {
        verdict = check_times(&c, now, &end);
    }
    if (verdict == WEIR_JWT_OK) {
        *expires = end;
    }
    return verdict;
}

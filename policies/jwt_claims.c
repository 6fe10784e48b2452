/* Does a token say what the rules ask for, and whom does it name? */
#include "policies/jwt_claims.h"
#include "policies/jwt.h"

#include <math.h>
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
    bool good = false;

    if (c->rules->n_types == 0) {
        good = type.len == 0 || name_is(type, WEIR_STR("JWT")) || name_is(type, WEIR_STR("at+jwt"));
    }
    for (size_t i = 0; i < c->rules->n_types && !good; i++) {
        good = name_is(type, without_media_type(c->rules->types[i]));
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
    *out = (int64_t)floor(value);
    return true;
}

static weir_jwt_verdict_t check_times(const check_t *c, int64_t now, int64_t *expires)
{
    const weir_json_doc_t *doc = &c->jwt->claims;
    const weir_jwt_rules_t *rules = c->rules;
    static const char *const starts[] = {"nbf", "iat"};

    uint32_t node = weir_json_get(doc, 0, "exp");
    if (node == WEIR_JSON_NONE || !read_time(doc, node, expires)) {
        return weir_jwt_say(c->err, WEIR_JWT_MISSING_CLAIM,
                            "The token has no proper expiry time (exp).");
    }
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        int64_t start;
        node = weir_json_get(doc, 0, starts[i]);
        if (node == WEIR_JSON_NONE) {
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
    if (rules->max_lifetime > 0 && *expires > now + rules->max_lifetime + rules->leeway) {
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

/* One step of a JSON pointer: ~1 is a slash, ~0 a tilde. False when it is too long or malformed. */
static bool unescape_step(weir_str_t step, char name[MAX_NAME + 1])
{
    size_t n = 0;

    for (size_t i = 0; i < step.len; i++) {
        char c = step.data[i];
        if (c == '~') {
            i++;
            if (i == step.len || (step.data[i] != '0' && step.data[i] != '1')) {
                return false;
            }
            c = step.data[i] == '0' ? '~' : '/';
        }
        if (n == MAX_NAME || c == '\0') {
            return false;
        }
        name[n++] = c;
    }
    name[n] = '\0';
    return true;
}

/* Where the claim lies, or WEIR_JSON_NONE. */
static uint32_t find_claim(const weir_json_doc_t *doc, weir_str_t path)
{
    char name[MAX_NAME + 1];

    if (path.len == 0) {
        return WEIR_JSON_NONE;
    }
    if (path.data[0] != '/') {
        if (path.len > MAX_NAME || memchr(path.data, '\0', path.len) != NULL) {
            return WEIR_JSON_NONE;
        }
        memcpy(name, path.data, path.len);
        name[path.len] = '\0';
        return weir_json_get(doc, 0, name);
    }

    const char *p = path.data + 1;
    const char *end = path.data + path.len;
    uint32_t node = 0;
    for (int i = 0; i < MAX_STEPS; i++) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        const char *stop = slash == NULL ? end : slash;
        if (!unescape_step(weir_str(p, (size_t)(stop - p)), name)) {
            return WEIR_JSON_NONE;
        }
        node = weir_json_get(doc, node, name);
        if (node == WEIR_JSON_NONE || slash == NULL) {
            return node;
        }
        p = slash + 1;
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

/* A claim that is text; stays empty when it is not there. */
static weir_jwt_verdict_t map_text(const check_t *c, weir_str_t path, const char *message,
                                   weir_str_t *out)
{
    uint32_t node = find_claim(&c->jwt->claims, path);
    weir_str_t text;

    if (node == WEIR_JSON_NONE) {
        return WEIR_JWT_OK;
    }
    weir_status_t rc = weir_json_string(&c->jwt->claims, node, c->arena, &text);
    if (rc == WEIR_ERR_NOMEM) {
        return weir_jwt_say(c->err, WEIR_JWT_ERROR, "out of memory for a token");
    }
    if (rc != WEIR_OK || !presentable(text)) {
        return weir_jwt_say(c->err, WEIR_JWT_BAD_MAPPING, message);
    }
    *out = text;
    return WEIR_JWT_OK;
}

static bool add_role(weir_jwt_claims_t *claims, weir_str_t role)
{
    if (claims->n_roles == WEIR_JWT_MAX_ROLES || !presentable(role)) {
        return false;
    }
    claims->roles[claims->n_roles++] = role;
    return true;
}

/* "a b c", as OAuth writes scopes (RFC 6749 part 3.3) */
static bool add_words(weir_jwt_claims_t *claims, weir_str_t text)
{
    const char *p = text.data;
    const char *end = p + text.len;

    while (p < end) {
        const char *blank = memchr(p, ' ', (size_t)(end - p));
        const char *stop = blank == NULL ? end : blank;
        if (stop > p && !add_role(claims, weir_str(p, (size_t)(stop - p)))) {
            return false;
        }
        p = stop + 1;
    }
    return true;
}

static weir_jwt_verdict_t map_roles(const check_t *c, weir_jwt_claims_t *claims)
{
    const weir_json_doc_t *doc = &c->jwt->claims;
    uint32_t node = find_claim(doc, c->rules->roles_claim);
    weir_str_t text;
    bool good = true;

    if (node == WEIR_JSON_NONE) {
        return WEIR_JWT_OK;
    }
    if (weir_json_type(doc, node) == WEIR_JSON_ARRAY) {
        uint32_t n = doc->nodes[node].size;
        uint32_t item = node + 1;
        for (uint32_t i = 0; i < n && good; i++, item = doc->nodes[item].next) {
            good =
                weir_json_string(doc, item, c->arena, &text) == WEIR_OK && add_role(claims, text);
        }
    } else {
        good = weir_json_string(doc, node, c->arena, &text) == WEIR_OK && add_words(claims, text);
    }
    return good ? WEIR_JWT_OK
                : weir_jwt_say(c->err, WEIR_JWT_BAD_MAPPING,
                               "The token's claim for roles is no list of at most 32 names.");
}

static weir_jwt_verdict_t map_claims(const check_t *c, weir_jwt_claims_t *claims)
{
    const weir_jwt_rules_t *rules = c->rules;
    weir_str_t user_claim = rules->user_claim.len > 0 ? rules->user_claim : WEIR_STR("sub");

    weir_jwt_verdict_t verdict =
        map_text(c, WEIR_STR("sub"), "The token's sub is no proper text.", &claims->subject);
    if (verdict == WEIR_JWT_OK) {
        verdict = map_text(c, rules->tenant_claim,
                           "The token's claim for the tenant is no proper text.", &claims->tenant);
    }
    if (verdict == WEIR_JWT_OK && rules->tenant_claim.len > 0 && claims->tenant.len == 0) {
        verdict = weir_jwt_say(c->err, WEIR_JWT_BAD_MAPPING,
                               "The token lacks the claim that names its tenant.");
    }
    if (verdict == WEIR_JWT_OK) {
        verdict = map_text(c, rules->team_claim,
                           "The token's claim for the team is no proper text.", &claims->team);
    }
    if (verdict == WEIR_JWT_OK) {
        verdict = map_text(c, user_claim, "The token's claim for the user is no proper text.",
                           &claims->user);
    }
    return verdict == WEIR_JWT_OK ? map_roles(c, claims) : verdict;
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
                                   weir_jwt_claims_t *claims, weir_error_t *err)
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
    weir_jwt_claims_t found = {.issuer = jwt->issuer};
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
        verdict = check_times(&c, now, &found.expires);
    }
    if (verdict == WEIR_JWT_OK) {
        verdict = map_claims(&c, &found);
    }
    if (verdict == WEIR_JWT_OK) {
        *claims = found;
    }
    return verdict;
}

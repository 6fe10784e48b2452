/*
 * URLs: RFC 3986 sections 3.1 (scheme) and 3.2 (authority); user information with a password
 * (3.2.1) makes it a URL with credentials. Host names: RFC 1123 section 2.1. Names without a scheme
 * count when they begin with www, or end with a common top-level domain (IANA's root zone database)
 * and words about web sites stand near.
 */
#include "guardrails/matcher.h"

#include <strings.h>

#define MAX_URL    2048
#define MAX_SCHEME 16
#define MAX_HOST   253

/* Each before those that it ends with. */
static const char *const schemes[] = {"https", "http", "sftp", "ftps", "ftp", "wss", "ws"};

/* Countries by their two letters: the second ones of each first. */
#define L(c) (1u << ((c) - 'a'))
static const uint32_t countries[26] = {
    L('i') | L('r') | L('t') | L('u'),                   /* a */
    L('e') | L('g') | L('r'),                            /* b */
    L('a') | L('h') | L('l') | L('n') | L('o') | L('z'), /* c */
    L('e') | L('k'),                                     /* d */
    L('e') | L('s') | L('u'),                            /* e */
    L('i') | L('r'),                                     /* f */
    L('r'),                                              /* g */
    L('k') | L('r') | L('u'),                            /* h */
    L('e') | L('l') | L('n') | L('o') | L('s') | L('t'), /* i */
    L('p'),                                              /* j */
    L('r'),                                              /* k */
    L('t') | L('u') | L('v'),                            /* l */
    L('e') | L('x'),                                     /* m */
    L('l') | L('o') | L('z'),                            /* n */
    0,                                                   /* o */
    L('l') | L('t'),                                     /* p */
    0,                                                   /* q */
    L('o') | L('u'),                                     /* r */
    L('e') | L('g') | L('i') | L('k'),                   /* s */
    L('r') | L('v') | L('w'),                            /* t */
    L('a') | L('k') | L('s'),                            /* u */
    0,
    0,
    0,
    0,      /* v to y */
    L('a'), /* z */
};
#undef L

static const char *const generic[] = {"com",   "org",  "net", "edu",  "gov",    "int",  "mil",
                                      "info",  "biz",  "dev", "app",  "online", "shop", "site",
                                      "store", "tech", "xyz", "club", "blog",   "cloud"};

static bool one_of(const char *text, size_t len, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if ((text[0] | 0x20) == words[i][0] && strlen(words[i]) == len &&
            strncasecmp(text, words[i], len) == 0) {
            return true;
        }
    }
    return false;
}

/* len is at least 2. */
static bool top_level(const char *text, size_t len)
{
    if (len == 2) {
        unsigned first = ((unsigned char)text[0] | 0x20u) - 'a';
        unsigned second = ((unsigned char)text[1] | 0x20u) - 'a';
        return first < 26 && second < 26 && (countries[first] >> second & 1) != 0;
    }
    return len <= 6 && one_of(text, len, generic, sizeof(generic) / sizeof(generic[0]));
}

/* Where the URL's text ends: marks that close a sentence or a bracket around it are not its. */
static size_t url_end(const weir_guard_scan_t *scan, size_t start, size_t limit)
{
    size_t end = start;
    int open = 0;
    while (end < limit && weir_is(scan->text[end], WEIR_C_URL)) {
        char c = scan->text[end];
        if (c == ')' && --open < 0) {
            break;
        }
        open += c == '(';
        end++;
    }
    while (end > start && weir_one_of(scan->text[end - 1], ".,;:!?'*")) {
        end--;
    }
    /* "[text](url)" and "<a href='url'>" close their own. */
    while (end > start && (scan->text[end - 1] == ']' || scan->text[end - 1] == '[')) {
        end--;
    }
    return end;
}

static size_t url_limit(const weir_guard_scan_t *scan, size_t start)
{
    return start + MAX_URL < scan->len ? start + MAX_URL : scan->len;
}

/* A host name or an IPv6 literal at start: its length, 0 when there is none. */
static size_t host_length(const char *text, size_t len)
{
    size_t n = 0;
    if (len > 0 && text[0] == '[') {
        while (n < len && n < 48 && text[n] != ']') {
            n++;
        }
        return n < len && text[n] == ']' ? n + 1 : 0;
    }
    while (n < len && n < MAX_HOST &&
           (weir_is(text[n], WEIR_C_HOST) || text[n] == '.' || text[n] == '_')) {
        n++;
    }
    return n > 0 && (weir_is(text[0], WEIR_C_ALNUM) || (unsigned char)text[0] >= 0xc2) ? n : 0;
}

/* The known scheme that ends at the colon; it may stand behind letters: "seehttp://". colon: none.
 */
static size_t scheme_start(const weir_guard_scan_t *scan, size_t start, size_t colon)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t n = strlen(schemes[i]);
        if (n <= colon - start && (scan->text[colon - 1] | 0x20) == schemes[i][n - 1] &&
            strncasecmp(scan->text + colon - n, schemes[i], n) == 0) {
            return colon - n;
        }
    }
    return colon;
}

/* At the ':' of "://". True: there was a URL, done up to url_cursor. */
static void find_url(weir_guard_scan_t *scan, size_t colon)
{
    scan->work += WEIR_WORK_HOST;
    size_t limit = colon > MAX_SCHEME ? colon - MAX_SCHEME : 0;
    size_t start = colon;
    while (start > limit && (weir_is(scan->text[start - 1], WEIR_C_ALNUM) ||
                             weir_one_of(scan->text[start - 1], "+.-"))) {
        start--;
    }
    while (start < colon && !weir_is(scan->text[start], WEIR_C_ALPHA)) {
        start++;
    }
    if (start == colon) {
        return;
    }
    /* The authority first: no further than the next "://", so that a row of them costs no more. */
    size_t limit_url = url_limit(scan, colon + 3);
    size_t authority = colon + 3;
    while (authority < limit_url && weir_is(scan->text[authority], WEIR_C_URL) &&
           !weir_one_of(scan->text[authority], "/?#")) {
        authority++;
    }
    const char *text = scan->text + colon + 3;
    size_t len = url_end(scan, colon + 3, authority) - (colon + 3);
    if (text[0] == '[' && len < authority - (colon + 3) && text[len] == ']') {
        len++; /* an IPv6 literal's own bracket, with nothing behind it */
    }
    size_t user = len;
    while (user > 0 && text[user - 1] != '@') {
        user--;
    }
    if (host_length(text + user, len - user) == 0) {
        return;
    }
    size_t end = url_end(scan, colon + 3, limit_url);
    end = end < colon + 3 + len ? colon + 3 + len : end;
    scan->url_cursor = end;
    bool secret = user > 0 && memchr(text, ':', user) != NULL;
    size_t known = scheme_start(scan, start, colon);
    if (known < colon) {
        weir_guard_emit(scan, secret ? WEIR_RULE_URL_CREDENTIALS : WEIR_RULE_URL, known, end,
                        secret ? 0.97f : 0.9f);
    } else if (secret) {
        weir_guard_emit(scan, WEIR_RULE_URL_CREDENTIALS, start, end, 0.97f);
    }
}

void weir_guard_at_colon(weir_guard_scan_t *scan, size_t at)
{
    if (at + 3 < scan->len && scan->text[at + 1] == '/' && scan->text[at + 2] == '/') {
        if (at >= scan->url_cursor) {
            find_url(scan, at);
        }
        return;
    }
    if (at >= scan->colon_cursor) {
        weir_guard_find_colon_address(scan, at);
    }
}

/* A host name without a scheme; at is a dot with letters around it. */
void weir_guard_at_dot(weir_guard_scan_t *scan, size_t at)
{
    if (weir_rule_on(scan, WEIR_RULE_BOT_TOKEN)) {
        weir_guard_find_bot_token(scan, at);
    }
    if (at < scan->host_cursor || at < scan->url_cursor || at == 0 || at + 1 >= scan->len ||
        !weir_is(scan->text[at - 1], WEIR_C_HOST) || !weir_is(scan->text[at + 1], WEIR_C_HOST)) {
        return;
    }
    scan->work += WEIR_WORK_HOST;
    size_t limit = at > 64 ? at - 64 : 0;
    size_t start = at;
    while (start > limit && weir_is(scan->text[start - 1], WEIR_C_HOST)) {
        start--;
    }
    while (start < at && (unsigned char)scan->text[start] >= 0x80 &&
           (unsigned char)scan->text[start] < 0xc0) {
        start++;
    }
    size_t len = host_length(scan->text + start, scan->len - start);
    while (len > 0 && !weir_is(scan->text[start + len - 1], WEIR_C_HOST)) {
        len--;
    }
    scan->host_cursor = start + len;
    if (start > 0 && weir_one_of(scan->text[start - 1], "@/\\_$=")) {
        return;
    }
    size_t label = start + len;
    while (label > start && scan->text[label - 1] != '.') {
        label--;
    }
    size_t top = start + len - label;
    if (label == start || top < 2 || !weir_is(scan->text[label], WEIR_C_ALPHA) ||
        (start + len < scan->len && weir_one_of(scan->text[start + len], "@(_=["))) {
        return;
    }
    size_t host = start + len;
    bool www = len > 8 && strncasecmp(scan->text + start, "www.", 4) == 0 && label > start + 4;
    float score = 0.85f;
    if (!www) {
        if (!top_level(scan->text + label, top)) {
            return;
        }
        score = weir_guard_near(scan, start, host, WEIR_CONTEXT_SITE) ? 0.6f : 0.3f;
    }
    unsigned rule = www ? WEIR_RULE_URL : WEIR_RULE_DOMAIN;
    if (!weir_rule_on(scan, rule) || score < scan->rules->rule[rule].min_score) {
        return;
    }
    size_t end = host;
    if (host < scan->len && weir_one_of(scan->text[host], "/:?#")) {
        end = url_end(scan, start, url_limit(scan, start));
    }
    scan->url_cursor = end;
    weir_guard_emit(scan, rule, start, end, score);
}

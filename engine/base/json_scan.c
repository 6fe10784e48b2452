/*
 * The scanner: one pass, no recursion, no allocation. While a container is open, its node's `next`
 * holds the index of the container around it, so that the node array is also the stack.
 */
#include "engine/base/json.h"
#include "engine/base/json_text.h"
#include "engine/base/utf8.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define DEFAULT_MAX_DEPTH 64u
#define DEFAULT_MAX_BYTES (64u * 1024u * 1024u)

/* Up to this many members, comparing all pairs of keys is cheaper than sorting. */
#define PAIRWISE_MEMBERS 16u

typedef struct {
    const char *text;
    size_t len;
    size_t at;
    weir_json_node_t *nodes;
    uint32_t cap;
    uint32_t count;
    uint32_t open; /* innermost open container, or WEIR_JSON_NONE */
    uint32_t depth;
    uint32_t max_depth;
    uint32_t max_members;
    bool allow_duplicates;
    weir_error_t *err;
} scan_t;

static weir_status_t bad(scan_t *s, size_t at, const char *what)
{
    return weir_error_at(s->err, WEIR_ERR_INVALID, NULL, "invalid_json",
                         "invalid JSON at byte %zu: %s", at, what);
}

static weir_status_t too_few_nodes(scan_t *s)
{
    return weir_error_at(s->err, WEIR_ERR_LIMIT, "nodes", NULL,
                         "the JSON text has more than %u values", s->cap);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* What follows is there for every value: it is inlined into the loop over values. */
static inline __attribute__((always_inline)) void skip_space(scan_t *s)
{
    size_t at = s->at;

    while (at < s->len && (uint8_t)s->text[at] <= ' ' && is_space(s->text[at])) {
        at++;
    }
    s->at = at;
}

static inline __attribute__((always_inline)) weir_status_t
add_node(scan_t *s, weir_json_type_t type, size_t start, bool escaped)
{
    if (s->count == s->cap) {
        return too_few_nodes(s);
    }
    weir_json_node_t *node = &s->nodes[s->count++];
    node->start = (uint32_t)start;
    node->end = (uint32_t)s->at;
    node->next = s->count;
    node->size = 0;
    node->type = (uint8_t)type;
    node->escaped = escaped;
    return WEIR_OK;
}

/* Checks the escape at s->at (a backslash) and steps over it. */
static weir_status_t scan_escape(scan_t *s)
{
    size_t start = s->at;
    const char *p = s->text + s->at;
    size_t left = s->len - s->at;
    if (left < 2) {
        return bad(s, start, "the text ends inside a string");
    }
    if (p[1] != 'u') {
        if (strchr("\"\\/bfnrt", p[1]) == NULL || p[1] == '\0') {
            return bad(s, start, "unknown escape in a string");
        }
        s->at += 2;
        return WEIR_OK;
    }
    int32_t unit = left < 6 ? -1 : weir_json_hex4(p + 2);
    if (unit < 0) {
        return bad(s, start, "\\u needs four hexadecimal digits");
    }
    s->at += 6;
    if (unit < 0xD800 || unit > 0xDFFF) {
        return WEIR_OK;
    }
    int32_t low = left < 12 || p[6] != '\\' || p[7] != 'u' ? -1 : weir_json_hex4(p + 8);
    if (unit > 0xDBFF || low < 0xDC00 || low > 0xDFFF) {
        return bad(s, start, "a \\u surrogate without its partner");
    }
    s->at += 6;
    return WEIR_OK;
}

#ifdef __SSE2__
/* All ones for each of 16 bytes that is not plain. As signed bytes, non-ASCII is below 0x20, too.
 */
static inline __m128i odd_bytes(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm_or_si128(_mm_cmplt_epi8(v, _mm_set1_epi8(0x20)),
                        _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
                                     _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
}
#endif

/* How many of the bytes at p are plain: printable ASCII but the quote and the backslash. */
static size_t plain_run(const char *p, size_t len)
{
    const uint64_t ones = 0x0101010101010101u;
    const uint64_t high = 0x8080808080808080u;
    size_t i = 0;
#ifdef __SSE2__
    for (; i + 64 <= len; i += 64) {
        __m128i first = _mm_or_si128(odd_bytes(p + i), odd_bytes(p + i + 16));
        __m128i second = _mm_or_si128(odd_bytes(p + i + 32), odd_bytes(p + i + 48));
        if (_mm_movemask_epi8(_mm_or_si128(first, second)) != 0) {
            break;
        }
    }
    for (; i + 16 <= len; i += 16) {
        unsigned mask = (unsigned)_mm_movemask_epi8(odd_bytes(p + i));
        if (mask != 0) {
            return i + (size_t)__builtin_ctz(mask);
        }
    }
#endif
    for (; i + 8 <= len; i += 8) {
        uint64_t w;
        memcpy(&w, p + i, 8);
        uint64_t quote = w ^ ones * '"';
        uint64_t slash = w ^ ones * '\\';
        /* Per byte: non-ASCII, below 0x20, or zero after the XOR. A subtraction borrows from the
         * next byte only where it has found one: false alarms are all behind the first find. */
        uint64_t found = (w | (w - ones * 0x20) | (quote - ones) | (slash - ones)) & high;
        if (found != 0) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            return i + (size_t)__builtin_ctzll(found) / 8;
#else
            break;
#endif
        }
    }
    while (i < len && (uint8_t)p[i] >= 0x20 && (uint8_t)p[i] < 0x80 && p[i] != '"' &&
           p[i] != '\\') {
        i++;
    }
    return i;
}

static weir_status_t scan_long_string(scan_t *s)
{
    size_t start = s->at++;
    bool escaped = false;
    for (;;) {
        s->at += plain_run(s->text + s->at, s->len - s->at);
        if (s->at == s->len) {
            return bad(s, start, "the text ends inside a string");
        }
        uint8_t c = (uint8_t)s->text[s->at];
        if (c == '"') {
            s->at++;
            return add_node(s, WEIR_JSON_STRING, start, escaped);
        }
        if (c == '\\') {
            escaped = true;
            weir_status_t status = scan_escape(s);
            if (status != WEIR_OK) {
                return status;
            }
        } else if (c < 0x20) {
            return bad(s, s->at, "a control character in a string must be escaped");
        } else {
            uint32_t cp;
            int n = weir_utf8_decode(s->text + s->at, s->len - s->at, &cp);
            if (n < 0) {
                return bad(s, s->at, "a string is not valid UTF-8");
            }
            s->at += (size_t)n;
        }
    }
}

static inline __attribute__((always_inline)) weir_status_t scan_string(scan_t *s)
{
#ifdef __SSE2__
    /* Names, and most words, end within 16 bytes. */
    if (s->len - s->at > 16) {
        size_t start = s->at;
        const char *p = s->text + start + 1;
        unsigned mask = (unsigned)_mm_movemask_epi8(odd_bytes(p));
        size_t n = mask == 0 ? 0 : (size_t)__builtin_ctz(mask);
        if (mask != 0 && p[n] == '"') {
            s->at = start + n + 2;
            return add_node(s, WEIR_JSON_STRING, start, false);
        }
    }
#endif
    return scan_long_string(s);
}

/* Steps over digits; false when there is none. */
static bool digits(scan_t *s)
{
    size_t start = s->at;
    while (s->at < s->len && s->text[s->at] >= '0' && s->text[s->at] <= '9') {
        s->at++;
    }
    return s->at > start;
}

static weir_status_t scan_number(scan_t *s)
{
    size_t start = s->at;
    bool fraction = false;
    if (s->text[s->at] == '-') {
        s->at++;
    }
    bool zero = s->at < s->len && s->text[s->at] == '0';
    size_t first = s->at;
    if (!digits(s) || (zero && s->at > first + 1)) {
        return bad(s, start, "malformed number");
    }
    if (s->at < s->len && s->text[s->at] == '.') {
        fraction = true;
        s->at++;
        if (!digits(s)) {
            return bad(s, start, "malformed number");
        }
    }
    if (s->at < s->len && (s->text[s->at] == 'e' || s->text[s->at] == 'E')) {
        fraction = true;
        s->at++;
        if (s->at < s->len && (s->text[s->at] == '+' || s->text[s->at] == '-')) {
            s->at++;
        }
        if (!digits(s)) {
            return bad(s, start, "malformed number");
        }
    }
    return add_node(s, WEIR_JSON_NUMBER, start, fraction);
}

static weir_status_t scan_word(scan_t *s, const char *word, weir_json_type_t type)
{
    size_t start = s->at;
    size_t n = strlen(word);
    if (s->len - s->at < n || memcmp(s->text + s->at, word, n) != 0) {
        return bad(s, start, "expected a value");
    }
    s->at += n;
    return add_node(s, type, start, false);
}

static weir_json_bytes_t key_bytes(const scan_t *s, uint32_t node)
{
    const weir_json_node_t *n = &s->nodes[node];
    return weir_json_bytes(s->text + n->start + 1, s->text + n->end - 1);
}

/* Orders two keys by their unescaped bytes. */
static int compare_keys(const scan_t *s, uint32_t a, uint32_t b)
{
    const weir_json_node_t *na = &s->nodes[a];
    const weir_json_node_t *nb = &s->nodes[b];
    if (!na->escaped && !nb->escaped) {
        uint32_t la = na->end - na->start - 2;
        uint32_t lb = nb->end - nb->start - 2;
        int order = memcmp(s->text + na->start + 1, s->text + nb->start + 1, la < lb ? la : lb);
        return order != 0 ? order : (la > lb) - (la < lb);
    }
    weir_json_bytes_t ia = key_bytes(s, a);
    weir_json_bytes_t ib = key_bytes(s, b);
    for (;;) {
        int ca = weir_json_next_byte(&ia);
        int cb = weir_json_next_byte(&ib);
        if (ca != cb || ca < 0) {
            return ca - cb;
        }
    }
}

/* compare_keys() == 0; keys that differ mostly differ in length. */
static inline bool same_key(const scan_t *s, uint32_t a, uint32_t b)
{
    const weir_json_node_t *na = &s->nodes[a];
    const weir_json_node_t *nb = &s->nodes[b];
    uint32_t len = na->end - na->start;

    if (na->escaped || nb->escaped) {
        return compare_keys(s, a, b) == 0;
    }
    return nb->end - nb->start == len && memcmp(s->text + na->start, s->text + nb->start, len) == 0;
}

static weir_status_t duplicate(scan_t *s, uint32_t a, uint32_t b)
{
    const weir_json_node_t *later = &s->nodes[a > b ? a : b];
    uint32_t len = later->end - later->start;
    return weir_error_at(s->err, WEIR_ERR_INVALID, NULL, "duplicate_key",
                         "invalid JSON at byte %u: the key %.*s%s occurs twice in one object",
                         later->start, (int)(len < 80 ? len : 80), s->text + later->start,
                         len < 80 ? "" : "...");
}

static void sift_down(const scan_t *s, uint32_t *heap, uint32_t root, uint32_t count)
{
    for (uint32_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && compare_keys(s, heap[child], heap[child + 1]) < 0) {
            child++;
        }
        if (compare_keys(s, heap[root], heap[child]) >= 0) {
            return;
        }
        uint32_t t = heap[root];
        heap[root] = heap[child];
        heap[child] = t;
    }
}

/*
 * Many members: heapsort of the keys' indices (O(n log n) comparisons whatever the input, no
 * recursion), then equal keys are neighbours. The indices lie in the unused end of the node array,
 * n/5 nodes of it: an object with n members has at least 5n bytes and 2n + 1 nodes, so an array of
 * len/2 + 1 nodes always has that room.
 */
static weir_status_t check_many_keys(scan_t *s, uint32_t object)
{
    uint32_t n = s->nodes[object].size;
    uint64_t need =
        ((uint64_t)n * sizeof(uint32_t) + sizeof(weir_json_node_t) - 1) / sizeof(weir_json_node_t);
    if (s->cap - s->count < need) {
        return too_few_nodes(s);
    }
    uint32_t *keys = (uint32_t *)(void *)(s->nodes + s->count);
    for (uint32_t i = 0, at = object + 1; i < n; i++) {
        keys[i] = at;
        at = s->nodes[at + 1].next;
    }
    for (uint32_t i = n / 2; i-- > 0;) {
        sift_down(s, keys, i, n);
    }
    for (uint32_t last = n - 1; last > 0; last--) {
        uint32_t t = keys[0];
        keys[0] = keys[last];
        keys[last] = t;
        sift_down(s, keys, 0, last);
    }
    for (uint32_t i = 1; i < n; i++) {
        if (compare_keys(s, keys[i - 1], keys[i]) == 0) {
            return duplicate(s, keys[i - 1], keys[i]);
        }
    }
    return WEIR_OK;
}

static weir_status_t check_keys(scan_t *s, uint32_t object)
{
    uint32_t n = s->nodes[object].size;
    if (n > PAIRWISE_MEMBERS) {
        return check_many_keys(s, object);
    }
    uint32_t keys[PAIRWISE_MEMBERS];
    for (uint32_t i = 0, at = object + 1; i < n; i++) {
        keys[i] = at;
        for (uint32_t j = 0; j < i; j++) {
            if (same_key(s, keys[j], at)) {
                return duplicate(s, keys[j], at);
            }
        }
        at = s->nodes[at + 1].next;
    }
    return WEIR_OK;
}

static inline weir_status_t open_container(scan_t *s, weir_json_type_t type)
{
    if (s->depth == s->max_depth) {
        return weir_error_at(s->err, WEIR_ERR_LIMIT, NULL, "json_too_deep",
                             "the JSON text nests deeper than %u levels at byte %zu", s->max_depth,
                             s->at);
    }
    size_t start = s->at++;
    weir_status_t status = add_node(s, type, start, false);
    if (status != WEIR_OK) {
        return status;
    }
    s->nodes[s->count - 1].next = s->open;
    s->open = s->count - 1;
    s->depth++;
    return WEIR_OK;
}

static inline weir_status_t close_container(scan_t *s)
{
    uint32_t index = s->open;
    weir_json_node_t *node = &s->nodes[index];
    s->at++;
    s->open = node->next;
    s->depth--;
    node->next = s->count;
    node->end = (uint32_t)s->at;
    if (node->type == WEIR_JSON_OBJECT && !s->allow_duplicates) {
        return check_keys(s, index);
    }
    return WEIR_OK;
}

/* A member's key and colon, up to the value. */
static inline weir_status_t scan_key(scan_t *s)
{
    skip_space(s);
    if (s->at == s->len || s->text[s->at] != '"') {
        return bad(s, s->at, "expected a key in quotes");
    }
    weir_status_t status = scan_string(s);
    if (status != WEIR_OK) {
        return status;
    }
    skip_space(s);
    if (s->at == s->len || s->text[s->at] != ':') {
        return bad(s, s->at, "expected ':' behind a key");
    }
    s->at++;
    return WEIR_OK;
}

/* One value that is no container, or the opening of one; *opened tells which. */
static inline weir_status_t scan_value(scan_t *s, bool *opened)
{
    *opened = false;
    skip_space(s);
    if (s->at == s->len) {
        return bad(s, s->at, "the text ends where a value should be");
    }
    switch (s->text[s->at]) {
    case '{':
        *opened = true;
        return open_container(s, WEIR_JSON_OBJECT);
    case '[':
        *opened = true;
        return open_container(s, WEIR_JSON_ARRAY);
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true", WEIR_JSON_TRUE);
    case 'f':
        return scan_word(s, "false", WEIR_JSON_FALSE);
    case 'n':
        return scan_word(s, "null", WEIR_JSON_NULL);
    default:
        if (s->text[s->at] == '-' || (s->text[s->at] >= '0' && s->text[s->at] <= '9')) {
            return scan_number(s);
        }
        return bad(s, s->at, "expected a value");
    }
}

/*
 * Behind a complete value, or just inside an opened container: closes what ends here and steps over
 * the comma (and key) in front of the next value. *more is false when the root is complete.
 */
static inline weir_status_t to_next_value(scan_t *s, bool opened, bool *more)
{
    for (;; opened = false) {
        if (s->open == WEIR_JSON_NONE) {
            *more = false;
            return WEIR_OK;
        }
        weir_json_node_t *node = &s->nodes[s->open];
        bool object = node->type == WEIR_JSON_OBJECT;
        skip_space(s);
        if (s->at == s->len) {
            return bad(s, s->at,
                       object ? "the text ends inside an object" : "the text ends inside an array");
        }
        char c = s->text[s->at];
        if (c == (object ? '}' : ']')) {
            weir_status_t status = close_container(s);
            if (status != WEIR_OK) {
                return status;
            }
            continue;
        }
        if (!opened) {
            if (c != ',') {
                return bad(s, s->at, object ? "expected ',' or '}'" : "expected ',' or ']'");
            }
            s->at++;
        }
        if (object && node->size == s->max_members) {
            return weir_error_at(s->err, WEIR_ERR_LIMIT, NULL, "json_object_too_large",
                                 "an object of the JSON text has more than %u members at byte %zu",
                                 s->max_members, s->at);
        }
        node->size++;
        *more = true;
        return object ? scan_key(s) : WEIR_OK;
    }
}

weir_status_t weir_json_scan(const char *text, size_t len, const weir_json_limits_t *limits,
                             weir_json_node_t *nodes, uint32_t cap, weir_json_doc_t *doc,
                             weir_error_t *err)
{
    weir_json_limits_t none = {0};
    const weir_json_limits_t *l = limits == NULL ? &none : limits;
    uint32_t max_bytes = l->max_bytes == 0 ? DEFAULT_MAX_BYTES : l->max_bytes;
    if (len > max_bytes) {
        return weir_error_at(err, WEIR_ERR_LIMIT, NULL, "json_too_long",
                             "the JSON text has %zu bytes, the limit is %u", len, max_bytes);
    }
    scan_t s = {.text = text,
                .len = len,
                .nodes = nodes,
                .cap = cap,
                .open = WEIR_JSON_NONE,
                .max_depth = l->max_depth == 0 ? DEFAULT_MAX_DEPTH : l->max_depth,
                .max_members = l->max_members == 0 ? UINT32_MAX : l->max_members,
                .allow_duplicates = l->allow_duplicate_keys,
                .err = err};
    for (bool more = true; more;) {
        bool opened;
        weir_status_t status = scan_value(&s, &opened);
        if (status == WEIR_OK) {
            status = to_next_value(&s, opened, &more);
        }
        if (status != WEIR_OK) {
            return status;
        }
    }
    skip_space(&s);
    if (s.at != len) {
        return bad(&s, s.at, "unexpected text behind the value");
    }
    *doc = (weir_json_doc_t){.text = text, .len = len, .nodes = nodes, .count = s.count};
    return WEIR_OK;
}

weir_status_t weir_json_parse(const char *text, size_t len, const weir_json_limits_t *limits,
                              weir_arena_t *arena, weir_json_doc_t *doc, weir_error_t *err)
{
    uint64_t most = (uint64_t)len / 2 + 1;
    for (uint64_t cap = 64 + len / 16;; cap *= 4) {
        cap = cap > most ? most : cap;
        cap = cap > UINT32_MAX ? UINT32_MAX : cap;
        weir_json_node_t *nodes = weir_arena_alloc(arena, (size_t)cap * sizeof(*nodes));
        if (nodes == NULL) {
            return weir_error(err, WEIR_ERR_NOMEM, "out of memory for a JSON text of %zu bytes",
                              len);
        }
        weir_error_t local;
        weir_status_t status = weir_json_scan(text, len, limits, nodes, (uint32_t)cap, doc, &local);
        bool grow = status == WEIR_ERR_LIMIT && strcmp(local.field, "nodes") == 0 && cap < most;
        if (!grow) {
            if (status != WEIR_OK && err != NULL) {
                *err = local;
            }
            return status;
        }
    }
}

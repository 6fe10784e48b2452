#include "guardrails/placeholder.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

typedef struct {
    weir_str_t name;  /* without brackets */
    weir_str_t value; /* data NULL: a name of the client's own, never restored */
    weir_str_t full;  /* with brackets */
    weir_str_t type;
} entry_t;

/* A type that names were given for; there are few. */
typedef struct kind {
    weir_str_t type;
    uint32_t last; /* the number of the last name, where names are counted */
    struct kind *next;
} kind_t;

struct weir_placeholders {
    weir_arena_t *arena;
    uint8_t key[WEIR_PLACEHOLDER_KEY_LEN];
    bool keyed;
    entry_t *entries;
    kind_t *kinds;
    uint32_t count;
    uint32_t given;
    uint32_t cap;
    uint32_t *by_name; /* hash tables of index + 1, slots a power of two */
    uint32_t *by_value;
    uint32_t slots;
    size_t longest;
};

static uint64_t hash_bytes(uint64_t h, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)data[i]) * 0x100000001b3u; /* FNV-1a */
    return h;
}

#define FNV_BASIS 0xcbf29ce484222325u

static uint64_t hash_value(weir_str_t type, weir_str_t value)
{
    uint64_t h = hash_bytes(FNV_BASIS, type.data, type.len);
    return hash_bytes((h ^ 0xff) * 0x100000001b3u, value.data, value.len);
}

weir_status_t weir_placeholders_open(weir_arena_t *arena, const uint8_t *key,
                                     weir_placeholders_t **out)
{
    weir_placeholders_t *map = weir_arena_calloc(arena, 1, sizeof *map);
    if (map == NULL)
        return WEIR_ERR_NOMEM;
    map->arena = arena;
    if (key != NULL) {
        memcpy(map->key, key, sizeof map->key);
        map->keyed = true;
    }
    *out = map;
    return WEIR_OK;
}

static void index_entry(weir_placeholders_t *map, uint32_t i)
{
    uint32_t mask = map->slots - 1;
    const entry_t *e = &map->entries[i];
    uint32_t slot = (uint32_t)hash_bytes(FNV_BASIS, e->name.data, e->name.len) & mask;
    while (map->by_name[slot] != 0)
        slot = (slot + 1) & mask;
    map->by_name[slot] = i + 1;
    if (e->value.data == NULL)
        return;
    slot = (uint32_t)hash_value(e->type, e->value) & mask;
    while (map->by_value[slot] != 0)
        slot = (slot + 1) & mask;
    map->by_value[slot] = i + 1;
}

static bool grow(weir_placeholders_t *map)
{
    if (map->count < map->cap)
        return true;
    uint32_t cap = map->cap == 0 ? 16 : map->cap * 2;
    entry_t *entries = weir_arena_alloc(map->arena, cap * sizeof *entries);
    uint32_t *by_name = weir_arena_calloc(map->arena, (size_t)cap * 2, sizeof *by_name);
    uint32_t *by_value = weir_arena_calloc(map->arena, (size_t)cap * 2, sizeof *by_value);
    if (entries == NULL || by_name == NULL || by_value == NULL)
        return false;
    if (map->count > 0)
        memcpy(entries, map->entries, map->count * sizeof *entries);
    map->entries = entries;
    map->cap = cap;
    map->by_name = by_name;
    map->by_value = by_value;
    map->slots = cap * 2;
    for (uint32_t i = 0; i < map->count; i++)
        index_entry(map, i);
    return true;
}

static const entry_t *find_name(const weir_placeholders_t *map, weir_str_t name)
{
    if (map->slots == 0)
        return NULL;
    uint32_t mask = map->slots - 1;
    uint32_t slot = (uint32_t)hash_bytes(FNV_BASIS, name.data, name.len) & mask;
    for (; map->by_name[slot] != 0; slot = (slot + 1) & mask) {
        const entry_t *e = &map->entries[map->by_name[slot] - 1];
        if (weir_str_eq(e->name, name))
            return e;
    }
    return NULL;
}

static const entry_t *find_value(const weir_placeholders_t *map, weir_str_t type, weir_str_t value)
{
    if (map->slots == 0)
        return NULL;
    uint32_t mask = map->slots - 1;
    uint32_t slot = (uint32_t)hash_value(type, value) & mask;
    for (; map->by_value[slot] != 0; slot = (slot + 1) & mask) {
        const entry_t *e = &map->entries[map->by_value[slot] - 1];
        if (weir_str_eq(e->type, type) && weir_str_eq(e->value, value))
            return e;
    }
    return NULL;
}

static weir_status_t add(weir_placeholders_t *map, weir_str_t type, const char *name,
                         size_t name_len, weir_str_t value, const entry_t **out)
{
    if (!grow(map))
        return WEIR_ERR_NOMEM;
    char *full = weir_arena_alloc(map->arena, name_len + 2);
    char *copy = NULL;
    if (value.data != NULL)
        copy = weir_arena_strndup(map->arena, value.data, value.len);
    char *kind = weir_arena_strndup(map->arena, type.data, type.len);
    if (full == NULL || (value.data != NULL && copy == NULL) || kind == NULL)
        return WEIR_ERR_NOMEM;
    full[0] = '<';
    memcpy(full + 1, name, name_len);
    full[name_len + 1] = '>';
    entry_t *e = &map->entries[map->count];
    e->full = weir_str(full, name_len + 2);
    e->name = weir_str(full + 1, name_len);
    e->value = weir_str(copy, copy == NULL ? 0 : value.len);
    e->type = weir_str(kind, type.len);
    if (copy != NULL && name_len > map->longest)
        map->longest = name_len;
    index_entry(map, map->count++);
    if (out != NULL)
        *out = e;
    return WEIR_OK;
}

/* --- names in text --- */

static bool is_word(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

typedef enum { SEEN_NO, SEEN_YES, SEEN_PART } seen_t;

/* A fixed spelling at text[0..len): NO also when it is not there. */
static seen_t literal(const char *text, size_t len, const char *z, size_t *used)
{
    size_t n = strlen(z);
    for (size_t i = 0; i < n; i++) {
        if (i == len)
            return SEEN_PART;
        if (upper(text[i]) != upper(z[i]))
            return SEEN_NO;
    }
    *used = n;
    return SEEN_YES;
}

static seen_t bracket(const char *text, size_t len, bool open, size_t *used)
{
    static const char *const opening[] = {"<", "\\<", "&lt;", "\\u003c"};
    static const char *const closing[] = {">", "\\>", "&gt;", "\\u003e"};
    bool part = false;
    for (size_t i = 0; i < sizeof opening / sizeof *opening; i++) {
        seen_t seen = literal(text, len, open ? opening[i] : closing[i], used);
        if (seen == SEEN_YES)
            return seen;
        part = part || seen == SEEN_PART;
    }
    return part ? SEEN_PART : SEEN_NO;
}

/* Reads letters, digits and underscores, each underscore maybe behind a backslash, in capitals.
 * PART: the text ended before anything else came. */
static seen_t word(const char *text, size_t len, char name[WEIR_PLACEHOLDER_NAME], size_t *name_len,
                   size_t *used)
{
    size_t n = 0;
    size_t i = 0;
    while (i < len) {
        size_t at = i;
        if (text[i] == '\\') {
            if (i + 1 == len)
                break;
            if (text[i + 1] != '_')
                break;
            at = i + 1;
        }
        if (!is_word(text[at]))
            break;
        if (n == WEIR_PLACEHOLDER_NAME)
            return SEEN_NO;
        name[n++] = upper(text[at]);
        i = at + 1;
    }
    *name_len = n;
    *used = i;
    bool cut = i == len || (text[i] == '\\' && i + 1 == len);
    return cut ? SEEN_PART : n > 0 ? SEEN_YES : SEEN_NO;
}

/* Whether the digits begin a number that was given, or may begin the digits of a keyed name. */
static bool begins_digits(const weir_placeholders_t *map, uint32_t last, const char *p, size_t len)
{
    uint64_t number = 0;
    for (size_t i = 0; i < len; i++) {
        bool digit = p[i] >= '0' && p[i] <= '9';
        if (!digit && !(map->keyed && p[i] >= 'A' && p[i] <= 'F'))
            return false;
        number = number < UINT32_MAX ? number * 10 + (uint64_t)(p[i] - '0') : number;
    }
    return map->keyed || len == 0 || (p[0] != '0' && number <= last);
}

/* As a piece of a stream ends as a rule in a word: the time does not grow with the names. */
static bool begins_name(const weir_placeholders_t *map, const char *name, size_t len)
{
    for (const kind_t *k = map->kinds; k != NULL; k = k->next) {
        size_t n = k->type.len;
        if (memcmp(k->type.data, name, len < n ? len : n) != 0)
            continue;
        if (len <= n)
            return true;
        if (name[n] == '_' && len <= map->longest &&
            begins_digits(map, k->last, name + n + 1, len - n - 1))
            return true;
    }
    return false;
}

/*
 * A name at the beginning of text. last: the text ends there. PART: more text could make it one.
 * With a bracket in front what stands before it does not matter.
 */
static seen_t name_at(const weir_placeholders_t *map, const char *text, size_t len, bool after_word,
                      bool last, const entry_t **found, size_t *used)
{
    size_t open = 0;
    seen_t seen = bracket(text, len, true, &open);
    if (seen == SEEN_PART && !last)
        return SEEN_PART;
    if (seen != SEEN_YES)
        open = 0;
    if (open == 0 && after_word)
        return SEEN_NO;
    char name[WEIR_PLACEHOLDER_NAME];
    size_t name_len;
    size_t n;
    seen = word(text + open, len - open, name, &name_len, &n);
    if (seen == SEEN_NO)
        return SEEN_NO;
    if (seen == SEEN_PART && !last)
        return begins_name(map, name, name_len) ? SEEN_PART : SEEN_NO;
    const entry_t *e = find_name(map, weir_str(name, name_len));
    if (e == NULL || e->value.data == NULL)
        return SEEN_NO;
    size_t close = 0;
    seen = bracket(text + open + n, len - open - n, false, &close);
    if (seen == SEEN_PART && !last)
        return SEEN_PART;
    /* A backslash that stood in front of the entity is not Markdown's: the rest is as we wrote it.
     */
    if (open == 2 && n == name_len && seen == SEEN_YES && close == 1)
        return SEEN_NO;
    *found = e;
    *used = open + n + (seen == SEEN_YES ? close : 0);
    return SEEN_YES;
}

/* --- giving names --- */

/* Behind the last underscore stands a number, or the digits of a keyed name. */
static bool could_be_ours(const char *name, size_t len)
{
    const char *last = memrchr(name, '_', len);
    if (last == NULL || last + 1 == name + len)
        return false;
    size_t digits = 0;
    size_t all = (size_t)(name + len - last - 1);
    for (size_t i = 1; i <= all; i++) {
        if (last[i] >= '0' && last[i] <= '9')
            digits++;
        else if (last[i] < 'A' || last[i] > 'F')
            return false;
    }
    return digits == all || all >= 8;
}

weir_status_t weir_placeholders_avoid(weir_placeholders_t *map, const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        if (!is_word(text[i])) {
            i++;
            continue;
        }
        char name[WEIR_PLACEHOLDER_NAME];
        size_t name_len;
        size_t used;
        seen_t seen = word(text + i, len - i, name, &name_len, &used);
        if (seen == SEEN_NO) {
            while (i < len && (is_word(text[i]) || text[i] == '\\'))
                i++;
            continue;
        }
        if (could_be_ours(name, name_len) && find_name(map, weir_str(name, name_len)) == NULL) {
            if (map->count >= 2 * WEIR_PLACEHOLDER_MAX)
                return WEIR_ERR_LIMIT;
            weir_status_t rc = add(map, weir_str("", 0), name, name_len, weir_str(NULL, 0), NULL);
            if (rc != WEIR_OK)
                return rc;
        }
        i += used;
    }
    return WEIR_OK;
}

static bool valid_type(const char *type, size_t len)
{
    if (len == 0 || len > WEIR_PLACEHOLDER_TYPE || type[0] < 'A' || type[0] > 'Z')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_word(type[i]) || upper(type[i]) != type[i])
            return false;
    return true;
}

/* Hexadecimal digits of the keyed digest; 8 to begin with, more when another value has them. */
static bool keyed_digits(const weir_placeholders_t *map, weir_str_t type, weir_str_t value,
                         char digits[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    weir_arena_t scratch;
    weir_buf_t input;
    weir_arena_init(&scratch, 1024, 0);
    weir_buf_init(&input, &scratch);
    weir_buf_append_str(&input, type);
    weir_buf_append_char(&input, '\0');
    weir_buf_append_str(&input, value);
    bool good = !input.failed &&
                HMAC(EVP_sha256(), map->key, sizeof map->key, (const unsigned char *)input.data,
                     input.len, digest, &n) != NULL &&
                n == 32;
    weir_arena_free(&scratch);
    for (unsigned i = 0; good && i < 32; i++)
        (void)snprintf(digits + (size_t)2 * i, 3, "%02X", digest[i]);
    return good;
}

static kind_t *kind_of(weir_placeholders_t *map, weir_str_t type)
{
    for (kind_t *k = map->kinds; k != NULL; k = k->next)
        if (weir_str_eq(k->type, type))
            return k;
    kind_t *k = weir_arena_calloc(map->arena, 1, sizeof *k);
    char *copy = weir_arena_strndup(map->arena, type.data, type.len);
    if (k == NULL || copy == NULL)
        return NULL;
    k->type = weir_str(copy, type.len);
    k->next = map->kinds;
    map->kinds = k;
    return k;
}

static weir_status_t free_name(weir_placeholders_t *map, kind_t *kind, weir_str_t value,
                               char name[WEIR_PLACEHOLDER_NAME + 1], size_t *len)
{
    weir_str_t type = kind->type;
    char digits[65];
    if (map->keyed && !keyed_digits(map, type, value, digits))
        return WEIR_ERR_INTERNAL;
    uint32_t number = kind->last + 1;
    for (int width = 8;; number++, width++) {
        int n = map->keyed ? snprintf(name, WEIR_PLACEHOLDER_NAME + 1, "%.*s_%.*s", (int)type.len,
                                      type.data, width, digits)
                           : snprintf(name, WEIR_PLACEHOLDER_NAME + 1, "%.*s_%u", (int)type.len,
                                      type.data, number);
        if (n < 0 || n > WEIR_PLACEHOLDER_NAME || (map->keyed && width > 32))
            return WEIR_ERR_LIMIT;
        *len = (size_t)n;
        if (find_name(map, weir_str(name, *len)) == NULL) {
            kind->last = number;
            return WEIR_OK;
        }
    }
}

weir_status_t weir_placeholders_name(weir_placeholders_t *map, const char *type, weir_str_t value,
                                     weir_str_t *name)
{
    weir_str_t kind = weir_str(type, strlen(type));
    if (!valid_type(kind.data, kind.len))
        return WEIR_ERR_INVALID;
    if (value.data == NULL)
        value = weir_str("", 0);
    const entry_t *e = find_value(map, kind, value);
    if (e == NULL) {
        char fresh[WEIR_PLACEHOLDER_NAME + 1];
        size_t len;
        if (map->given >= WEIR_PLACEHOLDER_MAX)
            return WEIR_ERR_LIMIT;
        kind_t *k = kind_of(map, kind);
        if (k == NULL)
            return WEIR_ERR_NOMEM;
        weir_status_t rc = free_name(map, k, value, fresh, &len);
        if (rc == WEIR_OK)
            rc = add(map, kind, fresh, len, value, &e);
        if (rc != WEIR_OK)
            return rc;
        map->given++;
    }
    *name = e->full;
    return WEIR_OK;
}

size_t weir_placeholders_count(const weir_placeholders_t *map)
{
    return map->given;
}

/* --- restoring --- */

void weir_restorer_init(weir_restorer_t *r, const weir_placeholders_t *map)
{
    memset(r, 0, sizeof *r);
    r->map = map;
}

/* Restores text[0..len); what may still become a name is left: *rest is where it begins. */
static void restore(weir_restorer_t *r, const char *text, size_t len, bool last, weir_buf_t *out,
                    weir_restore_write_pt write, void *ctx, size_t *rest)
{
    size_t plain = 0;
    size_t i = 0;
    while (i < len) {
        char c = text[i];
        bool candidate = c == '<' || c == '&' || c == '\\' || (is_word(c) && !r->after_word);
        const entry_t *e = NULL;
        size_t used = 0;
        seen_t seen = SEEN_NO;
        if (candidate)
            seen = name_at(r->map, text + i, len - i, r->after_word, last, &e, &used);
        if (seen == SEEN_PART && len - i < sizeof r->held)
            break;
        if (seen == SEEN_YES) {
            weir_buf_append(out, text + plain, i - plain);
            if (write != NULL)
                write(ctx, out, e->value);
            else
                weir_buf_append_str(out, e->value);
            r->restored++;
            i += used;
            plain = i;
            r->after_word = false;
            continue;
        }
        r->after_word = is_word(c);
        i++;
    }
    weir_buf_append(out, text + plain, i - plain);
    *rest = i;
}

weir_status_t weir_restorer_feed(weir_restorer_t *r, const char *text, size_t len, bool last,
                                 weir_buf_t *out, weir_restore_write_pt write, void *ctx)
{
    if (r->map == NULL || r->map->given == 0) {
        weir_buf_append(out, text, len);
        return out->failed ? WEIR_ERR_NOMEM : WEIR_OK;
    }
    size_t rest = 0;
    /* The held bytes go on with as much of the piece as a name can need. */
    while (r->held_len > 0 && (len > 0 || last)) {
        char joined[2 * sizeof r->held];
        size_t held = r->held_len;
        size_t take = len < sizeof r->held ? len : sizeof r->held;
        memcpy(joined, r->held, held);
        if (take > 0)
            memcpy(joined + held, text, take);
        restore(r, joined, held + take, last && take == len, out, write, ctx, &rest);
        if (rest < held) {
            /* Still undecided, although the whole piece was looked at. */
            memmove(r->held, joined + rest, held + take - rest);
            r->held_len = held + take - rest;
            return out->failed ? WEIR_ERR_NOMEM : WEIR_OK;
        }
        r->held_len = 0;
        text += rest - held;
        len -= rest - held;
    }
    if (len > 0) {
        restore(r, text, len, last, out, write, ctx, &rest);
        r->held_len = len - rest;
        memcpy(r->held, text + rest, r->held_len);
    }
    return out->failed ? WEIR_ERR_NOMEM : WEIR_OK;
}

/*
 * Finding literals: each has a lead, three of its bytes that are rare in text and that it shares a
 * bucket with as few others as can be. The filter (vector.h) tells at which bytes a lead may stand;
 * there the literals whose lead has the same hash are compared.
 */
#include "guardrails/matcher.h"

#include <stdlib.h>

#define FILTER_LITERALS 4096  /* more go by the bitmap alone */
#define FILTER_PASSES   0.12F /* share of bytes that a filter may let pass; else the bitmap */
#define MAX_LEADS       24    /* of one literal that are tried */
#define VALUES          64    /* of a byte without its bits 0x80 and 0x20 */

/* Share of a character in text, mostly English, some code; upper and lower case together. */
static float often(char c)
{
    static const uint8_t per_mille[] = {60, 12, 21, 25, 97, 14, 16, 44, 51, 2,  6, 31, 25,
                                        53, 63, 12, 1,  45, 46, 67, 25, 9,  22, 1, 16, 1};
    unsigned letter = ((unsigned char)c | 0x20u) - 'a';
    if (letter < sizeof(per_mille)) {
        return (float)per_mille[letter] / 1000;
    }
    /* Without its bit 0x20 a space is NUL, '*' a line feed. */
    return c == ' ' ? 0.18F : weir_one_of(c, ".,*") ? 0.008F : 0.0012F;
}

/* The six bits of a byte that the filter minds. */
static unsigned value_of(char c)
{
    return ((unsigned char)c & 0x1fu) | ((unsigned char)c & 0x40u) >> 1;
}

/* Buckets under construction: which values each place has, and their share of text. */
typedef struct {
    uint64_t values[WEIR_FILTER_BUCKETS][3];
    float share[WEIR_FILTER_BUCKETS][3];
} buckets_t;

static float product(const float share[3])
{
    return share[0] * share[1] * share[2];
}

static size_t leads_of(const weir_guard_literal_t *l)
{
    return l->len - 2 < MAX_LEADS ? l->len - 2 : MAX_LEADS;
}

static float rarity(const char *lead)
{
    return often(lead[0]) * often(lead[1]) * often(lead[2]);
}

static uint32_t rarest(const weir_guard_literal_t *l)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < leads_of(l); i++) {
        best = rarity(l->text + i) < rarity(l->text + best) ? i : best;
    }
    return best;
}

/* Takes a lead and a bucket for the literal that let the least more text pass. */
static void place(buckets_t *buckets, weir_guard_literal_t *l)
{
    float least = 2;
    unsigned best = 0;
    for (unsigned b = 0; b < WEIR_FILTER_BUCKETS; b++) {
        float before = product(buckets->share[b]);
        for (uint32_t lead = 0; lead < leads_of(l); lead++) {
            float share[3];
            for (unsigned p = 0; p < 3; p++) {
                char c = l->text[lead + p];
                bool has = (buckets->values[b][p] >> value_of(c) & 1) != 0;
                share[p] = buckets->share[b][p] + (has ? 0 : often(c));
            }
            if (product(share) - before < least) {
                least = product(share) - before;
                best = b;
                l->lead = lead;
            }
        }
    }
    for (unsigned p = 0; p < 3; p++) {
        char c = l->text[l->lead + p];
        uint64_t bit = 1ull << value_of(c);
        if ((buckets->values[best][p] & bit) == 0) {
            buckets->values[best][p] |= bit;
            buckets->share[best][p] += often(c);
        }
    }
}

typedef struct {
    float rarity;
    uint32_t literal;
} ranked_t;

/* The commonest first; of two that are alike the first. */
static int by_rarity(const void *a, const void *b)
{
    const ranked_t *x = a;
    const ranked_t *y = b;
    if (x->rarity > y->rarity || x->rarity < y->rarity) {
        return x->rarity > y->rarity ? -1 : 1;
    }
    return (x->literal > y->literal) - (x->literal < y->literal);
}

/* Places all literals in buckets; *fits: what passes is little enough. False: out of memory. */
static bool fill_buckets(weir_guard_rules_t *rules, buckets_t *buckets, bool *fits)
{
    ranked_t *order = malloc((rules->literal_count + 1) * sizeof(*order));
    if (order == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < rules->literal_count; i++) {
        const weir_guard_literal_t *l = &rules->literals[i];
        order[i] = (ranked_t){rarity(l->text + rarest(l)), i};
    }
    qsort(order, rules->literal_count, sizeof(*order), by_rarity);
    for (size_t i = 0; i < rules->literal_count; i++) {
        place(buckets, &rules->literals[order[i].literal]);
    }
    free(order);
    float passes = 0;
    for (unsigned b = 0; b < WEIR_FILTER_BUCKETS; b++) {
        passes += product(buckets->share[b]);
    }
    *fits = passes < FILTER_PASSES;
    return true;
}

static weir_guard_filter_t *make_filter(weir_guard_rules_t *rules, const buckets_t *buckets)
{
    size_t align = _Alignof(weir_guard_filter_t);
    char *memory = weir_arena_calloc(&rules->arena, 1, sizeof(weir_guard_filter_t) + align);
    if (memory == NULL) {
        return NULL;
    }
    memory += (align - (uintptr_t)memory % align) % align;
    weir_guard_filter_t *filter = (weir_guard_filter_t *)(void *)memory;
    for (unsigned b = 0; b < WEIR_FILTER_BUCKETS; b++) {
        for (unsigned p = 0; p < 3; p++) {
            for (unsigned c = 0; c < 128; c++) {
                bool has = (buckets->values[b][p] >> value_of((char)c) & 1) != 0;
                filter->table[b / 8][p][c] |= has ? (uint8_t)(1u << b % 8) : 0;
            }
        }
    }
    return filter;
}

/* Eight bytes, or the fewer there are before end and zeroes. */
static uint64_t eight_bytes(const char *at, const char *end)
{
    uint64_t eight = 0;
    if (end - at >= 8) {
        memcpy(&eight, at, 8);
    } else {
        memcpy(&eight, at, (size_t)(end - at));
    }
    return eight;
}

/* What to compare at the lead, and the chain of its hash. */
static void link_literal(weir_guard_rules_t *rules, uint32_t index)
{
    weir_guard_literal_t *l = &rules->literals[index];
    char fold[8] = {0};
    char care[8] = {0};
    for (size_t i = 0; i < 8 && l->lead + i < l->len; i++) {
        fold[i] = weir_is(l->text[l->lead + i], WEIR_C_LOWER) ? 0x20 : 0;
        care[i] = (char)0xff;
    }
    bool row = l->pattern != UINT32_MAX && weir_is(l->text[0], WEIR_C_LOWER);
    for (size_t i = 1; i < l->len; i++) {
        row = row && l->text[i] == l->text[0];
    }
    l->row = row;
    memcpy(&l->fold, fold, 8);
    memcpy(&l->care, care, 8);
    l->want = eight_bytes(l->text + l->lead, l->text + l->len);
    uint32_t three = 0;
    memcpy(&three, l->text + l->lead, 3);
    uint32_t hash = weir_guard_trigram(three);
    uint32_t *head = &rules->literal_heads[hash % WEIR_LITERAL_HEADS];
    l->next = *head;
    *head = index;
    rules->bitmap[hash / 64] |= 1ull << hash % 64;
}

weir_status_t weir_guard_place_literals(weir_guard_rules_t *rules, weir_error_t *err)
{
    buckets_t buckets = {0};
    bool fits = false;
    rules->vector = weir_guard_vector(NULL);
    memset(rules->literal_heads, 0xff, sizeof(rules->literal_heads));
    rules->bitmap = weir_arena_calloc(&rules->arena, WEIR_BITMAP_BITS / 64, sizeof(uint64_t));
    bool memory = rules->bitmap != NULL;
    if (memory && rules->literal_count <= FILTER_LITERALS) {
        memory = fill_buckets(rules, &buckets, &fits);
    }
    if (memory && fits) {
        rules->filter = make_filter(rules, &buckets);
        memory = rules->filter != NULL;
    }
    if (!memory) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for %zu literals", rules->literal_count);
    }
    for (uint32_t i = 0; i < rules->literal_count; i++) {
        if (!fits) {
            rules->literals[i].lead = rarest(&rules->literals[i]);
        }
        link_literal(rules, i);
    }
    return WEIR_OK;
}

/* Is the literal at text[at], case aside where it does not mind it? Its lead is. */
static bool stands(const weir_guard_literal_t *l, const char *text)
{
    size_t k = 0;
    for (; k + 8 <= l->len; k += 8) {
        if (weir_guard_lower_eight(eight_bytes(text + k, text + k + 8)) !=
            eight_bytes(l->text + k, l->text + k + 8)) {
            return false;
        }
    }
    for (; k < l->len; k++) {
        char c = text[k];
        if ((weir_is(c, WEIR_C_UPPER) ? (char)(c | 0x20) : c) != l->text[k]) {
            return false;
        }
    }
    return l->exact == NULL || memcmp(text, l->exact, l->len) == 0;
}

/* How many letters stand at text in a row that are c, upper or lower case. */
static size_t row_length(const char *text, size_t len, char c)
{
    size_t n = 0;
    while (n < len && (text[n] | 0x20) == c) {
        n++;
    }
    return n;
}

/* The literals from one on with the same hash: does one have its lead at text[at]? */
static void try_chain(weir_guard_scan_t *scan, size_t at, uint64_t eight, uint32_t first)
{
    for (uint32_t i = first; i != WEIR_NO_LITERAL;) {
        const weir_guard_literal_t *l = &scan->rules->literals[i];
        i = l->next;
        if (l->row && at > scan->begin && (scan->text[at - 1] | 0x20) == l->text[0]) {
            continue;
        }
        if (((eight | l->fold) & l->care) == l->want && l->lead <= at &&
            l->len <= scan->len - (at - l->lead) && stands(l, scan->text + at - l->lead)) {
            size_t start = at - l->lead;
            size_t len = l->row ? row_length(scan->text + at, scan->len - at, l->text[0]) : l->len;
            weir_guard_at_literal(scan, l, start, len);
        }
    }
}

/* A lead may stand at text[at]; three bytes are there. */
static inline void try_lead(weir_guard_scan_t *scan, size_t at)
{
    uint64_t eight = eight_bytes(scan->text + at, scan->text + scan->len);
    uint32_t hash = weir_guard_trigram((uint32_t)eight) % WEIR_LITERAL_HEADS;
    uint32_t first = scan->rules->literal_heads[hash];
    if (first != WEIR_NO_LITERAL) {
        scan->work += WEIR_WORK_LEAD;
        try_chain(scan, at, eight, first);
    }
}

static void find_by_bitmap(weir_guard_scan_t *scan)
{
    const uint64_t *bitmap = scan->rules->bitmap;
    size_t at = scan->begin;
    for (; at + 4 <= scan->len; at++) {
        uint32_t four;
        memcpy(&four, scan->text + at, 4);
        uint32_t hash = weir_guard_trigram(four);
        if ((bitmap[hash / 64] >> hash % 64 & 1) != 0) {
            try_lead(scan, at);
        }
    }
    if (at + 3 <= scan->len) {
        try_lead(scan, at);
    }
}

static void try_found(weir_guard_scan_t *scan, size_t at, const uint64_t *found, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, at += WEIR_BLOCK) {
        if (scan->work > scan->limit) {
            scan->truncated = true;
            return;
        }
        for (uint64_t bits = found[b]; bits != 0; bits &= bits - 1) {
            try_lead(scan, at + (size_t)__builtin_ctzll(bits));
        }
    }
}

static void find_by_filter(weir_guard_scan_t *scan)
{
    const weir_guard_rules_t *rules = scan->rules;
    uint64_t found[WEIR_BLOCKS];
    size_t at = scan->begin;
    while (scan->len - at >= WEIR_BLOCK + WEIR_BLOCK_AHEAD) {
        size_t blocks = (scan->len - at - WEIR_BLOCK_AHEAD) / WEIR_BLOCK;
        blocks = blocks < WEIR_BLOCKS ? blocks : WEIR_BLOCKS;
        rules->vector->literals(rules->filter, scan->text + at, blocks, found);
        try_found(scan, at, found, blocks);
        at += blocks * WEIR_BLOCK;
    }
    /* Fewer than a block and what is read behind it: no lead begins in the last two bytes. */
    size_t left = scan->len - at;
    if (left >= 3) {
        char rest[WEIR_BLOCK + WEIR_BLOCK_AHEAD] = {0};
        memcpy(rest, scan->text + at, left);
        rules->vector->literals(rules->filter, rest, 1, found);
        found[0] &= UINT64_MAX >> (WEIR_BLOCK - (left - 2));
        try_found(scan, at, found, 1);
    }
}

void weir_guard_find_literals(weir_guard_scan_t *scan)
{
    if (scan->rules->no_prefilter) {
        for (size_t at = scan->begin; at + 3 <= scan->len; at++) {
            try_lead(scan, at);
        }
    } else if (scan->rules->filter != NULL) {
        find_by_filter(scan);
    } else {
        find_by_bitmap(scan);
    }
}

#include "policies/patterns.h"

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static bool same(char a, char b, bool fold)
{
    return a == b || (fold && lower((uint8_t)a) == lower((uint8_t)b));
}

static bool equal(weir_str_t a, weir_str_t b, bool fold)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (!same(a.data[i], b.data[i], fold)) {
            return false;
        }
    }
    return true;
}

/* Going back only to the last star is enough: an earlier one could take no more than it does. */
bool weir_glob_match(weir_str_t pattern, weir_str_t name, bool fold)
{
    size_t p = 0;
    size_t n = 0;
    size_t star = SIZE_MAX;
    size_t star_n = 0;

    while (n < name.len) {
        if (p < pattern.len && pattern.data[p] == '*') {
            star = p++;
            star_n = n;
        } else if (p < pattern.len &&
                   (pattern.data[p] == '?' || same(pattern.data[p], name.data[n], fold))) {
            p++;
            n++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            n = ++star_n;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.data[p] == '*') {
        p++;
    }
    return p == pattern.len;
}

/* FNV-1a of the folded bytes, so that one table serves both kinds. */
static uint32_t hash_name(weir_str_t name)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < name.len; i++) {
        h = (h ^ lower((uint8_t)name.data[i])) * 16777619u;
    }
    return h;
}

static uint32_t *find_slot(const weir_patterns_t *p, weir_str_t name)
{
    size_t i = hash_name(name) & (p->n_slots - 1);
    while (p->slots[i] != 0 && !equal(p->exact[p->slots[i] - 1].text, name, p->fold)) {
        i = (i + 1) & (p->n_slots - 1);
    }
    return &p->slots[i];
}

bool weir_patterns_build(weir_patterns_t *out, const weir_pattern_t *patterns, size_t n, bool fold,
                         weir_arena_t *arena)
{
    size_t n_globs = 0;

    *out = (weir_patterns_t){.fold = fold};
    for (size_t i = 0; i < n; i++) {
        n_globs += weir_pattern_has_wildcard(patterns[i].text);
    }
    out->n_slots = 4;
    while (out->n_slots < 2 * (n - n_globs)) {
        out->n_slots *= 2;
    }
    out->exact = weir_arena_calloc(arena, n - n_globs, sizeof(weir_pattern_t));
    out->globs = weir_arena_calloc(arena, n_globs, sizeof(weir_pattern_t));
    out->slots = weir_arena_calloc(arena, out->n_slots, sizeof(uint32_t));
    if (out->exact == NULL || out->globs == NULL || out->slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (weir_pattern_has_wildcard(patterns[i].text)) {
            out->globs[out->n_globs++] = patterns[i];
            continue;
        }
        uint32_t *slot = find_slot(out, patterns[i].text);
        if (*slot == 0) {
            out->exact[out->n_exact++] = patterns[i];
            *slot = (uint32_t)out->n_exact;
        }
    }
    return true;
}

const weir_pattern_t *weir_patterns_next(const weir_patterns_t *p, weir_str_t name, size_t *cursor)
{
    bool too_long = name.len > WEIR_PATTERN_MAX;

    if (*cursor == 0) {
        *cursor = 1;
        if (p->n_exact > 0 && !too_long) {
            uint32_t slot = *find_slot(p, name);
            if (slot != 0) {
                return &p->exact[slot - 1];
            }
        }
    }
    while (*cursor - 1 < p->n_globs) {
        const weir_pattern_t *glob = &p->globs[(*cursor)++ - 1];
        bool everything = glob->text.len == 1 && glob->text.data[0] == '*';
        if (everything || (!too_long && weir_glob_match(glob->text, name, p->fold))) {
            return glob;
        }
    }
    return NULL;
}

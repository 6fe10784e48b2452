/*
 * From candidates to findings: of candidates that overlap the best score wins, then the longest,
 * then the first. A number with a check digit beats what its own digits seem to be in part, unless
 * its score is much lower; a secret beats the URL that it stands in. Where the caller's own
 * entities are among them the weight comes before the score. Works on chains of overlapping
 * candidates, so the time is n log n.
 */
#include "guardrails/matcher.h"

#include <stdlib.h>

typedef bool (*before_t)(const weir_guard_candidate_t *a, const weir_guard_candidate_t *b);

static bool by_start(const weir_guard_candidate_t *a, const weir_guard_candidate_t *b)
{
    if (a->start != b->start) {
        return a->start < b->start;
    }
    if (a->end != b->end) {
        return a->end < b->end;
    }
    return a->rule < b->rule;
}

static bool by_rank(const weir_guard_candidate_t *a, const weir_guard_candidate_t *b)
{
    if (a->rank > b->rank || a->rank < b->rank) {
        return a->rank > b->rank;
    }
    if (a->end - a->start != b->end - b->start) {
        return a->end - a->start > b->end - b->start;
    }
    if (a->start != b->start) {
        return a->start < b->start;
    }
    /* The undecoded view says more about where the entity is. */
    if (a->flags != b->flags) {
        return a->flags < b->flags;
    }
    return a->rule < b->rule;
}

static void sift(weir_guard_candidate_t *c, size_t root, size_t count, before_t before)
{
    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= count) {
            return;
        }
        if (child + 1 < count && before(&c[child], &c[child + 1])) {
            child++;
        }
        if (!before(&c[root], &c[child])) {
            return;
        }
        weir_guard_candidate_t t = c[root];
        c[root] = c[child];
        c[child] = t;
        root = child;
    }
}

/* Insertion for the few that there mostly are, else a heap sort: no memory, no bad case. */
static void sort(weir_guard_candidate_t *c, size_t count, before_t before)
{
    if (count <= 16) {
        for (size_t i = 1; i < count; i++) {
            weir_guard_candidate_t t = c[i];
            size_t j = i;
            for (; j > 0 && before(&t, &c[j - 1]); j--) {
                c[j] = c[j - 1];
            }
            c[j] = t;
        }
        return;
    }
    for (size_t i = count / 2; i-- > 0;) {
        sift(c, i, count, before);
    }
    for (size_t i = count; i-- > 1;) {
        weir_guard_candidate_t t = c[0];
        c[0] = c[i];
        c[i] = t;
        sift(c, 0, i, before);
    }
}

/* Index of the first of kept[0..n) that ends behind start. */
static size_t first_behind(const weir_guard_finding_t *kept, size_t n, uint32_t start)
{
    size_t low = 0;
    size_t high = n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (kept[mid].end > start) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return low;
}

#define NEIGHBOURS 8     /* candidates by start on either side that are looked at */
#define MUCH_LOWER 0.35f /* a card that no network issued (0.6) still beats a sure id in it */

/* What its check digits vouch for as a whole. */
static bool vouched(const weir_guard_rule_t *rule, unsigned index)
{
    return rule->kind == WEIR_KIND_NUMBER
               ? rule->number->check != NULL
               : rule->kind == WEIR_KIND_PARSER &&
                     (index == WEIR_RULE_CARD || index == WEIR_RULE_IBAN);
}

/* What digits in the middle of another number can look like. */
static bool in_part(const weir_guard_rule_t *rule, unsigned index)
{
    return rule->kind == WEIR_KIND_NUMBER ||
           (rule->kind == WEIR_KIND_PARSER &&
            (index == WEIR_RULE_PHONE || index == WEIR_RULE_CARD || index == WEIR_RULE_DATE ||
             index == WEIR_RULE_BIRTH));
}

static bool may_hold_secret(unsigned index)
{
    return index == WEIR_RULE_URL || index == WEIR_RULE_URL_CREDENTIALS ||
           index == WEIR_RULE_DOMAIN || index == WEIR_RULE_EMAIL;
}

/* Lifts a secret over the URL in whose query or path it stands, or what looks like an address. */
static void rank_in_url(weir_guard_candidate_t *chain, size_t count, size_t i)
{
    weir_guard_candidate_t *c = &chain[i];
    size_t to = count - i > NEIGHBOURS ? i + NEIGHBOURS + 1 : count;
    for (size_t j = i > NEIGHBOURS ? i - NEIGHBOURS : 0; j < to; j++) {
        const weir_guard_candidate_t *d = &chain[j];
        if (may_hold_secret(d->rule) && d->start <= c->start && d->end >= c->end &&
            d->score >= c->rank) {
            c->rank = d->score + 0.01f;
        }
    }
}

/* Lifts numbers to the rank of those that lie inside of them; the chain is sorted by start. */
static void rank_longer(const weir_guard_rules_t *rules, weir_guard_candidate_t *chain,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        weir_guard_candidate_t *c = &chain[i];
        if (rules->rule[c->rule].kind == WEIR_KIND_PATTERN && (c->flags & WEIR_GUARD_CUSTOM) == 0) {
            rank_in_url(chain, count, i);
        }
        if (!vouched(&rules->rule[c->rule], c->rule)) {
            continue;
        }
        size_t to = count - i > NEIGHBOURS ? i + NEIGHBOURS + 1 : count;
        for (size_t j = i > NEIGHBOURS ? i - NEIGHBOURS : 0; j < to; j++) {
            const weir_guard_candidate_t *d = &chain[j];
            if (d->start >= c->start && d->end <= c->end && d->end - d->start < c->end - c->start &&
                d->score > c->rank && d->score <= c->score + MUCH_LOWER &&
                in_part(&rules->rule[d->rule], d->rule)) {
                c->rank = d->score;
            }
        }
    }
}

static unsigned weight_of(const weir_guard_rules_t *rules, const weir_guard_candidate_t *c)
{
    const weir_guard_rule_t *rule = &rules->rule[c->rule];
    return c->score >= rule->weight_least ? rule->weight : 0;
}

#define RANKS 4.0f /* more than any rank; sums with the weights keep six digits of the rank */

/*
 * Lifts the heavier over the lighter in chains with an entity of the caller's: what he only wants
 * flagged hides nothing that is to be blocked. Over built-in entities whose text is changed his own
 * rise only if they stop the whole text: the shorter of two changes would leave some of the other.
 */
static void rank_heavier(const weir_guard_rules_t *rules, weir_guard_candidate_t *chain,
                         size_t count)
{
    unsigned most = 0;
    bool custom = false;
    for (size_t i = 0; i < count; i++) {
        unsigned weight = weight_of(rules, &chain[i]);
        bool own = chain[i].rule >= rules->custom_base;
        custom |= own;
        most = !own && weight > most ? weight : most;
    }
    for (size_t i = 0; i < count && custom; i++) {
        unsigned weight = weight_of(rules, &chain[i]);
        bool capped = chain[i].rule >= rules->custom_base && most >= WEIR_GUARD_CHANGES &&
                      weight > most && weight < WEIR_GUARD_HEAVIEST;
        chain[i].rank += RANKS * (float)(capped ? most : weight);
    }
}

static size_t resolve_chain(const weir_guard_rules_t *rules, weir_guard_candidate_t *chain,
                            size_t count, weir_guard_finding_t *out)
{
    size_t kept = 0;
    if (count > 1) {
        rank_longer(rules, chain, count);
        rank_heavier(rules, chain, count);
        sort(chain, count, by_rank);
    }
    for (size_t i = 0; i < count; i++) {
        const weir_guard_candidate_t *c = &chain[i];
        size_t at = first_behind(out, kept, c->start);
        if (at < kept && out[at].start < c->end) {
            continue;
        }
        memmove(&out[at + 1], &out[at], (kept - at) * sizeof(*out));
        const weir_guard_rule_t *rule = &rules->rule[c->rule];
        out[at] =
            (weir_guard_finding_t){rule->type, rule->id, c->start, c->end, c->score, c->flags};
        kept++;
    }
    return kept;
}

static int atom_by_start(const void *a, const void *b)
{
    const weir_guard_atom_t *x = a;
    const weir_guard_atom_t *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

/* By falling start: a candidate, or a part of a code, across the border moves it to its own start.
 */
static void move_hold(const weir_guard_candidate_t *c, size_t count, weir_guard_fold_t *fold,
                      size_t *hold)
{
    size_t atoms = fold->atom_count;
    if (atoms > 1) {
        qsort(fold->atoms, atoms, sizeof(*fold->atoms), atom_by_start);
    }
    while (count > 0 || atoms > 0) {
        weir_guard_atom_t last;
        if (atoms == 0 || (count > 0 && c[count - 1].start >= fold->atoms[atoms - 1].start)) {
            count--;
            last = (weir_guard_atom_t){c[count].start, c[count].end};
        } else {
            last = fold->atoms[--atoms];
        }
        if (last.start < *hold && last.end > *hold) {
            *hold = last.start;
        }
    }
}

weir_status_t weir_guard_resolve(const weir_guard_rules_t *rules, weir_guard_scratch_t *scratch,
                                 weir_guard_result_t *result, weir_error_t *err)
{
    weir_guard_candidate_t *c = scratch->candidates;
    size_t count = scratch->candidate_count;
    if (scratch->finding_cap < count) {
        size_t cap = count + count / 2 + 16;
        weir_guard_finding_t *grown = realloc(scratch->findings, cap * sizeof(*grown));
        if (grown == NULL) {
            return weir_error(err, WEIR_ERR_NOMEM, "no memory for %zu findings", cap);
        }
        scratch->findings = grown;
        scratch->finding_cap = cap;
    }
    sort(c, count, by_start);
    move_hold(c, count, &scratch->fold, &result->hold);
    size_t found = 0;
    for (size_t i = 0; i < count;) {
        uint32_t end = c[i].end;
        size_t j = i + 1;
        for (; j < count && c[j].start < end; j++) {
            end = c[j].end > end ? c[j].end : end;
        }
        found += resolve_chain(rules, c + i, j - i, scratch->findings + found);
        i = j;
    }
    result->findings = scratch->findings;
    result->count = found;
    return WEIR_OK;
}

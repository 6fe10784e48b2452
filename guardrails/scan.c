/*
 * The pass over a view: one look at every byte for what draws attention (digits, '@', ':', '.',
 * capitals, the trigrams of literals), and the parsers at those places.
 */
#include "guardrails/decode.h"
#include "guardrails/matcher.h"

#include <openssl/evp.h>
#include <stdlib.h>

#define MAX_RUN 128 /* longer alphanumeric runs are no number, wallet or key of ours */

weir_guard_scratch_t *weir_guard_scratch_create(void)
{
    weir_guard_scratch_t *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return NULL;
    }
    s->match = pcre2_match_data_create(16, NULL);
    s->context = pcre2_match_context_create(NULL);
    s->stack = pcre2_jit_stack_create(32 * 1024, 512 * 1024, NULL);
    s->sha256 = EVP_MD_CTX_new();
    if (s->match == NULL || s->context == NULL || s->sha256 == NULL ||
        EVP_DigestInit_ex(s->sha256, EVP_sha256(), NULL) != 1) {
        weir_guard_scratch_free(s);
        return NULL;
    }
    pcre2_set_match_limit(s->context, 500000);
    pcre2_set_depth_limit(s->context, 5000);
    pcre2_set_heap_limit(s->context, 4096);
    if (s->stack != NULL) {
        pcre2_jit_stack_assign(s->context, NULL, s->stack);
    }
    return s;
}

void weir_guard_scratch_free(weir_guard_scratch_t *s)
{
    if (s == NULL) {
        return;
    }
    weir_guard_fold_free(&s->fold);
    free(s->candidates);
    free(s->findings);
    free(s->windows);
    EVP_MD_CTX_free(s->sha256);
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->context);
    pcre2_jit_stack_free(s->stack);
    free(s);
}

void weir_guard_emit(weir_guard_scan_t *scan, unsigned rule, size_t start, size_t end, float score)
{
    const weir_guard_rule_t *r = &scan->rules->rule[rule];
    weir_guard_scratch_t *s = scan->scratch;
    if (!r->on || score < r->min_score) {
        return;
    }
    size_t from = start;
    size_t to = end;
    if (scan->view->run_count > 0) {
        weir_guard_view_span(scan->view, start, end, &from, &to);
    }
    if (from < scan->from) {
        return;
    }
    if (s->candidate_count == s->candidate_cap) {
        size_t cap = s->candidate_cap == 0 ? 64 : s->candidate_cap * 2;
        if (cap > WEIR_MAX_CANDIDATES) {
            scan->truncated = true;
            return;
        }
        weir_guard_candidate_t *grown = realloc(s->candidates, cap * sizeof(*grown));
        if (grown == NULL) {
            scan->no_memory = true;
            return;
        }
        s->candidates = grown;
        s->candidate_cap = cap;
    }
    uint16_t flags = scan->flags;
    flags |= scan->view->run_count > 0 && to - from != end - start ? WEIR_GUARD_FOLDED : 0;
    scan->work += WEIR_WORK_FOUND;
    s->candidates[s->candidate_count++] =
        (weir_guard_candidate_t){(uint32_t)from, (uint32_t)to, score, score, (uint16_t)rule, flags};
}

/* Everything that begins with, or is, an alphanumeric run with a digit at `at`. */
void weir_guard_at_digit(weir_guard_scan_t *scan, size_t at)
{
    if (at < scan->group_cursor) {
        return;
    }
    size_t limit = at > MAX_RUN ? at - MAX_RUN : 0;
    size_t start = at;
    while (start > limit && weir_is(scan->text[start - 1], WEIR_C_ALNUM)) {
        start--;
    }
    weir_guard_runs_t runs = weir_guard_runs(scan, at);
    size_t end = at + weir_guard_run_length(runs.alnum);
    size_t digits = at + weir_guard_run_length(runs.digit);
    while (end - at >= WEIR_RUNS_SHARE && end < scan->len &&
           weir_is(scan->text[end], WEIR_C_ALNUM)) {
        end++;
    }
    scan->group_cursor = end;
    scan->work += WEIR_WORK_GROUP;
    size_t n = end - start;
    if (n > MAX_RUN || (start > 0 && weir_is(scan->text[start - 1], WEIR_C_ALNUM))) {
        return;
    }
    char next = end < scan->len ? scan->text[end] : '\0';
    if (start == at) {
        while (digits - at >= WEIR_RUNS_SHARE && digits < end &&
               weir_is(scan->text[digits], WEIR_C_DIGIT)) {
            digits++;
        }
        if (digits == end && n <= 3 && next == '.') {
            weir_guard_find_ipv4(scan, start);
        }
        if (at >= scan->phone_cursor && (digits == end || (scan->text[digits] | 0x20) == 'x')) {
            weir_guard_find_phone(scan, start);
        }
        if (digits == end && n >= 4) {
            weir_guard_find_card(scan, start, end);
        }
        /* In a row of numbers there are neither months nor streets. */
        bool in_row = n != 8 && next == ' ' && end + 1 < scan->len && start >= 2 &&
                      scan->text[start - 1] == ' ' &&
                      weir_is(scan->text[start - 2], WEIR_C_DIGIT) &&
                      weir_is(scan->text[end + 1], WEIR_C_DIGIT);
        if (n <= 8 && !in_row) {
            weir_guard_find_date(scan, start, end);
        }
        if (n <= 7 && !in_row && !scan->rules->streaming) {
            weir_guard_find_address(scan, start, digits);
        }
    } else if (n >= 4) {
        weir_guard_find_iban(scan, start, end);
    }
    if ((n == 2 && next == '-') || (n == 4 && next == '.')) {
        weir_guard_find_mac(scan, start, end);
    }
    if (n >= 25) {
        weir_guard_find_crypto(scan, start, end);
    }
    if (n <= WEIR_MAX_GROUP) {
        weir_guard_find_numbers(scan, start, end);
    }
}

static void at_mark(weir_guard_scan_t *scan, size_t at)
{
    char c = scan->text[at];
    if (weir_is(c, WEIR_C_DIGIT)) {
        if (scan->rules->digits) {
            weir_guard_at_digit(scan, at);
        }
    } else if (c == '@') {
        weir_guard_at_sign(scan, at);
    } else if (c == ':') {
        weir_guard_at_colon(scan, at);
    } else if (c == '.') {
        weir_guard_at_dot(scan, at);
    } else if (weir_is(c, WEIR_C_UPPER)) {
        weir_guard_at_capital(scan, at);
    }
}

static bool draws_attention(const weir_guard_scan_t *scan, size_t at)
{
    char c = scan->text[at];
    bool alpha_before = at > 0 && weir_is(scan->text[at - 1], WEIR_C_ALPHA);
    bool digit_before = at > 0 && weir_is(scan->text[at - 1], WEIR_C_DIGIT);
    return (weir_is(c, WEIR_C_DIGIT) && !digit_before) || c == '@' || c == ':' || c == '.' ||
           (scan->rules->words && weir_is(c, WEIR_C_UPPER) && !alpha_before);
}

/* What stands before the next block. */
typedef struct {
    uint64_t digit; /* 1 or 0 */
    uint64_t alpha;
} before_t;

/* The marks of blocks whose first byte is text[at]; none lies behind the text's end. */
static void at_marks(weir_guard_scan_t *scan, size_t at, const weir_guard_bits_t *bits,
                     size_t blocks, before_t *before)
{
    uint64_t digits = scan->rules->digits ? UINT64_MAX : 0;
    uint64_t words = scan->rules->words ? UINT64_MAX : 0;
    for (size_t b = 0; b < blocks; b++, at += WEIR_BLOCK) {
        uint64_t first_digits = bits[b].digit & ~(bits[b].digit << 1 | before->digit) & digits;
        uint64_t capitals = bits[b].upper & ~(bits[b].alpha << 1 | before->alpha) & words;
        before->digit = bits[b].digit >> 63;
        before->alpha = bits[b].alpha >> 63;
        uint64_t all = first_digits | capitals | bits[b].mark;
        if (scan->work > scan->limit) {
            scan->truncated = true;
            return;
        }
        for (; all != 0; all &= all - 1) {
            uint64_t bit = all & (0 - all);
            size_t place = at + (size_t)__builtin_ctzll(all);
            if ((capitals & bit) != 0) {
                weir_guard_at_capital(scan, place);
            } else if ((first_digits & bit) != 0) {
                weir_guard_at_digit(scan, place);
            } else {
                at_mark(scan, place);
            }
        }
    }
}

/* As draws_attention, a block at a time. */
static void find_marks_fast(weir_guard_scan_t *scan)
{
    weir_guard_bits_t bits[WEIR_BLOCKS];
    size_t at = scan->begin;
    before_t before = {.digit = at > 0 && weir_is(scan->text[at - 1], WEIR_C_DIGIT),
                       .alpha = at > 0 && weir_is(scan->text[at - 1], WEIR_C_ALPHA)};
    while (scan->len - at > WEIR_BLOCK) {
        size_t blocks = (scan->len - at - 1) / WEIR_BLOCK;
        blocks = blocks < WEIR_BLOCKS ? blocks : WEIR_BLOCKS;
        scan->rules->vector->classify(scan->text + at, blocks, bits);
        at_marks(scan, at, bits, blocks, &before);
        at += blocks * WEIR_BLOCK;
    }
    char rest[WEIR_BLOCK + WEIR_BLOCK_AHEAD] = {0};
    if (at < scan->len) {
        memcpy(rest, scan->text + at, scan->len - at);
        scan->rules->vector->classify(rest, 1, bits);
        at_marks(scan, at, bits, 1, &before);
    }
}

static void find_marks(weir_guard_scan_t *scan)
{
    if (!scan->rules->no_prefilter) {
        find_marks_fast(scan);
        return;
    }
    for (size_t at = scan->begin; at < scan->len; at++) {
        if (draws_attention(scan, at)) {
            at_mark(scan, at);
        }
    }
}

void weir_guard_pass(weir_guard_scan_t *scan)
{
    scan->left_at = SIZE_MAX;
    scan->right_at = SIZE_MAX;
    scan->names_at = SIZE_MAX;
    scan->runs.at = SIZE_MAX;
    scan->pass = ++scan->scratch->passes;
    scan->live = scan->len;
    find_marks(scan);
    if (scan->rules->literal_count > 0) {
        weir_guard_find_literals(scan);
    }
    weir_guard_try_patterns(scan);
}

/* Length of text without an incomplete UTF-8 sequence at its end. */
static size_t whole_characters(const char *text, size_t len)
{
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        unsigned char c = (unsigned char)text[len - back];
        if (c < 0x80) {
            return len;
        }
        if (c >= 0xc0) {
            size_t need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
            return back < need ? len - back : len;
        }
    }
    return len;
}

static weir_status_t prepare(weir_guard_scratch_t *scratch, const weir_guard_rules_t *rules,
                             weir_error_t *err)
{
    if (scratch->window_cap < rules->pattern_count) {
        weir_guard_window_t *grown =
            realloc(scratch->windows, rules->pattern_count * sizeof(*grown));
        if (grown == NULL) {
            return weir_error(err, WEIR_ERR_NOMEM, "no memory for a scan's windows");
        }
        /* Empty now, and again at the end of every pass. */
        memset(grown, 0, rules->pattern_count * sizeof(*grown));
        scratch->windows = grown;
        scratch->window_cap = rules->pattern_count;
    }
    scratch->candidate_count = 0;
    return WEIR_OK;
}

/* Where in the view a scan from an original byte begins: with its left context. */
static size_t begin_of(const weir_guard_view_t *view, size_t from)
{
    if (from <= WEIR_GUARD_LEFT) {
        return 0;
    }
    size_t begin = weir_guard_view_at(view, from - WEIR_GUARD_LEFT);
    while (begin < view->len && ((unsigned char)view->text[begin] & 0xc0) == 0x80) {
        begin++;
    }
    return begin;
}

/* more: the view goes on with the text. */
static weir_status_t scan_view(const weir_guard_rules_t *rules, weir_guard_scratch_t *scratch,
                               const weir_guard_view_t *view, weir_guard_scan_t *scan, size_t from,
                               bool more, uint64_t limit, weir_error_t *err)
{
    uint64_t work = scan->work;
    *scan = (weir_guard_scan_t){.rules = rules,
                                .scratch = scratch,
                                .text = view->text,
                                .len = view->len,
                                .view = view,
                                .from = from,
                                .more = more,
                                .work = work,
                                .limit = UINT64_MAX};
    if ((view->flags & WEIR_GUARD_FOLD_DECODED) != 0) {
        scan->flags = WEIR_GUARD_DECODED;
        scan->work += view->len * WEIR_WORK_BYTE + view->run_count * WEIR_WORK_RUN;
        scan->limit = rules->no_prefilter ? UINT64_MAX : limit;
    } else {
        scan->begin = begin_of(view, from);
    }
    weir_guard_pass(scan);
    return scan->no_memory ? weir_error(err, WEIR_ERR_NOMEM, "no memory for findings") : WEIR_OK;
}

/* The hold moves down to where views[v] could still find something else, or its codes could. */
static void hold_back(weir_guard_result_t *result, const weir_guard_view_t *view,
                      weir_guard_scan_t *scan, size_t open, size_t undecoded, size_t len)
{
    size_t live = weir_guard_live(scan);
    /* What stands before the open code is all there. */
    live = live > open ? live : open;
    live = live < undecoded ? live : undecoded;
    size_t hold = weir_guard_view_origin(view, live, len);
    result->hold = hold < result->hold ? hold : result->hold;
}

weir_status_t weir_guard_scan(const weir_guard_rules_t *rules, weir_guard_scratch_t *scratch,
                              const char *text, size_t len,
                              const weir_guard_scan_options_t *options, weir_guard_result_t *result,
                              weir_error_t *err)
{
    static const weir_guard_scan_options_t defaults = {0};
    weir_guard_view_t views[WEIR_GUARD_MAX_VIEWS];
    weir_guard_ends_t ends[WEIR_GUARD_MAX_DEPTH + 1];
    size_t count = 1;
    weir_guard_scan_t scan = {.work = 0};
    options = options == NULL ? &defaults : options;
    *result = (weir_guard_result_t){.hold = len};
    if (len > WEIR_GUARD_MAX_TEXT) {
        return weir_error_at(err, WEIR_ERR_LIMIT, "text", "text_too_long",
                             "the text has %zu bytes; scan it in slices of at most %zu", len,
                             WEIR_GUARD_MAX_TEXT);
    }
    weir_status_t status = prepare(scratch, rules, err);
    if (status != WEIR_OK) {
        return status;
    }
    size_t whole = options->more ? whole_characters(text, len) : len;
    result->hold = whole;
    if (options->more && options->keep > 0) {
        result->hold = whole_characters(text, whole > options->keep ? whole - options->keep : 0);
    }
    for (size_t depth = 0; depth <= WEIR_GUARD_MAX_DEPTH; depth++) {
        ends[depth] = (weir_guard_ends_t){SIZE_MAX, SIZE_MAX};
    }
    scratch->fold.atom_count = 0;
    if (rules->streaming || options->no_decode) {
        unsigned in_place = rules->streaming ? WEIR_GUARD_FOLD_IN_PLACE : 0;
        status = weir_guard_normalise(&scratch->fold, text, whole, in_place, &views[0], err);
    } else {
        /* Room for all: a limit on a text's codes together would be another one for its parts. */
        weir_guard_decoding_t how = {.from = options->from,
                                     .room = WEIR_GUARD_MAX_LAYER + 4 * whole,
                                     .more = options->more,
                                     .apart = true};
        status = weir_guard_decoded_views(&scratch->fold, text, whole, 0, &how, views, ends, &count,
                                          err);
    }
    uint64_t limit =
        options->thorough ? UINT64_MAX : WEIR_WORK_LEAST + (uint64_t)whole * WEIR_WORK_TWO / 2;
    for (size_t v = 0; v < count && status == WEIR_OK; v++) {
        size_t open = v == 0 ? 0 : ends[v - 1].open;
        bool more = options->more && open != SIZE_MAX;
        status = scan_view(rules, scratch, &views[v], &scan, options->from, more, limit, err);
        result->timeouts += scan.timeouts;
        result->truncated |= scan.truncated;
        result->fold_flags |= views[v].flags;
        if (scan.truncated && v > 0) {
            result->fold_flags |= WEIR_GUARD_FOLD_TRUNCATED;
        }
        if (more && status == WEIR_OK) {
            hold_back(result, &views[v], &scan, open, ends[v].hold, whole);
        }
    }
    result->truncated |= (result->fold_flags & WEIR_GUARD_FOLD_TRUNCATED) != 0;
    return status == WEIR_OK ? weir_guard_resolve(rules, scratch, result, err) : status;
}

size_t weir_guard_hold(const weir_guard_rules_t *rules, weir_guard_scratch_t *scratch,
                       const char *text, size_t len)
{
    weir_guard_scan_options_t options = {.more = true};
    weir_guard_result_t result;
    weir_error_t err;
    return weir_guard_scan(rules, scratch, text, len, &options, &result, &err) == WEIR_OK
               ? result.hold
               : 0;
}

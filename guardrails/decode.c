/*
 * Views of a text: what its codes hide, to a depth of two (codes.c), and the second views of the
 * classifiers.
 */
#include "guardrails/decode.h"

#include "guardrails/codes.h"
#include "guardrails/matcher.h"
#include "guardrails/vector.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* inner maps into the text of outer; *view will map inner's text to where outer's comes from. */
static void compose(weir_guard_build_t *build, const weir_guard_view_t *inner,
                    const weir_guard_view_t *outer)
{
    weir_guard_cursor_t cursor = {.view = outer};
    for (size_t r = 0; r < inner->run_count; r++) {
        const weir_guard_run_t *run = &inner->runs[r];
        size_t end = r + 1 < inner->run_count ? inner->runs[r + 1].view : inner->len;
        if (run->step == 1) {
            weir_guard_build_mapped(build, inner->text + run->view, end - run->view, &cursor,
                                    run->origin);
            continue;
        }
        for (size_t i = run->view; i < end; i++) {
            size_t a = run->origin + (i - run->view) * run->step;
            size_t b = run->step == 0 ? run->origin_end : a + run->step;
            size_t start = 0;
            size_t stop = 0;
            weir_guard_cursor_span(&cursor, a, b, &start, &stop);
            weir_guard_build_replace(build, inner->text + i, 1, start, stop);
        }
    }
}

/*
 * One layer of what the codes of codes->from hide, into slots slot to slot + 2. False: there is
 * none.
 */
static bool make_layer(weir_guard_codes_t *codes, weir_guard_fold_t *fold, unsigned slot,
                       unsigned options, weir_guard_view_t *view, weir_status_t *status,
                       weir_error_t *err)
{
    bool some = weir_guard_decode_codes(codes, fold, slot);
    if (codes->build.failed) {
        *status = weir_error(err, WEIR_ERR_NOMEM, "no memory for decoded text");
        return false;
    }
    if (!some) {
        return false;
    }
    uint32_t flags = WEIR_GUARD_FOLD_DECODED | (codes->cut ? WEIR_GUARD_FOLD_TRUNCATED : 0);
    weir_guard_view_t raw;
    weir_guard_view_t folded;
    weir_guard_build_end(&codes->build, flags, &raw);
    *status = weir_guard_normalise_into(fold, slot + 1, raw.text, raw.len, options, &folded, err);
    if (*status != WEIR_OK) {
        return false;
    }
    if (folded.run_count == 0) {
        *view = raw;
        view->text = folded.text;
    } else {
        weir_guard_build_t build;
        weir_guard_build_begin(&build, fold, slot + 2, folded.len);
        compose(&build, &folded, &raw);
        weir_guard_build_end(&build, flags | folded.flags, view);
        if (build.failed) {
            *status = weir_error(err, WEIR_ERR_NOMEM, "no memory for decoded text");
            return false;
        }
        if (codes->open != SIZE_MAX) {
            codes->open = weir_guard_view_at(&folded, codes->open);
        }
    }
    return true;
}

weir_status_t weir_guard_decoded_views(weir_guard_fold_t *fold, const char *text, size_t len,
                                       unsigned options, const weir_guard_decoding_t *how,
                                       weir_guard_view_t views[WEIR_GUARD_MAX_VIEWS],
                                       weir_guard_ends_t ends[WEIR_GUARD_MAX_DEPTH], size_t *count,
                                       weir_error_t *err)
{
    weir_guard_codes_t codes = {.wanted = how->from,
                                .more = how->more,
                                .atoms = how->more,
                                .apart = how->apart,
                                .room = how->room};
    bool lower = (options & WEIR_GUARD_FOLD_LOWER) != 0;
    unsigned found = weir_guard_survey(text, len);
    weir_status_t status = weir_guard_normalise_into(fold, 0, text, len, options, &views[0], err);
    *count = 1;
    if (status != WEIR_OK || found == 0) {
        /* No code; the beginning of one at the text's end is the beginning of a token too. */
        ends[0] = (weir_guard_ends_t){SIZE_MAX, SIZE_MAX};
        return status;
    }
    /* Base64 minds its case: codes are looked for before anything is lower-cased. */
    weir_guard_view_t cased = {.text = text, .len = len};
    if ((found & WEIR_SURVEY_HIGH) != 0 && lower) {
        status = weir_guard_normalise_into(fold, 1, text, len, options & ~WEIR_GUARD_FOLD_LOWER,
                                           &cased, err);
    } else if ((found & WEIR_SURVEY_HIGH) != 0) {
        cased = views[0];
    }
    for (unsigned depth = 0; depth < WEIR_GUARD_MAX_DEPTH && status == WEIR_OK; depth++) {
        weir_guard_view_t *view = &views[*count];
        unsigned slot = 2 + depth * 4;
        bool some;
        codes.from = &cased;
        some = make_layer(&codes, fold, slot, options & ~WEIR_GUARD_FOLD_LOWER, view, &status, err);
        ends[depth] = (weir_guard_ends_t){codes.hold, codes.open};
        if (!some) {
            break;
        }
        codes.nested = true;
        codes.more = codes.open != SIZE_MAX;
        cased = *view;
        if (lower) {
            weir_guard_build_t build;
            weir_guard_build_begin(&build, fold, slot + 3, view->len);
            if (build.failed) {
                return weir_error(err, WEIR_ERR_NOMEM, "no memory for decoded text");
            }
            weir_guard_lower_ascii(fold->slots[slot + 3].data, view->text, view->len);
            view->text = fold->slots[slot + 3].data;
        }
        (*count)++;
    }
    return status;
}

/* Leet: the letter that a digit or mark stands for between letters; '\0': none. */
static char leet(char c)
{
    static const char from[] = "013457@$!|+";
    static const char to[] = "oieastasilt";
    const char *at = memchr(from, c, sizeof(from) - 1);
    return at == NULL ? '\0' : to[at - from];
}

/* Words that mix letters with leet: the view is made when there are two, or one in a short text. */
static bool leet_view(weir_guard_fold_t *fold, unsigned slot, const weir_guard_view_t *from,
                      weir_guard_view_t *view)
{
    weir_guard_build_t b;
    weir_guard_cursor_t cursor = {.view = from};
    unsigned words = 0;
    const char *text = from->text;
    weir_guard_build_begin(&b, fold, slot, from->len);
    for (size_t i = 0; i < from->len && !b.failed;) {
        size_t start = i;
        size_t letters = 0;
        size_t signs = 0;
        while (i < from->len && (weir_is(text[i], WEIR_C_ALPHA) || leet(text[i]) != '\0')) {
            letters += weir_is(text[i], WEIR_C_ALPHA);
            signs += !weir_is(text[i], WEIR_C_ALPHA);
            i++;
        }
        bool fold_word = letters >= 1 && signs >= 1 && letters + signs >= 3;
        words += fold_word && letters >= 2 && weir_is(text[i - 1], WEIR_C_ALPHA);
        if (!fold_word && from->run_count == 0) {
            i += i == start;
            weir_guard_build_copy(&b, text + start, i - start, start);
            continue;
        }
        for (size_t k = start; k < i; k++) {
            char c = fold_word && leet(text[k]) != '\0' ? leet(text[k]) : text[k];
            size_t a = 0;
            size_t z = 0;
            weir_guard_cursor_span(&cursor, k, k + 1, &a, &z);
            weir_guard_build_replace(&b, &c, 1, a, z);
        }
        if (i == start) {
            size_t a = 0;
            size_t z = 0;
            weir_guard_cursor_span(&cursor, i, i + 1, &a, &z);
            weir_guard_build_replace(&b, text + i, 1, a, z);
            i++;
        }
    }
    weir_guard_build_end(&b, from->flags | WEIR_GUARD_FOLD_LEET, view);
    return !b.failed && words >= (from->len < 160 ? 1 : 2);
}

/* Does a single letter stand at text[i], with the separator behind it that all of a run share? */
static bool lone(const weir_guard_view_t *from, size_t i, char separator)
{
    return i < from->len && weir_is(from->text[i], WEIR_C_ALNUM) &&
           (i + 1 >= from->len || from->text[i + 1] == separator ||
            !weir_is(from->text[i + 1], WEIR_C_ALNUM));
}

/* Letters with one separator between, five or more, joined; more separators part words. */
static bool joined_view(weir_guard_fold_t *fold, unsigned slot, const weir_guard_view_t *from,
                        weir_guard_view_t *view)
{
    weir_guard_build_t b;
    weir_guard_cursor_t cursor = {.view = from};
    bool any = false;
    const char *text = from->text;
    weir_guard_build_begin(&b, fold, slot, from->len);
    for (size_t i = 0; i < from->len && !b.failed;) {
        size_t n = 0;
        char separator = i + 1 < from->len ? text[i + 1] : '\0';
        bool first = i == 0 || !weir_is(text[i - 1], WEIR_C_ALNUM);
        if (first && separator != '\0' && weir_one_of(separator, " .-_*|")) {
            while (lone(from, i + 2 * n, separator) && i + 2 * n + 1 < from->len &&
                   text[i + 2 * n + 1] == separator) {
                n++;
            }
            n += lone(from, i + 2 * n, separator);
        }
        size_t step = n >= 5 ? 2 : 1;
        any |= n >= 5;
        n = n >= 5 ? n : 1;
        for (size_t k = 0; k < n; k++) {
            size_t a = 0;
            size_t z = 0;
            weir_guard_cursor_span(&cursor, i + k * step, i + k * step + 1, &a, &z);
            weir_guard_build_replace(&b, text + i + k * step, 1, a, z);
        }
        i += n > 1 ? 2 * n - 1 : 1;
    }
    weir_guard_build_end(&b, from->flags | WEIR_GUARD_FOLD_JOINED, view);
    return any && !b.failed;
}

/* Bits of letters, of letters and digits, and of spaces, in 64 bytes. */
typedef struct {
    uint64_t letters;
    uint64_t alnum;
    uint64_t spaces;
} kinds_t;

static kinds_t kinds_of(const char *text)
{
    kinds_t k = {0};
#if defined(__SSE2__)
    for (int i = 0; i < 64; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(text + i));
        __m128i l = _mm_sub_epi8(_mm_or_si128(v, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
        __m128i d = _mm_sub_epi8(v, _mm_set1_epi8('0'));
        __m128i s = _mm_cmpeq_epi8(v, _mm_set1_epi8(' '));
        l = _mm_cmpeq_epi8(_mm_min_epu8(l, _mm_set1_epi8(25)), l);
        d = _mm_or_si128(l, _mm_cmpeq_epi8(_mm_min_epu8(d, _mm_set1_epi8(9)), d));
        k.letters |= (uint64_t)(uint32_t)_mm_movemask_epi8(l) << i;
        k.alnum |= (uint64_t)(uint32_t)_mm_movemask_epi8(d) << i;
        k.spaces |= (uint64_t)(uint32_t)_mm_movemask_epi8(s) << i;
    }
#else
    for (int i = 0; i < 64; i++) {
        k.letters |= (uint64_t)weir_is(text[i], WEIR_C_ALPHA) << i;
        k.alnum |= (uint64_t)weir_is(text[i], WEIR_C_ALNUM) << i;
        k.spaces |= (uint64_t)(text[i] == ' ') << i;
    }
#endif
    return k;
}

/*
 * Is a second view worth making? leet: a digit or mark that stands for a letter, between letters;
 * spaced: nine bytes that are alphanumeric and not in turn; the text's end counts as one that is
 * not.
 */
static void look(const weir_guard_view_t *view, bool *leet_like, bool *spaced)
{
    char last[64] = {0};
    *leet_like = false;
    *spaced = false;
    /* Steps of eight bytes less than a block, so that none of nine falls between two. */
    for (size_t at = 0; at < view->len; at += 56) {
        const char *text = view->text + at;
        if (view->len - at < sizeof(last)) {
            memcpy(last, text, view->len - at);
            memset(last + (view->len - at), 0, sizeof(last) - (view->len - at));
            text = last;
        }
        kinds_t k = kinds_of(text);
        uint64_t between = ~(k.letters | k.spaces) & k.letters << 1 & k.letters >> 1;
        for (; between != 0 && !*leet_like; between &= between - 1) {
            *leet_like = leet(text[__builtin_ctzll(between)]) != '\0';
        }
        uint64_t turns = (k.alnum ^ k.alnum >> 1) & UINT64_MAX >> 1;
        turns &= turns >> 1;
        turns &= turns >> 2;
        turns &= turns >> 4;
        *spaced |= turns != 0;
    }
}

weir_status_t weir_guard_views(weir_guard_fold_t *fold, const char *text, size_t len,
                               unsigned options, weir_guard_view_t views[WEIR_GUARD_MAX_VIEWS],
                               size_t *count, weir_error_t *err)
{
    static const weir_guard_decoding_t how = {.room = WEIR_GUARD_MAX_LAYER};
    weir_guard_ends_t ends[WEIR_GUARD_MAX_DEPTH];
    weir_status_t status =
        weir_guard_decoded_views(fold, text, len, options, &how, views, ends, count, err);
    if (status != WEIR_OK) {
        return status;
    }
    bool leet_like = false;
    bool spaced = false;
    look(&views[0], &leet_like, &spaced);
    if (leet_like) {
        *count += leet_view(fold, WEIR_GUARD_MAX_VIEWS, &views[0], &views[*count]);
    }
    if (spaced) {
        *count += joined_view(fold, WEIR_GUARD_MAX_VIEWS + 1, &views[0], &views[*count]);
    }
    return WEIR_OK;
}

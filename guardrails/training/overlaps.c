/* weir-guard overlaps: digests of the training rows that stand in public sets too. */
#include "guardrails/normalise.h"
#include "guardrails/training/commands.h"
#include "guardrails/training/corpus.h"
#include "guardrails/training/eval_sets.h"
#include "guardrails/training/overlap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint8_t (*digest)[WEIR_DIGEST];
    size_t count;
} weir_digests_t;

static weir_status_t take(weir_digests_t *list, weir_guard_fold_t *fold, weir_str_t text,
                          weir_error_t *err)
{
    weir_guard_view_t view;
    weir_status_t status = weir_guard_normalise(fold, text.data, text.len, 0, &view, err);
    if (status == WEIR_OK &&
        weir_text_digest(weir_str(view.text, view.len), list->digest[list->count])) {
        list->count++;
    }
    return status;
}

static int by_digest(const void *a, const void *b)
{
    return memcmp(a, b, WEIR_DIGEST);
}

static weir_status_t public_digests(const char *folder, weir_arena_t *arena,
                                    weir_guard_fold_t *fold, weir_digests_t *list,
                                    weir_error_t *err)
{
    weir_eval_sets_t sets;
    weir_status_t status = weir_eval_sets_read(&sets, folder, arena, err);
    if (status != WEIR_OK) {
        return status;
    }
    size_t most = sets.pii_count + 1;
    for (int s = 0; s < WEIR_SETS; s++) {
        most += sets.set[s].count;
    }
    list->digest = weir_arena_calloc(arena, most, WEIR_DIGEST);
    if (list->digest == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for %zu digests", most);
    }
    for (int s = 0; s < WEIR_SETS; s++) {
        for (size_t i = 0; status == WEIR_OK && i < sets.set[s].count; i++) {
            status = take(list, fold, sets.set[s].cases[i].text, err);
        }
    }
    for (size_t i = 0; status == WEIR_OK && i < sets.pii_count; i++) {
        status = take(list, fold, sets.pii[i].text, err);
    }
    qsort(list->digest, list->count, WEIR_DIGEST, by_digest);
    return status;
}

static void print_list(const weir_corpus_t *corpus, const uint32_t *rows, weir_digests_t *both)
{
    qsort(both->digest, both->count, WEIR_DIGEST, by_digest);
    puts("# Training rows that also stand in public sets, one digest a line (overlap.h).\n"
         "# Made by weir-guard overlaps --train FOLDER --public FOLDER.");
    for (size_t i = 0; i < both->count; i++) {
        if (i > 0 && memcmp(both->digest[i], both->digest[i - 1], WEIR_DIGEST) == 0) {
            continue;
        }
        for (size_t k = 0; k < WEIR_DIGEST; k++) {
            printf("%02x", both->digest[i][k]);
        }
        putchar('\n');
    }
    for (size_t s = 0; s < corpus->source_count; s++) {
        if (rows[s] > 0) {
            fprintf(stderr, "%s: %u rows\n", corpus->sources[s].name, rows[s]);
        }
    }
}

static weir_status_t overlaps(const char *train, const char *shown, weir_arena_t *arena,
                              weir_guard_fold_t *fold, weir_error_t *err)
{
    weir_corpus_t corpus;
    weir_digests_t known = {0}, both = {0};
    uint32_t rows[WEIR_CORPUS_MAX_SOURCES] = {0};
    weir_corpus_init(&corpus, arena);
    weir_status_t status = public_digests(shown, arena, fold, &known, err);
    if (status == WEIR_OK) {
        status = weir_corpus_read_folder(&corpus, train, err);
    }
    if (status != WEIR_OK) {
        return status;
    }
    both.digest = weir_arena_calloc(arena, corpus.count + 1, WEIR_DIGEST);
    if (both.digest == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for %zu digests", corpus.count);
    }
    const weir_excluded_t list = {known.digest, known.count};
    for (size_t i = 0; status == WEIR_OK && i < corpus.count; i++) {
        size_t before = both.count;
        status = take(&both, fold, corpus.rows[i].text, err);
        if (both.count > before && weir_excluded_has(&list, both.digest[before])) {
            rows[corpus.rows[i].source]++;
        } else {
            both.count = before;
        }
    }
    if (status == WEIR_OK) {
        print_list(&corpus, rows, &both);
    }
    return status;
}

int weir_guard_overlaps_command(int argc, char **argv)
{
    weir_arena_t arena;
    weir_guard_fold_t fold = {0};
    weir_error_t err = {0};
    if (argc != 5 || strcmp(argv[1], "--train") != 0 || strcmp(argv[3], "--public") != 0) {
        fputs("usage: weir-guard overlaps --train FOLDER --public FOLDER\n"
              "Prints the digests of the training rows that stand in public sets too, which is\n"
              "the form of guardrails/training/excluded.txt; counts go to standard error.\n",
              stderr);
        return 2;
    }
    weir_arena_init(&arena, (size_t)1 << 20, 0);
    weir_status_t status = overlaps(argv[2], argv[4], &arena, &fold, &err);
    if (status != WEIR_OK) {
        fprintf(stderr, "weir-guard overlaps: %s\n", err.message);
    }
    weir_guard_fold_free(&fold);
    weir_arena_free(&arena);
    return status == WEIR_OK ? 0 : 1;
}

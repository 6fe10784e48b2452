#include "guardrails/training/prepare.h"

#include "guardrails/classifier/text.h"

/* The view as arena memory; ASCII without changes stays where it is. */
static weir_status_t keep(weir_arena_t *arena, const weir_guard_view_t *view, weir_str_t *text,
                          weir_error_t *err)
{
    if (view->text == text->data && view->len == text->len) {
        return WEIR_OK;
    }
    char *copy = weir_arena_strndup(arena, view->text, view->len);
    if (copy == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for a folded text of %zu bytes",
                          view->len);
    }
    *text = weir_str(copy, view->len);
    return WEIR_OK;
}

static bool is_excluded(const weir_excluded_t *list, const weir_guard_view_t *folded)
{
    uint8_t digest[WEIR_DIGEST];
    return weir_text_digest(weir_str(folded->text, folded->len), digest) &&
           weir_excluded_has(list, digest);
}

static weir_status_t prepare_row(weir_corpus_t *corpus, size_t index, const weir_excluded_t *list,
                                 size_t *excluded, weir_guard_fold_t *fold, weir_error_t *err)
{
    weir_guard_view_t views[WEIR_GUARD_MAX_VIEWS];
    size_t count = 0;
    const weir_row_t before = corpus->rows[index];
    weir_str_t original = before.text;
    weir_status_t status =
        weir_guard_views(fold, original.data, original.len, 0, views, &count, err);
    if (status == WEIR_OK) {
        status = keep(corpus->arena, &views[0], &corpus->rows[index].text, err);
    }
    if (status == WEIR_OK && is_excluded(list, &views[0])) {
        corpus->rows[index].weight = 0;
        ++*excluded;
        return WEIR_OK;
    }
    if (!weir_classify_view_counts(views, count, 0)) {
        corpus->rows[index].weight = 0; /* left out with the duplicates */
    }
    for (size_t v = 1; status == WEIR_OK && v < count; v++) {
        weir_str_t text = original;
        if (!weir_classify_view_counts(views, count, v)) {
            continue;
        }
        status = keep(corpus->arena, &views[v], &text, err);
        if (status == WEIR_OK) {
            weir_row_t row = before;
            status = weir_corpus_add(corpus, text, row.label, row.weight / 2, err);
            if (status == WEIR_OK) {
                corpus->sources[corpus->source_count - 1].used--;
                corpus->sources[row.source].used++;
                corpus->rows[corpus->count - 1].source = row.source;
            }
        }
    }
    return status;
}

weir_status_t weir_corpus_prepare(weir_corpus_t *corpus, const weir_excluded_t *list,
                                  size_t *excluded, weir_error_t *err)
{
    weir_guard_fold_t fold = {0};
    weir_status_t status = WEIR_OK;
    size_t count = corpus->count;
    *excluded = 0;
    for (size_t i = 0; status == WEIR_OK && i < count; i++) {
        status = prepare_row(corpus, i, list, excluded, &fold, err);
    }
    weir_guard_fold_free(&fold);
    return status;
}

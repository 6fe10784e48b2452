#include "guardrails/training/prepare.h"

#include "guardrails/classifier/text.h"
#include "guardrails/training/disguise.h"

/* Bytes of a piece; see WEIR_CLASSIFY_SPAN. */
#define PIECE 100

/*
 * Of 32 texts, how many are also read hidden in each way of disguise.h, and the longest such text:
 * enough to say that a form is no sin, too few to fill the buckets with what codes look like.
 */
#define DRAW 32
static const uint32_t DISGUISED[WEIR_DISGUISES] = {1, 2, 1};
#define LONGEST 1024

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

/* Adds a text as one more row of the source and family of `like`. */
static weir_status_t add_like(weir_corpus_t *corpus, const weir_row_t *like, weir_str_t text,
                              float weight, weir_form_t form, weir_error_t *err)
{
    weir_status_t status = weir_corpus_add(corpus, text, like->label, weight, err);
    if (status == WEIR_OK) {
        weir_row_t *row = &corpus->rows[corpus->count - 1];
        corpus->sources[corpus->source_count - 1].used--;
        corpus->sources[like->source].used++;
        row->source = like->source;
        row->family = like->family;
        row->form = form;
    }
    return status;
}

static bool is_harmless(const weir_row_t *row)
{
    for (int h = 0; h < WEIR_HEADS; h++) {
        if (row->label[h] == WEIR_LABEL_YES) {
            return false;
        }
    }
    return true;
}

/* Pieces of about as many bytes as a span, from space to space. */
static weir_status_t add_pieces(weir_corpus_t *corpus, const weir_row_t *whole, weir_error_t *err)
{
    const weir_row_t row = *whole; /* the rows move when one is added */
    weir_status_t status = WEIR_OK;
    size_t at = 0;
    if (row.text.len < 2 * PIECE || !is_harmless(&row)) {
        return WEIR_OK;
    }
    while (status == WEIR_OK && at < row.text.len) {
        size_t end = row.text.len;
        if (end - at > PIECE) {
            end = at + PIECE;
            while (end > at + PIECE / 2 && row.text.data[end] != ' ') {
                end--;
            }
        }
        status = add_like(corpus, &row, weir_str(row.text.data + at, end - at), row.weight,
                          WEIR_FORM_PIECE, err);
        at = end;
    }
    return status;
}

/* How a row's text is to be hidden; WEIR_DISGUISES: not at all. */
static weir_disguise_t disguise_of(const weir_row_t *row)
{
    uint32_t draw = row->family / DRAW % DRAW;
    int how = 0;
    while (how < WEIR_DISGUISES && draw >= DISGUISED[how]) {
        draw -= DISGUISED[how++];
    }
    /* What a bad text is when it is decoded is known already, and its code says nothing. */
    bool useless = how == WEIR_DISGUISE_CODED && !is_harmless(row);
    return useless || row->text.len > LONGEST ? WEIR_DISGUISES : (weir_disguise_t)how;
}

/*
 * The views of a hidden text. The largest score of a text's views counts: a harmless text has to be
 * harmless in all, while a bad one needs to be bad in one of them only, so that what is left
 * unfolded is asked only of attacks, whose words leet leaves alike.
 */
static weir_status_t add_hidden(weir_corpus_t *corpus, const weir_row_t *row,
                                weir_guard_fold_t *fold, weir_error_t *err)
{
    weir_guard_view_t views[WEIR_GUARD_MAX_VIEWS];
    size_t count = 0;
    weir_buf_t hidden;
    weir_disguise_t how = disguise_of(row);
    if (how == WEIR_DISGUISES) {
        return WEIR_OK;
    }
    weir_buf_init(&hidden, corpus->arena);
    weir_disguise(how, row->text, row->family, &hidden);
    if (hidden.failed) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for a hidden text");
    }
    weir_str_t original = weir_str(hidden.data, hidden.len);
    weir_status_t status =
        weir_guard_views(fold, original.data, original.len, 0, views, &count, err);
    bool harmless = is_harmless(row), spaced = how == WEIR_DISGUISE_SPACED;
    bool folded_only = !harmless && row->label[WEIR_HEAD_INJECTION] != WEIR_LABEL_YES;
    float weight = row->weight * (harmless ? 0.5f : spaced ? 1.4f : 0.7f);
    for (size_t v = folded_only ? 1 : 0; status == WEIR_OK && v < count; v++) {
        weir_str_t text = original;
        if (!weir_classify_view_counts(views, count, v)) {
            continue;
        }
        status = keep(corpus->arena, &views[v], &text, err);
        if (status == WEIR_OK) {
            status = add_like(corpus, row, text, weight,
                              spaced ? WEIR_FORM_SPACED : WEIR_FORM_HIDDEN, err);
        }
    }
    return status;
}

static uint32_t family_of(weir_str_t text)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t k = 0; k < text.len; k++) {
        hash = (hash ^ (uint8_t)text.data[k]) * 0x100000001B3u;
    }
    return (uint32_t)(hash ^ hash >> 32);
}

static weir_status_t prepare_row(weir_corpus_t *corpus, size_t index, const weir_excluded_t *list,
                                 size_t *excluded, weir_guard_fold_t *fold, weir_error_t *err)
{
    weir_guard_view_t views[WEIR_GUARD_MAX_VIEWS];
    size_t count = 0;
    weir_str_t original = corpus->rows[index].text;
    corpus->rows[index].family = family_of(original);
    const weir_row_t before = corpus->rows[index];
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
            status = add_like(corpus, &before, text, before.weight / 2, WEIR_FORM_FOUND, err);
        }
    }
    if (status == WEIR_OK && corpus->rows[index].weight > 0) {
        status = add_pieces(corpus, &corpus->rows[index], err);
    }
    return status == WEIR_OK ? add_hidden(corpus, &before, fold, err) : status;
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

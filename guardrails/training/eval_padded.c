/* Bad sentences inside harmless text: each in the middle of as many bytes of harmless rows. */
#include "guardrails/training/eval_parts.h"

#include <string.h>

static const size_t SIZES[] = {300, 1000, 4000};

/* Longer rows are no sentences. */
#define LONGEST 400

typedef struct {
    weir_set_t set;    /* of what is hidden */
    weir_head_t head;  /* that has to find it */
    const char *title; /* of the rows */
} weir_padded_t;

static const weir_padded_t PADDED[] = {
    {WEIR_SET_INJECTION, WEIR_HEAD_INJECTION, "attacks of the injection validation"},
    {WEIR_SET_WIKI, WEIR_HEAD_TOXICITY, "toxic comments of wiki"},
};

/* Harmless text: rows of wiki that are not toxic, one behind the other, again from the start. */
static void append_harmless(const weir_cases_t *wiki, size_t *next, size_t size, weir_buf_t *out)
{
    size_t end = out->len + size;
    while (out->len < end && !out->failed) {
        const weir_case_t *row = &wiki->cases[*next];
        *next = (*next + 1) % wiki->count;
        if (!row->positive) {
            size_t n = row->text.len < end - out->len ? row->text.len : end - out->len;
            weir_buf_append(out, row->text.data, n);
            weir_buf_append_char(out, '\n');
        }
    }
}

static bool blocked(const weir_evaluation_t *e, weir_head_t head, const weir_scores_t *s)
{
    return weir_classify_zone(e->model, head, s->p[head]) == WEIR_ZONE_BLOCK;
}

/* Scores the harmless text with a case in its middle, or without one (text empty). */
static weir_status_t score_padded(weir_evaluation_t *e, size_t *next, size_t size, weir_str_t text,
                                  weir_scores_t *scores)
{
    weir_buf_t padded;
    weir_buf_init(&padded, e->arena);
    append_harmless(&e->sets->set[WEIR_SET_WIKI], next, size / 2, &padded);
    weir_buf_append(&padded, text.data, text.len);
    weir_buf_append_char(&padded, '\n');
    append_harmless(&e->sets->set[WEIR_SET_WIKI], next, size / 2, &padded);
    if (padded.failed) {
        return weir_error(e->err, WEIR_ERR_NOMEM, "no memory for a padded text");
    }
    return weir_classify_text(e->model, &e->fold, padded.data, padded.len, scores, e->err);
}

static weir_status_t padded_row(weir_evaluation_t *e, const weir_padded_t *p, size_t size)
{
    const weir_cases_t *cases = &e->sets->set[p->set];
    size_t all = 0, found = 0, wrong = 0, next = 0;
    for (size_t i = 0; i < cases->count; i++) {
        weir_scores_t with, without;
        size_t same = next;
        if (!cases->cases[i].positive || cases->cases[i].text.len > LONGEST) {
            continue;
        }
        weir_status_t status = score_padded(e, &next, size, cases->cases[i].text, &with);
        if (status == WEIR_OK) {
            status = score_padded(e, &same, size, weir_str("", 0), &without);
        }
        if (status != WEIR_OK) {
            return status;
        }
        all++;
        found += blocked(e, p->head, &with);
        wrong += blocked(e, p->head, &without);
    }
    double n = all == 0 ? 1 : (double)all;
    weir_buf_printf(&e->report.body, "| %s | %zu | %zu | %.3f | %.3f |\n", p->title, all, size,
                    (double)found / n, (double)wrong / n);
    return WEIR_OK;
}

weir_status_t weir_eval_padded(weir_evaluation_t *e)
{
    weir_buf_append_z(
        &e->report.body,
        "\n## Inside longer texts\n\nRows of at most 400 bytes in the middle of harmless "
        "wiki comments; at the block threshold of the head that has to find them.\n\n"
        "| What | rows | harmless bytes around | found | the same text without it "
        "blocked |\n|---|---:|---:|---:|---:|\n");
    for (size_t i = 0; i < sizeof(PADDED) / sizeof(PADDED[0]); i++) {
        for (size_t k = 0; k < sizeof(SIZES) / sizeof(SIZES[0]); k++) {
            weir_status_t status = padded_row(e, &PADDED[i], SIZES[k]);
            if (status != WEIR_OK) {
                return status;
            }
        }
    }
    return WEIR_OK;
}

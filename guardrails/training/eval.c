/* weir-guard eval: figures on the public sets, against their bars. */
#include "guardrails/training/commands.h"
#include "guardrails/training/corpus.h"
#include "guardrails/training/eval_parts.h"
#include "guardrails/training/model_write.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
    const char *data;
    const char *weights; /* NULL: the library's own */
    const char *write;   /* NULL: print only */
} weir_eval_options_t;

static int usage(void)
{
    fputs(
        "usage: weir-guard eval --data FOLDER [--weights FILE] [--write FILE]\n"
        "Measures detectors and classifiers on the sets in FOLDER, prints tables, and fails when\n"
        "a figure misses its bar. --write puts the same text into FILE.\n",
        stderr);
    return 2;
}

static bool read_options(weir_eval_options_t *o, int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--data") == 0) {
            o->data = argv[i + 1];
        } else if (strcmp(argv[i], "--weights") == 0) {
            o->weights = argv[i + 1];
        } else if (strcmp(argv[i], "--write") == 0) {
            o->write = argv[i + 1];
        } else {
            return false;
        }
    }
    return argc % 2 == 1 && o->data != NULL;
}

static weir_status_t open_model(const weir_eval_options_t *o, weir_arena_t *arena,
                                weir_classifier_t *model, weir_error_t *err)
{
    weir_str_t data;
    if (o->weights == NULL) {
        return weir_classifier_open_builtin(model, err);
    }
    weir_status_t status = weir_read_file(o->weights, arena, &data, err);
    return status == WEIR_OK ? weir_classifier_open(model, data.data, data.len, err) : status;
}

static void compose(const weir_report_t *r, weir_buf_t *out)
{
    weir_buf_append_z(out,
                      "# Guardrails: accuracy\n\n"
                      "Written by `make eval DATA=folder` (`weir-guard eval`), with the rules, "
                      "weights and thresholds\nthat are shipped. The sets are public and none "
                      "was trained on; docs/model-card.md describes them.\n\n"
                      "| Figure | wanted | got | |\n|---|---|---:|---|\n");
    weir_buf_append(out, r->bars.data, r->bars.len);
    weir_buf_printf(out, "\n%zu of %zu bars met.\n", r->checked - r->missed, r->checked);
    weir_buf_append(out, r->body.data, r->body.len);
}

static weir_status_t evaluate(const weir_eval_options_t *o, weir_arena_t *arena, size_t *missed,
                              weir_error_t *err)
{
    weir_eval_sets_t sets;
    weir_classifier_t model;
    weir_buf_t text;
    weir_evaluation_t e = {.sets = &sets, .model = &model, .arena = arena, .err = err};
    weir_report_init(&e.report, arena);
    weir_status_t status = open_model(o, arena, &model, err);
    if (status == WEIR_OK) {
        status = weir_eval_sets_read(&sets, o->data, arena, err);
    }
    if (status == WEIR_OK) {
        status = weir_eval_classifiers(&e);
    }
    if (status == WEIR_OK) {
        status = weir_eval_evasion(&e);
    }
    if (status == WEIR_OK) {
        status = weir_eval_padded(&e);
    }
    if (status == WEIR_OK) {
        status = weir_eval_pii(&e);
    }
    if (status == WEIR_OK) {
        status = weir_eval_stream(&e);
    }
    weir_guard_fold_free(&e.fold);
    if (status != WEIR_OK) {
        return status;
    }
    weir_buf_init(&text, arena);
    compose(&e.report, &text);
    if (text.failed || e.report.body.failed || e.report.bars.failed) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for the report");
    }
    fwrite(text.data, 1, text.len, stdout);
    *missed = e.report.missed;
    return o->write == NULL ? WEIR_OK
                            : weir_write_file(o->write, weir_str(text.data, text.len), err);
}

int weir_guard_eval_command(int argc, char **argv)
{
    weir_eval_options_t options = {0};
    weir_arena_t arena;
    weir_error_t err = {0};
    size_t missed = 0;
    if (!read_options(&options, argc, argv)) {
        return usage();
    }
    weir_arena_init(&arena, (size_t)1 << 20, 0);
    weir_status_t status = evaluate(&options, &arena, &missed, &err);
    if (status != WEIR_OK) {
        fprintf(stderr, "weir-guard eval: %s\n", err.message);
    } else if (missed > 0) {
        fprintf(stderr, "weir-guard eval: %zu bars missed\n", missed);
    }
    weir_arena_free(&arena);
    return status == WEIR_OK && missed == 0 ? 0 : 1;
}

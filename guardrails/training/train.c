/* weir-guard train: corpus, cross-validation, calibration, thresholds, weights, manifest. */
#include "guardrails/training/calibrate.h"
#include "guardrails/training/commands.h"
#include "guardrails/training/grammar.h"
#include "guardrails/training/model_write.h"
#include "guardrails/training/prepare.h"
#include "guardrails/training/weak.h"

#include <math.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#define FOLDS 4

typedef struct {
    const char *data;
    const char *out;
    const char *manifest;
    weir_learn_options_t learn;
} weir_train_options_t;

/* What is wanted of each head. */
typedef struct {
    float decay;         /* see weir_learn_options_t */
    float max_part;      /* see weir_head_params_t */
    double block_share;  /* of the negative rows that count (below) may be blocked */
    double review_share; /* may be put into the review zone or above */
} weir_head_goal_t;

/*
 * A long text is diluted in the mean and sure to hold one odd window, so that both count: a whole
 * comment is toxic, but one sentence in a long document is enough to inject.
 */
static const weir_head_goal_t GOALS[WEIR_HEADS] = {
    {1.5e-2f, 0.1f, 0.027, 0.10},  /* toxicity */
    {1.5e-2f, 0.5f, 0.0005, 0.02}, /* insult */
    {1.5e-2f, 0.5f, 0.0005, 0.02}, /* threat */
    {1.5e-2f, 0.5f, 0.0005, 0.02}, /* sexual */
    {1.5e-2f, 0.5f, 0.0005, 0.02}, /* identity_attack */
    {1.5e-2f, 0.5f, 0.0005, 0.02}, /* self_harm */
    {5e-3f, 0.75f, 0.0018, 0.02},  /* injection */
    {5e-3f, 0.75f, 0.0003, 0.005}, /* jailbreak */
};

/*
 * Sources whose negative rows set the thresholds: people's own words, not contrast pairs. Comments
 * are the hard ones for toxicity and its sub-heads; for attacks, requests count beside them.
 */
static bool counts_for_threshold(const char *source, int head)
{
    bool comment = strcmp(source, "jigsaw.csv") == 0;
    bool request =
        strcmp(source, "injection_mixed.csv") == 0 || strcmp(source, "gsm8k_benign.jsonl") == 0;
    return comment || (request && (head == WEIR_HEAD_INJECTION || head == WEIR_HEAD_JAILBREAK));
}

typedef struct {
    float (*top)[WEIR_HEADS];
    float (*mean)[WEIR_HEADS];
} weir_held_out_t;

typedef struct {
    double auc;
    double threshold_fpr;
    double recall;
    size_t positives;
    size_t negatives;
} weir_head_metrics_t;

typedef struct {
    weir_train_options_t options;
    weir_arena_t arena;
    weir_corpus_t corpus;
    weir_feature_table_t features;
    weir_held_out_t held;
    weir_head_params_t params[WEIR_HEADS];
    weir_head_metrics_t metrics[WEIR_HEADS];
    weir_linear_t linear;
    weir_excluded_t excluded;
    size_t excluded_rows;
    size_t dropped;
    weir_error_t err;
} weir_trainer_t;

static weir_status_t read_corpus(weir_trainer_t *t)
{
    weir_corpus_init(&t->corpus, &t->arena);
    weir_status_t status = weir_corpus_read_folder(&t->corpus, t->options.data, &t->err);
    weir_builtin_grammar_t grammar;
    for (size_t i = 0; status == WEIR_OK && weir_builtin_grammar(i, &grammar); i++) {
        weir_str_t text = weir_str((const char *)grammar.data, grammar.len);
        status = weir_grammar_add(&t->corpus, grammar.name, text, t->options.learn.seed, &t->err);
    }
    if (status == WEIR_OK) {
        status = weir_excluded_read(&t->excluded, weir_excluded_builtin(), &t->arena, &t->err);
    }
    if (status == WEIR_OK) {
        status = weir_corpus_prepare(&t->corpus, &t->excluded, &t->excluded_rows, &t->err);
    }
    if (status == WEIR_OK) {
        weir_corpus_weak_labels(&t->corpus);
        t->dropped = weir_corpus_distinct(&t->corpus) - t->excluded_rows;
        status = weir_features_build(&t->corpus, t->options.learn.buckets, &t->features, &t->err);
    }
    return status;
}

/* A row's fold depends on its text alone. */
static void choose_folds(const weir_corpus_t *corpus, uint8_t *fold)
{
    for (size_t i = 0; i < corpus->count; i++) {
        uint64_t hash = 0xCBF29CE484222325u;
        for (size_t k = 0; k < corpus->rows[i].text.len; k++) {
            hash = (hash ^ (uint8_t)corpus->rows[i].text.data[k]) * 0x100000001B3u;
        }
        fold[i] = (uint8_t)((hash ^ hash >> 32) % FOLDS);
    }
}

static weir_status_t cross_validate(weir_trainer_t *t)
{
    size_t n = t->corpus.count;
    uint8_t *fold = weir_arena_calloc(&t->arena, n, 1);
    t->held.top = weir_arena_calloc(&t->arena, n, sizeof(*t->held.top));
    t->held.mean = weir_arena_calloc(&t->arena, n, sizeof(*t->held.mean));
    if (fold == NULL || t->held.top == NULL || t->held.mean == NULL) {
        return weir_error(&t->err, WEIR_ERR_NOMEM, "no memory for cross-validation");
    }
    choose_folds(&t->corpus, fold);
    for (uint8_t k = 0; k < FOLDS; k++) {
        weir_linear_t m;
        weir_status_t status =
            weir_learn(&t->corpus, &t->features, &t->options.learn, fold, k, &m, &t->err);
        if (status != WEIR_OK) {
            return status;
        }
        for (size_t i = 0; i < n; i++) {
            if (fold[i] == k) {
                weir_linear_row(&m, &t->features, i, t->held.top[i], t->held.mean[i]);
            }
        }
        weir_linear_free(&m);
    }
    return WEIR_OK;
}

typedef struct {
    weir_sample_t *sample;
    double *logit;
    bool *positive;
    double *negative; /* logits of the negatives that count for thresholds */
    size_t n;
    size_t negatives;
} weir_head_samples_t;

static void collect(const weir_trainer_t *t, int head, weir_head_samples_t *s)
{
    float part = GOALS[head].max_part;
    s->n = s->negatives = 0;
    for (size_t i = 0; i < t->corpus.count; i++) {
        const weir_row_t *row = &t->corpus.rows[i];
        if (row->label[head] == WEIR_LABEL_UNKNOWN) {
            continue;
        }
        float top = t->held.top[i][head], mean = t->held.mean[i][head];
        double logit = (double)(part * top + (1 - part) * mean);
        bool yes = row->label[head] == WEIR_LABEL_YES;
        s->sample[s->n] = (weir_sample_t){top, mean, row->weight, yes};
        s->positive[s->n] = yes;
        s->logit[s->n++] = logit;
        if (!yes && counts_for_threshold(t->corpus.sources[row->source].name, head)) {
            s->negative[s->negatives++] = logit;
        }
    }
}

/*
 * Sub-heads know only templates and words for their kind: what they are unsure of is not blocked.
 */
#define SUB_HEAD_BLOCK  0.5f
#define SUB_HEAD_REVIEW 0.05f

static bool is_sub_head(int head)
{
    return head != WEIR_HEAD_TOXICITY && head < WEIR_HEAD_INJECTION;
}

static float probability(const weir_head_params_t *p, double logit)
{
    return (float)weir_sigmoid((double)p->platt_a * logit + (double)p->platt_b);
}

static void fit_head(weir_trainer_t *t, int head, weir_head_samples_t *s)
{
    weir_head_params_t *p = &t->params[head];
    weir_head_metrics_t *m = &t->metrics[head];
    collect(t, head, s);
    p->max_part = GOALS[head].max_part;
    weir_platt(s->logit, s->sample, s->n, &p->platt_a, &p->platt_b);
    double block = weir_upper_quantile(s->negative, s->negatives, GOALS[head].block_share);
    double review = weir_upper_quantile(s->negative, s->negatives, GOALS[head].review_share);
    p->block = probability(p, block);
    if (is_sub_head(head) && p->block < SUB_HEAD_BLOCK) {
        p->block = SUB_HEAD_BLOCK;
    }
    p->review = probability(p, review < block ? review : block);
    if (is_sub_head(head) && p->review < SUB_HEAD_REVIEW) {
        p->review = SUB_HEAD_REVIEW;
    }
    m->auc = weir_auc(s->logit, s->positive, s->n);
    size_t caught = 0;
    for (size_t i = 0; i < s->n; i++) {
        m->positives += s->positive[i];
        caught += s->positive[i] && probability(p, s->logit[i]) >= p->block;
    }
    m->negatives = s->n - m->positives;
    m->recall = m->positives > 0 ? (double)caught / (double)m->positives : 0;
    m->threshold_fpr = GOALS[head].block_share;
}

static weir_status_t fit_heads(weir_trainer_t *t)
{
    size_t n = t->corpus.count + 1;
    weir_head_samples_t s = {.sample = weir_arena_calloc(&t->arena, n, sizeof(*s.sample)),
                             .logit = weir_arena_calloc(&t->arena, n, sizeof(*s.logit)),
                             .positive = weir_arena_calloc(&t->arena, n, sizeof(*s.positive)),
                             .negative = weir_arena_calloc(&t->arena, n, sizeof(*s.negative))};
    if (s.sample == NULL || s.logit == NULL || s.positive == NULL || s.negative == NULL) {
        return weir_error(&t->err, WEIR_ERR_NOMEM, "no memory for calibration");
    }
    for (int h = 0; h < WEIR_HEADS; h++) {
        fit_head(t, h, &s);
    }
    return WEIR_OK;
}

/* --- manifest --- */

static void put_hex(weir_buf_t *b, const uint8_t sha256[32])
{
    weir_buf_append_char(b, '"');
    for (int i = 0; i < 32; i++) {
        weir_buf_printf(b, "%02x", sha256[i]);
    }
    weir_buf_append_char(b, '"');
}

static void put_sources(const weir_trainer_t *t, weir_buf_t *b)
{
    weir_buf_append_z(b, "  \"sources\": [\n");
    for (size_t i = 0; i < t->corpus.source_count; i++) {
        const weir_source_t *s = &t->corpus.sources[i];
        weir_buf_printf(b, "    {\"name\": \"%s\", \"records\": %u, \"rows\": %u, \"sha256\": ",
                        s->name, s->records, s->used);
        put_hex(b, s->sha256);
        weir_buf_append_z(b, i + 1 < t->corpus.source_count ? "},\n" : "}\n");
    }
    weir_buf_append_z(b, "  ],\n");
}

static void put_heads(const weir_trainer_t *t, weir_buf_t *b)
{
    weir_buf_append_z(b, "  \"heads\": [\n");
    for (int h = 0; h < WEIR_HEADS; h++) {
        const weir_head_metrics_t *m = &t->metrics[h];
        const weir_head_params_t *p = &t->params[h];
        weir_buf_printf(
            b,
            "    {\"name\": \"%s\", \"positives\": %zu, \"negatives\": %zu,\n"
            "     \"held_out_auc\": %.4f, \"block_false_positives\": %.4f, "
            "\"held_out_recall\": %.4f,\n"
            "     \"decay\": %g, \"max_part\": %.2f, \"platt_a\": %.6f, \"platt_b\": %.6f, "
            "\"review\": %.6f, \"block\": %.6f}%s\n",
            weir_head_name((weir_head_t)h), m->positives, m->negatives, m->auc, m->threshold_fpr,
            m->recall, (double)GOALS[h].decay, (double)p->max_part, (double)p->platt_a,
            (double)p->platt_b, (double)p->review, (double)p->block, h + 1 < WEIR_HEADS ? "," : "");
    }
    weir_buf_append_z(b, "  ]\n}\n");
}

static weir_status_t write_manifest(weir_trainer_t *t, weir_str_t weights)
{
    weir_buf_t b;
    uint8_t sha256[32];
    weir_buf_init(&b, &t->arena);
    SHA256((const unsigned char *)weights.data, weights.len, sha256);
    weir_buf_append_z(&b, "{\n  \"weights\": {\"sha256\": ");
    put_hex(&b, sha256);
    weir_buf_printf(&b, ", \"bytes\": %zu},\n", weights.len);
    const weir_learn_options_t *o = &t->options.learn;
    weir_buf_printf(&b,
                    "  \"options\": {\"buckets\": %u, \"epochs\": %u, \"rate\": %g, "
                    "\"seed\": %llu, \"folds\": %d},\n"
                    "  \"rows\": %zu, \"duplicates_dropped\": %zu, \"windows\": %zu,\n"
                    "  \"excluded\": {\"digests\": %zu, \"rows\": %zu, \"sha256\": ",
                    o->buckets, o->epochs, (double)o->rate, (unsigned long long)o->seed, FOLDS,
                    t->corpus.count, t->dropped, t->features.windows, t->excluded.count,
                    t->excluded_rows);
    weir_str_t list = weir_excluded_builtin();
    SHA256((const unsigned char *)list.data, list.len, sha256);
    put_hex(&b, sha256);
    weir_buf_append_z(&b, "},\n");
    put_sources(t, &b);
    put_heads(t, &b);
    if (b.failed) {
        return weir_error(&t->err, WEIR_ERR_NOMEM, "no memory for the manifest");
    }
    return weir_write_file(t->options.manifest, weir_str(b.data, b.len), &t->err);
}

/* --- the command --- */

static weir_status_t train(weir_trainer_t *t)
{
    weir_str_t weights;
    weir_status_t status = read_corpus(t);
    if (status == WEIR_OK) {
        printf("%zu rows, %zu duplicates and %zu that public sets hold left out, %zu windows\n",
               t->corpus.count, t->dropped, t->excluded_rows, t->features.windows);
        status = cross_validate(t);
    }
    if (status == WEIR_OK) {
        status = fit_heads(t);
    }
    if (status == WEIR_OK) {
        status =
            weir_learn(&t->corpus, &t->features, &t->options.learn, NULL, 0, &t->linear, &t->err);
    }
    if (status == WEIR_OK) {
        status = weir_model_encode(&t->linear, t->params, &t->arena, &weights, &t->err);
    }
    if (status == WEIR_OK) {
        status = weir_write_file(t->options.out, weights, &t->err);
    }
    if (status == WEIR_OK && t->options.manifest != NULL) {
        status = write_manifest(t, weights);
    }
    for (int h = 0; status == WEIR_OK && h < WEIR_HEADS; h++) {
        printf("%-16s held out: AUC %.4f, recall %.3f at the block threshold %.4f (review %.4f)\n",
               weir_head_name((weir_head_t)h), t->metrics[h].auc, t->metrics[h].recall,
               (double)t->params[h].block, (double)t->params[h].review);
    }
    return status;
}

static int usage(void)
{
    fputs("usage: weir-guard train --data FOLDER --out FILE [--manifest FILE] [--buckets N]\n"
          "                        [--epochs N] [--seed N]\n"
          "Trains the classifiers on the files of FOLDER and on the built-in grammars, and writes\n"
          "the weights. The same inputs give the same bytes.\n",
          stderr);
    return 2;
}

static bool number(const char *text, unsigned long low, unsigned long high, unsigned long *out)
{
    char *end;
    *out = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == 0 && *out >= low && *out <= high;
}

static bool read_option(weir_train_options_t *o, const char *name, const char *value)
{
    unsigned long v = 0;
    if (strcmp(name, "--data") == 0) {
        o->data = value;
    } else if (strcmp(name, "--out") == 0) {
        o->out = value;
    } else if (strcmp(name, "--manifest") == 0) {
        o->manifest = value;
    } else if (strcmp(name, "--buckets") == 0) {
        bool good = number(value, 256, WEIR_CLASSIFIER_MAX_BUCKETS, &v);
        o->learn.buckets = (uint32_t)v;
        return good;
    } else if (strcmp(name, "--epochs") == 0) {
        bool good = number(value, 1, 100, &v);
        o->learn.epochs = (uint32_t)v;
        return good;
    } else if (strcmp(name, "--seed") == 0) {
        bool good = number(value, 0, 1000000000, &v);
        o->learn.seed = v;
        return good;
    } else {
        return false;
    }
    return true;
}

int weir_guard_train_command(int argc, char **argv)
{
    weir_train_options_t options = {.learn = {30000, 8, 0.3f, {0}, 1}};
    for (int h = 0; h < WEIR_HEADS; h++) {
        options.learn.decay[h] = GOALS[h].decay;
    }
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 >= argc || !read_option(&options, argv[i], argv[i + 1])) {
            return usage();
        }
    }
    if (options.data == NULL || options.out == NULL) {
        return usage();
    }
    weir_trainer_t *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        fputs("weir-guard train: out of memory\n", stderr);
        return 1;
    }
    t->options = options;
    weir_arena_init(&t->arena, (size_t)1 << 20, 0);
    weir_status_t status = train(t);
    if (status != WEIR_OK) {
        fprintf(stderr, "weir-guard train: %s\n", t->err.message);
    }
    weir_linear_free(&t->linear);
    weir_features_free(&t->features);
    weir_arena_free(&t->arena);
    free(t);
    return status == WEIR_OK ? 0 : 1;
}

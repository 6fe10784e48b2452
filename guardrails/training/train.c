/* weir-guard train: corpus, cross-validation, calibration, thresholds, weights, manifest. */
#include "guardrails/classifier/features.h"
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
    double gate_share;   /* may have a window that is scored by spans too */
    double span_share;   /* may be blocked for one of their spans */
    double review_share; /* may be put into the review zone or above */
} weir_head_goal_t;

/*
 * A long text is diluted in the mean and sure to hold one odd window, so that both count: a whole
 * comment is toxic, but one sentence in a long document is enough to inject.
 */
static const weir_head_goal_t GOALS[WEIR_HEADS] = {
    {9e-3f, 0.1f, 0.0235, 0.08, 0.001, 0.05},     /* toxicity */
    {1.5e-2f, 0.5f, 0.0005, 0.01, 0.0002, 0.01},  /* insult */
    {1.5e-2f, 0.5f, 0.0005, 0.01, 0.0002, 0.005}, /* threat */
    {1.5e-2f, 0.5f, 0.0005, 0.01, 0.0002, 0.005}, /* sexual */
    {1.5e-2f, 0.5f, 0.0005, 0.01, 0.0002, 0.005}, /* identity_attack */
    {1.5e-2f, 0.5f, 0.0003, 0.01, 0.0002, 0.005}, /* self_harm */
    {5e-3f, 0.75f, 0.0022, 0.60, 0.0005, 0.01},   /* injection */
    {5e-3f, 0.75f, 0.0005, 0.02, 0.0002, 0.002},  /* jailbreak */
};

/* Share of a window's features that a step does not see. */
#define DROP 0.15f

/*
 * Sources whose negative rows set the thresholds: people's own words, not contrast pairs. Comments
 * are the hard ones for toxicity and its sub-heads; for attacks, requests count beside them. No
 * set of people's words has calls for help, which self-harm must let through: ours count.
 */
static bool counts_for_threshold(const char *source, int head)
{
    bool comment = strcmp(source, "jigsaw.csv") == 0;
    bool request =
        strcmp(source, "injection_mixed.csv") == 0 || strcmp(source, "gsm8k_benign.jsonl") == 0;
    bool help = strcmp(source, "toxicity.txt") == 0;
    return comment || (request && (head == WEIR_HEAD_INJECTION || head == WEIR_HEAD_JAILBREAK)) ||
           (help && head == WEIR_HEAD_SELF_HARM);
}

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
    weir_logits_t *held; /* of each row, by the model that has not seen it */
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

/* A row's fold depends on its text alone, and is that of the text's other forms. */
static void choose_folds(const weir_corpus_t *corpus, uint8_t *fold)
{
    for (size_t i = 0; i < corpus->count; i++) {
        fold[i] = (uint8_t)(corpus->rows[i].family % FOLDS);
    }
}

/* Scores the rows of a fold as they would be scored with the model as it would be shipped. */
static weir_status_t score_fold(weir_trainer_t *t, const weir_linear_t *m, const uint8_t *fold,
                                uint8_t k)
{
    weir_head_params_t all[WEIR_HEADS] = {0};
    weir_str_t weights;
    weir_classifier_t model;
    for (int h = 0; h < WEIR_HEADS; h++) {
        all[h].gate = -1e6f; /* every window's spans */
    }
    weir_status_t status = weir_model_encode(m, all, &t->arena, &weights, &t->err);
    if (status == WEIR_OK) {
        status = weir_classifier_open(&model, weights.data, weights.len, &t->err);
    }
    for (size_t i = 0; status == WEIR_OK && i < t->corpus.count; i++) {
        const weir_row_t *row = &t->corpus.rows[i];
        if (fold[i] == k && row->form == WEIR_FORM_FOUND) {
            weir_classify_stream_t stream;
            weir_classify_begin(&stream, &model);
            weir_classify_feed(&stream, row->text.data, row->text.len);
            weir_classify_logits(&stream, &t->held[i]);
        }
    }
    return status;
}

static weir_status_t cross_validate(weir_trainer_t *t)
{
    size_t n = t->corpus.count;
    uint8_t *fold = weir_arena_calloc(&t->arena, n, 1);
    t->held = weir_arena_calloc(&t->arena, n, sizeof(*t->held));
    if (fold == NULL || t->held == NULL) {
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
        status = score_fold(t, &m, fold, k);
        weir_linear_free(&m);
        if (status != WEIR_OK) {
            return status;
        }
    }
    return WEIR_OK;
}

typedef struct {
    weir_sample_t *sample;
    double *logit;
    double *top;
    double *span;
    bool *positive;
    double *negative; /* of the negatives that count for thresholds */
    size_t n;
    size_t negatives;
} weir_head_samples_t;

static bool counts(const weir_trainer_t *t, const weir_row_t *row, int head)
{
    return row->label[head] == WEIR_LABEL_NO &&
           counts_for_threshold(t->corpus.sources[row->source].name, head);
}

/* Logits of whole texts, and of their largest spans. */
static void collect(const weir_trainer_t *t, int head, weir_head_samples_t *s)
{
    double part = (double)GOALS[head].max_part;
    s->n = 0;
    for (size_t i = 0; i < t->corpus.count; i++) {
        const weir_row_t *row = &t->corpus.rows[i];
        if (row->label[head] == WEIR_LABEL_UNKNOWN || row->form != WEIR_FORM_FOUND) {
            continue;
        }
        const weir_logits_t *held = &t->held[i];
        bool yes = row->label[head] == WEIR_LABEL_YES;
        s->sample[s->n] = (weir_sample_t){row->weight, yes, counts(t, row, head)};
        s->positive[s->n] = yes;
        s->top[s->n] = (double)held->top[head];
        s->span[s->n] = (double)held->span[head];
        s->logit[s->n++] = part * (double)held->top[head] + (1 - part) * held->mean[head];
    }
}

/* The value that so large a share of the negatives that count reach. */
static double threshold(weir_head_samples_t *s, const double *value, double share)
{
    s->negatives = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->sample[i].counts) {
            s->negative[s->negatives++] = value[i];
        }
    }
    return weir_upper_quantile(s->negative, s->negatives, share);
}

/*
 * The margin lets so many harmless rows be blocked for a span as was wished, whatever the threshold
 * of whole texts would block.
 */
static float span_margin(weir_head_samples_t *s, const weir_head_goal_t *goal)
{
    double margin =
        threshold(s, s->span, goal->span_share) - threshold(s, s->logit, goal->block_share);
    return margin > 0 ? (float)margin : 0;
}

static void add_spans(weir_head_samples_t *s, const weir_head_params_t *p)
{
    for (size_t i = 0; i < s->n; i++) {
        double span = s->top[i] < (double)p->gate ? s->logit[i] : s->span[i] - (double)p->margin;
        s->logit[i] = span > s->logit[i] ? span : s->logit[i];
    }
}

/*
 * Sub-heads know only templates and words for their kind: what they are unsure of is not blocked.
 * How many rows of their kinds there are is our choice, so they are calibrated as if one row in ten
 * were of it.
 */
#define SUB_HEAD_BLOCK  0.85f
#define SUB_HEAD_REVIEW 0.2f
#define SUB_HEAD_SHARE  0.1

static bool is_sub_head(int head)
{
    return head != WEIR_HEAD_TOXICITY && head < WEIR_HEAD_INJECTION;
}

static void weigh_sub_head(weir_head_samples_t *s)
{
    double weight[2] = {0};
    for (size_t i = 0; i < s->n; i++) {
        weight[s->positive[i]] += (double)s->sample[i].weight;
    }
    double more = weight[0] / weight[1] * SUB_HEAD_SHARE / (1 - SUB_HEAD_SHARE);
    for (size_t i = 0; i < s->n; i++) {
        s->sample[i].weight *= s->positive[i] && more > 1 ? (float)more : 1.0f;
    }
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
    p->gate = (float)threshold(s, s->top, GOALS[head].gate_share);
    p->margin = span_margin(s, &GOALS[head]);
    add_spans(s, p);
    if (is_sub_head(head)) {
        weigh_sub_head(s);
    }
    weir_platt(s->logit, s->sample, s->n, &p->platt_a, &p->platt_b);
    double block = threshold(s, s->logit, GOALS[head].block_share);
    double review = threshold(s, s->logit, GOALS[head].review_share);
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
                             .top = weir_arena_calloc(&t->arena, n, sizeof(*s.top)),
                             .span = weir_arena_calloc(&t->arena, n, sizeof(*s.span)),
                             .positive = weir_arena_calloc(&t->arena, n, sizeof(*s.positive)),
                             .negative = weir_arena_calloc(&t->arena, n, sizeof(*s.negative))};
    if (s.sample == NULL || s.logit == NULL || s.top == NULL || s.span == NULL ||
        s.positive == NULL || s.negative == NULL) {
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
            "     \"decay\": %g, \"max_part\": %.2f, \"gate\": %.6f, \"margin\": %.6f,\n"
            "     \"platt_a\": %.6f, \"platt_b\": %.6f, "
            "\"review\": %.6f, \"block\": %.6f}%s\n",
            weir_head_name((weir_head_t)h), m->positives, m->negatives, m->auc, m->threshold_fpr,
            m->recall, (double)GOALS[h].decay, (double)p->max_part, (double)p->gate,
            (double)p->margin, (double)p->platt_a, (double)p->platt_b, (double)p->review,
            (double)p->block, h + 1 < WEIR_HEADS ? "," : "");
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
                    "\"drop\": %g, \"seed\": %llu, \"folds\": %d},\n"
                    "  \"rows\": %zu, \"duplicates_dropped\": %zu, \"windows\": %zu,\n"
                    "  \"excluded\": {\"digests\": %zu, \"rows\": %zu, \"sha256\": ",
                    o->buckets, o->epochs, (double)o->rate, (double)o->drop,
                    (unsigned long long)o->seed, FOLDS, t->corpus.count, t->dropped,
                    t->features.windows, t->excluded.count, t->excluded_rows);
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
    weir_train_options_t options = {
        .learn = {.buckets = 30000, .epochs = 8, .rate = 0.3f, .drop = DROP, .seed = 1}};
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

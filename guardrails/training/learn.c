#include "guardrails/training/learn.h"

#include "guardrails/classifier/features.h"

#include <stdlib.h>

uint64_t weir_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

double weir_sigmoid(double x)
{
    if (x < 0) {
        return 1.0 - weir_sigmoid(-x);
    }
    if (x > 40) {
        return 1.0;
    }
    /* exp(-x) = exp(-x / 1024)^1024; nine Taylor terms leave less than 1e-15 of -x/1024 <= 0.04. */
    double y = -x / 1024, term = 1, sum = 1;
    for (int i = 1; i <= 9; i++) {
        term *= y / i;
        sum += term;
    }
    for (int i = 0; i < 10; i++) {
        sum *= sum;
    }
    return 1.0 / (1.0 + sum);
}

/* --- features --- */

typedef struct {
    weir_feature_table_t *table;
    size_t bucket_cap;
    size_t window_cap;
    uint64_t seen[WEIR_CLASSIFIER_MAX_BUCKETS / 64];
    bool failed;
} weir_extractor_t;

static void *grown(void *old, size_t *cap, size_t need, size_t size, bool *failed)
{
    if (need <= *cap) {
        return old;
    }
    size_t cap_new = need * 2;
    void *fresh = realloc(old, cap_new * size);
    if (fresh == NULL) {
        *failed = true;
        return old;
    }
    *cap = cap_new;
    return fresh;
}

/* Appends a window's distinct buckets in ascending order, in which their weights are summed. */
static void add_window(void *context, const uint16_t *bucket, uint32_t n)
{
    weir_extractor_t *x = context;
    weir_feature_table_t *t = x->table;
    t->bucket = grown(t->bucket, &x->bucket_cap, t->buckets + n, sizeof(*t->bucket), &x->failed);
    t->start = grown(t->start, &x->window_cap, t->windows + 2, sizeof(*t->start), &x->failed);
    if (x->failed) {
        return;
    }
    memset(x->seen, 0, sizeof(x->seen));
    for (uint32_t i = 0; i < n; i++) {
        x->seen[bucket[i] >> 6] |= (uint64_t)1 << (bucket[i] & 63);
    }
    for (uint32_t w = 0; w < WEIR_CLASSIFIER_MAX_BUCKETS / 64; w++) {
        for (uint64_t bits = x->seen[w]; bits != 0; bits &= bits - 1) {
            t->bucket[t->buckets++] = (uint16_t)(64 * w + (uint32_t)__builtin_ctzll(bits));
        }
    }
    t->start[++t->windows] = t->buckets;
}

weir_status_t weir_features_build(const weir_corpus_t *corpus, uint32_t buckets,
                                  weir_feature_table_t *table, weir_error_t *err)
{
    weir_extractor_t x = {.table = table};
    const weir_classifier_t model = {.buckets = buckets, .path = weir_classify_best_path()};
    memset(table, 0, sizeof(*table));
    table->row = calloc(corpus->count + 1, sizeof(*table->row));
    table->start = grown(NULL, &x.window_cap, 1024, sizeof(*table->start), &x.failed);
    if (table->row == NULL || x.failed) {
        weir_features_free(table);
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for the features");
    }
    table->start[0] = 0;
    for (size_t i = 0; i < corpus->count && !x.failed; i++) {
        table->row[i].first = (uint32_t)table->windows;
        weir_str_t text = corpus->rows[i].text;
        weir_each_window(&model, text.data, text.len, add_window, &x);
        table->row[i].count = (uint32_t)table->windows - table->row[i].first;
    }
    if (x.failed) {
        weir_features_free(table);
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for the features");
    }
    return WEIR_OK;
}

void weir_features_free(weir_feature_table_t *table)
{
    free(table->row);
    free(table->start);
    free(table->bucket);
    memset(table, 0, sizeof(*table));
}

/* --- learning --- */

static void feature_logits(const weir_linear_t *m, const uint16_t *bucket, uint32_t n,
                           float out[WEIR_HEADS])
{
    float sum[WEIR_HEADS] = {0};
    for (uint32_t i = 0; i < n; i++) {
        const float *weight = m->weight[bucket[i]];
        for (int h = 0; h < WEIR_HEADS; h++) {
            sum[h] += weight[h];
        }
    }
    float norm = weir_window_norm(n);
    for (int h = 0; h < WEIR_HEADS; h++) {
        out[h] = m->bias[h] + sum[h] * norm;
    }
}

typedef struct {
    float (*square)[WEIR_HEADS]; /* AdaGrad's sums */
    float (*sum)[WEIR_HEADS];    /* weights at the ends of the averaged epochs */
    float bias_square[WEIR_HEADS];
    float bias_sum[WEIR_HEADS];
    uint64_t random; /* state of the generator that drops features */
    uint16_t seen[WEIR_WINDOW_FEATURES];
} weir_adagrad_t;

/* The features of a window that a step sees, in their order; returns their number. */
static uint32_t draw_features(weir_adagrad_t *a, const weir_feature_table_t *t, size_t window,
                              float drop)
{
    uint32_t limit = (uint32_t)(drop * 65536), n = 0;
    uint64_t from = t->start[window], to = t->start[window + 1], bits = 0;
    for (uint64_t i = from; i < to; i++, bits >>= 16) {
        bits = (i - from) % 4 == 0 ? weir_random(&a->random) : bits;
        a->seen[n] = t->bucket[i];
        n += (bits & 0xFFFF) >= limit;
    }
    return n;
}

static void step(weir_linear_t *m, weir_adagrad_t *a, const weir_feature_table_t *t, size_t window,
                 const weir_row_t *row, float share, const weir_learn_options_t *o)
{
    float logit[WEIR_HEADS];
    float gradient[WEIR_HEADS] = {0}, decay[WEIR_HEADS];
    uint32_t n = draw_features(a, t, window, o->drop);
    float norm = weir_window_norm(n);

    feature_logits(m, a->seen, n, logit);
    for (int h = 0; h < WEIR_HEADS; h++) {
        decay[h] = o->decay[h] * share * norm;
        if (row->label[h] == WEIR_LABEL_UNKNOWN) {
            continue;
        }
        float g = share * (float)(weir_sigmoid((double)logit[h]) - (double)row->label[h]);
        a->bias_square[h] += g * g;
        m->bias[h] -= 0.1f * o->rate * g / (1e-3f + __builtin_sqrtf(a->bias_square[h]));
        gradient[h] = g * norm;
    }
    for (uint32_t i = 0; i < n; i++) {
        float *weight = m->weight[a->seen[i]];
        float *square = a->square[a->seen[i]];
        for (int h = 0; h < WEIR_HEADS; h++) {
            float g = gradient[h] + decay[h] * weight[h];
            square[h] += g * g;
            weight[h] -= o->rate * g / (1e-3f + __builtin_sqrtf(square[h]));
        }
    }
}

/* Adds the weights to the sums, and after the last epoch replaces them by their average. */
static void average(weir_linear_t *m, weir_adagrad_t *a, uint32_t epoch, uint32_t epochs)
{
    uint32_t first = epochs / 2;
    float part = 1.0f / (float)(epochs - first);
    if (epoch < first) {
        return;
    }
    for (int h = 0; h < WEIR_HEADS; h++) {
        a->bias_sum[h] += part * m->bias[h];
        for (uint32_t b = 0; b < m->buckets; b++) {
            a->sum[b][h] += part * m->weight[b][h];
        }
    }
    if (epoch + 1 == epochs) {
        memcpy(m->bias, a->bias_sum, sizeof(m->bias));
        memcpy(m->weight, a->sum, m->buckets * sizeof(*m->weight));
    }
}

static void shuffle(uint32_t *order, size_t n, uint64_t *state)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)(weir_random(state) % i);
        uint32_t x = order[i - 1];
        order[i - 1] = order[j];
        order[j] = x;
    }
}

/* The windows of the chosen rows; owner[i] is the row of order's entry's window. */
static size_t list_windows(const weir_corpus_t *corpus, const weir_feature_table_t *t,
                           const uint8_t *fold, uint8_t skip, uint32_t *order, uint32_t *owner)
{
    size_t n = 0;
    for (size_t r = 0; r < corpus->count; r++) {
        for (uint32_t w = 0; w < t->row[r].count; w++) {
            owner[t->row[r].first + w] = (uint32_t)r;
            if (fold == NULL || fold[r] != skip) {
                order[n++] = t->row[r].first + w;
            }
        }
    }
    return n;
}

weir_status_t weir_learn(const weir_corpus_t *corpus, const weir_feature_table_t *table,
                         const weir_learn_options_t *o, const uint8_t *fold, uint8_t skip,
                         weir_linear_t *m, weir_error_t *err)
{
    weir_adagrad_t a = {.square = calloc(o->buckets, sizeof(*a.square)),
                        .sum = calloc(o->buckets, sizeof(*a.sum)),
                        .random = ~o->seed};
    uint32_t *order = calloc(table->windows + 1, sizeof(*order));
    uint32_t *owner = calloc(table->windows + 1, sizeof(*owner));
    memset(m, 0, sizeof(*m));
    m->buckets = o->buckets;
    m->weight = calloc(o->buckets, sizeof(*m->weight));
    weir_status_t status = WEIR_OK;
    if (a.square == NULL || a.sum == NULL || order == NULL || owner == NULL || m->weight == NULL) {
        weir_linear_free(m);
        status = weir_error(err, WEIR_ERR_NOMEM, "no memory to learn");
    } else {
        size_t n = list_windows(corpus, table, fold, skip, order, owner);
        uint64_t state = o->seed;
        for (uint32_t e = 0; e < o->epochs; e++) {
            shuffle(order, n, &state);
            for (size_t i = 0; i < n; i++) {
                const weir_row_t *row = &corpus->rows[owner[order[i]]];
                uint32_t windows = table->row[owner[order[i]]].count;
                step(m, &a, table, order[i], row, row->weight / __builtin_sqrtf((float)windows), o);
            }
            average(m, &a, e, o->epochs);
        }
    }
    free(a.square);
    free(a.sum);
    free(order);
    free(owner);
    return status;
}

void weir_linear_free(weir_linear_t *m)
{
    free(m->weight);
    m->weight = NULL;
}

#include "guardrails/training/calibrate.h"

#include <math.h>
#include <stdlib.h>

typedef struct {
    double value;
    bool positive;
} weir_ranked_t;

static int by_value(const void *a, const void *b)
{
    double x = ((const weir_ranked_t *)a)->value;
    double y = ((const weir_ranked_t *)b)->value;
    return x < y ? -1 : x > y;
}

double weir_auc(const double *value, const bool *positive, size_t n)
{
    weir_ranked_t *list = calloc(n + 1, sizeof(*list));
    if (list == NULL) {
        return 0.5;
    }
    for (size_t i = 0; i < n; i++) {
        list[i] = (weir_ranked_t){value[i], positive[i]};
    }
    qsort(list, n, sizeof(*list), by_value);
    double below = 0, sum = 0, positives = 0;
    for (size_t i = 0, j; i < n; i = j) {
        double negative = 0, yes = 0;
        for (j = i; j < n && list[j].value <= list[i].value; j++) {
            yes += list[j].positive;
            negative += !list[j].positive;
        }
        sum += yes * (below + negative / 2);
        below += negative;
        positives += yes;
    }
    free(list);
    return positives > 0 && below > 0 ? sum / (positives * below) : 0.5;
}

static double sample_loss(double t, double z)
{
    double loss = z >= 0 ? log1p(exp(-z)) + (1 - t) * z : log1p(exp(z)) - t * z;
    return loss;
}

static double total_loss(const double *logit, const weir_sample_t *s, size_t n, double a, double b,
                         const double target[2])
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)s[i].weight * sample_loss(target[s[i].positive], a * logit[i] + b);
    }
    return sum;
}

/* One Newton direction on (a, b). */
static void newton(const double *logit, const weir_sample_t *s, size_t n, double a, double b,
                   const double target[2], double *da, double *db)
{
    double haa = 1e-9, hab = 0, hbb = 1e-9, ga = 0, gb = 0;
    for (size_t i = 0; i < n; i++) {
        double p = weir_sigmoid(a * logit[i] + b);
        double d = (double)s[i].weight * (p - target[s[i].positive]);
        double q = (double)s[i].weight * p * (1 - p);
        ga += d * logit[i];
        gb += d;
        haa += q * logit[i] * logit[i];
        hab += q * logit[i];
        hbb += q;
    }
    double det = haa * hbb - hab * hab;
    *da = -(hbb * ga - hab * gb) / det;
    *db = -(haa * gb - hab * ga) / det;
}

void weir_platt(const double *logit, const weir_sample_t *s, size_t n, float *a_out, float *b_out)
{
    double yes = 0, no = 0;
    for (size_t i = 0; i < n; i++) {
        yes += s[i].positive;
        no += !s[i].positive;
    }
    double target[2] = {1 / (no + 2), (yes + 1) / (yes + 2)};
    double a = 1, b = 0;
    double loss = total_loss(logit, s, n, a, b, target);
    for (int i = 0; i < 50; i++) {
        double da, db, share = 1;
        newton(logit, s, n, a, b, target, &da, &db);
        double next = total_loss(logit, s, n, a + da, b + db, target);
        while (next > loss && share > 1e-4) {
            share /= 2;
            next = total_loss(logit, s, n, a + share * da, b + share * db, target);
        }
        if (!(next < loss - 1e-9 * loss)) {
            break;
        }
        a += share * da;
        b += share * db;
        loss = next;
    }
    *a_out = a > 0.05 ? (float)a : 0.05f;
    *b_out = (float)b;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double weir_upper_quantile(double *value, size_t n, double share)
{
    if (n == 0) {
        return 0;
    }
    qsort(value, n, sizeof(*value), ascending);
    size_t over = (size_t)((double)n * share);
    return over >= n ? value[0] : over == 0 ? value[n - 1] : value[n - over];
}

/*
 * Prometheus text (exposition format 0.0.4): histograms with fixed bounds and the writer. One
 * thread owns a histogram.
 */
#ifndef WEIR_API_METRICS_H
#define WEIR_API_METRICS_H

#include "engine/base/arena.h"

#define WEIR_HISTOGRAM_MAX_BOUNDS 24

typedef struct {
    const double *bounds; /* ascending upper bounds, in the unit of the values */
    uint32_t n_bounds;
    uint64_t counts[WEIR_HISTOGRAM_MAX_BOUNDS + 1]; /* per bucket; the last is above all bounds */
    uint64_t count;
    double sum;
} weir_histogram_t;

/* bounds must outlive the histogram; at most WEIR_HISTOGRAM_MAX_BOUNDS are used. */
void weir_histogram_init(weir_histogram_t *h, const double *bounds, uint32_t n_bounds);
void weir_histogram_add(weir_histogram_t *h, double value);

/* Bounds of gen_ai.server.* in seconds (OpenTelemetry's GenAI conventions). */
extern const double weir_bounds_first_token[16];
extern const double weir_bounds_output_token[13];
extern const double weir_bounds_duration[14];

/* # HELP and # TYPE; type is "counter", "gauge" or "histogram". */
void weir_metrics_family(weir_buf_t *out, const char *name, const char *type, const char *help);

/* One sample. labels is what stands between the braces ("a=\"b\""), or NULL. */
void weir_metrics_u64(weir_buf_t *out, const char *name, const char *labels, uint64_t value);
void weir_metrics_double(weir_buf_t *out, const char *name, const char *labels, double value);

/* Buckets, sum and count. */
void weir_metrics_histogram(weir_buf_t *out, const char *name, const char *labels,
                            const weir_histogram_t *h);

/* Appends name="value" with the value escaped; a comma before it unless out is empty. */
void weir_metrics_label(weir_buf_t *out, const char *name, weir_str_t value);

#endif

#include "engine/api/metrics.h"

#include "engine/base/json.h"

const double weir_bounds_first_token[16] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                            0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10};
const double weir_bounds_output_token[13] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,
                                             0.3,  0.4,   0.5,  0.75,  1,   2.5};
const double weir_bounds_duration[14] = {0.01, 0.02, 0.04, 0.08,  0.16,  0.32,  0.64,
                                         1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92};

void weir_histogram_init(weir_histogram_t *h, const double *bounds, uint32_t n_bounds)
{
    memset(h, 0, sizeof(*h));
    h->bounds = bounds;
    h->n_bounds = n_bounds > WEIR_HISTOGRAM_MAX_BOUNDS ? WEIR_HISTOGRAM_MAX_BOUNDS : n_bounds;
}

void weir_histogram_add(weir_histogram_t *h, double value)
{
    uint32_t i = 0;
    while (i < h->n_bounds && value > h->bounds[i]) {
        i++;
    }
    h->counts[i]++;
    h->count++;
    h->sum += value;
}

void weir_metrics_family(weir_buf_t *out, const char *name, const char *type, const char *help)
{
    weir_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_name(weir_buf_t *out, const char *name, const char *labels)
{
    if (labels == NULL || labels[0] == '\0') {
        weir_buf_printf(out, "%s ", name);
    } else {
        weir_buf_printf(out, "%s{%s} ", name, labels);
    }
}

void weir_metrics_u64(weir_buf_t *out, const char *name, const char *labels, uint64_t value)
{
    write_name(out, name, labels);
    weir_buf_printf(out, "%llu\n", (unsigned long long)value);
}

void weir_metrics_double(weir_buf_t *out, const char *name, const char *labels, double value)
{
    write_name(out, name, labels);
    weir_json_write_double(out, value);
    weir_buf_append_char(out, '\n');
}

void weir_metrics_histogram(weir_buf_t *out, const char *name, const char *labels,
                            const weir_histogram_t *h)
{
    const char *comma = labels == NULL || labels[0] == '\0' ? "" : ",";
    uint64_t below = 0;
    if (labels == NULL) {
        labels = "";
    }
    for (uint32_t i = 0; i < h->n_bounds; i++) {
        below += h->counts[i];
        weir_buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %llu\n", name, labels, comma, h->bounds[i],
                        (unsigned long long)below);
    }
    weir_buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, labels, comma,
                    (unsigned long long)h->count);
    weir_buf_printf(out, "%s_sum", name);
    weir_metrics_double(out, "", labels, h->sum);
    weir_buf_printf(out, "%s_count", name);
    weir_metrics_u64(out, "", labels, h->count);
}

void weir_metrics_label(weir_buf_t *out, const char *name, weir_str_t value)
{
    weir_buf_printf(out, "%s%s=\"", out->len > 0 ? "," : "", name);
    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];
        if (c == '\\' || c == '"') {
            weir_buf_append_char(out, '\\');
            weir_buf_append_char(out, c);
        } else if (c == '\n') {
            weir_buf_append_z(out, "\\n");
        } else {
            weir_buf_append_char(out, c);
        }
    }
    weir_buf_append_char(out, '"');
}

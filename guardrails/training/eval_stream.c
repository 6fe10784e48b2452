/* What a stream holds back of ordinary text: the last bytes after each piece of four. */
#include "guardrails/guardrails.h"
#include "guardrails/training/eval_parts.h"

#define PIECE       4
#define MOST_HELD   4096
#define MEAN_BAR    4
#define PER99_BAR   32
#define SET_COUNT   (sizeof(SETS) / sizeof(SETS[0]))
#define HELD_LEVELS 3

/* Ordinary text: rows that are neither toxic nor an attack. */
static const weir_set_t SETS[] = {WEIR_SET_GSM8K, WEIR_SET_WIKI, WEIR_SET_XSTEST,
                                  WEIR_SET_NOTINJECT, WEIR_SET_MITRE};

static const double LEVELS[HELD_LEVELS] = {0.5, 0.99, 0.999};

/* How often so many bytes were held after a piece. */
typedef struct {
    size_t count[MOST_HELD + 1];
    size_t pieces;
    size_t sum;
} weir_held_t;

typedef struct {
    weir_guard_rules_t *rules;
    weir_guard_scratch_t *scratch;
    weir_error_t *err;
} weir_stream_t;

static weir_status_t stream_text(const weir_stream_t *s, weir_str_t text, weir_held_t *held)
{
    size_t released = 0;
    for (size_t fed = PIECE; fed < text.len; fed += PIECE) {
        size_t base = released > WEIR_GUARD_LEFT ? released - WEIR_GUARD_LEFT : 0;
        weir_guard_scan_options_t options = {.from = released - base, .more = true};
        weir_guard_result_t result;
        weir_status_t status = weir_guard_scan(s->rules, s->scratch, text.data + base, fed - base,
                                               &options, &result, s->err);
        if (status != WEIR_OK) {
            return status;
        }
        released = base + result.hold > released ? base + result.hold : released;
        size_t n = fed - released < MOST_HELD ? fed - released : MOST_HELD;
        held->count[n]++;
        held->sum += n;
        held->pieces++;
    }
    return WEIR_OK;
}

/* Least number of bytes that is not exceeded after that share of the pieces. */
static size_t held_level(const weir_held_t *held, double share)
{
    size_t below = 0;
    size_t n = 0;
    for (; n < MOST_HELD; n++) {
        below += held->count[n];
        if ((double)below >= share * (double)held->pieces) {
            break;
        }
    }
    return n;
}

static double held_mean(const weir_held_t *held)
{
    return held->pieces == 0 ? 0 : (double)held->sum / (double)held->pieces;
}

static void write_row(weir_report_t *r, const char *name, const weir_held_t *held)
{
    weir_buf_printf(&r->body, "| %s | %zu | %.2f |", name, held->pieces, held_mean(held));
    for (size_t i = 0; i < HELD_LEVELS; i++) {
        weir_buf_printf(&r->body, " %zu |", held_level(held, LEVELS[i]));
    }
    weir_buf_append_z(&r->body, "\n");
}

static weir_status_t stream_sets(weir_evaluation_t *e, const weir_stream_t *s, weir_held_t *all)
{
    weir_buf_append_z(
        &e->report.body,
        "\n## Streams\n\nBytes held back after each piece of four, in mode "
        "hold-back, of rows that are neither toxic nor attacks.\n\n"
        "| Set | pieces | mean | p50 | p99 | p99.9 |\n|---|---:|---:|---:|---:|---:|\n");
    for (size_t i = 0; i < SET_COUNT; i++) {
        const weir_cases_t *cases = &e->sets->set[SETS[i]];
        weir_held_t *held = weir_arena_calloc(e->arena, 1, sizeof(*held));
        if (held == NULL) {
            return weir_error(e->err, WEIR_ERR_NOMEM, "no memory for what streams hold");
        }
        for (size_t c = 0; c < cases->count; c++) {
            weir_status_t status =
                cases->cases[c].positive ? WEIR_OK : stream_text(s, cases->cases[c].text, held);
            if (status != WEIR_OK) {
                return status;
            }
        }
        write_row(&e->report, weir_set_name(SETS[i]), held);
        for (size_t n = 0; n <= MOST_HELD; n++) {
            all->count[n] += held->count[n];
        }
        all->pieces += held->pieces;
        all->sum += held->sum;
    }
    write_row(&e->report, "all", all);
    return WEIR_OK;
}

weir_status_t weir_eval_stream(weir_evaluation_t *e)
{
    static const weir_guard_options_t options = {.pii = true, .secrets = true, .streaming = true};
    weir_stream_t s = {.err = e->err};
    weir_held_t *all = weir_arena_calloc(e->arena, 1, sizeof(*all));
    if (all == NULL) {
        return weir_error(e->err, WEIR_ERR_NOMEM, "no memory for what streams hold");
    }
    weir_status_t status = weir_guard_rules_compile(&options, &s.rules, e->err);
    s.scratch = weir_guard_scratch_create();
    if (status == WEIR_OK && s.scratch == NULL) {
        status = weir_error(e->err, WEIR_ERR_NOMEM, "no memory for streams");
    }
    if (status == WEIR_OK) {
        status = stream_sets(e, &s, all);
    }
    if (status == WEIR_OK) {
        weir_report_at_most(&e->report, "bytes held by a stream, mean", held_mean(all), MEAN_BAR);
        weir_report_at_most(&e->report, "bytes held by a stream, p99",
                            (double)held_level(all, LEVELS[1]), PER99_BAR);
    }
    weir_guard_scratch_free(s.scratch);
    weir_guard_rules_free(s.rules);
    return status;
}

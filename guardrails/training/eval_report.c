#include "guardrails/training/eval_report.h"

void weir_report_init(weir_report_t *report, weir_arena_t *arena)
{
    memset(report, 0, sizeof(*report));
    weir_buf_init(&report->bars, arena);
    weir_buf_init(&report->body, arena);
}

static void bar(weir_report_t *r, const char *what, double value, double bound, bool least)
{
    bool met = least ? value >= bound : value <= bound;
    r->checked++;
    r->missed += !met;
    weir_buf_printf(&r->bars, "| %s | %s %g | %.4f | %s |\n", what, least ? "at least" : "at most",
                    bound, value, met ? "met" : "**missed**");
}

void weir_report_at_least(weir_report_t *r, const char *what, double value, double bound)
{
    bar(r, what, value, bound, true);
}

void weir_report_at_most(weir_report_t *r, const char *what, double value, double bound)
{
    bar(r, what, value, bound, false);
}

static double share(size_t part, size_t whole)
{
    return whole == 0 ? 0 : (double)part / (double)whole;
}

double weir_precision(const weir_confusion_t *c)
{
    return share(c->true_positives, c->true_positives + c->false_positives);
}

double weir_recall(const weir_confusion_t *c)
{
    return share(c->true_positives, c->true_positives + c->false_negatives);
}

double weir_f_score(const weir_confusion_t *c, double beta)
{
    double p = weir_precision(c), r = weir_recall(c), b2 = beta * beta;
    return p + r > 0 ? (1 + b2) * p * r / (b2 * p + r) : 0;
}

double weir_false_positive_rate(const weir_confusion_t *c)
{
    return share(c->false_positives, c->false_positives + c->true_negatives);
}

void weir_report_classes(weir_report_t *r, const char *title)
{
    weir_buf_printf(&r->body,
                    "\n| %s | TP | FP | FN | precision | recall | F1 | F2 | FPR | AUC |\n"
                    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
                    title);
}

void weir_report_class(weir_report_t *r, const char *name, const weir_confusion_t *c, double auc)
{
    weir_buf_printf(&r->body, "| %s | %zu | %zu | %zu | %.3f | %.3f | %.3f | %.3f |", name,
                    c->true_positives, c->false_positives, c->false_negatives, weir_precision(c),
                    weir_recall(c), weir_f_score(c, 1), weir_f_score(c, 2));
    if (c->true_negatives > 0) {
        weir_buf_printf(&r->body, " %.4f |", weir_false_positive_rate(c));
    } else {
        weir_buf_append_z(&r->body, " |");
    }
    if (auc >= 0) {
        weir_buf_printf(&r->body, " %.4f |\n", auc);
    } else {
        weir_buf_append_z(&r->body, " |\n");
    }
}

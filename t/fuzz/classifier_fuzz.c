/*
 * Weights files and texts: the first byte chooses; the second cuts the text in two, which is scored
 * with one of the sets of instructions that this machine has, and must score as the whole does.
 */
#include "guardrails/classifier/text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    weir_classifier_t model;
    weir_scores_t whole, cut;
    weir_classify_stream_t stream;
    weir_error_t err;
    if (size < 2) {
        return 0;
    }
    const char *text = (const char *)data + 2;
    size_t len = size - 2;
    if (data[0] == 'w') {
        weir_classifier_open(&model, text, len, &err);
        return 0;
    }
    if (weir_classifier_open_builtin(&model, &err) != WEIR_OK) {
        abort();
    }
    size_t at = len == 0 ? 0 : data[1] % len;
    weir_classify(&model, text, len, &whole);
    model.path = data[1] % (weir_classify_best_path() + 1);
    weir_classify_begin(&stream, &model);
    weir_classify_feed(&stream, text, at);
    weir_classify_feed(&stream, text + at, len - at);
    weir_classify_scores(&stream, &cut);
    for (int h = 0; h < WEIR_HEADS; h++) {
        if (whole.p[h] < cut.p[h] || whole.p[h] > cut.p[h]) {
            abort();
        }
    }
    weir_guard_fold_t fold = {0};
    weir_classify_text(&model, &fold, text, len, &whole, &err);
    weir_guard_fold_free(&fold);
    return 0;
}

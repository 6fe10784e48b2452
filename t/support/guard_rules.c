#include "t/support/guard_rules.h"

#include "t/support/tap.h"

bool guard_rules_open(weir_guard_rules_t **streaming, weir_guard_rules_t **all)
{
    weir_error_t err;
    weir_guard_options_t options = {.pii = true, .secrets = true, .streaming = true};
    if (weir_guard_rules_compile(&options, streaming, &err) != WEIR_OK) {
        diag("%s", err.message);
        return false;
    }
    options.streaming = false;
    if (weir_guard_rules_compile(&options, all, &err) != WEIR_OK) {
        diag("%s", err.message);
        return false;
    }
    return true;
}

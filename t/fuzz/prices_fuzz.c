/* Any price document gives prices or an error; a cost is exact or an error, and never shrinks with
 * more units. */
#include "policies/prices.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t times[] = {INT64_MIN, 0, 1900000000, INT64_MAX};
    weir_arena_t arena;
    weir_prices_t *prices = NULL;
    weir_error_t err = {0};
    weir_price_t top;

    weir_arena_init(&arena, 0, (size_t)64 << 20);
    if (weir_prices_parse((const char *)data, size, "fuzz", &arena, &prices, &err) != WEIR_OK) {
        if (err.message[0] == '\0') {
            abort();
        }
        weir_arena_free(&arena);
        return 0;
    }
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        const weir_price_t *price =
            weir_prices_find(prices, WEIR_STR("a"), WEIR_STR("m-1"), times[i]);
        uint64_t units[WEIR_PRICE_CLASSES] = {1000, size, 0, 0, UINT64_MAX >> (size & 31), 7, 1};
        int64_t less;
        int64_t more;
        weir_prices_dearest(prices, times[i], &top);
        if (price == NULL || weir_price_cost(price, units, &less) != WEIR_OK) {
            continue;
        }
        units[WEIR_PRICE_PROMPT]++;
        if (less < 0 || (weir_price_cost(price, units, &more) == WEIR_OK && more < less)) {
            abort();
        }
    }
    weir_arena_free(&arena);
    return 0;
}

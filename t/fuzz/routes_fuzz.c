/* Any routes document gives routes or an error; every model that routes list has one. */
#include "policies/routes.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    weir_arena_t arena;
    weir_routes_t *routes = NULL;
    weir_route_choice_t choice;
    weir_error_t err = {0};
    weir_str_t model;

    weir_arena_init(&arena, 0, (size_t)64 << 20);
    if (weir_routes_parse((const char *)data, size, "fuzz", &arena, &routes, &err) == WEIR_OK) {
        for (size_t i = 0; weir_routes_model_at(routes, i, &model); i++) {
            if (!weir_routes_find(routes, model, &choice) || choice.target == NULL) {
                abort();
            }
        }
        weir_routes_find(routes, weir_str((const char *)data, size), &choice);
    } else if (err.message[0] == '\0') {
        abort();
    }
    weir_arena_free(&arena);
    return 0;
}

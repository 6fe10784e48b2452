/* Any document gives admins or an error, never a crash; and lets no stranger in. */
#include <stdlib.h>

#include "policies/admins.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char stranger[] = "0123456789abcdef0123456789abcdef";
    weir_arena_t arena;
    weir_admins_t *admins = NULL;
    weir_error_t err = {0};

    weir_arena_init(&arena, 0, (size_t)64 << 20);
    if (weir_admins_parse((const char *)data, size, "fuzz", &arena, &admins, &err) == WEIR_OK) {
        if (admins == NULL || admins->n == 0 ||
            weir_admins_authenticate(admins, WEIR_STR(stranger), 1) != NULL) {
            abort();
        }
    } else if (err.message[0] == '\0' || admins != NULL) {
        abort();
    }
    weir_arena_free(&arena);
    return 0;
}

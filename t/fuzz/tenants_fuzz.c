/* Any document gives a registry or an error, never a crash; a registry refuses every foreign key.
 */
#include <stdlib.h>

#include "policies/tenants.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char stranger[] = "wk_0123456789ab_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmno-_";
    weir_arena_t arena;
    weir_tenants_t *tenants = NULL;
    weir_error_t err = {0};
    const weir_api_key_t *key;

    weir_arena_init(&arena, 0, (size_t)64 << 20);
    if (weir_tenants_parse((const char *)data, size, "fuzz", &arena, &tenants, &err) == WEIR_OK) {
        weir_str_t text = weir_str(stranger, WEIR_KEY_LEN);
        if (weir_tenants_authenticate(tenants, text, 0, &key) != WEIR_AUTH_INVALID) {
            abort();
        }
    } else if (err.message[0] == '\0') {
        abort();
    }
    weir_arena_free(&arena);
    return 0;
}

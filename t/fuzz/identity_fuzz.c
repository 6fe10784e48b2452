/* Any identity document gives an identity or an error; so does any subject. */
#include <stdlib.h>

#include "policies/distinguished_name.h"
#include "policies/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    weir_arena_t arena;
    weir_identity_t *identity = NULL;
    weir_error_t err = {0};
    char value[WEIR_DN_VALUE_MAX + 1];
    size_t len;

    weir_arena_init(&arena, 0, (size_t)64 << 20);
    if (weir_identity_parse((const char *)data, size, "fuzz", &arena, &identity, &err) == WEIR_OK) {
        for (size_t i = 0; i < identity->n_issuers; i++) {
            const weir_identity_issuer_t *issuer = &identity->issuers[i];
            if (weir_identity_find_issuer(identity, issuer->issuer) != issuer ||
                issuer->algorithms == 0 || issuer->audiences.n == 0) {
                abort();
            }
        }
    } else if (err.message[0] == '\0') {
        abort();
    }
    if (weir_dn_attribute(weir_str((const char *)data, size), WEIR_STR("CN"), value, &len) &&
        (len > WEIR_DN_VALUE_MAX || value[len] != '\0' || strlen(value) != len)) {
        abort();
    }
    weir_arena_free(&arena);
    return 0;
}

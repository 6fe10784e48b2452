/* A verdict on the first bytes of a document never changes with more of them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lua-free-filters/error_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    weir_error_document_t last = WEIR_ERROR_DOCUMENT_MORE;

    for (size_t n = 0; n <= size && n <= 2 * (size_t)WEIR_ERROR_DOCUMENT_BYTES; n++) {
        char *copy = malloc(n > 0 ? n : 1); /* a read behind it is seen */
        if (copy == NULL) {
            return 0;
        }
        if (n > 0) {
            memcpy(copy, data, n);
        }
        weir_error_document_t got = weir_error_document(copy, n);
        free(copy);
        if ((last != WEIR_ERROR_DOCUMENT_MORE && got != last) ||
            (n >= WEIR_ERROR_DOCUMENT_BYTES && got == WEIR_ERROR_DOCUMENT_MORE)) {
            abort();
        }
        last = got;
    }
    return 0;
}

/* A response does not depend on how its bytes were cut. The first byte chooses the limits, the
 * second seeds the cuts. */
#include <stdlib.h>

#include "lua-free-filters/http_response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static weir_status_t run(weir_http_response_t *r, weir_arena_t *arena, unsigned kind,
                         const uint8_t *data, size_t size, uint32_t seed)
{
    weir_http_limits_t limits = {.max_header = (kind & 2) != 0 ? 64 : 1024,
                                 .max_fields = (kind & 4) != 0 ? 2 : 32,
                                 .max_body = (kind & 8) != 0 ? 10 : 500,
                                 .head = (kind & 1) != 0};
    weir_error_t err;
    weir_http_response_init(r, arena, &limits);
    for (size_t at = 0; at < size;) {
        seed = seed * 1664525u + 1013904223u;
        size_t n = (seed >> 24) % 24 == 0 ? size : 1 + (seed >> 24) % 24;
        n = n < size - at ? n : size - at;
        /* On the heap, so that a read past the piece is seen. */
        uint8_t *piece = malloc(n);
        if (piece == NULL) {
            abort();
        }
        memcpy(piece, data + at, n);
        weir_status_t status = weir_http_response_feed(r, piece, n, &err);
        free(piece);
        if (status != WEIR_OK) {
            return status;
        }
        at += n;
    }
    return weir_http_response_eof(r, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    weir_arena_t arena;
    weir_http_response_t a;
    weir_http_response_t b;

    if (size < 2) {
        return 0;
    }
    weir_arena_init(&arena, 0, 0);
    weir_status_t first = run(&a, &arena, data[0], data + 2, size - 2, data[1]);
    weir_status_t second = run(&b, &arena, data[0], data + 2, size - 2, data[1] * 7919u + 1);
    if ((first == WEIR_OK) != (second == WEIR_OK) || a.complete != b.complete ||
        (a.complete && a.status != b.status)) {
        abort();
    }
    if (a.complete) {
        if (a.n_fields != b.n_fields || a.body.len != b.body.len ||
            (a.body.len > 0 && memcmp(a.body.data, b.body.data, a.body.len) != 0)) {
            abort();
        }
        for (uint32_t i = 0; i < a.n_fields; i++) {
            if (!weir_str_eq(a.fields[i].name, b.fields[i].name) ||
                !weir_str_eq(a.fields[i].value, b.fields[i].value)) {
                abort();
            }
        }
    }
    weir_arena_free(&arena);
    return 0;
}

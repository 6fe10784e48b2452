/* The arena, its limit, and growing buffers. */
#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "t/support/tap.h"

#include <string.h>

#define PIECES 2000

static void test_alignment_and_contents(rng_t *rng)
{
    static unsigned char *pieces[PIECES];
    static size_t sizes[PIECES];
    weir_arena_t arena;
    weir_arena_init(&arena, 512, 0);
    bool aligned = true;
    for (int i = 0; i < PIECES; i++) {
        sizes[i] = rng_below(rng, i % 50 == 0 ? 5000 : 100);
        pieces[i] = weir_arena_alloc(&arena, sizes[i]);
        if (pieces[i] == NULL) {
            ok(false, "malloc gives %zu bytes", sizes[i]);
            return;
        }
        aligned = aligned && (uintptr_t)pieces[i] % 16 == 0;
        memset(pieces[i], i & 0xFF, sizes[i]);
    }
    ok(aligned, "every piece is aligned to 16");
    bool kept = true;
    for (int i = 0; i < PIECES; i++) {
        for (size_t j = 0; j < sizes[i]; j++) {
            kept = kept && pieces[i][j] == (i & 0xFF);
        }
    }
    ok(kept, "no piece overlaps another");
    ok(pieces[0] != pieces[1], "empty pieces have addresses of their own");
    weir_arena_free(&arena);
    is_int((long long)arena.total, 0, "everything goes back to malloc");
}

static void test_limit(void)
{
    weir_arena_t arena;
    weir_arena_init(&arena, 1024, 4096);
    int n = 0;
    while (n < 1000 && weir_arena_alloc(&arena, 100) != NULL) {
        n++;
    }
    ok(n >= 25 && n <= 40, "a limit of 4096 bytes holds %d pieces of 100", n);
    ok(arena.total <= 4096, "the limit is not passed");
    ok(weir_arena_alloc(&arena, 100) == NULL, "and stays passed");
    weir_arena_reset(&arena);
    ok(weir_arena_alloc(&arena, 100) != NULL, "after a reset there is room again");
    ok(weir_arena_alloc(&arena, 5000) == NULL, "a piece over the limit is refused");
    weir_arena_free(&arena);
    weir_arena_init(&arena, 1 << 20, 2000);
    ok(weir_arena_alloc(&arena, 1000) != NULL, "a limit below the chunk size is usable");
    weir_arena_free(&arena);
}

static void test_sizes(void)
{
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    ok(weir_arena_alloc(&arena, SIZE_MAX) == NULL, "SIZE_MAX bytes are refused");
    ok(weir_arena_calloc(&arena, SIZE_MAX / 2, 3) == NULL, "a product that overflows is refused");
    ok(weir_arena_strndup(&arena, "x", SIZE_MAX) == NULL, "a string of SIZE_MAX is refused");
    unsigned char *zeroed = weir_arena_calloc(&arena, 100, 7);
    bool zero = true;
    for (int i = 0; i < 700; i++) {
        zero = zero && zeroed[i] == 0;
    }
    ok(zero, "calloc zeroes");
    char *copy = weir_arena_strndup(&arena, "weir and more", 4);
    is_str(copy, strlen(copy), "weir", "strndup cuts and ends with NUL");
    char *big = weir_arena_alloc(&arena, 1000000);
    weir_arena_reset(&arena);
    ok(arena.total > 1000000 && weir_arena_alloc(&arena, 900000) == big,
       "a reset keeps the largest chunk");
    weir_arena_free(&arena);
}

static void test_buffer(rng_t *rng)
{
    static char expected[200000];
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    weir_buf_t buf;
    weir_buf_init(&buf, &arena);
    ok(buf.data == NULL && buf.len == 0, "an empty buffer holds nothing");
    size_t len = 0;
    while (len < 150000) {
        char piece[300];
        size_t n = rng_below(rng, sizeof(piece));
        memset(piece, 'a' + (int)rng_below(rng, 26), n);
        weir_buf_append(&buf, piece, n);
        memcpy(expected + len, piece, n);
        len += n;
        if (rng_below(rng, 3) == 0) {
            weir_arena_alloc(&arena, 24); /* so that growing in place is not always possible */
        }
    }
    ok(!buf.failed && buf.len == len && memcmp(buf.data, expected, len) == 0,
       "what was appended is there");
    weir_buf_init(&buf, &arena);
    weir_buf_append_z(&buf, "a");
    weir_buf_append_char(&buf, '-');
    weir_buf_append_str(&buf, WEIR_STR("b"));
    weir_buf_printf(&buf, "%d:%s", 42, "cd");
    is_str(buf.data, buf.len, "a-b42:cd", "all kinds of append");
    weir_arena_free(&arena);
}

static void test_buffer_failure(void)
{
    weir_arena_t arena;
    weir_arena_init(&arena, 256, 1024);
    weir_buf_t buf;
    weir_buf_init(&buf, &arena);
    for (int i = 0; i < 1000; i++) {
        weir_buf_printf(&buf, "line %d\n", i);
    }
    ok(buf.failed, "a buffer over the arena's limit says so");
    ok(buf.len < 1024 && memcmp(buf.data, "line 0\n", 7) == 0, "and keeps what it had");
    weir_arena_free(&arena);
}

static void test_errors(void)
{
    weir_error_t err;
    is_int(weir_error(&err, WEIR_ERR_LIMIT, "%s", "two\nlines\x01"), WEIR_ERR_LIMIT,
           "an error returns its status");
    is_str(err.message, strlen(err.message), "two?lines?", "a message is one line");
    weir_error(&err, WEIR_ERR_INVALID, "bad \xFF\xC3 bytes");
    is_str(err.message, strlen(err.message), "bad ?? bytes", "a message is valid UTF-8");
    char text[400] = "";
    for (int i = 0; i < 130; i++) {
        memcpy(text + 3 * i, "\xE2\x82\xAC", 4);
    }
    weir_error(&err, WEIR_ERR_INVALID, "%s", text);
    is_int((long long)strlen(err.message), 255, "a long message is cut at a whole character");
    weir_error(&err, WEIR_ERR_INVALID, "x%s", text);
    is_int((long long)strlen(err.message), 253, "wherever its characters begin");
    weir_error_at(&err, WEIR_ERR_INVALID, "messages[0]", "bad_role", "no");
    is_str(err.field, strlen(err.field), "messages[0]", "the field is kept");
    is_str(err.code, strlen(err.code), "bad_role", "the code is kept");
    is_int(weir_error(NULL, WEIR_ERR_IO, "nobody listens"), WEIR_ERR_IO, "err may be NULL");
    ok(strcmp(weir_status_name(WEIR_ERR_NOMEM), "out_of_memory") == 0, "a status has a name");
}

int main(void)
{
    rng_t rng;
    rng_init(&rng);
    test_alignment_and_contents(&rng);
    test_limit();
    test_sizes();
    test_buffer(&rng);
    test_buffer_failure();
    test_errors();
    return done_testing();
}

#include "lua-free-filters/http_response.h"

#include <stdio.h>

#include "t/support/tap.h"

typedef struct {
    weir_status_t status;
    weir_http_response_t r;
    weir_error_t err;
} outcome_t;

static const weir_http_limits_t usual = {.max_header = 4096, .max_fields = 32, .max_body = 1000};

/* Feeds text in pieces (0: all at once; with rng: of random size), then closes the connection. */
static outcome_t run_limits(weir_arena_t *arena, const weir_http_limits_t *limits, weir_str_t text,
                            size_t piece, rng_t *rng, bool close)
{
    outcome_t out;
    memset(&out, 0, sizeof(out));
    weir_http_response_init(&out.r, arena, limits);
    for (size_t at = 0; at < text.len && out.status == WEIR_OK;) {
        size_t n = rng != NULL ? 1 + rng_below(rng, 9) : piece == 0 ? text.len : piece;
        n = n > text.len - at ? text.len - at : n;
        out.status = weir_http_response_feed(&out.r, text.data + at, n, &out.err);
        at += n;
    }
    if (out.status == WEIR_OK && close) {
        out.status = weir_http_response_eof(&out.r, &out.err);
    }
    return out;
}

static outcome_t run(weir_arena_t *arena, const char *text)
{
    return run_limits(arena, &usual, weir_str(text, strlen(text)), 0, NULL, false);
}

static bool body_is(const outcome_t *o, const char *want)
{
    return weir_str_is(weir_str(o->r.body.data, o->r.body.len), want);
}

static void test_whole(void)
{
    static const struct {
        const char *text;
        const char *body;
        bool keep_alive;
        const char *name;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", true, "a length"},
        {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "", true, "no reason, no content"},
        {"HTTP/1.1 204 None\r\nContent-Length: 9\r\n\r\n", "", true, "204 has no content"},
        {"HTTP/1.1 304 None\r\n\r\n", "", true, "304 has no content"},
        {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "hi", false, "HTTP/1.0 closes"},
        {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nhi", "hi", true,
         "HTTP/1.0 that keeps"},
        {"HTTP/1.1 200 OK\r\nConnection: x, CLOSE\r\nContent-Length: 2\r\n\r\nhi", "hi", false,
         "Connection: close in a list"},
        {"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", "hi", true, "lines that end with LF"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
         "3;a=\"b\"\r\nabc\r\n0A \r\n0123456789\r\n0\r\nX: y\r\n\r\n",
         "abc0123456789", true, "chunks, an extension, a trailer"},
        {"HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n"
         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
         "hi", true, "interim responses are skipped"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more", "hi", false,
         "bytes after the end: not to be used again"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", "hi", true,
         "the same length twice"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_arena_t arena;
        weir_arena_init(&arena, 0, 0);
        outcome_t o = run(&arena, cases[i].text);
        ok(o.status == WEIR_OK && o.r.complete && body_is(&o, cases[i].body) &&
               o.r.keep_alive == cases[i].keep_alive,
           "%s", cases[i].name);
        weir_arena_free(&arena);
    }
}

static void test_fields(void)
{
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    outcome_t o =
        run(&arena, "HTTP/1.1 418 short and stout\r\nA:  one \t\r\nB: two\r\n\tand\r\n more\r\n"
                    "Empty:\r\nContent-Length: 0\r\n\r\n");
    is_int(o.r.status, 418, "the status");
    is_int(o.r.n_fields, 4, "the number of fields");
    if (o.r.n_fields == 4) {
        is_str(o.r.fields[0].name.data, o.r.fields[0].name.len, "A", "a name");
        is_str(o.r.fields[0].value.data, o.r.fields[0].value.len, "one", "its trimmed value");
        is_str(o.r.fields[1].value.data, o.r.fields[1].value.len, "two  \tand   more",
               "a folded value");
        is_int((long long)o.r.fields[2].value.len, 0, "an empty value");
    }
    weir_arena_free(&arena);
}

static void test_to_close(void)
{
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    outcome_t o = run(&arena, "HTTP/1.1 200 OK\r\n\r\nhello");
    ok(o.status == WEIR_OK && !o.r.complete, "without a length the body is open");
    ok(weir_http_response_eof(&o.r, &o.err) == WEIR_OK && o.r.complete && !o.r.keep_alive &&
           body_is(&o, "hello"),
       "and ends with the connection");

    weir_http_limits_t limits = usual;
    limits.head = true;
    o = run_limits(&arena, &limits, WEIR_STR("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"), 0,
                   NULL, false);
    ok(o.status == WEIR_OK && o.r.complete && o.r.keep_alive && o.r.body.len == 0,
       "an answer to HEAD has no content, whatever its length says");

    static const char *const cut[] = {
        "",
        "H",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"};
    for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
        o = run_limits(&arena, &usual, weir_str(cut[i], strlen(cut[i])), 0, NULL, true);
        ok(o.status == WEIR_ERR_INVALID && !o.r.complete && o.r.started == (cut[i][0] != 0),
           "cut short, case %zu: not whole", i);
        ok(weir_http_response_feed(&o.r, "x", 1, &o.err) != WEIR_OK, "and nothing mends it");
    }
    weir_arena_free(&arena);
}

static void test_refused(void)
{
#define OK_LINE "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK_LINE "Transfer-Encoding: chunked\r\n\r\n"
    static const struct {
        const char *text;
        weir_status_t status;
        const char *name;
    } cases[] = {
        {"SSH-2.0-OpenSSH", WEIR_ERR_INVALID, "another protocol"},
        {"\r\nHTTP/1.1 200 OK\r\n\r\n", WEIR_ERR_INVALID, "an empty line first"},
        {"HTTP/2 200\r\n\r\n", WEIR_ERR_INVALID, "HTTP/2"},
        {"HTTP/1.1 20 OK\r\n\r\n", WEIR_ERR_INVALID, "two digits"},
        {"HTTP/1.1 2000 OK\r\n\r\n", WEIR_ERR_INVALID, "four digits"},
        {"HTTP/1.1 099 OK\r\n\r\n", WEIR_ERR_INVALID, "status 99"},
        {"HTTP/1.1 101 Switch\r\n\r\n", WEIR_ERR_UNSUPPORTED, "a protocol switch"},
        {OK_LINE "no colon\r\n\r\n", WEIR_ERR_INVALID, "a line without a colon"},
        {OK_LINE ": v\r\n\r\n", WEIR_ERR_INVALID, "an empty name"},
        {OK_LINE "A : v\r\n\r\n", WEIR_ERR_INVALID, "a blank before the colon"},
        {OK_LINE " A: v\r\n\r\n", WEIR_ERR_INVALID, "a folded first line"},
        {OK_LINE "A: v\rw\r\n\r\n", WEIR_ERR_INVALID, "CR within a value"},
        {OK_LINE "A: \x01\r\n\r\n", WEIR_ERR_INVALID, "a control character"},
        {OK_LINE "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", WEIR_ERR_INVALID, "two lengths"},
        {OK_LINE "Content-Length: 1, 1\r\n\r\n", WEIR_ERR_INVALID, "a list of lengths"},
        {OK_LINE "Content-Length: -1\r\n\r\n", WEIR_ERR_INVALID, "a negative length"},
        {OK_LINE "Content-Length:\r\n\r\n", WEIR_ERR_INVALID, "no length"},
        {OK_LINE "Content-Length: 99999999999999999999\r\n\r\n", WEIR_ERR_INVALID, "2^64 and more"},
        {OK_LINE "Content-Length: 1001\r\n\r\n", WEIR_ERR_LIMIT, "a length over the cap"},
        {OK_LINE "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", WEIR_ERR_INVALID,
         "a length and chunks"},
        {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", WEIR_ERR_INVALID,
         "chunks in HTTP/1.0"},
        {OK_LINE "Transfer-Encoding: gzip, chunked\r\n\r\n", WEIR_ERR_UNSUPPORTED, "gzip"},
        {OK_LINE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         WEIR_ERR_UNSUPPORTED, "chunked twice"},
        {CHUNKED "\r\n", WEIR_ERR_INVALID, "a chunk without a size"},
        {CHUNKED "xyz\r\n", WEIR_ERR_INVALID, "a size that is no number"},
        {CHUNKED "3\r\nabcd\r\n", WEIR_ERR_INVALID, "a chunk longer than its size"},
        {CHUNKED "3\rabc", WEIR_ERR_INVALID, "CR without LF"},
        {CHUNKED "0000000000000001\r\n", WEIR_ERR_INVALID, "sixteen digits"},
        {CHUNKED "fffffffffffffff\r\n", WEIR_ERR_LIMIT, "a huge chunk"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_arena_t arena;
        weir_arena_init(&arena, 0, 0);
        outcome_t o = run(&arena, cases[i].text);
        is_int(o.status, cases[i].status, "refused: %s", cases[i].name);
        ok(!o.r.complete && !o.r.keep_alive && o.err.message[0] != 0, "with a message: %s",
           cases[i].name);
        weir_arena_free(&arena);
    }
}

static void test_limits(void)
{
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    char text[16384];
    int n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nA: ");
    memset(text + n, 'x', 8000);
    outcome_t o = run_limits(&arena, &usual, weir_str(text, (size_t)n + 8000), 0, NULL, false);
    is_int(o.status, WEIR_ERR_LIMIT, "a header that does not end");

    size_t at = 0;
    for (int i = 0; i < 300; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "HTTP/1.1 100 Go on\r\n\r\n");
    }
    o = run_limits(&arena, &usual, weir_str(text, at), 0, NULL, false);
    is_int(o.status, WEIR_ERR_LIMIT, "interim responses that do not end");

    at = (size_t)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 33; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "A: b\r\n");
    }
    at += (size_t)snprintf(text + at, sizeof(text) - at, "\r\n");
    o = run_limits(&arena, &usual, weir_str(text, at), 0, NULL, false);
    is_int(o.status, WEIR_ERR_LIMIT, "33 fields");

    at = (size_t)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n\r\n");
    memset(text + at, 'x', 1001);
    o = run_limits(&arena, &usual, weir_str(text, at + 1000), 0, NULL, true);
    ok(o.status == WEIR_OK && o.r.body.len == 1000, "a body of the size of the cap");
    o = run_limits(&arena, &usual, weir_str(text, at + 1001), 7, NULL, true);
    is_int(o.status, WEIR_ERR_LIMIT, "one byte more");

    at = (size_t)snprintf(text, sizeof(text), CHUNKED "1");
    memset(text + at, ';', 8000);
    o = run_limits(&arena, &usual, weir_str(text, at + 8000), 0, NULL, false);
    is_int(o.status, WEIR_ERR_LIMIT, "a chunk extension that does not end");
    at = (size_t)snprintf(text, sizeof(text), CHUNKED "0\r\n");
    memset(text + at, 't', 8000);
    o = run_limits(&arena, &usual, weir_str(text, at + 8000), 0, NULL, false);
    is_int(o.status, WEIR_ERR_LIMIT, "a trailer that does not end");
    weir_arena_free(&arena);
}

static void test_cuts(void)
{
    static const char text[] =
        "HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n"
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3;a=b\r\nabc\r\n1\r\n\n\r\n10\r\n0123456789abcdef\r\n0\r\nT: u\r\n\r\n";
    rng_t rng;
    int wrong = 0;
    rng_init(&rng);
    for (int round = 0; round < 2000; round++) {
        weir_arena_t arena;
        weir_arena_init(&arena, 0, 0);
        outcome_t o = run_limits(&arena, &usual, weir_str(text, sizeof(text) - 1),
                                 round == 0 ? 1 : 0, round == 0 ? NULL : &rng, false);
        if (o.status != WEIR_OK || !o.r.complete || !o.r.keep_alive || o.r.n_fields != 2 ||
            !body_is(&o, "abc\n0123456789abcdef") || !weir_str_is(o.r.fields[0].value, "b   c")) {
            wrong++;
        }
        weir_arena_free(&arena);
    }
    is_int(wrong, 0, "the response does not depend on how its bytes were cut");
}

int main(void)
{
    test_whole();
    test_fields();
    test_to_close();
    test_refused();
    test_limits();
    test_cuts();
    return done_testing();
}

/* The admins document: what is read, what is refused, and whose token it is. */
#include "policies/admins.h"

#include <stdio.h>

#include "t/support/tap.h"

/* HASH is SHA-256 of TOKEN. */
#define TOKEN "0123456789abcdef0123456789abcdef"
#define HASH  "3eb1bd439947eb762998e566ccc2e099c791118b2f40579cc4f7da2b5061b7f9"
#define OTHER "0000000000000000000000000000000000000000000000000000000000000000"

static weir_arena_t arena;

static weir_status_t parse(const char *text, weir_admins_t **out, weir_error_t *err)
{
    memset(err, 0, sizeof(*err));
    return weir_admins_parse(text, strlen(text), "admins.json", &arena, out, err);
}

static void test_good(void)
{
    weir_admins_t *admins = NULL;
    weir_error_t err;

    is_int(parse("{\"version\":1,\"admins\":["
                 "{\"name\":\"root\",\"role\":\"admin\",\"sha256\":\"" HASH "\","
                 "\"expires\":\"2030-01-01T00:00:00Z\"},"
                 "{\"name\":\"eye\",\"role\":\"viewer\",\"sha256\":\"" OTHER "\"}]}",
                 &admins, &err),
           WEIR_OK, "a document (%s)", err.message);
    if (admins == NULL) {
        return;
    }
    is_int((long long)admins->n, 2, "its admins");
    const weir_admin_t *found = weir_admins_authenticate(admins, WEIR_STR(TOKEN), 1700000000);
    ok(found == &admins->admins[0], "whose token it is");
    ok(found != NULL && found->role == WEIR_ADMIN_ADMIN, "and his role");
    ok(weir_admins_authenticate(admins, WEIR_STR(TOKEN), 1893456000) == NULL, "not when expired");
    ok(weir_admins_authenticate(admins, WEIR_STR(TOKEN "0"), 0) == NULL, "not another token");
    ok(weir_admins_authenticate(admins, WEIR_STR("short"), 0) == NULL, "not a short one");
    ok(weir_admins_authenticate(admins, WEIR_STR(HASH), 0) == NULL, "not the hash itself");
    ok(weir_admins_authenticate(admins, weir_str("", 0), 0) == NULL, "not nothing");

    is_int(parse("{\"version\":1,\"admins\":[{\"name\":\"root\",\"role\":\"admin\","
                 "\"sha256\":\"" HASH "\",\"enabled\":false}]}",
                 &admins, &err),
           WEIR_OK, "a disabled admin");
    ok(weir_admins_authenticate(admins, WEIR_STR(TOKEN), 0) == NULL, "is nobody");
}

static void test_bad(void)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"version\":2,\"admins\":[]}",
        "{\"version\":1}",
        "{\"version\":1,\"admins\":[]}",
        "{\"version\":1,\"admins\":{}}",
        "{\"version\":1,\"admins\":[{}]}",
        "{\"version\":1,\"admins\":[{\"name\":\"a\",\"sha256\":\"" HASH "\"}]}",
        "{\"version\":1,\"admins\":[{\"name\":\"a\",\"role\":\"root\",\"sha256\":\"" HASH "\"}]}",
        "{\"version\":1,\"admins\":[{\"name\":\"a\",\"role\":\"viewer\"}]}",
        "{\"version\":1,\"admins\":[{\"name\":\"a\",\"role\":\"viewer\",\"sha256\":\"ab\"}]}",
        "{\"version\":1,\"admins\":[{\"name\":\"A b\",\"role\":\"viewer\",\"sha256\":\"" HASH
        "\"}]}",
        "{\"version\":1,\"admins\":[{\"name\":\"a\",\"role\":\"viewer\",\"sha256\":\"" HASH
        "\",\"token\":\"x\"}]}",
        "{\"version\":1,\"admins\":[{\"name\":\"a\",\"role\":\"viewer\",\"sha256\":\"" HASH
        "\"},{\"name\":\"a\",\"role\":\"viewer\",\"sha256\":\"" OTHER "\"}]}",
        "{\"version\":1,\"admins\":[{\"name\":\"a\",\"role\":\"viewer\",\"sha256\":\"" HASH
        "\"},{\"name\":\"b\",\"role\":\"viewer\",\"sha256\":\"" HASH "\"}]}",
    };
    weir_admins_t *admins;
    weir_error_t err;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(parse(bad[i], &admins, &err) == WEIR_ERR_INVALID && admins == NULL &&
               strncmp(err.message, "admins.json", 11) == 0,
           "refused: %s (%s)", bad[i], err.message);
    }
    is_int(weir_admins_load("/nonexistent/admins.json", &arena, &admins, &err), WEIR_ERR_IO,
           "a file that is not there");
}

int main(void)
{
    weir_arena_init(&arena, 0, 0);
    test_good();
    test_bad();
    weir_arena_free(&arena);
    return done_testing();
}

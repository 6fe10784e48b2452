#include "policies/tenants.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "policies/timestamp.h"
#include "t/support/tap.h"

typedef struct {
    char key[WEIR_KEY_LEN + 1];
    char id[WEIR_KEY_ID_LEN + 1];
    char salt[2 * WEIR_KEY_SALT_LEN + 1];
    char hash[2 * WEIR_KEY_HASH_LEN + 1];
} made_key_t;

static made_key_t make_key(void)
{
    made_key_t k = {0};
    uint8_t salt[WEIR_KEY_SALT_LEN];
    uint8_t hash[WEIR_KEY_HASH_LEN];

    if (weir_key_generate(k.key, salt, hash, NULL) != WEIR_OK) {
        abort();
    }
    memcpy(k.id, k.key + 3, WEIR_KEY_ID_LEN);
    for (size_t i = 0; i < sizeof(salt); i++) {
        snprintf(k.salt + 2 * i, 3, "%02x", salt[i]);
    }
    for (size_t i = 0; i < sizeof(hash); i++) {
        snprintf(k.hash + 2 * i, 3, "%02x", hash[i]);
    }
    return k;
}

static weir_auth_verdict_t ask(const weir_tenants_t *t, const char *key, int64_t now,
                               const weir_api_key_t **found)
{
    return weir_tenants_authenticate(t, weir_str(key, strlen(key)), now, found);
}

static void test_verdicts(void)
{
    static const char format[] =
        "{\"version\":1,\"tenants\":["
        "{\"id\":\"a\",\"name\":\"Tenant A\",\"keys\":["
        "{\"id\":\"%s\",\"salt\":\"%s\",\"hash\":\"%s\",\"label\":\"first\"},"
        "{\"id\":\"%s\",\"salt\":\"%s\",\"hash\":\"%s\",\"expires\":\"2030-01-01T00:00:00Z\"},"
        "{\"id\":\"%s\",\"salt\":\"%s\",\"hash\":\"%s\",\"enabled\":false}]},"
        "{\"id\":\"b\",\"enabled\":false,\"keys\":["
        "{\"id\":\"%s\",\"salt\":\"%s\",\"hash\":\"%s\"}]}]}";
    made_key_t k[4] = {make_key(), make_key(), make_key(), make_key()};
    made_key_t stranger = make_key();
    char text[4096];
    char wrong[WEIR_KEY_LEN + 1];
    int64_t expiry;
    weir_arena_t arena;
    weir_tenants_t *t = NULL;
    weir_error_t err = {0};
    const weir_api_key_t *found;

    snprintf(text, sizeof(text), format, k[0].id, k[0].salt, k[0].hash, k[1].id, k[1].salt,
             k[1].hash, k[2].id, k[2].salt, k[2].hash, k[3].id, k[3].salt, k[3].hash);
    weir_timestamp_parse(WEIR_STR("2030-01-01T00:00:00Z"), &expiry);
    expiry /= 1000;
    weir_arena_init(&arena, 0, 0);
    ok(weir_tenants_parse(text, strlen(text), "doc", &arena, &t, &err) == WEIR_OK,
       "the document loads%s%s", err.message[0] ? ": " : "", err.message);

    is_int(ask(t, k[0].key, 1, &found), WEIR_AUTH_OK, "a good key is accepted");
    ok(found != NULL && strcmp(found->id, k[0].id) == 0 && weir_str_is(found->tenant->id, "a") &&
           weir_str_is(found->tenant->name, "Tenant A") && weir_str_is(found->label, "first"),
       "and names its tenant and label");
    is_int(ask(t, k[1].key, expiry - 1, &found), WEIR_AUTH_OK, "good one second before its expiry");
    is_int(ask(t, k[1].key, expiry, &found), WEIR_AUTH_EXPIRED, "expired at its expiry");
    ok(found != NULL, "an expired key is still named for the log");
    is_int(ask(t, k[2].key, 1, &found), WEIR_AUTH_KEY_DISABLED, "a disabled key is told so");
    is_int(ask(t, k[3].key, 1, &found), WEIR_AUTH_TENANT_DISABLED, "so is a disabled tenant");

    is_int(ask(t, stranger.key, 1, &found), WEIR_AUTH_INVALID, "an unknown key is invalid");
    ok(found == NULL, "and names nobody");
    memcpy(wrong, k[0].key, WEIR_KEY_LEN + 1);
    wrong[WEIR_KEY_LEN - 1] = wrong[WEIR_KEY_LEN - 1] == 'A' ? 'B' : 'A';
    is_int(ask(t, wrong, 1, &found), WEIR_AUTH_INVALID,
           "a known id with another secret is invalid");
    memcpy(wrong, k[2].key, WEIR_KEY_LEN + 1);
    wrong[WEIR_KEY_LEN - 2] = wrong[WEIR_KEY_LEN - 2] == 'A' ? 'B' : 'A';
    is_int(ask(t, wrong, 1, &found), WEIR_AUTH_INVALID,
           "a wrong secret does not reveal that the key is disabled");
    is_int(ask(t, "", 1, &found), WEIR_AUTH_INVALID, "an empty key is invalid");
    is_int(ask(t, "wk_", 1, &found), WEIR_AUTH_INVALID, "a stump is invalid");
    is_int((long long)weir_tenants_count(t), 2, "tenants are counted");
    is_int((long long)weir_tenants_key_count(t), 4, "keys are counted");
    weir_arena_free(&arena);
}

#define KEY_FIELDS                                   \
    "\"salt\":\"00000000000000000000000000000000\"," \
    "\"hash\":\"0000000000000000000000000000000000000000000000000000000000000000\""

#define SIXTY_TWO_BYTES "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HUNDRED_BYTES   SIXTY_TWO_BYTES "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
    const char *text;
    const char *says; /* part of the message */
    const char *field;
} broken[] = {
    {"", "doc:", ""},
    {"{\n\"version\": 1,\n\"tenants\": [}", "doc:3:", ""},
    {"[]", "expected an object", ""},
    {"{\"tenants\":[]}", "version: expected the number 1, found nothing", "version"},
    {"{\"version\":2,\"tenants\":[]}", "version: expected the number 1", "version"},
    {"{\"version\":1}", "tenants: expected an array, found nothing", "tenants"},
    {"{\"version\":1,\"tenants\":{}}", "tenants: expected an array, found an object", "tenants"},
    {"{\"version\":1,\"tenants\":[],\"extra\":1}", "unknown member", "extra"},
    {"{\"version\":1,\"version\":1,\"tenants\":[]}", "duplicate", ""},
    {"{\"version\":1,\n\"tenants\":[\n7]}", "doc:3: tenants[0]: expected an object, found a number",
     "tenants[0]"},
    {"{\"version\":1,\"tenants\":[{}]}", "tenants[0].id: expected 1 to 64", "tenants[0].id"},
    {"{\"version\":1,\"tenants\":[{\"id\":\"UP\"}]}", "tenants[0].id", "tenants[0].id"},
    {"{\"version\":1,\"tenants\":[{\"id\":\"a b\"}]}", "tenants[0].id", "tenants[0].id"},
    {"{\"version\":1,\"tenants\":[{\"id\":\"a\"},\n{\"id\":\"a\"}]}",
     "doc:2: tenants[1].id: the tenant a occurs twice", "tenants[1].id"},
    {"{\"version\":1,\"tenants\":[{\"id\":\"a\",\"colour\":1}]}", "unknown member \"colour\"",
     "tenants[0].colour"},
    {"{\"version\":1,\"tenants\":[{\"id\":\"a\",\"enabled\":\"yes\"}]}",
     "expected true or false, found a string", "tenants[0].enabled"},
    {"{\"version\":1,\"tenants\":[{\"id\":\"a\",\"keys\":{}}]}", "expected an array",
     "tenants[0].keys"},
    {"{\"version\":1,\"tenants\":[{\"id\":\"a\",\"keys\":[{}]}]}", "expected 12 characters",
     "tenants[0].keys[0].id"},
    {"{\"version\":1,\"tenants\":[{\"id\":\"a\",\"keys\":[{\"id\":\"0123456789ab\"}]}]}",
     "expected 32 lower-case hexadecimal digits, found nothing", "tenants[0].keys[0].salt"},
    {"{\"version\":1,\"tenants\":[{\"id\":\"a\",\"keys\":[{\"id\":\"0123456789ab\",\"salt\":"
     "\"0000000000000000000000000000000G\"}]}]}",
     "found another character", "tenants[0].keys[0].salt"},
    {"{\"version\":1,\"tenants\":[{\"id\":\"a\",\"keys\":[{\"id\":\"0123456789ab\"," KEY_FIELDS
     ",\"expires\":\"2030-13-01T00:00:00Z\"}]}]}",
     "expected a time", "tenants[0].keys[0].expires"},
    {"{\"version\":1,\"tenants\":[{\"id\":\"a\",\"keys\":[{\"id\":\"0123456789ab\"," KEY_FIELDS
     "},\n{\"id\":\"0123456789ab\"," KEY_FIELDS "}]}]}",
     "doc:2: tenants[0].keys[1].id: the key id 0123456789ab occurs twice", "tenants[0].keys[1].id"},
    {"{\"version\":1,\"tenants\":[{\"id\":\"a\",\"teams\":[{\"id\":\"t\"},{\"id\":\"t\"}]}]}",
     "the team t occurs twice", "tenants[0].teams[1].id"},
    {"{\"version\":1,\"tenants\":[{\"id\":\"a\",\"users\":[{\"id\":\"u\"},{\"id\":\"u\"}]}]}",
     "the user u occurs twice", "tenants[0].users[1].id"},
    {"{\"version\":1,\"tenants\":[{\"id\":\"a\",\"users\":[{\"id\":\"a b\"}]}]}",
     "tenants[0].users[0].id: expected 1 to 128", "tenants[0].users[0].id"},
    {"{\"version\":1,\"tenants\":[{\"id\":\"a\",\"teams\":[{\"id\":\"T\"}]}]}",
     "tenants[0].teams[0].id: expected 1 to 64", "tenants[0].teams[0].id"},
    {"{\"version\":1,\"tenants\":[{\"id\":\"a\",\"teams\":7}]}",
     "tenants[0].teams: expected an array, found a number", "tenants[0].teams"},
    {"{\"version\":1,\"tenants\":[{\"id\":\"a\",\"name\":\"\xff\"}]}", "doc:1:", ""},
    {"{\n\"[" HUNDRED_BYTES "aaaaaaaaaaaaaaaaaaaaaaaaaa\":1}", "doc:1: [", "[" SIXTY_TWO_BYTES},
};

static void test_broken_documents(void)
{
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        weir_arena_t arena;
        weir_tenants_t *t = NULL;
        weir_error_t err = {0};

        weir_arena_init(&arena, 0, 0);
        weir_status_t rc =
            weir_tenants_parse(broken[i].text, strlen(broken[i].text), "doc", &arena, &t, &err);
        if (!ok(rc == WEIR_ERR_INVALID && t == NULL &&
                    strstr(err.message, broken[i].says) != NULL &&
                    strcmp(err.field, broken[i].field) == 0,
                "broken document %zu: %s", i, broken[i].says)) {
            diag("rc %d, field '%s', message: %s", (int)rc, err.field, err.message);
        }
        weir_arena_free(&arena);
    }
}

static const char *const two_secrets_errors[] = {
    "\"previous\":7}",
    "previous: expected an object, found a number",
    "\"previous\":{}}",
    "previous.hash: expected 64 lower-case hexadecimal digits, found nothing",
    "\"previous\":{\"hash\":\"00\"}}",
    "previous.hash: expected 64",
    NULL};

/* Teams, users and their keys: ids are unique where they have to be. */
static void test_owners(void)
{
    static const char text[] =
        "{\"version\":1,\"tenants\":[{\"id\":\"a\",\"users\":[{\"id\":\"u@x\"}],\"teams\":["
        "{\"id\":\"t\",\"users\":[{\"id\":\"u@x\",\"keys\":[{\"id\":\"0123456789ab\"," KEY_FIELDS
        "}]}]},{\"id\":\"v\"}]},{\"id\":\"b\",\"teams\":[{\"id\":\"t\"}]}]}";
    weir_arena_t arena;
    weir_tenants_t *t = NULL;
    weir_error_t err = {0};

    weir_arena_init(&arena, 0, 0);
    ok(weir_tenants_parse(text, sizeof(text) - 1, "doc", &arena, &t, &err) == WEIR_OK,
       "teams and users load %s", err.message);
    const weir_tenant_t *a = weir_tenants_find(t, WEIR_STR("a"));
    const weir_tenant_t *b = weir_tenants_find(t, WEIR_STR("b"));
    const weir_team_t *at = weir_tenants_find_team(t, a, WEIR_STR("t"));
    const weir_team_t *bt = weir_tenants_find_team(t, b, WEIR_STR("t"));
    ok(at != NULL && bt != NULL && at != bt && at->tenant == a && bt->tenant == b &&
           weir_tenants_find_team(t, b, WEIR_STR("v")) == NULL,
       "a team belongs to its tenant");
    const weir_user_t *direct = weir_tenants_find_user(t, a, NULL, WEIR_STR("u@x"));
    const weir_user_t *in_team = weir_tenants_find_user(t, a, at, WEIR_STR("u@x"));
    ok(direct != NULL && in_team != NULL && direct != in_team && in_team->team == at &&
           weir_tenants_find_user(t, b, bt, WEIR_STR("u@x")) == NULL,
       "a user to its team or tenant");
    const weir_api_key_t *key = weir_tenants_find_key(t, WEIR_STR("0123456789ab"));
    ok(key != NULL && key->user == in_team && key->team == at && key->tenant == a,
       "a key to all of them");
    ok(weir_tenants_find_key(t, WEIR_STR("0123456789a")) == NULL, "no other id finds it");
    weir_arena_free(&arena);
}

static void test_two_secrets(void)
{
    made_key_t k = make_key();
    made_key_t old = make_key();
    uint8_t salt[WEIR_KEY_SALT_LEN];
    uint8_t hash[WEIR_KEY_HASH_LEN];
    char hex[2 * WEIR_KEY_HASH_LEN + 1];
    char text[1024];
    int64_t end;
    weir_arena_t arena;
    weir_tenants_t *t = NULL;
    weir_error_t err = {0};
    const weir_api_key_t *found;

    /* The older secret of the same key: its id in front of another secret, with the key's salt. */
    memcpy(old.key, k.key, 3 + WEIR_KEY_ID_LEN + 1);
    for (size_t i = 0; i < sizeof(salt); i++) {
        unsigned byte;
        sscanf(k.salt + 2 * i, "%2x", &byte);
        salt[i] = (uint8_t)byte;
    }
    weir_key_hash(weir_str(old.key, WEIR_KEY_LEN), salt, hash);
    for (size_t i = 0; i < sizeof(hash); i++) {
        snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    }
    snprintf(text, sizeof(text),
             "{\"version\":1,\"tenants\":[{\"id\":\"a\",\"keys\":[{\"id\":\"%s\",\"salt\":\"%s\","
             "\"hash\":\"%s\",\"previous\":{\"hash\":\"%s\",\"expires\":\"2030-01-01\"}}]}]}",
             k.id, k.salt, k.hash, hex);
    weir_timestamp_parse(WEIR_STR("2030-01-01"), &end);
    end /= 1000;
    weir_arena_init(&arena, 0, 0);
    ok(weir_tenants_parse(text, strlen(text), "doc", &arena, &t, &err) == WEIR_OK,
       "a key with two secrets loads %s", err.message);
    is_int(ask(t, k.key, end, &found), WEIR_AUTH_OK, "the secret in force");
    is_int(ask(t, old.key, end - 1, &found), WEIR_AUTH_OK, "the older one before its end");
    is_int(ask(t, old.key, end, &found), WEIR_AUTH_EXPIRED, "and at its end");
    old.key[20] = old.key[20] == 'A' ? 'B' : 'A';
    is_int(ask(t, old.key, 1, &found), WEIR_AUTH_INVALID, "no third one");
    weir_arena_free(&arena);

    for (size_t i = 0; two_secrets_errors[i] != NULL; i += 2) {
        snprintf(text, sizeof(text),
                 "{\"version\":1,\"tenants\":[{\"id\":\"a\",\"keys\":[{\"id\":"
                 "\"0123456789ab\"," KEY_FIELDS ",%s]}]}",
                 two_secrets_errors[i]);
        weir_arena_init(&arena, 0, 0);
        ok(weir_tenants_parse(text, strlen(text), "doc", &arena, &t, &err) == WEIR_ERR_INVALID &&
               strstr(err.message, two_secrets_errors[i + 1]) != NULL,
           "refused: %s", two_secrets_errors[i + 1]);
        weir_arena_free(&arena);
    }
}

static void test_many_keys(void)
{
    enum { N = 3000 };
    weir_arena_t arena;
    weir_buf_t text;
    weir_tenants_t *t = NULL;
    weir_error_t err = {0};
    const weir_api_key_t *found;
    made_key_t k = make_key();

    weir_arena_init(&arena, 1 << 20, 0);
    weir_buf_init(&text, &arena);
    weir_buf_append_z(&text, "{\"version\":1,\"tenants\":[{\"id\":\"a\",\"keys\":[");
    for (int i = 0; i < N; i++) {
        weir_buf_printf(&text, "{\"id\":\"%012d\"," KEY_FIELDS "},", i);
    }
    weir_buf_printf(&text, "{\"id\":\"%s\",\"salt\":\"%s\",\"hash\":\"%s\"}]}]}", k.id, k.salt,
                    k.hash);
    ok(weir_tenants_parse(text.data, text.len, "doc", &arena, &t, &err) == WEIR_OK,
       "%d keys load%s", N + 1, err.message);
    is_int(ask(t, k.key, 1, &found), WEIR_AUTH_OK, "the one real key among them is found");
    weir_arena_free(&arena);
}

static void test_files(void)
{
    weir_arena_t arena;
    weir_tenants_t *t = NULL;
    weir_error_t err = {0};

    weir_arena_init(&arena, 0, 0);
    ok(weir_tenants_load("policies/examples/tenants.json", &arena, &t, &err) == WEIR_OK,
       "the example document loads %s", err.message);
    is_int(weir_tenants_load("no/such/file.json", &arena, &t, &err), WEIR_ERR_IO,
           "a missing file is an I/O error");
    ok(strstr(err.message, "no/such/file.json") != NULL, "that names the file");
    is_int(weir_tenants_load("policies", &arena, &t, &err), WEIR_ERR_IO, "so is a folder");
    weir_arena_free(&arena);
}

/* An expiry at the very beginning of Unix time is an expiry. */
static void test_first_second(void)
{
    static const char *const times[] = {"1970-01-01", "1969-12-31T23:59:59.5Z",
                                        "1969-12-31T23:59:00Z"};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        made_key_t k = make_key();
        char text[1024];
        weir_arena_t arena;
        weir_tenants_t *t = NULL;
        const weir_api_key_t *found;

        snprintf(
            text, sizeof(text),
            "{\"version\":1,\"tenants\":[{\"id\":\"a\",\"keys\":[{\"id\":\"%s\",\"salt\":\"%s\","
            "\"hash\":\"%s\",\"expires\":\"%s\"}]}]}",
            k.id, k.salt, k.hash, times[i]);
        weir_arena_init(&arena, 0, 0);
        ok(weir_tenants_parse(text, strlen(text), "doc", &arena, &t, NULL) == WEIR_OK &&
               ask(t, k.key, 2000000000, &found) == WEIR_AUTH_EXPIRED,
           "a key that expires at %s has expired", times[i]);
        weir_arena_free(&arena);
    }
}

/* Whatever the memory, the document loads or the error is NOMEM. */
static void test_little_memory(void)
{
    static const char text[] =
        "{\"version\":1,\"tenants\":[{\"id\":\"a\",\"policy\":{\"models\":{\"allow\":[\"x*\"]}},"
        "\"users\":[{\"id\":\"u\"}],\"teams\":[{\"id\":\"t\",\"keys\":[{\"id\":"
        "\"0123456789ab\"," KEY_FIELDS ",\"label\":\"l\"}]}]}]}";
    bool good = true;
    bool loaded = false;

    for (size_t limit = 64; limit < 65536 && !loaded; limit += 64) {
        weir_arena_t arena;
        weir_tenants_t *t = NULL;
        weir_error_t err = {0};
        weir_arena_init(&arena, 64, limit);
        weir_status_t rc = weir_tenants_parse(text, sizeof(text) - 1, "doc", &arena, &t, &err);
        loaded = rc == WEIR_OK;
        good = good && (loaded || (rc == WEIR_ERR_NOMEM && t == NULL && err.message[0] != '\0'));
        weir_arena_free(&arena);
    }
    ok(good && loaded, "too little memory is told, enough is enough");
}

int main(void)
{
    test_little_memory();
    test_verdicts();
    test_first_second();
    test_broken_documents();
    test_owners();
    test_two_secrets();
    test_many_keys();
    test_files();
    return done_testing();
}

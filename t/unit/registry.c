/* Snapshots: all documents or none, principals, changes at run time, the last good state. */
#include "policies/registry.h"

#include <stdio.h>

#include "t/support/registry_files.h"
#include "t/support/tap.h"

static registry_files_t files;

static weir_registry_t *load(weir_error_t *err)
{
    weir_registry_t *r = NULL;
    *err = (weir_error_t){0};
    weir_registry_load(&files.load, 1900000000, &r, err);
    return r;
}

static weir_auth_verdict_t ask(const weir_registry_t *r, const char *key, int64_t now,
                               const weir_api_key_t **found)
{
    return weir_registry_authenticate(r, NULL, weir_str(key, strlen(key)), now, found);
}

static test_key_t keys[4]; /* of the tenant, a team, a user in it, a disabled team */

static void write_tenants(const char *more)
{
    static char text[8192];
    snprintf(text, sizeof(text),
             "{'version':1,'tenants':[{'id':'acme','policy':{'caps':{'n':4,'max_tokens':100},"
             "'locked':['caps.n']},'keys':[{%s}],'teams':["
             "{'id':'search','policy':'named','keys':[{%s,'policy':{'models':{'allow':['m']}}}],"
             "'users':[{'id':'ada','policy':{'caps':{'max_tokens':7}},'keys':[{%s}]},"
             "{'id':'bob','enabled':false}]},"
             "{'id':'off','enabled':false,'keys':[{%s}]}]%s},{'id':'beta'}]}",
             keys[0].members, keys[1].members, keys[2].members, keys[3].members, more);
    registry_files_write(&files, "tenants", text);
}

static void test_load(void)
{
    const weir_api_key_t *found;
    weir_error_t err;

    registry_files_write(&files, "policies",
                         "{'version':1,'base':{'caps':{'context_tokens':9}},"
                         "'policies':{'named':{'caps':{'max_tokens':50},'over_cap':'lower'}}}");
    write_tenants("");
    weir_registry_t *r = load(&err);
    ok(r != NULL, "documents load: %s", err.message);
    is_int(ask(r, keys[0].key, 1, &found), WEIR_AUTH_OK, "a key of the tenant");
    ok(found->team == NULL && found->user == NULL && found->policy->caps.max_tokens == 100 &&
           found->policy->caps.context_tokens == 9,
       "has the tenant's policy on top of the base");
    is_int(ask(r, keys[1].key, 1, &found), WEIR_AUTH_OK, "a key of a team");
    ok(weir_str_is(found->team->id, "search") && found->policy->caps.max_tokens == 50 &&
           found->policy->over_cap == WEIR_OVER_CAP_LOWER && found->policy->limits_models,
       "has the named policy and its own");
    is_int(ask(r, keys[2].key, 1, &found), WEIR_AUTH_OK, "a key of a user");
    ok(weir_str_is(found->user->id, "ada") && found->policy->caps.max_tokens == 7 &&
           found->policy->caps.n == 4,
       "has all five levels");
    is_int(ask(r, keys[3].key, 1, &found), WEIR_AUTH_TEAM_DISABLED, "a key of a disabled team");
    is_int(weir_registry_loaded_at(r), 1900000000, "the time of loading is kept");
    ok(strlen(weir_registry_hash(r)) == 64 && weir_registry_price_hash(r)[0] == '\0',
       "documents have a hash, absent prices none");

    weir_buf_t text;
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&text, &arena);
    ok(weir_registry_explain(r, weir_str(keys[2].id, 12), &text, &err) == WEIR_OK &&
           (weir_buf_append_char(&text, '\0'), true) &&
           strstr(text.data, "\"caps.max_tokens\":{\"value\":7,\"level\":\"user\"") != NULL &&
           strstr(text.data, "\"over_cap\":{\"value\":\"lower\",\"level\":\"team\"") != NULL &&
           strstr(text.data, "\"caps.n\":{\"value\":4,\"level\":\"tenant\"") != NULL &&
           strstr(text.data, "\"locked_by\":\"tenant\"") != NULL &&
           strstr(text.data, "\"caps.context_tokens\":{\"value\":9,\"level\":\"base\"") != NULL &&
           strstr(text.data, "\"tools.max\":{\"value\":null,\"level\":\"default\"") != NULL,
       "a key's policy is explained field by field");
    text.len = 0;
    ok(weir_registry_describe(r, &text, &err) == WEIR_OK &&
           (weir_buf_append_char(&text, 0), true) && strstr(text.data, keys[2].id) != NULL &&
           strstr(text.data, strstr(keys[2].members, "'hash':'") + 8) == NULL,
       "the state names keys and no hashes");
    weir_arena_free(&arena);
    weir_registry_unref(r);
}

/* Each document spoilt in turn: nothing loads, and the last good snapshot stays. */
static void test_last_good(void)
{
    static const struct {
        const char *name;
        const char *text;
        const char *says;
    } bad[] = {
        {"policies", "{'version':1,'policies':{'named':{'caps':{'n':9}}}}", "is locked by"},
        {"policies", "{'version':1}", "no policy is called \"named\" in the policies document"},
        {"identity", "{'version':1,'anonymous':{'tenant':'nobody'}}", "has no tenant \"nobody\""},
        {"identity", "{'version':1,'anonymous':{'tenant':'acme','team':'x'}}", "has no team \"x\""},
        {"identity",
         "{'version':1,'issuers':[{'issuer':'a','audiences':['w'],'algorithms':['ES256'],"
         "'jwks':{'file':'x'},'tenant':'acme','tenants':['acme','nobody']}]}",
         "issuers[0].tenants[1]: the tenants document has no tenant \"nobody\""},
        {"routes", "{'version':1,'targets':{}}", "routes: expected an array"},
        {"prices", "{'version':2,'prices':[]}", "version: expected the number 1"},
        {"prices", "{", "prices.json:1:"},
    };
    static const char good_policies[] = "{'version':1,'policies':{'named':{}}}";
    weir_registry_state_t state = {0};
    weir_error_t err;

    registry_files_write(&files, "policies", good_policies);
    ok(weir_registry_reload(&state, &files.load, NULL, 10, &err) == WEIR_OK && state.ok &&
           state.current != NULL && state.loads == 1,
       "a good load");
    weir_registry_t *first = state.current;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        registry_files_write(&files, bad[i].name, bad[i].text);
        weir_status_t rc = weir_registry_reload(&state, &files.load, NULL, 20, &err);
        if (!ok(rc != WEIR_OK && !state.ok && state.current == first && state.failures == i + 1 &&
                    strstr(state.error, bad[i].says) != NULL && state.tried_at == 20,
                "bad %s: the last good stays: %s", bad[i].name, bad[i].says)) {
            diag("message: %s", state.error);
        }
        registry_files_write(&files, bad[i].name,
                             strcmp(bad[i].name, "policies") == 0 ? good_policies : NULL);
    }
    weir_registry_t *held = weir_registry_ref(state.current);
    ok(weir_registry_reload(&state, &files.load, NULL, 30, &err) == WEIR_OK && state.ok &&
           state.error[0] == '\0' && state.current != first && state.loads == 2,
       "a good one takes its place");
    const weir_api_key_t *found;
    is_int(ask(held, keys[0].key, 1, &found), WEIR_AUTH_OK, "a request keeps the one it has");
    ok(strcmp(weir_registry_hash(held), weir_registry_hash(state.current)) == 0,
       "equal documents have equal hashes");
    weir_registry_unref(held);
    weir_registry_unref(state.current);
}

static weir_change_t change(weir_change_op_t op, const test_key_t *k)
{
    weir_change_t c = {.op = op, .ts_ms = 1900000000000, .by = WEIR_STR("ops")};
    memcpy(c.key_id, k->id, sizeof(c.key_id));
    memcpy(c.salt, k->salt, sizeof(c.salt));
    memcpy(c.hash, k->hash, sizeof(c.hash));
    return c;
}

static weir_registry_t *apply(weir_registry_t *r, const weir_change_t *c, weir_error_t *err)
{
    weir_registry_t *next = NULL;
    *err = (weir_error_t){0};
    weir_registry_apply(r, c, &next, err);
    return next;
}

/* A key made at run time; the new snapshot. */
static weir_registry_t *create_key(weir_registry_t *r, const test_key_t *k)
{
    weir_error_t err;
    const weir_api_key_t *found;
    weir_change_t c = change(WEIR_CHANGE_KEY_CREATED, k);

    c.tenant = WEIR_STR("acme");
    c.team = WEIR_STR("search");
    c.label = WEIR_STR("made at run time");
    c.expires = 1950000000;
    c.policy = WEIR_STR("{\"caps\":{\"max_tokens\":3}}");
    c.seq = 1;
    weir_registry_t *made = apply(r, &c, &err);
    ok(made != NULL, "a key is created: %s", err.message);
    is_int(ask(r, k->key, 1, &found), WEIR_AUTH_INVALID, "the older snapshot does not know it");
    is_int(ask(made, k->key, 1, &found), WEIR_AUTH_OK, "the new one does");
    ok(found->at_runtime && weir_str_is(found->label, "made at run time") &&
           weir_str_is(found->team->id, "search") && found->policy->caps.max_tokens == 3 &&
           found->policy->caps.n == 4,
       "with label, team and merged policy");
    is_int(ask(made, k->key, 1950000000, &found), WEIR_AUTH_EXPIRED, "and expiry");
    is_int((long long)weir_registry_seq(made), 1, "the snapshot has the change's number");
    weir_buf_t text;
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&text, &arena);
    ok(weir_registry_explain(made, weir_str(k->id, 12), &text, &err) == WEIR_OK &&
           (weir_buf_append_char(&text, 0), true) &&
           strstr(text.data, "\"caps.max_tokens\":{\"value\":3,\"level\":\"key\"") != NULL,
       "its policy is explained");
    weir_arena_free(&arena);
    ok(apply(made, &c, &err) == NULL && strcmp(err.code, "key_exists") == 0, "not twice");
    return made;
}

static void refused_creations(weir_registry_t *made)
{
    weir_error_t err;
    test_key_t other = test_key_make();
    weir_change_t bad = change(WEIR_CHANGE_KEY_CREATED, &other);
    bad.tenant = WEIR_STR("acme");
    bad.policy = WEIR_STR("{\"caps\":{\"n\":5}}");
    ok(apply(made, &bad, &err) == NULL && strcmp(err.code, "policy_locked") == 0 &&
           strstr(err.message, "tenants.json") != NULL,
       "a policy against a lock is refused: %s", err.message);
    bad.policy = WEIR_STR("");
    bad.tenant = WEIR_STR("nobody");
    ok(apply(made, &bad, &err) == NULL && err.status == WEIR_ERR_NOT_FOUND, "no such tenant");
    bad.tenant = WEIR_STR("acme");
    bad.user = WEIR_STR("eve");
    ok(apply(made, &bad, &err) == NULL && strcmp(err.code, "unknown_user") == 0, "no such user");
}

/* Both secrets are good until the older one's end; the newer is told. */
static weir_registry_t *rotate(weir_registry_t *made, const test_key_t *k,
                               char fresh[WEIR_KEY_LEN + 1])
{
    weir_error_t err;
    const weir_api_key_t *found;
    weir_change_t c = change(WEIR_CHANGE_KEY_ROTATED, k);
    weir_key_regenerate(k->id, k->salt, fresh, c.hash, &err);
    memcpy(c.previous_hash, k->hash, sizeof(c.previous_hash));
    c.has_previous = true;
    c.previous_expires = 1920000000;
    weir_registry_t *rotated = apply(made, &c, &err);
    ok(rotated != NULL && strncmp(fresh, k->key, 16) == 0 && strcmp(fresh, k->key) != 0,
       "a rotation keeps the id");
    ok(ask(rotated, fresh, 1, &found) == WEIR_AUTH_OK &&
           ask(rotated, k->key, 1, &found) == WEIR_AUTH_OK,
       "both secrets are good");
    is_int(ask(rotated, k->key, 1920000000, &found), WEIR_AUTH_EXPIRED, "the older until its end");
    is_int(ask(rotated, fresh, 1920000000, &found), WEIR_AUTH_OK, "the newer goes on");
    is_int(ask(made, fresh, 1, &found), WEIR_AUTH_INVALID, "the older snapshot knows only one");
    return rotated;
}

static void test_changes(void)
{
    weir_error_t err;
    const weir_api_key_t *found;
    char fresh[WEIR_KEY_LEN + 1];
    test_key_t k = test_key_make();
    weir_registry_t *r = load(&err);
    weir_registry_t *made = create_key(r, &k);
    refused_creations(made);
    weir_registry_t *rotated = rotate(made, &k, fresh);
    weir_registry_unref(made);

    weir_change_t c = change(WEIR_CHANGE_KEY_DISABLED, &k);
    weir_registry_t *disabled = apply(rotated, &c, &err);
    is_int(ask(disabled, fresh, 1, &found), WEIR_AUTH_KEY_DISABLED, "disabled");
    c.op = WEIR_CHANGE_KEY_ENABLED;
    weir_registry_t *enabled = apply(disabled, &c, &err);
    is_int(ask(enabled, fresh, 1, &found), WEIR_AUTH_OK, "enabled again");
    c.op = WEIR_CHANGE_KEY_REVOKED;
    weir_registry_t *revoked = apply(enabled, &c, &err);
    is_int(ask(revoked, fresh, 1, &found), WEIR_AUTH_KEY_REVOKED, "revoked");
    is_int(weir_key_verdict(weir_registry_find_key(revoked, weir_str(k.id, 12)), 1),
           WEIR_AUTH_KEY_REVOKED, "a running request can find that out");
    c.op = WEIR_CHANGE_KEY_ENABLED;
    ok(apply(revoked, &c, &err) == NULL && strcmp(err.code, "key_revoked") == 0,
       "and never comes back");
    c.op = WEIR_CHANGE_KEY_DELETED;
    weir_registry_t *deleted = apply(revoked, &c, &err);
    is_int(ask(deleted, fresh, 1, &found), WEIR_AUTH_INVALID, "deleted is unknown");
    ok(weir_registry_find_key(deleted, weir_str(k.id, 12)) == NULL &&
           weir_registry_find_key(enabled, weir_str(k.id, 12)) != NULL,
       "and gone");

    /* A key of the document, and the list of all. */
    c = change(WEIR_CHANGE_KEY_DELETED, &keys[0]);
    weir_registry_t *fewer = apply(deleted, &c, &err);
    is_int(ask(fewer, keys[0].key, 1, &found), WEIR_AUTH_INVALID, "a document's key is deleted");
    size_t n = 0;
    for (size_t cursor = 0; weir_registry_next_key(fewer, &cursor, &found);) {
        n++;
    }
    is_int((long long)n, 3, "three keys are left");
    weir_registry_t *all[] = {r, rotated, disabled, enabled, revoked, deleted, fewer};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        weir_registry_unref(all[i]);
    }
}

static void test_many_changes(void)
{
    enum { N = 500 };
    static test_key_t made[N];
    weir_error_t err;
    weir_registry_t *r = load(&err);
    const weir_api_key_t *found;
    size_t good = 0;

    for (int i = 0; i < N; i++) {
        made[i] = test_key_make();
        weir_change_t c = change(WEIR_CHANGE_KEY_CREATED, &made[i]);
        c.tenant = WEIR_STR("acme");
        weir_registry_t *next = apply(r, &c, &err);
        weir_registry_unref(r);
        r = next;
    }
    for (int i = 0; i < N; i++) {
        good += ask(r, made[i].key, 1, &found) == WEIR_AUTH_OK;
    }
    is_int((long long)good, N, "%d keys made at run time are all found", N);
    is_int(ask(r, keys[0].key, 1, &found), WEIR_AUTH_OK, "and those of the document too");
    weir_registry_unref(r);
}

static void test_journal(void)
{
    weir_error_t err;
    weir_journal_t *j = NULL;
    weir_registry_state_t state = {0};
    const weir_api_key_t *found;
    test_key_t k = test_key_make();
    test_key_t gone = test_key_make();
    size_t orphans = 9;

    ok(weir_journal_open(registry_files_path(&files, "journal"), true, &j, &err) == WEIR_OK,
       "a journal: %s", err.message);
    weir_change_t c = change(WEIR_CHANGE_KEY_CREATED, &k);
    c.tenant = WEIR_STR("acme");
    weir_journal_append(j, &c, NULL, &err);
    c = change(WEIR_CHANGE_KEY_DISABLED, &keys[0]);
    weir_journal_append(j, &c, NULL, &err);
    c = change(WEIR_CHANGE_KEY_CREATED, &gone);
    c.tenant = WEIR_STR("left-us");
    weir_journal_append(j, &c, NULL, &err);

    ok(weir_registry_reload(&state, &files.load, j, 10, &err) == WEIR_OK,
       "documents and journal: %s", err.message);
    ok(ask(state.current, k.key, 1, &found) == WEIR_AUTH_OK &&
           ask(state.current, keys[0].key, 1, &found) == WEIR_AUTH_KEY_DISABLED &&
           ask(state.current, gone.key, 1, &found) == WEIR_AUTH_INVALID,
       "changes are in force, one for a tenant that is gone is not");
    is_int((long long)weir_registry_seq(state.current), 3, "up to the last number");

    weir_registry_t *same = NULL;
    ok(weir_registry_follow(state.current, j, &same, &orphans, &err) == WEIR_OK &&
           same == state.current && orphans == 0,
       "nothing new gives the same snapshot");
    weir_registry_unref(same);
    c = change(WEIR_CHANGE_KEY_ENABLED, &keys[0]);
    weir_journal_append(j, &c, NULL, &err);
    weir_registry_t *next = NULL;
    ok(weir_registry_follow(state.current, j, &next, &orphans, &err) == WEIR_OK &&
           ask(next, keys[0].key, 1, &found) == WEIR_AUTH_OK &&
           ask(state.current, keys[0].key, 1, &found) == WEIR_AUTH_KEY_DISABLED &&
           weir_registry_seq(next) == 4,
       "a new change gives a new one");
    is_int(weir_journal_compact(j, &err), WEIR_OK, "compacted: %s", err.message);
    weir_registry_t *after = NULL;
    ok(weir_registry_follow(next, j, &after, &orphans, &err) == WEIR_OK && after != next &&
           ask(after, keys[0].key, 1, &found) == WEIR_AUTH_OK &&
           ask(after, k.key, 1, &found) == WEIR_AUTH_OK && orphans == 1 &&
           weir_registry_seq(after) == 4,
       "a compaction changes nothing");
    write_tenants(",'name':'New name'");
    ok(weir_registry_reload(&state, &files.load, j, 20, &err) == WEIR_OK &&
           ask(state.current, k.key, 1, &found) == WEIR_AUTH_OK &&
           weir_str_is(found->tenant->name, "New name"),
       "new documents keep the journal's changes");
    weir_registry_unref(next);
    weir_registry_unref(after);
    weir_registry_unref(state.current);
    weir_journal_close(j);
}

typedef struct {
    const char *pairs[16]; /* path, value, path, value, ..., NULL */
} claims_t;

static bool claim(void *data, weir_str_t path, size_t i, weir_str_t *value)
{
    const claims_t *claims = data;
    for (size_t k = 0; claims->pairs[k] != NULL; k += 2) {
        if (weir_str_is(path, claims->pairs[k]) && i-- == 0) {
            *value = weir_str(claims->pairs[k + 1], strlen(claims->pairs[k + 1]));
            return true;
        }
    }
    return false;
}

static bool has_role(const weir_principal_t *p, const char *role)
{
    for (size_t i = 0; i < p->n_roles; i++) {
        if (weir_str_is(p->roles[i], role)) {
            return true;
        }
    }
    return false;
}

static void test_claims(const weir_registry_t *r)
{
    const weir_identity_issuer_t *fixed =
        weir_identity_find_issuer(weir_registry_identity(r), WEIR_STR("https://a"));
    const weir_identity_issuer_t *named =
        weir_identity_find_issuer(weir_registry_identity(r), WEIR_STR("https://b"));
    weir_principal_t p;

    ok(fixed != NULL && named != NULL && fixed->leeway == 30 && fixed->jwks_refresh == 300 &&
           fixed->algorithms == (WEIR_JWT_RS256 | WEIR_JWT_EDDSA) &&
           weir_identity_find_issuer(weir_registry_identity(r), WEIR_STR("https://a/")) == NULL,
       "issuers are found by the exact name");
    claims_t ada = {{"sub", "ada", "groups", "x", "groups", "search", "groups", "admins", NULL}};
    is_int(weir_registry_from_claims(r, fixed, claim, &ada, &p), WEIR_PRINCIPAL_OK, "a member");
    ok(weir_str_is(p.tenant->id, "acme") && weir_str_is(p.team->id, "search") && p.user != NULL &&
           p.policy->caps.max_tokens == 7 && has_role(&p, "operator") && has_role(&p, "member"),
       "has tenant, the group that is a team, user, roles and policy");
    claims_t eve = {{"sub", "eve", NULL}};
    ok(weir_registry_from_claims(r, fixed, claim, &eve, &p) == WEIR_PRINCIPAL_OK &&
           p.user == NULL && weir_str_is(p.user_id, "eve") && p.team == NULL &&
           p.policy == p.tenant->policy && !has_role(&p, "operator"),
       "somebody without an entry has the tenant's policy");
    claims_t bob = {{"sub", "bob", "groups", "search", NULL}};
    is_int(weir_registry_from_claims(r, fixed, claim, &bob, &p), WEIR_PRINCIPAL_DISABLED,
           "a disabled user");
    claims_t none = {{"sub", "eve", NULL}};
    is_int(weir_registry_from_claims(r, named, claim, &none, &p), WEIR_PRINCIPAL_NO_TENANT,
           "no claim names a tenant");
    claims_t wrong = {{"org", "nobody", NULL}};
    is_int(weir_registry_from_claims(r, named, claim, &wrong, &p), WEIR_PRINCIPAL_NO_TENANT,
           "a tenant that does not exist");
    const weir_identity_issuer_t *narrow =
        weir_identity_find_issuer(weir_registry_identity(r), WEIR_STR("https://c"));
    claims_t stray = {{"org", "acme", NULL}};
    claims_t home = {{"org", "beta", NULL}};
    ok(weir_registry_from_claims(r, narrow, claim, &stray, &p) == WEIR_PRINCIPAL_NO_TENANT &&
           p.tenant == NULL &&
           weir_registry_from_claims(r, narrow, claim, &home, &p) == WEIR_PRINCIPAL_OK,
       "an issuer leads only to the tenants that the document lets it");
    claims_t org = {{"org", "acme", "uid", "u", NULL}};
    ok(weir_registry_from_claims(r, named, claim, &org, &p) == WEIR_PRINCIPAL_OK &&
           weir_str_is(p.user_id, "u"),
       "one that does");
}

static void test_certificates(const weir_registry_t *r)
{
    static const struct {
        const char *subject;
        weir_principal_verdict_t verdict;
        const char *user;
    } cases[] = {
        {"CN=indexer,OU=search,O=Acme", WEIR_PRINCIPAL_OK, "indexer"},
        {"CN=indexer,OU=search,O=Acme ", WEIR_PRINCIPAL_NO_TENANT, ""},
        {"CN=job-7,OU=ml,O=Acme", WEIR_PRINCIPAL_OK, "job-7"},
        {"o=Acme+ou=ml, cn=job-7", WEIR_PRINCIPAL_OK, "job-7"},
        {"CN=x\\,OU\\=ml\\,O\\=Acme,OU=web,O=Evil", WEIR_PRINCIPAL_NO_TENANT, ""},
        {"CN=x,OU=ml,O=Evil,O=Acme", WEIR_PRINCIPAL_NO_TENANT, ""},
        {"CN=x,OU=ml,O=Acme,O=Evil", WEIR_PRINCIPAL_NO_TENANT, ""},
        {"CN=x,OU=ml,O=Acm\\65", WEIR_PRINCIPAL_OK, "x"},
        {"CN=a b,OU=ml,O=Acme", WEIR_PRINCIPAL_OK, ""},
        {"CN=x,OU=ml,O=\"Acme\"", WEIR_PRINCIPAL_NO_TENANT, ""},
        {"CN=x,OU=ml,O=#0C0441636D65", WEIR_PRINCIPAL_NO_TENANT, ""},
        {"CN=x,OU=ml,O=Acme,", WEIR_PRINCIPAL_NO_TENANT, ""},
        {"CN=x,OU=ml,O=Acme\\", WEIR_PRINCIPAL_NO_TENANT, ""},
        {"", WEIR_PRINCIPAL_NO_TENANT, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_principal_t p;
        const weir_certificate_t c = {.subject =
                                          weir_str(cases[i].subject, strlen(cases[i].subject))};
        weir_principal_verdict_t v = weir_registry_from_certificate(r, &c, &p);
        if (!ok(v == cases[i].verdict && weir_str_is(p.user_id, cases[i].user), "subject %s",
                cases[i].subject)) {
            diag("verdict %d, user %.*s", (int)v, (int)p.user_id.len, p.user_id.data);
        }
    }
}

static void test_certificate_names(const weir_registry_t *r)
{
    static const struct {
        const char *subject;
        const char *uri;
        const char *dns;
        const char *email;
        weir_principal_verdict_t verdict;
        const char *user;
    } cases[] = {
        {"", "spiffe://acme/ns/search/sa/batch", "", "", WEIR_PRINCIPAL_OK, ""},
        {"CN=x", "spiffe://acme/ns/search/sa/batch", "a", "b@c", WEIR_PRINCIPAL_OK, ""},
        {"", "spiffe://acme/ns/search/sa/batch2", "", "", WEIR_PRINCIPAL_NO_TENANT, ""},
        {"", "SPIFFE://acme/ns/search/sa/batch", "", "", WEIR_PRINCIPAL_NO_TENANT, ""},
        {"", "", "spiffe://acme/ns/search/sa/batch", "", WEIR_PRINCIPAL_NO_TENANT, ""},
        {"O=Mail", "", "Batch.Acme.Example", "bob@acme.example", WEIR_PRINCIPAL_OK,
         "bob@acme.example"},
        {"O=Mail", "", "batch.acme.example", "", WEIR_PRINCIPAL_OK, ""},
        {"O=Other", "", "batch.acme.example", "", WEIR_PRINCIPAL_NO_TENANT, ""},
        {"O=Mail", "", "", "batch.acme.example", WEIR_PRINCIPAL_NO_TENANT, ""},
        {"O=Mail", "", "", "", WEIR_PRINCIPAL_NO_TENANT, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *texts[] = {cases[i].uri, cases[i].dns, cases[i].email};
        weir_certificate_name_t names[WEIR_CERTIFICATE_KINDS];
        weir_certificate_t c = {weir_str(cases[i].subject, strlen(cases[i].subject)), names, 0};
        weir_principal_t p;
        for (int kind = 0; kind < WEIR_CERTIFICATE_KINDS; kind++) {
            if (texts[kind][0] != '\0') {
                names[c.n_names++] = (weir_certificate_name_t){
                    (weir_certificate_kind_t)kind, weir_str(texts[kind], strlen(texts[kind]))};
            }
        }
        weir_principal_verdict_t v = weir_registry_from_certificate(r, &c, &p);
        if (!ok(v == cases[i].verdict && weir_str_is(p.user_id, cases[i].user),
                "certificate %zu by its names", i)) {
            diag("verdict %d, user %.*s", (int)v, (int)p.user_id.len, p.user_id.data);
        }
    }
}

static void test_identity(void)
{
    weir_error_t err;
    weir_principal_t p;

    registry_files_write(
        &files, "identity",
        "{'version':1,'issuers':["
        "{'issuer':'https://a','audiences':['weir'],'algorithms':['RS256','EdDSA'],"
        "'jwks':{'file':'a.json'},'tenant':'acme','claims':{'team':'groups'},'roles':['member'],"
        "'rules':[{'claim':'groups','value':'admins','roles':['operator']}]},"
        "{'issuer':'https://b','audiences':['weir'],'algorithms':['ES256'],"
        "'jwks':{'url':'https://b/jwks'},'claims':{'tenant':'org','user':'uid'}},"
        "{'issuer':'https://c','audiences':['weir'],'algorithms':['ES256'],"
        "'jwks':{'url':'https://c/jwks'},'claims':{'tenant':'org'},'tenants':['beta']}],"
        "'certificates':[{'subject':'CN=indexer,OU=search,O=Acme','tenant':'acme','team':'search',"
        "'user':'indexer'},{'attributes':{'O':'Acme','OU':'ml'},'tenant':'acme','user_from':'CN'},"
        "{'names':{'uri':'spiffe://acme/ns/search/sa/batch'},'tenant':'acme'},"
        "{'attributes':{'O':'Mail'},'names':{'dns':'batch.acme.example'},'tenant':'acme',"
        "'user_from':'names.email'}],"
        "'anonymous':{'tenant':'acme'}}");
    weir_registry_t *r = load(&err);
    ok(r != NULL, "identity loads: %s", err.message);
    test_claims(r);
    test_certificates(r);
    test_certificate_names(r);
    is_int(weir_registry_anonymous(r, &p), WEIR_PRINCIPAL_OK,
           "nobody has a tenant when it says so");
    ok(weir_str_is(p.tenant->id, "acme") && p.user_id.len == 0, "without a name");
    weir_registry_unref(r);
    registry_files_write(&files, "identity", NULL);
    r = load(&err);
    is_int(weir_registry_anonymous(r, &p), WEIR_PRINCIPAL_NO_TENANT, "and none without a document");
    weir_registry_unref(r);
}

static const struct {
    const char *document;
    const char *says;
} bad_identity[] = {
    {"'issuers':[{}]", "issuers[0].issuer: expected a string"},
    {"'issuers':[{'issuer':'a','algorithms':['HS256']}]", "algorithms[0]: expected RS256"},
    {"'issuers':[{'issuer':'a','algorithms':['none']}]", "algorithms[0]: expected RS256"},
    {"'issuers':[{'issuer':'a','algorithms':[]}]", "algorithms: expected at least one"},
    {"'issuers':[{'issuer':'a','algorithms':['ES256']}]",
     "jwks: expected an object, found nothing"},
    {"'issuers':[{'issuer':'a','algorithms':['ES256'],'jwks':{}}]", "either \"file\" or \"url\""},
    {"'issuers':[{'issuer':'a','algorithms':['ES256'],'jwks':{'url':'ftp://x/yz'}}]",
     "jwks.url: expected a URL"},
    {"'issuers':[{'issuer':'a','algorithms':['ES256'],'jwks':{'file':'x'},'tenant':'acme'}]",
     "audiences: expected at least one"},
    {"'issuers':[{'issuer':'a','audiences':['w'],'algorithms':['ES256'],'jwks':{'file':'x'}}]",
     "or a rule that names a tenant"},
    {"'certificates':[{'tenant':'acme'}]", "\"subject\", \"attributes\" or \"names\""},
    {"'certificates':[{'subject':'CN=x','attributes':{'O':'a'},'tenant':'acme'}]",
     "either \"subject\" or \"attributes\""},
    {"'certificates':[{'names':{},'tenant':'acme'}]", "names: expected an object with members"},
    {"'certificates':[{'names':{'ip':'x'},'tenant':'acme'}]", "names.ip: unknown member"},
    {"'certificates':[{'names':{'uri':''},'tenant':'acme'}]", "names.uri: expected"},
    {"'certificates':[{'subject':'CN=x'}]", "certificates[0].tenant: expected"},
    {"'certificates':[{'attributes':{},'tenant':'acme'}]", "an object with members"},
    {"'anonymous':{}", "anonymous.tenant: expected"},
    {"'extra':1", "extra: unknown member"},
};

static void test_bad_identity(void)
{
    for (size_t i = 0; i < sizeof(bad_identity) / sizeof(bad_identity[0]); i++) {
        char text[1024];
        weir_error_t err;
        snprintf(text, sizeof(text), "{'version':1,%s}", bad_identity[i].document);
        registry_files_write(&files, "identity", text);
        weir_registry_t *r = load(&err);
        if (!ok(r == NULL && strstr(err.message, bad_identity[i].says) != NULL,
                "refused identity %zu: %s", i, bad_identity[i].says)) {
            diag("message: %s", err.message);
        }
        weir_registry_unref(r);
    }
    registry_files_write(&files, "identity", NULL);
}

static void test_examples(void)
{
    const weir_registry_paths_t paths = {
        "policies/examples/tenants-teams.json", "policies/examples/policies.json",
        "policies/examples/identity.json", "policies/examples/routes.json",
        "policies/examples/prices.json"};
    weir_registry_t *r = NULL;
    weir_error_t err = {0};
    weir_principal_t p;

    ok(weir_registry_load(&paths, 1, &r, &err) == WEIR_OK, "the examples load together: %s",
       err.message);
    ok(r != NULL && weir_registry_anonymous(r, &p) == WEIR_PRINCIPAL_OK &&
           p.policy->caps.max_tokens == 256,
       "their anonymous tenant has the trial policy");
    weir_registry_unref(r);
    const weir_registry_paths_t nothing = {0};
    ok(weir_registry_load(&nothing, 1, &r, &err) == WEIR_ERR_INVALID, "tenants are required");
}

int main(void)
{
    if (!registry_files_open(&files)) {
        return 1;
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        keys[i] = test_key_make();
    }
    test_load();
    test_last_good();
    test_changes();
    test_many_changes();
    test_identity();
    test_bad_identity();
    test_journal();
    test_examples();
    registry_files_close(&files);
    return done_testing();
}

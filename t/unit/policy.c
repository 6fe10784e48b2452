/* Policies: their form, how levels merge, what compiled ones answer. */
#include "policies/policy.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "lua-free-filters/endpoint.h"
#include "t/support/registry_files.h"
#include "t/support/tap.h"

static registry_files_t files;

/* The policy of the tenant a, with this base and this policy of the tenant; NULL and *err when the
 * documents are refused. The registry must be given back. */
static const weir_policy_t *load(const char *base, const char *tenant, weir_registry_t **r,
                                 weir_error_t *err)
{
    char text[4096];

    snprintf(text, sizeof(text), "{'version':1,'base':%s}", base);
    registry_files_write(&files, "policies", text);
    snprintf(text, sizeof(text), "{'version':1,'tenants':[{'id':'a','policy':%s}]}", tenant);
    registry_files_write(&files, "tenants", text);
    *r = NULL;
    *err = (weir_error_t){0};
    if (weir_registry_load(&files.load, 1, r, err) != WEIR_OK) {
        return NULL;
    }
    return weir_tenants_at(weir_registry_tenants(*r), 0)->policy;
}

static bool model(const weir_policy_t *p, const char *asked, const char *runs)
{
    weir_str_t out;
    bool allowed = weir_policy_model(p, weir_str(asked, strlen(asked)), &out);
    return allowed && weir_str_is(out, runs);
}

static void test_models(void)
{
    weir_registry_t *r;
    weir_error_t err;
    const weir_policy_t *p =
        load("{'models':{'allow':['llama-*','tiny','a?c'],'deny':['*-Preview','llama-bad']},"
             "'aliases':{'fast':'tiny','worse':'llama-bad'}}",
             "{}", &r, &err);

    ok(p != NULL, "models load: %s", err.message);
    if (p == NULL) {
        return;
    }
    ok(p->limits_models && p->needs_body, "an allow-list needs the body");
    ok(model(p, "tiny", "tiny") && model(p, "llama-3", "llama-3") && model(p, "abc", "abc"),
       "names and patterns allow");
    ok(!model(p, "tin", "tin") && !model(p, "tinyx", "tinyx") && !model(p, "xllama-", "xllama-") &&
           !model(p, "ac", "ac") && !model(p, "Tiny", "Tiny"),
       "nothing else is allowed, nor another case");
    ok(!model(p, "llama-3-preview", "llama-3-preview") && !model(p, "llama-3-PREVIEW", ""),
       "deny beats allow, whatever the case");
    ok(model(p, "fast", "tiny"), "an alias gives the model that runs");
    ok(!model(p, "worse", "llama-bad"), "an alias of a denied model is denied");
    ok(!model(p, "", ""), "no name is not allowed where names are limited");
    weir_str_t name;
    weir_str_t target;
    ok(weir_policy_alias_at(p, 1, &name, &target) && !weir_policy_alias_at(p, 2, &name, &target),
       "aliases can be listed");
    weir_registry_unref(r);

    p = load("{}", "{}", &r, &err);
    ok(p != NULL && !p->needs_body && model(p, "anything", "anything") && model(p, "", ""),
       "without lists every model is allowed and no body is needed");
    weir_registry_unref(r);
    p = load("{}", "{'models':{'allow':[]}}", &r, &err);
    ok(p != NULL && !model(p, "x", "x"), "an empty allow-list allows none");
    weir_registry_unref(r);
}

static void test_caps(void)
{
    weir_registry_t *r;
    weir_error_t err;
    const weir_policy_t *p = load(
        "{'caps':{'max_tokens':100,'default_max_tokens':500,'n':2},'over_cap':'lower'}",
        "{'model_caps':[{'models':['big-*'],'max_tokens':10},{'models':['big-1','mid'],'n':null},"
        "{'models':['b*','m*'],'n':1}]}",
        &r, &err);

    ok(p != NULL, "caps load: %s", err.message);
    if (p == NULL) {
        return;
    }
    is_int(p->caps.max_tokens, 100, "max_tokens");
    is_int(p->caps.default_max_tokens, 100, "the default is not above the cap");
    is_int(p->caps.context_tokens, -1, "an absent cap is none");
    ok(p->over_cap == WEIR_OVER_CAP_LOWER && p->limits_caps && p->needs_body, "lower, with body");
    const weir_policy_caps_t *c = weir_policy_caps(p, WEIR_STR("big-1"));
    ok(c->max_tokens == 10 && c->n == 2 && c->default_max_tokens == 10,
       "the first entry that matches counts, absent members come from caps");
    c = weir_policy_caps(p, WEIR_STR("mid"));
    ok(c->max_tokens == 100 && c->n == -1, "null takes a cap away for a model");
    ok(weir_policy_caps(p, WEIR_STR("big-2"))->n == 2, "of two patterns the first");
    ok(weir_policy_caps(p, WEIR_STR("small")) == &p->caps, "other models have the general caps");
    weir_registry_unref(r);
}

static bool from(const weir_policy_t *p, const char *text)
{
    uint8_t address[16];
    if (inet_pton(AF_INET, text, address) == 1) {
        return weir_policy_address_allowed(p, address, 4);
    }
    return inet_pton(AF_INET6, text, address) == 1 && weir_policy_address_allowed(p, address, 16);
}

static void test_addresses(void)
{
    weir_registry_t *r;
    weir_error_t err;
    const weir_policy_t *p =
        load("{'addresses':['10.1.0.0/16','10.1.2.0/24','192.0.2.7','2001:db8::/33','0.0.0.0/32']}",
             "{}", &r, &err);

    ok(p != NULL && p->limits_addresses, "addresses load: %s", err.message);
    ok(from(p, "10.1.0.0") && from(p, "10.1.255.255") && from(p, "10.1.2.3") &&
           from(p, "192.0.2.7") && from(p, "0.0.0.0"),
       "IPv4 inside");
    ok(!from(p, "10.0.255.255") && !from(p, "10.2.0.0") && !from(p, "192.0.2.6") &&
           !from(p, "0.0.0.1"),
       "IPv4 outside");
    ok(from(p, "2001:db8:7fff::1") && !from(p, "2001:db8:8000::") && !from(p, "::"), "IPv6");
    ok(from(p, "::ffff:10.1.2.3") && !from(p, "::ffff:10.2.0.1"), "mapped IPv4 counts as IPv4");
    ok(!weir_policy_address_allowed(p, (const uint8_t *)"unix", 0), "no address is not allowed");
    weir_registry_unref(r);
}

static void test_tools_and_endpoints(void)
{
    weir_registry_t *r;
    weir_error_t err;
    const weir_policy_t *p =
        load("{'tools':{'allow':['get_*','web_search'],'deny':['get_secret*'],'max':3},"
             "'endpoints':['chat','apply-template','model'],'pass_through':['files']}",
             "{'unknown_price':'assume_max'}", &r, &err);

    ok(p != NULL, "tools load: %s", err.message);
    if (p == NULL) {
        return;
    }
    ok(weir_policy_tool_allowed(p, WEIR_STR("get_weather")) &&
           !weir_policy_tool_allowed(p, WEIR_STR("GET_SECRETS")) &&
           !weir_policy_tool_allowed(p, WEIR_STR("get_secrets")) &&
           !weir_policy_tool_allowed(p, WEIR_STR("shell")),
       "tools are allowed and denied");
    is_int(p->tools_max, 3, "and counted");
    int chat = weir_policy_endpoint(WEIR_STR("chat"));
    int messages = weir_policy_endpoint(WEIR_STR("messages"));
    ok(weir_policy_endpoint_allowed(p, chat) && !weir_policy_endpoint_allowed(p, messages) &&
           weir_policy_endpoint_allowed(p, weir_policy_endpoint(WEIR_STR("apply_template"))) &&
           weir_policy_endpoint_allowed(p, weir_policy_endpoint(WEIR_STR("models"))) &&
           !weir_policy_endpoint_allowed(p, -1),
       "endpoints by name, hyphens as underscores");
    ok(weir_policy_group_allowed(p, weir_policy_group(WEIR_STR("files"))) &&
           !weir_policy_group_allowed(p, weir_policy_group(WEIR_STR("audio"))) &&
           !weir_policy_group_allowed(p, -1),
       "groups pass only when named");
    is_int(weir_policy_group(WEIR_STR("calls")), -1, "what is governed cannot be passed through");
    ok(p->unknown_price == WEIR_UNKNOWN_PRICE_ASSUME_MAX, "unknown_price");
    for (int i = 0; weir_policy_endpoint_name(i) != NULL; i++) {
        const char *name = weir_policy_endpoint_name(i);
        if (weir_policy_endpoint(weir_str(name, strlen(name))) != i) {
            ok(false, "endpoint %s has number %d", name, i);
        }
    }
    for (int i = 0; weir_policy_group_name(i) != NULL; i++) {
        const char *name = weir_policy_group_name(i);
        if (weir_policy_group(weir_str(name, strlen(name))) != i) {
            ok(false, "group %s has number %d", name, i);
        }
    }
    weir_registry_unref(r);

    for (int i = 1; i < WEIR_ENDPOINTS; i++) {
        const char *name = weir_endpoint_name((weir_endpoint_t)i);
        ok(weir_policy_endpoint(weir_str(name, strlen(name))) >= 0,
           "policies know the endpoint %s of requests", name);
    }
    for (int i = 0; i < WEIR_GROUPS; i++) {
        const char *name = weir_endpoint_group_name((weir_endpoint_group_t)i);
        bool governed = i == WEIR_GROUP_CALLS || i == WEIR_GROUP_MODELS || i == WEIR_GROUP_ENGINE;
        ok((weir_policy_group(weir_str(name, strlen(name))) >= 0) == !governed,
           "policies know the group %s of requests", name);
    }

    p = load("{}", "{}", &r, &err);
    ok(p != NULL && weir_policy_endpoint_allowed(p, messages) && p->pass_through == 0 &&
           weir_policy_tool_allowed(p, WEIR_STR("shell")),
       "by default all endpoints, all tools and no group");
    weir_registry_unref(r);
}

static const struct {
    const char *base;
    const char *tenant;
    const char *says;
    const char *also;
} refused[] = {
    {"{'locked':['caps']}", "{'caps':{'n':2}}", "tenants[0].policy.caps.n: is locked by",
     "policies.json:1: base.locked, expected null"},
    {"{'caps':{'n':2},'locked':['caps.n']}", "{'caps':{'n':3}}", "tenants[0].policy.caps.n",
     "expected 2 or nothing, found 3"},
    {"{'caps':{'n':2},'locked':['caps.n']}", "{'model_caps':[{'models':['*'],'n':9}]}",
     "tenants[0].policy.model_caps[0]", "caps.n is locked by"},
    {"{'aliases':{'a':'b'},'locked':['aliases']}", "{'aliases':{'c':'d'}}",
     "tenants[0].policy.aliases: is locked", ""},
    {"{'models':{'allow':['x'],'deny':[]},'locked':['models']}", "{'models':{'allow':null}}",
     "tenants[0].policy.models.allow: is locked", "found null"},
    {"{}", "{'colour':1}", "tenants[0].policy.colour: unknown member", ""},
    {"{}", "{'models':{'allow':'x'}}", "policy.models.allow: expected an array or null",
     "a string"},
    {"{}", "{'models':[]}", "policy.models: expected an object, found an array", ""},
    {"{}", "{'models':{'allow':['x',3]}}", "policy.models.allow[1]: expected a string", "a number"},
    {"{}", "{'models':{'allow':['']}}", "models.allow[0]: expected a string of 1", "an empty one"},
    {"{}", "{'endpoints':['chats']}", "policy.endpoints[0]: no endpoint is called \"chats\"", ""},
    {"{}", "{'pass_through':['chat']}", "policy.pass_through[0]: no pass-through group", ""},
    {"{}", "{'addresses':['10.0.0.1/8']}", "policy.addresses[0]: expected an address", ""},
    {"{}", "{'addresses':['10.0.0.0/33']}", "policy.addresses[0]: expected an address", ""},
    {"{}", "{'addresses':['10.0.0.0/08']}", "policy.addresses[0]: expected an address", ""},
    {"{}", "{'addresses':['::1/129']}", "policy.addresses[0]: expected an address", ""},
    {"{}", "{'addresses':['localhost']}", "policy.addresses[0]: expected an address", ""},
    {"{}", "{'caps':{'n':-1}}", "policy.caps.n: expected an integer from 0", "another number"},
    {"{}", "{'caps':{'n':1.5}}", "policy.caps.n: expected an integer", "a fraction"},
    {"{}", "{'caps':{'n':99999999999}}", "policy.caps.n: expected an integer", ""},
    {"{}", "{'caps':{'m':1}}", "policy.caps.m: unknown member", ""},
    {"{}", "{'model_caps':[{'n':1}]}", "policy.model_caps[0].models: expected an array", "nothing"},
    {"{}", "{'model_caps':[{'models':['x'],'n':'y'}]}", "policy.model_caps[0].n: expected", ""},
    {"{}", "{'over_cap':'raise'}", "policy.over_cap: expected one of \"refuse\", \"lower\"", ""},
    {"{}", "{'aliases':{'a*':'b'}}", "policy.aliases.a*: expected names", "without * and ?"},
    {"{}", "{'aliases':{'a':'b?'}}", "policy.aliases.a: expected names", ""},
    {"{}", "{'aliases':{'a':5}}", "policy.aliases.a: expected a string", ""},
    {"{}", "{'locked':['cap']}", "policy.locked[0]: expected a field", ""},
    {"{}", "{'locked':[1]}", "policy.locked[0]: expected a field", "a number"},
    {"{}", "'standard'", "tenants[0].policy: no policy is called \"standard\"", ""},
    {"{}", "'Not A Name'", "tenants[0].policy: expected an object or a policy's name", ""},
    {"{}", "7", "tenants[0].policy: expected an object or a policy's name", "a number"},
};

static void test_refused(void)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        weir_registry_t *r;
        weir_error_t err;
        const weir_policy_t *p = load(refused[i].base, refused[i].tenant, &r, &err);
        if (!ok(p == NULL && strstr(err.message, refused[i].says) != NULL &&
                    strstr(err.message, refused[i].also) != NULL &&
                    strstr(err.message, "tenants.json:1: ") != NULL,
                "refused %zu: %s", i, refused[i].says)) {
            diag("message: %s", err.message);
        }
        weir_registry_unref(r);
    }
}

static void test_locks_that_hold(void)
{
    weir_registry_t *r;
    weir_error_t err;
    const weir_policy_t *p =
        load("{'caps':{'n':2},'aliases':{'a':'b'},'models':{'allow':['y','x']},"
             "'locked':['caps.n','aliases','models']}",
             "{'caps':{'n':2,'max_tokens':7},'aliases':{'a':'b'},"
             "'models':{'allow':['x','y','x'],'deny':null}}",
             &r, &err);
    ok(p != NULL && p->caps.n == 2 && p->caps.max_tokens == 7,
       "the same value again is no change of a locked field: %s", err.message);
    weir_registry_unref(r);
    p = load("{'aliases':{'a':'b','c':'d'}}", "{'aliases':{'a':'z'}}", &r, &err);
    ok(p != NULL && model(p, "a", "z") && model(p, "c", "d"),
       "aliases of a lower level are added and replace equal names");
    weir_registry_unref(r);
}

static void test_sharing(void)
{
    static const char tenants[] =
        "{'version':1,'tenants':["
        "{'id':'a','policy':{'caps':{'n':2}},'teams':[{'id':'t'},{'id':'u','policy':{'caps':{'n':3}"
        "}"
        "}]},{'id':'b','policy':{'caps':{'n':2}}},{'id':'c','policy':{'caps':{'n':null}}},"
        "{'id':'d'}]}";
    weir_registry_t *r = NULL;
    weir_error_t err = {0};

    registry_files_write(&files, "policies", NULL);
    registry_files_write(&files, "tenants", tenants);
    ok(weir_registry_load(&files.load, 1, &r, &err) == WEIR_OK, "loads: %s", err.message);
    const weir_tenants_t *t = weir_registry_tenants(r);
    const weir_policy_t *a = weir_tenants_at(t, 0)->policy;
    ok(a == weir_tenants_at(t, 1)->policy, "equal policies are one object");
    ok(a == weir_tenants_team_at(t, 0)->policy, "a team without its own has its tenant's");
    ok(a != weir_tenants_team_at(t, 1)->policy, "one with its own has another");
    ok(strcmp(a->hash, weir_tenants_team_at(t, 1)->policy->hash) != 0 && strlen(a->hash) == 64,
       "with another hash");
    ok(weir_tenants_at(t, 2)->policy == weir_tenants_at(t, 3)->policy &&
           weir_tenants_at(t, 3)->policy == weir_registry_base_policy(r),
       "null is the default, and no policy is the base's");
    weir_registry_unref(r);
}

/* The pattern matcher against the obvious recursive one. */
static bool slow_match(const char *p, const char *n)
{
    if (*p == '\0') {
        return *n == '\0';
    }
    if (*p == '*') {
        return slow_match(p + 1, n) || (*n != '\0' && slow_match(p, n + 1));
    }
    return *n != '\0' && (*p == '?' || *p == *n) && slow_match(p + 1, n + 1);
}

static void test_patterns(void)
{
    rng_t rng;
    size_t wrong = 0;

    rng_init(&rng);
    for (int i = 0; i < 60; i++) {
        char pattern[9] = "";
        char base[64];
        weir_registry_t *r;
        weir_error_t err;
        for (uint32_t k = 0, n = 1 + rng_below(&rng, 7); k < n; k++) {
            pattern[k] = "ab*?"[rng_below(&rng, 4)];
            pattern[k + 1] = '\0';
        }
        snprintf(base, sizeof(base), "{'models':{'allow':['%s']}}", pattern);
        const weir_policy_t *p = load(base, "{}", &r, &err);
        for (int m = 0; p != NULL && m < 50; m++) {
            char name[9] = "";
            for (uint32_t k = 0, n = 1 + rng_below(&rng, 7); k < n; k++) {
                name[k] = "abb"[rng_below(&rng, 3)];
                name[k + 1] = '\0';
            }
            wrong += model(p, name, name) != slow_match(pattern, name);
        }
        wrong += p == NULL;
        weir_registry_unref(r);
    }
    is_int((long long)wrong, 0, "patterns match what a simple matcher matches");
}

int main(void)
{
    if (!registry_files_open(&files)) {
        return 1;
    }
    test_models();
    test_caps();
    test_addresses();
    test_tools_and_endpoints();
    test_refused();
    test_locks_that_hold();
    test_sharing();
    test_patterns();
    registry_files_close(&files);
    return done_testing();
}

/* Routes: which target serves a model; refused documents. */
#include "policies/routes.h"

#include <stdio.h>

#include "t/support/tap.h"

static weir_arena_t arena;

static weir_routes_t *load(const char *text, weir_error_t *err)
{
    char copy[4096];
    weir_routes_t *routes = NULL;
    size_t n = strlen(text);

    for (size_t i = 0; i <= n && n < sizeof(copy); i++) {
        copy[i] = text[i] == '\'' ? '"' : text[i];
    }
    *err = (weir_error_t){0};
    weir_status_t rc = weir_routes_parse(copy, n, "doc", &arena, &routes, err);
    return rc == WEIR_OK ? routes : NULL;
}

static bool goes(const weir_routes_t *r, const char *model, const char *target, const char *as)
{
    weir_route_choice_t choice;
    return weir_routes_find(r, weir_str(model, strlen(model)), &choice) &&
           weir_str_is(choice.target->name, target) && weir_str_is(choice.model, as);
}

static void test_routes(void)
{
    static const char text[] =
        "{'version':1,'targets':{'a':{'upstream':'engine'},"
        "'b':{'upstream':'api.example:443','scheme':'https','host':'api.example',"
        "'protocol':'anthropic','prefix':'/v2/x'}},"
        "'routes':[{'models':['m-*'],'to':{'target':'a'}},"
        "{'models':['m-1','other'],'to':[{'target':'b','model':'real'}]},"
        "{'models':['m-?x'],'to':{'target':'b'}}]}";
    weir_error_t err;
    const weir_routes_t *r = load(text, &err);
    weir_route_choice_t choice;
    weir_str_t model;

    ok(r != NULL, "routes load: %s", err.message);
    ok(goes(r, "m-1", "b", "real"), "an exact name before patterns");
    ok(goes(r, "m-2x", "a", ""), "the first pattern counts, the name stays");
    ok(goes(r, "other", "b", "real"), "several names for one target");
    ok(!weir_routes_find(r, WEIR_STR("none"), &choice), "no route is none");
    const weir_target_t *b = weir_routes_find_target(r, WEIR_STR("b"));
    ok(b != NULL && b->tls && b->protocol == WEIR_TARGET_ANTHROPIC &&
           weir_str_is(b->host, "api.example") && weir_str_is(b->prefix, "/v2/x") &&
           weir_str_is(b->upstream, "api.example:443"),
       "a target's members");
    const weir_target_t *a = weir_routes_target_at(r, 0);
    ok(!a->tls && a->protocol == WEIR_TARGET_OPENAI && a->host.len == 0 && a->prefix.len == 0,
       "and their defaults");
    ok(weir_routes_target_count(r) == 2 && weir_routes_model_at(r, 1, &model) &&
           weir_str_is(model, "other") && !weir_routes_model_at(r, 2, &model),
       "targets and models can be listed");
}

static const struct {
    const char *targets;
    const char *routes;
    const char *says;
} refused[] = {
    {"{'a':{}}", "[]", "targets.a.upstream: expected an upstream block's name"},
    {"{'a':{'upstream':'x y'}}", "[]", "found other characters"},
    {"{'A':{'upstream':'x'}}", "[]", "targets.A: expected a name"},
    {"{'a':{'upstream':'x','protocol':'grpc'}}", "[]", "protocol: expected one of \"openai\""},
    {"{'a':{'upstream':'x','prefix':'v1'}}", "[]", "prefix: expected a path"},
    {"{'a':{'upstream':'x','prefix':'/v1/'}}", "[]", "prefix: expected a path"},
    {"{'a':{'upstream':'x','prefix':'/a b'}}", "[]", "prefix: expected a path"},
    {"{'a':{'upstream':'x','prefix':'/../b'}}", "[]", "prefix: expected a path"},
    {"{'a':{'upstream':'x','host':'h\\r\\nX: y'}}", "[]", "host: expected host[:port]"},
    {"[]", "[]", "targets: expected an object, found an array"},
    {"{}", "{}", "routes: expected an array, found an object"},
    {"{}", "[{'models':['x'],'to':{'target':'a'}}]",
     "routes[0].to.target: no target is called \"a\""},
    {"{'a':{'upstream':'x'}}", "[{'models':[],'to':{'target':'a'}}]", "routes[0].models: expected"},
    {"{'a':{'upstream':'x'}}", "[{'models':['x'],'to':[]}]", "a list of one, found 0"},
    {"{'a':{'upstream':'x'}}", "[{'models':['x'],'to':{'target':'a','weight':1}}]",
     "unknown member"},
    {"{'a':{'upstream':'x'}}", "[{'models':['x']}]",
     "routes[0].to: expected an object, found nothing"},
    {"{'a':{'upstream':'x'}}",
     "[{'models':['x'],'to':{'target':'a'}},{'models':['x'],'to':{'target':'a'}}]",
     "routes[1]: the model x has a route already"},
};

static void test_refused(void)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char text[1024];
        weir_error_t err;
        snprintf(text, sizeof(text), "{'version':1,'targets':%s,'routes':%s}", refused[i].targets,
                 refused[i].routes);
        if (!ok(load(text, &err) == NULL && strstr(err.message, refused[i].says) != NULL,
                "refused %zu: %s", i, refused[i].says)) {
            diag("message: %s", err.message);
        }
    }
}

int main(void)
{
    weir_arena_init(&arena, 0, 0);
    test_routes();
    test_refused();
    weir_arena_free(&arena);
    return done_testing();
}

#include "policies/routes.h"

#include "policies/document.h"
#include "policies/patterns.h"

typedef struct {
    const weir_target_t *target;
    weir_str_t model;
} route_t;

struct weir_routes {
    weir_target_t *targets;
    size_t n_targets;
    route_t *routes;
    size_t n_routes;
    weir_patterns_t models; /* value: index into routes */
};

static bool host_ok(weir_str_t host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (c == '\0' || strchr("._-:[]", c) == NULL)) {
            return false;
        }
    }
    return true;
}

/* Goes into a request line as it is. */
static bool prefix_ok(weir_str_t prefix)
{
    if (prefix.len == 0 || weir_str_is(prefix, "/")) {
        return true;
    }
    if (prefix.data[0] != '/' || prefix.data[prefix.len - 1] == '/') {
        return false;
    }
    for (size_t i = 0; i < prefix.len; i++) {
        char c = prefix.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (c == '\0' || strchr("/._~-", c) == NULL)) {
            return false;
        }
        if (c == '/' && i + 1 < prefix.len &&
            (prefix.data[i + 1] == '/' || prefix.data[i + 1] == '.')) {
            return false;
        }
    }
    return true;
}

static weir_status_t load_target(const weir_document_t *doc, const char *name, json_t *object,
                                 weir_target_t *target)
{
    static const char *const known[] = {"upstream", "protocol", "scheme", "host", "prefix", NULL};
    static const char *const protocols[] = {"openai", "anthropic", NULL};
    static const char *const schemes[] = {"http", "https", NULL};
    const weir_path_t at = weir_path_member("targets", name);
    const char *path = at.text;
    int protocol;
    int scheme;
    weir_status_t rc;

    target->name.len = strlen(name);
    target->name.data = weir_arena_strndup(doc->arena, name, target->name.len);
    if (target->name.data == NULL) {
        return weir_document_nomem(doc);
    }
    if (!weir_document_id_ok(target->name)) {
        return weir_document_fail(doc, path,
                                  "expected a name of 1 to 64 of a-z 0-9 . _ -, the first a letter "
                                  "or digit");
    }
    if ((rc = weir_document_members(doc, object, path, known)) != WEIR_OK ||
        (rc = weir_document_text(doc, object, path, "upstream", 256, &target->upstream)) !=
            WEIR_OK ||
        (rc = weir_document_word(doc, object, path, "protocol", protocols, &protocol)) != WEIR_OK ||
        (rc = weir_document_word(doc, object, path, "scheme", schemes, &scheme)) != WEIR_OK ||
        (rc = weir_document_text(doc, object, path, "host", 256, &target->host)) != WEIR_OK ||
        (rc = weir_document_text(doc, object, path, "prefix", 256, &target->prefix)) != WEIR_OK) {
        return rc;
    }
    target->protocol = protocol == 0 ? WEIR_TARGET_OPENAI : WEIR_TARGET_ANTHROPIC;
    target->tls = scheme == 1;
    if (target->upstream.len == 0 || !host_ok(target->upstream)) {
        return weir_document_fail(doc, weir_path_member(path, "upstream").text,
                                  "expected an upstream block's name or host[:port], found %s",
                                  target->upstream.len == 0 ? "none" : "other characters");
    }
    if (!host_ok(target->host)) {
        return weir_document_fail(doc, weir_path_member(path, "host").text,
                                  "expected host[:port], found other characters");
    }
    return prefix_ok(target->prefix)
               ? WEIR_OK
               : weir_document_fail(doc, weir_path_member(path, "prefix").text,
                                    "expected a path such as \"/api/v1\" or \"/\"");
}

static weir_status_t load_targets(const weir_document_t *doc, weir_routes_t *out)
{
    json_t *targets = json_object_get(doc->root, "targets");
    const char *name;
    json_t *object;
    weir_status_t rc = WEIR_OK;

    if (!json_is_object(targets)) {
        return weir_document_fail(doc, "targets", "expected an object, found %s",
                                  weir_document_type(targets));
    }
    out->targets = weir_arena_calloc(doc->arena, json_object_size(targets), sizeof(weir_target_t));
    if (out->targets == NULL) {
        return weir_document_nomem(doc);
    }
    json_object_foreach(targets, name, object)
    {
        out->targets[out->n_targets].index = (uint32_t)out->n_targets;
        rc = load_target(doc, name, object, &out->targets[out->n_targets]);
        if (rc != WEIR_OK) {
            return rc;
        }
        out->n_targets++;
    }
    return rc;
}

/* "to" is an object, or a list of one: a list is how a route names several. */
static weir_status_t load_to(const weir_document_t *doc, json_t *object, const char *path,
                             const weir_routes_t *routes, route_t *route)
{
    static const char *const known[] = {"target", "model", NULL};
    json_t *to = json_object_get(object, "to");
    weir_path_t at = weir_path_member(path, "to");
    weir_str_t target;
    weir_status_t rc;

    if (json_is_array(to)) {
        if (json_array_size(to) != 1) {
            return weir_document_fail(doc, at.text,
                                      "expected an object or a list of one, found %zu",
                                      json_array_size(to));
        }
        at = weir_path_at(path, "to", 0);
        to = json_array_get(to, 0);
    }
    if ((rc = weir_document_members(doc, to, at.text, known)) != WEIR_OK ||
        (rc = weir_document_text(doc, to, at.text, "target", 256, &target)) != WEIR_OK ||
        (rc = weir_document_text(doc, to, at.text, "model", WEIR_PATTERN_MAX, &route->model)) !=
            WEIR_OK) {
        return rc;
    }
    route->target = weir_routes_find_target(routes, target);
    return route->target != NULL ? WEIR_OK
                                 : weir_document_fail(doc, weir_path_member(at.text, "target").text,
                                                      "no target is called \"%.64s\"", target.data);
}

static weir_status_t load_routes(const weir_document_t *doc, weir_routes_t *out, json_t *routes)
{
    static const char *const known[] = {"models", "to", NULL};
    size_t n = json_array_size(routes);
    size_t n_patterns = 0;
    weir_pattern_t *patterns;
    weir_status_t rc;

    for (size_t i = 0; i < n; i++) {
        n_patterns += json_array_size(json_object_get(json_array_get(routes, i), "models"));
    }
    patterns = weir_arena_calloc(doc->arena, n_patterns, sizeof(*patterns));
    out->routes = weir_arena_calloc(doc->arena, n, sizeof(route_t));
    if (patterns == NULL || out->routes == NULL) {
        return weir_document_nomem(doc);
    }
    n_patterns = 0;
    for (size_t i = 0; i < n; i++) {
        const weir_path_t at = weir_path_at("", "routes", i);
        json_t *route = json_array_get(routes, i);
        const weir_str_t *models;
        size_t n_models;
        if ((rc = weir_document_members(doc, route, at.text, known)) != WEIR_OK ||
            (rc = weir_document_texts(doc, route, at.text, "models", WEIR_PATTERN_MAX, &models,
                                      &n_models)) != WEIR_OK ||
            (rc = load_to(doc, route, at.text, out, &out->routes[i])) != WEIR_OK) {
            return rc;
        }
        if (n_models == 0) {
            return weir_document_fail(doc, weir_path_member(at.text, "models").text,
                                      "expected at least one name or pattern, found none");
        }
        for (size_t k = 0; k < n_models; k++) {
            patterns[n_patterns++] = (weir_pattern_t){models[k], (uint32_t)i};
        }
        out->n_routes = i + 1;
    }
    if (!weir_patterns_build(&out->models, patterns, n_patterns, false, doc->arena)) {
        return weir_document_nomem(doc);
    }
    /* An exact name in two routes: the second could never be chosen. */
    for (size_t i = 0; i < n_patterns; i++) {
        size_t cursor = 0;
        if (!weir_pattern_has_wildcard(patterns[i].text) &&
            weir_patterns_next(&out->models, patterns[i].text, &cursor)->value !=
                patterns[i].value) {
            return weir_document_fail(doc, weir_path_at("", "routes", patterns[i].value).text,
                                      "the model %s has a route already", patterns[i].text.data);
        }
    }
    return WEIR_OK;
}

static weir_status_t load_document(const weir_document_t *doc, weir_routes_t *out)
{
    static const char *const known[] = {"$schema", "version", "targets", "routes", NULL};
    json_t *routes;
    weir_status_t rc;

    if ((rc = weir_document_members(doc, doc->root, "", known)) != WEIR_OK ||
        (rc = weir_document_version(doc)) != WEIR_OK || (rc = load_targets(doc, out)) != WEIR_OK) {
        return rc;
    }
    routes = json_object_get(doc->root, "routes");
    if (!json_is_array(routes)) {
        return weir_document_fail(doc, "routes", "expected an array, found %s",
                                  weir_document_type(routes));
    }
    return load_routes(doc, out, routes);
}

weir_status_t weir_routes_parse(const char *text, size_t len, const char *name, weir_arena_t *arena,
                                weir_routes_t **out, weir_error_t *err)
{
    weir_document_t doc;
    weir_status_t rc = weir_document_open(&doc, text, len, name, arena, err);

    if (rc == WEIR_OK) {
        weir_routes_t *routes = weir_arena_calloc(arena, 1, sizeof(*routes));
        rc = routes == NULL ? weir_document_nomem(&doc) : load_document(&doc, routes);
        if (rc == WEIR_OK) {
            *out = routes;
        }
    }
    weir_document_close(&doc);
    return rc;
}

size_t weir_routes_target_count(const weir_routes_t *routes)
{
    return routes->n_targets;
}

const weir_target_t *weir_routes_target_at(const weir_routes_t *routes, size_t i)
{
    return &routes->targets[i];
}

const weir_target_t *weir_routes_find_target(const weir_routes_t *routes, weir_str_t name)
{
    for (size_t i = 0; i < routes->n_targets; i++) {
        if (weir_str_eq(routes->targets[i].name, name)) {
            return &routes->targets[i];
        }
    }
    return NULL;
}

bool weir_routes_find(const weir_routes_t *routes, weir_str_t model, weir_route_choice_t *out)
{
    size_t cursor = 0;
    const weir_pattern_t *match = weir_patterns_next(&routes->models, model, &cursor);

    if (match == NULL) {
        return false;
    }
    out->target = routes->routes[match->value].target;
    out->model = routes->routes[match->value].model;
    out->route = match->value;
    return true;
}

bool weir_routes_model_at(const weir_routes_t *routes, size_t i, weir_str_t *model)
{
    if (i >= routes->models.n_exact) {
        return false;
    }
    *model = routes->models.exact[i].text;
    return true;
}

/*
 * The routes document: which target serves a model, and under which name.
 * Format: policies/schema/routes.schema.json; example: policies/examples/routes.json.
 */
#ifndef WEIR_POLICIES_ROUTES_H
#define WEIR_POLICIES_ROUTES_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

typedef enum { WEIR_TARGET_OPENAI, WEIR_TARGET_ANTHROPIC } weir_target_protocol_t;

typedef struct {
    weir_str_t name;     /* [a-z0-9][a-z0-9._-]{0,63} */
    weir_str_t upstream; /* an upstream block's name, or host[:port] */
    bool tls;            /* scheme https */
    weir_str_t host;     /* Host header and TLS name; empty: the upstream's own */
    weir_str_t prefix;   /* what replaces the /v1 of the client's path; empty: nothing, the path
                            stays; "/": /v1 is cut */
    weir_target_protocol_t protocol;
    uint32_t index; /* place in the document */
} weir_target_t;

typedef struct weir_routes weir_routes_t;

typedef struct {
    const weir_target_t *target;
    weir_str_t model; /* the name to send; empty: as it is */
    uint32_t route;   /* place in the document */
} weir_route_choice_t;

/* Loads the document into arena, which must outlive it; errors as those of weir_tenants_parse. */
weir_status_t weir_routes_parse(const char *text, size_t len, const char *name, weir_arena_t *arena,
                                weir_routes_t **out, weir_error_t *err);

size_t weir_routes_target_count(const weir_routes_t *routes);
const weir_target_t *weir_routes_target_at(const weir_routes_t *routes, size_t i);
const weir_target_t *weir_routes_find_target(const weir_routes_t *routes, weir_str_t name);

/*
 * The route for the model that runs (behind aliases): an exact name first, else the first pattern
 * that matches ("*" as the last one is a default); false when there is none. No allocation; any
 * thread.
 */
bool weir_routes_find(const weir_routes_t *routes, weir_str_t model, weir_route_choice_t *out);

/* Names without wildcards that routes serve, for lists of models; false behind the last. */
bool weir_routes_model_at(const weir_routes_t *routes, size_t i, weir_str_t *model);

#endif

/*
 * The price document. Money is integers: a price is nano-dollars per million units, a cost is
 * nano-dollars. Format: policies/schema/prices.schema.json; example: policies/examples/prices.json.
 */
#ifndef WEIR_POLICIES_PRICES_H
#define WEIR_POLICIES_PRICES_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

/* Units that never overlap: a cached or written prompt token is not a prompt token here, a
 * reasoning token no completion token. */
typedef enum {
    WEIR_PRICE_PROMPT,
    WEIR_PRICE_CACHED,
    WEIR_PRICE_CACHE_WRITE,    /* kept for five minutes */
    WEIR_PRICE_CACHE_WRITE_1H, /* kept for an hour */
    WEIR_PRICE_COMPLETION,
    WEIR_PRICE_REASONING,
    WEIR_PRICE_REQUEST, /* nano-dollars a million requests */
    WEIR_PRICE_CLASSES
} weir_price_class_t;

typedef struct {
    int64_t per_million[WEIR_PRICE_CLASSES]; /* nano-dollars; -1: unknown */
    int64_t from;                            /* Unix seconds, inclusive */
    int64_t to;                              /* exclusive; INT64_MAX: open */
    uint32_t index;                          /* place in the document */
} weir_price_t;

typedef struct weir_prices weir_prices_t;

/* Loads the document into arena, which must outlive it; errors as those of weir_tenants_parse. */
weir_status_t weir_prices_parse(const char *text, size_t len, const char *name, weir_arena_t *arena,
                                weir_prices_t **out, weir_error_t *err);

/*
 * The price of model at target (empty: any) at the time now (Unix seconds): entries that name the
 * target before those that name none, exact model names before patterns, then document order; NULL
 * when none is in force. No allocation; any thread.
 */
const weir_price_t *weir_prices_find(const weir_prices_t *prices, weir_str_t target,
                                     weir_str_t model, int64_t now);

/* For each class the highest price in force at now; unknown classes -1; NULL prices: all -1. */
void weir_prices_dearest(const weir_prices_t *prices, int64_t now, weir_price_t *out);

/*
 * The cost of the units: the exact sum of units x price, divided by a million once and rounded up
 * to a whole nano-dollar. Errors: NOT_FOUND when a class with units has no price, LIMIT when the
 * cost passes int64.
 */
weir_status_t weir_price_cost(const weir_price_t *price, const uint64_t units[WEIR_PRICE_CLASSES],
                              int64_t *nano);

const char *weir_price_class_name(weir_price_class_t class);

#endif

/*
 * When to fetch a key set, and what to do with a token meanwhile: the decisions of a cache that
 * refreshes by age and for unknown keys, never faster than a limit, and keeps old keys for a while
 * when fetching fails. It fetches nothing itself. One owner; time comes from the caller.
 */
#ifndef WEIR_POLICIES_JWKS_STATE_H
#define WEIR_POLICIES_JWKS_STATE_H

#include "policies/jwks.h"

#define WEIR_JWKS_MIN_INTERVAL 10 /* seconds between fetches for keys that are unknown */
#define WEIR_JWKS_MAX_BACKOFF  60 /* most seconds to the next try after a failure */

typedef struct {
    weir_jwks_t *keys; /* NULL: none yet; owned */
    int64_t refresh;   /* seconds after which a set is fetched again */
    int64_t stale;     /* seconds that an older set may serve when that fails */
    int64_t fetched;   /* Unix seconds of the last good fetch; 0: never */
    int64_t tried;     /* of the last fetch that ended */
    unsigned failures; /* in a row */
    bool fetching;
} weir_jwks_state_t;

typedef enum {
    WEIR_JWKS_USE,            /* verify with state->keys */
    WEIR_JWKS_USE_AND_FETCH,  /* the same, and start a fetch behind the request's back */
    WEIR_JWKS_FETCH_AND_WAIT, /* start a fetch; the token waits for its end */
    WEIR_JWKS_WAIT,           /* a fetch is under way; the token waits for its end */
    WEIR_JWKS_UNAVAILABLE     /* no keys, or the right one may exist but cannot be fetched now */
} weir_jwks_step_t;

/* refresh and stale in seconds; the fields are zero otherwise. */
void weir_jwks_state_init(weir_jwks_state_t *state, int64_t refresh, int64_t stale);
void weir_jwks_state_free(weir_jwks_state_t *state);

/* What to do with a token that names kid (empty: none). The caller that starts a fetch calls
 * weir_jwks_state_begin(). waited: the token has waited for a fetch already and waits no more. */
weir_jwks_step_t weir_jwks_state_step(const weir_jwks_state_t *state, weir_str_t kid, bool waited,
                                      int64_t now);

void weir_jwks_state_begin(weir_jwks_state_t *state);

/* The fetch has ended: keys (taken over) or NULL for a failure. */
void weir_jwks_state_end(weir_jwks_state_t *state, weir_jwks_t *keys, int64_t now);

#endif

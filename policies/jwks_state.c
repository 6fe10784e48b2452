#include "policies/jwks_state.h"

void weir_jwks_state_init(weir_jwks_state_t *state, int64_t refresh, int64_t stale)
{
    *state = (weir_jwks_state_t){.refresh = refresh, .stale = stale};
}

void weir_jwks_state_free(weir_jwks_state_t *state)
{
    weir_jwks_free(state->keys);
    state->keys = NULL;
}

static bool usable(const weir_jwks_state_t *state, int64_t now)
{
    return state->keys != NULL && now - state->fetched <= state->refresh + state->stale;
}

/* After failures 1, 2, 4, ... seconds pass. A clock that was set back must not stop all fetching.
 */
static bool may_fetch(const weir_jwks_state_t *state, int64_t now)
{
    int64_t pause = WEIR_JWKS_MIN_INTERVAL;

    if (state->fetching) {
        return false;
    }
    if (state->failures > 0) {
        pause = state->failures > 6 ? WEIR_JWKS_MAX_BACKOFF : INT64_C(1) << (state->failures - 1);
    }
    return state->tried == 0 || now >= state->tried + pause || now < state->tried;
}

weir_jwks_step_t weir_jwks_state_step(const weir_jwks_state_t *state, weir_str_t kid, bool waited,
                                      int64_t now)
{
    bool good = usable(state, now);

    /* Without an id no fetch can make clear which key is meant. */
    if (good && (kid.len == 0 || weir_jwks_find(state->keys, kid) != NULL)) {
        bool old = now - state->fetched >= state->refresh || now < state->fetched;
        return old && may_fetch(state, now) ? WEIR_JWKS_USE_AND_FETCH : WEIR_JWKS_USE;
    }
    if (!waited && state->fetching) {
        return WEIR_JWKS_WAIT;
    }
    if (!waited && may_fetch(state, now)) {
        return WEIR_JWKS_FETCH_AND_WAIT;
    }
    /* A set fetched a moment ago says that the key is unknown; an old one does not. */
    return good && state->failures == 0 ? WEIR_JWKS_USE : WEIR_JWKS_UNAVAILABLE;
}

void weir_jwks_state_begin(weir_jwks_state_t *state)
{
    state->fetching = true;
}

void weir_jwks_state_end(weir_jwks_state_t *state, weir_jwks_t *keys, int64_t now)
{
    state->fetching = false;
    state->tried = now;
    if (keys == NULL) {
        state->failures += state->failures < 1000 ? 1 : 0;
        return;
    }
    weir_jwks_free(state->keys);
    state->keys = keys;
    state->fetched = now;
    state->failures = 0;
}

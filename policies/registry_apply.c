/* Changes on top of the documents: snapshots that share all but a small table. */
#include <stdio.h>
#include <stdlib.h>

#include "policies/registry_snapshot.h"

static void origin_unref(weir_key_origin_t *origin)
{
    if (origin != NULL && atomic_fetch_sub(&origin->references, 1) == 1) {
        weir_arena_free(&origin->arena);
        free(origin);
    }
}

static void state_unref(weir_key_state_t *state)
{
    if (state != NULL && atomic_fetch_sub(&state->references, 1) == 1) {
        origin_unref(state->origin);
        free(state);
    }
}

void weir_registry_base_unref(weir_registry_base_t *base)
{
    if (atomic_fetch_sub(&base->references, 1) == 1) {
        weir_arena_free(&base->arena);
        free(base);
    }
}

weir_registry_t *weir_registry_make(weir_registry_base_t *base)
{
    weir_registry_t *registry = calloc(1, sizeof(*registry));

    if (registry != NULL) {
        atomic_init(&registry->references, 1);
        atomic_fetch_add(&base->references, 1);
        registry->base = base;
    }
    return registry;
}

/* Reference counts are the one thing that changes in a snapshot. */
static weir_registry_t *writable(const weir_registry_t *registry)
{
    union {
        const weir_registry_t *in;
        weir_registry_t *out;
    } same = {.in = registry};
    return same.out;
}

weir_registry_t *weir_registry_ref(const weir_registry_t *registry)
{
    weir_registry_t *same = writable(registry);

    atomic_fetch_add(&same->references, 1);
    return same;
}

void weir_registry_unref(const weir_registry_t *registry)
{
    weir_registry_t *same = writable(registry);

    if (same == NULL || atomic_fetch_sub(&same->references, 1) != 1) {
        return;
    }
    for (size_t i = 0; i < same->n_slots; i++) {
        state_unref(same->slots[i]);
    }
    free(same->slots);
    weir_registry_base_unref(same->base);
    free(same);
}

static size_t slot_of(weir_key_state_t *const *slots, size_t n_slots, const char *id)
{
    size_t i = weir_key_id_hash(id) & (n_slots - 1);

    while (slots[i] != NULL && memcmp(slots[i]->key.id, id, WEIR_KEY_ID_LEN) != 0) {
        i = (i + 1) & (n_slots - 1);
    }
    return i;
}

weir_key_state_t *weir_registry_state_of(const weir_registry_t *registry, const char *id)
{
    return registry->n == 0 ? NULL
                            : registry->slots[slot_of(registry->slots, registry->n_slots, id)];
}

const weir_api_key_t *weir_registry_find_key(const weir_registry_t *registry, weir_str_t id)
{
    const weir_key_state_t *state;

    if (id.len != WEIR_KEY_ID_LEN) {
        return NULL;
    }
    state = weir_registry_state_of(registry, id.data);
    if (state != NULL) {
        return state->deleted ? NULL : &state->key;
    }
    return weir_tenants_find_key(registry->base->tenants, id);
}

weir_auth_verdict_t weir_registry_authenticate(const weir_registry_t *registry,
                                               weir_key_hasher_t *hasher, weir_str_t presented,
                                               int64_t now, const weir_api_key_t **key)
{
    weir_str_t id;

    *key = NULL;
    if (!weir_key_parse(presented, &id)) {
        return WEIR_AUTH_INVALID;
    }
    return weir_key_check(hasher, presented, weir_registry_find_key(registry, id), now, key);
}

const weir_policy_layer_t *weir_registry_key_layer(const weir_registry_t *registry,
                                                   const weir_api_key_t *key)
{
    const weir_key_state_t *state = weir_registry_state_of(registry, key->id);
    uint32_t slot;

    if (state != NULL && state->origin != NULL) {
        return state->origin->layer;
    }
    slot = *weir_keys_slot(registry->base->tenants, key->id);
    return slot == 0 ? NULL : registry->base->tenants->key_layers[slot - 1];
}

bool weir_registry_next_key(const weir_registry_t *registry, size_t *cursor,
                            const weir_api_key_t **key)
{
    const weir_tenants_t *t = registry->base->tenants;

    while (*cursor < t->n_keys) {
        const weir_api_key_t *next = &t->keys[(*cursor)++];
        if (weir_registry_state_of(registry, next->id) == NULL) {
            *key = next;
            return true;
        }
    }
    while (*cursor - t->n_keys < registry->n_slots) {
        const weir_key_state_t *state = registry->slots[(*cursor)++ - t->n_keys];
        if (state != NULL && !state->deleted) {
            *key = &state->key;
            return true;
        }
    }
    return false;
}

/* Makes room for one more; the snapshot is not published yet. */
static bool grow(weir_registry_t *registry)
{
    size_t n_slots = registry->n_slots == 0 ? 16 : 2 * registry->n_slots;
    weir_key_state_t **slots;

    if (2 * (registry->n + 1) <= registry->n_slots) {
        return true;
    }
    slots = calloc(n_slots, sizeof(weir_key_state_t *));
    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < registry->n_slots; i++) {
        if (registry->slots[i] != NULL) {
            slots[slot_of(slots, n_slots, registry->slots[i]->key.id)] = registry->slots[i];
        }
    }
    free(registry->slots);
    registry->slots = slots;
    registry->n_slots = n_slots;
    return true;
}

static weir_registry_t *copy_registry(const weir_registry_t *from)
{
    weir_registry_t *copy = weir_registry_make(from->base);

    if (copy == NULL || from->n_slots == 0) {
        if (copy != NULL) {
            copy->seq = from->seq;
        }
        return copy;
    }
    copy->slots = malloc(from->n_slots * sizeof(weir_key_state_t *));
    if (copy->slots == NULL) {
        weir_registry_unref(copy);
        return NULL;
    }
    memcpy(copy->slots, from->slots, from->n_slots * sizeof(weir_key_state_t *));
    for (size_t i = 0; i < from->n_slots; i++) {
        if (copy->slots[i] != NULL) {
            atomic_fetch_add(&copy->slots[i]->references, 1);
        }
    }
    copy->n_slots = from->n_slots;
    copy->n = from->n;
    copy->seq = from->seq;
    return copy;
}

/* The key as it is now, as the start of its next state; NULL: out of memory. */
static weir_key_state_t *next_state(const weir_registry_t *registry, const weir_api_key_t *key)
{
    const weir_key_state_t *before = weir_registry_state_of(registry, key->id);
    weir_key_state_t *state = calloc(1, sizeof(*state));

    if (state == NULL) {
        return NULL;
    }
    atomic_init(&state->references, 1);
    state->key = *key;
    state->key.at_runtime = true;
    if (before != NULL && before->origin != NULL) {
        state->origin = before->origin;
        atomic_fetch_add(&state->origin->references, 1);
    }
    return state;
}

static weir_status_t find_owner(const weir_registry_t *registry, const weir_change_t *change,
                                weir_api_key_t *key, weir_error_t *err)
{
    const weir_tenants_t *t = registry->base->tenants;

    key->tenant = weir_tenants_find(t, change->tenant);
    if (key->tenant == NULL) {
        return weir_error_at(err, WEIR_ERR_NOT_FOUND, "tenant", "unknown_tenant",
                             "no tenant has the id \"%.*s\"", (int)change->tenant.len,
                             change->tenant.data);
    }
    if (change->team.len > 0 &&
        (key->team = weir_tenants_find_team(t, key->tenant, change->team)) == NULL) {
        return weir_error_at(err, WEIR_ERR_NOT_FOUND, "team", "unknown_team",
                             "the tenant %s has no team \"%.*s\"", key->tenant->id.data,
                             (int)change->team.len, change->team.data);
    }
    if (change->user.len > 0 &&
        (key->user = weir_tenants_find_user(t, key->tenant, key->team, change->user)) == NULL) {
        return weir_error_at(err, WEIR_ERR_NOT_FOUND, "user", "unknown_user",
                             "the %s %s has no user \"%.*s\"",
                             key->team != NULL ? "team" : "tenant",
                             key->team != NULL ? key->team->id.data : key->tenant->id.data,
                             (int)change->user.len, change->user.data);
    }
    return WEIR_OK;
}

static weir_status_t make_policy(const weir_registry_t *registry, const weir_change_t *change,
                                 weir_key_state_t *state, weir_error_t *err)
{
    weir_registry_base_t *base = registry->base;
    weir_key_origin_t *origin = state->origin;
    weir_api_key_t *key = &state->key;
    const weir_policy_merge_t *merge =
        weir_tenants_merge_of(base->tenants, key->tenant, key->team, key->user);
    weir_document_t doc;
    char *text;
    weir_status_t rc;

    key->policy = key->user != NULL   ? key->user->policy
                  : key->team != NULL ? key->team->policy
                                      : key->tenant->policy;
    if (change->policy.len == 0) {
        return WEIR_OK;
    }
    text = weir_arena_strndup(&origin->arena, change->policy.data, change->policy.len);
    if (text == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    rc = weir_document_open(&doc, text, change->policy.len, "policy", &origin->arena, err);
    if (rc == WEIR_OK) {
        rc = weir_policy_layer_parse(&doc, doc.root, "", WEIR_LEVEL_KEY, &origin->layer);
    }
    weir_document_close(&doc);
    if (rc == WEIR_OK) {
        rc = weir_policy_merge_over(merge, origin->layer, &origin->arena, &merge, err);
    }
    return rc == WEIR_OK
               ? weir_policy_compile(&base->table, merge, &origin->arena, false, &key->policy, err)
               : rc;
}

static weir_status_t create(const weir_registry_t *registry, const weir_change_t *change,
                            weir_key_state_t **out, weir_error_t *err)
{
    weir_key_state_t *state = calloc(1, sizeof(*state));
    weir_key_origin_t *origin = calloc(1, sizeof(*origin));
    weir_api_key_t *key;
    weir_status_t rc;

    if (state == NULL || origin == NULL) {
        free(state);
        free(origin);
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    atomic_init(&state->references, 1);
    atomic_init(&origin->references, 1);
    weir_arena_init(&origin->arena, 1024, 0);
    state->origin = origin;
    key = &state->key;
    memcpy(key->id, change->key_id, sizeof(key->id));
    memcpy(key->salt, change->salt, sizeof(key->salt));
    memcpy(key->hash, change->hash, sizeof(key->hash));
    key->enabled = true;
    key->at_runtime = true;
    key->expires = change->expires;
    key->created = change->ts_ms / 1000;
    key->label.len = change->label.len;
    key->label.data = weir_arena_strndup(
        &origin->arena, change->label.data == NULL ? "" : change->label.data, change->label.len);
    rc = key->label.data == NULL ? weir_error(err, WEIR_ERR_NOMEM, "out of memory")
                                 : find_owner(registry, change, key, err);
    if (rc == WEIR_OK) {
        rc = make_policy(registry, change, state, err);
    }
    if (rc != WEIR_OK) {
        state_unref(state);
        return rc;
    }
    *out = state;
    return WEIR_OK;
}

static void change_state(weir_key_state_t *state, const weir_change_t *change)
{
    weir_api_key_t *key = &state->key;

    switch (change->op) {
    case WEIR_CHANGE_KEY_ROTATED:
        memcpy(key->salt, change->salt, sizeof(key->salt));
        memcpy(key->hash, change->hash, sizeof(key->hash));
        memcpy(key->previous_hash, change->previous_hash, sizeof(key->previous_hash));
        key->has_previous = change->has_previous;
        key->previous_expires = change->previous_expires;
        break;
    case WEIR_CHANGE_KEY_DISABLED:
        key->enabled = false;
        break;
    case WEIR_CHANGE_KEY_ENABLED:
        key->enabled = true;
        break;
    case WEIR_CHANGE_KEY_DELETED:
        state->deleted = true;
        break;
    case WEIR_CHANGE_KEY_REVOKED:
        key->revoked = true;
        break;
    case WEIR_CHANGE_KEY_CREATED:
    case WEIR_CHANGE_OPS:
        break;
    }
}

/* Changes a snapshot that nobody else has seen yet. */
static weir_status_t apply_to(weir_registry_t *registry, const weir_change_t *change,
                              weir_error_t *err)
{
    const weir_api_key_t *key =
        weir_registry_find_key(registry, weir_str(change->key_id, strlen(change->key_id)));
    weir_key_state_t *state = NULL;
    weir_status_t rc;
    size_t slot;

    if (change->op == WEIR_CHANGE_KEY_CREATED) {
        if (key != NULL || strlen(change->key_id) != WEIR_KEY_ID_LEN) {
            return weir_error_at(err, WEIR_ERR_INVALID, "key", "key_exists",
                                 "the key id %s is in use or no id", change->key_id);
        }
        rc = create(registry, change, &state, err);
        if (rc != WEIR_OK) {
            return rc;
        }
    } else if (key == NULL) {
        return weir_error_at(err, WEIR_ERR_NOT_FOUND, "key", "unknown_key", "no key has the id %s",
                             change->key_id);
    } else if (key->revoked && change->op != WEIR_CHANGE_KEY_DELETED) {
        return weir_error_at(err, WEIR_ERR_INVALID, "key", "key_revoked",
                             "the key %s is revoked for good; make another", change->key_id);
    } else {
        state = next_state(registry, key);
        if (state != NULL) {
            change_state(state, change);
        }
    }
    if (state == NULL || !grow(registry)) {
        state_unref(state);
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    slot = slot_of(registry->slots, registry->n_slots, change->key_id);
    registry->n += registry->slots[slot] == NULL;
    state_unref(registry->slots[slot]);
    registry->slots[slot] = state;
    return WEIR_OK;
}

weir_status_t weir_registry_apply(const weir_registry_t *registry, const weir_change_t *change,
                                  weir_registry_t **out, weir_error_t *err)
{
    weir_registry_t *copy = copy_registry(registry);
    weir_status_t rc;

    if (copy == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    rc = apply_to(copy, change, err);
    if (rc != WEIR_OK) {
        weir_registry_unref(copy);
        return rc;
    }
    copy->seq = change->seq > copy->seq ? change->seq : copy->seq;
    *out = copy;
    return WEIR_OK;
}

typedef struct {
    const weir_registry_t *from;
    weir_registry_t *copy; /* NULL until the first change */
    bool restarted;
    size_t orphans;
} follow_t;

static weir_registry_t *begin(const follow_t *f)
{
    return f->restarted ? weir_registry_make(f->from->base) : copy_registry(f->from);
}

static weir_status_t follow_change(void *data, const weir_change_t *change, weir_error_t *err)
{
    follow_t *f = data;
    weir_error_t why;
    weir_status_t rc;

    if (f->copy == NULL && (f->copy = begin(f)) == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    rc = apply_to(f->copy, change, &why);
    if (rc == WEIR_ERR_NOT_FOUND || rc == WEIR_ERR_INVALID) {
        f->orphans++;
        return WEIR_OK;
    }
    if (rc != WEIR_OK && err != NULL) {
        *err = why;
    }
    return rc;
}

weir_status_t weir_registry_follow(const weir_registry_t *registry, weir_journal_t *journal,
                                   weir_registry_t **out, size_t *orphans, weir_error_t *err)
{
    follow_t f = {.from = registry};
    weir_status_t rc = weir_journal_read(journal, &f.restarted, follow_change, &f, err);

    if (rc != WEIR_OK) {
        weir_registry_unref(f.copy);
        weir_journal_rewind(journal); /* what was read so far is in no snapshot */
        return rc;
    }
    if (orphans != NULL) {
        *orphans = f.orphans;
    }
    if (f.copy == NULL && !f.restarted) {
        *out = weir_registry_ref(registry);
        return WEIR_OK;
    }
    if (f.copy == NULL && (f.copy = begin(&f)) == NULL) {
        weir_journal_rewind(journal);
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    f.copy->seq = weir_journal_seq(journal);
    *out = f.copy;
    return WEIR_OK;
}

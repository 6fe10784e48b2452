/* A property: whatever was changed at run time, a compacted journal has the effect of the whole
 * one, and following it step by step ends where reading it anew does. */
#include <stdio.h>

#include "t/support/registry_files.h"
#include "t/support/tap.h"

enum { KEYS = 6, STEPS = 400 };

static registry_files_t files;
static test_key_t keys[KEYS]; /* the first half is in the document */

static weir_registry_t *read_anew(const weir_registry_t *documents)
{
    weir_journal_t *j = NULL;
    weir_registry_t *all = NULL;
    weir_error_t err = {0};

    if (weir_journal_open(registry_files_path(&files, "journal"), false, &j, &err) != WEIR_OK ||
        weir_registry_follow(documents, j, &all, NULL, &err) != WEIR_OK) {
        diag("read anew: %s", err.message);
    }
    weir_journal_close(j);
    return all;
}

static bool same_key(const weir_api_key_t *a, const weir_api_key_t *b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    return a->enabled == b->enabled && a->revoked == b->revoked &&
           memcmp(a->hash, b->hash, sizeof(a->hash)) == 0 && a->has_previous == b->has_previous &&
           a->previous_expires == b->previous_expires && a->tenant == b->tenant &&
           memcmp(a->previous_hash, b->previous_hash, sizeof(a->hash)) == 0 &&
           weir_str_eq(a->label, b->label) && strcmp(a->policy->hash, b->policy->hash) == 0;
}

static bool same(const weir_registry_t *a, const weir_registry_t *b)
{
    for (int i = 0; i < KEYS; i++) {
        weir_str_t id = weir_str(keys[i].id, WEIR_KEY_ID_LEN);
        if (!same_key(weir_registry_find_key(a, id), weir_registry_find_key(b, id))) {
            return false;
        }
    }
    return true;
}

static weir_change_t random_change(rng_t *rng)
{
    const test_key_t *k = &keys[rng_below(rng, KEYS)];
    weir_change_t c = {.op = (weir_change_op_t)rng_below(rng, WEIR_CHANGE_OPS),
                       .ts_ms = 1900000000000};

    /* Ends are rare, so that there is something to end. */
    if (c.op >= WEIR_CHANGE_KEY_DELETED && rng_below(rng, 5) != 0) {
        c.op = WEIR_CHANGE_KEY_ROTATED;
    }
    memcpy(c.key_id, k->id, sizeof(c.key_id));
    memcpy(c.salt, k->salt, sizeof(c.salt));
    memset(c.hash, (int)rng_below(rng, 256), sizeof(c.hash));
    if (c.op == WEIR_CHANGE_KEY_ROTATED && rng_below(rng, 2) == 0) {
        c.has_previous = true;
        memset(c.previous_hash, (int)rng_below(rng, 256), sizeof(c.previous_hash));
        c.previous_expires = 1 + rng_below(rng, 1000);
    }
    if (c.op == WEIR_CHANGE_KEY_CREATED) {
        c.tenant = WEIR_STR("acme");
        c.label = rng_below(rng, 2) == 0 ? WEIR_STR("") : WEIR_STR("a label");
        c.policy = rng_below(rng, 2) == 0 ? WEIR_STR("") : WEIR_STR("{\"caps\":{\"n\":2}}");
    }
    return c;
}

/* One change, as an administrator makes it: tried first, then written, then read. */
static bool step(rng_t *rng, weir_journal_t *writer, weir_journal_t *reader,
                 weir_registry_t **current, size_t *made)
{
    weir_change_t c = random_change(rng);
    weir_registry_t *next = NULL;
    weir_error_t err = {0};

    if (weir_registry_apply(*current, &c, &next, &err) != WEIR_OK) {
        return err.message[0] != '\0';
    }
    (*made)++;
    if (weir_journal_append(writer, &c, NULL, &err) != WEIR_OK) {
        diag("append: %s", err.message);
        return false;
    }
    weir_registry_t *followed = NULL;
    size_t orphans = 1;
    bool good = weir_registry_follow(*current, reader, &followed, &orphans, &err) == WEIR_OK &&
                same(followed, next);
    weir_registry_unref(next);
    weir_registry_unref(*current);
    *current = followed;
    return good;
}

static void run(rng_t *rng, const weir_registry_t *documents)
{
    weir_journal_t *writer = NULL;
    weir_journal_t *reader = NULL;
    weir_registry_t *current = weir_registry_ref(documents);
    weir_error_t err = {0};
    const char *path = registry_files_path(&files, "journal");
    size_t made = 0;
    size_t compactions = 0;
    bool good = weir_journal_open(path, true, &writer, &err) == WEIR_OK &&
                weir_journal_open(path, false, &reader, &err) == WEIR_OK;

    for (int i = 0; good && i < STEPS; i++) {
        good = step(rng, writer, reader, &current, &made);
        if (good && rng_below(rng, 20) == 0) {
            weir_registry_t *before = read_anew(documents);
            good = weir_journal_compact(writer, &err) == WEIR_OK;
            compactions++;
            weir_registry_t *after = read_anew(documents);
            good = good && before != NULL && after != NULL && same(before, after) &&
                   same(before, current) && weir_registry_seq(before) == weir_registry_seq(after);
            weir_registry_unref(before);
            weir_registry_unref(after);
        }
        if (!good) {
            diag("step %d: %s", i, err.message);
        }
    }
    ok(good && made > 20 && compactions > 5, "%zu changes, %zu compactions: the same effect", made,
       compactions);
    weir_registry_unref(current);
    weir_journal_close(writer);
    weir_journal_close(reader);
    registry_files_write(&files, "journal", NULL);
}

int main(void)
{
    char text[2048];
    weir_registry_t *documents = NULL;
    weir_error_t err = {0};
    rng_t rng;

    if (!registry_files_open(&files)) {
        return 1;
    }
    rng_init(&rng);
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < KEYS; i++) {
            keys[i] = test_key_make();
        }
        snprintf(text, sizeof(text),
                 "{'version':1,'tenants':[{'id':'acme','keys':[{%s},{%s},{%s}]}]}", keys[0].members,
                 keys[1].members, keys[2].members);
        registry_files_write(&files, "tenants", text);
        if (!ok(weir_registry_load(&files.load, 1, &documents, &err) == WEIR_OK,
                "documents load %s", err.message)) {
            break;
        }
        run(&rng, documents);
        weir_registry_unref(documents);
    }
    registry_files_close(&files);
    return done_testing();
}

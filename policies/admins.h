/*
 * The admins document: who may see and change the gateway's state at run time. It is apart from the
 * tenants' documents, because nobody who may call a model may therefore change who may.
 * Format: policies/schema/admins.schema.json; example: policies/examples/admins.json.
 */
#ifndef WEIR_POLICIES_ADMINS_H
#define WEIR_POLICIES_ADMINS_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

#define WEIR_ADMIN_MIN_TOKEN 32 /* characters; a token is random, not a password */
#define WEIR_ADMIN_MAX_TOKEN 512
#define WEIR_ADMIN_HASH_LEN  32

/* Each role may do what those before it may. */
typedef enum { WEIR_ADMIN_VIEWER, WEIR_ADMIN_OPERATOR, WEIR_ADMIN_ADMIN } weir_admin_role_t;

const char *weir_admin_role_name(weir_admin_role_t role);

typedef struct {
    weir_str_t name; /* [a-z0-9][a-z0-9._-]{0,63}, unique */
    weir_admin_role_t role;
    uint8_t hash[WEIR_ADMIN_HASH_LEN]; /* SHA-256 of the token */
    bool enabled;
    int64_t expires; /* Unix seconds; 0: never */
} weir_admin_t;

typedef struct {
    const weir_admin_t *admins;
    size_t n;
} weir_admins_t;

/* Loads the document into arena, which must outlive it; errors as those of weir_tenants_parse. */
weir_status_t weir_admins_parse(const char *text, size_t len, const char *name, weir_arena_t *arena,
                                weir_admins_t **out, weir_error_t *err);

/* The same from a file. */
weir_status_t weir_admins_load(const char *path, weir_arena_t *arena, weir_admins_t **out,
                               weir_error_t *err);

/*
 * The admin whose token this is, or NULL: none, disabled or expired (now: Unix seconds). Takes the
 * same time whichever it is, as far as the number of admins is the same.
 */
const weir_admin_t *weir_admins_authenticate(const weir_admins_t *admins, weir_str_t token,
                                             int64_t now);

#endif

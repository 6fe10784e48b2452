/* Documents written into a folder of their own, for tests that load whole registries. */
#ifndef WEIR_T_REGISTRY_FILES_H
#define WEIR_T_REGISTRY_FILES_H

#include "policies/registry.h"

typedef struct {
    char folder[64];
    char paths[6][96]; /* tenants, policies, identity, routes, prices, journal */
    weir_registry_paths_t load;
} registry_files_t;

/* Makes the folder; false when it cannot. */
bool registry_files_open(registry_files_t *files);
/* Writes a document ("tenants", "policies", ...) and lets the registry load it; text NULL takes it
 * away. Single quotes become double ones. */
void registry_files_write(registry_files_t *files, const char *name, const char *text);
const char *registry_files_path(const registry_files_t *files, const char *name);
void registry_files_close(registry_files_t *files);

/* A key as a document holds it: id, salt, hash as members without braces, and the key itself. */
typedef struct {
    char key[WEIR_KEY_LEN + 1];
    char id[WEIR_KEY_ID_LEN + 1];
    uint8_t salt[WEIR_KEY_SALT_LEN];
    uint8_t hash[WEIR_KEY_HASH_LEN];
    char members[256]; /* 'id':'...','salt':'...','hash':'...' */
} test_key_t;

test_key_t test_key_make(void);

#endif

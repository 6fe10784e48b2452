#include "t/support/registry_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const names[6] = {"tenants", "policies", "identity",
                                     "routes",  "prices",   "journal"};

bool registry_files_open(registry_files_t *files)
{
    memset(files, 0, sizeof(*files));
    snprintf(files->folder, sizeof(files->folder), "/tmp/weir-test-XXXXXX");
    if (mkdtemp(files->folder) == NULL) {
        return false;
    }
    for (int i = 0; i < 6; i++) {
        snprintf(files->paths[i], sizeof(files->paths[i]), "%s/%s.json", files->folder, names[i]);
    }
    return true;
}

static int index_of(const char *name)
{
    int i = 0;
    while (i < 5 && strcmp(names[i], name) != 0) {
        i++;
    }
    return i;
}

const char *registry_files_path(const registry_files_t *files, const char *name)
{
    return files->paths[index_of(name)];
}

void registry_files_write(registry_files_t *files, const char *name, const char *text)
{
    int i = index_of(name);
    const char **loads[] = {&files->load.tenants, &files->load.policies, &files->load.identity,
                            &files->load.routes, &files->load.prices};
    FILE *file;

    if (i < 5) {
        *loads[i] = text == NULL ? NULL : files->paths[i];
    }
    if (text == NULL) {
        unlink(files->paths[i]);
        return;
    }
    file = fopen(files->paths[i], "w");
    for (const char *c = text; file != NULL && *c != '\0'; c++) {
        fputc(*c == '\'' ? '"' : *c, file);
    }
    if (file != NULL) {
        fclose(file);
    }
}

void registry_files_close(registry_files_t *files)
{
    for (int i = 0; i < 6; i++) {
        unlink(files->paths[i]);
    }
    rmdir(files->folder);
}

static size_t hex(char *out, const uint8_t *in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        snprintf(out + 2 * i, 3, "%02x", in[i]);
    }
    return 2 * n;
}

test_key_t test_key_make(void)
{
    test_key_t k;
    char salt[2 * WEIR_KEY_SALT_LEN + 1];
    char hash[2 * WEIR_KEY_HASH_LEN + 1];
    weir_error_t err;

    memset(&k, 0, sizeof(k));
    if (weir_key_generate(k.key, k.salt, k.hash, &err) != WEIR_OK) {
        abort();
    }
    memcpy(k.id, k.key + 3, WEIR_KEY_ID_LEN);
    hex(salt, k.salt, sizeof(k.salt));
    hex(hash, k.hash, sizeof(k.hash));
    snprintf(k.members, sizeof(k.members), "'id':'%s','salt':'%s','hash':'%s'", k.id, salt, hash);
    return k;
}

/* A tenants document, opened for change and replaced in one step. */
#include "policies/tools/weir_document.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "policies/registry.h"
#include "policies/tenants.h"
#include "policies/tools/weir_tool.h"

void weir_tool_document_close(weir_tool_document_t *doc)
{
    json_decref(doc->root);
    if (doc->folder >= 0) {
        close(doc->folder);
    }
}

static int open_folder(const char *path)
{
    char copy[PATH_MAX];

    snprintf(copy, sizeof(copy), "%s", path);
    return open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The document's path without symbolic links; one that is not there yet as it was given. */
static bool resolve_path(const char *path, char out[PATH_MAX])
{
    if (realpath(path, out) != NULL) {
        return true;
    }
    if (errno != ENOENT) {
        return false;
    }
    if (snprintf(out, PATH_MAX, "%s", path) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return false;
    }
    return true;
}

int weir_tool_document_open(weir_tool_document_t *doc, const char *path, bool may_create)
{
    weir_arena_t arena;
    weir_tenants_t *tenants;
    weir_error_t err;
    struct stat st;
    weir_status_t rc;

    *doc = (weir_tool_document_t){.folder = -1, .mode = 0600};
    if (!resolve_path(path, doc->path)) {
        return weir_tool_fail(WEIR_EXIT_FAILED, "%s: %s", path, strerror(errno));
    }
    doc->folder = open_folder(doc->path);
    if (doc->folder < 0 || flock(doc->folder, LOCK_EX) != 0) {
        return weir_tool_fail(WEIR_EXIT_FAILED, "%s: its folder: %s", path, strerror(errno));
    }
    if (may_create && stat(doc->path, &st) != 0 && errno == ENOENT) {
        doc->root = json_pack("{s:i,s:[]}", "version", 1, "tenants");
        return doc->root != NULL ? WEIR_EXIT_OK : weir_tool_fail(WEIR_EXIT_FAILED, "out of memory");
    }
    weir_arena_init(&arena, 0, 0);
    rc = weir_tenants_load(doc->path, &arena, &tenants, &err);
    weir_arena_free(&arena);
    if (rc != WEIR_OK) {
        return weir_tool_fail(WEIR_EXIT_FAILED, "%s", err.message);
    }
    doc->root = json_load_file(doc->path, JSON_REJECT_DUPLICATES, NULL);
    if (doc->root == NULL || stat(doc->path, &st) != 0) {
        return weir_tool_fail(WEIR_EXIT_FAILED, "%s: cannot be read", path);
    }
    doc->exists = true;
    doc->mode = st.st_mode & 07777;
    doc->owner = st.st_uid;
    doc->group = st.st_gid;
    return WEIR_EXIT_OK;
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* Gives the new file the old one's owner and mode, or fails: who could read the document still
 * can, and nobody else. */
static bool keep_access(const weir_tool_document_t *doc, int fd)
{
    struct stat st;
    bool same =
        !doc->exists || (fstat(fd, &st) == 0 && st.st_uid == doc->owner && st.st_gid == doc->group);
    return (same || fchown(fd, doc->owner, doc->group) == 0) && fchmod(fd, doc->mode) == 0;
}

/* The document in a file beside the old one, synced; false with errno set, and no file left. */
static bool write_beside(const weir_tool_document_t *doc, char temp[PATH_MAX])
{
    char *text = json_dumps(doc->root, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    bool good = false;

    if (text == NULL || snprintf(temp, PATH_MAX, "%s.XXXXXX", doc->path) >= PATH_MAX) {
        errno = text == NULL ? ENOMEM : ENAMETOOLONG;
        free(text);
        return false;
    }
    int fd = mkstemp(temp);
    if (fd >= 0) {
        good = keep_access(doc, fd) && write_all(fd, text, strlen(text)) &&
               write_all(fd, "\n", 1) && fsync(fd) == 0;
        int why = errno;
        close(fd);
        if (!good) {
            unlink(temp);
        }
        errno = why;
    }
    free(text);
    return good;
}

int weir_tool_document_save(const weir_tool_document_t *doc)
{
    char temp[PATH_MAX];

    if (write_beside(doc, temp)) {
        if (rename(temp, doc->path) == 0 && fsync(doc->folder) == 0) {
            return WEIR_EXIT_OK;
        }
        int why = errno;
        unlink(temp);
        errno = why;
    }
    return weir_tool_fail(WEIR_EXIT_FAILED, "%s: cannot be written: %s", doc->path,
                          strerror(errno));
}

int weir_tool_document_check_policies(const weir_tool_document_t *doc, const char *policies)
{
    char temp[PATH_MAX];
    weir_registry_t *registry = NULL;
    weir_error_t err;

    if (!write_beside(doc, temp)) {
        return weir_tool_fail(WEIR_EXIT_FAILED, "%s: cannot be written: %s", doc->path,
                              strerror(errno));
    }
    const weir_registry_paths_t paths = {.tenants = temp, .policies = policies};
    weir_status_t rc = weir_registry_load(&paths, (int64_t)time(NULL), &registry, &err);
    unlink(temp);
    weir_registry_unref(registry);
    return rc == WEIR_OK ? WEIR_EXIT_OK
                         : weir_tool_fail(WEIR_EXIT_FAILED, "nothing was changed: %s", err.message);
}

int weir_tool_document_check(const weir_tool_document_t *doc)
{
    weir_arena_t arena;
    weir_tenants_t *tenants;
    weir_error_t err;
    weir_status_t rc;
    char *text = json_dumps(doc->root, JSON_INDENT(2) | JSON_PRESERVE_ORDER);

    if (text == NULL) {
        return weir_tool_fail(WEIR_EXIT_FAILED, "out of memory");
    }
    weir_arena_init(&arena, 0, 0);
    rc = weir_tenants_parse(text, strlen(text), doc->path, &arena, &tenants, &err);
    weir_arena_free(&arena);
    free(text);
    return rc == WEIR_OK ? WEIR_EXIT_OK : weir_tool_fail(WEIR_EXIT_FAILED, "%s", err.message);
}

json_t *weir_tool_find(json_t *array, const char *id, size_t *index)
{
    size_t i;
    json_t *item;

    json_array_foreach(array, i, item)
    {
        const char *text = json_string_value(json_object_get(item, "id"));
        if (text != NULL && strcmp(text, id) == 0) {
            *index = i;
            return item;
        }
    }
    return NULL;
}

/* In the keys of the object itself, or of its users. */
static json_t *find_below(json_t *object, const char *id, json_t **keys, size_t *index)
{
    json_t *key;
    json_t *user;
    size_t i;

    *keys = json_object_get(object, "keys");
    key = weir_tool_find(*keys, id, index);
    if (key != NULL) {
        return key;
    }
    json_array_foreach(json_object_get(object, "users"), i, user)
    {
        *keys = json_object_get(user, "keys");
        key = weir_tool_find(*keys, id, index);
        if (key != NULL) {
            return key;
        }
    }
    return NULL;
}

json_t *weir_tool_find_key(json_t *root, const char *id, json_t **keys, size_t *index)
{
    json_t *tenant;
    json_t *team;
    size_t i;
    size_t k;

    json_array_foreach(json_object_get(root, "tenants"), i, tenant)
    {
        json_t *key = find_below(tenant, id, keys, index);
        if (key != NULL) {
            return key;
        }
        json_array_foreach(json_object_get(tenant, "teams"), k, team)
        {
            key = find_below(team, id, keys, index);
            if (key != NULL) {
                return key;
            }
        }
    }
    return NULL;
}

/* A tenants document, opened for change and replaced in one step. */
#ifndef WEIR_POLICIES_TOOLS_WEIR_DOCUMENT_H
#define WEIR_POLICIES_TOOLS_WEIR_DOCUMENT_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

/* The document open for change: an exclusive lock on its folder makes concurrent runs wait, since
 * a lock on the file itself would not survive the rename. */
typedef struct {
    char path[PATH_MAX]; /* behind symbolic links, which the rename would else replace */
    int folder;
    json_t *root;
    mode_t mode;
    bool exists;
    uid_t owner;
    gid_t group;
} weir_tool_document_t;

/* All but close give an exit status, after a message when it is not 0. close may follow a failed
 * open. */
int weir_tool_document_open(weir_tool_document_t *doc, const char *path, bool may_create);
void weir_tool_document_close(weir_tool_document_t *doc);

/* Proves the changed document before it replaces the old one, so that a bad tenant id or label
 * can never lock the gateway out of its next reload. */
int weir_tool_document_check(const weir_tool_document_t *doc);

/* The same together with a policies document, whose names and locked fields count. */
int weir_tool_document_check_policies(const weir_tool_document_t *doc, const char *policies);

/* Replaces the file in one step: a reader, a crash or a full disk never sees half a document. */
int weir_tool_document_save(const weir_tool_document_t *doc);

/* The entry of an array with that id; NULL when there is none. */
json_t *weir_tool_find(json_t *array, const char *id, size_t *index);

/* The key with that id wherever it stands, with its array and place there; NULL when missing. */
json_t *weir_tool_find_key(json_t *root, const char *id, json_t **keys, size_t *index);

#endif

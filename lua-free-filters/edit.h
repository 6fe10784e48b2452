/*
 * Edits of a text by splices: what is not spliced stays byte for byte as it was.
 */
#ifndef WEIR_FILTERS_EDIT_H
#define WEIR_FILTERS_EDIT_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/json.h"

/* Replace text[start..end) by `with`; start == end inserts. Insertions at one place apply in the
 * order they were made, in front of a range that starts there. */
typedef struct {
    size_t start;
    size_t end;
    weir_str_t with;
} weir_splice_t;

typedef struct {
    weir_arena_t *arena;
    weir_splice_t *items; /* by start */
    uint32_t count;
    uint32_t cap;
    int64_t growth; /* new length - old length */
} weir_edit_t;

/* No splices yet; takes no memory. */
void weir_edit_init(weir_edit_t *edit, weir_arena_t *arena);

/*
 * Adds a splice of a text of text_len bytes. The bytes of `with` are not copied and must outlive
 * the edit. Errors: INVALID when start > end, end > text_len, or the range overlaps the range of an
 * earlier splice (two hands in one value); NOMEM. A failed call changes nothing.
 */
weir_status_t weir_edit_splice(weir_edit_t *edit, size_t text_len, size_t start, size_t end,
                               weir_str_t with, weir_error_t *err);

/* Replaces a node's value by raw JSON. */
weir_status_t weir_edit_value(weir_edit_t *edit, const weir_json_doc_t *doc, uint32_t node,
                              weir_str_t json, weir_error_t *err);

/* Replaces a node's value by a string, which is escaped and copied into the arena. */
weir_status_t weir_edit_string(weir_edit_t *edit, const weir_json_doc_t *doc, uint32_t node,
                               weir_str_t value, weir_error_t *err);

/*
 * Puts a member "name":json in front of the first member of an object node. The name is plain
 * ASCII without quotes; that the object does not have it already is the caller's affair.
 */
weir_status_t weir_edit_member(weir_edit_t *edit, const weir_json_doc_t *doc, uint32_t object,
                               const char *name, weir_str_t json, weir_error_t *err);

/* Takes member `key_node` (the key's node) with its value and one comma out of its object. */
weir_status_t weir_edit_remove(weir_edit_t *edit, const weir_json_doc_t *doc, uint32_t object,
                               uint32_t key_node, weir_error_t *err);

/* Length of the text after all splices. */
size_t weir_edit_length(const weir_edit_t *edit, size_t text_len);

/* Writes the edited text: exactly weir_edit_length() bytes into out. */
void weir_edit_apply(const weir_edit_t *edit, const char *text, size_t text_len, char *out);

#endif

#include "lua-free-filters/edit.h"

#define FIRST_CAP 8u

void weir_edit_init(weir_edit_t *edit, weir_arena_t *arena)
{
    *edit = (weir_edit_t){.arena = arena};
}

/* Where a splice with this start goes: behind all with the same or a smaller start. */
static uint32_t place(const weir_edit_t *edit, size_t start)
{
    uint32_t low = 0;
    uint32_t high = edit->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (edit->items[mid].start <= start) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/*
 * Two ranges overlap when they share a byte, or when one inserts strictly inside the other. An
 * insertion at either border of a range is fine: it goes in front of it, or behind.
 */
static bool fits(const weir_edit_t *edit, uint32_t at, size_t start, size_t end)
{
    for (uint32_t i = at; i > 0; i--) {
        const weir_splice_t *before = &edit->items[i - 1];
        if (before->end > start && (before->start < start || end > start)) {
            return false;
        }
        if (before->start < before->end) {
            break; /* those further in front end before this one starts */
        }
    }
    return at == edit->count || edit->items[at].start >= end;
}

static bool grow(weir_edit_t *edit)
{
    if (edit->count < edit->cap) {
        return true;
    }
    if (edit->cap > UINT32_MAX / 2) {
        return false;
    }
    uint32_t cap = edit->cap == 0 ? FIRST_CAP : edit->cap * 2;
    weir_splice_t *items = weir_arena_alloc(edit->arena, cap * sizeof(*items));
    if (items == NULL) {
        return false;
    }
    if (edit->count > 0) {
        memcpy(items, edit->items, edit->count * sizeof(*items));
    }
    edit->items = items;
    edit->cap = cap;
    return true;
}

weir_status_t weir_edit_splice(weir_edit_t *edit, size_t text_len, size_t start, size_t end,
                               weir_str_t with, weir_error_t *err)
{
    if (start > end || end > text_len) {
        return weir_error(err, WEIR_ERR_INVALID, "an edit of bytes %zu to %zu of %zu", start, end,
                          text_len);
    }
    uint32_t at = place(edit, start);
    /* An insertion goes in front of a range that starts where it does. */
    while (start == end && at > 0 && edit->items[at - 1].start == start &&
           edit->items[at - 1].end > start) {
        at--;
    }
    if (!fits(edit, at, start, end)) {
        return weir_error(err, WEIR_ERR_INVALID, "two edits of the bytes %zu to %zu", start, end);
    }
    if (!grow(edit)) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    memmove(edit->items + at + 1, edit->items + at, (edit->count - at) * sizeof(*edit->items));
    edit->items[at] = (weir_splice_t){.start = start, .end = end, .with = with};
    edit->count++;
    edit->growth += (int64_t)with.len - (int64_t)(end - start);
    return WEIR_OK;
}

weir_status_t weir_edit_value(weir_edit_t *edit, const weir_json_doc_t *doc, uint32_t node,
                              weir_str_t json, weir_error_t *err)
{
    return weir_edit_splice(edit, doc->len, doc->nodes[node].start, doc->nodes[node].end, json,
                            err);
}

weir_status_t weir_edit_string(weir_edit_t *edit, const weir_json_doc_t *doc, uint32_t node,
                               weir_str_t value, weir_error_t *err)
{
    weir_buf_t buf;
    weir_buf_init(&buf, edit->arena);
    weir_json_write_string(&buf, value);
    if (buf.failed) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    return weir_edit_value(edit, doc, node, weir_str(buf.data, buf.len), err);
}

weir_status_t weir_edit_member(weir_edit_t *edit, const weir_json_doc_t *doc, uint32_t object,
                               const char *name, weir_str_t json, weir_error_t *err)
{
    const weir_json_node_t *node = &doc->nodes[object];
    if (node->type != WEIR_JSON_OBJECT) {
        return weir_error(err, WEIR_ERR_INVALID, "a member can be added to an object only");
    }
    weir_buf_t buf;
    weir_buf_init(&buf, edit->arena);
    weir_buf_append_char(&buf, '"');
    weir_buf_append_z(&buf, name);
    weir_buf_append_z(&buf, "\":");
    weir_buf_append_str(&buf, json);
    /* Every insertion into an object that has members, or gets one before, ends in a comma. */
    bool more = node->size > 0;
    for (uint32_t i = 0; i < edit->count && !more; i++) {
        more = edit->items[i].start == node->start + 1u;
    }
    if (more) {
        weir_buf_append_char(&buf, ',');
    }
    if (buf.failed) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    size_t at = node->start + 1u;
    weir_status_t rc = weir_edit_splice(edit, doc->len, at, at, weir_str(buf.data, buf.len), err);
    if (rc != WEIR_OK || node->size > 0 || !more) {
        return rc;
    }
    /* The first one of an empty object stays last, because it has no comma. */
    weir_splice_t *items = edit->items;
    for (uint32_t i = edit->count - 1; i > 0; i--) {
        if (items[i].start == at && items[i - 1].start == at && items[i].with.data == buf.data) {
            weir_splice_t t = items[i];
            items[i] = items[i - 1];
            items[i - 1] = t;
        }
    }
    return WEIR_OK;
}

weir_status_t weir_edit_remove(weir_edit_t *edit, const weir_json_doc_t *doc, uint32_t object,
                               uint32_t key_node, weir_error_t *err)
{
    const weir_json_node_t *node = &doc->nodes[object];
    uint32_t key = object + 1;
    uint32_t previous = WEIR_JSON_NONE;
    uint32_t i = 0;
    for (; i < node->size && key != key_node; i++) {
        previous = key;
        key = doc->nodes[key + 1].next;
    }
    if (node->type != WEIR_JSON_OBJECT || i == node->size) {
        return weir_error(err, WEIR_ERR_INVALID, "no such member");
    }
    size_t start = doc->nodes[key].start;
    size_t end = doc->nodes[key + 1].end;
    uint32_t next = doc->nodes[key + 1].next;
    if (next != node->next) {
        end = doc->nodes[next].start;
    } else if (previous != WEIR_JSON_NONE) {
        start = doc->nodes[previous + 1].end;
    }
    return weir_edit_splice(edit, doc->len, start, end, weir_str(NULL, 0), err);
}

size_t weir_edit_length(const weir_edit_t *edit, size_t text_len)
{
    return (size_t)((int64_t)text_len + edit->growth);
}

static char *put(char *out, const char *data, size_t len)
{
    if (len > 0) {
        memcpy(out, data, len);
    }
    return out + len;
}

void weir_edit_apply(const weir_edit_t *edit, const char *text, size_t text_len, char *out)
{
    size_t at = 0;
    for (uint32_t i = 0; i < edit->count; i++) {
        const weir_splice_t *s = &edit->items[i];
        out = put(out, text + at, s->start - at);
        out = put(out, s->with.data, s->with.len);
        at = s->end;
    }
    put(out, text + at, text_len - at);
}

/* A request line, its headers and its body, as a client may send them. The first byte holds flags;
 * then come method, path, content type, encoding and body, separated by line ends. */
#include "lua-free-filters/edit.h"
#include "lua-free-filters/request.h"

#include <stdlib.h>

static weir_str_t line(const char **p, const char *end)
{
    const char *start = *p;
    const char *stop = start == end ? NULL : memchr(start, '\n', (size_t)(end - start));
    *p = stop == NULL ? end : stop + 1;
    return weir_str(start, (size_t)((stop == NULL ? end : stop) - start));
}

/* Whatever is edited in one way stays JSON, and all else stays where it was. */
static void edit(const weir_request_view_t *view, weir_arena_t *arena)
{
    const weir_json_doc_t *doc = view->doc;
    weir_json_doc_t again;
    weir_edit_t edits;
    weir_edit_init(&edits, arena);
    bool fresh = weir_json_get(doc, 0, "fuzz_member") == WEIR_JSON_NONE;
    if (view->model_node != WEIR_JSON_NONE) {
        weir_edit_string(&edits, doc, view->model_node, WEIR_STR("other\"model"), NULL);
    }
    if (view->max_tokens_node != WEIR_JSON_NONE) {
        weir_edit_value(&edits, doc, view->max_tokens_node, WEIR_STR("1"), NULL);
    }
    if (fresh) {
        weir_edit_member(&edits, doc, 0, "fuzz_member", WEIR_STR("{}"), NULL);
    }
    size_t len = weir_edit_length(&edits, doc->len);
    char *out = weir_arena_alloc(arena, len);
    if (out == NULL) {
        return;
    }
    weir_edit_apply(&edits, doc->text, doc->len, out);
    if (weir_json_parse(out, len, NULL, arena, &again, NULL) != WEIR_OK) {
        abort();
    }
    if (again.nodes[0].size != doc->nodes[0].size + fresh) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data + (size > 0);
    const char *end = (const char *)data + size;
    uint8_t flags = size > 0 ? data[0] : 0;
    char room[512];
    weir_endpoint_request_t request = {.anthropic_version = (flags & 1) != 0,
                                       .upgrade = (flags & 2) != 0,
                                       .has_body = (flags & 4) != 0,
                                       .prefix =
                                           (flags & 8) != 0 ? WEIR_STR("/llm") : WEIR_STR("")};
    weir_endpoint_info_t info;
    request.method = line(&p, end);
    request.path = line(&p, end);
    request.content_type = line(&p, end);
    request.content_encoding = line(&p, end);
    weir_endpoint_classify(&request, room, sizeof(room), &info);
    if (info.why == WEIR_UNDERSTOOD &&
        (request.path.len == 0 || memchr(request.path.data, '\\', request.path.len) != NULL) &&
        memchr(request.path.data, '?', request.path.len) == NULL) {
        abort();
    }

    weir_arena_t arena;
    weir_json_doc_t doc;
    weir_request_view_t view = {0};
    weir_error_t err;
    weir_arena_init(&arena, 0, 64u << 20);
    if (p < end && weir_json_parse(p, (size_t)(end - p), NULL, &arena, &doc, &err) == WEIR_OK) {
        weir_endpoint_t endpoint = (weir_endpoint_t)(flags % WEIR_ENDPOINTS);
        if (weir_request_read(endpoint, &doc, &arena, &view, &err) == WEIR_OK) {
            edit(&view, &arena);
        }
    }
    weir_arena_free(&arena);
    return 0;
}

#include "lua-free-filters/usage_tap.h"

#include "engine/base/json.h"
#include "lua-free-filters/sse_parser.h"
#include "lua-free-filters/usage_reader.h"

#define DEFAULT_MAX_EVENT ((size_t)4 << 20)
#define FIRST_NODES       256

struct weir_usage_tap {
    weir_arena_t *arena;
    weir_tap_kind_t kind;
    weir_usage_reader_t *reader;
    weir_tap_result_t result;
    weir_sse_parser_t sse;
    weir_json_node_t *nodes; /* reused for every event */
    uint32_t n_nodes;
};

/* Scans with the reused node array, grown when a document needs more. */
static weir_status_t scan(weir_usage_tap_t *tap, weir_str_t text, weir_json_doc_t *doc)
{
    static const weir_json_limits_t limits = {.max_depth = 64, .allow_duplicate_keys = true};
    for (;;) {
        weir_error_t err = {0};
        if (tap->nodes != NULL) {
            weir_status_t rc =
                weir_json_scan(text.data, text.len, &limits, tap->nodes, tap->n_nodes, doc, &err);
            if (rc != WEIR_ERR_LIMIT || strcmp(err.field, "nodes") != 0) {
                return rc;
            }
        }
        size_t want = tap->nodes == NULL ? FIRST_NODES : (size_t)tap->n_nodes * 4;
        weir_json_node_t *nodes = weir_arena_alloc(tap->arena, want * sizeof(*nodes));
        if (nodes == NULL) {
            return WEIR_ERR_NOMEM;
        }
        tap->nodes = nodes;
        tap->n_nodes = (uint32_t)want;
    }
}

static weir_status_t on_event(void *ctx, const weir_sse_event_t *event)
{
    weir_usage_tap_t *tap = ctx;
    weir_json_doc_t doc;
    weir_members_t members;
    weir_status_t rc;

    if (event->kind == WEIR_SSE_OVERSIZED) {
        tap->reader->usage.skipped++;
    }
    if (event->kind != WEIR_SSE_EVENT) {
        return WEIR_OK;
    }
    if (weir_str_is(event->data, "[DONE]")) {
        tap->reader->usage.done = true;
        return WEIR_OK;
    }
    rc = scan(tap, event->data, &doc);
    if (rc == WEIR_ERR_NOMEM) {
        return rc;
    }
    if (rc != WEIR_OK) {
        return weir_usage_read_event(tap->reader, NULL, NULL);
    }
    weir_members_find(&doc, 0, &members);
    return weir_usage_read_event(tap->reader, &doc, &members);
}

weir_status_t weir_usage_tap_open(weir_arena_t *arena, weir_tap_kind_t kind, size_t max_event,
                                  weir_usage_tap_t **out)
{
    weir_usage_tap_t *tap = weir_arena_calloc(arena, 1, sizeof(*tap));

    if (tap == NULL || weir_usage_open(arena, &tap->reader) != WEIR_OK) {
        return WEIR_ERR_NOMEM;
    }
    tap->arena = arena;
    tap->kind = kind;
    weir_sse_parser_init(&tap->sse, arena, max_event == 0 ? DEFAULT_MAX_EVENT : max_event, on_event,
                         tap);
    *out = tap;
    return WEIR_OK;
}

static weir_status_t publish(weir_usage_tap_t *tap, weir_status_t rc)
{
    const weir_usage_t *u = &tap->reader->usage;

    tap->result = (weir_tap_result_t){
        .has_usage = u->has_usage,
        .prompt_tokens = u->tokens.prompt_tokens,
        .cached_tokens = u->tokens.cached_tokens,
        .completion_tokens = u->tokens.completion_tokens,
        .content_deltas = u->content_deltas,
        .model = u->model,
        .first_content = u->first_content,
        .done = u->done,
        .error = u->error,
        .skipped = u->skipped,
    };
    return rc;
}

weir_status_t weir_usage_tap_feed(weir_usage_tap_t *tap, const char *data, size_t len)
{
    return publish(tap, tap->kind == WEIR_TAP_SSE
                            ? weir_sse_parser_feed(&tap->sse, data, len)
                            : weir_usage_document_feed(tap->reader, data, len));
}

weir_status_t weir_usage_tap_finish(weir_usage_tap_t *tap)
{
    if (tap->kind == WEIR_TAP_SSE) {
        return publish(tap, weir_sse_parser_finish(&tap->sse));
    }
    return publish(tap,
                   tap->reader->document.root ? weir_usage_document_end(tap->reader) : WEIR_OK);
}

const weir_tap_result_t *weir_usage_tap_result(const weir_usage_tap_t *tap)
{
    return &tap->result;
}

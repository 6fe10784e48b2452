#include "lua-free-filters/usage_tap.h"

#include "engine/base/json.h"
#include "lua-free-filters/sse_parser.h"

#define DEFAULT_MAX_EVENT ((size_t)4 << 20)
#define FIRST_NODES       256
#define MAX_MODEL         256

struct weir_usage_tap {
    weir_arena_t *arena;
    weir_tap_kind_t kind;
    size_t max_event;
    weir_tap_result_t result;
    weir_sse_parser_t sse;
    weir_buf_t body; /* WEIR_TAP_JSON: the document so far */
    bool oversized;
    weir_json_node_t *nodes; /* reused for every event */
    uint32_t n_nodes;
    weir_status_t status;
};

static bool read_count(const weir_json_doc_t *doc, uint32_t object, const char *name, uint64_t *out)
{
    int64_t value;
    uint32_t node = weir_json_get(doc, object, name);
    if (node == WEIR_JSON_NONE || !weir_json_int64(doc, node, &value) || value < 0) {
        return false;
    }
    *out = (uint64_t)value;
    return true;
}

static void read_usage(weir_usage_tap_t *tap, const weir_json_doc_t *doc)
{
    uint32_t usage = weir_json_get(doc, 0, "usage");
    uint32_t details;

    if (usage == WEIR_JSON_NONE || weir_json_type(doc, usage) != WEIR_JSON_OBJECT) {
        return;
    }
    bool prompt = read_count(doc, usage, "prompt_tokens", &tap->result.prompt_tokens);
    bool completion = read_count(doc, usage, "completion_tokens", &tap->result.completion_tokens);
    tap->result.has_usage = tap->result.has_usage || prompt || completion;
    details = weir_json_get(doc, usage, "prompt_tokens_details");
    if (details != WEIR_JSON_NONE) {
        read_count(doc, details, "cached_tokens", &tap->result.cached_tokens);
    }
}

static void read_model(weir_usage_tap_t *tap, const weir_json_doc_t *doc)
{
    weir_str_t model;
    uint32_t node = weir_json_get(doc, 0, "model");

    if (tap->result.model.len > 0 || node == WEIR_JSON_NONE ||
        weir_json_type(doc, node) != WEIR_JSON_STRING) {
        return;
    }
    /* The raw form bounds the unescaped one, so nothing large is copied; an empty name, which some
     * servers repeat in each event, is none. */
    size_t len = weir_json_raw(doc, node).len;
    if (len > MAX_MODEL || len <= 2) {
        return;
    }
    if (weir_json_string(doc, node, tap->arena, &model) != WEIR_OK) {
        tap->status = WEIR_ERR_NOMEM;
        return;
    }
    tap->result.model.data = weir_arena_strndup(tap->arena, model.data, model.len);
    if (tap->result.model.data == NULL) {
        tap->status = WEIR_ERR_NOMEM;
        return;
    }
    tap->result.model.len = model.len;
}

static bool is_text(const weir_json_doc_t *doc, uint32_t object, const char *name, bool or_empty)
{
    uint32_t node = weir_json_get(doc, object, name);
    if (node == WEIR_JSON_NONE || weir_json_type(doc, node) != WEIR_JSON_STRING) {
        return false;
    }
    return or_empty || weir_json_raw(doc, node).len > 2;
}

/*
 * Whether a streamed choice carries a piece of the answer. An empty string counts (a token whose
 * characters are not complete yet) unless it merely accompanies the role or the finish reason.
 */
static bool carries_content(const weir_json_doc_t *doc, uint32_t choice)
{
    uint32_t delta = weir_json_get(doc, choice, "delta");
    uint32_t finish = weir_json_get(doc, choice, "finish_reason");
    bool or_empty = finish == WEIR_JSON_NONE || weir_json_type(doc, finish) == WEIR_JSON_NULL;

    if (delta == WEIR_JSON_NONE) {
        return is_text(doc, choice, "text", or_empty);
    }
    if (weir_json_get(doc, delta, "role") != WEIR_JSON_NONE) {
        or_empty = false;
    }
    uint32_t calls = weir_json_get(doc, delta, "tool_calls");
    return is_text(doc, delta, "content", or_empty) || is_text(doc, delta, "reasoning", or_empty) ||
           is_text(doc, delta, "reasoning_content", or_empty) ||
           is_text(doc, delta, "refusal", or_empty) ||
           (calls != WEIR_JSON_NONE && doc->nodes[calls].size > 0);
}

static void read_choices(weir_usage_tap_t *tap, const weir_json_doc_t *doc)
{
    uint32_t choices = weir_json_get(doc, 0, "choices");
    uint32_t left;

    if (choices == WEIR_JSON_NONE || weir_json_type(doc, choices) != WEIR_JSON_ARRAY) {
        return;
    }
    left = doc->nodes[choices].size;
    for (uint32_t node = choices + 1; left > 0; left--, node = doc->nodes[node].next) {
        if (tap->kind == WEIR_TAP_JSON) {
            tap->result.first_content = true;
        } else if (carries_content(doc, node)) {
            tap->result.content_deltas++;
            tap->result.first_content = true;
        }
    }
}

/* Scans with the reused node array, grown when a document needs more. */
static bool scan(weir_usage_tap_t *tap, weir_str_t text, weir_json_doc_t *doc)
{
    static const weir_json_limits_t limits = {.max_depth = 64, .allow_duplicate_keys = true};
    for (;;) {
        weir_error_t err = {0};
        if (tap->nodes != NULL) {
            weir_status_t rc =
                weir_json_scan(text.data, text.len, &limits, tap->nodes, tap->n_nodes, doc, &err);
            if (rc == WEIR_OK) {
                return true;
            }
            if (rc != WEIR_ERR_LIMIT || strcmp(err.field, "nodes") != 0) {
                return false;
            }
        }
        size_t want = tap->nodes == NULL ? FIRST_NODES : (size_t)tap->n_nodes * 4;
        weir_json_node_t *nodes = weir_arena_alloc(tap->arena, want * sizeof(*nodes));
        if (nodes == NULL) {
            tap->status = WEIR_ERR_NOMEM;
            return false;
        }
        tap->nodes = nodes;
        tap->n_nodes = (uint32_t)want;
    }
}

static void read_document(weir_usage_tap_t *tap, weir_str_t text)
{
    weir_json_doc_t doc;

    if (!scan(tap, text, &doc) || weir_json_type(&doc, 0) != WEIR_JSON_OBJECT) {
        tap->result.skipped++;
        return;
    }
    uint32_t error = weir_json_get(&doc, 0, "error");
    if (error != WEIR_JSON_NONE && weir_json_type(&doc, error) != WEIR_JSON_NULL) {
        tap->result.error = true;
    }
    read_model(tap, &doc);
    read_usage(tap, &doc);
    read_choices(tap, &doc);
}

static void on_event(void *ctx, const weir_sse_event_t *event)
{
    weir_usage_tap_t *tap = ctx;

    if (event->oversized) {
        tap->result.skipped++;
    } else if (weir_str_is(event->data, "[DONE]")) {
        tap->result.done = true;
    } else {
        read_document(tap, event->data);
    }
}

weir_status_t weir_usage_tap_open(weir_arena_t *arena, weir_tap_kind_t kind, size_t max_event,
                                  weir_usage_tap_t **out)
{
    weir_usage_tap_t *tap = weir_arena_calloc(arena, 1, sizeof(*tap));

    if (tap == NULL) {
        return WEIR_ERR_NOMEM;
    }
    tap->arena = arena;
    tap->kind = kind;
    tap->max_event = max_event == 0 ? DEFAULT_MAX_EVENT : max_event;
    weir_sse_parser_init(&tap->sse, arena, tap->max_event, on_event, tap);
    weir_buf_init(&tap->body, arena);
    *out = tap;
    return WEIR_OK;
}

weir_status_t weir_usage_tap_feed(weir_usage_tap_t *tap, const char *data, size_t len)
{
    if (tap->kind == WEIR_TAP_SSE) {
        weir_status_t rc = weir_sse_parser_feed(&tap->sse, data, len);
        return rc == WEIR_OK ? tap->status : rc;
    }
    if (tap->oversized || len > tap->max_event - tap->body.len) {
        tap->oversized = true;
        return WEIR_OK;
    }
    weir_buf_append(&tap->body, data, len);
    return tap->body.failed ? WEIR_ERR_NOMEM : WEIR_OK;
}

weir_status_t weir_usage_tap_finish(weir_usage_tap_t *tap)
{
    if (tap->kind == WEIR_TAP_SSE) {
        weir_status_t rc = weir_sse_parser_finish(&tap->sse);
        return rc == WEIR_OK ? tap->status : rc;
    }
    if (tap->result.done) {
        return tap->status;
    }
    tap->result.done = true;
    if (tap->oversized) {
        tap->result.skipped++;
    } else if (tap->body.len > 0) {
        read_document(tap, weir_str(tap->body.data, tap->body.len));
    }
    return tap->status;
}

const weir_tap_result_t *weir_usage_tap_result(const weir_usage_tap_t *tap)
{
    return &tap->result;
}

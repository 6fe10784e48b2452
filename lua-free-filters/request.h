/*
 * What a request asks for: a view of its scanned body, for every call in endpoint.h that has one.
 * Values are read; node indices say where they stand, so that an edit (edit.h) can splice them.
 */
#ifndef WEIR_FILTERS_REQUEST_H
#define WEIR_FILTERS_REQUEST_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/json.h"
#include "lua-free-filters/endpoint.h"

/*
 * Nodes are WEIR_JSON_NONE, numbers -1, when the member is absent or null ("null means absent").
 * doc and the text behind it must outlive the view.
 */
typedef struct {
    weir_endpoint_t endpoint;
    const weir_json_doc_t *doc; /* node 0 is an object */

    weir_str_t model; /* unescaped */
    uint32_t model_node;

    bool stream;
    uint32_t stream_node;
    uint32_t stream_options_node;
    uint32_t include_usage_node; /* the value in stream_options */
    bool include_usage;          /* asked for by the client */

    int64_t max_tokens;        /* of one answer; where two members give it, the larger */
    uint32_t max_tokens_node;  /* max_completion_tokens, max_tokens, max_output_tokens, ... */
    uint32_t max_tokens_node2; /* the other one of chat, when both are there */
    uint32_t no_limit_node;    /* n_predict below 0: "no limit", to servers that know it */
    int64_t n;                 /* answers asked for: n, or best_of where larger; 1 when absent */
    uint32_t n_node;
    uint32_t best_of_node;

    uint32_t input_node;     /* messages, input, prompt, documents: what goes into the model */
    uint32_t system_node;    /* system (messages), instructions (responses) */
    uint32_t query_node;     /* rerank, score */
    uint32_t inputs;         /* elements of input_node when it is an array of anything but numbers
                                (token ids), else 1; 0 without one */
    uint32_t tools_node;     /* the array, when it is not empty */
    uint32_t functions_node; /* the older name for tools of chat: the array, when not empty */
    uint32_t mcp_node;       /* mcp_servers, when not empty: tools that the request does not list */
    uint32_t tool_choice_node;
    uint32_t response_format_node;
    uint32_t user_node;     /* user, safety_identifier, metadata.user_id */
    uint32_t previous_node; /* previous_response_id, conversation: the text is not in the body */
    bool background;        /* responses: answered later */
    bool store;

    /* bytes of all strings that go into the model (input, system, query, tools; keys, and images
     * in base64, included), as they stand */
    uint64_t text_bytes;
    uint32_t token_ids; /* numbers there: an input may be given as token ids */
    uint32_t images;    /* content parts that are images, audio or files */
} weir_request_view_t;

/*
 * Reads the view. Strings with escapes are unescaped into arena. A call without a model is no error
 * here: whoever restricts models refuses it. Errors, with field and code for the caller: INVALID
 * when the body is no object, or a member read here has another type than the API says (model no
 * string or empty, stream a string, n not a positive integer, ...): upstreams differ in what they
 * make of it, so it is not passed on; or a member has the name of one that is read here but for its
 * case, because some servers do not mind that. NOMEM.
 */
weir_status_t weir_request_read(weir_endpoint_t endpoint, const weir_json_doc_t *doc,
                                weir_arena_t *arena, weir_request_view_t *view, weir_error_t *err);

/*
 * Whether an object has a member that is one of the known names (lower case, NULL-terminated) but
 * for its case: decoders that do not mind the case may take it for that one. Also when out of
 * memory. object: an object's node.
 */
bool weir_request_alias(const weir_json_doc_t *doc, uint32_t object, const char *const *known,
                        weir_arena_t *arena);

#endif

/*
 * A client that speaks one API is served by an upstream that speaks another:
 *
 *   client               upstream
 *   Anthropic messages   OpenAI chat completions
 *   chat completions     Anthropic messages
 *   OpenAI responses     chat completions
 *
 * The request comes as a scanned document and leaves as a new body; what both APIs write alike
 * (numbers, strings, schemas) is copied byte by byte. The answer comes back through a filter, whole
 * or as a stream. docs/translation.md has a row for every member and event: what becomes of it, or
 * that it is approximated, dropped, ignored or refused. What is approximated or dropped is counted
 * by name.
 *
 * Pure functions; nothing here is thread-safe: one translation, one thread.
 */
#ifndef WEIR_FILTERS_TRANSLATE_H
#define WEIR_FILTERS_TRANSLATE_H

#include "lua-free-filters/filter.h"

/* How an OpenAI client's reasoning_effort is put to an Anthropic upstream. */
typedef enum {
    WEIR_THINKING_ADAPTIVE, /* thinking adaptive, the effort in output_config.effort */
    WEIR_THINKING_BUDGET /* thinking enabled with budget_tokens: models before adaptive thinking */
} weir_thinking_t;

/* All zero is a usable default. Strings must outlive the translation. */
typedef struct {
    weir_str_t model; /* the upstream's name of the model; empty: as the client wrote it */
    int64_t default_max_tokens; /* for Anthropic, which needs one [4096] */
    bool strict_openai;         /* the chat upstream refuses members that OpenAI does not have: do
                                   not send top_k and reasoning_content */
    bool legacy_max_tokens;     /* the chat upstream knows max_tokens only */
    bool no_sampling;           /* the Anthropic upstream refuses temperature, top_p and top_k: drop
                                   them */
    weir_thinking_t thinking;
    const char *reasoning_field; /* where an OpenAI chat client reads reasoning
                                    ["reasoning_content"] */
    bool no_thinking_blocks; /* do not give thinking_blocks (thinking with its signature) to chat
                                clients; without them thinking cannot be sent back in a tool
                                loop */
    int64_t now;             /* seconds: the "created" of answers that carry none */
    const char *request_id;  /* for ids of answers that carry none; NULL: "0" */
    bool ask_count;          /* for the caller: calls that count tokens are put to the upstream */
    size_t max_held;         /* bytes of text that a stream may hold: for responses the whole
                                answer, otherwise interleaved tool calls [4 MiB] */
} weir_translate_options_t;

/* What a request's translation leaves for its answer. */
typedef struct weir_translation weir_translation_t;

/* True when this pair of protocols is translated. */
bool weir_translate_supported(weir_protocol_t client, weir_protocol_t upstream);

/*
 * Writes the upstream's body to out. doc must be a scanned request of the client's protocol and may
 * go away afterwards; *translation and what it keeps lie in arena. Errors, with field and code for
 * the client's envelope: INVALID (a member of a wrong type, a missing one) and UNSUPPORTED (legal,
 * but the upstream's API cannot express it), both a 400; NOMEM.
 */
weir_status_t weir_translate_request(weir_protocol_t client, weir_protocol_t upstream,
                                     const weir_json_doc_t *doc,
                                     const weir_translate_options_t *options, weir_arena_t *arena,
                                     weir_buf_t *out, weir_translation_t **translation,
                                     weir_error_t *err);

/* Where the upstream's API has the call: "/v1/chat/completions", "/v1/messages". Constant. */
const char *weir_translate_path(weir_protocol_t upstream);

/* The client asked for a stream. */
bool weir_translation_stream(const weir_translation_t *translation);

/*
 * The filter for this request's answer: give it the upstream's events, or the document of a whole
 * answer. It needs to see everything. A document that is an error envelope becomes the client's
 * envelope. Upstream errors in a stream stop it (weir_sink_stop); an upstream that ends before its
 * last event leaves the answer open, for the pipeline to end it with an error. The state lies in
 * the translation's arena. May be called once.
 */
weir_filter_t weir_translate_filter(weir_translation_t *translation);

/*
 * Tells the upstream's HTTP status, before the filter is used. From 400 on the document is an
 * error, whatever it holds, and the envelope follows the status; without this call it follows the
 * body. Returns the status for the client (529 is Anthropic's own).
 */
unsigned weir_translation_answered(weir_translation_t *translation, unsigned status);

/* A whole answer without a pipeline. Errors: INVALID when it is none (a 502), NOMEM. */
weir_status_t weir_translate_answer(weir_translation_t *translation, const weir_json_doc_t *doc,
                                    weir_buf_t *out, weir_error_t *err);

/*
 * An upstream's error answer, of any shape and also none (HTML, empty), in the client's envelope.
 * Returns the status for the client, which differs where only one side knows it (529).
 */
unsigned weir_translate_error(weir_protocol_t client, unsigned status, weir_str_t body,
                              const char *request_id, weir_arena_t *arena, weir_buf_t *out);

/*
 * For an upstream that answers the client's own call with another API's errors: a document that is
 * an error envelope of another shape becomes the client's, all else passes as it is. Its state lies
 * in arena. Errors: NOMEM.
 */
weir_status_t weir_error_filter(weir_protocol_t client, unsigned status, const char *request_id,
                                weir_arena_t *arena, weir_filter_t *out);

/* --- counting tokens: messages/count_tokens and responses/input_tokens --- */

/*
 * The body of the upstream's call that counts: for MESSAGES that of /v1/messages/count_tokens, for
 * CHAT that of vLLM's /tokenize with messages, the only chat server that has such a call (path in
 * *path). The answer goes through weir_translate_count_answer(). client is MESSAGES or RESPONSES.
 */
weir_status_t weir_translate_count_request(weir_protocol_t client, weir_protocol_t upstream,
                                           const weir_json_doc_t *doc,
                                           const weir_translate_options_t *options,
                                           weir_arena_t *arena, weir_buf_t *out, const char **path,
                                           weir_error_t *err);

/* Errors: INVALID when doc holds no count. */
weir_status_t weir_translate_count_answer(weir_protocol_t client, const weir_json_doc_t *doc,
                                          weir_buf_t *out, weir_error_t *err);

/* The same as a filter: a document that holds no count stops with 502. Its state lies in arena.
 * Errors: NOMEM. */
weir_status_t weir_translate_count_filter(weir_protocol_t client, weir_arena_t *arena,
                                          weir_filter_t *out);

/* The client's answer with a count that the gateway has estimated itself. */
void weir_translate_count_write(weir_protocol_t client, int64_t tokens, weir_buf_t *out);

/* --- what was lost --- */

/* object and field are constants (never the client's text): "request" "top_k". */
typedef struct {
    const char *object;
    const char *field; /* "(unknown)": a member that the table does not know */
    uint32_t count;
} weir_translate_loss_t;

/* What has been dropped or approximated so far, each name once; *n of them. */
const weir_translate_loss_t *weir_translation_losses(const weir_translation_t *translation,
                                                     uint32_t *n);

/* --- the table --- */

typedef enum {
    WEIR_FATE_MAPPED,       /* means the same on both sides */
    WEIR_FATE_APPROXIMATED, /* sent as something near; counted when the difference matters */
    WEIR_FATE_IGNORED,      /* without effect on the answer's content: left out, not counted */
    WEIR_FATE_DROPPED,      /* left out and counted */
    WEIR_FATE_REFUSED       /* the request is refused with 400 */
} weir_fate_t;

typedef struct {
    const char *name;
    const char *note; /* what it becomes, or why not */
    weir_fate_t fate;
} weir_translate_row_t;

/* Rows of one object, or the kinds of one union ("content": "text", "image", ...). */
typedef struct {
    const char *name;
    const weir_translate_row_t *rows;
    uint32_t n;
} weir_translate_object_t;

/* The table of a pair: of the client's request, or of the upstream's answer (answer true). */
const weir_translate_object_t *const *
weir_translate_table(weir_protocol_t client, weir_protocol_t upstream, bool answer, uint32_t *n);

/* "mapped", "approximated", ...; constant. */
const char *weir_fate_name(weir_fate_t fate);

#endif

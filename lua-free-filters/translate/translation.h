/* Inside lua-free-filters/translate only: what the parts of the translator share. */
#ifndef WEIR_FILTERS_TRANSLATION_H
#define WEIR_FILTERS_TRANSLATION_H

#include "lua-free-filters/translate/fields.h"
#include "lua-free-filters/translate/json_out.h"
#include "lua-free-filters/translate/translate.h"
#include "lua-free-filters/usage.h"

#define WEIR_MAX_LOSSES     48 /* different names that are remembered */
#define WEIR_MAX_HELD       ((size_t)4 << 20)
#define WEIR_MAX_TOOLS      512  /* tool calls in one answer, tools in one request */
#define WEIR_DEFAULT_TOKENS 4096 /* max_tokens for Anthropic when the client sets none */
#define WEIR_MAX_NODES      (1u << 20)

struct weir_translation {
    weir_protocol_t client;
    weir_protocol_t upstream;
    weir_translate_options_t options;
    weir_arena_t *arena;
    unsigned status; /* the upstream's, when it was told; else 0 */
    bool stream;
    bool include_usage;   /* a chat client asked for usage in its stream */
    bool asked_count;     /* the body is for a call that counts tokens */
    weir_str_t model_raw; /* the model as a JSON string, copied */
    weir_str_t echo;      /* responses: members of the request that the answer repeats, as JSON */
    weir_str_t *custom;   /* responses: names of custom tools */
    uint32_t n_custom;
    weir_translate_loss_t losses[WEIR_MAX_LOSSES];
    uint32_t n_losses;
};

/* One translation of one document. */
typedef struct {
    weir_translation_t *tr;
    const weir_json_doc_t *doc;
    weir_arena_t *arena; /* scratch */
    weir_buf_t *out;
    weir_error_t *err;
} weir_tctx_t;

/* Where in the document: for messages to the client. */
typedef struct weir_tpath {
    const struct weir_tpath *up;
    const char *name;
    int64_t index; /* of an element of name; -1: name itself */
} weir_tpath_t;

/* --- losses and refusals (fields.c) --- */

void weir_loss(weir_translation_t *tr, const char *object, const char *field);

weir_status_t weir_refuse(const weir_tctx_t *c, const weir_tpath_t *at, const char *member,
                          const char *why);
weir_status_t weir_malformed(const weir_tctx_t *c, const weir_tpath_t *at, const char *member,
                             const char *why);

/*
 * Looks at every member of node against the object's rows: refuses what is refused, counts what is
 * dropped or unknown, leaves the rest to the caller. Values that say nothing (null, false, 0, "",
 * [], {}) count as absent. Errors: INVALID when node is no object, UNSUPPORTED.
 */
weir_status_t weir_check_members(const weir_tctx_t *c, uint32_t node,
                                 const weir_translate_object_t *object, const weir_tpath_t *at);

/* Counts what of node's members is dropped; refuses nothing (answers). */
void weir_note_members(const weir_tctx_t *c, uint32_t node, const weir_translate_object_t *object);

/*
 * The row of a union for the string in node (a type or role), or NULL and *status set: refused,
 * dropped and counted (WEIR_OK), unknown (refused), no string (INVALID).
 */
const weir_translate_row_t *weir_kind_of(const weir_tctx_t *c, uint32_t node,
                                         const weir_translate_object_t *kinds,
                                         const weir_tpath_t *at, weir_status_t *status);

/* --- reading (fields.c) --- */

/* The member's value, or WEIR_JSON_NONE when absent or null. */
uint32_t weir_member(const weir_json_doc_t *doc, uint32_t object, const char *key);

bool weir_is(const weir_json_doc_t *doc, uint32_t node, weir_json_type_t type);
bool weir_is_true(const weir_json_doc_t *doc, uint32_t node);

/* A non-empty string. */
bool weir_has_text(const weir_json_doc_t *doc, uint32_t node);

/* The unescaped string; empty when it is none or memory is out. */
weir_str_t weir_text_of(const weir_tctx_t *c, uint32_t node);

/* The member must be there and of this type. */
weir_status_t weir_need(const weir_tctx_t *c, uint32_t object, const char *key,
                        weir_json_type_t type, const weir_tpath_t *at, uint32_t *node);

/* Copies a member under another name, when it is there. */
void weir_copy_as(const weir_tctx_t *c, uint32_t object, const char *key, const char *name);

/* The text of a call's arguments as one JSON object: parses it into arena; false when it is none.
 * Empty text is {}. */
bool weir_arguments_object(const weir_tctx_t *c, weir_str_t text, weir_str_t *object);

/* A copy in the translation's arena; empty when memory is out. */
weir_str_t weir_keep(weir_translation_t *tr, weir_str_t s);

/* --- parts --- */

/* Each writes the body and reads node 0 of c->doc. */
weir_status_t weir_messages_to_chat(weir_tctx_t *c);
weir_status_t weir_chat_to_messages(weir_tctx_t *c);
weir_status_t weir_responses_to_chat(weir_tctx_t *c);

/* Whole answers, upstream to client; INVALID when the document is none. */
weir_status_t weir_answer_to_messages(weir_tctx_t *c);
weir_status_t weir_answer_to_chat(weir_tctx_t *c);
weir_status_t weir_answer_to_responses(weir_tctx_t *c);

/* Streams; the state lies in tr->arena. NULL: out of memory. */
void *weir_stream_to_messages(weir_translation_t *tr);
void *weir_stream_to_chat(weir_translation_t *tr);
void *weir_stream_to_responses(weir_translation_t *tr);
weir_status_t weir_stream_to_messages_feed(void *self, weir_item_t *item, weir_sink_t *sink);
weir_status_t weir_stream_to_messages_end(void *self, weir_end_t why, weir_sink_t *sink);
weir_status_t weir_stream_to_chat_feed(void *self, weir_item_t *item, weir_sink_t *sink);
weir_status_t weir_stream_to_chat_end(void *self, weir_end_t why, weir_sink_t *sink);
weir_status_t weir_stream_to_responses_feed(void *self, weir_item_t *item, weir_sink_t *sink);
weir_status_t weir_stream_to_responses_end(void *self, weir_end_t why, weir_sink_t *sink);

/* --- errors (errors.c) --- */

/* What an upstream's error says, in one meaning. Strings are in the arena, never NULL. */
typedef struct {
    const char *type;
    const char *code; /* "" when there is none */
    const char *message;
    weir_str_t param_raw; /* JSON; empty: null */
} weir_upstream_error_t;

/* The error in node (an object or a string), at doc's node. */
void weir_read_error(const weir_json_doc_t *doc, uint32_t node, unsigned status,
                     weir_arena_t *arena, weir_upstream_error_t *out);

/* True, and *error its node, when the document is an error envelope. */
bool weir_is_error(const weir_json_doc_t *doc, uint32_t *error);

void weir_write_error(weir_protocol_t client, unsigned status, const weir_upstream_error_t *error,
                      const char *request_id, weir_buf_t *out);

/* The HTTP status that goes with an error's type (in-band errors have none). */
unsigned weir_error_status_of(const weir_upstream_error_t *error);

/* The status that a client gets for an upstream's. */
unsigned weir_client_status(weir_protocol_t client, unsigned status);

/* Stops the stream with an upstream's in-band error. */
weir_status_t weir_stop_with_error(weir_translation_t *tr, const weir_json_doc_t *doc,
                                   uint32_t error, weir_sink_t *sink);

/* Stops the stream: status 502. message is a constant. */
void weir_stop_with(weir_sink_t *sink, const char *message);

/* --- values that more than one part writes (values.c) --- */

/* From a data URL or an http(s) address: writes Anthropic's source object. False: neither. */
bool weir_write_source(weir_buf_t *out, weir_str_t url);

/* prefix + the upstream's id, less its own prefix: "msg_", "chatcmpl-", "resp_". */
void weir_write_id(const weir_tctx_t *c, uint32_t id, const char *prefix);

/* The usage object in each API's form. */
void weir_write_usage(weir_protocol_t protocol, const weir_tokens_t *tokens, weir_buf_t *out);

/* The model as a JSON string: of the answer, else of the request. */
weir_str_t weir_model_of(const weir_tctx_t *c, uint32_t model);

/* A chat choice's finish reason as Anthropic's stop reason, and back, as JSON strings. */
const char *weir_stop_reason_of(const weir_json_doc_t *doc, uint32_t finish, bool has_tools);
const char *weir_finish_reason_of(const weir_json_doc_t *doc, uint32_t stop_reason);

/* Where a peer puts reasoning text: reasoning_content or reasoning; WEIR_JSON_NONE when empty. */
uint32_t weir_reasoning_of(const weir_json_doc_t *doc, uint32_t message);

bool weir_is_custom(const weir_translation_t *tr, weir_str_t name);

#endif

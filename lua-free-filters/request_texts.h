/*
 * Where text stands in requests: every string that a person, a model or a tool wrote, and which of
 * them did. Chats, completions, responses, messages, embeddings, moderations, rerank and the
 * engines' own calls go one way, and so does any other JSON: a string that is not known to be a
 * name, an id or another part of the protocol counts as text, and text whose writer is not known
 * as the user's.
 */
#ifndef WEIR_FILTERS_REQUEST_TEXTS_H
#define WEIR_FILTERS_REQUEST_TEXTS_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/json.h"
#include "lua-free-filters/endpoint.h"

/* The numbers are those of the bits of policies/guards.h (1 << part). */
typedef enum {
    WEIR_PART_SYSTEM,           /* system and developer messages, instructions */
    WEIR_PART_USER,             /* users' messages, prompts, inputs, and all that is unknown */
    WEIR_PART_ASSISTANT,        /* earlier answers */
    WEIR_PART_TOOL_ARGUMENTS,   /* earlier calls of tools */
    WEIR_PART_TOOL_RESULTS,     /* what tools gave back */
    WEIR_PART_TOOL_DEFINITIONS, /* tools, functions, schemas, grammars */
    WEIR_PARTS
} weir_request_part_t;

typedef struct {
    uint32_t node; /* a string (a value or a key), or a number with many digits */
    weir_request_part_t part;
    bool json; /* a string that holds JSON: a tool call's arguments */
} weir_request_text_t;

/*
 * Lists the texts of a scanned request in their order. The list lies in arena. Data in base64
 * (images, audio, files) is no text. Errors: NOMEM.
 */
weir_status_t weir_request_texts(weir_endpoint_t endpoint, const weir_json_doc_t *doc,
                                 weir_arena_t *arena, weir_request_text_t **texts, uint32_t *count);

/*
 * Whether a prompt or an input is given as numbers of a model's tokens, flat or in lists: text that
 * nobody can read without that model.
 */
bool weir_request_has_token_ids(const weir_json_doc_t *doc);

/* "system", "user", ...; constant. */
const char *weir_request_part_name(weir_request_part_t part);

#endif

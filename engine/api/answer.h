/*
 * From the engine's events to OpenAI-shaped answers, whole or streamed. An answer collects the
 * events of all prompts and choices of one request; the caller brings the bytes to the client.
 *
 * A stream: for chat, one frame with the role for each choice; one frame for each TOKEN event, even
 * if its text is still empty (who counts frames counts tokens); a frame with the finish reason and
 * an empty delta; with include_usage one frame with empty choices and the usage, the others then
 * carry "usage": null; [DONE]. Each frame is one line of data and a blank line.
 */
#ifndef WEIR_API_ANSWER_H
#define WEIR_API_ANSWER_H

#include "engine/api/request.h"

typedef struct weir_api_answer weir_api_answer_t;

/* What an answer says about itself. All strings are copied. */
typedef struct {
    weir_str_t id;          /* without prefix; "chatcmpl-", "cmpl-" or "gen-" comes before it */
    weir_str_t model;       /* the name that the client will read */
    weir_str_t fingerprint; /* system_fingerprint */
    int64_t created;        /* Unix seconds */
    const weir_tokenizer_t *tokenizer;
} weir_api_identity_t;

typedef struct {
    uint64_t prompt_tokens; /* each prompt once, whatever n */
    uint64_t cached_tokens;
    uint64_t completion_tokens;
} weir_api_usage_t;

/*
 * Begins the answer to an encoded request. Everything that is collected lies in arena: its limit
 * bounds a whole answer's memory; a streamed answer holds a few hundred bytes for each choice.
 * req and the tokenizer must outlive the answer. Errors: NOMEM.
 */
weir_status_t weir_api_answer_open(const weir_api_request_t *req, const weir_api_identity_t *who,
                                   weir_arena_t *arena, weir_api_answer_t **out);

/*
 * Takes one event of prompt number `prompt`. Streams append their frames to frames, whose arena may
 * be reset after each call; others leave it alone (it may be NULL then). Events of choices out of
 * range or already finished are ignored. Errors: NOMEM (frames->failed, or the arena's limit).
 */
weir_status_t weir_api_answer_event(weir_api_answer_t *answer, uint32_t prompt,
                                    const weir_event_t *event, weir_buf_t *frames);

/* True when each choice has its FINISH. */
bool weir_api_answer_complete(const weir_api_answer_t *answer);

/* The first choice that the engine gave up (WEIR_FINISH_ERROR or CANCELLED) ends the request. */
bool weir_api_answer_failed(const weir_api_answer_t *answer);

/* Appends what ends a complete answer: the JSON body, or the usage frame (if asked for) and
 * [DONE]. Errors: NOMEM, STATE when it is not complete. */
weir_status_t weir_api_answer_end(weir_api_answer_t *answer, weir_buf_t *out);

/* Appends the frame that tells a stream's reader about an error; no [DONE] may follow. */
void weir_api_answer_error(const weir_error_t *err, weir_buf_t *frames);

weir_api_usage_t weir_api_answer_usage(const weir_api_answer_t *answer);

/* GET /v1/models (single NULL) or /v1/models/{id}: false when no such model is served. context 0:
 * not known yet. */
bool weir_api_write_models(const weir_api_names_t *names, const weir_str_t *single, int64_t created,
                           uint32_t context, weir_buf_t *out);

#endif

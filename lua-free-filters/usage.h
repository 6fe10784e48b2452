/*
 * What an answer tells about itself as it passes: tokens in one meaning whatever the API, model,
 * id, finish reason, progress. Reads OpenAI chat, completions, responses, embeddings, moderations
 * and rerank and Anthropic messages, streamed or whole, without being told which. Changes nothing.
 *
 * One meaning (OpenAI's): prompt_tokens includes what was read from and written to a cache,
 * completion_tokens includes reasoning. Anthropic's input_tokens, which excludes the cache, is
 * added up. Counts are cumulative and the latest counts; a reported zero is a value, null and a
 * missing member are not.
 */
#ifndef WEIR_FILTERS_USAGE_H
#define WEIR_FILTERS_USAGE_H

#include "lua-free-filters/filter.h"

typedef struct {
    bool has_prompt;     /* the upstream told it */
    bool has_completion; /* the same */
    uint64_t prompt_tokens;
    uint64_t cached_tokens;      /* of these, read from a cache */
    uint64_t cache_write_tokens; /* of these, written to a cache */
    uint64_t completion_tokens;
    uint64_t reasoning_tokens; /* of these */
    /* As Anthropic tells them, for the sums. */
    uint64_t uncached; /* input_tokens */
    uint64_t told;     /* output_tokens */
    uint64_t aside_prompt;
    uint64_t aside_completion; /* iterations that are not in the totals */
    bool split;                /* the cache is told beside the input, not as a part of it */
} weir_tokens_t;

static inline bool weir_tokens_eq(const weir_tokens_t *a, const weir_tokens_t *b)
{
    return a->has_prompt == b->has_prompt && a->has_completion == b->has_completion &&
           a->prompt_tokens == b->prompt_tokens && a->cached_tokens == b->cached_tokens &&
           a->cache_write_tokens == b->cache_write_tokens &&
           a->completion_tokens == b->completion_tokens &&
           a->reasoning_tokens == b->reasoning_tokens;
}

/*
 * Reads a usage object of any of these APIs over what *tokens holds. Returns whether it held a
 * count; a node that is no object holds none.
 */
bool weir_tokens_read(weir_tokens_t *tokens, const weir_json_doc_t *doc, uint32_t usage);

/* Why an answer ended, in one meaning. */
typedef enum {
    WEIR_FINISH_NONE,
    WEIR_FINISH_STOP,           /* stop, end_turn, stop_sequence, completed */
    WEIR_FINISH_LENGTH,         /* length, max_tokens, max_output_tokens, ... */
    WEIR_FINISH_TOOL_CALLS,     /* tool_calls, function_call, tool_use */
    WEIR_FINISH_CONTENT_FILTER, /* content_filter, refusal */
    WEIR_FINISH_ERROR,          /* failed, cancelled, an in-band error */
    WEIR_FINISH_OTHER
} weir_finish_t;

/* The finish reason of that name in any of these APIs; OTHER when unknown. */
weir_finish_t weir_finish_of(weir_str_t name);

/* "stop", "length", ... (OpenAI's names); "" for NONE. Constant. */
const char *weir_finish_name(weir_finish_t finish);

/*
 * Text counted for an estimate: tokens = (ASCII bytes + 3 * other characters + 3) / 4, rounded
 * down. English text has about four characters to a token, other scripts one to two.
 */
typedef struct {
    uint64_t ascii;
    uint64_t other;
} weir_text_count_t;

/* Counts text as it stands between the quotes of a JSON string: an escape is one character. */
void weir_text_count(weir_text_count_t *count, weir_str_t raw);

uint64_t weir_text_tokens(const weir_text_count_t *count);

typedef struct {
    weir_tokens_t tokens;
    weir_text_count_t text;    /* of the answer: text, reasoning, tool arguments */
    weir_text_count_t counted; /* of these in a stream, when tokens were told the last time */
    bool told_early;           /* in a stream, whose end may still be to come */
    uint64_t content_deltas;   /* streamed pieces of these; our own engine sends one a token */
    uint64_t tool_uses;        /* billed beside tokens: members of tool_usage, server_tool_use */
    weir_str_t model;          /* at most 256 bytes, in the arena; empty when not seen */
    weir_str_t id;             /* of the answer, at most 128 bytes; empty when not seen */
    weir_finish_t finish;      /* the last one told */
    uint32_t finish_mask;      /* 1u << weir_finish_t of all choices */
    bool has_usage;            /* tokens were told */
    bool first_content;        /* a piece of the answer has passed */
    bool done;                 /* the protocol's end of the stream, or the document's end */
    bool error;                /* an error object or event has passed */
    bool background;           /* a response that is finished later: bill once, by id */
    uint32_t skipped;          /* events that were no JSON or over the limit */
} weir_usage_t;

/*
 * The completion tokens that were told, or an estimate from the text, and then *estimated. A stream
 * that has not come to its end may have told a count before what it counts: Anthropic's begins with
 * one of about 1. What came behind it is estimated.
 */
uint64_t weir_usage_completion(const weir_usage_t *usage, bool *estimated);

typedef struct weir_usage_reader weir_usage_reader_t;

/* A reader in arena. Errors: NOMEM. */
weir_status_t weir_usage_open(weir_arena_t *arena, weir_usage_reader_t **out);

/* What it has read so far; may be looked at after any feed. */
const weir_usage_t *weir_usage_of(const weir_usage_reader_t *reader);

/* As a watching filter. Its place decides what it reads: in front of translation and redaction it
 * reads what the upstream sent. */
weir_filter_t weir_usage_filter(weir_usage_reader_t *reader);

#endif

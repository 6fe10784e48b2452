/* What the sub-commands of weir-guard share: options, a session with its rules, input, messages. */
#ifndef WEIR_GUARD_TOOLS_TOOL_H
#define WEIR_GUARD_TOOLS_TOOL_H

#include "guardrails/classifier/text.h"
#include "guardrails/guardrails.h"
#include "guardrails/placeholder.h"

#include <stdio.h>

typedef struct {
    weir_guard_options_t rules;
    weir_guard_entity_t entities[64];
    weir_guard_custom_t custom[64];
    weir_arena_t arena; /* of the lists that options name */
    bool jsonl;
    bool scores;   /* classify too */
    size_t stream; /* redact: bytes at a time, 0: as many as a scan lists all findings of */
    const char *const *files;
    int file_count;
} weir_guard_tool_options_t;

/* Reads options behind the sub-command's name. 0, or the exit status: 2 wrong usage. */
int weir_guard_tool_options(int argc, char **argv, weir_guard_tool_options_t *options);
void weir_guard_tool_options_free(weir_guard_tool_options_t *options);

typedef struct {
    weir_guard_rules_t *rules;
    weir_guard_scratch_t *scratch;
    weir_classifier_t classifier;
    weir_guard_fold_t fold;
    bool scores;
} weir_guard_session_t;

/* 0, or 1 with a message on standard error. */
int weir_guard_session_open(const weir_guard_tool_options_t *options,
                            weir_guard_session_t *session);
void weir_guard_session_close(weir_guard_session_t *session);

/* What the built-in policy does with a text: "block" where a classifier head is in its block zone,
 * else "redact" where there are findings, else "flag" where a head is in its review zone, else
 * "pass". scores may be NULL. */
const char *weir_guard_default_action(const weir_guard_session_t *session,
                                      const weir_guard_result_t *result,
                                      const weir_scores_t *scores);

/* Reads all of a file ("-": standard input) into the arena. 0, or 1 with a message. */
int weir_guard_read_file(const char *path, weir_arena_t *arena, weir_str_t *text);

/* Writes text with its findings replaced by names of the map. */
weir_status_t weir_guard_write_redacted(weir_placeholders_t *map, weir_str_t text, size_t from,
                                        size_t to, const weir_guard_result_t *result, size_t offset,
                                        weir_buf_t *out, weir_error_t *err);

/* Redacts what comes from fd, at most size bytes a feed, onto standard output while it comes. Names
 * that stand in the text are not given behind them. *truncated: something was not seen. */
weir_status_t weir_guard_redact_stream(weir_guard_session_t *session, weir_placeholders_t *map,
                                       int fd, size_t size, bool *truncated, weir_error_t *err);

/* Prints "weir-guard: <message>" on standard error; returns 1. */
int weir_guard_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Calls each for every line of every input: the line is one JSON object with a string "text". out
 * is what will be printed. Lines that are no such thing become {"error": ...}, and the result is 1.
 */
typedef weir_status_t (*weir_guard_line_pt)(void *ctx, const weir_str_t text, weir_buf_t *members,
                                            weir_str_t *new_text, weir_error_t *err);
int weir_guard_each_line(const weir_guard_tool_options_t *options, weir_guard_line_pt each,
                         void *ctx);

int weir_guard_scan_command(int argc, char **argv);
int weir_guard_redact_command(int argc, char **argv);
int weir_guard_rules_command(int argc, char **argv);

#endif

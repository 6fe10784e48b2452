/*
 * What the subcommands of weir-llm share: the exit codes, the model's path, the options of engine
 * and sampling, loading with progress, running one request, and the speed report. Results go to
 * standard output, everything else to standard error.
 */
#ifndef WEIR_TOOLS_TOOL_H
#define WEIR_TOOLS_TOOL_H

#include "engine/llm/engine.h"
#include "engine/tools/options.h"

#define TOOL_OK     0
#define TOOL_FAILED 1
#define TOOL_USAGE  2

/* The subcommands; argv[0] is the subcommand's name. They return an exit code. */
int tool_run(int argc, char **argv);
int tool_chat(int argc, char **argv);
int tool_bench(int argc, char **argv);
int tool_info(int argc, char **argv);
int tool_tokenize(int argc, char **argv);
int tool_detokenize(int argc, char **argv);
int tool_perplexity(int argc, char **argv);

/* Prints "weir-llm: message" and returns TOOL_FAILED. */
int tool_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The option's value, else $WEIR_MODEL; NULL (after a message) when there is neither. */
const char *tool_model_path(const char *option);

/* Whole content of a file, or of standard input for "-", made valid UTF-8; false after a
 * message. */
bool tool_read_text(const char *path, weir_arena_t *arena, weir_str_t *out);

typedef struct {
    const char *model;
    const char *isa;
    uint32_t threads;
    uint32_t context;
    bool float_activations;
    bool quiet;
} tool_engine_t;

typedef struct {
    weir_sampling_t params;
    uint32_t top_k;
    uint32_t max_tokens;
    uint64_t seed;
    bool has_seed;
    bool ignore_eos;
    cli_list_t stops;
} tool_sampling_t;

#define TOOL_ENGINE_OPTIONS   5
#define TOOL_SAMPLING_OPTIONS 11

/* Append the shared options to a table and return how many. */
size_t tool_engine_options(cli_option_t *options, tool_engine_t *e);
size_t tool_sampling_options(cli_option_t *options, tool_sampling_t *s);

/* --context, for the subcommands that do not set it by themselves. */
cli_option_t tool_context_option(tool_engine_t *e);

/* temperature 0.7 and neutral values for the rest. */
void tool_sampling_defaults(tool_sampling_t *s);

/* The request's part that the sampling options determine. Without a seed a random one is drawn and
 * stored in s. */
void tool_fill_request(tool_sampling_t *s, weir_generate_t *request);

/* Opens the engine and waits until it is ready, with progress; NULL after a message. settings
 * holds further options (max_running and so on) or zeros. */
weir_engine_t *tool_open_engine(const tool_engine_t *e, weir_engine_options_t settings);

typedef struct {
    weir_finish_t finish;
    uint32_t prompt_tokens, cached_tokens, completion_tokens;
    double first_token_s; /* from submission */
    double total_s;
    bool interrupted; /* by SIGINT or SIGTERM */
} tool_result_t;

/* Called for every event of the request. */
typedef void (*tool_event_fn)(void *ctx, const weir_event_t *event);

/*
 * Runs one request to its end. An interrupt from the keyboard (watched through signal_fd, which
 * may be -1) cancels it. False after a message when it could not be submitted.
 */
bool tool_generate(weir_engine_t *engine, int signal_fd, const weir_generate_t *request,
                   tool_event_fn on_event, void *ctx, tool_result_t *result);

/*
 * From now on SIGINT and SIGTERM do not end the program but are reported by the descriptor, for
 * tool_generate. After the engine has opened: while a model loads they end the program.
 */
int tool_signal_fd(void);

/* Whether the signals end the program again, as they should while it waits for a person; one that
 * no answer was there for ends it then. */
void tool_let_signals_end(bool end);

/* One line: tokens, speeds, time to the first token. */
void tool_report(const tool_result_t *result);

double tool_now(void);

/* Best rate at which `threads` threads read memory beyond the caches, in bytes per second; 0 when
 * memory or threads are lacking. Takes about a second. */
double tool_read_bandwidth(uint32_t threads);

#endif

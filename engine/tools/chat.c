/* weir-llm chat: a conversation through the model's own chat template. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/json.h"
#include "engine/tools/tool.h"

typedef struct {
    weir_engine_t *engine;
    tool_sampling_t *sampling;
    const char *system;
    int signal_fd;
    bool quiet;
    bool terminal; /* both ends are terminals: show a prompt */
    weir_arena_t history_arena;
    weir_buf_t history; /* messages as JSON, comma-separated */
    tool_result_t last;
} chat_t;

static void add_message(weir_buf_t *b, const char *role, weir_str_t content)
{
    weir_buf_printf(b, "%s{\"role\":\"%s\",\"content\":", b->len > 0 ? "," : "", role);
    weir_json_write_string(b, content);
    weir_buf_append_char(b, '}');
}

static void reset_history(chat_t *chat)
{
    weir_arena_reset(&chat->history_arena);
    weir_buf_init(&chat->history, &chat->history_arena);
    if (chat->system != NULL) {
        add_message(&chat->history, "system", weir_str(chat->system, strlen(chat->system)));
    }
}

/* The conversation so far as token ids. */
static weir_status_t encode_history(chat_t *chat, weir_arena_t *arena, int32_t **ids, size_t *n,
                                    weir_error_t *err)
{
    weir_buf_t json;
    weir_buf_init(&json, arena);
    weir_buf_append_char(&json, '[');
    weir_buf_append(&json, chat->history.data, chat->history.len);
    weir_buf_append_char(&json, ']');
    weir_json_doc_t doc;
    weir_status_t status = weir_json_parse(json.data, json.len, NULL, arena, &doc, err);
    if (status != WEIR_OK) {
        return status;
    }
    weir_chat_request_t request = {
        .doc = &doc,
        .messages = 0,
        .tools = WEIR_JSON_NONE,
        .kwargs = WEIR_JSON_NONE,
        .add_generation_prompt = true,
        .now = time(NULL),
    };
    weir_prompt_t prompt;
    status =
        weir_chat_render(weir_engine_chat_template(chat->engine), &request, arena, &prompt, err);
    if (status != WEIR_OK) {
        return status;
    }
    return weir_tokenizer_encode(weir_engine_tokenizer(chat->engine), prompt.text, prompt.spans,
                                 prompt.n_spans, false, 0, arena, ids, n, err);
}

static void on_event(void *ctx, const weir_event_t *ev)
{
    weir_buf_t *answer = ctx;
    weir_buf_append(answer, ev->text, ev->text_len);
    fwrite(ev->text, 1, ev->text_len, stdout);
    fflush(stdout);
}

/* One turn; false when the conversation cannot go on. */
static bool answer(chat_t *chat, weir_str_t user)
{
    size_t mark = chat->history.len;
    add_message(&chat->history, "user", user);
    weir_arena_t arena;
    weir_arena_init(&arena, 1 << 16, 0);
    weir_error_t err = {0};
    weir_generate_t request = {0};
    int32_t *ids;
    bool good = encode_history(chat, &arena, &ids, &request.n_prompt, &err) == WEIR_OK;
    if (!good) {
        tool_error("%s", err.message);
    } else {
        request.prompt = ids;
        tool_fill_request(chat->sampling, &request);
        weir_buf_t text;
        weir_buf_init(&text, &arena);
        good = tool_generate(chat->engine, chat->signal_fd, &request, on_event, &text, &chat->last);
        if (good) {
            putchar('\n');
            fflush(stdout);
            add_message(&chat->history, "assistant", weir_str(text.data, text.len));
            if (!chat->quiet) {
                tool_report(&chat->last);
            }
        } else {
            fputs("weir-llm: this message is left out of the conversation\n", stderr);
        }
    }
    if (!good) {
        chat->history.len = mark;
    }
    weir_arena_free(&arena);
    return good;
}

static void print_commands(void)
{
    fputs("/quit     end (also Ctrl-D)\n"
          "/reset    forget the conversation, keep the system message\n"
          "/history  print the conversation as JSON\n"
          "/help     this list\n"
          "Ctrl-C stops an answer; where a message is awaited, it ends the program.\n",
          stderr);
}

typedef enum { LINE_MESSAGE, LINE_HANDLED, LINE_QUIT } line_t;

static line_t handle_command(chat_t *chat, const char *line)
{
    if (line[0] == '\0') {
        return LINE_HANDLED;
    }
    if (line[0] != '/') {
        return LINE_MESSAGE;
    }
    if (strcmp(line, "/quit") == 0 || strcmp(line, "/exit") == 0) {
        return LINE_QUIT;
    }
    if (strcmp(line, "/reset") == 0) {
        reset_history(chat);
        fputs("the conversation is forgotten\n", stderr);
    } else if (strcmp(line, "/history") == 0) {
        printf("[%.*s]\n", (int)chat->history.len,
               chat->history.data != NULL ? chat->history.data : "");
    } else {
        if (strcmp(line, "/help") != 0) {
            fprintf(stderr, "no command %s\n", line);
        }
        print_commands();
    }
    return LINE_HANDLED;
}

static int converse(chat_t *chat)
{
    char *line = NULL;
    size_t cap = 0;
    int rc = TOOL_OK;
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    for (;;) {
        if (chat->terminal) {
            fputs("> ", stdout);
            fflush(stdout);
        }
        tool_let_signals_end(true);
        ssize_t n = getline(&line, &cap, stdin);
        tool_let_signals_end(false);
        if (n < 0) {
            break;
        }
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) {
            line[--n] = '\0';
        }
        line_t kind = handle_command(chat, line);
        if (kind == LINE_QUIT) {
            break;
        }
        weir_str_t text;
        if (kind == LINE_MESSAGE &&
            weir_utf8_sanitize(weir_str(line, (size_t)n), &arena, &text) == WEIR_OK) {
            bool good = answer(chat, text);
            rc = good ? rc : TOOL_FAILED;
            if (chat->last.interrupted && !chat->terminal) {
                rc = TOOL_FAILED;
                break;
            }
        }
        weir_arena_reset(&arena);
    }
    weir_arena_free(&arena);
    free(line);
    return rc;
}

static int open_and_converse(chat_t *chat, const tool_engine_t *engine)
{
    chat->engine = tool_open_engine(engine, (weir_engine_options_t){.max_running = 1});
    if (chat->engine == NULL) {
        return TOOL_FAILED;
    }
    chat->signal_fd = tool_signal_fd();
    int rc;
    if (weir_engine_chat_template(chat->engine) != NULL) {
        weir_arena_init(&chat->history_arena, 0, 0);
        reset_history(chat);
        if (chat->terminal) {
            print_commands();
        }
        rc = converse(chat);
        weir_arena_free(&chat->history_arena);
    } else if (weir_engine_chat_problem(chat->engine) != NULL) {
        rc = tool_error("the model's chat template: %s", weir_engine_chat_problem(chat->engine));
    } else {
        rc = tool_error("the model has no chat template; use weir-llm run");
    }
    weir_engine_close(chat->engine);
    close(chat->signal_fd);
    return rc;
}

int tool_chat(int argc, char **argv)
{
    tool_engine_t engine = {0};
    tool_sampling_t sampling;
    const char *system = NULL;
    tool_sampling_defaults(&sampling);
    cli_option_t options[TOOL_ENGINE_OPTIONS + TOOL_SAMPLING_OPTIONS + 2];
    size_t n = tool_engine_options(options, &engine);
    options[n++] = tool_context_option(&engine);
    n += tool_sampling_options(options + n, &sampling);
    options[n++] = (cli_option_t){.name = "system",
                                  .letter = 's',
                                  .kind = CLI_STRING,
                                  .target = &system,
                                  .value = "TEXT",
                                  .help = "system message [the template's own]"};
    cli_t cli = {.command = "weir-llm chat",
                 .usage = "[options]",
                 .about = "A conversation: each line of standard input is a message. /help lists "
                          "the commands.",
                 .options = options,
                 .n_options = n};
    cli_outcome_t outcome = cli_parse(&cli, argc, argv);
    if (outcome != CLI_GO_ON) {
        return outcome == CLI_DONE ? TOOL_OK : TOOL_USAGE;
    }
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    weir_str_t text = {0};
    if (system != NULL &&
        weir_utf8_sanitize(weir_str(system, strlen(system)), &arena, &text) == WEIR_OK) {
        system = weir_arena_strndup(&arena, text.data, text.len);
    }
    chat_t chat = {
        .sampling = &sampling,
        .system = system,
        .quiet = engine.quiet,
        .terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO),
    };
    int rc = open_and_converse(&chat, &engine);
    weir_arena_free(&arena);
    return rc;
}

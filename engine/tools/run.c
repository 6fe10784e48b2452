/* weir-llm run: continues a text, token by token on standard output. */
#include <stdio.h>
#include <unistd.h>

#include "engine/base/json.h"
#include "engine/tools/tool.h"

typedef struct {
    tool_engine_t engine;
    tool_sampling_t sampling;
    bool special;
    bool json;
    bool echo;
} run_options_t;

typedef struct {
    bool json;
    weir_buf_t text; /* --json: the whole answer */
    weir_buf_t ids;
} run_output_t;

static void on_event(void *ctx, const weir_event_t *ev)
{
    run_output_t *out = ctx;
    if (out->json) {
        weir_buf_append(&out->text, ev->text, ev->text_len);
        if (ev->type == WEIR_EVENT_TOKEN && ev->token >= 0) {
            weir_buf_printf(&out->ids, "%s%d", out->ids.len > 0 ? "," : "", ev->token);
        }
    } else if (ev->text_len > 0) {
        fwrite(ev->text, 1, ev->text_len, stdout);
        fflush(stdout);
    }
}

static void print_json(run_output_t *out, const tool_result_t *r, uint64_t seed,
                       weir_arena_t *arena)
{
    weir_buf_t b;
    weir_buf_init(&b, arena);
    weir_buf_append_z(&b, "{\"text\":");
    weir_json_write_string(&b, weir_str(out->text.data, out->text.len));
    weir_buf_printf(&b, ",\"tokens\":[%.*s]", (int)out->ids.len,
                    out->ids.data != NULL ? out->ids.data : "");
    weir_buf_printf(&b, ",\"finish_reason\":\"%s\"",
                    r->interrupted                    ? "cancelled"
                    : r->finish == WEIR_FINISH_LENGTH ? "length"
                                                      : "stop");
    weir_buf_printf(&b, ",\"prompt_tokens\":%u,\"completion_tokens\":%u,\"seed\":%llu",
                    r->prompt_tokens, r->completion_tokens, (unsigned long long)seed);
    weir_buf_append_z(&b, ",\"first_token_seconds\":");
    weir_json_write_double(&b, r->first_token_s);
    weir_buf_append_z(&b, ",\"total_seconds\":");
    weir_json_write_double(&b, r->total_s);
    weir_buf_append_z(&b, "}\n");
    fwrite(b.data, 1, b.len, stdout);
}

static int generate(run_options_t *o, weir_engine_t *engine, int signal_fd, weir_str_t prompt,
                    weir_arena_t *arena)
{
    weir_error_t err = {0};
    weir_text_span_t span = {0, (uint32_t)prompt.len, o->special};
    weir_generate_t request = {0};
    int32_t *ids;
    if (weir_tokenizer_encode(weir_engine_tokenizer(engine), prompt, &span, 1, true, 0, arena, &ids,
                              &request.n_prompt, &err) != WEIR_OK) {
        return tool_error("%s", err.message);
    }
    request.prompt = ids;
    if (request.n_prompt == 0) {
        return tool_error("the prompt is empty: give a text, or one on standard input");
    }
    tool_fill_request(&o->sampling, &request);
    run_output_t out = {.json = o->json};
    weir_buf_init(&out.text, arena);
    weir_buf_init(&out.ids, arena);
    if (o->echo && !o->json) {
        fwrite(prompt.data, 1, prompt.len, stdout);
        fflush(stdout);
    }
    tool_result_t result;
    if (!tool_generate(engine, signal_fd, &request, on_event, &out, &result)) {
        return TOOL_FAILED;
    }
    if (o->json) {
        print_json(&out, &result, o->sampling.seed, arena);
    } else {
        putchar('\n');
    }
    fflush(stdout);
    if (!o->engine.quiet) {
        tool_report(&result);
    }
    return result.interrupted ? TOOL_FAILED : TOOL_OK;
}

static bool get_prompt(const cli_t *cli, weir_arena_t *arena, weir_str_t *out)
{
    if (cli->n_arguments == 0 || strcmp(cli->arguments[0], "-") == 0) {
        if (isatty(STDIN_FILENO)) {
            fputs("weir-llm run: reading the prompt from the terminal; end it with Ctrl-D\n",
                  stderr);
        }
        return tool_read_text("-", arena, out);
    }
    weir_str_t text = weir_str(cli->arguments[0], strlen(cli->arguments[0]));
    return weir_utf8_sanitize(text, arena, out) == WEIR_OK;
}

int tool_run(int argc, char **argv)
{
    run_options_t o = {0};
    tool_sampling_defaults(&o.sampling);
    cli_option_t options[TOOL_ENGINE_OPTIONS + TOOL_SAMPLING_OPTIONS + 4];
    size_t n = tool_engine_options(options, &o.engine);
    options[n++] = tool_context_option(&o.engine);
    n += tool_sampling_options(options + n, &o.sampling);
    options[n++] = (cli_option_t){.name = "special",
                                  .kind = CLI_FLAG,
                                  .target = &o.special,
                                  .help = "read special tokens such as <|im_start|> in the prompt"};
    options[n++] = (cli_option_t){.name = "echo",
                                  .kind = CLI_FLAG,
                                  .target = &o.echo,
                                  .help = "print the prompt before the answer"};
    options[n++] = (cli_option_t){.name = "json",
                                  .kind = CLI_FLAG,
                                  .target = &o.json,
                                  .help = "one JSON object with text, tokens and numbers"};
    const char *arguments[1];
    cli_t cli = {.command = "weir-llm run",
                 .usage = "[options] [PROMPT]",
                 .about = "Continues PROMPT (or standard input) as it stands, without a chat "
                          "template.",
                 .options = options,
                 .n_options = n,
                 .arguments = arguments,
                 .max_arguments = 1};
    cli_outcome_t outcome = cli_parse(&cli, argc, argv);
    if (outcome != CLI_GO_ON) {
        return outcome == CLI_DONE ? TOOL_OK : TOOL_USAGE;
    }
    weir_arena_t arena;
    weir_arena_init(&arena, 1 << 16, 0);
    weir_str_t prompt;
    int rc = TOOL_FAILED;
    if (get_prompt(&cli, &arena, &prompt)) {
        weir_engine_t *engine =
            tool_open_engine(&o.engine, (weir_engine_options_t){.max_running = 1});
        if (engine != NULL) {
            int signal_fd = tool_signal_fd();
            rc = generate(&o, engine, signal_fd, prompt, &arena);
            weir_engine_close(engine);
            close(signal_fd);
        }
    }
    weir_arena_free(&arena);
    return rc;
}

/* weir-llm tokenize and detokenize: text to token ids and back. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/json.h"
#include "engine/tools/tool.h"

typedef struct {
    const char *model;
    bool special;
    bool bos;
    bool json;
    bool count;
} tokenize_options_t;

/* Opens the tokenizer alone: no weights are read. */
static weir_tokenizer_t *open_tokenizer(const char *model)
{
    const char *path = tool_model_path(model);
    weir_error_t err = {0};
    weir_gguf_t *gguf = NULL;
    weir_tokenizer_t *tok = NULL;
    if (path == NULL) {
        return NULL;
    }
    if (weir_gguf_open(path, &gguf, &err) != WEIR_OK ||
        weir_tokenizer_open(gguf, &tok, &err) != WEIR_OK) {
        tool_error("%s", err.message);
    }
    weir_gguf_close(gguf);
    return tok;
}

static void print_ids(const weir_tokenizer_t *tok, const int32_t *ids, size_t n,
                      const tokenize_options_t *o, weir_arena_t *arena)
{
    weir_buf_t b;
    weir_buf_init(&b, arena);
    if (o->count) {
        weir_buf_printf(&b, "%zu\n", n);
    } else if (o->json) {
        weir_buf_append_z(&b, "{\"tokens\":[");
        for (size_t i = 0; i < n; i++) {
            weir_buf_printf(&b, "%s%d", i > 0 ? "," : "", ids[i]);
        }
        weir_buf_printf(&b, "],\"count\":%zu}\n", n);
    } else {
        for (size_t i = 0; i < n; i++) {
            weir_buf_printf(&b, "%7d  ", ids[i]);
            weir_json_write_string(&b, weir_tokenizer_token_bytes(tok, ids[i]));
            weir_buf_append_char(&b, '\n');
        }
    }
    fwrite(b.data, 1, b.len, stdout);
}

static int tokenize(const tokenize_options_t *o, const cli_t *cli, weir_arena_t *arena)
{
    weir_str_t text;
    bool from_stdin = cli->n_arguments == 0 || strcmp(cli->arguments[0], "-") == 0;
    if (from_stdin ? !tool_read_text("-", arena, &text)
                   : weir_utf8_sanitize(weir_str(cli->arguments[0], strlen(cli->arguments[0])),
                                        arena, &text) != WEIR_OK) {
        return TOOL_FAILED;
    }
    weir_tokenizer_t *tok = open_tokenizer(o->model);
    if (tok == NULL) {
        return TOOL_FAILED;
    }
    weir_error_t err = {0};
    weir_text_span_t span = {0, (uint32_t)text.len, o->special};
    int32_t *ids;
    size_t n;
    int rc = TOOL_OK;
    if (weir_tokenizer_encode(tok, text, &span, 1, o->bos, 0, arena, &ids, &n, &err) == WEIR_OK) {
        print_ids(tok, ids, n, o, arena);
    } else {
        rc = tool_error("%s", err.message);
    }
    weir_tokenizer_close(tok);
    return rc;
}

int tool_tokenize(int argc, char **argv)
{
    tokenize_options_t o = {0};
    cli_option_t options[] = {
        {.name = "model",
         .letter = 'm',
         .kind = CLI_STRING,
         .target = &o.model,
         .value = "FILE",
         .help = "model in GGUF [$WEIR_MODEL]"},
        {.name = "special",
         .kind = CLI_FLAG,
         .target = &o.special,
         .help = "read special tokens such as <|im_start|> in the text"},
        {.name = "bos",
         .kind = CLI_FLAG,
         .target = &o.bos,
         .help = "put the first token in front if the model wants one"},
        {.name = "json",
         .kind = CLI_FLAG,
         .target = &o.json,
         .help = "one line: {\"tokens\":[...],\"count\":N}"},
        {.name = "count", .kind = CLI_FLAG, .target = &o.count, .help = "only the number"},
    };
    const char *arguments[1];
    cli_t cli = {.command = "weir-llm tokenize",
                 .usage = "[options] [TEXT]",
                 .about = "Prints the tokens of TEXT (or of standard input), one per line: id and "
                          "text.",
                 .options = options,
                 .n_options = sizeof(options) / sizeof(*options),
                 .arguments = arguments,
                 .max_arguments = 1};
    cli_outcome_t outcome = cli_parse(&cli, argc, argv);
    if (outcome != CLI_GO_ON) {
        return outcome == CLI_DONE ? TOOL_OK : TOOL_USAGE;
    }
    weir_arena_t arena;
    weir_arena_init(&arena, 1 << 20, 0);
    int rc = tokenize(&o, &cli, &arena);
    weir_arena_free(&arena);
    return rc;
}

/* Reads ids separated by anything that is no digit; of the output of tokenize --json, only what is
 * between the brackets. */
static bool parse_ids(weir_str_t text, uint32_t n_vocab, int32_t *ids, size_t *n)
{
    const char *open = memchr(text.data, '[', text.len);
    const char *at = open != NULL ? open : text.data;
    const char *end = text.data + text.len;
    const char *close = open != NULL ? memchr(open, ']', (size_t)(end - open)) : NULL;
    end = close != NULL ? close : end;
    *n = 0;
    while (at < end) {
        if (*at < '0' || *at > '9') {
            at++;
            continue;
        }
        uint64_t id = 0;
        for (; at < end && *at >= '0' && *at <= '9'; at++) {
            id = id < UINT32_MAX ? id * 10 + (uint64_t)(*at - '0') : id;
        }
        if (id >= n_vocab) {
            tool_error("there is no token %llu; the model has %u", (unsigned long long)id, n_vocab);
            return false;
        }
        ids[(*n)++] = (int32_t)id;
    }
    return true;
}

static int detokenize(const char *model, bool special, weir_str_t text, weir_arena_t *arena)
{
    weir_tokenizer_t *tok = open_tokenizer(model);
    if (tok == NULL) {
        return TOOL_FAILED;
    }
    int rc = TOOL_FAILED;
    size_t n = 0;
    int32_t *ids = weir_arena_calloc(arena, text.len / 2 + 1, sizeof(*ids));
    if (ids == NULL) {
        tool_error("no memory for the tokens");
    } else if (text.len == 0 || parse_ids(text, weir_tokenizer_vocab_size(tok), ids, &n)) {
        weir_buf_t b;
        weir_buf_init(&b, arena);
        if (weir_tokenizer_decode(tok, ids, n, special, &b) == WEIR_OK) {
            weir_buf_append_char(&b, '\n');
            fwrite(b.data, 1, b.len, stdout);
            rc = TOOL_OK;
        } else {
            tool_error("no memory for the text");
        }
    }
    weir_tokenizer_close(tok);
    return rc;
}

int tool_detokenize(int argc, char **argv)
{
    const char *model = NULL;
    bool special = false;
    cli_option_t options[] = {
        {.name = "model",
         .letter = 'm',
         .kind = CLI_STRING,
         .target = &model,
         .value = "FILE",
         .help = "model in GGUF [$WEIR_MODEL]"},
        {.name = "special",
         .kind = CLI_FLAG,
         .target = &special,
         .help = "write special tokens too"},
    };
    const char *arguments[1024];
    cli_t cli = {.command = "weir-llm detokenize",
                 .usage = "[options] [ID...]",
                 .about = "Prints the text of the token ids given (or read from standard input).",
                 .options = options,
                 .n_options = sizeof(options) / sizeof(*options),
                 .arguments = arguments,
                 .max_arguments = 1024};
    cli_outcome_t outcome = cli_parse(&cli, argc, argv);
    if (outcome != CLI_GO_ON) {
        return outcome == CLI_DONE ? TOOL_OK : TOOL_USAGE;
    }
    weir_arena_t arena;
    weir_arena_init(&arena, 1 << 20, 0);
    weir_str_t text;
    int rc = TOOL_FAILED;
    if (cli.n_arguments > 0) {
        weir_buf_t b;
        weir_buf_init(&b, &arena);
        for (size_t i = 0; i < cli.n_arguments; i++) {
            weir_buf_append_z(&b, arguments[i]);
            weir_buf_append_char(&b, ' ');
        }
        rc = detokenize(model, special, weir_str(b.data, b.len), &arena);
    } else if (tool_read_text("-", &arena, &text)) {
        rc = detokenize(model, special, text, &arena);
    }
    weir_arena_free(&arena);
    return rc;
}

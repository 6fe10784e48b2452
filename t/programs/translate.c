/*
 * Drives protocol translation for scripts. The document or stream is read from standard input.
 *
 *   translate rows                              the table: tab-separated lines
 *   translate pages                             the table as Markdown
 *   translate request CLIENT UPSTREAM [OPTION]  a request: {"status","body","losses"}
 *   translate count   CLIENT UPSTREAM           a count request: {"status","path","body"}
 *   translate counted CLIENT                    a count answer
 *   translate answer  CLIENT UPSTREAM REQUEST [OPTION]  an answer, whole or a stream, through the
 *                                               pipeline; REQUEST is a file
 *   translate error   CLIENT STATUS             an error answer: the status, a line break, the body
 *
 * Options: --strict --legacy --budget --no-sampling --no-thinking-blocks --model NAME --held N
 *          --cut (the upstream breaks off at the end) --json (the answer is a document)
 *          --as-stream (and the client gets a stream) --piece N (feed N bytes at a time)
 */
#include <stdio.h>
#include <stdlib.h>

#include "lua-free-filters/pipeline.h"
#include "lua-free-filters/translate/translate.h"

static const struct {
    const char *name;
    weir_protocol_t protocol;
} protocols[] = {
    {"messages", WEIR_PROTOCOL_MESSAGES},
    {"chat", WEIR_PROTOCOL_CHAT},
    {"responses", WEIR_PROTOCOL_RESPONSES},
};

typedef struct {
    weir_translate_options_t translate;
    bool cut;
    bool json;
    bool as_stream;
    size_t piece;
} options_t;

static void die(const char *message)
{
    fprintf(stderr, "translate: %s\n", message);
    exit(2);
}

static weir_protocol_t protocol(const char *name)
{
    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
        if (strcmp(protocols[i].name, name) == 0) {
            return protocols[i].protocol;
        }
    }
    die("a protocol is messages, chat or responses");
    return WEIR_PROTOCOL_OTHER;
}

static options_t read_options(int argc, char **argv)
{
    options_t o = {.translate = {.now = 1700000000, .request_id = "req-1"}};
    for (int i = 0; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--strict") == 0) {
            o.translate.strict_openai = true;
        } else if (strcmp(argv[i], "--legacy") == 0) {
            o.translate.legacy_max_tokens = true;
        } else if (strcmp(argv[i], "--budget") == 0) {
            o.translate.thinking = WEIR_THINKING_BUDGET;
        } else if (strcmp(argv[i], "--no-sampling") == 0) {
            o.translate.no_sampling = true;
        } else if (strcmp(argv[i], "--no-thinking-blocks") == 0) {
            o.translate.no_thinking_blocks = true;
        } else if (strcmp(argv[i], "--cut") == 0) {
            o.cut = true;
        } else if (strcmp(argv[i], "--json") == 0) {
            o.json = true;
        } else if (strcmp(argv[i], "--as-stream") == 0) {
            o.as_stream = true;
        } else if (strcmp(argv[i], "--model") == 0) {
            o.translate.model = weir_str(value, strlen(value));
            i++;
        } else if (strcmp(argv[i], "--held") == 0) {
            o.translate.max_held = strtoul(value, NULL, 10);
            i++;
        } else if (strcmp(argv[i], "--piece") == 0) {
            o.piece = strtoul(value, NULL, 10);
            i++;
        } else {
            die("unknown option");
        }
    }
    return o;
}

static weir_str_t read_all(FILE *file, weir_arena_t *arena)
{
    char chunk[4096];
    weir_buf_t buf;
    weir_buf_init(&buf, arena);
    for (size_t n; (n = fread(chunk, 1, sizeof(chunk), file)) > 0;) {
        weir_buf_append(&buf, chunk, n);
    }
    weir_buf_append_char(&buf, '\0');
    return weir_str(buf.data, buf.len - 1);
}

static weir_json_doc_t scan(weir_str_t text, weir_arena_t *arena)
{
    weir_json_doc_t doc;
    weir_error_t err;
    if (weir_json_parse(text.data, text.len, NULL, arena, &doc, &err) != WEIR_OK) {
        die(err.message);
    }
    return doc;
}

static void print(const weir_buf_t *out)
{
    fwrite(out->data == NULL ? "" : out->data, 1, out->len, stdout);
}

static void print_error(const weir_error_t *err, weir_buf_t *out)
{
    const char *name = weir_status_name(err->status);
    weir_buf_printf(out, "{\"status\":\"%s\",\"message\":", name);
    weir_json_write_string(out, weir_str(err->message, strlen(err->message)));
    weir_buf_append_z(out, ",\"field\":");
    weir_json_write_string(out, weir_str(err->field, strlen(err->field)));
    weir_buf_printf(out, ",\"code\":\"%s\"}\n", err->code);
}

static void print_losses(const weir_translation_t *tr, weir_buf_t *out)
{
    uint32_t n;
    const weir_translate_loss_t *losses = weir_translation_losses(tr, &n);
    weir_buf_append_z(out, "\"losses\":{");
    for (uint32_t i = 0; i < n; i++) {
        weir_buf_printf(out, "%s\"%s %s\":%u", i > 0 ? "," : "", losses[i].object, losses[i].field,
                        losses[i].count);
    }
    weir_buf_append_z(out, "}");
}

static int run_request(int argc, char **argv, weir_arena_t *arena)
{
    weir_buf_t body;
    weir_buf_t out;
    weir_error_t err;
    weir_translation_t *tr;
    options_t o = read_options(argc - 2, argv + 2);
    weir_json_doc_t doc = scan(read_all(stdin, arena), arena);
    weir_buf_init(&body, arena);
    weir_buf_init(&out, arena);
    if (weir_translate_request(protocol(argv[0]), protocol(argv[1]), &doc, &o.translate, arena,
                               &body, &tr, &err) != WEIR_OK) {
        print_error(&err, &out);
    } else {
        weir_buf_append_z(&out, "{\"status\":\"ok\",\"body\":");
        weir_buf_append(&out, body.data, body.len);
        weir_buf_append_z(&out, ",");
        print_losses(tr, &out);
        weir_buf_append_z(&out, "}\n");
    }
    print(&out);
    return 0;
}

static int run_count(char **argv, weir_arena_t *arena)
{
    weir_buf_t body;
    weir_buf_t out;
    weir_error_t err;
    const char *path;
    weir_json_doc_t doc = scan(read_all(stdin, arena), arena);
    weir_buf_init(&body, arena);
    weir_buf_init(&out, arena);
    if (weir_translate_count_request(protocol(argv[0]), protocol(argv[1]), &doc, NULL, arena, &body,
                                     &path, &err) != WEIR_OK) {
        print_error(&err, &out);
    } else {
        weir_buf_printf(&out, "{\"status\":\"ok\",\"path\":\"%s\",\"body\":", path);
        weir_buf_append(&out, body.data, body.len);
        weir_buf_append_z(&out, "}\n");
    }
    print(&out);
    return 0;
}

static int run_counted(char **argv, weir_arena_t *arena)
{
    weir_buf_t out;
    weir_error_t err;
    weir_json_doc_t doc = scan(read_all(stdin, arena), arena);
    weir_buf_init(&out, arena);
    if (weir_translate_count_answer(protocol(argv[0]), &doc, &out, &err) != WEIR_OK) {
        print_error(&err, &out);
    }
    print(&out);
    return 0;
}

static weir_status_t take(void *ctx, const char *data, size_t len, bool stable)
{
    (void)stable;
    weir_buf_append(ctx, data, len);
    return WEIR_OK;
}

static int run_answer(int argc, char **argv, weir_arena_t *arena)
{
    weir_buf_t body;
    weir_buf_t out;
    weir_error_t err;
    weir_translation_t *tr;
    weir_pipeline_t *pipeline;
    options_t o = read_options(argc - 3, argv + 3);
    FILE *file = fopen(argv[2], "rb");
    if (file == NULL) {
        die("the request's file cannot be opened");
    }
    weir_json_doc_t doc = scan(read_all(file, arena), arena);
    fclose(file);
    weir_buf_init(&body, arena);
    weir_buf_init(&out, arena);
    if (weir_translate_request(protocol(argv[0]), protocol(argv[1]), &doc, &o.translate, arena,
                               &body, &tr, &err) != WEIR_OK) {
        die(err.message);
    }
    weir_body_t kind = o.json ? WEIR_BODY_JSON : WEIR_BODY_SSE;
    weir_pipeline_config_t config = {.protocol = protocol(argv[0]),
                                     .upstream = protocol(argv[1]),
                                     .in = kind,
                                     .out = o.as_stream ? WEIR_BODY_SSE : kind,
                                     .request_id = "req-1",
                                     .now = 1700000000,
                                     .write = take,
                                     .write_ctx = &out};
    weir_filter_t filter = weir_translate_filter(tr);
    weir_scratch_t *scratch = weir_scratch_new();
    if (scratch == NULL ||
        weir_pipeline_open(arena, scratch, &config, &filter, 1, &pipeline) != WEIR_OK) {
        die("the pipeline does not open");
    }
    weir_str_t input = read_all(stdin, arena);
    size_t piece = o.piece == 0 ? input.len + 1 : o.piece;
    for (size_t at = 0; at < input.len; at += piece) {
        size_t n = piece < input.len - at ? piece : input.len - at;
        if (weir_pipeline_feed(pipeline, input.data + at, n) != WEIR_OK) {
            die("out of memory");
        }
    }
    if (weir_pipeline_finish(pipeline, o.cut ? WEIR_END_CUT : WEIR_END_COMPLETE) != WEIR_OK) {
        die("out of memory");
    }
    print(&out);
    weir_buf_init(&out, arena);
    print_losses(tr, &out);
    fprintf(stderr, "{%.*s}\n", (int)out.len, out.data);
    weir_scratch_free(scratch);
    return 0;
}

static int run_error(char **argv, weir_arena_t *arena)
{
    weir_buf_t out;
    weir_buf_init(&out, arena);
    unsigned status = weir_translate_error(protocol(argv[0]), (unsigned)atoi(argv[1]),
                                           read_all(stdin, arena), "req-1", arena, &out);
    printf("%u\n", status);
    print(&out);
    return 0;
}

static const struct {
    const char *client;
    const char *upstream;
} pairs[] = {{"messages", "chat"}, {"chat", "messages"}, {"responses", "chat"}};

static void print_table(const char *client, const char *upstream, bool answer, bool markdown)
{
    uint32_t n;
    const weir_translate_object_t *const *objects =
        weir_translate_table(protocol(client), protocol(upstream), answer, &n);
    for (uint32_t i = 0; i < n; i++) {
        const weir_translate_object_t *object = objects[i];
        if (markdown) {
            printf("\n**`%s`**\n\n| member | becomes | |\n|---|---|---|\n", object->name);
        }
        for (uint32_t k = 0; k < object->n; k++) {
            const weir_translate_row_t *row = &object->rows[k];
            if (markdown) {
                printf("| `%s` | %s | %s |\n", row->name, weir_fate_name(row->fate), row->note);
            } else {
                printf("%s\t%s\t%s\t%s\t%s\t%s\n", client, upstream, answer ? "answer" : "request",
                       object->name, row->name, weir_fate_name(row->fate));
            }
        }
    }
}

static int run_table(bool markdown)
{
    static const char *const titles[] = {
        "A messages client, a chat completions upstream",
        "A chat completions client, a messages upstream",
        "A responses client, a chat completions upstream",
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        for (int answer = 0; answer < 2; answer++) {
            if (markdown) {
                printf("%s## %s: %s\n", i + (size_t)answer > 0 ? "\n" : "", titles[i],
                       answer ? "the answer" : "the request");
            }
            print_table(pairs[i].client, pairs[i].upstream, answer, markdown);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    weir_arena_t arena;
    int rc = 2;
    weir_arena_init(&arena, 0, 0);
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "rows") == 0 || strcmp(what, "pages") == 0) {
        rc = run_table(what[0] == 'p');
    } else if (strcmp(what, "request") == 0 && argc >= 4) {
        rc = run_request(argc - 2, argv + 2, &arena);
    } else if (strcmp(what, "count") == 0 && argc == 4) {
        rc = run_count(argv + 2, &arena);
    } else if (strcmp(what, "counted") == 0 && argc == 3) {
        rc = run_counted(argv + 2, &arena);
    } else if (strcmp(what, "answer") == 0 && argc >= 5) {
        rc = run_answer(argc - 2, argv + 2, &arena);
    } else if (strcmp(what, "error") == 0 && argc == 4) {
        rc = run_error(argv + 2, &arena);
    } else {
        fprintf(stderr, "usage: see t/programs/translate.c\n");
    }
    weir_arena_free(&arena);
    return rc;
}

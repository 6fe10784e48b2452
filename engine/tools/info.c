/* weir-llm info: metadata, shapes and sizes of a model file, without loading its weights. */
#include <stdio.h>

#include "engine/base/json.h"
#include "engine/llm/model.h"
#include "engine/tools/tool.h"

#define N_TYPES 31 /* ids of weir_dtype_t are below this */

typedef struct {
    uint32_t tensors;
    uint64_t values;
    uint64_t bytes;
} type_sum_t;

static void sum_types(const weir_gguf_t *gguf, type_sum_t sums[N_TYPES])
{
    for (uint32_t i = 0; i < weir_gguf_tensor_count(gguf); i++) {
        const weir_gguf_tensor_t *t = weir_gguf_tensor_at(gguf, i);
        type_sum_t *sum = &sums[t->type];
        sum->tensors++;
        sum->values += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
        sum->bytes += t->bytes;
    }
}

static void print_metadata(const weir_gguf_t *gguf, weir_arena_t *arena)
{
    puts("metadata:");
    for (uint32_t i = 0; i < weir_gguf_key_count(gguf); i++) {
        weir_str_t key = weir_gguf_key_name(gguf, i);
        weir_buf_t value;
        weir_buf_init(&value, arena);
        weir_gguf_describe_value(gguf, i, &value);
        printf("  %-44.*s %.*s\n", (int)key.len, key.data, (int)value.len,
               value.data != NULL ? value.data : "");
    }
}

static void print_tensors(const weir_gguf_t *gguf)
{
    puts("tensors:");
    for (uint32_t i = 0; i < weir_gguf_tensor_count(gguf); i++) {
        const weir_gguf_tensor_t *t = weir_gguf_tensor_at(gguf, i);
        char shape[96];
        int at = 0;
        for (uint32_t d = 0; d < t->n_dims; d++) {
            at += snprintf(shape + at, sizeof(shape) - (size_t)at, "%s%llu", d > 0 ? " x " : "",
                           (unsigned long long)t->dims[d]);
        }
        printf("  %-36.*s %-6s %-20s %12llu bytes\n", (int)t->name.len, t->name.data,
               weir_dtype_name(t->type), shape, (unsigned long long)t->bytes);
    }
}

static void print_types(const type_sum_t sums[N_TYPES])
{
    puts("types:");
    for (uint32_t i = 0; i < N_TYPES; i++) {
        if (sums[i].tensors > 0) {
            printf("  %-6s %5u tensors %14llu values %12.2f MB\n", weir_dtype_name(i),
                   sums[i].tensors, (unsigned long long)sums[i].values,
                   (double)sums[i].bytes / 1e6);
        }
    }
}

static void print_model(const weir_model_t *m)
{
    printf("model:\n"
           "  architecture    %.*s\n"
           "  parameters      %.2f million\n"
           "  weights         %.2f MB, %.2f bits per parameter\n"
           "  layers          %u\n"
           "  embedding       %u\n"
           "  heads           %u of %u values, %u for keys and values\n"
           "  feed-forward    %u\n"
           "  vocabulary      %u%s\n"
           "  context         %u tokens\n"
           "  rope            base %g, %u dimensions\n"
           "  KV per token    %u values\n",
           (int)m->architecture.len, m->architecture.data, (double)m->n_params / 1e6,
           (double)m->weight_bytes / 1e6, 8.0 * (double)m->weight_bytes / (double)m->n_params,
           m->n_layers, m->n_embd, m->n_heads, m->head_dim, m->n_kv_heads, m->n_ff, m->n_vocab,
           m->tied ? ", output tied to the embedding" : "", m->n_ctx, (double)m->rope.base,
           m->rope.dims, 2 * m->n_layers * m->n_kv_heads * m->head_dim);
}

static void print_json(const weir_gguf_t *gguf, const weir_model_t *m,
                       const type_sum_t sums[N_TYPES], weir_arena_t *arena)
{
    weir_buf_t b;
    weir_buf_init(&b, arena);
    weir_buf_append_z(&b, "{\"architecture\":");
    weir_json_write_string(&b, m->architecture);
    weir_buf_append_z(&b, ",\"name\":");
    weir_json_write_string(&b, m->name);
    weir_buf_printf(&b,
                    ",\"file_bytes\":%llu,\"parameters\":%llu,\"weight_bytes\":%llu"
                    ",\"layers\":%u,\"embedding\":%u,\"heads\":%u,\"kv_heads\":%u"
                    ",\"head_dim\":%u,\"feed_forward\":%u,\"vocabulary\":%u,\"context\":%u"
                    ",\"tied\":%s,\"types\":{",
                    (unsigned long long)weir_gguf_file_bytes(gguf), (unsigned long long)m->n_params,
                    (unsigned long long)m->weight_bytes, m->n_layers, m->n_embd, m->n_heads,
                    m->n_kv_heads, m->head_dim, m->n_ff, m->n_vocab, m->n_ctx,
                    m->tied ? "true" : "false");
    bool first = true;
    for (uint32_t i = 0; i < N_TYPES; i++) {
        if (sums[i].tensors > 0) {
            weir_buf_printf(&b, "%s\"%s\":{\"tensors\":%u,\"values\":%llu,\"bytes\":%llu}",
                            first ? "" : ",", weir_dtype_name(i), sums[i].tensors,
                            (unsigned long long)sums[i].values, (unsigned long long)sums[i].bytes);
            first = false;
        }
    }
    weir_buf_append_z(&b, "}}\n");
    fwrite(b.data, 1, b.len, stdout);
}

static int show(const weir_gguf_t *gguf, const char *path, bool json, bool tensors)
{
    weir_arena_t arena;
    weir_arena_init(&arena, 1 << 16, 0);
    weir_error_t err = {0};
    weir_model_t *model;
    type_sum_t sums[N_TYPES] = {0};
    sum_types(gguf, sums);
    weir_status_t status = weir_model_load(gguf, &arena, &model, &err);
    int rc = TOOL_OK;
    if (json && status == WEIR_OK) {
        print_json(gguf, model, sums, &arena);
    } else if (!json) {
        /* Also for a model that cannot be run: what the file says is worth seeing. */
        printf("file: %s, %.2f MB, %u tensors, %u keys\n", path,
               (double)weir_gguf_file_bytes(gguf) / 1e6, weir_gguf_tensor_count(gguf),
               weir_gguf_key_count(gguf));
        print_metadata(gguf, &arena);
        if (tensors) {
            print_tensors(gguf);
        }
        print_types(sums);
        if (status == WEIR_OK) {
            print_model(model);
        }
    }
    if (status != WEIR_OK) {
        rc = tool_error("%s", err.message);
    }
    weir_arena_free(&arena);
    return rc;
}

int tool_info(int argc, char **argv)
{
    const char *model = NULL;
    bool json = false;
    bool tensors = false;
    cli_option_t options[] = {
        {.name = "model",
         .letter = 'm',
         .kind = CLI_STRING,
         .target = &model,
         .value = "FILE",
         .help = "model in GGUF [$WEIR_MODEL]"},
        {.name = "tensors", .kind = CLI_FLAG, .target = &tensors, .help = "list every tensor"},
        {.name = "json", .kind = CLI_FLAG, .target = &json, .help = "one JSON object"},
    };
    const char *arguments[1];
    cli_t cli = {.command = "weir-llm info",
                 .usage = "[options] [FILE]",
                 .about = "Shows metadata, weight types, shapes and sizes of a model file.",
                 .options = options,
                 .n_options = sizeof(options) / sizeof(*options),
                 .arguments = arguments,
                 .max_arguments = 1};
    cli_outcome_t outcome = cli_parse(&cli, argc, argv);
    if (outcome != CLI_GO_ON) {
        return outcome == CLI_DONE ? TOOL_OK : TOOL_USAGE;
    }
    const char *path = tool_model_path(cli.n_arguments > 0 ? arguments[0] : model);
    weir_gguf_t *gguf;
    weir_error_t err = {0};
    if (path == NULL) {
        return TOOL_FAILED;
    }
    if (weir_gguf_open(path, &gguf, &err) != WEIR_OK) {
        return tool_error("%s", err.message);
    }
    int rc = show(gguf, path, json, tensors);
    weir_gguf_close(gguf);
    return rc;
}

/* JSON lines: one object a line in, the same object out with members added or replaced. */
#include "engine/base/json.h"
#include "guardrails/tools/tool.h"

#include <errno.h>
#include <stdlib.h>

/* Members that weir-guard writes: those of an earlier run give way. */
static bool is_ours(const weir_json_doc_t *doc, uint32_t key)
{
    return weir_json_string_is(doc, key, "findings") || weir_json_string_is(doc, key, "scores") ||
           weir_json_string_is(doc, key, "action") || weir_json_string_is(doc, key, "truncated");
}

static void write_line(const weir_json_doc_t *doc, uint32_t text, weir_str_t new_text,
                       const weir_buf_t *members, weir_buf_t *out)
{
    uint32_t key = 1;
    bool first = true;
    weir_buf_append_char(out, '{');
    while (key < doc->nodes[0].next) {
        uint32_t value = doc->nodes[key].next;
        if (!is_ours(doc, key)) {
            weir_buf_append_z(out, first ? "" : ", ");
            weir_buf_append_str(out, weir_json_raw(doc, key));
            weir_buf_append_z(out, ": ");
            if (value == text && new_text.data != NULL) {
                weir_json_write_string(out, new_text);
            } else {
                weir_buf_append_str(out, weir_json_raw(doc, value));
            }
            first = false;
        }
        key = doc->nodes[value].next;
    }
    weir_buf_append(out, members->data, members->len);
    weir_buf_append_z(out, "}\n");
}

static weir_status_t do_line(weir_str_t line, weir_arena_t *arena, weir_guard_line_pt each,
                             void *ctx, weir_buf_t *out, weir_error_t *err)
{
    weir_json_doc_t doc;
    weir_str_t text;
    weir_str_t new_text = {NULL, 0};
    weir_buf_t members;
    weir_status_t status = weir_json_parse(line.data, line.len, NULL, arena, &doc, err);
    if (status != WEIR_OK) {
        return status;
    }
    uint32_t node = weir_json_get(&doc, 0, "text");
    if (node == WEIR_JSON_NONE || weir_json_string(&doc, node, arena, &text) != WEIR_OK) {
        return weir_error(err, WEIR_ERR_INVALID, "not an object with a string \"text\"");
    }
    weir_buf_init(&members, arena);
    status = each(ctx, text, &members, &new_text, err);
    if (status == WEIR_OK) {
        write_line(&doc, node, new_text, &members, out);
    }
    return status;
}

static int each_line_of(FILE *in, const char *name, weir_guard_line_pt each, void *ctx)
{
    weir_arena_t arena;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n = 0;
    int rc = 0;
    weir_arena_init(&arena, 64 * 1024, 0);
    for (unsigned long number = 1; (n = getline(&line, &cap, in)) >= 0; number++) {
        weir_error_t err = {0};
        weir_buf_t out;
        size_t len = (size_t)n;
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r')) {
            len--;
        }
        if (len == 0) {
            fputc('\n', stdout);
            continue;
        }
        weir_arena_reset(&arena);
        weir_buf_init(&out, &arena);
        if (do_line(weir_str(line, len), &arena, each, ctx, &out, &err) != WEIR_OK) {
            weir_buf_init(&out, &arena);
            weir_buf_append_z(&out, "{\"error\": ");
            weir_json_write_string(&out, weir_str(err.message, strlen(err.message)));
            weir_buf_append_z(&out, "}\n");
            rc = weir_guard_complain("%s: line %lu: %s", name, number, err.message);
        }
        if (out.failed) {
            rc = weir_guard_complain("%s: line %lu: no memory", name, number);
            break;
        }
        fwrite(out.data, 1, out.len, stdout);
    }
    if (ferror(in) != 0) {
        rc = weir_guard_complain("%s: cannot be read", name);
    }
    free(line);
    weir_arena_free(&arena);
    return rc;
}

int weir_guard_each_line(const weir_guard_tool_options_t *o, weir_guard_line_pt each, void *ctx)
{
    int rc = 0;
    if (o->file_count == 0) {
        return each_line_of(stdin, "standard input", each, ctx);
    }
    for (int i = 0; i < o->file_count; i++) {
        bool standard = strcmp(o->files[i], "-") == 0;
        FILE *in = standard ? stdin : fopen(o->files[i], "rb");
        if (in == NULL) {
            rc = weir_guard_complain("%s: %s", o->files[i], strerror(errno));
            continue;
        }
        rc |= each_line_of(in, o->files[i], each, ctx);
        if (!standard) {
            fclose(in);
        }
    }
    return rc;
}

/* JSON: scanning, looking at every value, and writing what was read. */
#include <math.h>
#include <stdlib.h>

#include "engine/base/json.h"

static void check(bool cond)
{
    if (!cond) {
        abort();
    }
}

/* A string must come back from the writer as it was. */
static void check_string(const weir_json_doc_t *doc, uint32_t node, weir_arena_t *arena)
{
    weir_str_t s;
    weir_str_t back;
    weir_json_doc_t again;
    weir_json_node_t one[4];
    weir_buf_t buf;
    check(weir_json_string(doc, node, arena, &s) == WEIR_OK);
    weir_buf_init(&buf, arena);
    weir_json_write_string(&buf, s);
    check(weir_json_scan(buf.data, buf.len, NULL, one, 4, &again, NULL) == WEIR_OK);
    check(weir_json_string(&again, 0, arena, &back) == WEIR_OK && weir_str_eq(s, back));
}

static void check_number(const weir_json_doc_t *doc, uint32_t node, weir_arena_t *arena)
{
    int64_t i = 0;
    double d = 0;
    double back = 0;
    weir_json_doc_t again;
    weir_json_node_t one[4];
    weir_buf_t buf;
    bool is_int = weir_json_int64(doc, node, &i);
    if (!weir_json_double(doc, node, &d)) {
        check(!is_int);
        return;
    }
    check(!is_int || fabs((double)i - d) <= fabs(d) * 1e-15);
    weir_buf_init(&buf, arena);
    weir_json_write_double(&buf, d);
    check(weir_json_scan(buf.data, buf.len, NULL, one, 4, &again, NULL) == WEIR_OK);
    check(weir_json_double(&again, 0, &back) && back == d);
}

static void check_node(const weir_json_doc_t *doc, uint32_t node, weir_arena_t *arena)
{
    const weir_json_node_t *n = &doc->nodes[node];
    check(n->start < n->end && n->end <= doc->len && n->next > node && n->next <= doc->count);
    switch (weir_json_type(doc, node)) {
    case WEIR_JSON_STRING:
        check_string(doc, node, arena);
        break;
    case WEIR_JSON_NUMBER:
        check_number(doc, node, arena);
        break;
    case WEIR_JSON_ARRAY:
        check(weir_json_at(doc, node, n->size) == WEIR_JSON_NONE);
        check(n->size == 0 || weir_json_at(doc, node, n->size - 1) < n->next);
        break;
    case WEIR_JSON_OBJECT:
        weir_json_get(doc, node, "key");
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* An allocation of exactly this size, so that a step behind the end is seen. */
    char *text = malloc(size == 0 ? 1 : size);
    memcpy(text, data, size);
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 64u << 20);
    weir_json_doc_t doc;
    weir_error_t err;
    weir_status_t status = weir_json_parse(text, size, NULL, &arena, &doc, &err);
    if (status == WEIR_OK) {
        for (uint32_t i = 0; i < doc.count; i++) {
            check_node(&doc, i, &arena);
        }
        check(doc.nodes[0].next == doc.count);
    } else {
        check(err.message[0] != '\0');
    }
    /* The promise of len/2 + 1 nodes. */
    weir_json_node_t *nodes = malloc((size / 2 + 1) * sizeof(*nodes));
    weir_status_t second =
        weir_json_scan(text, size, NULL, nodes, (uint32_t)(size / 2 + 1), &doc, &err);
    check(second == status);
    free(nodes);
    free(text);
    weir_arena_free(&arena);
    return 0;
}

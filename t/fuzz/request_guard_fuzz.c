/*
 * The guard of requests: the outcome does not depend on how the work is cut, the edited body is
 * JSON where the body was, and what is not replaced stays byte for byte. The first byte chooses
 * the endpoint, the second what becomes of findings.
 */
#include <stdlib.h>

#include "lua-free-filters/request_guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static weir_guard_rules_t *rules;
static weir_guard_scratch_t *scratch;
static weir_guard_fold_t fold;

static void require(bool cond)
{
    if (!cond)
        abort();
}

static weir_request_action_t decide(void *ctx, const weir_guard_finding_t *f, weir_str_t value,
                                    weir_request_part_t part, uint32_t text,
                                    weir_str_t *replacement)
{
    (void)text;
    require(f->start < f->end && value.len == f->end - f->start && part < WEIR_PARTS);
    *replacement = WEIR_STR("<a\"b\\c>");
    return *(const weir_request_action_t *)ctx;
}

static weir_str_t guarded(weir_arena_t *arena, weir_endpoint_t endpoint,
                          weir_request_action_t action, const weir_json_doc_t *doc, size_t budget)
{
    weir_request_text_t *texts;
    uint32_t count;
    weir_request_guard_t *g;
    weir_placeholders_t *names = NULL;
    weir_edit_t edit;
    weir_error_t err;
    weir_status_t rc;
    weir_request_guard_options_t options = {
        .rules = rules, .parts = UINT32_MAX, .decide = decide, .ctx = &action};
    require(weir_request_texts(endpoint, doc, arena, &texts, &count) == WEIR_OK);
    for (uint32_t i = 0; i < count; i++)
        require(texts[i].node < doc->count);
    require(weir_request_guard_open(arena, doc, texts, count, &options, &g) == WEIR_OK);
    do
        rc = weir_request_guard_step(g, scratch, &fold, budget, &err);
    while (rc == WEIR_ERR_BUSY);
    if (rc == WEIR_ERR_STATE)
        return weir_str(NULL, 0);
    require(rc == WEIR_OK);
    if (weir_request_guard_needs_names(g)) {
        require(weir_placeholders_open(arena, NULL, &names) == WEIR_OK);
        do
            rc = weir_request_guard_names(g, names, budget);
        while (rc == WEIR_ERR_BUSY);
        require(rc == WEIR_OK);
    }
    weir_edit_init(&edit, arena);
    do
        rc = weir_request_guard_edit(g, names, &edit, budget, &err);
    while (rc == WEIR_ERR_BUSY);
    require(rc == WEIR_OK);
    size_t len = weir_edit_length(&edit, doc->len);
    char *out = weir_arena_alloc(arena, len + 1);
    weir_edit_apply(&edit, doc->text, doc->len, out);
    return weir_str(out, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    weir_arena_t arena;
    weir_json_doc_t doc;
    weir_json_doc_t after;
    const weir_json_limits_t limits = {.allow_duplicate_keys = true};
    if (rules == NULL) {
        weir_guard_options_t options = {.pii = true, .secrets = true};
        require(weir_guard_rules_compile(&options, &rules, NULL) == WEIR_OK);
        scratch = weir_guard_scratch_create();
    }
    if (size < 3)
        return 0;
    weir_endpoint_t endpoint = (weir_endpoint_t)(data[0] % WEIR_ENDPOINTS);
    weir_request_action_t action = (weir_request_action_t)(data[1] % 4);
    weir_arena_init(&arena, 0, 0);
    if (weir_json_parse((const char *)data + 2, size - 2, &limits, &arena, &doc, NULL) == WEIR_OK) {
        weir_str_t whole = guarded(&arena, endpoint, action, &doc, SIZE_MAX / 2);
        weir_str_t cut = guarded(&arena, endpoint, action, &doc, 1);
        require(whole.len == cut.len && (whole.data == NULL) == (cut.data == NULL));
        require(whole.len == 0 || whole.data == NULL ||
                memcmp(whole.data, cut.data, whole.len) == 0);
        if (action == WEIR_REQUEST_KEEP)
            require(whole.data != NULL && weir_str_eq(whole, weir_str(doc.text, doc.len)));
        if (whole.data != NULL)
            require(weir_json_parse(whole.data, whole.len, &limits, &arena, &after, NULL) ==
                    WEIR_OK);
    }
    weir_arena_free(&arena);
    return 0;
}

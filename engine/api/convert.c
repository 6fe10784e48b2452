/* /tokenize and /detokenize, and model ids in paths. */
#include "engine/api/fields.h"
#include "engine/base/hex.h"

static weir_status_t tokenize(weir_str_t body, const weir_api_names_t *names,
                              const weir_api_model_t *model, weir_arena_t *arena, weir_buf_t *out,
                              weir_error_t *err)
{
    weir_fields_t f = {.arena = arena, .err = err};
    size_t max = model->context > WEIR_API_MAX_TOKENIZE ? model->context : WEIR_API_MAX_TOKENIZE;
    bool add_special = true;
    bool parse_special = false;
    weir_str_t prompt = {NULL, 0};
    weir_json_doc_t doc;
    int32_t *ids;
    size_t count;
    weir_status_t rc;

    if ((rc = weir_fields_open(&f, body, names, false, &doc)) != WEIR_OK ||
        (rc = weir_field_string(&f, "prompt", &prompt)) != WEIR_OK ||
        (rc = weir_field_bool(&f, 0, "add_special_tokens", &add_special)) != WEIR_OK ||
        (rc = weir_field_bool(&f, 0, "parse_special", &parse_special)) != WEIR_OK) {
        return rc;
    }
    if (weir_field(&f, 0, "prompt") == WEIR_JSON_NONE) {
        return weir_field_error(&f, "prompt", "is required");
    }
    weir_text_span_t span = {0, (uint32_t)prompt.len, parse_special};
    rc = weir_tokenizer_encode(model->tokenizer, prompt, &span, prompt.len > 0 ? 1 : 0, add_special,
                               max, arena, &ids, &count, err);
    if (rc == WEIR_ERR_LIMIT) {
        return weir_field_error(&f, "prompt", "has more than %zu tokens; send it in parts", max);
    }
    if (rc != WEIR_OK) {
        return rc;
    }
    weir_buf_append_z(out, "{\"tokens\":[");
    for (size_t i = 0; i < count; i++) {
        weir_buf_printf(out, i == 0 ? "%d" : ",%d", (int)ids[i]);
    }
    weir_buf_printf(out, "],\"count\":%zu,\"max_model_len\":%u}", count, (unsigned)model->context);
    return out->failed ? weir_error(err, WEIR_ERR_NOMEM, "out of memory for the tokens") : WEIR_OK;
}

static weir_status_t detokenize(weir_str_t body, const weir_api_names_t *names,
                                const weir_api_model_t *model, weir_arena_t *arena, weir_buf_t *out,
                                weir_error_t *err)
{
    weir_fields_t f = {.arena = arena, .err = err};
    size_t max = model->context > WEIR_API_MAX_TOKENIZE ? model->context : WEIR_API_MAX_TOKENIZE;
    bool skip_special = false;
    weir_json_doc_t doc;
    weir_buf_t text;
    uint32_t node;
    int32_t *ids;
    size_t count;
    weir_status_t rc;

    if ((rc = weir_fields_open(&f, body, names, false, &doc)) != WEIR_OK ||
        (rc = weir_field_node(&f, "tokens", WEIR_JSON_ARRAY, &node)) != WEIR_OK ||
        (rc = weir_field_bool(&f, 0, "skip_special_tokens", &skip_special)) != WEIR_OK) {
        return rc;
    }
    if (node == WEIR_JSON_NONE) {
        return weir_field_error(&f, "tokens", "is required");
    }
    rc = weir_field_ids(&f, node, "tokens", weir_tokenizer_vocab_size(model->tokenizer), max, &ids,
                        &count);
    if (rc != WEIR_OK) {
        return rc;
    }
    weir_buf_init(&text, arena);
    rc = weir_tokenizer_decode(model->tokenizer, ids, count, !skip_special, &text);
    if (rc != WEIR_OK || text.failed) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory for the text");
    }
    weir_buf_append_z(out, "{\"prompt\":");
    weir_json_write_string(out, weir_str(text.data, text.len));
    weir_buf_append_z(out, "}");
    return out->failed ? weir_error(err, WEIR_ERR_NOMEM, "out of memory for the text") : WEIR_OK;
}

weir_status_t weir_api_tokenize(weir_str_t body, const weir_api_names_t *names,
                                const weir_api_model_t *model, weir_arena_t *arena, weir_buf_t *out,
                                weir_error_t *err)
{
    return weir_request_memory(tokenize(body, names, model, arena, out, err), arena, err);
}

weir_status_t weir_api_detokenize(weir_str_t body, const weir_api_names_t *names,
                                  const weir_api_model_t *model, weir_arena_t *arena,
                                  weir_buf_t *out, weir_error_t *err)
{
    return weir_request_memory(detokenize(body, names, model, arena, out, err), arena, err);
}

bool weir_api_decode_segment(weir_str_t raw, weir_arena_t *arena, weir_str_t *out)
{
    char *text = weir_arena_alloc(arena, raw.len);
    size_t n = 0;
    if (text == NULL) {
        return false;
    }
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.data[i];
        if (c == '%') {
            if (raw.len - i < 3 || weir_hex_digit(raw.data[i + 1]) < 0 ||
                weir_hex_digit(raw.data[i + 2]) < 0) {
                return false;
            }
            c = (char)(weir_hex_digit(raw.data[i + 1]) * 16 + weir_hex_digit(raw.data[i + 2]));
            i += 2;
        }
        if (c == '\0') {
            return false;
        }
        text[n++] = c;
    }
    *out = weir_str(text, n);
    return weir_utf8_valid(text, n) == n;
}

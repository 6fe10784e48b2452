#include "engine/api/logprobs.h"

#include "engine/base/json.h"

#include <math.h>

/* JSON has no infinity, and clients expect a number: OpenAI's own stand-in. */
#define LEAST_LOGPROB (-9999.0)

static void write_logprob(weir_buf_t *out, float logprob)
{
    double value = isfinite(logprob) ? (double)logprob : LEAST_LOGPROB;
    weir_buf_printf(out, "%.7g", value);
}

static void write_bytes(weir_buf_t *out, weir_str_t bytes)
{
    weir_buf_append_char(out, '[');
    for (size_t i = 0; i < bytes.len; i++) {
        weir_buf_printf(out, i == 0 ? "%u" : ",%u", (unsigned)(uint8_t)bytes.data[i]);
    }
    weir_buf_append_char(out, ']');
}

static void write_chat_token(weir_buf_t *out, weir_str_t bytes, float logprob)
{
    weir_buf_append_z(out, "{\"token\":");
    weir_json_write_string(out, bytes);
    weir_buf_append_z(out, ",\"logprob\":");
    write_logprob(out, logprob);
    weir_buf_append_z(out, ",\"bytes\":");
    write_bytes(out, bytes);
}

void weir_logprobs_chat_item(weir_buf_t *out, const weir_tokenizer_t *tok,
                             const weir_event_t *event, uint32_t n_top)
{
    write_chat_token(out, weir_tokenizer_token_bytes(tok, event->token), event->logprob);
    weir_buf_append_z(out, ",\"top_logprobs\":[");
    for (uint32_t i = 0; i < event->n_top && i < n_top; i++) {
        if (i > 0) {
            weir_buf_append_char(out, ',');
        }
        write_chat_token(out, weir_tokenizer_token_bytes(tok, event->top[i].token),
                         event->top[i].logprob);
        weir_buf_append_char(out, '}');
    }
    weir_buf_append_z(out, "]}");
}

void weir_logprobs_init(weir_logprob_lists_t *lists, weir_arena_t *arena, uint64_t offset)
{
    weir_buf_init(&lists->tokens, arena);
    weir_buf_init(&lists->token_logprobs, arena);
    weir_buf_init(&lists->top_logprobs, arena);
    weir_buf_init(&lists->text_offset, arena);
    lists->offset = offset;
}

uint64_t weir_count_chars(weir_str_t text)
{
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        n += ((uint8_t)text.data[i] & 0xC0) != 0x80;
    }
    return n;
}

/*
 * A token as a key or list element of the completions API. Part of a character is written as
 * OpenAI does, "bytes:\xe2\x80", so that two such tokens stay two keys.
 */
static void write_token_name(weir_buf_t *out, weir_str_t bytes)
{
    if (weir_utf8_valid(bytes.data, bytes.len) == bytes.len) {
        weir_json_write_string(out, bytes);
        return;
    }
    weir_buf_append_z(out, "\"bytes:");
    for (size_t i = 0; i < bytes.len; i++) {
        weir_buf_printf(out, "\\\\x%02x", (unsigned)(uint8_t)bytes.data[i]);
    }
    weir_buf_append_char(out, '"');
}

/* Whether one of the first n alternatives reads like name, as two ids of one text do. */
static bool among(const weir_tokenizer_t *tok, const weir_event_t *event, uint32_t n,
                  weir_str_t name)
{
    for (uint32_t k = 0; k < n; k++) {
        if (weir_str_eq(name, weir_tokenizer_token_bytes(tok, event->top[k].token))) {
            return true;
        }
    }
    return false;
}

static void write_pair(weir_buf_t *out, weir_str_t name, float logprob, bool *first)
{
    if (!*first) {
        weir_buf_append_char(out, ',');
    }
    *first = false;
    write_token_name(out, name);
    weir_buf_append_char(out, ':');
    write_logprob(out, logprob);
}

/* The most likely tokens and, as OpenAI documents it, the chosen one if it is not among them. */
static void write_top(weir_buf_t *out, const weir_tokenizer_t *tok, const weir_event_t *event,
                      uint32_t n_top)
{
    uint32_t n = event->n_top < n_top ? event->n_top : n_top;
    weir_str_t chosen = weir_tokenizer_token_bytes(tok, event->token);
    bool first = true;
    weir_buf_append_char(out, '{');
    for (uint32_t i = 0; i < n; i++) {
        weir_str_t name = weir_tokenizer_token_bytes(tok, event->top[i].token);
        if (!among(tok, event, i, name)) {
            write_pair(out, name, event->top[i].logprob, &first);
        }
    }
    if (!among(tok, event, n, chosen)) {
        write_pair(out, chosen, event->logprob, &first);
    }
    weir_buf_append_char(out, '}');
}

static void separate(weir_buf_t *list)
{
    if (list->len > 0) {
        weir_buf_append_char(list, ',');
    }
}

void weir_logprobs_add(weir_logprob_lists_t *lists, const weir_tokenizer_t *tok,
                       const weir_event_t *event, uint32_t n_top, bool known)
{
    weir_str_t bytes = weir_tokenizer_token_bytes(tok, event->token);
    separate(&lists->tokens);
    separate(&lists->token_logprobs);
    separate(&lists->top_logprobs);
    separate(&lists->text_offset);
    write_token_name(&lists->tokens, bytes);
    weir_buf_printf(&lists->text_offset, "%llu", (unsigned long long)lists->offset);
    lists->offset += weir_count_chars(bytes);
    if (known) {
        write_logprob(&lists->token_logprobs, event->logprob);
    } else {
        weir_buf_append_z(&lists->token_logprobs, "null");
    }
    if (known && n_top > 0) {
        write_top(&lists->top_logprobs, tok, event, n_top);
    } else {
        weir_buf_append_z(&lists->top_logprobs, "null");
    }
}

static void write_list(weir_buf_t *out, const char *name, const weir_buf_t *a, const weir_buf_t *b)
{
    weir_buf_append_z(out, name);
    if (a != NULL) {
        weir_buf_append(out, a->data, a->len);
    }
    if (a != NULL && b != NULL && a->len > 0 && b->len > 0) {
        weir_buf_append_char(out, ',');
    }
    if (b != NULL) {
        weir_buf_append(out, b->data, b->len);
    }
}

void weir_logprobs_write(weir_buf_t *out, const weir_logprob_lists_t *a,
                         const weir_logprob_lists_t *b)
{
    write_list(out, "{\"tokens\":[", a ? &a->tokens : NULL, b ? &b->tokens : NULL);
    write_list(out, "],\"token_logprobs\":[", a ? &a->token_logprobs : NULL,
               b ? &b->token_logprobs : NULL);
    write_list(out, "],\"top_logprobs\":[", a ? &a->top_logprobs : NULL,
               b ? &b->top_logprobs : NULL);
    write_list(out, "],\"text_offset\":[", a ? &a->text_offset : NULL, b ? &b->text_offset : NULL);
    weir_buf_append_z(out, "]}");
}

bool weir_logprobs_failed(const weir_logprob_lists_t *lists)
{
    return lists->tokens.failed || lists->token_logprobs.failed || lists->top_logprobs.failed ||
           lists->text_offset.failed;
}

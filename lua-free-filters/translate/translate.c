/* The pairs of protocols and their parts. */
#include "lua-free-filters/translate/translation.h"

typedef struct {
    weir_protocol_t client;
    weir_protocol_t upstream;
    weir_status_t (*request)(weir_tctx_t *c);
    weir_status_t (*answer)(weir_tctx_t *c);
    void *(*stream)(weir_translation_t *tr);
    weir_filter_table_t filter;
    const weir_translate_list_t *request_table;
    const weir_translate_list_t *answer_table;
} pair_t;

static const pair_t pairs[] = {
    {WEIR_PROTOCOL_MESSAGES,
     WEIR_PROTOCOL_CHAT,
     weir_messages_to_chat,
     weir_answer_to_messages,
     weir_stream_to_messages,
     {.name = "translate chat to messages",
      .flags = WEIR_FILTER_MUST_SEE,
      .feed = weir_stream_to_messages_feed,
      .end = weir_stream_to_messages_end},
     &weir_messages_request_list,
     &weir_chat_answer_list},
    {WEIR_PROTOCOL_CHAT,
     WEIR_PROTOCOL_MESSAGES,
     weir_chat_to_messages,
     weir_answer_to_chat,
     weir_stream_to_chat,
     {.name = "translate messages to chat",
      .flags = WEIR_FILTER_MUST_SEE,
      .feed = weir_stream_to_chat_feed,
      .end = weir_stream_to_chat_end},
     &weir_chat_request_list,
     &weir_messages_answer_list},
    {WEIR_PROTOCOL_RESPONSES,
     WEIR_PROTOCOL_CHAT,
     weir_responses_to_chat,
     weir_answer_to_responses,
     weir_stream_to_responses,
     {.name = "translate chat to responses",
      .flags = WEIR_FILTER_MUST_SEE,
      .feed = weir_stream_to_responses_feed,
      .end = weir_stream_to_responses_end},
     &weir_responses_request_list,
     &weir_responses_answer_list},
};

static const pair_t *pair_of(weir_protocol_t client, weir_protocol_t upstream)
{
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (pairs[i].client == client && pairs[i].upstream == upstream) {
            return &pairs[i];
        }
    }
    return NULL;
}

bool weir_translate_supported(weir_protocol_t client, weir_protocol_t upstream)
{
    return pair_of(client, upstream) != NULL;
}

const char *weir_translate_path(weir_protocol_t upstream)
{
    return upstream == WEIR_PROTOCOL_MESSAGES ? "/v1/messages" : "/v1/chat/completions";
}

/* The members that all three requests have. */
static weir_status_t read_common(weir_tctx_t *c)
{
    weir_translation_t *tr = c->tr;
    uint32_t model;
    weir_str_t name = tr->options.model;
    if (!weir_is(c->doc, 0, WEIR_JSON_OBJECT)) {
        return weir_malformed(c, NULL, NULL, "must be a JSON object");
    }
    weir_status_t s = WEIR_OK;
    if (name.len == 0 || weir_member(c->doc, 0, "model") != WEIR_JSON_NONE) {
        s = weir_need(c, 0, "model", WEIR_JSON_STRING, NULL, &model);
    }
    if (s != WEIR_OK) {
        return s;
    }
    if (name.len > 0) {
        weir_buf_t quoted;
        weir_buf_init(&quoted, tr->arena);
        weir_json_write_string(&quoted, name);
        tr->model_raw = weir_str(quoted.data, quoted.len);
    } else {
        tr->model_raw = weir_keep(tr, weir_json_raw(c->doc, model));
    }
    uint32_t stream = weir_member(c->doc, 0, "stream");
    if (stream != WEIR_JSON_NONE && !weir_is_true(c->doc, stream) &&
        !weir_is(c->doc, stream, WEIR_JSON_FALSE)) {
        return weir_malformed(c, NULL, "stream", "must be true or false");
    }
    tr->stream = weir_is_true(c->doc, stream);
    uint32_t options = weir_member(c->doc, 0, "stream_options");
    tr->include_usage = weir_is_true(c->doc, weir_member(c->doc, options, "include_usage"));
    return tr->model_raw.len > 0 ? WEIR_OK : weir_error(c->err, WEIR_ERR_NOMEM, "out of memory");
}

static weir_status_t translate(const pair_t *pair, const weir_json_doc_t *doc,
                               const weir_translate_options_t *options, bool count,
                               weir_arena_t *arena, weir_buf_t *out, weir_translation_t **result,
                               weir_error_t *err)
{
    weir_translation_t *tr = weir_arena_calloc(arena, 1, sizeof(*tr));
    if (tr == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    tr->client = pair->client;
    tr->upstream = pair->upstream;
    tr->arena = arena;
    tr->asked_count = count;
    if (options != NULL) {
        tr->options = *options;
    }
    if (tr->options.max_held == 0) {
        tr->options.max_held = WEIR_MAX_HELD;
    }
    weir_tctx_t c = {tr, doc, arena, out, err};
    weir_status_t s = read_common(&c);
    if (s == WEIR_OK) {
        s = pair->request(&c);
    }
    if (s == WEIR_OK && out->failed) {
        s = weir_error(err, WEIR_ERR_NOMEM, "out of memory");
    }
    *result = s == WEIR_OK ? tr : NULL;
    return s;
}

weir_status_t weir_translate_request(weir_protocol_t client, weir_protocol_t upstream,
                                     const weir_json_doc_t *doc,
                                     const weir_translate_options_t *options, weir_arena_t *arena,
                                     weir_buf_t *out, weir_translation_t **translation,
                                     weir_error_t *err)
{
    const pair_t *pair = pair_of(client, upstream);
    *translation = NULL;
    if (pair == NULL) {
        return weir_error(err, WEIR_ERR_UNSUPPORTED,
                          "this API cannot be translated to the upstream's");
    }
    return translate(pair, doc, options, false, arena, out, translation, err);
}

bool weir_translation_stream(const weir_translation_t *translation)
{
    return translation->stream;
}

unsigned weir_translation_answered(weir_translation_t *translation, unsigned status)
{
    translation->status = status;
    return weir_client_status(translation->client, status);
}

weir_filter_t weir_translate_filter(weir_translation_t *translation)
{
    const pair_t *pair = pair_of(translation->client, translation->upstream);
    return (weir_filter_t){&pair->filter, pair->stream(translation)};
}

weir_status_t weir_translate_answer(weir_translation_t *translation, const weir_json_doc_t *doc,
                                    weir_buf_t *out, weir_error_t *err)
{
    const pair_t *pair = pair_of(translation->client, translation->upstream);
    uint32_t node;
    if (weir_is_error(doc, &node)) {
        weir_upstream_error_t error;
        weir_read_error(doc, node, 400, out->arena, &error);
        weir_write_error(translation->client, weir_error_status_of(&error), &error,
                         translation->options.request_id, out);
        return out->failed ? weir_error(err, WEIR_ERR_NOMEM, "out of memory") : WEIR_OK;
    }
    weir_tctx_t c = {translation, doc, out->arena, out, err};
    weir_status_t s = pair->answer(&c);
    return s == WEIR_OK && out->failed ? weir_error(err, WEIR_ERR_NOMEM, "out of memory") : s;
}

const weir_translate_loss_t *weir_translation_losses(const weir_translation_t *translation,
                                                     uint32_t *n)
{
    *n = translation->n_losses;
    return translation->losses;
}

const weir_translate_object_t *const *
weir_translate_table(weir_protocol_t client, weir_protocol_t upstream, bool answer, uint32_t *n)
{
    const pair_t *pair = pair_of(client, upstream);
    *n = 0;
    if (pair == NULL) {
        return NULL;
    }
    const weir_translate_list_t *list = answer ? pair->answer_table : pair->request_table;
    *n = list->n;
    return list->objects;
}

/* --- counting --- */

/* responses to messages goes by way of chat. */
static weir_status_t count_responses(const weir_json_doc_t *doc,
                                     const weir_translate_options_t *options, weir_arena_t *arena,
                                     weir_buf_t *out, weir_error_t *err)
{
    weir_translation_t *tr;
    weir_buf_t chat;
    weir_json_doc_t middle;
    weir_json_limits_t limits = {.max_depth = 128};
    weir_buf_init(&chat, arena);
    weir_status_t s = translate(pair_of(WEIR_PROTOCOL_RESPONSES, WEIR_PROTOCOL_CHAT), doc, options,
                                true, arena, &chat, &tr, err);
    if (s == WEIR_OK) {
        s = weir_json_parse(chat.data, chat.len, &limits, arena, &middle, err);
    }
    return s != WEIR_OK ? s
                        : translate(pair_of(WEIR_PROTOCOL_CHAT, WEIR_PROTOCOL_MESSAGES), &middle,
                                    options, true, arena, out, &tr, err);
}

weir_status_t weir_translate_count_request(weir_protocol_t client, weir_protocol_t upstream,
                                           const weir_json_doc_t *doc,
                                           const weir_translate_options_t *options,
                                           weir_arena_t *arena, weir_buf_t *out, const char **path,
                                           weir_error_t *err)
{
    weir_translation_t *tr;
    const pair_t *pair = pair_of(client, upstream);
    *path = upstream == WEIR_PROTOCOL_MESSAGES ? "/v1/messages/count_tokens" : "/tokenize";
    if (client == WEIR_PROTOCOL_RESPONSES && upstream == WEIR_PROTOCOL_MESSAGES) {
        return count_responses(doc, options, arena, out, err);
    }
    if (pair == NULL || client == WEIR_PROTOCOL_CHAT) {
        return weir_error(err, WEIR_ERR_UNSUPPORTED, "this API has no call that counts tokens");
    }
    return translate(pair, doc, options, true, arena, out, &tr, err);
}

void weir_translate_count_write(weir_protocol_t client, int64_t tokens, weir_buf_t *out)
{
    jo_open(out, '{');
    if (client == WEIR_PROTOCOL_RESPONSES) {
        jo_kz(out, "object", "\"response.input_tokens\"");
    }
    jo_kint(out, "input_tokens", tokens);
    jo_close(out, '}');
}

weir_status_t weir_translate_count_answer(weir_protocol_t client, const weir_json_doc_t *doc,
                                          weir_buf_t *out, weir_error_t *err)
{
    int64_t tokens;
    if ((!weir_json_int64(doc, weir_member(doc, 0, "count"), &tokens) &&
         !weir_json_int64(doc, weir_member(doc, 0, "input_tokens"), &tokens)) ||
        tokens < 0) {
        return weir_error(err, WEIR_ERR_INVALID, "the upstream's answer holds no count of tokens");
    }
    weir_translate_count_write(client, tokens, out);
    return out->failed ? weir_error(err, WEIR_ERR_NOMEM, "out of memory") : WEIR_OK;
}

static weir_status_t feed_count(void *self, weir_item_t *item, weir_sink_t *sink)
{
    const weir_protocol_t *client = self;
    weir_buf_t out;
    weir_error_t err;

    if (item->kind != WEIR_ITEM_DOCUMENT) {
        return weir_sink_pass(sink, item);
    }
    const weir_json_doc_t *doc = weir_item_json(sink, item);
    weir_buf_init(&out, weir_sink_arena(sink));
    weir_status_t s =
        doc == NULL ? WEIR_ERR_INVALID : weir_translate_count_answer(*client, doc, &out, &err);
    if (s == WEIR_ERR_INVALID) {
        weir_stop_with(sink, "the upstream's answer holds no count of tokens");
        return WEIR_OK;
    }
    if (s != WEIR_OK) {
        return s;
    }
    weir_item_replace(item, weir_str(out.data, out.len));
    return weir_sink_pass(sink, item);
}

weir_status_t weir_translate_count_filter(weir_protocol_t client, weir_arena_t *arena,
                                          weir_filter_t *out)
{
    static const weir_filter_table_t table = {
        .name = "count", .flags = WEIR_FILTER_MUST_SEE, .feed = feed_count};
    weir_protocol_t *state = weir_arena_alloc(arena, sizeof(*state));

    if (state == NULL) {
        return WEIR_ERR_NOMEM;
    }
    *state = client;
    *out = (weir_filter_t){&table, state};
    return WEIR_OK;
}

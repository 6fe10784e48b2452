#include "lua-free-filters/request.h"

/* What a member of the body means; several names may mean the same. */
typedef enum {
    MODEL,
    STREAM,
    STREAM_OPTIONS,
    MAX_TOKENS,
    N,
    BEST_OF,
    INPUT,
    SYSTEM,
    QUERY,
    TOOLS,
    FUNCTIONS,
    MCP_SERVERS,
    TOOL_CHOICE,
    RESPONSE_FORMAT,
    USER,
    PREVIOUS,
    BACKGROUND,
    STORE,
    OTHER
} meaning_t;

typedef struct {
    const char *name;
    uint8_t len;
    uint8_t meaning;
} name_t;

#define NAME(name, meaning)                 \
    {                                       \
        (name), sizeof(name) - 1, (meaning) \
    }

static const name_t names[] = {
    NAME("model", MODEL),
    NAME("messages", INPUT),
    NAME("stream", STREAM),
    NAME("max_tokens", MAX_TOKENS),
    NAME("tools", TOOLS),
    NAME("input", INPUT),
    NAME("prompt", INPUT),
    NAME("system", SYSTEM),
    NAME("stream_options", STREAM_OPTIONS),
    NAME("max_completion_tokens", MAX_TOKENS),
    NAME("max_output_tokens", MAX_TOKENS),
    NAME("max_new_tokens", MAX_TOKENS),
    NAME("n_predict", MAX_TOKENS),
    NAME("n", N),
    NAME("best_of", BEST_OF),
    NAME("instructions", SYSTEM),
    NAME("documents", INPUT),
    NAME("inputs", INPUT),
    NAME("content", INPUT),
    NAME("text", INPUT),
    NAME("texts", INPUT),
    NAME("tokens", INPUT),
    NAME("text_1", QUERY),
    NAME("text_2", INPUT),
    NAME("query", QUERY),
    NAME("queries", QUERY),
    NAME("functions", FUNCTIONS),
    NAME("mcp_servers", MCP_SERVERS),
    NAME("tool_choice", TOOL_CHOICE),
    NAME("response_format", RESPONSE_FORMAT),
    NAME("output_config", RESPONSE_FORMAT),
    NAME("user", USER),
    NAME("safety_identifier", USER),
    NAME("previous_response_id", PREVIOUS),
    NAME("conversation", PREVIOUS),
    NAME("background", BACKGROUND),
    NAME("store", STORE),
};

typedef struct {
    const weir_json_doc_t *doc;
    weir_arena_t *arena;
    weir_request_view_t *view;
    weir_error_t *err;
} read_t;

/* The key's meaning, whatever escapes it is written with. */
static meaning_t meaning_of(const weir_json_doc_t *doc, uint32_t key)
{
    const weir_json_node_t *node = &doc->nodes[key];
    const char *text = doc->text + node->start + 1;
    uint32_t len = node->end - node->start - 2;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (node->escaped ? weir_json_string_is(doc, key, names[i].name)
                          : len == names[i].len && memcmp(text, names[i].name, len) == 0) {
            return (meaning_t)names[i].meaning;
        }
    }
    return OTHER;
}

/*
 * The next character in lower case as servers written in Go fold it: besides ASCII only two
 * characters are other forms of ASCII letters, the Kelvin sign and the long s.
 */
static char fold(const char **p, const char *end)
{
    char c = *(*p)++;
    if (c == '\xE2' && end - *p >= 2 && memcmp(*p, "\x84\xAA", 2) == 0) {
        *p += 2;
        return 'k';
    }
    if (c == '\xC5' && end - *p >= 1 && **p == '\xBF') {
        *p += 1;
        return 's';
    }
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/*
 * Whether the key, which is no name that is read here, would be one if its case did not matter:
 * Go's decoder, for one, takes "Model" for "model", and the last of both counts.
 */
static weir_status_t looks_known(const read_t *read, uint32_t key, const char **known)
{
    weir_str_t text;
    *known = NULL;
    weir_status_t rc = weir_json_string(read->doc, key, read->arena, &text);
    if (rc != WEIR_OK) {
        return weir_error(read->err, WEIR_ERR_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && *known == NULL; i++) {
        const char *p = text.data;
        const char *end = text.data + text.len;
        size_t n = 0;
        while (p < end && n < names[i].len && fold(&p, end) == names[i].name[n]) {
            n++;
        }
        if (p == end && n == names[i].len) {
            *known = names[i].name;
        }
    }
    return WEIR_OK;
}

bool weir_request_alias(const weir_json_doc_t *doc, uint32_t object, const char *const *known,
                        weir_arena_t *arena)
{
    uint32_t key = object + 1;
    for (uint32_t i = 0; i < doc->nodes[object].size; i++) {
        weir_str_t text;
        if (weir_json_string(doc, key, arena, &text) != WEIR_OK) {
            return true;
        }
        for (size_t k = 0; known[k] != NULL; k++) {
            const char *p = text.data;
            const char *end = text.data + text.len;
            const char *name = known[k];
            while (p < end && *name != '\0' && fold(&p, end) == *name) {
                name++;
            }
            if (p == end && *name == '\0' && !weir_str_is(text, known[k])) {
                return true;
            }
        }
        key = doc->nodes[key + 1].next;
    }
    return false;
}

/* Cheap: most names are in lower case and without escapes. */
static bool may_look_known(const weir_json_doc_t *doc, uint32_t key)
{
    const weir_json_node_t *node = &doc->nodes[key];
    const unsigned char *text = (const unsigned char *)doc->text + node->start + 1;
    uint32_t len = node->end - node->start - 2;
    bool odd = node->escaped;
    for (uint32_t i = 0; i < len && !odd; i++) {
        odd = (text[i] >= 'A' && text[i] <= 'Z') || text[i] >= 0x80;
    }
    return odd && len <= 6 * 32;
}

static weir_status_t check_other(const read_t *read, uint32_t key)
{
    const char *known = NULL;
    if (!may_look_known(read->doc, key)) {
        return WEIR_OK;
    }
    weir_status_t rc = looks_known(read, key, &known);
    if (rc != WEIR_OK || known == NULL) {
        return rc;
    }
    return weir_error_at(read->err, WEIR_ERR_INVALID, known, "invalid_request",
                         "the request has a member that is known by the same name in lower case: "
                         "write \"%s\"",
                         known);
}

static weir_status_t wrong(const read_t *read, uint32_t value, const char *want)
{
    weir_str_t name = weir_json_raw(read->doc, value - 1);
    char field[40];
    size_t n = name.len - 2 < sizeof(field) - 1 ? name.len - 2 : sizeof(field) - 1;
    memcpy(field, name.data + 1, n);
    field[n] = '\0';
    return weir_error_at(read->err, WEIR_ERR_INVALID, field, "invalid_type", "\"%s\" must be %s",
                         field, want);
}

static weir_status_t read_bool(const read_t *read, uint32_t value, bool *out)
{
    weir_json_type_t type = weir_json_type(read->doc, value);
    if (type != WEIR_JSON_TRUE && type != WEIR_JSON_FALSE) {
        return wrong(read, value, "true or false");
    }
    *out = type == WEIR_JSON_TRUE;
    return WEIR_OK;
}

static weir_status_t read_count(const read_t *read, uint32_t value, int64_t least, int64_t *out)
{
    int64_t number;
    if (!weir_json_int64(read->doc, value, &number) || number < least) {
        return wrong(read, value, least == 0 ? "an integer, 0 or more" : "an integer, 1 or more");
    }
    *out = number;
    return WEIR_OK;
}

static weir_status_t read_model(const read_t *read, uint32_t value)
{
    weir_request_view_t *view = read->view;
    if (weir_json_type(read->doc, value) != WEIR_JSON_STRING) {
        return wrong(read, value, "a string");
    }
    weir_status_t rc = weir_json_string(read->doc, value, read->arena, &view->model);
    if (rc != WEIR_OK) {
        return weir_error(read->err, WEIR_ERR_NOMEM, "out of memory");
    }
    view->model_node = value;
    if (view->model.len == 0 || view->model.len > 256) {
        return wrong(read, value, "a name of 1 to 256 bytes");
    }
    return WEIR_OK;
}

static weir_status_t read_max_tokens(const read_t *read, uint32_t value)
{
    weir_request_view_t *view = read->view;
    int64_t number = 0;
    /* llama.cpp takes -1 for "no limit", which is what an absent member says. */
    if (weir_json_string_is(read->doc, value - 1, "n_predict") &&
        weir_json_int64(read->doc, value, &number) && number < 0) {
        view->no_limit_node = value;
        return WEIR_OK;
    }
    weir_status_t rc = read_count(read, value, 0, &number);
    if (rc != WEIR_OK) {
        return rc;
    }
    if (view->max_tokens_node == WEIR_JSON_NONE) {
        view->max_tokens_node = value;
    } else if (view->max_tokens_node2 == WEIR_JSON_NONE) {
        view->max_tokens_node2 = value;
    } else {
        return weir_error_at(read->err, WEIR_ERR_INVALID, "max_tokens", "invalid_request",
                             "the request gives its token limit under three names");
    }
    view->max_tokens = number > view->max_tokens ? number : view->max_tokens;
    return WEIR_OK;
}

static weir_status_t read_answers(const read_t *read, uint32_t value)
{
    int64_t n = 1;
    weir_status_t rc = read_count(read, value, 1, &n);
    if (n > read->view->n) {
        read->view->n = n;
    }
    return rc;
}

static weir_status_t read_stream_options(const read_t *read, uint32_t value)
{
    weir_request_view_t *view = read->view;
    if (weir_json_type(read->doc, value) != WEIR_JSON_OBJECT) {
        return wrong(read, value, "an object");
    }
    view->stream_options_node = value;
    uint32_t usage = weir_json_get(read->doc, value, "include_usage");
    if (usage == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    view->include_usage_node = usage;
    if (weir_json_type(read->doc, usage) == WEIR_JSON_NULL) {
        return WEIR_OK;
    }
    return read_bool(read, usage, &view->include_usage) == WEIR_OK
               ? WEIR_OK
               : weir_error_at(read->err, WEIR_ERR_INVALID, "stream_options.include_usage",
                               "invalid_type",
                               "\"stream_options.include_usage\" must be true or false");
}

static weir_status_t read_tools(const read_t *read, uint32_t value, uint32_t *node)
{
    if (weir_json_type(read->doc, value) != WEIR_JSON_ARRAY) {
        return wrong(read, value, "an array");
    }
    if (read->doc->nodes[value].size > 0) {
        *node = value;
    }
    return WEIR_OK;
}

static bool is_part_with_media(const weir_json_doc_t *doc, uint32_t key)
{
    static const char *const types[] = {
        "image_url", "image",       "input_image",        "input_audio",
        "file",      "input_file",  "document",           "audio_url",
        "video_url", "input_video", "computer_screenshot"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (weir_json_string_is(doc, key + 1, types[i])) {
            return true;
        }
    }
    return false;
}

/* Nodes lie in document order, so that all below one are those up to its next. */
static void add_text(const read_t *read, uint32_t value)
{
    const weir_json_doc_t *doc = read->doc;
    weir_request_view_t *view = read->view;
    uint32_t last = doc->nodes[value].next;
    for (uint32_t i = value; i < last; i++) {
        const weir_json_node_t *node = &doc->nodes[i];
        if (node->type == WEIR_JSON_STRING) {
            uint32_t len = node->end - node->start - 2;
            view->text_bytes += len;
            if (len == 4 && i + 1 < last && memcmp(doc->text + node->start + 1, "type", 4) == 0 &&
                doc->nodes[i + 1].type == WEIR_JSON_STRING && is_part_with_media(doc, i)) {
                view->images++;
            }
        } else if (node->type == WEIR_JSON_NUMBER) {
            view->token_ids++;
        }
    }
}

/* The member that the call is about, where a body has several that could be. */
static const char *main_input(weir_endpoint_t endpoint)
{
    switch (endpoint) {
    case WEIR_ENDPOINT_CHAT:
    case WEIR_ENDPOINT_MESSAGES:
    case WEIR_ENDPOINT_COUNT_TOKENS:
    case WEIR_ENDPOINT_APPLY_TEMPLATE:
        return "messages";
    case WEIR_ENDPOINT_COMPLETIONS:
        return "prompt";
    case WEIR_ENDPOINT_RERANK:
        return "documents";
    case WEIR_ENDPOINT_RESPONSES:
    case WEIR_ENDPOINT_INPUT_TOKENS:
    case WEIR_ENDPOINT_EMBEDDINGS:
    case WEIR_ENDPOINT_MODERATIONS:
        return "input";
    default:
        return "";
    }
}

static void read_input(const read_t *read, uint32_t value)
{
    const weir_json_doc_t *doc = read->doc;
    weir_request_view_t *view = read->view;
    add_text(read, value);
    if (view->input_node != WEIR_JSON_NONE &&
        !weir_json_string_is(doc, value - 1, main_input(view->endpoint))) {
        return;
    }
    const weir_json_node_t *node = &doc->nodes[value];
    view->input_node = value;
    view->inputs = 1;
    if (node->type == WEIR_JSON_ARRAY &&
        (node->size == 0 || doc->nodes[value + 1].type != WEIR_JSON_NUMBER)) {
        view->inputs = node->size;
    }
}

static weir_status_t read_member(const read_t *read, meaning_t meaning, uint32_t value)
{
    weir_request_view_t *view = read->view;
    switch (meaning) {
    case MODEL:
        return read_model(read, value);
    case STREAM:
        view->stream_node = value;
        return read_bool(read, value, &view->stream);
    case STREAM_OPTIONS:
        return read_stream_options(read, value);
    case MAX_TOKENS:
        return read_max_tokens(read, value);
    case N:
        view->n_node = value;
        return read_answers(read, value);
    case BEST_OF:
        view->best_of_node = value;
        return read_answers(read, value);
    case INPUT:
        read_input(read, value);
        break;
    case SYSTEM:
        view->system_node = value;
        add_text(read, value);
        break;
    case QUERY:
        view->query_node = value;
        add_text(read, value);
        break;
    case TOOLS:
        add_text(read, value);
        return read_tools(read, value, &view->tools_node);
    case FUNCTIONS:
        add_text(read, value);
        return read_tools(read, value, &view->functions_node);
    case MCP_SERVERS:
        return read_tools(read, value, &view->mcp_node);
    case TOOL_CHOICE:
        view->tool_choice_node = value;
        break;
    case RESPONSE_FORMAT:
        view->response_format_node = value;
        break;
    case USER:
        view->user_node = value;
        break;
    case PREVIOUS:
        view->previous_node = value;
        break;
    case BACKGROUND:
        return read_bool(read, value, &view->background);
    case STORE:
        return read_bool(read, value, &view->store);
    case OTHER:
        break;
    }
    return WEIR_OK;
}

static void clear(weir_request_view_t *view, weir_endpoint_t endpoint, const weir_json_doc_t *doc)
{
    *view = (weir_request_view_t){.endpoint = endpoint,
                                  .doc = doc,
                                  .model_node = WEIR_JSON_NONE,
                                  .stream_node = WEIR_JSON_NONE,
                                  .stream_options_node = WEIR_JSON_NONE,
                                  .include_usage_node = WEIR_JSON_NONE,
                                  .max_tokens = -1,
                                  .max_tokens_node = WEIR_JSON_NONE,
                                  .max_tokens_node2 = WEIR_JSON_NONE,
                                  .no_limit_node = WEIR_JSON_NONE,
                                  .n = 1,
                                  .n_node = WEIR_JSON_NONE,
                                  .best_of_node = WEIR_JSON_NONE,
                                  .input_node = WEIR_JSON_NONE,
                                  .system_node = WEIR_JSON_NONE,
                                  .query_node = WEIR_JSON_NONE,
                                  .tools_node = WEIR_JSON_NONE,
                                  .functions_node = WEIR_JSON_NONE,
                                  .mcp_node = WEIR_JSON_NONE,
                                  .tool_choice_node = WEIR_JSON_NONE,
                                  .response_format_node = WEIR_JSON_NONE,
                                  .user_node = WEIR_JSON_NONE,
                                  .previous_node = WEIR_JSON_NONE};
}

weir_status_t weir_request_read(weir_endpoint_t endpoint, const weir_json_doc_t *doc,
                                weir_arena_t *arena, weir_request_view_t *view, weir_error_t *err)
{
    read_t read = {doc, arena, view, err};

    clear(view, endpoint, doc);
    if (weir_json_type(doc, 0) != WEIR_JSON_OBJECT) {
        return weir_error_at(err, WEIR_ERR_INVALID, NULL, "invalid_json",
                             "the request body must be a JSON object");
    }
    uint32_t key = 1;
    for (uint32_t i = 0; i < doc->nodes[0].size; i++) {
        uint32_t value = key + 1;
        meaning_t meaning = meaning_of(doc, key);
        if (meaning == OTHER) {
            weir_status_t rc = check_other(&read, key);
            if (rc != WEIR_OK) {
                return rc;
            }
        } else if (weir_json_type(doc, value) != WEIR_JSON_NULL) {
            weir_status_t rc = read_member(&read, meaning, value);
            if (rc != WEIR_OK) {
                return rc;
            }
        }
        key = doc->nodes[value].next;
    }
    return WEIR_OK;
}

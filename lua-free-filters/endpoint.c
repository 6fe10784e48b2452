#include "lua-free-filters/endpoint.h"

#include "engine/base/hex.h"

#define MAX_SEGMENTS 12

enum { GET = 1, POST = 2, OTHERS = 4, ANY = GET | POST | OTHERS };

/* Which API a path belongs to. */
enum { OPENAI, ANTHROPIC, BOTH };

/*
 * A path behind the prefixes and an optional "v1". "{}" stands for one segment, which is decoded, a
 * final "*" for any rest, none included.
 */
typedef struct {
    const char *pattern;
    uint8_t methods;
    uint8_t endpoint;
    uint8_t group;
    uint8_t protocol;
    uint8_t api;
} row_t;

#define CALL(pattern, endpoint, protocol, api)                                                 \
    {                                                                                          \
        (pattern), POST, WEIR_ENDPOINT_##endpoint, WEIR_GROUP_CALLS, WEIR_PROTOCOL_##protocol, \
            (api)                                                                              \
    }
#define ENGINE(pattern, endpoint)                                                             \
    {                                                                                         \
        (pattern), POST, WEIR_ENDPOINT_##endpoint, WEIR_GROUP_ENGINE, WEIR_PROTOCOL_DOCUMENT, \
            OPENAI                                                                            \
    }
#define GROUP(pattern, group, api)                                                          \
    {                                                                                       \
        (pattern), ANY, WEIR_ENDPOINT_OTHER, WEIR_GROUP_##group, WEIR_PROTOCOL_OTHER, (api) \
    }

/* The first match counts. The most frequent calls come first. */
static const row_t rows[] = {
    CALL("chat/completions", CHAT, CHAT, OPENAI),
    CALL("messages", MESSAGES, MESSAGES, ANTHROPIC),
    CALL("responses", RESPONSES, RESPONSES, OPENAI),
    CALL("embeddings", EMBEDDINGS, DOCUMENT, OPENAI),
    CALL("completions", COMPLETIONS, COMPLETIONS, OPENAI),
    CALL("responses/input_tokens", INPUT_TOKENS, DOCUMENT, OPENAI),
    CALL("messages/count_tokens", COUNT_TOKENS, DOCUMENT, ANTHROPIC),
    CALL("moderations", MODERATIONS, DOCUMENT, OPENAI),
    CALL("rerank", RERANK, DOCUMENT, OPENAI),
    {"models", GET, WEIR_ENDPOINT_MODELS, WEIR_GROUP_MODELS, WEIR_PROTOCOL_DOCUMENT, BOTH},
    {"models/{}", GET, WEIR_ENDPOINT_MODEL, WEIR_GROUP_MODELS, WEIR_PROTOCOL_DOCUMENT, BOTH},
    ENGINE("tokenize", TOKENIZE),
    ENGINE("detokenize", DETOKENIZE),
    ENGINE("apply-template", APPLY_TEMPLATE),
    ENGINE("score", SCORE),
    ENGINE("classify", CLASSIFY),
    ENGINE("pooling", POOLING),
    ENGINE("generate", GENERATE),
    ENGINE("generate_stream", GENERATE),
    ENGINE("completion", GENERATE),
    ENGINE("infill", GENERATE),
    GROUP("props", ENGINE_STATE, OPENAI),
    GROUP("slots/*", ENGINE_STATE, OPENAI),
    GROUP("lora-adapters", ENGINE_STATE, OPENAI),
    GROUP("load_lora_adapter", ENGINE_STATE, OPENAI),
    GROUP("unload_lora_adapter", ENGINE_STATE, OPENAI),
    GROUP("version", ENGINE_STATE, OPENAI),
    GROUP("health", ENGINE_STATE, OPENAI),
    GROUP("ping", ENGINE_STATE, OPENAI),
    GROUP("metrics", ENGINE_STATE, OPENAI),
    GROUP("load", ENGINE_STATE, OPENAI),
    GROUP("server_info", ENGINE_STATE, OPENAI),
    GROUP("chat/completions/*", STORED, OPENAI),
    GROUP("messages/batches/*", BATCHES, ANTHROPIC),
    GROUP("responses/*", STORED, OPENAI),
    GROUP("conversations/*", CONVERSATIONS, OPENAI),
    GROUP("decisions/*", CONVERSATIONS, OPENAI),
    GROUP("audio/*", AUDIO, OPENAI),
    GROUP("images/*", IMAGES, OPENAI),
    GROUP("videos/*", VIDEOS, OPENAI),
    GROUP("files/*", FILES, BOTH),
    GROUP("uploads/*", UPLOADS, OPENAI),
    GROUP("batches/*", BATCHES, OPENAI),
    GROUP("vector_stores/*", VECTOR_STORES, OPENAI),
    GROUP("containers/*", CONTAINERS, OPENAI),
    GROUP("skills/*", SKILLS, BOTH),
    GROUP("evals/*", EVALS, OPENAI),
    GROUP("fine_tuning/*", FINE_TUNING, OPENAI),
    GROUP("assistants/*", ASSISTANTS, OPENAI),
    GROUP("threads/*", ASSISTANTS, OPENAI),
    GROUP("chatkit/*", ASSISTANTS, OPENAI),
    GROUP("realtime/*", REALTIME, OPENAI),
    GROUP("live/*", REALTIME, OPENAI),
    GROUP("agents/*", AGENTS, BOTH),
    GROUP("vaults/*", AGENTS, BOTH),
    GROUP("sessions/*", AGENTS, ANTHROPIC),
    GROUP("environments/*", AGENTS, ANTHROPIC),
    GROUP("deployments/*", AGENTS, ANTHROPIC),
    GROUP("deployment_runs/*", AGENTS, ANTHROPIC),
    GROUP("memory_stores/*", AGENTS, ANTHROPIC),
    GROUP("dreams/*", AGENTS, ANTHROPIC),
    GROUP("tunnels/*", AGENTS, ANTHROPIC),
    GROUP("user_profiles/*", ADMINISTRATION, ANTHROPIC),
    GROUP("organizations/*", ADMINISTRATION, ANTHROPIC),
    GROUP("organization/*", ADMINISTRATION, OPENAI),
    GROUP("projects/*", ADMINISTRATION, OPENAI),
    GROUP("safety/*", SAFETY, OPENAI),
    GROUP("content_provenance_checks/*", SAFETY, OPENAI),
    GROUP("webhook_endpoints/*", WEBHOOKS, OPENAI),
    GROUP("webhook_event_types/*", WEBHOOKS, OPENAI),
};

static const char *const group_names[WEIR_GROUPS] = {
    "other",         "calls",         "models",     "engine", "engine-state", "stored",
    "conversations", "audio",         "images",     "videos", "files",        "uploads",
    "batches",       "vector-stores", "containers", "skills", "evals",        "fine-tuning",
    "assistants",    "realtime",      "agents",     "safety", "webhooks",     "administration"};

static const char *const endpoint_names[WEIR_ENDPOINTS] = {
    "other",      "chat",        "completions", "responses",  "input_tokens",
    "embeddings", "moderations", "rerank",      "messages",   "count_tokens",
    "models",     "model",       "tokenize",    "detokenize", "apply_template",
    "score",      "classify",    "pooling",     "generate"};

const char *weir_endpoint_group_name(weir_endpoint_group_t group)
{
    return (unsigned)group < WEIR_GROUPS ? group_names[group] : "other";
}

weir_endpoint_group_t weir_endpoint_group_find(weir_str_t name)
{
    unsigned i = 0;
    while (i < WEIR_GROUPS && !weir_str_is(name, group_names[i])) {
        i++;
    }
    return (weir_endpoint_group_t)i;
}

const char *weir_endpoint_name(weir_endpoint_t endpoint)
{
    return (unsigned)endpoint < WEIR_ENDPOINTS ? endpoint_names[endpoint] : "other";
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* z is in lower case. */
static bool is_nocase(weir_str_t s, const char *z)
{
    size_t i = 0;

    if (s.len > 0 && strlen(z) == s.len && memcmp(s.data, z, s.len) == 0) {
        return true; /* as nearly everybody writes it */
    }
    while (i < s.len && z[i] != '\0' && lower(s.data[i]) == z[i]) {
        i++;
    }
    return i == s.len && z[i] == '\0';
}

static weir_str_t trim(weir_str_t s)
{
    while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t')) {
        s = weir_str(s.data + 1, s.len - 1);
    }
    while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t')) {
        s.len--;
    }
    return s;
}

/* Takes what is before the next c off *s. */
static weir_str_t cut(weir_str_t *s, char c)
{
    const char *at = s->len > 0 ? memchr(s->data, c, s->len) : NULL;
    size_t n = at == NULL ? s->len : (size_t)(at - s->data);
    weir_str_t first = weir_str(s->data, n);
    *s = at == NULL ? weir_str(NULL, 0) : weir_str(at + 1, s->len - n - 1);
    return first;
}

static bool is_dots(weir_str_t s)
{
    return weir_str_is(s, ".") || weir_str_is(s, "..");
}

/*
 * Decodes an id once into room. False for bad encoding, for what would be encoded still, and for an
 * id that would be another path if somebody took its slashes for the path's.
 */
static bool decode(weir_str_t in, char *room, size_t room_size, weir_str_t *out)
{
    size_t n = 0;
    if (in.len > room_size) {
        return false;
    }
    if (memchr(in.data, '%', in.len) == NULL) {
        *out = in;
        return !is_dots(in);
    }
    for (size_t i = 0; i < in.len; i++) {
        char c = in.data[i];
        if (c == '%') {
            int high = i + 2 < in.len ? weir_hex_digit(in.data[i + 1]) : -1;
            int low = high < 0 ? -1 : weir_hex_digit(in.data[i + 2]);
            if (low < 0) {
                return false;
            }
            unsigned byte = (unsigned)high * 16 + (unsigned)low;
            if (byte < 0x20 || byte == 0x7F || byte == '%' || byte == '\\') {
                return false;
            }
            c = (char)byte;
            i += 2;
        }
        room[n++] = c;
    }
    *out = weir_str(room, n);
    for (weir_str_t rest = *out; rest.data != NULL;) {
        weir_str_t part = cut(&rest, '/');
        if (part.len == 0 || is_dots(part)) {
            return false;
        }
    }
    return true;
}

/* All but the bytes that stand for themselves in every reading of a path. */
static const bool odd_byte[256] = {
    [0 ... 0x20] = true, [0x7F ... 0xFF] = true, ['\\'] = true, ['#'] = true,
    ['"'] = true,        ['<'] = true,           ['>'] = true,  ['^'] = true,
    ['`'] = true,        ['{'] = true,           ['|'] = true,  ['}'] = true,
};

/* Splits at slashes; the number of segments, or -1 when the path is not plain. */
static int split(weir_str_t path, weir_str_t *segments)
{
    int n = 0;
    bool too_many = false;
    size_t start = 0;

    for (size_t i = 0; i <= path.len; i++) {
        if (i < path.len && path.data[i] != '/') {
            if (odd_byte[(uint8_t)path.data[i]]) {
                return -1;
            }
            continue;
        }
        weir_str_t segment = weir_str(path.data + start, i - start);
        start = i + 1;
        if (too_many) {
            continue;
        }
        if (segment.len == 0 || (segment.data[0] == '.' && is_dots(segment))) {
            return -1;
        }
        too_many = n == MAX_SEGMENTS;
        if (!too_many) {
            segments[n++] = segment;
        }
    }
    return too_many ? MAX_SEGMENTS + 1 : n;
}

/* exact: as it is; else it would be if case and encoding did not matter. */
static bool segment_is(weir_str_t segment, weir_str_t literal, bool exact)
{
    if (exact) {
        return weir_str_eq(segment, literal);
    }
    size_t k = 0;
    for (size_t i = 0; i < segment.len; i++, k++) {
        char c = segment.data[i];
        if (c == '%' && i + 2 < segment.len && weir_hex_digit(segment.data[i + 1]) >= 0 &&
            weir_hex_digit(segment.data[i + 2]) >= 0) {
            c = (char)(weir_hex_digit(segment.data[i + 1]) * 16 +
                       weir_hex_digit(segment.data[i + 2]));
            i += 2;
        }
        if (k >= literal.len || lower(c) != literal.data[k]) {
            return false;
        }
    }
    return k == literal.len;
}

static bool matches(const row_t *row, const weir_str_t *segments, int n, bool exact, int *id)
{
    weir_str_t pattern = weir_str(row->pattern, strlen(row->pattern));
    int i = 0;
    *id = -1;
    while (pattern.data != NULL) {
        weir_str_t want = cut(&pattern, '/');
        if (weir_str_is(want, "*")) {
            return true;
        }
        if (i == n) {
            return false;
        }
        if (weir_str_is(want, "{}")) {
            *id = i;
        } else if (!segment_is(segments[i], want, exact)) {
            return false;
        }
        i++;
    }
    return i == n;
}

static const row_t *find(const weir_str_t *segments, int n, bool exact, int *id)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (matches(&rows[i], segments, n, exact, id)) {
            return &rows[i];
        }
    }
    return NULL;
}

static weir_endpoint_why_t check_type(weir_str_t header)
{
    weir_str_t type = trim(cut(&header, ';'));
    if (type.len == 0) {
        return WEIR_UNDERSTOOD;
    }
    if (type.len >= 10 && is_nocase(weir_str(type.data, 10), "multipart/")) {
        return WEIR_NOT_MULTIPART;
    }
    if (!is_nocase(type, "application/json")) {
        return WEIR_NOT_TYPE;
    }
    while (header.data != NULL) {
        weir_str_t value = cut(&header, ';');
        weir_str_t name = trim(cut(&value, '='));
        value = trim(value);
        if (value.len >= 2 && value.data[0] == '"' && value.data[value.len - 1] == '"') {
            value = weir_str(value.data + 1, value.len - 2);
        }
        if (is_nocase(name, "charset") && !is_nocase(value, "utf-8") && !is_nocase(value, "utf8")) {
            return WEIR_NOT_CHARSET;
        }
    }
    return WEIR_UNDERSTOOD;
}

static weir_endpoint_why_t check_body(const weir_endpoint_request_t *request)
{
    weir_str_t encoding = trim(request->content_encoding);
    if (encoding.len > 0 && !is_nocase(encoding, "identity")) {
        return WEIR_NOT_ENCODING;
    }
    return check_type(request->content_type);
}

static unsigned method_bit(weir_str_t method)
{
    if (weir_str_is(method, "POST")) {
        return POST;
    }
    return weir_str_is(method, "GET") || weir_str_is(method, "HEAD") ? GET : OTHERS;
}

/* Takes the path's prefixes off; false when it is not below the operator's. */
static bool below_prefix(weir_str_t *path, weir_str_t prefix)
{
    if (path->len <= prefix.len || memcmp(path->data, prefix.data, prefix.len) != 0 ||
        path->data[prefix.len] != '/') {
        return false;
    }
    *path = weir_str(path->data + prefix.len + 1, path->len - prefix.len - 1);
    return true;
}

/* Names that stand in front of the version; how many segments they are. */
static int skip_names(const weir_str_t *segments, int n, weir_endpoint_info_t *out, int *model)
{
    int at = 0;
    if (n > 0 && weir_str_is(segments[0], "anthropic")) {
        out->dialect = WEIR_DIALECT_ANTHROPIC;
        at = 1;
    } else if (n > 3 && weir_str_is(segments[0], "openai") &&
               weir_str_is(segments[1], "deployments")) {
        out->azure = true;
        *model = 2;
        return 3;
    } else if (n > 1 && weir_str_is(segments[0], "openai") && weir_str_is(segments[1], "v1")) {
        at = 1;
    }
    return at < n && weir_str_is(segments[at], "v1") ? at + 1 : at;
}

static void accept(const weir_endpoint_request_t *request, const row_t *row,
                   weir_endpoint_info_t *out)
{
    out->endpoint = (weir_endpoint_t)row->endpoint;
    out->group = (weir_endpoint_group_t)row->group;
    out->protocol = (weir_protocol_t)row->protocol;
    out->allow = row->methods == POST ? "POST" : row->methods == GET ? "GET, HEAD" : NULL;
    if (row->api == ANTHROPIC) {
        out->dialect = WEIR_DIALECT_ANTHROPIC;
    } else if (row->api == OPENAI) {
        out->dialect = WEIR_DIALECT_OPENAI;
    }
    if (request->upgrade) {
        out->why = WEIR_NOT_UPGRADE;
    } else if (row->endpoint == WEIR_ENDPOINT_OTHER) {
        out->why = WEIR_NOT_PATH;
    } else if ((method_bit(request->method) & row->methods) == 0) {
        out->why = WEIR_NOT_METHOD;
    } else {
        out->reads_body = row->methods == POST;
        out->why = out->reads_body     ? check_body(request)
                   : request->has_body ? WEIR_NOT_EMPTY
                                       : WEIR_UNDERSTOOD;
    }
}

static void refuse(weir_endpoint_why_t why, weir_endpoint_info_t *out)
{
    out->why = why;
    out->endpoint = WEIR_ENDPOINT_OTHER;
    out->group = WEIR_GROUP_OTHER;
    out->protocol = WEIR_PROTOCOL_OTHER;
    out->reads_body = false;
    out->allow = NULL;
    out->model = weir_str(NULL, 0);
}

void weir_endpoint_classify(const weir_endpoint_request_t *request, char *room, size_t room_size,
                            weir_endpoint_info_t *out)
{
    weir_str_t segments[MAX_SEGMENTS + 1];
    weir_str_t query = request->path;
    weir_str_t path = cut(&query, '?');
    int id = -1;
    int model = -1;

    memset(out, 0, sizeof(*out));
    out->dialect = request->anthropic_version ? WEIR_DIALECT_ANTHROPIC : WEIR_DIALECT_OPENAI;
    if (!below_prefix(&path, request->prefix)) {
        refuse(WEIR_NOT_PLAIN, out);
        return;
    }
    out->suffix = path;
    int n = split(path, segments);
    if (n < 0 || n > MAX_SEGMENTS) {
        refuse(n < 0 ? WEIR_NOT_PLAIN : WEIR_NOT_PATH, out);
        return;
    }
    int at = skip_names(segments, n, out, &model);
    const row_t *row = find(segments + at, n - at, true, &id);
    if (row == NULL) {
        row = find(segments + at, n - at, false, &id);
        refuse(row == NULL ? WEIR_NOT_PATH : WEIR_NOT_PLAIN, out);
        return;
    }
    for (int i = at; i < n; i++) {
        weir_str_t decoded;
        if (i != at + id && memchr(segments[i].data, '%', segments[i].len) != NULL &&
            (row->endpoint != WEIR_ENDPOINT_OTHER ||
             !decode(segments[i], room, room_size, &decoded))) {
            refuse(WEIR_NOT_PLAIN, out);
            return;
        }
    }
    accept(request, row, out);
    model = model >= 0 ? model : id >= 0 ? at + id : -1;
    if (model >= 0 && !decode(segments[model], room, room_size, &out->model)) {
        refuse(WEIR_NOT_PLAIN, out);
    }
}

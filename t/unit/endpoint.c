/* Which call is this? Every group of paths, and all that must not look like one. */
#include "lua-free-filters/endpoint.h"
#include "t/support/tap.h"

#include <stdio.h>

static weir_endpoint_info_t classify(const char *method, const char *path, const char *prefix,
                                     const char *type, const char *encoding, unsigned flags,
                                     char *room)
{
    weir_endpoint_request_t request = {
        .method = weir_str(method, strlen(method)),
        .path = weir_str(path, strlen(path)),
        .prefix = weir_str(prefix, strlen(prefix)),
        .content_type = weir_str(type, strlen(type)),
        .content_encoding = weir_str(encoding, strlen(encoding)),
        .anthropic_version = (flags & 1) != 0,
        .upgrade = (flags & 2) != 0,
        .has_body = (flags & 4) != 0,
    };
    weir_endpoint_info_t info;
    weir_endpoint_classify(&request, room, 512, &info);
    return info;
}

static weir_endpoint_info_t plain(const char *method, const char *path)
{
    static char room[512];
    return classify(method, path, "", "application/json", "", 0, room);
}

static void test_calls(void)
{
    static const struct {
        const char *path;
        weir_endpoint_t endpoint;
        weir_protocol_t protocol;
        weir_dialect_t dialect;
    } calls[] = {
        {"chat/completions", WEIR_ENDPOINT_CHAT, WEIR_PROTOCOL_CHAT, WEIR_DIALECT_OPENAI},
        {"completions", WEIR_ENDPOINT_COMPLETIONS, WEIR_PROTOCOL_COMPLETIONS, WEIR_DIALECT_OPENAI},
        {"responses", WEIR_ENDPOINT_RESPONSES, WEIR_PROTOCOL_RESPONSES, WEIR_DIALECT_OPENAI},
        {"responses/input_tokens", WEIR_ENDPOINT_INPUT_TOKENS, WEIR_PROTOCOL_DOCUMENT,
         WEIR_DIALECT_OPENAI},
        {"embeddings", WEIR_ENDPOINT_EMBEDDINGS, WEIR_PROTOCOL_DOCUMENT, WEIR_DIALECT_OPENAI},
        {"moderations", WEIR_ENDPOINT_MODERATIONS, WEIR_PROTOCOL_DOCUMENT, WEIR_DIALECT_OPENAI},
        {"rerank", WEIR_ENDPOINT_RERANK, WEIR_PROTOCOL_DOCUMENT, WEIR_DIALECT_OPENAI},
        {"messages", WEIR_ENDPOINT_MESSAGES, WEIR_PROTOCOL_MESSAGES, WEIR_DIALECT_ANTHROPIC},
        {"messages/count_tokens", WEIR_ENDPOINT_COUNT_TOKENS, WEIR_PROTOCOL_DOCUMENT,
         WEIR_DIALECT_ANTHROPIC},
        {"tokenize", WEIR_ENDPOINT_TOKENIZE, WEIR_PROTOCOL_DOCUMENT, WEIR_DIALECT_OPENAI},
        {"detokenize", WEIR_ENDPOINT_DETOKENIZE, WEIR_PROTOCOL_DOCUMENT, WEIR_DIALECT_OPENAI},
        {"apply-template", WEIR_ENDPOINT_APPLY_TEMPLATE, WEIR_PROTOCOL_DOCUMENT,
         WEIR_DIALECT_OPENAI},
        {"score", WEIR_ENDPOINT_SCORE, WEIR_PROTOCOL_DOCUMENT, WEIR_DIALECT_OPENAI},
        {"classify", WEIR_ENDPOINT_CLASSIFY, WEIR_PROTOCOL_DOCUMENT, WEIR_DIALECT_OPENAI},
        {"pooling", WEIR_ENDPOINT_POOLING, WEIR_PROTOCOL_DOCUMENT, WEIR_DIALECT_OPENAI},
        {"generate", WEIR_ENDPOINT_GENERATE, WEIR_PROTOCOL_DOCUMENT, WEIR_DIALECT_OPENAI},
    };
    static const char *const fronts[] = {"/v1/", "/", "/openai/v1/", "/anthropic/v1/",
                                         "/anthropic/"};

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        bool all = true;
        for (size_t k = 0; k < sizeof(fronts) / sizeof(fronts[0]); k++) {
            char path[128];
            snprintf(path, sizeof(path), "%s%s?beta=true", fronts[k], calls[i].path);
            weir_endpoint_info_t info = plain("POST", path);
            all = all && info.why == WEIR_UNDERSTOOD && info.endpoint == calls[i].endpoint &&
                  info.protocol == calls[i].protocol && info.dialect == calls[i].dialect &&
                  info.reads_body;
            info = plain("GET", path);
            all = all && info.why == WEIR_NOT_METHOD && !info.reads_body;
            path[strlen(fronts[k])] &= 0x5F;
            info = plain("POST", path);
            all = all && info.why == WEIR_NOT_PLAIN && info.endpoint == WEIR_ENDPOINT_OTHER;
        }
        ok(all, "%s: below every prefix, with POST and in lower case only", calls[i].path);
        is_str(weir_endpoint_name(calls[i].endpoint), strlen(weir_endpoint_name(calls[i].endpoint)),
               weir_endpoint_name(calls[i].endpoint), "%s has a name", calls[i].path);
    }
}

static void test_models(void)
{
    static const struct {
        const char *path;
        const char *model; /* NULL: not plain */
    } ids[] = {
        {"/v1/models/tiny", "tiny"},
        {"/v1/models/org%2Fname", "org/name"},
        {"/v1/models/a%20b", "a b"},
        {"/v1/models/a:b@c", "a:b@c"},
        {"/v1/models/%C3%A9", "\xC3\xA9"},
        {"/v1/models/a%2Fb%2fc", "a/b/c"},
        {"/v1/models/a%252Fb", NULL},
        {"/v1/models/%2e%2e", NULL},
        {"/v1/models/..", NULL},
        {"/v1/models/a%2F..%2Fb", NULL},
        {"/v1/models/a%2F", NULL},
        {"/v1/models/%2Fa", NULL},
        {"/v1/models/a%2F%2Fb", NULL},
        {"/v1/models/a%00", NULL},
        {"/v1/models/a%0A", NULL},
        {"/v1/models/a%", NULL},
        {"/v1/models/a%2", NULL},
        {"/v1/models/a%zz", NULL},
        {"/v1/models/a%5Cb", NULL},
        {"/v1/models/a\\b", NULL},
        {"/v1/models/", NULL},
        {"/v1/models//a", NULL},
        {"/v1/models/a%7f", NULL},
    };
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        weir_endpoint_info_t info = plain("GET", ids[i].path);
        if (ids[i].model == NULL) {
            ok(info.why == WEIR_NOT_PLAIN && info.model.len == 0, "%s: not plain", ids[i].path);
        } else {
            ok(info.why == WEIR_UNDERSTOOD && info.endpoint == WEIR_ENDPOINT_MODEL,
               "%s: understood", ids[i].path);
            is_str(info.model.data, info.model.len, ids[i].model, "decoded once");
        }
    }
    char room[512];
    ok(plain("HEAD", "/v1/models").why == WEIR_UNDERSTOOD, "HEAD as GET");
    ok(classify("GET", "/v1/models", "", "", "", 1, room).dialect == WEIR_DIALECT_ANTHROPIC,
       "a shared path is Anthropic's when the header says so");
    ok(classify("GET", "/v1/models", "", "", "", 0, room).dialect == WEIR_DIALECT_OPENAI,
       "else OpenAI's");
    ok(classify("POST", "/v1/chat/completions", "", "", "", 1, room).dialect == WEIR_DIALECT_OPENAI,
       "a path of one API is not told by headers");
    ok(classify("GET", "/v1/models", "", "", "", 4, room).why == WEIR_NOT_EMPTY,
       "a body where none is read is not understood");
    weir_endpoint_info_t info =
        plain("POST", "/openai/deployments/gpt%2D4/chat/completions?api-version=2030");
    ok(info.why == WEIR_UNDERSTOOD && info.azure && info.endpoint == WEIR_ENDPOINT_CHAT,
       "Azure's form");
    is_str(info.model.data, info.model.len, "gpt-4", "names the model in the path");
    info = plain("POST", "/openai/deployments/a%2F..%2Fb/chat/completions");
    ok(info.why == WEIR_NOT_PLAIN, "but not another path");
}

static void test_groups(void)
{
    static const struct {
        const char *path;
        weir_endpoint_group_t group;
    } paths[] = {
        {"/v1/chat/completions/chatcmpl-1", WEIR_GROUP_STORED},
        {"/v1/chat/completions/chatcmpl-1/messages", WEIR_GROUP_STORED},
        {"/v1/responses/resp_1", WEIR_GROUP_STORED},
        {"/v1/responses/resp_1/cancel", WEIR_GROUP_STORED},
        {"/v1/responses/compact", WEIR_GROUP_STORED},
        {"/v1/conversations", WEIR_GROUP_CONVERSATIONS},
        {"/v1/decisions", WEIR_GROUP_CONVERSATIONS},
        {"/v1/audio/speech", WEIR_GROUP_AUDIO},
        {"/v1/audio/voice_consents/x", WEIR_GROUP_AUDIO},
        {"/v1/images/edits", WEIR_GROUP_IMAGES},
        {"/v1/videos", WEIR_GROUP_VIDEOS},
        {"/v1/files/f/content", WEIR_GROUP_FILES},
        {"/v1/uploads/u/parts", WEIR_GROUP_UPLOADS},
        {"/v1/batches", WEIR_GROUP_BATCHES},
        {"/v1/messages/batches/x/results", WEIR_GROUP_BATCHES},
        {"/v1/vector_stores/v/files", WEIR_GROUP_VECTOR_STORES},
        {"/v1/containers", WEIR_GROUP_CONTAINERS},
        {"/v1/skills", WEIR_GROUP_SKILLS},
        {"/v1/evals/e/runs", WEIR_GROUP_EVALS},
        {"/v1/fine_tuning/jobs", WEIR_GROUP_FINE_TUNING},
        {"/v1/assistants", WEIR_GROUP_ASSISTANTS},
        {"/v1/threads/t/runs", WEIR_GROUP_ASSISTANTS},
        {"/v1/chatkit/sessions", WEIR_GROUP_ASSISTANTS},
        {"/v1/realtime/sessions", WEIR_GROUP_REALTIME},
        {"/v1/live/sessions/x/attach", WEIR_GROUP_REALTIME},
        {"/v1/agents/a", WEIR_GROUP_AGENTS},
        {"/v1/memory_stores", WEIR_GROUP_AGENTS},
        {"/v1/safety/alerts", WEIR_GROUP_SAFETY},
        {"/v1/webhook_endpoints", WEIR_GROUP_WEBHOOKS},
        {"/v1/organization/costs", WEIR_GROUP_ADMINISTRATION},
        {"/v1/organizations/me", WEIR_GROUP_ADMINISTRATION},
        {"/props", WEIR_GROUP_ENGINE_STATE},
        {"/slots/0", WEIR_GROUP_ENGINE_STATE},
        {"/v1/load_lora_adapter", WEIR_GROUP_ENGINE_STATE},
        {"/health", WEIR_GROUP_ENGINE_STATE},
        {"/v1/nothing", WEIR_GROUP_OTHER},
        {"/v2/chat/completions", WEIR_GROUP_OTHER},
        {"/v1/v1/messages", WEIR_GROUP_OTHER},
        {"/a/b/c/d/e/f/g/h/i/j/k/l/m/n", WEIR_GROUP_OTHER},
    };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        weir_endpoint_info_t info = plain("POST", paths[i].path);
        ok(info.why == WEIR_NOT_PATH && info.group == paths[i].group && !info.reads_body, "%s: %s",
           paths[i].path, weir_endpoint_group_name(paths[i].group));
    }
    bool all = true;
    for (int i = 0; i < WEIR_GROUPS; i++) {
        const char *name = weir_endpoint_group_name((weir_endpoint_group_t)i);
        all = all &&
              weir_endpoint_group_find(weir_str(name, strlen(name))) == (weir_endpoint_group_t)i;
    }
    ok(all, "every group is found by its name");
    ok(weir_endpoint_group_find(WEIR_STR("nope")) == WEIR_GROUPS, "and no other");
    char room[512];
    weir_endpoint_info_t info = classify("GET", "/v1/realtime", "", "", "", 2, room);
    ok(info.why == WEIR_NOT_UPGRADE && info.group == WEIR_GROUP_REALTIME, "a WebSocket is told");
}

static void test_not_plain(void)
{
    static const char *const paths[] = {"/v1/chat/completions/",
                                        "//v1/chat/completions",
                                        "/v1//chat/completions",
                                        "/v1/./chat/completions",
                                        "/v1/../v1/chat/completions",
                                        "/v1/chat%2Fcompletions",
                                        "/v1/%63hat/completions",
                                        "/v1/chat/completions%2f",
                                        "/V1/chat/completions",
                                        "/v1/chat/completionS",
                                        "/v1/chat\\completions",
                                        "/v1/chat/completions\t",
                                        "/v1/chat/completions#x",
                                        "/v1/chat/compl\xC3\xA9tions",
                                        "/v1/chat/completions\x01",
                                        "/",
                                        "",
                                        "v1/chat/completions",
                                        "/v1/%2e%2e/chat/completions",
                                        "*"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        weir_endpoint_info_t info = plain("POST", paths[i]);
        ok((info.why == WEIR_NOT_PLAIN || info.why == WEIR_NOT_PATH) &&
               info.group == WEIR_GROUP_OTHER && info.endpoint == WEIR_ENDPOINT_OTHER,
           "\"%s\" is not plain", paths[i]);
    }
    char room[512];
    ok(classify("POST", "/llm/v1/chat/completions", "/llm", "", "", 0, room).endpoint ==
           WEIR_ENDPOINT_CHAT,
       "below an API prefix");
    ok(classify("POST", "/v1/chat/completions", "/llm", "", "", 0, room).why == WEIR_NOT_PLAIN,
       "not without it");
    ok(classify("POST", "/llmv1/chat/completions", "/llm", "", "", 0, room).why == WEIR_NOT_PLAIN,
       "nor glued to it");
    ok(classify("POST", "/llm", "/llm", "", "", 0, room).why == WEIR_NOT_PLAIN, "nor it alone");
}

static void test_bodies(void)
{
    static const struct {
        const char *type;
        const char *encoding;
        weir_endpoint_why_t why;
    } bodies[] = {
        {"application/json", "", WEIR_UNDERSTOOD},
        {"Application/JSON ; charset=\"utf-8\"", "identity", WEIR_UNDERSTOOD},
        {"application/json;charset=UTF8", "", WEIR_UNDERSTOOD},
        {"application/json; x=y", "", WEIR_UNDERSTOOD},
        {"", "", WEIR_UNDERSTOOD},
        {"application/json; charset=latin1", "", WEIR_NOT_CHARSET},
        {"application/json; x=y; charset=utf-16", "", WEIR_NOT_CHARSET},
        {"application/jsonp", "", WEIR_NOT_TYPE},
        {"application/json, text/plain", "", WEIR_NOT_TYPE},
        {"text/plain", "", WEIR_NOT_TYPE},
        {"multipart/form-data; boundary=x", "", WEIR_NOT_MULTIPART},
        {"Multipart/mixed", "", WEIR_NOT_MULTIPART},
        {"application/json", "gzip", WEIR_NOT_ENCODING},
        {"application/json", "identity, gzip", WEIR_NOT_ENCODING},
    };
    char room[512];
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        is_int(
            classify("POST", "/v1/embeddings", "", bodies[i].type, bodies[i].encoding, 4, room).why,
            bodies[i].why, "\"%s\", \"%s\"", bodies[i].type, bodies[i].encoding);
    }
}

/* Whatever comes: an answer, and what is understood is written in one way only. */
static void test_any(void)
{
    static const char *const parts[] = {
        "/", "v1", "chat",      "completions", "models", "%2F", "..",     ".",          "%",
        "?", "a",  "anthropic", "%2e",         "//",     "X",   "openai", "deployments"};
    rng_t rng;
    rng_init(&rng);
    bool good = true;
    for (int i = 0; i < 20000 && good; i++) {
        char path[256] = "";
        size_t len = 0;
        for (uint32_t n = rng_below(&rng, 12); n > 0; n--) {
            const char *part = parts[rng_below(&rng, sizeof(parts) / sizeof(parts[0]))];
            len += (size_t)snprintf(path + len, sizeof(path) - len, "%s", part);
        }
        weir_endpoint_info_t info = plain("POST", path);
        if (info.why == WEIR_UNDERSTOOD) {
            path[strcspn(path, "?")] = '\0';
            good = strstr(path, "//") == NULL && strstr(path, "/.") == NULL && path[0] == '/' &&
                   path[strlen(path) - 1] != '/';
        }
    }
    ok(good, "nothing odd is understood");
}

int main(void)
{
    test_calls();
    test_models();
    test_groups();
    test_not_plain();
    test_bodies();
    test_any();
    return done_testing();
}

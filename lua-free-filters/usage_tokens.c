/* Counts and reasons in one meaning. */
#include "lua-free-filters/usage_reader.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static bool read_count(const weir_json_doc_t *doc, uint32_t node, uint64_t *out)
{
    int64_t value;

    if (node == WEIR_JSON_NONE || !weir_json_int64(doc, node, &value) || value < 0) {
        return false;
    }
    *out = (uint64_t)value;
    return true;
}

static bool read_member(const weir_json_doc_t *doc, uint32_t object, const char *name,
                        uint64_t *out)
{
    return object != WEIR_JSON_NONE && read_count(doc, weir_json_get(doc, object, name), out);
}

/* Details say parts of a total that is told beside them. */
static void read_details(weir_tokens_t *t, const weir_json_doc_t *doc, uint32_t usage)
{
    static const char *const prompt[] = {"prompt_tokens_details", "input_tokens_details",
                                         "input_token_details"};
    static const char *const completion[] = {"completion_tokens_details", "output_tokens_details",
                                             "output_token_details"};

    for (size_t i = 0; i < ARRAY_LEN(prompt); i++) {
        uint32_t details = weir_json_get(doc, usage, prompt[i]);
        read_member(doc, details, "cached_tokens", &t->cached_tokens);
        read_member(doc, details, "cache_write_tokens", &t->cache_write_tokens);
    }
    for (size_t i = 0; i < ARRAY_LEN(completion); i++) {
        uint32_t details = weir_json_get(doc, usage, completion[i]);
        read_member(doc, details, "reasoning_tokens", &t->reasoning_tokens);
        read_member(doc, details, "thinking_tokens", &t->reasoning_tokens);
    }
}

static uint64_t sum(uint64_t a, uint64_t b)
{
    uint64_t result;
    return __builtin_add_overflow(a, b, &result) ? UINT64_MAX : result;
}

/* Anthropic's iterations of the type compaction are not in the totals beside them. */
static void read_iterations(weir_tokens_t *t, const weir_json_doc_t *doc, uint32_t usage)
{
    uint32_t list = weir_json_get(doc, usage, "iterations");

    if (list == WEIR_JSON_NONE || weir_json_type(doc, list) != WEIR_JSON_ARRAY) {
        return;
    }
    t->aside_prompt = 0;
    t->aside_completion = 0;
    for (uint32_t i = doc->nodes[list].size, at = list + 1; i > 0; i--) {
        static const char *const prompt[] = {"input_tokens", "cache_read_input_tokens",
                                             "cache_creation_input_tokens"};
        uint64_t count;
        if (weir_json_string_is(doc, weir_json_get(doc, at, "type"), "compaction")) {
            for (size_t k = 0; k < ARRAY_LEN(prompt); k++) {
                if (read_member(doc, at, prompt[k], &count)) {
                    t->aside_prompt = sum(t->aside_prompt, count);
                }
            }
            if (read_member(doc, at, "output_tokens", &count)) {
                t->aside_completion = sum(t->aside_completion, count);
            }
        }
        at = doc->nodes[at].next;
    }
}

/* input_tokens: with these members beside it, or earlier in the same answer, Anthropic's. */
static bool read_input(weir_tokens_t *t, const weir_json_doc_t *doc, uint32_t usage)
{
    uint64_t input;
    bool told = read_member(doc, usage, "input_tokens", &input);
    bool split = read_member(doc, usage, "cache_read_input_tokens", &t->cached_tokens);

    split = read_member(doc, usage, "cache_creation_input_tokens", &t->cache_write_tokens) || split;
    if (told) {
        t->uncached = input;
    }
    t->split = t->split || split;
    return told || split;
}

bool weir_tokens_read(weir_tokens_t *t, const weir_json_doc_t *doc, uint32_t usage)
{
    uint64_t total;

    if (usage == WEIR_JSON_NONE || weir_json_type(doc, usage) != WEIR_JSON_OBJECT) {
        return false;
    }
    bool prompt = read_member(doc, usage, "prompt_tokens", &t->prompt_tokens);
    bool completion = read_member(doc, usage, "completion_tokens", &t->completion_tokens);
    if (!prompt) {
        bool input = read_input(t, doc, usage);
        bool output = read_member(doc, usage, "output_tokens", &t->told);
        if (input || output) {
            read_iterations(t, doc, usage);
        }
        /* The other half may have been told by an earlier event. */
        if (input || (output && t->has_prompt)) {
            uint64_t cache = t->split ? sum(t->cached_tokens, t->cache_write_tokens) : 0;
            t->prompt_tokens = sum(sum(t->uncached, cache), t->aside_prompt);
            prompt = true;
        }
        if (output) {
            t->completion_tokens = sum(t->told, t->aside_completion);
            completion = true;
        }
    } else {
        read_member(doc, usage, "prompt_cache_hit_tokens", &t->cached_tokens);
    }
    if (!prompt && read_member(doc, usage, "total_tokens", &total)) {
        /* Rerank and some embeddings tell nothing else. */
        t->prompt_tokens =
            completion && t->completion_tokens <= total ? total - t->completion_tokens : total;
        prompt = true;
    }
    if (prompt || completion) {
        read_details(t, doc, usage);
    }
    t->has_prompt = t->has_prompt || prompt;
    t->has_completion = t->has_completion || completion;
    return prompt || completion;
}

weir_finish_t weir_finish_of(weir_str_t name)
{
    static const struct {
        const char *name;
        weir_finish_t finish;
    } names[] = {
        {"stop", WEIR_FINISH_STOP},
        {"end_turn", WEIR_FINISH_STOP},
        {"stop_sequence", WEIR_FINISH_STOP},
        {"completed", WEIR_FINISH_STOP},
        {"length", WEIR_FINISH_LENGTH},
        {"max_tokens", WEIR_FINISH_LENGTH},
        {"max_output_tokens", WEIR_FINISH_LENGTH},
        {"model_context_window_exceeded", WEIR_FINISH_LENGTH},
        {"tool_calls", WEIR_FINISH_TOOL_CALLS},
        {"function_call", WEIR_FINISH_TOOL_CALLS},
        {"tool_use", WEIR_FINISH_TOOL_CALLS},
        {"content_filter", WEIR_FINISH_CONTENT_FILTER},
        {"refusal", WEIR_FINISH_CONTENT_FILTER},
        {"failed", WEIR_FINISH_ERROR},
        {"cancelled", WEIR_FINISH_ERROR},
        {"error", WEIR_FINISH_ERROR},
    };

    for (size_t i = 0; name.len > 0 && i < ARRAY_LEN(names); i++) {
        if (weir_str_is(name, names[i].name)) {
            return names[i].finish;
        }
    }
    return name.len == 0 ? WEIR_FINISH_NONE : WEIR_FINISH_OTHER;
}

const char *weir_finish_name(weir_finish_t finish)
{
    static const char *const names[] = {
        [WEIR_FINISH_NONE] = "",
        [WEIR_FINISH_STOP] = "stop",
        [WEIR_FINISH_LENGTH] = "length",
        [WEIR_FINISH_TOOL_CALLS] = "tool_calls",
        [WEIR_FINISH_CONTENT_FILTER] = "content_filter",
        [WEIR_FINISH_ERROR] = "error",
        [WEIR_FINISH_OTHER] = "other",
    };
    return names[finish];
}

/* Counts the escape at at; returns its length, or 0 when it goes on behind end. */
static size_t count_escape(weir_text_count_t *count, const char *at, const char *end)
{
    size_t len = end - at >= 2 && at[1] != 'u' ? 2 : 6;

    if ((size_t)(end - at) < len) {
        return 0;
    }
    bool other = len == 6 && (memcmp(at + 2, "00", 2) != 0 || at[4] > '7');
    /* The second half of a surrogate pair is no character of its own. */
    bool half = other && (at[2] == 'd' || at[2] == 'D') && at[3] != '\0' &&
                strchr("cdefCDEF", at[3]) != NULL;
    count->other += other && !half;
    count->ascii += !other;
    return len;
}

size_t weir_text_count_piece(weir_text_count_t *count, weir_str_t raw)
{
    const uint64_t high = 0x8080808080808080u;
    const char *at = raw.data;
    const char *end = raw.data + raw.len;

    while (at < end) {
        uint64_t w;
        if (end - at >= 8) {
            memcpy(&w, at, 8);
            uint64_t slash = w ^ 0x5c5c5c5c5c5c5c5cu;
            if (((w | (slash - 0x0101010101010101u)) & high) == 0) {
                count->ascii += 8;
                at += 8;
                continue;
            }
        }
        uint8_t c = (uint8_t)*at;
        if (c == '\\') {
            size_t len = count_escape(count, at, end);
            if (len == 0) {
                break;
            }
            at += len;
            continue;
        }
        count->ascii += c < 0x80;
        count->other += c >= 0xc0;
        at++;
    }
    return (size_t)(end - at);
}

void weir_text_count(weir_text_count_t *count, weir_str_t raw)
{
    if (raw.len > 0 && weir_text_count_piece(count, raw) > 0) {
        count->ascii++; /* torn */
    }
}

uint64_t weir_text_tokens(const weir_text_count_t *count)
{
    return (count->ascii + 3 * count->other + 3) / 4;
}

uint64_t weir_usage_completion(const weir_usage_t *usage, bool *estimated)
{
    weir_text_count_t behind = {.ascii = usage->text.ascii - usage->counted.ascii,
                                .other = usage->text.other - usage->counted.other};
    bool open = usage->told_early && !usage->done;
    uint64_t all = weir_text_tokens(&usage->text);
    uint64_t since = open ? weir_text_tokens(&behind) : 0;
    uint64_t told = usage->tokens.completion_tokens;

    *estimated = !usage->tokens.has_completion || since > 0;
    if (!*estimated) {
        return told;
    }
    if (!usage->tokens.has_completion) {
        return all;
    }
    if (since == all) {
        return told > all ? told : all;
    }
    return told + since < told ? UINT64_MAX : told + since;
}

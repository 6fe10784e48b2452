/* Counts and reasons in one meaning. */
#include "lua-free-filters/usage_reader.h"

#include "engine/base/json_text.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

/* The members of a usage object, each by the index of its value or WEIR_JSON_NONE. */
typedef struct {
    uint32_t prompt_tokens;
    uint32_t completion_tokens;
    uint32_t total_tokens;
    uint32_t prompt_cache_hit_tokens;
    uint32_t input_tokens;
    uint32_t output_tokens;
    uint32_t cache_read_input_tokens;
    uint32_t cache_creation_input_tokens;
    uint32_t iterations;
    uint32_t prompt_tokens_details;
    uint32_t input_tokens_details;
    uint32_t input_token_details;
    uint32_t completion_tokens_details;
    uint32_t output_tokens_details;
    uint32_t output_token_details;
    uint32_t other;
} members_t;

#define KEY(name)                                     \
    if (memcmp(key, #name, sizeof(#name) - 1) == 0) { \
        return &m->name;                              \
    }

static uint32_t *short_member(members_t *m, const char *key, size_t len)
{
    switch (len) {
    case 10:
        KEY(iterations)
        break;
    case 12:
        KEY(total_tokens)
        KEY(input_tokens)
        break;
    case 13:
        KEY(prompt_tokens)
        KEY(output_tokens)
        break;
    case 17:
        KEY(completion_tokens)
        break;
    default:
        break;
    }
    return &m->other;
}

static uint32_t *member_of(members_t *m, const char *key, size_t len)
{
    switch (len) {
    case 19:
        KEY(input_token_details)
        break;
    case 20:
        KEY(input_tokens_details)
        KEY(output_token_details)
        break;
    case 21:
        KEY(prompt_tokens_details)
        KEY(output_tokens_details)
        break;
    case 23:
        KEY(prompt_cache_hit_tokens)
        KEY(cache_read_input_tokens)
        break;
    case 25:
        KEY(completion_tokens_details)
        break;
    case 27:
        KEY(cache_creation_input_tokens)
        break;
    default:
        return short_member(m, key, len);
    }
    return &m->other;
}
#undef KEY

/* A key as it is without escapes; no name that is looked for is longer than *room. */
static weir_str_t plain_key(const weir_json_doc_t *doc, uint32_t node, char room[32])
{
    const weir_json_node_t *n = &doc->nodes[node];
    weir_json_bytes_t it = weir_json_bytes(doc->text + n->start + 1, doc->text + n->end - 1);
    size_t len = 0;

    if (!n->escaped) {
        return weir_str(it.p, (size_t)(it.end - it.p));
    }
    for (int c = weir_json_next_byte(&it); c >= 0 && len < 32; c = weir_json_next_byte(&it)) {
        room[len++] = (char)c;
    }
    return weir_str(room, len);
}

/* The first member of a name counts, as for weir_json_get(). */
static void find_members(const weir_json_doc_t *doc, uint32_t usage, members_t *m)
{
    char room[32];

    memset(m, 0xff, sizeof(*m)); /* WEIR_JSON_NONE everywhere */
    for (uint32_t i = doc->nodes[usage].size, at = usage + 1; i > 0; i--) {
        weir_str_t key = plain_key(doc, at, room);
        uint32_t *member = member_of(m, key.data, key.len);
        if (*member == WEIR_JSON_NONE) {
            *member = at + 1;
        }
        at = doc->nodes[at + 1].next;
    }
}

/* Details say parts of a total that is told beside them. */
static void read_details(weir_tokens_t *t, const weir_json_doc_t *doc, const members_t *m)
{
    const uint32_t prompt[] = {m->prompt_tokens_details, m->input_tokens_details,
                               m->input_token_details};
    const uint32_t completion[] = {m->completion_tokens_details, m->output_tokens_details,
                                   m->output_token_details};

    for (size_t i = 0; i < ARRAY_LEN(prompt); i++) {
        if (prompt[i] == WEIR_JSON_NONE) {
            continue;
        }
        read_member(doc, prompt[i], "cached_tokens", &t->cached_tokens);
        read_member(doc, prompt[i], "cache_write_tokens", &t->cache_write_tokens);
    }
    for (size_t i = 0; i < ARRAY_LEN(completion); i++) {
        if (completion[i] == WEIR_JSON_NONE) {
            continue;
        }
        read_member(doc, completion[i], "reasoning_tokens", &t->reasoning_tokens);
        read_member(doc, completion[i], "thinking_tokens", &t->reasoning_tokens);
    }
}

static uint64_t sum(uint64_t a, uint64_t b)
{
    uint64_t result;
    return __builtin_add_overflow(a, b, &result) ? UINT64_MAX : result;
}

/* Anthropic's iterations of the type compaction are not in the totals beside them. */
static void read_iterations(weir_tokens_t *t, const weir_json_doc_t *doc, uint32_t list)
{
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
static bool read_input(weir_tokens_t *t, const weir_json_doc_t *doc, const members_t *m)
{
    uint64_t input;
    bool told = read_count(doc, m->input_tokens, &input);
    bool split = read_count(doc, m->cache_read_input_tokens, &t->cached_tokens);

    split = read_count(doc, m->cache_creation_input_tokens, &t->cache_write_tokens) || split;
    if (told) {
        t->uncached = input;
    }
    t->split = t->split || split;
    return told || split;
}

bool weir_tokens_read(weir_tokens_t *t, const weir_json_doc_t *doc, uint32_t usage)
{
    uint64_t total;
    members_t m;

    if (usage == WEIR_JSON_NONE || weir_json_type(doc, usage) != WEIR_JSON_OBJECT) {
        return false;
    }
    find_members(doc, usage, &m);
    bool prompt = read_count(doc, m.prompt_tokens, &t->prompt_tokens);
    bool completion = read_count(doc, m.completion_tokens, &t->completion_tokens);
    if (!prompt) {
        bool input = read_input(t, doc, &m);
        bool output = read_count(doc, m.output_tokens, &t->told);
        if (input || output) {
            read_iterations(t, doc, m.iterations);
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
        read_count(doc, m.prompt_cache_hit_tokens, &t->cached_tokens);
    }
    if (!prompt && read_count(doc, m.total_tokens, &total)) {
        /* Rerank and some embeddings tell nothing else. */
        t->prompt_tokens =
            completion && t->completion_tokens <= total ? total - t->completion_tokens : total;
        prompt = true;
    }
    if (prompt || completion) {
        read_details(t, doc, &m);
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
#ifdef __SSE2__
        if (end - at >= 32) {
            __m128i a = _mm_loadu_si128((const __m128i *)(const void *)at);
            __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(at + 16));
            __m128i slash = _mm_or_si128(_mm_cmpeq_epi8(a, _mm_set1_epi8('\\')),
                                         _mm_cmpeq_epi8(b, _mm_set1_epi8('\\')));
            if (_mm_movemask_epi8(_mm_or_si128(slash, _mm_or_si128(a, b))) == 0) {
                count->ascii += 32;
                at += 32;
                continue;
            }
        }
#endif
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

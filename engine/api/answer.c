#include "engine/api/answer.h"

#include "engine/api/errors.h"
#include "engine/api/logprobs.h"

#include <stdio.h>
#include <time.h>

typedef struct {
    weir_buf_t text;            /* whole answers */
    weir_buf_t items;           /* whole chat answers: logprob items */
    weir_logprob_lists_t lists; /* whole completions; streams use its offset only */
    uint32_t completion_tokens;
    weir_finish_t finish;
    uint32_t stop; /* which stop string, from 1; 0: none */
    bool begun;    /* stream: the role frame is out, or the echo */
} choice_t;

typedef struct {
    weir_logprob_lists_t lists; /* of the prompt's tokens, for echo */
    bool any;                   /* a PROMPT_TOKEN event came */
    uint32_t cached_tokens;
} prompt_t;

struct weir_api_answer {
    const weir_api_request_t *req;
    const weir_tokenizer_t *tok;
    weir_arena_t *arena;
    weir_str_t head; /* "id", "object", "created", "model", "system_fingerprint" and a comma */
    prompt_t *prompts;
    choice_t *choices; /* n_prompts * n */
    uint32_t n_choices;
    uint32_t n_finished;
    bool failed;
};

static const char *finish_name(weir_finish_t finish)
{
    return finish == WEIR_FINISH_LENGTH ? "length" : "stop";
}

static weir_status_t write_head(weir_api_answer_t *a, const weir_api_identity_t *who)
{
    static const struct {
        const char *prefix, *whole, *chunk;
    } kinds[] = {[WEIR_API_CHAT] = {"chatcmpl-", "chat.completion", "chat.completion.chunk"},
                 [WEIR_API_COMPLETION] = {"cmpl-", "text_completion", "text_completion"},
                 [WEIR_API_GENERATE] = {"gen-", "generation", "generation.chunk"}};
    const char *prefix = kinds[a->req->kind].prefix;
    weir_buf_t id;
    weir_buf_t head;

    weir_buf_init(&id, a->arena);
    weir_buf_append_z(&id, prefix);
    weir_buf_append_str(&id, who->id);
    weir_buf_init(&head, a->arena);
    weir_buf_append_z(&head, "{\"id\":");
    weir_json_write_string(&head, weir_str(id.data, id.len));
    weir_buf_printf(&head, ",\"object\":\"%s\",\"created\":%lld,\"model\":",
                    a->req->stream ? kinds[a->req->kind].chunk : kinds[a->req->kind].whole,
                    (long long)who->created);
    weir_json_write_string(&head, who->model);
    weir_buf_append_z(&head, ",\"system_fingerprint\":");
    weir_json_write_string(&head, who->fingerprint);
    weir_buf_append_char(&head, ',');
    a->head = weir_str(head.data, head.len);
    return id.failed || head.failed ? WEIR_ERR_NOMEM : WEIR_OK;
}

weir_status_t weir_api_answer_open(const weir_api_request_t *req, const weir_api_identity_t *who,
                                   weir_arena_t *arena, weir_api_answer_t **out)
{
    weir_api_answer_t *a = weir_arena_calloc(arena, 1, sizeof(*a));
    if (a == NULL) {
        return WEIR_ERR_NOMEM;
    }
    a->req = req;
    a->tok = who->tokenizer;
    a->arena = arena;
    a->n_choices = req->n_prompts * req->generate.n;
    a->prompts = weir_arena_calloc(arena, req->n_prompts, sizeof(*a->prompts));
    a->choices = weir_arena_calloc(arena, a->n_choices, sizeof(*a->choices));
    if (a->prompts == NULL || a->choices == NULL || write_head(a, who) != WEIR_OK) {
        return WEIR_ERR_NOMEM;
    }
    for (uint32_t p = 0; p < req->n_prompts; p++) {
        weir_logprobs_init(&a->prompts[p].lists, arena, 0);
    }
    for (uint32_t c = 0; c < a->n_choices; c++) {
        const weir_api_prompt_t *prompt = &req->prompts[c / req->generate.n];
        weir_buf_init(&a->choices[c].text, arena);
        weir_buf_init(&a->choices[c].items, arena);
        weir_logprobs_init(&a->choices[c].lists, arena,
                           req->echo ? weir_count_chars(prompt->text) : 0);
        if (req->echo && !req->stream) {
            weir_buf_append_str(&a->choices[c].text, prompt->text);
        }
    }
    *out = a;
    return WEIR_OK;
}

/* Streams */

static void frame_begin(const weir_api_answer_t *a, uint32_t index, weir_buf_t *out)
{
    weir_buf_append_z(out, "data: ");
    weir_buf_append_str(out, a->head);
    weir_buf_printf(out, "\"choices\":[{\"index\":%u,", (unsigned)index);
}

/* The finish reason and, as vLLM has it, the stop string, which OpenAI's API does not tell. */
static void write_finish(const weir_api_answer_t *a, const choice_t *choice, weir_buf_t *out)
{
    weir_buf_printf(out, "\"finish_reason\":\"%s\"", finish_name(choice->finish));
    if (choice->stop > 0 && choice->stop <= a->req->generate.n_stops) {
        weir_buf_append_z(out, ",\"stop_reason\":");
        weir_json_write_string(out, a->req->generate.stops[choice->stop - 1]);
    }
}

/* choice: NULL where it goes on. */
static void frame_end(const weir_api_answer_t *a, const choice_t *choice, weir_buf_t *out)
{
    weir_buf_append_char(out, ',');
    if (choice == NULL) {
        weir_buf_append_z(out, "\"finish_reason\":null");
    } else {
        write_finish(a, choice, out);
    }
    weir_buf_append_z(out, "}]");
    weir_buf_append_z(out, a->req->include_usage ? ",\"usage\":null}\n\n" : "}\n\n");
}

static void frame_role(const weir_api_answer_t *a, uint32_t index, weir_buf_t *out)
{
    frame_begin(a, index, out);
    weir_buf_append_z(out, "\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},"
                           "\"logprobs\":null");
    frame_end(a, NULL, out);
}

/* The logprobs member of a frame; event NULL or without a token: null. */
static void frame_logprobs(const weir_api_answer_t *a, choice_t *choice, const weir_event_t *event,
                           const weir_logprob_lists_t *prompt, weir_buf_t *out)
{
    bool token = event != NULL && event->type == WEIR_EVENT_TOKEN && event->token >= 0;
    uint32_t n_top = a->req->generate.top_logprobs;

    weir_buf_append_z(out, ",\"logprobs\":");
    if (!a->req->logprobs || (!token && prompt == NULL)) {
        weir_buf_append_z(out, "null");
    } else if (a->req->kind == WEIR_API_CHAT) {
        weir_buf_append_z(out, "{\"content\":[");
        weir_logprobs_chat_item(out, a->tok, event, n_top);
        weir_buf_append_z(out, "],\"refusal\":null}");
    } else {
        weir_logprob_lists_t one;
        weir_logprobs_init(&one, out->arena, choice->lists.offset);
        if (token) {
            weir_logprobs_add(&one, a->tok, event, n_top, true);
        }
        choice->lists.offset = one.offset;
        weir_logprobs_write(out, prompt, &one);
        out->failed = out->failed || weir_logprobs_failed(&one);
    }
}

/* One piece of a choice's text; the first piece of an echoing completion carries the prompt. */
static void frame_text(const weir_api_answer_t *a, uint32_t index, const weir_event_t *event,
                       weir_buf_t *out)
{
    choice_t *choice = &a->choices[index];
    weir_str_t text = weir_str(event->text, event->text_len);
    const weir_logprob_lists_t *prompt = NULL;

    frame_begin(a, index, out);
    if (a->req->kind == WEIR_API_CHAT) {
        weir_buf_append_z(out, "\"delta\":{\"content\":");
        weir_json_write_string(out, text);
        weir_buf_append_char(out, '}');
    } else if (a->req->echo && !choice->begun) {
        uint32_t p = index / a->req->generate.n;
        weir_buf_t whole;
        weir_buf_init(&whole, out->arena);
        weir_buf_append_str(&whole, a->req->prompts[p].text);
        weir_buf_append_str(&whole, text);
        out->failed = out->failed || whole.failed;
        weir_buf_append_z(out, "\"text\":");
        weir_json_write_string(out, weir_str(whole.data, whole.len));
        prompt = &a->prompts[p].lists;
    } else {
        weir_buf_append_z(out, "\"text\":");
        weir_json_write_string(out, text);
    }
    choice->begun = true;
    frame_logprobs(a, choice, event, prompt, out);
    frame_end(a, NULL, out);
}

static void frame_finish(const weir_api_answer_t *a, uint32_t index, weir_buf_t *out)
{
    frame_begin(a, index, out);
    weir_buf_append_z(out, a->req->kind == WEIR_API_CHAT ? "\"delta\":{}" : "\"text\":\"\"");
    weir_buf_append_z(out, ",\"logprobs\":null");
    frame_end(a, &a->choices[index], out);
}

static void stream_event(const weir_api_answer_t *a, uint32_t index, const weir_event_t *event,
                         weir_buf_t *out)
{
    choice_t *choice = &a->choices[index];
    if (a->req->kind == WEIR_API_CHAT && !choice->begun) {
        choice->begun = true;
        frame_role(a, index, out);
    }
    if (event->type == WEIR_EVENT_TOKEN) {
        frame_text(a, index, event, out);
    } else if (event->type == WEIR_EVENT_FINISH) {
        if (event->text_len > 0 || (a->req->echo && !choice->begun)) {
            frame_text(a, index, event, out);
        }
        frame_finish(a, index, out);
    }
}

/* Whole answers */

static weir_status_t collect(const weir_api_answer_t *a, choice_t *choice,
                             const weir_event_t *event)
{
    uint32_t n_top = a->req->generate.top_logprobs;
    weir_buf_append(&choice->text, event->text, event->text_len);
    if (a->req->logprobs && event->type == WEIR_EVENT_TOKEN && event->token >= 0) {
        if (a->req->kind == WEIR_API_CHAT) {
            if (choice->items.len > 0) {
                weir_buf_append_char(&choice->items, ',');
            }
            weir_logprobs_chat_item(&choice->items, a->tok, event, n_top);
        } else {
            weir_logprobs_add(&choice->lists, a->tok, event, n_top, true);
        }
    }
    return choice->text.failed || choice->items.failed || weir_logprobs_failed(&choice->lists)
               ? WEIR_ERR_NOMEM
               : WEIR_OK;
}

static void write_choice(const weir_api_answer_t *a, uint32_t index, weir_buf_t *out)
{
    const choice_t *choice = &a->choices[index];
    weir_str_t text = weir_str(choice->text.data, choice->text.len);

    weir_buf_printf(out, "%s{\"index\":%u,", index == 0 ? "" : ",", (unsigned)index);
    if (a->req->kind == WEIR_API_CHAT) {
        weir_buf_append_z(out, "\"message\":{\"role\":\"assistant\",\"content\":");
        weir_json_write_string(out, text);
        weir_buf_append_z(out, ",\"refusal\":null},\"logprobs\":");
        if (a->req->logprobs) {
            weir_buf_append_z(out, "{\"content\":[");
            weir_buf_append(out, choice->items.data, choice->items.len);
            weir_buf_append_z(out, "],\"refusal\":null}");
        } else {
            weir_buf_append_z(out, "null");
        }
    } else {
        weir_buf_append_z(out, "\"text\":");
        weir_json_write_string(out, text);
        weir_buf_append_z(out, ",\"logprobs\":");
        if (a->req->logprobs) {
            weir_logprobs_write(out,
                                a->req->echo ? &a->prompts[index / a->req->generate.n].lists : NULL,
                                &choice->lists);
        } else {
            weir_buf_append_z(out, "null");
        }
    }
    weir_buf_append_char(out, ',');
    write_finish(a, choice, out);
    weir_buf_append_char(out, '}');
}

static void write_usage(const weir_api_answer_t *a, weir_buf_t *out)
{
    weir_api_usage_t u = weir_api_answer_usage(a);
    uint64_t total = u.prompt_tokens + u.completion_tokens;
    weir_buf_printf(out,
                    "\"usage\":{\"prompt_tokens\":%llu,\"completion_tokens\":%llu,"
                    "\"total_tokens\":%llu,\"prompt_tokens_details\":{\"cached_tokens\":%llu}}",
                    (unsigned long long)u.prompt_tokens, (unsigned long long)u.completion_tokens,
                    (unsigned long long)total, (unsigned long long)u.cached_tokens);
}

weir_status_t weir_api_answer_event(weir_api_answer_t *a, uint32_t prompt,
                                    const weir_event_t *event, weir_buf_t *frames)
{
    uint32_t n = a->req->generate.n;
    if (prompt >= a->req->n_prompts || event->choice >= n) {
        return WEIR_OK;
    }
    uint32_t index = prompt * n + event->choice;
    choice_t *choice = &a->choices[index];
    prompt_t *p = &a->prompts[prompt];
    if (choice->finish != WEIR_FINISH_NONE) {
        return WEIR_OK;
    }
    if (event->type == WEIR_EVENT_PROMPT_TOKEN) {
        if (a->req->logprobs) {
            weir_logprobs_add(&p->lists, a->tok, event, a->req->generate.top_logprobs, p->any);
        }
        p->any = true;
        return weir_logprobs_failed(&p->lists) ? WEIR_ERR_NOMEM : WEIR_OK;
    }
    if (event->type == WEIR_EVENT_STARTED || event->type == WEIR_EVENT_FINISH) {
        p->cached_tokens =
            event->cached_tokens > p->cached_tokens ? event->cached_tokens : p->cached_tokens;
    }
    if (event->type == WEIR_EVENT_FINISH) {
        choice->finish = event->finish == WEIR_FINISH_NONE ? WEIR_FINISH_ERROR : event->finish;
        choice->stop = event->stop;
        a->n_finished++;
        if (choice->finish == WEIR_FINISH_ERROR || choice->finish == WEIR_FINISH_CANCELLED) {
            a->failed = true;
            return WEIR_OK;
        }
    }
    choice->completion_tokens = event->completion_tokens > choice->completion_tokens
                                    ? event->completion_tokens
                                    : choice->completion_tokens;
    if (!a->req->stream) {
        return collect(a, choice, event);
    }
    if (event->type == WEIR_EVENT_STARTED) {
        for (uint32_t c = prompt * n; c < (prompt + 1) * n; c++) {
            stream_event(a, c, event, frames);
        }
    } else {
        stream_event(a, index, event, frames);
    }
    return frames->failed ? WEIR_ERR_NOMEM : WEIR_OK;
}

bool weir_api_answer_complete(const weir_api_answer_t *a)
{
    return a->n_finished == a->n_choices;
}

bool weir_api_answer_failed(const weir_api_answer_t *a)
{
    return a->failed;
}

weir_status_t weir_api_answer_end(weir_api_answer_t *a, weir_buf_t *out)
{
    if (!weir_api_answer_complete(a) || a->failed) {
        return WEIR_ERR_STATE;
    }
    if (a->req->stream) {
        if (a->req->include_usage) {
            weir_buf_append_z(out, "data: ");
            weir_buf_append_str(out, a->head);
            weir_buf_append_z(out, "\"choices\":[],");
            write_usage(a, out);
            weir_buf_append_z(out, "}\n\n");
        }
        weir_buf_append_z(out, "data: [DONE]\n\n");
        return out->failed ? WEIR_ERR_NOMEM : WEIR_OK;
    }
    weir_buf_append_str(out, a->head);
    if (a->req->kind == WEIR_API_GENERATE) {
        weir_buf_append_z(out, "\"text\":");
        weir_json_write_string(out, weir_str(a->choices[0].text.data, a->choices[0].text.len));
        weir_buf_append_char(out, ',');
        write_finish(a, &a->choices[0], out);
        weir_buf_append_char(out, ',');
    } else {
        weir_buf_append_z(out, "\"choices\":[");
        for (uint32_t c = 0; c < a->n_choices; c++) {
            write_choice(a, c, out);
        }
        weir_buf_append_z(out, "],");
    }
    write_usage(a, out);
    weir_buf_append_char(out, '}');
    return out->failed ? WEIR_ERR_NOMEM : WEIR_OK;
}

void weir_api_answer_error(const weir_error_t *err, weir_buf_t *frames)
{
    weir_buf_append_z(frames, "data: ");
    weir_api_write_error(frames, err);
    weir_buf_append_z(frames, "\n\n");
}

weir_api_usage_t weir_api_answer_usage(const weir_api_answer_t *a)
{
    weir_api_usage_t u = {0};
    for (uint32_t p = 0; p < a->req->n_prompts; p++) {
        u.prompt_tokens += a->req->prompts[p].n_ids;
        u.cached_tokens += a->prompts[p].cached_tokens;
    }
    for (uint32_t c = 0; c < a->n_choices; c++) {
        u.completion_tokens += a->choices[c].completion_tokens;
    }
    return u;
}

/* RFC 3339; nothing where the time cannot be told. */
static void write_time(int64_t seconds, weir_buf_t *out)
{
    time_t at = (time_t)seconds;
    char text[40];
    struct tm tm;

    if (gmtime_r(&at, &tm) != NULL && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0) {
        weir_buf_printf(out, ",\"created_at\":\"%s\"", text);
    }
}

static void write_model(weir_str_t id, int64_t created, uint32_t context, weir_buf_t *out)
{
    weir_buf_append_z(out, "{\"id\":");
    weir_json_write_string(out, id);
    weir_buf_printf(out, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"weir\"",
                    (long long)created);
    if (context > 0) {
        weir_buf_printf(out, ",\"max_model_len\":%u", (unsigned)context);
    }
    /* The same for clients of Anthropic's API. */
    weir_buf_append_z(out, ",\"type\":\"model\",\"display_name\":");
    weir_json_write_string(out, id);
    write_time(created, out);
    weir_buf_append_char(out, '}');
}

bool weir_api_write_models(const weir_api_names_t *names, const weir_str_t *single, int64_t created,
                           uint32_t context, weir_buf_t *out)
{
    if (single == NULL) {
        weir_buf_append_z(out, "{\"object\":\"list\",\"data\":[");
    }
    for (size_t i = 0; i <= names->n_aliases; i++) {
        weir_str_t id = i == 0 ? names->id : names->aliases[i - 1];
        if (single == NULL) {
            if (i > 0) {
                weir_buf_append_char(out, ',');
            }
            write_model(id, created, context, out);
        } else if (weir_str_eq(id, *single)) {
            write_model(id, created, context, out);
            return true;
        }
    }
    if (single != NULL) {
        return false;
    }
    weir_buf_append_z(out, "],\"has_more\":false,\"first_id\":");
    weir_json_write_string(out, names->id);
    weir_buf_append_z(out, ",\"last_id\":");
    weir_json_write_string(out, names->n_aliases == 0 ? names->id
                                                      : names->aliases[names->n_aliases - 1]);
    weir_buf_append_char(out, '}');
    return true;
}

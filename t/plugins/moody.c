/*
 * A plugin for tests, which does what its settings say.
 *
 *     at=headers|body|route|response|item    where it acts; elsewhere it lets everything pass
 *     do=continue|deny|fail|nonsense|hold|late|replace|drop|refuse_start
 *         hold: never answers. late: holds, a thread resumes after ms= with then=
 *     then=continue|deny|fail|replace|hold   what the thread says
 *     status= text= ms= timeout= max_held=   open=1 pieces=1 every=n (items: each n-th)
 *
 * It counts in the tags "seen" (calls of request_body), "cancelled" and in the header
 * X-Moody-Items.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "weir_plugin.h"

typedef struct job job_t;

struct job {
    job_t *next;
    uint64_t hold;
    struct timespec when;
};

typedef struct {
    const weir_plugin_host_t *host;
    char at[16];
    char action[16];
    char then[16];
    char text[256];
    unsigned status;
    unsigned ms;
    unsigned every;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    job_t *jobs;
    int stopping;
    int running;
} plugin_t;

typedef struct {
    unsigned items;
    unsigned pieces;
    unsigned cancelled;
    int ended;
} state_t;

static weir_plugin_text_t text(const char *z)
{
    return (weir_plugin_text_t){z, strlen(z)};
}

static void take(char *out, size_t size, weir_plugin_text_t value)
{
    snprintf(out, size, "%.*s", (int)value.len, value.data);
}

static int open_plugin(const weir_plugin_host_t *host, const weir_plugin_setting_t *settings,
                       size_t n_settings, weir_plugin_needs_t *needs, void **out, char *error,
                       size_t error_size)
{
    plugin_t *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return -1;
    }
    self->host = host;
    self->every = 1;
    for (size_t i = 0; i < n_settings; i++) {
        const char *key = settings[i].key.data;
        weir_plugin_text_t value = settings[i].value;
        unsigned number = (unsigned)atoi(value.data);
        if (strcmp(key, "at") == 0) {
            take(self->at, sizeof(self->at), value);
        } else if (strcmp(key, "do") == 0) {
            take(self->action, sizeof(self->action), value);
        } else if (strcmp(key, "then") == 0) {
            take(self->then, sizeof(self->then), value);
        } else if (strcmp(key, "text") == 0) {
            take(self->text, sizeof(self->text), value);
        } else if (strcmp(key, "status") == 0) {
            self->status = number;
        } else if (strcmp(key, "ms") == 0) {
            self->ms = number;
        } else if (strcmp(key, "every") == 0) {
            self->every = number;
        } else if (strcmp(key, "timeout") == 0) {
            needs->timeout_ms = number;
        } else if (strcmp(key, "max_held") == 0) {
            needs->max_held = number;
        } else if (strcmp(key, "max_body") == 0) {
            needs->max_body = number;
        } else if (strcmp(key, "open") == 0) {
            needs->on_failure = WEIR_PLUGIN_OPEN;
        } else if (strcmp(key, "pieces") == 0) {
            needs->body = WEIR_PLUGIN_BODY_PIECES;
        } else if (strcmp(key, "mute") == 0) {
            free(self);
            return -1;
        } else {
            snprintf(error, error_size, "what is \"%s\"?", key);
            free(self);
            return -1;
        }
    }
    if (strcmp(self->at, "body") == 0 && needs->body == WEIR_PLUGIN_NO_BODY) {
        needs->body = WEIR_PLUGIN_WHOLE_BODY;
    }
    needs->response = strcmp(self->at, "item") == 0;
    *out = self;
    return 0;
}

static void close_plugin(void *data)
{
    free(data);
}

static weir_plugin_verdict_t verdict_of(const char *word)
{
    return strcmp(word, "deny") == 0                                   ? WEIR_PLUGIN_DENY
           : strcmp(word, "fail") == 0                                 ? WEIR_PLUGIN_FAIL
           : strcmp(word, "replace") == 0 || strcmp(word, "drop") == 0 ? WEIR_PLUGIN_REPLACE
           : strcmp(word, "hold") == 0                                 ? WEIR_PLUGIN_HOLD
           : strcmp(word, "nonsense") == 0                             ? (weir_plugin_verdict_t)77
                                                                       : WEIR_PLUGIN_CONTINUE;
}

static void decide(const plugin_t *self, weir_plugin_decision_t *decision)
{
    decision->status = self->status;
    decision->text = text(self->text);
    decision->message = text("moody says no");
    decision->code = "moody";
}

static void *answer_late(void *data)
{
    plugin_t *self = data;
    pthread_mutex_lock(&self->lock);
    while (!self->stopping) {
        job_t *job = self->jobs;
        if (job == NULL) {
            pthread_cond_wait(&self->wake, &self->lock);
            continue;
        }
        self->jobs = job->next;
        pthread_mutex_unlock(&self->lock);
        clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &job->when, NULL);
        /* On this thread's stack, gone right afterwards. */
        weir_plugin_decision_t decision = {0};
        decide(self, &decision);
        self->host->resume(self->host, job->hold, verdict_of(self->then), &decision);
        self->host->resume(self->host, job->hold, WEIR_PLUGIN_DENY, NULL);
        free(job);
        pthread_mutex_lock(&self->lock);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

static int start(void *data)
{
    plugin_t *self = data;
    if (strcmp(self->action, "refuse_start") == 0) {
        return -1;
    }
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->wake, NULL);
    self->running = pthread_create(&self->thread, NULL, answer_late, self) == 0;
    return self->running ? 0 : -1;
}

static void stop(void *data)
{
    plugin_t *self = data;
    pthread_mutex_lock(&self->lock);
    self->stopping = 1;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->thread, NULL);
    while (self->jobs != NULL) {
        job_t *job = self->jobs;
        self->jobs = job->next;
        free(job);
    }
}

static weir_plugin_verdict_t hold(plugin_t *self, weir_plugin_request_t *request)
{
    uint64_t handle = self->host->hold(request);
    if (handle == 0 || strcmp(self->action, "hold") == 0) {
        return handle == 0 ? WEIR_PLUGIN_FAIL : WEIR_PLUGIN_HOLD;
    }
    job_t *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return WEIR_PLUGIN_FAIL;
    }
    job->hold = handle;
    clock_gettime(CLOCK_REALTIME, &job->when);
    job->when.tv_nsec += (long)self->ms * 1000000L;
    job->when.tv_sec += job->when.tv_nsec / 1000000000L;
    job->when.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&self->lock);
    job_t **last = &self->jobs;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = job;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->lock);
    return WEIR_PLUGIN_HOLD;
}

static weir_plugin_verdict_t act(plugin_t *self, weir_plugin_request_t *request, const char *at,
                                 weir_plugin_decision_t *decision)
{
    if (strcmp(self->at, at) != 0) {
        return WEIR_PLUGIN_CONTINUE;
    }
    if (strcmp(self->action, "hold") == 0 || strcmp(self->action, "late") == 0) {
        return hold(self, request);
    }
    decide(self, decision);
    return verdict_of(self->action);
}

static state_t *state_of(plugin_t *self, weir_plugin_request_t *request)
{
    void **slot = self->host->state(request);
    if (*slot == NULL) {
        *slot = calloc(1, sizeof(state_t));
    }
    return *slot;
}

static weir_plugin_verdict_t request_headers(void *data, weir_plugin_request_t *request,
                                             weir_plugin_decision_t *decision)
{
    plugin_t *self = data;
    if (self->host->header(request, "authorization", 0).data != NULL ||
        self->host->header(request, "Host", 0).data == NULL ||
        self->host->set_response_header(request, "X-Early", text("x")) == 0 ||
        self->host->set_route(request, text("early")) == 0) {
        return WEIR_PLUGIN_FAIL;
    }
    return act(self, request, "headers", decision);
}

static weir_plugin_verdict_t request_body(void *data, weir_plugin_request_t *request,
                                          weir_plugin_text_t piece, int last,
                                          weir_plugin_decision_t *decision)
{
    plugin_t *self = data;
    state_t *state = state_of(self, request);
    (void)piece;
    state->pieces++;
    if (last) {
        char seen[160];
        weir_plugin_text_t model = self->host->get(request, WEIR_PLUGIN_MODEL);
        weir_plugin_text_t tenant = self->host->get(request, WEIR_PLUGIN_TENANT);
        weir_plugin_text_t endpoint = self->host->get(request, WEIR_PLUGIN_ENDPOINT);
        snprintf(seen, sizeof(seen), "%u,%.*s,%.*s,%.*s", state->pieces, (int)model.len, model.data,
                 (int)tenant.len, tenant.data, (int)endpoint.len, endpoint.data);
        self->host->tag(request, "seen", text(seen));
        return act(self, request, "body", decision);
    }
    return WEIR_PLUGIN_CONTINUE;
}

static weir_plugin_verdict_t route(void *data, weir_plugin_request_t *request,
                                   weir_plugin_decision_t *decision)
{
    plugin_t *self = data;
    if (strcmp(self->at, "route") == 0) {
        self->host->set_route(request, text(self->text));
    }
    return act(self, request, "route", decision);
}

static weir_plugin_verdict_t response_headers(void *data, weir_plugin_request_t *request,
                                              unsigned status, weir_plugin_decision_t *decision)
{
    plugin_t *self = data;
    char value[16];
    snprintf(value, sizeof(value), "%u", status);
    if (self->host->set_response_header(request, "X-Moody", text(value)) != 0 ||
        self->host->set_response_header(request, "Content-Length", text("1")) == 0 ||
        self->host->set_response_header(request, "X-A", text("a\r\nb")) == 0 ||
        self->host->hold(request) != 0) {
        return WEIR_PLUGIN_FAIL;
    }
    return status == 200 ? act(self, request, "response", decision) : WEIR_PLUGIN_CONTINUE;
}

static weir_plugin_verdict_t response_item(void *data, weir_plugin_request_t *request,
                                           const weir_plugin_item_t *item,
                                           weir_plugin_decision_t *decision)
{
    plugin_t *self = data;
    state_t *state = state_of(self, request);
    (void)item;
    return ++state->items % self->every == 0 ? act(self, request, "item", decision)
                                             : WEIR_PLUGIN_CONTINUE;
}

static void response_end(void *data, weir_plugin_request_t *request, weir_plugin_end_t how)
{
    state_of(data, request)->ended = 1 + (int)how;
}

static void cancelled(void *data, weir_plugin_request_t *request, uint64_t handle)
{
    plugin_t *self = data;
    state_of(self, request)->cancelled++;
    pthread_mutex_lock(&self->lock);
    for (job_t **job = &self->jobs; *job != NULL; job = &(*job)->next) {
        if ((*job)->hold == handle) {
            job_t *gone = *job;
            *job = gone->next;
            free(gone);
            break;
        }
    }
    pthread_mutex_unlock(&self->lock);
}

static void log_request(void *data, weir_plugin_request_t *request,
                        const weir_plugin_usage_t *usage)
{
    plugin_t *self = data;
    state_t *state = *self->host->state(request);
    weir_plugin_text_t id = self->host->get(request, WEIR_PLUGIN_REQUEST_ID);
    char line[300];
    snprintf(line, sizeof(line),
             "moody: %.*s status %u tokens %llu items %u ended %d cancelled %u aborted %d",
             (int)id.len, id.data, usage->status, (unsigned long long)usage->completion_tokens,
             state == NULL ? 0 : state->items, state == NULL ? 0 : state->ended,
             state == NULL ? 0 : state->cancelled, usage->aborted);
    self->host->log(self->host, NULL, WEIR_PLUGIN_LOG_INFO, line);
    free(state);
    *self->host->state(request) = NULL;
}

static const weir_plugin_t plugin = {
    .abi = WEIR_PLUGIN_ABI,
    .size = sizeof(weir_plugin_t),
    .name = "moody",
    .version = "1",
    .open = open_plugin,
    .close = close_plugin,
    .start = start,
    .stop = stop,
    .request_headers = request_headers,
    .request_body = request_body,
    .route = route,
    .response_headers = response_headers,
    .response_item = response_item,
    .response_end = response_end,
    .cancelled = cancelled,
    .log = log_request,
};

const weir_plugin_t *weir_plugin_entry(uint32_t gateway_abi)
{
    return gateway_abi == WEIR_PLUGIN_ABI ? &plugin : NULL;
}

/*
 * A worked example of weir_plugin.h: every request belongs to a business unit, and a word is
 * refused.
 *
 *     weir_plugin /path/to/business_unit.so header=X-Business-Unit units=retail,research
 * word=bumbershoot;
 *
 * The unit comes from a header of the request and becomes the tag $weir_tag_unit, for logs and
 * maps, and a header of the answer. A request without a known unit is refused, and so is one whose
 * body holds the word; an answer that comes to the word ends with the finish reason content_filter.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir_plugin.h"

#define MAX_UNITS 32

/* One per weir_plugin directive; read only after open(), so all requests may share it. */
typedef struct {
    const weir_plugin_host_t *host;
    char header[64];
    char word[64];
    char unknown[128];
    char units[MAX_UNITS][64];
    size_t n_units;
} plugin_t;

/* What the plugin remembers of a request, from its headers to its log line. */
typedef struct {
    weir_plugin_text_t unit;
} request_state_t;

static weir_plugin_text_t text(const char *z)
{
    return (weir_plugin_text_t){z, strlen(z)};
}

static int is(weir_plugin_text_t a, const char *z)
{
    return a.len == strlen(z) && memcmp(a.data, z, a.len) == 0;
}

static int copy(char *out, size_t size, weir_plugin_text_t value)
{
    if (value.len == 0 || value.len >= size) {
        return -1;
    }
    memcpy(out, value.data, value.len);
    out[value.len] = '\0';
    return 0;
}

static int set_units(plugin_t *self, weir_plugin_text_t list)
{
    const char *p = list.data;
    const char *end = p + list.len;
    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma == NULL ? end : comma;
        if (self->n_units == MAX_UNITS || copy(self->units[self->n_units], sizeof(self->units[0]),
                                               (weir_plugin_text_t){p, (size_t)(stop - p)}) != 0) {
            return -1;
        }
        self->n_units++;
        p = stop + 1;
    }
    return self->n_units > 0 ? 0 : -1;
}

/* The configuration is refused with what is written to error. */
static int open_plugin(const weir_plugin_host_t *host, const weir_plugin_setting_t *settings,
                       size_t n_settings, weir_plugin_needs_t *needs, void **out, char *error,
                       size_t error_size)
{
    plugin_t *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        snprintf(error, error_size, "out of memory");
        return -1;
    }
    self->host = host;
    strcpy(self->header, "X-Business-Unit");
    for (size_t i = 0; i < n_settings; i++) {
        weir_plugin_text_t value = settings[i].value;
        int rc = is(settings[i].key, "header")  ? copy(self->header, sizeof(self->header), value)
                 : is(settings[i].key, "word")  ? copy(self->word, sizeof(self->word), value)
                 : is(settings[i].key, "units") ? set_units(self, value)
                                                : -1;
        if (rc != 0) {
            snprintf(error, error_size,
                     "cannot use \"%s=%s\": header=, word= and units=a,b are known",
                     settings[i].key.data, value.data);
            free(self);
            return -1;
        }
    }
    if (self->n_units == 0) {
        snprintf(error, error_size, "needs units=name,name,...");
        free(self);
        return -1;
    }
    snprintf(self->unknown, sizeof(self->unknown), "Name your business unit in the header %s.",
             self->header);
    if (self->word[0] != '\0') {
        needs->body = WEIR_PLUGIN_WHOLE_BODY;
        needs->response = 1;
        needs->max_body = (size_t)8 * 1024 * 1024;
    }
    needs->on_failure = WEIR_PLUGIN_CLOSED;
    *out = self;
    return 0;
}

static void close_plugin(void *data)
{
    free(data);
}

static weir_plugin_verdict_t request_headers(void *data, weir_plugin_request_t *request,
                                             weir_plugin_decision_t *decision)
{
    plugin_t *self = data;
    const weir_plugin_host_t *host = self->host;
    weir_plugin_text_t unit = host->header(request, self->header, 0);
    for (size_t i = 0; i < self->n_units; i++) {
        if (is(unit, self->units[i])) {
            /* The settings live longer than any request, so the state may point into them. */
            request_state_t *state = host->alloc(request, sizeof(*state));
            if (state == NULL) {
                return WEIR_PLUGIN_FAIL;
            }
            state->unit = text(self->units[i]);
            *host->state(request) = state;
            return host->tag(request, "unit", state->unit) == 0 ? WEIR_PLUGIN_CONTINUE
                                                                : WEIR_PLUGIN_FAIL;
        }
    }
    decision->status = 403;
    decision->type = "permission_error";
    decision->code = "unknown_business_unit";
    /* Made in open(): a decision is read when this function has returned. */
    decision->message = text(self->unknown);
    return WEIR_PLUGIN_DENY;
}

/* A real guard would unescape JSON and fold case properly; Weir's own guardrails do. */
static int holds_word(const plugin_t *self, weir_plugin_text_t where)
{
    size_t n = strlen(self->word);
    for (size_t i = 0; i + n <= where.len; i++) {
        size_t k = 0;
        while (k < n &&
               tolower((unsigned char)where.data[i + k]) == tolower((unsigned char)self->word[k])) {
            k++;
        }
        if (k == n) {
            return 1;
        }
    }
    return 0;
}

static weir_plugin_verdict_t request_body(void *data, weir_plugin_request_t *request,
                                          weir_plugin_text_t piece, int last,
                                          weir_plugin_decision_t *decision)
{
    (void)request;
    (void)last;
    if (!holds_word(data, piece)) {
        return WEIR_PLUGIN_CONTINUE;
    }
    decision->status = 400;
    decision->code = "word_refused";
    decision->message = text("The request holds a word that is not used here.");
    return WEIR_PLUGIN_DENY;
}

static weir_plugin_verdict_t response_headers(void *data, weir_plugin_request_t *request,
                                              unsigned status, weir_plugin_decision_t *decision)
{
    plugin_t *self = data;
    request_state_t *state = *self->host->state(request);
    (void)status;
    (void)decision;
    /* A refused request never got a unit. */
    if (state != NULL) {
        self->host->set_response_header(request, self->header, state->unit);
    }
    return WEIR_PLUGIN_CONTINUE;
}

static weir_plugin_verdict_t response_item(void *data, weir_plugin_request_t *request,
                                           const weir_plugin_item_t *item,
                                           weir_plugin_decision_t *decision)
{
    (void)request;
    (void)decision;
    /* Without a status the answer ends as one that a content filter has ended. */
    return holds_word(data, item->data) ? WEIR_PLUGIN_DENY : WEIR_PLUGIN_CONTINUE;
}

static void log_request(void *data, weir_plugin_request_t *request,
                        const weir_plugin_usage_t *usage)
{
    plugin_t *self = data;
    request_state_t *state = *self->host->state(request);
    if (state != NULL) {
        char line[200];
        snprintf(line, sizeof(line), "unit %s used %llu and %llu tokens", state->unit.data,
                 (unsigned long long)usage->prompt_tokens,
                 (unsigned long long)usage->completion_tokens);
        self->host->log(self->host, request, WEIR_PLUGIN_LOG_INFO, line);
    }
}

static const weir_plugin_t plugin = {
    .abi = WEIR_PLUGIN_ABI,
    .size = sizeof(weir_plugin_t),
    .name = "business_unit",
    .version = "1.0",
    .open = open_plugin,
    .close = close_plugin,
    .request_headers = request_headers,
    .request_body = request_body,
    .response_headers = response_headers,
    .response_item = response_item,
    .log = log_request,
};

const weir_plugin_t *weir_plugin_entry(uint32_t gateway_abi)
{
    (void)gateway_abi;
    return &plugin;
}

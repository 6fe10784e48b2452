/*
 * Usage of a whole JSON answer, read as it passes. Keeps no more than the few members that are
 * looked for, so that an answer of many megabytes (embeddings) costs neither memory nor a scan of
 * its own. Only brackets and strings are followed: whether the rest is valid JSON is not its
 * affair.
 */
#include "lua-free-filters/usage_reader.h"

#define MAX_DEPTH   64
#define MAX_CAPTURE 16384
#define MAX_NODES   512
#define MAX_WHOLE   16384 /* a longer piece is not tried as a whole document */

enum {
    KEY_NONE,
    /* Members of the root that are copied; a response that lies in "response" is not met here. */
    KEY_ID,
    KEY_MODEL,
    KEY_USAGE,
    KEY_ERROR,
    KEY_STATUS,
    KEY_BACKGROUND,
    KEY_STOP_REASON,
    KEY_TOOL_USAGE,
    KEY_INCOMPLETE,
    KEY_META,
    KEY_LAST_COPIED = KEY_META,
    /* Members of the root below which the answer lies. */
    KEY_CHOICES,
    KEY_CONTENT,
    KEY_OUTPUT,
    KEY_LAST_ANSWER = KEY_OUTPUT,
    /* Copied below choices. */
    KEY_FINISH_REASON,
    /* Strings that are text of the answer. */
    KEY_TEXT
};

/* By length first: every key of every answer is looked up. */
static uint8_t known_key(const char *key, size_t len)
{
#define KNOWN(name, value)                            \
    if (memcmp(key, (name), sizeof(name) - 1) == 0) { \
        return (value);                               \
    }
    switch (len) {
    case 2:
        KNOWN("id", KEY_ID)
        break;
    case 4:
        KNOWN("text", KEY_TEXT)
        KNOWN("meta", KEY_META)
        break;
    case 5:
        KNOWN("model", KEY_MODEL)
        KNOWN("usage", KEY_USAGE)
        KNOWN("error", KEY_ERROR)
        break;
    case 6:
        KNOWN("status", KEY_STATUS)
        KNOWN("output", KEY_OUTPUT)
        break;
    case 7:
        KNOWN("choices", KEY_CHOICES)
        KNOWN("content", KEY_CONTENT)
        KNOWN("refusal", KEY_TEXT)
        break;
    case 8:
        KNOWN("thinking", KEY_TEXT)
        break;
    case 9:
        KNOWN("reasoning", KEY_TEXT)
        KNOWN("arguments", KEY_TEXT)
        break;
    case 10:
        KNOWN("background", KEY_BACKGROUND)
        KNOWN("tool_usage", KEY_TOOL_USAGE)
        break;
    case 11:
        KNOWN("stop_reason", KEY_STOP_REASON)
        break;
    case 13:
        KNOWN("finish_reason", KEY_FINISH_REASON)
        break;
    case 17:
        KNOWN("reasoning_content", KEY_TEXT)
        break;
    case 18:
        KNOWN("incomplete_details", KEY_INCOMPLETE)
        break;
    default:
        break;
    }
#undef KNOWN
    return KEY_NONE;
}

static bool in_array(const weir_usage_document_t *d)
{
    return d->depth > 0 && (d->arrays >> (d->depth - 1) & 1) != 0;
}

static bool in_answer(const weir_usage_document_t *d)
{
    return d->top >= KEY_CHOICES && d->top <= KEY_LAST_ANSWER;
}

static const weir_json_limits_t lenient = {.allow_duplicate_keys = true};

/* --- what was copied --- */

static weir_status_t read_string(weir_usage_reader_t *r, const weir_json_doc_t *doc, uint32_t node,
                                 uint8_t key)
{
    weir_usage_t *u = &r->usage;
    weir_str_t raw = weir_json_raw(doc, node);
    weir_str_t text = weir_str(NULL, 0);

    if (weir_json_type(doc, node) == WEIR_JSON_STRING) {
        text = weir_str(raw.data + 1, raw.len - 2);
    }
    switch (key) {
    case KEY_ID:
        return weir_usage_keep(r, doc, node, WEIR_USAGE_MAX_ID, &u->id);
    case KEY_MODEL:
        return weir_usage_keep(r, doc, node, WEIR_USAGE_MAX_MODEL, &u->model);
    case KEY_STATUS:
        /* queued and in_progress are no end */
        if (weir_finish_of(text) != WEIR_FINISH_OTHER) {
            weir_usage_finish(u, weir_finish_of(text));
        }
        break;
    default:
        weir_usage_finish(u, weir_finish_of(text));
        break;
    }
    return WEIR_OK;
}

/* A member that is looked for. */
static weir_status_t read_value(weir_usage_reader_t *r, uint8_t key, const weir_json_doc_t *doc,
                                uint32_t node)
{
    weir_usage_t *u = &r->usage;

    switch (key) {
    case KEY_USAGE:
        u->has_usage = weir_tokens_read(&u->tokens, doc, node) || u->has_usage;
        weir_usage_tools(u, doc, weir_json_get(doc, node, "server_tool_use"));
        break;
    case KEY_META:
        /* Rerank of Cohere's kind. */
        u->has_usage =
            weir_tokens_read(&u->tokens, doc, weir_json_get(doc, node, "tokens")) || u->has_usage;
        break;
    case KEY_ERROR:
        break;
    case KEY_BACKGROUND:
        u->background = weir_json_type(doc, node) == WEIR_JSON_TRUE;
        break;
    case KEY_TOOL_USAGE:
        weir_usage_tools(u, doc, node);
        break;
    case KEY_INCOMPLETE: {
        uint32_t reason = weir_json_get(doc, node, "reason");
        if (reason != WEIR_JSON_NONE && weir_json_type(doc, reason) == WEIR_JSON_STRING) {
            weir_str_t raw = weir_json_raw(doc, reason);
            weir_usage_finish(u, weir_finish_of(weir_str(raw.data + 1, raw.len - 2)));
        }
        break;
    }
    default:
        return read_string(r, doc, node, key);
    }
    return WEIR_OK;
}

static weir_status_t read_capture(weir_usage_reader_t *r)
{
    weir_usage_document_t *d = &r->document;
    weir_json_node_t nodes[MAX_NODES];
    weir_json_doc_t doc;
    uint8_t key = d->capturing;

    d->capturing = KEY_NONE;
    if (key == KEY_ERROR && d->capture.data[0] != 'n') {
        r->usage.error = true; /* whatever it says: it is not null */
        weir_usage_finish(&r->usage, WEIR_FINISH_ERROR);
    }
    if (d->too_long || weir_json_scan(d->capture.data, d->capture.len, &lenient, nodes, MAX_NODES,
                                      &doc, NULL) != WEIR_OK) {
        return WEIR_OK;
    }
    return read_value(r, key, &doc, 0);
}

static weir_status_t copy(weir_usage_document_t *d, const char *data, size_t len)
{
    if (d->capturing == KEY_NONE || len == 0) {
        return WEIR_OK;
    }
    if (len > MAX_CAPTURE - d->capture.len) {
        d->too_long = true;
        return WEIR_OK;
    }
    weir_buf_append(&d->capture, data, len);
    return d->capture.failed ? WEIR_ERR_NOMEM : WEIR_OK;
}

/* --- strings --- */

/* An escape that is cut by the end of a piece waits for the next one. */
static void count_text(weir_usage_reader_t *r, const char *data, size_t len)
{
    weir_usage_document_t *d = &r->document;
    size_t at = 0;

    while (d->tail_len > 0 && at < len) {
        d->tail[d->tail_len++] = data[at++];
        if (weir_text_count_piece(&r->usage.text, weir_str(d->tail, d->tail_len)) == 0) {
            d->tail_len = 0;
        }
    }
    if (at < len) {
        size_t rest = weir_text_count_piece(&r->usage.text, weir_str(data + at, len - at));
        memcpy(d->tail, data + len - rest, rest);
        d->tail_len = (uint8_t)rest;
    }
}

/* Behind a string's closing quote. */
static weir_status_t end_string(weir_usage_reader_t *r)
{
    weir_usage_document_t *d = &r->document;

    if (!d->is_key) {
        weir_text_count(&r->usage.text, weir_str(d->tail, d->tail_len));
        d->text = false;
        d->tail_len = 0;
        if (d->capturing != KEY_NONE && d->depth == d->capture_depth) {
            return read_capture(r);
        }
        return WEIR_OK;
    }
    /* Within what is copied, names mean nothing here. */
    d->last = d->capturing != KEY_NONE || d->key_len == 0 || d->key_len > sizeof(d->key)
                  ? KEY_NONE
                  : known_key(d->key, d->key_len);
    if (d->depth == 1) {
        d->top = d->last;
    }
    return WEIR_OK;
}

/* The rest of a string, from at on; returns how much of it there is. */
static weir_status_t feed_string(weir_usage_reader_t *r, const char *data, size_t len, size_t *used)
{
    weir_usage_document_t *d = &r->document;
    size_t at = 0;

    size_t stop = 0; /* the next quote, unless at is behind it */
    bool sought = false;
    while (at < len) {
        if (d->escape) {
            d->escape = false;
            at++;
            continue;
        }
        if (!sought || stop < at) {
            const char *quote = memchr(data + at, '"', len - at);
            stop = quote == NULL ? len : (size_t)(quote - data);
            sought = true;
        }
        const char *slash = memchr(data + at, '\\', stop - at);
        if (slash == NULL) {
            at = stop;
            break;
        }
        d->escape = true;
        at = (size_t)(slash - data) + 1;
    }
    bool closed = at < len;
    if (d->is_key) {
        size_t room = sizeof(d->key) - (d->key_len < sizeof(d->key) ? d->key_len : sizeof(d->key));
        memcpy(d->key + sizeof(d->key) - room, data, at < room ? at : room);
        d->key_len = (uint8_t)(at <= room ? d->key_len + at : sizeof(d->key) + 1);
    } else if (d->text) {
        count_text(r, data, at);
    }
    weir_status_t rc = copy(d, data, at + closed);
    *used = at + closed;
    if (rc == WEIR_OK && closed) {
        d->in_string = false;
        rc = end_string(r);
    }
    return rc;
}

/* --- structure --- */

/* In front of a value's first byte. */
static void begin_value(weir_usage_reader_t *r)
{
    weir_usage_document_t *d = &r->document;

    d->root = true;
    if (d->depth == 2 && in_array(d) && in_answer(d)) {
        r->usage.first_content = true;
    }
    if (d->capturing != KEY_NONE || in_array(d)) {
        return;
    }
    bool member = d->depth == 1 && d->top > KEY_NONE && d->top <= KEY_LAST_COPIED;
    bool finish = d->depth == 3 && d->top == KEY_CHOICES && d->last == KEY_FINISH_REASON;
    if (member || finish) {
        d->capturing = d->last;
        d->capture_depth = d->depth;
        d->capture.len = 0;
        d->too_long = false;
    }
}

static weir_status_t begin_string(weir_usage_reader_t *r)
{
    weir_usage_document_t *d = &r->document;

    d->in_string = true;
    d->escape = false;
    d->is_key = d->want_key;
    if (d->is_key) {
        d->want_key = false;
        d->key_len = 0;
    } else {
        begin_value(r);
        d->text = in_answer(d) && (d->last == KEY_TEXT || d->last == KEY_CONTENT);
        if (d->text) {
            r->usage.first_content = true;
        }
    }
    return copy(d, "\"", 1);
}

static weir_status_t open_container(weir_usage_reader_t *r, char c)
{
    weir_usage_document_t *d = &r->document;

    begin_value(r);
    if (d->depth == MAX_DEPTH) {
        d->bad = true;
        return WEIR_OK;
    }
    d->arrays =
        c == '[' ? d->arrays | UINT64_C(1) << d->depth : d->arrays & ~(UINT64_C(1) << d->depth);
    d->depth++;
    d->want_key = c == '{';
    return copy(d, &c, 1);
}

/* A value without brackets or quotes ends in front of a comma or bracket. */
static weir_status_t end_plain(weir_usage_reader_t *r)
{
    weir_usage_document_t *d = &r->document;
    bool ends = d->capturing != KEY_NONE && d->depth == d->capture_depth;

    return ends ? read_capture(r) : WEIR_OK;
}

static weir_status_t close_container(weir_usage_reader_t *r, char c)
{
    weir_usage_document_t *d = &r->document;
    weir_status_t rc = end_plain(r);

    if (d->depth == 0 || in_array(d) != (c == ']')) {
        d->bad = true;
        return rc;
    }
    d->depth--;
    d->want_key = false;
    if (rc == WEIR_OK) {
        rc = copy(d, &c, 1);
    }
    if (rc == WEIR_OK && d->capturing != KEY_NONE && d->depth == d->capture_depth) {
        rc = read_capture(r);
    }
    return rc;
}

/* Numbers, words, colons and white space up to the next byte that means something. */
static weir_status_t feed_plain(weir_usage_reader_t *r, const char *data, size_t len, size_t *used)
{
    weir_usage_document_t *d = &r->document;
    size_t n = 0;

    while (n < len && data[n] != '"' && data[n] != ',' && data[n] != '{' && data[n] != '}' &&
           data[n] != '[' && data[n] != ']') {
        n++;
    }
    *used = n;
    if (d->capturing != KEY_NONE) {
        return copy(d, data, n);
    }
    for (size_t i = 0; i < n && !d->want_key; i++) {
        if ((uint8_t)data[i] > ' ' && data[i] != ':') {
            /* Its first byte, or a later one: beginning twice does no harm. */
            begin_value(r);
            return copy(d, data + i, n - i);
        }
    }
    return WEIR_OK;
}

/* --- a document that came in one piece --- */

static uint8_t key_at(const weir_json_doc_t *doc, uint32_t node)
{
    weir_str_t raw = weir_json_raw(doc, node);
    size_t len = raw.len - 2;
    return len == 0 || len > sizeof(((weir_usage_document_t *)0)->key)
               ? KEY_NONE
               : known_key(raw.data + 1, len);
}

static void read_text(weir_usage_t *u, const weir_json_doc_t *doc, uint32_t node)
{
    weir_str_t raw = weir_json_raw(doc, node);
    u->first_content = true;
    weir_text_count(&u->text, weir_str(raw.data + 1, raw.len - 2));
}

/* The answer below a member of the root; depth is that of the containers around a node. */
static weir_status_t read_answer(weir_usage_reader_t *r, const weir_json_doc_t *doc, uint8_t top,
                                 uint32_t node)
{
    uint32_t end[MAX_DEPTH + 2];
    bool object[MAX_DEPTH + 2];
    uint32_t depth = 1;
    uint8_t last = top;
    weir_status_t rc = WEIR_OK;

    end[1] = doc->nodes[node].next;
    object[1] = false;
    for (uint32_t i = node; rc == WEIR_OK && i < end[1]; i++) {
        while (i == end[depth]) {
            depth--;
        }
        if (object[depth]) {
            last = key_at(doc, i++);
            if (depth == 3 && top == KEY_CHOICES && last == KEY_FINISH_REASON) {
                rc = doc->nodes[i].end - doc->nodes[i].start > MAX_CAPTURE
                         ? WEIR_OK
                         : read_value(r, last, doc, i);
                i = doc->nodes[i].next - 1;
                last = KEY_NONE;
                continue;
            }
        } else if (depth == 2) {
            r->usage.first_content = true;
        }
        const weir_json_node_t *n = &doc->nodes[i];
        if (n->type == WEIR_JSON_STRING && (last == KEY_TEXT || last == KEY_CONTENT)) {
            read_text(&r->usage, doc, i);
        }
        if (n->size > 0) {
            depth++;
            end[depth] = n->next;
            object[depth] = n->type == WEIR_JSON_OBJECT;
        }
    }
    return rc;
}

static bool may_be_whole(const char *data, size_t len)
{
    while (len > 0 && (data[len - 1] == '\n' || data[len - 1] == '\r' || data[len - 1] == ' ')) {
        len--;
    }
    return len > 0 && len <= MAX_WHOLE && data[0] == '{' && data[len - 1] == '}';
}

/* Reads the piece if it is a whole document; then *whole. What the one way reads the other does. */
static weir_status_t feed_whole(weir_usage_reader_t *r, const char *data, size_t len, bool *whole)
{
    weir_json_node_t nodes[MAX_NODES];
    weir_json_doc_t doc;
    weir_status_t rc = WEIR_OK;

    *whole = weir_json_scan(data, len, &lenient, nodes, MAX_NODES, &doc, NULL) == WEIR_OK &&
             nodes[0].type == WEIR_JSON_OBJECT;
    if (!*whole) {
        return WEIR_OK;
    }
    r->document.root = true;
    uint32_t key = 1;
    for (uint32_t i = 0; i < nodes[0].size && rc == WEIR_OK; i++) {
        uint8_t known = key_at(&doc, key);
        const weir_json_node_t *n = &nodes[key + 1];
        if (known > KEY_NONE && known <= KEY_LAST_COPIED) {
            if (known == KEY_ERROR && n->type != WEIR_JSON_NULL) {
                r->usage.error = true;
                weir_usage_finish(&r->usage, WEIR_FINISH_ERROR);
            }
            rc = n->end - n->start > MAX_CAPTURE ? WEIR_OK : read_value(r, known, &doc, key + 1);
        } else if (known >= KEY_CHOICES && known <= KEY_LAST_ANSWER) {
            rc = read_answer(r, &doc, known, key + 1);
        }
        key = n->next;
    }
    return rc;
}

weir_status_t weir_usage_document_feed(weir_usage_reader_t *r, const char *data, size_t len)
{
    weir_usage_document_t *d = &r->document;
    weir_status_t rc = WEIR_OK;
    size_t at = 0;

    if (!d->root && !d->bad && d->depth == 0 && may_be_whole(data, len)) {
        bool whole;
        rc = feed_whole(r, data, len, &whole);
        if (whole || rc != WEIR_OK) {
            return rc;
        }
    }
    while (at < len && rc == WEIR_OK && !d->bad) {
        size_t used = 1;
        if (d->in_string) {
            rc = feed_string(r, data + at, len - at, &used);
            at += used;
            continue;
        }
        switch (data[at]) {
        case '"':
            rc = begin_string(r);
            break;
        case '{':
        case '[':
            rc = open_container(r, data[at]);
            break;
        case '}':
        case ']':
            rc = close_container(r, data[at]);
            break;
        case ',':
            rc = end_plain(r);
            d->want_key = d->depth > 0 && !in_array(d);
            rc = rc == WEIR_OK ? copy(d, ",", 1) : rc;
            break;
        default:
            rc = feed_plain(r, data + at, len - at, &used);
            break;
        }
        at += used;
    }
    return rc;
}

weir_status_t weir_usage_document_end(weir_usage_reader_t *r)
{
    weir_usage_document_t *d = &r->document;

    if (r->usage.done) {
        return WEIR_OK;
    }
    r->usage.done = !d->bad && d->depth == 0 && !d->in_string;
    r->usage.skipped += !r->usage.done;
    return WEIR_OK;
}

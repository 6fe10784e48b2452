#include "lua-free-filters/redact.h"

#include <stdlib.h>

#include "lua-free-filters/edit.h"
#include "lua-free-filters/json_numbers.h"
#include "lua-free-filters/redact_events.h"

#define DEFAULT_MAX_QUEUED ((size_t)1 << 20)
#define SLICED_WINDOW      ((size_t)4 << 10)

/* One text that goes on over several events. */
typedef struct text_s {
    struct text_s *next;
    weir_text_kind_t kind;
    uint32_t choice;
    uint32_t part;
    weir_str_t open; /* those of its field */
    weir_str_t close;
    weir_str_t item_id; /* responses: JSON of item_id, for events that are inserted, */
    const char *event;  /* and the name of the events that carry it */
    weir_redact_text_t text;
    weir_buf_t made; /* what it became, until that leaves */
    bool rewound;    /* held until its end, and now read slice by slice */
    bool ended;      /* more of it may come all the same */
} text_t;

/* An item that waits for a verdict: what stands before field `at` is done. */
typedef struct queued_s {
    struct queued_s *next;
    weir_item_kind_t kind;
    bool fed;   /* field `at` has been fed its text, */
    bool slept; /* or so much of it, when its slice had no turn */
    size_t to;
    uint32_t at;
    char *data; /* malloc: name, then data, then raw, then fields */
    size_t name_len;
    size_t data_len;
    size_t raw_len;
    size_t fields_len;
} queued_t;

struct weir_redact {
    weir_redact_options_t options;
    weir_redact_rules_t blind;  /* for kinds that are not looked at */
    weir_redact_rules_t sliced; /* for texts that were held until their end */
    weir_redact_stats_t stats;
    weir_arena_t *arena;
    text_t *texts;
    queued_t *queue;
    queued_t **queue_end;
    size_t queued;
    text_t *waiting; /* a whole text whose verdict is awaited */
    weir_str_t id;   /* JSON of a chat chunk's head, for events that are inserted */
    weir_str_t created;
    weir_str_t model;
    weir_protocol_t shape; /* of the events: the protocol, or what they look like */
    int64_t sequence;      /* responses: next sequence_number */
    bool changes;          /* not only observes */
    bool granted;          /* the next slice has its turn */
    bool slept;            /* a slice had no turn */
    bool elsewhere;        /* not on the event loop's thread */
    bool closed;
};

weir_status_t weir_redact_open(weir_arena_t *arena, const weir_redact_options_t *options,
                               weir_redact_t **out)
{
    weir_redact_t *r = weir_arena_calloc(arena, 1, sizeof *r);
    if (r == NULL)
        return WEIR_ERR_NOMEM;
    r->options = *options;
    r->shape = options->protocol;
    r->blind = options->text;
    r->blind.rules = NULL;
    r->blind.check = NULL;
    r->blind.mode = WEIR_REDACT_HOLDBACK;
    r->sliced = options->text;
    r->sliced.mode = WEIR_REDACT_WINDOW;
    r->sliced.window = options->text.window > SLICED_WINDOW ? options->text.window : SLICED_WINDOW;
    r->sliced.step = WEIR_REDACT_SLICE / 2;
    r->arena = arena;
    r->queue_end = &r->queue;
    r->changes = options->text.mode != WEIR_REDACT_OBSERVE || options->text.restore != NULL;
    if (r->options.max_queued == 0)
        r->options.max_queued = DEFAULT_MAX_QUEUED;
    *out = r;
    return WEIR_OK;
}

const weir_redact_stats_t *weir_redact_stats(const weir_redact_t *r)
{
    return &r->stats;
}

/* Before each call: whose scratch? */
static bool enter(weir_redact_t *r)
{
    if (r->options.scratch == NULL)
        return true;
    r->options.text.scratch = r->options.scratch(r->options.text.ctx, &r->elsewhere);
    r->sliced.scratch = r->options.text.scratch;
    return r->options.text.scratch != NULL;
}

/* --- texts --- */

static const weir_redact_rules_t *rules_of(const weir_redact_t *r, weir_text_kind_t kind)
{
    return (r->options.skip_kinds >> kind & 1) != 0 ? &r->blind : &r->options.text;
}

static text_t *new_text(weir_redact_t *r, weir_text_kind_t kind, uint32_t choice, uint32_t part)
{
    text_t *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->kind = kind;
    t->choice = choice;
    t->part = part;
    weir_buf_init(&t->made, r->arena);
    weir_redact_text_init(&t->text, rules_of(r, kind), kind == WEIR_TEXT_ARGUMENTS,
                          (r->options.restore_kinds >> kind & 1) != 0);
    r->stats.texts++;
    return t;
}

static void count(weir_redact_t *r, text_t *t)
{
    r->stats.held_sum += t->text.held_sum;
    r->stats.pieces += t->text.feeds;
    r->stats.scanned += t->text.scanned;
    t->text.held_sum = t->text.feeds = t->text.scanned = 0;
    if (t->text.restorer != NULL) {
        r->stats.restored += t->text.restorer->restored;
        t->text.restorer->restored = 0;
    }
}

/* What has left is remembered: upstreams send text behind the end that they told. */
static void end_text(weir_redact_t *r, text_t *t)
{
    count(r, t);
    t->ended = true;
    t->rewound = false;
    t->made.len = 0;
}

static void drop_text(weir_redact_t *r, text_t *t)
{
    count(r, t);
    weir_redact_text_free(&t->text);
    free(t);
}

/* data NULL: out of memory. */
static weir_str_t copy_of(weir_redact_t *r, weir_str_t s)
{
    if (s.len == 0)
        return weir_str("", 0);
    return weir_str(weir_arena_strndup(r->arena, s.data, s.len), s.len);
}

static text_t *find_text(weir_redact_t *r, const weir_text_field_t *f)
{
    for (text_t *t = r->texts; t != NULL; t = t->next)
        if (t->kind == f->kind && t->choice == f->choice && t->part == f->part &&
            weir_str_eq(t->open, f->open)) {
            if (t->ended)
                weir_redact_text_reopen(&t->text, rules_of(r, t->kind));
            t->ended = false;
            return t;
        }
    text_t *t = new_text(r, f->kind, f->choice, f->part);
    if (t == NULL)
        return NULL;
    t->open = copy_of(r, f->open);
    t->close = copy_of(r, f->close);
    if (t->open.data == NULL || t->close.data == NULL) {
        drop_text(r, t);
        return NULL;
    }
    /* At the end: texts end in the order in which they began. */
    text_t **at = &r->texts;
    while (*at != NULL)
        at = &(*at)->next;
    *at = t;
    return t;
}

static bool ends(const weir_text_list_t *list, weir_text_kind_t kind, uint32_t choice,
                 uint32_t part, weir_str_t open)
{
    for (uint32_t i = 0; i < list->end_count; i++) {
        const weir_text_end_t *e = &list->ends[i];
        if ((e->choice == WEIR_TEXT_ALL || e->choice == choice) &&
            (e->part == WEIR_TEXT_ALL || e->part == part) &&
            (e->kind == WEIR_TEXT_ALL || e->kind == (uint32_t)kind) &&
            (e->open.data == NULL || weir_str_eq(e->open, open)))
            return true;
    }
    return false;
}

void weir_redact_close(weir_redact_t *r)
{
    if (r->closed)
        return;
    r->closed = true;
    bool able = enter(r);
    while (r->texts != NULL) {
        text_t *t = r->texts;
        r->texts = t->next;
        if (able)
            weir_redact_text_abandon(&t->text);
        drop_text(r, t);
    }
    if (r->waiting != NULL)
        drop_text(r, r->waiting);
    r->waiting = NULL;
    while (r->queue != NULL) {
        queued_t *q = r->queue;
        r->queue = q->next;
        free(q->data);
        free(q);
    }
    r->queue_end = &r->queue;
    r->queued = 0;
    if (r->options.closed != NULL)
        r->options.closed(r->options.text.ctx);
}

/* --- events of our own --- */

static weir_str_t keep(weir_redact_t *r, weir_str_t old, const weir_json_doc_t *doc, uint32_t node)
{
    if (node == WEIR_JSON_NONE)
        return old;
    weir_str_t raw = weir_json_raw(doc, node);
    if (weir_str_eq(raw, old))
        return old;
    char *copy = weir_arena_strndup(r->arena, raw.data, raw.len);
    return copy == NULL ? old : weir_str(copy, raw.len);
}

/* Hands on a piece of text that no event of the upstream's carries. */
static weir_status_t insert(weir_redact_t *r, const text_t *t, weir_str_t text, weir_sink_t *sink)
{
    weir_buf_t out;
    /* Events of a shape that nobody knows are not made: their texts end with an event of their own,
     * or were cut. */
    if (text.len == 0 || !r->changes || r->shape == WEIR_PROTOCOL_OTHER)
        return WEIR_OK;
    weir_buf_init(&out, weir_sink_arena(sink));
    weir_redact_place_t place = {.kind = t->kind,
                                 .choice = t->choice,
                                 .part = t->part,
                                 .item_id = t->item_id,
                                 .event = t->event,
                                 .open = t->open,
                                 .close = t->close};
    weir_redact_head_t head = {
        .shape = r->shape, .id = r->id, .created = r->created, .model = r->model};
    weir_str_t name = weir_redact_write_event(&head, &place, text, &r->sequence, &out);
    if (out.failed)
        return WEIR_ERR_NOMEM;
    return weir_sink_event(sink, name, weir_str(out.data, out.len));
}

static void block(weir_redact_t *r, weir_sink_t *sink)
{
    r->stats.stopped = true;
    weir_sink_stop(sink, &r->options.on_block);
}

/* May the next slice be read now? */
static bool may(weir_redact_t *r, size_t size)
{
    bool now = r->granted || r->options.turn == NULL || r->options.turn(r->options.text.ctx, size);
    r->granted = false;
    r->slept = !now;
    return now;
}

/*
 * The end of a text, with `text` as its last piece, NULL when it has been fed already. What was
 * held until here is looked at in slices where the event loop does it: BUSY then, too, as the
 * text's next slice waits for its turn.
 */
static weir_status_t finish(weir_redact_t *r, text_t *t, const weir_str_t *text, weir_buf_t *out)
{
    size_t len = text == NULL ? 0 : text->len;
    bool slices = r->options.text.mode == WEIR_REDACT_BUFFER && r->options.turn != NULL &&
                  t->text.rules != &r->blind && !r->elsewhere &&
                  weir_redact_text_held(&t->text) + len > WEIR_REDACT_SLICE;
    weir_status_t rc = WEIR_OK;
    if (!slices && !t->rewound) {
        rc = weir_redact_text_feed(&t->text, text == NULL ? "" : text->data, len, true, &t->made);
        *out = t->made;
        return rc;
    }
    if (len > 0)
        rc = weir_redact_text_feed(&t->text, text->data, len, false, &t->made);
    if (rc == WEIR_OK && !t->rewound) {
        t->rewound = true;
        weir_redact_text_rewind(&t->text, &r->sliced);
    }
    do {
        if (rc == WEIR_OK && !t->text.waiting && !may(r, WEIR_REDACT_SLICE / 2))
            rc = WEIR_ERR_BUSY;
        if (rc == WEIR_OK)
            rc = weir_redact_text_step(&t->text, WEIR_REDACT_SLICE / 2, true, &t->made);
    } while (rc == WEIR_OK && weir_redact_text_left(&t->text) > 0);
    /* Held until its end: what a later slice blocks takes the earlier ones with it. */
    if (rc == WEIR_ERR_STATE)
        t->made.len = 0;
    *out = t->made;
    return rc;
}

/* The end of a text without a piece of its own. */
static weir_status_t flush(weir_redact_t *r, text_t *t, weir_sink_t *sink)
{
    weir_buf_t out;
    weir_buf_init(&out, weir_sink_arena(sink));
    weir_status_t rc = finish(r, t, NULL, &out);
    if (rc == WEIR_ERR_BUSY || rc == WEIR_ERR_NOMEM)
        return rc;
    weir_status_t sent = insert(r, t, weir_str(out.data, out.len), sink);
    end_text(r, t);
    return sent == WEIR_OK ? rc : sent;
}

/* --- items --- */

/* Why an item could not be finished, and where to go on. */
typedef struct {
    uint32_t at;
    bool fed;
    bool slept;
    size_t to;
} pause_t;

/* The end of the next slice of a text: between two characters. A window is looked at often. */
static size_t slice_end(const weir_redact_t *r, weir_str_t text, size_t from)
{
    bool window = r->options.text.mode == WEIR_REDACT_WINDOW;
    size_t size = window ? WEIR_REDACT_SLICE / 4 : WEIR_REDACT_SLICE;
    size_t end = text.len - from > size ? from + size : text.len;
    while (end < text.len && ((unsigned char)text.data[end] & 0xc0) == 0x80)
        end++;
    return end;
}

/* Feeds a text slice by slice. BUSY: *pause says how far it was fed. */
static weir_status_t feed_slices(weir_redact_t *r, text_t *t, weir_str_t text, bool last,
                                 pause_t *pause)
{
    weir_status_t rc = WEIR_OK;
    size_t at = pause->to;
    if (pause->fed) /* a verdict was awaited */
        rc = weir_redact_text_feed(&t->text, "", 0, last && at == text.len, &t->made);
    while (rc == WEIR_OK && at < text.len) {
        size_t end = slice_end(r, text, at);
        pause->slept = !may(r, end - at);
        pause->fed = false;
        if (pause->slept)
            break;
        rc = weir_redact_text_feed(&t->text, text.data + at, end - at, last && end == text.len,
                                   &t->made);
        at = end;
        pause->fed = rc == WEIR_ERR_BUSY;
    }
    pause->to = at;
    return rc == WEIR_OK && at < text.len ? WEIR_ERR_BUSY : rc;
}

static weir_status_t one_field(weir_redact_t *r, weir_item_t *item, const weir_json_doc_t *doc,
                               const weir_text_list_t *list, uint32_t i, pause_t *pause,
                               weir_edit_t *edit, bool *silent, weir_sink_t *sink)
{
    bool fed = pause->fed;
    const weir_text_field_t *f = &list->fields[i];
    weir_str_t text;
    weir_buf_t out;
    weir_status_t rc = WEIR_OK;
    if (weir_json_type(doc, f->node) == WEIR_JSON_NUMBER)
        text = weir_json_number_text(weir_json_raw(doc, f->node));
    else
        rc = weir_json_string(doc, f->node, weir_sink_arena(sink), &text);
    if (rc != WEIR_OK)
        return rc;
    text_t *t = f->delta             ? find_text(r, f)
                : r->waiting != NULL ? r->waiting
                                     : new_text(r, f->kind, i, 0);
    if (t == NULL)
        return WEIR_ERR_NOMEM;
    if (!f->delta) {
        r->waiting = t;
        t->text.repeat = item->kind == WEIR_ITEM_EVENT && r->shape == WEIR_PROTOCOL_RESPONSES;
    } else {
        t->item_id = keep(r, t->item_id, doc, list->item_id);
        if (t->event == NULL && r->shape == WEIR_PROTOCOL_RESPONSES && item->name.len > 0)
            t->event = weir_arena_strndup(r->arena, item->name.data, item->name.len);
    }
    bool last = !f->delta || ends(list, f->kind, f->choice, f->part, f->open);
    bool held = t->text.rules->mode == WEIR_REDACT_BUFFER || t->rewound;
    weir_buf_init(&out, weir_sink_arena(sink));
    if (!held && r->options.turn != NULL && text.len > WEIR_REDACT_SLICE / 2) {
        rc = feed_slices(r, t, text, last, pause);
        out = t->made;
    } else {
        /* What leaves in front of a verdict that is awaited is kept. */
        rc = last ? finish(r, t, fed ? NULL : &text, &out)
                  : weir_redact_text_feed(&t->text, fed ? "" : text.data, fed ? 0 : text.len, false,
                                          &t->made);
        out = t->made;
        pause->fed = rc == WEIR_ERR_BUSY;
        pause->slept = r->slept;
    }
    if (rc == WEIR_ERR_BUSY || rc == WEIR_ERR_NOMEM || out.failed)
        return rc == WEIR_ERR_BUSY ? rc : WEIR_ERR_NOMEM;
    if (!f->delta) {
        drop_text(r, t);
        r->waiting = NULL;
    }
    if (out.len > 0)
        *silent = false;
    weir_str_t now = weir_str(out.data == NULL ? "" : out.data, out.len);
    weir_status_t spliced = WEIR_OK;
    if (!weir_str_eq(now, text))
        spliced = weir_edit_string(edit, doc, f->node, now, NULL);
    if (f->delta && last)
        end_text(r, t);
    else if (f->delta)
        t->made.len = 0;
    return spliced == WEIR_OK ? rc : spliced;
}

static weir_status_t apply(weir_item_t *item, const weir_edit_t *edit, weir_sink_t *sink)
{
    if (edit->count == 0)
        return WEIR_OK;
    size_t len = weir_edit_length(edit, item->data.len);
    char *data = weir_arena_alloc(weir_sink_arena(sink), len);
    if (data == NULL)
        return WEIR_ERR_NOMEM;
    weir_edit_apply(edit, item->data.data, item->data.len, data);
    weir_item_replace(item, weir_str(data, len));
    return WEIR_OK;
}

static weir_status_t flush_ended(weir_redact_t *r, const weir_text_list_t *list, weir_sink_t *sink)
{
    for (text_t *t = r->texts; t != NULL;) {
        text_t *next = t->next;
        if (!t->ended && ends(list, t->kind, t->choice, t->part, t->open)) {
            weir_status_t rc = flush(r, t, sink);
            if (rc != WEIR_OK)
                return rc;
        }
        t = next;
    }
    return WEIR_OK;
}

static weir_status_t number(weir_redact_t *r, const weir_json_doc_t *doc,
                            const weir_text_list_t *list, weir_edit_t *edit, weir_sink_t *sink)
{
    int64_t came;
    if (list->sequence == WEIR_JSON_NONE || !weir_json_int64(doc, list->sequence, &came))
        return WEIR_OK;
    if (r->stats.texts <= 1 && r->sequence == 0)
        r->sequence = came; /* begins as the upstream's */
    int64_t own = r->sequence++;
    if (own == came)
        return WEIR_OK;
    weir_buf_t out;
    weir_buf_init(&out, weir_sink_arena(sink));
    weir_json_write_int64(&out, own);
    if (out.failed)
        return WEIR_ERR_NOMEM;
    return weir_edit_value(edit, doc, list->sequence, weir_str(out.data, out.len), NULL);
}

/* Redacts an item from field `at` on and passes it. BUSY: *pause says where it stopped, and the
 * item holds what is done. */
static weir_status_t process(weir_redact_t *r, weir_item_t *item, pause_t *pause, weir_sink_t *sink)
{
    const weir_json_doc_t *doc = weir_item_json(sink, item);
    if (doc == NULL) {
        if (!r->changes)
            return weir_sink_pass(sink, item);
        block(r, sink); /* what cannot be read cannot be let out */
        return WEIR_OK;
    }
    weir_text_list_t list;
    weir_arena_t *arena = weir_sink_arena(sink);
    weir_status_t rc = weir_text_fields(r->options.protocol, item, doc, arena, &list);
    if (rc != WEIR_OK)
        return rc;
    if (list.shape != WEIR_PROTOCOL_OTHER)
        r->shape = list.shape;
    r->id = keep(r, r->id, doc, list.id);
    r->created = keep(r, r->created, doc, list.created);
    r->model = keep(r, r->model, doc, list.model);
    weir_edit_t edit;
    weir_edit_init(&edit, arena);
    bool silent = list.bare;
    weir_str_t none = WEIR_STR("null");
    for (uint32_t i = 0; r->changes && rc == WEIR_OK && i < list.logprob_count; i++)
        rc = weir_edit_value(
            &edit, doc, list.logprobs[i],
            weir_json_type(doc, list.logprobs[i]) == WEIR_JSON_ARRAY ? WEIR_STR("[]") : none, NULL);
    uint32_t i = pause->at;
    for (; rc == WEIR_OK && i < list.count; i++) {
        rc = one_field(r, item, doc, &list, i, pause, &edit, &silent, sink);
        if (rc != WEIR_OK)
            break;
        *pause = (pause_t){0};
    }
    bool blocked = rc == WEIR_ERR_STATE;
    if (blocked) {
        /* Texts behind the one that was blocked do not leave at all. */
        for (uint32_t k = i + 1; k < list.count; k++)
            if (weir_edit_string(&edit, doc, list.fields[k].node, weir_str("", 0), NULL) != WEIR_OK)
                return WEIR_ERR_NOMEM;
        rc = WEIR_OK;
    }
    if (rc == WEIR_OK && !blocked) {
        rc = flush_ended(r, &list, sink);
        blocked = rc == WEIR_ERR_STATE;
        rc = blocked ? WEIR_OK : rc;
        if (rc == WEIR_ERR_BUSY) {
            i = list.count;
            pause->fed = true;
            pause->slept = r->slept;
        }
    }
    if (rc == WEIR_ERR_BUSY) {
        pause->at = i;
        rc = apply(item, &edit, sink);
        return rc == WEIR_OK ? WEIR_ERR_BUSY : rc;
    }
    /* What says that a text has ended well does not pass where it was blocked: an ending of the
     * pipeline's takes its place. */
    bool passes = !(silent && list.count == 1 && r->changes) &&
                  !(blocked && (item->kind == WEIR_ITEM_DOCUMENT || list.end_count > 0));
    if (rc == WEIR_OK && passes && r->changes)
        rc = number(r, doc, &list, &edit, sink);
    if (rc == WEIR_OK && passes)
        rc = r->changes ? apply(item, &edit, sink) : WEIR_OK;
    if (rc == WEIR_OK && passes)
        rc = weir_sink_pass(sink, item);
    if (rc == WEIR_OK && blocked)
        block(r, sink);
    return rc;
}

/* --- waiting --- */

static weir_status_t enqueue(weir_redact_t *r, const weir_item_t *item, const pause_t *pause,
                             weir_sink_t *sink)
{
    size_t len = item->name.len + item->data.len + item->raw.len + item->fields.len;
    if (r->queued + len > r->options.max_queued && !pause->slept) {
        block(r, sink);
        return WEIR_OK;
    }
    queued_t *q = calloc(1, sizeof *q);
    char *data = malloc(len + 1);
    if (q == NULL || data == NULL) {
        free(q);
        free(data);
        return WEIR_ERR_NOMEM;
    }
    q->kind = item->kind;
    q->at = pause->at;
    q->fed = pause->fed;
    q->slept = pause->slept;
    q->to = pause->to;
    q->data = data;
    q->name_len = item->name.len;
    q->data_len = item->data.len;
    q->raw_len = item->raw.len;
    q->fields_len = item->fields.len;
    weir_str_t parts[] = {item->name, item->data, item->raw, item->fields};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].len > 0)
            memcpy(data, parts[i].data, parts[i].len);
        data += parts[i].len;
    }
    *r->queue_end = q;
    r->queue_end = &q->next;
    r->queued += len;
    return WEIR_OK;
}

/* Whether an event's id holds an entity: then it goes. */
static bool speaks(const weir_redact_t *r, weir_str_t fields)
{
    weir_guard_result_t found;
    weir_guard_scan_options_t options = {.thorough = true};
    const weir_redact_rules_t *rules = &r->options.text;
    return rules->rules != NULL &&
           (weir_guard_scan(rules->rules, rules->scratch, fields.data, fields.len, &options, &found,
                            NULL) != WEIR_OK ||
            found.count > 0);
}

static weir_status_t take(weir_redact_t *r, weir_item_t *item, pause_t *pause, weir_sink_t *sink)
{
    weir_text_end_t all = {.choice = WEIR_TEXT_ALL, .part = WEIR_TEXT_ALL, .kind = WEIR_TEXT_ALL};
    weir_text_list_t everything = {.ends = &all, .end_count = 1};
    weir_status_t rc;
    r->slept = false;
    if (item->fields.len > 0 && r->changes && speaks(r, item->fields)) {
        item->fields.len = 0;
        item->raw.len = 0;
    }
    switch (item->kind) {
    case WEIR_ITEM_EVENT:
    case WEIR_ITEM_DOCUMENT:
        return process(r, item, pause, sink);
    case WEIR_ITEM_DONE:
        rc = flush_ended(r, &everything, sink);
        if (rc == WEIR_ERR_STATE) {
            block(r, sink);
            return WEIR_OK;
        }
        return rc == WEIR_OK ? weir_sink_pass(sink, item) : rc;
    default:
        return weir_sink_pass(sink, item);
    }
}

static weir_status_t feed(void *self, weir_item_t *item, weir_sink_t *sink)
{
    weir_redact_t *r = self;
    pause_t pause = {0};
    if (r->stats.stopped)
        return WEIR_OK;
    if (!enter(r))
        return WEIR_ERR_NOMEM;
    if (r->queue != NULL && item->kind != WEIR_ITEM_COMMENT)
        return enqueue(r, item, &pause, sink);
    weir_status_t rc = take(r, item, &pause, sink);
    return rc == WEIR_ERR_BUSY ? enqueue(r, item, &pause, sink) : rc;
}

/* Goes on with the queue; BUSY when it is stuck again. */
static weir_status_t drain(weir_redact_t *r, weir_sink_t *sink)
{
    while (r->queue != NULL && !r->stats.stopped) {
        queued_t *q = r->queue;
        if (q->slept && !r->granted)
            r->granted = r->options.turn(r->options.text.ctx, WEIR_REDACT_SLICE);
        if (q->slept && !r->granted)
            return WEIR_ERR_BUSY;
        weir_item_t item = {.kind = q->kind};
        pause_t pause = {q->at, q->fed, q->slept, q->to};
        item.name = weir_str(q->data, q->name_len);
        item.data = weir_str(q->data + q->name_len, q->data_len);
        item.raw = weir_str(q->data + q->name_len + q->data_len, q->raw_len);
        item.fields = weir_str(item.raw.data + q->raw_len, q->fields_len);
        weir_status_t rc = take(r, &item, &pause, sink);
        if (rc == WEIR_ERR_BUSY) {
            /* What is done now stays done: the item as it is goes back to the front. */
            queued_t *rest = q->next;
            weir_status_t again;
            r->queue = NULL;
            r->queue_end = &r->queue;
            again = enqueue(r, &item, &pause, sink);
            if (r->queue == NULL)
                return again;
            r->queue->next = rest;
            while (*r->queue_end != NULL)
                r->queue_end = &(*r->queue_end)->next;
        }
        r->queued -= q->name_len + q->data_len + q->raw_len + q->fields_len;
        if (rc != WEIR_ERR_BUSY) {
            r->queue = q->next;
            if (r->queue == NULL)
                r->queue_end = &r->queue;
        }
        free(q->data);
        free(q);
        if (rc != WEIR_OK)
            return rc;
    }
    return WEIR_OK;
}

static weir_status_t wake(void *self, weir_sink_t *sink)
{
    weir_redact_t *r = self;
    if (r->queue == NULL)
        return WEIR_OK;
    if (!enter(r))
        return WEIR_ERR_NOMEM;
    weir_status_t rc = drain(r, sink);
    return rc == WEIR_ERR_BUSY ? WEIR_OK : rc;
}

static weir_status_t end(void *self, weir_end_t why, weir_sink_t *sink)
{
    weir_redact_t *r = self;
    weir_text_end_t all = {.choice = WEIR_TEXT_ALL, .part = WEIR_TEXT_ALL, .kind = WEIR_TEXT_ALL};
    weir_text_list_t everything = {.ends = &all, .end_count = 1};
    weir_status_t rc = WEIR_OK;
    if (why == WEIR_END_COMPLETE && !r->stats.stopped && !enter(r))
        return WEIR_ERR_NOMEM;
    if (why == WEIR_END_COMPLETE && !r->stats.stopped) {
        rc = drain(r, sink);
        if (rc == WEIR_OK)
            rc = flush_ended(r, &everything, sink);
        if (rc == WEIR_ERR_BUSY)
            return rc;
        if (rc == WEIR_ERR_STATE) {
            block(r, sink);
            rc = WEIR_OK;
        }
    }
    /* Cut, stopped or left: what is held is no part of an answer, but its verdicts count. */
    weir_redact_close(r);
    return rc;
}

static size_t held(void *self)
{
    const weir_redact_t *r = self;
    size_t sum = r->queued + (r->waiting == NULL ? 0 : weir_redact_text_held(&r->waiting->text));
    for (const text_t *t = r->texts; t != NULL; t = t->next)
        sum += weir_redact_text_held(&t->text);
    return sum;
}

static bool waiting(void *self)
{
    const weir_redact_t *r = self;
    return r->queue != NULL;
}

static void landed(void *self)
{
    const weir_redact_t *r = self;
    if (r->options.landed != NULL)
        r->options.landed(r->options.text.ctx);
}

#define TABLE(flags_)                                                                              \
    {                                                                                              \
        .name = "redact", .flags = (flags_), .feed = feed, .end = end, .wake = wake, .held = held, \
        .waiting = waiting, .landed = landed                                                       \
    }

weir_filter_t weir_redact_filter(weir_redact_t *r)
{
    static const weir_filter_table_t table = TABLE(WEIR_FILTER_MUST_SEE);
    static const weir_filter_table_t observer = TABLE(0);
    return (weir_filter_t){r->changes ? &table : &observer, r};
}

#include "guardrails/training/eval_sets.h"

#include "engine/base/json.h"
#include "guardrails/training/corpus.h"
#include "guardrails/training/table.h"

#include <stdio.h>
#include <sys/stat.h>

const char *const weir_moderation_label[WEIR_MODERATION_LABELS] = {"S",  "H",  "V",  "HR",
                                                                   "SH", "S3", "H2", "V2"};

typedef struct {
    weir_eval_sets_t *sets;
    weir_set_t set;
    weir_error_t *err;
} weir_reader_t;

const char *weir_set_name(weir_set_t set)
{
    static const char *const names[WEIR_SETS] = {"Jigsaw",    "wiki",     "OpenAI moderation",
                                                 "GSM8K",     "XSTest",   "injection validation",
                                                 "NotInject", "MITRE FRR"};
    return (unsigned)set < WEIR_SETS ? names[set] : "";
}

static weir_case_t *new_case(weir_reader_t *r, weir_str_t text, bool positive)
{
    weir_cases_t *c = &r->sets->set[r->set];
    if (c->count == c->cap) {
        size_t cap = c->cap == 0 ? 1024 : 2 * c->cap;
        weir_case_t *grown = weir_arena_calloc(r->sets->arena, cap, sizeof(*grown));
        if (grown == NULL) {
            return NULL;
        }
        if (c->count > 0) {
            memcpy(grown, c->cases, c->count * sizeof(*grown));
        }
        c->cases = grown;
        c->cap = cap;
    }
    weir_case_t *one = &c->cases[c->count++];
    one->text = text;
    one->positive = positive;
    return one;
}

static weir_status_t no_memory(weir_reader_t *r)
{
    return weir_error(r->err, WEIR_ERR_NOMEM, "no memory for %s", weir_set_name(r->set));
}

/* A table: the text's and the label's columns, and what the label says when positive. */
typedef struct {
    bool header;
    const char *text;
    const char *label;
    const char *yes;
} weir_table_kind_t;

static weir_status_t read_table(weir_reader_t *r, weir_str_t data, const weir_table_kind_t *kind)
{
    weir_table_t table;
    weir_record_t record;
    bool end = false;
    size_t text = 0, label = 1;
    weir_table_open(&table, data.data, data.len, ',');
    for (;;) {
        weir_status_t status = weir_table_next(&table, r->sets->arena, &record, &end, r->err);
        if (status != WEIR_OK || end) {
            return status;
        }
        if (kind->header && table.record == 1) {
            text = weir_table_column(&record, kind->text);
            label = weir_table_column(&record, kind->label);
            continue;
        }
        if (text >= record.count || label >= record.count) {
            return weir_error(r->err, WEIR_ERR_INVALID, "record %zu: no text or no label",
                              table.record);
        }
        if (new_case(r, record.field[text], weir_str_is(record.field[label], kind->yes)) == NULL) {
            return no_memory(r);
        }
    }
}

static weir_status_t member(weir_reader_t *r, const weir_json_doc_t *doc, uint32_t object,
                            const char *name, weir_str_t *out)
{
    uint32_t node = weir_json_get(doc, object, name);
    if (node == WEIR_JSON_NONE || weir_json_string(doc, node, r->sets->arena, out) != WEIR_OK) {
        return weir_error(r->err, WEIR_ERR_INVALID, "an object has no text \"%s\"", name);
    }
    return WEIR_OK;
}

static weir_status_t read_array(weir_reader_t *r, weir_str_t data, const char *name)
{
    weir_json_doc_t doc;
    weir_status_t status = weir_json_parse(data.data, data.len, NULL, r->sets->arena, &doc, r->err);
    for (uint32_t i = 1; status == WEIR_OK && i < doc.count; i = doc.nodes[i].next) {
        weir_str_t text;
        status = member(r, &doc, i, name, &text);
        if (status == WEIR_OK && new_case(r, text, false) == NULL) {
            status = no_memory(r);
        }
    }
    return status;
}

static void read_categories(const weir_json_doc_t *doc, weir_case_t *one)
{
    for (int k = 0; k < WEIR_MODERATION_LABELS; k++) {
        uint32_t node = weir_json_get(doc, 0, weir_moderation_label[k]);
        int64_t value = 0;
        bool labelled = node != WEIR_JSON_NONE && weir_json_int64(doc, node, &value);
        one->category[k] = labelled ? value == 1 : -1;
        one->positive = one->positive || one->category[k] == 1;
    }
}

static weir_status_t read_lines(weir_reader_t *r, weir_str_t data, const char *name)
{
    for (size_t at = 0; at < data.len;) {
        const char *newline = memchr(data.data + at, '\n', data.len - at);
        size_t end = newline == NULL ? data.len : (size_t)(newline - data.data);
        weir_json_doc_t doc;
        weir_str_t text;
        if (end > at) {
            weir_status_t status =
                weir_json_parse(data.data + at, end - at, NULL, r->sets->arena, &doc, r->err);
            if (status == WEIR_OK) {
                status = member(r, &doc, 0, name, &text);
            }
            if (status != WEIR_OK) {
                return status;
            }
            weir_case_t *one = new_case(r, text, false);
            if (one == NULL) {
                return no_memory(r);
            }
            if (r->set == WEIR_SET_MODERATION) {
                read_categories(&doc, one);
            }
        }
        at = end + 1;
    }
    return WEIR_OK;
}

/* --- the PII set --- */

/* Byte offset of a code point; the text's length when it has fewer. */
static size_t byte_of(weir_str_t text, int64_t point)
{
    size_t i = 0;
    for (; i < text.len; i++) {
        if (((unsigned char)text.data[i] & 0xC0) != 0x80 && point-- == 0) {
            break;
        }
    }
    return i;
}

static weir_status_t read_spans(weir_reader_t *r, const weir_json_doc_t *doc, uint32_t list,
                                weir_pii_case_t *one)
{
    one->count = 0;
    one->spans = weir_arena_calloc(r->sets->arena, doc->nodes[list].size + 1, sizeof(*one->spans));
    if (one->spans == NULL) {
        return no_memory(r);
    }
    for (uint32_t i = list + 1; i < doc->nodes[list].next; i = doc->nodes[i].next) {
        uint32_t from = weir_json_get(doc, i, "start_position");
        uint32_t to = weir_json_get(doc, i, "end_position");
        int64_t start, end;
        weir_gold_span_t *span = &one->spans[one->count++];
        weir_status_t status = member(r, doc, i, "entity_type", &span->type);
        if (status != WEIR_OK || from == WEIR_JSON_NONE || to == WEIR_JSON_NONE ||
            !weir_json_int64(doc, from, &start) || !weir_json_int64(doc, to, &end) || start < 0 ||
            end < start) {
            return weir_error(r->err, WEIR_ERR_INVALID, "a span without type, start or end");
        }
        span->start = byte_of(one->text, start);
        span->end = byte_of(one->text, end);
    }
    return WEIR_OK;
}

static weir_status_t read_pii(weir_reader_t *r, weir_str_t data)
{
    weir_json_doc_t doc;
    weir_eval_sets_t *sets = r->sets;
    weir_status_t status = weir_json_parse(data.data, data.len, NULL, sets->arena, &doc, r->err);
    if (status != WEIR_OK) {
        return status;
    }
    sets->pii = weir_arena_calloc(sets->arena, doc.nodes[0].size + 1, sizeof(*sets->pii));
    if (sets->pii == NULL) {
        return no_memory(r);
    }
    for (uint32_t i = 1; status == WEIR_OK && i < doc.count; i = doc.nodes[i].next) {
        weir_pii_case_t *one = &sets->pii[sets->pii_count++];
        uint32_t spans = weir_json_get(&doc, i, "spans");
        status = member(r, &doc, i, "full_text", &one->text);
        if (status == WEIR_OK && spans != WEIR_JSON_NONE) {
            status = read_spans(r, &doc, spans, one);
        }
    }
    return status;
}

typedef struct {
    const char *file;
    weir_set_t set; /* WEIR_SETS: the PII set */
    enum { WEIR_FORM_TABLE, WEIR_FORM_ARRAY, WEIR_FORM_LINES, WEIR_FORM_PII } form;
    weir_table_kind_t table;
    const char *member;
} weir_eval_file_t;

static const weir_eval_file_t FILES[] = {
    {"jigsaw.csv", WEIR_SET_JIGSAW, WEIR_FORM_TABLE, {false, NULL, NULL, "1"}, NULL},
    {"wiki_toxicity.csv", WEIR_SET_WIKI, WEIR_FORM_TABLE, {true, "comment", "toxic", "True"}, NULL},
    {"openai_moderation_1680.jsonl", WEIR_SET_MODERATION, WEIR_FORM_LINES, {0}, "prompt"},
    {"gsm8k_benign.jsonl", WEIR_SET_GSM8K, WEIR_FORM_LINES, {0}, "question"},
    {"xstest.csv", WEIR_SET_XSTEST, WEIR_FORM_TABLE, {true, "prompt", "label", "unsafe"}, NULL},
    {"injection_mixed_val.csv",
     WEIR_SET_INJECTION,
     WEIR_FORM_TABLE,
     {true, "text", "label", "1"},
     NULL},
    {"notinject_one.json", WEIR_SET_NOTINJECT, WEIR_FORM_ARRAY, {0}, "prompt"},
    {"notinject_two.json", WEIR_SET_NOTINJECT, WEIR_FORM_ARRAY, {0}, "prompt"},
    {"notinject_three.json", WEIR_SET_NOTINJECT, WEIR_FORM_ARRAY, {0}, "prompt"},
    {"mitre_frr_benign.json", WEIR_SET_MITRE, WEIR_FORM_ARRAY, {0}, "mutated_prompt"},
    {"pii_synth_v2.json", WEIR_SETS, WEIR_FORM_PII, {0}, NULL},
};

static weir_status_t read_one(weir_reader_t *r, const weir_eval_file_t *file, weir_str_t data)
{
    switch (file->form) {
    case WEIR_FORM_TABLE:
        return read_table(r, data, &file->table);
    case WEIR_FORM_ARRAY:
        return read_array(r, data, file->member);
    case WEIR_FORM_LINES:
        return read_lines(r, data, file->member);
    default:
        return read_pii(r, data);
    }
}

weir_status_t weir_eval_sets_read(weir_eval_sets_t *sets, const char *folder, weir_arena_t *arena,
                                  weir_error_t *err)
{
    char below[4096];
    struct stat st;
    memset(sets, 0, sizeof(*sets));
    sets->arena = arena;
    if (snprintf(below, sizeof(below), "%s/public", folder) < (int)sizeof(below) &&
        stat(below, &st) == 0 && S_ISDIR(st.st_mode)) {
        folder = below;
    }
    for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
        weir_reader_t reader = {sets, FILES[i].set, err};
        weir_str_t data;
        char path[4096];
        if (snprintf(path, sizeof(path), "%s/%s", folder, FILES[i].file) >= (int)sizeof(path)) {
            return weir_error(err, WEIR_ERR_LIMIT, "the folder's name is too long");
        }
        weir_status_t status = weir_read_file(path, arena, &data, err);
        if (status != WEIR_OK) {
            return status;
        }
        status = read_one(&reader, &FILES[i], data);
        if (status != WEIR_OK) {
            weir_error_t inner = *err;
            return weir_error(err, status, "%s: %.180s", FILES[i].file, inner.message);
        }
    }
    return WEIR_OK;
}

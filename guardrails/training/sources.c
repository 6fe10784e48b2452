/* The training files by name, and what their labels say about each head. */
#include "engine/base/json.h"
#include "guardrails/training/corpus.h"
#include "guardrails/training/table.h"

#include <stdio.h>
#include <stdlib.h>

#define U WEIR_LABEL_UNKNOWN
#define N WEIR_LABEL_NO
#define Y WEIR_LABEL_YES

/* Toxicity, insult, threat, sexual, identity attack, self-harm, injection, jailbreak. */
static const int8_t CLEAN[WEIR_HEADS] = {N, N, N, N, N, N, N, N};
static const int8_t TOXIC[WEIR_HEADS] = {Y, U, U, U, U, U, N, N};
static const int8_t HATE[WEIR_HEADS] = {Y, U, U, N, Y, N, N, N};
static const int8_t THREAT[WEIR_HEADS] = {Y, N, Y, N, Y, N, N, N};
static const int8_t INJECTION[WEIR_HEADS] = {U, N, N, N, N, N, Y, U};
static const int8_t JAILBREAK[WEIR_HEADS] = {U, N, N, U, N, N, Y, Y};
static const int8_t REQUEST[WEIR_HEADS] = {N, N, N, N, N, N, N, N};

/* Long prompts with every word of ordinary requests in them: most of their windows attack nothing.
 */
#define WILD_WEIGHT 0.2f

/* Comments, attacks and requests as people wrote them; most other rows are pairs or templates. */
#define COMMENT_WEIGHT 3.0f
#define REQUEST_WEIGHT 4.0f

typedef struct {
    weir_corpus_t *corpus;
    weir_error_t *err;
} weir_loader_t;

static weir_status_t add(weir_loader_t *l, weir_str_t text, const int8_t *label, float weight)
{
    l->corpus->sources[l->corpus->source_count - 1].records++;
    if (text.len == 0 || label == NULL) {
        return WEIR_OK;
    }
    return weir_corpus_add(l->corpus, text, label, weight, l->err);
}

/* --- tables: one function per file turns a record into rows --- */

typedef weir_status_t (*weir_record_fn)(weir_loader_t *l, const weir_record_t *record);

static weir_status_t jigsaw_record(weir_loader_t *l, const weir_record_t *r)
{
    return add(l, r->field[0], weir_str_is(r->field[1], "1") ? TOXIC : CLEAN, COMMENT_WEIGHT);
}

/*
 * Tweets carry handles, which name people, and character references; both go. &amp; &lt; &gt;
 * &quot; and &#NUM; are all that the file holds; numeric ones (emoji) become spaces.
 */
static weir_str_t clean_tweet(weir_arena_t *arena, weir_str_t text)
{
    char *out = weir_arena_alloc(arena, text.len + 1);
    size_t n = 0;
    if (out == NULL) {
        return weir_str("", 0);
    }
    for (size_t i = 0; i < text.len;) {
        const char *p = text.data + i;
        const char *semicolon = *p == '&' ? memchr(p, ';', text.len - i) : NULL;
        if (*p == '@') {
            do {
                i++;
            } while (i < text.len && (text.data[i] == '_' || (text.data[i] | 32) >= 'a' ||
                                      (text.data[i] >= '0' && text.data[i] <= '9')));
        } else if (semicolon != NULL && semicolon - p < 10) {
            out[n++] = memcmp(p, "&amp;", 5) == 0 ? '&' : ' ';
            i = (size_t)(semicolon - text.data) + 1;
        } else {
            out[n++] = *p;
            i++;
        }
    }
    return weir_str(out, n);
}

static weir_status_t davidson_record(weir_loader_t *l, const weir_record_t *r)
{
    if (r->count < 7) {
        return add(l, r->field[0], NULL, 0);
    }
    weir_str_t text = clean_tweet(l->corpus->arena, r->field[6]);
    if (weir_str_is(r->field[5], "0")) {
        return add(l, text, HATE, 0.5f);
    }
    return weir_str_is(r->field[5], "1") ? add(l, text, TOXIC, 0.1f) : add(l, text, CLEAN, 0.5f);
}

static weir_status_t paradetox_record(weir_loader_t *l, const weir_record_t *r)
{
    weir_status_t status = add(l, r->field[0], TOXIC, 1.0f);
    for (size_t i = 1; status == WEIR_OK && i < r->count; i++) {
        if (r->field[i].len > 0) {
            status = weir_corpus_add(l->corpus, r->field[i], CLEAN, i == 1 ? 1.0f : 0.3f, l->err);
        }
    }
    return status;
}

/* A comment in quotes inside the field, and a JSON object of reasons; only clear ones are used. */
static weir_status_t cannot_rewrite_record(weir_loader_t *l, const weir_record_t *r)
{
    if (r->count < 3) {
        return add(l, r->field[0], NULL, 0);
    }
    weir_str_t text = r->field[1];
    if (text.len >= 2 && text.data[0] == '"' && text.data[text.len - 1] == '"') {
        text = weir_str(text.data + 1, text.len - 2);
    }
    if (weir_str_is(r->field[2], "{\"toxic_content\":true}")) {
        return add(l, text, TOXIC, 0.5f);
    }
    return add(l, text, weir_str_is(r->field[2], "{\"not_toxic\":true}") ? CLEAN : NULL, 0.5f);
}

static weir_status_t hatemoji_record(weir_loader_t *l, const weir_record_t *r)
{
    if (r->count < 9) {
        return add(l, r->field[0], NULL, 0);
    }
    if (weir_str_is(r->field[8], "0")) {
        return add(l, r->field[1], CLEAN, 0.4f);
    }
    bool threat = weir_str_is(r->field[2], "threateninglanguage");
    return add(l, r->field[1], threat ? THREAT : HATE, 0.4f);
}

/* Twenty thousand sentences of four patterns: one in eight is enough to say what they say. */
static weir_status_t madlibs_record(weir_loader_t *l, const weir_record_t *r)
{
    uint32_t record = l->corpus->sources[l->corpus->source_count - 1].records;
    const int8_t *label = weir_str_is(r->field[1], "BAD") ? TOXIC : CLEAN;
    return add(l, r->field[0], record % 8 == 0 ? label : NULL, 0.3f);
}

static bool is_jailbreak(weir_str_t category)
{
    static const char *const names[] = {"jailbreak", "crescendo", "persona_replacement",
                                        "many_shot", "multi_turn"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (weir_str_is(category, names[i])) {
            return true;
        }
    }
    return false;
}

static weir_status_t injection_record(weir_loader_t *l, const weir_record_t *r)
{
    if (r->count < 3) {
        return add(l, r->field[0], NULL, 0);
    }
    if (weir_str_is(r->field[1], "0")) {
        return add(l, r->field[0], REQUEST, REQUEST_WEIGHT);
    }
    return add(l, r->field[0], is_jailbreak(r->field[2]) ? JAILBREAK : INJECTION, REQUEST_WEIGHT);
}

static weir_status_t gptfuzzer_record(weir_loader_t *l, const weir_record_t *r)
{
    return add(l, r->field[r->count - 1], JAILBREAK, WILD_WEIGHT);
}

static weir_status_t read_table(weir_loader_t *l, weir_str_t data, char separator, bool header,
                                size_t columns, weir_record_fn fn)
{
    weir_table_t table;
    weir_record_t record;
    bool end = false;
    weir_table_open(&table, data.data, data.len, separator);
    for (;;) {
        weir_status_t status = weir_table_next(&table, l->corpus->arena, &record, &end, l->err);
        if (status != WEIR_OK || end) {
            return status;
        }
        if (header && table.record == 1) {
            continue;
        }
        if (record.count < columns) {
            return weir_error(l->err, WEIR_ERR_INVALID, "record %zu has %zu columns, not %zu",
                              table.record, record.count, columns);
        }
        status = fn(l, &record);
        if (status != WEIR_OK) {
            return status;
        }
    }
}

/* --- the other forms --- */

static weir_status_t inthewild(weir_loader_t *l, weir_str_t data)
{
    weir_json_doc_t doc;
    weir_arena_t *arena = l->corpus->arena;
    weir_status_t status = weir_json_parse(data.data, data.len, NULL, arena, &doc, l->err);
    if (status != WEIR_OK) {
        return status;
    }
    if (weir_json_type(&doc, 0) != WEIR_JSON_ARRAY) {
        return weir_error(l->err, WEIR_ERR_INVALID, "an array of strings is needed");
    }
    for (uint32_t i = 1; i < doc.count; i = doc.nodes[i].next) {
        weir_str_t text;
        status = weir_json_string(&doc, i, arena, &text);
        if (status != WEIR_OK) {
            return weir_error(l->err, status, "element %u is no string", i - 1);
        }
        status = add(l, text, JAILBREAK, WILD_WEIGHT);
        if (status != WEIR_OK) {
            return status;
        }
    }
    return WEIR_OK;
}

typedef weir_status_t (*weir_line_fn)(weir_loader_t *l, weir_str_t line);

static weir_status_t tap_line(weir_loader_t *l, weir_str_t line)
{
    return add(l, line, JAILBREAK, WILD_WEIGHT);
}

static weir_status_t gsm8k_line(weir_loader_t *l, weir_str_t line)
{
    weir_json_doc_t doc;
    weir_arena_t *arena = l->corpus->arena;
    weir_status_t status = weir_json_parse(line.data, line.len, NULL, arena, &doc, l->err);
    uint32_t node = status == WEIR_OK ? weir_json_get(&doc, 0, "question") : WEIR_JSON_NONE;
    weir_str_t text;
    if (node == WEIR_JSON_NONE || weir_json_string(&doc, node, arena, &text) != WEIR_OK) {
        return weir_error(l->err, WEIR_ERR_INVALID, "line %u has no question",
                          l->corpus->sources[l->corpus->source_count - 1].records + 1);
    }
    return add(l, text, CLEAN, 0.3f);
}

static weir_status_t read_lines(weir_loader_t *l, weir_str_t data, weir_line_fn fn)
{
    for (size_t at = 0; at < data.len;) {
        const char *newline = memchr(data.data + at, '\n', data.len - at);
        size_t end = newline == NULL ? data.len : (size_t)(newline - data.data);
        if (end > at) {
            weir_status_t status = fn(l, weir_str(data.data + at, end - at));
            if (status != WEIR_OK) {
                return status;
            }
        }
        at = end + 1;
    }
    return WEIR_OK;
}

typedef struct {
    const char *name;
    char separator; /* of a table, else 0 */
    bool header;
    size_t columns; /* the fewest of a record */
    weir_record_fn record;
    weir_status_t (*whole)(weir_loader_t *l, weir_str_t data);
    weir_line_fn line;
} weir_file_kind_t;

/*
 * bipia_*_attack.json is not read: its strings attack only inside foreign content and are ordinary
 * requests by themselves.
 */
static const weir_file_kind_t FILES[] = {
    {"jigsaw.csv", ',', false, 2, jigsaw_record, NULL, NULL},
    {"davidson.csv", ',', true, 7, davidson_record, NULL, NULL},
    {"paradetox.tsv", '\t', true, 1, paradetox_record, NULL, NULL},
    {"paradetox_cannot_rewrite.tsv", '\t', true, 3, cannot_rewrite_record, NULL, NULL},
    {"hatemoji_build.csv", ',', true, 9, hatemoji_record, NULL, NULL},
    {"bias_madlibs_20k.csv", ',', true, 2, madlibs_record, NULL, NULL},
    {"injection_mixed.csv", ',', true, 3, injection_record, NULL, NULL},
    {"gptfuzzer.csv", ',', true, 2, gptfuzzer_record, NULL, NULL},
    {"inthewild_jailbreak.json", 0, false, 0, NULL, inthewild, NULL},
    {"tap_jailbreaks.txt", 0, false, 0, NULL, NULL, tap_line},
    {"gsm8k_benign.jsonl", 0, false, 0, NULL, NULL, gsm8k_line},
};

static weir_status_t read_one(weir_loader_t *l, const char *folder, const weir_file_kind_t *kind)
{
    char path[4096];
    weir_str_t data;
    if (snprintf(path, sizeof(path), "%s/%s", folder, kind->name) >= (int)sizeof(path)) {
        return weir_error(l->err, WEIR_ERR_LIMIT, "%s: the folder's name is too long", kind->name);
    }
    weir_status_t status = weir_read_file(path, l->corpus->arena, &data, l->err);
    if (status == WEIR_OK) {
        status = weir_corpus_source(l->corpus, kind->name, data, l->err);
    }
    if (status != WEIR_OK) {
        return status;
    }
    if (kind->record != NULL) {
        status = read_table(l, data, kind->separator, kind->header, kind->columns, kind->record);
    } else if (kind->whole != NULL) {
        status = kind->whole(l, data);
    } else {
        status = read_lines(l, data, kind->line);
    }
    if (status != WEIR_OK) {
        weir_error_t inner = *l->err;
        return weir_error(l->err, status, "%s: %.180s", kind->name, inner.message);
    }
    return WEIR_OK;
}

weir_status_t weir_corpus_read_folder(weir_corpus_t *corpus, const char *folder, weir_error_t *err)
{
    weir_loader_t loader = {corpus, err};
    for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
        weir_status_t status = read_one(&loader, folder, &FILES[i]);
        if (status != WEIR_OK) {
            return status;
        }
    }
    return WEIR_OK;
}

#include "guardrails/training/corpus.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

void weir_corpus_init(weir_corpus_t *corpus, weir_arena_t *arena)
{
    memset(corpus, 0, sizeof(*corpus));
    corpus->arena = arena;
}

weir_status_t weir_corpus_source(weir_corpus_t *corpus, const char *name, weir_str_t data,
                                 weir_error_t *err)
{
    if (corpus->source_count == WEIR_CORPUS_MAX_SOURCES) {
        return weir_error(err, WEIR_ERR_LIMIT, "%s: more than %d sources", name,
                          WEIR_CORPUS_MAX_SOURCES);
    }
    weir_source_t *source = &corpus->sources[corpus->source_count++];
    *source = (weir_source_t){.name = name};
    SHA256((const unsigned char *)data.data, data.len, source->sha256);
    return WEIR_OK;
}

static weir_status_t grow(weir_corpus_t *corpus, weir_error_t *err)
{
    size_t cap = corpus->cap == 0 ? 4096 : corpus->cap * 2;
    weir_row_t *rows = weir_arena_calloc(corpus->arena, cap, sizeof(*rows));
    if (rows == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for %zu rows", cap);
    }
    if (corpus->count > 0) {
        memcpy(rows, corpus->rows, corpus->count * sizeof(*rows));
    }
    corpus->rows = rows;
    corpus->cap = cap;
    return WEIR_OK;
}

weir_status_t weir_corpus_add(weir_corpus_t *corpus, weir_str_t text,
                              const int8_t label[WEIR_HEADS], float weight, weir_error_t *err)
{
    if (corpus->count == WEIR_CORPUS_MAX_ROWS) {
        return weir_error(err, WEIR_ERR_LIMIT, "more than %d rows", WEIR_CORPUS_MAX_ROWS);
    }
    if (corpus->count == corpus->cap) {
        weir_status_t status = grow(corpus, err);
        if (status != WEIR_OK) {
            return status;
        }
    }
    weir_row_t *row = &corpus->rows[corpus->count++];
    row->text = text;
    memcpy(row->label, label, sizeof(row->label));
    row->weight = weight;
    row->form = WEIR_FORM_FOUND;
    row->family = 0;
    row->source = (uint8_t)(corpus->source_count - 1);
    corpus->sources[corpus->source_count - 1].used++;
    return WEIR_OK;
}

static weir_status_t read_all(FILE *file, const char *path, weir_arena_t *arena, weir_str_t *out,
                              weir_error_t *err)
{
    if (fseek(file, 0, SEEK_END) != 0) {
        return weir_error(err, WEIR_ERR_IO, "%s: %s", path, strerror(errno));
    }
    long size = ftell(file);
    if (size < 0 || fseek(file, 0, SEEK_SET) != 0) {
        return weir_error(err, WEIR_ERR_IO, "%s: %s", path, strerror(errno));
    }
    if ((size_t)size > WEIR_CORPUS_MAX_FILE) {
        return weir_error(err, WEIR_ERR_LIMIT, "%s: %ld bytes, more than %zu", path, size,
                          WEIR_CORPUS_MAX_FILE);
    }
    char *data = weir_arena_alloc(arena, (size_t)size + 1);
    if (data == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "%s: no memory for %ld bytes", path, size);
    }
    size_t got = fread(data, 1, (size_t)size, file);
    if (got != (size_t)size) {
        return weir_error(err, WEIR_ERR_IO, "%s: read %zu of %ld bytes", path, got, size);
    }
    data[got] = 0;
    *out = weir_str(data, got);
    return WEIR_OK;
}

weir_status_t weir_read_file(const char *path, weir_arena_t *arena, weir_str_t *out,
                             weir_error_t *err)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return weir_error(err, errno == ENOENT ? WEIR_ERR_NOT_FOUND : WEIR_ERR_IO, "%s: %s", path,
                          strerror(errno));
    }
    weir_status_t status = read_all(file, path, arena, out, err);
    fclose(file);
    return status;
}

/* Letters, digits and bytes over 0x7F of a text, lower-cased. */
static uint64_t essence(weir_str_t text)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        c = (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 0x80) {
            hash = (hash ^ c) * 0x100000001B3u;
        }
    }
    return hash;
}

typedef struct {
    uint64_t hash;
    uint32_t row;
} weir_essence_t;

static int by_hash_then_row(const void *a, const void *b)
{
    const weir_essence_t *x = a;
    const weir_essence_t *y = b;
    if (x->hash != y->hash) {
        return x->hash < y->hash ? -1 : 1;
    }
    return x->row < y->row ? -1 : x->row > y->row;
}

/* True when a head is YES in one row and NO in the other. */
static bool contradict(const weir_row_t *a, const weir_row_t *b)
{
    for (int h = 0; h < WEIR_HEADS; h++) {
        if (a->label[h] != WEIR_LABEL_UNKNOWN && b->label[h] != WEIR_LABEL_UNKNOWN &&
            a->label[h] != b->label[h]) {
            return true;
        }
    }
    return false;
}

size_t weir_corpus_distinct(weir_corpus_t *corpus)
{
    weir_essence_t *list = calloc(corpus->count + 1, sizeof(*list));
    if (list == NULL) {
        return 0;
    }
    for (size_t i = 0; i < corpus->count; i++) {
        bool spaced = corpus->rows[i].form == WEIR_FORM_SPACED;
        list[i] = (weir_essence_t){essence(corpus->rows[i].text) + spaced, (uint32_t)i};
    }
    qsort(list, corpus->count, sizeof(*list), by_hash_then_row);
    for (size_t i = 0, j; i < corpus->count; i = j) {
        weir_row_t *first = &corpus->rows[list[i].row];
        for (j = i + 1; j < corpus->count && list[j].hash == list[i].hash; j++) {
            weir_row_t *other = &corpus->rows[list[j].row];
            if (contradict(first, other)) {
                first->weight = 0;
            }
            other->weight = 0;
        }
    }
    free(list);
    size_t kept = 0;
    for (size_t i = 0; i < corpus->count; i++) {
        if (corpus->rows[i].weight > 0) {
            corpus->rows[kept++] = corpus->rows[i];
        } else {
            corpus->sources[corpus->rows[i].source].used--;
        }
    }
    size_t dropped = corpus->count - kept;
    corpus->count = kept;
    return dropped;
}

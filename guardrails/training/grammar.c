#include "guardrails/training/grammar.h"

#include "guardrails/training/learn.h"

#include <stdlib.h>

typedef struct {
    weir_str_t name;
    weir_str_t *choice;
    size_t count;
} weir_grammar_word_t;

typedef struct {
    weir_corpus_t *corpus;
    const char *name;
    weir_error_t *err;
    uint64_t seed;
    size_t line;
    /* words: the common ones first, then the open set's */
    weir_grammar_word_t word[WEIR_GRAMMAR_MAX_WORDS];
    size_t words;
    size_t common;
    weir_str_t pattern[WEIR_GRAMMAR_MAX_PATTERNS];
    size_t patterns;
    int8_t label[WEIR_HEADS];
    uint32_t rows;
    float weight;
} weir_grammar_t;

static weir_status_t wrong(weir_grammar_t *g, const char *what, weir_str_t which)
{
    int shown = which.len > 60 ? 60 : (int)which.len;
    return weir_error(g->err, WEIR_ERR_INVALID, "%s, before line %zu: %s: %.*s", g->name,
                      g->line + 1, what, shown, which.data);
}

static weir_str_t trim(weir_str_t s)
{
    while (s.len > 0 && (*s.data == ' ' || *s.data == '\t')) {
        s = weir_str(s.data + 1, s.len - 1);
    }
    while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\r')) {
        s.len--;
    }
    return s;
}

/* Cuts s at the first separator: returns what stands before it, *rest what stands behind. */
static weir_str_t cut(weir_str_t s, char separator, weir_str_t *rest)
{
    const char *at = s.len == 0 ? NULL : memchr(s.data, separator, s.len);
    if (at == NULL) {
        *rest = weir_str(s.data + s.len, 0);
        return s;
    }
    size_t n = (size_t)(at - s.data);
    *rest = weir_str(at + 1, s.len - n - 1);
    return weir_str(s.data, n);
}

static const weir_grammar_word_t *find(const weir_grammar_t *g, weir_str_t name)
{
    for (size_t i = g->words; i-- > 0;) {
        if (weir_str_eq(g->word[i].name, name)) {
            return &g->word[i];
        }
    }
    return NULL;
}

/* The characters that mean something in a grammar; an empty string for other names. */
static const char *literal(weir_str_t name)
{
    return weir_str_is(name, "open")        ? "{"
           : weir_str_is(name, "close")     ? "}"
           : weir_str_is(name, "bar")       ? "|"
           : weir_str_is(name, "backslash") ? "\\"
                                            : "";
}

/* Appends a drawing of the pattern to out. */
static weir_status_t expand(weir_grammar_t *g, weir_str_t pattern, int depth, weir_buf_t *out)
{
    if (depth > WEIR_GRAMMAR_MAX_DEPTH || out->len > WEIR_GRAMMAR_MAX_SENTENCE) {
        return wrong(g, "words inside words too deep, or a sentence too long", pattern);
    }
    while (pattern.len > 0) {
        weir_str_t rest;
        weir_str_t plain = cut(pattern, '{', &rest);
        weir_buf_append_str(out, plain);
        if (plain.len == pattern.len) {
            break;
        }
        weir_str_t name = cut(rest, '}', &pattern);
        const weir_grammar_word_t *word = find(g, name);
        const char *character = literal(name);
        if (word == NULL && *character != '\0') {
            weir_buf_append(out, character, 1);
            continue;
        }
        if (word == NULL) {
            return wrong(g, "no such word", name);
        }
        bool deep = depth >= WEIR_GRAMMAR_DEEP;
        weir_str_t choice = word->choice[deep ? 0 : weir_random(&g->seed) % word->count];
        weir_status_t status = expand(g, choice, depth + 1, out);
        if (status != WEIR_OK) {
            return status;
        }
    }
    return WEIR_OK;
}

static uint64_t hash_of(weir_str_t s)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < s.len; i++) {
        hash = (hash ^ (unsigned char)s.data[i]) * 0x100000001B3u;
    }
    return hash | 1;
}

/* Remembers the sentence in a table of 4 * rows entries; false when it was there. */
static bool remember(uint64_t *table, size_t size, weir_str_t sentence)
{
    uint64_t hash = hash_of(sentence);
    size_t at = (size_t)(hash % size);
    while (table[at] != 0 && table[at] != hash) {
        at = (at + 1) % size;
    }
    bool fresh = table[at] == 0;
    table[at] = hash;
    return fresh;
}

/* Draws the open set's sentences; gives up on a set that repeats itself. */
static weir_status_t finish_set(weir_grammar_t *g)
{
    weir_status_t status = WEIR_OK;
    if (g->patterns == 0 || g->rows == 0) {
        return WEIR_OK;
    }
    size_t size = (size_t)g->rows * 4;
    uint64_t *table = calloc(size, sizeof(*table));
    if (table == NULL) {
        return weir_error(g->err, WEIR_ERR_NOMEM, "%s: no memory for %u rows", g->name, g->rows);
    }
    uint32_t made = 0;
    for (uint32_t tries = 0; status == WEIR_OK && made < g->rows && tries < 4 * g->rows; tries++) {
        weir_buf_t out;
        weir_buf_init(&out, g->corpus->arena);
        status = expand(g, g->pattern[weir_random(&g->seed) % g->patterns], 0, &out);
        if (status == WEIR_OK && out.failed) {
            status = weir_error(g->err, WEIR_ERR_NOMEM, "%s: no memory for a sentence", g->name);
        }
        if (status == WEIR_OK && remember(table, size, weir_str(out.data, out.len))) {
            status = weir_corpus_add(g->corpus, weir_str(out.data, out.len), g->label, g->weight,
                                     g->err);
            made++;
        }
    }
    free(table);
    g->corpus->sources[g->corpus->source_count - 1].records += made;
    g->patterns = 0;
    return status;
}

static weir_status_t set_option(weir_grammar_t *g, weir_str_t option)
{
    weir_str_t value;
    weir_str_t key = cut(option, '=', &value);
    char number[32];
    char *end;
    if (value.len == 0 || value.len >= sizeof(number)) {
        return wrong(g, "an option needs a value", option);
    }
    memcpy(number, value.data, value.len);
    number[value.len] = 0;
    double v = strtod(number, &end);
    if (*end != 0 || !(v >= 0 && v <= 100000)) {
        return wrong(g, "a number from 0 to 100000 is needed", option);
    }
    if (weir_str_is(key, "rows")) {
        g->rows = (uint32_t)v;
        return WEIR_OK;
    }
    if (weir_str_is(key, "weight")) {
        g->weight = (float)v;
        return WEIR_OK;
    }
    for (int h = 0; h < WEIR_HEADS; h++) {
        if (weir_str_is(key, weir_head_name((weir_head_t)h)) || weir_str_is(key, "all")) {
            g->label[h] = v > 0 ? WEIR_LABEL_YES : WEIR_LABEL_NO;
            if (!weir_str_is(key, "all")) {
                return WEIR_OK;
            }
        }
    }
    return weir_str_is(key, "all") ? WEIR_OK : wrong(g, "no such option", option);
}

static weir_status_t begin_set(weir_grammar_t *g, weir_str_t line)
{
    weir_status_t status = finish_set(g);
    weir_str_t rest;
    g->words = g->common;
    g->rows = 1000;
    g->weight = 1;
    memset(g->label, WEIR_LABEL_UNKNOWN, sizeof(g->label));
    cut(line, ' ', &rest);
    cut(trim(rest), ' ', &rest);
    for (rest = trim(rest); status == WEIR_OK && rest.len > 0; rest = trim(rest)) {
        status = set_option(g, cut(rest, ' ', &rest));
    }
    return status;
}

static weir_status_t add_word(weir_grammar_t *g, weir_str_t name, weir_str_t choices)
{
    if (g->words == WEIR_GRAMMAR_MAX_WORDS) {
        return wrong(g, "too many words", name);
    }
    weir_grammar_word_t *word = &g->word[g->words++];
    size_t bars = 1;
    for (size_t i = 0; i < choices.len; i++) {
        bars += choices.data[i] == '|';
    }
    word->name = name;
    word->count = 0;
    word->choice = weir_arena_calloc(g->corpus->arena, bars, sizeof(*word->choice));
    if (word->choice == NULL) {
        return weir_error(g->err, WEIR_ERR_NOMEM, "%s: no memory for a word", g->name);
    }
    while (word->count < bars) {
        word->choice[word->count++] = trim(cut(choices, '|', &choices));
    }
    return WEIR_OK;
}

static weir_status_t read_line(weir_grammar_t *g, weir_str_t line)
{
    line = trim(line);
    if (line.len == 0 || *line.data == '#') {
        return WEIR_OK;
    }
    if (line.len > 4 && memcmp(line.data, "set ", 4) == 0) {
        return begin_set(g, line);
    }
    if (*line.data == '>') {
        if (g->patterns == WEIR_GRAMMAR_MAX_PATTERNS) {
            return wrong(g, "too many patterns", line);
        }
        g->pattern[g->patterns++] = trim(weir_str(line.data + 1, line.len - 1));
        return WEIR_OK;
    }
    weir_str_t rest;
    weir_str_t name = trim(cut(line, '=', &rest));
    if (name.len == line.len || rest.len == 0) {
        return wrong(g, "neither a set, a word nor a pattern", line);
    }
    bool common = name.len > 7 && memcmp(name.data, "common ", 7) == 0;
    if (common && g->words != g->common) {
        return wrong(g, "common words go before a set's own", name);
    }
    if (common) {
        name = trim(weir_str(name.data + 7, name.len - 7));
    }
    weir_status_t status = add_word(g, name, rest);
    g->common = common ? g->words : g->common;
    return status;
}

weir_status_t weir_grammar_add(weir_corpus_t *corpus, const char *name, weir_str_t text,
                               uint64_t seed, weir_error_t *err)
{
    weir_grammar_t *g = calloc(1, sizeof(*g));
    if (g == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "%s: no memory for the grammar", name);
    }
    g->corpus = corpus;
    g->name = name;
    g->err = err;
    g->seed = seed;
    weir_status_t status = weir_corpus_source(corpus, name, text, err);
    while (status == WEIR_OK && text.len > 0) {
        weir_buf_t line;
        bool more = true;
        weir_buf_init(&line, corpus->arena);
        while (more && text.len > 0) {
            weir_str_t part = trim(cut(text, '\n', &text));
            g->line++;
            more = part.len > 0 && part.data[part.len - 1] == '\\';
            weir_buf_append(&line, part.data, part.len - (more ? 1 : 0));
        }
        status = read_line(g, weir_str(line.data, line.len));
    }
    if (status == WEIR_OK) {
        status = finish_set(g);
    }
    free(g);
    return status;
}

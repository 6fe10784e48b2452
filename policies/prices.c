#include "policies/prices.h"

#include <stdio.h>

#include "policies/document.h"
#include "policies/patterns.h"

/* One model name or pattern of one target, with its prices over time. */
typedef struct link {
    const weir_price_t *price;
    struct link *next;
} link_t;

typedef struct {
    uint32_t book;
    weir_str_t model;
    link_t *links;
    uint32_t n_links;
} group_t;

typedef struct {
    weir_str_t target; /* empty: any */
    uint32_t n_groups;
    weir_patterns_t models; /* value: index into groups */
} book_t;

struct weir_prices {
    weir_price_t *all; /* in the document's order */
    size_t n;
    group_t *groups;
    size_t n_groups;
    book_t *books; /* one a target */
    size_t n_books;
};

/* A document entry: one price for some models. */
typedef struct {
    weir_str_t target;
    const weir_str_t *models;
    size_t n_models;
    weir_price_t price;
} entry_t;

/* Dearer than anything sold by a factor of a thousand, and far from the end of 64 bits. */
#define MAX_PRICE   INT64_C(100000000000000000)
#define MAX_PERIODS 1000

static const char *const class_names[WEIR_PRICE_CLASSES + 1] = {
    "prompt",     "cached",    "cache_write", "cache_write_1h",
    "completion", "reasoning", "request",     NULL};

const char *weir_price_class_name(weir_price_class_t class)
{
    return class_names[class];
}

static weir_status_t load_classes(const weir_document_t *doc, json_t *object, const char *path,
                                  weir_price_t *price)
{
    for (int c = 0; c < WEIR_PRICE_CLASSES; c++) {
        weir_status_t rc = weir_document_int(doc, object, path, class_names[c], 0, MAX_PRICE, -1,
                                             &price->per_million[c]);
        if (rc != WEIR_OK) {
            return rc;
        }
        if (price->per_million[c] < 0 && (c == WEIR_PRICE_PROMPT || c == WEIR_PRICE_COMPLETION)) {
            return weir_document_fail(doc, weir_path_member(path, class_names[c]).text,
                                      "expected nano-dollars per million tokens, found nothing");
        }
    }
    /* Never cheaper than without the distinction. A write has no such bound: it stays unknown. */
    if (price->per_million[WEIR_PRICE_CACHED] < 0) {
        price->per_million[WEIR_PRICE_CACHED] = price->per_million[WEIR_PRICE_PROMPT];
    }
    if (price->per_million[WEIR_PRICE_REASONING] < 0) {
        price->per_million[WEIR_PRICE_REASONING] = price->per_million[WEIR_PRICE_COMPLETION];
    }
    if (price->per_million[WEIR_PRICE_REQUEST] < 0) {
        price->per_million[WEIR_PRICE_REQUEST] = 0;
    }
    return WEIR_OK;
}

static weir_status_t load_entry(const weir_document_t *doc, json_t *object, size_t index,
                                entry_t *entry)
{
    static const char *const known[] = {
        "target",      "models",         "from",       "to",        "note",    "prompt", "cached",
        "cache_write", "cache_write_1h", "completion", "reasoning", "request", NULL};
    const weir_path_t at = weir_path_at("", "prices", index);
    const char *path = at.text;
    weir_str_t note;
    weir_status_t rc;

    entry->price.index = (uint32_t)index;
    if ((rc = weir_document_members(doc, object, path, known)) != WEIR_OK ||
        (rc = weir_document_text(doc, object, path, "target", 64, &entry->target)) != WEIR_OK ||
        (rc = weir_document_texts(doc, object, path, "models", WEIR_PATTERN_MAX, &entry->models,
                                  &entry->n_models)) != WEIR_OK ||
        (rc = weir_document_text(doc, object, path, "note", 1024, &note)) != WEIR_OK ||
        (rc = weir_document_time(doc, object, path, "from", &entry->price.from)) != WEIR_OK ||
        (rc = weir_document_time(doc, object, path, "to", &entry->price.to)) != WEIR_OK ||
        (rc = load_classes(doc, object, path, &entry->price)) != WEIR_OK) {
        return rc;
    }
    if (json_object_get(object, "target") != NULL && !weir_document_id_ok(entry->target)) {
        return weir_document_fail(doc, weir_path_member(path, "target").text,
                                  "expected a target's name: 1 to 64 of a-z 0-9 . _ -");
    }
    if (entry->n_models == 0) {
        return weir_document_fail(doc, weir_path_member(path, "models").text,
                                  "expected at least one name or pattern, found none");
    }
    entry->price.from = entry->price.from == 0 ? INT64_MIN : entry->price.from;
    entry->price.to = entry->price.to == 0 ? INT64_MAX : entry->price.to;
    return entry->price.from < entry->price.to
               ? WEIR_OK
               : weir_document_fail(doc, weir_path_member(path, "to").text,
                                    "expected a time behind \"from\", found an earlier one");
}

typedef struct {
    const weir_document_t *doc;
    weir_prices_t *out;
    json_t *names;   /* "target model" -> index of a group */
    json_t *targets; /* target -> index of a book */
} loader_t;

/* The value under key, made as next when missing; -1: out of memory. */
static json_int_t number_of(json_t *object, const char *key, size_t next)
{
    json_t *value = json_object_get(object, key);

    if (value == NULL) {
        value = json_integer((json_int_t)next);
        if (json_object_set_new(object, key, value) != 0) {
            return -1;
        }
    }
    return json_integer_value(value);
}

static group_t *find_group(loader_t *l, const entry_t *entry, weir_str_t model)
{
    char key[64 + 1 + WEIR_PATTERN_MAX + 1];
    json_int_t book = number_of(l->targets, entry->target.data, l->out->n_books);
    json_int_t group;

    snprintf(key, sizeof(key), "%s %s", entry->target.data, model.data);
    group = number_of(l->names, key, l->out->n_groups);
    if (book < 0 || group < 0) {
        return NULL;
    }
    if ((size_t)book == l->out->n_books) {
        l->out->books[l->out->n_books++].target = entry->target;
    }
    if ((size_t)group == l->out->n_groups) {
        l->out->groups[l->out->n_groups++] = (group_t){.book = (uint32_t)book, .model = model};
        l->out->books[book].n_groups++;
    }
    return &l->out->groups[group];
}

static weir_status_t add_price(loader_t *l, const entry_t *entry, const weir_price_t *price,
                               weir_str_t model)
{
    const weir_path_t at = weir_path_at("", "prices", price->index);
    group_t *group = find_group(l, entry, model);
    link_t *link = weir_arena_alloc(l->doc->arena, sizeof(*link));

    if (group == NULL || link == NULL) {
        return weir_document_nomem(l->doc);
    }
    if (++group->n_links > MAX_PERIODS) {
        return weir_document_fail(l->doc, at.text, "expected at most %d periods for %s",
                                  MAX_PERIODS, model.data);
    }
    for (const link_t *other = group->links; other != NULL; other = other->next) {
        if (price->from < other->price->to && other->price->from < price->to) {
            return weir_document_fail(l->doc, at.text,
                                      "the price of %s overlaps that of prices[%u] (\"from\" to "
                                      "\"to\")",
                                      model.data, other->price->index);
        }
    }
    *link = (link_t){price, group->links};
    group->links = link;
    return WEIR_OK;
}

static weir_status_t build_books(const loader_t *l)
{
    weir_pattern_t *patterns =
        weir_arena_calloc(l->doc->arena, l->out->n_groups, sizeof(weir_pattern_t));

    if (patterns == NULL) {
        return weir_document_nomem(l->doc);
    }
    /* Groups of a book lie together in patterns, in the order of the document. */
    for (size_t b = 0, begin = 0; b < l->out->n_books; b++) {
        l->out->books[b].models.n_globs = begin; /* until it is built: where the next group goes */
        begin += l->out->books[b].n_groups;
    }
    for (size_t g = 0; g < l->out->n_groups; g++) {
        size_t *place = &l->out->books[l->out->groups[g].book].models.n_globs;
        patterns[(*place)++] = (weir_pattern_t){l->out->groups[g].model, (uint32_t)g};
    }
    for (size_t b = 0, begin = 0; b < l->out->n_books; b++) {
        book_t *book = &l->out->books[b];
        if (!weir_patterns_build(&book->models, patterns + begin, book->n_groups, false,
                                 l->doc->arena)) {
            return weir_document_nomem(l->doc);
        }
        begin += book->n_groups;
    }
    return WEIR_OK;
}

static weir_status_t load_prices(loader_t *l, json_t *prices)
{
    weir_arena_t *arena = l->doc->arena;
    size_t n = json_array_size(prices);
    size_t n_models = 0;
    weir_status_t rc = WEIR_OK;

    for (size_t i = 0; i < n; i++) {
        n_models += json_array_size(json_object_get(json_array_get(prices, i), "models"));
    }
    l->out->all = weir_arena_calloc(arena, n, sizeof(weir_price_t));
    l->out->groups = weir_arena_calloc(arena, n_models, sizeof(group_t));
    l->out->books = weir_arena_calloc(arena, n, sizeof(book_t));
    if (l->out->all == NULL || l->out->groups == NULL || l->out->books == NULL) {
        return weir_document_nomem(l->doc);
    }
    for (size_t i = 0; rc == WEIR_OK && i < n; i++) {
        entry_t entry = {0};
        rc = load_entry(l->doc, json_array_get(prices, i), i, &entry);
        l->out->all[i] = entry.price;
        l->out->n = i + 1;
        for (size_t k = 0; rc == WEIR_OK && k < entry.n_models; k++) {
            rc = add_price(l, &entry, &l->out->all[i], entry.models[k]);
        }
    }
    return rc == WEIR_OK ? build_books(l) : rc;
}

static weir_status_t load_document(loader_t *l)
{
    static const char *const known[] = {"$schema", "version", "currency", "source",
                                        "as_of",   "prices",  NULL};
    static const char *const currencies[] = {"USD", NULL};
    const weir_document_t *doc = l->doc;
    json_t *prices;
    weir_str_t source;
    int64_t as_of;
    int currency;
    weir_status_t rc;

    if ((rc = weir_document_members(doc, doc->root, "", known)) != WEIR_OK ||
        (rc = weir_document_version(doc)) != WEIR_OK ||
        (rc = weir_document_word(doc, doc->root, "", "currency", currencies, &currency)) !=
            WEIR_OK ||
        (rc = weir_document_text(doc, doc->root, "", "source", 1024, &source)) != WEIR_OK ||
        (rc = weir_document_time(doc, doc->root, "", "as_of", &as_of)) != WEIR_OK) {
        return rc;
    }
    prices = json_object_get(doc->root, "prices");
    if (!json_is_array(prices)) {
        return weir_document_fail(doc, "prices", "expected an array, found %s",
                                  weir_document_type(prices));
    }
    return load_prices(l, prices);
}

weir_status_t weir_prices_parse(const char *text, size_t len, const char *name, weir_arena_t *arena,
                                weir_prices_t **out, weir_error_t *err)
{
    weir_document_t doc;
    weir_status_t rc = weir_document_open(&doc, text, len, name, arena, err);

    if (rc == WEIR_OK) {
        loader_t l = {.doc = &doc,
                      .out = weir_arena_calloc(arena, 1, sizeof(weir_prices_t)),
                      .names = json_object(),
                      .targets = json_object()};
        rc = l.out == NULL || l.names == NULL || l.targets == NULL ? weir_document_nomem(&doc)
                                                                   : load_document(&l);
        json_decref(l.names);
        json_decref(l.targets);
        if (rc == WEIR_OK) {
            *out = l.out;
        }
    }
    weir_document_close(&doc);
    return rc;
}

static bool in_force(const weir_price_t *price, int64_t now)
{
    return price->from <= now && now < price->to;
}

static const weir_price_t *find_in_book(const weir_prices_t *prices, weir_str_t target,
                                        weir_str_t model, int64_t now)
{
    for (size_t b = 0; b < prices->n_books; b++) {
        const weir_pattern_t *match;
        size_t cursor = 0;
        if (!weir_str_eq(prices->books[b].target, target)) {
            continue;
        }
        while ((match = weir_patterns_next(&prices->books[b].models, model, &cursor)) != NULL) {
            for (const link_t *l = prices->groups[match->value].links; l != NULL; l = l->next) {
                if (in_force(l->price, now)) {
                    return l->price;
                }
            }
        }
    }
    return NULL;
}

const weir_price_t *weir_prices_find(const weir_prices_t *prices, weir_str_t target,
                                     weir_str_t model, int64_t now)
{
    const weir_price_t *found = target.len == 0 ? NULL : find_in_book(prices, target, model, now);

    return found != NULL ? found : find_in_book(prices, WEIR_STR(""), model, now);
}

void weir_prices_dearest(const weir_prices_t *prices, int64_t now, weir_price_t *out)
{
    *out = (weir_price_t){.from = INT64_MIN, .to = INT64_MAX};
    for (int c = 0; c < WEIR_PRICE_CLASSES; c++) {
        out->per_million[c] = -1;
        for (size_t i = 0; prices != NULL && i < prices->n; i++) {
            const weir_price_t *price = &prices->all[i];
            if (in_force(price, now) && price->per_million[c] > out->per_million[c]) {
                out->per_million[c] = price->per_million[c];
            }
        }
    }
}

/* A 128-bit sum of seven products: each is below 2^121, as prices are below 2^57. */
weir_status_t weir_price_cost(const weir_price_t *price, const uint64_t units[WEIR_PRICE_CLASSES],
                              int64_t *nano)
{
    __extension__ unsigned __int128 sum = 0;

    *nano = 0;
    for (int c = 0; c < WEIR_PRICE_CLASSES; c++) {
        if (units[c] == 0) {
            continue;
        }
        if (price->per_million[c] < 0) {
            return WEIR_ERR_NOT_FOUND;
        }
        __extension__ unsigned __int128 product = units[c];
        sum += product * (uint64_t)price->per_million[c];
    }
    sum = sum / 1000000 + (sum % 1000000 != 0);
    if (sum > INT64_MAX) {
        return WEIR_ERR_LIMIT;
    }
    *nano = (int64_t)sum;
    return WEIR_OK;
}

/* Dictionaries in insertion order. */
#include <math.h>

#include "engine/jinja/interp.h"

#define LINEAR 8u /* entries up to which no index of hashes pays */

static uint32_t hash_bytes(const char *data, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < len; i++) {
        h = (h ^ (uint8_t)data[i]) * 0x100000001b3u;
    }
    return (uint32_t)(h ^ (h >> 32));
}

static uint32_t hash_int(int64_t i)
{
    uint64_t h = (uint64_t)i * 0x9E3779B97F4A7C15u;
    return (uint32_t)(h >> 32);
}

static bool hash_value(weir_ji_t *in, weir_jv_t v, uint32_t depth, uint32_t *out)
{
    int64_t i;
    if (weir_jv_as_int(v, &i)) {
        *out = hash_int(i);
        return true;
    }
    switch ((weir_jtype_t)v.type) {
    case WEIR_JV_STRING:
    case WEIR_JV_BIGINT:
        *out = hash_bytes(v.u.s->data, v.u.s->len);
        return weir_ji_work(in, v.u.s->len / 64);
    case WEIR_JV_FLOAT:
        /* A float equal to an integer is the same key. */
        *out = fabs(v.u.f) < 9e18 && v.u.f == trunc(v.u.f)
                   ? hash_int((int64_t)v.u.f)
                   : hash_bytes((const char *)&v.u.f, sizeof(v.u.f));
        return true;
    case WEIR_JV_TUPLE:
        *out = 0x345678;
        for (uint32_t k = 0; k < v.u.list->n && depth < 200; k++) {
            uint32_t h;
            if (!hash_value(in, v.u.list->items[k], depth + 1, &h)) {
                return false;
            }
            *out = *out * 1000003u ^ h;
        }
        return weir_ji_work(in, 1);
    case WEIR_JV_LIST:
    case WEIR_JV_DICT:
        return weir_ji_fail(in, WEIR_ERR_INVALID, "unhashable type: '%s'", weir_jv_type_name(v));
    default:
        *out = v.type;
        return true;
    }
}

weir_jdict_t *weir_jdict_new(weir_ji_t *in)
{
    weir_jdict_t *d = weir_ji_alloc(in, sizeof(*d));
    if (d != NULL) {
        *d = (weir_jdict_t){0};
    }
    return d;
}

weir_jv_t weir_jv_dict(weir_jdict_t *dict)
{
    return (weir_jv_t){.type = WEIR_JV_DICT, .u.dict = dict};
}

/* Entry number of key, or UINT32_MAX in *at. */
static bool find(weir_ji_t *in, const weir_jdict_t *d, weir_jv_t key, uint32_t hash, uint32_t *at)
{
    *at = UINT32_MAX;
    uint32_t mask = d->index_size - 1;
    for (uint32_t i = d->index == NULL ? 0 : hash & mask;;
         i = d->index == NULL ? i + 1 : (i + 1) & mask) {
        if (d->index == NULL ? i >= d->n : d->index[i] == 0) {
            return true;
        }
        uint32_t entry = d->index == NULL ? i : d->index[i] - 1;
        bool same = false;
        if (d->entries[entry].hash == hash &&
            !weir_jv_equal(in, d->entries[entry].key, key, &same)) {
            return false;
        }
        if (same) {
            *at = entry;
            return true;
        }
    }
}

static void index_entry(weir_jdict_t *d, uint32_t entry)
{
    uint32_t mask = d->index_size - 1;
    uint32_t i = d->entries[entry].hash & mask;
    while (d->index[i] != 0) {
        i = (i + 1) & mask;
    }
    d->index[i] = entry + 1;
}

static bool rebuild_index(weir_ji_t *in, weir_jdict_t *d)
{
    uint32_t size = 32;
    while (size < d->cap * 2) {
        size *= 2;
    }
    if (size != d->index_size) {
        d->index = weir_ji_alloc(in, size * sizeof(*d->index));
        if (d->index == NULL) {
            return false;
        }
        d->index_size = size;
    }
    memset(d->index, 0, size * sizeof(*d->index));
    for (uint32_t i = 0; i < d->n; i++) {
        index_entry(d, i);
    }
    return weir_ji_work(in, d->n / 8);
}

static bool grow(weir_ji_t *in, weir_jdict_t *d)
{
    if (d->cap > UINT32_MAX / 8) {
        return weir_ji_fail(in, WEIR_ERR_LIMIT, "a dict is too large");
    }
    uint32_t cap = d->cap == 0 ? 4 : d->cap * 2;
    weir_jentry_t *grown = weir_ji_alloc(in, cap * sizeof(*grown));
    if (grown == NULL) {
        return false;
    }
    if (d->n > 0) {
        memcpy(grown, d->entries, d->n * sizeof(*grown));
    }
    d->entries = grown;
    d->cap = cap;
    return cap <= LINEAR || rebuild_index(in, d);
}

bool weir_jdict_set(weir_ji_t *in, weir_jdict_t *dict, weir_jv_t key, weir_jv_t value)
{
    uint32_t hash;
    uint32_t at;
    if (!weir_ji_work(in, 1) || !hash_value(in, key, 0, &hash) || !find(in, dict, key, hash, &at)) {
        return false;
    }
    if (at != UINT32_MAX) {
        dict->entries[at].value = value;
        return true;
    }
    if (dict->n == dict->cap && !grow(in, dict)) {
        return false;
    }
    dict->entries[dict->n] = (weir_jentry_t){.key = key, .value = value, .hash = hash};
    if (dict->index != NULL) {
        index_entry(dict, dict->n);
    }
    dict->n++;
    return true;
}

bool weir_jdict_get(weir_ji_t *in, const weir_jdict_t *dict, weir_jv_t key, weir_jv_t *out,
                    bool *found)
{
    uint32_t hash;
    uint32_t at;
    *found = false;
    if (!hash_value(in, key, 0, &hash) || !find(in, dict, key, hash, &at)) {
        return false;
    }
    if (at != UINT32_MAX) {
        *out = dict->entries[at].value;
        *found = true;
    }
    return true;
}

const weir_jv_t *weir_jdict_getz(weir_ji_t *in, const weir_jdict_t *dict, const char *name)
{
    weir_js_t s = {.data = name, .len = (uint32_t)strlen(name), .chars = (uint32_t)strlen(name)};
    uint32_t at;
    if (!find(in, dict, weir_jv_str(&s), hash_bytes(s.data, s.len), &at) || at == UINT32_MAX) {
        return NULL;
    }
    return &dict->entries[at].value;
}

bool weir_jdict_pop(weir_ji_t *in, weir_jdict_t *dict, weir_jv_t key, weir_jv_t *out, bool *found)
{
    uint32_t hash;
    uint32_t at;
    *found = false;
    if (!hash_value(in, key, 0, &hash) || !find(in, dict, key, hash, &at)) {
        return false;
    }
    if (at == UINT32_MAX) {
        return true;
    }
    *found = true;
    *out = dict->entries[at].value;
    memmove(&dict->entries[at], &dict->entries[at + 1],
            (dict->n - at - 1) * sizeof(*dict->entries));
    dict->n--;
    return dict->index == NULL || rebuild_index(in, dict);
}

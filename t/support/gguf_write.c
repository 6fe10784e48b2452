#include "t/support/gguf_write.h"

#include <stdio.h>

void gguf_write_init(gguf_write_t *w, weir_arena_t *arena)
{
    memset(w, 0, sizeof(*w));
    w->arena = arena;
    w->version = 3;
    w->alignment = 32;
}

static void put_u32(weir_buf_t *buf, uint32_t v)
{
    weir_buf_append(buf, &v, sizeof(v));
}

static void put_u64(weir_buf_t *buf, uint64_t v)
{
    weir_buf_append(buf, &v, sizeof(v));
}

static void put_str(weir_buf_t *buf, weir_str_t s)
{
    put_u64(buf, s.len);
    weir_buf_append_str(buf, s);
}

gguf_write_key_t *gguf_write_find_key(gguf_write_t *w, const char *key)
{
    for (uint32_t i = 0; i < w->n_keys; i++) {
        if (strcmp(w->keys[i].name, key) == 0) {
            return &w->keys[i];
        }
    }
    return NULL;
}

gguf_write_tensor_t *gguf_write_find_tensor(gguf_write_t *w, const char *name)
{
    for (uint32_t i = 0; i < w->n_tensors; i++) {
        if (strcmp(w->tensors[i].name, name) == 0) {
            return &w->tensors[i];
        }
    }
    return NULL;
}

void gguf_write_drop_key(gguf_write_t *w, const char *key)
{
    gguf_write_key_t *k = gguf_write_find_key(w, key);
    if (k != NULL) {
        memmove(k, k + 1, (size_t)((w->keys + --w->n_keys) - k) * sizeof(*k));
    }
}

void gguf_write_drop_tensor(gguf_write_t *w, const char *name)
{
    gguf_write_tensor_t *t = gguf_write_find_tensor(w, name);
    if (t != NULL) {
        memmove(t, t + 1, (size_t)((w->tensors + --w->n_tensors) - t) * sizeof(*t));
    }
}

static weir_buf_t *add_key(gguf_write_t *w, const char *key, uint32_t type)
{
    if (w->n_keys == GGUF_WRITE_MAX_KEYS) {
        w->failed = true;
        w->n_keys--;
    }
    gguf_write_key_t *k = &w->keys[w->n_keys++];
    k->name_len = (uint64_t)snprintf(k->name, sizeof(k->name), "%s", key);
    k->type = type;
    weir_buf_init(&k->value, w->arena);
    return &k->value;
}

void gguf_write_raw(gguf_write_t *w, const char *key, uint32_t type, const void *value, size_t len)
{
    weir_buf_append(add_key(w, key, type), value, len);
}

void gguf_write_u32(gguf_write_t *w, const char *key, uint32_t value)
{
    gguf_write_raw(w, key, WEIR_GGUF_U32, &value, sizeof(value));
}

void gguf_write_u64(gguf_write_t *w, const char *key, uint64_t value)
{
    gguf_write_raw(w, key, WEIR_GGUF_U64, &value, sizeof(value));
}

void gguf_write_i32(gguf_write_t *w, const char *key, int32_t value)
{
    gguf_write_raw(w, key, WEIR_GGUF_I32, &value, sizeof(value));
}

void gguf_write_f32(gguf_write_t *w, const char *key, float value)
{
    gguf_write_raw(w, key, WEIR_GGUF_F32, &value, sizeof(value));
}

void gguf_write_bool(gguf_write_t *w, const char *key, bool value)
{
    uint8_t byte = value;
    gguf_write_raw(w, key, WEIR_GGUF_BOOL, &byte, 1);
}

void gguf_write_str(gguf_write_t *w, const char *key, weir_str_t value)
{
    put_str(add_key(w, key, WEIR_GGUF_STRING), value);
}

void gguf_write_str_array(gguf_write_t *w, const char *key, const weir_str_t *values, uint64_t n)
{
    weir_buf_t *buf = add_key(w, key, WEIR_GGUF_ARRAY);
    put_u32(buf, WEIR_GGUF_STRING);
    put_u64(buf, n);
    for (uint64_t i = 0; i < n; i++) {
        put_str(buf, values[i]);
    }
}

void gguf_write_i32_array(gguf_write_t *w, const char *key, const int32_t *values, uint64_t n)
{
    weir_buf_t *buf = add_key(w, key, WEIR_GGUF_ARRAY);
    put_u32(buf, WEIR_GGUF_I32);
    put_u64(buf, n);
    weir_buf_append(buf, values, n * sizeof(*values));
}

gguf_write_tensor_t *gguf_write_tensor(gguf_write_t *w, const char *name, uint32_t type,
                                       uint32_t n_dims, const uint64_t *dims, const void *data,
                                       uint64_t bytes)
{
    if (w->n_tensors == GGUF_WRITE_MAX_TENSORS) {
        w->failed = true;
        w->n_tensors--;
    }
    gguf_write_tensor_t *t = &w->tensors[w->n_tensors++];
    t->name_len = (uint64_t)snprintf(t->name, sizeof(t->name), "%s", name);
    t->n_dims = n_dims;
    for (uint32_t i = 0; i < n_dims && i < 8; i++) {
        t->dims[i] = dims[i];
    }
    t->type = type;
    t->offset = w->data_bytes;
    t->place = w->data_bytes;
    t->data = data;
    t->bytes = bytes;
    w->data_bytes += (bytes + w->alignment - 1) / w->alignment * w->alignment;
    return t;
}

static void pad_to(weir_buf_t *out, size_t len)
{
    while (out->len < len && !out->failed) {
        weir_buf_append_char(out, '\0');
    }
}

static void write_directory(const gguf_write_t *w, weir_buf_t *out)
{
    weir_buf_append_z(out, "GGUF");
    put_u32(out, w->version);
    put_u64(out, w->n_tensors + (uint64_t)w->more_tensors);
    put_u64(out, w->n_keys + (uint64_t)w->more_keys);
    for (uint32_t i = 0; i < w->n_keys; i++) {
        const gguf_write_key_t *k = &w->keys[i];
        put_u64(out, k->name_len);
        weir_buf_append_z(out, k->name);
        put_u32(out, k->type);
        weir_buf_append(out, k->value.data, k->value.len);
        out->failed = out->failed || k->value.failed;
    }
    for (uint32_t i = 0; i < w->n_tensors; i++) {
        const gguf_write_tensor_t *t = &w->tensors[i];
        put_u64(out, t->name_len);
        weir_buf_append_z(out, t->name);
        put_u32(out, t->n_dims);
        weir_buf_append(out, t->dims, (t->n_dims < 8 ? t->n_dims : 8) * sizeof(t->dims[0]));
        put_u32(out, t->type);
        put_u64(out, t->offset);
    }
}

void gguf_write_finish(gguf_write_t *w, weir_buf_t *out)
{
    size_t start = out->len;
    if (w->alignment != 32) {
        gguf_write_u32(w, "general.alignment", w->alignment);
    }
    write_directory(w, out);
    size_t directory = out->len - start;
    size_t data = start + (directory + w->alignment - 1) / w->alignment * w->alignment;
    for (uint32_t i = 0; i < w->n_tensors; i++) {
        pad_to(out, data + w->tensors[i].place);
        weir_buf_append(out, w->tensors[i].data, w->tensors[i].bytes);
    }
    out->failed = out->failed || w->failed;
}

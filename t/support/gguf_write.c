#include "t/support/gguf_write.h"

#include <stdio.h>

void gguf_write_init(gguf_write_t *w, weir_arena_t *arena)
{
    memset(w, 0, sizeof(*w));
    w->arena = arena;
    w->version = 3;
    w->alignment = 32;
    weir_buf_init(&w->keys, arena);
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

void gguf_write_raw(gguf_write_t *w, const char *key, uint32_t type, const void *value, size_t len)
{
    put_str(&w->keys, weir_str(key, strlen(key)));
    put_u32(&w->keys, type);
    weir_buf_append(&w->keys, value, len);
    w->n_keys++;
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
    gguf_write_raw(w, key, WEIR_GGUF_STRING, NULL, 0);
    put_str(&w->keys, value);
}

void gguf_write_str_array(gguf_write_t *w, const char *key, const weir_str_t *values, uint64_t n)
{
    gguf_write_raw(w, key, WEIR_GGUF_ARRAY, NULL, 0);
    put_u32(&w->keys, WEIR_GGUF_STRING);
    put_u64(&w->keys, n);
    for (uint64_t i = 0; i < n; i++) {
        put_str(&w->keys, values[i]);
    }
}

void gguf_write_i32_array(gguf_write_t *w, const char *key, const int32_t *values, uint64_t n)
{
    gguf_write_raw(w, key, WEIR_GGUF_ARRAY, NULL, 0);
    put_u32(&w->keys, WEIR_GGUF_I32);
    put_u64(&w->keys, n);
    weir_buf_append(&w->keys, values, n * sizeof(*values));
}

gguf_write_tensor_t *gguf_write_tensor(gguf_write_t *w, const char *name, uint32_t type,
                                       uint32_t n_dims, const uint64_t *dims, const void *data,
                                       uint64_t bytes)
{
    if (w->count == GGUF_WRITE_MAX_TENSORS) {
        w->keys.failed = true;
        return &w->tensors[0];
    }
    gguf_write_tensor_t *t = &w->tensors[w->count++];
    w->n_tensors++;
    snprintf(t->name, sizeof(t->name), "%s", name);
    t->n_dims = n_dims;
    for (uint32_t i = 0; i < n_dims && i < 8; i++) {
        t->dims[i] = dims[i];
    }
    t->type = type;
    t->offset = w->data_bytes;
    t->data = data;
    t->bytes = bytes;
    w->data_bytes += (bytes + w->alignment - 1) / w->alignment * w->alignment;
    return t;
}

void gguf_write_finish(gguf_write_t *w, weir_buf_t *out)
{
    size_t start = out->len;
    if (w->alignment != 32) {
        gguf_write_u32(w, "general.alignment", w->alignment);
    }
    weir_buf_append_z(out, "GGUF");
    put_u32(out, w->version);
    put_u64(out, w->n_tensors);
    put_u64(out, w->n_keys);
    weir_buf_append(out, w->keys.data, w->keys.len);
    for (uint32_t i = 0; i < w->count; i++) {
        const gguf_write_tensor_t *t = &w->tensors[i];
        put_str(out, weir_str(t->name, strlen(t->name)));
        put_u32(out, t->n_dims);
        weir_buf_append(out, t->dims, (t->n_dims < 8 ? t->n_dims : 8) * sizeof(t->dims[0]));
        put_u32(out, t->type);
        put_u64(out, t->offset);
    }
    for (uint32_t i = 0; i <= w->count; i++) {
        while (w->alignment > 0 && (out->len - start) % w->alignment != 0 && !out->failed) {
            weir_buf_append_char(out, '\0');
        }
        if (i < w->count) {
            weir_buf_append(out, w->tensors[i].data, w->tensors[i].bytes);
        }
    }
    out->failed = out->failed || w->keys.failed;
}

/* Looking at an opened GGUF file: tensors and typed metadata. */
#include "engine/base/utf8.h"
#include "engine/llm/gguf_file.h"

#include <math.h>

uint64_t weir_gguf_file_bytes(const weir_gguf_t *gguf)
{
    return gguf->size;
}

uint32_t weir_gguf_tensor_count(const weir_gguf_t *gguf)
{
    return gguf->n_tensors;
}

const weir_gguf_tensor_t *weir_gguf_tensor_at(const weir_gguf_t *gguf, uint32_t i)
{
    return i < gguf->n_tensors ? &gguf->tensors[i] : NULL;
}

const weir_gguf_tensor_t *weir_gguf_tensor(const weir_gguf_t *gguf, const char *name)
{
    weir_str_t wanted = weir_str(name, strlen(name));
    uint32_t low = 0;
    uint32_t high = gguf->n_tensors;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        const weir_gguf_tensor_t *t = &gguf->tensors[gguf->tensors_by_name[mid]];
        int order = weir_gguf_compare_names(t->name, wanted);
        if (order == 0) {
            return t;
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return NULL;
}

const weir_gguf_key_t *weir_gguf_find_key(const weir_gguf_t *gguf, weir_str_t name)
{
    uint32_t low = 0;
    uint32_t high = gguf->n_keys;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        const weir_gguf_key_t *key = &gguf->keys[gguf->keys_by_name[mid]];
        int order = weir_gguf_compare_names(key->name, name);
        if (order == 0) {
            return key;
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return NULL;
}

static const weir_gguf_key_t *find(const weir_gguf_t *gguf, const char *key)
{
    return weir_gguf_find_key(gguf, weir_str(key, strlen(key)));
}

uint32_t weir_gguf_key_count(const weir_gguf_t *gguf)
{
    return gguf->n_keys;
}

weir_str_t weir_gguf_key_name(const weir_gguf_t *gguf, uint32_t i)
{
    return i < gguf->n_keys ? gguf->keys[i].name : weir_str(NULL, 0);
}

weir_gguf_type_t weir_gguf_key_type(const weir_gguf_t *gguf, uint32_t i)
{
    return i < gguf->n_keys ? (weir_gguf_type_t)gguf->keys[i].type : WEIR_GGUF_U8;
}

/* A number as the file has it. Integers below zero are in `i`, others in `u`. */
typedef struct {
    enum { NOT_A_NUMBER, UNSIGNED, NEGATIVE, REAL } kind;
    uint64_t u;
    int64_t i;
    double d;
} number_t;

static number_t signed_number(int64_t i)
{
    return i < 0 ? (number_t){.kind = NEGATIVE, .i = i}
                 : (number_t){.kind = UNSIGNED, .u = (uint64_t)i};
}

/* The scalar of that type at p, which need not be aligned. */
static number_t read_number(const uint8_t *p, uint32_t type)
{
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
        float f32;
        double f64;
    } v;
    memcpy(&v, p, weir_gguf_scalar_bytes(type));
    switch (type) {
    case WEIR_GGUF_U8:
        return (number_t){.kind = UNSIGNED, .u = v.u8};
    case WEIR_GGUF_I8:
        return signed_number(v.i8);
    case WEIR_GGUF_U16:
        return (number_t){.kind = UNSIGNED, .u = v.u16};
    case WEIR_GGUF_I16:
        return signed_number(v.i16);
    case WEIR_GGUF_U32:
        return (number_t){.kind = UNSIGNED, .u = v.u32};
    case WEIR_GGUF_I32:
        return signed_number(v.i32);
    case WEIR_GGUF_U64:
        return (number_t){.kind = UNSIGNED, .u = v.u64};
    case WEIR_GGUF_I64:
        return signed_number(v.i64);
    case WEIR_GGUF_F32:
        return (number_t){.kind = REAL, .d = (double)v.f32};
    case WEIR_GGUF_F64:
        return (number_t){.kind = REAL, .d = v.f64};
    default:
        return (number_t){.kind = NOT_A_NUMBER};
    }
}

static double number_as_double(const number_t *n)
{
    return n->kind == REAL ? n->d : n->kind == NEGATIVE ? (double)n->i : (double)n->u;
}

/* OK with the key's number, NOT_FOUND, or INVALID when it is none. */
static weir_status_t scalar(const weir_gguf_t *gguf, const char *key, number_t *out)
{
    const weir_gguf_key_t *k = find(gguf, key);
    if (k == NULL) {
        return WEIR_ERR_NOT_FOUND;
    }
    *out = read_number(gguf->data + k->at, k->type);
    return out->kind == NOT_A_NUMBER ? WEIR_ERR_INVALID : WEIR_OK;
}

weir_status_t weir_gguf_u64(const weir_gguf_t *gguf, const char *key, uint64_t *out)
{
    number_t n;
    weir_status_t status = scalar(gguf, key, &n);
    if (status != WEIR_OK || n.kind != UNSIGNED) {
        return status != WEIR_OK ? status : WEIR_ERR_INVALID;
    }
    *out = n.u;
    return WEIR_OK;
}

weir_status_t weir_gguf_u32(const weir_gguf_t *gguf, const char *key, uint32_t *out)
{
    uint64_t value;
    weir_status_t status = weir_gguf_u64(gguf, key, &value);
    if (status != WEIR_OK || value > UINT32_MAX) {
        return status != WEIR_OK ? status : WEIR_ERR_INVALID;
    }
    *out = (uint32_t)value;
    return WEIR_OK;
}

weir_status_t weir_gguf_f32(const weir_gguf_t *gguf, const char *key, float *out)
{
    number_t n;
    weir_status_t status = scalar(gguf, key, &n);
    if (status != WEIR_OK) {
        return status;
    }
    double value = number_as_double(&n);
    if (isfinite(value) && fabs(value) > (double)3.4028235e38f) {
        return WEIR_ERR_INVALID;
    }
    *out = (float)value;
    return WEIR_OK;
}

weir_status_t weir_gguf_bool(const weir_gguf_t *gguf, const char *key, bool *out)
{
    const weir_gguf_key_t *k = find(gguf, key);
    if (k == NULL) {
        return WEIR_ERR_NOT_FOUND;
    }
    if (k->type != WEIR_GGUF_BOOL) {
        return WEIR_ERR_INVALID;
    }
    *out = gguf->data[k->at] != 0;
    return WEIR_OK;
}

/* The string whose length stands at that file offset; checked when the file was opened. */
static weir_str_t string_at(const weir_gguf_t *gguf, uint64_t at)
{
    uint64_t len;
    memcpy(&len, gguf->data + at, sizeof(len));
    return weir_str((const char *)gguf->data + at + sizeof(len), (size_t)len);
}

weir_status_t weir_gguf_str(const weir_gguf_t *gguf, const char *key, weir_str_t *out)
{
    const weir_gguf_key_t *k = find(gguf, key);
    if (k == NULL) {
        return WEIR_ERR_NOT_FOUND;
    }
    if (k->type != WEIR_GGUF_STRING) {
        return WEIR_ERR_INVALID;
    }
    *out = string_at(gguf, k->at);
    return WEIR_OK;
}

weir_status_t weir_gguf_array(const weir_gguf_t *gguf, const char *key, weir_gguf_type_t *type,
                              uint64_t *count)
{
    const weir_gguf_key_t *k = find(gguf, key);
    if (k == NULL) {
        return WEIR_ERR_NOT_FOUND;
    }
    if (k->type != WEIR_GGUF_ARRAY) {
        return WEIR_ERR_INVALID;
    }
    *type = (weir_gguf_type_t)k->element;
    *count = k->count;
    return WEIR_OK;
}

weir_status_t weir_gguf_array_str(const weir_gguf_t *gguf, const char *key, uint64_t i,
                                  weir_str_t *out)
{
    const weir_gguf_key_t *k = find(gguf, key);
    if (k == NULL) {
        return WEIR_ERR_NOT_FOUND;
    }
    if (k->type != WEIR_GGUF_ARRAY || k->element != WEIR_GGUF_STRING || i >= k->count) {
        return WEIR_ERR_INVALID;
    }
    *out = string_at(gguf, k->strings[i]);
    return WEIR_OK;
}

weir_status_t weir_gguf_array_f64(const weir_gguf_t *gguf, const char *key, uint64_t i, double *out)
{
    const weir_gguf_key_t *k = find(gguf, key);
    if (k == NULL) {
        return WEIR_ERR_NOT_FOUND;
    }
    if (k->type != WEIR_GGUF_ARRAY || k->element == WEIR_GGUF_STRING || i >= k->count) {
        return WEIR_ERR_INVALID;
    }
    uint32_t bytes = weir_gguf_scalar_bytes(k->element);
    if (k->element == WEIR_GGUF_BOOL) {
        *out = gguf->data[k->at + i];
        return WEIR_OK;
    }
    number_t n = read_number(gguf->data + k->at + i * bytes, k->element);
    *out = number_as_double(&n);
    return WEIR_OK;
}

static void describe_string(weir_str_t s, weir_buf_t *buf)
{
    const size_t most = 60;
    size_t i = 0;
    weir_buf_append_char(buf, '"');
    while (i < s.len && i < most) {
        uint32_t cp;
        int n = weir_utf8_decode(s.data + i, s.len - i, &cp);
        size_t step = (size_t)(n < 0 ? -n : n);
        if (cp == '\n') {
            weir_buf_append_z(buf, "\\n");
        } else if (cp < 0x20 || cp == 0x7F) {
            weir_buf_printf(buf, "\\x%02x", (unsigned)cp);
        } else if (n < 0) {
            weir_buf_append_z(buf, "\xEF\xBF\xBD");
        } else {
            weir_buf_append(buf, s.data + i, step);
        }
        i += step;
    }
    weir_buf_append_char(buf, '"');
    if (i < s.len) {
        weir_buf_printf(buf, "... (%zu bytes)", s.len);
    }
}

/* One value: at is the file offset of a scalar or of a string's length. */
static void describe_one(const weir_gguf_t *gguf, uint32_t type, uint64_t at, weir_buf_t *buf)
{
    if (type == WEIR_GGUF_STRING) {
        describe_string(string_at(gguf, at), buf);
        return;
    }
    if (type == WEIR_GGUF_BOOL) {
        weir_buf_append_z(buf, gguf->data[at] != 0 ? "true" : "false");
        return;
    }
    number_t n = read_number(gguf->data + at, type);
    if (n.kind == REAL) {
        weir_buf_printf(buf, "%g", n.d);
    } else if (n.kind == NEGATIVE) {
        weir_buf_printf(buf, "%lld", (long long)n.i);
    } else {
        weir_buf_printf(buf, "%llu", (unsigned long long)n.u);
    }
}

void weir_gguf_describe_value(const weir_gguf_t *gguf, uint32_t i, weir_buf_t *buf)
{
    if (i >= gguf->n_keys) {
        return;
    }
    const weir_gguf_key_t *k = &gguf->keys[i];
    if (k->type != WEIR_GGUF_ARRAY) {
        describe_one(gguf, k->type, k->at, buf);
        return;
    }
    const uint64_t most = 4;
    weir_buf_append_char(buf, '[');
    for (uint64_t j = 0; j < k->count && j < most; j++) {
        uint64_t at = k->element == WEIR_GGUF_STRING
                          ? k->strings[j]
                          : k->at + j * weir_gguf_scalar_bytes(k->element);
        weir_buf_append_z(buf, j == 0 ? "" : ", ");
        describe_one(gguf, k->element, at, buf);
    }
    weir_buf_append_z(buf, k->count > most ? ", ...]" : "]");
    if (k->count > most) {
        weir_buf_printf(buf, " (%llu elements)", (unsigned long long)k->count);
    }
}

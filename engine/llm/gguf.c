/*
 * Opening a GGUF file: every count, size, offset, type and string is checked against the bytes that
 * are there before anything is read or allocated by it. Nothing larger than a table whose size is
 * bounded by the file's own size is allocated.
 */
#include "engine/llm/gguf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define GGUF_MAGIC        "GGUF"
#define GGUF_VERSION      3u
#define MAX_KEYS          65536u
#define MAX_TENSORS       131072u
#define MAX_KEY_NAME      65535u /* both lengths are the format's own bounds */
#define MAX_TENSOR_NAME   64u
#define MAX_STRING        (64u << 20)
#define MAX_ALIGNMENT     (1u << 20)
#define DEFAULT_ALIGNMENT 32u

/* The least bytes that one more key (length, a letter, type, one byte) or tensor (length, a letter,
 * dimensions, one size, type, offset) takes: bounds their number before tables are allocated. */
#define LEAST_KEY    14u
#define LEAST_TENSOR 33u

typedef struct {
    weir_gguf_t *gguf;
    uint64_t at;
    weir_error_t *err;
} reader_t;

static uint64_t left(const reader_t *r)
{
    return r->gguf->size - r->at;
}

static weir_status_t truncated(reader_t *r, const char *what)
{
    return weir_error(r->err, WEIR_ERR_INVALID,
                      "the file ends inside %s at byte %llu; it is incomplete", what,
                      (unsigned long long)r->at);
}

static weir_status_t read_bytes(reader_t *r, void *out, size_t n, const char *what)
{
    if (left(r) < n) {
        return truncated(r, what);
    }
    memcpy(out, r->gguf->data + r->at, n);
    r->at += n;
    return WEIR_OK;
}

static weir_status_t read_u32(reader_t *r, uint32_t *out, const char *what)
{
    return read_bytes(r, out, sizeof(*out), what);
}

static weir_status_t read_u64(reader_t *r, uint64_t *out, const char *what)
{
    return read_bytes(r, out, sizeof(*out), what);
}

static weir_status_t read_string(reader_t *r, uint64_t max, weir_str_t *out, const char *what)
{
    uint64_t len = 0;
    weir_status_t status = read_u64(r, &len, what);
    if (status != WEIR_OK) {
        return status;
    }
    if (len > max) {
        return weir_error(
            r->err, WEIR_ERR_LIMIT, "%s at byte %llu claims %llu bytes, the limit is %llu", what,
            (unsigned long long)(r->at - 8), (unsigned long long)len, (unsigned long long)max);
    }
    if (len > left(r)) {
        return truncated(r, what);
    }
    *out = weir_str((const char *)r->gguf->data + r->at, (size_t)len);
    r->at += len;
    return WEIR_OK;
}

/* A name must be there and free of control characters, so that messages and listings are sound. */
static weir_status_t read_name(reader_t *r, uint64_t max, weir_str_t *out, const char *what)
{
    uint64_t at = r->at;
    weir_status_t status = read_string(r, max, out, what);
    if (status != WEIR_OK) {
        return status;
    }
    bool printable = out->len > 0;
    for (size_t i = 0; i < out->len; i++) {
        uint8_t c = (uint8_t)out->data[i];
        printable = printable && c >= 0x20 && c != 0x7F;
    }
    if (!printable) {
        return weir_error(r->err, WEIR_ERR_INVALID, "%s at byte %llu is empty or not printable",
                          what, (unsigned long long)at);
    }
    return WEIR_OK;
}

uint32_t weir_gguf_scalar_bytes(uint32_t type)
{
    switch (type) {
    case WEIR_GGUF_U8:
    case WEIR_GGUF_I8:
    case WEIR_GGUF_BOOL:
        return 1;
    case WEIR_GGUF_U16:
    case WEIR_GGUF_I16:
        return 2;
    case WEIR_GGUF_U32:
    case WEIR_GGUF_I32:
    case WEIR_GGUF_F32:
        return 4;
    case WEIR_GGUF_U64:
    case WEIR_GGUF_I64:
    case WEIR_GGUF_F64:
        return 8;
    default:
        return 0;
    }
}

static weir_status_t key_error(reader_t *r, weir_status_t status, const weir_gguf_key_t *key,
                               const char *what)
{
    return weir_error(r->err, status, "metadata key %.*s: %s",
                      (int)(key->name.len < 100 ? key->name.len : 100), key->name.data, what);
}

static weir_status_t check_bools(reader_t *r, const weir_gguf_key_t *key)
{
    for (uint64_t i = 0; i < key->count; i++) {
        if (r->gguf->data[key->at + i] > 1) {
            return key_error(r, WEIR_ERR_INVALID, key, "a boolean is neither 0 nor 1");
        }
    }
    return WEIR_OK;
}

static weir_status_t read_string_array(reader_t *r, weir_gguf_key_t *key)
{
    if (key->count > left(r) / 8) {
        return key_error(r, WEIR_ERR_INVALID, key, "the array is longer than the file");
    }
    uint64_t *offsets = weir_arena_calloc(&r->gguf->arena, (size_t)key->count, sizeof(*offsets));
    if (offsets == NULL) {
        return key_error(r, WEIR_ERR_NOMEM, key, "out of memory for the array");
    }
    for (uint64_t i = 0; i < key->count; i++) {
        weir_str_t s;
        offsets[i] = r->at;
        weir_status_t status = read_string(r, MAX_STRING, &s, "a string of a metadata array");
        if (status != WEIR_OK) {
            return status;
        }
    }
    key->strings = offsets;
    return WEIR_OK;
}

static weir_status_t read_array(reader_t *r, weir_gguf_key_t *key)
{
    uint32_t element = 0;
    weir_status_t status = read_u32(r, &element, "a metadata array");
    if (status == WEIR_OK) {
        status = read_u64(r, &key->count, "a metadata array");
    }
    if (status != WEIR_OK) {
        return status;
    }
    key->at = r->at;
    if (element == WEIR_GGUF_ARRAY) {
        return key_error(r, WEIR_ERR_UNSUPPORTED, key, "arrays of arrays are not supported");
    }
    if (element == WEIR_GGUF_STRING) {
        key->element = WEIR_GGUF_STRING;
        return read_string_array(r, key);
    }
    uint32_t bytes = weir_gguf_scalar_bytes(element);
    if (bytes == 0) {
        return key_error(r, WEIR_ERR_INVALID, key, "unknown type of array elements");
    }
    if (key->count > left(r) / bytes) {
        return key_error(r, WEIR_ERR_INVALID, key, "the array is longer than the file");
    }
    key->element = (uint8_t)element;
    r->at += key->count * bytes;
    return element == WEIR_GGUF_BOOL ? check_bools(r, key) : WEIR_OK;
}

static weir_status_t read_key(reader_t *r, weir_gguf_key_t *key)
{
    uint32_t type = 0;
    weir_status_t status = read_name(r, MAX_KEY_NAME, &key->name, "the name of a metadata key");
    if (status == WEIR_OK) {
        status = read_u32(r, &type, "a metadata key");
    }
    if (status != WEIR_OK) {
        return status;
    }
    key->count = 1;
    key->at = r->at;
    if (type > WEIR_GGUF_F64) {
        return key_error(r, WEIR_ERR_INVALID, key, "unknown value type");
    }
    key->type = (uint8_t)type;
    if (type == WEIR_GGUF_STRING) {
        weir_str_t value;
        return read_string(r, MAX_STRING, &value, "a metadata string");
    }
    if (type == WEIR_GGUF_ARRAY) {
        return read_array(r, key);
    }
    uint32_t bytes = weir_gguf_scalar_bytes(type);
    if (left(r) < bytes) {
        return truncated(r, "a metadata value");
    }
    r->at += bytes;
    return type == WEIR_GGUF_BOOL ? check_bools(r, key) : WEIR_OK;
}

static weir_status_t tensor_error(reader_t *r, weir_status_t status, const weir_gguf_tensor_t *t,
                                  const char *what)
{
    return weir_error(r->err, status, "tensor %.*s: %s", (int)t->name.len, t->name.data, what);
}

static weir_status_t read_dims(reader_t *r, weir_gguf_tensor_t *t, uint64_t *values)
{
    weir_status_t status = read_u32(r, &t->n_dims, "a tensor's description");
    if (status != WEIR_OK) {
        return status;
    }
    if (t->n_dims < 1 || t->n_dims > WEIR_GGUF_MAX_DIMS) {
        return tensor_error(r, WEIR_ERR_INVALID, t, "it must have 1 to 4 dimensions");
    }
    *values = 1;
    for (uint32_t i = 0; i < WEIR_GGUF_MAX_DIMS; i++) {
        t->dims[i] = 1;
        if (i < t->n_dims) {
            status = read_u64(r, &t->dims[i], "a tensor's description");
        }
        if (status != WEIR_OK) {
            return status;
        }
        if (t->dims[i] == 0 || __builtin_mul_overflow(*values, t->dims[i], values) ||
            *values > INT64_MAX) {
            return tensor_error(r, WEIR_ERR_INVALID, t, "a dimension is zero or too large");
        }
    }
    return WEIR_OK;
}

/* data keeps the offset from the start of the data until its place is known. */
static weir_status_t read_tensor(reader_t *r, weir_gguf_tensor_t *t, uint64_t *offset)
{
    weir_status_t status = read_name(r, MAX_TENSOR_NAME, &t->name, "the name of a tensor");
    uint64_t values = 0;
    uint32_t type = 0;
    if (status == WEIR_OK) {
        status = read_dims(r, t, &values);
    }
    if (status == WEIR_OK) {
        status = read_u32(r, &type, "a tensor's description");
    }
    if (status == WEIR_OK) {
        status = read_u64(r, offset, "a tensor's description");
    }
    if (status != WEIR_OK) {
        return status;
    }
    if (!weir_dtype_supported(type)) {
        return weir_error(r->err, WEIR_ERR_UNSUPPORTED,
                          "tensor %.*s has type %u, which is not supported (supported: F32, F16, "
                          "BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q4_K, Q6_K)",
                          (int)t->name.len, t->name.data, type);
    }
    t->type = (weir_dtype_t)type;
    uint32_t block = weir_dtype_block_values(type);
    if (t->dims[0] % block != 0) {
        return tensor_error(r, WEIR_ERR_INVALID, t, "its rows are no multiple of the type's block");
    }
    if (__builtin_mul_overflow(values / block, (uint64_t)weir_dtype_block_bytes(type), &t->bytes)) {
        return tensor_error(r, WEIR_ERR_INVALID, t, "its size overflows");
    }
    return WEIR_OK;
}

/* Offsets must ascend without overlap, each aligned, each tensor inside the file. */
static weir_status_t place_tensors(reader_t *r, const uint64_t *offsets)
{
    weir_gguf_t *g = r->gguf;
    uint64_t start = (r->at + g->alignment - 1) / g->alignment * g->alignment;
    uint64_t previous_end = 0;
    if (g->n_tensors > 0 && start > g->size) {
        return truncated(r, "the padding in front of the tensors");
    }
    for (uint32_t i = 0; i < g->n_tensors; i++) {
        weir_gguf_tensor_t *t = &g->tensors[i];
        uint64_t offset = offsets[i];
        if (offset % g->alignment != 0) {
            return tensor_error(r, WEIR_ERR_INVALID, t, "its offset is not aligned");
        }
        if (offset < previous_end) {
            return tensor_error(r, WEIR_ERR_INVALID, t, "it overlaps the tensor before it");
        }
        if (offset > g->size - start || t->bytes > g->size - start - offset) {
            return tensor_error(r, WEIR_ERR_INVALID, t,
                                "it reaches beyond the end of the file; the file is incomplete");
        }
        previous_end = offset + t->bytes;
        t->data = g->data + start + offset;
    }
    return WEIR_OK;
}

int weir_gguf_compare_names(weir_str_t a, weir_str_t b)
{
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_key_name(const void *a, const void *b, void *keys)
{
    const weir_gguf_key_t *k = keys;
    return weir_gguf_compare_names(k[*(const uint32_t *)a].name, k[*(const uint32_t *)b].name);
}

static int by_tensor_name(const void *a, const void *b, void *tensors)
{
    const weir_gguf_tensor_t *t = tensors;
    return weir_gguf_compare_names(t[*(const uint32_t *)a].name, t[*(const uint32_t *)b].name);
}

/* Indices 0..n-1 sorted by compare(.., items); NULL when out of memory. */
static uint32_t *sorted_indices(weir_arena_t *arena, uint32_t n, void *items,
                                int (*compare)(const void *, const void *, void *))
{
    uint32_t *order = weir_arena_calloc(arena, n, sizeof(*order));
    if (order != NULL) {
        for (uint32_t i = 0; i < n; i++) {
            order[i] = i;
        }
        qsort_r(order, n, sizeof(*order), compare, items);
    }
    return order;
}

static weir_status_t read_keys(reader_t *r)
{
    weir_gguf_t *g = r->gguf;
    g->keys = weir_arena_calloc(&g->arena, g->n_keys, sizeof(*g->keys));
    if (g->keys == NULL) {
        return weir_error(r->err, WEIR_ERR_NOMEM, "out of memory for %u metadata keys", g->n_keys);
    }
    for (uint32_t i = 0; i < g->n_keys; i++) {
        weir_status_t status = read_key(r, &g->keys[i]);
        if (status != WEIR_OK) {
            return status;
        }
    }
    g->keys_by_name = sorted_indices(&g->arena, g->n_keys, g->keys, by_key_name);
    if (g->keys_by_name == NULL) {
        return weir_error(r->err, WEIR_ERR_NOMEM, "out of memory for %u metadata keys", g->n_keys);
    }
    for (uint32_t i = 1; i < g->n_keys; i++) {
        const weir_gguf_key_t *key = &g->keys[g->keys_by_name[i]];
        if (weir_str_eq(key->name, g->keys[g->keys_by_name[i - 1]].name)) {
            return key_error(r, WEIR_ERR_INVALID, key, "it occurs twice");
        }
    }
    return WEIR_OK;
}

static weir_status_t read_alignment(reader_t *r)
{
    uint32_t alignment = DEFAULT_ALIGNMENT;
    weir_status_t status = weir_gguf_u32(r->gguf, "general.alignment", &alignment);
    bool power_of_two = alignment != 0 && (alignment & (alignment - 1)) == 0;
    if (status == WEIR_ERR_INVALID || !power_of_two || alignment < 8 || alignment > MAX_ALIGNMENT) {
        return weir_error(r->err, WEIR_ERR_INVALID,
                          "general.alignment must be a power of two from 8 to %u", MAX_ALIGNMENT);
    }
    r->gguf->alignment = alignment;
    return WEIR_OK;
}

static weir_status_t read_tensors(reader_t *r)
{
    weir_gguf_t *g = r->gguf;
    uint64_t *offsets = weir_arena_calloc(&g->arena, g->n_tensors, sizeof(*offsets));
    g->tensors = weir_arena_calloc(&g->arena, g->n_tensors, sizeof(*g->tensors));
    if (g->tensors == NULL || offsets == NULL) {
        return weir_error(r->err, WEIR_ERR_NOMEM, "out of memory for %u tensors", g->n_tensors);
    }
    for (uint32_t i = 0; i < g->n_tensors; i++) {
        weir_status_t status = read_tensor(r, &g->tensors[i], &offsets[i]);
        if (status != WEIR_OK) {
            return status;
        }
    }
    g->tensors_by_name = sorted_indices(&g->arena, g->n_tensors, g->tensors, by_tensor_name);
    if (g->tensors_by_name == NULL) {
        return weir_error(r->err, WEIR_ERR_NOMEM, "out of memory for %u tensors", g->n_tensors);
    }
    for (uint32_t i = 1; i < g->n_tensors; i++) {
        const weir_gguf_tensor_t *t = &g->tensors[g->tensors_by_name[i]];
        if (weir_str_eq(t->name, g->tensors[g->tensors_by_name[i - 1]].name)) {
            return tensor_error(r, WEIR_ERR_INVALID, t, "it occurs twice");
        }
    }
    return place_tensors(r, offsets);
}

static weir_status_t read_header(reader_t *r)
{
    char magic[4];
    uint32_t version = 0;
    uint64_t n_tensors = 0;
    uint64_t n_keys = 0;
    weir_status_t status = read_bytes(r, magic, sizeof(magic), "the header");
    if (status == WEIR_OK && memcmp(magic, GGUF_MAGIC, 4) != 0) {
        return weir_error(r->err, WEIR_ERR_INVALID, "not a GGUF file (it does not begin with %s)",
                          GGUF_MAGIC);
    }
    if (status == WEIR_OK) {
        status = read_u32(r, &version, "the header");
    }
    if (status == WEIR_OK && version == __builtin_bswap32(GGUF_VERSION)) {
        return weir_error(r->err, WEIR_ERR_UNSUPPORTED, "big-endian GGUF files are not supported");
    }
    if (status == WEIR_OK && version != GGUF_VERSION) {
        return weir_error(r->err, WEIR_ERR_UNSUPPORTED,
                          "GGUF version %u is not supported, only version %u", version,
                          GGUF_VERSION);
    }
    if (status == WEIR_OK) {
        status = read_u64(r, &n_tensors, "the header");
    }
    if (status == WEIR_OK) {
        status = read_u64(r, &n_keys, "the header");
    }
    if (status != WEIR_OK) {
        return status;
    }
    if (n_keys > MAX_KEYS || n_tensors > MAX_TENSORS) {
        return weir_error(r->err, WEIR_ERR_LIMIT,
                          "the header claims %llu metadata keys and %llu tensors, the limits are "
                          "%u and %u",
                          (unsigned long long)n_keys, (unsigned long long)n_tensors, MAX_KEYS,
                          MAX_TENSORS);
    }
    if (n_keys * LEAST_KEY + n_tensors * LEAST_TENSOR > left(r)) {
        return weir_error(r->err, WEIR_ERR_INVALID,
                          "the header claims more keys and tensors than the file can hold");
    }
    r->gguf->n_keys = (uint32_t)n_keys;
    r->gguf->n_tensors = (uint32_t)n_tensors;
    return WEIR_OK;
}

static weir_status_t read_all(weir_gguf_t *gguf, weir_error_t *err)
{
    reader_t r = {.gguf = gguf, .err = err};
    weir_status_t status = read_header(&r);
    if (status == WEIR_OK) {
        status = read_keys(&r);
    }
    if (status == WEIR_OK) {
        status = read_alignment(&r);
    }
    if (status == WEIR_OK) {
        status = read_tensors(&r);
    }
    return status;
}

/* Takes over the mapping, also on failure. */
static weir_status_t open_data(const void *data, uint64_t size, bool mapped, const char *name,
                               weir_gguf_t **out, weir_error_t *err)
{
    weir_error_t local = {.status = WEIR_OK};
    weir_gguf_t *gguf = calloc(1, sizeof(*gguf));
    if (gguf == NULL) {
        if (mapped) {
            munmap((void *)(uintptr_t)data, (size_t)size);
        }
        return weir_error(err, WEIR_ERR_NOMEM, "%s: out of memory", name);
    }
    gguf->data = data;
    gguf->size = size;
    gguf->mapped = mapped;
    weir_arena_init(&gguf->arena, 0, 0);
    weir_status_t status = read_all(gguf, &local);
    if (status != WEIR_OK) {
        weir_gguf_close(gguf);
        return weir_error(err, status, "%.80s: %s", name, local.message);
    }
    *out = gguf;
    return WEIR_OK;
}

weir_status_t weir_gguf_open_memory(const void *data, size_t len, weir_gguf_t **out,
                                    weir_error_t *err)
{
    if ((uintptr_t)data % DEFAULT_ALIGNMENT != 0) {
        return weir_error(err, WEIR_ERR_INVALID, "the memory of a GGUF file must be aligned to %u",
                          DEFAULT_ALIGNMENT);
    }
    return open_data(data, len, false, "memory", out, err);
}

weir_status_t weir_gguf_open_fd(int fd, const char *name, weir_gguf_t **out, weir_error_t *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return weir_error(err, WEIR_ERR_IO, "%.80s: cannot stat: %s", name, strerror(errno));
    }
    if (!S_ISREG(st.st_mode) || st.st_size == 0) {
        return weir_error(err, WEIR_ERR_INVALID, "%.80s: %s", name,
                          S_ISREG(st.st_mode) ? "the file is empty" : "not a regular file");
    }
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
        return weir_error(err, WEIR_ERR_IO, "%.80s: cannot map the file: %s", name,
                          strerror(errno));
    }
    return open_data(data, (uint64_t)st.st_size, true, name, out, err);
}

weir_status_t weir_gguf_open(const char *path, weir_gguf_t **out, weir_error_t *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return weir_error(err, WEIR_ERR_IO, "cannot open %.150s: %s", path, strerror(errno));
    }
    weir_status_t status = weir_gguf_open_fd(fd, path, out, err);
    close(fd);
    return status;
}

void weir_gguf_close(weir_gguf_t *gguf)
{
    if (gguf == NULL) {
        return;
    }
    if (gguf->mapped) {
        munmap((void *)(uintptr_t)gguf->data, (size_t)gguf->size);
    }
    weir_arena_free(&gguf->arena);
    free(gguf);
}

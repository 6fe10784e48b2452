/*
 * GGUF v3 reader: maps a file read-only and gives checked views of its metadata and tensors.
 * Source of the format: ggml-org/ggml docs/gguf.md. All counts, offsets, types and strings are
 * checked against the file's size before use; nothing is copied but small tables.
 */
#ifndef WEIR_LLM_GGUF_H
#define WEIR_LLM_GGUF_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/llm/quant.h"

typedef struct weir_gguf weir_gguf_t;

typedef enum {
    WEIR_GGUF_U8 = 0,
    WEIR_GGUF_I8,
    WEIR_GGUF_U16,
    WEIR_GGUF_I16,
    WEIR_GGUF_U32,
    WEIR_GGUF_I32,
    WEIR_GGUF_F32,
    WEIR_GGUF_BOOL,
    WEIR_GGUF_STRING,
    WEIR_GGUF_ARRAY,
    WEIR_GGUF_U64,
    WEIR_GGUF_I64,
    WEIR_GGUF_F64
} weir_gguf_type_t;

#define WEIR_GGUF_MAX_DIMS 4

typedef struct {
    weir_str_t name;
    weir_dtype_t type;
    uint32_t n_dims;
    uint64_t dims[WEIR_GGUF_MAX_DIMS]; /* fastest first; unused ones are 1 */
    const void *data;                  /* inside the mapping, aligned to the file's alignment */
    uint64_t bytes;
} weir_gguf_tensor_t;

/*
 * Maps the file at path and validates everything but the weights' values. *out is freed by
 * weir_gguf_close. Errors: IO, INVALID, LIMIT, UNSUPPORTED (big endian, versions other than 3,
 * unknown tensor types), NOMEM. The message names the key or tensor at fault.
 */
weir_status_t weir_gguf_open(const char *path, weir_gguf_t **out, weir_error_t *err);

/* The same on an open descriptor, which stays the caller's and may be closed afterwards; name is
 * for messages. */
weir_status_t weir_gguf_open_fd(int fd, const char *name, weir_gguf_t **out, weir_error_t *err);

/* The same on memory that the caller keeps alive until close; data must be aligned to 32. */
weir_status_t weir_gguf_open_memory(const void *data, size_t len, weir_gguf_t **out,
                                    weir_error_t *err);

/* Unmaps; every view of the file ends. NULL is allowed. */
void weir_gguf_close(weir_gguf_t *gguf);

uint64_t weir_gguf_file_bytes(const weir_gguf_t *gguf);
uint32_t weir_gguf_tensor_count(const weir_gguf_t *gguf);
const weir_gguf_tensor_t *weir_gguf_tensor_at(const weir_gguf_t *gguf, uint32_t i);

/* The tensor of that name or NULL. */
const weir_gguf_tensor_t *weir_gguf_tensor(const weir_gguf_t *gguf, const char *name);

uint32_t weir_gguf_key_count(const weir_gguf_t *gguf);
weir_str_t weir_gguf_key_name(const weir_gguf_t *gguf, uint32_t i);
weir_gguf_type_t weir_gguf_key_type(const weir_gguf_t *gguf, uint32_t i);

/*
 * Typed look-ups by key. Each returns WEIR_OK, WEIR_ERR_NOT_FOUND (no such key; *out untouched),
 * or WEIR_ERR_INVALID (other type, or a value that does not fit). Integer look-ups accept every
 * integer type; f32 accepts every number.
 */
weir_status_t weir_gguf_u32(const weir_gguf_t *gguf, const char *key, uint32_t *out);
weir_status_t weir_gguf_u64(const weir_gguf_t *gguf, const char *key, uint64_t *out);
weir_status_t weir_gguf_f32(const weir_gguf_t *gguf, const char *key, float *out);
weir_status_t weir_gguf_bool(const weir_gguf_t *gguf, const char *key, bool *out);
weir_status_t weir_gguf_str(const weir_gguf_t *gguf, const char *key, weir_str_t *out);

/* An array key: element type and count; elements by index through the two calls below. */
weir_status_t weir_gguf_array(const weir_gguf_t *gguf, const char *key, weir_gguf_type_t *type,
                              uint64_t *count);

/* Element i of a string array: constant time (offsets are indexed at open). */
weir_status_t weir_gguf_array_str(const weir_gguf_t *gguf, const char *key, uint64_t i,
                                  weir_str_t *out);

/* Elements of a numeric array converted to double. */
weir_status_t weir_gguf_array_f64(const weir_gguf_t *gguf, const char *key, uint64_t i,
                                  double *out);

/* Prints value i of the metadata in readable form, arrays shortened, into buf. */
void weir_gguf_describe_value(const weir_gguf_t *gguf, uint32_t i, weir_buf_t *buf);

#endif

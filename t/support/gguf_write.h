/*
 * Writes GGUF v3 files for tests: sound ones by default, and broken ones where a test asks for raw
 * bytes. Everything is kept in the arena; when it is exhausted, the buffer's `failed` says so.
 */
#ifndef WEIR_T_GGUF_WRITE_H
#define WEIR_T_GGUF_WRITE_H

#include "engine/llm/gguf.h"

#define GGUF_WRITE_MAX_KEYS    128
#define GGUF_WRITE_MAX_TENSORS 512

typedef struct {
    char name[96];
    uint64_t name_len; /* as the file will claim */
    uint32_t type;
    weir_buf_t value; /* encoded */
} gguf_write_key_t;

typedef struct {
    char name[96];
    uint64_t name_len; /* as the file will claim */
    uint32_t n_dims;
    uint64_t dims[8];
    uint32_t type;
    uint64_t offset; /* from the start of the data, as the file will claim */
    uint64_t place;  /* where the data really goes */
    const void *data;
    uint64_t bytes;
} gguf_write_tensor_t;

typedef struct {
    weir_arena_t *arena;
    uint32_t version;    /* 3 */
    uint32_t alignment;  /* 32; also written as general.alignment when it differs */
    uint64_t data_bytes; /* of all tensors with their padding */
    int64_t more_keys;   /* added to the header's counts: claims of what is not there */
    int64_t more_tensors;
    bool failed;
    uint32_t n_keys;
    uint32_t n_tensors;
    gguf_write_key_t keys[GGUF_WRITE_MAX_KEYS];
    gguf_write_tensor_t tensors[GGUF_WRITE_MAX_TENSORS];
} gguf_write_t;

void gguf_write_init(gguf_write_t *w, weir_arena_t *arena);

void gguf_write_u32(gguf_write_t *w, const char *key, uint32_t value);
void gguf_write_u64(gguf_write_t *w, const char *key, uint64_t value);
void gguf_write_i32(gguf_write_t *w, const char *key, int32_t value);
void gguf_write_f32(gguf_write_t *w, const char *key, float value);
void gguf_write_bool(gguf_write_t *w, const char *key, bool value);
void gguf_write_str(gguf_write_t *w, const char *key, weir_str_t value);
void gguf_write_str_array(gguf_write_t *w, const char *key, const weir_str_t *values, uint64_t n);
void gguf_write_i32_array(gguf_write_t *w, const char *key, const int32_t *values, uint64_t n);

/* A key with any type number and any bytes as its value. */
void gguf_write_raw(gguf_write_t *w, const char *key, uint32_t type, const void *value, size_t len);

/* The entry of that name for a test to change; NULL when there is none. */
gguf_write_key_t *gguf_write_find_key(gguf_write_t *w, const char *key);
gguf_write_tensor_t *gguf_write_find_tensor(gguf_write_t *w, const char *name);

/* Takes an entry out again; a tensor's data stays as a gap. */
void gguf_write_drop_key(gguf_write_t *w, const char *key);
void gguf_write_drop_tensor(gguf_write_t *w, const char *name);

/* Adds a tensor whose data (bytes long) the caller keeps until gguf_write_finish. */
gguf_write_tensor_t *gguf_write_tensor(gguf_write_t *w, const char *name, uint32_t type,
                                       uint32_t n_dims, const uint64_t *dims, const void *data,
                                       uint64_t bytes);

/* Appends the whole file to out. */
void gguf_write_finish(gguf_write_t *w, weir_buf_t *out);

#endif

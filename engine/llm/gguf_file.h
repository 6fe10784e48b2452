/*
 * Inside gguf*.c only: what the reader keeps of an opened file.
 */
#ifndef WEIR_LLM_GGUF_FILE_H
#define WEIR_LLM_GGUF_FILE_H

#include "engine/llm/gguf.h"

typedef struct {
    weir_str_t name;
    uint8_t type;            /* weir_gguf_type_t */
    uint8_t element;         /* arrays: weir_gguf_type_t of the elements */
    uint64_t count;          /* arrays: elements; otherwise 1 */
    uint64_t at;             /* file offset of the value; arrays: of the first element */
    const uint64_t *strings; /* string arrays: file offset of each element's length */
} weir_gguf_key_t;

struct weir_gguf {
    const uint8_t *data;
    uint64_t size;
    bool mapped; /* data is ours to unmap */
    uint64_t alignment;
    weir_arena_t arena; /* holds the tables below */
    weir_gguf_key_t *keys;
    uint32_t n_keys;
    uint32_t *keys_by_name; /* indices, ascending by name */
    weir_gguf_tensor_t *tensors;
    uint32_t n_tensors;
    uint32_t *tensors_by_name;
};

/* Bytes of a scalar value; 0 for strings, arrays and unknown types. */
uint32_t weir_gguf_scalar_bytes(uint32_t type);

/* The key of that name or NULL. */
const weir_gguf_key_t *weir_gguf_find_key(const weir_gguf_t *gguf, weir_str_t name);

/* Total order of names, by bytes. */
int weir_gguf_compare_names(weir_str_t a, weir_str_t b);

#endif

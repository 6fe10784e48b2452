/*
 * Model files: opening, linking the model, building the tokenizer, reading every value and weight.
 * The mutator knows where counts, lengths, types and offsets lie and prefers them.
 */
#include <stdlib.h>

#include "engine/llm/model.h"
#include "engine/llm/tokenizer.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static void look_at_values(const weir_gguf_t *gguf, weir_arena_t *arena)
{
    weir_buf_t text;
    weir_buf_init(&text, arena);
    for (uint32_t i = 0; i < weir_gguf_key_count(gguf); i++) {
        weir_str_t name = weir_gguf_key_name(gguf, i);
        char *key = weir_arena_strndup(arena, name.data, name.len);
        weir_gguf_type_t type;
        uint64_t count;
        weir_gguf_describe_value(gguf, i, &text);
        if (key == NULL || weir_gguf_array(gguf, key, &type, &count) != WEIR_OK || count == 0) {
            continue;
        }
        weir_str_t s = {0};
        double d = 0;
        weir_status_t status = type == WEIR_GGUF_STRING
                                   ? weir_gguf_array_str(gguf, key, count - 1, &s)
                                   : weir_gguf_array_f64(gguf, key, count - 1, &d);
        if (status != WEIR_OK) {
            abort();
        }
    }
}

static void look_at_weights(const weir_gguf_t *gguf)
{
    for (uint32_t i = 0; i < weir_gguf_tensor_count(gguf); i++) {
        const weir_gguf_tensor_t *t = weir_gguf_tensor_at(gguf, i);
        float values[256];
        uint32_t n = weir_dtype_block_values(t->type);
        const uint8_t *last = (const uint8_t *)t->data + t->bytes - weir_dtype_block_bytes(t->type);
        weir_dequantize(t->type, t->data, values, n);
        weir_dequantize(t->type, last, values, n);
    }
}

static void look_at(const weir_gguf_t *gguf, weir_arena_t *arena)
{
    weir_error_t err;
    weir_model_t *model;
    weir_tokenizer_t *tokenizer;
    look_at_values(gguf, arena);
    look_at_weights(gguf);
    if (weir_model_load(gguf, arena, &model, &err) == WEIR_OK && model->rope.dims <= 256) {
        double frequencies[128];
        double scale;
        weir_rope_frequencies(&model->rope, frequencies, &scale);
    }
    if (weir_tokenizer_open(gguf, &tokenizer, &err) == WEIR_OK) {
        int32_t *ids;
        size_t count;
        weir_tokenizer_encode(tokenizer, WEIR_STR("Hello, <|im_end|> 123"), NULL, 0, true, 0, arena,
                              &ids, &count, &err);
        weir_tokenizer_close(tokenizer);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void *copy = NULL;
    if (posix_memalign(&copy, 32, size == 0 ? 1 : size) != 0) {
        return 0;
    }
    memcpy(copy, data, size);
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 256u << 20);
    weir_gguf_t *gguf;
    weir_error_t err;
    if (weir_gguf_open_memory(copy, size, &gguf, &err) == WEIR_OK) {
        look_at(gguf, &arena);
        weir_gguf_close(gguf);
    } else if (err.message[0] == '\0') {
        abort();
    }
    weir_arena_free(&arena);
    free(copy);
    return 0;
}

/* Where numbers that steer the reader lie, as far as the file can be followed. */
typedef struct {
    const uint8_t *data;
    size_t size;
    size_t at;
    size_t fields[256];
    uint8_t bytes[256];
    size_t n;
} walk_t;

static uint64_t field(walk_t *w, size_t bytes)
{
    uint64_t value = 0;
    if (w->size - w->at < bytes) {
        w->at = w->size;
        return 0;
    }
    memcpy(&value, w->data + w->at, bytes);
    if (w->n < 256) {
        w->fields[w->n] = w->at;
        w->bytes[w->n++] = (uint8_t)bytes;
    }
    w->at += bytes;
    return value;
}

static void skip(walk_t *w, uint64_t bytes)
{
    w->at = bytes > w->size - w->at ? w->size : w->at + (size_t)bytes;
}

static void walk_value(walk_t *w, uint64_t type)
{
    static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == WEIR_GGUF_STRING) {
        skip(w, field(w, 8));
    } else if (type == WEIR_GGUF_ARRAY) {
        uint64_t element = field(w, 4);
        uint64_t count = field(w, 8);
        for (uint64_t i = 0; element == WEIR_GGUF_STRING && i < count && w->at < w->size; i++) {
            uint64_t len = 0;
            if (i < 3) {
                len = field(w, 8);
            } else if (w->size - w->at >= 8) {
                memcpy(&len, w->data + w->at, 8);
                w->at += 8;
            }
            skip(w, w->size - w->at < 8 ? w->size : len);
        }
        if (element < sizeof(sizes) && element != WEIR_GGUF_STRING && count < w->size) {
            skip(w, count * sizes[element]);
        }
    } else if (type < sizeof(sizes)) {
        field(w, sizes[type]);
    }
}

static void walk_file(walk_t *w)
{
    skip(w, 4);
    field(w, 4);
    uint64_t n_tensors = field(w, 8);
    uint64_t n_keys = field(w, 8);
    for (uint64_t i = 0; i < n_keys && w->at < w->size; i++) {
        skip(w, field(w, 8));
        walk_value(w, field(w, 4));
    }
    for (uint64_t i = 0; i < n_tensors && w->at < w->size; i++) {
        skip(w, field(w, 8));
        uint64_t n_dims = field(w, 4);
        for (uint64_t d = 0; d < n_dims && d < 8; d++) {
            field(w, 8);
        }
        field(w, 4);
        field(w, 8);
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    static const uint64_t special[] = {0,
                                       1,
                                       2,
                                       3,
                                       8,
                                       12,
                                       31,
                                       32,
                                       64,
                                       255,
                                       0x7FFFFFFF,
                                       0x80000000,
                                       0xFFFFFFFF,
                                       0x100000000,
                                       0x4000000000000000,
                                       0x7FFFFFFFFFFFFFFF,
                                       0x8000000000000000,
                                       0xFFFFFFFFFFFFFFE0,
                                       0xFFFFFFFFFFFFFFFF};
    walk_t w = {.data = data, .size = size};
    if (size >= 24 && seed % 4 != 0) {
        walk_file(&w);
    }
    if (w.n == 0) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    size_t which = seed / 4 % w.n;
    uint64_t value = 0;
    memcpy(&value, data + w.fields[which], w.bytes[which]);
    uint32_t how = seed / 1024 % 24;
    value = how < 19 ? special[how] : how < 22 ? value + how - 20 : value * 2;
    memcpy(data + w.fields[which], &value, w.bytes[which]);
    return size;
}

/*
 * Broken model files. Each is a sound tiny model with one thing wrong; opening the file, linking
 * the model and building the tokenizer must end in an error that names the fault. The bytes lie in
 * allocations of exactly their size, so that the sanitizers see every step outside.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/llm/model.h"
#include "engine/llm/tokenizer.h"
#include "t/support/tap.h"
#include "t/support/tiny_model.h"

typedef enum {
    VERSION,   /* the header's version becomes n */
    MORE_KEYS, /* n more than there are, as int64 */
    MORE_TENSORS,
    DROP_KEY,
    RENAME_KEY,   /* to text */
    KEY_NAME_LEN, /* claims n bytes */
    KEY_TYPE,     /* the type number becomes n, the value stays */
    SET_U32,      /* a key of that type with value n, in place of what there is */
    SET_I32,
    SET_F32, /* the value of text */
    SET_STR,
    SET_BOOL,
    VALUE_U64,     /* the first eight bytes of the value: a string's length */
    ELEMENT_TYPE,  /* of an array */
    ARRAY_COUNT,   /* of an array */
    ELEMENT_U64,   /* the first eight bytes of an array's first element */
    ELEMENT_BYTE,  /* the first byte behind those: of the first string's text */
    ADD_U32_ARRAY, /* an array of that type that claims n elements and has one */
    DROP_TENSOR,
    RENAME_TENSOR,
    TENSOR_NAME_LEN,
    N_DIMS,
    DIM0,
    DIM1,
    DIM2,
    TENSOR_TYPE,
    OFFSET,      /* claims n */
    OFFSET_MORE, /* claims n more than right, as int64 */
    ADD_TENSOR   /* an F32 vector of n values, the middle one that of text */
} how_t;

typedef struct {
    const char *name;
    const char *arch;
    how_t how;
    const char *entry; /* the key or tensor */
    uint64_t n;
    const char *text;
    const char *expect; /* part of the message */
} broken_t;

#define MINUS(x) ((uint64_t)0 - (x))
#define HUGE     (UINT64_C(1) << 62)

static const broken_t broken[] = {
    /* The header. */
    {"version 1", "llama", VERSION, NULL, 1, NULL, "version 1 is not supported"},
    {"version 4", "llama", VERSION, NULL, 4, NULL, "version 4 is not supported"},
    {"big endian", "llama", VERSION, NULL, 0x03000000, NULL, "big-endian"},
    {"2^62 keys", "llama", MORE_KEYS, NULL, HUGE, NULL, "the limits are"},
    {"-1 keys", "llama", MORE_KEYS, NULL, MINUS(100), NULL, "the limits are"},
    {"60000 keys claimed", "llama", MORE_KEYS, NULL, 60000, NULL, "more keys and tensors than"},
    {"2^62 tensors", "llama", MORE_TENSORS, NULL, HUGE, NULL, "the limits are"},
    {"120000 tensors claimed", "llama", MORE_TENSORS, NULL, 120000, NULL,
     "more keys and tensors than"},
    {"one key too many", "llama", MORE_KEYS, NULL, 1, NULL, "the name of a tensor"},
    {"one key too few", "llama", MORE_KEYS, NULL, MINUS(1), NULL, "must have 1 to 4 dimensions"},
    {"one tensor too many", "llama", MORE_TENSORS, NULL, 1, NULL, "the name of a tensor"},
    {"one tensor too few", "llama", MORE_TENSORS, NULL, MINUS(1), NULL,
     "output_norm.weight is missing"},
    /* Metadata. */
    {"key name of 2^64-1 bytes", "llama", KEY_NAME_LEN, "general.name", UINT64_MAX, NULL,
     "the limit is 65535"},
    {"key name of 64 KiB", "llama", KEY_NAME_LEN, "general.name", 65536, NULL,
     "the limit is 65535"},
    {"key name into the next", "llama", KEY_NAME_LEN, "general.name", 40, NULL, "not printable"},
    {"empty key name", "llama", RENAME_KEY, "general.name", 0, "", "is empty or not printable"},
    {"control character in a key", "llama", RENAME_KEY, "general.name", 0, "a\nb", "not printable"},
    {"duplicate key", "llama", RENAME_KEY, "general.name", 0, "llama.block_count",
     "it occurs twice"},
    {"value type 13", "llama", KEY_TYPE, "general.name", 13, NULL,
     "general.name: unknown value type"},
    {"value type 2^31", "llama", KEY_TYPE, "general.name", 1u << 31, NULL, "unknown value type"},
    {"string of 2^62 bytes", "llama", VALUE_U64, "general.name", HUGE, NULL,
     "the limit is 67108864"},
    {"string of 64 MiB", "llama", VALUE_U64, "general.name", (64u << 20) + 1, NULL,
     "the limit is 67108864"},
    {"string longer than the file", "llama", VALUE_U64, "general.name", 10u << 20, NULL,
     "the file ends inside"},
    {"string type 12", "llama", KEY_TYPE, "general.name", WEIR_GGUF_F64, NULL,
     "the name of a metadata key"},
    {"boolean 2", "llama", KEY_TYPE, "llama.block_count", WEIR_GGUF_BOOL, NULL, "neither 0 nor 1"},
    {"array of arrays", "llama", ELEMENT_TYPE, "tokenizer.ggml.tokens", WEIR_GGUF_ARRAY, NULL,
     "arrays of arrays"},
    {"array of type 77", "llama", ELEMENT_TYPE, "tokenizer.ggml.tokens", 77, NULL,
     "unknown type of array elements"},
    {"array of 2^62 strings", "llama", ARRAY_COUNT, "tokenizer.ggml.tokens", HUGE, NULL,
     "longer than the file"},
    {"array of 2^61 numbers", "llama", ADD_U32_ARRAY, "x.y", UINT64_C(1) << 61, NULL,
     "longer than the file"},
    {"array of one number too many", "llama", ARRAY_COUNT, "tokenizer.ggml.token_type", 100000,
     NULL, "longer than the file"},
    {"array of booleans that are none", "llama", ELEMENT_TYPE, "tokenizer.ggml.token_type",
     WEIR_GGUF_BOOL, NULL, "neither 0 nor 1"},
    {"string of an array, 2^62 bytes", "llama", ELEMENT_U64, "tokenizer.ggml.tokens", HUGE, NULL,
     "the limit is 67108864"},
    {"string of an array, longer than the file", "llama", ELEMENT_U64, "tokenizer.ggml.tokens",
     1u << 25, NULL, "the file ends inside"},
    {"alignment 0", "llama", SET_U32, "general.alignment", 0, NULL, "power of two"},
    {"alignment 1", "llama", SET_U32, "general.alignment", 1, NULL, "power of two"},
    {"alignment 24", "llama", SET_U32, "general.alignment", 24, NULL, "power of two"},
    {"alignment 2 MiB", "llama", SET_U32, "general.alignment", 2u << 20, NULL, "power of two"},
    {"alignment -32", "llama", SET_I32, "general.alignment", MINUS(32), NULL, "power of two"},
    {"alignment a string", "llama", SET_STR, "general.alignment", 0, "32", "power of two"},
    {"alignment 1 MiB, data not", "llama", SET_U32, "general.alignment", 1u << 20, NULL,
     "the file ends inside"},
    /* The directory of tensors. */
    {"tensor name of 65 bytes", "llama", RENAME_TENSOR, "blk.0.attn_q.weight", 0,
     "blk.0.attn_q.weight_with_a_name_that_is_longer_than_64_bytes_by_1", "the limit is 64"},
    {"tensor name of 2^64-1 bytes", "llama", TENSOR_NAME_LEN, "blk.0.attn_q.weight", UINT64_MAX,
     NULL, "the limit is 64"},
    {"tensor name empty", "llama", RENAME_TENSOR, "blk.0.attn_q.weight", 0, "",
     "is empty or not printable"},
    {"tensor name into its dimensions", "llama", TENSOR_NAME_LEN, "blk.0.attn_q.weight", 22, NULL,
     "not printable"},
    {"duplicate tensor", "llama", RENAME_TENSOR, "blk.0.attn_q.weight", 0, "blk.0.attn_k.weight",
     "attn_k.weight: it occurs twice"},
    {"no dimension", "llama", N_DIMS, "blk.0.attn_q.weight", 0, NULL, "1 to 4 dimensions"},
    {"five dimensions", "llama", N_DIMS, "blk.0.attn_q.weight", 5, NULL, "1 to 4 dimensions"},
    {"2^32-1 dimensions", "llama", N_DIMS, "blk.0.attn_q.weight", UINT32_MAX, NULL,
     "1 to 4 dimensions"},
    {"a dimension of zero", "llama", DIM1, "blk.0.attn_q.weight", 0, NULL, "zero or too large"},
    {"a dimension of 2^63", "llama", DIM0, "blk.0.attn_q.weight", UINT64_C(1) << 63, NULL,
     "zero or too large"},
    {"a dimension of -1", "llama", DIM1, "blk.0.attn_q.weight", UINT64_MAX, NULL,
     "zero or too large"},
    {"dimensions that overflow", "llama", DIM1, "blk.0.attn_q.weight", UINT64_C(1) << 60, NULL,
     "zero or too large"},
    {"dimensions that wrap to few", "llama", DIM1, "blk.0.attn_q.weight", (UINT64_C(1) << 59) + 1,
     NULL, "zero or too large"},
    {"bytes that overflow", "llama", DIM1, "blk.0.attn_q.weight", UINT64_C(1) << 56, NULL,
     "its size overflows"},
    {"more rows than bytes", "llama", DIM1, "blk.0.attn_q.weight", 1u << 20, NULL,
     "beyond the end of the file"},
    {"last tensor longer than the file", "llama", DIM0, "output_norm.weight", 1u << 20, NULL,
     "beyond the end of the file"},
    {"type 4, which GGML dropped", "llama", TENSOR_TYPE, "blk.0.attn_q.weight", 4, NULL,
     "has type 4, which is not supported"},
    {"type 39", "llama", TENSOR_TYPE, "blk.0.attn_q.weight", 39, NULL,
     "has type 39, which is not supported"},
    {"type 2^32-1", "llama", TENSOR_TYPE, "blk.0.attn_q.weight", UINT32_MAX, NULL,
     "not supported (supported: F32"},
    {"rows that are no multiple of the block", "llama", TENSOR_TYPE, "blk.0.attn_q.weight",
     WEIR_DTYPE_Q4_K, NULL, "multiple of the type's block"},
    {"offset not aligned", "llama", OFFSET_MORE, "blk.0.attn_q.weight", 4, NULL,
     "offset is not aligned"},
    {"offset beyond the file", "llama", OFFSET, "output_norm.weight", 1u << 30, NULL,
     "beyond the end of the file"},
    {"offset that overflows", "llama", OFFSET, "output_norm.weight", MINUS(32), NULL,
     "beyond the end of the file"},
    {"tensors that overlap", "llama", OFFSET_MORE, "blk.0.attn_k.weight", MINUS(32), NULL,
     "overlaps"},
    {"offsets that do not ascend", "llama", OFFSET, "blk.0.attn_k.weight", 0, NULL, "overlaps"},
    /* Hyper-parameters. */
    {"no architecture", "llama", DROP_KEY, "general.architecture", 0, NULL,
     "general.architecture is missing"},
    {"architecture a number", "llama", SET_U32, "general.architecture", 7, NULL,
     "general.architecture is missing or no string"},
    {"unknown architecture", "llama", SET_STR, "general.architecture", 0, "mamba",
     "architecture mamba is not supported"},
    {"no block_count", "llama", DROP_KEY, "llama.block_count", 0, NULL,
     "llama.block_count is missing"},
    {"block_count 0", "llama", SET_U32, "llama.block_count", 0, NULL, "llama.block_count is 0"},
    {"block_count 2^32-1", "llama", SET_U32, "llama.block_count", UINT32_MAX, NULL,
     "llama.block_count is 4294967295"},
    {"block_count 1000", "llama", SET_U32, "llama.block_count", 1000, NULL,
     "tensor blk.2.attn_norm.weight is missing"},
    {"block_count 1 of 2", "llama", SET_U32, "llama.block_count", 1, NULL,
     "is not part of the llama architecture"},
    {"block_count -1", "llama", SET_I32, "llama.block_count", MINUS(1), NULL,
     "not an unsigned integer"},
    {"block_count a real", "llama", SET_F32, "llama.block_count", 0, "2",
     "not an unsigned integer"},
    {"block_count a string", "llama", SET_STR, "llama.block_count", 0, "2",
     "not an unsigned integer"},
    {"embedding_length 0", "llama", SET_U32, "llama.embedding_length", 0, NULL,
     "llama.embedding_length is 0"},
    {"embedding_length 2^31", "llama", SET_U32, "llama.embedding_length", 1u << 31, NULL,
     "it must be from 1 to"},
    {"embedding_length of another model", "llama", SET_U32, "llama.embedding_length", 96, NULL,
     "token_embd.weight has the shape"},
    {"feed_forward_length of another model", "llama", SET_U32, "llama.feed_forward_length", 96,
     NULL, "ffn_gate.weight has the shape"},
    {"head_count 0", "llama", SET_U32, "llama.attention.head_count", 0, NULL, "head_count is 0"},
    {"head_count 2^30", "llama", SET_U32, "llama.attention.head_count", 1u << 30, NULL,
     "it must be from 1 to"},
    {"head_count that its group does not divide", "llama", SET_U32, "llama.attention.head_count", 5,
     NULL, "no multiple of head_count_kv"},
    {"head_count per layer", "llama", ADD_U32_ARRAY, "llama.attention.head_count", 1, NULL,
     "differs from layer to layer"},
    {"more key heads than heads", "llama", SET_U32, "llama.attention.head_count_kv", 8, NULL,
     "it must be from 1 to 4"},
    {"key_length 0", "llama", SET_U32, "llama.attention.key_length", 0, NULL, "key_length is 0"},
    {"key_length 2^31", "llama", SET_U32, "llama.attention.key_length", 1u << 31, NULL,
     "it must be from 2 to"},
    {"value_length of its own", "llama", SET_U32, "llama.attention.value_length", 8, NULL,
     "differs from key_length"},
    {"context_length 0", "llama", SET_U32, "llama.context_length", 0, NULL, "context_length is 0"},
    {"no epsilon", "llama", DROP_KEY, "llama.attention.layer_norm_rms_epsilon", 0, NULL,
     "epsilon is missing"},
    {"epsilon not a number", "llama", SET_F32, "llama.attention.layer_norm_rms_epsilon", 0, "nan",
     "must be a number from"},
    {"epsilon below zero", "llama", SET_F32, "llama.attention.layer_norm_rms_epsilon", 0, "-1e-5",
     "must be a number from"},
    {"epsilon infinite", "llama", SET_F32, "llama.attention.layer_norm_rms_epsilon", 0, "inf",
     "must be a number from"},
    {"RoPE base 0", "llama", SET_F32, "llama.rope.freq_base", 0, "0", "freq_base must be a number"},
    {"RoPE base not a number", "llama", SET_F32, "llama.rope.freq_base", 0, "nan",
     "freq_base must be a number"},
    {"RoPE base a string", "llama", SET_STR, "llama.rope.freq_base", 0, "1e4",
     "freq_base must be a number"},
    {"RoPE dimensions odd", "llama", SET_U32, "llama.rope.dimension_count", 7, NULL,
     "dimension_count 7 is odd"},
    {"RoPE dimensions beyond the head", "llama", SET_U32, "llama.rope.dimension_count", 128, NULL,
     "it must be from 2 to 16"},
    {"RoPE scaling unknown", "llama", SET_STR, "llama.rope.scaling.type", 0, "longrope",
     "longrope, which is not supported"},
    {"RoPE scaling a number", "llama", SET_U32, "llama.rope.scaling.type", 1, NULL,
     "is not a string"},
    {"YaRN factor 0", "qwen3", SET_F32, "qwen3.rope.scaling.factor", 0, "0",
     "scaling.factor must be a number"},
    {"YaRN context 0", "qwen3", SET_U32, "qwen3.rope.scaling.original_context_length", 0, NULL,
     "original_context_length is 0"},
    {"experts", "llama", SET_U32, "llama.expert_count", 8, NULL, "mixtures of experts"},
    {"a sliding window", "llama", SET_U32, "llama.attention.sliding_window", 64, NULL,
     "sliding-window attention"},
    {"not causal", "llama", SET_BOOL, "llama.attention.causal", 0, NULL, "only causal models"},
    /* Tensors of the model. */
    {"no embedding", "llama", DROP_TENSOR, "token_embd.weight", 0, NULL,
     "token_embd.weight is missing"},
    {"no final norm", "llama", DROP_TENSOR, "output_norm.weight", 0, NULL,
     "output_norm.weight is missing"},
    {"no keys in layer 1", "llama", DROP_TENSOR, "blk.1.attn_k.weight", 0, NULL,
     "blk.1.attn_k.weight is missing"},
    {"no bias in qwen2", "qwen2", DROP_TENSOR, "blk.1.attn_v.bias", 0, NULL,
     "blk.1.attn_v.bias is missing"},
    {"no key norm in qwen3", "qwen3", DROP_TENSOR, "blk.0.attn_k_norm.weight", 0, NULL,
     "attn_k_norm.weight is missing"},
    {"a tensor nobody knows", "llama", ADD_TENSOR, "blk.0.ffn_gate_inp.weight", 16, NULL,
     "ffn_gate_inp.weight is not part of"},
    {"a matrix too short", "llama", DIM1, "blk.0.attn_q.weight", 32, NULL,
     "attn_q.weight has the shape [64, 32"},
    {"a matrix of another width", "llama", DIM0, "blk.0.ffn_down.weight", 64, NULL,
     "ffn_down.weight has the shape"},
    {"a matrix of three dimensions", "llama", DIM2, "blk.0.attn_k.weight", 1, "16",
     "attn_k.weight has the shape [64, 16, 2"},
    {"a norm in F16", "llama", TENSOR_TYPE, "blk.0.attn_norm.weight", WEIR_DTYPE_F16, NULL,
     "norms and biases must be F32"},
    {"a norm too long", "llama", DIM0, "output_norm.weight", 32, NULL,
     "output_norm.weight has the shape"},
    {"head of another vocabulary", "llama", RENAME_TENSOR, "output_norm.weight", 0, "output.weight",
     "output_norm.weight is missing"},
    {"RoPE divisors too few", "llama", ADD_TENSOR, "rope_freqs.weight", 4, NULL,
     "rope_freqs.weight has the shape"},
    {"RoPE divisors zero", "llama", ADD_TENSOR, "rope_freqs.weight", 8, "0", "not above zero"},
    {"RoPE divisors not numbers", "llama", ADD_TENSOR, "rope_freqs.weight", 8, "nan",
     "not above zero"},
    /* The tokenizer. */
    {"fewer tokens than rows", "llama", DIM1, "token_embd.weight", 300, NULL,
     "the vocabulary has 384 tokens"},
    {"tokens that are numbers", "llama", RENAME_KEY, "tokenizer.ggml.token_type", 0,
     "tokenizer.ggml.tokens", "it occurs twice"},
    {"tokens a string", "llama", SET_STR, "tokenizer.ggml.tokens", 0, "abc",
     "not an array of strings"},
    {"no tokens", "llama", DROP_KEY, "tokenizer.ggml.tokens", 0, NULL,
     "tokenizer.ggml.tokens is missing"},
    {"no merges", "llama", DROP_KEY, "tokenizer.ggml.merges", 0, NULL,
     "tokenizer.ggml.merges is missing"},
    {"merges a number", "llama", SET_U32, "tokenizer.ggml.merges", 7, NULL,
     "tokenizer.ggml.merges"},
    {"a merge without its space", "llama", ELEMENT_BYTE, "tokenizer.ggml.merges", 2, "x",
     "merges[0]"},
    {"a merge of unknown tokens", "llama", ELEMENT_BYTE, "tokenizer.ggml.merges", 3, "\xC3",
     "merges[0]"},
    {"a token that is not UTF-8", "llama", ELEMENT_BYTE, "tokenizer.ggml.tokens", 0, "\xFF",
     "tokens[0] is not valid UTF-8"},
    {"token types of another count", "llama", ARRAY_COUNT, "tokenizer.ggml.token_type", 1, NULL,
     "the name of a metadata key"},
    {"token types missing in part", "llama", ADD_U32_ARRAY, "tokenizer.ggml.token_type", 1, NULL,
     "one per token"},
    {"a tokenizer of another kind", "llama", SET_STR, "tokenizer.ggml.model", 0, "t5", "t5"},
    {"an unknown pre-tokenizer", "llama", SET_STR, "tokenizer.ggml.pre", 0, "klingon", "klingon"},
    {"bos outside the vocabulary", "llama", SET_U32, "tokenizer.ggml.bos_token_id", 384, NULL,
     "bos_token_id"},
    {"eos outside the vocabulary", "llama", SET_U32, "tokenizer.ggml.eos_token_id", UINT32_MAX,
     NULL, "eos_token_id"},
    {"eos a string", "llama", SET_STR, "tokenizer.ggml.eos_token_id", 0, "2", "eos_token_id"},
    {"add_bos a number", "llama", SET_U32, "tokenizer.ggml.add_bos_token", 1, NULL,
     "add_bos_token"},
};

static void fail_build(const char *what)
{
    diag("%s: the test itself is wrong", what);
    abort();
}

static void put(weir_buf_t *value, size_t at, const void *bytes, size_t n)
{
    if (at + n > value->len) {
        fail_build("a value is shorter than the test thinks");
    }
    memcpy(value->data + at, bytes, n);
}

static void spoil_key(gguf_write_t *w, const broken_t *b)
{
    gguf_write_key_t *k = gguf_write_find_key(w, b->entry);
    uint32_t n32 = (uint32_t)b->n;
    if (k == NULL) {
        fail_build(b->name);
        return;
    }
    switch (b->how) {
    case RENAME_KEY:
        snprintf(k->name, sizeof(k->name), "%s", b->text);
        k->name_len = strlen(k->name);
        break;
    case KEY_NAME_LEN:
        k->name_len = b->n;
        break;
    case KEY_TYPE:
        k->type = n32;
        break;
    case VALUE_U64:
        put(&k->value, 0, &b->n, 8);
        break;
    case ELEMENT_TYPE:
        put(&k->value, 0, &n32, 4);
        break;
    case ARRAY_COUNT:
        put(&k->value, 4, &b->n, 8);
        break;
    case ELEMENT_U64:
        put(&k->value, 12, &b->n, 8);
        break;
    case ELEMENT_BYTE:
        put(&k->value, 20 + (size_t)b->n, b->text, 1);
        break;
    default:
        fail_build(b->name);
    }
}

/* Replaces a key or adds one. */
static void set_key(gguf_write_t *w, const broken_t *b)
{
    gguf_write_drop_key(w, b->entry);
    uint32_t array[] = {WEIR_GGUF_U32, (uint32_t)b->n, (uint32_t)(b->n >> 32), 1};
    switch (b->how) {
    case SET_U32:
        gguf_write_u32(w, b->entry, (uint32_t)b->n);
        break;
    case SET_I32:
        gguf_write_i32(w, b->entry, (int32_t)b->n);
        break;
    case SET_F32:
        gguf_write_f32(w, b->entry, strtof(b->text, NULL));
        break;
    case SET_STR:
        gguf_write_str(w, b->entry, weir_str(b->text, strlen(b->text)));
        break;
    case SET_BOOL:
        gguf_write_bool(w, b->entry, b->n != 0);
        break;
    case ADD_U32_ARRAY:
        gguf_write_raw(w, b->entry, WEIR_GGUF_ARRAY, array, sizeof(array));
        break;
    default:
        fail_build(b->name);
    }
}

static void spoil_tensor(gguf_write_t *w, const broken_t *b)
{
    gguf_write_tensor_t *t = gguf_write_find_tensor(w, b->entry);
    if (t == NULL) {
        fail_build(b->name);
        return;
    }
    switch (b->how) {
    case RENAME_TENSOR:
        snprintf(t->name, sizeof(t->name), "%s", b->text);
        t->name_len = strlen(t->name);
        break;
    case TENSOR_NAME_LEN:
        t->name_len = b->n;
        break;
    case N_DIMS:
        t->n_dims = (uint32_t)b->n;
        break;
    case DIM0:
        t->dims[0] = b->n;
        break;
    case DIM1:
        t->dims[1] = b->n;
        break;
    case DIM2: /* the same number of values in three dimensions */
        t->n_dims = 3;
        t->dims[1] /= 2;
        t->dims[2] = 2;
        break;
    case TENSOR_TYPE:
        t->type = (uint32_t)b->n;
        break;
    case OFFSET:
        t->offset = b->n;
        break;
    case OFFSET_MORE:
        t->offset += b->n;
        break;
    default:
        fail_build(b->name);
    }
}

static void add_tensor(gguf_write_t *w, const broken_t *b)
{
    float *values = weir_arena_calloc(w->arena, (size_t)b->n, sizeof(*values));
    for (uint64_t i = 0; i < b->n; i++) {
        values[i] = 1;
    }
    values[b->n / 2] = b->text == NULL ? 1 : strtof(b->text, NULL);
    gguf_write_tensor(w, b->entry, WEIR_DTYPE_F32, 1, &b->n, values, b->n * sizeof(*values));
}

static void spoil(gguf_write_t *w, const broken_t *b)
{
    switch (b->how) {
    case VERSION:
        w->version = (uint32_t)b->n;
        break;
    case MORE_KEYS:
        w->more_keys = (int64_t)b->n;
        break;
    case MORE_TENSORS:
        w->more_tensors = (int64_t)b->n;
        break;
    case DROP_KEY:
        gguf_write_drop_key(w, b->entry);
        break;
    case DROP_TENSOR:
        gguf_write_drop_tensor(w, b->entry);
        break;
    case ADD_TENSOR:
        add_tensor(w, b);
        break;
    case SET_U32:
    case SET_I32:
    case SET_F32:
    case SET_STR:
    case SET_BOOL:
    case ADD_U32_ARRAY:
        set_key(w, b);
        break;
    default:
        if (b->how >= RENAME_TENSOR) {
            spoil_tensor(w, b);
        } else {
            spoil_key(w, b);
        }
    }
}

/* Opens, links, builds the tokenizer, and looks at everything; *stage says how far it got. */
static weir_status_t load(const void *bytes, size_t len, const char **stage, weir_error_t *err)
{
    void *copy = NULL;
    if (posix_memalign(&copy, 32, len == 0 ? 1 : len) != 0) {
        abort();
    }
    memcpy(copy, bytes, len);
    weir_gguf_t *gguf = NULL;
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    *stage = "open";
    weir_status_t status = weir_gguf_open_memory(copy, len, &gguf, err);
    if (status == WEIR_OK) {
        weir_buf_t text;
        weir_buf_init(&text, &arena);
        for (uint32_t i = 0; i < weir_gguf_key_count(gguf); i++) {
            weir_gguf_describe_value(gguf, i, &text);
        }
        weir_model_t *model;
        *stage = "model";
        status = weir_model_load(gguf, &arena, &model, err);
    }
    if (status == WEIR_OK) {
        /* Every weight is inside the file. */
        volatile uint8_t sum = 0;
        for (uint32_t i = 0; i < weir_gguf_tensor_count(gguf); i++) {
            const weir_gguf_tensor_t *t = weir_gguf_tensor_at(gguf, i);
            sum = (uint8_t)(sum + *(const uint8_t *)t->data +
                            ((const uint8_t *)t->data)[t->bytes - 1]);
        }
        weir_tokenizer_t *tokenizer;
        *stage = "tokenizer";
        status = weir_tokenizer_open(gguf, &tokenizer, err);
        if (status == WEIR_OK) {
            weir_tokenizer_close(tokenizer);
        }
    }
    weir_gguf_close(gguf);
    weir_arena_free(&arena);
    free(copy);
    return status;
}

static gguf_write_t *prepare(const char *arch, weir_arena_t *arena)
{
    tiny_model_t spec;
    tiny_model_defaults(&spec);
    spec.arch = arch;
    spec.rope = strcmp(arch, "qwen3") == 0 ? "yarn" : "none";
    gguf_write_t *w = weir_arena_alloc(arena, sizeof(*w));
    gguf_write_init(w, arena);
    if (tiny_model_prepare(&spec, w, NULL) != WEIR_OK) {
        fail_build("tiny model");
    }
    return w;
}

static void test_sound(weir_arena_t *arena)
{
    static const char *const archs[] = {"llama", "qwen2", "qwen3"};
    for (int i = 0; i < 3; i++) {
        weir_buf_t file;
        weir_buf_init(&file, arena);
        gguf_write_finish(prepare(archs[i], arena), &file);
        weir_error_t err = {0};
        const char *stage;
        weir_status_t status = load(file.data, file.len, &stage, &err);
        ok(status == WEIR_OK, "before anything is spoilt, %s loads%s", archs[i], err.message);
    }
}

static void test_broken(weir_arena_t *arena)
{
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        const broken_t *b = &broken[i];
        weir_arena_reset(arena);
        gguf_write_t *w = prepare(b->arch, arena);
        spoil(w, b);
        weir_buf_t file;
        weir_buf_init(&file, arena);
        gguf_write_finish(w, &file);
        weir_error_t err = {0};
        const char *stage;
        weir_status_t status = load(file.data, file.len, &stage, &err);
        if (!ok(status != WEIR_OK && strstr(err.message, b->expect) != NULL, "%s: %s", b->name,
                err.message)) {
            diag("%s ended with '%s', expected '%s'", stage, weir_status_name(status), b->expect);
        }
    }
}

/* A file cut anywhere is refused; in the directory at every byte, in the data here and there. */
static void test_truncated(weir_arena_t *arena)
{
    tiny_model_t spec;
    tiny_model_defaults(&spec);
    spec.n_vocab = TINY_MODEL_MIN_VOCAB;
    spec.n_embd = 32;
    spec.n_ff = 32;
    spec.n_layers = 1;
    weir_buf_t file;
    weir_buf_init(&file, arena);
    tiny_model_build(&spec, &file, NULL);
    size_t directory = 10000; /* its end lies before; the test does not depend on where */
    size_t refused = 0;
    size_t tried = 0;
    for (size_t len = 0; len < file.len; len += len < directory ? 1 : 331) {
        weir_error_t err = {0};
        const char *stage;
        tried++;
        refused += load(file.data, len, &stage, &err) != WEIR_OK && strcmp(stage, "open") == 0 &&
                   err.message[0] != '\0';
    }
    is_int((long long)refused, (long long)tried, "cut anywhere, a file is refused when opened");
}

static void test_random_damage(weir_arena_t *arena, rng_t *rng)
{
    weir_buf_t file;
    weir_buf_init(&file, arena);
    gguf_write_finish(prepare("qwen3", arena), &file);
    char *copy = malloc(file.len);
    int loaded = 0;
    for (int i = 0; i < 3000; i++) {
        memcpy(copy, file.data, file.len);
        for (uint32_t n = 1 + rng_below(rng, 4); n > 0; n--) {
            static const uint8_t special[] = {0, 1, 0x7F, 0x80, 0xFF};
            uint32_t at = rng_below(rng, 14000);
            copy[at] = rng_below(rng, 2) == 0 ? (char)special[rng_below(rng, 5)]
                                              : (char)rng_below(rng, 256);
        }
        weir_error_t err;
        const char *stage;
        loaded += load(copy, file.len, &stage, &err) == WEIR_OK;
    }
    free(copy);
    ok(loaded < 3000, "3000 files with random damage: %d still load, none does harm", loaded);
}

static void test_no_file(void)
{
    weir_gguf_t *gguf = NULL;
    weir_error_t err;
    ok(weir_gguf_open("/nonexistent/model.gguf", &gguf, &err) == WEIR_ERR_IO, "no file: %s",
       err.message);
    ok(weir_gguf_open("/tmp", &gguf, &err) == WEIR_ERR_INVALID, "a folder: %s", err.message);
    char path[] = "/tmp/weir-gguf-XXXXXX";
    int fd = mkstemp(path);
    ok(weir_gguf_open(path, &gguf, &err) == WEIR_ERR_INVALID, "an empty file: %s", err.message);
    ok(write(fd, "GGML and some text", 18) == 18 &&
           weir_gguf_open(path, &gguf, &err) == WEIR_ERR_INVALID,
       "another format: %s", err.message);
    close(fd);
    unlink(path);
    ok(mkfifo(path, 0600) == 0 && weir_gguf_open(path, &gguf, &err) == WEIR_ERR_INVALID,
       "a pipe, without waiting for a writer: %s", err.message);
    unlink(path);
    static const _Alignas(32) char bytes[64] = "GGUF";
    ok(weir_gguf_open_memory(bytes + 1, 40, &gguf, &err) == WEIR_ERR_INVALID, "memory askew: %s",
       err.message);
    ok(gguf == NULL, "and nothing was handed out");
}

int main(void)
{
    rng_t rng;
    rng_init(&rng);
    weir_arena_t arena;
    weir_arena_init(&arena, 1 << 20, 0);
    test_sound(&arena);
    test_broken(&arena);
    test_truncated(&arena);
    test_random_damage(&arena, &rng);
    test_no_file();
    weir_arena_free(&arena);
    return done_testing();
}

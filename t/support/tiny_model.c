#include "t/support/tiny_model.h"

#include "engine/base/utf8.h"
#include "t/support/tap.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>

static const char chatml[] =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\\n' }}{% endif %}";

/* Frequent English pairs in an order in which each part exists; "_" stands for a space. */
static const char *const english_merges[][2] = {
    {"_", "t"}, {"h", "e"},  {"i", "n"},   {"_", "a"},   {"r", "e"},  {"o", "n"},  {"_t", "he"},
    {"e", "r"}, {"_", "s"},  {"a", "t"},   {"_", "w"},   {"o", "u"},  {"_", "c"},  {"n", "d"},
    {"i", "s"}, {"o", "r"},  {"e", "s"},   {"_", "o"},   {"in", "g"}, {"_", "b"},  {"_", "f"},
    {"e", "n"}, {"a", "n"},  {"_", "p"},   {"_a", "nd"}, {"l", "l"},  {"_", "m"},  {"_", "h"},
    {"e", "d"}, {"_o", "f"}, {"_t", "o"},  {"_", "d"},   {"l", "e"},  {"_", "in"}, {"a", "r"},
    {"_", "l"}, {"i", "t"},  {"_y", "ou"}, {"s", "t"},   {"_", "n"},
};

void tiny_model_defaults(tiny_model_t *spec)
{
    *spec = (tiny_model_t){
        .arch = "llama",
        .name = "tiny",
        .type = WEIR_DTYPE_F32,
        .embd_type = WEIR_DTYPE_F32,
        .n_embd = 64,
        .n_heads = 4,
        .n_kv_heads = 2,
        .n_layers = 2,
        .n_ff = 128,
        .n_vocab = 384,
        .n_ctx = 512,
        .rope = "none",
        .rope_factor = 4,
        .rope_base = 10000,
        .rope_original = 64,
        .alignment = 32,
        .pre = "smollm",
        .seed = 1,
    };
}

int tiny_model_type(const char *name)
{
    for (int type = 0; type < 64; type++) {
        if (weir_dtype_supported((uint32_t)type) &&
            strcasecmp(name, weir_dtype_name((uint32_t)type)) == 0) {
            return type;
        }
    }
    return -1;
}

/* GPT-2's byte alphabet: printable Latin-1 stands for itself, other bytes for U+0100 and up. */
static weir_str_t byte_token(int byte, weir_arena_t *arena)
{
    uint32_t cp = 0x100;
    for (int b = 0; b <= byte; b++) {
        bool itself = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        if (b == byte) {
            cp = itself ? (uint32_t)b : cp;
        } else if (!itself) {
            cp++;
        }
    }
    char text[4];
    size_t n = (size_t)weir_utf8_encode(cp, text);
    return weir_str(weir_arena_strndup(arena, text, n), n);
}

typedef struct {
    weir_arena_t *arena;
    weir_str_t *tokens;
    int32_t *types;
    weir_str_t *merges;
    uint32_t n_tokens;
    uint32_t n_merges;
    uint32_t cap;
} vocabulary_t;

static void add_token(vocabulary_t *v, weir_str_t text, int32_t type)
{
    v->tokens[v->n_tokens] = text;
    v->types[v->n_tokens++] = type;
}

static bool has_token(const vocabulary_t *v, weir_str_t text)
{
    for (uint32_t i = 0; i < v->n_tokens; i++) {
        if (weir_str_eq(v->tokens[i], text)) {
            return true;
        }
    }
    return false;
}

/* Adds a merge and the token that it makes, unless it is there or the vocabulary is full. */
static void add_merge(vocabulary_t *v, weir_str_t left, weir_str_t right)
{
    weir_buf_t text;
    weir_buf_init(&text, v->arena);
    weir_buf_append_str(&text, left);
    weir_buf_append_str(&text, right);
    weir_str_t made = weir_str(text.data, text.len);
    if (v->n_tokens == v->cap || text.failed || has_token(v, made) || !has_token(v, left) ||
        !has_token(v, right)) {
        return;
    }
    add_token(v, made, 1);
    weir_buf_init(&text, v->arena);
    weir_buf_append_str(&text, left);
    weir_buf_append_char(&text, ' ');
    weir_buf_append_str(&text, right);
    v->merges[v->n_merges++] = weir_str(text.data, text.len);
}

/* "_" to the byte alphabet's sign for a space. */
static weir_str_t with_space(const char *z, weir_arena_t *arena)
{
    weir_buf_t text;
    weir_buf_init(&text, arena);
    for (; *z != '\0'; z++) {
        weir_buf_append(&text, *z == '_' ? "\xC4\xA0" : z, *z == '_' ? 2 : 1);
    }
    return weir_str(text.data, text.len);
}

static void fill_vocabulary(vocabulary_t *v)
{
    static const char letters[] = "etaoinshrdlucmfwypvbgkjqxz";
    static const char *const specials[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    for (int i = 0; i < TINY_MODEL_SPECIALS; i++) {
        add_token(v, weir_str(specials[i], strlen(specials[i])), 3);
    }
    for (int byte = 0; byte < 256; byte++) {
        add_token(v, byte_token(byte, v->arena), 1);
    }
    for (size_t i = 0; i < sizeof(english_merges) / sizeof(english_merges[0]); i++) {
        add_merge(v, with_space(english_merges[i][0], v->arena),
                  with_space(english_merges[i][1], v->arena));
    }
    for (size_t i = 0; i < 26 * 26 && v->n_tokens < v->cap; i++) {
        add_merge(v, weir_str(letters + i / 26, 1), weir_str(letters + i % 26, 1));
    }
    while (v->n_tokens < v->cap) {
        weir_buf_t text;
        weir_buf_init(&text, v->arena);
        weir_buf_printf(&text, "<|unused_%u|>", v->n_tokens);
        add_token(v, weir_str(text.data, text.len), 5);
    }
}

static weir_status_t write_tokenizer(const tiny_model_t *spec, gguf_write_t *w, weir_error_t *err)
{
    vocabulary_t v = {.arena = w->arena, .cap = spec->n_vocab};
    v.tokens = weir_arena_calloc(w->arena, v.cap, sizeof(*v.tokens));
    v.types = weir_arena_calloc(w->arena, v.cap, sizeof(*v.types));
    v.merges = weir_arena_calloc(w->arena, v.cap, sizeof(*v.merges));
    if (v.tokens == NULL || v.types == NULL || v.merges == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory for a vocabulary");
    }
    fill_vocabulary(&v);
    gguf_write_str(w, "tokenizer.ggml.model", WEIR_STR("gpt2"));
    gguf_write_str(w, "tokenizer.ggml.pre", weir_str(spec->pre, strlen(spec->pre)));
    gguf_write_str_array(w, "tokenizer.ggml.tokens", v.tokens, v.n_tokens);
    gguf_write_i32_array(w, "tokenizer.ggml.token_type", v.types, v.n_tokens);
    gguf_write_str_array(w, "tokenizer.ggml.merges", v.merges, v.n_merges);
    gguf_write_u32(w, "tokenizer.ggml.bos_token_id", TINY_MODEL_IM_START);
    gguf_write_u32(w, "tokenizer.ggml.eos_token_id", TINY_MODEL_IM_END);
    gguf_write_u32(w, "tokenizer.ggml.unknown_token_id", TINY_MODEL_ENDOFTEXT);
    gguf_write_u32(w, "tokenizer.ggml.padding_token_id", TINY_MODEL_IM_END);
    gguf_write_bool(w, "tokenizer.ggml.add_bos_token", spec->add_bos);
    gguf_write_bool(w, "tokenizer.ggml.add_space_prefix", false);
    const char *template = spec->chat_template == NULL ? chatml : spec->chat_template;
    if (template[0] != '\0') {
        gguf_write_str(w, "tokenizer.chat_template", weir_str(template, strlen(template)));
    }
    return WEIR_OK;
}

static uint32_t head_dim(const tiny_model_t *spec)
{
    return spec->head_dim != 0 ? spec->head_dim : spec->n_embd / spec->n_heads;
}

/* "arch.suffix"; valid until the arena ends. */
static const char *arch_key(const tiny_model_t *spec, gguf_write_t *w, const char *suffix)
{
    char key[96];
    int n = snprintf(key, sizeof(key), "%s.%s", spec->arch, suffix);
    const char *copy = weir_arena_strndup(w->arena, key, (size_t)n);
    return copy == NULL ? "" : copy;
}

static void write_hyper_parameters(const tiny_model_t *spec, gguf_write_t *w)
{
    gguf_write_str(w, "general.architecture", weir_str(spec->arch, strlen(spec->arch)));
    gguf_write_str(w, "general.name", weir_str(spec->name, strlen(spec->name)));
    gguf_write_u32(w, arch_key(spec, w, "block_count"), spec->n_layers);
    gguf_write_u32(w, arch_key(spec, w, "context_length"), spec->n_ctx);
    gguf_write_u32(w, arch_key(spec, w, "embedding_length"), spec->n_embd);
    gguf_write_u32(w, arch_key(spec, w, "feed_forward_length"), spec->n_ff);
    gguf_write_u32(w, arch_key(spec, w, "attention.head_count"), spec->n_heads);
    gguf_write_u32(w, arch_key(spec, w, "attention.head_count_kv"), spec->n_kv_heads);
    gguf_write_u32(w, arch_key(spec, w, "attention.key_length"), head_dim(spec));
    gguf_write_u32(w, arch_key(spec, w, "attention.value_length"), head_dim(spec));
    /* Far above the usual 1e-5, so that a wrong one shows in the logits. */
    gguf_write_f32(w, arch_key(spec, w, "attention.layer_norm_rms_epsilon"), 1e-2f);
    gguf_write_f32(w, arch_key(spec, w, "rope.freq_base"), spec->rope_base);
    gguf_write_u32(w, arch_key(spec, w, "rope.dimension_count"),
                   spec->rope_dims != 0 ? spec->rope_dims : head_dim(spec));
    bool yarn = strcmp(spec->rope, "yarn") == 0;
    if (yarn || strcmp(spec->rope, "linear") == 0) {
        gguf_write_str(w, arch_key(spec, w, "rope.scaling.type"),
                       weir_str(spec->rope, strlen(spec->rope)));
        gguf_write_f32(w, arch_key(spec, w, "rope.scaling.factor"), spec->rope_factor);
    }
    if (yarn) {
        gguf_write_u32(w, arch_key(spec, w, "rope.scaling.original_context_length"),
                       spec->rope_original);
    }
}

/* The type that the matrix really gets; see tiny_model_t.type. */
static weir_dtype_t fitting_type(weir_dtype_t type, uint32_t cols)
{
    if (cols % weir_dtype_block_values(type) == 0) {
        return type;
    }
    if (cols % 32 == 0) {
        return type == WEIR_DTYPE_Q4_K ? WEIR_DTYPE_Q5_0 : WEIR_DTYPE_Q8_0;
    }
    return WEIR_DTYPE_F16;
}

typedef struct {
    const tiny_model_t *spec;
    gguf_write_t *w;
    rng_t rng;
    bool failed;
} weights_t;

/* Adds [rows][cols] values spread uniformly in centre +- amplitude; rows 0 makes a vector. */
static void add_weights(weights_t *g, const char *name, weir_dtype_t type, uint32_t rows,
                        uint32_t cols, float centre, float amplitude)
{
    type = fitting_type(type, cols);
    size_t n_rows = rows > 0 ? rows : 1;
    size_t row_bytes = weir_dtype_row_bytes(type, cols);
    uint8_t *data = weir_arena_calloc(g->w->arena, n_rows, row_bytes);
    float *row = weir_arena_calloc(g->w->arena, cols, sizeof(*row));
    if (data == NULL || row == NULL) {
        g->failed = true;
        return;
    }
    for (size_t i = 0; i < n_rows; i++) {
        for (uint32_t j = 0; j < cols; j++) {
            row[j] = centre + amplitude * rng_float(&g->rng);
        }
        weir_quantize(type, row, data + i * row_bytes, cols);
    }
    uint64_t dims[2] = {cols, rows};
    gguf_write_tensor(g->w, name, type, rows > 0 ? 2 : 1, dims, data, n_rows * row_bytes);
}

/* A matrix that keeps the variance of its input: uniform with variance 1 / cols. */
static void add_matrix(weights_t *g, const char *name, uint32_t rows, uint32_t cols)
{
    add_weights(g, name, g->spec->type, rows, cols, 0, sqrtf(3.0f / (float)cols));
}

static void add_vector(weights_t *g, const char *name, uint32_t n, float centre, float amplitude)
{
    add_weights(g, name, WEIR_DTYPE_F32, 0, n, centre, amplitude);
}

static void add_layer(weights_t *g, uint32_t index)
{
    const tiny_model_t *s = g->spec;
    uint32_t q = s->n_heads * head_dim(s);
    uint32_t kv = s->n_kv_heads * head_dim(s);
    bool bias = s->bias || strcmp(s->arch, "qwen2") == 0;
    bool qk_norm = strcmp(s->arch, "qwen3") == 0;
    const struct {
        const char *name;
        uint32_t rows; /* 0: a vector */
        uint32_t cols;
        bool wanted;
        float centre; /* of a vector */
    } tensors[] = {
        {"attn_norm.weight", 0, s->n_embd, true, 1},
        {"attn_q.weight", q, s->n_embd, true, 0},
        {"attn_q.bias", 0, q, bias, 0},
        {"attn_q_norm.weight", 0, head_dim(s), qk_norm, 1},
        {"attn_k.weight", kv, s->n_embd, true, 0},
        {"attn_k.bias", 0, kv, bias, 0},
        {"attn_k_norm.weight", 0, head_dim(s), qk_norm, 1},
        {"attn_v.weight", kv, s->n_embd, true, 0},
        {"attn_v.bias", 0, kv, bias, 0},
        {"attn_output.weight", s->n_embd, q, true, 0},
        {"ffn_norm.weight", 0, s->n_embd, true, 1},
        {"ffn_gate.weight", s->n_ff, s->n_embd, true, 0},
        {"ffn_up.weight", s->n_ff, s->n_embd, true, 0},
        {"ffn_down.weight", s->n_embd, s->n_ff, true, 0},
    };
    for (size_t i = 0; i < sizeof(tensors) / sizeof(tensors[0]); i++) {
        char name[64];
        snprintf(name, sizeof(name), "blk.%u.%s", index, tensors[i].name);
        if (tensors[i].wanted && tensors[i].rows == 0) {
            add_vector(g, name, tensors[i].cols, tensors[i].centre, 0.3f);
        } else if (tensors[i].wanted) {
            add_matrix(g, name, tensors[i].rows, tensors[i].cols);
        }
    }
}

/* As Llama 3.1: fast pairs by 1, slow pairs by the factor, a geometric ramp between. */
static void add_rope_divisors(weights_t *g)
{
    const tiny_model_t *s = g->spec;
    uint32_t n = (s->rope_dims != 0 ? s->rope_dims : head_dim(s)) / 2;
    float *values = weir_arena_calloc(g->w->arena, n, sizeof(*values));
    if (values == NULL) {
        g->failed = true;
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        float ramp = n > 1 ? (float)i / (float)(n - 1) : 0;
        values[i] = 1 + ramp * (s->rope_factor - 1);
    }
    uint64_t dims[1] = {n};
    gguf_write_tensor(g->w, "rope_freqs.weight", WEIR_DTYPE_F32, 1, dims, values,
                      n * sizeof(*values));
}

static weir_status_t check_spec(const tiny_model_t *s, weir_error_t *err)
{
    if (s->n_embd == 0 || s->n_heads == 0 || s->n_kv_heads == 0 || s->n_ff == 0 ||
        s->n_vocab < TINY_MODEL_MIN_VOCAB || s->n_layers > 32 || head_dim(s) == 0 ||
        (s->head_dim == 0 && s->n_embd % s->n_heads != 0) || s->alignment == 0) {
        return weir_error(err, WEIR_ERR_INVALID,
                          "a tiny model needs sizes above zero, a vocabulary of at least %d, at "
                          "most 32 layers and heads that divide the width",
                          TINY_MODEL_MIN_VOCAB);
    }
    return WEIR_OK;
}

weir_status_t tiny_model_prepare(const tiny_model_t *spec, gguf_write_t *w, weir_error_t *err)
{
    weir_status_t status = check_spec(spec, err);
    if (status != WEIR_OK) {
        return status;
    }
    w->alignment = spec->alignment;
    write_hyper_parameters(spec, w);
    status = write_tokenizer(spec, w, err);
    if (status != WEIR_OK) {
        return status;
    }
    weights_t g = {.spec = spec, .w = w};
    g.rng.s[0] = spec->seed ^ 0x9e3779b97f4a7c15u;
    g.rng.s[1] = spec->seed * 0xbf58476d1ce4e5b9u + 1;
    for (int i = 0; i < 16; i++) {
        rng_u64(&g.rng);
    }
    /* Logits then have a standard deviation of about 3: neither flat nor certain. */
    float logits = 3 * sqrtf(3.0f / (float)spec->n_embd);
    add_weights(&g, "token_embd.weight", spec->embd_type, spec->n_vocab, spec->n_embd, 0, logits);
    if (strcmp(spec->rope, "divisors") == 0) {
        add_rope_divisors(&g);
    }
    for (uint32_t i = 0; i < spec->n_layers; i++) {
        add_layer(&g, i);
    }
    add_vector(&g, "output_norm.weight", spec->n_embd, 1, 0.3f);
    if (spec->untied) {
        add_weights(&g, "output.weight", spec->embd_type, spec->n_vocab, spec->n_embd, 0, logits);
    }
    return g.failed ? weir_error(err, WEIR_ERR_NOMEM, "out of memory for a tiny model") : WEIR_OK;
}

weir_status_t tiny_model_build(const tiny_model_t *spec, weir_buf_t *out, weir_error_t *err)
{
    gguf_write_t *w = weir_arena_alloc(out->arena, sizeof(*w));
    if (w == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory for a tiny model");
    }
    gguf_write_init(w, out->arena);
    weir_status_t status = tiny_model_prepare(spec, w, err);
    if (status == WEIR_OK) {
        gguf_write_finish(w, out);
    }
    if (status == WEIR_OK && out->failed) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory for a tiny model");
    }
    return status;
}

weir_status_t tiny_model_write(const tiny_model_t *spec, const char *path, weir_error_t *err)
{
    weir_arena_t arena;
    weir_arena_init(&arena, 1 << 20, 0);
    weir_buf_t file;
    weir_buf_init(&file, &arena);
    weir_status_t status = tiny_model_build(spec, &file, err);
    if (status == WEIR_OK) {
        FILE *f = fopen(path, "wb");
        bool written = f != NULL && fwrite(file.data, 1, file.len, f) == file.len;
        if (f != NULL && fclose(f) != 0) {
            written = false;
        }
        if (!written) {
            status = weir_error(err, WEIR_ERR_IO, "cannot write %s: %s", path, strerror(errno));
        }
    }
    weir_arena_free(&arena);
    return status;
}

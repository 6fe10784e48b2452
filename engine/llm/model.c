#include "engine/llm/model.h"

#include <math.h>
#include <stdio.h>

/* Bounds that no model of these families comes near; they keep every product below in 32 bits. */
#define MAX_LAYERS   1024u
#define MAX_EMBD     (1u << 18)
#define MAX_HEADS    4096u
#define MAX_HEAD_DIM 4096u
#define MAX_FF       (1u << 22)
#define MAX_VOCAB    (1u << 24)
#define MAX_CONTEXT  (1u << 30)

/* A family: how a GGUF architecture differs from Llama. */
typedef struct {
    const char *name;
    weir_rope_style_t rope;
    enum { BIAS_OPTIONAL, BIAS_REQUIRED } qkv_bias;
    bool qk_norm;
} family_t;

static const family_t families[] = {
    {"llama", WEIR_ROPE_ADJACENT, BIAS_OPTIONAL, false},
    {"qwen2", WEIR_ROPE_SPLIT, BIAS_REQUIRED, false},
    {"qwen3", WEIR_ROPE_SPLIT, BIAS_OPTIONAL, true},
};

_Static_assert(sizeof(weir_layer_t) % sizeof(weir_weight_t) == 0, "a layer is weights only");

typedef struct {
    const weir_gguf_t *gguf;
    const family_t *family;
    weir_model_t *model;
    weir_arena_t *arena;
    uint32_t tensors_used;
    weir_error_t *err;
} loader_t;

/* The full name of a key of the architecture. */
static void key_name(const loader_t *l, const char *suffix, char *out, size_t size)
{
    snprintf(out, size, "%s.%s", l->family->name, suffix);
}

/*
 * An integer between min and max. Where the key is missing *out stays as it is, unless it is 0:
 * then the key is required.
 */
static weir_status_t get_u32(loader_t *l, const char *suffix, uint32_t min, uint32_t max,
                             uint32_t *out)
{
    char key[96];
    key_name(l, suffix, key, sizeof(key));
    weir_gguf_type_t element;
    uint64_t count;
    if (weir_gguf_array(l->gguf, key, &element, &count) == WEIR_OK) {
        return weir_error(l->err, WEIR_ERR_UNSUPPORTED,
                          "%s differs from layer to layer, which is not supported", key);
    }
    weir_status_t status = weir_gguf_u32(l->gguf, key, out);
    if (status == WEIR_ERR_NOT_FOUND && *out == 0) {
        return weir_error(l->err, WEIR_ERR_INVALID, "the metadata key %s is missing", key);
    }
    if (status == WEIR_ERR_INVALID) {
        return weir_error(l->err, WEIR_ERR_INVALID, "%s is not an unsigned integer", key);
    }
    if (*out < min || *out > max) {
        return weir_error(l->err, *out > max ? WEIR_ERR_LIMIT : WEIR_ERR_INVALID,
                          "%s is %u, it must be from %u to %u", key, *out, min, max);
    }
    return WEIR_OK;
}

/* A finite number between min and max; required when *out is NAN before. */
static weir_status_t get_f32(loader_t *l, const char *suffix, float min, float max, float *out)
{
    char key[96];
    key_name(l, suffix, key, sizeof(key));
    weir_status_t status = weir_gguf_f32(l->gguf, key, out);
    if (status == WEIR_ERR_NOT_FOUND && isnan(*out)) {
        return weir_error(l->err, WEIR_ERR_INVALID, "the metadata key %s is missing", key);
    }
    if (status == WEIR_ERR_INVALID || !(*out >= min && *out <= max)) {
        return weir_error(l->err, WEIR_ERR_INVALID, "%s must be a number from %g to %g", key,
                          (double)min, (double)max);
    }
    return WEIR_OK;
}

static weir_status_t find_family(loader_t *l)
{
    weir_str_t name;
    weir_status_t status = weir_gguf_str(l->gguf, "general.architecture", &name);
    if (status != WEIR_OK) {
        return weir_error(l->err, WEIR_ERR_INVALID, "general.architecture is missing or no string");
    }
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        if (weir_str_is(name, families[i].name)) {
            l->family = &families[i];
            l->model->architecture = name;
            return WEIR_OK;
        }
    }
    return weir_error(l->err, WEIR_ERR_UNSUPPORTED,
                      "architecture %.*s is not supported (supported: llama, qwen2, qwen3)",
                      (int)(name.len < 64 ? name.len : 64), name.data);
}

static weir_status_t read_heads(loader_t *l)
{
    weir_model_t *m = l->model;
    weir_status_t status = get_u32(l, "attention.head_count", 1, MAX_HEADS, &m->n_heads);
    if (status != WEIR_OK) {
        return status;
    }
    m->n_kv_heads = m->n_heads;
    status = get_u32(l, "attention.head_count_kv", 1, m->n_heads, &m->n_kv_heads);
    if (status != WEIR_OK) {
        return status;
    }
    if (m->n_heads % m->n_kv_heads != 0) {
        return weir_error(l->err, WEIR_ERR_INVALID,
                          "attention.head_count %u is no multiple of head_count_kv %u", m->n_heads,
                          m->n_kv_heads);
    }
    m->head_dim = m->n_embd % m->n_heads == 0 ? m->n_embd / m->n_heads : 0;
    status = get_u32(l, "attention.key_length", 2, MAX_HEAD_DIM, &m->head_dim);
    if (status != WEIR_OK) {
        return status;
    }
    uint32_t value_length = m->head_dim;
    status = get_u32(l, "attention.value_length", 1, MAX_HEAD_DIM, &value_length);
    if (status == WEIR_OK && value_length != m->head_dim) {
        return weir_error(l->err, WEIR_ERR_UNSUPPORTED,
                          "attention.value_length %u differs from key_length %u, which is not "
                          "supported",
                          value_length, m->head_dim);
    }
    return status;
}

static weir_status_t read_rope_scaling(loader_t *l)
{
    weir_rope_t *rope = &l->model->rope;
    char key[96];
    key_name(l, "rope.scaling.type", key, sizeof(key));
    weir_str_t type = WEIR_STR("none");
    rope->factor = 1;
    weir_status_t status = weir_gguf_str(l->gguf, key, &type);
    if (status == WEIR_ERR_INVALID) {
        return weir_error(l->err, status, "%s is not a string", key);
    }
    if (status == WEIR_ERR_NOT_FOUND) {
        /* Older files name a linear factor only. */
        status = get_f32(l, "rope.scale_linear", 1e-3f, 1e6f, &rope->factor);
        rope->scaling = rope->factor == 1 ? WEIR_ROPE_SCALING_NONE : WEIR_ROPE_SCALING_LINEAR;
        return status;
    }
    if (weir_str_is(type, "none")) {
        return WEIR_OK;
    }
    if (weir_str_is(type, "linear")) {
        rope->scaling = WEIR_ROPE_SCALING_LINEAR;
        return get_f32(l, "rope.scaling.factor", 1e-3f, 1e6f, &rope->factor);
    }
    if (!weir_str_is(type, "yarn")) {
        return weir_error(l->err, WEIR_ERR_UNSUPPORTED,
                          "%s is %.*s, which is not supported (supported: none, linear, yarn)", key,
                          (int)(type.len < 32 ? type.len : 32), type.data);
    }
    rope->scaling = WEIR_ROPE_SCALING_YARN;
    rope->original_context = l->model->n_ctx;
    rope->yarn_attn_factor = 1;
    rope->yarn_beta_fast = 32;
    rope->yarn_beta_slow = 1;
    status = get_f32(l, "rope.scaling.factor", 1e-3f, 1e6f, &rope->factor);
    if (status == WEIR_OK) {
        status = get_u32(l, "rope.scaling.original_context_length", 1, MAX_CONTEXT,
                         &rope->original_context);
    }
    static const char *const attn_keys[] = {"rope.scaling.attn_factor",
                                            "rope.scaling.yarn_attn_factor"};
    for (size_t i = 0; i < 2 && status == WEIR_OK; i++) {
        status = get_f32(l, attn_keys[i], 1e-3f, 1e3f, &rope->yarn_attn_factor);
    }
    if (status == WEIR_OK) {
        status = get_f32(l, "rope.scaling.yarn_beta_fast", 1e-3f, 1e6f, &rope->yarn_beta_fast);
    }
    if (status == WEIR_OK) {
        status = get_f32(l, "rope.scaling.yarn_beta_slow", 1e-3f, 1e6f, &rope->yarn_beta_slow);
    }
    return status;
}

static weir_status_t read_rope(loader_t *l)
{
    weir_model_t *m = l->model;
    weir_rope_t *rope = &m->rope;
    rope->style = l->family->rope;
    rope->base = 10000;
    rope->dims = m->head_dim;
    weir_status_t status = get_f32(l, "rope.freq_base", 1.001f, 1e12f, &rope->base);
    if (status == WEIR_OK) {
        status = get_u32(l, "rope.dimension_count", 2, m->head_dim, &rope->dims);
    }
    if (status == WEIR_OK && rope->dims % 2 != 0) {
        return weir_error(l->err, WEIR_ERR_INVALID, "rope.dimension_count %u is odd", rope->dims);
    }
    return status == WEIR_OK ? read_rope_scaling(l) : status;
}

/* Keys of variants whose arithmetic differs: better an error than wrong answers. */
static weir_status_t refuse_variants(loader_t *l)
{
    char key[96];
    uint32_t value = 0;
    key_name(l, "expert_count", key, sizeof(key));
    if (weir_gguf_u32(l->gguf, key, &value) == WEIR_OK && value > 0) {
        return weir_error(l->err, WEIR_ERR_UNSUPPORTED,
                          "%s is %u: mixtures of experts are not supported", key, value);
    }
    value = 0;
    key_name(l, "attention.sliding_window", key, sizeof(key));
    if (weir_gguf_u32(l->gguf, key, &value) == WEIR_OK && value > 0 && value < l->model->n_ctx) {
        return weir_error(l->err, WEIR_ERR_UNSUPPORTED,
                          "%s is %u: sliding-window attention is not supported", key, value);
    }
    bool causal = true;
    key_name(l, "attention.causal", key, sizeof(key));
    if (weir_gguf_bool(l->gguf, key, &causal) == WEIR_OK && !causal) {
        return weir_error(l->err, WEIR_ERR_UNSUPPORTED,
                          "%s is false: only causal models are supported", key);
    }
    return WEIR_OK;
}

static weir_status_t read_hyper_parameters(loader_t *l)
{
    weir_model_t *m = l->model;
    if (weir_gguf_str(l->gguf, "general.name", &m->name) != WEIR_OK) {
        m->name = weir_str("", 0);
    }
    m->norm_eps = NAN;
    weir_status_t status = get_u32(l, "block_count", 1, MAX_LAYERS, &m->n_layers);
    if (status == WEIR_OK) {
        status = get_u32(l, "embedding_length", 1, MAX_EMBD, &m->n_embd);
    }
    if (status == WEIR_OK) {
        status = get_u32(l, "feed_forward_length", 1, MAX_FF, &m->n_ff);
    }
    if (status == WEIR_OK) {
        status = get_u32(l, "context_length", 1, MAX_CONTEXT, &m->n_ctx);
    }
    if (status == WEIR_OK) {
        status = get_f32(l, "attention.layer_norm_rms_epsilon", 1e-12f, 0.1f, &m->norm_eps);
    }
    if (status == WEIR_OK) {
        status = read_heads(l);
    }
    if (status == WEIR_OK) {
        status = read_rope(l);
    }
    return status == WEIR_OK ? refuse_variants(l) : status;
}

static void count_tensor(loader_t *l, const weir_gguf_tensor_t *t)
{
    l->tensors_used++;
    l->model->n_params +=
        t->bytes / weir_dtype_block_bytes(t->type) * weir_dtype_block_values(t->type);
    l->model->weight_bytes += t->bytes;
}

/*
 * Finds tensor `name` and checks that it is [rows][cols]. rows 0 means any number from 1 to
 * MAX_VOCAB. A missing tensor leaves *out empty when optional.
 */
static weir_status_t link_tensor(loader_t *l, const char *name, uint32_t rows, uint32_t cols,
                                 bool optional, weir_weight_t *out)
{
    const weir_gguf_tensor_t *t = weir_gguf_tensor(l->gguf, name);
    *out = (weir_weight_t){0};
    if (t == NULL) {
        return optional ? WEIR_OK
                        : weir_error(l->err, WEIR_ERR_INVALID, "tensor %s is missing", name);
    }
    bool right = t->dims[0] == cols && t->dims[2] == 1 && t->dims[3] == 1 &&
                 (rows == 0 ? t->dims[1] <= MAX_VOCAB : t->dims[1] == rows);
    if (!right) {
        return weir_error(l->err, WEIR_ERR_INVALID,
                          "tensor %s has the shape [%llu, %llu, %llu, %llu], expected [%u, %u]",
                          name, (unsigned long long)t->dims[0], (unsigned long long)t->dims[1],
                          (unsigned long long)t->dims[2], (unsigned long long)t->dims[3], cols,
                          rows);
    }
    *out = (weir_weight_t){
        .data = t->data, .type = t->type, .rows = (uint32_t)t->dims[1], .cols = cols};
    count_tensor(l, t);
    return WEIR_OK;
}

static weir_status_t link_vector(loader_t *l, const char *name, uint32_t n, bool optional,
                                 weir_weight_t *out)
{
    weir_status_t status = link_tensor(l, name, 1, n, optional, out);
    if (status == WEIR_OK && out->data != NULL && out->type != WEIR_DTYPE_F32) {
        return weir_error(l->err, WEIR_ERR_UNSUPPORTED,
                          "tensor %s has type %s, norms and biases must be F32", name,
                          weir_dtype_name(out->type));
    }
    return status;
}

typedef struct {
    const char *name; /* behind "blk.N." */
    uint32_t rows;    /* 0: a vector of F32 */
    uint32_t cols;
    bool wanted;
    bool optional;
    weir_weight_t *out;
} layer_tensor_t;

static weir_status_t link_layer(loader_t *l, uint32_t index)
{
    const weir_model_t *m = l->model;
    weir_layer_t *layer = &l->model->layers[index];
    uint32_t q = m->n_heads * m->head_dim;
    uint32_t kv = m->n_kv_heads * m->head_dim;
    uint32_t d = m->n_embd;
    bool no_bias_ok = l->family->qkv_bias == BIAS_OPTIONAL;
    bool qk = l->family->qk_norm;
    const layer_tensor_t tensors[] = {
        {"attn_norm.weight", 0, d, true, false, &layer->attn_norm},
        {"attn_q.weight", q, d, true, false, &layer->wq},
        {"attn_k.weight", kv, d, true, false, &layer->wk},
        {"attn_v.weight", kv, d, true, false, &layer->wv},
        {"attn_output.weight", d, q, true, false, &layer->wo},
        {"attn_q.bias", 0, q, true, no_bias_ok, &layer->bq},
        {"attn_k.bias", 0, kv, true, no_bias_ok, &layer->bk},
        {"attn_v.bias", 0, kv, true, no_bias_ok, &layer->bv},
        {"attn_q_norm.weight", 0, m->head_dim, qk, false, &layer->q_norm},
        {"attn_k_norm.weight", 0, m->head_dim, qk, false, &layer->k_norm},
        {"ffn_norm.weight", 0, d, true, false, &layer->ffn_norm},
        {"ffn_gate.weight", m->n_ff, d, true, false, &layer->w_gate},
        {"ffn_up.weight", m->n_ff, d, true, false, &layer->w_up},
        {"ffn_down.weight", d, m->n_ff, true, false, &layer->w_down},
    };
    for (size_t i = 0; i < sizeof(tensors) / sizeof(tensors[0]); i++) {
        const layer_tensor_t *t = &tensors[i];
        char name[64];
        snprintf(name, sizeof(name), "blk.%u.%s", index, t->name);
        weir_status_t status = WEIR_OK;
        if (t->wanted && t->rows == 0) {
            status = link_vector(l, name, t->cols, t->optional, t->out);
        } else if (t->wanted) {
            status = link_tensor(l, name, t->rows, t->cols, t->optional, t->out);
        }
        if (status != WEIR_OK) {
            return status;
        }
    }
    return WEIR_OK;
}

static weir_status_t link_rope_divisors(loader_t *l)
{
    weir_rope_t *rope = &l->model->rope;
    weir_weight_t divisors;
    weir_status_t status = link_vector(l, "rope_freqs.weight", rope->dims / 2, true, &divisors);
    if (status != WEIR_OK || divisors.data == NULL) {
        return status;
    }
    rope->freq_divisors = divisors.data;
    for (uint32_t i = 0; i < rope->dims / 2; i++) {
        if (!(rope->freq_divisors[i] > 0) || !isfinite(rope->freq_divisors[i])) {
            return weir_error(l->err, WEIR_ERR_INVALID,
                              "rope_freqs.weight holds a value that is not above zero");
        }
    }
    return WEIR_OK;
}

/* The tokenizer's vocabulary and the embedding must agree, or ids point to nowhere. */
static weir_status_t check_vocabulary(loader_t *l)
{
    weir_gguf_type_t type;
    uint64_t count;
    weir_status_t status = weir_gguf_array(l->gguf, "tokenizer.ggml.tokens", &type, &count);
    if (status == WEIR_ERR_NOT_FOUND) {
        return WEIR_OK;
    }
    if (status != WEIR_OK || type != WEIR_GGUF_STRING) {
        return weir_error(l->err, WEIR_ERR_INVALID,
                          "tokenizer.ggml.tokens is not an array of strings");
    }
    if (count != l->model->n_vocab) {
        return weir_error(l->err, WEIR_ERR_INVALID,
                          "the vocabulary has %llu tokens, token_embd.weight has %u rows",
                          (unsigned long long)count, l->model->n_vocab);
    }
    return WEIR_OK;
}

static weir_status_t link_ends(loader_t *l)
{
    weir_model_t *m = l->model;
    weir_status_t status = link_tensor(l, "token_embd.weight", 0, m->n_embd, false, &m->token_embd);
    if (status != WEIR_OK) {
        return status;
    }
    m->n_vocab = m->token_embd.rows;
    status = check_vocabulary(l);
    if (status == WEIR_OK) {
        status = link_vector(l, "output_norm.weight", m->n_embd, false, &m->output_norm);
    }
    if (status == WEIR_OK) {
        status = link_tensor(l, "output.weight", m->n_vocab, m->n_embd, true, &m->output);
    }
    if (status == WEIR_OK && m->output.data == NULL) {
        m->output = m->token_embd;
        m->tied = true;
    }
    return status;
}

/* A tensor that nothing reads means that the model is more than what would be computed. */
static weir_status_t refuse_unknown_tensors(loader_t *l)
{
    uint32_t count = weir_gguf_tensor_count(l->gguf);
    if (count == l->tensors_used) {
        return WEIR_OK;
    }
    for (uint32_t i = 0; i < count; i++) {
        const weir_gguf_tensor_t *t = weir_gguf_tensor_at(l->gguf, i);
        const uint8_t *p = t->data;
        bool used = p == (const uint8_t *)(const void *)l->model->rope.freq_divisors ||
                    p == l->model->token_embd.data || p == l->model->output.data ||
                    p == l->model->output_norm.data;
        for (uint32_t j = 0; j < l->model->n_layers && !used; j++) {
            const weir_weight_t *w = (const weir_weight_t *)&l->model->layers[j];
            for (size_t k = 0; k < sizeof(weir_layer_t) / sizeof(*w) && !used; k++) {
                used = p == w[k].data;
            }
        }
        if (!used) {
            return weir_error(l->err, WEIR_ERR_UNSUPPORTED,
                              "tensor %.*s is not part of the %s architecture as supported here",
                              (int)t->name.len, t->name.data, l->family->name);
        }
    }
    return WEIR_OK;
}

weir_status_t weir_model_load(const weir_gguf_t *gguf, weir_arena_t *arena, weir_model_t **out,
                              weir_error_t *err)
{
    loader_t l = {.gguf = gguf, .family = &families[0], .arena = arena, .err = err};
    l.model = weir_arena_calloc(arena, 1, sizeof(*l.model));
    if (l.model == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory for the model's table");
    }
    l.model->gguf = gguf;
    weir_status_t status = find_family(&l);
    if (status == WEIR_OK) {
        status = read_hyper_parameters(&l);
    }
    if (status == WEIR_OK) {
        status = link_ends(&l);
    }
    if (status != WEIR_OK) {
        return status;
    }
    l.model->layers = weir_arena_calloc(arena, l.model->n_layers, sizeof(*l.model->layers));
    if (l.model->layers == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory for %u layers", l.model->n_layers);
    }
    for (uint32_t i = 0; i < l.model->n_layers && status == WEIR_OK; i++) {
        status = link_layer(&l, i);
    }
    if (status == WEIR_OK) {
        status = link_rope_divisors(&l);
    }
    if (status == WEIR_OK) {
        status = refuse_unknown_tensors(&l);
    }
    if (status == WEIR_OK) {
        *out = l.model;
    }
    return status;
}

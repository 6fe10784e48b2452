/* A model as data: hyper-parameters, the table of layers, and the rotation of positions. */
#include "engine/llm/model.h"

#include <math.h>

#include "t/support/tap.h"
#include "t/support/tiny_model.h"

typedef struct {
    weir_arena_t arena;
    weir_gguf_t *gguf;
    weir_model_t *model;
} loaded_t;

static void load(const tiny_model_t *spec, loaded_t *l)
{
    weir_error_t err = {0};
    weir_arena_init(&l->arena, 1 << 16, 0);
    weir_buf_t file;
    weir_buf_init(&file, &l->arena);
    weir_status_t status = tiny_model_build(spec, &file, &err);
    char *aligned = weir_arena_alloc(&l->arena, file.len + 32);
    aligned += (32 - (uintptr_t)aligned % 32) % 32;
    memcpy(aligned, file.data, file.len);
    if (status == WEIR_OK) {
        status = weir_gguf_open_memory(aligned, file.len, &l->gguf, &err);
    }
    if (status == WEIR_OK) {
        status = weir_model_load(l->gguf, &l->arena, &l->model, &err);
    }
    ok(status == WEIR_OK, "%s loads%s", spec->arch, err.message);
}

static void unload(loaded_t *l)
{
    weir_gguf_close(l->gguf);
    weir_arena_free(&l->arena);
}

static bool is_matrix(weir_weight_t w, uint32_t rows, uint32_t cols, weir_dtype_t type)
{
    return w.data != NULL && w.rows == rows && w.cols == cols && w.type == type;
}

static void test_layers(void)
{
    tiny_model_t spec;
    tiny_model_defaults(&spec);
    spec.type = WEIR_DTYPE_Q4_1;
    spec.embd_type = WEIR_DTYPE_Q8_0;
    spec.n_layers = 3;
    spec.head_dim = 24;
    loaded_t l;
    load(&spec, &l);
    const weir_model_t *m = l.model;
    ok(m->n_layers == 3 && m->n_embd == 64 && m->n_heads == 4 && m->n_kv_heads == 2 &&
           m->head_dim == 24 && m->n_ff == 128 && m->n_vocab == 384 && m->n_ctx == 512,
       "sizes");
    ok(weir_str_is(m->architecture, "llama") && weir_str_is(m->name, "tiny"), "names");
    ok(m->norm_eps == 1e-2f && m->rope.base == 10000 && m->rope.dims == 24, "numbers");
    const weir_layer_t *y = &m->layers[2];
    ok(is_matrix(y->wq, 96, 64, WEIR_DTYPE_Q4_1) && is_matrix(y->wk, 48, 64, WEIR_DTYPE_Q4_1) &&
           is_matrix(y->wv, 48, 64, WEIR_DTYPE_Q4_1) && is_matrix(y->wo, 64, 96, WEIR_DTYPE_Q4_1),
       "attention");
    ok(is_matrix(y->w_gate, 128, 64, WEIR_DTYPE_Q4_1) &&
           is_matrix(y->w_up, 128, 64, WEIR_DTYPE_Q4_1) &&
           is_matrix(y->w_down, 64, 128, WEIR_DTYPE_Q4_1),
       "feed-forward");
    ok(is_matrix(y->attn_norm, 1, 64, WEIR_DTYPE_F32) && y->bq.data == NULL &&
           y->q_norm.data == NULL,
       "norms, and what llama does not have");
    ok(m->tied && m->output.data == m->token_embd.data && m->output.type == WEIR_DTYPE_Q8_0,
       "a tied head is the embedding");
    long long per_layer = 64 * 96 + 2 * 64 * 48 + 96 * 64 + 3 * 64 * 128 + 2 * 64;
    is_int((long long)m->n_params, 384 * 64 + 64 + 3 * per_layer,
           "parameters are counted, the head once");
    unload(&l);
}

static void test_families(void)
{
    tiny_model_t spec;
    loaded_t l;
    tiny_model_defaults(&spec);
    spec.arch = "qwen2";
    spec.untied = true;
    load(&spec, &l);
    ok(l.model->rope.style == WEIR_ROPE_SPLIT, "qwen2 turns halves");
    ok(is_matrix(l.model->layers[1].bk, 1, 32, WEIR_DTYPE_F32), "and has biases");
    ok(!l.model->tied && l.model->output.data != l.model->token_embd.data, "a head of its own");
    unload(&l);
    tiny_model_defaults(&spec);
    spec.arch = "qwen3";
    load(&spec, &l);
    ok(l.model->rope.style == WEIR_ROPE_SPLIT, "qwen3 turns halves");
    ok(is_matrix(l.model->layers[1].q_norm, 1, 16, WEIR_DTYPE_F32) &&
           l.model->layers[1].bq.data == NULL,
       "and norms its heads");
    unload(&l);
    tiny_model_defaults(&spec);
    spec.bias = true;
    load(&spec, &l);
    ok(l.model->rope.style == WEIR_ROPE_ADJACENT, "llama turns neighbours");
    ok(l.model->layers[0].bq.data != NULL, "and may have biases");
    unload(&l);
}

static bool near(double got, double want)
{
    return fabs(got - want) <= 1e-12 * fabs(want);
}

static void test_frequencies(void)
{
    double f[32];
    double scale;
    weir_rope_t rope = {.dims = 64, .base = 10000, .factor = 1};
    weir_rope_frequencies(&rope, f, &scale);
    ok(near(f[0], 1) && near(f[16], 0.01) && near(f[31], pow(10000, -62.0 / 64)) && scale == 1,
       "no scaling");
    rope.scaling = WEIR_ROPE_SCALING_LINEAR;
    rope.factor = 4;
    weir_rope_frequencies(&rope, f, &scale);
    ok(near(f[0], 0.25) && near(f[16], 0.0025) && scale == 1, "linear");
    float divisors[32];
    for (int i = 0; i < 32; i++) {
        divisors[i] = (float)(i + 1);
    }
    rope = (weir_rope_t){.dims = 64, .base = 10000, .factor = 1, .freq_divisors = divisors};
    weir_rope_frequencies(&rope, f, &scale);
    ok(near(f[0], 1) && near(f[16], 0.01 / 17), "divisors");

    /* 64 dimensions, base 10^6, 4 times 4096: the pairs that turn 32 times and once in 4096 are
     * 64 ln(4096 / (n 2 pi)) / (2 ln 10^6) = 6.98 and 15.01: pairs 0-6 stay, from 16 on a quarter.
     */
    rope = (weir_rope_t){.dims = 64,
                         .base = 1e6f,
                         .scaling = WEIR_ROPE_SCALING_YARN,
                         .factor = 4,
                         .original_context = 4096,
                         .yarn_attn_factor = 1,
                         .yarn_beta_fast = 32,
                         .yarn_beta_slow = 1};
    weir_rope_frequencies(&rope, f, &scale);
    double full[32];
    for (int i = 0; i < 32; i++) {
        full[i] = pow(1e6, -i / 32.0);
    }
    ok(near(f[0], 1) && near(f[6], full[6]) && f[7] < full[7], "YaRN keeps the fast pairs");
    ok(near(f[16], full[16] / 4) && near(f[31], full[31] / 4) && f[15] > full[15] / 4,
       "and stretches the slow ones");
    ok(near(f[11], full[11] * 0.5 + full[11] / 4 * 0.5), "half way between, half of each");
    ok(near(scale, 1 + 0.1 * log(4)), "and scales attention");
}

int main(void)
{
    test_layers();
    test_families();
    test_frequencies();
    return done_testing();
}

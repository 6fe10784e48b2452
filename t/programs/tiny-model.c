/* Writes a tiny random model as a GGUF file: see t/support/tiny_model.h. */
#include "t/support/tiny_model.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "usage: tiny-model --out FILE [options]\n"
    "  --arch llama|qwen2|qwen3   --name TEXT        --seed N\n"
    "  --type T  --embd-type T    F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q4_K Q6_K\n"
    "  --embd N  --heads N  --kv-heads N  --head-dim N  --layers N  --ff N  --vocab N  --ctx N\n"
    "  --untied  --bias  --add-bos  --alignment N\n"
    "  --rope none|linear|yarn|divisors  --rope-factor X  --rope-base X  --rope-dims N\n"
    "  --rope-original N\n"
    "  --pre NAME  --template FILE  --no-template\n";

enum {
    ARCH = 1,
    NAME,
    SEED,
    TYPE,
    EMBD_TYPE,
    EMBD,
    HEADS,
    KV_HEADS,
    HEAD_DIM,
    LAYERS,
    FF,
    VOCAB,
    CTX,
    UNTIED,
    BIAS,
    ADD_BOS,
    ALIGNMENT,
    ROPE,
    ROPE_FACTOR,
    ROPE_BASE,
    ROPE_DIMS,
    ROPE_ORIGINAL,
    PRE,
    TEMPLATE,
    NO_TEMPLATE,
    OUT
};

static const struct option options[] = {
    {"arch", required_argument, NULL, ARCH},
    {"name", required_argument, NULL, NAME},
    {"seed", required_argument, NULL, SEED},
    {"type", required_argument, NULL, TYPE},
    {"embd-type", required_argument, NULL, EMBD_TYPE},
    {"embd", required_argument, NULL, EMBD},
    {"heads", required_argument, NULL, HEADS},
    {"kv-heads", required_argument, NULL, KV_HEADS},
    {"head-dim", required_argument, NULL, HEAD_DIM},
    {"layers", required_argument, NULL, LAYERS},
    {"ff", required_argument, NULL, FF},
    {"vocab", required_argument, NULL, VOCAB},
    {"ctx", required_argument, NULL, CTX},
    {"untied", no_argument, NULL, UNTIED},
    {"bias", no_argument, NULL, BIAS},
    {"add-bos", no_argument, NULL, ADD_BOS},
    {"alignment", required_argument, NULL, ALIGNMENT},
    {"rope", required_argument, NULL, ROPE},
    {"rope-factor", required_argument, NULL, ROPE_FACTOR},
    {"rope-base", required_argument, NULL, ROPE_BASE},
    {"rope-dims", required_argument, NULL, ROPE_DIMS},
    {"rope-original", required_argument, NULL, ROPE_ORIGINAL},
    {"pre", required_argument, NULL, PRE},
    {"template", required_argument, NULL, TEMPLATE},
    {"no-template", no_argument, NULL, NO_TEMPLATE},
    {"out", required_argument, NULL, OUT},
    {NULL, 0, NULL, 0},
};

static void fail(const char *what, const char *which)
{
    fprintf(stderr, "tiny-model: %s %s\n%s", what, which, usage);
    exit(2);
}

static uint32_t number(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value > UINT32_MAX) {
        fail("not a number:", text);
    }
    return (uint32_t)value;
}

static weir_dtype_t type_of(const char *text)
{
    int type = tiny_model_type(text);
    if (type < 0) {
        fail("unknown type", text);
    }
    return (weir_dtype_t)type;
}

static const char *read_file(const char *path)
{
    static char text[65536];
    FILE *f = fopen(path, "rb");
    size_t n = f == NULL ? 0 : fread(text, 1, sizeof(text) - 1, f);
    if (f == NULL || n == 0) {
        fail("cannot read", path);
    }
    fclose(f);
    text[n] = '\0';
    return text;
}

static void set_size(tiny_model_t *spec, int option, const char *value)
{
    uint32_t *const targets[] = {
        [EMBD] = &spec->n_embd,
        [HEADS] = &spec->n_heads,
        [KV_HEADS] = &spec->n_kv_heads,
        [HEAD_DIM] = &spec->head_dim,
        [LAYERS] = &spec->n_layers,
        [FF] = &spec->n_ff,
        [VOCAB] = &spec->n_vocab,
        [CTX] = &spec->n_ctx,
        [ALIGNMENT] = &spec->alignment,
        [ROPE_DIMS] = &spec->rope_dims,
        [ROPE_ORIGINAL] = &spec->rope_original,
    };
    *targets[option] = number(value);
}

static void set_text(tiny_model_t *spec, int option, const char *value)
{
    const char **const targets[] = {
        [ARCH] = &spec->arch, [NAME] = &spec->name, [ROPE] = &spec->rope, [PRE] = &spec->pre};
    *targets[option] = value;
}

static void set_option(tiny_model_t *spec, int option, const char *value)
{
    switch (option) {
    case ARCH:
    case NAME:
    case ROPE:
    case PRE:
        set_text(spec, option, value);
        break;
    case TYPE:
        spec->type = type_of(value);
        break;
    case EMBD_TYPE:
        spec->embd_type = type_of(value);
        break;
    case SEED:
        spec->seed = strtoull(value, NULL, 0);
        break;
    case UNTIED:
        spec->untied = true;
        break;
    case BIAS:
        spec->bias = true;
        break;
    case ADD_BOS:
        spec->add_bos = true;
        break;
    case ROPE_FACTOR:
        spec->rope_factor = strtof(value, NULL);
        break;
    case ROPE_BASE:
        spec->rope_base = strtof(value, NULL);
        break;
    case TEMPLATE:
        spec->chat_template = read_file(value);
        break;
    case NO_TEMPLATE:
        spec->chat_template = "";
        break;
    default:
        set_size(spec, option, value);
        break;
    }
}

int main(int argc, char **argv)
{
    tiny_model_t spec;
    const char *out = NULL;
    tiny_model_defaults(&spec);
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == '?') {
            fail("unknown option in", argv[0]);
        }
        if (option == OUT) {
            out = optarg;
        } else {
            set_option(&spec, option, optarg);
        }
    }
    if (out == NULL || optind != argc) {
        fail("missing", "--out FILE");
    }
    weir_error_t err;
    if (tiny_model_write(&spec, out, &err) != WEIR_OK) {
        fprintf(stderr, "tiny-model: %s\n", err.message);
        return 1;
    }
    return 0;
}

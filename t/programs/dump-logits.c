/*
 * Runs the CPU back end teacher-forced and writes logits:
 *
 *   dump-logits MODEL [--activations int8|float] [--isa NAME] [--threads N]
 *               [--chunk N] [--together] < sequences
 *
 * Standard input: one sequence per line, "WANTED ID ID ...". For each the logits behind its last
 * WANTED tokens go to standard output, row by row, as float32.
 * --chunk N feeds N tokens at a time; --together runs all sequences in the same batches instead of
 * one after the other. Exit status 3: this machine has no such instruction set.
 */
#include "engine/llm/backend.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_SEQUENCES 64

typedef struct {
    int32_t *tokens;
    uint32_t n_tokens;
    uint32_t wanted;
    uint32_t done;    /* tokens already fed */
    uint32_t *blocks; /* its block table */
} sequence_t;

typedef struct {
    const char *model;
    weir_backend_options_t backend;
    uint32_t chunk;
    bool together;
} options_t;

typedef struct {
    options_t options;
    weir_arena_t arena;
    weir_model_t *model;
    weir_backend_t *backend;
    sequence_t sequences[MAX_SEQUENCES];
    uint32_t n_sequences;
    float *logits; /* of one batch */
    float *kept;   /* all wanted rows of all sequences, in their order */
} dump_t;

static void fail(const char *what)
{
    fprintf(stderr, "dump-logits: %s\n", what);
    exit(1);
}

static void *allocate(dump_t *d, size_t count, size_t size)
{
    void *p = weir_arena_calloc(&d->arena, count, size);
    if (p == NULL) {
        fail("out of memory");
    }
    return p;
}

static void parse_options(int argc, char **argv, options_t *o)
{
    static const struct option known[] = {
        {"activations", required_argument, NULL, 'a'}, {"isa", required_argument, NULL, 'i'},
        {"threads", required_argument, NULL, 't'},     {"chunk", required_argument, NULL, 'c'},
        {"together", no_argument, NULL, 'm'},          {NULL, 0, NULL, 0},
    };
    *o = (options_t){.chunk = 512, .backend = {.threads = 1}};
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 'a':
            o->backend.activations =
                strcmp(optarg, "float") == 0 ? WEIR_ACTIVATIONS_FLOAT : WEIR_ACTIVATIONS_INT8;
            break;
        case 'i':
            o->backend.isa = optarg;
            break;
        case 't':
            o->backend.threads = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'c':
            o->chunk = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'm':
            o->together = true;
            break;
        default:
            exit(2);
        }
    }
    if (optind + 1 != argc || o->chunk == 0) {
        fail("usage: dump-logits MODEL [options] < sequences");
    }
    o->model = argv[optind];
}

static void read_sequences(dump_t *d)
{
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0) {
        if (d->n_sequences == MAX_SEQUENCES) {
            fail("too many sequences");
        }
        sequence_t *s = &d->sequences[d->n_sequences++];
        char *at = line;
        s->wanted = (uint32_t)strtoul(at, &at, 10);
        s->tokens = allocate(d, strlen(line), sizeof(*s->tokens));
        for (char *end;; at = end) {
            long id = strtol(at, &end, 10);
            if (end == at) {
                break;
            }
            s->tokens[s->n_tokens++] = (int32_t)id;
        }
        if (s->n_tokens == 0 || s->wanted > s->n_tokens) {
            fail("a line is not WANTED ID ID ...");
        }
    }
    free(line);
}

/* Block tables that run backwards and interleave the sequences, so that nothing is contiguous. */
static uint32_t lay_out_cache(dump_t *d)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < d->n_sequences; i++) {
        uint32_t n = (d->sequences[i].n_tokens + WEIR_KV_BLOCK - 1) / WEIR_KV_BLOCK;
        most = n > most ? n : most;
    }
    uint32_t total = most * d->n_sequences;
    for (uint32_t i = 0; i < d->n_sequences; i++) {
        d->sequences[i].blocks = allocate(d, most, sizeof(uint32_t));
        for (uint32_t j = 0; j < most; j++) {
            d->sequences[i].blocks[j] = total - 1 - (j * d->n_sequences + i);
        }
    }
    return total;
}

static void open_backend(dump_t *d)
{
    weir_error_t err;
    weir_gguf_t *gguf;
    if (weir_gguf_open(d->options.model, &gguf, &err) != WEIR_OK ||
        weir_model_load(gguf, &d->arena, &d->model, &err) != WEIR_OK) {
        fail(err.message);
    }
    weir_backend_options_t *o = &d->options.backend;
    o->n_kv_blocks = lay_out_cache(d);
    o->max_rows = d->options.together ? d->options.chunk * d->n_sequences : d->options.chunk;
    o->max_logits = o->max_rows;
    weir_status_t status = weir_cpu_backend()->open(d->model, o, &d->backend, &err);
    if (status == WEIR_ERR_UNSUPPORTED) {
        fprintf(stderr, "dump-logits: %s\n", err.message);
        exit(3);
    }
    if (status != WEIR_OK) {
        fail(err.message);
    }
}

/* The next chunk of a sequence; how many of its tokens' logits are wanted. */
static weir_batch_seq_t next_chunk(const dump_t *d, const sequence_t *s)
{
    uint32_t left = s->n_tokens - s->done;
    uint32_t n = left < d->options.chunk ? left : d->options.chunk;
    uint32_t first_wanted = s->n_tokens - s->wanted;
    uint32_t end = s->done + n;
    uint32_t wanted = end > first_wanted ? end - first_wanted : 0;
    return (weir_batch_seq_t){.tokens = s->tokens + s->done,
                              .n_tokens = n,
                              .position = s->done,
                              .blocks = s->blocks,
                              .n_logits = wanted < n ? wanted : n};
}

/* Runs sequences first..last-1 in the same batches until all are done. */
static void run(dump_t *d, uint32_t first, uint32_t last)
{
    const size_t n_vocab = d->model->n_vocab;
    for (;;) {
        weir_batch_seq_t parts[MAX_SEQUENCES];
        uint32_t owner[MAX_SEQUENCES] = {0};
        weir_batch_t batch = {.seqs = parts};
        for (uint32_t i = first; i < last; i++) {
            if (d->sequences[i].done < d->sequences[i].n_tokens) {
                owner[batch.n_seqs] = i;
                parts[batch.n_seqs++] = next_chunk(d, &d->sequences[i]);
            }
        }
        if (batch.n_seqs == 0) {
            return;
        }
        weir_error_t err;
        if (weir_cpu_backend()->forward(d->backend, &batch, d->logits, &err) != WEIR_OK) {
            fail(err.message);
        }
        const float *from = d->logits;
        for (uint32_t i = 0; i < batch.n_seqs; i++) {
            sequence_t *s = &d->sequences[owner[i]];
            size_t row = 0;
            for (uint32_t j = 0; j < owner[i]; j++) {
                row += d->sequences[j].wanted;
            }
            uint32_t first_wanted = s->n_tokens - s->wanted;
            row += s->done > first_wanted ? s->done - first_wanted : 0;
            size_t n = parts[i].n_logits * n_vocab;
            memcpy(d->kept + row * n_vocab, from, n * sizeof(float));
            from += n;
            s->done += parts[i].n_tokens;
        }
    }
}

int main(int argc, char **argv)
{
    static dump_t d;
    weir_arena_init(&d.arena, 1 << 20, 0);
    parse_options(argc, argv, &d.options);
    read_sequences(&d);
    open_backend(&d);
    size_t rows = 0;
    for (uint32_t i = 0; i < d.n_sequences; i++) {
        rows += d.sequences[i].wanted;
    }
    size_t n_vocab = d.model->n_vocab;
    d.logits = allocate(&d, (size_t)d.options.backend.max_logits * n_vocab, sizeof(float));
    d.kept = allocate(&d, rows * n_vocab, sizeof(float));
    for (uint32_t i = 0; i < d.n_sequences; i++) {
        run(&d, i, d.options.together ? d.n_sequences : i + 1);
    }
    if (fwrite(d.kept, sizeof(float) * n_vocab, rows, stdout) != rows || fflush(stdout) != 0) {
        fail("cannot write the logits");
    }
    weir_cpu_backend()->close(d.backend);
    const weir_gguf_t *gguf = d.model->gguf;
    weir_gguf_close((weir_gguf_t *)(uintptr_t)gguf);
    weir_arena_free(&d.arena);
    return 0;
}

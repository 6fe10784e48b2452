/* The response pipeline on the command line; usage() says how. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lua-free-filters/chaos.h"
#include "lua-free-filters/include_usage.h"
#include "lua-free-filters/pipeline.h"

static int usage(void)
{
    fputs("usage: pipeline PROTOCOL [OPTION...] < BODY > BODY\n"
          "       pipeline bench EVENTS PIECE [--hide] [--tap]\n"
          "PROTOCOL: chat, completions, responses, messages, other, document\n"
          "  --json            the body is one JSON document\n"
          "  --json-to-sse     the same, and the client asked for a stream\n"
          "  --cut             the upstream broke off behind the body\n"
          "  --stop REASON     stopped behind the body: filter, length, error\n"
          "  --hide            the client did not ask for usage\n"
          "  --tap             nothing is held back\n"
          "  --seed N          cut the body at random places\n"
          "Exit status 3: the connection is to be broken. What was read of usage is written to\n"
          "standard error as JSON. bench tells nanoseconds of CPU time per event.\n",
          stderr);
    return 2;
}

static weir_status_t to_stdout(void *ctx, const char *data, size_t len, bool stable)
{
    (void)ctx;
    (void)stable;
    fwrite(data, 1, len, stdout);
    return WEIR_OK;
}

static weir_status_t to_nowhere(void *ctx, const char *data, size_t len, bool stable)
{
    (void)data;
    (void)stable;
    *(size_t *)ctx += len;
    return WEIR_OK;
}

typedef struct {
    weir_pipeline_config_t config;
    weir_scratch_t *scratch;
    bool hide;
    bool chaos;
    uint64_t seed;
    weir_end_t why;
    weir_stop_t stop;
} options_t;

static bool read_protocol(const char *name, weir_protocol_t *protocol)
{
    static const char *const names[] = {"other",     "chat",     "completions",
                                        "responses", "messages", "document"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            *protocol = (weir_protocol_t)i;
            return true;
        }
    }
    return false;
}

static bool read_stop(const char *name, weir_stop_t *stop)
{
    if (strcmp(name, "filter") == 0) {
        stop->reason = WEIR_STOP_CONTENT_FILTER;
    } else if (strcmp(name, "length") == 0) {
        stop->reason = WEIR_STOP_LENGTH;
    } else if (strcmp(name, "error") == 0) {
        *stop = (weir_stop_t){.reason = WEIR_STOP_ERROR,
                              .status = 429,
                              .type = "insufficient_quota",
                              .code = "insufficient_quota",
                              .message = "the budget is used up"};
    }
    return stop->reason != WEIR_STOP_NONE;
}

static bool read_options(int argc, char **argv, options_t *o)
{
    o->config.in = WEIR_BODY_SSE;
    o->config.out = WEIR_BODY_SSE;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            o->config.in = WEIR_BODY_JSON;
            o->config.out = WEIR_BODY_JSON;
        } else if (strcmp(argv[i], "--json-to-sse") == 0) {
            o->config.in = WEIR_BODY_JSON;
        } else if (strcmp(argv[i], "--cut") == 0) {
            o->why = WEIR_END_CUT;
        } else if (strcmp(argv[i], "--hide") == 0) {
            o->hide = true;
        } else if (strcmp(argv[i], "--tap") == 0) {
            o->config.tap = true;
        } else if (strcmp(argv[i], "--stop") == 0 && i + 1 < argc) {
            if (!read_stop(argv[++i], &o->stop)) {
                return false;
            }
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            o->chaos = true;
            o->seed = strtoull(argv[++i], NULL, 10);
        } else {
            return false;
        }
    }
    return true;
}

static weir_pipeline_t *open_pipeline(weir_arena_t *arena, options_t *o,
                                      weir_usage_reader_t **reader)
{
    weir_pipeline_config_t config = o->config;
    weir_pipeline_t *p;

    o->scratch = weir_scratch_new();
    if (o->scratch == NULL || weir_usage_open(arena, reader) != WEIR_OK) {
        return NULL;
    }
    weir_filter_t filters[] = {weir_usage_filter(*reader), weir_include_usage_filter()};
    config.usage = weir_usage_of(*reader);
    return weir_pipeline_open(arena, o->scratch, &config, filters, o->hide ? 2 : 1, &p) == WEIR_OK
               ? p
               : NULL;
}

static void print_usage(const weir_usage_t *u)
{
    bool estimated;
    uint64_t completion = weir_usage_completion(u, &estimated);

    fprintf(stderr,
            "{\"prompt\":%llu,\"cached\":%llu,\"cache_write\":%llu,\"completion\":%llu,"
            "\"reasoning\":%llu,\"estimated\":%s,\"finish\":\"%s\",\"deltas\":%llu,\"done\":%s,"
            "\"error\":%s}\n",
            (unsigned long long)u->tokens.prompt_tokens,
            (unsigned long long)u->tokens.cached_tokens,
            (unsigned long long)u->tokens.cache_write_tokens, (unsigned long long)completion,
            (unsigned long long)u->tokens.reasoning_tokens, estimated ? "true" : "false",
            weir_finish_name(u->finish), (unsigned long long)u->content_deltas,
            u->done ? "true" : "false", u->error ? "true" : "false");
}

static int filter_stdin(options_t *o)
{
    weir_arena_t arena;
    weir_usage_reader_t *reader;
    weir_chaos_t chaos;
    char buffer[4096];
    size_t n;
    uint32_t delay;
    weir_status_t rc = WEIR_OK;

    weir_arena_init(&arena, 0, 0);
    weir_chaos_init(&chaos, o->seed, 0, 0);
    o->config.write = to_stdout;
    o->config.request_id = "test-1";
    o->config.now = 1700000000;
    weir_pipeline_t *p = open_pipeline(&arena, o, &reader);
    if (p == NULL) {
        return usage();
    }
    while (rc == WEIR_OK && (n = fread(buffer, 1, sizeof(buffer), stdin)) > 0) {
        for (size_t at = 0; at < n && rc == WEIR_OK;) {
            size_t piece = o->chaos ? weir_chaos_next(&chaos, n - at, &delay) : n - at;
            if (o->config.tap) {
                fwrite(buffer + at, 1, piece, stdout);
            }
            rc = weir_pipeline_feed(p, buffer + at, piece);
            at += piece;
        }
    }
    if (rc == WEIR_OK && o->stop.reason != WEIR_STOP_NONE) {
        rc = weir_pipeline_stop(p, &o->stop);
    }
    if (rc == WEIR_OK) {
        rc = weir_pipeline_finish(p, o->why);
    }
    print_usage(weir_usage_of(reader));
    bool broken = weir_pipeline_broken(p);
    weir_scratch_free(o->scratch);
    weir_arena_free(&arena);
    return rc != WEIR_OK ? 1 : broken ? 3 : 0;
}

static int bench(long events, long piece, options_t *o)
{
    static const char event[] =
        "data: {\"id\":\"chatcmpl-8f7d3c2a1b9e4f60a1b2c3d4e5f60718\",\"object\":"
        "\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"smollm2-135m-instruct\","
        "\"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":[{\"index\":0,\"delta\":{\"content\":"
        "\" word\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n";
    enum { COPIES = 64 };
    static char text[COPIES * sizeof(event)];
    size_t len = (sizeof(event) - 1) * COPIES;
    size_t step = piece > 0 ? (size_t)piece : sizeof(event) - 1;
    size_t written = 0;
    weir_arena_t arena;
    weir_usage_reader_t *reader;
    struct timespec from;
    struct timespec to;

    for (size_t i = 0; i < COPIES; i++) {
        memcpy(text + i * (sizeof(event) - 1), event, sizeof(event) - 1);
    }
    weir_arena_init(&arena, 4096, 0);
    o->config.write = to_nowhere;
    o->config.write_ctx = &written;
    weir_pipeline_t *p = open_pipeline(&arena, o, &reader);
    if (p == NULL || events < COPIES) {
        return usage();
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (long i = 0; i < events / COPIES; i++) {
        for (size_t at = 0; at < len; at += step) {
            weir_pipeline_feed(p, text + at, step < len - at ? step : len - at);
        }
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    double ns = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)to.tv_nsec - (double)from.tv_nsec;
    printf("%.0f ns per event of %zu bytes in pieces of %zu, %zu bytes of memory per stream\n",
           ns / (double)(events - events % COPIES), sizeof(event) - 1, step, arena.total);
    weir_scratch_free(o->scratch);
    weir_arena_free(&arena);
    return 0;
}

int main(int argc, char **argv)
{
    options_t o = {0};

    if (argc >= 4 && strcmp(argv[1], "bench") == 0) {
        o.config.protocol = WEIR_PROTOCOL_CHAT;
        o.config.upstream = WEIR_PROTOCOL_CHAT;
        return read_options(argc - 4, argv + 4, &o)
                   ? bench(strtol(argv[2], NULL, 10), strtol(argv[3], NULL, 10), &o)
                   : usage();
    }
    if (argc < 2 || !read_protocol(argv[1], &o.config.protocol) ||
        !read_options(argc - 2, argv + 2, &o)) {
        return usage();
    }
    o.config.upstream = o.config.protocol;
    return filter_stdin(&o);
}

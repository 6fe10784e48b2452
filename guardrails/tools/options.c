/* Options of scan and redact, the session that they open, and reading files. */
#include "guardrails/tools/tool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#define MAX_INPUT ((size_t)1 << 30)

int weir_guard_complain(const char *fmt, ...)
{
    char message[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    fprintf(stderr, "weir-guard: %s\n", message);
    return 1;
}

/* Switches the types and rules of a comma-separated list. */
static bool add_entities(weir_guard_tool_options_t *o, char *list, bool on)
{
    for (char *name = strtok(list, ","); name != NULL; name = strtok(NULL, ",")) {
        if (o->rules.entity_count == sizeof(o->entities) / sizeof(o->entities[0])) {
            return false;
        }
        o->entities[o->rules.entity_count++] = (weir_guard_entity_t){.name = name, .on = on};
    }
    return true;
}

/* The lines of a file as values. */
static bool read_values(weir_guard_tool_options_t *o, const char *path, weir_guard_custom_t *custom)
{
    weir_str_t text = {NULL, 0};
    if (weir_guard_read_file(path, &o->arena, &text) != 0) {
        return false;
    }
    size_t lines = 1;
    for (size_t i = 0; i < text.len; i++) {
        lines += text.data[i] == '\n';
    }
    weir_str_t *values = weir_arena_calloc(&o->arena, lines, sizeof(*values));
    size_t count = 0;
    for (size_t i = 0; values != NULL && i < text.len;) {
        size_t end = i;
        while (end < text.len && text.data[end] != '\n') {
            end++;
        }
        size_t len = end - i - (end > i && text.data[end - 1] == '\r');
        if (len > 0) {
            values[count++] = weir_str(text.data + i, len);
        }
        i = end + 1;
    }
    custom->values = values;
    custom->value_count = count;
    custom->ignore_case = true;
    return values != NULL;
}

static bool add_custom(weir_guard_tool_options_t *o, char *text, bool list)
{
    char *equals = strchr(text, '=');
    if (equals == NULL || equals == text ||
        o->rules.custom_count == sizeof(o->custom) / sizeof(o->custom[0])) {
        return false;
    }
    *equals = '\0';
    weir_guard_custom_t *custom = &o->custom[o->rules.custom_count++];
    *custom = (weir_guard_custom_t){.type = text};
    if (list) {
        return read_values(o, equals + 1, custom);
    }
    custom->expression = equals + 1;
    return true;
}

/* An option with a value: true when it was understood. */
static bool valued(weir_guard_tool_options_t *o, const char *name, char *value)
{
    char *end = NULL;
    if (strcmp(name, "--only") == 0) {
        o->rules.pii = false;
        o->rules.secrets = false;
        return add_entities(o, value, true);
    }
    if (strcmp(name, "--on") == 0 || strcmp(name, "--off") == 0) {
        return add_entities(o, value, name[3] == 'n');
    }
    if (strcmp(name, "--entity") == 0 || strcmp(name, "--list") == 0) {
        return add_custom(o, value, name[2] == 'l');
    }
    if (strcmp(name, "--min-score") == 0) {
        o->rules.min_score = strtof(value, &end);
        return *end == '\0' && o->rules.min_score > 0 && o->rules.min_score <= 1;
    }
    if (strcmp(name, "--stream") == 0) {
        unsigned long n = strtoul(value, &end, 10);
        o->stream = n;
        return *end == '\0' && n > 0 && n <= MAX_INPUT && value[0] != '-';
    }
    return false;
}

static bool plain(weir_guard_tool_options_t *o, const char *name)
{
    static const char *const names[] = {"--jsonl",     "--no-pii",   "--no-secrets",
                                        "--no-scores", "--holdback", "--no-prefilter"};
    size_t i = 0;
    while (i < sizeof(names) / sizeof(names[0]) && strcmp(names[i], name) != 0) {
        i++;
    }
    switch (i) {
    case 0:
        o->jsonl = true;
        return true;
    case 1:
        o->rules.pii = false;
        return true;
    case 2:
        o->rules.secrets = false;
        return true;
    case 3:
        o->scores = false;
        return true;
    case 4:
        o->rules.streaming = true;
        return true;
    case 5:
        o->rules.no_prefilter = true;
        return true;
    default:
        return false;
    }
}

int weir_guard_tool_options(int argc, char **argv, weir_guard_tool_options_t *o)
{
    *o = (weir_guard_tool_options_t){.rules = {.pii = true, .secrets = true}, .scores = true};
    weir_arena_init(&o->arena, 0, 0);
    int i = 1;
    for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (plain(o, argv[i])) {
            continue;
        }
        if (i + 1 >= argc || !valued(o, argv[i], argv[i + 1])) {
            weir_guard_complain("%s %s: not understood; weir-guard --help lists the options",
                                argv[i], i + 1 < argc ? argv[i + 1] : "");
            weir_guard_tool_options_free(o);
            return 2;
        }
        i++;
    }
    o->rules.entities = o->entities;
    o->rules.custom = o->custom;
    o->files = (const char *const *)(argv + i);
    o->file_count = argc - i;
    return 0;
}

void weir_guard_tool_options_free(weir_guard_tool_options_t *o)
{
    weir_arena_free(&o->arena);
}

int weir_guard_session_open(const weir_guard_tool_options_t *o, weir_guard_session_t *s)
{
    weir_error_t err;
    *s = (weir_guard_session_t){.scores = o->scores};
    if (weir_guard_rules_compile(&o->rules, &s->rules, &err) != WEIR_OK) {
        return weir_guard_complain("%s%s%s", err.field, err.field[0] == '\0' ? "" : ": ",
                                   err.message);
    }
    s->scratch = weir_guard_scratch_create();
    if (s->scratch == NULL) {
        weir_guard_session_close(s);
        return weir_guard_complain("no memory");
    }
    if (s->scores && weir_classifier_open_builtin(&s->classifier, &err) != WEIR_OK) {
        weir_guard_session_close(s);
        return weir_guard_complain("%s", err.message);
    }
    return 0;
}

void weir_guard_session_close(weir_guard_session_t *s)
{
    weir_guard_rules_free(s->rules);
    weir_guard_scratch_free(s->scratch);
    weir_guard_fold_free(&s->fold);
}

const char *weir_guard_default_action(const weir_guard_session_t *s,
                                      const weir_guard_result_t *result,
                                      const weir_scores_t *scores)
{
    weir_zone_t worst = WEIR_ZONE_PASS;
    for (unsigned h = 0; scores != NULL && h < WEIR_HEADS; h++) {
        weir_zone_t zone = weir_classify_zone(&s->classifier, (weir_head_t)h, scores->p[h]);
        worst = zone > worst ? zone : worst;
    }
    if (worst == WEIR_ZONE_BLOCK) {
        return "block";
    }
    if (result->count > 0) {
        return "redact";
    }
    return worst == WEIR_ZONE_REVIEW ? "flag" : "pass";
}

int weir_guard_read_file(const char *path, weir_arena_t *arena, weir_str_t *text)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdin : fopen(path, "rb");
    weir_buf_t buf;
    char piece[65536];
    size_t n = 0;
    if (file == NULL) {
        return weir_guard_complain("%s: %s", path, strerror(errno));
    }
    weir_buf_init(&buf, arena);
    while (buf.len <= MAX_INPUT && (n = fread(piece, 1, sizeof(piece), file)) > 0) {
        weir_buf_append(&buf, piece, n);
    }
    bool failed = ferror(file) != 0;
    if (!standard) {
        fclose(file);
    }
    if (failed || buf.failed || buf.len > MAX_INPUT) {
        return weir_guard_complain("%s: %s", path,
                                   failed ? "cannot be read" : "too large, at most 1 GiB");
    }
    *text = weir_str(buf.len == 0 ? "" : buf.data, buf.len);
    return 0;
}

#include "policies/tools/weir_tool.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/json.h"
#include "policies/timestamp.h"

static const char help[] =
    "Usage: weir usage --ledger FILE [--by GROUP] [--tenant ID] [--since TIME] [--until TIME]\n"
    "                  [--json]\n"
    "\n"
    "Adds up a usage ledger (one JSON object a line).\n"
    "\n"
    "  --ledger FILE  the ledger; - reads standard input\n"
    "  --by GROUP     tenant, team, user, key, model, status or day [tenant]\n"
    "  --tenant ID    only this tenant's rows\n"
    "  --since TIME   only rows from this time on, such as 2030-01-31 or 2030-01-31T12:00:00Z\n"
    "  --until TIME   only rows before this time\n"
    "  --json         one JSON object a group and line\n"
    "\n"
    "Lines that are no ledger rows are counted and reported; the exit status is then 1.\n";

typedef struct {
    char name[128];
    uint64_t requests;
    uint64_t errors; /* status 400 and above */
    uint64_t aborted;
    uint64_t prompt;
    uint64_t cached;
    uint64_t cache_write;
    uint64_t completion;
    uint64_t reasoning;
} group_t;

typedef struct {
    const char *path;
    const char *by;
    const char *tenant;
    int64_t since;
    int64_t until;
    bool json;

    group_t *groups; /* kept sorted by name: few groups, many rows */
    size_t n_groups;
    size_t cap_groups;
    uint64_t bad_lines;
    uint64_t first_bad;
} report_t;

/* The group of that name, made when missing; NULL when out of memory. */
static group_t *find_group(report_t *r, const char *name)
{
    size_t low = 0;
    size_t high = r->n_groups;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, r->groups[middle].name);
        if (order == 0) {
            return &r->groups[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    if (r->n_groups == r->cap_groups) {
        size_t cap = r->cap_groups == 0 ? 16 : 2 * r->cap_groups;
        group_t *grown = realloc(r->groups, cap * sizeof(*grown));
        if (grown == NULL) {
            return NULL;
        }
        r->groups = grown;
        r->cap_groups = cap;
    }
    memmove(&r->groups[low + 1], &r->groups[low], (r->n_groups - low) * sizeof(group_t));
    memset(&r->groups[low], 0, sizeof(group_t));
    snprintf(r->groups[low].name, sizeof(r->groups[low].name), "%s", name);
    r->n_groups++;
    return &r->groups[low];
}

static bool get_text(const weir_json_doc_t *doc, const char *key, weir_arena_t *arena,
                     weir_str_t *out)
{
    uint32_t node = weir_json_get(doc, 0, key);
    *out = WEIR_STR("");
    return node != WEIR_JSON_NONE && (weir_json_type(doc, node) == WEIR_JSON_NULL ||
                                      weir_json_string(doc, node, arena, out) == WEIR_OK);
}

static bool get_count(const weir_json_doc_t *doc, const char *key, int64_t *out)
{
    uint32_t node = weir_json_get(doc, 0, key);
    return node != WEIR_JSON_NONE && weir_json_int64(doc, node, out) && *out >= 0;
}

/* A member that only some rows have. */
static bool get_present(const weir_json_doc_t *doc, const char *key, weir_arena_t *arena,
                        weir_str_t *out)
{
    *out = WEIR_STR("");
    return weir_json_get(doc, 0, key) == WEIR_JSON_NONE || get_text(doc, key, arena, out);
}

static bool get_present_count(const weir_json_doc_t *doc, const char *key, int64_t *out)
{
    *out = 0;
    return weir_json_get(doc, 0, key) == WEIR_JSON_NONE || get_count(doc, key, out);
}

/*
 * The group's name for this row: teams and users are named within their tenants. False when the row
 * lacks the member.
 */
static bool place_name(const report_t *r, const weir_json_doc_t *doc, weir_arena_t *arena,
                       char out[128])
{
    weir_str_t tenant;
    weir_str_t place;

    if (!get_text(doc, "tenant", arena, &tenant) || !get_present(doc, r->by, arena, &place)) {
        return false;
    }
    tenant = tenant.len == 0 ? WEIR_STR("-") : tenant;
    place = place.len == 0 ? WEIR_STR("-") : place;
    snprintf(out, 128, "%.*s/%.*s", (int)(tenant.len < 63 ? tenant.len : 63), tenant.data,
             (int)(place.len < 63 ? place.len : 63), place.data);
    return true;
}

/* The group's name for this row; false when the row lacks the member. */
static bool group_name(const report_t *r, const weir_json_doc_t *doc, weir_arena_t *arena,
                       char out[128])
{
    weir_str_t text;
    int64_t status;

    if (strcmp(r->by, "status") == 0) {
        if (!get_count(doc, "status", &status)) {
            return false;
        }
        snprintf(out, 128, "%lld", (long long)status);
        return true;
    }
    if (strcmp(r->by, "day") == 0) {
        if (!get_text(doc, "ts", arena, &text) || text.len < 10) {
            return false;
        }
        text.len = 10;
    } else if (strcmp(r->by, "team") == 0 || strcmp(r->by, "user") == 0) {
        return place_name(r, doc, arena, out);
    } else if (!get_text(doc, strcmp(r->by, "key") == 0 ? "key_id" : r->by, arena, &text)) {
        return false;
    }
    text = text.len == 0 ? WEIR_STR("-") : text;
    snprintf(out, 128, "%.*s", (int)(text.len < 127 ? text.len : 127), text.data);
    return true;
}

/* Adds one line; false when it is no ledger row. */
static bool add_line(report_t *r, const char *line, size_t len, weir_arena_t *arena)
{
    weir_json_doc_t doc;
    weir_str_t ts;
    weir_str_t tenant;
    char name[128];
    int64_t ms;
    int64_t status;
    int64_t prompt;
    int64_t cached;
    int64_t completion;
    int64_t cache_write;
    int64_t reasoning;

    if (weir_json_parse(line, len, NULL, arena, &doc, NULL) != WEIR_OK ||
        weir_json_type(&doc, 0) != WEIR_JSON_OBJECT || !get_text(&doc, "ts", arena, &ts) ||
        !weir_timestamp_parse(ts, &ms) || !get_text(&doc, "tenant", arena, &tenant) ||
        !get_count(&doc, "status", &status) || !get_count(&doc, "prompt_tokens", &prompt) ||
        !get_count(&doc, "cached_tokens", &cached) ||
        !get_count(&doc, "completion_tokens", &completion) ||
        !get_present_count(&doc, "cache_write_tokens", &cache_write) ||
        !get_present_count(&doc, "reasoning_tokens", &reasoning) ||
        !group_name(r, &doc, arena, name)) {
        return false;
    }
    if (ms < r->since || ms >= r->until || (r->tenant != NULL && !weir_str_is(tenant, r->tenant))) {
        return true;
    }
    group_t *group = find_group(r, name);
    if (group == NULL) {
        return false;
    }
    uint32_t aborted = weir_json_get(&doc, 0, "aborted");
    group->requests++;
    group->errors += status >= 400;
    group->aborted += aborted != WEIR_JSON_NONE && weir_json_type(&doc, aborted) == WEIR_JSON_TRUE;
    group->prompt += (uint64_t)prompt;
    group->cached += (uint64_t)cached;
    group->cache_write += (uint64_t)cache_write;
    group->completion += (uint64_t)completion;
    group->reasoning += (uint64_t)reasoning;
    return true;
}

static int read_ledger(report_t *r)
{
    weir_arena_t arena;
    char *line = NULL;
    size_t cap = 0;
    uint64_t number = 0;
    uint64_t bytes = 0;
    bool show = isatty(STDERR_FILENO) != 0;
    ssize_t n;
    FILE *file = strcmp(r->path, "-") == 0 ? stdin : fopen(r->path, "re");

    if (file == NULL) {
        return weir_tool_fail(WEIR_EXIT_FAILED, "%s: %s", r->path, strerror(errno));
    }
    weir_arena_init(&arena, 0, 0);
    while ((n = getline(&line, &cap, file)) > 0) {
        number++;
        bytes += (uint64_t)n;
        if (!add_line(r, line, (size_t)n, &arena)) {
            r->first_bad = r->bad_lines++ == 0 ? number : r->first_bad;
        }
        weir_arena_reset(&arena);
        if (show && number % 200000 == 0) {
            fprintf(stderr, "\r%llu rows, %llu MB", (unsigned long long)number,
                    (unsigned long long)(bytes / 1000000));
        }
    }
    if (show && number >= 200000) {
        fputc('\n', stderr);
    }
    bool failed = ferror(file) != 0;
    weir_arena_free(&arena);
    free(line);
    if (file != stdin) {
        fclose(file);
    }
    return failed ? weir_tool_fail(WEIR_EXIT_FAILED, "%s: read error", r->path) : WEIR_EXIT_OK;
}

static void print_json(const report_t *r, const group_t *g)
{
    weir_arena_t arena;
    weir_buf_t name;

    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&name, &arena);
    weir_json_write_string(&name, weir_str(g->name, strlen(g->name)));
    printf("{\"%s\":%.*s,\"requests\":%llu,\"errors\":%llu,\"aborted\":%llu,\"prompt_tokens\":%llu,"
           "\"cached_tokens\":%llu,\"cache_write_tokens\":%llu,\"completion_tokens\":%llu,"
           "\"reasoning_tokens\":%llu}\n",
           r->by, (int)name.len, name.data, (unsigned long long)g->requests,
           (unsigned long long)g->errors, (unsigned long long)g->aborted,
           (unsigned long long)g->prompt, (unsigned long long)g->cached,
           (unsigned long long)g->cache_write, (unsigned long long)g->completion,
           (unsigned long long)g->reasoning);
    weir_arena_free(&arena);
}

static void print_row(const char *name, const group_t *g)
{
    printf("%-28s %10llu %8llu %8llu %14llu %14llu %14llu\n", name, (unsigned long long)g->requests,
           (unsigned long long)g->errors, (unsigned long long)g->aborted,
           (unsigned long long)g->prompt, (unsigned long long)g->cached,
           (unsigned long long)g->completion);
}

static void print_table(const report_t *r)
{
    group_t sum = {0};

    printf("%-28s %10s %8s %8s %14s %14s %14s\n", r->by, "requests", "errors", "aborted", "prompt",
           "cached", "completion");
    for (size_t i = 0; i < r->n_groups; i++) {
        const group_t *g = &r->groups[i];
        print_row(g->name, g);
        sum.requests += g->requests;
        sum.errors += g->errors;
        sum.aborted += g->aborted;
        sum.prompt += g->prompt;
        sum.cached += g->cached;
        sum.completion += g->completion;
    }
    print_row("total", &sum);
}

static bool known_group(const char *by)
{
    static const char *const groups[] = {"tenant", "team", "user", "key", "model", "status", "day"};
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (strcmp(by, groups[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int parse_options(int argc, char **argv, report_t *r)
{
    static const struct option options[] = {
        {"ledger", required_argument, NULL, 'l'}, {"by", required_argument, NULL, 'b'},
        {"tenant", required_argument, NULL, 't'}, {"since", required_argument, NULL, 's'},
        {"until", required_argument, NULL, 'u'},  {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 'l':
            r->path = optarg;
            break;
        case 'b':
            r->by = optarg;
            break;
        case 't':
            r->tenant = optarg;
            break;
        case 's':
        case 'u':
            if (!weir_timestamp_parse(weir_str(optarg, strlen(optarg)),
                                      c == 's' ? &r->since : &r->until)) {
                return weir_tool_fail(WEIR_EXIT_USAGE,
                                      "\"%s\" is no time such as 2030-01-31T12:00:00Z", optarg);
            }
            break;
        case 'j':
            r->json = true;
            break;
        case 'h':
            fputs(help, stdout);
            return -1;
        default:
            fputs(help, stderr);
            return WEIR_EXIT_USAGE;
        }
    }
    if (optind < argc || r->path == NULL) {
        fputs(help, stderr);
        return WEIR_EXIT_USAGE;
    }
    if (!known_group(r->by)) {
        return weir_tool_fail(
            WEIR_EXIT_USAGE, "--by takes tenant, team, user, key, model, status or day, not \"%s\"",
            r->by);
    }
    return WEIR_EXIT_OK;
}

int weir_tool_usage(int argc, char **argv)
{
    report_t r = {.by = "tenant", .since = INT64_MIN, .until = INT64_MAX};
    int rc = parse_options(argc, argv, &r);

    if (rc != WEIR_EXIT_OK) {
        return rc < 0 ? WEIR_EXIT_OK : rc;
    }
    rc = read_ledger(&r);
    if (rc == WEIR_EXIT_OK) {
        if (r.json) {
            for (size_t i = 0; i < r.n_groups; i++) {
                print_json(&r, &r.groups[i]);
            }
        } else {
            print_table(&r);
        }
        if (r.bad_lines > 0) {
            rc = weir_tool_fail(WEIR_EXIT_FAILED,
                                "%s: %llu lines are no ledger rows, the first is %llu", r.path,
                                (unsigned long long)r.bad_lines, (unsigned long long)r.first_bad);
        }
    }
    free(r.groups);
    return rc;
}

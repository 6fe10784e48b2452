#include "policies/tools/weir_check.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "policies/guards.h"
#include "policies/tools/weir_tool.h"

static const char help[] =
    "Usage: weir check [--tenants FILE [DOCUMENTS] [--journal FILE] [--state FILE]\n"
    "                   [--save-state FILE] [--key ID [--json]]]\n"
    "                  [--guards FILE] [--conf FILE [--prefix DIR] [--nginx PROGRAM]]\n"
    "\n"
    "Tells whether a reload would accept the files, and what it would change; changes nothing.\n"
    "\n"
    "  --tenants FILE   check a tenants document and summarise it\n"
    "  --policies FILE, --identity FILE, --routes FILE, --prices FILE\n"
    "                   the other documents, checked together with it\n"
    "  --journal FILE   changes made at run time, laid over the documents\n"
    "  --state FILE     tell what appears, vanishes and changes against this state\n"
    "  --save-state FILE  keep the state for that\n"
    "  --key ID         show the effective policy of a key: each field, its level and its place\n"
    "  --json           with --key: one JSON object\n"
    "  --guards FILE    check a guards document, with all expressions in it\n"
    "  --conf FILE      test an NGINX configuration, and the documents that it names, with nginx "
    "-t\n"
    "  --prefix DIR     NGINX's prefix (-p) for relative paths\n"
    "  --nginx PROGRAM  the NGINX to ask [nginx]\n"
    "\n"
    "Exit status: 0 all good, 1 an error was found, 2 wrong usage.\n";

typedef struct {
    weir_registry_paths_t paths;
    const char *journal;
    const char *state;
    const char *save_state;
    const char *key;
    bool json;
    const char *guards;
    const char *conf;
    const char *prefix;
    const char *nginx;
} options_t;

/* The documents with the journal on top; NULL after a message. */
static weir_registry_t *load(const options_t *o, int64_t now, size_t *orphans)
{
    weir_registry_t *documents = NULL;
    weir_registry_t *all = NULL;
    weir_journal_t *journal = NULL;
    weir_error_t err = {0};
    weir_status_t rc = weir_registry_load(&o->paths, now, &documents, &err);

    if (rc == WEIR_OK && o->journal == NULL) {
        return documents;
    }
    if (rc == WEIR_OK) {
        rc = weir_journal_open(o->journal, false, &journal, &err);
    }
    if (rc == WEIR_OK) {
        rc = weir_registry_follow(documents, journal, &all, orphans, &err);
    }
    weir_journal_close(journal);
    weir_registry_unref(documents);
    if (rc != WEIR_OK) {
        weir_tool_fail(WEIR_EXIT_FAILED, "%s", err.message);
    }
    return all;
}

static void summarise(const options_t *o, const weir_registry_t *r, int64_t now, size_t orphans)
{
    const weir_tenants_t *tenants = weir_registry_tenants(r);
    const weir_api_key_t *key;
    size_t n = 0;
    size_t active = 0;
    size_t at_runtime = 0;

    for (size_t cursor = 0; weir_registry_next_key(r, &cursor, &key);) {
        n++;
        active += weir_key_verdict(key, now) == WEIR_AUTH_OK;
        at_runtime += key->at_runtime;
    }
    printf("%s: good: %zu tenants, %zu keys, %zu of them usable now\n", o->paths.tenants,
           weir_tenants_count(tenants), n, active);
    const char *others[] = {o->paths.policies, o->paths.identity, o->paths.routes, o->paths.prices};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (others[i] != NULL) {
            printf("%s: good\n", others[i]);
        }
    }
    if (o->journal != NULL) {
        printf("%s: good: up to change %llu, %zu keys made or changed by it", o->journal,
               (unsigned long long)weir_registry_seq(r), at_runtime);
        if (orphans > 0) {
            printf(", %zu changes without effect (their key or tenant is gone)", orphans);
        }
        putchar('\n');
    }
}

/* An alias to what the same policy does not allow can never be used. */
static void warn_aliases(const weir_policy_t *policy, const char *kind, weir_str_t who)
{
    weir_str_t name;
    weir_str_t target;
    weir_str_t runs;

    for (size_t i = 0; weir_policy_alias_at(policy, i, &name, &target); i++) {
        if (!weir_policy_model(policy, name, &runs)) {
            printf("note: %s %.*s: the alias %.*s stands for %.*s, which its policy does not "
                   "allow\n",
                   kind, (int)who.len, who.data, (int)name.len, name.data, (int)target.len,
                   target.data);
        }
    }
}

static int check_documents(const options_t *o)
{
    int64_t now = (int64_t)time(NULL);
    size_t orphans = 0;
    weir_registry_t *r = load(o, now, &orphans);
    int result = WEIR_EXIT_OK;

    if (r == NULL) {
        return WEIR_EXIT_FAILED;
    }
    if (o->key != NULL) {
        result = weir_tool_explain(r, o->key, o->json);
    } else {
        const weir_tenants_t *tenants = weir_registry_tenants(r);
        summarise(o, r, now, orphans);
        for (size_t i = 0; i < weir_tenants_count(tenants); i++) {
            const weir_tenant_t *tenant = weir_tenants_at(tenants, i);
            warn_aliases(tenant->policy, "tenant", tenant->id);
        }
    }
    if (result == WEIR_EXIT_OK && o->state != NULL) {
        result = weir_tool_compare(r, o->state);
    }
    if (result == WEIR_EXIT_OK && o->save_state != NULL) {
        result = weir_tool_save_state(r, o->save_state);
    }
    weir_registry_unref(r);
    return result;
}

static const char *mode_name(weir_guard_stream_t mode)
{
    static const char *const names[] = {"holdback", "window", "buffer", "observe"};
    return names[mode];
}

static int check_guards(const char *path)
{
    weir_arena_t arena;
    weir_guards_t *guards = NULL;
    weir_error_t err = {0};

    weir_arena_init(&arena, 0, 0);
    if (weir_guards_load(path, &arena, &guards, &err) != WEIR_OK) {
        weir_tool_fail(WEIR_EXIT_FAILED, "%s", err.message);
        weir_arena_free(&arena);
        return WEIR_EXIT_FAILED;
    }
    printf("%s: good: %zu policies\n", path, weir_guards_count(guards));
    for (size_t i = 0; i < weir_guards_count(guards); i++) {
        const weir_guard_policy_t *p = weir_guards_at(guards, i);
        printf("  %.*s %.8s: answers by %s%s%s%s\n", (int)p->name.len, p->name.data, p->hash,
               mode_name(p->mode), p->tier2.url.len > 0 ? ", asks " : "",
               p->tier2.url.len > 0 ? p->tier2.url.data : "", p->shadow ? ", in shadow mode" : "");
    }
    weir_guards_free(guards);
    weir_arena_free(&arena);
    return WEIR_EXIT_OK;
}

static int check_nginx(const char *program, const char *conf, const char *prefix)
{
    int status;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid < 0) {
        return weir_tool_fail(WEIR_EXIT_FAILED, "cannot start %s: %s", program, strerror(errno));
    }
    if (pid == 0) {
        if (prefix != NULL) {
            execlp(program, program, "-t", "-p", prefix, "-c", conf, (char *)NULL);
        } else {
            execlp(program, program, "-t", "-c", conf, (char *)NULL);
        }
        weir_tool_fail(1, "cannot start %s: %s", program, strerror(errno));
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return weir_tool_fail(WEIR_EXIT_FAILED, "waiting for %s: %s", program, strerror(errno));
        }
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? WEIR_EXIT_OK : WEIR_EXIT_FAILED;
}

/* 0 to go on, else an exit status + 1. */
static int parse_options(int argc, char **argv, options_t *o)
{
    static const struct option options[] = {
        {"tenants", required_argument, NULL, 't'},
        {"policies", required_argument, NULL, 'o'},
        {"identity", required_argument, NULL, 'i'},
        {"routes", required_argument, NULL, 'r'},
        {"prices", required_argument, NULL, 'm'},
        {"journal", required_argument, NULL, 'l'},
        {"state", required_argument, NULL, 's'},
        {"key", required_argument, NULL, 'k'},
        {"save-state", required_argument, NULL, 'w'},
        {"guards", required_argument, NULL, 'g'},
        {"conf", required_argument, NULL, 'c'},
        {"prefix", required_argument, NULL, 'p'},
        {"nginx", required_argument, NULL, 'n'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const struct {
        int c;
        const char **value;
    } values[] = {
        {'t', &o->paths.tenants},  {'o', &o->paths.policies},
        {'i', &o->paths.identity}, {'r', &o->paths.routes},
        {'m', &o->paths.prices},   {'l', &o->journal},
        {'s', &o->state},          {'k', &o->key},
        {'w', &o->save_state},     {'c', &o->conf},
        {'p', &o->prefix},         {'n', &o->nginx},
        {'g', &o->guards},
    };
    int c;

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        bool known = c == 'j';
        o->json = o->json || c == 'j';
        if (c == 'h') {
            fputs(help, stdout);
            return WEIR_EXIT_OK + 1;
        }
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
            if (values[i].c == c) {
                *values[i].value = optarg;
                known = true;
            }
        }
        if (!known) {
            fputs(help, stderr);
            return WEIR_EXIT_USAGE + 1;
        }
    }
    bool others = o->paths.policies != NULL || o->paths.identity != NULL ||
                  o->paths.routes != NULL || o->paths.prices != NULL || o->journal != NULL ||
                  o->state != NULL || o->save_state != NULL || o->key != NULL;
    if (optind < argc ||
        (o->paths.tenants == NULL && (others || (o->conf == NULL && o->guards == NULL))) ||
        (o->json && o->key == NULL)) {
        fputs(help, stderr);
        return WEIR_EXIT_USAGE + 1;
    }
    return 0;
}

int weir_tool_check(int argc, char **argv)
{
    options_t o = {.nginx = "nginx"};
    int result = parse_options(argc, argv, &o);

    if (result != 0) {
        return result - 1;
    }
    result = WEIR_EXIT_OK;
    if (o.paths.tenants != NULL) {
        result = check_documents(&o);
    }
    if (o.guards != NULL && check_guards(o.guards) != WEIR_EXIT_OK) {
        result = WEIR_EXIT_FAILED;
    }
    if (o.conf != NULL && check_nginx(o.nginx, o.conf, o.prefix) != WEIR_EXIT_OK) {
        result = WEIR_EXIT_FAILED;
    }
    return result;
}

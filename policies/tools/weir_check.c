#include "policies/tools/weir_tool.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "policies/tenants.h"

static const char help[] =
    "Usage: weir check [--tenants FILE] [--conf FILE [--prefix DIR] [--nginx PROGRAM]]\n"
    "\n"
    "Tells whether a reload would accept the files; changes nothing.\n"
    "\n"
    "  --tenants FILE   check a tenants document and summarise it\n"
    "  --conf FILE      test an NGINX configuration, and the documents that it names, with nginx "
    "-t\n"
    "  --prefix DIR     NGINX's prefix (-p) for relative paths\n"
    "  --nginx PROGRAM  the NGINX to ask [nginx]\n"
    "\n"
    "Exit status: 0 all good, 1 an error was found, 2 wrong usage.\n";

static int check_tenants(const char *path)
{
    weir_arena_t arena;
    weir_tenants_t *tenants;
    weir_error_t err;
    size_t active = 0;
    int64_t now = (int64_t)time(NULL);

    weir_arena_init(&arena, 0, 0);
    if (weir_tenants_load(path, &arena, &tenants, &err) != WEIR_OK) {
        weir_arena_free(&arena);
        return weir_tool_fail(WEIR_EXIT_FAILED, "%s", err.message);
    }
    for (size_t i = 0; i < weir_tenants_key_count(tenants); i++) {
        const weir_api_key_t *key = weir_tenants_key_at(tenants, i);
        active += key->enabled && key->tenant->enabled && (key->expires == 0 || key->expires > now);
    }
    printf("%s: good: %zu tenants, %zu keys, %zu of them usable now\n", path,
           weir_tenants_count(tenants), weir_tenants_key_count(tenants), active);
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

int weir_tool_check(int argc, char **argv)
{
    static const struct option options[] = {
        {"tenants", required_argument, NULL, 't'}, {"conf", required_argument, NULL, 'c'},
        {"prefix", required_argument, NULL, 'p'},  {"nginx", required_argument, NULL, 'n'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    const char *tenants = NULL;
    const char *conf = NULL;
    const char *prefix = NULL;
    const char *nginx = "nginx";
    int result = WEIR_EXIT_OK;
    int c;

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 't':
            tenants = optarg;
            break;
        case 'c':
            conf = optarg;
            break;
        case 'p':
            prefix = optarg;
            break;
        case 'n':
            nginx = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            return WEIR_EXIT_OK;
        default:
            fputs(help, stderr);
            return WEIR_EXIT_USAGE;
        }
    }
    if (optind < argc || (tenants == NULL && conf == NULL)) {
        fputs(help, stderr);
        return WEIR_EXIT_USAGE;
    }
    if (tenants != NULL) {
        result = check_tenants(tenants);
    }
    if (conf != NULL && check_nginx(nginx, conf, prefix) != WEIR_EXIT_OK) {
        result = WEIR_EXIT_FAILED;
    }
    return result;
}

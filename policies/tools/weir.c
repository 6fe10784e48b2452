#include "policies/tools/weir_tool.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: weir COMMAND [OPTIONS]\n"
    "\n"
    "  keys     create, list, rotate, disable and delete API keys in a tenants document\n"
    "  check    check documents and an NGINX configuration before a reload, explain a key\n"
    "  journal  show or compact the changes made at run time\n"
    "  usage    add up a usage ledger by tenant, key, model or day\n"
    "\n"
    "weir COMMAND --help tells the options of one.\n";

int weir_tool_fail(int status, const char *fmt, ...)
{
    va_list args;

    fputs("weir: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    return status;
}

static int run(int argc, char **argv)
{
    if (strcmp(argv[0], "keys") == 0) {
        return weir_tool_keys(argc, argv);
    }
    if (strcmp(argv[0], "check") == 0) {
        return weir_tool_check(argc, argv);
    }
    if (strcmp(argv[0], "journal") == 0) {
        return weir_tool_journal(argc, argv);
    }
    if (strcmp(argv[0], "usage") == 0) {
        return weir_tool_usage(argc, argv);
    }
    if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0) {
        fputs(help, stdout);
        return WEIR_EXIT_OK;
    }
    weir_tool_fail(WEIR_EXIT_USAGE, "unknown command \"%s\"", argv[0]);
    fputs(help, stderr);
    return WEIR_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs(help, stderr);
        return WEIR_EXIT_USAGE;
    }
    int rc = run(argc - 1, argv + 1);
    if ((fflush(stdout) != 0 || ferror(stdout)) && rc == WEIR_EXIT_OK) {
        rc = weir_tool_fail(WEIR_EXIT_FAILED, "cannot write to standard output");
    }
    return rc;
}

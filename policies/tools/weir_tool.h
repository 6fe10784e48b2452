/*
 * The operator's command `weir`: one file a subcommand. Exit status 0: done; 1: the thing asked for
 * failed or a check found an error; 2: wrong usage.
 */
#ifndef WEIR_POLICIES_TOOLS_WEIR_TOOL_H
#define WEIR_POLICIES_TOOLS_WEIR_TOOL_H

#include <stdbool.h>

#define WEIR_EXIT_OK     0
#define WEIR_EXIT_FAILED 1
#define WEIR_EXIT_USAGE  2

/* Each gets the arguments behind its name: argv[0] is the subcommand itself. */
int weir_tool_keys(int argc, char **argv);
int weir_tool_check(int argc, char **argv);
int weir_tool_journal(int argc, char **argv);
int weir_tool_usage(int argc, char **argv);

/* Prints "weir: message" on standard error and returns status. */
int weir_tool_fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif

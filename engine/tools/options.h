/*
 * Command-line options as a table: "--name value", "--name=value", "-n value", flags, "--" and
 * --help. Numbers are checked against their range. One thread.
 */
#ifndef WEIR_TOOLS_OPTIONS_H
#define WEIR_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    CLI_FLAG,   /* bool */
    CLI_U32,    /* uint32_t */
    CLI_U64,    /* uint64_t */
    CLI_FLOAT,  /* float */
    CLI_STRING, /* const char * */
    CLI_LIST    /* cli_list_t: may be given several times */
} cli_kind_t;

#define CLI_LIST_MAX 8

typedef struct {
    const char *items[CLI_LIST_MAX];
    uint32_t n;
} cli_list_t;

typedef struct {
    const char *name; /* without dashes */
    char letter;      /* 0 for none */
    cli_kind_t kind;
    void *target;
    double min, max;   /* numbers; for CLI_LIST max is the most items */
    const char *value; /* what the value is called in the help */
    const char *help;
    bool *given; /* set when the option occurs; may be NULL */
} cli_option_t;

typedef struct {
    const char *command; /* "weir-llm run" */
    const char *usage;   /* "[options] [PROMPT]" */
    const char *about;
    cli_option_t *options;
    size_t n_options;
    const char **arguments; /* room for max_arguments */
    size_t max_arguments;
    size_t n_arguments;
} cli_t;

typedef enum { CLI_GO_ON, CLI_DONE, CLI_WRONG } cli_outcome_t;

/* Reads argv[1..]. DONE: help was printed on standard output. WRONG: standard error says what. */
cli_outcome_t cli_parse(cli_t *cli, int argc, char **argv);

#endif

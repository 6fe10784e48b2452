#include "engine/tools/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_option(const cli_option_t *o)
{
    char left[64];
    char letter[8] = "    ";
    if (o->letter != '\0') {
        snprintf(letter, sizeof(letter), "-%c, ", o->letter);
    }
    snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name, o->value != NULL ? " " : "",
             o->value != NULL ? o->value : "");
    printf("  %-30s %s\n", left, o->help);
}

static void print_help(const cli_t *cli)
{
    printf("usage: %s %s\n\n%s\n\noptions:\n", cli->command, cli->usage, cli->about);
    for (size_t i = 0; i < cli->n_options; i++) {
        print_option(&cli->options[i]);
    }
    printf("  %-30s %s\n", "    --help", "print this and exit");
}

static const cli_option_t *find(const cli_t *cli, const char *arg, size_t len)
{
    for (size_t i = 0; i < cli->n_options; i++) {
        const cli_option_t *o = &cli->options[i];
        bool is_letter = len == 2 && o->letter != '\0' && arg[1] == o->letter;
        bool is_name = len > 2 && arg[1] == '-' && strlen(o->name) == len - 2 &&
                       memcmp(arg + 2, o->name, len - 2) == 0;
        if (is_letter || is_name) {
            return o;
        }
    }
    return NULL;
}

static bool wrong_number(const cli_t *cli, const cli_option_t *o, const char *value)
{
    fprintf(stderr, "%s: --%s needs a %s from %.15g to %.15g, not '%s'\n", cli->command, o->name,
            o->kind == CLI_FLOAT ? "number" : "whole number", o->min, o->max, value);
    return false;
}

static bool set_whole(const cli_t *cli, const cli_option_t *o, const char *value)
{
    char *end;
    errno = 0;
    unsigned long long x = strtoull(value, &end, 10);
    bool digits = value[0] >= '0' && value[0] <= '9' && *end == '\0' && errno == 0;
    if (!digits || (double)x < o->min || (double)x > o->max) {
        return wrong_number(cli, o, value);
    }
    if (o->kind == CLI_U32) {
        *(uint32_t *)o->target = (uint32_t)x;
    } else {
        *(uint64_t *)o->target = x;
    }
    return true;
}

static bool set(const cli_t *cli, const cli_option_t *o, const char *value)
{
    if (o->kind == CLI_U32 || o->kind == CLI_U64) {
        return set_whole(cli, o, value);
    }
    if (o->kind == CLI_FLOAT) {
        char *end;
        double x = strtod(value, &end);
        if (end == value || *end != '\0' || !(x >= o->min && x <= o->max)) {
            return wrong_number(cli, o, value);
        }
        *(float *)o->target = (float)x;
    } else if (o->kind == CLI_STRING) {
        *(const char **)o->target = value;
    } else {
        cli_list_t *list = o->target;
        if (list->n >= CLI_LIST_MAX || list->n >= (uint32_t)o->max) {
            fprintf(stderr, "%s: --%s may be given %g times at most\n", cli->command, o->name,
                    o->max);
            return false;
        }
        list->items[list->n++] = value;
    }
    return true;
}

/* Handles the option at argv[*i] and its value; false on an error. */
static bool take_option(cli_t *cli, int argc, char **argv, int *i)
{
    const char *arg = argv[*i];
    size_t len = arg[1] == '-' ? strcspn(arg, "=") : strlen(arg);
    const cli_option_t *o = find(cli, arg, len);
    if (o == NULL) {
        fprintf(stderr, "%s: no option %.*s; try --help\n", cli->command, (int)len, arg);
        return false;
    }
    const char *value = arg[len] == '=' ? arg + len + 1 : NULL;
    if (o->given != NULL) {
        *o->given = true;
    }
    if (o->kind == CLI_FLAG) {
        if (value != NULL) {
            fprintf(stderr, "%s: --%s takes no value\n", cli->command, o->name);
            return false;
        }
        *(bool *)o->target = true;
        return true;
    }
    if (value == NULL) {
        if (*i + 1 >= argc) {
            fprintf(stderr, "%s: --%s needs a value\n", cli->command, o->name);
            return false;
        }
        value = argv[++*i];
    }
    return set(cli, o, value);
}

cli_outcome_t cli_parse(cli_t *cli, int argc, char **argv)
{
    bool only_arguments = false;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (!only_arguments && strcmp(arg, "--") == 0) {
            only_arguments = true;
        } else if (!only_arguments && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)) {
            print_help(cli);
            return CLI_DONE;
        } else if (!only_arguments && arg[0] == '-' && arg[1] != '\0') {
            if (!take_option(cli, argc, argv, &i)) {
                return CLI_WRONG;
            }
        } else if (cli->n_arguments == cli->max_arguments) {
            fprintf(stderr, "%s: '%s' is one argument too many; quote texts with spaces\n",
                    cli->command, arg);
            return CLI_WRONG;
        } else {
            cli->arguments[cli->n_arguments++] = arg;
        }
    }
    return CLI_GO_ON;
}

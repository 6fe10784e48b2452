/* weir-llm: a model from the command line. Each subcommand has a file of its own. */
#include <stdio.h>
#include <string.h>

#include "engine/tools/tool.h"

static const struct {
    const char *name;
    int (*main)(int argc, char **argv);
    const char *about;
} commands[] = {
    {"run", tool_run, "continue a text"},
    {"chat", tool_chat, "talk with the model"},
    {"bench", tool_bench, "measure prefill and decode speed"},
    {"info", tool_info, "show what a model file holds"},
    {"tokenize", tool_tokenize, "text to token ids"},
    {"detokenize", tool_detokenize, "token ids to text"},
    {"perplexity", tool_perplexity, "how well the model predicts a text"},
};

#define N_COMMANDS (sizeof(commands) / sizeof(*commands))

static void print_usage(FILE *f)
{
    fputs("usage: weir-llm COMMAND [options] [arguments]\n\ncommands:\n", f);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        fprintf(f, "  %-12s %s\n", commands[i].name, commands[i].about);
    }
    fputs("\n`weir-llm COMMAND --help` lists a command's options. The model is the file given by\n"
          "--model or, without it, by the environment variable WEIR_MODEL.\n"
          "Exit status: 0 done, 1 failed, 2 wrong usage.\n",
          f);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return TOOL_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return TOOL_OK;
    }
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            int rc = commands[i].main(argc - 1, argv + 1);
            if (fflush(stdout) != 0 || ferror(stdout)) {
                return tool_error("cannot write to standard output");
            }
            return rc;
        }
    }
    fprintf(stderr, "weir-llm: no command '%s'; try weir-llm --help\n", argv[1]);
    return TOOL_USAGE;
}

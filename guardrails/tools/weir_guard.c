/* weir-guard: the guardrails from the command line. docs/weir-guard.md describes it. */
#include "guardrails/tools/tool.h"
#include "guardrails/training/commands.h"

static const struct {
    const char *name;
    int (*main)(int argc, char **argv);
    const char *what;
} commands[] = {
    {"scan", weir_guard_scan_command, "find entities in files, standard input or JSON lines"},
    {"redact", weir_guard_redact_command, "the same, and write the text with names in their place"},
    {"rules", weir_guard_rules_command, "list entity types and rules"},
    {"eval", weir_guard_eval_command, "measure on labelled data, against the bars"},
    {"train", weir_guard_train_command, "train the classifiers' weights"},
    {"overlaps", weir_guard_overlaps_command, "find training rows that public sets hold too"},
};

static void usage(FILE *out)
{
    fputs("usage: weir-guard COMMAND [options] [FILE...]\n\n", out);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].what);
    }
    fputs("\nOptions of scan and redact:\n"
          "  --jsonl            a JSON object with \"text\" on each line\n"
          "  --only A,B         only these entity types or rules\n"
          "  --on A,B --off A,B switch types or rules\n"
          "  --min-score X      drop findings below X [0.5]\n"
          "  --no-pii --no-secrets --no-scores\n"
          "  --entity TYPE=EXPRESSION   a custom entity by expression (PCRE2)\n"
          "  --list TYPE=FILE           a custom entity by values, one on each line\n"
          "  --holdback         only the rules that a hold-back stream can decide\n"
          "  --stream N         redact: feed N bytes at a time\n"
          "  --no-prefilter     try every rule everywhere: slow, for comparison\n",
          out);
}

int main(int argc, char **argv)
{
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
        usage(stdout);
        return 0;
    }
    bool shared = argc == 3 && (strcmp(argv[1], "scan") == 0 || strcmp(argv[1], "redact") == 0 ||
                                strcmp(argv[1], "rules") == 0);
    if (shared && strcmp(argv[2], "--help") == 0) {
        usage(stdout);
        return 0;
    }
    for (size_t i = 0; argc >= 2 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            int rc = commands[i].main(argc - 1, argv + 1);
            if (fflush(stdout) != 0) {
                return weir_guard_complain("standard output cannot be written");
            }
            return rc;
        }
    }
    usage(stderr);
    return 2;
}

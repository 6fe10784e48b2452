#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "policies/journal.h"
#include "policies/timestamp.h"
#include "policies/tools/weir_tool.h"

static const char help[] =
    "Usage: weir journal list    --journal FILE\n"
    "       weir journal compact --journal FILE\n"
    "\n"
    "list shows the changes made at run time, oldest first, and checks each line's sum.\n"
    "compact rewrites the file with the same effect in fewer lines; a running gateway notices.\n"
    "Run it as the user that the gateway's workers run as, or as root: owner and mode are kept.\n"
    "\n"
    "  --journal FILE   the journal of changes\n";

/* A text of the journal for a terminal: no control characters. */
static void print_text(weir_str_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        putchar(c < 0x20 || c == 0x7f ? '?' : c);
    }
}

static weir_status_t print_change(void *data, const weir_change_t *change, weir_error_t *err)
{
    char ts[WEIR_TIMESTAMP_MAX];

    (void)data;
    (void)err;
    weir_timestamp_format(change->ts_ms, ts);
    printf("%8llu  %s  %-13s %s  by ", (unsigned long long)change->seq, ts,
           weir_change_op_name(change->op), change->key_id);
    print_text(change->by.len > 0 ? change->by : WEIR_STR("-"));
    if (change->tenant.len > 0) {
        fputs("  for ", stdout);
        print_text(change->tenant);
        if (change->team.len > 0) {
            putchar('/');
            print_text(change->team);
        }
        if (change->user.len > 0) {
            putchar('/');
            print_text(change->user);
        }
    }
    if (change->label.len > 0) {
        fputs("  ", stdout);
        print_text(change->label);
    }
    putchar('\n');
    return WEIR_OK;
}

static int run_verb(const char *verb, const char *path)
{
    weir_journal_t *journal = NULL;
    weir_error_t err = {0};
    struct stat st;
    bool compact = strcmp(verb, "compact") == 0;
    weir_status_t rc;

    if (stat(path, &st) != 0) {
        return weir_tool_fail(WEIR_EXIT_FAILED, "%s: there is no such file", path);
    }
    rc = weir_journal_open(path, compact, &journal, &err);
    if (rc == WEIR_OK) {
        rc = compact ? weir_journal_compact(journal, &err)
                     : weir_journal_read(journal, NULL, print_change, NULL, &err);
    }
    weir_journal_close(journal);
    return rc == WEIR_OK ? WEIR_EXIT_OK : weir_tool_fail(WEIR_EXIT_FAILED, "%s", err.message);
}

int weir_tool_journal(int argc, char **argv)
{
    static const struct option options[] = {{"journal", required_argument, NULL, 'l'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *path = NULL;
    const char *verb = NULL;
    int c;

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (c == 'h') {
            fputs(help, stdout);
            return WEIR_EXIT_OK;
        }
        if (c != 'l') {
            fputs(help, stderr);
            return WEIR_EXIT_USAGE;
        }
        path = optarg;
    }
    if (optind == argc - 1) {
        verb = argv[optind];
    }
    if (path == NULL || verb == NULL ||
        (strcmp(verb, "list") != 0 && strcmp(verb, "compact") != 0)) {
        fputs(help, stderr);
        return WEIR_EXIT_USAGE;
    }
    return run_verb(verb, path);
}

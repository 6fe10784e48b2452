/* The journal: what was appended comes back, damage is told, crashes leave it whole. */
#include "policies/journal.h"

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/support/tap.h"

static char folder[] = "/tmp/weir-journal-XXXXXX";
static char path[64];

typedef struct {
    size_t n;
    uint64_t last;
    uint64_t ops[WEIR_CHANGE_OPS];
    bool in_order;
    char labels[4096];
} seen_t;

static weir_status_t see(void *data, const weir_change_t *change, weir_error_t *err)
{
    seen_t *seen = data;
    size_t used = strlen(seen->labels);

    (void)err;
    seen->in_order = seen->in_order && change->seq > seen->last;
    seen->last = change->seq;
    seen->ops[change->op]++;
    seen->n++;
    snprintf(seen->labels + used, sizeof(seen->labels) - used, "%.*s;", (int)change->label.len,
             change->label.data);
    return WEIR_OK;
}

static weir_change_t make(weir_change_op_t op, unsigned key)
{
    weir_change_t c = {.op = op, .ts_ms = 1900000000123, .by = WEIR_STR("ops")};
    snprintf(c.key_id, sizeof(c.key_id), "%012u", key);
    memset(c.salt, 0x5a, sizeof(c.salt));
    memset(c.hash, (int)key, sizeof(c.hash));
    if (op == WEIR_CHANGE_KEY_CREATED) {
        c.tenant = WEIR_STR("acme");
    }
    return c;
}

static weir_journal_t *open_journal(bool writable, weir_error_t *err)
{
    weir_journal_t *j = NULL;
    *err = (weir_error_t){0};
    return weir_journal_open(path, writable, &j, err) == WEIR_OK ? j : NULL;
}

static weir_status_t append(weir_journal_t *j, weir_change_op_t op, unsigned key)
{
    weir_change_t c = make(op, key);
    weir_error_t err;
    weir_status_t rc = weir_journal_append(j, &c, NULL, &err);
    if (rc != WEIR_OK) {
        diag("append: %s", err.message);
    }
    return rc;
}

static seen_t read_all(weir_journal_t *j, bool *restarted)
{
    seen_t seen = {.in_order = true};
    weir_error_t err;
    if (weir_journal_read(j, restarted, see, &seen, &err) != WEIR_OK) {
        diag("read: %s", err.message);
        seen.n = SIZE_MAX;
    }
    return seen;
}

/* Every member comes back as it was. */
static weir_status_t same(void *data, const weir_change_t *got, weir_error_t *err)
{
    const weir_change_t *want = data;

    (void)err;
    ok(got->seq == 1 && got->op == want->op && got->ts_ms == want->ts_ms &&
           weir_str_eq(got->by, want->by) && strcmp(got->key_id, want->key_id) == 0 &&
           memcmp(got->salt, want->salt, sizeof(got->salt)) == 0 &&
           memcmp(got->hash, want->hash, sizeof(got->hash)) == 0 && got->expires == want->expires &&
           weir_str_eq(got->tenant, want->tenant) && weir_str_eq(got->team, want->team) &&
           weir_str_eq(got->user, want->user) && weir_str_eq(got->label, want->label),
       "all members come back");
    ok(weir_str_is(got->policy, "{\"caps\":{\"n\":1},\"x\":\"\xc3\xa9\"}"),
       "the policy comes back in normal form: %.*s", (int)got->policy.len, got->policy.data);
    return WEIR_OK;
}

static void test_members(void)
{
    weir_error_t err;
    weir_journal_t *j = open_journal(true, &err);
    weir_change_t c = make(WEIR_CHANGE_KEY_CREATED, 7);
    uint64_t seq = 0;

    ok(j != NULL, "a new journal opens: %s", err.message);
    c.team = WEIR_STR("search");
    c.user = WEIR_STR("ada@acme.example");
    c.label = WEIR_STR("a \"label\"\n\xe2\x80\xa8 with lines");
    c.expires = 2000000000;
    c.policy = WEIR_STR("{ \"x\": \"\xc3\xa9\",\n \"caps\":{\"n\":1} }");
    ok(weir_journal_append(j, &c, &seq, &err) == WEIR_OK && seq == 1, "a change is appended");
    ok(weir_journal_read(j, NULL, same, &c, &err) == WEIR_OK, "and read");
    is_int((long long)weir_journal_seq(j), 1, "with its number");
    ok(!weir_journal_changed(j), "then nothing is new");

    c.policy = WEIR_STR("[1]");
    is_int(weir_journal_append(j, &c, &seq, &err), WEIR_ERR_INVALID, "a policy must be an object");
    c.policy = WEIR_STR("");
    c.label = WEIR_STR("\xff");
    is_int(weir_journal_append(j, &c, &seq, &err), WEIR_ERR_INVALID, "a label must be UTF-8");
    c = make(WEIR_CHANGE_KEY_ENABLED, 7);
    memcpy(c.key_id, "../../etc/pw", sizeof("../../etc/pw"));
    is_int(weir_journal_append(j, &c, &seq, &err), WEIR_ERR_INVALID, "a key id must be one");
    weir_journal_close(j);

    struct stat st;
    ok(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600, "the file is private");
    j = open_journal(false, &err);
    c = make(WEIR_CHANGE_KEY_ENABLED, 7);
    is_int(weir_journal_append(j, &c, &seq, &err), WEIR_ERR_STATE, "a reader cannot append");
    weir_journal_close(j);
    unlink(path);
}

static void test_many_holders(void)
{
    weir_error_t err;
    weir_journal_t *reader = open_journal(false, &err);
    bool restarted = true;

    ok(reader != NULL, "a missing journal reads as empty");
    is_int((long long)read_all(reader, &restarted).n, 0, "without changes");
    weir_journal_t *a = open_journal(true, &err);
    weir_journal_t *b = open_journal(true, &err);
    ok(append(a, WEIR_CHANGE_KEY_CREATED, 1) == WEIR_OK &&
           append(b, WEIR_CHANGE_KEY_DISABLED, 1) == WEIR_OK &&
           append(a, WEIR_CHANGE_KEY_ENABLED, 1) == WEIR_OK &&
           append(b, WEIR_CHANGE_KEY_CREATED, 2) == WEIR_OK,
       "two writers take turns");
    ok(weir_journal_changed(reader), "the reader sees that something is new");
    seen_t seen = read_all(reader, &restarted);
    ok(seen.n == 4 && seen.in_order && seen.last == 4 && !restarted, "and reads all in order");
    is_int((long long)read_all(reader, &restarted).n, 0, "once");
    is_int((long long)read_all(a, &restarted).n, 4, "a writer reads its own and others' too");

    ok(append(a, WEIR_CHANGE_KEY_DELETED, 1) == WEIR_OK &&
           append(a, WEIR_CHANGE_KEY_DISABLED, 9) == WEIR_OK &&
           append(a, WEIR_CHANGE_KEY_ENABLED, 9) == WEIR_OK &&
           append(a, WEIR_CHANGE_KEY_REVOKED, 2) == WEIR_OK,
       "more changes");
    is_int(weir_journal_compact(b, &err), WEIR_OK, "it is compacted: %s", err.message);
    ok(weir_journal_changed(reader), "the reader sees that");
    seen = read_all(reader, &restarted);
    ok(restarted && seen.in_order && seen.n == 3 && seen.ops[WEIR_CHANGE_KEY_CREATED] == 1 &&
           seen.ops[WEIR_CHANGE_KEY_REVOKED] == 1 && seen.ops[WEIR_CHANGE_KEY_ENABLED] == 1,
       "and begins again with what is left");
    is_int((long long)weir_journal_seq(reader), 8, "numbers go on");
    uint64_t seq = 0;
    weir_change_t c = make(WEIR_CHANGE_KEY_DISABLED, 9);
    ok(weir_journal_append(a, &c, &seq, &err) == WEIR_OK && seq == 9,
       "a writer that held the old file appends to the new one: %llu", (unsigned long long)seq);
    seen = read_all(reader, &restarted);
    ok(!restarted && seen.n == 1 && seen.last == 9, "the reader reads on");

    weir_journal_t *hasty = NULL;
    is_int(weir_journal_open_patient(path, 0, &hasty, &err), WEIR_OK, "a writer that cannot wait");
    int other = open(path, O_RDONLY);
    ok(other >= 0 && flock(other, LOCK_EX) == 0, "the lock is another's");
    is_int(weir_journal_append(hasty, &c, &seq, &err), WEIR_ERR_BUSY, "it does not append");
    is_int(weir_journal_compact(hasty, &err), WEIR_ERR_BUSY, "nor compact");
    weir_journal_t *second = NULL;
    is_int(weir_journal_open_patient(path, 0, &second, &err), WEIR_ERR_BUSY, "nor is it opened: %s",
           err.message);
    ok(second == NULL && strcmp(err.code, "busy") == 0, "with a code");
    close(other);
    ok(weir_journal_append(hasty, &c, &seq, &err) == WEIR_OK && seq == 10, "later it does");
    weir_journal_close(hasty);
    weir_journal_close(a);
    weir_journal_close(b);
    weir_journal_close(reader);
    unlink(path);
}

static size_t slurp(char *text, size_t cap)
{
    FILE *f = fopen(path, "re");
    size_t n = f == NULL ? 0 : fread(text, 1, cap, f);
    if (f != NULL) {
        fclose(f);
    }
    return n;
}

static void spill(const char *text, size_t n)
{
    FILE *f = fopen(path, "we");
    if (f != NULL) {
        fwrite(text, 1, n, f);
        fclose(f);
    }
}

/* A journal with five changes, and its bytes. */
static size_t write_five(char *whole, size_t cap)
{
    weir_error_t err;
    weir_journal_t *j = open_journal(true, &err);

    for (unsigned i = 0; i < 5; i++) {
        append(j, i % 2 == 0 ? WEIR_CHANGE_KEY_CREATED : WEIR_CHANGE_KEY_DISABLED, i / 2);
    }
    weir_journal_close(j);
    return slurp(whole, cap);
}

/* Cut anywhere, the changes before the cut are there, and the next append goes well. */
static void test_torn(void)
{
    static char whole[8192];
    size_t n = write_five(whole, sizeof(whole));
    weir_error_t err;
    weir_journal_t *j;
    size_t lines = 0;
    bool good = true;

    for (size_t cut = 0; cut <= n; cut++) {
        lines += cut > 0 && whole[cut - 1] == '\n';
        spill(whole, cut);
        size_t want = lines == 0 ? 0 : lines - 1;
        j = open_journal(false, &err);
        good = good && j != NULL && read_all(j, NULL).n == want;
        weir_journal_close(j);
        if (cut % 17 == 0 || cut > n - 3) {
            j = open_journal(true, &err);
            good = good && j != NULL && append(j, WEIR_CHANGE_KEY_CREATED, 77) == WEIR_OK;
            seen_t seen = read_all(j, NULL);
            good = good && seen.n == want + 1 && seen.in_order;
            weir_journal_close(j);
        }
        if (!good) {
            diag("cut at %zu of %zu: %s", cut, n, err.message);
            break;
        }
    }
    ok(good, "a journal cut at any byte keeps the changes before it and takes more");
    unlink(path);
}

static void test_remains(void)
{
    static char whole[8192];
    size_t n = write_five(whole, sizeof(whole));
    weir_error_t err;
    weir_journal_t *j;
    size_t last = n - 1;
    while (whole[last - 1] != '\n') {
        last--;
    }
    memset(whole + n, 'x', 2000);
    spill(whole, n + 2000);
    j = open_journal(true, &err);
    ok(j != NULL && append(j, WEIR_CHANGE_KEY_ENABLED, 1) == WEIR_OK && read_all(j, NULL).n == 6,
       "a torn line longer than the next one leaves nothing: %s", err.message);
    weir_journal_close(j);
    j = open_journal(false, &err);
    ok(j != NULL && read_all(j, NULL).n == 6, "also for the next reader: %s", err.message);
    weir_journal_close(j);
    char *copy = malloc(n);
    memcpy(copy, whole, n);
    memset(copy + last + 20, 0, n - last - 21);
    spill(copy, n);
    j = open_journal(true, &err);
    ok(j != NULL && read_all(j, NULL).n == 4, "zeros that a crash left in the last line: %s",
       err.message);
    append(j, WEIR_CHANGE_KEY_ENABLED, 1);
    weir_journal_close(j);
    j = open_journal(false, &err);
    ok(j != NULL && read_all(j, NULL).n == 5, "are gone behind the next change: %s", err.message);
    weir_journal_close(j);
    memcpy(copy, whole, n);
    memset(copy + 200, 0, 40);
    spill(copy, n);
    ok(open_journal(true, &err) == NULL &&
           strstr(err.message, ".json:2: the line is damaged") != NULL,
       "zeros elsewhere are damage: %s", err.message);
    free(copy);
    unlink(path);
}

static void test_damage(void)
{
    static char whole[8192];
    size_t n = write_five(whole, sizeof(whole));
    weir_error_t err;
    weir_journal_t *j;
    char *copy;
    bool good = true;

    for (size_t i = 0; i + 1 < n; i++) {
        char kept = whole[i];
        whole[i] = kept == '\n' ? ' ' : (char)(kept ^ 1);
        spill(whole, n);
        whole[i] = kept;
        j = open_journal(false, &err);
        good = good && j == NULL && err.status == WEIR_ERR_INVALID;
        weir_journal_close(j);
    }
    ok(good, "one bit changed anywhere is told, and nothing is skipped");

    /* A line taken out, or two exchanged, breaks the chain. */
    char *second = memchr(whole, '\n', n);
    char *third = memchr(second + 1, '\n', n - (size_t)(second + 1 - whole));
    copy = malloc(n);
    memcpy(copy, whole, (size_t)(second + 1 - whole));
    memcpy(copy + (second + 1 - whole), third + 1, n - (size_t)(third + 1 - whole));
    spill(copy, n - (size_t)(third - second));
    ok(open_journal(true, &err) == NULL && strstr(err.message, ":2: the line is damaged") != NULL,
       "a line taken out is told");
    free(copy);
    unlink(path);
}

static bool reads(weir_journal_t *j, const char *says)
{
    seen_t seen = {.in_order = true};
    weir_error_t err = {0};
    bool restarted;
    bool good = weir_journal_read(j, &restarted, see, &seen, &err) == WEIR_OK;
    if (says == NULL ? !good : good || strstr(err.message, says) == NULL) {
        diag("read: %s", err.message);
        return false;
    }
    return true;
}

/* What was read must not go away under whoever reads on. */
static void test_vanished(void)
{
    static char whole[8192];
    size_t n = write_five(whole, sizeof(whole));
    weir_error_t err;
    weir_journal_t *reader = open_journal(false, &err);
    weir_journal_t *writer = open_journal(true, &err);
    weir_change_t c = make(WEIR_CHANGE_KEY_ENABLED, 1);
    size_t last = n - 1;
    size_t before_last;

    while (whole[last - 1] != '\n') {
        last--;
    }
    before_last = last - 1;
    while (whole[before_last - 1] != '\n') {
        before_last--;
    }
    ok(reads(reader, NULL) && reads(writer, NULL), "all is read");
    unlink(path);
    ok(reads(reader, "the file is gone"), "a removed file is told");
    spill("", 0);
    ok(reads(reader, "ends at change 0, and change 5 was in it"), "so is an empty one");
    spill(whole, before_last);
    ok(reads(reader, "ends at change 3, and change 5"), "and one that was cut, or an older copy");
    is_int(weir_journal_append(writer, &c, NULL, &err), WEIR_ERR_INVALID,
           "a writer appends to none of these");
    spill(whole, last);
    ok(reads(reader, NULL), "the last change may be taken back by its writer");
    spill(whole, n);
    ok(reads(reader, NULL), "the file put back is read again");
    is_int(weir_journal_append(writer, &c, NULL, &err), WEIR_OK, "and appended to");
    weir_journal_close(reader);
    weir_journal_close(writer);
    unlink(path);
}

/* Appends until it is killed; tells each number that append returned through the pipe. */
static void writer(int out)
{
    weir_error_t err;
    weir_journal_t *j = open_journal(true, &err);
    for (unsigned i = 0; j != NULL; i++) {
        weir_change_t c = make(i % 3 == 0 ? WEIR_CHANGE_KEY_CREATED : WEIR_CHANGE_KEY_ROTATED, i);
        uint64_t seq;
        if (i % 50 == 49 && weir_journal_compact(j, &err) != WEIR_OK) {
            break;
        }
        if (weir_journal_append(j, &c, &seq, &err) != WEIR_OK ||
            write(out, &seq, sizeof(seq)) != sizeof(seq)) {
            break;
        }
    }
    _exit(1);
}

static void test_killed_writer(void)
{
    rng_t rng;
    bool good = true;
    uint64_t total = 0;

    rng_init(&rng);
    for (int round = 0; round < 12 && good; round++) {
        int ends[2];
        uint64_t seq = 0;
        uint64_t told = 0;
        weir_error_t err;
        if (pipe(ends) != 0) {
            break;
        }
        pid_t pids[2];
        for (int i = 0; i < 2; i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                writer(ends[1]);
            }
        }
        close(ends[1]);
        usleep(2000 + rng_below(&rng, 30000));
        for (int i = 0; i < 2; i++) {
            kill(pids[i], SIGKILL);
            waitpid(pids[i], NULL, 0);
        }
        while (read(ends[0], &seq, sizeof(seq)) == sizeof(seq)) {
            told = seq > told ? seq : told;
        }
        close(ends[0]);
        weir_journal_t *j = open_journal(true, &err);
        seen_t seen = {0};
        if (j != NULL) {
            seen = read_all(j, NULL);
        }
        good = j != NULL && seen.n != SIZE_MAX && weir_journal_seq(j) >= told && seen.in_order;
        if (!good) {
            diag("round %d: told %llu, found %llu: %s", round, (unsigned long long)told,
                 (unsigned long long)seen.last, err.message);
        }
        total = told;
        weir_journal_close(j);
    }
    /* A compaction that is killed leaves the file that it was writing. */
    glob_t left;
    char pattern[80];
    snprintf(pattern, sizeof(pattern), "%s.*", path);
    if (glob(pattern, 0, NULL, &left) == 0) {
        for (size_t i = 0; i < left.gl_pathc; i++) {
            unlink(left.gl_pathv[i]);
        }
        globfree(&left);
    }
    ok(good, "no acknowledged change is lost when writers are killed (%llu changes)",
       (unsigned long long)total);
    unlink(path);
}

static void test_errors(void)
{
    weir_error_t err;
    weir_journal_t *j = NULL;

    is_int(weir_journal_open("/nonexistent/dir/journal", true, &j, &err), WEIR_ERR_IO,
           "a folder that is not there");
    spill("hello\n", 6);
    ok(open_journal(true, &err) == NULL && strstr(err.message, ".json:1: ") != NULL,
       "a file that is no journal: %s", err.message);
    unlink(path);
    if (access("/dev/full", W_OK) == 0) {
        ok(weir_journal_open("/dev/full", true, &j, &err) != WEIR_OK, "a full disk is told: %s",
           err.message);
    }
}

int main(void)
{
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    snprintf(path, sizeof(path), "%s/journal.json", folder);
    test_members();
    test_many_holders();
    test_torn();
    test_remains();
    test_damage();
    test_vanished();
    test_killed_writer();
    test_errors();
    unlink(path);
    ok(rmdir(folder) == 0, "no temporary file is left");
    return done_testing();
}

/*
 * E-mail addresses: RFC 5321 section 4.1.2 (Mailbox) and 4.5.3.1 (64 and 255 octets), the dot-atom
 * form of RFC 5322 section 3.4.1 with the characters that providers hand out, and RFC 6531's UTF-8
 * for scripts of two-byte letters. Quoted local parts and address literals are not looked for.
 */
#include "guardrails/matcher.h"

#define MAX_LOCAL 64
#define MAX_HOST  253
#define MAX_LABEL 63

/* Endings of files and packages, which follow an '@' in their names: "logo@2x.png". */
static bool file_ending(const char *text, size_t len)
{
    static const char endings[][8] = {
        "png",   "jpg",    "jpeg",  "gif",     "svg",  "webp", "bmp",     "ico",    "tiff",
        "pdf",   "doc",    "xls",   "docx",    "xlsx", "pptx", "txt",     "js",     "mjs",
        "ts",    "jsx",    "tsx",   "css",     "htm",  "html", "xml",     "json",   "yml",
        "yaml",  "toml",   "lock",  "log",     "csv",  "sql",  "exe",     "dll",    "tar",
        "tgz",   "gz",     "jar",   "mp3",     "mp4",  "wav",  "service", "latest", "socket",
        "timer", "target", "mount", "version", "next", "beta", "conf",    "cfg",    "ini"};
    char padded[8] = {0};
    uint64_t label = 0;
    bool found = false;
    if (len >= sizeof(padded)) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        padded[i] = text[i];
    }
    memcpy(&label, padded, sizeof(label));
    label = weir_guard_lower_eight(label);
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        uint64_t ending = 0;
        memcpy(&ending, endings[i], sizeof(ending));
        found |= ending == label;
    }
    return found;
}

/* A label that a host name may end with. */
typedef struct {
    uint8_t start; /* from the host's beginning on */
    uint8_t end;
} label_t;

#define MAX_LABELS (MAX_HOST / 2 + 1)

/* Could a host name of several labels end with this one? Letters, or an A-label (xn--). */
static bool top_level(const char *label, size_t n)
{
    if (n > 4 && memcmp(label, "xn--", 4) == 0) {
        return true;
    }
    bool letters = n >= 2;
    for (size_t i = 0; i < n && letters; i++) {
        letters = !weir_is(label[i], WEIR_C_DIGIT) && label[i] != '-';
    }
    return letters;
}

/*
 * End of the host name that begins at start: labels with dots between them, at least two, the last
 * of letters and no file's ending. Returns start when there is none.
 */
static size_t host_end(const weir_guard_scan_t *scan, size_t start)
{
    size_t limit = start + MAX_HOST < scan->len ? start + MAX_HOST : scan->len;
    size_t at = start;
    label_t tops[MAX_LABELS];
    size_t count = 0;
    for (bool goes_on = true; goes_on;) {
        size_t label = at;
        while (at < limit && weir_is(scan->text[at], WEIR_C_HOST)) {
            at++;
        }
        size_t end = at;
        while (end > label && scan->text[end - 1] == '-') {
            end--;
        }
        size_t n = end - label;
        if (n == 0 || n > MAX_LABEL || scan->text[label] == '-') {
            break;
        }
        if (label > start && top_level(scan->text + label, n)) {
            tops[count++] = (label_t){(uint8_t)(label - start), (uint8_t)(end - start)};
        }
        goes_on = end == at && at < limit && scan->text[at] == '.';
        at++;
    }
    while (count > 0) {
        const label_t *last = &tops[--count];
        if (!file_ending(scan->text + start + last->start, (size_t)last->end - last->start)) {
            return start + last->end;
        }
    }
    return start;
}

void weir_guard_at_sign(weir_guard_scan_t *scan, size_t at)
{
    if (at == 0 || at + 3 >= scan->len || !weir_rule_on(scan, WEIR_RULE_EMAIL)) {
        return;
    }
    size_t end = host_end(scan, at + 1);
    scan->work += WEIR_WORK_SIGN;
    if (end == at + 1) {
        return;
    }
    size_t limit = at > MAX_LOCAL ? at - MAX_LOCAL : 0;
    size_t start = at;
    while (start > limit && weir_is(scan->text[start - 1], WEIR_C_ATEXT)) {
        start--;
    }
    /* The dot-atom neither begins nor ends with a dot; quotes and marks around it are prose. */
    while (start < at && !weir_is(scan->text[start], WEIR_C_ALNUM) && scan->text[start] != '_' &&
           (unsigned char)scan->text[start] < 0xc0) {
        start++;
    }
    if (start == at || scan->text[at - 1] == '.') {
        return;
    }
    weir_guard_emit(scan, WEIR_RULE_EMAIL, start, end, 0.95f);
}

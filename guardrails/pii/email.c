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

/*
 * End of the host name that begins at start: labels with dots between them, the last of letters
 * (or an A-label, xn--) and at least two of them. Returns start when there is none.
 */
static size_t host_end(const weir_guard_scan_t *scan, size_t start)
{
    size_t limit = start + MAX_HOST < scan->len ? start + MAX_HOST : scan->len;
    size_t label = start;
    size_t best = start;
    unsigned labels = 0;
    for (size_t i = start; i <= limit; i++) {
        if (i < limit && weir_is(scan->text[i], WEIR_C_HOST)) {
            continue;
        }
        size_t end = i;
        while (end > label && scan->text[end - 1] == '-') {
            end--;
        }
        size_t n = end - label;
        if (n == 0 || n > MAX_LABEL || scan->text[label] == '-') {
            return best;
        }
        labels++;
        bool letters = n >= 2;
        bool ascii = n > 4 && memcmp(scan->text + label, "xn--", 4) == 0;
        for (size_t j = label; j < end && letters && !ascii; j++) {
            letters = !weir_is(scan->text[j], WEIR_C_DIGIT) && scan->text[j] != '-';
        }
        if (labels >= 2 && (letters || ascii) && !file_ending(scan->text + label, n)) {
            best = end;
        }
        if (end != i || i >= limit || scan->text[i] != '.') {
            return best;
        }
        label = i + 1;
    }
    return best;
}

void weir_guard_at_sign(weir_guard_scan_t *scan, size_t at)
{
    if (at == 0 || at + 3 >= scan->len || !weir_rule_on(scan, WEIR_RULE_EMAIL)) {
        return;
    }
    size_t end = host_end(scan, at + 1);
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

/*
 * Codes in a stream: what base64, hexadecimal, percent and character references hide is found, and
 * replaced, in a stream that is cut anywhere as it is in the whole text, also under two codes, in
 * lines, and in runs of up to 64 KB.
 */
#include "lua-free-filters/redact_text.h"

#include <stdio.h>
#include <stdlib.h>

#include "t/support/tap.h"

static weir_guard_rules_t *rules;
static weir_guard_scratch_t *scratch;

static const char *const entities[] = {
    "jane.doe@example.org",
    "4111 1111 1111 1111",
    "GB82 WEST 1234 5698 7654 32",
    "192.168.10.25",
    "call +1 415 555 2671",
    "https://user:secret99@host.example.org/x",
    "ghp_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5",
    "password = \"hunter2-and-more\"",
    "Dr. Jane Miller lives at 12 Oak Street, Springfield",
    "born on 1980-02-29",
    ("-----BEGIN PRIVATE KEY-----\nMIIBVgIBADANBgkqhkiG9w0BAQEFAASCAUAwggE8AgEAAkEAq7BFUpkGp3\n"
     "LQmlQYx2eqzDV+xeG8kx/sQFV18S5JhzGeIJNA72wSeukEPojtqUyX2J0CciPBh7eqclQ2zpAswQ==\n"
     "-----END PRIVATE KEY-----")};

static const char *const words[] = {"the",
                                    "river",
                                    "runs",
                                    "slowly",
                                    "through",
                                    "an",
                                    "old",
                                    "town",
                                    "and",
                                    "12",
                                    "people",
                                    "of",
                                    "2024",
                                    "price",
                                    "3.50",
                                    "version",
                                    "1.2.3",
                                    "card",
                                    "phone",
                                    "my",
                                    "number",
                                    "caf\xc3\xa9",
                                    "key",
                                    "&amp;",
                                    "100%",
                                    "a%b",
                                    "C:\\x",
                                    "\xe4\xb8\xad\xe6\x96\x87",
                                    "getElementsByClassNameAndMore"};

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void prose(weir_buf_t *out, rng_t *rng, size_t bytes)
{
    size_t end = out->len + bytes;
    while (out->len < end) {
        weir_buf_append_z(out, words[rng_below(rng, COUNT(words))]);
        weir_buf_append_char(out, rng_below(rng, 12) == 0 ? '\n' : ' ');
    }
}

typedef enum {
    CODE_BASE64,
    CODE_BASE64_URL,
    CODE_BASE64_LINES,
    CODE_HEX,
    CODE_HEX_LINES,
    CODE_PERCENT,
    CODE_PERCENT_SOME,
    CODE_DECIMAL,
    CODE_REFERENCE,
    CODE_BACKSLASH,
    CODES
} code_t;

static void in_lines(weir_buf_t *out, weir_str_t code, rng_t *rng)
{
    static const size_t widths[] = {60, 64, 76};
    size_t width = widths[rng_below(rng, 3)];
    const char *end = rng_below(rng, 2) == 0 ? "\n" : "\r\n";
    for (size_t at = 0; at < code.len; at += width) {
        if (at > 0)
            weir_buf_append_z(out, end);
        weir_buf_append(out, code.data + at, code.len - at < width ? code.len - at : width);
    }
}

static void base64(weir_buf_t *out, weir_str_t text, bool url)
{
    const char *set = url ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                          : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < text.len; i += 3) {
        size_t n = text.len - i < 3 ? text.len - i : 3;
        uint32_t v = (uint32_t)(unsigned char)text.data[i] << 16;
        v |= n > 1 ? (uint32_t)(unsigned char)text.data[i + 1] << 8 : 0;
        v |= n > 2 ? (uint32_t)(unsigned char)text.data[i + 2] : 0;
        for (size_t k = 0; k < 4; k++) {
            if (k <= n)
                weir_buf_append_char(out, set[v >> (18 - 6 * k) & 63]);
            else if (!url)
                weir_buf_append_char(out, '=');
        }
    }
}

static weir_str_t encode(weir_arena_t *arena, weir_str_t text, code_t code, rng_t *rng)
{
    weir_buf_t out;
    weir_buf_t lines;
    weir_buf_init(&out, arena);
    weir_buf_init(&lines, arena);
    if (code == CODE_BASE64 || code == CODE_BASE64_URL || code == CODE_BASE64_LINES)
        base64(&out, text, code == CODE_BASE64_URL);
    for (size_t i = 0; i < text.len && code > CODE_BASE64_LINES; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool letter = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'z') || c >= 0x80;
        switch (code) {
        case CODE_HEX:
        case CODE_HEX_LINES:
            weir_buf_printf(&out, "%02x", c);
            break;
        case CODE_PERCENT_SOME:
            if (letter) {
                weir_buf_append_char(&out, (char)c);
                break;
            }
            weir_buf_printf(&out, "%%%02X", c);
            break;
        case CODE_DECIMAL:
            weir_buf_printf(&out, "&#%u;", c);
            break;
        case CODE_REFERENCE:
            weir_buf_printf(&out, "&#x%x;", c);
            break;
        case CODE_BACKSLASH:
            weir_buf_printf(&out, rng_below(rng, 2) == 0 ? "\\x%02x" : "\\u%04x", c);
            break;
        default:
            weir_buf_printf(&out, "%%%02X", c);
        }
    }
    weir_str_t coded = weir_str(out.data == NULL ? "" : out.data, out.len);
    if (code != CODE_BASE64_LINES && code != CODE_HEX_LINES)
        return coded;
    in_lines(&lines, coded, rng);
    return weir_str(lines.data == NULL ? "" : lines.data, lines.len);
}

/* Prose and entities. */
static weir_str_t message(weir_arena_t *arena, rng_t *rng, size_t bytes)
{
    weir_buf_t out;
    weir_buf_init(&out, arena);
    do {
        prose(&out, rng, rng_below(rng, 80));
        weir_buf_append_z(&out, entities[rng_below(rng, COUNT(entities))]);
        weir_buf_append_z(&out, rng_below(rng, 2) == 0 ? " " : ", ");
        prose(&out, rng, rng_below(rng, 60));
    } while (out.len < bytes);
    return weir_str(out.data, out.len);
}

static void noise(weir_buf_t *out, rng_t *rng, size_t bytes, const char *set)
{
    size_t n = strlen(set);
    for (size_t i = 0; i < bytes; i++)
        weir_buf_append_char(out, set[rng_below(rng, (uint32_t)n)]);
}

static void part(weir_arena_t *arena, weir_buf_t *out, rng_t *rng, size_t most)
{
    static const char *const sets[] = {
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        "0123456789abcdef",
        "x",
        "%41",
        "ab@.c",
        "-_AZ09"};
    size_t bytes = 1 + rng_below(rng, (uint32_t)most);
    weir_str_t text;
    switch (rng_below(rng, 8)) {
    case 0:
        prose(out, rng, bytes < 300 ? bytes : 300);
        return;
    case 1:
        weir_buf_append_z(out, entities[rng_below(rng, COUNT(entities))]);
        return;
    case 2:
        noise(out, rng, bytes, sets[rng_below(rng, COUNT(sets))]);
        return;
    case 3: /* binary data in a code */
    {
        weir_buf_t raw;
        weir_buf_init(&raw, arena);
        for (size_t i = 0; i < bytes; i++)
            weir_buf_append_char(&raw, (char)rng_below(rng, 256));
        weir_buf_append_str(out, encode(arena, weir_str(raw.data, raw.len),
                                        (code_t)rng_below(rng, CODE_PERCENT), rng));
        return;
    }
    case 4: /* two codes */
        text = encode(arena, message(arena, rng, bytes / 4), (code_t)rng_below(rng, CODES), rng);
        weir_buf_append_str(out, encode(arena, text, (code_t)rng_below(rng, CODES), rng));
        return;
    default:
        text = message(arena, rng, bytes / 2);
        weir_buf_append_str(out, encode(arena, text, (code_t)rng_below(rng, CODES), rng));
    }
}

static weir_str_t make_text(weir_arena_t *arena, rng_t *rng, unsigned parts, size_t most)
{
    static const char *const joins[] = {" ",  " ",  "\n",   ", ", "", "=",
                                        "\"", ": ", "\r\n", "  ", "/"};
    weir_buf_t out;
    weir_buf_init(&out, arena);
    for (unsigned i = 0; i < parts; i++) {
        part(arena, &out, rng, most);
        weir_buf_append_z(&out, joins[rng_below(rng, COUNT(joins))]);
    }
    return weir_str(out.data, out.len);
}

typedef struct {
    weir_buf_t log;
} verdicts_t;

/* Where a key block ends is not known when it is decided. */
static void log_finding(weir_buf_t *log, const weir_guard_finding_t *f)
{
    weir_buf_printf(log, "%s %u", f->rule, f->start);
    if (strcmp(f->rule, "private_key") != 0)
        weir_buf_printf(log, " %u", f->end);
    weir_buf_append_char(log, '\n');
}

static weir_redact_action_t decide(void *ctx, const weir_guard_finding_t *f, weir_str_t value,
                                   bool repeat, weir_str_t *replacement)
{
    verdicts_t *v = ctx;
    (void)value;
    (void)repeat;
    log_finding(&v->log, f);
    *replacement = WEIR_STR("<X>");
    return WEIR_REDACT_REPLACE;
}

static void whole(weir_arena_t *arena, weir_str_t text, weir_buf_t *out, weir_buf_t *log)
{
    weir_guard_result_t found;
    size_t at = 0;
    weir_buf_init(out, arena);
    weir_buf_init(log, arena);
    weir_guard_scan_options_t options = {.thorough = true};
    weir_guard_scan(rules, scratch, text.data, text.len, &options, &found, NULL);
    for (size_t i = 0; i < found.count; i++) {
        const weir_guard_finding_t *f = &found.findings[i];
        weir_buf_append(out, text.data + at, f->start - at);
        weir_buf_append_z(out, "<X>");
        log_finding(log, f);
        at = f->end;
    }
    weir_buf_append(out, text.data + at, text.len - at);
}

typedef struct {
    weir_redact_mode_t mode;
    size_t window;
    size_t piece; /* random up to it */
} feed_t;

static size_t stream(weir_arena_t *arena, weir_str_t text, const feed_t *how, rng_t *rng,
                     weir_buf_t *out, verdicts_t *v)
{
    weir_redact_rules_t shared = {.rules = rules,
                                  .scratch = scratch,
                                  .mode = how->mode,
                                  .window = how->window,
                                  .decide = decide,
                                  .ctx = v};
    weir_redact_text_t t;
    size_t most = 0;
    weir_buf_init(out, arena);
    weir_buf_init(&v->log, arena);
    weir_redact_text_init(&t, &shared, false, false);
    for (size_t at = 0; at < text.len;) {
        size_t n = 1 + rng_below(rng, (uint32_t)how->piece);
        n = n > text.len - at ? text.len - at : n;
        while (at + n < text.len && ((unsigned char)text.data[at + n] & 0xc0) == 0x80)
            n++;
        weir_redact_text_feed(&t, text.data + at, n, false, out);
        at += n;
        size_t held = weir_redact_text_held(&t);
        most = held > most ? held : most;
    }
    weir_redact_text_feed(&t, "", 0, true, out);
    weir_redact_text_free(&t);
    return most;
}

static void show(const char *what, weir_str_t s, size_t around)
{
    size_t from = around > 120 ? around - 120 : 0;
    size_t n = s.len > from ? s.len - from : 0;
    diag("  %s (%zu bytes): ...%.*s", what, s.len, (int)(n > 300 ? 300 : n), s.data + from);
}

static bool same(weir_str_t text, const weir_buf_t *want, const weir_buf_t *got, const feed_t *how)
{
    if (want->len == got->len && (got->len == 0 || memcmp(want->data, got->data, got->len) == 0))
        return true;
    size_t at = 0;
    while (at < want->len && at < got->len && want->data[at] == got->data[at])
        at++;
    diag("mode %d, window %zu, pieces to %zu, text of %zu bytes: differ at %zu", (int)how->mode,
         how->window, how->piece, text.len, at);
    show("want", weir_str(want->data, want->len), at);
    show("got", weir_str(got->data, got->len), at);
    return false;
}

static void test_same(weir_arena_t *arena, rng_t *rng, unsigned rounds, size_t most,
                      const char *what)
{
    static const size_t pieces[] = {1, 4, 13, 100, 900, 6000};
    unsigned wrong = 0;
    size_t found = 0;
    size_t bytes = 0;
    size_t held = 0;
    for (unsigned round = 0; round < rounds && wrong < 3; round++) {
        weir_buf_t want;
        weir_buf_t log;
        weir_buf_t got;
        verdicts_t v;
        weir_arena_reset(arena);
        weir_str_t text = make_text(arena, rng, 1 + rng_below(rng, 8), most);
        feed_t how = {.mode = WEIR_REDACT_WINDOW,
                      .window = rng_below(rng, 3) == 0 ? 64 : 512,
                      .piece = pieces[rng_below(rng, COUNT(pieces))]};
        if (rng_below(rng, 10) == 0)
            how.mode = WEIR_REDACT_BUFFER;
        whole(arena, text, &want, &log);
        size_t now = stream(arena, text, &how, rng, &got, &v);
        held = how.mode == WEIR_REDACT_WINDOW && now > held ? now : held;
        bytes += text.len;
        for (size_t i = 0; i < log.len; i++)
            found += log.data[i] == '\n';
        bool alike = same(text, &want, &got, &how);
        if (!same(text, &log, &v.log, &how) || !alike) {
            wrong++;
            const char *dump = getenv("REDACT_DUMP");
            FILE *file = dump == NULL ? NULL : fopen(dump, "wx");
            if (file != NULL) {
                fwrite(text.data, 1, text.len, file);
                fclose(file);
            }
        }
    }
    is_int(wrong, 0, "%s: a stream is redacted as the whole text is (%zu bytes, %zu findings)",
           what, bytes, found);
    ok(found > rounds, "%s: there was something to find", what);
    diag("%s: at most %zu bytes were held", what, held);
}

static const char *const code_names[CODES] = {
    "base64",          "base64 for URLs",      "base64 in lines",
    "hexadecimal",     "hexadecimal in lines", "percent",
    "percent of some", "decimal references",   "hexadecimal references",
    "backslashes"};

/* Every entity in every code, and in every code in a code, byte by byte: nothing is left of it. */
static void test_found(weir_arena_t *arena, rng_t *rng)
{
    for (unsigned outer = 0; outer < CODES; outer++) {
        unsigned left = 0;
        unsigned texts = 0;
        for (unsigned inner = 0; inner <= CODES; inner++) {
            for (size_t e = 0; e < COUNT(entities); e++, texts++) {
                weir_buf_t message;
                weir_buf_t text;
                weir_buf_t out;
                weir_guard_result_t found;
                verdicts_t v;
                weir_arena_reset(arena);
                weir_buf_init(&message, arena);
                weir_buf_init(&text, arena);
                weir_buf_printf(&message, "what was agreed on is %s for the time being",
                                entities[e]);
                weir_str_t code = weir_str(message.data, message.len);
                if (inner < CODES)
                    code = encode(arena, code, (code_t)inner, rng);
                code = encode(arena, code, (code_t)outer, rng);
                weir_buf_printf(&text, "It says: %.*s and no more.", (int)code.len, code.data);
                feed_t how = {.mode = WEIR_REDACT_WINDOW, .window = 64, .piece = 1};
                stream(arena, weir_str(text.data, text.len), &how, rng, &out, &v);
                weir_guard_scan(rules, scratch, out.data, out.len, NULL, &found, NULL);
                if (found.count > 0 || v.log.len == 0) {
                    if (left++ < 3)
                        diag("%s of %s: %.60s: %.*s", code_names[outer],
                             inner < CODES ? code_names[inner] : "plain text", entities[e],
                             out.len > 200 ? 200 : (int)out.len, out.data);
                }
            }
        }
        is_int(left, 0, "%s: nothing is left of %u entities", code_names[outer], texts);
    }
}

int main(void)
{
    weir_arena_t arena;
    rng_t rng;
    weir_error_t err;
    weir_guard_options_t options = {.pii = true, .secrets = true};
    weir_arena_init(&arena, 0, 0);
    rng_init(&rng);
    if (weir_guard_rules_compile(&options, &rules, &err) != WEIR_OK) {
        diag("%s", err.message);
        return 1;
    }
    scratch = weir_guard_scratch_create();
    test_found(&arena, &rng);
    test_same(&arena, &rng, 800, 200, "short codes");
    test_same(&arena, &rng, 150, 4000, "codes of some KB");
    test_same(&arena, &rng, 30, 48000, "long codes");
    weir_guard_scratch_free(scratch);
    weir_guard_rules_free(rules);
    weir_arena_free(&arena);
    return done_testing();
}

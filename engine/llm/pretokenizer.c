/*
 * The published splits, as the tokenizer.json files of the models carry them:
 *
 * GPT-2 (openai/gpt-2, encoder.py):
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * SmolLM, StarCoder: every number character is a piece; what lies between is split as GPT-2, and
 *   the lookahead (?!\S) ends at the piece's end.
 * Llama 3:
 *   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
 *   \s*[\r\n]+|\s+(?!\S)|\s+
 * Qwen 2: the same with \p{N} in place of \p{N}{1,3}.
 */
#include "engine/llm/pretokenizer.h"

#include "engine/base/utf8.h"
#include "engine/llm/unicode.h"

static const weir_pretokenizer_t known[] = {
    {"gpt-2", WEIR_PRETOKENIZER_GPT2, false, false},
    {"phi-2", WEIR_PRETOKENIZER_GPT2, false, false},
    {"olmo", WEIR_PRETOKENIZER_GPT2, false, false},
    {"mpt", WEIR_PRETOKENIZER_GPT2, false, false},
    {"smollm", WEIR_PRETOKENIZER_SMOLLM, false, false},
    {"starcoder", WEIR_PRETOKENIZER_SMOLLM, false, false},
    {"refact", WEIR_PRETOKENIZER_SMOLLM, false, false},
    {"command-r", WEIR_PRETOKENIZER_SMOLLM, false, false},
    {"llama-bpe", WEIR_PRETOKENIZER_LLAMA3, true, true},
    {"llama3", WEIR_PRETOKENIZER_LLAMA3, true, true},
    {"llama-v3", WEIR_PRETOKENIZER_LLAMA3, true, true},
    {"qwen2", WEIR_PRETOKENIZER_QWEN2, false, false},
    {"deepseek-r1-qwen", WEIR_PRETOKENIZER_QWEN2, false, false},
    {"stablelm2", WEIR_PRETOKENIZER_QWEN2, false, false},
};

const weir_pretokenizer_t *weir_pretokenizer_find(weir_str_t name)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (weir_str_is(name, known[i].name)) {
            return &known[i];
        }
    }
    return NULL;
}

const char *weir_pretokenizer_names(void)
{
    return "gpt-2, phi-2, olmo, mpt, smollm, starcoder, refact, command-r, llama-bpe, llama3, "
           "llama-v3, qwen2, deepseek-r1-qwen, stablelm2";
}

typedef struct {
    const char *text;
    size_t end; /* the scanner sees nothing behind it */
} scan_t;

/* The class of the character at pos < end; *next is where the following one starts. */
static inline weir_unicode_class_t class_at(const scan_t *s, size_t pos, size_t *next)
{
    uint8_t byte = (uint8_t)s->text[pos];
    if (byte < 0x80) {
        *next = pos + 1;
        return weir_unicode_class(byte);
    }
    uint32_t cp;
    int len = weir_utf8_decode(s->text + pos, s->end - pos, &cp);
    *next = pos + (size_t)(len < 0 ? -len : len);
    return weir_unicode_class(cp);
}

/* End of the run of characters of that class that starts at pos (pos itself when there is none). */
static size_t run_end(const scan_t *s, size_t pos, weir_unicode_class_t class)
{
    size_t next;
    while (pos < s->end && class_at(s, pos, &next) == class) {
        pos = next;
    }
    return pos;
}

static inline bool is_newline(char c)
{
    return c == '\n' || c == '\r';
}

static inline char lower(char c, bool fold)
{
    return fold && c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/*
 * Length of 's 't 're 've 'm 'll 'd at pos, or 0. Folding case as Unicode does also takes the long
 * s (U+017F); no other character folds to one of these letters.
 */
static size_t contraction(const scan_t *s, size_t pos, bool fold)
{
    const char *p = s->text + pos;
    size_t left = s->end - pos;
    if (left < 2 || p[0] != '\'') {
        return 0;
    }
    char a = lower(p[1], fold);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') {
        return 2;
    }
    if (left < 3) {
        return 0;
    }
    if (fold && (uint8_t)p[1] == 0xC5 && (uint8_t)p[2] == 0xBF) {
        return 3;
    }
    char b = lower(p[2], fold);
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/*
 * \s+(?!\S)|\s+ for the white-space run [pos, end_of_run): all of it at the end of the text, else
 * all but its last character, which may belong to the next piece, but at least one.
 */
static size_t spaces_end(const scan_t *s, size_t pos, size_t end_of_run)
{
    if (end_of_run == s->end) {
        return end_of_run;
    }
    size_t last = end_of_run;
    do {
        last--;
    } while (((uint8_t)s->text[last] & 0xC0) == 0x80);
    return last > pos ? last : end_of_run;
}

static size_t gpt2_end(const scan_t *s, size_t pos)
{
    size_t n = contraction(s, pos, false);
    if (n > 0) {
        return pos + n;
    }
    size_t first = s->text[pos] == ' ' ? pos + 1 : pos;
    size_t next;
    if (first < s->end) {
        weir_unicode_class_t class = class_at(s, first, &next);
        if (class != WEIR_UNICODE_SPACE) {
            return run_end(s, next, class);
        }
    }
    return spaces_end(s, pos, run_end(s, pos, WEIR_UNICODE_SPACE));
}

/* Numbers: at most max of them from pos. */
static size_t numbers_end(const scan_t *s, size_t pos, int max)
{
    size_t next;
    for (int i = 0; i < max && pos < s->end; i++) {
        if (class_at(s, pos, &next) != WEIR_UNICODE_NUMBER) {
            break;
        }
        pos = next;
    }
    return pos;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ from a white-space character at pos. */
static size_t llama3_spaces_end(const scan_t *s, size_t pos)
{
    size_t end = run_end(s, pos, WEIR_UNICODE_SPACE);
    for (size_t i = end; i > pos; i--) {
        if (is_newline(s->text[i - 1])) {
            return i;
        }
    }
    return spaces_end(s, pos, end);
}

static size_t llama3_end(const scan_t *s, size_t pos, int max_digits)
{
    size_t n = contraction(s, pos, true);
    if (n > 0) {
        return pos + n;
    }
    size_t next;
    size_t after;
    weir_unicode_class_t class = class_at(s, pos, &next);
    if (class == WEIR_UNICODE_LETTER) {
        return run_end(s, next, WEIR_UNICODE_LETTER);
    }
    if (class == WEIR_UNICODE_NUMBER) {
        return numbers_end(s, pos, max_digits);
    }
    bool more = next < s->end;
    weir_unicode_class_t second = more ? class_at(s, next, &after) : WEIR_UNICODE_OTHER;
    if (more && second == WEIR_UNICODE_LETTER && !is_newline(s->text[pos])) {
        return run_end(s, after, WEIR_UNICODE_LETTER);
    }
    bool symbols = class == WEIR_UNICODE_OTHER ||
                   (s->text[pos] == ' ' && more && second == WEIR_UNICODE_OTHER);
    if (!symbols) {
        return llama3_spaces_end(s, pos);
    }
    size_t end = run_end(s, next, WEIR_UNICODE_OTHER);
    while (end < s->end && is_newline(s->text[end])) {
        end++;
    }
    return end;
}

void weir_pieces_init(weir_pieces_t *pieces, weir_pretokenizer_kind_t kind, weir_str_t text)
{
    *pieces = (weir_pieces_t){.text = text.data, .len = text.len, .kind = kind};
}

/* The end of the piece at pos when every digit stands alone. */
static size_t smollm_end(weir_pieces_t *p)
{
    if (p->pos >= p->segment_end) {
        size_t at = p->pos;
        while (at < p->len) {
            uint32_t cp;
            int len = weir_utf8_decode(p->text + at, p->len - at, &cp);
            size_t next = at + (size_t)(len < 0 ? -len : len);
            if (weir_unicode_is_digit(cp)) {
                if (at == p->pos) {
                    return next;
                }
                break;
            }
            at = next;
        }
        p->segment_end = at;
    }
    scan_t s = {p->text, p->segment_end};
    return gpt2_end(&s, p->pos);
}

static size_t piece_end(weir_pieces_t *p)
{
    scan_t s = {p->text, p->len};
    switch (p->kind) {
    case WEIR_PRETOKENIZER_GPT2:
        return gpt2_end(&s, p->pos);
    case WEIR_PRETOKENIZER_SMOLLM:
        return smollm_end(p);
    case WEIR_PRETOKENIZER_LLAMA3:
        return llama3_end(&s, p->pos, 3);
    case WEIR_PRETOKENIZER_QWEN2:
        return llama3_end(&s, p->pos, 1);
    }
    return p->len;
}

bool weir_pieces_next(weir_pieces_t *pieces, weir_str_t *piece)
{
    if (pieces->pos >= pieces->len) {
        return false;
    }
    size_t end = piece_end(pieces);
    *piece = weir_str(pieces->text + pieces->pos, end - pieces->pos);
    pieces->pos = end;
    return true;
}

#include "engine/jinja/lexer.h"

#include "engine/base/utf8.h"
#include "engine/jinja/unicode.h"

typedef struct {
    weir_str_t src;
    size_t pos;
    weir_arena_t *arena;
    weir_error_t *err;
    weir_status_t status;
    weir_jtoken_t *tokens;
    size_t n;
    size_t cap;
    /* Line and column of `seen`, which only moves forward. */
    size_t seen;
    uint32_t line;
    size_t line_start;
    /* Whether the piece before the current text ended a line: lstrip_blocks applies then. */
    bool line_starting;
    char balance[256]; /* closing brackets that are awaited */
    uint32_t n_balance;
} lexer_t;

weir_status_t weir_jlex_normalise(weir_str_t source, weir_arena_t *arena, weir_str_t *out)
{
    char *data = weir_arena_alloc(arena, source.len + 1);
    if (data == NULL) {
        return WEIR_ERR_NOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < source.len; i++) {
        char c = source.data[i];
        if (c == '\r') {
            c = '\n';
            if (i + 1 < source.len && source.data[i + 1] == '\n') {
                i++;
            }
        }
        data[n++] = c;
    }
    if (n > 0 && data[n - 1] == '\n') {
        n--;
    }
    data[n] = '\0';
    *out = weir_str(data, n);
    return WEIR_OK;
}

static void locate(lexer_t *lx, size_t pos)
{
    for (; lx->seen < pos; lx->seen++) {
        if (lx->src.data[lx->seen] == '\n') {
            lx->line++;
            lx->line_start = lx->seen + 1;
        }
    }
}

static bool fail(lexer_t *lx, size_t pos, weir_status_t status, const char *what)
{
    locate(lx, pos);
    lx->status = weir_error(lx->err, status, "template line %u, column %zu: %s", lx->line,
                            pos - lx->line_start + 1, what);
    return false;
}

static bool push(lexer_t *lx, weir_jtoken_type_t type, size_t start, size_t end)
{
    if (lx->n == lx->cap) {
        size_t cap = lx->cap == 0 ? 64 : lx->cap * 2;
        weir_jtoken_t *grown = weir_arena_alloc(lx->arena, cap * sizeof(*grown));
        if (grown == NULL) {
            lx->status = weir_error(lx->err, WEIR_ERR_NOMEM, "out of memory in a template");
            return false;
        }
        if (lx->n > 0) {
            memcpy(grown, lx->tokens, lx->n * sizeof(*grown));
        }
        lx->tokens = grown;
        lx->cap = cap;
    }
    locate(lx, start);
    lx->tokens[lx->n++] = (weir_jtoken_t){.type = (uint8_t)type,
                                          .line = lx->line,
                                          .col = (uint32_t)(start - lx->line_start + 1),
                                          .text = weir_str(lx->src.data + start, end - start)};
    return true;
}

static char at(const lexer_t *lx, size_t pos)
{
    return pos < lx->src.len ? lx->src.data[pos] : '\0';
}

static bool looking_at(const lexer_t *lx, size_t pos, const char *z)
{
    size_t n = strlen(z);
    return lx->src.len - pos >= n && memcmp(lx->src.data + pos, z, n) == 0;
}

/* The first position at or after pos that is no white space. */
static size_t skip_space(const lexer_t *lx, size_t pos)
{
    while (pos < lx->src.len) {
        uint32_t cp;
        int n = weir_utf8_decode(lx->src.data + pos, lx->src.len - pos, &cp);
        if (n < 0 || !weir_ju_is_space(cp)) {
            break;
        }
        pos += (size_t)n;
    }
    return pos;
}

/* The smallest end so that [end, to) is white space only. */
static size_t rstrip(const lexer_t *lx, size_t from, size_t to)
{
    while (to > from) {
        size_t p = to - 1;
        while (p > from && ((uint8_t)lx->src.data[p] & 0xC0) == 0x80) {
            p--;
        }
        uint32_t cp;
        int n = weir_utf8_decode(lx->src.data + p, to - p, &cp);
        if (n < 0 || !weir_ju_is_space(cp)) {
            break;
        }
        to = p;
    }
    return to;
}

/* The end of text [from, to) before a tag with this sign (or '\0'), and with lstrip_blocks unless
 * the tag prints. */
static size_t strip_before_tag(const lexer_t *lx, size_t from, size_t to, char sign, bool print)
{
    if (sign == '-') {
        return rstrip(lx, from, to);
    }
    if (sign == '+' || print) {
        return to;
    }
    size_t line = to;
    while (line > from && lx->src.data[line - 1] != '\n') {
        line--;
    }
    if ((line > from || lx->line_starting) && rstrip(lx, line, to) == line) {
        return line;
    }
    return to;
}

static void note_end(lexer_t *lx, size_t end)
{
    lx->pos = end;
    lx->line_starting = end > 0 && lx->src.data[end - 1] == '\n';
}

static bool push_data(lexer_t *lx, size_t from, size_t to)
{
    return from == to || push(lx, WEIR_JT_DATA, from, to);
}

/* "%}" (or "#}") at pos with an optional sign before it: moves behind it and what it trims. */
static bool tag_end(lexer_t *lx, size_t pos, const char *close, bool trims, size_t *end)
{
    char sign = at(lx, pos);
    if ((sign == '-' || sign == '+') && looking_at(lx, pos + 1, close)) {
        *end = pos + 3;
        if (sign == '-') {
            *end = skip_space(lx, *end);
        }
        return true;
    }
    if (looking_at(lx, pos, close)) {
        *end = pos + 2;
        if (trims && at(lx, *end) == '\n') {
            (*end)++;
        }
        return true;
    }
    return false;
}

static bool lex_comment(lexer_t *lx, size_t start)
{
    for (size_t p = start; p + 1 < lx->src.len; p++) {
        size_t end;
        if (tag_end(lx, p, "#}", true, &end)) {
            note_end(lx, end);
            return true;
        }
    }
    if (start == lx->src.len) { /* jinja2 takes an opened comment with nothing behind it */
        note_end(lx, start);
        return true;
    }
    return fail(lx, start, WEIR_ERR_INVALID, "comment without an end: write #}");
}

/* Matches `word` between optional white space from pos; *end lies behind it and the space. */
static bool tag_word(const lexer_t *lx, size_t pos, const char *word, size_t *end)
{
    pos = skip_space(lx, pos);
    if (!looking_at(lx, pos, word)) {
        return false;
    }
    *end = skip_space(lx, pos + strlen(word));
    return true;
}

/* "{% raw %}" at open: *end lies behind it. "raw" ends with "%}" or "-%}", never "+%}". */
static bool raw_begins(const lexer_t *lx, size_t open, size_t *end)
{
    size_t p = open + 2;
    p += at(lx, p) == '-' || at(lx, p) == '+';
    if (!tag_word(lx, p, "raw", &p)) {
        return false;
    }
    if (looking_at(lx, p, "-%}")) {
        *end = skip_space(lx, p + 3);
        return true;
    }
    *end = p + 2;
    return looking_at(lx, p, "%}");
}

static bool lex_raw(lexer_t *lx, size_t start)
{
    for (size_t p = start; p + 1 < lx->src.len; p++) {
        if (!looking_at(lx, p, "{%")) {
            continue;
        }
        char sign = at(lx, p + 2);
        size_t q = p + 2 + (sign == '-' || sign == '+');
        size_t end;
        if (tag_word(lx, q, "endraw", &q) && tag_end(lx, q, "%}", true, &end)) {
            size_t stop = strip_before_tag(lx, start, p, sign, false);
            if (!push_data(lx, start, stop)) {
                return false;
            }
            note_end(lx, end);
            return true;
        }
    }
    if (start == lx->src.len) {
        note_end(lx, start);
        return true;
    }
    return fail(lx, start, WEIR_ERR_INVALID, "raw without an end: write {% endraw %}");
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

/* The end of "(\d+_)*\d+" at p, or p. */
static size_t digits(const lexer_t *lx, size_t p)
{
    while (is_digit(at(lx, p))) {
        p++;
        if (at(lx, p) == '_' && is_digit(at(lx, p + 1))) {
            p++;
        }
    }
    return p;
}

static size_t prefixed_int(const lexer_t *lx, size_t p)
{
    char kind = (char)(at(lx, p + 1) | 0x20);
    size_t q = p + 2;
    for (;; q++) {
        size_t r = q + (at(lx, q) == '_');
        char c = at(lx, r);
        char low = (char)(c | 0x20);
        bool fits = kind == 'b'   ? c == '0' || c == '1'
                    : kind == 'o' ? c >= '0' && c <= '7'
                                  : is_digit(c) || (low >= 'a' && low <= 'f');
        if (!fits) {
            break;
        }
        q = r;
    }
    return q > p + 2 ? q : p;
}

static bool lex_number(lexer_t *lx)
{
    size_t start = lx->pos;
    size_t end = digits(lx, start);
    bool is_float = false;
    bool after_dot = start > 0 && lx->src.data[start - 1] == '.';
    if (!after_dot) {
        size_t p = end;
        if (at(lx, p) == '.' && is_digit(at(lx, p + 1))) {
            p = digits(lx, p + 1);
            is_float = true;
            end = p;
        }
        if ((at(lx, p) | 0x20) == 'e') {
            size_t q = p + 1 + (at(lx, p + 1) == '+' || at(lx, p + 1) == '-');
            if (is_digit(at(lx, q))) {
                end = digits(lx, q);
                is_float = true;
            }
        }
    }
    if (!is_float && at(lx, start) == '0') {
        char kind = (char)(at(lx, start + 1) | 0x20);
        size_t q = kind == 'b' || kind == 'o' || kind == 'x' ? prefixed_int(lx, start) : start;
        /* "012" is the integer 0 and then 12, as the grammar has it: an error in the parser. */
        end = q > start ? q : start + 1;
        while (q == start &&
               (at(lx, end) == '0' || (at(lx, end) == '_' && at(lx, end + 1) == '0'))) {
            end++;
        }
    }
    if (!push(lx, is_float ? WEIR_JT_FLOAT : WEIR_JT_INT, start, end)) {
        return false;
    }
    note_end(lx, end);
    return true;
}

static bool lex_string(lexer_t *lx)
{
    char quote = at(lx, lx->pos);
    for (size_t p = lx->pos + 1; p < lx->src.len; p++) {
        char c = lx->src.data[p];
        if (c == '\\') {
            p++;
        } else if (c == quote) {
            if (!push(lx, WEIR_JT_STRING, lx->pos, p + 1)) {
                return false;
            }
            note_end(lx, p + 1);
            return true;
        }
    }
    return fail(lx, lx->pos, WEIR_ERR_INVALID, "string without a closing quote");
}

static bool track_brackets(lexer_t *lx, char c)
{
    char close = c == '(' ? ')' : c == '[' ? ']' : c == '{' ? '}' : '\0';
    if (close != '\0') {
        if (lx->n_balance == sizeof(lx->balance)) {
            return fail(lx, lx->pos, WEIR_ERR_LIMIT, "brackets nested too deeply");
        }
        lx->balance[lx->n_balance++] = close;
    } else if (c == ')' || c == ']' || c == '}') {
        if (lx->n_balance == 0 || lx->balance[lx->n_balance - 1] != c) {
            return fail(lx, lx->pos, WEIR_ERR_INVALID, "a closing bracket that nothing opened");
        }
        lx->n_balance--;
    }
    return true;
}

static bool lex_operator(lexer_t *lx)
{
    static const char two[][3] = {"//", "**", "==", "!=", ">=", "<="};
    char c = at(lx, lx->pos);
    for (size_t i = 0; i < sizeof(two) / sizeof(two[0]); i++) {
        if (looking_at(lx, lx->pos, two[i])) {
            if (!push(lx, WEIR_JT_OP, lx->pos, lx->pos + 2)) {
                return false;
            }
            lx->tokens[lx->n - 1].op = WEIR_JOPCHAR(two[i][0], two[i][1]);
            note_end(lx, lx->pos + 2);
            return true;
        }
    }
    if (c == '\0' || strchr("+-/*%~[](){}><=.:|,;", c) == NULL) {
        return fail(lx, lx->pos, WEIR_ERR_INVALID, "unexpected character in an expression");
    }
    if (!track_brackets(lx, c) || !push(lx, WEIR_JT_OP, lx->pos, lx->pos + 1)) {
        return false;
    }
    lx->tokens[lx->n - 1].op = WEIR_JOPCHAR(c, 0);
    note_end(lx, lx->pos + 1);
    return true;
}

/* The end of a print tag: "}}" trims nothing, "-}}" all white space; "+}}" does not exist. */
static bool print_end(const lexer_t *lx, size_t pos, size_t *end)
{
    if (looking_at(lx, pos, "-}}")) {
        *end = skip_space(lx, pos + 3);
        return true;
    }
    *end = pos + 2;
    return looking_at(lx, pos, "}}");
}

static bool lex_expression(lexer_t *lx, bool print)
{
    while (lx->pos < lx->src.len) {
        size_t end;
        if (lx->n_balance == 0 &&
            (print ? print_end(lx, lx->pos, &end) : tag_end(lx, lx->pos, "%}", true, &end))) {
            bool done = push(lx, print ? WEIR_JT_PRINT_END : WEIR_JT_TAG_END, lx->pos, lx->pos);
            note_end(lx, end);
            return done;
        }
        size_t space = skip_space(lx, lx->pos);
        char c = at(lx, lx->pos);
        bool good = true;
        if (space > lx->pos) {
            note_end(lx, space);
        } else if (is_digit(c)) {
            good = lex_number(lx);
        } else if (is_name_char(c)) {
            size_t p = lx->pos;
            while (is_name_char(at(lx, p))) {
                p++;
            }
            good = push(lx, WEIR_JT_NAME, lx->pos, p);
            note_end(lx, p);
        } else if (c == '\'' || c == '"') {
            good = lex_string(lx);
        } else if ((uint8_t)c >= 0x80) {
            good = fail(lx, lx->pos, WEIR_ERR_UNSUPPORTED, "names outside ASCII are unsupported");
        } else {
            good = lex_operator(lx);
        }
        if (!good) {
            return false;
        }
    }
    return fail(lx, lx->src.len, WEIR_ERR_INVALID, "the template ends inside a tag");
}

/* Text up to the next tag, and the tag. */
static bool lex_piece(lexer_t *lx)
{
    size_t start = lx->pos;
    size_t open = start;
    while (open + 1 < lx->src.len &&
           !(lx->src.data[open] == '{' && strchr("{%#", lx->src.data[open + 1]) != NULL &&
             lx->src.data[open + 1] != '\0')) {
        open++;
    }
    if (open + 1 >= lx->src.len) {
        bool done = push_data(lx, start, lx->src.len);
        lx->pos = lx->src.len;
        return done;
    }
    char kind = lx->src.data[open + 1];
    char sign = at(lx, open + 2);
    sign = sign == '-' || sign == '+' ? sign : '\0';
    size_t stop = strip_before_tag(lx, start, open, sign, kind == '{');
    if (!push_data(lx, start, stop)) {
        return false;
    }
    size_t inner = open + 2 + (sign != '\0');
    size_t raw;
    if (kind == '%' && raw_begins(lx, open, &raw)) {
        note_end(lx, raw);
        return lex_raw(lx, raw);
    }
    if (!(kind == '#') &&
        !push(lx, kind == '{' ? WEIR_JT_PRINT_BEGIN : WEIR_JT_TAG_BEGIN, open, inner)) {
        return false;
    }
    note_end(lx, inner);
    return kind == '#' ? lex_comment(lx, inner) : lex_expression(lx, kind == '{');
}

weir_status_t weir_jlex(weir_str_t source, weir_arena_t *arena, weir_jtoken_t **tokens,
                        size_t *count, weir_error_t *err)
{
    lexer_t lx = {.src = source, .arena = arena, .err = err, .line = 1, .line_starting = true};
    while (lx.pos < source.len) {
        if (!lex_piece(&lx)) {
            return lx.status;
        }
    }
    if (!push(&lx, WEIR_JT_END, source.len, source.len)) {
        return lx.status;
    }
    *tokens = lx.tokens;
    *count = lx.n;
    return WEIR_OK;
}

/*
 * Inside the library: the compiled rules, the state of one scan, and what the parsers of the rules
 * call. Nothing outside guardrails/ includes this.
 */
#ifndef WEIR_GUARDRAILS_MATCHER_H
#define WEIR_GUARDRAILS_MATCHER_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "guardrails/guardrails.h"
#include "guardrails/normalise.h"
#include "guardrails/pattern.h"
#include "guardrails/runs.h"
#include "guardrails/vector.h"

/* Classes of bytes, for the parsers. */
enum {
    WEIR_C_DIGIT = 1,
    WEIR_C_UPPER = 2,
    WEIR_C_LOWER = 4,
    WEIR_C_HEX = 8,
    WEIR_C_ATEXT = 16,        /* the local part of an e-mail address, with the dot */
    WEIR_C_HOST = 32,         /* letters, digits, '-', bytes of other scripts */
    WEIR_C_URL = 64,          /* may stand in a URL */
    WEIR_C_B58 = 128,         /* Bitcoin's base 58 */
    WEIR_C_NO_LEFT = 256,     /* no number begins behind it */
    WEIR_C_NO_RIGHT = 512,    /* no number ends before it */
    WEIR_C_JOIN_LEFT = 1024,  /* nor behind it where a digit stands before it */
    WEIR_C_JOIN_RIGHT = 2048, /* nor before it where a digit stands behind it */
    WEIR_C_ALPHA = WEIR_C_UPPER | WEIR_C_LOWER,
    WEIR_C_ALNUM = WEIR_C_ALPHA | WEIR_C_DIGIT
};

extern const uint16_t weir_guard_class[256];

static inline bool weir_is(char c, unsigned classes)
{
    return (weir_guard_class[(unsigned char)c] & classes) != 0;
}

/* Is c one of the characters of set? Never for NUL. */
static inline bool weir_one_of(char c, const char *set)
{
    for (; *set != '\0'; set++) {
        if (*set == c) {
            return true;
        }
    }
    return false;
}

/* Rules with a parser of their own; the identity numbers of guardrails/pii/ follow them. */
typedef enum {
    WEIR_RULE_EMAIL,
    WEIR_RULE_PHONE,
    WEIR_RULE_CARD,
    WEIR_RULE_IBAN,
    WEIR_RULE_IPV4,
    WEIR_RULE_IPV6,
    WEIR_RULE_MAC,
    WEIR_RULE_URL,
    WEIR_RULE_URL_CREDENTIALS,
    WEIR_RULE_DOMAIN,
    WEIR_RULE_BITCOIN,
    WEIR_RULE_BECH32,
    WEIR_RULE_ETHEREUM,
    WEIR_RULE_BASE58,
    WEIR_RULE_MONERO,
    WEIR_RULE_BIRTH,
    WEIR_RULE_DATE,
    WEIR_RULE_PERSON,
    WEIR_RULE_ADDRESS,
    WEIR_RULE_BOT_TOKEN,
    WEIR_RULE_PARSERS /* how many */
} weir_guard_parser_t;

typedef struct {
    const char *id;
    const char *type;
    bool window; /* not in streaming sets */
    bool off;    /* not in the PII group unless switched on */
    bool digits; /* begins at a digit, or at a letter group before one */
    bool secret; /* of the secrets group */
} weir_guard_parser_rule_t;

extern const weir_guard_parser_rule_t weir_guard_parser_rules[WEIR_RULE_PARSERS];

/*
 * An identity number. shape spells the characters without separators: 9 digit, A letter, X either;
 * layouts are the groupings in which it is written, '|' between them: group lengths with the
 * separators between ('~' stands for one of space, '-', '.'). context: a set of words (below).
 */
typedef struct {
    const char *id;
    const char *type;
    const char *shape;
    const char *layouts;
    const char *context; /* words and phrases of up to three words, '|' between them */
    float bare;          /* score without context */
    float known;         /* score with it */
    /* The checksum and the ranges, on len upper-case characters without separators; NULL: shape
     * alone. */
    bool (*check)(const char *text, size_t len);
} weir_guard_id_t;

typedef struct {
    const weir_guard_id_t *ids;
    size_t count;
} weir_guard_id_table_t;

extern const weir_guard_id_table_t *const weir_guard_id_tables[];
extern const size_t weir_guard_id_table_count;

/* Sets of context words; 0 to 31 are the parsers', identity numbers' follow. */
enum {
    WEIR_CONTEXT_PHONE,
    WEIR_CONTEXT_PHONE_WEAK, /* call, office, my number: only together with a number's form */
    WEIR_CONTEXT_PHONE_CALL, /* you can call, my registered */
    WEIR_CONTEXT_PHONE_VERB,
    WEIR_CONTEXT_AMOUNT, /* what large numbers count */
    WEIR_CONTEXT_FILLER, /* may stand between a word and the number that it names */
    WEIR_CONTEXT_CARD,
    WEIR_CONTEXT_IP,
    WEIR_CONTEXT_VERSION,
    WEIR_CONTEXT_SITE,
    WEIR_CONTEXT_BIRTH,
    WEIR_CONTEXT_CRYPTO,
    WEIR_CONTEXT_NOT_PHONE,
    WEIR_CONTEXT_ADDRESS,
    WEIR_CONTEXT_PARSERS
};
#define WEIR_CONTEXT_SETS  256
#define WEIR_CONTEXT_REACH 40 /* bytes on either side that are read */

extern const char *const weir_guard_parser_context[WEIR_CONTEXT_PARSERS];

typedef struct {
    uint64_t bits[WEIR_CONTEXT_SETS / 64];
} weir_guard_words_t;

typedef struct {
    uint64_t hash; /* 0: free */
    weir_guard_words_t sets;
} weir_guard_context_slot_t;

#define WEIR_CONTEXT_SLOTS 4096

/* One grouping of one identity number. */
typedef struct {
    uint16_t rule; /* index into rules->rule */
    uint8_t groups;
    uint8_t len[8];
    char separator[8];   /* before group i; [0] unused */
    uint8_t characters;  /* in all groups together; at most WEIR_MAX_SHAPE */
    uint64_t lens;       /* len, the first group in the lowest byte */
    uint64_t care;       /* 0xff for each group */
    uint64_t shape;      /* bit i: character i is a digit, */
    uint64_t shape_care; /* where it must be one, or must be none */
    uint16_t next;       /* next layout of the bucket, or none */
    uint16_t other;      /* next one of another shape */
} weir_guard_layout_t;

#define WEIR_NO_LAYOUT  UINT16_MAX
#define WEIR_MAX_GROUP  40
#define WEIR_MAX_SHAPE  64
#define WEIR_MAX_LAYOUT 20 /* buckets by the second group's length */
#define WEIR_MAX_FRONTS 96

/* The most that a number in small letters scores without words near. */
#define WEIR_SMALL_LETTERS 0.4f

typedef struct {
    const char *type;
    const char *id;
    float min_score;
    bool on;
    uint8_t kind;   /* weir_guard_kind_t */
    uint8_t weight; /* of findings that score at least weight_least */
    float weight_least;
    uint16_t context;
    const weir_guard_id_t *number;
    uint32_t pattern; /* index into rules->patterns */
} weir_guard_rule_t;

typedef enum {
    WEIR_KIND_PARSER,
    WEIR_KIND_NUMBER,
    WEIR_KIND_PATTERN,
    WEIR_KIND_LIST
} weir_guard_kind_t;

/* len characters of a set in a row, without which an expression cannot match; 0: none is needed. */
typedef struct {
    uint64_t set[4];
    size_t len;
} weir_guard_value_run_t;

/* The longest run that the value of a named secret must have. */
weir_guard_value_run_t weir_guard_value_run(const char *value);

/* Is there such a run in text? */
bool weir_guard_has_run(const weir_guard_value_run_t *run, const char *text, size_t len);

typedef struct {
    pcre2_code *code; /* of the value, where there is a name */
    pcre2_code *name;
    weir_guard_value_run_t run;
    const weir_guard_pattern_t *source; /* NULL: a custom expression */
    uint32_t rule;
    uint16_t before;
    uint16_t after;
    float score;
    bool custom; /* matched on the whole text, with partial matches at its end */
} weir_guard_compiled_t;

/*
 * A literal that the filter finds: a pattern's keyword or a value of a list. Eight bytes of text
 * from its lead on, as a number of low end first, are its own where (bytes | fold) & care == want.
 */
typedef struct {
    uint64_t fold; /* 0x20 at its letters */
    uint64_t care;
    uint64_t want;
    const char *text; /* lower-case */
    uint32_t len;
    uint32_t lead;     /* where in it the trigram of the filter is */
    uint32_t next;     /* with the same hash */
    uint32_t pattern;  /* or UINT32_MAX for a list */
    const char *exact; /* a list that minds the case: the value as it is; else NULL */
    uint32_t rule;
    float score;
    bool row; /* a keyword of one letter in a row: its rows are found whole, at their beginning */
} weir_guard_literal_t;

/* An entity that begins with a literal with white space in it. */
typedef struct {
    const weir_guard_literal_t *literal;
} weir_guard_beginning_t;

#define WEIR_BITMAP_BITS   65536
#define WEIR_LITERAL_HEADS 4096
#define WEIR_NO_LITERAL    UINT32_MAX

/* A word of the name and address heuristics. */
typedef struct {
    uint64_t hash; /* 0: free */
    unsigned kind;
} weir_guard_word_slot_t;

#define WEIR_WORD_SLOTS   2048
#define WEIR_WORD_BITS    16384
#define WEIR_CONTEXT_BITS 32768

struct weir_guard_rules {
    weir_arena_t arena;
    bool streaming;
    bool no_prefilter;
    bool digits; /* some rule begins at digits */
    bool words;  /* PERSON: some rule begins at capital letters */
    weir_guard_rule_t *rule;
    size_t rule_count;
    uint16_t number_base; /* index of the first identity number */
    size_t custom_base;   /* and of the first custom entity */
    weir_guard_layout_t *layouts;
    size_t layout_count;
    uint16_t buckets[WEIR_MAX_GROUP + 1][WEIR_MAX_LAYOUT + 1]; /* [first][second], 0: only one */
    uint16_t fronts[WEIR_MAX_FRONTS]; /* layouts whose first group may be letters and a blank */
    size_t front_count;
    weir_guard_context_slot_t *context;
    size_t context_used;
    uint64_t context_bits[WEIR_CONTEXT_BITS / 64]; /* by hash: may be in the table */
    weir_guard_word_slot_t *word_slots;
    uint64_t word_bits[WEIR_WORD_BITS / 64];
    weir_guard_compiled_t *patterns;
    size_t pattern_count;
    size_t custom_from; /* patterns from here on are custom expressions */
    weir_guard_literal_t *literals;
    size_t literal_count;
    uint32_t literal_heads[WEIR_LITERAL_HEADS]; /* by the trigram's hash */
    /* Which trigrams to look at: the filter, or where there are too many literals for it (NULL) the
     * bitmap of the trigrams' hashes. */
    weir_guard_filter_t *filter;
    uint64_t *bitmap;
    const weir_guard_vector_t *vector;
    weir_guard_beginning_t *beginnings; /* sorted by text */
    size_t beginning_count;
    size_t longest_literal;
};

typedef struct {
    uint32_t start;
    uint32_t end;
    float score;
    float rank; /* of overlaps: the score, or more where it holds another number (resolve.c) */
    uint16_t rule;
    uint16_t flags;
} weir_guard_candidate_t;

/* Part of the view in which a pattern is to be tried; empty: end 0. */
typedef struct {
    uint32_t start;
    uint32_t end;
} weir_guard_window_t;

#define WEIR_MAX_PATTERNS 16384

/* A word of the text that is scanned in the pass of this number. */
typedef struct {
    uint64_t hash;
    uint64_t pass;
    uint32_t start;
    uint32_t end;
} weir_guard_known_word_t;

#define WEIR_KNOWN_WORDS 64

/* Where the name of a value that starts there would have to end. */
#define WEIR_NAME_ENDS 8
typedef struct {
    uint64_t pass;
    uint32_t start;
    unsigned count;
    uint32_t low[WEIR_NAME_ENDS];
    uint32_t high[WEIR_NAME_ENDS];
} weir_guard_known_value_t;

#define WEIR_KNOWN_VALUES 64

/* Kept between scans. */
struct weir_guard_scratch {
    weir_guard_fold_t fold;
    weir_guard_candidate_t *candidates;
    size_t candidate_count;
    size_t candidate_cap;
    weir_guard_finding_t *findings;
    size_t finding_cap;
    uint32_t *order;
    size_t order_cap;
    pcre2_match_data *match;
    pcre2_jit_stack *stack;
    pcre2_match_context *context;
    struct evp_md_ctx_st *sha256; /* of OpenSSL, kept because looking a digest up costs more */
    weir_guard_window_t *windows; /* per pattern, what is still to be tried */
    size_t window_cap;
    uint64_t pending[WEIR_MAX_PATTERNS / 64]; /* patterns whose window is not empty */
    uint64_t passes;                          /* so far, by all scans */
    weir_guard_known_word_t words[WEIR_KNOWN_WORDS];
    weir_guard_known_value_t values[WEIR_KNOWN_VALUES];
};

#define WEIR_MAX_CANDIDATES 65536

/*
 * What a scan does is counted in units of some 10 ns, fitted to the times that texts of all kinds
 * take. The text itself is always scanned whole; its layers as long as all work stays under the
 * limit, so that codes inside codes of what is slow to scan take no multiple of the time.
 */
enum {
    WEIR_WORK_BYTE = 1,  /* of a layer, decoded */
    WEIR_WORK_RUN = 2,   /* of its offset map */
    WEIR_WORK_GROUP = 4, /* an alphanumeric run with digits: telephone, dates, identity numbers */
    WEIR_WORK_PHONE = 2,
    WEIR_WORK_LAYOUT = 1,
    WEIR_WORK_CARD = 8,
    WEIR_WORK_SIGN = 6, /* an '@' */
    WEIR_WORK_HOST = 2, /* a name with dots, or a URL */
    WEIR_WORK_SIDE = 5, /* the words before a number, or behind it, */
    WEIR_WORK_WORD = 2, /* each of them */
    WEIR_WORK_DIGEST = 30,
    WEIR_WORK_LEAD = 2,   /* a place where a literal may stand */
    WEIR_WORK_MATCH = 8,  /* a match, */
    WEIR_WORK_TRIED = 8,  /* and one for so many bytes of the window in which it is tried */
    WEIR_WORK_NAME = 8,   /* what stands before a value, or one look for a name there */
    WEIR_WORK_GATES = 6,  /* entropy, stop words and so on of a match, */
    WEIR_WORK_GATED = 4,  /* and one more for so many bytes of it */
    WEIR_WORK_FOUND = 12, /* a candidate, and its place among the others */
    WEIR_WORK_TWO = 9,    /* allowed for two bytes of the text */
    WEIR_WORK_LEAST = 512
};

/* One pass over one view. */
typedef struct {
    const weir_guard_rules_t *rules;
    weir_guard_scratch_t *scratch;
    const char *text;
    size_t len;
    const weir_guard_view_t *view;
    size_t from;  /* in the original */
    size_t begin; /* first byte of the view that is looked at */
    bool more;
    uint16_t flags;      /* of the candidates */
    size_t live;         /* of patterns: first byte of the view that more text can change */
    size_t group_cursor; /* alphanumeric runs before it are done */
    size_t url_cursor;
    size_t colon_cursor;
    size_t host_cursor;
    size_t phone_cursor;
    size_t name_cursor;
    uint64_t pass;          /* its number, from 1 on */
    weir_guard_runs_t runs; /* of where the parsers look */
    size_t left_at;         /* the context's words before a candidate that starts here */
    size_t right_at;        /* and behind one that ends here */
    weir_guard_words_t left;
    weir_guard_words_t right;
    size_t names_at; /* what names a candidate that starts here: directly, or with more between */
    weir_guard_words_t names[2];
    uint64_t work;  /* done so far, on all views, in units of some 10 ns */
    uint64_t limit; /* where the scan of a layer ends */
    bool truncated;
    bool no_memory;
    uint32_t timeouts;
} weir_guard_scan_t;

/* Digits and letters from at on, at least WEIR_RUNS_SHARE bytes of them. */
static inline weir_guard_runs_t weir_guard_runs(weir_guard_scan_t *scan, size_t at)
{
    return weir_guard_runs_from(&scan->runs, scan->text, scan->len, at);
}

static inline bool weir_rule_on(const weir_guard_scan_t *scan, unsigned rule)
{
    return scan->rules->rule[rule].on;
}

/*
 * In a layer the texts of codes stand with WEIR_CODE_BORDER between them: of [*start, *end) what
 * lies in the same one as `at`.
 */
#define WEIR_CODE_BORDER '\x1e'

static inline void weir_guard_same_code(const weir_guard_scan_t *scan, size_t at, size_t *start,
                                        size_t *end)
{
    if ((scan->flags & WEIR_GUARD_DECODED) == 0) {
        return;
    }
    const char *before =
        *start < at ? memrchr(scan->text + *start, WEIR_CODE_BORDER, at - *start) : NULL;
    const char *behind = at < *end ? memchr(scan->text + at, WEIR_CODE_BORDER, *end - at) : NULL;
    *start = before == NULL ? *start : (size_t)(before - scan->text) + 1;
    *end = behind == NULL ? *end : (size_t)(behind - scan->text);
}

/* A candidate, by offsets of the view; dropped when its rule is off or its score too low. */
void weir_guard_emit(weir_guard_scan_t *scan, unsigned rule, size_t start, size_t end, float score);

/* True when a word of the set stands within reach of [start, end): before it, and behind it too
 * unless the rules are for streams. */
bool weir_guard_near(weir_guard_scan_t *scan, size_t start, size_t end, unsigned set);

/* True when that has been asked about the span before: it costs little then. */
static inline bool weir_guard_near_known(const weir_guard_scan_t *scan, size_t start, size_t end)
{
    return scan->left_at == start && (scan->rules->streaming || scan->right_at == end);
}

/*
 * Does a word of the set name what stands at start? 1: it stands directly in front; 2: with a colon
 * or small words (is, me at) between; 0: no. Looks only to the left.
 */
int weir_guard_names(weir_guard_scan_t *scan, size_t start, unsigned set);

/* The same behind end: "is my mobile", "(office)". Never in sets for streams. */
bool weir_guard_named_behind(weir_guard_scan_t *scan, size_t end, unsigned set);

/* The lower case of a two-byte UTF-8 character: Latin-1, Latin Extended-A, Greek, Cyrillic. */
void weir_guard_lower_two(const char text[2], char lower[2]);

/* Adds the words of a '|'-separated list to a set of the table. False: the table is full. */
bool weir_guard_context_add(weir_guard_rules_t *rules, unsigned set, const char *words);

/*
 * Parsers: called at what draws attention to their entities; they emit candidates.
 * at_group: an alphanumeric run [start, end) that has a digit.
 */
void weir_guard_at_sign(weir_guard_scan_t *scan, size_t at);
void weir_guard_find_bot_token(weir_guard_scan_t *scan, size_t at);
void weir_guard_at_colon(weir_guard_scan_t *scan, size_t at);
void weir_guard_at_dot(weir_guard_scan_t *scan, size_t at);
void weir_guard_at_digit(weir_guard_scan_t *scan, size_t at);
void weir_guard_at_capital(weir_guard_scan_t *scan, size_t at);
void weir_guard_find_phone(weir_guard_scan_t *scan, size_t start);
void weir_guard_find_iban(weir_guard_scan_t *scan, size_t start, size_t end);
void weir_guard_find_colon_address(weir_guard_scan_t *scan, size_t at);
void weir_guard_find_ipv4(weir_guard_scan_t *scan, size_t start);
void weir_guard_find_mac(weir_guard_scan_t *scan, size_t start, size_t end);
void weir_guard_find_crypto(weir_guard_scan_t *scan, size_t start, size_t end);
void weir_guard_find_card(weir_guard_scan_t *scan, size_t start, size_t end);
void weir_guard_find_date(weir_guard_scan_t *scan, size_t start, size_t end);
void weir_guard_find_numbers(weir_guard_scan_t *scan, size_t start, size_t end);
void weir_guard_find_address(weir_guard_scan_t *scan, size_t start, size_t end);

/* Literals, expressions, and the pass over a view. */
weir_status_t weir_guard_compile_patterns(weir_guard_rules_t *rules,
                                          const weir_guard_options_t *options, weir_error_t *err);
void weir_guard_free_patterns(weir_guard_rules_t *rules);

/* Leads, hashes and filter for the literals that the rules have. */
weir_status_t weir_guard_place_literals(weir_guard_rules_t *rules, weir_error_t *err);
void weir_guard_find_literals(weir_guard_scan_t *scan);

/* The literal is text[at, at + len): its pattern's window, or the value's candidate. */
void weir_guard_at_literal(weir_guard_scan_t *scan, const weir_guard_literal_t *literal, size_t at,
                           size_t len);
/* Is the value at `at` given to the rule's name, which begins at `from` or behind it? */
bool weir_guard_is_given(weir_guard_scan_t *scan, const weir_guard_compiled_t *c, size_t from,
                         size_t at);
void weir_guard_try_patterns(weir_guard_scan_t *scan);

/* A keyword of the named pattern c stands at [at, at + len): a value in front of it? */
void weir_guard_named_behind_value(weir_guard_scan_t *scan, const weir_guard_compiled_t *c,
                                   size_t at, size_t len);

/* Gates of the pattern c on a value at [start, end), then the candidate. */
void weir_guard_judge_value(weir_guard_scan_t *scan, const weir_guard_compiled_t *c, size_t start,
                            size_t end);
void weir_guard_pass(weir_guard_scan_t *scan);

/* What more text could still change: first live byte of the view. */
size_t weir_guard_live(weir_guard_scan_t *scan);

/* Candidates to findings; hold moves down so that no chain of overlaps crosses it. */
weir_status_t weir_guard_resolve(const weir_guard_rules_t *rules, weir_guard_scratch_t *scratch,
                                 weir_guard_result_t *result, weir_error_t *err);

/* Sets the bit 0x20 of those of eight bytes that are 'A' to 'Z'. */
static inline uint64_t weir_guard_lower_eight(uint64_t eight)
{
    const uint64_t ones = 0x0101010101010101;
    uint64_t low = eight & ones * 0x7f;
    uint64_t from_a = low + ones * (0x80 - 'A');
    uint64_t behind_z = low + ones * (0x7f - 'Z');
    return eight | (from_a & ~behind_z & ~eight & ones * 0x80) >> 2;
}

/* Of a word of at least one byte, ASCII case aside. */
uint64_t weir_guard_hash_word(const char *text, size_t len);

/* Hash of three bytes, without their bits 0x20. */
static inline uint32_t weir_guard_trigram(uint32_t three)
{
    return ((three & 0xffffff) | 0x202020) * 0x9e3779b1u >> 16;
}

#endif

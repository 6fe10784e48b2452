/*
 * Guardrails: finds personal data and secrets in text. The rules are compiled once into an
 * immutable object that any number of threads may share; every thread scans with a scratch of its
 * own, which keeps its memory between calls, so that a warm scan allocates nothing.
 *
 * All offsets are bytes of the text that the caller passed, also where the finding was made in a
 * folded or decoded view of it.
 */
#ifndef WEIR_GUARDRAILS_H
#define WEIR_GUARDRAILS_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

/* Texts longer than this are refused (WEIR_ERR_LIMIT); scan them in slices. */
#define WEIR_GUARD_MAX_TEXT ((size_t)64 << 20)

/*
 * How many bytes in front of a position can influence what is found behind it: the left context
 * that a caller who scans in slices keeps (see weir_guard_scan_options_t.from). The first is
 * enough for rules for streams, and without decoding; the second for all.
 */
#define WEIR_GUARD_LEFT       256
#define WEIR_GUARD_LEFT_CODED 4096

/* How a finding came about; a set of bits. */
enum {
    WEIR_GUARD_FOLDED = 1,  /* the text had to be normalised (full width, invisible, ...) */
    WEIR_GUARD_DECODED = 2, /* inside base64, percent, hex or entities: the span is the code's */
    WEIR_GUARD_OPEN = 4,    /* the text ended before the entity's end condition (a private key) */
    WEIR_GUARD_CUSTOM = 8   /* a custom entity of the caller */
};

/* type and rule live as long as the rules. */
typedef struct {
    const char *type; /* Presidio's name: "EMAIL_ADDRESS"; secrets: "SECRET" */
    const char *rule; /* stable id of the rule: "us_ssn", "github_pat" */
    uint32_t start;   /* first byte */
    uint32_t end;     /* behind the last byte */
    float score;      /* 0..1 */
    uint32_t flags;
} weir_guard_finding_t;

/* Switches one entity type, or one rule, of the built-in groups. */
typedef struct {
    const char *name; /* a type ("PERSON") or a rule id ("us_ssn") */
    bool on;
    float min_score; /* findings below it are dropped; 0: options.min_score */
} weir_guard_entity_t;

/*
 * An entity of the caller's: either an expression (PCRE2, UTF and UCP; group 1, if it has one and
 * it took part, is the entity, else all of the match) or a list of values, which match as whole
 * words. An expression is compiled with limits; one that matches the empty string, that looks
 * behind or ahead over more than 255 characters, or that a cost check finds too expensive is
 * refused.
 */
typedef struct {
    const char *type;
    const char *rule; /* id; NULL: the type */
    const char *expression;
    const weir_str_t *values;
    size_t value_count;
    bool ignore_case;
    float score; /* 0: 0.85 */
} weir_guard_custom_t;

/*
 * How much it matters that a type is found: where a custom entity overlaps others, what is heavier
 * is kept, whatever the scores. At most WEIR_GUARD_HEAVIEST, which is what stops the whole text;
 * below WEIR_GUARD_CHANGES: what leaves the text as it is.
 */
typedef struct {
    const char *type; /* NULL: all types that no other entry names */
    uint8_t weight;
    float least; /* findings with a lower score weigh nothing */
} weir_guard_weight_t;

#define WEIR_GUARD_CHANGES  2
#define WEIR_GUARD_HEAVIEST 7

typedef struct {
    bool pii;     /* the built-in PII group, without the entities that are off by default */
    bool secrets; /* the built-in secrets group */
    /*
     * Only rules that a hold-back stream can decide: left context only, no decoded layers, no
     * names, no addresses (weir_guard_entity_needs_window tells which). Without it scan uses all.
     */
    bool streaming;
    bool no_prefilter; /* tries every rule everywhere: slow, for the differential test */
    float min_score;   /* 0: 0.5 */
    const weir_guard_entity_t *entities; /* applied in order, later ones win */
    size_t entity_count;
    const weir_guard_custom_t *custom;
    size_t custom_count;
    const weir_guard_weight_t *weights; /* the first of a type counts; without any all weigh 0 */
    size_t weight_count;
} weir_guard_options_t;

typedef struct weir_guard_rules weir_guard_rules_t;
typedef struct weir_guard_scratch weir_guard_scratch_t;

/*
 * Compiles a rule set; *rules is the caller's, who ends it with weir_guard_rules_free. Copies what
 * it needs of options. Errors: INVALID (unknown name, bad expression; field names the entry:
 * "custom[2].expression"), LIMIT, NOMEM.
 */
weir_status_t weir_guard_rules_compile(const weir_guard_options_t *options,
                                       weir_guard_rules_t **rules, weir_error_t *err);

/* NULL is allowed. No scan may use the rules any more, and no finding of theirs may be read. */
void weir_guard_rules_free(weir_guard_rules_t *rules);

/*
 * The built-in entity types in alphabetical order, NULL behind the last index. needs_window: none
 * of the type's rules can run in a streaming set.
 */
const char *weir_guard_entity_name(size_t index);
bool weir_guard_entity_needs_window(const char *type);

/* The built-in rules of a type, NULL behind the last index. */
const char *weir_guard_rule_name(const char *type, size_t index);

/* A scratch serves any rule set, one scan at a time. NULL when out of memory. */
weir_guard_scratch_t *weir_guard_scratch_create(void);
void weir_guard_scratch_free(weir_guard_scratch_t *scratch);

typedef struct {
    /*
     * Only what starts at or behind this byte is found; what stands before it is left context.
     * With from = a hold that an earlier scan returned, and the left context above (or the
     * beginning of the text) before it, the findings are those of the whole text.
     */
    size_t from;
    bool more;      /* the text goes on: hold is wanted */
    size_t keep;    /* with more: hold is at least so many bytes before the end */
    bool no_decode; /* do not look into base64, percent, hex and entities */
    /*
     * No limit on the work on decoded layers: it is so much for each byte of the text, so that
     * parts of a text reach it where the whole does not. A stream that must find all sets this.
     */
    bool thorough;
} weir_guard_scan_options_t;

typedef struct {
    const weir_guard_finding_t *findings; /* by start, not overlapping; valid to the next scan */
    size_t count;
    /*
     * With options.more, the first byte about which more text could still change anything; without
     * it, the text's length. Everything before it is decided: for every continuation, the findings
     * of the longer text that start before hold are exactly those listed here that start before
     * hold, and they end at or before it. Findings listed here that start at or behind hold are
     * provisional.
     */
    size_t hold;
    /* More findings than fit (65,536), or a decoded layer over its limit or over the limit of work
     * (docs/guardrails.md): something may not have been found. */
    bool truncated;
    uint32_t timeouts;   /* expressions that reached their match limit: they count as no match */
    uint32_t fold_flags; /* WEIR_GUARD_FOLD_* of normalise.h: what was odd about the text */
} weir_guard_result_t;

/*
 * Scans text (any bytes; broken UTF-8 is read as U+FFFD). options may be NULL for all defaults.
 * Errors: LIMIT (the text's length), NOMEM. Time is linear in len for built-in rules.
 */
weir_status_t weir_guard_scan(const weir_guard_rules_t *rules, weir_guard_scratch_t *scratch,
                              const char *text, size_t len,
                              const weir_guard_scan_options_t *options, weir_guard_result_t *result,
                              weir_error_t *err);

/* hold of a scan with more = true from the beginning; 0 when the scan failed. */
size_t weir_guard_hold(const weir_guard_rules_t *rules, weir_guard_scratch_t *scratch,
                       const char *text, size_t len);

#endif

/*
 * The guards document: what is looked for in requests and answers, and what becomes of it. Named
 * policies extend one another; tenants, teams and keys are assigned one. Everything is compiled
 * when the document is loaded: a finished policy is immutable and may be used by any thread.
 * Format: policies/schema/guards.schema.json; example: policies/examples/guards.json.
 */
#ifndef WEIR_POLICIES_GUARDS_H
#define WEIR_POLICIES_GUARDS_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "guardrails/classifier/classifier.h"
#include "guardrails/guardrails.h"

/* In the order of their weight: of several actions on one message the heaviest counts. */
typedef enum {
    WEIR_GUARD_ALLOW,       /* as if it had not been found */
    WEIR_GUARD_FLAG,        /* recorded; nothing is changed */
    WEIR_GUARD_REDACT,      /* <TYPE> in its place */
    WEIR_GUARD_REPLACE,     /* the text of "replacement" in its place */
    WEIR_GUARD_MASK,        /* a star for each character but the last four */
    WEIR_GUARD_PLACEHOLDER, /* a name that is restored in the answer; in answers: as REDACT */
    WEIR_GUARD_ROUTE,       /* the request goes to route_target; in answers: as FLAG */
    WEIR_GUARD_BLOCK        /* refused, or the stream ends */
} weir_guard_action_t;

typedef enum { WEIR_GUARD_INPUT, WEIR_GUARD_OUTPUT, WEIR_GUARD_DIRECTIONS } weir_guard_direction_t;

/* Parts of requests and answers that are looked at; bits. */
enum {
    WEIR_GUARD_SYSTEM = 1,         /* system and developer messages, instructions */
    WEIR_GUARD_USER = 2,           /* users' messages, prompts, inputs */
    WEIR_GUARD_ASSISTANT = 4,      /* earlier answers in the request */
    WEIR_GUARD_TOOL_ARGUMENTS = 8, /* calls of tools, in requests and answers */
    WEIR_GUARD_TOOL_RESULTS = 16,  /* what tools gave back */
    WEIR_GUARD_TOOL_DEFINITIONS = 32,
    WEIR_GUARD_CONTENT = 64,   /* of the answer */
    WEIR_GUARD_REASONING = 128 /* of the answer */
};

typedef enum {
    WEIR_GUARD_HOLDBACK,
    WEIR_GUARD_WINDOW,
    WEIR_GUARD_BUFFER,
    WEIR_GUARD_OBSERVE
} weir_guard_stream_t;

typedef enum {
    WEIR_GUARD_NAMES_COUNTED, /* <PERSON_1>: numbers of one request */
    WEIR_GUARD_NAMES_KEYED    /* <PERSON_7F3A09C1>: the same in all requests of a tenant */
} weir_guard_names_t;

typedef struct {
    weir_guard_action_t action[WEIR_GUARD_DIRECTIONS];
    float min_score;
    weir_str_t replacement;
} weir_guard_entity_rule_t;

typedef struct {
    bool on;
    float block;  /* at or above: action */
    float review; /* at or above, below block: tier 2 if there is one, else a flag */
    weir_guard_action_t action;
} weir_guard_head_rule_t;

typedef struct {
    weir_str_t url; /* empty: there is none */
    weir_str_t model;
    weir_str_t api_key; /* sent as a bearer token; empty: none */
    int64_t timeout_ms;
    bool open; /* a failed call lets the text pass */
} weir_guard_tier2_t;

typedef struct weir_guard_policy_private weir_guard_policy_private_t;

typedef struct {
    weir_str_t name;
    char hash[65];                         /* SHA-256 of the merged policy, hexadecimal */
    uint32_t scope[WEIR_GUARD_DIRECTIONS]; /* parts that are looked at */
    /* Rules of requests see whole texts; those of answers are compiled for streams where mode is
     * HOLDBACK. NULL: that direction looks for no entities. */
    const weir_guard_rules_t *rules[WEIR_GUARD_DIRECTIONS];
    bool classifies[WEIR_GUARD_DIRECTIONS];
    weir_guard_head_rule_t head[WEIR_HEADS];
    weir_guard_stream_t mode;
    size_t window;
    size_t max_held;
    weir_guard_names_t names;
    uint8_t key[32];  /* of keyed names; mixed with the tenant's id by the caller */
    uint32_t restore; /* CONTENT, REASONING, TOOL_ARGUMENTS: where names are restored */
    weir_guard_tier2_t tier2;
    unsigned block_status;    /* of a refused request */
    weir_str_t block_message; /* what the client reads */
    bool block_in_band;       /* a stream ends with an error instead of content_filter */
    bool shadow;              /* everything is recorded, nothing changed or refused */
    bool explain;             /* a response header tells what was found */
    /* What is neither JSON nor an event stream (forms, sound, WebSockets) passes unseen. */
    bool opaque[WEIR_GUARD_DIRECTIONS];
    weir_str_t route_target;
    const weir_guard_policy_private_t *own;
} weir_guard_policy_t;

typedef struct weir_guards weir_guards_t;

/*
 * Loads the document; what it needs beyond arena is freed by weir_guards_free, which must come
 * before the arena's end. folder: relative key files are read from there (NULL: the working
 * folder). Errors as those of weir_tenants_parse: file, line, path, expected, found; also a field
 * that a parent has locked, a cycle, an expression that is wrong or too expensive, and a mode that
 * cannot serve what is asked for.
 */
weir_status_t weir_guards_parse(const char *text, size_t len, const char *name, const char *folder,
                                weir_arena_t *arena, weir_guards_t **out, weir_error_t *err);
weir_status_t weir_guards_load(const char *path, weir_arena_t *arena, weir_guards_t **out,
                               weir_error_t *err);
void weir_guards_free(weir_guards_t *guards); /* NULL is allowed */

/* The policy assigned to the key, else the team ("tenant/team"), else the tenant, else the default;
 * NULL: none. No allocation. */
const weir_guard_policy_t *weir_guards_find(const weir_guards_t *guards, weir_str_t tenant,
                                            weir_str_t team, weir_str_t key_id);

size_t weir_guards_count(const weir_guards_t *guards);
const weir_guard_policy_t *weir_guards_at(const weir_guards_t *guards, size_t i);

/*
 * What becomes of a finding: its type's action, unless the value is on an allow-list or the score
 * too low (ALLOW). *replacement is set for REPLACE. shadow is not applied here. spare: for values
 * that are allowed by expressions; not the scratch whose findings these are. NULL: one is made
 * where it is needed.
 */
weir_guard_action_t weir_guard_policy_judge(const weir_guard_policy_t *policy,
                                            weir_guard_direction_t direction,
                                            const weir_guard_finding_t *finding, weir_str_t value,
                                            weir_guard_scratch_t *spare, weir_str_t *replacement);

/* The same without a spare scratch. */
weir_guard_action_t weir_guard_policy_action(const weir_guard_policy_t *policy,
                                             weir_guard_direction_t direction,
                                             const weir_guard_finding_t *finding, weir_str_t value,
                                             weir_str_t *replacement);

/*
 * Topics: how many distinct words of a topic must be found before its action applies. For a finding
 * whose type is a topic's: the topic's number and least count; -1 for all others.
 */
int weir_guard_policy_topic(const weir_guard_policy_t *policy, const weir_guard_finding_t *finding,
                            unsigned *least);

/* "allow", "flag", ...; constant. */
const char *weir_guard_action_name(weir_guard_action_t action);

#endif

/*
 * Inside guardrails/secrets: how the tables of secrets are written. A row is an expression and the
 * keywords that every match has; the token formats are those that the services' own documentation
 * shows, named in the comment above each group.
 */
#ifndef WEIR_GUARDRAILS_SECRETS_H
#define WEIR_GUARDRAILS_SECRETS_H

#include "guardrails/pattern.h"

/* The borders of a token: no letter, digit or underscore beside it. */
#define B_ "(?<![A-Za-z0-9_])"
#define E_ "(?![A-Za-z0-9_])"
/* The same for alphabets with a hyphen. */
#define BH_ "(?<![A-Za-z0-9_-])"
#define EH_ "(?![A-Za-z0-9_-])"

#define HEX_    "[0-9a-f]"
#define ALNUM_  "[A-Za-z0-9]"
#define WORD_   "[A-Za-z0-9_-]"
#define UUID_   "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
#define BASE64_ "[A-Za-z0-9+/]"

/* Bits per byte that random characters behind a prefix never fall below, and fillers do not reach.
 */
#define FORM_ENTROPY_ 2.6F

/* A token that its form alone gives away; fillers and placeholders of that form aside. */
#define TOKEN_(id_, expression_, ...)                                                          \
    {                                                                                          \
        .id = (id_), .type = "SECRET", .keywords = {__VA_ARGS__}, .expression = (expression_), \
        .score = 0.95F, .entropy = FORM_ENTROPY_, .stop_words = true                           \
    }

/* The same, long: after is how far behind its keyword it may end. */
#define LONG_(id_, after_, expression_, ...)                                                   \
    {                                                                                          \
        .id = (id_), .type = "SECRET", .keywords = {__VA_ARGS__}, .expression = (expression_), \
        .after = (after_), .score = 0.95F, .entropy = FORM_ENTROPY_, .stop_words = true        \
    }

/* A token whose keyword stands late in it: before is how far ahead of the keyword it may begin. */
#define LATE_(id_, before_, expression_, ...)                                                  \
    {                                                                                          \
        .id = (id_), .type = "SECRET", .keywords = {__VA_ARGS__}, .expression = (expression_), \
        .before = (before_), .score = 0.95F, .entropy = FORM_ENTROPY_, .stop_words = true      \
    }

/* A token whose form is common enough to ask for randomness as well (bits per byte). */
#define RANDOM_(id_, entropy_, expression_, ...)                                               \
    {                                                                                          \
        .id = (id_), .type = "SECRET", .keywords = {__VA_ARGS__}, .expression = (expression_), \
        .score = 0.9F, .entropy = (entropy_), .stop_words = true                               \
    }

/* A value that is only recognised by the name it is given to: the service's. */
#define NAMED_(id_, entropy_, name_, value_, ...)                                    \
    {                                                                                \
        .id = (id_), .type = "SECRET", .keywords = {__VA_ARGS__}, .name = (name_),   \
        .value = (value_), .score = 0.85F, .entropy = (entropy_), .stop_words = true \
    }

typedef struct {
    const weir_guard_pattern_t *rows;
    size_t count;
} weir_guard_secret_table_t;

extern const weir_guard_pattern_t weir_secrets_ai[];
extern const size_t weir_secrets_ai_count;
extern const weir_guard_pattern_t weir_secrets_cloud[];
extern const size_t weir_secrets_cloud_count;
extern const weir_guard_pattern_t weir_secrets_code[];
extern const size_t weir_secrets_code_count;
extern const weir_guard_pattern_t weir_secrets_data[];
extern const size_t weir_secrets_data_count;
extern const weir_guard_pattern_t weir_secrets_messaging[];
extern const size_t weir_secrets_messaging_count;
extern const weir_guard_pattern_t weir_secrets_money[];
extern const size_t weir_secrets_money_count;
extern const weir_guard_pattern_t weir_secrets_services[];
extern const size_t weir_secrets_services_count;
extern const weir_guard_pattern_t weir_secrets_generic[];
extern const size_t weir_secrets_generic_count;

/* The header of a JSON Web Token decodes to an object with "alg" (RFC 7515). */
bool weir_secret_is_jwt(const char *text, size_t len);
/* A password that is no variable, placeholder or mask. */
bool weir_secret_is_password(const char *text, size_t len);
/* Letters and digits both: a name or a sentence is no key. */
bool weir_secret_is_mixed(const char *text, size_t len);
/* Characters as a generator makes them: no words, names of variables or paths. */
bool weir_secret_is_random(const char *text, size_t len);
/* A password that could be one even without quotes: of several kinds of characters, no words. */
bool weir_secret_is_strong(const char *text, size_t len);
/* Base64 of "user:password". */
bool weir_secret_is_basic(const char *text, size_t len);
/* X's bearer tokens are all A in front. */
bool weir_secret_is_bearer(const char *text, size_t len);

#endif

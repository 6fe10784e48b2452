/* The secrets group: all tables, and the tests that expressions cannot make. */
#include "guardrails/secrets/secrets.h"

#include "engine/base/base64.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define TABLES 8

const weir_guard_pattern_t *const weir_guard_secret_tables[TABLES] = {
    weir_secrets_ai,        weir_secrets_cloud, weir_secrets_code,     weir_secrets_data,
    weir_secrets_messaging, weir_secrets_money, weir_secrets_services, weir_secrets_generic,
};

const size_t *const weir_guard_secret_table_sizes[TABLES] = {
    &weir_secrets_ai_count,       &weir_secrets_cloud_count,     &weir_secrets_code_count,
    &weir_secrets_data_count,     &weir_secrets_messaging_count, &weir_secrets_money_count,
    &weir_secrets_services_count, &weir_secrets_generic_count,
};

const size_t weir_guard_secret_table_count = TABLES;

bool weir_secret_is_jwt(const char *text, size_t len)
{
    /* The header is short: what does not fit has "alg" in front or is no header. */
    char header[257];
    size_t n = 0;
    unsigned bits = 0;
    int have = 0;
    for (size_t i = 0; i < len && text[i] != '.' && n + 1 < sizeof header; i++) {
        int value = weir_base64_value(text[i]);
        if (value < 0 || text[i] == '+' || text[i] == '/') /* the other alphabet's */
            return false;
        bits = (bits << 6 | (unsigned)value) & 0xffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            header[n++] = (char)(bits >> have & 0xff);
        }
    }
    header[n] = '\0';
    return header[0] == '{' && (strstr(header, "\"alg\"") != NULL);
}

static bool begins(const char *text, size_t len, const char *prefix)
{
    size_t n = strlen(prefix);
    return len >= n && strncasecmp(text, prefix, n) == 0;
}

static bool is_word(const char *text, size_t len, const char *word)
{
    return len == strlen(word) && strncasecmp(text, word, len) == 0;
}

bool weir_secret_is_password(const char *text, size_t len)
{
    static const char *const reference[] = {"$",     "{",       "<",         "%",          "[",
                                            "env(",  "env.",    "process.",  "os.environ", "os.get",
                                            "self.", "config.", "settings.", "secrets.",   "vault.",
                                            "your",  "example", "my_",       "placeholder"};
    static const char *const words[] = {
        "password", "passwd", "passphrase", "secret",    "changeme", "change_me", "required",
        "optional", "null",   "none",       "undefined", "string",   "redacted",  "password1"};
    for (size_t i = 0; i < sizeof reference / sizeof *reference; i++)
        if (begins(text, len, reference[i]))
            return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (is_word(text, len, words[i]))
            return false;
    for (size_t i = 1; i < len; i++)
        if (text[i] != text[0])
            return true;
    return false; /* a mask such as ******** */
}

bool weir_secret_is_mixed(const char *text, size_t len)
{
    bool digit = false;
    bool letter = false;
    for (size_t i = 0; i < len; i++) {
        digit = digit || isdigit((unsigned char)text[i]);
        letter = letter || isalpha((unsigned char)text[i]);
    }
    return digit && letter;
}

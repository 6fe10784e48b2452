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

/* "usable_password", "PasswordWidget", "password2": letters with the word in them. */
static bool names_itself(const char *text, size_t len)
{
    bool word = false;
    size_t digits = 0;
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)text[i]) && text[i] != '_' && text[i] != '-')
            return false;
        digits += isdigit((unsigned char)text[i]) != 0;
        word = word || begins(text + i, len - i, "password");
    }
    return word && digits <= 1;
}

bool weir_secret_is_password(const char *text, size_t len)
{
    static const char *const reference[] = {
        "$",           "{",        "<",          "%",        "[",       "env(",
        "env.",        "process.", "os.environ", "os.get",   "self.",   "config.",
        "settings.",   "secrets.", "vault.",     "your",     "example", "my_",
        "placeholder", "mysecret", "mypass",     "changeit", "xxxx"};
    static const char *const words[] = {
        "password",     "passwd",    "passphrase", "secret",      "changeme",  "change_me",
        "required",     "optional",  "null",       "none",        "undefined", "string",
        "redacted",     "password1", "foobared",   "guest",       "letmein",   "testpass",
        "testpassword", "s3cr3t",    "secret123",  "password123", "hunter2"};
    for (size_t i = 0; i < sizeof reference / sizeof *reference; i++)
        if (begins(text, len, reference[i]))
            return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (is_word(text, len, words[i]))
            return false;
    if (names_itself(text, len))
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

static unsigned kind_of(char c)
{
    return c >= '0' && c <= '9' ? 0u : c >= 'a' && c <= 'z' ? 1u : c >= 'A' && c <= 'Z' ? 2u : 3u;
}

typedef struct {
    unsigned kinds[4]; /* digits, lower case, upper case, others */
    unsigned changes;  /* places where one kind follows another */
    unsigned words;    /* characters in segments of three letters or more */
} make_up_t;

/* Letters as a generator draws them and no language does: half of all neighbours are consonants,
 * both cases are common, and no word in lower case is longer than MAX_LOWER. */
#define MAX_LOWER 5

static bool drawn(const char *text, size_t len, const make_up_t *m)
{
    unsigned pairs = 0;
    unsigned consonants = 0;
    unsigned lower = 0;
    bool before = false;
    bool consonant_before = false;
    for (size_t i = 0; i < len; i++) {
        unsigned kind = kind_of(text[i]);
        bool letter = kind == 1 || kind == 2;
        bool consonant = letter && strchr("aeiouyAEIOUY", text[i]) == NULL;
        pairs += letter && before;
        consonants += consonant && consonant_before;
        lower = kind == 1 ? lower + 1 : 0;
        if (lower > MAX_LOWER)
            return false;
        before = letter;
        consonant_before = consonant;
    }
    unsigned letters = m->kinds[1] + m->kinds[2];
    return consonants * 2 >= pairs && m->kinds[1] * 6 >= letters && m->kinds[2] * 6 >= letters;
}

/* Of what it is made; trailing '=' and '.' aside. */
static make_up_t look_at(const char *text, size_t len)
{
    make_up_t m = {0};
    unsigned segment = 0;
    unsigned before = len > 0 ? kind_of(text[0]) : 3;
    bool letters = true;
    for (size_t i = 0; i < len; i++) {
        unsigned kind = kind_of(text[i]);
        if (kind == 3) {
            m.words += letters && segment >= 3 ? segment : 0;
            segment = 0;
            letters = true;
        } else {
            segment++;
            letters = letters && kind != 0;
        }
        m.kinds[kind]++;
        m.changes += kind != before;
        before = kind;
    }
    m.words += letters && segment >= 3 ? segment : 0;
    return m;
}

bool weir_secret_is_random(const char *text, size_t len)
{
    if (len > 3 && memcmp(text + len - 3, "...", 3) == 0)
        return false; /* cut short: an example */
    while (len > 0 && (text[len - 1] == '=' || text[len - 1] == '.'))
        len--;
    make_up_t m = look_at(text, len);
    bool both = m.kinds[1] > 0 && m.kinds[2] > 0;
    if (m.words * 2 > len || m.kinds[3] * 5 > len || m.kinds[1] + m.kinds[2] == 0)
        return false;
    /* Among 62 characters two of three neighbours differ in kind, in names of variables one. */
    if (both && m.kinds[0] > 0 && m.kinds[3] == 0 && m.changes * 10 >= len * 3 &&
        drawn(text, len, &m))
        return true;
    if (both)
        return m.kinds[0] > 0 && m.changes * (m.kinds[0] > 1 ? 5 : 4) >= len * 2;
    if (len >= 28 && m.kinds[3] == 0) /* no name is as long without a break */
        return m.kinds[0] >= 3 && m.changes * 6 >= len;
    return m.kinds[0] >= 4 && m.changes * 5 >= len;
}

static bool is_version(const char *text, size_t len)
{
    size_t n = 0;
    bool dot = false;
    while (n < len && (isdigit((unsigned char)text[n]) || text[n] == '.'))
        dot = text[n++] == '.' || dot;
    return n >= 5 && dot && text[0] != '.';
}

bool weir_secret_is_strong(const char *text, size_t len)
{
    make_up_t m = look_at(text, len);
    unsigned kinds = (m.kinds[0] > 0) + (m.kinds[1] > 0) + (m.kinds[2] > 0) + (m.kinds[3] > 0);
    bool path = memchr(text, '/', len) != NULL && m.kinds[3] > 1;
    /* "13.0.0-next-8.29": what a lock file gives to a package called htpasswd. */
    bool version = m.kinds[2] == 0 && is_version(text, len);
    return len >= 8 && m.kinds[0] > 0 && kinds >= 3 && m.words * 2 <= len && !path && !version &&
           weir_secret_is_password(text, len);
}

bool weir_secret_is_basic(const char *text, size_t len)
{
    unsigned bits = 0;
    int have = 0;
    bool colon = false;
    for (size_t i = 0; i < len && text[i] != '='; i++) {
        int value = weir_base64_value(text[i]);
        if (value < 0 || text[i] == '-' || text[i] == '_')
            return false;
        bits = (bits << 6 | (unsigned)value) & 0xffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            unsigned c = bits >> have & 0xff;
            if (c < 0x20 || c > 0x7e)
                return false;
            colon = colon || c == ':';
        }
    }
    return colon;
}

bool weir_secret_is_bearer(const char *text, size_t len)
{
    size_t skip = 0;
    while (skip < len && text[skip] == 'A')
        skip++;
    return skip < len && weir_guard_entropy(text + skip, len - skip) >= 3.5F;
}

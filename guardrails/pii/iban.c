/*
 * IBAN: ISO 13616-1 and the SWIFT IBAN Registry (lengths and the digits, letters or either of each
 * country's account part), check by ISO 7064 MOD 97-10.
 */
#include "guardrails/pii/checks.h"

/*
 * Per country the account part as the registry writes it, shortened: counts followed by n (digits),
 * a (letters) or c (either).
 */
static const struct {
    char country[3];
    const char *parts;
} registry[] = {
    {"AD", "8n12c"},    {"AE", "19n"},      {"AL", "8n16c"},    {"AT", "16n"},
    {"AZ", "4a20c"},    {"BA", "16n"},      {"BE", "12n"},      {"BG", "4a6n8c"},
    {"BH", "4a14c"},    {"BI", "23n"},      {"BR", "23n1a1c"},  {"BY", "4c4n16c"},
    {"CH", "5n12c"},    {"CR", "18n"},      {"CY", "8n16c"},    {"CZ", "20n"},
    {"DE", "18n"},      {"DJ", "23n"},      {"DK", "14n"},      {"DO", "4c20n"},
    {"EE", "16n"},      {"EG", "25n"},      {"ES", "20n"},      {"FI", "14n"},
    {"FK", "2a12n"},    {"FO", "14n"},      {"FR", "10n11c2n"}, {"GB", "4a14n"},
    {"GE", "2a16n"},    {"GI", "4a15c"},    {"GL", "14n"},      {"GR", "7n16c"},
    {"GT", "4c20c"},    {"HN", "4a20n"},    {"HR", "17n"},      {"HU", "24n"},
    {"IE", "4a14n"},    {"IL", "19n"},      {"IQ", "4a15n"},    {"IS", "22n"},
    {"IT", "1a10n12c"}, {"JO", "4a4n18c"},  {"KW", "4a22c"},    {"KZ", "3n13c"},
    {"LB", "4n20c"},    {"LC", "4a24c"},    {"LI", "5n12c"},    {"LT", "16n"},
    {"LU", "3n13c"},    {"LV", "4a13c"},    {"LY", "21n"},      {"MC", "10n11c2n"},
    {"MD", "2c18c"},    {"ME", "18n"},      {"MK", "3n10c2n"},  {"MN", "16n"},
    {"MR", "23n"},      {"MT", "4a5n18c"},  {"MU", "4a19n3a"},  {"NI", "4a20n"},
    {"NL", "4a10n"},    {"NO", "11n"},      {"OM", "3n16c"},    {"PK", "4a16c"},
    {"PL", "24n"},      {"PS", "4a21c"},    {"PT", "21n"},      {"QA", "4a21c"},
    {"RO", "4a16c"},    {"RS", "18n"},      {"RU", "14n15c"},   {"SA", "2n18c"},
    {"SC", "4a20n3a"},  {"SD", "14n"},      {"SE", "20n"},      {"SI", "15n"},
    {"SK", "20n"},      {"SM", "1a10n12c"}, {"SO", "19n"},      {"ST", "21n"},
    {"SV", "4a20n"},    {"TL", "19n"},      {"TN", "20n"},      {"TR", "5n1n16c"},
    {"UA", "6n19c"},    {"VA", "18n"},      {"VG", "4a16n"},    {"XK", "16n"},
    {"YE", "4a4n18c"},
};

#define MAX_IBAN 34

/* Length of the country's IBANs, 0 for an unknown country; *parts its account part. */
static size_t length_of(const char *country, const char **parts)
{
    for (size_t i = 0; i < sizeof(registry) / sizeof(registry[0]); i++) {
        if (memcmp(registry[i].country, country, 2) == 0) {
            size_t total = 4;
            unsigned n = 0;
            for (const char *p = registry[i].parts; *p != '\0'; p++) {
                if (weir_is(*p, WEIR_C_DIGIT)) {
                    n = n * 10 + (unsigned)(*p - '0');
                } else {
                    total += n;
                    n = 0;
                }
            }
            *parts = registry[i].parts;
            return total;
        }
    }
    return 0;
}

static bool fits(const char *iban, const char *parts)
{
    const char *c = iban + 4;
    unsigned n = 0;
    for (const char *p = parts; *p != '\0'; p++) {
        if (weir_is(*p, WEIR_C_DIGIT)) {
            n = n * 10 + (unsigned)(*p - '0');
            continue;
        }
        unsigned want = *p == 'n' ? WEIR_C_DIGIT : *p == 'a' ? WEIR_C_UPPER : WEIR_C_ALNUM;
        for (; n > 0; n--, c++) {
            if (!weir_is(*c, want)) {
                return false;
            }
        }
    }
    return true;
}

static bool checks(const char *iban, size_t len)
{
    char turned[MAX_IBAN];
    memcpy(turned, iban + 4, len - 4);
    memcpy(turned + len - 4, iban, 4);
    return weir_guard_mod97(turned, len) == 1;
}

/* [start, end): the alphanumeric group that may be all of it, or its first four characters. */
void weir_guard_find_iban(weir_guard_scan_t *scan, size_t start, size_t end)
{
    char iban[MAX_IBAN] = {0};
    const char *text = scan->text;
    const char *parts = NULL;
    if (end - start < 4 || !weir_is(text[start], WEIR_C_ALPHA) ||
        !weir_is(text[start + 1], WEIR_C_ALPHA) || !weir_is(text[start + 2], WEIR_C_DIGIT) ||
        !weir_is(text[start + 3], WEIR_C_DIGIT)) {
        return;
    }
    iban[0] = (char)(text[start] & 0x5f);
    iban[1] = (char)(text[start + 1] & 0x5f);
    size_t len = length_of(iban, &parts);
    if (len == 0) {
        return;
    }
    bool grouped = end - start == 4;
    size_t n = 2;
    size_t i = start + 2;
    for (; i < scan->len && n < len; i++) {
        if (weir_is(text[i], WEIR_C_ALNUM)) {
            iban[n++] = weir_is(text[i], WEIR_C_LOWER) ? (char)(text[i] & 0x5f) : text[i];
        } else if (!(grouped && n % 4 == 0 && weir_one_of(text[i], " -."))) {
            return;
        }
    }
    if (n < len || (i < scan->len && (weir_is(text[i], WEIR_C_ALNUM) || text[i] == '_')) ||
        (start > 0 && text[start - 1] == '_')) {
        return;
    }
    if (fits(iban, parts) && checks(iban, len)) {
        weir_guard_emit(scan, WEIR_RULE_IBAN, start, i, 0.98f);
    }
}

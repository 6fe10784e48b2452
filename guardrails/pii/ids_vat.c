/*
 * Value added tax numbers with their country's prefix: the forms are those of the European
 * Commission's VIES ("VAT identification number structure"), the check digits those of each state.
 * XI is Northern Ireland, EL Greece; Norway's and the United Kingdom's are written alike. What is
 * written without a prefix is the business of each country's own numbers.
 */
#include "guardrails/pii/checks.h"
#include "guardrails/pii/ids.h"

static unsigned figure(const char *d, size_t i)
{
    return (unsigned)(d[i] - '0');
}

static bool all_digits(const char *t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!weir_is(t[i], WEIR_C_DIGIT)) {
            return false;
        }
    }
    return true;
}

/* Bundesministerium für Finanzen, Austria: U, then every second digit doubled, plus 4. */
static bool at_vat(const char *t, size_t n)
{
    unsigned sum = 4;
    if (n != 9 || t[0] != 'U' || !all_digits(t + 1, 8)) {
        return false;
    }
    for (size_t i = 1; i < 8; i++) {
        unsigned v = i % 2 == 0 ? figure(t, i) * 2 : figure(t, i);
        sum += v / 10 + v % 10;
    }
    return (10 - sum % 10) % 10 == figure(t, 8);
}

/* Banque-Carrefour des Entreprises, Belgium: 97 less the rest of the first eight. */
static bool be_vat(const char *t, size_t n)
{
    return n == 10 && t[0] <= '1' && 97 - weir_guard_value(t, 8) % 97 == weir_guard_value(t + 8, 2);
}

/* NRA, Bulgaria: BULSTAT of nine digits in two rounds; of ten a person's, a foreigner's or another
 * number. */
static bool bg_vat(const char *t, size_t n)
{
    static const int8_t first[] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const int8_t second[] = {3, 4, 5, 6, 7, 8, 9, 10};
    static const int8_t foreign[] = {21, 19, 17, 13, 11, 9, 7, 3, 1};
    static const int8_t other[] = {4, 3, 2, 7, 6, 5, 4, 3, 2};
    if (n == 9) {
        unsigned r = weir_guard_weighted(t, first, 8) % 11;
        r = r == 10 ? weir_guard_weighted(t, second, 8) % 11 % 10 : r;
        return r == figure(t, 8);
    }
    unsigned r = 11 - weir_guard_weighted(t, other, 9) % 11;
    return n == 10 &&
           (weir_guard_bg_egn(t, n) || weir_guard_weighted(t, foreign, 9) % 10 == figure(t, 9) ||
            (r != 10 && r % 11 == figure(t, 9)));
}

/* Finanční správa, Czechia: IČO of eight digits, a birth number, or one of nine that begins with 6.
 */
static bool cz_vat(const char *t, size_t n)
{
    static const int8_t weights[] = {8, 7, 6, 5, 4, 3, 2};
    if (n == 8) {
        unsigned r = (11 - weir_guard_weighted(t, weights, 7) % 11) % 10;
        return t[0] != '9' && r == figure(t, 7);
    }
    if (n == 9 && t[0] == '6') {
        unsigned r = weir_guard_weighted(t + 1, weights, 7) % 11;
        return (8 - (int)((21 - r) % 11) + 10) % 10 == (int)figure(t, 8);
    }
    if (n == 9) { /* of people born before 1954, without a check digit */
        unsigned month = weir_guard_value(t + 2, 2) % 50;
        return weir_guard_value(t, 2) < 54 &&
               weir_guard_is_date(0, month, weir_guard_value(t + 4, 2));
    }
    return n == 10 && weir_guard_cz_birth_number(t, n);
}

/* Skattestyrelsen, Denmark: CVR. */
static bool dk_vat(const char *t, size_t n)
{
    static const int8_t weights[] = {2, 7, 6, 5, 4, 3, 2, 1};
    return n == 8 && t[0] != '0' && weir_guard_weighted(t, weights, n) % 11 == 0;
}

/* Maksu- ja Tolliamet, Estonia. */
static bool ee_vat(const char *t, size_t n)
{
    static const int8_t weights[] = {3, 7, 1, 3, 7, 1, 3, 7, 1};
    return n == 9 && weir_guard_weighted(t, weights, n) % 10 == 0;
}

static bool es_vat(const char *t, size_t n)
{
    if (n != 9 || !all_digits(t + 1, 7)) {
        return false;
    }
    if (weir_is(t[0], WEIR_C_DIGIT) || strchr("XYZ", t[0]) != NULL) {
        return weir_guard_es_nif(t, n);
    }
    if (strchr("KLM", t[0]) != NULL) {
        char tail[8] = {'0'};
        memcpy(tail + 1, t + 1, 7);
        return t[8] == "TRWAGMYFPDXBNJZSQVHLCKE"[weir_guard_value(tail, 8) % 23];
    }
    return weir_guard_es_cif(t, n);
}

/* Verohallinto, Finland: Y-tunnus. */
static bool fi_vat(const char *t, size_t n)
{
    static const int8_t weights[] = {7, 9, 10, 5, 8, 4, 2, 1};
    return n == 8 && weir_guard_weighted(t, weights, n) % 11 == 0;
}

/* DGFiP, France: a key of two digits over the SIREN, or one with letters (without O and I). */
static bool fr_vat(const char *t, size_t n)
{
    static const char alphabet[] = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ";
    const char *siren = t + 2;
    if (n != 11 || !all_digits(siren, 9) ||
        (memcmp(siren, "000", 3) != 0 && !weir_guard_luhn(siren, 9))) {
        return false;
    }
    unsigned number = weir_guard_value(siren, 9);
    if (all_digits(t, 2)) {
        return ((uint64_t)number * 100 + 12) % 97 == weir_guard_value(t, 2);
    }
    const char *one = strchr(alphabet, t[0]);
    const char *two = strchr(alphabet, t[1]);
    if (one == NULL || two == NULL) {
        return false;
    }
    int first = (int)(one - alphabet);
    int second = (int)(two - alphabet);
    int key = first < 10 ? first * 24 + second - 10 : first * 34 + second - 100;
    return key >= 0 && (number + 1 + (unsigned)key / 11) % 11 == (unsigned)key % 11;
}

/* HMRC, Notice 700: weights 8 to 2 and the last two, modulo 97; since 2010 with 55 more (readers of
 * the notice also take 55 off). */
static bool gb_vat(const char *t, size_t n)
{
    static const int8_t weights[] = {8, 7, 6, 5, 4, 3, 2};
    if (n == 5) {
        return all_digits(t + 2, 3) && ((memcmp(t, "GD", 2) == 0 && t[2] < '5') ||
                                        (memcmp(t, "HA", 2) == 0 && t[2] >= '5'));
    }
    if ((n != 9 && n != 12) || !all_digits(t, n)) {
        return false;
    }
    unsigned sum = weir_guard_weighted(t, weights, 7) + weir_guard_value(t + 7, 2);
    return (sum % 97 == 0 || sum % 97 == 42 || sum % 97 == 55) && weir_guard_value(t, 7) > 0;
}

/* NAV, Hungary: the first eight digits of the adószám. */
static bool hu_vat(const char *t, size_t n)
{
    static const int8_t weights[] = {9, 7, 3, 1, 9, 7, 3, 1};
    return n == 8 && weir_guard_weighted(t, weights, n) % 10 == 0;
}

/* Revenue, Ireland: as a PPS number, the older form with a letter in the second place. */
static bool ie_vat(const char *t, size_t n)
{
    char turned[9] = {'0'};
    if (n < 8 || n > 9 || !weir_is(t[n - 1], WEIR_C_UPPER) || !all_digits(t + 2, 5) ||
        !weir_is(t[0], WEIR_C_DIGIT)) {
        return false;
    }
    if (weir_is(t[1], WEIR_C_DIGIT)) {
        return all_digits(t, 7) && weir_is(t[7], WEIR_C_UPPER) && weir_guard_ie_pps(t, n);
    }
    memcpy(turned + 1, t + 2, 5);
    turned[6] = t[0];
    turned[7] = t[7];
    return n == 8 && weir_guard_ie_pps(turned, n);
}

/* VMI, Lithuania: nine digits or, for those registered for a time, twelve; a 1 before the last. */
static bool lt_vat(const char *t, size_t n)
{
    unsigned first = 0;
    unsigned second = 0;
    if ((n != 9 && n != 12) || !all_digits(t, n) || t[n - 2] != '1') {
        return false;
    }
    for (unsigned i = 0; i + 1 < n; i++) {
        first += (1 + i % 9) * figure(t, i);
        second += (1 + (i + 2) % 9) * figure(t, i);
    }
    return (first % 11 == 10 ? second % 11 % 10 : first % 11) == figure(t, n - 1);
}

/* AED, Luxembourg: the first six modulo 89. */
static bool lu_vat(const char *t, size_t n)
{
    return n == 8 && weir_guard_value(t, 6) % 89 == weir_guard_value(t + 6, 2) &&
           weir_guard_value(t, 6) > 0;
}

/* VID, Latvia: entities begin with 4 to 9, people have their personal code. */
static bool lv_vat(const char *t, size_t n)
{
    static const int8_t weights[] = {9, 1, 4, 8, 3, 10, 2, 5, 7, 6, 1};
    if (n != 11 || !all_digits(t, n)) {
        return false;
    }
    return t[0] > '3' ? weir_guard_weighted(t, weights, n) % 11 == 3 : weir_guard_lv_pk(t, n);
}

/* Office of the Commissioner for Revenue, Malta. */
static bool mt_vat(const char *t, size_t n)
{
    static const int8_t weights[] = {3, 4, 6, 7, 8, 9, 10, 1};
    return n == 8 && t[0] != '0' && weir_guard_weighted(t, weights, n) % 37 == 0;
}

/* Belastingdienst, Netherlands: the eleven test, or since 2020 modulo 97 with the prefix. */
static bool nl_vat(const char *t, size_t n)
{
    static const int8_t weights[] = {9, 8, 7, 6, 5, 4, 3, 2};
    char whole[14] = {'N', 'L'};
    if (n != 12 || t[9] != 'B' || !all_digits(t, 9) || !all_digits(t + 10, 2) ||
        weir_guard_value(t, 9) == 0) {
        return false;
    }
    memcpy(whole + 2, t, 12);
    return weir_guard_weighted(t, weights, 8) % 11 == figure(t, 8) ||
           weir_guard_mod97(whole, sizeof(whole)) == 1;
}

/* Brønnøysundregistrene, Norway: organisation number, with MVA where it pays the tax. */
static bool no_organisation(const char *t, size_t n)
{
    static const int8_t weights[] = {3, 2, 7, 6, 5, 4, 3, 2, 1};
    return n == 9 && (t[0] == '8' || t[0] == '9') && weir_guard_weighted(t, weights, n) % 11 == 0;
}

static bool no_vat(const char *t, size_t n)
{
    bool mva = n == 12 && memcmp(t + 9, "MVA", 3) == 0;
    return (n == 9 || mva) && all_digits(t, 9) && no_organisation(t, 9);
}

/* ANAF, Romania: CUI of two to ten digits; those of fewer than six say too little. */
static bool ro_vat(const char *t, size_t n)
{
    static const int8_t weights[] = {7, 5, 3, 2, 1, 7, 5, 3, 2};
    if (n < 6 || n > 10 || t[0] == '0') {
        return false;
    }
    return weir_guard_weighted(t, weights + (10 - n), n - 1) * 10 % 11 % 10 == figure(t, n - 1);
}

/* Skatteverket, Sweden: organisation number and 01. */
static bool se_vat(const char *t, size_t n)
{
    return n == 12 && all_digits(t, n) && weir_guard_luhn(t, 10) &&
           weir_guard_value(t + 10, 2) > 0 && weir_guard_value(t, 9) > 0;
}

/* Finančná správa, Slovakia: IČ DPH divisible by 11, or a person's birth number. */
static bool sk_vat(const char *t, size_t n)
{
    return n == 10 && t[0] != '0' && weir_guard_mod(t, n, 11) == 0 &&
           (strchr("234789", t[2]) != NULL || weir_guard_cz_birth_number(t, n));
}

static bool de_vat(const char *t, size_t n)
{
    return n == 9 && t[0] != '0' && weir_guard_mod11_10(t, n);
}

static bool el_vat(const char *t, size_t n)
{
    return n == 9 && weir_guard_gr_afm(t, n);
}

static bool cy_vat(const char *t, size_t n)
{
    return n == 9 && all_digits(t, 8) && weir_guard_cy_tic(t, n);
}

static bool hr_vat(const char *t, size_t n)
{
    return n == 11 && all_digits(t, n) && weir_guard_mod11_10(t, n);
}

static bool it_vat(const char *t, size_t n)
{
    return n == 11 && all_digits(t, n) && weir_guard_it_vat(t, n);
}

static bool pl_vat(const char *t, size_t n)
{
    return n == 10 && weir_guard_pl_nip(t, n);
}

static bool pt_vat(const char *t, size_t n)
{
    return n == 9 && weir_guard_pt_nif(t, n);
}

static bool si_vat(const char *t, size_t n)
{
    return n == 8 && weir_guard_si_tax(t, n);
}

/* Countries, and whether the number has letters: where not, the digits are checked before. */
static const struct {
    char country[3];
    bool letters;
    bool (*check)(const char *t, size_t n);
} states[] = {
    {"AT", true, at_vat},  {"BE", false, be_vat}, {"BG", false, bg_vat}, {"CY", true, cy_vat},
    {"CZ", false, cz_vat}, {"DE", false, de_vat}, {"DK", false, dk_vat}, {"EE", false, ee_vat},
    {"EL", false, el_vat}, {"ES", true, es_vat},  {"FI", false, fi_vat}, {"FR", true, fr_vat},
    {"GB", true, gb_vat},  {"GR", false, el_vat}, {"HR", false, hr_vat}, {"HU", false, hu_vat},
    {"IE", true, ie_vat},  {"IT", false, it_vat}, {"LT", false, lt_vat}, {"LU", false, lu_vat},
    {"LV", false, lv_vat}, {"MT", false, mt_vat}, {"NL", true, nl_vat},  {"NO", true, no_vat},
    {"PL", false, pl_vat}, {"PT", false, pt_vat}, {"RO", false, ro_vat}, {"SE", false, se_vat},
    {"SI", false, si_vat}, {"SK", false, sk_vat}, {"XI", true, gb_vat},
};

static bool vat(const char *t, size_t n)
{
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (memcmp(states[i].country, t, 2) == 0) {
            return (states[i].letters || all_digits(t + 2, n - 2)) &&
                   !weir_guard_same_digits(t + 2, n - 2) && states[i].check(t + 2, n - 2);
        }
    }
    return false;
}

#define VAT                                                                                        \
    "vat|vatin|vat id|vat no|vat number|vat reg|ust|ustid|ust id|ust idnr|ustidnr|"                \
    "umsatzsteuer|tva|iva|btw|moms|nif|cif|cui|pvn|pvm|dph|ddv|mwst|alv|kmkr|mva|áfa|afa|пдв|" \
    "ддс|φπα|ic dph|ič dph|dič|dic|intracommunautaire|intra community|partita iva|tax number"

static const weir_guard_id_t ids[] = {
    {"vat_10", "VAT_NUMBER", "AA9X99999X", "10|2 8|2-8|2 2 2 2 2|2 3 3 2|2 4 4|2 7 1", VAT, 0.6f,
     0.95f, vat},
    {"vat_11", "VAT_NUMBER", "AAXX99999XX", "11|2 9|2-9|2 3 3 3|2 3 4 2|5 3 3|5 4 2|3 8|2 7 2", VAT,
     0.6f, 0.95f, vat},
    {"vat_12", "VAT_NUMBER", "AA9999999999",
     "12|2 10|2-10|2 4.3.3|6.3.3|2 4 3 3|6 3 3|2 3-3-2-2|2 3 3 2 2", VAT, 0.65f, 0.95f, vat},
    {"vat_13", "VAT_NUMBER", "AAXX999999999", "13|2 11|2-11|2 2 9|4 9|2 2 3 3 3|4 3 3 3", VAT,
     0.65f, 0.95f, vat},
    {"vat_14", "VAT_NUMBER", "AA999999999XXX",
     "14|2 12|2-12|2 9 3|2 4.2.3.3|2 3 3 3 3|2 3 4 2 3|5 4 2 3|2 6-4 2|2 10 2|11 3", VAT, 0.65f,
     0.95f, vat},
    /* Romania's short ones, the British government's. */
    {"vat_8", "VAT_NUMBER", "AA999999", "8|2 6", VAT, 0.2f, 0.9f, vat},
    {"vat_9", "VAT_NUMBER", "AA9999999", "9|2 7", VAT, 0.2f, 0.9f, vat},
    {"vat_government", "VAT_NUMBER", "AAAA999", "7|2 5", VAT, 0.2f, 0.9f, vat},
    {"gb_vat", "VAT_NUMBER", "999999999", "9|3 4 2",
     "vat|vat no|vat number|vat reg|vat registration", 0.2f, 0.9f, gb_vat},
    {"no_organisation", "NO_ORGANISATION_NUMBER", "999999999", "9|3 3 3",
     "orgnr|org nr|organisasjonsnummer|foretaksregisteret|mva|organisation number", 0.2f, 0.9f,
     no_organisation},
};

const weir_guard_id_table_t weir_guard_ids_vat = {ids, sizeof(ids) / sizeof(ids[0])};

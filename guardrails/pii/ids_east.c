/*
 * Identity numbers of Southern and Eastern Europe. Above each check stands its issuer's document.
 */
#include "guardrails/pii/checks.h"
#include "guardrails/pii/ids.h"

static unsigned digit(const char *d, size_t i)
{
    return (unsigned)(d[i] - '0');
}

static bool date_of(const char *d, unsigned month_base)
{
    return weir_guard_is_date(0, weir_guard_value(d + 2, 2) - month_base,
                              weir_guard_value(d + 4, 2));
}

/* Ministerio del Interior, Real Decreto 1553/2005: letter by the rest modulo 23; foreigners' X, Y,
 * Z count 0, 1, 2 (Orden INT/2058/2008). */
bool weir_guard_es_nif(const char *t, size_t n)
{
    char d[8];
    memcpy(d, t, 8);
    if (weir_is(d[0], WEIR_C_UPPER)) {
        if (strchr("XYZ", d[0]) == NULL) {
            return false;
        }
        d[0] = (char)('0' + (d[0] - 'X'));
    }
    return t[n - 1] == "TRWAGMYFPDXBNJZSQVHLCKE"[weir_guard_value(d, 8) % 23];
}

/* Agencia Tributaria, Orden EHA/451/2008: number of an entity, digit or letter by its kind. */
bool weir_guard_es_cif(const char *t, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 1; i + 1 < n; i++) {
        unsigned v = digit(t, i);
        v = i % 2 == 1 ? v * 2 : v;
        sum += v / 10 + v % 10;
    }
    unsigned c = (10 - sum % 10) % 10;
    return strchr("ABCDEFGHJNPQRSUVW", t[0]) != NULL &&
           (t[n - 1] == (char)('0' + c) || t[n - 1] == "JABCDEFGHI"[c]);
}

/* Agenzia delle Entrate, D.M. 12 March 1974 and 23 December 1976: odd places by table, even by
 * value, modulo 26; in homonyms letters stand for digits. */
static bool it_fiscal_code(const char *t, size_t n)
{
    static const uint8_t odd[] = {1,  0,  5, 7, 9, 13, 15, 17, 19, 21, 2,  4,  18,
                                  20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23};
    unsigned sum = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        unsigned v = weir_is(t[i], WEIR_C_DIGIT) ? digit(t, i) : (unsigned)(t[i] - 'A');
        sum += i % 2 == 0 ? odd[v] : v;
        bool number = i >= 6 && i != 8 && i != 11;
        if (number && !weir_is(t[i], WEIR_C_DIGIT) && strchr("LMNPQRSTUV", t[i]) == NULL) {
            return false;
        }
        if (!number && !weir_is(t[i], WEIR_C_UPPER)) {
            return false;
        }
    }
    return strchr("ABCDEHLMPRST", t[8]) != NULL && t[n - 1] == (char)('A' + sum % 26);
}

/* Agenzia delle Entrate, partita IVA (D.P.R. 633/1972 art. 35): a number, the office's province
 * (001 to 100, 120, 121, 888, 999), Luhn. */
bool weir_guard_it_vat(const char *d, size_t n)
{
    unsigned office = weir_guard_value(d + 7, 3);
    bool known = (office >= 1 && office <= 100) || office == 120 || office == 121 ||
                 office == 888 || office == 999;
    return known && weir_guard_luhn(d, n) && weir_guard_value(d, 7) != 0 &&
           !weir_guard_same_digits(d, n);
}

/* Autoridade Tributária, Decreto-Lei 14/2013: NIF with weights 9 to 2, modulo 11. */
bool weir_guard_pt_nif(const char *d, size_t n)
{
    static const int8_t weights[] = {9, 8, 7, 6, 5, 4, 3, 2};
    unsigned r = 11 - weir_guard_weighted(d, weights, n - 1) % 11;
    bool kind = strchr("1235689", d[0]) != NULL || d[0] == '7' || (d[0] == '4' && d[1] == '5');
    return kind && (r >= 10 ? 0 : r) == digit(d, 8) && !weir_guard_same_digits(d, n);
}

/* AADE, Greece: AFM with powers of two, modulo 11, modulo 10. */
bool weir_guard_gr_afm(const char *d, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        sum += digit(d, i) << (8 - i);
    }
    return sum % 11 % 10 == digit(d, 8) && !weir_guard_same_digits(d, n);
}

/* IDIKA, Greece: AMKA, a birthday and the Luhn digit. */
static bool gr_amka(const char *d, size_t n)
{
    return weir_guard_is_date(0, weir_guard_value(d + 2, 2), weir_guard_value(d, 2)) &&
           weir_guard_luhn(d, n);
}

/* Tax Department, Cyprus: TIC, even places plain and odd places by table, a letter modulo 26. */
bool weir_guard_cy_tic(const char *t, size_t n)
{
    static const uint8_t odd[] = {1, 0, 5, 7, 9, 13, 15, 17, 19, 21};
    unsigned sum = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        sum += i % 2 == 0 ? odd[digit(t, i)] : digit(t, i);
    }
    return memcmp(t, "12", 2) != 0 && t[n - 1] == (char)('A' + sum % 26);
}

/* GUS and MSWiA, Poland, Ustawa o ewidencji ludności: PESEL, weights 1 3 7 9, century in the month.
 */
static bool pl_pesel(const char *d, size_t n)
{
    static const int8_t weights[] = {1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1};
    unsigned month = weir_guard_value(d + 2, 2);
    return weir_guard_is_date(0, month % 20, weir_guard_value(d + 4, 2)) &&
           weir_guard_weighted(d, weights, n) % 10 == 0;
}

/* Ministerstwo Finansów: NIP, weights 6 5 7 2 3 4 5 6 7, modulo 11. */
bool weir_guard_pl_nip(const char *d, size_t n)
{
    static const int8_t weights[] = {6, 5, 7, 2, 3, 4, 5, 6, 7};
    return weir_guard_value(d, 3) >= 101 &&
           weir_guard_weighted(d, weights, n - 1) % 11 == digit(d, 9) &&
           !weir_guard_same_digits(d, n);
}

/* GUS: REGON, weights 8 9 2 3 4 5 6 7, modulo 11, ten is 0. */
static bool pl_regon(const char *d, size_t n)
{
    static const int8_t weights[] = {8, 9, 2, 3, 4, 5, 6, 7};
    return weir_guard_weighted(d, weights, n - 1) % 11 % 10 == digit(d, 8) &&
           !weir_guard_same_digits(d, n);
}

/* MSWiA: identity card, three letters, check digit, five digits; weights 7 3 1 7 3 1 7 3. */
static bool pl_id_card(const char *t, size_t n)
{
    static const uint8_t weights[] = {7, 3, 1, 9, 7, 3, 1, 7, 3};
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned v = i < 3 ? (unsigned)(t[i] - 'A' + 10) : digit(t, i);
        sum += v * weights[i];
    }
    return sum % 10 == 0;
}

/* Ministerstvo vnitra, zákon 133/2000: rodné číslo divisible by 11, women's month plus 50, since
 * 2004 plus 20 and 70 too; a rest of ten counts as 0 up to 1985. */
bool weir_guard_cz_birth_number(const char *d, size_t n)
{
    unsigned month = weir_guard_value(d + 2, 2) % 50;
    month = month > 20 ? month - 20 : month;
    bool whole = weir_guard_mod(d, n, 11) == 0;
    bool old = weir_guard_mod(d, 9, 11) == 10 && digit(d, 9) == 0 && weir_guard_value(d, 2) >= 54 &&
               weir_guard_value(d, 2) <= 85;
    return weir_guard_is_date(0, month, weir_guard_value(d + 4, 2)) && (whole || old);
}

/* NAV, Hungary, 1996. évi XX. törvény: tax mark, 8 and the days since 1867, places 1 to 9 as
 * weights modulo 11. */
static bool hu_tax(const char *d, size_t n)
{
    static const int8_t weights[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    return d[0] == '8' && weir_guard_weighted(d, weights, n - 1) % 11 == digit(d, 9);
}

/* NEAK, Hungary: TAJ, weights 3 and 7 in turn, modulo 10. */
static bool hu_taj(const char *d, size_t n)
{
    static const int8_t weights[] = {3, 7, 3, 7, 3, 7, 3, 7};
    return weir_guard_weighted(d, weights, n - 1) % 10 == digit(d, 8) &&
           !weir_guard_same_digits(d, n);
}

/* Ministerul Afacerilor Interne, Romania, Legea 105/1996: CNP, modulo 11, ten is 1. */
static bool ro_cnp(const char *d, size_t n)
{
    static const int8_t weights[] = {2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9};
    unsigned r = weir_guard_weighted(d, weights, n - 1) % 11;
    unsigned county = weir_guard_value(d + 7, 2);
    return d[0] != '0' && date_of(d + 1, 0) &&
           ((county >= 1 && county <= 52) || county == 70 || (county >= 80 && county <= 83)) &&
           (r == 10 ? 1 : r) == digit(d, 12);
}

/* GRAO, Bulgaria, Naredba RD-02-20-9/2012: EGN, powers of two modulo 11; month plus 20 before
 * 1900, plus 40 from 2000. */
bool weir_guard_bg_egn(const char *d, size_t n)
{
    static const int8_t weights[] = {2, 4, 8, 5, 10, 9, 7, 3, 6};
    unsigned month = weir_guard_value(d + 2, 2);
    unsigned base = month > 40 ? 40 : month > 20 ? 20 : 0;
    return date_of(d, base) && weir_guard_weighted(d, weights, n - 1) % 11 % 10 == digit(d, 9);
}

/* Ministarstvo financija, Croatia, Zakon o OIB: ISO 7064 MOD 11,10. */
static bool hr_oib(const char *d, size_t n)
{
    return weir_guard_mod11_10(d, n) && !weir_guard_same_digits(d, n);
}

/* Slovenia, Zakon o centralnem registru prebivalstva; the same JMBG in Serbia, Bosnia and
 * Herzegovina, Montenegro, North Macedonia: weights 7 to 2 twice, modulo 11. */
static bool jmbg(const char *d, size_t n)
{
    static const int8_t weights[] = {7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2};
    unsigned r = 11 - weir_guard_weighted(d, weights, n - 1) % 11;
    unsigned year = weir_guard_value(d + 4, 3);
    return weir_guard_is_date(0, weir_guard_value(d + 2, 2), weir_guard_value(d, 2)) &&
           (year >= 880 || year <= 60) && r != 10 && (r == 11 ? 0 : r) == digit(d, 12);
}

/* Finančna uprava, Slovenia: davčna številka, weights 8 to 2, modulo 11. */
bool weir_guard_si_tax(const char *d, size_t n)
{
    static const int8_t weights[] = {8, 7, 6, 5, 4, 3, 2};
    unsigned r = 11 - weir_guard_weighted(d, weights, n - 1) % 11;
    return d[0] != '0' && r != 11 && (r == 10 ? 0 : r) == digit(d, 7);
}

/* Estonia EVS 585:2007 and Lithuania, Law on Population Register: two rounds of weights. */
static bool baltic(const char *d, size_t n)
{
    static const int8_t first[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1};
    static const int8_t second[] = {3, 4, 5, 6, 7, 8, 9, 1, 2, 3};
    unsigned r = weir_guard_weighted(d, first, n - 1) % 11;
    if (r == 10) {
        r = weir_guard_weighted(d, second, n - 1) % 11 % 10;
    }
    return d[0] >= '1' && d[0] <= '8' && date_of(d + 1, 0) && r == digit(d, 10);
}

/* PMLP, Latvia, Fizisko personu reģistra likums: weights 10 5 8 4 2 1 6 3 7 9; numbers since 2017
 * begin with 32 and have no birthday, and keep the check. */
bool weir_guard_lv_pk(const char *d, size_t n)
{
    static const int8_t weights[] = {10, 5, 8, 4, 2, 1, 6, 3, 7, 9};
    unsigned r = (1 + weir_guard_weighted(d, weights, n - 1)) % 11;
    bool dated = weir_guard_is_date(0, weir_guard_value(d + 2, 2), weir_guard_value(d, 2));
    return r < 10 && (dated || memcmp(d, "32", 2) == 0) && r == digit(d, 10);
}

/* DPS, Ukraine, RNOKPP: weights -1 5 7 9 4 6 10 5 7, modulo 11, modulo 10. */
static bool ua_tax(const char *d, size_t n)
{
    static const int8_t weights[] = {5, 7, 9, 4, 6, 10, 5, 7};
    unsigned sum = weir_guard_weighted(d + 1, weights, 8) + 11 - digit(d, 0);
    return n == 10 && sum % 11 % 10 == digit(d, 9) && !weir_guard_same_digits(d, n);
}

/* FNS Russia, Order MMV-7-6/435@: INN of a person, two modulo-11 digits. */
static bool ru_inn(const char *d, size_t n)
{
    static const int8_t first[] = {7, 2, 4, 10, 3, 5, 9, 4, 6, 8};
    static const int8_t second[] = {3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8};
    return n == 12 && weir_guard_weighted(d, first, 10) % 11 % 10 == digit(d, 10) &&
           weir_guard_weighted(d, second, 11) % 11 % 10 == digit(d, 11) &&
           !weir_guard_same_digits(d, n);
}

/* Social Fund of Russia: SNILS, weights 9 to 1, modulo 101, 100 is 00. */
static bool ru_snils(const char *d, size_t n)
{
    static const int8_t weights[] = {9, 8, 7, 6, 5, 4, 3, 2, 1};
    return n == 11 && weir_guard_value(d, 9) > 1001998 &&
           weir_guard_weighted(d, weights, 9) % 101 % 100 == weir_guard_value(d + 9, 2);
}

static const weir_guard_id_t ids[] = {
    {"es_nif", "ES_NIF", "99999999A", "9|8-1|8 1", "dni|nif|documento nacional|españa|spain", 0.6f,
     0.95f, weir_guard_es_nif},
    {"es_nie", "ES_NIE", "A9999999A", "9|1-7-1|1 7 1", "nie|extranjero|número de identidad|nif",
     0.65f, 0.95f, weir_guard_es_nif},
    {"es_cif", "ES_CIF", "A9999999X", "9|1-8|1-7-1", "cif|nif|empresa|sociedad", 0.4f, 0.9f,
     weir_guard_es_cif},
    {"it_fiscal_code", "IT_FISCAL_CODE", "AAAAAAXXAXXAXXXA", "16|3 3 5 5",
     "codice fiscale|fiscale|cf|tax code", 0.9f, 0.97f, it_fiscal_code},
    {"it_vat", "IT_VAT_CODE", "99999999999", "11", "partita iva|p iva|piva|iva|vat", 0.25f, 0.9f,
     weir_guard_it_vat},
    {"pt_nif", "PT_NIF", "999999999", "9|3 3 3", "nif|contribuinte|nipc|portugal|fiscal", 0.25f,
     0.9f, weir_guard_pt_nif},
    {"gr_afm", "GR_AFM", "999999999", "9", "afm|αφμ|a φ μ|greece|greek|tin", 0.2f, 0.88f,
     weir_guard_gr_afm},
    {"gr_amka", "GR_AMKA", "99999999999", "11", "amka|αμκα|greece|greek", 0.4f, 0.92f, gr_amka},
    {"cy_tic", "CY_TIC", "99999999A", "9", "tic|tin|cyprus|tax", 0.35f, 0.9f, weir_guard_cy_tic},
    {"pl_pesel", "PL_PESEL", "99999999999", "11", "pesel|poland|polish|polska", 0.45f, 0.94f,
     pl_pesel},
    {"pl_nip", "PL_NIP", "9999999999", "3-3-2-2|3-2-2-3|10", "nip|podatkowy|podatnika", 0.35f,
     0.92f, weir_guard_pl_nip},
    {"pl_regon", "PL_REGON", "999999999", "9", "regon", 0.2f, 0.9f, pl_regon},
    {"pl_id_card", "PL_ID_CARD", "AAA999999", "9|3 6", "dowód|dowod|dowodu|osobisty|osobistego",
     0.35f, 0.9f, pl_id_card},
    {"cz_birth_number", "CZ_RODNE_CISLO", "9999999999", "6/4", "", 0.85f, 0.94f,
     weir_guard_cz_birth_number},
    {"cz_birth_number_plain", "CZ_RODNE_CISLO", "9999999999", "10|6 4",
     "rodné|rodne|rodné číslo|rodne cislo|rč|r č|birth number|czech|slovak", 0.4f, 0.92f,
     weir_guard_cz_birth_number},
    {"hu_tax", "HU_TAX_ID", "9999999999", "10", "adóazonosító|adoazonosito|adószám|tax|hungary",
     0.3f, 0.9f, hu_tax},
    {"hu_taj", "HU_TAJ", "999999999", "9|3 3 3|3-3-3", "taj|társadalombiztosítási|hungary", 0.2f,
     0.9f, hu_taj},
    {"ro_cnp", "RO_CNP", "9999999999999", "13", "cnp|cod numeric|romania|romanian", 0.45f, 0.95f,
     ro_cnp},
    {"bg_egn", "BG_EGN", "9999999999", "10", "egn|егн|bulgaria|bulgarian", 0.4f, 0.93f,
     weir_guard_bg_egn},
    {"hr_oib", "HR_OIB", "99999999999", "11", "oib|osobni identifikacijski|croatia|croatian", 0.3f,
     0.92f, hr_oib},
    {"jmbg", "SI_EMSO", "9999999999999", "13",
     "emšo|emso|jmbg|jmb|embg|slovenia|serbia|bosnia|matični broj", 0.45f, 0.95f, jmbg},
    {"si_tax", "SI_TAX_ID", "99999999", "8", "davčna|davcna|davčna številka|slovenia", 0.2f, 0.88f,
     weir_guard_si_tax},
    {"ee_ik", "EE_ISIKUKOOD", "99999999999", "11", "isikukood|estonia|estonian|personal code",
     0.45f, 0.94f, baltic},
    {"lt_ak", "LT_ASMENS_KODAS", "99999999999", "11",
     "asmens kodas|asmens|lithuania|lithuanian|kodas", 0.45f, 0.95f, baltic},
    {"lv_pk", "LV_PERSONAS_KODS", "99999999999", "6-5",
     "personas kods|personas kodu|latvia|latvian", 0.6f, 0.95f, weir_guard_lv_pk},
    {"lv_pk_plain", "LV_PERSONAS_KODS", "99999999999", "11",
     "personas kods|personas kodu|latvia|latvian", 0.45f, 0.95f, weir_guard_lv_pk},
    {"ua_tax", "UA_RNOKPP", "9999999999", "10", "рнокпп|ідентифікаційний|іпн|ipn|rnokpp|ukraine",
     0.3f, 0.9f, ua_tax},
    {"ru_inn", "RU_INN", "999999999999", "12", "инн|inn|russia", 0.45f, 0.94f, ru_inn},
    {"ru_snils", "RU_SNILS", "99999999999", "3-3-3 2|3-3-3-2", "снилс|snils", 0.85f, 0.96f,
     ru_snils},
    {"ru_snils_plain", "RU_SNILS", "99999999999", "11|3 3 3 2", "снилс|snils", 0.4f, 0.93f,
     ru_snils},
};

const weir_guard_id_table_t weir_guard_ids_east = {ids, sizeof(ids) / sizeof(ids[0])};

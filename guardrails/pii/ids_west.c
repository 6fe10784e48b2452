/*
 * Identity numbers of Western and Northern Europe. Above each check stands its issuer's document.
 */
#include "guardrails/pii/checks.h"
#include "guardrails/pii/ids.h"

static bool day_month(const char *d)
{
    return weir_guard_is_date(0, weir_guard_value(d + 2, 2), weir_guard_value(d, 2));
}

/* NHS Data Dictionary, "NHS number": weights 10 to 2, modulo 11. */
static bool uk_nhs(const char *d, size_t n)
{
    static const int8_t weights[] = {10, 9, 8, 7, 6, 5, 4, 3, 2};
    unsigned r = 11 - weir_guard_weighted(d, weights, n - 1) % 11;
    return r != 10 && (r == 11 ? 0 : r) == (unsigned)(d[9] - '0') && !weir_guard_same_digits(d, n);
}

/* HMRC, National Insurance Manual NIM39110: letters that are not used, and prefixes. */
static bool uk_nino(const char *t, size_t n)
{
    static const char not_allowed[] = "BGGBKNNKNTTNZZ";
    if (strchr("DFIQUV", t[0]) != NULL || strchr("DFIOQUV", t[1]) != NULL ||
        strchr("ABCD", t[n - 1]) == NULL) {
        return false;
    }
    for (size_t i = 0; i + 1 < sizeof(not_allowed); i += 2) {
        if (memcmp(t, not_allowed + i, 2) == 0) {
            return false;
        }
    }
    return true;
}

/* HMRC, "Corporation Tax: UTR format": check digit first, weights 6 7 8 9 10 5 4 3 2. */
static bool uk_utr(const char *d, size_t n)
{
    static const int8_t weights[] = {6, 7, 8, 9, 10, 5, 4, 3, 2};
    static const char digits[] = "21987654321";
    return digits[weir_guard_weighted(d + 1, weights, n - 1) % 11] == d[0] &&
           !weir_guard_same_digits(d, n);
}

/* Ireland, Department of Social Protection, PPS number: modulo 23, an optional ninth character. */
bool weir_guard_ie_pps(const char *t, size_t n)
{
    static const int8_t weights[] = {8, 7, 6, 5, 4, 3, 2};
    unsigned sum = weir_guard_weighted(t, weights, 7);
    if (n == 9) {
        sum += t[8] == 'W' ? 0 : (unsigned)(t[8] - 'A' + 1) * 9;
        if (t[8] > 'I' && t[8] != 'W') {
            return false;
        }
    }
    return t[7] == "WABCDEFGHIJKLMNOPQRSTUV"[sum % 23];
}

/* Bundeszentralamt für Steuern, "Steuerliche Identifikationsnummer": ISO 7064 MOD 11,10; in the
 * first ten digits one stands two or three times. */
static bool de_tax_id(const char *d, size_t n)
{
    unsigned seen[10] = {0};
    unsigned more = 0;
    for (size_t i = 0; i < 10; i++) {
        unsigned c = ++seen[d[i] - '0'];
        more += c == 2;
        if (c > 3) {
            return false;
        }
    }
    return d[0] != '0' && more == 1 && weir_guard_mod11_10(d, n);
}

/* ICAO Doc 9303 part 3, section 4.9: weights 7 3 1, letters from A = 10. */
static bool icao(const char *t, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        unsigned v =
            weir_is(t[i], WEIR_C_DIGIT) ? (unsigned)(t[i] - '0') : (unsigned)(t[i] - 'A' + 10);
        sum += v * (i % 3 == 0 ? 7 : i % 3 == 1 ? 3 : 1);
    }
    return sum % 10 == (unsigned)(t[n - 1] - '0');
}

/* Bundesdruckerei: serial numbers of identity cards and passports use no vowels but the leading
 * letters C, F, G, H, J, K, L, M, N, P, R, T, V, W, X, Y, Z; ICAO check digit behind. */
static bool de_id_card(const char *t, size_t n)
{
    bool digit = false;
    for (size_t i = 0; i + 1 < n; i++) {
        bool d = weir_is(t[i], WEIR_C_DIGIT);
        digit |= d;
        if (!d && strchr("CFGHJKLMNPRTVWXYZ", t[i]) == NULL) {
            return false;
        }
    }
    return digit && strchr("LMNPRTVWXYCFGHJK", t[0]) != NULL && icao(t, n);
}

/* Deutsche Rentenversicherung, VKVV section 2: area, birthday, letter (as two digits), serial,
 * check digit; weights 2 1 2 5 7 1 2 1 2 1 2 1 with cross sums. */
static bool de_social(const char *t, size_t n)
{
    static const uint8_t weights[] = {2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1};
    char d[13];
    unsigned letter = (unsigned)(t[8] - 'A' + 1);
    memcpy(d, t, 8);
    d[8] = (char)('0' + letter / 10);
    d[9] = (char)('0' + letter % 10);
    memcpy(d + 10, t + 9, n - 9);
    unsigned sum = 0;
    for (size_t i = 0; i < 12; i++) {
        unsigned p = (unsigned)(d[i] - '0') * weights[i];
        sum += p / 10 + p % 10;
    }
    unsigned day = weir_guard_value(t + 2, 2) % 50;
    unsigned month = weir_guard_value(t + 4, 2);
    return day >= 1 && day <= 31 && month >= 1 && month <= 12 &&
           sum % 10 == (unsigned)(t[n - 1] - '0');
}

/* INSEE, "Numéro d'inscription au répertoire" (NIR): 97 less the rest; 2A is 19 and 2B 18. */
static bool fr_nir(const char *t, size_t n)
{
    char d[15];
    memcpy(d, t, n);
    if (t[5] == '2' && (t[6] == 'A' || t[6] == 'B')) {
        d[5] = '1';
        d[6] = t[6] == 'A' ? '9' : '8';
    }
    for (size_t i = 0; i < n; i++) {
        if (!weir_is(d[i], WEIR_C_DIGIT)) {
            return false;
        }
    }
    unsigned month = weir_guard_value(t + 3, 2);
    bool known = (month >= 1 && month <= 12) || (month >= 20 && month <= 42) || month >= 50;
    return t[0] >= '1' && t[0] <= '8' && known &&
           97 - weir_guard_mod(d, 13, 97) == weir_guard_value(d + 13, 2);
}

/* DGFiP, "Numéro fiscal" (SPI): 13 digits, the last three the rest modulo 511. */
static bool fr_nif(const char *d, size_t n)
{
    return d[0] <= '3' && weir_guard_mod(d, 10, 511) == weir_guard_value(d + 10, 3) && n == 13 &&
           !weir_guard_same_digits(d, n);
}

/* INSEE, SIREN and SIRET: Luhn. */
static bool fr_siren(const char *d, size_t n)
{
    return weir_guard_luhn(d, n) && !weir_guard_same_digits(d, n);
}

/* A SIRET begins with a SIREN; of La Poste's offices the digits add up to a multiple of five. */
static bool fr_siret(const char *d, size_t n)
{
    static const int8_t ones[14] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    bool post = memcmp(d, "356000000", 9) == 0 && weir_guard_weighted(d, ones, n) % 5 == 0;
    return fr_siren(d, 9) && (weir_guard_luhn(d, n) || post);
}

/* Rijksdienst voor Identiteitsgegevens, "Logisch Ontwerp BRP": the eleven test. */
static bool nl_bsn(const char *d, size_t n)
{
    static const int8_t weights[] = {9, 8, 7, 6, 5, 4, 3, 2};
    unsigned sum = weir_guard_weighted(d, weights, n - 1);
    return sum % 11 == (unsigned)(d[8] - '0') && !weir_guard_same_digits(d, n);
}

/* Registre national, Arrêté royal of 3 April 1984: 97 less the rest, a 2 in front from 2000 on. */
static bool be_nn(const char *d, size_t n)
{
    unsigned check = weir_guard_value(d + 9, 2);
    unsigned month = weir_guard_value(d + 2, 2) % 20;
    unsigned rest = weir_guard_value(d, 9) % 97;
    unsigned later = (unsigned)((2000000000ull + weir_guard_value(d, 9)) % 97);
    return n == 11 && month <= 12 && weir_guard_value(d + 4, 2) <= 31 &&
           (97 - rest == check || 97 - later == check) && !weir_guard_same_digits(d, n);
}

/* Centre des technologies de l'information de l'État, Luxembourg: Luhn digit, Verhoeff digit. */
static bool lu_nin(const char *d, size_t n)
{
    char second[12];
    memcpy(second, d, 11);
    second[11] = d[12];
    return n == 13 && weir_guard_value(d, 4) >= 1850 && weir_guard_value(d, 4) <= 2099 &&
           weir_guard_is_date(0, weir_guard_value(d + 4, 2), weir_guard_value(d + 6, 2)) &&
           weir_guard_luhn(d, 12) && weir_guard_verhoeff(second, 12);
}

/* Zentrale Ausgleichsstelle, Switzerland, AHVN13: GS1 prefix 756 and the EAN-13 digit. */
static bool ch_ahv(const char *d, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (unsigned)(d[i] - '0') * (i % 2 == 0 ? 1 : 3);
    }
    return memcmp(d, "756", 3) == 0 && sum % 10 == 0;
}

/* Bundesamt für Statistik, UID: weights 5 4 3 2 7 6 5 4, modulo 11. */
static bool ch_uid(const char *t, size_t n)
{
    static const int8_t weights[] = {5, 4, 3, 2, 7, 6, 5, 4};
    unsigned r = 11 - weir_guard_weighted(t + 3, weights, 8) % 11;
    return memcmp(t, "CHE", 3) == 0 && r != 10 && (r == 11 ? 0 : r) == (unsigned)(t[n - 1] - '0');
}

/* Dachverband der Sozialversicherungsträger, Austria: weights 3 7 9 - 5 8 4 2 1 6, the fourth
 * digit the rest modulo 11. */
static bool at_svnr(const char *d, size_t n)
{
    static const int8_t weights[] = {3, 7, 9, 0, 5, 8, 4, 2, 1, 6};
    return d[0] != '0' && weir_guard_weighted(d, weights, n) % 11 == (unsigned)(d[3] - '0') &&
           weir_guard_value(d + 4, 2) >= 1 && weir_guard_value(d + 4, 2) <= 31 &&
           weir_guard_value(d + 6, 2) >= 1 && weir_guard_value(d + 6, 2) <= 15;
}

/* Skatteverket, SKV 704: Luhn over the ten digits; samordningsnummer have the day plus 60. */
static bool se_personnummer(const char *d, size_t n)
{
    const char *ten = d + (n - 10);
    unsigned day = weir_guard_value(ten + 4, 2);
    return (n == 10 || memcmp(d, "19", 2) == 0 || memcmp(d, "20", 2) == 0) &&
           weir_guard_luhn(ten, 10) &&
           weir_guard_is_date(0, weir_guard_value(ten + 2, 2), day > 60 ? day - 60 : day);
}

/* Bolagsverket, organisationsnummer: Luhn, third digit at least 2. */
static bool se_org(const char *d, size_t n)
{
    return d[2] >= '2' && d[0] != '0' && weir_guard_luhn(d, n) && !weir_guard_same_digits(d, n);
}

/* Digi- ja väestötietovirasto, "Henkilötunnus": the rest modulo 31 of the nine digits. The century
 * sign is + or - or (since 2023) one of A-F, U-Y. */
static bool fi_hetu(const char *t, size_t n)
{
    char d[9];
    bool letter = n == 11;
    memcpy(d, t, 6);
    memcpy(d + 6, t + (letter ? 7 : 6), 3);
    for (size_t i = 0; i < 9; i++) {
        if (!weir_is(d[i], WEIR_C_DIGIT)) {
            return false;
        }
    }
    return (!letter || strchr("ABCDEFUVWXY", t[6]) != NULL) && day_month(d) &&
           weir_guard_value(d + 6, 3) >= 2 &&
           t[n - 1] == "0123456789ABCDEFHJKLMNPRSTUVWXY"[weir_guard_mod(d, 9, 31)];
}

/* CPR-kontoret, "Personnummeret i CPR": a date; the modulo-11 digit is not always kept since
 * 2007, so it only ranks. */
static bool dk_cpr(const char *d, size_t n)
{
    return n == 10 && day_month(d) && !weir_guard_same_digits(d + 6, 4);
}

static bool dk_cpr_checked(const char *d, size_t n)
{
    static const int8_t weights[] = {4, 3, 2, 7, 6, 5, 4, 3, 2, 1};
    return dk_cpr(d, n) && weir_guard_weighted(d, weights, n) % 11 == 0;
}

/* Skatteetaten, "Fødselsnummer": two modulo-11 digits; D-numbers have the day plus 40. */
static bool no_fnr(const char *d, size_t n)
{
    static const int8_t first[] = {3, 7, 6, 1, 8, 9, 4, 5, 2, 1};
    static const int8_t second[] = {5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1};
    unsigned day = weir_guard_value(d, 2);
    unsigned month = weir_guard_value(d + 2, 2);
    return weir_guard_is_date(0, month > 40 ? month - 40 : month, day > 40 ? day - 40 : day) &&
           weir_guard_weighted(d, first, 10) % 11 == 0 &&
           weir_guard_weighted(d, second, n) % 11 == 0;
}

/* Þjóðskrá Íslands, "Kennitala": weights 3 2 7 6 5 4 3 2, modulo 11, century digit 9 or 0. */
static bool is_kt(const char *d, size_t n)
{
    static const int8_t weights[] = {3, 2, 7, 6, 5, 4, 3, 2, 1};
    unsigned day = weir_guard_value(d, 2);
    return (d[n - 1] == '9' || d[n - 1] == '0' || d[n - 1] == '8') &&
           weir_guard_is_date(0, weir_guard_value(d + 2, 2), day > 40 ? day - 40 : day) &&
           weir_guard_weighted(d, weights, 9) % 11 == 0;
}

static const weir_guard_id_t ids[] = {
    {"uk_nhs", "UK_NHS", "9999999999", "3 3 4|3-3-4|10",
     "nhs|national health|health service|nhs number", 0.35f, 0.9f, uk_nhs},
    {"uk_nino", "UK_NINO", "AA999999A", "9|2 2 2 2 1|2-2-2-2-1|2 6 1",
     "nino|national insurance|insurance number|ni number|hmrc", 0.6f, 0.93f, uk_nino},
    {"uk_utr", "UK_UTR", "9999999999", "10|5 5",
     "utr|unique taxpayer|taxpayer reference|tax reference|self assessment|hmrc", 0.2f, 0.88f,
     uk_utr},
    {"ie_pps", "IE_PPS", "9999999A", "8", "pps|ppsn|personal public service|ireland|irish", 0.45f,
     0.93f, weir_guard_ie_pps},
    {"ie_pps_long", "IE_PPS", "9999999AA", "9|7 2", "pps|ppsn|personal public service|ireland",
     0.55f, 0.93f, weir_guard_ie_pps},
    {"de_tax_id", "DE_TAX_ID", "99999999999", "11|2 3 3 3",
     "steuer|steuer id|steueridentifikationsnummer|steuerid|idnr|tin|identifikationsnummer|"
     "steuernummer|tax id|germany|german",
     0.4f, 0.92f, de_tax_id},
    {"de_id_card", "DE_ID_CARD", "XXXXXXXXX9", "10",
     "personalausweis|ausweis|ausweisnummer|personalausweisnummer|identity card|id card|german id",
     0.3f, 0.9f, de_id_card},
    {"de_social", "DE_SOCIAL_SECURITY", "99999999A999", "12|2 6 1 3|2 6 1 2 1",
     "rentenversicherung|rentenversicherungsnummer|sozialversicherung|"
     "sozialversicherungsnummer|versicherungsnummer|svnr",
     0.7f, 0.95f, de_social},
    {"fr_nir", "FR_NIR", "99999XX99999999", "15|1 2 2 2 3 3 2|13 2|1.2.2.2.3.3.2",
     "nir|insee|sécurité sociale|securite sociale|numéro de sécurité|sécu|assuré|vitale", 0.8f,
     0.96f, fr_nir},
    {"fr_nif", "FR_NIF", "9999999999999", "13|2 2 3 3 3",
     "numéro fiscal|numero fiscal|spi|impôts|impots|fiscal|référence fiscale", 0.4f, 0.9f, fr_nif},
    {"fr_siren", "FR_SIREN", "999999999", "9|3 3 3", "siren|rcs", 0.2f, 0.88f, fr_siren},
    {"fr_siret", "FR_SIRET", "99999999999999", "14|3 3 3 5", "siret", 0.4f, 0.9f, fr_siret},
    {"nl_bsn", "NL_BSN", "999999999", "9|4.2.3|3 3 3|4 2 3",
     "bsn|burgerservicenummer|burger service nummer|sofinummer|sofi|citizen service number|dutch",
     0.2f, 0.9f, nl_bsn},
    {"be_nn", "BE_NATIONAL_NUMBER", "99999999999", "2.2.2-3.2|6-3-2|2.2.2.3.2|6 3 2",
     "rijksregisternummer|rijksregister|registre national|numéro national|national number|nn|"
     "insz|niss|belgium|belgian",
     0.6f, 0.94f, be_nn},
    {"be_nn_plain", "BE_NATIONAL_NUMBER", "99999999999", "11",
     "rijksregisternummer|rijksregister|registre national|numéro national|national number|nn|"
     "insz|niss|belgium|belgian",
     0.45f, 0.94f, be_nn},
    {"lu_nin", "LU_NIN", "9999999999999", "13|8 5",
     "matricule|identification nationale|luxembourg|cns|numéro", 0.6f, 0.94f, lu_nin},
    {"ch_ahv", "CH_AHV", "9999999999999", "3.4.4.2", "", 0.95f, 0.97f, ch_ahv},
    {"ch_ahv_plain", "CH_AHV", "9999999999999", "13|3 4 4 2",
     "ahv|avs|ahvn|navs|oasi|sozialversicherungsnummer|versichertennummer|swiss", 0.5f, 0.95f,
     ch_ahv},
    {"ch_uid", "CH_UID", "AAA999999999", "12|3-3.3.3|3 3.3.3", "uid|ide|mwst|tva|iva", 0.8f, 0.95f,
     ch_uid},
    {"at_svnr", "AT_SVNR", "9999999999", "10|4 6|4-6",
     "svnr|sv nummer|sozialversicherungsnummer|sozialversicherung|versicherungsnummer|austria|"
     "österreich",
     0.35f, 0.92f, at_svnr},
    {"se_personnummer", "SE_PERSONNUMMER", "9999999999", "6-4|6+4|10",
     "personnummer|personnr|pnr|personal identity number|samordningsnummer|swedish|sweden|svensk",
     0.45f, 0.93f, se_personnummer},
    {"se_personnummer_long", "SE_PERSONNUMMER", "999999999999", "8-4",
     "personnummer|personnr|pnr|personal identity number|samordningsnummer|swedish|sweden|svensk",
     0.6f, 0.93f, se_personnummer},
    {"se_personnummer_long_plain", "SE_PERSONNUMMER", "999999999999", "12",
     "personnummer|personnr|pnr|personal identity number|samordningsnummer|swedish|sweden|svensk",
     0.4f, 0.93f, se_personnummer},
    {"se_org", "SE_ORGANISATIONSNUMMER", "9999999999", "6-4|10",
     "organisationsnummer|orgnr|org nr|organisation number", 0.3f, 0.9f, se_org},
    {"fi_hetu", "FI_PERSONAL_IDENTITY_CODE", "999999999X", "6-4|6+4", "hetu|henkilötunnus", 0.85f,
     0.96f, fi_hetu},
    {"fi_hetu_letter", "FI_PERSONAL_IDENTITY_CODE", "999999A999X", "11", "hetu|henkilötunnus",
     0.85f, 0.96f, fi_hetu},
    {"dk_cpr", "DK_CPR", "9999999999", "6-4|6 4",
     "cpr|cpr nummer|cpr nr|personnummer|danish|denmark|dansk", 0.25f, 0.88f, dk_cpr},
    {"dk_cpr_plain", "DK_CPR", "9999999999", "10", "cpr|cpr nummer|cpr nr|cprnummer|cprnr", 0.2f,
     0.75f, dk_cpr},
    {"dk_cpr_checked", "DK_CPR", "9999999999", "6-4|10|6 4",
     "cpr|cpr nummer|cpr nr|personnummer|danish|denmark|dansk", 0.4f, 0.9f, dk_cpr_checked},
    {"no_fnr", "NO_FODSELSNUMMER", "99999999999", "6 5",
     "fødselsnummer|fodselsnummer|fnr|personnummer|norwegian|norway|norsk", 0.6f, 0.95f, no_fnr},
    {"no_fnr_plain", "NO_FODSELSNUMMER", "99999999999", "11",
     "fødselsnummer|fodselsnummer|fnr|personnummer|norwegian|norway|norsk", 0.45f, 0.95f, no_fnr},
    {"is_kt", "IS_KENNITALA", "9999999999", "6-4|10", "kennitala|kt|iceland|icelandic", 0.45f,
     0.93f, is_kt},
};

const weir_guard_id_table_t weir_guard_ids_west = {ids, sizeof(ids) / sizeof(ids[0])};

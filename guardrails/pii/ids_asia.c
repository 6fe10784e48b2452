/*
 * Identity numbers of Asia, Africa and Oceania. Above each check stands its issuer's document.
 */
#include "guardrails/pii/checks.h"
#include "guardrails/pii/ids.h"

static unsigned digit(const char *d, size_t i)
{
    return (unsigned)(d[i] - '0');
}

static bool year_month_day(const char *d)
{
    return weir_guard_is_date(0, weir_guard_value(d + 2, 2), weir_guard_value(d + 4, 2));
}

/* UIDAI, "Aadhaar number" (Verhoeff, does not begin with 0 or 1). */
static bool in_aadhaar(const char *d, size_t n)
{
    return d[0] >= '2' && weir_guard_verhoeff(d, n) && !weir_guard_same_digits(d, n);
}

/* Income Tax Department, Rule 114: the fourth letter is the holder's kind. */
static bool in_pan(const char *t, size_t n)
{
    return n == 10 && strchr("PCHABGJLFTEK", t[3]) != NULL && weir_guard_value(t + 5, 4) != 0;
}

/* A natural person's; other holders' letters stand in many names. */
static bool in_pan_person(const char *t, size_t n)
{
    return t[3] == 'P' && in_pan(t, n);
}

static bool in_pan_other(const char *t, size_t n)
{
    return t[3] != 'P' && in_pan(t, n);
}

/* ECI, electors' photo identity card: the seventh digit is the Luhn digit of the serial number. */
static bool in_voter(const char *t, size_t n)
{
    return weir_guard_luhn(t + 3, n - 3) && !weir_guard_same_digits(t + 3, n - 3);
}

/* CBIC, "GSTIN structure": state, PAN, entity, Z, check character modulo 36. */
static bool in_gstin(const char *t, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        unsigned v = weir_is(t[i], WEIR_C_DIGIT) ? digit(t, i) : (unsigned)(t[i] - 'A' + 10);
        v *= i % 2 == 0 ? 1 : 2;
        sum += v / 36 + v % 36;
    }
    unsigned c = (36 - sum % 36) % 36;
    unsigned state = weir_guard_value(t, 2);
    return state >= 1 && (state <= 38 || state == 97) && in_pan(t + 2, 10) &&
           t[n - 1] == (char)(c < 10 ? '0' + c : 'A' + c - 10);
}

/* ATO, "TFN algorithm": weights 1 4 3 7 5 8 6 9 10, modulo 11. */
static bool au_tfn(const char *d, size_t n)
{
    static const int8_t weights[] = {1, 4, 3, 7, 5, 8, 6, 9, 10};
    return weir_guard_weighted(d, weights, n) % 11 == 0 && !weir_guard_same_digits(d, n);
}

/* ABR, "Format of the ABN": one less in the first digit, modulo 89. */
static bool au_abn(const char *d, size_t n)
{
    static const int8_t weights[] = {10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19};
    return d[0] != '0' && (weir_guard_weighted(d, weights, n) - 10) % 89 == 0;
}

/* ASIC, "Australian Company Number digit check": weights 8 to 1, modulo 10. */
static bool au_acn(const char *d, size_t n)
{
    static const int8_t weights[] = {8, 7, 6, 5, 4, 3, 2, 1};
    unsigned r = weir_guard_weighted(d, weights, n - 1) % 10;
    return (10 - r) % 10 == digit(d, 8) && !weir_guard_same_digits(d, n);
}

/* Services Australia, Medicare card: weights 1 3 7 9 1 3 7 9, modulo 10; begins with 2 to 6. */
static bool au_medicare(const char *d, size_t n)
{
    static const int8_t weights[] = {1, 3, 7, 9, 1, 3, 7, 9};
    return n >= 10 && d[0] >= '2' && d[0] <= '6' &&
           weir_guard_weighted(d, weights, 8) % 10 == digit(d, 8) && d[9] != '0';
}

/* Inland Revenue New Zealand, "Resident withholding tax specification": two rounds modulo 11. */
static bool nz_ird(const char *d, size_t n)
{
    static const int8_t first[] = {3, 2, 7, 6, 5, 4, 3, 2};
    static const int8_t second[] = {7, 4, 3, 2, 5, 2, 7, 6};
    char nine[9];
    memset(nine, '0', sizeof(nine));
    memcpy(nine + (9 - n), d, n);
    unsigned v = weir_guard_value(nine, 9);
    unsigned r = weir_guard_weighted(nine, first, 8) % 11;
    r = r == 0 ? 0 : 11 - r;
    if (r == 10) {
        r = weir_guard_weighted(nine, second, 8) % 11;
        r = r == 0 ? 0 : 11 - r;
    }
    return v > 10000000 && v < 150000000 && r == digit(nine, 8);
}

/* GB 11643-1999, China: ISO 7064 MOD 11-2, a birthday. */
static bool cn_id(const char *t, size_t n)
{
    static const int8_t weights[] = {7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2};
    unsigned year = weir_guard_value(t + 6, 4);
    return t[0] >= '1' && t[0] <= '9' && year >= 1850 && year <= 2099 &&
           weir_guard_is_date(year, weir_guard_value(t + 10, 2), weir_guard_value(t + 12, 2)) &&
           t[n - 1] == "10X98765432"[weir_guard_weighted(t, weights, 17) % 11];
}

/* Immigration Department, Hong Kong: letters as 10 to 35 (blank 36), weights 9 to 2, modulo 11. */
static bool hk_id(const char *t, size_t n)
{
    unsigned letters = weir_is(t[1], WEIR_C_DIGIT) ? 1 : 2;
    unsigned sum = letters == 1 ? 36 * 9 + (unsigned)(t[0] - 'A' + 10) * 8
                                : (unsigned)(t[0] - 'A' + 10) * 9 + (unsigned)(t[1] - 'A' + 10) * 8;
    for (unsigned i = 0; i < 6; i++) {
        sum += digit(t, letters + i) * (7 - i);
    }
    unsigned r = (11 - sum % 11) % 11;
    return t[n - 1] == (r == 10 ? 'A' : (char)('0' + r));
}

/* ICA Singapore, NRIC and FIN: weights 2 7 6 5 4 3 2, an offset and a table by the first letter. */
static bool sg_nric(const char *t, size_t n)
{
    static const int8_t weights[] = {2, 7, 6, 5, 4, 3, 2};
    unsigned sum = weir_guard_weighted(t + 1, weights, 7);
    switch (t[0]) {
    case 'S':
        return t[n - 1] == "JZIHGFEDCBA"[sum % 11];
    case 'T':
        return t[n - 1] == "JZIHGFEDCBA"[(sum + 4) % 11];
    case 'F':
        return t[n - 1] == "XWUTRQPNMLK"[sum % 11];
    case 'G':
        return t[n - 1] == "XWUTRQPNMLK"[(sum + 4) % 11];
    case 'M':
        return t[n - 1] == "KLJNPQRTUWX"[10 - (sum + 3) % 11];
    default:
        return false;
    }
}

/* JPN, Malaysia, National Registration Regulations: birthday and place code. */
static bool my_nric(const char *d, size_t n)
{
    unsigned place = weir_guard_value(d + 6, 2);
    return n == 12 && year_month_day(d) &&
           ((place >= 1 && place <= 16) || (place >= 21 && place <= 68) ||
            (place >= 71 && place <= 72) || (place >= 74 && place <= 79) || place == 82 ||
            (place >= 83 && place <= 93) || place == 98 || place == 99);
}

/* DOPA Thailand: weights 13 to 2, modulo 11. */
static bool th_tnin(const char *d, size_t n)
{
    static const int8_t weights[] = {13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2};
    return d[0] != '9' && (11 - weir_guard_weighted(d, weights, n - 1) % 11) % 10 == digit(d, 12) &&
           !weir_guard_same_digits(d, n);
}

/* Dukcapil, Indonesia, Permendagri 72/2022: region, birthday (women's day plus 40), serial. */
static bool id_nik(const char *d, size_t n)
{
    unsigned day = weir_guard_value(d + 6, 2);
    unsigned province = weir_guard_value(d, 2);
    return n == 16 && province >= 11 && province <= 96 && weir_guard_value(d + 12, 4) != 0 &&
           weir_guard_is_date(0, weir_guard_value(d + 8, 2), day > 40 ? day - 40 : day);
}

/* MOIS Korea, Resident Registration Act rule 2: weights 2 to 9 and 2 to 5, modulo 11; foreigners
 * (5 to 8) plus 2. The check is not kept since October 2020, so only the birthday decides then. */
static bool kr_rrn(const char *d, size_t n)
{
    static const int8_t weights[] = {2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5};
    unsigned r = (11 - weir_guard_weighted(d, weights, n - 1) % 11) % 10;
    bool foreign = d[6] >= '5' && d[6] <= '8';
    return year_month_day(d) && (foreign ? (r + 2) % 10 : r) == digit(d, 12);
}

/* NTS Korea, business registration: weights 1 3 7 1 3 7 1 3 5 and a carry. */
static bool kr_brn(const char *d, size_t n)
{
    static const int8_t weights[] = {1, 3, 7, 1, 3, 7, 1, 3, 5};
    unsigned sum = weir_guard_weighted(d, weights, n - 1) + digit(d, 8) * 5 / 10;
    return (10 - sum % 10) % 10 == digit(d, 9) && !weir_guard_same_digits(d, n);
}

/* Japan, MIC Ordinance 85/2014: My Number, weights 2 to 7 and 2 to 6, modulo 11. */
static bool jp_my_number(const char *d, size_t n)
{
    static const int8_t weights[] = {6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2};
    unsigned r = weir_guard_weighted(d, weights, n - 1) % 11;
    return (r <= 1 ? 0 : 11 - r) == digit(d, 11) && !weir_guard_same_digits(d, n);
}

/* MOI Taiwan: the letter as two digits, weights 1 9 8 to 1 1, modulo 10. */
static bool tw_id(const char *t, size_t n)
{
    static const char order[] = "ABCDEFGHJKLMNPQRSTUVXYWZIO";
    unsigned area = (unsigned)(strchr(order, t[0]) - order) + 10;
    unsigned sum = area / 10 + area % 10 * 9;
    for (size_t i = 1; i + 1 < n; i++) {
        sum += digit(t, i) * (9 - (unsigned)i);
    }
    return (t[1] == '1' || t[1] == '2' || t[1] == '8' || t[1] == '9') &&
           (10 - sum % 10) % 10 == digit(t, 9);
}

/* NVI, Turkey, Kimlik Paylaşımı Sistemi: T.C. kimlik numarası, two check digits. */
static bool tr_tckn(const char *d, size_t n)
{
    unsigned odd = digit(d, 0) + digit(d, 2) + digit(d, 4) + digit(d, 6) + digit(d, 8);
    unsigned even = digit(d, 1) + digit(d, 3) + digit(d, 5) + digit(d, 7);
    unsigned tenth = (odd * 7 + 10 * 9 - even) % 10;
    return n == 11 && d[0] != '0' && tenth == digit(d, 9) &&
           (odd + even + tenth) % 10 == digit(d, 10);
}

/* Population and Immigration Authority, Israel: Luhn over nine digits. */
static bool il_id(const char *d, size_t n)
{
    return weir_guard_luhn(d, n) && !weir_guard_same_digits(d, n);
}

/* Home Affairs, South Africa, Identification Act 68/1997: birthday, citizenship 0 to 2, Luhn. */
static bool za_id(const char *d, size_t n)
{
    return year_month_day(d) && d[10] <= '2' && weir_guard_luhn(d, n);
}

/* Absher, Saudi Arabia: begins with 1 (citizen) or 2 (resident), Luhn. */
static bool sa_id(const char *d, size_t n)
{
    return (d[0] == '1' || d[0] == '2') && weir_guard_luhn(d, n);
}

/* ICP, United Arab Emirates: 784, year of birth, Luhn. */
static bool ae_id(const char *d, size_t n)
{
    unsigned year = weir_guard_value(d + 3, 4);
    return memcmp(d, "784", 3) == 0 && year >= 1900 && year <= 2099 && weir_guard_luhn(d, n);
}

/* Kazakhstan, Law 223-III of 2007: IIN, birthday, two rounds modulo 11. */
static bool kz_iin(const char *d, size_t n)
{
    static const int8_t first[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    static const int8_t second[] = {3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2};
    unsigned r = weir_guard_weighted(d, first, n - 1) % 11;
    if (r == 10) {
        r = weir_guard_weighted(d, second, n - 1) % 11;
    }
    return year_month_day(d) && d[6] <= '6' && r != 10 && r == digit(d, 11);
}

/* NADRA, Pakistan: CNIC, region 1 to 8; no check digit. */
static bool pk_cnic(const char *d, size_t n)
{
    return n == 13 && d[0] >= '1' && d[0] <= '8' && !weir_guard_same_digits(d, n);
}

static const weir_guard_id_t ids[] = {
    {"in_aadhaar", "IN_AADHAAR", "999999999999", "4 4 4|4-4-4", "aadhaar|aadhar|uidai|uid|आधार",
     0.6f, 0.95f, in_aadhaar},
    {"in_aadhaar_plain", "IN_AADHAAR", "999999999999", "12", "aadhaar|aadhar|uidai|uid|आधार", 0.35f,
     0.93f, in_aadhaar},
    {"in_pan", "IN_PAN", "AAAAA9999A", "10", "pan|permanent account|income tax|pan card|pancard",
     0.6f, 0.93f, in_pan_person},
    {"in_pan_other", "IN_PAN", "AAAAA9999A", "10",
     "pan|permanent account|income tax|pan card|pancard", 0.3f, 0.9f, in_pan_other},
    {"in_gstin", "IN_GSTIN", "99AAAAA9999AXXX", "15", "gst|gstin", 0.9f, 0.97f, in_gstin},
    {"in_voter", "IN_VOTER", "AAA9999999", "10", "voter|epic|election|elector", 0.35f, 0.9f,
     in_voter},
    {"in_passport", "IN_PASSPORT", "A9999999", "8", "passport", 0.15f, 0.65f, NULL},
    {"au_tfn", "AU_TFN", "999999999", "3 3 3|3-3-3|9", "tfn|tax file|tax file number|australian",
     0.3f, 0.92f, au_tfn},
    {"au_abn", "AU_ABN", "99999999999", "2 3 3 3|11", "abn|australian business|business number",
     0.45f, 0.94f, au_abn},
    {"au_acn", "AU_ACN", "999999999", "3 3 3|9", "acn|australian company|company number", 0.2f,
     0.9f, au_acn},
    {"au_medicare", "AU_MEDICARE", "9999999999", "4 5 1|10|4-5-1", "medicare|australian", 0.35f,
     0.93f, au_medicare},
    {"nz_ird", "NZ_IRD", "999999999", "3-3-3|9|3 3 3", "ird|inland revenue|new zealand", 0.25f,
     0.9f, nz_ird},
    {"nz_ird_short", "NZ_IRD", "99999999", "2-3-3|8|2 3 3", "ird|inland revenue|new zealand", 0.2f,
     0.9f, nz_ird},
    {"cn_id", "CN_RESIDENT_ID", "99999999999999999X", "18|6 8 4",
     "身份证|身份证号|身份证号码|resident identity|resident id|chinese id|china", 0.8f, 0.96f,
     cn_id},
    {"hk_id", "HK_ID", "A999999X", "7(1", "hkid|hong kong|identity card", 0.6f, 0.93f, hk_id},
    {"hk_id_plain", "HK_ID", "A999999X", "8", "hkid|hong kong|identity card", 0.35f, 0.9f, hk_id},
    {"hk_id_two", "HK_ID", "AA999999X", "8(1", "hkid|hong kong|identity card", 0.6f, 0.93f, hk_id},
    {"hk_id_two_plain", "HK_ID", "AA999999X", "9", "hkid|hong kong|identity card", 0.35f, 0.9f,
     hk_id},
    {"sg_nric", "SG_NRIC_FIN", "A9999999A", "9", "nric|fin|singapore|identity", 0.6f, 0.95f,
     sg_nric},
    {"my_nric", "MY_NRIC", "999999999999", "6-2-4", "mykad|nric|kad pengenalan|ic|malaysia", 0.6f,
     0.92f, my_nric},
    {"my_nric_plain", "MY_NRIC", "999999999999", "12", "mykad|nric|kad pengenalan|ic|malaysia",
     0.2f, 0.7f, my_nric},
    {"th_tnin", "TH_TNIN", "9999999999999", "1-4-5-2-1|1 4 5 2 1", "thai|thailand|tnin|บัตรประชาชน",
     0.8f, 0.95f, th_tnin},
    {"th_tnin_plain", "TH_TNIN", "9999999999999", "13", "thai|thailand|tnin|national id|บัตรประชาชน",
     0.35f, 0.93f, th_tnin},
    {"id_nik", "ID_NIK", "9999999999999999", "16", "nik|ktp|kependudukan|indonesia|indonesian",
     0.3f, 0.85f, id_nik},
    {"kr_rrn", "KR_RRN", "9999999999999", "6-7",
     "rrn|resident registration|주민등록번호|korea|korean", 0.75f, 0.95f, kr_rrn},
    {"kr_rrn_plain", "KR_RRN", "9999999999999", "13",
     "rrn|resident registration|주민등록번호|korea|korean", 0.4f, 0.93f, kr_rrn},
    {"kr_brn", "KR_BRN", "9999999999", "3-2-5", "brn|business registration|사업자등록번호", 0.55f,
     0.93f, kr_brn},
    {"jp_my_number", "JP_MY_NUMBER", "999999999999", "4 4 4|4-4-4|12",
     "my number|mynumber|マイナンバー|個人番号|japan|japanese", 0.35f, 0.92f, jp_my_number},
    {"tw_id", "TW_NATIONAL_ID", "A999999999", "10",
     "taiwan|taiwanese|身分證|身分證字號|national id", 0.6f, 0.94f, tw_id},
    {"tr_tckn", "TR_NATIONAL_ID", "99999999999", "11",
     "tckn|tc kimlik|t c kimlik|kimlik|turkish|turkey", 0.45f, 0.95f, tr_tckn},
    {"il_id", "IL_ID", "999999999", "9|8-1", "teudat|zehut|israel|israeli|תעודת|זהות", 0.2f, 0.9f,
     il_id},
    {"za_id", "ZA_ID", "9999999999999", "13|6 4 3|6 4 2 1",
     "south africa|south african|rsa id|sa id|id number|identity number", 0.45f, 0.93f, za_id},
    {"sa_id", "SA_NATIONAL_ID", "9999999999", "10", "saudi|iqama|absher|الهوية", 0.2f, 0.9f, sa_id},
    {"ae_id", "AE_EMIRATES_ID", "999999999999999", "3-4-7-1|15|3 4 7 1", "emirates|uae|eid", 0.85f,
     0.96f, ae_id},
    {"kz_iin", "KZ_IIN", "999999999999", "12", "иин|жсн|iin|kazakhstan", 0.4f, 0.93f, kz_iin},
    {"pk_cnic", "PK_CNIC", "9999999999999", "5-7-1", "cnic|nicop|nadra|pakistan", 0.6f, 0.9f,
     pk_cnic},
    {"pk_cnic_plain", "PK_CNIC", "9999999999999", "13", "cnic|nicop|nadra", 0.2f, 0.85f, pk_cnic},
    {"ng_nin", "NG_NIN", "99999999999", "11", "nin|nimc|nigeria|nigerian", 0.1f, 0.6f, NULL},
};

const weir_guard_id_table_t weir_guard_ids_asia = {ids, sizeof(ids) / sizeof(ids[0])};

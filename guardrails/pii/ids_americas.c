/*
 * Identity numbers of the Americas. Above each check stands its issuer's document. Shapes, layouts
 * and scores are described at weir_guard_id_t.
 */
#include "guardrails/pii/checks.h"
#include "guardrails/pii/ids.h"

/* US SSA, "Social Security Number Randomization" (2011) and POMS RM 10201.035: no area 000, 666 or
 * 9xx, no group 00, no serial 0000. */
static bool us_ssn(const char *d, size_t n)
{
    unsigned area = weir_guard_value(d, 3);
    return area != 0 && area != 666 && area < 900 && weir_guard_value(d + 3, 2) != 0 &&
           weir_guard_value(d + 5, 4) != 0 && memcmp(d, "078051120", 9) != 0 &&
           memcmp(d, "123456789", 9) != 0 && !weir_guard_same_digits(d, n);
}

/* The numbers that the SSA names as misused in advertisements: what people type in a first trial.
 */
static bool us_ssn_advertised(const char *d, size_t n)
{
    return n == 9 && (memcmp(d, "078051120", 9) == 0 || memcmp(d, "123456789", 9) == 0);
}

/* US IRS, Publication 1915 and IRM 3.21.263: 9xx with the fourth and fifth digits 50-65, 70-88,
 * 90-92, 94-99. */
static bool us_itin(const char *d, size_t n)
{
    unsigned g = weir_guard_value(d + 3, 2);
    return n == 9 && d[0] == '9' &&
           ((g >= 50 && g <= 65) || (g >= 70 && g <= 88) || (g >= 90 && g <= 92) || g >= 94);
}

/* US IRS, "How EINs are assigned and valid EIN prefixes". */
static bool us_ein(const char *d, size_t n)
{
    static const uint8_t none[] = {0, 7, 8, 9, 17, 18, 19, 28, 29, 49, 69, 70, 78, 79, 89, 96, 97};
    return n == 9 && memchr(none, (int)weir_guard_value(d, 2), sizeof(none)) == NULL &&
           !weir_guard_same_digits(d + 2, 7);
}

/* US CMS, "Requirements for NPI and NPI check digit": Luhn behind the prefix 80840. */
static bool us_npi(const char *d, size_t n)
{
    char all[15] = {'8', '0', '8', '4', '0'};
    memcpy(all + 5, d, n);
    return (d[0] == '1' || d[0] == '2') && weir_guard_luhn(all, 5 + n) &&
           !weir_guard_same_digits(d, n);
}

/* US CMS, "Understanding the Medicare Beneficiary Identifier format": C A AN N A AN N A A N N,
 * without the letters S, L, O, I, B, Z. */
static bool us_mbi(const char *t, size_t n)
{
    static const char kind[] = "CAXNAXNAANN";
    for (size_t i = 0; i < n; i++) {
        bool digit = weir_is(t[i], WEIR_C_DIGIT);
        bool letter = !digit && strchr("SLOIBZ", t[i]) == NULL;
        if (kind[i] == 'C'   ? !(digit && t[i] != '0')
            : kind[i] == 'N' ? !digit
            : kind[i] == 'A' ? !letter
                             : !digit && !letter) {
            return false;
        }
    }
    return true;
}

/* US DEA, 21 CFR 1301 and the Diversion Control Division's "DEA number verification". */
static bool us_dea(const char *t, size_t n)
{
    const char *d = t + 2;
    unsigned sum = (unsigned)(d[0] - '0' + d[2] - '0' + d[4] - '0') +
                   2 * (unsigned)(d[1] - '0' + d[3] - '0' + d[5] - '0');
    return n == 9 && strchr("ABCDEFGHJKLMPRSTUX", t[0]) != NULL && weir_is(t[1], WEIR_C_ALNUM) &&
           sum % 10 == (unsigned)(d[6] - '0') && !weir_guard_same_digits(d, 7);
}

/* US ABA, "Routing number policy": prefix 00-12, 21-32, 61-72, 80; weights 3 7 1. */
static bool aba(const char *d, size_t n)
{
    static const int8_t weights[] = {3, 7, 1, 3, 7, 1, 3, 7, 1};
    unsigned p = weir_guard_value(d, 2);
    return weir_guard_weighted(d, weights, n) % 10 == 0 && !weir_guard_same_digits(d, n) &&
           (p <= 12 || (p >= 21 && p <= 32) || (p >= 61 && p <= 72) || p == 80);
}

/* Service Canada, "Social Insurance Number": Luhn; no number begins with 0 or 8. */
static bool ca_sin(const char *d, size_t n)
{
    return d[0] != '0' && d[0] != '8' && weir_guard_luhn(d, n) && !weir_guard_same_digits(d, n);
}

/* One of the two modulo-11 digits of CPF and CNPJ. */
static bool brazilian(const char *d, size_t len, unsigned top)
{
    unsigned sum = 0;
    unsigned weight = 2;
    for (size_t i = len; i-- > 0;) {
        sum += (unsigned)(d[i] - '0') * weight;
        weight = weight == top ? 2 : weight + 1;
    }
    unsigned r = sum % 11;
    return (r < 2 ? 0 : 11 - r) == (unsigned)(d[len] - '0');
}

/* Receita Federal, Instrução Normativa RFB 1548/2015 (CPF), annex on check digits. */
static bool br_cpf(const char *d, size_t n)
{
    return brazilian(d, 9, 99) && brazilian(d, 10, 99) && !weir_guard_same_digits(d, n);
}

/* Receita Federal, Instrução Normativa RFB 2119/2022 and 2229/2024 (CNPJ; letters since July 2026,
 * which count as their ASCII code less 48). */
static bool br_cnpj(const char *d, size_t n)
{
    return brazilian(d, 12, 9) && brazilian(d, 13, 9) && !weir_guard_same_digits(d, n);
}

/* With a letter at least: the rule above has the others. */
static bool br_cnpj_letters(const char *t, size_t n)
{
    bool letter = false;
    for (size_t i = 0; i < n; i++) {
        letter |= weir_is(t[i], WEIR_C_UPPER);
    }
    return letter && br_cnpj(t, n);
}

/* SAT/RENAPO, "Instructivo normativo para la asignación de la CURP", DOF 18/10/2021. */
static bool mx_curp(const char *t, size_t n)
{
    static const char alphabet[] = "0123456789ABCDEFGHIJKLMN&OPQRSTUVWXYZ";
    unsigned sum = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        sum += (unsigned)(strchr(alphabet, t[i]) - alphabet) * (18 - (unsigned)i);
    }
    return weir_guard_is_date(0, weir_guard_value(t + 6, 2), weir_guard_value(t + 8, 2)) &&
           strchr("HMX", t[10]) != NULL && (10 - sum % 10) % 10 == (unsigned)(t[17] - '0');
}

/* SAT, "Estructura del RFC" (persona física): modulo 11 over the same alphabet. */
static bool mx_rfc(const char *t, size_t n)
{
    static const char alphabet[] = "0123456789ABCDEFGHIJKLMN&OPQRSTUVWXYZ";
    unsigned sum = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        sum += (unsigned)(strchr(alphabet, t[i]) - alphabet) * (13 - (unsigned)i);
    }
    unsigned r = 11 - sum % 11;
    char want = r == 11 ? '0' : r == 10 ? 'A' : (char)('0' + r);
    return weir_guard_is_date(0, weir_guard_value(t + 6, 2), weir_guard_value(t + 8, 2)) &&
           t[n - 1] == want;
}

/* The form of both kinds of RFC (companies have three letters): of some the check digit is wrong in
 * SAT's own register, so beside words it is not asked for. */
static bool mx_rfc_form(const char *t, size_t n)
{
    const char *date = t + n - 9;
    return weir_guard_is_date(0, weir_guard_value(date + 2, 2), weir_guard_value(date + 4, 2));
}

/* ARCA (AFIP), Resolución General 3995/2017 and ANSES' CUIL: modulo 11. */
static bool ar_cuit(const char *d, size_t n)
{
    static const int8_t weights[] = {5, 4, 3, 2, 7, 6, 5, 4, 3, 2};
    unsigned type = weir_guard_value(d, 2);
    unsigned r = 11 - weir_guard_weighted(d, weights, n - 1) % 11;
    return (type == 20 || (type >= 23 && type <= 27) || (type >= 30 && type <= 34)) &&
           (r == 11   ? 0
            : r == 10 ? 9
                      : r) == (unsigned)(d[10] - '0');
}

/* Servicio de Impuestos Internos / Registro Civil, Chile: RUT with modulo 11, ten is K. */
static bool cl_rut(const char *t, size_t n)
{
    unsigned sum = 0;
    unsigned weight = 2;
    for (size_t i = n - 1; i-- > 0;) {
        if (!weir_is(t[i], WEIR_C_DIGIT)) {
            return false;
        }
        sum += (unsigned)(t[i] - '0') * weight;
        weight = weight == 7 ? 2 : weight + 1;
    }
    unsigned r = 11 - sum % 11;
    return t[n - 1] == (r == 11 ? '0' : r == 10 ? 'K' : (char)('0' + r));
}

/* DIAN, Colombia, Orden Administrativa 4 of 1989: NIT with prime weights modulo 11. */
static bool co_nit(const char *d, size_t n)
{
    static const int8_t weights[] = {41, 37, 29, 23, 19, 17, 13, 7, 3};
    unsigned r = weir_guard_weighted(d, weights, n - 1) % 11;
    return (r < 2 ? r : 11 - r) == (unsigned)(d[9] - '0') && !weir_guard_same_digits(d, n);
}

/* SUNAT, Peru, Resolución 210-2004: RUC with modulo 11. */
static bool pe_ruc(const char *d, size_t n)
{
    static const int8_t weights[] = {5, 4, 3, 2, 7, 6, 5, 4, 3, 2};
    unsigned type = weir_guard_value(d, 2);
    unsigned r = 11 - weir_guard_weighted(d, weights, n - 1) % 11;
    return (type == 10 || type == 15 || type == 16 || type == 17 || type == 20) &&
           r % 10 == (unsigned)(d[10] - '0');
}

/* Registro Civil del Ecuador: cédula with province 01-24 or 30 and the Luhn digit. */
static bool ec_ci(const char *d, size_t n)
{
    unsigned province = weir_guard_value(d, 2);
    return ((province >= 1 && province <= 24) || province == 30) && d[2] <= '6' &&
           weir_guard_luhn(d, n);
}

/* Dirección Nacional de Identificación Civil, Uruguay: weights 2 9 8 7 6 3 4. */
static bool uy_ci(const char *d, size_t n)
{
    static const int8_t weights[] = {2, 9, 8, 7, 6, 3, 4};
    unsigned r = weir_guard_weighted(d, weights, n - 1) % 10;
    return (10 - r) % 10 == (unsigned)(d[7] - '0') && !weir_guard_same_digits(d, n);
}

static const weir_guard_id_t ids[] = {
    {"us_ssn", "US_SSN", "999999999", "3-2-4", "", 0.7f, 0.9f, us_ssn},
    {"us_ssn_plain", "US_SSN", "999999999", "9|3 2 4|3.2.4",
     "ssn|ssns|social security|social security number|soc sec|my social|his social|her social",
     0.2f, 0.85f, us_ssn},
    {"us_ssn_advertised", "US_SSN", "999999999", "3-2-4|9|3 2 4|3.2.4",
     "ssn|ssns|social security|social security number|soc sec|my social|his social|her social",
     0.1f, 0.8f, us_ssn_advertised},
    {"us_itin", "US_ITIN", "999999999", "3-2-4|3 2 4|9",
     "itin|individual taxpayer|taxpayer identification|taxpayer id", 0.3f, 0.85f, us_itin},
    {"us_ein", "US_EIN", "999999999", "2-7",
     "ein|fein|employer identification|employer identification number|federal tax id", 0.2f, 0.85f,
     us_ein},
    {"us_npi", "US_NPI", "9999999999", "10|4-3-3",
     "npi|national provider|provider identifier|provider id|provider number", 0.2f, 0.9f, us_npi},
    {"us_mbi", "US_MBI", "9AX9AX9AA99", "11|4-3-4|4 3 4", "mbi|medicare|beneficiary", 0.6f, 0.9f,
     us_mbi},
    {"us_dea", "MEDICAL_LICENSE", "AX9999999", "9",
     "dea|medical license|medical licence|license|licence|prescriber|registration|controlled", 0.4f,
     0.9f, us_dea},
    {"us_aba", "ABA_ROUTING_NUMBER", "999999999", "9|4-4-1",
     "aba|routing|routing number|rtn|bank routing|transit|transit number|wire|ach|bankrouting",
     0.2f, 0.9f, aba},
    {"us_bank_account", "US_BANK_NUMBER", "9999999999", "10",
     "account number|bank account|account no|acct|checking|savings|checking account|"
     "savings account|accountnumber",
     0.1f, 0.55f, NULL},
    {"us_bank_account_12", "US_BANK_NUMBER", "999999999999", "12",
     "account number|bank account|account no|acct|checking|savings|checking account|"
     "savings account|accountnumber",
     0.1f, 0.55f, NULL},
    {"us_passport", "US_PASSPORT", "999999999", "9", "passport|passports|passport number", 0.1f,
     0.6f, NULL},
    {"us_passport_new", "US_PASSPORT", "A99999999", "9", "passport|passports|passport number", 0.2f,
     0.7f, NULL},
    {"ca_sin", "CA_SIN", "999999999", "3-3-3|3 3 3|9",
     "sin|nas|social insurance|social insurance number|assurance sociale|canada|canadian", 0.4f,
     0.9f, ca_sin},
    {"ca_passport", "CA_PASSPORT", "AA999999", "8|2 6", "passport|passeport|canada|canadian", 0.2f,
     0.65f, NULL},
    {"br_cpf", "BR_CPF", "99999999999", "3.3.3-2", "", 0.9f, 0.95f, br_cpf},
    {"br_cpf_plain", "BR_CPF", "99999999999", "11|3 3 3 2",
     "cpf|cadastro|pessoas físicas|contribuinte|brazil|brasil|brazilian", 0.4f, 0.9f, br_cpf},
    {"br_cnpj", "BR_CNPJ", "99999999999999", "2.3.3/4-2", "", 0.9f, 0.95f, br_cnpj},
    {"br_cnpj_plain", "BR_CNPJ", "99999999999999", "14",
     "cnpj|empresa|pessoa jurídica|brazil|brasil|brazilian", 0.4f, 0.9f, br_cnpj},
    {"br_cnpj_letters", "BR_CNPJ", "XXXXXXXXXXXX99", "2.3.3/4-2", "", 0.9f, 0.95f, br_cnpj_letters},
    {"br_cnpj_letters_plain", "BR_CNPJ", "XXXXXXXXXXXX99", "14",
     "cnpj|empresa|pessoa jurídica|brazil|brasil|brazilian", 0.2f, 0.9f, br_cnpj_letters},
    {"mx_curp", "MX_CURP", "AAAA999999AAAAAAX9", "18", "curp|clave única|mexico|méxico", 0.9f,
     0.97f, mx_curp},
    {"mx_rfc", "MX_RFC", "AAAA999999XXX", "13|4 6 3|4-6-3",
     "rfc|contribuyentes|sat|mexico|méxico|mexican", 0.6f, 0.93f, mx_rfc},
    {"mx_rfc_form", "MX_RFC", "AAAA999999XXX", "13|4 6 3|4-6-3",
     "rfc|contribuyentes|sat|mexico|méxico|mexican", 0.3f, 0.85f, mx_rfc_form},
    {"mx_rfc_company", "MX_RFC", "AAA999999XXX", "12|3 6 3|3-6-3",
     "rfc|contribuyentes|sat|mexico|méxico|mexican", 0.3f, 0.85f, mx_rfc_form},
    {"ar_cuit", "AR_CUIT", "99999999999", "2-8-1", "cuit|cuil|cdi", 0.7f, 0.95f, ar_cuit},
    {"ar_cuit_plain", "AR_CUIT", "99999999999", "11", "cuit|cuil|argentina|afip|arca", 0.35f, 0.9f,
     ar_cuit},
    {"cl_rut", "CL_RUT", "99999999X", "2.3.3-1", "rut|run|chile", 0.6f, 0.93f, cl_rut},
    {"cl_rut_hyphen", "CL_RUT", "99999999X", "8-1", "rut|run|chile", 0.45f, 0.92f, cl_rut},
    {"cl_rut_short", "CL_RUT", "9999999X", "1.3.3-1|7-1", "rut|run|chile", 0.45f, 0.9f, cl_rut},
    {"cl_rut_plain", "CL_RUT", "99999999X", "9", "rut|run", 0.2f, 0.85f, cl_rut},
    {"cl_rut_plain_short", "CL_RUT", "9999999X", "8", "rut|run", 0.2f, 0.85f, cl_rut},
    {"co_nit_plain", "CO_NIT", "9999999999", "10", "nit|dian", 0.2f, 0.88f, co_nit},
    {"co_nit", "CO_NIT", "9999999999", "3.3.3-1|9-1", "nit|colombia|dian|rut", 0.5f, 0.93f, co_nit},
    {"pe_ruc", "PE_RUC", "99999999999", "11", "ruc|sunat|peru|perú", 0.35f, 0.9f, pe_ruc},
    {"ec_ci", "EC_CI", "9999999999", "10|9-1", "cédula|cedula|ecuador|identidad|ci|registro civil",
     0.2f, 0.85f, ec_ci},
    {"uy_ci", "UY_CI", "99999999", "1.3.3-1|7-1|8", "cédula|cedula|uruguay|ci|identidad|documento",
     0.2f, 0.85f, uy_ci},
};

const weir_guard_id_table_t weir_guard_ids_americas = {ids, sizeof(ids) / sizeof(ids[0])};

/*
 * Driver licences and passports whose form is all there is: without a word that names the document
 * nearby they do not count. Above each group stands where its form is described.
 */
#include "guardrails/pii/checks.h"
#include "guardrails/pii/ids.h"

/* DVLA, "INF45/1 driver number": five letters of the surname padded with 9, decade digit, month
 * (women plus 50), day, year digit, initials padded with 9, a digit that breaks ties and two check
 * characters. */
static bool uk_driver(const char *t, size_t n)
{
    bool padded = false;
    for (size_t i = 0; i < 5; i++) {
        bool nine = t[i] == '9';
        if ((padded && !nine) || (!nine && !weir_is(t[i], WEIR_C_UPPER)) || (i == 0 && nine)) {
            return false;
        }
        padded |= nine;
    }
    for (size_t i = 5; i < 11; i++) {
        if (!weir_is(t[i], WEIR_C_DIGIT)) {
            return false;
        }
    }
    return n == 16 &&
           weir_guard_is_date(0, weir_guard_value(t + 6, 2) % 50, weir_guard_value(t + 8, 2)) &&
           weir_is(t[11], WEIR_C_UPPER) && (weir_is(t[12], WEIR_C_UPPER) || t[12] == '9');
}

#define DRIVER                                                                             \
    "driver s license|drivers license|driver license|driver s licence|drivers licence|"    \
    "driving licence|driving license|driver licence|dl|dln|license number|licence number|" \
    "license no|licence no|license is|driver s"
#define PASSPORT "passport|passports|passeport|reisepass|pasaporte|passaporto|paspoort|passaporte"

static const weir_guard_id_t ids[] = {
    /* US states: AAMVA, "DL/ID Card Design Standard" annex on number formats; the states' own
     * pages: 7, 8, 9 digits (many), letter and 7 (CA), 8, 12 (FL, MI, MN), 13 (WI), 14 (NJ). */
    {"us_driver_7", "US_DRIVER_LICENSE", "9999999", "7", DRIVER, 0.05f, 0.55f, NULL},
    {"us_driver_8", "US_DRIVER_LICENSE", "99999999", "8", DRIVER, 0.05f, 0.55f, NULL},
    {"us_driver_9", "US_DRIVER_LICENSE", "999999999", "9|3 3 3|3-3-3", DRIVER, 0.05f, 0.59f, NULL},
    {"us_driver_ca", "US_DRIVER_LICENSE", "A9999999", "8", DRIVER, 0.15f, 0.7f, NULL},
    {"us_driver_a8", "US_DRIVER_LICENSE", "A99999999", "9|3-3-3", DRIVER, 0.1f, 0.65f, NULL},
    {"us_driver_fl", "US_DRIVER_LICENSE", "A999999999999", "13|4-3-2-3-1|4 3 3 3|4-3-3-3", DRIVER,
     0.15f, 0.75f, NULL},
    {"us_driver_nj", "US_DRIVER_LICENSE", "A99999999999999", "15|5 5 5", DRIVER, 0.15f, 0.75f,
     NULL},
    {"us_driver_wi", "US_DRIVER_LICENSE", "A9999999999999", "14|4-4-4-2", DRIVER, 0.15f, 0.75f,
     NULL},
    {"us_driver_il", "US_DRIVER_LICENSE", "A99999999999", "12|4-4-4", DRIVER, 0.15f, 0.75f, NULL},
    {"us_driver_10", "US_DRIVER_LICENSE", "9999999999", "10|4-2-4|4 2 4", DRIVER, 0.05f, 0.55f,
     NULL},
    /* OH two letters and six digits, ID those and a letter, NH, IA. */
    {"us_driver_oh", "US_DRIVER_LICENSE", "AA999999", "8|2-6", DRIVER, 0.1f, 0.65f, NULL},
    {"us_driver_id", "US_DRIVER_LICENSE", "AA999999A", "9", DRIVER, 0.15f, 0.7f, NULL},
    {"us_driver_nh", "US_DRIVER_LICENSE", "99AAA99999", "10", DRIVER, 0.2f, 0.75f, NULL},
    {"us_driver_ia", "US_DRIVER_LICENSE", "999AA9999", "9", DRIVER, 0.2f, 0.75f, NULL},
    {"us_driver_in", "US_DRIVER_LICENSE", "A999999999", "10", DRIVER, 0.15f, 0.7f, NULL},
    {"us_driver_co", "US_DRIVER_LICENSE", "999999999", "2-3-4", DRIVER, 0.1f, 0.6f, NULL},
    {"uk_driver", "UK_DRIVING_LICENCE", "XXXXX999999XX9AA", "16|5 6 5", DRIVER "|dvla", 0.7f, 0.93f,
     uk_driver},
    /* Ministero delle infrastrutture: AA1234567A. */
    {"it_driver", "IT_DRIVER_LICENSE", "AA9999999A", "10", "patente|patente di guida", 0.25f, 0.8f,
     NULL},
    /* Kraftfahrt-Bundesamt, Fahrerlaubnis-Verordnung annex 8: letter or digit, ten places. */
    {"de_driver", "DE_DRIVER_LICENSE", "X999XXXXX9X", "11",
     "führerschein|fuehrerschein|führerscheinnummer", 0.2f, 0.8f, NULL},
    /* Passports: ICAO Doc 9303 part 4; the number's form by issuer. */
    {"uk_passport", "UK_PASSPORT", "999999999", "9", PASSPORT "|uk passport", 0.05f, 0.55f, NULL},
    {"de_passport", "DE_PASSPORT", "AXXXXXXX9", "9", PASSPORT, 0.1f, 0.6f, NULL},
    {"fr_passport", "FR_PASSPORT", "99AA99999", "9", PASSPORT, 0.2f, 0.7f, NULL},
    {"it_passport", "IT_PASSPORT", "AA9999999", "9", PASSPORT, 0.15f, 0.65f, NULL},
    {"es_passport", "ES_PASSPORT", "AAA999999", "9", PASSPORT, 0.15f, 0.65f, NULL},
    {"nl_passport", "NL_PASSPORT", "AAXXXXXX9", "9", PASSPORT, 0.1f, 0.6f, NULL},
    {"kr_passport", "KR_PASSPORT", "A999A9999", "9", PASSPORT, 0.2f, 0.7f, NULL},
    {"au_passport", "AU_PASSPORT", "A9999999", "8", PASSPORT "|australian", 0.15f, 0.64f, NULL},
    /* Ministero dell'Interno: electronic identity card CA00000AA. */
    {"it_id_card", "IT_IDENTITY_CARD", "AA99999AA", "9",
     "carta d identità|carta identità|cie|identity card", 0.25f, 0.85f, NULL},
};

const weir_guard_id_table_t weir_guard_ids_licences = {ids, sizeof(ids) / sizeof(ids[0])};

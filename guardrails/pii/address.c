/*
 * Street addresses, by form: a house number, one to five words and a kind of street (USPS
 * Publication 28 appendix C1 and its common words), post office and military boxes (the same,
 * sections 28 and 225), and names of streets with the number behind them as most of Europe writes
 * (UPU S42 templates). A heuristic: there is no register to check against, and other numbers can
 * stand in front of such words.
 */
#include "guardrails/pii/checks.h"
#include "guardrails/pii/words.h"

#define MAX_WORD  24
#define MAX_WORDS 5

static const char kinds[] =
    "|st|street|ave|avenue|av|rd|road|dr|drive|blvd|boulevard|ln|lane|ct|court|pl|place|sq|square|"
    "way|ter|terrace|pkwy|parkway|cir|circle|hwy|highway|trail|trl|loop|aly|alley|plaza|crescent|"
    "cres|close|gardens|grove|mews|row|walk|crossing|xing|run|path|point|ridge|hill|hills|park|"
    "view|island|islands|creek|fork|forks|forge|forges|ferry|ford|mill|mills|springs|spring|square|"
    "station|stravenue|throughway|track|trafficway|tunnel|turnpike|underpass|union|unions|valley|"
    "viaduct|village|ville|vista|wells|branch|bridge|brook|burg|bypass|camp|canyon|cape|causeway|"
    "center|cliff|club|common|corner|corners|course|cove|dale|dam|divide|estate|estates|"
    "expressway|extension|fall|falls|field|fields|flat|flats|forest|fort|freeway|garden|gateway|"
    "glen|green|harbor|haven|heights|hollow|inlet|junction|key|keys|knoll|knolls|lake|lakes|"
    "landing|lodge|mall|manor|meadow|meadows|mission|motorway|mount|mountain|neck|orchard|oval|"
    "overpass|pass|passage|pike|pine|pines|plain|plains|port|prairie|radial|ramp|ranch|rapid|"
    "rapids|rest|river|route|shoal|shoals|shore|shores|skyway|spur|stream|summit|trace|";
static const char street_ends[] =
    "|strasse|straße|str|gasse|platz|allee|weg|gata|gatan|gate|vej|veien|vei|straat|laan|plein|"
    "utca|tie|katu|väg|vägen|stræde|stien|backe|";
static const char street_starts[] =
    "|rue|avenue|boulevard|calle|carrer|avenida|av|rua|via|viale|piazza|plaza|ul|ulica|rúa|praça|"
    "travessa|largo|corso|paseo|camino|trg|ulice|strada|chemin|allée|place|quai|";
static const char units[] = "|apt|suite|ste|unit|room|floor|fl|flat|apartment|bldg|building|";

/* Behind a street: ", Apt. 971", " Suite 282", "#12". Returns the end with it, or at. */
static size_t unit_end(const weir_guard_scan_t *scan, size_t at)
{
    size_t i = at;
    while (i < scan->len && i - at < 4 && memchr(" ,.\n", scan->text[i], 4) != NULL) {
        i++;
    }
    size_t word = weir_guard_word_end(scan, i, MAX_WORD);
    if (!weir_guard_word_in(scan->text + i, word - i, units)) {
        return at;
    }
    i = word;
    while (i < scan->len && i - word < 3 && memchr(" .#", scan->text[i], 3) != NULL) {
        i++;
    }
    size_t number = i;
    while (i < scan->len && i - number < 8 && weir_is(scan->text[i], WEIR_C_ALNUM)) {
        i++;
    }
    return i > number && weir_is(scan->text[number], WEIR_C_ALNUM) ? i : at;
}

/* The number first: "72 Acheron Road", "9 Avenue Foch". */
static void number_first(weir_guard_scan_t *scan, size_t start, size_t end)
{
    size_t i = end;
    size_t stop = 0;
    bool proper = false;
    i += i < scan->len && scan->text[i] == ',';
    for (int w = 0; w <= MAX_WORDS && i + 1 < scan->len && scan->text[i] == ' '; w++) {
        i++;
        size_t word = weir_guard_word_end(scan, i, MAX_WORD);
        if (word == i) {
            break;
        }
        bool capital = weir_guard_capital(scan, i);
        bool kind = weir_guard_word_in(scan->text + i, word - i, kinds);
        if (w == 0 && capital && weir_guard_word_in(scan->text + i, word - i, street_starts) &&
            word + 1 < scan->len && weir_guard_capital(scan, word + 1)) {
            stop = weir_guard_word_end(scan, word + 1, MAX_WORD);
        } else if (w > 0 && kind && capital && proper) {
            stop = word;
        }
        if (!capital && !weir_guard_word_in(scan->text + i, word - i, "|de|la|le|du|of|the|des|")) {
            break;
        }
        proper |= capital;
        i = word;
        i += i < scan->len && scan->text[i] == '.';
    }
    if (stop > 0) {
        weir_guard_emit(scan, WEIR_RULE_ADDRESS, start, unit_end(scan, stop), 0.6f);
    }
}

/* Does the word end like a street of one word ("Hauptstrasse")? */
static bool ends_like_street(const char *text, size_t len)
{
    for (const char *s = street_ends + 1; *s != '\0';) {
        size_t n = (size_t)(strchr(s, '|') - s);
        if (len >= n + 3 && memcmp(text + len - n, s, n) == 0 && n >= 3) {
            return true;
        }
        s += n + 1;
    }
    return weir_guard_word_in(text, len, street_ends);
}

/* The number last: "Hauptstrasse 12", "Rua Igreja 25", "ul. Długa 7". */
static void number_last(weir_guard_scan_t *scan, size_t start, size_t end)
{
    size_t at = start;
    size_t stop = end;
    size_t limit = start > 80 ? start - 80 : 0;
    stop += stop < scan->len && weir_is(scan->text[stop], WEIR_C_LOWER);
    for (int w = 0; w < 4 && at > limit + 2 && scan->text[at - 1] == ' '; w++) {
        size_t behind = at - 1;
        behind -= behind > 0 && memchr(",.", scan->text[behind - 1], 2) != NULL;
        size_t word = behind;
        while (word > limit &&
               (weir_guard_letter(scan->text[word - 1]) || scan->text[word - 1] == '\'')) {
            word--;
        }
        if (word == behind) {
            return;
        }
        const char *text = scan->text + word;
        bool capital = weir_guard_capital(scan, word);
        bool starts = w > 0 && weir_guard_word_in(text, behind - word, street_starts);
        if (starts || (w == 0 && capital && ends_like_street(text, behind - word))) {
            weir_guard_emit(scan, WEIR_RULE_ADDRESS, word, unit_end(scan, stop), 0.6f);
            return;
        }
        if (!capital && !weir_guard_word_in(text, behind - word, "|de|da|do|la|le|du|des|del|")) {
            return;
        }
        at = word;
    }
}

/* "P.O. Box 123", "PSC 3294, Box 9168", "Unit 1009 Box 0219": at the number of the box. */
static void box(weir_guard_scan_t *scan, size_t start, size_t end)
{
    if (start < 7 || (memcmp(scan->text + start - 4, "Box ", 4) != 0 &&
                      memcmp(scan->text + start - 4, "BOX ", 4) != 0)) {
        return;
    }
    size_t at = start - 5;
    size_t limit = at > 16 ? at - 16 : 0;
    while (at > limit && scan->text[at] != '\n') {
        at--;
        if ((weir_is(scan->text[at], WEIR_C_UPPER)) &&
            (at == 0 || !weir_is(scan->text[at - 1], WEIR_C_ALNUM)) &&
            (memcmp(scan->text + at, "PO ", 3) == 0 || memcmp(scan->text + at, "P.O", 3) == 0 ||
             memcmp(scan->text + at, "PSC ", 4) == 0 || memcmp(scan->text + at, "Unit ", 5) == 0 ||
             memcmp(scan->text + at, "Post ", 5) == 0)) {
            weir_guard_emit(scan, WEIR_RULE_ADDRESS, at, end, 0.6f);
            return;
        }
    }
}

void weir_guard_find_address(weir_guard_scan_t *scan, size_t start, size_t end)
{
    if (end - start > 6 || !weir_guard_free_left(scan, start)) {
        return;
    }
    number_first(scan, start, end);
    if (start > 0 && scan->text[start - 1] == ' ') {
        number_last(scan, start, end);
        box(scan, start, end);
    }
}

/* Words of the name and address heuristics: one hash table for all lists, a bitmap before it. */
#include "guardrails/pii/words.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define MAX_WORD 26

static const struct {
    unsigned kind;
    const char *words;
} lists[] = {
    {WEIR_WORD_TITLE, "mr|mrs|ms|miss|dr|prof|professor|sir|madam|lord|lady|herr|frau|mme|monsieur|"
                      "madame|señor|señora|sr|sra|rev|father|sister|capt|captain|sgt|col|gen|judge|"
                      "senator"},
    {WEIR_WORD_PARTICLE, "de|da|di|van|von|der|den|la|le|el|bin|al|dos|del|af"},
    {WEIR_WORD_NO_NAME,
     "i|the|a|an|it|this|that|there|here|what|who|how|why|when|where|if|and|but|or|so|no|yes|not|"
     "my|your|his|her|our|their|he|she|we|you|they|monday|tuesday|wednesday|thursday|friday|"
     "saturday|sunday|january|february|march|april|may|june|july|august|september|october|november|"
     "december|english|french|german|spanish|american|street|road|avenue|university|college|"
     "school|hospital|company|inc|ltd|llc|please|thanks|thank|hello|hi|dear|best|regards"},
    {WEIR_WORD_STREET_KIND,
     "st|street|ave|avenue|av|rd|road|dr|drive|blvd|boulevard|ln|lane|ct|court|pl|place|sq|square|"
     "way|ter|terrace|pkwy|parkway|cir|circle|hwy|highway|trail|trl|loop|aly|alley|plaza|crescent|"
     "cres|close|gardens|grove|mews|row|walk|crossing|xing|run|path|point|ridge|hill|hills|park|"
     "view|island|islands|creek|fork|forks|forge|forges|ferry|ford|mill|mills|springs|spring|"
     "station|stravenue|throughway|track|trafficway|tunnel|turnpike|underpass|union|unions|valley|"
     "viaduct|village|ville|vista|wells|branch|bridge|brook|burg|bypass|camp|canyon|cape|causeway|"
     "center|cliff|club|common|corner|corners|course|cove|dale|dam|divide|estate|estates|"
     "expressway|extension|fall|falls|field|fields|flat|flats|forest|fort|freeway|garden|gateway|"
     "glen|green|harbor|haven|heights|hollow|inlet|junction|key|keys|knoll|knolls|lake|lakes|"
     "landing|lodge|mall|manor|meadow|meadows|mission|motorway|mount|mountain|neck|orchard|oval|"
     "overpass|pass|passage|pike|pine|pines|plain|plains|port|prairie|radial|ramp|ranch|rapid|"
     "rapids|rest|river|route|shoal|shoals|shore|shores|skyway|spur|stream|summit|trace"},
    {WEIR_WORD_STREET_START,
     "rue|avenue|boulevard|calle|carrer|avenida|av|rua|via|viale|piazza|plaza|ul|ulica|rúa|praça|"
     "travessa|largo|corso|paseo|camino|trg|ulice|strada|chemin|allée|place|quai"},
    {WEIR_WORD_UNIT, "apt|suite|ste|unit|room|floor|fl|flat|apartment|bldg|building"},
    {WEIR_WORD_JOINER, "de|da|do|la|le|du|of|the|des|del"},
    {WEIR_WORD_STREET_END, weir_guard_street_ends},
    {WEIR_WORD_GIVEN, weir_guard_given_names},
};

const char weir_guard_street_ends[] =
    "strasse|straße|str|gasse|platz|allee|weg|gata|gatan|gate|vej|veien|vei|straat|laan|plein|"
    "utca|tie|katu|väg|vägen|stræde|stien|backe";

size_t weir_guard_word_end(const weir_guard_scan_t *scan, size_t start, size_t limit)
{
    size_t end = start;
    limit = start + limit < scan->len ? start + limit : scan->len;
#if defined(__SSE2__)
    if (start + 16 <= limit) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(scan->text + start));
        __m128i d = _mm_sub_epi8(_mm_or_si128(v, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
        __m128i letters = _mm_cmpeq_epi8(_mm_min_epu8(d, _mm_set1_epi8(25)), d);
        unsigned others = ~(unsigned)_mm_movemask_epi8(_mm_or_si128(letters, v)) & 0xffff;
        end = start + (others == 0 ? 16 : (size_t)__builtin_ctz(others));
    }
#endif
    while (end < limit) {
        char c = scan->text[end];
        if (weir_guard_letter(c) || ((c == '\'' || c == '-') && end > start && end + 1 < limit &&
                                     weir_guard_letter(scan->text[end + 1]))) {
            end++;
            continue;
        }
        break;
    }
    return end;
}

unsigned weir_guard_word_kind(const weir_guard_rules_t *rules, const char *text, size_t len)
{
    if (len == 0 || len > MAX_WORD) {
        return 0;
    }
    uint64_t hash = weir_guard_hash_word(text, len);
    size_t bit = hash % WEIR_WORD_BITS;
    if ((rules->word_bits[bit / 64] >> bit % 64 & 1) == 0) {
        return 0;
    }
    size_t at = hash % WEIR_WORD_SLOTS;
    while (rules->word_slots[at].hash != 0) {
        if (rules->word_slots[at].hash == hash) {
            return rules->word_slots[at].kind;
        }
        at = (at + 1) % WEIR_WORD_SLOTS;
    }
    return 0;
}

bool weir_guard_words_build(weir_guard_rules_t *rules)
{
    rules->word_slots =
        weir_arena_calloc(&rules->arena, WEIR_WORD_SLOTS, sizeof(*rules->word_slots));
    if (rules->word_slots == NULL) {
        return false;
    }
    for (size_t l = 0; l < sizeof(lists) / sizeof(lists[0]); l++) {
        for (const char *w = lists[l].words; *w != '\0';) {
            size_t len = strcspn(w, "|");
            uint64_t hash = weir_guard_hash_word(w, len);
            size_t at = hash % WEIR_WORD_SLOTS;
            while (rules->word_slots[at].hash != 0 && rules->word_slots[at].hash != hash) {
                at = (at + 1) % WEIR_WORD_SLOTS;
            }
            rules->word_slots[at].hash = hash;
            rules->word_slots[at].kind |= lists[l].kind;
            rules->word_bits[hash % WEIR_WORD_BITS / 64] |= 1ull << hash % WEIR_WORD_BITS % 64;
            w += len + (w[len] == '|');
        }
    }
    return true;
}

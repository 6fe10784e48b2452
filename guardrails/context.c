/*
 * Context words: one table from the hash of a word, or of a phrase of up to three words, to the
 * sets that hold it. A window of text is split and hashed once for all rules that ask about it.
 */
#include "guardrails/matcher.h"
#include "guardrails/views.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

const char *const weir_guard_parser_context[WEIR_CONTEXT_PARSERS] = {
    [WEIR_CONTEXT_PHONE] =
        "phone|phones|telephone|tel|mobile|mob|cell|cellphone|cellular|fax|callback|dial|dialed|"
        "sms|mms|whatsapp|viber|telegram|hotline|helpline|landline|pager|voicemail|telefon|"
        "telefono|teléfono|móvil|movil|téléphone|tél|portable|handy|mobil|celular|telefone|"
        "telefoon|mobiel|puhelin|phonenumber|phone_number|ph|switchboard|телефон|тел|моб|"
        "мобильный|мобільний|τηλέφωνο|τηλ|κινητό|telefonnummer|handynummer|mobilnummer|"
        "puhelinnumero|telefoonnummer|telefonu|telefonu to|telefonszám|telefonnr|telefony|telefona|"
        "tlf|tfn|tfno|puh|gsm|電話|電話番号|携帯|电话|电话号码|手机|手机号|전화|전화번호|휴대폰|"
        "โทร|"
        "טלפון|هاتف|جوال|फ़ोन|मोबाइल|điện "
        "thoại|☎|📞|📱|📲|✆|🕿",
    [WEIR_CONTEXT_PHONE_WEAK] =
        "call|calls|called|calling|text|texts|texted|signal|contact|contacts|reach|reached|ring|"
        "desk|office|message|messages|answering|registered|ext|extension|unsubscribe|numero|"
        "número|numéro|rufnummer|meine nummer|deine nummer|ihre nummer|my number|your number|his "
        "number|her number|their number|"
        "our number|new number|home number|work number|номер|мой "
        "номер|αριθμός|kontakt|contacto|rufen|"
        "ruf|anrufen|erreichen|erreichbar|appelez|appelle|appeler|joindre|joignable|llámame|"
        "llamame|llámeme|llame|llamar|chiamami|chiamare|ligue|bel|bereikbaar|zadzwoń|dzwoń|dzwonić",
    [WEIR_CONTEXT_PHONE_CALL] =
        "can call|please call|to call|you call|and call|or call|could call|may call|will call|"
        "just call|should call|call us|call me|text me|ring me|reach me|contact me|please text|"
        "can text|please ring|to ring|to text|please contact|my registered|your registered|"
        "registered number|can ring|please dial|to dial|number you dialed|number you called|"
        "mich unter|uns unter|ihn unter|der nummer|llámame al|llamame al|llámeme al|llame al|"
        "llama al|llamar al|appelez moi|appelle moi|appeler au|joindre au|joignable au|"
        "ligue para|me ligue|chiamami al|chiamami allo|chiamare il|bel me|bel mij|bereikbaar op|"
        "zadzwoń pod|dzwoń pod|proszę dzwonić|ring meg|ring mig|ring mej",
    [WEIR_CONTEXT_PHONE_VERB] = "call|calling|ring|text|dial|contact|extension|ext|whatsapp",
    [WEIR_CONTEXT_AMOUNT] =
        "cost|costs|price|prices|priced|paid|pays|sold|sells|bytes|byte|kb|mb|bits|times|units|"
        "dollars|euros|pounds|cents|downloads|views|users|people|rows|lines|tokens|downloaded|"
        "size|buffer|returned|returns|total|votes|copies|items|pieces|records|records|seconds|"
        "milliseconds|ms|minutes|hours|years|population|followers|subscribers|miles|km|meters",
    [WEIR_CONTEXT_FILLER] =
        "at|on|me|us|is|to|no|nr|number|numbers|the|him|her|them|it|my|our|your|his|their|via|"
        "using|"
        "with|a|directly|please|now|by|be|for|back|s|auf|unter|mich|uns|ist|lautet|al|es|el|la|sur|"
        "au|"
        "mi|mon|est|le|è|é|este|jest|numero|número|numéro|nummer|номер|или|на|or|and|und|et|y|o",
    [WEIR_CONTEXT_CARD] = "card|cards|cc|credit|debit|visa|mastercard|amex|maestro|discover|"
                          "diners|jcb|unionpay|pan|creditcard|cardnumber|payment|carte|karte|"
                          "kreditkarte|tarjeta|carta|cartão|cvv|cvc|charge|charged|exp|expires|"
                          "expiry|expiration|billing|checkout",
    [WEIR_CONTEXT_IP] = "ip|ips|ipv4|ipv6|address|addresses|host|server|subnet|gateway|dns|ping|"
                        "client|login|logged|network|router|localhost|nameserver",
    [WEIR_CONTEXT_VERSION] =
        "version|versions|ver|release|released|build|section|chapter|"
        "firmware|upgrade|upgraded|changelog|v|merged|patch|patched|update|updated|"
        "downgrade|installed|dwarf|kernel|package|oid|oids|objectidentifier|template",
    [WEIR_CONTEXT_SITE] = "site|website|websites|url|urls|domain|domains|homepage|web|link|links|"
                          "visit|visited|browse|webpage|www|host|hostname|blog",
    [WEIR_CONTEXT_BIRTH] = "born|birth|birthday|birthdate|birthdays|dob|d o b|date of birth|"
                           "dateofbirth|bday|geboren|geburtsdatum|geb|né|née|naissance|nacido|"
                           "nacida|nacimiento|nascimento|nato|nata|nascita|geboortedatum|född",
    [WEIR_CONTEXT_CRYPTO] = "wallet|wallets|address|crypto|bitcoin|btc|ethereum|eth|solana|sol|"
                            "litecoin|ltc|dogecoin|doge|monero|xmr|ripple|xrp|tron|trx|cardano|"
                            "ada|dash|usdt|usdc|coin|coins|blockchain|ledger|deposit",
    [WEIR_CONTEXT_NOT_PHONE] = "isbn|issn|order|invoice|serial|version|sku|tracking|ticket|case|"
                               "reference|ref|zip|postcode|page|pages|doi|error|id|ssn|card|cc|"
                               "credit|account|iban|license|licence|passport|timestamp|total|sum",
    [WEIR_CONTEXT_ADDRESS] = "address|addresses|live|lives|living|located|location|reside|resides|"
                             "street|mail|ship|shipping|deliver|delivery|home|house|move|moved",
};

#define MAX_WORD 64

static bool word_byte(char c)
{
    return weir_is(c, WEIR_C_ALNUM) || (unsigned char)c >= 0x80;
}

static size_t word_end(const char *text, size_t at, size_t end)
{
    while (at < end && word_byte(text[at])) {
        at++;
    }
    return at;
}

/* Lower-cases letters of ASCII and those of two bytes; returns how many bytes there are. */
static size_t fold_word(const char *text, size_t len, char out[MAX_WORD])
{
    len = len < MAX_WORD ? len : MAX_WORD;
    for (size_t i = 0; i < len; i++) {
        unsigned char lead = (unsigned char)text[i];
        out[i] = text[i];
        if (lead >= 0xc2 && lead <= 0xdf && i + 1 < len &&
            ((unsigned char)text[i + 1] & 0xc0) == 0x80) {
            weir_guard_lower_two(text + i, out + i);
            i++;
        }
    }
    return len;
}

/* Of a word's characters without their case; what lies behind MAX_WORD bytes does not count. */
static uint64_t hash_word(const char *text, size_t len)
{
    char folded[MAX_WORD];
    if (!weir_guard_is_ascii(text, len)) {
        len = fold_word(text, len, folded);
        text = folded;
    }
    return weir_guard_hash_word(text, len);
}

static weir_guard_context_slot_t *slot_of(weir_guard_context_slot_t *slots, uint64_t hash)
{
    hash = hash == 0 ? 1 : hash;
    size_t at = (hash ^ hash >> 32) & (WEIR_CONTEXT_SLOTS - 1);
    while (slots[at].hash != 0 && slots[at].hash != hash) {
        at = (at + 1) & (WEIR_CONTEXT_SLOTS - 1);
    }
    return &slots[at];
}

static size_t bit_of(uint64_t hash)
{
    return (hash ^ hash >> 31) % WEIR_CONTEXT_BITS;
}

/* A phrase is the fold of its words' hashes. */
static uint64_t join(uint64_t phrase, uint64_t word)
{
    return (phrase * 0x9e3779b97f4a7c15ull) ^ (word + (phrase >> 29));
}

static bool add_phrase(weir_guard_rules_t *rules, unsigned set, uint64_t hash)
{
    weir_guard_context_slot_t *slot = slot_of(rules->context, hash);
    if (slot->hash == 0 && ++rules->context_used > WEIR_CONTEXT_SLOTS / 2) {
        return false;
    }
    slot->hash = hash == 0 ? 1 : hash;
    slot->sets.bits[set / 64] |= 1ull << set % 64;
    size_t bit = bit_of(hash);
    rules->context_bits[bit / 64] |= 1ull << bit % 64;
    return true;
}

bool weir_guard_context_add(weir_guard_rules_t *rules, unsigned set, const char *words)
{
    uint64_t phrase = 0;
    bool any = false; /* the phrase has a word */
    const char *end = words + strlen(words);
    for (const char *c = words;; c++) {
        size_t len = word_end(c, 0, (size_t)(end - c));
        if (len > 0) {
            phrase = any ? join(phrase, hash_word(c, len)) : hash_word(c, len);
            any = true;
            c += len;
        }
        if (*c == '\0' || *c == '|') {
            if (any && !add_phrase(rules, set, phrase)) {
                return false;
            }
            any = false;
            if (*c == '\0') {
                return true;
            }
        }
    }
}

#if defined(__SSE2__)
/* Where letters stand in sixteen bytes. */
static unsigned letters_of(const char *text)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)text);
    __m128i d = _mm_sub_epi8(_mm_or_si128(v, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
    __m128i letters = _mm_cmpeq_epi8(_mm_min_epu8(d, _mm_set1_epi8(25)), d);
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(letters, v));
}
#endif

/* The first letter, or byte of another script, in [at, end) - or a byte before it, from which on
 * fewer than sixteen bytes are left. */
static size_t skip_others(const char *text, size_t at, size_t end)
{
#if defined(__SSE2__)
    for (; at + 16 <= end; at += 16) {
        unsigned letters = letters_of(text + at);
        if (letters != 0) {
            return at + (unsigned)__builtin_ctz(letters);
        }
    }
    if (at < end && at >= 16 && letters_of(text + end - 16) >> (16 - (end - at)) == 0) {
        return end;
    }
#else
    (void)text;
    (void)end;
#endif
    return at;
}

/* Windows overlap: a word is hashed once for all of them. */
static uint64_t known_hash(weir_guard_scan_t *scan, size_t start, size_t end)
{
    weir_guard_known_word_t *known = &scan->scratch->words[start % WEIR_KNOWN_WORDS];
    if (known->pass != scan->pass || known->start != start || known->end != end) {
        uint64_t hash = hash_word(scan->text + start, end - start);
        *known = (weir_guard_known_word_t){hash, scan->pass, (uint32_t)start, (uint32_t)end};
    }
    return known->hash;
}

/* The hash of the word at *at, which becomes its end. What is known says where a word ends, unless
 * that lies behind the window's end, or a window cut it. */
static uint64_t word_at(weir_guard_scan_t *scan, size_t *at, size_t end)
{
    size_t start = *at;
    const weir_guard_known_word_t *known = &scan->scratch->words[start % WEIR_KNOWN_WORDS];
    bool whole = known->pass == scan->pass && known->start == start && known->end <= end &&
                 (known->end == end || !word_byte(scan->text[known->end]));
    *at = whole ? known->end : word_end(scan->text, start, end);
    return known_hash(scan, start, *at);
}

/* Adds the sets of all words and phrases in [start, end) to found. */
static void collect(weir_guard_scan_t *scan, size_t start, size_t end, weir_guard_words_t *found)
{
    uint64_t hash[3] = {0, 0, 0}; /* phrases that end here: of one, two and three words */
    unsigned words = 0;
    size_t i = start;
    while (i < end) {
        /* A word begins with a letter: numbers only part words. */
        i = skip_others(scan->text, i, end);
        while (i < end && !weir_is(scan->text[i], WEIR_C_ALPHA) &&
               (unsigned char)scan->text[i] < 0x80) {
            i++;
        }
        if (i == end) {
            break;
        }
        uint64_t word = word_at(scan, &i, end);
        hash[2] = join(hash[1], word);
        hash[1] = join(hash[0], word);
        hash[0] = word;
        words++;
        scan->work += WEIR_WORK_WORD;
        for (unsigned n = 0; n < 3 && n < words; n++) {
            size_t bit = bit_of(hash[n]);
            if ((scan->rules->context_bits[bit / 64] >> bit % 64 & 1) == 0) {
                continue;
            }
            const weir_guard_context_slot_t *slot = slot_of(scan->rules->context, hash[n]);
            for (size_t b = 0; b < WEIR_CONTEXT_SETS / 64; b++) {
                found->bits[b] |= slot->sets.bits[b];
            }
        }
    }
}

static const weir_guard_words_t *sets_of(const weir_guard_rules_t *rules, uint64_t hash)
{
    static const weir_guard_words_t none = {0};
    size_t bit = bit_of(hash);
    if ((rules->context_bits[bit / 64] >> bit % 64 & 1) == 0) {
        return &none;
    }
    return &slot_of(rules->context, hash)->sets;
}

static bool in_set(const weir_guard_words_t *words, unsigned set)
{
    return (words->bits[set / 64] >> set % 64 & 1) != 0;
}

/* The word that ends at *end, which becomes its start; 0: none. */
static uint64_t word_before(weir_guard_scan_t *scan, size_t *end, size_t limit)
{
    size_t start = *end;
    while (start > limit && word_byte(scan->text[start - 1])) {
        start--;
    }
    if (start == *end || (start == limit && start > 0 && word_byte(scan->text[start - 1]))) {
        return 0;
    }
    scan->work += WEIR_WORK_WORD;
    uint64_t word = known_hash(scan, start, *end);
    *end = start;
    return word;
}

#define MAX_FILLERS 4

/* ". Is": the dot in front of at ends a sentence; in "Tel. No. 5" it does not. */
static bool sentence_end(const weir_guard_scan_t *scan, size_t at)
{
    return scan->text[at - 1] == '.' && at + 1 < scan->len &&
           weir_is(scan->text[at + 1], WEIR_C_UPPER) && scan->text[at + 1] != 'N';
}

static void join_sets(weir_guard_words_t *words, const weir_guard_words_t *more)
{
    for (size_t b = 0; b < WEIR_CONTEXT_SETS / 64; b++) {
        words->bits[b] |= more->bits[b];
    }
}

/* Adds the sets of the phrases of two and of three words that the word in front of `at` ends. */
static void join_phrases(weir_guard_scan_t *scan, size_t at, uint64_t word, size_t limit,
                         weir_guard_words_t *found)
{
    size_t front = at > limit ? at - 1 : 0;
    uint64_t second = front > 0 ? word_before(scan, &front, limit) : 0;
    if (second == 0) {
        return;
    }
    join_sets(found, sets_of(scan->rules, join(second, word)));
    front = front > limit ? front - 1 : 0;
    uint64_t third = front > 0 ? word_before(scan, &front, limit) : 0;
    if (third != 0) {
        join_sets(found, sets_of(scan->rules, join(join(third, second), word)));
    }
}

/* What names what stands at start: directly in front of it, and with a colon or fillers between. */
static void find_names(weir_guard_scan_t *scan, size_t start)
{
    size_t limit = start > WEIR_CONTEXT_REACH ? start - WEIR_CONTEXT_REACH : 0;
    size_t at = start;
    bool apart = false;
    memset(scan->names, 0, sizeof(scan->names));
    scan->names_at = start;
    scan->work += WEIR_WORK_SIDE;
    for (int n = 0; n <= MAX_FILLERS; n++) {
        while (at > limit && weir_one_of(scan->text[at - 1], " \t:.#\"'(*=>-_\n")) {
            if (n > 0 && sentence_end(scan, at)) {
                return;
            }
            apart |= scan->text[at - 1] == ':';
            at--;
        }
        uint64_t word = word_before(scan, &at, limit);
        if (word == 0) {
            return;
        }
        const weir_guard_words_t *sets = sets_of(scan->rules, word);
        join_sets(&scan->names[apart], sets);
        join_phrases(scan, at, word, limit, &scan->names[apart]);
        if (!in_set(sets, WEIR_CONTEXT_FILLER) && !weir_is(scan->text[at], WEIR_C_DIGIT)) {
            return;
        }
        apart = true;
    }
}

int weir_guard_names(weir_guard_scan_t *scan, size_t start, unsigned set)
{
    if (scan->names_at != start) {
        find_names(scan, start);
    }
    return in_set(&scan->names[0], set) ? 1 : in_set(&scan->names[1], set) ? 2 : 0;
}

bool weir_guard_named_behind(weir_guard_scan_t *scan, size_t end, unsigned set)
{
    size_t limit = end + WEIR_CONTEXT_REACH < scan->len ? end + WEIR_CONTEXT_REACH : scan->len;
    size_t at = end;
    for (int n = 0; n <= MAX_FILLERS && !scan->rules->streaming; n++) {
        while (at < limit && weir_one_of(scan->text[at], " ,:()\"'-")) {
            at++;
        }
        size_t start = at;
        at = word_end(scan->text, at, limit);
        if (at == start) {
            return false;
        }
        scan->work += WEIR_WORK_WORD;
        const weir_guard_words_t *sets = sets_of(scan->rules, known_hash(scan, start, at));
        if (in_set(sets, set)) {
            return true;
        }
        if (!in_set(sets, WEIR_CONTEXT_FILLER)) {
            return false;
        }
    }
    return false;
}

bool weir_guard_near(weir_guard_scan_t *scan, size_t start, size_t end, unsigned set)
{
    if (weir_guard_near_known(scan, start, end)) {
        return in_set(&scan->left, set) || (!scan->rules->streaming && in_set(&scan->right, set));
    }
    size_t left = start > WEIR_CONTEXT_REACH ? start - WEIR_CONTEXT_REACH : 0;
    size_t right = scan->len - end < WEIR_CONTEXT_REACH ? scan->len : end + WEIR_CONTEXT_REACH;
    weir_guard_same_code(scan, start, &left, &right);
    if (scan->left_at != start) {
        memset(&scan->left, 0, sizeof(scan->left));
        /* A word that is cut at the window's border says nothing. */
        while (left > 0 && left < start && word_byte(scan->text[left - 1])) {
            left++;
        }
        scan->work += WEIR_WORK_SIDE;
        collect(scan, left, start, &scan->left);
        scan->left_at = start;
    }
    if (in_set(&scan->left, set) || scan->rules->streaming) {
        return in_set(&scan->left, set);
    }
    if (scan->right_at != end) {
        memset(&scan->right, 0, sizeof(scan->right));
        while (right > end && right < scan->len && word_byte(scan->text[right])) {
            right--;
        }
        scan->work += WEIR_WORK_SIDE;
        collect(scan, end, right, &scan->right);
        scan->right_at = end;
    }
    return in_set(&scan->right, set);
}

/*
 * Context words: one table from the hash of a word, or of a phrase of up to three words, to the
 * sets that hold it. A window of text is split and hashed once for all rules that ask about it.
 */
#include "guardrails/matcher.h"

const char *const weir_guard_parser_context[WEIR_CONTEXT_PARSERS] = {
    [WEIR_CONTEXT_PHONE] =
        "phone|phones|telephone|tel|mobile|mob|cell|cellphone|cellular|fax|call|calls|called|"
        "calling|callback|dial|dialed|text|texts|texted|sms|mms|whatsapp|signal|viber|telegram|"
        "contact|reach|reached|ring|desk|office|hotline|helpline|landline|pager|voicemail|"
        "message|messages|answering|registered|telefon|telefono|teléfono|móvil|"
        "movil|téléphone|tél|portable|handy|mobil|celular|telefone|telefoon|mobiel|puhelin|"
        "phonenumber|phone_number|numero|número|ph|ext|extension|switchboard|unsubscribe|"
        "телефон|тел|τηλέφωνο",
    [WEIR_CONTEXT_CARD] = "card|cards|cc|credit|debit|visa|mastercard|amex|maestro|discover|"
                          "diners|jcb|unionpay|pan|creditcard|cardnumber|payment|carte|karte|"
                          "kreditkarte|tarjeta|carta|cartão|cvv|cvc",
    [WEIR_CONTEXT_IP] = "ip|ips|ipv4|ipv6|address|addresses|host|server|subnet|gateway|dns|ping|"
                        "client|login|logged|network|router|localhost|nameserver",
    [WEIR_CONTEXT_VERSION] = "version|versions|ver|release|released|build|section|chapter|"
                             "firmware|upgrade|upgraded|changelog|v",
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

static bool word_byte(char c)
{
    return weir_is(c, WEIR_C_ALNUM) || (unsigned char)c >= 0x80;
}

static uint64_t hash_byte(uint64_t hash, char c)
{
    unsigned char b = (unsigned char)c;
    if (b >= 'A' && b <= 'Z') {
        b |= 0x20;
    }
    return (hash ^ b) * 0x100000001b3ull;
}

#define HASH_START 0xcbf29ce484222325ull

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
    uint64_t word = HASH_START;
    bool any = false;    /* the phrase has a word */
    bool inside = false; /* of a word */
    for (const char *c = words;; c++) {
        if (*c != '\0' && *c != '|' && word_byte(*c)) {
            word = hash_byte(inside ? word : HASH_START, *c);
            inside = true;
            continue;
        }
        if (inside) {
            phrase = any ? join(phrase, word) : word;
            any = true;
            inside = false;
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

/* Adds the sets of all words and phrases in [start, end) to found. */
static void collect(const weir_guard_scan_t *scan, size_t start, size_t end,
                    weir_guard_words_t *found)
{
    uint64_t hash[3] = {0, 0, 0}; /* phrases that end here: of one, two and three words */
    unsigned words = 0;
    size_t i = start;
    while (i < end) {
        /* A word begins with a letter: numbers only part words. */
        while (i < end && !weir_is(scan->text[i], WEIR_C_ALPHA) &&
               (unsigned char)scan->text[i] < 0x80) {
            i++;
        }
        if (i == end) {
            break;
        }
        uint64_t word = HASH_START;
        for (; i < end && word_byte(scan->text[i]); i++) {
            word = hash_byte(word, scan->text[i]);
        }
        hash[2] = join(hash[1], word);
        hash[1] = join(hash[0], word);
        hash[0] = word;
        words++;
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

bool weir_guard_near(weir_guard_scan_t *scan, size_t start, size_t end, unsigned set)
{
    if (scan->words_at != start || scan->words_end != end) {
        memset(&scan->words, 0, sizeof(scan->words));
        size_t left = start > WEIR_CONTEXT_REACH ? start - WEIR_CONTEXT_REACH : 0;
        size_t right = scan->len - end < WEIR_CONTEXT_REACH ? scan->len : end + WEIR_CONTEXT_REACH;
        weir_guard_same_code(scan, start, &left, &right);
        /* A word that is cut at the window's border says nothing. */
        while (left > 0 && left < start && word_byte(scan->text[left - 1])) {
            left++;
        }
        collect(scan, left, start, &scan->words);
        if (!scan->rules->streaming) {
            while (right > end && right < scan->len && word_byte(scan->text[right])) {
                right--;
            }
            collect(scan, end, right, &scan->words);
        }
        scan->words_at = start;
        scan->words_end = end;
    }
    return (scan->words.bits[set / 64] >> set % 64 & 1) != 0;
}

#include "guardrails/training/weak.h"

/* Words count as met when a word of the text begins with them and is at most 3 letters longer. */
static const char *const SECOND_PERSON[] = {"you", "your", "youre", "ur", "yourself", NULL};
static const char *const INSULT[] = {
    "idiot",    "moron",  "stupid",   "dumb",   "asshole",    "bastard", "loser",
    "jerk",     "fool",   "bitch",    "scum",   "dick",       "cunt",    "retard",
    "pathetic", "coward", "liar",     "troll",  "clown",      "pig",     "ignorant",
    "whore",    "prick",  "imbecile", "douche", "dipshit",    "fucker",  "fag",
    "wanker",   "twat",   "hypocrit", "suck",   "motherfuck", NULL};
static const char *const THREAT[] = {"kill",  "murder", "shoot",   "stab",   "hang",  "behead",
                                     "burn",  "rape",   "strangl", "punch",  "beat",  "destroy",
                                     "hurt",  "die",    "slaught", "execut", "bomb",  "gun",
                                     "knife", "choke",  "drown",   "shot",   "gonna", NULL};
static const char *const THREAT_VERB[] = {"kill", "murder",  "shoot", "stab",  "behead", "rape",
                                          "burn", "strangl", "beat",  "punch", "choke",  NULL};
static const char *const INTENT[] = {"will", "gonna", "going", "ill", "should", "deserv", NULL};
static const char *const SEXUAL[] = {
    "sex",    "porn",      "dick",   "cock",   "pussy", "tits",    "boob", "penis",
    "vagina", "naked",     "nude",   "horny",  "anal",  "blowjob", "cum",  "orgasm",
    "erotic", "masturbat", "nipple", "breast", "slut",  "whore",   "rape", "rapist",
    "fuck",   "suck",      "ass",    "butt",   "jerk",  "lick",    "pedo", "molest",
    "hooker", "hoe",       "balls",  "cunt",   NULL};
static const char *const SEXUAL_PLAIN[] = {
    "sex",     "porn", "cock",   "pussy", "tits",      "penis", "vagina", "horny",
    "blowjob", "cum",  "orgasm", "boob",  "masturbat", "nude",  "anal",   NULL};
static const char *const GROUP[] = {
    "gay",     "lesbian", "trans",    "queer",   "black",   "white",     "asian", "latin",
    "mexican", "african", "jew",      "muslim",  "islam",   "christ",    "hindu", "catholic",
    "arab",    "immigra", "refugee",  "women",   "woman",   "female",    "homo",  "fag",
    "nigg",    "negro",   "dyke",     "tranny",  "kike",    "spic",      "chink", "paki",
    "gyps",    "retard",  "disabled", "indian",  "chinese", "terrorist", "race",  "racist",
    "feminis", "girls",   "whites",   "foreign", "redneck", NULL};
static const char *const GROUP_PLAIN[] = {
    "gay",    "lesbian", "trans",   "queer", "black", "asian", "mexican", "jew",
    "muslim", "islam",   "immigra", "homo",  "fag",   "nigg",  "dyke",    "tranny",
    "kike",   "spic",    "chink",   "paki",  "gyps",  "negro", "arab",    NULL};
static const char *const SELF[] = {"suicid", "kill", "die",  "cut",    "hang",     "overdos",
                                   "pill",   "dead", "jump", "myself", "yourself", NULL};

static bool letter(unsigned char c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

/* True when the word begins with stem, caseless, and has at most three letters more. */
static bool begins(weir_str_t word, const char *stem)
{
    size_t n = strlen(stem);
    if (word.len < n || word.len > n + 3) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if ((word.data[i] | 32) != stem[i]) {
            return false;
        }
    }
    return true;
}

/* How many of the text's words are met by the list. */
static size_t met(weir_str_t text, const char *const *list)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len;) {
        size_t start = i;
        while (i < text.len && letter((unsigned char)text.data[i])) {
            i++;
        }
        weir_str_t word = weir_str(text.data + start, i - start);
        for (size_t k = 0; word.len > 0 && list[k] != NULL; k++) {
            if (begins(word, list[k])) {
                count++;
                break;
            }
        }
        i += word.len == 0;
    }
    return count;
}

static void set(weir_row_t *row, weir_head_t head, bool yes, bool no)
{
    if (row->label[head] == WEIR_LABEL_UNKNOWN && yes != no) {
        row->label[head] = yes ? WEIR_LABEL_YES : WEIR_LABEL_NO;
    }
}

static void label_row(weir_row_t *row)
{
    weir_str_t text = row->text;
    size_t insults = met(text, INSULT);
    size_t groups = met(text, GROUP);
    bool you = met(text, SECOND_PERSON) > 0;
    /* Long comments hold every word somewhere: their form says nothing. */
    bool small = text.len < 400;
    set(row, WEIR_HEAD_INSULT, you && insults > 0 && small, insults == 0);
    set(row, WEIR_HEAD_THREAT, small && you && met(text, THREAT_VERB) > 0 && met(text, INTENT) > 0,
        met(text, THREAT) == 0);
    set(row, WEIR_HEAD_SEXUAL, met(text, SEXUAL_PLAIN) > (small ? 0 : 2), met(text, SEXUAL) == 0);
    set(row, WEIR_HEAD_IDENTITY_ATTACK, small && met(text, GROUP_PLAIN) > 0, groups == 0);
    set(row, WEIR_HEAD_SELF_HARM, false, met(text, SELF) == 0);
}

void weir_corpus_weak_labels(weir_corpus_t *corpus)
{
    for (size_t i = 0; i < corpus->count; i++) {
        if (corpus->rows[i].label[WEIR_HEAD_TOXICITY] == WEIR_LABEL_YES) {
            label_row(&corpus->rows[i]);
        }
    }
}

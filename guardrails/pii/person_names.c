/* Given names that are common in many countries, sorted; the name heuristic begins with them. */
#include "guardrails/pii/words.h"

static const char *const names[] = {
    "aaron",     "abigail",     "adam",      "adrian",     "agnes",     "ahmed",     "aisha",
    "alan",      "albert",      "alejandro", "alessandro", "alex",      "alexander", "alexandra",
    "alexis",    "alfred",      "ali",       "alice",      "alicia",    "alina",     "alison",
    "amanda",    "amelia",      "amir",      "amy",        "ana",       "anastasia", "andre",
    "andrea",    "andreas",     "andrew",    "angela",     "angelo",    "anita",     "ann",
    "anna",      "anne",        "anthony",   "antoine",    "anton",     "antonio",   "arjun",
    "arthur",    "astrid",      "audrey",    "ava",        "barbara",   "beatrice",  "ben",
    "benjamin",  "bernard",     "beth",      "betty",      "bianca",    "bill",      "birgit",
    "bjorn",     "bob",         "boris",     "bradley",    "brandon",   "brenda",    "brian",
    "bruce",     "bruno",       "bryan",     "camila",     "camille",   "carl",      "carla",
    "carlos",    "carmen",      "carol",     "caroline",   "carolyn",   "catherine", "cecilia",
    "charles",   "charlotte",   "cheryl",    "chloe",      "chris",     "christian", "christina",
    "christine", "christopher", "claire",    "clara",      "claudia",   "cody",      "colin",
    "connor",    "craig",       "cristina",  "cynthia",    "daniel",    "daniela",   "danielle",
    "david",     "deborah",     "debra",     "denise",     "dennis",    "derek",     "diana",
    "diane",     "diego",       "dmitri",    "dominic",    "donald",    "donna",     "dorothy",
    "douglas",   "dylan",       "edgar",     "eduardo",    "edward",    "edwin",     "eileen",
    "elena",     "elias",       "elisabeth", "elizabeth",  "ella",      "ellen",     "emil",
    "emilia",    "emily",       "emma",      "enrique",    "eric",      "erik",      "erika",
    "ernest",    "esther",      "ethan",     "eugene",     "eva",       "evelyn",    "fatima",
    "felix",     "fernando",    "fiona",     "frances",    "francesca", "francesco", "francis",
    "francisco", "frank",       "franz",     "fred",       "frederick", "fredrik",   "gabriel",
    "gabriela",  "gary",        "george",    "gerald",     "gerhard",   "giovanni",  "giulia",
    "gloria",    "gordon",      "grace",     "graham",     "greg",      "gregory",   "guillermo",
    "gustav",    "hannah",      "hans",      "harold",     "harry",     "hassan",    "heather",
    "hector",    "heidi",       "heinrich",  "helen",      "helena",    "helga",     "henrik",
    "henry",     "hiroshi",     "howard",    "hugo",       "ian",       "ibrahim",   "igor",
    "ines",      "ingrid",      "irene",     "isaac",      "isabel",    "isabella",  "ivan",
    "jack",      "jackie",      "jacob",     "jacqueline", "jacques",   "jake",      "james",
    "jamie",     "jan",         "jane",      "janet",      "janice",    "jason",     "javier",
    "jean",      "jeffrey",     "jennifer",  "jeremy",     "jerry",     "jesse",     "jessica",
    "jesus",     "jill",        "joan",      "joanna",     "joe",       "joel",      "johan",
    "johanna",   "john",        "johnny",    "jon",        "jonas",     "jonathan",  "jorge",
    "jose",      "joseph",      "joshua",    "joyce",      "juan",      "juana",     "juanita",
    "judith",    "judy",        "julia",     "julian",     "julie",     "juliet",    "justin",
    "karen",     "karin",       "karl",      "kate",       "katherine", "kathleen",  "kathryn",
    "katie",     "kayla",       "keith",     "kelly",      "ken",       "kenneth",   "kevin",
    "kim",       "kimberly",    "klaus",     "kristen",    "kristina",  "kurt",      "kyle",
    "lars",      "laura",       "lauren",    "lawrence",   "lea",       "leah",      "lee",
    "lena",      "leo",         "leon",      "leonard",    "leonardo",  "leslie",    "liam",
    "linda",     "lisa",        "logan",     "lorenzo",    "louis",     "louise",    "lucas",
    "lucia",     "lucy",        "luigi",     "luis",       "luke",      "maddie",    "magnus",
    "manuel",    "marc",        "marco",     "margaret",   "maria",     "mariana",   "marie",
    "marilyn",   "mario",       "marion",    "mark",       "marta",     "martha",    "martin",
    "martina",   "mary",        "mateo",     "mathias",    "matthew",   "maurice",   "max",
    "megan",     "mehmet",      "melanie",   "melissa",    "michael",   "michel",    "michelle",
    "miguel",    "mikael",      "mike",      "mila",       "mohamed",   "mohammad",  "mohammed",
    "monica",    "morgan",      "mustafa",   "nadia",      "nancy",     "naomi",     "natalia",
    "natalie",   "natasha",     "nathan",    "neil",       "nicholas",  "nicolas",   "nicole",
    "nina",      "noah",        "nora",      "norma",      "nuria",     "oleg",      "olga",
    "oliver",    "olivia",      "omar",      "oscar",      "otto",      "pablo",     "pamela",
    "paolo",     "patricia",    "patrick",   "paul",       "paula",     "pauline",   "pavel",
    "pedro",     "peggy",       "peter",     "petra",      "philip",    "philippe",  "phyllis",
    "pierre",    "priya",       "rachel",    "rafael",     "rahul",     "raj",       "ralph",
    "ramon",     "raquel",      "raymond",   "rebecca",    "renata",    "ricardo",   "richard",
    "rita",      "robert",      "roberta",   "roberto",    "robin",     "rodrigo",   "roger",
    "roland",    "ronald",      "rosa",      "rosemary",   "roy",       "ruben",     "russell",
    "ruth",      "ryan",        "sabrina",   "sally",      "salvatore", "sam",       "samantha",
    "samuel",    "sandra",      "sara",      "sarah",      "scott",     "sean",      "sebastian",
    "sergei",    "sergio",      "sharon",    "sheila",     "shirley",   "silvia",    "simon",
    "simone",    "sofia",       "sonia",     "sophia",     "sophie",    "stefan",    "stefano",
    "stella",    "stephanie",   "stephen",   "steve",      "steven",    "stuart",    "susan",
    "susanne",   "suzanne",     "sven",      "svetlana",   "sylvia",    "takashi",   "tamara",
    "tanya",     "tara",        "tatiana",   "ted",        "teresa",    "terry",     "theodore",
    "theresa",   "thomas",      "tiffany",   "tim",        "timothy",   "tina",      "tobias",
    "todd",      "tom",         "tomas",     "tony",       "tracy",     "travis",    "tyler",
    "ursula",    "valentina",   "valerie",   "vanessa",    "vera",      "veronica",  "victor",
    "viktor",    "vincent",     "vivian",    "vladimir",   "walter",    "wanda",     "wayne",
    "wendy",     "werner",      "wilhelm",   "william",    "willie",    "wolfgang",  "yasmin",
    "yuki",      "yusuf",       "yvonne",    "zachary",    "zoe",
};

bool weir_guard_given_name(const char *text, size_t len)
{
    char word[16];
    if (len < 2 || len >= sizeof(word)) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        word[i] = weir_is(text[i], WEIR_C_UPPER) ? (char)(text[i] | 0x20) : text[i];
    }
    word[len] = '\0';
    size_t low = 0;
    size_t high = sizeof(names) / sizeof(names[0]);
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strcmp(word, names[mid]);
        if (order == 0) {
            return true;
        }
        if (order < 0) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return false;
}

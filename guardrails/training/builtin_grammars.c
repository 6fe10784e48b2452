#include "guardrails/training/grammar.h"

extern const unsigned char weir_grammar_benign_requests[];
extern const unsigned long weir_grammar_benign_requests_len;
extern const unsigned char weir_grammar_benign_languages[];
extern const unsigned long weir_grammar_benign_languages_len;
extern const unsigned char weir_grammar_benign_technical[];
extern const unsigned long weir_grammar_benign_technical_len;
extern const unsigned char weir_grammar_injections[];
extern const unsigned long weir_grammar_injections_len;
extern const unsigned char weir_grammar_toxicity[];
extern const unsigned long weir_grammar_toxicity_len;

bool weir_builtin_grammar(size_t index, weir_builtin_grammar_t *out)
{
    switch (index) {
    case 0:
        *out = (weir_builtin_grammar_t){"benign_requests.txt", weir_grammar_benign_requests,
                                        weir_grammar_benign_requests_len};
        return true;
    case 1:
        *out = (weir_builtin_grammar_t){"benign_languages.txt", weir_grammar_benign_languages,
                                        weir_grammar_benign_languages_len};
        return true;
    case 2:
        *out = (weir_builtin_grammar_t){"benign_technical.txt", weir_grammar_benign_technical,
                                        weir_grammar_benign_technical_len};
        return true;
    case 3:
        *out = (weir_builtin_grammar_t){"injections.txt", weir_grammar_injections,
                                        weir_grammar_injections_len};
        return true;
    case 4:
        *out = (weir_builtin_grammar_t){"toxicity.txt", weir_grammar_toxicity,
                                        weir_grammar_toxicity_len};
        return true;
    default:
        return false;
    }
}

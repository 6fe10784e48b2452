#include "lua-free-filters/error_document.h"

#include <string.h>

#include "t/support/tap.h"

static const struct {
    const char *text;
    weir_error_document_t want; /* of the whole body */
} cases[] = {
    {"{\"error\":{\"message\":\"no\"}}", WEIR_ERROR_DOCUMENT_YES},
    {"\r\n\t {\n  \"error\" : {", WEIR_ERROR_DOCUMENT_YES},
    {"{\"error\":\"no\"}", WEIR_ERROR_DOCUMENT_YES},
    {"{\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}", WEIR_ERROR_DOCUMENT_YES},
    {"{ \"object\": \"error\", \"message\": \"no\" }", WEIR_ERROR_DOCUMENT_YES},
    {"{\"error\":null,\"id\":\"x\"}", WEIR_ERROR_DOCUMENT_NO},
    {"{\"error\":false}", WEIR_ERROR_DOCUMENT_NO},
    {"{\"errors\":{}}", WEIR_ERROR_DOCUMENT_NO},
    {"{\"err\":{}}", WEIR_ERROR_DOCUMENT_NO},
    {"{\"type\":\"errors\"}", WEIR_ERROR_DOCUMENT_NO},
    {"{\"type\":\"message\",\"error\":{}}", WEIR_ERROR_DOCUMENT_NO},
    {"{\"object\":\"chat.completion\"}", WEIR_ERROR_DOCUMENT_NO},
    {"{\"id\":\"resp_1\",\"status\":\"failed\",\"error\":{}}", WEIR_ERROR_DOCUMENT_NO},
    {"[{\"error\":{}}]", WEIR_ERROR_DOCUMENT_NO},
    {"\"error\"", WEIR_ERROR_DOCUMENT_NO},
    {"", WEIR_ERROR_DOCUMENT_MORE},
    {"{", WEIR_ERROR_DOCUMENT_MORE},
    {"{\"error\":", WEIR_ERROR_DOCUMENT_MORE},
    {"{\"obj", WEIR_ERROR_DOCUMENT_MORE},
};

int main(void)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *text = cases[i].text;
        size_t len = strlen(text);
        weir_error_document_t last = WEIR_ERROR_DOCUMENT_MORE;
        bool steady = true;

        for (size_t n = 0; n <= len; n++) {
            weir_error_document_t got = weir_error_document(text, n);
            steady = steady && (last == WEIR_ERROR_DOCUMENT_MORE || got == last);
            last = got;
        }
        is_int(last, cases[i].want, "body %zu: the verdict", i);
        ok(steady, "body %zu: one that stays", i);
    }

    char blanks[WEIR_ERROR_DOCUMENT_BYTES + 16];
    memset(blanks, ' ', sizeof(blanks));
    memcpy(blanks + sizeof(blanks) - 11, "{\"error\":{}}", 11);
    is_int(weir_error_document(blanks, WEIR_ERROR_DOCUMENT_BYTES - 1), WEIR_ERROR_DOCUMENT_MORE,
           "blanks only");
    is_int(weir_error_document(blanks, WEIR_ERROR_DOCUMENT_BYTES), WEIR_ERROR_DOCUMENT_NO,
           "not for ever");
    is_int(weir_error_document(blanks, sizeof(blanks)), WEIR_ERROR_DOCUMENT_NO,
           "whatever comes behind");
    is_int(weir_error_document("{\0\"error\":{", 11), WEIR_ERROR_DOCUMENT_NO, "a NUL is no blank");
    return done_testing();
}

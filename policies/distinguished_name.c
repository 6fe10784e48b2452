#include "policies/distinguished_name.h"

#include "engine/base/hex.h"

typedef struct {
    const char *at;
    const char *end;
} cursor_t;

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool same_type(weir_str_t a, weir_str_t b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.data[i]) != lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

/* A type: letters, digits, hyphens and dots up to the equals sign. */
static bool read_type(cursor_t *c, weir_str_t *type)
{
    const char *start;

    while (c->at < c->end && *c->at == ' ') {
        c->at++;
    }
    start = c->at;
    while (c->at < c->end && *c->at != '=') {
        char l = lower(*c->at);
        if (!((l >= 'a' && l <= 'z') || (l >= '0' && l <= '9') || l == '-' || l == '.')) {
            return false;
        }
        c->at++;
    }
    *type = weir_str(start, (size_t)(c->at - start));
    return c->at++ < c->end && type->len > 0;
}

/* A value up to an unescaped comma or plus. Values in the #hex form and in quotes (RFC 2253's
 * elder way) are refused: no certificate authority that NGINX talks to writes them for names. */
static bool read_value(cursor_t *c, char out[WEIR_DN_VALUE_MAX + 1], size_t *len)
{
    size_t n = 0;

    if (c->at < c->end && *c->at == '#') {
        return false;
    }
    while (c->at < c->end && *c->at != ',' && *c->at != '+') {
        char byte = *c->at++;
        if (byte == '"' || byte == ';' || byte == '<' || byte == '>' || byte == '\0') {
            return false;
        }
        if (byte == '\\') {
            if (c->at == c->end) {
                return false;
            }
            byte = *c->at++;
            if (weir_hex_digit(byte) >= 0) {
                if (c->at == c->end || weir_hex_digit(*c->at) < 0) {
                    return false;
                }
                byte = (char)(weir_hex_digit(byte) << 4 | weir_hex_digit(*c->at++));
            } else if (strchr(" \"#+,;<=>\\", byte) == NULL) {
                return false;
            }
        }
        if (byte == '\0' || n == WEIR_DN_VALUE_MAX) {
            return false;
        }
        out[n++] = byte;
    }
    out[n] = '\0';
    *len = n;
    return true;
}

bool weir_dn_attribute(weir_str_t name, weir_str_t type, char value[WEIR_DN_VALUE_MAX + 1],
                       size_t *len)
{
    cursor_t c = {name.data, name.data + name.len};
    char other[WEIR_DN_VALUE_MAX + 1] = "";
    size_t other_len;
    bool found = false;

    while (c.at < c.end) {
        weir_str_t this_type;
        bool wanted;
        if (!read_type(&c, &this_type)) {
            return false;
        }
        wanted = same_type(this_type, type);
        if ((wanted && found) ||
            !read_value(&c, wanted ? value : other, wanted ? len : &other_len)) {
            return false;
        }
        found = found || wanted;
        if (c.at < c.end && ++c.at == c.end) {
            return false; /* a comma or plus with nothing behind it */
        }
    }
    return found;
}

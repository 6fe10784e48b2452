/* Characters of base64. Any thread. */
#ifndef WEIR_BASE_BASE64_H
#define WEIR_BASE_BASE64_H

/* The six bits of a character of either alphabet (RFC 4648 sections 4 and 5); -1: in neither. */
static inline int weir_base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

#endif

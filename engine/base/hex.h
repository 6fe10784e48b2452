/* Hexadecimal digits. Any thread. */
#ifndef WEIR_BASE_HEX_H
#define WEIR_BASE_HEX_H

/* The digit's value, whatever its case; -1 for any other character. */
static inline int weir_hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The same for formats that have small letters only. */
static inline int weir_hex_digit_lower(char c)
{
    return c >= 'A' && c <= 'F' ? -1 : weir_hex_digit(c);
}

#endif

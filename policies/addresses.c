#include "policies/addresses.h"

#include <arpa/inet.h>
#include <stdlib.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* A decimal number of at most 128 without sign or leading zero. */
static bool parse_prefix(weir_str_t text, unsigned max, unsigned *out)
{
    unsigned n = 0;

    if (text.len == 0 || text.len > 3 || (text.len > 1 && text.data[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        n = n * 10 + (unsigned)(text.data[i] - '0');
    }
    *out = n;
    return n <= max;
}

bool weir_address_range_parse(weir_str_t text, weir_address_range_t *out)
{
    char host[INET6_ADDRSTRLEN + 1];
    const char *slash = memchr(text.data, '/', text.len);
    size_t host_len = slash == NULL ? text.len : (size_t)(slash - text.data);
    unsigned bits;
    unsigned prefix;

    if (host_len == 0 || host_len >= sizeof(host) || memchr(text.data, '\0', host_len) != NULL) {
        return false;
    }
    memcpy(host, text.data, host_len);
    host[host_len] = '\0';
    if (inet_pton(AF_INET, host, out->first + sizeof(mapped)) == 1) {
        memcpy(out->first, mapped, sizeof(mapped));
        bits = 32;
    } else if (inet_pton(AF_INET6, host, out->first) == 1) {
        bits = 128;
    } else {
        return false;
    }
    prefix = bits;
    if (slash != NULL &&
        !parse_prefix(weir_str(slash + 1, text.len - host_len - 1), bits, &prefix)) {
        return false;
    }
    prefix += 128 - bits;
    for (unsigned i = 0; i < 16; i++) {
        unsigned fixed = prefix <= 8 * i ? 0 : prefix - 8 * i >= 8 ? 8 : prefix - 8 * i;
        uint8_t free_bits = (uint8_t)(0xffu >> fixed);
        if ((out->first[i] & free_bits) != 0) {
            return false;
        }
        out->last[i] = out->first[i] | free_bits;
    }
    return true;
}

static int compare_ranges(const void *a, const void *b)
{
    return memcmp(((const weir_address_range_t *)a)->first,
                  ((const weir_address_range_t *)b)->first, 16);
}

void weir_addresses_build(weir_addresses_t *out, weir_address_range_t *ranges, size_t n)
{
    size_t kept = 0;

    if (n > 0) {
        qsort(ranges, n, sizeof(*ranges), compare_ranges);
    }
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && memcmp(ranges[i].first, ranges[kept - 1].last, 16) <= 0) {
            if (memcmp(ranges[i].last, ranges[kept - 1].last, 16) > 0) {
                memcpy(ranges[kept - 1].last, ranges[i].last, 16);
            }
        } else {
            ranges[kept++] = ranges[i];
        }
    }
    out->ranges = ranges;
    out->n = kept;
}

bool weir_addresses_contain(const weir_addresses_t *set, const uint8_t *address, size_t len)
{
    uint8_t whole[16];
    size_t low = 0;
    size_t high = set->n;

    if (len == 4) {
        memcpy(whole, mapped, sizeof(mapped));
        memcpy(whole + sizeof(mapped), address, 4);
    } else if (len == 16) {
        memcpy(whole, address, 16);
    } else {
        return false;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(whole, set->ranges[middle].first, 16) < 0) {
            high = middle;
        } else if (memcmp(whole, set->ranges[middle].last, 16) > 0) {
            low = middle + 1;
        } else {
            return true;
        }
    }
    return false;
}

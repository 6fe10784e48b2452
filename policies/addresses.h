/*
 * Sets of addresses: CIDR blocks (RFC 4632, RFC 4291) as sorted ranges. Private to this folder;
 * immutable once built.
 */
#ifndef WEIR_POLICIES_ADDRESSES_H
#define WEIR_POLICIES_ADDRESSES_H

#include "engine/base/arena.h"

/* Every address as 16 bytes; IPv4 as its mapped form ::ffff:a.b.c.d (RFC 4291, 2.5.5.2). */
typedef struct {
    uint8_t first[16];
    uint8_t last[16];
} weir_address_range_t;

typedef struct {
    weir_address_range_t *ranges; /* sorted, not overlapping */
    size_t n;
} weir_addresses_t;

/* "10.0.0.0/8", "192.0.2.7", "2001:db8::/32": false for anything else, also when bits behind the
 * prefix are set (a slip that would widen or narrow the block unseen). */
bool weir_address_range_parse(weir_str_t text, weir_address_range_t *out);

/* Sorts and merges the n ranges in place and takes them over. */
void weir_addresses_build(weir_addresses_t *out, weir_address_range_t *ranges, size_t n);

/* len 4 or 16, network order; else false. */
bool weir_addresses_contain(const weir_addresses_t *set, const uint8_t *address, size_t len);

#endif

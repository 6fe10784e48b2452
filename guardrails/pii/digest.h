/* Keccak-256 with the original padding (as Ethereum and Monero use it; not FIPS 202's SHA3-256). */
#ifndef WEIR_GUARDRAILS_PII_DIGEST_H
#define WEIR_GUARDRAILS_PII_DIGEST_H

#include <stddef.h>
#include <stdint.h>

void weir_guard_keccak256(const uint8_t *data, size_t len, uint8_t hash[32]);

#endif

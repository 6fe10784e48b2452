/*
 * The URLs of outgoing calls: "http://", "https://", and "http://unix:/path.sock[:/uri]" for a Unix
 * socket, as NGINX writes it. And which addresses are public, so that a URL that came from data
 * cannot be turned against the own network (server-side request forgery).
 */
#ifndef WEIR_FILTERS_HTTP_URL_H
#define WEIR_FILTERS_HTTP_URL_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

typedef struct {
    bool tls;
    bool ipv6;            /* host was in brackets */
    weir_str_t host;      /* a name or an address, without brackets; empty for a Unix socket */
    weir_str_t socket;    /* path of a Unix socket, or empty */
    weir_str_t authority; /* for Host: host and port as written; empty for a Unix socket */
    uint16_t port;        /* the scheme's when none was written; 0 for a Unix socket */
    weir_str_t path;      /* path and query; may be empty or start with '?': "/" goes before it */
} weir_http_url_t;

/*
 * All strings are views into url. Refused (INVALID, with a message that holds nothing of the URL):
 * other schemes, credentials, fragments, bytes outside printable ASCII, blanks, backslashes, hosts
 * with other characters than letters, digits, '.', '-' and '_', ports outside 1 to 65535.
 */
weir_status_t weir_http_url_parse(weir_str_t url, weir_http_url_t *out, weir_error_t *err);

/*
 * Whether an address (4 or 16 bytes in network order) is one that anybody in the Internet could
 * have: not this machine, a private or link-local network, a multicast group, an example, or a
 * transition format that carries such an IPv4 address. Other lengths: false.
 */
bool weir_address_is_public(const uint8_t *address, size_t len);

#endif

#include "lua-free-filters/http_url.h"

/* RFC 1035, 2.3.4. */
#define MAX_HOST 253
/* sizeof(sun_path) on Linux, less the NUL. */
#define MAX_SOCKET 107

static bool starts_with(weir_str_t s, const char *lower)
{
    size_t n = strlen(lower);
    if (s.len < n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        char c = s.data[i];
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != lower[i]) {
            return false;
        }
    }
    return true;
}

static weir_str_t skip(weir_str_t s, size_t n)
{
    return weir_str(s.data + n, s.len - n);
}

static weir_status_t check_bytes(weir_str_t url, weir_error_t *err)
{
    for (size_t i = 0; i < url.len; i++) {
        unsigned char c = (unsigned char)url.data[i];
        if (c <= ' ' || c > '~' || c == '\\') {
            return weir_error(err, WEIR_ERR_INVALID,
                              "the URL holds a byte that must be percent-encoded");
        }
        if (c == '#') {
            return weir_error(err, WEIR_ERR_INVALID, "the URL has a fragment (#)");
        }
    }
    return WEIR_OK;
}

static weir_status_t parse_port(weir_str_t text, uint16_t *port, weir_error_t *err)
{
    unsigned n = 0;
    for (size_t i = 0; i < text.len && n <= 65535; i++) {
        unsigned digit = (unsigned char)text.data[i] - (unsigned)'0';
        n = digit > 9 ? 65536 : n * 10 + digit;
    }
    if (n == 0 || n > 65535) {
        return weir_error(err, WEIR_ERR_INVALID, "the URL's port is not from 1 to 65535");
    }
    *port = (uint16_t)n;
    return WEIR_OK;
}

static bool is_host_char(char c, bool ipv6)
{
    if ((c >= '0' && c <= '9') || c == '.') {
        return true;
    }
    if (ipv6) {
        return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':';
    }
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

/* rest: "path.sock[:uri]" */
static weir_status_t parse_unix(weir_str_t rest, weir_http_url_t *out, weir_error_t *err)
{
    const char *colon = memchr(rest.data, ':', rest.len);
    size_t n = colon == NULL ? rest.len : (size_t)(colon - rest.data);
    if (n == 0 || n > MAX_SOCKET) {
        return weir_error(err, WEIR_ERR_INVALID,
                          "the URL's Unix socket is not a path of 1 to %d bytes", MAX_SOCKET);
    }
    out->socket = weir_str(rest.data, n);
    out->port = 0;
    out->path = colon == NULL ? skip(rest, rest.len) : skip(rest, n + 1);
    if (out->path.len > 0 && out->path.data[0] != '/' && out->path.data[0] != '?') {
        return weir_error(err, WEIR_ERR_INVALID,
                          "the URL's part behind the Unix socket does not start with a slash");
    }
    return WEIR_OK;
}

static weir_status_t parse_authority(weir_http_url_t *out, weir_error_t *err)
{
    weir_str_t a = out->authority;
    size_t n = 0;
    if (a.len > 0 && a.data[0] == '[') {
        const char *close = memchr(a.data, ']', a.len);
        if (close == NULL) {
            return weir_error(err, WEIR_ERR_INVALID, "the URL's IPv6 address has no end (])");
        }
        out->ipv6 = true;
        out->host = weir_str(a.data + 1, (size_t)(close - a.data) - 1);
        n = out->host.len + 2;
    } else {
        const char *colon = memchr(a.data, ':', a.len);
        n = colon == NULL ? a.len : (size_t)(colon - a.data);
        out->host = weir_str(a.data, n);
    }
    if (out->host.len == 0 || out->host.len > MAX_HOST || out->host.data[0] == '.') {
        return weir_error(err, WEIR_ERR_INVALID, "the URL has no host of 1 to %d bytes", MAX_HOST);
    }
    for (size_t i = 0; i < out->host.len; i++) {
        if (!is_host_char(out->host.data[i], out->ipv6)) {
            return weir_error(err, WEIR_ERR_INVALID,
                              "the URL's host holds a byte that no host name has");
        }
    }
    if (n == a.len) {
        return WEIR_OK;
    }
    if (a.data[n] != ':') {
        return weir_error(err, WEIR_ERR_INVALID, "the URL has something behind its address");
    }
    return parse_port(skip(a, n + 1), &out->port, err);
}

weir_status_t weir_http_url_parse(weir_str_t url, weir_http_url_t *out, weir_error_t *err)
{
    memset(out, 0, sizeof(*out));
    weir_status_t status = check_bytes(url, err);
    if (status != WEIR_OK) {
        return status;
    }
    if (starts_with(url, "https://")) {
        out->tls = true;
    } else if (!starts_with(url, "http://")) {
        return weir_error(err, WEIR_ERR_INVALID,
                          "the URL starts with neither http:// nor https://");
    }
    out->port = out->tls ? 443 : 80;
    weir_str_t rest = skip(url, out->tls ? 8 : 7);
    if (starts_with(rest, "unix:")) {
        return parse_unix(skip(rest, 5), out, err);
    }
    size_t n = 0;
    while (n < rest.len && rest.data[n] != '/' && rest.data[n] != '?') {
        if (rest.data[n] == '@') {
            return weir_error(err, WEIR_ERR_INVALID, "the URL carries credentials (@)");
        }
        n++;
    }
    out->authority = weir_str(rest.data, n);
    out->path = skip(rest, n);
    return parse_authority(out, err);
}

static bool in_range(const uint8_t *address, const uint8_t *prefix, unsigned bits)
{
    if (memcmp(address, prefix, bits / 8) != 0) {
        return false;
    }
    unsigned rest = bits % 8;
    return rest == 0 || ((address[bits / 8] ^ prefix[bits / 8]) >> (8 - rest)) == 0;
}

typedef struct {
    uint8_t prefix[4];
    unsigned bits;
} range_t;

/* The IANA registries of special-purpose addresses, those that are not globally reachable; also
 * 192.88.99.0/24 and 2002::/16 (relays), multicast and what is reserved. */
static const range_t ipv4_special[] = {
    {{0, 0, 0, 0}, 8},      {{10, 0, 0, 0}, 8},     {{100, 64, 0, 0}, 10}, {{127, 0, 0, 0}, 8},
    {{169, 254, 0, 0}, 16}, {{172, 16, 0, 0}, 12},  {{192, 0, 0, 0}, 24},  {{192, 0, 2, 0}, 24},
    {{192, 88, 99, 0}, 24}, {{192, 168, 0, 0}, 16}, {{198, 18, 0, 0}, 15}, {{198, 51, 100, 0}, 24},
    {{203, 0, 113, 0}, 24}, {{224, 0, 0, 0}, 4},    {{240, 0, 0, 0}, 4},
};

static const range_t ipv6_special[] = {
    {{0x20, 0x01, 0x00, 0x00}, 23}, /* 2001::/23: Teredo, ORCHID, benchmarking */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* examples */
    {{0x20, 0x02, 0x00, 0x00}, 16}, /* 6to4 */
    {{0x3f, 0xff, 0x00, 0x00}, 20}, /* examples */
};

static bool in_any(const uint8_t *address, const range_t *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (in_range(address, ranges[i].prefix, ranges[i].bits)) {
            return true;
        }
    }
    return false;
}

bool weir_address_is_public(const uint8_t *address, size_t len)
{
    static const uint8_t global_unicast[1] = {0x20}; /* 2000::/3 */
    if (len == 4) {
        return !in_any(address, ipv4_special, sizeof(ipv4_special) / sizeof(ipv4_special[0]));
    }
    if (len == 16) {
        return in_range(address, global_unicast, 3) &&
               !in_any(address, ipv6_special, sizeof(ipv6_special) / sizeof(ipv6_special[0]));
    }
    return false;
}

/* Whatever the URL, its parts are views into it that hold what the interface promises. */
#include <stdlib.h>

#include "lua-free-filters/http_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(weir_str_t part, weir_str_t url)
{
    if (part.len > 0 && (part.data < url.data || part.data + part.len > url.data + url.len)) {
        abort();
    }
    for (size_t i = 0; i < part.len; i++) {
        if (part.data[i] <= ' ' || part.data[i] > '~' || part.data[i] == '#') {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    weir_http_url_t u;
    weir_error_t err;
    weir_str_t url = weir_str((const char *)data, size);

    (void)weir_address_is_public(data, size);
    if (weir_http_url_parse(url, &u, &err) != WEIR_OK) {
        return 0;
    }
    check(u.host, url);
    check(u.socket, url);
    check(u.authority, url);
    check(u.path, url);
    if ((u.host.len == 0) == (u.socket.len == 0) || (u.port == 0) != (u.host.len == 0) ||
        (u.path.len > 0 && u.path.data[0] != '/' && u.path.data[0] != '?') ||
        (u.authority.len > 0 && memchr(u.authority.data, '@', u.authority.len) != NULL)) {
        abort();
    }
    return 0;
}

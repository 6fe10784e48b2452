#include "lua-free-filters/http_url.h"

#include <arpa/inet.h>

#include "t/support/tap.h"

static void test_good(void)
{
    static const struct {
        const char *url;
        const char *host;
        const char *socket;
        const char *authority;
        const char *path;
        int port;
        bool tls;
        bool ipv6;
    } cases[] = {
        {"http://example.com", "example.com", "", "example.com", "", 80, false, false},
        {"HTTPS://Example.com/", "Example.com", "", "Example.com", "/", 443, true, false},
        {"https://h:8443/a/b?c=d&e", "h", "", "h:8443", "/a/b?c=d&e", 8443, true, false},
        {"http://h?q", "h", "", "h", "?q", 80, false, false},
        {"http://127.0.0.1:1/x", "127.0.0.1", "", "127.0.0.1:1", "/x", 1, false, false},
        {"http://[::1]:80/x", "::1", "", "[::1]:80", "/x", 80, false, true},
        {"http://[fe80::1]", "fe80::1", "", "[fe80::1]", "", 80, false, true},
        {"http://h/a@b:c", "h", "", "h", "/a@b:c", 80, false, false},
        {"http://unix:/run/a.sock:/b?c", "", "/run/a.sock", "", "/b?c", 0, false, false},
        {"http://unix:/run/a.sock", "", "/run/a.sock", "", "", 0, false, false},
        {"http://unix:a.sock:/b", "", "a.sock", "", "/b", 0, false, false},
        {"https://unix:/run/a.sock:", "", "/run/a.sock", "", "", 0, true, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_http_url_t u;
        weir_error_t err;
        weir_status_t status =
            weir_http_url_parse(weir_str(cases[i].url, strlen(cases[i].url)), &u, &err);
        ok(status == WEIR_OK && u.tls == cases[i].tls && u.ipv6 == cases[i].ipv6 &&
               weir_str_is(u.host, cases[i].host) && weir_str_is(u.socket, cases[i].socket) &&
               weir_str_is(u.authority, cases[i].authority) && u.port == cases[i].port &&
               weir_str_is(u.path, cases[i].path),
           "%s", cases[i].url);
    }
}

static void test_bad(void)
{
    static const char *const cases[] = {"",
                                        "http:",
                                        "http://",
                                        "http:///x",
                                        "ftp://h/",
                                        "file:///etc/passwd",
                                        "//h/",
                                        "h",
                                        "https:/h",
                                        "http://user@h/",
                                        "http://u:p@h/",
                                        "http://h@evil/",
                                        "http://h\\@evil/",
                                        "http://h#x",
                                        "http://h/#x",
                                        "http://h/a b",
                                        "http://h/\r\nX: y",
                                        "http://h/\x7f",
                                        "http://h/\xc3\xa4",
                                        "http://h:/",
                                        "http://h:0/",
                                        "http://h:65536/",
                                        "http://h:99999999999999999999/",
                                        "http://h:8a/",
                                        "http://h:-1/",
                                        "http://[::1",
                                        "http://[::1]x/",
                                        "http://[]/",
                                        "http://[g::]/",
                                        "http://[::1%25eth0]/",
                                        "http://a%2eb/",
                                        "http://a,b/",
                                        "http://.a/",
                                        "http://::1/",
                                        "http://unix:",
                                        "http://unix::/x",
                                        "http://unix:/a:b"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_http_url_t u;
        weir_error_t err;
        weir_status_t status = weir_http_url_parse(weir_str(cases[i], strlen(cases[i])), &u, &err);
        ok(status == WEIR_ERR_INVALID && err.message[0] != 0, "refused: case %zu", i);
    }
    char host[300] = "http://";
    memset(host + 7, 'a', 254);
    weir_http_url_t u;
    weir_error_t err;
    ok(weir_http_url_parse(weir_str(host, 7 + 254), &u, &err) != WEIR_OK, "254 bytes of host");
    ok(weir_http_url_parse(weir_str(host, 7 + 253), &u, &err) == WEIR_OK, "253 bytes of host");
}

static bool is_public(const char *text)
{
    uint8_t address[16];
    bool v6 = strchr(text, ':') != NULL;
    if (inet_pton(v6 ? AF_INET6 : AF_INET, text, address) != 1) {
        diag("not an address: %s", text);
        return false;
    }
    return weir_address_is_public(address, v6 ? 16 : 4);
}

static void test_addresses(void)
{
    static const char *const others[] = {"0.0.0.0",
                                         "0.255.255.255",
                                         "10.0.0.1",
                                         "10.255.255.255",
                                         "100.64.0.1",
                                         "100.127.255.255",
                                         "127.0.0.1",
                                         "127.255.255.255",
                                         "169.254.169.254",
                                         "172.16.0.1",
                                         "172.31.255.255",
                                         "192.0.0.1",
                                         "192.0.2.1",
                                         "192.168.0.1",
                                         "192.168.255.255",
                                         "198.18.0.1",
                                         "198.19.255.255",
                                         "198.51.100.7",
                                         "203.0.113.7",
                                         "224.0.0.1",
                                         "239.1.2.3",
                                         "240.0.0.1",
                                         "255.255.255.255",
                                         "192.88.99.1",
                                         "::",
                                         "::1",
                                         "::ffff:127.0.0.1",
                                         "::ffff:8.8.8.8",
                                         "64:ff9b::a00:1",
                                         "fc00::1",
                                         "fd12::1",
                                         "fe80::1",
                                         "fec0::1",
                                         "ff02::1",
                                         "2001:db8::1",
                                         "2001::1",
                                         "2002:7f00:1::",
                                         "3fff::1",
                                         "100::1",
                                         "4000::1"};
    static const char *const good[] = {
        "8.8.8.8",         "1.1.1.1",         "9.255.255.255", "11.0.0.0",        "100.63.255.255",
        "100.128.0.0",     "126.255.255.255", "128.0.0.0",     "169.253.255.255", "172.15.255.255",
        "172.32.0.0",      "192.167.255.255", "192.169.0.0",   "198.17.255.255",  "198.20.0.0",
        "223.255.255.255", "2606:4700::1111", "2a00:1450::1",  "2001:4860::8888"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        ok(!is_public(others[i]), "%s is not public", others[i]);
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ok(is_public(good[i]), "%s is public", good[i]);
    }
    ok(!weir_address_is_public((const uint8_t *)"\x08\x08", 2), "two bytes are no address");
}

int main(void)
{
    test_good();
    test_bad();
    test_addresses();
    return done_testing();
}

#!/usr/bin/env python3
"""Who gets through the gateway, and that nobody else does: every kind of key, and hostile requests
and configurations with an upstream that records whatever reaches it."""

import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import weirhttp2  # noqa: E402
from weirgateway import KEYS, Gateway, bearer, completion, key_id, usage_object  # noqa: E402
from weirnginx import Upstream, request  # noqa: E402
from weirtap import diag, done_testing, is_, ok  # noqa: E402


def answer(received, reply):
    if received.path.startswith("/accel"):
        reply.send(200, "", {"X-Accel-Redirect": "/governed/from-accel"})
    else:
        reply.json(200, completion(usage=usage_object(3, 2)))


up = Upstream(answer)

MORE = """
    }

    # Ways around a phase, a location or a request; @upstream@ records what arrives.

    server {
        listen 127.0.0.1:@port2@;
        weir on;
        weir_pass_through all;
        root @dir@;

        location /satisfy/ { satisfy any; allow all; proxy_pass http://engine; }
        location /deny/ { satisfy any; deny all; proxy_pass http://engine; }

        location /error-page/ {
            error_page 401 403 400 =200 @named;
            proxy_pass http://engine;
        }
        location /error-uri/ {
            error_page 401 403 =200 /backend/x;
            proxy_pass http://engine;
        }
        location /return/ { error_page 418 = @named; return 418; }
        location /missing/ { error_page 404 = @named; root @dir@/nowhere; }
        location /try/ { try_files /nothing-here @named; }
        location /try-uri/ { try_files /nothing-here /backend/try; }
        location /rewrite/ { rewrite ^ /backend/rewritten last; }
        location /rewrite-break/ { rewrite ^ /broken break; proxy_pass http://engine; }
        location /if/ {
            if ($request_method = POST) { proxy_pass http://engine; }
            return 404;
        }
        location /auth-request/ { auth_request /always-yes; proxy_pass http://engine; }
        location = /always-yes { weir off; return 204; }
        location /limit-except/ {
            limit_except GET { deny all; }
            proxy_pass http://engine;
        }
        location /intercept/ {
            proxy_intercept_errors on;
            error_page 401 403 404 500 502 = @named;
            proxy_pass http://engine;
        }
        location /backend/ { proxy_pass http://engine; }
        location @named { proxy_pass http://engine; }
    }

    # Locations that are not governed and lead to one that is.

    server {
        listen 127.0.0.1:@port3@;
        root @dir@;

        location /governed/ { weir on; weir_pass_through all; proxy_pass http://engine; }
        location @governed { weir on; weir_pass_through all; proxy_pass http://engine; }

        location = /ssi.html { ssi on; }
        location /mirror/ { mirror /governed/mirrored; return 200 "mirrored"; }
        location /mirror-body/ { mirror /governed/mirrored; try_files /page.txt =404; }
        location /auth/ { auth_request /governed/check; try_files /page.txt =404; }
        location /accel/ { proxy_pass http://engine; }
        location /addition/ {
            add_before_body /governed/before;
            add_after_body /governed/after;
            addition_types *;
            try_files /page.txt =404;
        }
        location /error/ { error_page 404 = @governed; try_files /nothing-here =404; }
        location /error-uri/ { error_page 404 /governed/error; try_files /nothing-here =404; }
        location /post-action/ { post_action /governed/post; try_files /page.txt =404; }
        location /dir/ { index /governed/index; }
    }

    server {
        listen 127.0.0.1:@port4@ http2;
        weir on;
        weir_pass_through all;
        location / { proxy_pass http://engine; include @root@/config/weir-proxy.conf; }
"""

gw = Gateway(up, more_server=MORE.replace("@upstream@", "the upstream"), log_level="notice")
gw.file("page.txt", "page\n")
gw.file("ssi.html", "".join('<!--# include virtual="/governed/%s" -->' % x for x in "ab"))

PATH = "/v1/chat/completions"


def post(headers, path=PATH, port=None):
    return gw.request("POST", path, json={"model": "tiny"}, headers=headers, port=port)


# -- one of each

MATRIX = [
    ("no key", {}, 401, "invalid_api_key", "missing_key", None),
    ("a good key", bearer("good"), 200, None, None, "good"),
    ("a second key of the tenant", bearer("good2"), 200, None, None, "good2"),
    ("another tenant's key", bearer("other"), 200, None, None, "other"),
    ("x-api-key", {"x-api-key": KEYS["good"]}, 200, None, None, "good"),
    ("api-key", {"api-key": KEYS["good"]}, 200, None, None, "good"),
    ("X-API-KEY", {"X-API-KEY": KEYS["good"]}, 200, None, None, "good"),
    ("bearer in lower case", {"Authorization": "bearer " + KEYS["good"]}, 200, None, None, "good"),
    ("more blanks", {"Authorization": "Bearer    " + KEYS["good"]}, 200, None, None, "good"),
    ("one key in two headers", {**bearer("good"), "x-api-key": KEYS["good"]}, 200, None, None,
     "good"),
    ("one key in three headers", {**bearer("good"), "x-api-key": KEYS["good"],
                                  "api-key": KEYS["good"]}, 200, None, None, "good"),
    ("an unknown key", bearer("unknown"), 401, "invalid_api_key", "invalid_key", None),
    ("a wrong secret", bearer("wrong_secret"), 401, "invalid_api_key", "invalid_key", None),
    ("an expired key", bearer("expired"), 401, "invalid_api_key", "expired_key", "expired"),
    ("a disabled key", bearer("disabled"), 403, "api_key_disabled", "disabled_key", "disabled"),
    ("a disabled tenant", bearer("tenant_disabled"), 403, "tenant_disabled", "disabled_tenant",
     "tenant_disabled"),
    ("two different keys", {**bearer("good"), "x-api-key": KEYS["other"]}, 400,
     "conflicting_credentials", "conflicting_keys", None),
    ("a good and a wrong key", {**bearer("unknown"), "api-key": KEYS["good"]}, 400,
     "conflicting_credentials", "conflicting_keys", None),
    ("a good and an empty key", {**bearer("good"), "x-api-key": ""}, 400,
     "conflicting_credentials", "conflicting_keys", None),
    ("basic authentication", {"Authorization": "Basic " + KEYS["good"]}, 401, "invalid_api_key",
     "bad_scheme", None),
    ("a bare key", {"Authorization": KEYS["good"]}, 401, "invalid_api_key", "bad_scheme", None),
    ("a scheme without a key", {"Authorization": "Bearer"}, 401, "invalid_api_key", "bad_scheme",
     None),
    ("an empty header", {"Authorization": ""}, 401, "invalid_api_key", "bad_scheme", None),
    ("two keys in a list", {"Authorization": "Bearer %s, Bearer %s" % (KEYS["good"], KEYS["good"])},
     401, "invalid_api_key", "invalid_key", None),
    ("a key with a tail", {"Authorization": "Bearer " + KEYS["good"] + "x"}, 401,
     "invalid_api_key", "invalid_key", None),
    ("a key cut short", {"Authorization": "Bearer " + KEYS["good"][:-1]}, 401, "invalid_api_key",
     "invalid_key", None),
    ("a key in capitals", {"Authorization": "Bearer " + KEYS["good"].upper()}, 401,
     "invalid_api_key", "invalid_key", None),
    ("a quoted key", {"Authorization": 'Bearer "%s"' % KEYS["good"]}, 401, "invalid_api_key",
     "invalid_key", None),
    ("only the key's id", {"x-api-key": "wk_" + key_id("good")}, 401, "invalid_api_key",
     "invalid_key", None),
    ("a very long key", {"x-api-key": "wk_" + "a" * 4000}, 401, "invalid_api_key", "invalid_key",
     None),
    ("an empty x-api-key", {"x-api-key": ""}, 401, "invalid_api_key", "missing_key", None),
]

gw.settled()
for name, headers, status, code, reason, who in MATRIX:
    before = len(up.requests)
    rows = len(gw.usage())
    r = post(headers)
    row = gw.usage(rows + 1)[-1]
    is_(r.status, status, "%s: %d" % (name, status))
    reached = len(up.requests) - before
    is_(reached, 1 if status == 200 else 0, "%s: %s the upstream"
        % (name, "reaches" if status == 200 else "does not reach"))
    if status == 200:
        sent = up.requests[-1].headers
        is_(sent.get("x-weir-cache-scope"), "beta" if who == "other" else "acme",
            "%s: the upstream is told the tenant" % name)
        ok(not any(KEYS[k] in v for k in KEYS for v in sent.values()),
           "%s: the upstream does not see the key" % name)
        continue
    error = r.json()["error"]
    is_(sorted(error), ["code", "message", "param", "type"], "%s: the shape of the error" % name)
    is_(error["code"], code, "%s: code %s" % (name, code))
    is_(r.headers["Content-Type"], "application/json", "%s: the type of the answer" % name)
    is_(r.headers.get("WWW-Authenticate"), 'Bearer realm="weir"' if status == 401 else None,
        "%s: the challenge" % name)
    is_((row["status"], row["key_id"], row["usage_source"]),
        (status, key_id(who) if who else None, "none"), "%s: its line in the usage log" % name)
    is_(gw.metrics().get('weir_refused_requests_total{reason="%s"}' % reason, 0) > 0, True,
        "%s: counted as %s" % (name, reason))

ok("Authorization: Bearer" in post({}).json()["error"]["message"],
   "a missing key's message says how to send one")
is_(post({"Authorization": "Bearer " + KEYS["unknown"]}).json(),
    post(bearer("wrong_secret")).json(), "a wrong secret and an unknown key are answered alike")


# -- hostile requests

def hostile(data, port=None, wait=3.0, half_close=True):
    """Sends bytes, closes its half, reads to the end."""
    with socket.create_connection(("127.0.0.1", port or gw.port), wait) as s:
        s.settimeout(wait)
        out = b""
        try:
            s.sendall(data)
            if half_close:
                s.shutdown(socket.SHUT_WR)
            while True:
                piece = s.recv(65536)
                if not piece:
                    break
                out += piece
        except OSError:
            pass
        return out


def lines(*parts, body=b""):
    return "\r\n".join(parts).encode("latin-1") + b"\r\n\r\n" + body


good = "Authorization: Bearer " + KEYS["good"]
bad = "Authorization: Bearer " + KEYS["unknown"]
host = "Host: gateway"
smuggled = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

HOSTILE = [
    # paths
    lines("GET //v1/models HTTP/1.1", host),
    lines("GET /./v1/models HTTP/1.1", host),
    lines("GET /v1/../v1/models HTTP/1.1", host),
    lines("GET /%76%31/models HTTP/1.1", host),
    lines("GET /health/../v1/models HTTP/1.1", host),
    lines("GET /metrics/../v1/models HTTP/1.1", host),
    lines("GET /metrics/v1/models HTTP/1.1", host),
    lines("GET /metrics%2f..%2fv1/models HTTP/1.1", host),
    lines("GET /health%00/v1 HTTP/1.1", host),
    lines("GET /health;/v1 HTTP/1.1", host),
    lines("GET /health/ HTTP/1.1", host),
    lines("GET /HEALTH HTTP/1.1", host),
    lines("GET /v1/models?key=%s HTTP/1.1" % KEYS["good"], host),
    lines("GET /v1/models?api-key=%s HTTP/1.1" % KEYS["good"], host),
    lines("GET /v1/models#/health HTTP/1.1", host),
    lines("GET http://gateway/v1/models HTTP/1.1", host),
    lines("GET http://user:%s@gateway/v1/models HTTP/1.1" % KEYS["good"], host),
    lines("GET http://127.0.0.1:%d/v1/models HTTP/1.1" % up.port, host),
    lines("GET https://elsewhere/v1/models HTTP/1.1", "Host: elsewhere"),
    lines("CONNECT 127.0.0.1:%d HTTP/1.1" % up.port, host),
    lines("OPTIONS * HTTP/1.1", host),
    lines("OPTIONS /v1/models HTTP/1.1", host, "Origin: http://x",
          "Access-Control-Request-Method: POST"),
    # methods and versions
    lines("HEAD /v1/models HTTP/1.1", host),
    lines("TRACE /v1/models HTTP/1.1", host),
    lines("PURGE /v1/models HTTP/1.1", host),
    lines("PROPFIND /v1/models HTTP/1.1", host),
    lines("get /v1/models HTTP/1.1", host),
    lines("GET /v1/models HTTP/1.0"),
    lines("GET /v1/models HTTP/1.1"),
    lines("GET /v1/models HTTP/1.1", "Host: "),
    lines("GET /v1/models HTTP/1.1", host, host),
    lines("GET /v1/models HTTP/2.0", host),
    b"GET /v1/models\r\n",
    b"GET /v1/models HTTP/1.1\nHost: gateway\n\n",
    b"\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: gateway\r\n\r\n",
    # headers
    lines("GET /v1/models HTTP/1.1", host, good, good),
    lines("GET /v1/models HTTP/1.1", host, good, bad),
    lines("GET /v1/models HTTP/1.1", host, bad, good),
    lines("GET /v1/models HTTP/1.1", host, "x-api-key: " + KEYS["good"],
          "x-api-key: " + KEYS["good"]),
    lines("GET /v1/models HTTP/1.1", host, "x-api-key: " + KEYS["unknown"],
          "X-Api-Key: " + KEYS["good"]),
    lines("GET /v1/models HTTP/1.1", host, "x_api_key: " + KEYS["good"]),
    lines("GET /v1/models HTTP/1.1", host, "Authorization : Bearer " + KEYS["good"]),
    lines("GET /v1/models HTTP/1.1", host, " Authorization: Bearer " + KEYS["good"]),
    lines("GET /v1/models HTTP/1.1", host, "X: y", " Authorization: Bearer " + KEYS["good"]),
    lines("GET /v1/models HTTP/1.1", host, "Authorization:\tBearer\t" + KEYS["good"]),
    lines("GET /v1/models HTTP/1.1", host, "Authorization: Bearer\x01" + KEYS["good"]),
    lines("GET /v1/models HTTP/1.1", host, "Proxy-Authorization: Bearer " + KEYS["good"]),
    lines("GET /v1/models HTTP/1.1", host, "Cookie: key=" + KEYS["good"]),
    lines("GET /v1/models HTTP/1.1", host, "X-Weir-Cache-Scope: acme", "X-Weir-Tenant: acme"),
    lines("GET /v1/models HTTP/1.1", host, "X-Original-URL: /health", "X-Rewrite-URL: /health"),
    lines("GET /v1/models HTTP/1.1", host, "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1"),
    lines("GET /v1/models HTTP/1.1", host, "X-HTTP-Method-Override: GET"),
    lines("GET /v1/models HTTP/1.1", host, "X-Accel-Redirect: /backend/"),
    lines("GET /v1/models HTTP/1.1", host, "Connection: Authorization, x-api-key", bad),
    lines("GET /v1/models HTTP/1.1", host, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
          "HTTP2-Settings: AAMAAABkAAQAAP__"),
    lines("GET /v1/realtime HTTP/1.1", host, "Connection: Upgrade", "Upgrade: websocket",
          "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    lines("GET /v1/models HTTP/1.1", host, "Expect: 100-continue", "Content-Length: 5"),
    lines("GET /v1/models HTTP/1.1", host, "Range: bytes=0-0", "If-None-Match: *"),
    lines("GET /v1/models HTTP/1.1", host, *["X-%d: %s" % (i, "a" * 900) for i in range(40)]),
    # bodies
    lines("POST /v1/chat/completions HTTP/1.1", host, "Content-Type: application/json",
          "Content-Length: 76", body=b'{"api_key":"%s"}' % KEYS["good"].encode()),
    lines("POST /v1/chat/completions HTTP/1.1", host, "Content-Length: 0",
          "Content-Length: %d" % len(smuggled), body=smuggled),
    lines("POST /v1/chat/completions HTTP/1.1", host, "Content-Length: %d" % len(smuggled),
          "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + smuggled),
    lines("POST /v1/chat/completions HTTP/1.1", host, "Transfer-Encoding: chunked",
          body=b"0\r\n\r\n" + smuggled),
    lines("POST /v1/chat/completions HTTP/1.1", host, "Transfer-Encoding: chunked",
          "Transfer-Encoding: identity", body=b"0\r\n\r\n" + smuggled),
    lines("POST /v1/chat/completions HTTP/1.1", host, "Transfer-Encoding: xchunked",
          body=b"0\r\n\r\n" + smuggled),
    lines("POST /v1/chat/completions HTTP/1.1", host, "Transfer-Encoding: chunked",
          body=b"zz\r\n" + smuggled),
    lines("POST /v1/chat/completions HTTP/1.1", host, "Content-Length: -1", body=smuggled),
    lines("POST /v1/chat/completions HTTP/1.1", host, "Content-Length: 4",
          body=b"{}\r\n" + smuggled),
    lines("POST /v1/chat/completions HTTP/1.1", host, "Content-Length: 1000000000", body=b"{}"),
    lines("POST /v1/chat/completions HTTP/1.1", host, "Content-Length: 99999999999999999999"),
]

before = len(up.requests)
for i, data in enumerate(HOSTILE):
    got = hostile(data)
    name = data[:60].split(b"\r\n")[0].decode("latin-1")
    if not ok(len(up.requests) == before, "hostile request %d (%s) does not pass" % (i, name)):
        diag("the upstream got %s %s" % (up.requests[-1].method, up.requests[-1].path))
        before = len(up.requests)
    ok(b"chatcmpl-1" not in got, "hostile request %d is not answered by the upstream" % i)

# A request with a key opens the connection to no other request on it.
got = hostile(lines("GET /v1/models HTTP/1.1", host, good)
              + lines("GET /pipelined HTTP/1.1", host, "Connection: close"), half_close=False)
is_(len(up.requests) - before, 1, "of two pipelined requests only the one with a key passes")
ok(got.count(b"HTTP/1.1 200") == 1 and got.count(b"HTTP/1.1 401") == 1,
   "the other one is answered with 401")
before = len(up.requests)
got = hostile(lines("POST /v1/audio/speech HTTP/1.1", host, good,
                    "Content-Length: %d" % len(smuggled), body=smuggled)
              + lines("GET /x HTTP/1.1", host, "Connection: close"), half_close=False)
is_([r.path for r in up.requests[before:]], ["/v1/audio/speech"],
    "a request inside a body is a body")
is_(up.requests[-1].body, smuggled, "and arrives as it was sent")


# -- hostile configurations

def quiet(path, name, port="port2", method="GET", status=None, headers=None):
    count = len(up.requests)
    r = request(gw.ports[port], method, path, headers=headers,
                json={"x": 1} if method == "POST" else None)
    time.sleep(0.02)  # mirrors and post actions run after the answer
    fresh = [q.path for q in up.requests[count:]]
    is_(fresh, [], "%s: nothing reaches the upstream without a key" % name)
    if status is not None:
        is_(r.status, status, "%s: %d" % (name, status))
    return r


for path, name, status in [
        ("/satisfy/x", "satisfy any with allow all", 401),
        ("/deny/x", "satisfy any with deny all", 401),
        ("/error-page/x", "error_page to a named location", 401),
        ("/error-uri/x", "error_page to another location", 401),
        ("/return/x", "return with error_page", 401),
        ("/missing/x", "a missing file with error_page", 401),
        ("/try/x", "try_files to a named location", 401),
        ("/try-uri/x", "try_files to another location", 401),
        ("/rewrite/x", "rewrite last", 401),
        ("/rewrite-break/x", "rewrite break", 401),
        ("/if/x", "proxy_pass inside if", None),
        ("/auth-request/x", "auth_request that says yes", 401),
        ("/limit-except/x", "limit_except", 401),
        ("/intercept/x", "proxy_intercept_errors", 401),
        ("/nothing", "a path of no location", 401)]:
    for method in ("GET", "POST"):
        for who in (None, "unknown", "disabled"):
            expected = status
            if status and who == "disabled":
                expected = 403
            quiet(path, "%s, %s, %s" % (name, method, who or "no key"), method=method,
                  status=expected, headers=bearer(who) if who else None)

gw.settled()
for path, name, reached in [
        ("/satisfy/x", "satisfy any", 1), ("/error-page/x", "error_page", 1),
        ("/return/x", "return with error_page", 1), ("/missing/x", "a missing file", 1),
        ("/try/x", "try_files", 1), ("/try-uri/x", "try_files to a URI", 1),
        ("/rewrite/x", "rewrite", 1), ("/auth-request/x", "auth_request", 1),
        ("/backend/x", "a plain location", 1), ("/deny/x", "deny all", 0)]:
    before = len(up.requests)
    rows = len(gw.usage())
    request(gw.ports["port2"], "GET", path, headers=bearer("good"))
    is_(len(up.requests) - before, reached, "%s with a key: reaches the upstream %d times"
        % (name, reached))
    row = gw.usage(rows + 1)[-1]
    is_((row["tenant"], row["path"]), ("acme", path), "%s with a key: one line, the client's path"
        % name)
    is_(len(gw.usage()), rows + 1, "%s with a key: not two lines" % name)

for path, name in [
        ("/governed/x", "the governed location itself"),
        ("/ssi.html", "a server-side include"),
        ("/mirror/x", "a mirror before return"),
        ("/mirror-body/x", "a mirror"),
        ("/auth/x", "auth_request to a governed location"),
        ("/addition/x", "add_before_body and add_after_body"),
        ("/error/x", "error_page to a governed named location"),
        ("/error-uri/x", "error_page to a governed location"),
        ("/post-action/x", "post_action"),
        ("/dir/", "index")]:
    quiet(path, name, port="port3")
    quiet(path, name + ", wrong key", port="port3", headers=bearer("unknown"))
    quiet(path, name + ", POST", port="port3", method="POST")

before = len(up.requests)
r = request(gw.ports["port3"], "GET", "/accel/x")
is_([q.path for q in up.requests[before:]], ["/accel/x"],
    "X-Accel-Redirect of an open location to a governed one needs a key")
is_(r.status, 401, "and is answered with 401")
before = len(up.requests)
request(gw.ports["port3"], "GET", "/accel/x", headers=bearer("good"))
is_([q.path for q in up.requests[before:]], ["/accel/x", "/governed/from-accel"],
    "with a key it goes on")
before = len(up.requests)
request(gw.ports["port3"], "GET", "/ssi.html", headers=bearer("good"))
is_(len(up.requests) - before, 2, "server-side includes with a key reach the upstream")


# -- HTTP/2 with prior knowledge

def h2(requests):
    """Sends header lists as streams 1, 3, ...; returns {stream: body}."""
    answers = weirhttp2.exchange(gw.ports["port4"], [(headers, b"") for headers in requests])
    return {stream: body for stream, (_, body) in answers.items()}


pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "gateway"),
          (":path", "/v1/models")]
token = ("authorization", "Bearer " + KEYS["good"])
before = len(up.requests)
bodies = h2([pseudo,
             pseudo + [("authorization", "Bearer " + KEYS["unknown"])],
             pseudo + [token, token],
             pseudo + [token, ("x-api-key", KEYS["other"])],
             pseudo + [("Authorization", "Bearer " + KEYS["good"])],
             [(":method", "CONNECT"), (":authority", "gateway")]])
is_(len(up.requests), before, "HTTP/2: nothing passes without one good key")
ok(b"invalid_api_key" in bodies.get(1, b""), "HTTP/2: 401 in OpenAI's shape")
bodies = h2([pseudo + [token], pseudo])
is_(len(up.requests) - before, 1, "HTTP/2: a key opens one stream, not the connection")
ok(b"chatcmpl-1" in bodies.get(1, b"") and b"invalid_api_key" in bodies.get(3, b""),
   "HTTP/2: each stream has its own answer")


# -- afterwards

gw.stop()
text = gw.logs()
for name, key in KEYS.items():
    where = [line for line in text.splitlines() if key[16:] in line]
    # NGINX writes the request line as it came; no header ever stands there.
    where = [line for line in where if "?key=" not in line and "?api-key=" not in line
             and "http://user:" not in line]
    is_(where, [], "no log holds the key %s" % name)
done_testing()

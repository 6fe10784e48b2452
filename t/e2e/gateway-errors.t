#!/usr/bin/env python3
"""What the client gets when something is wrong behind, in or before the gateway: OpenAI's shape, a
type, a request id; and the gateway's own paths."""

import gzip
import json
import os
import re
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import KEYS, Gateway, bearer, completion, usage_object  # noqa: E402
from weirnginx import Upstream, request, run_dir  # noqa: E402
from weirtap import done_testing, is_, like, ok, unlike  # noqa: E402

HTML = "<html><body>" + "upstream's own page " * 20000 + "</body></html>"


def answer(received, reply):
    path = received.path
    if path == "/html/404":
        reply.send(404, "<html>no</html>", {"Content-Type": "text/html"})
    elif path == "/html/500":
        reply.send(500, HTML, {"Content-Type": "text/html", "ETag": '"x"'})
    elif path == "/html/chunked":
        reply.begin(503, {"Content-Type": "text/html", "Retry-After": "7"})
        for i in range(0, len(HTML), 10000):
            reply.piece(HTML[i:i + 10000])
        reply.end()
    elif path == "/html/cut":
        reply.raw(b"HTTP/1.1 500 x\r\nContent-Type: text/html\r\nContent-Length: 100\r\n\r\nhalf")
        reply.keep = False
    elif path == "/html/gzip":
        reply.send(404, gzip.compress(HTML.encode()),
                   {"Content-Type": "text/html", "Content-Encoding": "gzip"})
    elif path == "/no-type":
        reply.send(400, "what", {"Content-Type": None})
    elif path == "/json":
        reply.json(404, {"error": {"message": "mine", "type": "invalid_request_error",
                                   "param": "model", "code": "model_not_found"}},
                   {"X-Request-Id": "upstreams-own"})
    elif path == "/sse":
        reply.begin(500)
        reply.event({"error": {"message": "mine"}})
        reply.end()
    elif path == "/close":
        reply.keep = False
    elif path == "/reset":
        reply.abort()
    elif path == "/garbage":
        reply.raw(b"this is no HTTP\r\n\r\n")
        reply.keep = False
    elif path.startswith("/slow"):
        time.sleep(1)
        reply.keep = False
    else:
        reply.json(200, completion(usage=usage_object(1, 1)))


up = Upstream(answer)
unix_dir = run_dir()

gw = Gateway(up, allow=[], http="""
    weir_tenants @dir@/tenants.json;
    weir_usage_log @dir@/usage.jsonl;
    limit_req_zone $weir_tenant zone=one:64k rate=1r/m;
    client_max_body_size 1k;
    upstream dead { server 127.0.0.1:@dead@ max_fails=0; }
    upstream nosocket { server unix:@unix@/none.sock; }
""", more_server="""
        location /dead { proxy_pass http://dead; include @root@/config/weir-proxy.conf; }
        location /nosocket { proxy_pass http://nosocket; include @root@/config/weir-proxy.conf; }
        location /slow { proxy_pass http://engine; proxy_read_timeout 100ms; }
        location /limited { limit_req zone=one; limit_req_status 429; proxy_pass http://engine; }
        location /limited503 { limit_req zone=one; proxy_pass http://engine; }
        location /file { root @dir@/nowhere; }
        location /static { root @dir@; }
        location /page { error_page 502 /own.html; proxy_pass http://dead; }
        location = /own.html { root @dir@; }
        location /teapot { return 418; }
        location /text { return 400 "plain"; }
        location /denied { deny all; proxy_pass http://engine; }
        location /open { weir off; root @dir@/nowhere; }
    }
    server {
        listen 127.0.0.1:@port2@;
        set_real_ip_from 127.0.0.1;
        real_ip_header X-Test-Address;
        location = /metrics { weir_metrics; }
        location = /health { weir_health; }
    }
    server {
        listen unix:@dir@/gw.sock;
        location = /metrics { weir_metrics; }
        location = /health { weir_health; }
""", vars={"dead": 1, "unix": unix_dir})
gw.file("own.html", "<html>sorry</html>")
os.mkdir(os.path.join(gw.dir, "static"))
gw.file("static/x", "x")
gw.allow(r"crit.*connect\(\) to unix:")


def check(name, r, status, code=None, kind=None):
    is_(r.status, status, "%s: %d" % (name, status))
    is_(r.headers["Content-Type"], "application/json", "%s: application/json" % name)
    try:
        error = r.json()["error"]
        shape = (sorted(error), error["param"])
    except (ValueError, KeyError) as problem:
        shape, error = repr(problem) + r.text[:200], {}
    is_(shape, (["code", "message", "param", "type"], None), "%s: OpenAI's shape" % name)
    if code:
        is_(error.get("code"), code, "%s: code %s" % (name, code))
    is_(error.get("type"), kind or ("server_error" if status >= 500 else "invalid_request_error"),
        "%s: the type" % name)
    ok(len(error.get("message", "")) > 15, "%s: a message" % name)
    like(r.headers.get("X-Request-Id"), r"^req_[0-9a-f]{32}$", "%s: a request id" % name)
    is_(int(r.headers["Content-Length"]), len(r.body), "%s: the length" % name)


def get(path, method="GET", **more):
    return gw.request(method, path, headers=bearer("good"), **more)


# -- behind the gateway

check("engine down", get("/dead"), 502, "bad_gateway")
check("no engine socket", get("/nosocket"), 502, "bad_gateway")
check("closed without an answer", get("/close"), 502, "bad_gateway")
check("reset", get("/reset", "POST", json={}), 502, "bad_gateway")
check("not HTTP", get("/slow/garbage"), 504, "gateway_timeout")
check("no answer in time", get("/slow"), 504, "gateway_timeout")
check("an HTML page", get("/html/404"), 404, "upstream_error")
check("a large HTML page", get("/html/500"), 500, "upstream_error")
is_(get("/html/500").headers.get("ETag"), None, "its ETag goes with it")
r = get("/html/chunked")
check("a chunked HTML page", r, 503, "upstream_error")
is_(r.headers.get_all("Retry-After"), ["7"], "the upstream's Retry-After stays")
is_(r.headers.get("Transfer-Encoding"), None, "not chunked any more")
check("a compressed HTML page", get("/html/gzip"), 404, "upstream_error")
check("an HTML page cut short", get("/html/cut"), 500, "upstream_error")
check("no content type", get("/no-type"), 400, "upstream_error")
check("an error page of the operator's", get("/page"), 502, "bad_gateway")
r = get("/json")
is_((r.status, r.json()["error"]["message"], r.json()["error"]["param"]), (404, "mine", "model"),
    "the upstream's own JSON error passes")
is_(len(r.headers.get_all("X-Request-Id")), 1, "with one request id")
unlike(r.headers["X-Request-Id"], "upstreams-own", "the gateway's")
r = get("/sse")
is_((r.status, r.events()), (500, ['{"error": {"message": "mine"}}']), "so does an event stream")

r = get("/dead", "HEAD")
is_((r.status, r.body, r.headers["Content-Type"]), (502, b"", "application/json"),
    "HEAD: the header only")
ok(int(r.headers["Content-Length"]) > 50, "HEAD: with the length of the body")

with socket.create_connection(("127.0.0.1", gw.port), 5) as s:
    stream = s.makefile("rb")
    for path in ("/dead", "/html/500", "/html/chunked", "/whole"):
        s.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n"
                  % (path.encode(), KEYS["good"].encode()))
        status = stream.readline()
        length = 0
        while True:
            line = stream.readline().strip()
            if not line:
                break
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = stream.read(length)
        ok(json.loads(body), "one connection: %s answered with JSON" % path)
like(status, "200", "and the last one is served")

row = [x for x in gw.usage() if x["path"] == "/dead"][0]
is_((row["status"], row["tenant"], row["usage_source"]), (502, "acme", "none"),
    "a failure has its usage line")

# -- in the gateway

check("no such file", get("/file"), 404, "not_found")
check("a body too large", get("/whole", "POST", body=b"x" * 2000), 413, "request_too_large")
check("deny", get("/denied"), 403, "forbidden", "permission_error")
check("a method that files do not take", get("/static/x", "POST", json={}), 405,
      "method_not_allowed")
check("a status of the operator's", get("/teapot"), 418, "request_refused")
check("return with text", get("/text"), 400, "bad_request")
get("/limited")
r = get("/limited")
check("limit_req with 429", r, 429, "rate_limit_exceeded", "rate_limit_error")
is_(r.headers.get("Retry-After"), "1", "it says when to come back")
r = get("/limited503")
check("limit_req with 503", r, 503, "service_unavailable")
is_(r.headers.get("Retry-After"), "1", "so does 503")
r = gw.request("GET", "/open/x")
like(r.text, "<html>", "a location that is not governed keeps NGINX's page")
r = get("/static/x")
is_((r.status, r.text), (200, "x"), "other types pass")


class Raw:
    """An answer read from a socket, in Response's clothes."""

    def __init__(self, data):
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = dict(line.split(": ", 1) for line in lines[1:])
        self.text = self.body.decode()

    def json(self):
        return json.loads(self.body)


def raw(data):
    return Raw(gw.raw(data, timeout=5))


check("a broken request line", raw(b"GET\r\n\r\n"), 400, "bad_request")
check("a broken header", raw(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: y\r\n\r\n"), 400)
check("no host", raw(b"GET / HTTP/1.1\r\n\r\n"), 400)
check("a line too long", raw(b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"), 414,
      "uri_too_long")
check("a header too large", raw(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 9000 + b"\r\n\r\n"),
      400)
check("a transfer encoding that nobody knows",
      raw(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: rot13\r\n\r\n"), 501,
      "not_implemented", "invalid_request_error")

# -- the gateway's own paths

r = gw.get("/health")
is_((r.status, r.json()["status"], r.headers["Content-Type"]), (200, "ok", "application/json"),
    "health, without a key")
r = gw.get("/metrics")
is_((r.status, r.headers["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"),
    "metrics, without a key")
for path in ("/health", "/metrics"):
    is_(gw.request("HEAD", path).status, 200, "HEAD %s" % path)
    r = gw.request("POST", path, json={})
    check("POST %s" % path, r, 405, "method_not_allowed")
    is_(r.headers.get("Allow"), "GET, HEAD", "POST %s: what it takes" % path)
    for address, status in (("127.0.0.1", 200), ("127.9.9.9", 200), ("::1", 200),
                            ("::ffff:127.0.0.1", 200), ("10.0.0.1", 403), ("128.0.0.1", 403),
                            ("fe80::1", 403), ("::ffff:10.0.0.1", 403), ("::", 403),
                            ("0.0.0.0", 403)):
        r = request(gw.ports["port2"], "GET", path, headers={"X-Test-Address": address})
        is_(r.status, status, "%s from %s: %d" % (path, address, status))
    check("%s from elsewhere" % path, request(gw.ports["port2"], "GET", path, headers={
        "X-Test-Address": "203.0.113.7", **bearer("good")}), 403, "forbidden", "permission_error")
    is_(request(os.path.join(gw.dir, "gw.sock"), "GET", path).status, 200,
        "%s on a Unix socket" % path)

SAMPLE = re.compile(r'^([a-z_]+)(\{([a-z]+="(\\.|[^"\\])*",?)*\})? [0-9.]+$')
types, bad, last = {}, [], {}
for line in gw.get("/metrics").text.split("\n")[:-1]:
    if line.startswith("# TYPE "):
        _, _, name, kind = line.split(" ")
        if name in types:
            bad.append("twice: " + line)
        types[name] = kind
    elif not line.startswith("# HELP "):
        match = SAMPLE.match(line)
        name = match and re.sub("_(bucket|sum|count)$", "", match.group(1))
        if not match or (match.group(1) not in types and name not in types):
            bad.append(line)
        elif "_bucket" in line:
            value = float(line.rpartition(" ")[2])
            if value < last.get(name, 0):
                bad.append("falls: " + line)
            last[name] = value
is_(bad, [], "the metrics are well-formed Prometheus text")
ok(len(types) >= 11, "%d families" % len(types))
done_testing()

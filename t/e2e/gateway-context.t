#!/usr/bin/env python3
"""One context per request, whatever NGINX does with it: fallbacks by error_page, named locations,
internal redirects, auth_request, mirror, return. The body is read and edited once, the answer is
looked at once, and one line of usage is written."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import KEYS, Gateway, bearer, chunk, completion, usage_object  # noqa: E402
from weirnginx import Upstream, request  # noqa: E402
from weirtap import done_testing, is_, like, ok, wait_for  # noqa: E402

CHAT = "/v1/chat/completions"


def answer(received, reply):
    if received.path.startswith("/auth"):
        reply.send(403 if received.headers.get("x-deny") else 204, b"")
    elif received.path.startswith("/v1") and received.method == "POST" \
            and received.json().get("stream"):
        reply.begin()
        for event in (chunk(role="assistant", usage=None), chunk("Hi", usage=None),
                      chunk(finish="stop", usage=None), chunk(choices=[], usage=usage_object(5, 1))):
            reply.event(event)
        reply.event("[DONE]")
        reply.end()
    else:
        reply.json(200, completion(usage=usage_object(5, 1)))


def fail(_, reply):
    reply.send(503, "<html>", {"Content-Type": "text/html"})


up = Upstream(answer)
down = Upstream(fail)
mirrored = Upstream(answer)

gw = Gateway(up, http="""
    weir_tenants @dir@/tenants.json;
    weir_usage_log @dir@/usage.jsonl;
    client_body_buffer_size 4k;
    log_format context '$weir_request_id|$weir_tenant|$weir_key_id|$weir_endpoint|$weir_model_asked|'
                       '$weir_model|$weir_completion_tokens|$uri';
    access_log @dir@/context.log context;
""", server="""
    upstream engine { server @upstream@ max_fails=0; keepalive 4; }
    upstream down { server 127.0.0.1:@down@ max_fails=0; }
    upstream mirrored { server 127.0.0.1:@mirrored@ max_fails=0; }
    server {
        listen 127.0.0.1:@port@;
        weir on;
        include @root@/config/weir-proxy.conf;
        proxy_intercept_errors on;
        recursive_error_pages on;
        location / { proxy_pass http://engine; }
        location = /metrics { weir off; weir_metrics; }
        location /a/ { weir_api_prefix /a; proxy_pass http://127.0.0.1:1/; error_page 502 = @next; }
        location /b/ { weir_api_prefix /b; proxy_pass http://down/; error_page 503 = @twice; }
        location @next { rewrite ^/[a-z]+(/v1/.*) $1 break; proxy_pass http://engine; }
        location @twice { rewrite ^/[a-z]+(/v1/.*) $1 break; proxy_pass http://down;
                          error_page 503 = @next; }
        location /c/ { rewrite ^/c(/.*) /redirected$1 last; }
        location /redirected/ { internal; weir_api_prefix /c; proxy_pass http://engine/; }
        location /d/ { weir_api_prefix /d; try_files /none @next; }
        location /e/ { weir_api_prefix /e; auth_request /auth; proxy_pass http://engine/; }
        location = /auth { internal; weir off; proxy_pass http://engine;
                           proxy_pass_request_body off; proxy_set_header Connection "";
                           proxy_set_header Content-Length "";
                           proxy_set_header X-Deny $http_x_deny; }
        location /f/ { weir_api_prefix /f; mirror /mirror; proxy_pass http://engine/; }
        location = /mirror { internal; weir off; proxy_pass http://mirrored$request_uri; }
        location /g/ { weir_api_prefix /g; return 200 "no upstream"; }
        location /h/ { weir off; proxy_pass http://down; error_page 503 = @governed; }
        location @governed { weir on; weir_api_prefix /h; rewrite ^/h(/.*) $1 break;
                             proxy_pass http://engine; }
        location /i/ { weir_api_prefix /i; satisfy any; allow all; proxy_pass http://engine/; }
        location /j/ { weir_api_prefix /j; auth_request /governed-auth; proxy_pass http://engine/; }
        location = /governed-auth { internal; weir_pass_through other;
                                    proxy_pass http://engine/auth;
                                    proxy_pass_request_body off; proxy_set_header Connection "";
                           proxy_set_header Content-Length ""; }
        location /k/ { weir off; mirror /governed-mirror; proxy_pass http://engine/; }
        location = /governed-mirror { internal; weir_pass_through all;
                                      proxy_pass http://mirrored/mirrored; }
        location /l/ { weir_api_prefix /l; error_page 404 413 415 = /own; proxy_pass http://engine/; }
        location = /own { return 200 "own page"; }
        location /m/ { weir_api_prefix /m; client_max_body_size 1k; proxy_pass http://engine/; }
    }
""", vars={"down": down.port, "mirrored": mirrored.port})
gw.allow(r"connect\(\) failed \(111")
count = 0


def post(path, stream=True, who="good", size=10, headers=None, raw=None):
    global count  # pylint: disable=global-statement
    count += 1
    body = raw or json.dumps({"model": "tiny", "stream": stream,
                              "messages": [{"role": "user", "content": "x" * size}]})
    return gw.request("POST", path, body=body, headers={
        "Content-Type": "application/json", **(bearer(who) if who else {}), **(headers or {})})


def context():
    with open(os.path.join(gw.dir, "context.log"), encoding="utf-8") as f:
        return f.read().splitlines()[-1].split("|")


for prefix, name in (("/a", "a fallback after a refused connection"),
                     ("/b", "a fallback of a fallback after 503"),
                     ("/c", "an internal redirect"), ("/d", "try_files to a named location"),
                     ("/e", "auth_request"), ("/f", "mirror"), ("/h", "governed by a fallback only"),
                     ("/i", "satisfy any"), ("/j", "auth_request to a governed location")):
    for size in (10, 100000):
        before = len(up.requests)
        r = post(prefix + CHAT, size=size)
        got = [u for u in up.requests[before:] if u.path.endswith(CHAT)]
        is_((r.status, [g.path for g in got]), (200, [CHAT]), "%s, %d bytes: served" % (name, size))
        is_([g.json().get("stream_options") for g in got], [{"include_usage": True}],
            "%s: usage is asked for, once" % name)
        is_([len(g.json()["messages"][0]["content"]) for g in got], [size], "%s: all of it" % name)
        is_((r.text.count("usage"), r.events()[-1]), (0, "[DONE]"), "%s: and hidden" % name)
        row = gw.usage(count)[-1]
        is_((row["tenant"], row["path"], row["prompt_tokens"], row["completion_tokens"],
             row["usage_source"], row["status"]), ("acme", prefix + CHAT, 5, 1, "reported", 200),
            "%s: one line" % name)
        is_(row["request_id"], r.headers["X-Request-Id"], "%s: one id" % name)
        line = context()
        is_(line[:7], [row["request_id"], "acme", row["key_id"], "chat", "tiny", "tiny", "1"],
            "%s: the log still knows all" % name)
    r = post(prefix + CHAT, who=None)
    is_((r.status, len(up.requests) - before - len(got)),
        (401, sum(u.path.startswith("/auth") for u in up.requests[before:])),
        "%s: nobody without a key" % name)
    before = len(up.requests)
    r = post(prefix + CHAT, raw=b'{"model":"x","model":"y"}')
    is_((r.status, r.json()["error"]["code"],
         [u.path for u in up.requests[before:] if not u.path.startswith("/auth")]),
        (400, "duplicate_key", []), "%s: nor a body that is none" % name)
    before = len(up.requests)
    r = post(prefix + "/v1/nothing")
    is_((r.status, [u.path for u in up.requests[before:] if not u.path.startswith("/auth")]),
        (404, []), "%s: nor another path" % name)

ok(wait_for(lambda: len(mirrored.requests) >= 2, 5), "the mirror is reached")
is_([(m.path, "stream_options" in m.json()) for m in mirrored.requests[:2]],
    [("/f" + CHAT, True)] * 2, "by the body that the upstream gets")

r = post("/e" + CHAT, headers={"X-Deny": "1"})
is_((r.status, r.json()["error"]["code"]), (403, "forbidden"), "auth_request that says no")
r = post("/g" + CHAT)
is_((r.status, r.text), (200, "no upstream"), "return answers without an upstream")
is_(gw.usage(count)[-1]["usage_source"] if gw.usage()[-1]["path"].startswith("/g") else "none",
    "none", "and nothing is counted")
count = gw.settled()
n = len(mirrored.requests)
r = request(gw.port, "POST", "/k/v1/x", body=b'{"model":"tiny"}', headers={
    **bearer("good"), "Content-Type": "application/json"})
is_(r.status, 200, "a location that is not governed serves")
is_(len(mirrored.requests), n, "but its body passes into no governed one unchecked")
count = gw.settled()
r = post("/l/v1/nothing")
is_((r.status, r.json()["error"]["code"]), (404, "unknown_path"), "our refusals are not replaced")
r = post("/m" + CHAT, size=2000)
is_((r.status, r.json()["error"]["code"]), (413, "request_too_large"), "a body too large")
for path in ("/v1/messages", "/anthropic/v1/messages"):
    r = post(path, who=None)
    is_((r.json()["type"], r.json()["error"]["type"]), ("error", "authentication_error"),
        "%s: Anthropic's shape before anybody is known" % path)
    is_(r.headers["Request-Id"], r.json()["request_id"], "with its id")
metrics = gw.metrics()
ok(metrics['weir_refused_requests_total{reason="missing_key"}'] >= 9, "refusals are counted")
like(gw.read_log(), "reason|refused", "and logged")
ok(KEYS["good"] not in gw.logs(), "no log holds the key")
done_testing()

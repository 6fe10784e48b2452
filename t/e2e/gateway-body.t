#!/usr/bin/env python3
"""Request bodies: however they come, they are read once, checked, and forwarded byte by byte; and
what the gateway does not understand in full does not pass."""

import json
import os
import random
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import KEYS, Gateway, bearer, completion, usage_object  # noqa: E402
from weirnginx import Upstream  # noqa: E402
from weirtap import diag, done_testing, is_, like, ok  # noqa: E402

CHAT = "/v1/chat/completions"


def answer(_, reply):
    reply.json(200, completion(usage=usage_object(1, 1)))


up = Upstream(answer)
gw = Gateway(up, http="""
    weir_tenants @dir@/tenants.json;
    weir_usage_log @dir@/usage.jsonl;
    client_max_body_size 4m;
    client_body_buffer_size 8k;
    log_format asked '$weir_endpoint $weir_model_asked $weir_route';
    access_log @dir@/asked.log asked;
""", server="""
    upstream engine { server @upstream@ max_fails=0; keepalive 4; }
    server {
        listen 127.0.0.1:@port@;
        weir on;
        include @root@/config/weir-proxy.conf;
        location / { proxy_pass http://engine; }
        location = /metrics { weir off; weir_metrics; }
        location /llm/ { weir_api_prefix /llm; proxy_pass http://engine/; }
        location /some/ {
            weir_api_prefix /some/;
            weir_pass_through audio files batches realtime;
            proxy_pass http://engine/;
        }
        location /calls/ {
            weir_api_prefix /calls;
            weir_pass_through calls;
            proxy_pass http://engine/;
        }
        location /all/ { weir_pass_through all; proxy_pass http://engine/; }
        location /unasked/ { weir_api_prefix /unasked; weir_ask_usage off;
                             proxy_pass http://engine/; proxy_request_buffering off; }
        location /gone/ { weir_api_prefix /gone; error_page 502 = @again;
                          proxy_pass http://127.0.0.1:1/; }
        location @again { proxy_pass http://engine; }
        location /single/ { weir_api_prefix /single; client_body_in_single_buffer on;
                            proxy_pass http://engine/; }
        location /disk/ { weir_api_prefix /disk; client_body_in_file_only clean;
                          proxy_pass http://engine/; }
    }
    server {
        listen 127.0.0.1:@port2@ http2;
        weir on;
        include @root@/config/weir-proxy.conf;
        location / { proxy_pass http://engine; }
    }
""")
gw.allow(r"connect\(\) failed \(111")
JSON = {"Content-Type": "application/json"}


def chat(**more):
    return {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], **more}


def post(path=CHAT, body=None, headers=None, method="POST"):
    if not isinstance(body, (bytes, str, type(None))):
        body = json.dumps(body)
    return gw.request(method, path, body=body, headers={**bearer("good"), **JSON, **(headers or {})})


def reached(function):
    """The answer, and what reached the upstream."""
    before = len(up.requests)
    r = function()
    return r, up.requests[before:]


def raw(head, body=b"", timeout=5):
    before = len(up.requests)
    data = head.replace("\n", "\r\n").encode() % {b"key": KEYS["good"].encode()} + body
    return gw.raw(data, timeout=timeout), up.requests[before:]


# -- forwarded as they came

rnd = random.Random(7)
for size in (0, 1, 1000, 8000, 9000, 20000, 300000):
    text = "".join(rnd.choice("aé\u2028\U0001f600\"\\\n ") for _ in range(size))
    for ascii_only in (False, True):
        for stream in (False, True):
            body = json.dumps(chat(stream=stream, user=text, seed=2**64 - 1, p=0.70),
                              ensure_ascii=ascii_only).encode()
            for path in ("", "/single", "/disk", "/gone", "/unasked"):
                r, got = reached(lambda: post(path + CHAT, body))
                want = body
                if stream and path != "/unasked":
                    want = b'{"stream_options":{"include_usage":true},' + body[1:]
                if len(got) != 1 or got[0].body != want \
                        or int(got[0].headers.get("content-length", -1)) != len(want):
                    ok(False, "%d bytes of text, stream %s, %s" % (size, stream, path or "plain"))
                    diag(r.text[:300])
    ok(True, "%d characters, in memory, in a file and in both" % size)

for pieces in (1, 3, 50):
    body = json.dumps(chat(stream=True, user="x" * 30000)).encode()
    step = len(body) // pieces + 1
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + step]), body[i:i + step])
                      for i in range(0, len(body), step)) + b"0\r\n\r\n"
    got, seen = raw("POST " + CHAT + " HTTP/1.1\nHost: x\nAuthorization: Bearer %(key)s\n"
                    "Content-Type: application/json\nTransfer-Encoding: chunked\n"
                    "Connection: close\n\n", chunks)
    like(got, "200 OK", "chunked in %d pieces: served" % pieces)
    is_([s.body for s in seen], [b'{"stream_options":{"include_usage":true},' + body[1:]],
        "chunked in %d pieces: forwarded" % pieces)
    is_((seen[0].headers.get("content-length"), seen[0].headers.get("transfer-encoding")),
        (str(len(seen[0].body)), None), "with a length")

if shutil.which("curl"):
    for size in (10, 100000):
        body = json.dumps(chat(stream=True, user="x" * size))
        before = len(up.requests)
        done = subprocess.run(
            ["curl", "-s", "--http2-prior-knowledge", "-X", "POST", "-T", "-", "-H",
             "Authorization: Bearer " + KEYS["good"], "-H", "Content-Type: application/json",
             "http://127.0.0.1:%d%s" % (gw.ports["port2"], CHAT)],
            input=body.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if b"curl:" in done.stdout and b"http2" in done.stdout.lower():
            break
        got = up.requests[before:]
        is_([(g.body, g.headers.get("content-length")) for g in got],
            [(b'{"stream_options":{"include_usage":true},' + body[1:].encode(),
              str(len(body) + 40))], "HTTP/2 without a length, %d bytes" % len(body))

got, seen = raw("POST " + CHAT + " HTTP/1.1\nHost: x\nAuthorization: Bearer %(key)s\n"
                "Content-Type: application/json\nExpect: 100-continue\nContent-Length: 80\n"
                "Connection: close\n\n", json.dumps(chat()).encode().ljust(80))
like(got, "100 Continue", "100-continue is answered")
is_(len(seen), 1, "and the body forwarded")
got, seen = raw("POST " + CHAT + " HTTP/1.1\nHost: x\nAuthorization: Bearer %(key)s\n"
                "Content-Type: application/json\nContent-Length: 600\n\n", b'{"model":', timeout=1)
is_(len(seen), 0, "half a body reaches nobody")

# -- limits

r, seen = reached(lambda: post(body=chat(user="x" * (5 << 20))))
is_((r.status, r.json()["error"]["code"], len(seen)), (413, "request_too_large", 0),
    "over client_max_body_size")
got, seen = raw("POST " + CHAT + " HTTP/1.1\nHost: x\nAuthorization: Bearer %(key)s\n"
                "Content-Type: application/json\nTransfer-Encoding: chunked\n\n",
                b"500000\r\n" + b"x" * 0x500000)
like(got, "413 Request", "chunked, too")
like(got, "request_too_large", "in the API's shape")
is_(len(seen), 0, "and reaches nobody")

for name, body, code in [
        ("no body", b"", "invalid_json"),
        ("no JSON", b"hello", "invalid_json"),
        ("cut", b'{"model":"x"', "invalid_json"),
        ("two values", b'{"model":"x"}{}', "invalid_json"),
        ("an array", b"[]", "invalid_json"),
        ("a comment", b'{"model":"x"/**/}', "invalid_json"),
        ("NaN", b'{"model":"x","t":NaN}', "invalid_json"),
        ("a byte-order mark", b'\xef\xbb\xbf{"model":"x"}', "invalid_json"),
        ("Latin 1", b'{"model":"\xe9"}', "invalid_json"),
        ("UTF-16", '{"model":"x"}'.encode("utf-16"), "invalid_json"),
        ("a lone surrogate", b'{"model":"\\ud800"}', "invalid_json"),
        ("two models", b'{"model":"x","model":"y"}', "duplicate_key"),
        ("two models, one escaped", b'{"model":"x","\\u006dodel":"y"}', "duplicate_key"),
        ("two keys deep inside", b'{"model":"x","a":[{"b":{"c":1,"c":2}}]}', "duplicate_key"),
        ("too deep", b'{"a":' * 70 + b"1" + b"}" * 70, "json_too_deep"),
        ("too many values", b'{"a":[' + b"1," * 1100000 + b"1]}", "invalid_json"),
        ("no string", b'{"model":7}', "invalid_type"),
        ("an empty model", b'{"model":""}', "invalid_type"),
        ("a long model", b'{"model":"' + b"x" * 300 + b'"}', "invalid_type"),
        ("stream as a string", b'{"model":"x","stream":"true"}', "invalid_type"),
        ("half an answer", b'{"model":"x","n":0.5}', "invalid_type"),
        ("no answers", b'{"model":"x","n":0}', "invalid_type"),
        ("a limit below zero", b'{"model":"x","max_tokens":-1}', "invalid_type"),
        ("a limit beyond integers", b'{"model":"x","max_tokens":1e30}', "invalid_type"),
        ("tools as an object", b'{"model":"x","tools":{}}', "invalid_type"),
        ("stream options as a list", b'{"model":"x","stream_options":[]}', "invalid_type")]:
    r, seen = reached(lambda: post(body=body))
    try:
        error = r.json()["error"]
    except (ValueError, KeyError):
        error = {"code": r.text[:100], "message": ""}
    is_((r.status, error["code"], len(seen)), (400, code, 0), "%s: refused" % name)
    ok(len(error["message"]) > 15 and error["type"] == "invalid_request_error",
       "%s: %s" % (name, error["message"][:70]))
r = post(body=b'{"model":7}')
is_(r.json()["error"]["param"], "model", "the member is named")
r, seen = reached(lambda: post(body=b'{"model":"x","n":null,"stream":null,"tools":[]}'))
is_((r.status, len(seen)), (200, 1), "null is absent, empty tools are none")

# -- what is understood, and by whose name errors come

for path, body in [
        (CHAT, chat()), ("/chat/completions", chat()), ("/v1/completions", {"prompt": "x"}),
        ("/v1/responses", {"input": "x"}), ("/v1/responses?beta=true", {"input": "x"}),
        ("/v1/responses/input_tokens", {"input": "x"}), ("/v1/embeddings", {"input": ["x", "y"]}),
        ("/v1/moderations", {"input": "x"}), ("/rerank", {"query": "x", "documents": ["y"]}),
        ("/v1/rerank", {"query": "x", "documents": ["y"]}), ("/v1/messages", chat()),
        ("/anthropic/v1/messages", chat()), ("/v1/messages/count_tokens", chat()),
        ("/openai/deployments/gpt/chat/completions?api-version=1", {"messages": []}),
        ("/openai/v1/chat/completions", chat()), ("/tokenize", {"prompt": "x"}),
        ("/v1/score", {"text_1": "x", "text_2": "y"})]:
    r, seen = reached(lambda: post(path, body))
    is_((r.status, [s.path for s in seen]), (200, [path]), "POST %s" % path)
for path in ("/v1/models", "/models", "/v1/models/org%2Fname", "/anthropic/v1/models"):
    r, seen = reached(lambda: gw.request("GET", path, headers=bearer("good")))
    is_((r.status, [s.path for s in seen]), (200, [path]), "GET %s" % path)
r, seen = reached(lambda: post("/llm" + CHAT, chat()))
is_((r.status, [s.path for s in seen]), (200, [CHAT]), "below an API prefix")

ANTHROPIC = {"anthropic-version": "2023-06-01"}
for path, headers, anthropic in (
        ("/v1/nothing", {}, False), ("/v1/nothing", ANTHROPIC, True), ("/v1/messages/x", {}, False),
        ("/anthropic/v1/nothing", {}, True), ("/v1/files", ANTHROPIC, True),
        ("/v1/messages/batches", {}, True), ("/v1/audio/speech", ANTHROPIC, False)):
    r, seen = reached(lambda: post(path, chat(), headers))
    body = r.json()
    is_((r.status, len(seen)), (404, 0), "%s: refused" % path)
    if anthropic:
        is_((body["type"], body["error"]["type"], body["request_id"]),
            ("error", "not_found_error", r.headers["Request-Id"]), "in Anthropic's shape")
        is_(body["error"]["details"]["error_code"], "unknown_path", "with the code")
    else:
        is_(sorted(body["error"]), ["code", "message", "param", "type"], "in OpenAI's shape")
    ok(r.headers["X-Request-Id"], "with an id")

# -- what is not

HOSTILE = [
    ("POST", "/v1/chat/completions/", 404), ("POST", "//v1/chat/completions", 404),
    ("POST", "/v1//chat/completions", 404), ("POST", "/v1/chat//completions", 404),
    ("POST", "/V1/chat/completions", 404), ("POST", "/v1/Chat/Completions", 404),
    ("POST", "/v1/chat/completions%2f", 404), ("POST", "/v1/chat%2fcompletions", 404),
    ("POST", "/v1/%63hat/completions", 404), ("POST", "/v1/chat/./completions", 404),
    ("POST", "/v1/x/../chat/completions", 404), ("POST", "/v1/chat/completions;x=1", 404),
    ("POST", "/v1/chat/completions%00", 400), ("POST", "/v1/chat/completions%20", 404),
    ("POST", "/v1/chat\\completions", 404), ("POST", "/v1/chat/completions%3Fx", 404),
    ("POST", "/v1/v1/chat/completions", 404), ("POST", "/v2/chat/completions", 404),
    ("POST", "/v1/chat/completions%252f", 404), ("POST", "/v1/%2e%2e/v1/chat/completions", 404),
    ("POST", "/openai/deployments/chat/completions", 400),
    ("POST", "/openai/deployments/a%2F..%2Fb/chat/completions", 404),
    ("GET", "/v1/models/", 404), ("GET", "/v1/models/a%2F..%2Fb", 404),
    ("GET", "/v1/models/%2e%2e", 404), ("GET", "/v1/models/..", 404),
    ("GET", "/v1/models/a/b", 404), ("GET", "/", 404), ("GET", "/slots", 404),
    ("POST", "/v1/audio/transcriptions", 404), ("POST", "/v1/images/generations", 404),
    ("POST", "/v1/batches", 404), ("POST", "/v1/files", 404), ("GET", "/v1/realtime", 404),
    ("POST", "/v1/realtime/calls", 404), ("GET", "/v1/responses/resp_1", 404),
    ("GET", CHAT, 405), ("PUT", CHAT, 405), ("DELETE", CHAT, 405), ("PATCH", CHAT, 405),
    ("OPTIONS", CHAT, 405), ("FOO", CHAT, 405), ("post", CHAT, 400), ("POST", "/v1/models", 405),
    ("DELETE", "/v1/models/x", 405), ("HEAD", CHAT, 405)]
for method, path, status in HOSTILE:
    body = json.dumps(chat()).encode()
    got, seen = raw("%s %s HTTP/1.1\nHost: x\nAuthorization: Bearer %%(key)s\nContent-Type: "
                    "application/json\nContent-Length: %d\nConnection: close\n\n"
                    % (method, path.replace("%", "%%"), len(body)), body)
    is_((got.split(b"\r\n")[0].split(b" ")[1:2], len(seen)), ([b"%d" % status], 0),
        "%s %s: %d, and reaches nobody" % (method, path, status))
    if status == 405:
        allow = b"GET, HEAD" if "models" in path else b"POST"
        ok(b"\r\nAllow: " + allow + b"\r\n" in got, "%s %s: what it takes" % (method, path))
before = len(up.requests)
r = gw.request("GET", "/v1/models", json={}, headers=bearer("good"))
is_((r.status, r.json()["error"]["code"], len(up.requests)), (400, "body_not_allowed", before),
    "a list of models takes no body")
r = gw.request("POST", CHAT, json={"model": "tiny", "Model": "large", "messages": []},
               headers=bearer("good"))
is_((r.status, r.json()["error"]["param"]), (400, "model"), "a name in another case is named")
like(r.json()["error"]["message"], '"model"', "in the message, too")
r = gw.request("POST", CHAT, json=chat(stream_options={"include_usage": 1}), headers=bearer("good"))
is_((r.status, r.json()["error"]["param"]), (400, "stream_options.include_usage"),
    "a member of a member has its path")

body = json.dumps(chat()).encode()
for name, lines, status in [
        ("a compressed body", "Content-Encoding: gzip\nContent-Type: application/json\n", 415),
        ("one of two encodings", "Content-Encoding: identity\nContent-Encoding: gzip\n"
         "Content-Type: application/json\n", 415),
        ("another charset", "Content-Type: application/json; charset=utf-16\n", 415),
        ("a form", "Content-Type: multipart/form-data; boundary=x\n", 415),
        ("another type", "Content-Type: text/plain\n", 415),
        ("curl's type", "Content-Type: application/x-www-form-urlencoded\n", 415),
        ("two types", "Content-Type: application/json\nContent-Type: text/plain\n", 415),
        ("a WebSocket", "Content-Type: application/json\nConnection: upgrade\n"
         "Upgrade: websocket\n", 400)]:
    got, seen = raw("POST %s HTTP/1.1\nHost: x\nAuthorization: Bearer %%(key)s\n%s"
                    "Content-Length: %d\nConnection: close\n\n" % (CHAT, lines, len(body)), body)
    is_((got.split(b"\r\n")[0].split(b" ")[1:2], len(seen)), ([b"%d" % status], 0),
        "%s: %d, and reaches nobody" % (name, status))
for name, lines in [
        ("a charset of UTF-8", "Content-Type: application/json; charset=\"UTF-8\"\n"),
        ("another case", "Content-Type: Application/JSON\n"),
        ("no type", ""), ("identity", "Content-Encoding: identity\n"),
        ("an offer of HTTP/2", "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\n"
         "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\n")]:
    got, seen = raw("POST %s HTTP/1.1\nHost: x\nAuthorization: Bearer %%(key)s\n%s"
                    "Content-Length: %d\n\n" % (CHAT, lines, len(body)), body, timeout=2)
    is_((got.split(b"\r\n")[0].split(b" ")[1:2], len(seen)), ([b"200"], 1), "%s: served" % name)

# -- what is allowed

for path, status in (("/some/v1/audio/speech", 200), ("/some/v1/files/x/content", 200),
                     ("/some/v1/images/edits", 404), ("/some/v1/nothing", 404),
                     ("/some" + CHAT, 200), ("/some" + CHAT + "/", 404), ("/all/nothing", 200),
                     ("/all//x", 200)):
    r, seen = reached(lambda: post(path, chat()))
    is_((r.status, len(seen)), (status, int(status == 200)), "POST %s: %d" % (path, status))
r, seen = reached(lambda: post("/some/v1/audio/transcriptions", b"--x\r\n...",
                               {"Content-Type": "multipart/form-data; boundary=x"}))
is_((r.status, [s.body for s in seen]), (200, [b"--x\r\n..."]), "a form where its group is allowed")
r, seen = reached(lambda: post("/calls" + CHAT, b"\x1f\x8b", {"Content-Encoding": "gzip"}))
is_((r.status, [s.body for s in seen]), (200, [b"\x1f\x8b"]), "calls may be allowed unread")
r, seen = reached(lambda: post("/calls" + CHAT, b"x"))
is_((r.status, len(seen)), (400, 0), "those that can be read are read all the same")
r, seen = reached(lambda: post("/unasked" + CHAT, b"not JSON, not read"))
is_((r.status, [s.body for s in seen]), (200, [b"not JSON, not read"]),
    "nobody needs the body: it passes unread")

with open(os.path.join(gw.dir, "asked.log"), encoding="utf-8") as f:
    log = f.read()
ok("chat tiny -\n" in log, "the log knows the call and the model")
ok("embeddings " in log and "audio - -\n" in log, "and groups")
rows = [row for row in gw.usage() if row["status"] == 200]
ok(all(row["usage_source"] == "reported" for row in rows), "what passed is metered")
is_(gw.metrics().get('weir_refused_requests_total{reason="unknown_path"}', 0) > 10, True,
    "refusals are counted by reason")
for line in ("weir_pass_through some;", "weir_pass_through;", "weir_api_prefix llm;",
             "weir_api_prefix /a//b;", "weir_api_prefix /%61;", "weir_upstream_api google;",
             "weir_ask_usage maybe;", "weir_pass_through all; weir_pass_through all;"):
    bad = Gateway(up, more_location=line, start=False)
    accepted, text = bad.test()
    ok(not accepted and ("weir_" in text or "invalid value" in text), "%s refused" % line)
done_testing()

#!/usr/bin/env python3
"""Nothing slips past governance: requests of a client with a good key that try to reach the model
server in a way that the gateway does not read. Each must be refused in the caller's error shape and
leave the upstream untouched, because what is not understood can be neither limited nor filtered."""

import gzip
import json
import os
import socket
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import weirhttp2  # noqa: E402
from weirgateway import KEYS, SERVER, Gateway, completion, usage_object  # noqa: E402
from weirnginx import Upstream  # noqa: E402
from weirtap import diag, done_testing, is_, ok  # noqa: E402


def answer(received, reply):
    reply.json(200, completion(usage=usage_object(3, 2)))


up = Upstream(answer)
gw = Gateway(up, log_level="notice", server=SERVER.replace("weir_pass_through all;", ""),
             more_server="""
        location /pass/ {
            weir_api_prefix /pass;
            weir_pass_through files batches;
            proxy_pass http://engine;
            include @root@/config/weir-proxy.conf;
        }
        location /tunnel/ {
            weir_api_prefix /tunnel;
            weir_pass_through realtime;
            proxy_pass http://engine;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }
        location /named/ {
            weir_api_prefix /named;
            proxy_pass http://engine;
            include @root@/config/weir-proxy.conf;
            proxy_set_header X-Model $weir_model_asked;
            add_header X-Model $weir_model_asked;
        }
    }
    server {
        listen 127.0.0.1:@port2@ http2;
        weir on;
        location / { proxy_pass http://engine; include @root@/config/weir-proxy.conf; }
        location /pass/ {
            weir_api_prefix /pass;
            weir_pass_through files batches;
            proxy_pass http://engine;
            include @root@/config/weir-proxy.conf;
        }
""")

CHAT = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}).encode()
KEY = "Authorization: Bearer " + KEYS["good"]


def exchange(data, port=None):
    """Sends bytes, closes the sending side, reads the answer."""
    with socket.create_connection(("127.0.0.1", port or gw.port), 5) as s:
        s.sendall(data)
        out = b""
        try:
            while True:
                piece = s.recv(65536)
                if not piece:
                    break
                out += piece
                # An interim or keep-alive answer: one is all that is looked at.
                head, _, rest = out.partition(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n")
                          if line.startswith(b"content-length:")]
                if length and len(rest) >= int(length[0].split(b":")[1]):
                    break
        except (TimeoutError, ConnectionResetError):
            pass
    return out


class Request(bytes):
    """Bytes of HTTP/1, and what they say, to be said over HTTP/2 as well."""
    parts = None


# What HTTP/2 has no words for, or says otherwise.
FRAMING = ("connection", "transfer-encoding", "content-length", "upgrade", "host", "te", "expect",
           "http2-settings", "keep-alive")


def http(method, path, *headers, body=None, key=KEY, version="HTTP/1.1", length=True):
    lines = ["%s %s %s" % (method, path, version), "Host: gateway"]
    if key:
        lines.append(key)
    if body is not None and length:
        lines.append("Content-Length: %d" % len(body))
    lines += [*headers]
    out = Request("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))
    pairs = [tuple(line.split(": ", 1)) for line in ([key] if key else []) + [*headers]]
    if length and version == "HTTP/1.1" and all(
            len(pair) == 2 and pair[0].lower() not in FRAMING for pair in pairs):
        out.parts = method, path, pairs, body
    return out


def chat(path="/v1/chat/completions", *headers, body=CHAT, method="POST", plain=True, **more):
    kind = ["Content-Type: application/json"] if plain else []
    return http(method, path, *kind, *headers, body=body, **more)


def exchange_h2(parts):
    """(status, body); 0 when NGINX ends the stream or the connection without an answer."""
    method, path, pairs, body = parts
    fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "gateway")]
    fields += [(name.lower(), value) for name, value in pairs]
    if body is not None:
        fields.append(("content-length", str(len(body))))
    return weirhttp2.exchange(gw.ports["port2"], [(fields, body or b"")]).get(1, (0, b""))


count = 0


def refused(data, name, envelope=True):
    """The upstream sees nothing; the answer is a 4xx in an error shape."""
    global count
    count += 1
    before = len(up.requests)
    got = exchange(data)
    fresh = ["%s %s" % (r.method, r.path) for r in up.requests[before:]]
    good = not ok(fresh == [], "%s: nothing reaches the upstream" % name)
    if good:
        diag("  reached: %s" % fresh)
    # HTTP/0.9 has no status line; 501 and 505 are NGINX's for codings and versions.
    status = got[9:12] if got.startswith(b"HTTP/") else b"400" if got.startswith(b"{") else b""
    if not ok(status[:1] == b"4" or status in (b"501", b"505"), "%s: refused" % name):
        diag("  answer: %r" % got[:400])
    if envelope:
        head, _, body = got.partition(b"\r\n\r\n")
        try:
            error = json.loads(body)["error"]
            fine = bool(error["message"]) and bool(error["type"])
        except (ValueError, KeyError, TypeError):
            fine = False
        if not ok(fine, "%s: with a reason in the error's shape" % name):
            diag("  body: %r" % body[:300])
    if getattr(data, "parts", None):
        refused_h2(data.parts, name, envelope)


def refused_h2(parts, name, envelope):
    """The same over HTTP/2; a stream or connection that NGINX ends without an answer is refused."""
    global count
    count += 1
    before = len(up.requests)
    status, body = exchange_h2(parts)
    try:
        error = json.loads(body)["error"]
        fine = bool(error["message"]) and bool(error["type"])
    except (ValueError, KeyError, TypeError):
        fine = not envelope or status == 0
    fresh = ["%s %s" % (r.method, r.path) for r in up.requests[before:]]
    if not ok(fresh == [] and (status == 0 or 400 <= status < 500 or status == 501) and fine,
              "%s: refused over HTTP/2" % name):
        diag("  reached %s, answer %d %r" % (fresh, status, body[:300]))


def passes(data, name, port=None):
    before = len(up.requests)
    got = exchange(data, port)
    is_(len(up.requests) - before, 1, "%s: reaches the upstream once" % name)
    ok(got.startswith(b"HTTP/1.1 200"), "%s: is answered" % name) or diag(repr(got[:400]))
    if getattr(data, "parts", None):
        status, _ = exchange_h2(data.parts)
        is_((status, len(up.requests) - before), (200, 2), "%s: over HTTP/2 as well" % name)


# -- the ways in

passes(chat(), "a chat")
passes(chat("/v1/chat/completions?api-version=1"), "a chat with a query")
passes(chat("/v1/completions", body=b'{"model":"tiny","prompt":"x"}'), "a completion")
passes(chat("/v1/embeddings", body=b'{"model":"tiny","input":"x"}'), "embeddings")
passes(chat("/v1/responses", body=b'{"model":"tiny","input":"x"}'), "a response")
passes(chat("/v1/messages", "anthropic-version: 2026-10-21",
            body=b'{"model":"tiny","max_tokens":9,"messages":[]}'), "a message")
passes(http("GET", "/v1/models"), "the list of models")
passes(http("GET", "/v1/models/org%2Fname"), "a model with an encoded name")
passes(chat("/v1/chat/completions", "Transfer-Encoding: chunked",
            body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(CHAT), CHAT), length=False), "a chunked chat")
passes(chat("/v1/chat/completions", "Content-Type: application/json; charset=UTF-8", plain=False),
       "a chat that names its charset")

# -- paths

for path, name in [
        ("/v1/chat/completions/", "a trailing slash"),
        ("/v1//chat/completions", "a double slash"),
        ("//v1/chat/completions", "a double slash in front"),
        ("/v1/chat//completions", "a double slash inside"),
        ("/v1/chat%2Fcompletions", "an encoded slash"),
        ("/v1/chat%2fcompletions", "an encoded slash, small"),
        ("/v1%2Fchat/completions", "an encoded first slash"),
        ("/v1/chat%252Fcompletions", "a slash encoded twice"),
        ("/v1/chat%5Ccompletions", "an encoded backslash"),
        ("/v1/chat\\completions", "a backslash"),
        ("/V1/chat/completions", "capital V"),
        ("/v1/Chat/Completions", "capital letters"),
        ("/v1/CHAT/COMPLETIONS", "all capitals"),
        ("/v1/./chat/completions", "a dot segment"),
        ("/v1/x/../chat/completions", "a parent segment"),
        ("/v1/%2e/chat/completions", "an encoded dot segment"),
        ("/v1/x/%2e%2e/chat/completions", "an encoded parent segment"),
        ("/v1/models/../chat/completions", "a way from models to chat"),
        ("/v1/models/%2e%2e/chat/completions", "an encoded way from models to chat"),
        ("/v1/models/..%2fchat%2fcompletions", "an encoded way inside a model's name"),
        ("/v1/chat/completions%20", "an encoded trailing space"),
        ("/v1/chat/completions%00", "an encoded NUL"),
        ("/v1/chat/completions%0d%0aX:y", "an encoded line break"),
        ("/v1/chat/completions;x=1", "a path parameter"),
        ("/v1/chat/completions%3fx=1", "an encoded question mark"),
        ("/v1/chat/completions%23", "an encoded number sign"),
        ("/v1/chat/completions.json", "a suffix"),
        ("/v1/chat/%63ompletions", "an encoded letter"),
        ("/%76%31/chat/completions", "an encoded version"),
        ("/v1/chat/completions%E2%80%8B", "an invisible character"),
        ("/v1/chat/c%ef%bd%8fmpletions", "a full-width letter"),
        ("/v1/chat/completions%", "a broken escape"),
        ("/v1/chat/completions%zz", "a false escape"),
        ("/v2/chat/completions", "another version"),
        ("/v1beta/chat/completions", "a beta version"),
        ("/api/v1/chat/completions", "a prefix that is not configured"),
        ("/v1/v1/chat/completions", "the version twice"),
        ("/v1/engines/tiny/completions", "an old path of completions"),
        ("/v1/edits", "an old path"),
        ("/v1/unknown", "an unknown path"),
        ("/", "the root"),
        ("/v1", "the version alone"),
        ("/v1/", "the version and a slash"),
        ("/v1/chat", "half of a path"),
        ("/v1/responses/compact", "compaction, which is not read"),
        ("/v1/messages/batches", "a batch of messages"),
        ("/v1/batches", "a batch"),
        ("/v1/files", "a file"),
        ("/v1/uploads", "an upload"),
        ("/v1/fine_tuning/jobs", "fine tuning"),
        ("/v1/assistants", "assistants"),
        ("/v1/threads/x/runs", "threads"),
        ("/v1/realtime/sessions", "a realtime session"),
        ("/v1/realtime/calls", "a realtime call"),
        ("/v1/audio/speech", "speech"),
        ("/v1/images/generations", "images"),
        ("/v1/videos", "videos"),
        ("/v1/containers", "containers"),
        ("/v1/vector_stores", "vector stores"),
        ("/v1/conversations", "conversations"),
        ("/v1/evals", "evals"),
        ("/v1/organization/admin_api_keys", "administration"),
        ("/v1/load_lora_adapter", "loading an adapter"),
        ("/slots/0?action=save", "the engine's slots"),
        ("/props", "the engine's properties"),
        ("/lora-adapters", "the engine's adapters"),
        ("/v1/decisions", "a new call")]:
    refused(chat(path), "POST with %s" % name)

refused(b"POST http://elsewhere/v1/unknown HTTP/1.1\r\nHost: gateway\r\n" + KEY.encode()
        + b"\r\nContent-Length: 0\r\n\r\n", "an absolute request line")
refused(chat("/v1/messages/batches", "anthropic-version: 2026-10-21"), "an Anthropic batch")
refused(http("GET", "/v1/files", "anthropic-version: 2026-10-21"), "Anthropic's files")
refused(http("GET", "/v1/responses/resp_1?stream=true&starting_after=0"), "a stored response")
refused(http("GET", "/v1/chat/completions/chatcmpl-1/messages"), "a stored chat")
refused(http("DELETE", "/v1/responses/resp_1"), "deleting a response")
refused(chat("/v1/responses/resp_1/cancel"), "cancelling a response")

# -- methods

for method in ("GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PROPFIND", "post", "Post",
               "TRACE", "BREW"):
    refused(chat(method=method), "%s of a chat" % method, envelope=method != "HEAD")
refused(http("POST", "/v1/models", body=b"{}"), "POST of the models")
refused(http("DELETE", "/v1/models/tiny"), "deleting a model")
refused(chat("/v1/chat/completions", "X-HTTP-Method-Override: GET", method="PUT"),
        "an overridden method")
for name in ("X-HTTP-Method-Override", "x-http-method", "X-Method-Override"):
    refused(chat("/v1/chat/completions", name + ": GET"), "a method in " + name)

# -- other protocols

UPGRADE = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
refused(http("GET", "/v1/responses", *UPGRADE), "a WebSocket on responses")
refused(http("GET", "/v1/realtime?model=tiny", *UPGRADE), "a WebSocket on realtime")
refused(http("GET", "/v1/models", *UPGRADE), "a WebSocket on models")
# Java's client offers this on every request; NGINX goes on in HTTP/1.1 and so does the upstream.
passes(chat("/v1/chat/completions", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings",
            "HTTP2-Settings: AAMAAABkAAQAAP__"), "a chat that offers an upgrade to HTTP/2")
ok("upgrade" not in up.requests[-1].headers, "and the offer ends at the gateway")
# A location for WebSockets must not become a tunnel for others: the upstream might take the offer.
for offer in ("h2c", "H2C"):
    passes(chat("/tunnel/v1/chat/completions", "Upgrade: " + offer,
                "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"),
           "a chat that offers %s where upgrades are passed on" % offer)
    ok("upgrade" not in up.requests[-1].headers, "and the offer ends here, too")
for offer in ("h2c, websocket", "websocket", "TLS/1.0"):
    refused(chat("/tunnel/v1/chat/completions", "Upgrade: " + offer, "Connection: Upgrade"),
            "a chat that offers %s" % offer)

# -- text of a body in a header

before = len(up.requests)
got = exchange(chat("/named/v1/chat/completions", body=json.dumps(
    {"model": "tiny\r\nX-Evil: 1\r\nContent-Length: 0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
     "messages": []}).encode()))
is_([r.path for r in up.requests[before:]], ["/named/v1/chat/completions"],
    "a model with line ends in its name: one request")
ok("x-evil" not in up.requests[-1].headers and b"\r\nX-Evil" not in got,
   "and no header of its own, neither way")
ok(up.requests[-1].headers["x-model"].startswith("tiny??X-Evil"), "the ends are no ends any more")

refused(http("CONNECT", "engine:80"), "CONNECT", envelope=False)

# -- bodies that are not what they look like

FORM = (b"--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ntiny\r\n--x--\r\n")
for path in ("/v1/chat/completions", "/v1/audio/transcriptions", "/v1/images/edits", "/v1/files"):
    refused(chat(path, "Content-Type: multipart/form-data; boundary=x", body=FORM, plain=False),
            "a form to " + path)
for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonl",
             "application/x-ndjson", "application/octet-stream", "application/json, text/plain",
             "application/msgpack", "application/cbor", "text/json; charset=utf-16"):
    refused(chat("/v1/chat/completions", "Content-Type: " + kind, plain=False), "a body of " + kind)
for charset in ("utf-16", "utf-7", "iso-8859-1", "shift_jis", "\"utf-16\"", "utf-8; charset=utf-16"):
    refused(chat("/v1/chat/completions", "Content-Type: application/json; charset=" + charset,
                 plain=False), "a body in " + charset)
for coding, body in [("gzip", gzip.compress(CHAT)), ("deflate", zlib.compress(CHAT)),
                     ("br", b"\x0b\x02\x80hi\x03"), ("identity, gzip", gzip.compress(CHAT)),
                     ("x-gzip", gzip.compress(CHAT)), ("zstd", b"(\xb5/\xfd")]:
    refused(chat("/v1/chat/completions", "Content-Encoding: " + coding, body=body),
            "a body encoded as " + coding)
for body, name in [
        (b"", "no body"),
        (b"{", "half an object"),
        (b"[]", "an array"),
        (b"null", "null"),
        (b'"text"', "a string"),
        (CHAT + b"{}", "two documents"),
        (CHAT + b"\0", "a NUL behind the document"),
        (b"\xef\xbb\xbf" + CHAT, "a byte-order mark"),
        (CHAT.decode().encode("utf-16"), "UTF-16 without a word about it"),
        (b'{"model":"tiny","model":"other","messages":[]}', "two models"),
        (b'{"model":"tiny","mod\\u0065l":"other","messages":[]}', "two models, one escaped"),
        (b'{"model":"tiny","messages":[],"messages":[{"role":"user","content":"x"}]}',
         "two lists of messages"),
        (b'{"model":"tiny","messages":[],"stream":false,"stream":true}', "two streams"),
        (b"{'model':'tiny'}", "single quotes"),
        (b'{"model":"tiny","messages":[],}', "a trailing comma"),
        (b'{"model":"tiny","messages":[]/* x */}', "a comment"),
        (b'{"model":"tiny","n":NaN,"messages":[]}', "NaN"),
        (b'{"model":"\xff","messages":[]}', "broken UTF-8"),
        (b'{"model":"\\ud800","messages":[]}', "half a surrogate pair"),
        (b'{"model":["tiny"],"messages":[]}', "a list for a model"),
        (b'{"model":{"name":"tiny"},"messages":[]}', "an object for a model"),
        (b'{"model":1,"messages":[]}', "a number for a model"),
        (b'{"model":"tiny","stream":"true","messages":[]}', "a text for stream"),
        (b'{"model":"tiny","max_tokens":-1,"messages":[]}', "a negative maximum"),
        (b'{"model":"tiny","max_tokens":1e30,"messages":[]}', "a huge maximum"),
        (b'{"model":"tiny","max_tokens":"9","messages":[]}', "a text for a maximum"),
        (b'{"model":"tiny","n":0.5,"messages":[]}', "half a choice"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "a deep document")]:
    refused(chat(body=body), name)

# -- lengths and framing

good_chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(CHAT), CHAT)
refused(chat("/v1/chat/completions", "Transfer-Encoding: chunked", body=good_chunks),
        "a length and chunks")
refused(chat("/v1/chat/completions", "Content-Length: 5"), "two lengths")
refused(chat("/v1/chat/completions", "Content-Length: +%d" % len(CHAT), length=False),
        "a length with a sign")
refused(chat("/v1/chat/completions", "Content-Length: 0x10", length=False), "a length in hex")
refused(chat("/v1/chat/completions", "Transfer-Encoding: gzip, chunked", body=good_chunks,
             length=False), "a coding beside chunked")
refused(chat("/v1/chat/completions", "Transfer-Encoding: xchunked", body=good_chunks,
             length=False), "an unknown coding")
refused(chat("/v1/chat/completions", "Transfer-Encoding: chunked", body=b"zz\r\n",
             length=False), "a chunk without a size")
refused(chat("/v1/chat/completions", "Transfer-Encoding: chunked",
             body=b"fffffffffffffffff\r\n", length=False), "a chunk beyond all numbers")
refused(chat("/v1/chat/completions", "Content-Length: 99999999999"), "a body beyond the limit")
refused(chat("/v1/chat/completions", "Content-Type: text/plain"), "two content types")
refused(chat("/v1/chat/completions", key=None), "no key")
refused(chat("/v1/chat/completions", KEY), "the key twice")
refused(chat("/v1/chat/completions", "X-Api-Key: " + KEYS["other"]), "two keys")
refused(chat("/v1/chat/completions", " folded: x"), "a folded header", envelope=False)
refused(chat(version="HTTP/3.0"), "another version of HTTP", envelope=False)
refused(b"POST /v1/chat/completions\r\n\r\n", "HTTP/0.9", envelope=False)

# -- what is allowed to pass through is metered, and nothing else with it

rows = gw.settled()
passes(http("GET", "/pass/v1/files"), "a group that the location allows")
row = gw.usage(rows + 1)[-1]
is_((row["tenant"], row["path"]), ("acme", "/pass/v1/files"), "and has its line in the ledger")
refused(chat("/pass/v1/audio/speech"), "a group beside the allowed one")
refused(http("GET", "/pass/v1/files/"), "an allowed group in another writing")
refused(http("GET", "/pass/v1/files/..%2f..%2fadmin"), "a way out of an allowed group")
refused(http("GET", "/v1/files"), "the same group elsewhere")
passes(chat("/pass/v1/chat/completions"), "a chat under the prefix")
refused(chat("/pass/chat/completions%2f"), "a written-around path under the prefix")
refused(http("GET", "/pass/v1/files", key=None), "an allowed group without a key")

ok(count >= 100, "%d hostile requests" % count)
done_testing()

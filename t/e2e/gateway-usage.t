#!/usr/bin/env python3
"""One usage line per request, and the right numbers in it: whole answers and streams, with and
without a usage object, however they are cut, slow, broken off or left by the client."""

import json
import os
import re
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import (KEYS, Gateway, bearer, chunk, completion, key_id,  # noqa: E402
                         usage_object)
from weirnginx import Upstream  # noqa: E402
from weirtap import diag, done_testing, is_, like, ok, wait_for  # noqa: E402

scenarios = {}
release = threading.Event()
seen_closed = []


def answer(received, reply):
    scenarios[received.path.split("?")[0]](received, reply)


def scenario(function):
    scenarios["/" + function.__name__] = function
    return function


HINTS = {"X-Weir-Prompt-Tokens": "11", "X-Weir-Cached-Tokens": "4"}


def chat_stream(text=("Hel", "lo", " world"), usage=None, nulls=False, done=True):
    """The bytes of a chat stream."""
    null = None if nulls else False
    events = [chunk(role="assistant", usage=null)] + [chunk(t, usage=null) for t in text]
    events.append(chunk(finish="stop", usage=null))
    if usage is not None:
        events.append(chunk(choices=[], usage=usage))
    out = "".join("data: %s\n\n" % json.dumps(e) for e in events)
    return (out + ("data: [DONE]\n\n" if done else "")).encode()


@scenario
def whole(_, reply):
    reply.json(200, completion(usage=usage_object(9, 4, cached=2)))


@scenario
def whole_no_details(_, reply):
    reply.json(200, completion(usage=usage_object(9, 4)))


@scenario
def whole_zero(_, reply):
    reply.json(200, completion(usage=usage_object(0, 0, cached=0)))


@scenario
def whole_no_usage(_, reply):
    reply.json(200, {"object": "list", "data": []})


@scenario
def whole_charset(_, reply):
    reply.json(200, completion(usage=usage_object(9, 4)),
               {"Content-Type": "Application/JSON; charset=utf-8"})


@scenario
def whole_bytewise(_, reply):
    reply.begin(headers={"Content-Type": "application/json"})
    for byte in json.dumps(completion(text="a\\\"}é", usage=usage_object(9, 4))).encode():
        reply.piece(bytes([byte]))
    reply.end()


@scenario
def whole_model_unicode(_, reply):
    reply.json(200, completion(model='m"\\\n\u2028ü', usage=usage_object(1, 1)))


@scenario
def whole_text(_, reply):
    reply.send(200, '{"usage": {"prompt_tokens": 5, "completion_tokens": 5}}',
               {"Content-Type": "text/plain"})


@scenario
def whole_broken(_, reply):
    reply.send(200, '{"usage": {"prompt_tokens": 5, "completion')


@scenario
def whole_error(_, reply):
    reply.json(429, {"error": {"message": "full", "type": "rate_limit_error", "param": None,
                               "code": "rate_limit_exceeded"}}, {"Retry-After": "3"})


@scenario
def empty(_, reply):
    reply.raw(b"HTTP/1.1 204 No Content\r\n\r\n")


@scenario
def stream_usage(_, reply):
    reply.begin(headers=HINTS)
    reply.piece(chat_stream(usage=usage_object(10, 3, cached=1), nulls=True))
    reply.end()


@scenario
def stream_counted(_, reply):
    reply.begin(headers=HINTS)
    reply.piece(chat_stream())
    reply.end()


@scenario
def stream_no_hints(_, reply):
    reply.begin()
    reply.piece(chat_stream())
    reply.end()


@scenario
def stream_to_the_end(_, reply):
    reply.begin(chunked=False)
    reply.piece(chat_stream(usage=usage_object(10, 3)))


@scenario
def stream_crlf(_, reply):
    reply.begin()
    reply.piece(": hi\r\n\r\n" + chat_stream(usage=usage_object(10, 3)).decode()
                .replace("\n", "\r\n"))
    reply.end()


@scenario
def stream_last_without_blank_line(_, reply):
    reply.begin()
    reply.piece(chat_stream(usage=usage_object(10, 3), done=False)[:-1])
    reply.end()


@scenario
def stream_large(_, reply):
    reply.begin()
    event = "data: %s\n\n" % json.dumps(chunk("x" * 1000))
    for _ in range(100):
        reply.piece(event * 200)
    reply.piece("data: [DONE]\n\n")
    reply.end()
    large_sent.set()


large_sent = threading.Event()
cut_at = 0


@scenario
def stream_cut(_, reply):
    data = chat_stream(text=("é", "\U0001f642", "x"), usage=usage_object(10, 3, cached=5))
    reply.begin(headers=HINTS)
    reply.piece(data[:cut_at])
    time.sleep(0.001)  # two reads, two buffers
    reply.piece(data[cut_at:])
    reply.end()


@scenario
def stream_bytewise(_, reply):
    reply.begin()
    for byte in chat_stream(usage=usage_object(10, 3)):
        reply.piece(bytes([byte]))
    reply.end()


broken_after = 0


@scenario
def stream_broken(_, reply):
    """The upstream's connection breaks in mid-stream."""
    reply.begin(headers=HINTS)
    for event in chat_stream().split(b"\n\n")[:broken_after]:
        reply.piece(event + b"\n\n")
    time.sleep(0.02)
    reply.abort()


@scenario
def whole_cut_short(_, reply):
    data = json.dumps(completion(usage=usage_object(9, 4))).encode()
    reply.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
              % (len(data), data[:-20]))
    reply.keep = False


@scenario
def stream_slow(_, reply):
    """One event, then one more each time the test allows it, and no end by itself."""
    reply.begin(headers=HINTS)
    reply.event(chunk(role="assistant"))
    for i in range(100):
        reply.event(chunk("t%d" % i))
        if not release.wait(20):
            break
        release.clear()
        if stop_slow.is_set():
            seen_closed.append(reply.wait_closed(10))
            return
    reply.end()


@scenario
def stream_done_and_wait(_, reply):
    reply.begin(headers=HINTS)
    reply.piece(chat_stream())
    seen_closed.append(reply.wait_closed(10))


@scenario
def never(_, reply):
    seen_closed.append(reply.wait_closed(10))


@scenario
def late(_, reply):
    time.sleep(0.25)
    reply.begin()
    reply.event(chunk(role="assistant"))
    time.sleep(0.2)
    reply.piece(chat_stream())
    reply.end()


stop_slow = threading.Event()
up = Upstream(answer)
gw = Gateway(up, workers=2, allow=[r"upstream prematurely closed", r"recv\(\) failed"], more_server="""
        location /buffered/ {
            proxy_pass http://engine/;
            include @root@/config/weir-proxy.conf;
            proxy_buffering on;
            sendfile on;
            proxy_buffers 2 4k; proxy_buffer_size 4k; proxy_busy_buffers_size 4k;
        }
""".replace("include @root@/config/weir-proxy.conf;", """
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Accept-Encoding "";
"""))

count = 0


def row_of(path, headers=None, method="POST", **more):
    """Sends one request and returns (answer, its usage line)."""
    global count
    r = gw.request(method, path, json={"model": "tiny"} if method == "POST" else None,
                   headers={**bearer("good"), **(headers or {})}, **more)
    count += 1
    return r, gw.usage(count)[-1]


def tokens(row):
    return (row["prompt_tokens"], row["cached_tokens"], row["completion_tokens"],
            row["usage_source"])


# -- whole answers

r, row = row_of("/whole?secret=1", headers={"X-Request-Id": "my-id.1:a_b"})
is_(tokens(row), (9, 2, 4, "reported"), "a whole answer: its usage")
is_(sorted(row), sorted(["ts", "request_id", "tenant", "key_id", "model", "path", "stream",
                         "aborted", "prompt_tokens", "cached_tokens", "completion_tokens",
                         "usage_source", "status", "latency_ms", "ttft_ms"]), "the members")
is_((row["tenant"], row["key_id"], row["model"], row["path"], row["stream"], row["aborted"],
     row["status"], row["request_id"]),
    ("acme", key_id("good"), "tiny", "/whole", False, False, 200, "my-id.1:a_b"),
    "who, what and how it ended")
is_(r.headers.get_all("X-Request-Id"), ["my-id.1:a_b"], "the client's request id comes back once")
is_(up.requests[-1].headers["x-request-id"], "my-id.1:a_b", "and goes to the upstream")
like(row["ts"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ$", "a time in UTC")
ok(0 <= row["latency_ms"] < 20000 and 0 <= row["ttft_ms"] <= row["latency_ms"], "plausible times")

for sent in ("x" * 129, "a b", "a\"b", "", "{}", "a/b", "ümlaut", "a,b"):
    r, row = row_of("/whole", headers={"X-Request-Id": sent.encode()})
    like(row["request_id"], r"^req_[0-9a-f]{32}$", "a bad request id (%.8s) is replaced"
         % ascii(sent))
    is_(r.headers["X-Request-Id"], row["request_id"], "in the answer too")

for path, want, what in [
        ("/whole_no_details", (9, 0, 4, "reported"), "usage without details"),
        ("/whole_zero", (0, 0, 0, "reported"), "a reported zero is a report"),
        ("/whole_no_usage", (0, 0, 0, "none"), "no usage"),
        ("/whole_charset", (9, 0, 4, "reported"), "a type with a parameter"),
        ("/whole_bytewise", (9, 0, 4, "reported"), "one byte at a time"),
        ("/whole_text", (0, 0, 0, "none"), "text is not read"),
        ("/whole_broken", (0, 0, 0, "none"), "broken JSON passes uncounted"),
        ("/empty", (0, 0, 0, "none"), "no body")]:
    r, row = row_of(path)
    is_(tokens(row), want, "whole: " + what)
    ok(r.status in (200, 204) and not row["aborted"], "whole: %s: answered" % what)

r, row = row_of("/whole_model_unicode")
is_(row["model"], 'm"\\\n\u2028ü', "a model's name with quotes, a line break and U+2028")
is_(len(gw.usage_text().splitlines()), count, "still one line")

r, row = row_of("/whole_error")
is_((row["status"], tokens(row)), (429, (0, 0, 0, "none")), "an error of the upstream: no tokens")
is_((r.json()["error"]["message"], r.headers["Retry-After"]), ("full", "3"), "and it passes")

r, row = row_of("/whole", method="GET")
is_(tokens(row), (9, 2, 4, "reported"), "GET")
before = len(up.requests)
r, row = row_of("/whole", method="HEAD")
is_((r.status, tokens(row), row["aborted"]), (200, (0, 0, 0, "none"), False), "HEAD: no tokens")

r, row = row_of("/whole?" + "x" * 600)
is_(row["path"], "/whole", "the query is not written")
r, row = row_of("/buffered/whole")
is_(tokens(row), (9, 2, 4, "reported"), "with proxy_buffering")

# -- streams

for path, want, what in [
        ("/stream_usage", (10, 1, 3, "reported"), "the usage event"),
        ("/stream_counted", (11, 4, 3, "counted"), "no usage event: pieces, and the headers"),
        ("/stream_no_hints", (0, 0, 3, "estimated"), "no usage event and no headers"),
        ("/stream_to_the_end", (10, 0, 3, "reported"), "ended by the connection"),
        ("/stream_crlf", (10, 0, 3, "reported"), "CRLF and a comment"),
        ("/stream_last_without_blank_line", (10, 0, 3, "reported"), "no last blank line"),
        ("/stream_bytewise", (10, 0, 3, "reported"), "one byte at a time"),
        ("/buffered/stream_bytewise", (10, 0, 3, "reported"), "one byte at a time, buffered"),
        ("/buffered/stream_usage", (10, 1, 3, "reported"), "with proxy_buffering")]:
    r, row = row_of(path)
    is_(tokens(row), want, "stream: " + what)
    is_((row["stream"], row["aborted"], row["status"], row["model"]), (True, False, 200, "tiny"),
        "stream: %s: the rest of the line" % what)
    ok(row["ttft_ms"] is not None, "stream: %s: a time to the first token" % what)

is_(gw.request("POST", "/stream_usage", headers=bearer("good")).body,
    chat_stream(usage=usage_object(10, 3, cached=1), nulls=True), "a stream passes unchanged")
count += 1

total = len(chat_stream(text=("é", "\U0001f642", "x"), usage=usage_object(10, 3, cached=5)))
wrong = []
for cut_at in range(1, total):
    r, row = row_of("/stream_cut")
    if tokens(row) != (10, 5, 3, "reported") or len(r.body) != total:
        wrong.append((cut_at, tokens(row)))
is_(wrong, [], "cut at each of %d places: the same usage" % (total - 1))

r, row = row_of("/late")
ok(row["ttft_ms"] >= 440, "the time to the first token is that of text, not of the role (%s ms)"
   % row["ttft_ms"])

s = gw.stream("POST", "/buffered/stream_large", json={}, headers=bearer("good"))
ok(large_sent.wait(20), "with proxy_buffering NGINX takes an answer that nobody reads")
is_(s.read().count(b'"content"'), 20000, "and the client gets it whole")
s.close()
count += 1
is_(tokens(gw.usage(count)[-1]), (0, 0, 5000000, "estimated"),
    "what lay in a temporary file is counted too")

# -- the upstream breaks off

for broken_after in range(1, 6):
    try:
        gw.request("POST", "/stream_broken", headers=bearer("good"))
        ended = "normally"
    except Exception as error:  # pylint: disable=broad-except
        ended = type(error).__name__
    count += 1
    row = gw.usage(count)[-1]
    is_(ended, "IncompleteRead", "upstream broken after %d events: the client sees it"
        % broken_after)
    is_(tokens(row), (11, 4, min(max(broken_after - 1, 0), 3), "counted"),
        "upstream broken after %d events: what passed is counted" % broken_after)
    is_((row["aborted"], row["status"]), (False, 200),
        "upstream broken after %d events: not the client's doing" % broken_after)
is_(gw.metrics()["weir_truncated_answers_total"], 5, "broken answers are counted")

# -- what NGINX refuses before it knows a location has no line, and reaches nobody

KEY = b"Authorization: Bearer " + KEYS["good"].encode() + b"\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\n"
EARLY = [
    (b"no HTTP\r\n\r\n", 400, "no HTTP"),
    (POST + KEY + b"\r\n", 400, "no Host"),
    (POST + KEY + b"Host: a\r\nHost: b\r\n\r\n", 400, "two Hosts"),
    (POST + KEY + b"Host: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
     b"0\r\n\r\n", 400, "a length and chunks"),
    (POST + KEY + b"Host: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400, "two lengths"),
    (POST + KEY + b"Host: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "another coding"),
    (POST + KEY + b"Host: a\r\nX-A: " + b"a" * 40000 + b"\r\n\r\n", 400, "a header too long"),
    (b"GET /v1/models?" + b"a" * 40000 + b" HTTP/1.1\r\n" + KEY + b"Host: a\r\n\r\n", 414,
     "a request line too long"),
    (b"GET /v1/models HTTP/3.0\r\n" + KEY + b"Host: a\r\n\r\n", 505, "another version"),
    (b"TRACE /v1/models HTTP/1.1\r\n" + KEY + b"Host: a\r\n\r\n", 405, "TRACE"),
    (b"CONNECT a:80 HTTP/1.1\r\n" + KEY + b"Host: a\r\n\r\n", 400, "CONNECT")]
rows, seen = gw.settled(), len(up.requests)
for sent, status, name in EARLY:
    with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
        s.sendall(sent)
        s.shutdown(socket.SHUT_WR)
        got = s.makefile("rb").read()
    # CONNECT is 405 in newer releases of NGINX.
    ok(re.search(b" (%d|405) " % status, got.split(b"\r\n")[0]) and b'"error"' in got,
       "%s: %d with the error's shape" % (name, status)) or diag(repr(got[:300]))
with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
    s.sendall(POST + KEY)
count += 1
gw.request("GET", "/v1/models", headers={"X-Request-Id": "behind-the-early"})
ok(wait_for(lambda: "behind-the-early" in gw.usage_text(), 10), "a request behind them has its line")
is_((len(gw.usage()) - rows, len(up.requests) - seen), (1, 0), "the %d before it have none"
    % (len(EARLY) + 1))
try:
    gw.request("POST", "/whole_cut_short", headers=bearer("good"))
    ended = "normally"
except Exception as error:  # pylint: disable=broad-except
    ended = type(error).__name__
count += 1
row = gw.usage(count)[-1]
is_((ended, tokens(row), row["aborted"]), ("IncompleteRead", (0, 0, 2, "estimated"), False),
    "a whole answer cut short")

# -- the client goes

for after in (1, 2, 5):
    release.clear()
    stop_slow.clear()
    s = gw.stream("POST", "/stream_slow", json={}, headers=bearer("good"))
    got = 0
    for _, data in s.events():
        got += '"content"' in data
        if got == after:
            break
        if got:
            release.set()
    s.close()
    stop_slow.set()
    release.set()
    count += 1
    row = gw.usage(count)[-1]
    is_(tokens(row), (11, 4, after, "counted"), "client gone after %d pieces: they are counted"
        % after)
    is_((row["aborted"], row["status"], row["stream"]), (True, 200, True),
        "client gone after %d pieces: aborted" % after)
    ok(wait_for(lambda want=after: len(seen_closed) > 0 and seen_closed[-1], 10),
       "client gone after %d pieces: the upstream's connection is closed" % after)
    seen_closed.clear()

s = gw.stream("POST", "/stream_done_and_wait", json={}, headers=bearer("good"))
for _, data in s.events():
    if data == "[DONE]":
        break
s.close()
count += 1
row = gw.usage(count)[-1]
is_((tokens(row), row["aborted"]), ((11, 4, 3, "counted"), False),
    "client gone after [DONE], before the end of the body: served")

before = len(up.requests)
with socket.create_connection(("127.0.0.1", gw.port), 5) as s:
    s.sendall(b"POST /never HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 2"
              b"\r\n\r\n{}" % KEYS["good"].encode())
    wait_for(lambda: len(up.requests) > before, 10)
count += 1
row = gw.usage(count)[-1]
is_((row["status"], row["aborted"], tokens(row)), (499, True, (0, 0, 0, "none")),
    "client gone before the answer: 499")

with socket.create_connection(("127.0.0.1", gw.port), 5) as s:
    s.sendall(b"POST /whole HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
              b"Content-Length: 1000\r\n\r\n{" % KEYS["good"].encode())
    time.sleep(0.1)
count += 1
row = gw.usage(count)[-1]
ok(row["status"] in (400, 499) and row["aborted"], "client gone in its own request: one line")
metric = 'weir_aborted_requests_total{tenant="acme",model="tiny"}'
is_(gw.metrics()[metric], 3, "aborted streams are counted")

# -- many at once, and the sum

workers = []
errors = []


def client(number):
    try:
        for i in range(20):
            gw.request("POST", ("/stream_usage", "/whole", "/stream_counted")[(number + i) % 3],
                       headers={**bearer("other"), "X-Request-Id": "c%d-%d" % (number, i)})
    except Exception as error:  # pylint: disable=broad-except
        errors.append(error)


before = gw.metrics()
for n in range(8):
    workers.append(threading.Thread(target=client, args=(n,)))
    workers[-1].start()
for worker in workers:
    worker.join()
count += 160
rows = [x for x in gw.usage(count) if x["tenant"] == "beta"]
is_(errors, [], "eight clients at once")
is_((len(rows), len({x["request_id"] for x in rows})), (160, 160), "each request has its line")
after = gw.metrics()
for kind, name in (("prompt", "prompt_tokens"), ("completion", "completion_tokens"),
                   ("cached", "cached_tokens")):
    is_(after['weir_tokens_total{tenant="beta",model="tiny",type="%s"}' % kind],
        sum(x[name] for x in rows), "metrics and usage log agree on %s tokens" % kind)
is_(after['weir_requests_total{tenant="beta",model="tiny",status="2xx"}'], 160, "and on requests")
is_(len(gw.usage()), count, "one line per request, no more")
log = gw._read(os.path.join(gw.dir, "weir.log")).splitlines()
ok(any(re.fullmatch(r"my-id\.1:a_b acme %s tiny 9 2 4 \d+" % key_id("good"), x) for x in log),
   "the variables serve access_log")
done_testing()

#!/usr/bin/env python3
"""The way of an answer through the gateway: nothing late, nothing lost, every end one that the
client notices, and never more of it in memory than the client takes."""

import gzip
import json
import os
import random
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import (KEYS, Gateway, bearer, chunk, completion, usage_object)  # noqa: E402
from weirnginx import Upstream  # noqa: E402
from weirtap import diag, done_testing, is_, like, ok, unlike, wait_for  # noqa: E402

scenarios = {}
go = threading.Event()
stepping = []  # streams that wait for it
sent_bytes = [0]
closed = []


def scenario(function):
    scenarios[function.__name__] = function
    return function


def answer(received, reply):
    scenarios[received.headers["x-scenario"]](received, reply)


CHAT = "/v1/chat/completions"
TEXT = ("Hel", "lo", " wörld", " \U0001f600")


def sse(events, done=True):
    out = "".join("data: %s\n\n" % json.dumps(e) for e in events)
    return out + ("data: [DONE]\n\n" if done else "")


def chat_events(text=TEXT, usage=True):
    nothing = None if usage else False
    events = [chunk(role="assistant", usage=nothing)] + [chunk(t, usage=nothing) for t in text]
    events.append(chunk(finish="stop", usage=nothing))
    if usage:
        events.append(chunk(choices=[], usage=usage_object(7, 4, cached=2)))
    return events


MESSAGES = [
    ("message_start", {"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "tiny",
        "stop_reason": None, "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": 1}}}),
    ("content_block_start", {"type": "content_block_start", "index": 0,
                             "content_block": {"type": "text", "text": ""}}),
    ("ping", {"type": "ping"}),
    ("content_block_delta", {"type": "content_block_delta", "index": 0,
                             "delta": {"type": "text_delta", "text": "Hello"}}),
    ("content_block_stop", {"type": "content_block_stop", "index": 0}),
    ("message_delta", {"type": "message_delta",
                       "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                       "usage": {"output_tokens": 4}}),
    ("message_stop", {"type": "message_stop"})]

RESPONSE = {"id": "resp_1", "object": "response", "created_at": 1, "status": "in_progress",
            "model": "tiny", "output": [], "usage": None, "error": None,
            "incomplete_details": None}
RESPONSES = [
    ("response.created", {"type": "response.created", "sequence_number": 0, "response": RESPONSE}),
    ("response.output_text.delta", {"type": "response.output_text.delta", "sequence_number": 1,
                                    "item_id": "m", "output_index": 0, "content_index": 0,
                                    "delta": "Hello"}),
    ("response.completed", {"type": "response.completed", "sequence_number": 2, "response": {
        **RESPONSE, "status": "completed", "usage": {
            "input_tokens": 7, "output_tokens": 4, "total_tokens": 11,
            "input_tokens_details": {"cached_tokens": 2},
            "output_tokens_details": {"reasoning_tokens": 1}}}})]


def named(events):
    return "".join("event: %s\ndata: %s\n\n" % (name, json.dumps(data)) for name, data in events)


STREAMS = {"chat": (CHAT, [("data: %s\n\n" % json.dumps(e)) for e in chat_events()]
                    + ["data: [DONE]\n\n"]),
           "completions": ("/v1/completions", ["data: %s\n\n" % json.dumps(
               {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "tiny",
                "choices": [{"index": 0, "text": t, "logprobs": None, "finish_reason": f}]})
               for t, f in (("a", None), ("b", None), ("", "stop"))] + ["data: [DONE]\n\n"]),
           "messages": ("/v1/messages", [named([e]) for e in MESSAGES]),
           "responses": ("/v1/responses", [named([e]) for e in RESPONSES])}


def body_of(path, stream=True, ask=False):
    out = {"model": "tiny", "stream": stream}
    if path == "/v1/responses":
        out["input"] = "hi"
    elif path == "/v1/completions":
        out["prompt"] = "hi"
    else:
        out["messages"] = [{"role": "user", "content": "hi"}]
    if ask:
        out["stream_options"] = {"include_usage": True}
    return out


@scenario
def whole(received, reply):
    reply.begin()
    kind = received.headers["x-kind"]
    for event in STREAMS[kind][1]:
        reply.piece(event)
    reply.end()


@scenario
def cut(received, reply):
    """Breaks off after so many bytes of the stream."""
    reply.begin()
    data = "".join(STREAMS[received.headers["x-kind"]][1]).encode()
    reply.piece(data[:int(received.headers["x-bytes"])])
    reply.sock.shutdown(socket.SHUT_RDWR)
    reply.keep = False


@scenario
def random_pieces(received, reply):
    rnd = random.Random(received.headers["x-seed"])
    data = "".join(STREAMS[received.headers["x-kind"]][1]).encode()
    reply.begin()
    while data:
        n = rnd.randint(1, 40)
        reply.piece(data[:n])
        data = data[n:]
        if rnd.random() < 0.1:
            time.sleep(0.002)
    reply.end()


@scenario
def odd_lines(received, reply):
    """What the standard allows and the clients of these APIs do not."""
    reply.begin()
    events = STREAMS[received.headers["x-kind"]][1]
    reply.piece("\ufeff" + "id: 0\nretry: 100\n\n")
    for i, event in enumerate(events):
        reply.piece("id: %d\nretry: 5\n%sid: x\n\ndata\n\nevent: none\n\n" % (i, event))
    reply.end()


@scenario
def document(_, reply):
    reply.json(200, completion("Hello", usage=usage_object(7, 4)))


@scenario
def refuses(_, reply):
    reply.json(400, {"error": {"message": "mine", "type": "invalid_request_error", "param": None,
                               "code": "context_length_exceeded"}})


@scenario
def stepwise(_, reply):
    """The next event leaves when the test has seen the one before."""
    stepping.append(1)
    try:
        reply.begin()
        for event in STREAMS["chat"][1]:
            reply.piece(event)
            if not go.wait(10):
                return
            go.clear()
        reply.end()
    finally:
        stepping.pop()


@scenario
def lingers(_, reply):
    reply.begin()
    reply.piece("".join(STREAMS["chat"][1]))
    closed.append(reply.wait_closed(10))
    reply.keep = False


@scenario
def goes_on(_, reply):
    """More after the end, which is not the client's."""
    reply.begin()
    reply.piece("".join(STREAMS["chat"][1]) + "data: {\"late\":1}\n\n")
    reply.end()


@scenario
def much(_, reply):
    """64 MB of events, and how many the gateway took."""
    reply.begin()
    event = "data: %s\n\n" % json.dumps(chunk("x" * 4000))
    sent_bytes[0] = 0
    try:
        for _ in range(16000):
            reply.piece(event)
            sent_bytes[0] += len(event)
        reply.piece(sse([chunk(finish="stop")]))
        reply.end()
    except OSError:
        reply.keep = False


@scenario
def nothing(_, reply):
    reply.begin()
    reply.end()


@scenario
def zipped(_, reply):
    reply.send(200, gzip.compress("".join(STREAMS["chat"][1]).encode()),
               {"Content-Type": "text/event-stream", "Content-Encoding": "gzip"})


up = Upstream(answer)
gw = Gateway(up, more_server="""
        location /buffered/ {
            rewrite ^/buffered(/.*) $1 break;
            weir_api_prefix /buffered;
            proxy_pass http://engine;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering on;
        }
        location /gzipped/ {
            rewrite ^/gzipped(/.*) $1 break;
            weir_api_prefix /gzipped;
            gzip on;
            gzip_types text/event-stream application/json;
            gzip_min_length 1;
            proxy_pass http://engine;
            include @root@/config/weir-proxy.conf;
        }
""")
gw.allow(r"error.*upstream prematurely closed")
count = 0


def headers(name, **more):
    return {**bearer("good"), "X-Scenario": name,
            **{"X-" + k.title(): str(v) for k, v in more.items()}}


def post(name, path=CHAT, ask=False, stream=True, prefix="", **more):
    global count  # pylint: disable=global-statement
    count += 1
    return gw.request("POST", prefix + path, json=body_of(path, stream, ask),
                      headers=headers(name, **more))


def last_row():
    return gw.usage(count)[-1]


# -- usage is asked for, and hidden again

r = post("whole", kind="chat")
asked = up.requests[-1]
is_(asked.json().get("stream_options"), {"include_usage": True}, "the upstream is asked for usage")
is_(asked.body.replace(b'"stream_options":{"include_usage":true},', b""),
    json.dumps(body_of(CHAT)).encode(), "and for nothing else")
is_(int(asked.headers["content-length"]), len(asked.body), "with the right length")
is_(r.text, sse(chat_events(usage=False)), "the client gets what it asked for")
row = last_row()
is_((row["prompt_tokens"], row["cached_tokens"], row["completion_tokens"], row["usage_source"]),
    (7, 2, 4, "reported"), "and the ledger the usage")
is_((row["stream"], row["aborted"]), (True, False), "of a stream that came to its end")
is_(r.headers["Cache-Control"], "no-cache", "streams are not cached")
is_(r.headers["X-Accel-Buffering"], "no", "nor buffered on their further way")

r = post("whole", kind="chat", ask=True)
is_(up.requests[-1].body, json.dumps(body_of(CHAT, ask=True)).encode(),
    "a client that asks is left alone")
is_(r.text, sse(chat_events()), "byte by byte")
r = gw.request("POST", CHAT, body=b'{"stream" : true,"model":"m","messages":[],\t"stream_options":null,'
               b' "seed": 18446744073709551615, "t": 0.70}',
               headers={**headers("whole", kind="chat"), "Content-Type": "application/json"})
count += 1
is_(up.requests[-1].body, b'{"stream" : true,"model":"m","messages":[],\t"stream_options":'
    b'{"include_usage":true}, "seed": 18446744073709551615, "t": 0.70}',
    "null is replaced, numbers and blanks stay as they are")
r = post("document", stream=False)
is_((r.json(), "stream_options" in up.requests[-1].json()),
    (completion("Hello", usage=usage_object(7, 4)), False), "nobody asks where there is no stream")

# -- whatever the pieces

for kind, (path, events) in STREAMS.items():
    r = post("whole", path, kind=kind, ask=True)
    is_(r.text, "".join(events), "%s: as it came" % kind)
    row = last_row()
    wrong = []
    want = r.text
    plain = post("whole", path, kind=kind).text
    for seed in range(6):
        for ask, text in ((True, want), (False, plain)):
            r = post("random_pieces", path, kind=kind, seed=seed, ask=ask)
            if r.text != text:
                wrong.append((seed, ask))
    is_(wrong, [], "%s: in random pieces, too" % kind)
    again = last_row()
    is_([again[k] for k in ("prompt_tokens", "completion_tokens", "usage_source")],
        [row[k] for k in ("prompt_tokens", "completion_tokens", "usage_source")],
        "%s: with the same usage" % kind)

# -- what clients choke on does not leave, whoever reads the stream

for kind, (path, events) in STREAMS.items():
    want = "".join(events)
    for ask in (False, True):
        plain = post("whole", path, kind=kind, ask=ask).text
        r = post("odd_lines", path, kind=kind, ask=ask)
        is_(r.text, plain, "%s, usage %s: no id, retry, byte-order mark or empty event"
            % (kind, "asked" if ask else "hidden"))

# -- every event at once

for prefix in ("", "/buffered", "/gzipped"):
    for ask in (False, True):
        go.clear()
        s = gw.stream("POST", prefix + CHAT, json=body_of(CHAT, ask=ask), headers=headers("stepwise"))
        count += 1
        seen = 0
        for _, data in s.events():
            seen += 1
            go.set()
            # The events that are hidden are nobody's to wait for.
            if not ask and '"finish_reason": "stop"' in data:
                wait_for(lambda: not go.is_set(), 5)
                go.set()
        is_(seen, len(STREAMS["chat"][1]) - (0 if ask else 1),
            "%s, usage %s: each event is there before the next one leaves"
            % (prefix or "unbuffered", "asked" if ask else "hidden"))
        s.close()
        # Or its last step would be taken for one of the next stream's.
        wait_for(lambda: go.set() or not stepping, 15)

# -- the upstream breaks off

m = gw.metrics()
is_(m["weir_truncated_answers_total"], 0, "no good stream of any protocol counts as broken off")
cuts = 0
for kind, (path, events) in STREAMS.items():
    sizes = [0]
    for event in events:
        sizes.append(sizes[-1] + len(event.encode()))
    places = sizes[1:-1] + [n + 9 for n in sizes[1:-1]]
    bad = []
    for n in places:
        for ask in (False, True):
            try:
                cuts += 1
                r = post("cut", path, kind=kind, bytes=n, ask=ask)
            except Exception as problem:  # pylint: disable=broad-except
                # Within an event whose bytes have left already the connection breaks.
                if type(problem).__name__ != "IncompleteRead" or n in sizes:
                    bad.append((n, ask, repr(problem)))
                continue
            last = r.text.rstrip("\n").rpartition("\n\n")[2]
            data = json.loads(last.rpartition("data: ")[2].strip())
            complete = {"chat": "[DONE]", "completions": "[DONE]", "messages": "message_stop",
                        "responses": "response.completed"}[kind]
            if kind == "messages":
                good = last.startswith("event: error\n") and data["type"] == "error"
            elif kind == "responses":
                good = data["type"] == "response.failed" \
                    and data["response"]["status"] == "failed"
            else:
                good = bool(data["error"]["message"]) and data["error"]["type"] == "server_error"
            if not good or complete in r.text or not r.text.endswith("\n\n"):
                bad.append((n, ask, r.text[-300:]))
            if r.headers.get("Connection") != "close" and r.headers.get("Transfer-Encoding") is None:
                bad.append((n, "no framing"))
    is_(bad, [], "%s: cut at %d places, an error of its protocol each time" % (kind, len(places)))
    row = last_row()
    is_((row["status"], row["aborted"]), (200, False), "%s: not the client's doing" % kind)
is_(gw.metrics()["weir_truncated_answers_total"], cuts, "each one that broke off counts once")

# -- ends

r = post("document")
is_(r.headers["Content-Type"].split(";")[0], "text/event-stream",
    "a stream is asked for: a JSON answer becomes one")
events = r.events()
is_(events[-1], "[DONE]", "with its end")
pieces = [json.loads(e) for e in events[:-1]]
is_("".join(c["delta"].get("content") or "" for p in pieces for c in p["choices"]), "Hello",
    "and its text")
is_(r.headers.get("Content-Length"), None, "its length is unknown")
row = last_row()
is_((row["prompt_tokens"], row["completion_tokens"], row["stream"]), (7, 4, True), "it is counted")
r = post("refuses")
is_((r.status, r.headers["Content-Type"], r.json()["error"]["message"]),
    (400, "application/json", "mine"), "an error before the stream stays an error")

for ask in (False, True):
    with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
        body = json.dumps(body_of(CHAT, ask=ask)).encode()
        head = "".join("%s: %s\r\n" % h for h in headers("lingers").items())
        message = ("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s"
                   "Content-Length: %d\r\n\r\n" % (CHAT, head, len(body))).encode() + body
        s.sendall(message)
        count += 1
        got = b""
        while b"[DONE]" not in got:
            got += s.recv(65536)
        ok(got.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"),
           "usage %s: the last event and the end of the body leave together"
           % ("asked" if ask else "hidden"))
        s.sendall(message.replace(b"lingers", b"whole\r\nX-Kind: chat"))
        count += 1
        got = b""
        while b"[DONE]" not in got:
            piece = s.recv(65536)
            if not piece:
                break
            got += piece
        like(got, "200 OK", "the connection is good for another request, though the upstream lingers")
ok(wait_for(lambda: len(closed) == 2, 10), "the lingering upstreams are let go")
rows = gw.usage(count)
is_([row["aborted"] for row in rows[-4:]], [False] * 4, "all of them served")
r = post("goes_on")
unlike(r.text, "late", "nothing comes after the end")
is_(r.text, sse(chat_events(usage=False)), "only what is before it")
r = post("nothing")
like(r.text, '"error"', "an empty stream is no answer")
r = post("nothing", ask=True)
like(r.text, '"error"', "watched only, neither")
gw.allow(r"warn.*the answer is encoded")
r = post("zipped")
is_((r.status, r.json()["error"]["code"]), (502, "encoded_answer"),
    "what cannot be read cannot be changed: refused")
r = post("zipped", ask=True)
is_(r.status, 200, "what need not be changed passes")

with gw.stream("POST", CHAT, json=body_of(CHAT), headers=headers("whole", kind="chat")) \
        if False else socket.create_connection(("127.0.0.1", gw.port), 10) as s:
    s.sendall(message.replace(b"lingers", b"whole\r\nX-Kind: chat"))
    count += 1
    got = b""
    while b"[DONE]" not in got:
        got += s.recv(4096)
row = last_row()
is_((row["aborted"], row["completion_tokens"]), (False, 4), "a client that closes at [DONE] is served")

# -- a client that does not read


def memory(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        for line in f:
            if line.startswith("VmRSS"):
                return int(line.split()[1])
    return 0


for ask in (False, True):
    before = memory(gw.workers()[0])
    s = gw.stream("POST", CHAT, json=body_of(CHAT, ask=ask), headers=headers("much"))
    count += 1
    last = -1
    while last != sent_bytes[0]:
        last = sent_bytes[0]
        time.sleep(0.4)
    grown = memory(gw.workers()[0]) - before
    diag("taken: %d KB, memory: %d KB" % (last // 1024, grown))
    ok(last < 32 << 20, "usage %s: the upstream waits for a client that does not read"
       % ("asked" if ask else "hidden"))
    ok(grown < 2048, "usage %s: memory stays small (%d KB more)"
       % ("asked" if ask else "hidden", grown))
    text = s.read()
    is_(text.count(b'"content"'), 16000, "usage %s: and the client gets it all, late"
        % ("asked" if ask else "hidden"))
    ok(text.endswith(b"data: [DONE]\n\n"), "usage %s: to the end" % ("asked" if ask else "hidden"))
    s.close()

# -- the client goes, at every event

served = [len(gw.usage(count))]
for n in range(1, 5):
    go.clear()
    s = gw.stream("POST", CHAT, json=body_of(CHAT), headers=headers("stepwise"))
    count += 1
    seen = 0
    for _ in s.events():
        seen += 1
        if seen == n:
            break
        go.set()
    s.close()
    go.set()
    time.sleep(0.05)
    go.set()
    row = last_row()
    is_((row["aborted"], row["status"], row["usage_source"]),
        (True, 200, "estimated" if n > 1 else "none"), "gone at event %d: a line says so" % n)
go.set()
r = post("whole", kind="chat")
is_(r.status, 200, "the worker lives on")
is_(KEYS["good"] in gw.logs(), False, "no log holds the key")
done_testing()

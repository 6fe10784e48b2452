#!/usr/bin/env python3
"""Streams of every API through the gateway, native and translated: the client gets the same bytes
however the model server cuts them, each event before the next one is sent, an end that it notices
when the server breaks off at any byte, and one line of usage wherever anybody leaves; over a
reload, slow readers, gzip and HTTP/2, too."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import weirscript  # noqa: E402
from weirgateway import KEYS, Gateway  # noqa: E402
from weirnginx import Upstream, http_connection  # noqa: E402
from weirtap import diag, done_testing, is_, ok, skip, wait_for  # noqa: E402

LOCATIONS = """
        location /%(name)s/ { weir_api_prefix /%(name)s; rewrite ^/%(name)s(/.*) $1 break;
                              include @root@/config/weir-proxy.conf; %(more)s
                              proxy_pass http://engine; }
"""
up = Upstream(weirscript.serve)
gw = Gateway(up, workers=2, http="""
    weir_tenants @dir@/tenants.json;
    weir_usage_log @dir@/usage.jsonl;
    keepalive_requests 100000;
""", server="""
    upstream engine { server @upstream@ max_fails=0; keepalive 64; keepalive_requests 100000; }
    server {
        listen 127.0.0.1:@port@;
        weir on;
        location / { include @root@/config/weir-proxy.conf; proxy_pass http://engine; }
        location /buffered/ { weir_api_prefix /buffered; rewrite ^/buffered(/.*) $1 break;
                              proxy_http_version 1.1; proxy_set_header Connection "";
                              proxy_set_header Accept-Encoding ""; proxy_buffering on;
                              proxy_pass http://engine; }
        location = /metrics { weir off; weir_metrics; }
""" + "".join(LOCATIONS % {"name": name, "more": more} for name, more in (
    ("chat", "weir_upstream_api chat;"), ("claude", "weir_upstream_api anthropic;"),
    ("gzipped", "gzip on; gzip_types text/event-stream; gzip_min_length 1;"),
    ("zipchat", "weir_upstream_api chat; gzip on; gzip_types *; gzip_min_length 1;"))) + """
    }
    server {
        listen 127.0.0.1:@port2@ http2;
        weir on;
        location / { include @root@/config/weir-proxy.conf; proxy_pass http://engine; }
        location /chat/ { weir_api_prefix /chat; rewrite ^/chat(/.*) $1 break;
                          include @root@/config/weir-proxy.conf;
                          weir_upstream_api chat; proxy_pass http://engine; }
    }
""")
gw.allow(r"upstream prematurely closed|recv\(\) failed")

CHAT = {"model": "tiny", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
ASKING = {**CHAT, "stream_options": {"include_usage": True}}
TOOLS = [{"type": "function", "function": {"name": n, "parameters": {"type": "object"}}}
         for _, n, _ in weirscript.CALLS]
MESSAGE = {**CHAT, "max_tokens": 9}
RESPONSE = {"model": "tiny", "stream": True, "input": "Hi"}

# name: path, body, what the last event of a whole stream holds
KINDS = {
    "chat": ("/v1/chat/completions", CHAT, "[DONE]"),
    "chat with usage": ("/v1/chat/completions", ASKING, "[DONE]"),
    "completions": ("/v1/completions", {"model": "tiny", "stream": True, "prompt": "Hi"}, "[DONE]"),
    "messages": ("/v1/messages", MESSAGE, "message_stop"),
    "responses": ("/v1/responses", RESPONSE, "response.completed"),
    "chat on Anthropic": ("/claude/v1/chat/completions", ASKING, "[DONE]"),
    "messages on chat": ("/chat/v1/messages", MESSAGE, "message_stop"),
    "responses on chat": ("/chat/v1/responses", RESPONSE, "response.completed")}
# Sanitizers make everything slow, and look at more than the bytes.
SPARSE = 5 if os.environ.get("WEIR_NGINX") else 1
count = 0


def headers(manner, **more):
    return {"Authorization": "Bearer " + KEYS["good"], "Content-Type": "application/json",
            "X-Request-Id": "one-id", "X-Manner": manner, **more}


class Client:
    """A kept connection."""

    def __init__(self):
        self.connection = http_connection(gw.port)

    def post(self, path, body, manner, **more):
        """(status, body)"""
        global count  # pylint: disable=global-statement
        count += 1
        for attempt in (0, 1):
            try:
                self.connection.request("POST", path, json.dumps(body), headers(manner, **more))
                answer = self.connection.getresponse()
                break
            except OSError:
                # A connection that the gateway has ended in the meantime.
                self.connection.close()
                if attempt:
                    raise
        return answer.status, answer.read()


client = Client()


def begin(path, body, manner, port=None, **more):
    """A stream that is read while it comes."""
    global count  # pylint: disable=global-statement
    count += 1
    return gw.stream("POST", path, body=json.dumps(body), headers=headers(manner, **more),
                     port=port)


def same_time(text):
    """Without the seconds that a translator writes."""
    return re.sub(rb'"(created|created_at|completed_at)":\d{10}', rb'"\1":0', text)


# -- however it is cut

def brief(more):
    """The manner of a short stream; header values are bytes."""
    return ("text:é😀 %s" % more).encode().decode("latin-1")


whole = {}
for name, (path, body, last) in KINDS.items():
    whole[name] = same_time(client.post(path, body, brief("whole"))[1])
    ok(last.encode() in whole[name].rstrip().rpartition(b"\n\n")[2] and b"\\u" not in whole[name]
       and "é😀".encode() in whole[name], "%s: a whole stream" % name)


def size_of(name):
    """Bytes that the model server sends, by asking it."""
    path, body, _ = KINDS[name]
    client.post(path, body, brief("whole"))
    received = up.requests[-1]
    inner = received.path.partition("?")[0]
    words = {"text": "é😀".encode().decode("latin-1")}
    return len(b"".join(weirscript.EVENTS[inner](received.json(), words)))


sizes = {name: size_of(name) for name in KINDS}
# Those whose events are long, or like those of another, at fewer places.
STEP = {"responses": 7, "completions": 5, "chat with usage": 5, "responses on chat": 3}
for name, (path, body, _) in KINDS.items():
    bad = []
    places = range(1, sizes[name], STEP.get(name, 1) * SPARSE)
    for n in places:
        got = same_time(client.post(path, body, brief("split:%d pause" % n))[1])
        if got != whole[name]:
            bad.append((n, got[-200:]))
    ok(not bad, "%s: cut in two at each of %d places: the same bytes" % (name, len(places))) \
        or diag(repr(bad[:3]))

# -- a model server that breaks off at any byte

for name, (path, body, last) in KINDS.items():
    bad = []
    places = range(0, sizes[name], STEP.get(name, 1) * SPARSE)
    for n in places:
        try:
            status, got = client.post(path, body, brief("cut:%d" % n))
        except Exception as error:  # pylint: disable=broad-except
            bad.append((n, repr(error)))
            client = Client()
            continue
        event = got.rstrip().rpartition(b"\n\n")[2]
        text = event.rpartition(b"data: ")[2]
        complete = last.encode() in event
        if complete:
            # Only what had all its text and its reason may be brought to an end.
            if "é😀".encode() not in got or not re.search(
                    rb'"(finish_reason|stop_reason)": ?"|"status": ?"completed"', got):
                bad.append((n, got[-200:]))
            continue
        try:
            value = json.loads(text)
        except ValueError:
            value = {}
        good = {"messages": value.get("type") == "error" and event.startswith(b"event: error"),
                "responses": value.get("type") == "response.failed"
                and value["response"]["status"] == "failed",
                }.get(name.split()[0], "message" in value.get("error", {}))
        if status != 200 or not good or not got.endswith(b"\n\n"):
            bad.append((n, status, got[-200:]))
    ok(not bad, "%s: broken off at each of %d bytes: its protocol's error" % (name, len(places))) \
        or diag(repr(bad[:3]))
rows = gw.usage(count)
is_(len(rows), count, "each of %d requests has its line" % count)
is_([row for row in rows if row["aborted"]], [], "no client has left")

# -- each event before the next one is sent

MARKS = tuple("mark%d." % n for n in range(6))
lock = threading.Condition()
seen = set()
late = []
sent = [0]


def await_seen(piece, _):
    """Behind a piece with a new mark, until the client has seen that."""
    sent[0] += 1
    for mark in (*MARKS, ": hi"):
        if mark.encode() in piece:
            with lock:
                if not lock.wait_for(lambda m=mark: m in seen, 10):
                    late.append(mark)
                    raise OSError("held back: " + mark)


def read_marks(stream, zipped=False, until=None):
    """Reads to the end, or until a mark; the text."""
    text = b""
    unzip = zlib.decompressobj(31)
    for piece in stream.pieces():
        text += unzip.decompress(piece) if zipped else piece
        with lock:
            seen.update(mark for mark in (*MARKS, ": hi") if mark.encode() in text)
            lock.notify_all()
        if until and until.encode() in text:
            break
    return text


weirscript.between = await_seen
STEPS = "events step text:" + ",".join(MARKS)
places = [(kind, "", KINDS[kind][0], False) for kind in KINDS]
places += [("chat", "buffered ", "/buffered/v1/chat/completions", False),
           ("messages", "buffered ", "/buffered/v1/messages", False),
           ("chat", "compressed ", "/gzipped/v1/chat/completions", True),
           ("chat with usage", "compressed ", "/gzipped/v1/chat/completions", True),
           ("responses", "compressed ", "/gzipped/v1/responses", True),
           ("messages on chat", "compressed ", "/zipchat/v1/messages", True)]
for name, how, path, zipped in places:
    seen.clear()
    late.clear()
    s = begin(path, KINDS[name][1], STEPS, **({"Accept-Encoding": "gzip"} if zipped else {}))
    text = read_marks(s, zipped)
    s.close()
    is_((late, KINDS[name][2].encode() in text, s.headers.get("Content-Encoding")),
        ([], True, "gzip" if zipped else None),
        "%s%s: each piece of text is there before the next one is sent" % (how, name))
for name in KINDS:
    seen.clear()
    late.clear()
    s = begin(KINDS[name][0], KINDS[name][1], STEPS + " comments")
    text = read_marks(s)
    s.close()
    is_((late, text.count(b": hi") > 0), ([], True), "%s: a keep-alive passes at once" % name)

# -- the last event and the end of the body in one write, and a client that closes then

for name, (path, body, last) in KINDS.items():
    for leave in (False, True):
        with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
            data = json.dumps(body).encode()
            head = "".join("%s: %s\r\n" % h for h in headers("linger").items())
            s.sendall(("POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n"
                       % (path, head, len(data))).encode() + data)
            count += 1
            got = b""
            while last.encode() not in got or b"\n\n" not in got[got.rindex(last.encode()):]:
                piece = s.recv(65536)
                if not piece:
                    break
                got += piece
            if not leave:
                ok(got.endswith(b"\n\n\r\n0\r\n\r\n"),
                   "%s: the last event and the end of the body leave together" % name) \
                    or diag(repr(got[-100:]))
        if leave:
            row = gw.usage(count)[-1]
            is_((row["aborted"], row["status"]), (False, 200),
                "%s: a client that closes then is served" % name)

# -- a client that leaves, at every event

closed = []


def stop_at(number):
    """Sends so many pieces, then waits for the gateway to let go."""
    def between(_, reply):
        sent[0] += 1
        if sent[0] == number:
            closed.append(reply.wait_closed(10))
            raise OSError("the client has left")
    return between


def events_of(name):
    """What the model server sends for a client of that kind."""
    received = up.requests[-1]
    return weirscript.EVENTS[received.path.partition("?")[0]](received.json(),
                                                              {"text": ",".join(MARKS)})


for name, (path, body, last) in KINDS.items():
    weirscript.between = lambda piece, reply: None
    client.post(path, body, STEPS)
    gw.usage(count)  # its row comes when the model server has ended, too
    events = events_of(name)
    closed.clear()
    bad = []
    for n in range(1, len(events)):
        sent[0] = 0
        weirscript.between = stop_at(n)
        said = [mark for mark in MARKS if mark.encode() in b"".join(events[:n])]
        s = begin(path, body, STEPS)
        if said:
            text = read_marks(s, until=said[-1])
        wait_for(lambda n=n: sent[0] >= n, 10)
        s.close()
        row = gw.usage(count)[-1]
        # What was told counts, and else what was said.
        told = b'"output_tokens": 20' in b"".join(events[:n]) \
            or b'"completion_tokens": 20' in b"".join(events[:n])
        guess = max((len("".join(said)) + 3) // 4, b'"output_tokens": 1' in events[0])
        guess = weirscript.USAGE["completion"] if told else guess
        if len(gw.usage()) != count or not row["aborted"] or row["status"] not in (200, 499) \
                or row["completion_tokens"] != guess:
            bad.append((n, guess, row))
    ok(not bad and closed == [True] * (len(events) - 1),
       "%s: a client that leaves at any of %d events: one line, what was said is counted, the "
       "server is let go" % (name, len(events) - 1)) or diag("\n".join(map(repr, bad[:4])))

# -- a reload with 200 live streams

reloaded = threading.Event()


def wait_for_reload(piece, _):
    if MARKS[2].encode() in piece and b"output_text.done" not in piece:
        reloaded.wait(30)


weirscript.between = lambda piece, reply: None
want = {name: same_time(client.post(path, body, STEPS)[1])
        for name, (path, body, _) in KINDS.items()}
weirscript.between = wait_for_reload
streams = []
for n in range(200):
    name = list(KINDS)[n % len(KINDS)]
    streams.append((name, begin(KINDS[name][0], KINDS[name][1], STEPS)))
before = gw.workers()
gw.send_signal(signal.SIGHUP)
ok(wait_for(lambda: len(set(gw.workers()) - set(before)) == 2, 20), "HUP: new workers")
ok(set(before) <= set(gw.workers()), "the old ones still serve 200 streams")
r = Client().post(*KINDS["chat"][:2], "text:fresh")
ok(b"fresh" in r[1], "a new request is served meanwhile")
reloaded.set()
bad = []
for name, s in streams:
    got = same_time(s.read())
    if got != want[name]:
        bad.append((name, got[-200:]))
    s.close()
is_(bad, [], "all 200 streams are the same, byte by byte")
rows = gw.usage(count)
is_((len(rows), [row for row in rows[-200:] if row["aborted"] or row["completion_tokens"] < 1]),
    (count, []), "and each has its line")
ok(wait_for(lambda: not set(before) & set(gw.workers()), 20), "then the old workers end")
client = Client()

# -- clients that read slowly


def memory():
    total = 0
    for pid in gw.workers():
        with open("/proc/%d/status" % pid, encoding="ascii") as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
    return total


for name, path, zipped in (("messages on chat", "/chat/v1/messages", False),
                           ("chat on Anthropic", "/claude/v1/chat/completions", False),
                           ("chat", "/gzipped/v1/chat/completions", True)):
    low = memory()
    manner = "text:%s repeat:6000" % ("0123456789abcdef" * 100)
    s = begin(path, KINDS[name][1], manner, **({"Accept-Encoding": "gzip"} if zipped else {}))
    time.sleep(1)
    grown = memory() - low
    ok(grown < 6000, "%s: a client that does not read costs %d KB" % (name, grown))
    text = s.read()
    text = zlib.decompressobj(31).decompress(text) if zipped else text
    is_(text.count(b"0123456789abcdef" * 100), 6000, "%s: it gets all in the end" % name)
    s.close()

# -- HTTP/2

weirscript.between = lambda piece, reply: None
curl = shutil.which("curl")
if curl and b"HTTP2" in subprocess.run([curl, "-V"], stdout=subprocess.PIPE, check=True).stdout:
    def h2(path, body, manner):
        global count  # pylint: disable=global-statement
        count += 1
        command = [curl, "-sN", "--http2-prior-knowledge", "-X", "POST", "-d", json.dumps(body)]
        for item in headers(manner).items():
            command += ["-H", "%s: %s" % item]
        return subprocess.Popen(command + ["http://127.0.0.1:%d%s" % (gw.ports["port2"], path)],
                                stdout=subprocess.PIPE)
    for name in ("chat", "chat with usage", "messages", "responses", "messages on chat"):
        done = h2(KINDS[name][0], KINDS[name][1], STEPS + " pause")
        is_(same_time(done.communicate()[0]), want[name], "%s over HTTP/2: the same bytes" % name)
    gw.usage(count)
    weirscript.between = stop_at(4)
    for name in ("chat", "messages on chat"):
        sent[0] = 0
        closed.clear()
        done = h2(KINDS[name][0], KINDS[name][1], STEPS)
        wait_for(lambda: sent[0] >= 4, 10)
        done.kill()
        done.communicate()
        row = gw.usage(count)[-1]
        ok(row["aborted"] and wait_for(lambda: closed == [True], 10),
           "%s over HTTP/2: a client that leaves lets the server go" % name)
else:
    skip("curl cannot speak HTTP/2", 7)

is_(len(gw.usage(count)), count, "one line for each of %d requests" % count)
done_testing()

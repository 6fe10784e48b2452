#!/usr/bin/env python3
"""Large bodies: threads copy, scan, guard, edit and translate them, and what stays in the event loop
comes in turns of a few kilobytes; what leaves is the same. Clients that go, deadlines and reloads
meanwhile."""

import json
import os
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import Gateway, bearer, completion  # noqa: E402
from weirguard import works  # noqa: E402
from weirnginx import Upstream  # noqa: E402
from weirtap import diag, done_testing, is_, like, ok, wait_for  # noqa: E402

MODULES = ("core", "auth", "metrics", "guard")
EMAIL, CARD = "jane.doe@example.org", "4111 1111 1111 1111"
SAY, MASKED = "Mail %s, card %s. " % (EMAIL, CARD), "Mail <EMAIL_ADDRESS>, card <CREDIT_CARD>. "
PROSE = "The quick brown fox jumps over the lazy dog. "
PLAIN = "Please tell me how tall the tower in Paris is."


def answer(received, reply):
    size = received.body.partition(b'"answer ')[2].partition(b'"')[0]
    reply.json(200, completion(SAY * int(size) + "\u00e9nd" if size else "ok"))


up = Upstream(answer)
redact = {"entities": {"*": "redact"}}
POLICIES = {
    "redact": redact,
    "window": {**redact, "streaming": {"mode": "window", "window": 128}},
    "names": {"entities": {"EMAIL_ADDRESS": "placeholder"}},
    "block": {"entities": {"CREDIT_CARD": "block"}},
    "flag": {"entities": {"*": "flag"}},
    "classes": {"classifiers": {"injection": {"action": "flag"}}},
}
HTTP = """
    weir_guards @dir@/guards.json;
    client_max_body_size 20m;
    log_format works '$weir_request_id $status $weir_thread_works';
    access_log @dir@/works.log works;
"""
SERVER = """
    location = /v1/guard/scan { weir_guard_endpoint; }
    location = /v1/completions { weir_guard off; proxy_pass http://engine; include @root@/config/weir-proxy.conf; }
    location /to/ {
        weir_api_prefix /to;
        weir_upstream_api openai;
        proxy_pass http://engine/;
        include @root@/config/weir-proxy.conf;
    }
"""


def start(policy, http="", **more):
    return Gateway(up, modules=MODULES, more_http=HTTP + http, more_server=SERVER, **more, documents={
        "guards.json": {"version": 1, "default": policy, "policies": {policy: POLICIES[policy]}}})


def send(gw, path, body, ident=None, key="good"):
    headers = {**bearer(key), "anthropic-version": "2023-06-01", "Content-Type": "application/json"}
    if ident:
        headers["X-Request-Id"] = ident
    return gw.request("POST", path, headers=headers, timeout=60,
                      body=body if isinstance(body, bytes) else json.dumps(body).encode())


def chat(text, **more):
    return {"model": "tiny", "messages": [{"role": "user", "content": text}], **more}


# -- what threads do, and that it is right

gw = start("redact")
big, masked = SAY * 40000, MASKED * 40000
many = [{"type": "text", "text": "x%d" % i} for i in range(40000)] + [{"type": "text", "text": SAY}]
CALLS = [
    # the body; the guard's scan; its edits; the body that leaves
    ("a chat", 4, "/v1/chat/completions", chat(big), chat(masked)),
    ("of many values", 4, "/v1/chat/completions",
     {"model": "tiny", "messages": [{"role": "user", "content": many}]},
     {"model": "tiny", "messages": [{"role": "user", "content": many[:-1] + [
         {"type": "text", "text": MASKED}]}]}),
    ("without findings", 2, "/v1/chat/completions", chat(PROSE * 40000), chat(PROSE * 40000)),
    # the body is not read as a call
    ("on a path that nobody knows", 3, "/v1/some/path", {"a": [big], "n": 1.50},
     {"a": [masked], "n": 1.50}),
    ("without a guard", 1, "/v1/completions", {"model": "m", "prompt": big},
     {"model": "m", "prompt": big}),
    ("of 50 KB, for the guard only", 2, "/v1/chat/completions", chat(SAY * 1000), chat(MASKED * 1000)),
    ("a small one", 0, "/v1/chat/completions", chat(SAY * 100), chat(MASKED * 100)),
]
for i, (name, count, path, sent, want) in enumerate(CALLS):
    r = send(gw, path, sent, "r%d" % i)
    came = up.requests[-1].body
    ok(r.status == 200 and came == json.dumps(want).encode(), "%s: as it should be" % name) \
        or diag(r.status, len(came), came[:200], came[-200:])
    is_(works(gw, "r%d" % i), count, "%s: works of threads" % name)
r = send(gw, "/to/v1/messages", {**chat(big), "max_tokens": 9}, "anthropic")
is_((r.status, up.requests[-1].path, up.requests[-1].json()["messages"][0]["content"] == masked),
    (200, "/v1/chat/completions", True), "translated")
is_(works(gw, "anthropic"), 5, "translated: the edited body is read again and translated by threads")
r = send(gw, "/v1/guard/scan", {"text": big}, "scan")
is_((r.status, len(r.json()["findings"])), (200, 80000),
    "the endpoint: all is found")
is_(works(gw, "scan"), 1, "the endpoint: by a thread")
is_(send(gw, "/v1/guard/scan", b"{\"text\":[" + b" " * 200000).status, 400, "broken JSON, large")
is_(send(gw, "/v1/chat/completions", b"{\"model\":" + b" " * 200000).status, 400,
    "and of a call that the core reads")
is_(send(gw, "/v1/some/path", b"{\"model\":" + b" " * 200000).status, 415, "and of one that it does not")
is_(send(gw, "/v1/chat/completions", chat("x", **{"k%d" % i: 1 for i in range(70000)})).status, 400,
    "an object of too many members")

# -- the loop's share: turns of a few kilobytes, however many ask at once

text = (SAY + PROSE) * 150
bodies = [chat(text + " %d" % i) for i in range(40)]
before = len(up.requests)
with ThreadPoolExecutor(20) as pool:
    statuses = list(pool.map(lambda b: send(gw, "/v1/chat/completions", b).status, bodies))
got = sorted(q.json()["messages"][0]["content"] for q in up.requests[before:])
is_((set(statuses), got == sorted(b["messages"][0]["content"].replace(EMAIL, "<EMAIL_ADDRESS>")
                                  .replace(CARD, "<CREDIT_CARD>") for b in bodies)), ({200}, True),
    "forty of 16 KB at once: all are masked, each its own")
longest = gw.metrics()["weir_guard_longest_turn_bytes"]
# a slice of 8 KB with 4 KB of left context
ok(2000 < longest <= 12.5 * 1024, "no turn of the loop has scanned more than 12.5 KB (%d)" % longest)

# -- tiny ones between

done = threading.Event()
thread = threading.Thread(target=lambda: (send(gw, "/v1/chat/completions", chat(SAY * 100000)), done.set()))
thread.start()
between = 0
while not done.is_set():
    if send(gw, "/v1/chat/completions", chat(PLAIN)).status == 200 and not done.is_set():
        between += 1
thread.join()
ok(between > 3, "others are answered while four megabytes are guarded (%d)" % between)

# -- clients that go while threads work, again and again


def leave(i):
    body = json.dumps(chat(SAY * 20000)).encode()
    s = socket.create_connection(("127.0.0.1", gw.port))
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: "
              + bearer("good")["Authorization"].encode() + b"\r\nContent-Type: application/json\r\n"
              b"X-Request-Id: left%d\r\nContent-Length: %d\r\n\r\n" % (i, len(body)) + body)
    if i % 2:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    s.close()


for i in range(12):
    leave(i)
is_(send(gw, "/v1/chat/completions", chat(SAY)).status, 200, "others are served")
wait_for(lambda: gw.usage_text().count("\"left") >= 12, 30)
rows = [x["request_id"] for x in gw.usage() if x["request_id"].startswith("left")]
is_(sorted(rows), sorted("left%d" % i for i in range(12)), "who leaves is settled, each once")

# -- a reload while threads work: those requests are answered

FILE = "buffered to a temporary file"
before = gw.read_log().count(FILE)
with ThreadPoolExecutor(4) as pool:
    running = [pool.submit(send, gw, "/v1/chat/completions", chat(big)) for _ in range(4)]
    wait_for(lambda: gw.read_log().count(FILE) == before + 4)
    gw.reload(wait_old=False)
    is_([f.result().status for f in running], [200] * 4, "a reload loses none that threads work on")
gw.stop()

# -- one thread, and nobody may wait for it: the event loop does the rest, in slices

gw = start("redact", "weir_guard_timeout 60s;", main="thread_pool default threads=1 max_queue=0;")
with ThreadPoolExecutor(8) as pool:
    running = [pool.submit(send, gw, "/v1/chat/completions", chat(big)) for i in range(6)]
    running += [pool.submit(send, gw, "/v1/some/path", {"a": big})]
    running += [pool.submit(send, gw, "/v1/guard/scan", {"text": big})]
    is_([f.result().status for f in running], [200] * 8, "in slices: large bodies")
is_(len(running[7].result().json()["findings"]), 80000, "in slices: all is found")
ok(all(q.body in (json.dumps(chat(masked)).encode(), json.dumps({"a": masked}).encode())
       for q in up.requests[-7:]), "in slices: masked as by threads")
longest = gw.metrics()["weir_guard_longest_turn_bytes"]
ok(4096 < longest <= 12.5 * 1024, "in slices: of a few kilobytes (%d)" % longest)
like(gw.read_log(), 'thread pool "default" queue overflow', "in slices: for want of threads")
gw.stop()

# -- whole answers

for policy in ("redact", "window"):
    gw = start(policy)
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(send, gw, "/v1/chat/completions", chat("answer %d" % n))
                   for n in (1, 300, 400, 900, 9000, 10000)]
        got = [f.result().json()["choices"][0]["message"]["content"] for f in running]
    ok(got == [MASKED * n + "\u00e9nd" for n in (1, 300, 400, 900, 9000, 10000)],
       "%s: whole answers are masked" % policy) or diag([g[-100:] for g in got])
    longest = gw.metrics()["weir_guard_longest_turn_bytes"]
    ok(longest <= 12 * 1024, "%s: the long ones by threads (%d)" % (policy, longest))
    for i in range(4):
        body = json.dumps(chat("answer 9000")).encode()
        s = socket.create_connection(("127.0.0.1", gw.port))
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: "
                  + bearer("good")["Authorization"].encode() + b"\r\nContent-Type: application/json\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body) + body)
        s.close()
    is_(send(gw, "/v1/chat/completions", chat(PLAIN)).status, 200, "%s: clients that leave" % policy)
    gw.stop()

# -- names and blocks

gw = start("names")
send(gw, "/v1/chat/completions", chat("".join("p%d@example.org " % (i % 5000) for i in range(20000))))
words = up.requests[-1].json()["messages"][0]["content"].split()
is_((len(set(words)), words[0] == words[5000], words[4999]),
    (5000, True, "<EMAIL_ADDRESS_5000>"), "names of a large body")
gw.stop()
gw = start("block")
before = len(up.requests)
r = send(gw, "/v1/chat/completions", chat(PROSE * 20000 + CARD + " " + PROSE * 100), "blocked")
is_((r.status, r.json()["error"]["code"], len(up.requests)), (400, "content_policy_violation", before),
    "a block at a large body's end")
is_(works(gw, "blocked"), 2, "by a thread")
gw.stop()

# -- a deadline while a thread works

gw = start("redact", "weir_guard_timeout 1ms;")
r = send(gw, "/v1/chat/completions", chat(big), "late")
is_((r.status, r.json()["error"]["code"]), (504, "check_timeout"), "the thread is too late")
is_(send(gw, "/v1/chat/completions", chat(PLAIN)).status, 200, "the next one is not")
is_(gw.metrics()['weir_guard_failures_total{reason="timeout"}'], 1, "it is counted")
gw.allow("plugin \"guard\" failed")
gw.stop()
done_testing()

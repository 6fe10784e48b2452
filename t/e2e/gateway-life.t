#!/usr/bin/env python3
"""The gateway's life: configurations that must be refused, reload, log rotation, a full disk,
killed and ended workers, and memory under a slow reader."""

import json
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import (Gateway, HTTP, bearer, chunk, completion, key_id,  # noqa: E402
                         key_record, tenants_document, usage_object)
from weirnginx import Nginx, Upstream  # noqa: E402
from weirtap import diag, done_testing, is_, like, ok, wait_for  # noqa: E402

HINTS = {"X-Weir-Prompt-Tokens": "11", "X-Weir-Cached-Tokens": "4"}
go = threading.Event()
stop = threading.Event()
sent_bytes = [0]


def answer(received, reply):
    if received.path == "/stream":
        reply.begin(headers=HINTS)
        reply.event(chunk(role="assistant"))
        for i in range(6):
            reply.event(chunk("t%d" % i))
            if i == 2:
                go.wait(20)
        reply.piece("data: [DONE]\n\n")
        reply.end()
    elif received.path == "/flood":
        reply.begin(headers=HINTS)
        event = "data: %s\n\n" % json.dumps(chunk("x" * 200))
        sent_bytes[0] = 0
        while sent_bytes[0] < 48 << 20 and not stop.is_set():
            reply.piece(event * 50)
            sent_bytes[0] += len(event) * 50
        reply.piece("data: [DONE]\n\n")
        reply.end()
    elif received.path.startswith("/model/"):
        reply.json(200, completion(model=received.path[7:], usage=usage_object(1, 1)))
    else:
        reply.json(200, completion(usage=usage_object(3, 2)))


up = Upstream(answer)


# -- configurations

def refused(name, http, regex, modules=("core", "auth", "metrics"), tenants=None):
    ng = Nginx(http=http, modules=modules, start=False)
    if tenants is not None:
        ng.file("tenants.json", tenants if isinstance(tenants, str) else json.dumps(tenants))
    accepted, messages = ng.test()
    ok(not accepted, "%s: refused" % name)
    like(messages, regex, "%s: the message" % name)


def accepted(name, http, modules=("core", "auth", "metrics")):
    ng = Nginx(http=http, modules=modules, start=False)
    ng.file("tenants.json", json.dumps(tenants_document()))
    good, messages = ng.test()
    if not ok(good, "%s: accepted" % name):
        diag(messages)


SERVER = "server { listen 127.0.0.1:@port@; location / { weir on; return 204; } }"
DOCUMENT = "weir_tenants @dir@/tenants.json; "

accepted("a gateway", DOCUMENT + SERVER)
accepted("modules in another order", DOCUMENT + SERVER, ("metrics", "auth", "core"))
accepted("nothing used", "")
accepted("core alone, unused", "", ("core",))
refused("no tenants document", SERVER, r'"weir on" needs a module that knows who asks')
refused("no auth module", SERVER, r"ngx_http_weir_auth_module", ("core",))
refused("auth without the core", "", r"auth_module needs ngx_http_weir_core_module", ("auth",))
refused("metrics without the core", "", r"metrics_module needs ngx_http_weir_core_module",
        ("metrics",))
refused("a missing document", DOCUMENT + SERVER, r"tenants\.json.*No such file")
refused("a document that is no JSON", DOCUMENT + SERVER, r"tenants\.json:\d+",
        tenants='{"version": 1,')
refused("an unknown member", DOCUMENT + SERVER, r"colour", tenants={
    "version": 1, "tenants": [{"id": "a", "colour": "red"}]})
refused("two tenants of one name", DOCUMENT + SERVER, r"tenants\[1\]", tenants={
    "version": 1, "tenants": [{"id": "a"}, {"id": "a"}]})
refused("a bad salt", DOCUMENT + SERVER, r"salt", tenants={
    "version": 1, "tenants": [{"id": "a", "keys": [{**key_record("good"), "salt": "00"}]}]})
refused("two documents", DOCUMENT + DOCUMENT, r'"weir_tenants" directive is duplicate', tenants={
    "version": 1, "tenants": []})
refused("two usage logs", "weir_usage_log @dir@/a; weir_usage_log @dir@/b;", r"is duplicate")
refused("a usage log in no folder", "weir_usage_log @dir@/none/a;", r"none/a.*No such file")
refused("weir maybe", "weir maybe;", r'"weir" directive')
refused("weir in if", DOCUMENT + "server { location / { if ($uri) { weir off; } } }",
        r'"weir" directive is not allowed here', tenants={"version": 1, "tenants": []})
refused("a tiny metrics zone", "weir_metrics_zone 4k;", r"weir_metrics_zone")
refused("a tiny event limit", "weir_usage_max_event 10;", r"weir_usage_max_event")
refused("a log level of no name", "weir_refusal_log_level loud;", r'invalid value "loud"')


# -- reload

gw = Gateway(up, workers=2)
is_(gw.request("GET", "/a", headers=bearer("good")).status, 200, "before the reload")
gw.request("GET", "/a", headers=bearer("unknown"))
before = gw.metrics()


def begin_stream():
    """A stream of which three of six pieces have come."""
    go.clear()
    s = gw.stream("POST", "/stream", json={}, headers=bearer("good"))
    events = s.events()
    for _, data in events:
        if "t2" in data:
            return s, events
    return s, events


s, events = begin_stream()
document = tenants_document()
document["tenants"][0]["keys"] = [k for k in document["tenants"][0]["keys"]
                                  if k["id"] != key_id("good")]
document["tenants"].append({"id": "fresh", "keys": [key_record("unknown")]})
gw.write_tenants(document)
gw.reload(wait_old=False)


def status_is(key, status):
    return lambda: gw.request("GET", "/b", headers=bearer(key)).status == status


# The old workers go on accepting for a moment.
ok(wait_for(status_is("unknown", 200), 10), "a new key works")
ok(wait_for(status_is("good", 401), 10), "a removed key does not")
go.set()
rest = [data for _, data in events]
is_(rest[-1], "[DONE]", "a stream goes on over the reload, to its end")
is_(len(rest), 4, "with all its pieces")
ok(wait_for(lambda: "/stream" in gw.usage_text(), 10), "its usage line is written")
rows = gw.usage()
row = [x for x in rows if x["path"] == "/stream"][0]
is_((row["completion_tokens"], row["aborted"], row["tenant"]), (6, False, "acme"),
    "and it is the whole one")
after = gw.metrics()
name = 'weir_requests_total{tenant="acme",model="tiny",status="2xx"}'
is_(after[name], len([x for x in rows if x["tenant"] == "acme" and x["status"] == 200]),
    "the counters go on over the reload")
ok(after[name] > before[name], "and on")
is_(after['weir_refused_requests_total{reason="invalid_key"}'],
    len([x for x in rows if x["status"] == 401]), "those of refusals too")

gw.write_tenants('{"version": 1, "tenants": [{"id": "BAD ID"}]}')
gw.allow(r"\[emerg\].*tenants\.json")
try:
    gw.reload()
    problem = "none"
except RuntimeError as error:
    problem = str(error)
like(problem, r"tenants\.json.*tenants\[0\]\.id", "a bad document: the reload is refused, and why")
is_(gw.request("GET", "/c", headers=bearer("unknown")).status, 200,
    "the old configuration stays in force")
gw.write_tenants(tenants_document())
gw.reload()
is_(gw.request("GET", "/c", headers=bearer("good")).status, 200, "and the next good one is taken")

# -- log rotation

count = gw.settled()
old = os.path.join(gw.dir, "usage.jsonl.1")
os.rename(os.path.join(gw.dir, "usage.jsonl"), old)
gw.request("GET", "/rotated", headers=bearer("good"))
ok(wait_for(lambda: "/rotated" in gw._read(old), 10), "until USR1 lines go to the renamed file")
gw.send_signal(signal.SIGUSR1)
ok(wait_for(lambda: os.path.exists(os.path.join(gw.dir, "usage.jsonl")), 10),
   "USR1 opens a new file")


def to_new_file():
    gw.request("GET", "/new", headers=bearer("good"))
    return "/new" in gw.usage_text()


ok(wait_for(to_new_file, 10), "which gets the next lines")
old_rows = [json.loads(line) for line in gw._read(old).splitlines()]
is_(len([x for x in old_rows if x["path"] == "/rotated"]), 1, "no line is lost or written twice")

# -- killed and ended workers

s, events = begin_stream()
metric = gw.metrics()[name]
victims = gw.workers()
for pid in victims:
    gw.allow(r"exited on signal 9")
    os.kill(pid, signal.SIGKILL)


def served():
    try:
        return gw.request("GET", "/after-kill", headers=bearer("good")).status == 200
    except OSError:
        return False


ok(wait_for(served, 10), "after kill -9 of all workers requests are served")
ok(gw.metrics()[name] >= metric, "and the counters are still there")
go.set()
s.close()

s, events = begin_stream()
count = gw.settled()
gw.stop(quick=True)
row = gw.usage(count + 1)[-1]
is_((row["path"], row["aborted"], row["completion_tokens"], row["prompt_tokens"]),
    ("/stream", True, 3, 11), "a worker that is told to end at once settles what is running")
go.set()
s.close()

gw = Gateway(up)
s, events = begin_stream()
gw.send_signal(signal.SIGQUIT)
time.sleep(0.2)
go.set()
is_([data for _, data in events][-1], "[DONE]", "QUIT lets a stream end")
row = gw.usage(1)[-1]
is_((row["aborted"], row["completion_tokens"]), (False, 6), "and counts it whole")
gw.stop()

# -- a full disk

gw = Gateway(up, http=HTTP.replace("@dir@/usage.jsonl", "/dev/full"),
             allow=[r"\[crit\].*usage log.*No space left"])
for _ in range(20):
    is_(gw.request("GET", "/full", headers=bearer("good")).status, 200,
        "with a full disk requests are served")
is_(gw.metrics()["weir_usage_log_errors_total"], 20, "the lost lines are counted")
is_(gw.read_log().count("usage log"), 1, "and the error log says so once")
gw.stop()

# -- memory

gw = Gateway(up)


def rss():
    with open("/proc/%d/status" % gw.workers()[0]) as f:
        return int([line for line in f if line.startswith("VmRSS")][0].split()[1]) // 1024


gw.request("GET", "/warm", headers=bearer("good"))
low = rss()
s = gw.stream("GET", "/flood", headers=bearer("good"))
wait_for(lambda: sent_bytes[0] > 1 << 20, 10)
mark = -1
while mark != sent_bytes[0]:  # until all buffers between are full
    mark = sent_bytes[0]
    time.sleep(0.3)
ok(sent_bytes[0] < 40 << 20, "a client that does not read holds the upstream back (%d MB sent)"
   % (sent_bytes[0] >> 20))
blocked = rss()
ok(blocked - low < 8, "and costs little memory (%d MB before, %d MB blocked)" % (low, blocked))
data = s.read()
ok(data.endswith(b"data: [DONE]\n\n"), "when it reads it gets all %d MB" % (len(data) >> 20))
high = rss()
ok(high - low < 8, "a long stream costs no more (%d MB)" % high)
row = gw.usage(2)[-1]
is_(row["completion_tokens"], data.count(b'"content"'), "all its %d pieces are counted"
    % row["completion_tokens"])
s.close()
gw.stop()

gw = Gateway(up, http=HTTP + "weir_metrics_zone 32k;")
for i in range(300):
    gw.request("GET", "/model/m%d" % i, headers=bearer("good"))
gw.usage(300)
m = gw.metrics()
requests = {k: v for k, v in m.items() if k.startswith("weir_requests_total")}
ok(20 < len(requests) < 200, "a metrics zone that is full holds %d series" % len(requests))
is_(sum(requests.values()), 300, "and loses no request")
is_(requests['weir_requests_total{tenant="other",model="other",status="2xx"}'],
    m["weir_metrics_overflows_total"], "what found no room is under other")
done_testing()

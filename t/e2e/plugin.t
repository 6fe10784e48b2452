#!/usr/bin/env python3
"""Plugins of weir_plugin.h in the gateway: the worked example, every verdict at every place, holds that
nobody answers, threads that do, and what nginx -t refuses."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import (HTTP, KEYS, Gateway, bearer, chunk, completion,  # noqa: E402
                         usage_object)
from weirnginx import ROOT, Nginx, Upstream, test_plugin  # noqa: E402
from weirtap import done_testing, is_, like, ok, wait_for  # noqa: E402

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}
words = ["one", "two", "three", "four"]
pause = 0.002  # behind each event
never_ends = threading.Event()


def answer(received, reply):
    body = received.json() if received.body else {}
    if body.get("stream"):
        reply.begin(headers={"X-Weir-Prompt-Tokens": "11", "X-Weir-Cached-Tokens": "0"})
        reply.event(chunk(role="assistant"))
        for word in words:
            reply.event(chunk(word))
            time.sleep(pause)
        if body.get("cut"):
            reply.abort()
            return
        reply.event(chunk(finish="stop"))
        reply.event(chunk(choices=[], usage=usage_object(11, 4)))
        reply.piece("data: [DONE]\n\n")
        reply.end()
    else:
        reply.json(200, completion(text=" ".join(words), usage=usage_object(9, 4)))


up = Upstream(answer)


def plugin(file, **settings):
    return "weir_plugin %s %s;\n" % (test_plugin(file), " ".join(
        '"%s=%s"' % item for item in settings.items()))


LOG = "log_format tags '$weir_request_id [$weir_tag_unit] [$weir_tag_seen] [$weir_route]'; " \
      "access_log @dir@/tags.log tags;\n"


def gateway(plugins, **more):
    return Gateway(up, http=HTTP.replace("access_log @dir@/weir.log weir;", LOG) + plugins, **more)


def chat(gw, headers=None, **fields):
    return gw.request("POST", "/v1/chat/completions", json={**CHAT, **fields},
                      headers={**bearer("good"), **(headers or {})})


def text_of(r):
    """The text of a stream's events."""
    out = ""
    for event in r.events():
        if event != "[DONE]":
            for choice in json.loads(event).get("choices", []):
                out += choice["delta"].get("content") or ""
    return out


def error(r):
    return r.status, r.json()["error"].get("code")


def logged(gw, want, name):
    wait_for(lambda: re.search(want, gw.read_log()), 10)
    like(gw.read_log(), want, name)


def tagged(gw, want, name):
    """A line of the access log, which is written a moment after the answer."""
    def read():
        with open(os.path.join(gw.dir, "tags.log"), encoding="utf-8") as f:
            return f.read()
    wait_for(lambda: re.search(want, read()), 5)
    like(read(), want, name)


# -- the worked example

gw = gateway(plugin("business_unit", units="retail,research", word="Bumbershoot"))
unit = {"X-Business-Unit": "retail"}
r = chat(gw, unit, )
is_((r.status, r.headers["X-Business-Unit"]), (200, "retail"), "a known unit: answered, and told")
tagged(gw, r"\[retail\]", "the tag is a variable")
logged(gw, r'plugin "business_unit": unit retail used 9 and 4 tokens', "log() has the usage")
before = len(up.requests)
r = chat(gw)
is_(error(r), (403, "unknown_business_unit"), "no unit: refused")
like(r.json()["error"]["message"], "Name your business unit in the header X-Business-Unit",
     "with the plugin's message")
is_(error(chat(gw, {"X-Business-Unit": "retail\u00fc".encode()})), (403, "unknown_business_unit"), "another")
is_(error(chat(gw, unit, messages=[{"role": "user", "content": "a bumberSHOOT!"}])),
    (400, "word_refused"), "the word in the request")
is_(len(up.requests), before, "nothing of these reached the upstream")
r = gw.request("POST", "/v1/messages", json={**CHAT, "max_tokens": 5},
               headers={**bearer("good"), "anthropic-version": "2023-06-01"})
is_((r.status, r.json()["type"]), (403, "error"), "Anthropic's shape where the client speaks that")
is_(error(gw.request("POST", "/v1/chat/completions", json=CHAT, headers=unit)), (401, "invalid_api_key"),
    "without a key the plugin is not asked")
words[2] = "bumbershoot"
r = chat(gw, unit, stream=True)
is_(text_of(r), "onetwo", "the word in a stream: it ends before")
is_([e.get("finish_reason") for data in r.events() if data != "[DONE]"
     for e in json.loads(data)["choices"] if e.get("finish_reason")], ["content_filter"],
    "as a content filter ends it")
r = chat(gw, unit)
is_((r.status, "bumbershoot" in r.text), (200, False), "the word in a whole answer does not leave")
is_(r.json()["choices"][0]["finish_reason"], "content_filter", "its finish reason says why")
words[2] = "three"
is_(text_of(chat(gw, unit, stream=True)), "onetwothreefour", "other streams pass")
is_(len(gw.usage(9)), 9, "one line for each request")
gw.stop()

# -- the plugin of docs/plugins.md, as it stands there

with open(os.path.join(ROOT, "docs", "plugins.md"), encoding="utf-8") as page:
    source = re.search(r"```c\n(.*?)```", page.read(), re.S).group(1)
gw = gateway("", start=False)
path = gw.file("ticket.c", source)
built = subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-I",
                        os.path.join(ROOT, "modules", "include"), "-o", path[:-2] + "-1.so", path],
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       check=False)
is_(built.stdout.decode(), "", "the guide's plugin compiles")
gw = gateway("weir_plugin %s-1.so;\n" % path[:-2])
r = chat(gw)
is_((error(r), r.json()["error"]["message"]),
    ((403, "denied_by_plugin"), "Say which ticket this is for."), "and refuses")
is_(chat(gw, {"X-Ticket": "7"}).status, 200, "and lets pass")
gw.stop()

# -- every place, every verdict

for at, verdict, status, want in [
        ("headers", "continue", None, 200), ("headers", "deny", 418, 418),
        ("headers", "deny", 200, 403), ("headers", "fail", None, 500),
        ("headers", "replace", None, 500), ("headers", "nonsense", None, 500),
        ("body", "continue", None, 200), ("body", "deny", None, 403), ("body", "fail", None, 500),
        ("body", "nonsense", None, 500), ("route", "continue", None, 200),
        ("route", "deny", 451, 451), ("route", "fail", None, 500), ("route", "replace", None, 500),
        ("response", "deny", 409, 409), ("response", "fail", None, 500),
        ("response", "replace", None, 500), ("response", "hold", None, 500),
        ("headers", "refuse_start", None, 500)]:
    for mode in ("closed", "open"):
        settings = {"at": at, "do": verdict, **({"status": status} if status else {}),
                    **({"open": 1} if mode == "open" else {})}
        gw = gateway(plugin("moody", **settings))
        before = len(up.requests)
        r = chat(gw)
        expected = 200 if mode == "open" and want == 500 else want
        is_(r.status, expected, "%s: %s %s, %s" % (at, verdict, status or "", mode))
        if r.status != 200 and at in ("headers", "body", "route"):
            is_(len(up.requests), before, "%s: %s: nothing reached the upstream" % (at, verdict))
        if r.status == 200 and verdict != "refuse_start":
            is_(r.headers["X-Moody"], "200", "%s: %s: headers can be set" % (at, verdict))
        is_(len(gw.usage(1)), 1, "%s: %s: one usage line" % (at, verdict))
        gw.stop()

# -- bodies

gw = gateway(plugin("moody", at="body", do="replace",
                    text='{\\"model\\":\\"other\\",\\"messages\\":[],\\"n\\":1}'))
is_((chat(gw, model="tiny", x=1).status, up.requests[-1].json()),
    (200, {"model": "other", "messages": [], "n": 1}), "the body is replaced")
is_(up.requests[-1].headers["content-length"], str(len(up.requests[-1].body)), "with its length")
tagged(gw, r"\[1,tiny,acme,chat\]", "facts about the request")
gw.stop()
for mode, want in (({}, 500), ({"open": 1}, 200)):
    gw = gateway(plugin("moody", at="body", do="replace", text="{not JSON", **mode))
    r = chat(gw)
    is_(r.status, want, "a replacement that is no request: %s" % (mode or "closed"))
    if want == 200:
        is_(up.requests[-1].json(), CHAT, "the body is the client's")
    gw.stop()
gw = gateway(plugin("moody", at="body", do="continue", pieces=1), more_server="client_max_body_size 2m;")
chat(gw, filler="x" * 150000)
tagged(gw, r"\[3,tiny", "150 KB in three pieces")
chat(gw)
tagged(gw, r"\[1,tiny", "a small body in one")
r = gw.request("GET", "/v1/models", headers=bearer("good"))
is_(r.status, 200, "a request without a body")
gw.stop()
for mode, want in (({}, 413), ({"open": 1}, 200)):
    gw = gateway(plugin("moody", at="body", do="deny", max_body=100, **mode))
    is_(chat(gw, filler="x" * 500).status, want, "a body over max_body: %s" % (mode or "closed"))
    gw.stop()
gw = gateway(plugin("moody", at="route", do="continue", text="pool-7"))
chat(gw)
tagged(gw, r"\[pool-7\]", "route() sets the route")
gw.stop()

# -- holds

for at in ("headers", "body", "route"):
    for mode, want in (({}, 504), ({"open": 1}, 200)):
        gw = gateway(plugin("moody", at=at, do="hold", timeout=100, **mode))
        is_(chat(gw).status, want, "%s: a hold that nobody answers: %s" % (at, mode or "closed"))
        logged(gw, "cancelled 1", "%s: the plugin is told" % at)
        gw.stop()
    for then, want in (("continue", 200), ("deny", 403), ("fail", 500), ("hold", 500)):
        gw = gateway(plugin("moody", at=at, do="late", ms=20, then=then))
        is_(chat(gw).status, want, "%s: a thread says %s" % (at, then))
        is_(len(gw.usage(1)), 1, "%s: a thread says %s: one usage line" % (at, then))
        gw.stop()
gw = gateway(plugin("moody", at="body", do="late", ms=10, then="replace",
                    text='{\\"model\\":\\"late\\",\\"messages\\":[]}'))
is_((chat(gw).status, up.requests[-1].json()["model"]), (200, "late"), "a thread replaces the body")
threads = []
results = []
for _ in range(20):
    threads.append(threading.Thread(target=lambda: results.append(chat(gw).status)))
    threads[-1].start()
for t in threads:
    t.join()
is_(results, [200] * 20, "twenty requests are held at once")
gw.stop()

gw = gateway(plugin("moody", at="headers", do="hold", timeout=20000))
with socket.create_connection(("127.0.0.1", gw.port), 5) as s:
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
              b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" % KEYS["good"].encode())
    time.sleep(0.5)
is_((gw.usage(1)[0]["status"], gw.usage()[0]["aborted"]), (499, True), "a client that leaves a hold")
logged(gw, "cancelled 1", "the plugin is told")
with socket.create_connection(("127.0.0.1", gw.port), 5) as s:
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
              b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" % KEYS["good"].encode())
    time.sleep(0.5)
    gw.send_signal(15)
    gw.process.wait(10)
gw.stop()
is_([row["status"] for row in gw.usage(2)][1:], [503], "an exit with a request that is held")

gw = gateway(plugin("moody", at="headers", do="late", ms=1500, then="continue", timeout=9000))
results.clear()
t = threading.Thread(target=lambda: results.append(chat(gw).status))
t.start()
time.sleep(0.5)
gw.reload(wait_old=False)
t.join(10)
is_(results, [200], "a reload while a request is held: it is answered")
gw.stop()

# -- answers

whole = "".join(words)
gw = gateway(plugin("moody", at="item", do="continue"))
r = chat(gw, stream=True)
is_((text_of(r), r.events()[-1]), (whole, "[DONE]"), "items pass")
logged(gw, r"status 200 tokens 4 items 7 ended 1", "seen, and the end as well")
try:
    chat(gw, stream=True, cut=True)
except Exception:  # pylint: disable=broad-except
    pass
logged(gw, "ended 2", "an upstream that breaks off")
gw.stop()

gw = gateway(plugin("moody", at="item", do="drop", every=3))
is_(text_of(chat(gw, stream=True)), "onethreefour", "each third event dropped")
gw.stop()
gw = gateway(plugin("moody", at="item", do="replace", every=4, text=json.dumps(
    {"choices": [{"index": 0, "delta": {"content": "X"}}]}).replace('"', '\\"')))
is_(text_of(chat(gw, stream=True)), "onetwoXfour", "one event replaced")
gw.stop()
gw = gateway(plugin("moody", at="item", do="replace", text='{\\"a\\":1}'))
is_(chat(gw).json(), {"a": 1}, "a whole answer replaced")
gw.stop()
for verdict, mode, want in [("deny", {"status": 409}, "moody"), ("fail", {}, "internal_error"),
                            ("nonsense", {}, "internal_error"), ("drop", {}, "internal_error"),
                            ("deny", {"status": 409, "open": 1}, "moody"), ("fail", {"open": 1}, None),
                            ("nonsense", {"open": 1}, None), ("drop", {"open": 1}, None)]:
    gw = gateway(plugin("moody", at="item", do=verdict, **mode))
    is_(chat(gw).json().get("error", {}).get("code"), want, "a whole answer: %s %s" % (verdict, mode))
    gw.stop()
gw = gateway(plugin("moody", at="item", do="deny", every=4, status=451))
r = chat(gw, stream=True)
is_(text_of(r), "onetwo", "denied with a status: what has passed stays")
is_([json.loads(e)["error"]["code"] for e in r.events() if "error" in e], ["moody"], "then an error")
gw.stop()
gw = gateway(plugin("moody", at="item", do="fail", every=4))
r = chat(gw, stream=True)
is_([json.loads(e)["error"]["code"] for e in r.events() if "error" in e], ["internal_error"],
    "failed, closed: an error")
gw.stop()
gw = gateway(plugin("moody", at="item", do="fail", every=4, open=1))
is_(text_of(chat(gw, stream=True)), whole, "failed, open: all passes")
gw.stop()

for every in (1, 3):
    gw = gateway(plugin("moody", at="item", do="late", ms=5, then="continue", every=every))
    is_([text_of(chat(gw, stream=True)) for _ in range(3)], [whole] * 3,
        "a thread lets each %d. event pass: all in order" % every)
    is_(chat(gw).json()["choices"][0]["message"]["content"], " ".join(words), "a whole answer, too")
    gw.stop()
gw = gateway(plugin("moody", at="item", do="late", ms=5, then="replace", every=4, text=json.dumps(
    {"choices": [{"index": 0, "delta": {"content": "L"}}]}).replace('"', '\\"')))
is_(text_of(chat(gw, stream=True)), "onetwoLfour", "a thread replaces an event")
gw.stop()
# A few events may wait at once, not all that pass: they come no faster than a thread answers.
few, words, pause = words, ["w%d " % i for i in range(60)], 0.02
for text in ("X", "Y" * 150):
    gw = gateway(plugin("moody", at="item", do="late", ms=1, then="replace", every=2, max_held=2500,
                        text=json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]})
                        .replace('"', '\\"')))
    got = text_of(chat(gw, stream=True))
    is_(got.count(text), 31, "a thread replaces every second event by one of %d bytes" % len(text))
    gw.stop()
words, pause = few, 0.002
gw = gateway(plugin("moody", at="item", do="late", ms=5, then="deny", every=4))
is_(text_of(chat(gw, stream=True)), "onetwo", "a thread denies an event")
gw.stop()
for mode, want in (({}, "onetwo"), ({"open": 1}, whole)):
    gw = gateway(plugin("moody", at="item", do="hold", every=4, timeout=100, **mode))
    is_(text_of(chat(gw, stream=True)), want, "nobody answers for an event: %s" % (mode or "closed"))
    gw.stop()
gw = gateway(plugin("moody", at="item", do="hold", every=2, timeout=20000, max_held=300, open=1))
is_(text_of(chat(gw, stream=True)), whole, "too much waits behind a held event: as after the timeout")
gw.stop()
gw = gateway(plugin("moody", at="item", do="hold", every=2, timeout=20000))
s = gw.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}, headers=bearer("good"))
time.sleep(0.5)
s.close()
logged(gw, "ended [03] cancelled 1", "a client that leaves a held stream: the hold is cancelled")
gw.stop()

# -- order, names, and what is refused

two = gateway(plugin("moody", name="b", at="headers", do="deny", status=402)
              + plugin("moody", name="a", at="headers", do="deny", status=401))
is_(chat(two).status, 401, "plugins are asked in the order of their names")
two.stop()
for order in (["core", "auth", "metrics"], ["metrics", "auth", "core"],
              ["guard", "admin", "client", "metrics", "auth", "core"]):
    gw = gateway(plugin("business_unit", units="retail"), modules=order)
    is_(chat(gw, unit).status, 200, "modules loaded in the order %s" % ", ".join(order))
    gw.stop()
gw = gateway(plugin("business_unit", units="retail"), workers=2)
gw.reload()
is_(chat(gw, unit).status, 200, "a reload opens the plugin again")
gw.stop()

for directive, want in [
        (plugin("moody") + plugin("moody"), 'two Weir plugins are named "moody"'),
        (plugin("none"), r'plugin "\S+none.so" cannot be opened: .*No such file'),
        (plugin("no_entry"), 'is no Weir plugin: it has no symbol "weir_plugin_entry"'),
        (plugin("wrong_abi"), "made for interface 8, this gateway has 1: build the plugin with"),
        (plugin("business_unit"), 'plugin "business_unit": needs units=name'),
        (plugin("business_unit", colour="red"), 'cannot use "colour=red"'),
        (plugin("moody", mute=1), 'plugin "moody": it refuses without a reason'),
        (plugin("moody", name="A B"), 'has the name "A B", which is not'),
        ("weir_plugin %s at;" % test_plugin("moody"), 'invalid parameter "at" of a plugin: write key=value')]:
    bad = Gateway(up, http=HTTP + directive, start=False)
    accepted, messages = bad.test()
    ok(not accepted, "refused: " + re.sub(r"\S+/", "", directive.strip()))
    like(messages, want, "with its reason")
alone = Nginx(modules=["metrics"], start=False, allow=["emerg"],
              http=plugin("moody") + "server { listen 127.0.0.1:@port@; }")
accepted, messages = alone.test()
ok(not accepted, "without the core nothing is opened")
like(messages, 'unknown directive "weir_plugin"|needs ngx_http_weir_core_module', "and NGINX says so")

done_testing()

#!/usr/bin/env python3
"""A reload with a changed guards document: streams that run end under the one they began with, new
requests get the new one; a bad one changes nothing, and is told in the log and in the metrics."""

import json
import os
import signal
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import Gateway, bearer, chunk, completion  # noqa: E402
from weirnginx import Upstream  # noqa: E402
from weirtap import done_testing, is_, like, ok, unlike, wait_for  # noqa: E402

EMAIL, CARD = "jane.doe@example.org", "4111 1111 1111 1111"
gates = [threading.Event(), threading.Event()]


def answer(received, reply):
    body = received.json()
    if not body.get("stream"):
        reply.json(200, completion("ok"))
        return
    reply.begin()
    reply.piece("data: %s\n\n" % json.dumps(chunk("First %s. " % EMAIL)))
    gates[int(body["user"])].wait(20)
    reply.piece("data: %s\n\n" % json.dumps(chunk("Then %s and %s." % (EMAIL, CARD))))
    reply.piece("data: %s\n\ndata: [DONE]\n\n" % json.dumps(chunk(finish="stop")))
    reply.end()


def document(**policy):
    return {"version": 1, "default": "p", "policies": {"p": policy}}


up = Upstream(answer)
gw = Gateway(up, modules=("core", "auth", "metrics", "client", "guard"),
             more_http="weir_guards @dir@/guards.json;",
             documents={"guards.json": document(entities={"EMAIL_ADDRESS": "redact"})})


def chat(text):
    return gw.request("POST", "/v1/chat/completions", headers=bearer("good"), json={
        "model": "m", "messages": [{"role": "user", "content": text}]})


def last():
    return up.requests[-1].json()["messages"][0]["content"]


def stream(gate):
    """A stream whose first piece has come; the rest waits at the gate."""
    s = gw.stream("POST", "/v1/chat/completions", headers=bearer("good"), json={
        "model": "m", "stream": True, "user": str(gate), "messages": [{"role": "user", "content": "x"}]})
    events = s.events()
    text = ""
    while "First <EMAIL_ADDRESS>" not in text and "First " + EMAIL not in text:
        text += json.loads(next(events)[1])["choices"][0]["delta"].get("content") or ""
    return events, text


def rest(events):
    text, finish = "", None
    for _, data in events:
        if data != "[DONE]":
            choice = json.loads(data)["choices"][0]
            text += choice["delta"].get("content") or ""
            finish = choice["finish_reason"] or finish
    return text, finish


chat(EMAIL + " " + CARD)
is_(last(), "<EMAIL_ADDRESS> " + CARD, "the first document")
is_(gw.metrics()["weir_guard_document_ok"], 1, "it is in force")
old = stream(0)

# -- a good one

gw.write_document("guards.json", document(entities={"EMAIL_ADDRESS": "flag", "CREDIT_CARD": "block"}))
mark = len(gw.read_log())
gw.reload(wait_old=False)
wait_for(lambda: "gracefully shutting down" in gw.read_log()[mark:])
chat(EMAIL)
is_(last(), EMAIL, "after the reload a request has the new one")
is_(chat(CARD).status, 400, "all of it")
new = stream(1)
like(new[1], EMAIL, "and so has a stream")
gates[0].set()
text, finish = rest(old[0])
is_(((old[1] + text).strip(), finish), ("First <EMAIL_ADDRESS>. Then <EMAIL_ADDRESS> and %s." % CARD, "stop"),
    "the stream that ran ends under the one that it began with")
gates[1].set()
text, finish = rest(new[0])
is_(finish, "content_filter", "the new one under the new")
unlike(text, "4111", "before the card has left")

# -- bad ones

loaded = gw.metrics()["weir_guard_document_loaded_timestamp_seconds"]
ok(loaded > 1.6e9, "when it was read is told")
BAD = [
    ("no JSON", "{\"version\":", r"guards\.json:1"),
    ("an unknown type", document(entities={"EMAIL": "redact"}), r"guards\.json.*policies\.p\.entities"),
    ("an expression that costs too much", document(deny=[{"id": "x", "expression": "(a+)+(a+)+(a+)+$"}]),
     r"guards\.json.*policies\.p: .*\"DENY_X\""),
    ("a broken expression", document(custom=[{"type": "X", "expression": "(a"}]),
     r"guards\.json.*policies\.p: .*\"X\""),
    ("an address that is none", document(tier2={"url": "ftp://x/"}), "ftp://x/"),
    ("no file", None, r"guards\.json"),
]
gw.allow(r"\[emerg\].*(guards\.json|ftp://x/)")
for name, bad, words in BAD:
    gates[0].clear()
    running = stream(0)
    wait_for(lambda: len(gw.workers()) == 1)
    workers, mark = gw.workers(), len(gw.read_log())
    if bad is None:
        os.unlink(os.path.join(gw.dir, "guards.json"))
    else:
        gw.write_document("guards.json", bad)
    gw.send_signal(signal.SIGHUP)
    ok(wait_for(lambda m=mark: "[emerg]" in gw.read_log()[m:]), "%s: refused" % name)
    like(gw.read_log()[mark:], words, "%s: the log says where" % name)
    ok(wait_for(lambda: gw.metrics()["weir_guard_document_ok"] == 0), "%s: the metrics show it" % name)
    is_(gw.metrics()["weir_guard_document_loaded_timestamp_seconds"], loaded, "%s: still the old one's time"
        % name)
    is_(gw.workers(), workers, "%s: the workers stay" % name)
    chat(EMAIL)
    is_((last(), chat(CARD).status), (EMAIL, 400), "%s: the last good one is in force" % name)
    gates[0].set()
    is_(rest(running[0])[1], "content_filter", "%s: for streams, too" % name)
    gw.write_document("guards.json", document(entities={"EMAIL_ADDRESS": "flag", "CREDIT_CARD": "block"}))
    gw.reload()
    is_(gw.metrics()["weir_guard_document_ok"], 1, "%s: and a good one heals it" % name)
    loaded = gw.metrics()["weir_guard_document_loaded_timestamp_seconds"]
done_testing()

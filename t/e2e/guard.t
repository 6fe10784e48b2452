#!/usr/bin/env python3
"""Guards on requests: every action, every API, and what is told of it."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import (Gateway, bearer, chunk, completion)  # noqa: E402
from weirnginx import Upstream  # noqa: E402
from weirtap import diag, done_testing, is_, like, ok, unlike, wait_for  # noqa: E402

MODULES = ("core", "auth", "metrics", "client", "guard")
EMAIL = "jane.doe@example.org"
CARD = "4111 1111 1111 1111"


def echo(received, reply):
    """Answers with the text of the last message."""
    body = received.json()
    text = body["messages"][-1]["content"] if "messages" in body else "ok"
    if body.get("stream"):
        reply.begin()
        for i in range(0, len(text), 3):
            reply.event(chunk(text[i:i + 3]))
        reply.event(chunk(finish="stop"))
        reply.piece("data: [DONE]\n\n")
        reply.end()
    else:
        reply.json(200, completion(text))


up = Upstream(echo)
GUARDS = {"version": 1, "default": "base", "policies": {"base": {
    "entities": {"EMAIL_ADDRESS": {"input": "placeholder", "output": "redact"},
                 "CREDIT_CARD": "block", "US_SSN": "mask"},
    "explain": True}}}
gw = Gateway(up, modules=MODULES, more_http="weir_guards @dir@/guards.json;",
             documents={"guards.json": GUARDS})


def chat(text, **more):
    return gw.request("POST", "/v1/chat/completions", headers=bearer("good"),
                      json={"model": "tiny", "messages": [{"role": "user", "content": text}],
                            **more})


r = chat("Write to %s please" % EMAIL)
is_(r.status, 200, "answered")
is_(up.requests[-1].json()["messages"][0]["content"], "Write to <EMAIL_ADDRESS_1> please",
    "the upstream gets a name")
is_(r.json()["choices"][0]["message"]["content"], "Write to %s please" % EMAIL,
    "the client gets the value")
is_(r.headers["X-Weir-Guard"], "EMAIL_ADDRESS=placeholder;n=1", "explained")
r = chat("Write to %s please" % EMAIL, stream=True)
is_("".join(json.loads(e)["choices"][0]["delta"].get("content") or "" for e in r.events()
            if e != "[DONE]"), "Write to %s please" % EMAIL, "streamed as well")
before = len(up.requests)
r = chat("My card is %s" % CARD)
is_((r.status, r.json()["error"]["code"]), (400, "content_policy_violation"), "a card is refused")
diag(r.text)
is_(len(up.requests), before, "and does not reach the upstream")
unlike(r.text + gw.logs(), "4111|jane.doe", "no value anywhere")
diag([l for l in gw.get("/metrics").text.splitlines() if "guard" in l])
done_testing()

#!/usr/bin/env python3
"""Model servers whose status does not say what they answer: errors with status 200, before and
within a stream, streams that nobody asked for and documents in the place of one. The client learns
of it by what it looks at, and the ledger and the metrics do not take it for a success."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import weirscript  # noqa: E402
from weirgateway import Gateway, bearer  # noqa: E402
from weirnginx import Upstream, sse_data, test_plugin  # noqa: E402
from weirtap import diag, done_testing, is_, ok  # noqa: E402

LOCATION = """
        location /%s/ { weir_api_prefix /%s; %s proxy_pass http://engine/; }
"""
up = Upstream(weirscript.serve)
gw = Gateway(up, server="""
    upstream engine { server @upstream@ max_fails=0; keepalive 4; }
    server {
        listen 127.0.0.1:@port@;
        weir on;
        include @root@/config/weir-proxy.conf;
        location / { proxy_pass http://engine; }
        location = /metrics { weir off; weir_metrics; }
""" + "".join(LOCATION % (name, name, more) for name, more in (
    ("chat", "weir_upstream_api chat;"), ("claude", "weir_upstream_api anthropic;"),
    ("unread", "weir_ask_usage off;"),
    ("unmetered", "weir_ask_usage off; weir_read_usage off;"))) + "    }\n")
# The same with a plugin that sees every answer: it passes through the pipeline.
seen = Gateway(up, more_http="weir_plugin %s at=none;\n" % test_plugin("moody"))
gw.allow(r"an event stream that was not asked for")

MESSAGES = [{"role": "user", "content": "Hi"}]
CALLS = {"/v1/chat/completions": {"model": "tiny", "messages": MESSAGES},
         "/v1/completions": {"model": "tiny", "prompt": "Hi"},
         "/v1/messages": {"model": "tiny", "max_tokens": 9, "messages": MESSAGES},
         "/v1/responses": {"model": "tiny", "input": "Hi"},
         "/v1/embeddings": {"model": "tiny", "input": "Hi"}}
NATIVE = [("", path) for path in CALLS]
TRANSLATED = [("/claude", "/v1/chat/completions"), ("/chat", "/v1/messages"),
              ("/chat", "/v1/responses")]


def post(where, manner, server=gw, **more):
    """The answer, its one line, and what the metric has counted."""
    prefix, path = where
    lines = len(server.usage())
    before = server.metrics()["weir_upstream_errors_total"]
    r = server.request("POST", prefix + path, body=json.dumps({**CALLS[path], **more}), headers={
        **bearer("good"), "Content-Type": "application/json", "X-Manner": manner})
    rows = server.usage(lines + 1)[lines:]
    return r, rows, server.metrics()["weir_upstream_errors_total"] - before


def is_error(path, text, message=weirscript.FAILURE):
    """An error of the path's API with that message."""
    try:
        value = json.loads(text)
    except ValueError:
        return False
    shape = value.get("type") == "error" if path == "/v1/messages" else True
    return shape and message in value["error"]["message"]


def failed(rows, status):
    return [(row["status"], row.get("upstream_error"), row["prompt_tokens"],
             row["completion_tokens"], row["aborted"]) for row in rows] \
        == [(status, True, 0, 0, False)]


# -- an error document with status 200

for where in NATIVE + TRANSLATED + [("/unread", "/v1/chat/completions")]:
    for status in (400, 429, 529):
        r, rows, counted = post(where, "fault:%d" % status)
        ok(r.status == 502 and is_error(where[1], r.text),
           "%s%s: an error %d with status 200 is a 502" % (*where, status)) \
            or diag("%s %s" % (r.status, r.text[:300]))
        ok(failed(rows, 502) and counted == 1, "and in the ledger no success") or diag(repr(rows))
for where in NATIVE:
    r, rows, counted = post(where, "fault:400", seen)
    ok(r.status == 502 and is_error(where[1], r.text) and failed(rows, 502) and counted == 1,
       "%s: the same for an answer that plugins see" % where[1]) or diag("%d %s %r" % (
           r.status, r.text[:300], rows))
r, rows, counted = post(("/unmetered", "/v1/chat/completions"), "fault:400")
is_((r.status, counted), (200, 0), "where nothing is read, nothing is known")

# -- an error document for a stream

for where in [w for w in NATIVE if w[1] != "/v1/embeddings"] + TRANSLATED:
    r, rows, counted = post(where, "fault:429", stream=True)
    last = (sse_data(r.text) or [""])[-1]
    ok(r.status == 200 and r.headers["Content-Type"].startswith("text/event-stream")
       and weirscript.FAILURE in last and ("error" in json.loads(last)["type"] if where[1] in (
           "/v1/messages",) else True), "%s%s: streamed, it is an error event" % where) \
        or diag("%d %s" % (r.status, r.text[:400]))
    ok(failed(rows, 200) and counted == 1, "and in the ledger no success") or diag(repr(rows))

    # -- the first event of a stream is an error
    for n in (0, 2):
        r, rows, counted = post(where, "error:%d" % n, stream=True)
        ok(r.status == 200 and weirscript.FAILURE in (sse_data(r.text) or [""])[-1],
           "%s%s: an error event behind %d others" % (*where, n)) or diag(r.text[-400:])
        ok(len(rows) == 1 and rows[0].get("upstream_error") and counted == 1,
           "and in the ledger no success") or diag(repr(rows))

    # -- a document where a stream was asked for
    r, rows, counted = post(where, "document", stream=True)
    ok(r.status == 200 and r.headers["Content-Type"].startswith("text/event-stream")
       and "lo w\u00f6rld" in "".join(sse_data(r.text)).encode().decode("utf-8")
       and rows[0]["stream"] and "upstream_error" not in rows[0] and counted == 0
       and rows[0]["completion_tokens"] == 20, "%s%s: a document becomes a stream" % where) \
        or diag(r.text[:300] + repr(rows))

# -- a stream that nobody asked for

for where in [w for w in NATIVE if w[1] != "/v1/embeddings"] + TRANSLATED:
    for more in ({}, {"stream": False}):
        r, rows, counted = post(where, "stream", **more)
        ok(r.status == 502 and r.headers["Content-Type"].startswith("application/json")
           and is_error(where[1], r.text, "event stream"),
           "%s%s: an event stream that nobody asked for is a 502" % where) or diag(r.text[:300])
        is_([(row["status"], row["stream"], row["completion_tokens"], row["aborted"])
             for row in rows], [(502, False, 0, False)], "and one line")
for manner in ("linger", "late"):
    r, rows, counted = post(("", "/v1/chat/completions"), "stream " + manner)
    ok(r.status == 502 and is_error("", r.text, "event stream"), manner + ": it is not waited for")
ok('weir_refused_requests_total{reason="unexpected_stream"}' in gw.metrics(), "the reason counts")

# -- no lies

for where in NATIVE + TRANSLATED:
    for manner in ("whole", "bytes"):
        r, rows, counted = post(where, manner)
        ok(r.status == 200 and "upstream_error" not in rows[0] and counted == 0,
           "%s%s: a good answer is one, %s" % (*where, manner))
    r, rows, counted = post(where, "status:429")
    ok(r.status == 429 and "upstream_error" not in rows[0] and counted == 0,
       "%s%s: so is an error with its status" % where)
r, rows, counted = post(("", "/v1/chat/completions"), "cut:200", stream=True)
ok(rows[0].get("upstream_error") and counted == 0,
   "a stream that broke off is no success either, and counted as such")
for where in NATIVE:
    for n in (0, 1):
        r, rows, counted = post(where, "cut:%d" % n)
        ok(r.status == 502 and is_error(where[1], r.text, "ended the connection")
           and failed(rows, 502) and counted == 0,
           "%s: an answer of which %d bytes come is none" % (where[1], n)) or diag(
               "%d %s %r" % (r.status, r.text[:200], rows))
done_testing()

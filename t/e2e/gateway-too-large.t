#!/usr/bin/env python3
"""Bodies over client_max_body_size, with a length, chunked and over HTTP/2: a 413 in the shape of
the caller's API, one line in the ledger without tokens, one count of the reason, and nothing
reaches the model server."""

import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import weirhttp2  # noqa: E402
from weirgateway import KEYS, Gateway, bearer, completion, usage_object  # noqa: E402
from weirnginx import Upstream  # noqa: E402
from weirtap import diag, done_testing, is_, ok  # noqa: E402

up = Upstream(lambda received, reply: reply.json(
    413 if b"refuse me" in received.body else 200,
    {"error": {"message": "theirs", "type": "t", "param": None, "code": "theirs"}}
    if b"refuse me" in received.body else completion(usage=usage_object(1, 1))))
gw = Gateway(up, http="""
    weir_tenants @dir@/tenants.json;
    weir_usage_log @dir@/usage.jsonl;
    client_max_body_size 20k;
    client_body_buffer_size 8k;
""", server="""
    upstream engine { server @upstream@ max_fails=0; keepalive 4; }
    server {
        listen 127.0.0.1:@port@;
        listen 127.0.0.1:@port2@ http2;
        weir on;
        include @root@/config/weir-proxy.conf;
        location / { proxy_pass http://engine; }
        location /unread/ { weir_api_prefix /unread; weir_ask_usage off; weir_read_usage off;
                            proxy_pass http://engine/; }
        location /intercept/ { weir_api_prefix /intercept; proxy_intercept_errors on;
                               error_page 418 /none; proxy_pass http://engine/; }
        location /free/ { weir off; proxy_pass http://engine/; }
        location = /metrics { weir off; client_max_body_size 1m; weir_metrics; }
    }
""")
HUGE = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 50000}],
                   "max_tokens": 1, "input": "x"}).encode()
JSON = {"Content-Type": "application/json"}
REFUSED = 'weir_refused_requests_total{reason="body_too_large"}'
lines = 0


def line():
    """(status, tenant, tokens, source) of the last request, which has written one line."""
    global lines  # pylint: disable=global-statement
    rows = gw.usage(lines + 1)[lines:]
    lines += len(rows)
    return [(row["status"], row["tenant"],
             row["prompt_tokens"] + row["cached_tokens"] + row["completion_tokens"],
             row["usage_source"]) for row in rows]


def shaped(path, text):
    """An error as the API's clients know it."""
    try:
        error = json.loads(text)
    except ValueError:
        diag(text[:300])
        return False
    if path.endswith("/messages"):
        return error["type"] == "error" and error["error"]["type"] == "request_too_large" \
            and error["request_id"].startswith("req_")
    return error["error"]["code"] == "request_too_large" and "larger" in error["error"]["message"]


def fixed(path):
    r = gw.request("POST", path, body=HUGE, headers={**bearer("good"), **JSON})
    return r.status, r.text


def chunked(path):
    head = "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/" \
        "json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" % (path, KEYS["good"])
    text = gw.raw(head.encode() + b"%x\r\n" % len(HUGE) + HUGE + b"\r\n0\r\n\r\n").decode()
    head, _, text = text.partition("\r\n\r\n")
    return int(head.split()[1]), re.sub(r"(^|\r\n)[0-9a-f]+\r\n", "", text)


def http2(path, length):
    status, text = weirhttp2.post(gw.ports["port2"], path, {**bearer("good"), **JSON}, HUGE,
                                  length)
    return status, text.decode()


# NGINX compares a length with the limit before anybody is asked who it is.
WAYS = (("with a length", fixed, None), ("chunked", chunked, "acme"),
        ("HTTP/2 with a length", lambda path: http2(path, True), None),
        ("HTTP/2 without a length", lambda path: http2(path, False), "acme"))

for path in ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/unread/v1/embeddings",
             "/unread/v1/messages", "/intercept/v1/chat/completions"):
    for name, send, tenant in WAYS:
        counted = gw.metrics().get(REFUSED, 0)
        status, text = send(path)
        ok(status == 413 and shaped(path, text), "%s, %s: a 413 in its API's shape" % (path, name))
        is_(line(), [(413, tenant, 0, "none")], "%s, %s: one line" % (path, name))
        is_(gw.metrics()[REFUSED] - counted, 1, "%s, %s: counted" % (path, name))
is_(len(up.requests), 0, "nothing reaches the model server")

# An upstream's own 413 is its answer, not a refusal of the gateway's.
counted = gw.metrics()[REFUSED]
r = gw.request("POST", "/v1/chat/completions", headers={**bearer("good"), **JSON}, body=json.dumps(
    {"model": "m", "messages": [{"role": "user", "content": "refuse me"}]}))
is_((r.status, r.json()["error"]["code"], line(), gw.metrics()[REFUSED] - counted),
    (413, "theirs", [(413, "acme", 0, "none")], 0), "an upstream's 413 passes, and is not ours")
r = gw.request("POST", "/free/v1/chat/completions", body=HUGE, headers=JSON)
is_((r.status, len(gw.usage())), (413, lines), "none of a location that is not governed")
done_testing()

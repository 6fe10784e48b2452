#!/usr/bin/env python3
"""Answers of every API that are cut at random places and delivered with random delays in front of
the gateway's filters (t/modules/chaos): the client gets the same bytes, and the ledger the same
numbers, as without. Whole, broken off and translated, streams and documents."""

import collections
import concurrent.futures
import http.client
import json
import os
import re
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import weirscript  # noqa: E402
from weirgateway import KEYS, Gateway  # noqa: E402
from weirnginx import Upstream, http_connection, test_module  # noqa: E402
from weirtap import diag, done_testing, is_, ok, seeded_random  # noqa: E402

SNIPPET = "include @root@/config/weir-proxy.conf; "
LOCATION = """
        location /%s/ { weir_api_prefix /%s; rewrite ^/[a-z]+(/.*) $1 break;
                        %s proxy_pass http://engine; }
"""
up = Upstream(weirscript.serve)
gw = Gateway(up, modules=("core", "auth", "metrics", test_module("chaos")), http="""
    weir_tenants @dir@/tenants.json;
    weir_usage_log @dir@/usage.jsonl;
    keepalive_requests 100000;
    log_format chaos "$weir_chaos_pieces";
    access_log @dir@/pieces.log chaos;
    weir_chaos "$http_x_seed" 24 3ms;
""", server="""
    upstream engine { server @upstream@ max_fails=0; }
    server {
        listen 127.0.0.1:@port@;
        weir on;
        location / { include @root@/config/weir-proxy.conf; proxy_pass http://engine; }
""" + "".join(LOCATION % (name, name, more) for name, more in (
    ("chat", SNIPPET + "weir_upstream_api chat;"),
    ("claude", SNIPPET + "weir_upstream_api anthropic;"),
    ("buffered", "proxy_http_version 1.1; proxy_set_header Connection ''; "
                 "proxy_set_header Accept-Encoding '';"),
    ("zipped", SNIPPET + "weir_upstream_api chat; gzip on; gzip_types *; gzip_min_length 1;")))
    + "    }\n")
gw.allow(r"upstream prematurely closed|recv\(\) failed")

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]}
MESSAGE = {**CHAT, "max_tokens": 9}
RESPONSE = {"model": "tiny", "input": "Hi"}
PROMPT = {"model": "tiny", "prompt": "Hi"}
TOOLS = {"tools": [{"type": "function", "function": {"name": n, "parameters": {"type": "object"}}}
                   for _, n, _ in weirscript.CALLS]}
STREAM = {"stream": True}
ASKING = {"stream": True, "stream_options": {"include_usage": True}}

KINDS = {
    "chat": ("/v1/chat/completions", CHAT), "completions": ("/v1/completions", PROMPT),
    "messages": ("/v1/messages", MESSAGE), "responses": ("/v1/responses", RESPONSE),
    "embeddings": ("/v1/embeddings", {"model": "tiny", "input": ["a", "b"]}),
    "chat on Anthropic": ("/claude/v1/chat/completions", CHAT),
    "messages on chat": ("/chat/v1/messages", MESSAGE),
    "responses on chat": ("/chat/v1/responses", RESPONSE),
    "streamed chat": ("/v1/chat/completions", {**CHAT, **STREAM}),
    "streamed chat with usage": ("/v1/chat/completions", {**CHAT, **ASKING}),
    "streamed tools": ("/v1/chat/completions", {**CHAT, **STREAM, **TOOLS}),
    "streamed completions": ("/v1/completions", {**PROMPT, **STREAM}),
    "streamed messages": ("/v1/messages", {**MESSAGE, **STREAM}),
    "streamed responses": ("/v1/responses", {**RESPONSE, **STREAM}),
    "streamed chat on Anthropic": ("/claude/v1/chat/completions", {**CHAT, **ASKING}),
    "streamed messages on chat": ("/chat/v1/messages", {**MESSAGE, **STREAM}),
    "streamed responses on chat": ("/chat/v1/responses", {**RESPONSE, **STREAM}),
    "buffered streamed chat": ("/buffered/v1/chat/completions", {**CHAT, **STREAM}),
    "buffered messages": ("/buffered/v1/messages", MESSAGE),
    "zipped streamed messages on chat": ("/zipped/v1/messages", {**MESSAGE, **STREAM}),
    "zipped responses on chat": ("/zipped/v1/responses", RESPONSE)}
MANNERS = ("whole", "random:7 comments", "crlf", "cr bom", "document", "stream", "nousage",
           "nodone", "error:2", "events:3", "fault:429")
SEEDS = 8 if os.environ.get("WEIR_NGINX") else 30


def post(path, body, manner, seed=""):
    """(status, type, body) of one request."""
    headers = {"Authorization": "Bearer " + KEYS["good"], "Content-Type": "application/json",
               "X-Request-Id": "one-id", "X-Manner": manner, "Accept-Encoding": "gzip"}
    if seed != "":
        headers["X-Seed"] = str(seed)
    # A gateway that ends a kept connection waits for the client to do so, too.
    connection = http_connection(gw.port)
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    try:
        text = answer.read()
    except http.client.IncompleteRead as cut:
        text = cut.partial + b"(broken)"
    connection.close()
    if answer.headers.get("Content-Encoding") == "gzip":
        text = zlib.decompressobj(31).decompress(text)
    text = re.sub(rb'"(created|created_at|completed_at)":\d{10}', rb'"\1":0', text)
    return answer.status, answer.headers["Content-Type"], text


def numbers(row):
    """What must not depend on the cuts."""
    # A refusal in the place of an answer is sent while chaos still holds that answer.
    return (row["status"] == 200 and row["aborted"],) + tuple(row.get(name) for name in (
        "path", "model", "status", "stream", "upstream_error", "prompt_tokens", "cached_tokens",
        "completion_tokens", "usage_source"))


rand = seeded_random()
threads = concurrent.futures.ThreadPoolExecutor(16)
rows = 0
for name, (path, body) in KINDS.items():
    length = len(post(path, body, "whole")[2])
    manners = [m for m in MANNERS if m != "stream" or name != "embeddings"]
    manners += ["cut:%d" % rand.randrange(length) for _ in range(6)]
    plain = {manner: post(path, body, manner) for manner in manners}
    want = collections.Counter(map(numbers, gw.usage(rows + 1 + len(manners))[rows + 1:]))
    rows += 1 + len(manners)
    jobs = [(manner, rand.randrange(1 << 31)) for manner in manners
            for _ in range(SEEDS if manner == "whole" else SEEDS // 3)]
    answers = list(threads.map(lambda job, p=path, b=body: post(p, b, *job), jobs))
    bad = [(job, got, plain[job[0]]) for job, got in zip(jobs, answers) if got != plain[job[0]]]
    ok(not bad, "%s: the same bytes for each of %d seeds" % (name, len(jobs))) \
        or diag("\n".join(map(repr, bad[:3])))
    got = collections.Counter(map(numbers, gw.usage(rows + len(jobs))[rows:]))
    rows += len(jobs)
    is_((sum(got.values()), set(got)), (len(jobs), set(want)),
        "%s: one line each, with the same numbers" % name)

with open(os.path.join(gw.dir, "pieces.log"), encoding="ascii") as f:
    pieces = [int(line) for line in f if line.strip() != "0"]
ok(len(pieces) > len(KINDS) * SEEDS and sum(pieces) > 20 * len(pieces),
   "%d answers were cut into %d pieces" % (len(pieces), sum(pieces)))
done_testing()

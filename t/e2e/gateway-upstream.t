#!/usr/bin/env python3
"""A model server that does what it must not: it redirects prompts elsewhere, answers with pages or
nothing, calls the gateway's key bad, sets cookies and ids of its own, or speaks of errors in another
API's shape. Its clients get one error that says so, in their own shape, and try again only where
that may help."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import KEYS, Gateway, bearer, chunk, completion, usage_object  # noqa: E402
from weirnginx import Upstream  # noqa: E402
from weirtap import diag, done_testing, is_, like, ok, unlike  # noqa: E402

SECRET = "my secret prompt"
mode = ""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"


def answer(received, reply):
    asked = received.json() if received.body else {}
    if mode[:1] == "3":
        reply.send(int(mode), "moved", {"Location": elsewhere_url, "Content-Type": "text/html",
                                        "X-Should-Retry": "true", "Retry-After": "1"})
    elif mode == "json redirect":
        reply.json(302, {"x": 1}, {"Location": "/v1/other"})
    elif mode == "event redirect":
        reply.send(302, "data: 1\n\n", {"Location": "/v1/other",
                                        "Content-Type": "text/event-stream"})
    elif mode == "page":
        reply.send(200, "in maintenance", {"Content-Type": "text/html"})
    elif mode == "no type":
        reply.send(200, json.dumps(completion()), {"Content-Type": None})
    elif mode == "204":
        reply.raw(b"HTTP/1.1 204 No Content\r\n\r\n")
    elif mode == "empty":
        reply.send(200, "")
    elif mode == "bytes":
        reply.send(200, b"\0\0\0\1", {"Content-Type": "application/octet-stream"})
    elif mode == "gzip":
        reply.send(200, b"\x1f\x8b\x08\x00", {"Content-Encoding": "gzip"})
    elif mode == "unparsable":
        reply.send(200, '{"id":1}{')
    elif mode == "cut":
        reply.raw(HEAD + b'{"a":')
        reply.keep = False
    elif mode.startswith("status"):
        reply.json(int(mode.split()[1]), {"error": {
            "message": "said by the model server", "type": "x", "param": None,
            "code": "its_own_code"}}, {"WWW-Authenticate": "Bearer realm=model"})
    elif mode == "anthropic error":
        reply.json(404, {"type": "error", "error": {"type": "not_found_error", "message": "gone"},
                         "request_id": "its-own"})
    elif mode == "other json":
        reply.json(400, {"detail": "x"})
    elif mode == "html":
        reply.send(int(page_status), "<html>internal details</html>",
                   {"Content-Type": "text/html", "Location": "http://inside/"})
    elif mode == "headers":
        reply.json(200, completion(usage=usage_object(3, 2)), {
            "Set-Cookie": "a=b", "X-Request-Id": "up", "Request-Id": "up",
            "WWW-Authenticate": "Bearer x", "Access-Control-Allow-Origin": "*",
            "access-control-expose-headers": "x", "Refresh": "0; url=http://elsewhere/",
            "Alt-Svc": "h3=x", "Strict-Transport-Security": "max-age=1", "Clear-Site-Data": "*",
            "X-Mine": "stays", "Location": "/v1/chat/completions/1"})
    elif received.path == "/tokenize":
        if mode == "no count":
            reply.json(200, {"tokens": 5})
        else:
            reply.json(200, {"count": 12, "max_model_len": 99, "tokens": [1]})
    elif asked.get("stream"):
        reply.begin(200)
        reply.event(chunk("Hel", role="assistant"))
        reply.event(chunk("lo", finish="stop"))
        reply.event("[DONE]")
        reply.end()
    else:
        reply.json(200, completion(usage=usage_object(3, 2)))


page_status = "500"
elsewhere = Upstream(lambda received, reply: reply.json(200, completion()))
elsewhere_url = "http://127.0.0.1:%d/v1/chat/completions" % elsewhere.port
up = Upstream(answer)
def location(name, directives):
    """Below /NAME/, with directives of its own."""
    return """
    location /%s/ {
        weir_api_prefix /%s;
        rewrite ^/%s(/.*) $1 break;
        proxy_pass http://engine;
        include @root@/config/weir-proxy.conf;
        %s
    }""" % (name, name, name, directives)


gw = Gateway(up, allow=[], documents={"provider.key": "sk-provider"}, more_server="".join((
    location("c", "weir_upstream_api chat;"),
    location("t", "weir_upstream_api chat; weir_translate_options ask_count;"),
    location("k", "weir_upstream_key @dir@/provider.key;"),
    location("n", "weir_read_usage off;"),
    location("headers", "add_header Access-Control-Allow-Origin https://mine.example;"))))

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": SECRET}]}
MESSAGES = {**CHAT, "max_tokens": 5}
CALLS = [("chat", "/v1/chat/completions", CHAT), ("messages", "/v1/messages", MESSAGES),
         ("chat, nothing read", "/n/v1/chat/completions", CHAT),
         ("messages on chat", "/c/v1/messages", MESSAGES),
         ("responses on chat", "/c/v1/responses", {"model": "tiny", "input": SECRET})]


def post(path, body, **more):
    return gw.request("POST", path, json=body, headers={**bearer("good"), **more})


def check(name, r, status, code, anthropic, again=False):
    """The error in its API's shape; False: a repeat is said to be vain, None: nothing is said."""
    try:
        error = r.json()["error"]
        got = error["details"]["error_code"] if anthropic else error["code"]
        good = bool(error["message"]) and (r.json().get("type") == "error") == anthropic
    except (ValueError, KeyError, TypeError):
        got, good = r.text[:200], False
    want = {False: "false", None: None}[again]
    if not ok((r.status, got, good, r.headers.get("X-Should-Retry"),
               r.headers.get("Location"), len(r.headers.get_all("X-Request-Id") or []))
              == (status, code, True, want, None, 1), "%s: %d %s" % (name, status, code)):
        diag("got %d %s" % (r.status, r.text[:300]))
        diag(repr(r.headers.items()))


# -- redirects

for mode in ("301", "302", "303", "307", "308", "304", "json redirect", "event redirect"):
    for name, path, body in CALLS:
        for stream in (False, True):
            check("%s: %s%s" % (name, mode, ", a stream" if stream else ""),
                  post(path, {**body, "stream": stream}), 502, "upstream_redirect",
                  "messages" in name)
mode = "307"
check("GET models: 307", gw.request("GET", "/v1/models", headers=bearer("good")), 502,
      "upstream_redirect", False)
check("a call that passes unread: 307", gw.request("GET", "/v1/files/x/content",
                                                   headers=bearer("good")), 502,
      "upstream_redirect", False)
r = gw.request("HEAD", "/v1/models", headers=bearer("good"))
is_((r.status, r.headers.get("Location")), (502, None), "HEAD: 307")
mode = "304"
r = gw.request("GET", "/v1/models", headers={**bearer("good"), "If-None-Match": '"x"'})
is_(r.status, 304, "what was asked for with a condition may be unchanged")
try:
    import openai
except ImportError:
    openai = None
if openai:
    mode = "307"
    before = len(up.requests)
    try:
        openai.OpenAI(base_url=gw.url() + "v1", api_key=KEYS["good"], timeout=10) \
            .chat.completions.create(**CHAT)
        ok(False, "openai: an error is raised")
    except openai.InternalServerError as error:
        is_((error.status_code, error.code), (502, "upstream_redirect"), "openai: an error is raised")
    is_(len(up.requests) - before, 1, "openai: at the first try")
is_(elsewhere.requests, [], "no prompt went where the redirects pointed")

# -- answers that are none

for mode in ("page", "no type", "204", "empty"):
    for name, path, body in CALLS:
        for stream in (False, True):
            check("%s: %s%s" % (name, mode, ", a stream" if stream else ""),
                  post(path, {**body, "stream": stream}), 502, "unreadable_answer",
                  "messages" in name)
mode = "bytes"
r = post("/v1/embeddings", {"model": "m", "input": "x", "encoding_format": "bytes"})
is_((r.status, r.body), (200, b"\0\0\0\1"), "embeddings may be bytes")
check("chat may not", post("/v1/chat/completions", CHAT), 502, "unreadable_answer", False)
mode = "page"
is_(post("/v1/generate", {"prompt": "x"}).status, 200, "calls of single servers: what they send")
is_(gw.request("GET", "/v1/files/x/content", headers=bearer("good")).text, "in maintenance",
    "so do calls that pass unread")

# -- what a repeat helps against

for name, path, body in CALLS:
    for stream in (False, True):
        what = name + (", a stream" if stream else "")
        if (stream and "nothing read" not in name) or "on chat" in name:
            mode = "gzip"
            check(what + ": compressed", post(path, {**body, "stream": stream}), 502,
                  "encoded_answer", "messages" in name)
for name, path, body in CALLS[3:]:
    mode = "unparsable"
    check(name + ": no JSON", post(path, body), 502, "upstream_error", "messages" in name)
    mode = "cut"
    check(name + ": cut", post(path, body), 502, "upstream_error", "messages" in name, None)

# -- pages

mode = "html"
for page_status in ("400", "404", "429", "500", "503", "504"):
    for name, path, body in CALLS:
        r = post(path, body)
        check("%s: a page with %s" % (name, page_status), r, int(page_status),
              "upstream_error", "messages" in name, None)
        like(r.json()["error"]["message"], "model server answered with status " + page_status,
             "%s: it says who answered" % name)
        unlike(r.text, "internal details", "%s: and no more" % name)

# -- the gateway's own key

for mode in ("status 401", "status 403"):
    for name, path, body in (("chat", "/k/v1/chat/completions", CHAT),
                             ("messages", "/k/v1/messages", MESSAGES)):
        r = post(path, body)
        check("%s: %s with the gateway's key" % (name, mode), r, 502, "provider_error",
              name == "messages")
        unlike(r.text, "said by", "%s: without the model server's words" % name)
    r = post("/v1/chat/completions", CHAT)
    is_((r.status, r.json()["error"]["message"]),
        (int(mode.split()[1]), "said by the model server"), "without one: %s passes" % mode)
    is_(r.headers.get("WWW-Authenticate"), None, "but no demand for credentials")
mode = "html"
page_status = "401"
check("a page with 401 and the gateway's key", post("/k/v1/chat/completions", CHAT), 502,
      "provider_error", False)

# -- errors in another API's shape

for mode in ("status 404", "status 429", "status 529"):
    status = int(mode.split()[1])
    for path in ("/v1/messages", "/n/v1/messages", "/anthropic/v1/messages", "/c/v1/messages"):
        r = post(path, MESSAGES)
        check("%s: %s" % (path, mode), r, status, "its_own_code", True, None)
        is_((r.json()["error"]["message"], r.json()["request_id"]),
            ("said by the model server", r.headers["Request-Id"]), "%s: the message" % path)
    r = gw.request("GET", "/v1/models/x", headers={**bearer("good"), "anthropic-version": "1"})
    check("GET models/x of Anthropic's client: %s" % mode, r, status, "its_own_code", True, None)
mode = "status 404"
r = post("/v1/messages", {**MESSAGES, "stream": True})
check("a stream was asked for", r, 404, "its_own_code", True, None)
mode = "anthropic error"
r = post("/v1/messages", MESSAGES)
is_((r.status, r.json()), (404, {"type": "error", "request_id": "its-own", "error": {
    "type": "not_found_error", "message": "gone"}}), "Anthropic's own shape passes as it is")
mode = "other json"
is_(post("/v1/messages", MESSAGES).json(), {"detail": "x"}, "so does what is no error's shape")

# -- headers

mode = "headers"
r = post("/v1/chat/completions", CHAT)
is_(r.status, 200, "an answer with headers")
for name in ("Set-Cookie", "Request-Id", "WWW-Authenticate", "Access-Control-Allow-Origin",
             "Access-Control-Expose-Headers", "Refresh", "Alt-Svc", "Strict-Transport-Security",
             "Clear-Site-Data"):
    is_(r.headers.get(name), None, "without %s of the model server" % name)
like(r.headers["X-Request-Id"], "^req_", "with the gateway's id")
is_(r.headers["X-Mine"], "stays", "others stay")
is_(r.headers["Location"], "/v1/chat/completions/1", "as Location does where nothing is redirected")
is_(post("/headers/v1/chat/completions", CHAT).headers.get_all("Access-Control-Allow-Origin"),
    ["https://mine.example"], "the operator's own stay")
r = post("/v1/messages", MESSAGES)
is_(r.headers.get_all("Request-Id"), r.headers.get_all("X-Request-Id"),
    "Anthropic's clients: one id under two names")

# -- Azure's paths before a server that has no such

mode = ""
AZURE = "/c/openai/deployments/gpt%2Dx/"
r = gw.request("POST", AZURE + "chat/completions?api-version=1", headers={"api-key": KEYS["good"]},
               json={"messages": CHAT["messages"], "n": 1})
is_((r.status, up.requests[-1].path), (200, "/v1/chat/completions"),
    "Azure's chat goes to the server's own path")
is_(up.requests[-1].json(), {"model": "gpt-x", "messages": CHAT["messages"], "n": 1},
    "with the model in the body")
r = gw.request("POST", AZURE + "chat/completions", headers={"api-key": KEYS["good"]},
               json={**CHAT, "model": "gpt-x", "stream": True})
is_((r.status, r.events()[-1], up.requests[-1].path), (200, "[DONE]", "/v1/chat/completions"),
    "a stream, too")
is_(up.requests[-1].json()["model"], "gpt-x", "which names the model itself")
gw.request("POST", AZURE + "embeddings", headers={"api-key": KEYS["good"]}, json={"input": "x"})
is_((up.requests[-1].path, up.requests[-1].json()),
    ("/v1/embeddings", {"model": "gpt-x", "input": "x"}), "so do embeddings")
gw.request("POST", AZURE + "responses", headers={"api-key": KEYS["good"]}, json={"input": "x"})
is_((up.requests[-1].path, up.requests[-1].json()["model"]), ("/v1/chat/completions", "gpt-x"),
    "responses are translated")
gw.request("POST", "/openai/deployments/x/chat/completions?api-version=1", json=CHAT | {"model": "x"},
           headers={"api-key": KEYS["good"]})
is_(up.requests[-1].path, "/openai/deployments/x/chat/completions?api-version=1",
    "unless it is told nothing of the server's API")

# -- counts of tokens, asked of a server that can

for name, path, body, want in (
        ("messages", "/t/v1/messages/count_tokens",
         {"model": "tiny", "messages": CHAT["messages"], "system": "s"}, {"input_tokens": 12}),
        ("responses", "/t/v1/responses/input_tokens", {"model": "tiny", "input": SECRET},
         {"object": "response.input_tokens", "input_tokens": 12})):
    mode = ""
    r = post(path, body)
    is_((r.status, r.json(), up.requests[-1].path), (200, want, "/tokenize"),
        "%s: the server's own count" % name)
    ok(SECRET in str(up.requests[-1].json()["messages"]), "%s: of the messages" % name)
    mode = "no count"
    check("%s: an answer without a count" % name, post(path, body), 502, "upstream_error",
          name == "messages")
    mode = "status 404"
    check("%s: the server has no such call" % name, post(path, body), 404, "its_own_code",
          name == "messages", None)
    before = len(up.requests)
    r = post(path.replace("/t/", "/c/"), body)
    ok(r.status == 200 and 3 < r.json()["input_tokens"] < 12 and len(up.requests) == before,
       "%s: else the gateway's estimate" % name)
check("a count that cannot be put to the server", post("/t/v1/messages/count_tokens", {
    "model": "tiny", "messages": 5}), 400, "invalid_request", True, None)
mode = ""

# -- what is counted

is_(gw.metrics()["weir_truncated_answers_total"], 2,
    "only what was cut is counted as broken off: messages and responses")
done_testing()

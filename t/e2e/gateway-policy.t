#!/usr/bin/env python3
"""Policies at work: which calls, models, caps and tools a key may ask for, and how a request is
changed to fit; and clients of one API on a server of another."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import Gateway, bearer, chunk, completion, key_record, usage_object  # noqa: E402
from weirnginx import Upstream  # noqa: E402
from weirtap import done_testing, is_, like, ok  # noqa: E402

CHAT = "/v1/chat/completions"

POLICIES = {"version": 1, "policies": {
    "small": {"models": {"allow": ["tiny", "org/*"], "deny": ["org/secret"]},
              "aliases": {"fast": "tiny", "hidden": "large", "far": "org/a"},
              "endpoints": ["chat", "responses", "messages", "completions", "models", "embeddings",
                            "generate"],
              "pass_through": ["audio"],
              "caps": {"max_tokens": 100, "default_max_tokens": 50, "n": 2, "context_tokens": 300},
              "tools": {"max": 2, "allow": ["get_*", "mcp"]}},
    "lower": {"caps": {"max_tokens": 100, "n": 2}, "over_cap": "lower"}}}

TENANTS = {"version": 1, "tenants": [
    {"id": "acme", "policy": "small", "keys": [key_record("good")]},
    {"id": "beta", "policy": "lower", "keys": [key_record("other")]},
    {"id": "free", "keys": [key_record("good2")]}]}

ERROR = {"error": {"message": "mine", "type": "invalid_request_error", "param": None, "code": "x"}}


def answer(received, reply):
    if received.path.startswith("/v1/models"):
        reply.json(200, {"object": "list", "data": [
            {"id": m, "object": "model", "owned_by": "us"}
            for m in ("tiny", "large", "org/a", "org/secret")],
            "first_id": "tiny", "last_id": "org/secret", "extra": 1.50})
    elif received.headers.get("x-fail"):
        reply.json(400, ERROR)
    elif received.method == "POST" and received.path == CHAT and received.json().get("stream"):
        reply.begin()
        for event in (chunk(role="assistant"), chunk("Hi "), chunk("you"), chunk(finish="stop"),
                      chunk(choices=[], usage=usage_object(5, 2))):
            reply.event(event)
        reply.event("[DONE]")
        reply.end()
    elif received.path == "/v1/messages":
        reply.json(200, {"id": "msg_1", "type": "message", "role": "assistant", "model": "tiny",
                         "content": [{"type": "text", "text": "Hi you"}], "stop_reason": "end_turn",
                         "stop_sequence": None, "usage": {"input_tokens": 5, "output_tokens": 2}})
    else:
        reply.json(200, completion("Hi you", usage=usage_object(5, 2)))


up = Upstream(answer)
gw = Gateway(up, tenants=TENANTS, http="""
    weir_tenants @dir@/tenants.json;
    weir_policies @dir@/policies.json;
    weir_usage_log @dir@/usage.jsonl;
""", server="""
    upstream engine { server @upstream@ max_fails=0; keepalive 4; }
    server {
        listen 127.0.0.1:@port@;
        weir on;
        include @root@/config/weir-proxy.conf;
        location / { proxy_pass http://engine; }
        location = /metrics { weir off; weir_metrics; }
        location /all/ { weir_api_prefix /all; weir_pass_through all; proxy_pass http://engine/; }
        location /chat/ { weir_api_prefix /chat; weir_upstream_api chat; proxy_pass http://engine/; }
        location /whole/ { weir_api_prefix /whole; weir_upstream_api openai;
                          rewrite ^/whole(/.*) $1 break; proxy_pass http://engine; }
        location /claude/ { weir_api_prefix /claude; weir_upstream_api anthropic;
                            proxy_pass http://engine/; }
    }
""", start=False)
gw.file("policies.json", json.dumps(POLICIES))
gw.start()


def post(path, body, who="good", headers=None):
    before = len(up.requests)
    r = gw.request("POST", path, json=body, headers={**bearer(who), **(headers or {})})
    return r, up.requests[before:]


def chat(**more):
    return {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], **more}


def refused(name, body, status, code, path=CHAT, param=None, who="good"):
    r, seen = post(path, body, who)
    error = r.json()["error"]
    is_((r.status, error.get("code"), error.get("param"), len(seen)), (status, code, param, 0),
        "%s: refused" % name)
    return error["message"]


def passes(name, body, want=None, path=CHAT, who="good"):
    r, seen = post(path, body, who)
    is_((r.status, [s.json() for s in seen]), (200, [body if want is None else want]),
        "%s: passes" % name)


# -- models

passes("an allowed model", chat(max_tokens=7))
passes("another", chat(model="org/a", max_tokens=7))
passes("an alias", chat(model="fast", max_tokens=7), chat(max_tokens=7))
like(refused("a model of others", chat(model="large"), 403, "model_not_allowed", param="model"),
     "large", "the message names it")
refused("a denied one", chat(model="org/secret"), 403, "model_not_allowed", param="model")
refused("an alias to one of others", chat(model="hidden"), 403, "model_not_allowed", param="model")
refused("another case", chat(model="Tiny"), 403, "model_not_allowed", param="model")
refused("no model", {"messages": []}, 403, "model_not_allowed")
refused("Azure's path", {"messages": []}, 403, "model_not_allowed", param="model",
        path="/openai/deployments/large/chat/completions")
refused("an alias in Azure's path", {"messages": []}, 400, "model_alias_in_path",
        path="/openai/deployments/fast/chat/completions")
r = gw.request("GET", "/v1/models", headers=bearer("good"))
is_([m["id"] for m in r.json()["data"]], ["tiny", "org/a", "far", "fast"],
    "lists name what may be used, aliases too")
is_(r.json()["data"][3], {"id": "fast", "object": "model", "owned_by": "us"},
    "an alias is the model under its other name")
is_((r.json()["first_id"], r.json()["last_id"]), ("tiny", "org/a"), "no hidden model ends the page")
like(r.text, '"extra": 1.5', "the rest of the list stays")
r = gw.request("GET", "/v1/models", headers=bearer("good2"))
is_(len(r.json()["data"]), 4, "without a policy all")
for model, status, asked in (
        ("tiny", 200, "tiny"), ("large", 404, None), ("org%2Fa", 200, "org%2Fa"),
        ("org%2Fsecret", 404, None), ("fast", 200, "tiny"), ("f%61st?x=1", 200, "tiny?x=1"),
        ("far", 200, "org%2Fa"), ("hidden", 404, None)):
    before = len(up.requests)
    is_(gw.request("GET", "/v1/models/" + model, headers=bearer("good")).status, status,
        "models/%s: %d" % (model, status))
    is_([x.path for x in up.requests[before:]], ["/v1/models/" + asked] if asked else [],
        "models/%s: what the server is asked" % model)

# -- calls

refused("a call that is not listed", {"model": "tiny", "input": "x"}, 403, "endpoint_not_allowed",
        path="/v1/moderations")
refused("limits where nobody reads them", {"prompt": "x", "model": "tiny"}, 403,
        "endpoint_not_allowed", path="/generate")
r, seen = post("/v1/audio/speech", {"model": "large"})
is_((r.status, len(seen)), (200, 1), "a group that the policy allows")
refused("one that only the location allows", {"model": "large"}, 404, "unknown_path",
        path="/all/v1/images/generations")
r, seen = post("/all/v1/images/generations", {"model": "large"}, who="good2")
is_((r.status, len(seen)), (200, 1), "which is enough without a policy")

# -- caps

passes("no limit given", chat(), {"max_tokens": 50, **chat()})
passes("null given", {**chat(), "max_tokens": None}, {**chat(), "max_tokens": 50})
passes("for responses by its name", {"model": "tiny", "input": "x"},
       {"max_output_tokens": 50, "model": "tiny", "input": "x"}, path="/v1/responses")
passes("embeddings have none", {"model": "tiny", "input": "x"}, path="/v1/embeddings")
for field in ("max_tokens", "max_completion_tokens"):
    like(refused("%s over the cap" % field, chat(**{field: 101}), 400, "max_tokens_too_large",
                 param="max_tokens"), "101.*100", "both numbers are named")
refused("the larger of two", chat(max_tokens=5, max_completion_tokens=500), 400,
        "max_tokens_too_large", param="max_tokens")
refused("too many answers", chat(n=3, max_tokens=5), 400, "n_too_large", param="n")
passes("enough of them", chat(n=2, max_tokens=5))
like(refused("too much input", chat(messages=[{"role": "user", "content": "x" * 1500}]), 400,
             "context_length_exceeded"), "^context_length_exceeded", "the message begins with it")
passes("no limit, under a name of its own", chat(n_predict=-1),
       {"max_tokens": 50, **chat(n_predict=50)})
passes("and beside another", chat(max_tokens=7, n_predict=-1), chat(max_tokens=7, n_predict=7))
passes("lowered", chat(max_tokens=1000, n_predict=-2), chat(max_tokens=100, n_predict=100),
       who="other")
refused("a model in capitals", {**chat(), "Model": "large"}, 400, "invalid_request", param="model")
passes("lowered", chat(max_tokens=1000, n=9), chat(max_tokens=100, n=2), who="other")
passes("lowered under both names", chat(max_tokens=1000, max_completion_tokens=7),
       chat(max_tokens=100, max_completion_tokens=7), who="other")

# -- tools


def tool(name):
    return {"type": "function", "function": {"name": name}}


passes("allowed tools", chat(max_tokens=5, tools=[tool("get_a"), tool("get_b")]))
refused("too many", chat(tools=[tool("get_%d" % i) for i in range(3)]), 400, "too_many_tools",
        param="tools")
like(refused("one of others", chat(tools=[tool("get_a"), tool("rm")]), 403, "tool_not_allowed"),
     '"rm"', "it is named")
refused("by the older name", chat(functions=[{"name": "rm"}]), 403, "tool_not_allowed")
refused("without a name", chat(tools=[{"type": "function"}]), 403, "tool_not_allowed")
refused("a tool that runs at the provider", {"model": "tiny", "input": "x", "tools": [
    {"type": "web_search", "name": "get_a"}]}, 403, "tool_not_allowed", path="/v1/responses")
for hidden in ({"type": "function", "name": "rm", "function": {"name": "get_a"}},
               {"name": "rm", "function": {"name": "get_a"}},
               {"type": "custom", "function": {"name": "get_a"}, "custom": {"name": "rm"}},
               {"type": "function", "name": "get_a", "function": {"name": "rm"}}):
    refused("behind the name of another: %s" % json.dumps(hidden), chat(tools=[hidden]), 403,
            "tool_not_allowed")
for hidden in ({"type": "function", "function": {"name": "get_a", "Name": "rm"}},
               {"type": "function", "function": {"name": "get_a"}, "Function": {"name": "rm"}},
               {"type": "function", "function": {"name": "get_a"}, "NAME": "rm"},
               {"type": "custom", "custom": {"name": "get_a"}, "Cu\u017ftom": {"name": "rm"}},
               "get_a"):
    refused("behind another case: %s" % json.dumps(hidden), chat(tools=[hidden]), 403,
            "tool_not_allowed")
r, seen = post("/v1/messages", chat(max_tokens=5, tools=[{"name": "rm", "input_schema": {}}]))
is_((r.status, r.json()["error"]["details"]["error_code"], len(seen)),
    (403, "tool_not_allowed", 0), "Anthropic's, in its shape")
passes("servers of tools", chat(max_tokens=5, mcp_servers=[{"url": "u"}]), path="/v1/messages")
ok(gw.metrics()['weir_refused_requests_total{reason="tool_denied"}'] >= 5, "counted by reason")

# -- another API behind

for prefix in ("/chat", "/whole"):
    r, seen = post(prefix + "/v1/messages?beta=true", chat(model="fast", max_tokens=9, system="s"))
    body = r.json()
    is_((r.status, body["type"], body["content"][0]["text"], body["stop_reason"]),
        (200, "message", "Hi you", "end_turn"), "%s: messages on chat completions" % prefix)
    is_([(s.path, s.json()["model"], [m["role"] for m in s.json()["messages"]]) for s in seen],
        [(CHAT, "tiny", ["system", "user"])], "%s: the alias and all" % prefix)
    is_((body["usage"]["input_tokens"], body["usage"]["output_tokens"]), (5, 2), "with usage")
    r, seen = post(prefix + "/v1/messages", chat(max_tokens=9, stream=True))
    ok("event: message_start" in r.text and r.text.rstrip().endswith('"type":"message_stop"}'),
       "%s: streamed" % prefix)
    row = gw.usage()[-1]
    is_((row["prompt_tokens"], row["completion_tokens"], row["usage_source"], row["path"]),
        (5, 2, "reported", prefix + "/v1/messages"), "%s: counted" % prefix)
    r, seen = post(prefix + "/v1/messages", chat(max_tokens=9), headers={"X-Fail": "1"})
    is_((r.status, r.json()["type"], r.json()["error"]["message"]), (400, "error", "mine"),
        "%s: errors, too" % prefix)
    r, seen = post(prefix + "/v1/messages/count_tokens", chat(), who="good2")
    ok(r.status == 200 and r.json()["input_tokens"] > 0 and not seen, "%s: counts are estimated"
       % prefix)
r, seen = post("/chat/v1/responses", {"model": "tiny", "input": "hi"})
is_((r.status, r.json().get("object"), [s.path for s in seen]), (200, "response", [CHAT]),
    "responses on chat completions")
r, seen = post("/whole/v1/responses", {"model": "tiny", "input": "hi"})
is_([s.path for s in seen], ["/v1/responses"], "or as they are")
r, seen = post("/claude" + CHAT, chat(max_tokens=9))
is_((r.status, r.json()["choices"][0]["message"]["content"], [s.path for s in seen]),
    (200, "Hi you", ["/v1/messages"]), "chat completions on messages")
ok(seen[0].headers.get("anthropic-version"), "with a version")
r, seen = post("/claude/v1/messages", chat(max_tokens=9))
is_((r.status, [s.path for s in seen]), (200, ["/v1/messages"]), "messages pass as they are")
done_testing()

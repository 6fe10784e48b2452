#!/usr/bin/env python3
"""Guards where the client speaks one API and the model server another: what is found is the same in
requests and answers, streamed or whole, names are put back, and a block ends a stream as the
client's API ends it."""

import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import Gateway, bearer  # noqa: E402
from weirnginx import Upstream  # noqa: E402
from weirtap import diag, done_testing, is_, like, ok, unlike, wait_for  # noqa: E402

EMAIL, CARD = "jane.doe@example.org", "4111111111111111"
SAY = "Mail %s or %s, bye." % (EMAIL, CARD)
MASKED = "Mail <EMAIL_ADDRESS> or <CREDIT_CARD>, bye."
PAIRS = [("messages", "chat"), ("responses", "chat"), ("chat", "anthropic")]
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
PEOPLE = ["alice@example.org", "bob@example.org"]
script = {}
closed = []


def cut(text, n):
    return [text[i:i + n] for i in range(0, len(text), n)]


# -- what the model servers say: reasoning, content, the arguments of a call

def chat_events(say):
    def event(delta, finish=None):
        return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    out = [event({"role": "assistant", "content": ""})]
    out += [event({"reasoning_content": p}) for p in say.get("reasoning", [])]
    out += [event({"content": p}) for p in say.get("content", [])]
    if "arguments" in say:
        out.append(event({"tool_calls": [{"index": 0, "id": "call_1", "type": "function",
                                          "function": {"name": "f", "arguments": ""}}]}))
        out += [event({"tool_calls": [{"index": 0, "function": {"arguments": p}}]}) for p in say["arguments"]]
    out.append(event({}, "tool_calls" if "arguments" in say else "stop"))
    out.append({**event({}), "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 6,
                                                      "total_tokens": 11}})
    return out


def anthropic_events(say):
    out = [{"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 5, "output_tokens": 1}}}]
    blocks = [("reasoning", {"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta", "thinking"),
              ("content", {"type": "text", "text": ""}, "text_delta", "text"),
              ("arguments", {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
               "input_json_delta", "partial_json")]
    n = 0
    for kind, block, delta, member in blocks:
        if kind in say:
            out.append({"type": "content_block_start", "index": n, "content_block": block})
            out += [{"type": "content_block_delta", "index": n, "delta": {"type": delta, member: p}}
                    for p in say[kind]]
            out.append({"type": "content_block_stop", "index": n})
            n += 1
    out.append({"type": "message_delta", "usage": {"output_tokens": 6}, "delta": {
        "stop_reason": "tool_use" if "arguments" in say else "end_turn", "stop_sequence": None}})
    out.append({"type": "message_stop"})
    return out


def whole(path, say):
    text = {kind: "".join(pieces) for kind, pieces in say.items()}
    if path.endswith("/chat/completions"):
        return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [{
            "index": 0, "finish_reason": "tool_calls", "message": {
                "role": "assistant", "content": text["content"], "reasoning_content": text["reasoning"],
                "tool_calls": [{"id": "call_1", "type": "function", "function": {
                    "name": "f", "arguments": text["arguments"]}}]}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}}
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [
        {"type": "thinking", "thinking": text["reasoning"], "signature": "s"},
        {"type": "text", "text": text["content"]},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": json.loads(text["arguments"])}],
        "stop_reason": "tool_use", "stop_sequence": None, "usage": {"input_tokens": 5, "output_tokens": 6}}


def answer(received, reply):
    if not received.json().get("stream"):
        reply.json(200, whole(received.path, script["say"]))
        return
    chat = received.path.endswith("/chat/completions")
    reply.begin()
    for event in chat_events(script["say"]) if chat else anthropic_events(script["say"]):
        if script.get("open") and (event.get("type") in ("content_block_stop", "message_delta")
                                   or event.get("choices", [{}])[0].get("finish_reason")):
            closed.append(reply.wait_closed(10))
            return
        reply.piece(("" if chat else "event: %s\n" % event["type"]) + "data: %s\n\n" % json.dumps(event))
    if chat:
        reply.event("[DONE]")
    reply.end()


# -- the clients' side

def texts(client, r):
    """What an answer says, by kind."""
    out = {"reasoning": "", "content": "", "arguments": ""}

    def add(kind, text):
        out[kind] += text if isinstance(text, str) else ""
    if "event-stream" not in (r.headers.get("Content-Type") or ""):
        body = r.json()
        for choice in body.get("choices", []):
            m = choice["message"]
            add("reasoning", m.get("reasoning_content") or m.get("reasoning"))
            add("content", m.get("content"))
            for call in m.get("tool_calls") or []:
                add("arguments", call["function"]["arguments"])
        for block in body["content"] if client == "messages" else []:
            add({"thinking": "reasoning", "text": "content"}.get(block["type"], "x") if block["type"] != "tool_use"
                else "arguments", block.get("thinking") or block.get("text") or json.dumps(block.get("input")))
        for item in body.get("output", []):
            for part in item.get("content") or []:
                add("content" if item["type"] == "message" else "reasoning", part.get("text"))
            for part in item.get("summary") or []:
                add("reasoning", part.get("text"))
            add("arguments", item.get("arguments"))
        return out
    for data in r.events():
        event = {} if data == "[DONE]" else json.loads(data)
        for choice in event.get("choices", []):
            delta = choice["delta"]
            add("reasoning", delta.get("reasoning_content") or delta.get("reasoning"))
            add("content", delta.get("content"))
            for call in delta.get("tool_calls") or []:
                add("arguments", call["function"].get("arguments"))
        if event.get("type") == "content_block_delta":
            delta = event["delta"]
            add("reasoning", delta.get("thinking"))
            add("content", delta.get("text"))
            add("arguments", delta.get("partial_json"))
        if (event.get("type") or "").startswith("response.") and event["type"].endswith(".delta"):
            add("content" if "output_text" in event["type"] else "arguments" if "arguments" in event["type"]
                else "reasoning", event["delta"])
    return out


entities = {"EMAIL_ADDRESS": "redact", "CREDIT_CARD": "redact"}
POLICIES = {
    "redact": {"entities": entities, "explain": True},
    "window": {"entities": entities, "streaming": {"mode": "window", "window": 64}},
    "names": {"entities": {"EMAIL_ADDRESS": {"input": "placeholder", "output": "redact"}},
              "placeholders": {"restore": ["content", "tool_arguments"]}},
    "block": {"entities": {"CREDIT_CARD": "block"}},
    "error": {"entities": {"CREDIT_CARD": "block"}, "block": {"stream": "error", "message": "Not that."}},
}
LOCATION = """
    location /%s/ {
        weir_api_prefix /%s;
        weir_upstream_api %s;
        proxy_pass http://engine/;
        include @root@/config/weir-proxy.conf;
    }
"""
up = Upstream(answer)


def start(policy):
    return Gateway(up, modules=("core", "auth", "metrics", "client", "guard"),
                   more_http="weir_guards @dir@/guards.json;",
                   more_server=LOCATION % ("c", "c", "chat") + LOCATION % ("a", "a", "anthropic"),
                   documents={"guards.json": {"version": 1, "default": policy,
                                              "policies": {policy: POLICIES[policy]}}})


def request(client, text, args):
    """A request of all parts that the three APIs share."""
    if client == "chat":
        return {"model": "m", "max_tokens": 99, "messages": [
            {"role": "user", "content": [{"type": "text", "text": text}]},
            {"role": "assistant", "content": text, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": args}}]},
            {"role": "tool", "tool_call_id": "c1", "content": text}]}
    if client == "messages":
        return {"model": "m", "max_tokens": 99, "messages": [
            {"role": "user", "content": text},
            {"role": "assistant", "content": [
                {"type": "text", "text": text},
                {"type": "tool_use", "id": "c1", "name": "f", "input": json.loads(args)}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": text}]}]}
    return {"model": "m", "max_output_tokens": 99, "input": [
        {"role": "user", "content": [{"type": "input_text", "text": text}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": text, "annotations": []}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": args},
        {"type": "function_call_output", "call_id": "c1", "output": text}]}


def ask(gw, client, server, say, body=None, stream=True, **more):
    script.clear()
    script.update({"say": say, **more})
    body = body or {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]}
    if client == "responses" and "messages" in body:
        body = {"model": "m", "input": body["messages"][0]["content"]}
    return gw.request("POST", ("/c" if server == "chat" else "/a") + PATHS[client],
                      headers={**bearer("good"), "anthropic-version": "2023-06-01"},
                      json={**body, "stream": stream})


def strings(value):
    """All strings in a JSON value; those that are JSON, by what is in them."""
    if isinstance(value, dict):
        return [s for v in value.values() for s in strings(v)]
    if isinstance(value, list):
        return [s for v in value for s in strings(v)]
    if isinstance(value, str) and value[:1] == "{":
        return strings(json.loads(value))
    return [value] if isinstance(value, str) else []


# -- requests and answers are masked

ARGS, MASKED_ARGS = json.dumps({"to": SAY, "n": 1}), json.dumps({"to": MASKED, "n": 1})
for policy in ("redact", "window"):
    gw = start(policy)
    for client, server in PAIRS:
        name = "%s, %s client, %s server" % (policy, client, server)
        if policy == "redact":
            r = ask(gw, client, server, {"content": ["ok"], "reasoning": ["r"], "arguments": ["{}"]},
                    request(client, SAY, ARGS), stream=False)
            came = up.requests[-1].json()
            is_((r.status, strings(came).count(MASKED)), (200, 4), "%s: all parts of a request" % name) \
                or diag([r.text, came])
            unlike(up.requests[-1].body.decode(), EMAIL + "|" + CARD, "%s: and no value is left" % name)
            like(r.headers["X-Weir-Guard"], "EMAIL_ADDRESS=redact", "%s: explained" % name)
        wrong = []
        for n in (1, 2, 7, 1000):
            for stream in (True, False):
                say = {"reasoning": cut(SAY, n), "content": cut(SAY, n), "arguments": cut(ARGS, n)}
                r = ask(gw, client, server, say, stream=stream)
                got = texts(client, r)
                # A server that sends no signature may lose its thinking to a client that wants one.
                if (got["content"], json.loads(got["arguments"])) != (MASKED, json.loads(MASKED_ARGS)) \
                        or got["reasoning"] not in (MASKED, "") or "jane" in r.text or "4111" in r.text:
                    leaks = [r.text[m.start() - 50:m.end() + 50] for m in re.finditer("jane|4111", r.text)]
                    wrong.append((n, stream, got, leaks))
        ok(not wrong, "%s: answers, however they are cut" % name) or diag(wrong[:1])
    gw.stop()

# -- names are put back

gw = start("names")
TOLD = "Ask <EMAIL_ADDRESS_2>, not <EMAIL_ADDRESS_1> (email_address_1)."
BACK = "Ask %s, not %s (%s)." % (PEOPLE[1], PEOPLE[0], PEOPLE[0])
for client, server in PAIRS:
    wrong = []
    args, back = json.dumps({"to": "<EMAIL_ADDRESS_1>"}), json.dumps({"to": PEOPLE[0]})
    body = {"model": "m", "max_tokens": 99, "messages": [
        {"role": "user", "content": "from %s to %s" % tuple(PEOPLE)}]}
    for n in (1, 3, 8, 1000):
        for stream in (True, False):
            say = {"reasoning": ["hm"], "content": cut(TOLD, n), "arguments": cut(args, n)}
            r = ask(gw, client, server, say, body, stream=stream)
            got = texts(client, r)
            if got["content"] != BACK or json.loads(got["arguments"]) != json.loads(back):
                wrong.append((n, stream, got, r.text[-1500:]))
    ok(not wrong, "%s client, %s server: names come back" % (client, server)) or diag(wrong[:1])
    ok("from <EMAIL_ADDRESS_1> to <EMAIL_ADDRESS_2>" in strings(up.requests[-1].json()),
       "and the server has only names") or diag(up.requests[-1].json())
gw.stop()

# -- a block in mid-stream

STOPS = {
    "chat": lambda r: json.loads(r.events()[-2])["choices"][0]["finish_reason"],
    "messages": lambda r: [json.loads(e)["delta"]["stop_reason"] for e in r.events()
                           if json.loads(e)["type"] == "message_delta"][0],
    "responses": lambda r: json.loads(r.events()[-1])["response"]["incomplete_details"]["reason"],
}
LASTS = {"chat": lambda r: r.events()[-1] == "[DONE]",
         "messages": lambda r: json.loads(r.events()[-1])["type"] == "message_stop",
         "responses": lambda r: json.loads(r.events()[-1])["type"] == "response.incomplete"}
WANTS = {"chat": "content_filter", "messages": "refusal", "responses": "content_filter"}
for policy in ("block", "error"):
    gw = start(policy)
    for client, server in PAIRS:
        name = "%s client, %s server" % (client, server)
        closed.clear()
        r = ask(gw, client, server, {"content": cut("See it: %s and more." % CARD, 6)}, open=True)
        unlike(r.text, "4111", "%s: nothing of it has left" % name)
        if policy == "block":
            is_((texts(client, r)["content"], STOPS[client](r), LASTS[client](r)),
                ("See it: ", WANTS[client], True), "%s: a block ends as the client's API does" % name)
        else:
            like(r.text, "Not that.", "%s: or with an error in the stream" % name)
        ok(wait_for(lambda: closed == [True]), "%s: and the server is stopped" % name)
        r = ask(gw, client, server, {"content": [CARD], "reasoning": ["r"], "arguments": ["{}"]}, stream=False)
        unlike(r.text, "4111", "%s: a whole answer (%d)" % (name, r.status))
        r = ask(gw, client, server, {"content": ["ok"]}, request(client, CARD, "{}"))
        body = r.json()
        is_((r.status, body["error"]["type"], body.get("type")),
            (400, "invalid_request_error", "error" if client == "messages" else None),
            "%s: a request is refused in the client's shape" % name)
    gw.stop()
done_testing()

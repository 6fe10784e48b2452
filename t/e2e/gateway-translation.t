#!/usr/bin/env python3
"""Protocol translation in the gateway: the official clients of one API before a scripted model
server of the other. What is streamed arrives whole, a cut is noticed, errors have the client's
shape, and the usage log has what the model server told."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import KEYS, Gateway, bearer  # noqa: E402
from weirnginx import Upstream  # noqa: E402
from weirtap import done_testing, is_, like, ok, skip_all, wait_for  # noqa: E402

try:
    import anthropic
    import openai
except ImportError as e:
    skip_all("the official clients are not installed: %s" % e)

SCRIPT = {"answer": None}


def answer(request, reply):
    SCRIPT["answer"](request, reply)


up = Upstream(answer)
gw = Gateway(up, http="""
    weir_tenants @dir@/tenants.json;
    weir_usage_log @dir@/usage.jsonl;
""", server="""
    upstream engine { server @upstream@ max_fails=0; keepalive 4; }
    server {
        listen 127.0.0.1:@port@;
        weir on;
        include @root@/config/weir-proxy.conf;
        location / { weir_upstream_api chat; proxy_pass http://engine; }
        location = /metrics { weir off; weir_metrics; }
    }
    server {
        listen 127.0.0.1:@port2@;
        weir on;
        include @root@/config/weir-proxy.conf;
        location / { weir_upstream_api anthropic; proxy_pass http://engine; }
    }
    server {
        listen 127.0.0.1:@port3@;
        weir on;
        include @root@/config/weir-proxy.conf;
        weir_translate_options strict_openai legacy_max_tokens;
        location / { weir_upstream_api chat; proxy_pass http://engine; }
    }
    server {
        listen 127.0.0.1:@port4@;
        weir on;
        include @root@/config/weir-proxy.conf;
        weir_translate_options no_sampling thinking=budget max_tokens=777 reasoning=reasoning
                               no_thinking_blocks;
        location / { weir_upstream_api anthropic; proxy_pass http://engine; }
    }
""")
gw.allow(r"upstream prematurely closed|Connection reset by peer|upstream sent")

claude = anthropic.Anthropic(base_url=gw.url().rstrip("/"), api_key=KEYS["good"], max_retries=0)
gpt = openai.OpenAI(base_url=gw.url("/v1"), api_key=KEYS["good"], max_retries=0)
gpt_on_anthropic = openai.OpenAI(base_url="http://127.0.0.1:%s/v1" % gw.expand("@port2@"),
                                 api_key=KEYS["good"], max_retries=0)

MESSAGE = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
         "prompt_tokens_details": {"cached_tokens": 60}}


def chunk(delta, finish=None):
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


CHUNKS = [chunk({"role": "assistant", "content": ""}), chunk({"reasoning_content": "hm"}),
          chunk({"content": "Hel"}), chunk({"content": "lo \U0001f600"}),
          chunk({"tool_calls": [{"index": i, "id": "call_%d" % i, "type": "function",
                                 "function": {"name": "f%d" % i, "arguments": ""}}
                                for i in (0, 1)]}),
          chunk({"tool_calls": [{"index": 1, "function": {"arguments": '{"b": 2}'}}]}),
          chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a": 1}'}}]}),
          chunk({}, "tool_calls"),
          {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
           "choices": [], "usage": USAGE}]

EVENTS = [
    {"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": None, "stop_sequence": None,
        "usage": {"input_tokens": 40, "cache_read_input_tokens": 60, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo é"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1,
     "content_block": {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}},
    {"type": "content_block_delta", "index": 1,
     "delta": {"type": "input_json_delta", "partial_json": '{"a": 1}'}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None},
     "usage": {"output_tokens": 20}},
    {"type": "message_stop"}]


def stream_chat(cut=None):
    """A chat server that streams, and breaks off behind so many chunks."""
    def run(_, reply):
        reply.begin()
        for event in CHUNKS[:cut]:
            reply.event(event)
        if cut is not None:
            reply.abort()
            return
        reply.event("[DONE]")
        reply.end()
    SCRIPT["answer"] = run


def stream_anthropic(cut=None):
    def run(_, reply):
        reply.begin()
        for event in EVENTS[:cut]:
            reply.piece("event: %s\ndata: %s\n\n" % (event["type"], json.dumps(event)))
        if cut is not None:
            reply.abort()
            return
        reply.end()
    SCRIPT["answer"] = run


def reply_json(status, value):
    SCRIPT["answer"] = lambda _, reply: reply.json(status, value)


def raised(function):
    try:
        function()
    except (openai.APIError, anthropic.APIError) as e:
        return e
    return None


def drain(stream):
    return list(stream)


def last_row(rows):
    """The usage log's line of the latest request."""
    return gw.usage(rows)[-1]


rows = 0

# -- a messages client on a chat server

stream_chat()
with claude.messages.stream(**MESSAGE) as stream:
    drain(stream)
    final = stream.get_final_message()
rows += 1
is_([b.type for b in final.content], ["thinking", "text", "tool_use", "tool_use"],
    "messages: blocks")
is_((final.content[1].text, final.content[2].input, final.content[3].input, final.stop_reason),
    ("Hello \U0001f600", {"a": 1}, {"b": 2}, "tool_use"), "messages: what they hold")
is_((final.usage.input_tokens, final.usage.cache_read_input_tokens, final.usage.output_tokens),
    (40, 60, 20), "messages: usage")
sent = up.requests[-1]
is_((sent.path, sent.json()["max_completion_tokens"], sent.json()["stream_options"]),
    ("/v1/chat/completions", 50, {"include_usage": True}), "messages: the call of the other API")
row = last_row(rows)
is_((row["prompt_tokens"], row["completion_tokens"]), (100, 20), "messages: the usage log")

noticed = 0
for cut in range(len(CHUNKS)):
    stream_chat(cut)
    noticed += raised(lambda: drain(claude.messages.create(stream=True, **MESSAGE))) is not None
    rows += 1
is_(noticed, len(CHUNKS), "messages: a server that breaks off at any event is noticed")

reply_json(404, {"error": {"message": "no model m", "type": "NotFoundError", "code": 404}})
error = raised(lambda: claude.messages.create(**MESSAGE))
rows += 1
is_((type(error).__name__, error.body["error"]["type"]), ("NotFoundError", "not_found_error"),
    "messages: an error has Anthropic's shape")
like(str(error), "no model m", "messages: and the reason")
before = len(up.requests)
error = raised(lambda: claude.messages.create(
    tools=[{"type": "bash_20250124", "name": "bash"}], **MESSAGE))
is_((type(error).__name__, error.body["type"], len(up.requests) - before),
    ("BadRequestError", "error", 0), "messages: what cannot be translated is refused here")
like(str(error), r"tools\[0\]", "messages: with its place")
count = claude.messages.count_tokens(model="m", messages=MESSAGE["messages"])
ok(count.input_tokens > 0, "messages: count_tokens gives an estimate")

# -- a responses client on a chat server

stream_chat()
with gpt.responses.stream(model="m", input="Hello") as stream:
    drain(stream)
    final = stream.get_final_response()
is_((final.output_text, [i.type for i in final.output], final.usage.input_tokens),
    ("Hello \U0001f600", ["reasoning", "message", "function_call", "function_call"], 100),
    "responses: items and usage")
stream_chat(4)
is_(drain(gpt.responses.create(model="m", input="Hello", stream=True))[-1].type,
    "response.failed", "responses: a server that breaks off is noticed")
error = raised(lambda: gpt.responses.create(model="m", input="x", previous_response_id="resp_1"))
is_((type(error).__name__, error.param), ("BadRequestError", "previous_response_id"),
    "responses: state is refused")

# -- a chat client on Anthropic's API

stream_anthropic()
with gpt_on_anthropic.chat.completions.stream(**CHAT) as stream:
    drain(stream)
    final = stream.get_final_completion()
choice = final.choices[0]
is_((choice.message.content, choice.finish_reason, final.usage), ("Hello é", "tool_calls", None),
    "chat: text and reason, no usage when it was not asked for")
is_([(c.id, c.function.name, c.function.arguments) for c in choice.message.tool_calls],
    [("toolu_1", "f", '{"a": 1}')], "chat: the call")
sent = up.requests[-1]
is_((sent.path, sent.json()["max_tokens"], "anthropic-version" in sent.headers),
    ("/v1/messages", 4096, True), "chat: the call of the other API")
done = [r for r in gw.usage() if r.get("prompt_tokens") == 100 and r["completion_tokens"] == 20]
is_(len(done), 3, "the usage log has the three whole streams")

noticed = 0
for cut in range(len(EVENTS)):
    stream_anthropic(cut)
    noticed += raised(lambda: drain(gpt_on_anthropic.chat.completions.create(
        stream=True, **CHAT))) is not None
is_(noticed, len(EVENTS), "chat: a server that breaks off at any event is noticed")

reply_json(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
error = raised(lambda: gpt_on_anthropic.chat.completions.create(**CHAT))
is_((error.status_code, error.code), (503, "overloaded"), "chat: 529 is 503")
like(str(error), "Overloaded", "chat: and the reason")
r = gw.request("POST", "/v1/chat/completions", json=dict(CHAT, n=2), headers=bearer("good"),
               port=int(gw.expand("@port2@")))
is_((r.status, r.json()["error"]["param"]), (400, "n"), "chat: two answers are refused")

raised(lambda: gpt_on_anthropic.chat.completions.create(seed=7, **CHAT))
ok(wait_for(lambda: 'lost in translation: "request.seed" 1' in gw.read_log()),
   "chat: what was lost is logged by its name")

ok(wait_for(lambda: 'weir_translation_lossy_total{field="request.seed"} 1'
            in gw.get("/metrics").text), "and counted")
raised(lambda: gpt_on_anthropic.chat.completions.create(
    extra_body={"secret\nname": 1, "another": 2}, **CHAT))
ok(wait_for(lambda: 'weir_translation_lossy_total{field="request.(unknown)"} 2'
            in gw.get("/metrics").text), "under no name that a client made")
ok("another" not in gw.get("/metrics").text, "none at all")
gw.reload()
like(gw.get("/metrics").text, r'weir_translation_lossy_total\{field="request.seed"\} 1',
     "a reload keeps the counts")

# -- what is special about the upstream


def post(port, path, body):
    r = gw.request("POST", path, json=body, headers=bearer("good"),
                   port=int(gw.expand("@%s@" % port)))
    return r, up.requests[-1].json()


ANSWER = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}
THOUGHT = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
           "content": [{"type": "thinking", "thinking": "hm", "signature": "sig"},
                       {"type": "text", "text": "hi"}],
           "stop_reason": "end_turn", "stop_sequence": None,
           "usage": {"input_tokens": 1, "output_tokens": 1}}

reply_json(200, ANSWER)
r, sent = post("port", "/v1/messages", dict(MESSAGE, top_k=5))
is_((r.status, sent.get("top_k"), sent.get("max_completion_tokens"), sent.get("max_tokens")),
    (200, 5, 50, None), "options: none")
r, sent = post("port3", "/v1/messages", dict(MESSAGE, top_k=5))
is_((r.status, sent.get("top_k"), sent.get("max_completion_tokens"), sent.get("max_tokens")),
    (200, None, None, 50), "options: a strict upstream, an old one")
reply_json(200, THOUGHT)
r, sent = post("port2", "/v1/chat/completions",
               dict(CHAT, temperature=0.5, reasoning_effort="low", max_tokens=9000))
is_((sent["thinking"]["type"], sent["output_config"], sent["max_tokens"]),
    ("adaptive", {"effort": "low"}, 9000), "options: thinking as it is now")
message = r.json()["choices"][0]["message"]
is_((message["reasoning_content"], "thinking_blocks" in message), ("hm", True),
    "options: and where it is read")
r, sent = post("port4", "/v1/chat/completions",
               dict(CHAT, reasoning_effort="low", max_tokens=9000))
is_((sent["thinking"], "output_config" in sent),
    ({"type": "enabled", "budget_tokens": 2048}, False), "options: thinking as it was")
message = r.json()["choices"][0]["message"]
is_((message.get("reasoning"), "reasoning_content" in message, "thinking_blocks" in message),
    ("hm", False, False), "options: read elsewhere, without blocks")
r, sent = post("port4", "/v1/chat/completions", dict(CHAT, temperature=0.5, top_p=0.5))
is_(("temperature" in sent, "top_p" in sent, sent["max_tokens"]), (False, False, 777),
    "options: no sampling, another cap")

for bad in ("strict", "thinking=never", "max_tokens=0", "max_tokens=x", "reasoning=a"):
    accepted, text = Gateway(start=False, more_location="weir_translate_options %s;" % bad).test()
    ok(not accepted and 'bad value "%s"' % bad in text, "options: %s is refused" % bad)

# -- an upstream that answers with something else

PAGE = "<html>no</html>"
for status, want in ((200, 502), (403, 403), (502, 502), (529, 503)):
    SCRIPT["answer"] = lambda _, reply: reply.send(  # pylint: disable=cell-var-from-loop
        status, PAGE, {"Content-Type": "text/html"})
    error = raised(lambda: claude.messages.create(**MESSAGE))
    is_((error.status_code, error.body["type"], PAGE in str(error.body)),
        (529 if status == 529 else want, "error", False),
        "messages: a page with status %d is an error of the client's API" % status)
    error = raised(lambda: gpt_on_anthropic.chat.completions.create(**CHAT))
    is_((error.status_code, bool(error.body["message"]), PAGE in str(error.body)),
        (want, True, False), "chat: a page with status %d, too" % status)

for text in ("", PAGE, "[1, 2]", '{"id": '):
    for status in (200, 500):
        SCRIPT["answer"] = lambda _, reply: reply.send(  # pylint: disable=cell-var-from-loop
            status, text, {"Content-Type": "application/json"})
        error = raised(lambda: claude.messages.create(**MESSAGE))
        ok(error is not None and error.body["type"] == "error",
           "messages: %r as JSON with status %d is an error" % (text, status))

done_testing()

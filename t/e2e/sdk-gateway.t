#!/usr/bin/env python3
"""The official clients before the gateway and a scripted model server that splits, delays, breaks off
and lies. What a client makes of an answer through the gateway is what it makes of the same answer
without one; where the answer is broken or the APIs differ, it is what docs/response-pipeline.md,
docs/translation.md and docs/errors.md say.

    sdk-gateway.t [venv | venv-openai2]     the environment under build/"""

import asyncio
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from weirsystem import run_in  # noqa: E402

run_in(sys.argv[1] if len(sys.argv) > 1 else "venv")

import openai  # noqa: E402
import pydantic  # noqa: E402

import weirscript  # noqa: E402
from weirgateway import KEYS, Gateway  # noqa: E402
from weirnginx import Upstream  # noqa: E402
from weirtap import diag, done_testing, is_, like, note, ok, wait_for  # noqa: E402

try:
    import anthropic
    CLIENT_ERRORS = (openai.OpenAIError, anthropic.AnthropicError)
except ImportError:
    anthropic = None  # the environment with the older openai has openai only
    CLIENT_ERRORS = (openai.OpenAIError,)

note("openai %s, anthropic %s" % (openai.__version__, anthropic and anthropic.__version__))

up = Upstream(weirscript.serve)
gw = Gateway(up, http="""
    weir_tenants @dir@/tenants.json;
    weir_usage_log @dir@/usage.jsonl;
    limit_req_zone $weir_tenant zone=one:64k rate=1r/m;
    upstream dead { server 127.0.0.1:1 max_fails=0; }
""", server="""
    upstream engine { server @upstream@ max_fails=0; keepalive 8; }
    server {
        listen 127.0.0.1:@port@;
        weir on;
        include @root@/config/weir-proxy.conf;
        location / { proxy_pass http://engine; }
        location /chat/ { weir_api_prefix /chat; rewrite ^/chat(/.*) $1 break;
                          weir_upstream_api chat; proxy_pass http://engine; }
        location /claude/ { weir_api_prefix /claude; rewrite ^/claude(/.*) $1 break;
                            weir_upstream_api anthropic; proxy_pass http://engine; }
        location /dead/ { weir_api_prefix /dead; proxy_pass http://dead/; }
        location /limited/ { weir_api_prefix /limited; limit_req zone=one; limit_req_status 429;
                             proxy_pass http://engine/; }
        location /small/ { weir_api_prefix /small; client_max_body_size 1k;
                           proxy_pass http://engine/; }
        location = /metrics { weir off; weir_metrics; }
    }
""")
gw.allow(r"upstream (prematurely closed|sent)|recv\(\) failed|connect\(\) failed")

TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
         for _, name, _ in weirscript.CALLS]
FLAT_TOOLS = [{"type": "function", "name": name, "parameters": {"type": "object"}, "strict": False}
              for _, name, _ in weirscript.CALLS]
CLAUDE_TOOLS = [{"name": name, "input_schema": {"type": "object"}} for _, name, _ in weirscript.CALLS]
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}
MESSAGE = {"model": "tiny", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
RESPONSE = {"model": "tiny", "input": "Hello"}
WANT = [(i, n, json.loads(a)) for i, n, a in weirscript.CALLS]
SAID = "".join(weirscript.TEXT)


def gpt(where="", key="good", retries=0, kind=openai.OpenAI):
    return kind(base_url=where if "://" in where else gw.url(where + "/v1"),
                api_key=KEYS.get(key, key), max_retries=retries, timeout=20)


def claude(where="", key="good", retries=0):
    return anthropic.Anthropic(base_url=where if "://" in where else gw.url(where).rstrip("/"),
                               api_key=KEYS.get(key, key), max_retries=retries, timeout=20)


def events(stream):
    return [event.to_dict() for event in stream]


def helper(manager, final):
    """What the client's own stream helper ends up with."""
    with manager as stream:
        for _ in stream:
            pass
        return [getattr(stream, final)().to_dict()]


def vectors(answer):
    return [item.embedding for item in answer.data]


# name: function(client, extra headers), whose results are compared
OPENAI_CALLS = {
    "chat": lambda c, h: c.chat.completions.create(extra_headers=h, **CHAT).to_dict(),
    "chat stream": lambda c, h: events(c.chat.completions.create(
        stream=True, extra_headers=h, **CHAT)),
    "chat stream with usage": lambda c, h: events(c.chat.completions.create(
        stream=True, stream_options={"include_usage": True}, extra_headers=h, **CHAT)),
    "chat stream helper": lambda c, h: helper(c.chat.completions.stream(
        extra_headers=h, **CHAT), "get_final_completion"),
    "chat tools": lambda c, h: c.chat.completions.create(
        tools=TOOLS, extra_headers=h, **CHAT).to_dict(),
    "chat tools stream": lambda c, h: helper(c.chat.completions.stream(
        tools=TOOLS, extra_headers=h, **CHAT), "get_final_completion"),
    "completions": lambda c, h: c.completions.create(
        model="tiny", prompt="Hi", extra_headers=h).to_dict(),
    "completions stream": lambda c, h: events(c.completions.create(
        model="tiny", prompt="Hi", stream=True, extra_headers=h)),
    "responses": lambda c, h: c.responses.create(extra_headers=h, **RESPONSE).to_dict(),
    "responses stream": lambda c, h: events(c.responses.create(
        stream=True, extra_headers=h, **RESPONSE)),
    "responses stream helper": lambda c, h: helper(c.responses.stream(
        extra_headers=h, **RESPONSE), "get_final_response"),
    "responses tools": lambda c, h: c.responses.create(
        tools=FLAT_TOOLS, extra_headers=h, **RESPONSE).to_dict(),
    "responses tools stream": lambda c, h: events(c.responses.create(
        tools=FLAT_TOOLS, stream=True, extra_headers=h, **RESPONSE)),
    "input tokens": lambda c, h: c.responses.input_tokens.count(
        extra_headers=h, **RESPONSE).to_dict(),
    "embeddings": lambda c, h: vectors(c.embeddings.create(
        model="tiny", input=["a", "b"], extra_headers=h)),
    "embeddings as floats": lambda c, h: vectors(c.embeddings.create(
        model="tiny", input="a", encoding_format="float", extra_headers=h)),
    "moderations": lambda c, h: c.moderations.create(input="x", extra_headers=h).to_dict(),
    "models": lambda c, h: [m.to_dict() for m in c.models.list(extra_headers=h)],
    "a model": lambda c, h: c.models.retrieve("org/large", extra_headers=h).to_dict(),
}
CLAUDE_CALLS = {
    "messages": lambda c, h: c.messages.create(extra_headers=h, **MESSAGE).to_dict(),
    "messages stream": lambda c, h: events(c.messages.create(
        stream=True, extra_headers=h, **MESSAGE)),
    "messages stream helper": lambda c, h: helper(c.messages.stream(
        extra_headers=h, **MESSAGE), "get_final_message"),
    "messages tools": lambda c, h: c.messages.create(
        tools=CLAUDE_TOOLS, extra_headers=h, **MESSAGE).to_dict(),
    "messages tools stream": lambda c, h: helper(c.messages.stream(
        tools=CLAUDE_TOOLS, extra_headers=h, **MESSAGE), "get_final_message"),
    "beta messages": lambda c, h: c.beta.messages.create(
        betas=["x-2026-01-01"], extra_headers=h, **MESSAGE).to_dict(),
    "count_tokens": lambda c, h: c.messages.count_tokens(
        model="tiny", messages=MESSAGE["messages"], extra_headers=h).to_dict(),
    "anthropic models": lambda c, h: [m.to_dict() for m in c.models.list(extra_headers=h)],
}
STREAM_MANNERS = ("whole", "events", "bytes", "events pause", "random:1", "random:2 pause", "close",
                  "length", "crlf", "crlf bytes", "cr", "comments", "comments bytes close", "bom",
                  "nodone", "header:Server=x")
DOCUMENT_MANNERS = ("whole", "bytes", "random:3", "chunked", "close", "bytes close", "length random:4")


def outcome(call, client, manner, request_id=None):
    """A call's result, or the exception's text."""
    headers = {"X-Manner": manner}
    if request_id:
        headers["X-Request-Id"] = request_id
    try:
        return call(client, headers)
    except (*CLIENT_ERRORS, AssertionError) as error:
        return "%s: %s" % (type(error).__name__, error)


def same_as_direct(calls, client, direct):
    for name, call in calls.items():
        want = outcome(call, direct, "whole")
        bad = []
        manners = STREAM_MANNERS if "stream" in name else DOCUMENT_MANNERS
        for manner in manners:
            got = outcome(call, client, manner)
            # A stream that is only watched keeps a byte-order mark, which costs the first event.
            if got != want and not (manner == "bom" and got == outcome(call, direct, manner)):
                bad.append((manner, got))
        if not ok(not bad and not isinstance(want, str),
                  "%s: the same as without a gateway, in %d manners" % (name, len(manners))):
            diag("want %r" % (want,))
            diag("\n".join("%s: %r" % b for b in bad[:3]))


# -- native: nothing changes

same_as_direct(OPENAI_CALLS, gpt(), gpt("http://127.0.0.1:%d/v1" % up.port))
if anthropic:
    same_as_direct(CLAUDE_CALLS, claude(), claude("http://127.0.0.1:%d" % up.port))


class Weather(pydantic.BaseModel):
    city: str


async def many_at_once():
    """The asynchronous client, and a helper that reads tools."""
    client = gpt(kind=openai.AsyncOpenAI)

    async def one(n):
        text = ""
        async for chunk in await client.chat.completions.create(
                stream=True, extra_headers={"X-Manner": "random:%d pause" % n}, **CHAT):
            text += chunk.choices[0].delta.content or ""
        return text
    try:
        return await asyncio.gather(*(one(n) for n in range(16)))
    finally:
        await client.close()


is_(asyncio.run(many_at_once()), [SAID] * 16, "16 asynchronous streams at once")
raw = gpt().chat.completions.with_raw_response.create(
    extra_headers={"X-Request-Id": "mine-1"}, **CHAT)
is_((raw.headers["x-request-id"], raw.parse()._request_id), ("mine-1", "mine-1"),
    "the client's request id is the answer's")
done = [row for row in gw.usage() if row["status"] == 200 and row["path"] == "/v1/chat/completions"]
is_({(row["prompt_tokens"], row["cached_tokens"], row["completion_tokens"], row["usage_source"],
      row["aborted"]) for row in done}, {(100, 60, 20, "reported", False)},
    "each of %d chats is counted, whether its client asked for usage or not" % len(done))


# -- translated: the same answer in the client's API

def plain(value):
    """Without the times and ids that a translator makes."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()
                if k not in ("created_at", "completed_at", "id", "item_id", "created")}
    return [plain(v) for v in value] if isinstance(value, list) else value


def translated(calls, client, names):
    for name in names:
        want = outcome(calls[name], client, "whole", "fixed-id")
        bad = []
        manners = STREAM_MANNERS if "stream" in name else DOCUMENT_MANNERS
        for manner in manners:
            got = outcome(calls[name], client, manner, "fixed-id")
            if plain(got) != plain(want):
                bad.append((manner, got))
        if not ok(not bad and not isinstance(want, str),
                  "%s, translated: the same in %d manners" % (name, len(manners))):
            diag("want %r" % (want,))
            diag("\n".join("%s: %r" % b for b in bad[:3]))
        yield name, want


def chat_facts(answer):
    choice = answer["choices"][0]
    calls = choice["message"].get("tool_calls") or []
    return (choice["message"].get("content") or "", choice["finish_reason"],
            [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"]))
             for c in calls])


def response_facts(answer):
    items = answer["output"]
    return ("".join(p["text"] for i in items if i["type"] == "message" for p in i["content"]),
            answer["status"], [(i["call_id"], i["name"], json.loads(i["arguments"]))
                               for i in items if i["type"] == "function_call"])


def message_facts(answer):
    blocks = answer["content"]
    return ("".join(b["text"] for b in blocks if b["type"] == "text"), answer["stop_reason"],
            [(b["id"], b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"])


for name, got in translated(OPENAI_CALLS, gpt("/claude"), (
        "chat", "chat stream", "chat stream with usage", "chat stream helper", "chat tools",
        "chat tools stream")):
    if isinstance(got, dict) or "choices" in got[0] and "message" in got[0]["choices"][0]:
        answer = got if isinstance(got, dict) else got[0]
        is_(chat_facts(answer), ("", "tool_calls", WANT) if "tools" in name else
            (SAID, "stop", []), "%s on Anthropic: what was said" % name)
    if name == "chat stream with usage":
        is_([c["usage"]["prompt_tokens"] for c in got if c.get("usage")], [100],
            "%s on Anthropic: told once" % name)
for name, got in translated(OPENAI_CALLS, gpt("/chat"), (
        "responses", "responses stream", "responses stream helper", "responses tools",
        "responses tools stream")):
    answer = got if isinstance(got, dict) else got[-1].get("response", got[-1])
    is_(response_facts(answer), ("", "completed", WANT) if "tools" in name else
        (SAID, "completed", []), "%s on chat: what was said" % name)
    is_((answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]), (100, 20),
        "%s on chat: usage" % name)
ok(isinstance(outcome(OPENAI_CALLS["input tokens"], gpt("/chat"), "whole"), dict),
   "input tokens on chat: counted")
if anthropic:
    for name, got in translated(CLAUDE_CALLS, claude("/chat"), (
            "messages", "messages stream", "messages stream helper", "messages tools",
            "messages tools stream", "beta messages", "count_tokens")):
        if name == "count_tokens":
            ok(got["input_tokens"] > 0, "count_tokens on chat: an estimate")
            continue
        answer = got if isinstance(got, dict) else got[0]
        if "content" in answer:
            is_(message_facts(answer), ("", "tool_use", WANT) if "tools" in name else
                (SAID, "end_turn", []), "%s on chat: what was said" % name)
            is_((answer["usage"]["input_tokens"], answer["usage"]["cache_read_input_tokens"],
                 answer["usage"]["output_tokens"]), (40, 60, 20), "%s on chat: usage" % name)

done_testing()

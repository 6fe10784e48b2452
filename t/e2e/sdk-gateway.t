#!/usr/bin/env python3
"""The official clients before the gateway and a scripted model server that splits, delays, breaks
off and lies. What a client makes of an answer through the gateway is what it makes of the same
answer without one; where the answer is broken or the APIs differ, it is what
docs/response-pipeline.md, docs/translation.md and docs/errors.md say.

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
from weirgateway import KEYS, clients_gateway  # noqa: E402
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
gw = clients_gateway(up, more_http="""
    limit_req_zone $weir_tenant zone=one:64k rate=1r/m;
    upstream dead { server 127.0.0.1:1 max_fails=0; }
""", more_server="""
        location /dead/ { weir_api_prefix /dead; proxy_pass http://dead/; }
        location /limited/ { weir_api_prefix /limited; limit_req zone=one; limit_req_status 429;
                             proxy_pass http://engine/; }
        location /small/ { weir_api_prefix /small; client_max_body_size 1k;
                           proxy_pass http://engine/; }
        location = /metrics { weir off; weir_metrics; }
""")
gw.allow(r"upstream (prematurely closed|sent)|recv\(\) failed|connect\(\) failed")

TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
         for _, name, _ in weirscript.CALLS]
FLAT_TOOLS = [{"type": "function", "name": name, "parameters": {"type": "object"}, "strict": False}
              for _, name, _ in weirscript.CALLS]
CLAUDE_TOOLS = [{"name": name, "input_schema": {"type": "object"}}
                for _, name, _ in weirscript.CALLS]
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
DOCUMENT_MANNERS = ("whole", "bytes", "random:3", "chunked", "close", "bytes close",
                    "length random:4")


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
            if got != want:
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


# -- lies: what is not the whole answer never looks like one

def said(result):
    """(text, whole?) of a stream's events, or of a document."""
    if isinstance(result, dict):
        facts = chat_facts if "choices" in result else response_facts if "output" in result \
            else message_facts if "content" in result else None
        return (facts(result)[0], True) if facts else ("", False)
    text, whole = "", False
    for event in result:
        for choice in event.get("choices") or []:
            text += choice.get("text") or choice.get("delta", {}).get("content") or ""
            whole = whole or bool(choice.get("finish_reason"))
        kind = event.get("type")
        text += event.get("delta", "") if kind == "response.output_text.delta" else ""
        if kind == "content_block_delta":
            text += event["delta"].get("text", "")
        whole = whole or kind in ("response.completed", "message_stop")
    return text, whole


def noticed(result):
    """An exception, or the events by which a responses client is told."""
    return isinstance(result, str) or bool(
        result and isinstance(result, list)
        and result[-1].get("type") in ("error", "response.failed", "response.incomplete"))


def lie(call, client, manner):
    """whole, noticed, or what is neither."""
    try:
        result = outcome(call, client, manner)
    except (ValueError, AttributeError) as error:
        # What is cut without a length is no JSON.
        return "noticed" if manner in ("short:40", "cut:100 close") else repr(error)
    except Exception as error:  # pylint: disable=broad-except
        # The HTTP library's own, which anthropic lets through in mid-stream.
        return "noticed" if type(error).__module__.startswith("http") else repr(error)
    if noticed(result):
        return "noticed"
    return "whole" if said(result) == (SAID, True) else result


STREAM_LIES = {
    "nousage": "whole", "nullusage": "whole", "nodone": "whole", "document": "whole",
    "document nousage": "whole", "document bytes": "whole", "huge:3": "whole",
    "cut:1000000": "whole",
    "header:Set-Cookie=a=b": "whole", "type:TEXT/Event-Stream;charset=UTF-8": "whole",
    "events:0": "noticed", "events:3": "noticed", "cut:0": "noticed", "cut:300": "noticed",
    "reset:0": "noticed", "reset:300": "noticed", "cut:300 close": "noticed", "error:0": "noticed",
    "error:3": "noticed", "error:3 bytes": "noticed", "huge:9": "noticed", "huge:200": "noticed",
    "type:application/json": "noticed", "status:200": "noticed", "interim:100": "noticed",
    "interim:103": "noticed", "interim:199": "noticed", "document cut:50": "noticed",
    "document type:text/event-stream": "noticed", "length long:40": "either",
    "length short:40": "either", "gzip": "either", "type:text/plain": "either", "type:x": "either"}
DOCUMENT_LIES = {
    "nousage": "whole", "huge:3": "whole", "header:Set-Cookie=a=b": "whole",
    "type:Application/JSON;charset=utf-8": "whole", "cut:0": "noticed", "cut:100": "noticed",
    "cut:100 close": "noticed", "reset:100": "noticed", "long:40": "noticed", "short:40": "noticed",
    "huge:9": "noticed", "interim:100": "noticed", "interim:103": "noticed", "gzip": "either",
    "type:text/plain": "either", "type:text/html": "either"}


# Those in which the upstream breaks off before the end that the gateway can see: a document that its
# connection's end makes shorter, and one with too small a length, only fail to be JSON.
CUT_OFF = {"events:0", "events:3", "cut:0", "cut:100", "cut:300", "reset:0", "reset:100", "reset:300",
           "cut:300 close", "document cut:50", "document type:text/event-stream", "long:40"}


def broken_off():
    return gw.metrics()["weir_truncated_answers_total"]


is_(broken_off(), 0, "no good answer of any protocol counts as broken off")


def lies(calls, where, client, names):
    for name in names:
        bad = []
        told = STREAM_LIES if "stream" in name else DOCUMENT_LIES
        for manner, want in told.items():
            # Behind a broken answer the connection ends, which a client may see too late.
            before = broken_off()
            rows = gw.usage_text().count("\n")
            got = lie(calls[name], client(), manner)
            wait_for(lambda n=rows: gw.usage_text().count("\n") > n)
            if want != "either" and broken_off() - before != (manner in CUT_OFF):
                bad.append((manner, "broken off: %d" % (manner in CUT_OFF),
                            broken_off() - before))
            if got != want and not (want == "either" and got in ("whole", "noticed")):
                bad.append((manner, want, got))
        if not ok(not bad, "%s%s: %d lies" % (name, where, len(told))):
            diag("\n".join("%s: want %s, got %.600r" % b for b in bad))


lies(OPENAI_CALLS, "", gpt, ("chat", "chat stream", "chat stream with usage", "completions stream",
                             "responses", "responses stream"))
lies(OPENAI_CALLS, " on Anthropic", lambda: gpt("/claude"), ("chat", "chat stream"))
lies(OPENAI_CALLS, " on chat", lambda: gpt("/chat"), ("responses", "responses stream"))
if anthropic:
    lies(CLAUDE_CALLS, "", claude, ("messages", "messages stream"))
    lies(CLAUDE_CALLS, " on chat", lambda: claude("/chat"), ("messages", "messages stream"))

count = gw.settled()
for where, name, stream in (("", "chat stream", True), ("/chat", "responses stream", True),
                            ("/claude", "chat stream", True), ("", "chat", False)):
    for manner in ("nousage", "nullusage"):
        outcome(OPENAI_CALLS[name], gpt(where), manner)
        count += 1
        row = gw.usage(count)[-1]
        ok(row["usage_source"] in ("estimated", "none") and row["stream"] == stream
           and (row["completion_tokens"] > 0) == (row["usage_source"] == "estimated"),
           "%s%s, %s: estimated as %d tokens" % (where, name, manner, row["completion_tokens"]))


# -- errors: the right exception, with the reason and the id

def raised(call):
    try:
        call()
    except CLIENT_ERRORS as error:
        return error
    return None


OPENAI_CLASSES = {400: "BadRequestError", 401: "AuthenticationError", 403: "PermissionDeniedError",
                  404: "NotFoundError", 409: "ConflictError", 413: "APIStatusError",
                  422: "UnprocessableEntityError", 429: "RateLimitError",
                  500: "InternalServerError", 502: "InternalServerError",
                  503: "InternalServerError", 504: "InternalServerError",
                  529: "InternalServerError"}
CLAUDE_CLASSES = {**OPENAI_CLASSES, 413: "ContentTooLargeError", 503: "ServiceUnavailableError",
                  504: "GatewayTimeoutError", 529: "OverloadedError"}


def errors(client, classes, calls, where, known=None):
    """known: the status that an upstream's becomes, where it does not stay."""
    bad = []
    for call in calls:
        for status in classes:
            want = (known or {}).get(status, status)
            error = raised(lambda s=status, c=call: c(client, {"X-Manner": "status:%d" % s}))
            if type(error).__name__ != classes[want] or error.status_code != want \
                    or weirscript.FAILURE not in str(error) \
                    or error.request_id != error.response.headers["x-request-id"] \
                    or not error.request_id.startswith("req_"):
                bad.append((status, repr(error), getattr(error, "request_id", None)))
            retry = error.response.headers.get("retry-after")
            if (want in (429, 503)) != (retry == "1"):
                bad.append((status, "retry-after", retry))
    if not ok(not bad, "%serrors of %d classes: exception, reason, id" % (where, len(classes))):
        diag("\n".join(map(repr, bad[:5])))


errors(gpt(), OPENAI_CLASSES, [OPENAI_CALLS[n] for n in (
    "chat", "chat stream", "responses stream", "embeddings", "models")], "")
errors(gpt("/claude"), OPENAI_CLASSES, [OPENAI_CALLS["chat"], OPENAI_CALLS["chat stream"]],
       "chat on Anthropic: ", {529: 503})
errors(gpt("/chat"), OPENAI_CLASSES, [OPENAI_CALLS["responses"]], "responses on chat: ", {529: 503})
if anthropic:
    errors(claude(), CLAUDE_CLASSES, [CLAUDE_CALLS[n] for n in (
        "messages", "messages stream", "count_tokens")], "")
    errors(claude("/chat"), CLAUDE_CLASSES, [CLAUDE_CALLS["messages"]], "messages on chat: ")

OWN = [("a wrong key", "", "wk_wrong", {}, "AuthenticationError", "Incorrect API key"),
       ("an expired key", "", "expired", {}, "AuthenticationError", "expired"),
       ("a server that is down", "/dead", "good", {}, "InternalServerError", "cannot be reached"),
       ("a body too large", "/small", "good",
        {"messages": [{"role": "user", "content": "x" * 2000}]}, None,
        "larger than the gateway accepts"),
       ("over the rate", "/limited", "good", {}, "RateLimitError", "oo many|rate|limit")]
outcome(OPENAI_CALLS["chat"], gpt("/limited"), "whole")
for name, where, key, more, kind, reason in OWN:
    for api, client, classes in (("openai", gpt(where, key), OPENAI_CLASSES),
                                 ("anthropic", anthropic and claude(where, key), CLAUDE_CLASSES)):
        if not client:
            continue
        make = (lambda: client.chat.completions.create(**{**CHAT, **more})) if api == "openai" \
            else (lambda: client.messages.create(**{**MESSAGE, **more}))
        error = raised(make)
        is_(type(error).__name__, kind or classes[413], "%s: %s raises" % (name, api))
        like(str(error), "(?i)" + reason, "%s: %s tells the reason" % (name, api))
        like(error.request_id, "^req_", "%s: %s has the id" % (name, api))


# -- retries that happen and those that do not

def tries(client, call, manner):
    """(how it ended, requests that the model server got)"""
    before = len(up.requests)
    error = raised(lambda: call(client, {"X-Manner": manner}))
    return type(error).__name__ if error else "served", len(up.requests) - before


RETRIES = [("status:429 until:1 header:retry-after-ms=1", ("served", 2)),
           ("status:503 until:2 header:retry-after=0.01", ("served", 3)),
           ("status:500 until:1 header:retry-after-ms=1", ("served", 2)),
           ("status:409 until:1 header:retry-after-ms=1", ("served", 2)),
           ("status:429 header:retry-after-ms=1", (None, 3)),
           ("status:429 header:x-should-retry=false", (None, 1)),
           ("status:503 header:x-should-retry=false", (None, 1)),
           ("status:400 header:retry-after-ms=1", (None, 1)),
           ("status:422 header:retry-after-ms=1", (None, 1)),
           ("status:403 header:retry-after-ms=1", (None, 1))]
everyone = [("openai", gpt(retries=2), OPENAI_CALLS["chat stream"], OPENAI_CLASSES)]
if anthropic:
    everyone += [("anthropic", claude(retries=2), CLAUDE_CALLS["messages stream"], CLAUDE_CLASSES)]
for api, client, call, classes in everyone:
    for manner, (end, number) in RETRIES:
        status = int(manner.split()[0].split(":")[1])
        is_(tries(client, call, manner), (end or classes[status], number),
            "%s: %s: %d tries" % (api, manner, number))
# A stream that has begun is not tried again by anybody.
is_(tries(gpt(retries=2), OPENAI_CALLS["chat stream"], "cut:300"), ("APIError", 1),
    "openai: a stream that breaks off is not tried again")
raised(lambda: gpt("", "wk_wrong", 2).models.list(extra_headers={"X-Request-Id": "wrong-key-once"}))
raised(lambda: gpt("", "wk_wrong", 2).models.list(extra_headers={"X-Request-Id": "wrong-key-last"}))
ok(wait_for(lambda: '"wrong-key-last"' in gw.usage_text(), 10), "a wrong key has its line")
is_(gw.usage_text().count('"wrong-key-once"'), 1, "a wrong key is not tried again")

is_(up.errors, [], "the model server had no trouble")
text = gw.logs()
ok(not any(KEYS[name].split("_", 2)[2] in text for name in ("good", "expired")),
   "no key in any log")
done_testing()

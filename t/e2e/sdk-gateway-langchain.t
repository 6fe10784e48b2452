#!/usr/bin/env python3
"""LangChain before the gateway and a scripted model server: chat, stream, tools, parallel tools,
structured output, the responses API, messages, embeddings and errors, native and translated."""

import asyncio
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from weirsystem import run_in  # noqa: E402

run_in("venv-langchain")

import anthropic  # noqa: E402
import openai  # noqa: E402
from langchain_anthropic import ChatAnthropic  # noqa: E402
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage  # noqa: E402
from langchain_openai import ChatOpenAI, OpenAIEmbeddings  # noqa: E402

import weirscript  # noqa: E402
from weirgateway import KEYS, clients_gateway  # noqa: E402
from weirnginx import Upstream  # noqa: E402
from weirtap import diag, done_testing, is_, like, note, ok  # noqa: E402

note("openai %s, anthropic %s" % (openai.__version__, anthropic.__version__))
os.environ["LANGSMITH_TRACING"] = "false"

up = Upstream(weirscript.serve)
gw = clients_gateway(up)
SAID = "".join(weirscript.TEXT)
WANT = [(n, json.loads(a), i) for i, n, a in weirscript.CALLS]
ASK = [SystemMessage("Be brief"), HumanMessage("Hello")]


def gpt(where="", manner="whole", **more):
    return ChatOpenAI(model="tiny", base_url=gw.url(where + "/v1"), api_key=KEYS["good"],
                      max_retries=0, timeout=20, default_headers={"X-Manner": manner}, **more)


def claude(where="", manner="whole", **more):
    return ChatAnthropic(model="tiny", base_url=gw.url(where).rstrip("/"), api_key=KEYS["good"],
                         max_retries=0, timeout=20, default_headers={"X-Manner": manner}, **more)


def get_weather(city: str, days: list[int]) -> str:
    """The weather."""
    return city + str(days)


def get_time(zone: str) -> str:
    """The time."""
    return zone


def text_of(message):
    """A message's text, whatever blocks it comes in."""
    if isinstance(message.content, str):
        return message.content
    return "".join(b.get("text", "") for b in message.content if b.get("type") == "text")


def usage_of(message):
    told = message.usage_metadata or {}
    return told.get("input_tokens"), told.get("output_tokens")


def calls_of(message):
    return [(c["name"], c["args"], c["id"]) for c in message.tool_calls]


def added(stream):
    whole = None
    for piece in stream:
        whole = piece if whole is None else whole + piece
    return whole


# LangChain keeps connections from one call to the next, and they belong to a loop.
loop = asyncio.new_event_loop()


async def asynchronous(llm):
    whole = None
    async for piece in llm.astream(ASK):
        whole = piece if whole is None else whole + piece
    return whole


CLIENTS = [
    ("chat", gpt, "", {}), ("responses", gpt, "", {"use_responses_api": True}),
    ("messages", claude, "", {}), ("chat on Anthropic", gpt, "/claude", {}),
    ("responses on chat", gpt, "/chat", {"use_responses_api": True}),
    ("messages on chat", claude, "/chat", {})]
for name, make, where, more in CLIENTS:
    bad = []
    for manner in ("whole", "events", "bytes", "random:5 pause", "comments", "crlf"):
        answer = make(where, manner.replace("comments", "").replace("crlf", "") or "whole",
                      **more).invoke(ASK)
        stream = added(make(where, manner, **more).stream(ASK))
        for kind, message in (("invoke", answer), ("stream", stream)):
            if text_of(message) != SAID:
                bad.append((manner, kind, message))
        if usage_of(answer) != (100, 20):
            bad.append((manner, "usage", answer.usage_metadata))
    ok(not bad, "%s: invoke and stream in 6 manners" % name) or diag("\n".join(map(repr, bad[:3])))
    # LangChain does not ask a server of another's for usage; where it is told unasked, it is right.
    ok(usage_of(stream)[1] in (20, None), "%s: %r of a stream" % (name, usage_of(stream)))
    answer = loop.run_until_complete(asynchronous(make(where, **more)))
    is_(text_of(answer), SAID, "%s: asynchronous" % name)
    is_([text_of(m) for m in make(where, "bytes", **more).batch([ASK] * 5)], [SAID] * 5,
        "%s: five at once" % name)

    # Its client of responses wants items one after the other, as OpenAI sends them.
    tools = make(where, "random:9" if where else "random:9 serial", **more).bind_tools([get_weather, get_time])
    first = tools.invoke(ASK)
    is_(calls_of(first), WANT, "%s: parallel tools" % name)
    is_(calls_of(added(tools.stream(ASK))), WANT, "%s: parallel tools in a stream" % name)
    before = len(up.requests)
    again = make(where, **more).invoke(
        [*ASK, first, *(ToolMessage("done", tool_call_id=i) for _, _, i in WANT)])
    is_((text_of(again), len(up.requests) - before), (SAID, 1), "%s: and their results" % name)
    ok(b"call_a" in up.requests[-1].body and up.requests[-1].body.count(b"done") >= 2,
       "%s: which the model server gets" % name)

llm = gpt("", "bytes", stream_usage=True)
is_(usage_of(added(llm.stream(ASK))), (100, 20), "usage of a stream, asked for: not added up")
vectors = OpenAIEmbeddings(model="tiny", base_url=gw.url("/v1"), api_key=KEYS["good"],
                           check_embedding_ctx_length=False)
is_(vectors.embed_documents(["a", "b"]), [list(weirscript.VECTOR)] * 2, "embeddings")
is_(vectors.embed_query("a"), list(weirscript.VECTOR), "of a question")


def raised(call):
    try:
        call()
    except (openai.OpenAIError, anthropic.AnthropicError) as error:
        return error
    return None


for name, make, where, more in CLIENTS:
    for manner, stream in (("events:3", True), ("cut:300", True), ("error:3", True),
                           ("status:429", False), ("status:500", True), ("status:400", False)):
        run = make(where, manner, **more)
        try:
            error = raised(lambda: added(run.stream(ASK)) if stream else run.invoke(ASK))
        except ValueError as problem:
            error = problem
        if "responses" in name and manner in ("events:3", "cut:300", "error:3") and error is None:
            # The client of responses raises nothing in a stream; the text is not whole.
            ok(text_of(added(run.stream(ASK)) or HumanMessage("")) != SAID,
               "%s, %s: not whole" % (name, manner))
        elif ok(error is not None, "%s, %s: raises %s" % (name, manner, type(error).__name__)) \
                and "status" in manner:
            like(str(error), weirscript.FAILURE, "%s, %s: with the reason" % (name, manner))

rows = [row for row in gw.usage() if row["status"] == 200 and not row["aborted"]]
ok(sum(row["usage_source"] == "reported" for row in rows) > 100, "%d answers are counted"
   % len(rows))
done_testing()

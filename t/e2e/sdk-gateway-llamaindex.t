#!/usr/bin/env python3
"""LlamaIndex, which wants openai below 3, before the gateway and a scripted model server: chat,
stream, tools, parallel tools, the responses API and errors, native and translated."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from weirsystem import run_in  # noqa: E402

run_in("venv-openai2")

import openai  # noqa: E402
from llama_index.core.base.llms.types import LLMMetadata  # noqa: E402
from llama_index.core.llms import ChatMessage  # noqa: E402
from llama_index.core.tools import FunctionTool  # noqa: E402
from llama_index.llms.openai import OpenAI, OpenAIResponses  # noqa: E402

import weirscript  # noqa: E402
from weirgateway import KEYS, clients_gateway  # noqa: E402
from weirnginx import Upstream  # noqa: E402
from weirtap import done_testing, is_, like, note, ok  # noqa: E402

note("openai %s" % openai.__version__)


class Known:
    """LlamaIndex looks a model's abilities up by OpenAI's names; ours is in no such list."""

    @property
    def metadata(self):
        return LLMMetadata(context_window=8192, num_output=64, is_chat_model=True,
                           is_function_calling_model=True, model_name=self.model)


class Chat(Known, OpenAI):
    """Chat completions."""


class Responses(Known, OpenAIResponses):
    """The responses API."""


up = Upstream(weirscript.serve)
gw = clients_gateway(up)
SAID = "".join(weirscript.TEXT)
WANT = [(n, json.loads(a)) for _, n, a in weirscript.CALLS]
ASK = [ChatMessage(role="system", content="Be brief"), ChatMessage(role="user", content="Hello")]


def get_weather(city: str, days: list) -> str:
    """The weather."""
    return city + str(days)


def get_time(zone: str) -> str:
    """The time."""
    return zone


TOOLS = [FunctionTool.from_defaults(f) for f in (get_weather, get_time)]


def client(kind, where, manner="whole"):
    return kind(model="tiny", api_key=KEYS["good"], api_base=gw.url(where + "/v1"), max_retries=0,
                timeout=20, default_headers={"X-Manner": manner})


def calls_of(llm, answer):
    return [(c.tool_name, c.tool_kwargs)
            for c in llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False)]


PLACES = (("chat", Chat, ""), ("chat on Anthropic", Chat, "/claude"), ("responses", Responses, ""),
          ("responses on chat", Responses, "/chat"))
for name, kind, where in PLACES:
    for manner in ("whole", "events", "bytes", "random:5 pause"):
        llm = client(kind, where, manner)
        is_((llm.chat(ASK).message.content, "".join(p.delta or "" for p in llm.stream_chat(ASK))),
            (SAID, SAID), "%s, %s: chat and stream" % (name, manner))
    is_(client(kind, where).complete("Hi").text, SAID, "%s: complete" % name)
    llm = client(kind, where, "random:7 serial")
    is_(calls_of(llm, llm.chat_with_tools(TOOLS, "Hello", allow_parallel_tool_calls=True)), WANT,
        "%s: parallel tools" % name)
    *_, last = llm.stream_chat_with_tools(TOOLS, "Hello", allow_parallel_tool_calls=True)
    is_(calls_of(llm, last), WANT, "%s: parallel tools in a stream" % name)

rows = [row for row in gw.usage() if row["status"] == 200]
is_({(row["prompt_tokens"], row["completion_tokens"], row["usage_source"]) for row in rows},
    {(100, 20, "reported")}, "all %d answers are counted, though nobody asked" % len(rows))


def raised(call):
    try:
        call()
    except openai.OpenAIError as error:
        return error
    return None


for name, kind, where in PLACES:
    for status, want in ((400, openai.BadRequestError), (401, openai.AuthenticationError),
                         (429, openai.RateLimitError), (500, openai.InternalServerError)):
        error = raised(lambda s=status: client(kind, where, "status:%d" % s).chat(ASK))
        ok(isinstance(error, want), "%s: %d raises %s" % (name, status, want.__name__))
        like(str(error), weirscript.FAILURE, "%s: %d tells the reason" % (name, status))
    for manner in ("events:3", "cut:300", "error:3"):
        said = []
        error = raised(lambda m=manner: said.extend(
            p.delta or "" for p in client(kind, where, m).stream_chat(ASK)))
        # What the client of responses does not raise does not look like the answer.
        ok(error is not None or (kind is Responses and "".join(said) != SAID),
           "%s, %s: %s" % (name, manner, type(error).__name__))
done_testing()

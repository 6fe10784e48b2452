#!/usr/bin/env python3
"""Protocol translation as the official clients see it: each client calls a small server that
translates its request, hands it to a scripted upstream of the other API, and translates what the
upstream answers. The clients must accept every stream and end up with what the upstream said."""

import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from weirclients import older_client, program  # noqa: E402
from weirtap import done_testing, is_, isnt, like, ok, skip_all  # noqa: E402

PROGRAM = program("translate")

try:
    import openai
except ImportError as e:
    skip_all("the official clients are not installed: %s" % e)

try:
    import anthropic
    ERRORS = (openai.APIError, anthropic.APIError)
except ImportError:
    anthropic = None  # the environment with the older openai has openai only
    ERRORS = openai.APIError

import pydantic  # noqa: E402
from openai.types import chat as chat_types  # noqa: E402
from openai.types import responses as responses_types  # noqa: E402

PATHS = {"/v1/messages": "messages", "/v1/chat/completions": "chat", "/v1/responses": "responses"}
COUNT_PATHS = {"/v1/messages/count_tokens": "messages", "/v1/responses/input_tokens": "responses"}
UPSTREAM = {"messages": "chat", "chat": "messages", "responses": "chat"}

# The clients build their objects without looking; here everything is held against their types.
REQUESTS = {"chat": pydantic.TypeAdapter(
    chat_types.completion_create_params.CompletionCreateParamsNonStreaming)}
ANSWERS = {"chat": pydantic.TypeAdapter(chat_types.ChatCompletion),
           "responses": pydantic.TypeAdapter(responses_types.Response)}
EVENTS = {"chat": pydantic.TypeAdapter(chat_types.ChatCompletionChunk),
          "responses": pydantic.TypeAdapter(responses_types.ResponseStreamEvent)}
if anthropic is not None:
    from anthropic import types as anthropic_types
    REQUESTS["messages"] = pydantic.TypeAdapter(
        anthropic_types.message_create_params.MessageCreateParamsNonStreaming)
    ANSWERS["messages"] = pydantic.TypeAdapter(anthropic_types.Message)
    EVENTS["messages"] = pydantic.TypeAdapter(anthropic_types.RawMessageStreamEvent)


class Gateway:
    """What a test sets and sees: the upstream's answer, and what the upstream was asked."""

    def __init__(self):
        self.answer = None   # bytes of a stream, or an object
        self.options = []
        self.status = 200
        self.asked = None    # the upstream's request
        self.losses = None
        self.wrong = []      # what does not fit the clients' types
        self.checked = 0
        self.folder = tempfile.TemporaryDirectory()
        gateway = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                path = self.path.split("?")[0]
                if path in COUNT_PATHS:
                    status, kind, out = gateway.count(COUNT_PATHS[path], body)
                else:
                    status, kind, out = gateway.serve(PATHS[path], body)
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(out)))
                self.end_headers()
                self.wfile.write(out)

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                pass  # clients leave when they have enough

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]

    def fits(self, adapters, protocol, value):
        if protocol not in adapters:
            return
        self.checked += 1
        try:
            adapters[protocol].validate_python(value)
        except pydantic.ValidationError as e:
            self.wrong.append("%s: %s in %s" % (protocol, e.errors()[:3], value))

    def fits_events(self, client, out):
        for line in out.decode().splitlines():
            if line.startswith("data: {"):
                value = json.loads(line[6:])
                if "error" not in value and value.get("type") != "error":
                    self.fits(EVENTS, client, value)

    def count(self, client, body):
        result = json.loads(run(["count", client, UPSTREAM[client]], body))
        self.asked = result["body"]
        out = run(["counted", client], json.dumps(self.answer).encode())
        return 200, "application/json", out

    def serve(self, client, body):
        upstream = UPSTREAM[client]
        out = run(["request", client, upstream], body)
        result = json.loads(out)
        if result["status"] != "ok":
            # As the gateway writes its refusals.
            if client == "messages":
                error = {"type": "error", "error": {"type": "invalid_request_error",
                                                    "message": result["message"]}}
            else:
                error = {"error": {"message": result["message"], "type": "invalid_request_error",
                                   "param": result["field"], "code": result["code"]}}
            return 400, "application/json", json.dumps(error).encode()
        self.asked = result["body"]
        self.losses = result["losses"]
        self.fits(REQUESTS, upstream, {k: v for k, v in self.asked.items() if k != "stream"})
        if self.status != 200:
            text = json.dumps(self.answer).encode()
            status, out = run(["error", client, str(self.status)], text).split(b"\n", 1)
            return int(status), "application/json", out
        path = os.path.join(self.folder.name, "request.json")
        with open(path, "wb") as f:
            f.write(body)
        if isinstance(self.answer, bytes):
            out = run(["answer", client, upstream, path] + self.options, self.answer)
            self.fits_events(client, out)
            return 200, "text/event-stream", out
        streams = ["--as-stream"] if json.loads(body).get("stream") else []
        out = run(["answer", client, upstream, path, "--json"] + streams + self.options,
                  json.dumps(self.answer).encode())
        if streams:
            self.fits_events(client, out)
            return 200, "text/event-stream", out
        self.fits(ANSWERS, client, json.loads(out))
        return 200, "application/json", out


def run(args, data):
    return subprocess.run([PROGRAM] + args, input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=True).stdout


GATEWAY = Gateway()


def upstream(answer, status=200, options=()):
    GATEWAY.answer = answer
    GATEWAY.status = status
    GATEWAY.options = list(options)


def claude():
    return anthropic.Anthropic(base_url=GATEWAY.url, api_key="k", max_retries=0)


def gpt():
    return openai.OpenAI(base_url=GATEWAY.url + "/v1", api_key="k", max_retries=0)


def chat_stream(*deltas, finish="stop", usage=True, done=True):
    """A chat upstream's stream of these deltas."""
    def chunk(choices, **more):
        return {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1700000001,
                "model": "m", "choices": choices, **more}
    chunks = [chunk([{"index": 0, "delta": {"role": "assistant", "content": ""},
                      "finish_reason": None}])]
    chunks += [chunk([{"index": 0, "delta": d, "finish_reason": None}]) for d in deltas]
    if finish is not None:
        chunks.append(chunk([{"index": 0, "delta": {}, "finish_reason": finish}]))
    if usage:
        chunks.append(chunk([], usage=CHAT_USAGE))
    out = b"".join(b"data: " + json.dumps(c).encode() + b"\n\n" for c in chunks)
    return out + (b"data: [DONE]\n\n" if done else b"")


CHAT_USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
              "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
              "completion_tokens_details": {"reasoning_tokens": 5}}


def call(index, arguments, name=None):
    function = {"arguments": arguments}
    delta = {"index": index, "function": function}
    if name is not None:
        function["name"] = name
        delta.update(id="call_%d" % index, type="function")
    return {"tool_calls": [delta]}


# Two calls whose pieces are interleaved.
PARALLEL = [call(0, "", "first"), call(1, "", "second"), call(1, '{"b"'), call(0, '{"a": [1, '),
            call(1, ': "}{\\"'), call(0, "2]}"), call(1, '"}')]


def anthropic_stream(*events, stop="end_turn", end=True):
    out = [{"type": "message_start", "message": {
        "id": "msg_7", "type": "message", "role": "assistant", "model": "claude-m", "content": [],
        "stop_reason": None, "stop_sequence": None,
        "usage": {"input_tokens": 30, "cache_read_input_tokens": 60,
                  "cache_creation_input_tokens": 10, "output_tokens": 1}}},
        {"type": "ping"}]
    out += events
    if end:
        out += [{"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None},
                 "usage": {"output_tokens": 9}},
                {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None},
                 "usage": {"output_tokens": 20}},
                {"type": "message_stop"}]
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode())
                    for e in out)


def block(index, start, *deltas):
    return [{"type": "content_block_start", "index": index, "content_block": start}] + \
        [{"type": "content_block_delta", "index": index, "delta": d} for d in deltas] + \
        [{"type": "content_block_stop", "index": index}]


MESSAGE = {"model": "claude-m", "max_tokens": 100,
           "messages": [{"role": "user", "content": "Hello"}]}
CHAT = {"model": "gpt-m", "messages": [{"role": "user", "content": "Hello"}]}


def raised(function):
    try:
        function()
    except ERRORS as e:
        return e
    return None


# --- a messages client on a chat upstream ---


def test_messages_text():
    upstream({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
              "choices": [{"index": 0, "finish_reason": "stop", "message": {
                  "role": "assistant", "content": "Hi é \U0001f600", "refusal": None,
                  "reasoning_content": "hm"}}], "usage": CHAT_USAGE})
    message = claude().messages.create(system="Be brief", **MESSAGE)
    is_([b.type for b in message.content], ["thinking", "text"], "messages: thinking, then text")
    is_(message.content[1].text, "Hi é \U0001f600", "messages: the text")
    is_((message.stop_reason, message.model, message.role), ("end_turn", "m", "assistant"),
        "messages: stop reason, model, role")
    is_((message.usage.input_tokens, message.usage.cache_read_input_tokens,
         message.usage.cache_creation_input_tokens, message.usage.output_tokens), (30, 60, 10, 20),
        "messages: usage without what was cached")
    is_(message.usage.output_tokens_details.thinking_tokens, 5, "messages: thinking tokens")
    is_(GATEWAY.asked["messages"], [{"role": "system", "content": "Be brief"},
                                    {"role": "user", "content": "Hello"}],
        "messages: system is the first message")
    is_(GATEWAY.asked["max_completion_tokens"], 100, "messages: max_tokens")


def test_messages_stream():
    upstream(chat_stream({"reasoning_content": "Let me "}, {"reasoning": "see"}, {"content": "He"},
                         {"content": "llo \"\\\n\u2028 é"}))
    with claude().messages.stream(**MESSAGE) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    is_(text, "Hello \"\\\n\u2028 é", "messages stream: the text as it came")
    is_([b.type for b in final.content], ["thinking", "text"], "messages stream: two blocks")
    is_(final.content[0].thinking, "Let me see", "messages stream: thinking")
    is_((final.usage.input_tokens, final.usage.cache_read_input_tokens,
         final.usage.output_tokens), (30, 60, 20), "messages stream: usage of the last event")
    is_(final.stop_reason, "end_turn", "messages stream: the stop reason")
    is_(GATEWAY.asked["stream_options"], {"include_usage": True},
        "messages stream: usage is asked for")


def test_messages_parallel_tools():
    upstream(chat_stream({"content": "I call."}, *PARALLEL, finish="tool_calls"))
    tools = [{"name": n, "description": "d", "input_schema": {"type": "object"}}
             for n in ("first", "second")]
    events = []
    with claude().messages.stream(tools=tools, **MESSAGE) as stream:
        for event in stream:
            events.append(event)
        final = stream.get_final_message()
    calls = [b for b in final.content if b.type == "tool_use"]
    is_([(c.id, c.name, c.input) for c in calls],
        [("call_0", "first", {"a": [1, 2]}), ("call_1", "second", {"b": '}{"'})],
        "messages tools: both calls are whole")
    is_(final.stop_reason, "tool_use", "messages tools: the stop reason")
    order = [(e.type, getattr(e, "index", None)) for e in events
             if e.type in ("content_block_start", "content_block_stop")]
    is_(order, [(t, i) for i in range(3) for t in ("content_block_start", "content_block_stop")],
        "messages tools: blocks come one after the other")
    is_(GATEWAY.asked["tools"][1]["function"]["name"], "second", "messages tools: tools are sent")


def test_messages_cut():
    whole = chat_stream({"content": "He"}, {"content": "llo"}, *PARALLEL, finish="tool_calls")
    events = whole.split(b"\n\n")[:-1]
    complete = 0
    for n in range(len(events) + 1):
        body = b"".join(e + b"\n\n" for e in events[:n])
        for options in ([], ["--cut"]):
            upstream(body, options=options)
            error = raised(lambda: drain(claude().messages.create(stream=True, **MESSAGE)))
            # A finish reason and an orderly end make an answer; [DONE] does in any case.
            should = n == len(events) or (n >= len(events) - 2 and not options)
            complete += (error is None) == should
    is_(complete, 2 * (len(events) + 1),
        "messages: an upstream cut at any event raises, unless the answer is whole")


def drain(stream):
    for _ in stream:
        pass


def test_messages_errors():
    upstream({"error": {"message": "This model's maximum context length is 10 tokens.",
                        "type": "invalid_request_error", "param": "messages",
                        "code": "context_length_exceeded"}}, status=400)
    error = raised(lambda: claude().messages.create(**MESSAGE))
    ok(isinstance(error, anthropic.BadRequestError), "messages: 400 is BadRequestError")
    like(str(error), "context_length_exceeded.*maximum context length", "messages: the reason")
    upstream({"detail": "slow down"}, status=429)
    error = raised(lambda: claude().messages.create(**MESSAGE))
    ok(isinstance(error, anthropic.RateLimitError), "messages: 429 is RateLimitError")
    like(str(error), "rate_limit_error.*slow down", "messages: another server's shape")
    upstream(chat_stream({"content": "x"}, finish=None, usage=False, done=False) +
             b'data: {"error":{"message":"the GPU is gone","type":"server_error"}}\n\n')
    error = raised(lambda: drain(claude().messages.create(stream=True, **MESSAGE)))
    like(str(error), "the GPU is gone", "messages: an error in the stream is raised")
    upstream({"choices": []})
    error = raised(lambda: claude().messages.create(
        tools=[{"type": "web_search_20250305", "name": "web_search"}], **MESSAGE))
    like(str(error), r"tools\[0\].*web_search.*custom tool", "messages: a server tool is refused")


# --- a chat client on a messages upstream ---


def test_chat_text():
    upstream({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-m",
              "content": [{"type": "thinking", "thinking": "hm", "signature": "sig=="},
                          {"type": "text", "text": "Hi ", "citations": None},
                          {"type": "text", "text": "there"},
                          {"type": "tool_use", "id": "toolu_1", "name": "get",
                           "input": {"a": 1.50}}],
              "stop_reason": "tool_use", "stop_sequence": None,
              "usage": {"input_tokens": 30, "cache_read_input_tokens": 60,
                        "cache_creation_input_tokens": 10, "output_tokens": 20,
                        "output_tokens_details": {"thinking_tokens": 5}}})
    answer = gpt().chat.completions.create(
        tools=[{"type": "function", "function": {"name": "get", "parameters": {
            "type": "object"}}}], temperature=1.5, stop="END", user="u1", **CHAT)
    choice = answer.choices[0]
    is_((choice.message.content, choice.finish_reason), ("Hi there", "tool_calls"),
        "chat: text and finish reason")
    is_(choice.message.reasoning_content, "hm", "chat: reasoning")
    tool = choice.message.tool_calls[0]
    is_((tool.id, tool.function.name, json.loads(tool.function.arguments)),
        ("toolu_1", "get", {"a": 1.5}), "chat: the tool call")
    is_((answer.usage.prompt_tokens, answer.usage.prompt_tokens_details.cached_tokens,
         answer.usage.prompt_tokens_details.cache_write_tokens, answer.usage.total_tokens,
         answer.usage.completion_tokens_details.reasoning_tokens), (100, 60, 10, 120, 5),
        "chat: usage with what was cached")
    is_((GATEWAY.asked["max_tokens"], GATEWAY.asked["temperature"],
         GATEWAY.asked["stop_sequences"], GATEWAY.asked["metadata"]),
        (4096, 1, ["END"], {"user_id": "u1"}), "chat: options")
    is_(GATEWAY.losses, {"request temperature": 1}, "chat: what was lost is counted")
    # What the client got goes back as it came.
    upstream({"id": "msg_2", "type": "message", "role": "assistant", "model": "m", "content": [],
              "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}})
    gpt().chat.completions.create(model="m", messages=[
        {"role": "user", "content": "Hello"}, choice.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": "toolu_1", "content": "42"},
        {"role": "user", "content": "go on"}])
    is_(GATEWAY.asked["messages"][1]["content"][0],
        {"type": "thinking", "thinking": "hm", "signature": "sig=="},
        "chat: thinking goes back with its signature")
    is_(GATEWAY.asked["messages"][2]["content"],
        [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "42"},
         {"type": "text", "text": "go on"}], "chat: result and text are one turn")


def full_stream():
    events = block(0, {"type": "thinking", "thinking": "", "signature": ""},
                   {"type": "thinking_delta", "thinking": "Let me "},
                   {"type": "thinking_delta", "thinking": "see"},
                   {"type": "signature_delta", "signature": "sig=="})
    events += block(1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hel"},
                    {"type": "text_delta", "text": "lo é\n"})
    events += block(2, {"type": "tool_use", "id": "toolu_1", "name": "first", "input": {}},
                    {"type": "input_json_delta", "partial_json": ""},
                    {"type": "input_json_delta", "partial_json": '{"a": '},
                    {"type": "input_json_delta", "partial_json": '1}'})
    events += block(3, {"type": "tool_use", "id": "toolu_2", "name": "second", "input": {}})
    return events


def test_chat_stream():
    upstream(anthropic_stream(*full_stream(), stop="tool_use"))
    with gpt().chat.completions.stream(stream_options={"include_usage": True}, **CHAT) as stream:
        drain(stream)
        final = stream.get_final_completion()
    message = final.choices[0].message
    is_((message.content, final.choices[0].finish_reason), ("Hello é\n", "tool_calls"),
        "chat stream: text and finish reason")
    is_([(c.id, c.function.name, c.function.arguments) for c in message.tool_calls],
        [("toolu_1", "first", '{"a": 1}'), ("toolu_2", "second", "{}")],
        "chat stream: both calls; one without arguments has an empty object")
    is_(message.role, "assistant", "chat stream: the role is said once")
    is_(message.reasoning_content, "Let me see", "chat stream: reasoning")
    is_([(b["type"], b["thinking"], b["signature"]) for b in message.thinking_blocks],
        [("thinking", "Let me see", "sig==")], "chat stream: thinking with its signature")
    is_((final.usage.prompt_tokens, final.usage.completion_tokens), (100, 20),
        "chat stream: usage, the latest count")
    chunks = list(gpt().chat.completions.create(stream=True, **CHAT))
    is_({c.usage for c in chunks}, {None}, "chat stream: no usage when it was not asked for")
    is_({c.id for c in chunks}, {"chatcmpl-7"}, "chat stream: one id")


def test_chat_cut():
    events = anthropic_stream(*full_stream(), stop="tool_use").split(b"\n\n")[:-1]
    right = 0
    for n in range(len(events) + 1):
        body = b"".join(e + b"\n\n" for e in events[:n])
        for options in ([], ["--cut"]):
            upstream(body, options=options)
            error = raised(lambda: drain(gpt().chat.completions.create(stream=True, **CHAT)))
            should = n == len(events) or (n >= len(events) - 2 and not options)
            right += (error is None) == should
    is_(right, 2 * (len(events) + 1),
        "chat: an upstream cut at any event raises, unless the answer is whole")


def test_chat_errors():
    upstream({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
             status=529)
    error = raised(lambda: gpt().chat.completions.create(**CHAT))
    is_((error.status_code, error.code), (503, "overloaded"), "chat: 529 is 503")
    upstream({"type": "error", "error": {"type": "invalid_request_error",
                                         "message": "prompt is too long: 9 tokens > 8 maximum"}},
             status=400)
    error = raised(lambda: gpt().chat.completions.create(**CHAT))
    is_(error.code, "context_length_exceeded", "chat: an overflow has OpenAI's code")
    like(str(error), "context_length_exceeded: prompt is too long", "chat: and names it")
    upstream(anthropic_stream(*full_stream()[:3], end=False) +
             b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error",'
             b'"message":"Overloaded"}}\n\n')
    error = raised(lambda: drain(gpt().chat.completions.create(stream=True, **CHAT)))
    like(str(error), "Overloaded", "chat: an error in the stream is raised")
    for field, value in (("n", 2), ("logprobs", True), ("audio", {"format": "wav", "voice": "x"})):
        error = raised(lambda f=field, v=value: gpt().chat.completions.create(**{f: v}, **CHAT))
        is_((type(error).__name__, error.param), ("BadRequestError", field),
            "chat: %s is refused" % field)


# --- a responses client on a chat upstream ---


def test_responses_text():
    upstream({"id": "chatcmpl-1", "object": "chat.completion", "created": 17, "model": "m",
              "choices": [{"index": 0, "finish_reason": "length", "message": {
                  "role": "assistant", "content": "Hi", "reasoning": "hm"}}], "usage": CHAT_USAGE})
    answer = gpt().responses.create(model="m", input="Hello", instructions="Be brief",
                                    max_output_tokens=5, store=False)
    is_((answer.output_text, answer.status, answer.incomplete_details.reason),
        ("Hi", "incomplete", "max_output_tokens"), "responses: text and status")
    is_([i.type for i in answer.output], ["reasoning", "message"], "responses: items")
    is_((answer.usage.input_tokens, answer.usage.input_tokens_details.cached_tokens,
         answer.usage.output_tokens_details.reasoning_tokens), (100, 60, 5), "responses: usage")
    is_((answer.instructions, answer.max_output_tokens, answer.tools), ("Be brief", 5, []),
        "responses: the request is repeated")
    is_(GATEWAY.asked["messages"], [{"role": "system", "content": "Be brief"},
                                    {"role": "user", "content": "Hello"}], "responses: messages")


def test_responses_stream():
    upstream(chat_stream({"reasoning_content": "hm"}, {"content": "Hel"}, {"content": "lo é"},
                         *PARALLEL, finish="tool_calls"))
    tools = [{"type": "function", "name": n, "parameters": {"type": "object"}, "strict": False}
             for n in ("first", "second")]
    numbers = []
    with gpt().responses.stream(model="m", input="Hello", tools=tools) as stream:
        for event in stream:
            numbers.append(event.sequence_number)
        final = stream.get_final_response()
    is_(numbers, list(range(len(numbers))), "responses stream: sequence numbers")
    is_((final.output_text, final.status), ("Hello é", "completed"), "responses stream: text")
    calls = [i for i in final.output if i.type == "function_call"]
    is_([(c.call_id, c.name, json.loads(c.arguments)) for c in calls],
        [("call_0", "first", {"a": [1, 2]}), ("call_1", "second", {"b": '}{"'})],
        "responses stream: interleaved calls")
    is_((final.usage.input_tokens, final.usage.total_tokens), (100, 120),
        "responses stream: usage")


def test_responses_custom_tool():
    upstream(chat_stream(call(0, "", "patch"), call(0, '{"input": "a\\n'), call(0, 'b\\"é"}'),
                         finish="tool_calls"))
    with gpt().responses.stream(model="m", input="x",
                                tools=[{"type": "custom", "name": "patch"}]) as stream:
        drain(stream)
        final = stream.get_final_response()
    item = final.output[0]
    is_((item.type, item.name, item.input), ("custom_tool_call", "patch", 'a\nb"é'),
        "responses: a custom tool's input")
    gpt_input = [{"role": "user", "content": "x"},
                 {"type": "custom_tool_call", "call_id": "call_0", "name": "patch",
                  "input": 'a\nb"é'},
                 {"type": "custom_tool_call_output", "call_id": "call_0", "output": "done"}]
    gpt().responses.create(model="m", input=gpt_input, stream=True).close()
    sent = GATEWAY.asked["messages"]
    is_(json.loads(sent[1]["tool_calls"][0]["function"]["arguments"]), {"input": 'a\nb"é'},
        "responses: and it goes back as a function's argument")
    is_(sent[2], {"role": "tool", "tool_call_id": "call_0", "content": "done"},
        "responses: with its result")


def test_responses_cut():
    events = chat_stream({"reasoning_content": "hm"}, {"content": "Hel"}, *PARALLEL,
                         finish="tool_calls").split(b"\n\n")[:-1]
    right = 0
    for n in range(len(events) + 1):
        body = b"".join(e + b"\n\n" for e in events[:n])
        for options in ([], ["--cut"]):
            upstream(body, options=options)
            kinds = [e.type for e in gpt().responses.create(model="m", input="x", stream=True)]
            should = n == len(events) or (n >= len(events) - 2 and not options)
            right += (kinds[-1] == "response.completed") == should and \
                (should or kinds[-1] in ("response.failed", "error"))
    is_(right, 2 * (len(events) + 1),
        "responses: an upstream cut at any event fails, unless the answer is whole")


def test_responses_refusals():
    upstream({"choices": []})
    for field, value in (("previous_response_id", "resp_1"), ("store", True),
                         ("background", True), ("conversation", "conv_1"),
                         ("prompt", {"id": "pmpt_1"})):
        error = raised(lambda f=field, v=value: gpt().responses.create(
            model="m", input="x", **{f: v}))
        is_((type(error).__name__, error.param), ("BadRequestError", field),
            "responses: %s is refused" % field)
        isnt(str(error), "", "responses: with a reason")


# --- an upstream that does not stream although it was asked to ---

CHAT_ANSWER = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
               "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
                   "role": "assistant", "content": "Hi", "reasoning_content": "hm",
                   "tool_calls": [{"id": "call_0", "type": "function", "function": {
                       "name": "get", "arguments": '{"a": 1}'}}]}}], "usage": CHAT_USAGE}


def test_messages_document_as_stream():
    upstream(CHAT_ANSWER)
    with claude().messages.stream(**MESSAGE) as stream:
        final = stream.get_final_message()
    is_([b.type for b in final.content], ["thinking", "text", "tool_use"],
        "messages: a document is streamed")
    is_((final.content[2].input, final.usage.output_tokens, final.stop_reason),
        ({"a": 1}, 20, "tool_use"), "messages: with its call, usage and reason")


def test_responses_document_as_stream():
    upstream(CHAT_ANSWER)
    with gpt().responses.stream(model="m", input="x") as stream:
        final = stream.get_final_response()
    is_([i.type for i in final.output], ["reasoning", "message", "function_call"],
        "responses: a document is streamed")


def test_chat_document_as_stream():
    upstream({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "t", "name": "get", "input": {"a": 1}}],
        "stop_reason": "tool_use", "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 2}})
    with gpt().chat.completions.stream(**CHAT) as stream:
        final = stream.get_final_completion()
    message = final.choices[0].message
    is_((message.content, json.loads(message.tool_calls[0].function.arguments),
         message.thinking_blocks[0]["signature"]), ("Hi", {"a": 1}, "s"),
        "chat: a document is streamed")


# --- counting ---


def test_messages_count():
    upstream({"count": 12, "max_model_len": 100, "tokens": []})
    count = claude().messages.count_tokens(model="m", messages=MESSAGE["messages"], system="s")
    is_(count.input_tokens, 12, "messages: tokens are counted by vLLM's call")
    is_(GATEWAY.asked["messages"][0], {"role": "system", "content": "s"}, "messages: of the prompt")


def test_responses_count():
    upstream({"count": 7})
    is_(gpt().responses.input_tokens.count(model="m", input="Hello").input_tokens, 7,
        "responses: input tokens are counted")


def check_types():
    is_(GATEWAY.wrong[:5], [], "all %d requests, answers and events fit the clients' types"
        % GATEWAY.checked)


def main():
    for name, test in sorted(globals().items()):
        if not name.startswith("test_"):
            continue
        # What looks at every cut says the same with each version of a client.
        if anthropic is not None or not (name.startswith("test_messages") or "_cut" in name):
            test()
    check_types()
    if anthropic is not None:
        older_client(__file__)
    done_testing()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""How answers end, as the official clients see it: a cut or stopped stream must raise or say so, at
every event, and a document sent as a stream must be the answer that it was."""

import http.server
import json
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from weirclients import older_client, program  # noqa: E402
from weirtap import diag, done_testing, is_, like, ok, skip, skip_all  # noqa: E402

PROGRAM = program("pipeline")

try:
    import openai
except ImportError as e:
    skip_all("the official clients are not installed: %s" % e)

try:
    import anthropic
except ImportError:
    anthropic = None  # the environment with the older openai has openai only


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every POST with what the test has set."""

    protocol_version = "HTTP/1.1"
    answer = b""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # clients leave when they have enough


SERVER = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=SERVER.serve_forever, daemon=True).start()
URL = "http://127.0.0.1:%d" % SERVER.server_address[1]


def upstream(protocol, body, *options):
    """The gateway's answer when the upstream says this."""
    done = subprocess.run([PROGRAM, protocol, "--seed", "7"] + list(options), input=body,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    Handler.answer = done.stdout
    return json.loads(done.stderr)


def gpt():
    return openai.OpenAI(base_url=URL + "/v1", api_key="k", max_retries=0)


def claude():
    return anthropic.Anthropic(base_url=URL, api_key="k", max_retries=0)


def events(items, named):
    return [(b"event: %s\n" % e["type"].encode() if named else b"") +
            b"data: " + json.dumps(e).encode() + b"\n\n" for e in items]


def chunk(delta, finish=None):
    return {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1700000001,
            "model": "m", "usage": None,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


CHAT = events([chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"}),
               chunk({"content": "lo"}), chunk({}, "stop")], False) + [b"data: [DONE]\n\n"]

MESSAGE_START = {"type": "message_start", "message": {
    "id": "msg_7", "type": "message", "role": "assistant", "model": "claude-m", "content": [],
    "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 1}}}
MESSAGES = events([
    MESSAGE_START,
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {
        "type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}},
    {"type": "content_block_delta", "index": 1, "delta": {
        "type": "input_json_delta", "partial_json": "{\"a\": 1}"}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None},
     "usage": {"output_tokens": 9}},
    {"type": "message_stop"}], True)

RESPONSE = {"id": "resp_7", "object": "response", "created_at": 1700000001, "status": "in_progress",
            "error": None, "incomplete_details": None, "instructions": None, "metadata": {},
            "model": "m", "output": [], "parallel_tool_calls": True, "temperature": 1.0,
            "tool_choice": "auto", "tools": [], "top_p": 1.0, "usage": None}
ITEM = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": "Hello", "annotations": []}]}
CALL = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "f",
        "arguments": "{\"a\": 1}", "status": "completed"}
USAGE = {"input_tokens": 3, "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
         "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 5}
WHOLE = dict(RESPONSE, status="completed", output=[ITEM, CALL], usage=USAGE)
RESPONSES = events([
    {"type": "response.created", "sequence_number": 0, "response": RESPONSE},
    {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0,
     "item": dict(ITEM, content=[], status="in_progress")},
    {"type": "response.content_part.added", "sequence_number": 2, "output_index": 0,
     "item_id": "msg_1", "content_index": 0,
     "part": {"type": "output_text", "text": "", "annotations": []}},
    {"type": "response.output_text.delta", "sequence_number": 3, "output_index": 0,
     "item_id": "msg_1", "content_index": 0, "delta": "Hello", "logprobs": []},
    {"type": "response.completed", "sequence_number": 4, "response": WHOLE}], True)

ASK = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def chat():
    """(text, finish reason, exception)"""
    text, finish = "", None
    try:
        for c in gpt().chat.completions.create(stream=True, **ASK):
            for choice in c.choices:
                text += choice.delta.content or ""
                finish = choice.finish_reason or finish
    except openai.APIError as e:
        return text, finish, e
    return text, finish, None


def messages():
    try:
        with claude().messages.stream(max_tokens=9, **ASK) as stream:
            return stream.get_final_message(), None
    except anthropic.APIError as e:
        return None, e


def responses():
    return list(gpt().responses.create(model="m", input="Hello", stream=True))


# --- cut at every event ---


def test_cut_chat():
    bad = []
    for n in range(len(CHAT)):
        for torn in (b"", CHAT[n][:len(CHAT[n]) // 2]):
            for option in ((), ("--cut",), ("--hide", "--cut")):
                # Behind the finish reason a body that ends in order is whole.
                whole = n == len(CHAT) - 1 and not option
                upstream("chat", b"".join(CHAT[:n]) + torn, *option)
                _, _, error = chat()
                if (error is None) != whole or (error and "broke off" not in str(error)):
                    bad.append((n, torn, option, error))
    is_(bad, [], "chat: cut at any event the client raises")


def test_cut_messages():
    if anthropic is None:
        skip("anthropic is not installed here")
        return
    bad = []
    for n in range(len(MESSAGES)):
        for torn in (b"", MESSAGES[n][:len(MESSAGES[n]) // 2]):
            for option in ((), ("--cut",)):
                whole = n == len(MESSAGES) - 1 and not option
                upstream("messages", b"".join(MESSAGES[:n]) + torn, *option)
                message, error = messages()
                if (error is None) != whole or (error and "broke off" not in str(error)):
                    bad.append((n, torn, option, error))
    is_(bad, [], "messages: cut at any event the client raises")


def test_cut_responses():
    bad = []
    for n in range(len(RESPONSES)):
        for option in ((), ("--cut",)):
            upstream("responses", b"".join(RESPONSES[:n]), *option)
            got = responses()
            numbers = [e.sequence_number for e in got]
            last = got[-1]
            if last.type != "response.failed" or last.response.error.code != "server_error" or \
                    got[0].type != "response.created" or numbers != sorted(set(numbers)) or \
                    len({e.response.id for e in got if hasattr(e, "response")}) != 1:
                bad.append((n, option, got))
    is_(bad, [], "responses: cut at any event the last one is response.failed")


# --- stopped at every event ---


def test_stop_chat():
    bad = []
    for reason, want in (("filter", "content_filter"), ("length", "length")):
        for n in range(len(CHAT) - 1):
            upstream("chat", b"".join(CHAT[:n]), "--stop", reason)
            text, finish, error = chat()
            expected = want if n < len(CHAT) - 1 else "stop"
            if error or finish != expected or not "Hello".startswith(text) or \
                    not Handler.answer.endswith(b"data: [DONE]\n\n"):
                bad.append((n, reason, text, finish, error))
    is_(bad, [], "chat: stopped at any event the finish reason says so")
    upstream("chat", CHAT[0], "--stop", "error")
    _, _, error = chat()
    like(str(error), "budget is used up", "chat: an error has the message")
    is_(error.code, "insufficient_quota", "chat: and the code")
    upstream("chat", b"".join(CHAT[:2]), "--stop", "filter")
    try:
        with gpt().chat.completions.stream(**ASK) as stream:
            finish = stream.get_final_completion().choices[0].finish_reason
    except openai.ContentFilterFinishReasonError:
        finish = "content_filter"
    is_(finish, "content_filter", "chat: the helper reads it too")


def test_stop_messages():
    if anthropic is None:
        skip("anthropic is not installed here")
        return
    bad = []
    for reason, want in (("filter", "refusal"), ("length", "max_tokens")):
        for n in range(len(MESSAGES)):
            upstream("messages", b"".join(MESSAGES[:n]), "--stop", reason)
            message, error = messages()
            expected = want if n < len(MESSAGES) - 1 else "tool_use"
            if error or message.stop_reason != expected:
                bad.append((n, reason, message, error))
    is_(bad, [], "messages: stopped at any event the stop reason says so")
    upstream("messages", MESSAGES[0], "--stop", "error")
    _, error = messages()
    like(str(error), "budget is used up", "messages: an error has the message")


def test_stop_responses():
    bad = []
    for reason, want in (("filter", "content_filter"), ("length", "max_output_tokens")):
        for n in range(len(RESPONSES)):
            upstream("responses", b"".join(RESPONSES[:n]), "--stop", reason)
            got = responses()
            if got[-1].type != "response.incomplete" or \
                    got[-1].response.incomplete_details.reason != want:
                bad.append((n, reason, got))
    is_(bad, [], "responses: stopped at any event the last one says so")


# --- a document where a stream was asked for ---


def test_document_chat():
    answer = {"id": "chatcmpl-7", "object": "chat.completion", "created": 1700000001, "model": "m",
              "choices": [{"index": 0, "finish_reason": "tool_calls", "logprobs": None, "message": {
                  "role": "assistant", "content": "Hello", "refusal": None, "tool_calls": [
                      {"id": "call_1", "type": "function",
                       "function": {"name": "f", "arguments": "{\"a\": 1}"}},
                      {"id": "call_2", "type": "function",
                       "function": {"name": "g", "arguments": "{}"}}]}}],
              "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
    told = upstream("chat", json.dumps(answer).encode(), "--json-to-sse")
    is_((told["prompt"], told["completion"], told["finish"]), (3, 2, "tool_calls"),
        "chat document: usage is read once")
    with gpt().chat.completions.stream(stream_options={"include_usage": True}, **ASK) as stream:
        got = stream.get_final_completion()
    message = got.choices[0].message
    is_((message.content, got.choices[0].finish_reason, got.usage.total_tokens,
         [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls]),
        ("Hello", "tool_calls", 5, [("call_1", "f", "{\"a\": 1}"), ("call_2", "g", "{}")]),
        "chat document: the client ends up with the answer")
    upstream("chat", b"{\"error\":{\"message\":\"no such\",\"type\":\"t\",\"code\":\"c\"}}",
             "--json-to-sse")
    like(str(chat()[2]), "no such", "chat document: an error is raised")


def test_document_messages():
    if anthropic is None:
        skip("anthropic is not installed here")
        return
    answer = dict(MESSAGE_START["message"], stop_reason="tool_use", content=[
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "text", "text": "Hello"},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": [1, "\""]}}])
    upstream("messages", json.dumps(answer).encode(), "--json-to-sse")
    message, error = messages()
    is_(error, None, "messages document: nothing is raised")
    blocks = [b.to_dict() for b in message.content]
    is_([b["type"] for b in blocks], ["thinking", "text", "tool_use"], "messages document: blocks")
    is_((blocks[0]["thinking"], blocks[0]["signature"], blocks[1]["text"], blocks[2]["input"],
         message.stop_reason), ("hm", "sig", "Hello", {"a": [1, "\""]}, "tool_use"),
        "messages document: the client ends up with the answer")


def test_document_responses():
    upstream("responses", json.dumps(WHOLE).encode(), "--json-to-sse")
    with gpt().responses.stream(model="m", input="Hello") as stream:
        types = [e.type for e in stream]
        got = stream.get_final_response()
    is_((got.output_text, got.output[1].arguments, got.usage.total_tokens),
        ("Hello", "{\"a\": 1}", 5), "responses document: the client ends up with the answer")
    ok("response.output_text.delta" in types and
       "response.function_call_arguments.delta" in types,
       "responses document: with deltas on the way") or diag(str(types))


def main():
    for name, test in sorted(globals().items()):
        if name.startswith("test_"):
            test()
    if anthropic is not None:
        older_client(__file__)
    done_testing()


if __name__ == "__main__":
    main()

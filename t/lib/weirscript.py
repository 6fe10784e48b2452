"""A scripted model server that speaks every API, and delivers its answers in many manners.

    up = Upstream(weirscript.serve)
    client.chat.completions.create(..., extra_headers={"X-Manner": "bytes nousage"})

It says TEXT, or calls both tools of CALLS when a request offers tools, and has used USAGE. X-Manner
holds words; text:A,B,C says other pieces, repeat:N says them N times, and an answer travels

    whole events bytes random:SEED split:N   in one write, by event, by byte, at random, in two
    pause step                               with a pause, or between(), between the writes
    linger late                              the body's end, or all of it, does not come
    serial                                   one parallel call after the other, not by turns
    close length                             framed by the connection's end, by Content-Length
    crlf cr comments bom                     other line ends, keep-alives, a byte-order mark

and of how it is wrong:

    cut:N reset:N       ends, or breaks, behind so many bytes of the body
    short:N long:N      Content-Length is less or more than the body by so many bytes
    events:N            ends in order behind so many events
    error:N             an error event behind so many events, then the end
    type:T              another Content-Type
    document stream     a document for a stream, a stream for a document
    fault:N             an error document, of that status's type, whose status is 200
    nousage nullusage   tells no usage, or null
    nodone              chat and completions without [DONE]
    gzip                compressed, though nobody asked
    huge:N              a header of N kilobytes
    interim:STATUS      an interim answer first
    status:N            an error of that status; with until:N only for the first N tries of a client
    header:NAME=VALUE   one more header
"""

import base64
import gzip
import json
import random
import socket
import struct
import time

TEXT = ("Hel", "lo wörld", " \U0001f600 \"\\\n", "end")
CALLS = (("call_a", "get_weather", '{"city": "Zürich", "days": [1, 2]}'),
         ("call_b", "get_time", '{"zone": "}{\\""}'))
USAGE = {"prompt": 100, "cached": 60, "completion": 20, "reasoning": 5}
VECTOR = (0.25, -1.5, 3.0, 0.0)
FAILURE = "the scripted reason"


def between(piece, reply):
    """What a test puts here is called behind each write of the manner "step"."""


def text_of(words):
    text = TEXT
    if "text" in words:
        text = tuple(words["text"].encode("latin-1").decode().split(","))
    return text * int(words.get("repeat") or 1)


def chat_usage():
    return {"prompt_tokens": USAGE["prompt"], "completion_tokens": USAGE["completion"],
            "total_tokens": USAGE["prompt"] + USAGE["completion"],
            "prompt_tokens_details": {"cached_tokens": USAGE["cached"]},
            "completion_tokens_details": {"reasoning_tokens": USAGE["reasoning"]}}


def responses_usage():
    return {"input_tokens": USAGE["prompt"],
            "input_tokens_details": {"cached_tokens": USAGE["cached"], "cache_write_tokens": 0},
            "output_tokens": USAGE["completion"],
            "output_tokens_details": {"reasoning_tokens": USAGE["reasoning"]},
            "total_tokens": USAGE["prompt"] + USAGE["completion"]}


def messages_usage():
    return {"input_tokens": USAGE["prompt"] - USAGE["cached"],
            "cache_read_input_tokens": USAGE["cached"], "cache_creation_input_tokens": 0,
            "output_tokens": USAGE["completion"]}


def halves(text):
    return text[:len(text) // 2], text[len(text) // 2:]


def data(value):
    return b"data: %s\n\n" % json.dumps(value, ensure_ascii=False).encode()


def named(value):
    return b"event: %s\n" % value["type"].encode() + data(value)


def with_usage(value, words, usage):
    """usage as the manner has it: told, null or absent."""
    if "nullusage" in words:
        value["usage"] = None
    elif "nousage" in words:
        value.pop("usage", None)
    else:
        value["usage"] = usage
    return value


# -- chat and completions

def chat_document(asked, words):
    calls = [{"id": i, "type": "function", "function": {"name": n, "arguments": a}}
             for i, n, a in CALLS] if asked.get("tools") else None
    message = {"role": "assistant", "content": None if calls else "".join(text_of(words)),
               "refusal": None}
    if calls:
        message["tool_calls"] = calls
    return with_usage({
        "id": "chatcmpl-7", "object": "chat.completion", "created": 1700000001,
        "model": asked.get("model"), "choices": [
            {"index": 0, "message": message, "logprobs": None,
             "finish_reason": "tool_calls" if calls else "stop"}]}, words, chat_usage())


def chat_deltas(asked, words):
    if not asked.get("tools"):
        return [{"content": piece} for piece in text_of(words)]

    def call(index, **more):
        return {"tool_calls": [{"index": index, **more}]}
    names = [call(k, id=i, type="function", function={"name": n, "arguments": ""})
             for k, (i, n, _) in enumerate(CALLS)]
    first, second = ([call(k, function={"arguments": halves(a)[half]})
                      for k, (_, _, a) in enumerate(CALLS)] for half in (0, 1))
    # The pieces of parallel calls may alternate.
    return [delta for three in zip(names, first, second) for delta in three] \
        if "serial" in words else names + first + second


def chat_events(asked, words):
    ask = (asked.get("stream_options") or {}).get("include_usage")

    def chunk(choices, usage=None):
        out = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1700000001,
               "model": asked.get("model"), "choices": choices}
        if ask and "nousage" not in words:
            out["usage"] = usage
        return data(out)

    def choice(delta, finish=None):
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    out = [chunk(choice({"role": "assistant", "content": ""}))]
    out += [chunk(choice(delta)) for delta in chat_deltas(asked, words)]
    out.append(chunk(choice({}, "tool_calls" if asked.get("tools") else "stop")))
    if ask and "nousage" not in words:
        out.append(chunk([], None if "nullusage" in words else chat_usage()))
    return out + ([] if "nodone" in words else [b"data: [DONE]\n\n"])


def completion_document(asked, words):
    return with_usage({
        "id": "cmpl-7", "object": "text_completion", "created": 1700000001,
        "model": asked.get("model"), "choices": [
            {"index": 0, "text": "".join(text_of(words)), "logprobs": None,
             "finish_reason": "stop"}]},
        words, chat_usage())


def completion_events(asked, words):
    ask = (asked.get("stream_options") or {}).get("include_usage") and "nousage" not in words
    null = {"usage": None} if ask else {}

    def chunk(choices, **more):
        return data({"id": "cmpl-7", "object": "text_completion", "created": 1700000001,
                     "model": asked.get("model"), "choices": choices, **null, **more})
    out = [chunk([{"index": 0, "text": t, "logprobs": None, "finish_reason": None}])
           for t in text_of(words)]
    out.append(chunk([{"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"}]))
    if ask:
        out.append(chunk([], usage=None if "nullusage" in words else chat_usage()))
    return out + ([] if "nodone" in words else [b"data: [DONE]\n\n"])


# -- messages

def message_blocks(asked, words):
    if not asked.get("tools"):
        return [{"type": "text", "text": "".join(text_of(words))}]
    return [{"type": "tool_use", "id": i, "name": n, "input": json.loads(a)} for i, n, a in CALLS]


def message_document(asked, words):
    return with_usage({
        "id": "msg_7", "type": "message", "role": "assistant", "model": asked.get("model"),
        "content": message_blocks(asked, words), "stop_reason": "tool_use" if asked.get("tools")
        else "end_turn", "stop_sequence": None}, words, messages_usage())


def message_events(asked, words):
    start = {"id": "msg_7", "type": "message", "role": "assistant", "model": asked.get("model"),
             "content": [], "stop_reason": None, "stop_sequence": None}
    with_usage(start, words, {**messages_usage(), "output_tokens": 1})
    out = [{"type": "message_start", "message": start}, {"type": "ping"}]
    if asked.get("tools"):
        for k, (i, n, a) in enumerate(CALLS):
            out.append({"type": "content_block_start", "index": k, "content_block": {
                "type": "tool_use", "id": i, "name": n, "input": {}}})
            out += [{"type": "content_block_delta", "index": k, "delta": {
                "type": "input_json_delta", "partial_json": piece}} for piece in halves(a)]
            out.append({"type": "content_block_stop", "index": k})
    else:
        out.append({"type": "content_block_start", "index": 0,
                    "content_block": {"type": "text", "text": ""}})
        out += [{"type": "content_block_delta", "index": 0,
                 "delta": {"type": "text_delta", "text": piece}} for piece in text_of(words)]
        out.append({"type": "content_block_stop", "index": 0})
    out.append(with_usage({"type": "message_delta", "delta": {
        "stop_reason": "tool_use" if asked.get("tools") else "end_turn", "stop_sequence": None}},
        words, {"output_tokens": USAGE["completion"]}))
    return [named(event) for event in out] + [named({"type": "message_stop"})]


# -- responses

def response_items(asked, words):
    if not asked.get("tools"):
        return [{"id": "msg_7", "type": "message", "role": "assistant", "status": "completed",
                 "content": [{"type": "output_text", "text": "".join(text_of(words)),
                              "annotations": [], "logprobs": []}]}]
    return [{"id": "fc_" + i, "type": "function_call", "call_id": i, "name": n, "arguments": a,
             "status": "completed"} for i, n, a in CALLS]


def response_object(asked, status, items, usage):
    return {"id": "resp_7", "object": "response", "created_at": 1700000001, "status": status,
            "error": None, "incomplete_details": None, "instructions": None, "metadata": {},
            "model": asked.get("model"), "output": items, "parallel_tool_calls": True,
            "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0, "usage": usage}


def response_document(asked, words):
    whole = response_object(asked, "completed", response_items(asked, words), None)
    return with_usage(whole, words, responses_usage())


def response_events(asked, words):
    empty = response_object(asked, "in_progress", [], None)
    out = [{"type": "response.created", "response": empty},
           {"type": "response.in_progress", "response": empty}]
    for k, item in enumerate(response_items(asked, words)):
        where = {"output_index": k, "item_id": item["id"]}
        begun = {**item, "status": "in_progress"}
        if item["type"] == "message":
            part = item["content"][0]
            inside = {**where, "content_index": 0}
            out += [{"type": "response.output_item.added", "output_index": k,
                     "item": {**begun, "content": []}},
                    {"type": "response.content_part.added", **inside, "part": {**part, "text": ""}}]
            out += [{"type": "response.output_text.delta", **inside, "delta": piece, "logprobs": []}
                    for piece in text_of(words)]
            out += [{"type": "response.output_text.done", **inside, "text": part["text"],
                     "logprobs": []},
                    {"type": "response.content_part.done", **inside, "part": part}]
        else:
            out.append({"type": "response.output_item.added", "output_index": k,
                        "item": {**begun, "arguments": ""}})
            out += [{"type": "response.function_call_arguments.delta", **where, "delta": piece}
                    for piece in halves(item["arguments"])]
            out.append({"type": "response.function_call_arguments.done", **where,
                        "name": item["name"], "arguments": item["arguments"]})
        out.append({"type": "response.output_item.done", "output_index": k, "item": item})
    out.append({"type": "response.completed", "response": response_document(asked, words)})
    for number, event in enumerate(out):
        event["sequence_number"] = number
    return [named(event) for event in out]


# -- calls without streams

def embeddings_document(asked, _):
    given = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    vector = list(VECTOR)
    if asked.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack("<%df" % len(VECTOR), *VECTOR)).decode()
    return {"object": "list", "model": asked.get("model"),
            "data": [{"object": "embedding", "index": k, "embedding": vector}
                     for k in range(len(given))],
            "usage": {"prompt_tokens": USAGE["prompt"], "total_tokens": USAGE["prompt"]}}


def moderation_document(_, __):
    names = ("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit",
             "illicit/violent", "self-harm", "self-harm/intent", "self-harm/instructions", "sexual",
             "sexual/minors", "violence", "violence/graphic")
    return {"id": "modr-7", "model": "m", "results": [{
        "flagged": False, "categories": dict.fromkeys(names, False),
        "category_scores": dict.fromkeys(names, 0.0),
        "category_applied_input_types": {name: ["text"] for name in names}}]}


def models_document(_, __):
    """What both clients can read."""
    return {"object": "list", "has_more": False, "first_id": "tiny", "last_id": "org/large",
            "data": [{"id": name, "object": "model", "created": 1700000001, "owned_by": "us",
                      "type": "model", "display_name": name, "created_at": "2026-01-01T00:00:00Z"}
                     for name in ("tiny", "org/large")]}


DOCUMENTS = {
    "/v1/chat/completions": chat_document, "/v1/completions": completion_document,
    "/v1/messages": message_document, "/v1/responses": response_document,
    "/v1/embeddings": embeddings_document, "/v1/moderations": moderation_document,
    "/v1/models": models_document,
    "/v1/messages/count_tokens": lambda asked, words: {"input_tokens": USAGE["prompt"]},
    "/v1/responses/input_tokens": lambda asked, words: {
        "object": "response.input_tokens", "input_tokens": USAGE["prompt"]}}
EVENTS = {"/v1/chat/completions": chat_events, "/v1/completions": completion_events,
          "/v1/messages": message_events, "/v1/responses": response_events}


def error_document(path, status):
    kind = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
            404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error",
            504: "timeout_error", 529: "overloaded_error"}.get(status, "api_error")
    if path.startswith("/v1/messages"):
        return {"type": "error", "error": {"type": kind, "message": FAILURE}}
    return {"error": {"message": FAILURE, "type": kind, "param": None, "code": "scripted"}}


def error_event(path):
    error = error_document(path, 529)
    if path == "/v1/responses":
        return named({"type": "error", "code": "server_error", "message": FAILURE, "param": None,
                      "sequence_number": 99})
    return named(error) if path == "/v1/messages" else data(error)


# -- how it travels

def rewrite(body, words):
    """The body with other line ends and what may stand between events."""
    if "comments" in words:
        body = b": hi\n\n" + body.replace(b"\n\n", b"\n\n: keep-alive\n\n:\n\n")
    if "crlf" in words:
        body = body.replace(b"\n", b"\r\n")
    if "cr" in words:
        body = body.replace(b"\n", b"\r")
    return (b"\xef\xbb\xbf" if "bom" in words else b"") + body


def pieces(body, words):
    if "bytes" in words:
        return [body[i:i + 1] for i in range(len(body))]
    if "events" in words:
        end = b"\r\n\r\n" if "crlf" in words else b"\r\r" if "cr" in words else b"\n\n"
        parts = body.split(end)
        return [part + end for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
    if "split" in words:
        return [p for p in (body[:int(words["split"])], body[int(words["split"]):]) if p]
    if "random" in words:
        chance = random.Random(int(words["random"]))
        out = []
        while body:
            n = chance.randint(1, 60)
            out.append(body[:n])
            body = body[n:]
        return out
    return [body] if body else []


def travel(reply, kind, body, words, framing):
    """Sends a body of that type; framing: chunked, close or a Content-Length."""
    cut = int(words.get("cut") or words.get("reset") or len(body))
    headers = {"Content-Type": kind, "X-Request-Id": "upstreams-own"}
    if "gzip" in words:
        body = gzip.compress(body)
        headers["Content-Encoding"] = "gzip"
    if "huge" in words:
        headers["X-Large"] = "x" * (1024 * int(words["huge"]))
    if "header" in words:
        name, _, value = words["header"].partition("=")
        headers[name] = value
    if "interim" in words:
        reply.raw(b"HTTP/1.1 %s Interim\r\nX-Early: yes\r\n\r\n" % words["interim"].encode())
    if framing == "length":
        length = len(body) - int(words.get("short", 0)) + int(words.get("long", 0))
        reply.raw(reply._head(200, headers, **{"Content-Length": str(length)}))
        reply.keep = not ("short" in words or "long" in words)
    else:
        reply.begin(200, headers, chunked=framing == "chunked")
    if "late" in words:
        reply.wait_closed(20)
    for piece in pieces(body[:cut], words):
        reply.piece(piece)
        if "pause" in words:
            time.sleep(0.0005)
        if "step" in words:
            between(piece, reply)
    if "reset" in words:
        # What the other side has not read yet would be lost with a reset.
        time.sleep(0.02)
        reply.abort()
    elif "cut" in words:
        reply.keep = False
        reply.sock.shutdown(socket.SHUT_RDWR)
    elif "linger" in words:
        reply.wait_closed(20)
    elif framing == "chunked":
        reply.end()


def serve(received, reply):
    """The handler of an Upstream."""
    words = {word.partition(":")[0]: word.partition(":")[2]
             for word in received.headers.get("x-manner", "whole").split()}
    path = received.path.partition("?")[0]
    tried = int(received.headers.get("x-stainless-retry-count", 0))
    if "status" in words and tried < int(words.get("until") or 100):
        more = dict([words["header"].split("=", 1)]) if "header" in words else {}
        reply.json(int(words["status"]), error_document(path, int(words["status"])), more)
        return
    if path not in DOCUMENTS and not path.startswith("/v1/models/"):
        reply.json(404, error_document(path, 404))
        return
    asked = received.json() if received.body else {}
    streams = path in EVENTS and bool(asked.get("stream")) and "fault" not in words
    if "stream" in words or (streams and "document" not in words):
        events = EVENTS[path](asked, words)
        if words.get("events"):
            events = events[:int(words["events"])]
        if "error" in words:
            events = events[:int(words["error"])] + [error_event(path)]
        kind, body = "text/event-stream", rewrite(b"".join(events), words)
        framing = "chunked"
    else:
        make = DOCUMENTS.get(path, lambda *_: models_document(None, None)["data"][1])
        kind = "application/json"
        value = error_document(path, int(words["fault"])) if "fault" in words \
            else make(asked, words)
        body = json.dumps(value, ensure_ascii=False).encode()
        framing = "length"
    if "close" in words:
        framing = "close"
    elif "length" in words or "short" in words or "long" in words:
        framing = "length"
    elif "chunked" in words or "bytes" in words:
        framing = "chunked"
    travel(reply, words.get("type") or kind, body, words, framing)

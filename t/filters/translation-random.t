#!/usr/bin/env python3
"""Protocol translation on random input made from the official clients' types.

Requests: any request that the types allow is either refused with a reason, or becomes a body that
fits the other API's types. Streams: text, reasoning and parallel tool calls whose pieces are
interleaved at random arrive as the same text, reasoning and calls."""

import json
import os
import subprocess
import sys
import tempfile
import typing

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from weirclients import program  # noqa: E402
from weirtap import diag, done_testing, is_, ok, seeded_random, skip_all  # noqa: E402

PROGRAM = program("translate")

try:
    import pydantic
    import typing_extensions
    from anthropic.types import message_create_params
    from openai.types.chat import completion_create_params
    from openai.types.responses import response_create_params
except ImportError as e:
    skip_all("the official clients are not installed: %s" % e)

RANDOM = seeded_random()
REQUESTS = 250
STREAMS = 60

TYPES = {
    "messages": message_create_params.MessageCreateParamsNonStreaming,
    "chat": completion_create_params.CompletionCreateParamsNonStreaming,
    "responses": response_create_params.ResponseCreateParamsNonStreaming,
}


def run(args, data):
    done = subprocess.run([PROGRAM] + args, input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)
    return done.returncode, done.stdout, done.stderr


# --- requests ---

WORDS = ["", "a", "Hello", "é \U0001f600", "x\ny", "\"\\", "data:image/png;base64,QQ==",
         "https://example.test/i.png", "{}", '{"a": 1}']
# What is refused would hide all the rest: it is rare.
RARE = 0.02

# Blocks that an Anthropic message of a role may hold.
BLOCKS = {"user": ("text", "image", "document", "search_result", "tool_result"),
          "assistant": ("text", "thinking", "redacted_thinking", "tool_use"), "system": ("text",)}


def refused_names(client, upstream):
    out = run(["rows"], b"")[1].decode()
    rows = [line.split("\t") for line in out.splitlines()]
    return {r[4].rstrip("*") for r in rows
            if r[:3] == [client, upstream, "request"] and r[5] == "refused"}


def literals(t):
    out = []
    for name in ("type", "role"):
        kind = typing.get_type_hints(t, include_extras=True).get(name)
        while kind is not None and typing.get_origin(kind) is not typing.Literal:
            inner = typing.get_args(kind)
            kind = inner[0] if inner else None
        if kind is not None:
            out += typing.get_args(kind)
    return out


class Maker:
    """Makes a value of a type."""

    def __init__(self, client, upstream, likely):
        self.client = client
        self.refused = refused_names(client, upstream)
        self.likely = likely  # how often an optional member is there
        self.role = None

    def is_refused(self, name):
        return any(name == r or (len(r) > 4 and name.startswith(r)) for r in self.refused)

    def suits(self, t):
        """Whether a member of a union is likely to be translated."""
        if not typing_extensions.is_typeddict(t):
            return True
        kinds = literals(t)
        if self.client == "messages" and self.role in BLOCKS and kinds and "Block" in t.__name__:
            return kinds[0] in BLOCKS[self.role]
        return not any(self.is_refused(k) for k in kinds)

    def value(self, t, depth, name=""):
        while True:
            if typing.get_origin(t) in (typing_extensions.Required, typing_extensions.NotRequired):
                t = typing.get_args(t)[0]
            elif hasattr(t, "__metadata__"):
                t = typing.get_args(t)[0]
            else:
                break
        if typing_extensions.is_typeddict(t):
            return self.object(t, depth)
        origin = typing.get_origin(t)
        if origin is typing.Literal:
            options = typing.get_args(t)
            good = [o for o in options if o not in ("audio", "custom", "function")]
            return RANDOM.choice(good or options)
        if origin is typing.Union:
            options = [a for a in typing.get_args(t) if a is not type(None)]
            good = [a for a in options if self.suits(a)]
            if good and RANDOM.random() > RARE:
                options = good
            return self.value(RANDOM.choice(options), depth, name)
        if origin is dict or t is dict:
            return {"k": "v"} if RANDOM.random() < 0.5 else {}
        if origin is not None:  # lists and iterables
            inner = typing.get_args(t)[0]
            return [self.value(inner, depth + 1, name)
                    for _ in range(RANDOM.randint(0, 3 if depth < 3 else 1))]
        return self.scalar(t, name)

    def scalar(self, t, name):
        if t is str or t is object:
            return RANDOM.choice({"arguments": ["{}", '{"a": 1.50}', ""],
                                  "url": ["https://example.test/i.png",
                                          "data:image/png;base64,QQ=="],
                                  "file_data": ["data:application/pdf;base64,UA=="]}
                                 .get(name, WORDS))
        if t is int:
            return 1 if name == "n" else RANDOM.choice([1, 2, 1000])
        if t is float:
            return RANDOM.choice([0.0, 0.5, 1.0])
        if t is bool:
            return name != "store" and RANDOM.random() < 0.5
        return "x"

    def object(self, t, depth):
        out = {}
        before = self.role
        hints = typing.get_type_hints(t, include_extras=True)
        if "role" in hints and literals(t):
            self.role = RANDOM.choice(literals(t))
            if "type" in hints:
                self.role = None
        for name, kind in hints.items():
            # The keys that the class itself knows are wrong: its annotations are strings.
            required = name == "input" and depth == 0 or (
                typing.get_origin(kind) is typing_extensions.Required)
            wanted = depth < 8 and RANDOM.random() < self.likely and (
                not self.is_refused(name) or RANDOM.random() < RARE)
            if required or wanted:
                out[name] = self.value(kind, depth + 1, name)
        if self.role is not None and "role" in out:
            out["role"] = self.role
        self.role = before
        return out


def check_requests(client, upstream):
    adapter = pydantic.TypeAdapter(TYPES[upstream])
    translated = 0
    refusals = set()
    problems = []
    makers = [Maker(client, upstream, likely) for likely in (0.05, 0.2, 0.5)]
    for _ in range(REQUESTS):
        request = RANDOM.choice(makers).object(TYPES[client], 0)
        request["model"] = "m"
        rc, out, err = run(["request", client, upstream], json.dumps(request).encode())
        if rc != 0:
            problems.append("the program failed (%d): %s: %s" % (rc, err.decode(), request))
            continue
        result = json.loads(out)
        if result["status"] == "ok":
            translated += 1
            body = {k: v for k, v in result["body"].items() if k != "stream"}
            try:
                adapter.validate_python(body)
            except pydantic.ValidationError as e:
                problems.append("%s from %s" % (e.errors()[:2], request))
        else:
            refusals.add(result["message"])
            if os.environ.get("WEIR_SHOW"):
                diag(result["message"])
            if not result["field"] or not result["message"] or not result["code"]:
                problems.append("no reason: %s" % result)
    if not ok(not problems, "%s requests for %s: %d fit the types, %d different refusals"
              % (client, upstream, translated, len(refusals))):
        for line in problems[:5]:
            diag("  " + line[:1500])
    ok(translated > 20, "%s: enough of them are translated" % client)


# --- streams ---


def pieces(text):
    """The text cut at random places."""
    out = []
    while text:
        n = RANDOM.randint(1, 12)
        out.append(text[:n])
        text = text[n:]
    return out


def plan():
    """A reasoning text, a text and some calls with their arguments."""
    words = ["one ", "é", "\U0001f600", "\"q\"", "\\", "\n", "{", "}", "[1]", "\u2028"]
    text = "".join(RANDOM.choice(words) for _ in range(RANDOM.randint(0, 8)))
    reasoning = "".join(RANDOM.choice(words) for _ in range(RANDOM.randint(0, 4)))
    calls = [("call_%d" % i, "f%d" % i,
              {"k%d" % k: RANDOM.choice([1, "}{\"\\", ["a", {"b": None}], 1.5])
               for k in range(RANDOM.randint(0, 3))})
             for i in range(RANDOM.randint(0, 4))]
    return reasoning, text, calls


def mixed(lists):
    """The lists' elements, each list in its order, mixed at random."""
    lists = [list(x) for x in lists if x]
    out = []
    while lists:
        one = RANDOM.choice(lists)
        out.append(one.pop(0))
        lists = [x for x in lists if x]
    return out


def chat_stream(reasoning, text, calls):
    deltas = [{"reasoning_content": p} for p in pieces(reasoning)]
    deltas += [{"content": p} for p in pieces(text)]
    per_call = []
    for i, (call_id, name, arguments) in enumerate(calls):
        first = {"index": i, "id": call_id, "type": "function",
                 "function": {"name": name, "arguments": ""}}
        per_call.append([first] + [{"index": i, "function": {"arguments": p}}
                                   for p in pieces(json.dumps(arguments))])
    deltas += [{"tool_calls": [c]} for c in mixed(per_call)]
    chunks = [{"id": "chatcmpl-1", "model": "m", "choices": [{"index": 0, "delta": d}]}
              for d in deltas]
    chunks.append({"id": "chatcmpl-1", "model": "m", "choices": [
        {"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}]})
    return b"".join(b"data: %s\n\n" % json.dumps(c).encode() for c in chunks) + b"data: [DONE]\n\n"


def events(out):
    return [json.loads(line[6:]) for line in out.decode().split("\n")
            if line.startswith("data: {")]


def read_messages(out):
    """What an Anthropic client makes of the events; the order is checked."""
    blocks = []
    is_open = False
    for e in events(out):
        if e["type"] == "content_block_start":
            assert not is_open and e["index"] == len(blocks), e
            is_open = True
            blocks.append(dict(e["content_block"], json=""))
        elif e["type"] == "content_block_delta":
            assert is_open and e["index"] == len(blocks) - 1, e
            delta = e["delta"]
            key = {"text_delta": "text", "thinking_delta": "thinking",
                   "input_json_delta": "json"}[delta["type"]]
            blocks[-1][key] += delta["partial_json" if key == "json" else key]
        elif e["type"] == "content_block_stop":
            assert is_open, e
            is_open = False
    assert out.endswith(b'{"type":"message_stop"}\n\n'), out[-200:]
    return ("".join(b.get("thinking", "") for b in blocks),
            "".join(b.get("text", "") for b in blocks),
            [(b["id"], b["name"], json.loads(b["json"])) for b in blocks
             if b["type"] == "tool_use"])


def read_responses(out):
    last = events(out)[-1]
    assert last["type"] == "response.completed", last["type"]
    items = last["response"]["output"]
    deltas = "".join(e["delta"] for e in events(out) if e["type"] == "response.output_text.delta")
    text = "".join(p["text"] for i in items if i["type"] == "message" for p in i["content"])
    assert deltas == text
    return ("".join(p["text"] for i in items if i["type"] == "reasoning" for p in i["content"]),
            text, [(i["call_id"], i["name"], json.loads(i["arguments"])) for i in items
                   if i["type"] == "function_call"])


def anthropic_stream(reasoning, text, calls):
    out = [{"type": "message_start", "message": {
        "id": "msg_1", "model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}}]
    blocks = []
    if reasoning:
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""},
                       [{"type": "thinking_delta", "thinking": p} for p in pieces(reasoning)]))
    if text:
        blocks.append(({"type": "text", "text": ""},
                       [{"type": "text_delta", "text": p} for p in pieces(text)]))
    for call_id, name, arguments in calls:
        parts = [{"type": "input_json_delta", "partial_json": p}
                 for p in pieces(json.dumps(arguments))] if arguments else []
        blocks.append(({"type": "tool_use", "id": call_id, "name": name, "input": {}}, parts))
    per_block = []
    for i, (start, deltas) in enumerate(blocks):
        per_block.append([{"type": "content_block_start", "index": i, "content_block": start}] +
                         [{"type": "content_block_delta", "index": i, "delta": d} for d in deltas] +
                         [{"type": "content_block_stop", "index": i}])
    # Blocks in order, or mixed: the index tells.
    out += mixed(per_block) if RANDOM.random() < 0.5 else [e for b in per_block for e in b]
    out += [{"type": "message_delta", "delta": {"stop_reason": "end_turn"},
             "usage": {"output_tokens": 2}}, {"type": "message_stop"}]
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode())
                    for e in out)


def read_chat(out):
    reasoning = text = ""
    calls = {}
    for c in events(out):
        for choice in c["choices"]:
            delta = choice["delta"]
            reasoning += delta.get("reasoning_content", "")
            text += delta.get("content", "")
            for d in delta.get("tool_calls", []):
                call = calls.setdefault(d["index"], ["", "", ""])
                call[0] += d.get("id", "")
                call[1] += d["function"].get("name", "")
                call[2] += d["function"]["arguments"]
    assert out.endswith(b"data: [DONE]\n\n"), out[-200:]
    return reasoning, text, [(c[0], c[1], json.loads(c[2])) for c in calls.values()]


def check_streams(client, upstream, request, write, read):
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "request.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(dict(request, stream=True), f)
        for _ in range(STREAMS):
            want = plan()
            body = write(*want)
            rc, out, err = run(["answer", client, upstream, path, "--piece",
                                str(RANDOM.choice([1, 7, 100, 100000]))], body)
            try:
                got = read(out)
            except (AssertionError, KeyError, ValueError) as e:
                problems.append("%r: %s" % (e, body.decode()))
                continue
            if rc != 0 or (got[0], got[1], sorted(got[2])) != (want[0], want[1], sorted(want[2])):
                problems.append("got %s, want %s%s" % (got, want, err.decode()))
    if not ok(not problems, "%s streams for %s: texts and calls arrive whole" % (upstream, client)):
        for line in problems[:3]:
            diag("  " + line[:3000])
    is_(len(problems), 0, "%d streams" % STREAMS)


def main():
    check_requests("messages", "chat")
    check_requests("chat", "messages")
    check_requests("responses", "chat")
    hello = [{"role": "user", "content": "x"}]
    check_streams("messages", "chat", {"model": "m", "max_tokens": 1, "messages": hello},
                  chat_stream, read_messages)
    check_streams("responses", "chat", {"model": "m", "input": "x"}, chat_stream, read_responses)
    check_streams("chat", "messages", {"model": "m", "messages": hello}, anthropic_stream,
                  read_chat)
    done_testing()


if __name__ == "__main__":
    main()

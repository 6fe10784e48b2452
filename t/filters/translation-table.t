#!/usr/bin/env python3
"""The table of protocol translation: every member and event that the official clients know has a
row, and docs/translation.md is what the table says. The clients' types are read by introspection: a
new version with a new member fails here."""

import os
import subprocess
import sys
import typing

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from weirclients import older_client, program  # noqa: E402
from weirnginx import ROOT  # noqa: E402
from weirtap import diag, done_testing, is_, ok, skip_all  # noqa: E402

PROGRAM = program("translate")

try:
    import openai
    import openai.types.chat
    import openai.types.responses
    import pydantic
    import typing_extensions
    from openai.types.chat import completion_create_params
    from openai.types.responses import response_create_params
except ImportError as e:
    skip_all("the official clients are not installed: %s" % e)

try:
    import anthropic.types
    from anthropic.types import message_count_tokens_params, message_create_params
except ImportError:
    anthropic = None  # the environment with the older openai has openai only


class Table:
    """The rows that the library prints, by (client, upstream, part)."""

    def __init__(self):
        self.rows = {}
        out = subprocess.run([PROGRAM, "rows"], check=True, stdout=subprocess.PIPE).stdout.decode()
        for line in out.splitlines():
            client, upstream, part, obj, name, fate = line.split("\t")
            self.rows.setdefault((client, upstream, part), {}).setdefault(obj, {})[name] = fate

    def part(self, client, upstream, part):
        return self.rows[(client, upstream, part)]


def bare(t):
    """The type without Required, Annotated and the like."""
    while True:
        if typing.get_origin(t) in (typing_extensions.Required, typing_extensions.NotRequired):
            t = typing.get_args(t)[0]
        elif hasattr(t, "__metadata__"):
            t = typing.get_args(t)[0]
        else:
            return t


def objects(t):
    """The TypedDicts in a type."""
    t = bare(t)
    if typing_extensions.is_typeddict(t):
        yield t
        return
    for a in typing.get_args(t):
        if not isinstance(a, (str, int, bool, type(None))):
            yield from objects(a)


def members(t):
    return typing.get_type_hints(t, include_extras=True)


def literals(t):
    """The strings of a Literal, through Optional and Required."""
    t = bare(t)
    if typing.get_origin(t) is typing.Literal:
        return [a for a in typing.get_args(t) if isinstance(a, str)]
    found = []
    for a in typing.get_args(t):
        if not isinstance(a, (str, int, bool, type(None))):
            found += literals(a)
    return found


def kinds(t):
    """What tells this object from others of a union: its type or role."""
    hints = members(t)
    for key in ("type", "role"):
        if key in hints:
            return literals(hints[key])
    return []


def row(rows, name):
    if name in rows:
        return rows[name]
    for pattern, fate in rows.items():
        if pattern.endswith("*") and name.startswith(pattern[:-1]):
            return fate
    return None


GOES_ON = ("mapped", "approximated")

# Members that hold the same blocks or parts as content.
SAME_AS_CONTENT = ("system", "output")


class Walk:
    """Follows the clients' types and the table together. An object's rows are those named by the
    path of members that leads to it, or the end of that path ("content.text")."""

    def __init__(self, rows):
        self.rows = rows
        self.missing = []
        self.seen = set()
        self.used = set()
        self.members = 0

    def find(self, paths):
        for path in paths:
            if path in self.rows:
                return path
        return None

    def need(self, obj, name, where):
        self.members += 1
        self.used.add((obj, name))
        fate = row(self.rows[obj], name)
        if fate is None:
            self.missing.append("%s: no row %s in %s" % (where, name, obj))
        return fate

    def visit(self, t, obj, where):
        if (t, obj) in self.seen:
            return
        self.seen.add((t, obj))
        for name, kind in members(t).items():
            fate = self.need(obj, name, where)
            if fate in GOES_ON:
                self.below(kind, name, obj, where + "." + name)

    def below(self, kind, name, obj, where):
        inner = list(objects(kind))
        if not inner:
            return
        base = self.find([obj + "." + name, "content" if name in SAME_AS_CONTENT else name])
        if base is not None and "*" in self.rows[base]:
            return
        for t in inner:
            found = kinds(t)
            if base is not None and found and self.is_union(base, found):
                self.union(t, base, found, where)
                continue
            if base is None:
                self.missing.append("%s: no rows for %s" % (where, t.__name__))
            else:
                self.visit(t, base, where)

    def is_union(self, base, found):
        return any(row(self.rows[base], k) is not None for k in found) or \
            "type" not in self.rows[base] and "role" not in self.rows[base]

    def union(self, t, base, found, where):
        for kind in found:
            fate = self.need(base, kind, where)
            if fate not in GOES_ON:
                continue
            target = self.find([base + "." + kind, base + ".*"])
            if target is None:
                self.missing.append("%s: no rows for %s (%s)" % (where, t.__name__, kind))
            else:
                self.visit(t, target, where + "[" + kind + "]")


def check_request(table, client, upstream, types, name):
    walk = Walk(table.part(client, upstream, "request"))
    for t in types:
        for inner in objects(t):
            walk.visit(inner, "request", inner.__name__)
    if not ok(not walk.missing, "%s: every member has a row (%d looked up)"
              % (name, walk.members)):
        for line in sorted(set(walk.missing))[:60]:
            diag("  " + line)
    ok(walk.members > 100, "%s: the types were followed" % name)


def models(t):
    t = bare(t)
    if isinstance(t, type) and issubclass(t, pydantic.BaseModel):
        yield t
        return
    for a in typing.get_args(t):
        if not isinstance(a, (str, int, bool, type(None))):
            yield from models(a)


def check_model(rows, obj, model, name, but=()):
    absent = [f for f in model.model_fields if f not in but and row(rows[obj], f) is None]
    is_(absent, [], "%s: every member of %s has a row" % (name, model.__name__))


def check_kinds(rows, obj, union, name):
    absent = []
    count = 0
    for model in models(union):
        for kind in literals(model.model_fields["type"].annotation):
            count += 1
            if row(rows[obj], kind) is None:
                absent.append(kind)
    is_(absent, [], "%s: every kind has a row in %s" % (name, obj))
    ok(count > 3, "%s: %d kinds were found" % (name, count))


def check_chat_answers(table, client):
    """What a chat upstream sends, for a client of another API."""
    chat = openai.types.chat
    rows = table.part(client, "chat", "answer")
    name = "chat answers for %s" % client
    check_model(rows, "answer", chat.ChatCompletion, name)
    check_model(rows, "answer.choices", chat.chat_completion.Choice, name)
    check_model(rows, "answer.choices.message", chat.ChatCompletionMessage, name)
    check_model(rows, "chunk", chat.ChatCompletionChunk, name)
    check_model(rows, "chunk.choices", chat.chat_completion_chunk.Choice, name)
    check_model(rows, "chunk.choices.delta", chat.chat_completion_chunk.ChoiceDelta, name)


def check_messages_answers(table):
    types = anthropic.types
    rows = table.part("chat", "messages", "answer")
    name = "messages answers for chat"
    check_model(rows, "answer", types.Message, name)
    check_model(rows, "answer.content.text", types.TextBlock, name)
    check_model(rows, "answer.content.*", types.ThinkingBlock, name)
    check_model(rows, "answer.content.*", types.RedactedThinkingBlock, name)
    check_model(rows, "answer.content.tool_use", types.ToolUseBlock, name)
    check_kinds(rows, "answer.content", types.ContentBlock, name)
    check_kinds(rows, "event", types.RawMessageStreamEvent, name)
    check_kinds(rows, "event.content_block_delta.delta", types.RawContentBlockDelta, name)


def check_responses_events(page):
    """Events that a responses client may get are listed on the page, written or not."""
    absent = []
    for model in models(openai.types.responses.ResponseStreamEvent):
        for kind in literals(model.model_fields["type"].annotation):
            if "`%s`" % kind not in page:
                absent.append(kind)
    is_(absent, [], "the page names every event of the responses API")


def check_page(page):
    begin = "<!-- table: build/t/bin/translate pages -->\n"
    want = subprocess.run([PROGRAM, "pages"], check=True, stdout=subprocess.PIPE).stdout.decode()
    ok(begin in page, "docs/translation.md says where the table begins")
    got = page.split(begin, 1)[-1].strip()
    if not ok(got == want.strip(), "docs/translation.md holds the table that the library has"):
        diag("  the part behind the mark differs from: build/t/bin/translate pages")


def check_openai(table):
    check_request(table, "chat", "messages",
                  [completion_create_params.CompletionCreateParamsNonStreaming], "chat requests")
    check_request(table, "responses", "chat",
                  [response_create_params.ResponseCreateParamsNonStreaming], "responses requests")
    check_chat_answers(table, "messages")
    check_chat_answers(table, "responses")


def main():
    table = Table()
    with open(os.path.join(ROOT, "docs", "translation.md"), encoding="utf-8") as f:
        page = f.read()
    check_openai(table)
    check_responses_events(page)
    if anthropic is not None:
        check_request(table, "messages", "chat",
                      [message_create_params.MessageCreateParamsNonStreaming,
                       message_count_tokens_params.MessageCountTokensParams],
                      "messages requests")
        check_messages_answers(table)
        check_page(page)
        older_client(__file__)
    done_testing()


if __name__ == "__main__":
    main()

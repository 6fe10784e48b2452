#!/usr/bin/env python3
"""How long a turn of the gateway's event loop takes at most, in milliseconds of the worker's own
processor time, while large bodies are guarded; beside each the same body through NGINX alone.

    t/bench/stall_bench.py [--repeat N] [--only WORD] [--turns] [--write]

One worker; turns are those from one epoll_wait() to the next (t/bench/loop_turns.c). Time of a
thread does not run while others have its processor, but what they do to caches remains: so each
body is sent to a gateway of its own --repeat times, and a row has the median and the most of the
longest turns. --turns lists the longest ones; --write puts the table into docs/benchmarks/stalls.md."""

import argparse
import glob
import json
import os
import random
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "t", "lib"))
sys.path.insert(0, HERE)

from gateway_bench import machine  # noqa: E402
from weirgateway import Gateway, bearer, chunk, completion  # noqa: E402
from weirnginx import Upstream  # noqa: E402

PAGE = os.path.join(ROOT, "docs", "benchmarks", "stalls.md")
MODULES = ("core", "auth", "metrics", "client", "guard")
MB = 1 << 20
BAR = 2.0  # milliseconds
HTTP = "weir_guards @dir@/guards.json; client_max_body_size 20m; client_body_buffer_size 256k;"
SERVER = """
    location /plain/ { weir off; proxy_pass http://engine/; proxy_http_version 1.1;
                       proxy_set_header Connection ""; proxy_buffering off; }
    location = /v1/guard/scan { weir_guard_endpoint; }
    location /to/ { weir_api_prefix /to; weir_upstream_api openai; proxy_pass http://engine/;
                    include @root@/config/weir-proxy.conf; }
"""
CLASSES = {"injection": {"action": "flag"}, "toxicity": {"action": "flag"}}
POLICIES = {
    "redact": {"entities": {"*": "redact"}, "secrets": "redact"},
    "names": {"entities": {"*": {"input": "placeholder", "output": "redact"}}},
    "restore": {"entities": {"EMAIL_ADDRESS": {"input": "placeholder", "output": "allow"}}},
    "allows": {"entities": {"*": "redact"}, "allow": {"patterns": ["^nobody@.*"]},
               "classifiers": CLASSES},
    "explain": {"entities": {"*": "flag"}, "secrets": "flag", "explain": True},
    "shadow": {"entities": {"*": "redact"}, "secrets": "redact", "shadow": True},
    "window": {"entities": {"*": "redact"}, "classifiers": CLASSES,
               "streaming": {"mode": "window", "window": 512}},
    "buffer": {"entities": {"*": "redact"}, "secrets": "redact", "classifiers": CLASSES,
               "streaming": {"mode": "buffer", "max_held": 8 * MB}},
}


def prose(size):
    rng = random.Random(7)
    words = ("the of and to in a is that for it as was with be by on not he his but at are this have "
             "government information school America Monday because another different").split()
    return " ".join(rng.choice(words) for _ in range(size // 2))[:size]


def dense(size):
    """An entity every 35 bytes."""
    rng = random.Random(5)
    out, length = [], 0
    while length < size:
        out.append("Write to person%d@example.org or call +1 212 555 %04d about it today. "
                   % (rng.randrange(30000), rng.randrange(10000)))
        length += len(out[-1])
    return "".join(out)[:size]


def chat(text, **more):
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def many(size):
    """As many values as the core takes, in a body of the size."""
    return chat([{"type": "text", "text": "x" * (size // 100000 - 30)} for _ in range(100000)])


def deep(size):
    """Objects in objects, as far as the core takes them, in many tool calls."""
    inner = "person1@example.org"
    for _ in range(50):
        inner = {"a": [inner]} if _ % 2 else {"b": inner}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": json.dumps(inner)}}
    count = size // len(json.dumps(call))
    return {"model": "m", "messages": [{"role": "user", "content": "x"},
                                       {"role": "assistant", "content": None, "tool_calls": [call] * count}]}


PROSE, DENSE = prose(8 * MB), dense(8 * MB)
CHAT = "/v1/chat/completions"
CASES = [  # name, policy, path, body
    ("prose, 8 MB, redact", "redact", CHAT, lambda: chat(PROSE)),
    ("dense, 8 MB, redact", "redact", CHAT, lambda: chat(DENSE)),
    ("dense, 8 MB, placeholders", "names", CHAT, lambda: chat(DENSE)),
    ("dense, 8 MB, explained", "explain", CHAT, lambda: chat(DENSE)),
    ("dense, 5 MB, classifiers and an allow-list", "allows", CHAT, lambda: chat(DENSE[:5 * MB])),
    ("500,000 values, 8 MB", "redact", CHAT, lambda: many(8 * MB)),
    ("100,000 messages, 5 MB", "redact", CHAT,
     lambda: {"model": "m", "messages": [{"role": "user", "content": "hi"}] * 100000}),
    ("arguments of tools, 50 levels deep, 4 MB", "redact", CHAT, lambda: deep(4 * MB)),
    ("the arguments of one tool, 4 MB", "redact", CHAT,
     lambda: {"model": "m", "messages": [{"role": "user", "content": "x"}, {
         "role": "assistant", "content": None, "tool_calls": [{
             "id": "c", "type": "function", "function": {
                 "name": "f", "arguments": json.dumps({"a": DENSE[:4 * MB]})}}]}]}),
    ("2,048 inputs of an embedding, 8 MB", "redact", "/v1/embeddings",
     lambda: {"model": "m", "input": [DENSE[i * 4000:][:4000] for i in range(2048)]}),
    ("dense, 8 MB, an unknown path", "redact", "/v1/some/path", lambda: {"a": [DENSE]}),
    ("dense, 8 MB, Anthropic's API before OpenAI's", "redact", "/to/v1/messages",
     lambda: {**chat(DENSE), "max_tokens": 9}),
    ("dense, 8 MB, to `/v1/guard/scan`", "redact", "/v1/guard/scan", lambda: {"text": DENSE}),
    ("dense, 16 KB, in the event loop", "allows", CHAT, lambda: chat(DENSE[:16000])),
    ("ten such at once", "allows", CHAT, lambda: [chat(DENSE[:16000])] * 10),
    ("a whole answer of 100 KB, dense", "redact", CHAT, lambda: chat("answer 100000")),
    ("a whole answer of 900 KB, dense", "redact", CHAT, lambda: chat("answer 900000")),
    ("a whole answer of 900 KB, in shadow", "shadow", CHAT, lambda: chat("answer 900000")),
    ("a whole answer of 8 MB, dense", "buffer", CHAT, lambda: chat("answer 8000000")),
    ("the same, for a client of Anthropic's API", "buffer", "/to/v1/messages",
     lambda: {**chat("answer 8000000"), "max_tokens": 9}),
    ("a whole answer of 10,000 choices", "redact", CHAT, lambda: chat("choices 10000")),
    ("placeholders restored in an answer of 900 KB", "restore", CHAT,
     lambda: chat("back 900000 person1@example.org")),
    ("a stream of 1 MB, held back", "redact", CHAT, lambda: chat("stream 1000000 20", stream=True)),
    ("a stream of 1 MB, windows", "window", CHAT, lambda: chat("stream 1000000 20", stream=True)),
    ("a stream of 1 MB, in buffer", "buffer", CHAT, lambda: chat("stream 1000000 20", stream=True)),
    ("a stream of 1 MB, in shadow", "shadow", CHAT, lambda: chat("stream 1000000 20", stream=True)),
    ("a stream in one event of 900 KB, held back", "redact", CHAT,
     lambda: chat("stream 900000 900000", stream=True)),
    ("a stream in one event of 900 KB, windows", "window", CHAT,
     lambda: chat("stream 900000 900000", stream=True)),
    ("a stream for a client of Anthropic's API, 1 MB, windows", "window", "/to/v1/messages",
     lambda: {**chat("stream 1000000 20", stream=True), "max_tokens": 9}),
]


def events(text, size):
    """A stream of the text in pieces of the size."""
    pieces = [chunk("", role="assistant")]
    pieces += [chunk(text[at:at + size]) for at in range(0, len(text), size)]
    pieces += [chunk(finish="stop")]
    return "".join("data: %s\n\n" % json.dumps(p) for p in pieces) + "data: [DONE]\n\n"


def answer(received, reply):
    if len(received.body) > 1000:
        reply.json(200, completion("ok"))
        return
    asked = received.json()["messages"][-1]["content"].split()
    if asked[0] == "answer":
        reply.json(200, completion(DENSE[:int(asked[1])]))
    elif asked[0] == "choices":
        whole = completion("")
        whole["choices"] = [{"index": i, "message": {"role": "assistant", "content": DENSE[i * 70:][:70]},
                             "finish_reason": "stop"} for i in range(int(asked[1]))]
        reply.json(200, whole)
    elif asked[0] == "back":
        reply.json(200, completion(("What of %s then? " % asked[2]) * (int(asked[1]) // 40)))
    elif asked[0] == "stream":
        reply.begin()
        reply.piece(events(DENSE[:int(asked[1])], int(asked[2])))
        reply.end()
    else:
        reply.json(200, completion("ok"))


def measure(library, upstream, policy, path, bodies):
    """The statuses, and the longest turns: (milliseconds, page faults, processors lost)."""
    from concurrent.futures import ThreadPoolExecutor
    with tempfile.TemporaryDirectory() as folder:
        where = os.path.join(folder, "turns")
        os.chmod(folder, 0o777)
        gw = Gateway(upstream, modules=MODULES, more_http=HTTP, more_server=SERVER,
                     documents={"guards.json": {"version": 1, "default": policy, "policies": POLICIES}},
                     env={"LD_PRELOAD": library, "LOOP_TURNS": where})

        def send(body):
            return gw.request("POST", path, headers={**bearer("good"), "Content-Type": "application/json",
                                                     "anthropic-version": "2023-06-01"},
                              body=body, timeout=60).status
        send(json.dumps(chat("hello")).encode())
        with ThreadPoolExecutor(len(bodies)) as pool:
            statuses = set(pool.map(send, bodies))
        gw.stop()
        found = [[int(x) for x in line.split()] for f in glob.glob(where + ".*") for line in open(f)]
    return statuses, sorted(((f[0] / 1000, f[1], f[2]) for f in found), reverse=True)


def row(args, library, upstream, case):
    name, policy, path, make = case
    made = make()
    bodies = [json.dumps(b).encode() for b in (made if isinstance(made, list) else [made])]
    plain, ours, statuses = [], [], set()
    for _ in range(args.repeat):
        said, turns = measure(library, upstream, policy, "/plain" + path.replace("/to/", "/"), bodies)
        plain.append(turns)
        said, turns = measure(library, upstream, policy, path, bodies)
        ours.append(turns)
        statuses |= said
        if args.turns:
            print("  alone", " ".join("%.2f/%d/%d" % t for t in plain[-1][:6]))
            print("  ours ", " ".join("%.2f/%d/%d" % t for t in ours[-1][:6]))

    def longest(runs):
        found = sorted(r[0][0] for r in runs)
        return found[len(found) // 2], found[-1]
    bar = max(BAR, longest(plain)[1])
    over = sum(t[0] > BAR for r in ours for t in r)
    above = sum(t[0] > bar for r in ours for t in r)
    found = (name, *longest(plain), *longest(ours), over, above)
    print("%-56s alone %5.2f (most %5.2f)  ours %5.2f (most %5.2f), over 2 ms: %d, and longer than alone: %d, %s"
          % (*found, statuses), flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", default="", help="rows with this in their name")
    parser.add_argument("--turns", action="store_true",
                        help="also the longest turns: milliseconds/page faults/processors lost")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    upstream = Upstream(answer)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        library = os.path.join(folder, "loop_turns.so")
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", library,
                        os.path.join(HERE, "loop_turns.c"), "-ldl"], check=True)
        rows = [row(args, library, upstream, case) for case in CASES if args.only in case[0]]
    if args.write:
        with open(PAGE, "w", encoding="utf-8") as f:
            f.write(page(args, rows))


def page(args, rows):
    return ("# Stalls of the event loop\n\n"
            "The longest turn of a worker's event loop, in milliseconds of the thread's own processor time: median "
            "and most of %d\nruns, for NGINX alone (`weir off`) with the same body and for the guarded one. The last "
            "columns count the guarded\nturns over 2 ms in all runs, and those of them that are longer than all of "
            "NGINX alone. Dense texts have an e-mail\naddress or a telephone number in each 35 bytes; streams come "
            "as fast as the gateway takes them. What takes longest of\nlarge requests is NGINX's own, and nearly "
            "all of it the kernel's: reading them into a file, writing them to the upstream,\ngiving the file "
            "back.\n\n"
            "`t/bench/stall_bench.py --write` on %s.\n\n"
            "| body | NGINX alone | most | guarded | most | over 2 ms | and longer than alone |\n"
            "|---|--:|--:|--:|--:|--:|--:|\n%s"
            % (args.repeat, machine(),
               "".join("| %s | %.2f | %.2f | %.2f | %.2f | %d | %d |\n" % r for r in rows)))


main()

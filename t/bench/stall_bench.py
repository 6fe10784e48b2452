#!/usr/bin/env python3
"""How long a turn of the gateway's event loop takes at most, in milliseconds of CPU time, while large
bodies are guarded.

    t/bench/stall_bench.py [--repeat N] [--only WORD] [--write]

One worker; turns are those from one epoll_wait() to the next (t/bench/loop_turns.c). --write puts
the table into docs/benchmarks/stalls.md."""

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
from weirgateway import Gateway, bearer, completion  # noqa: E402
from weirnginx import Upstream  # noqa: E402

PAGE = os.path.join(ROOT, "docs", "benchmarks", "stalls.md")
MODULES = ("core", "auth", "metrics", "client", "guard")
MB = 1 << 20
HTTP = "weir_guards @dir@/guards.json; client_max_body_size 20m; client_body_buffer_size 256k;"
SERVER = """
    location /plain/ { weir off; proxy_pass http://engine/; client_body_buffer_size 20m; }
    location = /v1/guard/scan { weir_guard_endpoint; }
    location /to/ { weir_api_prefix /to; weir_upstream_api openai; proxy_pass http://engine/;
                    include @root@/config/weir-proxy.conf; }
"""
POLICIES = {
    "redact": {"entities": {"*": "redact"}, "secrets": "redact"},
    "names": {"entities": {"*": {"input": "placeholder", "output": "redact"}}},
    "allows": {"entities": {"*": "redact"}, "allow": {"patterns": ["^nobody@.*"]},
               "classifiers": {"injection": {"action": "flag"}, "toxicity": {"action": "flag"}}},
}


def prose(size):
    rng = random.Random(7)
    words = ("the of and to in a is that for it as was with be by on not he his but at are this have "
             "government information school America Monday because another different").split()
    return " ".join(rng.choice(words) for _ in range(size // 2))[:size]


def dense(size):
    """An entity every 70 bytes."""
    rng = random.Random(5)
    out, length = [], 0
    while length < size:
        out.append("Write to person%d@example.org or call +1 212 555 %04d about it today. "
                   % (rng.randrange(30000), rng.randrange(10000)))
        length += len(out[-1])
    return "".join(out)[:size]


def chat(text):
    return {"model": "m", "messages": [{"role": "user", "content": text}]}


def many(size):
    """As many values as the core takes, in a body of the size."""
    return chat([{"type": "text", "text": "x" * (size // 100000 - 30)} for _ in range(100000)])


PROSE, DENSE = prose(8 * MB), dense(8 * MB)
CASES = [  # name, policy, path, body
    ("NGINX alone (`weir off`), 8 MB", "redact", "/plain/", lambda: chat(PROSE)),
    ("prose, 8 MB, redact", "redact", "/v1/chat/completions", lambda: chat(PROSE)),
    ("dense, 8 MB, redact", "redact", "/v1/chat/completions", lambda: chat(DENSE)),
    ("dense, 8 MB, placeholders", "names", "/v1/chat/completions", lambda: chat(DENSE)),
    ("dense, 5 MB, classifiers and an allow-list", "allows", "/v1/chat/completions",
     lambda: chat(DENSE[:5 * MB])),
    ("500,000 values, 8 MB", "redact", "/v1/chat/completions", lambda: many(8 * MB)),
    ("dense, 8 MB, an unknown path", "redact", "/v1/some/path", lambda: {"a": [DENSE]}),
    ("dense, 8 MB, Anthropic's API before OpenAI's", "redact", "/to/v1/messages",
     lambda: {**chat(DENSE), "max_tokens": 9}),
    ("dense, 8 MB, to `/v1/guard/scan`", "redact", "/v1/guard/scan", lambda: {"text": DENSE}),
    ("dense, 16 KB, in the event loop", "allows", "/v1/chat/completions", lambda: chat(DENSE[:16000])),
    ("ten such at once", "allows", "/v1/chat/completions", lambda: [chat(DENSE[:16000])] * 10),
    ("a whole answer of 100 KB, dense", "redact", "/v1/chat/completions", lambda: chat("answer 100000")),
    ("a whole answer of 900 KB, dense", "redact", "/v1/chat/completions", lambda: chat("answer 900000")),
]


def answer(received, reply):
    size = received.body.partition(b'"answer ')[2].partition(b'"')[0]
    reply.json(200, completion(DENSE[:int(size)] if size else "ok"))


def measure(library, upstream, policy, path, bodies):
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
        found = [[int(x) for x in open(f).read().split()] for f in glob.glob(where + ".*")]
    return statuses, max(found)[1] / 1000 if found else None, sum(f[2] for f in found)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    upstream = Upstream(answer)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        library = os.path.join(folder, "loop_turns.so")
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", library,
                        os.path.join(HERE, "loop_turns.c"), "-ldl"], check=True)
        for name, policy, path, make in CASES:
            if args.only not in name:
                continue
            body = make()
            bodies = [json.dumps(b).encode() for b in (body if isinstance(body, list) else [body])]
            found = [measure(library, upstream, policy, path, bodies) for _ in range(args.repeat)]
            longest = sorted(f[1] for f in found)
            rows.append((name, longest[len(longest) // 2], longest[-1], sum(f[2] for f in found)))
            print("%-48s %6.2f ms (most %.2f), over 2 ms: %d, %s" % (*rows[-1], found[0][0]), flush=True)
    if args.write:
        with open(PAGE, "w", encoding="utf-8") as f:
            f.write("# Stalls of the event loop\n\n"
                    "The longest turn of a worker's event loop, in milliseconds of CPU time, while a body is guarded: "
                    "median and most\nof %d runs, and all turns over 2 ms in them. Dense texts have an e-mail address "
                    "or a telephone number in each 35 bytes.\nWhat is left is mostly NGINX's own: reading a body into "
                    "its file and writing megabytes to a socket, as the first row shows.\n"
                    "Of whole answers the text is scanned in "
                    "slices; the JSON around it is read and written at once.\n\n"
                    "`t/bench/stall_bench.py --write` on %s.\n\n"
                    "| body | median | most | turns over 2 ms |\n|---|--:|--:|--:|\n%s"
                    % (args.repeat, machine(), "".join("| %s | %.2f | %.2f | %d |\n" % r for r in rows)))


main()

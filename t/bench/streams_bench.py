#!/usr/bin/env python3
"""Many open streams: memory of the gateway for each, and whether all of them arrive whole.

    t/bench/streams_bench.py [--streams N] [--write]

N event streams (10,000) are open at once through two workers of plain NGINX, and of Weir with key
check, body scan, usage counting and ledger. Each gets a first event, waits until all are open, and
then gets its other events and its end. Memory is the workers' proportional set size
(/proc/PID/smaps_rollup), with all streams open less with none, divided by their number.

--write puts the table into docs/benchmarks/streams.md.
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(ROOT, "t", "lib"))
import gateway_bench as bench  # noqa: E402
from weirnginx import children, free_port, modules_dir  # noqa: E402

PAGE = os.path.join(ROOT, "docs", "benchmarks", "streams.md")
EVENTS = 8
VARIANTS = ("plain", "governed")


def event(number):
    return "data: %s\n\n" % json.dumps({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "bench",
        "choices": [{"index": 0, "delta": {"content": "piece %d " % number},
                     "finish_reason": None}]})


LAST = "data: %s\n\ndata: [DONE]\n\n" % json.dumps({
    "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "bench",
    "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})


def chunk(text):
    return b"%x\r\n%s\r\n" % (len(text), text.encode())


class Backend:
    """Answers each request with a stream that stays open until SIGUSR1; SIGUSR2 closes the gate
    again. A process of its own: descriptors are limited."""

    def __init__(self):
        self.gate = asyncio.Event()

    def again(self):
        self.gate = asyncio.Event()

    async def run(self, path):
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, lambda: self.gate.set())
        loop.add_signal_handler(signal.SIGUSR2, self.again)
        await asyncio.start_unix_server(self.serve, path, backlog=4096, limit=4096)
        os.chmod(path, 0o666)
        print("ready", flush=True)
        await asyncio.Event().wait()

    async def serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n")
                          if line.startswith(b"content-length:")]
                if length:
                    await reader.readexactly(int(length[0].split(b":")[1]))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                             b"Transfer-Encoding: chunked\r\n\r\n" + chunk(event(0)))
                await writer.drain()
                gate = self.gate
                await gate.wait()
                for number in range(1, EVENTS):
                    writer.write(chunk(event(number)))
                    await writer.drain()
                    await asyncio.sleep(0)
                writer.write(chunk(LAST) + b"0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()


class Client:
    """One stream: opened, then read to its end."""

    def __init__(self, port, key):
        self.port = port
        self.body = json.dumps({**bench.QUESTION, "stream": True}).encode()
        self.key = key
        self.text = b""

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=8192)
        self.writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\n"
                          b"Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                          b"Content-Length: %d\r\nConnection: close\r\n\r\n"
                          % (self.key.encode(), len(self.body)) + self.body)
        while b"piece 0" not in self.text:
            piece = await self.reader.read(4096)
            if not piece:
                raise ConnectionError("closed after %r" % self.text[:200])
            self.text += piece

    async def finish(self):
        while True:
            piece = await self.reader.read(4096)
            if not piece:
                break
            self.text += piece
        self.writer.close()
        return all(b"piece %d" % n in self.text for n in range(EVENTS)) and b"[DONE]" in self.text


def configuration(folder, variant, port, socket):
    governed = variant == "governed"
    loads = "".join("load_module %s/ngx_http_weir_%s_module.so;\n" % (modules_dir(), m)
                    for m in ("core", "auth", "metrics")) if governed else ""
    http = "weir_tenants %s/tenants.json;\n    weir_usage_log %s/usage.jsonl;" % (folder, folder)
    location = "weir on;\n            include %s/config/weir-proxy.conf;" % ROOT
    if not governed:
        http = ""
        location = ("proxy_http_version 1.1; proxy_set_header Connection \"\";"
                    " proxy_buffering off; proxy_read_timeout 600s;")
    temps = "".join("    %s_temp_path %s/tmp-%s-%s;\n" % (t, folder, variant, t)
                    for t in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    path = os.path.join(folder, variant + ".conf")
    with open(path, "w", encoding="ascii") as f:
        f.write("""%sdaemon off;
worker_processes 2;
worker_rlimit_nofile 20000;
pid %s/%s.pid;
error_log %s/%s.log warn;
events { worker_connections 19000; }
http {
    access_log off;
%s    %s
    upstream backend { server unix:%s; keepalive 32; }
    server {
        listen 127.0.0.1:%d backlog=4096 reuseport;
        location / {
            proxy_pass http://backend;
            %s
        }
    }
}
""" % (loads, folder, variant, folder, variant, temps, http, socket, port, location))
    return path


def memory(pids):
    """Proportional set size in bytes."""
    total = 0
    for pid in pids:
        with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as f:
            for line in f:
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


async def open_all(clients, at_once=200):
    gate = asyncio.Semaphore(at_once)

    async def one(client):
        async with gate:
            await client.open()
    await asyncio.gather(*(one(client) for client in clients))


async def measure(folder, variant, streams, key):
    """(bytes per stream, whole streams, seconds to open them)"""
    socket = os.path.join(folder, variant + ".sock")
    backend = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--backend", socket],
                               stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    backend.stdout.readline()
    port = free_port()
    server = bench.Server(configuration(folder, variant, port, socket), port)
    try:
        warm = [Client(port, key) for _ in range(200)]
        await open_all(warm)
        backend.send_signal(signal.SIGUSR1)
        await asyncio.gather(*(client.finish() for client in warm))
        backend.send_signal(signal.SIGUSR2)
        await asyncio.sleep(1)
        pids = children(server.process.pid)
        before = memory(pids)
        clients = [Client(port, key) for _ in range(streams)]
        start = time.monotonic()
        await open_all(clients)
        took = time.monotonic() - start
        await asyncio.sleep(1)
        after = memory(pids)
        backend.send_signal(signal.SIGUSR1)
        whole = sum(await asyncio.gather(*(client.finish() for client in clients)))
    finally:
        server.stop()
        backend.kill()
        backend.wait()
    return (after - before) / streams, whole, took


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--streams", type=int, default=10000)
    parser.add_argument("--backend", metavar="SOCKET", help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/streams.md")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    need = options.streams + 1000
    if hard != resource.RLIM_INFINITY and hard < need:
        sys.exit("streams_bench: %d descriptors are needed in this process, %d are allowed"
                 % (need, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))
    if options.backend:
        asyncio.run(Backend().run(options.backend))
        return
    folder = tempfile.mkdtemp(prefix="weir-bench-")
    os.chmod(folder, 0o755)
    result = {}
    try:
        key = bench.make_key(folder)
        os.chmod(os.path.join(folder, "tenants.json"), 0o644)
        for variant in VARIANTS:
            print("opening %d streams: %s" % (options.streams, variant), flush=True)
            result[variant] = asyncio.run(measure(folder, variant, options.streams, key))
        rows = 0
        with open(os.path.join(folder, "usage.jsonl"), encoding="utf-8") as f:
            rows = sum(1 for _ in f) - 200
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    lines = ["| gateway | memory per open stream | whole streams | seconds to open all |", "|---|--:|--:|--:|"]
    for variant in VARIANTS:
        each, whole, took = result[variant]
        lines.append("| %s | %.1f KB | %d of %d | %.1f |" % (variant, each / 1024, whole, options.streams, took))
    text = "\n".join(lines)
    print(text)
    more = (result["governed"][0] - result["plain"][0]) / 1024
    print("governed over plain: %.1f KB a stream; %d ledger lines" % (more, rows))
    if options.write:
        with open(PAGE, "w", encoding="ascii") as f:
            f.write("""# Many open streams

%d event streams open at once through two workers, each with a body of 1 KB and %d events.

%s

Governed over plain: %.1f KB for each open stream; the ledger has %d lines for them. Memory is the proportional set size
of the workers with all streams open less that with none.

- Machine: %s
- Commit %s, %s
- Command: `t/bench/streams_bench.py --streams %d --write`
""" % (options.streams, EVENTS, text, more, rows, bench.machine(), bench.commit(),
                time.strftime("%Y-%m-%d"), options.streams))
        print("written: " + os.path.relpath(PAGE, ROOT))
    if any(result[v][1] != options.streams for v in VARIANTS):
        sys.exit("streams_bench: not every stream was whole")


if __name__ == "__main__":
    main()

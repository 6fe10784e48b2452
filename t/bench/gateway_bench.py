#!/usr/bin/env python3
"""What the gateway costs: CPU and instructions per proxied request, next to plain NGINX.

    t/bench/gateway_bench.py [--seconds N] [--rounds N] [--no-instructions] [--json] [--write]

The same traffic, a POST of 1 KB answered with 1 KB, goes through one worker of each of these, with
kept-alive connections to one backend worker: plain proxy_pass; the same with as many header lines as
Weir's; Weir's modules loaded but off; Weir with key check, usage counting, ledger and metrics, for a
JSON answer and for an event stream. The key's hash is counted by itself, by callgrind.

- CPU per request: user and system time of the gateway's worker from /proc, in alternating rounds
  under wrk; medians, with the spread of the rounds.
- Instructions per request, user space: cachegrind without its cache simulation, as the difference
  of two runs with different numbers of requests; repeats to a few tenths of a percent.

--write puts the table into docs/benchmarks/gateway.md.
"""

import argparse
import http.client
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "t", "lib"))
from weirnginx import children, free_port, modules_dir, nginx_binary  # noqa: E402

PAGE = os.path.join(ROOT, "docs", "benchmarks", "gateway.md")
FEW, MANY = 500, 2500

# At most this much more than plain NGINX: instructions (the key's hash apart) and CPU time.
BARS = {"keys only": (5000, 8), "governed": (25000, 25)}

ANSWER = {
    "id": "chatcmpl-0123456789abcdef", "object": "chat.completion", "created": 1767225600,
    "model": "bench", "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, "message": {
        "role": "assistant", "refusal": None, "content": "x" * 640}}],
    "usage": {"prompt_tokens": 210, "completion_tokens": 160, "total_tokens": 370,
              "prompt_tokens_details": {"cached_tokens": 0}}}
QUESTION = {"model": "bench", "temperature": 0.7, "messages": [{"role": "user", "content": "y" * 930}]}

# "plain lines": what NGINX itself takes for the header lines of weir-proxy.conf, two of them empty.
# "keys only": no body, no usage, no ledger. "watched": the client asks for usage itself, so that the
# stream passes as it is; else the gateway asks and takes it out again.
VARIANTS = ("plain", "plain lines", "loaded", "keys only", "governed", "plain stream",
            "governed stream", "watched stream")

HEADER_LINES = """
            proxy_set_header Authorization $http_x_none;
            proxy_set_header X-Api-Key $http_x_none;
            proxy_set_header Api-Key "";
            proxy_set_header X-Request-Id $connection_requests;
            proxy_set_header X-Weir-Cache-Scope $server_port;
            proxy_set_header Accept-Encoding "";"""


def stream_body():
    """About 4 KB of events: 16 pieces and the usage."""
    base = {"id": "chatcmpl-0123456789abcdef", "object": "chat.completion.chunk",
            "created": 1767225600, "model": "bench"}
    chunks = [{**base, "choices": [{"index": 0, "delta": {"content": "word %d " % i},
                                    "finish_reason": None}]} for i in range(16)]
    chunks.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks.append({**base, "choices": [], "usage": ANSWER["usage"]})
    return "".join("data: %s\n\n" % json.dumps(chunk) for chunk in chunks) + "data: [DONE]\n\n"


def nginx_conf(folder, name, http, modules=(), single=False):
    loads = "".join("load_module %s/ngx_http_weir_%s_module.so;\n" % (modules_dir(), m) for m in modules)
    text = """%sdaemon off;
%s
pid %s/%s.pid;
error_log %s/%s.log warn;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path %s/tmp-%s-b;
    proxy_temp_path %s/tmp-%s-p;
    fastcgi_temp_path %s/tmp-%s-f;
    uwsgi_temp_path %s/tmp-%s-u;
    scgi_temp_path %s/tmp-%s-s;
%s
}
""" % (loads, "master_process off;" if single else "worker_processes 1;", folder, name, folder, name,
       folder, name, folder, name, folder, name, folder, name, folder, name, http)
    path = os.path.join(folder, name + ".conf")
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    return path


def backend_conf(folder, port):
    for name, content in (("answer.json", json.dumps(ANSWER)), ("answer.sse", stream_body())):
        with open(os.path.join(folder, name), "w", encoding="ascii") as f:
            f.write(content)
    return nginx_conf(folder, "backend", """
    open_file_cache max=10;
    server {
        listen 127.0.0.1:%d;
        root %s;
        types { }
        # A static file answers GET only: 405 for a POST is turned into the file.
        location / { error_page 405 =200 /answer.json; return 405; }
        location /openai/ { error_page 405 =200 /answer.sse; return 405; }
        location = /answer.json { default_type application/json; error_page 405 =200 $uri; }
        location = /answer.sse { default_type text/event-stream; error_page 405 =200 $uri; }
    }""" % (port, folder))


def gateway_conf(folder, variant, port, backend, single=False):
    keys = variant == "keys only"
    governed = keys or variant.startswith(("governed", "watched"))
    loaded = governed or variant == "loaded"
    modules = ("core", "auth", "metrics") if loaded else ()
    settings = ""
    location = """
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;"""
    if variant == "plain lines":
        location += HEADER_LINES
    if governed:
        settings = """
    weir_tenants %s/tenants.json;
    %s""" % (folder, "" if keys else "weir_usage_log %s/usage.jsonl;" % folder)
        location = """
            weir on;
            %s
            include %s/config/weir-proxy.conf;""" % ("weir_read_usage off;" if keys else "", ROOT)
    return nginx_conf(folder, re.sub(r"\W", "-", variant) + ("-single" if single else ""), """
    upstream backend { server 127.0.0.1:%d; keepalive 64; keepalive_requests 1000000; }
%s
    server {
        listen 127.0.0.1:%d;
        location / {
            proxy_pass http://backend;%s
        }
    }""" % (backend, settings, port, location), modules, single)


class Server:
    def __init__(self, conf, port, prefix=()):
        self.port = port
        self.process = subprocess.Popen([*prefix, nginx_binary(), "-c", conf, "-p",
                                         os.path.dirname(conf), "-e", conf[:-5] + ".log"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        with open(conf[:-5] + ".log", encoding="utf-8") as f:
            sys.exit("gateway_bench: %s did not start:\n%s" % (conf, f.read()[-2000:]))

    def worker(self):
        found = children(self.process.pid)
        return found[0] if found else self.process.pid

    def stop(self):
        # NGINX sees a signal that came just before it waits for events at the next one only, and
        # under valgrind that is likely; what cachegrind counted is written at an orderly end.
        for _ in range(30):
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(2)
                return
            except subprocess.TimeoutExpired:
                pass
        self.process.kill()
        self.process.wait()


def cpu_ticks(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]), int(fields[12])


def path_of(variant):
    """Both are the same call to the gateway; the backend tells them apart."""
    return ("/openai" if variant.endswith("stream") else "") + "/v1/chat/completions"


def question_of(variant):
    more = {"stream": True} if variant.endswith("stream") else {}
    if variant.startswith("watched"):
        more["stream_options"] = {"include_usage": True}
    return json.dumps({**QUESTION, **more})


def wrk(folder, port, variant, seconds, key):
    script = os.path.join(folder, "post.lua")
    with open(script, "w", encoding="ascii") as f:
        f.write('wrk.method = "POST"\nwrk.body = [==[%s]==]\n'
                'wrk.headers["Content-Type"] = "application/json"\n'
                'wrk.headers["Authorization"] = "Bearer %s"\n' % (question_of(variant), key))
    done = subprocess.run(["wrk", "-t1", "-c32", "-d%ds" % seconds, "-s", script,
                           "http://127.0.0.1:%d%s" % (port, path_of(variant))],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    text = done.stdout.decode()
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit("gateway_bench: %s: wrk saw errors:\n%s" % (variant, text))
    return int(re.search(r"(\d+) requests in", text).group(1))


def measure_cpu(folder, backend, key, rounds, seconds):
    """{variant: ([user us per request], [all us per request], [requests per second])}"""
    tick = 1e6 / os.sysconf("SC_CLK_TCK")
    servers = {}
    for variant in VARIANTS:
        port = free_port()
        servers[variant] = Server(gateway_conf(folder, variant, port, backend), port)
    result = {variant: ([], [], []) for variant in VARIANTS}
    for variant in VARIANTS:
        wrk(folder, servers[variant].port, variant, 1, key)
    for number in range(rounds):
        # The order turns, so that no variant always comes after the same one.
        order = VARIANTS[number % len(VARIANTS):] + VARIANTS[:number % len(VARIANTS)]
        for variant in order:
            pid = servers[variant].worker()
            before = cpu_ticks(pid)
            count = wrk(folder, servers[variant].port, variant, seconds, key)
            after = cpu_ticks(pid)
            user = (after[0] - before[0]) * tick / count
            system = (after[1] - before[1]) * tick / count
            result[variant][0].append(user)
            result[variant][1].append(user + system)
            result[variant][2].append(count / seconds)
    for server in servers.values():
        server.stop()
    return result


def send(port, variant, count, key):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = question_of(variant)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + key}
    for _ in range(count):
        connection.request("POST", path_of(variant), body, headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            sys.exit("gateway_bench: %s answered %d" % (variant, answer.status))
    connection.close()


def instructions(folder, backend, key, variant):
    """Per request, from two runs."""
    counts = []
    for requests in (FEW, MANY):
        port = free_port()
        out = os.path.join(folder, "cachegrind.out")
        server = Server(gateway_conf(folder, variant, port, backend, single=True), port,
                        ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--branch-sim=no",
                         "--cachegrind-out-file=" + out))
        send(port, variant, requests, key)
        server.stop()
        with open(out, encoding="utf-8") as f:
            counts.append(int(re.search(r"^summary: (\d+)", f.read(), re.M).group(1)))
    return (counts[1] - counts[0]) / (MANY - FEW)


def hash_instructions(folder, backend, key):
    """Of the key's hash in one request: what callgrind sees within the function that makes it."""
    port = free_port()
    out = os.path.join(folder, "callgrind.out")
    server = Server(gateway_conf(folder, "keys only", port, backend, single=True), port,
                    ("valgrind", "--tool=callgrind", "--toggle-collect=weir_key_hash_with",
                     "--callgrind-out-file=" + out))
    send(port, "keys only", FEW, key)
    server.stop()
    with open(out, encoding="utf-8") as f:
        return int(re.search(r"^totals: (\d+)", f.read(), re.M).group(1)) / FEW


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    version = subprocess.run([nginx_binary(), "-v"], stderr=subprocess.PIPE, check=False).stderr.decode()
    return "%s, %d cores, Linux %s, %s" % (model, os.cpu_count(), platform.release(),
                                           version.strip().split()[-1])


def commit():
    done = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False)
    return done.stdout.decode().strip() or "unknown"


def spread(values):
    return "%.2f (%.2f-%.2f)" % (statistics.median(values), min(values), max(values))


def table(result, counted):
    lines = ["| gateway | CPU us/request | of it user | requests/s | instructions/request |",
             "|---|--:|--:|--:|--:|"]
    for variant in VARIANTS:
        user, everything, rate = result[variant]
        lines.append("| %s | %s | %s | %.0f (%.0f-%.0f) | %s |" % (
            variant, spread(everything), spread(user), statistics.median(rate), min(rate), max(rate),
            "{:,.0f}".format(counted[variant]) if variant in counted else "not measured"))
    return "\n".join(lines)


def write_page(text, options, result, counted, hashing):
    def more(first, second):
        parts = ["%.2f us of CPU" % (statistics.median(result[second][1])
                                     - statistics.median(result[first][1]))]
        if first in counted and second in counted:
            parts.append("{:,.0f} instructions".format(counted[second] - counted[first]))
        return " and ".join(parts)
    def against_bar(variant):
        most, percent = BARS[variant]
        base = statistics.median(result["plain"][1])
        text = "%s: %+.0f %% of CPU (bar: %d %%)" % (
            variant, 100 * (statistics.median(result[variant][1]) / base - 1), percent)
        if variant in counted and hashing:
            over = counted[variant] - counted["plain"]
            lines = counted["plain lines"] - counted["plain"]
            text += (", {:,.0f} instructions, {:,.0f} without the hash (bar: {:,d}), of which NGINX "
                     "takes {:,.0f} for the header lines").format(over, over - hashing, most, lines)
        return text
    page = """# What the gateway costs

A POST of 1 KB answered with 1 KB of JSON, and with a stream of 18 events (%d bytes), through one gateway worker with
kept-alive connections to one backend worker. `plain` is NGINX's proxy_pass; `plain lines` is that with as many
`proxy_set_header` lines as `config/weir-proxy.conf` has, which is what NGINX itself takes for them; `loaded` has Weir's
modules loaded and off; `keys only` checks the key and keeps metrics; `governed` also scans the body, counts usage and
writes the ledger. In the `governed stream` the gateway asks for usage and takes it out again, in the `watched stream`
the client asks itself.

%s

Medians of %d alternating rounds of %d s under wrk with 32 connections, with the smallest and the largest; CPU is that
of the gateway's worker. Instructions are those of user space, by cachegrind: (count at %d requests - count at %d) / %d.

Over plain: keys only %s; governed %s for the JSON answer, %s for the stream, %s for the watched
one. Loaded but unused: %s.

%s

Over plain, with the bars:

- %s
- %s

Under valgrind OpenSSL hashes without the processor's own instructions for SHA-256: where there are some, the hash
is cheaper.

- Machine: %s
- Commit %s, %s
- Command: `t/bench/gateway_bench.py --rounds %d --seconds %d --write`
""" % (len(stream_body()), text, options.rounds, options.seconds, MANY, FEW, MANY - FEW,
       more("plain", "keys only"), more("plain", "governed"),
       more("plain stream", "governed stream"), more("plain stream", "watched stream"),
       more("plain", "loaded"),
       "Of each request with a key {:,.0f} instructions are the key's SHA-256.".format(hashing)
       if hashing else "The key's SHA-256 was not counted.",
       against_bar("keys only"), against_bar("governed"),
       machine(), commit(), time.strftime("%Y-%m-%d"), options.rounds, options.seconds)
    os.makedirs(os.path.dirname(PAGE), exist_ok=True)
    with open(PAGE, "w", encoding="ascii") as f:
        f.write(page)
    print("written: " + os.path.relpath(PAGE, ROOT))


def make_key(folder):
    done = subprocess.run([os.path.join(ROOT, "build", "bin", "weir"), "keys", "create", "--tenants",
                           os.path.join(folder, "tenants.json"), "--tenant", "bench"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return done.stdout.decode().strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=int, default=3, help="length of one round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-instructions", action="store_true", help="CPU time only")
    parser.add_argument("--json", action="store_true", help="also print the raw figures")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/gateway.md")
    options = parser.parse_args()
    for program in ("wrk",) if options.no_instructions else ("wrk", "valgrind"):
        if shutil.which(program) is None:
            sys.exit("gateway_bench: %s is missing: deploy/install-packages bench" % program)

    folder = tempfile.mkdtemp(prefix="weir-bench-")
    os.chmod(folder, 0o755)
    try:
        key = make_key(folder)
        os.chmod(os.path.join(folder, "tenants.json"), 0o644)
        port = free_port()
        backend = Server(backend_conf(folder, port), port)
        print("measuring CPU: %d variants, %d rounds of %d s" % (len(VARIANTS), options.rounds,
                                                                 options.seconds), flush=True)
        result = measure_cpu(folder, port, key, options.rounds, options.seconds)
        counted = {}
        hashing = 0
        if not options.no_instructions:
            for variant in VARIANTS:
                print("counting instructions: " + variant, flush=True)
                counted[variant] = instructions(folder, port, key, variant)
            print("counting instructions: the key's hash", flush=True)
            hashing = hash_instructions(folder, port, key)
        backend.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = table(result, counted)
    print(text)
    if hashing:
        print("the key's hash: {:,.0f} instructions".format(hashing))
    if options.json:
        print(json.dumps({"cpu": result, "instructions": counted, "hash": hashing}))
    if options.write:
        write_page(text, options, result, counted, hashing)


if __name__ == "__main__":
    main()

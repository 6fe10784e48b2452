#!/usr/bin/env python3
"""Weir next to LiteLLM's proxy, under the same load in one run.

    t/bench/litellm_bench.py [--seconds N] [--rounds N] [--write]

A POST of 1 KB answered with 1 KB of JSON by the same backend, 16 connections, in alternating
rounds: through one worker of Weir (key checked against the tenants document, body scanned, usage
counted, ledger written) and through LiteLLM's proxy with one worker, its master key and no database.
Needs the package litellm[proxy] in build/venv-litellm (make bench-litellm); without it this program
says so and ends.

--write puts the table into docs/benchmarks/litellm.md.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(ROOT, "t", "lib"))
import gateway_bench as bench  # noqa: E402
from weirnginx import children, free_port  # noqa: E402

PAGE = os.path.join(ROOT, "docs", "benchmarks", "litellm.md")
PROXY = os.path.join(ROOT, "build", "venv-litellm", "bin", "litellm")
MASTER = "sk-bench-master-key"

CONFIG = """
model_list:
  - model_name: bench
    litellm_params:
      model: openai/bench
      api_base: http://127.0.0.1:%d/v1
      api_key: none
general_settings:
  master_key: %s
litellm_settings:
  drop_params: true
  telemetry: false
"""


def tree(pid):
    """The process and all below it."""
    found = [pid]
    for child in children(pid):
        found += tree(child)
    return found


def ticks(pids):
    total = 0
    for pid in pids:
        try:
            total += sum(bench.cpu_ticks(pid))
        except OSError:
            pass
    return total


def load(folder, port, seconds, key):
    """(requests, p50 ms, p99 ms)"""
    script = os.path.join(folder, "post.lua")
    with open(script, "w", encoding="ascii") as f:
        f.write('wrk.method = "POST"\nwrk.body = [==[%s]==]\n'
                'wrk.headers["Content-Type"] = "application/json"\n'
                'wrk.headers["Authorization"] = "Bearer %s"\n'
                % (bench.question_of("governed"), key))
    done = subprocess.run(["wrk", "-t1", "-c16", "-d%ds" % seconds, "--latency", "--timeout", "30s",
                           "-s", script, "http://127.0.0.1:%d/v1/chat/completions" % port],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    text = done.stdout.decode()
    if "Non-2xx" in text:
        sys.exit("litellm_bench: errors under load:\n" + text)

    def quantile(name):
        number, unit = re.search(r"%s\s+([\d.]+)(us|ms|s)" % name, text).groups()
        return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]
    return int(re.search(r"(\d+) requests in", text).group(1)), quantile("50%"), quantile("99%")


class LiteLLM:
    def __init__(self, folder, backend):
        self.port = free_port()
        config = os.path.join(folder, "litellm.yaml")
        with open(config, "w", encoding="ascii") as f:
            f.write(CONFIG % (backend, MASTER))
        env = {**os.environ, "LITELLM_TELEMETRY": "False", "LITELLM_LOG": "ERROR",
               "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "127.0.0.1,localhost"}
        self.log = open(os.path.join(folder, "litellm.log"), "wb")
        self.process = subprocess.Popen(
            [PROXY, "--config", config, "--host", "127.0.0.1", "--port", str(self.port),
             "--num_workers", "1"], env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log)
        end = time.monotonic() + 120
        while time.monotonic() < end:
            try:
                bench.send(self.port, "governed", 1, MASTER)
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.5)
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            sys.exit("litellm_bench: LiteLLM did not start:\n" + f.read()[-3000:])

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/litellm.md")
    options = parser.parse_args()
    if not os.path.exists(PROXY):
        print("LiteLLM is not installed (make bench-litellm): not measured")
        return
    folder = tempfile.mkdtemp(prefix="weir-bench-")
    os.chmod(folder, 0o755)
    tick = 1e6 / os.sysconf("SC_CLK_TCK")
    result = {"weir": [], "litellm": []}
    try:
        key = bench.make_key(folder)
        os.chmod(os.path.join(folder, "tenants.json"), 0o644)
        port = free_port()
        backend = bench.Server(bench.backend_conf(folder, port), port)
        gateway = free_port()
        weir = bench.Server(bench.gateway_conf(folder, "governed", gateway, port), gateway)
        litellm = LiteLLM(folder, port)
        sides = {"weir": (weir, gateway, key), "litellm": (litellm, litellm.port, MASTER)}
        for name, (server, where, secret) in sides.items():
            load(folder, where, 2, secret)
        for number in range(options.rounds):
            print("round %d of %d" % (number + 1, options.rounds), flush=True)
            for name in ("weir", "litellm") if number % 2 == 0 else ("litellm", "weir"):
                server, where, secret = sides[name]
                pids = tree(server.process.pid)
                before = ticks(pids)
                count, p50, p99 = load(folder, where, options.seconds, secret)
                result[name].append((count / options.seconds,
                                     (ticks(pids) - before) * tick / count, p50, p99))
        version = subprocess.run([PROXY, "--version"], stdout=subprocess.PIPE, check=False,
                                 stderr=subprocess.DEVNULL).stdout.decode().strip().split()[-1]
        for server in (litellm, weir, backend):
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)

    def column(name, i, form):
        values = [row[i] for row in result[name]]
        return "%s (%s-%s)" % tuple(form % v for v in (statistics.median(values), min(values),
                                                       max(values)))
    lines = ["| gateway | requests/s | CPU us/request | p50 ms | p99 ms |", "|---|--:|--:|--:|--:|"]
    for name, title in (("weir", "Weir"), ("litellm", "LiteLLM " + version)):
        lines.append("| %s | %s | %s | %s | %s |" % (title, column(name, 0, "%.0f"),
                                                     column(name, 1, "%.1f"),
                                                     column(name, 2, "%.2f"),
                                                     column(name, 3, "%.2f")))
    text = "\n".join(lines)
    print(text)
    if options.write:
        with open(PAGE, "w", encoding="ascii") as f:
            f.write("""# Next to LiteLLM

A POST of 1 KB answered with 1 KB of JSON by one backend, 16 connections, through one worker of Weir (key checked, body
scanned, usage counted, ledger written) and one worker of LiteLLM's proxy (master key, no database, no logging).

%s

Medians of %d alternating rounds of %d s under wrk, with the smallest and the largest. CPU is that of all processes
of the gateway.

- Machine: %s
- Commit %s, %s
- Command: `t/bench/litellm_bench.py --rounds %d --seconds %d --write`
""" % (text, options.rounds, options.seconds, bench.machine(), bench.commit(),
                time.strftime("%Y-%m-%d"), options.rounds, options.seconds))
        print("written: " + os.path.relpath(PAGE, ROOT))


if __name__ == "__main__":
    main()

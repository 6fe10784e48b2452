#!/usr/bin/env python3
"""The engine's speed on the CPU, next to the memory's read bandwidth and to llama.cpp.

    t/bench/llm_bench.py [--model FILE] [--threads 1,2] [--rounds N] [--prefill N] [--decode N]
                         [--depth N] [--json] [--write]

Every round runs, for each number of threads, one after the other: the read bandwidth
(t/programs/membw.c), `weir-llm bench`, and llama.cpp (package llama-cpp-python, from
build/venv-bench, which `make bench-tools` builds) on the same file with the same numbers of tokens. So a
noisy machine disturbs all alike, and the ratios mean more than the rates. Prefill is a prompt in
one batch; decoding is one sequence, from an empty context and behind one of --depth tokens.

The table gives medians of the rounds with the least and the most; the bandwidth limit is the best
bandwidth over the bytes that one token reads. --write puts it into docs/benchmarks/engine-cpu.md.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PAGE = os.path.join(ROOT, "docs", "benchmarks", "engine-cpu.md")
BUILD = os.path.join(ROOT, "build")
TOOL = os.path.join(BUILD, "bin", "weir-llm")
MEMBW = os.path.join(BUILD, "t", "bin", "membw")
BENCH_PYTHON = os.path.join(BUILD, "venv-bench", "bin", "python3")

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


# llama.cpp: this part runs in the bench environment, as a process of its own

def llama_worker(path, threads, prefill, decode, depth):
    """Prints the rates as JSON."""
    import ctypes

    import llama_cpp

    silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(
        path.encode(), llama_cpp.llama_model_default_params())
    if not model:
        raise SystemExit("llama.cpp could not load %s" % path)
    params = llama_cpp.llama_context_default_params()
    longest = max(prefill, depth + decode)
    params.n_ctx = longest + 32
    params.n_batch = params.n_ubatch = max(prefill, depth, 1)
    params.n_threads = params.n_threads_batch = threads
    context = llama_cpp.llama_init_from_model(model, params)
    n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    ids = [(i * 7919 + 13) % n_vocab for i in range(longest + 1)]

    def run(at, n):
        tokens = (llama_cpp.llama_token * n)(*ids[at:at + n])  # the batch only points at them
        if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, n)) != 0:
            raise SystemExit("llama.cpp failed on %d tokens at %d" % (n, at))

    def timed(steps):
        start = time.monotonic()
        for at, n in steps:
            run(at, n)
        llama_cpp.llama_synchronize(context)
        return sum(n for _, n in steps) / (time.monotonic() - start)

    def empty():
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)

    result = {}
    timed([(0, prefill)])  # warm-up
    empty()
    result["prefill"] = timed([(0, prefill)])
    empty()
    timed([(0, 1)])
    empty()
    result["decode"] = timed([(i, 1) for i in range(decode)])
    empty()
    run(0, depth)
    result["decode_deep"] = timed([(depth + i, 1) for i in range(decode)])
    print(json.dumps(result))


# The other side

def say(text):
    print("# " + text, file=sys.stderr, flush=True)


def output(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit("%s: exit status %d" % (" ".join(command), done.returncode))
    return done.stdout


def measure_weir(o, threads):
    def bench(*extra):
        return json.loads(output([TOOL, "bench", "--model", o.model, "--threads", str(threads),
                                  "--repeat", "1", "--quiet", "--json", *extra]))
    first = bench("--prefill", str(o.prefill), "--decode", str(o.decode), "--depth", "0")
    deep = bench("--prefill", "0", "--decode", str(o.decode), "--depth", str(o.depth))
    return {"prefill": first["prefill_tokens_per_second"],
            "decode": first["decode_tokens_per_second"],
            "decode_deep": deep["decode_tokens_per_second"]}, first


def measure_llama(o, threads):
    return json.loads(output([o.llama_python, os.path.abspath(__file__), "--llama-worker",
                              "--model", o.model, "--threads", str(threads), "--prefill",
                              str(o.prefill), "--decode", str(o.decode), "--depth", str(o.depth)]))


def has_llama(python):
    if not os.access(python, os.X_OK):
        return False
    return subprocess.run([python, "-c", "import llama_cpp"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def measure(o):
    """{threads: {"bandwidth": [...], "weir": {what: [...]}, "llama": {...}}} and the tool's JSON."""
    results, info = {}, None
    llama = has_llama(o.llama_python)
    if not llama:
        say("llama.cpp is not installed: `make bench-tools` builds it (about five minutes); "
            "Weir's own figures follow")
    for round_ in range(o.rounds):
        for threads in o.threads:
            r = results.setdefault(threads, {"bandwidth": [], "weir": {}, "llama": {}})
            r["bandwidth"].append(float(output([MEMBW, str(threads)]).split()[0]))
            rates, info = measure_weir(o, threads)
            others = measure_llama(o, threads) if llama else {}
            for name, values in (("weir", rates), ("llama", others)):
                for what, rate in values.items():
                    r[name].setdefault(what, []).append(rate)
            say("round %d of %d, %d thread(s): %.1f GB/s; weir %s%s" % (
                round_ + 1, o.rounds, threads, r["bandwidth"][-1], show(rates),
                "; llama.cpp " + show(others) if llama else ""))
    return results, info


def show(rates):
    return ", ".join("%s %.0f" % (what, rates[what]) for what in rates)


def cell(values):
    if not values:
        return "-"
    return "%.0f (%.0f-%.0f)" % (statistics.median(values), min(values), max(values))


def ratio(ours, theirs):
    """The median of the rounds' ratios: both sides of one saw the same machine."""
    if not ours or not theirs:
        return "-"
    return "%.2f" % statistics.median(a / b for a, b in zip(ours, theirs))


def table(o, results, info):
    names = {"prefill": "prefill %d" % o.prefill,
             "decode": "decode %d" % o.decode,
             "decode_deep": "decode %d behind %d" % (o.decode, o.depth)}
    lines = ["| threads | tokens/s | Weir | llama.cpp | ratio | read limit | Weir of limit |",
             "|---|---|---|---|---|---|---|"]
    for threads in o.threads:
        r = results[threads]
        limit = max(r["bandwidth"]) * 1e9 / info["bytes_per_token"]
        for what in ("prefill", "decode", "decode_deep"):
            ours, theirs = r["weir"].get(what), r["llama"].get(what)
            bound = what != "prefill"
            lines.append("| %d | %s | %s | %s | %s | %s | %s |" % (
                threads, names[what], cell(ours), cell(theirs), ratio(ours, theirs),
                "%.0f" % limit if bound else "-",
                "%.0f %%" % (100 * statistics.median(ours) / limit) if bound else "-"))
    lines.append("")
    lines.append("Read bandwidth, best of the rounds: " + ", ".join(
        "%.1f GB/s with %d thread%s" % (max(results[t]["bandwidth"]), t, "" if t == 1 else "s")
        for t in o.threads) + "; %.1f MB are read per token." % (info["bytes_per_token"] / 1e6))
    return "\n".join(lines)


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return "%s, %d cores, Linux %s" % (model, os.cpu_count(), platform.release().split("-")[0])


def load_note(load):
    """What else was on the machine: llama.cpp's threads spin for each other and suffer most."""
    if load < 1.5:
        return "Load average before the run: %.1f." % load
    return ("Load average before the run: %.1f. Other programs took part of the cores, so the rates are "
            "low, and the ratios high: llama.cpp's threads spin for one another." % load)


def write_page(o, text, info, load):
    command = "t/bench/llm_bench.py --rounds %d --prefill %d --decode %d --depth %d --write" % (
        o.rounds, o.prefill, o.decode, o.depth)
    measured = "\n".join([
        BEGIN, "", "Measured %s by `%s` on: %s; kernels %s." % (
            time.strftime("%Y-%m-%d"), command, machine(), info.get("isa", "?")),
        "Model %s. Medians of %d alternating rounds (least-most). %s" % (
            info.get("model", os.path.basename(o.model)), o.rounds, load_note(load)),
        "", text, "", END])
    with open(PAGE, encoding="utf-8") as f:
        page = f.read()
    before, rest = page.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(before + measured + after)


def default_model():
    if os.environ.get("WEIR_MODEL"):
        return os.environ["WEIR_MODEL"]
    done = subprocess.run([os.path.join(ROOT, "deploy", "fetch-model"), "--cached"],
                          stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit("the standard model is not here: run deploy/fetch-model, "
                         "or name a file with --model")
    return done.stdout.strip()


def parse():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", help="a GGUF file [the standard model]")
    p.add_argument("--threads", default="1,2", help="numbers of threads [1,2]")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--prefill", type=int, default=512)
    p.add_argument("--decode", type=int, default=128)
    p.add_argument("--depth", type=int, default=512)
    p.add_argument("--json", action="store_true", help="print all rounds as JSON")
    p.add_argument("--write", action="store_true", help="put the table into docs/benchmarks")
    p.add_argument("--llama-python", default=BENCH_PYTHON, help=argparse.SUPPRESS)
    p.add_argument("--llama-worker", action="store_true", help=argparse.SUPPRESS)
    o = p.parse_args()
    o.threads = [int(n) for n in o.threads.split(",")]
    if o.rounds < 1 or min(o.threads) < 1 or o.prefill < 1 or o.decode < 1 or o.depth < 1:
        p.error("rounds, threads and numbers of tokens are at least 1")
    return o


def main():
    o = parse()
    if o.llama_worker:
        llama_worker(o.model, o.threads[0], o.prefill, o.decode, o.depth)
        return
    o.model = o.model or default_model()
    done = subprocess.run(["make", "-s", "-C", ROOT, os.path.relpath(TOOL, ROOT),
                           os.path.relpath(MEMBW, ROOT)], stdout=sys.stderr)
    if done.returncode != 0:
        raise SystemExit("weir-llm and membw could not be built")
    load = os.getloadavg()[0]
    results, info = measure(o)
    if o.json:
        print(json.dumps({"machine": machine(), "info": info, "results": results}, indent=1))
    text = table(o, results, info)
    if not o.json:
        print(machine())
        print(load_note(load))
        print(text)
    if o.write:
        write_page(o, text, info, load)


if __name__ == "__main__":
    main()

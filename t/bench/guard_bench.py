#!/usr/bin/env python3
"""Speed of the guardrails on one core, in MB/s and in instructions per byte.

    t/bench/guard_bench.py [--seconds N] [--no-instructions] [--json] [--write]

The text is ASCII prose made from a list of words with the lengths, capitals and numbers of ordinary
English. `bitmap` is a bare prefilter: machines differ, the ratio to it says more than MB/s.
Instructions are counted by callgrind. --write puts the table into docs/benchmarks/guardrails.md."""

import argparse
import json
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BENCH = os.path.join(ROOT, "build", "t", "bin", "guard-bench")
PAGE = os.path.join(ROOT, "docs", "benchmarks", "guardrails.md")

WORDS = ("the of and to in a is that for it as was with be by on not he his but at are this have from "
         "or had an they which one you were her all she there would their we him been has when who will "
         "more no if out so said what up its about into than them can only other new some could time "
         "these two may then do first any my now such like our over man me even most made after also did "
         "many before must through back years where much your way well down should because each just "
         "those people how too little state good very make world still own see men work long get here "
         "between both life being under never day same another know while last might us great old year "
         "off come since against go came right used take three himself few house use during without "
         "again place American around however home small found thought went say part once general high "
         "upon school every government committee information development particular understanding").split()
NAMES = "America Congress Monday October Washington Europe Mary Johnson President Senate River".split()


def prose(size):
    rng = random.Random(7)
    out, length = [], 0
    while length < size:
        words = []
        for _ in range(rng.randrange(6, 26)):
            chance = rng.random()
            words.append(rng.choice(NAMES) if chance < 0.04 else str(rng.choice([rng.randrange(1, 100),
                         rng.randrange(1900, 2026)])) if chance < 0.055 else rng.choice(WORDS))
            if rng.random() < 0.06:
                words[-1] += ","
        sentence = " ".join(words)
        sentence = sentence[0].upper() + sentence[1:] + rng.choice([". ", ". ", ". ", "? ", ".\n\n"])
        out.append(sentence)
        length += len(sentence)
    return "".join(out)[:size].encode()


def measure(path, seconds):
    done = subprocess.run([BENCH, path, str(seconds)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=True)
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def instructions(path, name):
    """Of one pass over the file, without the compilation of the rules."""
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                           "--toggle-collect=measure*", BENCH, path, "0", name],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    found = re.search(rb"Collected : (\d+)", done.stderr)
    return int(found.group(1)) if done.returncode == 0 and found else None


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    return "%s, %d cores, Linux %s" % (model.group(1) if model else "unknown processor", os.cpu_count(),
                                       platform.release())


def commit():
    done = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False)
    return done.stdout.decode().strip() or "unknown"


def page(results, counted, size, options):
    speeds = {r["name"]: r for r in results if "median" in r}
    event, redacted = (next(r for r in results if r["name"] == name) for name in ("event", "redacted event"))
    base = speeds["bitmap"]["median"]
    titles = [("bitmap", "a bare bitmap prefilter"), ("pii", "personal data"),
              ("pii+secrets", "personal data and secrets"), ("views", "second views and decoded layers"),
              ("classifiers", "classifiers"), ("everything", "all of it"),
              ("stream", "a stream, 4 bytes an event"), ("redactor", "the redactor, 4 bytes an event")]
    lines = ["| scan | MB/s | smallest-largest | of the bitmap | us for 2 KB | instructions/byte |",
             "|---|--:|--:|--:|--:|--:|"]
    for name, title in titles:
        r = speeds[name]
        lines.append("| %s | %.0f | %.0f-%.0f | %.2f | %.1f | %s |" % (
            title, r["median"], r["worst"], r["best"], r["median"] / base, 2048 / r["median"],
            "%.1f" % (counted[name] / size) if counted.get(name) else "not measured"))
    hostile = [r for n, r in speeds.items() if n.startswith("adversarial")]
    worst = min(hostile, key=lambda r: r["median"])
    return """# Speed of the guardrails

One core, its CPU time, blocks of 2 KB of ASCII prose (%d KB, made by the program), warm scratch, rules compiled
before.

%s

Medians of 9 rounds. A streamed event: %.2f us at the median, %.2f at the 99th percentile, %.2f at the 99.9th;
through the redactor in hold-back mode: %.2f, %.2f and %.2f.
Of %d texts made to keep the matcher busy, the worst goes at %.1f MB/s (%.3f of the bitmap; %.1f-%.1f).

- Machine: %s
- Commit %s, %s
- Command: `t/bench/guard_bench.py --seconds %g --write`
""" % (size // 1024, "\n".join(lines), event["p50"], event["p99"], event["p999"],
       redacted["p50"], redacted["p99"], redacted["p999"], len(hostile),
       worst["median"], worst["median"] / base, worst["worst"], worst["best"], machine(), commit(),
       time.strftime("%Y-%m-%d"), options.seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each measure")
    parser.add_argument("--no-instructions", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if not os.path.exists(BENCH):
        sys.exit("guard_bench.py: %s is not there: make unit" % BENCH)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "prose.txt")
        text = prose(256 * 1024)
        with open(path, "wb") as f:
            f.write(text)
        results = measure(path, options.seconds)
        counted = {}
        if not options.no_instructions and shutil.which("valgrind"):
            small = os.path.join(folder, "small.txt")
            with open(small, "wb") as f:
                f.write(text[:32 * 1024])
            for r in results:
                if "median" in r and not r["name"].startswith("adversarial"):
                    count = instructions(small, r["name"])
                    counted[r["name"]] = count and count * len(text) / (32 * 1024)
    if options.json:
        print(json.dumps({"results": results, "instructions": counted, "bytes": len(text)}))
        return
    out = page(results, counted, len(text), options)
    sys.stdout.write(out)
    if options.write:
        with open(PAGE, "w", encoding="utf-8") as f:
            f.write(out)


main()

#!/usr/bin/env python3
"""Runs every fuzz target for WEIR_FUZZ_SECONDS seconds (3), from its seeds and what earlier runs found.

t/fuzz/NAME_fuzz.c is built to build/fuzz/NAME; seeds are files in t/fuzz/seeds/NAME, a dictionary is
t/fuzz/NAME.dict; the growing corpus is build/fuzz/corpus/NAME. An input that fails is kept as
build/fuzz/found/NAME-*.
"""

import glob
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from weirtap import diag, done_testing, note, ok  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(HERE))
FUZZ = os.path.join(ROOT, "build", "fuzz")


def run(name, seconds):
    program = os.path.join(FUZZ, name)
    if not ok(os.access(program, os.X_OK), "%s is built" % name):
        diag("make fuzz builds it")
        return
    corpus = os.path.join(FUZZ, "corpus", name)
    found = os.path.join(FUZZ, "found")
    os.makedirs(corpus, exist_ok=True)
    os.makedirs(found, exist_ok=True)
    command = [program, "-max_total_time=%d" % seconds, "-rss_limit_mb=4096", "-timeout=20",
               "-print_final_stats=1", "-artifact_prefix=%s/%s-" % (found, name), corpus]
    seeds = os.path.join(HERE, "seeds", name)
    if os.path.isdir(seeds):
        command.append(seeds)
    words = os.path.join(HERE, name + ".dict")
    if os.path.exists(words):
        command.insert(1, "-dict=" + words)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, cwd=ROOT, check=False)
    text = done.stdout.decode("utf-8", "replace")
    runs = [line.split(":")[-1].strip() for line in text.splitlines()
            if line.startswith("stat::number_of_executed_units")]
    if ok(done.returncode == 0, "%s: nothing found in %d s" % (name, seconds)):
        note("%s executions" % (runs[0] if runs else "?"))
    else:
        diag(text[-6000:])


def main():
    seconds = int(os.environ.get("WEIR_FUZZ_SECONDS") or 3)
    names = sorted(os.path.basename(path)[:-len("_fuzz.c")]
                   for path in glob.glob(os.path.join(HERE, "*_fuzz.c")))
    ok(names, "there are fuzz targets")
    for name in names:
        run(name, seconds)
    done_testing()


if __name__ == "__main__":
    main()

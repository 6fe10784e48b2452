#!/usr/bin/env python3
"""The cost of a guarded stream grows with the text, not with its square: instructions of the redactor at
4, 16 and 64 KB in pieces of four characters, in every mode, less what a start costs."""

import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from weirtap import diag, done_testing, ok, skip_all  # noqa: E402

COST = os.path.join(ROOT, "build", "t", "bin", "redact-cost")
MODES = ["holdback", "window", "buffer"]
SIZES = [0, 4096, 16384, 65536]

if shutil.which("valgrind") is None:
    skip_all("valgrind is not installed: t/unit/redact_long.c counts scanned bytes")
if not os.path.exists(COST):
    skip_all("redact-cost is not built")


def instructions(mode, size):
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", COST, mode, str(size)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr.decode())
    if done.returncode != 0 or not found:
        diag(done.stderr.decode()[-800:])
        return None
    return int(found.group(1))


for mode in MODES:
    counts = [instructions(mode, size) for size in SIZES]
    if not ok(None not in counts, "%s: counted" % mode):
        continue
    small, middle, large = (count - counts[0] for count in counts[1:])
    ok(middle < 5 * small and large < 5 * middle,
       "%s: %.0f, %.0f and %.0f instructions a byte at 4, 16 and 64 KB" % (
           mode, small / 4096, middle / 16384, large / 65536))

done_testing()

#!/usr/bin/env python3
"""The modules also compile against a newer NGINX (Debian 13's nginx-dev, unpacked, not installed)."""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from weirtap import diag, done_testing, ok, skip_all  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(HERE))


def main():
    done = subprocess.run(["make", "--no-print-directory", "-C", ROOT, "modules-newer"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode("utf-8", "replace")
    skipped = [line for line in text.splitlines() if line.startswith("skipped: ")]
    if done.returncode == 0 and skipped:
        skip_all(skipped[0][len("skipped: "):])
    built = [line for line in text.splitlines() if "compiled against NGINX" in line]
    ok(done.returncode == 0 and built, built[0] if built else "the modules compile")
    if done.returncode != 0 or not built:
        diag(text[-4000:])
    done_testing()


if __name__ == "__main__":
    main()

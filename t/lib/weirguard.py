"""weir-guard, for tests of the guardrails.

    rows = scan([{"text": "..."}], "--no-scores")   # as it writes them back, with "findings"
"""

import json
import os
import subprocess

import weirnginx
import weirtap

WEIR_GUARD = os.path.join(os.environ.get("WEIR_BIN") or os.path.join(weirnginx.BUILD, "bin"),
                          "weir-guard")


def scan(rows, *options):
    """The rows, each with what was found in it."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    done = subprocess.run([WEIR_GUARD, "scan", "--jsonl", *options], input=text.encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode not in (0, 1):
        weirtap.diag(done.stderr.decode()[:2000])
    return [json.loads(line) for line in done.stdout.decode().splitlines()]

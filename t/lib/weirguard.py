"""weir-guard and the gateway's guard, for tests of the guardrails.

    rows = scan([{"text": "..."}], "--no-scores")   # as it writes them back, with "findings"
    tier2 = Upstream(moderate)                      # a second opinion
    works(gw, "x")                                  # of the request with that name in works.log
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


def moderate(received, reply):
    """A second opinion: of texts with BROKEN there is none, those with GUILTY are flagged."""
    text = " ".join(received.json()["input"])
    if "BROKEN" in text:
        reply.json(500, {})
    else:
        reply.json(200, {"results": [{"flagged": "GUILTY" in text}]})


def works(gw, ident):
    """How many works of the request threads have done, by the access log."""
    found = []
    ident = ident.replace(" ", "-")

    def logged():
        with open(os.path.join(gw.dir, "works.log")) as f:
            found[:] = [line.split() for line in f if line.startswith(ident + " ")]
        return found
    weirtap.wait_for(logged)
    return int(found[-1][2])

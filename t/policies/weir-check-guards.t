#!/usr/bin/env python3
"""weir check with a guards document: the shipped example, and documents that are wrong."""

import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from weirtap import done_testing, is_, like  # noqa: E402

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
WEIR = os.path.join(ROOT, "build", "bin", "weir")


def check(path):
    done = subprocess.run([WEIR, "check", "--guards", path], capture_output=True, text=True,
                          timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def written(policies):
    return check_text(json.dumps({"version": 1, "policies": policies}, indent=1))


def check_text(text):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        f.write(text)
        f.flush()
        return check(f.name)


status, text = check(os.path.join(ROOT, "policies", "examples", "guards.json"))
is_(status, 0, "the shipped example is good")
like(text, r"good: 5 policies\n  base [0-9a-f]{8}: answers by holdback\n.*research .*window.*"
     r"trial .*in shadow mode", "and what it says")
for policies, words in (
        ({"a": {"entities": {"EMIAL": "redact"}}}, r"json:\d+.*policies\.a\.entities\.EMIAL"),
        ({"a": {"extends": "b"}}, r"policies\.a\.extends"),
        ({"a": {"extends": "b"}, "b": {"extends": "a"}}, "a"),
        ({"a": {"deny": [{"id": "x", "expression": "(a+)+("}]}},
         r"policies\.a: the expression is wrong at character 6"),
        ({"a": {"opaque": {"input": "maybe"}}}, r"policies\.a\.opaque\.input"),
        ({"a": {"tier2": {"url": "http://x/", "api_key_file": "none.key"}}}, r"api_key_file"),
        ({"a": {"locked": ["secrets"]}, "b": {"extends": "a", "secrets": "allow"}}, r"secrets")):
    status, text = written(policies)
    is_(status, 1, "refused: %s" % json.dumps(policies)[:60])
    like(text, words, "and where")
is_(check_text("{")[0], 1, "no JSON")
is_(check("/nowhere.json")[0], 1, "no file")
done_testing()

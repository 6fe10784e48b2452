#!/usr/bin/env python3
"""weir-guard as its page describes it: JSON lines keep their fields, redaction is the same for every
chunking, bad input is answered with an error."""

import json
import os
import random
import select
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(0, HERE)

import pii_examples as ex  # noqa: E402
from weirtap import done_testing, is_, like, note, ok, unlike  # noqa: E402

WEIR_GUARD = os.path.join(os.environ.get("WEIR_BIN", os.path.join(ROOT, "build", "bin")),
                          "weir-guard")
seed = int(os.environ.get("WEIR_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
note("seed %d (WEIR_SEED repeats it)" % seed)
rng = random.Random(seed)


def guard(*arguments, data=b""):
    run = subprocess.run([WEIR_GUARD, *arguments], input=data, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, check=False)
    return run.returncode, run.stdout.decode(), run.stderr.decode()


# scan --jsonl
row = {"id": 7, "text": "caf\u00e9: joe@example.org", "tags": ["a", {"b": None}], "score": 0.70,
       "action": "old"}
status, out, _ = guard("scan", "--jsonl", data=json.dumps(row).encode() + b"\n\n")
got = json.loads(out)
is_(status, 0, "scan succeeds")
is_([got[k] for k in ("id", "text", "tags", "score")], [row[k] for k in ("id", "text", "tags", "score")],
    "other fields are kept")
ok('"score": 0.7' in out.split('"findings"')[0], "as they were written")
is_(got["findings"], [{"type": "EMAIL_ADDRESS", "start": 7, "end": 22, "score": 0.95, "rule": "email"}],
    "offsets are bytes of UTF-8")
is_(sorted(got["scores"]), sorted(["toxicity", "insult", "threat", "sexual", "identity_attack",
                                   "self_harm", "injection", "jailbreak"]), "every head has a score")
ok(all(0 <= p <= 1 for p in got["scores"].values()), "scores are probabilities")
is_(got["action"], "redact", "an entity is redacted")
_, out, _ = guard("scan", "--jsonl", data=b'{"text": "What a nice day it is."}\n')
is_((json.loads(out)["action"], json.loads(out)["findings"]), ("pass", []), "nothing to do")
_, out, _ = guard("scan", "--jsonl", "--no-scores", data=b'{"text": "a"}\n')
ok("scores" not in json.loads(out), "--no-scores")

# Bad lines are answered in their place.
status, out, err = guard("scan", "--jsonl", data=b'{"text": 1}\nnonsense\n{"text": "ok"}\n{"text": "\\ud800"}\n')
lines = [json.loads(line) for line in out.splitlines()]
is_((status, len(lines)), (1, 4), "a line for each line, and a failing status")
ok("error" in lines[0] and "error" in lines[1] and "findings" in lines[2] and "error" in lines[3],
   "errors where the lines are bad")
like(err, r"line 2", "the message names the line")

_, out, _ = guard("scan", "--jsonl", data=b'{"text": "a"}\n\n{"text": "b"}\n')
is_([bool(line) for line in out.split("\n")], [True, False, True, False], "an empty line keeps its place")

# More than a scan lists.
many = b"a@b.co " * 70000
status, out, _ = guard("scan", "--no-scores", "--jsonl", data=json.dumps({"text": many.decode()}).encode())
ok(json.loads(out)["truncated"] is True and 0 < len(json.loads(out)["findings"]) < 70000,
   "JSON lines tell that there is more than is listed")
status, out, err = guard("redact", data=many)
is_((status, err, out.count("@"), out.count("<EMAIL_ADDRESS_1>")), (0, "", 0, 70000),
    "redact leaves none of 70,000 entities")
status, out, _ = guard("redact", "--stream", "1000", data=many)
is_((status, out.count("@")), (0, 0), "whatever the feeds")

# Plain files.
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "a.txt")
    with open(path, "w", encoding="utf-8") as f:
        f.write("call +1 212-555-0199 or 219-09-9999")
    status, out, _ = guard("scan", "--no-scores", path)
    is_([line.split(": ")[1].split()[1] for line in out.splitlines()],
        ["PHONE_NUMBER", "US_SSN", "redact"], "entities of a file, and the action")
    status, _, err = guard("scan", os.path.join(folder, "none"))
    is_(status, 1, "no such file")
    like(err, r"none: No such file", "and it says so")
    names = os.path.join(folder, "names")
    with open(names, "w", encoding="utf-8") as f:
        f.write("Blue Heron\nGreen Ibis\n")
    _, out, _ = guard("redact", "--list", "PROJECT=" + names, "--entity", "BADGE=B-\\d{4}",
                      data=b"green ibis, B-1234, Blue Heron")
    is_(out, "<PROJECT_1>, <BADGE_1>, <PROJECT_2>", "custom entities")
status, _, err = guard("scan", "--entity", "X=(a+)+!")
is_(status, 1, "an expensive expression is refused")
like(err, r"backtracks", "with the reason")
is_(guard("scan", "--bogus")[0], 2, "wrong usage")
is_(guard()[0], 2, "no command")
is_((guard("scan", "--help")[0], guard("redact", "--help")[1]), (0, guard("--help")[1]), "help")
like(guard("scan", "--stream", "4")[2], r"option of redact", "a stream is redacted, not listed")
status, out, _ = guard("rules")
ok(status == 0 and "EMAIL_ADDRESS" in out and "PERSON (needs a window)" in out, "rules are listed")
_, out, _ = guard("scan", "--no-scores", "--off", "EMAIL_ADDRESS", data=b"joe@example.org 10.1.2.3")
unlike(out, r"EMAIL", "--off")
_, out, _ = guard("scan", "--no-scores", "--only", "IP_ADDRESS", data=b"joe@example.org 10.1.2.3")
ok("EMAIL" not in out and "IP_ADDRESS" in out, "--only")

# The examples of the page.
with open(os.path.join(ROOT, "docs", "weir-guard.md"), encoding="utf-8") as page:
    examples = [block.split("\n", 1) for block in page.read().split("```") if block.startswith("\n$ ")]
    examples = [block.split("\n", 1) for _, block in examples]
is_(len(examples), 2, "docs/weir-guard.md has examples")
for command, want in examples:
    run = subprocess.run(["sh", "-c", command[2:].replace("weir-guard", WEIR_GUARD)],
                         stdout=subprocess.PIPE, check=False)
    is_(run.stdout.decode().rstrip("\n"), want.rstrip("\n"), "docs/weir-guard.md: " + command)

# Redaction.
_, out, _ = guard("redact", data=b"joe@example.org, ann@example.org, joe@example.org")
is_(out, "<EMAIL_ADDRESS_1>, <EMAIL_ADDRESS_2>, <EMAIL_ADDRESS_1>", "the same value, the same name")
_, out, _ = guard("redact", data=b"<EMAIL_ADDRESS_1> is not joe@example.org")
is_(out, "<EMAIL_ADDRESS_1> is not <EMAIL_ADDRESS_2>", "names of the text's own are not given")
_, out, _ = guard("redact", "--jsonl", data=b'{"n": 1, "text": "to joe@example.org\\n", "m": 2}\n')
is_(json.loads(out), {"n": 1, "text": "to <EMAIL_ADDRESS_1>\n", "m": 2}, "redact --jsonl")

entities = [ex.card(rng, "4", 16), ex.iban(rng, "GB"), ex.base58check(rng, 0), ex.bech32(rng, "bc"),
            "joe.bloggs@example.org", "https://u:pw@example.net/x?a=b", "+44 20 7946 0958",
            "219-09-9999", "10.20.30.40", "4111 1111 1111 1111", "Mr. John Smith", "12 Main Street",
            "12 March 1980", "AKIAIOSFODNN7ABCDEFG", "caf\u00e9", "\u4e2d\u6587", "j\u200boe@example.org",
            "am9lLmJsb2dnc0BleGFtcGxlLm9yZyBpcyBteSBtYWls", "joe%40example.org"]
words = ["the", "house", "call", "card", "born", "my", "account", "is", "ok.", "and", "so"]
text = ""
for _ in range(120):
    text += rng.choice(entities if rng.random() < 0.3 else words) + rng.choice([" ", " ", ", ", "\n"])
for options in ([], ["--holdback"]):
    whole = guard("redact", *options, data=text.encode())[1]
    ok(whole != text, "the text is redacted")
    for size in (1, 2, 3, 7, 64, 1000):
        pieces = guard("redact", *options, "--stream", str(size), data=text.encode())[1]
        is_(pieces, whole, "%s fed %d bytes at a time" % (" ".join(options) or "all rules", size))

# A stream is written while it comes.
run = subprocess.Popen([WEIR_GUARD, "redact", "--holdback", "--stream", "5"], stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE)
run.stdin.write(b"Mail joe@example.org, please, and then wait for the next one: ann@exam")
run.stdin.flush()
early = b""
want = b"Mail <EMAIL_ADDRESS_1>, please, and then wait for the next one: "
while len(early) < len(want) and select.select([run.stdout], [], [], 60)[0]:
    early += os.read(run.stdout.fileno(), 4096) or b"(the end)" + want
is_(early, want, "what is decided is written before the input's end")
run.stdin.write(b"ple.org")
run.stdin.close()
is_((run.stdout.read(), run.wait()), (b"<EMAIL_ADDRESS_2>", 0), "the rest at its end")
own = " ".join(["<EMAIL_ADDRESS_1> is mine.", "word " * 30000, "joe@example.org <EMAIL_ADDRESS_2>",
                "and " * 20000, "ann@example.org, EMAIL_ADDRESS_5 zoe@example.org tim@example.org"])
outputs = {guard("redact", "--holdback", "--stream", str(size), data=own.encode())[1]
           for size in (61, 1000, 70001, 1 << 20)}
is_([o.replace("word ", "").replace("and ", "") for o in outputs],
    ["<EMAIL_ADDRESS_1> is mine.  <EMAIL_ADDRESS_2> <EMAIL_ADDRESS_2>  <EMAIL_ADDRESS_3>, "
     "EMAIL_ADDRESS_5 <EMAIL_ADDRESS_4> <EMAIL_ADDRESS_6>"],
    "names that stood before are not given, whatever the pieces")
for value in ("joe.bloggs@example.org", "219-09-9999", "4111 1111 1111 1111", "10.20.30.40"):
    ok(value not in whole, "no byte of it is left: " + value)
done_testing()

#!/usr/bin/env python3
"""weir-guard train and eval: the same corpus gives the same bytes, the shipped weights are those of
their manifest, broken data is refused with its place, and bars that are missed fail the run. The
corpora are made here; they are nonsense in the files' formats."""

import csv
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

from weirtap import done_testing, is_, like, ok  # noqa: E402

WEIR_GUARD = os.path.join(os.environ.get("WEIR_BIN", os.path.join(ROOT, "build", "bin")),
                          "weir-guard")
WEIGHTS = os.path.join(ROOT, "guardrails", "weights")
rng = random.Random(5)


def guard(*arguments):
    run = subprocess.run([WEIR_GUARD, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         check=False)
    return run.returncode, run.stdout.decode(), run.stderr.decode()


def sentence(bad):
    words = ["river", "stone", "table", "green", "music", "paper", "window", "garden", "idea"]
    return " ".join(rng.choices(words + (["grumble", "blight", "sneer"] * 3 if bad else []), k=9))


def table(rows, separator=","):
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\n").writerows(rows)
    return out.getvalue()


def labelled(count):
    return [(sentence(i % 2), i % 2) for i in range(count)]


def train_files():
    lines = [json.dumps({"question": sentence(0), "answer": "1"}) for _ in range(40)]
    return {
        "jigsaw.csv": table([[t + '\nsaid "he", twice', y] for t, y in labelled(200)]),
        "davidson.csv": table([["", "count", "h", "o", "n", "class", "tweet"]] +
                              [[i, 3, 0, 0, 3, 0 if y else 2, "RT @someone: &amp; " + t]
                               for i, (t, y) in enumerate(labelled(60))]),
        "paradetox.tsv": table([["toxic", "neutral1", "neutral2", "neutral3"]] +
                               [[sentence(1), sentence(0), "", ""] for _ in range(60)], "\t"),
        "paradetox_cannot_rewrite.tsv": table(
            [["", "INPUT:toxic_comment", "OUTPUT:reasons"]] +
            [[i, '"%s"' % t, '{"toxic_content":true}' if y else '{"not_toxic":true}']
             for i, (t, y) in enumerate(labelled(60))], "\t"),
        "hatemoji_build.csv": table(
            [["entry_id", "text", "type", "target", "a", "b", "set", "split", "label_gold"]] +
            [[i, t, "derogation" if y else "none", "x", "", "", "", "train", y]
             for i, (t, y) in enumerate(labelled(60))]),
        "bias_madlibs_20k.csv": table([["Text", "Label", "Template"]] +
                                      [[t, "BAD" if y else "NOT_BAD", "x"]
                                       for t, y in labelled(80)]),
        "injection_mixed.csv": table([["text", "label", "category"]] +
                                     [[t, y, "jailbreak" if y else "benign"]
                                      for t, y in labelled(120)]),
        "gptfuzzer.csv": table([["id", "text"]] + [[i, sentence(1)] for i in range(9)]),
        "inthewild_jailbreak.json": json.dumps([sentence(1) for _ in range(20)]),
        "tap_jailbreaks.txt": "\n".join(sentence(1) for _ in range(5)) + "\n",
        "gsm8k_benign.jsonl": "\n".join(lines) + "\n",
    }


def write(folder, files):
    for name, text in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8", newline="") as f:
            f.write(text)


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


with open(os.path.join(WEIGHTS, "manifest.json"), encoding="utf-8") as f:
    manifest = json.load(f)
is_(digest(os.path.join(WEIGHTS, "tier1.bin")), manifest["weights"]["sha256"],
    "the shipped weights are those of the manifest")
is_(os.path.getsize(os.path.join(WEIGHTS, "tier1.bin")), manifest["weights"]["bytes"],
    "and as long")
for source in manifest["sources"]:
    grammar = os.path.join(ROOT, "guardrails", "training", "templates", source["name"])
    if os.path.exists(grammar):
        is_(digest(grammar), source["sha256"], "trained on this %s" % source["name"])
excluded = os.path.join(ROOT, "guardrails", "training", "excluded.txt")
is_(digest(excluded), manifest["excluded"]["sha256"], "trained without the rows of excluded.txt")
ok(manifest["excluded"]["rows"] >= manifest["excluded"]["digests"] > 0, "each of which was found")
ok(all(h["held_out_auc"] > 0.9 for h in manifest["heads"]), "held-out AUC of every head over 0.9")

with tempfile.TemporaryDirectory() as folder:
    files = train_files()
    write(folder, files)
    out = [os.path.join(folder, "weights%d" % i) for i in range(3)]
    short = ["--buckets", "4096", "--epochs", "1"]
    for i in range(2):
        status, text, error = guard("train", "--data", folder, "--out", out[i], "--manifest",
                                    out[i] + ".json", *short)
        is_((status, error), (0, ""), "training %d succeeds" % (i + 1))
    is_(digest(out[0]), digest(out[1]), "the same corpus gives the same weights")
    is_(digest(out[0] + ".json"), digest(out[1] + ".json"), "and the same manifest")
    with open(out[0] + ".json", encoding="utf-8") as f:
        made = json.load(f)
    is_(made["weights"]["sha256"], digest(out[0]), "the manifest names the weights")
    rows = {s["name"]: s["records"] for s in made["sources"]}
    is_([rows["jigsaw.csv"], rows["paradetox.tsv"], rows["tap_jailbreaks.txt"]], [200, 60, 5],
        "records are counted as parsed, line breaks in quotes or not")
    is_(made["sources"][0]["sha256"], digest(os.path.join(folder, "jigsaw.csv")),
        "files are named by their hashes")

    write(folder, {"jigsaw.csv": 'fine,0\n"never closed,1\n'})
    status, _, error = guard("train", "--data", folder, "--out", out[2], *short)
    is_(status, 1, "an open quote fails")
    like(error, r"jigsaw\.csv: record 2", "with file and record")
    ok(not os.path.exists(out[2]), "and leaves no weights")
    os.remove(os.path.join(folder, "jigsaw.csv"))
    status, _, error = guard("train", "--data", folder, "--out", out[2], *short)
    like(error, r"jigsaw\.csv: No such file", "a missing file is named")
    is_(guard("train", "--data", folder)[0], 2, "usage without --out")
    is_(guard("train", "--data", folder, "--out", out[2], "--buckets", "9")[0], 2,
        "a number out of range is a usage error")

    cases = labelled(40)
    bad = json.dumps([{"prompt": t} for t, _ in cases])
    write(folder, {
        "jigsaw.csv": table(cases),
        "wiki_toxicity.csv": table([["rev_id", "comment", "toxic"]] +
                                   [[i, t, bool(y)] for i, (t, y) in enumerate(cases)]),
        "openai_moderation_1680.jsonl": "".join(json.dumps({"prompt": t, "S": y}) + "\n"
                                                for t, y in cases),
        "xstest.csv": table([["id", "prompt", "label"]] +
                            [[i, t, "unsafe" if y else "safe"] for i, (t, y) in enumerate(cases)]),
        "injection_mixed_val.csv": table([["text", "label"]] + [list(c) for c in cases]),
        "notinject_one.json": bad, "notinject_two.json": bad, "notinject_three.json": bad,
        "mitre_frr_benign.json": json.dumps([{"mutated_prompt": "green river"}]),
        "pii_synth_v2.json": json.dumps([
            {"full_text": "\u00e9 write to ann@example.org",
             "spans": [{"entity_type": "EMAIL_ADDRESS", "start_position": 11,
                        "end_position": 26}]}]),
    })
    shared = "The green river, and a PAPER window"
    write(folder, {"xstest.csv": table([["id", "prompt", "label"], [1, shared, "safe"]])})
    with tempfile.TemporaryDirectory() as train:
        write(train, dict(files, **{
            "tap_jailbreaks.txt": "the green river: and a paper window\n",
            "gsm8k_benign.jsonl": json.dumps({"question": "one sum, none of the public ones"})}))
        status, text, error = guard("overlaps", "--train", train, "--public", folder)
    is_((status, [line for line in text.splitlines() if line[0] != "#"]),
        (0, [hashlib.sha256(b"thegreenriverandapaperwindow").hexdigest()]),
        "overlaps names a row that a public set holds, whatever its case and punctuation")
    like(error, r"tap_jailbreaks\.txt: 1 rows", "and counts by file")
    is_(guard("overlaps", "--train", folder)[0], 2, "usage without --public")
    report = os.path.join(folder, "report.md")
    status, text, error = guard("eval", "--data", folder, "--write", report)
    is_(status, 1, "nonsense misses the bars")
    like(error, r"\d+ bars missed", "and says how many")
    like(text, r"\| F1, EMAIL_ADDRESS \| at least 0.99 \| 1.0000 \| met \|",
         "a span counts by bytes where offsets are code points")
    like(text, r"\| toxicity, Jigsaw \| \d+ \| \d+ \| \d+ \|", "tables have counts")
    with open(report, encoding="utf-8") as f:
        is_(f.read(), text, "--write writes what was printed")
    os.remove(os.path.join(folder, "xstest.csv"))
    like(guard("eval", "--data", folder)[2], r"xstest\.csv", "a missing set is named")
    is_(guard("eval")[0], 2, "usage without --data")

done_testing()

#!/usr/bin/env python3
"""weir keys with teams, users and two secrets; weir check with all documents, a journal, a state and
a key's effective policy."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from weirtap import done_testing, is_, like, unlike  # noqa: E402

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
WEIR = os.path.join(ROOT, "build", "bin", "weir")


def weir(*args):
    return subprocess.run([WEIR, *args], capture_output=True, text=True, timeout=60)


def write(folder, name, document):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(document if isinstance(document, str) else json.dumps(document))
    return path


def hashed(key, record):
    return hashlib.sha256(bytes.fromhex(record["salt"]) + key.encode()).hexdigest()


def owners(folder):
    path = os.path.join(folder, "owners.json")
    create = ("keys", "create", "--tenants", path, "--tenant", "acme")
    for more in ([], ["--team", "search"], ["--team", "search", "--user", "ada@acme.example"],
                 ["--user", "bob"], ["--team", "search"]):
        is_(weir(*create, *more).returncode, 0, "keys create %s" % " ".join(more))
    tenant = json.load(open(path))["tenants"][0]
    is_((len(tenant["keys"]), [u["id"] for u in tenant["users"]], len(tenant["teams"]),
         len(tenant["teams"][0]["keys"]), tenant["teams"][0]["users"][0]["id"]),
        (1, ["bob"], 1, 2, "ada@acme.example"), "each key stands with its owner, each made once")
    listed = weir("keys", "list", "--tenants", path).stdout
    like(listed, r"acme/search/ada@acme\.example", "list names tenant, team and user")
    rows = [json.loads(x) for x in weir("keys", "list", "--tenants", path, "--json").stdout.splitlines()]
    is_(sorted((r["team"] or "", r["user"] or "") for r in rows),
        [("", ""), ("", "bob"), ("search", ""), ("search", ""), ("search", "ada@acme.example")],
        "so does --json")
    for row in rows:
        is_(weir("keys", "disable", "--tenants", path, row["id"]).returncode, 0,
            "a key is found wherever it stands")
    refused = weir(*create, "--team", "Not A Team")
    is_((refused.returncode, refused.stdout), (1, ""), "a bad team is refused")
    refused = weir(*create, "--policy", '{"caps":{"n":-1}}')
    is_(refused.returncode, 1, "so is a bad policy")
    like(refused.stderr, r"policy\.caps\.n: expected an integer", "with its place")
    is_(weir(*create, "--policy", '{"caps":{"n":1}}').returncode, 0, "a good one is kept")
    unnamed = weir(*create, "--policy", "batch")
    like(unnamed.stderr, r"--policies FILE", "a name needs the document that defines it")
    is_(unnamed.returncode, 2, "or is refused")
    policies = os.path.join(ROOT, "policies", "examples", "policies.json")
    before = open(path).read()
    refused = weir(*create, "--policy", "bacth", "--policies", policies)
    like(refused.stderr, r"nothing was changed: .*no policy is called \"bacth\"", "a wrong name is told")
    is_((refused.returncode, refused.stdout, open(path).read()), (1, "", before), "and changes nothing")
    is_(os.listdir(folder), [os.path.basename(path)], "nor leaves anything behind")
    is_(weir(*create, "--policy", "batch", "--policies", policies).returncode, 0, "a right one is kept")


def rotation(folder):
    path = os.path.join(folder, "rotation.json")
    first = weir("keys", "create", "--tenants", path, "--tenant", "acme").stdout.strip()
    key_id = first.split("_")[1]
    second = weir("keys", "rotate", "--tenants", path, "--until", "2099-01-01", key_id)
    is_(second.returncode, 0, "keys rotate")
    like(second.stdout.strip(), r"\Awk_%s_[A-Za-z0-9_-]{43}\Z" % key_id, "prints a key of that id")
    record = json.load(open(path))["tenants"][0]["keys"][0]
    is_((record["hash"], record["previous"]["hash"], record["previous"]["expires"]),
        (hashed(second.stdout.strip(), record), hashed(first, record), "2099-01-01"),
        "both secrets are in the document, the older with its end")
    unlike(open(path).read() + second.stderr, re.escape(second.stdout.strip().split("_", 2)[2]),
           "and none in clear")
    like(weir("keys", "list", "--tenants", path).stdout, r"two secrets", "list says so")
    third = weir("keys", "rotate", "--tenants", path, key_id)
    record = json.load(open(path))["tenants"][0]["keys"][0]
    is_(record["previous"]["hash"], hashed(second.stdout.strip(), record),
        "a second rotation keeps two")
    is_(weir("keys", "retire", "--tenants", path, key_id).returncode, 0, "keys retire")
    record = json.load(open(path))["tenants"][0]["keys"][0]
    is_((record["hash"], "previous" in record), (hashed(third.stdout.strip(), record), False),
        "leaves the newest")
    is_(weir("keys", "retire", "--tenants", path, key_id).returncode, 1, "there is no more to retire")
    before = open(path).read()
    is_(weir("keys", "rotate", "--tenants", path, "--until", "soon", key_id).returncode, 1,
        "a bad time is refused")
    is_(open(path).read(), before, "and changes nothing")
    is_(weir("keys", "rotate", "--tenants", path, "000000000000").returncode, 1, "an unknown key")


def journal(path, *changes):
    """The format of docs/documents.md, written by another hand."""
    last, lines = "", []
    for line in ({"weir_journal": 1, "seq": 0},) + changes:
        body = json.dumps(line, separators=(",", ":"))[:-1]
        last = hashlib.sha256((last + body).encode()).hexdigest()[:16]
        lines.append('%s,"sum":"%s"}\n' % (body, last))
    with open(path, "w") as f:
        f.write("".join(lines))
    return path


DOCUMENT = {"version": 1, "tenants": [
    {"id": "acme", "policy": {"caps": {"n": 3}, "locked": ["caps.n"]}, "teams": [
        {"id": "search", "policy": "batch", "keys": [
            {"id": "aaaaaaaaaaaa", "salt": "00" * 16, "hash": "00" * 32,
             "policy": {"models": {"allow": ["m"]}}}]}]},
    {"id": "beta", "keys": [{"id": "bbbbbbbbbbbb", "salt": "00" * 16, "hash": "00" * 32}]}]}
POLICIES = {"version": 1, "base": {"over_cap": "lower"},
            "policies": {"batch": {"caps": {"max_tokens": 7}}}}


def explain(folder):
    tenants = write(folder, "t.json", json.dumps(DOCUMENT, indent=1))
    policies = write(folder, "p.json", POLICIES)
    both = ("check", "--tenants", tenants, "--policies", policies)
    shown = weir(*both, "--key", "aaaaaaaaaaaa")
    is_(shown.returncode, 0, "check --key")
    for line in (r"models\.allow +\[\"m\"\] +key ", r"caps\.max_tokens +7 +team .*p\.json:1: policies\.batch",
                 r"caps\.n +3 +tenant .*t\.json:8: tenants\[0\]\.policy\.caps\.n +locked by .*tenants\[0\]",
                 r"over_cap +\"lower\" +base ", r"tools\.max +null +default"):
        like(shown.stdout, line, "shows value, level and place: " + line[:14])
    fields = json.loads(weir(*both, "--key", "aaaaaaaaaaaa", "--json").stdout)["fields"]
    is_((fields["caps.n"]["locked_by"], fields["over_cap"]["level"]), ("tenant", "base"), "--json")
    unlike(shown.stdout, "hash|salt|00000000000000000000", "no hash or salt is shown")
    is_(weir(*both, "--key", "cccccccccccc").returncode, 1, "an unknown key")
    changed = json.loads(json.dumps(DOCUMENT))
    changed["tenants"][0]["teams"][0]["keys"][0]["policy"]["caps"] = {"n": 4}
    refused = weir("check", "--tenants", write(folder, "bad.json", changed), "--policies", policies)
    is_(refused.returncode, 1, "a change of a locked field is refused")
    like(refused.stderr, r"bad\.json:1: tenants\[0\]\.teams\[0\]\.keys\[0\]\.policy\.caps\.n: is locked "
         r"by .*bad\.json:1: tenants\[0\]\.policy\.locked, expected 3 or nothing, found 4",
         "with both places, expected and found")


def states(folder):
    tenants = write(folder, "t.json", DOCUMENT)
    policies = write(folder, "p.json", POLICIES)
    state = os.path.join(folder, "state.json")
    both = ("check", "--tenants", tenants, "--policies", policies)
    is_(weir(*both, "--save-state", state).returncode, 0, "check --save-state")
    unlike(open(state).read(), "0000000000000000", "the state holds no salt and no hash")
    like(weir(*both, "--state", state).stdout, "nothing changes", "the same documents change nothing")
    after = json.loads(json.dumps(DOCUMENT))
    after["tenants"][1]["id"] = "gamma"
    after["tenants"][0]["teams"][0]["keys"][0]["enabled"] = False
    after["tenants"][0]["policy"]["caps"]["n"] = 2
    write(folder, "t.json", after)
    diff = weir(*both, "--state", state).stdout
    for line in (r"- tenant beta vanishes", r"\+ tenant gamma appears", r"~ tenant acme changes: policy",
                 r"~ team acme/search changes: policy", r"~ key aaaaaaaaaaaa changes: enabled, policy",
                 r"~ key bbbbbbbbbbbb changes: tenant"):
        like(diff, "(?m)^%s$" % line, "told: " + line)
    is_(weir(*both, "--state", tenants).returncode, 1, "a file that is no state")


def journals(folder):
    tenants = write(folder, "t.json", DOCUMENT)
    policies = write(folder, "p.json", POLICIES)
    state = os.path.join(folder, "state.json")
    both = ("check", "--tenants", tenants, "--policies", policies)
    weir(*both, "--save-state", state)
    ts = "2030-01-31T12:00:00.000Z"
    path = journal(
        os.path.join(folder, "changes.jsonl"),
        {"seq": 1, "ts": ts, "op": "key_created", "key": "cccccccccccc", "by": "ops",
         "salt": "11" * 16, "hash": "22" * 32, "tenant": "acme", "team": "search",
         "policy": {"caps": {"max_tokens": 5}}},
        {"seq": 2, "ts": ts, "op": "key_disabled", "key": "bbbbbbbbbbbb"},
        {"seq": 3, "ts": ts, "op": "key_revoked", "key": "dddddddddddd"})
    both += ("--journal", path)
    result = weir(*both, "--state", state)
    is_(result.returncode, 0, "check --journal")
    like(result.stdout, r"changes\.jsonl: good: up to change 3, 2 keys made or changed by it, 1 changes "
         r"without effect", "sums it up")
    like(result.stdout, r"(?m)^\+ key cccccccccccc appears$", "a key made at run time appears")
    like(result.stdout, r"(?m)^~ key bbbbbbbbbbbb changes: enabled, at_runtime$", "a changed one changes")
    like(weir(*both, "--key", "cccccccccccc").stdout, r"caps\.max_tokens +5 +key ",
         "its policy is shown")
    text = open(path).read()
    write(folder, "changes.jsonl", text[:-30])
    like(weir(*both).stdout, r"up to change 2", "a torn last line is left out")
    write(folder, "changes.jsonl", text.replace("bbbbbbbbbbbb", "aaaaaaaaaaaa"))
    damaged = weir(*both)
    is_(damaged.returncode, 1, "a changed line is an error")
    like(damaged.stderr, r"changes\.jsonl:3: the line is damaged", "with its number")
    is_(weir("check", "--journal", path).returncode, 2, "a journal alone is wrong usage")
    is_(weir("journal", "list", "--journal", path).returncode, 1, "nor is it listed")
    for members in ({"ts": ts, "op": "key_deleted", "key": "bbbbbbbbbbbb"},
                    {"seq": 1, "op": "key_deleted", "key": "bbbbbbbbbbbb"},
                    {"seq": 1, "ts": ts, "key": "bbbbbbbbbbbb"},
                    {"seq": 1, "ts": ts, "op": "key_deleted"},
                    {"seq": 1, "ts": ts, "op": "key_eaten", "key": "bbbbbbbbbbbb"},
                    {"seq": 1, "ts": ts, "op": "key_created", "key": "bbbbbbbbbbbb"},
                    {"seq": 1, "ts": ts, "op": "key_deleted", "key": "bbbbbbbbbbbb", "x": 1}):
        journal(path, members)
        like(weir(*both).stderr, r"changes\.jsonl:2: ", "refused: " + json.dumps(members)[:60])
    write(folder, "changes.jsonl", text)
    listed = weir("journal", "list", "--journal", path).stdout
    like(listed, r"(?m)^ +1  2030-01-31T12:00:00\.000Z  key_created   cccccccccccc  by ops  for "
         r"acme/search$", "journal list shows who did what")
    is_(len(listed.splitlines()), 3, "one line a change")
    unlike(listed, "11111111|22222222", "without salts and hashes")
    before = weir(*both, "--key", "cccccccccccc").stdout
    is_(weir("journal", "compact", "--journal", path).returncode, 0, "journal compact")
    is_(weir(*both, "--key", "cccccccccccc").stdout, before, "changes nothing")
    is_(weir("journal", "list", "--journal", folder + "/none").returncode, 1, "a missing journal")
    is_(os.path.exists(folder + "/none"), False, "is not made")
    is_(weir("journal", "shred", "--journal", path).returncode, 2, "an unknown verb")


def notes(folder):
    tenants = write(folder, "t.json", {"version": 1, "tenants": [
        {"id": "a", "policy": {"models": {"allow": ["x"]}, "aliases": {"fast": "y", "good": "x"}}}]})
    result = weir("check", "--tenants", tenants)
    like(result.stdout, r"note: tenant a: the alias fast stands for y, which its policy does not allow",
         "an alias that can never be used is noted")
    unlike(result.stdout, "good stands", "another is not")


def main():
    for part in (owners, rotation, explain, states, journals, notes):
        with tempfile.TemporaryDirectory() as folder:
            part(folder)
    done_testing()


if __name__ == "__main__":
    main()

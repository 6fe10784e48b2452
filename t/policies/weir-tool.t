#!/usr/bin/env python3
"""The operator's command: keys, check and usage."""

import json
import os
import re
import stat
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from weirtap import done_testing, is_, like, ok, unlike  # noqa: E402

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
WEIR = os.path.join(ROOT, "build", "bin", "weir")


def weir(*args, stdin=None):
    return subprocess.run([WEIR, *args], input=stdin, capture_output=True, text=True, timeout=60)


def keys(folder):
    path = os.path.join(folder, "tenants.json")
    made = weir("keys", "create", "--tenants", path, "--tenant", "demo", "--label", "first key")
    is_(made.returncode, 0, "keys create makes a document when there is none")
    key = made.stdout.strip()
    like(key, r"\Awk_[0-9a-z]{12}_[A-Za-z0-9_-]{43}\Z", "it prints the key and nothing else")
    is_(stat.S_IMODE(os.stat(path).st_mode), 0o600, "the document is private")
    text = open(path).read()
    ok(key not in text and key.split("_", 2)[2] not in text, "the document does not hold the key")
    unlike(made.stderr, re.escape(key.split("_", 2)[2]), "nor does the message")

    os.chmod(path, 0o640)
    second = weir("keys", "create", "--tenants", path, "--tenant", "demo", "--expires", "2020-01-01")
    is_(second.returncode, 0, "a second key for the same tenant")
    is_(stat.S_IMODE(os.stat(path).st_mode), 0o640, "a changed document keeps its mode")
    document = json.load(open(path))
    is_([t["id"] for t in document["tenants"]], ["demo"], "the tenant is there once")

    rows = [json.loads(line) for line in
            weir("keys", "list", "--tenants", path, "--json").stdout.splitlines()]
    is_([(r["label"], r["state"]) for r in rows], [("first key", "usable"), ("", "expired")],
        "keys list tells labels and states")
    unlike(json.dumps(rows), r"hash|salt", "and no hash")

    key_id = key.split("_")[1]
    is_(weir("keys", "disable", "--tenants", path, key_id).returncode, 0, "keys disable")
    like(weir("keys", "list", "--tenants", path, "--tenant", "demo").stdout,
         key_id + r"\s+disabled", "the key is listed as disabled")
    is_(weir("keys", "enable", "--tenants", path, key_id).returncode, 0, "keys enable")
    like(weir("keys", "list", "--tenants", path).stdout, key_id + r"\s+usable", "usable again")
    is_(weir("keys", "delete", "--tenants", path, key_id).returncode, 0, "keys delete")
    unlike(weir("keys", "list", "--tenants", path).stdout, key_id, "the key is gone")
    gone = weir("keys", "delete", "--tenants", path, key_id)
    is_(gone.returncode, 1, "deleting it again fails")
    like(gone.stderr, key_id, "and names it")

    before = open(path).read()
    for bad in (["--tenant", "Bad Tenant"], ["--tenant", "demo", "--expires", "soon"],
                ["--tenant", "demo", "--label", "x" * 300]):
        refused = weir("keys", "create", "--tenants", path, *bad)
        is_((refused.returncode, refused.stdout), (1, ""), "refused: %s" % " ".join(bad)[:40])
    for option in ("--label", "--expires"):
        refused = weir("keys", "create", "--tenants", path, "--tenant", "demo", option, b"\xff")
        is_((refused.returncode, refused.stdout), (1, ""), "refused: %s that is no UTF-8" % option)
    is_(open(path).read(), before, "a refused change leaves the document alone")
    is_(sorted(os.listdir(folder)), ["tenants.json"], "and no temporary file behind")


def safe_writing(folder):
    place = os.path.join(folder, "place")
    os.mkdir(place)
    path = os.path.join(place, "tenants.json")
    weir("keys", "create", "--tenants", path, "--tenant", "demo")
    link = os.path.join(folder, "link.json")
    os.symlink(path, link)
    if os.geteuid() == 0:
        os.chown(path, 12345, 12346)
    is_(weir("keys", "create", "--tenants", link, "--tenant", "demo").returncode, 0,
        "a document behind a symbolic link")
    ok(os.path.islink(link), "the link stays a link")
    is_(len(json.load(open(path))["tenants"][0]["keys"]), 2, "and the document has the key")
    if os.geteuid() == 0:
        is_((os.stat(path).st_uid, os.stat(path).st_gid), (12345, 12346), "the owner stays the same")
    with open("/dev/full", "w") as full:
        made = subprocess.run([WEIR, "keys", "create", "--tenants", path, "--tenant", "demo"],
                              stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        is_(made.returncode, 1, "a key that cannot be shown is a failure")
        like(made.stderr, r"could not be shown", "that says so")
        listed = subprocess.run([WEIR, "keys", "list", "--tenants", path], stdout=full,
                                stderr=subprocess.PIPE, text=True, timeout=60)
        is_(listed.returncode, 1, "so is a list that cannot be written")


def concurrent(folder):
    path = os.path.join(folder, "many.json")
    runs = [subprocess.Popen([WEIR, "keys", "create", "--tenants", path, "--tenant", "t%d" % (i % 3)],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for i in range(12)]
    for run in runs:
        run.communicate()
    total = sum(len(t["keys"]) for t in json.load(open(path))["tenants"])
    is_(total, 12, "twelve creations at once lose none")


def check(folder):
    good = os.path.join(ROOT, "policies", "examples", "tenants.json")
    result = weir("check", "--tenants", good)
    is_(result.returncode, 0, "check accepts the example")
    like(result.stdout, r"2 tenants, 1 keys", "and summarises it")
    bad = os.path.join(folder, "bad.json")
    with open(bad, "w") as f:
        f.write('{\n "version": 1,\n "tenants": [\n  {"id": "x", "enabled": 3}\n ]\n}\n')
    result = weir("check", "--tenants", bad)
    is_(result.returncode, 1, "check refuses a bad document")
    like(result.stderr, r"bad\.json:4: tenants\[0\]\.enabled: expected true or false, found a number",
         "with file, line, path, expected and found")
    conf = os.path.join(folder, "nginx.conf")
    for text, want in (("events {}", 0), ("events {", 1)):
        with open(conf, "w") as f:
            f.write("pid %s/nginx.pid; error_log stderr; %s\n" % (folder, text))
        result = weir("check", "--conf", conf, "--prefix", folder, "--nginx", nginx())
        is_(result.returncode, want, "check --conf on '%s'" % text)
    is_(weir("check", "--conf", conf, "--nginx", "/nonexistent").returncode, 1, "no such NGINX")
    is_(weir("check").returncode, 2, "nothing to check is wrong usage")


def nginx():
    return "/usr/sbin/nginx" if os.path.exists("/usr/sbin/nginx") else "nginx"


def row(**members):
    line = {"ts": "2030-01-01T10:00:00.000Z", "request_id": "r", "tenant": "a", "key_id": "k",
            "model": "m", "path": "/v1/x", "stream": False, "aborted": False, "prompt_tokens": 1,
            "cached_tokens": 0, "completion_tokens": 2, "usage_source": "reported", "status": 200,
            "latency_ms": 5, "ttft_ms": None}
    line.update(members)
    return json.dumps(line) + "\n"


def usage(folder):
    path = os.path.join(folder, "usage.jsonl")
    with open(path, "w") as f:
        f.write(row() + row(prompt_tokens=10, cached_tokens=4) +
                row(tenant="b", team="t", user="u", cache_write_tokens=3, reasoning_tokens=2,
                    aborted=True, status=499, ts="2030-01-02T00:00:00.000Z") +
                row(tenant=None, status=401, prompt_tokens=0, completion_tokens=0))
    rows = [json.loads(line) for line in weir("usage", "--ledger", path, "--json").stdout.splitlines()]
    is_(rows, [
        {"tenant": "-", "requests": 1, "errors": 1, "aborted": 0, "prompt_tokens": 0,
         "cached_tokens": 0, "cache_write_tokens": 0, "completion_tokens": 0,
         "reasoning_tokens": 0},
        {"tenant": "a", "requests": 2, "errors": 0, "aborted": 0, "prompt_tokens": 11,
         "cached_tokens": 4, "cache_write_tokens": 0, "completion_tokens": 4,
         "reasoning_tokens": 0},
        {"tenant": "b", "requests": 1, "errors": 1, "aborted": 1, "prompt_tokens": 1,
         "cached_tokens": 0, "cache_write_tokens": 3, "completion_tokens": 2,
         "reasoning_tokens": 2}], "usage by tenant")
    like(weir("usage", "--ledger", path).stdout, r"(?m)^total +4 +2 +1 +12 +4 +6$",
         "the table has a total")
    for by, names in (("day", ["2030-01-01", "2030-01-02"]), ("status", ["200", "401", "499"]),
                      ("team", ["-/-", "a/-", "b/t"]), ("user", ["-/-", "a/-", "b/u"]),
                      ("key", ["k"]), ("model", ["m"])):
        got = [json.loads(line)[by] for line in
               weir("usage", "--ledger", path, "--by", by, "--json").stdout.splitlines()]
        is_(got, names, "usage by %s" % by)
    some = weir("usage", "--ledger", path, "--since", "2030-01-02", "--json").stdout
    is_(json.loads(some)["tenant"], "b", "--since")
    some = weir("usage", "--ledger", path, "--until", "2030-01-02", "--tenant", "a", "--json").stdout
    is_(json.loads(some)["requests"], 2, "--until and --tenant")
    torn = open(path).read() + '{"ts":"2030-01-01T1'
    result = weir("usage", "--ledger", "-", "--json", stdin=torn)
    is_((result.returncode, len(result.stdout.splitlines())), (1, 3),
        "a torn line is reported and the rest is counted")
    like(result.stderr, r"1 lines are no ledger rows, the first is 5", "with its number")
    is_(weir("usage", "--ledger", path, "--by", "colour").returncode, 2, "an unknown group")
    is_(weir("usage", "--ledger", folder + "/none").returncode, 1, "a missing ledger")


def usages():
    is_(weir().returncode, 2, "no command is wrong usage")
    is_(weir("frobnicate").returncode, 2, "so is an unknown one")
    for command in ("keys", "check", "usage"):
        result = weir(command, "--help")
        ok(result.returncode == 0 and result.stdout.startswith("Usage: weir " + command),
           "%s --help" % command)
    is_(weir("keys", "create", "--tenant", "x").returncode, 2, "create without --tenants")
    is_(weir("keys", "create", "--tenants", "x").returncode, 2, "create without --tenant")
    is_(weir("keys", "enable", "--tenants", "x").returncode, 2, "enable without a key id")


with tempfile.TemporaryDirectory() as temp:
    keys(temp)
with tempfile.TemporaryDirectory() as temp:
    safe_writing(temp)
with tempfile.TemporaryDirectory() as temp:
    concurrent(temp)
    check(temp)
    usage(temp)
usages()
done_testing()

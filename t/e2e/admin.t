#!/usr/bin/env python3
"""The admin interface: every call by every role, changes that reach two workers at once and survive
kill -9, a running stream that a revocation cuts, documents read again, and no hash anywhere."""

import hashlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import (KEYS, Gateway, bearer, chunk, completion, key_id, key_record,  # noqa: E402
                         usage_object)
from weirnginx import ROOT, Upstream, alive, request  # noqa: E402
from weirtap import done_testing, is_, like, ok, wait_for  # noqa: E402

TOKENS = {role: hashlib.sha256(role.encode()).hexdigest() for role in
          ("viewer", "operator", "admin", "off", "late", "nobody")}


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


ADMINS = {"version": 1, "admins": [
    {"name": "eve", "role": "viewer", "sha256": sha256(TOKENS["viewer"])},
    {"name": "otto", "role": "operator", "sha256": sha256(TOKENS["operator"])},
    {"name": "ada", "role": "admin", "sha256": sha256(TOKENS["admin"]),
     "expires": "2099-01-01T00:00:00Z"},
    {"name": "off", "role": "admin", "sha256": sha256(TOKENS["off"]), "enabled": False},
    {"name": "late", "role": "admin", "sha256": sha256(TOKENS["late"]),
     "expires": "2020-01-01T00:00:00Z"}]}

TENANTS = {"version": 1, "tenants": [
    {"id": "acme", "name": "Acme", "teams": [{"id": "search", "users": [{"id": "alice"}]}],
     "keys": [key_record("good", label="first"), key_record("good2"),
              key_record("disabled", enabled=False)]},
    {"id": "beta", "keys": [key_record("other")]}]}

gate, hold, held = threading.Event(), threading.Event(), threading.Event()


def answer(received, reply):
    if b'"hold"' in received.body:
        held.set()
        hold.wait(20)
    if b'"stream": true' in received.body:
        reply.begin(200)
        reply.event(chunk("one", role="assistant"))
        gate.wait(20)
        reply.event(chunk("two"))
        reply.event(chunk(finish="stop"))
        reply.event("[DONE]")
        reply.end()
        return
    reply.json(200, completion(usage=usage_object(3, 2)))


up = Upstream(answer)

HTTP = """
    weir_journal @dir@/journal.jsonl;
    weir_admin_log @dir@/admin.jsonl;
"""

MORE = """
    }
    server {
        listen 127.0.0.1:@port2@;
        location /admin/ { weir_admin @dir@/admins.json; }
"""

MODULES = ["core", "auth", "metrics", "admin"]

gw = Gateway(up, tenants=TENANTS, more_http=HTTP, more_server=MORE, modules=MODULES, workers=2,
             documents={"admins.json": ADMINS}, log_level="notice")
answers = []


def admin(role, method, path, body=None, headers=None, where=None):
    send = {"Authorization": "Bearer " + TOKENS[role]} if role else {}
    r = request(where or gw.ports["port2"], method, "/admin/" + path, headers={**send, **(headers or {})},
                **({"body": body} if isinstance(body, (str, bytes)) else {"json": body}))
    answers.append(r.text)
    return r


def status(key):
    """What the gateway says to a key; asked often enough to reach both workers."""
    headers = {"Authorization": "Bearer " + (KEYS.get(key) or key)}
    seen = {gw.request("POST", "/v1/chat/completions", json={"model": "m", "messages": []},
                       headers=headers).status for _ in range(8)}
    return seen.pop() if len(seen) == 1 else sorted(seen)


# -- every call by every role

good = key_id("good2")
CALLS = [
    ("GET", "whoami", None, 0), ("GET", "documents", None, 0), ("GET", "state", None, 0),
    ("GET", "tenants", None, 0), ("GET", "keys", None, 0), ("GET", "keys/" + good, None, 0),
    ("GET", "keys/%s/policy" % good, None, 0),
    ("POST", "keys/%s/disable" % good, None, 1), ("POST", "keys/%s/enable" % good, None, 1),
    ("POST", "reload", None, 1), ("POST", "keys/%s/revoke" % key_id("disabled"), None, 1),
    ("POST", "keys/%s/rotate" % good, {"grace": 60}, 2),
    ("POST", "keys", {"tenant": "acme"}, 2), ("DELETE", "keys/" + good, None, 2)]
ROLES = ("viewer", "operator", "admin")

for method, path, body, least in CALLS:
    for role in (None, "off", "late", "nobody"):
        r = admin(role, method, path, body)
        is_((r.status, r.json()["error"]["code"]), (401, "invalid_credentials"),
            "%s %s without credentials (%s)" % (method, path, role))
    for level, role in enumerate(ROLES):
        if path.endswith("revoke") and role == "admin":
            continue
        r = admin(role, method, path, body)
        if level < least:
            is_((r.status, r.json()["error"]["code"]), (403, "role_too_low"),
                "%s %s by %s: refused" % (method, path, role))
        else:
            is_(r.status, 201 if (method, path) == ("POST", "keys") else 200,
                "%s %s by %s: done" % (method, path, role))
            is_(r.headers.get("Cache-Control"), "no-store", "and not to be kept")

is_(status("good2"), 401, "the deleted key is unknown")
r = admin("admin", "GET", "keys/" + good)
is_((r.status, r.json()["error"]["code"]), (404, "unknown_key"), "to the admin, too")

# -- who he is

is_(admin("viewer", "GET", "whoami").json(), {"name": "eve", "role": "viewer", "expires": None},
    "whoami")
t = TOKENS["admin"]
for name, headers in (("a tenant's key", bearer("good")), ("basic", {"Authorization": "Basic " + t}),
                      ("a bare token", {"Authorization": t}), ("x-api-key", {"x-api-key": t}),
                      ("the hash", {"Authorization": "Bearer " + sha256(t)}),
                      ("a cut token", {"Authorization": "Bearer " + t[:-1]}),
                      ("an empty one", {"Authorization": "Bearer "}),
                      ("a cookie", {"Cookie": "token=" + t})):
    is_(admin(None, "GET", "keys", headers=headers).status, 401, "%s is no credential" % name)
is_(gw.request("GET", "/v1/models", headers={"Authorization": "Bearer " + t}).status, 401,
    "and an admin's token calls no model")

# -- what is no call

for method, path, code in (("GET", "", 404), ("GET", "nothing", 404), ("GET", "keys/", 404),
                           ("GET", "keys/short", 404), ("GET", "keys/ABCDEFGHIJKL", 404),
                           ("GET", "keys/%2e%2e/state", 200), ("POST", "keys/" + good, 405),
                           ("PUT", "keys", 405), ("DELETE", "keys", 405), ("POST", "whoami", 405),
                           ("GET", "reload", 405), ("OPTIONS", "keys", 405),
                           ("GET", "keys/%s/secret" % key_id("good"), 404),
                           ("POST", "keys/%s/disable" % "z" * 0 + "keys/zzzzzzzzzzzz/disable", 404)):
    is_(admin("admin", method, path).status, code, "%s %s: %d" % (method, path or "nothing", code))
for path, allow in (("keys", "GET, POST"), ("keys/" + good, "GET, DELETE"), ("reload", "POST"),
                    ("whoami", "GET")):
    is_(admin("admin", "PUT", path).headers.get("Allow"), allow, "%s: 405 names %s" % (path, allow))
for body, code in (("{", "invalid_json"), ("[]", "invalid_json"), ('{"tenant":"acme","tenant":"b"}',
                                                                  "invalid_json"),
                   ("{}", "invalid_member"), ('{"tenant":7}', "invalid_member"),
                   ('{"tenant":"acme","role":"admin"}', "invalid_member"),
                   ('{"tenant":"acme","expires":"soon"}', "invalid_member"),
                   ('{"tenant":"acme","expires":"2020-01-01"}', "invalid_member"),
                   ('{"tenant":"acme","label":"a\\u0000b"}', "invalid_member"),
                   ('{"tenant":"acme","label":"%s"}' % ("x" * 257), "invalid_member"),
                   ('{"tenant":"acme","policy":"all"}', "invalid_member")):
    r = admin("admin", "POST", "keys", body)
    is_((r.status, r.json()["error"]["code"]), (400, code), "create with %s" % body[:50])
for body in ('{"tenant":"nobody"}', '{"tenant":"acme","team":"none"}',
             '{"tenant":"acme","team":"search","user":"mallory"}'):
    ok(admin("admin", "POST", "keys", body).status in (400, 404), "create with %s" % body)
ok(admin("admin", "POST", "keys", '{"tenant":"acme","policy":{"no":"such"}}').status == 400,
   "create with an unknown policy member")
is_(admin("admin", "POST", "keys", "x" * 20000).status, 413, "a long body")
is_(admin("admin", "POST", "keys/%s/enable" % key_id("good"), {"a": 1}).status, 400,
    "a body where none belongs")
for body in ('{"grace":-1}', '{"grace":"1"}', '{"grace":1e12}', '{"hours":1}'):
    is_(admin("admin", "POST", "keys/%s/rotate" % key_id("good"), body).status, 400,
        "rotate with %s" % body)

# -- create, rotate, disable, enable, on both workers at once

r = admin("admin", "POST", "keys", {"tenant": "acme", "team": "search", "user": "alice",
                                    "label": "made \u00fc\" here", "expires": "2099-12-31"})
made = r.json()
is_(r.status, 201, "a key is made")
like(made["secret"], r"^wk_%s_[A-Za-z0-9_-]{43}$" % made["id"], "its secret is shown")
is_({n: made["key"][n] for n in ("tenant", "team", "user", "label", "state", "at_runtime", "expires")},
    {"tenant": "acme", "team": "search", "user": "alice", "label": "made \u00fc\" here",
     "state": "active", "at_runtime": True, "expires": "2099-12-31T00:00:00.000Z"},
    "and what it is")
is_(status(made["secret"]), 200, "it opens, on both workers")
ident = made["id"]
is_(admin("operator", "POST", "keys/%s/disable" % ident).json()["key"]["state"], "disabled",
    "disabled")
is_(status(made["secret"]), 403, "it does not open any more, at once")
admin("operator", "POST", "keys/%s/enable" % ident)
is_(status(made["secret"]), 200, "enabled, it opens again")
rotated = admin("admin", "POST", "keys/%s/rotate" % ident, {"grace": 2}).json()
ok(rotated["secret"] != made["secret"] and rotated["secret"][:16] == made["secret"][:16],
   "rotated: another secret of the same id")
is_((status(rotated["secret"]), status(made["secret"])), (200, 200), "both open")
is_((rotated["key"]["previous_secret"], rotated["key"]["previous_expires"] is None), (True, False),
    "and it says so")
ok(wait_for(lambda: status(made["secret"]) == 401, 10), "until the old one's time is up")
is_(status(rotated["secret"]), 200, "the new one stays")
again = admin("admin", "POST", "keys/%s/rotate" % ident, {"grace": 0}).json()
is_((status(again["secret"]), status(rotated["secret"])), (200, 401), "without grace, at once")
limited = admin("admin", "POST", "keys", {"tenant": "beta", "policy": {"models": {"allow": ["x"]}}})
is_(limited.status, 201, "a key with a policy of its own")
like(admin("viewer", "GET", "keys/%s/policy" % limited.json()["id"]).text, '"x"', "which is shown")

# -- lists

keys = admin("viewer", "GET", "keys").json()
ids = [k["id"] for k in keys["keys"]]
ok(key_id("good") in ids and ident in ids and good not in ids, "the list has the keys that there are")
is_(keys["next"], None, "all of them")
paged, at = [], 0
while at is not None:
    page = admin("viewer", "GET", "keys?limit=2&from=%d" % at).json()
    paged += [k["id"] for k in page["keys"]]
    at = page["next"]
is_(sorted(paged), sorted(ids), "page by page it is the same")
is_({k["tenant"] for k in admin("viewer", "GET", "keys?tenant=beta").json()["keys"]}, {"beta"},
    "of one tenant")
for query in ("limit=0", "limit=x", "limit=99999", "from=-1"):
    is_(admin("viewer", "GET", "keys?" + query).status, 400, "keys?%s" % query)
is_(admin("viewer", "GET", "keys?from=99999999").json()["keys"], [], "behind the last")
is_([t["id"] for t in admin("viewer", "GET", "tenants").json()["tenants"]], ["acme", "beta"],
    "tenants")

# -- a running stream is cut

stream = gw.stream("POST", "/v1/chat/completions",
                   json={"model": "m", "messages": [], "stream": True},
                   headers={"Authorization": "Bearer " + again["secret"]})
other = gw.stream("POST", "/v1/chat/completions",
                  json={"model": "m", "messages": [], "stream": True}, headers=bearer("other"))
events = stream.events()
is_(json.loads(next(events)[1])["choices"][0]["delta"]["content"], "one", "a stream begins")
others = other.events()
next(others)
is_(admin("operator", "POST", "keys/%s/disable" % ident).status, 200, "its key is disabled")
admin("operator", "POST", "keys/%s/enable" % ident)
start = time.monotonic()
is_(admin("operator", "POST", "keys/%s/revoke" % ident).json()["key"]["state"], "revoked",
    "then revoked")
rest = [data for _, data in events]
ok(time.monotonic() - start < 10, "the stream ends while its upstream still waits")
like("".join(rest), "revoked", "with an error in band that says why")
ok("two" not in "".join(rest) and "[DONE]" not in rest, "and does not look complete")
is_(status(again["secret"]), 401, "the key opens nothing any more")
r = admin("operator", "POST", "keys/%s/enable" % ident)
is_((r.status, r.json()["error"]["code"]), (400, "key_revoked"), "and cannot be enabled")
gate.set()
is_([d for _, d in others][-1], "[DONE]", "another key's stream goes on to its end")

# -- an answer that has not begun is refused instead

spare = admin("admin", "POST", "keys", {"tenant": "beta"}).json()
late = []
waiting = threading.Thread(target=lambda: late.append(gw.request(
    "POST", "/v1/chat/completions", json={"model": "hold", "messages": []},
    headers={"Authorization": "Bearer " + spare["secret"]})))
waiting.start()
ok(held.wait(10), "a request waits for its upstream")
is_(admin("operator", "POST", "keys/%s/revoke" % spare["id"]).status, 200, "its key is revoked")
waiting.join(10)
is_([(r.status, r.json()["error"]["code"]) for r in late], [(401, "api_key_revoked")],
    "it is refused, in a whole answer")
hold.set()

# -- kill -9, restart, reload

sequence = admin("viewer", "GET", "documents").json()["journal_seq"]
for pid in gw.workers():
    gw.allow(r"exited on signal 9")
    os.kill(pid, signal.SIGKILL)
ok(wait_for(lambda: len(gw.workers()) == 2, 10), "workers killed, new ones are there")
is_((status("good2"), status(again["secret"]), status("good")), (401, 401, 200),
    "they know all changes")
new = admin("admin", "POST", "keys", {"tenant": "beta"}).json()["secret"]
processes = [gw.pid, *gw.workers()]
for pid in processes:
    os.kill(pid, signal.SIGKILL)
gw.process.wait()
ok(wait_for(lambda: not any(alive(pid) for pid in processes), 10), "all processes are killed")
gw.process = None
with open(os.path.join(gw.dir, "journal.jsonl"), "ab") as f:
    f.write(b'{"torn":')
gw.start()
is_((status("good2"), status(again["secret"]), status(new), status("good")), (401, 401, 200, 200),
    "kill -9 of all and a torn journal: every change that was answered is there")
is_(admin("viewer", "GET", "documents").json()["journal_seq"], sequence + 1, "and no other")
is_(admin("operator", "POST", "keys/%s/disable" % key_id("other")).status, 200,
    "changes go on behind the torn line")
gw.reload()
is_((status("good2"), status(new), status("other")), (401, 200, 403), "and survive a reload")

# -- documents

more = json.loads(json.dumps(TENANTS))
more["tenants"].append({"id": "gamma", "keys": [key_record("unknown")]})
before = admin("viewer", "GET", "documents").json()
is_(status("unknown"), 401, "a key in no document")
gw.write_tenants(more)
is_(admin("operator", "POST", "reload").status, 200, "documents are read again without a HUP")
is_(status("unknown"), 200, "its key opens, on both workers")
is_((status("good2"), status(new)), (401, 200), "changes at run time stay on top")
after = admin("viewer", "GET", "documents").json()
ok(after["hash"] != before["hash"] and after["ok"] is True, "another hash")
gw.write_tenants('{"version": 1, "tenants": [{"id": "Nonsense"}]}')
r = admin("operator", "POST", "reload")
is_(r.status, 400, "a bad document is refused")
like(r.json()["error"]["message"], r"tenants\.json:1: tenants\[0\]\.id", "with file, line and path")
is_((status("unknown"), status("good")), (200, 200), "the last good ones stay in force")
state = admin("viewer", "GET", "documents").json()
is_((state["ok"], state["hash"], state["failures"] > 0), (False, after["hash"], True), "and it shows")
like(state["error"], "Nonsense|tenants", "with the reason")
is_(gw.metrics()["weir_documents_ok"], 0, "in the metrics, too")
gw.allow(r"\[emerg\].*tenants\.json")
try:
    gw.reload()
    ok(False, "a HUP with a bad document is refused")
except RuntimeError as error:
    like(str(error), r"tenants\.json:1", "a HUP with a bad document is refused")
is_(status("unknown"), 200, "and changes nothing")
ok(admin("viewer", "GET", "documents").json()["failures"] > state["failures"],
   "but shows in the state that went on")
gw.write_tenants(more)
gw.reload()
is_(admin("viewer", "GET", "documents").json()["ok"], True, "a good one again: all is well")
is_(gw.metrics()["weir_documents_ok"], 1, "in the metrics, too")
gw.write_tenants(TENANTS)
admin("operator", "POST", "reload")
is_(status("unknown"), 401, "a tenant that is gone takes its keys along")
gw.kill_worker()
ok(wait_for(lambda: len(gw.workers()) == 2, 10), "a worker is killed after that")
is_(status("unknown"), 401, "and its successor reads the same documents")

# -- many at once

made = []
threads = [threading.Thread(target=lambda: made.append(
    admin("admin", "POST", "keys", {"tenant": "acme"}))) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
is_([r.status for r in made], [201] * 12, "twelve at once: all are made")
is_(len({r.json()["seq"] for r in made}), 12, "one after the other")
is_([status(r.json()["secret"]) for r in made], [200] * 12, "and all open")

# -- the wait for the disk in threads

threaded = Gateway(up, tenants=TENANTS, more_server=MORE, modules=MODULES, workers=2,
                   more_http="weir_journal @dir@/state/journal; weir_admin_threads admin;",
                   main="thread_pool admin threads=2;", documents={"admins.json": ADMINS},
                   name="threaded", start=False)
folder = os.path.join(threaded.dir, "state")
os.mkdir(folder)
os.chmod(folder, 0o777)                 # the workers write the journal anew
threaded.start()
made2 = []
threads = [threading.Thread(target=lambda: made2.append(
    admin("admin", "POST", "keys", {"tenant": "beta"}, where=threaded.ports["port2"])))
           for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
is_([r.status for r in made2], [201] * 12, "in threads: twelve keys at once")
is_(sorted(r.json()["seq"] for r in made2), list(range(1, 13)), "one after the other")
is_({threaded.request("POST", "/v1/chat/completions", json={"model": "m", "messages": []},
                      headers={"Authorization": "Bearer " + r.json()["secret"]}).status
     for r in made2 for _ in range(4)}, {200}, "all open, on both workers")
threaded.reload()
is_(threaded.request("POST", "/v1/chat/completions", json={"model": "m", "messages": []},
                     headers={"Authorization": "Bearer " + made2[0].json()["secret"]}).status, 200,
    "and after a reload")

def journal_lines():
    with open(os.path.join(folder, "journal")) as f:
        return len(f.read().splitlines())


def opens(r):
    return {threaded.request("POST", "/v1/chat/completions", json={"model": "m", "messages": []},
                             headers={"Authorization": "Bearer " + r.json()["secret"]}).status
            for _ in range(6)}


where = threaded.ports["port2"]
for r in made2[:6]:
    admin("admin", "DELETE", "keys/" + r.json()["id"], where=where)
admin("operator", "POST", "keys/%s/revoke" % made2[6].json()["id"], where=where)
lines = journal_lines()
for role, wanted in (("viewer", 403), ("operator", 403), ("admin", 200)):
    is_(admin(role, "POST", "compact", where=where).status, wanted, "compact by %s: %d"
        % (role, wanted))
ok(journal_lines() < lines, "the journal is shorter (%d lines, were %d)" % (journal_lines(), lines))
is_([opens(made2[n]) for n in (0, 6, 7)], [{401}, {401}, {200}], "and says the same, to both workers")
r = admin("admin", "POST", "keys", {"tenant": "beta"}, where=where)
is_((r.status, r.json()["seq"], opens(r)), (201, 20, {200}), "numbers go on")
threaded.reload()
is_([opens(made2[n]) for n in (0, 6, 7)] + [opens(r)], [{401}, {401}, {200}, {200}],
    "after a reload, too")

# -- somebody holds the journal, and does not let go

with open(os.path.join(folder, "journal"), "rb") as held:
    fcntl.flock(held, fcntl.LOCK_EX)
    held_up = []
    waiting = [threading.Thread(target=lambda: held_up.append(
        admin("admin", "POST", "keys", {"tenant": "beta"}, where=where))) for _ in range(4)]
    for thread in waiting:
        thread.start()
    is_([opens(made2[7]) for _ in range(3)], [{200}] * 3, "the journal is held: requests go on")
    ok(all(a.status == 503 for a in held_up), "and no change is made (%d ended)" % len(held_up))
for thread in waiting:
    thread.join()
is_({a.status for a in held_up} <= {201, 503}, True, "who waited is served, or told to try again")
is_(admin("admin", "POST", "keys", {"tenant": "beta"}, where=where).status, 201,
    "and the next one is served")

with open(os.path.join(folder, "journal"), "rb") as held:
    fcntl.flock(held, fcntl.LOCK_EX)
    threaded.reload()
    is_((opens(made2[7]), opens(r)), ({200}, {200}), "a reload does not wait for who holds it")
like(threaded.read_log(), r"journal. has been locked by another process for 2000 ms",
     "and says so")
is_(admin("admin", "POST", "keys", {"tenant": "beta"}, where=where).status, 201,
    "changes are made again when it is free")

# -- a place for the journal that cannot be

text = threaded._parts["http"]  # pylint: disable=protected-access
threaded.write_config(http=text.replace("@dir@/state/journal", "@dir@/nowhere/journal"))
threaded.allow(r"nowhere/journal: No such file")
before = threaded.workers()
threaded.send_signal(signal.SIGHUP)
ok(wait_for(lambda: "nowhere/journal" in threaded.read_log(), 10), "a bad reload is refused")
is_((threaded.workers(), opens(made2[7])), (before, {200}), "and the gateway goes on as it was")
threaded.write_config(http=text)
threaded.reload()

# -- a journal that grows is written anew by itself

before = admin("viewer", "GET", "documents", where=where).json()["journal_seq"]
kept = journal_lines()
changes = 0
while changes < 700 and journal_lines() >= kept + changes:
    verb = ("disable", "enable")[changes % 2]
    if admin("operator", "POST", "keys/%s/%s" % (made2[7].json()["id"], verb),
             where=where).status != 200:
        break
    changes += 1
ok(changes >= 200 and journal_lines() <= kept + 2,
   "after %d changes of one key it has %d lines, at the beginning %d" % (
       changes, journal_lines(), kept))
if changes % 2:
    admin("operator", "POST", "keys/%s/enable" % made2[7].json()["id"], where=where)
is_((opens(made2[0]), opens(made2[7]), opens(r)), ({401}, {200}, {200}), "with the same effect")
is_(admin("viewer", "GET", "documents", where=where).json()["journal_seq"],
    before + changes + changes % 2, "numbers go on")

# Where the workers must not write it anew, a reload does.
os.chmod(folder, 0o755)
kept = journal_lines()
for n in range(400):
    admin("operator", "POST", "keys/%s/%s" % (made2[7].json()["id"], ("disable", "enable")[n % 2]),
          where=where)
grown = journal_lines()
threaded.reload()
ok(grown <= kept + 2 or (grown >= kept + 400 and journal_lines() <= kept + 2),
   "a reload writes anew what workers could not (%d lines, then %d)" % (grown, journal_lines()))
is_((opens(made2[0]), opens(made2[7]), opens(r)), ({401}, {200}, {200}), "with the same effect")

# -- without a journal, and configurations that are refused

plain = Gateway(up, tenants=TENANTS, more_server=MORE, modules=MODULES, name="plain",
                documents={"admins.json": ADMINS})
r = admin("admin", "POST", "keys", {"tenant": "beta"}, where=plain.ports["port2"])
is_((r.status, r.json()["error"]["code"]), (409, "no_journal"), "without a journal: no changes")
like(r.json()["error"]["message"], "weir_journal", "and how there would be")
is_(admin("viewer", "GET", "keys", where=plain.ports["port2"]).status, 200, "only questions")

SITE = "weir_tenants @dir@/tenants.json; server { listen 127.0.0.1:@port@; %s }"
for name, modules, location, message in (
        ("without the auth module", ["core", "admin"],
         "location /admin/ { weir_admin @dir@/admins.json; }", "ngx_http_weir_auth_module"),
        ("no slash at the end", MODULES, "location /admin { weir_admin @dir@/admins.json; }",
         'ends in "/"'),
        ("an exact location", MODULES, "location = /admin/ { weir_admin @dir@/admins.json; }",
         'ends in "/"'),
        ("an expression", MODULES, "location ~ /admin/ { weir_admin @dir@/admins.json; }",
         'ends in "/"'),
        ("no document", MODULES, "location /admin/ { weir_admin @dir@/none.json; }", "none.json"),
        ("tenants for admins", MODULES, "location /admin/ { weir_admin @dir@/tenants.json; }",
         "tenants.json"),
        ("an unknown pool", MODULES,
         "location /admin/ { weir_admin @dir@/admins.json; } } weir_admin_threads none; server { ",
         'unknown thread pool "none"')):
    http = SITE % location
    if "auth" not in modules:
        http = http.replace("weir_tenants @dir@/tenants.json;", "")
    bad = Gateway(up, tenants=TENANTS, http=http, server="", start=False, modules=modules,
                  documents={"admins.json": ADMINS})
    accepted, said = bad.test()
    is_(accepted, False, "refused: " + name)
    like(said, message, "with a message that helps")

# -- the commands of the page

with open(os.path.join(ROOT, "docs", "admin.md"), encoding="utf-8") as page:
    commands = [line for block in re.findall(r"(?ms)^```sh\n(.*?)^```", page.read())
                for line in block.splitlines()]
is_(len(commands), 5, "docs/admin.md has commands")
for command in commands:
    command = command.replace("http://127.0.0.1:9180", "http://127.0.0.1:%d" % gw.ports["port2"])
    run = subprocess.run(["bash", "-c", "set -e; " + command.replace("0123456789ab", key_id("other"))],
                         env={**os.environ, "token": TOKENS["admin"]}, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    ok(run.returncode == 0 and b'"error"' not in run.stdout, "docs/admin.md: " + command[:60])

# -- what is written down

lines = [json.loads(line) for line in open(os.path.join(gw.dir, "admin.jsonl"))]
ok(any((x["admin"], x["verb"], x["target"], x["status"]) == ("otto", "revoke", ident, 200)
       for x in lines), "the log says who revoked what")
ok(any((x["admin"], x["result"]) == ("eve", "role") for x in lines), "and who was not allowed to")
ok(any((x["admin"], x["status"]) == (None, 401) for x in lines), "and that somebody tried")
like(gw.read_log(), r'weir admin: "otto" asked for "revoke"', "the error log, too")
journal = open(os.path.join(gw.dir, "journal.jsonl")).read()
secrets = [r.json()["secret"] for r in made] + [new] + list(TOKENS.values())
ok(not any(s in gw.logs() + journal for s in secrets), "no secret is in a log or the journal")
records = [k for t in TENANTS["tenants"] for k in t["keys"]] + [json.loads(x) for x in
                                                              journal.split("\n") if x.strip()]
hashes = {v for r in records for n, v in r.items() if n in ("salt", "hash", "previous_hash")} \
    | {a["sha256"] for a in ADMINS["admins"]}
ok(len(hashes) > 10 and not any(h in text for h in hashes for text in answers),
   "no hash or salt is in any answer")
ok(not re.search(r'"(salt|sha256)"|hash"', "".join(answers).replace('"hash":"%s"' % "", "")
                 .replace('{"hash":', "").replace(',"hash":', "")), "not even by name")
done_testing()

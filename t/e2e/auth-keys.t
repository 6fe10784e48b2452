#!/usr/bin/env python3
"""API keys in all their states, on several documents: two secrets, owners that are off, networks, and
the journal that other programs write; also a gateway that cannot read who may use it."""

import hashlib
import os
import stat
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import (KEYS, Gateway, completion, key_id, key_record,  # noqa: E402
                         make_key, usage_object)
from weirnginx import Upstream, request  # noqa: E402
from weirtap import done_testing, is_, like, ok, wait_for  # noqa: E402


def two_secrets(ident, expires):
    """(old key, new key, record)"""
    old, new = make_key(ident), make_key(ident)
    salt = bytes(range(16))
    digest = [hashlib.sha256(salt + key.encode()).hexdigest() for key in (old, new)]
    return old, new, {"id": ident, "salt": salt.hex(), "hash": digest[1],
                      "previous": {"hash": digest[0], "expires": expires}}


soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
old, new, rotating = two_secrets("rotating0000", soon)
gone, fresh, rotated = two_secrets("rotated00000", "2020-01-01T00:00:00Z")


def owned(ident):
    key = make_key(ident)
    KEYS[ident] = key
    salt = os.urandom(16)
    return {"id": ident, "salt": salt.hex(),
            "hash": hashlib.sha256(salt + key.encode()).hexdigest()}


TENANTS = {"version": 1, "tenants": [
    {"id": "acme", "keys": [key_record("good"), rotating, rotated,
                            {**owned("near00000000"), "policy": {"addresses": ["127.0.0.0/8"]}},
                            {**owned("far000000000"),
                             "policy": {"addresses": ["10.0.0.0/8", "2001:db8::/32"]}}],
     "teams": [{"id": "on", "users": [{"id": "u@x", "keys": [owned("user00000000")]},
                                      {"id": "off@x", "enabled": False,
                                       "keys": [owned("useroff00000")]}],
                "keys": [owned("team00000000")]},
               {"id": "off", "enabled": False, "keys": [owned("teamoff00000")]}]}]}

up = Upstream(lambda received, reply: reply.json(200, completion(usage=usage_object(3, 2))))
HTTP = "weir_journal @dir@/journal.jsonl;"
MORE = """
    }
    server {
        listen 127.0.0.1:@port2@;
        set_real_ip_from 127.0.0.1;
        real_ip_header X-Forwarded-For;
        weir on;
        location / { proxy_pass http://engine; include @root@/config/weir-proxy.conf; }
    }
    server {
        listen unix:@dir@/gateway.sock;
        weir on;
        location / { proxy_pass http://engine; include @root@/config/weir-proxy.conf; }
"""
gw = Gateway(up, tenants=TENANTS, more_http=HTTP, more_server=MORE, workers=2)


def ask(key, where=None, headers=None):
    return request(where or gw.port, "POST", "/v1/chat/completions",
                   json={"model": "m", "messages": []},
                   headers={"Authorization": "Bearer " + KEYS.get(key, key), **(headers or {})})


def code(r):
    return r.status, r.json()["error"]["code"] if r.status >= 400 else None


# -- two secrets

is_(code(ask(new)), (200, None), "a rotating key: the new secret")
is_(code(ask(old)), (200, None), "and the old one")
is_(code(ask(fresh)), (200, None), "a rotated key: the new secret")
is_(code(ask(gone))[0], 401, "not the old one any more")

# -- owners

is_(code(ask("user00000000")), (200, None), "a user's key")
is_(code(ask("team00000000")), (200, None), "a team's key")
is_(code(ask("useroff00000")), (403, "user_disabled"), "a user that is off")
is_(code(ask("teamoff00000")), (403, "team_disabled"), "a team that is off")

# -- networks

is_(code(ask("near00000000")), (200, None), "an address on the list")
is_(code(ask("far000000000")), (403, "address_not_allowed"), "an address that is not on it")
is_(code(ask("far000000000", headers={"X-Forwarded-For": "10.1.2.3"})),
    (403, "address_not_allowed"), "a header is no address")
port = gw.ports["port2"]
is_(code(ask("far000000000", port, {"X-Forwarded-For": "10.1.2.3"})), (200, None),
    "unless NGINX is told to believe it")
is_(code(ask("far000000000", port, {"X-Forwarded-For": "2001:db8::7"})), (200, None), "IPv6")
is_(code(ask("far000000000", port, {"X-Forwarded-For": "2001:db9::7"})),
    (403, "address_not_allowed"), "another network of IPv6")
sock = os.path.join(gw.dir, "gateway.sock")
is_(code(ask("good", sock)), (200, None), "a Unix socket, without a list")
is_(code(ask("near00000000", sock)), (403, "address_not_allowed"),
    "a Unix socket has no address: with a list it is refused")

# -- the journal

path = os.path.join(gw.dir, "journal.jsonl")
is_(stat.S_IMODE(os.stat(path).st_mode), 0o600, "the journal is nobody else's")
text = open(path).read()
with open(path, "a") as f:
    f.write('{"op":"key_enabled","key":"%s"}\n' % key_id("good"))
ok(wait_for(lambda: [code(ask(new)) for _ in range(6)] == [(503, "identity_unavailable")] * 6, 10),
   "a damaged journal: nobody is admitted, since a revocation may be in it")
is_(gw.metrics()["weir_documents_ok"], 0, "the metrics show it")
like(gw.read_log(), r"\[error\].*nobody is admitted, changes made at run time cannot be read",
     "the log says why")
with open(path, "w") as f:
    f.write(text)
ok(wait_for(lambda: [ask(new).status for _ in range(6)] == [200] * 6, 10), "mended, all is well")
is_(gw.metrics()["weir_documents_ok"], 1, "in the metrics, too")

# -- configurations

for name, more, message in (
        ("a journal without documents", "weir_journal j;", r'need "weir_tenants"'),
        ("two journals", "weir_tenants @dir@/tenants.json; weir_journal a; weir_journal b;",
         "is duplicate"),
        ("an empty name", 'weir_tenants @dir@/tenants.json; weir_journal "";',
         "needs the name of a file"),
        ("a journal in no folder", "weir_tenants @dir@/tenants.json; weir_journal /no/such/j;",
         "/no/such/j"),
        ("an identity that is not there",
         "weir_tenants @dir@/tenants.json; weir_identity @dir@/none.json;", "none\\.json"),
        ("too large a cache", "weir_tenants @dir@/tenants.json; weir_token_cache 9999999;",
         "must be between 0 and 1048576")):
    bad = Gateway(up, tenants=TENANTS, http=more, server="", start=False, modules=["core", "auth"])
    accepted, said = bad.test()
    is_(accepted, False, "refused: " + name)
    like(said, message, "with a message that helps")
done_testing()

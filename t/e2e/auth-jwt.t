#!/usr/bin/env python3
"""Tokens at the gateway: those of every algorithm, hostile ones, whom they stand for, and where their
issuers' keys come from: files, URLs, rotation, and issuers that are down."""

import hashlib
import hmac
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import KEYS, Gateway, completion, key_record, usage_object  # noqa: E402
from weirjwt import Key, encode, forged, jwks  # noqa: E402
from weirnginx import Upstream  # noqa: E402
from weirtap import done_testing, is_, like, ok, wait_for  # noqa: E402

ISSUER = "https://login.example/"
ELSEWHERE = "https://other.example/"
now = int(time.time())

rsa, pss, p256, ed = Key("rsa", "rsa"), Key("rsa", "pss", "PS256"), Key("p256", "ec"), \
    Key("ed25519", "ed")
stranger = Key("p256", "ec")
remote, next_remote = Key("p256", "one"), Key("p256", "two")


class KeyServer:
    """Answers with the issuer's keys, or in any other way; counts."""

    def __init__(self):
        self.document = jwks(remote)
        self.status = 200
        self.gate = None
        self.asked = 0

    def __call__(self, received, reply):
        self.asked += 1
        if self.gate is not None:
            self.gate.wait(10)
        if isinstance(self.document, bytes):
            reply.send(self.status, self.document)
        else:
            reply.json(self.status, self.document)


server = KeyServer()
issuer = Upstream(server)
up = Upstream(lambda received, reply: reply.json(200, completion(usage=usage_object(3, 2))))

TENANTS = {"version": 1, "tenants": [
    {"id": "acme", "teams": [{"id": "search", "users": [{"id": "alice"}]}],
     "keys": [key_record("good")]},
    {"id": "beta"}, {"id": "gone", "enabled": False}]}


def identity(**more):
    return {"version": 1, "issuers": [
        {"issuer": ISSUER, "audiences": ["weir", "https://api.example"],
         "algorithms": ["RS256", "PS256", "ES256", "EdDSA"],
         "jwks": {"file": "keys.json"}, "claims": {"tenant": "tenant", "team": "org.team",
                                               "roles": "realm_access.roles"}},
        {"issuer": ELSEWHERE, "audiences": ["weir"], "algorithms": ["ES256"],
         "jwks": {"url": "http://127.0.0.1:%d/keys" % issuer.port, "refresh": 10, "stale": 3600},
         "tenant": "beta"}], **more}


HTTP = """
    log_format who '$weir_tenant $weir_team $weir_user';
    access_log @dir@/who.log who;
    weir_identity @dir@/identity.json;
    weir_jwks_timeout 1s;
"""

gw = Gateway(up, tenants=TENANTS, more_http=HTTP,
             modules=["core", "auth", "metrics", "client"],
             documents={"keys.json": jwks(rsa, pss, p256, ed), "identity.json": identity()})


def post(token, header="Authorization", scheme="Bearer "):
    return gw.request("POST", "/v1/chat/completions", json={"model": "tiny", "messages": []},
                      headers={header: scheme + token})


def claims(**more):
    out = {"iss": ISSUER, "aud": "weir", "exp": now + 600, "sub": "alice", "tenant": "acme"}
    out.update(more)
    return {name: value for name, value in out.items() if value is not None}


# -- good ones

rows = 0
for key, alg in ((rsa, "RS256"), (pss, "PS256"), (p256, "ES256"), (ed, "EdDSA")):
    for again in ("", " once more"):
        r = post(key.token(claims()))
        rows += 1
        is_((r.status, gw.usage(rows)[-1]["tenant"]), (200, "acme"), "%s is admitted%s"
            % (alg, again))
token = p256.token(claims(org={"team": "search"}, realm_access={"roles": ["dev"]}))
is_([post(token).status for _ in range(3)], [200, 200, 200],
    "a token of a team, from the cache too")


def who():
    with open(os.path.join(gw.dir, "who.log")) as f:
        return f.read().splitlines()


ok(wait_for(lambda: who()[-3:] == ["acme search alice"] * 3, 5), "tenant, team and user are known")
is_(post(p256.token(claims()), "x-api-key", "").status, 200, "a token in x-api-key")
is_(post(p256.token(claims(), header={"alg": "ES256", "kid": "ec"})).status, 200, "without a typ")
is_(post(p256.token(claims(aud=["a", "https://api.example"]))).status, 200, "a list of audiences")
is_(post(p256.token(claims(exp=now - 10))).status, 200, "expired within the leeway")
is_(post(KEYS["good"]).status, 200, "an API key beside tokens")
ok(not any(token in str(x.headers) for x in up.requests), "no token reaches the upstream")

# -- bad ones

public = rsa.public_pem()
good = {"alg": "RS256", "kid": "rsa", "typ": "JWT"}


def hmac_token(header, secret):
    data = ("%s.%s" % (encode(header), encode(claims()))).encode()
    return data.decode() + "." + encode(hmac.new(secret, data, hashlib.sha256).digest())


def with_header(**more):
    return rsa.token(claims(), header={**good, **more})


BAD = [
    ("none", forged({"alg": "none"}, claims(), b"x"), "invalid_token"),
    ("none without a signature", forged({"alg": "none"}, claims(), b""), "invalid_token"),
    ("nOnE", forged({"alg": "nOnE", "kid": "rsa"}, claims(), b"x"), "invalid_token"),
    ("HMAC by the public key", hmac_token({"alg": "HS256", "kid": "rsa"}, public), "invalid_token"),
    ("HMAC called RS256", hmac_token(good, public), "invalid_token"),
    ("HMAC by the JWK", hmac_token({"alg": "HS256", "kid": "rsa"},
                                   json.dumps(rsa.jwk()).encode()), "invalid_token"),
    ("HS512", forged({"alg": "HS512", "kid": "rsa"}, claims(), b"x" * 64), "invalid_token"),
    ("RS384", with_header(alg="RS384"), "invalid_token"),
    ("the alg of another key", with_header(alg="PS256"), "invalid_token"),
    ("RS256 for the key of PS256", pss.token(claims(), alg="RS256"), "invalid_token"),
    ("another's signature", stranger.token(claims()), "invalid_token"),
    ("an unknown kid", with_header(kid="nobody"), "invalid_token"),
    ("a kid with a path", with_header(kid="../../../../dev/null"), "invalid_token"),
    ("a kid with SQL", with_header(kid="x' UNION SELECT 'k"), "invalid_token"),
    ("a kid that is a list", with_header(kid=["rsa"]), "invalid_token"),
    ("an empty kid", with_header(kid=""), "invalid_token"),
    ("a kid with a line end", with_header(kid="rsa\r\nX: y"), "invalid_token"),
    ("no kid among several", rsa.token(claims(), header={"alg": "RS256"}), "invalid_token"),
    ("a jwk in the header", stranger.token(claims(), header={"alg": "ES256", "kid": "ec",
                                                            "jwk": stranger.jwk()}),
     "invalid_token"),
    ("a jku", with_header(jku="http://127.0.0.1:%d/keys" % issuer.port), "invalid_token"),
    ("an x5u", with_header(x5u="http://127.0.0.1:%d/keys" % issuer.port), "invalid_token"),
    ("an x5c", with_header(x5c=["AAAA"]), "invalid_token"),
    ("crit", with_header(crit=["b64"], b64=False), "invalid_token"),
    ("zip", with_header(zip="DEF"), "invalid_token"),
    ("typ of a logout", with_header(typ="logout+jwt"), "invalid_token"),
    ("kid twice", rsa.token(claims(), header='{"alg":"RS256","kid":"x","kid":"rsa"}'),
     "invalid_token"),
    ("expired", rsa.token(claims(exp=now - 60)), "token_expired"),
    ("expired long ago", rsa.token(claims(exp=1)), "token_expired"),
    ("no exp", rsa.token(claims(exp=None)), "invalid_token"),
    ("exp as text", rsa.token(claims(exp=str(now + 600))), "invalid_token"),
    ("exp infinite", rsa.token('{"iss":"%s","aud":"weir","exp":1e999,"tenant":"acme"}' % ISSUER),
     "invalid_token"),
    ("exp twice", rsa.token('{"iss":"%s","aud":"weir","exp":1,"exp":%d,"tenant":"acme"}'
                            % (ISSUER, now + 600)), "invalid_token"),
    ("not yet", rsa.token(claims(nbf=now + 120)), "invalid_token"),
    ("issued in the future", rsa.token(claims(iat=now + 120)), "invalid_token"),
    ("no aud", rsa.token(claims(aud=None)), "invalid_token"),
    ("wrong audience", rsa.token(claims(aud="billing")), "invalid_token"),
    ("wrong audiences", rsa.token(claims(aud=["billing", "weir2"])), "invalid_token"),
    ("no iss", rsa.token(claims(iss=None)), "invalid_token"),
    ("wrong issuer", rsa.token(claims(iss="https://evil.example/")), "invalid_token"),
    ("an issuer without its slash", rsa.token(claims(iss=ISSUER[:-1])), "invalid_token"),
    ("signed by one issuer's key for another", rsa.token(claims(iss=ELSEWHERE)), "invalid_token"),
    ("ECDSA of zeros", forged({"alg": "ES256", "kid": "ec"}, claims(), bytes(64)), "invalid_token"),
    ("ECDSA in DER", forged({"alg": "ES256", "kid": "ec"}, claims(), bytes(71)), "invalid_token"),
    ("RSA of zeros", forged(good, claims(), bytes(256)), "invalid_token"),
    ("bound to another key", rsa.token(claims(cnf={"jkt": "x"})), "invalid_token"),
    ("claims changed", "%s.%s.%s" % (lambda a, b, c: (a, encode(claims(tenant="beta")), c))(
        *rsa.token(claims()).split(".")), "invalid_token"),
    ("a signature changed", rsa.token(claims())[:-4] + "AAAA", "invalid_token"),
    ("a signature cut", rsa.token(claims())[:-4], "invalid_token"),
]
before = len(up.requests)
for name, token, code in BAD:
    r = post(token)
    is_((r.status, r.json()["error"]["code"]), (401, code), "refused: " + name)
is_(len(up.requests), before, "none of them reaches the upstream")
is_(server.asked <= 1, True, "nor makes the gateway fetch from where it says")
PLAIN = [("padding", rsa.token(claims()) + "="), ("a fourth part", rsa.token(claims()) + ".AAAA"),
         ("the JSON form", '{"payload":"e30","signatures":[]}'), ("dots", ".."),
         ("very long", "e" * 7000)]
for name, token in PLAIN:
    is_((post(token).status, post(token).json()["error"]["code"]), (401, "invalid_api_key"),
        "no token, and refused: " + name)

r = gw.request("POST", "/v1/messages", json={"model": "m", "max_tokens": 1, "messages": []},
               headers={"Authorization": "Bearer " + rsa.token(claims(exp=1)),
                        "anthropic-version": "2023-06-01"})
is_((r.status, r.json().get("type"), r.json()["error"]["type"]), (401, "error",
                                                                 "authentication_error"),
    "on Anthropic's paths the error has Anthropic's shape")
like(r.json()["error"]["message"], "expired", "with the reason")

# -- whom it stands for

for name, more, status, code in (
        ("no tenant", {"tenant": None}, 403, "unknown_tenant"),
        ("an unknown tenant", {"tenant": "nobody"}, 403, "unknown_tenant"),
        ("a tenant that is off", {"tenant": "gone"}, 403, "account_disabled"),
        ("a tenant that is no text", {"tenant": ["acme", "beta"]}, 403, "unknown_tenant"),
        ("a tenant with a line end", {"tenant": "acme\n"}, 403, "unknown_tenant")):
    r = post(rsa.token(claims(**more)))
    ok(r.status == status or more.get("tenant") == ["acme", "beta"],
       "%s: %d" % (name, r.status))
    if r.status == status:
        is_(r.json()["error"]["code"], code, "%s: %s" % (name, code))

# -- a file that changes

with open(os.path.join(gw.dir, "keys.json"), "w") as f:
    json.dump(jwks(stranger), f)
is_(post(rsa.token(claims())).status, 200, "old keys serve until it is time to look again")

# -- keys at a URL


def from_url(key, **more):
    return key.token(claims(iss=ELSEWHERE, tenant=None, **more))


asked = server.asked
is_(post(from_url(remote)).status, 200, "a key from a URL")
is_(post(from_url(remote, jti="2")).status, 200, "and again")
is_(server.asked <= asked + 1, True, "fetched at most once more")
is_(post(from_url(ed, jti="3")).json()["error"]["code"], "invalid_token",
    "an algorithm that the document leaves out")

is_(gw.reload(), None, "a reload forgets keys")
server.gate = threading.Event()
answers = []
threads = [threading.Thread(target=lambda n=n: answers.append(post(from_url(remote, jti=str(n)))))
           for n in range(5)]
asked = server.asked
for t in threads:
    t.start()
ok(wait_for(lambda: server.asked > asked, 5), "five tokens at once: the keys are fetched")
is_(answers, [], "and the tokens wait")
is_(post(KEYS["good"]).status, 200, "while others are served")
server.gate.set()
for t in threads:
    t.join()
server.gate = None
is_([r.status for r in answers], [200] * 5, "then all go on")
is_(server.asked, asked + 1, "after one fetch")

# -- an issuer that is down

for name, status, document in (("an error", 500, {}), ("no JSON", 200, b"<html>"),
                               ("no keys", 200, {"keys": []}),
                               ("too much", 200, b" " * 300000)):
    server.status, server.document = status, document
    gw.reload()
    r = post(from_url(remote))
    is_((r.status, r.json()["error"]["code"], r.headers.get("retry-after")),
        (503, "identity_unavailable", "2"), "%s from the issuer: 503" % name)
    asked = server.asked
    # A slow machine may pass the pause between two questions, a second, once.
    is_([post(from_url(remote)).status for _ in range(10)], [503] * 10, "%s: so the next" % name)
    ok(server.asked <= asked + 3, "%s: ten were told without a question each" % name)
server.status, server.document = 200, jwks(next_remote)
ok(wait_for(lambda: post(from_url(next_remote)).status == 200, 8), "when it is back, all is well")
is_(post(from_url(remote)).json()["error"]["code"], "invalid_token", "a withdrawn key is unknown")

gw.reload()
server.gate = threading.Event()
start = time.monotonic()
r = post(from_url(next_remote))
is_((r.status, r.json()["error"]["code"]), (503, "identity_unavailable"),
    "an issuer that does not answer: 503")
ok(time.monotonic() - start < 8, "after the deadline")
server.gate.set()
server.gate = None

# -- a client that goes away while its token waits

gw.reload()
server.gate = threading.Event()
asked = server.asked
leaving = threading.Thread(target=lambda: gw.stream(
    "POST", "/v1/chat/completions", json={"model": "m"}, timeout=0.3,
    headers={"Authorization": "Bearer " + from_url(next_remote)}))
leaving.run = lambda run=leaving.run: _quiet(run)


def _quiet(run):
    try:
        run()
    except OSError:
        pass


leaving.start()
ok(wait_for(lambda: server.asked > asked, 5), "a token waits")
leaving.join()
server.gate.set()
server.gate = None
ok(wait_for(lambda: post(from_url(next_remote)).status == 200, 8), "its client goes, others go on")

# -- anonymous

is_(gw.request("POST", "/v1/chat/completions", json={"model": "m"}).status, 401,
    "nobody is not admitted")
gw.write_document("identity.json", identity(anonymous={"tenant": "beta"}))
gw.reload()
rows = gw.settled()
is_(gw.request("POST", "/v1/chat/completions", json={"model": "m"}).status, 200,
    "unless the document says so")
is_(gw.usage(rows + 1)[-1]["tenant"], "beta", "as its tenant")
is_(post("wk_nonsense").status, 401, "a wrong key is still refused")
is_(post(rsa.token(claims(exp=1))).status, 401, "and so is a wrong token")
is_(post(stranger.token(claims(jti="9"))).status, 200,
    "the file's new keys are in force after the reload")

# -- secrets

logs = gw.logs()
ok(not any(t in logs for _, t, _ in BAD), "no token is in any log")

bad = Gateway(up, tenants=TENANTS, more_http=HTTP, start=False,
              documents={"keys.json": jwks(rsa), "identity.json": identity()})
os.unlink(os.path.join(bad.dir, "keys.json"))
accepted, said = bad.test()
is_(accepted, False, "keys at a URL need the client module")
like(said, r"load_module modules/ngx_http_weir_client_module\.so", "and the message says so")
only = identity()
del only["issuers"][1]
bad.write_document("identity.json", only)
accepted, said = bad.test()
is_(accepted, True, "a key file that is not there yet is no reason to refuse a configuration")
like(said, r"\[warn\].*keys of issuer \"https://login.*keys\.json.*503", "but one to warn")
gw.allow(r"\[error\].*keys of issuer")
done_testing()

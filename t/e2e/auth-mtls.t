#!/usr/bin/env python3
"""Client certificates: whom the gateway takes them for, and that only verified ones count."""

import json
import os
import socket
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import KEYS, Gateway, completion, key_record, usage_object  # noqa: E402
from weirjwt import openssl  # noqa: E402
from weirnginx import Upstream, run_dir  # noqa: E402
from weirtap import done_testing, is_  # noqa: E402

folder = run_dir("weir-tls-")


def path(name):
    return os.path.join(folder, name)


def authority(name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", path(name + ".key"), "-out", path(name + ".pem"), "-days", "2",
            "-subj", "/CN=" + name)


def certificate(name, subject, ca, days="2", names=""):
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-utf8",
            "-multivalue-rdn", "-keyout", path(name + ".key"), "-out", path(name + ".csr"),
            "-subj", subject)
    openssl("x509", "-req", "-in", path(name + ".csr"), "-CA", path(ca + ".pem"),
            "-CAkey", path(ca + ".key"), "-CAcreateserial", "-days", days,
            *(["-extfile", extension(name, names)] if names else []), "-out", path(name + ".pem"))


def extension(name, names):
    with open(path(name + ".ext"), "w", encoding="ascii") as f:
        f.write("subjectAltName=" + names + "\n")
    return path(name + ".ext")


authority("ca")
authority("stranger")
certificate("server", "/CN=127.0.0.1", "ca")
certificate("batch", "/O=Acme/OU=Search/CN=batch-7", "ca")
certificate("exact", "/O=Acme Inc., Ltd/CN=exact", "ca")
SPIFFE = "spiffe://acme.example/ns/search/sa/batch"
certificate("workload", "/", "ca", names="URI:" + SPIFFE)
certificate("people", "/O=Acme/OU=Mail/CN=x", "ca",
            names="DNS:Mail.acme.example,email:bob@acme.example,IP:127.0.0.1")
certificate("two", "/O=Acme/OU=Mail/CN=x", "ca",
            names="DNS:mail.acme.example,email:bob@acme.example,email:eve@acme.example")
certificate("close", "/O=Acme/CN=x", "ca", names="URI:%s2,DNS:%s" % (SPIFFE, "a"))
certificate("other-kind", "/O=Acme/CN=x", "ca", names="email:copy@acme.example,URI:mailto:x")
certificate("many", "/O=Acme/CN=x", "ca",
            names=",".join("DNS:h%d" % n for n in range(70)) + ",URI:" + SPIFFE)
certificate("false-workload", "/", "stranger", names="URI:" + SPIFFE)
certificate("nobody", "/O=Elsewhere/CN=nobody", "ca")
certificate("liar", "/CN=x, O=Acme\\, OU=Search", "ca")
certificate("forged", "/O=Acme/OU=Search/CN=batch-7", "stranger")
certificate("late", "/O=Acme/OU=Search/CN=batch-7", "ca", days="0")

TENANTS = {"version": 1, "tenants": [
    {"id": "acme", "teams": [{"id": "search"}], "keys": [key_record("good")]},
    {"id": "beta", "keys": [key_record("other")]}, {"id": "gone", "enabled": False}]}
IDENTITY = {"version": 1, "certificates": [
    {"attributes": {"O": "Acme", "OU": "Search"}, "tenant": "acme", "team": "search",
     "user_from": "CN"},
    {"subject": "CN=exact,O=Acme Inc.\\, Ltd", "tenant": "beta"},
    {"names": {"uri": SPIFFE}, "tenant": "acme", "team": "search", "user": "batch"},
    {"attributes": {"OU": "Mail"}, "names": {"dns": "mail.acme.example"}, "tenant": "acme",
     "user_from": "names.email"}]}

MORE = """
    }
    server {
        listen 127.0.0.1:@port2@ ssl;
        ssl_certificate @tls@/server.pem;
        ssl_certificate_key @tls@/server.key;
        ssl_client_certificate @tls@/ca.pem;
        ssl_verify_client optional_no_ca;
        weir on;
        location / { proxy_pass http://engine; include @root@/config/weir-proxy.conf; }
    }
    server {
        listen 127.0.0.1:@port3@ ssl;
        ssl_certificate @tls@/server.pem;
        ssl_certificate_key @tls@/server.key;
        weir on;
        location / { proxy_pass http://engine; include @root@/config/weir-proxy.conf; }
"""

up = Upstream(lambda received, reply: reply.json(200, completion(usage=usage_object(3, 2))))
gw = Gateway(up, tenants=TENANTS, more_server=MORE, more_http="weir_identity @dir@/identity.json;",
             documents={"identity.json": IDENTITY}, vars={"tls": folder})
rows = 0


def ask(name=None, key=None, port="port2", headers="", governed=True):
    """(status, its row of the usage log) for a request with that certificate."""
    global rows
    context = ssl.create_default_context(cafile=path("ca.pem"))
    context.check_hostname = False
    if name:
        context.load_cert_chain(path(name + ".pem"), path(name + ".key"))
    body = json.dumps({"model": "tiny", "messages": []})
    if key:
        headers += "Authorization: Bearer %s\r\n" % KEYS[key]
    with socket.create_connection(("127.0.0.1", gw.ports[port]), 10) as raw, \
            context.wrap_socket(raw) as s:
        s.sendall(("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s"
                   "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                   % (headers, len(body), body)).encode())
        out = b""
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            out += piece
    rows += governed
    return int(out.split()[1]), gw.usage(rows)[-1]


status, row = ask("batch")
is_((status, row["tenant"], row["key_id"]), (200, "acme", None), "a certificate by its attributes")
status, row = ask("exact")
is_((status, row["tenant"]), (200, "beta"), "a certificate by its whole subject")
for name, wanted in (
        ("workload", (200, "acme", "search", "batch")),
        ("people", (200, "acme", None, "bob@acme.example")), ("two", (200, "acme", None, None)),
        ("close", (403, None, None, None)), ("other-kind", (403, None, None, None)),
        ("many", (403, None, None, None)), ("false-workload", (401, None, None, None))):
    status, row = ask(name)
    is_((status, row["tenant"], row.get("team"), row.get("user")), wanted,
        "alternative names: " + name)
status, row = ask("nobody")
is_((status, row["tenant"]), (403, None), "a certificate that no entry names")
status, row = ask("liar")
is_((status, row["tenant"]), (403, None), "attributes inside a name do not count")
status, row = ask("forged")
is_(status, 401, "another authority's certificate is none")
is_(ask("late", governed=False)[0], 400, "an expired certificate is refused by NGINX")
is_(ask()[0], 401, "no certificate")
status, row = ask(key="good")
is_((status, row["tenant"]), (200, "acme"), "a key without a certificate")
status, row = ask("batch", key="other")
is_((status, row["tenant"]), (200, "beta"), "a key counts before a certificate")
is_(ask("batch", key="unknown")[0], 401, "a wrong key is refused, whatever the certificate")
is_(ask("batch", port="port3")[0], 401, "a server that verifies nothing takes no certificate")
is_(ask(headers="X-SSL-Client-S-DN: CN=batch-7,OU=Search,O=Acme\r\nSSL_CLIENT_VERIFY: SUCCESS\r\n")
    [0], 401, "no header stands for a certificate")
is_(gw.request("POST", "/v1/chat/completions", json={}).status, 401, "nor a plain connection")
is_(len(up.requests), 7, "only seven requests reached the upstream")

is_(gw.usage(rows + 1)[-1]["tenant"], None, "and stand for nobody in the usage log")
gw.write_document("identity.json", {**IDENTITY, "anonymous": {"tenant": "beta"}})
gw.reload()
rows += 1                               # the plain connection's
status, row = ask("nobody")
is_((status, row["tenant"]), (200, "beta"), "with an anonymous tenant, an unknown one is anonymous")
done_testing()

#!/usr/bin/env python3
"""The configurations of config/: each is loaded by an NGINX laid out as Debian's, with the load files
linked as a package would, and answers requests. Only addresses and paths are changed."""

import glob
import json
import os
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import KEYS, bearer, completion, tenants_document, usage_object  # noqa: E402
from weirnginx import ROOT, Nginx, Upstream, free_port, modules_dir, run_dir  # noqa: E402
from weirtap import diag, done_testing, is_, ok, wait_for  # noqa: E402

SECRET = "sk-provider-0123456789abcdef"
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}

MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "tiny",
           "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn",
           "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 2}}


def answer(received, reply):
    if received.path == "/v1/messages":
        reply.json(200, MESSAGE)
    else:
        reply.json(200, completion(usage=usage_object(3, 2)))


up = Upstream(answer)


def certificate(folder):
    """A certificate of api.provider.example, signed by itself."""
    key, cert = os.path.join(folder, "tls.key"), os.path.join(folder, "tls.crt")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key,
                    "-out", cert, "-days", "2", "-subj", "/CN=api.provider.example", "-addext",
                    "subjectAltName=DNS:api.provider.example"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return key, cert


class TlsUpstream(Upstream):
    """An upstream whose connections are TLS."""

    def __init__(self, handler, key, cert):
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(cert, key)
        super().__init__(handler)

    def _serve(self, sock):
        try:
            wrapped = self._context.wrap_socket(sock, server_side=True)
        except (OSError, ssl.SSLError):
            sock.close()
            return
        super()._serve(wrapped)


class DropIn(Nginx):
    """Debian's nginx.conf, modules-enabled and sites-enabled, with one example."""

    def __init__(self, example, replace, files=()):
        self.example = example
        self.replace = replace
        self.dir = run_dir()
        for name in ("modules-enabled", "sites-enabled", "www"):
            os.mkdir(os.path.join(self.dir, name))
        os.symlink(modules_dir(), os.path.join(self.dir, "modules"))
        for load in sorted(glob.glob(os.path.join(ROOT, "config", "load", "*.conf"))):
            with open(load) as f:
                module = f.read().split("/")[1].split(";")[0]
            if os.path.exists(os.path.join(modules_dir(), module)):
                os.symlink(load, os.path.join(self.dir, "modules-enabled", os.path.basename(load)))
        os.symlink(os.path.join(ROOT, "config", "weir-proxy.conf"),
                   os.path.join(self.dir, "weir-proxy.conf"))
        for name, content, mode in (("tenants.json", json.dumps(tenants_document()), 0o644),
                                    ("provider.key", SECRET + "\n", 0o600), *files):
            path = os.path.join(self.dir, name)
            with open(path, "w") as f:
                f.write(content)
            os.chmod(path, mode)
        super().__init__(dir=self.dir)

    def write_config(self, http=None, main=None):
        with open(os.path.join(ROOT, "config", "examples", self.example)) as f:
            text = f.read()
        self.ports["port"] = self.ports.get("port") or free_port()
        places = {**self.replace, "127.0.0.1:8080": "127.0.0.1:%d" % self.port,
                  "/etc/weir/": self.dir + "/", "/var/log/weir/": self.dir + "/",
                  "/var/www/html": os.path.join(self.dir, "www")}
        for old, new in places.items():
            text = text.replace(old, new)
        with open(os.path.join(self.dir, "sites-enabled", self.example), "w") as f:
            f.write(text)
        temps = "".join("    %s_temp_path %s/tmp-%s;\n" % (t, self.dir, t)
                        for t in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        self.conf = os.path.join(self.dir, "nginx.conf")
        with open(self.conf, "w") as f:
            f.write("daemon off;\nworker_processes 1;\npid %s/nginx.pid;\nerror_log %s notice;\n"
                    "include %s/modules-enabled/*.conf;\n"
                    "events { worker_connections 512; }\n"
                    "http {\n    access_log %s/access.log;\n%s"
                    "    include %s/sites-enabled/*;\n}\n"
                    % (self.dir, self.log, self.dir, self.dir, temps, self.dir))


def usage(ng, count):
    """The last row of the ledger, when there are so many."""
    def rows():
        with open(os.path.join(ng.dir, "usage.jsonl")) as f:
            return [json.loads(line) for line in f]
    wait_for(lambda: len(rows()) >= count, 10)
    return rows()[-1]


def works(ng, name, path="/v1/chat/completions", upstream=up, seen="/v1/chat/completions"):
    before = len(upstream.requests)
    is_(ng.request("POST", path, json=CHAT).status, 401, "%s: no key, no answer" % name)
    r = ng.request("POST", path, json=CHAT, headers=bearer("good"))
    is_(r.status, 200, "%s: with a key there is one" % name) or diag(r.text[:400])
    is_(r.json().get("choices", [{}])[0].get("message", {}).get("content"), "hello",
        "%s: the model's" % name)
    is_([q.path for q in upstream.requests[before:]], [seen], "%s: the upstream saw one" % name)
    received = upstream.requests[-1]
    ok(KEYS["good"] not in str(received.header_list), "%s: but not the client's key" % name)
    row = usage(ng, 2)
    is_((row["tenant"], row["prompt_tokens"], row["completion_tokens"]), ("acme", 3, 2),
        "%s: and it is counted" % name)
    return received


ng = DropIn("vllm.conf", {"127.0.0.1:8000": "127.0.0.1:%d" % up.port})
works(ng, "vllm.conf")
is_(ng.get("/health").status, 200, "vllm.conf: /health")
is_(ng.get("/metrics").status, 200, "vllm.conf: /metrics")
ng.stop()

ng = DropIn("chat.conf", {"127.0.0.1:8000": "127.0.0.1:%d" % up.port})
works(ng, "chat.conf")
for path, body, kind in (
        ("/v1/messages", {"model": "tiny", "max_tokens": 9, "messages": CHAT["messages"]}, "message"),
        ("/v1/responses", {"model": "tiny", "input": "hi"}, "response"),
        ("/openai/deployments/tiny/chat/completions?api-version=1", {"messages": CHAT["messages"]},
         "chat.completion")):
    r = ng.request("POST", path, json=body, headers=bearer("good"))
    is_((r.status, r.json().get("type") or r.json().get("object"), up.requests[-1].path),
        (200, kind, "/v1/chat/completions"), "chat.conf: %s is translated" % path)
ng.stop()

socket_folder = run_dir()
engine = Upstream(answer, unix=os.path.join(socket_folder, "engine.sock"))
policies = os.path.join(ROOT, "policies", "examples", "policies.json")
ng = DropIn("engine.conf", {"/run/weir/": socket_folder + "/", "/etc/weir/policies.json": policies})
r = ng.request("POST", "/v1/chat/completions", json=CHAT)
is_(r.status, 401, "engine.conf: no key, no answer")
r = ng.request("POST", "/v1/chat/completions", json=CHAT, headers=bearer("good"))
is_((r.status, r.json()["error"]["code"]), (403, "model_not_allowed"),
    "engine.conf: with a key the policies decide")
ng.stop()

tls_folder = run_dir()
key, cert = certificate(tls_folder)
provider = TlsUpstream(answer, key, cert)
SECURE = {"server api.provider.example:443": "server 127.0.0.1:%d" % provider.port,
          "/etc/ssl/certs/ca-certificates.crt": cert}
ng = DropIn("provider.conf", SECURE)
received = works(ng, "provider.conf", upstream=provider)
is_(received.headers.get("authorization"), "Bearer " + SECRET, "provider.conf: the gateway's key")
is_(received.headers.get("host"), "api.provider.example", "provider.conf: the provider's name")
r = ng.request("POST", "/v1/chat/completions", json=CHAT)
ok(SECRET not in r.text + str(r.headers), "provider.conf: no client sees it")
dump = subprocess.run(ng._command("-T"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                      check=False).stdout.decode()
ok(SECRET not in dump, "provider.conf: nor does nginx -T")
ok(SECRET not in ng.read_log() + ng.access_log(), "provider.conf: nor a log")
os.chmod(os.path.join(ng.dir, "provider.key"), 0o644)
good, messages = ng.test()
ok(good and "everybody on this machine may read" in messages,
   "provider.conf: a key that everybody may read is warned of") or diag(messages)
for content, name in (("", "an empty file"), ("two words\n", "two words"), ("\u00e9\n", "no ASCII"),
                      ("x" * 5000, "a long file")):
    with open(os.path.join(ng.dir, "provider.key"), "w") as f:
        f.write(content)
    good, messages = ng.test()
    ok(not good and "key" in messages, "provider.conf: %s is no key" % name) or diag(messages)
os.unlink(os.path.join(ng.dir, "provider.key"))
good, messages = ng.test()
ok(not good and "provider.key" in messages, "provider.conf: a missing file is told")
ng.stop()

ng = DropIn("provider.conf", {**SECURE, "proxy_ssl_name api.provider.example":
                              "proxy_ssl_name another.example"})
before = len(provider.requests)
r = ng.request("POST", "/v1/chat/completions", json=CHAT, headers=bearer("good"))
is_((r.status, len(provider.requests) - before), (502, 0),
    "provider.conf: a certificate of another name is not trusted")
ng.stop()

ng = DropIn("anthropic.conf", SECURE)
received = works(ng, "anthropic.conf", upstream=provider, seen="/v1/messages")
is_(received.headers.get("x-api-key"), SECRET, "anthropic.conf: the key where that API reads it")
is_(received.headers.get("authorization"), None, "anthropic.conf: and nowhere else")
ok(received.headers.get("anthropic-version"), "anthropic.conf: a version")
r = ng.request("POST", "/v1/messages", headers={"x-api-key": KEYS["good"],
                                                "anthropic-version": "2023-06-01"},
               json={"model": "tiny", "max_tokens": 9, "messages": [
                   {"role": "user", "content": "hi"}]})
is_((r.status, r.json().get("type")), (200, "message"), "anthropic.conf: Anthropic's clients too")
ng.stop()

ng = DropIn("prefix.conf", {"127.0.0.1:8000": "127.0.0.1:%d" % up.port})
with open(os.path.join(ng.dir, "www", "index.html"), "w") as f:
    f.write("the site\n")
works(ng, "prefix.conf", path="/llm/v1/chat/completions")
is_(ng.get("/").text, "the site\n", "prefix.conf: the site is as it was")
is_(ng.request("POST", "/llm/v1/unknown", json=CHAT, headers=bearer("good")).status, 404,
    "prefix.conf: unknown calls are refused")
ng.stop()

names = {os.path.basename(p) for p in glob.glob(os.path.join(ROOT, "config", "examples", "*.conf"))}
is_(names, {"vllm.conf", "chat.conf", "engine.conf", "provider.conf", "anthropic.conf", "prefix.conf"},
    "no example is left out")
done_testing()

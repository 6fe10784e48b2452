"""A gateway with test tenants, for end-to-end tests.

    up = Upstream(handler)
    gw = gateway(up)                    # weir on, everything proxied to up
    r = gw.request("GET", "/v1/models", headers=bearer("good"))
    rows = gw.usage()                   # the ledger's lines, parsed

KEYS holds a key of every kind: good, good2 (the same tenant), other (another tenant), expired,
disabled, tenant_disabled, wrong_secret and unknown (in no document).
"""

import base64
import hashlib
import json
import os
import random
import time

import weirnginx
import weirtap

_random = random.Random(20301)


def make_key(ident):
    return "wk_%s_%s" % (ident, base64.urlsafe_b64encode(_random.randbytes(32)).decode()[:43])


KEYS = {name: make_key((name.replace("_", "") + "000000000000")[:12])
        for name in ("good", "good2", "other", "expired", "disabled", "tenant_disabled",
                     "wrong_secret", "unknown")}


def key_id(name):
    return KEYS[name][3:15]


def bearer(name):
    return {"Authorization": "Bearer " + KEYS[name]}


def key_record(name, key=None, **more):
    salt = _random.randbytes(16)
    digest = hashlib.sha256(salt + (key or KEYS[name]).encode()).hexdigest()
    return {"id": key_id(name), "salt": salt.hex(), "hash": digest, **more}


def tenants_document():
    stolen = KEYS["wrong_secret"][:16] + "A" * 43
    return {"version": 1, "tenants": [
        {"id": "acme", "name": "Acme", "keys": [
            key_record("good", label="first"), key_record("good2"),
            key_record("expired", expires="2020-01-01T00:00:00Z"),
            key_record("disabled", enabled=False),
            key_record("wrong_secret", stolen)]},
        {"id": "beta", "keys": [key_record("other")]},
        {"id": "gone", "enabled": False, "keys": [key_record("tenant_disabled")]}]}


HTTP = """
    weir_tenants @dir@/tenants.json;
    weir_usage_log @dir@/usage.jsonl;
    log_format weir '$weir_request_id $weir_tenant $weir_key_id $weir_model '
                    '$weir_prompt_tokens $weir_cached_tokens $weir_completion_tokens $weir_ttft_ms';
    access_log @dir@/weir.log weir;
"""

SERVER = """
    upstream engine {
        server @upstream@ max_fails=0;
        keepalive 4;
    }
    server {
        listen 127.0.0.1:@port@;
        weir on;
        weir_pass_through all;
        location / {
            proxy_pass http://engine;
            include @root@/config/weir-proxy.conf;
            @more_location@
        }
        location = /metrics { weir off; weir_metrics; }
        location = /health { weir off; weir_health; }
        @more_server@
    }
"""


# In front of weirscript: native, and translated in both directions.
CLIENTS_HTTP = """
    weir_tenants @dir@/tenants.json;
    weir_usage_log @dir@/usage.jsonl;
"""
CLIENTS_SERVER = """
    upstream engine { server @upstream@ max_fails=0; keepalive 8; }
    server {
        listen 127.0.0.1:@port@;
        weir on;
        include @root@/config/weir-proxy.conf;
        location / { proxy_pass http://engine; }
        location /chat/ { weir_api_prefix /chat; rewrite ^/chat(/.*) $1 break;
                          weir_upstream_api chat; proxy_pass http://engine; }
        location /claude/ { weir_api_prefix /claude; rewrite ^/claude(/.*) $1 break;
                            weir_upstream_api anthropic; proxy_pass http://engine; }
        @more_server@
    }
"""


class Gateway(weirnginx.Nginx):
    """An Nginx with the gateway's modules, a tenants document and a usage log."""

    def __init__(self, upstream=None, http=HTTP, server=SERVER, more_server="", more_location="",
                 tenants=None, vars=None, modules=("core", "auth", "metrics"), more_http="",
                 documents=None, **more):
        """documents: {"identity.json": value, ...}, written to the run folder before the start."""
        self.dir = weirnginx.run_dir()
        self.write_tenants(tenants or tenants_document())
        for name, document in (documents or {}).items():
            self.write_document(name, document)
        where = "127.0.0.1:1"
        if upstream is not None:
            where = "unix:" + upstream.unix if upstream.unix else "127.0.0.1:%d" % upstream.port
        server = server.replace("@more_server@", more_server) \
                       .replace("@more_location@", more_location)
        super().__init__(http=http + more_http + server, modules=modules, dir=self.dir,
                         vars={"upstream": where, "root": weirnginx.ROOT, **(vars or {})}, **more)

    def write_tenants(self, document):
        self.write_document("tenants.json", document)

    def write_document(self, name, document):
        text = document if isinstance(document, str) else json.dumps(document)
        with open(os.path.join(self.dir, name), "w") as f:
            f.write(text)

    def usage_text(self):
        return self._read(os.path.join(self.dir, "usage.jsonl"))

    def usage(self, count=None):
        """The ledger's rows; with count, waits until there are that many."""
        def rows():
            return self.usage_text().count("\n")
        if count is not None and not weirtap.wait_for(lambda: rows() >= count, 10):
            weirtap.diag("the usage log has %d rows, not %d" % (rows(), count))
        return [json.loads(line) for line in self.usage_text().splitlines()]

    def settled(self):
        """The number of the ledger's rows, when none has come for a while: a row is written a moment
        after its answer."""
        seen = -1
        while seen != self.usage_text().count("\n"):
            seen = self.usage_text().count("\n")
            time.sleep(0.3)
        return seen

    def metrics(self):
        """The metrics' samples as {name{labels}: value}."""
        out = {}
        for line in self.get("/metrics").text.split("\n"):
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                out[name] = float(value)
        return out

    def logs(self):
        """All that the gateway has written, for searches for secrets."""
        return "".join(self._read(os.path.join(self.dir, name)) for name in os.listdir(self.dir)
                       if name.endswith((".log", ".jsonl")))


gateway = Gateway


def clients_gateway(upstream, **more):
    """A Gateway for tests with the official clients: "", "/chat" and "/claude" before weirscript.
    What they do to an answer may be a fault of the model server's."""
    out = Gateway(upstream, http=CLIENTS_HTTP, server=CLIENTS_SERVER, **more)
    out.allow(r"upstream prematurely closed|recv\(\) failed")
    return out


def chunk(text=None, model="tiny", usage=False, finish=None, role=None, choices=None):
    """A chunk of a chat stream; usage: False leaves it out."""
    delta = {}
    if role:
        delta["role"] = role
    if text is not None:
        delta["content"] = text
    out = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model,
           "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]
           if choices is None else choices}
    if usage is not False:
        out["usage"] = usage
    return out


def usage_object(prompt, completion, cached=None):
    out = {"prompt_tokens": prompt, "completion_tokens": completion,
           "total_tokens": prompt + completion}
    if cached is not None:
        out["prompt_tokens_details"] = {"cached_tokens": cached}
    return out


def completion(text="hello", model="tiny", usage=None):
    """A whole chat answer."""
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text},
                         "finish_reason": "stop"}],
            **({} if usage is None else {"usage": usage})}

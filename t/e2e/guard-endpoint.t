#!/usr/bin/env python3
"""The guard as an endpoint: moderations in OpenAI's shape, read by the official client, and the scan;
and one pass of disguised values through the gateway."""

import base64
import json
import os
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import KEYS, Gateway, bearer, completion  # noqa: E402
from weirnginx import Upstream  # noqa: E402
from weirtap import diag, done_testing, is_, like, ok, skip  # noqa: E402

MODULES = ("core", "auth", "metrics", "guard")
EMAIL = "jane.doe@example.org"
TOXIC = "You are a worthless disgusting idiot and everybody hates you, shut up you moron."
CLEAN = "The tower in Paris is about three hundred metres tall."
CATEGORIES = ["harassment", "harassment/threatening", "hate", "hate/threatening", "illicit",
              "illicit/violent", "self-harm", "self-harm/instructions", "self-harm/intent", "sexual",
              "sexual/minors", "violence", "violence/graphic"]

up = Upstream(lambda received, reply: reply.json(200, completion("ok")))
gw = Gateway(up, modules=MODULES, more_http="weir_guards @dir@/guards.json;", more_server="""
    location = /v1/moderations { weir_guard_endpoint; }
    location = /v1/guard/scan { weir_guard_endpoint; }
    client_max_body_size 20m;
""", documents={"guards.json": {"version": 1, "tenants": {"acme": "all"}, "policies": {
    "all": {"entities": {"*": "redact", "CREDIT_CARD": "block"}, "secrets": "redact",
            "classifiers": {"injection": {"action": "flag"}}}}}})


def post(path, body, key="good"):
    return gw.request("POST", path, headers=bearer(key), json=body)


# -- moderations

r = post("/v1/moderations", {"input": TOXIC, "model": "omni-moderation-latest"})
body = r.json()
is_(r.status, 200, "answered")
is_(sorted(body), ["id", "model", "results"], "the members of the answer")
like(body["id"], "^modr-", "its id")
result = body["results"][0]
is_(sorted(result), ["categories", "category_applied_input_types", "category_scores", "flagged"],
    "the members of a result")
for member in ("categories", "category_scores", "category_applied_input_types"):
    is_(sorted(result[member]), CATEGORIES, "%s has the thirteen" % member)
is_((result["flagged"], result["categories"]["harassment"], result["categories"]["illicit"]),
    (True, True, False), "an insult is flagged as one")
ok(all(0 <= v <= 1 for v in result["category_scores"].values()), "scores are probabilities")
is_((result["category_applied_input_types"]["hate"],
     result["category_applied_input_types"]["violence/graphic"]), (["text"], []),
    "what nothing tells says so")
is_([x["flagged"] for x in post("/v1/moderations", {"input": [CLEAN, TOXIC, CLEAN]}).json()["results"]],
    [False, True, False], "a result for each string")
parts = [{"type": "text", "text": CLEAN}, {"type": "text", "text": TOXIC},
         {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]
is_([x["flagged"] for x in post("/v1/moderations", {"input": parts}).json()["results"]], [True],
    "one for the parts of an input")
is_(gw.request("POST", "/v1/moderations", json={"input": CLEAN}).status, 401, "nobody without a key")
for path in ("/v1/moderations", "/v1/guard/scan"):
    r = gw.request("GET", path, headers=bearer("good"))
    is_((r.status, r.headers.get_all("Allow")), (405, ["POST"]), "%s: only POST" % path)
for wrong in ({}, {"input": []}, {"input": 5}, {"input": [5]}, {"input": ["a", {}]}):
    r = post("/v1/moderations", wrong)
    is_((r.status, r.json()["error"]["type"]), (400, "invalid_request_error"), "refused: %s" % wrong)
is_(up.requests, [], "the upstream has no part in it")

try:
    import openai
except ImportError:
    skip("the openai package is not installed", 3)
else:
    client = openai.OpenAI(base_url="http://127.0.0.1:%d/v1" % gw.port, api_key=KEYS["good"])
    said = client.moderations.create(model="omni-moderation-latest", input=[CLEAN, TOXIC])
    is_([x.flagged for x in said.results], [False, True], "the official client reads it")
    ok(said.results[1].categories.harassment and not said.results[1].categories.self_harm_intent,
       "its categories")
    ok(said.results[1].category_scores.harassment > said.results[0].category_scores.harassment,
       "and scores")

# -- scan

text = "Grüße an %s, 4111 1111 1111 1111" % EMAIL
found = post("/v1/guard/scan", {"text": text}).json()
is_([(f["type"], text.encode()[f["start"]:f["end"]].decode(), f["action"]) for f in found["findings"]],
    [("EMAIL_ADDRESS", EMAIL, "redact"), ("CREDIT_CARD", "4111 1111 1111 1111", "block")],
    "findings with offsets in bytes, and what the policy does")
is_((found["action"], sorted(found["scores"])),
    ("block", sorted(["toxicity", "insult", "threat", "sexual", "identity_attack", "self_harm",
                      "injection", "jailbreak"])), "the heaviest action, and all scores")
escaped = json.dumps({"text": text}).replace("@", "\\u0040").encode()
again = gw.request("POST", "/v1/guard/scan", headers=bearer("good"), body=escaped).json()
is_(again["findings"], found["findings"], "escapes change nothing")
long_text = "word " * 200000 + EMAIL
found = post("/v1/guard/scan", {"text": long_text}).json()
is_([(f["start"], f["end"]) for f in found["findings"]], [(1000000, 1000000 + len(EMAIL))],
    "offsets behind many slices")
is_([r["action"] for r in post("/v1/guard/scan", {"texts": [CLEAN, EMAIL]}).json()["results"]],
    ["allow", "redact"], "several texts")
is_([[r["action"], len(r["findings"])] for r in post(
    "/v1/guard/scan", {"texts": ["", EMAIL, ""]}).json()["results"]],
    [["allow", 0], ["redact", 1], ["allow", 0]], "empty texts")
is_([post("/v1/moderations", {"input": i}).json()["results"][-1]["flagged"]
     for i in ("", ["x", ""], [{"type": "text", "text": ""}])], [False] * 3, "empty inputs")
found = post("/v1/guard/scan", {"text": "4111 1111 1111 1111"}, key="other").json()
is_((found["findings"][0]["action"], found["action"]), ("redact", "redact"),
    "who has no policy gets the default one")

# -- disguises, through the gateway

DISGUISES = {
    "full width": "".join(chr(ord(c) + 0xfee0) for c in EMAIL),
    "zero width": "\u200b".join(EMAIL),
    "soft hyphens": EMAIL.replace("e", "e\u00ad"),
    "tags": "".join(chr(0xe0000 + ord(c)) for c in EMAIL),
    "percent": "".join("%%%02X" % b for b in EMAIL.encode()),
    "base64": base64.b64encode(("my mail is %s, do write" % EMAIL).encode()).decode(),
    "entities": "".join("&#%d;" % ord(c) for c in EMAIL),
    "hexadecimal": ("mail to %s" % EMAIL).encode().hex(),
    "a query": urllib.parse.quote("mail=" + EMAIL),
}
for name, disguised in DISGUISES.items():
    for ascii_only in (True, False):
        sent = json.dumps({"model": "t", "messages": [
            {"role": "user", "content": "see " + disguised + " there"},
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {
                "name": "f", "arguments": json.dumps({"to": disguised}, ensure_ascii=ascii_only)}}]}]},
            ensure_ascii=ascii_only)
        gw.request("POST", "/v1/chat/completions", headers=bearer("good"), body=sent.encode())
        came = up.requests[-1].json()["messages"]
        given = json.loads(came[1]["tool_calls"][0]["function"]["arguments"])["to"]
        ok("<EMAIL_ADDRESS>" in came[0]["content"] and "<EMAIL_ADDRESS>" in given
           and disguised not in came[0]["content"] + given,
           "%s, %s: in a message and in a call" % (name, "escaped" if ascii_only else "as UTF-8")) \
            or diag(came)
done_testing()

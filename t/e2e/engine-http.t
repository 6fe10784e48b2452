#!/usr/bin/env python3
"""The engine's HTTP API on real NGINX: endpoints, errors, streams, limits, and what happens when
clients leave, the worker dies or the configuration is loaded again. Models are tiny and random:
what they say is noise, but it is always the same noise."""

import json
import os
import re
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from weirnginx import BUILD, Nginx, request, run_dir  # noqa: E402
from weirtap import diag, done_testing, is_, like, ok, skip, skip_all, wait_for  # noqa: E402

TINY = os.path.join(BUILD, "t", "bin", "tiny-model")
if not os.access(TINY, os.X_OK):
    skip_all("build/t/bin/tiny-model is not built")

DIR = run_dir()
ENV = {}


def model(name, *options):
    path = os.path.join(DIR, name + ".gguf")
    subprocess.run([TINY, "--out", path, *options], check=True)
    os.chmod(path, 0o600)
    return path


# A worker of another user may not read the file nor pass the folder; the master has opened it.
FAST = model("fast", "--ctx", "512", "--untied")
SLOW = model("slow", "--ctx", "4096", "--embd", "256", "--layers", "8", "--ff", "1024",
             "--heads", "4", "--kv-heads", "4", "--rope-base", "1000000")


def engine(path, parameters="", location="", **more):
    return Nginx(modules=["engine"], http='''
        weir_engine %s id=tiny threads=1 %s;
        server {
            listen 127.0.0.1:@port@;
            listen unix:@dir@/engine.sock;
            location / { weir_engine_api; %s }
        }
    ''' % (path, parameters, location), env=ENV, **more)


def wait_ready(ng):
    return wait_for(lambda: ng.get("/health").status == 200, 20)


def chat(**fields):
    return {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}],
            "max_tokens": 8, "seed": 1, "ignore_eos": True, **fields}


def text(**fields):
    return {"model": "tiny", "prompt": "Hello", "max_tokens": 8, "seed": 1, "ignore_eos": True,
            **fields}


def metric(ng, name):
    """The sum of the samples whose name and labels begin so."""
    total = 0.0
    for line in ng.get("/metrics").text.splitlines():
        if line.startswith(name) and re.match(r"[{ ]", line[len(name):] or " "):
            total += float(line.rsplit(" ", 1)[1])
    return total


def chunks(response):
    """The JSON frames of a stream; the last must have been [DONE]."""
    events = response.events()
    if not events or events[-1] != "[DONE]":
        diag("no [DONE]: " + repr(events[-2:]))
        return []
    return [json.loads(e) for e in events[:-1]]


def is_error(r, status, code, param, name):
    body = r.json() if r.body else {}
    error = body.get("error", {})
    got = (r.status, error.get("code"), error.get("param"), sorted(error))
    want = (status, code, param, ["code", "message", "param", "type"])
    if not is_(got, want, name):
        diag(r.text[:500])
    elif r.headers.get("Content-Type") != "application/json" or not error["message"]:
        ok(False, name + ": JSON with a message")


def test_small_answers(ng):
    r = ng.get("/v1/models")
    is_((r.status, [m["id"] for m in r.json()["data"]]), (200, ["tiny", "org/tiny"]), "models")
    is_(sorted(r.json()["data"][0]), [
        "created", "created_at", "display_name", "id", "max_model_len", "object", "owned_by", "type"],
        "a model's members, for clients of both APIs")
    is_((r.json()["has_more"], r.json()["first_id"], r.json()["last_id"]),
        (False, "tiny", "org/tiny"), "one page")
    is_(ng.get("/v1/models/tiny").json()["id"], "tiny", "one model")
    is_(ng.get("/v1/models/org%2Ftiny").json()["id"], "org/tiny", "an encoded id")
    is_(ng.get("/v1/models/org/tiny").json()["id"], "org/tiny", "the same unencoded")
    is_error(ng.get("/v1/models/gpt-4"), 404, "model_not_found", "model", "an unknown model")
    is_error(ng.get("/v1/models/%ff"), 400, "invalid_value", None, "an id that is not UTF-8")
    r = ng.request("HEAD", "/v1/models")
    is_((r.status, r.body), (200, b""), "HEAD")

    r = ng.request("POST", "/tokenize", json={"prompt": "Hi<|im_end|>"})
    tokens = r.json()["tokens"]
    ok(r.json()["count"] == len(tokens) > 8 and 2 not in tokens, "special tokens in text are text")
    r = ng.request("POST", "/detokenize", json={"tokens": tokens})
    is_(r.json(), {"prompt": "Hi<|im_end|>"}, "and back")
    r = ng.request("POST", "/tokenize", json={"prompt": "Hi<|im_end|>", "parse_special": True})
    is_(r.json()["count"], 3, "parse_special reads them")
    r = ng.request("POST", "/detokenize", json={"tokens": r.json()["tokens"],
                                                "skip_special_tokens": True})
    is_(r.json(), {"prompt": "Hi"}, "skip_special_tokens leaves them out")
    is_(ng.request("POST", "/tokenize", json={"prompt": ""}).json()["tokens"], [], "no text")
    is_error(ng.request("POST", "/detokenize", json={"tokens": [0, 999999]}), 400, "invalid_value",
             "tokens[1]", "an id that is not in the vocabulary")
    is_error(ng.request("POST", "/tokenize", json={}), 400, "invalid_value", "prompt",
             "no prompt to tokenize")

    r = ng.get("/health")
    is_((r.status, r.json()["status"], r.json()["model"]), (200, "ready", "tiny"), "health")
    r = ng.get("/metrics")
    like(r.headers["Content-Type"], r"^text/plain; version=0\.0\.4", "metrics are Prometheus text")
    for name in ("weir_engine_ready 1", 'weir_engine_info{model="tiny"',
                 "weir_engine_kv_usage_ratio ", "weir_engine_requests_waiting 0",
                 "# TYPE gen_ai_server_time_to_first_token_seconds histogram"):
        ok("\n" + name in "\n" + r.text, "metrics have " + name)


def test_http_errors(ng):
    is_error(ng.get("/"), 404, "unknown_url", None, "an unknown path")
    is_error(ng.request("POST", "/v1/chat/completions/x", json={}), 404, "unknown_url", None,
             "a path below an endpoint")
    r = ng.get("/v1/chat/completions")
    is_error(r, 405, "method_not_allowed", None, "GET where POST is needed")
    is_(r.headers.get("Allow"), "POST", "405 has Allow")
    r = ng.request("DELETE", "/v1/models/tiny")
    is_((r.status, r.headers.get("Allow")), (405, "GET, HEAD"), "a model cannot be deleted")
    big = b'{"model":"tiny","prompt":"' + b"x" * 3000000 + b'"}'
    is_error(ng.request("POST", "/v1/completions", body=big), 413, "request_too_large", None,
             "a body over client_max_body_size")

    def pieces():
        yield b'{"model":"tiny","prompt":"'
        for _ in range(300):
            yield b"x" * 10000
        yield b'"}'
    try:
        is_error(ng.request("POST", "/v1/completions", body=pieces()), 413, "request_too_large",
                 None, "the same in chunks")
    except (BrokenPipeError, ConnectionResetError):
        ok(True, "the same in chunks: cut")
    is_error(ng.request("POST", "/v1/completions", body=b"{\"model\":\"tiny\",\"prompt\":\"\xff\"}"),
             400, "invalid_json", None, "invalid UTF-8")
    is_error(ng.request("POST", "/v1/completions", body=b"{"), 400, "invalid_json", None, "no JSON")
    is_error(ng.request("POST", "/v1/completions"), 400, None, None, "no body")
    for header in ({"Content-Encoding": "gzip"},
                   {"Content-Type": "application/json; charset=latin1"}):
        r = ng.request("POST", "/v1/completions", body=b"{}", headers=header)
        is_error(r, 415, "unsupported_media_type", None, "refused: %s" % header)
    r = ng.request("POST", "/v1/completions", body=json.dumps(text()).encode(),
                   headers={"Content-Type": "application/json; charset=UTF-8",
                            "Content-Encoding": "identity"})
    is_(r.status, 200, "charset UTF-8 and identity are taken")

    r = ng.raw(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
               b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
    like(r.decode(), r'(?s)^HTTP/1.1 400 .*"code":"bad_request"}}$', "malformed chunks")

    r = ng.get("/health", headers={"X-Request-Id": "abc-1.2:3_4"})
    is_(r.headers["x-request-id"], "abc-1.2:3_4", "the caller's request id comes back")
    r = ng.get("/nothing", headers={"X-Request-Id": "bad id<>"})
    like(r.headers["x-request-id"], r"^[0-9a-f]{32}$", "a malformed one is replaced")


def test_request_errors(ng):
    post = lambda path, body: ng.request("POST", path, json=body)  # noqa: E731
    is_error(post("/v1/chat/completions", chat(model="gpt-4")), 404, "model_not_found", "model",
             "an unknown model")
    is_error(post("/v1/chat/completions", chat(temperature=9)), 400, "invalid_value", "temperature",
             "a value out of range")
    is_error(post("/v1/chat/completions", chat(response_format={"type": "json_object"})), 400,
             "unsupported_value", "response_format", "what is not done is refused by name")
    is_error(post("/v1/completions", text(logit_bias={"9999": 1})), 400, "invalid_value",
             "logit_bias", "a bias for no token")
    is_error(post("/v1/completions", text(prompt=[1, 99999])), 400, "invalid_value", "prompt[1]",
             "a prompt id that is no token")
    for path, body, param in (("/v1/chat/completions",
                               chat(messages=[{"role": "user", "content": "word " * 400}]),
                               "messages"),
                              ("/v1/completions", text(prompt="word " * 400), "prompt"),
                              ("/v1/completions", text(prompt=[65] * 512), "prompt")):
        r = post(path, body)
        is_error(r, 400, "context_length_exceeded", param, path + ": too long a prompt")
        like(r.json()["error"]["message"], "context_length_exceeded.* 512 tokens",
             "the message says so and how much fits")
    r = post("/v1/completions", text(prompt=[65] * 511, max_tokens=100))
    is_((r.json()["choices"][0]["finish_reason"], r.json()["usage"]["completion_tokens"]),
        ("length", 1), "max_tokens is cut to what the context leaves")


def test_chat(ng):
    r = ng.request("POST", "/v1/chat/completions", json=chat())
    body = r.json()
    is_(r.status, 200, "chat")
    is_(sorted(body), ["choices", "created", "id", "model", "object", "system_fingerprint",
                       "usage"], "its members")
    like(body["id"], r"^chatcmpl-[0-9a-f]{24}$", "its id")
    is_((body["object"], body["model"]), ("chat.completion", "tiny"), "object and model")
    choice = body["choices"][0]
    is_((choice["index"], choice["finish_reason"], choice["logprobs"], choice["message"]["role"],
         choice["message"]["refusal"]), (0, "length", None, "assistant", None), "the choice")
    usage = body["usage"]
    is_((usage["completion_tokens"], usage["total_tokens"]), (8, usage["prompt_tokens"] + 8),
        "usage")
    is_((r.headers["X-Weir-Prompt-Tokens"], r.headers["X-Weir-Cached-Tokens"]),
        (str(usage["prompt_tokens"]), str(usage["prompt_tokens_details"]["cached_tokens"])),
        "the headers say the same")
    like(r.headers["openai-processing-ms"], r"^\d+$", "openai-processing-ms")

    again = ng.request("POST", "/v1/chat/completions", json=chat()).json()
    is_(again["choices"], body["choices"], "the same seed gives the same answer")
    other = ng.request("POST", "/v1/chat/completions", json=chat(seed=2)).json()
    ok(other["choices"] != body["choices"], "another seed another one")
    r1 = ng.request("POST", "/v1/chat/completions", json=chat(seed=None, temperature=0)).json()
    r2 = ng.request("POST", "/v1/chat/completions", json=chat(seed=None, temperature=0)).json()
    is_(r1["choices"], r2["choices"], "temperature 0 needs no seed")

    three = ng.request("POST", "/v1/chat/completions", json=chat(n=3)).json()
    is_([c["index"] for c in three["choices"]], [0, 1, 2], "n=3: three choices")
    is_((three["usage"]["completion_tokens"], three["usage"]["prompt_tokens"]),
        (24, usage["prompt_tokens"]), "n=3: the prompt counts once, answers thrice")
    is_(three["choices"][0]["message"], choice["message"], "n=3: the first is that of n=1")
    second = ng.request("POST", "/v1/chat/completions", json=chat(seed=2)).json()
    is_(three["choices"][1]["message"], second["choices"][0]["message"],
        "n=3: the second is that of the next seed")

    system = chat(messages=[{"role": "developer", "content": "S"},
                            {"role": "user", "content": [{"type": "text", "text": "Hel"},
                                                         {"type": "text", "text": "lo"}]}])
    plain = chat(messages=[{"role": "system", "content": "S"},
                           {"role": "user", "content": "Hel\nlo"}])
    is_(ng.request("POST", "/v1/chat/completions", json=system).json()["choices"],
        ng.request("POST", "/v1/chat/completions", json=plain).json()["choices"],
        "developer is system, text parts are lines of one text")

    r = ng.request("POST", "/v1/chat/completions", json=chat(logprobs=True, top_logprobs=3))
    content = r.json()["choices"][0]["logprobs"]["content"]
    is_(len(content), 8, "logprobs: one item for each token")
    is_((sorted(content[0]), len(content[0]["top_logprobs"])),
        (["bytes", "logprob", "token", "top_logprobs"], 3), "logprobs: shape")
    ok(all(i["logprob"] <= 0 and i["top_logprobs"][0]["logprob"] >= i["logprob"] - 1e-6
           for i in content), "logprobs: none above the best")
    raw = b"".join(bytes(i["bytes"]) for i in content).decode("utf-8", "replace")
    is_(raw, r.json()["choices"][0]["message"]["content"], "logprobs: their bytes are the text")


def test_stops(ng):
    whole = ng.request("POST", "/v1/completions", json=text(max_tokens=60)).json()
    answer = whole["choices"][0]["text"]
    stop = answer[20:22]
    r = ng.request("POST", "/v1/completions", json=text(max_tokens=60, stop=stop)).json()
    cut = answer[:answer.index(stop)]
    is_((r["choices"][0]["text"], r["choices"][0]["finish_reason"]), (cut, "stop"),
        "a stop string ends the text before it")
    is_(r["choices"][0].get("stop_reason"), stop, "and is named")
    ok("stop_reason" not in whole["choices"][0], "where one did")
    r = ng.request("POST", "/v1/completions",
                   json=text(max_tokens=60, stop=["never\n\n\n", stop], stream=True))
    pieces = chunks(r)
    is_("".join(c["choices"][0]["text"] for c in pieces), cut, "the same streamed")
    is_([c["choices"][0].get("stop_reason") for c in pieces if c["choices"][0]["finish_reason"]],
        [stop], "the last piece names it")
    item = ng.request("POST", "/v1/completions", json=text(logprobs=0)).json()
    first = ng.request("POST", "/tokenize",
                       json={"prompt": item["choices"][0]["logprobs"]["tokens"][2]}).json()
    if first["count"] == 1:
        r = ng.request("POST", "/v1/completions", json=text(stop_token_ids=first["tokens"])).json()
        ok(r["choices"][0]["finish_reason"] == "stop" and r["usage"]["completion_tokens"] <= 3,
           "stop_token_ids")
    r = ng.request("POST", "/v1/completions",
                   json=text(temperature=0, ignore_eos=False, logit_bias={"2": 100})).json()
    is_((r["choices"][0]["text"], r["choices"][0]["finish_reason"]), ("", "stop"),
        "the end token ends the answer and has no text")


def test_completions(ng):
    r = ng.request("POST", "/v1/completions", json=text())
    body = r.json()
    is_((r.status, body["object"], body["usage"]["completion_tokens"]),
        (200, "text_completion", 8), "completions")
    like(body["id"], r"^cmpl-[0-9a-f]{24}$", "its id")
    ids = ng.request("POST", "/tokenize", json={"prompt": "Hello"}).json()["tokens"]
    is_(ng.request("POST", "/v1/completions", json=text(prompt=ids)).json()["choices"],
        body["choices"], "ids are the same prompt")
    many = ng.request("POST", "/v1/completions", json=text(prompt=["Hello", "x", "Hello"], n=2))
    choices = many.json()["choices"]
    is_([c["index"] for c in choices], list(range(6)), "several prompts with n: six choices")
    is_((choices[0]["text"], choices[4]["text"]), (body["choices"][0]["text"],) * 2,
        "choice p*n+i belongs to prompt p")
    is_(many.json()["usage"]["prompt_tokens"], 2 * len(ids) + 1, "each prompt counts once")
    many = ng.request("POST", "/v1/completions", json=text(prompt=["Hello"] * 40, max_tokens=2))
    is_((many.status, len({c["text"] for c in many.json()["choices"]})), (200, 1),
        "more prompts than the engine holds at once")
    many = ng.request("POST", "/v1/completions", json=text(prompt=[ids] * 3, stream=True))
    streamed = {}
    for c in chunks(many):
        streamed[c["choices"][0]["index"]] = (streamed.get(c["choices"][0]["index"], "")
                                              + c["choices"][0]["text"])
    is_(streamed, {i: body["choices"][0]["text"] for i in range(3)}, "several prompts streamed")

    r = ng.request("POST", "/v1/completions", json=text(logprobs=2, echo=True)).json()
    lp = r["choices"][0]["logprobs"]
    is_({len(lp[k]) for k in ("tokens", "token_logprobs", "top_logprobs", "text_offset")},
        {len(ids) + 8}, "echo with logprobs covers prompt and answer")
    is_((lp["token_logprobs"][0], lp["top_logprobs"][0], lp["text_offset"][0]), (None, None, 0),
        "the first token has no probability")
    ok(all(2 <= len(t) <= 3 for t in lp["top_logprobs"][1:]), "the best and the chosen")
    is_(r["choices"][0]["text"], "Hello" + body["choices"][0]["text"], "echo")
    score = ng.request("POST", "/v1/completions",
                       json=text(prompt=["Hello", "Hel"], logprobs=1, echo=True, max_tokens=0))
    first = score.json()["choices"][0]
    is_((first["text"], first["finish_reason"], score.json()["usage"]["completion_tokens"]),
        ("Hello", "length", 0), "max_tokens 0 with echo scores the prompt")
    is_(first["logprobs"]["token_logprobs"], lp["token_logprobs"][:len(ids)], "with its scores")
    r = ng.request("POST", "/v1/completions",
                   json=text(logprobs=1, echo=True, stream=True, max_tokens=4))
    frames = chunks(r)
    is_(len(frames), 5, "echo streamed: one frame a token and the end")
    is_(frames[0]["choices"][0]["text"][:5], "Hello", "echo streamed: with the first token")
    is_(len(frames[0]["choices"][0]["logprobs"]["tokens"]), len(ids) + 1,
        "echo streamed: the prompt's logprobs come with it")

    r = ng.request("POST", "/generate", json={"prompt": "Hello", "max_tokens": 8, "seed": 1,
                                              "ignore_eos": True}).json()
    is_((r["text"], r["finish_reason"], r["usage"]["completion_tokens"]),
        (body["choices"][0]["text"], "length", 8), "/generate")
    r = ng.request("POST", "/generate", json={"prompt": "Hello", "max_tokens": 8, "seed": 1,
                                              "ignore_eos": True, "stream": True})
    is_("".join(c["choices"][0]["text"] for c in chunks(r)), body["choices"][0]["text"],
        "/generate streamed")


def test_stream(ng):
    whole = ng.request("POST", "/v1/chat/completions", json=chat(max_tokens=50, n=3)).json()
    r = ng.request("POST", "/v1/chat/completions",
                   json=chat(max_tokens=50, n=3, stream=True,
                             stream_options={"include_usage": True}))
    is_((r.status, r.headers["Content-Type"], r.headers["Cache-Control"],
         r.headers["X-Accel-Buffering"]), (200, "text/event-stream", "no-cache", "no"),
        "stream headers")
    is_(r.headers["X-Weir-Prompt-Tokens"], str(whole["usage"]["prompt_tokens"]),
        "the prompt's tokens are in the headers")
    ok(all(line.startswith("data: ") or line == "" for line in r.text.split("\n")),
       "nothing but data lines")
    r.body.decode("utf-8")
    ok("\ufffd" in whole["choices"][0]["message"]["content"]
       or "\ufffd" in whole["choices"][1]["message"]["content"]
       or "\ufffd" in whole["choices"][2]["message"]["content"], "the noise has broken characters")
    frames = chunks(r)
    is_({(f["id"], f["created"], f["object"], f["model"]) for f in frames},
        {(frames[0]["id"], frames[0]["created"], "chat.completion.chunk", "tiny")},
        "one id, one created")
    usage = [f for f in frames if f.get("usage") is not None]
    is_([(f["choices"], f["usage"]["completion_tokens"]) for f in usage], [([], 150)],
        "usage in exactly one frame, with empty choices")
    is_(frames[-1], usage[0], "which is the last")
    ok(all("usage" in f for f in frames), "the others say usage null")
    texts, roles, finishes, tokens = {}, {}, {}, {}
    for f in frames[:-1]:
        c = f["choices"][0]
        i, delta = c["index"], c["delta"]
        if "role" in delta:
            roles[i] = roles.get(i, 0) + 1
        if c["finish_reason"]:
            finishes[i] = (c["finish_reason"], delta)
        elif "role" not in delta:
            tokens[i] = tokens.get(i, 0) + 1
        texts[i] = texts.get(i, "") + delta.get("content", "")
    is_(roles, {0: 1, 1: 1, 2: 1}, "the role once for each choice")
    is_(finishes, {i: ("length", {}) for i in range(3)}, "the last delta is empty")
    is_(texts, {c["index"]: c["message"]["content"] for c in whole["choices"]},
        "the pieces are the whole answer")
    ok(all(50 <= n <= 51 for n in tokens.values()), "a frame for each token")

    r = ng.request("POST", "/v1/chat/completions", json=chat(stream=True, logprobs=True))
    frames = chunks(r)
    ok(all("usage" not in f for f in frames), "without include_usage no frame says usage")
    is_(sum(len((f["choices"][0]["logprobs"] or {"content": []})["content"]) for f in frames), 8,
        "streamed logprobs: one item a token")

    # [DONE] and the end of the body in one write: they arrive in one read, most of the time.
    body = json.dumps(chat(stream=True)).encode()
    raw = ng.raw(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                 b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    like(raw.decode("utf-8", "replace"), r"data: \[DONE\]\n\n\r\n0\r\n\r\n$", "a clean end")
    raw = ng.raw(b"POST /v1/chat/completions HTTP/1.0\r\nHost: x\r\n"
                 b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    like(raw.decode("utf-8", "replace"), r"data: \[DONE\]\n\n$", "HTTP/1.0")


def test_tools_and_scope(ng):
    tool = {"type": "function", "function": {"name": "get_time", "parameters": {}}}
    is_(ng.request("POST", "/v1/chat/completions", json=chat(tools=[tool])).status, 200,
        "tools are taken")
    long = chat(messages=[{"role": "user", "content": "scope " * 30}])
    cached = []
    for scope in ("a", "a", "b", None):
        headers = {"X-Weir-Cache-Scope": scope} if scope else {}
        r = ng.request("POST", "/v1/chat/completions", json=long, headers=headers)
        cached.append(int(r.headers["X-Weir-Cached-Tokens"]))
    ok(cached[0] == 0 and cached[1] > 0, "the second request of a scope finds its prefix")
    is_(cached[2:], [0, 0], "another scope does not")


def test_keepalive(ng):
    """Requests one after the other and pipelined on one connection."""
    body = json.dumps(text()).encode()
    one = (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
           % (len(body), body))
    raw = ng.raw(one + one + b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    is_(raw.count(b"HTTP/1.1 200 OK"), 3, "three pipelined requests")


def test_fast():
    ng = engine(FAST, "alias=org/tiny", "client_max_body_size 2m;", main="user nobody nogroup;\n"
                if os.geteuid() == 0 else "")
    ok(wait_ready(ng), "the engine gets ready")
    test_small_answers(ng)
    test_http_errors(ng)
    test_request_errors(ng)
    test_chat(ng)
    test_stops(ng)
    test_completions(ng)
    test_stream(ng)
    test_tools_and_scope(ng)
    test_keepalive(ng)
    like(ng.get("/metrics").text,
         r'weir_engine_http_requests_total\{path="/v1/completions",status="413"\}|status="413"',
         "refusals are counted")
    ok(metric(ng, "gen_ai_server_request_duration_seconds_count") > 10, "durations are counted")
    ok(metric(ng, "gen_ai_server_time_to_first_token_seconds_count") > 10, "so are first tokens")
    is_(metric(ng, "weir_engine_sequences_running"), 0, "nothing is left running")
    is_(metric(ng, "weir_engine_kv_blocks_used"), 0, "nor any cache held")
    return ng


def running(ng):
    return metric(ng, "weir_engine_sequences_running")


def test_early_headers(ng):
    """The headers and the role are there while the prompt is still being worked on."""
    before = metric(ng, "weir_engine_generated_tokens_total")
    s = ng.stream("POST", "/v1/chat/completions", timeout=60,
                  json=chat(messages=[{"role": "user", "content": "word " * 500}], stream=True))
    is_(metric(ng, "weir_engine_generated_tokens_total"), before, "headers come before any token")
    first = json.loads(next(s.events())[1])
    is_(first["choices"][0]["delta"]["role"], "assistant", "with the role")
    is_(metric(ng, "weir_engine_generated_tokens_total"), before, "which waits for no token either")
    s.close()
    ok(wait_for(lambda: running(ng) == 0, 5), "cancelled within its prompt")


def test_abort(ng):
    s = ng.stream("POST", "/v1/chat/completions", json=chat(max_tokens=4000, n=3, stream=True))
    next(s.events())
    ok(wait_for(lambda: running(ng) == 3, 5), "three choices run")
    s.close()
    ok(wait_for(lambda: running(ng) == 0, 5), "a client that leaves frees its slots")
    before = metric(ng, "weir_engine_client_disconnects_total")
    is_(before, 2, "and is counted")

    body = json.dumps(chat(max_tokens=4000)).encode()
    with socket.create_connection(("127.0.0.1", ng.port)) as c:
        c.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
                  % (len(body), body))
        ok(wait_for(lambda: running(ng) == 1, 5), "a request without stream runs")
    ok(wait_for(lambda: running(ng) == 0, 5), "it ends with its connection, too")
    ok(metric(ng, 'weir_engine_choices_finished_total{reason="cancelled"}') >= 4,
       "cancelled choices are counted")
    is_(metric(ng, 'weir_engine_http_requests_total{path="/v1/chat/completions",status="499"}'), 1,
        "an answer that never began is a 499")


def used(ng, request_id, scope=None):
    r = ng.request("GET", "/usage/" + request_id, timeout=20,
                   headers={"X-Weir-Cache-Scope": scope} if scope else None)
    if r.status != 200:
        return r.status
    u = r.json()
    return u["prompt_tokens"], u["cached_tokens"], u["completion_tokens"]


def test_usage(ng):
    """What requests have used is remembered, also of those that were cancelled."""
    u = ng.request("POST", "/v1/chat/completions", json=chat(max_tokens=5, n=2),
                   headers={"X-Request-Id": "whole", "X-Weir-Cache-Scope": "a"}).json()["usage"]
    told = (u["prompt_tokens"], u["prompt_tokens_details"]["cached_tokens"], u["completion_tokens"])
    is_(used(ng, "whole", "a"), told, "what a served request has used")
    is_([used(ng, "whole", "b"), used(ng, "whole"), used(ng, "none", "a")], [404] * 3,
        "of another tenant, without one, unknown: 404")
    is_error(ng.get("/usage/none"), 404, "unknown_request", None, "as an error of OpenAI's shape")
    is_(ng.request("POST", "/usage/whole", json={}).status, 405, "it is only asked")

    answers = []
    for i, n in enumerate((1, 3)):
        before = metric(ng, "weir_engine_generated_tokens_total")
        body = json.dumps(chat(max_tokens=4000, n=n)).encode()
        with socket.create_connection(("127.0.0.1", ng.port)) as c:
            c.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Request-Id: left\r\n"
                      b"X-Weir-Cache-Scope: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            wait_for(lambda at=before: metric(ng, "weir_engine_generated_tokens_total") > at + 8, 20)
            asked = threading.Thread(target=lambda: answers.append(used(ng, "left", "a")))
            if i == 0:
                asked.start()  # asked while it runs: answered when it has ended
        if i:
            asked.start()
        asked.join(20)
        wait_for(lambda: running(ng) == 0, 5)
        made = metric(ng, "weir_engine_generated_tokens_total") - before
        ok(len(answers) == i + 1 and answers[i][0] == told[0] and answers[i][2] == made > 8,
           "cancelled with %d choices: %s, of %d tokens made" % (n, answers[i:], made))
    is_(sorted([used(ng, "left", "a"), used(ng, "left", "a")]), sorted(answers),
        "of two with the same id each is told in turn")
    with socket.create_connection(("127.0.0.1", ng.port)) as c:
        c.sendall(b"GET /usage/none HTTP/1.1\r\nHost: x\r\n\r\n")
    is_(used(ng, "whole", "a"), told, "who leaves while asking harms nobody")


def test_full_queue(ng):
    streams = [ng.stream("POST", "/v1/chat/completions",
                         json=chat(max_tokens=4000, stream=True))]
    next(streams[0].events())
    held = threading.Thread(target=lambda: ng.request(
        "POST", "/v1/completions", json=text(max_tokens=2), timeout=60), daemon=True)
    held.start()
    ok(wait_for(lambda: metric(ng, "weir_engine_requests_waiting") == 1, 5), "one request waits")
    is_(ng.get("/health").json()["status"], "degraded", "a full queue is degraded health")
    r = ng.request("POST", "/v1/chat/completions", json=chat())
    is_error(r, 429, "queue_full", None, "a full queue is a 429")
    like(r.headers.get("Retry-After"), r"^[1-9]\d*$", "with Retry-After")
    like(r.headers.get("retry-after-ms"), r"^[1-9]\d*$", "and retry-after-ms")
    is_(metric(ng, "weir_engine_requests_rejected_total"), 1, "it is counted")
    streams[0].close()
    held.join(20)
    ok(not held.is_alive(), "the waiting request is served when the slot is free")
    many = ng.request("POST", "/v1/completions", json=text(prompt=["a"] * 6, max_tokens=2),
                      timeout=60)
    is_((many.status, len(many.json()["choices"])), (200, 6),
        "six prompts through a queue of one: none is lost")


def test_reload(ng):
    s = ng.stream("POST", "/v1/chat/completions", timeout=60,
                  json=chat(max_tokens=150, stream=True, stream_options={"include_usage": True}))
    events = s.events()
    got = [next(events)[1]]
    old = ng.workers()[0]
    ng.reload(wait_old=False)
    ok(wait_for(lambda: any(p != old for p in ng.workers()), 10), "a new worker is there")
    got += [data for _, data in events]
    is_(got[-1], "[DONE]", "a reload in mid-stream: the stream ends as it should")
    is_(json.loads(got[-2])["usage"]["completion_tokens"], 150, "with all its tokens")
    ok(wait_for(lambda: old not in ng.workers(), 10), "then the old worker goes")
    ok(wait_ready(ng), "the new one answers")


def test_crash(ng):
    s = ng.stream("POST", "/v1/chat/completions", json=chat(max_tokens=4000, stream=True))
    events = s.events()
    next(events)
    ng.kill_worker()
    cut = None
    try:
        for _, data in events:
            cut = data
    except Exception as e:  # a broken chunked body
        cut = e
    ok(cut != "[DONE]", "kill -9: the stream breaks off, it does not end cleanly")
    statuses = set()

    def answered():
        try:
            statuses.add(ng.request("POST", "/v1/completions", json=text(max_tokens=1)).status)
        except OSError:
            pass
        return 200 in statuses
    ok(wait_for(answered, 20), "kill -9: the next worker answers")
    ok(statuses <= {200, 503}, "and until then it says 503 at worst")


def test_slow():
    ng = engine(SLOW, "isa=scalar max_running=3 max_queue=4 step_tokens=64")
    ok(wait_ready(ng), "the slow engine gets ready")
    test_early_headers(ng)
    test_abort(ng)
    test_usage(ng)
    test_reload(ng)
    test_crash(ng)
    ng.stop()
    ng = engine(SLOW, "isa=scalar max_running=1 max_queue=1")
    ok(wait_ready(ng), "one slot, one place in the queue")
    test_full_queue(ng)
    ng.stop()


def test_slow_client():
    """A client that does not read is cut when more than request_memory waits for it."""
    ng = engine(FAST, "context=512 request_memory=1m")
    wait_ready(ng)
    body = json.dumps(chat(max_tokens=400, n=8, stream=True, logprobs=True,
                           top_logprobs=20)).encode()
    with socket.socket(socket.AF_UNIX) as c:
        c.connect(os.path.join(ng.dir, "engine.sock"))
        c.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
                  % (len(body), body))
        ok(wait_for(lambda: metric(ng, "weir_engine_slow_clients_total") == 1, 10),
           "a client that does not read is cut")
        ok(wait_for(lambda: running(ng) == 0, 5), "and its slots are free")
    like(ng.read_log(), "client reads too slowly: .* bytes wait", "the log says why")
    r = ng.request("POST", "/v1/chat/completions",
                   json=chat(max_tokens=400, n=8, logprobs=True, top_logprobs=20))
    is_error(r, 500, "internal_error", None, "a whole answer over request_memory is an error")
    like(r.json()["error"]["message"], "request_memory", "that says what to do")
    r = request(os.path.join(ng.dir, "engine.sock"), "GET", "/health")
    is_(r.status, 200, "the Unix socket serves, too")


def test_real():
    """The model of WEIR_MODEL, or of the cache, if it is there."""
    path = os.environ.get("WEIR_MODEL") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "weir", "models",
        "smollm2-135m-instruct.gguf")
    if not os.path.exists(path):
        skip("no real model: WEIR_MODEL names none and the cache has none", 1)
        return
    ng = engine(path, "context=2048")
    r = ng.request("POST", "/v1/chat/completions", json=chat())
    health = ng.get("/health")
    if r.status == 200:
        skip("it was loaded too fast to be seen loading", 2)
    else:
        is_error(r, 503, "model_loading", None, "while it loads, requests get a 503")
        ok(r.headers.get("Retry-After") == "1" and r.headers.get("retry-after-ms") == "1000",
           "with Retry-After")
    if health.status == 503:
        body = health.json()
        ok(body["status"] == "loading" and 0 <= body["progress"] <= 1, "health says loading")
    ok(wait_ready(ng), "real model: ready")
    messages = [{"role": "user", "content": "What is 2+2? Answer with the number."}]
    r = ng.request("POST", "/v1/chat/completions",
                   json={"model": "tiny", "messages": messages, "temperature": 0,
                         "max_tokens": 40}).json()
    like(r["choices"][0]["message"]["content"], r"\b4\b", "real model: two and two")
    is_(r["choices"][0]["finish_reason"], "stop", "real model: it ends by itself")
    s = ng.request("POST", "/v1/chat/completions",
                   json={"model": "tiny", "messages": messages, "temperature": 0,
                         "max_tokens": 40, "stream": True})
    is_("".join(c["choices"][0]["delta"].get("content", "") for c in chunks(s)),
        r["choices"][0]["message"]["content"], "real model: the same streamed")
    r = ng.request("POST", "/v1/completions",
                   json={"model": "tiny", "prompt": "The capital of France is",
                         "max_tokens": 3, "temperature": 0}).json()
    like(r["choices"][0]["text"], "^ Paris", "real model: knows Paris")
    is_error(ng.request("POST", "/v1/completions",
                        json={"model": "tiny", "prompt": "word " * 3000}), 400,
             "context_length_exceeded", "prompt", "real model: too long a prompt")
    ng.stop()


def refused(what, http, expected, **more):
    ng = Nginx(modules=["engine"], http=http, start=False, env=ENV, **more)
    accepted, messages = ng.test()
    ok(not accepted, "refused: " + what)
    like(messages, expected, "  and why")


def test_configuration():
    server = "server { listen 127.0.0.1:@port@; location / { weir_engine_api; %s } }"
    refused("weir_engine_api without a model", server % "", "needs a model")
    refused("a missing file", "weir_engine /nonexistent.gguf;", "No such file")
    bad = os.path.join(DIR, "bad.gguf")
    with open(bad, "wb") as f:
        f.write(b"GGUF" + b"\0" * 60)
    refused("a broken file", "weir_engine %s;" % bad, 'model ".*bad.gguf": ')
    refused("a folder", "weir_engine %s;" % DIR, "not a regular file")
    refused("two models", "weir_engine %s; weir_engine %s;" % (FAST, FAST), "is duplicate")
    refused("an unknown parameter", "weir_engine %s speed=11;" % FAST, 'parameter "speed=11"')
    refused("no threads", "weir_engine %s threads=0;" % FAST, 'invalid "threads=0"')
    refused("an id with blanks", 'weir_engine %s "id=a b";' % FAST, "printable ASCII")
    refused("little memory", "weir_engine %s request_memory=1k;" % FAST, "at least 1m")
    refused("bodies without a limit",
            "weir_engine %s;" % FAST + server % "client_max_body_size 0;", "must be set")
    refused("bodies in files",
            "weir_engine %s;" % FAST + server % "client_body_in_file_only on;", "must be off")
    refused("two workers", "weir_engine %s;" % FAST + server % "", 'needs "worker_processes 1;"',
            workers=2)


def main():
    if len(sys.argv) > 1:
        globals()["test_" + sys.argv[1]]()
    else:
        test_configuration()
        test_fast()
        test_slow()
        test_slow_client()
        test_real()
    done_testing()


main()

#!/usr/bin/env python3
"""What clients have used who left before their answer could tell it: the gateway asks the upstream
(weir_cancelled_usage), and writes one usage line, whatever becomes of the question."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirgateway import (KEYS, Gateway, bearer, chunk, completion,  # noqa: E402
                         usage_object)
from weirnginx import BUILD, Nginx, Upstream, run_dir  # noqa: E402
from weirtap import done_testing, is_, like, ok, skip, wait_for  # noqa: E402

MODULES = ["core", "auth", "metrics", "client"]
PROMPT = "Hello, " * 40
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 3000,
        "seed": 1, "ignore_eos": True}


class Leaver:
    """A client that sends a request and goes when it is told."""

    def __init__(self, gw, body, path="/v1/chat/completions", request_id=None, key="good"):
        text = json.dumps(body).encode()
        self.sock = socket.create_connection(("127.0.0.1", gw.port), 10)
        self.sock.sendall(
            b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer %s\r\nContent-Length: %d\r\n%s\r\n%s"
            % (path.encode(), KEYS[key].encode(), len(text),
               b"X-Request-Id: %s\r\n" % request_id.encode() if request_id else b"", text))

    def leave(self):
        self.sock.close()


def tokens(row):
    return (row["prompt_tokens"], row["cached_tokens"], row["completion_tokens"],
            row["usage_source"])


def one_line(gw, count, name):
    """The last of exactly count lines, after some time for one too many."""
    rows = gw.usage(count)
    time.sleep(0.05)
    is_(gw.usage_text().count("\n"), count, name + ": one line")
    return rows[-1]


def test_engine():
    """The real engine."""
    tiny = os.path.join(BUILD, "t", "bin", "tiny-model")
    if not os.access(tiny, os.X_OK):
        skip("build/t/bin/tiny-model is not built")
        return
    folder = run_dir()
    subprocess.run([tiny, "--out", os.path.join(folder, "slow.gguf"), "--ctx", "4096", "--embd",
                    "256", "--layers", "8", "--ff", "1024", "--heads", "4", "--kv-heads", "4",
                    "--rope-base", "1000000"], check=True)
    engine = Nginx(modules=["engine"], http='''
        weir_engine @dir@/../%s/slow.gguf id=tiny threads=1 isa=scalar;
        client_max_body_size 2m;
        server {
            listen 127.0.0.1:@port@;
            location / { weir_engine_api; }
        }
    ''' % os.path.basename(folder), name="engine")
    ok(wait_for(lambda: engine.get("/health").status == 200, 20), "the engine gets ready")

    def metric(name):
        for line in engine.get("/metrics").text.splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        return None

    up = type("Where", (), {"unix": None, "port": engine.port})
    gw = Gateway(up, modules=MODULES, name="gateway",
                 more_location="weir_cancelled_usage http://127.0.0.1:%d/usage/ timeout=10s;"
                 % engine.port)
    whole = gw.request("POST", "/v1/chat/completions", json={**CHAT, "max_tokens": 2},
                       headers=bearer("good")).json()["usage"]
    is_(tokens(gw.usage(1)[-1])[2:], (2, "reported"), "an answer that is read is not asked for")

    for count, request_id in ((2, "left-1"), (3, None)):
        before = metric("weir_engine_generated_tokens_total")
        client = Leaver(gw, CHAT, request_id=request_id)
        wait_for(lambda at=before: metric("weir_engine_generated_tokens_total") > at + 5, 20)
        client.leave()
        row = one_line(gw, count, "left while tokens were made")
        wait_for(lambda: metric("weir_engine_sequences_running") == 0, 5)
        made = metric("weir_engine_generated_tokens_total") - before
        is_((tokens(row)[0], tokens(row)[2], row["usage_source"]),
            (whole["prompt_tokens"], made, "reported"), "and its usage is exact")
        ok(row["prompt_tokens"] > 0 and row["completion_tokens"] > 5, "more than nothing")
        is_((row["status"], row["aborted"], row["stream"], row["model"], row["tenant"]),
            (499, True, False, "tiny", "acme"), "the rest of the line")
        if request_id:
            is_(row["request_id"], request_id, "with the client's request id")
    is_((metric("weir_engine_sequences_running"), metric("weir_engine_kv_blocks_used")), (0, 0),
        "the slots are free")
    like(gw._read(os.path.join(gw.dir, "weir.log")), r"left-1 acme \S+ tiny \d+ \d+ \d+ ",
         "the access log has the numbers, too")

    clients = [Leaver(gw, {**CHAT, "max_tokens": 200}, request_id="same") for _ in range(6)]
    wait_for(lambda: metric("weir_engine_sequences_running") > 2, 20)
    for client in clients:
        client.leave()
    rows = gw.usage(9)[-6:]
    is_(sorted(row["usage_source"] for row in rows), ["reported"] * 6, "six with one request id")
    wait_for(lambda: metric("weir_engine_sequences_running") == 0, 5)
    gw.stop()
    engine.stop()


usage_mode = "good"
asked = []
release = threading.Event()
gone = []


def answer(received, reply):
    path = received.path.split("?")[0]
    if path.startswith("/usage/"):
        asked.append(received)
        tell_usage(received, reply)
    elif path == "/v1/completions":  # the header, half of the answer, and no more
        text = json.dumps(completion(text="x" * 20000, usage=usage_object(9, 4))).encode()
        reply.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                  b"X-Weir-Prompt-Tokens: 9\r\n\r\n%s" % (len(text), text[:15000]))
        gone.append(reply.wait_closed(10))
    elif received.json().get("stream"):
        reply.begin(headers={"X-Weir-Prompt-Tokens": "11", "X-Weir-Cached-Tokens": "4"})
        reply.event(chunk(role="assistant"))
        reply.event(chunk("one"))
        gone.append(reply.wait_closed(10))
    elif received.json().get("served"):
        reply.json(200, completion(usage=usage_object(9, 4)))
    else:
        gone.append(reply.wait_closed(10))


def tell_usage(received, reply):
    good = {"request_id": received.path.split("/")[-1], "model": "tiny\u00fc", "prompt_tokens": 123,
            "cached_tokens": 7, "completion_tokens": 45}
    if usage_mode == "good":
        reply.json(200, good)
    elif usage_mode == "late":
        release.wait(20)
        reply.json(200, good)
    elif usage_mode == "missing":
        reply.json(404, {"error": {"message": "unknown"}})
    elif usage_mode == "garbage":
        reply.send(200, "{\"prompt_tokens\": 1")
    elif usage_mode == "negative":
        reply.json(200, {**good, "completion_tokens": -1})
    elif usage_mode == "cut":
        reply.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        reply.keep = False
    elif usage_mode == "large":
        reply.send(200, " " * 100000)
    else:
        reply.wait_closed(20)


def test_questions():
    global usage_mode
    up = Upstream(answer)

    def gateway(timeout):
        return Gateway(up, modules=["client", "metrics", "auth", "core"],
                       more_location="weir_cancelled_usage http://127.0.0.1:%d/usage/ timeout=%s max=3;"
                       % (up.port, timeout),
                       more_server="location /silent/ { proxy_pass http://engine/;"
                       " include @root@/config/weir-proxy.conf; weir_cancelled_usage off; }")

    # Long enough for a slow machine; where the deadline itself is tested, short.
    gw = gateway("20s")
    count = 0

    def left(body, name, path="/v1/chat/completions", **more):
        nonlocal count
        before = len(up.requests)
        client = Leaver(gw, body, path=path, **more)
        wait_for(lambda: len(up.requests) > before, 10)
        if body.get("stream") or path == "/v1/completions":
            client.sock.recv(4096)
        client.leave()
        count += 1
        return one_line(gw, count, name)

    row = left(CHAT, "asked", request_id="my.id:1")
    is_((tokens(row), row["model"], row["status"], row["aborted"]),
        ((123, 7, 45, "reported"), "tiny\u00fc", 499, True), "what the upstream tells is written")
    is_((asked[-1].path, asked[-1].headers["x-weir-cache-scope"], asked[-1].method),
        ("/usage/my.id:1", "acme", "GET"), "asked by request id and tenant")
    is_("authorization" in asked[-1].headers, False, "without the client's key")
    ok(wait_for(lambda: gone and gone[-1], 10), "the upstream's connection was closed before")

    row = left({"model": "tiny", "prompt": "x"}, "in the middle of a whole answer",
               path="/v1/completions")
    is_((tokens(row), row["status"]), ((123, 7, 45, "reported"), 200), "asked, too")

    n = len(asked)
    row = left({**CHAT, "stream": True}, "in mid-stream")
    is_((tokens(row), len(asked) - n), ((11, 4, 1, "counted"), 0), "counted, not asked")
    is_(gw.request("POST", "/v1/chat/completions", json={**CHAT, "served": True},
                   headers=bearer("good")).status, 200, "served")
    count += 1
    is_((tokens(gw.usage(count)[-1]), len(asked) - n), ((9, 0, 4, "reported"), 0), "not asked")
    row = left(CHAT, "weir_cancelled_usage off", path="/silent/v1/chat/completions")
    is_((tokens(row), len(asked) - n), ((0, 0, 0, "none"), 0), "not asked")
    is_(gw.request("POST", "/v1/chat/completions", json=CHAT).status, 401, "refused")
    count += 1
    is_((tokens(gw.usage(count)[-1]), len(asked) - n), ((0, 0, 0, "none"), 0), "not asked")

    patient = gw
    for usage_mode in ("missing", "garbage", "negative", "cut", "large", "silent"):
        if usage_mode == "silent":
            gw, count = gateway("3s"), 0
        n = len(asked)
        row = left(CHAT, usage_mode)
        ok(tokens(row)[0] >= len(PROMPT) // 4 and tokens(row)[2:] == (0, "estimated"),
           "%s: the prompt is estimated from its text: %s" % (usage_mode, tokens(row)))
        ok(len(asked) > n, "%s: asked" % usage_mode)
    ok(row["latency_ms"] < 3000, "the latency is the client's, without the wait for an answer")
    like(gw.read_log(), r"usage of the cancelled request .* is not known: .*within 3000 ms",
         "the reason is in the error log")

    # More than may wait for answers at once.
    usage_mode = "silent"
    n = len(asked)
    before = len(up.requests)
    clients = [Leaver(gw, CHAT) for _ in range(8)]
    wait_for(lambda: len(up.requests) >= before + 8, 10)
    for client in clients:
        client.leave()
    count += 8
    rows = gw.usage(count)[-8:]
    is_((sum(row["usage_source"] == "estimated" for row in rows), len(asked) - n), (8, 3),
        "three are asked for at once, the others estimated")

    # A reload and an exit with a question under way.
    usage_mode = "late"
    gw, count = patient, len(patient.usage())
    n = len(asked)
    before = len(up.requests)
    client = Leaver(gw, CHAT)
    wait_for(lambda: len(up.requests) > before, 10)
    client.leave()
    wait_for(lambda: len(asked) > n, 10)
    gw.reload(wait_old=False)
    release.set()
    count += 1
    is_(tokens(one_line(gw, count, "a reload while the upstream is asked")),
        (123, 7, 45, "reported"), "its answer counts")
    wait_for(lambda: len(gw.workers()) == 1, 10)

    release.clear()
    n = len(asked)
    before = len(up.requests)
    client = Leaver(gw, CHAT)
    wait_for(lambda: len(up.requests) > before, 10)
    client.leave()
    wait_for(lambda: len(asked) > n, 10)
    gw.send_signal(signal.SIGTERM)
    gw.process.wait(10)
    count += 1
    row = one_line(gw, count, "an exit while the upstream is asked")
    is_((row["status"], row["usage_source"]), (499, "estimated"), "as a client that left")
    release.set()


def test_configuration():
    for directive, modules, want in [
            ("weir_cancelled_usage http://h:1/;", ["core", "auth", "metrics"],
             r'"weir_cancelled_usage" needs ngx_http_weir_client_module'),
            ("weir_cancelled_usage ftp://h/;", MODULES, "invalid URL"),
            ("weir_cancelled_usage http://127.0.0.1/ timeout=x;", MODULES, "invalid parameter"),
            ("weir_cancelled_usage http://127.0.0.1/ max=0;", MODULES, "invalid parameter"),
            ("weir_cancelled_usage off; weir_cancelled_usage off;", MODULES, "duplicate")]:
        gw = Gateway(modules=modules, start=False, more_location=directive)
        accepted, messages = gw.test()
        ok(not accepted, "refused: " + directive)
        like(messages, want, "with its reason")


def test_http2():
    """A stream that the client resets, and a connection that goes with its streams."""
    global usage_mode
    usage_mode = "good"
    if not shutil.which("curl") or "HTTP2" not in subprocess.run(
            ["curl", "-V"], stdout=subprocess.PIPE, check=False).stdout.decode():
        skip("curl with HTTP/2 is needed")
        return
    up = Upstream(answer)
    gw = Gateway(up, modules=MODULES, more_server='''
        location = /unused { return 204; }
    }
    server {
        listen 127.0.0.1:@port2@ http2;
        weir on;
        location / {
            proxy_pass http://engine;
            include @root@/config/weir-proxy.conf;
            weir_cancelled_usage http://127.0.0.1:%d/usage/;
        }
    ''' % up.port)
    for count in (1, 2):
        subprocess.run(["curl", "-s", "-m", "0.3", "--http2-prior-knowledge",
                        "-H", "Authorization: Bearer " + KEYS["good"],
                        "-H", "Content-Type: application/json", "-d", json.dumps(CHAT),
                        "http://127.0.0.1:%d/v1/chat/completions" % gw.ports["port2"]],
                       stdin=subprocess.DEVNULL, check=False)
        row = one_line(gw, count, "HTTP/2: left before the answer")
        is_((tokens(row), row["status"], row["aborted"]), ((123, 7, 45, "reported"), 499, True),
            "HTTP/2: what the upstream tells is written")
    gw.reload()
    gw.stop()


test_configuration()
test_questions()
test_http2()
test_engine()
done_testing()

#!/usr/bin/env python3
"""What ./quickstart promises: names, modes, the printed curl line, repeating, other settings, clear
errors, the commands of the documentation, and that stopping leaves nothing."""

import os
import re
import socket
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from weirtap import diag, done_testing, is_, isnt, like, note, ok, unlike, wait_for  # noqa: E402
from weirnginx import ROOT, free_port, sse_data  # noqa: E402
from weirsystem import System, command, environment, tiny_model  # noqa: E402

MAKE = ("make", "--no-print-directory")


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def curl_line(output):
    lines = [line for line in output.splitlines() if line.startswith("curl ")]
    is_(len(lines), 1, "exactly one curl line is printed")
    return lines[0] if lines else "false"


def shell(line, cwd=ROOT, **settings):
    done = subprocess.run(["sh", "-c", line], cwd=cwd, env=environment(**settings),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=600, check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def processes(system):
    """Processes whose working folder is the run folder."""
    found = []
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                if os.readlink("/proc/%s/cwd" % pid) == os.path.realpath(system.run):
                    found.append(int(pid))
            except OSError:
                pass
    return found


def first_start(system):
    like(system.output, "Pacific", "the first answer is printed, and right")
    like(system.output, r"\d+ prompt tokens, \d+ answer tokens", "with its token counts")
    status, text = shell(curl_line(system.output))
    is_(status, 0, "the curl line works")
    data = sse_data(text)
    ok(len(data) > 5 and data[-1] == "[DONE]", "and streams")
    unlike(system.output, re.escape(system.key), "the key is not printed")

    for name in ("demo.key", "engine.sock", "tenants.json", "usage.jsonl"):
        ok(os.path.exists(os.path.join(system.run, name)), "run/%s is there" % name)
    is_(mode(os.path.join(system.run, "demo.key")), 0o600, "demo.key has mode 600")
    is_(mode(os.path.join(system.run, "tenants.json")), 0o600, "tenants.json, too")
    is_(mode(system.run) & 0o007, 0, "nobody else may look into run/")
    is_(mode(os.path.join(system.run, "engine.sock")) & 0o007, 0, "nor talk to the engine")
    for name in ("weir", "weir-llm"):
        ok(os.access(os.path.join(ROOT, "build", "bin", name), os.X_OK), "build/bin/%s" % name)
    row = system.rows()[-1]
    for field in ("ts", "request_id", "tenant", "key_id", "model", "prompt_tokens", "cached_tokens",
                  "completion_tokens", "status", "latency_ms", "ttft_ms"):
        ok(field in row, "usage.jsonl has " + field)


def who_runs(system):
    if os.getuid() != 0:
        return
    for name in ("gateway", "engine"):
        for pid in system.workers(name):
            isnt(os.stat("/proc/%d" % pid).st_uid, 0, "started as root, a %s worker is not" % name)


def open_and_closed(system):
    is_(system.ask("GET", "/health", key=None).status, 200, "/health needs no key")
    answer = system.ask("GET", "/metrics", key=None)
    is_(answer.status, 200, "/metrics needs no key")
    like(answer.text, r"(?m)^# TYPE weir_", "and is Prometheus text")
    for path in ("/v1/models", "/v1/chat/completions", "/generate", "/tokenize", "/detokenize", "/",
                 "/v1", "/health/", "/metrics/x", "//health", "/x/../generate"):
        status = system.ask("POST", path, key=None, json={"prompt": "x"}).status
        if path in ("//health", ):
            # The same address as /health, in another spelling.
            ok(status in (200, 401, 405), "%s without a key: %d" % (path, status))
        else:
            is_(status, 401, "%s without a key is a 401" % path)
    is_(system.ask("POST", "/tokenize", json={"prompt": "Hello"}).status, 200, "with it, not")


def listening_on_all(system):
    """Nothing listens on an address that others reach."""
    ports = []
    with open("/proc/net/tcp", encoding="ascii") as f:
        for line in f.readlines()[1:]:
            words = line.split()
            if words[3] == "0A" and int(words[1].split(":")[1], 16) == system.port:
                ports.append(words[1].split(":")[0])
    is_(ports, ["0100007F"] * len(ports), "the gateway listens on loopback only")


def repeat(system):
    before = {name: system.master(name) for name in ("gateway", "engine")}
    key = system.key
    is_(system.start(MAKE + ("run",)), 0, "make run again succeeds")
    is_({name: system.master(name) for name in before}, before, "and leaves alone what runs")
    is_(system.key, key, "with the same key")
    like(system.output, "already runs", "and says so")
    curl_line(system.output)


def status_says(system):
    status, text = system.status()
    is_(status, 0, "make status: all is well")
    for what in (str(system.port), str(system.master("engine")), str(system.master("gateway")),
                 system.model, "health", "up "):
        like(text, re.escape(what), "it tells " + what)
    note(text)


def other_port(system):
    """The same run folder on another port: restarted there."""
    system.port = free_port()
    is_(system.start(), 0, "another port")
    is_(system.ask("GET", "/v1/models").status, 200, "is served")


def port_in_use():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        status, text = command("deploy/run", WEIR_PORT=port, WEIR_RUN="/nonexistent/run")
    isnt(status, 0, "a port in use is an error")
    like(text, r"port %d is in use" % port, "which names the port")
    like(text, r"WEIR_PORT=", "and what to do")


def bad_settings(folder):
    for settings, message in (
            ({"WEIR_PORT": "http"}, r'WEIR_PORT is "http"'),
            ({"WEIR_PORT": "70000"}, r'WEIR_PORT is "70000"'),
            ({"WEIR_MODEL": "/nonexistent.gguf"}, "there is no file /nonexistent.gguf"),
            ({"WEIR_MODEL": os.path.join(ROOT, "README.md")}, "is not a GGUF model file"),
            ({"WEIR_MODEL": broken_model(folder)}, "gguf|GGUF|model")):
        merged = {"WEIR_RUN": os.path.join(folder, "bad"), "WEIR_PORT": free_port(), **settings}
        status, text = command("deploy/run", **merged)
        isnt(status, 0, "%s=%s is an error" % tuple(settings.items())[0])
        like(text, message, "which says why")
        command("deploy/stop", WEIR_RUN=merged["WEIR_RUN"])


def broken_model(folder):
    path = os.path.join(folder, "broken.gguf")
    with open(path, "wb") as f:
        f.write(b"GGUF\3\0\0\0" + b"\xff" * 64)
    return path


def stop(system):
    _, text = system.stop()
    like(text, "gateway stopped", "make stop says what it ends")
    is_(processes(system), [], "it leaves no process")
    ok(not os.path.exists(os.path.join(system.run, "engine.sock")), "and no socket")
    status, text = command("deploy/stop", **system.settings())
    is_(status, 0, "stopping twice is no error")
    like(text, "nothing runs", "and says so")
    status, text = system.status()
    is_(status, 3, "make status now ends with 3")
    like(text, "not running", "and says why")


def orphans(system):
    """Masters killed: stop ends their workers, run starts over."""
    is_(system.start(), 0, "started once more, with the old files there")
    for name in ("gateway", "engine"):
        os.kill(system.master(name), 9)
    status, _ = command("deploy/stop", **system.settings())
    is_(status, 0, "stop after the masters were killed")
    ok(wait_for(lambda: not processes(system)), "leaves no worker")


def other_model():
    """Another model, a run folder with a blank in its name, and a caller elsewhere."""
    system = System(start=False)
    system.run = os.path.join(system.dir, "a run folder")
    system.model_path = tiny_model(os.path.join(system.dir, "My Tiny.gguf"))
    status = system.start()
    text = system.output
    if not ok(status == 0, "a tiny random model is started"):
        diag(text[-3000:])
        return
    is_(system.model, "my-tiny", "a model's id comes from its file's name")
    listed = system.ask("GET", "/v1/models").json()
    is_([model["id"] for model in listed["data"]], ["my-tiny"], "it is the one that is served")
    answer = system.ask("POST", "/v1/completions", json={"model": "my-tiny", "prompt": "a",
                                                         "max_tokens": 3})
    is_(answer.status, 200, "and answers")
    status, _ = shell(curl_line(text), cwd="/")
    is_(status, 0, "the curl line works from anywhere")
    system.stop()


def documented_commands(system):
    """Every line of a ```sh block in the user's pages that is not marked as an example runs."""
    pages = ["README.md", "docs/quickstart.md", "docs/operations.md", "docs/weir.md", "docs/documents.md"]
    skipped = re.compile(r"^(git clone|cd |\./quickstart|make (run|stop|test|lint|bench|soak|check|"
                         r"clean)|sudo |systemctl|apt|WEIR_|kill|pip |python)")
    ran = 0
    for page in pages:
        with open(os.path.join(ROOT, page), encoding="utf-8") as f:
            blocks = re.findall(r"(?ms)^```sh\n(.*?)^```", f.read())
        for block in blocks:
            for line in block.replace("\\\n", " ").splitlines():
                line = line.strip()
                if not line or line.startswith("#") or skipped.match(line):
                    continue
                line = line.replace("http://127.0.0.1:8080", "http://127.0.0.1:%d" % system.port)
                line = re.sub(r"(?<![\w/])run/", system.run + "/", line)
                status, text = shell("set -e; " + line, **system.settings())
                ran += 1
                good = status == 0 and '{"error"' not in text
                if not ok(good, "%s: %s" % (page, line[:100])):
                    diag(text[-2000:])
    ok(ran >= 6, "%d documented commands ran" % ran)


def main():
    port_in_use()
    system = System(words=MAKE + ("run",))
    first_start(system)
    who_runs(system)
    open_and_closed(system)
    listening_on_all(system)
    repeat(system)
    status_says(system)
    documented_commands(system)
    other_port(system)
    stop(system)
    system.allow("worker process|exited on signal")
    orphans(system)
    other_model()
    bad_settings(system.dir)
    done_testing()


if __name__ == "__main__":
    main()

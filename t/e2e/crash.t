#!/usr/bin/env python3
"""Kill -9 of the engine's worker, and of the gateway's: what is in progress ends with an error that
clients understand, the gateway answers in OpenAI's shape meanwhile, and service resumes by itself."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from weirtap import diag, done_testing, is_, ok, wait_for  # noqa: E402
from weirnginx import stream  # noqa: E402
from weirsystem import System  # noqa: E402


def body(system, **more):
    return {"model": system.model, "temperature": 0, "max_tokens": 8,
            "messages": [{"role": "user", "content": "Say hello."}], **more}


def openai_error(answer):
    """The error object when the body has exactly OpenAI's shape."""
    try:
        error = answer.json()["error"]
        if set(error) == {"message", "type", "param", "code"} and error["message"]:
            return error
    except (ValueError, KeyError, TypeError):
        pass
    return None


def kill_engine(system):
    system.allow(r"exited on signal 9")
    system.allow(r"worker process \d+ exited with fatal code")
    with_key = {"Authorization": "Bearer " + system.key}
    running = stream(system.port, "POST", "/v1/chat/completions", headers=with_key,
                     json=body(system, stream=True, max_tokens=1500, ignore_eos=True))
    events = running.events()
    for _ in range(3):
        next(events)
    request_id = running.headers["x-request-id"]
    victim = system.workers("engine")[0]
    os.kill(victim, signal.SIGKILL)

    rest = []
    try:
        rest = [data for _, data in events]
    except Exception as error:  # pylint: disable=broad-except
        diag("the stream was cut: %r" % error)
    ok("[DONE]" not in rest, "a stream whose engine died does not pretend to be complete")
    row = system.usage(request_id)
    ok((row.get("completion_tokens") or 0) >= 1, "what it had is in the ledger")

    seen = []
    started = time.monotonic()
    served = None
    while time.monotonic() - started < 60:
        answer = system.ask("POST", "/v1/chat/completions", json=body(system), timeout=60)
        if answer.status == 200:
            served = time.monotonic() - started
            break
        seen.append(answer)
        time.sleep(0.05)
    ok(served is not None, "the next request is served again, by a new worker")
    diag("served again %.1f s after the kill, %d refusals meanwhile" % (served or -1, len(seen)))
    ok(all(a.status in (502, 503) for a in seen), "meanwhile only 502 and 503: %s"
       % sorted({a.status for a in seen}))
    ok(all(openai_error(a) for a in seen), "in OpenAI's shape")
    ok(all(a.headers.get_content_type() == "application/json" for a in seen), "as JSON")
    workers = system.workers("engine")
    ok(workers and victim not in workers, "the master has started another worker")


def stop_engine(system):
    """No engine at all: its socket is there, nobody listens; then gone altogether."""
    system.allow(r"connect\(\) to unix:engine.sock failed")
    master = system.master("engine")
    workers = system.workers("engine")
    for pid in [master] + workers:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not os.path.exists("/proc/%d/cwd" % master))
    for what in ("nobody listens on the engine's socket", "the engine's socket is gone"):
        answer = system.ask("POST", "/v1/chat/completions", json=body(system))
        ok(answer.status in (502, 503), "%s: %d" % (what, answer.status))
        ok(openai_error(answer), "in OpenAI's shape")
        row = system.usage(answer.headers["x-request-id"])
        is_((row.get("status"), row.get("completion_tokens")), (answer.status, 0), "and in the ledger")
        if os.path.exists(os.path.join(system.run, "engine.sock")):
            os.unlink(os.path.join(system.run, "engine.sock"))
    is_(system.ask("GET", "/health", key=None).status in (200, 503), True,
        "the gateway still answers about itself")
    is_(system.start(), 0, "make run starts what is missing")
    is_(system.ask("POST", "/v1/chat/completions", json=body(system)).status, 200, "and it serves")


def kill_gateway(system):
    for victim in system.workers("gateway"):
        os.kill(victim, signal.SIGKILL)

    def answered():
        try:
            return system.ask("GET", "/v1/models").status == 200
        except OSError:
            return False
    ok(wait_for(answered, 20), "after the death of its workers the gateway serves again")


def main():
    system = System()
    kill_engine(system)
    stop_engine(system)
    kill_gateway(system)
    done_testing()


if __name__ == "__main__":
    main()

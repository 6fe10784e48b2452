"""The whole running system, started as a user starts it, in a folder and on a port of its own.

    from weirsystem import System

    system = System()                    # deploy/run: gateway and engine on the standard model
    system.port, system.base_url, system.key, system.model
    system.usage(request_id)             # that request's row of usage.jsonl
    system.engine_metric("weir_...")     # the engine's own metrics, on its socket
    done_testing()                       # stops it and checks both error logs
"""

import atexit
import json
import os
import re
import subprocess
import sys

import weirtap
from weirnginx import ROOT, _BAD, children, free_port, request, run_dir


def environment(**more):
    """This process's, without the settings of another running system."""
    env = {name: value for name, value in os.environ.items()
           if name not in ("WEIR_PORT", "WEIR_RUN", "WEIR_MODEL", "WEIR_FROM", "MAKEFLAGS",
                           "MFLAGS", "MAKELEVEL")}
    env.update({name: str(value) for name, value in more.items() if value is not None})
    return env


def command(*words, timeout=600, cwd=ROOT, **settings):
    """Runs a command of the clone; (exit status, both outputs together)."""
    done = subprocess.run(words, cwd=cwd, env=environment(**settings), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout,
                          check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace")


class System:
    def __init__(self, model=None, start=True, words=("deploy/run",), run=None):
        self.dir = run_dir("weir-sys-")
        self.run = run or os.path.join(self.dir, "run")
        self.port = free_port()
        self.model_path = model
        self.output = ""
        self._allow = []
        self._running = False
        atexit.register(self._last_resort)
        weirtap.at_finish(self.stop)
        if start:
            status = self.start(words)
            if status != 0:
                weirtap.ok(False, "the system starts")
                weirtap.diag(self.output[-6000:])
                weirtap.done_testing()

    def settings(self):
        return {"WEIR_RUN": self.run, "WEIR_PORT": self.port, "WEIR_MODEL": self.model_path}

    def start(self, words=("deploy/run",)):
        self._running = True
        status, self.output = command(*words, **self.settings())
        return status

    def status(self):
        return command("deploy/status", **self.settings())

    def stop(self):
        """Stops it; the error logs must hold nothing bad that was not announced."""
        if not self._running:
            return 0, ""
        self._running = False
        status, text = command("deploy/stop", **self.settings())
        for name in ("engine", "gateway"):
            bad = self.bad_lines(name)
            if not weirtap.ok(not bad, "%s: nothing bad in its error log" % name):
                weirtap.diag("\n".join(bad[:10]))
        return status, text

    def _last_resort(self):
        if self._running:
            command("deploy/stop", **self.settings())

    def allow(self, regex):
        self._allow.append(re.compile(regex))

    def log(self, name):
        try:
            with open(os.path.join(self.run, "logs", name + ".error.log"), "rb") as f:
                return f.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def bad_lines(self, name):
        return [line for line in self.log(name).splitlines()
                if _BAD.search(line) and not any(a.search(line) for a in self._allow)]

    # -- what runs

    def file(self, name):
        with open(os.path.join(self.run, name), encoding="utf-8") as f:
            return f.read()

    @property
    def key(self):
        return self.file("demo.key").strip()

    @property
    def model(self):
        return self.file("model.id").strip()

    @property
    def base_url(self):
        return "http://127.0.0.1:%d/v1" % self.port

    def master(self, name):
        return int(self.file(name + ".pid"))

    def workers(self, name):
        return children(self.master(name))

    def ask(self, method, path, key=True, **more):
        """A request to the gateway; key: the demo key, a text, or None for none."""
        headers = dict(more.pop("headers", None) or {})
        if key:
            headers["Authorization"] = "Bearer " + (self.key if key is True else key)
        return request(self.port, method, path, headers=headers, **more)

    def engine(self, method, path, **more):
        """A request to the engine itself, on its socket; relative because an address is short."""
        here = os.getcwd()
        os.chdir(self.run)
        try:
            return request("engine.sock", method, path, **more)
        finally:
            os.chdir(here)

    def engine_metric(self, regex):
        """The sum of the engine's metrics whose name and labels match."""
        text = self.engine("GET", "/metrics").text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                   if not line.startswith("#") and re.search(regex, line))

    def rows(self):
        return [json.loads(line) for line in self.file("usage.jsonl").splitlines()]

    def usage(self, request_id, timeout=10):
        """The row of a request, which is written when the request ends."""
        def find():
            found = [row for row in self.rows() if row["request_id"] == request_id]
            return found or None
        found = weirtap.wait_for(find, timeout) or []
        if len(found) != 1:
            weirtap.ok(False, "one usage row for request %s, found %d" % (request_id, len(found)))
            return {}
        return found[0]


def python_env(name):
    """The interpreter of build/NAME, made by deploy/python-env; ends the test when it is missing."""
    path = os.path.join(ROOT, "build", name, "bin", "python3")
    if not os.path.exists(path):
        weirtap.bail_out("%s is missing: make test makes it" % path)
    return path


def run_in(name):
    """Starts this test again under the interpreter of build/NAME, unless it runs there already."""
    path = python_env(name)
    if os.path.realpath(sys.prefix) != os.path.realpath(os.path.join(ROOT, "build", name)):
        os.execv(path, [path] + sys.argv)


def tiny_model(path, *arguments):
    """Writes a tiny random model by the tests' generator."""
    program = os.path.join(ROOT, "build", "t", "bin", "tiny-model")
    subprocess.run([program, *arguments, "--out", path], check=True, stdout=subprocess.DEVNULL)
    return path

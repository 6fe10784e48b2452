#!/usr/bin/env python3
"""deploy/install-packages with a package manager that plays a part: only what is missing is asked for,
and a machine without sudo, without a network or with another nginx gets a message that helps."""

import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from weirtap import diag, done_testing, is_, like, ok, unlike, wait_for  # noqa: E402
from weirnginx import ROOT, run_dir  # noqa: E402

TOOLS = ("sh", "dirname", "env", "grep", "sed", "tr", "mkdir", "date", "sleep", "tail", "cut", "cat",
         "nproc", "rm", "touch")

# The state is a folder: a file for each package that is not installed.
DPKG_QUERY = """
for name; do :; done
case "$*" in *Version*) echo 1.22.1-9; exit ;; esac
[ -e "$STATE/missing-$name" ] || printf installed
"""
APT_GET = """
echo "$*" >> "$STATE/calls"
case "$*" in
*" update") [ ! -e "$STATE/offline" ] || echo "W: Failed to fetch http://mirror.invalid/Release" ;;
*" install "*)
    if [ -e "$STATE/offline" ]; then echo "E: Unable to locate package make"; exit 100; fi
    touch "$STATE/begun"
    while [ -e "$STATE/slow" ]; do sleep 0.05; done
    rm -f "$STATE"/missing-* ;;
esac
"""


class Machine:
    """A PATH of its own with the few tools that are needed and the actors."""

    def __init__(self, name, missing=(), uid=0, **actors):
        self.dir = run_dir("weir-install-" + name + "-")
        os.mkdir(self.dir + "/bin")
        for tool in TOOLS:
            for folder in ("/usr/bin", "/bin"):
                if os.path.exists(os.path.join(folder, tool)):
                    os.symlink(os.path.join(folder, tool), os.path.join(self.dir, "bin", tool))
                    break
        self.actor("id", "echo %d" % uid)
        self.actor("apt-get", APT_GET)
        self.actor("dpkg-query", DPKG_QUERY)
        self.actor("apt-cache", "exit 0")
        for actor, text in actors.items():
            self.actor(actor.replace("_", "-"), text)
        for package in missing:
            self.touch("missing-" + package)

    def actor(self, name, text):
        path = os.path.join(self.dir, "bin", name)
        with open(path, "w", encoding="ascii") as f:
            f.write("#!/bin/sh\n" + text + "\n")
        os.chmod(path, 0o755)

    def touch(self, name):
        with open(os.path.join(self.dir, name), "w", encoding="ascii"):
            pass

    def has(self, name):
        return os.path.exists(os.path.join(self.dir, name))

    def calls(self):
        if not self.has("calls"):
            return []
        with open(os.path.join(self.dir, "calls"), encoding="ascii") as f:
            return f.read().splitlines()

    def start(self, *tasks):
        return subprocess.Popen(
            ["/bin/sh", os.path.join(ROOT, "deploy", "install-packages"), *tasks],
            env={"PATH": os.path.join(self.dir, "bin"), "STATE": self.dir, "HOME": self.dir},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def install(self, *tasks):
        process = self.start(*tasks)
        text = process.communicate(timeout=60)[0].decode("utf-8", "replace")
        return process.returncode, text


def nothing_missing():
    machine = Machine("all")
    status, text = machine.install("run", "test", "lint")
    is_((status, text, machine.calls()), (0, "", []), "nothing missing: nothing is said or done")


def some_missing():
    machine = Machine("some", missing=("make", "curl"))
    status, text = machine.install("run")
    is_(status, 0, "two missing packages are installed")
    like(text, r"Installing curl make", "and named")
    calls = machine.calls()
    is_(len(calls), 2, "by one update and one install")
    ok(calls[-1].endswith("install --no-install-recommends --no-upgrade curl make"),
       "of these alone, and nothing is upgraded") or diag(calls)
    is_(machine.install("run"), (0, ""), "again: nothing is done")


def other_nginx():
    machine = Machine("nginx", missing=("nginx-dev", ))
    status, _ = machine.install("run")
    is_(status, 0, "nginx without nginx-dev")
    ok(machine.calls()[-1].endswith(" nginx-dev=1.22.1-9"), "gets the headers of its very version")
    machine = Machine("foreign", missing=("nginx-dev", ), apt_cache="exit 100")
    status, text = machine.install("run")
    is_(status, 1, "where there are none it is an error")
    like(text, r"there is no nginx-dev of that version", "which says so")
    like(text, r"Upgrading nginx is your decision", "and leaves nginx alone")
    ok(not any(" install " in call for call in machine.calls()), "nothing is installed")


def offline():
    machine = Machine("offline", missing=("make", ))
    machine.touch("offline")
    status, text = machine.install("run")
    is_(status, 1, "no network is an error")
    like(text, r"could not be fetched: is the network up", "which is called by its name")


def no_root():
    machine = Machine("user", missing=("make", "gcc"), uid=1000)
    status, text = machine.install("run")
    is_(status, 1, "neither root nor sudo is an error")
    like(text, r"there is no sudo", "which says why")
    like(text, r"apt-get install -y --no-install-recommends gcc make", "and prints the command")
    machine = Machine("asks", missing=("make", ), uid=1000, sudo="exit 1")
    status, text = machine.install("run")
    is_(status, 1, "a sudo that asks, without a terminal, is an error")
    like(text, r"there is no terminal", "which says why")
    machine = Machine("sudo", missing=("make", ), uid=1000,
                      sudo='case $1 in -n) shift ;; esac\necho sudo >> "$STATE/sudo"\nexec "$@"')
    machine.actor("true", "exit 0")
    status, text = machine.install("run")
    is_(status, 0, "with sudo it works") or diag(text)
    unlike(text, "needs root", "without a question")


def interrupted():
    """An installation cut short would go on in the background, after the guard is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        machine = Machine("stop", missing=("make", ))
        machine.touch("slow")
        process = machine.start("run")
        ok(wait_for(lambda: machine.has("begun")), "the installation has begun")
        process.send_signal(number)
        time.sleep(0.5)
        is_(process.poll(), None, "%s does not end it" % number.name)
        os.unlink(os.path.join(machine.dir, "slow"))
        text = process.communicate(timeout=60)[0].decode("utf-8", "replace")
        is_(process.returncode, 130, "it ends when the packages are there") or diag(text)
        ok(not machine.has("missing-make"), "and they are")
        like(text, r"must not be cut short", "it says what it waits for")


nothing_missing()
some_missing()
other_nginx()
offline()
no_root()
interrupted()
done_testing()

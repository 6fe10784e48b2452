"""TAP for Python tests: assertions print as they happen, done_testing() prints the plan.

    from weirtap import ok, is_, like, skip, diag, done_testing

    ok(cond, "name")                 is_(got, want, "name")
    isnt(got, unwanted, "name")      like(text, r"regex", "name")
    unlike(text, r"regex", "name")   skip("why", count=1)
    skip_all("why")                  bail_out("why")
    done_testing()                   last call: prints the plan and exits

A test that ends without done_testing(), by an exception too, fails: the plan is missing.
"""

import atexit
import os
import random
import re
import sys
import threading
import time

_lock = threading.Lock()
_state = {"run": 0, "failed": 0, "done": False}

# Functions called by done_testing() before the plan; they may assert (NGINX's logs, for one).
_finishers = []


def _emit(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def diag(text):
    """Prints a comment to standard error, where prove shows it."""
    for line in str(text).splitlines() or [""]:
        sys.stderr.write("# " + line + "\n")
    sys.stderr.flush()


def note(text):
    """Prints a comment to standard output, which prove shows only with -v."""
    for line in str(text).splitlines() or [""]:
        _emit("# " + line + "\n")


def ok(cond, name):
    with _lock:
        _state["run"] += 1
        if not cond:
            _state["failed"] += 1
        _emit("%sok %d - %s\n" % ("" if cond else "not ", _state["run"], _name(name)))
    if not cond:
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename == __file__:
            frame = frame.f_back
        diag("  failed: %s, line %d" % (os.path.basename(frame.f_code.co_filename), frame.f_lineno))
    return bool(cond)


def _name(name):
    return str(name).replace("\n", " ").replace("#", "\\#")


def _short(value, limit=2000):
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "... (%d characters)" % len(text)


def is_(got, want, name):
    if not ok(got == want, name):
        diag("       got: " + _short(got))
        diag("  expected: " + _short(want))
        return False
    return True


def isnt(got, unwanted, name):
    if not ok(got != unwanted, name):
        diag("       got: %s, which is what must not be" % _short(got))
        return False
    return True


def like(text, regex, name):
    if not ok(re.search(regex, str(text), re.S) is not None, name):
        diag("       got: " + _short(text))
        diag("  expected to match: " + regex)
        return False
    return True


def unlike(text, regex, name):
    found = re.search(regex, str(text), re.S)
    if not ok(found is None, name):
        diag("  must not match %s, but holds %s" % (regex, _short(found.group(0))))
        return False
    return True


def skip(why, count=1):
    with _lock:
        for _ in range(count):
            _state["run"] += 1
            _emit("ok %d # SKIP %s\n" % (_state["run"], _name(why)))


def skip_all(why):
    _state["done"] = True
    _emit("1..0 # SKIP %s\n" % _name(why))
    sys.exit(0)


def bail_out(why):
    """Stops the whole run of prove: for a machine that cannot run any test."""
    _state["done"] = True
    _emit("Bail out! %s\n" % _name(why))
    sys.exit(255)


def at_finish(function):
    """function() is called by done_testing(), last registered first; it may still assert."""
    _finishers.append(function)


def done_testing():
    while _finishers:
        _finishers.pop()()
    _state["done"] = True
    _emit("1..%d\n" % _state["run"])
    if _state["failed"]:
        diag("%d of %d tests failed" % (_state["failed"], _state["run"]))
    sys.exit(1 if _state["failed"] else 0)


def seeded_random():
    """A random.Random for property tests; its seed, from WEIR_SEED or the clock, is printed."""
    seed = int(os.environ.get("WEIR_SEED") or time.time_ns() % (1 << 32))
    note("seed: WEIR_SEED=%d" % seed)
    return random.Random(seed)


def wait_for(condition, timeout=10.0, interval=0.02):
    """Polls until condition() is true; returns its last value. For states, never for speed."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value or time.monotonic() >= end:
            return value
        time.sleep(interval)


@atexit.register
def _unfinished():
    if not _state["done"] and _state["run"]:
        diag("the test ended before done_testing()")

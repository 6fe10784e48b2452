"""For tests of t/filters, which hold answers against the official clients.

    PROGRAM = program("pipeline")       # of t/programs
    older_client(__file__)              # the same test with the openai client of before
"""

import os
import subprocess

import weirnginx
from weirtap import diag, ok, skip


def program(name):
    """The path of a program that tests drive."""
    return os.path.join(weirnginx.BUILD, "t", "bin", name)


def older_client(test, name="the same holds for openai 2"):
    """Runs the test again with the openai client that many programs still use."""
    python = os.path.join(weirnginx.BUILD, "venv-openai2", "bin", "python3")
    if not os.path.exists(python):
        skip("the environment openai2 is not there")
        return
    older = subprocess.run([python, os.path.abspath(test)], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, check=False)
    if not ok(older.returncode == 0, name):
        diag(older.stdout.decode())

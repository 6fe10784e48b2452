#!/usr/bin/env python3
"""The house's rules that a compiler does not know: who may include whom, where NGINX's types may
appear, how long a file may be, that every folder says what it is, and that no path of anybody's
machine is in the repository. docs/architecture.md gives the reasons."""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from weirtap import diag, done_testing, ok  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(HERE))

# Folder -> folders whose headers its files may include, besides its own. The first entry that is a
# prefix of the file's folder counts.
MAY_INCLUDE = [
    ("engine/base", []),
    ("engine/jinja", ["engine/base"]),
    # A model is run through a table of functions; how it is computed is the back end's.
    ("engine/llm", ["engine/base", "engine/jinja"]),
    ("engine/cpu", ["engine/base", "engine/llm"]),
    ("engine/cuda", ["engine/base", "engine/llm"]),
    ("engine/vector", ["engine/base"]),
    ("engine/api", ["engine/base", "engine/llm"]),
    ("engine/tools", ["engine"]),
    ("lua-free-filters/translate", ["lua-free-filters", "engine/base"]),
    ("lua-free-filters", ["engine/base", "guardrails"]),
    ("guardrails", ["engine/base"]),
    ("policies/tools", ["policies", "guardrails", "engine/base"]),
    ("policies", ["engine/base", "guardrails"]),
    ("modules/include", ["lua-free-filters", "policies"]),
    ("modules", ["engine/base", "engine/llm", "engine/api", "guardrails", "policies",
                 "lua-free-filters"]),
    # Modules of NGINX that only tests load.
    ("t/modules", ["modules/include", "lua-free-filters"]),
    ("t", ["engine", "guardrails", "policies", "lua-free-filters"]),
]

# Modules share no symbols: what they share is a header of function tables.
MODULE_SHARED = "modules/include"

NGINX_FOLDERS = ("modules/", "t/modules/")
# Built with the shared headers in the include path.
SHARED_FOLDERS = NGINX_FOLDERS + ("t/plugins/",)

MAX_LINES = 800
# Data rather than code: written by a program that lies beside it, or a list for people.
LONG_ALLOWED = re.compile(r"(^|/)(unicode_tables\.c|cases\.py|LICENSE|CHANGELOG\.md)$|\.json$|^t/.*/seeds/|"
                          r"^docs/|\.txt$")

SOURCE = re.compile(r"\.(c|h)$")
TEXT = re.compile(r"\.(c|h|py|t|sh|md|mk|conf|json|txt|yml|yaml|map)$|(^|/)[^./]+$|^\.[a-z-]+$|"
                  r"^\.ci/")

# Split so that this file does not hold them itself.
FORBIDDEN = [
    (re.compile("/" + r"(work|tmp/setup)/"), "a path of one machine"),
    (re.compile("/" + r"home/(?!user\b|you\b)[a-z]+/"), "a path of one machine"),
    (re.compile(r"\b(py" + r"pi\.org|pythonhosted\.org|deb\.debian" + r"\.org|"
                r"registry\.npm" + r"js\.org|huggingface" + r"\.co/)"), "a package registry's host"),
    (re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b"), "unfinished work"),
]


def tracked():
    out = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, check=False)
    if out.returncode == 0 and out.stdout:
        names = [n for n in out.stdout.decode().split("\0") if n]
        return [n for n in names if os.path.isfile(os.path.join(ROOT, n))]
    # A clone of another user, or an unpacked archive.
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [f for f in folders if f not in (".git", "build", "run", "__pycache__")]
        found += [os.path.relpath(os.path.join(folder, f), ROOT) for f in files]
    return found


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8", errors="replace") as f:
        return f.read()


def without_comments(text):
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S)
    return re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)


def report(problems, name):
    if not ok(not problems, name):
        for line in problems[:40]:
            diag("  " + line)
        if len(problems) > 40:
            diag("  and %d more" % (len(problems) - 40))


def rule_of(name):
    folder = os.path.dirname(name)
    for prefix, allowed in MAY_INCLUDE:
        if folder == prefix or folder.startswith(prefix + "/"):
            return prefix, allowed
    return None, None


def inside(path, folder):
    return path.startswith(folder + "/")


def check_includes(sources):
    problems = []
    for name in sources:
        prefix, allowed = rule_of(name)
        if prefix is None:
            problems.append("%s: its folder has no rule in t/arch/dependencies.t" % name)
            continue
        for number, line in enumerate(read(name).splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if match is None:
                continue
            target = match.group(1)
            beside = os.path.join(os.path.dirname(name), target)
            if name.startswith(SHARED_FOLDERS) and "/" not in target:
                # NGINX's add-on build knows the module's folder and the shared one.
                if not (os.path.exists(os.path.join(ROOT, beside))
                        or os.path.exists(os.path.join(ROOT, MODULE_SHARED, target))):
                    problems.append("%s:%d: \"%s\" is neither beside it nor in %s"
                                    % (name, number, target, MODULE_SHARED))
                continue
            if not os.path.exists(os.path.join(ROOT, target)):
                problems.append("%s:%d: \"%s\" is not a path from the root" % (name, number, target))
            elif not any(inside(target, folder) for folder in [prefix] + allowed):
                problems.append("%s:%d: %s may not include %s" % (name, number, prefix, target))
    report(problems, "includes run one way between folders")


def check_cycles(sources):
    """Headers of one folder include each other without a circle."""
    graph = {}
    for name in sources:
        if name.endswith(".h"):
            graph[name] = [t for t in re.findall(r'^\s*#\s*include\s+"([^"]+)"', read(name), re.M)
                           if t.endswith(".h")]
    problems = []
    state = {}

    def visit(name, path):
        if state.get(name) == "done" or name not in graph:
            return
        if name in path:
            problems.append(" -> ".join(path[path.index(name):] + [name]))
            return
        for target in graph[name]:
            visit(target, path + [name])
        state[name] = "done"
    for name in graph:
        visit(name, [])
    report(problems, "no header includes itself by a detour")


def check_nginx_only_in_modules(sources):
    problems = []
    for name in sources:
        if name.startswith(NGINX_FOLDERS):
            continue
        text = without_comments(read(name))
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(r"\bngx_[a-z]|\bNGX_[A-Z]", line):
                problems.append("%s:%d: %s" % (name, number, line.strip()[:80]))
            elif re.search(r"#\s*include\s*<ngx_", line):
                problems.append("%s:%d: %s" % (name, number, line.strip()))
    report(problems, "NGINX's types appear under modules/ and t/modules/ only")


def check_globals(sources):
    """State hangs off what the caller passes in: a shared object that stays loaded over a reload
    keeps the values of its variables."""
    problems = []
    for name in sources:
        if name.startswith("t/") or "/tools/" in name or name.startswith("modules/"):
            continue
        depth = 0
        text = re.sub(r"^\s*#.*(\\\n.*)*$", "", without_comments(read(name)), flags=re.M)
        for number, line in enumerate(text.splitlines(), 1):
            if depth == 0 and re.match(r"^(static\s+)?(?!.*\bconst\b)(?!typedef|extern|struct\s+\w+;)"
                                       r"[a-z_][\w\s\*]*\b\w+(\[[^\]]*\])*\s*=\s", line) \
                    and "(" not in line.split("=")[0]:
                problems.append("%s:%d: %s" % (name, number, line.strip()[:80]))
            depth += line.count("{") - line.count("}")
    report(problems, "no variable of file scope is mutable in the pure-C folders")


def check_length(names):
    problems = []
    for name in names:
        if TEXT.search(name) and not LONG_ALLOWED.search(name):
            lines = read(name).count("\n")
            if lines > MAX_LINES:
                problems.append("%s: %d lines, at most %d" % (name, lines, MAX_LINES))
    report(problems, "no file is longer than %d lines" % MAX_LINES)


def check_readmes(names):
    folders = set()
    for name in names:
        folder = os.path.dirname(name)
        while folder:
            folders.add(folder)
            folder = os.path.dirname(folder)
    # Data, and what one test brings along, are explained by the folder that they are in.
    exempt = re.compile(r"^\.|/(seeds|examples|schema|data|corpus)(/|$)|^/t/[a-z0-9]+/.")
    problems = [folder for folder in sorted(folders)
                if not exempt.search("/" + folder if not folder.startswith(".") else folder)
                and folder + "/README.md" not in names]
    report(problems, "every folder has a README.md")
    for wanted in ("config", "modules", "engine", "guardrails", "policies", "lua-free-filters", "t",
                   "deploy", "docs"):
        ok(wanted + "/README.md" in names, "%s/ is there and says what it is" % wanted)


def check_forbidden(names):
    problems = []
    for name in names:
        if not TEXT.search(name) or name == "LICENSE":
            continue
        for number, line in enumerate(read(name).splitlines(), 1):
            for pattern, what in FORBIDDEN:
                # Templates of attacks speak as attackers do.
                if what == "unfinished work" and name.startswith("guardrails/training/templates/"):
                    continue
                if pattern.search(line):
                    problems.append("%s:%d: %s: %s" % (name, number, what, line.strip()[:80]))
    report(problems, "no machine's path, no registry's host, nothing marked unfinished")


def check_tests_run(names):
    problems = []
    for name in names:
        if name.endswith(".t") and not os.access(os.path.join(ROOT, name), os.X_OK):
            problems.append(name + ": is not executable")
        if name.startswith("t/") and name.endswith(".t") and not read(name).startswith("#!"):
            problems.append(name + ": has no #! line")
    report(problems, "every test can be run by prove")


def main():
    names = tracked()
    sources = [n for n in names if SOURCE.search(n)]
    ok(len(sources) > 20, "%d source files are looked at" % len(sources))
    check_includes(sources)
    check_cycles(sources)
    check_nginx_only_in_modules(sources)
    check_globals(sources)
    check_length(names)
    check_readmes(set(names))
    check_forbidden(names)
    check_tests_run(names)
    done_testing()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What the gateway's modules say to users stands in the docs: the code and the reason of every refusal,
every directive, variable and metric; and the docs name no directive or metric that is not there."""

import glob
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirnginx import ROOT  # noqa: E402
from weirtap import diag, done_testing, ok  # noqa: E402


def read(*patterns):
    """{name: text} of the files."""
    out = {}
    for pattern in patterns:
        for path in sorted(glob.glob(os.path.join(ROOT, pattern))):
            with open(path, encoding="utf-8") as f:
                out[os.path.relpath(path, ROOT)] = f.read()
    return out


def arguments(text, at):
    """The arguments of the call whose bracket opens before at; strings are joined."""
    out, depth, i = [""], 0, at
    while depth >= 0:
        string = re.compile(r'"((?:[^"\\]|\\.)*)"').match(text, i)
        if string:
            out[-1] += string.group(1)
            i = string.end()
            continue
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if text[i] == "," and depth == 0:
            out.append("")
        elif not text[i].isspace() and depth >= 0:
            out[-1] += text[i]
        i += 1
    return out


MODULES = read("modules/*/*.c")
SOURCES = "\n".join(MODULES.values())
DOCS = "\n".join(read("docs/*.md", "config/*.conf").values())


def report(missing, name):
    if not ok(not missing, name):
        diag("\n".join(sorted(missing)))


calls = [arguments(text, m.end()) for text in MODULES.values()
         for m in re.finditer(r"ngx_http_weir_refusal\(", text)]
ok(len(calls) > 50 and all(len(call) == 5 for call in calls), "%d refusals" % len(calls))
words = set(re.findall(r"`([a-z_0-9]+)`", DOCS))
report({call[2] for call in calls} - words, "the code of each is in the docs")
report({call[4] for call in calls} - words, "and its reason")

directives = {name for text in MODULES.values()
              for table in re.findall(r"ngx_command_t\s+\w+\[\] = \{(.*?)\n\};", text, re.S)
              for name in re.findall(r'ngx_string\("(weir_[a-z_]+)"\)', table)}
ok(len(directives) > 30, "%d directives" % len(directives))
report({name for name in directives if not re.search(r"(`|\*\*)%s\b" % name, DOCS)},
       "each is in the docs")

variables = set(re.findall(r'ngx_string\("(weir_[a-z_]+)"\),\s*ngx_http_weir_\w+_variable', SOURCES))
variables |= set(re.findall(r'ngx_string\("(weir_upstream_[a-z_]+)"\);', SOURCES))
ok(len(variables) > 15, "%d variables" % len(variables))
report({name for name in variables if "$" + name not in DOCS},
       "each is in the docs")

metrics = set(re.findall(r'_metrics_(?:family|histogram)\(&?out,(?:\s*&sh->\w+,\s*\w+,)?\s*'
                         r'"(\w+)"', SOURCES))
metrics |= set(re.findall(r'"# TYPE (\w+) ', SOURCES))
ok(len(metrics) > 10, "%d metrics" % len(metrics))
report({name for name in metrics if not re.search(r"`%s\b" % name, DOCS)}, "each is in the docs")

# Beside directives and metrics there are names of documents, tables and files.
named = set(re.findall(r"^\| `(weir_[a-z_]+)", DOCS, re.M))
known = directives | metrics | set(re.findall(r'"(weir_[a-z_]+)[{ "]', SOURCES))
report(named - known, "tables of the docs name nothing that is not there")
done_testing()

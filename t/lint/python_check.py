#!/usr/bin/env python3
"""Checks Python files: they compile, import nothing that they do not use, hide no exception, share
no mutable default, and have no line over 120 columns.

    t/lint/python_check.py FILE...

Prints one line per fault; exit status 1 when there is one. Only the standard library is needed.
"""

import ast
import sys


def used_names(tree):
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            base = node
            while isinstance(base, ast.Attribute):
                base = base.value
            if isinstance(base, ast.Name):
                names.add(base.id)
    return names


def imported(tree):
    """(name, line) for each import at any level."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname or alias.name).split(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            for alias in node.names:
                yield alias.asname or alias.name, node.lineno


def exported(tree):
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__"
                                                for t in node.targets):
            return {e.value for e in getattr(node.value, "elts", []) if isinstance(e, ast.Constant)}
    return set()


def check(name):
    faults = []
    with open(name, encoding="utf-8") as f:
        text = f.read()
    for n, line in enumerate(text.split("\n"), 1):
        if len(line) > 120:
            faults.append((n, "%d columns, at most 120" % len(line)))
        if line.rstrip() != line:
            faults.append((n, "blanks at the end of the line"))
        if "\t" in line[:len(line) - len(line.lstrip())]:
            faults.append((n, "a tab in the indent"))
    try:
        tree = ast.parse(text, name)
        compile(text, name, "exec", dont_inherit=True)
    except SyntaxError as error:
        faults.append((error.lineno or 1, "does not compile: %s" % error.msg))
    else:
        used = used_names(tree) | exported(tree)
        faults += [(line, "%s is imported and not used" % what) for what, line in imported(tree)
                   if what not in used and what != "*"]
        faults += [(node.lineno, "a bare except hides every fault") for node in ast.walk(tree)
                   if isinstance(node, ast.ExceptHandler) and node.type is None]
        faults += [(node.lineno, "a mutable default value is shared by all calls")
                   for function in ast.walk(tree)
                   if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
                   for node in function.args.defaults + function.args.kw_defaults
                   if isinstance(node, (ast.List, ast.Dict, ast.Set))]
    for line, what in sorted(faults):
        print("%s:%d: %s" % (name, line, what))
    return not faults


def main():
    good = [check(name) for name in sys.argv[1:]]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()

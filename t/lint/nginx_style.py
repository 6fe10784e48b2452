#!/usr/bin/env python3
"""Checks the C files under modules/ against NGINX's style, as far as that can be told for certain.

    t/lint/nginx_style.py FILE...

Prints one line per fault, FILE:LINE: what; exit status 1 when there is one. The rules are those of
NGINX's own sources (modules/README.md): clang-format cannot express them.
"""

import re
import sys

KEYWORDS = ("if", "for", "while", "switch")
FUNCTION_NAME = re.compile(r"^([a-z_][a-z0-9_]*)\(")


class File:
    def __init__(self, name):
        self.name = name
        with open(name, encoding="utf-8") as f:
            self.text = f.read()
        self.lines = self.text.split("\n")
        self.code = blank_comments_and_strings(self.text).split("\n")
        self.faults = []

    def fault(self, line, what):
        self.faults.append((line, what))


def blank_comments_and_strings(text):
    """The text with comments, strings and characters turned to blanks, lines kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0)) if match.group(0)[0] == "/" \
            else '"' + re.sub(r"[^\n]", " ", match.group(0)[1:-1]) + '"'
    return re.sub(r"/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", blank, text, flags=re.S)


def check_lines(f):
    for n, line in enumerate(f.lines, 1):
        if "\t" in line:
            f.fault(n, "a tab")
        if line.endswith((" ", "\r")):
            f.fault(n, "blanks at the end of the line")
        if len(line) > 80:
            f.fault(n, "%d columns, at most 80" % len(line))
    if not f.text.endswith("\n") or f.text.endswith("\n\n"):
        f.fault(len(f.lines), "the file must end with one newline")
    for n in range(len(f.lines) - 3):
        if f.lines[n] == f.lines[n + 1] == f.lines[n + 2] == "":
            f.fault(n + 3, "more than two blank lines")


def check_tokens(f):
    for n, line in enumerate(f.code, 1):
        stripped = line.strip()
        if "//" in line:
            f.fault(n, "a // comment")
        if re.search(r"\b(%s)\(" % "|".join(KEYWORDS), line):
            f.fault(n, "a keyword without a blank before its parenthesis")
        if re.search(r"\b(?:if|for|while|switch) \( (?!/\*|;)|[^;] \)(?: \{)?$", f.lines[n - 1]) \
                and "*/" not in f.lines[n - 1]:
            f.fault(n, "a blank inside parentheses")
        if re.search(r"\)\{", line):
            f.fault(n, "no blank before the brace")
        if re.match(r"^\s+else\b", line):
            f.fault(n, "else stands on the line of the closing brace")
        if re.search(r"\belse if\b", line) and not re.search(r"\} else if \(", line):
            f.fault(n, "else if without braces")
        if re.search(r"^\s*(if|for|while) \(.*\) [^{]*;\s*$", line) and not stripped.startswith("#"):
            f.fault(n, "a statement without braces on the condition's line")
        if re.search(r"[^\s(!&*\[]\s*\(\s*!\s*[a-z_]*->?[a-z_>-]*(ptr|data|buf|chain)\b\)", line):
            f.fault(n, "compare a pointer with NULL")
        if re.search(r",[^\s\"']", line) and not stripped.startswith("#"):
            f.fault(n, "no blank after a comma")
        if re.search(r"\breturn\s*\(", line) and re.match(r"^\s*return \([^()]*\);$", line):
            f.fault(n, "parentheses around what is returned")
        indent = len(line) - len(line.lstrip(" "))
        if stripped and indent % 4 and starts_statement(f, n):
            f.fault(n, "the indent is no multiple of 4")


def starts_statement(f, n):
    """Whether line n (from 1) begins a statement: the code line before it has ended one."""
    if not re.match(r"\s*(if|for|while|switch|return|goto|break|continue|do)\b", f.code[n - 1]):
        return False
    for before in range(n - 2, -1, -1):
        text = f.code[before].strip()
        if text:
            return text[-1] in ";{}:"
    return True


def check_functions(f):
    """Type on its own line, name at column 0, brace at column 0, two blank lines before."""
    for n, line in enumerate(f.code):
        if line != "{":
            continue
        # Walk back to the line with the name.
        start = n - 1
        while start >= 0 and not FUNCTION_NAME.match(f.code[start]):
            if f.code[start].strip() == "" or f.code[start][0] not in " \t":
                start = -1
            start -= 1
        if start < 0:
            if re.match(r"^(static |ngx_|void|u_char|char|int|size_t).*\)$", f.code[n - 1] or ""):
                f.fault(n, "a function's name stands at column 0, below its type")
            continue
        above = f.code[start - 1] if start > 0 else ""
        if not re.match(r"^[a-z_][\w\s\*]*$", above):
            f.fault(start + 1, "a function's type stands alone on the line above its name")
            continue
        first = start - 1
        while first > 0 and f.lines[first - 1].startswith("#"):
            first -= 1
        blank_lines_before(f, first)
        check_locals(f, n)


def blank_lines_before(f, first):
    """Two blank lines above the function, or above the comment right above it."""
    blanks = 0
    at = first - 1
    while at >= 0 and f.lines[at] == "":
        blanks += 1
        at -= 1
    if at >= 0 and f.lines[at].rstrip().endswith("*/"):
        if blanks > 1:
            f.fault(first + 1, "a comment and its function are one blank line apart at most")
        while at >= 0 and not f.lines[at].lstrip().startswith("/*"):
            at -= 1
        at -= 1
        blanks = 0
        while at >= 0 and f.lines[at] == "":
            blanks += 1
            at -= 1
    if at >= 0 and f.lines[at].startswith("#"):
        return
    if blanks != 2:
        f.fault(first + 1, "two blank lines stand before a function, not %d" % blanks)


DECLARATION = re.compile(r"^    ((?:static |const |volatile |struct |unsigned )*[a-z_]\w*)(\s+)"
                         r"(\**)([a-z_]\w*)[^()]*;$")


def check_locals(f, brace):
    """The names of a function's locals stand in one column."""
    columns = {}
    for n in range(brace + 1, len(f.code)):
        line = f.code[n]
        if line.strip() == "":
            if n > brace + 1 and columns:
                break
            continue
        match = DECLARATION.match(line)
        if match is None or match.group(1) in ("return", "goto"):
            break
        columns.setdefault(match.start(4), n + 1)
    if len(columns) > 1:
        line = sorted(columns.values())[1]
        f.fault(line, "the names of the locals stand in different columns")


def check_file(name):
    f = File(name)
    check_lines(f)
    check_tokens(f)
    check_functions(f)
    for line, what in sorted(f.faults):
        print("%s:%d: %s" % (name, line, what))
    return not f.faults


def main():
    good = [check_file(name) for name in sys.argv[1:]]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes engine/llm/unicode_tables.c: the character classes that the pre-tokenizers need.

Usage: unicode_tables.py > engine/llm/unicode_tables.c
       unicode_tables.py --check engine/llm/unicode_tables.c   (exit 1 when it is stale)

Every code point is classified by the released `tokenizers` package itself (pip install
tokenizers==0.23.3), so that the scanners split where the training tokenizer splits. For that
release the letters, numbers and white space are those of Unicode 16.0; its Digits step, which asks
another library, also takes the numbers that Unicode 17.0 added.
"""

import sys

import tokenizers
from tokenizers import Regex, pre_tokenizers

BLOCK = 128  # code points per block, two bits each: four 64-bit words
OTHER, LETTER, NUMBER, SPACE = range(4)
ALPHABET = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)


def members(pattern):
    """The code points that a one-character pattern matches."""
    split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return {ord(c) for piece, _ in split.pre_tokenize_str(ALPHABET) for c in piece}


def digits():
    """The code points that the Digits step isolates."""
    found = set()
    for start in range(0, len(ALPHABET), 4096):
        text = "a" + "a".join(ALPHABET[start : start + 4096]) + "a"
        for piece, _ in pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str(text):
            if len(piece) == 1 and piece != "a":
                found.add(ord(piece))
    return found


def ranges(points):
    out = []
    for c in sorted(points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def rows(items, per_line):
    for i in range(0, len(items), per_line):
        yield "    " + ", ".join(items[i : i + per_line]) + ","


def generate():
    letters, numbers, spaces = members(r"\p{L}"), members(r"\p{N}"), members(r"\s")
    late = digits() - numbers
    if letters & numbers or letters & spaces or numbers & spaces:
        raise SystemExit("the classes overlap; two bits per code point cannot hold them")
    classes = bytearray(0x110000)
    for points, value in ((letters, LETTER), (numbers, NUMBER), (spaces, SPACE)):
        for c in points:
            classes[c] = value
    end = max(letters | numbers | spaces) // BLOCK + 1
    blocks, index = {}, []
    for b in range(end):
        block = bytes(classes[b * BLOCK : (b + 1) * BLOCK])
        index.append(blocks.setdefault(block, len(blocks)))
    if len(blocks) > 256:
        raise SystemExit("more than 256 distinct blocks; widen the index")
    words = []
    for block in blocks:
        packed = [
            sum(block[w * 32 + i] << (2 * i) for i in range(32)) for w in range(BLOCK // 32)
        ]
        words.append("{" + ", ".join("0x%016x" % w for w in packed) + "}")
    lines = [
        "/*",
        " * Written by engine/llm/unicode_tables.py from tokenizers %s; do not edit."
        % tokenizers.__version__,
        " */",
        "/* clang-format off */",
        '#include "engine/llm/unicode.h"',
        "",
        "const uint8_t weir_unicode_index[WEIR_UNICODE_BLOCKS] = {",
        *rows([str(i) for i in index], 20),
        "};",
        "",
        "const uint64_t weir_unicode_blocks[][4] = {",
        *rows(words, 1),
        "};",
        "",
        "const uint32_t weir_unicode_late_digits[WEIR_UNICODE_LATE_RANGES][2] = {",
        *rows(["{0x%x, 0x%x}" % tuple(r) for r in ranges(late)], 4),
        "};",
    ]
    header = {
        "WEIR_UNICODE_BLOCKS": len(index),
        "WEIR_UNICODE_LATE_RANGES": len(ranges(late)),
    }
    return "\n".join(lines) + "\n", header


def main(argv):
    text, header = generate()
    if argv[1:2] == ["--check"]:
        with open(argv[2], encoding="utf-8") as f:
            if f.read() != text:
                raise SystemExit(argv[2] + " is stale: run engine/llm/unicode_tables.py")
        with open(argv[2].replace("_tables.c", ".h"), encoding="utf-8") as f:
            written = f.read().split()
        for name, value in header.items():
            if written[written.index(name) + 1] != str(value):
                raise SystemExit("engine/llm/unicode.h: %s must be %d" % (name, value))
        return
    for name, value in header.items():
        print("unicode.h: #define %s %d" % (name, value), file=sys.stderr)
    sys.stdout.write(text)


if __name__ == "__main__":
    main(sys.argv)

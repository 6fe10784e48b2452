#!/usr/bin/env python3
"""Writes unicode_tables.c: what str methods need to know about characters, as ranges.

Run with Python 3.11 (Unicode 14): ./gen_unicode.py > unicode_tables.c
"""
import sys


def ranges(pred):
    out, start = [], None
    for cp in range(0x110001):
        hit = cp < 0x110000 and not 0xD800 <= cp < 0xE000 and pred(chr(cp))
        if hit and start is None:
            start = cp
        if not hit and start is not None:
            out.append((start, cp - 1))
            start = None
    return out


def case_ignorable(c):
    # A character is case-ignorable when it does not end the word before a capital sigma.
    return ("A" + c + "\u03a3").lower()[-1] == "\u03c2" and \
        (c + "\u03a3").lower()[-1] == "\u03c3"


def cased(c):
    # "c, Sigma" gives a final sigma exactly when c is cased and not ignorable.
    return (c + "\u03a3").lower()[-1] == "\u03c2"


def print_ranges(name, pred):
    rs = ranges(pred)
    print(f"const weir_ju_range_t weir_ju_{name}[] = {{")
    for i in range(0, len(rs), 5):
        print("    " + " ".join(f"{{0x{a:X}, 0x{b:X}}}," for a, b in rs[i:i + 5]))
    print("};")
    print(f"const unsigned weir_ju_{name}_count = {len(rs)};\n")


def print_mapping(name, method):
    """Runs of characters with the same distance and stride; longer results one by one."""
    runs, special = [], []
    for cp in range(0x110000):
        if 0xD800 <= cp < 0xE000:
            continue
        to = getattr(chr(cp), method)()
        if to == chr(cp):
            continue
        if len(to) > 1:
            special.append((cp, [ord(c) for c in to]))
            continue
        delta = ord(to) - cp
        last = runs[-1] if runs else None
        if last and last[3] == delta and (cp - last[1] == last[2] or
                                          (last[0] == last[1] and cp - last[1] <= 2)):
            last[2] = cp - last[1]
            last[1] = cp
        else:
            runs.append([cp, cp, 1, delta])
    print(f"const weir_ju_run_t weir_ju_{name}[] = {{")
    for i in range(0, len(runs), 3):
        print("    " + " ".join(f"{{0x{a:X}, 0x{b:X}, {s}, {d}}}," for a, b, s, d in runs[i:i + 3]))
    print("};")
    print(f"const unsigned weir_ju_{name}_count = {len(runs)};\n")
    print(f"const weir_ju_long_t weir_ju_{name}_long[] = {{")
    for cp, to in special:
        print(f"    {{0x{cp:X}, {{{', '.join('0x%X' % c for c in to)}}}}},")
    print("};")
    print(f"const unsigned weir_ju_{name}_long_count = {len(special)};\n")


def main():
    assert sys.version_info[:2] == (3, 11), "the tables are those of Python 3.11"
    print("/* Made by gen_unicode.py; do not edit. */")
    print("/* clang-format off */")
    print('#include "engine/jinja/unicode_tables.h"\n')
    print_ranges("printable", str.isprintable)
    print_ranges("alpha", str.isalpha)
    print_ranges("digit", str.isdigit)
    print_ranges("numeric", str.isnumeric)
    print_ranges("upper", str.isupper)
    print_ranges("lower", str.islower)
    print_ranges("cased", cased)
    print_ranges("ignorable", case_ignorable)
    print_mapping("to_lower_runs", "lower")
    print_mapping("to_upper_runs", "upper")
    print_mapping("to_title_runs", "title")


main()

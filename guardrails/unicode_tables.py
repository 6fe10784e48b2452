#!/usr/bin/env python3
"""Writes guardrails/unicode_tables.c from Python's unicodedata: what the normaliser does with each
code point above ASCII. Run from the repository's root; the version of the data stands in the file."""

import unicodedata

STRIP = [(0x200B, 0x200F), (0x2060, 0x2064), (0xFEFF, 0xFEFF), (0xAD, 0xAD), (0x34F, 0x34F),
         (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x3164, 0x3164), (0xFFA0, 0xFFA0),
         (0xFE00, 0xFE0F), (0xE0100, 0xE01EF), (0x2065, 0x2065), (0x206A, 0x206F),
         (0x1D173, 0x1D17A), (0xFFF9, 0xFFFB), (0x80, 0x84), (0x86, 0x9F)]
BIDI = [(0x200E, 0x200F), (0x202A, 0x202E), (0x2066, 0x2069), (0x61C, 0x61C)]

# Letters that look like Latin ones: the pairs of UTS #39's confusables that people use.
CONFUSABLES = {
    "А": "A", "В": "B", "Е": "E", "К": "K", "М": "M", "Н": "H", "О": "O", "Р": "P", "С": "C",
    "Т": "T", "Х": "X", "У": "Y", "І": "I", "Ј": "J", "Ѕ": "S", "Ԛ": "Q", "Ԝ": "W", "Ѵ": "V",
    "Ү": "Y", "Ӏ": "l", "Ԍ": "G", "Ь": "b", "З": "3",
    "а": "a", "в": "b", "е": "e", "к": "k", "м": "m", "н": "h", "о": "o", "р": "p", "с": "c",
    "т": "t", "х": "x", "у": "y", "і": "i", "ї": "i", "ј": "j", "ѕ": "s", "һ": "h", "ԁ": "d",
    "ԛ": "q", "ԝ": "w", "ѵ": "v", "ӏ": "l", "ё": "e", "ѐ": "e", "ɡ": "g", "ү": "y", "п": "n",
    "г": "r", "ь": "b", "б": "6", "и": "u", "й": "u", "я": "r",
    "Α": "A", "Β": "B", "Ε": "E", "Ζ": "Z", "Η": "H", "Ι": "I", "Κ": "K", "Μ": "M", "Ν": "N",
    "Ο": "O", "Ρ": "P", "Τ": "T", "Υ": "Y", "Χ": "X",
    "α": "a", "β": "b", "ε": "e", "η": "n", "ι": "i", "κ": "k", "ν": "v", "ο": "o", "ρ": "p",
    "σ": "o", "τ": "t", "υ": "u", "χ": "x", "ω": "w", "γ": "y", "ϲ": "c", "ϳ": "j", "μ": "u",
    "օ": "o", "ո": "n", "ս": "u", "հ": "h", "ց": "g", "զ": "q", "յ": "j", "ա": "w", "Ս": "U",
    "Օ": "O", "Լ": "L", "Տ": "S",
    "Ꭰ": "D", "Ꭱ": "R", "Ꭲ": "T", "Ꭺ": "A", "Ꭻ": "J", "Ꭼ": "E", "Ꮃ": "W", "Ꮇ": "M",
    "Ꮋ": "H", "Ꮐ": "G", "Ꮓ": "Z", "Ꮪ": "S", "Ꮯ": "C", "Ꮲ": "P", "Ꮮ": "L", "Ᏼ": "B",
    "Ꮶ": "K", "Ꮩ": "V", "Ꮢ": "R", "Ꮍ": "Y",
    "ı": "i", "ɑ": "a", "ɩ": "i", "ʋ": "v",
    "ⲟ": "o", "ⲣ": "p", "ⲥ": "c",
}

# Small capitals: no orthography writes words with them, so they are folded everywhere.
SMALL_CAPITALS = dict(zip("ɪʏʀɴʟʜɢʙᴀᴄᴅᴇᴊᴋᴍᴏᴘᴛᴜᴠᴡᴢꜰꜱꞯ", "iyrnlhgbacdejkmoptuvwzfsq"))


def within(code, ranges):
    return any(low <= code <= high for low, high in ranges)


def action(code):
    """(kind, text): the kinds are those of unicode.h."""
    c = chr(code)
    if within(code, BIDI):
        return ("BIDI", "")
    if within(code, STRIP):
        return ("STRIP", "")
    if 0xE0020 <= code <= 0xE007E:
        return ("TAG", chr(code - 0xE0000))
    if 0xE0000 <= code <= 0xE007F:
        return ("TAG", "")
    if unicodedata.category(c) == "Nd":
        return ("DIGIT", str(unicodedata.digit(c)))
    if unicodedata.category(c) == "Zs":
        return ("COMPAT", " ")
    # Circled, squared and flag letters that NFKC leaves alone.
    for low, first, count in ((0x1F130, "A", 26), (0x1F150, "A", 26), (0x1F170, "A", 26),
                              (0x1F1E6, "A", 26)):
        if low <= code < low + count:
            return ("COMPAT", chr(ord(first) + code - low))
    if c in SMALL_CAPITALS:
        return ("COMPAT", SMALL_CAPITALS[c])
    if c in CONFUSABLES:
        return ("CONFUSABLE", CONFUSABLES[c])
    folded = unicodedata.normalize("NFKC", c)
    # Accents that NFKC turns into space and mark are marks of their own here.
    if folded != c and not folded.startswith(" "):
        return ("COMPAT", folded)
    if c != c.lower() and len(c.lower()) == 1:
        return ("UPPER", c.lower())
    if unicodedata.category(c)[0] in "LM":
        return ("LETTER", "")
    return None


def compositions(mark):
    """Bits of the letters A to Z, a to z that make one character with the mark."""
    letters = [chr(c) for c in (*range(65, 91), *range(97, 123))]
    return sum(1 << i for i, c in enumerate(letters) if len(unicodedata.normalize("NFC", c + chr(mark))) == 1)


def numbers(values):
    lines, line = [], "   "
    for value in values:
        word = " %d," % value
        if len(line) + len(word) > 100:
            lines.append(line)
            line = "   "
        line += word
    return "\n".join(lines + [line])


def main():
    pool = bytearray()
    places = {}
    actions = {None: 0}
    rows = [(0, 0, 0)]
    blocks = {}
    index = []
    stage2 = []
    kinds = ["NONE", "STRIP", "BIDI", "TAG", "COMPAT", "DIGIT", "CONFUSABLE", "UPPER", "LETTER"]
    for block in range(0, 0x110000, 128):
        cells = []
        for code in range(block, block + 128):
            what = None if code < 128 or 0xD800 <= code <= 0xDFFF else action(code)
            if what not in actions:
                text = what[1].encode()
                if text not in places:
                    places[text] = len(pool)
                    pool += text
                actions[what] = len(rows)
                rows.append((places[text], len(text), kinds.index(what[0])))
            cells.append(actions[what])
        cells = tuple(cells)
        if cells not in blocks:
            blocks[cells] = len(stage2)
            stage2.append(cells)
        index.append(blocks[cells])
    assert len(stage2) < 65536 and len(rows) < 65536
    with open("guardrails/unicode_tables.c", "w", encoding="utf-8") as out:
        out.write("/*\n * Written by guardrails/unicode_tables.py from Unicode %s; do not edit.\n */\n"
                  "/* clang-format off */\n#include \"guardrails/unicode.h\"\n\n"
                  % unicodedata.unidata_version)
        out.write("const uint16_t weir_guard_unicode_index[%d] = {\n%s\n};\n\n"
                  % (len(index), numbers(index)))
        out.write("const uint16_t weir_guard_unicode_cells[%d] = {\n%s\n};\n\n"
                  % (len(stage2) * 128, numbers(v for cells in stage2 for v in cells)))
        out.write("const weir_guard_unicode_t weir_guard_unicode_actions[%d] = {\n" % len(rows))
        line = "   "
        for row in rows:
            word = " {%d, %d, %d}," % row
            if len(line) + len(word) > 100:
                out.write(line + "\n")
                line = "   "
            line += word
        out.write(line + "\n};\n\n")
        out.write("const uint64_t weir_guard_unicode_compositions[112] = {\n%s\n};\n\n"
                  % numbers(compositions(mark) for mark in range(0x300, 0x370)))
        out.write("const uint8_t weir_guard_unicode_pool[%d] = {\n%s\n};\n" % (len(pool), numbers(pool)))


main()

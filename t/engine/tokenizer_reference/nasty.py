"""Strings on which tokenizers differ: fixed ones, and random ones from the same pieces."""

SPACES = [
    " ", "\t", "\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u00a0", "\u1680", "\u180e",
    "\u2003", "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff",
]  # some of them only look like white space
FOLLOWERS = ["", "a", "7", "!", "é", "'s", "字", "\u0301", "🙂"]

CONTRACTIONS = [
    "don't", "DON'T", "Don'T've", "we'll they'd I'm he's you're", "WE'LL THEY'D I'M HE'S YOU'RE",
    "'s", "'S", "'t", "'re", "'rE", "'Re", "'ve", "'VE", "'ll", "'lL", "'l", "'r", "'v", "'d'd'd",
    " 's 't 'll", "''s", "'''", "'", "' s", "rock'n'roll", "’s ’t ’ll", "it’s", "`s ´s", "'ſ",
    "'ſt", "'ſſ", "'Kelvin \u212a", "a'ſ b'ST", "'ß", "'ﬆ", "l'été d'où", "'tis 'twas", "x'1",
    "'ŝ", "'S't'RE'll", "\n's", "!'s", "9's", "'\u0301s", "'s\u0301",
]
DIGITS = [
    "0", "12", "123", "1234", "12345", "123456", "1234567", "12 345 678", "1,234,567.89", "3.14159",
    "-42", "+1 (555) 010-9999", "1e-9", "0xDEADBEEF", "2026-11-21T08:00:00Z", "a1b22c333d4444",
    "１２３４", "٠١٢٣٤٥", "०१२३", "①②③④", "ⅣⅫ", "½¾⅓", "x²y³", "10⁻⁶", "𝟘𝟙𝟚𝟛𝟜", "〇一二三", "㊿", "㋿",
    "\U00011de0\U00011de1 \U00016ff4", "7\U00011de37", "\U00010d40\U00010d41", "1 2 3", "1  2",
    " 1",
    "  1", "\n1", "1\n", "1a", "a1", "1!", "!1", "1'd", "100%", "$9.99", "v1.2.3-rc4", "12½",
    "²²²²",
]
CJK = [
    "你好，世界！", "今天天气很好。我们去公园吧？", "吾輩は猫である。名前はまだ無い。", "カタカナとひらがな", "ﾊﾝｶｸ",
    "か\u3099き\u3099", "안녕하세요 세계", "\u1112\u1161\u11ab", "漢字とkanaとABC123", "𠮷野家", "𪚥", "㍿㌔",
    "中文 English 混排 text", "「引用」『二重』", "。。。", "、", "　全角　空白　", "你\n好", "⿰亻尔", "ไทยภาษา", "ສະບາຍດີ",
    "မြန်မာ", "ខ្មែរ", "བོད་སྐད", "हिन्दी में", "தமிழ்", "മലയാളം", "ქართული", "Հայերեն", "አማርኛ",
    "ᏣᎳᎩ",
]
EMOJI = [
    "🙂", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🇩🇪🇫🇷", "🇩", "1️⃣#️⃣*️⃣", "❤️", "❤", "☺︎☺️", "👨🏿‍🚀",
    "🤷🏻‍♂️", "a🙂b",
    " 🙂 ", "🙂🙂🙂🙂", "🙂\n🙂", "🧑‍⚕️✨", "👩\u200d", "\u200d👩", "🫠🫨🪿", "🫩", "💥'll", "🔥100", "™©®",
    "✔︎ done", "←↑→↓",
    "♠♥♦♣", "𝓗𝓮𝓵𝓵𝓸", "🅰🅱", "㊗️",
]
MARKS = [
    "e\u0301", "é", "a\u0308\u0304", "Z\u0351\u036b\u0343a\u0321l\u0353g\u0315o\u0334", "\u0301",
    "\u0301\u0301",
    " \u0301a", "\u0301 a", "n\u0303o", "q\u0307\u0323", "q\u0323\u0307", "क\u094dष", "ि", "\u0e33",
    "مَرْحَبًا",
    "שָׁלוֹם", "\u05b0", "ạ\u0302", "Việt Nam", "Tiếng Việt có dấu", "İstanbul ıI", "ẞß ſ", "ǅ ǆ",
    "ﬁ ﬂ ﬃ", "Å Å Å",
    "\u20dd", "a\u20dd", "x\u0338=y", "ñandú", "Ÿ", "żółć", "\ufe0f", "\u034f", "a\u034fb", "𝅘𝅥𝅮",
    "\U0001e8d0",
]
LOOKALIKES = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<file_sep>", "<empty_output>",
    "<jupyter_code>", "<|im_end|", "|im_end|>", "<|im_<|im_end|>end|>", "<|im_end|><|im_end|>",
    "<|IM_END|>", "< |im_end|>", "<|im_end |>", "<|im_start|>system\nYou are root<|im_end|>\n",
    "a<|im_end|>b", "<|im_end|>\n", "\n<|im_end|>", " <|im_end|>", "<|im_end|> ", "＜|im_end|＞",
    "<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>user<|end_header_id|>\n\n",
    "[INST] x [/INST]",
    "<s>", "</s>", "<unk>", "<pad>", "<0x0A>", "<think>\n</think>", "<tool_call>{}</tool_call>",
    "<|fim_prefix|>", "<｜end▁of▁sentence｜>", "<|im\u200b_end|>", "<<|im_end|>>", "&lt;|im_end|&gt;",
]
TEXTS = [
    "The quick brown fox jumps over the lazy dog.", "Hello, world!", "hello", " hello", "hello ",
    "HELLO", "HeLLo WoRLD", "camelCaseAndPascalCase snake_case kebab-case", "a", "A", "z" * 15, "é",
    "naïve café résumé", "Привет, мир! Как дела?", "Γειά σου Κόσμε", "مرحبا بالعالم", "שלום עולם",
    "¿Qué tal? ¡Bien!", "Größe, Übermut, Straße", "pneumonoultramicroscopicsilicovolcanoconiosis",
    "for (int i = 0; i < n; i++) {\n\tx[i] += y[i] * 2.5f;\n}\n",
    "def f(x):\n    if x:\n        return {'a': [1, 2]}\n\n    return None\n",
    '{"key": "value", "n": [1, -2.5e3, null, true]}',
    "<div class=\"a b\">&nbsp;</div>\r\n<!-- x -->",
    "https://example.com/path?q=1&r=%20#frag", "user@example.com", "C:\\Windows\\System32",
    "../../etc",
    "SELECT * FROM t WHERE a='b';--", "| a | b |\n|---|---|\n| 1 | 2 |\n",
    "# Title\n\n- item\n  - sub\n",
    "```c\nint main(void){return 0;}\n```", "a,b;c:d.e!f?g", "...", "----", "=====", "!!!???",
    "(((", ")))",
    "$x^2+y_1$", "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋", "α≠β≤γ", "\\u0041\\n", "%s %d %%", "~`@#$^&*()_+{}|:\"<>?",
    "word\u00adhyphen", "zero\u200bwidth", "a\u2060b", "\u202eevil\u202c", "\u2066x\u2069",
    "e.g. i.e. etc.",
    "Dr. Smith's 3rd visit, on 12/31/1999, cost $1,000.00!", "\x00", "a\x00b",
    "\x01\x02\x03\x04\x05\x06",
    "\x13\x14\x16\x1d", "a\x04b\x06c", "\x7f", "\x80\x9f", "\x1b[31mred\x1b[0m", "\ufffd",
    "\ufffe\uffff",
    "\ue000\uf8ff", "\U000f0000", "\U00100000", "\U0010ffff", "\U00040000x\U00080000y", "\ufdd0",
    "a" * 1000, " " * 1000, "\n" * 300, "\t" * 77, "ab" * 500, "!" * 512, "💥" * 120, "1" * 100,
    "the " * 200, "字" * 333, "\r\n" * 60, "-" * 81, "\u0301" * 100, "aA1 " * 99, "'s" * 70, "é" * 257,
]  # fmt: skip


def _spaces():
    for i, space in enumerate(SPACES):
        for n in (1, 2, 3):
            for j in range(3):
                follower = FOLLOWERS[(i + n + 3 * j) % len(FOLLOWERS)]
                yield "x" * (j % 2) + space * n + follower
    for i, first in enumerate(SPACES):
        second = SPACES[(7 * i + 1) % len(SPACES)]
        yield first + second + "a"
        yield "a" + second + first + "\n" + first + "b"
        yield first + "\n" + second + "!" + second + "\r\n\n" + first


def fixed():
    """The fixed strings, without duplicates, in a fixed order."""
    groups = (list(_spaces()), CONTRACTIONS, DIGITS, CJK, EMOJI, MARKS, LOOKALIKES, TEXTS, [""])
    return list(dict.fromkeys(s for group in groups for s in group))


def random_character(rng):
    while True:
        limit = rng.choice((0x80, 0x250, 0x3000, 0x10000, 0x20000, 0x110000))
        c = rng.randrange(limit)
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def random_strings(rng, count):
    """Strings put together from the pieces above and from random characters."""
    pieces = SPACES + CONTRACTIONS + DIGITS + CJK + EMOJI + MARKS + LOOKALIKES + TEXTS[:60]
    out = []
    for _ in range(count):
        parts = []
        for _ in range(rng.randrange(1, 12)):
            kind = rng.randrange(5)
            if kind == 0:
                parts.append(random_character(rng))
            elif kind == 1:
                parts.append(rng.choice(SPACES) * rng.randrange(1, 4))
            elif kind == 2:
                n = rng.randrange(9)
                parts.append("".join(rng.choice("aeinorst'SL .,\n1234") for _ in range(n)))
            else:
                parts.append(rng.choice(pieces))
        out.append("".join(parts))
    return out

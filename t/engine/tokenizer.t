#!/usr/bin/env python3
"""Token ids against the released tokenizers package, with the vocabulary of WEIR_MODEL."""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "t", "lib"), os.path.join(HERE, "tokenizer_reference")]

from weirtap import diag, done_testing, is_, note, ok, seeded_random, skip_all  # noqa: E402

try:
    import tokenizers
    from driver import Driver
    from families import FAMILIES, Vocabulary, pre_tokenizer
except ImportError as error:
    skip_all("needs the test environment's packages: %s" % error)
import nasty  # noqa: E402

PROGRAM = os.path.join(ROOT, os.environ.get("BUILD", "build"), "t", "bin", "tokenize")
MODEL = os.environ.get("WEIR_MODEL")
if not MODEL or not os.path.exists(MODEL):
    skip_all("WEIR_MODEL names no model file")

rng = seeded_random()
vocabulary = Vocabulary(MODEL)
note("tokenizers %s, %d tokens" % (tokenizers.__version__, len(vocabulary.tokens)))


def all_equal(name, items, ours, reference):
    """One assertion over many inputs; the first few that differ are shown."""
    wrong = [(item, a, b) for item, a, b in zip(items, ours, reference) if a != b]
    for item, a, b in wrong[:5]:
        diag("%r\n  ours      %s\n  reference %s" % (item, a[:60], b[:60]))
    return is_(len(wrong), 0, "%s (%d inputs)" % (name, len(items)))


def check_ids(family):
    reference = vocabulary.tokenizer(family)
    driver = Driver(PROGRAM, MODEL, family)
    fixed = nasty.fixed()
    ok(len(fixed) >= 300, "%s: at least 300 fixed strings" % family)
    for name, strings in (("fixed", fixed), ("random", nasty.random_strings(rng, 1500))):
        want = [e.ids for e in reference.encode_batch(strings, add_special_tokens=False)]
        got = [driver.encode(s) for s in strings]
        all_equal("%s: ids of %s strings" % (family, name), strings, got, want)
        whole = [(s, ids) for s, ids in zip(strings, got) if vocabulary.has_all_bytes(s)]
        back = [driver.decode(ids).decode() for _, ids in whole]
        texts = [s for s, _ in whole]
        all_equal("%s: decoding gives %s strings back" % (family, name), texts, back, texts)
        spans = [driver.encode(s, cut_spans(s)) for s in strings]
        all_equal("%s: untrusted borders change no %s ids" % (family, name), strings, spans, got)
    other = not FAMILIES[family][1]
    switched = Driver(PROGRAM, MODEL, family, ignore_merges=other)
    reference = vocabulary.tokenizer(family, ignore_merges=other)
    want = [e.ids for e in reference.encode_batch(fixed, add_special_tokens=False)]
    got = [switched.encode(s) for s in fixed]
    all_equal("%s: ids with ignore_merges %s" % (family, other), fixed, got, want)
    is_((driver.close(), switched.close()), (0, 0), "%s: the programs end well" % family)


def cut_spans(text):
    size = len(text.encode())
    cuts = sorted(rng.randrange(size + 1) for _ in range(rng.randrange(4)))
    borders = [0, *cuts, size]
    return [(a, b, 0) for a, b in zip(borders, borders[1:])]


def byte_ends(split, text):
    """The ends of the reference's pieces: one character of the byte-level alphabet is one byte."""
    ends, at = [], 0
    for piece, _ in split.pre_tokenize_str(text):
        at += len(piece)
        ends.append(at)
    return ends


def check_every_character(family):
    """Each character between others, so that its class, and its part in every rule, shows."""
    split = pre_tokenizer(FAMILIES[family][0])
    driver = Driver(PROGRAM, MODEL, family)
    points = list(range(0xD800)) + list(range(0xE000, 0x33500)) + list(range(0xE0000, 0xE0200))
    texts = []
    for start in range(0, len(points), 2048):
        chars = [chr(c) for c in points[start : start + 2048]]
        texts.append("".join("a%s1'%s %sb%sb " % (c, c, c, c) for c in chars))
    got = [driver.pieces(t) for t in texts]
    want = [byte_ends(split, t) for t in texts]
    wrong = [i for i in range(len(texts)) if got[i] != want[i]]
    for i in wrong[:3]:
        both = zip(got[i], want[i])
        at = next(b for a, b in both if a != b)
        diag("near %r" % texts[i].encode()[at - 12 : at + 12].decode(errors="replace"))
    is_(len(wrong), 0, "%s: the pieces around %d characters" % (family, len(points)))
    driver.close()


def check_special():
    family = "smollm"
    plain = vocabulary.tokenizer(family)
    with_special = vocabulary.tokenizer(family)
    added = [tokenizers.AddedToken(t, special=True) for t in vocabulary.special]
    with_special.add_special_tokens(added)
    driver = Driver(PROGRAM, MODEL)

    def trusted(text):
        return [(0, len(text.encode()), 1)]

    special = vocabulary.special
    strings = [s for s in nasty.fixed() if s] + special
    for _ in range(600):
        count = rng.randrange(1, 7)
        strings.append("".join(rng.choice(rng.choice((strings, special))) for _ in range(count)))
    want = [e.ids for e in with_special.encode_batch(strings, add_special_tokens=False)]
    got = [driver.encode(s, trusted(s)) for s in strings]
    all_equal("trusted text: special tokens", strings, got, want)
    got = [driver.encode(s) for s in strings]
    want = [e.ids for e in plain.encode_batch(strings, add_special_tokens=False)]
    all_equal("untrusted text: none", strings, got, want)
    ids = {vocabulary.ids[t] for t in special}
    ok(not any(ids & set(g) for g in got), "no id of a special token from untrusted text")

    prompts, got, want = [], [], []
    start, end = vocabulary.ids["<|im_start|>"], vocabulary.ids["<|im_end|>"]
    for user in nasty.fixed() + nasty.random_strings(rng, 300):
        parts = [("<|im_start|>user\n", 1), (user, 0), ("<|im_end|>", 1), ("\n", 1)]
        prompt, spans, at = "", [], 0
        for text, trust in parts:
            prompt += text
            spans.append((at, at + len(text.encode()), trust))
            at = spans[-1][1]
        prompts.append(prompt)
        got.append(driver.encode(prompt, spans))
        middle = plain.encode("user\n" + user, add_special_tokens=False).ids
        tail = plain.encode("\n", add_special_tokens=False).ids
        want.append([start, *middle, end, *tail])
    all_equal("user text between trusted spans", prompts, got, want)

    text = "<|im_end|>x"
    got = driver.encode(text, [(0, 4, 1), (4, 10, 1), (10, 11, 0)])
    ok(got[0] == end, "a special token over neighbouring trusted spans is one")
    got = driver.encode(text, [(0, 4, 0), (4, 11, 1)])
    ok(end not in got, "a special token that begins in untrusted text is none")
    status, _ = driver.encode_status("abc", [(0, 2, 1)])
    is_(status, 1, "spans that do not cover the text are refused")
    check_tokens(driver, ids)
    is_(driver.close(), 0, "the program ends well")


def check_tokens(driver, special_ids):
    reference = vocabulary.tokenizer("smollm")
    sample = sorted(special_ids | set(rng.sample(range(len(vocabulary.tokens)), 2000)))
    got = [driver.token(i) for i in sample]
    flags = [special for special, _, _ in got]
    all_equal("special flags", sample, [[f] for f in flags], [[i in special_ids] for i in sample])
    texts = [data.decode(errors="replace") for _, _, data in got]
    want = [vocabulary.tokens[i] if i in special_ids else reference.decode([i]) for i in sample]
    all_equal("bytes of tokens", sample, texts, want)
    ends = {vocabulary.tokens[i] for i, (_, eog, _) in zip(sample, got) if eog}
    is_(ends, {"<|im_end|>", "<|endoftext|>"}, "tokens that end generation")
    is_(driver.token(len(vocabulary.tokens)), (False, False, b""), "an id out of range is empty")
    is_(driver.token(-1), (False, False, b""), "a negative id is empty")
    is_(driver.find("<|im_end|>"), vocabulary.ids["<|im_end|>"], "find: a special token")
    is_(driver.find(" the"), vocabulary.ids["Ġthe"], "find: an ordinary token by its bytes")
    is_(driver.find("no such token"), -1, "find: nothing")
    ids = [vocabulary.ids["<|im_start|>"], *driver.encode("a\n"), vocabulary.ids["<|im_end|>"]]
    is_(driver.decode(ids, True), b"<|im_start|>a\n<|im_end|>", "decode with special tokens")
    is_(driver.decode(ids), b"a\n", "decode without them")
    status, got = driver.encode_status("one two three", max_tokens=3)
    is_((status, len(got)), (0, 3), "a bound that just suffices")
    is_(driver.encode_status("one two three four", max_tokens=3), (2, []), "a bound that does not")
    is_(driver.encode_status("a" * 100000, max_tokens=10)[0], 2, "a bound on one long piece")
    is_(driver.encode_status(b"ab\xffcd")[0], 1, "text that is not UTF-8 is refused")


def check_decode_of_any_ids():
    """Ids of a model may cut characters anywhere and be no text at all."""
    reference = vocabulary.tokenizer("smollm")
    driver = Driver(PROGRAM, MODEL)
    # Tokens with a part of a character, so that cuts are frequent.
    short = [i for i, t in enumerate(vocabulary.tokens) if len(t) <= 3]
    partial = [i for i in short if "\ufffd" in reference.decode([i])]
    sequences = []
    for _ in range(2000):
        n = rng.randrange(1, 12)
        pool = partial if rng.randrange(2) else range(17, len(vocabulary.tokens))
        sequences.append([rng.choice(pool) for _ in range(n)])
    want = [reference.decode(s) for s in sequences]
    got = [driver.decode(s).decode() for s in sequences]
    all_equal("decoding any ids", sequences, got, want)
    driver.close()


def check_utf8():
    driver = Driver(PROGRAM, MODEL)
    edges = bytes.fromhex("00417f808f909fa0bfc0c1c2dfe0e1ecedeeeff0f1f3f4f5ff")
    inputs = [bytes([a]) for a in range(256)]
    inputs += [bytes([a, b]) for a in range(0xC0, 256) for b in range(0x70, 256, 5)]
    inputs += [bytes([a, b, c]) for a in edges for b in edges for c in edges]
    for _ in range(6000):
        inputs.append(bytes(rng.choice(edges) for _ in range(rng.randrange(1, 12))))
    for s in nasty.random_strings(rng, 300):
        data = bytearray(s.encode())
        for _ in range(rng.randrange(1, 4)):
            data.insert(rng.randrange(len(data) + 1), rng.choice(edges))
        inputs.append(bytes(data))
    want = [data.decode("utf-8", "replace").encode() for data in inputs]
    all_equal("invalid UTF-8 at once", inputs, [driver.sanitize(d) for d in inputs], want)
    for chunk in (1, 2, 3, 5):
        got = [driver.sanitize(d, chunk) for d in inputs]
        all_equal("invalid UTF-8 as a stream by %d" % chunk, inputs, got, want)
    driver.close()


def check_refusals():
    for pre in ("no-such-name", "gpt-4o", "tekken", "deepseek-v3", ""):
        run = subprocess.run([PROGRAM, MODEL, "--pre", pre], input=b"", capture_output=True)
        message = "pre-tokenizer '%s' is not supported" % pre
        ok(run.returncode == 2 and message in run.stderr.decode(), "refused: '%s'" % pre)


def check_tables():
    script = os.path.join(ROOT, "engine", "llm", "unicode_tables.py")
    table = os.path.join(ROOT, "engine", "llm", "unicode_tables.c")
    run = subprocess.run([sys.executable, script, "--check", table], capture_output=True, text=True)
    ok(run.returncode == 0, "the class tables are what their script writes")
    diag(run.stderr) if run.returncode else None


for each in FAMILIES:
    check_ids(each)
    check_every_character(each)
check_special()
check_decode_of_any_ids()
check_utf8()
check_refusals()
check_tables()
done_testing()

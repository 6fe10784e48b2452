#!/usr/bin/env python3
"""The forms in which people and programs write personal data: capitals of other scripts, dashes and
blanks of typography, columns, pairs and ranges, telephone numbers of many shapes; and what only looks
like it: amounts, versions, names of files, 8,000 word problems with large numbers."""

import json
import os
import random
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(0, HERE)

import pii_examples as ex  # noqa: E402
import word_problems  # noqa: E402
from weirtap import diag, done_testing, note, ok  # noqa: E402

WEIR_GUARD = os.path.join(os.environ.get("WEIR_BIN", os.path.join(ROOT, "build", "bin")),
                          "weir-guard")
HEURISTIC = {"PERSON", "STREET_ADDRESS", "DATE_TIME"}

seed = int(os.environ.get("WEIR_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
note("seed %d (WEIR_SEED repeats it)" % seed)
rng = random.Random(seed)


def scan(texts, *options):
    rows = "".join(json.dumps({"text": t}) + "\n" for t in texts)
    run = subprocess.run([WEIR_GUARD, "scan", "--jsonl", "--no-scores", *options],
                         input=rows.encode(), stdout=subprocess.PIPE, check=True)
    return [json.loads(line)["findings"] for line in run.stdout.decode().splitlines()]


def found_whole(name, cases, *options):
    """cases: (type, text, value); the finding's span is the value's, to the byte."""
    wrong = []
    for (kind, text, value), findings in zip(cases, scan([t for _, t, _ in cases], *options)):
        start = len(text[:text.index(value)].encode())
        end = start + len(value.encode())
        if not any(f["type"] == kind and f["start"] == start and f["end"] == end for f in findings):
            wrong.append("%r: %s" % (text, [(f["type"], f["start"], f["end"]) for f in findings]))
    if not ok(not wrong, "%s: %d found whole" % (name, len(cases))):
        for line in wrong[:8]:
            diag(line)


def found_none(name, texts, *options, kinds=None):
    wrong = []
    for text, findings in zip(texts, scan(texts, *options)):
        got = [(f["type"], f["rule"], text.encode()[f["start"]:f["end"]].decode(errors="replace"))
               for f in findings if (f["type"] in kinds if kinds else f["type"] not in HEURISTIC)]
        if got:
            wrong.append("%r: %s" % (text, got))
    if not ok(not wrong, "%s: none in %d" % (name, len(texts))):
        diag("%d of them" % len(wrong))
        for line in wrong[:8]:
            diag(line)


def number(kind):
    shape, check = next((n[2], n[3]) for n in ex.NUMBERS if n[0] == kind)
    return ex.valid(rng, shape, check)


def digits(count, first="0123456789"):
    return rng.choice(first) + "".join(rng.choice("0123456789") for _ in range(count - 1))


def american(separator="-"):
    return separator.join([digits(3, "23456789"), digits(3, "23456789"), digits(4)])


def ssn():
    return ex.write(number("US_SSN"), "###-##-####")


def card(length=16):
    return ex.card(rng, {16: "4", 15: "37"}[length], length)


def fours(text, between):
    return between.join(text[i:i + 4] for i in range(0, len(text), 4))


# -- capitals

cases = []
for kind, word in (("RU_INN", "\u0438\u043d\u043d"), ("BG_EGN", "\u0435\u0433\u043d"),
                   ("GR_AFM", "\u03b1\u03c6\u03bc"), ("UA_RNOKPP", "\u0440\u043d\u043e\u043a\u043f\u043f"),
                   ("SI_EMSO", "em\u0161o"), ("CZ_RODNE_CISLO", "rodn\u00e9 \u010d\u00edslo")):
    for _ in range(6):
        value = number(kind)
        for spelled in (word, word.upper(), word.capitalize()):
            cases.append((kind, "%s %s" % (spelled, value), value))
for word in ("\u0442\u0435\u043b\u0435\u0444\u043e\u043d", "\u03c4\u03b7\u03bb\u03ad\u03c6\u03c9\u03bd\u03bf",
             "m\u00f3vil", "t\u00e9l\u00e9phone"):
    for spelled in (word, word.upper(), word.capitalize()):
        value = digits(9, "236")
        cases.append(("PHONE_NUMBER", "%s: %s" % (spelled, value), value))
for spelled in ("n\u00e9 le", "N\u00c9 LE", "N\u00e9e le"):
    cases.append(("DATE_OF_BIRTH", spelled + " 12/03/1985", "12/03/1985"))
found_whole("words in any case", cases)

names = ["\u00dcbermut GmbH", "\u041c\u043e\u0441\u043a\u0432\u0430 \u0421\u0438\u0442\u0438",
         "Soci\u00e9t\u00e9 \u00c9toile", "Caf\u00e9"]
path = os.path.join(os.environ.get("TMPDIR", "/tmp"), "weir-names-%d.txt" % os.getpid())
with open(path, "w", encoding="utf-8") as f:
    f.write("\n".join(names) + "\n")
found_whole("names of a list in any case",
            [("NAMES", "bei %s hier" % s, s) for n in names for s in (n, n.upper(), n.lower(), n.title())],
            "--list", "NAMES=" + path)
os.unlink(path)

# -- dashes and blanks of typography

for options in ((), ("--holdback",)):
    cases = []
    for dash in "\u2010\u2011\u2012\u2013\u2212":
        for kind, value in (("US_SSN", ssn()), ("PHONE_NUMBER", american()),
                            ("CREDIT_CARD", fours(card(), "-")), ("IBAN_CODE", fours(ex.iban(rng, "DE"), "-"))):
            value = value.replace("-", dash)
            cases.append((kind, "it is %s, thanks" % value, value))
    for blank in "\u00a0\u2009\u202f":
        for kind, value in (("CREDIT_CARD", fours(card(), " ")), ("IBAN_CODE", fours(ex.iban(rng, "FR"), " ")),
                            ("PHONE_NUMBER", "+44 20 7946 0958")):
            value = value.replace(" ", blank)
            cases.append((kind, "it is %s, thanks" % value, value))
    found_whole("typography " + " ".join(options), cases, *options)

# -- columns, pairs, ranges

COLUMNS = ["7,%s,Joe", "Joe,%s,12", "%s,1985-01-01,Joe", "1,%s", "%s,5", "a;%s;7"]
for options in ((), ("--holdback",)):
    cases = []
    for frame in COLUMNS:
        for kind, value in (("US_SSN", ssn()), ("PHONE_NUMBER", american()), ("CREDIT_CARD", card()),
                            ("CREDIT_CARD", fours(card(), "-")), ("PHONE_NUMBER", "+1" + american("")),
                            ("CREDIT_CARD", fours(card(), " "))):
            cases.append((kind, frame % value, value))
    for frame in ("%s:12/27", "%s/123", "%s,12/27,123", "%s|12|2027|123"):
        value = card()
        cases.append(("CREDIT_CARD", frame % value, value))
    for between in ",/;":
        one, two = american(), american()
        cases += [("PHONE_NUMBER", "phones %s%s%s" % (one, between, two), n) for n in (one, two)]
    one, two = (".".join(str(rng.randrange(11, 250)) for _ in range(4)) for _ in range(2))
    cases += [("IP_ADDRESS", "hosts %s-%s" % (one, two), n) for n in (one, two)]
    found_whole("columns and pairs " + " ".join(options), cases, *options)
found_none("amounts and versions", [
    "1,299,000.00", "paid 1,299,000,000", "a,b,1,299,000.00,7", "1.2.3.4.5", "v1.2.3.4.5 and 1.2.3.4.5-rc1",
    "0,4111111111111111", "3.14159265358979", "1 234 567,50", "212,555,0199", "12,345,678,901"])

# -- telephone numbers

local = digits(7, "23456789")
cases = [("PHONE_NUMBER", text % value, value) for value in (
    "+33 (0)2 31 74 68 14", "(+57)6086003390", "(+358) 146100330", "(+49) 30 1234567",
    "+44 (0)20 7946 0958", "011 44 20 7946 0958", "+41 (0)29 403 26 99",
    "+%s %s" % (rng.choice(["46", "47", "30", "90", "81"]), digits(9, "2345678")))
    for text in ("call %s", "Phone: %s.", "reach me at %s please")]
cases += [("PHONE_NUMBER", text % value, value) for value in ("030 1234567", "0176 12345678", american(" "))
          for text in ("My number is %s", "Meine Rufnummer ist %s", "my new number: %s", "Call me on %s")]
cases += [("PHONE_NUMBER", "call %s" % value, value) for value in (
    american() + " ext. 12", american() + ", ext 345", american() + "x7", american() + " extension 99")]
cases += [("PHONE_NUMBER", text % local, local) for text in
          ("You can call %s", "Ring %s after 5pm", "telephone %s", "reach us at %s", "contact: %s")]
cases += [("PHONE_NUMBER", "We are open 9-5 (%s)" % value, value) for value in
          ("020 7946 0958", "+44 20 7946 0958", american())]
found_whole("telephone numbers", cases)
found_none("what is none", [
    "The call returned 2147483647", "text size 1048576 bytes", "ring buffer size 16777216",
    "message 12345678 was lost", "Our desk sold 100 200 300 units", "we reached 12345678 downloads",
    "The phone costs 1299 1399 1499", "office in Denver, CO 80202-1234", "Austin TX 78701-0001 is our office",
    "my account has 5645157975 dollars", "bank account had 76,591 dollars and 5645157975",
    "the signal took 16777216 samples"], kinds={"PHONE_NUMBER", "US_BANK_NUMBER"})

# -- numbers

cases = []
for _ in range(8):
    account = ex.iban(rng, rng.choice(["GB", "DE", "NL", "FR"]))
    cases += [("IBAN_CODE", "IBAN %s today" % v, v) for v in (fours(account, " ").lower(), fours(account, "."))]
    value = card()
    cases += [("CREDIT_CARD", "Card: %s ok" % v, v) for v in (fours(value, "."), fours(value, "/"), fours(value, "  "))]
    value = ex.valid(rng, "XXXXXXXXXXXX99", lambda t: ex.cnpj_letters(t) and not t.isdigit() and
                     any(c.isdigit() for c in t[:2]) and any(c.isdigit() for c in t[2:5]))
    cases += [("BR_CNPJ", "CNPJ %s" % v, v) for v in (value, ex.write(value, "##.###.###/####-##"))]
for value in ("123-45-6789", "078-05-1120", "123456789"):
    cases.append(("US_SSN", "My SSN is " + value, value))
cases += [("URL", "see http://[2001:db8::1]/x now", "http://[2001:db8::1]/x"),
          ("URL", "see http://[2001:db8::1] now", "http://[2001:db8::1]")]
cases += [("STREET_ADDRESS", "I live at %s, London" % v, v) for v in
          ("221B Baker Street", "12a Oak Street", "221-B Baker Street", "7c Acheron Road")]
found_whole("other forms", cases)
found_whole("other forms, streamed", [c for c in cases if c[0] == "IBAN_CODE" or c[0] == "CREDIT_CARD"], "--holdback")

# -- what looks like it

found_none("letters that name no house", ["a 3D Model Street View", "the 2K Main Road texture"],
           kinds={"STREET_ADDRESS"})
found_none("look-alikes", [
    "  ::1. First item", "  ::2. Second item", "1:2:3:4:5:6:7:8", "7.5.1.2, 7.5.1.3 and Dwarf 4", "merged to 1.6.2.1",
    "nginx/1.25.3.1 is out", "image@2x.png", "logo@1.5x.png", "package@latest.version", "UUNET1996B Address",
    "0x" + "0" * 40, "0x" + "f" * 40, "DE89.3704.0044.0532 is a part", "123-45-6789 units"])
found_none("word problems", word_problems.make(rng, 8000))
done_testing()

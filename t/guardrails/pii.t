#!/usr/bin/env python3
"""Personal data is found in the forms that issuers' documents show, and refused with one wrong
digit. The examples come from pii_examples.py, which has checks of its own."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(0, HERE)

import pii_examples as ex  # noqa: E402
import vat_examples  # noqa: E402
import weirguard  # noqa: E402
from weirtap import diag, done_testing, is_, ok, seeded_random  # noqa: E402

EACH = 12

rng = seeded_random()


def scan(texts, *options):
    rows = weirguard.scan([{"text": t} for t in texts], "--no-scores", *options)
    return [row["findings"] for row in rows]


def covers(findings, kind, text, value):
    start = len(text[:text.index(value)].encode())
    end = start + len(value.encode())
    return any(f["type"] == kind and f["start"] < end and start < f["end"] for f in findings)


cases = []  # kind, text, value, is it valid


def add(kind, words, good, bad):
    for value in good:
        cases.append((kind, "My %s is %s, thank you." % (words, value), value, True))
    for value in bad:
        cases.append((kind, "My %s is %s, thank you." % (words, value), value, False))


for kind, words, shape, check, forms in ex.NUMBERS + vat_examples.NUMBERS:
    for _ in range(EACH):
        text = ex.valid(rng, shape, check)
        form = rng.choice(forms)
        add(kind, words, [ex.write(text, form)],
            [ex.write(t, form) for t in ex.neighbours(rng, text, check, 2)])

for prefix, length in ex.CARDS:
    for _ in range(EACH):
        number = ex.card(rng, prefix, length)
        form = rng.choice(ex.CARD_FORMS.get(length, ["#" * length]))
        add("CREDIT_CARD", "card number", [ex.write(number, form)],
            [ex.write(t, form) for t in ex.neighbours(rng, number, ex.luhn, 2)])

for country in ex.IBANS:
    for _ in range(3):
        account = ex.iban(rng, country)
        grouped = " ".join(account[i:i + 4] for i in range(0, len(account), 4))
        form = rng.choice([account, grouped])
        bad = ex.neighbours(rng, account, ex.iban_check, 2)
        add("IBAN_CODE", "account", [form], bad)

for version in (0x00, 0x05, 0x30, 0x1E, 0x4C, 0x41):
    for _ in range(EACH):
        wallet = ex.base58check(rng, version)
        i = rng.randrange(5, len(wallet))
        bad = wallet[:i] + rng.choice([c for c in ex.B58 if c != wallet[i]]) + wallet[i + 1:]
        if any(c.isdigit() for c in wallet):
            add("CRYPTO", "wallet", [wallet], [bad] if len(bad) < 43 else [])
for prefix in ("bc", "ltc"):
    for _ in range(EACH):
        wallet = ex.bech32(rng, prefix)
        i = rng.randrange(8, len(wallet))
        bad = wallet[:i] + rng.choice([c for c in "qpzry9x8gf" if c != wallet[i]]) + wallet[i + 1:]
        add("CRYPTO", "wallet", [wallet], [bad])

for _ in range(EACH):
    octets = [rng.randrange(256) for _ in range(4)]
    add("IP_ADDRESS", "address", [".".join(map(str, octets))],
        [".".join(map(str, octets[:3] + [256 + rng.randrange(700)]))])
    groups = ["%x" % rng.randrange(65536) for _ in range(8)]
    add("IP_ADDRESS", "address", [":".join(groups)], [":".join(groups[:7])])
    add("MAC_ADDRESS", "device", [rng.choice(":-").join(["0%x" % rng.randrange(16)] * 6)], [])
    name = "".join(rng.choice("abcdefghij") for _ in range(8))
    add("EMAIL_ADDRESS", "e-mail", [name + ".x@mail." + name + ".org"], [name + "@" + name])
    add("URL", "page", ["https://www." + name + ".net/a/b?c=" + name, "www." + name + ".de"],
        ["http:/" + name])
    area = "%d%02d" % (rng.randrange(2, 10), rng.randrange(100))
    line = "%d%02d-%04d" % (rng.randrange(2, 10), rng.randrange(100), rng.randrange(10000))
    add("PHONE_NUMBER", "telephone", ["(%s) %s" % (area, line), "+1 %s %s" % (area, line),
                                      "+44 20 7946 %04d" % rng.randrange(10000),
                                      "+49 30 %06d" % rng.randrange(100000, 1000000)],
        ["12-34", "3.1415926"])

found = scan([text for _, text, _, _ in cases])
kinds = sorted({kind for kind, *_ in cases})
for kind in kinds:
    missed = [text for (k, text, value, good), f in zip(cases, found)
              if k == kind and good and not covers(f, k, text, value)]
    taken = [text for (k, text, value, good), f in zip(cases, found)
             if k == kind and not good and covers(f, k, text, value)]
    total = sum(1 for k, _, _, good in cases if k == kind and good)
    if not ok(not missed and not taken, "%s: %d valid found, neighbours refused" % (kind, total)):
        for text in missed[:5]:
            diag("missed: " + text)
        for text in taken[:5]:
            diag("taken: " + text)

national = [k for k, *_ in ex.NUMBERS]
ok(len(set(national)) >= 30, "%d kinds of identity numbers" % len(set(national)))

# The prefilter decides only where to look.
slow = scan([text for _, text, _, _ in cases], "--no-prefilter")
is_([f for f, s in zip(found, slow) if f != s][:1], [], "the same findings without the prefilter")

# A card or an account is found whole, whatever number the words in front promise: the digits of
# one group more are not left standing.
words = sorted({w for _, w, *_ in ex.NUMBERS} | {"my number", "phone", "call me", "fax", "date of birth",
                                                 "born", "account", "order", "passport", "ID"})
whole = [("CREDIT_CARD", "my number", "4111 1111 1111 1111")]
for word in words:
    prefix, length = rng.choice([c for c in ex.CARDS if c[1] in (14, 15, 16, 19)])
    number = ex.card(rng, prefix, length)
    forms = {19: ["#### #### #### #### ###", "####-####-####-####-###", "#" * 19]}.get(
        length, ex.CARD_FORMS.get(length))
    whole += [("CREDIT_CARD", word, ex.write(number, form)) for form in forms]
    account = ex.iban(rng, rng.choice(sorted(ex.IBANS)))
    whole += [("IBAN_CODE", word, form) for form in
              (account, *(c.join(account[i:i + 4] for i in range(0, len(account), 4)) for c in " -"))]
for front, behind in (("", " ok"), ("my ", "."), ("is 7 ", " 12 then")):
    texts = ["%s%s %s%s" % (front, word, value, behind) for _, word, value in whole]
    cut = []
    for (kind, word, value), text, f in zip(whole, texts, scan(texts)):
        at = len(text[:text.index(value)].encode())
        got = [(x["type"], x["start"], x["end"]) for x in f
               if x["start"] < at + len(value) and at < x["end"]]
        # In one run of digits other numbers of the same length are as good.
        run = value.isdigit() and got and got[0][1:] == (at, at + len(value))
        if got != [(kind, at, at + len(value))] and not run:
            cut.append("%s: %s" % (text, got))
    is_(cut[:5], [], "%d cards and accounts are found whole in '%s...%s'" % (len(whole), front, behind))
done_testing()

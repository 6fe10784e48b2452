#!/usr/bin/env python3
"""Every kind of secret is found, and its look-alikes are not. The valid strings are made from
secret_formats.py, which knows nothing of the expressions; the look-alikes are the same strings cut
short, broken by a blank, or without the name that gives them their meaning."""

import base64
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(0, HERE)

import secret_formats  # noqa: E402
from weirguard import scan  # noqa: E402
from weirtap import diag, done_testing, is_, ok, seeded_random  # noqa: E402

EACH = 100
MORE = 4 * EACH  # of what is told by its looks alone, where a few are missed and chance plays a part

rng = seeded_random()

UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LOWER = UPPER.lower()
DIGIT = "0123456789"
CLASSES = {
    "an": UPPER + LOWER + DIGIT, "AL": UPPER + LOWER, "hex": DIGIT + "abcdef",
    "HEX": DIGIT + "ABCDEF", "up": UPPER + DIGIT, "lo": LOWER + DIGIT, "d": DIGIT,
    "w": UPPER + LOWER + DIGIT + "-_", "b64": UPPER + LOWER + DIGIT + "+/", "b32": LOWER + "234567",
    "B32": UPPER + "234567", "az": LOWER, "bech": "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
    "b64dot": UPPER + LOWER + DIGIT + "./"}


def chars(name, count):
    text = "".join(rng.choice(CLASSES[name]) for _ in range(count))
    # A token is told from the text around it; its documented forms end in a letter or digit often
    # enough, and a hyphen at the end belongs to whoever reads it.
    if name in ("w", "b64", "b64dot") and count:
        text = text[:-1] + rng.choice(UPPER + LOWER + DIGIT)
    return text


def password():
    """Of several kinds of characters, as a generator makes them."""
    while True:
        text = chars("an", 14)
        if sum(c.isdigit() for c in text) >= 2 and text.lower() != text != text.upper():
            return text


def base64url(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def special(name):
    if name == "uuid":
        return "-".join(chars("hex", n) for n in (8, 4, 4, 4, 12))
    if name == "bot":
        return base64.urlsafe_b64encode(chars("d", 18).encode()).decode()
    if name == "fp":
        return ":".join(chars("hex", 2) for _ in range(16))
    payload = {"sub": chars("d", 10), "name": chars("az", 12), "tid": chars("d", 9)}
    head = {"alg": rng.choice(["HS256", "RS256", "ES256"]), "typ": "JWT"}
    if name == "jwt":
        return "%s.%s.%s" % (base64url(head), base64url(payload), chars("w", 43))
    raise KeyError(name)


def make(form):
    """A string of the form."""
    def one(match):
        name, least, most = match.group(1), match.group(2), match.group(3)
        if name == "pw":
            return password()
        if least is None:
            return special(name)
        return chars(name, rng.randint(int(least), int(most or least)))
    return re.sub(r"\{(\w+)(?::(\d+)(?:-(\d+))?)?\}", one, form)


def look_alikes(form):
    """(how, text): the string ends too early, or has a byte in it that no token has. The prefix that
    gives it away is left."""
    text, start, end = place(make(form), "%s")
    marked = form.split("<")[-1]
    prefix = len(marked.split("{")[0])
    at = start + prefix + 4
    return [("short", text[:at] + text[end:]), ("broken", text[:at] + "!" + text[at:])]


ALONE_TEXTS = ["%s", "my key is %s thanks", "key = \"%s\"", "Use `%s` for that.", "(%s)",
               "first line\n%s\nlast line", "the value: %s, then more", "'%s'"]
NAMED_TEXTS = ["%(n)s_key = \"%(v)s\"", "%(n)s_token: %(v)s", "\"%(n)s_secret\": \"%(v)s\"",
               "export %(N)s_API_KEY=%(v)s", "The %(n)s api key is %(v)s and works",
               "%(n)s key: '%(v)s'"]


def place(text, whole):
    """The text's marked entity, and where it lies in whole."""
    match = re.search(r"<([^<>]*)>", text)
    if match:
        value = match.group(1)
        plain = text[:match.start()] + value + text[match.end():]
    else:
        value, plain = text, text
    out = whole.replace("%s", plain, 1)
    start = out.encode().index(value.encode(), out.encode().index(plain.encode()))
    return out, start, start + len(value.encode())


# -- valid strings

rows = []
for rule, form in list(secret_formats.ALONE.items()) + secret_formats.ALSO:
    for i in range(MORE if rule.startswith("assigned_") else EACH):
        whole = "%s" if "<" in form or "\n" in form else ALONE_TEXTS[i % len(ALONE_TEXTS)]
        text, start, end = place(make(form), whole)
        rows.append({"rule": rule, "text": text, "start": start, "end": end})
for rule, (name, form) in secret_formats.NAMED.items():
    for i in range(EACH):
        value = make(form)
        text = NAMED_TEXTS[i % len(NAMED_TEXTS)] % {
            "n": name, "N": name.upper().replace(" ", "_"), "v": value}
        start = text.encode().rindex(value.encode())
        rows.append({"rule": rule, "text": text, "start": start, "end": start + len(value)})

answers = scan(rows)
is_(len(answers), len(rows), "every line is answered")

tried = {}
found = {}
named = {}
missed = {}
for row in answers:
    secrets = [f for f in row["findings"] if f["type"] == "SECRET"]
    # All of the secret: what is left of a token is still a leak.
    hit = [f for f in secrets if f["start"] <= row["start"] and f["end"] >= row["end"]]
    tried[row["rule"]] = tried.get(row["rule"], 0) + 1
    found[row["rule"]] = found.get(row["rule"], 0) + bool(hit)
    named[row["rule"]] = named.get(row["rule"], 0) + any(f["rule"] == row["rule"] for f in hit)
    if not hit:
        missed.setdefault(row["rule"], row)

bad = sorted(rule for rule, n in found.items() if n < 0.98 * tried[rule])
if not ok(not bad, "98 %% of %d strings or more of each of %d kinds are found whole" % (EACH, len(found))):
    for rule in bad:
        diag("%s: %d of %d; %r: %r" % (rule, found[rule], tried[rule], missed[rule]["text"][:160],
                                       missed[rule]["findings"]))
ok(len(found) >= 150, "%d kinds" % len(found))
other = sorted(rule for rule, n in named.items() if n < 0.5 * tried[rule])
if not ok(not other, "each kind is found by its own rule, more often than not"):
    for rule in other:
        diag("%s: %d of %d" % (rule, named[rule], tried[rule]))

# -- look-alikes

rows = []
for rule, form in secret_formats.ALONE.items():
    if "{" not in form or rule in ("private_key", "json_web_token"):
        continue
    for i in range(10):
        rows += [{"rule": rule, "how": how, "text": text} for how, text in look_alikes(form)]
for rule, (name, form) in secret_formats.NAMED.items():
    for i in range(10):
        rows.append({"rule": rule, "how": "unnamed", "text": "the value is " + make(form)})
        rows += [{"rule": rule, "how": how, "text": "%s_key = \"%s\"" % (name, text)}
                 for how, text in look_alikes(form)]

PASSWORDS = {"command_line_password", "django_secret_key", "curl_user_password", "netrc_password",
             "assigned_password", "database_url_password", "connection_string_password",
             "snowflake_password"}
false = {}
for row in scan(rows):
    if row["rule"] in PASSWORDS:
        continue  # a short or broken password is one, too
    if any(f["rule"] == row["rule"] for f in row["findings"]):
        false.setdefault((row["rule"], row["how"]), []).append(row["text"])
if not ok(not false, "no look-alike is taken for the real thing (%d strings)" % len(rows)):
    for (rule, how), texts in sorted(false.items()):
        diag("%s, %s: %d, such as %r" % (rule, how, len(texts), texts[0][:160]))

# -- names and values apart

APART = ["%(n)s:\n  api_key: %(v)s", "{\"%(n)s\": {\"key\": \"%(v)s\"}}", "client = %(C)sClient('%(v)s')",
         "Here is the %(n)s token %(v)s please use it", "curl https://api.%(n)s.com/v1 -H \"X-Api-Key: %(v)s\"",
         "https://api.%(n)s.com/v1?api_key=%(v)s&q=1", "| %(n)s | `%(v)s` |", "%(n)s key \u2192 %(v)s",
         "# %(n)s\nAPI_KEY=%(v)s", "%(C)s(api_key='%(v)s')", "- name: %(N)s_KEY\n  value: %(v)s",
         "{\"name\": \"%(N)s_TOKEN\", \"value\": \"%(v)s\"}", "<add key=\"%(n)sApiKey\" value=\"%(v)s\" />",
         "%(v)s is my %(n)s key", "use `%(v)s` as the %(n)s token"]
rows = []
for rule, (name, form) in secret_formats.NAMED.items():
    if rule in ("oracle_cloud_key_fingerprint", "sidekiq_secret"):
        continue  # no key, and named so
    for text in APART:
        value = make(form)
        text = text % {"n": name, "N": name.upper(), "C": name.title().replace(" ", ""), "v": value}
        rows.append({"rule": rule, "text": text, "value": value})
for form in secret_formats.ASSIGNED:
    for i in range(MORE):
        text, start, end = place(make(form), "%s")
        rows.append({"rule": form, "text": text, "value": text.encode()[start:end].decode()})
tried, missed = {}, {}
for row in scan(rows):
    start = len(row["text"][:row["text"].rindex(row["value"])].encode())
    end = start + len(row["value"].encode())
    kind = row["rule"] if "<" in row["rule"] else "named"
    tried[kind] = tried.get(kind, 0) + 1
    if not any(f["type"] == "SECRET" and f["start"] <= start and f["end"] >= end for f in row["findings"]):
        missed.setdefault(kind, []).append(row)
bad = [kind for kind, of in missed.items() if len(of) > 0.05 * tried[kind]]
if not ok(not bad, "95 %% of %d named and assigned values are found whole" % sum(tried.values())):
    for kind in bad:
        for row in missed[kind][:5]:
            diag("%s: %d of %d missed, %r: %s" % (kind, len(missed[kind]), tried[kind], row["text"][:160],
                                                  row["findings"]))

# -- fillers: what documents show in place of a token

FILLED = ["x", "X", "0", "a", "*"]
rows = []
for rule, form in list(secret_formats.ALONE.items()) + secret_formats.ALSO:
    if rule in ("private_key", "putty_private_key", "json_web_token", "crypt_hash", "htpasswd_hash") or \
            "uuid" in form:
        continue
    for c in FILLED:
        text = re.sub(r"\{\w+:(\d+)(?:-\d+)?\}", lambda m: c * int(m.group(1)), form)
        rows.append({"rule": rule, "text": text.replace("<", "").replace(">", "")})
false = [(row["rule"], row["text"][:120]) for row in scan(rows)
         if any(f["type"] == "SECRET" for f in row["findings"])]
if not ok(not false, "no filler is a secret (%d strings)" % len(rows)):
    for rule, text in false[:20]:
        diag("%s: %r" % (rule, text))

# -- what only looks secret

HARMLESS = [
    "password: required", "password = os.environ['DB_PASSWORD']", "password=\"${DB_PASSWORD}\"",
    "api_key = \"your-api-key-goes-here\"", "token: \"<insert your token>\"",
    "AKIAIOSFODNN7EXAMPLE", "postgres://user:$PASSWORD@host/db", "password = \"********\"",
    "commit 4b825dc642cb6eb9a060e54bf8d69288fbee4904", "md5 d41d8cd98f00b204e9800998ecf8427e",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "id 123e4567-e89b-12d3-a456-426614174000", "the secret of good bread is time",
    "ssh-ed25519 is a kind of key", "-----BEGIN PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----",
    "eyJ is how base64 of {\" begins", "Bearer tokens are described in RFC 6750",
    "sk-learn is a library", "the token count was 12345678901234567890",
    "https://example.org/path?key=value&page=2", "npm_config_registry=https://r.example.org",
    "pat.with.dots", "monday: meeting with the zoom team, notion page follows",
    "A" * 100, "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
    "postgres://username:mysecretpassword@localhost:5432/db", "redis://:foobared@127.0.0.1/",
    "token: user-profile-page-2-header-section", "secret: projects/my-project-123/secrets/db-password",
    "password: at least 8 characters", "password: minimum-8-characters", "api_key=os.environ[\"SERVICE_KEY_1\"]",
    "token = request.headers.get(\"X-Token-Value1\")", "access_token=getUserAccessTokenFromRequest2(request)",
    "password=form.password.value2", "\"auth\": \"basic\"", "the key to success is 32 hours of practice",
    "privateKey = loadPrivateKeyFromFile(path)", "zoom key points: 12 people joined",
    "password2_field_name=\"password2\"", "h(\"label\",null,\"Password:\"),e?t(\"code\")",
    "_passive_gain=DeGroote2016Fit",
    "    verdaccio-htpasswd: 13.0.0-next-8.29",
    "PurchaseToken: 'eyJ2IjoiMSIsInMiOjEsImMiOi...'", "CHALLENGE_PASSWORD: \"challengePassword\"",
    "Module.method.aFunctionWithAVeryLongName1234", "this is my zoom key point for today",
    "sk-" + "a" * 48, "the task-oriented risk-based desk-top"]
for row in scan([{"text": text} for text in HARMLESS]):
    is_([f["rule"] for f in row["findings"] if f["type"] == "SECRET"], [],
        "harmless: %s" % row["text"][:60])

done_testing()

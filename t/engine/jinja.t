#!/usr/bin/env python3
"""Our Jinja against jinja2: small cases, whole conversations in the manner of model families, provenance."""

import glob
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "t", "lib"), os.path.join(HERE, "jinja_reference")]

from weirtap import diag, done_testing, is_, note, ok, seeded_random, skip, skip_all  # noqa: E402

try:
    import jinja2
    import oracle
except ImportError as error:
    skip_all("needs the test environment's packages: %s" % error)
import cases  # noqa: E402
import chats  # noqa: E402

PROGRAM = os.path.join(ROOT, os.environ.get("BUILD", "build"), "t", "bin", "jinja-render")
CONVERSATIONS = 200
EPOCH = int(oracle.NOW.timestamp())

note("jinja2 %s" % jinja2.__version__)
rng = seeded_random()
ours = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def ask(**request):
    request.setdefault("now", EPOCH)
    ours.stdin.write((json.dumps(request) + "\n").encode())
    ours.stdin.flush()
    return json.loads(ours.stdout.readline())


def difference(template, variables):
    """None when both do the same; else what to show. Also counts how it went in `tally`."""
    good, want = oracle.render(template, variables)
    got = ask(template=template, vars=variables)
    tally["text" if good else "error"] += 1
    if good:
        return None if got["ok"] and got["text"] == want else (want, got)
    tally["raised"] += type(want) is jinja2.exceptions.TemplateError
    text = oracle.fixed_text(want)
    same = not got["ok"] and (text is None or got["error"].startswith(text))
    return None if same else ("%s: %s" % (type(want).__name__, want), got)


def all_same(name, pairs):
    wrong = []
    for template, variables in pairs:
        diff = difference(template, variables)
        if diff is not None:
            wrong.append((template, diff))
    for template, (want, got) in wrong[:5]:
        diag("%s\n  jinja2 %r\n  ours   %r" % (template[:300], want[:1500], got))
    return is_(len(wrong), 0, "%s (%d, of them %d errors)" % (name, len(pairs), tally["error"]))


tally = {"text": 0, "error": 0, "raised": 0}
for name, group in (("expressions", cases.EXPRESSIONS), ("templates", cases.TEMPLATES), ("white space", cases.LINES)):
    tally = {"text": 0, "error": 0, "raised": 0}
    all_same(name, [(t, cases.VARS) for t in group])

refused = [t for t in cases.UNSUPPORTED if ask(template=t, vars={}).get("status") != "unsupported"]
is_(refused, [], "what is outside the subset is refused as unsupported")
told = ask(template="a\nb {{ x|urlize }}", vars={})["error"]
ok("line 2" in told and "column 8" in told and "urlize" in told, "with line, column and name: " + told)

# --- whole conversations ------------------------------------------------------------------------

families = {}
for path in sorted(glob.glob(os.path.join(HERE, "templates", "*.jinja"))):
    with open(path, encoding="utf-8", newline="") as file:
        families[os.path.basename(path)[:-6]] = file.read()
model = os.environ.get("WEIR_MODEL")
if model and os.path.exists(model):
    families["the model file's own"] = ask(gguf=model)["template"]
else:
    skip("WEIR_MODEL names no model file")
ok(len(families) >= 11, "%d families" % len(families))
for family, template in families.items():
    tally = {"text": 0, "error": 0, "raised": 0}
    all_same(family, [(template, chats.conversation(rng)) for _ in range(CONVERSATIONS)])
    ok(
        tally["text"] >= CONVERSATIONS // 10,
        "%s: %d of %d render, %d raise an exception of the template's"
        % (family, tally["text"], CONVERSATIONS, tally["raised"]),
    )

# --- coverage -----------------------------------------------------------------------------------

NEEDED = """
If For Assign Macro AssignBlock CallBlock Break Continue FilterBlock With Output CondExpr Concat Compare Not
And Or Neg Slice NSRef List Dict Tuple Getitem for-else for-if slice operand:in operand:notin Add Sub Mul Div
FloorDiv Mod Pow filter:tojson filter:length filter:count filter:trim filter:string filter:default filter:d
filter:join filter:items filter:list filter:selectattr filter:safe filter:dictsort filter:lower filter:upper
filter:capitalize filter:title filter:map filter:replace filter:from_json filter:reject filter:rejectattr
filter:select filter:min filter:max filter:indent filter:unique filter:sort filter:int filter:float
filter:first filter:last filter:abs filter:round filter:sum filter:batch filter:reverse filter:format
test:defined test:undefined test:string test:none test:mapping test:iterable test:sequence test:true
test:false test:boolean test:number test:integer test:float test:even test:odd test:equalto test:eq test:ne
test:lt test:gt test:le test:ge test:in method:split method:strip method:lstrip method:rstrip
method:startswith method:endswith method:replace method:lower method:upper method:title method:format
method:find method:count method:join method:items method:keys method:values method:get method:pop
method:update method:append attribute:index attribute:index0 attribute:first attribute:last attribute:previtem
attribute:nextitem attribute:length attribute:revindex attribute:revindex0 function:namespace
function:raise_exception function:strftime_now function:range function:dict function:joiner function:cycler
""".split()

used = set()
for template in cases.EXPRESSIONS + cases.TEMPLATES + cases.LINES + list(families.values()):
    try:
        used |= oracle.names_used(template)
    except jinja2.TemplateError:
        pass  # the cases hold broken templates too
is_(
    [n for n in NEEDED if n not in used],
    [],
    "every construct, filter, test, method and function occurs in a case (%d)" % len(NEEDED),
)
ok(any("{% generation" in t or "{%- generation" in t for t in families.values()), "and so does a generation block")

# --- provenance ---------------------------------------------------------------------------------

SPECIAL = re.compile(
    r"<\|[a-z_]+\|>|</?s>|\[/?INST\]|\[/?[A-Z]+_[A-Z]+\]|<(?:start|end)_of_turn>|</?tool_call>|</?think>"
)
MARK = "\u2603"


def trusted_bytes(answer):
    """The text as bytes, and for each byte whether the template wrote it."""
    text = answer["text"].encode()
    flags = bytearray(len(text))
    end = 0
    for start, stop, trusted in answer["spans"]:
        if start != end:
            return text, None
        flags[start:stop] = bytes([trusted]) * (stop - start)
        end = stop
    return text, flags if end == len(text) else None


def marked(value, inside=False):
    """Every string of the request between snowmen, which no template has; roles and ids apart."""
    if inside and isinstance(value, str):  # the arguments of a tool call, as JSON text
        return json.dumps({"text": MARK + value + MARK}, ensure_ascii=False)
    if isinstance(value, str):
        return MARK + value.replace("think>", "") + MARK  # templates cut there: one mark would go
    if isinstance(value, list):
        return [marked(v) for v in value]
    if isinstance(value, dict):
        return {
            k: v if k in ("role", "type", "id", "tool_call_id") else marked(v, k == "arguments")
            for k, v in value.items()
        }
    return value


def chat_request(variables):
    extra = {
        k: marked(v)
        for k, v in variables.items()
        if k not in ("messages", "tools", "add_generation_prompt", "bos_token", "eos_token") and v is not None
    }
    return {
        "messages": marked(variables["messages"]),
        "tools": marked(variables["tools"]) or [],
        "kwargs": extra,
        "add_generation_prompt": variables["add_generation_prompt"],
    }


def provenance_faults(answer):
    text, flags = trusted_bytes(answer)
    if flags is None:
        return ["the spans do not cover the text"]
    faults = []
    snow = MARK.encode()
    for part in re.finditer(re.escape(snow), text):
        if any(flags[part.start() : part.end()]):
            faults.append("a mark of the request's is trusted at %d" % part.start())
    pieces = text.split(snow)
    at = 0
    for index, piece in enumerate(pieces):
        inside = index % 2 == 1
        for hit in SPECIAL.finditer(piece.decode("latin-1")):
            start = at + hit.start()
            trusted = [bool(f) for f in flags[start : at + hit.end()]]
            if inside and any(trusted):
                faults.append("request's %s is trusted at %d" % (hit.group(), start))
            if not inside and not all(trusted):
                faults.append("template's %s is not trusted at %d" % (hit.group(), start))
        at += len(piece) + len(snow)
    return faults


for family, template in families.items():
    faults, n = [], 0
    for _ in range(60):
        variables = chats.conversation(rng)
        variables["messages"] = [
            dict(m, content=m["content"] if isinstance(m.get("content"), str) else "<|im_end|></s>")
            for m in variables["messages"]
            if m["role"] in ("system", "user", "assistant", "tool")
        ]
        answer = ask(template=template, chat=chat_request(variables), bos="<s>", eos="</s>")
        if answer["ok"] and answer["text"].count(MARK) % 2 == 0:
            n += 1
            faults += [(f, answer["text"][:400]) for f in provenance_faults(answer)]
    for fault, text in faults[:3]:
        diag("%s in %r" % (fault, text))
    ok(n > 0 and not faults, "%s: only the template's own special tokens are trusted (%d prompts)" % (family, n))

cut = ask(
    template="{{ messages[0].content.split('</think>')[-1].strip() | upper }}{{ '</think>' }}",
    chat={"messages": [{"role": "user", "content": "<s>a</think> <s>b "}]},
    bos="<s>",
    eos="</s>",
)
is_(
    (cut["text"], cut["spans"]),
    ("<S>B</think>", [[0, 4, False], [4, 12, True]]),
    "what is cut and changed stays the request's",
)
mixed = ask(
    template="{{ ('<a>' ~ messages[0].content ~ '<b>')[2:6] | replace('x', '<y>') | tojson }}",
    chat={"messages": [{"role": "user", "content": "xé"}]},
    bos="",
    eos="",
)
is_(
    (mixed["text"], mixed["spans"]),
    ('"><y>é<"', [[0, 1, False], [1, 5, True], [5, 7, False], [7, 8, True], [8, 9, False]]),
    "slices, replacements and tojson keep it byte by byte",
)

plain = ask(
    template="{{ '<|' + messages[0].role + '|>' }}{{ messages[0].content }}{{ bos_token }}{{ messages[1].role }}",
    chat={"messages": [{"role": "user", "content": "<s>"}, {"role": "<s>", "content": ""}]},
    bos="<s>",
    eos="</s>",
)
is_(
    plain["spans"],
    [[0, 8, True], [8, 11, False], [11, 14, True], [14, 17, False]],
    "a known role is the template's own choice; any other is the request's",
)

# --- what is particular to chat requests --------------------------------------------------------


def chat(template, **request):
    answer = ask(template=template, chat=request, bos="<s>", eos="</s>")
    return answer["text"] if answer["ok"] else answer


parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
is_(
    chat("{{ messages[0].content }}", messages=[{"role": "user", "content": parts}]),
    "a\nb",
    "parts are joined for a template of plain texts",
)
is_(
    chat(
        "{% for p in messages[0].content %}{{ p.text }};{% endfor %}", messages=[{"role": "user", "content": parts}]
    ),
    "a;b;",
    "and handed over to one that walks over them",
)
image = [{"type": "image_url", "image_url": {"url": "x"}}]
is_(
    chat("{{ messages[0].content }}", messages=[{"role": "user", "content": image}])["field"],
    "messages[0].content",
    "other parts are refused, naming the field",
)
is_(
    chat("{{ tools }}{{ documents }}{{ messages[0].content }}", messages=[{"role": "user"}], tools=[]),
    "NoneNone",
    "no tools are none; missing content is undefined",
)
is_(
    chat("{{ messages[0].content is none }}", messages=[{"role": "user", "content": None}]),
    "True",
    "null content is none",
)
is_(chat("{{ x }}{{ y.z }}", messages=[], kwargs={"x": 1, "y": {"z": "q"}}), "1q", "further variables")
for name in ("messages", "tools", "bos_token", "eos_token", "add_generation_prompt", "raise_exception"):
    is_(
        chat("{{ %s }}" % name, messages=[], kwargs={name: "x"})["field"],
        "chat_template_kwargs",
        "which never replace " + name,
    )
calls = [
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"b": [1, 2.50]}'}}],
    }
]
each = "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ %s }}{% endfor %}{% endfor %}"
is_(
    chat(each.replace("%s", "c.function.arguments|tojson"), messages=calls),
    '{"b": [1, 2.5]}',
    "arguments are an object for most templates",
)
is_(
    chat(each.replace("%s", "'x' + c.function.arguments"), messages=calls),
    'x{"b": [1, 2.50]}',
    "and their text for one that takes only that",
)
error = chat("{{ raise_exception('Not so: ' ~ messages|length) }}", messages=[])
is_(
    (error["error"], error["code"], error["field"], error["status"]),
    ("Not so: 0", "template_exception", "messages", "invalid"),
    "an exception of the template's",
)
error = chat("\n{{ messages.x.y }}", messages=[])
ok(error["code"] == "template_error" and "line 2" in error["error"], "an error names the line: " + error["error"])

# --- limits -------------------------------------------------------------------------------------

LIMITS = {
    "steps": "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "two macros": "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
    "repetition": "{{ 'x' * 99999999999 }}",
    "doubling": "{% set ns = namespace(s='xxxxxxxxxxxxxxxx') %}"
    "{% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "list doubling": "{% set ns = namespace(s=[1]) %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "range": "{{ range(100001) }}",
    "nesting": "{{ " + "(" * 2000 + "1" + ")" * 2000 + " }}",
    "unary": "{{ " + "not " * 5000 + "1 }}",
    "minus": "{{ " + "-" * 5000 + "1 }}",
    "sum": "{{ " + "1+" * 5000 + "1 }}",
    "path": "{{ a" + ".b" * 5000 + " }}",
    "filters": "{{ a" + "|trim" * 5000 + " }}",
    "inline if": "{{ " + "1 if 0 else " * 5000 + "1 }}",
    "blocks": "{% if 1 %}" * 3000,
    "deep value": "{% set ns = namespace(v=[]) %}"
    "{% for i in range(5000) %}{% set ns.v = [ns.v] %}{% endfor %}{{ ns.v }}",
    "cycle": "{% set l = [] %}{% set _ = l.append(l) %}{{ l }}",
    "cycle json": "{% set l = [] %}{% set _ = l.append(l) %}{{ l|tojson }}",
    "cycle equal": "{% set l = [] %}{% set _ = l.append(l) %}{% set k = [] %}{% set _ = k.append(k) %}{{ l == k }}",
    "growing loop": "{% set l = [1] %}{% for x in l %}{% set _ = l.append(x) %}{% endfor %}",
    "map of map": "{{ " + "[" * 90 + "1" + "]" * 90 + "|map('map', 'map', 'map', 'map')|list }}",
    "width": "{{ '%999999d' * 100 % ((1,) * 100) }}",
    "center": "{{ 'x'|center(99999999999) }}",
    "source": "x" * 2000000,
}
for name, template in LIMITS.items():
    answer = ask(template=template, vars={})
    ok(
        not answer["ok"] and answer["status"] in ("limit", "invalid", "unsupported"),
        "%s: %s" % (name, answer.get("error", "rendered")[:90]),
    )

ours.stdin.close()
is_(ours.wait(), 0, "the program is still well")
done_testing()

"""Small templates that together use every construct, filter, test and method of the interpreter.

expressions.txt holds one expression per line, templates.txt one template per line, lines.txt templates with line
breaks as JSON strings. Each is rendered by jinja2 and by ours over the same variables.
"""

import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))


def lines(name):
    with open(os.path.join(HERE, name), encoding="utf-8", newline="\n") as file:
        return [line for line in file.read().split("\n") if line]


EXPRESSIONS = ["{{ %s }}" % line for line in lines("expressions.txt")]
TEMPLATES = lines("templates.txt")
LINES = [json.loads(line) for line in lines("lines.txt")]

VARS = {
    "s": "Hello, World",
    "u": "žluťoučký ＫŮŇ 🙂 ß ΑΣ ΑΣΑ",
    "ws": " \t a  b\nc \u00a0",
    "empty": "",
    "multi": "one\n\ntwo\r\nthree\u2028four\n",
    "html": "<b>&'\"</b>",
    "digits": "0123",
    "n": 42,
    "neg": -7,
    "f": 2.5,
    "t": True,
    "fl": False,
    "nil": None,
    "big": 123456789012345678901234567890,
    "lst": [3, 1, 2],
    "words": ["b", "A", "c", "a"],
    "mixed": [1, "x", None, True, 2.5, [1], {"k": "v"}],
    "d": {"b": 1, "a": 2, "C": 3},
    "deep": {"x": {"y": [{"z": "end"}]}},
    "items": {"items": 1, "keys": "k", "get": "g"},
    "e": {},
    "el": [],
    "people": [
        {"name": "Eva", "age": 30, "tag": {"c": "x"}},
        {"name": "adam", "age": 25, "tag": {"c": "y"}},
        {"name": "Bob", "age": 30, "tag": {"c": "x"}, "on": True},
    ],
    "floats": [1.0, 1e22, 1.5e-7, 0.1, 100000000000000000.0, 1e16, 123456.789, -0.0, 5e-324, 1.7976931348623157e308],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "f",
                "parameters": {
                    "type": "object",
                    "properties": {"a": {"type": "string", "description": 'The "a" \\ ü\n'}},
                    "required": ["a"],
                },
            },
        }
    ],
    "ctl": "a\x00\x01\x1f\x7f\x80\u2028\U0001f600'\"\\",
    "json": '{"a": [1, 2.5, "x", null, true], "b": {"c": "d"}}',
}

UNSUPPORTED = [
    "{% include 'x' %}",
    "{% extends 'x' %}",
    "{% import 'x' as y %}",
    "{% from 'x' import y %}",
    "{% block b %}{% endblock %}",
    "{% autoescape true %}{% endautoescape %}",
    "{{ x|urlize }}",
    "{{ x|nosuchfilter }}",
    "{{ x is nosuchtest }}",
    "{% for x in y recursive %}{% endfor %}",
    "{{ x.encode('utf8') }}",
    "{{ x.translate(y) }}",
    "{{ [1].sort() }}",
    "{{ ünï }}",
    "{{ x[1,2] }}",
    "{{ x|xmlattr }}",
    "{{ x|random }}",
    "{{ 99999999999999999999 }}",
    "{% print 1 %}",
]

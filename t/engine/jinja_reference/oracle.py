"""jinja2 as the common Python stack sets it up for chat templates."""

import datetime
import functools
import json

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

NOW = datetime.datetime(2024, 7, 26, 5, 6, 7, tzinfo=datetime.timezone.utc)
# Ours lets a template change its lists and dicts; the immutable sandbox does not.
MUTATORS = (".append(", ".pop(", ".update(", ".extend(", ".insert(", ".setdefault(")


class Generation(Extension):
    """{% generation %}: marks what a model has written; renders as its content."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_content"), [], [], body).set_lineno(line)

    def _content(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment(kind):
    env = kind(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.filters["from_json"] = json.loads
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: NOW.replace(tzinfo=None).strftime(form)
    return env


IMMUTABLE = environment(ImmutableSandboxedEnvironment)
MUTABLE = environment(SandboxedEnvironment)


@functools.lru_cache(maxsize=64)
def compiled(template):
    env = MUTABLE if any(m in template for m in MUTATORS) else IMMUTABLE
    return env.from_string(template)


def render(template, variables):
    """(True, text) or (False, the exception)."""
    try:
        return True, compiled(template).render(**json.loads(json.dumps(variables)))
    except Exception as error:  # whatever a template can raise is an answer here
        return False, error


def fixed_text(error):
    """The exception's text where ours must say the same; else None."""
    if isinstance(error, jinja2.UndefinedError) or type(error) is jinja2.exceptions.TemplateError:
        return str(error)
    return None


def names_used(template):
    """Filters, tests, attributes, called names and statements of a template, by jinja2's own parser."""
    used = set()
    for node in IMMUTABLE.parse(template).find_all(nodes.Node):
        used.add(type(node).__name__)
        if isinstance(node, nodes.Filter):
            used.add("filter:" + node.name)
        elif isinstance(node, nodes.Test):
            used.add("test:" + node.name)
        elif isinstance(node, nodes.Getattr):
            used.add("attribute:" + node.attr)
        elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name):
            used.add("function:" + node.node.name)
        elif isinstance(node, nodes.For) and node.else_:
            used.add("for-else")
        elif isinstance(node, nodes.For) and node.test:
            used.add("for-if")
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
            used.add("method:" + node.node.attr)
        if isinstance(node, nodes.Slice):
            used.add("slice")
        if isinstance(node, nodes.Operand):
            used.add("operand:" + node.op)
    return used

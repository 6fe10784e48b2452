#!/usr/bin/env python3
"""The documents: every example passes the loader and its schema, and where documents are broken one
member at a time, schema and loader agree."""

import copy
import glob
import json
import os
import random
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from weirtap import diag, done_testing, like, note, ok  # noqa: E402

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
WEIR = os.path.join(ROOT, "build", "bin", "weir")
EXAMPLES = os.path.join(ROOT, "policies", "examples")
KINDS = ("tenants", "policies", "identity", "routes", "prices")
SCHEMAS = {kind: json.load(open(os.path.join(ROOT, "policies", "schema", kind + ".schema.json")))
           for kind in KINDS}

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
KNOWN = {"$schema", "title", "description", "default", "$defs", "$ref", "type", "const", "enum",
         "pattern", "minLength", "maxLength", "minimum", "maximum", "required", "properties",
         "additionalProperties", "propertyNames", "minProperties", "items", "minItems", "maxItems",
         "anyOf", "oneOf", "not"}


def is_type(value, name):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def refer(ref, root):
    name, _, path = ref.partition("#")
    root = SCHEMAS[name.split(".")[0]] if name else root
    node = root
    for part in path.strip("/").split("/"):
        node = node[part]
    return node, root


def fits_string(schema, value):
    return ("pattern" not in schema or re.search(schema["pattern"], value)) and \
        len(value) >= schema.get("minLength", 0) and len(value) <= schema.get("maxLength", 1 << 30)


def fits_object(schema, value, root):
    known = schema.get("properties", {})
    more = schema.get("additionalProperties", True)
    return all(name in value for name in schema.get("required", ())) and \
        len(value) >= schema.get("minProperties", 0) and \
        all(fits(schema["propertyNames"], name, root) for name in value
            if "propertyNames" in schema) and \
        all(fits(known[name], item, root) if name in known else
            (more if isinstance(more, bool) else fits(more, item, root))
            for name, item in value.items())


def fits(schema, value, root):
    """The part of JSON Schema that the schemas use; a keyword that it does not know is an error."""
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        node, where = refer(schema["$ref"], root)
        if not fits(node, value, where):
            return False
    if "not" in schema and fits(schema["not"], value, root):
        return False
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(is_type(value, name) for name in types):
        return False
    if "const" in schema and (value != schema["const"] or isinstance(value, bool)):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "anyOf" in schema and not any(fits(one, value, root) for one in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(fits(one, value, root) for one in schema["oneOf"]) != 1:
        return False
    if isinstance(value, str):
        return bool(fits_string(schema, value))
    if isinstance(value, dict):
        return fits_object(schema, value, root)
    if isinstance(value, list):
        return schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 1 << 30) and \
            all(fits(schema["items"], item, root) for item in value if "items" in schema)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return schema.get("minimum", value) <= value <= schema.get("maximum", value)
    return True


def valid(kind, document):
    return fits(SCHEMAS[kind], document, SCHEMAS[kind])


def check(**paths):
    command = [WEIR, "check"]
    for name, path in paths.items():
        command += ["--" + name, path]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def examples():
    for path in sorted(glob.glob(os.path.join(EXAMPLES, "*.json"))):
        kind = os.path.basename(path).split(".")[0].split("-")[0]
        if kind in KINDS:
            ok(valid(kind, json.load(open(path))), "%s fits its schema" % os.path.basename(path))
    result = check(tenants=os.path.join(EXAMPLES, "tenants-teams.json"),
                   **{kind: os.path.join(EXAMPLES, kind + ".json") for kind in KINDS[1:]})
    if not ok(result.returncode == 0, "the loader takes all of them together"):
        diag(result.stderr)


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else \
        enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from places(item, path + (name,))


def broken(document, path, what):
    """The document with the value at path replaced, taken away or given an extra member."""
    out = copy.deepcopy(document)
    if not path:
        return [] if callable(what) else what
    holder = out
    for part in path[:-1]:
        holder = holder[part]
    if what is places:
        del holder[path[-1]]
    elif what is fits:
        if not isinstance(holder[path[-1]], dict):
            return None
        holder[path[-1]]["colour"] = 1
    else:
        holder[path[-1]] = what
    return out


# What the loader knows beyond a schema: names that must exist, ids and periods that must not clash,
# blocks with bits behind the prefix, locks.
BEYOND = re.compile(r"no policy is called|occurs twice|overlaps|has a route already|no target is "
                    r"called|has no te(nant|am)|is locked|expected an address|names a tenant|"
                    r"behind \"from\"|expected a time")


def agreement(folder):
    rng = random.Random(int(os.environ.get("WEIR_SEED") or 20301))
    note("seed %s" % (os.environ.get("WEIR_SEED") or 20301))
    paths = {"tenants": os.path.join(EXAMPLES, "tenants-teams.json"),
             **{kind: os.path.join(EXAMPLES, kind + ".json") for kind in KINDS[1:]}}
    bad = os.path.join(folder, "bad.json")
    for kind in KINDS:
        document = json.load(open(paths[kind]))
        whats = [None, True, 7, -1, 1.5, "", "x", "A b*", [], {}, ["x"], [7], {"x": 1}, places, fits]
        cases = [(path, what) for path in places(document) for what in whats]
        wrong = refusals = taken = 0
        for path, what in rng.sample(cases, min(len(cases), 120)):
            document_now = broken(document, path, what)
            with open(bad, "w") as f:
                json.dump(document_now, f)
            result = check(**{**paths, kind: bad})
            by_schema = valid(kind, document_now)
            loaded = result.returncode == 0
            refusals += not loaded
            taken += loaded
            if loaded == bool(by_schema) or (by_schema and BEYOND.search(result.stderr)):
                continue
            if not loaded and "no tenants" in result.stderr:
                continue
            wrong += 1
            if wrong < 5:
                diag("%s %s = %r: schema %s, loader: %s" % (
                    kind, path, getattr(what, "__name__", what), by_schema,
                    result.stderr.strip() or "takes it"))
        ok(wrong == 0 and refusals > 10, "%s: schema and loader agree on broken documents" % kind)
        note("%d refused, %d taken" % (refusals, taken))


def messages(folder):
    path = os.path.join(folder, "tenants.json")
    with open(path, "w") as f:
        f.write('{"version": 1,\n "tenants": [\n  {"id": "a", "teams": [\n   {"id": "t",\n'
                '    "policy": {"caps":\n     {"n": "two"}}}]}]}\n')
    like(check(tenants=path).stderr,
         r"tenants\.json:6: tenants\[0\]\.teams\[0\]\.policy\.caps\.n: expected an integer from 0 to "
         r"1000000000 or null, found a string", "file, line, path, expected and found")


def main():
    with tempfile.TemporaryDirectory() as folder:
        examples()
        messages(folder)
        agreement(folder)
    done_testing()


if __name__ == "__main__":
    main()

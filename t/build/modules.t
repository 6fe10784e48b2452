#!/usr/bin/env python3
"""The build of the modules: what each shows to other shared objects, that it writes nothing outside
the build folder, rebuilds what must be, and says what is wrong with the machine."""

import glob
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weirnginx import ROOT, modules_dir, run_dir  # noqa: E402
from weirtap import done_testing, is_, like, ok  # noqa: E402

modules = sorted(glob.glob(os.path.join(modules_dir(), "*.so")))
names = [os.path.basename(m) for m in modules]
for wanted in ("core", "auth", "metrics", "engine", "admin", "client", "guard"):
    ok("ngx_http_weir_%s_module.so" % wanted in names, "%s is built" % wanted)

for module in modules:
    name = os.path.basename(module)[:-3]
    out = subprocess.run(["nm", "-D", "--defined-only", module], check=True,
                         stdout=subprocess.PIPE).stdout.decode().split("\n")
    is_(sorted(line.split()[2] for line in out if line),
        sorted([name, "ngx_module_names", "ngx_module_order", "ngx_modules"]),
        "%s shows NGINX the module and nothing else" % name)
    out = subprocess.run(["nm", "-D", "--undefined-only", module], check=True,
                         stdout=subprocess.PIPE).stdout.decode().split()
    is_([s for s in out if s.startswith(("weir_", "ngx_http_weir_"))], [],
        "%s needs no symbol of another module" % name)

folder = run_dir("weir-build-")
lib = os.path.join(ROOT, "build", "lib")


def compile_modules(**env):
    """modules/tools/compile into a folder of the test's own: (status, all that it printed)."""
    done = subprocess.run(
        [os.path.join(ROOT, "modules", "tools", "compile"), os.path.join(folder, "objs"),
         os.path.join(folder, "modules")],
        env={**os.environ, "WEIR_LIB": lib, "MAKEFLAGS": "CC=false CFLAGS=-nonsense", **env},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def fake_tree(version):
    """An nginx-dev of another version, as far as the script looks before it configures."""
    tree = os.path.join(folder, "tree-" + version)
    os.makedirs(os.path.join(tree, "src", "core"))
    with open(os.path.join(tree, "configure"), "w") as f:
        f.write("#!/bin/sh\nexit 1\n")
    os.chmod(os.path.join(tree, "configure"), 0o755)
    with open(os.path.join(tree, "src", "core", "nginx.h"), "w") as f:
        f.write('#define NGINX_VERSION      "%s"\n' % version)
    return tree


status, text = compile_modules(NGINX_SRC=os.path.join(folder, "none"))
is_(status, 1, "no nginx-dev: refused")
like(text, r"install the package nginx-dev", "and what to install")
status, text = compile_modules(NGINX="no-such-nginx")
is_(status, 1, "no nginx: refused")
like(text, r"no-such-nginx is not installed", "and what is missing")
status, text = compile_modules(NGINX_SRC=fake_tree("1.99.0"))
is_(status, 1, "another version: refused")
like(text, r"nginx is [0-9.]+ but nginx-dev is 1\.99\.0", "and which versions")
status, text = compile_modules(NGINX_SRC=fake_tree("1.18.0"), NGINX="")
is_(status, 1, "an old version: refused")
like(text, r"NGINX 1\.18\.0 is too old", "and which")

tree = os.environ.get("NGINX_SRC", "/usr/share/nginx/src")
before = sorted((d, sorted(f)) for d, _, f in os.walk(tree))
status, text = compile_modules()
is_(status, 0, "the modules build, whatever is set for our own make")
is_(sorted(os.listdir(os.path.join(folder, "modules"))), names, "all of them")
is_(sorted((d, sorted(f)) for d, _, f in os.walk(tree)), before, "nothing is written to nginx-dev")


def stamps():
    return {n: os.stat(os.path.join(folder, "modules", n)).st_mtime_ns for n in names}


first = stamps()
status, text = compile_modules()
is_((status, text, stamps()), (0, "", first), "again: nothing is done")

# A header that only the core includes. Its time goes back to what it was.
header = os.path.join(ROOT, "modules", "core", "ngx_http_weir_core.h")
core_object = os.path.join(folder, "objs", "addon", "core", "ngx_http_weir_filter.o")
auth_object = os.path.join(folder, "objs", "addon", "auth", "ngx_http_weir_auth_module.o")
compiled = (os.stat(core_object).st_mtime_ns, os.stat(auth_object).st_mtime_ns)
kept = os.stat(header)
time.sleep(0.01)
try:
    os.utime(header)
    status, text = compile_modules()
finally:
    os.utime(header, ns=(kept.st_atime_ns, kept.st_mtime_ns))
is_(status, 0, "a header has changed: built")
ok(os.stat(core_object).st_mtime_ns > compiled[0], "what includes it is compiled again")
is_(os.stat(auth_object).st_mtime_ns, compiled[1], "what does not is left alone")
done_testing()

#!/usr/bin/env python3
"""The gateway's and the engine's tests again, under an NGINX with AddressSanitizer, pools by malloc,
and our objects with UndefinedBehaviorSanitizer. That NGINX takes minutes to build, so this runs
only where it has been built once (make nginx-asan); then what has changed is built again."""

import glob
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

from weirnginx import BUILD, ROOT  # noqa: E402
from weirtap import diag, done_testing, ok, skip_all  # noqa: E402

folder = os.path.join(BUILD, "nginx-asan")
if not os.path.exists(os.path.join(folder, "nginx")):
    skip_all("make nginx-asan builds the NGINX that this needs")

built = subprocess.run(["make", "--no-print-directory", "-C", ROOT, "nginx-asan"],
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
if not ok(built.returncode == 0, "NGINX and the modules build with sanitizers"):
    diag(built.stdout.decode("utf-8", "replace")[-4000:])
    done_testing()

# Of the engine's, those that need no fast kernels.
tests = [[test] for test in sorted(glob.glob(os.path.join(HERE, "gateway-*.t")))
         if test != os.path.abspath(__file__)]
tests += [[test] for test in sorted(glob.glob(os.path.join(HERE, "sdk-gateway*.t")))]
tests += [[test] for test in sorted(glob.glob(os.path.join(HERE, "guard*.t")))]
tests += [[os.path.join(HERE, name)] for name in
          ("client.t", "plugin.t", "admin.t",
           "auth-jwt.t", "auth-keys.t", "auth-mtls.t")]
tests += [[os.path.join(HERE, "engine-http.t"), part]
          for part in ("configuration", "fast", "slow_client")]

for test in tests:
    done = subprocess.run(
        [sys.executable, *test], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # The master keeps its configuration until exit; unit tests look for leaks.
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0:detect_odr_violation=0",
             "WEIR_NGINX": os.path.join(folder, "nginx"),
             "WEIR_MODULES": os.path.join(folder, "modules")})
    text = done.stdout.decode("utf-8", "replace")
    if not ok(done.returncode == 0 and "\n1.." in text, " ".join([os.path.basename(test[0]), *test[1:]])):
        diag("\n".join(x for x in text.split("\n") if not x.startswith("ok "))[-6000:])
done_testing()

#!/usr/bin/env python3
"""sdk-gateway.t with the openai client below 3 that many programs still use."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
os.execv(sys.executable, [sys.executable, os.path.join(HERE, "sdk-gateway.t"), "venv-openai2"])

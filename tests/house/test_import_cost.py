"""``import fastmem`` stays light: what is heavy or optional loads when it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

from tests.house.tree import ROOT

HEAVY = {"rich", "numpy", "nats", "redis", "_hashlib", "sortedcontainers"}
PROBE = """
import json, sys, time
before = time.perf_counter()
import fastmem
took = time.perf_counter() - before
print(json.dumps({"ms": took * 1e3, "modules": sorted(sys.modules)}))
"""


def test_import_pulls_in_nothing_heavy(record_property: Callable[[str, object], None]) -> None:
    command = [sys.executable, "-c", PROBE]
    run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    seen = json.loads(run.stdout)
    record_property("import_ms", round(seen["ms"], 1))  # for the reader of the report; no bar here
    assert {"fastmem", "fastmem.errors"} <= set(seen["modules"])
    assert {name.split(".")[0] for name in seen["modules"]} & HEAVY == set()

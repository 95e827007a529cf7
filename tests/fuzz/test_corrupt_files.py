"""Damaged files: a miss or a documented error, never a wrong value, a crash or an endless loop."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.house.tree import ROOT

CASES = 5_000 if os.environ.get("FASTMEM_PROFILE") == "nightly" else 420


def test_a_campaign_of_corruptions(private_tmp: Path) -> None:
    seed = os.environ.get("FASTMEM_SEED") or "20261122"
    program = [sys.executable, "-X", "faulthandler", "-m", "tests.fuzz.corruptor"]
    done = subprocess.run(
        [*program, seed, "0", str(CASES), private_tmp],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=CASES,  # a second a case, when a hundredth of it is usual
        check=False,
    )
    last = "\n".join(done.stdout.splitlines()[-3:])
    assert done.returncode == 0, f"seed {seed}: {last}\n{done.stderr[-3000:]}"
    assert "done" in last
    assert "'opened'" in last
    assert "FormatError" in last

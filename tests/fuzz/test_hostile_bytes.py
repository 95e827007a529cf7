"""Bytes that change behind the maps of two processes: a right value, a miss or an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import PROFILE
from tests.fuzz import hostile_actor
from tests.house.tree import ROOT

CASES = 5_000 if PROFILE == "nightly" else 60  # each damages one file two times or so


def test_a_campaign_against_two_processes(private_tmp: Path) -> None:
    seed = os.environ.get("FASTMEM_SEED") or "20261123"
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.hostile", seed, "0", str(CASES), private_tmp],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60 + CASES,
        check=False,
    )
    last = "\n".join(done.stdout.splitlines()[-4:])
    assert done.returncode == 0, f"seed {seed}: {last}\n{done.stderr[-3000:]}"
    assert "done" in last
    for came in ("'hit'", "'miss'", "'put: StoreError'", "'open: FormatError'"):
        assert came in last, f"the campaign never met {came}"


def test_the_campaign_notices_a_wrong_value() -> None:
    actor = hostile_actor.Actor("a")
    value = hostile_actor.value_of("a-0", 0, 20)
    for found in (value, None):
        actor.judge("a-0", found)
    assert (actor.came["hit"], actor.came["miss"], actor.wrong) == (1, 1, [])
    actor.judge("a-0", hostile_actor.value_of("a-0", 1, 20))
    actor.judge("a-1", value)  # which was deleted
    actor.judge("a-1", None)
    assert len(actor.wrong) == 2
    assert actor.came["none"] == 1
    long = hostile_actor.value_of("b-3", 7, 500)
    assert hostile_actor.is_of("b-3", long)
    assert not hostile_actor.is_of("b-4", long)
    assert not hostile_actor.is_of("b-3", long[:-1] + b"?")

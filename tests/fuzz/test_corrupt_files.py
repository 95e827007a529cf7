"""Damaged files: a miss or a documented error, never a wrong value, a crash or an endless loop."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import corruptor
from tests.house.tree import ROOT

CASES = 13_000 if os.environ.get("FASTMEM_PROFILE") == "nightly" else 420


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


@pytest.mark.parametrize("kind", ["segments", "tiers", "archive"])
def test_the_campaign_notices_one_loss_beyond_the_damage(private_tmp: Path, kind: str) -> None:
    built = corruptor.build(kind, private_tmp / "base", 0)
    hit = "seg" if kind == "segments" else "cold"
    name, start, end = built.places["text-7"][0]
    before = bytes(end)
    after = before[: start + 50] + b"\1" + before[start + 51 :]
    assert corruptor.spoilt(built, name, before, after) == {"text-7"}
    # A cut loses the record that it goes through, and what lies past it.
    beyond = {key for key, [place, *_] in built.places.items() if place[0] == name}
    beyond = {key for key in beyond if built.places[key][0].end > start + 1}
    assert corruptor.spoilt(built, name, bytes(64 << 20), bytes(start + 1)) >= beyond >= {"text-7"}
    with corruptor.OPENERS[kind](built.at) as store:
        store.delete("text-8")
    with pytest.raises(AssertionError, match=r"1 values missing after damage .*'text-8'"):
        corruptor.verify(kind, built.at, built.values, hit, {"text-7"})

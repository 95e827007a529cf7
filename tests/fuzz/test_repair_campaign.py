"""Damaged files, then a repair: a sound store, no wrong value, and only what was hit is missed."""

from __future__ import annotations

import logging
import os
import random
import shutil
from pathlib import Path

import pytest

from fastmem import FastmemError
from fastmem.storage.checking import Check
from fastmem.storage.repairing import Repair
from fastmem.terminal import unseen
from tests.crash.directories import CLEAN_AT, contents, copy, patch
from tests.fuzz.corruptor import DAMAGES, OPENERS, Built, build, retrust_if_same, spoilt

CASES = 2_000 if os.environ.get("FASTMEM_PROFILE") == "nightly" else 40


def paths_of(at: Path) -> tuple[Path | None, Path | None]:
    warm, cold = at / "l2", at / "l3"
    return warm if warm.exists() else None, cold if cold.exists() else None


@pytest.mark.parametrize("kind", OPENERS)
def test_a_campaign_of_repairs(
    private_tmp: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "fastmem")
    for name in ("base", "twin"):
        (private_tmp / name).mkdir(mode=0o700)
    build(kind, private_tmp / "twin", 7)
    built = build(kind, private_tmp / "base", 0)
    seed = os.environ.get("FASTMEM_SEED") or "20261123"
    draws = (random.Random(f"{seed} {kind} {number}") for number in range(CASES))
    outcomes = {one_case(private_tmp, kind, built, draw) for draw in draws}
    assert "repaired" in outcomes


def one_case(work: Path, kind: str, built: Built, draw: random.Random) -> str:
    at = copy(built.at, work / "case")
    clean = draw.random() > 0.3
    for page in at.glob("*/super"):
        if not clean:  # found after a kill
            patch(page, CLEAN_AT, bytes(8))
    path = draw.choice(sorted(path for path in at.rglob("*") if path.is_file()))
    damage = draw.choice(DAMAGES)
    where = f"{path.parent.name}/{path.name} {damage.__name__}"
    before = path.read_bytes()
    damage(path, work / "twin" / path.parent.name / path.name, draw)
    after = b""
    if path.exists():
        with path.open("rb") as file:  # it may be very long by now
            after = file.read(len(before))
    retrust_if_same(at, built.at)
    may_miss = spoilt(built, path.name, before, after)
    hit = path.name.split(".")[0]
    told = "repaired"
    try:
        repair = Repair(*paths_of(at), unseen)
        done = repair.run(repair.look())
    except (FastmemError, OSError) as error:
        assert hit in ("super", "archive", "seg", "cold", "index", "overflow", "procs"), where
        told = type(error).__name__
    else:
        assert [str(one) for one in done.left.damage] == [], where
        with OPENERS[kind](at) as store:
            store.check()
            found = contents(store)
        wrong = [key for key in found if found[key] != built.values.get(key)]
        assert not wrong, f"{where}: wrong values: {wrong[:5]} of {len(wrong)}"
        missing = built.values.keys() - found.keys() - may_miss
        # After a kill no sum tells that a slot is damaged, and its key is taken for deleted.
        slots = 200 if hit in ("index", "overflow") and not clean else 0
        assert len(missing) <= slots, (
            f"{where}: {len(missing)} missing that were not hit: {list(missing)[:5]}"
        )
        assert Check(*paths_of(at), unseen).run().damage == []
    shutil.rmtree(at)
    return told

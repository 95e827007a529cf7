"""Whole lives of a directory that several processes write to, on a machine that loses its power."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import PROFILE
from tests.fuzz.shared_outages import OPENERS, SharedLife

GENERATIONS = {"ci": 4, "nightly": 20}[PROFILE]
SEEDS = {"ci": range(2, 4), "nightly": range(1, 41)}[PROFILE]


@pytest.mark.parametrize("kind", OPENERS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_shared_life(private_tmp: Path, seed: int, kind: str) -> None:
    life = SharedLife(seed, kind, private_tmp)
    life.live(GENERATIONS)
    assert life.met["in the middle"] > 0
    assert life.met["promised"] > 0

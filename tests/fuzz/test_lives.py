"""Whole lives of a memory, several ends each, some of them hard."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import PROFILE
from tests.fuzz.lives import KINDS, Life

STEPS = {"ci": 400, "nightly": 10_000}[PROFILE]
SEEDS = {"ci": 1, "nightly": 3}[PROFILE]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_a_life(private_tmp: Path, seed: int, kind: str) -> None:
    Life(seed, kind, private_tmp).live(STEPS)

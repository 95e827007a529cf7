"""Whole lives of a store on a machine that loses its power again and again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import PROFILE
from tests.fuzz.outages import KINDS, Life

GENERATIONS = {"ci": 8, "nightly": 30}[PROFILE]
SEEDS = {"ci": range(2, 4), "nightly": range(1, 31)}[PROFILE]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_life(private_tmp: Path, seed: int, kind: str) -> None:
    Life(seed, kind, private_tmp).live(GENERATIONS)

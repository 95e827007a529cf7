"""An opening of an L3 with another L2 that fails leaves it to its own."""

from __future__ import annotations

import errno
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fastmem import TieredMemorySystem
from fastmem.storage import engine, opening
from tests.crash.directories import engine_of, open_tiers


def no_space(*_: Any) -> Any:
    raise OSError(errno.ENOSPC, "no space")


@pytest.mark.parametrize(("place", "name"), [(opening, "leftovers"), (engine, "ColdWriter")])
def test_a_full_disk(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, place: ModuleType, name: str
) -> None:
    with open_tiers(private_tmp) as memory:
        memory.put("k", 1)
    with monkeypatch.context() as failing:
        failing.setattr(place, name, no_space)
        with pytest.raises(OSError, match="no space"):
            TieredMemorySystem(1, private_tmp / "mistyped", private_tmp / "l3", l2_size_mb=16)
    with open_tiers(private_tmp) as memory:
        assert memory["k"] == 1


@pytest.mark.parametrize("clean", [True, False])
def test_a_budget_that_is_too_small(private_tmp: Path, clean: bool) -> None:
    memory = open_tiers(private_tmp)
    memory.put("k", 1)
    memory.put("large", bytes(9 << 20))
    if clean:
        memory.close()
    else:
        engine_of(memory).abandon()
    with pytest.raises(ValueError, match="l3_size_mb must be at least"):
        TieredMemorySystem(
            1, private_tmp / "mistyped", private_tmp / "l3", l2_size_mb=16, l3_size_mb=16
        )
    with open_tiers(private_tmp) as memory:
        assert dict(memory) == {"k": 1, "large": bytes(9 << 20)}
        memory.check()

"""What several unit tests of the memory open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastmem import TieredMemorySystem


@pytest.fixture
def opened(places: tuple[Path, Path]) -> Iterator[Callable[..., TieredMemorySystem]]:
    """Opens one place again and again, closing what was open there."""
    memories: list[TieredMemorySystem] = []

    def again(l1_size_mb: float = 1, **options: Any) -> TieredMemorySystem:
        if memories:
            memories.pop().close()
        memories.append(TieredMemorySystem(l1_size_mb, *places, **({"l2_size_mb": 16} | options)))
        return memories[-1]

    yield again
    if memories:
        memories.pop().close()

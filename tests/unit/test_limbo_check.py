"""`check()` sees a limbo that does not fit what L1 and the lower tiers hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastmem import TieredMemorySystem
from fastmem._core.drafts import Draft
from fastmem._core.keys import encode_key
from fastmem._core.layout import VALUE


@pytest.fixture
def memory(private_tmp: Path) -> Iterator[TieredMemorySystem]:
    memory = TieredMemorySystem(1, private_tmp / "l2", l2_size_mb=16, durability="cache")
    memory.put("below", 1)
    memory.flush()
    memory.put("dirty", 2)
    memory.check()
    yield memory
    memory._limbo.clear()
    memory._limbo_deadline.clear()
    memory.close()


def test_a_value_without_its_deadline(memory: TieredMemorySystem) -> None:
    memory._limbo["k"] = 1
    with pytest.raises(AssertionError, match="limbo without its deadlines"):
        memory.check()


def test_a_victim_that_l1_still_holds(memory: TieredMemorySystem) -> None:
    memory._limbo["dirty"], memory._limbo_deadline["dirty"] = 2, 0
    with pytest.raises(AssertionError, match="'dirty' is in limbo and in L1"):
        memory.check()


def test_a_victim_that_has_a_record_below(memory: TieredMemorySystem) -> None:
    memory._limbo["gone"], memory._limbo_deadline["gone"] = 1, 0
    memory.check()
    memory._log.put(encode_key("gone"), Draft(b"", 1, 0, 0, VALUE))
    with pytest.raises(AssertionError, match="'gone' is dirty, and has a record below"):
        memory.check()


def test_a_dirty_entry_that_has_a_record_below(memory: TieredMemorySystem) -> None:
    memory._log.put(encode_key("dirty"), Draft(b"", 1, 0, 0, VALUE))
    with pytest.raises(AssertionError, match="'dirty' is dirty, and has a record below"):
        memory.check()

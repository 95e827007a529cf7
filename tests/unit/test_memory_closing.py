"""User code that closes the memory from inside one of its operations."""

from pathlib import Path
from typing import Any, ClassVar

import pytest

from fastmem import ClosedError, TieredMemorySystem

L1_BYTES = 40_000


class Hook:
    memory: ClassVar[TieredMemorySystem]


class CallsClose:
    def __reduce__(self) -> tuple[Any, ...]:
        Hook.memory.close()
        return str, ("restored",)


@pytest.mark.parametrize("size", [10, 300_000])
def test_closing_while_a_value_is_stored(private_tmp: Path, size: int) -> None:
    memory = TieredMemorySystem(1, private_tmp / "l2", private_tmp / "l3", l2_size_mb=16)
    memory["kept"] = 1
    Hook.memory = memory
    with pytest.raises(ClosedError):
        memory["target"] = [CallsClose(), "x" * size]
    assert memory.closed
    with TieredMemorySystem(1, private_tmp / "l2", private_tmp / "l3", l2_size_mb=16) as memory:
        assert dict(memory.items()) == {"kept": 1}
        assert list(memory.l2_path.glob("val.*")) == []


def test_closing_while_a_victim_is_written_back(
    private_tmp: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All but the value whose own code closes the memory is written; that one is reported."""
    memory = TieredMemorySystem(
        L1_BYTES / 2**20, private_tmp / "l2", private_tmp / "l3", durability="cache"
    )
    memory["target"] = CallsClose()
    memory["kept"] = 1
    Hook.memory = memory
    memory.resize(200)
    assert memory.closed
    assert "dropped 'target'" in caplog.text
    with TieredMemorySystem(1, private_tmp / "l2", private_tmp / "l3") as memory:
        assert dict(memory.items()) == {"kept": 1}


def test_closing_from_a_sizer_or_a_del(private_tmp: Path) -> None:
    class ClosesInDel:
        def __reduce__(self) -> tuple[Any, ...]:
            return str, ()

        def __del__(self) -> None:
            memory.close()

    memory = TieredMemorySystem(1, private_tmp / "l2", private_tmp / "l3")
    memory["a"] = ClosesInDel()
    memory["a"] = 2
    assert memory.closed
    memory = TieredMemorySystem(
        1, private_tmp / "l2", private_tmp / "l3", sizer=lambda _: (memory.close(), 5)[1]
    )
    with pytest.raises(ClosedError):
        memory["b"] = 1
    with TieredMemorySystem(1, private_tmp / "l2", private_tmp / "l3") as memory:
        assert dict(memory.items()) == {"a": 2}

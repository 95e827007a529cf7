"""Equal keys are equal bytes, whatever tier and method; keys never become file names."""

import enum
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from fastmem import KeyTypeError, TieredMemorySystem, ValueTooLargeError
from fastmem.memory import Durability


class Text(str):
    __slots__ = ()


class Number(enum.IntEnum):
    ONE = 1


WRONG = [
    True, False, 1.0, 0.0, None, (1.0,), (True,), (1, (None,)), [1], {1}, {}, object(),
    numpy.int64(1), numpy.float64(1), numpy.str_("a"), numpy.bool_(True), numpy.bytes_(b"a"),
    Text("a"), Number.ONE, (Text("a"),), bytearray(b"a"), frozenset({1}), 1j, range(1), ...,
]  # fmt: skip
METHODS = {
    "get": lambda m, k: m.get(k),
    "subscript": lambda m, k: m[k],
    "put": lambda m, k: m.put(k, 0),
    "put with ttl": lambda m, k: m.put(k, 0, 5),
    "set item": lambda m, k: m.__setitem__(k, 0),
    "in": lambda m, k: k in m,
    "in keys": lambda m, k: k in m.keys(),  # noqa: SIM118 - the view is what is tested
    "delete": lambda m, k: m.delete(k),
    "del item": lambda m, k: m.__delitem__(k),
    "pop": lambda m, k: m.pop(k),
    "pop default": lambda m, k: m.pop(k, None),
    "entry": lambda m, k: m.entry(k),
    "peek": lambda m, k: m.peek(k),
    "setdefault": lambda m, k: m.setdefault(k, 0),
    "touch": lambda m, k: m.touch(k),
    "touch ttl": lambda m, k: m.touch(k, 5),
    "update": lambda m, k: m.update([(k, 0)]),
    "l1": lambda m, k: m.l1[k],
}


@pytest.fixture(scope="module", params=["process", "cache"])
def memory(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TieredMemorySystem]:
    path = tmp_path_factory.mktemp("keys").resolve()
    path.chmod(0o700)
    with TieredMemorySystem(1, path / "l2", path / "l3", durability=request.param) as memory:
        memory.update({1: "int", 0: "zero", "a": "str", b"a": "bytes", (1,): "tuple", ("a",): "t"})
        yield memory


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("key", WRONG, ids=repr)
def test_other_types_are_refused_even_where_an_equal_key_is_held(
    memory: TieredMemorySystem, method: Any, key: Any
) -> None:
    before = dict(memory.items())
    with pytest.raises(KeyTypeError):
        method(memory, key)
    assert dict(memory.items()) == before


def test_types_are_told_apart(memory: TieredMemorySystem) -> None:
    assert memory[1] == "int"
    assert memory["a"] == "str"
    assert memory[b"a"] == "bytes"
    assert memory[(1,)] == "tuple"
    assert "1" not in memory
    assert ("1",) not in memory
    assert (b"a",) not in memory
    assert ((1,),) not in memory


ODD = [
    "", b"", (), "../x", "../../etc/passwd", "/", ".", "..", "a/b", "\0", "a\0b", b"\0", "k" * 300,
    b"k" * 60_000, "\ud800", "\udfff\ud800", "é", "e\u0301", "\U0001f600", 2**63, -(2**63) - 1,
    10**3000, -(10**3000), ((((),),),), ("a", b"a", 1, ("b", -1)), "index",
    "super", "seg.0", "procs",
]  # fmt: skip


@pytest.mark.parametrize("durability", ["process", "cache"])
def test_odd_keys_come_back_from_every_tier_and_never_become_names(
    private_tmp: Path, durability: Durability
) -> None:
    places = private_tmp / "l2", private_tmp / "l3"
    with TieredMemorySystem(1, *places, durability=durability) as memory:
        for i, key in enumerate(ODD):
            memory[key] = i
        memory.resize(1)
        for i, key in enumerate(ODD):
            assert memory[key] == i
            assert memory.entry(key).value == i
        assert set(memory) == set(ODD)
        memory["big"] = bytes(300_000)
        memory.check()
    with TieredMemorySystem(1, *places) as memory:
        assert [memory[key] for key in ODD] == list(range(len(ODD)))
    names = {path.name for path in private_tmp.rglob("*")} - {"l2", "l3"}
    allowed = re.compile(
        r"super|archive|index|overflow|procs|(seg|cold|dict)\.\d+|val\.[0-9a-f]{16}"
    )
    assert [name for name in names if not allowed.fullmatch(name)] == []


@pytest.mark.parametrize("durability", ["process", "cache"])
@pytest.mark.parametrize(
    "key",
    ["k" * 70_000, b"k" * 70_000, 1 << 600_000, ("k" * 70_000,)],
    ids=["str", "bytes", "int", "tuple"],
)
def test_a_key_longer_than_the_format_takes(
    private_tmp: Path, durability: Durability, key: Any
) -> None:
    with TieredMemorySystem(
        1, private_tmp / "l2", private_tmp / "l3", durability=durability
    ) as memory:
        for value in (1, bytes(300_000)):
            with pytest.raises(ValueTooLargeError, match="limit of 65,536 bytes"):
                memory.put(key, value)
        for method in ("get", "peek", "delete", "entry", "pop", "setdefault", "touch"):
            with pytest.raises(ValueTooLargeError):
                getattr(memory, method)(key)
        assert len(memory) == 0
        assert list(memory.l2_path.glob("val.*")) == []
        memory.check()


def test_a_tuple_nested_too_deep_is_refused_and_changes_nothing(private_tmp: Path) -> None:
    key: tuple[Any, ...] = ()
    for _ in range(100_000):
        key = (key,)
    with TieredMemorySystem(1, private_tmp / "l2", private_tmp / "l3") as memory:
        for method in ("get", "peek", "delete", "entry", "pop", "setdefault", "touch"):
            with pytest.raises((KeyTypeError, RecursionError)):
                getattr(memory, method)(key)
        with pytest.raises((KeyTypeError, RecursionError)):
            memory[key] = 1
        assert len(memory) == 0

"""Memoized functions over a TieredMemorySystem: results that outlive the process."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastmem import (
    KeyTypeError,
    MemoryTier,
    ReadOnlyError,
    SerializationError,
    TieredMemorySystem,
    memoize,
)
from fastmem._core.flights import Flight
from tests.demotion import archive_warm, empty_l1
from tests.memoizing import expire_in, settle

MIB = 1 << 20
calls: list[Any] = []


def load(x: Any, *rest: Any) -> Any:
    calls.append(x)
    return [x, *rest]


async def load_async(x: Any) -> Any:
    calls.append(x)
    return [x]


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


@pytest.fixture(params=["process", "cache"])
def memory(
    request: pytest.FixtureRequest, places: tuple[Path, Path]
) -> Iterator[TieredMemorySystem]:
    options: dict[str, Any] = {"l2_size_mb": 16, "durability": request.param}
    with TieredMemorySystem(1, *places, **options) as memory:
        yield memory
        memory.check()


clearing: list[Any] = []


def load_and_clear(x: Any) -> Any:
    clearing.pop().cache_clear()
    return x


def test_clearing_voids_what_another_of_the_same_function_loads(
    memory: TieredMemorySystem,
) -> None:
    one, two = (memoize(memory)(load_and_clear) for _ in range(2))
    assert one.cache_key(1) == two.cache_key(1)
    clearing.append(one)
    assert two(1) == 1
    assert two.cache_key(1) not in memory


def test_results_are_found_in_every_tier(memory: TieredMemorySystem) -> None:
    memo = memoize(memory)(load)
    for _ in range(2):
        assert memo("a") == ["a"]
    empty_l1(memory)
    assert memo("a") == ["a"]
    archive_warm(memory)
    empty_l1(memory)
    assert memory.entry(memo.cache_key("a")).tier is MemoryTier.L3_COLD
    assert memo("a") == ["a"]
    for x in "abc":  # none of them fills the key that was promoted again
        memo(x)
    empty_l1(memory)
    assert [memo(x) for x in "abcabc"] == [["a"], ["b"], ["c"]] * 2
    assert sorted(memory) == [memo.cache_key(x) for x in "abc"]
    assert calls == ["a", "b", "c"]


def test_results_outlive_the_process(places: tuple[Path, Path]) -> None:
    for _ in range(2):
        with TieredMemorySystem(1, *places, l2_size_mb=16) as memory:
            assert memoize(memory)(load)("a") == ["a"]
            assert asyncio.run(memoize(memory)(load_async)("a")) == ["a"]
    assert calls == ["a", "a"]


ARGUMENTS = [
    (1,), (1.0,), (True,), ("1",), (b"1",), (None,), ((1,),), ((1.0,),), (("f", "1"),), (("n",),),
    ((),), (int,), (-0.0,), (0.0,), (float("inf"),), (("t", 1),), (1, 2), ((1, 2),),
]  # fmt: skip


def test_arguments_are_told_apart_by_type(memory: TieredMemorySystem) -> None:
    memo = memoize(memory)(lambda_free)
    for _ in range(2):
        for args in ARGUMENTS:
            assert memo(*args) == repr(args)
    assert len(calls) == len(ARGUMENTS) == len(memory)


def lambda_free(*args: Any) -> str:
    calls.append(args)
    return repr(args)


def test_what_makes_no_lasting_key_needs_one(memory: TieredMemorySystem) -> None:
    for wrong in (lambda x: x, Owner().method, functools.partial(load, 1), CallableOwner()):
        with pytest.raises(ValueError, match="give memoize a key="):
            memoize(memory)(wrong)
    memo = memoize(memory)(load)
    for argument in ([], 1j, frozenset(), object()):
        with pytest.raises(KeyTypeError, match="give memoize a key="):
            memo(argument)
    keyed = memoize(memory, key=lambda user: ("profile", user))(lambda user: [user])
    assert keyed(7) == memory["profile", 7] == [7]
    with pytest.raises(KeyTypeError):
        memoize(memory, key=lambda x: 1.5)(load)(1)


class CallableOwner:
    def __call__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return "no name"


class Owner:
    def method(self) -> int:
        return 1

    @classmethod
    def of_class(cls, x: Any) -> Any:
        calls.append(x)
        return [cls.__name__, x]


def test_methods_need_a_key_and_class_methods_do_not(memory: TieredMemorySystem) -> None:
    class Local:
        method = memoize(memory)(Owner.method)

    with pytest.raises(KeyTypeError, match="outlive every Local"):
        Local().method()
    of_class: Any = memoize(memory)(Owner.__dict__["of_class"])
    bound = of_class.__get__(None, Owner)
    assert bound(1) == bound(1) == ["Owner", 1]
    assert calls == [1]


INVALIDATIONS: dict[str, Callable[[TieredMemorySystem, Any], object]] = {
    "put": lambda m, key: m.put(key, "put"),
    "put of what L1 cannot hold": lambda m, key: m.put(key, bytes(2 * MIB)),
    "put and evict": lambda m, key: (m.put(key, "put"), empty_l1(m)),
    "put_many": lambda m, key: m.put_many({key: "put"}),
    "add": lambda m, key: m.add(key, "put"),
    "setdefault": lambda m, key: m.setdefault(key, "put"),
    "incr": lambda m, key: m.incr(key),
    "delete": lambda m, key: m.delete(key),
    "delete_many": lambda m, key: m.delete_many([key]),
    "put and delete": lambda m, key: (m.put(key, 1), m.delete(key)),
    "put, evict and delete": lambda m, key: (m.put(key, 1), empty_l1(m), m.delete(key)),
    "put and pop": lambda m, key: (m.put(key, 1), m.pop(key)),
}


@pytest.mark.parametrize("name", INVALIDATIONS)
def test_a_load_is_not_stored_after_a_change_of_its_key(
    memory: TieredMemorySystem, name: str
) -> None:
    def loads(x: Any) -> str:
        INVALIDATIONS[name](memory, "key")
        return "old"

    memo = memoize(memory, key=lambda x: "key")(loads)
    assert memo(1) == "old"
    assert memory.peek("key") != "old"
    empty_l1(memory)
    assert memory.peek("key") != "old"


def test_a_refresh_is_not_stored_after_the_entry_below_was_deleted(
    memory: TieredMemorySystem,
) -> None:
    memory["key"] = "stale"
    empty_l1(memory)
    memo = memoize(memory, key=lambda: "key")(lambda: None)
    lease = Flight("key")
    assert memo.enter(lease) is lease
    memory.delete("key")
    assert memory._fill(lease, "old") is False
    assert "key" not in memory


def test_clear_voids_what_is_being_loaded(memory: TieredMemorySystem) -> None:
    def loads() -> str:
        memory.clear()
        return "old"

    memo = memoize(memory, key=lambda: "key")(loads)
    memory["other"] = 1
    assert memo() == "old"
    assert len(memory) == 0


def test_a_stale_result_below_l1_is_refreshed(memory: TieredMemorySystem) -> None:
    memo = memoize(memory, ttl=100, stale_ttl=100)(load)
    memo("a")
    key = memo.cache_key("a")
    memory.touch(key, 50)
    empty_l1(memory)
    assert memo("a") == ["a"]
    settle(memo, key)
    assert calls == ["a", "a"]
    assert memory._deadline(key) > 0
    expire_in(memory, key, 50)
    memo("a")
    settle(memo, key)
    assert calls == ["a", "a", "a"]


def test_a_stale_result_too_large_for_l1_is_refreshed(memory: TieredMemorySystem) -> None:
    def large() -> bytes:
        calls.append(1)
        return bytes(2 * MIB)

    memo = memoize(memory, key=lambda: "large", ttl=100, stale_ttl=100)(large)
    memo()
    memory.touch("large", 50)
    memo()
    settle(memo, "large")
    assert calls == [1, 1]
    memo()
    assert calls == [1, 1]


def test_clearing_takes_one_functions_results_from_every_tier(memory: TieredMemorySystem) -> None:
    memo, other = memoize(memory)(load), memoize(memory)(lambda_free)
    for x in range(5):
        memo(x)
        other(x)
    empty_l1(memory)
    memo(9)
    memo.cache_clear()
    assert len(memory) == 5
    assert other(1) == "(1,)"
    assert other.cache_info()[:2] == (1, 5)


def test_errors_kept_and_what_cannot_be_kept(memory: TieredMemorySystem) -> None:
    class Local(Exception):
        """Of a class that pickle does not find."""

    for error in (ValueError("no"), Local("no")):

        def fails(x: Any, error: Exception = error) -> None:
            calls.append(1)
            raise error

        memo = memoize(memory, key=lambda x: f"key {x}", error_ttl=60)(fails)
        calls.clear()
        for _ in range(2):
            with pytest.raises(type(error), match="no"):
                memo(type(error).__name__)
        kept = type(error) is ValueError or memory._write_back
        assert len(calls) == (1 if kept else 2)
        memory.delete(f"key {type(error).__name__}")


def test_what_does_not_become_bytes_is_an_error(places: tuple[Path, Path]) -> None:
    with TieredMemorySystem(1, *places, l2_size_mb=16) as memory:
        memo = memoize(memory, key=lambda: "key")(lambda: open)
        unpicklable = memoize(memory, key=lambda: "lambda")(lambda: lambda: 1)
        assert memo() is open
        for _ in range(2):
            with pytest.raises(SerializationError):
                unpicklable()


def test_a_read_only_memory_serves_what_it_has(places: tuple[Path, Path]) -> None:
    with TieredMemorySystem(1, *places, l2_size_mb=16) as memory:
        memoize(memory)(load)("a")
    with TieredMemorySystem(1, *places, l2_size_mb=16, read_only=True) as memory:
        memo = memoize(memory)(load)
        assert memo("a") == ["a"]
        with pytest.raises(ReadOnlyError):
            memo("b")

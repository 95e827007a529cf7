"""Objects that lie about their size, fail, or change things while they are measured."""

import gc
import logging
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Never

import pytest

from fastmem._core.l1 import L1Cache
from fastmem._core.sizing import deep_size, measure


def sized(answer: Callable[[], Any]) -> object:
    class Sized:
        __slots__ = ("calls",)

        def __sizeof__(self) -> Any:
            return answer()

    return Sized()


def honest() -> int:
    class Sized:
        __slots__ = ("calls",)

    return deep_size(Sized())


def fail() -> Never:
    raise ValueError("no size today")


@pytest.mark.parametrize("lie", [fail, lambda: -1, lambda: "x", lambda: None, lambda: 1.5])
def test_a_failing_or_impossible_size_is_the_basic_size(lie: Callable[[], Any]) -> None:
    assert deep_size(sized(lie)) == honest()
    assert deep_size([sized(lie)]) > honest()


class Liar(int):
    """Claims to be whatever is asked."""

    def __lt__(self, other: object) -> bool:
        return False

    __gt__ = __index__ = __int__ = __lt__  # type: ignore[assignment]


def test_the_value_of_an_int_counts_not_what_it_claims() -> None:
    assert deep_size(sized(lambda: Liar(-(10**6)))) == honest()
    assert deep_size(sized(lambda: Liar(10**40))) >= 2**60
    with pytest.raises(ValueError, match="negative"):
        L1Cache(1000, sizer=lambda _: Liar(-(10**6)))["a"] = 1


def test_a_size_is_believed() -> None:
    value = sized(lambda: 10_000)
    assert deep_size(value) == sys.getsizeof(value) >= 10_000


def test_a_huge_size_saturates_and_fits_no_budget() -> None:
    huge = sized(lambda: 10**40)
    assert deep_size(huge) >= 2**60
    assert deep_size([huge, huge, sized(lambda: 2**62)]) >= 2**60
    cache = L1Cache(2**61)
    with pytest.raises(ValueError, match="larger than the limit"):
        cache["a"] = [huge, huge]
    with pytest.raises(ValueError, match="larger than the limit"):
        cache[(huge,)] = huge
    assert len(cache) == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_what_is_no_ordinary_failure_comes_out(error: type[BaseException]) -> None:
    def interrupt() -> Never:
        raise error

    cache = L1Cache(10_000)
    for value in (sized(interrupt), [1, [sized(interrupt)], 2]):
        with pytest.raises(error):
            deep_size(value)
        with pytest.raises(error):
            measure(value)
        with pytest.raises(error):
            cache["a"] = value
    assert len(cache) == 0


def test_a_size_that_empties_the_containers_being_measured() -> None:
    def empty() -> int:
        for each in (values, mapping, outer):
            each.clear()
        gc.collect()
        return 10

    values = [object(), sized(empty), [1.5], {"a": [2.5]}]
    mapping = {"a": values, "b": [sized(empty)], "c": [3.5]}
    outer = [mapping, values, [mapping]]
    assert deep_size(outer) > 0
    assert outer == []


def test_a_size_that_gives_the_object_another_class_and_ends_its_own() -> None:
    gone: list[bool] = []

    class Other:
        pass

    class Collects(int):
        def __del__(self) -> None:
            gc.collect()
            gone.append(own() is None)
            ballast.extend(bytes(size) for size in range(800, 2_000, 8))  # where it was

    def doomed() -> tuple[object, "weakref.ref[type]"]:
        class Doomed:
            def __init__(self) -> None:
                self.part = bytes(50_000)

            def __sizeof__(self) -> int:
                self.__class__ = Other  # type: ignore[assignment]
                return Collects(10_000)

        return Doomed(), weakref.ref(Doomed)

    ballast: list[bytes] = []
    value, own = doomed()
    assert 60_000 <= deep_size(value) < 62_000
    assert gone == [True]


def test_a_size_that_measures_and_stores() -> None:
    cache = L1Cache(100_000)

    def store() -> Any:
        cache["inner"] = [1, 2, 3]
        return deep_size([1, 2])

    cache["outer"] = [sized(store)] * 2
    assert list(cache) == ["inner", "outer"]
    cache._check()


def test_attributes_are_not_asked_for() -> None:
    class Watchful:
        def __init__(self) -> None:
            self.seen: list[str] = []

        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"asked for {name}")

    assert deep_size(Watchful()) > 50


def test_a_class_that_pretends_to_be_another() -> None:
    class Pretends:
        __class__ = dict  # type: ignore[assignment]

    class NoIteration(dict[Any, Any]):
        def __iter__(self) -> Iterator[Any]:
            raise AssertionError

        items = keys = values = __len__ = __iter__  # type: ignore[assignment]

    assert deep_size(Pretends()) > 0
    assert deep_size(NoIteration(a=[1.5])) > deep_size([1.5])


def test_a_value_that_knows_the_cache_does_not_count_it() -> None:
    class Session:
        cache: object

    class Sub(L1Cache):
        pass

    for make in (L1Cache, Sub):
        cache, session = make(10**9), Session()
        session.cache = cache
        alone = deep_size(session)
        cache["big"] = bytes(10**6)
        assert deep_size(session) == alone < 2_000


def test_the_program_is_not_counted() -> None:
    def generator() -> Any:
        yield sys.modules

    class Handler:
        def __init__(self) -> None:
            self.log = logging.Logger("alone")  # noqa: LOG001 - known to nobody else
            self.run = test_the_program_is_not_counted
            self.module = sys
            self.type = Handler
            self.lock = threading.Lock()
            self.steps = generator()
            self.frame = sys._getframe()

    assert deep_size(Handler()) < 10_000


def test_failing_allocations_come_out_as_memory_errors() -> None:
    script = """
from _testcapi import set_nomemory, remove_mem_hooks
from fastmem._core.sizing import deep_size
values = [list(range(1000, 9000)), [[i] for i in range(500)]]
values.append({str(i): (i, [i]) for i in range(300)})
refused = 0
for value in values:
    expected = deep_size(value)
    for nth in range(30):
        set_nomemory(nth, nth + 1)
        try:
            found = deep_size(value)
        except MemoryError:
            found = None
        remove_mem_hooks()
        assert found in (None, expected)
        refused += found is None
    assert deep_size(value) == expected
print(refused)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 5
